/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_MILENAGE_H
#define USHER_PROTO_MILENAGE_H
/* MILENAGE (TS 35.206) and AKA's vectors and tokens (TS 33.102 6.3), as pure functions. One key schedule per context. */
#include <openssl/evp.h>

#include "core/secret.h"

struct milenage {
	EVP_CIPHER_CTX *aes; /* AES-128 under K */
	uint8_t opc[16];
};
/* Ended by milenage_close, which wipes; after a failure too. */
enum err milenage_open(struct milenage *m, const struct secret *k, const struct secret *opc) MUST_CHECK;
void milenage_close(struct milenage *m);
/* Another subscriber in an open context: a key schedule and no more (opening one costs as much again as a vector). */
enum err milenage_key(struct milenage *m, const struct secret *k, const struct secret *opc) MUST_CHECK;

/* f1 (mac_a) and f1* (mac_s) of sqn (6 octets) and amf (2 octets) */
enum err milenage_f1(struct milenage *m, const uint8_t rand[16], const uint8_t sqn[6], const uint8_t amf[2], uint8_t mac_a[8],
	uint8_t mac_s[8]) MUST_CHECK;
struct milenage_keys {
	uint8_t res[8], ck[16], ik[16], ak[6], ak_s[6]; /* f2 f3 f4 f5 f5* */
};
enum err milenage_keys(struct milenage *m, const uint8_t rand[16], struct milenage_keys *out) MUST_CHECK;

/* What the network uses: an authentication vector. Kc by c3 (TS 33.102 6.8.1.2). */
struct vector {
	uint8_t rand[16], autn[16], res[8], ck[16], ik[16], kc[8];
};
enum err milenage_vector(struct milenage *m, const uint8_t rand[16], uint64_t sqn, const uint8_t amf[2], struct vector *out) MUST_CHECK;
/* The AuC's end of a resynchronisation: ERR_AUTH if MAC-S is wrong; else the USIM's SQN. */
enum err milenage_auts_check(struct milenage *m, const uint8_t rand[16], const uint8_t auts[14], uint64_t *sqn_ms) MUST_CHECK;

/* The USIM's end: ERR_AUTH if MAC-A is wrong (nothing else is told then). Whether sqn is fresh is the caller's array. */
enum err milenage_check(struct milenage *m, const uint8_t rand[16], const uint8_t autn[16], uint64_t *sqn, uint8_t amf[2],
	struct milenage_keys *keys) MUST_CHECK;
/* AUTS with AMF* = 0000 (TS 33.102 6.3.3) */
enum err milenage_auts(struct milenage *m, const uint8_t rand[16], uint64_t sqn_ms, uint8_t auts[14]) MUST_CHECK;

#endif
