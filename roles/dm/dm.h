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

enum { COUNT_MESSAGES, COUNT_REFUSED };

/* provision.c: the wire: POST /v1/provision */
void provision_message(struct ask *a, void *process);
/* jobs.c: a job's life */
struct nonce {
	size_t n;
	uint8_t p[64];
};
struct job {
	char user[ID_MAX + JOB_MAX], dlusim[ID_MAX], job[JOB_MAX], equipment[EQUIPMENT_MAX], package_id[JOB_MAX];
	char state[16];                             /* ready, delivered, installed, active, failed, expired */
	char client_hash[DM_HASH], server_hash[DM_HASH]; /* "": the account is dead */
	struct nonce client_nonce, server_nonce;
	int64_t result, expires;
	/* the session under way: its id, the highest MsgID taken, what it was asked ("", install, activate), and the last answer,
	 * which a repeated message gets again */
	char session[16], said[16], mac[DM_MAC], reply_mac[DM_MAC];
	int64_t msg;
};
enum err job_get(struct tx *tx, const char *user, struct job *j) MUST_CHECK;
enum err job_save(struct tx *tx, const struct job *j, struct bytes reply) MUST_CHECK;
/* Finds or makes the errand that fetches the job. ERR_AGAIN: too many are being fetched. */
enum err job_begin(struct tx *tx, const char *user, const char *dlusim, const char *job) MUST_CHECK;
/* How it ended: the DLUSIM service is told, and the account's secrets die. */
enum err job_finish(struct tx *tx, struct job *j, const char *state, int64_t result) MUST_CHECK;
extern const struct errand_rule job_rules[];
extern const char *const job_settled[];
enum err job_status(struct tx *tx, json_t *into, void *process);
/* session.c: what an authenticated message does to its job, and the commands that answer it */
enum err session_step(struct tx *tx, struct job *j, const struct syncml *in, struct syncml *out) MUST_CHECK;

#endif
