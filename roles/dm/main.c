/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the DM service serves, and whom it calls: the DLUSIM service of each job. */
#include <stdlib.h>

#include "roles/dm/dm.h"

static const struct route equipment_routes[] = {
	{ "POST", "/v1/provision", WHO_ANYONE, SYNCML_MAX, provision_message }, /* by HMAC: provision.c */
	{ 0 },
};
static const struct route peers_routes[] = {
	DESK_ROUTES,
	{ 0 },
};
static const struct errand_kind errands[] = {
	{ "job", job_rules, job_settled, NULL },
	{ 0 },
};
static const char tables[] =
#include "dm.sql.h"
	;
static const char sessions[] =
#include "dm.2.sql.h"
	;
static const char lives[] =
#include "dm.3.sql.h"
	;
static const char *const upgrades[] = { tables, sessions, lives, NULL };
static const struct store_schema schema = { upgrades };
static const struct metric metrics[] = {
	[COUNT_MESSAGES] = { "usher_dm_messages_total", "SyncML messages with a right MAC.", 0 },
	[COUNT_REFUSED] = { "usher_dm_refused_total", "SyncML messages refused: no or a wrong MAC, no account.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "equipment", "job", "package", NULL };

static enum err start(struct process *p, struct why *w)
{
	const struct conf *c = p->conf;
	struct dm *d = calloc(1, sizeof(*d));
	enum err e;

	if (!d)
		return ERR_NOMEM;
	p->own = d;
	d->process = p;
	e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &d->peers, w);
	return e ? e : server_open(p->loop, &(struct server_conf){ "equipment", c->listen.equipment, p->tls, equipment_routes, p->peers, p }, &d->equipment, w);
}

static void stop(struct process *p)
{
	struct dm *d = p->own;

	server_close(d->peers);
	server_close(d->equipment);
	free(d);
}

static const struct role dm = {
	.name = "dm",
	.about = "an OMA DM server that delivers packages it cannot read",
	.schema = conf_schema,
	.conf_size = sizeof(struct conf),
	.tables = &schema,
	.errands = errands,
	.metrics = metrics,
	.kinds = kinds,
	.status = job_status,
	.start = start,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return process_main(argc, argv, &dm);
}
