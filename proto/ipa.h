/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_IPA_H
#define USHER_PROTO_IPA_H
/* IPA, the framing under GSUP: length of what follows the proto octet, proto, payload; and CCM, who is there. */
#include "core/bytes.h"

enum { IPA_HEAD = 3, IPA_MAX = 4096, IPA_CCM = 0xfe, IPA_OSMO = 0xee, IPA_EXT_GSUP = 0x05 };
enum ipa_ccm { CCM_PING = 0, CCM_PONG = 1, CCM_ID_GET = 4, CCM_ID_RESP = 5, CCM_ID_ACK = 6 };

/* Takes one frame off the front of in: used octets, proto, and payload (for IPA_OSMO without its extension octet, which
 * must be GSUP). ERR_AGAIN: more octets are needed. ERR_LIMIT, ERR_UNSUPPORTED: end the link. */
enum err ipa_read(struct bytes in, size_t *used, uint8_t *proto, struct bytes *payload) MUST_CHECK;
enum err ipa_ccm_write(enum ipa_ccm type, const char *name, struct wr *w) MUST_CHECK; /* name: for CCM_ID_RESP, its tag 00 */
enum err ipa_gsup_write(struct bytes gsup, struct wr *w) MUST_CHECK;
/* The unit name (tag 00) of a CCM_ID_RESP payload. ERR_MISSING. */
enum err ipa_name_read(struct bytes payload, char *dst, size_t cap) MUST_CHECK;

#endif
