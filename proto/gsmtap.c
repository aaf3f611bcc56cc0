/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gsmtap.h"

#include <string.h>

enum { HEAD = 16, VERSION = 2, WORDS = 4, UPLINK = 0x4000, BCCH = 1, SI = 23, SKIP_RR = 0x06, SI3 = 0x1b, SI13 = 0x00, FILL = 0x2b };

enum err gsmtap_read(struct bytes in, struct gsmtap *g)
{
	struct rd r = rd_of(in);
	uint8_t version = rd_u8(&r), words = rd_u8(&r), type = rd_u8(&r);
	uint16_t arfcn;

	(void)rd_u8(&r); /* timeslot */
	arfcn = rd_u16(&r);
	(void)rd_view(&r, HEAD - 6);
	if (r.bad)
		return ERR_SHORT;
	if (version != VERSION || words != WORDS || (type != GSMTAP_UM && type != GSMTAP_LLC))
		return ERR_UNSUPPORTED;
	*g = (struct gsmtap){ (enum gsmtap_type)type, (arfcn & UPLINK) != 0, rd_rest(&r) };
	return g->payload.n <= GSMTAP_MAX ? OK : ERR_LIMIT;
}

enum err gsmtap_write(const struct gsmtap *g, uint8_t *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);

	wr_u8(&w, VERSION);
	wr_u8(&w, WORDS);
	wr_u8(&w, (uint8_t)g->type);
	wr_u8(&w, 0);
	wr_u16(&w, g->uplink ? UPLINK : 0);
	wr_u16(&w, 0);                               /* signal, noise */
	wr_u32(&w, 0);                               /* frame number */
	wr_u8(&w, g->type == GSMTAP_UM ? BCCH : 0);  /* sub-type */
	wr_u24(&w, 0);
	wr_bytes(&w, g->payload);
	*n = w.n;
	return wr_done(&w);
}

/* --- PLMN --- */

enum err plmn_write(const char *t, uint8_t out[PLMN_OCTETS])
{
	size_t n = strlen(t);
	int mnc3 = n == 7 ? t[6] - '0' : 15;

	if ((n != 6 && n != 7) || t[3] != '-' || strspn(t, "0123456789") != 3 || strspn(t + 4, "0123456789") != n - 4)
		return ERR_FORMAT;
	out[0] = (uint8_t)((t[0] - '0') | (t[1] - '0') << 4);
	out[1] = (uint8_t)((t[2] - '0') | mnc3 << 4);
	out[2] = (uint8_t)((t[4] - '0') | (t[5] - '0') << 4);
	return OK;
}

enum err plmn_read(const uint8_t in[PLMN_OCTETS], char dst[8])
{
	const uint8_t d[6] = { in[0] & 15, in[0] >> 4, in[1] & 15, in[2] & 15, in[2] >> 4, in[1] >> 4 };
	size_t n = 0;

	for (int i = 0; i < 6; i++) {
		if (i == 5 && d[i] == 15)
			break;
		if (d[i] > 9)
			return ERR_FORMAT;
		if (i == 3)
			dst[n++] = '-';
		dst[n++] = (char)('0' + d[i]);
	}
	dst[n] = 0;
	return OK;
}

/* --- System Information --- */

/* SI 3 (TS 44.018 9.1.35); its rest octets (10.5.2.34) say that GPRS is there, and are written relative to 2B. */
enum err si3_write(const struct cell_info *c, uint8_t out[SI])
{
	struct wr w = wr_of(out, SI);
	uint8_t plmn[PLMN_OCTETS];
	enum err e = plmn_write(c->plmn, plmn);

	wr_u8(&w, 18 << 2 | 1);       /* L2 pseudo length 18 */
	wr_u8(&w, SKIP_RR);
	wr_u8(&w, SI3);
	wr_u16(&w, c->cell);
	wr_copy(&w, plmn, sizeof(plmn));
	wr_u16(&w, c->lac);
	wr_u24(&w, 0x490000);         /* control channel description: attach-detach allowed, one CCCH; T3212 0 */
	wr_u8(&w, 0x05);              /* cell options: no power control, radio link timeout 24 */
	wr_u16(&w, 0x0000);           /* cell selection parameters */
	wr_u8(&w, c->barred ? 0x42 : 0x40); /* RACH control: retransmissions, cell barred; all access classes */
	wr_u16(&w, 0x0000);
	wr_u8(&w, 0x2c);              /* five times L, then the GPRS indicator: H, RA colour 0, SI 13 position 0 */
	wr_u24(&w, FILL << 16 | FILL << 8 | FILL);
	return e ? e : OK;
}

/* A writer of bits, most significant first, relative to the padding 2B where L and H are meant (TS 44.018 8.9). */
struct bits {
	uint8_t *p;
	size_t at, cap;
};

static void bit(struct bits *b, int v)
{
	if (b->at >= 8 * b->cap)
		return;
	if (v)
		b->p[b->at / 8] |= (uint8_t)(0x80 >> b->at % 8);
	else
		b->p[b->at / 8] &= (uint8_t)~(0x80 >> b->at % 8);
	b->at++;
}

static void field(struct bits *b, unsigned v, int width)
{
	while (width--)
		bit(b, v >> width & 1);
}

static void high(struct bits *b, int h)
{
	bit(b, (FILL >> (7 - b->at % 8) & 1) ^ h);
}

/* SI 13 rest octets (10.5.2.37b): H, BCCH_CHANGE_MARK 3, SI_CHANGE_FIELD 4, no mobile allocation, no PBCCH: RAC 8, SPGC 1,
 * PRIORITY_ACCESS_THR 3, NETWORK_CONTROL_ORDER 2, GPRS cell options (10.5.2.x: NMO 2, T3168 3, T3192 3, ...). */
enum err si13_write(const struct cell_info *c, uint8_t out[SI])
{
	struct bits b = { out, 24, SI };

	memset(out, FILL, SI);
	out[0] = 0 << 2 | 1;
	out[1] = SKIP_RR;
	out[2] = SI13;
	high(&b, 1);
	field(&b, 0, 3);
	field(&b, 0, 4);
	bit(&b, 0);
	bit(&b, 0);
	field(&b, c->rac, 8);
	bit(&b, 0);
	field(&b, 6, 3);
	field(&b, 0, 2);
	field(&b, (unsigned)(c->nmo - 1), 2);
	field(&b, 0, 3);     /* T3168 500 ms */
	field(&b, 2, 3);     /* T3192 1500 ms */
	field(&b, 1, 3);     /* DRX_TIMER_MAX */
	bit(&b, 0);          /* ACCESS_BURST_TYPE */
	bit(&b, 1);          /* CONTROL_ACK_TYPE */
	field(&b, 0, 4);     /* BS_CV_MAX */
	bit(&b, 0);          /* no PAN counters */
	bit(&b, 0);          /* no extension */
	field(&b, 0, 5);     /* GPRS power control: ALPHA ... */
	field(&b, 0, 5);     /* T_AVG_W */
	field(&b, 0, 5);     /* T_AVG_T */
	bit(&b, 0);
	field(&b, 0, 4);
	return c->nmo >= 1 && c->nmo <= 3 ? OK : ERR_RANGE;
}

static unsigned take(struct bytes in, size_t *at, int width)
{
	unsigned v = 0;

	while (width--) {
		size_t i = (*at)++;

		v = v << 1 | (i / 8 < in.n ? in.p[i / 8] >> (7 - i % 8) & 1u : 0);
	}
	return v;
}

static enum err si13_read(struct bytes in, struct cell_info *c)
{
	size_t at = 24;

	/* first bit H, a mobile allocation or a PBCCH: then the fields are elsewhere, and such cells are none of ours */
	if (take(in, &at, 1) == (FILL >> 7 & 1))
		return ERR_MISSING;
	(void)take(in, &at, 7);
	if (take(in, &at, 1) || take(in, &at, 1))
		return ERR_UNSUPPORTED;
	c->rac = (uint8_t)take(in, &at, 8);
	(void)take(in, &at, 6);
	c->nmo = (int)take(in, &at, 2) + 1;
	return c->nmo <= 3 ? OK : ERR_RANGE;
}

enum err si_read(struct bytes in, int *which, struct cell_info *c)
{
	struct rd r = rd_of(in);
	uint8_t plmn[PLMN_OCTETS], rach;
	enum err e;

	if (in.n != SI)
		return ERR_SHORT;
	(void)rd_u8(&r);
	if (rd_u8(&r) != SKIP_RR)
		return ERR_UNSUPPORTED;
	*which = rd_u8(&r);
	if (*which == SI13) {
		*which = 13;
		return si13_read(in, c);
	}
	if (*which != SI3)
		return ERR_UNSUPPORTED;
	*which = 3;
	c->cell = rd_u16(&r);
	rd_copy(&r, plmn, sizeof(plmn));
	c->lac = rd_u16(&r);
	(void)rd_view(&r, 6);
	rach = rd_u8(&r);
	e = plmn_read(plmn, c->plmn);
	c->barred = rach >> 1 & 1;
	return e;
}
