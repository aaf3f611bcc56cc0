/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The visited operator's own SGSNs: plain GSUP, as Osmocom's speak it, on the loopback or a protected wire; we are their HLR. */
#include <string.h>

#include "core/log.h"
#include "roles/visited/visited.h"

static struct sgsn *named(struct visited *v, const char *name)
{
	for (int i = 0; i < SGSNS; i++) {
		if (!*v->sgsn[i].name)
			return text_copy(v->sgsn[i].name, sizeof(v->sgsn[i].name), name) ? NULL : v->sgsn + i;
		if (!strcmp(v->sgsn[i].name, name))
			return v->sgsn + i;
	}
	return NULL;
}

static int may(const struct party *p, void *arg)
{
	struct sgsn *s = named(arg, p->id);

	if (!s)
		log_hop(LOG_WARN, "router", "sgsn=%s why=\"%d SGSNs were here already; restart usher-visited to forget those that are gone\"", p->id, SGSNS);
	return s != NULL;
}

static struct sgsn *of_link(struct visited *v, const struct gsup_link *l)
{
	struct sgsn *s = named(v, gsup_party(l)->id);

	return s && s->link == l ? s : NULL;
}

/* An SGSN that lost its link without a word dials again under its name: the newer link is the one that lives. */
static void up(struct gsup_link *l, void *arg)
{
	struct sgsn *s = named(arg, gsup_party(l)->id);
	struct gsup_link *old = s ? s->link : NULL;

	if (!s)
		return;
	s->link = l;
	if (old)
		gsup_end(old, "a newer link of the same SGSN");
}

static void message(struct gsup_link *l, const struct gsup *g, void *arg)
{
	struct sgsn *s = of_link(arg, l);

	if (s)
		router_pass(arg, s, g, gsup_octets(l));
}

/* What it asked stays open: an UpdateLocation that goes well means that the identity is there, link or no link. */
static void down(struct gsup_link *l, void *arg)
{
	struct sgsn *s = of_link(arg, l);

	if (s)
		s->link = NULL;
}

enum err sgsn_open(struct visited *v, struct why *w)
{
	const struct conf *c = v->process->conf;

	if (!*c->listen.sgsn)
		return OK;
	return gsup_listen(v->process->loop, &(struct gsup_listener){ .name = "sgsn", .address = c->listen.sgsn, .protected_wire = c->sgsn_protected,
		.may = may, .events = { up, message, down }, .arg = v }, &v->sgsn_server, w);
}
