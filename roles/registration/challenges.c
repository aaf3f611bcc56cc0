/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/registration/challenges.h"

#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/clock.h"

enum { BUCKETS = 4096 };

struct challenges {
	struct open_challenge *bucket[BUCKETS], open[CHALLENGES];
	size_t at; /* the next place: the oldest's */
};

struct challenges *challenges_open(void)
{
	return calloc(1, sizeof(struct challenges));
}

void challenges_close(struct challenges *c)
{
	if (c)
		secret_wipe(c, sizeof(*c));
	free(c);
}

/* Where a PIMSI's challenge hangs, or would. */
static struct open_challenge **place_of(struct challenges *c, const char *pimsi)
{
	struct open_challenge **place;

	for (place = c->bucket + text_hash(pimsi) % BUCKETS; *place && strcmp((*place)->pimsi, pimsi); place = &(*place)->next)
		;
	return place;
}

const struct open_challenge *challenges_find(struct challenges *c, const char *pimsi)
{
	const struct open_challenge *o = *place_of(c, pimsi);

	return o && o->until > clock_mono_ms() ? o : NULL;
}

void challenges_end(struct challenges *c, const char *pimsi)
{
	struct open_challenge **place = place_of(c, pimsi), *o = *place;

	if (o) {
		*place = o->next;
		secret_wipe(o, sizeof(*o));
	}
}

void challenges_begin(struct challenges *c, const struct open_challenge *new)
{
	struct open_challenge *o = *place_of(c, new->pimsi), *next;

	if (!o) { /* whoever has one keeps his place: asking again and again throws nobody out */
		o = c->open + c->at++ % CHALLENGES;
		challenges_end(c, o->pimsi);
		*place_of(c, new->pimsi) = o;
	}
	next = o->next;
	*o = *new;
	o->next = next;
	o->until = clock_mono_ms() + CHALLENGE_MS;
}
