/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a home side for vectors, over several connections with a window of open requests each, and says how many answers came.
 * usage: gsup-load HOST:PORT ROLE ID FROM COUNT WINDOW SECONDS WHO...
 * WHO: the folder of a visited operator (mutual TLS, the server must be ROLE ID), or plain:NAME.
 * Prints "answers N errors N seconds S". IMSIs are FROM, FROM + 1, ... COUNT of them, in turn.
 */
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/tls.h"
#include "proto/gsup.h"
#include "proto/ipa.h"

enum { CONNECTIONS = 16, GREETING_MS = 5000 };

struct load {
	struct loop *loop;
	const char *address, *role, *id;
	int64_t from, count, window, seconds, next;
	int64_t answers, errors, began, ended;
	int wanted, up;
	struct connection {
		struct load *load;
		struct tls *tls;
		struct bufferevent *bev;
		const char *name;
		int up;
	} connection[CONNECTIONS];
};

static void give_up(struct load *l, const char *why)
{
	fprintf(stderr, "gsup-load: %s\n", why);
	loop_stop(l->loop, 1);
}

static void ask(struct connection *c)
{
	struct load *l = c->load;
	struct gsup m = { .type = GSUP_SAI_REQ, .cn_domain = 1, .cancel_type = -1 };
	uint8_t gsup[GSUP_MAX], out[GSUP_MAX + 8];
	struct wr w = wr_of(out, sizeof(out));
	size_t n = 0;

	snprintf(m.imsi, sizeof(m.imsi), "%lld", (long long)(l->from + l->next++ % l->count));
	if (gsup_write(&m, gsup, sizeof(gsup), &n) || ipa_gsup_write(BYTES(gsup, n), &w) || bufferevent_write(c->bev, w.p, w.n))
		give_up(l, "a request cannot be written");
}

static void over(void *arg)
{
	struct load *l = arg;

	l->ended = clock_mono_ms();
	loop_stop(l->loop, 0);
}

static void came_up(struct connection *c)
{
	struct load *l = c->load;

	if (c->up++ || ++l->up < l->wanted)
		return;
	l->began = clock_mono_ms();
	if (!timer_after(l->loop, l->seconds * 1000, over, l))
		give_up(l, "out of memory");
	for (int i = 0; i < l->wanted; i++)
		for (int64_t k = 0; k < l->window; k++)
			ask(l->connection + i);
}

/* Who we are: unit name (tag 1) as osmo-hlr's routes have it, and the unit id (tag 8) without which it hangs up. */
static void greet(struct connection *c)
{
	uint8_t out[200];
	struct wr w = wr_of(out, sizeof(out));
	size_t name = strlen(c->name) + 1;

	wr_u16(&w, (uint16_t)(1 + 2 + 1 + 6 + 2 + 1 + name + 2 + 1 + name));
	wr_u8(&w, IPA_CCM);
	wr_u8(&w, CCM_ID_RESP);
	wr_u16(&w, 7);
	wr_u8(&w, 8);
	wr_bytes(&w, BYTES("0/0/0", 6));
	for (int tag = 0; tag < 2; tag++) {
		wr_u16(&w, (uint16_t)(1 + name));
		wr_u8(&w, (uint8_t)tag);
		wr_bytes(&w, BYTES(c->name, name));
	}
	if (wr_done(&w) || bufferevent_write(c->bev, w.p, w.n))
		give_up(c->load, "the greeting cannot be written");
}

static void say(struct connection *c, enum ipa_ccm what)
{
	uint8_t out[64];
	struct wr w = wr_of(out, sizeof(out));

	if (!ipa_ccm_write(what, c->name, &w))
		bufferevent_write(c->bev, w.p, w.n);
}

static void frame(struct connection *c, uint8_t proto, struct bytes payload)
{
	struct gsup m;

	if (proto == IPA_CCM) {
		if (payload.p[0] == CCM_PING)
			say(c, CCM_PONG);
		else if (payload.p[0] == CCM_ID_GET) {
			greet(c);
			if (!c->tls)
				came_up(c); /* osmo-hlr does not acknowledge */
		} else if (payload.p[0] == CCM_ID_ACK) {
			say(c, CCM_ID_ACK);
			came_up(c);
		}
		return;
	}
	if (gsup_read(payload, &m) || (m.type != GSUP_SAI_RES && m.type != GSUP_SAI_ERR))
		return;
	c->load->answers += m.type == GSUP_SAI_RES;
	c->load->errors += m.type != GSUP_SAI_RES;
	ask(c);
}

static void came(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);

	for (;;) {
		struct bytes have = BYTES(evbuffer_pullup(in, -1), evbuffer_get_length(in)), payload;
		size_t used = 0;
		uint8_t proto = 0;
		enum err e = ipa_read(have, &used, &proto, &payload);

		if (e == ERR_AGAIN)
			return;
		if (e) {
			give_up(((struct connection *)arg)->load, "octets that are not IPA");
			return;
		}
		frame(arg, proto, payload);
		evbuffer_drain(in, used);
	}
}

static void any_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (!(what & BEV_EVENT_CONNECTED))
		give_up(((struct connection *)arg)->load, "the server ended a connection");
}

static enum err connect_as(struct load *l, const char *who, struct why *w)
{
	struct connection *c = l->connection + l->wanted;
	char host[256], key[600], cert[600], roots[600];
	uint16_t port;
	SSL *ssl = NULL;
	enum err e = conf_address(l->address, host, sizeof(host), &port, w);

	c->load = l;
	c->name = who;
	snprintf(key, sizeof(key), "%s/tls.key", who);
	snprintf(cert, sizeof(cert), "%s/tls.pem", who);
	snprintf(roots, sizeof(roots), "%s/roots.pem", who);
	if (!strncmp(who, "plain:", 6)) {
		c->name = who + 6;
		c->bev = bufferevent_socket_new(loop_base(l->loop), -1, BEV_OPT_CLOSE_ON_FREE);
	} else if (!e && !(e = tls_open(&(struct tls_files){ key, cert, roots }, &c->tls, w)) && (ssl = tls_connect(c->tls, l->role, l->id))) {
		c->bev = bufferevent_openssl_socket_new(loop_base(l->loop), -1, ssl, BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE);
	}
	if (!e && !c->bev)
		e = ERR_NOMEM;
	if (e)
		return e;
	l->wanted++;
	bufferevent_setcb(c->bev, came, NULL, any_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return bufferevent_socket_connect_hostname(c->bev, NULL, AF_UNSPEC, host, port) ? fail(w, ERR_IO, "cannot connect to %s", l->address) : OK;
}

static void no_greeting(void *arg)
{
	struct load *l = arg;

	if (!l->began)
		give_up(l, "the server does not greet");
}

int main(int argc, char **argv)
{
	struct load l = { .address = argc > 8 ? argv[1] : NULL };
	struct why w = { "" };
	int code = 1;
	enum err e = argc > 8 && argc <= 8 + CONNECTIONS ? OK : ERR_FORMAT;

	log_open("gsup-load", LOG_ERROR);
	if (!e)
		e = text_number(argv[4], 1, 999999999999999, &l.from);
	if (!e)
		e = text_number(argv[5], 1, 10000000, &l.count);
	if (!e)
		e = text_number(argv[6], 1, 1024, &l.window);
	if (!e)
		e = text_number(argv[7], 1, 600, &l.seconds);
	if (e) {
		fprintf(stderr, "usage: gsup-load HOST:PORT ROLE ID FROM COUNT WINDOW SECONDS WHO... (a folder, or plain:NAME; at most %d)\n", CONNECTIONS);
		return 2;
	}
	l.role = argv[2];
	l.id = argv[3];
	e = loop_new(&l.loop);
	for (int i = 8; i < argc && !e; i++)
		e = connect_as(&l, argv[i], &w);
	if (!e && timer_after(l.loop, GREETING_MS, no_greeting, &l))
		code = loop_run(l.loop);
	else
		fprintf(stderr, "gsup-load: %s\n", w.text[0] ? w.text : err_text(e));
	for (int i = 0; i < l.wanted; i++) {
		bufferevent_free(l.connection[i].bev);
		tls_close(l.connection[i].tls);
	}
	if (!code)
		printf("answers %lld errors %lld seconds %.3f\n", (long long)l.answers, (long long)l.errors, (double)(l.ended - l.began) / 1000);
	return code;
}
