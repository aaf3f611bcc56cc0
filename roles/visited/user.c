/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The user plane (2u): a token names a PDP context, and the context's identity the gateway that all its traffic goes to. */
#include <arpa/inet.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/visited/visited.h"

static struct tunnel **room_for(struct ms *m)
{
	for (int i = 0; i < TUNNELS; i++)
		if (!m->tunnel[i])
			return m->tunnel + i;
	return NULL;
}

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct visited *v = arg;
	uint8_t token[32];
	size_t n = 0;
	struct ms *m = b64url_read(bytes_text(ask->bearer), token, sizeof(token), &n) || n != sizeof(token) ? NULL : cell_by_token(v, token);
	const struct peer *p = m ? router_peer(v, m->id) : NULL;
	struct tunnel **room = m ? room_for(m) : NULL;

	if (!m) {
		tunnel_refuse(t, 403, ERR_DENIED, "no PDP context has this token");
	} else if (!p || !*p->access) {
		tunnel_refuse(t, 502, ERR_MISSING, "no access gateway is known for this identity's operator");
	} else if (!room) {
		tunnel_refuse(t, 429, ERR_LIMIT, "at most %d connections at a time", TUNNELS);
	} else {
		*room = t;
		m->last_ms = clock_mono_ms(); /* whoever uses its context is here */
		tunnel_set(t, m);
		desk_count(v->process->desk, COUNT_TUNNELS, 1);
		log_hop(LOG_DEBUG, "access", "id=%s target=%s gateway=%s", m->id, ask->target, p->access);
		tunnel_pass(t, p->access, v->process->tls, p->party.role, p->party.id, m->id);
	}
}

static void ended(struct tunnel *t, void *arg)
{
	struct ms *m = tunnel_note(t);

	(void)arg;
	for (int i = 0; m && i < TUNNELS; i++)
		if (m->tunnel[i] == t)
			m->tunnel[i] = NULL;
}

void user_forget(struct ms *m)
{
	for (int i = 0; i < TUNNELS; i++) {
		struct tunnel *t = m->tunnel[i];

		m->tunnel[i] = NULL;
		if (!t)
			continue;
		tunnel_set(t, NULL);
		tunnel_end(t);
	}
}

enum err user_open(struct visited *v, struct why *w)
{
	const struct conf *c = v->process->conf;
	struct tunnel_conf t = { .name = "user", .address = c->listen.user, .most = 10000, .events = { asked, NULL, ended }, .arg = v };
	char host[256];
	enum err e = tunnel_listen(v->process->loop, &t, &v->user, w);

	if (!e)
		e = conf_address(*c->user_address ? c->user_address : tunnel_bound(v->user), host, sizeof(host), &v->plane.port, w);
	if (!e && inet_pton(AF_INET, host, v->plane.ipv4) != 1)
		e = fail(w, ERR_FORMAT, "user_address: `%s` is not an IPv4 address", host);
	if (!e)
		e = text_copy(v->plane.plmn, sizeof(v->plane.plmn), c->id);
	return e;
}
