/* SPDX-License-Identifier: Apache-2.0 */
/* What an OCSP answer must be before anybody believes it. */
#include "proto/ocsp.h"

#include "tests/unit/pki.h"

struct world {
	struct pki pki;
	EVP_PKEY *key, *signer_key;
	X509 *cert, *other, *signer;
	uint8_t nonce[OCSP_NONCE];
	int64_t now;
	/* an answer, and what its check says */
	struct ocsp_status status;
	int64_t produced;
	struct why why;
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	pki_new(&w->pki);
	w->now = clock_now();
	w->key = EVP_EC_gen("P-256");
	w->signer_key = EVP_EC_gen("P-256");
	w->cert = pki_leaf(&w->pki, "equipment", "acme:1", CERT_SIGN, w->key);
	w->other = pki_leaf(&w->pki, "equipment", "acme:2", CERT_SIGN, w->key);
	w->signer = pki_issue(&(struct cert_new){ .kind = CERT_OCSP, .name = "ocsp" }, w->signer_key, w->pki.sign_ca, w->pki.sign_key);
	memset(w->nonce, 7, sizeof(w->nonce));
	return 0;
}

static int world_end(void **state)
{
	struct world *w = *state;

	X509_free(w->cert);
	X509_free(w->other);
	X509_free(w->signer);
	EVP_PKEY_free(w->key);
	EVP_PKEY_free(w->signer_key);
	pki_free(&w->pki);
	free(w);
	return 0;
}

/* Asks about cert with nonce, answers as said and signed; DER to be freed. */
static uint8_t *answer(struct world *w, X509 *cert, const uint8_t nonce[OCSP_NONCE], struct ocsp_status said, struct ocsp_signer by, size_t *n)
{
	struct ocsp_ask ask;
	uint8_t *der, *out;
	size_t len;

	assert_int_equal(ocsp_ask_write((struct ocsp_question){ &cert, 1, w->pki.sign_ca, nonce }, &der, &len), OK);
	assert_int_equal(ocsp_ask_read(BYTES(der, len), &ask), OK);
	assert_int_equal(ocsp_ask_issuer(&ask, 0, w->pki.sign_ca), 1);
	assert_int_equal(ocsp_ask_issuer(&ask, 0, w->pki.tls_ca), 0);
	assert_int_equal(ocsp_answer_write(&ask, &said, by, &out, n), OK);
	ocsp_ask_free(&ask);
	OPENSSL_free(der);
	return out;
}

static enum err check(struct world *w, const uint8_t *der, size_t n, struct cert_time time)
{
	return ocsp_answer_check(BYTES(der, n), (struct ocsp_question){ &w->cert, 1, w->pki.sign_ca, w->nonce }, time, &w->status, &w->produced, &w->why);
}

static const struct ocsp_status good = { .state = OCSP_GOOD };

static void what_was_said(void **state)
{
	struct world *w = *state;
	const struct ocsp_status said[] = { good, { .state = OCSP_REVOKED, .reason = 1, .revoked_at = w->now - 100 }, { .state = OCSP_UNKNOWN } };

	for (size_t i = 0; i < 3; i++) {
		size_t n;
		uint8_t *der = answer(w, w->cert, w->nonce, said[i], (struct ocsp_signer){ w->signer, w->signer_key, w->now, 300 }, &n);

		assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), OK);
		assert_int_equal(w->status.state, said[i].state);
		assert_int_equal(w->status.revoked_at, said[i].revoked_at);
		assert_int_equal(w->produced, w->now);
		for (size_t k = 0; k < n; k += 3) { /* no flipped octet goes through as good */
			der[k] ^= 0x40;
			if (check(w, der, n, (struct cert_time){ w->now, 0 }) == OK)
				assert_int_equal(w->status.state, said[i].state);
			der[k] ^= 0x40;
		}
		assert_int_not_equal(check(w, der, n - 1, (struct cert_time){ w->now, 0 }), OK);
		OPENSSL_free(der);
	}
}

static void for_whom(void **state)
{
	struct world *w = *state;
	uint8_t other[OCSP_NONCE], *der;
	size_t n;

	memset(other, 8, sizeof(other));
	der = answer(w, w->cert, other, good, (struct ocsp_signer){ w->signer, w->signer_key, w->now, 300 }, &n); /* an answer to somebody else, or an old one */
	assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), ERR_AUTH);
	assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 1 }), ERR_AUTH);
	OPENSSL_free(der);
	der = answer(w, w->other, w->nonce, good, (struct ocsp_signer){ w->signer, w->signer_key, w->now, 300 }, &n); /* about another certificate */
	assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), ERR_MISSING);
	OPENSSL_free(der);
	assert_int_equal(ocsp_error_write(3, &der, &n), OK); /* tryLater */
	assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), ERR_UNAVAILABLE);
	OPENSSL_free(der);
	assert_int_equal(ocsp_error_write(6, &der, &n), OK); /* unauthorized */
	assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), ERR_UNAVAILABLE);
	OPENSSL_free(der);
	assert_int_equal(check(w, (const uint8_t *)"x", 1, (struct cert_time){ w->now, 0 }), ERR_FORMAT);
}

/* Only the issuing CA's own OCSP signer: not another CA's, no other leaf of it, not the CA's root, not past its time. */
static void by_whom(void **state)
{
	struct world *w = *state;
	struct cert_new kind = { .kind = CERT_OCSP, .name = "ocsp" }, old = { .kind = CERT_OCSP, .name = "ocsp", .from = w->now - 1000, .until = w->now - 10 };
	X509 *bad[] = { pki_issue(&kind, w->signer_key, w->pki.tls_ca, w->pki.tls_key), pki_leaf(&w->pki, "attestation", "pki.example", CERT_SIGN, w->signer_key),
		pki_issue(&kind, w->signer_key, w->pki.root, w->pki.root_key), pki_issue(&old, w->signer_key, w->pki.sign_ca, w->pki.sign_key) };

	for (size_t i = 0; i < 4; i++) {
		size_t n;
		uint8_t *der = answer(w, w->cert, w->nonce, good, (struct ocsp_signer){ bad[i], w->signer_key, w->now, 300 }, &n);

		assert_int_equal(check(w, der, n, (struct cert_time){ w->now, 0 }), ERR_AUTH);
		OPENSSL_free(der);
		X509_free(bad[i]);
	}
}

static void of_when(void **state)
{
	static const struct {
		int64_t at;
		int floor_only;
		enum err err;
	} cases[] = { { 0, 0, OK }, { -200, 0, OK }, { 200, 0, OK }, { -700, 0, ERR_EXPIRED }, { 700, 0, ERR_EXPIRED }, { -700, 1, ERR_EXPIRED },
		{ 700, 1, OK } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t n;
		uint8_t *der = answer(w, w->cert, w->nonce, good, (struct ocsp_signer){ w->signer, w->signer_key, w->now + cases[i].at, 300 }, &n);

		assert_int_equal(check(w, der, n, (struct cert_time){ w->now, cases[i].floor_only }), cases[i].err);
		OPENSSL_free(der);
	}
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, world_make, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(what_was_said), TEST(for_whom), TEST(by_whom), TEST(of_when) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
