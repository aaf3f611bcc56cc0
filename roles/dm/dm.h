/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_DM_H
#define USHER_ROLES_DM_H
/*
 * DM service (R10, R11): an OMA Device Management server. It delivers packages by SCOMO to equipments whose account the
 * DLUSIM service made for one job, and can read none of them. Sessions are rows: nothing lives in a connection.
 */
#include "core/audit.h"
#include "core/process.h"
#include "proto/json.h"
#include "proto/object.h"
#include "proto/syncml.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], equipment[300];
	} listen;
	int64_t patience;
};
extern const struct conf_item conf_schema[];

struct dm {
	struct process *process;
	struct server *peers, *equipment;
};

enum { COUNT_SESSIONS, COUNT_REFUSED };

/* provision.c: the wire: POST /v1/provision */
void provision_message(struct ask *a, void *process);
/* jobs.c: a job's life, and what to say next */
struct job {
	char user[ID_MAX + JOB_MAX], dlusim[ID_MAX], job[JOB_MAX], state[16], equipment[EQUIPMENT_MAX], client_hash[DM_HASH], server_hash[DM_HASH],
		package_id[JOB_MAX];
	struct { size_t n; uint8_t p[64]; } client_nonce, server_nonce;
	int64_t result, failures, expires;
};
enum err job_get(struct tx *tx, const char *user, struct job *j) MUST_CHECK;
enum err job_save(struct tx *tx, const struct job *j) MUST_CHECK;
/* What an authenticated message does to the job, and the commands that answer it. */
enum err job_step(struct tx *tx, struct job *j, const struct syncml *in, struct syncml *out) MUST_CHECK;
extern const struct errand_rule job_rules[];
extern const char *const job_settled[];
enum err job_begin(struct tx *tx, const char *user, const char *dlusim, const char *job) MUST_CHECK;
enum err job_status(struct tx *tx, json_t *into, void *process);

#endif
