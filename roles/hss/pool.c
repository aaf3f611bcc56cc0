/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auc/auc.h"
#include "core/clock.h"
#include "roles/hss/hss.h"

enum { BLOCK_MAX = 100000 };

struct block {
	struct ask *ask;
	struct process *process;
	char from[DIGITS_MAX];
	int64_t count, added, free;
};

static enum err number_add(struct tx *tx, const char *imsi, int64_t *added)
{
	enum err e = tx_do(tx, "INSERT INTO imsi (imsi, state, equipment, k, opc, auc_offset, changed_at, visited, attached_at)"
		" VALUES (:imsi, 'allocated', '', :none, :none, 0, :now, '', 0) ON CONFLICT DO NOTHING",
		WITH(B_TEXT("imsi", imsi), B_BLOB("none", BYTES("", 0)), B_INT("now", clock_now())));

	*added += !e && tx_changes(tx);
	return e;
}

static enum err block_write(struct tx *tx, void *arg)
{
	struct block *b = arg;
	const struct row *r;
	long long first = atoll(b->from);
	int width = (int)strlen(b->from);
	enum err e = OK;

	b->added = 0;
	for (int64_t i = 0; i < b->count && !e; i++) {
		char imsi[32];

		snprintf(imsi, sizeof(imsi), "%0*lld", width, first + i);
		e = strlen(imsi) < DIGITS_MAX ? number_add(tx, imsi, &b->added) : ERR_RANGE;
	}
	if (!e && b->added)
		e = tx_audit(tx, "pool", ABOUT({ "pool", b->from }), "added %lld IMSIs from %s on", (long long)b->added, b->from);
	if (!e)
		e = tx_get(tx, "SELECT COUNT(*) FROM imsi WHERE state = 'allocated'", NULL, &r);
	if (!e)
		b->free = row_int(r, 0);
	return e;
}

static void block_done(void *arg, enum err e)
{
	struct block *b = arg;

	if (e)
		ask_refuse(b->ask, e, "the block %s + %lld was not added", b->from, (long long)b->count);
	else
		ask_reply_json(b->ask, 200, json_pack("{s:I, s:I}", "added", (json_int_t)b->added, "free", (json_int_t)b->free));
	free(b);
}

void pool_add(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct block *b = o ? calloc(1, sizeof(*b)) : NULL;
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return;
	e = b ? json_get_digits(o, "from", b->from, sizeof(b->from), &w) : ERR_NOMEM;
	if (!e)
		e = json_get_number(o, "count", 1, BLOCK_MAX, &b->count, &w);
	json_decref(o);
	if (e) {
		free(b);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	b->ask = a;
	b->process = process;
	store_run(b->process->store, block_write, b, block_done);
}

static enum err state_row(const struct row *r, void *arg)
{
	return json_object_set_new(arg, row_text(r, 0), json_integer(row_int(r, 1))) ? ERR_NOMEM : OK;
}

enum err pool_status(struct tx *tx, json_t *into, void *process)
{
	json_t *states = json_object();
	enum err e = tx_each(tx, "SELECT state, COUNT(*) FROM imsi GROUP BY state ORDER BY state", NULL, state_row, states);

	(void)process;
	return json_object_set_new(into, "imsi", states) ? ERR_NOMEM : e;
}

static enum err keys_make(const struct process *p, uint8_t k[SECRET_WRAPPED], uint8_t opc[SECRET_WRAPPED])
{
	struct order_keys keys;
	enum err e = secret_random(&keys, sizeof(keys));

	if (!e)
		e = kek_wrap(p->kek, &keys.k, k);
	if (!e)
		e = kek_wrap(p->kek, &keys.opc, opc);
	secret_wipe(&keys, sizeof(keys));
	return e;
}

enum err pool_prepare(struct tx *tx, const char *equipment, char imsi[DIGITS_MAX])
{
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];
	const struct row *r;
	int64_t now = clock_now();
	enum err e = tx_get(tx, "SELECT imsi FROM imsi WHERE state = 'allocated' ORDER BY imsi LIMIT 1", NULL, &r);

	if (e)
		return e == ERR_MISSING ? fail(tx_why(tx), ERR_LIMIT, "no IMSI is left; add numbers with `usher pool add hss`") : e;
	row_copy(r, 0, imsi, DIGITS_MAX);
	e = keys_make(store_owner(tx), k, opc);
	return e ? e : tx_do(tx, "UPDATE imsi SET state = 'prepared', equipment = :equipment, k = :k, opc = :opc, auc_offset = :offset,"
		" changed_at = :now, visited = '', attached_at = 0 WHERE imsi = :imsi",
		WITH(B_TEXT("equipment", equipment), B_BLOB("k", BYTES_OF(k)), B_BLOB("opc", BYTES_OF(opc)), B_INT("offset", auc_offset_new(now)),
			B_INT("now", now), B_TEXT("imsi", imsi)));
}
