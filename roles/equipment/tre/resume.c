/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A power cut while a package waits sealed (DESIGN 4: verified again only by who holds no package that opens). That it was stored says
 * nothing: each object passes again the checks of its door.
 */
#include <stdlib.h>

#include "roles/equipment/tre/tre.h"

static enum err route_again(struct tre *t, struct why *w)
{
	const struct grounds *g = &t->state.grounds;
	struct bytes der = BYTES(g->discover.p, g->discover.n);
	struct order o;
	enum err e = tre_order(t, (int)g->slot, &o);

	t->route = calloc(1, sizeof(*t->route));
	if (!e)
		e = t->route ? route_read(t, der, &o, t->route, t->by + BY_REGISTRATION, w) : ERR_NOMEM;
	return e ? e : cms_hash(der, t->route_hash);
}

static enum err trigger_again(struct tre *t, struct why *w)
{
	struct trigger *g = calloc(1, sizeof(*g));
	enum err e = g ? trigger_read(t, BYTES(t->state.grounds.trigger.p, t->state.grounds.trigger.n), g, t->by + BY_DLUSIM, w) : ERR_NOMEM;

	if (!e)
		e = time_use(t, VALID_TRIGGER, g->expiry, w); /* it lives as long as the package, and is used again now */
	if (g)
		secret_wipe(g, sizeof(*g));
	free(g);
	return e;
}

static enum err package_again(struct tre *t, struct why *w)
{
	struct profile *p = calloc(1, sizeof(*p));
	enum err e = p ? package_read(t, BYTES(t->state.package.p, t->state.package.n), p, t->by + BY_PACKAGE, w) : ERR_NOMEM;

	if (p)
		secret_wipe(p, sizeof(*p));
	free(p);
	return e;
}

void run_resume(struct tre *t)
{
	struct why w = { "" };
	enum err e = t->state.package.n ? route_again(t, &w) : ERR_MISSING;

	if (!e)
		e = trigger_again(t, &w);
	if (!e)
		e = package_again(t, &w);
	if (!e) {
		time_used_once(t, VALID_DISCOVER);
		time_used_once(t, VALID_CHALLENGE);
		t->grounds = t->state.grounds;
		t->stage = RUN_PACKED;
		return;
	}
	free(t->route);
	t->route = NULL;
	run_set(t, RUN_BEGUN);
}

int tre_sealed(const struct tre *t, struct discover_answer *out)
{
	if (t->stage < RUN_PACKED)
		return 0;
	*out = *t->route;
	return 1;
}
