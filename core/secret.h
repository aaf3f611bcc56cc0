/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_SECRET_H
#define USHER_CORE_SECRET_H
/*
 * Secrets are a type of their own: there is no format for it, the logger does not take it, and it is wiped by
 * whoever ends its life. At rest a secret is AES key wrapped (RFC 3394) under the role's key file.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

/* 128 bits: K, OPc, CK, IK, a claim key. */
struct secret {
	uint8_t octet[16];
};

enum { SECRET_WRAPPED = 24 }; /* octets of one wrapped struct secret */

void secret_wipe(void *p, size_t n);                  /* also for other types that hold secret octets */
enum err secret_random(void *p, size_t n) MUST_CHECK; /* from the system's generator */
int secret_same(const struct secret *a, const struct secret *b); /* constant time */

/* The key-encryption key of a role. */
struct kek;
/* Reads 64 hex digits from a file that must be a regular file of mode 0600 or less; w says what is wrong. */
enum err kek_load(const char *path, struct kek **out, struct why *w) MUST_CHECK;
/* Makes a new key file (0600, O_EXCL). */
enum err kek_create(const char *path, struct why *w) MUST_CHECK;
void kek_free(struct kek *k);                         /* wipes; NULL is fine */
enum err kek_wrap(const struct kek *k, const struct secret *s, uint8_t out[SECRET_WRAPPED]) MUST_CHECK;
enum err kek_unwrap(const struct kek *k, const uint8_t in[SECRET_WRAPPED], struct secret *s) MUST_CHECK; /* ERR_AUTH */

/* Once at start: no core dumps, not traceable, umask 077. */
void secret_process(void);

#endif
