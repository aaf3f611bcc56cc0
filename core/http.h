/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_HTTP_H
#define USHER_CORE_HTTP_H
/*
 * The HTTP client (libcurl on the loop). https only, except for OCSP; no redirects, no environment proxies.
 * The server must show a certificate of (peer_role, peer_id). Connections are kept per address and party, never per
 * address alone; a struct http serves one client: an equipment of a fleet has its own.
 */
#include "core/bytes.h"
#include "core/loop.h"
#include "core/tls.h"

struct http;
struct call;

enum { HTTP_BODY_MAX = 256 * 1024, HTTP_HEADERS = 8 };

struct request {
	const char *method;             /* "GET", "POST" */
	const char *address;            /* host:port */
	const char *path;               /* "/v1/..." with query */
	const char *peer_role, *peer_id; /* expected server; both NULL: plain http (OCSP and nothing else) */
	const char *type;               /* Content-Type of body, may be NULL */
	struct bytes body;
	const char *header[HTTP_HEADERS]; /* further whole lines "Name: value", NULL-ended */
	const char *proxy;              /* host:port of a CONNECT proxy, NULL: direct */
	const char *proxy_bearer;       /* its bearer token */
	int timeout_ms;                 /* 0: 30 s */
	int last;                       /* 1: nothing more to ask there, the connection closes after the answer */
	int count;                      /* 1: count octets and turns (an equipment's link) */
};

struct response {
	enum err err;                   /* OK: there is an HTTP status. Else why.text says what failed */
	int status;
	struct bytes body;              /* valid during the callback */
	char type[64];
	char retry_after[16];           /* header Retry-After, "" if absent */
	char authenticate[1024];        /* header WWW-Authenticate, "" if absent */
	char hmac[256];                 /* header x-syncml-hmac, "" if absent */
	struct why why;
	/* counted on the socket: octets of TCP payload each way, and turns (request or handshake flight and its answer) */
	int64_t sent, received;
	int turns;
};

typedef void (*http_done)(void *arg, const struct response *r);

/* tls may be NULL if only plain OCSP is asked. user_agent: "usher-registration/0.1". */
enum err http_open(struct loop *l, struct tls *t, const char *user_agent, struct http **out) MUST_CHECK;
void http_close(struct http *h);   /* open calls end with ERR_UNAVAILABLE before this returns */
/* Copies all it needs. done is called exactly once, on the loop, never from inside http_ask; there the call is over (no http_cancel),
 * and it may ask again, forget or close. NULL: out of memory, or an address or path that does not fit. */
struct call *http_ask(struct http *h, const struct request *r, http_done done, void *arg);
void http_cancel(struct call *c);  /* done is not called any more */
/* At most so many connections are open to one party at a time (0, the default: any number); further requests wait their turn. */
void http_limit(struct http *h, int at_once);
/* Connections made until now carry no further call (an equipment whose bearer has changed); open calls go on. */
void http_forget(struct http *h);

#endif
