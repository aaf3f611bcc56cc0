/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_CARRIER_H
#define USHER_LINK_CARRIER_H
/*
 * A mutual TLS connection between a visited operator and an access gateway carries tunnels one after the other, so that an
 * equipment's connection does not cost two verifications of certificates. Between head and end, each way is a row of frames {length
 * in 2 octets, content}; length 0 ends this way of this tunnel. When both ways have ended, the connection is free for the next head.
 */
#include <event2/bufferevent.h>

#include "core/loop.h"
#include "core/tls.h"

enum {
	CARRIER_AGE_S = 600,      /* an older connection takes no new tunnel: certificates are judged again */
	CARRIER_FREE_S = 60,      /* unused, the client closes it */
	CARRIER_WAIT_S = 90,      /* unused, the server closes it; more than the client's */
	CARRIER_FREE_MOST = 256,  /* free ones that a client keeps, over all gateways */
	CARRIER_DRAIN_S = 10,     /* for the other side's end, after ours */
};

struct carrier;
struct carriers;

/* again: a server's connection is free for the next head (its bufferevent has no callbacks yet); NULL: a client. */
enum err carriers_new(struct loop *l, void (*again)(struct carrier *c, void *arg), void *arg, struct carriers **out) MUST_CHECK;
void carriers_free(struct carriers *s); /* closes all; no tunnel may hold one any more */

/* A free connection to the gateway (role, id) at address, else a new one, not yet connected. NULL: out of memory. */
struct carrier *carrier_take(struct carriers *s, const char *address, struct tls *tls, const char *role, const char *id);
struct carrier *carrier_replace(struct carrier *c);        /* drops c; a new one to the same gateway */
struct carrier *carrier_accepted(struct carriers *s, struct bufferevent *bev); /* takes bev over; NULL: out of memory, bev stays the caller's */
int carrier_used(const struct carrier *c); /* 1: it has carried a tunnel before */
const char *carrier_address(const struct carrier *c);
struct bufferevent *carrier_bev(const struct carrier *c);

/* Content that has come, moved to out (NULL: dropped); the octets moved. */
size_t carrier_read(struct carrier *c, struct evbuffer *out);
int carrier_ended(const struct carrier *c); /* the other side has ended its way of this tunnel */
enum err carrier_write(struct carrier *c, struct evbuffer *in) MUST_CHECK; /* all of in */
/* The tunnel is over and lets go: our end is sent, the other side's awaited. */
void carrier_end(struct carrier *c);
void carrier_drop(struct carrier *c); /* closes at once: before the tunnel was open, or after an error */

#endif
