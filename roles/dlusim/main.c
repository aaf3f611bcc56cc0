/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the DLUSIM service serves, and (by its errands' letters) whom it calls: hss, registration. */
#include <stdio.h>
#include <stdlib.h>

#include "roles/dlusim/dlusim.h"

enum { JSON_BODY = 16 * 1024, ROWS_BODY = 256 * 1024, OBJECT_BODY = 48 * 1024 };

static const struct route peers_routes[] = {
	{ "POST", "/v1/provision", WHO(DM), JSON_BODY, provision_hand },
	{ "POST", "/v1/provision/done", WHO(DM), JSON_BODY, provision_ended },
	{ "POST", "/v1/people", WHO(STAFF), JSON_BODY, people_add },
	DESK_ROUTES,
	{ 0 },
};
static const struct route owner_routes[] = {
	{ "GET", "/v1/people", WHO_ANYONE, 0, people_me },               /* by token: people.c */
	{ "POST", "/v1/subscribe", WHO_ANYONE, ROWS_BODY, subscribe_rows },
	{ "GET", "/v1/subscribe/*", WHO_ANYONE, 0, subscribe_one },
	{ 0 },
};

static const struct route equipment_routes[] = {
	{ "POST", "/v1/verify", WHO_ANYONE, OBJECT_BODY, verify_ask }, /* by its signature: verify.c */
	{ "POST", "/v1/install", WHO_ANYONE, OBJECT_BODY, install_receipt },
	{ 0 },
};

static const struct errand_kind errands[] = {
	{ "subscribe", subscribe_rules, subscribe_settled, subscribe_refused },
	{ "verify", verify_rules, verify_settled, verify_refused },
	{ "install", install_rules, install_settled, NULL },
	{ 0 },
};

static const char tables[] =
#include "dlusim.sql.h"
	;
static const char expiries[] =
#include "dlusim.2.sql.h"
	;
static const char lives[] =
#include "dlusim.3.sql.h"
	;
static const char answers[] =
#include "dlusim.4.sql.h"
	;
static const char *const upgrades[] = { tables, expiries, lives, answers, NULL };
static const struct store_schema schema = { upgrades };

static const struct metric metrics[] = {
	[COUNT_ORDERS] = { "usher_dlusim_orders_total", "Rows that owners sent.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "equipment", "certificate", "owner", "package", "job", "pimsi", NULL };
static const char *const aliases[] = { "pimsi", "equipment", "certificate", NULL };

static enum err start(struct process *p, struct why *w)
{
	struct conf *c = p->conf;
	struct dlusim *d = calloc(1, sizeof(*d));
	enum err e;

	if (!d)
		return ERR_NOMEM;
	p->own = d;
	d->process = p;
	e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &d->peers, w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "owner", c->listen.owner, p->tls, owner_routes, p->peers, p }, &d->owner, w);
	if (!e)
		e = server_open(p->loop, &(struct server_conf){ "equipment", c->listen.equipment, p->tls, equipment_routes, p->peers, p }, &d->equipment, w);
	if (!e && !*c->equipment_address)
		snprintf(c->equipment_address, sizeof(c->equipment_address), "%s", server_bound(d->equipment));
	return e;
}

static void stop(struct process *p)
{
	struct dlusim *d = p->own;

	server_close(d->peers);
	server_close(d->owner);
	server_close(d->equipment);
	free(d);
}

static const struct role dlusim = {
	.name = "dlusim",
	.about = "takes owners' orders, registers route and IMSI, verifies equipments, hands over packages it cannot read",
	.schema = conf_schema,
	.conf_size = sizeof(struct conf),
	.tables = &schema,
	.errands = errands,
	.metrics = metrics,
	.kinds = kinds,
	.aliases = aliases,
	.status = subscribe_status,
	.signs = 1,
	.start = start,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return process_main(argc, argv, &dlusim);
}
