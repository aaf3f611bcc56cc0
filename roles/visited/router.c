/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* GSUP by range of identities (DESIGN 3, row 3): the range decides whom we ask, and whom we believe. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fault.h"
#include "core/log.h"
#include "roles/visited/visited.h"

const struct peer *router_peer(const struct visited *v, const char *id)
{
	const struct peer *p = peers_by_range(v->process->peers, id);

	return p && *p->gsup ? p : NULL;
}

static struct gsup_link *link_of(const struct visited *v, const struct peer *p)
{
	for (size_t i = 0; i < v->links; i++) {
		const struct party *q = gsup_party(v->link[i]);

		if (!strcmp(q->id, p->party.id) && !strcmp(q->role, p->party.role))
			return v->link[i];
	}
	return NULL;
}

static void refuse(struct visited *v, const struct gsup *m, uint8_t cause)
{
	struct gsup no = { .type = gsup_error_of(m->type), .cause = cause, .cancel_type = -1 };

	memcpy(no.imsi, m->imsi, sizeof(no.imsi));
	log_hop(LOG_WARN, "router", "id=%s act=\"%s\" cause=%d why=\"%s\"", m->imsi, gsup_name(m->type), cause, gmm_cause_text(cause));
	if (gsup_is_request(m->type))
		attach_gsup(v, &no);
}

void router_ask(struct visited *v, const struct gsup *m)
{
	const struct peer *p = router_peer(v, m->imsi);
	struct gsup_link *l = p ? link_of(v, p) : NULL;

	desk_count(v->process->desk, COUNT_ROUTED, 1);
	if (!p)
		refuse(v, m, CAUSE_PLMN_NOT_ALLOWED);
	else if (!l || gsup_send(l, m))
		refuse(v, m, CAUSE_NETWORK_FAILURE);
	fault_point(gsup_name(m->type), "said");
}

/* What a server says about identities outside its range is dropped: else any operator could detach another's. */
static void message(struct gsup_link *l, const struct gsup *m, void *arg)
{
	struct visited *v = arg;
	const struct peer *p = router_peer(v, m->imsi);
	const struct party *from = gsup_party(l);

	if (!p || strcmp(p->party.id, from->id) || strcmp(p->party.role, from->role)) {
		log_hop(LOG_WARN, "router", "id=%s peer=%s/%s act=\"refuse %s\" why=\"not its range\"", m->imsi, from->role, from->id, gsup_name(m->type));
		desk_count(v->process->desk, COUNT_OUT_OF_RANGE, 1);
		return;
	}
	attach_gsup(v, m);
}

/* Who waits for this peer's answer is told: it was asked over a link that is gone, and nobody else will answer. */
static void down(struct gsup_link *l, void *arg)
{
	struct visited *v = arg;
	const struct party *was = gsup_party(l);

	for (int i = 0; i < MS_BUCKETS; i++)
		for (struct ms *m = v->ms[i]; m; m = m->next) {
			const struct peer *p = m->state == MS_VECTORS || m->state == MS_LOCATION ? router_peer(v, m->id) : NULL;
			struct gsup ask = { .type = m->state == MS_VECTORS ? GSUP_SAI_REQ : GSUP_UL_REQ };

			if (!p || strcmp(p->party.id, was->id) || strcmp(p->party.role, was->role))
				continue;
			snprintf(ask.imsi, sizeof(ask.imsi), "%.15s", m->id);
			refuse(v, &ask, CAUSE_NETWORK_FAILURE);
		}
}

enum err router_open(struct visited *v)
{
	size_t n = peers_count(v->process->peers);

	v->link = calloc(n ? n : 1, sizeof(*v->link));
	if (!v->link)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct peer *p = peers_at(v->process->peers, i);
		struct gsup_client c = { p->gsup, p->party.role, p->party.id, v->process->id, { NULL, message, down }, v };
		enum err e = *p->gsup ? gsup_dial(v->process->loop, v->process->tls, &c, v->link + v->links) : OK;

		if (e)
			return e;
		v->links += *p->gsup != 0;
	}
	return OK;
}

void router_close(struct visited *v)
{
	for (size_t i = 0; i < v->links; i++)
		gsup_hang_up(v->link[i]);
	free(v->link);
}
