/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_HSS_H
#define USHER_ROLES_HSS_H
/*
 * Home operator's HSS (R3, R16): IMSIs and their keys, made when an equipment is booked; later it seals them into packages
 * and answers vectors. A K exists here and in one tre.
 */
#include "auc/serve.h"
#include "core/audit.h"
#include "core/process.h"
#include "link/gateway.h"
#include "proto/cms.h"
#include "proto/json.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], gsup[300], access[300];
	} listen;
	char apn[101];
	int64_t package_life, packages_a_day, trial_notice, vectors_rate, resyncs_rate, tunnels;
	struct conf_list selector, forbidden; /* of char[PLMN_TEXT] */
	struct conf_list open; /* of char[300] */
};
extern const struct conf_item conf_schema[];

struct hss {
	struct process *process;
	struct server *peers;
	struct signer signer;
	struct auc_server *vectors;
	struct gateway access;
	char signer_hash[65]; /* SHA-256 of the package signer's SPKI */
};

enum { COUNT_BOOKED, COUNT_BOOKINGS_REFUSED, COUNT_SEALED, COUNT_SEALS_REFUSED, COUNT_VECTORS, COUNT_VECTORS_REFUSED, COUNT_ACCESS,
	COUNT_ACCESS_REFUSED, COUNT_ACTIVE };

/* subscribe.c: step 1 */
void subscribe_signer(struct ask *a, void *process);  /* POST /v1/signer */
void subscribe_book(struct ask *a, void *process);    /* POST /v1/subscribe */
enum err subscribe_open(struct hss *h, struct why *w) MUST_CHECK;
/* verify.c: step 5 */
void verify_seal(struct ask *a, void *process);       /* POST /v1/verify */
/* vectors.c: step 3 at home; access.c: the gateway of IMSIs */
enum err vectors_open(struct hss *h, struct why *w) MUST_CHECK;
enum err access_open(struct hss *h, struct why *w) MUST_CHECK;
/* install.c: step 7 */
void install_receipt(struct ask *a, void *process);   /* POST /v1/install */
/* pool.c: the numbers, their states and moves */
extern const struct numbers imsis;
void pool_add(struct ask *a, void *process);          /* POST /v1/pool */
void pool_list(struct ask *a, void *process);         /* GET /v1/pool */
void pool_show(struct ask *a, void *process);         /* GET /v1/pool/<imsi> */
void pool_move(struct ask *a, void *process);         /* POST /v1/pool/<imsi> */
enum err pool_status(struct tx *tx, json_t *into, void *process);
/* In tx: an allocated IMSI gets a new K and OPc and is prepared for equipment. ERR_LIMIT: none is left. */
enum err pool_prepare(struct tx *tx, const char *equipment, const struct number_event *event, char imsi[DIGITS_MAX], struct why *w) MUST_CHECK;
extern const struct errand_rule expire_rules[]; /* a released IMSI whose package was not used until its expiry is prepared again */

#endif
