/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/issue.h"
#include "core/pem.h"
#include "core/secret.h"
#include "people/people.h"

enum { ROOM = 700, SETTINGS = 8192 };

/* What a folder of each role holds. */
static const struct kind {
	const char *role;
	const char *listeners[5]; /* NULL-ended; udp: with its prefix; ?: only where --listen asks for it */
	int signs, serves;
} kinds[] = {
	{ "attestation", { "peers", "ocsp" }, 0, 1 },
	{ "registration", { "peers", "discover", "gsup", "access" }, 1, 1 },
	{ "visited", { "peers", "user", "udp:cell", "?sgsn" }, 0, 1 },
	{ "hss", { "peers", "gsup", "access" }, 1, 1 },
	{ "dlusim", { "peers", "equipment", "owner" }, 1, 1 },
	{ "dm", { "peers", "equipment" }, 0, 1 },
	{ "factory", { NULL }, 0, 0 },
	{ "staff", { NULL }, 0, 0 },
};

struct setup {
	const struct kind *kind;
	const char *dir, *id;
	struct why why;
};

static const char *in(const struct setup *s, const char *name, char path[ROOM])
{
	snprintf(path, ROOM, "%s/%s", s->dir, name);
	return path;
}

static enum err text_file(struct setup *s, const char *name, const char *text, mode_t mode)
{
	char path[ROOM];
	FILE *f = fopen(in(s, name, path), "wex");

	if (!f)
		return fail(&s->why, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
	fputs(text, f);
	fchmod(fileno(f), mode);
	return fflush(f) || fsync(fileno(f)) || fclose(f) ? fail(&s->why, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

/* --- usher.yaml --- */

static const char *name_of(const char *listener)
{
	return *listener == '?' ? listener + 1 : strncmp(listener, "udp:", 4) ? listener : listener + 4;
}

/* --listen NAME=HOST:PORT of this role's listeners, --set KEY=VALUE: as lines "listen NAME=HOST:PORT" and "KEY: VALUE". */
static enum err settings_read(struct setup *s, struct words *w, char text[SETTINGS])
{
	struct wr t = wr_of(text, SETTINGS - 1);
	const char *v;

	while ((v = words_option(w, "listen"))) {
		const char *eq = strchr(v, '=');

		if (!eq || !strchr(eq, ':'))
			return fail(&s->why, ERR_FORMAT, "--listen `%s`: write NAME=HOST:PORT, like peers=10.0.0.3:8443", v);
		wr_printf(&t, "listen %s\n", v);
	}
	while ((v = words_option(w, "set"))) {
		const char *eq = strchr(v, '=');

		if (!eq || eq == v)
			return fail(&s->why, ERR_FORMAT, "--set `%s`: write KEY=VALUE, as in usher.yaml", v);
		wr_printf(&t, "%.*s: %s\n", (int)(eq - v), v, eq + 1);
	}
	text[t.n] = 0;
	return wr_done(&t);
}

/* The address given for a listener; its line is taken out of the settings. */
static void listen_at(char *settings, const char *listener, char *dst, size_t cap)
{
	char line[64], *at, *end;

	snprintf(line, sizeof(line), "listen %s=", name_of(listener));
	snprintf(dst, cap, "%s", *listener == '?' ? "" : "127.0.0.1:0");
	at = strstr(settings, line);
	if (!at)
		return;
	end = strchr(at, '\n');
	snprintf(dst, cap, "%.*s", (int)(end - at) - (int)strlen(line), at + strlen(line));
	memmove(at, end + 1, strlen(end + 1) + 1);
}

static enum err config_write(struct setup *s, char *settings)
{
	char text[SETTINGS + 2048], at[300];
	struct wr t = wr_of(text, sizeof(text) - 1);
	const char *const *l = s->kind->listeners;

	wr_printf(&t, "role: %s\nid: %s\n", s->kind->role, s->id);
	if (*l)
		wr_printf(&t, "listen:\n");
	for (int i = 0; l[i]; i++) {
		listen_at(settings, l[i], at, sizeof(at));
		if (*at)
			wr_printf(&t, "  %s: \"%s%s\"\n", name_of(l[i]), !strncmp(l[i], "udp:", 4) && strncmp(at, "udp://", 6) ? "udp://" : "", at);
	}
	if (strncmp(settings, "listen ", 7)) {
		wr_text(&t, settings);
		text[t.n] = 0;
		return wr_done(&t) ? ERR_LIMIT : s->kind->serves ? text_file(s, "usher.yaml", text, 0600) : OK;
	}
	settings[strcspn(settings, "=")] = 0;
	return fail(&s->why, ERR_MISSING, "role %s has no listener `%s`; `usher-%s --example-config` shows them", s->kind->role, settings + 7, s->kind->role);
}

/* --- the attestation provider: its own roots and issuing CAs --- */

struct authority {
	X509 *cert;
	EVP_PKEY *key;
};

static enum err authority_make(struct setup *s, const char *word, struct cert_new n, const struct authority *by, struct authority *out)
{
	char path[ROOM], name[64], title[320];
	enum err e;

	snprintf(name, sizeof(name), "ca/%s.key", word);
	snprintf(title, sizeof(title), "usher %s %s", s->id, word);
	n.name = title;
	e = cert_make_key(in(s, name, path), &out->key, &s->why);
	if (!e)
		e = cert_issue(&n, out->key, by ? by->cert : NULL, by ? by->key : out->key, &out->cert);
	snprintf(name, sizeof(name), "ca/%s.pem", word);
	return e ? e : cert_save(in(s, name, path), &out->cert, 1, &s->why);
}

static void authority_free(struct authority *a)
{
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
}

static enum err own_leaf(struct setup *s, const struct authority *servers)
{
	struct cert_new n = { .kind = CERT_LEAF, .use = CERT_TLS, .from = clock_now() - 300, .until = clock_now() + 90 * 86400 };
	X509 *pair[2] = { NULL, servers->cert };
	EVP_PKEY *key = NULL;
	char path[ROOM];
	enum err e = cert_make_key(in(s, "tls.key", path), &key, &s->why);

	snprintf(n.who.role, sizeof(n.who.role), "attestation");
	if (!e)
		e = text_copy(n.who.id, sizeof(n.who.id), s->id);
	if (!e)
		e = cert_issue(&n, key, servers->cert, servers->key, &pair[0]);
	if (!e)
		e = cert_save(in(s, "tls.pem", path), pair, 2, &s->why);
	X509_free(pair[0]);
	EVP_PKEY_free(key);
	return e;
}

/* The first member of staff enrols with an invite whose hash the role takes over at its first start. */
static enum err bootstrap(struct setup *s, const char *staff, const char *file)
{
	uint8_t octets[32], md[32];
	char text[64], hash[65], line[ID_MAX + 100], peer[ID_MAX + 32];
	FILE *f;
	enum err e = secret_random(octets, sizeof(octets));

	if (!e)
		e = b64url_of(BYTES_OF(octets), text, sizeof(text));
	if (!e && EVP_Digest(text, strlen(text), md, NULL, EVP_sha256(), NULL) != 1)
		e = ERR_CRYPTO;
	if (!e)
		e = hex_of(BYTES_OF(md), hash, sizeof(hash));
	f = e ? NULL : fopen(file, "wex"); /* before the mark `bootstrap`: without it nobody could ever come in */
	if (!e && !f)
		return fail(&s->why, ERR_IO, "%s: %s; the first member of staff gets his invite there", file, strerror(errno));
	if (f) {
		fchmod(fileno(f), 0600);
		fprintf(f, "%s\n", text);
		if (fflush(f) || fsync(fileno(f)))
			e = fail(&s->why, ERR_IO, "%s: %s", file, strerror(errno));
		fclose(f);
	}
	secret_wipe(text, sizeof(text));
	snprintf(line, sizeof(line), "peers/staff_%s.yaml", staff);
	snprintf(peer, sizeof(peer), "role: staff\nid: %s\n", staff);
	if (!e)
		e = text_file(s, line, peer, 0600);
	snprintf(line, sizeof(line), "staff %s %s\n", staff, hash);
	return e ? e : text_file(s, "bootstrap", line, 0600);
}

static enum err pki_make(struct setup *s, const char *staff, const char *file)
{
	static const struct {
		const char *word, *ocsp;
		unsigned roles;
		int tls;
	} issuing[] = {
		{ "devices", "devices-ocsp", 1u << 7, 0 },
		{ "signers", "signers-ocsp", 1u << 2 | 1u << 4 | 1u << 5, 0 },
		{ "servers", "servers-ocsp", 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 9, 1 },
	};
	struct authority root = { 0 }, spare = { 0 }, ca = { 0 }, ocsp = { 0 };
	struct cert_new n = { .kind = CERT_ROOT, .from = clock_now() - 300 };
	char path[ROOM];
	enum err e = mkdir(in(s, "ca", path), 0700) ? fail(&s->why, ERR_IO, "%s: %s", path, strerror(errno)) : OK;

	if (!e)
		e = authority_make(s, "root", n, NULL, &root);
	if (!e)
		e = authority_make(s, "spare", n, NULL, &spare);
	if (!e)
		e = cert_save(in(s, "roots.pem", path), (X509 *[]){ root.cert, spare.cert }, 2, &s->why);
	for (int i = 0; i < 3 && !e; i++) {
		struct cert_new c = { .kind = CERT_CA, .from = n.from, .roles = issuing[i].roles, .tls = issuing[i].tls };
		struct cert_new o = { .kind = CERT_OCSP, .from = n.from };

		e = authority_make(s, issuing[i].word, c, &root, &ca);
		if (!e)
			e = authority_make(s, issuing[i].ocsp, o, &ca, &ocsp);
		if (!e && issuing[i].tls)
			e = own_leaf(s, &ca);
		authority_free(&ca);
		authority_free(&ocsp);
		ca = ocsp = (struct authority){ 0 };
	}
	authority_free(&root);
	authority_free(&spare);
	return e ? e : bootstrap(s, staff, file);
}

/* --- everybody else: enrols over EST --- */

static enum err copy_roots(struct setup *s, const char *from)
{
	STACK_OF(X509) *roots = NULL;
	X509 *v[16];
	char path[ROOM];
	int n;
	enum err e = cert_load_roots(from, &roots, &s->why);

	if (e)
		return e;
	n = sk_X509_num(roots);
	for (int i = 0; i < n; i++)
		v[i] = sk_X509_value(roots, i);
	e = cert_save(in(s, "roots.pem", path), v, (size_t)n, &s->why);
	sk_X509_pop_free(roots, X509_free);
	return e;
}

static enum err join(struct setup *s, const char *attestation, const char *roots, const char *invite)
{
	static const struct {
		enum cert_use use;
		const char *word;
	} keys[] = { { CERT_SIGN, "sign" }, { CERT_TLS, "tls" } }; /* the TLS certificate is last: it spends the invite */
	struct enrolment n = { .dir = s->dir };
	char name[32], path[ROOM];
	enum err e = copy_roots(s, roots);

	snprintf(n.who.role, sizeof(n.who.role), "%s", s->kind->role);
	if (!e)
		e = text_copy(n.who.id, sizeof(n.who.id), s->id);
	if (!e)
		e = enrolment_open(&n, attestation, invite, &s->why);
	for (int i = s->kind->signs ? 0 : 1; i < 2 && !e; i++) {
		EVP_PKEY *key = NULL;

		snprintf(name, sizeof(name), "%s.key", keys[i].word);
		e = cert_make_key(in(s, name, path), &key, &s->why);
		EVP_PKEY_free(key);
		if (!e)
			e = enrol(&n, keys[i].use, keys[i].word, &s->why);
	}
	enrolment_close(&n);
	return e;
}

/* --- the folder --- */

static int has(const struct setup *s, const char *name)
{
	char path[ROOM];

	return !access(in(s, name, path), F_OK);
}

/* roots.pem and the last thing that a set-up makes are there, or a role has written: nothing of it may be touched. */
static enum err fresh(struct setup *s, int own_pki)
{
	static const char *const begun[] = { "usher.yaml", "kek", "roots.pem", "sign.key", "sign.pem", "tls.key", "tls.pem" };
	char path[ROOM], db[64];

	snprintf(db, sizeof(db), "%s.db", s->kind->role);
	if (has(s, db) || (own_pki ? has(s, "bootstrap") : has(s, "tls.pem")))
		return fail(&s->why, ERR_EXISTS, "%s is set up already; nothing was changed. Its configuration is %s/usher.yaml; move the folder away to begin anew",
			s->dir, s->dir);
	if (own_pki && has(s, "ca"))
		return fail(&s->why, ERR_EXISTS, "%s is half made: the set-up of its CA was interrupted before anybody trusted it. Remove the folder and give the "
			"same command again", s->dir);
	if (mkdir(s->dir, 0700) && errno != EEXIST)
		return fail(&s->why, ERR_IO, "%s: %s", s->dir, strerror(errno));
	for (size_t i = 0; i < sizeof(begun) / sizeof(*begun); i++)
		if (has(s, begun[i]) && unlink(in(s, begun[i], path)))
			return fail(&s->why, ERR_IO, "%s: %s", path, strerror(errno));
	return mkdir(in(s, "peers", path), 0700) && errno != EEXIST ? fail(&s->why, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

static const char usage[] = "setup ROLE DIR --id ID ...; `usher help setup` has examples";

static int kind_find(struct setup *s, const char *role)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].role, role))
			s->kind = kinds + i;
	if (!s->kind)
		sorry("`%s` is no role; one of attestation registration visited hss dlusim dm factory staff", role);
	else if (!s->id || !*s->id || strlen(s->id) >= ID_MAX)
		sorry("needed: --id ID: a PLMN as <mcc>-<mnc> for registration, visited and hss, a DNS name for the other roles, the maker, a name for staff");
	return s->kind && s->id && *s->id && strlen(s->id) < ID_MAX;
}

int setup_role(struct words *w)
{
	struct setup s = { .id = words_option(w, "id") };
	const char *attestation = words_option(w, "attestation"), *roots = words_option(w, "roots"), *staff = words_option(w, "staff"),
		*invite = words_option(w, "invite-file");
	char settings[SETTINGS] = "", path[ROOM];
	int own_pki;
	enum err e = settings_read(&s, w, settings);

	if (e)
		return sorry("%s", s.why.text[0] ? s.why.text : "--listen and --set are too long"), USAGE;
	if (!words_left(w, 2, usage) || !kind_find(&s, w->v[0]))
		return USAGE;
	s.dir = w->v[1];
	own_pki = !strcmp(s.kind->role, "attestation");
	if (own_pki ? !staff || !invite : !attestation || !strchr(attestation, '=') || !roots || !invite)
		return sorry(own_pki ? "needed: --staff NAME --invite-file FILE (written for NAME)"
			: "needed: --attestation ID=HOST:PORT --roots FILE (handed over safely) --invite-file FILE"), USAGE;
	e = fresh(&s, own_pki);
	if (!e)
		e = config_write(&s, settings);
	if (!e && s.kind->serves)
		e = kek_create(in(&s, "kek", path), &s.why);
	if (!e)
		e = own_pki ? pki_make(&s, staff, invite) : join(&s, attestation, roots, invite);
	if (e)
		return sorry("%s", s.why.text[0] ? s.why.text : err_text(e));
	answer(w, json_pack("{s:s, s:s, s:s}", "dir", s.dir, "role", s.kind->role, "id", s.id), "%s: %s %s", s.dir, s.kind->role, s.id);
	return DONE;
}
