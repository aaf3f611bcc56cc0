/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the attestation provider serves. It calls nobody. */
#include <stdlib.h>

#include "roles/attestation/attestation.h"

enum { EST_BODY = 16 * 1024, JSON_BODY = 4096 };

static const struct route peers_routes[] = {
	{ "GET", "/.well-known/est/cacerts", WHO_ANYONE, 0, est_cacerts },
	{ "POST", "/.well-known/est/simpleenroll", WHO_ANYONE, EST_BODY, est_enroll },   /* who may: est.c */
	{ "POST", "/.well-known/est/simplereenroll", WHO_ANYONE, EST_BODY, est_enroll },
	{ "POST", "/v1/invite", WHO(STAFF), JSON_BODY, ca_invite },
	{ "POST", "/v1/revoke", WHO(STAFF), JSON_BODY, ca_revoke },
	{ "GET", "/v1/certificates", WHO(STAFF), 0, ca_certificates },
	DESK_ROUTES,
	{ 0 },
};
static const struct route ocsp_routes[] = {
	{ "POST", "/", WHO_ANYONE, OCSP_DER_MAX, ocsp_answer },
	{ 0 },
};

static const char tables[] =
#include "attestation.sql.h"
	;
static const char keys[] =
#include "attestation.2.sql.h"
	;
static const char hashes[] =
#include "attestation.3.sql.h"
	;
static const char *const upgrades[] = { tables, keys, hashes, NULL };
static const struct store_schema schema = { upgrades };

static const struct metric metrics[] = {
	[COUNT_ISSUED] = { "usher_attestation_issued_total", "Certificates issued over EST.", 0 },
	[COUNT_REFUSED] = { "usher_attestation_refused_total", "Enrolments refused.", 0 },
	[COUNT_OCSP] = { "usher_attestation_ocsp_total", "OCSP answers given.", 0 },
	[COUNT_REVOKED] = { "usher_attestation_revoked_total", "Certificates revoked.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "equipment", "certificate", "party", NULL };
static const char *const aliases[] = { "certificate", "equipment", NULL };

static enum err start(struct process *p, struct why *w)
{
	const struct conf *c = p->conf;
	struct attestation *a = calloc(1, sizeof(*a));
	enum err e;

	if (!a)
		return ERR_NOMEM;
	p->own = a;
	a->process = p;
	a->roots = tls_roots(p->tls);
	e = ca_open(a, w);
	if (!e)
		e = ocsp_open(a);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &a->peers, w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "ocsp", c->listen.ocsp, NULL, ocsp_routes, p->peers, p }, &a->ocsp, w);
	return e;
}

static void stop(struct process *p)
{
	struct attestation *a = p->own;

	server_close(a->peers);
	server_close(a->ocsp);
	ocsp_close(a);
	ca_close(a);
	free(a);
}

static const struct role attestation = {
	.name = "attestation",
	.about = "issues device, signing and server certificates (EST), revokes them, answers OCSP",
	.schema = conf_schema,
	.conf_size = sizeof(struct conf),
	.tables = &schema,
	.metrics = metrics,
	.kinds = kinds,
	.aliases = aliases,
	.start = start,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return process_main(argc, argv, &attestation);
}
