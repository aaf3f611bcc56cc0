/* SPDX-License-Identifier: Apache-2.0 */
/* The order of a run's doors: out of order is an error, and changes nothing. */
#include <string.h>

#include "roles/equipment/tre/tre.h"

static const char *const missing[] = { [RUN_BEGUN] = "", [RUN_ROUTED] = "no discover answer was accepted", [RUN_ANSWERED] = "no challenge was answered",
	[RUN_TRIGGERED] = "no trigger was accepted", [RUN_PACKED] = "no package waits" };

enum err run_at(const struct tre *t, enum stage s, struct why *w)
{
	return t->stage >= s ? OK : fail(w, ERR_ORDER, "%s in this run", missing[s]);
}

void run_set(struct tre *t, enum stage s)
{
	static const enum stage since[BY_COUNT] = { [BY_REGISTRATION] = RUN_ROUTED, [BY_DLUSIM] = RUN_TRIGGERED, [BY_PACKAGE] = RUN_PACKED };

	for (int i = 0; i < BY_COUNT; i++)
		if (s < since[i])
			cms_signed_free(t->by + i);
	if (s < RUN_PACKED)
		memset(t->good, 0, sizeof(t->good)); /* of another package, and nonce */
	if (s < RUN_TRIGGERED)
		secret_wipe(&t->grounds.trigger, sizeof(t->grounds.trigger)); /* the DM account's secrets stand in it */
	if (s < RUN_ROUTED)
		secret_wipe(&t->grounds, sizeof(t->grounds));
	t->stage = s;
}
