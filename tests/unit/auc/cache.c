/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static struct number_changes changes = { .lock = PTHREAD_MUTEX_INITIALIZER };
static const struct number_state active = { "active", 5, 0, "" };

static struct auc_cache *opened(void)
{
	struct auc_cache *c;
	struct number_changes old;

	(void)number_changes_take(&changes, &old);
	assert_int_equal(auc_cache_open(&changes, &c), OK);
	return c;
}

static struct subscriber of(const char *equipment)
{
	struct subscriber s = { .state = &active };

	snprintf(s.equipment, sizeof(s.equipment), "%s", equipment);
	return s;
}

/* As a transaction names it (auc/number.c). */
static void change(const char *id)
{
	changes.seen++;
	if (changes.n < NUMBER_CHANGES)
		snprintf(changes.id[changes.n], DIGITS_MAX, "%s", id);
	changes.n += changes.n <= NUMBER_CHANGES;
}

static void what_changed_is_forgotten(void **state)
{
	struct auc_cache *c = opened();
	struct subscriber a = of("acme:1"), b = of("acme:2");

	(void)state;
	auc_cache_keep(c, "262420000000001", &a, number_changes_seen(&changes));
	auc_cache_keep(c, "262420000000002", &b, number_changes_seen(&changes));
	assert_string_equal(auc_cache_find(c, "262420000000001")->equipment, "acme:1");
	change("262420000000001");
	auc_cache_refresh(c);
	assert_null(auc_cache_find(c, "262420000000001"));
	assert_string_equal(auc_cache_find(c, "262420000000002")->equipment, "acme:2");
	for (int i = 0; i < NUMBER_CHANGES + 5; i++) /* more than can be named */
		change("262420000000007");
	auc_cache_refresh(c);
	assert_null(auc_cache_find(c, "262420000000002"));
	auc_cache_close(c);
}

/* Read, then barred, then the answer to the reading comes: it is old, and stays out. */
static void what_was_read_before_a_change_stays_out(void **state)
{
	struct auc_cache *c = opened();
	struct subscriber a = of("acme:1");
	uint64_t seen = number_changes_seen(&changes);

	(void)state;
	change("262420000000001");
	auc_cache_refresh(c);
	auc_cache_keep(c, "262420000000001", &a, seen);
	assert_null(auc_cache_find(c, "262420000000001"));
	auc_cache_keep(c, "262420000000001", &a, number_changes_seen(&changes));
	assert_non_null(auc_cache_find(c, "262420000000001"));
	auc_cache_close(c);
}

static void bounded_and_never_another_ones(void **state)
{
	struct auc_cache *c = opened();
	int there = 0;
	char id[DIGITS_MAX];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		snprintf(id, sizeof(id), "2624%011d", i);
		auc_cache_keep(c, id, &(struct subscriber){ .state = &active, .offset = i }, number_changes_seen(&changes));
	}
	for (int i = 0; i < 100000; i++) {
		const struct subscriber *s;

		snprintf(id, sizeof(id), "2624%011d", i);
		s = auc_cache_find(c, id);
		there += s != NULL;
		assert_true(!s || s->offset == i);
	}
	assert_in_range(there, 10000, 16384);
	auc_cache_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_changed_is_forgotten), cmocka_unit_test(what_was_read_before_a_change_stays_out),
		cmocka_unit_test(bounded_and_never_another_ones) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
