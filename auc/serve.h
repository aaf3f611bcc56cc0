/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_SERVE_H
#define USHER_AUC_SERVE_H
/*
 * The home side of GSUP that registration and hss share: SendAuthInfo, UpdateLocation with InsertSubscriberData, Purge,
 * LocationCancel. Which table the identities stand in, and what a state means, is the role's; it gives its own SQL.
 */
#include "auc/auc.h"
#include "core/process.h"
#include "link/gsup.h"

/* cause 0: vectors are given (DESIGN 3, row 3). */
struct auc_state {
	const char *state;
	uint8_t cause;
};
struct auc_serve {
	struct process *process;
	const char *address;          /* of the listener `gsup` */
	const char *apn;              /* that UpdateLocation grants */
	const char *kind;             /* of the audit's subject: "pimsi", "imsi" */
	const char *sql_who;          /* :id -> state, visited, equipment, auc_offset, k, opc */
	const char *sql_offset;       /* :offset, :id */
	const char *sql_location;     /* :visited, :now, :id */
	const char *sql_purge;        /* :id, :visited */
	const struct auc_state *states; /* ended by {0} */
	int count_given, count_refused; /* metrics */
};
/* The database has a table auc (one, mark). *out is set also on failure, for auc_serve_close. */
struct auc_server;
enum err auc_serve_open(const struct auc_serve *conf, struct auc_server **out, struct why *w) MUST_CHECK;
void auc_serve_close(struct auc_server *s);
struct auc *auc_serve_auc(struct auc_server *s);
/* Detaches an identity from the network that holds it (LocationCancel, withdraw). */
void auc_serve_cancel(struct auc_server *s, const char *plmn, const char *id);

#endif
