/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "auc/auc.h"

enum { NOW = AUC_EPOCH + 1000 };

static const char *const tables[] = { "CREATE TABLE pimsi (pimsi TEXT PRIMARY KEY, auc_offset BIGINT NOT NULL, auc_since BIGINT NOT NULL);"
	"INSERT INTO pimsi VALUES ('901700000000001', 0, 0);", NULL };
static struct number_changes changes = { .lock = PTHREAD_MUTEX_INITIALIZER };
static const struct numbers pimsis = { "pimsi", "PIMSI", NULL, NULL, &changes, NUMBER_SQL("pimsi") };
static const struct auc_identity x = { .id = "901700000000001" };

static enum err save(struct tx *tx, void *arg)
{
	return number_resynced(tx, &pimsis, x.id, arg);
}

static enum err look(struct tx *tx, void *arg)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT auc_offset FROM pimsi", NULL, &r);

	*(int64_t *)arg = e ? -1 : row_int(r, 0);
	return e;
}

/* The SIM's SEQ by AUTS to a vector that was given earlier, judged as if nothing had been saved since. */
static struct auc_resynced judged(struct auc *a, const struct vector *v, uint64_t seq)
{
	struct auc_resynced r;
	struct milenage m;
	uint8_t auts[14];

	assert_int_equal(milenage_open(&m, &x.k, &x.opc), OK);
	assert_int_equal(milenage_auts(&m, v->rand, seq << 5, auts), OK);
	milenage_close(&m);
	assert_int_equal(auc_resync(a, &x, v->rand, auts, NOW, &r), OK);
	return r;
}

/* Two networks bring an AUTS each before either is on disk: the one saved second was judged by what no longer holds. */
static void a_resynchronisation_is_not_overwritten_by_one_judged_before_it(void **state)
{
	const struct store_schema schema = { tables };
	const struct secret key = { { 1 } };
	struct why w = { "" };
	struct loop *l;
	struct store *s;
	struct auc *a;
	struct vector v[2];
	struct auc_resynced old, new;
	int64_t offset;
	int n = 2;

	(void)state;
	assert_int_equal(loop_new(&l), OK);
	assert_int_equal(store_open(l, NULL, &schema, 1, &s, &w), OK);
	assert_int_equal(auc_open(0, &key, &a), OK);
	auc_saved(a, auc_wanted(a, NOW));
	assert_int_equal(auc_vectors(a, &x, AUC_GSUP, NOW, v, &n), OK);
	old = judged(a, v, 100);
	new = judged(a, v + 1, 200);
	assert_int_equal(store_run_now(s, save, &new), OK);
	assert_int_equal(store_run_now(s, save, &old), ERR_EXPIRED);
	assert_int_equal(store_run_now(s, look, &offset), OK);
	assert_int_equal(offset, new.offset);
	auc_close(a);
	store_close(s);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_resynchronisation_is_not_overwritten_by_one_judged_before_it) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
