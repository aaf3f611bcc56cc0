/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_GSUP_H
#define USHER_PROTO_GSUP_H
/* GSUP, the subscriber protocol of Osmocom's SGSN and HLR: the messages that roaming data service needs (doc/wires.md 5). */
#include "core/bytes.h"
#include "proto/milenage.h"

enum gsup_type {
	GSUP_UL_REQ = 0x04, GSUP_UL_ERR, GSUP_UL_RES, GSUP_SAI_REQ = 0x08, GSUP_SAI_ERR, GSUP_SAI_RES, GSUP_PURGE_REQ = 0x0c, GSUP_PURGE_ERR,
	GSUP_PURGE_RES, GSUP_ISD_REQ = 0x10, GSUP_ISD_ERR, GSUP_ISD_RES, GSUP_DSD_REQ = 0x14, GSUP_DSD_ERR, GSUP_DSD_RES,
	GSUP_CANCEL_REQ = 0x1c, GSUP_CANCEL_ERR, GSUP_CANCEL_RES,
};
enum { GSUP_VECTORS = 5, GSUP_IMSI = 16, GSUP_MAX = 2048, GSUP_PDPS = 4, GSUP_CANCEL_UPDATE = 0, GSUP_CANCEL_WITHDRAW = 1 };

struct gsup_vector {
	struct vector v;
	uint8_t sres[4];
};
struct gsup {
	uint8_t type;
	char imsi[GSUP_IMSI];
	uint8_t cause;             /* 0: absent */
	int cn_domain;             /* 0: absent, 1: PS, 2: CS */
	int cancel_type;           /* -1: absent */
	int has_auts;              /* auts and rand: a resynchronisation */
	uint8_t auts[14], rand[16];
	int vectors;
	struct gsup_vector vector[GSUP_VECTORS];
	int pdp_complete;          /* the PDP list is whole */
	int pdps;
	struct {
		uint8_t id;
		char apn[101];
	} pdp[GSUP_PDPS];
};
/*
 * Unknown elements are skipped. ERR_SHORT, ERR_FORMAT: grammar, a wrong length (empty, too), an element twice; ERR_LIMIT: more
 * than GSUP_VECTORS; ERR_MISSING: a mandatory element of its message or a part of a vector; ERR_UNSUPPORTED: well formed, no
 * message of ours (imsi is set if it was there). RES is 8 octets (MILENAGE's); of PDP contexts the first GSUP_PDPS are kept.
 */
enum err gsup_read(struct bytes in, struct gsup *out) MUST_CHECK;
/* The elements in Osmocom's order. ERR_FORMAT: imsi or an APN; ERR_RANGE: counts; ERR_LIMIT: cap (GSUP_MAX suffices). */
enum err gsup_write(const struct gsup *m, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
const char *gsup_name(uint8_t type);
/* Requests are x0, errors x1, results x2 of a group of four. */
static inline int gsup_is_request(uint8_t type) { return (type & 3) == 0; }
static inline uint8_t gsup_error_of(uint8_t type) { return (uint8_t)((type & ~3) | 1); }
static inline uint8_t gsup_result_of(uint8_t type) { return (uint8_t)((type & ~3) | 2); }

/* APN as labels (TS 23.003 9.1) and as text; cap 101 holds any. ERR_FORMAT, ERR_SHORT, ERR_LIMIT. */
enum err apn_labels_write(const char *apn, struct wr *w) MUST_CHECK;
enum err apn_labels_read(struct bytes in, char *dst, size_t cap) MUST_CHECK;

#endif
