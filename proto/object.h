/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_OBJECT_H
#define USHER_PROTO_OBJECT_H
/*
 * The contents of the eight signed objects (doc/wires.md 1): C structs, and one table-driven DER codec. Strict DER: definite
 * and minimal lengths, nothing left over. A struct is the whole object; strings end with NUL.
 */
#include "core/cert.h"
#include "core/secret.h"

enum object {
	OBJECT_DISCOVER = 1, OBJECT_CHALLENGE, OBJECT_ANSWER, OBJECT_TRIGGER, OBJECT_RECEIPT, OBJECT_ACKNOWLEDGEMENT, OBJECT_PROFILE,
	OBJECT_ORDER, OBJECT_LAST = OBJECT_ORDER
};
enum {
	OBJECT_MAX = 40 * 1024,  /* octets of one content */
	PLMN_TEXT = 8, DIGITS_MAX = 16, EQUIPMENT_MAX = 80, OWNER_MAX = 65, ADDRESS_MAX = 270, PLMNS_MAX = 32, OCSP_MAX = 8,
	SPKI_MAX = 128, SECRET_MAX = 32, NOTICE_MAX = 512, TICKET_MAX = 4096, JOB_MAX = 65, VERSIONS_MAX = 128, TCA_MAX = 32768,
	SEALED_KEYS_MAX = 1024,
};

#define OCTETS(max_) struct { size_t n; uint8_t p[max_]; }
struct plmns {
	size_t n;
	char item[PLMNS_MAX][PLMN_TEXT]; /* "001-01" */
};
struct addresses {
	size_t n;
	char item[OCSP_MAX][ADDRESS_MAX]; /* host:port */
};

/* T, how long an equipment tries its new USIM, at most: a PIMSI is not retired before G >= 2 T after the receipt (DESIGN 4), and registration
 * operator and equipment, which never hear of each other's T and G, both keep to this. */
enum { TRIAL_MOST_S = 3600 };

struct discover_answer {
	char pimsi[DIGITS_MAX], equipment[EQUIPMENT_MAX];
	uint8_t certificate[32];
	char operator[PLMN_TEXT], dlusim[ID_MAX], dlusim_address[ADDRESS_MAX];
	uint8_t signer[32];
	char owner[OWNER_MAX];
	int64_t serial;
	uint8_t proof[32];
	struct addresses ocsp;
	char dm_address[ADDRESS_MAX];
	uint8_t nonce[16];
	int64_t expiry;
};
struct challenge {
	char dlusim[ID_MAX], equipment[EQUIPMENT_MAX];
	uint8_t discover[32], nonce[32];
	int64_t expiry;
};
struct answer {
	uint8_t challenge[32], discover[32];
	int64_t serial;
	uint8_t certificate[32];
	char pimsi[DIGITS_MAX];
	OCTETS(SPKI_MAX) one_time;
	int64_t counter;
	uint8_t ocsp_nonce[32];
	char versions[VERSIONS_MAX];
};
struct trigger {
	char dlusim[ID_MAX], equipment[EQUIPMENT_MAX];
	uint8_t answer[32];
	char job[JOB_MAX], dm[ID_MAX], dm_address[ADDRESS_MAX], user[ID_MAX + JOB_MAX];
	OCTETS(SECRET_MAX) client_secret, client_nonce, server_secret, server_nonce;
	OCTETS(NOTICE_MAX) notice;
	int64_t expiry;
};
struct receipt {
	char equipment[EQUIPMENT_MAX], pimsi[DIGITS_MAX], operator[PLMN_TEXT], package[JOB_MAX];
	int64_t counter;
	uint8_t answer[32], certificate[32];
};
struct acknowledgement {
	char dlusim[ID_MAX], equipment[EQUIPMENT_MAX];
	uint8_t receipt[32];
	OCTETS(TICKET_MAX) ticket;
};
struct minimal {
	char imsi[DIGITS_MAX], iccid[24];
	struct secret k, opc;
	int64_t algorithm; /* 1: MILENAGE */
	struct plmns home, selector, forbidden;
};
struct profile {
	char operator[PLMN_TEXT], equipment[EQUIPMENT_MAX];
	uint8_t certificate[32], one_time[32], answer[32];
	char package[JOB_MAX];
	int64_t counter, expiry;
	int is_tca;        /* which of the CHOICE */
	struct minimal minimal;
	OCTETS(TCA_MAX) tca;
};
/* K and OPc are sealed to the delivery key by themselves, so that modem and agent may read all the rest. */
struct order {
	char equipment[EQUIPMENT_MAX], pimsi[DIGITS_MAX];
	OCTETS(SEALED_KEYS_MAX) keys;   /* AuthEnvelopedData over order_keys */
	int64_t algorithm;
	char registration[PLMN_TEXT], discover_address[ADDRESS_MAX], realm[ID_MAX], apn[101];
	struct plmns allowed;           /* empty: every network */
};
struct order_keys {
	struct secret k, opc;
};

const char *object_name(enum object o);     /* "discover answer" */
const char *object_signer(enum object o);   /* role that signs it */
/* Which object an eContentType names, by the content octets of the OID; 0: none of ours. object_oid is the reverse, as text. */
int object_of_type(struct bytes oid);
void object_oid(enum object o, char dst[128]);

/* obj points to the struct of that object. ERR_RANGE: a string or list of obj does not end; ERR_LIMIT: cap. */
enum err object_write(enum object o, const void *obj, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
/* obj is zeroed first, and wiped on failure. ERR_FORMAT, ERR_SHORT, ERR_SURPLUS, ERR_LIMIT, ERR_RANGE. */
enum err object_read(enum object o, struct bytes der, void *obj) MUST_CHECK;
size_t object_size(enum object o);           /* octets of its struct */
enum err order_keys_write(const struct order_keys *k, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
enum err order_keys_read(struct bytes der, struct order_keys *k) MUST_CHECK;

/* What a claim says. */
struct claimed {
	const char *operator, *dlusim, *equipment, *owner;
	int64_t serial;
};
/* HMAC-SHA-256 under the claim key over SEQUENCE { 1, operator, DLUSIM, equipment, owner, serial } (DESIGN 1). */
enum err object_claim_proof(const struct secret *claim_key, const struct claimed *c, uint8_t proof[32]) MUST_CHECK;
/* The claim key's 26 letters on the label (RFC 4648 6, no padding). */
enum err claim_key_text(const struct secret *k, char dst[27]) MUST_CHECK;
enum err claim_key_read(const char *text, struct secret *k) MUST_CHECK;

#endif
