/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_EST_H
#define USHER_PROTO_EST_H
/* Bodies of EST (RFC 7030 4.1.3, 4.2): base64 of PKCS#10 in, base64 of certs-only PKCS#7 out. */
#include <openssl/x509.h>

#include "core/bytes.h"

enum { EST_REQUEST_MAX = 8192, EST_CERTS_MAX = 32 * 1024 };

/* base64 (line breaks allowed) -> DER in dst. */
enum err est_body_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
/* Certificates -> base64 text with NUL in dst. */
enum err est_certs_write(X509 *const *certs, size_t count, char *dst, size_t cap) MUST_CHECK;
/* The reverse; at most 16 certificates. The caller frees with sk_X509_pop_free. */
enum err est_certs_read(struct bytes text, STACK_OF(X509) **out) MUST_CHECK;

#endif
