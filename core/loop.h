/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_LOOP_H
#define USHER_CORE_LOOP_H
/* The one loop of a process (libevent). Handlers run on its thread and never wait. */
#include <event2/event.h>
#include <stdint.h>

#include "core/err.h"

struct loop;
struct timer;

enum err loop_new(struct loop **out) MUST_CHECK;
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
/* For bufferevent_socket_connect_hostname: a name that resolves slowly stops nobody else. NULL: numbers only are sure. */
struct evdns_base *loop_dns(struct loop *l);
/* Runs until SIGTERM, SIGINT or loop_stop; returns the code given to loop_stop (0 for a signal). */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int code);
/* SIGHUP calls fn on the loop. */
void loop_on_reload(struct loop *l, void (*fn)(void *), void *arg);

/* From any thread: fn(arg) runs on the loop's thread, in the order of the calls. The room is the caller's, until fn runs: no post is lost. */
struct post {
	struct post *next;
	void (*fn)(void *);
	void *arg;
};
void loop_post(struct loop *l, struct post *room, void (*fn)(void *), void *arg);
/* Runs what was posted, for those who stop a thread and then end what its posts refer to. */
void loop_flush(struct loop *l);

/* Once after ms milliseconds. The timer is gone when fn runs: forget it there first; timer_stop before that. */
struct timer *timer_after(struct loop *l, int64_t ms, void (*fn)(void *), void *arg);
/* Every ms milliseconds until timer_stop. */
struct timer *timer_every(struct loop *l, int64_t ms, void (*fn)(void *), void *arg);
void timer_stop(struct timer *t); /* NULL is fine */

enum socket_kind { SOCKET_TCP, SOCKET_UDP };
enum { BOUND_MAX = 80 }; /* "[" an IPv6 address, its zone "]:" a port */
/*
 * A bound (TCP: listening), non-blocking, close-on-exec socket for the listener `name`: the one handed in by
 * LISTEN_FDS/LISTEN_FDNAMES (sd_listen_fds(3)) if there is one of that name, else bound here to address (host:port).
 * bound gets "host:port" as bound. The caller closes it; fd is -1 after a failure.
 */
enum err loop_socket(const char *name, const char *address, enum socket_kind kind, int *fd, char bound[BOUND_MAX], struct why *w) MUST_CHECK;

#endif
