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
#include "core/secret.h"
#include "core/spent.h"
#include "proto/ipa.h"

enum { PING_MS = 20000, DIAL_MS = 1000, QUEUE_MAX = 1 << 20, LINKS_MAX = 1000, LINKS_EACH = 16 };

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
	struct bytes octets;             /* of the message that is being told */
	struct gsup_events events;
	void *arg;
};
struct gsup_server {
	struct loop *loop;
	struct gsup_listener conf;       /* its texts are not kept */
	struct evconnlistener *listener;
	struct gsup_link *first;         /* the newest */
	int count;
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

/* So much waits for a peer that does not read: it gets nothing more, be it GSUP or PONGs. */
static int is_full(const struct gsup_link *l)
{
	return evbuffer_get_length(bufferevent_get_output(l->bev)) > QUEUE_MAX;
}

static void say(struct gsup_link *l, enum ipa_ccm what)
{
	uint8_t out[600];
	struct wr w = wr_of(out, sizeof(out));

	if (l->bev && !is_full(l) && !ipa_ccm_write(what, l->name, &w))
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

/* Without TLS a peer is who it says it is, once, and in letters that a log can hold. */
static enum err named(struct gsup_link *l, struct bytes payload)
{
	struct party p = { .role = "sgsn" };
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

	if (l->server->conf.tls || l->up)
		return OK;
	if (ipa_name_read(payload, p.id, sizeof(p.id)) || !*p.id || p.id[strspn(p.id, letters)] || !l->server->conf.may(&p, l->arg))
		return ERR_DENIED;
	l->party = p;
	return OK;
}

/* CCM, as Osmocom's ends do it: the server asks who is there, the client answers, each acknowledges. 0: the link is gone. */
static int ccm(struct gsup_link *l, struct bytes payload)
{
	uint8_t type = payload.p[0];

	if (type == CCM_PING) {
		say(l, CCM_PONG);
	} else if (type == CCM_ID_GET && !l->server) {
		say(l, CCM_ID_RESP);
	} else if (type == CCM_ID_RESP && l->server) {
		if (named(l, payload)) {
			disconnect(l, "its IPA name (ipa-name of an SGSN) may not connect here");
			return 0;
		}
		say(l, CCM_ID_ACK);
	} else if (type == CCM_ID_ACK && *l->party.id) {
		if (!l->server)
			say(l, CCM_ID_ACK);
		came_up(l);
	}
	return 1;
}

/* 0: the link is gone. */
static int frame(struct gsup_link *l, uint8_t proto, struct bytes payload)
{
	struct gsup m;
	enum err e;

	l->silent = 0;
	if (proto == IPA_CCM)
		return ccm(l, payload);
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
	l->octets = payload;
	l->events.message(l, &m, l->arg);
	l->octets = BYTES(NULL, 0);
	secret_wipe(&m, sizeof(m));
	return 1;
}

static void frames(struct bufferevent *bev, struct gsup_link *l)
{
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
		n = (size_t)frame(l, proto, payload);
		secret_wipe(copy, used);
		if (!n)
			return;
	}
}

static void came(struct bufferevent *bev, void *arg)
{
	int before = spent_switch(spent_step("vectors"));

	frames(bev, arg);
	spent_switch(before);
}

/* However often a party dials, it takes nobody else's place: beyond its share its own oldest link leaves. */
static void keep_share(struct gsup_server *s, const struct party *p)
{
	struct gsup_link *oldest = NULL;
	int n = 0;

	for (struct gsup_link *l = s->first; l; l = l->next)
		if (!strcmp(l->party.id, p->id) && !strcmp(l->party.role, p->role)) {
			oldest = l;
			n++;
		}
	if (n > LINKS_EACH)
		disconnect(oldest, "too many links of the same party");
}

static enum err certified(struct gsup_link *l)
{
	SSL *ssl = bufferevent_openssl_get_ssl(l->bev);
	struct party p;

	if (!l->server)
		return OK; /* tls_connect accepts nobody else */
	if (!ssl || tls_party(ssl, &p) || !l->server->conf.may(&p, l->arg))
		return ERR_DENIED;
	l->party = p;
	keep_share(l->server, &p);
	return OK;
}

static void any_event(struct bufferevent *bev, short what, void *arg)
{
	struct gsup_link *l = arg;
	SSL *ssl = bufferevent_openssl_get_ssl(bev);

	if (!(what & BEV_EVENT_CONNECTED)) {
		disconnect(l, what & BEV_EVENT_TIMEOUT ? "timeout" : "the other side ended");
		return;
	}
	if (certified(l)) {
		disconnect(l, "this certificate may not connect here; `usher peer add` makes it a peer");
		return;
	}
	if (ssl)
		spent_add(spent_step("vectors"), tls_spent(ssl));
	say(l, l->server ? CCM_ID_GET : CCM_PING);
}

/* From the first octet on: a connection or handshake that never ends ends here too. */
static void ping(void *arg)
{
	struct gsup_link *l = arg;

	if (!l->up)
		disconnect(l, "no greeting in time");
	else if (l->silent++ >= 2)
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

	l->timer = NULL;
	if (!conf_address(l->address, host, sizeof(host), &port, &w))
		l->bev = tls_stream(loop_base(l->loop), -1, tls_connect(l->tls, l->party.role, l->party.id), BUFFEREVENT_SSL_CONNECTING);
	if (!l->bev) {
		l->timer = timer_after(l->loop, DIAL_MS, dial, l);
		return;
	}
	bufferevent_setcb(l->bev, came, NULL, any_event, l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	l->silent = 0;
	l->timer = timer_every(l->loop, PING_MS, ping, l);
	if (bufferevent_socket_connect_hostname(l->bev, loop_dns(l->loop), AF_UNSPEC, host, port))
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

const char *gsup_address(const struct gsup_link *l)
{
	return l->address;
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

/* Links that have not greeted yet are not worth more than the next one: the oldest of them leaves. */
static void make_room(struct gsup_server *s)
{
	struct gsup_link *oldest = NULL;

	for (struct gsup_link *l = s->first; l && s->count >= LINKS_MAX; l = l->next)
		if (!l->up)
			oldest = l;
	if (oldest)
		disconnect(oldest, "too many connections, and no greeting yet");
}

static struct bufferevent *accepted_bev(struct gsup_server *s, evutil_socket_t fd)
{
	if (!s->conf.tls)
		return bufferevent_socket_new(loop_base(s->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	return tls_stream(loop_base(s->loop), fd, tls_accept(s->conf.tls, 1), BUFFEREVENT_SSL_ACCEPTING);
}

static void accepted(struct evconnlistener *el, evutil_socket_t fd, struct sockaddr *sa, int n, void *arg)
{
	struct gsup_server *s = arg;
	struct gsup_link *l;

	(void)el, (void)sa, (void)n;
	make_room(s);
	l = s->count < LINKS_MAX ? calloc(1, sizeof(*l)) : NULL;
	if (l)
		l->bev = accepted_bev(s, fd);
	if (!l || !l->bev) {
		free(l);
		close(fd);
		return;
	}
	l->loop = s->loop;
	l->server = s;
	l->events = s->conf.events;
	l->arg = s->conf.arg;
	snprintf(l->name, sizeof(l->name), "usher");
	l->next = s->first;
	l->back = &s->first;
	if (l->next)
		l->next->back = &l->next;
	s->first = l;
	s->count++;
	bufferevent_setcb(l->bev, came, NULL, any_event, l);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
	l->timer = timer_every(s->loop, PING_MS, ping, l);
	if (!s->conf.tls)
		say(l, CCM_ID_GET);
}

/* Vectors in clear: only where nobody else listens. */
static enum err plain_address(const struct gsup_listener *c, const char *bound, struct why *w)
{
	if (c->tls || c->protected_wire || !strncmp(bound, "127.", 4) || !strncmp(bound, "[::1]", 5))
		return OK;
	return fail(w, ERR_DENIED, "listener %s: %s is not the loopback, and GSUP without TLS shows every key of a session; bind it to 127.0.0.1, or say "
		"`%s_protected: yes` if that interface is a protected wire", c->name, bound, c->name);
}

enum err gsup_listen(struct loop *loop, const struct gsup_listener *c, struct gsup_server **out, struct why *w)
{
	struct gsup_server *s = calloc(1, sizeof(*s));
	char bound[BOUND_MAX];
	int fd = -1;
	enum err e;

	if (!s)
		return ERR_NOMEM;
	s->loop = loop;
	s->conf = *c;
	e = loop_socket(c->name, c->address, SOCKET_TCP, &fd, bound, w);
	if (e)
		fd = -1;
	else
		e = plain_address(c, bound, w);
	if (!e) {
		s->listener = evconnlistener_new(loop_base(loop), accepted, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
		if (!s->listener)
			e = fail(w, ERR_IO, "cannot listen on %s (%s)", bound, c->name);
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

struct bytes gsup_octets(const struct gsup_link *l)
{
	return l->octets;
}

void gsup_end(struct gsup_link *l, const char *why)
{
	disconnect(l, why);
}

enum err gsup_pass(struct gsup_link *l, struct bytes octets)
{
	uint8_t out[IPA_HEAD + IPA_MAX];
	struct wr w = wr_of(out, sizeof(out));
	enum err e;

	if (!l->up || !l->bev)
		return ERR_UNAVAILABLE;
	if (is_full(l))
		return ERR_LIMIT;
	e = ipa_gsup_write(octets, &w);
	if (!e && bufferevent_write(l->bev, w.p, w.n))
		e = ERR_NOMEM;
	secret_wipe(out, w.n);
	return e;
}

enum err gsup_send(struct gsup_link *l, const struct gsup *m)
{
	uint8_t gsup[GSUP_MAX];
	size_t n = 0;
	enum err e = gsup_write(m, gsup, sizeof(gsup), &n);

	if (!e)
		e = gsup_pass(l, BYTES(gsup, n));
	log_hop(LOG_DEBUG, "gsup", "peer=%s/%s id=%s act=\"send %s\" cause=%d", l->party.role, l->party.id, m->imsi, gsup_name(m->type), m->cause);
	secret_wipe(gsup, sizeof(gsup));
	return e;
}
