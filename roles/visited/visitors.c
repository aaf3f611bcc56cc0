/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Who is here: identity -> embedded link or SGSN, and the open questions, by which every answer finds who asked. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "roles/visited/visited.h"

/* An SGSN gives up after 6 s: a question older than that would take the next one's answer. */
enum { BUCKETS = 1 << 15, OPEN_MAX = 8192, OPEN_PER_ID = 8, PATIENCE_MS = 5000, SWEEP_MS = 500 };

TAILQ_HEAD(question_list, question);

struct visitor {
	char id[GSUP_IMSI];
	struct visitor *next;
	TAILQ_ENTRY(visitor) lru;          /* while it is in an SGSN: longest unheard first */
	struct place at;
	struct question_list questions;    /* oldest first */
	int open[2];                       /* of accesses, of the home side: neither keeps the other from asking */
};
struct visitors {
	struct visitors_conf conf;
	struct visitor *bucket[BUCKETS];
	TAILQ_HEAD(, visitor) lru;
	struct question_list questions;    /* of all, oldest first */
	int open;
	int64_t in_sgsn;
	struct timer *sweep;
};

static int nowhere(struct place p)
{
	return !p.ms && !p.sgsn;
}

static struct visitor *find(const struct visitors *t, const char *id)
{
	struct visitor *v = t->bucket[text_hash(id) % BUCKETS];

	while (v && strcmp(v->id, id))
		v = v->next;
	return v;
}

static struct visitor *find_or_new(struct visitors *t, const char *id)
{
	struct visitor *v = find(t, id), **at = t->bucket + text_hash(id) % BUCKETS;

	if (v)
		return v;
	v = calloc(1, sizeof(*v));
	if (!v || text_copy(v->id, sizeof(v->id), id)) {
		free(v);
		return NULL;
	}
	TAILQ_INIT(&v->questions);
	v->next = *at;
	*at = v;
	return v;
}

/* One of whom nothing is known, and nothing asked, is forgotten. */
static void settle(struct visitors *t, struct visitor *v)
{
	struct visitor **at = t->bucket + text_hash(v->id) % BUCKETS;

	if (!nowhere(v->at) || v->open[0] || v->open[1])
		return;
	while (*at != v)
		at = &(*at)->next;
	*at = v->next;
	free(v);
}

static struct question take(struct visitors *t, struct question *q)
{
	struct question out = *q;

	TAILQ_REMOVE(&t->questions, q, all);
	TAILQ_REMOVE(&q->visitor->questions, q, own);
	q->visitor->open[q->by_home]--;
	t->open--;
	free(q);
	return out;
}

/* --- questions --- */

enum err visitors_ask(struct visitors *t, const char *id, uint8_t type, const struct place *from, struct gsup_link *home)
{
	struct visitor *v = t->open < OPEN_MAX ? find_or_new(t, id) : NULL;
	struct question *q;

	if (t->open >= OPEN_MAX || (v && v->open[!from] >= OPEN_PER_ID))
		return ERR_LIMIT;
	q = v ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		if (v)
			settle(t, v);
		return ERR_NOMEM;
	}
	*q = (struct question){ .visitor = v, .type = type, .by_home = !from, .home = home, .until = clock_mono_ms() + PATIENCE_MS };
	if (from)
		q->from = *from;
	TAILQ_INSERT_TAIL(&t->questions, q, all);
	TAILQ_INSERT_TAIL(&v->questions, q, own);
	v->open[!from]++;
	t->open++;
	return OK;
}

static int fits(const struct question *q, uint8_t type, int by_home)
{
	return q->type == type && q->by_home == by_home;
}

enum err visitors_answer(struct visitors *t, const char *id, uint8_t type, int by_home, struct question *out)
{
	struct visitor *v = find(t, id);
	struct question *q;

	if (!v)
		return ERR_MISSING;
	TAILQ_FOREACH(q, &v->questions, own)
		if (fits(q, type, by_home))
			break;
	if (!q)
		return ERR_MISSING;
	*out = take(t, q);
	settle(t, v);
	return OK;
}

void visitors_unask(struct visitors *t, const char *id, uint8_t type, int by_home)
{
	struct visitor *v = find(t, id);
	struct question *q = v ? TAILQ_LAST(&v->questions, question_list) : NULL;

	while (q && !fits(q, type, by_home))
		q = TAILQ_PREV(q, question_list, own);
	if (!q)
		return;
	(void)take(t, q);
	settle(t, v);
}

/* Nobody answers q any more. Who hears that may ask anew, or be forgotten. */
static void late(struct visitors *t, struct question *q)
{
	char id[GSUP_IMSI];
	struct visitor *v;
	struct question gone;

	memcpy(id, q->visitor->id, sizeof(id));
	gone = take(t, q);
	t->conf.late(&gone, id, t->conf.arg);
	v = find(t, id);
	if (v)
		settle(t, v);
}

static void sweep(void *arg)
{
	struct visitors *t = arg;
	struct question *q;
	int64_t now = clock_mono_ms();

	while ((q = TAILQ_FIRST(&t->questions)) && q->until <= now)
		late(t, q);
}

void visitors_home_down(struct visitors *t, const struct gsup_link *home)
{
	struct question *q;

	do {
		TAILQ_FOREACH(q, &t->questions, all)
			if (q->home == home)
				break;
		if (q)
			late(t, q);
	} while (q);
}

void visitors_forget(struct visitors *t, const struct ms *m)
{
	struct question *q;

	TAILQ_FOREACH(q, &t->questions, all)
		if (q->from.ms == m)
			q->from.ms = NULL;
}

/* --- places --- */

struct place visitors_where(const struct visitors *t, const char *id)
{
	const struct visitor *v = find(t, id);

	return v ? v->at : (struct place){ NULL, NULL };
}

struct place visitors_arriving(const struct visitors *t, const char *id)
{
	const struct visitor *v = find(t, id);
	const struct question *q;
	struct place p = { NULL, NULL };

	if (v)
		TAILQ_FOREACH(q, &v->questions, own)
			if (q->type == GSUP_UL_REQ)
				p = q->from;
	return p;
}

static void leave(struct visitors *t, struct visitor *v)
{
	if (v->at.sgsn) {
		TAILQ_REMOVE(&t->lru, v, lru);
		t->in_sgsn--;
	}
	v->at = (struct place){ NULL, NULL };
}

void visitors_place(struct visitors *t, const char *id, struct place at)
{
	struct visitor *v = nowhere(at) ? find(t, id) : find_or_new(t, id), *oldest;

	if (!v)
		return;
	leave(t, v);
	if (at.sgsn && t->in_sgsn >= t->conf.most && (oldest = TAILQ_FIRST(&t->lru))) {
		leave(t, oldest);
		settle(t, oldest);
	}
	v->at = at;
	if (at.sgsn) {
		TAILQ_INSERT_TAIL(&t->lru, v, lru);
		t->in_sgsn++;
	}
	settle(t, v);
}

enum err visitors_open(const struct visitors_conf *c, struct visitors **out)
{
	struct visitors *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	t->conf = *c;
	TAILQ_INIT(&t->lru);
	TAILQ_INIT(&t->questions);
	t->sweep = timer_every(c->loop, SWEEP_MS, sweep, t);
	*out = t;
	return t->sweep ? OK : ERR_NOMEM;
}

void visitors_close(struct visitors *t)
{
	struct question *q;

	if (!t)
		return;
	timer_stop(t->sweep);
	while ((q = TAILQ_FIRST(&t->questions)))
		(void)take(t, q);
	for (int i = 0; i < BUCKETS; i++)
		for (struct visitor *v = t->bucket[i], *next; v; v = next) {
			next = v->next;
			free(v);
		}
	free(t);
}
