/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_DIGEST_H
#define USHER_PROTO_DIGEST_H
/* HTTP Digest AKAv2-SHA-256: RFC 7616 with RFC 3310's nonce and auts and RFC 4169's password; qop auth only. */
#include "core/bytes.h"

enum { DIGEST_LINE = 1024, DIGEST_PASSWORD = 45, DIGEST_RESPONSE = 65, DIGEST_NONCE = 45 };

/* A WWW-Authenticate or Authorization header's parameters; absent ones are "". */
struct digest {
	char username[64], realm[256], nonce[64], uri[256], response[80], algorithm[32], qop[16], nc[16], cnonce[80], auts[32];
};
/* line: "Digest name=value, ..."; unknown parameters are skipped. ERR_FORMAT: grammar, another scheme; ERR_EXISTS: a parameter
 * twice; ERR_LIMIT: longer than its room in d. */
enum err digest_read(const char *line, struct digest *d) MUST_CHECK;
/* The challenge of a server, and the answer of a client. The first request has nonce="" and response=""; qop, nc and cnonce
 * stand only where nc is set (not beside auts). ERR_FORMAT: a control character, nc that is not 8 hex digits; ERR_LIMIT: cap
 * (DIGEST_LINE suffices for values that need no escapes); dst is then empty. */
enum err digest_challenge_write(const struct digest *d, char *dst, size_t cap) MUST_CHECK;
enum err digest_answer_write(const struct digest *d, char *dst, size_t cap) MUST_CHECK;

/* base64(HMAC-SHA-256(RES || IK || CK, "http-digest-akav2-password")), RFC 4169 3 */
enum err digest_password(struct bytes res, const uint8_t ik[16], const uint8_t ck[16], char dst[DIGEST_PASSWORD]) MUST_CHECK;
/* response of d's parameters (RFC 7616 3.4.1), lower-case hex */
enum err digest_response(const struct digest *d, const char *method, const char *password, char dst[DIGEST_RESPONSE]) MUST_CHECK;

#endif
