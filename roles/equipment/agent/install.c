/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 7 as the agent carries it (I7): off the PIMSI's network, on as itself; when the home network has proved itself and data
 * flows, the slot is committed and the receipt goes out, again and again until it is acknowledged. A trial that fails goes back.
 */
#include <stdio.h>

#include "proto/json.h"
#include "roles/equipment/agent/inside.h"

enum { RETRY_MS = 2000, TRIALS = 5 };
static const char home_apn[] = "m2m.home";

static void post(void *arg);

void install_begin(struct agent *a)
{
	struct why w = { "" };

	modem_down(a->modem);
	http_forget(a->http);
	if (tre_slot(a->tre, TRE_TRIAL, &a->trial, &w)) {
		agent_tell(a, "install", "cannot try its USIM: %s", w.text);
		agent_later(a, 0);
		return;
	}
	agent_tell(a, "install", "leaves the PIMSI and attaches as itself");
	modem_up(a->modem, a->trial, home_apn);
}

void install_failed(struct agent *a, const char *why)
{
	struct why w;

	agent_tell(a, "install", "the trial of its USIM failed: %s", why);
	a->trial = 0;
	if (tre_slot(a->tre, TRE_BACK, NULL, &w))
		agent_tell(a, "install", "cannot go back: %s", w.text);
	agent_later(a, 0);
	a->trials++;
}

/* An installed USIM is tried, again after a failure or a power cut, before anything is verified anew. */
int install_again(const struct agent *a)
{
	return tre_inactive(a->tre) && a->trials < TRIALS;
}

/* Switched on with a committed USIM: on as itself, and the receipt if it is still owed. */
void install_home(struct agent *a)
{
	a->home = 1;
	(void)!tre_home(a->tre, &a->route);
	agent_tell(a, "attach", "looks for a network as itself");
	modem_up(a->modem, tre_active(a->tre), home_apn);
}

void install_home_up(struct agent *a)
{
	uint8_t *der = NULL;
	size_t n = 0;
	struct why w;

	a->failures = 0;
	if (tre_receipt(a->tre, &der, &n, &w)) {
		agent_tell(a, "install", "is operative: attached as itself through network %s", a->path.plmn);
		agent_reached(a, GOAL_OPERATIVE);
		return;
	}
	OPENSSL_free(der);
	agent_tell(a, "install", "is attached as itself through network %s; its receipt is still to be acknowledged", a->path.plmn);
	post(a);
}

void install_up(struct agent *a)
{
	struct why w = { "" };

	a->trial = 0;
	if (tre_slot(a->tre, TRE_COMMIT, NULL, &w)) {
		install_failed(a, w.text);
		return;
	}
	a->trials = 0;
	a->failures = 0;
	(void)!tre_home(a->tre, &a->route); /* to whom the receipt goes: after a power cut the agent knows nothing else */
	agent_tell(a, "install", "is attached as itself through network %s; its slot is committed", a->path.plmn);
	post(a);
}

static void acknowledged(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };
	char why[256];

	agent_count(a, r);
	if (!r->err && r->status == 200 && !tre_ack(a->tre, r->body, &w)) {
		agent_tell(a, "install", "is operative: its receipt is acknowledged");
		agent_reached(a, GOAL_OPERATIVE);
		return;
	}
	json_why(r->body, why, sizeof(why));
	if (r->err || r->status != 202)
		agent_tell(a, "install", "its receipt is not acknowledged yet: %s", r->err ? r->why.text : w.text[0] ? w.text : why);
	if (r->err) { /* perhaps the bearer is gone, and nobody said so: attach anew */
		agent_later(a, 0);
		return;
	}
	a->again = timer_after(a->conf.loop, RETRY_MS, post, a);
}

static void post(void *arg)
{
	struct agent *a = arg;
	struct why w = { "" };
	uint8_t *der = NULL;
	size_t n = 0;
	struct request q = { .method = "POST", .address = a->route.dlusim_address, .path = "/v1/install", .peer_role = "dlusim", .peer_id = a->route.dlusim,
		.type = "application/cms", .proxy = a->path.proxy, .proxy_bearer = a->path.token, .count = 1 };

	a->again = NULL;
	if (tre_receipt(a->tre, &der, &n, &w)) {
		agent_tell(a, "install", "has no receipt: %s", w.text);
		return;
	}
	q.body = BYTES(der, n);
	if (!http_ask(a->http, &q, acknowledged, a))
		a->again = timer_after(a->conf.loop, RETRY_MS, post, a);
	OPENSSL_free(der);
}
