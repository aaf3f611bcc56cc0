/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "proto/est.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/secret.h"
#include "roles/attestation/attestation.h"

enum { BASIC_MAX = 512 };

struct enroll {
	struct ca_issue issue;
	struct ask *ask;
};

void est_cacerts(struct ask *a, void *process)
{
	struct attestation *at = ((struct process *)process)->own;
	X509 *certs[16];
	size_t n = 0;
	char text[EST_CERTS_MAX];

	for (int i = 0; i < sk_X509_num(at->roots) && n < 12; i++)
		certs[n++] = sk_X509_value(at->roots, i);
	for (int i = 0; i < CA_COUNT; i++)
		certs[n++] = at->ca[i].cert;
	if (est_certs_write(certs, n, text, sizeof(text)))
		ask_refuse(a, ERR_CRYPTO, "the certificates cannot be written");
	else
		ask_reply(a, 200, "application/pkcs7-mime", bytes_text(text));
}

/* --- who may have this certificate: three ways, each names what it allows --- */

/* A factory: equipments of its own maker, both uses. */
static int factory_may(const struct conf *conf, const struct party *asks, const struct party *who)
{
	size_t n = strlen(asks->id);

	if (strcmp(asks->role, "factory") || strcmp(who->role, "equipment"))
		return 0;
	if (!strncmp(who->id, asks->id, n) && who->id[n] == ':' && who->id[n + 1])
		return 1;
	for (size_t i = 0; i < conf->imei.n; i++) {
		const struct imei_maker *m = (const struct imei_maker *)conf->imei.item + i;

		if (!strcmp(m->maker, asks->id) && !strncmp(who->id, "imei:", 5) && text_digits(who->id + 5) == 15
			&& !strncmp(who->id + 5, m->tac, strlen(m->tac)))
			return 1;
	}
	return 0;
}

/* The holder of a TLS certificate, for his own (role, id). */
static int itself(const struct party *asks, const struct party *who)
{
	return *asks->role && !strcmp(asks->role, who->role) && !strcmp(asks->id, who->id) && strcmp(who->role, "equipment");
}

/* HTTP Basic "<role>/<id>:<invite>" (RFC 7030 3.2.3); the transaction looks the invite up. */
static int invited(struct ask *a, const struct party *who, char hash[65])
{
	const char *h = ask_header(a, "Authorization");
	char text[BASIC_MAX], want[ROLE_MAX + ID_MAX + 2];
	uint8_t md[32];
	size_t n = 0;

	if (!h || strncmp(h, "Basic ", 6) || b64_read(bytes_text(h + 6), (uint8_t *)text, sizeof(text) - 1, &n))
		return 0;
	text[n] = 0;
	snprintf(want, sizeof(want), "%s/%s:", who->role, who->id);
	if (strncmp(text, want, strlen(want)) || !strcmp(who->role, "equipment")
		|| EVP_Digest(text + strlen(want), n - strlen(want), md, NULL, EVP_sha256(), NULL) != 1)
		return 0;
	secret_wipe(text, sizeof(text));
	return !hex_of(BYTES_OF(md), hash, 65);
}

static enum err allowed(struct ask *a, struct enroll *en, struct why *w)
{
	const struct party *who = &en->issue.who, *asks = ask_peer(a);
	struct process *p = en->issue.a->process;
	enum err e = ca_id_check(who, w);

	if (e)
		return e;
	if (en->issue.use == CERT_DELIVER && strcmp(who->role, "equipment"))
		return fail(w, ERR_DENIED, "only an equipment has a delivery key");
	if (en->issue.use == CERT_TLS && !strcmp(who->role, "equipment"))
		return fail(w, ERR_DENIED, "an equipment has no TLS key");
	if (*asks->role && !strcmp(asks->role, "factory") && !peers_find(p->peers, asks->role, asks->id))
		return fail(w, ERR_DENIED, "factory %s is not a peer here; `usher peer add` makes it one", asks->id);
	if (invited(a, who, en->issue.invite))
		return OK;
	if (factory_may(p->conf, asks, who) || itself(asks, who)) {
		uint8_t hash[32];

		e = ask_certificate(a, hash);
		return e ? e : hex_of(BYTES_OF(hash), en->issue.by, sizeof(en->issue.by));
	}
	return fail(w, ERR_DENIED, "%s%s%s may not have a certificate for %s %s; a factory enrols its own maker's equipments, others need an invite",
		*asks->role ? asks->role : "nobody", *asks->role ? " " : "", asks->id, who->role, who->id);
}

static void enrolled(void *arg, enum err e)
{
	struct enroll *en = arg;
	struct process *p = en->issue.a->process;
	X509 *certs[2] = { en->issue.out, en->issue.a->ca[ca_for(&en->issue.who, en->issue.use)].cert };
	char text[EST_CERTS_MAX];

	if (!e)
		e = est_certs_write(certs, 2, text, sizeof(text));
	desk_count(p->desk, e ? COUNT_REFUSED : COUNT_ISSUED, 1);
	if (e) {
		ask_refuse(en->ask, e, "%s", en->issue.why.text[0] ? en->issue.why.text : "the certificate could not be made; try again");
	} else {
		log_hop(LOG_INFO, "est", "role=%s id=%s use=%s", en->issue.who.role, en->issue.who.id, ca_use_word(en->issue.use));
		ask_add(en->ask, "Content-Transfer-Encoding", "base64");
		ask_reply(en->ask, 200, "application/pkcs7-mime; smime-type=certs-only", bytes_text(text));
	}
	X509_free(en->issue.out);
	EVP_PKEY_free(en->issue.key);
	free(en);
}

void est_enroll(struct ask *a, void *process)
{
	struct process *p = process;
	struct enroll *en = calloc(1, sizeof(*en));
	uint8_t der[EST_REQUEST_MAX];
	size_t n = 0;
	struct why w = { "the body is not base64 of a PKCS#10" };
	enum err e = en ? est_body_read(ask_body(a), der, sizeof(der), &n) : ERR_NOMEM;

	if (!e) {
		en->ask = a;
		en->issue.a = p->own;
		e = cert_request_read(BYTES(der, n), &en->issue.who, &en->issue.use, &en->issue.key, &w);
	}
	if (!e)
		e = allowed(a, en, &w);
	if (!e) {
		store_run(p->store, ca_issue, &en->issue, enrolled);
		return;
	}
	if (e == ERR_DENIED && !*ask_peer(a)->role) {
		ask_add(a, "WWW-Authenticate", "Basic realm=\"estrealm\"");
		ask_refuse_as(a, 401, e, "%s", w.text);
	} else {
		ask_refuse(a, e, "%s", w.text);
	}
	desk_count(p->desk, COUNT_REFUSED, 1);
	if (en)
		EVP_PKEY_free(en->issue.key);
	free(en);
}
