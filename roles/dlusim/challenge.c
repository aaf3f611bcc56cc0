/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 5 begins (I5): an equipment that brings the discover answer of its present subscription gets a challenge, the same while it lives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "proto/cms.h"
#include "roles/dlusim/dlusim.h"

enum { CHALLENGE_S = 300, CHALLENGE_OVER_S = 60 };

static enum err hash_text(struct bytes der, uint8_t hash[32], char text[65])
{
	enum err e = cms_hash(der, hash);

	return e ? e : hex_of(BYTES(hash, 32), text, 65);
}

struct opening {
	struct ask *ask;
	struct process *process;
	struct discover_answer a;
	char registration[ID_MAX], id[65], certificate[65];
	uint8_t hash[32];
	uint8_t *evidence, *der;
	size_t evidence_n, der_n;
	struct why why;
};

static enum err subscribed(struct tx *tx, struct opening *o)
{
	const struct row *r;
	char id[ERRAND_ID];
	struct errand e;
	enum err err = tx_get(tx, "SELECT serial, registration, certificate, owner FROM subscription WHERE equipment = :equipment AND certificate <> ''"
		" ORDER BY serial DESC LIMIT 1", WITH(B_TEXT("equipment", o->a.equipment)), &r);

	if (err)
		return err == ERR_MISSING ? fail(&o->why, ERR_DENIED, "%s is not subscribed here", o->a.equipment) : err;
	if (row_int(r, 0) != o->a.serial || strcmp(row_text(r, 1), o->registration) || strcmp(row_text(r, 2), o->certificate)
		|| strcmp(row_text(r, 3), o->a.owner))
		return fail(&o->why, ERR_DENIED, "the discover answer of %s is not of its present subscription; discover again", o->a.equipment);
	snprintf(id, sizeof(id), "%s/%lld", o->a.equipment, (long long)o->a.serial);
	err = tx_errand_get(tx, "subscribe", id, &e);
	if (!err && strcmp(e.state, "subscribed"))
		err = fail(&o->why, ERR_AGAIN, "the subscription of %s is still %s", o->a.equipment, e.state);
	return err;
}

/* Whoever adds one takes away two that are over: there are never more than were opened in their life, and no walk. */
static enum err challenges_over(struct tx *tx)
{
	return tx_do(tx, "DELETE FROM challenge WHERE discover IN (SELECT discover FROM challenge WHERE expires_at < :then ORDER BY expires_at LIMIT 2)",
		WITH(B_INT("then", clock_now() - CHALLENGE_OVER_S)));
}

static enum err challenge_make(struct tx *tx, struct opening *o)
{
	struct process *p = o->process;
	const struct signer by = { p->sign_cert, p->sign_issuer, p->sign_key };
	struct challenge c = { .expiry = clock_now() + CHALLENGE_S };
	uint8_t md[32];
	char hash[65];
	enum err e = text_copy(c.dlusim, sizeof(c.dlusim), p->id);

	memcpy(c.equipment, o->a.equipment, sizeof(c.equipment));
	memcpy(c.discover, o->hash, sizeof(c.discover));
	if (!e)
		e = secret_random(c.nonce, sizeof(c.nonce));
	OPENSSL_free(o->der);
	o->der = NULL;
	if (!e)
		e = cms_sign(OBJECT_CHALLENGE, &c, &by, &o->der, &o->der_n);
	if (!e)
		e = hash_text(BYTES(o->der, o->der_n), md, hash);
	if (!e)
		e = challenges_over(tx);
	if (!e)
		e = tx_do(tx, "INSERT INTO challenge (discover, equipment, serial, hash, evidence, der, expires_at) VALUES (:discover, :equipment, :serial,"
			" :hash, :evidence, :der, :expires) ON CONFLICT (discover) DO UPDATE SET hash = excluded.hash, der = excluded.der,"
			" expires_at = excluded.expires_at",
			WITH(B_TEXT("discover", o->id), B_TEXT("equipment", o->a.equipment), B_INT("serial", o->a.serial), B_TEXT("hash", hash),
				B_BLOB("evidence", BYTES(o->evidence, o->evidence_n)), B_BLOB("der", BYTES(o->der, o->der_n)), B_INT("expires", c.expiry)));
	return e ? e : tx_audit(tx, "verify", ABOUT({ "equipment", o->a.equipment }, { "pimsi", o->a.pimsi }), "challenged %s, which came with PIMSI %s",
		o->a.equipment, o->a.pimsi);
}

static enum err opening_write(struct tx *tx, void *arg)
{
	struct opening *o = arg;
	const struct row *r;
	enum err e = subscribed(tx, o);

	if (!e)
		e = tx_get(tx, "SELECT der FROM challenge WHERE discover = :discover AND expires_at > :now", WITH(B_TEXT("discover", o->id),
			B_INT("now", clock_now())), &r);
	if (!e) { /* the same discover answer: the same challenge while it lives */
		struct bytes der = row_blob(r, 0);

		OPENSSL_free(o->der);
		o->der = OPENSSL_memdup(der.p, der.n);
		o->der_n = der.n;
		return o->der ? OK : ERR_NOMEM;
	}
	return e == ERR_MISSING ? challenge_make(tx, o) : e;
}

static void opening_done(void *arg, enum err e)
{
	struct opening *o = arg;

	log_hop(e ? LOG_WARN : LOG_INFO, "verify", "eq=%s act=challenge result=%s", o->a.equipment, err_name(e));
	if (e)
		ask_refuse(o->ask, e, "%s", o->why.text[0] ? o->why.text : "no challenge could be made; ask again");
	else
		ask_reply(o->ask, 200, "application/cms", BYTES(o->der, o->der_n));
	OPENSSL_free(o->der);
	free(o->evidence);
	free(o);
}

static enum err opening_check(struct opening *o, struct why *w)
{
	const struct conf *c = o->process->conf;
	struct cms_signed by = { 0 };
	enum err e = cms_open(OBJECT_DISCOVER, BYTES(o->evidence, o->evidence_n), process_expects(o->process, NULL), &o->a, &by, w);

	if (!e)
		e = text_copy(o->registration, sizeof(o->registration), by.party.id);
	cms_signed_free(&by);
	if (!e && (strcmp(o->a.dlusim, o->process->id) || strcmp(o->a.operator, c->operator)))
		e = fail(w, ERR_DENIED, "the discover answer sends %s to DLUSIM %s of operator %s; this is another", o->a.equipment, o->a.dlusim, o->a.operator);
	if (!e && o->a.expiry < clock_now())
		e = fail(w, ERR_EXPIRED, "the discover answer has expired; discover again");
	if (!e)
		e = hash_text(BYTES(o->evidence, o->evidence_n), o->hash, o->id);
	return e ? e : hex_of(BYTES_OF(o->a.certificate), o->certificate, sizeof(o->certificate));
}

void challenge_ask(struct ask *a, struct process *p)
{
	struct opening *o = calloc(1, sizeof(*o));
	struct why w = { "out of memory" };
	enum err e = ERR_NOMEM;

	if (o && (o->evidence = bytes_dup(ask_body(a), &o->evidence_n))) {
		o->ask = a;
		o->process = p;
		e = opening_check(o, &w);
	}
	if (!e) {
		store_run(p->store, opening_write, o, opening_done);
		return;
	}
	ask_refuse(a, e, "%s", w.text);
	if (o)
		free(o->evidence);
	free(o);
}
