/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "proto/ocsp.h"

#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/attestation/attestation.h"

struct asked {
	struct ask *ask;
	struct process *process;
	enum ca ca;
	struct ocsp_ask q;
	struct ocsp_status status[OCSP_IDS];
	int64_t now; /* taken before the database is read: no `good` bears a time at which a revocation could already be acknowledged (I13) */
};

static enum err look_up(struct tx *tx, void *arg)
{
	struct asked *o = arg;
	enum err e = OK;

	for (size_t i = 0; i < o->q.n && !e; i++) {
		struct ocsp_status *s = o->status + i;
		const struct row *r;

		e = tx_get(tx, "SELECT revoked_at, reason FROM certificate WHERE serial = :serial AND issuer = :issuer",
			WITH(B_TEXT("serial", o->q.serial[i]), B_TEXT("issuer", ca_words[o->ca])), &r);
		*s = (struct ocsp_status){ OCSP_UNKNOWN, 0, -1 };
		if (!e && row_int(r, 0))
			*s = (struct ocsp_status){ OCSP_REVOKED, row_int(r, 0), ca_reason(row_text(r, 1)) };
		else if (!e)
			s->state = OCSP_GOOD;
		e = e == ERR_MISSING ? OK : e;
	}
	return e;
}

static void reply(struct ask *a, enum err e, uint8_t *der, size_t n)
{
	if (e)
		ask_refuse(a, e, "the answer could not be signed");
	else
		ask_reply(a, 200, "application/ocsp-response", BYTES(der, n));
	OPENSSL_free(der);
}

static void looked_up(void *arg, enum err e)
{
	struct asked *o = arg;
	struct attestation *at = o->process->own;
	const struct issuer *ca = at->ca + o->ca;
	const struct conf *conf = o->process->conf;
	uint8_t *der = NULL;
	size_t n = 0;

	if (e)
		e = ocsp_error_write(OCSP_RESPONSE_STATUS_TRYLATER, &der, &n);
	else
		e = ocsp_answer_write(&o->q, o->status, ca->ocsp_cert, ca->ocsp_key, o->now, conf->ocsp_fresh, &der, &n);
	desk_count(o->process->desk, COUNT_OCSP, 1);
	log_hop(LOG_DEBUG, "ocsp", "issuer=%s serial=%s state=%d", ca_words[o->ca], o->q.serial[0], o->status[0].state);
	reply(o->ask, e, der, n);
	ocsp_ask_free(&o->q);
	free(o);
}

/* The one issuing CA that all ids name; CA_COUNT if there is none. */
static enum ca issuer_of(const struct attestation *at, const struct ocsp_ask *q)
{
	for (int ca = 0; ca < CA_COUNT; ca++) {
		size_t i = 0;

		while (i < q->n && ocsp_ask_issuer(q, i, at->ca[ca].cert))
			i++;
		if (i == q->n)
			return (enum ca)ca;
	}
	return CA_COUNT;
}

void ocsp_answer(struct ask *a, void *process)
{
	struct asked *o = calloc(1, sizeof(*o));
	uint8_t *der = NULL;
	size_t n = 0;
	int wire = -1;
	enum err e;

	if (!o) {
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return;
	}
	o->ask = a;
	o->process = process;
	o->now = clock_now();
	if (ocsp_ask_read(ask_body(a), &o->q))
		wire = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;
	else if ((o->ca = issuer_of(o->process->own, &o->q)) == CA_COUNT)
		wire = OCSP_RESPONSE_STATUS_UNAUTHORIZED;
	if (wire < 0) {
		store_run(o->process->store, look_up, o, looked_up);
		return;
	}
	e = ocsp_error_write(wire, &der, &n);
	reply(a, e, der, n);
	ocsp_ask_free(&o->q);
	free(o);
}
