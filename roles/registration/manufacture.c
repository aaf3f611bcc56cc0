/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 0: an order of PIMSIs for equipments, K and OPc sealed to each; then the binding of PIMSI, certificate, claim key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "package/package.h"
#include "roles/registration/registration.h"

enum { BATCH_MAX = 100, ORDER_ID = 65, CERT_MAX = 4096 };

struct wish {
	char equipment[EQUIPMENT_MAX];
	EVP_PKEY *key; /* the delivery key */
};
struct batch {
	struct ask *ask;
	struct process *process;
	char id[ORDER_ID], maker[ID_MAX], request[65];
	size_t n;
	struct wish wish[BATCH_MAX];
	json_t *answer;
	struct why why;
};

/* --- the order --- */

static enum err keys_seal(const struct order_keys *keys, EVP_PKEY *to, struct order *o)
{
	uint8_t content[128], *der = NULL;
	size_t n = 0, len = 0;
	enum err e = order_keys_write(keys, content, sizeof(content), &len);

	if (!e)
		e = package_seal(BYTES(content, len), to, &der, &n);
	if (!e && n > sizeof(o->keys.p))
		e = ERR_LIMIT;
	if (!e) {
		memcpy(o->keys.p, der, n);
		o->keys.n = n;
	}
	secret_wipe(content, sizeof(content));
	OPENSSL_free(der);
	return e;
}

static enum err order_make(struct tx *tx, struct batch *b, const struct wish *w, struct order *o, struct number *x)
{
	const struct conf *c = b->process->conf;
	struct order_keys keys;
	enum err e = secret_random(&keys, sizeof(keys));

	memset(o, 0, sizeof(*o));
	if (!e)
		e = number_take(tx, &pimsis, &(struct number_issue){ w->equipment, &keys.k, &keys.opc, EVENT_ABOUT("issue", b->maker, { "order", b->id }) }, x,
			tx_why(tx));
	if (!e)
		e = keys_seal(&keys, w->key, o);
	secret_wipe(&keys, sizeof(keys));
	memcpy(o->pimsi, x->id, sizeof(o->pimsi));
	snprintf(o->equipment, sizeof(o->equipment), "%s", w->equipment);
	o->algorithm = 1;
	if (!e)
		e = text_copy(o->registration, sizeof(o->registration), c->id);
	if (!e)
		e = text_copy(o->discover_address, sizeof(o->discover_address), c->discover_address);
	snprintf(o->realm, sizeof(o->realm), "%s", c->realm);
	snprintf(o->apn, sizeof(o->apn), "%s", c->apn);
	o->allowed.n = c->allowed.n;
	if (c->allowed.n)
		memcpy(o->allowed.item, c->allowed.item, c->allowed.n * PLMN_TEXT);
	return e;
}

static enum err item_write(struct tx *tx, struct batch *b, size_t n)
{
	const struct registration *own = b->process->own;
	struct order o;
	struct number x = { .id = "" };
	uint8_t *der = NULL;
	size_t len = 0;
	enum err e = order_make(tx, b, b->wish + n, &o, &x);

	if (!e)
		e = cms_sign(OBJECT_ORDER, &o, &own->signer, &der, &len);
	if (!e)
		e = tx_do(tx, "INSERT INTO batch_item (maker, id, n, equipment, pimsi, life, der) VALUES (:maker, :id, :n, :equipment, :pimsi, :life, :der)",
			WITH(B_TEXT("maker", b->maker), B_TEXT("id", b->id), B_INT("n", n), B_TEXT("equipment", o.equipment),
				B_TEXT("pimsi", o.pimsi), B_INT("life", x.life), B_BLOB("der", BYTES(der, len))));
	OPENSSL_free(der);
	return e;
}

static enum err item_row(const struct row *r, void *arg)
{
	json_t *o = json_pack("{s:s, s:s, s:o?}", "equipment", row_text(r, 0), "pimsi", row_text(r, 1), "order", json_b64(row_blob(r, 2)));

	return o && !json_array_append_new(arg, o) ? OK : ERR_NOMEM;
}

/* The same order id again: the very same answer, or 409 if it asks for something else. */
static enum err batch_begin(struct tx *tx, struct batch *b, int *is_new)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT request FROM batch WHERE maker = :maker AND id = :id", WITH(B_TEXT("maker", b->maker),
		B_TEXT("id", b->id)), &r);

	*is_new = e == ERR_MISSING;
	if (!e && strcmp(row_text(r, 0), b->request))
		return fail(&b->why, ERR_CONFLICT, "order %s was given before with other equipments; choose another order id", b->id);
	if (e != ERR_MISSING)
		return e;
	return tx_do(tx, "INSERT INTO batch (id, maker, request, made_at) VALUES (:id, :maker, :request, :now)",
		WITH(B_TEXT("id", b->id), B_TEXT("maker", b->maker), B_TEXT("request", b->request), B_INT("now", clock_now())));
}

static enum err batch_write(struct tx *tx, void *arg)
{
	struct batch *b = arg;
	int is_new = 0;
	enum err e = batch_begin(tx, b, &is_new);

	for (size_t i = 0; is_new && i < b->n && !e; i++)
		e = item_write(tx, b, i);
	if (e) {
		if (!b->why.text[0])
			b->why = *tx_why(tx);
		return e;
	}
	json_decref(b->answer);
	b->answer = json_array();
	return tx_each(tx, "SELECT equipment, pimsi, der FROM batch_item WHERE maker = :maker AND id = :id ORDER BY n",
		WITH(B_TEXT("maker", b->maker), B_TEXT("id", b->id)), item_row, b->answer);
}

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		EVP_PKEY_free(b->wish[i].key);
	json_decref(b->answer);
	free(b);
}

static void batch_done(void *arg, enum err e)
{
	struct batch *b = arg;

	if (e) {
		ask_refuse(b->ask, e, "%s", b->why.text[0] ? b->why.text : "the order was not taken; send it again");
	} else {
		desk_count(b->process->desk, COUNT_ORDERED, (int64_t)json_array_size(b->answer));
		log_hop(LOG_INFO, "manufacture", "act=order order=%s maker=%s n=%zu", b->id, b->maker, json_array_size(b->answer));
		ask_reply_json(b->ask, 200, json_pack("{s:s, s:O}", "order", b->id, "equipments", b->answer));
	}
	batch_free(b);
}

static X509 *certificate(json_t *o, const char *key, struct why *w)
{
	uint8_t der[CERT_MAX];
	const uint8_t *p = der;
	size_t n = 0;
	X509 *c = json_get_b64(o, key, der, sizeof(der), &n, w) ? NULL : d2i_X509(NULL, &p, (long)n);

	if (!c && !w->text[0])
		(void)!fail(w, ERR_FORMAT, "field `%s` is not a certificate", key);
	return c;
}

static enum err wish_read(struct batch *b, json_t *o, STACK_OF(X509) *issuers, struct why *w)
{
	struct wish *x = b->wish + b->n;
	X509 *c = NULL;
	size_t maker = strlen(b->maker);
	enum err e = json_get_text(o, "equipment", x->equipment, sizeof(x->equipment), w);

	if (!e && strncmp(x->equipment, "imei:", 5) && (strncmp(x->equipment, b->maker, maker) || x->equipment[maker] != ':'))
		e = fail(w, ERR_DENIED, "equipment %s is not of maker %s", x->equipment, b->maker);
	if (!e && !(c = certificate(o, "delivery", w)))
		e = ERR_FORMAT;
	if (!e)
		e = cert_verify(c, issuers, (struct expect){ "equipment", x->equipment, CERT_DELIVER, tls_roots(b->process->tls), { clock_now(), 0 } }, w);
	if (!e) {
		x->key = X509_get_pubkey(c);
		b->n++;
	}
	X509_free(c);
	return e;
}

static enum err batch_read(struct batch *b, json_t *o, struct why *w)
{
	STACK_OF(X509) *issuers = sk_X509_new_null();
	X509 *issuer = certificate(o, "issuer", w);
	json_t *list = json_object_get(o, "equipments"), *one;
	size_t i;
	uint8_t md[32];
	char *text = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	enum err e = issuer && issuers && sk_X509_push(issuers, issuer) ? OK : ERR_FORMAT;

	if (!e)
		e = json_get_text(o, "order", b->id, sizeof(b->id), w);
	if (!e && (!json_array_size(list) || json_array_size(list) > BATCH_MAX || !text))
		e = fail(w, ERR_RANGE, "an order is for 1 to %d equipments", BATCH_MAX);
	if (!e && EVP_Digest(text, strlen(text), md, NULL, EVP_sha256(), NULL) != 1)
		e = ERR_CRYPTO;
	if (!e)
		e = hex_of(BYTES_OF(md), b->request, sizeof(b->request));
	json_array_foreach(list, i, one)
		if (!e)
			e = wish_read(b, one, issuers, w);
	free(text);
	sk_X509_free(issuers);
	X509_free(issuer);
	return e;
}

void manufacture_order(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct batch *b = o ? calloc(1, sizeof(*b)) : NULL;
	struct why w = { "" };
	enum err e;

	if (!o)
		return;
	if (!b) {
		json_decref(o);
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return;
	}
	b->ask = a;
	b->process = process;
	snprintf(b->maker, sizeof(b->maker), "%s", ask_peer(a)->id);
	e = batch_read(b, o, &w);
	json_decref(o);
	if (!e) {
		store_run(b->process->store, batch_write, b, batch_done);
		return;
	}
	ask_refuse(a, e, "%s", w.text[0] ? w.text : "the order is not well formed");
	batch_free(b);
}

/* --- the binding --- */

struct binding {
	char maker[ID_MAX], pimsi[DIGITS_MAX], equipment[EQUIPMENT_MAX], certificate[65];
	struct secret claim_key;
	enum err err;
	struct why why;
};
struct bindings {
	struct ask *ask;
	struct process *process;
	size_t n;
	struct binding item[BATCH_MAX];
};

/* One equipment has one attestation certificate and one claim key, whatever number of PIMSIs it gets. */
static enum err equipment_write(struct tx *tx, const struct process *p, struct binding *x)
{
	uint8_t wrapped[SECRET_WRAPPED];
	struct secret have;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT certificate, claim_key FROM equipment WHERE equipment = :equipment",
		WITH(B_TEXT("equipment", x->equipment)), &r);

	if (!e) {
		row_octets(r, 1, wrapped, sizeof(wrapped));
		if (strcmp(row_text(r, 0), x->certificate) || kek_unwrap(p->kek, wrapped, &have) || !secret_same(&have, &x->claim_key))
			e = fail(&x->why, ERR_CONFLICT, "equipment %s is bound with another certificate or claim key", x->equipment);
		secret_wipe(&have, sizeof(have));
		return e;
	}
	if (e != ERR_MISSING)
		return e;
	e = kek_wrap(p->kek, &x->claim_key, wrapped);
	return e ? e : tx_do(tx, "INSERT INTO equipment (equipment, certificate, claim_key, bound_at) VALUES (:equipment, :certificate,"
		" :claim, :now)", WITH(B_TEXT("equipment", x->equipment), B_TEXT("certificate", x->certificate),
			B_BLOB("claim", BYTES_OF(wrapped)), B_INT("now", clock_now())));
}

static enum err bind_one(struct tx *tx, void *arg)
{
	struct binding *x = arg;
	const struct row *r;
	char state[16];
	enum err e = tx_get(tx, "SELECT state FROM pimsi WHERE pimsi = :pimsi AND equipment = :equipment AND EXISTS"
		" (SELECT 1 FROM batch_item WHERE maker = :maker AND batch_item.pimsi = :pimsi AND batch_item.equipment = :equipment)",
		WITH(B_TEXT("pimsi", x->pimsi), B_TEXT("equipment", x->equipment), B_TEXT("maker", x->maker)), &r);

	if (e)
		return e == ERR_MISSING ? fail(&x->why, e, "PIMSI %s was not issued to %s by an order of %s", x->pimsi, x->equipment, x->maker) : e;
	row_copy(r, 0, state, sizeof(state));
	e = equipment_write(tx, store_owner(tx), x);
	if (e || strcmp(state, "issued"))
		return e; /* bound before, by the same binding */
	return number_event(tx, &pimsis, x->pimsi, EVENT_ABOUT("bind", x->maker, { "certificate", x->certificate }), NULL, &x->why);
}

static enum err bindings_write(struct tx *tx, void *arg)
{
	struct bindings *b = arg;

	for (size_t i = 0; i < b->n; i++) {
		struct binding *x = b->item + i;

		x->err = tx_try(tx, bind_one, x);
		if (x->err == ERR_IO || x->err == ERR_NOMEM)
			return x->err;
	}
	return OK;
}

static void bindings_done(void *arg, enum err e)
{
	struct bindings *b = arg;
	json_t *list = json_array();
	int64_t bound = 0;

	for (size_t i = 0; i < b->n; i++) {
		const struct binding *x = b->item + i;

		bound += !x->err;
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "pimsi", x->pimsi, "result", x->err ? err_name(x->err) : "bound",
			"why", x->why.text));
	}
	if (e) {
		json_decref(list);
		ask_refuse(b->ask, e, "nothing was bound; send it again");
	} else {
		desk_count(b->process->desk, COUNT_BOUND, bound);
		ask_reply_json(b->ask, 200, json_pack("{s:o}", "bindings", list));
	}
	secret_wipe(b, sizeof(*b));
	free(b);
}

static enum err binding_read(json_t *o, struct binding *x, struct why *w)
{
	char key[32];
	uint8_t hash[32];
	enum err e = json_get_digits(o, "pimsi", x->pimsi, sizeof(x->pimsi), w);

	if (!e)
		e = json_get_text(o, "equipment", x->equipment, sizeof(x->equipment), w);
	if (!e)
		e = json_get_hex(o, "certificate", hash, sizeof(hash), w);
	if (!e)
		e = hex_of(BYTES_OF(hash), x->certificate, sizeof(x->certificate));
	if (!e)
		e = json_get_text(o, "claim_key", key, sizeof(key), w);
	if (!e && claim_key_read(key, &x->claim_key))
		e = fail(w, ERR_FORMAT, "PIMSI %s: claim_key is not the 26 letters of a label", x->pimsi);
	secret_wipe(key, sizeof(key));
	return e;
}

void manufacture_bind(struct ask *a, void *process)
{
	json_t *o = ask_json(a), *list = json_object_get(o, "bindings"), *one;
	struct bindings *b = o ? calloc(1, sizeof(*b)) : NULL;
	struct why w = { "" };
	size_t i;
	enum err e = OK;

	if (!o)
		return;
	if (!b || !json_array_size(list) || json_array_size(list) > BATCH_MAX)
		e = fail(&w, ERR_RANGE, "1 to %d bindings at a time", BATCH_MAX);
	json_array_foreach(list, i, one)
		if (!e) {
			snprintf(b->item[b->n].maker, ID_MAX, "%s", ask_peer(a)->id);
			e = binding_read(one, b->item + b->n++, &w);
		}
	json_decref(o);
	if (e) {
		free(b);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	b->ask = a;
	b->process = process;
	store_run(b->process->store, bindings_write, b, bindings_done);
}
