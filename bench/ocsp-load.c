/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks an OCSP responder the same question again and again, over several connections with one open request each.
 * usage: ocsp-load HOST:PORT CONNECTIONS SECONDS REQUEST.der
 * Prints "answers N errors N seconds S". A server of HTTP/1.0 gets a new connection for each request, as it wants it.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/bytes.h"
#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include "core/loop.h"

enum { CONNECTIONS = 64, ASK_MAX = 16 * 1024 };

struct load {
	struct loop *loop;
	char host[256];
	uint16_t port;
	char ask[ASK_MAX + 512];   /* head and body */
	size_t n;
	int64_t connections, seconds, answers, errors, began, ended;
	struct connection {
		struct load *load;
		struct bufferevent *bev;
	} connection[CONNECTIONS];
};

static void dial(struct connection *c);

static void again(struct connection *c)
{
	bufferevent_free(c->bev);
	dial(c);
}

/* The whole answer is there: an OCSPResponse with status successful (RFC 6960 4.2.1) counts. */
static void answered(struct connection *c, struct bytes body, int good, int closes)
{
	static const uint8_t successful[] = { 0x0a, 0x01, 0x00 };

	good = good && body.n > 8 && memmem(body.p, 8, successful, sizeof(successful));
	c->load->answers += good;
	c->load->errors += !good;
	if (closes) {
		again(c);
		return;
	}
	evbuffer_drain(bufferevent_get_input(c->bev), evbuffer_get_length(bufferevent_get_input(c->bev)));
	bufferevent_write(c->bev, c->load->ask, c->load->n);
}

static void came(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t n = evbuffer_get_length(in);
	const char *p = (const char *)evbuffer_pullup(in, -1), *end = memmem(p, n, "\r\n\r\n", 4), *length;
	size_t head, body;

	if (!end)
		return;
	head = (size_t)(end - p) + 4;
	length = memmem(p, head, "Content-Length: ", 16);
	length = length ? length : memmem(p, head, "Content-length: ", 16);
	body = length ? strtoul(length + 16, NULL, 10) : 0;
	if (n >= head + body)
		answered(arg, BYTES((const uint8_t *)p + head, body), !!memmem(p, head, " 200 ", 5), !memcmp(p, "HTTP/1.0", 8));
}

static void any_event(struct bufferevent *bev, short what, void *arg)
{
	struct connection *c = arg;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED)
		return;
	c->load->errors++;
	again(c);
}

static void dial(struct connection *c)
{
	c->bev = bufferevent_socket_new(loop_base(c->load->loop), -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev) {
		loop_stop(c->load->loop, 1);
		return;
	}
	bufferevent_setcb(c->bev, came, NULL, any_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	bufferevent_write(c->bev, c->load->ask, c->load->n);
	if (bufferevent_socket_connect_hostname(c->bev, NULL, AF_UNSPEC, c->load->host, c->load->port))
		loop_stop(c->load->loop, 1);
}

static void over(void *arg)
{
	struct load *l = arg;

	l->ended = clock_mono_ms();
	loop_stop(l->loop, 0);
}

static enum err request_load(struct load *l, const char *path, const char *address)
{
	FILE *f = fopen(path, "re");
	uint8_t body[ASK_MAX];
	size_t n = f ? fread(body, 1, sizeof(body), f) : 0, head;

	if (f)
		fclose(f);
	if (!n)
		return ERR_MISSING;
	head = (size_t)snprintf(l->ask, sizeof(l->ask) - n, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/ocsp-request\r\nContent-Length: %zu\r\n\r\n",
		address, n);
	memcpy(l->ask + head, body, n);
	l->n = head + n;
	return OK;
}

int main(int argc, char **argv)
{
	static struct load l;
	struct why w = { "" };
	int code = 1;
	enum err e = argc == 5 ? conf_address(argv[1], l.host, sizeof(l.host), &l.port, &w) : ERR_FORMAT;

	log_open("ocsp-load", LOG_ERROR);
	if (!e)
		e = text_number(argv[2], 1, CONNECTIONS, &l.connections);
	if (!e)
		e = text_number(argv[3], 1, 600, &l.seconds);
	if (!e)
		e = request_load(&l, argv[4], argv[1]);
	if (e) {
		fprintf(stderr, "usage: ocsp-load HOST:PORT CONNECTIONS SECONDS REQUEST.der (%s)\n", err_text(e));
		return 2;
	}
	e = loop_new(&l.loop);
	if (!e && timer_after(l.loop, l.seconds * 1000, over, &l)) {
		l.began = clock_mono_ms();
		for (int64_t i = 0; i < l.connections; i++) {
			l.connection[i].load = &l;
			dial(l.connection + i);
		}
		code = loop_run(l.loop);
	}
	if (!code)
		printf("answers %lld errors %lld seconds %.3f\n", (long long)l.answers, (long long)l.errors, (double)(l.ended - l.began) / 1000);
	return code;
}
