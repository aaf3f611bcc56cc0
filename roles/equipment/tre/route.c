/* SPDX-License-Identifier: Apache-2.0 */
/* Step 4 in the tre: whom it will prove itself to. Nothing of it is believed but by the order's operator and the claim key. */
#include <stdlib.h>
#include <string.h>

#include "roles/equipment/tre/tre.h"

static enum err fields_check(struct tre *t, const struct order *o, const struct discover_answer *a, struct why *w)
{
	const struct claimed said = { .operator = a->operator, .dlusim = a->dlusim, .equipment = a->equipment, .owner = a->owner, .serial = a->serial };
	uint8_t own[32], proof[32];
	enum err e = tre_certificate_hash(t, own);

	if (strcmp(a->pimsi, o->pimsi) || strcmp(a->equipment, t->state.equipment))
		return fail(w, ERR_DENIED, "the discover answer is for %s, %s", a->pimsi, a->equipment);
	if (e || !bytes_same(a->certificate, own, sizeof(own)))
		return fail(w, ERR_DENIED, "the discover answer names another certificate than ours");
	if (!a->ocsp.n)
		return fail(w, ERR_FORMAT, "the discover answer names no OCSP responder");
	e = object_claim_proof(&t->state.claim_key, &said, proof);
	if (e || !bytes_same(proof, a->proof, sizeof(proof)))
		return fail(w, ERR_AUTH, "the claim proof is wrong: whoever sends us to %s does not hold our claim key", a->dlusim);
	if (a->serial < t->state.claim_serial)
		return fail(w, ERR_DENIED, "claim serial %lld is older than %lld", (long long)a->serial, (long long)t->state.claim_serial);
	return OK;
}

enum err route_read(struct tre *t, struct bytes der, const struct order *o, struct discover_answer *a, struct cms_signed *by, struct why *w)
{
	enum err e = cms_open(OBJECT_DISCOVER, der, time_expects(t, o->registration), a, by, w);

	return e ? e : fields_check(t, o, a, w);
}

static enum err serial_keep(struct tre *t, int64_t serial)
{
	struct tre_state *s;

	if (serial == t->state.claim_serial)
		return OK;
	s = state_copy(t);
	if (s)
		s->claim_serial = serial;
	return state_keep(t, s, OK);
}

enum err tre_route(struct tre *t, struct bytes der, struct discover_answer *out, struct why *w)
{
	struct discover_answer *a = calloc(1, sizeof(*a));
	struct cms_signed by = { 0 };
	struct order o;
	enum err e = a ? OK : ERR_NOMEM;

	if (!e && !t->asking)
		e = fail(w, ERR_ORDER, "no discover is under way");
	if (!e)
		e = tre_order(t, t->asking - 1, &o);
	if (!e)
		e = route_read(t, der, &o, a, &by, w);
	if (!e && !bytes_same(a->nonce, t->nonce, sizeof(t->nonce)))
		e = fail(w, ERR_AUTH, "the discover answer does not carry our nonce: it is an old one");
	if (!e && der.n > sizeof(t->grounds.discover.p))
		e = fail(w, ERR_LIMIT, "the discover answer is larger than there is room for");
	if (!e)
		e = time_use(t, VALID_DISCOVER, a->expiry, w);
	if (!e)
		e = serial_keep(t, a->serial);
	if (!e)
		e = cms_hash(der, t->route_hash);
	if (e) {
		cms_signed_free(&by);
		free(a);
		return e;
	}
	run_set(t, RUN_BEGUN); /* what came by another route does not belong to this one */
	t->by[BY_REGISTRATION] = by;
	t->grounds.slot = t->asking - 1;
	memcpy(t->grounds.discover.p, der.p, der.n);
	t->grounds.discover.n = der.n;
	t->asking = 0; /* the nonce is used */
	if (out)
		*out = *a;
	free(t->route);
	t->route = a;
	run_set(t, RUN_ROUTED);
	return OK;
}
