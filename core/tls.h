/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_TLS_H
#define USHER_CORE_TLS_H
/*
 * TLS 1.3 only. A server or client has its own key and certificate (or, for an equipment's agent, none) and the roots
 * it holds. Who the other side is comes from its certificate as (role, id); names of hosts play no part.
 * Test builds write key logs to the file SSLKEYLOGFILE.
 */
#include <event2/bufferevent_ssl.h>
#include <openssl/ssl.h>

#include "core/cert.h"

struct tls;

struct tls_files {
	const char *key, *cert;  /* PEM; both NULL: a client without certificate */
	const char *roots;       /* PEM, one or more */
};
enum err tls_open(const struct tls_files *files, struct tls **out, struct why *w) MUST_CHECK;
/* The same from memory, for an equipment, whose roots live in its cell: takes references. No own certificate. */
enum err tls_open_roots(STACK_OF(X509) *roots, struct tls **out, struct why *w) MUST_CHECK;
void tls_close(struct tls *t);
/* How the other side's validity is judged from now on (default: the wall clock at each handshake). */
void tls_time(struct tls *t, struct cert_time time);
STACK_OF(X509) *tls_roots(struct tls *t); /* borrowed */

/* A server connection. ask_client: 0 no client certificate asked, 1 asked for and verified if given. Caller owns. */
SSL *tls_accept(struct tls *t, int ask_client);
/* A client connection that accepts only the server (role, id). The strings are copied. Caller owns. */
SSL *tls_connect(struct tls *t, const char *role, const char *id);
/*
 * The connection as octets on the loop, over the socket fd (-1: still to be connected). Takes ssl over, also when it fails; NULL: out of
 * memory, or no ssl. What is put into its output at a time leaves as one record, as far as a record holds it (16 KiB).
 */
struct bufferevent *tls_stream(struct event_base *base, evutil_socket_t fd, SSL *ssl, enum bufferevent_ssl_state state);
/* Makes an SSL_CTX of somebody else's (libcurl's) verify the server as (role, id); own certificate is set as well.
 * expect must live as long as the handshake. */
struct tls_expect {
	struct tls *tls;
	const char *role, *id;
	struct why why;    /* set when verification refuses */
};
enum err tls_curl(SSL_CTX *ctx, struct tls_expect *expect) MUST_CHECK;

/* CPU time of this connection's handshake since last asked, in nanoseconds (core/spent.h); who asks owns it. */
int64_t tls_spent(SSL *ssl);

/* Who is at the other end; ERR_MISSING if it showed no certificate. */
enum err tls_party(SSL *ssl, struct party *out) MUST_CHECK;

#endif
