/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the registration operator serves. */
#include <stdio.h>
#include <stdlib.h>

#include "package/package.h"
#include "roles/registration/challenges.h"
#include "roles/registration/registration.h"

enum { BATCH_BODY = 256 * 1024, JSON_BODY = 16 * 1024, OBJECT_BODY = 64 * 1024 };

static const struct route peers_routes[] = {
	{ "POST", "/v1/manufacture/order", WHO(FACTORY), BATCH_BODY, manufacture_order },
	{ "POST", "/v1/manufacture/bind", WHO(FACTORY), BATCH_BODY, manufacture_bind },
	{ "POST", "/v1/subscribe", WHO(DLUSIM), JSON_BODY, subscribe_claim },
	{ "POST", "/v1/install", WHO(DLUSIM), OBJECT_BODY, install_receipt },
	{ "POST", "/v1/pool", WHO(STAFF), JSON_BODY, pool_add },
	{ "GET", "/v1/pool", WHO(STAFF), 0, pool_list },
	{ "GET", "/v1/pool/*", WHO(STAFF), 0, pool_show },
	{ "POST", "/v1/pool/*", WHO(STAFF), JSON_BODY, pool_move },
	DESK_ROUTES,
	{ 0 },
};

static const struct route discover_routes[] = {
	{ "GET", "/v1/discover", WHO_ANYONE, 0, discover_ask }, /* by AKA: discover.c */
	{ 0 },
};

static const struct errand_kind errands[] = {
	{ "retire", retire_rules, NULL, NULL },
	{ 0 },
};
static const char tables[] =
#include "registration.sql.h"
	;
static const char lives[] =
#include "registration.2.sql.h"
	;
static const char days[] =
#include "registration.3.sql.h"
	;
static const char *const upgrades[] = { tables, lives, days, NULL };
static const struct store_schema schema = { upgrades };

static const struct metric metrics[] = {
	[COUNT_ORDERED] = { "usher_registration_ordered_total", "PIMSIs handed out in orders.", 0 },
	[COUNT_BOUND] = { "usher_registration_bound_total", "PIMSIs bound to an equipment.", 0 },
	[COUNT_CLAIMED] = { "usher_registration_claimed_total", "Claims taken.", 0 },
	[COUNT_CLAIMS_REFUSED] = { "usher_registration_claims_refused_total", "Claims refused.", 0 },
	[COUNT_VECTORS] = { "usher_registration_vectors_total", "Vectors given to visited operators.", 0 },
	[COUNT_VECTORS_REFUSED] = { "usher_registration_vectors_refused_total", "GSUP requests refused.", 0 },
	[COUNT_ACCESS] = { "usher_registration_access_total", "Connections of limited access opened.", 0 },
	[COUNT_ACCESS_REFUSED] = { "usher_registration_access_refused_total", "Connections of limited access refused.", 0 },
	[COUNT_DISCOVERED] = { "usher_registration_discovered_total", "Discover answers signed.", 0 },
	[COUNT_NOT_SUBSCRIBED] = { "usher_registration_not_subscribed_total", "Discover asked by equipments that nobody subscribed.", 0 },
	[COUNT_DISCOVER_REFUSED] = { "usher_registration_discover_refused_total", "Discover with a wrong or used nonce.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "pimsi", "equipment", "certificate", "owner", "order", "pool", NULL };
static const char *const aliases[] = { "pimsi", "equipment", "certificate", NULL };

static enum err start(struct process *p, struct why *w)
{
	struct conf *c = p->conf;
	struct registration *r = calloc(1, sizeof(*r));
	enum err e;

	if (!r)
		return ERR_NOMEM;
	p->own = r;
	r->process = p;
	r->signer = (struct signer){ p->sign_cert, p->sign_issuer, p->sign_key };
	e = package_selftest(w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &r->peers, w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "discover", c->listen.discover, p->tls, discover_routes, p->peers, p }, &r->discover, w);
	if (!e && !*c->discover_address)
		snprintf(c->discover_address, sizeof(c->discover_address), "%s", server_bound(r->discover));
	if (!e && !(r->challenges = challenges_open()))
		e = ERR_NOMEM;
	if (!e)
		e = vectors_open(r, w);
	return e ? e : access_open(r, w);
}

static void stop(struct process *p)
{
	struct registration *r = p->own;

	server_close(r->peers);
	server_close(r->discover);
	tunnel_close(r->access.server);
	timer_stop(r->meter);
	auc_serve_close(r->vectors);
	challenges_close(r->challenges);
	free(r);
}

static const struct role registration = {
	.name = "registration",
	.about = "issues PIMSIs, routes equipments to the operator their owner chose, answers vectors and discover",
	.schema = conf_schema,
	.check = conf_check,
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
	return process_main(argc, argv, &registration);
}
