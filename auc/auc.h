/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_H
#define USHER_AUC_H
/*
 * Vectors and sequence numbers (TS 33.102 6.3, C.1), the one duty that registration and hss share. No I/O of its own.
 * SEQ = T + the identity's offset, with T = seconds since 2020, at least one more than the identity's last; SQN = SEQ << 5 |
 * IND. One durable mark per process: no T at or above it leaves before the caller has it on disk, and after a restart
 * nothing below it is used again. INDs 0-27 serve GSUP, 28-31 discover, whose vectors carry AMF 0001.
 */
#include "proto/milenage.h"

enum { AUC_AHEAD_S = 120, AUC_EPOCH = 1577836800 /* 2020-01-01 */ };
enum auc_use { AUC_GSUP, AUC_DISCOVER };

struct auc;
/* mark: the one on disk, 0 for a new database. The caller then saves auc_wanted() before it serves. */
enum err auc_open(int64_t mark, struct auc **out) MUST_CHECK;
void auc_close(struct auc *a);
/* The mark to put on disk now, 0 if there is room left; auc_saved when it is there. now: seconds since 1970. */
int64_t auc_wanted(const struct auc *a, int64_t now);
void auc_saved(struct auc *a, int64_t mark);

struct auc_identity {
	const char *id;           /* PIMSI or IMSI digits */
	struct secret k, opc;
	int64_t offset;
};
/* The offset of a number that is issued at this moment: its SEQ starts at 1 (DESIGN 4), in the very same second too. */
int64_t auc_offset_new(int64_t now);
/* ERR_AGAIN: save auc_wanted() first. */
enum err auc_vector(struct auc *a, const struct auc_identity *x, enum auc_use use, int64_t now, struct vector *v) MUST_CHECK;
/* A resynchronisation: rand must be one that we gave this identity (ERR_MISSING), MAC-S right (ERR_AUTH). *offset: what the
 * caller saves, with an audit entry, before the next vector; it goes either way. */
enum err auc_resync(struct auc *a, const struct auc_identity *x, const uint8_t rand[16], const uint8_t auts[14], int64_t now,
	int64_t *offset) MUST_CHECK;

#endif
