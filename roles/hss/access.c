/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The gateway of this operator's IMSIs: where they may go is the operator's own list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "roles/hss/hss.h"

struct pass {
	struct process *process;
	struct tunnel *tunnel; /* NULL when it ended meanwhile */
	char imsi[24], target[TUNNEL_TARGET], plmn[ID_MAX];
	int waiting;
};

static int listed(const struct conf *c, const char *target)
{
	for (size_t i = 0; i < c->open.n; i++) {
		char plain[300];
		struct why unused;

		if (!conf_resolve((const char *)c->open.item + i * 300, plain, sizeof(plain), &unused) && !strcmp(plain, target))
			return 1;
	}
	return 0;
}

/* The network is believed because its certificate's PLMN is where the IMSI's UpdateLocation came from. */
static enum err pass_check(struct tx *tx, void *arg)
{
	struct pass *p = arg;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT visited FROM imsi WHERE imsi = :imsi AND state IN ('trial', 'active')", WITH(B_TEXT("imsi", p->imsi)), &r);

	return e == ERR_MISSING || (!e && strcmp(row_text(r, 0), p->plmn)) ? ERR_DENIED : e;
}

static void pass_checked(void *arg, enum err e)
{
	struct pass *p = arg;

	p->waiting = 0;
	if (!p->tunnel) {
		free(p);
	} else if (e) {
		tunnel_refuse(p->tunnel, e == ERR_DENIED ? 403 : 503, e, e == ERR_DENIED ? "%s is not attached in network %s" : "try again: %s in %s", p->imsi, p->plmn);
	} else {
		log_hop(LOG_INFO, "access", "imsi=%s peer=%s target=%s act=open", p->imsi, p->plmn, p->target);
		tunnel_dial(p->tunnel, p->target);
	}
}

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct process *process = arg;
	struct pass *p;

	if (strcmp(ask->peer.role, "visited") || !peers_find(process->peers, "visited", ask->peer.id)) {
		tunnel_refuse(t, 403, ERR_DENIED, "%s %s is not a visited operator known here; `usher peer add`", ask->peer.role, ask->peer.id);
	} else if (!listed(process->conf, ask->target)) {
		tunnel_refuse(t, 403, ERR_DENIED, "this operator does not open %s for its IMSIs", ask->target);
	} else if (text_digits(ask->identity) < 6 || text_digits(ask->identity) > 15 || !(p = calloc(1, sizeof(*p)))) {
		tunnel_refuse(t, 400, ERR_FORMAT, "Usher-Identity is not a number");
	} else {
		p->process = process;
		p->tunnel = t;
		p->waiting = 1;
		snprintf(p->imsi, sizeof(p->imsi), "%s", ask->identity);
		snprintf(p->target, sizeof(p->target), "%s", ask->target);
		snprintf(p->plmn, sizeof(p->plmn), "%s", ask->peer.id);
		tunnel_set(t, p);
		store_run(process->store, pass_check, p, pass_checked);
	}
}

static void ended(struct tunnel *t, void *arg)
{
	struct pass *p = tunnel_note(t);

	(void)arg;
	if (!p)
		return;
	p->tunnel = NULL;
	if (!p->waiting)
		free(p);
}

enum err access_open(struct hss *h, struct why *w)
{
	const struct conf *c = h->process->conf;
	struct tunnel_conf t = { .name = "access", .address = c->listen.access, .tls = h->process->tls, .most = 10000, .events = { asked, NULL, ended },
		.arg = h->process };

	return tunnel_listen(h->process->loop, &t, &h->access, w);
}
