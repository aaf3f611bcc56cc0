/* SPDX-License-Identifier: Apache-2.0 */
#include "link/letter.h"

#include <stdlib.h>

enum err letter_json(struct tx *tx, const struct letter *to, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct letter l = *to;
	enum err e = ERR_NOMEM;

	if (text) {
		l.type = "application/json";
		l.body = bytes_text(text);
		e = tx_outbox(tx, &l);
	}
	json_decref(body);
	free(text);
	return e;
}

enum err letter_refused(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	char why[256];

	(void)tx, (void)e;
	json_why(event->body, why, sizeof(why));
	return fail(w, ERR_DENIED, "%s %s refuses: %s", event->role, event->peer, why);
}
