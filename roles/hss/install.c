/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 7 at the HSS: only a receipt, signed by the equipment after its slot was committed, makes an IMSI active. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/hss/hss.h"

enum { DER_MAX = 24 * 1024 };

struct taking {
	struct ask *ask;
	struct process *process;
	struct receipt r;
	struct cms_signed by;
	char answer[65], certificate[65], dlusim[ID_MAX];
	int is_new; /* not told before */
	struct why why;
};

/* The same receipt again: the same answer, whatever became of the IMSI since. */
static enum err taken_before(struct tx *tx, const struct taking *t)
{
	const struct row *r;

	return tx_get(tx, "SELECT 1 FROM receipt WHERE equipment = :equipment AND package = :package", WITH(B_TEXT("equipment", t->r.equipment),
		B_TEXT("package", t->r.package)), &r);
}

static enum err receipt_write(struct tx *tx, void *arg)
{
	struct taking *t = arg;
	const struct row *r;
	char imsi[DIGITS_MAX];
	struct number x;
	enum err e = taken_before(tx, t);

	if (e != ERR_MISSING)
		return e;
	e = tx_get(tx, "SELECT s.imsi FROM sealed s JOIN booking b ON b.equipment = s.equipment JOIN imsi i ON i.imsi = s.imsi AND i.life = s.life"
		" WHERE s.answer = :answer AND s.equipment = :equipment AND s.package_id = :package AND s.counter = :counter AND b.certificate = :certificate"
		" AND b.dlusim = :dlusim AND b.imsi = s.imsi",
		WITH(B_TEXT("answer", t->answer), B_TEXT("equipment", t->r.equipment), B_TEXT("package", t->r.package), B_INT("counter", t->r.counter),
			B_TEXT("certificate", t->certificate), B_TEXT("dlusim", t->dlusim)), &r);
	if (e)
		return e == ERR_MISSING ? fail(&t->why, ERR_DENIED, "the receipt of %s is for no package of ours", t->r.equipment) : e;
	row_copy(r, 0, imsi, sizeof(imsi));
	e = number_event(tx, &imsis, imsi, "receipt", BY_ABOUT(t->r.package, { "package", t->r.package }), &x, &t->why);
	t->is_new = !e;
	return e ? e : tx_do(tx, "INSERT INTO receipt (equipment, package, imsi, life, taken_at) VALUES (:equipment, :package, :imsi, :life, :now)",
		WITH(B_TEXT("equipment", t->r.equipment), B_TEXT("package", t->r.package), B_TEXT("imsi", imsi), B_INT("life", x.life), B_INT("now", clock_now())));
}

static void receipt_written(void *arg, enum err e)
{
	struct taking *t = arg;

	desk_count(t->process->desk, COUNT_ACTIVE, !e && t->is_new);
	log_hop(e ? LOG_WARN : LOG_INFO, "install", "eq=%s package=%s result=%s", t->r.equipment, t->r.package, err_name(e));
	if (e)
		ask_refuse(t->ask, e, "%s", t->why.text[0] ? t->why.text : "send the receipt again");
	else
		ask_reply_json(t->ask, 200, json_pack("{s:s}", "state", "active"));
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
	if (!e && (strcmp(t->by.party.id, t->r.equipment) || !bytes_same(t->by.hash, t->r.certificate, 32) || strcmp(t->r.operator, p->id)))
		e = fail(&w, ERR_DENIED, "the receipt of %s is not its own, or not for this operator", t->r.equipment);
	if (!e)
		e = hex_of(BYTES_OF(t->r.answer), t->answer, sizeof(t->answer));
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
	snprintf(t->dlusim, sizeof(t->dlusim), "%s", ask_peer(a)->id);
	store_run(p->store, receipt_write, t, receipt_written);
}
