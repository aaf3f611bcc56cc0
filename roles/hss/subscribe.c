/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 1: the DLUSIM service has claimed an equipment; an IMSI and its key are made ready for it. */
#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/hss/hss.h"

struct booking {
	struct ask *ask;
	struct process *process;
	char equipment[EQUIPMENT_MAX], registration[PLMN_TEXT], certificate[65], owner[OWNER_MAX], dlusim[ID_MAX];
	int64_t serial;
	struct why why;
};

enum err subscribe_open(struct hss *h, struct why *w)
{
	uint8_t hash[32];

	if (cert_key_hash(h->signer.key, hash))
		return fail(w, ERR_CRYPTO, "sign.key cannot be encoded");
	return hex_of(BYTES_OF(hash), h->signer_hash, sizeof(h->signer_hash));
}

void subscribe_signer(struct ask *a, void *process)
{
	struct hss *h = ((struct process *)process)->own;

	ask_reply_json(a, 200, json_pack("{s:s}", "signer", h->signer_hash));
}

static enum err book_new(struct tx *tx, struct booking *b);

/* One IMSI per equipment: a later claim of the same equipment keeps it, unless its life is over, and only the booking changes. */
static enum err book_again(struct tx *tx, struct booking *b, int64_t had, int ended)
{
	enum err e;

	if (b->serial < had)
		return fail(&b->why, ERR_CONFLICT, "%s is booked with serial %lld", b->equipment, (long long)had);
	if (b->serial == had)
		return OK;
	if (ended) {
		e = tx_do(tx, "DELETE FROM booking WHERE equipment = :equipment", WITH(B_TEXT("equipment", b->equipment)));
		return e ? e : book_new(tx, b);
	}
	e = tx_do(tx, "UPDATE booking SET registration = :registration, certificate = :certificate, owner = :owner, serial = :serial,"
		" dlusim = :dlusim WHERE equipment = :equipment",
		WITH(B_TEXT("registration", b->registration), B_TEXT("certificate", b->certificate), B_TEXT("owner", b->owner),
			B_INT("serial", b->serial), B_TEXT("dlusim", b->dlusim), B_TEXT("equipment", b->equipment)));
	return e ? e : tx_audit(tx, "subscribe", ABOUT({ "equipment", b->equipment }, { "owner", b->owner }),
		"%s is booked anew for owner %s (claim serial %lld)", b->equipment, b->owner, (long long)b->serial);
}

static enum err book_new(struct tx *tx, struct booking *b)
{
	char imsi[DIGITS_MAX];
	enum err e = pool_prepare(tx, b->equipment, EVENT_ABOUT("book", b->dlusim, { "certificate", b->certificate }, { "owner", b->owner }), imsi, &b->why);

	return e ? e : tx_do(tx, "INSERT INTO booking (equipment, imsi, registration, certificate, owner, serial, dlusim, booked_at)"
			" VALUES (:equipment, :imsi, :registration, :certificate, :owner, :serial, :dlusim, :now)",
			WITH(B_TEXT("equipment", b->equipment), B_TEXT("imsi", imsi), B_TEXT("registration", b->registration),
				B_TEXT("certificate", b->certificate), B_TEXT("owner", b->owner), B_INT("serial", b->serial), B_TEXT("dlusim", b->dlusim),
				B_INT("now", clock_now())));
}

static enum err book_write(struct tx *tx, void *arg)
{
	struct booking *b = arg;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT b.serial, i.state IN ('terminated', 'quarantine') FROM booking b JOIN imsi i ON i.imsi = b.imsi"
		" WHERE b.equipment = :equipment", WITH(B_TEXT("equipment", b->equipment)), &r);

	if (!e)
		e = book_again(tx, b, row_int(r, 0), (int)row_int(r, 1));
	else if (e == ERR_MISSING)
		e = book_new(tx, b);
	if (e && !b->why.text[0])
		b->why = *tx_why(tx);
	return e;
}

static void book_done(void *arg, enum err e)
{
	struct booking *b = arg;

	desk_count(b->process->desk, e ? COUNT_BOOKINGS_REFUSED : COUNT_BOOKED, 1);
	log_hop(e ? LOG_WARN : LOG_INFO, "subscribe", "eq=%s act=book peer=%s result=%s", b->equipment, b->dlusim, err_name(e));
	if (e == ERR_LIMIT) /* the pool may be filled: the DLUSIM service asks again */
		ask_refuse_as(b->ask, 503, e, "%s", b->why.text);
	else if (e)
		ask_refuse(b->ask, e, "%s", b->why.text[0] ? b->why.text : "nothing was booked; send it again");
	else
		ask_reply_json(b->ask, 200, json_pack("{s:s, s:s}", "equipment", b->equipment, "state", "prepared"));
	free(b);
}

void subscribe_book(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct booking *b = o ? calloc(1, sizeof(*b)) : NULL;
	struct why w = { "out of memory" };
	uint8_t hash[32];
	enum err e;

	if (!o)
		return;
	e = b ? json_get_text(o, "equipment", b->equipment, sizeof(b->equipment), &w) : ERR_NOMEM;
	if (!e)
		e = json_get_text(o, "registration", b->registration, sizeof(b->registration), &w);
	if (!e)
		e = json_get_hex(o, "certificate", hash, sizeof(hash), &w);
	if (!e)
		e = hex_of(BYTES_OF(hash), b->certificate, sizeof(b->certificate));
	if (!e)
		e = json_get_text(o, "owner", b->owner, sizeof(b->owner), &w);
	if (!e)
		e = json_get_number(o, "serial", 0, INT64_MAX / 2, &b->serial, &w);
	json_decref(o);
	if (e) {
		free(b);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	b->ask = a;
	b->process = process;
	snprintf(b->dlusim, sizeof(b->dlusim), "%s", ask_peer(a)->id);
	store_run(b->process->store, book_write, b, book_done);
}
