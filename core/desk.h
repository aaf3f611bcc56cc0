/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_DESK_H
#define USHER_CORE_DESK_H
/*
 * The doors for people, the same in every role, for certificates of role staff:
 *   GET /metrics (Prometheus text)   GET /health   GET /v1/status   GET /v1/story?kind=K&value=V
 */
#include "core/server.h"
#include "core/store.h"

struct desk;

/* A counter or gauge: static table in the role's main.c, cells owned by the desk. */
struct metric {
	const char *name;   /* "usher_registration_vectors_total" */
	const char *help;
	int gauge;          /* 0: counter */
};
struct desk_conf {
	const char *role, *id;
	const struct metric *metrics;             /* ended by {0}; may be NULL */
	const char *const *kinds;                 /* subject kinds it has stories of, NULL-ended */
	const char *const *aliases;               /* kinds that are followed, NULL-ended */
	/* adds the role's own lines to the status object, in a transaction; may be NULL */
	enum err (*status)(struct tx *tx, json_t *into, void *arg);
	void *arg;
	struct store *store;
	struct outbox *outbox;                    /* may be NULL */
	int64_t certificates_end;                 /* seconds since 1970, or 0 */
};
enum err desk_open(const struct desk_conf *c, struct desk **out) MUST_CHECK;
void desk_close(struct desk *d);
void desk_count(struct desk *d, int metric, int64_t add);  /* index into metrics; on the loop */

/* The four routes' handlers; arg of the server must begin with a struct desk * (struct process does). */
void desk_metrics(struct ask *a, void *arg);
void desk_health(struct ask *a, void *arg);
void desk_status(struct ask *a, void *arg);
void desk_story(struct ask *a, void *arg);
#define DESK_ROUTES \
	{ "GET", "/metrics", WHO(STAFF), 0, desk_metrics }, { "GET", "/health", WHO(STAFF), 0, desk_health }, \
	{ "GET", "/v1/status", WHO(STAFF), 0, desk_status }, { "GET", "/v1/story", WHO(STAFF), 0, desk_story }

#endif
