/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 7 at the registration operator: the receipt says that the equipment has its own USIM. Its PIMSIs are used, and after the
 * grace retired; until then the equipment may still come back with them. If its owner chose another operator while the package was
 * on its way, they are not used yet.
 */
#include <string.h>

#include "auc/receipt.h"
#include "core/clock.h"
#include "roles/registration/registration.h"

/* The same receipt again: the same answer, whatever became of the PIMSI since. */
static enum err taken_before(struct tx *tx, const struct receipt *r)
{
	const struct row *row;

	return tx_get(tx, "SELECT 1 FROM receipt WHERE equipment = :equipment AND package = :package AND pimsi = :pimsi",
		WITH(B_TEXT("equipment", r->equipment), B_TEXT("package", r->package), B_TEXT("pimsi", r->pimsi)), &row);
}

/* The receipt is of the operator to which the equipment is routed now, or was when its package was sealed. */
static enum err event_of(struct tx *tx, const struct receipt *r, const char **event)
{
	const struct row *row;
	enum err e = tx_get(tx, "SELECT operator FROM route WHERE equipment = :equipment", WITH(B_TEXT("equipment", r->equipment)), &row);

	*event = !e && strcmp(row_text(row, 0), r->operator) ? "other-receipt" : "receipt";
	return e == ERR_MISSING ? OK : e;
}

static enum err take_one(struct tx *tx, struct receipt_call *c, const char *event, const char *pimsi)
{
	const struct receipt *r = &c->r;
	struct number x;
	enum err e = number_get(tx, &pimsis, pimsi, &x, &c->why);

	if (!e)
		e = number_event(tx, &pimsis, pimsi, EVENT(number_may(&pimsis, x.state, event) ? event : "receipt", r->operator), &x, &c->why);

	return e ? e : tx_do(tx, "INSERT INTO receipt (equipment, package, pimsi, life, operator, taken_at) VALUES (:equipment, :package, :pimsi, :life,"
		" :operator, :now)", WITH(B_TEXT("equipment", r->equipment), B_TEXT("package", r->package), B_TEXT("pimsi", pimsi), B_INT("life", x.life),
			B_TEXT("operator", r->operator), B_INT("now", clock_now())));
}

/* One route leads all PIMSIs of an equipment home: those that waited on it beside the receipt's own are used, too. */
static enum err take(struct tx *tx, void *arg)
{
	struct receipt_call *c = arg;
	const struct receipt *r = &c->r;
	struct of_equipment all;
	const struct row *row;
	const char *event;
	enum err e = taken_before(tx, r);

	if (e != ERR_MISSING)
		return e;
	e = tx_get(tx, "SELECT 1 FROM pimsi p JOIN equipment e ON e.equipment = p.equipment WHERE p.pimsi = :pimsi AND p.equipment = :equipment"
		" AND e.certificate = :certificate", WITH(B_TEXT("pimsi", r->pimsi), B_TEXT("equipment", r->equipment), B_TEXT("certificate", c->certificate)), &row);
	if (e)
		return e == ERR_MISSING ? fail(&c->why, ERR_DENIED, "PIMSI %s is not bound to %s with this certificate", r->pimsi, r->equipment) : e;
	e = event_of(tx, r, &event);
	if (!e)
		e = take_one(tx, c, event, r->pimsi);
	if (!e)
		e = pool_of(tx, r->equipment, &all);
	for (int i = 0; !e && i < all.n; i++)
		if (!strcmp(event, "receipt") && !strcmp(all.state[i], "routed"))
			e = take_one(tx, c, event, all.pimsi[i]);
	return e;
}

void install_receipt(struct ask *a, void *process)
{
	static const struct receipt_end end = { take, "used", -1 };

	receipt_ask(a, process, &end);
}

/* --- the grace --- */

enum err retire_later(struct tx *tx, const char *pimsi, int64_t from)
{
	const struct process *p = store_owner(tx);

	return number_later(tx, "retire", pimsi, from + ((const struct conf *)p->conf)->grace);
}

static enum err retire(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)event;
	return number_due(tx, &pimsis, e, "grace", w); /* blocked meanwhile: unblocked, it comes back here */
}

const struct errand_rule retire_rules[] = {
	{ "waiting", "due", NULL, retire, "retired", NULL },
	{ 0 },
};
