/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gmm.h"

#include <string.h>

#include "proto/gsmtap.h"
#include "proto/gsup.h"

static const char *const causes[] = { [2] = "IMSI unknown in HLR", [3] = "illegal MS", [6] = "illegal ME", [7] = "GPRS services not allowed",
	[8] = "GPRS services and non-GPRS services not allowed", [9] = "MS identity cannot be derived by the network",
	[10] = "implicitly detached", [11] = "PLMN not allowed", [12] = "location area not allowed", [13] = "roaming not allowed in this location area",
	[14] = "GPRS services not allowed in this PLMN", [15] = "no suitable cells in location area", [16] = "MSC temporarily not reachable",
	[17] = "network failure", [20] = "MAC failure", [21] = "synch failure", [22] = "congestion", [26] = "insufficient resources",
	[27] = "missing or unknown APN", [33] = "requested service option not subscribed", [36] = "regular deactivation", [38] = "network failure",
	[96] = "invalid mandatory information", [97] = "message type not existent", [111] = "protocol error" };

const char *gmm_cause_text(int cause)
{
	return cause >= 0 && (size_t)cause < sizeof(causes) / sizeof(*causes) && causes[cause] ? causes[cause] : "a cause without a name here";
}

/* --- elements --- */

/* Mobile identity (10.5.1.4): digits with the first in the upper half of octet 1, or a TMSI. One that breaks the grammar is none. */
static void id_get(struct bytes b, struct nas *m)
{
	int type = b.n ? b.p[0] & 7 : 0;
	size_t n = 0, digits = b.n && type != ID_PTMSI ? 2 * b.n - 1 - !(b.p[0] & 8) : 0;

	m->id_type = 0;
	m->id[0] = 0;
	if (type == ID_PTMSI && b.n == 5) {
		struct rd r = rd_of(BYTES(b.p + 1, 4));

		m->id_type = type;
		m->ptmsi = rd_u32(&r);
		m->has_ptmsi = 1;
	}
	if (!digits || digits >= sizeof(m->id) || (!(b.p[0] & 8) && b.p[b.n - 1] >> 4 != 15))
		return;
	for (; n < digits; n++) {
		uint8_t d = b.p[(n + 1) / 2] >> (n & 1 ? 0 : 4) & 15;

		if (d > 9) {
			m->id[0] = 0;
			return;
		}
		m->id[n] = (char)('0' + d);
	}
	m->id[n] = 0;
	m->id_type = type;
}

static void id_put(struct wr *w, int type, const char *digits)
{
	size_t n = strlen(digits);

	wr_u8(w, (uint8_t)(n / 2 + 1));
	wr_u8(w, (uint8_t)((digits[0] - '0') << 4 | (n & 1 ? 8 : 0) | type));
	for (size_t i = 1; i < n; i += 2)
		wr_u8(w, (uint8_t)((digits[i] - '0') | (i + 1 < n ? digits[i + 1] - '0' : 15) << 4));
	if (!(n & 1) && n)
		w->p[w->n - 1] = (uint8_t)((w->p[w->n - 1] & 15) | 0xf0);
}

static void ptmsi_put(struct wr *w, uint32_t ptmsi)
{
	wr_u8(w, 5);
	wr_u8(w, 0xf4);
	wr_u32(w, ptmsi);
}

static void rai_get(struct rd *r, struct rai *rai)
{
	uint8_t plmn[3];

	rd_copy(r, plmn, 3);
	if (!r->bad && plmn_read(plmn, rai->plmn))
		rai->plmn[0] = 0; /* an equipment that was nowhere before */
	rai->lac = rd_u16(r);
	rai->rac = rd_u8(r);
}

static void rai_put(struct wr *w, const struct rai *rai)
{
	uint8_t plmn[3] = { 0xff, 0xff, 0xff };

	if (*rai->plmn && plmn_write(rai->plmn, plmn))
		wr_fail(w, ERR_FORMAT);
	wr_copy(w, plmn, 3);
	wr_u16(w, rai->lac);
	wr_u8(w, rai->rac);
}

/* Protocol configuration options (10.5.6.3): PPP frames by protocol, containers by id; FF00H is ours. */
static void pco_get(struct bytes b, struct nas *m)
{
	struct rd r = rd_of(b);

	(void)rd_u8(&r);
	while (r.left && !r.bad) {
		uint16_t id = rd_u16(&r);
		struct bytes v = rd_view(&r, rd_u8(&r));

		if (id == 0xff00 && v.n == 41 && !plmn_read(v.p, m->user.plmn)) {
			memcpy(m->user.ipv4, v.p + 3, 4);
			m->user.port = (uint16_t)(v.p[7] << 8 | v.p[8]);
			memcpy(m->user.token, v.p + 9, 32);
			m->has_user = 1;
		}
	}
}

static void pco_put(struct wr *w, const struct user_plane *u)
{
	uint8_t plmn[3];

	if (plmn_write(u->plmn, plmn))
		wr_fail(w, ERR_FORMAT);
	wr_u8(w, 0x27);
	wr_u8(w, 1 + 3 + 41);
	wr_u8(w, 0x80);
	wr_u16(w, 0xff00);
	wr_u8(w, 41);
	wr_copy(w, plmn, 3);
	wr_copy(w, u->ipv4, 4);
	wr_u16(w, u->port);
	wr_copy(w, u->token, 32);
}

/* --- optional elements: what stands after the mandatory part --- */

struct option {
	uint8_t iei;
	uint8_t tv;     /* octets of the value of a TV, 0: TLV */
	void (*get)(struct bytes v, struct nas *m);
};

static void rand_get(struct bytes v, struct nas *m)
{
	memcpy(m->rand, v.p, 16);
	m->has_aka |= 1;
}

static void autn_get(struct bytes v, struct nas *m)
{
	if (v.n != 16)
		return;
	memcpy(m->autn, v.p, 16);
	m->has_aka |= 2;
}

static void res_get(struct bytes v, struct nas *m)
{
	memcpy(m->res, v.p, 4);
	m->res_n = m->res_n < 4 ? 4 : m->res_n;
}

static void res_more_get(struct bytes v, struct nas *m)
{
	if (!v.n || v.n > 12)
		return;
	memcpy(m->res + 4, v.p, v.n);
	m->res_n = 4 + v.n;
}

static void auts_get(struct bytes v, struct nas *m)
{
	if (v.n != 14)
		return;
	memcpy(m->auts, v.p, 14);
	m->has_auts = 1;
}

static void address_get(struct bytes v, struct nas *m)
{
	if (v.n != 6 || (v.p[0] & 15) != 1 || v.p[1] != 0x21)
		return;
	memcpy(m->address, v.p + 2, 4);
	m->has_address = 1;
}

static void apn_get(struct bytes v, struct nas *m)
{
	if (apn_labels_read(v, m->apn, sizeof(m->apn)))
		m->apn[0] = 0;
}

static void cause_get(struct bytes v, struct nas *m)
{
	m->cause = v.p[0];
}

static const struct option attach_request_options[] = { { 0x19, 3, NULL }, { 0x17, 1, NULL }, { 0 } };
static const struct option attach_accept_options[] = { { 0x18, 0, id_get }, { 0x19, 3, NULL }, { 0x17, 1, NULL }, { 0x25, 1, cause_get }, { 0 } };
static const struct option auth_request_options[] = { { 0x21, 16, rand_get }, { 0x28, 0, autn_get }, { 0 } };
static const struct option auth_response_options[] = { { 0x22, 4, res_get }, { 0x23, 0, id_get }, { 0x29, 0, res_more_get }, { 0 } };
static const struct option auth_failure_options[] = { { 0x30, 0, auts_get }, { 0 } };
static const struct option detach_options[] = { { 0x25, 1, cause_get }, { 0 } };
static const struct option activate_request_options[] = { { 0x28, 0, apn_get }, { 0x27, 0, pco_get }, { 0 } };
static const struct option activate_accept_options[] = { { 0x2b, 0, address_get }, { 0x27, 0, pco_get }, { 0 } };
static const struct option none[] = { { 0 } };

static void options_get(struct rd *r, const struct option *table, struct nas *m)
{
	while (r->left && !r->bad) {
		uint8_t iei = rd_u8(r);
		const struct option *o = table;
		struct bytes v;

		while (o->iei && o->iei != iei)
			o++;
		if (!o->iei && iei & 0x80) {
			if ((iei & 0xf0) == 0x80 && m->type == GMM_AUTH_REQUEST)
				m->cksn = iei & 7;
			continue; /* type 1 or 2: one octet */
		}
		v = o->iei && o->tv ? rd_view(r, o->tv) : rd_view(r, rd_u8(r));
		if (!r->bad && o->iei && o->get && (v.n || !o->tv))
			o->get(v, m);
	}
}

/* --- messages --- */

static void none_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	options_get(r, none, m);
}

static void none_put(struct wr *w, int down, const struct nas *m)
{
	(void)w, (void)down, (void)m;
}

static void attach_request_get(struct rd *r, int down, struct nas *m)
{
	struct bytes cap = rd_view(r, rd_u8(r));
	uint8_t types = rd_u8(r);

	(void)down;
	m->r99 = cap.n && cap.p[0] & 1;
	m->attach_type = types & 7;
	m->cksn = types >> 4 & 7;
	(void)rd_u16(r); /* DRX */
	id_get(rd_view(r, rd_u8(r)), m);
	rai_get(r, &m->rai);
	(void)rd_view(r, rd_u8(r)); /* MS radio access capability */
	options_get(r, attach_request_options, m);
}

/* Radio capabilities as a GSM 900 class mobile would send them (10.5.5.12a); nothing here reads them. */
static const uint8_t radio[] = { 0x19, 0x18, 0xb3, 0x43, 0x2b, 0x25, 0x96, 0x62, 0x00, 0x60, 0x80, 0x9a, 0xc2, 0xc6, 0x62, 0x00, 0x60, 0x80,
	0xba, 0xc8, 0xc6, 0x62, 0x00, 0x60, 0x80, 0x00 };

static void attach_request_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, 2);
	wr_u8(w, m->r99 ? 0x61 : 0x60);
	wr_u8(w, 0);
	wr_u8(w, (uint8_t)(m->cksn << 4 | m->attach_type));
	wr_u16(w, 0x0a00);
	id_put(w, ID_IMSI, m->id);
	rai_put(w, &m->rai);
	wr_copy(w, radio, sizeof(radio));
}

static void attach_accept_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->attach_result = rd_u8(r) & 7;
	m->t3312 = rd_u8(r);
	(void)rd_u8(r);
	rai_get(r, &m->rai);
	options_get(r, attach_accept_options, m);
}

static void attach_accept_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, m->attach_result);
	wr_u8(w, m->t3312);
	wr_u8(w, 0x44); /* radio priority for SMS and TOM8: the lowest */
	rai_put(w, &m->rai);
	wr_u8(w, 0x17);
	wr_u8(w, 0x16); /* T3314: 44 s */
	wr_u8(w, 0x18);
	ptmsi_put(w, m->ptmsi);
}

static void cause_only_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->cause = rd_u8(r);
	options_get(r, none, m);
}

static void cause_only_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, m->cause);
}

static void detach_request_get(struct rd *r, int down, struct nas *m)
{
	uint8_t type = rd_u8(r);

	m->detach_type = type & 7;
	m->power_off = !down && type & 8;
	options_get(r, detach_options, m);
}

static void detach_request_put(struct wr *w, int down, const struct nas *m)
{
	wr_u8(w, (uint8_t)(m->detach_type | (!down && m->power_off ? 8 : 0)));
	if (down && m->cause) {
		wr_u8(w, 0x25);
		wr_u8(w, m->cause);
	}
}

static void detach_accept_get(struct rd *r, int down, struct nas *m)
{
	(void)m;
	if (down)
		(void)rd_u8(r);
}

static void detach_accept_put(struct wr *w, int down, const struct nas *m)
{
	(void)m;
	if (down)
		wr_u8(w, 0);
}

static void auth_request_get(struct rd *r, int down, struct nas *m)
{
	uint8_t a = rd_u8(r), b = rd_u8(r);

	(void)down;
	m->imeisv_asked = (a >> 4 & 7) == 1;
	m->ac_ref = b >> 4;
	options_get(r, auth_request_options, m);
	m->has_aka = m->has_aka == 3;
}

static void auth_request_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, (uint8_t)(m->imeisv_asked ? 0x10 : 0));
	wr_u8(w, (uint8_t)(m->ac_ref << 4));
	wr_u8(w, 0x21);
	wr_copy(w, m->rand, 16);
	wr_u8(w, (uint8_t)(0x80 | m->cksn));
	wr_u8(w, 0x28);
	wr_u8(w, 16);
	wr_copy(w, m->autn, 16);
}

static void auth_response_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->ac_ref = rd_u8(r) & 15;
	options_get(r, auth_response_options, m);
}

static void auth_response_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, m->ac_ref);
	wr_u8(w, 0x22);
	wr_copy(w, m->res, 4);
	if (*m->id) {
		wr_u8(w, 0x23);
		id_put(w, ID_IMEISV, m->id);
	}
	if (m->res_n > 4) {
		wr_u8(w, 0x29);
		wr_u8(w, (uint8_t)(m->res_n - 4));
		wr_copy(w, m->res + 4, m->res_n - 4);
	}
}

static void auth_failure_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->cause = rd_u8(r);
	options_get(r, auth_failure_options, m);
}

static void auth_failure_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, m->cause);
	if (m->has_auts) {
		wr_u8(w, 0x30);
		wr_u8(w, 14);
		wr_copy(w, m->auts, 14);
	}
}

static void identity_request_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->id_type = rd_u8(r) & 7;
}

static void identity_request_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, (uint8_t)m->id_type);
}

static void identity_response_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	id_get(rd_view(r, rd_u8(r)), m);
}

static void identity_response_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	id_put(w, m->id_type, m->id);
}

/* QoS of 10.5.6.5: interactive, what the network gives (octets as osmo-sgsn grants them), and the wish of an equipment. */
static const uint8_t qos_granted[] = { 0x23, 0x62, 0x1f, 0x72, 0x99, 0x3f, 0x3f, 0x11, 0x43, 0xff, 0xff, 0, 0, 0 };
static const uint8_t qos_wished[] = { 0x0b, 0x23, 0x62, 0x1f, 0x72, 0x96, 0x40, 0x40, 0x74, 0x03, 0x00, 0x00 };

static void activate_request_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	m->nsapi = rd_u8(r) & 15;
	(void)rd_u8(r);
	(void)rd_view(r, rd_u8(r));
	(void)rd_view(r, rd_u8(r));
	options_get(r, activate_request_options, m);
}

static void activate_request_put(struct wr *w, int down, const struct nas *m)
{
	uint8_t labels[102];
	struct wr l = wr_of(labels, sizeof(labels));

	(void)down;
	if (*m->apn && apn_labels_write(m->apn, &l))
		wr_fail(w, ERR_FORMAT);
	wr_u8(w, m->nsapi);
	wr_u8(w, 3);
	wr_copy(w, qos_wished, sizeof(qos_wished));
	wr_u8(w, 2);
	wr_u16(w, 0x0121); /* IETF, IPv4, the network chooses */
	if (!*m->apn)
		return; /* the network takes the one that is subscribed */
	wr_u8(w, 0x28);
	wr_u8(w, (uint8_t)l.n);
	wr_bytes(w, wr_view(&l));
}

static void activate_accept_get(struct rd *r, int down, struct nas *m)
{
	(void)down;
	(void)rd_u8(r);
	(void)rd_view(r, rd_u8(r));
	(void)rd_u8(r);
	options_get(r, activate_accept_options, m);
}

static void activate_accept_put(struct wr *w, int down, const struct nas *m)
{
	(void)down;
	wr_u8(w, 3);
	wr_u8(w, sizeof(qos_granted));
	wr_copy(w, qos_granted, sizeof(qos_granted));
	wr_u8(w, 4); /* radio priority: lowest */
	wr_u8(w, 0x2b);
	wr_u8(w, 6);
	wr_u16(w, 0x0121);
	wr_copy(w, m->address, 4);
	if (m->has_user)
		pco_put(w, &m->user);
}

static const struct message {
	enum nas_type type;
	const char *name;
	void (*get)(struct rd *r, int down, struct nas *m);
	void (*put)(struct wr *w, int down, const struct nas *m);
} messages[] = {
	{ GMM_ATTACH_REQUEST, "Attach Request", attach_request_get, attach_request_put },
	{ GMM_ATTACH_ACCEPT, "Attach Accept", attach_accept_get, attach_accept_put },
	{ GMM_ATTACH_COMPLETE, "Attach Complete", none_get, none_put },
	{ GMM_ATTACH_REJECT, "Attach Reject", cause_only_get, cause_only_put },
	{ GMM_DETACH_REQUEST, "Detach Request", detach_request_get, detach_request_put },
	{ GMM_DETACH_ACCEPT, "Detach Accept", detach_accept_get, detach_accept_put },
	{ GMM_AUTH_REQUEST, "Authentication and Ciphering Req", auth_request_get, auth_request_put },
	{ GMM_AUTH_RESPONSE, "Authentication and Ciphering Resp", auth_response_get, auth_response_put },
	{ GMM_AUTH_REJECT, "Authentication and Ciphering Rej", none_get, none_put },
	{ GMM_AUTH_FAILURE, "Authentication and Ciphering Failure", auth_failure_get, auth_failure_put },
	{ GMM_IDENTITY_REQUEST, "Identity Request", identity_request_get, identity_request_put },
	{ GMM_IDENTITY_RESPONSE, "Identity Response", identity_response_get, identity_response_put },
	{ GMM_STATUS, "GMM Status", cause_only_get, cause_only_put },
	{ SM_ACTIVATE_REQUEST, "Activate PDP Context Request", activate_request_get, activate_request_put },
	{ SM_ACTIVATE_ACCEPT, "Activate PDP Context Accept", activate_accept_get, activate_accept_put },
	{ SM_ACTIVATE_REJECT, "Activate PDP Context Reject", cause_only_get, cause_only_put },
	{ SM_DEACTIVATE_REQUEST, "Deactivate PDP Context Request", cause_only_get, cause_only_put },
	{ SM_DEACTIVATE_ACCEPT, "Deactivate PDP Context Accept", none_get, none_put },
	{ SM_STATUS, "SM Status", cause_only_get, cause_only_put },
};
enum { MESSAGES = sizeof(messages) / sizeof(*messages) };

static const struct message *message_of(int type)
{
	for (int i = 0; i < MESSAGES; i++)
		if ((int)messages[i].type == type)
			return messages + i;
	return NULL;
}

const char *nas_name(int type)
{
	const struct message *m = message_of(type);

	return m ? m->name : "unknown message";
}

enum err nas_read(struct bytes in, int down, struct nas *m)
{
	struct rd r = rd_of(in);
	uint8_t head = rd_u8(&r), type = rd_u8(&r);
	const struct message *which;

	memset(m, 0, sizeof(*m));
	if (r.bad || in.n > NAS_MAX)
		return r.bad ? ERR_SHORT : ERR_LIMIT;
	m->type = (enum nas_type)((head & 15) << 8 | type);
	if ((head & 15) == PD_SM) {
		m->ti = head >> 4 & 7;
		m->ti_flag = head >> 7;
	}
	which = message_of((int)m->type);
	/* a skip indicator other than 0 (TS 24.007 11.2.3.2.1), an extended transaction identifier (11.2.3.1.3): not for us */
	if (!which || ((head & 15) == PD_GMM && head >> 4) || m->ti == 7)
		return ERR_UNSUPPORTED;
	which->get(&r, down, m);
	return r.bad;
}

enum err nas_write(const struct nas *m, int down, uint8_t *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);
	const struct message *which = message_of((int)m->type);

	if (!which)
		return ERR_UNSUPPORTED;
	wr_u8(&w, (uint8_t)((m->type >> 8) | (m->type >> 8 == PD_SM ? m->ti << 4 | m->ti_flag << 7 : 0)));
	wr_u8(&w, (uint8_t)m->type);
	which->put(&w, down, m);
	*n = w.n;
	return wr_done(&w);
}
