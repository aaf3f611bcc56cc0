/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_CMS_H
#define USHER_PROTO_CMS_H
/*
 * Signed objects on the wire (DESIGN 3): CMS SignedData, DER, content attached, one signer, ECDSA P-256 with SHA-256, no
 * unsigned attributes, the signer's certificate and its issuing CA inside. A verifier names the object (and with it the
 * role) and the id that it expects.
 */
#include "proto/object.h"

enum { CMS_DER_MAX = 48 * 1024 };

struct signer {
	X509 *cert, *issuer;
	EVP_PKEY *key;
};
/* *der: OPENSSL_free. */
enum err cms_sign(enum object o, const void *obj, const struct signer *by, uint8_t **der, size_t *n) MUST_CHECK;

/* Who signed; both certificates belong to the caller (cms_signed_free). */
struct cms_signed {
	X509 *cert, *issuer;
	struct party party;
	uint8_t hash[32];   /* SHA-256 of cert */
};
/*
 * Verifies der as object o, signed by whom x expects; role and use are the object's, whatever x says. Reads it into obj (wiped on failure).
 * by may be NULL. ERR_FORMAT, ERR_AUTH (signature, chain), ERR_DENIED (other object, role or id), ERR_EXPIRED.
 */
enum err cms_open(enum object o, struct bytes der, struct expect x, void *obj, struct cms_signed *by, struct why *w) MUST_CHECK;
void cms_signed_free(struct cms_signed *s);

/* Which object this is, by its eContentType alone (nothing is verified); 0: none of ours. */
int cms_which(struct bytes der);
/* SHA-256 over the whole DER object, its name in the other objects. */
enum err cms_hash(struct bytes der, uint8_t out[32]) MUST_CHECK;

#endif
