/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 7 at the HSS: only a receipt, signed by the equipment after its slot was committed, makes an IMSI active. */
#include <string.h>

#include "auc/receipt.h"
#include "core/clock.h"
#include "roles/hss/hss.h"

/* The same receipt again: the same answer, whatever became of the IMSI since. */
static enum err taken_before(struct tx *tx, const struct receipt *r)
{
	const struct row *row;

	return tx_get(tx, "SELECT 1 FROM receipt WHERE equipment = :equipment AND package = :package", WITH(B_TEXT("equipment", r->equipment),
		B_TEXT("package", r->package)), &row);
}

/* Certificate, package id and counter are those given out; the IMSI is known by the package id only. */
static enum err imsi_of(struct tx *tx, struct receipt_call *c, char imsi[DIGITS_MAX])
{
	const struct receipt *r = &c->r;
	const struct row *row;
	enum err e = tx_get(tx, "SELECT s.imsi FROM sealed s JOIN booking b ON b.equipment = s.equipment JOIN imsi i ON i.imsi = s.imsi AND i.life = s.life"
		" WHERE s.answer = :answer AND s.equipment = :equipment AND s.package_id = :package AND s.counter = :counter AND b.certificate = :certificate"
		" AND b.dlusim = :dlusim AND b.imsi = s.imsi",
		WITH(B_TEXT("answer", c->answer), B_TEXT("equipment", r->equipment), B_TEXT("package", r->package), B_INT("counter", r->counter),
			B_TEXT("certificate", c->certificate), B_TEXT("dlusim", c->dlusim)), &row);

	if (e == ERR_MISSING)
		return fail(&c->why, ERR_DENIED, "the receipt of %s is for no package of ours", r->equipment);
	if (!e)
		row_copy(row, 0, imsi, DIGITS_MAX);
	return e;
}

/* An equipment that has come home with a package never comes with an older one. */
static enum err older_go(struct tx *tx, const struct receipt *r)
{
	return tx_do(tx, "DELETE FROM sealed WHERE equipment = :equipment AND counter < :counter",
		WITH(B_TEXT("equipment", r->equipment), B_INT("counter", r->counter)));
}

static enum err take(struct tx *tx, void *arg)
{
	struct receipt_call *c = arg;
	const struct receipt *r = &c->r;
	char imsi[DIGITS_MAX];
	struct number x;
	enum err e = strcmp(r->operator, c->process->id) ? fail(&c->why, ERR_DENIED, "the receipt of %s is for operator %s", r->equipment, r->operator)
		: taken_before(tx, r);

	if (e != ERR_MISSING)
		return e;
	e = imsi_of(tx, c, imsi);
	if (!e)
		e = number_event(tx, &imsis, imsi, EVENT_ABOUT("receipt", r->package, { "package", r->package }), &x, &c->why);
	c->is_new = !e;
	if (!e)
		e = older_go(tx, r);
	return e ? e : tx_do(tx, "INSERT INTO receipt (equipment, package, imsi, life, taken_at) VALUES (:equipment, :package, :imsi, :life, :now)",
		WITH(B_TEXT("equipment", r->equipment), B_TEXT("package", r->package), B_TEXT("imsi", imsi), B_INT("life", x.life), B_INT("now", clock_now())));
}

void install_receipt(struct ask *a, void *process)
{
	static const struct receipt_end end = { take, "active", COUNT_ACTIVE };

	receipt_ask(a, process, &end);
}
