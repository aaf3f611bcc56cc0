/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The gateway of this operator's IMSIs: where they may go is the operator's own list. */
#include <string.h>

#include "roles/hss/hss.h"

static enum err listed(struct pass *p)
{
	const struct conf_list *open = &((const struct conf *)p->gateway->process->conf)->open;

	for (size_t i = 0; i < open->n; i++) {
		char plain[300];
		struct why unused;

		if (!conf_resolve((const char *)open->item + i * 300, plain, sizeof(plain), &unused) && !strcmp(plain, p->ask.target))
			return OK;
	}
	return fail(&p->why, ERR_DENIED, "this operator does not open %s for its IMSIs; `open` lists what it does", p->ask.target);
}

enum err access_open(struct hss *h, struct why *w)
{
	static const struct gateway_policy policy = {
		.kind = "imsi",
		.attached = "SELECT visited, equipment, attached_at FROM imsi WHERE imsi = :id AND state IN ('trial', 'active')",
		.size = sizeof(struct pass),
		.asked = listed,
		.count_opened = COUNT_ACCESS,
		.count_refused = COUNT_ACCESS_REFUSED,
	};
	const struct conf *c = h->process->conf;

	h->access = (struct gateway){ .process = h->process, .policy = &policy, .most = (int)c->tunnels };
	return gateway_open(&h->access, c->listen.access, w);
}
