/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_PEM_H
#define USHER_CORE_PEM_H
/* Certificates and keys in PEM files. */
#include <openssl/x509.h>

#include "core/err.h"

/* The first certificate and the rest; the caller frees with X509_free / sk_X509_pop_free / EVP_PKEY_free. */
enum err cert_load(const char *path, X509 **leaf, STACK_OF(X509) **chain, struct why *w) MUST_CHECK;
enum err cert_load_roots(const char *path, STACK_OF(X509) **roots, struct why *w) MUST_CHECK;
enum err cert_load_key(const char *path, EVP_PKEY **key, struct why *w) MUST_CHECK; /* refuses a mode beyond 0600 */

/* A new P-256 key; written as PKCS#8 PEM 0600 if path is not NULL (O_EXCL). */
enum err cert_make_key(const char *path, EVP_PKEY **key, struct why *w) MUST_CHECK;

/* Writes certificates one after the other as PEM, 0644, by rename. */
enum err cert_save(const char *path, X509 *const *certs, size_t n, struct why *w) MUST_CHECK;

#endif
