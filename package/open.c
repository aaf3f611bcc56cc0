/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/cms.h>
#include <string.h>

#include "package/package.h"
#include "proto/der.h"

enum { TAG = 16, WRAPPED_KEY = 40 /* AES-256 key, wrapped (RFC 3394) */ };

/* DER of the OIDs that may stand here */
static const uint8_t auth_enveloped[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17 };
static const uint8_t data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };
static const uint8_t aes_256_gcm[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e };
static const uint8_t ec_public_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t aes_256_wrap[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d };
static const uint8_t ecdh_sha256[] = { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01 }; /* dhSinglePass-stdDH-sha256kdf-scheme */

/* The sender's key of one use: an uncompressed point, its curve implied by ours. */
static void originator(struct rd *r)
{
	struct rd which = der_in(r, 0xa0), key = der_in(&which, 0xa1), alg = der_in(&key, DER_SEQUENCE), point;

	der_same(&alg, DER_OID, BYTES_OF(ec_public_key));
	der_closed(&key, &alg);
	point = der_in(&key, DER_BITS);
	if (rd_u8(&point) != 0 || rd_u8(&point) != 4 || point.left != 64)
		rd_fail(r, ERR_FORMAT);
	der_closed(&which, &key);
	der_closed(r, &which);
}

/* KeyAgreeRecipientInfo (RFC 5652 6.2.2): version 3, an originator key, no UKM, our scheme, one key for us by key id. */
static void recipient(struct rd *r, struct bytes key_id, int *ours)
{
	struct rd kari = der_in(r, 0xa1), alg, wrap, keys, one, rid;

	der_number(&kari, 3);
	originator(&kari);
	alg = der_in(&kari, DER_SEQUENCE);
	der_same(&alg, DER_OID, BYTES_OF(ecdh_sha256));
	wrap = der_in(&alg, DER_SEQUENCE);
	der_same(&wrap, DER_OID, BYTES_OF(aes_256_wrap));
	der_closed(&alg, &wrap);
	der_closed(&kari, &alg);
	keys = der_in(&kari, DER_SEQUENCE);
	one = der_in(&keys, DER_SEQUENCE);
	rid = der_in(&one, 0xa0);
	{
		struct rd id = der_in(&rid, DER_OCTETS);

		*ours = bytes_equal(rd_rest(&id), key_id);
	}
	der_closed(&one, &rid);
	if (der_in(&one, DER_OCTETS).left != WRAPPED_KEY)
		rd_fail(&one, ERR_FORMAT);
	der_closed(&keys, &one);
	der_closed(&kari, &keys);
	der_closed(r, &kari);
}

static void encrypted_content(struct rd *r)
{
	struct rd info = der_in(r, DER_SEQUENCE), alg, parameters, icv;
	struct bytes nonce;

	der_same(&info, DER_OID, BYTES_OF(data));
	alg = der_in(&info, DER_SEQUENCE);
	der_same(&alg, DER_OID, BYTES_OF(aes_256_gcm));
	parameters = der_in(&alg, DER_SEQUENCE); /* RFC 5084: nonce, length of the tag */
	icv = der_in(&parameters, DER_OCTETS);
	nonce = rd_rest(&icv);
	if (nonce.n != 12)
		rd_fail(r, ERR_FORMAT);
	der_number(&parameters, TAG);
	der_closed(&alg, &parameters);
	der_closed(&info, &alg);
	(void)der_in(&info, 0x80);
	der_closed(r, &info);
}

/* The whole shape (RFC 5083 2.1), before any library touches it: a cut tag is a forged package. */
static enum err shape(struct bytes der, struct bytes key_id, int *ours)
{
	struct rd r = rd_of(der), content = der_in(&r, DER_SEQUENCE), wrap, env, set, tag;
	struct bytes mac;

	der_same(&content, DER_OID, BYTES_OF(auth_enveloped));
	wrap = der_in(&content, 0xa0);
	env = der_in(&wrap, DER_SEQUENCE);
	der_number(&env, 0);
	set = der_in(&env, DER_SET);
	recipient(&set, key_id, ours);
	der_closed(&env, &set);
	encrypted_content(&env);
	tag = der_in(&env, DER_OCTETS); /* attributes would stand before or after it: none do */
	mac = rd_rest(&tag);
	if (mac.n != TAG)
		rd_fail(&env, ERR_FORMAT);
	der_closed(&wrap, &env);
	der_closed(&content, &wrap);
	der_closed(&r, &content);
	return rd_done(&r);
}

static int decrypt(struct bytes der, EVP_PKEY *key, BIO *out)
{
	const uint8_t *p = der.p;
	CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &p, (long)der.n);
	int ok = cms && p == der.p + der.n && CMS_decrypt_set1_pkey(cms, key, NULL) == 1
		&& CMS_decrypt(cms, NULL, NULL, NULL, out, CMS_BINARY) == 1;

	CMS_ContentInfo_free(cms);
	return ok;
}

enum err package_open(struct bytes der, EVP_PKEY *key, uint8_t **content, size_t *n, struct why *w)
{
	uint8_t id[20];
	int ours = 0;
	char *p = NULL;
	long len;
	BIO *out;
	enum err e = package_key_id(key, id);

	if (e)
		return fail(w, e, "the key to open with is not P-256");
	if (!der.n || der.n > PACKAGE_MAX || shape(der, BYTES_OF(id), &ours))
		return fail(w, ERR_FORMAT, "the package has not the shape of one (AES-256-GCM, tag of 16 octets, one recipient, no attributes)");
	if (!ours)
		return fail(w, ERR_DENIED, "the package is sealed to another key");
	out = BIO_new(BIO_s_secmem());
	if (!out)
		return ERR_NOMEM;
	if (!decrypt(der, key, out))
		e = fail(w, ERR_AUTH, "the package does not open: it was changed, or is not for this key");
	len = e ? 0 : BIO_get_mem_data(out, &p);
	*n = (size_t)len;
	*content = e ? NULL : OPENSSL_malloc(*n + 1);
	if (*content)
		memcpy(*content, p, *n);
	else if (!e)
		e = ERR_NOMEM;
	BIO_free(out);
	return e;
}

/* --- self-test --- */

static int opens(struct bytes der, EVP_PKEY *key)
{
	uint8_t *content = NULL;
	size_t n = 0;
	struct why unused;
	enum err e = package_open(der, key, &content, &n, &unused);

	OPENSSL_clear_free(content, n);
	return !e;
}

/* Cuts the tag, which is the last element, and mends the lengths around it: what a forger would do. */
static size_t cut(const uint8_t *der, size_t n, size_t tag, uint8_t *dst)
{
	/* ContentInfo, [0] and AuthEnvelopedData all end with the package: their two-octet lengths follow 30 82, a0 82, 30 82 */
	static const size_t lengths[] = { 2, 4 + 2 + sizeof(auth_enveloped) + 2, 4 + 2 + sizeof(auth_enveloped) + 4 + 2 };
	size_t less = TAG - tag;

	memcpy(dst, der, n - TAG - 2);
	dst[n - TAG - 2] = DER_OCTETS;
	dst[n - TAG - 1] = (uint8_t)tag;
	memcpy(dst + n - TAG, der + n - TAG, tag);
	for (int i = 0; i < 3; i++) {
		size_t v = (size_t)dst[lengths[i]] << 8 | dst[lengths[i] + 1];

		v -= less;
		dst[lengths[i]] = (uint8_t)(v >> 8);
		dst[lengths[i] + 1] = (uint8_t)v;
	}
	return n - less;
}

enum err package_selftest(struct why *w)
{
	static const size_t tags[] = { 15, 12, 8, 4, 1 };
	static const uint8_t content[300] = { 1, 2, 3 };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t *der = NULL, forged[2048];
	size_t n = 0;
	enum err e = key ? package_seal(BYTES_OF(content), key, &der, &n) : ERR_CRYPTO;

	if (!e && (n > sizeof(forged) || !opens(BYTES(der, n), key)))
		e = fail(w, ERR_CRYPTO, "self-test: a package just sealed does not open; this libcrypto cannot be used");
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags) && !e; i++)
		if (opens(BYTES(forged, cut(der, n, tags[i], forged)), key))
			e = fail(w, ERR_CRYPTO, "self-test: a package whose tag is cut to %zu octets opens", tags[i]);
	if (!e) {
		der[n - 1] ^= 1;
		if (opens(BYTES(der, n), key))
			e = fail(w, ERR_CRYPTO, "self-test: a package with a flipped bit opens");
	}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return e;
}
