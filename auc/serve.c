/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 3 (I3, R6, R16): vectors over GSUP. UMTS only: SRES is four random octets, so that no network can accept less than AKA
 * (with a true SRES, osmo-sgsn attaches who answers with it alone). One read per request, one durable write per minute.
 */
#include "auc/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/gmm.h"

enum { RENEW_MS = 20000 };

struct auc_server {
	struct auc_serve conf;
	struct gsup_server *gsup;
	struct auc *auc;
	struct timer *renew;
};

struct vectors_call {
	struct auc_server *server;
	struct process *process;
	char plmn[ID_MAX];
	struct gsup in;
	char state[16], visited[16], equipment[80];
	struct auc_identity who;
	int64_t offset;
	enum err found;
};

/* --- the durable mark --- */

static enum err mark_write(struct tx *tx, void *arg)
{
	int64_t *mark = arg;

	return tx_do(tx, "INSERT INTO auc (one, mark) VALUES (1, :mark) ON CONFLICT (one) DO UPDATE SET mark = excluded.mark", WITH(B_INT("mark", *mark)));
}

struct mark {
	struct auc_server *r;
	int64_t mark;
};

static enum err mark_save(struct tx *tx, void *arg)
{
	return mark_write(tx, &((struct mark *)arg)->mark);
}

static void mark_saved(void *arg, enum err e)
{
	struct mark *m = arg;

	if (!e)
		auc_saved(m->r->auc, m->mark);
	free(m);
}

static void mark_renew(void *arg)
{
	struct auc_server *r = arg;
	struct mark *m = auc_wanted(r->auc, clock_now()) ? malloc(sizeof(*m)) : NULL;

	if (!m)
		return;
	*m = (struct mark){ r, auc_wanted(r->auc, clock_now()) };
	store_run(r->conf.process->store, mark_save, m, mark_saved);
}

static enum err mark_read(struct tx *tx, void *arg)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT mark FROM auc WHERE one = 1", NULL, &r);

	*(int64_t *)arg = e ? 0 : row_int(r, 0);
	return e == ERR_MISSING ? OK : e;
}

/* --- looking up --- */

static enum err who_read(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	const struct row *r;
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];

	c->found = tx_get(tx, c->server->conf.sql_who, WITH(B_TEXT("id", c->in.imsi)), &r);
	if (c->found)
		return OK;
	row_copy(r, 0, c->state, sizeof(c->state));
	row_copy(r, 1, c->visited, sizeof(c->visited));
	row_copy(r, 2, c->equipment, sizeof(c->equipment));
	c->who.offset = row_int(r, 3);
	if (!row_blob(r, 4).n)
		return OK; /* free: no key */
	row_octets(r, 4, k, sizeof(k));
	row_octets(r, 5, opc, sizeof(opc));
	c->found = kek_unwrap(c->process->kek, k, &c->who.k);
	if (!c->found)
		c->found = kek_unwrap(c->process->kek, opc, &c->who.opc);
	return OK;
}

static uint8_t cause_of(const struct vectors_call *c)
{
	if (c->found)
		return c->found == ERR_MISSING ? CAUSE_IMSI_UNKNOWN : CAUSE_NETWORK_FAILURE;
	for (const struct auc_state *s = c->server->conf.states; s->state; s++)
		if (!strcmp(s->state, c->state))
			return s->cause;
	return CAUSE_NETWORK_FAILURE;
}

static void reply(struct vectors_call *c, struct gsup *out)
{
	struct auc_server *r = c->server;
	struct gsup_link *l = gsup_find(r->gsup, "visited", c->plmn);

	memcpy(out->imsi, c->in.imsi, sizeof(out->imsi));
	out->cn_domain = 1;
	out->cancel_type = out->type == GSUP_CANCEL_REQ ? GSUP_CANCEL_WITHDRAW : -1;
	if (l && gsup_send(l, out))
		log_hop(LOG_WARN, "vectors", "id=%s peer=%s act=\"%s\" why=\"the link went down\"", c->in.imsi, c->plmn, gsup_name(out->type));
}

static void call_end(struct vectors_call *c)
{
	secret_wipe(c, sizeof(*c));
	free(c);
}

static void refuse(struct vectors_call *c, uint8_t cause)
{
	struct gsup no = { .type = gsup_error_of(c->in.type), .cause = cause };

	desk_count(c->process->desk, c->server->conf.count_refused, 1);
	log_hop(LOG_INFO, "vectors", "id=%s peer=%s act=refuse cause=%d state=%s why=\"%s\"", c->in.imsi, c->plmn, cause, c->state, gmm_cause_text(cause));
	reply(c, &no);
	call_end(c);
}

/* --- SendAuthInfo --- */

static void give(struct vectors_call *c)
{
	struct auc_server *r = c->server;
	struct gsup out = { .type = GSUP_SAI_RES, .vectors = 1 };
	enum err e = auc_vector(r->auc, &c->who, AUC_GSUP, clock_now(), &out.vector[0].v);

	if (!e)
		e = secret_random(out.vector[0].sres, sizeof(out.vector[0].sres));
	if (e == ERR_AGAIN)
		mark_renew(r);
	if (e) {
		log_hop(LOG_ERROR, "vectors", "id=%s why=\"%s\"", c->in.imsi, err_text(e));
		refuse(c, CAUSE_NETWORK_FAILURE);
		return;
	}
	desk_count(c->process->desk, c->server->conf.count_given, 1);
	log_hop(LOG_INFO, "vectors", "id=%s eq=%s peer=%s act=give", c->in.imsi, c->equipment, c->plmn);
	reply(c, &out);
	secret_wipe(&out, sizeof(out));
	call_end(c);
}

static enum err offset_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	enum err e = tx_do(tx, c->server->conf.sql_offset, WITH(B_INT("offset", c->offset), B_TEXT("id", c->in.imsi)));

	return e ? e : tx_audit(tx, "vectors", ABOUT({ c->server->conf.kind, c->in.imsi }, { "equipment", c->equipment }),
		"resynchronised the sequence number of %s, asked by network %s", c->in.imsi, c->plmn);
}

static void offset_written(void *arg, enum err e)
{
	struct vectors_call *c = arg;

	c->who.offset = c->offset;
	if (e)
		refuse(c, CAUSE_NETWORK_FAILURE);
	else
		give(c);
}

static void auth_info(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	struct auc_server *r = c->server;
	uint8_t cause = e ? CAUSE_NETWORK_FAILURE : cause_of(c);

	if (cause) {
		refuse(c, cause);
	} else if (!c->in.has_auts) {
		give(c);
	} else {
		e = auc_resync(r->auc, &c->who, c->in.rand, c->in.auts, clock_now(), &c->offset);
		log_hop(LOG_INFO, "vectors", "id=%s peer=%s act=resync result=%s", c->in.imsi, c->plmn, err_name(e));
		if (e)
			refuse(c, CAUSE_ILLEGAL_MS);
		else
			store_run(c->process->store, offset_write, c, offset_written);
	}
}

/* --- UpdateLocation, Purge: where a PIMSI is attached --- */

static enum err location_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	enum err e = who_read(tx, c);

	if (e || c->found || cause_of(c))
		return e;
	e = tx_do(tx, c->server->conf.sql_location, WITH(B_TEXT("visited", c->plmn), B_INT("now", clock_now()), B_TEXT("id", c->in.imsi)));
	return e ? e : tx_audit(tx, "attach", ABOUT({ c->server->conf.kind, c->in.imsi }, { "equipment", c->equipment }), "%s attached in network %s",
		c->in.imsi, c->plmn);
}

static void location_written(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	struct gsup isd = { .type = GSUP_ISD_REQ, .pdp_complete = 1, .pdps = 1 };
	uint8_t cause = e ? CAUSE_NETWORK_FAILURE : cause_of(c);

	if (cause) {
		refuse(c, cause);
		return;
	}
	if (*c->visited && strcmp(c->visited, c->plmn)) { /* it moved: the network where it was lets go */
		struct vectors_call old = *c;
		struct gsup cancel = { .type = GSUP_CANCEL_REQ };

		snprintf(old.plmn, sizeof(old.plmn), "%s", c->visited);
		reply(&old, &cancel);
		secret_wipe(&old, sizeof(old));
	}
	isd.pdp[0].id = 1;
	snprintf(isd.pdp[0].apn, sizeof(isd.pdp[0].apn), "%s", c->server->conf.apn);
	log_hop(LOG_INFO, "attach", "id=%s eq=%s peer=%s act=location", c->in.imsi, c->equipment, c->plmn);
	reply(c, &isd); /* the UpdateLocation ends when its answer comes */
	call_end(c);
}

static void profile_taken(struct vectors_call *c)
{
	struct gsup res = { .type = GSUP_UL_RES };

	reply(c, &res);
	call_end(c);
}

static enum err purge_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	enum err e = tx_do(tx, c->server->conf.sql_purge, WITH(B_TEXT("id", c->in.imsi), B_TEXT("visited", c->plmn)));

	if (e || !tx_changes(tx))
		return e;
	return tx_audit(tx, "attach", ABOUT({ c->server->conf.kind, c->in.imsi }), "%s detached from network %s", c->in.imsi, c->plmn);
}

static void purge_written(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	struct gsup res = { .type = GSUP_PURGE_RES };

	if (e) {
		refuse(c, CAUSE_NETWORK_FAILURE);
		return;
	}
	reply(c, &res);
	call_end(c);
}

/* --- the link --- */

static void message(struct gsup_link *l, const struct gsup *m, void *arg)
{
	struct auc_server *s = arg;
	struct process *p = s->conf.process;
	struct vectors_call *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	c->server = s;
	c->process = p;
	c->in = *m;
	c->who.id = c->in.imsi;
	snprintf(c->plmn, sizeof(c->plmn), "%s", gsup_party(l)->id);
	if (m->type == GSUP_SAI_REQ)
		store_run(p->store, who_read, c, auth_info);
	else if (m->type == GSUP_UL_REQ)
		store_run(p->store, location_write, c, location_written);
	else if (m->type == GSUP_PURGE_REQ)
		store_run(p->store, purge_write, c, purge_written);
	else if (m->type == GSUP_ISD_RES || m->type == GSUP_ISD_ERR)
		profile_taken(c);
	else if (gsup_is_request(m->type))
		refuse(c, CAUSE_NETWORK_FAILURE);
	else
		call_end(c);
}

static int may(const struct party *p, void *arg)
{
	return !strcmp(p->role, "visited") && peers_find(((struct auc_server *)arg)->conf.process->peers, p->role, p->id) != NULL;
}

enum err auc_serve_open(const struct auc_serve *conf, struct auc_server **out, struct why *w)
{
	struct auc_server *s = calloc(1, sizeof(*s));
	struct process *p = conf->process;
	int64_t mark = 0;
	enum err e = s ? store_run_now(p->store, mark_read, &mark) : ERR_NOMEM;

	*out = s;
	if (!e) {
		s->conf = *conf;
		e = auc_open(mark, &s->auc);
	}
	mark = e ? 0 : auc_wanted(s->auc, clock_now());
	if (!e && mark)
		e = store_run_now(p->store, mark_write, &mark);
	if (e)
		return fail(w, e, "the mark of the sequence numbers cannot be written");
	auc_saved(s->auc, mark);
	s->renew = timer_every(p->loop, RENEW_MS, mark_renew, s);
	return gsup_listen(p->loop, &(struct gsup_listener){ .name = "gsup", .address = conf->address, .tls = p->tls, .may = may,
		.events = { .message = message }, .arg = s }, &s->gsup, w);
}

void auc_serve_close(struct auc_server *s)
{
	if (!s)
		return;
	timer_stop(s->renew);
	gsup_close(s->gsup);
	auc_close(s->auc);
	free(s);
}

struct auc *auc_serve_auc(struct auc_server *s)
{
	return s->auc;
}

void auc_serve_cancel(struct auc_server *s, const char *plmn, const char *id)
{
	struct gsup_link *l = gsup_find(s->gsup, "visited", plmn);
	struct gsup cancel = { .type = GSUP_CANCEL_REQ, .cn_domain = 1, .cancel_type = GSUP_CANCEL_WITHDRAW };

	snprintf(cancel.imsi, sizeof(cancel.imsi), "%.15s", id);
	if (l && gsup_send(l, &cancel))
		log_hop(LOG_WARN, "vectors", "id=%s peer=%s why=\"the cancel was not sent: the link went down\"", id, plmn);
}
