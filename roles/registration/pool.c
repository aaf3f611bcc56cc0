/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The life of a PIMSI (P1, P6; DESIGN 4): its states, and who moves it from one to the next. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "roles/registration/registration.h"

static enum err follow_route(struct tx *tx, struct number *x, struct why *w);
static enum err unblocked(struct tx *tx, struct number *x, struct why *w);
static enum err used_while_blocked(struct tx *tx, struct number *x, struct why *w);
static enum err grace_begins(struct tx *tx, struct number *x, struct why *w);
static enum err used_up(struct tx *tx, struct number *x, struct why *w);

static const struct number_state states[] = {
	{ "free", 0, 17, "nobody has it; an order takes it" },
	{ "reserved", 0, 17, "kept out of orders by staff" },
	{ "issued", 0, 17, "ordered for an equipment; the factory's bind makes it live" },
	{ "bound", 1, 0, "of an equipment that nobody has subscribed yet" },
	{ "routed", 1, 0, "of an equipment on its way to the operator that its owner chose" },
	{ "used", 1, 0, "of an equipment that has its own USIM; retired when the grace is over" },
	{ "retired", 0, 8, "barred; in quarantine when no network holds it any more" },
	{ "quarantine", 0, 8, "barred until staff releases it into the pool" },
	{ "blocked", 0, 8, "barred by staff until it is unblocked" },
	{ 0 },
};
#define OTHER "{equipment} has a USIM of operator {by}, and its owner has chosen another since: PIMSI {number} waits for that one"
static const struct number_move moves[] = {
	{ "free", "issue", "issued", "factory", "manufacture", "issued PIMSI {number} to {equipment}, ordered by {by}", NULL },
	{ "free", "reserve", "reserved", "staff", "pool", "PIMSI {number} is kept out of orders by {by}", NULL },
	{ "issued", "bind", "bound", "factory", "manufacture", "bound PIMSI {number} to {equipment}; from now on it gets vectors", follow_route },
	{ "bound", "claim", "routed", "dlusim", "subscribe", NULL, NULL },
	{ "used", "claim", "routed", "dlusim", "subscribe", "{equipment} is to go to operator {by} now: PIMSI {number} is not retired", NULL },
	{ "routed", "receipt", "used", "equipment", "install",
		"{equipment} has its own USIM of operator {by}; PIMSI {number} is used, and will be retired", grace_begins },
	{ "routed", "other-receipt", "routed", "equipment", "install", OTHER, NULL },
	{ "blocked", "other-receipt", "blocked", "equipment", "install", OTHER, NULL },
	{ "used", "receipt", "used", "equipment", "install", "{equipment} has another USIM of operator {by}; PIMSI {number} stays used", grace_begins },
	{ "retired", "receipt", "retired", "equipment", "install", "{equipment} has another USIM of operator {by}; PIMSI {number} is retired", NULL },
	{ "quarantine", "receipt", "quarantine", "equipment", "install", "{equipment} has another USIM of operator {by}; PIMSI {number} is in quarantine", NULL },
	{ "blocked", "receipt", "blocked", "equipment", "install", "{equipment} has its own USIM of operator {by}; PIMSI {number} is used, but blocked",
		used_while_blocked },
	{ "used", "grace", "retired", "time", "install", "PIMSI {number} is retired: its grace is over", NULL },
	{ "retired", "let-go", "quarantine", "visited", "pool", "PIMSI {number} is in quarantine: no network holds it any more", NULL },
	{ "retired", "quarantine", "quarantine", "staff", "pool", "PIMSI {number} is in quarantine, put there by {by}", NULL },
	{ "blocked", "quarantine", "quarantine", "staff", "pool", "PIMSI {number} is in quarantine, put there by {by}", NULL },
	{ "quarantine", "release", "free", "staff", "pool", "PIMSI {number} is free again, released by {by}: {equipment} can never return with it",
		used_up },
	{ "reserved", "release", "free", "staff", "pool", "PIMSI {number} is free again, released by {by}", NULL },
	{ "*", "block", "blocked", "staff", "pool", "PIMSI {number} is blocked by {by}", NULL },
	{ "blocked", "unblock", NULL, "staff", "pool", "PIMSI {number} is unblocked by {by}", unblocked },
	{ 0 },
};
static struct number_changes changes = { .lock = PTHREAD_MUTEX_INITIALIZER };
const struct numbers pimsis = { "pimsi", "PIMSI", states, moves, &changes, NUMBER_SQL("pimsi") };

/* --- what else a move does --- */

/* A route is of the equipment, all its PIMSIs: one that is bound later goes the same way. */
static enum err follow_route(struct tx *tx, struct number *x, struct why *w)
{
	const struct row *r;
	enum err e = strcmp(x->state, "bound") ? ERR_MISSING : tx_get(tx, "SELECT 1 FROM route WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", x->equipment)), &r);

	(void)w;
	if (!e)
		snprintf(x->state, sizeof(x->state), "routed");
	return e == ERR_MISSING ? OK : e;
}

/* Time goes on while it is blocked: claims and receipts have come, the grace may be over. */
static enum err unblocked(struct tx *tx, struct number *x, struct why *w)
{
	const struct row *r;
	enum err e = follow_route(tx, x, w);

	if (e || strcmp(x->state, "used"))
		return e;
	e = tx_get(tx, "SELECT MAX(taken_at) FROM receipt WHERE pimsi = :pimsi AND life = :life", WITH(B_TEXT("pimsi", x->id), B_INT("life", x->life)), &r);
	return e ? e : retire_later(tx, x->id, row_int(r, 0));
}

static enum err used_while_blocked(struct tx *tx, struct number *x, struct why *w)
{
	(void)tx, (void)w;
	if (!strcmp(x->before, "routed"))
		snprintf(x->before, sizeof(x->before), "used");
	return OK;
}

static enum err grace_begins(struct tx *tx, struct number *x, struct why *w)
{
	(void)w;
	return retire_later(tx, x->id, clock_now());
}

/* What its equipment used of today's limited access is not the next one's. */
static enum err used_up(struct tx *tx, struct number *x, struct why *w)
{
	(void)w;
	return tx_do(tx, "DELETE FROM budget WHERE pimsi = :pimsi", WITH(B_TEXT("pimsi", x->id)));
}

/* --- of an equipment --- */

static enum err of_row(const struct row *r, void *arg)
{
	struct of_equipment *m = arg;

	if (m->n == PIMSIS_MAX)
		return ERR_LIMIT;
	row_copy(r, 0, m->pimsi[m->n], DIGITS_MAX);
	row_copy(r, 1, m->state[m->n++], NUMBER_STATE);
	return OK;
}

enum err pool_of(struct tx *tx, const char *equipment, struct of_equipment *m)
{
	m->n = 0;
	return tx_each(tx, "SELECT pimsi, state FROM pimsi WHERE equipment = :equipment ORDER BY pimsi", WITH(B_TEXT("equipment", equipment)), of_row, m);
}

/* --- the duty --- */

void pool_add(struct ask *a, void *process) { pool_ask_add(a, process, &pimsis); }
void pool_list(struct ask *a, void *process) { pool_ask_list(a, process, &pimsis); }
void pool_show(struct ask *a, void *process) { pool_ask_show(a, process, &pimsis); }
void pool_move(struct ask *a, void *process) { pool_ask_move(a, process, &pimsis); }

enum err pool_status(struct tx *tx, json_t *into, void *process)
{
	(void)process;
	return pool_tell(tx, &pimsis, into);
}
