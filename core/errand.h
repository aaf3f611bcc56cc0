/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_ERRAND_H
#define USHER_CORE_ERRAND_H
/*
 * An errand is a row with a table of rules. What takes longer than one answer is a record (kind, id, state); an event
 * finds its rule by (state, event), the rule's act does the role's own work in the same transaction, and the errand
 * moves to next, or to fail if the act refuses. An event without a rule changes nothing and is ERR_ORDER: late and
 * repeated events are the normal path. Whoever waits is told after the commit.
 */
#include "core/bytes.h"
#include "core/loop.h"
#include "core/store.h"

enum { ERRAND_ID = 192 };

struct errand {
	char kind[24], id[ERRAND_ID], state[24];
	char why[320];      /* the last refusal, for people */
	int64_t due;        /* ms since 1970 when the event "due" comes, 0: never */
	int64_t changed;    /* ms since 1970 */
};

struct errand_event {
	const char *name;           /* "start", "claim.ok", "claim.refused", "due", ... */
	const char *role, *peer;    /* who sent it; NULL: ourselves */
	int status;                 /* of a letter's answer */
	struct bytes body;
	void *arg;                  /* of the local caller */
};

/* OK: moves to next. ERR_AGAIN: stays (and an answered letter waits again). Other: its sentence goes to e->why, moves to
 * fail (or, if fail is NULL, the transaction fails). An act may set e->due. */
typedef enum err (*errand_act)(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w);

struct errand_rule {
	const char *state;      /* "*": any */
	const char *event;
	const char *from;       /* role that must have sent it, NULL: any */
	errand_act act;         /* NULL: only the move */
	const char *next;       /* NULL: stays */
	const char *fail;
};
struct errand_kind {
	const char *name;
	const struct errand_rule *rules;   /* ended by {0} */
	const char *const *settled;        /* states at which waiters are told, NULL-ended */
	/* writes the audit entry when an act refused and the errand moved to fail; may be NULL */
	enum err (*refused)(struct tx *tx, const struct errand *e);
};

struct errands;
enum err errands_open(struct loop *l, struct store *s, const struct errand_kind *kinds /* ended by {0} */,
	struct errands **out) MUST_CHECK;
void errands_close(struct errands *e);

/* --- in a transaction --- */
enum err tx_errand_begin(struct tx *tx, const char *kind, const char *id, const char *state) MUST_CHECK; /* ERR_EXISTS */
enum err tx_errand_get(struct tx *tx, const char *kind, const char *id, struct errand *out) MUST_CHECK;
/* Applies the event by the rules; out (may be NULL) gets the errand afterwards. */
enum err tx_errand_event(struct tx *tx, const char *kind, const char *id, const struct errand_event *event,
	struct errand *out) MUST_CHECK;
enum err tx_errand_due(struct tx *tx, const char *kind, const char *id, int64_t at_ms) MUST_CHECK; /* when the event "due" comes, 0: never */
enum err tx_errand_end(struct tx *tx, const char *kind, const char *id) MUST_CHECK; /* removes the row and its letters */

/* --- on the loop --- */
/* told once: when the errand is in a settled state (now or later) or patience_ms is over. e is NULL if it does not exist. */
typedef void (*errand_told)(void *arg, const struct errand *e);
void errand_wait(struct errands *es, const char *kind, const char *id, int64_t patience_ms, errand_told told, void *arg);

extern const char errand_sql[];

#endif
