/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_AGENT_H
#define USHER_ROLES_EQUIPMENT_AGENT_H
/*
 * The agent fetches and carries for one equipment. It holds no secret and decides nothing: what it brings, the tre checks.
 * What happened it tells in DIR/journey, a JSON object per line.
 */
#include "core/http.h"
#include "roles/equipment/doors.h"

struct agent;
enum agent_goal { GOAL_NONE, GOAL_DISCOVERED, GOAL_TRIGGERED, GOAL_INSTALLED, GOAL_OPERATIVE };
struct agent_conf {
	struct loop *loop;
	const char *dir;
	const char (*frequency)[300];
	size_t frequencies;
	int64_t trial_ms;                           /* T: a trial that is not over then has failed (DESIGN 4) */
	int64_t ocsp_wait_ms;                       /* how long a DM session waits for OCSP before it goes on without */
	enum agent_goal goal;                       /* ended is called when it is reached */
	void (*ended)(struct agent *a, void *arg);  /* may be NULL */
	void *arg;
};
enum err agent_open(const struct agent_conf *c, struct agent **out, struct why *w) MUST_CHECK;
void agent_close(struct agent *a);

#endif
