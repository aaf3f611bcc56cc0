/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_SERVER_H
#define USHER_CORE_SERVER_H
/*
 * HTTP servers (evhttp). Routes are a table; who may ask what is a column of it, refused before the body is looked at.
 * A handler answers at once or keeps the ask and answers later, on the loop, exactly once. Limits, for anybody: a head of 8 KiB, the
 * largest body of the table, 30 s for a whole request, 4000 connections (or a quarter of the process's descriptors).
 */
#include <jansson.h>

#include "core/bytes.h"
#include "core/loop.h"
#include "core/peers.h"
#include "core/tls.h"

struct server;
struct ask;

/* Columns of route.who, or'ed. A peer needs a certificate of that role and an entry in peers/. */
#define WHO(role_) (1u << (role_)) /* core/cert.h numbers them */
enum {
	WHO_ANYONE = 1u << 30,   /* no client certificate needed (equipment, owner with a token, OCSP) */
	WHO_UNLISTED = 1u << 29, /* the certificate suffices, no entry in peers/ is asked (EST re-enrolment) */
};

struct route {
	const char *method;
	const char *path;        /* exact, or ending in a slash and a star: any one segment after it */
	unsigned who;
	size_t body_max;         /* octets; larger: 413 before reading on */
	void (*answer)(struct ask *a, void *arg);
};

struct server_conf {
	const char *name;        /* the listener's name: LISTEN_FDNAMES, run/ports */
	const char *address;
	struct tls *tls;         /* NULL: plain http (OCSP on its own listener) */
	const struct route *routes; /* ended by {0}; must live as long as the server */
	const struct peers *peers;
	void *arg;
};
enum err server_open(struct loop *l, const struct server_conf *c, struct server **out, struct why *w) MUST_CHECK;
void server_close(struct server *s);
const char *server_bound(const struct server *s); /* "127.0.0.1:40123" */

/* What was asked. Views live until the answer is given. */
const char *ask_tail(const struct ask *a);            /* what stands for the star, decoded; "" otherwise */
const char *ask_query(struct ask *a, const char *name);     /* decoded value or NULL */
const char *ask_header(const struct ask *a, const char *name); /* or NULL */
struct bytes ask_body(const struct ask *a);
const struct party *ask_peer(const struct ask *a);    /* role "" if no certificate was shown */
enum err ask_certificate(const struct ask *a, uint8_t hash[32]) MUST_CHECK; /* SHA-256 of the one shown. ERR_MISSING: none */
const char *ask_from(const struct ask *a);            /* remote "ip:port", for the log */
/* The body as JSON object; NULL: a 400 has been answered and the ask is gone. Caller json_decref's. */
json_t *ask_json(struct ask *a);

/* Answers; each ends the ask. */
void ask_add(struct ask *a, const char *header, const char *value);
void ask_reply(struct ask *a, int status, const char *type, struct bytes body);
void ask_reply_json(struct ask *a, int status, json_t *body /* taken over */);
/* {"error": err_name, "why": sentence}; status from the table of err (400 403 404 409 410 413 429 500 503 ...), logged. */
void ask_refuse(struct ask *a, enum err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with a chosen status (401 and 404 with their own headers). */
void ask_refuse_as(struct ask *a, int status, enum err e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
