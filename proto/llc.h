/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_LLC_H
#define USHER_PROTO_LLC_H
/* LLC UI frames (TS 44.064 6), unciphered, protected: what carries GMM and SM. */
#include "core/bytes.h"

enum { LLC_GMM = 1, LLC_SNDCP = 3, LLC_INFO_MAX = 1500, LLC_NU = 512 };

struct llc {
	uint8_t sapi;
	uint16_t nu;       /* N(U), 9 bits */
	int cr;            /* C/R bit: 1 in commands of the network by TS 44.064 6.2.2; osmo-sgsn sends 0 */
	int ciphered;      /* E bit: info is not readable then */
	struct bytes info;
};
/* ERR_AUTH: FCS; ERR_UNSUPPORTED: not a protected UI frame. */
enum err llc_read(struct bytes in, struct llc *out) MUST_CHECK;
enum err llc_write(const struct llc *f, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
/* 1 if nu comes after last, of the 9 bit circle; the same one is a repetition. */
static inline int llc_newer(uint16_t nu, uint16_t last) { return ((unsigned)(nu - last) & 511) - 1 < 255; }

#endif
