/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 3 (I3, R6): vectors for PIMSIs; the work is auc/serve.c's, what a PIMSI's state means for them stands in pool.c. */
#include "roles/registration/registration.h"

enum err vectors_open(struct registration *r, struct why *w)
{
	const struct conf *c = r->process->conf;
	const struct auc_serve conf = {
		.process = r->process,
		.address = c->listen.gsup,
		.apn = c->apn,
		.numbers = &pimsis,
		.rate = c->vectors_rate,
		.resyncs = c->resyncs_rate,
		.count_given = COUNT_VECTORS,
		.count_refused = COUNT_VECTORS_REFUSED,
	};

	return auc_serve_open(&conf, &r->vectors, w);
}
