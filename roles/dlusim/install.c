/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 7 (I7): the receipt's very bytes go to the HSS and to the registration operator, which check them themselves. When both
 * have committed, the acknowledgement is signed; the same receipt again gets the same acknowledgement, as long as it is the
 * equipment's last one.
 */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "link/letter.h"
#include "proto/cms.h"
#include "roles/dlusim/dlusim.h"

struct receiving {
	struct ask *ask;
	struct process *process;
	struct receipt r;
	char id[65], answer[65];
	uint8_t hash[32], *der, *ack;
	size_t n, ack_n;
	enum err found;
	struct why why;
};

static void receiving_free(struct receiving *v)
{
	free(v->der);
	free(v->ack);
	free(v);
}

static enum err receipt_new(struct tx *tx, struct receiving *v)
{
	enum err e = tx_do(tx, "INSERT INTO receipt (id, equipment, counter, der, ack, asked_at) VALUES (:id, :equipment, :counter, :der, :none, :now)",
		WITH(B_TEXT("id", v->id), B_TEXT("equipment", v->r.equipment), B_INT("counter", v->r.counter), B_BLOB("der", BYTES(v->der, v->n)),
			B_BLOB("none", BYTES("", 0)), B_INT("now", clock_now())));

	if (!e)
		e = tx_errand_begin(tx, "install", v->id, "received");
	return e ? e : tx_errand_due(tx, "install", v->id, clock_now_ms() + KEEP_MS);
}

/* The same receipt again: nothing new, unless it was refused; what refused it may have been mended. */
static enum err receipt_write(struct tx *tx, void *arg)
{
	struct receiving *v = arg;
	const struct row *r;
	char registration[PLMN_TEXT];
	struct errand_event tell = { .name = "tell", .peer = registration, .body = BYTES(v->der, v->n) };
	enum err known = tx_get(tx, "SELECT 1 FROM receipt WHERE id = :id", WITH(B_TEXT("id", v->id)), &r), e;

	if (known && known != ERR_MISSING)
		return known;
	e = tx_get(tx, "SELECT s.registration FROM verification v JOIN subscription s ON s.equipment = v.equipment AND s.serial = v.serial"
		" WHERE v.id = :answer AND v.equipment = :equipment AND v.package_id = :package AND v.counter = :counter",
		WITH(B_TEXT("answer", v->answer), B_TEXT("equipment", v->r.equipment), B_TEXT("package", v->r.package), B_INT("counter", v->r.counter)), &r);
	if (e == ERR_MISSING) /* what was acknowledged outlives its package's rows */
		return !known ? OK : fail(&v->why, ERR_DENIED, "the receipt of %s is for no package that went through here", v->r.equipment);
	if (e)
		return e;
	row_copy(r, 0, registration, sizeof(registration));
	if (known)
		e = receipt_new(tx, v);
	if (!e)
		e = tx_errand_event(tx, "install", v->id, &tell, NULL);
	if (e)
		return e == ERR_ORDER ? OK : e; /* told already */
	return tx_audit(tx, "install", ABOUT({ "equipment", v->r.equipment }, { "pimsi", v->r.pimsi }, { "package", v->r.package }),
		"%s says that package %s is in service; the HSS and the registration operator are told", v->r.equipment, v->r.package);
}

static enum err ack_read(struct tx *tx, void *arg)
{
	struct receiving *v = arg;
	const struct row *r;

	v->found = tx_get(tx, "SELECT ack FROM receipt WHERE id = :id", WITH(B_TEXT("id", v->id)), &r);
	if (v->found)
		return OK;
	free(v->ack);
	v->ack = bytes_dup(row_blob(r, 0), &v->ack_n);
	return v->ack ? OK : ERR_NOMEM;
}

static void ack_ready(void *arg, enum err e)
{
	struct receiving *v = arg;

	e = e ? e : v->found;
	if (e)
		ask_refuse(v->ask, e, "send the receipt again");
	else
		ask_reply(v->ask, 200, "application/cms", BYTES(v->ack, v->ack_n));
	receiving_free(v);
}

static void told(void *arg, const struct errand *e)
{
	struct receiving *v = arg;

	if (e && !strcmp(e->state, "acknowledged")) {
		store_run(v->process->store, ack_read, v, ack_ready);
		return;
	}
	if (e && !strcmp(e->state, "refused")) {
		ask_refuse_as(v->ask, 403, ERR_DENIED, "%s", e->why);
	} else {
		ask_add(v->ask, "Retry-After", "2");
		ask_reply_json(v->ask, 202, json_pack("{s:s, s:s}", "errand", v->id, "state", e ? e->state : "?"));
	}
	receiving_free(v);
}

static void receipt_written(void *arg, enum err e)
{
	struct receiving *v = arg;
	const struct conf *c = v->process->conf;

	log_hop(e ? LOG_WARN : LOG_INFO, "install", "eq=%s package=%s act=receipt result=%s", v->r.equipment, v->r.package, err_name(e));
	if (!e) {
		errand_wait(v->process->errands, "install", v->id, c->patience * 1000, told, v);
		return;
	}
	ask_refuse(v->ask, e, "%s", v->why.text[0] ? v->why.text : "send the receipt again");
	receiving_free(v);
}

void install_receipt(struct ask *a, void *process)
{
	struct process *p = process;
	struct receiving *v = calloc(1, sizeof(*v));
	struct bytes body = ask_body(a);
	struct cms_signed by = { 0 };
	struct why w = { "out of memory" };
	enum err e = v && (v->der = bytes_dup(body, &v->n)) ? OK : ERR_NOMEM;

	if (!e) {
		v->ask = a;
		v->process = p;
		e = cms_open(OBJECT_RECEIPT, body, process_expects(p, NULL), &v->r, &by, &w);
	}
	if (!e && (strcmp(by.party.id, v->r.equipment) || !bytes_same(by.hash, v->r.certificate, 32)))
		e = fail(&w, ERR_DENIED, "the receipt of %s is signed by %s", v->r.equipment, by.party.id);
	cms_signed_free(&by);
	if (!e)
		e = cms_hash(body, v->hash);
	if (!e)
		e = hex_of(BYTES_OF(v->hash), v->id, sizeof(v->id));
	if (!e)
		e = hex_of(BYTES_OF(v->r.answer), v->answer, sizeof(v->answer));
	if (!e) {
		store_run(p->store, receipt_write, v, receipt_written);
		return;
	}
	ask_refuse(a, e, "%s", w.text);
	if (v)
		receiving_free(v);
}

/* --- rules: both must have committed, in either order --- */

static enum err acknowledge(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct process *p = store_owner(tx);
	const struct signer by = { p->sign_cert, p->sign_issuer, p->sign_key };
	struct acknowledgement *a = calloc(1, sizeof(*a));
	const struct row *r;
	uint8_t *der = NULL;
	size_t n = 0;
	enum err err = a ? tx_get(tx, "SELECT equipment FROM receipt WHERE id = :id", WITH(B_TEXT("id", e->id)), &r) : ERR_NOMEM;

	(void)event, (void)w;
	if (!err) {
		row_copy(r, 0, a->equipment, sizeof(a->equipment));
		err = text_copy(a->dlusim, sizeof(a->dlusim), p->id);
	}
	if (!err)
		err = hex_read(e->id, a->receipt, sizeof(a->receipt));
	if (!err)
		err = cms_sign(OBJECT_ACKNOWLEDGEMENT, a, &by, &der, &n);
	if (!err)
		err = tx_do(tx, "UPDATE receipt SET ack = :ack WHERE id = :id", WITH(B_BLOB("ack", BYTES(der, n)), B_TEXT("id", e->id)));
	if (!err)
		err = tx_audit(tx, "install", ABOUT({ "equipment", a->equipment }),
			"%s is operative: the HSS and the registration operator have both taken its receipt",
			a->equipment);
	OPENSSL_free(der);
	free(a);
	return err;
}

static enum err tell_one(struct tx *tx, const struct errand *e, const char *word, const char *role, const char *peer, struct bytes receipt)
{
	enum err err = letter_json(tx, &(struct letter){ .word = word, .errand = e->kind, .id = e->id, .role = role, .peer = peer, .path = "/v1/install" },
		json_pack("{s:o?}", "receipt", json_b64(receipt)));

	return err == ERR_EXISTS ? OK : err; /* the one that was not refused may still be on its way */
}

static enum err tell(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct conf *c = ((const struct process *)store_owner(tx))->conf;
	enum err err = tell_one(tx, e, "activate", "hss", c->operator, event->body);

	(void)w;
	return err ? err : tell_one(tx, e, "retire", "registration", event->peer, event->body);
}

/* The equipment may ask for its acknowledgement however late it comes on again, until a later receipt of its own has one. */
static enum err over(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct row *r;
	enum err err = tx_get(tx, "SELECT 1 FROM receipt o JOIN receipt l ON l.equipment = o.equipment AND l.counter > o.counter WHERE o.id = :id AND l.ack <> x''",
		WITH(B_TEXT("id", e->id)), &r);

	(void)event, (void)w;
	if (err) {
		e->due = clock_now_ms() + KEEP_MS;
		return err == ERR_MISSING ? OK : err;
	}
	err = tx_do(tx, "DELETE FROM receipt WHERE id = :id", WITH(B_TEXT("id", e->id)));
	return err ? err : tx_errand_end(tx, e->kind, e->id);
}

const struct errand_rule install_rules[] = {
	{ "received", "tell", NULL, tell, "telling", NULL },
	{ "refused", "tell", NULL, tell, "telling", NULL },
	{ "telling", "activate.ok", "hss", NULL, "activated", NULL },
	{ "telling", "retire.ok", "registration", NULL, "retiring", NULL },
	{ "activated", "retire.ok", "registration", acknowledge, "acknowledged", NULL },
	{ "retiring", "activate.ok", "hss", acknowledge, "acknowledged", NULL },
	{ "*", "activate.refused", "hss", letter_refused, NULL, "refused" },
	{ "*", "retire.refused", "registration", letter_refused, NULL, "refused" },
	{ "*", "due", NULL, over, NULL, NULL },
	{ 0 },
};
const char *const install_settled[] = { "acknowledged", "refused", NULL };
