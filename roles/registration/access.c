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
#include "link/tunnel.h"
#include "roles/registration/registration.h"

enum { DAY = 86400, SAVE_OCTETS = 64 * 1024, SAVE_MS = 60000 }; /* a killed process forgets at most that much of a PIMSI's use */

struct budget {
	int64_t day, octets, ms;       /* the day's octets, and milliseconds in which a tunnel was open */
	int64_t attempts, attached_at; /* the day's attaches, and the last one that was counted */
};

/* What a PIMSI with tunnels has used today, all of them together; in the registration operator's list. */
struct usage {
	struct usage *next;
	struct registration *registration;
	struct pass *passes;           /* the last one takes it along */
	char pimsi[24];
	struct budget used, unsaved;   /* unsaved: the part of it that no save has taken to the row yet */
	int64_t since;                 /* clock_mono_ms up to which time is charged */
	int open, known;               /* open tunnels; the row's part of `used` is known */
	struct timer *timer;           /* while one is open */
};

struct pass {
	struct pass *next;             /* of its usage */
	struct process *process;
	struct usage *usage;
	struct tunnel *tunnel;         /* NULL when it ended meanwhile */
	char pimsi[24], target[TUNNEL_TARGET], plmn[ID_MAX];
	struct budget unsaved, found;  /* of the usage when it asked; with the row's */
	int open, checking;
	struct why why;
	enum err err;
};

struct save {
	char pimsi[24];
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

static enum err opened(struct tx *tx, struct pass *p, const char *equipment)
{
	const struct conf *c = p->process->conf;
	const struct row *r;
	enum err e;

	if (!strcmp(p->target, c->discover_address))
		return OK;
	e = tx_get(tx, "SELECT dlusim_address, dm_address, ocsp FROM route WHERE equipment = :equipment AND discovered = 1",
		WITH(B_TEXT("equipment", equipment)), &r);
	if (!e && (!strcmp(row_text(r, 0), p->target) || !strcmp(row_text(r, 1), p->target) || in_list(row_text(r, 2), p->target)))
		return OK;
	if (e && e != ERR_MISSING)
		return e;
	return fail(&p->why, ERR_DENIED, "limited access does not open %s for %s: discover at %s says where to go", p->target, p->pimsi, c->discover_address);
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

static enum err budget_write(struct tx *tx, const char *pimsi, const struct budget *b)
{
	return tx_do(tx, "INSERT INTO budget (pimsi, day, attempts, octets, used_ms, attached_at) VALUES (:pimsi, :day, :attempts, :octets, :ms, :attached)"
		" ON CONFLICT (pimsi) DO UPDATE SET day = excluded.day, attempts = excluded.attempts, octets = excluded.octets, used_ms = excluded.used_ms,"
		" attached_at = excluded.attached_at",
		WITH(B_TEXT("pimsi", pimsi), B_INT("day", b->day), B_INT("attempts", b->attempts), B_INT("octets", b->octets), B_INT("ms", b->ms),
			B_INT("attached", b->attached_at)));
}

static enum err used_up(struct pass *p, int64_t most, const char *what, const char *item)
{
	return fail(&p->why, ERR_LIMIT, "the budget of %lld %s a day of %s is used up; try again after 00:00 UTC, or raise `%s`", (long long)most, what, p->pimsi,
		item);
}

static enum err budget_check(struct tx *tx, struct pass *p, int64_t attached_at)
{
	const struct conf *c = p->process->conf;
	struct budget row;
	enum err e = budget_read(tx, p->pimsi, p->unsaved.day, &row);

	if (e && e != ERR_MISSING)
		return e;
	p->found = row;
	p->found.octets += p->unsaved.octets;
	p->found.ms += p->unsaved.ms;
	if (p->found.octets >= c->budget_octets)
		return used_up(p, c->budget_octets, "octets", "budget_octets");
	if (p->found.ms >= c->budget_seconds * 1000)
		return used_up(p, c->budget_seconds, "s", "budget_seconds");
	if (row.attached_at == attached_at) /* another connection of an attach that is counted */
		return OK;
	if (row.attempts >= c->budget_attempts)
		return used_up(p, c->budget_attempts, "attaches", "budget_attempts");
	row.attempts++;
	row.attached_at = attached_at;
	return budget_write(tx, p->pimsi, &row);
}

static enum err pass_check(struct tx *tx, void *arg)
{
	struct pass *p = arg;
	const struct row *r;
	char equipment[EQUIPMENT_MAX];
	int64_t attached_at;
	enum err e = tx_get(tx, "SELECT equipment, visited, attached_at FROM pimsi WHERE pimsi = :pimsi", WITH(B_TEXT("pimsi", p->pimsi)), &r);

	if (e && e != ERR_MISSING)
		return e;
	/* the gateway believes the network because its certificate's PLMN is where the PIMSI's UpdateLocation came from */
	if (e || strcmp(row_text(r, 1), p->plmn))
		return fail(&p->why, ERR_DENIED, "%s is not attached in network %s", p->pimsi, p->plmn);
	row_copy(r, 0, equipment, sizeof(equipment));
	attached_at = row_int(r, 2);
	e = opened(tx, p, equipment);
	if (!e)
		e = budget_check(tx, p, attached_at);
	if (e == ERR_DENIED || e == ERR_LIMIT) { /* refused, and told */
		enum err audited = tx_audit(tx, "access", ABOUT({ "pimsi", p->pimsi }, { "equipment", equipment }), "refused: %s", p->why.text);

		p->err = e;
		return audited;
	}
	return e;
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
	if (u->unsaved.octets >= SAVE_OCTETS)
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
	for (struct pass *p = u->passes, *next; p; p = next) {
		next = p->next; /* the usage may go with the last one */
		if (p->open)
			tunnel_end(p->tunnel);
	}
}

static void tick(void *arg);

static void wind(struct usage *u)
{
	const struct conf *c = u->registration->process->conf;
	int64_t left = c->budget_seconds * 1000 - u->used.ms;

	u->timer = timer_after(u->registration->process->loop, left < 1 ? 1 : left < SAVE_MS ? left : SAVE_MS, tick, u);
}

static void tick(void *arg)
{
	struct usage *u = arg;

	u->timer = NULL;
	charge(u, 0);
	usage_save(u);
	wind(u);
	judge(u);
}

static struct usage *usage_join(struct registration *r, struct pass *p)
{
	struct usage *u = r->usages;

	while (u && strcmp(u->pimsi, p->pimsi))
		u = u->next;
	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u)
			return NULL;
		u->registration = r;
		snprintf(u->pimsi, sizeof(u->pimsi), "%s", p->pimsi);
		u->used.day = u->unsaved.day = clock_now() / DAY;
		u->next = r->usages;
		r->usages = u;
	}
	charge(u, 0);
	p->unsaved = u->unsaved;
	p->next = u->passes;
	u->passes = p;
	return u;
}

static void usage_open(struct usage *u, struct pass *p)
{
	charge(u, 0);
	if (!u->known && p->found.day == u->used.day)
		u->used = p->found;
	u->known = p->open = 1;
	if (!u->open++)
		wind(u);
}

static void usage_leave(struct usage *u, struct pass *p)
{
	struct pass **at = &u->passes;
	struct usage **in = &u->registration->usages;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	charge(u, 0);
	if (p->open) {
		u->open--;
		usage_save(u);
	}
	if (!u->open) {
		timer_stop(u->timer);
		u->timer = NULL;
	}
	if (u->passes)
		return;
	while (*in != u)
		in = &(*in)->next;
	*in = u->next;
	free(u);
}

/* --- a tunnel --- */

static void pass_checked(void *arg, enum err e)
{
	struct pass *p = arg;

	p->checking = 0;
	e = e ? e : p->err;
	if (!p->tunnel) {
		free(p);
	} else if (e) {
		desk_count(p->process->desk, COUNT_ACCESS_REFUSED, 1);
		tunnel_refuse(p->tunnel, e == ERR_LIMIT ? 429 : e == ERR_DENIED ? 403 : 503, e, "%s", p->why.text[0] ? p->why.text : "try again");
	} else {
		desk_count(p->process->desk, COUNT_ACCESS, 1);
		log_hop(LOG_INFO, "access", "pimsi=%s peer=%s target=%s act=open", p->pimsi, p->plmn, p->target);
		usage_open(p->usage, p);
		tunnel_dial(p->tunnel, p->target);
	}
}

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct registration *r = arg;
	struct pass *p;

	if (strcmp(ask->peer.role, "visited") || !peers_find(r->process->peers, "visited", ask->peer.id)) {
		tunnel_refuse(t, 403, ERR_DENIED, "%s %s is not a visited operator known here; `usher peer add`", ask->peer.role, ask->peer.id);
		return;
	}
	if (text_digits(ask->identity) < 6 || text_digits(ask->identity) > 15) {
		tunnel_refuse(t, 400, ERR_FORMAT, "Usher-Identity is not a number");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (p) {
		p->process = r->process;
		p->tunnel = t;
		snprintf(p->pimsi, sizeof(p->pimsi), "%s", ask->identity);
		snprintf(p->target, sizeof(p->target), "%s", ask->target);
		snprintf(p->plmn, sizeof(p->plmn), "%s", ask->peer.id);
		p->usage = usage_join(r, p);
	}
	if (!p || !p->usage) {
		free(p);
		tunnel_refuse(t, 503, ERR_NOMEM, "try again");
		return;
	}
	tunnel_set(t, p);
	p->checking = 1;
	store_run(r->process->store, pass_check, p, pass_checked);
}

static void moved(struct tunnel *t, size_t octets, void *arg)
{
	struct pass *p = tunnel_note(t);

	(void)arg;
	if (!p)
		return;
	charge(p->usage, octets);
	judge(p->usage);
}

static void ended(struct tunnel *t, void *arg)
{
	struct pass *p = tunnel_note(t);

	(void)arg;
	if (!p)
		return;
	usage_leave(p->usage, p);
	p->tunnel = NULL;
	if (!p->checking)
		free(p);
}

enum err access_open(struct registration *r, struct why *w)
{
	const struct conf *c = r->process->conf;
	struct tunnel_conf t = { .name = "access", .address = c->listen.access, .tls = r->process->tls, .most = 10000,
		.events = { asked, moved, ended }, .arg = r };

	return tunnel_listen(r->process->loop, &t, &r->access, w);
}
