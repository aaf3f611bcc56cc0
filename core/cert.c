/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const role_words[] = { NULL, [ATTESTATION] = "attestation", [REGISTRATION] = "registration", [VISITED] = "visited", [HSS] = "hss",
	[DLUSIM] = "dlusim", [DM] = "dm", [EQUIPMENT] = "equipment", [FACTORY] = "factory", [STAFF] = "staff" };
enum { ROLES = sizeof(role_words) / sizeof(*role_words), SAN_MAX = 300, PEM_MOST = 16, CERT_DER_MAX = 8192 };

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
		return fail(w, ERR_EXPIRED, "the certificate of %s has expired; renew it with `usher setup --renew`", what);
	if (!t.floor_only && X509_cmp_time(X509_get0_notBefore(c), &now) != -1)
		return fail(w, ERR_EXPIRED, "the certificate of %s is not valid yet; check this machine's clock", what);
	return OK;
}

static const struct {
	int tls;
	uint32_t key_usage;
	const char *word;
} uses[] = {
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
	if (mine.roles != role || mine.tls_server != uses[use].tls || mine.tls_client != uses[use].tls || mine.ocsp || mine.other
		|| X509_get_key_usage(leaf) != uses[use].key_usage || X509_check_ca(leaf))
		return fail(w, ERR_DENIED, "the certificate of %s %s is not one for %s", p->role, p->id, uses[use].word);
	if (!(ca.roles & role) || (uses[use].tls && !(ca.tls_server && ca.tls_client)) || (!uses[use].tls && ca.tls_server))
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

enum err cert_hash(X509 *c, uint8_t out[32])
{
	unsigned n = 0;

	return X509_digest(c, EVP_sha256(), out, &n) == 1 && n == 32 ? OK : ERR_CRYPTO;
}

/* --- files --- */

static enum err pem_all(const char *path, STACK_OF(X509) **out, struct why *w)
{
	FILE *f = fopen(path, "re");
	X509 *c;
	int n, good;

	if (!f)
		return fail(w, ERR_IO, "%s: %s; `usher setup` makes it", path, strerror(errno));
	*out = sk_X509_new_null();
	while (*out && sk_X509_num(*out) < PEM_MOST && (c = PEM_read_X509(f, NULL, NULL, "")))
		if (!sk_X509_push(*out, c))
			X509_free(c);
	n = *out ? sk_X509_num(*out) : 0;
	/* the end of a file is "no start line"; anything else is a certificate that would be missing without a word */
	good = n > 0 && (n == PEM_MOST ? fgetc(f) == EOF : ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE);
	ERR_clear_error();
	fclose(f);
	if (good)
		return OK;
	sk_X509_pop_free(*out, X509_free);
	*out = NULL;
	return fail(w, ERR_FORMAT, n ? "%s: the PEM text behind certificate %d is damaged, or there are more than 16" : "%s: no PEM certificate in it",
		path, n);
}

enum err cert_load(const char *path, X509 **leaf, STACK_OF(X509) **chain, struct why *w)
{
	enum err e = pem_all(path, chain, w);

	if (!e)
		*leaf = sk_X509_shift(*chain);
	return e;
}

enum err cert_load_roots(const char *path, STACK_OF(X509) **roots, struct why *w)
{
	return pem_all(path, roots, w);
}

enum err cert_load_key(const char *path, EVP_PKEY **key, struct why *w)
{
	FILE *f = fopen(path, "re");
	struct stat st;

	if (!f)
		return fail(w, ERR_IO, "%s: %s; `usher setup` makes it", path, strerror(errno));
	if (fstat(fileno(f), &st) || st.st_mode & 077) {
		fclose(f);
		return fail(w, ERR_DENIED, "%s: others may read this key; run: chmod 600 %s", path, path);
	}
	*key = PEM_read_PrivateKey(f, NULL, NULL, ""); /* no pass phrase: a server has nobody to ask */
	fclose(f);
	return *key ? OK : fail(w, ERR_FORMAT, "%s: no PEM private key in it", path);
}

enum err cert_make_key(const char *path, EVP_PKEY **key, struct why *w)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	enum err e = OK;

	if (path && !f) {
		if (fd >= 0)
			close(fd);
		return fail(w, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
	}
	*key = EVP_EC_gen("P-256");
	if (!*key)
		e = ERR_CRYPTO;
	if (!e && f && (PEM_write_PKCS8PrivateKey(f, *key, NULL, NULL, 0, NULL, NULL) != 1 || fflush(f) || fsync(fd)))
		e = fail(w, ERR_IO, "%s: cannot write the key", path);
	if (f)
		fclose(f);
	if (e) {
		if (f)
			(void)!unlink(path); /* half a key would block the next try */
		EVP_PKEY_free(*key);
		*key = NULL;
	}
	return e;
}

enum err cert_save(const char *path, X509 *const *certs, size_t n, struct why *w)
{
	char part[1024];
	FILE *f;
	int ok = 1;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return fail(w, ERR_LIMIT, "%s: the path is too long", path);
	f = fopen(part, "we");
	for (size_t i = 0; f && ok && i < n; i++)
		ok = PEM_write_X509(f, certs[i]) == 1;
	if (!f || !ok || fflush(f) || fsync(fileno(f)) || fchmod(fileno(f), 0644)) {
		if (f)
			fclose(f);
		return fail(w, ERR_IO, "%s: %s", part, strerror(errno));
	}
	fclose(f);
	return rename(part, path) ? fail(w, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}

/* --- extensions of requests and certificates --- */

static GENERAL_NAMES *san_new(const struct party *who)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_IA5STRING *s = ASN1_IA5STRING_new();
	char text[SAN_MAX + 16];

	snprintf(text, sizeof(text), "urn:usher:%s:%s", who->role, who->id);
	if (names && g && s && ASN1_STRING_set(s, text, -1) && sk_GENERAL_NAME_push(names, g)) {
		GENERAL_NAME_set0_value(g, GEN_URI, s);
		return names;
	}
	GENERAL_NAMES_free(names);
	GENERAL_NAME_free(g);
	ASN1_IA5STRING_free(s);
	return NULL;
}

static int eku_add(EXTENDED_KEY_USAGE *eku, ASN1_OBJECT *o)
{
	if (o && sk_ASN1_OBJECT_push(eku, o))
		return 1;
	ASN1_OBJECT_free(o);
	return 0;
}

static EXTENDED_KEY_USAGE *eku_new(unsigned roles, int tls, int ocsp)
{
	EXTENDED_KEY_USAGE *eku = sk_ASN1_OBJECT_new_null();
	int ok = eku != NULL;

	for (int r = 1; r < ROLES && ok; r++) {
		char oid[128];

		snprintf(oid, sizeof(oid), ARC ".2.%d", r);
		if (roles & 1u << r)
			ok = eku_add(eku, OBJ_txt2obj(oid, 1));
	}
	if (ok && tls)
		ok = eku_add(eku, OBJ_nid2obj(NID_server_auth)) && eku_add(eku, OBJ_nid2obj(NID_client_auth));
	if (ok && ocsp)
		ok = eku_add(eku, OBJ_nid2obj(NID_OCSP_sign));
	if (ok)
		return eku;
	sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
	return NULL;
}

static ASN1_BIT_STRING *key_usage_new(uint32_t bits)
{
	ASN1_BIT_STRING *b = ASN1_BIT_STRING_new();

	/* X509v3 numbers bits from the left: KU_ masks are those of the first octet, bit 0 = 0x80 */
	for (int i = 0; b && i < 8; i++)
		if (bits & (0x80u >> i) && !ASN1_BIT_STRING_set_bit(b, i, 1)) {
			ASN1_BIT_STRING_free(b);
			return NULL;
		}
	return b;
}

/* Takes over *value by the free function of its type. */
static int ext_push(STACK_OF(X509_EXTENSION) **exts, int nid, int critical, void *value, void (*free_value)(void *))
{
	int ok = value && X509V3_add1_i2d(exts, nid, value, critical, X509V3_ADD_DEFAULT) == 1;

	free_value(value);
	return ok;
}

static void free_names(void *p)
{
	GENERAL_NAMES_free(p);
}

static void free_eku(void *p)
{
	sk_ASN1_OBJECT_pop_free(p, ASN1_OBJECT_free);
}

static void free_bits(void *p)
{
	ASN1_BIT_STRING_free(p);
}

static void free_octets(void *p)
{
	ASN1_OCTET_STRING_free(p);
}

static void free_constraints(void *p)
{
	BASIC_CONSTRAINTS_free(p);
}

static int leaf_exts(STACK_OF(X509_EXTENSION) **exts, const struct party *who, enum cert_use use)
{
	return ext_push(exts, NID_subject_alt_name, 0, san_new(who), free_names)
		&& ext_push(exts, NID_ext_key_usage, 0, eku_new(1u << cert_role_number(who->role), uses[use].tls, 0), free_eku)
		&& ext_push(exts, NID_key_usage, 1, key_usage_new(uses[use].key_usage), free_bits);
}

static int name_set(X509_NAME *n, const char *cn, const char *serial)
{
	return (!cn || X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) == 1)
		&& (!serial || X509_NAME_add_entry_by_txt(n, "serialNumber", MBSTRING_UTF8, (const unsigned char *)serial, -1, -1, 0) == 1);
}

/* commonName has room for 64 characters (RFC 5280 ub-common-name); the whole id stands in serialNumber and the SAN. */
static int leaf_name(X509_NAME *n, const struct party *who)
{
	char cn[65];

	snprintf(cn, sizeof(cn), "%.64s", who->id);
	return name_set(n, cn, strlen(who->id) <= 64 ? who->id : NULL);
}

enum err cert_request(EVP_PKEY *key, const struct party *who, enum cert_use use, uint8_t **der, size_t *n)
{
	X509_REQ *r = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = NULL;
	int len = -1, ok = r && leaf_name(X509_REQ_get_subject_name(r), who) && leaf_exts(&exts, who, use)
		&& X509_REQ_add_extensions(r, exts) == 1 && X509_REQ_set_pubkey(r, key) == 1 && X509_REQ_sign(r, key, EVP_sha256()) > 0;

	*der = NULL;
	if (ok)
		len = i2d_X509_REQ(r, der);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(r);
	*n = len > 0 ? (size_t)len : 0;
	return len > 0 ? OK : ERR_CRYPTO;
}

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

/* --- issuing --- */

static int serial_set(X509 *c)
{
	uint8_t octets[16];
	BIGNUM *b = NULL;
	int ok = RAND_bytes(octets, sizeof(octets)) == 1;

	octets[0] = (octets[0] & 0x3f) | 0x40; /* positive, always 16 octets (RFC 5280 4.1.2.2: at most 20) */
	if (ok)
		b = BN_bin2bn(octets, sizeof(octets), NULL);
	ok = b && BN_to_ASN1_INTEGER(b, X509_get_serialNumber(c));
	BN_free(b);
	return ok;
}

static int times_set(X509 *c, int64_t from, int64_t until)
{
	if (!ASN1_TIME_set(X509_getm_notBefore(c), (time_t)from))
		return 0;
	return until ? ASN1_TIME_set(X509_getm_notAfter(c), (time_t)until) != NULL
		: ASN1_TIME_set_string(X509_getm_notAfter(c), "99991231235959Z") == 1;
}

static ASN1_OCTET_STRING *key_id_new(X509 *c)
{
	ASN1_OCTET_STRING *o = ASN1_OCTET_STRING_new();
	uint8_t md[20];
	unsigned n = 0;

	if (o && X509_pubkey_digest(c, EVP_sha1(), md, &n) == 1 && ASN1_OCTET_STRING_set(o, md, (int)n))
		return o;
	ASN1_OCTET_STRING_free(o);
	return NULL;
}

static BASIC_CONSTRAINTS *constraints_new(enum cert_kind kind)
{
	BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new();

	if (!b)
		return NULL;
	b->ca = kind == CERT_ROOT || kind == CERT_CA ? 0xff : 0;
	if (kind == CERT_CA) {
		b->pathlen = ASN1_INTEGER_new();
		if (!b->pathlen || !ASN1_INTEGER_set(b->pathlen, 0)) {
			BASIC_CONSTRAINTS_free(b);
			return NULL;
		}
	}
	return b;
}

static int kind_exts(STACK_OF(X509_EXTENSION) **exts, const struct cert_new *n)
{
	switch (n->kind) {
	case CERT_LEAF:
		return leaf_exts(exts, &n->who, n->use);
	case CERT_OCSP:
		return ext_push(exts, NID_ext_key_usage, 0, eku_new(0, 0, 1), free_eku)
			&& ext_push(exts, NID_key_usage, 1, key_usage_new(KU_DIGITAL_SIGNATURE), free_bits);
	case CERT_CA:
		return ext_push(exts, NID_ext_key_usage, 0, eku_new(n->roles, n->tls, 1), free_eku)
			&& ext_push(exts, NID_key_usage, 1, key_usage_new(KU_KEY_CERT_SIGN | KU_CRL_SIGN), free_bits);
	default:
		return ext_push(exts, NID_key_usage, 1, key_usage_new(KU_KEY_CERT_SIGN | KU_CRL_SIGN), free_bits);
	}
}

static int exts_set(X509 *c, const struct cert_new *n, X509 *issuer)
{
	STACK_OF(X509_EXTENSION) *exts = NULL;
	AUTHORITY_KEYID *akid = AUTHORITY_KEYID_new();
	int ok = kind_exts(&exts, n) && ext_push(&exts, NID_basic_constraints, 1, constraints_new(n->kind), free_constraints)
		&& ext_push(&exts, NID_subject_key_identifier, 0, key_id_new(c), free_octets) && akid;

	if (ok) {
		akid->keyid = key_id_new(issuer ? issuer : c);
		ok = akid->keyid && X509V3_add1_i2d(&exts, NID_authority_key_identifier, akid, 0, X509V3_ADD_DEFAULT) == 1;
	}
	for (int i = 0; ok && i < sk_X509_EXTENSION_num(exts); i++)
		ok = X509_add_ext(c, sk_X509_EXTENSION_value(exts, i), -1) == 1;
	AUTHORITY_KEYID_free(akid);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	return ok;
}

enum err cert_issue(const struct cert_new *n, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, X509 **out)
{
	X509 *c = X509_new();
	X509_NAME *name = c ? X509_get_subject_name(c) : NULL;
	int ok = c && X509_set_version(c, X509_VERSION_3) == 1 && serial_set(c) && times_set(c, n->from, n->until)
		&& (n->kind == CERT_LEAF ? leaf_name(name, &n->who) : name_set(name, n->name, NULL))
		&& X509_set_issuer_name(c, issuer ? X509_get_subject_name(issuer) : name) == 1 && X509_set_pubkey(c, key) == 1
		&& exts_set(c, n, issuer) && X509_sign(c, issuer_key, EVP_sha256()) > 0;

	if (!ok) {
		X509_free(c);
		return ERR_CRYPTO;
	}
	*out = c;
	return OK;
}
