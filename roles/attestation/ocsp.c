/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "proto/ocsp.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/attestation/attestation.h"

struct asked {
	struct ask *ask;
	struct process *process;
	enum ca ca;
	struct ocsp_ask q;
	struct ocsp_status status[OCSP_IDS];
	uint8_t question[32]; /* SHA-256 of the request */
	int64_t now; /* taken before the database is read: no `good` bears a time at which a revocation could already be acknowledged (I13) */
};

/*
 * What is known without the database, which this process alone writes: statuses, and whole answers to questions without a nonce.
 * Who comes later takes the place. A revocation empties it before it is acknowledged; what is unknown now may be issued soon.
 */
struct ocsp_memory {
	struct {
		char serial[OCSP_SERIAL_HEX];
		enum ca ca;
		struct ocsp_status status;
	} known[4096];
	struct {
		uint8_t question[32];
		int64_t until;
		uint8_t *der;
		size_t n;
	} ready[256];
};

enum err ocsp_open(struct attestation *at)
{
	at->memory = calloc(1, sizeof(*at->memory));
	return at->memory ? OK : ERR_NOMEM;
}

void ocsp_forget(struct attestation *at)
{
	struct ocsp_memory *m = at->memory;

	for (size_t i = 0; i < sizeof(m->ready) / sizeof(*m->ready); i++)
		OPENSSL_free(m->ready[i].der);
	memset(m, 0, sizeof(*m));
}

void ocsp_close(struct attestation *at)
{
	if (at->memory)
		ocsp_forget(at);
	free(at->memory);
}

/* Serials of ours are random. */
static size_t place_of(const struct ocsp_memory *m, const char *serial)
{
	size_t n = strlen(serial);

	return strtoul(serial + (n > 3 ? n - 3 : 0), NULL, 16) % (sizeof(m->known) / sizeof(*m->known));
}

static int all_known(struct asked *o)
{
	struct ocsp_memory *m = ((struct attestation *)o->process->own)->memory;

	for (size_t i = 0; i < o->q.n; i++) {
		size_t k = place_of(m, o->q.serial[i]);

		/* serial number 0 has no digits, as an empty place has none */
		if (!*o->q.serial[i] || m->known[k].ca != o->ca || strcmp(m->known[k].serial, o->q.serial[i]))
			return 0;
		o->status[i] = m->known[k].status;
	}
	return 1;
}

static int remember(struct asked *o)
{
	struct ocsp_memory *m = ((struct attestation *)o->process->own)->memory;
	int all = 1;

	for (size_t i = 0; i < o->q.n; i++) {
		size_t k = place_of(m, o->q.serial[i]);

		if (o->status[i].state == OCSP_UNKNOWN) {
			all = 0;
			continue;
		}
		memcpy(m->known[k].serial, o->q.serial[i], OCSP_SERIAL_HEX);
		m->known[k].ca = o->ca;
		m->known[k].status = o->status[i];
	}
	return all;
}

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

/* Kept for half its life, so that who gets it last can still use it. */
static void keep(struct asked *o, const uint8_t *der, size_t n)
{
	const struct conf *conf = o->process->conf;
	struct ocsp_memory *m = ((struct attestation *)o->process->own)->memory;
	size_t i = o->question[0] % (sizeof(m->ready) / sizeof(*m->ready));

	OPENSSL_free(m->ready[i].der);
	m->ready[i].der = OPENSSL_memdup(der, n);
	m->ready[i].n = n;
	m->ready[i].until = o->now + conf->ocsp_fresh / 2;
	memcpy(m->ready[i].question, o->question, sizeof(o->question));
}

static int is_ready(struct asked *o, struct bytes *answer)
{
	struct ocsp_memory *m = ((struct attestation *)o->process->own)->memory;
	size_t i = o->question[0] % (sizeof(m->ready) / sizeof(*m->ready));

	*answer = BYTES(m->ready[i].der, m->ready[i].n);
	return m->ready[i].der && !memcmp(m->ready[i].question, o->question, sizeof(o->question)) && o->now < m->ready[i].until;
}

static void asked_free(struct asked *o)
{
	ocsp_ask_free(&o->q);
	free(o);
}

static void looked_up(void *arg, enum err e)
{
	struct asked *o = arg;
	struct attestation *at = o->process->own;
	const struct issuer *ca = at->ca + o->ca;
	const struct conf *conf = o->process->conf;
	uint8_t *der = NULL;
	size_t n = 0;
	int last = !e && remember(o); /* nothing unknown among them */

	if (e)
		e = ocsp_error_write(OCSP_RESPONSE_STATUS_TRYLATER, &der, &n);
	else
		e = ocsp_answer_write(&o->q, o->status, (struct ocsp_signer){ ca->ocsp_cert, ca->ocsp_key, o->now, conf->ocsp_fresh }, &der, &n);
	if (!e && last && !o->q.nonce)
		keep(o, der, n);
	desk_count(o->process->desk, COUNT_OCSP, 1);
	log_hop(LOG_DEBUG, "ocsp", "issuer=%s serial=%s state=%d", ca_words[o->ca], o->q.serial[0], o->status[0].state);
	reply(o->ask, e, der, n);
	asked_free(o);
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
	struct bytes body = ask_body(a), answer;
	uint8_t *der = NULL;
	size_t n = 0;
	int wire = OCSP_RESPONSE_STATUS_SUCCESSFUL;
	enum err e;

	if (!o || EVP_Digest(body.p, body.n, o->question, NULL, EVP_sha256(), NULL) != 1) {
		ask_refuse(a, ERR_NOMEM, "out of memory");
		free(o);
		return;
	}
	o->ask = a;
	o->process = process;
	o->now = clock_now();
	if (is_ready(o, &answer)) {
		desk_count(o->process->desk, COUNT_OCSP, 1);
		ask_reply(a, 200, "application/ocsp-response", answer);
		asked_free(o);
	} else if (ocsp_ask_read(body, &o->q)) {
		wire = OCSP_RESPONSE_STATUS_MALFORMEDREQUEST;
	} else if ((o->ca = issuer_of(o->process->own, &o->q)) == CA_COUNT) {
		wire = OCSP_RESPONSE_STATUS_UNAUTHORIZED;
	} else if (all_known(o)) {
		looked_up(o, OK);
	} else {
		store_run(o->process->store, look_up, o, looked_up);
	}
	if (wire == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return;
	e = ocsp_error_write(wire, &der, &n);
	reply(a, e, der, n);
	asked_free(o);
}
