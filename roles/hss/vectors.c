/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 3 at home (R16): vectors for IMSIs; the work is auc/serve.c's, what an IMSI's state means for them stands in pool.c. */
#include "roles/hss/hss.h"

enum err vectors_open(struct hss *h, struct why *w)
{
	const struct conf *c = h->process->conf;
	const struct auc_serve conf = {
		.process = h->process,
		.address = c->listen.gsup,
		.apn = c->apn,
		.numbers = &imsis,
		.rate = c->vectors_rate,
		.resyncs = c->resyncs_rate,
		.count_given = COUNT_VECTORS,
		.count_refused = COUNT_VECTORS_REFUSED,
	};

	return auc_serve_open(&conf, &h->vectors, w);
}
