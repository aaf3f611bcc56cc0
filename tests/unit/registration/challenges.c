/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/registration/challenges.c" /* its buckets are its own */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct challenges *c;

static int opened(void **state)
{
	(void)state;
	c = challenges_open();
	return !c;
}

static int closed(void **state)
{
	(void)state;
	challenges_close(c);
	return 0;
}

static struct open_challenge of(int64_t pimsi, const char *nonce)
{
	struct open_challenge o = { .next = NULL };

	snprintf(o.pimsi, sizeof(o.pimsi), "%lld", (long long)pimsi);
	snprintf(o.nonce, sizeof(o.nonce), "%s", nonce);
	return o;
}

static void begin(int64_t pimsi, const char *nonce)
{
	const struct open_challenge o = of(pimsi, nonce);

	challenges_begin(c, &o);
}

static const char *nonce_of(int64_t pimsi)
{
	const struct open_challenge *o = challenges_find(c, of(pimsi, "").pimsi);

	return o ? o->nonce : "none";
}

static const int64_t FIRST = 901700000000001;

/* The next PIMSI that hangs in the same bucket. */
static int64_t beside(int64_t pimsi)
{
	struct open_challenge **place = place_of(c, of(pimsi, "").pimsi);
	int64_t other = pimsi + 1;

	while (place_of(c, of(other, "").pimsi) != place)
		other++;
	return other;
}

static void two_of_one_bucket_do_not_throw_each_other_out(void **state)
{
	const int64_t second = beside(FIRST), third = beside(second);

	(void)state;
	begin(FIRST, "one");
	begin(second, "two");
	begin(third, "three");
	assert_string_equal(nonce_of(FIRST), "one");
	assert_string_equal(nonce_of(second), "two");
	challenges_end(c, of(second, "").pimsi);
	assert_string_equal(nonce_of(second), "none");
	assert_string_equal(nonce_of(FIRST), "one");
	assert_string_equal(nonce_of(third), "three");
}

static void one_per_pimsi(void **state)
{
	(void)state;
	begin(FIRST, "one");
	begin(FIRST, "two");
	assert_string_equal(nonce_of(FIRST), "two");
	challenges_end(c, of(FIRST, "").pimsi);
	assert_string_equal(nonce_of(FIRST), "none");
	challenges_end(c, of(FIRST, "").pimsi);
}

static void the_oldest_makes_room(void **state)
{
	(void)state;
	for (int64_t i = 0; i < CHALLENGES; i++)
		begin(FIRST + i, "first");
	assert_string_equal(nonce_of(FIRST), "first");
	begin(FIRST + CHALLENGES, "new");
	assert_string_equal(nonce_of(FIRST), "none");
	assert_string_equal(nonce_of(FIRST + 1), "first");
	for (int i = 0; i < 2 * CHALLENGES; i++) /* one that asks and asks throws nobody out */
		begin(FIRST + CHALLENGES, "again");
	assert_string_equal(nonce_of(FIRST + CHALLENGES), "again");
	assert_string_equal(nonce_of(FIRST + 1), "first");
}

static void lives_a_minute(void **state)
{
	(void)state;
	begin(FIRST, "one");
	c->open[0].until -= CHALLENGE_MS - 1000;
	assert_string_equal(nonce_of(FIRST), "one");
	c->open[0].until -= 1000;
	assert_string_equal(nonce_of(FIRST), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(two_of_one_bucket_do_not_throw_each_other_out, opened, closed),
		cmocka_unit_test_setup_teardown(one_per_pimsi, opened, closed), cmocka_unit_test_setup_teardown(the_oldest_makes_room, opened, closed),
		cmocka_unit_test_setup_teardown(lives_a_minute, opened, closed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
