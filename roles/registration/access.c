/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * The gateway of limited access (R15): behind the visited operator, for attached PIMSIs. It opens discover, and after a
 * discover answer that PIMSI's own DLUSIM, DM and OCSP, within a budget of octets, time and attempts a day.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "link/tunnel.h"
#include "roles/registration/registration.h"

enum { DAY = 86400 };

struct pass {
	struct process *process;
	struct tunnel *tunnel;      /* NULL when it ended meanwhile */
	char pimsi[24], target[TUNNEL_TARGET], plmn[ID_MAX];
	int64_t octets, saved, most;
	int open, writing;
	struct why why;
	enum err err;
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

/* A row per PIMSI and day: what is used up stays used up, over reconnects and restarts. */
static enum err budget(struct tx *tx, struct pass *p)
{
	const struct conf *c = p->process->conf;
	const struct row *r;
	int64_t today = clock_now() / DAY, attempts = 0, octets = 0, since = clock_now();
	enum err e = tx_get(tx, "SELECT attempts, octets, since FROM budget WHERE pimsi = :pimsi AND day = :day", WITH(B_TEXT("pimsi", p->pimsi),
		B_INT("day", today)), &r);

	if (!e) {
		attempts = row_int(r, 0);
		octets = row_int(r, 1);
		since = row_int(r, 2);
	} else if (e != ERR_MISSING) {
		return e;
	}
	if (octets >= c->budget_octets)
		return fail(&p->why, ERR_LIMIT, "the budget of %lld octets a day of %s is used up", (long long)c->budget_octets, p->pimsi);
	if (clock_now() - since >= c->budget_seconds)
		return fail(&p->why, ERR_LIMIT, "the time of %lld s a day of %s is used up", (long long)c->budget_seconds, p->pimsi);
	if (attempts >= c->budget_attempts)
		return fail(&p->why, ERR_LIMIT, "the %lld connections a day of %s are used up", (long long)c->budget_attempts, p->pimsi);
	p->most = c->budget_octets - octets;
	return tx_do(tx, "INSERT INTO budget (pimsi, day, attempts, octets, since) VALUES (:pimsi, :day, 1, 0, :since) ON CONFLICT (pimsi) DO UPDATE SET"
		" attempts = CASE WHEN budget.day = excluded.day THEN budget.attempts + 1 ELSE 1 END,"
		" octets = CASE WHEN budget.day = excluded.day THEN budget.octets ELSE 0 END,"
		" since = CASE WHEN budget.day = excluded.day THEN budget.since ELSE excluded.since END, day = excluded.day",
		WITH(B_TEXT("pimsi", p->pimsi), B_INT("day", today), B_INT("since", since)));
}

static enum err pass_check(struct tx *tx, void *arg)
{
	struct pass *p = arg;
	const struct row *r;
	char equipment[EQUIPMENT_MAX];
	enum err e = tx_get(tx, "SELECT equipment, visited FROM pimsi WHERE pimsi = :pimsi", WITH(B_TEXT("pimsi", p->pimsi)), &r);

	/* the gateway believes the network because its certificate's PLMN is where the PIMSI's UpdateLocation came from */
	if (e || strcmp(row_text(r, 1), p->plmn))
		return fail(&p->why, ERR_DENIED, "%s is not attached in network %s", p->pimsi, p->plmn);
	row_copy(r, 0, equipment, sizeof(equipment));
	e = opened(tx, p, equipment);
	if (!e)
		e = budget(tx, p);
	if (e == ERR_DENIED || e == ERR_LIMIT) { /* refused, and told */
		enum err audited = tx_audit(tx, "access", ABOUT({ "pimsi", p->pimsi }, { "equipment", equipment }), "refused: %s", p->why.text);

		p->err = e;
		return audited;
	}
	return e;
}

static void pass_end(struct pass *p)
{
	if (!p->tunnel && !p->writing)
		free(p);
}

static void pass_checked(void *arg, enum err e)
{
	struct pass *p = arg;

	p->writing = 0;
	e = e ? e : p->err;
	if (!p->tunnel) {
		pass_end(p);
	} else if (e) {
		desk_count(p->process->desk, COUNT_ACCESS_REFUSED, 1);
		tunnel_refuse(p->tunnel, e == ERR_LIMIT ? 429 : e == ERR_DENIED ? 403 : 503, e, "%s", p->why.text[0] ? p->why.text : "try again");
	} else {
		desk_count(p->process->desk, COUNT_ACCESS, 1);
		log_hop(LOG_INFO, "access", "pimsi=%s peer=%s target=%s act=open", p->pimsi, p->plmn, p->target);
		p->open = 1;
		tunnel_dial(p->tunnel, p->target);
	}
}

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct process *process = arg;
	struct pass *p = NULL;

	if (strcmp(ask->peer.role, "visited") || !peers_find(process->peers, "visited", ask->peer.id)) {
		tunnel_refuse(t, 403, ERR_DENIED, "%s %s is not a visited operator known here; `usher peer add`", ask->peer.role, ask->peer.id);
		return;
	}
	if (text_digits(ask->identity) < 6 || text_digits(ask->identity) > 15 || !(p = calloc(1, sizeof(*p)))) {
		tunnel_refuse(t, 400, ERR_FORMAT, "Usher-Identity is not a number");
		return;
	}
	p->process = process;
	p->tunnel = t;
	snprintf(p->pimsi, sizeof(p->pimsi), "%s", ask->identity);
	snprintf(p->target, sizeof(p->target), "%s", ask->target);
	snprintf(p->plmn, sizeof(p->plmn), "%s", ask->peer.id);
	tunnel_set(t, p);
	p->writing = 1;
	store_run(process->store, pass_check, p, pass_checked);
}

/* --- what it uses --- */

static enum err usage_write(struct tx *tx, void *arg)
{
	struct pass *p = arg;

	return tx_do(tx, "UPDATE budget SET octets = octets + :octets WHERE pimsi = :pimsi", WITH(B_INT("octets", p->saved), B_TEXT("pimsi", p->pimsi)));
}

static void usage_written(void *arg, enum err e)
{
	struct pass *p = arg;

	(void)e;
	p->writing = 0;
	pass_end(p);
}

static void moved(struct tunnel *t, size_t octets, void *arg)
{
	struct pass *p = tunnel_note(t);

	(void)arg;
	if (!p)
		return;
	p->octets += (int64_t)octets;
	if (p->octets < p->most)
		return;
	log_hop(LOG_WARN, "access", "pimsi=%s target=%s act=end why=\"the budget of octets is used up\"", p->pimsi, p->target);
	tunnel_end(t);
}

static void ended(struct tunnel *t, void *arg)
{
	struct pass *p = tunnel_note(t);

	(void)arg;
	if (!p)
		return;
	p->tunnel = NULL;
	p->saved = p->octets;
	if (p->open && p->octets) {
		p->writing = 1;
		store_run(p->process->store, usage_write, p, usage_written);
	} else {
		pass_end(p);
	}
}

enum err access_open(struct registration *r, struct why *w)
{
	const struct conf *c = r->process->conf;
	struct tunnel_conf t = { .name = "access", .address = c->listen.access, .tls = r->process->tls, .most = 10000,
		.events = { asked, moved, ended }, .arg = r->process };

	return tunnel_listen(r->process->loop, &t, &r->access, w);
}
