/* SPDX-License-Identifier: Apache-2.0 */
#include "link/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

/* What one network holds. */
struct gateway_share {
	LIST_ENTRY(gateway_share) all;
	char id[ID_MAX];
	int tunnels;
};

static struct gateway_share *share_of(struct gateway *g, const char *id)
{
	struct gateway_share *s;

	LIST_FOREACH(s, &g->shares, all)
		if (!strcmp(s->id, id))
			return s;
	s = calloc(1, sizeof(*s));
	if (s) {
		snprintf(s->id, sizeof(s->id), "%s", id);
		LIST_INSERT_HEAD(&g->shares, s, all);
	}
	return s;
}

static enum err share_take(struct pass *p)
{
	struct gateway *g = p->gateway;
	struct gateway_share *s = share_of(g, p->ask.peer.id);

	if (!s)
		return ERR_NOMEM;
	if (s->tunnels && s->tunnels >= g->most - g->tunnels)
		return fail(&p->why, ERR_UNAVAILABLE, "network %s holds %d of %d tunnels, its share; try again when one has ended", s->id, s->tunnels, g->most);
	s->tunnels++;
	g->tunnels++;
	p->share = s;
	return OK;
}

static void share_leave(struct pass *p)
{
	p->gateway->tunnels--;
	if (--p->share->tunnels)
		return;
	LIST_REMOVE(p->share, all);
	free(p->share);
}

static enum err pass_check(struct tx *tx, void *arg)
{
	struct pass *p = arg;
	const struct gateway_policy *policy = p->gateway->policy;
	const struct row *r;
	enum err e = tx_get(tx, policy->attached, WITH(B_TEXT("id", p->ask.identity)), &r);

	p->err = OK;
	if (e && e != ERR_MISSING)
		return e;
	if (e || strcmp(row_text(r, 0), p->ask.peer.id))
		return fail(&p->why, ERR_DENIED, "%s is not attached in network %s", p->ask.identity, p->ask.peer.id);
	row_copy(r, 1, p->equipment, sizeof(p->equipment));
	p->attached_at = row_int(r, 2);
	return policy->check ? policy->check(tx, p) : OK;
}

static void refuse(struct gateway *g, struct tunnel *t, enum err e, const char *why)
{
	int status = e == ERR_DENIED ? 403 : e == ERR_LIMIT ? 429 : e == ERR_FORMAT ? 400 : 503;

	desk_count(g->process->desk, g->policy->count_refused, 1);
	tunnel_refuse(t, status, e, "%s", *why ? why : "try again");
}

static void pass_checked(void *arg, enum err e)
{
	struct pass *p = arg;
	struct gateway *g = p->gateway;

	p->checking = 0;
	e = e ? e : p->err;
	if (!p->tunnel) {
		free(p);
	} else if (e) {
		refuse(g, p->tunnel, e, p->why.text);
	} else {
		desk_count(g->process->desk, g->policy->count_opened, 1);
		log_hop(LOG_INFO, "access", "%s=%s peer=%s target=%s act=open", g->policy->kind, p->ask.identity, p->ask.peer.id, p->ask.target);
		p->open = 1;
		if (g->policy->opened)
			g->policy->opened(p);
		tunnel_dial(p->tunnel, p->ask.target);
	}
}

/* What it takes goes when the tunnel ends. */
static enum err admit(struct pass *p)
{
	const struct gateway *g = p->gateway;
	const struct party *peer = &p->ask.peer;
	size_t digits = (size_t)text_digits(p->ask.identity);
	enum err e;

	if (strcmp(peer->role, "visited") || !peers_find(g->process->peers, "visited", peer->id))
		return fail(&p->why, ERR_DENIED, "%s %s is not a visited operator known here; `usher peer add`", peer->role, peer->id);
	if (digits < 6 || digits >= DIGITS_MAX)
		return fail(&p->why, ERR_FORMAT, "Usher-Identity is not a number of 6 to 15 digits");
	e = share_take(p);
	if (e || !g->policy->asked)
		return e;
	e = g->policy->asked(p);
	if (e)
		share_leave(p);
	return e;
}

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct gateway *g = arg;
	struct pass *p = calloc(1, g->policy->size);
	enum err e = ERR_NOMEM;

	if (p) {
		p->gateway = g;
		p->tunnel = t;
		p->ask = *ask;
		e = admit(p);
	}
	if (e) {
		refuse(g, t, e, p ? p->why.text : "");
		free(p);
		return;
	}
	tunnel_set(t, p);
	p->checking = 1;
	store_run(g->process->store, pass_check, p, pass_checked);
}

static void moved(struct tunnel *t, size_t octets, void *arg)
{
	struct pass *p = tunnel_note(t);
	const struct gateway *g = arg;

	if (p && g->policy->moved)
		g->policy->moved(p, octets);
}

static void ended(struct tunnel *t, void *arg)
{
	struct pass *p = tunnel_note(t);
	const struct gateway *g = arg;

	if (!p)
		return;
	if (g->policy->ended)
		g->policy->ended(p);
	share_leave(p);
	p->tunnel = NULL;
	if (!p->checking)
		free(p);
}

enum err gateway_open(struct gateway *g, const char *address, struct why *w)
{
	return tunnel_listen(g->process->loop, &(struct tunnel_conf){ .name = "access", .address = address, .tls = g->process->tls, .most = g->most,
		.events = { asked, moved, ended }, .arg = g }, &g->server, w);
}
