/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP answers made by the openssl command's responder, and everything that must not pass for one (RFC 6960, RFC 8954). */
#include "proto/ocsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/signers.h"

#define ANSWER "openssl ocsp -index index.txt -CA ca.pem -rsigner ocsp.pem -rkey ocsp.pem -reqin request -respout answer -noverify -nmin 5 "

static struct world {
	struct pki pki;
	struct signer good, revoked, unknown;
	char dir[64];
	uint8_t nonce[OCSP_NONCE], der[16384];
	size_t n;
} w;

static void index_line(FILE *f, char letter, X509 *c)
{
	BIGNUM *b = ASN1_INTEGER_to_BN(X509_get0_serialNumber(c), NULL);
	char *hex = BN_bn2hex(b);

	fprintf(f, "%c\t360101000000Z\t%s\t%s\tunknown\t/CN=x\n", letter, letter == 'R' ? "250101000000Z,keyCompromise" : "", hex);
	OPENSSL_free(hex);
	BN_free(b);
}

/* A leaf in the OCSP signer's place. */
static void signer_pem(const char *name, struct cert_new *n, X509 *ca, EVP_PKEY *ca_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *c = NULL;

	assert_int_equal(cert_issue(n, key, ca, ca_key, &c), OK);
	pem_write(w.dir, name, c, key);
	X509_free(c);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	struct cert_new n = { .kind = CERT_OCSP, .name = "old", .from = clock_now() - 100, .until = clock_now() - 10 };
	struct pki other;
	char path[100];
	FILE *f;

	(void)state;
	strcpy(w.dir, "/tmp/usher-ocsp-XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	pki_new(&w.pki, 0x3fe);
	pki_new(&other, 0x3fe); /* the same names, other keys */
	leaf_new(&w.pki, "hss", "262-42", &w.good);
	leaf_new(&w.pki, "dlusim", "dlusim.example", &w.revoked);
	leaf_new(&w.pki, "registration", "901-70", &w.unknown);
	pem_write(w.dir, "ca", w.pki.ca, w.pki.ca_key);
	pem_write(w.dir, "ocsp", w.pki.ocsp, w.pki.ocsp_key);
	pem_write(w.dir, "good", w.good.cert, w.good.key);
	pem_write(w.dir, "foreign", other.ocsp, other.ocsp_key);
	signer_pem("old", &n, w.pki.ca, w.pki.ca_key);
	pki_free(&other);
	snprintf(path, sizeof(path), "%s/index.txt", w.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	index_line(f, 'V', w.good.cert);
	index_line(f, 'R', w.revoked.cert);
	fclose(f);
	for (int i = 0; i < OCSP_NONCE; i++)
		w.nonce[i] = (uint8_t)(200 + i);
	return 0;
}

static int teardown(void **state)
{
	char line[100];

	(void)state;
	leaf_free(&w.good);
	leaf_free(&w.revoked);
	leaf_free(&w.unknown);
	pki_free(&w.pki);
	snprintf(line, sizeof(line), "rm -r '%s'", w.dir);
	return system(line);
}

static void ask(X509 *const *certs, size_t n, const char *line)
{
	uint8_t *der = NULL;
	size_t len = 0;

	assert_int_equal(ocsp_ask_write((struct ocsp_question){ certs, n, w.pki.ca, w.nonce }, &der, &len), OK);
	file_write(w.dir, "request", BYTES(der, len));
	OPENSSL_free(der);
	run(w.dir, line);
	w.n = file_read(w.dir, "answer", w.der, sizeof(w.der));
}

static enum err check_at(X509 *cert, struct cert_time time, struct ocsp_status *s)
{
	struct why why = { "" };
	int64_t produced = 0;
	enum err e = ocsp_answer_check(BYTES(w.der, w.n), (struct ocsp_question){ &cert, 1, w.pki.ca, w.nonce }, time, s, &produced, &why);

	if (!e)
		assert_true(produced > clock_now() - 60 && produced <= clock_now());
	return e;
}

static enum err check(X509 *cert)
{
	struct ocsp_status s;

	return check_at(cert, at_now(), &s);
}

static void openssl_answers_what_we_ask(void **state)
{
	X509 *all[] = { w.good.cert, w.revoked.cert, w.unknown.cert };
	struct ocsp_status s[3];
	struct why why = { "" };
	int64_t produced = 0;

	(void)state;
	ask(all, 3, ANSWER);
	assert_int_equal(ocsp_answer_check(BYTES(w.der, w.n), (struct ocsp_question){ all, 3, w.pki.ca, w.nonce }, at_now(), s, &produced, &why), OK);
	assert_int_equal(s[0].state, OCSP_GOOD);
	assert_int_equal(s[1].state, OCSP_REVOKED);
	assert_int_equal(s[1].revoked_at, 1735689600);
	assert_int_equal(s[1].reason, 1);
	assert_int_equal(s[2].state, OCSP_UNKNOWN);
	ask(all, 1, ANSWER);
	assert_int_equal(check(w.good.cert), OK);
	assert_int_equal(check(w.revoked.cert), ERR_MISSING); /* it says nothing about this one */
	w.nonce[31] ^= 1;
	assert_int_equal(check(w.good.cert), ERR_AUTH);
	w.nonce[31] ^= 1;
}

/* Whoever signs must be the issuing CA's own, now. */
static void only_the_cas_own_signer(void **state)
{
	static const struct {
		const char *line;
		enum err expect;
	} lines[] = {
		{ ANSWER, OK },
		{ ANSWER "-resp_key_id", OK },
		{ ANSWER "-badsig", ERR_AUTH },
		{ ANSWER "-resp_no_certs", ERR_AUTH },
		{ ANSWER "-rsigner foreign.pem -rkey foreign.pem", ERR_AUTH }, /* of another CA with the same name */
		{ ANSWER "-rsigner good.pem -rkey good.pem", ERR_AUTH },       /* not for OCSP signing */
		{ ANSWER "-rsigner ca.pem -rkey ca.pem", ERR_AUTH },           /* the CA itself: not what we run */
		{ ANSWER "-rsigner old.pem -rkey old.pem", ERR_AUTH },         /* expired */
		{ "openssl ocsp -issuer ca.pem -sha256 -cert good.pem -no_nonce -reqout request && " ANSWER, ERR_AUTH },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		ask(&w.good.cert, 1, lines[i].line);
		if (check(w.good.cert) != lines[i].expect)
			fail_msg("%s", lines[i].line);
	}
}

static void time_is_held_to(void **state)
{
	struct ocsp_status s;
	int64_t now = clock_now();

	(void)state;
	ask(&w.good.cert, 1, ANSWER);
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ now + 200, 0 }, &s), OK);
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ now + 400, 0 }, &s), ERR_EXPIRED);
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ now - 400, 0 }, &s), ERR_EXPIRED);
	/* without a clock: any time not before the floor; the signer is judged at producedAt */
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ 0, 1 }, &s), OK);
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ now + 400, 1 }, &s), ERR_EXPIRED);
	ask(&w.good.cert, 1, ANSWER "-rsigner old.pem -rkey old.pem");
	assert_int_equal(check_at(w.good.cert, (struct cert_time){ 0, 1 }, &s), ERR_AUTH);
}

/* Errors are unsigned (RFC 6960 4.2.1): none of them is a verdict. */
static void errors_are_no_verdict(void **state)
{
	static const uint8_t wire[] = { 1, 2, 3, 5, 6 };

	(void)state;
	for (size_t i = 0; i < sizeof(wire); i++) {
		const uint8_t der[] = { 0x30, 0x03, 0x0a, 0x01, wire[i] };

		memcpy(w.der, der, w.n = sizeof(der));
		assert_int_equal(check(w.good.cert), ERR_UNAVAILABLE);
	}
	memcpy(w.der, "\x30\x03\x0a\x01\x00", w.n = 5); /* successful, and nothing in it */
	assert_int_equal(check(w.good.cert), ERR_UNAVAILABLE);
	w.n = 0;
	assert_int_equal(check(w.good.cert), ERR_FORMAT);
}

/* No flipped bit makes good what is revoked. */
static void no_bit_makes_it_good(void **state)
{
	struct ocsp_status s;

	(void)state;
	ask(&w.revoked.cert, 1, ANSWER);
	for (size_t i = 0; i < w.n; i++)
		for (int bit = 0; bit < 8; bit++) {
			w.der[i] ^= (uint8_t)(1 << bit);
			if (!check_at(w.revoked.cert, at_now(), &s) && s.state != OCSP_REVOKED)
				fail_msg("octet %zu, bit %d", i, bit);
			w.der[i] ^= (uint8_t)(1 << bit);
		}
}

/* --- the responder's side --- */

static void a_responder_reads_openssls_requests(void **state)
{
	struct ocsp_ask q;
	uint8_t der[4096];
	size_t n;

	(void)state;
	run(w.dir, "openssl ocsp -issuer ca.pem -cert good.pem -sha256 -cert good.pem -reqout request"); /* SHA-1 and SHA-256, nonce of 16 */
	n = file_read(w.dir, "request", der, sizeof(der));
	assert_int_equal(ocsp_ask_read(BYTES(der, n), &q), OK);
	assert_int_equal(q.n, 2);
	assert_string_equal(q.serial[0], q.serial[1]);
	assert_true(ocsp_ask_issuer(&q, 0, w.pki.ca) && ocsp_ask_issuer(&q, 1, w.pki.ca));
	assert_false(ocsp_ask_issuer(&q, 0, w.pki.root));
	ocsp_ask_free(&q);
	der[n] = 0;
	assert_int_equal(ocsp_ask_read(BYTES(der, n + 1), &q), ERR_FORMAT);
}

static void a_nonce_has_its_limit(void **state)
{
	static uint8_t nonce[40];
	struct ocsp_ask q;

	(void)state;
	for (int len = 1; len <= 40; len++) {
		OCSP_REQUEST *r = OCSP_REQUEST_new();
		uint8_t *der = NULL;
		int n;

		assert_non_null(OCSP_request_add0_id(r, OCSP_cert_to_id(EVP_sha256(), w.good.cert, w.pki.ca)));
		assert_int_equal(OCSP_request_add1_nonce(r, nonce, len), 1);
		n = i2d_OCSP_REQUEST(r, &der);
		assert_int_equal(ocsp_ask_read(BYTES(der, n), &q), len <= OCSP_NONCE ? OK : ERR_FORMAT);
		ocsp_ask_free(&q);
		OPENSSL_free(der);
		OCSP_REQUEST_free(r);
	}
}

/* And the openssl command believes what we sign. */
static void openssl_reads_what_we_answer(void **state)
{
	const struct ocsp_status s[] = { { OCSP_GOOD, 0, -1 }, { OCSP_REVOKED, 1735689600, 1 }, { OCSP_UNKNOWN, 0, -1 } };
	X509 *all[] = { w.good.cert, w.revoked.cert, w.unknown.cert };
	struct ocsp_ask q;
	uint8_t *der = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(ocsp_ask_write((struct ocsp_question){ all, 3, w.pki.ca, w.nonce }, &der, &n), OK);
	file_write(w.dir, "request", BYTES(der, n));
	assert_int_equal(ocsp_ask_read(BYTES(der, n), &q), OK);
	OPENSSL_free(der);
	assert_int_equal(ocsp_answer_write(&q, s, (struct ocsp_signer){ w.pki.ocsp, w.pki.ocsp_key, clock_now(), 300 }, &der, &n), OK);
	file_write(w.dir, "ours", BYTES(der, n));
	ocsp_ask_free(&q);
	OPENSSL_free(der);
	pem_write(w.dir, "root", w.pki.root, NULL);
	run(w.dir, "openssl ocsp -reqin request -respin ours -CAfile root.pem -verify_other ca.pem -text >said; grep -q 'Response verify OK' said run.out");
	run(w.dir, "grep -q 'Cert Status: good' said && grep -q 'Cert Status: revoked' said && grep -q 'Revocation Reason: keyCompromise' said"
		" && grep -q 'Cert Status: unknown' said");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(openssl_answers_what_we_ask), cmocka_unit_test(only_the_cas_own_signer),
		cmocka_unit_test(time_is_held_to), cmocka_unit_test(errors_are_no_verdict), cmocka_unit_test(no_bit_makes_it_good),
		cmocka_unit_test(a_responder_reads_openssls_requests), cmocka_unit_test(a_nonce_has_its_limit),
		cmocka_unit_test(openssl_reads_what_we_answer) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
