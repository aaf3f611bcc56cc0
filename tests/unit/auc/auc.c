/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/auc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

enum { NOW = AUC_EPOCH + 1000000, YEAR = 365 * 86400 };

static const struct secret rand_key = { { 0x5a, 7 } };

static struct auc_identity identity(int64_t offset)
{
	struct auc_identity x = { .id = "901700000000001", .offset = offset };

	memset(&x.k, 1, sizeof(x.k));
	memset(&x.opc, 2, sizeof(x.opc));
	return x;
}

static struct auc *opened(int64_t mark, int64_t now)
{
	struct auc *a;

	assert_int_equal(auc_open(mark, &rand_key, &a), OK);
	auc_saved(a, auc_wanted(a, now));
	return a;
}

static enum err one(struct auc *a, const struct auc_identity *x, enum auc_use use, int64_t now, struct vector *v)
{
	int n = 1;
	enum err e = auc_vectors(a, x, use, now, v, &n);

	assert_int_equal(n, e ? 0 : 1);
	return e;
}

static uint64_t sqn_of(const struct auc_identity *x, const struct vector *v, uint8_t amf[2])
{
	struct milenage m;
	struct milenage_keys k;
	uint64_t sqn = 0;

	assert_int_equal(milenage_open(&m, &x->k, &x->opc), OK);
	assert_int_equal(milenage_check(&m, v->rand, v->autn, &sqn, amf, &k), OK);
	milenage_close(&m);
	return sqn;
}

static uint64_t seq_of(const struct auc_identity *x, const struct vector *v)
{
	uint8_t amf[2];

	return sqn_of(x, v, amf) >> 5;
}

static void sequence_only_rises(void **state)
{
	struct auc_identity x = identity(-1000000 + 1);
	struct auc *a = opened(0, NOW);
	struct vector v, before = { .rand = { 0 } };
	uint64_t last = 0, seq;
	uint8_t amf[2];

	(void)state;
	for (int i = 0; i < 28; i++) {
		assert_int_equal(one(a, &x, i & 1 ? AUC_DISCOVER : AUC_GSUP, NOW - i, &v), OK);
		seq = sqn_of(&x, &v, amf) >> 5;
		assert_true(seq > last);
		assert_int_equal(amf[1], i & 1);
		assert_true(i & 1 ? (sqn_of(&x, &v, amf) & 31) >= 28 : (sqn_of(&x, &v, amf) & 31) < 28);
		assert_memory_not_equal(v.rand, before.rand, 16);
		before = v;
		last = seq;
		if (!i)
			assert_true(seq == 1); /* SEQ starts at 1 at the moment of issue */
	}
	auc_close(a);
}

static void five_at_a_time(void **state)
{
	struct auc_identity x = identity(0);
	struct auc *a = opened(0, NOW);
	struct vector v[5];
	int n = 5;

	(void)state;
	assert_int_equal(auc_vectors(a, &x, AUC_GSUP, NOW, v, &n), OK);
	assert_int_equal(n, 5);
	for (int i = 1; i < 5; i++) {
		assert_true(seq_of(&x, v + i) == seq_of(&x, v + i - 1) + 1);
		assert_memory_not_equal(v[i].rand, v[i - 1].rand, 16);
	}
	auc_close(a);
}

static void a_number_serves_from_the_second_of_its_issue(void **state)
{
	struct auc_identity x = identity(auc_offset_new(NOW));
	struct auc *a = opened(0, NOW);
	struct vector v;

	(void)state;
	assert_int_equal(one(a, &x, AUC_GSUP, NOW - 50, &v), OK); /* the clock went back since */
	assert_int_equal(seq_of(&x, &v), 1);
	assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
	assert_true(seq_of(&x, &v) >= 2);
	auc_close(a);
	a = opened(0, NOW);
	assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
	assert_int_equal(seq_of(&x, &v), 1);
	auc_close(a);
}

static void nothing_leaves_above_the_mark(void **state)
{
	struct auc_identity x = identity(0);
	struct auc *a;
	struct vector v;
	uint64_t last;
	int64_t mark, now = NOW;

	(void)state;
	assert_int_equal(auc_open(0, &rand_key, &a), OK);
	assert_int_equal(one(a, &x, AUC_GSUP, now, &v), ERR_AGAIN);
	mark = auc_wanted(a, now);
	auc_saved(a, mark);
	while (!one(a, &x, AUC_GSUP, now, &v))
		now++;
	assert_int_equal(now - NOW, AUC_AHEAD_S);
	assert_int_equal(one(a, &x, AUC_GSUP, now, &v), ERR_AGAIN);
	auc_saved(a, mark + 10);
	assert_int_equal(one(a, &x, AUC_GSUP, now, &v), OK);
	last = seq_of(&x, &v);
	auc_close(a);
	/* killed: the mark on disk alone decides, even with a clock that went back */
	a = opened(mark + 10, NOW - 5000);
	assert_int_equal(one(a, &x, AUC_GSUP, NOW - 5000, &v), OK);
	assert_true(seq_of(&x, &v) > last);
	auc_close(a);
}

/* The mark is renewed as the server does it; nothing else is kept over a kill. */
static uint64_t step(struct auc *a, const struct auc_identity *x, int64_t now, int64_t *mark, uint64_t last)
{
	struct vector v;
	int64_t wanted = auc_wanted(a, now);
	uint64_t seq;

	if (wanted)
		auc_saved(a, *mark = wanted);
	assert_int_equal(one(a, x, AUC_GSUP, now, &v), OK);
	seq = seq_of(x, &v);
	assert_true(seq > last);
	return seq;
}

static void over_kills_and_clocks_that_step(void **state)
{
	static const int64_t jump[] = { 0, YEAR, -YEAR, -2 * YEAR, 3 * YEAR, -86400, 1, -1, 600, -600 };
	struct auc_identity x = identity(auc_offset_new(NOW));
	int64_t mark = 0, now = NOW;
	uint64_t last = 0;

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		struct auc *a;

		assert_int_equal(auc_open(mark, &rand_key, &a), OK);
		for (int k = 0; k < 10; k++) { /* steps while it runs, too */
			now += k & 1 ? jump[(i + (size_t)k) % 10] : 1;
			last = step(a, &x, now, &mark, last);
		}
		auc_close(a); /* kill -9: it saves nothing at its end */
		now += jump[i % 10];
	}
}

/* More identities than are remembered, all in one second: of each, the second vector is above the first. */
static void forgets_without_repeating(void **state)
{
	enum { MANY = 150000 };
	struct auc *a = opened(0, NOW);
	struct auc_identity x = identity(0);
	uint64_t *first = calloc(MANY, sizeof(*first));
	char id[16];

	(void)state;
	x.id = id;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < MANY; i += round ? 97 : 1) {
			struct vector v;

			snprintf(id, sizeof(id), "9017%011d", i);
			assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
			if (!round)
				first[i] = i % 97 ? 0 : seq_of(&x, &v);
			else
				assert_true(seq_of(&x, &v) > first[i]);
		}
	free(first);
	auc_close(a);
}

static void too_many_at_once(void **state)
{
	struct auc_identity x = identity(0), y = identity(0);
	struct auc *a = opened(0, NOW);
	struct vector v;
	int n = 0;

	(void)state;
	y.id = "901700000000002";
	while (!one(a, &x, AUC_DISCOVER, NOW, &v)) /* a stranger may */
		n++;
	assert_int_equal(n, AUC_RUN_DISCOVER);
	while (!one(a, &x, AUC_GSUP, NOW, &v)) /* the network still may */
		n++;
	assert_int_equal(n, AUC_RUN);
	assert_int_equal(one(a, &x, AUC_DISCOVER, NOW, &v), ERR_LIMIT);
	assert_int_equal(one(a, &y, AUC_GSUP, NOW, &v), OK); /* another one is not concerned */
	assert_int_equal(one(a, &x, AUC_GSUP, NOW + 1, &v), OK);
	assert_int_equal(one(a, &x, AUC_GSUP, NOW + 1, &v), ERR_LIMIT);
	auc_close(a);
}

static void auts_make(const struct auc_identity *x, const struct vector *v, uint64_t seq, uint8_t auts[14])
{
	struct milenage m;

	assert_int_equal(milenage_open(&m, &x->k, &x->opc), OK);
	assert_int_equal(milenage_auts(&m, v->rand, seq << 5 | 3, auts), OK);
	milenage_close(&m);
}

/* As it is saved. */
static enum err resync(struct auc *a, struct auc_identity *x, const uint8_t rand[16], const uint8_t auts[14], int64_t now)
{
	struct auc_resynced r;
	enum err e = auc_resync(a, x, rand, auts, now, &r);

	if (!e) {
		x->offset = r.offset;
		x->since = r.since;
	}
	return e;
}

static void resynchronises_either_way(void **state)
{
	static const uint64_t usim[] = { 5, 2000000 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct auc_identity x = identity(0), y = identity(0);
		struct auc *a = opened(0, NOW);
		struct vector v;
		uint8_t auts[14], other[16] = { 9 };

		y.id = "901700000000002";
		assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
		auts_make(&x, &v, usim[i], auts);
		assert_int_equal(resync(a, &x, other, auts, NOW), ERR_MISSING);
		assert_int_equal(resync(a, &y, v.rand, auts, NOW), ERR_MISSING); /* somebody else's RAND */
		auts[0] ^= 1;
		assert_int_equal(resync(a, &x, v.rand, auts, NOW), ERR_AUTH);
		auts[0] ^= 1;
		/* killed in between: the RAND itself says that it is ours */
		auc_close(a);
		a = opened(NOW - AUC_EPOCH + AUC_AHEAD_S, NOW);
		assert_int_equal(resync(a, &x, v.rand, auts, NOW), OK);
		assert_int_equal(resync(a, &x, v.rand, auts, NOW), ERR_EXPIRED); /* a replay */
		assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
		assert_true(seq_of(&x, &v) == usim[i] + 1);
		auc_close(a);
	}
}

static void resyncs_have_a_bucket(void **state)
{
	struct auc_identity x = identity(0);
	struct auc *a = opened(0, NOW);
	struct vector v;
	uint8_t auts[14];
	int n = 0;
	enum err e;

	(void)state;
	do {
		assert_int_equal(one(a, &x, AUC_GSUP, NOW, &v), OK);
		auts_make(&x, &v, 100 + (uint64_t)n, auts);
		e = resync(a, &x, v.rand, auts, NOW);
	} while (!e && ++n < 100);
	assert_int_equal(e, ERR_LIMIT);
	assert_int_equal(n, AUC_RESYNCS);
	assert_int_equal(resync(a, &x, v.rand, auts, NOW + AUC_RESYNC_S), OK);
	auc_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sequence_only_rises), cmocka_unit_test(five_at_a_time),
		cmocka_unit_test(a_number_serves_from_the_second_of_its_issue), cmocka_unit_test(nothing_leaves_above_the_mark),
		cmocka_unit_test(over_kills_and_clocks_that_step), cmocka_unit_test(forgets_without_repeating), cmocka_unit_test(too_many_at_once),
		cmocka_unit_test(resynchronises_either_way), cmocka_unit_test(resyncs_have_a_bucket) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
