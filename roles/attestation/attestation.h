/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_ATTESTATION_H
#define USHER_ROLES_ATTESTATION_H
/*
 * Attestation provider (TR 33.812 pCR; R8, R12-R14): issues certificates over EST, revokes them, and answers OCSP from the
 * same database. Three issuing CAs (devices, signers, servers), each with its own OCSP signer.
 */
#include "core/audit.h"
#include "core/process.h"
#include "proto/ocsp.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], ocsp[300];
	} listen;
	int64_t tls_life, sign_life, invite_life, ocsp_fresh;
	struct conf_list imei;
};
/* A maker that may enrol equipments whose id is an IMEI of this type allocation code. */
struct imei_maker {
	char maker[64], tac[16];
};
extern const struct conf_item conf_schema[];

enum ca { CA_DEVICES, CA_SIGNERS, CA_SERVERS, CA_COUNT };
struct issuer {
	X509 *cert, *ocsp_cert;
	EVP_PKEY *key, *ocsp_key;
};
struct attestation {
	struct process *process;
	struct server *peers, *ocsp;
	struct issuer ca[CA_COUNT];
	STACK_OF(X509) *roots;
	struct ocsp_memory *memory;
};

enum { COUNT_ISSUED, COUNT_REFUSED, COUNT_OCSP, COUNT_REVOKED };

extern const char *const ca_words[CA_COUNT];

/* ca.c: the certificates and their life */
enum err ca_open(struct attestation *a, struct why *w) MUST_CHECK;
void ca_close(struct attestation *a);
enum ca ca_for(const struct party *who, enum cert_use use);
const char *ca_use_word(enum cert_use use);
/* The id has its role's form (PLMN, DNS name, maker); ERR_FORMAT: w shows the right one. */
enum err ca_id_check(const struct party *who, struct why *w) MUST_CHECK;
/* A reason's number in RFC 5280 5.3.1; -1: none of the words taken here. */
int ca_reason(const char *word);
/* Signs and writes one certificate in a transaction of its own; *out belongs to the caller. */
struct ca_issue {
	struct attestation *a;
	struct party who;
	enum cert_use use;
	EVP_PKEY *key;
	char invite[65];         /* hash of the invite that pays for it, "" if none */
	char by[65];             /* else the hash of the certificate that asks: it must be ours, and good */
	X509 *out;
	struct why why;
};
enum err ca_issue(struct tx *tx, void *issue);
void ca_invite(struct ask *a, void *process);        /* POST /v1/invite */
void ca_revoke(struct ask *a, void *process);        /* POST /v1/revoke */
void ca_certificates(struct ask *a, void *process);  /* GET /v1/certificates */

/* est.c: RFC 7030 */
void est_cacerts(struct ask *a, void *process);
void est_enroll(struct ask *a, void *process);

/* ocsp.c: RFC 6960 */
enum err ocsp_open(struct attestation *a) MUST_CHECK;
void ocsp_close(struct attestation *a);
void ocsp_forget(struct attestation *a); /* a status has changed: nothing is answered from memory but what is read anew */
void ocsp_answer(struct ask *a, void *process);

#endif
