/* SPDX-License-Identifier: Apache-2.0 */
#include "package/package.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "core/clock.h"
#include "proto/cms.h"

/* A little PKI: root, signers CA, devices CA, and a leaf of any role. */
struct pki {
	EVP_PKEY *root_key, *ca_key;
	X509 *root, *ca;
	STACK_OF(X509) *roots;
};

static void pki_new(struct pki *p, unsigned roles)
{
	struct cert_new n = { .kind = CERT_ROOT, .name = "root", .from = clock_now() - 10 };

	p->root_key = EVP_EC_gen("P-256");
	p->ca_key = EVP_EC_gen("P-256");
	assert_int_equal(cert_issue(&n, p->root_key, NULL, p->root_key, &p->root), OK);
	n = (struct cert_new){ .kind = CERT_CA, .name = "ca", .from = clock_now() - 10, .roles = roles };
	assert_int_equal(cert_issue(&n, p->ca_key, p->root, p->root_key, &p->ca), OK);
	p->roots = sk_X509_new_null();
	sk_X509_push(p->roots, p->root);
}

static void pki_free(struct pki *p)
{
	sk_X509_free(p->roots);
	X509_free(p->root);
	X509_free(p->ca);
	EVP_PKEY_free(p->root_key);
	EVP_PKEY_free(p->ca_key);
}

static void leaf_new(struct pki *p, const char *role, const char *id, struct signer *out)
{
	struct cert_new n = { .kind = CERT_LEAF, .use = CERT_SIGN, .from = clock_now() - 10 };

	strcpy(n.who.role, role);
	strcpy(n.who.id, id);
	out->key = EVP_EC_gen("P-256");
	out->issuer = p->ca;
	assert_int_equal(cert_issue(&n, out->key, p->ca, p->ca_key, &out->cert), OK);
}

static void leaf_free(struct signer *s)
{
	X509_free(s->cert);
	EVP_PKEY_free(s->key);
}

static const struct cert_time *now(void)
{
	static struct cert_time t;

	t.now = clock_now();
	return &t;
}

static void receipt_of(struct receipt *r)
{
	memset(r, 0, sizeof(*r));
	strcpy(r->equipment, "acme:000017");
	strcpy(r->pimsi, "901700000000017");
	strcpy(r->operator, "001-01");
	strcpy(r->package, "p1");
	r->counter = 128;
}

static void signed_object_round_trip(void **state)
{
	struct pki p;
	struct signer s;
	struct receipt r, back;
	struct cms_signed by;
	struct why w = { "" };
	uint8_t *der;
	size_t n;

	(void)state;
	pki_new(&p, 1u << 7);
	leaf_new(&p, "equipment", "acme:000017", &s);
	receipt_of(&r);
	assert_int_equal(cms_sign(OBJECT_RECEIPT, &r, &s, &der, &n), OK);
	assert_int_equal(cms_which(BYTES(der, n)), OBJECT_RECEIPT);
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), "acme:000017", p.roots, *now(), &back, &by, &w), OK);
	assert_memory_equal(&r, &back, sizeof(r));
	assert_string_equal(by.party.id, "acme:000017");
	cms_signed_free(&by);
	/* another id, another object, one octet more, any flipped octet */
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), "acme:000018", p.roots, *now(), &back, NULL, &w), ERR_DENIED);
	assert_int_equal(cms_open(OBJECT_ANSWER, BYTES(der, n), NULL, p.roots, *now(), &(struct answer){ 0 }, NULL, &w), ERR_DENIED);
	for (size_t i = 0; i < n; i += 7) {
		der[i] ^= 0x10;
		assert_int_not_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), NULL, p.roots, *now(), &back, NULL, &w), OK);
		der[i] ^= 0x10;
	}
	OPENSSL_free(der);
	leaf_free(&s);
	pki_free(&p);
}

/* Each role's certificate in each other role's place. */
/* Every length of content around the changes of DER's length forms is read as it was written. */
static void every_length(void **state)
{
	static struct receipt r, back;
	static uint8_t der[1024];
	size_t n;

	(void)state;
	for (size_t len = 1; len < EQUIPMENT_MAX; len++)
		for (size_t more = 0; more < JOB_MAX; more += 7) {
			memset(&r, 0, sizeof(r));
			memset(r.equipment, 'e', len);
			memset(r.package, 'p', more);
			assert_int_equal(object_write(OBJECT_RECEIPT, &r, der, sizeof(der), &n), OK);
			assert_int_equal(object_read(OBJECT_RECEIPT, BYTES(der, n), &back), OK);
			assert_memory_equal(&r, &back, sizeof(r));
			assert_int_equal(object_read(OBJECT_RECEIPT, BYTES(der, n - 1), &back), ERR_SHORT);
		}
}

static void only_the_right_role_signs(void **state)
{
	static const char *const roles[] = { "registration", "dlusim", "hss", "equipment", "visited", "dm", "staff", "factory", "attestation" };
	struct pki p;

	(void)state;
	pki_new(&p, 0x3fe);
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		for (int o = 1; o <= OBJECT_LAST; o++) {
			struct signer s;
			void *obj = calloc(1, object_size((enum object)o)), *back = calloc(1, object_size((enum object)o));
			struct why w;
			uint8_t *der = NULL;
			size_t n = 0;
			enum err e;

			leaf_new(&p, roles[i], "x", &s);
			assert_int_equal(cms_sign((enum object)o, obj, &s, &der, &n), OK);
			e = cms_open((enum object)o, BYTES(der, n), "x", p.roots, *now(), back, NULL, &w);
			assert_int_equal(e, strcmp(roles[i], object_signer((enum object)o)) ? ERR_DENIED : OK);
			OPENSSL_free(der);
			leaf_free(&s);
			free(obj);
			free(back);
		}
	pki_free(&p);
}

static void a_ca_gives_only_its_roles(void **state)
{
	struct pki p;
	struct signer s;
	struct receipt r, back;
	struct why w;
	uint8_t *der;
	size_t n;

	(void)state;
	pki_new(&p, 1u << 4); /* may issue hss only */
	leaf_new(&p, "equipment", "acme:1", &s);
	receipt_of(&r);
	assert_int_equal(cms_sign(OBJECT_RECEIPT, &r, &s, &der, &n), OK);
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), NULL, p.roots, *now(), &back, NULL, &w), ERR_DENIED);
	OPENSSL_free(der);
	leaf_free(&s);
	pki_free(&p);
}

static void seals_to_one_key(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	static const uint8_t text[] = "a USIM application";
	uint8_t *der, *content;
	size_t n, len;
	struct why w;

	(void)state;
	assert_int_equal(package_seal(BYTES_OF(text), key, &der, &n), OK);
	assert_int_equal(package_open(BYTES(der, n), key, &content, &len, &w), OK);
	assert_int_equal(len, sizeof(text));
	assert_memory_equal(content, text, len);
	OPENSSL_clear_free(content, len);
	assert_int_equal(package_open(BYTES(der, n), other, &content, &len, &w), ERR_DENIED);
	for (size_t i = 0; i < n; i++) {
		der[i] ^= 1;
		assert_int_not_equal(package_open(BYTES(der, n), key, &content, &len, &w), OK);
		der[i] ^= 1;
	}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void selftest_passes(void **state)
{
	struct why w = { "" };

	(void)state;
	assert_int_equal(package_selftest(&w), OK);
}

static void claim_key_has_26_letters(void **state)
{
	struct secret k, back;
	char text[27];

	(void)state;
	for (int i = 0; i < 16; i++)
		k.octet[i] = (uint8_t)(i * 17);
	assert_int_equal(claim_key_text(&k, text), OK);
	assert_string_equal(text, "AAISEM2EKVTHPCEZVK54ZXPO74"); /* coreutils' base32 of the same octets, padding cut */
	assert_int_equal(claim_key_read(text, &back), OK);
	assert_true(secret_same(&k, &back));
	assert_int_equal(claim_key_read("AAISEM2EKVTHPCEZVK54ZXPO71", &back), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(signed_object_round_trip), cmocka_unit_test(every_length), cmocka_unit_test(only_the_right_role_signs),
		cmocka_unit_test(a_ca_gives_only_its_roles), cmocka_unit_test(seals_to_one_key), cmocka_unit_test(selftest_passes),
		cmocka_unit_test(claim_key_has_26_letters) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
