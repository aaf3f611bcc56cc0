/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_NUMBER_H
#define USHER_AUC_NUMBER_H
/*
 * The life of a number (DESIGN 4), which PIMSIs at a registration operator and IMSIs at an HSS share: its states and the moves
 * between them are two tables of the role. From them come the causes of refused vectors, people's commands, the audit's texts and
 * every refusal. A move is part of its caller's transaction. A state without vectors owes the network that held the number a
 * LocationCancel: the debt stands in the row until that network answers (auc/serve.c pays it).
 */
#include <pthread.h>

#include "core/audit.h"
#include "core/process.h"
#include "proto/object.h"

enum { NUMBER_STATE = 16 };

struct number_state {
	const char *name;
	int vectors;            /* most at a time; 0: none, but the cause */
	uint8_t cause;          /* of TS 24.008 10.5.5.14 */
	const char *about;      /* for people: what it means, and what comes next */
};
struct number {
	char id[DIGITS_MAX], state[NUMBER_STATE], before[NUMBER_STATE]; /* before: it was blocked */
	char equipment[EQUIPMENT_MAX], visited[PLMN_TEXT], cancel[PLMN_TEXT]; /* cancel: the network that LocationCancel is owed to */
	int64_t life, changed_at; /* how many times it was issued; seconds since 1970 */
};
struct number_move {
	const char *from;       /* "*": any other state than `to` */
	const char *event, *to; /* to NULL: the state before it was blocked */
	const char *who;        /* whose event it is: "staff", "factory", "dlusim", "equipment", "visited", "time" */
	const char *step;       /* of the audit entry */
	const char *text;       /* its sentence; {number} {equipment} {by}. NULL: the caller's own entry tells it */
	/* what else the role does in the same transaction; may change x->state, which is where it goes; may be NULL */
	enum err (*act)(struct tx *tx, struct number *x, struct why *w);
};

/* The numbers that transactions have changed, for whoever remembers them (auc/cache.h): one per process, written by the store's thread. */
enum { NUMBER_CHANGES = 1024 };
struct number_changes {
	pthread_mutex_t lock;
	uint64_t seen;          /* changes ever */
	int n;                  /* since the last take; more than NUMBER_CHANGES: not all are named */
	char id[NUMBER_CHANGES][DIGITS_MAX];
};
uint64_t number_changes_seen(struct number_changes *c);
int number_changes_take(struct number_changes *c, struct number_changes *out); /* 0: none */

struct number_sql {
	const char *add, *count, *states, *first, *take, *key, *empty, *get, *set, *all, *in_state, *rate, *block, *who, *offset, *location,
		*cancels, *cancelled, *detached;
};
struct numbers {
	const char *kind, *name;           /* "pimsi": table, column, audit subject and command; "PIMSI" */
	const struct number_state *states; /* ended by {0}; the first is a number that nobody has */
	const struct number_move *moves;   /* ended by {0} */
	struct number_changes *changes;
	struct number_sql sql;
};

/* The state's row, or NULL. */
const struct number_state *number_state(const struct numbers *n, const char *state);
/* 1: the move leads away from this state. */
int number_starts(const struct number_move *m, const char *state);
/* 1: the event has a move from this state. */
int number_may(const struct numbers *n, const char *state, const char *event);

/* --- in a transaction --- */
/* ERR_MISSING with a sentence. */
enum err number_get(struct tx *tx, const struct numbers *n, const char *id, struct number *x, struct why *w) MUST_CHECK;
/* What happens to a number, and by whom or what, for the audit's sentence, and subjects beside number and equipment:
 * EVENT("location", plmn), EVENT_ABOUT("issue", maker, { "order", id }) */
struct number_event {
	const char *name, *by;
	struct about more[3]; /* ended by {0} */
};
#define EVENT(name_, by_) (&(const struct number_event){ .name = (name_), .by = (by_) })
#define EVENT_ABOUT(name_, by_, ...) (&(const struct number_event){ .name = (name_), .by = (by_), .more = { __VA_ARGS__ } })
/*
 * The one way in which a number changes its state. x (may be NULL): the number afterwards.
 * ERR_ORDER: no such move; the sentence names the state and what may come next.
 */
enum err number_event(struct tx *tx, const struct numbers *n, const char *id, const struct number_event *event, struct number *x, struct why *w) MUST_CHECK;
/* Who gets a number, with which keys, by which event. */
struct number_issue {
	const char *equipment;
	const struct secret *k, *opc;
	const struct number_event *event;
};
/* A number that nobody has, those never used first. ERR_LIMIT: none is left. */
enum err number_take(struct tx *tx, const struct numbers *n, const struct number_issue *to, struct number *x, struct why *w) MUST_CHECK;
/* New keys for a number that stays where it is. */
enum err number_key(struct tx *tx, const struct numbers *n, const char *id, const struct secret *k, const struct secret *opc) MUST_CHECK;
/* The network plmn no longer holds the number: the debt is paid, and what waited for it (event let-go) happens. */
enum err number_let_go(struct tx *tx, const struct numbers *n, const char *id, const char *plmn) MUST_CHECK;

struct auc_resynced;
/* What auc_resync found. ERR_EXPIRED: another one has been saved since its RAND was given, and counts. */
enum err number_resynced(struct tx *tx, const struct numbers *n, const char *id, const struct auc_resynced *r) MUST_CHECK;
/* Time's event for a number is an errand {kind, number, "waiting"}: at (seconds since 1970) replaces one that waits. */
enum err number_later(struct tx *tx, const char *errand, const char *id, int64_t at) MUST_CHECK;
/* What that errand does when it is due: the event, if the number's state has it by then. The errand ends. */
enum err number_due(struct tx *tx, const struct numbers *n, const struct errand *e, const char *event, struct why *w) MUST_CHECK;

/* --- the duty `pool` (pool.c): POST /v1/pool, GET /v1/pool, GET and POST /v1/pool/<number>, and its part of the status --- */
void pool_ask_add(struct ask *a, struct process *p, const struct numbers *n);
void pool_ask_list(struct ask *a, struct process *p, const struct numbers *n);
void pool_ask_show(struct ask *a, struct process *p, const struct numbers *n);
void pool_ask_move(struct ask *a, struct process *p, const struct numbers *n);
enum err pool_tell(struct tx *tx, const struct numbers *n, json_t *into) MUST_CHECK;

/* The SQL of a table t with the column t. Two roles, one text. */
#define NUMBER_SQL(t) { \
	.add = "INSERT INTO " t " (" t ", state, equipment, k, opc, auc_offset, changed_at, visited, attached_at)" \
		" VALUES (:id, :state, '', :none, :none, 0, :now, '', 0) ON CONFLICT DO NOTHING", \
	.block = "INSERT INTO block (first, count, added_at) VALUES (:first, :count, :now)", \
	.count = "SELECT COUNT(*) FROM " t " WHERE state = :state", \
	.states = "SELECT state, COUNT(*) FROM " t " GROUP BY state ORDER BY state", \
	.first = "SELECT " t " FROM " t " WHERE state = :state ORDER BY life, " t " LIMIT 1", \
	.take = "UPDATE " t " SET equipment = :equipment, life = life + 1, issued_at = :now, attached_at = 0 WHERE " t " = :id", \
	.key = "UPDATE " t " SET k = :k, opc = :opc, auc_offset = :offset, auc_since = 0 WHERE " t " = :id", \
	.empty = "UPDATE " t " SET equipment = '', k = :none, opc = :none, auc_offset = 0, auc_since = 0, attached_at = 0 WHERE " t " = :id", \
	.get = "SELECT state, before, equipment, visited, cancel, life, changed_at FROM " t " WHERE " t " = :id", \
	.set = "UPDATE " t " SET state = :state, before = :before, visited = :visited, cancel = :cancel, changed_at = :now WHERE " t " = :id", \
	.all = "SELECT " t ", state, equipment, visited, cancel, life, changed_at FROM " t " WHERE " t " > :after ORDER BY " t " LIMIT :most", \
	.in_state = "SELECT " t ", state, equipment, visited, cancel, life, changed_at FROM " t " WHERE state = :state AND " t " > :after" \
		" ORDER BY " t " LIMIT :most", \
	.rate = "SELECT COUNT(*), (SELECT COALESCE(MIN(issued_at), 0) FROM " t " WHERE issued_at > 0) FROM " t " WHERE issued_at > :since", \
	.who = "SELECT state, visited, equipment, auc_offset, auc_since, k, opc FROM " t " WHERE " t " = :id", \
	.offset = "UPDATE " t " SET auc_offset = :offset, auc_since = :since WHERE " t " = :id AND auc_since < :given", \
	.location = "UPDATE " t " SET visited = :visited, attached_at = :now, cancel = CASE WHEN visited NOT IN ('', :visited) THEN visited" \
		" WHEN cancel = :visited THEN '' ELSE cancel END WHERE " t " = :id", \
	.cancels = "SELECT " t ", cancel, visited FROM " t " WHERE cancel <> '' AND " t " > :after ORDER BY " t " LIMIT :most", \
	.cancelled = "UPDATE " t " SET cancel = '' WHERE " t " = :id AND cancel = :plmn", \
	.detached = "UPDATE " t " SET visited = '' WHERE " t " = :id AND visited = :plmn", \
}

#endif
