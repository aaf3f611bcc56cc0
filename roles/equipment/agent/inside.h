/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_AGENT_INSIDE_H
#define USHER_ROLES_EQUIPMENT_AGENT_INSIDE_H
/* The inside of the agent, one file per step. */
#include "roles/equipment/agent/agent.h"

struct agent {
	struct agent_conf conf;
	struct tre *tre;
	struct modem *modem;
	struct tls *tls;
	struct http *http;
	struct timer *again;
	struct modem_path path;
	struct order order;
	int slot, failures, challenges, polls, closing, trial, trials, home; /* trial: slot under trial, 0: none; home: on the committed USIM */
	int64_t sent, received, turns;   /* on the equipment's link since power-on */
	int journey;
	struct discover_answer route;
	uint8_t *carried;                /* a signed object that is under way, to be sent again */
	size_t carried_n;
	struct trigger trigger;          /* the DM account of one job */
	struct session *session;         /* with the DM service, or NULL */
};

void agent_tell(struct agent *a, const char *step, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Detaches, and begins anew with back-off; not before least_ms. */
void agent_later(struct agent *a, int64_t least_ms);
/* Counts what an answer cost on the link. */
void agent_count(struct agent *a, const struct response *r);
/* The state that this run was to reach is reached. */
void agent_reached(struct agent *a, enum agent_goal goal);
void agent_carry(struct agent *a, struct bytes b); /* copies; an empty view forgets */

/* verify.c: step 5; der: the discover answer */
void verify_begin(struct agent *a, struct bytes der);
/* provision.c: step 6, once the trigger is believed */
void provision_begin(struct agent *a);
void provision_end(struct agent *a);
/* install.c: step 7 */
void install_begin(struct agent *a);
void install_up(struct agent *a);
void install_failed(struct agent *a, const char *why);
int install_again(const struct agent *a);
void install_home(struct agent *a);
void install_home_up(struct agent *a);

#endif
