/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auc/auc.h"
#include "core/clock.h"
#include "roles/registration/registration.h"

enum { BLOCK_MAX = 100000 };

struct block {
	struct ask *ask;
	struct process *process;
	char from[DIGITS_MAX];
	int64_t count, added, free;
};

static enum err number_add(struct tx *tx, const char *pimsi, int64_t *added)
{
	enum err e = tx_do(tx, "INSERT INTO pimsi (pimsi, state, equipment, k, opc, auc_offset, changed_at, visited, attached_at)"
		" VALUES (:pimsi, 'free', '', :none, :none, 0, :now, '', 0) ON CONFLICT DO NOTHING",
		WITH(B_TEXT("pimsi", pimsi), B_BLOB("none", BYTES("", 0)), B_INT("now", clock_now())));

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
		char pimsi[32];

		snprintf(pimsi, sizeof(pimsi), "%0*lld", width, first + i);
		e = strlen(pimsi) < DIGITS_MAX ? number_add(tx, pimsi, &b->added) : ERR_RANGE;
	}
	if (!e && b->added)
		e = tx_audit(tx, "pool", ABOUT({ "pool", b->from }), "added %lld PIMSIs from %s on", (long long)b->added, b->from);
	if (!e)
		e = tx_get(tx, "SELECT COUNT(*) FROM pimsi WHERE state = 'free'", NULL, &r);
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
	enum err e = tx_each(tx, "SELECT state, COUNT(*) FROM pimsi GROUP BY state ORDER BY state", NULL, state_row, states);

	(void)process;
	return json_object_set_new(into, "pimsi", states) ? ERR_NOMEM : e;
}

enum err pool_issue(struct tx *tx, const char *equipment, const struct order_keys *keys, char pimsi[DIGITS_MAX])
{
	const struct process *p = store_owner(tx);
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];
	const struct row *r;
	int64_t now = clock_now();
	enum err e = tx_get(tx, "SELECT pimsi FROM pimsi WHERE state = 'free' ORDER BY pimsi LIMIT 1", NULL, &r);

	if (e)
		return e == ERR_MISSING ? fail(tx_why(tx), ERR_LIMIT, "no PIMSI is free; add numbers with `usher pool add`") : e;
	row_copy(r, 0, pimsi, DIGITS_MAX);
	e = kek_wrap(p->kek, &keys->k, k);
	if (!e)
		e = kek_wrap(p->kek, &keys->opc, opc);
	if (!e)
		e = tx_do(tx, "UPDATE pimsi SET state = 'issued', equipment = :equipment, k = :k, opc = :opc, auc_offset = :offset,"
			" changed_at = :now, visited = '', attached_at = 0 WHERE pimsi = :pimsi",
			WITH(B_TEXT("equipment", equipment), B_BLOB("k", BYTES_OF(k)), B_BLOB("opc", BYTES_OF(opc)),
				B_INT("offset", auc_offset_new(now)), B_INT("now", now), B_TEXT("pimsi", pimsi)));
	return e;
}
