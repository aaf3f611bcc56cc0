/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/llc.h"

enum { UI = 0xc0, PM = 1, E = 2, FCS = 3 };

/* CRC-24 of TS 44.064 5.5, reflected, as it lies on the wire: LSB first. */
static uint32_t fcs(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffff;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xad85dd : 0);
	}
	return ~crc & 0xffffff;
}

enum err llc_read(struct bytes in, struct llc *f)
{
	struct rd r = rd_of(in);
	uint8_t addr = rd_u8(&r), c1 = rd_u8(&r), c2 = rd_u8(&r);
	uint32_t have, right;

	if (in.n < 3 + FCS)
		return ERR_SHORT;
	if (in.n > 3 + FCS + LLC_INFO_MAX)
		return ERR_LIMIT;
	if (addr & 0x80 || (c1 & 0xf8) != UI || !(c2 & PM))
		return ERR_UNSUPPORTED;
	have = (uint32_t)(in.p[in.n - 3] | in.p[in.n - 2] << 8 | in.p[in.n - 1] << 16);
	right = fcs(in.p, in.n - FCS);
	*f = (struct llc){ addr & 15, (uint16_t)((c1 & 7) << 6 | c2 >> 2), addr >> 6 & 1, (c2 & E) != 0, BYTES(in.p + 3, in.n - 3 - FCS) };
	return have == right || f->ciphered ? OK : ERR_AUTH;
}

enum err llc_write(const struct llc *f, uint8_t *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);
	uint32_t crc;

	wr_u8(&w, (uint8_t)(f->cr << 6 | f->sapi));
	wr_u8(&w, (uint8_t)(UI | f->nu >> 6));
	wr_u8(&w, (uint8_t)(f->nu << 2 | PM));
	wr_bytes(&w, f->info);
	if (wr_done(&w))
		return ERR_LIMIT;
	crc = fcs(dst, w.n);
	for (int i = 0; i < FCS; i++)
		wr_u8(&w, (uint8_t)(crc >> 8 * i));
	*n = w.n;
	return wr_done(&w);
}
