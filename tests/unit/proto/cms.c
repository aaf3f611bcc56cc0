/* SPDX-License-Identifier: Apache-2.0 */
/* Signed objects made by the openssl command, and everything that must not pass for one (RFC 5652, DESIGN 3). */
#include "proto/cms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/signers.h"

#define SIGN "openssl cms -sign -binary -nodetach -nosmimecap -md sha256 -outform DER -out object -in content.der "
#define RECEIPT "-econtent_type " ARC ".1.5 "
#define BY "-signer leaf.pem -inkey leaf.pem -certfile ca.pem "

/* A receipt as openssl asn1parse builds it from text. */
static const char receipt_conf[] =
	"asn1=SEQUENCE:receipt\n[receipt]\n1=INTEGER:1\n2=UTF8:acme:000017\n3=UTF8:901700000000017\n4=UTF8:001-01\n5=UTF8:p1\n6=INTEGER:128\n"
	"7=FORMAT:HEX,OCT:0101010101010101010101010101010101010101010101010101010101010101\n"
	"8=FORMAT:HEX,OCT:0202020202020202020202020202020202020202020202020202020202020202\n";
static const char answer_conf[] =
	"asn1=SEQUENCE:answer\n[answer]\n1=INTEGER:1\n"
	"2=FORMAT:HEX,OCT:0101010101010101010101010101010101010101010101010101010101010101\n"
	"3=FORMAT:HEX,OCT:0202020202020202020202020202020202020202020202020202020202020202\n4=INTEGER:7\n"
	"5=FORMAT:HEX,OCT:0303030303030303030303030303030303030303030303030303030303030303\n6=UTF8:901700000000017\n7=FORMAT:HEX,OCT:04\n"
	"8=INTEGER:0\n9=FORMAT:HEX,OCT:0505050505050505050505050505050505050505050505050505050505050505\n10=UTF8:x/1\n";

static struct world {
	struct pki pki;
	struct signer leaf, other;
	char dir[64];
	uint8_t der[16384];
	size_t n;
} w;

static int setup(void **state)
{
	(void)state;
	strcpy(w.dir, "/tmp/usher-cms-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	pki_new(&w.pki, 1u << 7 | 1u << 4);
	leaf_new(&w.pki, "equipment", "acme:000017", &w.leaf);
	leaf_new(&w.pki, "equipment", "acme:000018", &w.other);
	pem_write(w.dir, "leaf", w.leaf.cert, w.leaf.key);
	pem_write(w.dir, "other", w.other.cert, w.other.key);
	pem_write(w.dir, "ca", w.pki.ca, NULL);
	file_write(w.dir, "receipt.conf", bytes_text(receipt_conf));
	file_write(w.dir, "answer.conf", bytes_text(answer_conf));
	run(w.dir, "openssl asn1parse -genconf receipt.conf -noout -out content.der");
	run(w.dir, "cat ca.pem other.pem >two.pem; true");
	return 0;
}

static int teardown(void **state)
{
	char line[100];

	(void)state;
	leaf_free(&w.leaf);
	leaf_free(&w.other);
	pki_free(&w.pki);
	snprintf(line, sizeof(line), "rm -r '%s'", w.dir);
	return system(line);
}

static void make(const char *line)
{
	run(w.dir, line);
	w.n = file_read(w.dir, "object", w.der, sizeof(w.der));
}

static enum err open_as(enum object o, void *obj)
{
	struct why why = { "" };

	return cms_open(o, BYTES(w.der, w.n), from("acme:000017", w.pki.roots), obj, NULL, &why);
}

static void openssl_signs_what_we_read(void **state)
{
	struct receipt r;
	struct cms_signed by;
	struct why why = { "" };
	uint8_t hash[32];

	(void)state;
	make(SIGN RECEIPT BY);
	assert_int_equal(cms_which(BYTES(w.der, w.n)), OBJECT_RECEIPT);
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(w.der, w.n), from("acme:000017", w.pki.roots), &r, &by, &why), OK);
	assert_string_equal(r.equipment, "acme:000017");
	assert_string_equal(r.operator, "001-01");
	assert_int_equal(r.counter, 128);
	assert_int_equal(r.answer[31], 1);
	assert_int_equal(r.certificate[0], 2);
	assert_int_equal(X509_cmp(by.cert, w.leaf.cert), 0);
	assert_int_equal(X509_cmp(by.issuer, w.pki.ca), 0);
	assert_int_equal(cert_hash(w.leaf.cert, hash), OK);
	assert_memory_equal(hash, by.hash, 32);
	cms_signed_free(&by);
}

/* And the openssl command reads what we sign. */
static void openssl_reads_what_we_sign(void **state)
{
	struct receipt r;
	uint8_t *der = NULL;
	size_t n = 0;

	(void)state;
	receipt_of(&r);
	assert_int_equal(cms_sign(OBJECT_RECEIPT, &r, &w.leaf, &der, &n), OK);
	file_write(w.dir, "ours", BYTES(der, n));
	OPENSSL_free(der);
	pem_write(w.dir, "root", w.pki.root, NULL);
	run(w.dir, "openssl cms -verify -inform DER -in ours -CAfile root.pem -purpose any -binary -out content.ours");
	run(w.dir, "openssl asn1parse -inform DER -in content.ours");
	run(w.dir, "grep -q 901700000000017 content.ours");
}

/* Each bit of it, by itself, spoils it. */
static void no_bit_may_flip(void **state)
{
	struct receipt r;

	(void)state;
	make(SIGN RECEIPT BY);
	for (size_t i = 0; i < w.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			w.der[i] ^= (uint8_t)(1 << bit);
			if (!open_as(OBJECT_RECEIPT, &r))
				fail_msg("octet %zu, bit %d", i, bit);
			w.der[i] ^= (uint8_t)(1 << bit);
		}
	assert_int_equal(open_as(OBJECT_RECEIPT, &r), OK);
	for (size_t n = w.n, cut = 0; cut < n; cut++) {
		w.n = cut;
		assert_int_not_equal(open_as(OBJECT_RECEIPT, &r), OK);
	}
}

/* eContentType stands outside the signature; what is signed about it is the content-type attribute (RFC 5652 11.1). */
static void the_type_is_what_was_signed(void **state)
{
	static const uint8_t end[] = { 0x10, 0x01, 0x05 };
	struct answer a;
	size_t i = 0;

	(void)state;
	run(w.dir, "openssl asn1parse -genconf answer.conf -noout -out content.der");
	make(SIGN "-econtent_type " ARC ".1.3 " BY);
	assert_int_equal(open_as(OBJECT_ANSWER, &a), OK);
	make(SIGN RECEIPT BY);
	run(w.dir, "openssl asn1parse -genconf receipt.conf -noout -out content.der");
	while (memcmp(w.der + i, end, sizeof(end)))
		i++;
	w.der[i + 2] = 3;
	assert_int_equal(open_as(OBJECT_ANSWER, &a), ERR_AUTH);
}

static void only_one_shape(void **state)
{
	static const char *const lines[] = {
		SIGN RECEIPT BY "-signer other.pem -inkey other.pem",                          /* two signers */
		SIGN RECEIPT "-signer leaf.pem -inkey leaf.pem -nocerts",
		SIGN RECEIPT "-signer leaf.pem -inkey leaf.pem",                                /* no issuing CA */
		SIGN RECEIPT "-signer leaf.pem -inkey leaf.pem -certfile two.pem",              /* a certificate too many */
		SIGN RECEIPT BY "-noattr",
		SIGN RECEIPT BY "-keyid",
		SIGN RECEIPT BY "-stream",                                                      /* BER */
		"openssl cms -sign -binary -nodetach -md sha256 -outform DER -out object -in content.der " RECEIPT BY, /* S/MIME capabilities */
		"openssl cms -sign -binary -nodetach -nosmimecap -md sha384 -outform DER -out object -in content.der " RECEIPT BY,
		"openssl cms -sign -binary -nosmimecap -md sha256 -outform DER -out object -in content.der " RECEIPT BY, /* detached */
		"openssl cms -digest_create -outform DER -out object -in content.der " RECEIPT,
	};
	struct receipt r;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		make(lines[i]);
		if (open_as(OBJECT_RECEIPT, &r) != ERR_FORMAT)
			fail_msg("not refused as it should: %s", lines[i]);
	}
	make(SIGN RECEIPT BY);
	w.der[w.n++] = 0;
	assert_int_equal(open_as(OBJECT_RECEIPT, &r), ERR_FORMAT);
}

/* A set has one order (X.690 11.6): nobody gets a second hash for the same object by turning the certificates round. */
static void the_certificates_have_one_order(void **state)
{
	struct receipt r;
	uint8_t *leaf = NULL, *ca = NULL, both[4096];
	size_t n = (size_t)i2d_X509(w.leaf.cert, &leaf), m = (size_t)i2d_X509(w.pki.ca, &ca), i = 0;
	int leaf_first;

	(void)state;
	make(SIGN RECEIPT BY);
	while (memcmp(w.der + i, leaf, n) && memcmp(w.der + i, ca, m))
		i++;
	leaf_first = !memcmp(w.der + i, leaf, n);
	memcpy(both, leaf_first ? ca : leaf, leaf_first ? m : n);
	memcpy(both + (leaf_first ? m : n), leaf_first ? leaf : ca, leaf_first ? n : m);
	memcpy(w.der + i, both, n + m);
	assert_int_equal(open_as(OBJECT_RECEIPT, &r), ERR_FORMAT);
	OPENSSL_free(leaf);
	OPENSSL_free(ca);
}

/* A fake CA of the same name and key identifier beside the leaf: it must not become the one whose OCSP is asked. */
static void the_issuer_is_the_one_of_the_chain(void **state)
{
	struct cert_new n = { .kind = CERT_CA, .name = "ca", .from = clock_now() - 10, .roles = 0x3fe };
	struct receipt r;
	EVP_PKEY *mine = EVP_EC_gen("P-256");
	X509 *fake = NULL;

	(void)state;
	assert_int_equal(cert_issue(&n, mine, w.pki.root, mine, &fake), OK);
	pem_write(w.dir, "fake", fake, NULL);
	make(SIGN RECEIPT "-signer leaf.pem -inkey leaf.pem -certfile fake.pem");
	assert_int_not_equal(open_as(OBJECT_RECEIPT, &r), OK);
	X509_free(fake);
	EVP_PKEY_free(mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(openssl_signs_what_we_read), cmocka_unit_test(openssl_reads_what_we_sign),
		cmocka_unit_test(no_bit_may_flip), cmocka_unit_test(the_type_is_what_was_signed), cmocka_unit_test(only_one_shape),
		cmocka_unit_test(the_certificates_have_one_order),
		cmocka_unit_test(the_issuer_is_the_one_of_the_chain) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
