/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/number.h"

#include <stdio.h>
#include <string.h>

#include "auc/auc.h"
#include "core/clock.h"

const struct number_state *number_state(const struct numbers *n, const char *state)
{
	for (const struct number_state *s = n->states; s->name; s++)
		if (!strcmp(s->name, state))
			return s;
	return NULL;
}

int number_starts(const struct number_move *m, const char *state)
{
	if (strcmp(m->from, "*"))
		return !strcmp(m->from, state);
	return m->to && strcmp(m->to, state) != 0;
}

static const struct number_move *move_of(const struct numbers *n, const char *state, const char *event)
{
	for (const struct number_move *m = n->moves; m->event; m++)
		if (!strcmp(m->event, event) && number_starts(m, state))
			return m;
	return NULL;
}

int number_may(const struct numbers *n, const char *state, const char *event)
{
	return move_of(n, state, event) != NULL;
}

enum err number_get(struct tx *tx, const struct numbers *n, const char *id, struct number *x, struct why *w)
{
	const struct row *r;
	enum err e = tx_get(tx, n->sql.get, WITH(B_TEXT("id", id)), &r);

	memset(x, 0, sizeof(*x));
	if (e)
		return e == ERR_MISSING ? fail(w, e, "%s %s is not of this operator's pool; `usher %s list` shows what is", n->name, id, n->kind) : e;
	row_copy(r, 0, x->state, sizeof(x->state));
	row_copy(r, 1, x->before, sizeof(x->before));
	row_copy(r, 2, x->equipment, sizeof(x->equipment));
	row_copy(r, 3, x->visited, sizeof(x->visited));
	row_copy(r, 4, x->cancel, sizeof(x->cancel));
	x->life = row_int(r, 5);
	x->changed_at = row_int(r, 6);
	return text_copy(x->id, sizeof(x->id), id);
}

/* --- what has changed --- */

static void changed(const struct numbers *n, const char *id)
{
	struct number_changes *c = n->changes;

	pthread_mutex_lock(&c->lock);
	c->seen++;
	if (c->n < NUMBER_CHANGES)
		snprintf(c->id[c->n], sizeof(c->id[0]), "%s", id);
	c->n += c->n <= NUMBER_CHANGES;
	pthread_mutex_unlock(&c->lock);
}

uint64_t number_changes_seen(struct number_changes *c)
{
	uint64_t seen;

	pthread_mutex_lock(&c->lock);
	seen = c->seen;
	pthread_mutex_unlock(&c->lock);
	return seen;
}

int number_changes_take(struct number_changes *c, struct number_changes *out)
{
	pthread_mutex_lock(&c->lock);
	out->n = c->n;
	memcpy(out->id, c->id, sizeof(c->id[0]) * (size_t)(c->n < NUMBER_CHANGES ? c->n : NUMBER_CHANGES));
	c->n = 0;
	pthread_mutex_unlock(&c->lock);
	return out->n;
}

/* --- sentences --- */

static void sentence(const char *text, const struct number *x, const char *by, char *dst, size_t cap)
{
	const struct {
		const char *word, *value;
	} words[] = { { "{number}", x->id }, { "{equipment}", *x->equipment ? x->equipment : "nobody" }, { "{by}", by } };
	size_t n = 0;

	while (*text && n + 1 < cap) {
		size_t i = 0;

		while (i < 3 && strncmp(text, words[i].word, strlen(words[i].word)))
			i++;
		if (i == 3) {
			dst[n++] = *text++;
			continue;
		}
		n += (size_t)snprintf(dst + n, cap - n, "%s", words[i].value);
		text += strlen(words[i].word);
	}
	dst[n < cap ? n : cap - 1] = 0;
}

static enum err not_from_here(const struct numbers *n, const struct number *x, const char *event, struct why *w)
{
	const struct number_state *s = number_state(n, x->state);
	char next[160] = "";
	size_t at = 0;

	for (const struct number_move *m = n->moves; m->event; m++)
		if (number_starts(m, x->state) && at < sizeof(next))
			at += (size_t)snprintf(next + at, sizeof(next) - at, "%s%s (%s)", at ? ", " : "", m->event, m->who);
	return fail(w, ERR_ORDER, "%s %s is %s (%s): no `%s` from there; what may come: %s", n->name, x->id, x->state, s ? s->about : "?", event,
		*next ? next : "nothing");
}

/* --- moves --- */

static enum err empty(struct tx *tx, const struct numbers *n, const char *id)
{
	return tx_do(tx, n->sql.empty, WITH(B_BLOB("none", BYTES("", 0)), B_TEXT("id", id)));
}

/* Into a state without vectors: whoever holds the number has to let go. */
static void bar(struct tx *tx, struct number *x)
{
	if (*x->visited)
		memcpy(x->cancel, x->visited, sizeof(x->cancel));
	x->visited[0] = 0;
	if (*x->cancel)
		tx_mark(tx, MARK_OWED);
}

static enum err move_write(struct tx *tx, const struct numbers *n, const struct number_move *m, const struct number_event *event, struct number *x,
	struct why *w)
{
	const struct number_state *to;
	char text[400], from[NUMBER_STATE];
	enum err e;

	changed(n, x->id);
	memcpy(from, x->state, sizeof(from));
	snprintf(x->state, sizeof(x->state), "%s", m->to ? m->to : x->before);
	e = m->act ? m->act(tx, x, w) : OK;
	to = number_state(n, x->state);
	if (!e && !to)
		e = fail(w, ERR_ORDER, "%s %s has no state to go back to", n->name, x->id);
	if (e)
		return e;
	if (!m->to)
		x->before[0] = 0;
	else if (!strcmp(m->from, "*"))
		memcpy(x->before, from, sizeof(x->before));
	if (!to->vectors)
		bar(tx, x);
	e = tx_do(tx, n->sql.set, WITH(B_TEXT("state", x->state), B_TEXT("before", x->before), B_TEXT("visited", x->visited),
		B_TEXT("cancel", x->cancel), B_INT("now", clock_now()), B_TEXT("id", x->id)));
	if (!e && m->text) {
		sentence(m->text, x, event->by, text, sizeof(text));
		e = tx_audit(tx, m->step, ABOUT({ n->kind, x->id }, { "equipment", x->equipment }, event->more[0], event->more[1]), "%s", text);
	}
	if (!e && to == n->states)
		e = empty(tx, n, x->id);
	return e;
}

enum err number_event(struct tx *tx, const struct numbers *n, const char *id, const struct number_event *event, struct number *x, struct why *w)
{
	struct number here;
	const struct number_move *m;
	enum err e = number_get(tx, n, id, x ? x : &here, w);

	x = x ? x : &here;
	m = e ? NULL : move_of(n, x->state, event->name);
	if (!e)
		e = m ? move_write(tx, n, m, event, x, w) : not_from_here(n, x, event->name, w);
	m = e || *x->cancel ? NULL : move_of(n, x->state, "let-go"); /* nobody holds it: what waits for that happens at once */
	return m ? move_write(tx, n, m, EVENT("let-go", "nobody"), x, w) : e;
}

enum err number_let_go(struct tx *tx, const struct numbers *n, const char *id, const char *plmn)
{
	struct number x;
	const struct number_move *m;
	enum err e = tx_do(tx, n->sql.cancelled, WITH(B_TEXT("id", id), B_TEXT("plmn", plmn)));

	if (e || !tx_changes(tx))
		return e;
	e = number_get(tx, n, id, &x, tx_why(tx));
	m = e ? NULL : move_of(n, x.state, "let-go");
	return m ? move_write(tx, n, m, EVENT("let-go", plmn), &x, tx_why(tx)) : e;
}

enum err number_key(struct tx *tx, const struct numbers *n, const char *id, const struct secret *k, const struct secret *opc)
{
	const struct process *p = store_owner(tx);
	uint8_t wrapped_k[SECRET_WRAPPED], wrapped_opc[SECRET_WRAPPED];
	enum err e = kek_wrap(p->kek, k, wrapped_k);

	changed(n, id);
	if (!e)
		e = kek_wrap(p->kek, opc, wrapped_opc);
	return e ? e : tx_do(tx, n->sql.key, WITH(B_BLOB("k", BYTES_OF(wrapped_k)), B_BLOB("opc", BYTES_OF(wrapped_opc)),
		B_INT("offset", auc_offset_new(clock_now())), B_TEXT("id", id)));
}

enum err number_resynced(struct tx *tx, const struct numbers *n, const char *id, const struct auc_resynced *r)
{
	enum err e;

	changed(n, id);
	e = tx_do(tx, n->sql.offset, WITH(B_INT("offset", r->offset), B_INT("since", r->since), B_INT("given", r->given), B_TEXT("id", id)));
	return e || tx_changes(tx) ? e : ERR_EXPIRED;
}

enum err number_take(struct tx *tx, const struct numbers *n, const struct number_issue *to, struct number *x, struct why *w)
{
	const struct row *r;
	char id[DIGITS_MAX];
	enum err e = tx_get(tx, n->sql.first, WITH(B_TEXT("state", n->states->name)), &r);

	if (e)
		return e == ERR_MISSING ? fail(w, ERR_LIMIT, "no %s is %s; `usher pool add` adds numbers, `usher %s release` takes one out of quarantine", n->name,
			n->states->name, n->kind) : e;
	row_copy(r, 0, id, sizeof(id));
	e = tx_do(tx, n->sql.take, WITH(B_TEXT("equipment", to->equipment), B_INT("now", clock_now()), B_TEXT("id", id)));
	if (!e)
		e = number_key(tx, n, id, to->k, to->opc);
	return e ? e : number_event(tx, n, id, to->event, x, w);
}

/* --- time --- */

enum err number_later(struct tx *tx, const char *errand, const char *id, int64_t at)
{
	enum err e = tx_errand_end(tx, errand, id);

	if (!e)
		e = tx_errand_begin(tx, errand, id, "waiting");
	return e ? e : tx_errand_due(tx, errand, id, at * 1000);
}

enum err number_due(struct tx *tx, const struct numbers *n, const struct errand *e, const char *event, struct why *w)
{
	struct number x;
	enum err err = number_get(tx, n, e->id, &x, w);

	if (!err && number_may(n, x.state, event))
		err = number_event(tx, n, e->id, EVENT(event, "time"), NULL, w);
	return err ? err : tx_errand_end(tx, e->kind, e->id);
}
