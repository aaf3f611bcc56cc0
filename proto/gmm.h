/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_GMM_H
#define USHER_PROTO_GMM_H
/*
 * GMM and SM (TS 24.008 9.4, 9.5), both directions: one struct for all messages, read and written by a table of messages.
 * Fields that a message does not carry are zero. Unknown optional elements are skipped by their format (TS 24.007 11.2.4).
 */
#include "core/bytes.h"

enum { PD_GMM = 0x08, PD_SM = 0x0a };
/* protocol discriminator << 8 | message type */
enum nas_type {
	GMM_ATTACH_REQUEST = 0x0801, GMM_ATTACH_ACCEPT = 0x0802, GMM_ATTACH_COMPLETE = 0x0803, GMM_ATTACH_REJECT = 0x0804,
	GMM_DETACH_REQUEST = 0x0805, GMM_DETACH_ACCEPT = 0x0806, GMM_AUTH_REQUEST = 0x0812, GMM_AUTH_RESPONSE = 0x0813,
	GMM_AUTH_REJECT = 0x0814, GMM_AUTH_FAILURE = 0x081c, GMM_IDENTITY_REQUEST = 0x0815, GMM_IDENTITY_RESPONSE = 0x0816,
	GMM_STATUS = 0x0820, SM_ACTIVATE_REQUEST = 0x0a41, SM_ACTIVATE_ACCEPT = 0x0a42, SM_ACTIVATE_REJECT = 0x0a43,
	SM_DEACTIVATE_REQUEST = 0x0a46, SM_DEACTIVATE_ACCEPT = 0x0a47, SM_STATUS = 0x0a55,
};
/* TS 24.008 10.5.5.14, 10.5.6.6: those that are used here */
enum { CAUSE_IMSI_UNKNOWN = 2, CAUSE_ILLEGAL_MS = 3, CAUSE_GPRS_NOT_ALLOWED = 7, CAUSE_IDENTITY_UNKNOWN = 9, CAUSE_IMPLICITLY_DETACHED = 10,
	CAUSE_PLMN_NOT_ALLOWED = 11, CAUSE_NETWORK_FAILURE = 17, CAUSE_MAC_FAILURE = 20, CAUSE_SYNCH_FAILURE = 21, CAUSE_CONGESTION = 22,
	CAUSE_GSM_UNACCEPTABLE = 23, SM_CAUSE_UNKNOWN_APN = 27, SM_CAUSE_NOT_SUBSCRIBED = 33, SM_CAUSE_REGULAR = 36 };
const char *gmm_cause_text(int cause); /* never NULL */

enum { NAS_MAX = 512, ID_IMSI = 1, ID_IMEI = 2, ID_IMEISV = 3, ID_PTMSI = 4, DETACH_GPRS = 1, DETACH_IMSI_NET = 3 };

struct rai {
	char plmn[8];
	uint16_t lac;
	uint8_t rac;
};
/* The user plane of the embedded access (DESIGN 3, row 2u): protocol configuration option FF00H */
struct user_plane {
	char plmn[8];
	uint8_t ipv4[4];
	uint16_t port;
	uint8_t token[32];
};
struct nas {
	enum nas_type type;
	/* GMM */
	int id_type;               /* of the mobile identity, 0: none that can be read; or asked for */
	char id[18];               /* digits of an IMSI, IMEI or IMEISV */
	uint32_t ptmsi;
	int has_ptmsi;
	struct rai rai;
	int r99;                   /* MS network capability: revision level */
	uint8_t attach_type, attach_result, detach_type, cause, cksn, ac_ref, t3312;
	int power_off, imeisv_asked;
	int has_aka;               /* RAND and AUTN are there */
	uint8_t rand[16], autn[16];
	size_t res_n;              /* 4..16 */
	uint8_t res[16];
	int has_auts;
	uint8_t auts[14];
	/* SM */
	uint8_t ti;                /* transaction identifier 0-6; */
	int ti_flag;               /* 1: sent by the side that did not begin the transaction */
	uint8_t nsapi;
	char apn[101];
	int has_address;
	uint8_t address[4];
	int has_user;
	struct user_plane user;
};
/* down: the network's. ERR_SHORT, ERR_LIMIT; ERR_UNSUPPORTED: no message of ours, a skip indicator, an extended TI. */
enum err nas_read(struct bytes in, int down, struct nas *out) MUST_CHECK;
enum err nas_write(const struct nas *m, int down, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
const char *nas_name(int type);

#endif
