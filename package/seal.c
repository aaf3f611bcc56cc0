/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/cms.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "package/package.h"

enum err package_key_read(struct bytes spki, EVP_PKEY **key)
{
	static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
		0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04 };
	enum { POINT = 65 };
	char group[] = "P-256";
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	int ok = c && spki.n == sizeof(head) - 1 + POINT && !memcmp(spki.p, head, sizeof(head)) && EVP_PKEY_fromdata_init(c) == 1;

	*key = NULL;
	if (ok) {
		OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
			OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)(spki.p + spki.n - POINT), POINT), OSSL_PARAM_construct_end() };

		ok = EVP_PKEY_fromdata(c, key, EVP_PKEY_PUBLIC_KEY, params) == 1;
	}
	EVP_PKEY_CTX_free(c);
	return ok ? OK : ERR_FORMAT;
}

enum err package_key_id(EVP_PKEY *key, uint8_t id[20])
{
	uint8_t point[65];
	size_t n = 0;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) != 1 || n != sizeof(point))
		return ERR_FORMAT;
	return EVP_Digest(point, n, id, NULL, EVP_sha1(), NULL) == 1 ? OK : ERR_CRYPTO;
}

/*
 * CMS_add1_recipient takes a certificate: this one exists in memory only, and says no more than key and key identifier.
 * libcrypto encodes it once to fingerprint it, so it must be whole: signed, by a key that nobody keeps.
 */
static X509 *scratch_certificate(EVP_PKEY *key)
{
	X509 *c = X509_new();
	EVP_PKEY *nobody = EVP_EC_gen("P-256");
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	uint8_t octets[20];
	int ok = c && id && nobody && !package_key_id(key, octets) && ASN1_OCTET_STRING_set(id, octets, sizeof(octets))
		&& X509_set_version(c, X509_VERSION_3) == 1 && X509_set_pubkey(c, key) == 1 && X509_gmtime_adj(X509_getm_notBefore(c), 0)
		&& X509_gmtime_adj(X509_getm_notAfter(c), 60)
		&& X509_add1_ext_i2d(c, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1 && X509_sign(c, nobody, EVP_sha256()) > 0;

	ASN1_OCTET_STRING_free(id);
	EVP_PKEY_free(nobody);
	if (ok)
		return c;
	X509_free(c);
	return NULL;
}

static int add_recipient(CMS_ContentInfo *cms, X509 *to)
{
	CMS_RecipientInfo *ri = CMS_add1_recipient(cms, to, NULL, NULL, CMS_USE_KEYID);
	EVP_PKEY_CTX *c = ri ? CMS_RecipientInfo_get0_pkey_ctx(ri) : NULL;

	/* libcrypto's own choice would be SHA-1 */
	return c && EVP_PKEY_CTX_set_ecdh_kdf_md(c, EVP_sha256()) == 1;
}

enum err package_seal(struct bytes content, EVP_PKEY *to, uint8_t **der, size_t *n)
{
	CMS_ContentInfo *cms = CMS_AuthEnvelopedData_create(EVP_aes_256_gcm());
	X509 *scratch = scratch_certificate(to);
	BIO *in = BIO_new_mem_buf(content.p, (int)content.n);
	int out = -1, ok = cms && scratch && in && CMS_set_detached(cms, 0) == 1 && add_recipient(cms, scratch)
		&& CMS_final(cms, in, NULL, CMS_BINARY) == 1;

	*der = NULL;
	if (ok)
		out = i2d_CMS_ContentInfo(cms, der);
	*n = out > 0 ? (size_t)out : 0;
	BIO_free(in);
	X509_free(scratch);
	CMS_ContentInfo_free(cms);
	return out > 0 ? OK : ERR_CRYPTO;
}
