/* SPDX-License-Identifier: Apache-2.0 */
/* The equipment's life from power-on: attach with the PIMSI, ask where to go; again with back-off, for ever. */
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
#include "core/secret.h"
#include "proto/digest.h"
#include "proto/json.h"

enum { BACKOFF_MS = 1000, BACKOFF_MOST_MS = 300000, DISCOVER_TRIES = 4 };

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

void agent_count(struct agent *a, const struct response *r)
{
	a->sent += r->sent;
	a->received += r->received;
	a->turns += r->turns;
}

void agent_reached(struct agent *a, enum agent_goal goal)
{
	if (a->conf.goal != goal || !a->conf.ended)
		return;
	modem_down(a->modem);
	a->conf.ended(a, a->conf.arg);
}

void agent_carry(struct agent *a, struct bytes b)
{
	free(a->carried);
	a->carried = b.n ? malloc(b.n) : NULL;
	a->carried_n = a->carried ? b.n : 0;
	if (a->carried)
		memcpy(a->carried, b.p, b.n);
}

static void count_signalling(struct agent *a, const struct modem_path *p)
{
	a->sent += p->sent;
	a->received += p->received;
	a->turns += p->round_trips;
}

/* --- again, with back-off --- */

static void power_on(void *arg)
{
	struct agent *a = arg;

	a->again = NULL;
	a->home = 0;
	tls_time(a->tls, (struct cert_time){ tre_time(a->tre).now, 1 }); /* what has ended by then is not believed; what is newer may be */
	if (tre_active(a->tre) >= 0) {
		install_home(a);
		return;
	}
	if (install_again(a)) {
		install_begin(a);
		return;
	}
	agent_tell(a, "attach", "looks for a network with PIMSI %s", a->order.pimsi);
	modem_up(a->modem, a->slot, a->order.apn);
}

void agent_later(struct agent *a, int64_t least_ms)
{
	int64_t wait = a->failures > 8 ? BACKOFF_MOST_MS : (int64_t)BACKOFF_MS << a->failures;
	uint16_t jitter = 0;

	if (a->closing)
		return;
	(void)!RAND_bytes((unsigned char *)&jitter, sizeof(jitter));
	wait = wait > BACKOFF_MOST_MS ? BACKOFF_MOST_MS : wait;
	wait = wait / 2 + wait / 2 * jitter / 65536;
	a->failures++;
	modem_down(a->modem);
	http_forget(a->http);
	/* the next PIMSI, if there are several: an equipment without service alternates */
	a->slot = (a->slot + 1) % tre_orders(a->tre);
	(void)!tre_order(a->tre, a->slot, &a->order);
	timer_stop(a->again);
	a->again = timer_after(a->conf.loop, wait > least_ms ? wait : least_ms, power_on, a);
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
	a->failures = 0;
	agent_tell(a, "discover", "is to go to DLUSIM service %s of operator %s at %s", a->route.dlusim, a->route.operator, a->route.dlusim_address);
	if (a->conf.goal == GOAL_DISCOVERED)
		agent_reached(a, GOAL_DISCOVERED);
	else
		verify_begin(a, r->body);
}

static void discovered(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct digest d;
	char why[256];
	int64_t retry = 0;

	agent_count(a, r);
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
		agent_later(a, retry * 1000);
	}
}

static void discover(struct agent *a, const char *realm, const char *nonce)
{
	char value[DIGEST_LINE], line[DIGEST_LINE + 32];
	struct request q = { .method = "GET", .address = a->order.discover_address, .path = "/v1/discover", .peer_role = "registration",
		.peer_id = a->order.registration, .header = { line }, .proxy = a->path.proxy, .proxy_bearer = a->path.token, .last = *nonce != 0, .count = 1 };
	struct why w = { "" };

	if (tre_discover(a->tre, a->slot, realm, q.path, nonce, value, sizeof(value), &w)) {
		agent_tell(a, "discover", "does not answer: %s", w.text);
		agent_later(a, 0);
		return;
	}
	snprintf(line, sizeof(line), "Authorization: %s", value);
	if (!http_ask(a->http, &q, discovered, a))
		agent_later(a, 0);
}

/* --- what the modem says --- */

static void up(const struct modem_path *p, void *arg)
{
	struct agent *a = arg;

	a->path = *p;
	count_signalling(a, p);
	if (a->trial) {
		install_up(a);
		return;
	}
	if (a->home) {
		install_home_up(a);
		return;
	}
	agent_tell(a, "attach", "has limited access through network %s", p->plmn);
	a->challenges = 0;
	discover(a, a->order.realm, "");
}

static void failed(enum err e, const char *why, void *arg)
{
	struct agent *a = arg;

	(void)e;
	if (a->trial) {
		install_failed(a, why);
		return;
	}
	agent_tell(a, "attach", "has no network: %s", *why ? why : "none was tried");
	agent_later(a, 0);
}

static void lost(const char *why, void *arg)
{
	agent_tell(arg, "attach", "was detached: %s", why);
	agent_later(arg, 0);
}

static void modem_step(const char *what, void *arg)
{
	agent_tell(arg, "attach", "%s", what);
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
		e = roots_of(a, w);
	if (!e)
		e = http_open(c->loop, a->tls, "usher-equipment/" USHER_VERSION, &a->http);
	if (!e)
		e = modem_open(c->loop, a->tre, c->frequency, c->frequencies, &events, a, &a->modem);
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
	modem_close(a->modem);
	tls_close(a->tls);
	tre_close(a->tre);
	free(a->carried);
	if (a->journey >= 0)
		close(a->journey);
	secret_wipe(a, sizeof(*a));
	free(a);
}
