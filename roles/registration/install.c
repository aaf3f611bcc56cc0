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

enum err retire_later(struct tx *tx, const char *pimsi, int64_t from)
{
	const struct process *p = store_owner(tx);
	const struct conf *c = p->conf;
	enum err e = tx_errand_end(tx, "retire", pimsi);

	if (!e)
		e = tx_errand_begin(tx, "retire", pimsi, "waiting");
	tx_mark(tx, MARK_DUE);
	return e ? e : tx_do(tx, "UPDATE errand SET due = :due WHERE kind = 'retire' AND id = :id", WITH(B_INT("due", (from + c->grace) * 1000),
		B_TEXT("id", pimsi)));
}

/* The same receipt again: the same answer, whatever became of the PIMSI since. */
static enum err taken_before(struct tx *tx, const struct taking *t)
{
	const struct row *r;

	return tx_get(tx, "SELECT 1 FROM receipt WHERE equipment = :equipment AND package = :package AND pimsi = :pimsi",
		WITH(B_TEXT("equipment", t->r.equipment), B_TEXT("package", t->r.package), B_TEXT("pimsi", t->r.pimsi)), &r);
}

static enum err receipt_write(struct tx *tx, void *arg)
{
	struct taking *t = arg;
	struct number x;
	const struct row *r;
	enum err e = taken_before(tx, t);

	if (e != ERR_MISSING)
		return e;
	e = tx_get(tx, "SELECT 1 FROM pimsi p JOIN equipment e ON e.equipment = p.equipment WHERE p.pimsi = :pimsi AND p.equipment = :equipment"
		" AND e.certificate = :certificate", WITH(B_TEXT("pimsi", t->r.pimsi), B_TEXT("equipment", t->r.equipment), B_TEXT("certificate", t->certificate)), &r);
	if (e)
		return e == ERR_MISSING ? fail(&t->why, ERR_DENIED, "PIMSI %s is not bound to %s with this certificate", t->r.pimsi, t->r.equipment) : e;
	e = number_event(tx, &pimsis, t->r.pimsi, "receipt", BY(t->r.operator), &x, &t->why);
	return e ? e : tx_do(tx, "INSERT INTO receipt (equipment, package, pimsi, life, operator, taken_at) VALUES (:equipment, :package, :pimsi, :life,"
		" :operator, :now)", WITH(B_TEXT("equipment", t->r.equipment), B_TEXT("package", t->r.package), B_TEXT("pimsi", t->r.pimsi), B_INT("life", x.life),
			B_TEXT("operator", t->r.operator), B_INT("now", clock_now())));
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
	struct number x;
	enum err err = number_get(tx, &pimsis, e->id, &x, w);

	(void)event;
	if (!err && number_may(&pimsis, x.state, "grace")) /* not blocked meanwhile: unblocked, it comes back here */
		err = number_event(tx, &pimsis, e->id, "grace", BY(""), NULL, w);
	return err ? err : tx_errand_end(tx, "retire", e->id);
}

const struct errand_rule retire_rules[] = {
	{ "waiting", "due", NULL, retire, "retired", NULL },
	{ 0 },
};
