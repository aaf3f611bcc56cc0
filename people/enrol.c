/* SPDX-License-Identifier: Apache-2.0 */
/* A party's certificates over EST (RFC 7030): `usher setup` fetches the first with an invite, `usher renew` the next ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/issue.h"
#include "core/pem.h"
#include "core/secret.h"
#include "people/people.h"
#include "proto/est.h"
#include "proto/json.h"

enum { ROOM = 700 };

enum err certificates_fetch(struct asker *a, struct request q, const char *csr, const char *file, struct why *w)
{
	struct response r;
	STACK_OF(X509) *certs = NULL;
	char why[320];
	enum err e;

	q.method = "POST";
	q.type = "application/pkcs10";
	q.peer_role = "attestation";
	q.body = bytes_text(csr);
	e = asker_ask(a, &q, &r);
	if (e)
		return fail(w, e, "attestation %s: %s", q.peer_id, r.why.text);
	if (r.status != 200) {
		json_why(r.body, why, sizeof(why));
		return fail(w, ERR_DENIED, "attestation %s refuses (%d): %s", q.peer_id, r.status, why);
	}
	if (est_certs_read(r.body, &certs) || sk_X509_num(certs) < 2)
		e = fail(w, ERR_FORMAT, "attestation %s answers no certificate with its issuing CA", q.peer_id);
	else
		e = cert_save(file, (X509 *[]){ sk_X509_value(certs, 0), sk_X509_value(certs, 1) }, 2, w);
	sk_X509_pop_free(certs, X509_free);
	return e;
}

enum err enrol(struct enrolment *n, enum cert_use use, const char *word, struct why *w)
{
	const struct request q = { .address = n->address, .peer_id = n->provider, .header = { *n->basic ? n->basic : NULL },
		.path = *n->basic ? "/.well-known/est/simpleenroll" : "/.well-known/est/simplereenroll" };
	char path[ROOM], *csr = NULL;
	EVP_PKEY *key = NULL;
	uint8_t *der = NULL;
	size_t len = 0;
	enum err e;

	snprintf(path, sizeof(path), "%s/%s.key", n->dir, word);
	e = cert_load_key(path, &key, w);
	if (!e)
		e = cert_request(key, &n->who, use, &der, &len);
	csr = e ? NULL : b64_new(BYTES(der, len));
	snprintf(path, sizeof(path), "%s/%s.pem", n->dir, word);
	if (!e)
		e = csr ? certificates_fetch(n->asker, q, csr, path, w) : ERR_NOMEM;
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

/* Who the folder is, and when its TLS certificate ends. */
static enum err holder(struct enrolment *n, int64_t *end, struct why *w)
{
	STACK_OF(X509) *chain = NULL;
	X509 *own = NULL;
	char path[ROOM];
	enum err e;

	snprintf(path, sizeof(path), "%s/tls.pem", n->dir);
	e = cert_load(path, &own, &chain, w);
	if (!e && cert_party(own, &n->who))
		e = fail(w, ERR_FORMAT, "%s: it names no party; `usher setup` makes such a folder", path);
	*end = e ? 0 : cert_end(own);
	X509_free(own);
	sk_X509_pop_free(chain, X509_free);
	return e;
}

static enum err renewed(struct enrolment *n, const char *attestation, const char *invite, int64_t *end, struct why *w)
{
	char sign[ROOM], at[32];
	enum err e = holder(n, end, w);

	clock_text(*end, at, sizeof(at));
	if (!e && *end <= clock_now() && !invite)
		return fail(w, ERR_EXPIRED, "%s/tls.pem ended on %.10s and proves nothing any more; `usher ca invite %s %s` gives an --invite-file", n->dir, at,
			n->who.role, n->who.id);
	if (!e)
		e = enrolment_open(n, attestation, invite, w);
	snprintf(sign, sizeof(sign), "%s/sign.key", n->dir);
	if (!e && !access(sign, F_OK))
		e = enrol(n, CERT_SIGN, "sign", w);
	if (!e)
		e = enrol(n, CERT_TLS, "tls", w); /* last: it spends the invite */
	return e ? e : holder(n, end, w);
}

int renew(struct words *words)
{
	const char *attestation = words_option(words, "attestation"), *invite = words_option(words, "invite-file");
	struct enrolment n = { 0 };
	struct why w = { "" };
	char day[32];
	int64_t end = 0;
	enum err e;

	if (!words_left(words, 1, "renew DIR --attestation ID=HOST:PORT [--invite-file FILE]"))
		return USAGE;
	if (!attestation || !strchr(attestation, '='))
		return sorry("needed: --attestation ID=HOST:PORT"), USAGE;
	n.dir = words->v[0];
	e = renewed(&n, attestation, invite, &end, &w);
	clock_text(end, day, sizeof(day));
	day[10] = 0; /* the day is enough */
	if (e)
		sorry("%s", w.text[0] ? w.text : err_text(e));
	else
		answer(words, json_pack("{s:s, s:s, s:s, s:s}", "dir", n.dir, "role", n.who.role, "id", n.who.id, "until", day),
			"%s: %s %s has certificates until %s; a role takes them at its next start", n.dir, n.who.role, n.who.id, day);
	enrolment_close(&n);
	return e ? FAILED : DONE;
}
