/* SPDX-License-Identifier: Apache-2.0 */
/* R13: signers certified by several attestation providers; each is asked about its own, and only all of them together are good. */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tests/unit/equipment/world.h"

/* core/clock.h, in the test's hand. */
static int64_t passed_ms;
int64_t clock_mono_ms(void) { return passed_ms; }
int64_t clock_mono_us(void) { return passed_ms * 1000; }
int64_t clock_now_ms(void) { return 1800000000000 + passed_ms; }
int64_t clock_now(void) { return clock_now_ms() / 1000; }

static int sealed(const struct world *w)
{
	struct discover_answer out;

	return tre_sealed(w->t, &out);
}

/* The home operator and its DLUSIM service are certified by another provider, whose root the tre holds too. Up to the package. */
static void two_providers(struct world *w, struct pki *home, size_t addresses)
{
	world_new(w);
	pki_new(home, 0x3fe);
	leaf_free(&w->dlusim);
	leaf_free(&w->hss);
	leaf_new(home, "dlusim", "dlusim.example", &w->dlusim);
	leaf_new(home, "hss", "262-42", &w->hss);
	assert_true(sk_X509_push(w->pki.roots, home->root));
	world_manufacture(w);
	assert_int_equal(ask_discover(w), OK);
	make_discover(w);
	w->d.ocsp.n = addresses;
	assert_int_equal(route_signed(w), OK);
	assert_int_equal(give_challenge(w), OK);
	assert_int_equal(give_trigger(w), OK);
	assert_int_equal(give_package(w), OK);
}

static void two_providers_free(struct world *w, struct pki *home)
{
	world_free(w);
	pki_free(home);
}

static void each_issuing_ca_is_asked_about_its_own(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	for (unsigned first = 0; first < 2; first++) { /* in any order */
		const struct pki *by[] = { &home, &w.pki }; /* turn by turn, as the route names them: package, DLUSIM, registration */

		two_providers(&w, &home, 3);
		for (unsigned turn = 0; turn < 4; turn++) {
			assert_int_equal(give_ocsp_of(&w, by[!(turn % 2)], turn, w.now, OCSP_GOOD), ERR_UNAVAILABLE); /* signed by the other's: nothing */
			assert_string_equal(w.responder, turn % 2 ? "127.0.0.1:6" : "127.0.0.1:4");
			assert_int_equal(w.asked, turn % 2 ? 1 : 2);
		}
		assert_int_equal(give_ocsp_of(&w, by[first], first, w.now, OCSP_GOOD), ERR_AGAIN);
		assert_string_equal(w.why.text, first ? "nothing is known yet of the certificate of hss 262-42"
			: "nothing is known yet of the certificate of registration 901-70");
		assert_int_equal(tre_inactive(w.t), 0);
		assert_int_equal(sealed(&w), 1);
		/* whoever has spoken is not asked again */
		assert_int_equal(give_ocsp_of(&w, by[!first], 0, w.now, OCSP_GOOD), OK);
		assert_int_equal(w.asked, first ? 2 : 1);
		assert_int_equal(tre_inactive(w.t), 1);
		two_providers_free(&w, &home);
	}
}

/* What one has said does not become true for the other, nor outlive a power cut. */
static void one_good_answer_is_not_all(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	two_providers(&w, &home, 3);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), ERR_AGAIN);
	assert_int_equal(tre_ocsp(w.t, BYTES(w.ocsp, w.ocsp_n), &w.why), ERR_UNAVAILABLE); /* no news: no reason to ask at once */
	world_again(&w);
	assert_int_equal(give_ocsp_of(&w, &w.pki, 1, w.now, OCSP_GOOD), ERR_AGAIN);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_UNKNOWN), ERR_UNAVAILABLE);
	assert_int_equal(tre_inactive(w.t), 0);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), OK);
	two_providers_free(&w, &home);
}

/* Nor for another package. */
static void a_new_package_is_asked_about_anew(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	two_providers(&w, &home, 3);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), ERR_AGAIN);
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	assert_int_equal(give_ocsp_of(&w, &w.pki, 1, w.now, OCSP_GOOD), ERR_AGAIN);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), OK);
	two_providers_free(&w, &home);
}

static void what_is_unknown_by_now_is_not_good(void **state)
{
	struct world w;
	struct pki home;
	uint8_t unknown[sizeof(w.ocsp)];
	size_t n;

	(void)state;
	two_providers(&w, &home, 3);
	assert_int_equal(make_ocsp_of(&w, &home, 0, w.now, OCSP_UNKNOWN), OK);
	memcpy(unknown, w.ocsp, n = w.ocsp_n);
	assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), ERR_AGAIN);
	assert_int_equal(tre_ocsp(w.t, BYTES(unknown, n), &w.why), ERR_UNAVAILABLE);
	assert_int_equal(give_ocsp_of(&w, &w.pki, 1, w.now, OCSP_GOOD), ERR_AGAIN);
	two_providers_free(&w, &home);
}

/* A revocation of the one is not to hide behind the silence of the other. */
static void a_good_answer_has_its_time(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	for (int late = 0; late < 2; late++) {
		two_providers(&w, &home, 3);
		assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), ERR_AGAIN);
		passed_ms += (300 + late) * 1000;
		assert_int_equal(give_ocsp_of(&w, &w.pki, late, clock_now(), OCSP_GOOD), late ? ERR_AGAIN : OK);
		if (late) /* asked anew */
			assert_int_equal(give_ocsp_of(&w, &home, 0, clock_now(), OCSP_REVOKED), ERR_REVOKED);
		two_providers_free(&w, &home);
	}
}

static void any_revoked_is_revoked(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	for (int spoken = 0; spoken < 2; spoken++) {
		two_providers(&w, &home, 3);
		if (spoken)
			assert_int_equal(give_ocsp_of(&w, &w.pki, 1, w.now, OCSP_GOOD), ERR_AGAIN);
		assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_REVOKED), ERR_REVOKED);
		assert_string_equal(w.why.text, "the certificate of hss 262-42 is revoked: the package is destroyed");
		assert_int_equal(sealed(&w), 0);
		two_providers_free(&w, &home);
	}
}

static void the_last_address_stands_for_the_rest(void **state)
{
	struct world w;
	struct pki home;

	(void)state;
	for (size_t addresses = 1; addresses <= 2; addresses++) {
		two_providers(&w, &home, addresses);
		assert_int_equal(give_ocsp_of(&w, &home, 0, w.now, OCSP_GOOD), ERR_AGAIN);
		assert_string_equal(w.responder, "127.0.0.1:4");
		assert_int_equal(give_ocsp_of(&w, &w.pki, 1, w.now, OCSP_GOOD), OK);
		assert_string_equal(w.responder, addresses == 1 ? "127.0.0.1:4" : "127.0.0.1:5");
		two_providers_free(&w, &home);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_issuing_ca_is_asked_about_its_own), cmocka_unit_test(one_good_answer_is_not_all),
		cmocka_unit_test(a_new_package_is_asked_about_anew), cmocka_unit_test(what_is_unknown_by_now_is_not_good), cmocka_unit_test(a_good_answer_has_its_time),
		cmocka_unit_test(any_revoked_is_revoked), cmocka_unit_test(the_last_address_stands_for_the_rest) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
