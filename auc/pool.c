/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The duty `pool`: numbers added, looked at, moved by staff, and how long they will last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auc/number.h"
#include "core/audit.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/json.h"

enum { BLOCK_MAX = 100000, LIST_MOST = 1000, LIST_DEFAULT = 100, REASON = 200, DAY = 86400, WINDOW_DAYS = 30 };

struct pool_call {
	struct ask *ask;
	struct process *process;
	const struct numbers *numbers;
	char id[DIGITS_MAX], state[NUMBER_STATE], event[24], equipment[EQUIPMENT_MAX], by[ID_MAX + REASON + 16];
	int64_t count, added, free;
	json_t *answer;
	struct number number;
	struct why why;
};

static struct pool_call *call_new(struct ask *a, struct process *p, const struct numbers *n)
{
	struct pool_call *c = calloc(1, sizeof(*c));

	if (!c) {
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return NULL;
	}
	c->ask = a;
	c->process = p;
	c->numbers = n;
	return c;
}

static void call_end(void *arg, enum err e)
{
	struct pool_call *c = arg;

	if (e) {
		json_decref(c->answer);
		ask_refuse(c->ask, e, "%s", c->why.text[0] ? c->why.text : "the database does not answer; look at this role's log");
	} else {
		ask_reply_json(c->ask, 200, c->answer);
	}
	free(c);
}

static void refuse(struct pool_call *c, enum err e)
{
	ask_refuse(c->ask, e, "%s", c->why.text);
	free(c);
}

/* --- adding --- */

static enum err number_add(struct tx *tx, struct pool_call *c, const char *id)
{
	enum err e = tx_do(tx, c->numbers->sql.add, WITH(B_TEXT("id", id), B_TEXT("state", c->numbers->states->name), B_BLOB("none", BYTES("", 0)),
		B_INT("now", clock_now())));

	c->added += !e && tx_changes(tx);
	return e;
}

/* A number of another operator's would be answered, and paid for, by that one. The id says how many digits the network code has. */
static enum err block_check(struct pool_call *c)
{
	const char *id = c->process->id, *name = c->numbers->name;
	size_t mcc = strcspn(id, "-"), width = strlen(c->id);
	char own[ID_MAX], last[32];
	int n = snprintf(own, sizeof(own), "%.*s%s", (int)mcc, id, id[mcc] ? id + mcc + 1 : "");

	snprintf(last, sizeof(last), "%0*lld", (int)width, atoll(c->id) + (long long)c->count - 1);
	if (strncmp(c->id, own, (size_t)n))
		return fail(&c->why, ERR_RANGE, "%s is no %s of operator %s: they begin with %s; give such a number as `from`", c->id, name, id, own);
	if (strncmp(last, own, (size_t)n) || strlen(last) != width)
		return fail(&c->why, ERR_RANGE, "%lld %ss from %s on end with %s, which is none of operator %s: they begin with %s; give a smaller `count`",
			(long long)c->count, name, c->id, last, id, own);
	return OK;
}

static enum err block_write(struct tx *tx, void *arg)
{
	struct pool_call *c = arg;
	const struct numbers *n = c->numbers;
	const struct row *r;
	long long first = atoll(c->id);
	int width = (int)strlen(c->id);
	enum err e = OK;

	c->added = 0;
	for (int64_t i = 0; i < c->count && !e; i++) {
		char id[32];

		snprintf(id, sizeof(id), "%0*lld", width, first + i);
		e = number_add(tx, c, id);
	}
	if (!e && c->added)
		e = tx_do(tx, n->sql.block, WITH(B_TEXT("first", c->id), B_INT("count", c->added), B_INT("now", clock_now())));
	if (!e && c->added)
		e = tx_audit(tx, "pool", ABOUT({ "pool", c->id }), "added %lld %ss from %s on", (long long)c->added, n->name, c->id);
	if (!e)
		e = tx_get(tx, n->sql.count, WITH(B_TEXT("state", n->states->name)), &r);
	json_decref(c->answer);
	c->answer = e ? NULL : json_pack("{s:I, s:I}", "added", (json_int_t)c->added, "free", (json_int_t)row_int(r, 0));
	return e;
}

void pool_ask_add(struct ask *a, struct process *p, const struct numbers *n)
{
	json_t *o = ask_json(a);
	struct pool_call *c = o ? call_new(a, p, n) : NULL;
	enum err e = OK;

	if (c)
		e = json_get_digits(o, "from", c->id, sizeof(c->id), &c->why);
	if (c && !e)
		e = json_get_number(o, "count", 1, BLOCK_MAX, &c->count, &c->why);
	json_decref(o);
	if (c && !e)
		e = block_check(c);
	if (c && e)
		refuse(c, e);
	else if (c)
		store_run(p->store, block_write, c, call_end);
}

/* --- looking --- */

static json_t *number_json(const struct numbers *n, const struct number *x)
{
	const struct number_state *s = number_state(n, x->state);

	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "number", x->id, "state", x->state, "equipment", x->equipment, "network", x->visited,
		"cancel", x->cancel, "life", (json_int_t)x->life, "since", (json_int_t)x->changed_at, "about", s ? s->about : "");
}

static enum err list_row(const struct row *r, void *arg)
{
	struct pool_call *c = arg;
	struct number x = { .life = row_int(r, 5), .changed_at = row_int(r, 6) };

	row_copy(r, 0, x.id, sizeof(x.id));
	row_copy(r, 1, x.state, sizeof(x.state));
	row_copy(r, 2, x.equipment, sizeof(x.equipment));
	row_copy(r, 3, x.visited, sizeof(x.visited));
	row_copy(r, 4, x.cancel, sizeof(x.cancel));
	return json_array_append_new(json_object_get(c->answer, "numbers"), number_json(c->numbers, &x)) ? ERR_NOMEM : OK;
}

static enum err list_read(struct tx *tx, void *arg)
{
	struct pool_call *c = arg;
	const struct number_sql *sql = &c->numbers->sql;

	json_decref(c->answer);
	c->answer = json_pack("{s:s, s:[]}", "kind", c->numbers->kind, "numbers");
	if (!c->answer)
		return ERR_NOMEM;
	return *c->state ? tx_each(tx, sql->in_state, WITH(B_TEXT("state", c->state), B_TEXT("after", c->id), B_INT("most", c->count)), list_row, c)
		: tx_each(tx, sql->all, WITH(B_TEXT("after", c->id), B_INT("most", c->count)), list_row, c);
}

void pool_ask_list(struct ask *a, struct process *p, const struct numbers *n)
{
	const char *state = ask_query(a, "state"), *after = ask_query(a, "after"), *most = ask_query(a, "most");
	struct pool_call *c = call_new(a, p, n);
	enum err e = OK;

	if (!c)
		return;
	c->count = LIST_DEFAULT;
	if (state && *state && (!number_state(n, state) || text_copy(c->state, sizeof(c->state), state)))
		e = fail(&c->why, ERR_RANGE, "a %s is never `%.20s`; `usher help %s` lists the states", n->name, state, n->kind);
	if (!e && after && text_copy(c->id, sizeof(c->id), after))
		e = fail(&c->why, ERR_FORMAT, "after=%.20s is no number", after);
	if (!e && most && text_number(most, 1, LIST_MOST, &c->count))
		e = fail(&c->why, ERR_RANGE, "most=%.20s: give 1 to %d", most, LIST_MOST);
	if (e)
		refuse(c, e);
	else
		store_run(p->store, list_read, c, call_end);
}

static enum err show_read(struct tx *tx, void *arg)
{
	struct pool_call *c = arg;
	enum err e = number_get(tx, c->numbers, c->id, &c->number, &c->why);
	json_t *next = json_array();

	json_decref(c->answer);
	c->answer = e ? NULL : number_json(c->numbers, &c->number);
	for (const struct number_move *m = c->numbers->moves; !e && m->event; m++)
		if (number_starts(m, c->number.state))
			json_array_append_new(next, json_pack("{s:s, s:s, s:s}", "event", m->event, "who", m->who, "to", m->to ? m->to : c->number.before));
	return e ? (json_decref(next), e) : json_object_set_new(c->answer, "next", next) ? ERR_NOMEM : OK;
}

static enum err tail_read(struct ask *a, struct pool_call *c)
{
	const char *id = ask_tail(a);

	return text_digits(id) < 5 || text_copy(c->id, sizeof(c->id), id) ? fail(&c->why, ERR_FORMAT, "`%.20s` is no number of 5 to 15 digits", id) : OK;
}

void pool_ask_show(struct ask *a, struct process *p, const struct numbers *n)
{
	struct pool_call *c = call_new(a, p, n);
	enum err e = c ? tail_read(a, c) : OK;

	if (c && e)
		refuse(c, e);
	else if (c)
		store_run(p->store, show_read, c, call_end);
}

/* --- moving --- */

static int staff_may(const struct numbers *n, const char *event)
{
	for (const struct number_move *m = n->moves; m->event; m++)
		if (!strcmp(m->event, event) && !strcmp(m->who, "staff"))
			return 1;
	return 0;
}

/* Into the pool again: who asks says whose return he gives up, so that nobody releases what he did not look at. */
static enum err may_release(struct tx *tx, struct pool_call *c)
{
	struct number x;
	enum err e = number_get(tx, c->numbers, c->id, &x, &c->why);

	if (!e && number_may(c->numbers, x.state, c->event) && strcmp(x.equipment, c->equipment))
		e = fail(&c->why, ERR_CONFLICT, "%s %s is of %s: released, %s can never return with it; name it as `equipment` to say so", c->numbers->name, c->id,
			x.equipment, x.equipment);
	return e;
}

static enum err move_write(struct tx *tx, void *arg)
{
	struct pool_call *c = arg;
	enum err e = strcmp(c->event, "release") ? OK : may_release(tx, c);

	if (!e)
		e = number_event(tx, c->numbers, c->id, EVENT(c->event, c->by), &c->number, &c->why);
	json_decref(c->answer);
	c->answer = e ? NULL : number_json(c->numbers, &c->number);
	return e;
}

static void moved(void *arg, enum err e)
{
	struct pool_call *c = arg;

	log_hop(e ? LOG_WARN : LOG_INFO, "pool", "%s=%s eq=%s act=%s by=\"%s\" state=%s result=%s", c->numbers->kind, c->id, c->number.equipment, c->event, c->by,
		c->number.state, err_name(e));
	call_end(c, e);
}

void pool_ask_move(struct ask *a, struct process *p, const struct numbers *n)
{
	json_t *o = ask_json(a);
	struct pool_call *c = o ? call_new(a, p, n) : NULL;
	char reason[REASON] = "";
	enum err e = c ? tail_read(a, c) : OK;

	if (c && !e)
		e = json_get_text(o, "event", c->event, sizeof(c->event), &c->why);
	if (c && !e && !staff_may(n, c->event))
		e = fail(&c->why, ERR_RANGE, "`%s` is nothing that staff does with a %s; `usher help %s` lists what is", c->event, n->name, n->kind);
	if (c && !e && json_object_get(o, "reason"))
		e = json_get_text(o, "reason", reason, sizeof(reason), &c->why);
	if (c && !e && json_object_get(o, "equipment"))
		e = json_get_text(o, "equipment", c->equipment, sizeof(c->equipment), &c->why);
	json_decref(o);
	if (!c)
		return;
	if (e) {
		refuse(c, e);
		return;
	}
	snprintf(c->by, sizeof(c->by), "%s%s%s", ask_peer(a)->id, *reason ? ": " : "", reason);
	store_run(p->store, move_write, c, moved);
}

/* --- how long they last --- */

static enum err state_row(const struct row *r, void *arg)
{
	return json_object_set_new(arg, row_text(r, 0), json_integer(row_int(r, 1))) ? ERR_NOMEM : OK;
}

/* At the rate of the last 30 days, or of as many as there were since the first number was issued. */
static enum err forecast(struct tx *tx, const struct numbers *n, json_t *states, json_t *into)
{
	const struct row *r;
	int64_t now = clock_now(), left = json_integer_value(json_object_get(states, n->states->name)), issued, days, first;
	enum err e = tx_get(tx, n->sql.rate, WITH(B_INT("since", now - WINDOW_DAYS * DAY)), &r);

	if (e)
		return e;
	issued = row_int(r, 0);
	first = row_int(r, 1);
	days = first && now - first < WINDOW_DAYS * DAY ? (now - first) / DAY + 1 : WINDOW_DAYS;
	return json_object_set_new(into, "forecast", json_pack("{s:I, s:I, s:I, s:o}", "left", (json_int_t)left, "issued", (json_int_t)issued,
		"in_days", (json_int_t)days, "days_left", issued ? json_integer(left * days / issued) : json_null())) ? ERR_NOMEM : OK;
}

enum err pool_tell(struct tx *tx, const struct numbers *n, json_t *into)
{
	json_t *states = json_object();
	enum err e = tx_each(tx, n->sql.states, NULL, state_row, states);

	if (!e)
		e = forecast(tx, n, states, into);
	return json_object_set_new(into, n->kind, states) ? ERR_NOMEM : e;
}
