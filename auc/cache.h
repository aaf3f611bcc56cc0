/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_CACHE_H
#define USHER_AUC_CACHE_H
/*
 * Subscribers in memory, for a process that is the only writer of its database (DESIGN 6): who is asked about again needs no
 * transaction and no unwrapping. Bounded; on the loop's thread. What a transaction changes it names in struct number_changes; what
 * was read before a change is never put in after it.
 */
#include "auc/auc.h"
#include "auc/number.h"

struct subscriber {
	const struct number_state *state;
	char equipment[EQUIPMENT_MAX];
	struct secret k, opc;
	int64_t offset, since;
};
struct auc_cache;
enum err auc_cache_open(struct number_changes *changes, struct auc_cache **out) MUST_CHECK;
void auc_cache_close(struct auc_cache *c); /* wipes */
/* NULL: not there. Valid until the next call. */
const struct subscriber *auc_cache_find(struct auc_cache *c, const char *id);
/* seen: number_changes_seen() when it was read. */
void auc_cache_keep(struct auc_cache *c, const char *id, const struct subscriber *s, uint64_t seen);
/* Forgets what has changed; at every commit, before anybody hears of it. */
void auc_cache_refresh(struct auc_cache *c);

#endif
