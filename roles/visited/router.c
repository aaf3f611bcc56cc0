/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * GSUP by range of identities (DESIGN 3, row 3): the range decides whom we ask, and whom we believe. An answer goes to whom it
 * was that asked, a home side's request to where the identity is; what nobody asked for is dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"
#include "core/log.h"
#include "roles/visited/visited.h"

/* Who may say what; results and errors stand beside their request. */
static const struct {
	uint8_t request;
	int by_home;
} rights[] = { { GSUP_SAI_REQ, 0 }, { GSUP_UL_REQ, 0 }, { GSUP_PURGE_REQ, 0 }, { GSUP_ISD_REQ, 1 }, { GSUP_DSD_REQ, 1 }, { GSUP_CANCEL_REQ, 1 } };

static int may_say(const struct gsup *g, int home)
{
	for (size_t i = 0; i < sizeof(rights) / sizeof(*rights); i++)
		if (rights[i].request == (g->type & ~3))
			return rights[i].by_home == (gsup_is_request(g->type) ? home : !home);
	return 0;
}

static uint8_t request_of(const struct gsup *g)
{
	return (uint8_t)(g->type & ~3);
}

/* Only these reach the equipment through osmo-sgsn at once: 1, 15 and 23 up make it wait 6 s, and say 17. */
static uint8_t cause_for_sgsn(uint8_t cause)
{
	return (cause >= 2 && cause <= 14) || (cause >= 16 && cause <= 22) ? cause : CAUSE_NETWORK_FAILURE;
}

const struct peer *router_peer(const struct visited *v, const char *id)
{
	const struct peer *p = peers_by_range(v->process->peers, id);

	return p && *p->gsup ? p : NULL;
}

static struct gsup_link *link_of(const struct visited *v, const struct peer *p)
{
	for (size_t i = 0; i < v->links; i++) {
		const struct party *q = gsup_party(v->link[i]);

		if (!strcmp(q->id, p->party.id) && !strcmp(q->role, p->party.role))
			return v->link[i];
	}
	return NULL;
}

/* octets: as they came; empty: g is ours to write. */
static enum err deliver(struct gsup_link *l, const struct gsup *g, struct bytes octets)
{
	if (!l)
		return ERR_UNAVAILABLE;
	return octets.n ? gsup_pass(l, octets) : gsup_send(l, g);
}

static void hear(struct place at, const struct gsup *g, struct bytes octets)
{
	if (at.ms)
		attach_gsup(at.ms, g);
	else if (at.sgsn && deliver(at.sgsn->link, g, octets))
		log_hop(LOG_WARN, "router", "id=%s sgsn=%s act=\"%s\" why=\"the SGSN is down\"", g->imsi, at.sgsn->name, gsup_name(g->type));
}

static struct gsup answer_to(const struct gsup *g, uint8_t cause)
{
	struct gsup a = { .type = cause ? gsup_error_of(request_of(g)) : gsup_result_of(request_of(g)), .cause = cause, .cn_domain = 1, .cancel_type = -1 };

	memcpy(a.imsi, g->imsi, sizeof(a.imsi));
	return a;
}

static void refuse(struct place from, const struct gsup *g, uint8_t cause)
{
	struct gsup no = answer_to(g, cause);

	log_hop(LOG_WARN, "router", "id=%s act=\"%s\" cause=%d why=\"%s\"", g->imsi, gsup_name(g->type), cause, gmm_cause_text(cause));
	hear(from, &no, BYTES(NULL, 0));
}

static void unasked(struct visited *v, const char *who, const struct gsup *g, const char *why)
{
	log_hop(LOG_WARN, "router", "id=%s peer=%s act=\"refuse %s\" why=\"%s\"", g->imsi, who, gsup_name(g->type), why);
	desk_count(v->process->desk, COUNT_UNASKED, 1);
}

/* --- from an access to the home side --- */

/* A Purge of a place that the identity has left since says nothing about where it is: the home side does not hear it. */
static int outdated(const struct visited *v, struct place from, const struct gsup *g)
{
	struct place at = visitors_where(v->visitors, g->imsi);

	return g->type == GSUP_PURGE_REQ && (at.ms || at.sgsn) && (at.ms != from.ms || at.sgsn != from.sgsn);
}

static void ask(struct visited *v, struct place from, const struct gsup *g, struct bytes octets)
{
	const struct peer *p = router_peer(v, g->imsi);
	struct gsup_link *l = p ? link_of(v, p) : NULL;
	struct gsup done = answer_to(g, 0);

	if (outdated(v, from, g)) {
		hear(from, &done, BYTES(NULL, 0));
		return;
	}
	if (g->type == GSUP_PURGE_REQ)
		visitors_place(v->visitors, g->imsi, (struct place){ NULL, NULL });
	if (!p) {
		refuse(from, g, CAUSE_PLMN_NOT_ALLOWED);
	} else if (!l || !gsup_is_up(l)) {
		refuse(from, g, CAUSE_NETWORK_FAILURE);
	} else if (visitors_ask(v->visitors, g->imsi, g->type, &from, l)) {
		desk_count(v->process->desk, COUNT_CROWDED, 1);
		refuse(from, g, CAUSE_CONGESTION);
	} else if (deliver(l, g, octets)) {
		visitors_unask(v->visitors, g->imsi, g->type, 0);
		refuse(from, g, CAUSE_NETWORK_FAILURE);
	}
}

static void access_answers(struct visited *v, struct place from, const char *who, const struct gsup *g, struct bytes octets)
{
	struct question q;

	if (visitors_answer(v->visitors, g->imsi, request_of(g), 1, &q)) {
		unasked(v, who, g, "nobody asked");
		return;
	}
	if (request_of(g) == GSUP_CANCEL_REQ && from.sgsn && visitors_where(v->visitors, g->imsi).sgsn == from.sgsn)
		visitors_place(v->visitors, g->imsi, (struct place){ NULL, NULL });
	if (q.home && deliver(q.home, g, octets))
		log_hop(LOG_WARN, "router", "id=%s act=\"%s\" why=\"the home side is down\"", g->imsi, gsup_name(g->type));
}

static void say(struct visited *v, struct place from, const char *who, const struct gsup *g, struct bytes octets)
{
	desk_count(v->process->desk, COUNT_ROUTED, 1);
	if (!may_say(g, 0))
		unasked(v, who, g, "not an access's to say");
	else if (gsup_is_request(g->type))
		ask(v, from, g, octets);
	else
		access_answers(v, from, who, g, octets);
	fault_point(gsup_name(g->type), "said");
}

void router_say(struct ms *m, const struct gsup *g)
{
	say(m->visited, (struct place){ .ms = m }, "cell", g, BYTES(NULL, 0));
}

void router_pass(struct visited *v, struct sgsn *s, const struct gsup *g, struct bytes octets)
{
	say(v, (struct place){ .sgsn = s }, s->name, g, octets);
}

/* --- from the home side to an access --- */

/* The new place stands at the home side: the old one lets go, without a word to the equipment, which is elsewhere. */
static void arrived(struct visited *v, struct place at, const struct gsup *g)
{
	struct place was = visitors_where(v->visitors, g->imsi);
	struct gsup cancel = { .type = GSUP_CANCEL_REQ, .cn_domain = 1, .cancel_type = GSUP_CANCEL_UPDATE };

	visitors_place(v->visitors, g->imsi, at);
	if (was.ms && was.ms != at.ms)
		attach_moved(was.ms);
	memcpy(cancel.imsi, g->imsi, sizeof(cancel.imsi));
	if (was.sgsn && was.sgsn != at.sgsn && !visitors_ask(v->visitors, g->imsi, GSUP_CANCEL_REQ, NULL, NULL))
		hear(was, &cancel, BYTES(NULL, 0));
}

/* Whoever asked for the UpdateLocation is gone: the home side must not believe that it is here. */
static void left_meanwhile(struct visited *v, struct place nowhere, const struct gsup *g)
{
	struct gsup purge = { .type = GSUP_PURGE_REQ, .cn_domain = 1, .cancel_type = -1 };

	memcpy(purge.imsi, g->imsi, sizeof(purge.imsi));
	ask(v, nowhere, &purge, BYTES(NULL, 0));
}

static void home_answers(struct visited *v, struct gsup_link *l, const struct gsup *g)
{
	struct gsup mapped = *g;
	struct question q;

	if (visitors_answer(v->visitors, g->imsi, request_of(g), 0, &q)) {
		unasked(v, gsup_party(l)->id, g, "nobody asked");
		return;
	}
	if (g->type == GSUP_UL_RES)
		(q.from.ms || q.from.sgsn ? arrived : left_meanwhile)(v, q.from, g);
	if (g->cause)
		mapped = answer_to(g, cause_for_sgsn(g->cause));
	hear(q.from, &mapped, g->cause ? BYTES(NULL, 0) : gsup_octets(l));
	secret_wipe(&mapped, sizeof(mapped));
}

/* After a restart we do not know who is in which SGSN: all are asked, and the first answer counts. */
static int look_for(struct visited *v, struct gsup_link *l, const struct gsup *g)
{
	int asked = 0;

	for (int i = 0; i < SGSNS; i++)
		if (v->sgsn[i].link && !gsup_pass(v->sgsn[i].link, gsup_octets(l)))
			asked++;
	log_hop(LOG_INFO, "router", "id=%s act=\"%s\" why=\"it is not known here\" asked=%d", g->imsi, gsup_name(g->type), asked);
	return asked;
}

static void home_asks(struct visited *v, struct gsup_link *l, const struct gsup *g)
{
	struct place at = visitors_where(v->visitors, g->imsi), arriving = visitors_arriving(v->visitors, g->imsi);
	struct gsup no = answer_to(g, g->type == GSUP_CANCEL_REQ ? 0 : CAUSE_IMSI_UNKNOWN);

	if (visitors_ask(v->visitors, g->imsi, g->type, NULL, l)) {
		unasked(v, gsup_party(l)->id, g, "too many of its questions are open"); /* an error would say that nobody is here */
		return;
	}
	if (g->type == GSUP_ISD_REQ || (!at.ms && !at.sgsn))
		at = arriving.ms || arriving.sgsn ? arriving : at;
	if (at.ms || at.sgsn) {
		hear(at, g, gsup_octets(l));
	} else if (!look_for(v, l, g)) {
		visitors_unask(v->visitors, g->imsi, g->type, 1);
		if (gsup_send(l, &no))
			log_hop(LOG_WARN, "router", "id=%s act=\"%s\" why=\"the home side is down\"", g->imsi, gsup_name(no.type));
	}
}

/* What a server says about identities outside its range is dropped: else any operator could detach another's. */
static void message(struct gsup_link *l, const struct gsup *g, void *arg)
{
	struct visited *v = arg;
	const struct peer *p = router_peer(v, g->imsi);
	const struct party *from = gsup_party(l);

	if (!p || strcmp(p->party.id, from->id) || strcmp(p->party.role, from->role)) {
		log_hop(LOG_WARN, "router", "id=%s peer=%s/%s act=\"refuse %s\" why=\"not its range\"", g->imsi, from->role, from->id, gsup_name(g->type));
		desk_count(v->process->desk, COUNT_OUT_OF_RANGE, 1);
	} else if (!may_say(g, 1)) {
		unasked(v, from->id, g, "not a home side's to say");
	} else if (gsup_is_request(g->type)) {
		home_asks(v, l, g);
	} else {
		home_answers(v, l, g);
	}
}

/* Whoever waits hears it now. */
static void down(struct gsup_link *l, void *arg)
{
	visitors_home_down(((struct visited *)arg)->visitors, l);
}

static void late(const struct question *q, const char *id, void *arg)
{
	struct gsup g = { .type = q->type, .cn_domain = 1, .cancel_type = -1 };

	(void)arg;
	if (!text_copy(g.imsi, sizeof(g.imsi), id) && (q->from.ms || q->from.sgsn))
		refuse(q->from, &g, CAUSE_NETWORK_FAILURE);
}

static int agreed(const struct visited *v, const struct gsup_link *l)
{
	const struct peer *p = peers_find(v->process->peers, gsup_party(l)->role, gsup_party(l)->id);

	return p && !strcmp(p->gsup, gsup_address(l));
}

static enum err dial(struct visited *v, const struct peer *p)
{
	const struct gsup_client c = { p->gsup, p->party.role, p->party.id, v->process->id, { NULL, message, down }, v };
	enum err e = gsup_dial(v->process->loop, v->process->tls, &c, v->link + v->links);

	v->links += !e;
	return e;
}

enum err router_agree(struct visited *v)
{
	size_t n = peers_count(v->process->peers), kept = 0, gone = n + v->links, end = gone;
	struct gsup_link **link = calloc(end + 1, sizeof(*link));
	enum err e = link ? OK : ERR_NOMEM;

	if (e)
		return e;
	for (size_t i = 0; i < v->links; i++)
		link[agreed(v, v->link[i]) ? kept++ : --gone] = v->link[i];
	free(v->link);
	v->link = link;
	v->links = kept;
	for (; gone < end; gone++) {
		log_hop(LOG_INFO, "router", "peer=%s/%s at=%s why=\"no agreement names it any more\"", gsup_party(link[gone])->role,
			gsup_party(link[gone])->id, gsup_address(link[gone]));
		visitors_home_down(v->visitors, link[gone]);
		gsup_hang_up(link[gone]);
	}
	for (size_t i = 0; i < n && !e; i++) {
		const struct peer *p = peers_at(v->process->peers, i);

		e = *p->gsup && !link_of(v, p) ? dial(v, p) : OK;
	}
	return e;
}

enum err router_open(struct visited *v)
{
	const struct visitors_conf vc = { v->process->loop, ((const struct conf *)v->process->conf)->visitors, late, v };
	enum err e = visitors_open(&vc, &v->visitors);

	return e ? e : router_agree(v);
}

void router_close(struct visited *v)
{
	gsup_close(v->sgsn_server);
	for (size_t i = 0; i < v->links; i++)
		gsup_hang_up(v->link[i]);
	free(v->link);
	visitors_close(v->visitors);
}
