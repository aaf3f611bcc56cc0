/* SPDX-License-Identifier: Apache-2.0 */
#include "link/carrier.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

enum { FRAME_MOST = 16384 };

struct carrier {
	struct carriers *all;
	struct carrier *next, **back;
	struct bufferevent *bev;
	char address[300];           /* of the gateway; "": we are it */
	struct party party;
	struct tls *tls;
	int64_t born;                /* clock_mono_ms */
	int used, free;
	struct timer *deadline;      /* of the end that we wait for; of a free one */
	size_t left;                 /* octets of the frame under way */
	int ended;                   /* the other side's length 0 has come */
};

struct carriers {
	struct loop *loop;
	struct carrier *first;
	int free;
	void (*again)(struct carrier *c, void *arg);
	void *arg;
};

enum err carriers_new(struct loop *l, void (*again)(struct carrier *c, void *arg), void *arg, struct carriers **out)
{
	struct carriers *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	*s = (struct carriers){ .loop = l, .again = again, .arg = arg };
	*out = s;
	return OK;
}

void carriers_free(struct carriers *s)
{
	while (s && s->first)
		carrier_drop(s->first);
	free(s);
}

void carrier_drop(struct carrier *c)
{
	c->all->free -= c->free;
	timer_stop(c->deadline);
	bufferevent_free(c->bev);
	*c->back = c->next;
	if (c->next)
		c->next->back = c->back;
	free(c);
}

struct carrier *carrier_accepted(struct carriers *s, struct bufferevent *bev)
{
	struct carrier *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct carrier){ .all = s, .bev = bev, .born = clock_mono_ms(), .next = s->first, .back = &s->first };
	if (c->next)
		c->next->back = &c->next;
	s->first = c;
	return c;
}

static struct carrier *fresh(struct carriers *s, const char *address, struct tls *tls, const char *role, const char *id)
{
	struct bufferevent *bev = tls_stream(loop_base(s->loop), -1, tls_connect(tls, role, id), BUFFEREVENT_SSL_CONNECTING);
	struct carrier *c = bev ? carrier_accepted(s, bev) : NULL;

	if (!c) {
		if (bev)
			bufferevent_free(bev);
		return NULL;
	}
	c->tls = tls;
	if (text_copy(c->address, sizeof(c->address), address) || text_copy(c->party.role, sizeof(c->party.role), role)
		|| text_copy(c->party.id, sizeof(c->party.id), id)) {
		carrier_drop(c);
		return NULL;
	}
	return c;
}

static void late(void *arg)
{
	struct carrier *c = arg;

	c->deadline = NULL;
	carrier_drop(c);
}

/* All in all, whatever comes meanwhile; 0: as long as it takes. */
static void wait_s(struct carrier *c, int seconds)
{
	timer_stop(c->deadline);
	c->deadline = seconds ? timer_after(c->all->loop, seconds * 1000, late, c) : NULL;
}

struct carrier *carrier_take(struct carriers *s, const char *address, struct tls *tls, const char *role, const char *id)
{
	for (struct carrier *c = s->first; c; c = c->next)
		if (c->free && !strcmp(c->address, address) && !strcmp(c->party.id, id) && !strcmp(c->party.role, role)) {
			c->free = 0;
			s->free--;
			wait_s(c, 0);
			return c;
		}
	return fresh(s, address, tls, role, id);
}

struct carrier *carrier_replace(struct carrier *c)
{
	struct carrier *again = fresh(c->all, c->address, c->tls, c->party.role, c->party.id);

	carrier_drop(c);
	return again;
}

const char *carrier_address(const struct carrier *c)
{
	return c->address;
}

int carrier_used(const struct carrier *c)
{
	return c->used;
}

struct bufferevent *carrier_bev(const struct carrier *c)
{
	return c->bev;
}

/* --- frames --- */

size_t carrier_read(struct carrier *c, struct evbuffer *out)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t moved = 0;

	while (!c->ended) {
		size_t n = evbuffer_get_length(in);
		uint8_t head[2];

		if (!c->left) {
			if (n < sizeof(head))
				break;
			evbuffer_remove(in, head, sizeof(head));
			c->left = (size_t)head[0] << 8 | head[1];
			c->ended = !c->left;
			continue;
		}
		n = n < c->left ? n : c->left;
		if (!n || (out ? evbuffer_remove_buffer(in, out, n) < 0 : evbuffer_drain(in, n) < 0))
			break;
		c->left -= n;
		moved += n;
	}
	return moved;
}

int carrier_ended(const struct carrier *c)
{
	return c->ended;
}

enum err carrier_write(struct carrier *c, struct evbuffer *in)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t n;

	while ((n = evbuffer_get_length(in)) > 0) {
		n = n < FRAME_MOST ? n : FRAME_MOST;
		if (evbuffer_add(out, (uint8_t[]){ (uint8_t)(n >> 8), (uint8_t)n }, 2) || evbuffer_remove_buffer(in, out, n) < 0)
			return ERR_NOMEM;
	}
	return OK;
}

/* --- between tunnels --- */

static void closed(struct bufferevent *bev, short what, void *arg)
{
	(void)bev, (void)what;
	carrier_drop(arg);
}

/* Nobody has anything to say on a free connection. */
static void talks(struct bufferevent *bev, void *arg)
{
	(void)bev;
	carrier_drop(arg);
}

static void becomes_free(struct carrier *c)
{
	struct carriers *s = c->all;

	c->ended = 0;
	c->used = 1;
	if (clock_mono_ms() - c->born > CARRIER_AGE_S * 1000 || (!s->again && s->free >= CARRIER_FREE_MOST)) {
		carrier_drop(c);
		return;
	}
	bufferevent_setcb(c->bev, NULL, NULL, NULL, NULL);
	bufferevent_setwatermark(c->bev, EV_READ | EV_WRITE, 0, 0);
	wait_s(c, s->again ? 0 : CARRIER_FREE_S);
	if (s->again) {
		s->again(c, s->arg);
		return;
	}
	c->free = 1;
	s->free++;
	bufferevent_setcb(c->bev, talks, NULL, closed, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void drain(struct bufferevent *bev, void *arg)
{
	struct carrier *c = arg;

	(void)bev;
	(void)carrier_read(c, NULL);
	if (carrier_ended(c))
		becomes_free(c);
}

void carrier_end(struct carrier *c)
{
	bufferevent_setcb(c->bev, drain, NULL, closed, c);
	bufferevent_setwatermark(c->bev, EV_READ | EV_WRITE, 0, 0);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	bufferevent_set_timeouts(c->bev, NULL, NULL);
	wait_s(c, CARRIER_DRAIN_S);
	evbuffer_add(bufferevent_get_output(c->bev), "\0\0", 2);
	drain(c->bev, c);
}
