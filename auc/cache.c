/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/cache.h"

#include <stdlib.h>
#include <string.h>

enum { SETS = 4096, WAYS = 4 };

struct entry {
	char id[DIGITS_MAX];   /* "": free */
	uint64_t used;
	struct subscriber subscriber;
};
struct auc_cache {
	struct number_changes *changes;
	uint64_t uses;
	struct entry entry[SETS][WAYS];
};

enum err auc_cache_open(struct number_changes *changes, struct auc_cache **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	(*out)->changes = changes;
	return OK;
}

void auc_cache_close(struct auc_cache *c)
{
	if (c)
		secret_wipe(c, sizeof(*c));
	free(c);
}

static struct entry *set_of(struct auc_cache *c, const char *id)
{
	return c->entry[text_hash(id) % SETS];
}

static struct entry *entry_of(struct auc_cache *c, const char *id)
{
	struct entry *e = set_of(c, id);

	for (int i = 0; i < WAYS; i++)
		if (!strcmp(e[i].id, id))
			return e + i;
	return NULL;
}

const struct subscriber *auc_cache_find(struct auc_cache *c, const char *id)
{
	struct entry *e = entry_of(c, id);

	if (!e)
		return NULL;
	e->used = ++c->uses;
	return &e->subscriber;
}

void auc_cache_keep(struct auc_cache *c, const char *id, const struct subscriber *s, uint64_t seen)
{
	struct entry *e = entry_of(c, id), *set = set_of(c, id);

	if (number_changes_seen(c->changes) != seen)
		return; /* something has changed since: perhaps this */
	for (int i = 0; !e && i < WAYS; i++)
		if (!*set[i].id)
			e = set + i;
	if (!e) {
		e = set;
		for (int i = 1; i < WAYS; i++)
			if (set[i].used < e->used)
				e = set + i;
	}
	if (text_copy(e->id, sizeof(e->id), id))
		return;
	e->subscriber = *s;
	e->used = ++c->uses;
}

static void forget(struct auc_cache *c, const char *id)
{
	struct entry *e = entry_of(c, id);

	if (e)
		secret_wipe(e, sizeof(*e));
}

void auc_cache_refresh(struct auc_cache *c)
{
	struct number_changes now;

	if (!number_changes_take(c->changes, &now))
		return;
	if (now.n > NUMBER_CHANGES) /* more than it could name */
		secret_wipe(c->entry, sizeof(c->entry));
	for (int i = 0; i < now.n && i < NUMBER_CHANGES; i++)
		forget(c, now.id[i]);
}
