/* SPDX-License-Identifier: Apache-2.0 */
#include "link/gsup.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/log.h"
#include "proto/ipa.h"

enum { PING_MS = 20000, DIAL_MS = 1000, QUEUE_MAX = 1 << 20, LINKS_MAX = 1000 };

struct gsup_link {
	struct loop *loop;
	struct tls *tls;
	struct gsup_server *server;      /* NULL: a client */
	struct gsup_link *next, **back;  /* in the server's list */
	struct bufferevent *bev;
	struct timer *timer;             /* ping while connected, dial while not */
	struct party party;
	char address[300], name[64];
	int up, silent;                  /* pings without any answer */
	struct gsup_events events;
	void *arg;
};
struct gsup_server {
	struct loop *loop;
	struct tls *tls;
	struct evconnlistener *listener;
	struct gsup_link *first;
	int count;
	int (*may)(const struct party *p, void *arg);
	struct gsup_events events;
	void *arg;
};

static void dial(void *arg);
static void ping(void *arg);

/* --- a link's end --- */

static void disconnect(struct gsup_link *l, const char *why)
{
	int was_up = l->up;

	log_hop(LOG_INFO, "gsup", "peer=%s/%s down why=\"%s\"", l->party.role, l->party.id, why);
	l->up = 0;
	timer_stop(l->timer);
	l->timer = NULL;
	if (l->bev)
		bufferevent_free(l->bev);
	l->bev = NULL;
	if (was_up && l->events.down)
		l->events.down(l, l->arg);
	if (!l->server) {
		l->timer = timer_after(l->loop, DIAL_MS, dial, l);
		return;
	}
	*l->back = l->next;
	if (l->next)
		l->next->back = l->back;
	l->server->count--;
	free(l);
}

/* --- frames --- */

static void say(struct gsup_link *l, enum ipa_ccm what)
{
	uint8_t out[600];
	struct wr w = wr_of(out, sizeof(out));

	if (l->bev && !ipa_ccm_write(what, l->name, &w))
		bufferevent_write(l->bev, w.p, w.n);
}

static void came_up(struct gsup_link *l)
{
	if (l->up)
		return;
	l->up = 1;
	log_hop(LOG_INFO, "gsup", "peer=%s/%s up", l->party.role, l->party.id);
	if (l->events.up)
		l->events.up(l, l->arg);
}

/* CCM (visited.md 3): the server asks who is there, the client answers, each acknowledges. */
static void ccm(struct gsup_link *l, uint8_t type)
{
	if (type == CCM_PING)
		say(l, CCM_PONG);
	else if (type == CCM_ID_GET && !l->server)
		say(l, CCM_ID_RESP);
	else if (type == CCM_ID_RESP && l->server)
		say(l, CCM_ID_ACK);
	else if (type == CCM_ID_ACK) {
		if (!l->server)
			say(l, CCM_ID_ACK);
		came_up(l);
	}
}

/* 0: the link is gone. */
static int frame(struct gsup_link *l, uint8_t proto, struct bytes payload)
{
	struct gsup m;
	enum err e;

	l->silent = 0;
	if (proto == IPA_CCM) {
		ccm(l, payload.p[0]);
		return 1;
	}
	e = gsup_read(payload, &m);
	if (e == ERR_UNSUPPORTED) {
		log_hop(LOG_WARN, "gsup", "peer=%s/%s act=skip type=%d why=\"no message of ours\"", l->party.role, l->party.id, m.type);
		return 1;
	}
	if (e || !l->up) {
		disconnect(l, e ? "a message that is not GSUP" : "GSUP before the greeting");
		return 0;
	}
	log_hop(LOG_DEBUG, "gsup", "peer=%s/%s id=%s act=\"%s\" cause=%d", l->party.role, l->party.id, m.imsi, gsup_name(m.type), m.cause);
	l->events.message(l, &m, l->arg);
	return 1;
}

static void came(struct bufferevent *bev, void *arg)
{
	struct gsup_link *l = arg;

	while (l->bev == bev) {
		struct evbuffer *in = bufferevent_get_input(bev);
		uint8_t copy[IPA_HEAD + IPA_MAX], proto = 0;
		size_t n = evbuffer_copyout(in, copy, sizeof(copy)) > 0 ? evbuffer_get_length(in) : 0, used = 0;
		struct bytes payload;
		enum err e = ipa_read(BYTES(copy, n < sizeof(copy) ? n : sizeof(copy)), &used, &proto, &payload);

		if (e == ERR_AGAIN)
			return;
		if (e) {
			disconnect(l, "octets that are not IPA");
			return;
		}
		evbuffer_drain(in, used);
		if (!frame(l, proto, payload))
			return;
	}
}

static enum err certified(struct gsup_link *l)
{
	SSL *ssl = bufferevent_openssl_get_ssl(l->bev);
	struct party p;

	if (!l->server)
		return OK; /* tls_connect accepts nobody else */
	if (!ssl || tls_party(ssl, &p) || !l->server->may(&p, l->server->arg))
		return ERR_DENIED;
	l->party = p;
	return OK;
}

static void any_event(struct bufferevent *bev, short what, void *arg)
{
	struct gsup_link *l = arg;

	(void)bev;
	if (!(what & BEV_EVENT_CONNECTED)) {
		disconnect(l, what & BEV_EVENT_TIMEOUT ? "timeout" : "the other side ended");
		return;
	}
	if (certified(l)) {
		disconnect(l, "this certificate may not connect here; `usher peer add` makes it a peer");
		return;
	}
	l->silent = 0;
	timer_stop(l->timer);
	l->timer = timer_every(l->loop, PING_MS, ping, l);
	if (l->server)
		say(l, CCM_ID_GET);
	else
		say(l, CCM_PING);
}

static void ping(void *arg)
{
	struct gsup_link *l = arg;

	if (l->silent++ >= 2)
		disconnect(l, "silent for two pings");
	else
		say(l, CCM_PING);
}

/* --- client --- */

static void dial(void *arg)
{
	struct gsup_link *l = arg;
	char host[256];
	uint16_t port;
	struct why w = { "" };
	SSL *ssl = conf_address(l->address, host, sizeof(host), &port, &w) ? NULL : tls_connect(l->tls, l->party.role, l->party.id);

	l->timer = NULL;
	if (ssl)
		l->bev = bufferevent_openssl_socket_new(loop_base(l->loop), -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
	if (!l->bev) {
		l->timer = timer_after(l->loop, DIAL_MS, dial, l);
		return;
	}
	bufferevent_openssl_set_allow_dirty_shutdown(l->bev, 1);
	bufferevent_setcb(l->bev, came, NULL, any_event, l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	if (bufferevent_socket_connect_hostname(l->bev, NULL, AF_UNSPEC, host, port))
		disconnect(l, "cannot connect");
}

enum err gsup_dial(struct loop *loop, struct tls *tls, const struct gsup_client *c, struct gsup_link **out)
{
	struct gsup_link *l = calloc(1, sizeof(*l));
	enum err e = l ? text_copy(l->address, sizeof(l->address), c->address) : ERR_NOMEM;

	if (!e)
		e = text_copy(l->party.role, sizeof(l->party.role), c->role);
	if (!e)
		e = text_copy(l->party.id, sizeof(l->party.id), c->id);
	if (!e)
		e = text_copy(l->name, sizeof(l->name), c->name);
	if (e) {
		free(l);
		return e;
	}
	l->loop = loop;
	l->tls = tls;
	l->events = c->events;
	l->arg = c->arg;
	l->timer = timer_after(loop, 0, dial, l);
	*out = l;
	return OK;
}

void gsup_hang_up(struct gsup_link *l)
{
	if (!l)
		return;
	timer_stop(l->timer);
	if (l->bev)
		bufferevent_free(l->bev);
	free(l);
}

/* --- server --- */

static void accepted(struct evconnlistener *el, evutil_socket_t fd, struct sockaddr *sa, int n, void *arg)
{
	struct gsup_server *s = arg;
	struct gsup_link *l = s->count < LINKS_MAX ? calloc(1, sizeof(*l)) : NULL;
	SSL *ssl = l ? tls_accept(s->tls, 1) : NULL;

	(void)el, (void)sa, (void)n;
	if (ssl)
		l->bev = bufferevent_openssl_socket_new(loop_base(s->loop), fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (!l || !l->bev) {
		free(l);
		close(fd);
		return;
	}
	l->loop = s->loop;
	l->server = s;
	l->events = s->events;
	l->arg = s->arg;
	snprintf(l->name, sizeof(l->name), "usher");
	l->next = s->first;
	l->back = &s->first;
	if (l->next)
		l->next->back = &l->next;
	s->first = l;
	s->count++;
	bufferevent_openssl_set_allow_dirty_shutdown(l->bev, 1);
	bufferevent_setcb(l->bev, came, NULL, any_event, l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	l->timer = timer_after(s->loop, PING_MS, ping, l); /* a handshake that never ends */
}

enum err gsup_listen(struct loop *loop, struct tls *tls, const char *name, const char *address, int (*may)(const struct party *p, void *arg),
	const struct gsup_events *events, void *arg, struct gsup_server **out, struct why *w)
{
	struct gsup_server *s = calloc(1, sizeof(*s));
	char bound[300];
	int fd = -1;
	enum err e;

	if (!s)
		return ERR_NOMEM;
	*s = (struct gsup_server){ .loop = loop, .tls = tls, .may = may, .events = *events, .arg = arg };
	e = loop_socket(name, address, SOCKET_TCP, &fd, bound, sizeof(bound), w);
	if (!e) {
		s->listener = evconnlistener_new(loop_base(loop), accepted, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
		if (!s->listener)
			e = fail(w, ERR_IO, "cannot listen on %s (%s)", bound, name);
	}
	if (e) {
		if (fd >= 0)
			close(fd);
		free(s);
		return e;
	}
	*out = s;
	return OK;
}

void gsup_close(struct gsup_server *s)
{
	if (!s)
		return;
	evconnlistener_free(s->listener);
	for (struct gsup_link *l = s->first, *next; l; l = next) {
		next = l->next;
		gsup_hang_up(l);
	}
	free(s);
}

struct gsup_link *gsup_find(const struct gsup_server *s, const char *role, const char *id)
{
	for (struct gsup_link *l = s->first; l; l = l->next)
		if (l->up && !strcmp(l->party.id, id) && !strcmp(l->party.role, role))
			return l;
	return NULL;
}

const struct party *gsup_party(const struct gsup_link *l)
{
	return &l->party;
}

int gsup_is_up(const struct gsup_link *l)
{
	return l->up;
}

enum err gsup_send(struct gsup_link *l, const struct gsup *m)
{
	uint8_t gsup[GSUP_MAX], out[GSUP_MAX + 8];
	struct wr w = wr_of(out, sizeof(out));
	size_t n = 0;
	enum err e;

	if (!l->up || !l->bev)
		return ERR_UNAVAILABLE;
	if (evbuffer_get_length(bufferevent_get_output(l->bev)) > QUEUE_MAX)
		return ERR_LIMIT;
	e = gsup_write(m, gsup, sizeof(gsup), &n);
	if (!e)
		e = ipa_gsup_write(BYTES(gsup, n), &w);
	if (!e && bufferevent_write(l->bev, w.p, w.n))
		e = ERR_NOMEM;
	log_hop(LOG_DEBUG, "gsup", "peer=%s/%s id=%s act=\"send %s\" cause=%d", l->party.role, l->party.id, m->imsi, gsup_name(m->type), m->cause);
	secret_wipe(gsup, sizeof(gsup));
	secret_wipe(out, sizeof(out));
	return e;
}
