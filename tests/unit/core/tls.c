/* SPDX-License-Identifier: Apache-2.0 */
/* Handshakes through memory: what each end accepts, and nothing but TLS 1.3. */
#include "core/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/unit/pki.h"

struct ends {
	SSL *server, *client;
};

static void ends_new(struct ends *x, SSL *server, SSL *client)
{
	BIO *a, *b;

	*x = (struct ends){ server, client };
	assert_non_null(server);
	assert_non_null(client);
	assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(server, a, a);
	SSL_set_bio(client, b, b);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
}

static void ends_free(struct ends *x)
{
	SSL_free(x->server);
	SSL_free(x->client);
}

/* 1: both ends are content and a message went through. */
static int shake(struct ends *x)
{
	char text[8] = "";

	for (int i = 0; i < 20; i++) {
		(void)!SSL_do_handshake(x->client);
		(void)!SSL_do_handshake(x->server);
	}
	if (!SSL_is_init_finished(x->client) || !SSL_is_init_finished(x->server))
		return 0;
	return SSL_write(x->client, "hello", 5) == 5 && SSL_read(x->server, text, 5) == 5 && SSL_write(x->server, "you", 3) == 3
		&& SSL_read(x->client, text, 3) == 3 && !strcmp(text, "youlo");
}

static void both_ends_are_known(void **state)
{
	struct pki p;
	struct tls *s, *c, *none;
	struct ends x;
	struct party who;

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	s = pki_tls(&p, "hss", "001-01");
	c = pki_tls(&p, "dlusim", "a.example");
	assert_int_equal(tls_open_roots(p.roots, &none, &(struct why){ "" }), OK);
	ends_new(&x, tls_accept(s, 1), tls_connect(c, "hss", "001-01"));
	assert_int_equal(shake(&x), 1);
	assert_int_equal(SSL_version(x.client), TLS1_3_VERSION);
	assert_int_equal(tls_party(x.server, &who), OK);
	assert_string_equal(who.role, "dlusim");
	assert_string_equal(who.id, "a.example");
	assert_int_equal(SSL_session_reused(x.client), 0);
	assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(x.client)), 0); /* nothing that would carry an old identity */
	ends_free(&x);
	ends_new(&x, tls_accept(s, 0), tls_connect(c, "hss", "001-01")); /* not asked, not shown */
	assert_int_equal(shake(&x), 1);
	assert_int_equal(tls_party(x.server, &who), ERR_MISSING);
	ends_free(&x);
	ends_new(&x, tls_accept(s, 1), tls_connect(none, "hss", "001-01"));
	assert_int_equal(shake(&x), 1);
	assert_int_equal(tls_party(x.server, &who), ERR_MISSING);
	ends_free(&x);
	assert_null(tls_accept(none, 1)); /* serves nothing */
	tls_close(s);
	tls_close(c);
	tls_close(none);
	pki_free(&p);
}

/* A client that believes anybody, and shows this certificate. */
static SSL *careless(struct pki *p, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	char path[128];
	SSL *ssl;

	snprintf(path, sizeof(path), "%s/%s.pem", p->dir, name);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, path), 1);
	snprintf(path, sizeof(path), "%s/%s.key", p->dir, name);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path, SSL_FILETYPE_PEM), 1);
	ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	return ssl;
}

static void only_whom_it_expects(void **state)
{
	static const struct {
		const char *role, *id;
		int good;
	} cases[] = { { "hss", "001-01", 1 }, { "hss", "001-02", 0 }, { "registration", "001-01", 0 }, { "hss", "", 0 }, { "", "001-01", 0 } };
	static char longest[300];
	struct pki p, other;
	struct tls *s, *c, *stranger;
	struct ends x;

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	pki_new(&other);
	s = pki_tls(&p, "hss", "001-01");
	c = pki_tls(&p, "dlusim", "a.example");
	stranger = pki_tls(&other, "hss", "001-01");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ends_new(&x, tls_accept(s, 1), tls_connect(c, cases[i].role, cases[i].id));
		assert_int_equal(shake(&x), cases[i].good);
		ends_free(&x);
	}
	memset(longest, 'a', sizeof(longest) - 1);
	assert_null(tls_connect(c, "hss", longest)); /* nothing is cut */
	ends_new(&x, tls_accept(stranger, 0), tls_connect(c, "hss", "001-01")); /* the right name under another root */
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	ends_new(&x, tls_accept(s, 1), tls_connect(stranger, "hss", "001-01"));
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	ends_new(&x, tls_accept(s, 1), careless(&other, "hss-001-01")); /* the server is as strict as the client */
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	ends_new(&x, tls_accept(s, 1), careless(&p, "dlusim-a.example"));
	assert_int_equal(shake(&x), 1);
	ends_free(&x);
	tls_close(s);
	tls_close(c);
	tls_close(stranger);
	pki_free(&p);
	pki_free(&other);
}

/* A signing certificate is none for TLS, in either direction. */
static void another_use(void **state)
{
	struct pki p;
	struct tls *c, *bad = NULL;
	struct ends x;
	struct why w;
	char key[128], cert[128], roots[128];
	EVP_PKEY *k;
	X509 *both[2];

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	c = pki_tls(&p, "dlusim", "a.example");
	snprintf(key, sizeof(key), "%s/sign.key", p.dir);
	snprintf(cert, sizeof(cert), "%s/sign.pem", p.dir);
	snprintf(roots, sizeof(roots), "%s/roots.pem", p.dir);
	assert_int_equal(cert_make_key(key, &k, &w), OK);
	both[0] = pki_leaf(&p, "hss", "001-01", CERT_SIGN, k);
	both[1] = p.sign_ca;
	assert_int_equal(cert_save(cert, both, 2, &w), OK);
	assert_int_equal(tls_open(&(struct tls_files){ key, cert, roots }, &bad, &w), OK);
	ends_new(&x, tls_accept(bad, 0), tls_connect(c, "hss", "001-01"));
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	ends_new(&x, tls_accept(c, 1), careless(&p, "sign"));
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	tls_close(bad);
	assert_int_not_equal(tls_open(&(struct tls_files){ key, roots, roots }, &bad, &w), OK); /* a key that is not the certificate's */
	X509_free(both[0]);
	EVP_PKEY_free(k);
	tls_close(c);
	pki_free(&p);
}

static void older_versions(void **state)
{
	struct pki p;
	struct tls *s, *c;
	struct ends x;
	SSL_CTX *old;

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	s = pki_tls(&p, "hss", "001-01");
	c = pki_tls(&p, "dlusim", "a.example");
	old = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
	ends_new(&x, tls_accept(s, 0), SSL_new(old));
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	SSL_CTX_free(old);
	old = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
	ends_new(&x, SSL_new(old), tls_connect(c, "hss", "001-01"));
	assert_int_equal(shake(&x), 0);
	ends_free(&x);
	SSL_CTX_free(old);
	/* libcurl's context is bound in the same way */
	{
		struct tls_expect expect = { .tls = c, .role = "hss", .id = "001-01" };

		for (int right = 1; right >= 0; right--) {
			old = SSL_CTX_new(TLS_client_method());
			expect.id = right ? "001-01" : "001-02";
			assert_int_equal(tls_curl(old, &expect), OK);
			ends_new(&x, tls_accept(s, 1), SSL_new(old));
			assert_int_equal(shake(&x), right);
			assert_int_equal(expect.why.text[0] != 0, !right);
			ends_free(&x);
			SSL_CTX_free(old);
		}
	}
	tls_close(s);
	tls_close(c);
	pki_free(&p);
}

/* Validity is judged by the time that is set: a floor without notBefore for an equipment. */
static void by_its_own_time(void **state)
{
	static const struct {
		int64_t at;
		int floor_only, good;
	} cases[] = { { 0, 0, 1 }, { -1000000, 0, 0 }, { -1000000, 1, 1 }, { INT64_C(300000000000), 0, 0 }, { INT64_C(300000000000), 1, 0 } };
	struct pki p;
	struct tls *s, *c;
	struct ends x;

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	s = pki_tls(&p, "hss", "001-01");
	assert_int_equal(tls_open_roots(p.roots, &c, &(struct why){ "" }), OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		tls_time(c, (struct cert_time){ clock_now() + cases[i].at, cases[i].floor_only });
		ends_new(&x, tls_accept(s, 0), tls_connect(c, "hss", "001-01"));
		assert_int_equal(shake(&x), cases[i].good);
		ends_free(&x);
	}
	tls_close(s);
	tls_close(c);
	pki_free(&p);
}

/* A head and a body that are two chunks of libevent's buffer: one read gives both, and a read never gives more than one record. */
static void one_record_for_what_is_said_together(void **state)
{
	struct pki p;
	struct tls *s, *c;
	struct event_base *base = event_base_new();
	struct evbuffer *body = evbuffer_new();
	struct bufferevent *bev;
	SSL *client;
	char text[64];
	int fd[2], n = -1;

	(void)state;
	log_open("test", LOG_ERROR);
	pki_new(&p);
	s = pki_tls(&p, "hss", "001-01");
	c = pki_tls(&p, "dlusim", "a.example");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	bev = tls_stream(base, fd[0], tls_accept(s, 1), BUFFEREVENT_SSL_ACCEPTING);
	assert_non_null(bev);
	client = tls_connect(c, "hss", "001-01");
	assert_int_equal(SSL_set_fd(client, fd[1]), 1);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	evbuffer_add(bufferevent_get_output(bev), "head ", 5);
	evbuffer_add_reference(body, "body", 4, NULL, NULL);
	evbuffer_add_buffer(bufferevent_get_output(bev), body);
	for (int i = 0; i < 100 && n <= 0; i++) {
		n = SSL_connect(client) == 1 ? SSL_read(client, text, sizeof(text)) : -1;
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(n, 9);
	assert_memory_equal(text, "head body", 9);
	assert_null(tls_stream(base, -1, NULL, BUFFEREVENT_SSL_ACCEPTING));
	bufferevent_free(bev);
	SSL_free(client);
	close(fd[1]);
	evbuffer_free(body);
	event_base_free(base);
	tls_close(s);
	tls_close(c);
	pki_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ends_are_known), cmocka_unit_test(only_whom_it_expects), cmocka_unit_test(another_use),
		cmocka_unit_test(older_versions), cmocka_unit_test(by_its_own_time),
		cmocka_unit_test(one_record_for_what_is_said_together) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
