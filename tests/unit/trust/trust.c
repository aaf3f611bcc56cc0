/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tests/unit/signers.h"

static const uint8_t nonce[OCSP_NONCE] = { 7 };

static void verdicts(void **state)
{
	static const struct {
		enum ocsp_state one, two;
		enum err verdict;
		const char *sentence;
	} rows[] = {
		{ OCSP_GOOD, OCSP_GOOD, OK, "" },
		{ OCSP_GOOD, OCSP_REVOKED, ERR_REVOKED, "the certificate of dlusim dlusim.example is revoked" },
		{ OCSP_REVOKED, OCSP_GOOD, ERR_REVOKED, "the certificate of hss 262-42 is revoked" },
		{ OCSP_UNKNOWN, OCSP_REVOKED, ERR_REVOKED, "the certificate of dlusim dlusim.example is revoked" },
		{ OCSP_GOOD, OCSP_UNKNOWN, ERR_MISSING, "the attestation provider does not know the certificate of dlusim dlusim.example" },
	};
	struct pki p;
	struct signer a, b;
	X509 *certs[2];
	struct ocsp_question asked = { certs, 2, NULL, nonce }, another, nothing;
	uint8_t *der = NULL, other[OCSP_NONCE] = { 8 };
	size_t n = 0;
	struct ocsp_ask q;
	int64_t produced;

	(void)state;
	pki_new(&p, 0x3fe);
	leaf_new(&p, "hss", "262-42", &a);
	leaf_new(&p, "dlusim", "dlusim.example", &b);
	certs[0] = a.cert;
	certs[1] = b.cert;
	asked.issuer = p.ca;
	another = nothing = asked;
	another.nonce = other;
	nothing.n = 0;
	assert_int_equal(ocsp_ask_write(asked, &der, &n), OK);
	assert_int_equal(ocsp_ask_read(BYTES(der, n), &q), OK);
	OPENSSL_free(der);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ocsp_status s[] = { { rows[i].one, clock_now() - 9, 1 }, { rows[i].two, clock_now() - 9, -1 } };
		struct why w = { "" };

		assert_int_equal(ocsp_answer_write(&q, s, (struct ocsp_signer){ p.ocsp, p.ocsp_key, clock_now(), 300 }, &der, &n), OK);
		assert_int_equal(trust_verdict(BYTES(der, n), asked, at_now(), &produced, &w), rows[i].verdict);
		assert_string_equal(w.text, rows[i].sentence);
		/* no verdict: another nonce, other octets, nothing at all */
		assert_int_equal(trust_verdict(BYTES(der, n), another, at_now(), &produced, &w), ERR_UNAVAILABLE);
		der[n / 2] ^= 1;
		assert_int_equal(trust_verdict(BYTES(der, n), asked, at_now(), &produced, &w), ERR_UNAVAILABLE);
		OPENSSL_free(der);
		assert_int_equal(trust_verdict(BYTES("", 0), asked, at_now(), &produced, &w), ERR_UNAVAILABLE);
		assert_int_equal(trust_verdict(BYTES("", 0), nothing, at_now(), &produced, &w), ERR_LIMIT);
	}
	assert_int_equal(ocsp_error_write(OCSP_RESPONSE_STATUS_UNAUTHORIZED, &der, &n), OK);
	assert_int_equal(trust_verdict(BYTES(der, n), asked, at_now(), &produced, &(struct why){ "" }), ERR_UNAVAILABLE);
	OPENSSL_free(der);
	ocsp_ask_free(&q);
	leaf_free(&a);
	leaf_free(&b);
	pki_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(verdicts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
