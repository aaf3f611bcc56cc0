/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_VISITED_H
#define USHER_ROLES_VISITED_H
/*
 * Visited operator (R15, P4): a roaming edge, which routes GSUP by range of identities, with an access in front: the embedded
 * one (GMM and SM over LLC in GSMTAP, and the user plane that is passed on to the home-routed gateway), or SGSNs of Osmocom's
 * kind, or both at once.
 */
#include <netinet/in.h>
#include <sys/queue.h>

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
		char peers[300], user[300], cell[300], sgsn[300];
	} listen;
	char user_address[300];
	int sgsn_protected;
	int64_t lac, cell, rac, nmo, contexts, per_address, visitors;
};
extern const struct conf_item conf_schema[];

struct visited;
struct visitor;
enum { TUNNELS = 8, SGSNS = 32, MS_BUCKETS = 8192, ADDRESS_BUCKETS = 4096 };
/* The procedure that runs on a link. */
enum ms_state { MS_IDLE, MS_VECTORS, MS_AUTH, MS_LOCATION, MS_ACCEPTED, MS_DETACHING };

/* An attach that has proved nothing yet: it disturbs nobody until its RES is right (TS 24.008 4.7.3.1.6 d). */
struct attempt {
	char id[GSUP_IMSI];
	struct gsup_vector vector;
	int resynced;
};

/* One equipment's link: its UDP source address (DESIGN 2). */
struct ms {
	struct visited *visited;
	struct ms *next, *token_next;
	TAILQ_ENTRY(ms) young;    /* while id is "" */
	struct sockaddr_in from;
	enum ms_state state;
	struct attempt attempt;
	char id[GSUP_IMSI];       /* who it is: AKA succeeded; "" before */
	int attached;
	uint32_t ptmsi;
	uint16_t nu_down, nu_up;
	int heard;                /* nu_up is set */
	int64_t last_ms;          /* heard of */
	int64_t tuned_ms;         /* until when System Information is sent */
	uint8_t ac_ref;
	int apns;                 /* granted by the home side */
	char apn[GSUP_PDPS][101];
	int pdp;                  /* a context is active, for the APN context */
	char context[101];
	uint8_t ti, nsapi, address[4], token[32];
	struct tunnel *tunnel[TUNNELS];
	struct timer *resend;
	uint8_t sent[NAS_MAX];    /* waits for an answer */
	size_t sent_n;
	int tries;
};

/* One of the operator's own SGSNs, by its IPA name; it stays when its link goes. */
struct sgsn {
	char name[ID_MAX];
	struct gsup_link *link;   /* NULL: down */
};

/* Where an identity is, or who asks: an embedded link, an SGSN, or (both NULL) nowhere. */
struct place {
	struct ms *ms;
	struct sgsn *sgsn;
};

struct visited {
	struct process *process;
	struct server *peers;
	struct tunnel_server *user;
	struct gsup_link **link;  /* one per peer with a gsup address */
	size_t links;
	struct gsup_server *sgsn_server;
	struct sgsn sgsn[SGSNS];
	struct visitors *visitors;
	int fd;                   /* the cell's UDP socket */
	struct event *readable;
	struct timer *broadcast;
	struct ms *ms[MS_BUCKETS], *token[MS_BUCKETS];
	TAILQ_HEAD(, ms) young;   /* who has proved nothing, longest silent first */
	int address[ADDRESS_BUCKETS]; /* links by source address */
	size_t count;
	uint32_t next_address;
	struct user_plane plane;  /* what Activate Accepts say, but for the token */
	uint8_t si3[23], si13[23];
};

enum { COUNT_ATTACHED, COUNT_REFUSED, COUNT_CONTEXTS, COUNT_ROUTED, COUNT_OUT_OF_RANGE, COUNT_UNASKED, COUNT_CROWDED, COUNT_TUNNELS };

/*
 * visitors.c: who is here, and which questions about him are open. GSUP has no transaction number: an answer belongs to the
 * oldest open question of its kind about its identity.
 */
struct question {
	TAILQ_ENTRY(question) all, own;
	struct visitor *visitor;
	uint8_t type;             /* of the request */
	int by_home;              /* the home side asks, or we ourselves (home NULL); else an access does */
	struct place from;        /* the access that asks; nowhere: it is gone, and nobody hears the answer */
	struct gsup_link *home;   /* who is asked, or asks */
	int64_t until;
};
struct visitors_conf {
	struct loop *loop;
	int64_t most;             /* identities in SGSNs; the longest unheard leaves, and is looked for when needed */
	void (*late)(const struct question *q, const char *id, void *arg); /* nobody answered in time; q is gone after it */
	void *arg;
};
enum err visitors_open(const struct visitors_conf *c, struct visitors **out) MUST_CHECK;
void visitors_close(struct visitors *t);
/* from NULL: by_home. ERR_LIMIT: too many are open, of this side about this identity, or at all. */
enum err visitors_ask(struct visitors *t, const char *id, uint8_t type, const struct place *from, struct gsup_link *home) MUST_CHECK;
/* Takes the oldest open question of this type. ERR_MISSING: nobody asked. */
enum err visitors_answer(struct visitors *t, const char *id, uint8_t type, int by_home, struct question *out) MUST_CHECK;
void visitors_unask(struct visitors *t, const char *id, uint8_t type, int by_home); /* the newest: it could not be passed on */
struct place visitors_where(const struct visitors *t, const char *id);  /* by the last UpdateLocation that went well */
struct place visitors_arriving(const struct visitors *t, const char *id); /* whose UpdateLocation is open */
void visitors_place(struct visitors *t, const char *id, struct place at); /* nowhere: it left */
void visitors_forget(struct visitors *t, const struct ms *m); /* it is gone: nobody waits for the answers to its questions */
void visitors_home_down(struct visitors *t, const struct gsup_link *home); /* its questions are late now */

/* router.c: GSUP by range */
enum err router_open(struct visited *v) MUST_CHECK;
/* The agreements are peers/ as it was read last: new peers are dialled, links that none names any more are closed, and who waits for an
 * answer there hears cause 17. Ranges and gateways count for the next message and connection. */
enum err router_agree(struct visited *v) MUST_CHECK;
void router_close(struct visited *v);
/* Sends an embedded link's message to the peer whose range it is; answered locally with cause 11 (no agreement) or 17 (peer down). */
void router_say(struct ms *m, const struct gsup *g);
/* The same for an SGSN's, whose octets pass as they came. */
void router_pass(struct visited *v, struct sgsn *s, const struct gsup *g, struct bytes octets);
/* The peer that an identity belongs to, or NULL. */
const struct peer *router_peer(const struct visited *v, const char *id);

/* sgsn.c: the listener for the operator's own SGSNs */
enum err sgsn_open(struct visited *v, struct why *w) MUST_CHECK;

/* attach.c: GMM and SM of the network's end (step 2) */
void attach_hear(struct ms *m, struct bytes nas);
void attach_gsup(struct ms *m, const struct gsup *g);       /* what a home side says */
void attach_silent(struct ms *m);                           /* no answer to what was sent again and again */
void attach_moved(struct ms *m);                            /* the identity is on another link or SGSN now */
void attach_gone(struct ms *m);                             /* the link is given up: context, tunnels, token; the home side hears it */

/* cell.c: GSMTAP, LLC, System Information, the table of links */
enum err cell_serve(struct visited *v, struct why *w) MUST_CHECK;
void cell_stop(struct visited *v);
void cell_say(struct ms *m, const struct nas *n, int wait_answer);
void cell_answered(struct ms *m);
void cell_known(struct ms *m, const char *id);              /* it has proved who it is; "": it is nobody again */
enum err cell_token_new(struct ms *m) MUST_CHECK;
void cell_token_end(struct ms *m);
struct ms *cell_by_token(struct visited *v, const uint8_t token[32]);

/* user.c: the user plane (2u) */
enum err user_open(struct visited *v, struct why *w) MUST_CHECK;
void user_forget(struct ms *m);  /* ends its tunnels */

#endif
