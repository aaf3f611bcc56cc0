/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/cms.h>
#include <stdlib.h>
#include <string.h>

#include "core/secret.h"
#include "package/package.h"
#include "proto/object.h"

enum { TAG = 16, SEQUENCE = 0x30, SET = 0x31, INTEGER = 0x02, OCTETS = 0x04, OID = 0x06 };

/* DER of the OIDs that may stand here */
static const uint8_t auth_enveloped[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17 };
static const uint8_t data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };
static const uint8_t aes_256_gcm[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e };
static const uint8_t ec_public_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t aes_256_wrap[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d };
static const uint8_t ecdh_sha256[] = { 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01 }; /* dhSinglePass-stdDH-sha256kdf-scheme */

/* The content of the next element, which must have this tag. */
static struct rd in_tag(struct rd *r, uint8_t tag)
{
	uint8_t have;
	struct bytes b = der_next(r, &have);

	if (have != tag)
		rd_fail(r, ERR_FORMAT);
	return rd_of(b);
}

static void same(struct rd *r, uint8_t tag, struct bytes expect)
{
	struct rd in = in_tag(r, tag);

	if (!bytes_equal(rd_rest(&in), expect))
		rd_fail(r, ERR_FORMAT);
}

static void number(struct rd *r, uint8_t expect)
{
	same(r, INTEGER, BYTES(&expect, 1));
}

static void closed(struct rd *outer, const struct rd *inner)
{
	if (rd_done(inner))
		rd_fail(outer, ERR_FORMAT);
}

/* The sender's key of one use: an uncompressed point, its curve implied by ours. */
static void originator(struct rd *r)
{
	struct rd which = in_tag(r, 0xa0), key = in_tag(&which, 0xa1), alg = in_tag(&key, SEQUENCE), point;

	same(&alg, OID, BYTES_OF(ec_public_key));
	closed(&key, &alg);
	point = in_tag(&key, 0x03);
	if (rd_u8(&point) != 0 || rd_u8(&point) != 4 || point.left != 64)
		rd_fail(r, ERR_FORMAT);
	closed(&which, &key);
	closed(r, &which);
}

/* KeyAgreeRecipientInfo (RFC 5652 6.2.2): version 3, an originator key, no UKM, our scheme, one key for us by key id. */
static void recipient(struct rd *r, struct bytes key_id, int *ours)
{
	struct rd kari = in_tag(r, 0xa1), alg, wrap, keys, one, rid;

	number(&kari, 3);
	originator(&kari);
	alg = in_tag(&kari, SEQUENCE);
	same(&alg, OID, BYTES_OF(ecdh_sha256));
	wrap = in_tag(&alg, SEQUENCE);
	same(&wrap, OID, BYTES_OF(aes_256_wrap));
	closed(&alg, &wrap);
	closed(&kari, &alg);
	keys = in_tag(&kari, SEQUENCE);
	one = in_tag(&keys, SEQUENCE);
	rid = in_tag(&one, 0xa0);
	{
		struct rd id = in_tag(&rid, OCTETS);

		*ours = bytes_equal(rd_rest(&id), key_id);
	}
	closed(&one, &rid);
	(void)in_tag(&one, OCTETS);
	closed(&keys, &one);
	closed(&kari, &keys);
	closed(r, &kari);
}

static void encrypted_content(struct rd *r)
{
	struct rd info = in_tag(r, SEQUENCE), alg, parameters, icv;
	struct bytes nonce;

	same(&info, OID, BYTES_OF(data));
	alg = in_tag(&info, SEQUENCE);
	same(&alg, OID, BYTES_OF(aes_256_gcm));
	parameters = in_tag(&alg, SEQUENCE); /* RFC 5084: nonce, length of the tag */
	icv = in_tag(&parameters, OCTETS);
	nonce = rd_rest(&icv);
	if (nonce.n != 12)
		rd_fail(r, ERR_FORMAT);
	number(&parameters, TAG);
	closed(&alg, &parameters);
	closed(&info, &alg);
	(void)in_tag(&info, 0x80);
	closed(r, &info);
}

/* The whole shape (RFC 5083 2.1), before any library touches it: a cut tag is a forged package. */
static enum err shape(struct bytes der, struct bytes key_id, int *ours)
{
	struct rd r = rd_of(der), content = in_tag(&r, SEQUENCE), wrap, env, set, tag;
	struct bytes mac;

	same(&content, OID, BYTES_OF(auth_enveloped));
	wrap = in_tag(&content, 0xa0);
	env = in_tag(&wrap, SEQUENCE);
	number(&env, 0);
	set = in_tag(&env, SET);
	recipient(&set, key_id, ours);
	closed(&env, &set);
	encrypted_content(&env);
	tag = in_tag(&env, OCTETS); /* attributes would stand before or after it: none do */
	mac = rd_rest(&tag);
	if (mac.n != TAG)
		rd_fail(&env, ERR_FORMAT);
	closed(&wrap, &env);
	closed(&content, &wrap);
	closed(&r, &content);
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
	dst[n - TAG - 2] = OCTETS;
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
