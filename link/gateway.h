/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_GATEWAY_H
#define USHER_LINK_GATEWAY_H
/*
 * The access gateway of a home side (doc/wires.md 4): visited operators CONNECT by mutual TLS in the name of an identity. The network
 * is believed because its certificate's PLMN is where the identity's UpdateLocation came from; what is open, and how much, the role says.
 */
#include <sys/queue.h>

#include "core/process.h"
#include "link/tunnel.h"
#include "proto/object.h"

/* One CONNECT; a role's own record may begin with it. */
struct pass {
	struct gateway *gateway;
	struct gateway_share *share;
	struct tunnel *tunnel;   /* NULL when it ended meanwhile */
	struct tunnel_ask ask;
	char equipment[EQUIPMENT_MAX];
	int64_t attached_at;
	int checking, open;
	enum err err;            /* set by check: refused, and why; what the transaction wrote stays */
	struct why why;
};

/* A refusal is ERR_DENIED (403), ERR_LIMIT (429), ERR_FORMAT (400); any other error is trouble of our own (503). Any function may be NULL. */
struct gateway_policy {
	const char *kind;        /* the audit's word for an identity */
	const char *attached;    /* SQL: visited, equipment, attached_at of :id, if it may have service */
	size_t size;             /* of the role's record */
	enum err (*asked)(struct pass *p);                /* on the loop, before the check; refused: p is gone */
	enum err (*check)(struct tx *tx, struct pass *p); /* of one that is attached there */
	void (*opened)(struct pass *p);
	void (*moved)(struct pass *p, size_t octets);     /* may end the tunnel */
	void (*ended)(struct pass *p);                    /* of every one that asked let in */
	int count_opened, count_refused;                  /* metrics */
};

struct gateway {
	struct process *process;
	const struct gateway_policy *policy;
	int most;                /* tunnels at a time; a network that holds as many as are left free gets no more, so that there is always room for another */
	struct tunnel_server *server;
	int tunnels;
	LIST_HEAD(, gateway_share) shares; /* of known networks that hold tunnels */
};
/* g's process, policy and most are set; closed by tunnel_close(g->server). */
enum err gateway_open(struct gateway *g, const char *address, struct why *w) MUST_CHECK;

#endif
