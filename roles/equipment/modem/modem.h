/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_MODEM_H
#define USHER_ROLES_EQUIPMENT_MODEM_H
/* The inside of the modem: its radio (gsmtap.c), the choice of a network (cell.c), GMM (attach.c) and SM (context.c). */
#include <netinet/in.h>

#include "core/clock.h"
#include "core/log.h"
#include "proto/gmm.h"
#include "proto/gsmtap.h"
#include "roles/equipment/doors.h"

enum { FREQUENCIES = 32 };
enum state { DOWN, LISTENING, ATTACHING, ACTIVATING, PDP_PAUSE, UP };

/* In this search: not listened to yet, heard and left for a better one, done with. */
enum look { LOOK_NEW, LOOK_HEARD, LOOK_DONE };

struct frequency {
	struct sockaddr_in at;
	char plmn[PLMN_TEXT];
	enum look look;
	int rank, silent;          /* how much it is wanted (tre_rank); nothing was heard last time */
	int refusals;              /* one after the other */
	int64_t forbidden_until;   /* after a refusal; a time, never for ever */
	char why[96];
};
struct modem {
	struct loop *loop;
	struct tre *tre;
	int fd, slot, last_slot;
	struct event *readable;
	struct timer *timer;
	struct frequency frequency[FREQUENCIES];
	size_t n, now;             /* the frequency we are on */
	enum state state;
	struct cell_info cell;
	int heard;                 /* 1: SI 3, 2: SI 13 */
	int tries;
	int proved, unproved, challenges; /* of this attach: the network has shown that it knows our key; has failed to; has tried */
	int64_t up_ms;
	uint16_t nu_up, nu_down;
	int nu_known;
	uint8_t sent[NAS_MAX];
	size_t sent_n;
	char apn[101];
	int answered;              /* last_answer is set, for last_rand: a repeated challenge gets the same (TS 24.008 4.7.7.2) */
	uint8_t last_rand[16];
	struct nas last_answer;
	struct modem_path path;
	struct modem_events events;
	void *arg;
};

/* gsmtap.c: frames up and down */
void modem_step(struct modem *m, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* for people */
void modem_say(struct modem *m, const struct nas *n, int wait); /* and again while no answer comes, if one is waited for */
void modem_say_once(struct modem *m, struct bytes nas);         /* beside what is waited for */
void modem_tune_in(struct modem *m);
void modem_rest(struct modem *m);                               /* nothing is waited for any more */

/* cell.c: listening, and which network is next */
void cell_next(struct modem *m);
void cell_hear(struct modem *m, struct bytes si);
void cell_give_up(struct modem *m, const char *why);            /* this network, in this search */
void cell_refused(struct modem *m, int cause, const char *what);
void cell_avoid(struct modem *m, int64_t ms);                   /* doubled each time; for a while, never for ever */

void cell_steady(struct modem *m);                              /* what has served for a while is forgiven what it refused */

/* attach.c: GMM */
void attach_begin(struct modem *m);
void attach_hear(struct modem *m, const struct nas *n);
void attach_leave(struct modem *m);                             /* a network that let us in is told that we go */

/* context.c: the PDP context */
void context_begin(void *modem);
void context_hear(struct modem *m, const struct nas *n);

#endif
