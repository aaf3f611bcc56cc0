/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_GSUP_H
#define USHER_LINK_GSUP_H
/*
 * GSUP over IPA over mutual TLS, both ends. The party is the certificate's; the IPA name says nothing. A client dials again
 * for ever; both ends ping, and a link that is silent for two pings, or not greeted within one, is down. A server without TLS
 * is for one's own SGSN on the same machine or a protected wire: there the party is ("sgsn", IPA name).
 */
#include "core/loop.h"
#include "core/tls.h"
#include "proto/gsup.h"

struct gsup_link;
struct gsup_server;

struct gsup_events {
	void (*up)(struct gsup_link *l, void *arg);                          /* may be NULL */
	void (*message)(struct gsup_link *l, const struct gsup *m, void *arg);
	void (*down)(struct gsup_link *l, void *arg);                        /* a server's link is gone after this; may be NULL */
};

struct gsup_client {
	const char *address, *role, *id;  /* whom we dial */
	const char *name;                 /* our IPA name, for people */
	struct gsup_events events;
	void *arg;
};
enum err gsup_dial(struct loop *l, struct tls *tls, const struct gsup_client *c, struct gsup_link **out) MUST_CHECK;
const char *gsup_address(const struct gsup_link *l); /* that a client dials */
void gsup_hang_up(struct gsup_link *l); /* a client's; NULL is fine; its owner does not hear down */

struct gsup_listener {
	const char *name, *address;       /* as for loop_socket */
	struct tls *tls;                  /* NULL: plain */
	int protected_wire;               /* plain, and yet on another address than the loopback */
	int (*may)(const struct party *p, void *arg); /* 1 if this peer may connect (it is in peers/ with its role) */
	struct gsup_events events;
	void *arg;
};
/* ERR_DENIED: plain on an address that is neither loopback nor said to be protected. */
enum err gsup_listen(struct loop *l, const struct gsup_listener *c, struct gsup_server **out, struct why *w) MUST_CHECK;
void gsup_close(struct gsup_server *s);
/* The server's open link of this party, or NULL. */
struct gsup_link *gsup_find(const struct gsup_server *s, const char *role, const char *id);

const struct party *gsup_party(const struct gsup_link *l);
int gsup_is_up(const struct gsup_link *l);
/* ERR_UNAVAILABLE: down; ERR_LIMIT: 1 MiB waits already. */
enum err gsup_send(struct gsup_link *l, const struct gsup *m) MUST_CHECK;
/* Within events.message: the octets of that message, for a router that passes on what it does not read. */
struct bytes gsup_octets(const struct gsup_link *l);
/* Sends octets that gsup_read has taken. As gsup_send. */
enum err gsup_pass(struct gsup_link *l, struct bytes octets) MUST_CHECK;
/* Ends a server's link; its owner hears down. Not within its own events.message. */
void gsup_end(struct gsup_link *l, const char *why);

#endif
