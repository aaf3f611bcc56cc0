/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 7 at the registration operator: the receipt says that the equipment has its own USIM. Its PIMSI is used, and after the
 * grace retired; until then the equipment may still come back with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/registration/registration.h"

enum { DER_MAX = 24 * 1024 };

struct taking {
	struct ask *ask;
	struct process *process;
	struct receipt r;
	struct cms_signed by;
	char certificate[65];
	struct why why;
};

static enum err retire_later(struct tx *tx, const char *pimsi)
{
	const struct process *p = store_owner(tx);
	const struct conf *c = p->conf;
	enum err e = tx_errand_begin(tx, "retire", pimsi, "waiting");

	tx_mark(tx, MARK_DUE);
	return e ? e : tx_do(tx, "UPDATE errand SET due = :due WHERE kind = 'retire' AND id = :id", WITH(B_INT("due", clock_now_ms() + c->grace * 1000),
		B_TEXT("id", pimsi)));
}

static enum err receipt_write(struct tx *tx, void *arg)
{
	struct taking *t = arg;
	const struct row *r;
	char state[16];
	enum err e = tx_get(tx, "SELECT p.state FROM pimsi p JOIN equipment e ON e.equipment = p.equipment WHERE p.pimsi = :pimsi AND p.equipment = :equipment"
		" AND e.certificate = :certificate", WITH(B_TEXT("pimsi", t->r.pimsi), B_TEXT("equipment", t->r.equipment), B_TEXT("certificate", t->certificate)), &r);

	if (e)
		return e == ERR_MISSING ? fail(&t->why, ERR_DENIED, "PIMSI %s is not bound to %s with this certificate", t->r.pimsi, t->r.equipment) : e;
	row_copy(r, 0, state, sizeof(state));
	if (!strcmp(state, "used") || !strcmp(state, "retired"))
		return OK; /* told before */
	if (strcmp(state, "routed"))
		return fail(&t->why, ERR_ORDER, "PIMSI %s is %s", t->r.pimsi, state);
	e = tx_do(tx, "UPDATE pimsi SET state = 'used', changed_at = :now WHERE pimsi = :pimsi", WITH(B_INT("now", clock_now()), B_TEXT("pimsi", t->r.pimsi)));
	if (!e)
		e = retire_later(tx, t->r.pimsi);
	return e ? e : tx_audit(tx, "install", ABOUT({ "pimsi", t->r.pimsi }, { "equipment", t->r.equipment }),
		"%s has its own USIM of operator %s; PIMSI %s is used, and will be retired", t->r.equipment, t->r.operator, t->r.pimsi);
}

static void receipt_written(void *arg, enum err e)
{
	struct taking *t = arg;

	log_hop(e ? LOG_WARN : LOG_INFO, "install", "pimsi=%s eq=%s result=%s", t->r.pimsi, t->r.equipment, err_name(e));
	if (e)
		ask_refuse(t->ask, e, "%s", t->why.text[0] ? t->why.text : "send the receipt again");
	else
		ask_reply_json(t->ask, 200, json_pack("{s:s}", "state", "used"));
	cms_signed_free(&t->by);
	free(t);
}

void install_receipt(struct ask *a, void *process)
{
	struct process *p = process;
	json_t *o = ask_json(a);
	struct taking *t = o ? calloc(1, sizeof(*t)) : NULL;
	uint8_t der[DER_MAX];
	size_t n = 0;
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return;
	e = t ? json_get_b64(o, "receipt", der, sizeof(der), &n, &w) : ERR_NOMEM;
	json_decref(o);
	if (!e)
		e = cms_open(OBJECT_RECEIPT, BYTES(der, n), NULL, tls_roots(p->tls), (struct cert_time){ clock_now(), 0 }, &t->r, &t->by, &w);
	if (!e && (strcmp(t->by.party.id, t->r.equipment) || !bytes_same(t->by.hash, t->r.certificate, 32)))
		e = fail(&w, ERR_DENIED, "the receipt of %s is signed by %s", t->r.equipment, t->by.party.id);
	if (!e)
		e = hex_of(BYTES_OF(t->by.hash), t->certificate, sizeof(t->certificate));
	if (e) {
		if (t)
			cms_signed_free(&t->by);
		free(t);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	t->ask = a;
	t->process = p;
	store_run(p->store, receipt_write, t, receipt_written);
}

/* --- the grace is over --- */

static enum err retire(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct row *r;
	char equipment[EQUIPMENT_MAX];
	enum err err = tx_get(tx, "SELECT equipment FROM pimsi WHERE pimsi = :pimsi AND state = 'used'", WITH(B_TEXT("pimsi", e->id)), &r);

	(void)event, (void)w;
	if (err)
		return err == ERR_MISSING ? OK : err;
	row_copy(r, 0, equipment, sizeof(equipment));
	err = tx_do(tx, "UPDATE pimsi SET state = 'retired', changed_at = :now WHERE pimsi = :pimsi", WITH(B_INT("now", clock_now()), B_TEXT("pimsi", e->id)));
	return err ? err : tx_audit(tx, "install", ABOUT({ "pimsi", e->id }, { "equipment", equipment }), "PIMSI %s is retired: its grace is over", e->id);
}

const struct errand_rule retire_rules[] = {
	{ "waiting", "due", NULL, retire, "retired", NULL },
	{ 0 },
};
