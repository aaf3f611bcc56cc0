/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 3 (I3, R6, R16): vectors over GSUP. UMTS only: SRES is four random octets, so that no network can accept less than AKA
 * (with a true SRES, osmo-sgsn attaches who answers with it alone). One read at most per request, one durable write per minute.
 */
#include "auc/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auc/cache.h"
#include "auc/cancel.h"
#include "core/audit.h"
#include "core/clock.h"
#include "core/log.h"
#include "proto/gmm.h"

enum { RENEW_MS = 5000, PEERS = 1024 };

/* What one network may still ask for; microseconds of clock_mono_us. */
struct budget {
	char plmn[PLMN_TEXT];
	int64_t vectors, resyncs, places;
};
struct auc_server {
	struct auc_serve conf;
	struct gsup_server *gsup;
	struct auc *auc;
	struct auc_cache *cache;
	struct timer *renew;
	struct budget budget[PEERS];
	struct cancels cancels;
};

struct vectors_call {
	struct auc_server *server;
	struct process *process;
	char plmn[ID_MAX];
	struct gsup in;
	char state[NUMBER_STATE], visited[PLMN_TEXT], equipment[EQUIPMENT_MAX];
	struct auc_identity who;
	struct auc_resynced resynced;
	int64_t mark;
	int again; /* the mark was renewed for it */
	uint64_t seen;  /* changes of numbers, when it was read */
	enum err found;
};

/* --- the durable mark --- */

static enum err mark_write(struct tx *tx, void *arg)
{
	return tx_do(tx, "UPDATE auc SET mark = :mark WHERE one = 1 AND mark < :mark", WITH(B_INT("mark", *(int64_t *)arg)));
}

struct mark {
	int64_t mark; /* first: mark_write's */
	struct auc_server *r;
};

static void mark_saved(void *arg, enum err e)
{
	struct mark *m = arg;

	if (!e)
		auc_saved(m->r->auc, m->mark);
	free(m);
}

void auc_serve_renew(struct auc_server *r)
{
	int64_t mark = auc_wanted(r->auc, clock_now());
	struct mark *m = mark ? malloc(sizeof(*m)) : NULL;

	if (!m)
		return;
	*m = (struct mark){ mark, r };
	store_run(r->conf.process->store, mark_write, m, mark_saved);
}

/* What the database keeps for us: the mark, and the key of the RANDs, made once. */
struct kept {
	const struct process *process;
	int64_t mark;
	struct secret key;
};

static enum err kept_make(struct tx *tx, struct kept *k)
{
	uint8_t wrapped[SECRET_WRAPPED];
	enum err e = secret_random(&k->key, sizeof(k->key));

	if (!e)
		e = kek_wrap(k->process->kek, &k->key, wrapped);
	return e ? e : tx_do(tx, "INSERT INTO auc (one, mark, rand_key) VALUES (1, 0, :key) ON CONFLICT (one) DO UPDATE SET rand_key = excluded.rand_key",
		WITH(B_BLOB("key", BYTES_OF(wrapped))));
}

static enum err kept_read(struct tx *tx, void *arg)
{
	struct kept *k = arg;
	uint8_t wrapped[SECRET_WRAPPED];
	const struct row *r;
	enum err e = tx_get(tx, "SELECT mark, rand_key FROM auc WHERE one = 1", NULL, &r);

	if (e && e != ERR_MISSING)
		return e;
	k->mark = e ? 0 : row_int(r, 0);
	if (e || !row_blob(r, 1).n)
		return kept_make(tx, k);
	row_octets(r, 1, wrapped, sizeof(wrapped));
	return kek_unwrap(k->process->kek, wrapped, &k->key);
}

/* --- looking up --- */

static enum err who_read(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	const struct row *r;
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];

	c->seen = number_changes_seen(c->server->conf.numbers->changes);
	c->found = tx_get(tx, c->server->conf.numbers->sql.who, WITH(B_TEXT("id", c->in.imsi)), &r);
	if (c->found)
		return OK;
	row_copy(r, 0, c->state, sizeof(c->state));
	row_copy(r, 1, c->visited, sizeof(c->visited));
	row_copy(r, 2, c->equipment, sizeof(c->equipment));
	c->who.offset = row_int(r, 3);
	c->who.since = row_int(r, 4);
	if (!row_blob(r, 5).n)
		return OK; /* free: no key */
	row_octets(r, 5, k, sizeof(k));
	row_octets(r, 6, opc, sizeof(opc));
	c->found = kek_unwrap(c->process->kek, k, &c->who.k);
	if (!c->found)
		c->found = kek_unwrap(c->process->kek, opc, &c->who.opc);
	return OK;
}

/* How many vectors its state allows at a time; 0: none, but the cause. */
static int allowed(const struct vectors_call *c, uint8_t *cause)
{
	const struct number_state *s = c->found ? NULL : number_state(c->server->conf.numbers, c->state);

	*cause = c->found == ERR_MISSING ? CAUSE_IMSI_UNKNOWN : s ? s->cause : CAUSE_NETWORK_FAILURE;
	return s ? s->vectors : 0;
}

static void reply(struct vectors_call *c, struct gsup *out)
{
	struct auc_server *r = c->server;
	struct gsup_link *l = gsup_find(r->gsup, "visited", c->plmn);

	memcpy(out->imsi, c->in.imsi, sizeof(out->imsi));
	out->cn_domain = 1;
	out->cancel_type = -1;
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

static void give(struct vectors_call *c);

/* Looked at again: it may have been barred while the request waited for the disk. */
static enum err mark_raise(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	enum err e = who_read(tx, c);

	return e ? e : mark_write(tx, &c->mark);
}

static void mark_raised(void *arg, enum err e)
{
	struct vectors_call *c = arg;

	uint8_t cause;

	if (!e)
		auc_saved(c->server->auc, c->mark);
	if (e || !allowed(c, &cause))
		refuse(c, e ? CAUSE_NETWORK_FAILURE : cause);
	else
		give(c);
}

/* What is given, or why not. */
static void given(struct vectors_call *c, enum err e, struct gsup *out)
{
	if (e) {
		log_hop(e == ERR_LIMIT ? LOG_WARN : LOG_ERROR, "vectors", "id=%s peer=%s why=\"%s\"", c->in.imsi, c->plmn, err_text(e));
		refuse(c, e == ERR_LIMIT ? CAUSE_CONGESTION : CAUSE_NETWORK_FAILURE);
		return;
	}
	desk_count(c->process->desk, c->server->conf.count_given, out->vectors);
	log_hop(LOG_INFO, "vectors", "id=%s eq=%s peer=%s act=give n=%d", c->in.imsi, c->equipment, c->plmn, out->vectors);
	reply(c, out);
	call_end(c);
}

static void give(struct vectors_call *c)
{
	struct auc_server *r = c->server;
	struct gsup out = { .type = GSUP_SAI_RES };
	struct vector v[GSUP_VECTORS];
	uint8_t cause;
	enum err e;

	out.vectors = allowed(c, &cause);
	e = auc_vectors(r->auc, &c->who, AUC_GSUP, clock_now(), v, &out.vectors);
	if (e == ERR_AGAIN && !c->again) { /* the clock ran ahead of the mark: on disk first */
		c->again = 1;
		c->mark = auc_wanted(r->auc, clock_now());
		store_run(c->process->store, mark_raise, c, mark_raised);
		return;
	}
	for (int i = 0; !e && i < out.vectors; i++) {
		out.vector[i].v = v[i];
		e = secret_random(out.vector[i].sres, sizeof(out.vector[i].sres));
	}
	given(c, e, &out);
	secret_wipe(v, sizeof(v));
	secret_wipe(&out, sizeof(out));
}

static enum err offset_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	const struct numbers *n = c->server->conf.numbers;
	uint8_t cause;
	enum err e = who_read(tx, c);

	if (e || !allowed(c, &cause))
		return e;
	e = number_resynced(tx, n, c->in.imsi, &c->resynced);
	if (e == ERR_EXPIRED) /* another one was saved since: who_read has its offset */
		return OK;
	c->who.offset = c->resynced.offset;
	c->who.since = c->resynced.since;
	return e ? e : tx_audit(tx, "vectors", ABOUT({ n->kind, c->in.imsi }, { "equipment", c->equipment }),
		"resynchronised the sequence number of %s, asked by network %s", c->in.imsi, c->plmn);
}

static void offset_written(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	uint8_t cause;

	if (e || !allowed(c, &cause))
		refuse(c, e ? CAUSE_NETWORK_FAILURE : cause);
	else
		give(c);
}

static void resync(struct vectors_call *c)
{
	enum err e = auc_resync(c->server->auc, &c->who, c->in.rand, c->in.auts, clock_now(), &c->resynced);

	log_hop(LOG_INFO, "vectors", "id=%s peer=%s act=resync result=%s", c->in.imsi, c->plmn, err_name(e));
	if (e)
		refuse(c, e == ERR_LIMIT ? CAUSE_CONGESTION : CAUSE_ILLEGAL_MS);
	else
		store_run(c->process->store, offset_write, c, offset_written);
}

static void auth_info(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	uint8_t cause;
	int n = allowed(c, &cause);

	if (e || !n)
		refuse(c, e ? CAUSE_NETWORK_FAILURE : cause);
	else if (c->in.has_auts)
		resync(c);
	else
		give(c);
}

/* The budget of a network, by the certificate's PLMN: those that may connect stand in peers/, so the table is never full. */
static struct budget *budget_of(struct auc_server *s, const char *plmn)
{
	for (struct budget *b = s->budget; b < s->budget + PEERS; b++) {
		if (!*b->plmn)
			snprintf(b->plmn, sizeof(b->plmn), "%s", plmn);
		if (!strcmp(b->plmn, plmn))
			return b;
	}
	return s->budget + PEERS - 1;
}

/* Floods (33.102 C.2, anchors B3): a second's worth at once, then as fast as the rate. */
static int within_budget(struct vectors_call *c)
{
	const struct auc_serve *conf = &c->server->conf;
	struct budget *b = budget_of(c->server, c->plmn);
	int64_t now = clock_mono_us();

	if (c->in.has_auts && !auc_bucket(&b->resyncs, now, 1000000 / conf->resyncs, 1000000))
		return 0;
	return auc_bucket(&b->vectors, now, 1000000 / conf->rate, 1000000);
}

/* From memory; 1: it was there. */
static int remembered(struct vectors_call *c)
{
	const struct subscriber *s = auc_cache_find(c->server->cache, c->in.imsi);

	if (!s)
		return 0;
	snprintf(c->state, sizeof(c->state), "%s", s->state->name);
	memcpy(c->equipment, s->equipment, sizeof(c->equipment));
	c->who.k = s->k;
	c->who.opc = s->opc;
	c->who.offset = s->offset;
	c->who.since = s->since;
	return 1;
}

static void who_known(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	struct subscriber s = { number_state(c->server->conf.numbers, c->state), "", c->who.k, c->who.opc, c->who.offset, c->who.since };

	memcpy(s.equipment, c->equipment, sizeof(s.equipment));
	if (!e && !c->found && s.state && s.state->vectors)
		auc_cache_keep(c->server->cache, c->in.imsi, &s, c->seen);
	secret_wipe(&s, sizeof(s));
	auth_info(c, e);
}

static void vectors_asked(struct vectors_call *c)
{
	if (!within_budget(c))
		refuse(c, CAUSE_CONGESTION);
	else if (remembered(c))
		auth_info(c, OK);
	else
		store_run(c->process->store, who_read, c, who_known);
}

/* --- UpdateLocation, Purge: where a number is attached --- */

static enum err location_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;
	const struct numbers *n = c->server->conf.numbers;
	uint8_t cause;
	enum err e = who_read(tx, c);

	if (e || !allowed(c, &cause))
		return e;
	e = tx_do(tx, n->sql.location, WITH(B_TEXT("visited", c->plmn), B_INT("now", clock_now()), B_TEXT("id", c->in.imsi)));
	if (*c->visited && strcmp(c->visited, c->plmn)) /* it moved: the network where it was lets go */
		tx_mark(tx, MARK_OWED);
	if (!e && number_may(n, c->state, "location"))
		return number_event(tx, n, c->in.imsi, EVENT("location", c->plmn), NULL, tx_why(tx));
	return e ? e : tx_audit(tx, "attach", ABOUT({ n->kind, c->in.imsi }, { "equipment", c->equipment }), "%s attached in network %s", c->in.imsi, c->plmn);
}

static void location_written(void *arg, enum err e)
{
	struct vectors_call *c = arg;
	struct gsup isd = { .type = GSUP_ISD_REQ, .pdp_complete = 1, .pdps = 1 };
	uint8_t cause;

	if (e || !allowed(c, &cause)) {
		refuse(c, e ? CAUSE_NETWORK_FAILURE : cause);
		return;
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
	const struct numbers *n = c->server->conf.numbers;
	enum err e = tx_do(tx, n->sql.detached, WITH(B_TEXT("id", c->in.imsi), B_TEXT("plmn", c->plmn)));

	if (!e && tx_changes(tx))
		e = tx_audit(tx, "attach", ABOUT({ n->kind, c->in.imsi }), "%s detached from network %s", c->in.imsi, c->plmn);
	return e ? e : number_let_go(tx, n, c->in.imsi, c->plmn);
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

/* --- LocationCancel (auc/cancel.h) --- */

/* The mark, and what a network still owes an answer to: its link may have been down, or what is behind it. */
static void renew_timer(void *arg)
{
	struct auc_server *s = arg;

	auc_serve_renew(s);
	cancels_pay(&s->cancels);
}

static void committed(void *arg)
{
	struct auc_server *s = arg;

	auc_cache_refresh(s->cache);
	if (store_take_mark(s->conf.process->store, MARK_OWED))
		cancels_pay(&s->cancels);
}

static enum err cancelled_write(struct tx *tx, void *arg)
{
	struct vectors_call *c = arg;

	return number_let_go(tx, c->server->conf.numbers, c->in.imsi, c->plmn);
}

static void cancelled(void *arg, enum err e)
{
	struct vectors_call *c = arg;

	log_hop(LOG_INFO, "vectors", "id=%s peer=%s act=cancelled result=%s", c->in.imsi, c->plmn, err_name(e));
	call_end(c);
}

/* --- the link --- */

static void run(struct vectors_call *c, tx_fn fn, store_done done)
{
	store_run(c->process->store, fn, c, done);
}

/* Each is a durable write and an entry of the audit: as many as vectors. */
static void place_asked(struct vectors_call *c, tx_fn fn, store_done done)
{
	if (auc_bucket(&budget_of(c->server, c->plmn)->places, clock_mono_us(), 1000000 / c->server->conf.rate, 1000000))
		run(c, fn, done);
	else
		refuse(c, CAUSE_CONGESTION);
}

static void location_asked(struct vectors_call *c) { place_asked(c, location_write, location_written); }
static void purge_asked(struct vectors_call *c) { place_asked(c, purge_write, purge_written); }
static void cancel_answered(struct vectors_call *c) { run(c, cancelled_write, cancelled); }

static const struct {
	uint8_t type;
	void (*came)(struct vectors_call *c);
} heard[] = {
	{ GSUP_SAI_REQ, vectors_asked }, { GSUP_UL_REQ, location_asked }, { GSUP_PURGE_REQ, purge_asked }, { GSUP_ISD_RES, profile_taken },
	{ GSUP_ISD_ERR, profile_taken }, { GSUP_CANCEL_RES, cancel_answered }, { GSUP_CANCEL_ERR, cancel_answered }, /* it does not know it */
};

static void message(struct gsup_link *l, const struct gsup *m, void *arg)
{
	struct auc_server *s = arg;
	struct vectors_call *c = calloc(1, sizeof(*c));

	if (!c)
		return;
	c->server = s;
	c->process = s->conf.process;
	c->in = *m;
	c->who.id = c->in.imsi;
	snprintf(c->plmn, sizeof(c->plmn), "%s", gsup_party(l)->id);
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++)
		if (heard[i].type == m->type) {
			heard[i].came(c);
			return;
		}
	if (gsup_is_request(m->type))
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
	struct kept kept = { .process = p };
	int64_t mark = 0;
	enum err e = s ? store_run_now(p->store, kept_read, &kept) : ERR_NOMEM;

	*out = s;
	if (!e) {
		s->conf = *conf;
		e = auc_open(kept.mark, &kept.key, &s->auc);
	}
	if (!e)
		e = auc_cache_open(conf->numbers->changes, &s->cache);
	secret_wipe(&kept, sizeof(kept));
	mark = e ? 0 : auc_wanted(s->auc, clock_now());
	if (!e && mark)
		e = store_run_now(p->store, mark_write, &mark);
	if (e)
		return fail(w, e, "the mark of the sequence numbers cannot be written");
	auc_saved(s->auc, mark);
	s->renew = timer_every(p->loop, RENEW_MS, renew_timer, s);
	store_on_commit(p->store, committed, s);
	e = gsup_listen(p->loop, &(struct gsup_listener){ .name = "gsup", .address = conf->address, .tls = p->tls, .may = may,
		.events = { .message = message }, .arg = s }, &s->gsup, w);
	s->cancels = (struct cancels){ .numbers = conf->numbers, .store = p->store, .gsup = s->gsup };
	return e;
}

void auc_serve_close(struct auc_server *s)
{
	if (!s)
		return;
	timer_stop(s->renew);
	gsup_close(s->gsup);
	auc_close(s->auc);
	auc_cache_close(s->cache);
	free(s);
}

struct auc *auc_serve_auc(struct auc_server *s)
{
	return s->auc;
}
