/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PACKAGE_H
#define USHER_PACKAGE_H
/*
 * Sealing and opening (DESIGN 3, Package): CMS AuthEnvelopedData, AES-256-GCM, ECDH on P-256 to one key, named by its SHA-1
 * key identifier, KDF SHA-256, 16 octets of tag. A USIM package is a signed profile (object 7) inside; an order's keys are
 * the SEQUENCE of K and OPc inside. Who carries it cannot read it.
 */
#include "core/bytes.h"

#include <openssl/evp.h>

enum { PACKAGE_MAX = 48 * 1024 };

/* *der: OPENSSL_free. */
enum err package_seal(struct bytes content, EVP_PKEY *to, uint8_t **der, size_t *n) MUST_CHECK;
/* The shape is checked by our own reader before the library decrypts. *content: OPENSSL_clear_free with *n.
 * ERR_FORMAT: shape; ERR_DENIED: sealed to another key; ERR_AUTH: does not open. */
enum err package_open(struct bytes der, EVP_PKEY *key, uint8_t **content, size_t *n, struct why *w) MUST_CHECK;
/* Start-up: an intact package opens, one with a tag cut to 15, 12, 8, 4 or 1 octets, or with a flipped bit, does not. */
enum err package_selftest(struct why *w) MUST_CHECK;
/* The P-256 key in a SubjectPublicKeyInfo with its point uncompressed, as our tre writes it (RFC 5480 2); a point beside the curve is none.
 * The general decoder takes ten times as long. Caller frees. ERR_FORMAT. */
enum err package_key_read(struct bytes spki, EVP_PKEY **key) MUST_CHECK;
/* The key identifier of a P-256 key: SHA-1 of its public point (RFC 5280 4.2.1.2). */
enum err package_key_id(EVP_PKEY *key, uint8_t id[20]) MUST_CHECK;

#endif
