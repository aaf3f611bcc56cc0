/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_H
#define USHER_AUC_H
/*
 * Vectors and sequence numbers (TS 33.102 6.3, C.1) of both home ends, registration and hss. No I/O of its own.
 * SEQ = T + the identity's offset, with T = seconds since 2020, at least one more than the identity's last; SQN = SEQ << 5 |
 * IND. T never goes back: a clock that does only makes it slower. One durable mark per process: no T at or above it leaves
 * before the caller has it on disk, and after a restart nothing below it is used again. INDs 0-27 serve GSUP, 28-31 discover,
 * whose vectors carry AMF 0001. RAND = AES(T, random, identity) under a key of the database: it never repeats, and that a RAND
 * is ours, whose, and from when, is seen from itself, over every restart and without any memory.
 */
#include "proto/milenage.h"

enum {
	AUC_AHEAD_S = 180,      /* of the mark, more than AUC_RUN and a renewal */
	AUC_RUN = 60,           /* vectors of an identity at once; one more every second (TS 33.102 C.2: Delta is never reached) */
	AUC_RUN_DISCOVER = 30,  /* of these for discover, where a stranger may ask: he never takes the network's */
	AUC_RESYNCS = 5,        /* of an identity at once; one more every AUC_RESYNC_S */
	AUC_RESYNC_S = 60,
	AUC_EPOCH = 1577836800, /* 2020-01-01 */
};
enum auc_use { AUC_GSUP, AUC_DISCOVER };

struct auc;
/* mark: the one on disk, 0 for a new database. The caller then saves auc_wanted() before it serves. rand: the database's key. */
enum err auc_open(int64_t mark, const struct secret *rand, struct auc **out) MUST_CHECK;
void auc_close(struct auc *a);
/* The mark to put on disk now, 0 if there is room left; auc_saved when it is there. now: seconds since 1970. */
int64_t auc_wanted(struct auc *a, int64_t now);
void auc_saved(struct auc *a, int64_t mark);

struct auc_identity {
	const char *id;           /* PIMSI or IMSI, at most 15 digits */
	struct secret k, opc;
	int64_t offset, since;    /* as the last resynchronisation saved them; since: no RAND of that T or before counts any more */
};
/* The offset of a number that is issued at this moment: its SEQ starts at 1 (DESIGN 4), in the very same second too. */
int64_t auc_offset_new(int64_t now);
/* *n vectors, or fewer: at least one, else ERR_AGAIN: save auc_wanted() first; ERR_LIMIT: it has had too many. */
enum err auc_vectors(struct auc *a, const struct auc_identity *x, enum auc_use use, int64_t now, struct vector *v, int *n) MUST_CHECK;
/* A resynchronisation: offset and since are what the caller saves, with an audit entry, before the next vector; given: T of its RAND. */
struct auc_resynced {
	int64_t offset, since, given;
};
/*
 * SEQ goes either way. ERR_MISSING: rand is none that we gave this identity; ERR_EXPIRED: one from before its last
 * resynchronisation (a replay); ERR_AUTH: MAC-S is wrong; ERR_LIMIT: too many.
 */
enum err auc_resync(struct auc *a, const struct auc_identity *x, const uint8_t rand[16], const uint8_t auts[14], int64_t now,
	struct auc_resynced *out) MUST_CHECK;

/* A token bucket as one number (GCRA): *full is when it will be full again. 1: taken. Units are the caller's. */
int auc_bucket(int64_t *full, int64_t now, int64_t step, int64_t burst);

#endif
