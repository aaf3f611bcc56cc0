/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/pki.h"

static enum err verify(struct pki *p, X509 *c, const char *role, const char *id, enum cert_use use, struct why *w)
{
	w->text[0] = 0;
	return cert_verify(c, p->cas, (struct expect){ role, id, use, p->roots, { clock_now(), 0 } }, w);
}

static const char *const roles[] = { "attestation", "registration", "visited", "hss", "dlusim", "dm", "equipment", "factory", "staff" };

/* Each role's certificate in each other role's place, each use in each other's; another id; any. */
static void role_id_and_use(void **state)
{
	struct pki p;
	EVP_PKEY *k = EVP_EC_gen("P-256");
	struct party who;
	struct why w;

	(void)state;
	pki_new(&p);
	for (size_t i = 0; i < 9; i++)
		for (int use = CERT_TLS; use <= CERT_DELIVER; use++) {
			X509 *c = pki_leaf(&p, roles[i], "x.example", (enum cert_use)use, k);

			assert_int_equal(cert_party(c, &who), OK);
			assert_string_equal(who.role, roles[i]);
			assert_string_equal(who.id, "x.example");
			for (size_t j = 0; j < 9; j++)
				assert_int_equal(verify(&p, c, roles[j], "x.example", (enum cert_use)use, &w), i == j ? OK : ERR_DENIED);
			for (int other = CERT_TLS; other <= CERT_DELIVER; other++)
				assert_int_equal(verify(&p, c, roles[i], NULL, (enum cert_use)other, &w), use == other ? OK : ERR_DENIED);
			assert_int_equal(verify(&p, c, NULL, NULL, (enum cert_use)use, &w), OK);
			assert_int_equal(verify(&p, c, roles[i], "x.exampl", (enum cert_use)use, &w), ERR_DENIED);
			assert_int_equal(verify(&p, c, roles[i], "X.example", (enum cert_use)use, &w), ERR_DENIED);
			X509_free(c);
		}
	EVP_PKEY_free(k);
	pki_free(&p);
}

static void chains(void **state)
{
	struct pki p, q;
	EVP_PKEY *k = EVP_EC_gen("P-256"), *k2 = EVP_EC_gen("P-256");
	struct cert_new n = { .kind = CERT_LEAF, .use = CERT_TLS, .who = { "hss", "001-01" } };
	X509 *c, *ca;
	struct why w;

	(void)state;
	pki_new(&p);
	pki_new(&q);
	c = pki_leaf(&p, "hss", "001-01", CERT_TLS, k);
	assert_int_equal(cert_verify(c, p.cas, (struct expect){ "hss", "001-01", CERT_TLS, q.roots, { clock_now(), 0 } }, &w), ERR_AUTH);
	assert_int_equal(cert_verify(c, NULL, (struct expect){ "hss", "001-01", CERT_TLS, p.roots, { clock_now(), 0 } }, &w), ERR_AUTH);
	X509_free(c);
	c = pki_issue(&n, k, p.root, p.root_key); /* straight from the root */
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_AUTH);
	X509_free(c);
	c = pki_issue(&n, k, NULL, k); /* by itself */
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_AUTH);
	X509_free(c);
	c = pki_issue(&n, k, p.sign_ca, p.sign_key); /* a TLS leaf by the CA of signers */
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_DENIED);
	X509_free(c);
	n.use = CERT_SIGN;
	c = pki_issue(&n, k, p.tls_ca, p.tls_key); /* and the reverse */
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_SIGN, &w), ERR_DENIED);
	X509_free(c);
	n.use = CERT_TLS;
	ca = pki_issue(&(struct cert_new){ .kind = CERT_CA, .name = "dm only", .roles = 1u << 6, .tls = 1 }, k2, p.root, p.root_key);
	sk_X509_push(p.cas, ca);
	c = pki_issue(&n, k, ca, k2);
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_DENIED); /* it may not issue an hss */
	X509_free(c);
	sk_X509_pop(p.cas);
	X509_free(ca);
	c = pki_leaf(&p, "hss", "001-01", CERT_TLS, k);
	n.who = (struct party){ "hss", "001-02" };
	ca = pki_issue(&n, k2, c, k); /* a leaf is no CA */
	sk_X509_push(p.cas, c);
	assert_int_equal(verify(&p, ca, "hss", "001-02", CERT_TLS, &w), ERR_AUTH);
	sk_X509_pop(p.cas);
	X509_free(ca);
	X509_free(c);
	EVP_PKEY_free(k);
	EVP_PKEY_free(k2);
	pki_free(&p);
	pki_free(&q);
}

static void time_is_judged(void **state)
{
	struct pki p;
	EVP_PKEY *k = EVP_EC_gen("P-256");
	int64_t now = clock_now();
	struct cert_new n = { .kind = CERT_LEAF, .use = CERT_TLS, .who = { "hss", "001-01" }, .from = now - 5, .until = now + 100 };
	static const struct {
		int64_t at;
		int floor_only;
		enum err err;
	} when[] = { { 0, 0, OK }, { 99, 0, OK }, { 101, 0, ERR_EXPIRED }, { -7, 0, ERR_EXPIRED }, { -7, 1, OK }, { -1000000, 1, OK },
		{ 101, 1, ERR_EXPIRED } };
	X509 *c;
	struct why w;

	(void)state;
	pki_new(&p);
	c = pki_issue(&n, k, p.tls_ca, p.tls_key);
	for (size_t i = 0; i < sizeof(when) / sizeof(*when); i++)
		assert_int_equal(cert_verify(c, p.cas, (struct expect){ "hss", NULL, CERT_TLS, p.roots, { now + when[i].at, when[i].floor_only } }, &w),
			when[i].err);
	X509_free(c);
	EVP_PKEY_free(k);
	pki_free(&p);
}

/* P-256 and SHA-256 only, in every certificate of the chain. */
static void other_algorithms(void **state)
{
	struct pki p;
	EVP_PKEY *k384 = EVP_EC_gen("P-384");
	X509 *c;
	struct why w;

	(void)state;
	pki_new(&p);
	c = pki_leaf(&p, "hss", "001-01", CERT_TLS, k384);
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_FORMAT);
	X509_free(c);
	EVP_PKEY_free(k384);
	k384 = EVP_EC_gen("P-256");
	c = pki_leaf(&p, "hss", "001-01", CERT_TLS, k384);
	assert_true(X509_sign(c, p.tls_key, EVP_sha384()) > 0);
	assert_int_equal(verify(&p, c, "hss", "001-01", CERT_TLS, &w), ERR_FORMAT);
	X509_free(c);
	EVP_PKEY_free(k384);
	pki_free(&p);
}

static void add_ext(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(x);
	assert_int_equal(X509_add_ext(c, x, -1), 1);
	X509_EXTENSION_free(x);
}

/* A certificate by hand: its names and usages as the case says. */
static void parties(void **state)
{
	static const struct {
		const char *san, *eku;
		enum err err;
	} cases[] = {
		{ "URI:urn:usher:hss:001-01", ARC ".2.4", OK },
		{ "URI:urn:usher:hss:001-01,DNS:a.example,URI:https://a", ARC ".2.4", OK },
		{ "URI:urn:usher:hss:001-01,URI:urn:usher:dm:a", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:001-01,URI:urn:usher:hss:001-02", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:001-01", ARC ".2.5", ERR_FORMAT },
		{ "URI:urn:usher:hss:001-01", ARC ".2.4," ARC ".2.5", ERR_FORMAT },
		{ "URI:urn:usher:hss:001-01", "serverAuth", ERR_FORMAT },
		{ "URI:urn:usher:boss:001-01", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:../../etc", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:a b", ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:a@b", ARC ".2.4", ERR_FORMAT },
		{ "DNS:hss.example", ARC ".2.4", ERR_FORMAT },
		{ NULL, ARC ".2.4", ERR_FORMAT },
		{ "URI:urn:usher:hss:001-01", NULL, ERR_FORMAT },
	};
	struct party who;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		X509 *c = X509_new();

		if (cases[i].san)
			add_ext(c, NID_subject_alt_name, cases[i].san);
		if (cases[i].eku)
			add_ext(c, NID_ext_key_usage, cases[i].eku);
		if (cert_party(c, &who) != cases[i].err)
			fail_msg("%s with %s", cases[i].san, cases[i].eku);
		X509_free(c);
	}
	{
		char san[600] = "URI:urn:usher:hss:";
		X509 *c = X509_new();

		memset(san + 18, 'a', 254); /* one more than an id may have */
		add_ext(c, NID_subject_alt_name, san);
		add_ext(c, NID_ext_key_usage, ARC ".2.4");
		assert_int_equal(cert_party(c, &who), ERR_FORMAT);
		X509_free(c);
	}
	assert_true(cert_id_good("imei:490154203237518") && cert_id_good("acme:00-1_a+b.c") && !cert_id_good("") && !cert_id_good("a/b"));
}

static void requests(void **state)
{
	EVP_PKEY *k = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-384"), *got = NULL;
	struct party who = { "equipment", "acme:000017" }, back;
	enum cert_use use;
	uint8_t *der;
	size_t n;
	struct why w;

	(void)state;
	for (int u = CERT_TLS; u <= CERT_DELIVER; u++) {
		assert_int_equal(cert_request(k, &who, (enum cert_use)u, &der, &n), OK);
		assert_int_equal(cert_request_read(BYTES(der, n), &back, &use, &got, &w), OK);
		assert_int_equal(use, u);
		assert_string_equal(back.id, who.id);
		assert_int_equal(EVP_PKEY_eq(k, got), 1);
		EVP_PKEY_free(got);
		for (size_t i = 0; i < n; i++) { /* possession: the signature is over all of it */
			der[i] ^= 1;
			assert_int_not_equal(cert_request_read(BYTES(der, n), &back, &use, &got, &w), OK);
			der[i] ^= 1;
			assert_int_not_equal(cert_request_read(BYTES(der, i), &back, &use, &got, &w), OK);
		}
		OPENSSL_free(der);
	}
	assert_int_equal(cert_request(other, &who, CERT_SIGN, &der, &n), OK);
	assert_int_equal(cert_request_read(BYTES(der, n), &back, &use, &got, &w), ERR_FORMAT);
	OPENSSL_free(der);
	strcpy(who.id, "acme:1/2");
	assert_int_equal(cert_request(k, &who, CERT_SIGN, &der, &n), OK);
	assert_int_equal(cert_request_read(BYTES(der, n), &back, &use, &got, &w), ERR_FORMAT);
	OPENSSL_free(der);
	EVP_PKEY_free(k);
	EVP_PKEY_free(other);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static char *get(const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	return text;
}

static void files(void **state)
{
	struct pki p;
	char path[128];
	X509 *many[17], *c = NULL;
	STACK_OF(X509) *chain = NULL;
	EVP_PKEY *k = NULL;
	struct stat st;
	struct why w;
	char *text;

	(void)state;
	pki_new(&p);
	snprintf(path, sizeof(path), "%s/a.pem", p.dir);
	for (int i = 0; i < 17; i++)
		many[i] = p.root;
	for (int i = 1; i <= 16; i++) {
		assert_int_equal(cert_save(path, many, (size_t)i, &w), OK);
		assert_int_equal(cert_load(path, &c, &chain, &w), OK);
		assert_int_equal(sk_X509_num(chain), i - 1);
		X509_free(c);
		sk_X509_pop_free(chain, X509_free);
	}
	assert_int_equal(ERR_peek_error(), 0); /* nothing is left for the next TLS connection to stumble over */
	assert_int_equal(cert_save(path, many, 17, &w), OK);
	assert_int_equal(cert_load_roots(path, &chain, &w), ERR_FORMAT);
	/* a second root that is damaged would be missing when the first is retired */
	assert_int_equal(cert_save(path, many, 2, &w), OK);
	text = get(path);
	strstr(text + 100, "-----BEGIN")[60] = '!';
	put(path, text);
	assert_int_equal(cert_load_roots(path, &chain, &w), ERR_FORMAT);
	assert_non_null(strstr(w.text, "behind certificate 1"));
	put(path, "nothing\n");
	assert_int_equal(cert_load_roots(path, &chain, &w), ERR_FORMAT);
	snprintf(path, sizeof(path), "%s/a.key", p.dir);
	assert_int_equal(cert_make_key(path, &k, &w), OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	EVP_PKEY_free(k);
	assert_int_equal(cert_make_key(path, &k, &w), ERR_EXISTS);
	assert_int_equal(cert_load_key(path, &k, &w), OK);
	EVP_PKEY_free(k);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(cert_load_key(path, &k, &w), ERR_DENIED);
	pki_free(&p);
}

/* A key under a pass phrase is refused, not asked for at a terminal. */
static void a_locked_key(void **state)
{
	char path[] = "/tmp/usher-key-XXXXXX";
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	EVP_PKEY *k = EVP_EC_gen("P-256"), *got = NULL;
	struct why w;

	(void)state;
	assert_int_equal(PEM_write_PKCS8PrivateKey(f, k, EVP_aes_128_cbc(), "word", 4, NULL, NULL), 1);
	fclose(f);
	assert_int_equal(cert_load_key(path, &got, &w), ERR_FORMAT);
	unlink(path);
	EVP_PKEY_free(k);
}

static X509 *flipped(X509 *c)
{
	uint8_t *der = NULL;
	const uint8_t *at;
	int n = i2d_X509(c, &der);
	X509 *out;

	assert_true(n > 0);
	der[n - 1] ^= 1; /* within the signature */
	at = der;
	out = d2i_X509(NULL, &at, n);
	OPENSSL_free(der);
	assert_non_null(out);
	return out;
}

/* Paths found good are remembered: what is no part of that memory is judged again, and other octets are another path. */
static void remembered(void **state)
{
	struct pki p, other;
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *c, *bad;
	struct why w;

	(void)state;
	pki_new(&p);
	pki_new(&other);
	c = pki_leaf(&p, "hss", "001-01", CERT_SIGN, k);
	bad = flipped(c);
	for (int i = 0; i < 2; i++) { /* the second time from memory */
		assert_int_equal(verify(&p, c, "hss", "001-01", CERT_SIGN, &w), OK);
		assert_int_equal(verify(&p, c, "hss", "001-02", CERT_SIGN, &w), ERR_DENIED);
		assert_int_equal(verify(&p, c, "registration", NULL, CERT_SIGN, &w), ERR_DENIED);
		assert_int_equal(verify(&p, c, NULL, NULL, CERT_TLS, &w), ERR_DENIED);
		assert_int_equal(cert_verify(c, p.cas, (struct expect){ NULL, NULL, CERT_SIGN, p.roots, { clock_now() - 3600, 0 } }, &w), ERR_EXPIRED);
		assert_int_equal(verify(&p, bad, "hss", "001-01", CERT_SIGN, &w), ERR_AUTH);
		/* under a root that this verifier does not hold; with a CA of the same name and another key; without its CA */
		assert_int_equal(cert_verify(c, p.cas, (struct expect){ NULL, NULL, CERT_SIGN, other.roots, { clock_now(), 0 } }, &w), ERR_AUTH);
		assert_int_equal(cert_verify(c, other.cas, (struct expect){ NULL, NULL, CERT_SIGN, p.roots, { clock_now(), 0 } }, &w), ERR_AUTH);
		assert_int_equal(cert_verify(c, NULL, (struct expect){ NULL, NULL, CERT_SIGN, p.roots, { clock_now(), 0 } }, &w), ERR_AUTH);
	}
	X509_free(c);
	X509_free(bad);
	EVP_PKEY_free(k);
	pki_free(&p);
	pki_free(&other);
}

/* One certificate for the same octets, however often; nothing for octets that are not exactly one certificate in DER. */
static void decoded(void **state)
{
	struct pki p;
	uint8_t *der = NULL, more[2048];
	X509 *a, *b;
	size_t n;

	(void)state;
	pki_new(&p);
	n = (size_t)i2d_X509(p.sign_ca, &der);
	a = cert_decode(BYTES(der, n));
	b = cert_decode(BYTES(der, n));
	assert_non_null(a);
	assert_ptr_equal(a, b);
	assert_int_equal(X509_cmp(a, p.sign_ca), 0);
	X509_free(a);
	X509_free(b);
	memcpy(more, der, n);
	more[n] = 0;
	assert_null(cert_decode(BYTES(more, n + 1)));
	assert_null(cert_decode(BYTES(more, n - 1)));
	assert_null(cert_decode(BYTES(NULL, 0)));
	more[n - 1] ^= 1; /* other octets, another certificate */
	b = cert_decode(BYTES(more, n));
	assert_non_null(b);
	assert_int_not_equal(X509_cmp(b, p.sign_ca), 0);
	X509_free(b);
	/* the outer length in a longer form, as BER would take it */
	memmove(more + 5, der + 4, n - 4);
	more[0] = der[0];
	more[1] = 0x83;
	more[2] = 0;
	memcpy(more + 3, der + 2, 2);
	assert_null(cert_decode(BYTES(more, n + 1)));
	OPENSSL_free(der);
	pki_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(role_id_and_use), cmocka_unit_test(chains), cmocka_unit_test(remembered), cmocka_unit_test(decoded),
		cmocka_unit_test(time_is_judged),
		cmocka_unit_test(other_algorithms), cmocka_unit_test(parties), cmocka_unit_test(requests), cmocka_unit_test(files),
		cmocka_unit_test(a_locked_key) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
