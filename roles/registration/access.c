/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * The gateway of limited access (R15): behind the visited operator, for attached PIMSIs. It opens discover, and after a
 * discover answer that PIMSI's own DLUSIM, DM and OCSP, within a budget of octets, time and attaches a day.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/registration/registration.h"

/* A killed process forgets at most SAVE_OCTETS and SAVE_MS of a PIMSI's use. */
enum { DAY = 86400, TOLD_MOST = 10, SAVE_OCTETS = 64 * 1024, SAVE_MS = 60000, TICK_MS = 1000 };

struct budget {
	int64_t day, octets, ms;       /* the day's octets, and milliseconds in which a tunnel was open */
	int64_t attempts, attached_at; /* the day's attaches, and the last one that was counted */
};

/* What a PIMSI with tunnels has used today, all of them together; in the registration operator's list. */
struct usage {
	LIST_ENTRY(usage) all;
	LIST_HEAD(, charged) passes;   /* the last one takes it along */
	struct registration *registration;
	char pimsi[DIGITS_MAX];
	struct budget used, unsaved;   /* unsaved: the part of it that no save has taken to the row yet */
	int64_t since;                 /* clock_mono_ms up to which time is charged */
	int open, known;               /* open tunnels; the row's part of `used` is known */
};

struct charged {
	struct pass pass;
	LIST_ENTRY(charged) of_usage;
	struct usage *usage;
	struct budget unsaved, found;  /* of the usage when it asked; with the row's */
};

struct save {
	char pimsi[DIGITS_MAX];
	struct budget part;
};

/* --- may it? --- */

static int in_list(const char *text, const char *target)
{
	json_t *list = json_loads(text, 0, NULL), *one;
	size_t i;
	int found = 0;

	json_array_foreach(list, i, one)
		found |= json_is_string(one) && !strcmp(json_string_value(one), target);
	json_decref(list);
	return found;
}

static enum err destination_check(struct tx *tx, struct pass *p)
{
	const struct conf *c = p->gateway->process->conf;
	const struct row *r;
	enum err e;

	if (!strcmp(p->ask.target, c->discover_address))
		return OK;
	e = tx_get(tx, "SELECT dlusim_address, dm_address, ocsp FROM route WHERE equipment = :equipment AND discovered = 1",
		WITH(B_TEXT("equipment", p->equipment)), &r);
	if (!e && (!strcmp(row_text(r, 0), p->ask.target) || !strcmp(row_text(r, 1), p->ask.target) || in_list(row_text(r, 2), p->ask.target)))
		return OK;
	if (e && e != ERR_MISSING)
		return e;
	return fail(&p->why, ERR_DENIED, "limited access does not open %s for %s: discover at %s says where to go", p->ask.target, p->ask.identity,
		c->discover_address);
}

/* A row per PIMSI: what is used up today stays used up, over reconnects and restarts. ERR_MISSING: none yet, *b is empty. */
static enum err budget_read(struct tx *tx, const char *pimsi, int64_t day, struct budget *b)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT day, attempts, octets, used_ms, attached_at FROM budget WHERE pimsi = :pimsi", WITH(B_TEXT("pimsi", pimsi)), &r);

	*b = (struct budget){ .day = day };
	if (e)
		return e;
	b->attached_at = row_int(r, 4);
	if (row_int(r, 0) == day) {
		b->attempts = row_int(r, 1);
		b->octets = row_int(r, 2);
		b->ms = row_int(r, 3);
	}
	return OK;
}

/* Yesterday's may be written once more, by what was open at midnight; rows of the days before say nothing, and two of them go. */
static enum err budget_write(struct tx *tx, const char *pimsi, const struct budget *b)
{
	enum err e = tx_do(tx, "DELETE FROM budget WHERE pimsi IN (SELECT pimsi FROM budget WHERE day < :yesterday ORDER BY day LIMIT 2)",
		WITH(B_INT("yesterday", b->day - 1)));

	return e ? e : tx_do(tx, "INSERT INTO budget (pimsi, day, attempts, octets, used_ms, attached_at) VALUES (:pimsi, :day, :attempts, :octets, :ms, :attached)"
		" ON CONFLICT (pimsi) DO UPDATE SET day = excluded.day, attempts = excluded.attempts, octets = excluded.octets, used_ms = excluded.used_ms,"
		" attached_at = excluded.attached_at",
		WITH(B_TEXT("pimsi", pimsi), B_INT("day", b->day), B_INT("attempts", b->attempts), B_INT("octets", b->octets), B_INT("ms", b->ms),
			B_INT("attached", b->attached_at)));
}

static enum err used_up(struct pass *p, int64_t most, const char *what, const char *item)
{
	return fail(&p->why, ERR_LIMIT, "the budget of %lld %s a day of %s is used up; try again after 00:00 UTC, or raise `%s`", (long long)most, what,
		p->ask.identity, item);
}

static enum err budget_check(struct tx *tx, struct charged *x)
{
	struct pass *p = &x->pass;
	const struct conf *c = p->gateway->process->conf;
	struct budget row;
	enum err e = budget_read(tx, p->ask.identity, x->unsaved.day, &row);

	if (e && e != ERR_MISSING)
		return e;
	x->found = row;
	x->found.octets += x->unsaved.octets;
	x->found.ms += x->unsaved.ms;
	if (x->found.octets >= c->budget_octets)
		return used_up(p, c->budget_octets, "octets", "budget_octets");
	if (x->found.ms >= c->budget_seconds * 1000)
		return used_up(p, c->budget_seconds, "s", "budget_seconds");
	if (row.attached_at == p->attached_at) /* another connection of an attach that is counted */
		return OK;
	if (row.attempts >= c->budget_attempts)
		return used_up(p, c->budget_attempts, "attaches", "budget_attempts");
	row.attempts++;
	row.attached_at = p->attached_at;
	return budget_write(tx, p->ask.identity, &row);
}

/* Told in the story, but an attach's first ones only: who asks again and again fills no disk. */
static enum err refusal_tell(struct tx *tx, const struct pass *p)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT COUNT(*) FROM audit_about b JOIN audit a ON a.seq = b.seq WHERE b.kind = 'pimsi' AND b.value = :pimsi"
		" AND a.step = 'access' AND a.at_ms >= :attached", WITH(B_TEXT("pimsi", p->ask.identity), B_INT("attached", p->attached_at * 1000)), &r);

	if (e || row_int(r, 0) >= TOLD_MOST)
		return e;
	return tx_audit(tx, "access", ABOUT({ "pimsi", p->ask.identity }, { "equipment", p->equipment }), "refused: %s", p->why.text);
}

static enum err check(struct tx *tx, struct pass *p)
{
	enum err e = destination_check(tx, p);

	if (!e)
		e = budget_check(tx, (struct charged *)p);
	if (e != ERR_DENIED && e != ERR_LIMIT)
		return e;
	p->err = e;
	return refusal_tell(tx, p);
}

/* --- what it uses --- */

static enum err save_write(struct tx *tx, void *arg)
{
	struct save *s = arg;
	struct budget row;
	enum err e = budget_read(tx, s->pimsi, s->part.day, &row);

	if (e)
		return e == ERR_MISSING ? OK : e; /* released into the pool meanwhile: its next equipment begins with nothing used */
	row.octets += s->part.octets;
	row.ms += s->part.ms;
	return budget_write(tx, s->pimsi, &row);
}

static void saved(void *arg, enum err e)
{
	struct save *s = arg;

	if (e)
		log_hop(LOG_WARN, "access", "pimsi=%s act=save why=\"%lld octets and %lld ms of its budget are forgotten: %s\"", s->pimsi,
			(long long)s->part.octets, (long long)s->part.ms, err_name(e));
	free(s);
}

static void usage_save(struct usage *u)
{
	struct save *s = u->unsaved.octets || u->unsaved.ms ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return;
	snprintf(s->pimsi, sizeof(s->pimsi), "%s", u->pimsi);
	s->part = u->unsaved;
	u->unsaved = (struct budget){ .day = u->used.day };
	store_run(u->registration->process->store, save_write, s, saved);
}

/* Time up to now, to the day in which it began; then the octets, to today. */
static void charge(struct usage *u, size_t octets)
{
	int64_t now = clock_mono_ms(), today = clock_now() / DAY, ms = u->open ? now - u->since : 0;

	u->since = now;
	u->used.ms += ms;
	u->unsaved.ms += ms;
	if (u->used.day != today) {
		usage_save(u);
		u->used = u->unsaved = (struct budget){ .day = today };
	}
	u->used.octets += (int64_t)octets;
	u->unsaved.octets += (int64_t)octets;
	if (u->unsaved.octets >= SAVE_OCTETS || u->unsaved.ms >= SAVE_MS)
		usage_save(u);
}

/* Ends all its open tunnels when a budget is used up. */
static void judge(struct usage *u)
{
	const struct conf *c = u->registration->process->conf;
	const char *what = u->used.octets >= c->budget_octets ? "octets" : u->used.ms >= c->budget_seconds * 1000 ? "time" : NULL;

	if (!what || !u->open)
		return;
	log_hop(LOG_WARN, "access", "pimsi=%s tunnels=%d act=end why=\"the budget of %s is used up\"", u->pimsi, u->open, what);
	for (struct charged *x = LIST_FIRST(&u->passes), *next; x; x = next) {
		next = LIST_NEXT(x, of_usage); /* the usage may go with the last one */
		if (x->pass.open)
			tunnel_end(x->pass.tunnel);
	}
}

static void tick(void *arg)
{
	struct registration *r = arg;

	for (struct usage *u = LIST_FIRST(&r->usages), *next; u; u = next) {
		next = LIST_NEXT(u, all);
		charge(u, 0);
		judge(u);
	}
}

static struct usage *usage_of(struct registration *r, const char *pimsi)
{
	struct usage *u;

	LIST_FOREACH(u, &r->usages, all)
		if (!strcmp(u->pimsi, pimsi))
			return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	snprintf(u->pimsi, sizeof(u->pimsi), "%s", pimsi);
	u->registration = r;
	u->used.day = u->unsaved.day = clock_now() / DAY;
	LIST_INSERT_HEAD(&r->usages, u, all);
	return u;
}

static enum err usage_join(struct pass *p)
{
	struct charged *x = (struct charged *)p;
	struct usage *u = usage_of(p->gateway->process->own, p->ask.identity);

	if (!u)
		return ERR_NOMEM;
	charge(u, 0);
	x->usage = u;
	x->unsaved = u->unsaved;
	LIST_INSERT_HEAD(&u->passes, x, of_usage);
	return OK;
}

static void usage_open(struct pass *p)
{
	struct charged *x = (struct charged *)p;
	struct usage *u = x->usage;

	charge(u, 0);
	if (!u->known && x->found.day == u->used.day)
		u->used = x->found;
	u->known = 1;
	u->open++;
}

static void usage_move(struct pass *p, size_t octets)
{
	struct usage *u = ((struct charged *)p)->usage;

	charge(u, octets);
	judge(u);
}

static void usage_leave(struct pass *p)
{
	struct charged *x = (struct charged *)p;
	struct usage *u = x->usage;

	LIST_REMOVE(x, of_usage);
	charge(u, 0);
	if (p->open) {
		u->open--;
		usage_save(u);
	}
	if (LIST_EMPTY(&u->passes)) {
		LIST_REMOVE(u, all);
		free(u);
	}
}

enum err access_open(struct registration *r, struct why *w)
{
	static const struct gateway_policy policy = {
		.kind = "pimsi",
		.attached = "SELECT visited, equipment, attached_at FROM pimsi WHERE pimsi = :id",
		.size = sizeof(struct charged),
		.asked = usage_join,
		.check = check,
		.opened = usage_open,
		.moved = usage_move,
		.ended = usage_leave,
		.count_opened = COUNT_ACCESS,
		.count_refused = COUNT_ACCESS_REFUSED,
	};
	const struct conf *c = r->process->conf;

	r->access = (struct gateway){ .process = r->process, .policy = &policy, .most = (int)c->tunnels };
	r->meter = timer_every(r->process->loop, TICK_MS, tick, r);
	return gateway_open(&r->access, c->listen.access, w);
}
