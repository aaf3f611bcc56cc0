/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_TESTS_UNIT_SIGNERS_H
#define USHER_TESTS_UNIT_SIGNERS_H
/* A little PKI for tests: a root, one issuing CA with its OCSP signer, and leaves of any role. After cmocka.h. */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/issue.h"
#include "proto/cms.h"

struct pki {
	EVP_PKEY *root_key, *ca_key, *ocsp_key;
	X509 *root, *ca, *ocsp;
	STACK_OF(X509) *roots;
};

static inline void pki_new(struct pki *p, unsigned roles)
{
	struct cert_new n = { .kind = CERT_ROOT, .name = "root", .from = clock_now() - 10 };

	p->root_key = EVP_EC_gen("P-256");
	p->ca_key = EVP_EC_gen("P-256");
	p->ocsp_key = EVP_EC_gen("P-256");
	assert_int_equal(cert_issue(&n, p->root_key, NULL, p->root_key, &p->root), OK);
	n = (struct cert_new){ .kind = CERT_CA, .name = "ca", .from = clock_now() - 10, .roles = roles };
	assert_int_equal(cert_issue(&n, p->ca_key, p->root, p->root_key, &p->ca), OK);
	n = (struct cert_new){ .kind = CERT_OCSP, .name = "ocsp", .from = clock_now() - 10 };
	assert_int_equal(cert_issue(&n, p->ocsp_key, p->ca, p->ca_key, &p->ocsp), OK);
	p->roots = sk_X509_new_null();
	sk_X509_push(p->roots, p->root);
}

static inline void pki_free(struct pki *p)
{
	sk_X509_free(p->roots);
	X509_free(p->root);
	X509_free(p->ca);
	X509_free(p->ocsp);
	EVP_PKEY_free(p->root_key);
	EVP_PKEY_free(p->ca_key);
	EVP_PKEY_free(p->ocsp_key);
}

/* n: who, use, from and until of a leaf. key NULL: a new one. */
static inline void leaf_for(struct pki *p, struct cert_new n, EVP_PKEY *key, struct signer *out)
{
	n.kind = CERT_LEAF;
	if (key)
		EVP_PKEY_up_ref(key);
	out->key = key ? key : EVP_EC_gen("P-256");
	out->issuer = p->ca;
	assert_int_equal(cert_issue(&n, out->key, p->ca, p->ca_key, &out->cert), OK);
}

static inline void leaf_new(struct pki *p, const char *role, const char *id, struct signer *out)
{
	struct cert_new n = { .use = CERT_SIGN, .from = clock_now() - 10 };

	strcpy(n.who.role, role);
	strcpy(n.who.id, id);
	leaf_for(p, n, NULL, out);
}

static inline void leaf_free(struct signer *s)
{
	X509_free(s->cert);
	EVP_PKEY_free(s->key);
}

static inline struct cert_time at_now(void)
{
	return (struct cert_time){ clock_now(), 0 };
}

/* Who signs with this id (NULL: any), by these roots and now. */
static inline struct expect from(const char *id, STACK_OF(X509) *roots)
{
	return (struct expect){ .id = id, .roots = roots, .time = at_now() };
}

static inline void receipt_of(struct receipt *r)
{
	memset(r, 0, sizeof(*r));
	strcpy(r->equipment, "acme:000017");
	strcpy(r->pimsi, "901700000000017");
	strcpy(r->operator, "001-01");
	strcpy(r->package, "p1");
	r->counter = 128;
}

/* --- what the openssl command is given, and gives --- */

static inline void pem_write(const char *dir, const char *name, X509 *cert, EVP_PKEY *key)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(!cert || PEM_write_X509(f, cert));
	assert_true(!key || PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
}

static inline size_t file_read(const char *dir, const char *name, uint8_t *dst, size_t cap)
{
	char path[256];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(dst, 1, cap, f);
	fclose(f);
	return n;
}

static inline void file_write(const char *dir, const char *name, struct bytes b)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
	fclose(f);
}

/* Runs a shell line in dir. */
static inline void run(const char *dir, const char *line)
{
	char text[1024];

	snprintf(text, sizeof(text), "cd '%s' && { %s; } >run.out 2>&1 || { cat run.out >&2; exit 1; }", dir, line);
	assert_int_equal(system(text), 0);
}

#endif
