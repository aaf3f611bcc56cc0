/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cms.h"

#include <openssl/cms.h>
#include <stdlib.h>
#include <string.h>

#include "proto/der.h"

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

/* A profile's K must not stay in memory that the library gives back. */
static void content_wipe(CMS_ContentInfo *cms)
{
	ASN1_OCTET_STRING **in = cms ? CMS_get0_content(cms) : NULL;

	if (in && *in)
		OPENSSL_cleanse((*in)->data, (size_t)(*in)->length);
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
	if (content)
		secret_wipe(content, len);
	free(content);
	content_wipe(cms);
	CMS_ContentInfo_free(cms);
	return e;
}

/* --- opening: the shape by our own reader, the rest by digests and one signature; no CMS parser sees a peer's octets --- */

static const uint8_t signed_data[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02 };
static const uint8_t sha256[] = { 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01 };
static const uint8_t ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t content_type[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03 };
static const uint8_t message_digest[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04 };
static const uint8_t signing_time[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05 };

/* Where everything stands in a SignedData (RFC 5652 5.1). */
struct shape {
	struct bytes type, content;    /* eContentType, eContent */
	struct bytes cert[2];          /* whole */
	struct bytes sid;              /* issuer and serial number */
	struct bytes attributes;       /* whole, under their tag [0] */
	struct bytes attr_type, attr_digest;
	struct bytes signature;
};

/* AlgorithmIdentifier without parameters (RFC 5754 2, RFC 5758 3.2). */
static void algorithm(struct rd *r, struct bytes oid)
{
	struct rd alg = der_in(r, DER_SEQUENCE);

	der_same(&alg, DER_OID, oid);
	der_closed(r, &alg);
}

/* Content type and message digest, once each; signing time may stand there too; nothing else (RFC 5652 11). */
static void attributes(struct rd *r, struct shape *s)
{
	struct rd in = der_in(r, 0xa0);
	int times = 0;

	while (in.left && !in.bad) {
		struct rd attr = der_in(&in, DER_SEQUENCE), id = der_in(&attr, DER_OID), set = der_in(&attr, DER_SET), value;
		struct bytes oid = rd_rest(&id);
		uint8_t tag = 0;

		value = rd_of(der_next(&set, &tag));
		if (bytes_equal(oid, BYTES_OF(content_type)) && tag == DER_OID && !s->attr_type.n)
			s->attr_type = rd_rest(&value);
		else if (bytes_equal(oid, BYTES_OF(message_digest)) && tag == DER_OCTETS && !s->attr_digest.n)
			s->attr_digest = rd_rest(&value);
		else if (!bytes_equal(oid, BYTES_OF(signing_time)) || (tag != DER_UTC_TIME && tag != DER_TIME) || times++)
			rd_fail(&in, ERR_FORMAT);
		der_closed(&attr, &set);
		der_closed(&in, &attr);
	}
	der_closed(r, &in);
	if (!s->attr_type.n || s->attr_digest.n != 32)
		rd_fail(r, ERR_FORMAT);
}

static void signer_info(struct rd *r, struct shape *s)
{
	struct rd set = der_in(r, DER_SET), si = der_in(&set, DER_SEQUENCE), sid, again, signature;

	der_number(&si, 1);
	sid = der_in(&si, DER_SEQUENCE);
	s->sid = rd_rest(&sid);
	algorithm(&si, BYTES_OF(sha256));
	again = si;
	s->attributes = der_whole(&again, 0xa0);
	attributes(&si, s);
	algorithm(&si, BYTES_OF(ecdsa_sha256));
	signature = der_in(&si, DER_OCTETS);
	s->signature = rd_rest(&signature);
	der_closed(&set, &si); /* unsigned attributes would stand here */
	der_closed(r, &set);
}

static enum err shape_read(struct bytes der, struct shape *s)
{
	struct rd r = rd_of(der.n <= CMS_DER_MAX ? der : BYTES(NULL, 0)), info = der_in(&r, DER_SEQUENCE), wrap, sd, in, octets;

	memset(s, 0, sizeof(*s));
	der_same(&info, DER_OID, BYTES_OF(signed_data));
	wrap = der_in(&info, 0xa0);
	sd = der_in(&wrap, DER_SEQUENCE);
	der_number(&sd, 3);
	in = der_in(&sd, DER_SET);
	algorithm(&in, BYTES_OF(sha256));
	der_closed(&sd, &in);
	in = der_in(&sd, DER_SEQUENCE);
	octets = der_in(&in, DER_OID);
	s->type = rd_rest(&octets);
	{
		struct rd attached = der_in(&in, 0xa0);

		octets = der_in(&attached, DER_OCTETS);
		s->content = rd_rest(&octets);
		der_closed(&in, &attached);
	}
	der_closed(&sd, &in);
	in = der_in(&sd, 0xa0);
	for (int i = 0; i < 2; i++)
		s->cert[i] = der_whole(&in, DER_SEQUENCE);
	der_closed(&sd, &in);
	signer_info(&sd, s); /* CRLs would stand before it */
	der_closed(&wrap, &sd);
	der_closed(&info, &wrap);
	der_closed(&r, &info);
	return rd_done(&r);
}

int cms_which(struct bytes der)
{
	struct shape s;

	return shape_read(der, &s) ? 0 : object_of_type(s.type);
}

enum err cms_hash(struct bytes der, uint8_t out[32])
{
	return EVP_Digest(der.p, der.n, out, NULL, EVP_sha256(), NULL) == 1 ? OK : ERR_CRYPTO;
}

/* Is c the one that the signer's identifier names by issuer and serial number? */
static int named(X509 *c, struct bytes sid)
{
	uint8_t *name = NULL, *serial = NULL;
	int n = i2d_X509_NAME(X509_get_issuer_name(c), &name), len = i2d_ASN1_INTEGER(X509_get0_serialNumber(c), &serial);
	int same = n > 0 && len > 0 && sid.n == (size_t)n + (size_t)len && !memcmp(sid.p, name, (size_t)n) && !memcmp(sid.p + n, serial, (size_t)len);

	OPENSSL_free(name);
	OPENSSL_free(serial);
	return same;
}

static void cert_swap(X509 **a, X509 **b)
{
	X509 *t = *a;

	*a = *b;
	*b = t;
}

/* The signer's certificate and its issuing CA, and no others; a set stands in the order of its octets (X.690 11.6). */
static enum err certificates(const struct shape *s, X509 **leaf, X509 **issuer)
{
	size_t least = s->cert[0].n < s->cert[1].n ? s->cert[0].n : s->cert[1].n;

	if (memcmp(s->cert[0].p, s->cert[1].p, least) >= 0)
		return ERR_FORMAT;
	*leaf = cert_decode(s->cert[0]);
	*issuer = cert_decode(s->cert[1]);
	if (!*leaf || !*issuer)
		return ERR_FORMAT;
	if (!named(*leaf, s->sid))
		cert_swap(leaf, issuer);
	return named(*leaf, s->sid) && X509_check_issued(*issuer, *leaf) == X509_V_OK ? OK : ERR_FORMAT;
}

/* The signature over the attributes, under the tag of a SET (RFC 5652 5.4); in them the type and the content's digest. */
static int signature_good(const struct shape *s, X509 *leaf)
{
	static const uint8_t set = DER_SET;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t md[32];
	int ok = c && !cms_hash(s->content, md) && bytes_same(md, s->attr_digest.p, sizeof(md)) && bytes_equal(s->type, s->attr_type)
		&& EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, X509_get0_pubkey(leaf)) == 1 && EVP_DigestVerifyUpdate(c, &set, 1) == 1
		&& EVP_DigestVerifyUpdate(c, s->attributes.p + 1, s->attributes.n - 1) == 1
		&& EVP_DigestVerifyFinal(c, s->signature.p, s->signature.n) == 1;

	EVP_MD_CTX_free(c);
	return ok;
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

enum err cms_open(enum object o, struct bytes der, struct expect x, void *obj, struct cms_signed *by, struct why *w)
{
	struct shape s;
	X509 *leaf = NULL, *issuer = NULL;
	enum err e = shape_read(der, &s);

	x.role = object_signer(o);
	x.use = CERT_SIGN;
	if (by)
		memset(by, 0, sizeof(*by));
	if (!e)
		e = certificates(&s, &leaf, &issuer);
	if (e)
		e = fail(w, ERR_FORMAT, "not a signed object: one signer, his certificate and its issuing CA are expected, as DER");
	else if (object_of_type(s.type) != (int)o)
		e = fail(w, ERR_DENIED, "a %s was expected, this is another object", object_name(o));
	if (!e)
		e = cert_verify_under(leaf, issuer, x, w);
	if (!e && !signature_good(&s, leaf))
		e = fail(w, ERR_AUTH, "the signature of this %s is wrong", object_name(o));
	if (!e && (e = object_read(o, s.content, obj)))
		(void)!fail(w, e, "the content of this %s %s", object_name(o), err_text(e));
	if (!e && by)
		e = who_signed(leaf, issuer, by);
	if (e)
		secret_wipe(obj, object_size(o));
	X509_free(leaf);
	X509_free(issuer);
	return e;
}

void cms_signed_free(struct cms_signed *s)
{
	X509_free(s->cert);
	X509_free(s->issuer);
	s->cert = s->issuer = NULL;
}
