/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 2 (I2), the network's end: GMM attach with UMTS AKA on every attach, then one PDP context. RES is checked here, with
 * the home side's vector; nobody is accepted by a 4 octet SRES.
 */
#include <stdio.h>
#include <string.h>

#include "core/fault.h"
#include "core/log.h"
#include "core/secret.h"
#include "roles/visited/visited.h"

static void ask_home(struct ms *m, uint8_t type, const char *id, const struct nas *resync)
{
	struct gsup q = { .type = type, .cn_domain = 1, .cancel_type = -1 };

	memcpy(q.imsi, id, sizeof(q.imsi));
	if (resync) {
		q.has_auts = 1;
		memcpy(q.auts, resync->auts, sizeof(q.auts));
		memcpy(q.rand, m->attempt.vector.v.rand, sizeof(q.rand));
	}
	router_say(m, &q);
}

/* --- how things end --- */

/* The running procedure; what stood before it stands. */
static void procedure_end(struct ms *m)
{
	cell_answered(m);
	secret_wipe(&m->attempt, sizeof(m->attempt));
	m->state = MS_IDLE;
}

static void context_end(struct ms *m)
{
	user_forget(m);
	cell_token_end(m);
	m->pdp = 0;
}

/* Context and identity; nobody is told. */
static void identity_end(struct ms *m)
{
	struct place at = visitors_where(m->visited->visitors, m->id);

	context_end(m);
	visitors_forget(m->visited->visitors, m);
	if (at.ms == m)
		visitors_place(m->visited->visitors, m->id, (struct place){ NULL, NULL });
	cell_known(m, "");
	m->attached = 0;
	m->apns = 0;
}

static void registration_end(struct ms *m)
{
	procedure_end(m);
	identity_end(m);
}

void attach_moved(struct ms *m)
{
	log_hop(LOG_INFO, "attach", "id=%s act=moved", m->id);
	registration_end(m);
}

/* The home side must not go on believing that it is here (TS 23.060 6.7). */
void attach_gone(struct ms *m)
{
	int here = visitors_where(m->visited->visitors, m->id).ms == m;
	char id[GSUP_IMSI];

	memcpy(id, m->id, sizeof(id));
	registration_end(m);
	if (here)
		ask_home(m, GSUP_PURGE_REQ, id, NULL);
}

static void reject(struct ms *m, const char *id, uint8_t cause)
{
	struct nas no = { .type = GMM_ATTACH_REJECT, .cause = cause };

	log_hop(LOG_INFO, "attach", "id=%s act=reject cause=%d why=\"%s\"", id, cause, gmm_cause_text(cause));
	desk_count(m->visited->process->desk, COUNT_REFUSED, 1);
	cell_say(m, &no, 0);
}

/* T3360, T3350 or T3322 for the last time (TS 24.008 4.7.7.6 c, 4.7.3.1.6 c, 4.7.4.2.4 a). */
void attach_silent(struct ms *m)
{
	log_hop(LOG_WARN, "attach", "id=%s why=\"no answer from the equipment\"", *m->id ? m->id : m->attempt.id);
	if (m->state == MS_ACCEPTED)
		attach_gone(m);
	else
		procedure_end(m);
}

/* --- what the equipment says --- */

static void attach_request(struct ms *m, const struct nas *n)
{
	if (m->state >= MS_VECTORS && m->state <= MS_ACCEPTED && !strcmp(m->state < MS_LOCATION ? m->attempt.id : m->id, n->id))
		return; /* its repetition (TS 24.008 4.7.3.1.6 e): what we sent last is repeated by our own timer */
	procedure_end(m);
	if (n->id_type != ID_IMSI || text_digits(n->id) < 6 || text_copy(m->attempt.id, sizeof(m->attempt.id), n->id)) {
		reject(m, n->id, CAUSE_IDENTITY_UNKNOWN); /* a P-TMSI that we did not keep: it comes again with its IMSI */
		return;
	}
	if (!n->r99) { /* could not take an AUTN */
		reject(m, n->id, CAUSE_ILLEGAL_MS);
		return;
	}
	m->state = MS_VECTORS;
	log_hop(LOG_INFO, "attach", "id=%s act=request", m->attempt.id);
	ask_home(m, GSUP_SAI_REQ, m->attempt.id, NULL);
}

static void challenge(struct ms *m)
{
	struct nas q = { .type = GMM_AUTH_REQUEST, .imeisv_asked = 1, .cksn = 0, .has_aka = 1 };

	m->ac_ref = (uint8_t)((m->ac_ref + 1) & 15);
	q.ac_ref = m->ac_ref;
	memcpy(q.rand, m->attempt.vector.v.rand, sizeof(q.rand));
	memcpy(q.autn, m->attempt.vector.v.autn, sizeof(q.autn));
	m->state = MS_AUTH;
	cell_say(m, &q, 1);
}

/* Nobody was attached by this attempt; who was on this link before still is. */
static void auth_reject(struct ms *m, const char *why)
{
	struct nas no = { .type = GMM_AUTH_REJECT };

	log_hop(LOG_WARN, "attach", "id=%s act=reject why=\"%s\"", m->attempt.id, why);
	desk_count(m->visited->process->desk, COUNT_REFUSED, 1);
	cell_say(m, &no, 0);
	procedure_end(m);
}

static void auth_response(struct ms *m, const struct nas *n)
{
	const struct vector *v = &m->attempt.vector.v;
	char id[GSUP_IMSI];

	if (m->state != MS_AUTH || n->ac_ref != m->ac_ref)
		return;
	if (n->res_n != sizeof(v->res) || !bytes_same(n->res, v->res, sizeof(v->res))) {
		auth_reject(m, "RES is wrong");
		return;
	}
	memcpy(id, m->attempt.id, sizeof(id));
	if (*m->id && strcmp(m->id, id))
		attach_gone(m); /* another USIM in the same equipment */
	else
		registration_end(m);
	cell_known(m, id);
	m->state = MS_LOCATION;
	ask_home(m, GSUP_UL_REQ, m->id, NULL);
}

static void auth_failure(struct ms *m, const struct nas *n)
{
	char why[96];

	if (m->state != MS_AUTH)
		return;
	if (n->cause == CAUSE_SYNCH_FAILURE && n->has_auts && !m->attempt.resynced) {
		cell_answered(m);
		m->attempt.resynced = 1;
		m->state = MS_VECTORS;
		log_hop(LOG_INFO, "attach", "id=%s act=resync", m->attempt.id);
		ask_home(m, GSUP_SAI_REQ, m->attempt.id, n);
		return;
	}
	snprintf(why, sizeof(why), "the equipment refuses our network: %s", gmm_cause_text(n->cause));
	auth_reject(m, why);
}

static void attach_complete(struct ms *m, const struct nas *n)
{
	(void)n;
	if (m->state != MS_ACCEPTED)
		return;
	procedure_end(m);
	m->attached = 1;
	desk_count(m->visited->process->desk, COUNT_ATTACHED, 1);
	log_hop(LOG_INFO, "attach", "id=%s act=attached", m->id);
}

static void detach_request(struct ms *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_DETACH_ACCEPT };

	if (*m->id)
		log_hop(LOG_INFO, "attach", "id=%s act=detached", m->id);
	attach_gone(m);
	if (!n->power_off)
		cell_say(m, &ok, 0);
}

static void detach_accepted(struct ms *m, const struct nas *n)
{
	(void)n;
	if (m->state == MS_DETACHING)
		procedure_end(m);
}

static void activate_refuse(struct ms *m, const struct nas *n, uint8_t cause)
{
	struct nas no = { .type = SM_ACTIVATE_REJECT, .ti = n->ti, .ti_flag = 1, .cause = cause };

	log_hop(LOG_INFO, "attach", "id=%s act=\"refuse PDP\" apn=%s cause=%d why=\"%s\"", m->id, n->apn, cause, gmm_cause_text(cause));
	cell_say(m, &no, 0);
}

/* `*` grants any (osmo-hlr's way). */
static int granted(const struct ms *m, const char *apn)
{
	for (int i = 0; i < m->apns; i++)
		if (!strcmp(m->apn[i], apn) || !strcmp(m->apn[i], "*"))
			return 1;
	return 0;
}

static enum err context_begin(struct ms *m, const struct nas *n, const char *apn)
{
	uint32_t a = 0x0a000002 + m->visited->next_address++ % 0xfffff0;
	enum err e;

	context_end(m);
	e = cell_token_new(m);
	if (e)
		return e;
	m->pdp = 1;
	m->ti = n->ti;
	m->nsapi = n->nsapi;
	snprintf(m->context, sizeof(m->context), "%s", apn);
	for (int i = 0; i < 4; i++)
		m->address[i] = (uint8_t)(a >> (24 - 8 * i));
	desk_count(m->visited->process->desk, COUNT_CONTEXTS, 1);
	return OK;
}

/* The APN that a request is for: the one asked for, or the only one subscribed (TS 23.060 A.2). "": none. */
static const char *apn_of(const struct ms *m, const struct nas *n)
{
	if (*n->apn)
		return granted(m, n->apn) ? n->apn : "";
	return m->apns == 1 && strcmp(m->apn[0], "*") ? m->apn[0] : "";
}

static void activate_request(struct ms *m, const struct nas *n)
{
	const char *apn = apn_of(m, n);
	struct nas ok = { .type = SM_ACTIVATE_ACCEPT, .ti = n->ti, .ti_flag = 1, .nsapi = n->nsapi, .has_address = 1, .has_user = 1 };

	if (!m->attached)
		return;
	if (!*apn) { /* 33 also while the subscription has not come yet: the mobile asks again */
		activate_refuse(m, n, *n->apn || !m->apns ? SM_CAUSE_NOT_SUBSCRIBED : SM_CAUSE_UNKNOWN_APN);
		return;
	}
	if ((!m->pdp || m->ti != n->ti || strcmp(m->context, apn)) && context_begin(m, n, apn))
		return;
	memcpy(ok.address, m->address, sizeof(ok.address));
	ok.user = m->visited->plane;
	memcpy(ok.user.token, m->token, sizeof(ok.user.token));
	log_hop(LOG_INFO, "attach", "id=%s act=\"PDP active\" apn=%s", m->id, m->context);
	cell_say(m, &ok, 0);
	secret_wipe(&ok, sizeof(ok));
}

static void deactivate_request(struct ms *m, const struct nas *n)
{
	struct nas ok = { .type = SM_DEACTIVATE_ACCEPT, .ti = n->ti, .ti_flag = 1 };

	if (!m->attached)
		return;
	if (m->pdp && m->ti == n->ti)
		context_end(m);
	cell_say(m, &ok, 0);
}

static const struct {
	enum nas_type type;
	void (*hear)(struct ms *m, const struct nas *n);
} heard[] = {
	{ GMM_ATTACH_REQUEST, attach_request }, { GMM_AUTH_RESPONSE, auth_response }, { GMM_AUTH_FAILURE, auth_failure },
	{ GMM_ATTACH_COMPLETE, attach_complete }, { GMM_DETACH_REQUEST, detach_request }, { GMM_DETACH_ACCEPT, detach_accepted },
	{ SM_ACTIVATE_REQUEST, activate_request }, { SM_DEACTIVATE_REQUEST, deactivate_request },
};

void attach_hear(struct ms *m, struct bytes in)
{
	struct nas n;
	enum err e = nas_read(in, 0, &n);

	if (e) {
		log_hop(LOG_DEBUG, "attach", "id=%s act=skip why=\"a NAS message that %s\"", m->id, err_text(e));
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
	if (m->state != MS_VECTORS || strcmp(m->attempt.id, g->imsi))
		return;
	m->attempt.vector = g->vector[0];
	challenge(m);
}

static void profile_take(struct ms *m, const struct gsup *g)
{
	if (!g->pdps && !g->pdp_complete)
		return;
	m->apns = g->pdps;
	for (int i = 0; i < g->pdps; i++)
		memcpy(m->apn[i], g->pdp[i].apn, sizeof(m->apn[i]));
}

static void location_came(struct ms *m, const struct gsup *g)
{
	struct nas ok = { .type = GMM_ATTACH_ACCEPT, .attach_result = 1, .t3312 = 0x2a };
	const struct conf *c = m->visited->process->conf;

	if (m->state != MS_LOCATION)
		return;
	profile_take(m, g);
	if (secret_random(&m->ptmsi, sizeof(m->ptmsi))) {
		reject(m, m->id, CAUSE_NETWORK_FAILURE);
		attach_gone(m);
		return;
	}
	m->ptmsi |= 0xc0000000;
	ok.ptmsi = m->ptmsi;
	snprintf(ok.rai.plmn, sizeof(ok.rai.plmn), "%.7s", c->id);
	ok.rai.lac = (uint16_t)c->lac;
	ok.rai.rac = (uint8_t)c->rac;
	m->state = MS_ACCEPTED;
	cell_say(m, &ok, 1);
}

static void vectors_refused(struct ms *m, const struct gsup *g)
{
	if (m->state != MS_VECTORS || strcmp(m->attempt.id, g->imsi))
		return;
	reject(m, g->imsi, g->cause);
	procedure_end(m);
}

static void location_refused(struct ms *m, const struct gsup *g)
{
	if (m->state != MS_LOCATION)
		return;
	reject(m, m->id, g->cause);
	registration_end(m);
}

static void answer_home(struct ms *m, const struct gsup *g)
{
	struct gsup ok = { .type = gsup_result_of(g->type), .cn_domain = 1, .cancel_type = -1 };

	memcpy(ok.imsi, g->imsi, sizeof(ok.imsi));
	router_say(m, &ok);
}

/* A context that is no longer granted ends (TS 23.060 9.2.4.2); the equipment hears it when it asks for its gateway. */
static void profile_came(struct ms *m, const struct gsup *g)
{
	struct nas out = { .type = SM_DEACTIVATE_REQUEST, .ti = m->ti, .ti_flag = 1, .cause = SM_CAUSE_REGULAR };

	profile_take(m, g);
	if (m->pdp && !granted(m, m->context)) {
		context_end(m);
		cell_say(m, &out, 0);
	}
	answer_home(m, g);
}

/* The home side throws it off: the equipment hears it before its connections end (TS 23.060 6.6.2.2), and until it says so (T3322). */
static void thrown_off(struct ms *m, const struct gsup *g, uint8_t cause)
{
	struct nas out = { .type = GMM_DETACH_REQUEST, .detach_type = DETACH_IMSI_NET, .cause = cause };

	answer_home(m, g);
	log_hop(LOG_INFO, "attach", "id=%s act=cancelled", m->id);
	procedure_end(m);
	m->state = MS_DETACHING;
	cell_say(m, &out, 1);
	identity_end(m);
}

static void cancelled(struct ms *m, const struct gsup *g)
{
	if (g->cancel_type == GSUP_CANCEL_UPDATE) { /* it is in another network: nothing is said here */
		answer_home(m, g);
		attach_moved(m);
	} else {
		thrown_off(m, g, CAUSE_IMPLICITLY_DETACHED);
	}
}

static void profile_gone(struct ms *m, const struct gsup *g)
{
	thrown_off(m, g, CAUSE_GPRS_NOT_ALLOWED);
}

static const struct {
	uint8_t type;
	void (*came)(struct ms *m, const struct gsup *g);
} home[] = {
	{ GSUP_SAI_RES, vectors_came }, { GSUP_SAI_ERR, vectors_refused }, { GSUP_UL_RES, location_came }, { GSUP_UL_ERR, location_refused },
	{ GSUP_ISD_REQ, profile_came }, { GSUP_DSD_REQ, profile_gone }, { GSUP_CANCEL_REQ, cancelled },
};

void attach_gsup(struct ms *m, const struct gsup *g)
{
	fault_point(gsup_name(g->type), "heard");
	for (size_t i = 0; i < sizeof(home) / sizeof(*home); i++)
		if (home[i].type == g->type)
			home[i].came(m, g);
}
