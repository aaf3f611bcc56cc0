/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Wiring: what the visited operator serves (cell, user plane, desk), and whom it calls (GSUP peers, access gateways). */
#include <stdlib.h>

#include "roles/visited/visited.h"

static const struct route peers_routes[] = {
	DESK_ROUTES,
	{ 0 },
};

static const struct metric metrics[] = {
	[COUNT_ATTACHED] = { "usher_visited_attached_total", "Attaches completed.", 0 },
	[COUNT_REFUSED] = { "usher_visited_refused_total", "Attaches refused.", 0 },
	[COUNT_CONTEXTS] = { "usher_visited_contexts_total", "PDP contexts activated.", 0 },
	[COUNT_ROUTED] = { "usher_visited_routed_total", "GSUP messages towards home sides.", 0 },
	[COUNT_OUT_OF_RANGE] = { "usher_visited_out_of_range_total", "GSUP messages dropped: not the sender's range.", 0 },
	[COUNT_UNASKED] = { "usher_visited_unasked_total", "GSUP messages dropped: answers that nobody asked for, or not the sender's to say.", 0 },
	[COUNT_CROWDED] = { "usher_visited_crowded_total", "Links and questions beyond a limit: refused, or the longest silent unproved link left.", 0 },
	[COUNT_TUNNELS] = { "usher_visited_tunnels_total", "User plane connections passed on.", 0 },
	{ 0 },
};
static const char *const kinds[] = { "pimsi", "imsi", NULL };

static enum err start(struct process *p, struct why *w)
{
	const struct conf *c = p->conf;
	struct visited *v = calloc(1, sizeof(*v));
	enum err e;

	if (!v)
		return ERR_NOMEM;
	p->own = v;
	v->process = p;
	TAILQ_INIT(&v->young);
	e = server_open(p->loop, &(struct server_conf){ "peers", c->listen.peers, p->tls, peers_routes, p->peers, p }, &v->peers, w);
	if (!e)
		e = user_open(v, w);
	if (!e)
		e = router_open(v);
	if (!e)
		e = sgsn_open(v, w);
	return e ? e : cell_serve(v, w);
}

/* SIGHUP: the roaming agreements, which are peers/. */
static enum err reload(struct process *p)
{
	return router_agree(p->own);
}

static void stop(struct process *p)
{
	struct visited *v = p->own;

	tunnel_close(v->user);
	cell_stop(v);
	router_close(v);
	server_close(v->peers);
	free(v);
}

static const struct role visited = {
	.name = "visited",
	.about = "lets equipments attach, routes their authentication and traffic to their home side",
	.schema = conf_schema,
	.conf_size = sizeof(struct conf),
	.metrics = metrics,
	.kinds = kinds,
	.start = start,
	.reload = reload,
	.stop = stop,
};

int main(int argc, char **argv)
{
	return process_main(argc, argv, &visited);
}
