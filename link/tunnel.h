/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_TUNNEL_H
#define USHER_LINK_TUNNEL_H
/*
 * CONNECT tunnels (RFC 9110 9.3.6): the equipment's user plane at the visited operator, and from there to the access
 * gateway of the registration or home operator (doc/wires.md 4). A tunnel's owner looks at what was asked and answers
 * once: dial, pass on, or refuse. From then on octets flow both ways until an end closes or the owner ends it.
 */
#include "core/loop.h"
#include "core/tls.h"
#include "link/head.h"

enum {
	TUNNEL_IDLE_S = 120,     /* without an octet either way */
	TUNNEL_HEAD_S = 10,      /* for the head, and for a dial */
	TUNNEL_QUEUE = 64 * 1024, /* octets waiting in one direction before the other side is no longer read */
};

struct tunnel;
struct tunnel_server;

struct tunnel_events {
	void (*asked)(struct tunnel *t, const struct tunnel_ask *ask, void *arg); /* answer now or later, once */
	void (*moved)(struct tunnel *t, size_t octets, void *arg);  /* either way; may end the tunnel; may be NULL */
	void (*ended)(struct tunnel *t, void *arg);                 /* t is gone after this; may be NULL */
};

struct tunnel_conf {
	const char *name, *address; /* the listener, as for loop_socket */
	struct tls *tls;            /* NULL: plain (the radio's user plane) */
	int most;                   /* tunnels at a time; beyond it the oldest without a head leaves, else the new one is closed at once */
	struct tunnel_events events;
	void *arg;
};
enum err tunnel_listen(struct loop *l, const struct tunnel_conf *c, struct tunnel_server **out, struct why *w) MUST_CHECK;
void tunnel_close(struct tunnel_server *s); /* ends all its tunnels */
const char *tunnel_bound(const struct tunnel_server *s);

/* --- the owner's one answer --- */
/* Connects to the target itself (a gateway); 200 when it is there, else 502. */
void tunnel_dial(struct tunnel *t, const char *address);
/* Asks the gateway (role, id) at address by mutual TLS for the same target in the name of identity; passes its refusal on. */
void tunnel_pass(struct tunnel *t, const char *address, struct tls *tls, const char *role, const char *id, const char *identity);
/* Status and {"error", "why"}; then the connection closes. */
void tunnel_refuse(struct tunnel *t, int status, enum err e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Ends an open tunnel at once (its token died, its budget is used up). */
void tunnel_end(struct tunnel *t);
/* The owner's note on a tunnel. */
void tunnel_set(struct tunnel *t, void *note);
void *tunnel_note(const struct tunnel *t);

#endif
