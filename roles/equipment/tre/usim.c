/* SPDX-License-Identifier: Apache-2.0 */
/* The USIM in the tre: AKA's end with the sequence array of TS 33.102 C.2; K and OPc do not leave this file's stack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/digest.h"
#include "proto/milenage.h"
#include "roles/equipment/tre/tre.h"

enum { EF_IMSI = 0x6f07, SW_OK = 0x9000, SW_NOT_FOUND = 0x6a82, SW_NO_EF = 0x6986, SW_LENGTH = 0x6700, SW_INS = 0x6d00, SW_MAC = 0x9862 };
enum { TAG_SUCCESS = 0xdb, TAG_SYNC = 0xdc };
static const uint64_t delta = 1ull << 28; /* TS 33.102 C.2.1: the largest jump taken */

/* What AKA needs of a slot, wherever it lies in the state. */
struct aka_slot {
	struct order_keys *keys;
	uint64_t *seq;
};

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
	enum err e;

	if (!slot_of(&t->state, slot, &a) || seq <= a.seq[sqn & 31] || seq > highest(a.seq) + delta)
		return ERR_SYNC;
	s = malloc(sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	*s = t->state;
	(void)slot_of(s, slot, &a);
	a.seq[sqn & 31] = seq;
	e = state_save(t, s);
	secret_wipe(s, sizeof(*s));
	free(s);
	return e;
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
	enum err e = slot_of(&t->state, slot, &s) ? milenage_open(&m, &s.keys->k, &s.keys->opc) : ERR_MISSING;

	if (e)
		return e;
	e = milenage_check(&m, rand, autn, &sqn, a->amf, &a->keys);
	if (!e && (a->amf[1] == 1) != discover)
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

static void status(struct wr *w, int sw)
{
	wr_u16(w, (uint16_t)sw);
}

/* EF IMSI (TS 31.102 4.2.2): length, then the digits as in a mobile identity. */
static void read_imsi(struct tre *t, int slot, struct wr *w)
{
	struct order o;
	const char *digits = o.pimsi;
	uint8_t ef[9];
	size_t n;

	memset(ef, 0xff, sizeof(ef));
	if (slot >= SLOT_USIM) {
		digits = t->state.usim[slot - SLOT_USIM].imsi;
	} else if (tre_order(t, slot, &o)) {
		status(w, SW_NOT_FOUND);
		return;
	}
	n = strlen(digits);
	ef[0] = (uint8_t)(n / 2 + 1);
	ef[1] = (uint8_t)((digits[0] - '0') << 4 | (n & 1 ? 9 : 1));
	for (size_t i = 1; i < n; i += 2)
		ef[1 + (i + 1) / 2] = (uint8_t)((digits[i] - '0') | (i + 1 < n ? digits[i + 1] - '0' : 15) << 4);
	wr_copy(w, ef, sizeof(ef));
	status(w, SW_OK);
}

static void run_authenticate(struct tre *t, int slot, struct bytes data, struct wr *w)
{
	struct rd r = rd_of(data);
	struct bytes rand = rd_view(&r, rd_u8(&r)), autn = rd_view(&r, rd_u8(&r));
	struct aka a;
	enum err e;

	if (rd_done(&r) || rand.n != 16 || autn.n != 16) {
		status(w, SW_LENGTH);
		return;
	}
	e = authenticate(t, slot, rand.p, autn.p, 0, &a);
	if (!e) {
		wr_u8(w, TAG_SUCCESS);
		wr_u8(w, 8);
		wr_copy(w, a.keys.res, 8);
		wr_u8(w, 16);
		wr_copy(w, a.keys.ck, 16);
		wr_u8(w, 16);
		wr_copy(w, a.keys.ik, 16);
		status(w, SW_OK);
	} else if (e == ERR_SYNC) {
		wr_u8(w, TAG_SYNC);
		wr_u8(w, 14);
		wr_copy(w, a.auts, 14);
		status(w, SW_OK);
	} else {
		status(w, SW_MAC);
	}
	secret_wipe(&a, sizeof(a));
}

enum err tre_apdu(struct tre *t, int slot, struct bytes apdu, uint8_t answer[256], size_t *n)
{
	struct rd r = rd_of(apdu);
	uint8_t ins = (rd_u8(&r), rd_u8(&r));
	struct bytes data;
	struct aka_slot present;
	struct wr w = wr_of(answer, 256);

	(void)rd_u16(&r); /* P1 P2 */
	if (!slot_of(&t->state, slot, &present))
		return ERR_MISSING;
	data = ins == 0xb0 ? BYTES(NULL, 0) : rd_view(&r, rd_u8(&r));
	if (r.bad)
		status(&w, SW_LENGTH);
	else if (ins == 0xa4) {
		t->selected = data.n == 2 && data.p[0] == EF_IMSI >> 8 && data.p[1] == (EF_IMSI & 0xff);
		status(&w, t->selected ? SW_OK : SW_NOT_FOUND);
	} else if (ins == 0xb0) {
		if (t->selected)
			read_imsi(t, slot, &w);
		else
			status(&w, SW_NO_EF);
	} else if (ins == 0x88) {
		run_authenticate(t, slot, data, &w);
	} else {
		status(&w, SW_INS);
	}
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

enum err tre_discover(struct tre *t, int slot, const char *realm, const char *uri, const char *nonce, char *line, size_t cap, struct why *w)
{
	struct digest d = { .username = "" };
	struct order o;
	enum err e = tre_order(t, slot, &o);

	if (e)
		return fail(w, e, "no order in slot %d", slot);
	if (strcmp(realm, o.realm))
		return fail(w, ERR_DENIED, "the realm `%s` is not the order's", realm);
	e = text_copy(d.username, sizeof(d.username), o.pimsi);
	if (!e)
		e = text_copy(d.realm, sizeof(d.realm), realm);
	if (!e)
		e = text_copy(d.uri, sizeof(d.uri), uri);
	if (!e)
		e = text_copy(d.nonce, sizeof(d.nonce), nonce);
	if (!e && *nonce)
		e = answer_nonce(t, slot, &d, w);
	return e ? e : digest_answer_write(&d, line, cap);
}
