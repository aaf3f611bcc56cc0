/* SPDX-License-Identifier: Apache-2.0 */
#include "core/outbox.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/spent.h"

const char outbox_sql[] =
	"CREATE TABLE outbox (errand TEXT NOT NULL, id TEXT NOT NULL, word TEXT NOT NULL, role TEXT NOT NULL, peer TEXT NOT NULL,"
	" address TEXT NOT NULL, path TEXT NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL, tries BIGINT NOT NULL,"
	" made BIGINT NOT NULL, next BIGINT NOT NULL, PRIMARY KEY (errand, id, word));";

/* The letters to one place are a lane: each has its share of what is in flight, so that one that is silent holds up no other. */
#define LANE "(role || ' ' || peer || ' ' || address)"
#define LANES_ALL "WITH RECURSIVE lane (name) AS (SELECT MIN(" LANE ") FROM outbox UNION ALL" \
	" SELECT (SELECT MIN(" LANE ") FROM outbox WHERE " LANE " > name) FROM lane WHERE name IS NOT NULL) "

enum {
	LETTER_MAX = 64 * 1024,
	IN_FLIGHT = 128, LANE_SHARE = 16, LANES = 2 * IN_FLIGHT,
	LEASE_MS = 90000,      /* a letter taken and never heard of again, longer than any request */
	BACKOFF_MS = 500, BACKOFF_MOST_MS = 60000,
	ACCEPTED_MS = 2000,    /* a 202 without Retry-After */
};

struct lane {
	char name[ROLE_MAX + ID_MAX + 300];
	int in_flight, room;       /* room: for the store's thread, set before it picks */
	int64_t fails, until;      /* how often it did not answer, and until when nothing goes there */
};

struct posted {
	struct outbox *outbox;
	struct lane *lane;
	int64_t lane_fails;        /* when it went */
	char lane_name[sizeof(((struct lane *)0)->name)];
	char errand[24], id[ERRAND_ID], word[24];
	char role[ROLE_MAX], peer[ID_MAX], address[300], path[160], type[64];
	uint8_t *body;
	size_t body_n;
	int64_t tries;
	/* the answer, for the transaction that takes it */
	int status;
	uint8_t *answer;
	size_t answer_n;
	struct why why;
	int64_t again_ms;
};

struct outbox {
	struct loop *loop;
	struct store *store;
	struct http *http;
	const struct peers *peers;
	struct timer *timer;
	int in_flight, picking, again, stopped;
	int64_t next;              /* when the next letter is due that is not due yet, 0: none */
	struct posted *picked[IN_FLIGHT];
	int n_picked, room;
	struct lane lane[LANES];
	struct why last;
};

/* --- in a transaction --- */

#define SIZE_OF(field_) sizeof(((struct posted *)0)->field_)

static int too_long(const char *text, size_t cap)
{
	return text && strlen(text) >= cap;
}

enum err tx_outbox(struct tx *tx, const struct letter *l)
{
	int64_t now = clock_now_ms();

	/* a letter that does not fit when it is picked would stop all others */
	if (l->body.n > LETTER_MAX || too_long(l->errand, SIZE_OF(errand)) || too_long(l->id, SIZE_OF(id))
		|| too_long(l->word, SIZE_OF(word)) || too_long(l->role, SIZE_OF(role)) || too_long(l->peer, SIZE_OF(peer))
		|| too_long(l->address, SIZE_OF(address)) || too_long(l->path, SIZE_OF(path)) || too_long(l->type, SIZE_OF(type)))
		return ERR_LIMIT;
	tx_mark(tx, MARK_LETTER);
	return tx_do(tx, "INSERT INTO outbox (errand, id, word, role, peer, address, path, type, body, tries, made, next)"
		" VALUES (:errand, :id, :word, :role, :peer, :address, :path, :type, :body, 0, :made, :next)",
		WITH(B_TEXT("errand", l->errand), B_TEXT("id", l->id), B_TEXT("word", l->word), B_TEXT("role", l->role ? l->role : ""),
			B_TEXT("peer", l->peer ? l->peer : ""), B_TEXT("address", l->address ? l->address : ""), B_TEXT("path", l->path),
			B_TEXT("type", l->type ? l->type : ""), B_BLOB("body", l->body), B_INT("made", now), B_INT("next", now)));
}

/* --- picking --- */

static void posted_free(struct posted *p)
{
	if (!p)
		return;
	free(p->body);
	free(p->answer);
	free(p);
}

/* How many more may go there now. A lane that does not answer gets one letter at a time. */
static int lane_room(const struct outbox *o, const char *name)
{
	int room = LANE_SHARE;

	for (int i = 0; i < LANES; i++)
		if (!strcmp(o->lane[i].name, name))
			room = o->lane[i].room;
	for (int i = 0; i < o->n_picked; i++)
		room -= !strcmp(o->picked[i]->lane_name, name);
	return room;
}

static enum err pick_row(const struct row *r, void *arg)
{
	struct outbox *o = arg;
	struct posted *p;

	if (o->n_picked == o->room || lane_room(o, row_text(r, 0)) <= 0)
		return OK;
	p = calloc(1, sizeof(*p));
	if (p)
		p->body = bytes_dup(row_blob(r, 9), &p->body_n);
	if (!p || !p->body) {
		posted_free(p);
		return ERR_NOMEM;
	}
	p->outbox = o;
	row_copy(r, 0, p->lane_name, sizeof(p->lane_name));
	row_copy(r, 1, p->errand, sizeof(p->errand));
	row_copy(r, 2, p->id, sizeof(p->id));
	row_copy(r, 3, p->word, sizeof(p->word));
	row_copy(r, 4, p->role, sizeof(p->role));
	row_copy(r, 5, p->peer, sizeof(p->peer));
	row_copy(r, 6, p->address, sizeof(p->address));
	row_copy(r, 7, p->path, sizeof(p->path));
	row_copy(r, 8, p->type, sizeof(p->type));
	p->tries = row_int(r, 10);
	o->picked[o->n_picked++] = p;
	return OK;
}

/* Only the very letter that was picked: one of the same name with other content may have taken its place since. */
static enum err set_next(struct tx *tx, const struct posted *p, int64_t next, int64_t tries)
{
	return tx_do(tx, "UPDATE outbox SET next = :next, tries = :tries WHERE errand = :errand AND id = :id AND word = :word"
		" AND peer = :peer AND body = :body",
		WITH(B_INT("next", next), B_INT("tries", tries), B_TEXT("errand", p->errand), B_TEXT("id", p->id), B_TEXT("word", p->word),
			B_TEXT("peer", p->peer), B_BLOB("body", BYTES(p->body, p->body_n))));
}

static enum err pick(struct tx *tx, void *arg)
{
	struct outbox *o = arg;
	const struct row *r;
	int64_t now = clock_now_ms();
	enum err e;

	while (o->n_picked)
		posted_free(o->picked[--o->n_picked]); /* it runs a second time */
	e = tx_each(tx, LANES_ALL "SELECT name, o.errand, o.id, o.word, o.role, o.peer, o.address, o.path, o.type, o.body, o.tries"
		" FROM lane JOIN outbox o ON (o.errand, o.id, o.word) IN (SELECT errand, id, word FROM outbox"
		" WHERE " LANE " = name AND next <= :now ORDER BY next LIMIT :share) ORDER BY o.next",
		WITH(B_INT("now", now), B_INT("share", LANE_SHARE)), pick_row, o);
	for (int i = 0; i < o->n_picked && !e; i++)
		e = set_next(tx, o->picked[i], now + LEASE_MS, o->picked[i]->tries);
	if (!e)
		e = tx_get(tx, LANES_ALL "SELECT COALESCE(MIN((SELECT MIN(next) FROM outbox WHERE " LANE " = name AND next > :now)), 0) FROM lane",
			WITH(B_INT("now", now)), &r);
	if (!e)
		o->next = row_int(r, 0);
	return e;
}

/* The lane of that name, or a free one, or of those that did not answer the one to be tried first. IN_FLIGHT of them are in use at most. */
static struct lane *lane_of(struct outbox *o, const char *name)
{
	struct lane *best = NULL;

	for (int i = 0; i < LANES; i++) {
		struct lane *l = o->lane + i;

		if (!strcmp(l->name, name))
			return l;
		if (!l->in_flight && (!best || l->until < best->until))
			best = l;
	}
	*best = (struct lane){ .in_flight = 0 };
	snprintf(best->name, sizeof(best->name), "%s", name);
	return best;
}

/* When the next lane is tried again, or the next letter is due; 0: neither. */
static int64_t next_look(const struct outbox *o)
{
	int64_t next = o->next, now = clock_now_ms();

	for (const struct lane *l = o->lane; l < o->lane + LANES; l++)
		if (l->until > now && (!next || l->until < next))
			next = l->until;
	return next;
}

static void look(void *arg);
static void post(struct posted *p);

static void picked(void *arg, enum err e)
{
	struct outbox *o = arg;
	int n = o->n_picked;
	int64_t next, wait;

	for (int i = 0; i < n; i++) {
		if (e || o->stopped)
			posted_free(o->picked[i]);
		else
			post(o->picked[i]);
	}
	o->picking = 0;
	o->n_picked = 0;
	timer_stop(o->timer);
	o->timer = NULL;
	if (o->stopped)
		return;
	if (o->again && o->in_flight < IN_FLIGHT) {
		o->again = 0;
		look(o);
		return;
	}
	next = next_look(o);
	wait = next - clock_now_ms();
	if (e || next)
		o->timer = timer_after(o->loop, e || wait > 1000 ? 1000 : wait < 10 ? 10 : wait, look, o);
}

static void look(void *arg)
{
	struct outbox *o = arg;
	int64_t now = clock_now_ms();
	int before;

	o->timer = NULL;
	if (o->stopped)
		return;
	if (o->picking || o->in_flight >= IN_FLIGHT) {
		o->again = 1;
		return;
	}
	o->picking = 1;
	o->room = IN_FLIGHT - o->in_flight;
	for (struct lane *l = o->lane; l < o->lane + LANES; l++)
		l->room = l->fails ? !l->in_flight && now >= l->until : LANE_SHARE - l->in_flight;
	before = spent_switch(spent_step("outbox"));
	store_run(o->store, pick, o, picked);
	spent_switch(before);
}

static void look_now(struct outbox *o)
{
	timer_stop(o->timer);
	look(o);
}

/* --- the answer --- */

static enum err take_answer(struct tx *tx, void *arg)
{
	struct posted *p = arg;
	char name[48];
	struct errand_event event = { .name = name, .role = p->role, .peer = p->peer, .status = p->status,
		.body = BYTES(p->answer, p->answer_n) };
	enum err e = tx_do(tx, "DELETE FROM outbox WHERE errand = :errand AND id = :id AND word = :word AND peer = :peer AND body = :body",
		WITH(B_TEXT("errand", p->errand), B_TEXT("id", p->id), B_TEXT("word", p->word), B_TEXT("peer", p->peer),
			B_BLOB("body", BYTES(p->body, p->body_n))));

	if (!e && !tx_changes(tx))
		return OK; /* taken back while it was under way: its answer is nobody's */
	snprintf(name, sizeof(name), "%s.%s", p->word, p->status < 300 ? "ok" : "refused");
	if (!e)
		e = tx_errand_event(tx, p->errand, p->id, &event, NULL);
	return e == ERR_ORDER || e == ERR_MISSING ? OK : e; /* nobody waits for it any more */
}

static int64_t backoff(int64_t tries)
{
	int64_t most = tries > 7 ? BACKOFF_MOST_MS : BACKOFF_MS << tries;
	uint16_t jitter = 0;

	(void)!RAND_bytes((unsigned char *)&jitter, sizeof(jitter));
	most = most > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : most;
	return most / 2 + most * jitter / 65536 / 2;
}

static enum err put_back(struct tx *tx, struct posted *p, int64_t wait)
{
	return set_next(tx, p, clock_now_ms() + wait, p->tries + 1);
}

static enum err settle(struct tx *tx, void *arg)
{
	struct posted *p = arg;
	enum err e;

	if (p->again_ms)
		return put_back(tx, p, p->again_ms);
	e = tx_try(tx, take_answer, p);
	if (e && !p->why.text[0])
		snprintf(p->why.text, sizeof(p->why.text), "%s", err_text(e));
	return e ? put_back(tx, p, e == ERR_AGAIN ? ACCEPTED_MS : backoff(p->tries)) : OK;
}

static void finished(void *arg, enum err e)
{
	struct posted *p = arg;
	struct outbox *o = p->outbox;

	(void)e; /* the lease brings the letter back */
	o->in_flight--;
	p->lane->in_flight--;
	posted_free(p);
	look_now(o);
}

static int says_later(int status)
{
	return status >= 500 || status == 408 || status == 425 || status == 429;
}

/* Who does not answer is left alone as a whole, and longer each time; an answer, even 503, opens the lane: that is the letter's matter. */
static int64_t lane_failed(const struct posted *p)
{
	struct lane *l = p->lane;
	int64_t now = clock_now_ms();

	if (p->lane_fails == l->fails) /* of those that went together, the first counts */
		l->until = now + backoff(l->fails++);
	return l->until > now ? l->until - now : 0;
}

static void lane_answered(struct lane *l)
{
	l->fails = 0;
	l->until = 0;
}

static void answered(void *arg, const struct response *r)
{
	struct posted *p = arg;
	int64_t seconds = 0;

	if (text_number(r->retry_after, 0, 3600, &seconds))
		seconds = 0;
	p->status = r->status;
	if (!r->err)
		lane_answered(p->lane);
	if (r->err || says_later(r->status)) {
		p->again_ms = r->err ? lane_failed(p) : seconds ? seconds * 1000 : backoff(p->tries);
		if (r->err)
			p->why = r->why;
		else
			snprintf(p->why.text, sizeof(p->why.text), "%s %s answers %d: %.*s", p->role, p->peer, r->status,
				r->body.n > 200 ? 200 : (int)r->body.n, (const char *)r->body.p);
		text_plain(p->why.text); /* it goes to people as JSON */
		p->outbox->last = p->why;
	} else if (r->status == 202) {
		p->again_ms = seconds ? seconds * 1000 : ACCEPTED_MS;
	} else {
		p->answer = bytes_dup(r->body, &p->answer_n);
		p->again_ms = p->answer ? 0 : backoff(p->tries);
	}
	log_hop(p->why.text[0] ? LOG_WARN : LOG_DEBUG, p->word, "errand=%s id=%s peer=%s/%s status=%d tries=%lld why=\"%s\"", p->errand, p->id,
		p->role, p->peer, r->status, (long long)p->tries, p->why.text);
	fault_point(p->word, "answered");
	store_run(p->outbox->store, settle, p, finished);
}

static void unreachable(struct posted *p, const char *what)
{
	struct response r = { .err = ERR_UNAVAILABLE };

	snprintf(r.why.text, sizeof(r.why.text), "%s %s: %s", p->role, p->peer, what);
	answered(p, &r);
}

static void post(struct posted *p)
{
	struct outbox *o = p->outbox;
	const struct peer *peer = *p->role ? peers_find(o->peers, p->role, p->peer) : NULL;
	struct request q = { .method = "POST", .path = p->path, .type = *p->type ? p->type : NULL, .body = BYTES(p->body, p->body_n) };
	int before = spent_now();

	spent_switch(spent_step(p->word)); /* a letter is its word's work, and its answer too */
	o->in_flight++;
	p->lane = lane_of(o, p->lane_name);
	p->lane->in_flight++;
	p->lane_fails = p->lane->fails;
	q.address = *p->address ? p->address : peer ? peer->address : "";
	if (*p->role) {
		q.peer_role = p->role;
		q.peer_id = p->peer;
	}
	if (!*q.address)
		unreachable(p, "no address; add it with `usher peer add`");
	else if (!http_ask(o->http, &q, answered, p))
		unreachable(p, "out of memory");
	spent_switch(before);
}

/* --- opening --- */

static void committed(void *arg)
{
	struct outbox *o = arg;

	if (store_take_mark(o->store, MARK_LETTER))
		look_now(o);
}

/* What a process before us had taken is ours now. */
static enum err begin(struct tx *tx, void *arg)
{
	enum err e = tx_do(tx, "DROP INDEX IF EXISTS outbox_next", NULL); /* databases of before the lanes have it */

	(void)arg;
	if (!e)
		e = tx_do(tx, "CREATE INDEX IF NOT EXISTS outbox_lane ON outbox (" LANE ", next)", NULL);
	tx_mark(tx, MARK_LETTER);
	return e ? e : tx_do(tx, "UPDATE outbox SET next = :now WHERE next > :now", WITH(B_INT("now", clock_now_ms())));
}

enum err outbox_open(struct loop *l, struct store *s, struct http *h, const struct peers *p, struct outbox **out)
{
	struct outbox *o = calloc(1, sizeof(*o));

	if (!o)
		return ERR_NOMEM;
	o->loop = l;
	o->store = s;
	o->http = h;
	o->peers = p;
	store_on_commit(s, committed, o);
	store_run(s, begin, NULL, NULL);
	*out = o;
	return OK;
}

void outbox_stop(struct outbox *o)
{
	if (!o)
		return;
	o->stopped = 1;
	timer_stop(o->timer);
	o->timer = NULL;
}

void outbox_close(struct outbox *o)
{
	free(o);
}

enum err tx_outbox_status(struct tx *tx, int64_t *waiting, int64_t *oldest)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT COUNT(*), COALESCE(MIN(made), 0) FROM outbox", NULL, &r);

	if (e)
		return e;
	*waiting = row_int(r, 0);
	*oldest = *waiting ? (clock_now_ms() - row_int(r, 1)) / 1000 : 0;
	return OK;
}

const char *outbox_last(const struct outbox *o)
{
	return o->last.text;
}
