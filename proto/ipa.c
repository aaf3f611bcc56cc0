/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ipa.h"

#include <string.h>

enum err ipa_read(struct bytes in, size_t *used, uint8_t *proto, struct bytes *payload)
{
	struct rd r = rd_of(in);
	size_t n = rd_u16(&r);

	*proto = rd_u8(&r);
	if (r.bad)
		return ERR_AGAIN;
	if (n > IPA_MAX)
		return ERR_LIMIT;
	if (r.left < n)
		return ERR_AGAIN;
	*used = IPA_HEAD + n;
	*payload = rd_view(&r, n);
	if (*proto == IPA_OSMO) {
		if (n < 2 || payload->p[0] != IPA_EXT_GSUP)
			return ERR_UNSUPPORTED;
		payload->p++;
		payload->n--;
	} else if (*proto != IPA_CCM || !n) {
		return ERR_UNSUPPORTED;
	}
	return OK;
}

/* ID_GET asks for every tag, each as {01, tag}; ID_RESP gives {length16 with the tag, tag, text, NUL}. */
static const uint8_t id_tags[] = { 8, 7, 2, 3, 4, 5, 1, 0 };

static void id_resp(struct wr *w, const char *name)
{
	const struct {
		uint8_t tag;
		const char *text;
	} tlv[] = { { 8, "0/0/0" }, { 1, name }, { 0, name } };

	for (int i = 0; i < 3; i++) {
		wr_u16(w, (uint16_t)(strlen(tlv[i].text) + 2));
		wr_u8(w, tlv[i].tag);
		wr_text(w, tlv[i].text);
		wr_u8(w, 0);
	}
}

enum err ipa_ccm_write(enum ipa_ccm type, const char *name, struct wr *w)
{
	uint8_t room[512];
	struct wr body = wr_of(room, sizeof(room));

	wr_u8(&body, (uint8_t)type);
	for (size_t i = 0; type == CCM_ID_GET && i < sizeof(id_tags); i++) {
		wr_u8(&body, 1);
		wr_u8(&body, id_tags[i]);
	}
	if (type == CCM_ID_RESP)
		id_resp(&body, name);
	if (wr_done(&body))
		return wr_done(&body);
	wr_u16(w, (uint16_t)body.n);
	wr_u8(w, IPA_CCM);
	wr_bytes(w, wr_view(&body));
	return wr_done(w);
}

enum err ipa_gsup_write(struct bytes gsup, struct wr *w)
{
	if (gsup.n + 1 > IPA_MAX)
		return ERR_LIMIT;
	wr_u16(w, (uint16_t)(gsup.n + 1));
	wr_u8(w, IPA_OSMO);
	wr_u8(w, IPA_EXT_GSUP);
	wr_bytes(w, gsup);
	return wr_done(w);
}

enum err ipa_name_read(struct bytes payload, char *dst, size_t cap)
{
	struct rd r = rd_of(payload);

	if (rd_u8(&r) != CCM_ID_RESP)
		return ERR_FORMAT;
	while (r.left && !r.bad) {
		struct rd one = rd_sub(&r, rd_u16(&r));
		uint8_t tag = rd_u8(&one);
		struct bytes text = rd_rest(&one);

		if (one.bad)
			return ERR_FORMAT; /* an element without its tag */
		if (!tag && text.n) {
			if (!text.p[text.n - 1])
				text.n--;
			return text_copy_bytes(dst, cap, text);
		}
	}
	return r.bad ? r.bad : ERR_MISSING;
}
