/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/receipt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "proto/json.h"

enum { DER_MAX = 24 * 1024 };

static void taken(void *arg, enum err e)
{
	struct receipt_call *c = arg;

	if (c->end->count >= 0)
		desk_count(c->process->desk, c->end->count, !e && c->is_new);
	log_hop(e ? LOG_WARN : LOG_INFO, "install",
		"eq=%s pimsi=%s package=%s peer=%s result=%s", c->r.equipment, c->r.pimsi, c->r.package, c->dlusim, err_name(e));
	if (e)
		ask_refuse(c->ask, e, "%s", c->why.text[0] ? c->why.text : "send the receipt again");
	else
		ask_reply_json(c->ask, 200, json_pack("{s:s}", "state", c->end->state));
	free(c);
}

static enum err receipt_check(struct receipt_call *c, struct bytes der)
{
	struct cms_signed by = { 0 };
	enum err e = cms_open(OBJECT_RECEIPT, der, process_expects(c->process, NULL), &c->r, &by, &c->why);

	if (!e && (strcmp(by.party.id, c->r.equipment) || !bytes_same(by.hash, c->r.certificate, 32)))
		e = fail(&c->why, ERR_DENIED, "the receipt of %s is signed by %s", c->r.equipment, by.party.id);
	if (!e)
		e = hex_of(BYTES_OF(c->r.answer), c->answer, sizeof(c->answer));
	if (!e)
		e = hex_of(BYTES_OF(by.hash), c->certificate, sizeof(c->certificate));
	cms_signed_free(&by);
	return e;
}

void receipt_ask(struct ask *a, struct process *p, const struct receipt_end *end)
{
	json_t *o = ask_json(a);
	struct receipt_call *c = o ? calloc(1, sizeof(*c)) : NULL;
	uint8_t der[DER_MAX];
	size_t n = 0;
	enum err e;

	if (o && !c)
		ask_refuse(a, ERR_NOMEM, "out of memory");
	if (!c) {
		json_decref(o);
		return;
	}
	c->ask = a;
	c->process = p;
	c->end = end;
	snprintf(c->dlusim, sizeof(c->dlusim), "%s", ask_peer(a)->id);
	e = json_get_b64(o, "receipt", der, sizeof(der), &n, &c->why);
	json_decref(o);
	if (!e)
		e = receipt_check(c, BYTES(der, n));
	if (!e) {
		store_run(p->store, end->take, c, taken);
		return;
	}
	ask_refuse(a, e, "%s", c->why.text);
	free(c);
}
