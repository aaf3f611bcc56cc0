/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_OCSP_H
#define USHER_PROTO_OCSP_H
/*
 * OCSP (RFC 6960) with a nonce (RFC 8954) in every exchange of ours. One request asks for certificates of one issuing CA;
 * the answer is signed by that CA's own OCSP signer. Hard fail: anything but a whole, fresh, matching answer is no answer.
 */
#include <openssl/ocsp.h>

#include "core/cert.h"

enum { OCSP_NONCE = 32, OCSP_IDS = 8, OCSP_DER_MAX = 16 * 1024, OCSP_SERIAL_HEX = 48 };

/* What is asked, and what an answer is held against; all borrowed. */
struct ocsp_question {
	X509 *const *certs;                      /* n of them, at most OCSP_IDS, all issued by issuer */
	size_t n;
	X509 *issuer;
	const uint8_t *nonce;                    /* ours, OCSP_NONCE octets */
};
/* *der: OPENSSL_free. */
enum err ocsp_ask_write(struct ocsp_question q, uint8_t **der, size_t *len) MUST_CHECK;

/* What a responder reads. */
struct ocsp_ask {
	OCSP_REQUEST *req;                       /* owned; ocsp_ask_free */
	size_t n;
	int nonce;                               /* it carries one */
	char serial[OCSP_IDS][OCSP_SERIAL_HEX];  /* lower-case hex */
	OCSP_CERTID *id[OCSP_IDS];               /* inside req */
};
/* ERR_FORMAT, ERR_LIMIT: no request, more than OCSP_IDS ids, a nonce of more than OCSP_NONCE octets (RFC 8954 2.1). */
enum err ocsp_ask_read(struct bytes der, struct ocsp_ask *out) MUST_CHECK;
void ocsp_ask_free(struct ocsp_ask *a);
/* 1 if the i-th id names this issuer (by its SHA-1 or SHA-256 hashes). */
int ocsp_ask_issuer(const struct ocsp_ask *a, size_t i, X509 *issuer);

enum ocsp_state { OCSP_GOOD, OCSP_REVOKED, OCSP_UNKNOWN };
struct ocsp_status {
	enum ocsp_state state;
	int64_t revoked_at;
	int reason;                              /* RFC 5280 5.3.1, -1: none */
};
/* Who signs an answer, and when: now is producedAt and thisUpdate, fresh_s seconds later nextUpdate. */
struct ocsp_signer {
	X509 *cert;
	EVP_PKEY *key;
	int64_t now, fresh_s;
};
/* status: one for each id of the request. *der: OPENSSL_free. */
enum err ocsp_answer_write(const struct ocsp_ask *ask, const struct ocsp_status *status, struct ocsp_signer by, uint8_t **der, size_t *len) MUST_CHECK;
/* An unsigned "malformedRequest", "tryLater" ... of RFC 6960 4.2.1. */
enum err ocsp_error_write(int status, uint8_t **der, size_t *len) MUST_CHECK;

/*
 * Checks an answer to q: signed by the issuer's OCSP signer, nonce equal, every id present, producedAt between
 * this and next update and all of them around `time`. floor_only: freshness is the nonce's; producedAt is the time, if it is not
 * before the floor. status[i] per certificate; *produced: producedAt. ERR_UNAVAILABLE: an error of RFC 6960 4.2.1, which is unsigned;
 * ERR_AUTH: signature, nonce, signer; ERR_EXPIRED.
 */
enum err ocsp_answer_check(struct bytes der, struct ocsp_question q, struct cert_time time, struct ocsp_status *status, int64_t *produced,
	struct why *w) MUST_CHECK;

#endif
