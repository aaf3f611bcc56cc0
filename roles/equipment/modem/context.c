/* SPDX-License-Identifier: Apache-2.0 */
/* Step 2 (I2), the mobile's end of SM: one PDP context, which carries the user plane's address and token (TS 24.008 6.1.3). */
#include <stdio.h>

#include "roles/equipment/modem/modem.h"

enum { PDP_TRIES = 6, PDP_WAIT_MS = 150 };

void context_begin(void *modem)
{
	struct modem *m = modem;
	struct nas q = { .type = SM_ACTIVATE_REQUEST, .nsapi = 5 };
	int tries = m->tries;

	m->timer = NULL;
	m->state = ACTIVATING;
	snprintf(q.apn, sizeof(q.apn), "%s", m->apn);
	modem_say(m, &q, 1);
	m->tries = tries;
}

static void on_active(struct modem *m, const struct nas *n)
{
	if (m->state != ACTIVATING || !n->has_user)
		return;
	modem_rest(m);
	m->state = UP;
	m->up_ms = clock_mono_ms();
	snprintf(m->path.plmn, sizeof(m->path.plmn), "%s", n->user.plmn);
	snprintf(m->path.proxy, sizeof(m->path.proxy), "%u.%u.%u.%u:%u", n->user.ipv4[0], n->user.ipv4[1], n->user.ipv4[2], n->user.ipv4[3], n->user.port);
	if (b64url_of(BYTES_OF(n->user.token), m->path.token, sizeof(m->path.token)))
		return;
	m->events.up(&m->path, m->arg);
}

/* Cause 33 may only mean that the subscription is not there yet: again with back-off, bounded. */
static void on_refused(struct modem *m, const struct nas *n)
{
	if (m->state != ACTIVATING)
		return;
	modem_rest(m);
	if (n->cause == SM_CAUSE_NOT_SUBSCRIBED && ++m->tries < PDP_TRIES) {
		m->state = PDP_PAUSE;
		m->timer = timer_after(m->loop, PDP_WAIT_MS << m->tries, context_begin, m);
	} else {
		cell_refused(m, n->cause, "gives no data access");
	}
}

/* The network ends the context: there is nothing left to do here. */
static void on_deactivate(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = SM_DEACTIVATE_ACCEPT, .ti = n->ti };

	if (m->state != UP)
		return;
	modem_say(m, &ok, 0);
	attach_leave(m);
	m->state = DOWN;
	m->events.lost("the network ended the data access", m->arg);
}

static const struct {
	enum nas_type type;
	void (*hear)(struct modem *m, const struct nas *n);
} heard[] = { { SM_ACTIVATE_ACCEPT, on_active }, { SM_ACTIVATE_REJECT, on_refused }, { SM_DEACTIVATE_REQUEST, on_deactivate } };

void context_hear(struct modem *m, const struct nas *n)
{
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++)
		if (heard[i].type == n->type)
			heard[i].hear(m, n);
}
