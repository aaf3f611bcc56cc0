/* SPDX-License-Identifier: Apache-2.0 */
/* The USIM in the tre: AKA's end with the sequence array of TS 33.102 C.2; K and OPc do not leave this file's stack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/digest.h"
#include "proto/milenage.h"
#include "roles/equipment/tre/tre.h"

/* TS 102 221 10.2.1, TS 31.102 7.3.1 */
enum { SW_OK = 0x9000, SW_MEMORY = 0x6581, SW_LENGTH = 0x6700, SW_CONDITIONS = 0x6985, SW_NO_EF = 0x6986, SW_NOT_FOUND = 0x6a82, SW_P1_P2 = 0x6a86,
	SW_OFFSET = 0x6b00, SW_LE = 0x6c00, SW_INS = 0x6d00, SW_CLA = 0x6e00, SW_MAC = 0x9862 };
enum { TAG_SUCCESS = 0xdb, TAG_SYNC = 0xdc, IND_DISCOVER = 28, INDS = 32, IMSI_OCTETS = 9 };
static const uint64_t delta = 1ull << 28; /* TS 33.102 C.2.1: the largest jump taken */

/* What AKA needs of a slot, wherever it lies in the state. */
struct aka_slot {
	struct order_keys *keys;
	uint64_t *seq;
};

/* May the USIM of this slot authenticate? One that was never committed may only on trial. */
static int may_authenticate(const struct tre *t, int slot)
{
	int u = slot - SLOT_USIM;

	return u < 0 || t->state.usim[u].state != USIM_INACTIVE || t->trial == u + 1;
}

static int slot_of(struct tre_state *s, int slot, struct aka_slot *a)
{
	int u = slot - SLOT_USIM;

	if (slot >= 0 && slot < s->pimsis)
		*a = (struct aka_slot){ &s->pimsi[slot].keys, s->pimsi[slot].seq };
	else if (u >= 0 && u < TRE_USIMS && s->usim[u].state != USIM_EMPTY)
		*a = (struct aka_slot){ &s->usim[u].keys, s->usim[u].seq };
	else
		return 0;
	return 1;
}

static uint64_t highest(const uint64_t seq[32])
{
	uint64_t most = 0;

	for (int i = 0; i < 32; i++)
		most = seq[i] > most ? seq[i] : most;
	return most;
}

/* Is SQN fresh? Then it is taken, durably, before any answer leaves. */
static enum err take_sqn(struct tre *t, int slot, uint64_t sqn)
{
	uint64_t seq = sqn >> 5;
	struct tre_state *s;
	struct aka_slot a;

	if (!slot_of(&t->state, slot, &a) || seq <= a.seq[sqn & 31] || seq > highest(a.seq) + delta)
		return ERR_SYNC;
	s = state_copy(t);
	if (s && slot_of(s, slot, &a))
		a.seq[sqn & 31] = seq;
	return state_keep(t, s, OK);
}

/* A PIMSI's vectors say what they are for: AMF 0001 and the last INDs are discover's, all others the network's. */
static int right_use(int slot, const uint8_t amf[2], uint64_t sqn, int discover)
{
	int marked = amf[0] == 0 && amf[1] == 1, late = sqn % INDS >= IND_DISCOVER;

	return slot >= SLOT_USIM ? !discover && !marked : marked == discover && late == discover;
}

struct aka {
	struct milenage_keys keys;
	uint8_t amf[2], auts[14];
};

/* ERR_AUTH: MAC; ERR_SYNC: auts is set; ERR_DENIED: a vector of the other use. */
static enum err authenticate(struct tre *t, int slot, const uint8_t rand[16], const uint8_t autn[16], int discover, struct aka *a)
{
	struct aka_slot s;
	struct milenage m;
	uint64_t sqn = 0;
	enum err e = !slot_of(&t->state, slot, &s) ? ERR_MISSING : !may_authenticate(t, slot) ? ERR_ORDER
		: milenage_open(&m, &s.keys->k, &s.keys->opc);

	if (e)
		return e;
	e = milenage_check(&m, rand, autn, &sqn, a->amf, &a->keys);
	if (!e && !right_use(slot, a->amf, sqn, discover))
		e = ERR_DENIED;
	if (!e)
		e = take_sqn(t, slot, sqn);
	/* SQN_MS: the highest taken, with the IND that was asked for */
	if (e == ERR_SYNC && milenage_auts(&m, rand, highest(s.seq) << 5 | (sqn & 31), a->auts))
		e = ERR_CRYPTO;
	milenage_close(&m);
	if (!e && slot >= SLOT_USIM && t->trial == slot - SLOT_USIM + 1)
		t->trial_good = 1; /* what COMMIT waits for */
	return e;
}

/* --- APDUs --- */

struct command {
	uint8_t cla, ins, p1, p2;
	struct bytes data;  /* Lc octets */
	int le;             /* -1: none, 0: all */
};

/* Short lengths only (ISO 7816-4): a header; then Le, or Lc and data, or both. */
static int command_read(struct bytes apdu, struct command *c)
{
	struct rd r = rd_of(apdu);

	*c = (struct command){ .cla = rd_u8(&r), .le = -1 };
	c->ins = rd_u8(&r);
	c->p1 = rd_u8(&r);
	c->p2 = rd_u8(&r);
	if (r.left > 1)
		c->data = rd_view(&r, rd_u8(&r));
	if (r.left)
		c->le = rd_u8(&r);
	return !rd_done(&r);
}

/* ADF USIM by its AID (any that begins so, TS 102 221 8.5.1), then EF IMSI by its file id (TS 31.102 4.2.2). */
static int run_select(struct tre *t, const struct command *c)
{
	static const uint8_t aid[] = { 0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02 }, ef_imsi[] = { 0x6f, 0x07 };
	int by_aid = c->p1 == 4;

	if ((c->p1 && !by_aid) || c->p2 != 0x0c) /* no data is returned: we have no FCP */
		return SW_P1_P2;
	if (by_aid && c->data.n >= sizeof(aid) && !memcmp(c->data.p, aid, sizeof(aid)))
		t->selected = SELECTED_USIM;
	else if (!by_aid && t->selected != SELECTED_MF && bytes_equal(c->data, BYTES_OF(ef_imsi)))
		t->selected = SELECTED_IMSI;
	else
		return SW_NOT_FOUND; /* what was selected stays so (TS 102 221 8.4) */
	return SW_OK;
}

/* EF IMSI: length, then the digits as in a mobile identity. */
static enum err ef_imsi(const struct tre *t, int slot, uint8_t ef[IMSI_OCTETS])
{
	struct order o;
	const char *digits = slot >= SLOT_USIM ? t->state.usim[slot - SLOT_USIM].imsi : o.pimsi;
	size_t n;

	if (slot < SLOT_USIM && tre_order(t, slot, &o))
		return ERR_MISSING;
	memset(ef, 0xff, IMSI_OCTETS);
	n = strlen(digits);
	ef[0] = (uint8_t)(n / 2 + 1);
	ef[1] = (uint8_t)((digits[0] - '0') << 4 | (n & 1 ? 9 : 1));
	for (size_t i = 1; i < n; i += 2)
		ef[1 + (i + 1) / 2] = (uint8_t)((digits[i] - '0') | (i + 1 < n ? digits[i + 1] - '0' : 15) << 4);
	return OK;
}

static int run_read(struct tre *t, int slot, const struct command *c, struct wr *w)
{
	uint8_t ef[IMSI_OCTETS];
	size_t n;

	if (t->selected != SELECTED_IMSI)
		return SW_NO_EF;
	if (c->data.n || c->le < 0)
		return SW_LENGTH;
	if (c->p1 || c->p2 >= sizeof(ef))
		return SW_OFFSET;
	n = c->le ? (size_t)c->le : sizeof(ef) - c->p2;
	if (n > sizeof(ef) - c->p2)
		return SW_LE | (int)(sizeof(ef) - c->p2);
	if (ef_imsi(t, slot, ef))
		return SW_NOT_FOUND;
	wr_copy(w, ef + c->p2, n);
	return SW_OK;
}

/* TS 31.102 7.1.2, 3G security context; the answer without Kc: no service 27 here. */
static int run_authenticate(struct tre *t, int slot, const struct command *c, struct wr *w)
{
	struct rd r = rd_of(c->data);
	struct bytes rand = rd_view(&r, rd_u8(&r)), autn = rd_view(&r, rd_u8(&r));
	struct aka a;
	enum err e;
	int sw = SW_OK;

	if (c->p1 || c->p2 != 0x81)
		return SW_P1_P2;
	if (rd_done(&r) || rand.n != 16 || autn.n != 16)
		return SW_LENGTH;
	if (t->selected == SELECTED_MF)
		return SW_CONDITIONS;
	e = authenticate(t, slot, rand.p, autn.p, 0, &a);
	if (!e) {
		const struct bytes parts[] = { BYTES(a.keys.res, 8), BYTES(a.keys.ck, 16), BYTES(a.keys.ik, 16) };

		wr_u8(w, TAG_SUCCESS);
		for (int i = 0; i < 3; i++) {
			wr_u8(w, (uint8_t)parts[i].n);
			wr_bytes(w, parts[i]);
		}
	} else if (e == ERR_SYNC) {
		wr_u8(w, TAG_SYNC);
		wr_u8(w, sizeof(a.auts));
		wr_bytes(w, BYTES_OF(a.auts));
	} else {
		sw = e == ERR_ORDER ? SW_CONDITIONS : e == ERR_AUTH || e == ERR_DENIED ? SW_MAC : SW_MEMORY;
	}
	secret_wipe(&a, sizeof(a));
	return sw;
}

static int run_command(struct tre *t, int slot, const struct command *c, struct wr *w)
{
	if (c->cla)
		return SW_CLA;
	if (c->ins == 0xa4)
		return run_select(t, c);
	if (c->ins == 0xb0)
		return run_read(t, slot, c, w);
	return c->ins == 0x88 ? run_authenticate(t, slot, c, w) : SW_INS;
}

enum err tre_apdu(struct tre *t, int slot, struct bytes apdu, uint8_t answer[256], size_t *n)
{
	struct command c;
	struct aka_slot present;
	struct wr w = wr_of(answer, 256);

	if (!slot_of(&t->state, slot, &present))
		return ERR_MISSING;
	if (t->card != slot + 1) { /* another card was spoken to: this one begins anew */
		t->card = slot + 1;
		t->selected = SELECTED_MF;
	}
	wr_u16(&w, (uint16_t)(command_read(apdu, &c) ? run_command(t, slot, &c, &w) : SW_LENGTH));
	*n = w.n;
	return wr_done(&w);
}

/* --- discover: HTTP Digest by AKA (RFC 3310), with vectors that serve nothing else --- */

static enum err answer_nonce(struct tre *t, int slot, struct digest *d, struct why *w)
{
	uint8_t octets[32];
	char password[DIGEST_PASSWORD];
	struct aka a;
	size_t n = 0;
	enum err e = b64_read(bytes_text(d->nonce), octets, sizeof(octets), &n);

	if (e || n != sizeof(octets))
		return fail(w, ERR_FORMAT, "the nonce is not RAND and AUTN");
	e = authenticate(t, slot, octets, octets + 16, 1, &a);
	if (e == ERR_SYNC)
		e = b64_of(BYTES_OF(a.auts), d->auts, sizeof(d->auts));
	else if (!e) {
		snprintf(d->nc, sizeof(d->nc), "00000001");
		e = secret_random(t->nonce, sizeof(t->nonce));
		if (!e)
			e = hex_of(BYTES_OF(t->nonce), d->cnonce, sizeof(d->cnonce));
		if (!e)
			e = digest_password(BYTES_OF(a.keys.res), a.keys.ik, a.keys.ck, password);
		if (!e)
			e = digest_response(d, "GET", password, d->response);
		t->asking = e ? 0 : slot + 1;
	} else {
		e = fail(w, ERR_AUTH, "the challenge of discover is not from the operator that issued this PIMSI");
	}
	secret_wipe(password, sizeof(password));
	secret_wipe(&a, sizeof(a));
	return e;
}

enum err tre_discover(struct tre *t, int slot, struct discover_ask ask, char line[DIGEST_LINE], struct why *w)
{
	struct digest d = { .username = "" };
	struct order o;
	enum err e = tre_order(t, slot, &o);

	if (e)
		return fail(w, e, "no order in slot %d", slot);
	if (strcmp(ask.realm, o.realm))
		return fail(w, ERR_DENIED, "the realm `%s` is not the order's", ask.realm);
	e = text_copy(d.username, sizeof(d.username), o.pimsi);
	if (!e)
		e = text_copy(d.realm, sizeof(d.realm), ask.realm);
	if (!e)
		e = text_copy(d.uri, sizeof(d.uri), ask.uri);
	if (!e)
		e = text_copy(d.nonce, sizeof(d.nonce), ask.nonce);
	if (!e && *ask.nonce)
		e = answer_nonce(t, slot, &d, w);
	return e ? e : digest_answer_write(&d, line, DIGEST_LINE);
}
