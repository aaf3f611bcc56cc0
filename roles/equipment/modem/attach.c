/* SPDX-License-Identifier: Apache-2.0 */
/* Step 2 (I2), the mobile's end of GMM: attach with UMTS AKA on every attach (TS 24.008 4.7). */
#include <stdio.h>
#include <string.h>

#include "roles/equipment/modem/modem.h"

enum { UNPROVED = 3, CHALLENGES = 12, TROUBLE_MS = 10000 };

/* A network that let us in and then gives us nothing is told that we go. */
void attach_leave(struct modem *m)
{
	struct nas q = { .type = GMM_DETACH_REQUEST, .detach_type = DETACH_GPRS, .power_off = 1 };

	if (m->state == ACTIVATING || m->state == PDP_PAUSE || m->state == UP)
		modem_say(m, &q, 0);
}

void attach_begin(struct modem *m)
{
	struct nas q = { .type = GMM_ATTACH_REQUEST, .cksn = 7, .attach_type = 1, .r99 = 1, .rai = { "", 0xfffe, 0xff } };
	uint8_t answer[256];
	static const uint8_t usim[] = { 0x00, 0xa4, 0x04, 0x0c, 0x07, 0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02 },
		imsi[] = { 0x00, 0xa4, 0x00, 0x0c, 0x02, 0x6f, 0x07 }, read[] = { 0x00, 0xb0, 0x00, 0x00, 0x09 };
	size_t n = 0, digits = 0;

	if (tre_apdu(m->tre, m->slot, BYTES_OF(usim), answer, &n) || tre_apdu(m->tre, m->slot, BYTES_OF(imsi), answer, &n)
		|| tre_apdu(m->tre, m->slot, BYTES_OF(read), answer, &n) || n != 11) {
		cell_give_up(m, "the USIM has no IMSI");
		return;
	}
	for (size_t i = 1; i < 18 && digits < 15; i++) {
		uint8_t d = answer[1 + i / 2] >> (i & 1 ? 4 : 0) & 15;

		if (d > 9)
			break;
		q.id[digits++] = (char)('0' + d);
	}
	m->state = ATTACHING;
	m->proved = m->unproved = m->challenges = 0;
	m->answered = 0;
	modem_say(m, &q, 1);
}

/* --- what the network says --- */

static void on_reject(struct modem *m, const struct nas *n)
{
	if (m->state == ATTACHING)
		cell_refused(m, n->cause, "refuses to attach us");
}

static void on_auth_reject(struct modem *m, const struct nas *n)
{
	(void)n;
	if (m->state == ATTACHING)
		cell_refused(m, CAUSE_ILLEGAL_MS, "does not accept our answer");
}

static void answer_keep(struct modem *m, const struct nas *q, const struct nas *a)
{
	memcpy(m->last_rand, q->rand, sizeof(m->last_rand));
	m->last_answer = *a;
	m->answered = 1;
	modem_say(m, a, 1);
}

/* IMEISV with a software version, IMEI with the check digit's place zero (TS 23.003 6.2): of the equipment's id, else of the test range. */
static void imei(const struct modem *m, int type, char dst[18])
{
	const char *id = tre_equipment(m->tre), *digits = "35349006987331";

	if (!strncmp(id, "imei:", 5) && text_digits(id + 5) == 15)
		digits = id + 5;
	snprintf(dst, 18, "%.14s%s", digits, type == ID_IMEISV ? "01" : "0");
}

/* The attach itself carries the IMSI; only the hardware is asked for, and told (TS 24.008 4.7.8.2). */
static void on_identity_request(struct modem *m, const struct nas *q)
{
	struct nas a = { .type = GMM_IDENTITY_RESPONSE, .id_type = q->id_type };

	if (m->state != ATTACHING || (q->id_type != ID_IMEI && q->id_type != ID_IMEISV))
		return;
	imei(m, q->id_type, a.id);
	modem_say(m, &a, 1);
}

static void on_auth_request(struct modem *m, const struct nas *q)
{
	uint8_t apdu[5 + 34] = { 0x00, 0x88, 0x00, 0x81, 0x22, 16 }, answer[256];
	struct nas a = { .type = GMM_AUTH_RESPONSE, .ac_ref = q->ac_ref };
	size_t n = 0;

	if (m->state != ATTACHING)
		return;
	if (m->unproved >= UNPROVED || ++m->challenges > CHALLENGES) { /* TS 24.008 4.7.7.6.1: as if its cell were barred */
		cell_refused(m, CAUSE_MAC_FAILURE, "does not prove itself");
		return;
	}
	if (!q->has_aka) { /* GSM authentication: a downgrade that we do not take */
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_GSM_UNACCEPTABLE };
		modem_say(m, &a, 1);
		return;
	}
	if (m->answered && !memcmp(m->last_rand, q->rand, sizeof(m->last_rand))) {
		m->last_answer.ac_ref = q->ac_ref; /* osmo-sgsn repeats with a new reference */
		modem_say(m, &m->last_answer, 1);
		return;
	}
	memcpy(apdu + 6, q->rand, 16);
	apdu[22] = 16;
	memcpy(apdu + 23, q->autn, 16);
	if (tre_apdu(m->tre, m->slot, BYTES_OF(apdu), answer, &n) || n < 2) {
		cell_give_up(m, "the USIM does not answer");
	} else if (answer[0] == 0xdb && n > 12) {
		m->proved = 1;
		a.res_n = 8;
		memcpy(a.res, answer + 2, 8);
		if (q->imeisv_asked)
			imei(m, ID_IMEISV, a.id);
		answer_keep(m, q, &a);
	} else if (answer[0] == 0xdc) {
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_SYNCH_FAILURE, .has_auts = 1 };
		memcpy(a.auts, answer + 2, 14);
		modem_step(m, "our sequence number is ahead of %s: resynchronising", m->cell.plmn);
		answer_keep(m, q, &a);
	} else {
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_MAC_FAILURE };
		modem_step(m, "network %s does not prove that it knows our key", m->cell.plmn);
		answer_keep(m, q, &a);
	}
	secret_wipe(answer, sizeof(answer));
}

static void on_accept(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_ATTACH_COMPLETE };

	(void)n;
	if (m->state != ATTACHING && m->state != ACTIVATING && m->state != PDP_PAUSE)
		return;
	if (m->state == ATTACHING && !m->proved) { /* AKA on every attach: anybody could say this */
		cell_refused(m, CAUSE_MAC_FAILURE, "takes us without proving itself");
	} else if (m->state == ATTACHING) {
		modem_step(m, "attached in %s", m->cell.plmn);
		modem_say(m, &ok, 0);
		m->tries = 0;
		context_begin(m);
	} else {
		size_t len = 0;
		uint8_t again[16];

		if (!nas_write(&ok, 0, again, sizeof(again), &len))
			modem_say_once(m, BYTES(again, len));
	}
}

static void on_detach(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_DETACH_ACCEPT };
	int was_up = m->state == UP;

	modem_say(m, &ok, 0);
	if (was_up) {
		cell_steady(m);
		cell_avoid(m, TROUBLE_MS); /* unprotected too: who does it again and again is tried after the others */
		m->state = DOWN;
		m->events.lost(gmm_cause_text(n->cause), m->arg);
	} else if (m->state != DOWN) {
		cell_give_up(m, "detached us");
	}
}

static const struct {
	enum nas_type type;
	void (*hear)(struct modem *m, const struct nas *n);
} heard[] = {
	{ GMM_ATTACH_REJECT, on_reject }, { GMM_AUTH_REJECT, on_auth_reject }, { GMM_AUTH_REQUEST, on_auth_request },
	{ GMM_IDENTITY_REQUEST, on_identity_request }, { GMM_ATTACH_ACCEPT, on_accept }, { GMM_DETACH_REQUEST, on_detach },
};

void attach_hear(struct modem *m, const struct nas *n)
{
	for (size_t i = 0; i < sizeof(heard) / sizeof(*heard); i++)
		if (heard[i].type == n->type)
			heard[i].hear(m, n);
}
