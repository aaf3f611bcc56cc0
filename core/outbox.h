/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_OUTBOX_H
#define USHER_CORE_OUTBOX_H
/*
 * Letters to other roles. A letter is written in the transaction that decides it, sent after the commit, repeated with
 * back-off until the other side answers, and its answer becomes one event of its errand in one transaction, which also
 * removes the letter: every effect between processes happens once, because the other side knows a repeated request.
 * Transport errors, 5xx, 429 and 503: repeated. 202: asked again after Retry-After (default 2 s). Everything else is an answer.
 * 128 letters are in flight, 16 to one place: one that is silent holds up no other. Who does not answer at all gets one letter at a
 * time, after 0.5 s doubled to 60 s with jitter, until he answers.
 */
#include "core/errand.h"
#include "core/http.h"
#include "core/peers.h"

struct letter {
	const char *word;              /* "claim": the event is "claim.ok" (2xx) or "claim.refused" (4xx) */
	const char *errand, *id;       /* kind and id of the errand that gets the answer */
	const char *role, *peer;       /* to whom; the address is looked up in peers at each try */
	const char *address;           /* host:port instead of the peers entry, NULL normally. With role NULL: plain http (OCSP) */
	const char *path;
	const char *type;
	struct bytes body;             /* at most 64 KiB */
};
/* In tx: at most one letter of a word per errand waits; a second one is ERR_EXISTS. */
enum err tx_outbox(struct tx *tx, const struct letter *l) MUST_CHECK;

struct outbox;
enum err outbox_open(struct loop *l, struct store *s, struct http *h, const struct peers *p, struct outbox **out) MUST_CHECK;
void outbox_stop(struct outbox *o);  /* posts nothing more; before http_close and store_close */
void outbox_close(struct outbox *o); /* after them */
/* For status, in tx: letters that wait, and the age of the oldest in seconds. */
enum err tx_outbox_status(struct tx *tx, int64_t *waiting, int64_t *oldest) MUST_CHECK;
/* The sentence of the last delivery that failed, "" if none. */
const char *outbox_last(const struct outbox *o);

extern const char outbox_sql[];

#endif
