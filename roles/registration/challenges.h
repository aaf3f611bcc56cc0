/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_REGISTRATION_CHALLENGES_H
#define USHER_ROLES_REGISTRATION_CHALLENGES_H
/*
 * Open challenges of discover, one per PIMSI: in memory, because a nonce lost in a restart is only asked anew. The oldest makes room
 * for a new one beyond CHALLENGES: it was answered within seconds, or never is.
 */
#include "auc/number.h"
#include "proto/digest.h"

enum { CHALLENGES = 16384, CHALLENGE_MS = 60000 };

struct open_challenge {
	struct open_challenge *next; /* the table's */
	char pimsi[DIGITS_MAX], equipment[EQUIPMENT_MAX], nonce[DIGEST_NONCE], password[DIGEST_PASSWORD];
	uint8_t rand[16];
	int64_t until;               /* clock_mono_ms */
};
struct challenges;
struct challenges *challenges_open(void); /* NULL: out of memory */
void challenges_close(struct challenges *c); /* wipes */
/* The one that lives, or NULL; valid until the next begin or end. */
const struct open_challenge *challenges_find(struct challenges *c, const char *pimsi);
void challenges_begin(struct challenges *c, const struct open_challenge *o); /* a copy; ends the one before; its until is set here */
void challenges_end(struct challenges *c, const char *pimsi);                /* used; wiped */

#endif
