/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The life of an IMSI (R3, R16; DESIGN 4): its states, and who moves it from one to the next. */
#include <string.h>

#include "core/clock.h"
#include "roles/hss/hss.h"

static enum err key_again(struct tx *tx, struct number *x, struct why *w);
static enum err unbook(struct tx *tx, struct number *x, struct why *w);

static const struct number_state states[] = {
	{ "allocated", 0, 17, "nobody has it; the next booking takes it" },
	{ "prepared", 0, 17, "booked for an equipment, with a key; released when that proves itself" },
	{ "released", 1, 0, "sealed into a package; on trial when its equipment attaches with it, prepared again when the package expires" },
	{ "trial", 1, 0, "used by its equipment; active when its receipt comes" },
	{ "active", 5, 0, "the equipment's own" },
	{ "suspended", 0, 17, "barred by staff until it is resumed" },
	{ "terminated", 0, 8, "barred for ever; in quarantine when no network holds it any more" },
	{ "quarantine", 0, 8, "barred until staff releases it into the pool" },
	{ 0 },
};
#define SEALED "released IMSI {number} to {equipment} on its evidence: {by}"
#define ACTIVE "IMSI {number} is active: {equipment} signed the receipt of package {by}"
#define ENDED "IMSI {number} of {equipment} is terminated by {by}"
static const struct number_move moves[] = {
	{ "allocated", "book", "prepared", "dlusim", "subscribe", "prepared IMSI {number} and its key for {equipment}, asked by DLUSIM service {by}", NULL },
	{ "prepared", "seal", "released", "dlusim", "verify", SEALED, NULL },
	{ "released", "seal", "released", "dlusim", "verify", SEALED, NULL },
	{ "trial", "seal", "released", "dlusim", "verify", SEALED, NULL },
	{ "released", "expire", "prepared", "time", "verify",
		"the package of {equipment} expired unused: IMSI {number} is prepared again, with a new key", key_again },
	{ "released", "location", "trial", "visited", "attach", "IMSI {number} is on trial: {equipment} attached in network {by}", NULL },
	{ "released", "receipt", "active", "equipment", "install", ACTIVE, NULL },
	{ "trial", "receipt", "active", "equipment", "install", ACTIVE, NULL },
	{ "active", "suspend", "suspended", "staff", "pool", "IMSI {number} of {equipment} is suspended by {by}", NULL },
	{ "suspended", "resume", "active", "staff", "pool", "IMSI {number} of {equipment} is active again, resumed by {by}", NULL },
	{ "released", "terminate", "terminated", "staff", "pool", ENDED, NULL },
	{ "trial", "terminate", "terminated", "staff", "pool", ENDED, NULL },
	{ "active", "terminate", "terminated", "staff", "pool", ENDED, NULL },
	{ "suspended", "terminate", "terminated", "staff", "pool", ENDED, NULL },
	{ "terminated", "let-go", "quarantine", "visited", "pool", "IMSI {number} is in quarantine: no network holds it any more", NULL },
	{ "terminated", "quarantine", "quarantine", "staff", "pool", "IMSI {number} is in quarantine, put there by {by}", NULL },
	{ "quarantine", "release", "allocated", "staff", "pool",
		"IMSI {number} is in the pool again, released by {by}: {equipment} can never return with it", unbook },
	{ "prepared", "release", "allocated", "staff", "pool", "IMSI {number} is in the pool again, released by {by}: {equipment} never had it", unbook },
	{ 0 },
};
static struct number_changes changes = { .lock = PTHREAD_MUTEX_INITIALIZER };
const struct numbers imsis = { "imsi", "IMSI", states, moves, &changes, NUMBER_SQL("imsi") };

/* --- what else a move does --- */

static enum err keys_make(struct secret *k, struct secret *opc)
{
	enum err e = secret_random(k, sizeof(*k));

	return e ? e : secret_random(opc, sizeof(*opc));
}

static enum err key_again(struct tx *tx, struct number *x, struct why *w)
{
	struct secret k, opc;
	enum err e = keys_make(&k, &opc);

	(void)w;
	if (!e)
		e = number_key(tx, &imsis, x->id, &k, &opc);
	secret_wipe(&k, sizeof(k));
	secret_wipe(&opc, sizeof(opc));
	return e;
}

static enum err unbook(struct tx *tx, struct number *x, struct why *w)
{
	(void)w;
	return tx_do(tx, "DELETE FROM booking WHERE imsi = :imsi", WITH(B_TEXT("imsi", x->id)));
}

enum err pool_prepare(struct tx *tx, const char *equipment, const struct number_event *event, char imsi[DIGITS_MAX], struct why *w)
{
	struct secret k, opc;
	struct number x = { .id = "" };
	enum err e = keys_make(&k, &opc);

	if (!e)
		e = number_take(tx, &imsis, &(struct number_issue){ equipment, &k, &opc, event }, &x, w);
	memcpy(imsi, x.id, DIGITS_MAX);
	secret_wipe(&k, sizeof(k));
	secret_wipe(&opc, sizeof(opc));
	return e;
}

/* --- a package that expires unused --- */

static enum err expire(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)event;
	return number_due(tx, &imsis, e, "expire", w);
}

const struct errand_rule expire_rules[] = {
	{ "waiting", "due", NULL, expire, "expired", NULL },
	{ 0 },
};

/* --- the duty --- */

void pool_add(struct ask *a, void *process) { pool_ask_add(a, process, &imsis); }
void pool_list(struct ask *a, void *process) { pool_ask_list(a, process, &imsis); }
void pool_show(struct ask *a, void *process) { pool_ask_show(a, process, &imsis); }
void pool_move(struct ask *a, void *process) { pool_ask_move(a, process, &imsis); }

/* An equipment on trial for longer than a package lives, and no receipt: shown, and nothing by itself (DESIGN 4). */
enum err pool_status(struct tx *tx, json_t *into, void *process)
{
	const struct conf *c = ((struct process *)process)->conf;
	const struct row *r;
	enum err e = tx_get(tx,
		"SELECT COUNT(*) FROM imsi WHERE state = 'trial' AND changed_at <= :since", WITH(B_INT("since", clock_now() - c->trial_notice)), &r);

	if (!e && row_int(r, 0) && json_object_set_new(into, "attention", json_sprintf("%lld IMSIs are on trial without a receipt for too long:"
		" `usher imsi list --state trial` shows them", (long long)row_int(r, 0))))
		e = ERR_NOMEM;
	return e ? e : pool_tell(tx, &imsis, into);
}
