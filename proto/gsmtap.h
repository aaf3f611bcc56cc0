/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_GSMTAP_H
#define USHER_PROTO_GSMTAP_H
/* The embedded access on UDP: GSMTAP version 2, type 8 (LLC) both ways, type 1 (Um) with the BCCH's System Information.
 * An uplink of type 8 without a frame tunes in. */
#include "core/bytes.h"

enum gsmtap_type { GSMTAP_UM = 1, GSMTAP_LLC = 8 };
enum { GSMTAP_MAX = 1600, PLMN_OCTETS = 3 };

struct gsmtap {
	enum gsmtap_type type;
	int uplink;
	struct bytes payload;
};
enum err gsmtap_read(struct bytes in, struct gsmtap *out) MUST_CHECK;
enum err gsmtap_write(const struct gsmtap *g, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;

/* PLMN as in a LAI (TS 24.008 10.5.1.3): "001-01" and "310-260". */
enum err plmn_write(const char *plmn, uint8_t out[PLMN_OCTETS]) MUST_CHECK;
enum err plmn_read(const uint8_t in[PLMN_OCTETS], char dst[8]) MUST_CHECK;

/* What a cell says of itself (TS 44.018 9.1.35, 9.1.43a). */
struct cell_info {
	char plmn[8];
	uint16_t lac, cell;
	uint8_t rac;
	int nmo;            /* network mode of operation, 1..3 */
	int barred;
};
enum err si3_write(const struct cell_info *c, uint8_t out[23]) MUST_CHECK;
enum err si13_write(const struct cell_info *c, uint8_t out[23]) MUST_CHECK;
/* Reads either; which becomes 3 or 13, and only its own fields of c are set. ERR_UNSUPPORTED: another message. */
enum err si_read(struct bytes in, int *which, struct cell_info *c) MUST_CHECK;

#endif
