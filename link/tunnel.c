/* SPDX-License-Identifier: Apache-2.0 */
#include "link/tunnel.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/spent.h"
#include "link/carrier.h"

enum phase { READING_HEAD, WAITING_OWNER, DIALLING, ASKING_GATEWAY, OPEN, CLOSING };

struct tunnel {
	struct tunnel_server *server;
	LIST_ENTRY(tunnel) all;
	TAILQ_ENTRY(tunnel) fresh;      /* while is_fresh: accepted, and no head has come */
	int is_fresh;
	struct bufferevent *near, *far; /* the asking side, and where it wants to go */
	struct carrier *carrier;        /* of which one of them is the bufferevent */
	int keep;                       /* it is whole, and carries the next tunnel after this one */
	enum phase phase;
	int moving;                     /* inside the moved callback: an end waits until it returns */
	struct tunnel_ask ask;
	char identity[24];              /* what we tell the gateway */
	void *note;
	struct timer *deadline;         /* for the head, and for the way there: a peer that sends an octet now and then is too slow as well */
};

struct tunnel_server {
	struct loop *loop;
	struct tls *tls;
	struct evconnlistener *listener;
	struct carriers *carriers;
	LIST_HEAD(, tunnel) all;
	TAILQ_HEAD(, tunnel) fresh;     /* oldest first */
	int count, most;
	struct tunnel_events events;
	void *arg;
	char bound[BOUND_MAX];
};

/* --- life of a tunnel --- */

static void let_go(struct tunnel *t, struct bufferevent **bev)
{
	struct carrier *c = t->carrier;

	if (*bev && c && carrier_bev(c) == *bev) {
		t->carrier = NULL;
		if (t->keep)
			carrier_end(c);
		else
			carrier_drop(c);
	} else if (*bev) {
		bufferevent_free(*bev);
	}
	*bev = NULL;
}

static void not_fresh(struct tunnel *t)
{
	if (t->is_fresh)
		TAILQ_REMOVE(&t->server->fresh, t, fresh);
	t->is_fresh = 0;
}

static void tunnel_free(struct tunnel *t)
{
	struct tunnel_server *s = t->server;

	timer_stop(t->deadline);
	not_fresh(t);
	if (s->events.ended)
		s->events.ended(t, s->arg);
	let_go(t, &t->near);
	let_go(t, &t->far);
	LIST_REMOVE(t, all);
	s->count--;
	free(t);
}

void tunnel_end(struct tunnel *t)
{
	t->phase = CLOSING;
	if (!t->moving)
		tunnel_free(t);
}

void tunnel_set(struct tunnel *t, void *note)
{
	t->note = note;
}

void *tunnel_note(const struct tunnel *t)
{
	return t->note;
}

static void near_sent(struct bufferevent *bev, void *arg)
{
	(void)bev;
	tunnel_free(arg);
}

static void any_event(struct bufferevent *bev, short what, void *arg);
static void far_up(struct tunnel *t);

static void too_late(void *arg);

static void deadline(struct tunnel *t, int64_t ms)
{
	timer_stop(t->deadline);
	t->deadline = ms ? timer_after(t->server->loop, ms, too_late, t) : NULL;
}

/* What waits for the near side goes out, then the connection closes. */
static void close_after_sending(struct tunnel *t)
{
	t->phase = CLOSING;
	deadline(t, TUNNEL_HEAD_S * 1000); /* it need not read */
	let_go(t, &t->far);
	bufferevent_disable(t->near, EV_READ);
	if (!evbuffer_get_length(bufferevent_get_output(t->near))) {
		tunnel_free(t);
		return;
	}
	bufferevent_setwatermark(t->near, EV_WRITE, 0, 0);
	bufferevent_setcb(t->near, NULL, near_sent, any_event, t);
}

void tunnel_refuse(struct tunnel *t, int status, enum err e, const char *fmt, ...)
{
	struct why w;
	va_list ap;
	json_t *body;
	char *text;

	va_start(ap, fmt);
	vsnprintf(w.text, sizeof(w.text), fmt, ap);
	va_end(ap);
	log_hop(LOG_WARN, "access", "target=%s identity=%s status=%d why=\"%s\"", t->ask.target, t->ask.identity, status, w.text);
	body = json_pack("{s:s, s:s}", "error", err_name(e), "why", w.text);
	text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	evbuffer_add_printf(bufferevent_get_output(t->near),
		"HTTP/1.1 %d Refused\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		status, text ? strlen(text) : 0, text ? text : "");
	free(text);
	close_after_sending(t);
}

static void too_late(void *arg)
{
	struct tunnel *t = arg;

	t->deadline = NULL;
	if (t->phase == DIALLING || t->phase == ASKING_GATEWAY)
		tunnel_refuse(t, 502, ERR_TIMEOUT, "%s does not answer; try again later", t->phase == DIALLING ? t->ask.target : "the access gateway");
	else
		tunnel_free(t);
}

/* --- octets --- */

static struct bufferevent *other_side(struct tunnel *t, struct bufferevent *bev)
{
	return bev == t->near ? t->far : t->near;
}

static int is_carrier(const struct tunnel *t, const struct bufferevent *bev)
{
	return t->carrier && carrier_bev(t->carrier) == bev;
}

/* What has come from it is on its way: the other side gets it, if it still can. */
static void side_ended(struct tunnel *t, const struct bufferevent *bev)
{
	if (bev == t->far && !is_carrier(t, t->near))
		close_after_sending(t);
	else
		tunnel_free(t);
}

/* Moves what one side sent to the other; 0: the tunnel is gone. */
static int move_octets(struct tunnel *t, struct bufferevent *bev)
{
	struct bufferevent *to = other_side(t, bev);
	struct evbuffer *in = bufferevent_get_input(bev);
	struct carrier *c = t->carrier;
	size_t n = evbuffer_get_length(in);
	int bad = 0;

	if (!n)
		return 1;
	if (is_carrier(t, bev))
		n = carrier_read(c, bufferevent_get_output(to));
	else
		bad = c ? carrier_write(c, in) != OK : bufferevent_write_buffer(to, in) != 0;
	if (bad) {
		tunnel_free(t);
		return 0;
	}
	if (evbuffer_get_length(bufferevent_get_output(to)) > TUNNEL_QUEUE)
		bufferevent_disable(bev, EV_READ);
	if (n && t->server->events.moved) {
		t->moving = 1;
		t->server->events.moved(t, n, t->server->arg);
		t->moving = 0;
	}
	if (t->phase != OPEN)
		tunnel_free(t);
	else if (is_carrier(t, bev) && carrier_ended(c))
		side_ended(t, bev);
	else
		return 1;
	return 0;
}

static void flow(struct bufferevent *bev, void *arg)
{
	(void)!move_octets(arg, bev);
}

static void drained(struct bufferevent *bev, void *arg)
{
	struct tunnel *t = arg;

	if (t->phase == OPEN)
		bufferevent_enable(other_side(t, bev), EV_READ);
}

static void open_up(struct tunnel *t)
{
	static const struct timeval idle = { TUNNEL_IDLE_S, 0 };

	t->phase = OPEN;
	t->keep = t->carrier != NULL;
	deadline(t, 0);
	bufferevent_setcb(t->near, flow, drained, any_event, t);
	bufferevent_setcb(t->far, flow, drained, any_event, t);
	bufferevent_setwatermark(t->near, EV_READ, 0, TUNNEL_QUEUE);
	bufferevent_setwatermark(t->far, EV_READ, 0, TUNNEL_QUEUE);
	bufferevent_setwatermark(t->near, EV_WRITE, TUNNEL_QUEUE / 2, 0);
	bufferevent_setwatermark(t->far, EV_WRITE, TUNNEL_QUEUE / 2, 0);
	bufferevent_set_timeouts(t->near, &idle, &idle); /* a side whose octets nobody takes is not read, and idle only in writing */
	bufferevent_set_timeouts(t->far, &idle, &idle);
	bufferevent_enable(t->near, EV_READ | EV_WRITE);
	bufferevent_enable(t->far, EV_READ | EV_WRITE);
	bufferevent_write(t->near, "HTTP/1.1 200 Connected\r\n\r\n", 26);
	if (move_octets(t, t->near))
		(void)!move_octets(t, t->far);
}

static void gateway_answered(struct bufferevent *bev, void *arg)
{
	struct tunnel *t = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct bytes head = BYTES(evbuffer_pullup(in, -1), evbuffer_get_length(in));
	size_t used = 0;
	int status = 0;
	enum err e = tunnel_answer_read(head, &status, &used);

	if (e == ERR_AGAIN)
		return;
	if (e) {
		tunnel_refuse(t, 502, e, "the access gateway answered something that is not HTTP; look at its log");
	} else if (status != 200) {
		bufferevent_write_buffer(t->near, in); /* its own words */
		close_after_sending(t);
	} else {
		evbuffer_drain(in, used);
		open_up(t);
	}
}

static void far_up(struct tunnel *t)
{
	if (t->phase == DIALLING) {
		open_up(t);
		return;
	}
	spent_add(spent_step("access"), tls_spent(bufferevent_openssl_get_ssl(t->far)));
	evbuffer_add_printf(bufferevent_get_output(t->far), "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUsher-Identity: %s\r\n\r\n",
		t->ask.target, t->ask.target, t->identity);
	bufferevent_enable(t->far, EV_READ | EV_WRITE);
}

static void pass_on(struct tunnel *t, struct carrier *c);

static void any_event(struct bufferevent *bev, short what, void *arg)
{
	struct tunnel *t = arg;
	int far = bev == t->far;

	if (what & BEV_EVENT_CONNECTED) {
		if (far)
			far_up(t);
		return;
	}
	if (is_carrier(t, bev))
		t->keep = 0;
	if (t->phase == OPEN) {
		if (move_octets(t, bev))
			side_ended(t, bev);
	} else if (t->phase == ASKING_GATEWAY && far && carrier_used(t->carrier)) {
		pass_on(t, carrier_replace(t->carrier)); /* it closed just when we took it */
	} else if (far) {
		tunnel_refuse(t, 502, ERR_UNAVAILABLE, "%s does not answer; try again later",
			t->phase == DIALLING ? t->ask.target : "the access gateway");
	} else {
		tunnel_free(t);
	}
}

static void dial(struct tunnel *t, struct bufferevent *bev, const char *address, bufferevent_data_cb read)
{
	char host[256];
	uint16_t port;
	struct why w = { "" };

	t->far = bev;
	if (!bev || conf_address(address, host, sizeof(host), &port, &w)) {
		tunnel_refuse(t, 502, ERR_UNAVAILABLE, "%s cannot be reached: %s", address, w.text);
		return;
	}
	deadline(t, TUNNEL_HEAD_S * 1000);
	bufferevent_setcb(bev, read, NULL, any_event, t);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	if (is_carrier(t, bev) && carrier_used(t->carrier)) {
		far_up(t);
		return;
	}
	if (bufferevent_socket_connect_hostname(bev, loop_dns(t->server->loop), AF_UNSPEC, host, port))
		tunnel_refuse(t, 502, ERR_UNAVAILABLE, "%s cannot be reached", address);
}

void tunnel_dial(struct tunnel *t, const char *address)
{
	t->phase = DIALLING;
	dial(t, bufferevent_socket_new(loop_base(t->server->loop), -1, BEV_OPT_CLOSE_ON_FREE), address, NULL);
}

static void pass_on(struct tunnel *t, struct carrier *c)
{
	t->phase = ASKING_GATEWAY;
	t->carrier = c;
	dial(t, c ? carrier_bev(c) : NULL, c ? carrier_address(c) : "", gateway_answered);
}

void tunnel_pass(struct tunnel *t, const char *address, struct tls *tls, const char *role, const char *id, const char *identity)
{
	if (text_copy(t->identity, sizeof(t->identity), identity))
		tunnel_refuse(t, 400, ERR_FORMAT, "the identity is too long");
	else
		pass_on(t, carrier_take(t->server->carriers, address, tls, role, id));
}

/* --- the listener --- */

static void head_came(struct bufferevent *bev, void *arg)
{
	struct tunnel *t = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct tunnel_ask ask;
	size_t used = 0;
	enum err e = tunnel_head_read(BYTES(evbuffer_pullup(in, -1), evbuffer_get_length(in)), &ask, &used);
	SSL *ssl = bufferevent_openssl_get_ssl(bev);
	int before;

	if (e == ERR_AGAIN)
		return;
	not_fresh(t);
	bufferevent_disable(bev, EV_READ);
	if (e) {
		tunnel_refuse(t, e == ERR_LIMIT ? 431 : e == ERR_UNSUPPORTED ? 405 : 400, e, "only CONNECT host:port is served here");
		return;
	}
	evbuffer_drain(in, used);
	t->ask = ask;
	if (ssl && tls_party(ssl, &t->ask.peer)) {
		tunnel_refuse(t, 403, ERR_AUTH, "a certificate is needed here; see `usher setup`");
		return;
	}
	t->phase = WAITING_OWNER;
	bufferevent_set_timeouts(bev, NULL, NULL);
	deadline(t, 0);
	before = spent_switch(spent_step("access"));
	if (ssl)
		spent_add(spent_now(), tls_spent(ssl));
	t->server->events.asked(t, &t->ask, t->server->arg);
	spent_switch(before);
}

static struct bufferevent *near_new(struct tunnel_server *s, evutil_socket_t fd)
{
	if (!s->tls)
		return bufferevent_socket_new(loop_base(s->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	return tls_stream(loop_base(s->loop), fd, tls_accept(s->tls, 1), BUFFEREVENT_SSL_ACCEPTING);
}

/* Waits for a head; it may be here already, behind the end of the tunnel before. */
static struct tunnel *tunnel_begin(struct tunnel_server *s, struct bufferevent *bev, struct carrier *c, int64_t patience_ms)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t) {
		if (c)
			carrier_drop(c);
		else
			bufferevent_free(bev);
		return NULL;
	}
	*t = (struct tunnel){ .server = s, .near = bev, .carrier = c };
	LIST_INSERT_HEAD(&s->all, t, all);
	s->count++;
	bufferevent_setcb(t->near, head_came, NULL, any_event, t);
	bufferevent_setwatermark(t->near, EV_READ, 0, TUNNEL_HEAD);
	deadline(t, patience_ms);
	bufferevent_enable(t->near, EV_READ | EV_WRITE);
	if (evbuffer_get_length(bufferevent_get_input(t->near)))
		bufferevent_trigger(t->near, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	return t;
}

/* Connections that have said nothing are not worth more than the next one: the oldest of them leaves. */
static void make_room(struct tunnel_server *s)
{
	struct tunnel *oldest = TAILQ_FIRST(&s->fresh);

	if (s->count >= s->most && oldest)
		tunnel_free(oldest);
}

static void begin_fresh(struct tunnel_server *s, struct bufferevent *bev, struct carrier *c)
{
	struct tunnel *t = tunnel_begin(s, bev, c, TUNNEL_HEAD_S * 1000);

	if (!t)
		return;
	t->is_fresh = 1;
	TAILQ_INSERT_TAIL(&s->fresh, t, fresh);
}

static void accepted(struct evconnlistener *el, evutil_socket_t fd, struct sockaddr *sa, int n, void *arg)
{
	struct tunnel_server *s = arg;
	struct bufferevent *bev;
	struct carrier *c;

	(void)el, (void)sa, (void)n;
	make_room(s);
	bev = s->count < s->most ? near_new(s, fd) : NULL;
	c = bev && s->tls ? carrier_accepted(s->carriers, bev) : NULL;
	if (!bev)
		close(fd);
	else if (s->tls && !c)
		bufferevent_free(bev);
	else
		begin_fresh(s, bev, c);
}

/* A carrier that is free again. */
static void comes_again(struct carrier *c, void *arg)
{
	(void)tunnel_begin(arg, carrier_bev(c), c, CARRIER_WAIT_S * 1000);
}

enum err tunnel_listen(struct loop *l, const struct tunnel_conf *c, struct tunnel_server **out, struct why *w)
{
	struct tunnel_server *s = calloc(1, sizeof(*s));
	enum err e;
	int fd = -1;

	if (!s)
		return ERR_NOMEM;
	s->loop = l;
	s->tls = c->tls;
	s->most = c->most;
	TAILQ_INIT(&s->fresh);
	s->events = c->events;
	s->arg = c->arg;
	e = carriers_new(l, c->tls ? comes_again : NULL, s, &s->carriers);
	if (!e)
		e = loop_socket(c->name, c->address, SOCKET_TCP, &fd, s->bound, w);
	if (!e) {
		s->listener = evconnlistener_new(loop_base(l), accepted, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
		if (!s->listener)
			e = fail(w, ERR_IO, "cannot listen on %s (%s)", s->bound, c->name);
	}
	if (e) {
		if (fd >= 0)
			close(fd);
		carriers_free(s->carriers);
		free(s);
		return e;
	}
	*out = s;
	return OK;
}

void tunnel_close(struct tunnel_server *s)
{
	if (!s)
		return;
	evconnlistener_free(s->listener);
	while (!LIST_EMPTY(&s->all))
		tunnel_free(LIST_FIRST(&s->all));
	carriers_free(s->carriers);
	free(s);
}

const char *tunnel_bound(const struct tunnel_server *s)
{
	return s->bound;
}
