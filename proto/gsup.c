/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gsup.h"

#include <string.h>

enum { IE_IMSI = 0x01, IE_CAUSE = 0x02, IE_TUPLE = 0x03, IE_PDP_COMPLETE = 0x04, IE_PDP = 0x05, IE_CANCEL = 0x06, IE_PDP_ID = 0x10,
	IE_PDP_TYPE = 0x11, IE_APN = 0x12, IE_RAND = 0x20, IE_SRES, IE_KC, IE_IK, IE_CK, IE_AUTN, IE_AUTS, IE_RES, IE_CN = 0x28 };
enum { HAS_IMSI = 1, HAS_CAUSE = 2, HAS_TUPLE = 4, HAS_PDP_COMPLETE = 8, HAS_PDP = 16, HAS_CANCEL = 32, HAS_RAND = 64, HAS_AUTS = 128,
	HAS_CN = 256 };

static const struct {
	uint8_t type;
	const char *name;
	unsigned must;
} messages[] = {
	{ GSUP_UL_REQ, "UpdateLocation req", HAS_IMSI }, { GSUP_UL_ERR, "UpdateLocation err", HAS_IMSI | HAS_CAUSE },
	{ GSUP_UL_RES, "UpdateLocation res", HAS_IMSI }, { GSUP_SAI_REQ, "SendAuthInfo req", HAS_IMSI },
	{ GSUP_SAI_ERR, "SendAuthInfo err", HAS_IMSI | HAS_CAUSE }, { GSUP_SAI_RES, "SendAuthInfo res", HAS_IMSI | HAS_TUPLE },
	{ GSUP_PURGE_REQ, "PurgeMS req", HAS_IMSI }, { GSUP_PURGE_ERR, "PurgeMS err", HAS_IMSI | HAS_CAUSE },
	{ GSUP_PURGE_RES, "PurgeMS res", HAS_IMSI }, { GSUP_ISD_REQ, "InsertSubscriberData req", HAS_IMSI },
	{ GSUP_ISD_ERR, "InsertSubscriberData err", HAS_IMSI | HAS_CAUSE }, { GSUP_ISD_RES, "InsertSubscriberData res", HAS_IMSI },
	{ GSUP_DSD_REQ, "DeleteSubscriberData req", HAS_IMSI }, { GSUP_DSD_ERR, "DeleteSubscriberData err", HAS_IMSI | HAS_CAUSE },
	{ GSUP_DSD_RES, "DeleteSubscriberData res", HAS_IMSI }, { GSUP_CANCEL_REQ, "LocationCancel req", HAS_IMSI },
	{ GSUP_CANCEL_ERR, "LocationCancel err", HAS_IMSI | HAS_CAUSE }, { GSUP_CANCEL_RES, "LocationCancel res", HAS_IMSI },
};
enum { MESSAGES = sizeof(messages) / sizeof(*messages) };

const char *gsup_name(uint8_t type)
{
	for (int i = 0; i < MESSAGES; i++)
		if (messages[i].type == type)
			return messages[i].name;
	return "unknown message";
}

/* --- APN --- */

enum err apn_labels_write(const char *apn, struct wr *w)
{
	while (*apn) {
		size_t n = strcspn(apn, ".");

		if (!n || n > 63)
			return ERR_FORMAT;
		wr_u8(w, (uint8_t)n);
		wr_copy(w, apn, n);
		apn += n + (apn[n] == '.');
	}
	return wr_done(w);
}

enum err apn_labels_read(struct bytes in, char *dst, size_t cap)
{
	struct rd r = rd_of(in);
	struct wr w = wr_of(dst, cap - 1);

	while (r.left && !r.bad) {
		struct bytes label = rd_view(&r, rd_u8(&r));

		for (size_t i = 0; i < label.n; i++)
			if (label.p[i] <= ' ' || label.p[i] > '~' || label.p[i] == '.')
				rd_fail(&r, ERR_FORMAT);
		if (!label.n)
			rd_fail(&r, ERR_FORMAT);
		if (w.n)
			wr_u8(&w, '.');
		wr_bytes(&w, label);
	}
	dst[w.n] = 0;
	return rd_done(&r) ? rd_done(&r) : wr_done(&w);
}

/* --- IMSI: swapped digits, filler F --- */

static enum err imsi_get(struct bytes b, char dst[GSUP_IMSI])
{
	size_t n = 0;

	if (!b.n || b.n > 8)
		return ERR_FORMAT;
	for (size_t i = 0; i < 2 * b.n; i++) {
		uint8_t d = b.p[i / 2] >> (i & 1 ? 4 : 0) & 15;

		if (d == 15 && i == 2 * b.n - 1)
			break;
		if (d > 9 || n + 1 >= GSUP_IMSI)
			return ERR_FORMAT;
		dst[n++] = (char)('0' + d);
	}
	dst[n] = 0;
	return n >= 6 ? OK : ERR_FORMAT;
}

static void imsi_put(struct wr *w, const char *imsi)
{
	size_t n = strlen(imsi);

	wr_u8(w, IE_IMSI);
	wr_u8(w, (uint8_t)((n + 1) / 2));
	for (size_t i = 0; i < n; i += 2)
		wr_u8(w, (uint8_t)((imsi[i] - '0') | (i + 1 < n ? imsi[i + 1] - '0' : 15) << 4));
}

/* --- reading --- */

static enum err fixed(struct bytes b, void *dst, size_t n)
{
	if (b.n != n)
		return ERR_FORMAT;
	memcpy(dst, b.p, n);
	return OK;
}

/* All parts, each once: a vector without its AUTN would be GSM's (DESIGN 3, row 3: UMTS only). */
static enum err tuple_get(struct bytes in, struct gsup *m)
{
	struct gsup_vector *v = m->vector + m->vectors;
	const struct {
		uint8_t tag;
		uint8_t *dst;
		size_t n;
	} parts[] = { { IE_RAND, v->v.rand, 16 }, { IE_SRES, v->sres, 4 }, { IE_KC, v->v.kc, 8 }, { IE_IK, v->v.ik, 16 },
		{ IE_CK, v->v.ck, 16 }, { IE_AUTN, v->v.autn, 16 }, { IE_RES, v->v.res, 8 } };
	enum { PARTS = sizeof(parts) / sizeof(*parts) };
	struct rd r = rd_of(in);
	unsigned has = 0;

	if (m->vectors == GSUP_VECTORS)
		return ERR_LIMIT;
	while (r.left && !r.bad) {
		uint8_t tag = rd_u8(&r);
		struct bytes b = rd_view(&r, rd_u8(&r));

		for (size_t i = 0; i < PARTS && !r.bad; i++)
			if (parts[i].tag == tag && (has & 1u << i || fixed(b, parts[i].dst, parts[i].n)))
				rd_fail(&r, ERR_FORMAT);
			else if (parts[i].tag == tag)
				has |= 1u << i;
	}
	if (!r.bad && has != (1u << PARTS) - 1)
		rd_fail(&r, ERR_MISSING);
	m->vectors++;
	return rd_done(&r);
}

static enum err pdp_get(struct bytes in, struct gsup *m)
{
	struct rd r = rd_of(in);
	int has_id = 0, has_apn = 0;

	if (m->pdps == GSUP_PDPS)
		return OK; /* more than we use */
	while (r.left && !r.bad) {
		uint8_t tag = rd_u8(&r);
		struct bytes b = rd_view(&r, rd_u8(&r));
		enum err e = OK;

		if (tag == IE_PDP_ID && !r.bad)
			e = has_id++ ? ERR_FORMAT : fixed(b, &m->pdp[m->pdps].id, 1);
		else if (tag == IE_APN && !r.bad)
			e = has_apn++ || !b.n ? ERR_FORMAT : apn_labels_read(b, m->pdp[m->pdps].apn, sizeof(m->pdp[0].apn));
		if (e)
			rd_fail(&r, e);
	}
	if (!r.bad && !(has_id && has_apn))
		rd_fail(&r, ERR_MISSING);
	m->pdps++;
	return rd_done(&r);
}

static enum err imsi_element(struct bytes b, struct gsup *m) { return imsi_get(b, m->imsi); }
static enum err auts_get(struct bytes b, struct gsup *m) { return fixed(b, m->auts, sizeof(m->auts)); }
static enum err rand_get(struct bytes b, struct gsup *m) { return fixed(b, m->rand, sizeof(m->rand)); }

static enum err cause_get(struct bytes b, struct gsup *m)
{
	enum err e = fixed(b, &m->cause, 1);

	return !e && !m->cause ? ERR_FORMAT : e;
}

static enum err cancel_get(struct bytes b, struct gsup *m)
{
	uint8_t one = 0;
	enum err e = fixed(b, &one, 1);

	m->cancel_type = one;
	return e;
}

static enum err cn_get(struct bytes b, struct gsup *m)
{
	uint8_t one = 0;
	enum err e = fixed(b, &one, 1);

	m->cn_domain = one;
	return e;
}

static enum err pdp_complete_get(struct bytes b, struct gsup *m)
{
	(void)b; /* empty: that it is there says all */
	m->pdp_complete = 1;
	return OK;
}

/* Two of what may stand once would let two readers see two messages: refused. */
static const struct {
	uint8_t tag;
	unsigned bit;
	int many;
	enum err (*get)(struct bytes b, struct gsup *m);
} elements[] = {
	{ IE_IMSI, HAS_IMSI, 0, imsi_element },
	{ IE_CAUSE, HAS_CAUSE, 0, cause_get },
	{ IE_TUPLE, HAS_TUPLE, 1, tuple_get },
	{ IE_PDP_COMPLETE, HAS_PDP_COMPLETE, 0, pdp_complete_get },
	{ IE_PDP, HAS_PDP, 1, pdp_get },
	{ IE_CANCEL, HAS_CANCEL, 0, cancel_get },
	{ IE_RAND, HAS_RAND, 0, rand_get },
	{ IE_AUTS, HAS_AUTS, 0, auts_get },
	{ IE_CN, HAS_CN, 0, cn_get },
};

static enum err element_get(uint8_t tag, struct bytes b, struct gsup *m, unsigned *has)
{
	for (size_t i = 0; i < sizeof(elements) / sizeof(*elements); i++)
		if (elements[i].tag == tag) {
			if (*has & elements[i].bit && !elements[i].many)
				return ERR_FORMAT;
			*has |= elements[i].bit;
			return elements[i].get(b, m);
		}
	return OK;
}

enum err gsup_read(struct bytes in, struct gsup *m)
{
	struct rd r = rd_of(in);
	unsigned has = 0;
	int row = 0;

	memset(m, 0, sizeof(*m));
	m->cancel_type = -1;
	m->type = rd_u8(&r);
	while (r.left && !r.bad) {
		uint8_t tag = rd_u8(&r);
		struct bytes b = rd_view(&r, rd_u8(&r));
		enum err e = r.bad ? OK : element_get(tag, b, m, &has);

		if (e)
			rd_fail(&r, e);
	}
	if (rd_done(&r))
		return rd_done(&r);
	while (row < MESSAGES && messages[row].type != m->type)
		row++;
	if (row == MESSAGES)
		return ERR_UNSUPPORTED;
	if ((has & messages[row].must) != messages[row].must || (has & HAS_AUTS && !(has & HAS_RAND)))
		return ERR_MISSING;
	m->has_auts = m->type == GSUP_SAI_REQ && has & HAS_AUTS;
	return OK;
}

/* --- writing --- */

static void put(struct wr *w, uint8_t tag, const void *p, size_t n)
{
	wr_u8(w, tag);
	wr_u8(w, (uint8_t)n);
	wr_copy(w, p, n);
}

static void tuple_put(struct wr *w, const struct gsup_vector *v)
{
	wr_u8(w, IE_TUPLE);
	wr_u8(w, 6 * 2 + 4 * 16 + 4 + 8 + 2 + 8);
	put(w, IE_RAND, v->v.rand, 16);
	put(w, IE_SRES, v->sres, 4);
	put(w, IE_KC, v->v.kc, 8);
	put(w, IE_IK, v->v.ik, 16);
	put(w, IE_CK, v->v.ck, 16);
	put(w, IE_AUTN, v->v.autn, 16);
	put(w, IE_RES, v->v.res, 8);
}

static void pdp_put(struct wr *w, uint8_t id, const char *apn)
{
	static const uint8_t ipv4[] = { 0xf1, 0x21 };
	uint8_t room[128], labels[102];
	struct wr in = wr_of(room, sizeof(room)), l = wr_of(labels, sizeof(labels));

	if (apn_labels_write(apn, &l))
		wr_fail(w, ERR_FORMAT);
	put(&in, IE_PDP_ID, &id, 1);
	put(&in, IE_PDP_TYPE, ipv4, sizeof(ipv4));
	put(&in, IE_APN, labels, l.n);
	put(w, IE_PDP, room, in.n);
}

enum err gsup_write(const struct gsup *m, uint8_t *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);
	uint8_t one;

	if (!text_digits(m->imsi))
		return ERR_FORMAT;
	if (m->vectors < 0 || m->vectors > GSUP_VECTORS || m->pdps < 0 || m->pdps > GSUP_PDPS)
		return ERR_RANGE;
	wr_u8(&w, m->type);
	imsi_put(&w, m->imsi);
	if (m->cause)
		put(&w, IE_CAUSE, &m->cause, 1);
	if (m->cancel_type >= 0) {
		one = (uint8_t)m->cancel_type;
		put(&w, IE_CANCEL, &one, 1);
	}
	for (int i = 0; i < m->vectors; i++)
		tuple_put(&w, m->vector + i);
	if (m->pdp_complete)
		put(&w, IE_PDP_COMPLETE, "", 0);
	for (int i = 0; i < m->pdps; i++)
		pdp_put(&w, m->pdp[i].id, m->pdp[i].apn);
	if (m->has_auts) {
		put(&w, IE_AUTS, m->auts, 14);
		put(&w, IE_RAND, m->rand, 16);
	}
	one = (uint8_t)m->cn_domain;
	if (one)
		put(&w, IE_CN, &one, 1);
	*n = w.n;
	return wr_done(&w);
}
