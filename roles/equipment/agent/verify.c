/* SPDX-License-Identifier: Apache-2.0 */
/* Step 5 as the agent carries it: discover answer there, challenge back; answer there, trigger back (or 202, and again). */

#include "core/secret.h"
#include "proto/json.h"
#include "roles/equipment/agent/inside.h"

enum { POLLS = 150, POLL_MS = 2000, TIMEOUT_MS = 20000 };

static void challenged(void *arg, const struct response *r);
static void proved(void *arg, const struct response *r);

static void post(struct agent *a, http_done done)
{
	struct request q = { .method = "POST", .address = a->route.dlusim_address, .path = "/v1/verify", .peer_role = "dlusim", .peer_id = a->route.dlusim,
		.type = "application/cms", .body = BYTES(a->carried, a->carried_n), .timeout_ms = TIMEOUT_MS,
		.last = done == proved };

	agent_ask(a, &q, done, a);
}

void verify_begin(struct agent *a, struct bytes der)
{
	agent_carry(a, der);
	a->answering = 0;
	post(a, challenged);
}

/* The same bytes again have the same result: a second answer would make the first one's package worthless. */
int verify_again(struct agent *a)
{
	if (!a->answering)
		return 0;
	a->polls = 0;
	post(a, proved);
	return 1;
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
		agent_tell(a, "verify", "is %s by DLUSIM service %s (%d): %s", r->status == 202 ? "not answered yet" : "refused", a->route.dlusim, r->status, why);
	if (!r->err && r->status >= 400 && r->status < 500 && r->status != 429)
		a->answering = 0; /* nothing will come of this answer */
	agent_later(a, retry * 1000);
}

static void challenged(void *arg, const struct response *r)
{
	struct agent *a = arg;
	struct why w = { "" };
	uint8_t *der = NULL;
	size_t n = 0;

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
	a->answering = 1;
	a->polls = 0;
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
	struct trigger t;
	enum err e;

	if (!r->err && r->status == 202 && ++a->polls < POLLS) {
		if (a->polls == 1)
			agent_tell(a, "verify", "waits: its certificate is being asked about, or its package sealed");
		agent_wait(a, POLL_MS, again, a);
		return;
	}
	if (r->err || r->status != 200) {
		refused(a, r);
		return;
	}
	a->answering = 0;
	e = tre_take_trigger(a->tre, r->body, &t, &w);
	agent_carry(a, BYTES(NULL, 0));
	if (!e)
		e = account_take(a, &t);
	if (e)
		agent_tell(a, "verify", "does not believe the trigger: %s", w.text[0] ? w.text : err_text(e));
	else
		agent_tell(a, "verify", "has proved itself; its package waits at DM service %s as job %s", t.dm, t.job);
	secret_wipe(&t, sizeof(t));
	if (e)
		agent_later(a, 0);
	else if (!agent_reached(a, GOAL_TRIGGERED))
		provision_begin(a, "1200");
}
