/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The equipment's life from power-on: as itself if a USIM is committed, else a trial of the one that is installed, else with the
 * PIMSI to ask where to go. Without service it alternates, again with back-off, for ever (DESIGN 4).
 */
#include "roles/equipment/agent/inside.h"

#include <fcntl.h>
#include <jansson.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/pem.h"
#include "core/secret.h"
#include "proto/digest.h"
#include "proto/json.h"

enum { BACKOFF_MS = 1000, BACKOFF_MOST_MS = 300000, STEADY_MS = 60000, DISCOVER_TRIES = 4, SESSIONS = 5 };

/* --- the journey, for people --- */

void agent_tell(struct agent *a, const char *what, const char *fmt, ...)
{
	char text[512], *line;
	va_list ap;
	json_t *o;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_hop(LOG_INFO, what, "eq=%s act=\"%s\"", tre_equipment(a->tre), text);
	o = json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:I}", "at_ms", (json_int_t)clock_now_ms(), "equipment", tre_equipment(a->tre), "step", what,
		"text", text, "sent", (json_int_t)a->sent, "received", (json_int_t)a->received, "turns", (json_int_t)a->turns);
	line = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	if (line && a->journey >= 0)
		dprintf(a->journey, "%s\n", line);
	free(line);
	json_decref(o);
}

int agent_reached(struct agent *a, enum agent_goal goal)
{
	if (a->conf.goal != goal || !a->conf.ended)
		return 0;
	modem_down(a->modem);
	a->conf.ended(a, a->conf.arg);
	return 1;
}

void agent_carry(struct agent *a, struct bytes b)
{
	free(a->carried);
	a->carried_n = 0;
	a->carried = b.n ? bytes_dup(b, &a->carried_n) : NULL;
}

/* --- one request, one timer --- */

static void answered(void *arg, const struct response *r)
{
	struct agent *a = arg;

	a->call = NULL;
	a->sent += r->sent;
	a->received += r->received;
	a->turns += r->turns;
	if (!a->closing)
		a->done(a->done_arg, r);
}

void agent_ask(struct agent *a, struct request *q, http_done done, void *arg)
{
	q->proxy = a->path.proxy;
	q->proxy_bearer = a->path.token;
	q->count = 1;
	a->done = done;
	a->done_arg = arg;
	a->call = http_ask(a->http, q, answered, a);
	if (!a->call)
		agent_later(a, 0);
}

void agent_wait(struct agent *a, int64_t ms, void (*fn)(void *), void *arg)
{
	timer_stop(a->again);
	a->again = timer_after(a->conf.loop, ms, fn, arg);
}

/* --- again, with back-off --- */

int64_t agent_backoff(int64_t ms, int tries, int64_t most_ms)
{
	int64_t wait = tries > 20 || ms << tries > most_ms ? most_ms : ms << tries;
	uint16_t jitter = 0;

	(void)!RAND_bytes((unsigned char *)&jitter, sizeof(jitter));
	return wait / 2 + wait / 2 * jitter / 65536;
}

/* From what the tre holds follows what comes next, and nothing else; away: the other slot's turn. */
static void power_on(void *arg)
{
	struct agent *a = arg;
	int away = a->away;

	a->again = NULL;
	a->away = 0;
	http_forget(a->http); /* connections of the last bearer */
	install_known(a);
	if (a->account.stage == ACCOUNT_SEALED && !tre_sealed(a->tre, &a->route))
		account_forget(a); /* of a package that is not there any more: all begins anew */
	tls_time(a->tls, (struct cert_time){ tre_time(a->tre).now, 1 }); /* what has ended by then is not believed; what is newer may be */
	if (!away && install_again(a)) {
		install_begin(a);
	} else if (!away && tre_active(a->tre) >= 0) {
		install_home(a);
	} else {
		agent_tell(a, "attach", "looks for a network with PIMSI %s", a->order.pimsi);
		agent_up(a, ON_PIMSI, a->slot, a->order.apn);
	}
}

/* Whatever was under way on this bearer ends with it. */
static void bearer_down(struct agent *a)
{
	if (a->call)
		http_cancel(a->call);
	a->call = NULL;
	timer_stop(a->trial_over);
	a->trial_over = NULL;
	provision_end(a);
	modem_down(a->modem);
}

void agent_later(struct agent *a, int64_t least_ms)
{
	int64_t wait = agent_backoff(BACKOFF_MS, a->failures, BACKOFF_MOST_MS);

	if (a->closing)
		return;
	a->failures++;
	bearer_down(a);
	/* the next PIMSI, if there are several */
	a->slot = (a->slot + 1) % tre_orders(a->tre);
	(void)!tre_order(a->tre, a->slot, &a->order);
	agent_wait(a, wait > least_ms ? wait : least_ms, power_on, a);
}

void agent_next(struct agent *a)
{
	if (a->closing)
		return;
	bearer_down(a);
	agent_wait(a, 0, power_on, a);
}

static void trial_over(void *arg)
{
	struct agent *a = arg;

	a->trial_over = NULL;
	install_failed(a, "its time is over");
}

void agent_up(struct agent *a, enum bearer on, int slot, const char *apn)
{
	a->on = on;
	if (on == ON_TRIAL)
		a->trial_over = timer_after(a->conf.loop, a->conf.trial_ms, trial_over, a);
	modem_up(a->modem, slot, apn);
}

/* --- discover --- */

static void discover(struct agent *a, const char *realm, const char *nonce);

/* realm and nonce of a WWW-Authenticate line. */
static int challenge_read(const char *line, struct digest *d)
{
	return !digest_read(line, d) && *d->nonce && !strcmp(d->algorithm, "AKAv2-SHA-256");
}

static void routed(struct agent *a, const struct response *r)
{
	struct why w = { "" };
	enum err e = tre_route(a->tre, r->body, &a->route, &w);

	if (e) {
		agent_tell(a, "discover", "does not believe the answer: %s", w.text);
		agent_later(a, 0);
		return;
	}
	agent_tell(a, "discover", "is to go to DLUSIM service %s of operator %s at %s", a->route.dlusim, a->route.operator, a->route.dlusim_address);
	if (!agent_reached(a, GOAL_DISCOVERED) && !install_rerouted(a))
		verify_begin(a, r->body);
}

static void discover_again(void *arg)
{
	struct agent *a = arg;

	a->again = NULL;
	agent_discover(a);
}

/* Nobody has subscribed it yet: it stays attached, and asks again; its other PIMSIs, if it has some, may be better known. */
static void unsubscribed(struct agent *a, int64_t least_ms)
{
	int64_t wait = agent_backoff(BACKOFF_MS, a->failures, BACKOFF_MOST_MS);

	if (tre_orders(a->tre) > 1) {
		agent_later(a, least_ms);
		return;
	}
	a->failures++;
	agent_wait(a, wait > least_ms ? wait : least_ms, discover_again, a);
}

static void discovered(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct digest d;
	char why[256];
	int64_t retry = 0;

	if (r->err) {
		agent_tell(a, "discover", "registration operator %s cannot be asked: %s", a->order.registration, r->why.text);
		agent_later(a, 0);
	} else if (r->status == 200) {
		routed(a, r);
	} else if (r->status == 401 && challenge_read(r->authenticate, &d) && ++a->challenges < DISCOVER_TRIES) {
		discover(a, d.realm, d.nonce);
	} else {
		json_why(r->body, why, sizeof(why));
		if (text_number(r->retry_after, 0, 86400, &retry))
			retry = 0;
		agent_tell(a, "discover", "is told (%d): %s", r->status, why);
		if (r->status == 404)
			unsubscribed(a, retry * 1000);
		else
			agent_later(a, retry * 1000);
	}
}

static void discover(struct agent *a, const char *realm, const char *nonce)
{
	char value[DIGEST_LINE], line[DIGEST_LINE + 32];
	struct request q = { .method = "GET", .address = a->order.discover_address, .path = "/v1/discover", .peer_role = "registration",
		.peer_id = a->order.registration, .header = { line }, .last = *nonce != 0 };
	struct why w = { "" };

	if (tre_discover(a->tre, a->slot, (struct discover_ask){ realm, q.path, nonce }, value, &w)) {
		agent_tell(a, "discover", "does not answer: %s", w.text);
		agent_later(a, 0);
		return;
	}
	snprintf(line, sizeof(line), "Authorization: %s", value);
	agent_ask(a, &q, discovered, a);
}

void agent_discover(struct agent *a)
{
	a->challenges = 0;
	discover(a, a->order.realm, "");
}

/* --- what the modem says --- */

/* The DM service has something to give, or to hear, over the PIMSI's network. That a USIM is home it hears from there. */
static int dm_waits(const struct agent *a)
{
	return a->account.stage != ACCOUNT_NONE && a->sessions < SESSIONS && (a->account.stage != ACCOUNT_REPORT || tre_active(a->tre) < 0);
}

/* Limited access: what is under way goes on before anything is begun anew. */
static void pimsi_up(struct agent *a)
{
	agent_tell(a, "attach", "has limited access through network %s", a->path.plmn);
	if (install_owed(a)) {
		install_receipt(a);
	} else if (install_again(a)) {
		agent_next(a); /* its USIM had no service, and has waited; it is tried again before anything is verified anew */
	} else if (a->account.stage == ACCOUNT_SEALED) {
		install_check(a, a->conf.ocsp_wait_ms, provision_checked);
	} else if (dm_waits(a)) {
		provision_begin(a, a->account.stage == ACCOUNT_OPEN ? "1200" : "1201");
	} else if (!verify_again(a)) {
		if (tre_active(a->tre) < 0)
			account_forget(a); /* a success is still to be told, and outlives this */
		agent_discover(a);
	}
}

static void up(const struct modem_path *p, void *arg)
{
	struct agent *a = arg;

	a->path = *p;
	a->up_at = clock_mono_ms();
	a->sent += p->sent;
	a->received += p->received;
	a->turns += p->round_trips;
	timer_stop(a->trial_over);
	a->trial_over = NULL;
	if (a->on == ON_TRIAL)
		install_up(a);
	else if (a->on == ON_HOME)
		install_receipt(a);
	else
		pimsi_up(a);
}

/* A second attach is part of the installation. */
static const char *step(const struct agent *a)
{
	return a->on == ON_PIMSI ? "attach" : "install";
}

static void failed(enum err e, const char *why, void *arg)
{
	struct agent *a = arg;

	(void)e;
	if (a->on == ON_TRIAL) {
		install_failed(a, why);
		return;
	}
	a->away = a->on == ON_HOME;
	agent_tell(a, step(a), "has no network: %s", *why ? why : "none was tried");
	agent_later(a, 0);
}

static void lost(const char *why, void *arg)
{
	struct agent *a = arg;

	if (clock_mono_ms() - a->up_at > STEADY_MS)
		a->failures = 0;
	agent_tell(a, step(a), "was detached: %s", why);
	agent_later(a, 0);
}

static void modem_step(const char *what, void *arg)
{
	agent_tell(arg, step(arg), "%s", what);
}

/* --- opening --- */

static enum err roots_of(struct agent *a, struct why *w)
{
	char path[700];
	STACK_OF(X509) *roots = NULL;
	enum err e;

	/* TLS protects the way only; the signed objects are judged in the tre, by the roots that it holds itself */
	snprintf(path, sizeof(path), "%s/roots.pem", a->conf.dir);
	e = cert_load_roots(path, &roots, w);
	if (!e)
		e = tls_open_roots(roots, &a->tls, w);
	sk_X509_pop_free(roots, X509_free);
	return e;
}

enum err agent_open(const struct agent_conf *c, struct agent **out, struct why *w)
{
	const struct modem_events events = { up, failed, lost, modem_step };
	struct agent *a = calloc(1, sizeof(*a));
	char path[700];
	enum err e = a ? OK : ERR_NOMEM;

	if (e)
		return e;
	a->conf = *c;
	a->journey = -1;
	e = tre_open(c->dir, &a->tre, w);
	if (!e)
		e = tre_order(a->tre, 0, &a->order) ? fail(w, ERR_MISSING, "%s: no order is loaded; `usher factory order` loads one", c->dir) : OK;
	if (!e)
		e = account_open(a, w);
	if (!e)
		e = roots_of(a, w);
	if (!e)
		e = http_open(c->loop, a->tls, "usher-equipment/" USHER_VERSION, &a->http);
	if (!e)
		e = modem_open(&(struct modem_conf){ c->loop, a->tre, c->frequency, c->frequencies, events, a }, &a->modem);
	if (e) {
		agent_close(a);
		return e;
	}
	snprintf(path, sizeof(path), "%s/journey", c->dir);
	a->journey = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	a->again = timer_after(c->loop, 0, power_on, a);
	*out = a;
	return OK;
}

void agent_close(struct agent *a)
{
	if (!a)
		return;
	a->closing = 1; /* what ends now begins nothing anew */
	http_close(a->http);
	provision_end(a);
	timer_stop(a->again);
	timer_stop(a->trial_over);
	modem_close(a->modem);
	tls_close(a->tls);
	tre_close(a->tre);
	cell_close(a->kept);
	free(a->carried);
	if (a->journey >= 0)
		close(a->journey);
	secret_wipe(a, sizeof(*a));
	free(a);
}
