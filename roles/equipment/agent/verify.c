/* SPDX-License-Identifier: Apache-2.0 */
/* Step 5 as the agent carries it: discover answer there, challenge back; answer there, trigger back (or 202, and again). */
#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "roles/equipment/agent/inside.h"

enum { POLLS = 150, POLL_MS = 2000, TIMEOUT_MS = 20000 };

static void challenged(void *arg, const struct response *r);
static void proved(void *arg, const struct response *r);

static void post(struct agent *a, http_done done)
{
	struct request q = { .method = "POST", .address = a->route.dlusim_address, .path = "/v1/verify", .peer_role = "dlusim", .peer_id = a->route.dlusim,
		.type = "application/cms", .body = BYTES(a->carried, a->carried_n), .proxy = a->path.proxy, .proxy_bearer = a->path.token,
		.timeout_ms = TIMEOUT_MS, .last = done == proved, .count = 1 };

	if (!http_ask(a->http, &q, done, a))
		agent_later(a, 0);
}

void verify_begin(struct agent *a, struct bytes der)
{
	agent_carry(a, der);
	a->polls = 0;
	post(a, challenged);
}

static void refused(struct agent *a, const struct response *r)
{
	char why[256];
	int64_t retry = 0;

	json_why(r->body, why, sizeof(why));
	if (text_number(r->retry_after, 0, 86400, &retry))
		retry = 0;
	if (r->err)
		agent_tell(a, "verify", "DLUSIM service %s cannot be asked: %s", a->route.dlusim, r->why.text);
	else
		agent_tell(a, "verify", "is refused by DLUSIM service %s (%d): %s", a->route.dlusim, r->status, why);
	agent_later(a, retry * 1000);
}

static void challenged(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };
	uint8_t *der = NULL;
	size_t n = 0;

	agent_count(a, r);
	if (r->err || r->status != 200) {
		refused(a, r);
		return;
	}
	if (tre_answer(a->tre, r->body, &der, &n, &w)) {
		agent_tell(a, "verify", "does not answer the challenge: %s", w.text);
		agent_later(a, 0);
		return;
	}
	agent_tell(a, "verify", "answers the challenge of %s", a->route.dlusim);
	agent_carry(a, BYTES(der, n));
	OPENSSL_free(der);
	post(a, proved);
}

static void again(void *arg)
{
	struct agent *a = arg;

	a->again = NULL;
	post(a, proved);
}

static void proved(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };

	agent_count(a, r);
	if (!r->err && r->status == 202 && ++a->polls < POLLS) {
		if (a->polls == 1)
			agent_tell(a, "verify", "waits: its certificate is being asked about, or its package sealed");
		a->again = timer_after(a->conf.loop, POLL_MS, again, a);
		return;
	}
	if (r->err || r->status != 200) {
		refused(a, r);
		return;
	}
	if (tre_take_trigger(a->tre, r->body, &a->trigger, &w)) {
		agent_tell(a, "verify", "does not believe the trigger: %s", w.text);
		agent_later(a, 0);
		return;
	}
	a->failures = 0;
	agent_carry(a, BYTES(NULL, 0));
	agent_tell(a, "verify", "has proved itself; its package waits at DM service %s as job %s", a->trigger.dm, a->trigger.job);
	if (a->conf.goal == GOAL_TRIGGERED)
		agent_reached(a, GOAL_TRIGGERED);
	else
		provision_begin(a);
}
