/* SPDX-License-Identifier: Apache-2.0 */
#include "core/issue.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* --- extensions --- */

static GENERAL_NAMES *san_new(const struct party *who)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();
	char text[sizeof("urn:usher::") + ROLE_MAX + ID_MAX];

	snprintf(text, sizeof(text), "urn:usher:%s:%s", who->role, who->id);
	if (names && g && s && ASN1_STRING_set(s, text, -1) && sk_GENERAL_NAME_push(names, g)) {
		GENERAL_NAME_set0_value(g, GEN_URI, s);
		return names;
	}
	GENERAL_NAMES_free(names);
	GENERAL_NAME_free(g);
	ASN1_IA5STRING_free(s);
	return NULL;
}

static int eku_add(EXTENDED_KEY_USAGE *eku, ASN1_OBJECT *o)
{
	if (o && sk_ASN1_OBJECT_push(eku, o))
		return 1;
	ASN1_OBJECT_free(o);
	return 0;
}

static EXTENDED_KEY_USAGE *eku_new(unsigned roles, int tls, int ocsp)
{
	EXTENDED_KEY_USAGE *eku = sk_ASN1_OBJECT_new_null();
	int ok = eku != NULL;

	for (int r = 1; r <= STAFF && ok; r++) {
		char oid[128];

		snprintf(oid, sizeof(oid), ARC ".2.%d", r);
		if (roles & 1u << r)
			ok = eku_add(eku, OBJ_txt2obj(oid, 1));
	}
	if (ok && tls)
		ok = eku_add(eku, OBJ_nid2obj(NID_server_auth)) && eku_add(eku, OBJ_nid2obj(NID_client_auth));
	if (ok && ocsp)
		ok = eku_add(eku, OBJ_nid2obj(NID_OCSP_sign));
	if (ok)
		return eku;
	sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
	return NULL;
}

static ASN1_BIT_STRING *key_usage_new(uint32_t bits)
{
	ASN1_BIT_STRING *b = ASN1_BIT_STRING_new();

	/* X509v3 numbers bits from the left: KU_ masks are those of the first octet, bit 0 = 0x80 */
	for (int i = 0; b && i < 8; i++)
		if (bits & (0x80u >> i) && !ASN1_BIT_STRING_set_bit(b, i, 1)) {
			ASN1_BIT_STRING_free(b);
			return NULL;
		}
	return b;
}

/* Takes over *value by the free function of its type. */
static int ext_push(STACK_OF(X509_EXTENSION) **exts, int nid, int critical, void *value, void (*free_value)(void *))
{
	int ok = value && X509V3_add1_i2d(exts, nid, value, critical, X509V3_ADD_DEFAULT) == 1;

	free_value(value);
	return ok;
}

static void free_names(void *p)
{
	GENERAL_NAMES_free(p);
}

static void free_eku(void *p)
{
	sk_ASN1_OBJECT_pop_free(p, ASN1_OBJECT_free);
}

static void free_bits(void *p)
{
	ASN1_BIT_STRING_free(p);
}

static void free_octets(void *p)
{
	ASN1_OCTET_STRING_free(p);
}

static void free_constraints(void *p)
{
	BASIC_CONSTRAINTS_free(p);
}

static int leaf_exts(STACK_OF(X509_EXTENSION) **exts, const struct party *who, enum cert_use use)
{
	return ext_push(exts, NID_subject_alt_name, 0, san_new(who), free_names)
		&& ext_push(exts, NID_ext_key_usage, 0, eku_new(1u << cert_role_number(who->role), cert_uses[use].tls, 0), free_eku)
		&& ext_push(exts, NID_key_usage, 1, key_usage_new(cert_uses[use].key_usage), free_bits);
}

static int name_set(X509_NAME *n, const char *cn, const char *serial)
{
	return (!cn || X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) == 1)
		&& (!serial || X509_NAME_add_entry_by_txt(n, "serialNumber", MBSTRING_UTF8, (const unsigned char *)serial, -1, -1, 0) == 1);
}

/* commonName has room for 64 characters (RFC 5280 ub-common-name); the whole id stands in serialNumber and the SAN. */
static int leaf_name(X509_NAME *n, const struct party *who)
{
	char cn[65];

	snprintf(cn, sizeof(cn), "%.64s", who->id);
	return name_set(n, cn, strlen(who->id) <= 64 ? who->id : NULL);
}

enum err cert_request(EVP_PKEY *key, const struct party *who, enum cert_use use, uint8_t **der, size_t *n)
{
	X509_REQ *r = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = NULL;
	int len = -1, ok = r && leaf_name(X509_REQ_get_subject_name(r), who) && leaf_exts(&exts, who, use)
		&& X509_REQ_add_extensions(r, exts) == 1 && X509_REQ_set_pubkey(r, key) == 1 && X509_REQ_sign(r, key, EVP_sha256()) > 0;

	*der = NULL;
	if (ok)
		len = i2d_X509_REQ(r, der);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(r);
	*n = len > 0 ? (size_t)len : 0;
	return len > 0 ? OK : ERR_CRYPTO;
}

/* --- issuing --- */

static int serial_set(X509 *c)
{
	uint8_t octets[16];
	BIGNUM *b = NULL;
	int ok = RAND_bytes(octets, sizeof(octets)) == 1;

	octets[0] = (octets[0] & 0x3f) | 0x40; /* positive, always 16 octets (RFC 5280 4.1.2.2: at most 20) */
	if (ok)
		b = BN_bin2bn(octets, sizeof(octets), NULL);
	ok = b && BN_to_ASN1_INTEGER(b, X509_get_serialNumber(c));
	BN_free(b);
	return ok;
}

static int times_set(X509 *c, int64_t from, int64_t until)
{
	if (!ASN1_TIME_set(X509_getm_notBefore(c), (time_t)from))
		return 0;
	return until ? ASN1_TIME_set(X509_getm_notAfter(c), (time_t)until) != NULL
		: ASN1_TIME_set_string(X509_getm_notAfter(c), "99991231235959Z") == 1;
}

static ASN1_OCTET_STRING *key_id_new(X509 *c)
{
	ASN1_OCTET_STRING *o = ASN1_OCTET_STRING_new();
	uint8_t md[20];
	unsigned n = 0;

	if (o && X509_pubkey_digest(c, EVP_sha1(), md, &n) == 1 && ASN1_OCTET_STRING_set(o, md, (int)n))
		return o;
	ASN1_OCTET_STRING_free(o);
	return NULL;
}

static BASIC_CONSTRAINTS *constraints_new(enum cert_kind kind)
{
	BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new();

	if (!b)
		return NULL;
	b->ca = kind == CERT_ROOT || kind == CERT_CA ? 0xff : 0;
	if (kind == CERT_CA) {
		b->pathlen = ASN1_INTEGER_new();
		if (!b->pathlen || !ASN1_INTEGER_set(b->pathlen, 0)) {
			BASIC_CONSTRAINTS_free(b);
			return NULL;
		}
	}
	return b;
}

static int kind_exts(STACK_OF(X509_EXTENSION) **exts, const struct cert_new *n)
{
	switch (n->kind) {
	case CERT_LEAF:
		return leaf_exts(exts, &n->who, n->use);
	case CERT_OCSP:
		return ext_push(exts, NID_ext_key_usage, 0, eku_new(0, 0, 1), free_eku)
			&& ext_push(exts, NID_key_usage, 1, key_usage_new(KU_DIGITAL_SIGNATURE), free_bits);
	case CERT_CA:
		return ext_push(exts, NID_ext_key_usage, 0, eku_new(n->roles, n->tls, 1), free_eku)
			&& ext_push(exts, NID_key_usage, 1, key_usage_new(KU_KEY_CERT_SIGN | KU_CRL_SIGN), free_bits);
	default:
		return ext_push(exts, NID_key_usage, 1, key_usage_new(KU_KEY_CERT_SIGN | KU_CRL_SIGN), free_bits);
	}
}

static int exts_set(X509 *c, const struct cert_new *n, X509 *issuer)
{
	STACK_OF(X509_EXTENSION) *exts = NULL;
	AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();
	int ok = kind_exts(&exts, n) && ext_push(&exts, NID_basic_constraints, 1, constraints_new(n->kind), free_constraints)
		&& ext_push(&exts, NID_subject_key_identifier, 0, key_id_new(c), free_octets) && akid;

	if (ok) {
		akid->keyid = key_id_new(issuer ? issuer : c);
		ok = akid->keyid && X509V3_add1_i2d(&exts, NID_authority_key_identifier, akid, 0, X509V3_ADD_DEFAULT) == 1;
	}
	for (int i = 0; ok && i < sk_X509_EXTENSION_num(exts); i++)
		ok = X509_add_ext(c, sk_X509_EXTENSION_value(exts, i), -1) == 1;
	AUTHORITY_KEYID_free(akid);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return ok;
}

enum err cert_issue(const struct cert_new *n, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, X509 **out)
{
	X509 *c = X509_new();
	X509_NAME *name = c ? X509_get_subject_name(c) : NULL;
	int ok = c && X509_set_version(c, X509_VERSION_3) == 1 && serial_set(c) && times_set(c, n->from, n->until)
		&& (n->kind == CERT_LEAF ? leaf_name(name, &n->who) : name_set(name, n->name, NULL))
		&& X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : name) == 1 && X509_set_pubkey(c, key) == 1
		&& exts_set(c, n, issuer) && X509_sign(c, issuer_key, EVP_sha256()) > 0;

	if (!ok) {
		X509_free(c);
		return ERR_CRYPTO;
	}
	*out = c;
	return OK;
}
