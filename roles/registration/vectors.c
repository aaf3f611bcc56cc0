/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 3 (I3, R6): vectors for PIMSIs; the work is auc/serve.c's, here is what a PIMSI's state means for them. */
#include "roles/registration/registration.h"

static const struct auc_state states[] = {
	{ "bound", 0 }, { "routed", 0 }, { "used", 0 }, { "free", 17 }, { "reserved", 17 }, { "issued", 17 }, { "retired", 8 }, { "quarantine", 8 },
	{ "blocked", 8 }, { 0 },
};

enum err vectors_open(struct registration *r, struct why *w)
{
	const struct conf *c = r->process->conf;
	const struct auc_serve conf = {
		.process = r->process,
		.address = c->listen.gsup,
		.apn = c->apn,
		.kind = "pimsi",
		.sql_who = "SELECT state, visited, equipment, auc_offset, k, opc FROM pimsi WHERE pimsi = :id",
		.sql_offset = "UPDATE pimsi SET auc_offset = :offset WHERE pimsi = :id",
		.sql_location = "UPDATE pimsi SET visited = :visited, attached_at = :now WHERE pimsi = :id",
		.sql_purge = "UPDATE pimsi SET visited = '' WHERE pimsi = :id AND visited = :visited",
		.states = states,
		.count_given = COUNT_VECTORS,
		.count_refused = COUNT_VECTORS_REFUSED,
	};

	return auc_serve_open(&conf, &r->vectors, w);
}
