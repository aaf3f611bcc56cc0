/* SPDX-License-Identifier: Apache-2.0 */
#include "package/package.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "tests/unit/signers.h"

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
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), from("acme:000017", p.roots), &back, &by, &w), OK);
	assert_memory_equal(&r, &back, sizeof(r));
	assert_string_equal(by.party.id, "acme:000017");
	cms_signed_free(&by);
	/* another id, another object */
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), from("acme:000018", p.roots), &back, NULL, &w), ERR_DENIED);
	assert_int_equal(cms_open(OBJECT_ANSWER, BYTES(der, n), from(NULL, p.roots), &(struct answer){ 0 }, NULL, &w), ERR_DENIED);
	OPENSSL_free(der);
	leaf_free(&s);
	pki_free(&p);
}

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

/* Each role's certificate in each other role's place. */
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
			e = cms_open((enum object)o, BYTES(der, n), from("x", p.roots), back, NULL, &w);
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
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(der, n), from(NULL, p.roots), &back, NULL, &w), ERR_DENIED);
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
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			der[i] ^= (uint8_t)(1 << bit);
			if (!package_open(BYTES(der, n), key, &content, &len, &w))
				fail_msg("octet %zu, bit %d", i, bit);
			der[i] ^= (uint8_t)(1 << bit);
		}
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* What the openssl command seals as we do opens; in every other shape it does not, whatever the key. */
static void only_one_shape(void **state)
{
	static const struct {
		const char *line;
		enum err expect;
	} lines[] = {
		{ "-aes-256-gcm -keyid -recip to.pem -keyopt ecdh_kdf_md:sha256", OK },
		{ "-aes-256-gcm -keyid -recip to.pem", ERR_FORMAT },                                               /* KDF SHA-1 */
		{ "-aes-256-gcm -keyid -recip to.pem -keyopt ecdh_kdf_md:sha384", ERR_FORMAT },
		{ "-aes-256-gcm -recip to.pem -keyopt ecdh_kdf_md:sha256", ERR_FORMAT },                           /* by issuer and serial */
		{ "-aes-128-gcm -keyid -recip to.pem -keyopt ecdh_kdf_md:sha256", ERR_FORMAT },
		{ "-aes-256-cbc -keyid -recip to.pem -keyopt ecdh_kdf_md:sha256", ERR_FORMAT },                    /* EnvelopedData: no integrity */
		{ "-aes-256-gcm -keyid -recip to.pem -keyopt ecdh_kdf_md:sha256 -recip other.pem -keyopt ecdh_kdf_md:sha256", ERR_FORMAT },
		{ "-aes-256-gcm -keyid -recip other.pem -keyopt ecdh_kdf_md:sha256", ERR_DENIED },
		{ "-aes-256-gcm -stream -keyid -recip to.pem -keyopt ecdh_kdf_md:sha256", ERR_FORMAT },            /* BER */
		{ "-aes-256-gcm -secretkey 000102030405060708090a0b0c0d0e0f -secretkeyid 01", ERR_FORMAT },
	};
	char dir[] = "/tmp/usher-package-XXXXXX", line[300];
	struct pki p;
	struct signer to, other;
	struct why w = { "" };

	(void)state;
	assert_non_null(mkdtemp(dir));
	pki_new(&p, 1u << 7);
	leaf_for(&p, (struct cert_new){ .who = { "equipment", "acme:1" }, .use = CERT_DELIVER, .from = clock_now() - 10 }, NULL, &to);
	leaf_for(&p, (struct cert_new){ .who = { "equipment", "acme:2" }, .use = CERT_DELIVER, .from = clock_now() - 10 }, NULL, &other);
	pem_write(dir, "to", to.cert, NULL);
	pem_write(dir, "other", other.cert, NULL);
	file_write(dir, "plain", bytes_text("a USIM application"));
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		uint8_t der[4096], *content = NULL;
		size_t n, len = 0;

		snprintf(line, sizeof(line), "openssl cms -encrypt -binary -in plain -outform DER -out sealed %s", lines[i].line);
		run(dir, line);
		n = file_read(dir, "sealed", der, sizeof(der));
		if (package_open(BYTES(der, n), to.key, &content, &len, &w) != lines[i].expect)
			fail_msg("%s: %s", lines[i].line, w.text);
		if (content)
			assert_memory_equal(content, "a USIM application", len);
		OPENSSL_clear_free(content, len);
	}
	snprintf(line, sizeof(line), "rm -r '%s'", dir);
	assert_int_equal(system(line), 0);
	leaf_free(&to);
	leaf_free(&other);
	pki_free(&p);
}

/* Takes octets out of the element whose content begins at `at`, and mends the lengths of all around it. */
static size_t shorten(uint8_t *der, size_t n, size_t at, size_t less)
{
	size_t pos = 0;

	while (pos < at) {
		size_t head = der[pos + 1] < 0x80 ? 2 : der[pos + 1] == 0x81 ? 3 : 4, last = pos + head - 1;
		size_t len = head == 2 ? der[last] : head == 3 ? der[last] : (size_t)der[last - 1] << 8 | der[last];

		if (at >= pos + head + len) {
			pos += head + len;
			continue;
		}
		len -= less;
		der[last] = (uint8_t)len;
		if (head == 4)
			der[last - 1] = (uint8_t)(len >> 8);
		pos += head;
	}
	memmove(der + at, der + at + less, n - at - less);
	return n - less;
}

/* A wrapped key of another length is not handed to the library (RFC 3394: 32 + 8 octets). */
static void the_wrapped_key_has_its_length(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	static const uint8_t text[400] = { 0 }; /* no length changes its form */
	uint8_t *der, *content;
	size_t n, len, at = 0;
	struct why w = { "" };

	(void)state;
	assert_int_equal(package_seal(BYTES_OF(text), key, &der, &n), OK);
	while (memcmp(der + at, "\xa0\x16\x04\x14", 4)) /* the key id of 20 octets; the wrapped key follows it */
		at++;
	at += 4 + 20;
	assert_memory_equal(der + at, "\x04\x28", 2);
	n = shorten(der, n, at + 2, 8);
	assert_int_equal(package_open(BYTES(der, n), key, &content, &len, &w), ERR_FORMAT);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
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

static enum err reads(const uint8_t *spki, size_t n)
{
	EVP_PKEY *key;
	enum err e = package_key_read(BYTES(spki, n), &key);

	assert_int_equal(!e, key != NULL);
	EVP_PKEY_free(key);
	return e;
}

/* A P-256 key as it is written, and no other octets: not cut, not longer, no other curve, no point beside the curve. */
static void only_keys_on_the_curve(void **state)
{
	EVP_PKEY *own = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-384"), *back = NULL;
	uint8_t *spki = NULL, *longer = NULL, *sealed = NULL, *content = NULL, copy[100] = { 0 };
	int n = i2d_PUBKEY(own, &spki), more = i2d_PUBKEY(other, &longer);
	size_t len = 0, got = 0;
	struct why w = { "" };

	(void)state;
	assert_int_equal(n, 91);
	assert_int_equal(package_key_read(BYTES(spki, (size_t)n), &back), OK);
	assert_int_equal(EVP_PKEY_eq(own, back), 1);
	assert_int_equal(package_seal(BYTES("hello", 5), back, &sealed, &len), OK);
	assert_int_equal(package_open(BYTES(sealed, len), own, &content, &got, &w), OK);
	assert_int_equal(got, 5);
	assert_memory_equal(content, "hello", 5);
	memcpy(copy, spki, (size_t)n);
	assert_int_equal(reads(copy, 90), ERR_FORMAT);
	assert_int_equal(reads(copy, 92), ERR_FORMAT);
	assert_int_equal(reads(longer, (size_t)more), ERR_FORMAT);
	for (int i = 0; i < n; i++) {
		copy[i] ^= 1;
		assert_int_equal(reads(copy, (size_t)n), ERR_FORMAT);
		copy[i] ^= 1;
	}
	memset(copy + 27, 0, 64);
	assert_int_equal(reads(copy, (size_t)n), ERR_FORMAT);
	OPENSSL_free(spki);
	OPENSSL_free(longer);
	OPENSSL_free(sealed);
	OPENSSL_clear_free(content, got);
	EVP_PKEY_free(own);
	EVP_PKEY_free(other);
	EVP_PKEY_free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(signed_object_round_trip), cmocka_unit_test(every_length), cmocka_unit_test(only_the_right_role_signs),
		cmocka_unit_test(a_ca_gives_only_its_roles), cmocka_unit_test(seals_to_one_key), cmocka_unit_test(only_one_shape),
		cmocka_unit_test(the_wrapped_key_has_its_length), cmocka_unit_test(selftest_passes),
		cmocka_unit_test(claim_key_has_26_letters), cmocka_unit_test(only_keys_on_the_curve) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
