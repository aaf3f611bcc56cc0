/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_LINK_HEAD_H
#define USHER_LINK_HEAD_H
/* The heads with which a CONNECT tunnel begins (RFC 9110 9.3.6; doc/wires.md 4), as text: no I/O, no state. */
#include "core/cert.h"

enum {
	TUNNEL_HEAD = 4096,      /* octets of a head */
	TUNNEL_TARGET = 300,     /* host:port */
};

/* What the head of a request said. */
struct tunnel_ask {
	char target[TUNNEL_TARGET]; /* host:port, lower case */
	char bearer[64];            /* Proxy-Authorization: Bearer, "" if absent */
	char identity[24];          /* Usher-Identity: digits, "" if absent */
	struct party peer;          /* the tunnel's to fill; role "" on a plain listener */
};

/* The head of a CONNECT request. *used: its octets. ERR_AGAIN: more are needed; ERR_LIMIT: it has more than TUNNEL_HEAD; ERR_UNSUPPORTED: another method. */
enum err tunnel_head_read(struct bytes in, struct tunnel_ask *ask, size_t *used) MUST_CHECK;
/* The status line and head of an answer; ERR_AGAIN as above. */
enum err tunnel_answer_read(struct bytes in, int *status, size_t *used) MUST_CHECK;

#endif
