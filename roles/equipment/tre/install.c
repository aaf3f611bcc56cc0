/* SPDX-License-Identifier: Apache-2.0 */
/* Steps 6 and 7 in the tre (I7, P3): what a package must be before its USIM is installed. */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "package/package.h"
#include "roles/equipment/tre/tre.h"
#include "trust/trust.h"

enum { GOOD_S = 300 }; /* as long as an answer is fresh (ocsp_answer_check): those of several CAs must be so together */

static const char *const roles[BY_COUNT] = { [BY_PACKAGE] = "hss", [BY_DLUSIM] = "dlusim", [BY_REGISTRATION] = "registration" };

static enum err unpack(struct tre *t, struct bytes der, struct profile *p, struct cms_signed *by, struct why *w)
{
	const uint8_t *at = t->state.one_time.p;
	EVP_PKEY *key = t->state.one_time.n ? d2i_AutoPrivateKey(NULL, &at, (long)t->state.one_time.n) : NULL;
	uint8_t *content = NULL, one_time[32], signer[32];
	size_t n = 0;
	enum err e = key ? package_open(der, key, &content, &n, w) : fail(w, ERR_ORDER, "no answer was given: there is no key for a package");

	if (!e)
		e = cms_open(OBJECT_PROFILE, BYTES(content, n), time_expects(t, t->route->operator), p, by, w);
	OPENSSL_clear_free(content, n);
	if (!e)
		e = cert_key_hash(key, one_time);
	EVP_PKEY_free(key);
	if (!e)
		e = cert_key_hash(X509_get0_pubkey(by->cert), signer);
	if (!e && !bytes_same(signer, t->route->signer, 32))
		e = fail(w, ERR_AUTH, "the package is signed by %s, but not by the key that our route names", by->party.id);
	if (!e && (strcmp(p->operator, by->party.id) || strcmp(p->equipment, t->state.equipment) || !bytes_same(p->one_time, one_time, 32)
		|| !bytes_same(p->answer, t->state.answer, 32)))
		e = fail(w, ERR_DENIED, "the package is not for this equipment and its last answer");
	if (!e && (p->is_tca || p->minimal.algorithm != 1))
		e = fail(w, ERR_UNSUPPORTED, "the profile is of a kind that is not understood here");
	return e;
}

static enum err fields_check(struct tre *t, const struct profile *p, struct why *w)
{
	uint8_t own[32];
	enum err e = tre_certificate_hash(t, own);

	if (!e && !bytes_same(own, p->certificate, 32))
		e = fail(w, ERR_DENIED, "the package names another certificate than ours");
	if (!e && p->expiry < time_now(t).now)
		e = fail(w, ERR_EXPIRED, "package %s has expired", p->package);
	if (!e && p->counter <= t->state.counter)
		e = fail(w, ERR_CONFLICT, "package counter %lld is not above %lld: an old package", (long long)p->counter, (long long)t->state.counter);
	return e;
}

enum err package_read(struct tre *t, struct bytes der, struct profile *p, struct cms_signed *by, struct why *w)
{
	enum err e = unpack(t, der, p, by, w);

	return e ? e : fields_check(t, p, w);
}

void package_forget(struct tre_state *s)
{
	secret_wipe(&s->package, sizeof(s->package));
	secret_wipe(&s->one_time, sizeof(s->one_time)); /* opens nothing any more: forward secrecy */
	secret_wipe(&s->grounds, sizeof(s->grounds));
}

/* Its key of one use is gone since it was installed; it is known by its octets. */
static enum err installed(const struct tre *t, const uint8_t hash[32], struct why *w)
{
	for (int i = 0; i < TRE_USIMS; i++)
		if (t->state.usim[i].state != USIM_EMPTY && bytes_same(t->state.usim[i].sealed, hash, 32))
			return fail(w, ERR_EXISTS, "package %s is installed", t->state.usim[i].package);
	return OK;
}

enum err tre_take_package(struct tre *t, struct bytes der, struct why *w)
{
	struct profile *p = calloc(1, sizeof(*p));
	struct cms_signed by = { 0 };
	struct tre_state *s = NULL;
	uint8_t hash[32];
	enum err e = p ? cms_hash(der, hash) : ERR_NOMEM;

	if (!e)
		e = installed(t, hash, w);
	if (!e)
		e = run_at(t, RUN_TRIGGERED, w);
	if (!e)
		e = package_read(t, der, p, &by, w);
	if (!e && der.n > sizeof(s->package.p))
		e = fail(w, ERR_LIMIT, "the package is larger than a slot");
	if (p)
		secret_wipe(p, sizeof(*p));
	free(p);
	s = e ? NULL : state_copy(t);
	if (s) {
		memcpy(s->package.p, der.p, der.n);
		s->package.n = der.n;
		s->grounds = t->grounds;
	}
	e = state_keep(t, s, e);
	if (e) {
		cms_signed_free(&by);
		return e;
	}
	run_set(t, RUN_TRIGGERED);
	t->by[BY_PACKAGE] = by;
	run_set(t, RUN_PACKED);
	return OK;
}

/* --- OCSP with our own nonce: one question for each CA that issued some of the three signers' certificates --- */

/* Those of one CA, which is known by the first of them; 0: i is not the first of its CA. */
static size_t of_one_ca(const struct tre *t, int i, X509 *certs[BY_COUNT])
{
	size_t n = 0;

	for (int k = 0; k < BY_COUNT; k++)
		if (!X509_cmp(t->by[k].issuer, t->by[i].issuer)) {
			if (k < i)
				return 0;
			certs[n++] = t->by[k].cert;
		}
	return n;
}

/* The CAs that have not spoken, or too long ago: the revocation of one must not hide behind the silence of another. */
static int missing(const struct tre *t, int ca[BY_COUNT])
{
	X509 *certs[BY_COUNT];
	int n = 0;

	for (int i = 0; i < BY_COUNT; i++)
		if (of_one_ca(t, i, certs) && (!t->good[i] || t->good[i] + GOOD_S < time_now(t).now))
			ca[n++] = i;
	return n;
}

enum err tre_ocsp_ask(struct tre *t, unsigned turn, const char **where, uint8_t **der, size_t *len, struct why *w)
{
	X509 *certs[BY_COUNT];
	int ca[BY_COUNT] = { 0 }, n;
	size_t at;
	enum err e = run_at(t, RUN_PACKED, w);

	if (e)
		return e;
	n = missing(t, ca);
	at = (size_t)(n ? ca[turn % (unsigned)n] : 0); /* none: all are good, and the USIM could not be written */
	*where = t->route->ocsp.item[at < t->route->ocsp.n ? at : t->route->ocsp.n - 1];
	return ocsp_ask_write((struct ocsp_question){ certs, of_one_ca(t, (int)at, certs), t->by[at].issuer, t->state.ocsp_nonce }, der, len);
}

/* Answers come in any order: this one is of the CA by whose own OCSP signer it is signed. */
static enum err verdict_of(struct tre *t, struct bytes response, int *ca, int64_t *produced, struct why *w)
{
	X509 *certs[BY_COUNT];
	enum err e = ERR_UNAVAILABLE;

	for (*ca = 0; *ca < BY_COUNT; ++*ca) {
		const struct ocsp_question q = { certs, of_one_ca(t, *ca, certs), t->by[*ca].issuer, t->state.ocsp_nonce };

		if (q.n)
			e = trust_verdict(response, q, time_now(t), produced, w);
		if (q.n && (!e || e == ERR_MISSING || e == ERR_REVOKED))
			return e;
	}
	return ERR_UNAVAILABLE;
}

/* What the answer's time says is kept, even if nothing else comes of it: the floor. */
static enum err floor_keep(struct tre *t, int forget)
{
	struct tre_state *s = state_copy(t);

	if (s) {
		s->floor = time_now(t).now; /* never below the floor that it was judged by */
		if (forget)
			package_forget(s);
	}
	return forget ? state_keep_only(t, s, OK) : state_keep(t, s, OK);
}

/* Now there is a time: everything that we believed without one is judged again (DESIGN 3, Time). */
static enum err judge_again(struct tre *t, struct why *w)
{
	enum err e = time_judge(t, w);

	for (int i = 0; i < BY_COUNT && !e; i++) {
		struct expect x = time_expects(t, t->by[i].party.id);

		x.role = roles[i];
		e = cert_verify_under(t->by[i].cert, t->by[i].issuer, x, w);
	}
	return e;
}

/* A free slot, else one that was never committed, else the one before the active one. */
static struct usim_slot *slot_for(struct tre_state *s)
{
	static const int64_t order[] = { USIM_EMPTY, USIM_INACTIVE, USIM_FORMER };

	for (size_t k = 0; k < sizeof(order) / sizeof(*order); k++)
		for (int i = 0; i < TRE_USIMS; i++)
			if (s->usim[i].state == order[k])
				return s->usim + i;
	return NULL;
}

static enum err usim_fill(struct tre *t, const struct profile *p, struct usim_slot *u)
{
	secret_wipe(u, sizeof(*u));
	memcpy(u->operator, p->operator, sizeof(u->operator));
	memcpy(u->imsi, p->minimal.imsi, sizeof(u->imsi));
	memcpy(u->iccid, p->minimal.iccid, sizeof(u->iccid));
	memcpy(u->package, p->package, sizeof(u->package));
	u->keys = (struct order_keys){ p->minimal.k, p->minimal.opc };
	u->home = p->minimal.home;
	u->selector = p->minimal.selector;
	u->forbidden = p->minimal.forbidden;
	u->counter = p->counter;
	memcpy(u->answer, p->answer, sizeof(u->answer));
	memcpy(u->pimsi, t->route->pimsi, sizeof(u->pimsi));
	memcpy(u->dlusim, t->route->dlusim, sizeof(u->dlusim));
	memcpy(u->dlusim_address, t->route->dlusim_address, sizeof(u->dlusim_address));
	u->state = USIM_INACTIVE;
	return cms_hash(BYTES(t->state.package.p, t->state.package.n), u->sealed);
}

static enum err install(struct tre *t, struct why *w)
{
	struct profile *p = calloc(1, sizeof(*p));
	struct cms_signed by = { 0 };
	struct tre_state *s = NULL;
	struct usim_slot *u = NULL;
	enum err e = p ? package_read(t, BYTES(t->state.package.p, t->state.package.n), p, &by, w) : ERR_NOMEM;

	cms_signed_free(&by);
	if (!e)
		e = (s = state_copy(t)) ? (u = slot_for(s)) ? usim_fill(t, p, u) : ERR_LIMIT : ERR_NOMEM;
	if (!e) {
		s->counter = p->counter;
		package_forget(s);
	}
	if (p)
		secret_wipe(p, sizeof(*p));
	free(p);
	if (s)
		e = state_keep_only(t, s, e);
	if (!e) {
		t->trial = t->trial_good = 0; /* the USIM that was on trial may just have made room */
		run_set(t, RUN_ROUTED);
	}
	return e;
}

/* What will never be installed is not kept. */
static enum err destroy(struct tre *t, enum err e)
{
	enum err kept = floor_keep(t, 1);

	if (kept)
		return kept;
	run_set(t, RUN_ROUTED);
	return e;
}

/* Good, but not all have said so. Only news is a reason to ask on at once. */
static enum err good(struct tre *t, int ca, int64_t produced, struct why *w)
{
	int left[BY_COUNT], before = missing(t, left), n;

	t->good[ca] = produced;
	n = missing(t, left);
	return !n ? OK : fail(w, n < before ? ERR_AGAIN : ERR_UNAVAILABLE, "nothing is known yet of the certificate of %s %s", roles[left[0]],
		t->by[left[0]].party.id);
}

enum err tre_ocsp(struct tre *t, struct bytes response, struct why *w)
{
	struct why whose = { "" };
	int64_t produced = 0;
	int ca = 0;
	enum err e = run_at(t, RUN_PACKED, w), verdict;

	if (e)
		return e;
	verdict = verdict_of(t, response, &ca, &produced, &whose);
	if (verdict == ERR_UNAVAILABLE)
		return fail(w, verdict, "%s", whose.text);
	time_learn(t, produced);
	if (verdict == ERR_REVOKED) {
		e = destroy(t, verdict);
		return e == verdict ? fail(w, e, "%s: the package is destroyed", whose.text) : e;
	}
	e = floor_keep(t, 0);
	if (!e)
		e = judge_again(t, w);
	if (!e && verdict == ERR_MISSING) { /* the attestation provider may learn of it: the package waits */
		t->good[ca] = 0;
		return fail(w, ERR_UNAVAILABLE, "%s", whose.text);
	}
	if (!e)
		e = good(t, ca, produced, w);
	if (!e)
		e = install(t, w);
	return e == ERR_EXPIRED || e == ERR_CONFLICT ? destroy(t, e) : e;
}

/* --- slots --- */

static int newest(const struct tre_state *s, int64_t state)
{
	int best = -1;

	for (int i = 0; i < TRE_USIMS; i++)
		if (s->usim[i].state == state && (best < 0 || s->usim[i].counter > s->usim[best].counter))
			best = i;
	return best;
}

int tre_active(const struct tre *t)
{
	int i = newest(&t->state, USIM_ACTIVE);

	return i < 0 ? -1 : SLOT_USIM + i;
}

/* Never committed, and newer than what is: one that was given up for a newer one is not tried again. */
static int untried(const struct tre_state *s)
{
	int i = newest(s, USIM_INACTIVE), active = newest(s, USIM_ACTIVE);

	return i >= 0 && active >= 0 && s->usim[i].counter < s->usim[active].counter ? -1 : i;
}

int tre_inactive(const struct tre *t)
{
	return untried(&t->state) >= 0;
}

enum err tre_home(const struct tre *t, struct discover_answer *out)
{
	int i = newest(&t->state, USIM_ACTIVE);

	if (i < 0)
		return ERR_MISSING;
	memset(out, 0, sizeof(*out));
	memcpy(out->operator, t->state.usim[i].operator, sizeof(out->operator));
	memcpy(out->dlusim, t->state.usim[i].dlusim, sizeof(out->dlusim));
	memcpy(out->dlusim_address, t->state.usim[i].dlusim_address, sizeof(out->dlusim_address));
	return OK;
}

static enum err receipt_sign(struct tre *t, struct usim_slot *u)
{
	const struct signer by = { t->cert[TRE_ATTEST], t->issuer, t->own[TRE_ATTEST] };
	struct receipt r = { .counter = u->counter };
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e = tre_certificate_hash(t, r.certificate);

	memcpy(r.equipment, t->state.equipment, sizeof(r.equipment));
	memcpy(r.pimsi, u->pimsi, sizeof(r.pimsi));
	memcpy(r.operator, u->operator, sizeof(r.operator));
	memcpy(r.package, u->package, sizeof(r.package));
	memcpy(r.answer, u->answer, sizeof(r.answer));
	if (!e)
		e = cms_sign(OBJECT_RECEIPT, &r, &by, &der, &n);
	if (!e && n > sizeof(u->receipt.p))
		e = ERR_LIMIT;
	if (!e) {
		memcpy(u->receipt.p, der, n);
		u->receipt.n = n;
	}
	OPENSSL_free(der);
	return e;
}

/* The slot becomes the one, durably, and with it the receipt: what is signed is true. */
static enum err commit(struct tre *t, struct why *w)
{
	int i = t->trial - 1;
	struct tre_state *s;
	enum err e;

	if (!t->trial || !t->trial_good)
		return fail(w, ERR_ORDER, "no USIM on trial has authenticated its network");
	s = state_copy(t);
	if (!s)
		return ERR_NOMEM;
	for (int k = 0; k < TRE_USIMS; k++)
		if (s->usim[k].state == USIM_ACTIVE)
			s->usim[k].state = USIM_FORMER;
	s->usim[i].state = USIM_ACTIVE;
	s->usim[i].acknowledged = 0;
	e = state_keep(t, s, receipt_sign(t, s->usim + i));
	if (!e)
		t->trial = t->trial_good = 0;
	return e;
}

static enum err trial(struct tre *t, int *slot, struct why *w)
{
	int i = untried(&t->state);

	if (t->trial)
		return fail(w, ERR_ORDER, "a trial is under way: COMMIT or BACK ends it");
	if (i < 0)
		return fail(w, ERR_ORDER, "no USIM is installed that could be tried");
	t->trial = i + 1;
	t->trial_good = 0;
	*slot = SLOT_USIM + i;
	return OK;
}

enum err tre_slot(struct tre *t, enum tre_slot what, int *slot, struct why *w)
{
	if (what == TRE_TRIAL)
		return trial(t, slot, w);
	if (what == TRE_COMMIT)
		return commit(t, w);
	if (!t->trial)
		return fail(w, ERR_ORDER, "no trial is under way");
	t->trial = t->trial_good = 0;
	return OK;
}

enum err tre_receipt(struct tre *t, uint8_t **der, size_t *n, struct why *w)
{
	int i = newest(&t->state, USIM_ACTIVE);

	if (i < 0 || !t->state.usim[i].receipt.n || t->state.usim[i].acknowledged)
		return fail(w, ERR_ORDER, "there is nothing to sign a receipt for");
	*n = t->state.usim[i].receipt.n;
	*der = OPENSSL_memdup(t->state.usim[i].receipt.p, *n);
	return *der ? OK : ERR_NOMEM;
}

enum err tre_ack(struct tre *t, struct bytes der, struct why *w)
{
	int i = newest(&t->state, USIM_ACTIVE);
	struct acknowledgement *a = calloc(1, sizeof(*a));
	struct tre_state *s;
	uint8_t hash[32];
	enum err e = i >= 0 && t->state.usim[i].receipt.n && a ? OK : fail(w, ERR_ORDER, "no receipt was given");

	if (!e)
		e = cms_open(OBJECT_ACKNOWLEDGEMENT, der, time_expects(t, t->state.usim[i].dlusim), a, NULL, w);
	if (!e)
		e = cms_hash(BYTES(t->state.usim[i].receipt.p, t->state.usim[i].receipt.n), hash);
	if (!e && (strcmp(a->equipment, t->state.equipment) || strcmp(a->dlusim, t->state.usim[i].dlusim) || !bytes_same(a->receipt, hash, 32)))
		e = fail(w, ERR_DENIED, "the acknowledgement is for another receipt");
	free(a);
	if (e || t->state.usim[i].acknowledged)
		return e;
	s = state_copy(t);
	if (s)
		s->usim[i].acknowledged = 1;
	return state_keep(t, s, OK);
}

/* Its place in a list; the list's length: it is not in it. */
static size_t place(const struct plmns *list, const char *plmn)
{
	size_t i = 0;

	while (i < list->n && strcmp(list->item[i], plmn))
		i++;
	return i;
}

/* With a USIM of its own: home, then the selector's order, then whatever else is not forbidden (TS 23.122 4.4.3.1.1). */
static int usim_rank(const struct usim_slot *u, const char *plmn)
{
	size_t i = place(&u->selector, plmn);

	if (place(&u->home, plmn) < u->home.n)
		return 0;
	return place(&u->forbidden, plmn) < u->forbidden.n ? -1 : 1 + (int)i;
}

int tre_rank(const struct tre *t, int slot, const char *plmn)
{
	struct order o;

	if (slot >= SLOT_USIM && slot < SLOT_USIM + TRE_USIMS)
		return usim_rank(t->state.usim + slot - SLOT_USIM, plmn);
	/* for a PIMSI every network is a visited one (P4): no preference for its own digits */
	return !tre_order(t, slot, &o) && (!o.allowed.n || place(&o.allowed, plmn) < o.allowed.n) ? 0 : -1;
}
