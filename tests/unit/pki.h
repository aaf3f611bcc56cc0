/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_TESTS_UNIT_PKI_H
#define USHER_TESTS_UNIT_PKI_H
/* A little PKI in memory and in a folder, for unit tests: root, an issuing CA for servers, one for signers, leaves of any role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cert.h"
#include "core/clock.h"
#include "core/issue.h"
#include "core/pem.h"
#include "core/tls.h"

enum { PKI_ALL = 0x3fe };

struct pki {
	char dir[64];
	EVP_PKEY *root_key, *tls_key, *sign_key;
	X509 *root, *tls_ca, *sign_ca;
	STACK_OF(X509) *roots, *cas;
};

__attribute__((unused)) static X509 *pki_issue(const struct cert_new *n, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
	struct cert_new with = *n;
	X509 *c = NULL;

	if (!with.from)
		with.from = clock_now() - 10;
	assert_int_equal(cert_issue(&with, key, issuer, issuer_key, &c), OK);
	return c;
}

__attribute__((unused)) static void pki_new(struct pki *p)
{
	strcpy(p->dir, "/tmp/usher-pki-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->root_key = EVP_EC_gen("P-256");
	p->tls_key = EVP_EC_gen("P-256");
	p->sign_key = EVP_EC_gen("P-256");
	p->root = pki_issue(&(struct cert_new){ .kind = CERT_ROOT, .name = "root" }, p->root_key, NULL, p->root_key);
	p->tls_ca = pki_issue(&(struct cert_new){ .kind = CERT_CA, .name = "servers", .roles = PKI_ALL, .tls = 1 }, p->tls_key, p->root, p->root_key);
	p->sign_ca = pki_issue(&(struct cert_new){ .kind = CERT_CA, .name = "signers", .roles = PKI_ALL }, p->sign_key, p->root, p->root_key);
	p->roots = sk_X509_new_null();
	p->cas = sk_X509_new_null();
	sk_X509_push(p->roots, p->root);
	sk_X509_push(p->cas, p->tls_ca);
	sk_X509_push(p->cas, p->sign_ca);
}

__attribute__((unused)) static void pki_free(struct pki *p)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	assert_int_equal(system(command), 0);
	sk_X509_free(p->roots);
	sk_X509_free(p->cas);
	X509_free(p->root);
	X509_free(p->tls_ca);
	X509_free(p->sign_ca);
	EVP_PKEY_free(p->root_key);
	EVP_PKEY_free(p->tls_key);
	EVP_PKEY_free(p->sign_key);
}

__attribute__((unused)) static X509 *pki_leaf(struct pki *p, const char *role, const char *id, enum cert_use use, EVP_PKEY *key)
{
	struct cert_new n = { .kind = CERT_LEAF, .use = use };

	strcpy(n.who.role, role);
	strcpy(n.who.id, id);
	return use == CERT_TLS ? pki_issue(&n, key, p->tls_ca, p->tls_key) : pki_issue(&n, key, p->sign_ca, p->sign_key);
}

/* An open struct tls of (role, id), its key and certificate from files as in a role's folder. */
__attribute__((unused)) static struct tls *pki_tls(struct pki *p, const char *role, const char *id)
{
	char key[128], cert[128], roots[128];
	struct tls *t = NULL;
	struct why w = { "" };
	EVP_PKEY *k = NULL;
	X509 *both[2];

	snprintf(key, sizeof(key), "%s/%s-%s.key", p->dir, role, id);
	snprintf(cert, sizeof(cert), "%s/%s-%s.pem", p->dir, role, id);
	snprintf(roots, sizeof(roots), "%s/roots.pem", p->dir);
	unlink(key);
	assert_int_equal(cert_make_key(key, &k, &w), OK);
	both[0] = pki_leaf(p, role, id, CERT_TLS, k);
	both[1] = p->tls_ca;
	assert_int_equal(cert_save(cert, both, 2, &w), OK);
	assert_int_equal(cert_save(roots, &p->root, 1, &w), OK);
	X509_free(both[0]);
	EVP_PKEY_free(k);
	if (tls_open(&(struct tls_files){ key, cert, roots }, &t, &w))
		fail_msg("%s", w.text);
	return t;
}
#endif
