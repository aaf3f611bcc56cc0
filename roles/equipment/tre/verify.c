/* SPDX-License-Identifier: Apache-2.0 */
/* Step 5 in the tre: it proves what it is, to the one that its route names, and never signs octets that it was handed. */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/equipment/tre/tre.h"

/* Our own memory of it comes first: a package sealed to a key that a power cut took would be lost. */
static enum err one_time_make(struct tre_state *s, struct answer *a)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t *private = NULL, *spki = NULL;
	int n = key ? i2d_PrivateKey(key, &private) : -1, len = key ? i2d_PUBKEY(key, &spki) : -1;
	enum err e = n > 0 && len > 0 && (size_t)n <= sizeof(s->one_time.p) && (size_t)len <= sizeof(a->one_time.p) ? OK : ERR_CRYPTO;

	if (!e) {
		memcpy(s->one_time.p, private, (size_t)n);
		s->one_time.n = (size_t)n;
		memcpy(a->one_time.p, spki, (size_t)len);
		a->one_time.n = (size_t)len;
		e = secret_random(s->ocsp_nonce, sizeof(s->ocsp_nonce));
	}
	OPENSSL_clear_free(private, n > 0 ? (size_t)n : 0);
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
	return e;
}

static enum err answer_build(struct tre *t, struct tre_state *s, struct bytes challenge, struct answer *a)
{
	enum err e = cms_hash(challenge, a->challenge);

	memcpy(a->discover, t->route_hash, sizeof(a->discover));
	a->serial = t->route->serial;
	if (!e)
		e = tre_certificate_hash(t, a->certificate);
	memcpy(a->pimsi, t->route->pimsi, sizeof(a->pimsi));
	a->counter = t->state.counter;
	snprintf(a->versions, sizeof(a->versions), "usher-tre/%s", USHER_VERSION);
	if (!e)
		e = one_time_make(s, a);
	memcpy(a->ocsp_nonce, s->ocsp_nonce, sizeof(a->ocsp_nonce));
	return e;
}

enum err tre_answer(struct tre *t, struct bytes challenge, uint8_t **der, size_t *n, struct why *w)
{
	const struct signer by = { t->cert[TRE_ATTEST], t->issuer, t->own[TRE_ATTEST] };
	struct challenge c;
	struct answer a = { .serial = 0 };
	struct tre_state *s;
	enum err e = run_at(t, RUN_ROUTED, w);

	*der = NULL;
	if (!e)
		e = cms_open(OBJECT_CHALLENGE, challenge, time_expects(t, t->route->dlusim), &c, NULL, w);
	if (e)
		return e;
	if (strcmp(c.dlusim, t->route->dlusim) || strcmp(c.equipment, t->state.equipment) || !bytes_same(c.discover, t->route_hash, sizeof(c.discover)))
		return fail(w, ERR_DENIED, "the challenge is for %s, or for another discover answer", c.equipment);
	e = time_use(t, VALID_CHALLENGE, c.expiry, w);
	if (e)
		return e;
	s = state_copy(t);
	if (!s)
		return ERR_NOMEM;
	package_forget(s); /* sealed to the last key of one use */
	e = answer_build(t, s, challenge, &a);
	if (!e)
		e = cms_sign(OBJECT_ANSWER, &a, &by, der, n);
	if (!e)
		e = cms_hash(BYTES(*der, *n), s->answer);
	e = state_keep(t, s, e);
	if (!e) {
		run_set(t, RUN_ANSWERED);
		return OK;
	}
	OPENSSL_free(*der);
	*der = NULL;
	return e;
}

enum err trigger_read(struct tre *t, struct bytes der, struct trigger *g, struct cms_signed *by, struct why *w)
{
	enum err e = cms_open(OBJECT_TRIGGER, der, time_expects(t, t->route->dlusim), g, by, w);

	if (!e && (strcmp(g->equipment, t->state.equipment) || strcmp(g->dlusim, t->route->dlusim)
		|| !bytes_same(g->answer, t->state.answer, sizeof(g->answer))))
		e = fail(w, ERR_DENIED, "the trigger is not for our last answer");
	if (!e && strcmp(g->dm_address, t->route->dm_address))
		e = fail(w, ERR_DENIED, "the trigger leads to %s, the discover answer to %s", g->dm_address, t->route->dm_address);
	return e;
}

enum err tre_take_trigger(struct tre *t, struct bytes der, struct trigger *out, struct why *w)
{
	struct trigger *g = calloc(1, sizeof(*g));
	struct cms_signed by = { 0 };
	enum err e = g ? run_at(t, RUN_ANSWERED, w) : ERR_NOMEM;

	if (!e)
		e = trigger_read(t, der, g, &by, w);
	if (!e && der.n > sizeof(t->grounds.trigger.p))
		e = fail(w, ERR_LIMIT, "the trigger is larger than there is room for");
	if (!e)
		e = time_use(t, VALID_TRIGGER, g->expiry, w);
	if (!e) {
		run_set(t, RUN_ANSWERED);
		t->by[BY_DLUSIM] = by;
		memcpy(t->grounds.trigger.p, der.p, der.n);
		t->grounds.trigger.n = der.n;
		run_set(t, RUN_TRIGGERED);
		*out = *g;
	} else {
		cms_signed_free(&by);
	}
	if (g)
		secret_wipe(g, sizeof(*g));
	free(g); /* the account is the agent's */
	return e;
}
