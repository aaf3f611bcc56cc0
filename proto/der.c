/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/der.h"

struct bytes der_next(struct rd *r, uint8_t *tag)
{
	size_t n;
	uint8_t first;

	*tag = rd_u8(r);
	n = first = rd_u8(r);
	if (first == 0x81)
		n = rd_u8(r);
	else if (first == 0x82)
		n = rd_u16(r);
	else if (first == 0x83)
		n = rd_u24(r);
	/* one form for each length (X.690 10.1), and no tags of several octets */
	if ((*tag & 0x1f) == 0x1f || first == 0x80 || first > 0x83 || (first == 0x81 && n < 0x80) || (first == 0x82 && n < 0x100)
		|| (first == 0x83 && n < 0x10000))
		rd_fail(r, ERR_FORMAT);
	return rd_view(r, r->bad ? 0 : n);
}

struct rd der_in(struct rd *r, uint8_t tag)
{
	uint8_t have;
	struct bytes b = der_next(r, &have);

	if (have != tag)
		rd_fail(r, ERR_FORMAT);
	return rd_of(b);
}

struct bytes der_whole(struct rd *r, uint8_t tag)
{
	const uint8_t *from = r->p;

	(void)der_in(r, tag);
	return r->bad ? BYTES(NULL, 0) : BYTES(from, (size_t)(r->p - from));
}

void der_same(struct rd *r, uint8_t tag, struct bytes expect)
{
	struct rd in = der_in(r, tag);

	if (!bytes_equal(rd_rest(&in), expect))
		rd_fail(r, ERR_FORMAT);
}

void der_number(struct rd *r, uint8_t expect)
{
	der_same(r, DER_INTEGER, BYTES(&expect, 1));
}

void der_closed(struct rd *outer, const struct rd *inner)
{
	if (rd_done(inner))
		rd_fail(outer, ERR_FORMAT);
}
