/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_ISSUE_H
#define USHER_CORE_ISSUE_H
/* What the holder of a key asks a CA for, and what a CA makes of it; core/cert.h judges both. */
#include "core/cert.h"

/* PKCS#10 for (role, id) and use, signed by key: SAN URI, role usage and key usage requested. DER, caller OPENSSL_free's. */
enum err cert_request(EVP_PKEY *key, const struct party *who, enum cert_use use, uint8_t **der, size_t *n) MUST_CHECK;

/* What a CA makes. Kinds differ by table: basicConstraints, keyUsage, extended usages. */
enum cert_kind { CERT_ROOT, CERT_CA, CERT_OCSP, CERT_LEAF };
struct cert_new {
	enum cert_kind kind;
	const char *name;         /* commonName; a leaf's id is also its serialNumber attribute */
	struct party who;         /* leaf only */
	enum cert_use use;        /* leaf only */
	unsigned roles;           /* CERT_CA: 1u << role number for every role usage it may give */
	int tls;                  /* CERT_CA: also serverAuth and clientAuth */
	int64_t from, until;      /* seconds since 1970; until 0: 99991231235959Z */
};
/* Signs a certificate for key with a random positive serial number of 16 octets; issuer NULL: self-signed by issuer_key. Caller frees. */
enum err cert_issue(const struct cert_new *n, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, X509 **out) MUST_CHECK;

#endif
