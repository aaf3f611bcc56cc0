/* SPDX-License-Identifier: Apache-2.0 */
#include "auc/auc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

enum { NOW = AUC_EPOCH + 1000000 };

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

	assert_int_equal(auc_open(mark, &a), OK);
	auc_saved(a, auc_wanted(a, now));
	return a;
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

static void sequence_only_rises(void **state)
{
	struct auc_identity x = identity(-1000000 + 1);
	struct auc *a = opened(0, NOW);
	struct vector v, before = { 0 };
	uint64_t last = 0, seq;
	uint8_t amf[2];

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(auc_vector(a, &x, i & 1 ? AUC_DISCOVER : AUC_GSUP, NOW - i, &v), OK);
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

static void a_number_serves_from_the_second_of_its_issue(void **state)
{
	struct auc_identity x = identity(auc_offset_new(NOW));
	struct auc *a = opened(0, NOW);
	struct vector v;
	uint8_t amf[2];

	(void)state;
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW - 50, &v), OK); /* the clock went back since */
	assert_int_equal(sqn_of(&x, &v, amf) >> 5, 1);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), OK);
	assert_int_equal(sqn_of(&x, &v, amf) >> 5, 2);
	auc_close(a);
	a = opened(0, NOW);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), OK);
	assert_int_equal(sqn_of(&x, &v, amf) >> 5, 1);
	auc_close(a);
}

static void nothing_leaves_above_the_mark(void **state)
{
	struct auc_identity x = identity(0);
	struct auc *a;
	struct vector v;
	uint64_t last, next;
	uint8_t amf[2];
	int64_t mark;
	int n = 0;

	(void)state;
	assert_int_equal(auc_open(0, &a), OK);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), ERR_AGAIN);
	mark = auc_wanted(a, NOW);
	auc_saved(a, mark);
	while (!auc_vector(a, &x, AUC_GSUP, NOW, &v))
		n++;
	assert_int_equal(n, AUC_AHEAD_S);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), ERR_AGAIN);
	auc_saved(a, mark + 10);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), OK);
	last = sqn_of(&x, &v, amf) >> 5;
	auc_close(a);
	/* killed: the mark on disk alone decides, even with a clock that went back */
	a = opened(mark + 10, NOW - 5000);
	assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW - 5000, &v), OK);
	next = sqn_of(&x, &v, amf) >> 5;
	assert_true(next > last);
	auc_close(a);
}

static void resynchronises_either_way(void **state)
{
	static const int64_t usim[] = { 5, 2000000 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct auc_identity x = identity(0);
		struct auc *a = opened(0, NOW);
		struct vector v;
		struct milenage m;
		uint8_t auts[14], amf[2], other[16] = { 9 };

		assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), OK);
		assert_int_equal(milenage_open(&m, &x.k, &x.opc), OK);
		assert_int_equal(milenage_auts(&m, v.rand, (uint64_t)usim[i] << 5 | 3, auts), OK);
		assert_int_equal(auc_resync(a, &x, other, auts, NOW, &x.offset), ERR_MISSING);
		assert_int_equal(auc_resync(a, &x, v.rand, auts, NOW, &x.offset), OK);
		assert_int_equal(auc_vector(a, &x, AUC_GSUP, NOW, &v), OK);
		assert_true(sqn_of(&x, &v, amf) >> 5 == (uint64_t)usim[i] + 1);
		auts[0] ^= 1;
		assert_int_equal(auc_resync(a, &x, v.rand, auts, NOW, &x.offset), ERR_AUTH);
		milenage_close(&m);
		auc_close(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sequence_only_rises), cmocka_unit_test(a_number_serves_from_the_second_of_its_issue),
		cmocka_unit_test(nothing_leaves_above_the_mark), cmocka_unit_test(resynchronises_either_way) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
