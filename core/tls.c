/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/pem.h"
#include "core/spent.h"

struct tls {
	X509 *cert;
	STACK_OF(X509) *chain, *roots;
	EVP_PKEY *key;
	SSL_CTX *server, *client;
	struct cert_time time;
	int own_time;             /* time was set; else the wall clock */
};

/* The server that a client connection is for; freed with its SSL. */
struct server {
	struct tls *tls;
	char role[ROLE_MAX], id[ID_MAX];
};

static int index_of_server(void);

static struct cert_time time_of(const struct tls *t)
{
	return t->own_time ? t->time : (struct cert_time){ clock_now(), 0 };
}

/* --- verification: ours alone; libssl only hands over what it received --- */

static enum err verify_as(struct tls *t, X509_STORE_CTX *c, const char *role, const char *id, struct why *w)
{
	X509 *leaf = X509_STORE_CTX_get0_cert(c);

	if (!leaf)
		return fail(w, ERR_AUTH, "no certificate was shown");
	return cert_verify(leaf, X509_STORE_CTX_get0_untrusted(c), (struct expect){ role, id, CERT_TLS, t->roots, time_of(t) }, w);
}

static int verdict(X509_STORE_CTX *c, enum err e, const struct why *w)
{
	if (!e) {
		X509_STORE_CTX_set_error(c, X509_V_OK);
		return 1;
	}
	log_hop(LOG_WARN, "tls", "why=\"%s\"", w->text);
	X509_STORE_CTX_set_error(c, e == ERR_EXPIRED ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* A server takes any party with a good certificate; what it may do, the route's table says. */
static int verify_client(X509_STORE_CTX *c, void *arg)
{
	struct why w = { "" };

	return verdict(c, verify_as(arg, c, NULL, NULL, &w), &w);
}

static int verify_server(X509_STORE_CTX *c, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(c, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct server *x = ssl ? SSL_get_ex_data(ssl, index_of_server()) : NULL;
	struct why w = { "" };

	(void)arg;
	return verdict(c, x ? verify_as(x->tls, c, x->role, x->id, &w) : ERR_AUTH, &w);
}

static int verify_for_curl(X509_STORE_CTX *c, void *arg)
{
	struct tls_expect *x = arg;

	return verdict(c, verify_as(x->tls, c, x->role, x->id, &x->why), &x->why);
}

static void server_free(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long l, void *arg)
{
	(void)parent, (void)ad, (void)idx, (void)l, (void)arg;
	free(p);
}

/* One number per process, given by the library at the first use; connections are made on the loop's thread only. */
static int index_of_server(void)
{
	static int index;

	if (!index)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, server_free) + 1;
	return index - 1;
}

/* --- what a handshake costs: kept with its connection until somebody knows whose it is --- */

static void unclaimed(void *parent, void *p, CRYPTO_EX_DATA *ad, int idx, long l, void *arg)
{
	(void)parent, (void)ad, (void)idx, (void)l, (void)arg;
	spent_add(SPENT_ASIDE, (int64_t)(intptr_t)p);
}

static int index_of_spent(void)
{
	static int index;

	if (!index)
		index = SSL_get_ex_new_index(0, NULL, NULL, NULL, unclaimed) + 1;
	return index - 1;
}

int64_t tls_spent(SSL *ssl)
{
	int64_t ns = (int64_t)(intptr_t)SSL_get_ex_data(ssl, index_of_spent());

	SSL_set_ex_data(ssl, index_of_spent(), NULL);
	return ns;
}

/* libssl tells each move of the handshake, and when it has to wait or is done. */
static void handshake_moves(const SSL *ssl, int where, int ret)
{
	SSL *own = (SSL *)(uintptr_t)ssl;

	(void)ret;
	if (where & (SSL_CB_LOOP | SSL_CB_HANDSHAKE_START) && spent_now() == SPENT_LOOP) {
		spent_switch(SPENT_ASIDE);
	} else if (where & SSL_CB_EXIT && spent_now() == SPENT_ASIDE) {
		spent_switch(SPENT_LOOP);
		SSL_set_ex_data(own, index_of_spent(), (void *)(intptr_t)(tls_spent(own) + spent_taken()));
	}
}

/* --- contexts --- */

#ifdef USHER_TEST_HOOKS
static void key_log(const SSL *ssl, const char *line)
{
	const char *path = getenv("SSLKEYLOGFILE");
	FILE *f = path ? fopen(path, "ae") : NULL;

	(void)ssl;
	if (!f)
		return;
	fprintf(f, "%s\n", line);
	fclose(f);
}
#endif

static int own_certificate(const struct tls *t, SSL_CTX *ctx)
{
	int ok = 1;

	if (!t->cert)
		return 1;
	ok = SSL_CTX_use_certificate(ctx, t->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, t->key) == 1;
	for (int i = 0; ok && i < sk_X509_num(t->chain); i++)
		ok = SSL_CTX_add1_chain_cert(ctx, sk_X509_value(t->chain, i)) == 1;
	return ok;
}

/* TLS 1.3; no tickets, so that every connection is judged by the certificates of now. */
static int only_tls13(SSL_CTX *ctx)
{
#ifdef USHER_TEST_HOOKS
	SSL_CTX_set_keylog_callback(ctx, key_log);
#endif
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1;
}

static SSL_CTX *context_new(const struct tls *t, const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx && only_tls13(ctx) && own_certificate(t, ctx)) {
		SSL_CTX_set_info_callback(ctx, handshake_moves);
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static enum err contexts(struct tls *t, struct why *w)
{
	t->client = context_new(t, TLS_client_method());
	if (!t->client)
		return fail(w, ERR_CRYPTO, "TLS: the key and the certificate do not belong together; run `usher setup` again");
	SSL_CTX_set_verify(t->client, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(t->client, verify_server, t);
	if (!t->cert)
		return OK;
	t->server = context_new(t, TLS_server_method());
	if (!t->server)
		return fail(w, ERR_CRYPTO, "TLS: cannot serve with this key and certificate");
	SSL_CTX_set_cert_verify_callback(t->server, verify_client, t);
	return OK;
}

enum err tls_open(const struct tls_files *files, struct tls **out, struct why *w)
{
	struct tls *t = calloc(1, sizeof(*t));
	enum err e = t ? cert_load_roots(files->roots, &t->roots, w) : ERR_NOMEM;

	if (!e && files->key)
		e = cert_load_key(files->key, &t->key, w);
	if (!e && files->cert)
		e = cert_load(files->cert, &t->cert, &t->chain, w);
	if (!e)
		e = contexts(t, w);
	if (e) {
		tls_close(t);
		return e;
	}
	*out = t;
	return OK;
}

enum err tls_open_roots(STACK_OF(X509) *roots, struct tls **out, struct why *w)
{
	struct tls *t = calloc(1, sizeof(*t));
	enum err e = t ? OK : ERR_NOMEM;

	if (!e) {
		t->roots = X509_chain_up_ref(roots);
		e = t->roots ? contexts(t, w) : ERR_NOMEM;
	}
	if (e) {
		tls_close(t);
		return e;
	}
	*out = t;
	return OK;
}

void tls_close(struct tls *t)
{
	if (!t)
		return;
	X509_free(t->cert);
	sk_X509_pop_free(t->chain, X509_free);
	sk_X509_pop_free(t->roots, X509_free);
	EVP_PKEY_free(t->key);
	SSL_CTX_free(t->server);
	SSL_CTX_free(t->client);
	free(t);
}

void tls_time(struct tls *t, struct cert_time time)
{
	t->time = time;
	t->own_time = 1;
}

STACK_OF(X509) *tls_roots(struct tls *t)
{
	return t->roots;
}

/* --- connections --- */

SSL *tls_accept(struct tls *t, int ask_client)
{
	SSL *ssl = t->server ? SSL_new(t->server) : NULL;

	if (ssl && ask_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	return ssl;
}

SSL *tls_connect(struct tls *t, const char *role, const char *id)
{
	SSL *ssl = SSL_new(t->client);
	struct server *x = calloc(1, sizeof(*x));

	if (ssl && x && !text_copy(x->role, sizeof(x->role), role) && !text_copy(x->id, sizeof(x->id), id)
		&& SSL_set_ex_data(ssl, index_of_server(), x) == 1) {
		x->tls = t;
		return ssl;
	}
	free(x);
	SSL_free(ssl);
	return NULL;
}

/* libevent gives each chunk of its buffer to SSL_write by itself: a head and its body would be two records, each with its system calls. */
static void gather(struct evbuffer *out, const struct evbuffer_cb_info *change, void *arg)
{
	size_t n = evbuffer_get_length(out);

	(void)arg;
	if (change->n_added)
		evbuffer_pullup(out, n < SSL3_RT_MAX_PLAIN_LENGTH ? (ev_ssize_t)n : SSL3_RT_MAX_PLAIN_LENGTH);
}

struct bufferevent *tls_stream(struct event_base *base, evutil_socket_t fd, SSL *ssl, enum bufferevent_ssl_state state)
{
	struct bufferevent *bev = ssl ? bufferevent_openssl_socket_new(base, fd, ssl, state, BEV_OPT_CLOSE_ON_FREE) : NULL;

	if (!bev)
		return NULL; /* and libevent has freed ssl */
	bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	evbuffer_add_cb(bufferevent_get_output(bev), gather, NULL);
	return bev;
}

enum err tls_curl(SSL_CTX *ctx, struct tls_expect *expect)
{
	if (!only_tls13(ctx) || !own_certificate(expect->tls, ctx))
		return ERR_CRYPTO;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, verify_for_curl, expect);
	return OK;
}

enum err tls_party(SSL *ssl, struct party *out)
{
	X509 *c = SSL_get0_peer_certificate(ssl);

	return c && SSL_get_verify_result(ssl) == X509_V_OK ? cert_party(c, out) : ERR_MISSING;
}
