/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_AUDIT_H
#define USHER_CORE_AUDIT_H
/*
 * Every state change has exactly one entry, written in the same transaction, chained by SHA-256 to the one before it.
 * An entry names its subjects (kind, value); a subject's story is all entries that name it or one of its aliases: the
 * other subjects of those entries, for the kinds that say they are aliases of an equipment.
 */
#include <jansson.h>

#include "core/store.h"

struct about {
	const char *kind, *value;   /* value NULL or "": left out */
};
/* The text is cut at 511 characters, what is not printable ASCII in it becomes '?'; in a subject's value that is ERR_FORMAT. */
/* tx_audit(tx, "vectors", ABOUT({ "pimsi", p }, { "equipment", eq }), "gave %d vectors to %s", n, peer) */
#define ABOUT(...) ((const struct about[]){ __VA_ARGS__, { 0 } })
enum err tx_audit(struct tx *tx, const char *step, const struct about *about, const char *fmt, ...)
	MUST_CHECK __attribute__((format(printf, 4, 5)));

/* A story: [{"seq": n, "at_ms": n, "at": "...Z", "step": "...", "text": "...", "about": {"pimsi": "..."}}]
 * oldest first, at most limit entries (the newest). aliases: kinds that may be followed one hop, NULL-ended. */
enum err tx_story(struct tx *tx, const char *kind, const char *value, const char *const *aliases, int limit, json_t **out) MUST_CHECK;

/* Recomputes the chain; ERR_AUTH with the first bad entry in w. */
enum err tx_audit_check(struct tx *tx, struct why *w) MUST_CHECK;

extern const char audit_sql[]; /* the tables, part of every database */

#endif
