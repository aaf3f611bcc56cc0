/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/spent.h"

enum { TIMEOUT_MS = 30000, KEPT = 64, SOCKETS = 16 };

/* Octets that a socket had carried when we last looked. */
struct carried {
	curl_socket_t fd;
	int open, closed;    /* closed: its call has still to ask */
	int64_t sent, received;
	int64_t told_sent, told_received; /* of them, to earlier calls */
};

struct http {
	struct loop *loop;
	struct tls *tls;
	CURLM *multi;
	struct event *timer;
	struct call *first;
	struct carried carried[SOCKETS];
	int forget;             /* kept connections are dropped when the last open call ends */
	int telling, closed;    /* inside done; closed there: freed behind it */
	char agent[64];
	int at_once;
};

struct call {
	struct http *http;
	struct call *next, **back;
	CURL *easy;
	struct curl_slist *headers, *proxy_headers, *connect_to;
	uint8_t *body;
	struct tls_expect expect;
	char role[ROLE_MAX], id[ID_MAX], address[300];
	uint8_t *in;
	size_t in_n;
	int too_large, last_out, step;
	curl_socket_t socket;    /* the last one it used */
	struct response response;
	http_done done;
	void *arg;
};

/* --- counting --- */

static struct carried *carried_by(struct http *h, curl_socket_t fd)
{
	for (int i = 0; i < SOCKETS; i++)
		if (h->carried[i].open && h->carried[i].fd == fd)
			return h->carried + i;
	return NULL;
}

/* A client of its own (an equipment) has few sockets; beyond that they are not counted. */
static void carried_begins(struct http *h, curl_socket_t fd)
{
	for (int i = 0; i < SOCKETS; i++)
		if (!h->carried[i].open || h->carried[i].closed || h->carried[i].fd == fd) {
			h->carried[i] = (struct carried){ .fd = fd, .open = 1 };
			return;
		}
}

static void look_at_socket(struct carried *c, curl_socket_t fd)
{
	struct tcp_info i;
	socklen_t n = sizeof(i);

	memset(&i, 0, sizeof(i));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &n))
		return;
	c->sent = (int64_t)i.tcpi_bytes_acked + (int64_t)i.tcpi_notsent_bytes;
	c->received = (int64_t)i.tcpi_bytes_received;
}

static curl_socket_t socket_opens(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct call *c = arg;
	curl_socket_t fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	(void)purpose;
	c->socket = fd;
	if (fd >= 0)
		carried_begins(c->http, fd);
	return fd;
}

static int socket_closes(void *arg, curl_socket_t fd)
{
	struct http *h = arg;
	struct carried *k = carried_by(h, fd);

	if (k) {
		look_at_socket(k, fd);
		k->closed = 1;
	}
	return close(fd);
}

static void count_octets(struct call *c)
{
	struct carried *k = carried_by(c->http, c->socket);

	if (!k)
		return;
	if (!k->closed)
		look_at_socket(k, k->fd);
	c->response.sent = k->sent - k->told_sent;
	c->response.received = k->received - k->told_received;
	k->told_sent = k->sent;
	k->told_received = k->received;
}

/* A turn is what we say, however much, and the other side's answer. */
static int count_turns(CURL *easy, curl_infotype type, char *data, size_t n, void *arg)
{
	struct call *c = arg;
	int out = type == CURLINFO_HEADER_OUT || type == CURLINFO_DATA_OUT || type == CURLINFO_SSL_DATA_OUT;

	(void)easy, (void)data, (void)n;
	if (type == CURLINFO_TEXT)
		return 0;
	if (!out && c->last_out)
		c->response.turns++;
	c->last_out = out;
	return 0;
}

/* --- a call's end --- */

static void forget_now(struct http *h);

/* It is no call of the client any more; what the answer points to is still there. */
static void call_unlink(struct call *c)
{
	curl_multi_remove_handle(c->http->multi, c->easy);
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
	if (c->http->forget && !c->http->first)
		forget_now(c->http);
}

static void call_free(struct call *c)
{
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	curl_slist_free_all(c->proxy_headers);
	curl_slist_free_all(c->connect_to);
	free(c->body);
	free(c->in);
	free(c);
}

static void call_failed(struct call *c, CURLcode rc)
{
	struct response *r = &c->response;
	long proxy = 0;

	curl_easy_getinfo(c->easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	r->err = rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;
	if (c->too_large) {
		r->err = fail(&r->why, ERR_LIMIT, "%s: the answer is larger than %d octets", c->address, HTTP_BODY_MAX);
	} else if (c->expect.why.text[0]) {
		r->err = ERR_AUTH;
		r->why = c->expect.why;
	} else if (proxy >= 400) {
		r->err = proxy == 429 ? ERR_LIMIT : proxy == 403 ? ERR_DENIED : ERR_UNAVAILABLE;
		(void)!fail(&r->why, r->err, "%s: the way there is closed (%ld)", c->address, proxy);
	} else {
		(void)!fail(&r->why, r->err, "%s: %s", c->address, curl_easy_strerror(rc));
	}
}

static void call_done(struct call *c, CURLcode rc)
{
	struct response *r = &c->response;
	http_done done = c->done;
	void *arg = c->arg;
	long status = 0;
	char *type = NULL;
	struct response told;
	int before;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
	count_octets(c);
	r->status = (int)status;
	r->body = BYTES(c->in, c->in_n);
	if (type)
		snprintf(r->type, sizeof(r->type), "%s", type);
	if (rc != CURLE_OK)
		call_failed(c, rc);
	told = *r;
	call_unlink(c); /* first: done may forget connections or close the client */
	before = spent_switch(c->step);
	done(arg, &told);
	call_free(c);
	spent_switch(before);
}

static void collect(struct http *h)
{
	CURLMsg *m;
	int left;

	h->telling++;
	while (!h->closed && (m = curl_multi_info_read(h->multi, &left))) {
		struct call *c = NULL;
		CURLcode rc = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
		call_done(c, rc);
	}
	if (!--h->telling && h->closed)
		free(h);
}

void http_cancel(struct call *c)
{
	call_unlink(c);
	call_free(c);
}

/* --- libcurl on the loop --- */

/* A socket that libcurl waits for, and the step of the call that it serves now. */
struct watched {
	struct http *http;
	struct event *event;
	int step;
};

static void socket_ready(evutil_socket_t fd, short what, void *arg)
{
	struct watched *s = arg;
	struct http *h = s->http;
	int running, before = spent_switch(s->step);

	curl_multi_socket_action(h->multi, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &running);
	collect(h);
	spent_switch(before);
}

static int socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *own)
{
	struct http *h = arg;
	struct watched *s = own;
	struct call *c = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c);
	if (c)
		c->socket = fd;
	if (s && s->event)
		event_free(s->event);
	if (what == CURL_POLL_REMOVE) {
		free(s);
		s = NULL;
	} else if (s || (s = malloc(sizeof(*s)))) {
		short wish = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

		*s = (struct watched){ h, event_new(loop_base(h->loop), fd, wish, socket_ready, s), c ? c->step : SPENT_LOOP };
		if (s->event)
			event_add(s->event, NULL);
	}
	curl_multi_assign(h->multi, fd, s);
	return 0;
}

static void timer_fires(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	int running;

	(void)fd, (void)what;
	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(h);
}

static int timer_wish(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	(void)multi;
	if (ms < 0)
		event_del(h->timer);
	else
		event_add(h->timer, &tv);
	return 0;
}

/* --- a call --- */

static size_t body_comes(char *data, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	uint8_t *more;

	if (c->in_n + one * n > HTTP_BODY_MAX) {
		c->too_large = 1;
		return 0;
	}
	more = realloc(c->in, c->in_n + one * n + 1);
	if (!more)
		return 0;
	c->in = more;
	memcpy(c->in + c->in_n, data, one * n);
	c->in_n += one * n;
	return one * n;
}

static size_t header_comes(char *line, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	const struct {
		const char *name;
		char *dst;
		size_t cap;
	} wanted[] = {
		{ "retry-after:", c->response.retry_after, sizeof(c->response.retry_after) },
		{ "www-authenticate:", c->response.authenticate, sizeof(c->response.authenticate) },
		{ "x-syncml-hmac:", c->response.hmac, sizeof(c->response.hmac) },
	};
	size_t len = one * n, k;

	while (len && (line[len - 1] == '\r' || line[len - 1] == '\n'))
		len--;
	for (size_t i = 0; i < 3; i++) {
		k = strlen(wanted[i].name);
		if (len < k || strncasecmp(line, wanted[i].name, k))
			continue;
		while (k < len && line[k] == ' ')
			k++;
		if (len - k < wanted[i].cap) {
			memcpy(wanted[i].dst, line + k, len - k);
			wanted[i].dst[len - k] = 0;
		}
	}
	return one * n;
}

static CURLcode on_ssl(CURL *easy, void *ctx, void *arg)
{
	struct call *c = arg;

	(void)easy;
	return c->http->tls && !tls_curl(ctx, &c->expect) ? CURLE_OK : CURLE_SSL_CERTPROBLEM;
}

static int add_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *more = curl_slist_append(*list, line);

	if (more)
		*list = more;
	return more != NULL;
}

/*
 * The URL's host is the party ("hss.001-01"), the address is where to connect: so libcurl's cache of connections, which
 * knows names only, never gives one party's connection to a request that expects another.
 */
static int set_target(struct call *c, const struct request *r)
{
	char url[1600], to[700], host[256];
	struct why w;
	uint16_t port;
	int n;

	if (conf_address(r->address, host, sizeof(host), &port, &w) || text_copy(c->address, sizeof(c->address), r->address))
		return 0;
	if (!r->peer_role) {
		n = snprintf(url, sizeof(url), "http://%s%s%s:%u%s", strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port, r->path);
		return n < (int)sizeof(url) && curl_easy_setopt(c->easy, CURLOPT_URL, url) == CURLE_OK
			&& curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
	}
	if (text_copy(c->role, sizeof(c->role), r->peer_role) || text_copy(c->id, sizeof(c->id), r->peer_id))
		return 0;
	c->expect = (struct tls_expect){ c->http->tls, c->role, c->id, { "" } };
	n = snprintf(url, sizeof(url), "https://%s.%s:%u%s", c->role, c->id, port, r->path);
	snprintf(to, sizeof(to), strchr(host, ':') ? "::[%s]:%u" : "::%s:%u", host, port);
	return n < (int)sizeof(url) && add_line(&c->connect_to, to) && curl_easy_setopt(c->easy, CURLOPT_URL, url) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, c->connect_to) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "https") == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_SSL_CTX_DATA, c) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK; /* names of hosts play no part */
}

static int set_proxy(struct call *c, const struct request *r)
{
	char url[340], line[160];

	if (!r->proxy)
		return curl_easy_setopt(c->easy, CURLOPT_PROXY, "") == CURLE_OK;
	if (snprintf(url, sizeof(url), "http://%s", r->proxy) >= (int)sizeof(url)
		|| snprintf(line, sizeof(line), "Proxy-Authorization: Bearer %s", r->proxy_bearer ? r->proxy_bearer : "") >= (int)sizeof(line))
		return 0;
	return add_line(&c->proxy_headers, line) && curl_easy_setopt(c->easy, CURLOPT_PROXY, url) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_HTTPPROXYTUNNEL, 1L) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_PROXYHEADER, c->proxy_headers) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK;
}

static int set_message(struct call *c, const struct request *r)
{
	char line[160];
	int ok = 1;

	if (r->body.n || !strcmp(r->method, "POST")) {
		c->body = bytes_dup(r->body, NULL);
		ok = c->body && curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body) == CURLE_OK
			&& curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n) == CURLE_OK;
	}
	ok = ok && snprintf(line, sizeof(line), r->type ? "Content-Type: %s" : "Content-Type:", r->type) < (int)sizeof(line);
	ok = ok && add_line(&c->headers, line) && add_line(&c->headers, "Expect:");
	for (int i = 0; ok && i < HTTP_HEADERS && r->header[i]; i++)
		ok = add_line(&c->headers, r->header[i]);
	return ok && curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK
		&& curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK;
}

static void set_rules(struct call *c, const struct request *r)
{
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_NOPROXY, "");
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL); /* tls_curl verifies by our roots alone; reading the system's bundle costs 3 ms a connection */
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, (long)c->http->forget);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, c->http->agent);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(r->timeout_ms ? r->timeout_ms : TIMEOUT_MS));
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, body_comes);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, header_comes);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, socket_opens);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, socket_closes);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, c->http);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, (long)r->last);
	if (r->count) {
		curl_easy_setopt(e, CURLOPT_VERBOSE, 1L);
		curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, count_turns);
		curl_easy_setopt(e, CURLOPT_DEBUGDATA, c);
	}
}

struct call *http_ask(struct http *h, const struct request *r, http_done done, void *arg)
{
	struct call *c = h->closed ? NULL : calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->http = h;
	c->done = done;
	c->arg = arg;
	c->step = spent_now();
	c->socket = CURL_SOCKET_BAD;
	c->next = h->first;
	c->back = &h->first;
	if (c->next)
		c->next->back = &c->next;
	h->first = c;
	c->easy = curl_easy_init();
	if (c->easy) {
		set_rules(c, r);
		if (set_target(c, r) && set_proxy(c, r) && set_message(c, r) && curl_multi_add_handle(h->multi, c->easy) == CURLM_OK)
			return c;
	}
	call_unlink(c);
	call_free(c);
	return NULL;
}

/* --- opening --- */

static int multi_new(struct http *h)
{
	h->multi = curl_multi_init();
	h->timer = evtimer_new(loop_base(h->loop), timer_fires, h);
	return h->multi && h->timer && curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, socket_wish) == CURLM_OK
		&& curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK
		&& curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, timer_wish) == CURLM_OK
		&& curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK
		&& curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)KEPT) == CURLM_OK
		&& curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)h->at_once) == CURLM_OK;
}

enum err http_open(struct loop *l, struct tls *t, const char *user_agent, struct http **out)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return ERR_NOMEM;
	h->loop = l;
	h->tls = t;
	snprintf(h->agent, sizeof(h->agent), "%s", user_agent);
	if (!multi_new(h)) {
		http_close(h);
		return ERR_NOMEM;
	}
	*out = h;
	return OK;
}

void http_limit(struct http *h, int at_once)
{
	h->at_once = at_once;
	curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)at_once);
}

/* A new multi handle has no connections. */
static void forget_now(struct http *h)
{
	h->forget = 0;
	curl_multi_cleanup(h->multi);
	event_free(h->timer);
	if (!multi_new(h))
		log_hop(LOG_ERROR, "http", "why=\"out of memory\"");
}

void http_forget(struct http *h)
{
	h->forget = 1;
	if (!h->first)
		forget_now(h);
}

void http_close(struct http *h)
{
	if (!h)
		return;
	h->closed = 1;
	while (h->first) {
		struct response r = { .err = ERR_UNAVAILABLE, .why = { "this process is stopping" } };
		struct call *c = h->first;

		call_unlink(c);
		c->done(c->arg, &r);
		call_free(c);
	}
	if (h->multi)
		curl_multi_cleanup(h->multi);
	if (h->timer)
		event_free(h->timer);
	if (!h->telling)
		free(h);
}
