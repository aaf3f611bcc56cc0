/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_VISITED_H
#define USHER_ROLES_VISITED_H
/*
 * Visited operator (R15, P4): a roaming edge, which routes GSUP by range of identities, with an embedded access in front:
 * GMM and SM over LLC in GSMTAP, and the user plane that is passed on to the home-routed gateway.
 */
#include <netinet/in.h>

#include "core/audit.h"
#include "core/process.h"
#include "link/gsup.h"
#include "link/tunnel.h"
#include "proto/gmm.h"
#include "proto/gsmtap.h"
#include "proto/llc.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], user[300], cell[300];
	} listen;
	char user_address[300];
	int64_t lac, cell, rac, nmo, contexts;
};
extern const struct conf_item conf_schema[];

struct visited;
enum { TUNNELS = 8 };
enum ms_state { MS_IDLE, MS_VECTORS, MS_AUTH, MS_LOCATION, MS_ACCEPTED, MS_ATTACHED };

/* One equipment's link: its UDP source address (DESIGN 2). */
struct ms {
	struct visited *visited;
	struct ms *next;
	struct sockaddr_in from;
	enum ms_state state;
	char id[18];              /* IMSI digits, of the attach */
	uint32_t ptmsi;
	uint16_t nu_down, nu_up;
	int heard;                /* nu_up is set */
	int64_t last_ms;          /* heard of */
	int64_t tuned_ms;         /* until when System Information is sent */
	struct gsup_vector vector;
	uint8_t ac_ref;
	int resynced;
	char apn[101];            /* granted by the home side; "" before */
	int pdp;                  /* a context is active */
	uint8_t ti, nsapi, address[4], token[32];
	struct tunnel *tunnel[TUNNELS];
	struct timer *resend;
	uint8_t sent[NAS_MAX];    /* waits for an answer */
	size_t sent_n;
	int tries;
};
enum { MS_BUCKETS = 8192 };

struct visited {
	struct process *process;
	struct server *peers;
	struct tunnel_server *user;
	struct gsup_link **link;  /* one per peer with a gsup address */
	size_t links;
	int fd;                   /* the cell's UDP socket */
	struct event *readable;
	struct timer *broadcast;
	struct ms *ms[MS_BUCKETS];
	size_t count;
	uint32_t next_address;
	struct user_plane plane;  /* what Activate Accepts say, but for the token */
	uint8_t si3[23], si13[23];
};

enum { COUNT_ATTACHED, COUNT_REFUSED, COUNT_CONTEXTS, COUNT_ROUTED, COUNT_OUT_OF_RANGE, COUNT_TUNNELS };

/* router.c: GSUP by range */
enum err router_open(struct visited *v) MUST_CHECK;
void router_close(struct visited *v);
/* Sends a request to the peer whose range it is; answered locally with cause 11 (no agreement) or 17 (peer down). */
void router_ask(struct visited *v, const struct gsup *m);
/* The peer that an identity belongs to, or NULL. */
const struct peer *router_peer(const struct visited *v, const char *id);

/* attach.c: GMM and SM of the network's end (step 2) */
void attach_hear(struct ms *m, struct bytes nas);
void attach_gsup(struct visited *v, const struct gsup *m);  /* what a home side says */
void attach_end(struct ms *m);                              /* the link is given up: context, tunnels, token */

/* cell.c: GSMTAP, LLC, System Information, the table of links */
enum err cell_serve(struct visited *v, struct why *w) MUST_CHECK;
void cell_stop(struct visited *v);
void cell_say(struct ms *m, const struct nas *n, int wait_answer);
void cell_answered(struct ms *m);
struct ms *cell_find(struct visited *v, const char *id);
struct ms *cell_by_token(struct visited *v, const uint8_t token[32]);

/* user.c: the user plane (2u) */
enum err user_open(struct visited *v, struct why *w) MUST_CHECK;
void user_forget(struct ms *m);  /* ends its tunnels */

#endif
