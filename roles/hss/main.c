/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the HSS serves. It calls nobody. */
#include <stdlib.h>

#include "package/package.h"
#include "roles/hss/hss.h"

enum { JSON_BODY = 16 * 1024, EVIDENCE_BODY = 128 * 1024 };

static const struct route peers_routes[] = {
	{ "POST", "/v1/signer", WHO(DLUSIM), JSON_BODY, subscribe_signer },
	{ "POST", "/v1/subscribe", WHO(DLUSIM), JSON_BODY, subscribe_book },
	{ "POST", "/v1/verify", WHO(DLUSIM), EVIDENCE_BODY, verify_seal },
	{ "POST", "/v1/install", WHO(DLUSIM), EVIDENCE_BODY, install_receipt },
	{ "POST", "/v1/pool", WHO(STAFF), JSON_BODY, pool_add },
	{ "GET", "/v1/pool", WHO(STAFF), 0, pool_list },
	{ "GET", "/v1/pool/*", WHO(STAFF), 0, pool_show },
	{ "POST", "/v1/pool/*", WHO(STAFF), JSON_BODY, pool_move },
	DESK_ROUTES,
	{ 0 },
};

static const struct errand_kind errands[] = {
	{ "expire", expire_rules, NULL, NULL },
	{ 0 },
};
static const char tables[] =
#include "hss.sql.h"
	;
static const char lives[] =
#include "hss.2.sql.h"
	;
static const char *const upgrades[] = { tables, lives, NULL };
static const struct store_schema schema = { upgrades };

static const struct metric metrics[] = {
	[COUNT_BOOKED] = { "usher_hss_booked_total", "Bookings taken.", 0 },
	[COUNT_BOOKINGS_REFUSED] = { "usher_hss_bookings_refused_total", "Bookings refused.", 0 },
	[COUNT_SEALED] = { "usher_hss_sealed_total", "Packages sealed.", 0 },
	[COUNT_SEALS_REFUSED] = { "usher_hss_seals_refused_total", "Evidence refused.", 0 },
	[COUNT_VECTORS] = { "usher_hss_vectors_total", "Vectors given to visited operators.", 0 },
	[COUNT_VECTORS_REFUSED] = { "usher_hss_vectors_refused_total", "GSUP requests refused.", 0 },
	[COUNT_ACCESS] = { "usher_hss_access_total", "Connections of IMSIs opened by the gateway.", 0 },
	[COUNT_ACCESS_REFUSED] = { "usher_hss_access_refused_total", "Connections of IMSIs refused by the gateway.", 0 },
	[COUNT_ACTIVE] = { "usher_hss_active_total", "IMSIs that became active by a receipt.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "imsi", "equipment", "certificate", "owner", "package", "pool", NULL };
static const char *const aliases[] = { "imsi", "equipment", "certificate", NULL };

static enum err start(struct process *p, struct why *w)
{
	struct conf *c = p->conf;
	struct hss *h = calloc(1, sizeof(*h));
	enum err e;

	if (!h)
		return ERR_NOMEM;
	p->own = h;
	h->process = p;
	h->signer = (struct signer){ p->sign_cert, p->sign_issuer, p->sign_key };
	e = package_selftest(w);
	if (!e)
		e = subscribe_open(h, w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &h->peers, w);
	if (!e)
		e = vectors_open(h, w);
	return e ? e : access_open(h, w);
}

static void stop(struct process *p)
{
	struct hss *h = p->own;

	server_close(h->peers);
	tunnel_close(h->access.server);
	auc_serve_close(h->vectors);
	free(h);
}

static const struct role hss = {
	.name = "hss",
	.about = "holds IMSIs and their keys, seals them into packages, answers vectors",
	.schema = conf_schema,
	.conf_size = sizeof(struct conf),
	.tables = &schema,
	.errands = errands,
	.metrics = metrics,
	.kinds = kinds,
	.aliases = aliases,
	.status = pool_status,
	.signs = 1,
	.start = start,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return process_main(argc, argv, &hss);
}
