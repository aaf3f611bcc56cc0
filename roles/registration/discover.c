/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 4 (I4, R7): which DLUSIM service to ask, told only to the PIMSI that AKA authenticates here and that is attached
 * somewhere. A nonce is RAND and AUTN, used once; one is open per PIMSI.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/registration/challenges.h"
#include "roles/registration/registration.h"

enum { ANSWER_S = 300, NOT_ATTACHED_S = 60 };

struct discover_call {
	struct ask *ask;
	struct process *process;
	struct digest d;
	struct auc_identity who;
	char state[16], visited[16], certificate[65];
	int64_t attached_at;
	struct auc_resynced resynced;
	struct discover_answer answer;
	int routed;
	enum err found;
};

static void call_end(struct discover_call *c)
{
	secret_wipe(c, sizeof(*c));
	free(c);
}

/* --- reading --- */

static enum err ocsp_addresses(const char *text, struct addresses *a)
{
	json_t *list = json_loads(text, 0, NULL), *one;
	size_t i;
	enum err e = OK;

	json_array_foreach(list, i, one)
		if (!e && a->n < OCSP_MAX)
			e = text_copy(a->item[a->n++], ADDRESS_MAX, json_string_value(one));
	json_decref(list);
	return e;
}

static enum err route_read(struct tx *tx, struct discover_call *c)
{
	struct discover_answer *a = &c->answer;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT operator, owner, serial, proof, dlusim, dlusim_address, dm_address, ocsp, signer FROM route WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", a->equipment)), &r);

	if (e)
		return e == ERR_MISSING ? OK : e;
	row_copy(r, 0, a->operator, sizeof(a->operator));
	row_copy(r, 1, a->owner, sizeof(a->owner));
	a->serial = row_int(r, 2);
	row_octets(r, 3, a->proof, sizeof(a->proof));
	row_copy(r, 4, a->dlusim, sizeof(a->dlusim));
	row_copy(r, 5, a->dlusim_address, sizeof(a->dlusim_address));
	row_copy(r, 6, a->dm_address, sizeof(a->dm_address));
	row_octets(r, 8, a->signer, sizeof(a->signer));
	c->routed = 1;
	return ocsp_addresses(row_text(r, 7), &a->ocsp);
}

static enum err who_read(struct tx *tx, void *arg)
{
	struct discover_call *c = arg;
	const struct row *r;
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];
	enum err e;

	memset(&c->answer, 0, sizeof(c->answer));
	c->routed = 0;
	c->found = tx_get(tx, "SELECT p.state, p.visited, p.attached_at, p.auc_offset, p.equipment, p.k, p.opc, e.certificate, p.auc_since FROM pimsi p"
		" JOIN equipment e ON e.equipment = p.equipment WHERE p.pimsi = :pimsi", WITH(B_TEXT("pimsi", c->d.username)), &r);
	if (c->found)
		return OK;
	row_copy(r, 0, c->state, sizeof(c->state));
	row_copy(r, 1, c->visited, sizeof(c->visited));
	c->attached_at = row_int(r, 2);
	c->who.offset = row_int(r, 3);
	row_copy(r, 4, c->answer.equipment, sizeof(c->answer.equipment));
	row_octets(r, 5, k, sizeof(k));
	row_octets(r, 6, opc, sizeof(opc));
	row_copy(r, 7, c->certificate, sizeof(c->certificate));
	c->who.since = row_int(r, 8);
	e = kek_unwrap(c->process->kek, k, &c->who.k);
	if (!e)
		e = kek_unwrap(c->process->kek, opc, &c->who.opc);
	if (!e)
		e = hex_read(c->certificate, c->answer.certificate, sizeof(c->answer.certificate));
	return e ? e : route_read(tx, c);
}

/* --- the challenge --- */

static void challenge(struct discover_call *c)
{
	struct registration *r = c->process->own;
	const struct conf *conf = c->process->conf;
	struct open_challenge o = { .next = NULL };
	struct digest d = { .username = "" };
	uint8_t nonce[32];
	char line[DIGEST_LINE];
	struct vector v = { .rand = { 0 } };
	int n = 1;
	enum err e = auc_vectors(auc_serve_auc(r->vectors), &c->who, AUC_DISCOVER, clock_now(), &v, &n);

	memcpy(nonce, v.rand, 16);
	memcpy(nonce + 16, v.autn, 16);
	if (!e)
		e = b64_of(BYTES_OF(nonce), d.nonce, sizeof(d.nonce));
	if (!e)
		e = text_copy(d.realm, sizeof(d.realm), conf->realm);
	if (!e)
		e = digest_password(BYTES_OF(v.res), v.ik, v.ck, o.password);
	if (!e)
		e = text_copy(o.pimsi, sizeof(o.pimsi), c->d.username);
	if (!e)
		e = digest_challenge_write(&d, line, sizeof(line));
	if (!e) {
		memcpy(o.equipment, c->answer.equipment, sizeof(o.equipment));
		snprintf(o.nonce, sizeof(o.nonce), "%s", d.nonce);
		memcpy(o.rand, v.rand, 16);
		challenges_begin(r->challenges, &o);
		ask_add(c->ask, "WWW-Authenticate", line);
		ask_refuse_as(c->ask, 401, ERR_AUTH, "answer the challenge with the PIMSI's AKA");
	} else {
		if (e == ERR_AGAIN)
			auc_serve_renew(r->vectors);
		ask_refuse_as(c->ask, 503, e, "no vector for now: ask again in a minute");
	}
	secret_wipe(&v, sizeof(v));
	secret_wipe(&o, sizeof(o));
	call_end(c);
}

/* --- the answer --- */

static enum err discovered_write(struct tx *tx, void *arg)
{
	struct discover_call *c = arg;
	enum err e = tx_do(tx, "UPDATE route SET discovered = 1 WHERE equipment = :equipment AND serial = :serial", WITH(B_TEXT("equipment", c->answer.equipment),
		B_INT("serial", c->answer.serial)));

	if (!e && !tx_changes(tx))
		return ERR_AGAIN; /* claimed anew meanwhile */
	return e ? e : tx_audit(tx, "discover", ABOUT({ "pimsi", c->d.username }, { "equipment", c->answer.equipment }),
		"told %s to go to DLUSIM service %s of operator %s at %s", c->answer.equipment, c->answer.dlusim, c->answer.operator, c->answer.dlusim_address);
}

static void discovered(void *arg, enum err e)
{
	struct discover_call *c = arg;
	struct registration *r = c->process->own;
	uint8_t *der = NULL;
	size_t n = 0;

	snprintf(c->answer.pimsi, sizeof(c->answer.pimsi), "%.15s", c->d.username);
	c->answer.expiry = clock_now() + ANSWER_S;
	if (!e)
		e = cms_sign(OBJECT_DISCOVER, &c->answer, &r->signer, &der, &n);
	desk_count(c->process->desk, COUNT_DISCOVERED, !e);
	log_hop(LOG_INFO, "discover", "pimsi=%s eq=%s act=answer dlusim=%s result=%s", c->d.username, c->answer.equipment, c->answer.dlusim, err_name(e));
	if (e)
		ask_refuse(c->ask, ERR_UNAVAILABLE, "the answer could not be made; ask again");
	else
		ask_reply(c->ask, 200, "application/cms", BYTES(der, n));
	OPENSSL_free(der);
	call_end(c);
}

static enum err nobody_write(struct tx *tx, void *arg)
{
	struct discover_call *c = arg;

	return tx_audit(tx, "discover", ABOUT({ "pimsi", c->d.username }, { "equipment", c->answer.equipment }),
		"%s asked where to go; nobody has subscribed it: it is its owner's turn", c->answer.equipment);
}

static void nobody_told(void *arg, enum err e)
{
	struct discover_call *c = arg;

	(void)e;
	desk_count(c->process->desk, COUNT_NOT_SUBSCRIBED, 1);
	ask_add(c->ask, "Retry-After", "30");
	ask_refuse_as(c->ask, 404, ERR_MISSING, "nobody has subscribed %s yet: its owner has to claim it with the key on its label", c->answer.equipment);
	call_end(c);
}

/* Authenticated; now: attached, and routed? */
static void authenticated(struct discover_call *c)
{
	if (!*c->visited) {
		if (clock_now() - c->attached_at < NOT_ATTACHED_S) {
			ask_refuse_as(c->ask, 503, ERR_AGAIN, "%s is not attached just now", c->d.username);
		} else {
			ask_refuse(c->ask, ERR_DENIED, "%s is not attached anywhere: attach first", c->d.username);
		}
		call_end(c);
	} else if (!c->routed) {
		store_run(c->process->store, nobody_write, c, nobody_told);
	} else {
		store_run(c->process->store, discovered_write, c, discovered);
	}
}

static int response_right(struct discover_call *c, const struct open_challenge *o)
{
	char right[DIGEST_RESPONSE];

	if (!o || strcmp(o->equipment, c->answer.equipment) || strcmp(o->nonce, c->d.nonce) || strcmp(c->d.uri, "/v1/discover")
		|| strcmp(c->d.realm, ((const struct conf *)c->process->conf)->realm))
		return 0;
	if (digest_response(&c->d, "GET", o->password, right) || strlen(c->d.response) != strlen(right))
		return 0;
	return bytes_same(right, c->d.response, strlen(right));
}

static enum err offset_write(struct tx *tx, void *arg)
{
	struct discover_call *c = arg;
	enum err e = number_resynced(tx, &pimsis, c->d.username, &c->resynced);

	if (e == ERR_EXPIRED) /* another one was saved since, and counts */
		return who_read(tx, c);
	c->who.offset = c->resynced.offset;
	c->who.since = c->resynced.since;
	return e ? e : tx_audit(tx, "discover", ABOUT({ "pimsi", c->d.username }, { "equipment", c->answer.equipment }),
		"resynchronised the sequence number of %s", c->d.username);
}

static void offset_written(void *arg, enum err e)
{
	struct discover_call *c = arg;

	if (e) {
		ask_refuse(c->ask, ERR_UNAVAILABLE, "ask again");
		call_end(c);
	} else {
		challenge(c);
	}
}

/* AUTS only for a nonce that was issued (RFC 3310 3.4). */
static void resync(struct discover_call *c, const struct open_challenge *o)
{
	struct registration *r = c->process->own;
	uint8_t auts[14];
	size_t n = 0;
	enum err e = b64_read(bytes_text(c->d.auts), auts, sizeof(auts), &n);

	if (!e && (n != sizeof(auts) || !o || strcmp(o->nonce, c->d.nonce)))
		e = ERR_AUTH;
	if (!e)
		e = auc_resync(auc_serve_auc(r->vectors), &c->who, o->rand, auts, clock_now(), &c->resynced);
	challenges_end(r->challenges, c->d.username);
	if (!e) {
		store_run(c->process->store, offset_write, c, offset_written);
		return;
	}
	ask_refuse_as(c->ask, 403, ERR_AUTH, "this AUTS does not belong to the challenge");
	call_end(c);
}

static void who_known(void *arg, enum err e)
{
	struct discover_call *c = arg;
	struct registration *r = c->process->own;
	const struct open_challenge *o = challenges_find(r->challenges, c->d.username);
	const struct number_state *s = number_state(&pimsis, c->state);

	if (e || c->found || !s || !s->vectors) {
		ask_refuse_as(c->ask, e ? 503 : 403, ERR_DENIED, "%s is no PIMSI that may ask here", c->d.username);
		call_end(c);
	} else if (*c->d.auts) {
		resync(c, o);
	} else if (!*c->d.nonce) {
		challenge(c);
	} else if (!response_right(c, o)) {
		desk_count(c->process->desk, COUNT_DISCOVER_REFUSED, 1);
		challenge(c);
	} else {
		uint8_t cnonce[16];

		challenges_end(r->challenges, c->d.username); /* used once */
		if (hex_read(c->d.cnonce, cnonce, sizeof(cnonce))) {
			ask_refuse(c->ask, ERR_FORMAT, "cnonce is not the hex form of 16 octets");
			call_end(c);
			return;
		}
		memcpy(c->answer.nonce, cnonce, sizeof(cnonce));
		authenticated(c);
	}
}

void discover_ask(struct ask *a, void *process)
{
	struct discover_call *c = calloc(1, sizeof(*c));
	const char *h = ask_header(a, "Authorization");

	if (!c || !h || digest_read(h, &c->d) || text_digits(c->d.username) < 6 || text_digits(c->d.username) > 15) {
		free(c);
		ask_refuse_as(a, 401, ERR_FORMAT, "give the PIMSI as Authorization: Digest username=..., with empty nonce and response first");
		return;
	}
	c->ask = a;
	c->process = process;
	c->who.id = c->d.username;
	store_run(c->process->store, who_read, c, who_known);
}
