/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cms.h"

#include <openssl/cms.h>
#include <stdlib.h>
#include <string.h>

/* --- signing --- */

static int sign_into(CMS_ContentInfo *cms, const char *oid, struct bytes content, const struct signer *by)
{
	ASN1_OBJECT *type = OBJ_txt2obj(oid, 1);
	BIO *in = BIO_new_mem_buf(content.p, (int)content.n);
	int ok = type && in && CMS_set1_eContentType(cms, type) == 1
		&& CMS_add1_signer(cms, by->cert, by->key, EVP_sha256(), CMS_NOSMIMECAP) && CMS_add1_cert(cms, by->issuer) == 1
		&& CMS_final(cms, in, NULL, CMS_BINARY) == 1;

	ASN1_OBJECT_free(type);
	BIO_free(in);
	return ok;
}

enum err cms_sign(enum object o, const void *obj, const struct signer *by, uint8_t **der, size_t *n)
{
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_BINARY | CMS_PARTIAL);
	uint8_t *content = malloc(OBJECT_MAX);
	char oid[128];
	size_t len = 0;
	int out = -1;
	enum err e = cms && content ? object_write(o, obj, content, OBJECT_MAX, &len) : ERR_NOMEM;

	object_oid(o, oid);
	*der = NULL;
	if (!e && sign_into(cms, oid, BYTES(content, len), by))
		out = i2d_CMS_ContentInfo(cms, der);
	if (!e && out <= 0)
		e = ERR_CRYPTO;
	*n = e ? 0 : (size_t)out;
	secret_wipe(content, content ? len : 0);
	free(content);
	CMS_ContentInfo_free(cms);
	return e;
}

/* --- opening --- */

static CMS_ContentInfo *parse(struct bytes der)
{
	const uint8_t *p = der.p;
	CMS_ContentInfo *cms = der.n && der.n <= CMS_DER_MAX ? d2i_CMS_ContentInfo(NULL, &p, (long)der.n) : NULL;
	uint8_t *again = NULL;
	int n;

	if (!cms)
		return NULL;
	/* BER in other shapes is not what was hashed by others: the bytes must be their own DER */
	n = i2d_CMS_ContentInfo(cms, &again);
	if (p == der.p + der.n && n == (int)der.n && !memcmp(again, der.p, der.n) && OBJ_obj2nid(CMS_get0_type(cms)) == NID_pkcs7_signed) {
		OPENSSL_free(again);
		return cms;
	}
	OPENSSL_free(again);
	CMS_ContentInfo_free(cms);
	return NULL;
}

static int is_object(CMS_ContentInfo *cms, enum object o)
{
	char oid[128], have[128];

	object_oid(o, oid);
	return OBJ_obj2txt(have, sizeof(have), CMS_get0_eContentType(cms), 1) > 0 && !strcmp(oid, have);
}

int cms_which(struct bytes der)
{
	CMS_ContentInfo *cms = parse(der);
	int found = 0;

	for (int o = 1; cms && o <= OBJECT_LAST && !found; o++)
		if (is_object(cms, (enum object)o))
			found = o;
	CMS_ContentInfo_free(cms);
	return found;
}

enum err cms_hash(struct bytes der, uint8_t out[32])
{
	return EVP_Digest(der.p, der.n, out, NULL, EVP_sha256(), NULL) == 1 ? OK : ERR_CRYPTO;
}

/* contentType and messageDigest must be there, signingTime may; nothing else, and nothing unsigned. */
static int attributes_good(CMS_SignerInfo *si)
{
	int n = CMS_signed_get_attr_count(si);

	if (CMS_unsigned_get_attr_count(si) > 0 || n < 2 || n > 3)
		return 0;
	return CMS_signed_get_attr_by_NID(si, NID_pkcs9_contentType, -1) >= 0 && CMS_signed_get_attr_by_NID(si, NID_pkcs9_messageDigest, -1) >= 0
		&& (n == 2 || CMS_signed_get_attr_by_NID(si, NID_pkcs9_signingTime, -1) >= 0);
}

static CMS_SignerInfo *one_signer(CMS_ContentInfo *cms)
{
	STACK_OF(CMS_SignerInfo) *all = CMS_get0_SignerInfos(cms);
	CMS_SignerInfo *si = sk_CMS_SignerInfo_num(all) == 1 ? sk_CMS_SignerInfo_value(all, 0) : NULL;
	X509_ALGOR *digest = NULL, *signature = NULL;
	const ASN1_OBJECT *d, *s;

	if (!si || !attributes_good(si))
		return NULL;
	CMS_SignerInfo_get0_algs(si, NULL, NULL, &digest, &signature);
	X509_ALGOR_get0(&d, NULL, NULL, digest);
	X509_ALGOR_get0(&s, NULL, NULL, signature);
	return OBJ_obj2nid(d) == NID_sha256 && OBJ_obj2nid(s) == NID_ecdsa_with_SHA256 ? si : NULL;
}

static X509 *signer_cert(CMS_SignerInfo *si, STACK_OF(X509) *certs)
{
	for (int i = 0; i < sk_X509_num(certs); i++)
		if (!CMS_SignerInfo_cert_cmp(si, sk_X509_value(certs, i)))
			return sk_X509_value(certs, i);
	return NULL;
}

static X509 *issuer_of(X509 *leaf, STACK_OF(X509) *certs)
{
	for (int i = 0; i < sk_X509_num(certs); i++)
		if (X509_check_issued(sk_X509_value(certs, i), leaf) == X509_V_OK)
			return sk_X509_value(certs, i);
	return NULL;
}

/* The signature over the attributes, and the content's digest in them; the chain is judged by cert_verify. */
static enum err content_read(CMS_ContentInfo *cms, STACK_OF(X509) *certs, enum object o, void *obj, struct why *w)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *p = NULL;
	long n;
	enum err e = OK;

	if (!out)
		return ERR_NOMEM;
	if (CMS_verify(cms, certs, NULL, NULL, out, CMS_BINARY | CMS_NO_SIGNER_CERT_VERIFY | CMS_NOINTERN) != 1)
		e = fail(w, ERR_AUTH, "the signature of this %s is wrong", object_name(o));
	n = e ? 0 : BIO_get_mem_data(out, &p);
	if (!e) {
		e = object_read(o, BYTES(p, n), obj);
		secret_wipe(p, (size_t)n);
		if (e)
			(void)!fail(w, e, "the content of this %s %s", object_name(o), err_text(e));
	}
	BIO_free(out);
	return e;
}

static enum err who_signed(X509 *leaf, X509 *issuer, struct cms_signed *by)
{
	enum err e = cert_party(leaf, &by->party);

	if (!e)
		e = cert_hash(leaf, by->hash);
	if (!e && X509_up_ref(leaf))
		by->cert = leaf;
	if (!e && X509_up_ref(issuer))
		by->issuer = issuer;
	return e;
}

enum err cms_open(enum object o, struct bytes der, const char *id, STACK_OF(X509) *roots, struct cert_time time, void *obj,
	struct cms_signed *by, struct why *w)
{
	CMS_ContentInfo *cms = parse(der);
	STACK_OF(X509) *certs = cms ? CMS_get1_certs(cms) : NULL;
	CMS_SignerInfo *si = cms ? one_signer(cms) : NULL;
	X509 *leaf = si ? signer_cert(si, certs) : NULL, *issuer = leaf ? issuer_of(leaf, certs) : NULL;
	enum err e = OK;

	if (by)
		memset(by, 0, sizeof(*by));
	if (!cms || !si || !issuer)
		e = fail(w, ERR_FORMAT, "not a signed object: one signer with his certificate and its issuing CA is expected");
	else if (!is_object(cms, o))
		e = fail(w, ERR_DENIED, "a %s was expected, this is another object", object_name(o));
	if (!e)
		e = cert_verify(leaf, certs, roots, object_signer(o), id, CERT_SIGN, time, w);
	if (!e)
		e = content_read(cms, certs, o, obj, w);
	if (!e && by)
		e = who_signed(leaf, issuer, by);
	if (e)
		secret_wipe(obj, object_size(o));
	sk_X509_pop_free(certs, X509_free);
	CMS_ContentInfo_free(cms);
	return e;
}

void cms_signed_free(struct cms_signed *s)
{
	X509_free(s->cert);
	X509_free(s->issuer);
	s->cert = s->issuer = NULL;
}
