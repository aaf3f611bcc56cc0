/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 3 at home (R16): vectors for IMSIs that were released; the work is auc/serve.c's. An UpdateLocation means: on trial. */
#include "roles/hss/hss.h"

static const struct auc_state states[] = {
	{ "released", 0 }, { "trial", 0 }, { "active", 0 }, { "allocated", 17 }, { "prepared", 17 }, { "suspended", 17 }, { "terminated", 8 },
	{ "quarantine", 8 }, { 0 },
};

enum err vectors_open(struct hss *h, struct why *w)
{
	const struct conf *c = h->process->conf;
	const struct auc_serve conf = {
		.process = h->process,
		.address = c->listen.gsup,
		.apn = c->apn,
		.kind = "imsi",
		.sql_who = "SELECT state, visited, equipment, auc_offset, k, opc FROM imsi WHERE imsi = :id",
		.sql_offset = "UPDATE imsi SET auc_offset = :offset WHERE imsi = :id",
		.sql_location = "UPDATE imsi SET visited = :visited, attached_at = :now, state = CASE state WHEN 'released' THEN 'trial' ELSE state END"
			" WHERE imsi = :id",
		.sql_purge = "UPDATE imsi SET visited = '' WHERE imsi = :id AND visited = :visited",
		.states = states,
		.count_given = COUNT_VECTORS,
		.count_refused = COUNT_VECTORS_REFUSED,
	};

	return auc_serve_open(&conf, &h->vectors, w);
}
