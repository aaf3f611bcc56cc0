/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_SERVE_H
#define USHER_AUC_SERVE_H
/*
 * The home side of GSUP that registration and hss share: SendAuthInfo, UpdateLocation with InsertSubscriberData, Purge,
 * LocationCancel. What a state means, and what an UpdateLocation does (event `location`), the role's tables say (auc/number.h).
 */
#include "auc/auc.h"
#include "auc/number.h"
#include "link/gsup.h"

/* Items of the configuration of whoever serves vectors. */
#define AUC_RATES(type_) \
	{ "vectors_rate", CONF_INT, CONF_AT(type_, vectors_rate), 1, 1000000, "10000", \
		"vectors, and as many changes of place, that one network may ask for in a second", 0, NULL, 0 }, \
	{ "resyncs_rate", CONF_INT, CONF_AT(type_, resyncs_rate), 1, 1000000, "100", \
		"resynchronisations that one network may ask for in a second", 0, NULL, 0 }

struct auc_serve {
	struct process *process;
	const char *address;          /* of the listener `gsup` */
	const char *apn;              /* that UpdateLocation grants */
	const struct numbers *numbers;
	int64_t rate, resyncs;        /* SendAuthInfo (and as many changes of place), resynchronisations that one network may ask for in a second */
	int count_given, count_refused; /* metrics */
};
/* The database has a table auc (one, mark, rand_key). *out is set also on failure, for auc_serve_close. */
struct auc_server;
enum err auc_serve_open(const struct auc_serve *conf, struct auc_server **out, struct why *w) MUST_CHECK;
void auc_serve_close(struct auc_server *s);
struct auc *auc_serve_auc(struct auc_server *s);
/* Puts a higher mark on disk if it is time: after ERR_AGAIN. */
void auc_serve_renew(struct auc_server *s);

#endif
