/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 2 (I2), the network's end: GMM attach with UMTS AKA on every attach, then one PDP context. RES is checked here, with
 * the home side's vector; nobody is accepted by a 4 octet SRES.
 */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/secret.h"
#include "roles/visited/visited.h"

static void ask_home(struct ms *m, uint8_t type, const struct nas *resync)
{
	struct gsup q = { .type = type, .cn_domain = 1, .cancel_type = -1 };

	snprintf(q.imsi, sizeof(q.imsi), "%.15s", m->id);
	if (resync) {
		q.has_auts = 1;
		memcpy(q.auts, resync->auts, sizeof(q.auts));
		memcpy(q.rand, m->vector.v.rand, sizeof(q.rand));
	}
	router_ask(m->visited, &q);
}

static void reject(struct ms *m, uint8_t cause)
{
	struct nas no = { .type = GMM_ATTACH_REJECT, .cause = cause };

	log_hop(LOG_INFO, "attach", "id=%s act=reject cause=%d why=\"%s\"", m->id, cause, gmm_cause_text(cause));
	desk_count(m->visited->process->desk, COUNT_REFUSED, 1);
	cell_say(m, &no, 0);
	attach_end(m);
}

void attach_end(struct ms *m)
{
	cell_answered(m);
	user_forget(m);
	m->pdp = 0;
	secret_wipe(m->token, sizeof(m->token));
	secret_wipe(&m->vector, sizeof(m->vector));
	m->state = MS_IDLE;
	m->apn[0] = 0;
}

/* --- what the equipment says --- */

/* An equipment that moved to another link (it lost its socket) is the same identity: the older link is forgotten. */
static void one_link_per_identity(struct ms *m)
{
	struct ms *old;

	while ((old = cell_find(m->visited, m->id)) && old != m)
		attach_end(old);
}

static void attach_request(struct ms *m, const struct nas *n)
{
	if (m->state == MS_VECTORS && !strcmp(m->id, n->id))
		return; /* its repetition, while we ask */
	attach_end(m);
	snprintf(m->id, sizeof(m->id), "%s", n->id_type == ID_IMSI ? n->id : "");
	if (text_digits(m->id) < 6 || text_digits(m->id) > 15) {
		reject(m, CAUSE_IMSI_UNKNOWN);
		return;
	}
	if (!n->r99) { /* could not take an AUTN */
		reject(m, CAUSE_ILLEGAL_MS);
		return;
	}
	one_link_per_identity(m);
	m->resynced = 0;
	m->state = MS_VECTORS;
	log_hop(LOG_INFO, "attach", "id=%s act=request", m->id);
	ask_home(m, GSUP_SAI_REQ, NULL);
}

static void challenge(struct ms *m)
{
	struct nas q = { .type = GMM_AUTH_REQUEST, .imeisv_asked = 1, .cksn = 0, .has_aka = 1 };

	m->ac_ref = (uint8_t)((m->ac_ref + 1) & 15);
	q.ac_ref = m->ac_ref;
	memcpy(q.rand, m->vector.v.rand, sizeof(q.rand));
	memcpy(q.autn, m->vector.v.autn, sizeof(q.autn));
	m->state = MS_AUTH;
	cell_say(m, &q, 1);
}

static void auth_response(struct ms *m, const struct nas *n)
{
	struct nas no = { .type = GMM_AUTH_REJECT };

	if (m->state != MS_AUTH || n->ac_ref != m->ac_ref)
		return;
	cell_answered(m);
	if (n->res_n != sizeof(m->vector.v.res) || !bytes_same(n->res, m->vector.v.res, sizeof(m->vector.v.res))) {
		log_hop(LOG_WARN, "attach", "id=%s act=reject why=\"RES is wrong\"", m->id);
		desk_count(m->visited->process->desk, COUNT_REFUSED, 1);
		cell_say(m, &no, 0);
		attach_end(m);
		return;
	}
	m->state = MS_LOCATION;
	ask_home(m, GSUP_UL_REQ, NULL);
}

static void auth_failure(struct ms *m, const struct nas *n)
{
	struct nas no = { .type = GMM_AUTH_REJECT };

	if (m->state != MS_AUTH)
		return;
	cell_answered(m);
	if (n->cause == CAUSE_SYNCH_FAILURE && n->has_auts && !m->resynced) {
		m->resynced = 1;
		m->state = MS_VECTORS;
		log_hop(LOG_INFO, "attach", "id=%s act=resync", m->id);
		ask_home(m, GSUP_SAI_REQ, n);
		return;
	}
	log_hop(LOG_WARN, "attach", "id=%s act=reject why=\"the equipment refuses our network: %s\"", m->id, gmm_cause_text(n->cause));
	desk_count(m->visited->process->desk, COUNT_REFUSED, 1);
	cell_say(m, &no, 0);
	attach_end(m);
}

static void attach_complete(struct ms *m, const struct nas *n)
{
	(void)n;
	if (m->state != MS_ACCEPTED)
		return;
	cell_answered(m);
	m->state = MS_ATTACHED;
	desk_count(m->visited->process->desk, COUNT_ATTACHED, 1);
	log_hop(LOG_INFO, "attach", "id=%s act=attached", m->id);
}

static void detach_request(struct ms *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_DETACH_ACCEPT };

	if (m->state == MS_ATTACHED || m->state == MS_ACCEPTED)
		ask_home(m, GSUP_PURGE_REQ, NULL);
	if (!n->power_off)
		cell_say(m, &ok, 0);
	log_hop(LOG_INFO, "attach", "id=%s act=detached", m->id);
	attach_end(m);
}

static void activate_refuse(struct ms *m, const struct nas *n, uint8_t cause)
{
	struct nas no = { .type = SM_ACTIVATE_REJECT, .ti = n->ti, .ti_flag = 1, .cause = cause };

	log_hop(LOG_INFO, "attach", "id=%s act=\"refuse PDP\" apn=%s cause=%d why=\"%s\"", m->id, n->apn, cause, gmm_cause_text(cause));
	cell_say(m, &no, 0);
}

static void activate_request(struct ms *m, const struct nas *n)
{
	struct nas ok = { .type = SM_ACTIVATE_ACCEPT, .ti = n->ti, .ti_flag = 1, .nsapi = n->nsapi, .has_address = 1, .has_user = 1 };

	if (m->state != MS_ATTACHED)
		return;
	if (!*m->apn || strcmp(m->apn, n->apn)) {
		activate_refuse(m, n, *n->apn ? SM_CAUSE_NOT_SUBSCRIBED : SM_CAUSE_UNKNOWN_APN);
		return;
	}
	if (!m->pdp || m->ti != n->ti) {
		uint32_t a = 0x0a000002 + m->visited->next_address++ % 0xfffff0;

		user_forget(m);
		if (secret_random(m->token, sizeof(m->token)))
			return;
		m->pdp = 1;
		m->ti = n->ti;
		m->nsapi = n->nsapi;
		for (int i = 0; i < 4; i++)
			m->address[i] = (uint8_t)(a >> (24 - 8 * i));
		desk_count(m->visited->process->desk, COUNT_CONTEXTS, 1);
	}
	memcpy(ok.address, m->address, sizeof(ok.address));
	ok.user = m->visited->plane;
	memcpy(ok.user.token, m->token, sizeof(ok.user.token));
	log_hop(LOG_INFO, "attach", "id=%s act=\"PDP active\" apn=%s", m->id, m->apn);
	cell_say(m, &ok, 0);
}

static void deactivate_request(struct ms *m, const struct nas *n)
{
	struct nas ok = { .type = SM_DEACTIVATE_ACCEPT, .ti = n->ti, .ti_flag = 1 };

	user_forget(m);
	m->pdp = 0;
	secret_wipe(m->token, sizeof(m->token));
	cell_say(m, &ok, 0);
}

static const struct {
	enum nas_type type;
	void (*hear)(struct ms *m, const struct nas *n);
} heard[] = {
	{ GMM_ATTACH_REQUEST, attach_request }, { GMM_AUTH_RESPONSE, auth_response }, { GMM_AUTH_FAILURE, auth_failure },
	{ GMM_ATTACH_COMPLETE, attach_complete }, { GMM_DETACH_REQUEST, detach_request }, { SM_ACTIVATE_REQUEST, activate_request },
	{ SM_DEACTIVATE_REQUEST, deactivate_request },
};

void attach_hear(struct ms *m, struct bytes in)
{
	struct nas n;
	enum err e = nas_read(in, 0, &n);

	if (e) {
		log_hop(LOG_WARN, "attach", "id=%s act=skip why=\"a NAS message that %s\"", m->id, err_text(e));
		return;
	}
	log_hop(LOG_DEBUG, "attach", "id=%s act=\"hear %s\" cause=%d", m->id, nas_name((int)n.type), n.cause);
	fault_point(nas_name((int)n.type), "heard");
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++)
		if (heard[i].type == n.type)
			heard[i].hear(m, &n);
}

/* --- what the home side says --- */

static void vectors_came(struct ms *m, const struct gsup *g)
{
	if (m->state != MS_VECTORS)
		return;
	if (!g->vectors) {
		reject(m, CAUSE_NETWORK_FAILURE);
		return;
	}
	m->vector = g->vector[0];
	challenge(m);
}

static void location_came(struct ms *m, const struct gsup *g)
{
	struct nas ok = { .type = GMM_ATTACH_ACCEPT, .attach_result = 1, .t3312 = 0x2a };
	const struct conf *c = m->visited->process->conf;

	if (m->state != MS_LOCATION)
		return;
	if (g->pdps)
		snprintf(m->apn, sizeof(m->apn), "%s", g->pdp[0].apn);
	if (secret_random(&m->ptmsi, sizeof(m->ptmsi)))
		return;
	m->ptmsi |= 0xc0000000;
	ok.ptmsi = m->ptmsi;
	snprintf(ok.rai.plmn, sizeof(ok.rai.plmn), "%.7s", c->id);
	ok.rai.lac = (uint16_t)c->lac;
	ok.rai.rac = (uint8_t)c->rac;
	m->state = MS_ACCEPTED;
	cell_say(m, &ok, 1);
}

static void refused(struct ms *m, const struct gsup *g)
{
	if (m->state == MS_VECTORS || m->state == MS_LOCATION)
		reject(m, g->cause);
}

static void profile_came(struct ms *m, const struct gsup *g)
{
	struct gsup ok = { .type = GSUP_ISD_RES, .cn_domain = 1, .cancel_type = -1 };

	if (g->pdps)
		snprintf(m->apn, sizeof(m->apn), "%s", g->pdp[0].apn);
	memcpy(ok.imsi, g->imsi, sizeof(ok.imsi));
	router_ask(m->visited, &ok);
}

static void cancelled(struct ms *m, const struct gsup *g)
{
	struct nas out = { .type = GMM_DETACH_REQUEST, .detach_type = DETACH_IMSI_NET, .cause = 10 };

	(void)g;
	log_hop(LOG_INFO, "attach", "id=%s act=cancelled", m->id);
	cell_say(m, &out, 0);
	attach_end(m);
}

static const struct {
	uint8_t type;
	void (*came)(struct ms *m, const struct gsup *g);
} home[] = {
	{ GSUP_SAI_RES, vectors_came }, { GSUP_SAI_ERR, refused }, { GSUP_UL_RES, location_came }, { GSUP_UL_ERR, refused },
	{ GSUP_ISD_REQ, profile_came }, { GSUP_CANCEL_REQ, cancelled },
};

void attach_gsup(struct visited *v, const struct gsup *g)
{
	struct ms *m = cell_find(v, g->imsi);
	struct gsup gone = { .type = GSUP_CANCEL_RES, .cn_domain = 1, .cancel_type = -1 };

	fault_point(gsup_name(g->type), "heard");
	if (g->type == GSUP_CANCEL_REQ) { /* answered also if nobody is here under it: the home side asks until it knows (TS 29.002 8.1.3) */
		memcpy(gone.imsi, g->imsi, sizeof(gone.imsi));
		router_ask(v, &gone);
	}
	if (!m)
		return;
	for (size_t i = 0; i < sizeof(home) / sizeof(*home); i++)
		if (home[i].type == g->type)
			home[i].came(m, g);
}
