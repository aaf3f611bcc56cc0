/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 1: a home operator's DLUSIM service claims an equipment for an owner; the claim key's proof decides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/registration/registration.h"

struct claim {
	struct ask *ask;
	struct process *process;
	char dlusim[ID_MAX], equipment[EQUIPMENT_MAX], operator[PLMN_TEXT], owner[OWNER_MAX], dlusim_address[ADDRESS_MAX],
		dm_address[ADDRESS_MAX], ocsp[OCSP_MAX * ADDRESS_MAX];
	uint8_t proof[32], signer[32];
	int64_t serial;
	char certificate[65], had[PLMN_TEXT]; /* had: the operator it is routed to so far, "" if none */
	struct of_equipment mine;
	json_t *pimsis;
	struct why why;
};

static enum err proof_check(const struct process *p, const uint8_t wrapped[SECRET_WRAPPED], struct claim *c)
{
	const struct claimed said = { .operator = c->operator, .dlusim = c->dlusim, .equipment = c->equipment, .owner = c->owner, .serial = c->serial };
	struct secret key;
	uint8_t right[32];
	enum err e = kek_unwrap(p->kek, wrapped, &key);

	if (!e)
		e = object_claim_proof(&key, &said, right);
	secret_wipe(&key, sizeof(key));
	if (!e && !bytes_same(right, c->proof, sizeof(right)))
		e = fail(&c->why, ERR_AUTH, "the claim proof for %s is wrong: it must be made with the claim key on its label, for operator %s,"
			" DLUSIM %s, owner %s and serial %lld", c->equipment, c->operator, c->dlusim, c->owner, (long long)c->serial);
	return e;
}

/* 1: this very claim holds already. A higher serial replaces, a lower or a different one of the same serial is refused. */
static enum err against_route(struct tx *tx, struct claim *c, int *same)
{
	const struct row *r;
	uint8_t proof[32];
	enum err e = tx_get(tx, "SELECT serial, proof, dlusim_address, dm_address, ocsp, operator FROM route WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", c->equipment)), &r);

	*same = 0;
	c->had[0] = 0;
	if (e)
		return e == ERR_MISSING ? OK : e;
	row_octets(r, 1, proof, sizeof(proof));
	row_copy(r, 5, c->had, sizeof(c->had));
	if (row_int(r, 0) > c->serial)
		return fail(&c->why, ERR_CONFLICT, "%s is claimed with serial %lld; claim again with a higher one", c->equipment, (long long)row_int(r, 0));
	if (row_int(r, 0) < c->serial)
		return OK;
	if (!bytes_same(proof, c->proof, sizeof(proof)))
		return fail(&c->why, ERR_CONFLICT, "%s is claimed with serial %lld for somebody else; claim again with a higher one", c->equipment,
			(long long)c->serial);
	*same = !strcmp(row_text(r, 2), c->dlusim_address) && !strcmp(row_text(r, 3), c->dm_address) && !strcmp(row_text(r, 4), c->ocsp);
	return OK;
}

static enum err route_write(struct tx *tx, struct claim *c)
{
	enum err e = tx_do(tx, "INSERT INTO route (equipment, operator, owner, serial, proof, dlusim, dlusim_address, dm_address, ocsp, signer,"
		" booked_at) VALUES (:equipment, :operator, :owner, :serial, :proof, :dlusim, :dlusim_address, :dm_address, :ocsp, :signer, :now)"
		" ON CONFLICT (equipment) DO UPDATE SET operator = excluded.operator, owner = excluded.owner, serial = excluded.serial,"
		" proof = excluded.proof, dlusim = excluded.dlusim, dlusim_address = excluded.dlusim_address, dm_address = excluded.dm_address,"
		" ocsp = excluded.ocsp, signer = excluded.signer, booked_at = excluded.booked_at, discovered = 0",
		WITH(B_TEXT("equipment", c->equipment), B_TEXT("operator", c->operator), B_TEXT("owner", c->owner), B_INT("serial", c->serial),
			B_BLOB("proof", BYTES_OF(c->proof)), B_TEXT("dlusim", c->dlusim), B_TEXT("dlusim_address", c->dlusim_address),
			B_TEXT("dm_address", c->dm_address), B_TEXT("ocsp", c->ocsp), B_BLOB("signer", BYTES_OF(c->signer)), B_INT("now", clock_now())));

	for (int i = 0; i < c->mine.n && !e; i++)
		if (!strcmp(c->mine.state[i], "bound") || (!strcmp(c->mine.state[i], "used") && *c->had && strcmp(c->had, c->operator)))
			e = number_event(tx, &pimsis, c->mine.pimsi[i], EVENT("claim", c->operator), NULL, &c->why);
	return e ? e : tx_audit(tx, "subscribe", ABOUT({ "equipment", c->equipment }, { "owner", c->owner }),
		"owner %s chose operator %s; %s goes to DLUSIM service %s (claim serial %lld)", c->owner, c->operator, c->equipment, c->dlusim,
		(long long)c->serial);
}

/* The way to another operator begins with a PIMSI: without a live one the claim would burn an IMSI that nobody can fetch. */
static enum err can_come_home(struct tx *tx, struct claim *c)
{
	enum err e = pool_of(tx, c->equipment, &c->mine);

	if (e || !strcmp(c->had, c->operator))
		return e;
	for (int i = 0; i < c->mine.n; i++)
		if (number_state(&pimsis, c->mine.state[i]) && number_state(&pimsis, c->mine.state[i])->vectors)
			return OK;
	return fail(&c->why, ERR_ORDER,
		"%s cannot come to operator %s: %s %s", c->equipment, c->operator, c->mine.n ? "its PIMSI is" : "its PIMSI has been given to another",
		c->mine.n ? c->mine.state[0] : "equipment");
}

static enum err pimsi_row(const struct row *r, void *arg)
{
	return json_array_append_new(arg, json_string(row_text(r, 0))) ? ERR_NOMEM : OK;
}

static enum err claim_write(struct tx *tx, void *arg)
{
	struct claim *c = arg;
	const struct row *r;
	uint8_t wrapped[SECRET_WRAPPED];
	int same = 0;
	enum err e = tx_get(tx, "SELECT certificate, claim_key FROM equipment WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", c->equipment)), &r);

	if (e)
		return e == ERR_MISSING ? fail(&c->why, e, "no equipment %s is bound here; is %s the operator on its label?", c->equipment,
			c->process->id) : e;
	row_copy(r, 0, c->certificate, sizeof(c->certificate));
	row_octets(r, 1, wrapped, sizeof(wrapped));
	e = proof_check(c->process, wrapped, c);
	if (!e)
		e = against_route(tx, c, &same);
	if (!e && !same)
		e = can_come_home(tx, c);
	if (!e && !same)
		e = route_write(tx, c);
	json_decref(c->pimsis);
	c->pimsis = json_array();
	return e ? e : tx_each(tx, "SELECT pimsi FROM pimsi WHERE equipment = :equipment AND state IN ('routed', 'used') ORDER BY pimsi",
		WITH(B_TEXT("equipment", c->equipment)), pimsi_row, c->pimsis);
}

static void claim_done(void *arg, enum err e)
{
	struct claim *c = arg;

	desk_count(c->process->desk, e ? COUNT_CLAIMS_REFUSED : COUNT_CLAIMED, 1);
	log_hop(e ? LOG_WARN : LOG_INFO, "subscribe", "eq=%s act=claim peer=%s owner=%s result=%s", c->equipment, c->dlusim, c->owner, err_name(e));
	if (e)
		ask_refuse(c->ask, e, "%s", c->why.text[0] ? c->why.text : "the claim was not taken; send it again");
	else
		ask_reply_json(c->ask, 200, json_pack("{s:s, s:s, s:O}", "equipment", c->equipment, "certificate", c->certificate, "pimsis", c->pimsis));
	json_decref(c->pimsis);
	free(c);
}

/* The addresses are written into what the equipment will follow: each must be host:port. */
static enum err addresses_read(json_t *o, struct claim *c, struct why *w)
{
	json_t *list = json_object_get(o, "ocsp"), *one;
	char host[256], *text;
	uint16_t port;
	size_t i;
	enum err e = json_get_text(o, "dlusim_address", c->dlusim_address, sizeof(c->dlusim_address), w);

	if (!e)
		e = conf_address(c->dlusim_address, host, sizeof(host), &port, w);
	if (!e)
		e = json_get_text(o, "dm_address", c->dm_address, sizeof(c->dm_address), w);
	if (!e)
		e = conf_address(c->dm_address, host, sizeof(host), &port, w);
	if (!e && (!json_array_size(list) || json_array_size(list) > OCSP_MAX))
		e = fail(w, ERR_RANGE, "field `ocsp` holds 1 to %d addresses", OCSP_MAX);
	json_array_foreach(list, i, one)
		if (!e)
			e = json_is_string(one) && json_string_length(one) < ADDRESS_MAX ? conf_address(json_string_value(one), host, sizeof(host), &port, w)
				: fail(w, ERR_FORMAT, "field `ocsp` holds addresses");
	text = e ? NULL : json_dumps(list, JSON_COMPACT);
	if (!e)
		e = text ? text_copy(c->ocsp, sizeof(c->ocsp), text) : ERR_NOMEM;
	free(text);
	return e;
}

void subscribe_claim(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct claim *c = o ? calloc(1, sizeof(*c)) : NULL;
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return;
	e = c ? json_get_text(o, "equipment", c->equipment, sizeof(c->equipment), &w) : ERR_NOMEM;
	if (!e)
		e = json_get_text(o, "operator", c->operator, sizeof(c->operator), &w);
	if (!e)
		e = json_get_text(o, "owner", c->owner, sizeof(c->owner), &w);
	if (!e)
		e = json_get_number(o, "serial", 0, INT64_MAX / 2, &c->serial, &w);
	if (!e)
		e = json_get_hex(o, "proof", c->proof, sizeof(c->proof), &w);
	if (!e)
		e = json_get_hex(o, "signer", c->signer, sizeof(c->signer), &w);
	if (!e)
		e = addresses_read(o, c, &w);
	json_decref(o);
	if (e) {
		free(c);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	c->ask = a;
	c->process = process;
	snprintf(c->dlusim, sizeof(c->dlusim), "%s", ask_peer(a)->id);
	store_run(c->process->store, claim_write, c, claim_done);
}
