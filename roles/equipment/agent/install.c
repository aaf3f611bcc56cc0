/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 7 as the agent carries it (I7): OCSP about the package; off the PIMSI's network, on as itself; when the home network has
 * proved itself and data flows, the slot is committed and the receipt goes out, again and again, over either bearer, until it is
 * acknowledged. A trial that fails goes back. The DM service hears of it last, and nothing waits for that.
 */
#include <string.h>

#include "core/clock.h"
#include "proto/json.h"
#include "roles/equipment/agent/inside.h"

enum { OCSP_RETRY_MS = 5000, RECEIPT_MS = 2000, RECEIPT_MOST_MS = 300000, RECEIPT_TIMEOUT_MS = 10000, UNREACHED = 3, TRIALS = 5, REPORT_MS = 2000,
	REPORT_MOST_MS = 3600000 };
static const char subscribed_apn[] = ""; /* none asked for: the home network gives the one that is subscribed (TS 23.060 A.2) */

/* --- OCSP: the USIM is installed only when all signers are good --- */

static void ocsp_send(void *arg);

/*
 * OCSP's wire is not protected: what is not a signed, nonce-matched verdict is no answer. These are the tre's after one; the
 * rest is silence.
 */
static int is_verdict(enum err e)
{
	static const enum err verdicts[] = { OK, ERR_EXISTS, ERR_REVOKED, ERR_EXPIRED, ERR_CONFLICT, ERR_ORDER };

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
		if (verdicts[i] == e)
			return 1;
	return 0;
}

static void ocsp_answered(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };
	enum err e = r->err || r->status != 200 ? ERR_UNAVAILABLE : tre_ocsp(a->tre, r->body, &w);
	int64_t left = a->check.until - clock_mono_ms();

	if (r->err == ERR_DENIED || r->err == ERR_LIMIT) { /* the way is closed: this bearer is gone, or used up */
		agent_tell(a, "install", "cannot ask about its package: %s", r->why.text);
		if (r->err == ERR_DENIED && !a->session)
			agent_discover(a); /* limited access opens what the route names now; a package that comes of it replaces this one */
		else
			agent_later(a, 0);
		return;
	}
	if (e == ERR_AGAIN) { /* good; now the next attestation provider */
		ocsp_send(a);
		return;
	}
	if (!is_verdict(e)) {
		a->check.turn++; /* another one may speak meanwhile */
		if (!a->check.told++)
			agent_tell(a, "install", "waits: the attestation provider does not say whether its package's signers are good");
		if (left > 0)
			agent_wait(a, left < OCSP_RETRY_MS ? left : OCSP_RETRY_MS, ocsp_send, a);
		else
			a->check.done(a, ERR_UNAVAILABLE);
		return;
	}
	if (e && e != ERR_EXISTS)
		agent_tell(a, "install", "does not install: %s", w.text[0] ? w.text : err_text(e));
	else
		agent_tell(a, "install", "has asked about all signers: all good; the USIM of operator %s is installed, inactive", a->route.operator);
	a->check.done(a, e);
}

static void ocsp_send(void *arg)
{
	struct agent *a = arg;
	struct request q = { .method = "POST", .path = "/", .type = "application/ocsp-request", .last = 1 };
	int64_t left = a->check.until - clock_mono_ms();
	struct why w = { "" };
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e = tre_ocsp_ask(a->tre, a->check.turn, &q.address, &der, &n, &w);

	a->again = NULL;
	if (e) {
		agent_tell(a, "install", "cannot ask about its package: %s", w.text);
		a->check.done(a, e == ERR_NOMEM || e == ERR_CRYPTO ? ERR_UNAVAILABLE : ERR_ORDER);
		return;
	}
	q.body = BYTES(der, n);
	q.timeout_ms = left > 1000 ? (int)left : 1000;
	agent_ask(a, &q, ocsp_answered, a);
	OPENSSL_free(der);
}

void install_check(struct agent *a, int64_t patience_ms, void (*done)(struct agent *a, enum err e))
{
	a->check.done = done;
	a->check.until = clock_mono_ms() + patience_ms;
	a->check.told = 0;
	timer_stop(a->again);
	ocsp_send(a);
}

/* --- the trial --- */

void install_begin(struct agent *a)
{
	struct why w = { "" };
	int slot = 0;

	if (tre_slot(a->tre, TRE_TRIAL, &slot, &w)) {
		a->trials++;
		agent_tell(a, "install", "cannot try its USIM: %s", w.text);
		agent_later(a, 0);
		return;
	}
	agent_tell(a, "install", "leaves the PIMSI and attaches as itself");
	agent_up(a, ON_TRIAL, slot, subscribed_apn);
}

/* How the activation ended, for DM; durable before anything else is done. */
static void report_due(struct agent *a, int result)
{
	if (a->account.stage != ACCOUNT_INSTALLED || a->account.result != SCOMO_OK)
		return;
	a->account.stage = ACCOUNT_REPORT;
	a->account.result = result;
	a->sessions = 0;
	account_save(a);
}

/* Once the newest USIM is committed the activation has succeeded, also if a power cut came in between. */
void install_known(struct agent *a)
{
	if (tre_active(a->tre) >= 0 && !tre_inactive(a->tre))
		report_due(a, SCOMO_OK);
}

void install_failed(struct agent *a, const char *why)
{
	struct why w;

	agent_tell(a, "install", "the trial of its USIM failed: %s", why);
	if (tre_slot(a->tre, TRE_BACK, NULL, &w))
		agent_tell(a, "install", "cannot go back: %s", w.text);
	if (++a->trials >= TRIALS) {
		agent_tell(a, "install", "gives its USIM up after %d trials; it asks for another", a->trials);
		report_due(a, SCOMO_ACTIVATE_FAILED);
	}
	a->away = 1;
	agent_later(a, 0);
}

/* An installed USIM is tried, again after a failure or a power cut, before anything is verified anew. */
int install_again(const struct agent *a)
{
	return tre_inactive(a->tre) && a->trials < TRIALS;
}

void install_up(struct agent *a)
{
	struct why w = { "" };

	if (tre_slot(a->tre, TRE_COMMIT, NULL, &w)) {
		install_failed(a, w.text);
		return;
	}
	a->on = ON_HOME;
	a->trials = 0;
	a->failures = 0;
	(void)!tre_home(a->tre, &a->route);
	agent_tell(a, "install", "is attached as itself through network %s; its slot is committed", a->path.plmn);
	install_receipt(a);
}

/* --- as itself --- */

/* Switched on, or detached, with a committed USIM. */
void install_home(struct agent *a)
{
	(void)!tre_home(a->tre, &a->route);
	agent_tell(a, "install", "looks for a network as itself");
	agent_up(a, ON_HOME, tre_active(a->tre), subscribed_apn);
}

static void report(void *arg)
{
	struct agent *a = arg;

	a->again = NULL;
	provision_begin(a, "1201");
}

/* Nothing is owed any more, but perhaps the 1226. */
static void settled(struct agent *a)
{
	if (a->on != ON_HOME) {
		agent_next(a);
		return;
	}
	install_known(a);
	if (a->account.stage == ACCOUNT_REPORT)
		provision_begin(a, "1201");
	else
		(void)!agent_reached(a, GOAL_OPERATIVE);
}

void install_reported(struct agent *a)
{
	if (a->on == ON_PIMSI) {
		if (a->account.stage == ACCOUNT_REPORT || tre_active(a->tre) >= 0)
			agent_later(a, 0);
		else
			agent_discover(a);
		return;
	}
	if (agent_reached(a, GOAL_OPERATIVE) || a->account.stage != ACCOUNT_REPORT)
		return;
	agent_wait(a, agent_backoff(REPORT_MS, a->sessions, REPORT_MOST_MS), report, a);
}

/* --- the receipt --- */

static void post(void *arg);

static void acknowledged(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };
	char why[256];

	if (!r->err && r->status == 200 && !tre_ack(a->tre, r->body, &w)) {
		a->failures = 0;
		if (a->on == ON_HOME)
			agent_tell(a, "install", "is operative: its receipt is acknowledged");
		else
			agent_tell(a, "install", "its receipt is acknowledged, over the PIMSI's network; it goes home");
		settled(a);
		return;
	}
	json_why(r->body, why, sizeof(why));
	if (r->err || r->status != 202)
		agent_tell(a, "install", "its receipt is not acknowledged yet: %s", r->err ? r->why.text : w.text[0] ? w.text : why);
	a->posts++;
	if (r->err == ERR_DENIED && a->on == ON_PIMSI && !a->rerouted) {
		agent_discover(a); /* limited access opens what the route names now */
		return;
	}
	/* not reached over this bearer: over the other, in turn (DESIGN 4, two generals) */
	if (r->err && (a->posts >= UNREACHED || r->err == ERR_DENIED || r->err == ERR_LIMIT)) {
		a->away = a->on == ON_HOME;
		agent_later(a, 0);
		return;
	}
	agent_wait(a, agent_backoff(RECEIPT_MS, a->posts - 1, RECEIPT_MOST_MS), post, a);
}

static void post(void *arg)
{
	struct agent *a = arg;
	struct why w = { "" };
	uint8_t *der = NULL;
	size_t n = 0;
	struct request q = { .method = "POST", .address = a->route.dlusim_address, .path = "/v1/install", .peer_role = "dlusim", .peer_id = a->route.dlusim,
		.type = "application/cms", .timeout_ms = RECEIPT_TIMEOUT_MS };

	a->again = NULL;
	if (tre_receipt(a->tre, &der, &n, &w)) {
		agent_tell(a, "install", "has no receipt: %s", w.text);
		agent_later(a, 0);
		return;
	}
	q.body = BYTES(der, n);
	agent_ask(a, &q, acknowledged, a);
	OPENSSL_free(der);
}

int install_owed(struct agent *a)
{
	uint8_t *der = NULL;
	size_t n = 0;
	struct why w;
	int owed = !tre_receipt(a->tre, &der, &n, &w);

	OPENSSL_free(der);
	return owed;
}

void install_receipt(struct agent *a)
{
	a->posts = 0;
	a->rerouted = 0;
	if (install_owed(a)) {
		(void)!tre_home(a->tre, &a->route);
		post(a);
		return;
	}
	agent_tell(a, "install", "is operative: attached as itself through network %s", a->path.plmn);
	settled(a);
}

/* Its own USIM has no service, and the route leads to its own operator, by another way perhaps; 0: to another one. */
int install_rerouted(struct agent *a)
{
	struct discover_answer home;

	if (tre_home(a->tre, &home) || strcmp(home.operator, a->route.operator) || strcmp(home.dlusim, a->route.dlusim))
		return 0;
	a->rerouted = 1;
	if (install_owed(a))
		post(a);
	else
		agent_next(a);
	return 1;
}
