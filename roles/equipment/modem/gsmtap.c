/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modem's driver for the embedded access: listens on its frequencies, chooses a network that the order allows and that
 * takes it, attaches with UMTS AKA, activates a PDP context. Rejects are unprotected: none disables a slot for ever.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/conf.h"
#include "core/log.h"
#include "proto/gmm.h"
#include "proto/gsmtap.h"
#include "proto/llc.h"
#include "roles/equipment/doors.h"

enum { FREQUENCIES = 32, TUNE_MS = 400, TUNE_TRIES = 6, ANSWER_MS = 2500, ANSWER_TRIES = 4, PDP_TRIES = 6, PDP_WAIT_MS = 150, UNPROVED = 3,
	CHALLENGES = 12, REFUSED_MS = 60000, TROUBLE_MS = 10000, REFUSED_MOST_MS = 300000, STEADY_MS = 60000 };
enum state { DOWN, LISTENING, ATTACHING, ACTIVATING, PDP_PAUSE, UP };

/* In this search: not listened to yet, heard and left for a better one, done with. */
enum look { LOOK_NEW, LOOK_HEARD, LOOK_DONE };

struct frequency {
	struct sockaddr_in at;
	char plmn[PLMN_TEXT];
	enum look look;
	int rank, silent;          /* how much it is wanted (tre_rank); nothing was heard last time */
	int refusals;              /* one after the other */
	int64_t forbidden_until;   /* after a refusal; a time, never for ever */
	char why[96];
};
struct modem {
	struct loop *loop;
	struct tre *tre;
	int fd, slot, last_slot;
	struct event *readable;
	struct timer *timer;
	struct frequency frequency[FREQUENCIES];
	size_t n, now;             /* the frequency we are on */
	enum state state;
	struct cell_info cell;
	int heard;                 /* 1: SI 3, 2: SI 13 */
	int tries;
	int proved, unproved, challenges; /* of this attach: the network has shown that it knows our key; has failed to; has tried */
	int64_t up_ms;
	uint16_t nu_up, nu_down;
	int nu_known;
	uint8_t sent[NAS_MAX];
	size_t sent_n;
	char apn[101];
	int answered;              /* last_answer is set, for last_rand: a repeated challenge gets the same (TS 24.008 4.7.7.2) */
	uint8_t last_rand[16];
	struct nas last_answer;
	struct modem_path path;
	struct modem_events events;
	void *arg;
};

static void next_frequency(struct modem *m);

static void step(struct modem *m, const char *fmt, const char *a, const char *b)
{
	char text[256];

	snprintf(text, sizeof(text), fmt, a, b);
	if (m->events.step)
		m->events.step(text, m->arg);
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

static void tune_in(struct modem *m)
{
	struct gsmtap g = { .type = GSMTAP_LLC, .uplink = 1 };

	datagram(m, &g);
}

static void send_nas(struct modem *m, struct bytes nas)
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

static void repeat(void *arg);

static void unsayable(void *arg);

/* Sends, and again while no answer comes, if one is waited for. */
static void say(struct modem *m, const struct nas *n, int wait)
{
	size_t len = 0;

	timer_stop(m->timer);
	m->timer = NULL;
	if (nas_write(n, 0, m->sent, sizeof(m->sent), &len)) {
		m->timer = timer_after(m->loop, 0, unsayable, m);
		return;
	}
	m->sent_n = len;
	send_nas(m, BYTES(m->sent, len));
	m->tries = 0;
	if (wait)
		m->timer = timer_after(m->loop, ANSWER_MS, repeat, m);
}

/* A network that let us in and then gives us nothing is told that we go. */
static void detach(struct modem *m)
{
	struct nas q = { .type = GMM_DETACH_REQUEST, .detach_type = DETACH_GPRS, .power_off = 1 };

	if (m->state == ACTIVATING || m->state == PDP_PAUSE || m->state == UP)
		say(m, &q, 0);
}

static void give_up(struct modem *m, const char *why)
{
	struct frequency *f = m->frequency + m->now;

	detach(m);
	snprintf(f->why, sizeof(f->why), "%s", why);
	step(m, "network %s: %s", *f->plmn ? f->plmn : "?", why);
	timer_stop(m->timer);
	m->timer = NULL;
	f->look = LOOK_DONE;
	next_frequency(m);
}

static void unsayable(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	give_up(m, "what our order or USIM says cannot be sent");
}

static void repeat(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	if (++m->tries >= ANSWER_TRIES) {
		give_up(m, "does not answer");
		return;
	}
	send_nas(m, BYTES(m->sent, m->sent_n));
	m->timer = timer_after(m->loop, ANSWER_MS, repeat, m);
}

/* --- listening --- */

static void listen_again(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	if (++m->tries >= TUNE_TRIES) {
		m->frequency[m->now].silent = 1;
		give_up(m, "nothing is heard");
		return;
	}
	tune_in(m);
	m->timer = timer_after(m->loop, TUNE_MS, listen_again, m);
}

static void all_failed(struct modem *m)
{
	char text[320] = "";
	struct wr w = wr_of(text, sizeof(text) - 1);

	m->state = DOWN;
	for (size_t i = 0; i < m->n; i++)
		wr_printf(&w, "%s%s: %s", i ? "; " : "", *m->frequency[i].plmn ? m->frequency[i].plmn : "silent frequency", m->frequency[i].why);
	text[w.n] = 0;
	m->events.failed(ERR_UNAVAILABLE, text, m->arg);
}

/* The most wanted of those heard, once nothing better can be found: home at once, else when all were listened to that are not known silent. */
static size_t choose(const struct modem *m)
{
	size_t best = m->n;

	for (size_t i = 0; i < m->n; i++)
		if (m->frequency[i].look == LOOK_HEARD && (best == m->n || m->frequency[i].rank < m->frequency[best].rank))
			best = i;
	if (best < m->n && !m->frequency[best].rank)
		return best;
	for (size_t i = 0; i < m->n; i++)
		if (m->frequency[i].look == LOOK_NEW && (best == m->n || !m->frequency[i].silent))
			return i;
	return best;
}

static void next_frequency(struct modem *m)
{
	m->now = choose(m);
	if (m->now >= m->n) {
		all_failed(m);
		return;
	}
	m->state = LISTENING;
	m->heard = 0;
	m->tries = 0;
	m->nu_known = 0;
	m->nu_up = 0; /* a new link to a new network counts from 0 (TS 44.064 8.4.1) */
	memset(&m->cell, 0, sizeof(m->cell));
	tune_in(m);
	m->timer = timer_after(m->loop, TUNE_MS, listen_again, m);
}

/* --- attaching --- */

static void attach(struct modem *m)
{
	struct nas q = { .type = GMM_ATTACH_REQUEST, .cksn = 7, .attach_type = 1, .r99 = 1, .rai = { "", 0xfffe, 0xff } };
	uint8_t answer[256];
	static const uint8_t usim[] = { 0x00, 0xa4, 0x04, 0x0c, 0x07, 0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02 },
		imsi[] = { 0x00, 0xa4, 0x00, 0x0c, 0x02, 0x6f, 0x07 }, read[] = { 0x00, 0xb0, 0x00, 0x00, 0x09 };
	size_t n = 0, digits = 0;

	if (tre_apdu(m->tre, m->slot, BYTES_OF(usim), answer, &n) || tre_apdu(m->tre, m->slot, BYTES_OF(imsi), answer, &n)
		|| tre_apdu(m->tre, m->slot, BYTES_OF(read), answer, &n) || n != 11) {
		give_up(m, "the USIM has no IMSI");
		return;
	}
	for (size_t i = 1; i < 18 && digits < 15; i++) {
		uint8_t d = answer[1 + i / 2] >> (i & 1 ? 4 : 0) & 15;

		if (d > 9)
			break;
		q.id[digits++] = (char)('0' + d);
	}
	m->state = ATTACHING;
	m->proved = m->unproved = m->challenges = 0;
	m->answered = 0;
	say(m, &q, 1);
}

static void heard(struct modem *m, struct bytes si)
{
	struct frequency *f = m->frequency + m->now;
	int which = 0;

	if (m->state != LISTENING || si_read(si, &which, &m->cell))
		return;
	m->heard |= which == 3 ? 1 : 2;
	if (m->heard != 3)
		return;
	timer_stop(m->timer);
	m->timer = NULL;
	snprintf(f->plmn, sizeof(f->plmn), "%s", m->cell.plmn);
	f->silent = 0;
	f->rank = tre_rank(m->tre, m->slot, m->cell.plmn);
	if (f->look == LOOK_NEW)
		step(m, "heard network %s%s", m->cell.plmn, "");
	f->look = LOOK_HEARD;
	if (m->cell.barred)
		give_up(m, "its cell is barred");
	else if (f->rank < 0)
		give_up(m, m->slot < SLOT_USIM ? "is not on the order's list of allowed networks" : "is forbidden by the USIM");
	else if (choose(m) != m->now)
		next_frequency(m);
	else
		attach(m);
}

static void activate(void *arg)
{
	struct modem *m = arg;
	struct nas q = { .type = SM_ACTIVATE_REQUEST, .nsapi = 5 };
	int tries = m->tries;

	m->timer = NULL;
	m->state = ACTIVATING;
	snprintf(q.apn, sizeof(q.apn), "%s", m->apn);
	say(m, &q, 1);
	m->tries = tries;
}

/* A passing trouble forbids no network (TS 24.008 10.5.5.14: network failure, congestion; 10.5.6.6: insufficient resources,
 * temporarily out of order, network failure). */
static int is_passing(int cause)
{
	return cause == 17 || cause == 22 || cause == 26 || cause == 34 || cause == 38;
}

/* All causes are unprotected: none is for ever. */
static void avoid(struct modem *m, int64_t ms)
{
	struct frequency *f = m->frequency + m->now;

	ms <<= f->refusals < 10 ? f->refusals : 10;
	f->refusals++;
	f->forbidden_until = clock_mono_ms() + (ms < REFUSED_MOST_MS ? ms : REFUSED_MOST_MS);
}

static void refused(struct modem *m, int cause, const char *what)
{
	char why[96];

	snprintf(why, sizeof(why), "%s: %s (cause %d)", what, gmm_cause_text(cause), cause);
	if (!is_passing(cause))
		avoid(m, REFUSED_MS);
	give_up(m, why);
}

/* --- what the network says --- */

static void on_reject(struct modem *m, const struct nas *n)
{
	if (m->state == ATTACHING)
		refused(m, n->cause, "refuses to attach us");
}

static void on_auth_reject(struct modem *m, const struct nas *n)
{
	(void)n;
	if (m->state == ATTACHING)
		refused(m, CAUSE_ILLEGAL_MS, "does not accept our answer");
}

static void answer_keep(struct modem *m, const struct nas *q, const struct nas *a)
{
	memcpy(m->last_rand, q->rand, sizeof(m->last_rand));
	m->last_answer = *a;
	m->answered = 1;
	say(m, a, 1);
}

/* IMEISV with a software version, IMEI with the check digit's place zero (TS 23.003 6.2): of the equipment's id, else of the test range. */
static void imei(const struct modem *m, int type, char dst[18])
{
	const char *id = tre_equipment(m->tre), *digits = "35349006987331";

	if (!strncmp(id, "imei:", 5) && text_digits(id + 5) == 15)
		digits = id + 5;
	snprintf(dst, 18, "%.14s%s", digits, type == ID_IMEISV ? "01" : "0");
}

/* The attach itself carries the IMSI; only the hardware is asked for, and told (TS 24.008 4.7.8.2). */
static void on_identity_request(struct modem *m, const struct nas *q)
{
	struct nas a = { .type = GMM_IDENTITY_RESPONSE, .id_type = q->id_type };

	if (m->state != ATTACHING || (q->id_type != ID_IMEI && q->id_type != ID_IMEISV))
		return;
	imei(m, q->id_type, a.id);
	say(m, &a, 1);
}

static void on_auth_request(struct modem *m, const struct nas *q)
{
	uint8_t apdu[5 + 34] = { 0x00, 0x88, 0x00, 0x81, 0x22, 16 }, answer[256];
	struct nas a = { .type = GMM_AUTH_RESPONSE, .ac_ref = q->ac_ref };
	size_t n = 0;

	if (m->state != ATTACHING)
		return;
	if (m->unproved >= UNPROVED || ++m->challenges > CHALLENGES) { /* TS 24.008 4.7.7.6.1: as if its cell were barred */
		refused(m, CAUSE_MAC_FAILURE, "does not prove itself");
		return;
	}
	if (!q->has_aka) { /* GSM authentication: a downgrade that we do not take */
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_GSM_UNACCEPTABLE };
		say(m, &a, 1);
		return;
	}
	if (m->answered && !memcmp(m->last_rand, q->rand, sizeof(m->last_rand))) {
		m->last_answer.ac_ref = q->ac_ref; /* osmo-sgsn repeats with a new reference */
		say(m, &m->last_answer, 1);
		return;
	}
	memcpy(apdu + 6, q->rand, 16);
	apdu[22] = 16;
	memcpy(apdu + 23, q->autn, 16);
	if (tre_apdu(m->tre, m->slot, BYTES_OF(apdu), answer, &n) || n < 2) {
		give_up(m, "the USIM does not answer");
	} else if (answer[0] == 0xdb && n > 12) {
		m->proved = 1;
		a.res_n = 8;
		memcpy(a.res, answer + 2, 8);
		if (q->imeisv_asked)
			imei(m, ID_IMEISV, a.id);
		answer_keep(m, q, &a);
	} else if (answer[0] == 0xdc) {
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_SYNCH_FAILURE, .has_auts = 1 };
		memcpy(a.auts, answer + 2, 14);
		step(m, "our sequence number is ahead of %s: resynchronising%s", m->cell.plmn, "");
		answer_keep(m, q, &a);
	} else {
		m->unproved++;
		a = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_MAC_FAILURE };
		step(m, "network %s does not prove that it knows our key%s", m->cell.plmn, "");
		answer_keep(m, q, &a);
	}
	secret_wipe(answer, sizeof(answer));
}

static void on_accept(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_ATTACH_COMPLETE };

	(void)n;
	if (m->state != ATTACHING && m->state != ACTIVATING && m->state != PDP_PAUSE)
		return;
	if (m->state == ATTACHING && !m->proved) { /* AKA on every attach: anybody could say this */
		refused(m, CAUSE_MAC_FAILURE, "takes us without proving itself");
	} else if (m->state == ATTACHING) {
		step(m, "attached in %s%s", m->cell.plmn, "");
		say(m, &ok, 0);
		m->tries = 0;
		activate(m);
	} else {
		size_t len = 0;
		uint8_t again[16];

		if (!nas_write(&ok, 0, again, sizeof(again), &len))
			send_nas(m, BYTES(again, len));
	}
}

static void on_active(struct modem *m, const struct nas *n)
{
	if (m->state != ACTIVATING || !n->has_user)
		return;
	timer_stop(m->timer);
	m->timer = NULL;
	m->state = UP;
	m->up_ms = clock_mono_ms();
	snprintf(m->path.plmn, sizeof(m->path.plmn), "%s", n->user.plmn);
	snprintf(m->path.proxy, sizeof(m->path.proxy), "%u.%u.%u.%u:%u", n->user.ipv4[0], n->user.ipv4[1], n->user.ipv4[2], n->user.ipv4[3], n->user.port);
	if (b64url_of(BYTES_OF(n->user.token), m->path.token, sizeof(m->path.token)))
		return;
	m->events.up(&m->path, m->arg);
}

/* Cause 33 may only mean that the subscription is not there yet: again with back-off, bounded (visited.md 4.1). */
static void on_pdp_refused(struct modem *m, const struct nas *n)
{
	if (m->state != ACTIVATING)
		return;
	timer_stop(m->timer);
	m->timer = NULL;
	if (n->cause == SM_CAUSE_NOT_SUBSCRIBED && ++m->tries < PDP_TRIES) {
		m->state = PDP_PAUSE;
		m->timer = timer_after(m->loop, PDP_WAIT_MS << m->tries, activate, m);
	} else {
		refused(m, n->cause, "gives no data access");
	}
}

/* What has served for a while is forgiven what it refused before. */
static void steady(struct modem *m)
{
	if (m->state == UP && clock_mono_ms() - m->up_ms >= STEADY_MS)
		m->frequency[m->now].refusals = 0;
}

static void on_detach(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = GMM_DETACH_ACCEPT };
	int was_up = m->state == UP;

	say(m, &ok, 0);
	if (was_up) {
		steady(m);
		avoid(m, TROUBLE_MS); /* unprotected too: who does it again and again is tried after the others */
		m->state = DOWN;
		m->events.lost(gmm_cause_text(n->cause), m->arg);
	} else if (m->state != DOWN) {
		give_up(m, "detached us");
	}
}

/* The network ends the context: there is nothing left to do here. */
static void on_deactivate(struct modem *m, const struct nas *n)
{
	struct nas ok = { .type = SM_DEACTIVATE_ACCEPT, .ti = n->ti };

	if (m->state != UP)
		return;
	say(m, &ok, 0);
	detach(m);
	m->state = DOWN;
	m->events.lost("the network ended the data access", m->arg);
}

static const struct {
	enum nas_type type;
	void (*hear)(struct modem *m, const struct nas *n);
} heard_table[] = {
	{ GMM_ATTACH_REJECT, on_reject }, { GMM_AUTH_REJECT, on_auth_reject }, { GMM_AUTH_REQUEST, on_auth_request },
	{ GMM_IDENTITY_REQUEST, on_identity_request }, { SM_DEACTIVATE_REQUEST, on_deactivate },
	{ GMM_ATTACH_ACCEPT, on_accept }, { SM_ACTIVATE_ACCEPT, on_active }, { SM_ACTIVATE_REJECT, on_pdp_refused },
	{ GMM_DETACH_REQUEST, on_detach },
};

static void hear(struct modem *m, struct bytes in)
{
	struct gsmtap g;
	struct llc f;
	struct nas n;

	m->path.received += (int64_t)in.n;
	if (gsmtap_read(in, &g) || g.uplink)
		return;
	if (g.type == GSMTAP_UM) {
		heard(m, g.payload);
		return;
	}
	if (llc_read(g.payload, &f) || f.ciphered || f.sapi != LLC_GMM || (m->nu_known && !llc_newer(f.nu, m->nu_down)))
		return;
	m->nu_known = 1;
	m->nu_down = f.nu;
	m->path.round_trips++;
	if (nas_read(f.info, 1, &n))
		return;
	for (size_t i = 0; i < sizeof(heard_table) / sizeof(*heard_table); i++)
		if (heard_table[i].type == n.type) {
			heard_table[i].hear(m, &n);
			return;
		}
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

enum err modem_open(struct loop *l, struct tre *t, const char (*frequency)[300], size_t n, const struct modem_events *events, void *arg,
	struct modem **out)
{
	struct modem *m = calloc(1, sizeof(*m));
	enum err e = m ? OK : ERR_NOMEM;

	if (!e && n > FREQUENCIES)
		e = ERR_LIMIT;
	if (e) {
		free(m);
		return e;
	}
	m->loop = l;
	m->tre = t;
	m->events = *events;
	m->arg = arg;
	m->n = n;
	for (size_t i = 0; i < n && !e; i++)
		e = frequency_read(frequency[i], &m->frequency[i].at);
	m->fd = e ? -1 : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	m->readable = m->fd >= 0 ? event_new(loop_base(l), m->fd, EV_READ | EV_PERSIST, readable, m) : NULL;
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
	next_frequency(m);
}

void modem_down(struct modem *m)
{
	steady(m);
	detach(m);
	timer_stop(m->timer);
	m->timer = NULL;
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
