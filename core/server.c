/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/spent.h"

enum { HEAD_MAX = 8192, IDLE_S = 30, CONNECTIONS_MAX = 4000, BUCKETS = 1024, SWEEP_MS = 1000 };

/* A connection, from accept until evhttp has let go of it. */
struct connection {
	struct connection *next;
	struct bufferevent *bev;     /* a reference of our own */
	int64_t since;               /* clock_mono_ms: accepted, or its last answer given */
	int asking;                  /* a handler has its request */
};

struct server {
	const struct route *routes;
	const struct peers *peers;
	struct tls *tls;
	void *arg;
	struct loop *loop;
	struct evhttp *http;
	struct evconnlistener *listener;
	struct event_base *base;
	struct connection *bucket[BUCKETS]; /* by the bufferevent's address */
	int open, most;              /* the listener rests while they are too many */
	struct timer *sweep;
	unsigned hand;
	unsigned ask_client;
	char bound[BOUND_MAX];
	char name[24];
};

struct ask {
	struct server *server;
	struct connection *connection; /* alive as long as req is */
	struct evhttp_request *req;  /* NULL when the client is gone */
	const struct route *route;
	struct party peer;
	struct evkeyvalq query;
	int query_read;
	char path[512], tail[256], from[80];
};

/* --- connections --- */

static struct connection **bucket_of(struct server *s, const struct bufferevent *bev)
{
	return s->bucket + ((uintptr_t)bev >> 4) % BUCKETS;
}

static struct connection *connection_of(struct server *s, const struct bufferevent *bev)
{
	struct connection *c = *bucket_of(s, bev);

	while (c && c->bev != bev)
		c = c->next;
	return c;
}

/* evhttp tells nobody when a connection ends, but it takes its callbacks away. */
static int is_over(const struct connection *c)
{
	bufferevent_event_cb event = NULL;

	bufferevent_getcb(c->bev, NULL, NULL, &event, NULL);
	return !event;
}

/* Its timeout is for the next octet: one octet every 29 s would hold a connection for days. A whole request has IDLE_S. */
static void look_after(struct server *s, struct connection **at)
{
	int64_t old = clock_mono_ms() - IDLE_S * 1000;

	while (*at) {
		struct connection *c = *at;

		if (is_over(c)) {
			*at = c->next;
			bufferevent_decref(c->bev);
			free(c);
			s->open--;
			continue;
		}
		if (!c->asking && c->since < old)
			(void)!shutdown(bufferevent_getfd(c->bev), SHUT_RDWR); /* evhttp reads the end and frees it */
		at = &c->next;
	}
}

static void sweep(void *arg)
{
	struct server *s = arg;

	for (int i = 0; i < BUCKETS; i++)
		look_after(s, s->bucket + i);
	if (s->open < s->most)
		evconnlistener_enable(s->listener); /* it may rest */
}

static struct bufferevent *stream_new(struct server *s)
{
	if (!s->tls)
		return bufferevent_socket_new(s->base, -1, BEV_OPT_CLOSE_ON_FREE);
	return tls_stream(s->base, -1, tls_accept(s->tls, s->ask_client != 0), BUFFEREVENT_SSL_ACCEPTING);
}

static struct bufferevent *connection_new(struct event_base *base, void *arg)
{
	struct server *s = arg;
	struct connection *c = calloc(1, sizeof(*c)), **bucket;

	(void)base;
	s->hand = (s->hand + 1) % BUCKETS; /* between two sweeps many may come and go: a few at each new one, all at the bound */
	if (s->open + 1 < s->most)
		look_after(s, s->bucket + s->hand);
	else
		sweep(s);
	if (c)
		c->bev = stream_new(s);
	if (!c || !c->bev) {
		free(c);
		return NULL;
	}
	bufferevent_incref(c->bev);
	bucket = bucket_of(s, c->bev);
	c->since = clock_mono_ms();
	c->next = *bucket;
	*bucket = c;
	if (++s->open >= s->most)
		evconnlistener_disable(s->listener);
	return c->bev;
}

/* No descriptors left: the listener would be ready for ever, and the loop do nothing else. The next sweep wakes it. */
static void accept_failed(struct evconnlistener *l, void *http)
{
	(void)http;
	log_hop(LOG_WARN, "listen", "why=\"accept: %s\"", strerror(errno));
	evconnlistener_disable(l);
}

/* --- an ask --- */

static void client_gone(struct evhttp_connection *c, void *arg)
{
	struct ask *a = arg;

	(void)c;
	a->req = NULL;
}

static void ask_end(struct ask *a)
{
	if (a->query_read)
		evhttp_clear_headers(&a->query);
	free(a);
}

static int route_fits(const struct route *r, const char *path, char *tail, size_t cap)
{
	size_t n = strlen(r->path);

	if (n < 2 || strcmp(r->path + n - 2, "/*"))
		return !strcmp(r->path, path);
	if (strncmp(r->path, path, n - 1) || !path[n - 1] || strchr(path + n - 1, '/'))
		return 0;
	return !text_copy(tail, cap, path + n - 1);
}

static const struct route *route_find(struct ask *a, const char *method, int *path_known)
{
	for (const struct route *r = a->server->routes; r->method; r++) {
		if (!route_fits(r, a->path, a->tail, sizeof(a->tail)))
			continue;
		*path_known = 1;
		if (!strcmp(r->method, method))
			return r;
	}
	return NULL;
}

/* Refused by the table before the body is looked at. */
static enum err may_ask(struct ask *a, struct why *w)
{
	unsigned who = a->route->who;

	if (who & WHO_ANYONE)
		return OK;
	if (!*a->peer.role)
		return fail(w, ERR_DENIED, "%s needs a client certificate", a->path);
	if (!(who & WHO(cert_role_number(a->peer.role))))
		return fail(w, ERR_DENIED, "role %s may not ask %s", a->peer.role, a->path);
	if (!(who & WHO_UNLISTED) && !peers_find(a->server->peers, a->peer.role, a->peer.id))
		return fail(w, ERR_DENIED, "%s %s is not a peer here; `usher peer add` makes it one", a->peer.role, a->peer.id);
	return OK;
}

static const char *method_word(struct evhttp_request *req)
{
	switch (evhttp_request_get_command(req)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	default:
		return "?";
	}
}

static enum err where_from(struct ask *a, struct why *w)
{
	struct evhttp_connection *c = evhttp_request_get_connection(a->req);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(c);
	SSL *ssl = a->server->tls ? bufferevent_openssl_get_ssl(bev) : NULL;
	char *host = NULL;
	ev_uint16_t port = 0;

	evhttp_connection_set_closecb(c, client_gone, a);
	a->connection = connection_of(a->server, bev);
	if (a->connection)
		a->connection->asking = 1;
	evhttp_connection_get_peer(c, &host, &port);
	snprintf(a->from, sizeof(a->from), "%s:%u", host ? host : "?", port);
	if (a->server->tls && !ssl) { /* evhttp makes a plain stream where connection_new has no memory for one */
		ask_add(a, "Connection", "close");
		return fail(w, ERR_UNAVAILABLE, "there is no memory for TLS");
	}
	if (ssl && SSL_get0_peer_certificate(ssl) && tls_party(ssl, &a->peer))
		return fail(w, ERR_DENIED, "the certificate names no party");
	return OK;
}

static int path_read(struct ask *a)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(a->req);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	size_t n = 0;
	char *plain = path ? evhttp_uridecode(path, 0, &n) : NULL;
	int ok = plain && strlen(plain) == n && !text_copy(a->path, sizeof(a->path), n ? plain : "/");

	free(plain);
	return ok;
}

/* The answer counts as its path's step (or its listener's, for paths that name none), and so does the handshake before it. */
static void answer(struct ask *a)
{
	struct server *s = a->server;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(a->req));
	int step = spent_step(strncmp(a->route->path, "/v1/", 4) ? s->name : a->route->path), before = spent_switch(step);

	if (s->tls)
		spent_add(step, tls_spent(bufferevent_openssl_get_ssl(bev)));
	a->route->answer(a, s->arg);
	spent_switch(before);
}

static void came(struct evhttp_request *req, void *arg)
{
	struct server *s = arg;
	struct ask *a = calloc(1, sizeof(*a));
	struct why w = { "" };
	int known = 0;
	enum err e;

	if (!a) {
		evhttp_send_error(req, 503, NULL);
		return;
	}
	a->server = s;
	a->req = req;
	e = where_from(a, &w);
	if (!e && !path_read(a))
		e = fail(&w, ERR_FORMAT, "the path is not readable");
	if (e) {
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	a->route = route_find(a, method_word(req), &known);
	if (!a->route) {
		ask_refuse_as(a, known ? 405 : 404, ERR_MISSING, "%s %s is not served here", method_word(req), a->path);
		return;
	}
	e = may_ask(a, &w);
	if (e)
		ask_refuse(a, e, "%s", w.text);
	else if (evbuffer_get_length(evhttp_request_get_input_buffer(req)) > a->route->body_max)
		ask_refuse_as(a, 413, ERR_LIMIT, "the body is larger than %zu octets", a->route->body_max);
	else
		answer(a);
}

const char *ask_tail(const struct ask *a)
{
	return a->tail;
}

const char *ask_query(struct ask *a, const char *name)
{
	const struct evhttp_uri *uri;
	const char *text;

	if (!a->req)
		return NULL;
	uri = evhttp_request_get_evhttp_uri(a->req);
	text = uri ? evhttp_uri_get_query(uri) : NULL;
	if (!a->query_read) {
		if (!text || evhttp_parse_query_str(text, &a->query))
			return NULL;
		a->query_read = 1;
	}
	return evhttp_find_header(&a->query, name);
}

const char *ask_header(const struct ask *a, const char *name)
{
	return a->req ? evhttp_find_header(evhttp_request_get_input_headers(a->req), name) : NULL;
}

struct bytes ask_body(const struct ask *a)
{
	struct evbuffer *b = a->req ? evhttp_request_get_input_buffer(a->req) : NULL;
	size_t n = b ? evbuffer_get_length(b) : 0;

	return BYTES(n ? evbuffer_pullup(b, -1) : NULL, n);
}

enum err ask_certificate(const struct ask *a, uint8_t hash[32])
{
	struct evhttp_connection *c = a->req ? evhttp_request_get_connection(a->req) : NULL;
	SSL *ssl = c && a->server->tls ? bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(c)) : NULL;
	X509 *shown = ssl ? SSL_get0_peer_certificate(ssl) : NULL;

	return shown ? cert_hash(shown, hash) : ERR_MISSING;
}

const struct party *ask_peer(const struct ask *a)
{
	return &a->peer;
}

const char *ask_from(const struct ask *a)
{
	return a->from;
}

json_t *ask_json(struct ask *a)
{
	struct bytes b = ask_body(a);
	json_error_t why;
	json_t *o = json_loadb((const char *)b.p, b.n, JSON_REJECT_DUPLICATES, &why);

	if (json_is_object(o))
		return o;
	json_decref(o);
	ask_refuse(a, ERR_FORMAT, "the body is not a JSON object: %s (line %d)", o ? "another type" : why.text, why.line);
	return NULL;
}

/* --- answers --- */

void ask_add(struct ask *a, const char *header, const char *value)
{
	if (a->req)
		evhttp_add_header(evhttp_request_get_output_headers(a->req), header, value);
}

void ask_reply(struct ask *a, int status, const char *type, struct bytes body)
{
	struct evbuffer *out;

	if (a->req) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(a->req), NULL, NULL);
		if (a->connection) {
			a->connection->asking = 0;
			a->connection->since = clock_mono_ms();
		}
		if (type)
			ask_add(a, "Content-Type", type);
		out = evbuffer_new();
		if (out && body.n)
			evbuffer_add(out, body.p, body.n);
		evhttp_send_reply(a->req, status, status < 300 ? "OK" : "Refused", out);
		if (out)
			evbuffer_free(out);
	}
	ask_end(a);
}

void ask_reply_json(struct ask *a, int status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	json_decref(body);
	if (!text)
		status = 503;
	ask_reply(a, status, "application/json", bytes_text(text));
	if (text) {
		OPENSSL_cleanse(text, strlen(text)); /* some answers carry secrets */
		free(text);
	}
}

static const short statuses[ERR_COUNT] = {
	[ERR_NOMEM] = 503, [ERR_IO] = 503, [ERR_SHORT] = 400, [ERR_SURPLUS] = 400, [ERR_FORMAT] = 400, [ERR_RANGE] = 400,
	[ERR_LIMIT] = 429, [ERR_MISSING] = 404, [ERR_EXISTS] = 409, [ERR_CONFLICT] = 409, [ERR_ORDER] = 409, [ERR_DENIED] = 403,
	[ERR_AUTH] = 403, [ERR_SYNC] = 403, [ERR_EXPIRED] = 410, [ERR_REVOKED] = 403, [ERR_UNAVAILABLE] = 503,
	[ERR_TIMEOUT] = 503, [ERR_AGAIN] = 503, [ERR_CRYPTO] = 500, [ERR_UNSUPPORTED] = 400,
};

static void refuse(struct ask *a, int status, enum err e, char *why)
{
	text_plain(why); /* a path's octets need not be UTF-8, JSON's must */
	log_hop(LOG_WARN, "refused", "path=%s from=%s peer=%s/%s status=%d why=\"%s\"", a->path, a->from, a->peer.role, a->peer.id, status, why);
	if (status == 503 && a->req && !evhttp_find_header(evhttp_request_get_output_headers(a->req), "Retry-After"))
		ask_add(a, "Retry-After", "2");
	ask_reply_json(a, status, json_pack("{s:s, s:s}", "error", err_name(e), "why", why));
}

void ask_refuse(struct ask *a, enum err e, const char *fmt, ...)
{
	struct why w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	refuse(a, (unsigned)e < ERR_COUNT && statuses[e] ? statuses[e] : 500, e, w.text);
}

void ask_refuse_as(struct ask *a, int status, enum err e, const char *fmt, ...)
{
	struct why w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	refuse(a, status, e, w.text);
}

/* --- the listener --- */

static size_t largest_body(const struct route *r)
{
	size_t most = 0;

	for (; r->method; r++)
		most = r->body_max > most ? r->body_max : most;
	return most;
}

/* A quarter of the descriptors at most: the database, other servers and calls need some. */
static int connections_most(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur / 4 >= CONNECTIONS_MAX ? CONNECTIONS_MAX : (int)files.rlim_cur / 4;
}

static enum err serve(struct server *s, int fd)
{
	s->sweep = timer_every(s->loop, SWEEP_MS, sweep, s);
	s->most = connections_most();
	s->http = evhttp_new(s->base);
	s->listener = s->http ? evconnlistener_new(s->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd) : NULL;
	if (!s->sweep || !s->listener || !evhttp_bind_listener(s->http, s->listener))
		return ERR_IO;
	evconnlistener_set_error_cb(s->listener, accept_failed);
	evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
	evhttp_set_max_headers_size(s->http, HEAD_MAX);
	evhttp_set_max_body_size(s->http, (ev_ssize_t)largest_body(s->routes));
	evhttp_set_timeout(s->http, IDLE_S);
	evhttp_set_default_content_type(s->http, NULL);
	evhttp_set_bevcb(s->http, connection_new, s);
	evhttp_set_gencb(s->http, came, s);
	return OK;
}

enum err server_open(struct loop *l, const struct server_conf *c, struct server **out, struct why *w)
{
	struct server *s = calloc(1, sizeof(*s));
	int fd = -1;
	enum err e;

	if (!s)
		return ERR_NOMEM;
	s->routes = c->routes;
	s->peers = c->peers;
	s->tls = c->tls;
	s->arg = c->arg;
	s->loop = l;
	s->base = loop_base(l);
	snprintf(s->name, sizeof(s->name), "%s", c->name);
	for (const struct route *r = c->routes; r->method; r++)
		s->ask_client |= !(r->who & WHO_ANYONE);
	e = loop_socket(c->name, c->address, SOCKET_TCP, &fd, s->bound, w);
	if (!e && serve(s, fd))
		e = fail(w, ERR_IO, "cannot serve %s on %s", c->name, s->bound);
	if (e) {
		if (fd >= 0 && !s->listener)
			close(fd);
		server_close(s);
		return e;
	}
	log_hop(LOG_INFO, "listen", "name=%s address=%s", s->name, s->bound);
	*out = s;
	return OK;
}

void server_close(struct server *s)
{
	if (!s)
		return;
	timer_stop(s->sweep);
	if (s->http) /* frees the listener as well */
		evhttp_free(s->http);
	else if (s->listener)
		evconnlistener_free(s->listener);
	for (int i = 0; i < BUCKETS; i++)
		for (struct connection *c = s->bucket[i], *next; c; c = next) {
			next = c->next;
			bufferevent_decref(c->bev);
			free(c);
		}
	free(s);
}

const char *server_bound(const struct server *s)
{
	return s->bound;
}
