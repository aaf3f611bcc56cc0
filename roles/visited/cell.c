/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The embedded access's radio: one UDP socket, one link per source address, System Information to those who tuned in. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/spent.h"
#include "roles/visited/visited.h"

/* RESEND_MS: T3350, T3360 and T3322 of TS 24.008 11.2.2 are 6 s over the air; this link is faster. */
enum { TUNED_MS = 5000, BROADCAST_MS = 1000, RESEND_MS = 1500, TRIES = 4, IDLE_MS = 60000, SILENT_MS = 2 * 3600 * 1000, BURST = 64 };

static struct ms **bucket(struct visited *v, const struct sockaddr_in *a)
{
	uint32_t h = ntohl(a->sin_addr.s_addr) * 2654435761u ^ ntohs(a->sin_port) * 40503u;

	return v->ms + h % MS_BUCKETS;
}

static int *address_count(struct visited *v, const struct sockaddr_in *a)
{
	return v->address + ntohl(a->sin_addr.s_addr) * 2654435761u / (UINT32_MAX / ADDRESS_BUCKETS + 1);
}

static void unlink_ms(struct ms **at)
{
	struct ms *m = *at;
	struct visited *v = m->visited;

	attach_gone(m);
	visitors_forget(v->visitors, m);
	TAILQ_REMOVE(&v->young, m, young);
	--*address_count(v, &m->from);
	v->count--;
	*at = m->next;
	secret_wipe(m, sizeof(*m));
	free(m);
}

/* Full: whoever proved who he is stays; of the others, the one longest silent leaves. A flood throws nobody off. */
static enum err room_for(struct visited *v, const struct sockaddr_in *a)
{
	const struct conf *c = v->process->conf;
	struct ms *old = TAILQ_FIRST(&v->young), **at;

	if ((int64_t)*address_count(v, a) >= c->per_address || ((int64_t)v->count >= c->contexts && !old)) {
		desk_count(v->process->desk, COUNT_CROWDED, 1);
		return ERR_LIMIT;
	}
	if ((int64_t)v->count < c->contexts)
		return OK;
	desk_count(v->process->desk, COUNT_CROWDED, 1);
	at = bucket(v, &old->from);
	while (*at != old)
		at = &(*at)->next;
	unlink_ms(at);
	return OK;
}

static struct ms *link_of(struct visited *v, const struct sockaddr_in *a)
{
	struct ms **at = bucket(v, a), *m;

	for (m = *at; m; m = m->next)
		if (m->from.sin_addr.s_addr == a->sin_addr.s_addr && m->from.sin_port == a->sin_port)
			return m;
	if (room_for(v, a))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->visited = v;
	m->from = *a;
	m->next = *at;
	*at = m;
	v->count++;
	++*address_count(v, a);
	TAILQ_INSERT_TAIL(&v->young, m, young);
	return m;
}

void cell_known(struct ms *m, const char *id)
{
	int was = *m->id != 0, is = *id != 0;

	snprintf(m->id, sizeof(m->id), "%s", id);
	if (was && !is)
		TAILQ_INSERT_TAIL(&m->visited->young, m, young);
	else if (!was && is)
		TAILQ_REMOVE(&m->visited->young, m, young);
}

/* --- tokens: of 32 random octets the first say where to look, all say whether it is right --- */

static struct ms **token_bucket(struct visited *v, const uint8_t token[32])
{
	return v->token + (token[0] | token[1] << 8) % MS_BUCKETS;
}

enum err cell_token_new(struct ms *m)
{
	struct ms **at;
	enum err e = secret_random(m->token, sizeof(m->token));

	if (e)
		return e;
	at = token_bucket(m->visited, m->token);
	m->token_next = *at;
	*at = m;
	return OK;
}

void cell_token_end(struct ms *m)
{
	struct ms **at = token_bucket(m->visited, m->token);

	while (*at && *at != m)
		at = &(*at)->token_next;
	if (*at)
		*at = m->token_next;
	secret_wipe(m->token, sizeof(m->token));
}

struct ms *cell_by_token(struct visited *v, const uint8_t token[32])
{
	for (struct ms *m = *token_bucket(v, token); m; m = m->token_next)
		if (m->pdp && bytes_same(m->token, token, sizeof(m->token)))
			return m;
	return NULL;
}

/* --- down --- */

static void send_to(struct ms *m, const struct gsmtap *g)
{
	uint8_t out[GSMTAP_MAX];
	size_t n = 0;

	if (!gsmtap_write(g, out, sizeof(out), &n))
		(void)!sendto(m->visited->fd, out, n, 0, (struct sockaddr *)&m->from, sizeof(m->from));
}

static void send_nas(struct ms *m, struct bytes nas)
{
	struct llc f = { .sapi = LLC_GMM, .nu = m->nu_down, .cr = 1, .info = nas };
	struct gsmtap g = { .type = GSMTAP_LLC };
	uint8_t out[NAS_MAX + 16];
	size_t n = 0;

	m->nu_down = (m->nu_down + 1) % LLC_NU;
	if (llc_write(&f, out, sizeof(out), &n))
		return;
	g.payload = BYTES(out, n);
	send_to(m, &g);
}

static void send_again(void *arg)
{
	struct ms *m = arg;

	m->resend = NULL;
	if (++m->tries >= TRIES) {
		attach_silent(m);
		return;
	}
	send_nas(m, BYTES(m->sent, m->sent_n));
	m->resend = timer_after(m->visited->process->loop, RESEND_MS, send_again, m);
}

void cell_answered(struct ms *m)
{
	timer_stop(m->resend);
	m->resend = NULL;
}

void cell_say(struct ms *m, const struct nas *n, int wait_answer)
{
	size_t len = 0;

	cell_answered(m);
	if (nas_write(n, 1, m->sent, sizeof(m->sent), &len)) {
		log_hop(LOG_ERROR, "attach", "id=%s act=\"%s\" why=\"cannot be written\"", m->id, nas_name((int)n->type));
		return;
	}
	m->sent_n = len;
	log_hop(LOG_DEBUG, "attach", "id=%s act=\"send %s\" cause=%d", m->id, nas_name((int)n->type), n->cause);
	send_nas(m, BYTES(m->sent, len));
	fault_point(nas_name((int)n->type), "said");
	m->tries = 0;
	if (wait_answer)
		m->resend = timer_after(m->visited->process->loop, RESEND_MS, send_again, m);
}

/* --- broadcast --- */

static void broadcast_to(struct ms *m)
{
	struct gsmtap g = { .type = GSMTAP_UM, .payload = BYTES_OF(m->visited->si3) };

	send_to(m, &g);
	g.payload = BYTES_OF(m->visited->si13);
	send_to(m, &g);
}

static int forgotten(struct ms *m, int64_t now)
{
	return now - m->last_ms > (m->attached ? SILENT_MS : IDLE_MS);
}

static void broadcast(void *arg)
{
	struct visited *v = arg;
	int64_t now = clock_mono_ms();

	for (int i = 0; i < MS_BUCKETS; i++)
		for (struct ms **at = v->ms + i, *m; (m = *at); ) {
			if (forgotten(m, now)) {
				unlink_ms(at);
				continue;
			}
			if (m->tuned_ms > now)
				broadcast_to(m);
			at = &m->next;
		}
}

/* --- up --- */

static void hear(struct visited *v, struct bytes in, const struct sockaddr_in *from)
{
	struct gsmtap g;
	struct llc f;
	struct ms *m;
	int64_t now = clock_mono_ms(), was_tuned;

	if (gsmtap_read(in, &g) || g.type != GSMTAP_LLC || !g.uplink)
		return;
	m = link_of(v, from);
	if (!m)
		return;
	was_tuned = m->tuned_ms;
	m->last_ms = now;
	if (!*m->id) { /* longest silent first */
		TAILQ_REMOVE(&v->young, m, young);
		TAILQ_INSERT_TAIL(&v->young, m, young);
	}
	m->tuned_ms = now + TUNED_MS;
	if (!g.payload.n) { /* tunes in */
		if (was_tuned < now || (m->state == MS_IDLE && !m->attached))
			broadcast_to(m);
		m->heard = 0;
		return;
	}
	if (llc_read(g.payload, &f) || f.ciphered || f.sapi != LLC_GMM)
		return;
	if (m->heard && !llc_newer(f.nu, m->nu_up))
		return; /* a repetition */
	m->heard = 1;
	m->nu_up = f.nu;
	attach_hear(m, f.info);
}

static void datagrams(evutil_socket_t fd, struct visited *v)
{
	uint8_t in[GSMTAP_MAX + 1];

	for (int i = 0; i < BURST; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);

		if (n < 0)
			return;
		if (from.sin_family == AF_INET)
			hear(v, BYTES(in, n), &from);
	}
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	int before = spent_switch(spent_step("attach"));

	(void)what;
	datagrams(fd, arg);
	spent_switch(before);
}

enum err cell_serve(struct visited *v, struct why *w)
{
	const struct conf *c = v->process->conf;
	struct cell_info info = { .lac = (uint16_t)c->lac, .cell = (uint16_t)c->cell, .rac = (uint8_t)c->rac, .nmo = (int)c->nmo };
	char bound[BOUND_MAX];
	int room = 4 << 20;
	enum err e = text_copy(info.plmn, sizeof(info.plmn), c->id);

	if (!e)
		e = si3_write(&info, v->si3);
	if (!e)
		e = si13_write(&info, v->si13);
	if (e)
		return fail(w, e, "id `%s` is not a PLMN as <mcc>-<mnc>", c->id);
	v->fd = -1;
	e = loop_socket("cell", c->listen.cell, SOCKET_UDP, &v->fd, bound, w);
	if (e)
		return e;
	setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	v->readable = event_new(loop_base(v->process->loop), v->fd, EV_READ | EV_PERSIST, readable, v);
	v->broadcast = timer_every(v->process->loop, BROADCAST_MS, broadcast, v);
	return v->readable && v->broadcast && !event_add(v->readable, NULL) ? OK : ERR_NOMEM;
}

void cell_stop(struct visited *v)
{
	for (int i = 0; i < MS_BUCKETS; i++)
		for (struct ms *m = v->ms[i], *next; m; m = next) {
			next = m->next;
			cell_answered(m);
			secret_wipe(m, sizeof(*m));
			free(m);
		}
	timer_stop(v->broadcast);
	if (v->readable)
		event_free(v->readable);
	if (v->fd > 0)
		close(v->fd);
}
