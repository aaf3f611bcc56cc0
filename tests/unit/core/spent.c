/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spent.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static int64_t cpu_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Works until its thread has used this much CPU time. */
static void burn(int64_t us)
{
	int64_t until = cpu_us(CLOCK_THREAD_CPUTIME_ID) + us;

	while (cpu_us(CLOCK_THREAD_CPUTIME_ID) < until)
		;
}

static int64_t us_of(int step)
{
	const char *word;

	return spent_us(step, &word);
}

static int64_t sum(void)
{
	int64_t all = 0, us;
	const char *word;

	for (int i = 0; (us = spent_us(i, &word)) >= 0; i++)
		all += us;
	return all;
}

static void words(void **state)
{
	const char *word;
	int verify = spent_step("/v1/verify");

	(void)state;
	assert_int_equal(spent_step("verify"), verify);
	assert_int_equal(spent_step("/v1/verify/done"), verify);
	assert_int_not_equal(spent_step("install"), verify);
	assert_true(spent_us(verify, &word) >= 0);
	assert_string_equal(word, "verify");
	assert_int_equal(spent_step("/"), SPENT_LOOP);
	assert_int_equal(spent_step("a word that is too long to be one"), SPENT_LOOP);
	assert_int_equal(spent_us(SPENT_STEPS, &word), -1);
}

static void moves(void **state)
{
	int verify = spent_step("verify"), seal = spent_step("seal"), before = spent_switch(verify);
	int64_t v = us_of(verify), s = us_of(seal), all = sum();

	(void)state;
	burn(20000);
	assert_int_equal(spent_switch(seal), verify);
	assert_true(us_of(verify) - v >= 19000 && us_of(verify) - v < 40000);
	assert_int_equal(us_of(seal), s);
	burn(10000);
	spent_switch(before);
	assert_true(us_of(seal) - s >= 9000);
	assert_true(sum() - all >= 29000);
	assert_true(sum() <= cpu_us(CLOCK_PROCESS_CPUTIME_ID));
}

static void aside(void **state)
{
	int verify = spent_step("verify"), before = spent_switch(SPENT_ASIDE);
	int64_t v = us_of(verify), ns;

	(void)state;
	burn(5000);
	spent_switch(before);
	ns = spent_taken();
	assert_true(ns >= 4900000);
	assert_int_equal(spent_taken(), 0);
	assert_int_equal(us_of(verify), v);
	spent_add(verify, ns);
	assert_true(us_of(verify) - v >= 4900);
	assert_true(sum() <= cpu_us(CLOCK_PROCESS_CPUTIME_ID));
}

static void *elsewhere(void *arg)
{
	int before = spent_switch(*(int *)arg);

	burn(10000);
	spent_switch(before);
	return NULL;
}

static void threads(void **state)
{
	int store = spent_step("store"), mine = spent_step("mine"), before = spent_switch(mine);
	pthread_t t[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(t + i, NULL, elsewhere, &store), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	spent_switch(before);
	assert_true(us_of(store) >= 19000);
	assert_true(us_of(mine) < 9000); /* waiting costs nothing */
	assert_true(sum() <= cpu_us(CLOCK_PROCESS_CPUTIME_ID));
}

static void full(void **state)
{
	char word[SPENT_WORD];
	int last = 0;

	(void)state;
	for (int i = 0; i < 2 * SPENT_STEPS; i++) {
		snprintf(word, sizeof(word), "word%d", i);
		last = spent_step(word);
		assert_true(last >= 0 && last < SPENT_STEPS);
	}
	assert_int_equal(last, SPENT_LOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(moves), cmocka_unit_test(aside), cmocka_unit_test(threads),
		cmocka_unit_test(full) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
