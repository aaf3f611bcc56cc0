/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_DLUSIM_H
#define USHER_ROLES_DLUSIM_H
/*
 * DLUSIM service of a home operator (R1-R4): takes owners' orders, registers the route at the registration operator and the
 * IMSI at the HSS. It never sees a claim key, and later carries packages that it cannot read.
 */
#include "core/audit.h"
#include "core/process.h"
#include "proto/json.h"
#include "proto/object.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], equipment[300], owner[300];
	} listen;
	char operator[PLMN_TEXT], dm[ID_MAX], attestation[ID_MAX], equipment_address[300];
	int64_t patience;
};
extern const struct conf_item conf_schema[];

struct dlusim {
	struct process *process;
	struct server *peers, *owner, *equipment;
};

enum { COUNT_ORDERS };
/* How long what is over can still be asked for, and how often it is looked at whether it is still needed (doc/retention.md). */
#define KEEP_MS (30 * INT64_C(86400000))

/* people.c: owners' accounts */
void people_add(struct ask *a, void *process);      /* POST /v1/people, staff */
void people_me(struct ask *a, void *process);       /* GET /v1/people, owner */
/* The owner of the bearer token, then next(a, process, owner); else 401. */
void people_ask(struct ask *a, void *process, void (*next)(struct ask *a, void *process, const char *owner));
/* subscribe.c: step 1 */
/* The OCSP responder of the CA that issued a party's signing certificate: its peer file's, else that of our attestation provider; "". */
const char *subscribe_ocsp(const struct process *p, const char *role, const char *id);
void subscribe_rows(struct ask *a, void *process);  /* POST /v1/subscribe */
void subscribe_one(struct ask *a, void *process);   /* GET /v1/subscribe/<equipment> */
enum err subscribe_status(struct tx *tx, json_t *into, void *process);
extern const struct errand_rule subscribe_rules[];
extern const char *const subscribe_settled[];
enum err subscribe_refused(struct tx *tx, const struct errand *e);

/* challenge.c, verify.c: step 5 */
void challenge_ask(struct ask *a, struct process *p); /* a discover answer came */
void verify_ask(struct ask *a, void *process);      /* POST /v1/verify */
extern const struct errand_rule verify_rules[];
extern const char *const verify_settled[];
enum err verify_refused(struct tx *tx, const struct errand *e);
enum err verify_job_ends(struct tx *tx, const char *id) MUST_CHECK;

/* provision.c: step 6, towards the DM service */
void provision_hand(struct ask *a, void *process);  /* POST /v1/provision */
void provision_ended(struct ask *a, void *process); /* POST /v1/provision/done */

/* install.c: step 7 */
void install_receipt(struct ask *a, void *process); /* POST /v1/install */
extern const struct errand_rule install_rules[];
extern const char *const install_settled[];

#endif
