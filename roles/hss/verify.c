/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 5 at the HSS (P2, P3, P5): evidence in, sealed package out. It checks everything itself: who routed the equipment, who
 * challenged it, that it answered, and that its certificate was good minutes ago. Only then an IMSI and its key leave, sealed to
 * the key of one use that the answer names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "package/package.h"
#include "roles/hss/hss.h"
#include "trust/trust.h"

enum { DER_MAX = 24 * 1024, CHALLENGE_S = 300, DAY = 86400 };

struct piece {
	uint8_t p[DER_MAX];
	size_t n;
};
struct seal {
	struct ask *ask;
	struct process *process;
	char dlusim[ID_MAX];
	struct piece discover, challenge, answer, ocsp;
	/* read and checked on the loop, against the booking in the transaction */
	struct discover_answer d;
	struct answer a;
	struct cms_signed by, router;
	EVP_PKEY *one_time;
	uint8_t hash[32], one_time_hash[32];
	char id[65], certificate[65];
	/* the result */
	uint8_t *package;
	size_t n;
	char package_id[JOB_MAX];
	int64_t counter, expires;
	struct why why;
};

static void seal_free(struct seal *s)
{
	cms_signed_free(&s->by);
	cms_signed_free(&s->router);
	EVP_PKEY_free(s->one_time);
	OPENSSL_free(s->package);
	free(s);
}

/* --- the evidence --- */

static enum err chain_check(struct seal *s, struct why *w)
{
	const struct process *p = s->process;
	const int64_t now = clock_now();
	const struct hss *h = p->own;
	struct challenge c;
	uint8_t discover[32], challenge[32];
	char signer[65];
	enum err e = cms_open(OBJECT_DISCOVER, BYTES(s->discover.p, s->discover.n), process_expects(p, NULL), &s->d, &s->router, w);

	if (!e)
		e = cms_open(OBJECT_CHALLENGE, BYTES(s->challenge.p, s->challenge.n), process_expects(p, s->dlusim), &c, NULL, w);
	if (!e)
		e = cms_open(OBJECT_ANSWER, BYTES(s->answer.p, s->answer.n), process_expects(p, s->d.equipment), &s->a, &s->by, w);
	if (!e)
		e = cms_hash(BYTES(s->discover.p, s->discover.n), discover);
	if (!e)
		e = cms_hash(BYTES(s->challenge.p, s->challenge.n), challenge);
	if (!e)
		e = cms_hash(BYTES(s->answer.p, s->answer.n), s->hash);
	if (!e)
		e = hex_of(BYTES_OF(s->d.signer), signer, sizeof(signer));
	if (e)
		return e;
	if (strcmp(s->d.operator, p->id) || strcmp(s->d.dlusim, s->dlusim) || strcmp(signer, h->signer_hash))
		return fail(w, ERR_DENIED, "the discover answer of %s is not for us and DLUSIM %s", s->d.equipment, s->dlusim);
	if (!bytes_same(c.discover, discover, 32) || strcmp(c.equipment, s->d.equipment) || !bytes_same(s->a.discover, discover, 32)
		|| !bytes_same(s->a.challenge, challenge, 32) || s->a.serial != s->d.serial || strcmp(s->a.pimsi, s->d.pimsi))
		return fail(w, ERR_DENIED, "discover answer, challenge and answer of %s do not belong together", s->d.equipment);
	/* Whoever keeps an answer could have its certificate called good again later: its own time counts too. The challenge's end is the asking
	 * DLUSIM's word; the discover answer's, and a challenge's life after it, is the registration operator's. */
	if (c.expiry < now || s->d.expiry < now - CHALLENGE_S)
		return fail(w, ERR_EXPIRED, "the evidence of %s is too old; it must prove itself again", s->d.equipment);
	if (!bytes_same(s->a.certificate, s->by.hash, 32) || !bytes_same(s->d.certificate, s->by.hash, 32))
		return fail(w, ERR_DENIED, "%s answered with another certificate than the one bound to it", s->d.equipment);
	return OK;
}

/* Good, and said so minutes ago: ocsp_answer_check holds producedAt against our clock. */
static enum err fresh_check(struct seal *s, struct why *w)
{
	const struct ocsp_question q = { &s->by.cert, 1, s->by.issuer, s->hash };
	int64_t produced = 0;

	return trust_verdict(BYTES(s->ocsp.p, s->ocsp.n), q, (struct cert_time){ clock_now(), 0 }, &produced, w);
}

static enum err key_read(struct seal *s, struct why *w)
{
	if (package_key_read(BYTES(s->a.one_time.p, s->a.one_time.n), &s->one_time)
		|| EVP_Digest(s->a.one_time.p, s->a.one_time.n, s->one_time_hash, NULL, EVP_sha256(), NULL) != 1)
		return fail(w, ERR_FORMAT, "the key of one use of %s is not P-256", s->d.equipment);
	return OK;
}

/* --- the package --- */

static enum err repeated(struct tx *tx, struct seal *s)
{
	const struct row *r;
	struct bytes der;
	enum err e = tx_get(tx, "SELECT package_id, counter, der, expires_at FROM sealed WHERE answer = :answer", WITH(B_TEXT("answer", s->id)), &r);

	if (e)
		return e;
	row_copy(r, 0, s->package_id, sizeof(s->package_id));
	s->counter = row_int(r, 1);
	der = row_blob(r, 2);
	s->expires = row_int(r, 3);
	OPENSSL_free(s->package);
	s->package = OPENSSL_memdup(der.p, der.n);
	s->n = der.n;
	return s->package ? OK : ERR_NOMEM;
}

/* The booking decides: this registration operator, this certificate, this DLUSIM, this claim. */
static enum err booking_check(struct tx *tx, struct seal *s, char imsi[DIGITS_MAX])
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT imsi, registration, certificate, serial, dlusim FROM booking WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", s->d.equipment)), &r);

	if (e)
		return e == ERR_MISSING ? fail(&s->why, ERR_DENIED, "%s is not booked here", s->d.equipment) : e;
	row_copy(r, 0, imsi, DIGITS_MAX);
	if (strcmp(row_text(r, 1), s->router.party.id) || strcmp(row_text(r, 2), s->certificate) || row_int(r, 3) != s->d.serial
		|| strcmp(row_text(r, 4), s->dlusim))
		return fail(&s->why, ERR_DENIED, "the evidence of %s is not of its present booking", s->d.equipment);
	return OK;
}

static enum err keys_get(struct tx *tx, const char *imsi, struct minimal *m)
{
	const struct process *p = store_owner(tx);
	uint8_t k[SECRET_WRAPPED], opc[SECRET_WRAPPED];
	const struct row *r;
	enum err e = tx_get(tx, "SELECT k, opc FROM imsi WHERE imsi = :imsi", WITH(B_TEXT("imsi", imsi)), &r);

	if (e)
		return e;
	row_octets(r, 0, k, sizeof(k));
	row_octets(r, 1, opc, sizeof(opc));
	e = kek_unwrap(p->kek, k, &m->k);
	return e ? e : kek_unwrap(p->kek, opc, &m->opc);
}

/* ICCID (ITU-T E.118): 89, the country's and operator's digits, how often the IMSI was given before, its last nine, the Luhn digit. */
static void iccid_make(const char *imsi, int64_t life, char dst[24])
{
	int sum = 0, n = snprintf(dst, 24, "89%.5s%03d%s", imsi, (int)((life - 1) % 1000), imsi + strlen(imsi) - 9);

	for (int i = n - 1, twice = 1; i >= 0; i--, twice = !twice) {
		int d = (dst[i] - '0') << twice;

		sum += d > 9 ? d - 9 : d;
	}
	dst[n] = (char)('0' + (10 - sum % 10) % 10);
	dst[n + 1] = 0;
}

static enum err plmns_copy(const struct conf_list *from, struct plmns *to)
{
	to->n = from->n;
	if (from->n)
		memcpy(to->item, from->item, from->n * PLMN_TEXT);
	return OK;
}

static enum err profile_seal(struct tx *tx, struct seal *s, const char *imsi, int64_t life, struct profile *p)
{
	struct hss *h = s->process->own;
	const struct conf *c = s->process->conf;
	uint8_t *signed_der = NULL;
	size_t len = 0;
	enum err e = keys_get(tx, imsi, &p->minimal);

	if (!e)
		e = text_copy(p->operator, sizeof(p->operator), s->process->id);
	memcpy(p->equipment, s->d.equipment, sizeof(p->equipment));
	memcpy(p->certificate, s->by.hash, 32);
	memcpy(p->one_time, s->one_time_hash, 32);
	memcpy(p->answer, s->hash, 32);
	memcpy(p->package, s->package_id, sizeof(p->package));
	p->counter = s->counter;
	p->expiry = s->expires;
	snprintf(p->minimal.imsi, sizeof(p->minimal.imsi), "%s", imsi);
	iccid_make(imsi, life, p->minimal.iccid);
	p->minimal.algorithm = 1;
	p->minimal.home.n = 1;
	if (!e)
		e = text_copy(p->minimal.home.item[0], PLMN_TEXT, s->process->id);
	if (!e)
		e = plmns_copy(&c->selector, &p->minimal.selector);
	if (!e)
		e = plmns_copy(&c->forbidden, &p->minimal.forbidden);
	if (!e)
		e = cms_sign(OBJECT_PROFILE, p, &h->signer, &signed_der, &len);
	if (!e)
		e = package_seal(BYTES(signed_der, len), s->one_time, &s->package, &s->n);
	OPENSSL_clear_free(signed_der, len);
	return e;
}

static enum err next_counter(struct tx *tx, struct seal *s)
{
	const struct row *r;
	uint8_t random[8];
	int64_t last;
	enum err e = tx_get(tx, "SELECT COALESCE(MAX(counter), 0) FROM sealed WHERE equipment = :equipment", WITH(B_TEXT("equipment", s->d.equipment)), &r);

	if (e)
		return e;
	last = row_int(r, 0);
	s->counter = 1 + (last > s->a.counter ? last : s->a.counter);
	e = secret_random(random, sizeof(random));
	return e ? e : hex_of(BYTES_OF(random), s->package_id, sizeof(s->package_id));
}

/* Whoever proves itself again and again has no more of our keys' work, and of our disk, than that. */
static enum err one_more(struct tx *tx, struct seal *s)
{
	const struct conf *c = s->process->conf;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT COUNT(*) FROM sealed WHERE equipment = :equipment AND sealed_at > :since",
		WITH(B_TEXT("equipment", s->d.equipment), B_INT("since", clock_now() - DAY)), &r);

	return !e && row_int(r, 0) >= c->packages_a_day ? fail(&s->why, ERR_DENIED, "%s has had %lld packages within a day: it is too early for another;"
		" `packages_a_day` says how many", s->d.equipment, (long long)row_int(r, 0)) : e;
}

/* What was replaced by a package that is itself over: no DLUSIM service brings its receipt any more (doc/retention.md). */
static enum err replaced_go(struct tx *tx, const struct seal *s)
{
	return tx_do(tx, "DELETE FROM sealed WHERE equipment = :equipment AND counter <"
		" (SELECT MAX(counter) FROM sealed WHERE equipment = :equipment AND expires_at < :then)",
		WITH(B_TEXT("equipment", s->d.equipment), B_INT("then", clock_now() - DAY)));
}

/* The IMSI moves first: what may not be released is never sealed. */
static enum err package_make(struct tx *tx, struct seal *s, const char *imsi, struct number *x)
{
	struct profile *p = calloc(1, sizeof(*p));
	char what[JOB_MAX + 40];
	enum err e;

	snprintf(what, sizeof(what), "package %s, counter %lld", s->package_id, (long long)s->counter);
	e = p ? number_event(tx, &imsis, imsi, EVENT_ABOUT("seal", what, { "package", s->package_id }), x, &s->why) : ERR_NOMEM;
	if (!e)
		e = profile_seal(tx, s, imsi, x->life, p);
	if (p)
		secret_wipe(p, sizeof(*p));
	free(p);
	return e;
}

static enum err seal_write(struct tx *tx, void *arg)
{
	struct seal *s = arg;
	const struct conf *c = s->process->conf;
	char imsi[DIGITS_MAX];
	struct number x;
	enum err e = repeated(tx, s);

	if (e != ERR_MISSING)
		return e;
	e = booking_check(tx, s, imsi);
	if (!e)
		e = one_more(tx, s);
	if (!e)
		e = replaced_go(tx, s);
	if (!e)
		e = next_counter(tx, s);
	s->expires = clock_now() + c->package_life;
	if (!e)
		e = package_make(tx, s, imsi, &x);
	if (!e)
		e = tx_do(tx, "INSERT INTO sealed (answer, equipment, imsi, life, package_id, counter, der, sealed_at, expires_at) VALUES (:answer, :equipment,"
			" :imsi, :life, :id, :counter, :der, :now, :expires)",
			WITH(B_TEXT("answer", s->id), B_TEXT("equipment", s->d.equipment), B_TEXT("imsi", imsi), B_INT("life", x.life), B_TEXT("id", s->package_id),
				B_INT("counter", s->counter), B_BLOB("der", BYTES(s->package, s->n)), B_INT("now", clock_now()), B_INT("expires", s->expires)));
	return e ? e : number_later(tx, "expire", imsi, s->expires);
}

static void seal_done(void *arg, enum err e)
{
	struct seal *s = arg;
	struct hss *h = s->process->own;

	desk_count(s->process->desk, e ? COUNT_SEALS_REFUSED : COUNT_SEALED, 1);
	log_hop(e ? LOG_WARN : LOG_INFO, "verify", "eq=%s act=seal peer=%s result=%s", s->d.equipment, s->dlusim, err_name(e));
	if (e)
		ask_refuse(s->ask, e, "%s", s->why.text[0] ? s->why.text : "the package could not be sealed; send the evidence again");
	else
		ask_reply_json(s->ask, 200, json_pack("{s:o?, s:s, s:I, s:s, s:I}", "package", json_b64(BYTES(s->package, s->n)), "id", s->package_id,
			"counter", (json_int_t)s->counter, "signer", h->signer_hash, "expires_at", (json_int_t)s->expires));
	seal_free(s);
}

void verify_seal(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct seal *s = o ? calloc(1, sizeof(*s)) : NULL;
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return;
	e = s ? json_get_b64(o, "discover", s->discover.p, DER_MAX, &s->discover.n, &w) : ERR_NOMEM;
	if (!e)
		e = json_get_b64(o, "challenge", s->challenge.p, DER_MAX, &s->challenge.n, &w);
	if (!e)
		e = json_get_b64(o, "answer", s->answer.p, DER_MAX, &s->answer.n, &w);
	if (!e)
		e = json_get_b64(o, "ocsp", s->ocsp.p, DER_MAX, &s->ocsp.n, &w);
	json_decref(o);
	if (!e) {
		s->ask = a;
		s->process = process;
		snprintf(s->dlusim, sizeof(s->dlusim), "%s", ask_peer(a)->id);
		e = chain_check(s, &w);
	}
	if (!e)
		e = fresh_check(s, &w);
	if (!e)
		e = key_read(s, &w);
	if (!e)
		e = hex_of(BYTES_OF(s->hash), s->id, sizeof(s->id));
	if (!e)
		e = hex_of(BYTES_OF(s->by.hash), s->certificate, sizeof(s->certificate));
	if (!e) {
		store_run(s->process->store, seal_write, s, seal_done);
		return;
	}
	desk_count(((struct process *)process)->desk, COUNT_SEALS_REFUSED, 1);
	ask_refuse_as(a, e == ERR_NOMEM ? 503 : 403, e, "%s", w.text); /* not of the evidence: it is sent again */
	if (s)
		seal_free(s);
}
