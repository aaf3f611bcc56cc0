/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_ROLES_REGISTRATION_H
#define USHER_ROLES_REGISTRATION_H
/*
 * Registration operator (R5-R7, R9, R17): issues PIMSIs with K to equipments, knows where each equipment's owner wants it
 * to go, gives vectors for PIMSIs, and answers `discover`.
 */
#include <sys/queue.h>

#include "auc/serve.h"
#include "core/audit.h"
#include "core/process.h"
#include "link/gsup.h"
#include "link/gateway.h"
#include "proto/cms.h"
#include "proto/json.h"

struct conf {
	char role[ROLE_MAX], id[ID_MAX], log[8];
	struct {
		char peers[300], discover[300], gsup[300], access[300];
	} listen;
	char realm[ID_MAX], apn[101], discover_address[300];
	struct conf_list allowed; /* of char[PLMN_TEXT] */
	int64_t grace, vectors_rate, resyncs_rate, budget_octets, budget_seconds, budget_attempts, tunnels;
};
extern const struct conf_item conf_schema[];
enum err conf_check(const void *conf, struct why *w) MUST_CHECK;

struct challenges;
struct registration {
	struct process *process;
	struct server *peers, *discover;
	struct signer signer;
	struct auc_server *vectors;
	struct gateway access;
	struct timer *meter;
	LIST_HEAD(, usage) usages; /* of PIMSIs with a tunnel: access.c */
	struct challenges *challenges; /* of discover */
};

enum { COUNT_ORDERED, COUNT_BOUND, COUNT_CLAIMED, COUNT_CLAIMS_REFUSED, COUNT_VECTORS, COUNT_VECTORS_REFUSED, COUNT_ACCESS, COUNT_ACCESS_REFUSED,
	COUNT_DISCOVERED, COUNT_NOT_SUBSCRIBED, COUNT_DISCOVER_REFUSED };

/* manufacture.c: step 0 */
void manufacture_order(struct ask *a, void *process);   /* POST /v1/manufacture/order */
void manufacture_bind(struct ask *a, void *process);    /* POST /v1/manufacture/bind */
/* subscribe.c: step 1 */
void subscribe_claim(struct ask *a, void *process);     /* POST /v1/subscribe */
/* vectors.c: step 3, and where a PIMSI is attached */
enum err vectors_open(struct registration *r, struct why *w) MUST_CHECK;
/* access.c: the gateway of limited access */
enum err access_open(struct registration *r, struct why *w) MUST_CHECK;
/* discover.c: step 4 */
void discover_ask(struct ask *a, void *process);        /* GET /v1/discover */
/* install.c: step 7 */
void install_receipt(struct ask *a, void *process);     /* POST /v1/install */
extern const struct errand_rule retire_rules[];
/* In tx: the PIMSI is retired when the grace after `from` (seconds since 1970) is over. */
enum err retire_later(struct tx *tx, const char *pimsi, int64_t from) MUST_CHECK;
/* pool.c: the numbers, their states and moves */
extern const struct numbers pimsis;
enum { PIMSIS_MAX = 64 };
struct of_equipment {
	char pimsi[PIMSIS_MAX][DIGITS_MAX], state[PIMSIS_MAX][NUMBER_STATE];
	int n;
};
/* All PIMSIs of an equipment. ERR_LIMIT: more than PIMSIS_MAX. */
enum err pool_of(struct tx *tx, const char *equipment, struct of_equipment *m) MUST_CHECK;
void pool_add(struct ask *a, void *process);            /* POST /v1/pool */
void pool_list(struct ask *a, void *process);           /* GET /v1/pool */
void pool_show(struct ask *a, void *process);           /* GET /v1/pool/<pimsi> */
void pool_move(struct ask *a, void *process);           /* POST /v1/pool/<pimsi> */
enum err pool_status(struct tx *tx, json_t *into, void *process);

#endif
