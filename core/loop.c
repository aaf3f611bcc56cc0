/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"

struct loop {
	struct event_base *base;
	struct evdns_base *dns;
	struct event *wake, *term, *intr, *hup;
	int pipe[2];
	pthread_mutex_t lock;
	struct post *first, **last;
	void (*reload)(void *);
	void *reload_arg;
	int code;
};

struct timer {
	struct event *event;
	void (*fn)(void *);
	void *arg;
	int once;
};

static void run_posted(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct post *p, *next;
	char drop[256];

	(void)what;
	while (read(fd, drop, sizeof(drop)) > 0)
		;
	pthread_mutex_lock(&l->lock);
	p = l->first;
	l->first = NULL;
	l->last = &l->first;
	pthread_mutex_unlock(&l->lock);
	for (; p; p = next) {
		next = p->next;
		p->fn(p->arg);
	}
}

void loop_post(struct loop *l, struct post *room, void (*fn)(void *), void *arg)
{
	*room = (struct post){ NULL, fn, arg };
	pthread_mutex_lock(&l->lock);
	*l->last = room;
	l->last = &room->next;
	pthread_mutex_unlock(&l->lock);
	(void)!write(l->pipe[1], "", 1); /* a full pipe wakes as well */
}

void loop_flush(struct loop *l)
{
	run_posted(l->pipe[0], 0, l);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	loop_stop(arg, 0);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd, (void)what;
	if (l->reload)
		l->reload(l->reload_arg);
}

static int set_up(struct loop *l)
{
	l->base = event_base_new();
	if (!l->base || pipe2(l->pipe, O_NONBLOCK | O_CLOEXEC))
		return 0;
	l->wake = event_new(l->base, l->pipe[0], EV_READ | EV_PERSIST, run_posted, l);
	l->term = evsignal_new(l->base, SIGTERM, on_stop, l);
	l->intr = evsignal_new(l->base, SIGINT, on_stop, l);
	l->hup = evsignal_new(l->base, SIGHUP, on_hup, l);
	return l->wake && l->term && l->intr && l->hup && !event_add(l->wake, NULL) && !event_add(l->term, NULL)
		&& !event_add(l->intr, NULL) && !event_add(l->hup, NULL);
}

enum err loop_new(struct loop **out)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	l->last = &l->first;
	l->pipe[0] = l->pipe[1] = -1;
	pthread_mutex_init(&l->lock, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (!set_up(l)) {
		loop_free(l);
		return ERR_IO;
	}
	*out = l;
	return OK;
}

void loop_free(struct loop *l)
{
	struct event **e[4] = { &l->wake, &l->term, &l->intr, &l->hup };

	if (l->pipe[0] >= 0)
		loop_flush(l);
	for (int i = 0; i < 4; i++)
		if (*e[i])
			event_free(*e[i]);
	for (int i = 0; i < 2; i++)
		if (l->pipe[i] >= 0)
			close(l->pipe[i]);
	if (l->dns) { /* who waits for a name hears that there will be none, and lets go */
		evdns_base_free(l->dns, 1);
		event_base_loop(l->base, EVLOOP_NONBLOCK);
	}
	if (l->base)
		event_base_free(l->base);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

struct evdns_base *loop_dns(struct loop *l)
{
	if (!l->dns)
		l->dns = evdns_base_new(l->base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	return l->dns;
}

int loop_run(struct loop *l)
{
	l->code = 0;
	event_base_dispatch(l->base);
	return l->code;
}

void loop_stop(struct loop *l, int code)
{
	l->code = code;
	event_base_loopbreak(l->base);
}

void loop_on_reload(struct loop *l, void (*fn)(void *), void *arg)
{
	l->reload = fn;
	l->reload_arg = arg;
}

/* --- timers --- */

static void timer_fires(evutil_socket_t fd, short what, void *arg)
{
	struct timer *t = arg;
	void (*fn)(void *) = t->fn;
	void *fn_arg = t->arg;

	(void)fd, (void)what;
	if (t->once)
		timer_stop(t);
	fn(fn_arg);
}

static struct timer *timer_new(struct loop *l, int64_t ms, void (*fn)(void *), void *arg, int once)
{
	struct timeval tv = { ms > 0 ? ms / 1000 : 0, ms > 0 ? ms % 1000 * 1000 : 0 };
	struct timer *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct timer){ event_new(l->base, -1, (short)(once ? 0 : EV_PERSIST), timer_fires, t), fn, arg, once };
	if (!t->event || event_add(t->event, &tv)) {
		timer_stop(t);
		return NULL;
	}
	return t;
}

struct timer *timer_after(struct loop *l, int64_t ms, void (*fn)(void *), void *arg)
{
	return timer_new(l, ms, fn, arg, 1);
}

struct timer *timer_every(struct loop *l, int64_t ms, void (*fn)(void *), void *arg)
{
	return timer_new(l, ms, fn, arg, 0);
}

void timer_stop(struct timer *t)
{
	if (!t)
		return;
	if (t->event)
		event_free(t->event);
	free(t);
}

/* --- sockets --- */

/* sd_listen_fds(3): descriptors from 3 on, their names in LISTEN_FDNAMES, separated by colons. */
static int handed_in(const char *name)
{
	const char *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES"), *count = getenv("LISTEN_FDS");
	size_t n = strlen(name);

	if (!pid || !names || !count || atol(pid) != (long)getpid())
		return -1;
	for (int fd = 3; names && fd < 3 + atoi(count); fd++) {
		if (!strncmp(names, name, n) && (!names[n] || names[n] == ':'))
			return fcntl(fd, F_DUPFD_CLOEXEC, 3);
		names = strchr(names, ':');
		names = names ? names + 1 : NULL;
	}
	return -1;
}

static int bind_new(const struct addrinfo *a, enum socket_kind kind)
{
	int one = 1, fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || (kind == SOCKET_TCP && listen(fd, 512))) {
		close(fd);
		return -1;
	}
	return fd;
}

static enum err bind_here(const char *name, const char *address, enum socket_kind kind, int *fd, struct why *w)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = kind == SOCKET_TCP ? SOCK_STREAM : SOCK_DGRAM }, *a = NULL;
	char host[256], service[8];
	uint16_t port;
	enum err e = conf_address(address, host, sizeof(host), &port, w);
	int rc;

	if (e)
		return e;
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, &a);
	if (rc)
		return fail(w, ERR_IO, "listener %s: %s: %s", name, address, gai_strerror(rc));
	*fd = bind_new(a, kind);
	freeaddrinfo(a);
	if (*fd < 0)
		return fail(w, ERR_IO, "listener %s: cannot bind %s: %s; choose another address, or port 0", name, address, strerror(errno));
	return OK;
}

static enum err bound_name(int fd, char bound[BOUND_MAX])
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	char host[64], port[8];

	if (getsockname(fd, (struct sockaddr *)&sa, &n)
		|| getnameinfo((struct sockaddr *)&sa, n, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		return ERR_IO;
	snprintf(bound, BOUND_MAX, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return OK;
}

enum err loop_socket(const char *name, const char *address, enum socket_kind kind, int *fd, char bound[BOUND_MAX], struct why *w)
{
	enum err e = OK;
	int type = 0;
	socklen_t n = sizeof(type);

	if (!strncmp(address, "udp://", 6))
		address += 6;
	*fd = handed_in(name);
	if (*fd < 0)
		e = bind_here(name, address, kind, fd, w);
	if (e)
		return e;
	if (getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &n) || type != (kind == SOCKET_TCP ? SOCK_STREAM : SOCK_DGRAM))
		e = fail(w, ERR_FORMAT, "listener %s: the socket handed in is of the wrong type", name);
	else if (evutil_make_socket_nonblocking(*fd) || bound_name(*fd, bound))
		e = fail(w, ERR_IO, "listener %s: %s", name, strerror(errno));
	if (e) {
		close(*fd);
		*fd = -1;
	}
	return e;
}
