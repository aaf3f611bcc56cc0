/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_LETTER_H
#define USHER_LINK_LETTER_H
/* JSON letters of errands to other roles (core/outbox.h), and what a refusal of any of them means. */
#include "core/outbox.h"
#include "proto/json.h"

/* to without type and body. body is taken over; NULL is ERR_NOMEM. */
enum err letter_json(struct tx *tx, const struct letter *to, json_t *body) MUST_CHECK;
/* The act of a rule "WORD.refused": ERR_DENIED with the other side's sentence. */
enum err letter_refused(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w);

#endif
