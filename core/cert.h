/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_CERT_H
#define USHER_CORE_CERT_H
/*
 * Certificates name (role, id): a SAN URI urn:usher:<role>:<id> and the role's extended key usage. Nobody is
 * believed because he "chains to the root": every verifier asks for a role, an id and a use (DESIGN 3).
 */
#include <openssl/x509.h>
#include <stdint.h>

#include "core/bytes.h"

/* The project's arc 2.25.<uuid>: A.1.n object types, A.2.n role key usages. */
#define ARC "2.25.226043161425502714859437820940311663248"

enum {
	ROLE_MAX = 16,  /* "registration" + NUL, with room */
	ID_MAX = 254,   /* a DNS name + NUL; every other id is shorter */
};

/* A party as its certificate names it. */
struct party {
	char role[ROLE_MAX];
	char id[ID_MAX];
};

/* The roles' numbers: arc A.2.n. Their words are the same in lower case; 0 for an unknown word. */
enum { ATTESTATION = 1, REGISTRATION, VISITED, HSS, DLUSIM, DM, EQUIPMENT, FACTORY, STAFF };
int cert_role_number(const char *role);

/* 1: an id that a certificate and a peer may have: letters, digits and . : _ + - only, so that it can stand in a file's name, a
 * URL, a log line and an audit entry as it is. */
int cert_id_good(const char *id);

/* What a leaf is for. Signing and TLS keys are never the same, so a leaf has one use. */
enum cert_use {
	CERT_TLS,     /* serverAuth and clientAuth beside the role usage */
	CERT_SIGN,    /* signs objects: role usage only, keyUsage digitalSignature */
	CERT_DELIVER, /* equipment's delivery key: role usage only, keyUsage keyAgreement */
};
struct cert_has {
	int tls;             /* serverAuth and clientAuth */
	uint32_t key_usage;  /* KU_... */
	const char *word;    /* "signing" */
};
extern const struct cert_has cert_uses[]; /* by enum cert_use */

/* How validity is judged. */
struct cert_time {
	int64_t now;    /* seconds since 1970; what notBefore and notAfter are held against */
	int floor_only; /* 1: only notAfter against now, no notBefore (an equipment without a clock, DESIGN 3 Time) */
};

/* Reads (role, id) of a leaf: exactly one urn:usher SAN URI, and the matching role usage. ERR_FORMAT otherwise. */
enum err cert_party(X509 *leaf, struct party *out) MUST_CHECK;

/* 1: *out is t in seconds since 1970. */
int cert_seconds(const ASN1_TIME *t, int64_t *out);
/* notAfter, seconds since 1970; 0: not a time. */
int64_t cert_end(const X509 *c);

/* Whom a verifier expects, and what it goes by: the roots that it holds (borrowed), and its time. */
struct expect {
	const char *role, *id; /* NULL: any */
	enum cert_use use;
	STACK_OF(X509) *roots;
	struct cert_time time;
};
/*
 * Verifies leaf <- issuing CA <- one of the roots, at most 1 CA between, P-256/SHA-256 only, basicConstraints and
 * keyUsage right, the leaf's role usage among its issuer's usages, role, id and use as expected.
 * chain: candidates for the issuing CA (may hold others, may be NULL). w names the certificate and the reason.
 * Errors: ERR_AUTH (chain, signature), ERR_EXPIRED, ERR_DENIED (other role, id or use), ERR_FORMAT.
 */
enum err cert_verify(X509 *leaf, STACK_OF(X509) *chain, struct expect x, struct why *w) MUST_CHECK;
/* The same where the issuing CA is known. */
enum err cert_verify_under(X509 *leaf, X509 *issuer, struct expect x, struct why *w) MUST_CHECK;

/*
 * The certificate of these octets, which must be their own DER (no other octets encode it). Decoding a P-256 key costs libcrypto 0.1 ms,
 * so those used last are kept, decoded, in a bounded memory; nothing is verified here. NULL: not one. The caller X509_free's.
 */
X509 *cert_decode(struct bytes der);

/* SHA-256 over the DER of the whole certificate. */
enum err cert_hash(X509 *c, uint8_t out[32]) MUST_CHECK;
/* SHA-256 of the public key, as a SubjectPublicKeyInfo. */
enum err cert_key_hash(EVP_PKEY *key, uint8_t out[32]) MUST_CHECK;

/* What a PKCS#10 asks for; verifies its signature (possession) and that its key is P-256. Caller frees key. */
enum err cert_request_read(struct bytes der, struct party *who, enum cert_use *use, EVP_PKEY **key, struct why *w) MUST_CHECK;

#endif
