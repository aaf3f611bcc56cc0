/* SPDX-License-Identifier: Apache-2.0 */
#include "core/errand.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/spent.h"

const char errand_sql[] =
	"CREATE TABLE errand (kind TEXT NOT NULL, id TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL,"
	" due BIGINT NOT NULL, changed BIGINT NOT NULL, PRIMARY KEY (kind, id));"
	"CREATE INDEX errand_due ON errand (due) WHERE due > 0;";

enum { DUE_GROUP = 64, DUE_RETRY_MS = 60000 };

struct waiter {
	struct waiter *next;
	struct errands *errands;
	char kind[24], id[ERRAND_ID];
	int changed, asking;         /* it moved; a look at the row is under way */
	int step;                    /* core/spent.h */
	int64_t until;               /* clock_mono_ms */
	struct timer *patience;
	errand_told told;
	void *arg;
	struct errand seen;
	enum err err;
};

/* What a transaction moved, for the loop to look at after the commit. */
struct moved {
	struct moved *next;
	char kind[24], id[ERRAND_ID];
};

struct errands {
	struct loop *loop;
	struct store *store;
	const struct errand_kind *kinds;
	struct waiter *waiters;
	struct timer *due;
	pthread_mutex_t lock;
	struct moved *moved;
	_Atomic int64_t next_due;    /* written by the store's thread, read by the loop: another look may be under way */
};

static const struct errand_kind *kind_of(const struct errands *es, const char *kind)
{
	for (const struct errand_kind *k = es->kinds; k && k->name; k++)
		if (!strcmp(k->name, kind))
			return k;
	return NULL;
}

static int settled(const struct errands *es, const struct errand *e)
{
	const struct errand_kind *k = kind_of(es, e->kind);

	for (const char *const *s = k ? k->settled : NULL; s && *s; s++)
		if (!strcmp(*s, e->state))
			return 1;
	return 0;
}

/* --- in a transaction --- */

static void note_moved(struct tx *tx, const char *kind, const char *id)
{
	struct errands *es = tx_errands(tx);
	struct moved *m = es ? calloc(1, sizeof(*m)) : NULL;

	if (!m)
		return; /* the waiter is told when its patience ends */
	snprintf(m->kind, sizeof(m->kind), "%s", kind);
	snprintf(m->id, sizeof(m->id), "%s", id);
	pthread_mutex_lock(&es->lock);
	m->next = es->moved;
	es->moved = m;
	pthread_mutex_unlock(&es->lock);
}

enum err tx_errand_begin(struct tx *tx, const char *kind, const char *id, const char *state)
{
	if (strlen(id) >= ERRAND_ID)
		return ERR_LIMIT;
	note_moved(tx, kind, id);
	return tx_do(tx, "INSERT INTO errand (kind, id, state, why, due, changed) VALUES (:kind, :id, :state, '', 0, :now)",
		WITH(B_TEXT("kind", kind), B_TEXT("id", id), B_TEXT("state", state), B_INT("now", clock_now_ms())));
}

static void errand_row(const struct row *r, struct errand *e)
{
	row_copy(r, 0, e->kind, sizeof(e->kind));
	row_copy(r, 1, e->id, sizeof(e->id));
	row_copy(r, 2, e->state, sizeof(e->state));
	row_copy(r, 3, e->why, sizeof(e->why));
	e->due = row_int(r, 4);
	e->changed = row_int(r, 5);
}

enum err tx_errand_get(struct tx *tx, const char *kind, const char *id, struct errand *out)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT kind, id, state, why, due, changed FROM errand WHERE kind = :kind AND id = :id",
		WITH(B_TEXT("kind", kind), B_TEXT("id", id)), &r);

	memset(out, 0, sizeof(*out));
	if (!e)
		errand_row(r, out);
	return e;
}

static enum err errand_save(struct tx *tx, struct errand *e)
{
	e->changed = clock_now_ms();
	note_moved(tx, e->kind, e->id);
	if (e->due)
		tx_mark(tx, MARK_DUE);
	return tx_do(tx, "UPDATE errand SET state = :state, why = :why, due = :due, changed = :now WHERE kind = :kind AND id = :id",
		WITH(B_TEXT("state", e->state), B_TEXT("why", e->why), B_INT("due", e->due), B_INT("now", e->changed),
			B_TEXT("kind", e->kind), B_TEXT("id", e->id)));
}

static const struct errand_rule *rule_for(const struct errand_kind *k, const char *state, const char *event)
{
	for (const struct errand_rule *r = k ? k->rules : NULL; r && r->state; r++)
		if ((!strcmp(r->state, "*") || !strcmp(r->state, state)) && !strcmp(r->event, event))
			return r;
	return NULL;
}

struct act {
	const struct errand_rule *rule;
	const struct errand_event *event;
	struct errand *errand;
	struct why why;
};

static enum err act_run(struct tx *tx, void *arg)
{
	struct act *a = arg;

	return a->rule->act ? a->rule->act(tx, a->errand, a->event, &a->why) : OK;
}

/* Refusals are answers and move the errand to fail; failures of our own machine are not, and are tried again. */
static int machine_failed(enum err e)
{
	return e == ERR_NOMEM || e == ERR_IO;
}

enum err tx_errand_event(struct tx *tx, const char *kind, const char *id, const struct errand_event *event, struct errand *out)
{
	const struct errand_kind *k = kind_of(tx_errands(tx), kind);
	struct errand now, before;
	struct act a = { .event = event, .errand = &now };
	enum err e = tx_errand_get(tx, kind, id, &now);

	if (out)
		*out = now;
	if (e)
		return e;
	a.rule = rule_for(k, now.state, event->name);
	if (!a.rule)
		return ERR_ORDER;
	if (a.rule->from && (!event->role || strcmp(a.rule->from, event->role)))
		return ERR_DENIED;
	before = now;
	e = tx_try(tx, act_run, &a);
	if (e == ERR_AGAIN || machine_failed(e) || (e && !a.rule->fail))
		return e;
	if (e) {
		now = before;
		snprintf(now.why, sizeof(now.why), "%s", a.why.text[0] ? a.why.text : err_text(e));
	} else {
		now.why[0] = 0;
	}
	if (e || a.rule->next)
		snprintf(now.state, sizeof(now.state), "%s", e ? a.rule->fail : a.rule->next);
	if (e && k->refused)
		e = k->refused(tx, &now);
	else
		e = OK;
	if (!e)
		e = errand_save(tx, &now);
	if (out)
		*out = now;
	return e;
}

enum err tx_errand_due(struct tx *tx, const char *kind, const char *id, int64_t at_ms)
{
	tx_mark(tx, MARK_DUE);
	return tx_do(tx, "UPDATE errand SET due = :due WHERE kind = :kind AND id = :id", WITH(B_INT("due", at_ms), B_TEXT("kind", kind), B_TEXT("id", id)));
}

enum err tx_errand_end(struct tx *tx, const char *kind, const char *id)
{
	enum err e = tx_do(tx, "DELETE FROM outbox WHERE errand = :kind AND id = :id", WITH(B_TEXT("kind", kind), B_TEXT("id", id)));

	return e ? e : tx_do(tx, "DELETE FROM errand WHERE kind = :kind AND id = :id", WITH(B_TEXT("kind", kind), B_TEXT("id", id)));
}

/* --- waiters, on the loop --- */

static void waiter_tell(struct waiter *w, const struct errand *e)
{
	struct waiter **at = &w->errands->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	timer_stop(w->patience);
	w->told(w->arg, e);
	free(w);
}

static enum err waiter_look(struct tx *tx, void *arg)
{
	struct waiter *w = arg;

	w->err = tx_errand_get(tx, w->kind, w->id, &w->seen);
	return OK;
}

static void waiter_looked(void *arg, enum err e)
{
	struct waiter *w = arg;

	w->asking = 0;
	if (e || w->err)
		waiter_tell(w, NULL);
	else if (settled(w->errands, &w->seen) || clock_mono_ms() >= w->until)
		waiter_tell(w, &w->seen);
	else if (w->changed) {
		w->changed = 0;
		w->asking = 1;
		store_run(w->errands->store, waiter_look, w, waiter_looked);
	}
}

static void waiter_ask(struct waiter *w)
{
	int before;

	if (w->asking) {
		w->changed = 1;
		return;
	}
	w->asking = 1;
	before = spent_switch(w->step);
	store_run(w->errands->store, waiter_look, w, waiter_looked);
	spent_switch(before);
}

static void patience_over(void *arg)
{
	struct waiter *w = arg;

	w->patience = NULL;
	w->until = 0; /* the loop's clock may run a millisecond before ours */
	waiter_ask(w);
}

void errand_wait(struct errands *es, const char *kind, const char *id, int64_t patience_ms, errand_told told, void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w || text_copy(w->kind, sizeof(w->kind), kind) || text_copy(w->id, sizeof(w->id), id)) {
		free(w);
		told(arg, NULL);
		return;
	}
	w->errands = es;
	w->told = told;
	w->step = spent_now();
	w->arg = arg;
	w->until = clock_mono_ms() + patience_ms;
	w->patience = timer_after(es->loop, patience_ms, patience_over, w);
	w->next = es->waiters;
	es->waiters = w;
	waiter_ask(w);
}

/* --- due times --- */

struct due_row {
	char kind[24], id[ERRAND_ID];
};
struct due_rows {
	struct due_row row[DUE_GROUP];
	int n;
};

static enum err due_row(const struct row *r, void *arg)
{
	struct due_rows *d = arg;

	row_copy(r, 0, d->row[d->n].kind, sizeof(d->row[d->n].kind));
	row_copy(r, 1, d->row[d->n].id, sizeof(d->row[d->n].id));
	d->n++;
	return OK;
}

static enum err due_find(struct tx *tx, struct errands *es)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT MIN(due) FROM errand WHERE due > 0", NULL, &r);

	es->next_due = e ? 0 : row_int(r, 0);
	return e;
}

static enum err due_one(struct tx *tx, const struct due_row *row)
{
	enum err e = tx_errand_due(tx, row->kind, row->id, 0);
	int before = spent_switch(spent_step(row->kind));

	if (!e)
		e = tx_errand_event(tx, row->kind, row->id, &(struct errand_event){ .name = "due" }, NULL);
	spent_switch(before);
	if (!e || e == ERR_ORDER)
		return OK;
	log_hop(LOG_WARN, "due", "errand=%s id=%s why=\"%s\"", row->kind, row->id, err_text(e));
	return tx_errand_due(tx, row->kind, row->id, clock_now_ms() + DUE_RETRY_MS);
}

static enum err due_run(struct tx *tx, void *arg)
{
	struct errands *es = arg;
	struct due_rows d = { .n = 0 };
	enum err e = tx_each(tx, "SELECT kind, id FROM errand WHERE due > 0 AND due <= :now ORDER BY due LIMIT 64",
		WITH(B_INT("now", clock_now_ms())), due_row, &d);

	for (int i = 0; i < d.n && !e; i++)
		e = due_one(tx, d.row + i);
	return e ? e : due_find(tx, es);
}

static void due_fires(void *arg);

static void due_set(void *arg, enum err e)
{
	struct errands *es = arg;
	int64_t wait = es->next_due - clock_now_ms();

	timer_stop(es->due);
	es->due = NULL;
	if (e)
		wait = 1000;
	else if (!es->next_due)
		return;
	/* looked at least every second, so that a clock moved by a test is noticed */
	es->due = timer_after(es->loop, wait < 0 ? 0 : wait > 1000 ? 1000 : wait, due_fires, es);
}

static void due_fires(void *arg)
{
	struct errands *es = arg;

	es->due = NULL;
	if (es->next_due > clock_now_ms())
		due_set(es, OK);
	else
		store_run(es->store, due_run, es, due_set);
}

static void committed(void *arg)
{
	struct errands *es = arg;
	struct moved *m, *next;

	if (store_take_mark(es->store, MARK_DUE))
		store_run(es->store, due_run, es, due_set);
	pthread_mutex_lock(&es->lock);
	m = es->moved;
	es->moved = NULL;
	pthread_mutex_unlock(&es->lock);
	for (; m; m = next) {
		next = m->next;
		for (struct waiter *w = es->waiters, *after; w; w = after) {
			after = w->next;
			if (!strcmp(w->id, m->id) && !strcmp(w->kind, m->kind))
				waiter_ask(w);
		}
		free(m);
	}
}

enum err errands_open(struct loop *l, struct store *s, const struct errand_kind *kinds, struct errands **out)
{
	struct errands *es = calloc(1, sizeof(*es));

	if (!es)
		return ERR_NOMEM;
	es->loop = l;
	es->store = s;
	es->kinds = kinds;
	pthread_mutex_init(&es->lock, NULL);
	store_set_errands(s, es);
	store_on_commit(s, committed, es);
	store_run(s, due_run, es, due_set);
	*out = es;
	return OK;
}

void errands_close(struct errands *es)
{
	if (!es)
		return;
	timer_stop(es->due);
	while (es->waiters)
		waiter_tell(es->waiters, NULL);
	for (struct moved *next; es->moved; es->moved = next) {
		next = es->moved->next;
		free(es->moved);
	}
	pthread_mutex_destroy(&es->lock);
	free(es);
}
