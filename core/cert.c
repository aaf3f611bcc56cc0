/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cert.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *const role_words[] = { NULL, [ATTESTATION] = "attestation", [REGISTRATION] = "registration", [VISITED] = "visited", [HSS] = "hss",
	[DLUSIM] = "dlusim", [DM] = "dm", [EQUIPMENT] = "equipment", [FACTORY] = "factory", [STAFF] = "staff" };
enum { ROLES = sizeof(role_words) / sizeof(*role_words), SAN_MAX = 300, CERT_DER_MAX = 8192 };

int cert_role_number(const char *role)
{
	for (int i = 1; i < ROLES; i++)
		if (!strcmp(role, role_words[i]))
			return i;
	return 0;
}

/* --- usages --- */

/* The role usages as objects, made once: an arc of 128 bits is long to write out and compare as text. */
static ASN1_OBJECT *role_usage[ROLES];

static void role_usages_make(void)
{
	for (int r = 1; r < ROLES; r++) {
		char oid[128];

		snprintf(oid, sizeof(oid), ARC ".2.%d", r);
		role_usage[r] = OBJ_txt2obj(oid, 1);
	}
}

static const ASN1_OBJECT *usage_of_role(int role)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, role_usages_make);
	return role_usage[role];
}

static int usage_is(const ASN1_OBJECT *o, int role)
{
	const ASN1_OBJECT *want = usage_of_role(role);

	return want && !OBJ_cmp(o, want);
}

struct usages {
	unsigned roles; /* 1u << number */
	int tls_server, tls_client, ocsp, other;
};

static void usages_of(EXTENDED_KEY_USAGE *eku, struct usages *u)
{
	memset(u, 0, sizeof(*u));
	for (int i = 0; i < sk_ASN1_OBJECT_num(eku); i++) {
		const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(eku, i);
		int nid = OBJ_obj2nid(o), known = 1;

		if (nid == NID_server_auth)
			u->tls_server = 1;
		else if (nid == NID_client_auth)
			u->tls_client = 1;
		else if (nid == NID_OCSP_sign)
			u->ocsp = 1;
		else
			known = 0;
		for (int r = 1; r < ROLES && !known; r++)
			if (usage_is(o, r)) {
				u->roles |= 1u << r;
				known = 1;
			}
		u->other += !known;
	}
}

static void cert_usages(X509 *c, struct usages *u)
{
	EXTENDED_KEY_USAGE *eku = X509_get_ext_d2i(c, NID_ext_key_usage, NULL, NULL);

	usages_of(eku, u);
	sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
}

/* --- party --- */

int cert_id_good(const char *id)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_+-");

	return n > 0 && n < ID_MAX && !id[n];
}

static enum err party_of_names(GENERAL_NAMES *names, struct party *out)
{
	static const char urn[] = "urn:usher:";
	char text[SAN_MAX], *colon;
	int found = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		struct bytes uri;

		if (g->type != GEN_URI)
			continue;
		uri = BYTES(ASN1_STRING_get0_data(g->d.uniformResourceIdentifier), (size_t)ASN1_STRING_length(g->d.uniformResourceIdentifier));
		if (uri.n < sizeof(urn) - 1 || memcmp(uri.p, urn, sizeof(urn) - 1))
			continue;
		if (found++ || text_copy_bytes(text, sizeof(text), BYTES(uri.p + sizeof(urn) - 1, uri.n - (sizeof(urn) - 1))))
			return ERR_FORMAT;
	}
	colon = found ? strchr(text, ':') : NULL;
	if (!colon || !cert_id_good(colon + 1))
		return ERR_FORMAT;
	*colon = 0;
	if (!cert_role_number(text) || text_copy(out->role, sizeof(out->role), text) || text_copy(out->id, sizeof(out->id), colon + 1))
		return ERR_FORMAT;
	return OK;
}

enum err cert_party(X509 *leaf, struct party *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	enum err e = names ? party_of_names(names, out) : ERR_FORMAT;
	struct usages u;

	GENERAL_NAMES_free(names);
	if (e)
		return e;
	cert_usages(leaf, &u);
	return u.roles == 1u << cert_role_number(out->role) ? OK : ERR_FORMAT;
}

/* --- verification --- */

static int p256_sha256(X509 *c)
{
	EVP_PKEY *k = X509_get0_pubkey(c);
	char group[32] = "";
	size_t n = 0;

	return k && EVP_PKEY_get_group_name(k, group, sizeof(group), &n) == 1 && !strcmp(group, "prime256v1")
		&& X509_get_signature_nid(c) == NID_ecdsa_with_SHA256;
}

static enum err time_check(X509 *c, struct cert_time t, const char *what, struct why *w)
{
	time_t now = (time_t)t.now;

	if (X509_cmp_time(X509_get0_notAfter(c), &now) != 1)
		return fail(w, ERR_EXPIRED, "the certificate of %s has expired; its holder asks for another by `usher renew`", what);
	if (!t.floor_only && X509_cmp_time(X509_get0_notBefore(c), &now) != -1)
		return fail(w, ERR_EXPIRED, "the certificate of %s is not valid yet; check this machine's clock", what);
	return OK;
}

const struct cert_has cert_uses[] = {
	[CERT_TLS] = { 1, KU_DIGITAL_SIGNATURE, "TLS" },
	[CERT_SIGN] = { 0, KU_DIGITAL_SIGNATURE, "signing" },
	[CERT_DELIVER] = { 0, KU_KEY_AGREEMENT, "delivery" },
};

static enum err use_check(X509 *leaf, X509 *issuer, const struct party *p, enum cert_use use, struct why *w)
{
	unsigned role = 1u << cert_role_number(p->role);
	struct usages mine, ca;

	cert_usages(leaf, &mine);
	cert_usages(issuer, &ca);
	if (mine.roles != role || mine.tls_server != cert_uses[use].tls || mine.tls_client != cert_uses[use].tls || mine.ocsp || mine.other
		|| X509_get_key_usage(leaf) != cert_uses[use].key_usage || X509_check_ca(leaf))
		return fail(w, ERR_DENIED, "the certificate of %s %s is not one for %s", p->role, p->id, cert_uses[use].word);
	if (!(ca.roles & role) || (cert_uses[use].tls && !(ca.tls_server && ca.tls_client)) || (!cert_uses[use].tls && ca.tls_server))
		return fail(w, ERR_DENIED, "the CA that issued the certificate of %s %s may not do so", p->role, p->id);
	return OK;
}

/* Builds leaf, CA, root by OpenSSL; times and usages are judged here, because role usages are ours. */
static enum err chain_build(X509 *leaf, STACK_OF(X509) *chain, STACK_OF(X509) *roots, STACK_OF(X509) **built, struct why *w)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *c = X509_STORE_CTX_new();
	enum err e = store && c ? OK : ERR_NOMEM;

	for (int i = 0; !e && i < sk_X509_num(roots); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(roots, i)) != 1)
			e = ERR_NOMEM;
	if (!e && X509_STORE_CTX_init(c, store, leaf, chain) != 1)
		e = ERR_NOMEM;
	if (!e) {
		X509_STORE_CTX_set_flags(c, X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_X509_STRICT);
		X509_STORE_CTX_set_depth(c, 1);
		if (X509_verify_cert(c) == 1)
			*built = X509_STORE_CTX_get1_chain(c);
		else
			e = fail(w, ERR_AUTH, "the certificate does not lead to a root held here: %s",
				X509_verify_cert_error_string(X509_STORE_CTX_get_error(c)));
	}
	X509_STORE_CTX_free(c);
	X509_STORE_free(store);
	return e;
}

/* Leaf, issuing CA, root; borrowed from the verifier's caller. */
struct path {
	X509 *c[3];
};

/*
 * Paths whose signatures and structure were found good, by the SHA-256 of their three certificates: the same octets are good again.
 * Bounded; who comes later takes the place. Times, role, id, use and revocation are no part of it: they are judged at every use.
 */
static struct {
	pthread_mutex_t lock;
	uint8_t path[1024][32];
} good = { .lock = PTHREAD_MUTEX_INITIALIZER };

static int path_key(const struct path *p, uint8_t key[32])
{
	uint8_t all[3][32];

	for (int i = 0; i < 3; i++)
		if (cert_hash(p->c[i], all[i]))
			return 0;
	return EVP_Digest(all, sizeof(all), key, NULL, EVP_sha256(), NULL) == 1;
}

static uint8_t *place_of(const uint8_t key[32])
{
	return good.path[(key[0] << 8 | key[1]) % (sizeof(good.path) / sizeof(*good.path))];
}

static int path_known(const struct path *p)
{
	uint8_t key[32];
	int known;

	if (!path_key(p, key))
		return 0;
	pthread_mutex_lock(&good.lock);
	known = !memcmp(place_of(key), key, sizeof(key));
	pthread_mutex_unlock(&good.lock);
	return known;
}

static void path_remember(const struct path *p)
{
	uint8_t key[32];

	if (!path_key(p, key))
		return;
	pthread_mutex_lock(&good.lock);
	memcpy(place_of(key), key, sizeof(key));
	pthread_mutex_unlock(&good.lock);
}

static int path_find_known(X509 *leaf, STACK_OF(X509) *chain, STACK_OF(X509) *roots, struct path *p)
{
	for (int i = 0; i < sk_X509_num(chain); i++)
		for (int k = 0; k < sk_X509_num(roots); k++) {
			*p = (struct path){ { leaf, sk_X509_value(chain, i), sk_X509_value(roots, k) } };
			if (X509_check_issued(p->c[1], leaf) == X509_V_OK && X509_check_issued(p->c[2], p->c[1]) == X509_V_OK && path_known(p))
				return 1;
		}
	return 0;
}

static enum err path_find(X509 *leaf, STACK_OF(X509) *chain, STACK_OF(X509) *roots, const char *what, struct path *p, struct why *w)
{
	STACK_OF(X509) *built = NULL;
	enum err e = OK;

	if (path_find_known(leaf, chain, roots, p))
		return OK;
	e = chain_build(leaf, chain, roots, &built, w);
	if (!e && sk_X509_num(built) != 3)
		e = fail(w, ERR_AUTH, "the certificate of %s was not issued by an issuing CA under a root", what);
	for (int i = 0; !e && i < 3; i++) {
		p->c[i] = sk_X509_value(built, i);
		if (!p256_sha256(p->c[i]))
			e = fail(w, ERR_FORMAT, "the certificate of %s is not P-256 with SHA-256", what);
	}
	if (!e)
		path_remember(p);
	sk_X509_pop_free(built, X509_free); /* the caller's stacks hold them on */
	return e;
}

int cert_seconds(const ASN1_TIME *t, int64_t *out)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0, ok = t && epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) == 1;

	ASN1_TIME_free(epoch);
	*out = (int64_t)days * 86400 + seconds;
	return ok;
}

int64_t cert_end(const X509 *c)
{
	int64_t end;

	return cert_seconds(X509_get0_notAfter(c), &end) ? end : 0;
}

enum err cert_verify(X509 *leaf, STACK_OF(X509) *chain, struct expect x, struct why *w)
{
	struct path path;
	struct party p;
	char what[SAN_MAX];
	enum err e = cert_party(leaf, &p);

	if (e)
		return fail(w, e, "the certificate names no (role, id) of usher");
	snprintf(what, sizeof(what), "%s %s", p.role, p.id);
	if ((x.role && strcmp(x.role, p.role)) || (x.id && strcmp(x.id, p.id)))
		return fail(w, ERR_DENIED, "expected %s %s, found %s", x.role ? x.role : "any role", x.id ? x.id : "", what);
	e = path_find(leaf, chain, x.roots, what, &path, w);
	for (int i = 0; !e && i < 3; i++)
		e = time_check(path.c[i], x.time, i ? "the CA" : what, w);
	return e ? e : use_check(leaf, path.c[1], &p, x.use, w);
}

enum err cert_verify_under(X509 *leaf, X509 *issuer, struct expect x, struct why *w)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	enum err e = chain && sk_X509_push(chain, issuer) ? cert_verify(leaf, chain, x, w) : ERR_NOMEM;

	sk_X509_free(chain);
	return e;
}

/* By the SHA-256 of their octets; who comes later takes the place. Shared by the loop's thread and the store's. */
static struct {
	pthread_mutex_t lock;
	struct {
		uint8_t hash[32];
		X509 *cert;
	} at[256];
} decoded = { .lock = PTHREAD_MUTEX_INITIALIZER };

static X509 *decode(struct bytes der)
{
	const uint8_t *p = der.p;
	X509 *c = d2i_X509(NULL, &p, (long)der.n);
	uint8_t *again = NULL;
	int n = c ? i2d_X509(c, &again) : -1, same = n > 0 && p == der.p + der.n && bytes_equal(BYTES(again, (size_t)n), der);

	OPENSSL_free(again);
	if (same)
		return c;
	X509_free(c);
	return NULL;
}

X509 *cert_decode(struct bytes der)
{
	uint8_t hash[32];
	X509 *c = NULL;
	size_t i;

	if (!der.n || der.n > CERT_DER_MAX || EVP_Digest(der.p, der.n, hash, NULL, EVP_sha256(), NULL) != 1)
		return NULL;
	i = hash[0] % (sizeof(decoded.at) / sizeof(*decoded.at));
	pthread_mutex_lock(&decoded.lock);
	if (decoded.at[i].cert && !memcmp(decoded.at[i].hash, hash, sizeof(hash)) && X509_up_ref(decoded.at[i].cert))
		c = decoded.at[i].cert;
	pthread_mutex_unlock(&decoded.lock);
	if (c)
		return c;
	c = decode(der);
	if (!c || !X509_up_ref(c))
		return c;
	pthread_mutex_lock(&decoded.lock);
	X509_free(decoded.at[i].cert);
	decoded.at[i].cert = c;
	memcpy(decoded.at[i].hash, hash, sizeof(hash));
	pthread_mutex_unlock(&decoded.lock);
	return c;
}

enum err cert_key_hash(EVP_PKEY *key, uint8_t out[32])
{
	uint8_t *der = NULL;
	int n = i2d_PUBKEY(key, &der), ok = n > 0 && EVP_Digest(der, (size_t)n, out, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok ? OK : ERR_CRYPTO;
}

enum err cert_hash(X509 *c, uint8_t out[32])
{
	unsigned n = 0;

	return X509_digest(c, EVP_sha256(), out, &n) == 1 && n == 32 ? OK : ERR_CRYPTO;
}

/* --- requests --- */

static enum err request_wish(STACK_OF(X509_EXTENSION) *exts, struct party *who, enum cert_use *use)
{
	GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
	EXTENDED_KEY_USAGE *eku = X509V3_get_d2i(exts, NID_ext_key_usage, NULL, NULL);
	ASN1_BIT_STRING *bits = X509V3_get_d2i(exts, NID_key_usage, NULL, NULL);
	enum err e = names && eku && bits ? party_of_names(names, who) : ERR_MISSING;
	struct usages u;

	usages_of(eku, &u);
	if (!e && u.roles != 1u << cert_role_number(who->role))
		e = ERR_FORMAT;
	if (!e)
		*use = u.tls_server ? CERT_TLS : ASN1_BIT_STRING_get_bit(bits, 4) ? CERT_DELIVER : CERT_SIGN;
	GENERAL_NAMES_free(names);
	sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
	ASN1_BIT_STRING_free(bits);
	return e;
}

enum err cert_request_read(struct bytes der, struct party *who, enum cert_use *use, EVP_PKEY **key, struct why *w)
{
	const uint8_t *p = der.p;
	X509_REQ *r = der.n <= 8192 ? d2i_X509_REQ(NULL, &p, (long)der.n) : NULL;
	EVP_PKEY *k = r ? X509_REQ_get0_pubkey(r) : NULL;
	STACK_OF(X509_EXTENSION) *exts = r ? X509_REQ_get_extensions(r) : NULL;
	char group[32] = "";
	size_t n = 0;
	enum err e = OK;

	*key = NULL;
	if (!r || p != der.p + der.n || !k || EVP_PKEY_get_group_name(k, group, sizeof(group), &n) != 1 || strcmp(group, "prime256v1"))
		e = fail(w, ERR_FORMAT, "the request is not a PKCS#10 with a P-256 key");
	else if (X509_REQ_verify(r, k) != 1)
		e = fail(w, ERR_AUTH, "the request is not signed by the key that it names");
	else if (request_wish(exts, who, use))
		e = fail(w, ERR_FORMAT, "the request names no (role, id), role usage and key usage");
	else if (EVP_PKEY_up_ref(k) == 1)
		*key = k;
	else
		e = ERR_CRYPTO;
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(r);
	return e;
}
