/* SPDX-License-Identifier: Apache-2.0 */
/* The modem's driver for the embedded access: LLC in GSMTAP over UDP, what is said again until it is answered, and the modem's doors. */
#include <event2/event.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"
#include "proto/llc.h"
#include "roles/equipment/modem/modem.h"

enum { ANSWER_MS = 2500, ANSWER_TRIES = 4 };

void modem_step(struct modem *m, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (m->events.step)
		m->events.step(text, m->arg);
}

void modem_rest(struct modem *m)
{
	timer_stop(m->timer);
	m->timer = NULL;
}

/* --- up --- */

static void datagram(struct modem *m, const struct gsmtap *g)
{
	uint8_t out[GSMTAP_MAX];
	size_t n = 0;

	if (gsmtap_write(g, out, sizeof(out), &n))
		return;
	m->path.sent += (int64_t)n;
	(void)!sendto(m->fd, out, n, 0, (struct sockaddr *)&m->frequency[m->now].at, sizeof(struct sockaddr_in));
}

void modem_tune_in(struct modem *m)
{
	struct gsmtap g = { .type = GSMTAP_LLC, .uplink = 1 };

	datagram(m, &g);
}

void modem_say_once(struct modem *m, struct bytes nas)
{
	struct llc f = { .sapi = LLC_GMM, .nu = m->nu_up, .info = nas };
	struct gsmtap g = { .type = GSMTAP_LLC, .uplink = 1 };
	uint8_t out[NAS_MAX + 16];
	size_t n = 0;

	m->nu_up = (m->nu_up + 1) % LLC_NU;
	if (llc_write(&f, out, sizeof(out), &n))
		return;
	g.payload = BYTES(out, n);
	datagram(m, &g);
}

static void unsayable(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	cell_give_up(m, "what our order or USIM says cannot be sent");
}

static void repeat(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	if (++m->tries >= ANSWER_TRIES) {
		cell_give_up(m, "does not answer");
		return;
	}
	modem_say_once(m, BYTES(m->sent, m->sent_n));
	m->timer = timer_after(m->loop, ANSWER_MS, repeat, m);
}

void modem_say(struct modem *m, const struct nas *n, int wait)
{
	size_t len = 0;

	modem_rest(m);
	if (nas_write(n, 0, m->sent, sizeof(m->sent), &len)) {
		m->timer = timer_after(m->loop, 0, unsayable, m);
		return;
	}
	m->sent_n = len;
	modem_say_once(m, BYTES(m->sent, len));
	m->tries = 0;
	if (wait)
		m->timer = timer_after(m->loop, ANSWER_MS, repeat, m);
}

/* --- down --- */

static void hear(struct modem *m, struct bytes in)
{
	struct gsmtap g;
	struct llc f;
	struct nas n;

	m->path.received += (int64_t)in.n;
	if (gsmtap_read(in, &g) || g.uplink)
		return;
	if (g.type == GSMTAP_UM) {
		cell_hear(m, g.payload);
		return;
	}
	if (llc_read(g.payload, &f) || f.ciphered || f.sapi != LLC_GMM || (m->nu_known && !llc_newer(f.nu, m->nu_down)))
		return;
	m->nu_known = 1;
	m->nu_down = f.nu;
	m->path.round_trips++;
	if (nas_read(f.info, 1, &n))
		return;
	attach_hear(m, &n);
	context_hear(m, &n);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct modem *m = arg;
	uint8_t in[GSMTAP_MAX + 1];

	(void)what;
	for (int i = 0; i < 16; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
		const struct sockaddr_in *here = &m->frequency[m->now < m->n ? m->now : 0].at;

		if (n < 0)
			return;
		if (m->state != DOWN && m->now < m->n && from.sin_addr.s_addr == here->sin_addr.s_addr && from.sin_port == here->sin_port)
			hear(m, BYTES(in, n));
	}
}

/* --- doors --- */

static enum err frequency_read(const char *text, struct sockaddr_in *at)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_DGRAM }, *a = NULL;
	char host[256], service[8], plain[300];
	uint16_t port;
	struct why w;

	if (conf_resolve(strncmp(text, "udp://", 6) ? text : text + 6, plain, sizeof(plain), &w) || conf_address(plain, host, sizeof(host), &port, &w))
		return ERR_FORMAT;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &a))
		return ERR_FORMAT;
	memcpy(at, a->ai_addr, sizeof(*at));
	freeaddrinfo(a);
	return OK;
}

enum err modem_open(const struct modem_conf *c, struct modem **out)
{
	struct modem *m = calloc(1, sizeof(*m));
	enum err e = m ? OK : ERR_NOMEM;

	if (!e && c->frequencies > FREQUENCIES)
		e = ERR_LIMIT;
	if (e) {
		free(m);
		return e;
	}
	m->loop = c->loop;
	m->tre = c->tre;
	m->events = c->events;
	m->arg = c->arg;
	m->n = c->frequencies;
	for (size_t i = 0; i < m->n && !e; i++)
		e = frequency_read(c->frequency[i], &m->frequency[i].at);
	m->fd = e ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	m->readable = m->fd >= 0 ? event_new(loop_base(m->loop), m->fd, EV_READ | EV_PERSIST, readable, m) : NULL;
	if (!e && (!m->readable || event_add(m->readable, NULL)))
		e = ERR_IO;
	if (e) {
		modem_close(m);
		return e;
	}
	*out = m;
	return OK;
}

void modem_up(struct modem *m, int slot, const char *apn)
{
	int64_t now = clock_mono_ms();
	int others = 0;

	for (size_t i = 0; i < m->n; i++) {
		struct frequency *f = m->frequency + i;

		if (m->last_slot != slot) /* another identity: what refused the last one may take this one */
			f->forbidden_until = f->refusals = 0;
		others |= f->forbidden_until <= now;
	}
	/* a refusal only prefers the other networks: where there is none, how often it is tried is the caller's back-off */
	for (size_t i = 0; i < m->n; i++) {
		struct frequency *f = m->frequency + i;

		f->look = others && f->forbidden_until > now ? LOOK_DONE : LOOK_NEW;
		if (f->look == LOOK_NEW)
			f->why[0] = 0;
	}
	m->slot = m->last_slot = slot;
	memset(&m->path, 0, sizeof(m->path));
	snprintf(m->apn, sizeof(m->apn), "%s", apn);
	cell_next(m);
}

void modem_down(struct modem *m)
{
	cell_steady(m);
	attach_leave(m);
	modem_rest(m);
	m->state = DOWN;
}

void modem_close(struct modem *m)
{
	if (!m)
		return;
	modem_down(m);
	if (m->readable)
		event_free(m->readable);
	if (m->fd >= 0)
		close(m->fd);
	free(m);
}
