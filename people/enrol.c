/* SPDX-License-Identifier: Apache-2.0 */
/* A party's certificates over EST (RFC 7030): `usher setup` fetches the first with an invite, `usher renew` the next ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/issue.h"
#include "core/pem.h"
#include "core/secret.h"
#include "people/people.h"
#include "proto/est.h"

enum { ROOM = 700 };

static enum err est_call(struct enrolment *n, const char *csr, STACK_OF(X509) **certs, struct why *w)
{
	struct request q = { .method = "POST", .address = n->address, .path = *n->basic ? "/.well-known/est/simpleenroll" : "/.well-known/est/simplereenroll",
		.peer_role = "attestation", .peer_id = n->provider, .type = "application/pkcs10", .body = bytes_text(csr),
		.header = { *n->basic ? n->basic : NULL } };
	struct response r;
	enum err e = asker_ask(n->asker, &q, &r);
	json_t *o;

	if (e)
		return fail(w, e, "attestation %s: %s", n->provider, r.why.text);
	if (r.status == 200)
		return est_certs_read(r.body, certs) ? fail(w, ERR_FORMAT, "attestation %s answers no certificates", n->provider) : OK;
	o = json_loadb((const char *)r.body.p, r.body.n, 0, NULL);
	e = fail(w, ERR_DENIED, "attestation %s refuses (%d): %s", n->provider, r.status, json_string_value(json_object_get(o, "why")));
	json_decref(o);
	return e;
}

enum err enrol(struct enrolment *n, enum cert_use use, const char *word, struct why *w)
{
	char path[ROOM], *csr = NULL;
	EVP_PKEY *key = NULL;
	uint8_t *der = NULL;
	size_t len = 0;
	STACK_OF(X509) *certs = NULL;
	enum err e;

	snprintf(path, sizeof(path), "%s/%s.key", n->dir, word);
	e = cert_load_key(path, &key, w);
	if (!e)
		e = cert_request(key, &n->who, use, &der, &len);
	csr = e ? NULL : b64_new(BYTES(der, len));
	if (!e)
		e = csr ? est_call(n, csr, &certs, w) : ERR_NOMEM;
	if (!e && sk_X509_num(certs) < 2)
		e = fail(w, ERR_FORMAT, "attestation %s answers without its issuing CA", n->provider);
	snprintf(path, sizeof(path), "%s/%s.pem", n->dir, word);
	if (!e)
		e = cert_save(path, (X509 *[]){ sk_X509_value(certs, 0), sk_X509_value(certs, 1) }, 2, w);
	sk_X509_pop_free(certs, X509_free);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	free(csr);
	return e;
}

static enum err basic_header(struct enrolment *n, const char *file, struct why *w)
{
	char invite[128] = "", plain[ROLE_MAX + ID_MAX + 140], text[800];
	FILE *f = fopen(file, "re");
	enum err e;

	if (!f)
		return fail(w, ERR_IO, "%s: %s; staff gets an invite by `usher ca invite %s %s`", file, strerror(errno), n->who.role, n->who.id);
	(void)!fgets(invite, sizeof(invite), f);
	fclose(f);
	invite[strcspn(invite, "\r\n")] = 0;
	snprintf(plain, sizeof(plain), "%s/%s:%s", n->who.role, n->who.id, invite);
	e = b64_of(bytes_text(plain), text, sizeof(text));
	snprintf(n->basic, sizeof(n->basic), "Authorization: Basic %s", text);
	secret_wipe(invite, sizeof(invite));
	secret_wipe(plain, sizeof(plain));
	return e;
}

enum err enrolment_open(struct enrolment *n, const char *attestation, const char *invite, struct why *w)
{
	const char *eq = strchr(attestation, '=');
	char roots[ROOM];
	enum err e = conf_resolve(eq + 1, n->address, sizeof(n->address), w);

	snprintf(n->provider, sizeof(n->provider), "%.*s", (int)(eq - attestation), attestation);
	if (!e && invite)
		e = basic_header(n, invite, w);
	if (e)
		return e;
	snprintf(roots, sizeof(roots), "%s/roots.pem", n->dir);
	n->asker = invite ? asker_open_roots(roots) : asker_open(NULL, n->dir);
	return n->asker ? OK : ERR_IO;
}

void enrolment_close(struct enrolment *n)
{
	asker_close(n->asker);
	secret_wipe(n, sizeof(*n));
}

/* --- usher renew --- */

/* Who the folder is, and the day on which its TLS certificate ends; 1 if that is over. */
static enum err holder(struct enrolment *n, char day[16], int *over, struct why *w)
{
	STACK_OF(X509) *chain = NULL;
	X509 *own = NULL;
	char path[ROOM];
	struct tm end = { 0 };
	time_t now = (time_t)clock_now();
	enum err e;

	snprintf(path, sizeof(path), "%s/tls.pem", n->dir);
	e = cert_load(path, &own, &chain, w);
	if (!e && cert_party(own, &n->who))
		e = fail(w, ERR_FORMAT, "%s: it names no party; `usher setup` makes such a folder", path);
	if (!e) {
		*over = X509_cmp_time(X509_get0_notAfter(own), &now) != 1;
		ASN1_TIME_to_tm(X509_get0_notAfter(own), &end);
		strftime(day, 16, "%Y-%m-%d", &end);
	}
	X509_free(own);
	sk_X509_pop_free(chain, X509_free);
	return e;
}

static enum err renewed(struct enrolment *n, const char *attestation, const char *invite, char day[16], struct why *w)
{
	char sign[ROOM];
	int over = 0;
	enum err e = holder(n, day, &over, w);

	if (!e && over && !invite)
		return fail(w, ERR_EXPIRED, "%s/tls.pem ended on %s and proves nothing any more; `usher ca invite %s %s` gives an --invite-file", n->dir, day,
			n->who.role, n->who.id);
	if (!e)
		e = enrolment_open(n, attestation, invite, w);
	snprintf(sign, sizeof(sign), "%s/sign.key", n->dir);
	if (!e && !access(sign, F_OK))
		e = enrol(n, CERT_SIGN, "sign", w);
	if (!e)
		e = enrol(n, CERT_TLS, "tls", w); /* last: it spends the invite */
	return e ? e : holder(n, day, &over, w);
}

int renew(struct words *words)
{
	const char *attestation = words_option(words, "attestation"), *invite = words_option(words, "invite-file");
	struct enrolment n = { 0 };
	struct why w = { "" };
	char day[16] = "";
	enum err e;

	if (!words_left(words, 1, "renew DIR --attestation ID=HOST:PORT [--invite-file FILE]"))
		return USAGE;
	if (!attestation || !strchr(attestation, '='))
		return sorry("needed: --attestation ID=HOST:PORT"), USAGE;
	n.dir = words->v[0];
	e = renewed(&n, attestation, invite, day, &w);
	if (e)
		sorry("%s", w.text[0] ? w.text : err_text(e));
	else
		answer(words, json_pack("{s:s, s:s, s:s, s:s}", "dir", n.dir, "role", n.who.role, "id", n.who.id, "until", day),
			"%s: %s %s has certificates until %s; a role takes them at its next start", n.dir, n.who.role, n.who.id, day);
	enrolment_close(&n);
	return e ? FAILED : DONE;
}
