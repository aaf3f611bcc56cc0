/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/issue.h"
#include "core/pem.h"
#include "core/secret.h"
#include "proto/gsmtap.h"
#include "roles/attestation/attestation.h"

const char *const ca_words[CA_COUNT] = { "devices", "signers", "servers" };
static const char *const use_words[] = { [CERT_TLS] = "tls", [CERT_SIGN] = "sign", [CERT_DELIVER] = "deliver" };
/* RFC 5280 5.3.1, by number */
static const char *const reasons[] = { "unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
	"cessationOfOperation" };

enum { INVITE_OCTETS = 32, TEXT_ROOM = 700 };

const char *ca_use_word(enum cert_use use)
{
	return use_words[use];
}

/* An equipment has no TLS key; everything of an equipment comes from the devices CA. */
enum ca ca_for(const struct party *who, enum cert_use use)
{
	if (!strcmp(who->role, "equipment"))
		return CA_DEVICES;
	return use == CERT_TLS ? CA_SERVERS : CA_SIGNERS;
}

/* --- ids: an operator is known by its PLMN, in GSUP, in the profile and over the air --- */

static int is_plmn(const char *id)
{
	uint8_t octets[PLMN_OCTETS];

	return !plmn_write(id, octets);
}

/* Labels of 1 to 63 letters, digits and inner hyphens (RFC 1123 2.1). */
static int is_dns_name(const char *id)
{
	for (;; id++) {
		size_t n = strcspn(id, ".");

		if (n < 1 || n > 63 || strcspn(id, ":_+") < n || *id == '-' || id[n - 1] == '-')
			return 0;
		id += n;
		if (!*id)
			return 1;
	}
}

/* Its equipments are <maker>:<serial>, and imei:<15 digits> are nobody's by name. */
static int is_maker(const char *id)
{
	return !strchr(id, ':') && strcmp(id, "imei");
}

static const struct {
	const char *role;
	int (*good)(const char *id);
	const char *form;
} forms[] = {
	{ "registration", is_plmn, "a PLMN as <mcc>-<mnc>, like 901-70 or 310-260" },
	{ "hss", is_plmn, "a PLMN as <mcc>-<mnc>, like 262-42 or 310-260" },
	{ "visited", is_plmn, "a PLMN as <mcc>-<mnc>, like 001-01 or 310-260" },
	{ "dlusim", is_dns_name, "a DNS name, like dlusim.example" },
	{ "dm", is_dns_name, "a DNS name, like dm.example" },
	{ "attestation", is_dns_name, "a DNS name, like pki.example" },
	{ "factory", is_maker, "the maker's name without a colon, like acme; imei is no maker" },
};

enum err ca_id_check(const struct party *who, struct why *w)
{
	if (!cert_id_good(who->id))
		return fail(w, ERR_FORMAT, "an id is made of letters, digits and . : _ + -");
	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		if (!strcmp(forms[i].role, who->role) && !forms[i].good(who->id))
			return fail(w, ERR_FORMAT, "`%s` is no id for %s: it is %s", who->id, who->role, forms[i].form);
	return OK;
}

/* --- issuing --- */

static enum err serial_text(X509 *c, char dst[OCSP_SERIAL_HEX])
{
	BIGNUM *b = ASN1_INTEGER_to_BN(X509_get0_serialNumber(c), NULL);
	uint8_t octets[24];
	int n = b && BN_num_bytes(b) <= (int)sizeof(octets) ? BN_bn2bin(b, octets) : -1;

	BN_free(b);
	return n > 0 ? hex_of(BYTES(octets, n), dst, OCSP_SERIAL_HEX) : ERR_CRYPTO;
}

/* SHA-256 of the public key. */
static enum err key_text(EVP_PKEY *key, char dst[65])
{
	uint8_t hash[32];
	enum err e = cert_key_hash(key, hash);

	return e ? e : hex_of(BYTES_OF(hash), dst, 65);
}

static enum err row_write(struct tx *tx, X509 *c, enum ca ca, const struct party *who, enum cert_use use, int64_t until)
{
	char serial[OCSP_SERIAL_HEX], sha[65], key[65];
	uint8_t hash[32], *der = NULL;
	int n = i2d_X509(c, &der);
	enum err e = n > 0 ? serial_text(c, serial) : ERR_CRYPTO;

	if (!e)
		e = cert_hash(c, hash);
	if (!e)
		e = hex_of(BYTES_OF(hash), sha, sizeof(sha));
	if (!e)
		e = key_text(X509_get0_pubkey(c), key);
	if (!e)
		e = tx_do(tx, "INSERT INTO certificate (serial, issuer, role, id, use, sha256, der, issued_at, until, revoked_at, reason, key)"
			" VALUES (:serial, :issuer, :role, :id, :use, :sha256, :der, :now, :until, 0, '', :key)",
			WITH(B_TEXT("serial", serial), B_TEXT("issuer", ca_words[ca]), B_TEXT("role", who->role), B_TEXT("id", who->id),
				B_TEXT("use", use_words[use]), B_TEXT("sha256", sha), B_BLOB("der", BYTES(der, n)), B_INT("now", clock_now()),
				B_INT("until", until), B_TEXT("key", key)));
	if (!e)
		e = tx_audit(tx, "ca", ABOUT({ "certificate", sha }, { !strcmp(who->role, "equipment") ? "equipment" : "party", who->id }),
			"issued a %s certificate to %s %s, serial %s", use_words[use], who->role, who->id, serial);
	OPENSSL_free(der);
	return e;
}

/* One use, within its time, for exactly this party. */
static enum err invite_spend(struct tx *tx, struct ca_issue *i)
{
	enum err e = tx_do(tx, "UPDATE invite SET used_at = :now WHERE hash = :hash AND role = :role AND id = :id AND used_at = 0"
		" AND expires_at > :now", WITH(B_INT("now", clock_now()), B_TEXT("hash", i->invite), B_TEXT("role", i->who.role),
			B_TEXT("id", i->who.id)));

	if (!e && tx_changes(tx) != 1)
		e = fail(&i->why, ERR_DENIED, "this invite is not for %s %s, was used, or has expired; ask staff for a new one",
			i->who.role, i->who.id);
	return e;
}

/* A party asks for a TLS and a signing certificate with one invite: it is spent by the TLS one. */
static enum err invite_look(struct tx *tx, struct ca_issue *i)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT 1 FROM invite WHERE hash = :hash AND role = :role AND id = :id AND used_at = 0 AND expires_at > :now",
		WITH(B_TEXT("hash", i->invite), B_TEXT("role", i->who.role), B_TEXT("id", i->who.id), B_INT("now", clock_now())), &r);

	return e == ERR_MISSING ? fail(&i->why, ERR_DENIED, "this invite is not for %s %s, was used, or has expired; ask staff for a new one",
		i->who.role, i->who.id) : e;
}

/* TLS asks nobody about revocation; here it is known, and a certificate that was taken from its holder gets no successor. */
static enum err asker_look(struct tx *tx, struct ca_issue *i)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT 1 FROM certificate WHERE sha256 = :by AND revoked_at = 0", WITH(B_TEXT("by", i->by)), &r);

	return e == ERR_MISSING ? fail(&i->why, ERR_REVOKED, "the certificate that asks for %s %s is revoked; staff invites anew by `usher ca invite`",
		i->who.role, i->who.id) : e;
}

/* A key has one holder and one use; with two, what it signs proves neither. Two makers of the same key have no good random numbers. */
static enum err key_look(struct tx *tx, struct ca_issue *i)
{
	const struct row *r;
	char key[65];
	enum err e = key_text(i->key, key);

	if (!e)
		e = tx_get(tx, "SELECT role, id, use FROM certificate WHERE key = :key AND key <> '' AND NOT (role = :role AND id = :id AND use = :use) LIMIT 1",
			WITH(B_TEXT("key", key), B_TEXT("role", i->who.role), B_TEXT("id", i->who.id), B_TEXT("use", use_words[i->use])), &r);
	if (e)
		return e == ERR_MISSING ? OK : e;
	return fail(&i->why, ERR_CONFLICT, "the key in the request of %s %s (%s) is certified for %s %s (%s); make a new one", i->who.role, i->who.id,
		use_words[i->use], row_text(r, 0), row_text(r, 1), row_text(r, 2));
}

enum err ca_issue(struct tx *tx, void *arg)
{
	struct ca_issue *i = arg;
	const struct conf *conf = i->a->process->conf;
	enum ca ca = ca_for(&i->who, i->use);
	int64_t now = clock_now(), until = ca == CA_DEVICES ? 0 : now + (i->use == CERT_TLS ? conf->tls_life : conf->sign_life);
	struct cert_new n = { .kind = CERT_LEAF, .who = i->who, .use = i->use, .from = now - 300, .until = until };
	enum err e = OK;

	if (*i->invite)
		e = i->use == CERT_TLS ? invite_spend(tx, i) : invite_look(tx, i);
	else
		e = asker_look(tx, i);
	if (!e)
		e = key_look(tx, i);
	if (!e)
		e = cert_issue(&n, i->key, i->a->ca[ca].cert, i->a->ca[ca].key, &i->out);
	return e ? e : row_write(tx, i->out, ca, &i->who, i->use, until);
}

/* --- invites --- */

struct invite {
	struct ask *ask;
	struct process *process;
	struct party who;
	char text[64], hash[65];
	struct why why;
};

static enum err invite_write(struct tx *tx, void *arg)
{
	struct invite *v = arg;
	const struct conf *conf = v->process->conf;
	enum err e = tx_do(tx, "INSERT INTO invite (hash, role, id, expires_at, used_at) VALUES (:hash, :role, :id, :expires, 0)",
		WITH(B_TEXT("hash", v->hash), B_TEXT("role", v->who.role), B_TEXT("id", v->who.id), B_INT("expires", clock_now() + conf->invite_life)));

	return e ? e : tx_audit(tx, "ca", ABOUT({ "party", v->who.id }), "invited %s %s to enrol", v->who.role, v->who.id);
}

static void invite_done(void *arg, enum err e)
{
	struct invite *v = arg;

	if (e)
		ask_refuse(v->ask, e, "the invite could not be written; try again");
	else
		ask_reply_json(v->ask, 200, json_pack("{s:s}", "invite", v->text));
	secret_wipe(v, sizeof(*v));
	free(v);
}

static enum err invite_make(struct invite *v)
{
	uint8_t octets[INVITE_OCTETS], hash[32];
	enum err e = secret_random(octets, sizeof(octets));

	if (!e)
		e = b64url_of(BYTES_OF(octets), v->text, sizeof(v->text));
	if (!e && EVP_Digest(v->text, strlen(v->text), hash, NULL, EVP_sha256(), NULL) != 1)
		e = ERR_CRYPTO;
	return e ? e : hex_of(BYTES_OF(hash), v->hash, sizeof(v->hash));
}

void ca_invite(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	const char *role = o ? json_string_value(json_object_get(o, "role")) : NULL, *id = o ? json_string_value(json_object_get(o, "id")) : NULL;
	struct invite *v = o ? calloc(1, sizeof(*v)) : NULL;

	if (!o)
		return;
	if (!v || !role || !id || !cert_role_number(role) || !strcmp(role, "equipment") || text_copy(v->who.role, sizeof(v->who.role), role)
		|| text_copy(v->who.id, sizeof(v->who.id), id) || invite_make(v)) {
		ask_refuse(a, ERR_FORMAT, "role must be a role word but equipment (a factory enrols those), and id its id");
		free(v);
	} else if (ca_id_check(&v->who, &v->why)) {
		ask_refuse(a, ERR_FORMAT, "%s", v->why.text);
		secret_wipe(v, sizeof(*v));
		free(v);
	} else {
		v->ask = a;
		v->process = process;
		store_run(v->process->store, invite_write, v, invite_done);
	}
	json_decref(o);
}

/* --- revocation --- */

struct revoke {
	struct ask *ask;
	struct attestation *a;
	char role[ROLE_MAX], id[ID_MAX], use[16], reason[32];
	json_t *serials;
};

static enum err serial_row(const struct row *r, void *arg)
{
	return json_array_append_new(arg, json_pack("[s,s]", row_text(r, 0), row_text(r, 1))) ? ERR_NOMEM : OK;
}

static enum err revoke_write(struct tx *tx, void *arg)
{
	struct revoke *v = arg;
	json_t *found = json_array(), *pair;
	size_t i;
	enum err e;

	json_array_clear(v->serials); /* a transaction may run twice */
	e = tx_each(tx, "SELECT serial, sha256 FROM certificate WHERE role = :role AND id = :id AND (:use = '' OR use = :use)"
		" AND revoked_at = 0 ORDER BY serial", WITH(B_TEXT("role", v->role), B_TEXT("id", v->id), B_TEXT("use", v->use)), serial_row, found);

	json_array_foreach(found, i, pair) {
		const char *serial = json_string_value(json_array_get(pair, 0)), *sha = json_string_value(json_array_get(pair, 1));

		if (!e)
			e = tx_do(tx, "UPDATE certificate SET revoked_at = :now, reason = :reason WHERE serial = :serial",
				WITH(B_INT("now", clock_now()), B_TEXT("reason", v->reason), B_TEXT("serial", serial)));
		if (!e)
			e = tx_audit(tx, "ca", ABOUT({ "certificate", sha }, { !strcmp(v->role, "equipment") ? "equipment" : "party", v->id }),
				"revoked a certificate of %s %s, serial %s: %s", v->role, v->id, serial, v->reason);
		json_array_append(v->serials, json_array_get(pair, 0));
	}
	json_decref(found);
	return e;
}

static void revoke_done(void *arg, enum err e)
{
	struct revoke *v = arg;

	ocsp_forget(v->a);
	if (e) {
		ask_refuse(v->ask, e, "nothing was revoked; try again");
		json_decref(v->serials);
	} else {
		desk_count(v->a->process->desk, COUNT_REVOKED, (int64_t)json_array_size(v->serials));
		ask_reply_json(v->ask, 200, json_pack("{s:o}", "revoked", v->serials));
	}
	free(v);
}

static int take(json_t *o, const char *key, const char *def, char *dst, size_t cap)
{
	const char *t = json_string_value(json_object_get(o, key));

	return (t || def) && !text_copy(dst, cap, t ? t : def);
}

int ca_reason(const char *word)
{
	for (int i = 0; i < (int)(sizeof(reasons) / sizeof(*reasons)); i++)
		if (!strcmp(reasons[i], word))
			return i;
	return -1;
}

void ca_revoke(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct revoke *v = o ? calloc(1, sizeof(*v)) : NULL;

	if (!o)
		return;
	if (!v || !take(o, "role", NULL, v->role, sizeof(v->role)) || !take(o, "id", NULL, v->id, sizeof(v->id))
		|| !take(o, "use", "", v->use, sizeof(v->use)) || !take(o, "reason", "unspecified", v->reason, sizeof(v->reason))
		|| ca_reason(v->reason) < 0) {
		ask_refuse(a, ERR_FORMAT, "give role, id, and a reason of RFC 5280 (keyCompromise, superseded, cessationOfOperation, ...)");
		free(v);
	} else {
		v->ask = a;
		v->a = ((struct process *)process)->own;
		v->serials = json_array();
		store_run(v->a->process->store, revoke_write, v, revoke_done);
	}
	json_decref(o);
}

static enum err certificate_row(const struct row *r, void *arg)
{
	int64_t revoked = row_int(r, 7);
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I}", "serial", row_text(r, 0), "issuer", row_text(r, 1), "role",
		row_text(r, 2), "id", row_text(r, 3), "use", row_text(r, 4), "sha256", row_text(r, 5), "issued_at", (json_int_t)row_int(r, 6),
		"state", revoked ? "revoked" : "good", "revoked_at", (json_int_t)revoked);

	return o && !json_array_append_new(arg, o) ? OK : ERR_NOMEM;
}

static enum err certificates_read(struct tx *tx, void *arg)
{
	struct revoke *v = arg;

	json_array_clear(v->serials);
	return tx_each(tx, "SELECT serial, issuer, role, id, use, sha256, issued_at, revoked_at FROM certificate"
		" WHERE (:role = '' OR role = :role) AND (:id = '' OR id = :id) ORDER BY issued_at DESC, serial LIMIT 1000",
		WITH(B_TEXT("role", v->role), B_TEXT("id", v->id)), certificate_row, v->serials);
}

static void certificates_done(void *arg, enum err e)
{
	struct revoke *v = arg;

	if (e) {
		json_decref(v->serials);
		ask_refuse(v->ask, e, "the database does not answer");
	} else {
		ask_reply_json(v->ask, 200, json_pack("{s:o}", "certificates", v->serials));
	}
	free(v);
}

void ca_certificates(struct ask *a, void *process)
{
	struct revoke *v = calloc(1, sizeof(*v));
	const char *role = ask_query(a, "role"), *id = ask_query(a, "id");

	if (!v || text_copy(v->role, sizeof(v->role), role ? role : "") || text_copy(v->id, sizeof(v->id), id ? id : "")) {
		free(v);
		ask_refuse(a, ERR_FORMAT, "role or id is too long");
		return;
	}
	v->ask = a;
	v->a = ((struct process *)process)->own;
	v->serials = json_array();
	store_run(v->a->process->store, certificates_read, v, certificates_done);
}

/* --- opening --- */

static enum err issuer_load(const char *dir, const char *word, struct issuer *i, struct why *w)
{
	const struct {
		const char *suffix;
		X509 **cert;
		EVP_PKEY **key;
	} parts[] = { { "", &i->cert, &i->key }, { "-ocsp", &i->ocsp_cert, &i->ocsp_key } };
	enum err e = OK;

	for (int k = 0; k < 2 && !e; k++) {
		char path[TEXT_ROOM];
		STACK_OF(X509) *rest = NULL;

		snprintf(path, sizeof(path), "%s/ca/%s%s.pem", dir, word, parts[k].suffix);
		e = cert_load(path, parts[k].cert, &rest, w);
		sk_X509_pop_free(rest, X509_free);
		snprintf(path, sizeof(path), "%s/ca/%s%s.key", dir, word, parts[k].suffix);
		if (!e)
			e = cert_load_key(path, parts[k].key, w);
	}
	return e;
}

/* --- what `usher setup attestation` made before this database was --- */

static enum err adopt_own(struct tx *tx, struct attestation *a)
{
	char path[TEXT_ROOM], serial[OCSP_SERIAL_HEX];
	STACK_OF(X509) *rest = NULL;
	X509 *own = NULL;
	struct party who;
	const struct row *r;
	int64_t until = clock_now() + ((const struct conf *)a->process->conf)->tls_life;
	enum err e;

	snprintf(path, sizeof(path), "%s/tls.pem", a->process->dir);
	e = cert_load(path, &own, &rest, NULL);
	if (!e)
		e = serial_text(own, serial);
	if (!e)
		e = cert_party(own, &who);
	if (!e)
		e = tx_get(tx, "SELECT 1 FROM certificate WHERE serial = :serial", WITH(B_TEXT("serial", serial)), &r);
	if (e == ERR_MISSING)
		e = row_write(tx, own, CA_SERVERS, &who, CERT_TLS, until);
	X509_free(own);
	sk_X509_pop_free(rest, X509_free);
	return e;
}

/* DIR/bootstrap: a line "role id hash" for the first member of staff; forgotten once it is in the database. */
static enum err adopt_bootstrap(struct tx *tx, struct attestation *a)
{
	char path[TEXT_ROOM], role[16], id[254], hash[65];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/bootstrap", a->process->dir);
	f = fopen(path, "re");
	if (!f)
		return OK;
	n = fscanf(f, "%15s %253s %64s", role, id, hash);
	fclose(f);
	if (n != 3)
		return ERR_FORMAT;
	return tx_do(tx, "INSERT INTO invite (hash, role, id, expires_at, used_at) VALUES (:hash, :role, :id, :expires, 0)"
		" ON CONFLICT DO NOTHING", WITH(B_TEXT("hash", hash), B_TEXT("role", role), B_TEXT("id", id),
			B_INT("expires", clock_now() + ((const struct conf *)a->process->conf)->invite_life)));
}

static enum err adopt(struct tx *tx, void *arg)
{
	enum err e = adopt_own(tx, arg);

	return e ? e : adopt_bootstrap(tx, arg);
}

enum err ca_open(struct attestation *a, struct why *w)
{
	char path[TEXT_ROOM];
	enum err e = OK;

	for (int i = 0; i < CA_COUNT && !e; i++)
		e = issuer_load(a->process->dir, ca_words[i], a->ca + i, w);
	if (!e)
		e = store_run_now(a->process->store, adopt, a);
	snprintf(path, sizeof(path), "%s/bootstrap", a->process->dir);
	if (!e)
		unlink(path);
	return e;
}

void ca_close(struct attestation *a)
{
	for (int i = 0; i < CA_COUNT; i++) {
		X509_free(a->ca[i].cert);
		X509_free(a->ca[i].ocsp_cert);
		EVP_PKEY_free(a->ca[i].key);
		EVP_PKEY_free(a->ca[i].ocsp_key);
	}
}
