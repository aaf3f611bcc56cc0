/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eight signed objects of one journey: none may be spoiled in any octet, or cut, or followed (DESIGN 3, signed objects). One bit of each
 * octet flips, in `./check --long` all eight, one after the other.
 */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/equipment/world.h"

struct specimen {
	enum object object;
	const char *id;              /* who signs it */
	const uint8_t *p;
	size_t n;
};

static enum err verify(const struct world *w, const struct specimen *s, struct bytes der)
{
	static uint8_t room[sizeof(struct profile) + sizeof(struct order)];

	assert_true(object_size(s->object) <= sizeof(room));
	return cms_open(s->object, der, from(s->id, w->pki.roots), room, NULL, NULL);
}

static void spoil(const struct world *w, const struct specimen *s)
{
	uint8_t *der = malloc(s->n + 1);
	const int all = getenv("USHER_LONG") != NULL;

	assert_non_null(der);
	memcpy(der, s->p, s->n);
	der[s->n] = 0;
	for (size_t i = 0; i < s->n; i++) {
		for (int bit = all ? 0 : (int)(i % 8); bit < 8; bit += all ? 1 : 8) {
			der[i] ^= (uint8_t)(1 << bit);
			if (!verify(w, s, BYTES(der, s->n)))
				fail_msg("%s: octet %zu, bit %d", object_name(s->object), i, bit);
			der[i] ^= (uint8_t)(1 << bit);
		}
		if (!verify(w, s, BYTES(der, i)))
			fail_msg("%s: cut to %zu octets", object_name(s->object), i);
	}
	assert_int_equal(verify(w, s, BYTES(der, s->n + 1)), ERR_FORMAT);
	assert_int_equal(verify(w, s, BYTES(der, s->n)), OK); /* as it was made */
	free(der);
}

static void no_bit_of_the_eight(void **state)
{
	static struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_committed(&w);
	make_ack(&w);
	{
		const struct specimen all[] = {
			{ OBJECT_DISCOVER, "901-70", w.discover, w.discover_n }, { OBJECT_CHALLENGE, "dlusim.example", w.challenge, w.challenge_n },
			{ OBJECT_ANSWER, "acme:000017", w.answer, w.answer_n }, { OBJECT_TRIGGER, "dlusim.example", w.trigger, w.trigger_n },
			{ OBJECT_RECEIPT, "acme:000017", w.receipt, w.receipt_n }, { OBJECT_ACKNOWLEDGEMENT, "dlusim.example", w.ack, w.ack_n },
			{ OBJECT_PROFILE, "262-42", w.profile, w.profile_n }, { OBJECT_ORDER, "901-70", w.order, w.order_n },
		};

		assert_int_equal(sizeof(all) / sizeof(*all), OBJECT_LAST);
		for (size_t i = 0; i < OBJECT_LAST; i++)
			spoil(&w, all + i);
	}
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(no_bit_of_the_eight) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
