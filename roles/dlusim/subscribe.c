/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 1 (I1): an owner's rows become errands: ask the HSS who signs its packages, claim the equipment at its registration
 * operator, then book an IMSI. Claim first: a refused claim burns no IMSI.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "link/letter.h"
#include "roles/dlusim/dlusim.h"

enum { ROWS_MAX = 1000, AGAIN_MS = 2000 };

struct row_in {
	char equipment[EQUIPMENT_MAX], registration[PLMN_TEXT], proof[65], id[ERRAND_ID], state[24];
	int64_t serial;
	struct why why;
};
struct rows {
	struct ask *ask;
	struct process *process;
	char owner[OWNER_MAX];
	size_t n, waiting;
	struct row_in *row;
};

struct subscription {
	char equipment[EQUIPMENT_MAX], owner[OWNER_MAX], registration[PLMN_TEXT], proof[65], signer[65], certificate[65];
	int64_t serial;
};

static enum err subscription_get(struct tx *tx, const char *id, struct subscription *s)
{
	const char *slash = strrchr(id, '/');
	const struct row *r;
	enum err e = slash ? text_copy_bytes(s->equipment, sizeof(s->equipment), BYTES(id, slash - id)) : ERR_FORMAT;

	if (!e)
		e = text_number(slash + 1, 0, INT64_MAX / 2, &s->serial);
	if (!e)
		e = tx_get(tx, "SELECT owner, registration, proof, signer, certificate FROM subscription WHERE equipment = :equipment AND serial = :serial",
			WITH(B_TEXT("equipment", s->equipment), B_INT("serial", s->serial)), &r);
	if (e)
		return e;
	row_copy(r, 0, s->owner, sizeof(s->owner));
	row_copy(r, 1, s->registration, sizeof(s->registration));
	row_copy(r, 2, s->proof, sizeof(s->proof));
	row_copy(r, 3, s->signer, sizeof(s->signer));
	row_copy(r, 4, s->certificate, sizeof(s->certificate));
	return OK;
}

static enum err ask_signer(struct tx *tx, const struct errand *e)
{
	const struct process *p = store_owner(tx);

	return letter_json(tx, &(struct letter){ .word = "signer", .errand = e->kind, .id = e->id, .role = "hss",
		.peer = ((const struct conf *)p->conf)->operator, .path = "/v1/signer" }, json_object());
}

/* --- rules --- */

const char *subscribe_ocsp(const struct process *p, const char *role, const char *id)
{
	const struct peer *x = peers_find(p->peers, role, id), *pki = peers_find(p->peers, "attestation", ((const struct conf *)p->conf)->attestation);

	return x && *x->ocsp ? x->ocsp : pki ? pki->ocsp : "";
}

static enum err told_signer(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct process *p = store_owner(tx);
	const struct conf *c = p->conf;
	const struct peer *dm = peers_find(p->peers, "dm", c->dm);
	json_t *o = json_loadb((const char *)event->body.p, event->body.n, 0, NULL);
	struct subscription s;
	char signer[65];
	enum err err = json_get_text(o, "signer", signer, sizeof(signer), w);

	json_decref(o);
	if (!err && (!dm || !*subscribe_ocsp(p, "attestation", c->attestation)))
		err = fail(w, ERR_MISSING, "dlusim %s knows no dm %s or no OCSP address of attestation %s; `usher peer add`", p->id, c->dm, c->attestation);
	if (!err)
		err = subscription_get(tx, e->id, &s);
	if (!err)
		err = tx_do(tx, "UPDATE subscription SET signer = :signer WHERE equipment = :equipment AND serial = :serial",
			WITH(B_TEXT("signer", signer), B_TEXT("equipment", s.equipment), B_INT("serial", s.serial)));
	return err ? err : letter_json(tx, &(struct letter){ .word = "claim", .errand = e->kind, .id = e->id, .role = "registration", .peer = s.registration,
		.path = "/v1/subscribe" },
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:[s,s,s], s:s}", "equipment", s.equipment, "operator", c->operator, "owner", s.owner,
			"serial", (json_int_t)s.serial, "proof", s.proof, "dlusim_address", c->equipment_address, "dm_address", dm->address, "ocsp",
			subscribe_ocsp(p, "hss", c->operator), subscribe_ocsp(p, "dlusim", p->id), subscribe_ocsp(p, "registration", s.registration),
			"signer", signer));
}

static enum err claimed(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct process *p = store_owner(tx);
	json_t *o = json_loadb((const char *)event->body.p, event->body.n, 0, NULL), *pimsis = json_object_get(o, "pimsis");
	struct subscription s;
	char certificate[65], *list = json_is_array(pimsis) ? json_dumps(pimsis, JSON_COMPACT) : NULL;
	enum err err = json_get_text(o, "certificate", certificate, sizeof(certificate), w);

	if (!err && !list)
		err = fail(w, ERR_FORMAT, "registration %s answers no list of PIMSIs", event->peer);
	if (!err)
		err = subscription_get(tx, e->id, &s);
	if (!err)
		err = tx_do(tx, "UPDATE subscription SET certificate = :certificate, pimsis = :pimsis WHERE equipment = :equipment AND serial = :serial",
			WITH(B_TEXT("certificate", certificate), B_TEXT("pimsis", list), B_TEXT("equipment", s.equipment), B_INT("serial", s.serial)));
	if (!err)
		err = tx_audit(tx, "subscribe", ABOUT({ "equipment", s.equipment }, { "certificate", certificate }, { "owner", s.owner }),
			"registration operator %s routes %s to us", s.registration, s.equipment);
	if (!err)
		err = letter_json(tx, &(struct letter){ .word = "book", .errand = e->kind, .id = e->id, .role = "hss",
			.peer = ((const struct conf *)p->conf)->operator, .path = "/v1/subscribe" },
			json_pack("{s:s, s:s, s:s, s:O, s:s, s:I}", "equipment", s.equipment, "registration", s.registration, "certificate", certificate,
				"pimsis", pimsis, "owner", s.owner, "serial", (json_int_t)s.serial));
	free(list);
	json_decref(o);
	return err;
}

static enum err booked(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	struct subscription s;
	enum err err = subscription_get(tx, e->id, &s);

	(void)event, (void)w;
	return err ? err : tx_audit(tx, "subscribe", ABOUT({ "equipment", s.equipment }, { "owner", s.owner }),
		"%s is subscribed: its IMSI is prepared; now it is the equipment's turn to attach", s.equipment);
}

enum err subscribe_refused(struct tx *tx, const struct errand *e)
{
	struct subscription s;
	enum err err = subscription_get(tx, e->id, &s);

	return err ? err : tx_audit(tx, "subscribe", ABOUT({ "equipment", s.equipment }, { "owner", s.owner }), "%s is not subscribed: %s",
		s.equipment, e->why);
}

static enum err asked_again(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	struct subscription s;
	enum err err = subscription_get(tx, e->id, &s);

	(void)event, (void)w;
	if (!err)
		err = tx_audit(tx, "subscribe", ABOUT({ "equipment", s.equipment }, { "owner", s.owner }), "owner %s orders %s again; what was refused is asked anew",
			s.owner, s.equipment);
	return err ? err : ask_signer(tx, e);
}

static enum err forget(struct tx *tx, const char *errand, const char *equipment, int64_t serial)
{
	enum err err = tx_do(tx, "DELETE FROM subscription WHERE equipment = :equipment AND serial = :serial", WITH(B_TEXT("equipment", equipment),
		B_INT("serial", serial)));

	return err ? err : tx_errand_end(tx, "subscribe", errand);
}

/* A refused order goes, and one that a later claim replaced, once nothing that was proved under it is left. */
static enum err over(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	struct subscription s;
	const struct row *r;
	enum err err = subscription_get(tx, e->id, &s);

	(void)event, (void)w;
	if (!err && strcmp(e->state, "refused"))
		err = tx_get(tx, "SELECT 1 FROM subscription WHERE equipment = :equipment AND serial > :serial AND certificate <> ''"
			" AND NOT EXISTS (SELECT 1 FROM verification v WHERE v.equipment = :equipment AND v.serial = :serial)",
			WITH(B_TEXT("equipment", s.equipment), B_INT("serial", s.serial)), &r);
	e->due = clock_now_ms() + KEEP_MS;
	return !err ? forget(tx, e->id, s.equipment, s.serial) : err == ERR_MISSING ? OK : err;
}

const struct errand_rule subscribe_rules[] = {
	{ "refused", "again", NULL, asked_again, "asking", NULL },
	{ "asking", "signer.ok", "hss", told_signer, "claiming", "refused" },
	{ "asking", "signer.refused", "hss", letter_refused, NULL, "refused" },
	{ "claiming", "claim.ok", "registration", claimed, "booking", "refused" },
	{ "claiming", "claim.refused", "registration", letter_refused, NULL, "refused" },
	{ "booking", "book.ok", "hss", booked, "subscribed", "refused" },
	{ "booking", "book.refused", "hss", letter_refused, NULL, "refused" },
	{ "*", "due", NULL, over, NULL, NULL },
	{ 0 },
};
const char *const subscribe_settled[] = { "subscribed", "refused", NULL };

/* --- rows come in --- */

struct one {
	struct rows *all;
	struct row_in *row;
};

static enum err row_begin(struct tx *tx, struct rows *all, struct row_in *x)
{
	const struct process *p = store_owner(tx);
	struct errand e = { .kind = "subscribe" };
	enum err err;

	if (!peers_find(p->peers, "registration", x->registration))
		return fail(&x->why, ERR_MISSING, "registration operator %s is not known here", x->registration);
	err = tx_do(tx, "INSERT INTO subscription (equipment, serial, owner, registration, proof, signer, certificate, pimsis, asked_at)"
		" VALUES (:equipment, :serial, :owner, :registration, :proof, '', '', '', :now)",
		WITH(B_TEXT("equipment", x->equipment), B_INT("serial", x->serial), B_TEXT("owner", all->owner),
			B_TEXT("registration", x->registration), B_TEXT("proof", x->proof), B_INT("now", clock_now())));
	if (!err)
		err = tx_audit(tx, "subscribe", ABOUT({ "equipment", x->equipment }, { "owner", all->owner }),
			"owner %s ordered a subscription for %s (claim serial %lld)", all->owner, x->equipment, (long long)x->serial);
	if (!err)
		err = tx_errand_begin(tx, "subscribe", x->id, "asking");
	if (!err)
		err = tx_errand_due(tx, "subscribe", x->id, clock_now_ms() + KEEP_MS);
	snprintf(e.id, sizeof(e.id), "%s", x->id);
	return err ? err : ask_signer(tx, &e);
}

/* What was refused may be tried again with the same row, once the reason is gone. */
static enum err row_again(struct tx *tx, const struct row_in *x, const struct errand *e)
{
	if (strcmp(e->state, "refused") || clock_now_ms() - e->changed < AGAIN_MS)
		return OK;
	return tx_errand_event(tx, "subscribe", x->id, &(struct errand_event){ .name = "again" }, NULL);
}

/* A serial that was used: by this order, or by another. One that the registration operator refused takes nobody's serial away. */
static enum err row_used(struct tx *tx, struct rows *all, struct row_in *x, int same)
{
	struct errand e;
	enum err err = tx_errand_get(tx, "subscribe", x->id, &e);

	if (err)
		return err;
	if (same)
		return row_again(tx, x, &e);
	if (strcmp(e.state, "refused"))
		return fail(&x->why, ERR_CONFLICT, "serial %lld of %s was used with another proof; use a higher one", (long long)x->serial, x->equipment);
	err = forget(tx, x->id, x->equipment, x->serial);
	return err ? err : row_begin(tx, all, x);
}

static enum err row_write(struct tx *tx, void *arg)
{
	struct one *o = arg;
	struct row_in *x = o->row;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT owner, proof FROM subscription WHERE equipment = :equipment AND serial = :serial",
		WITH(B_TEXT("equipment", x->equipment), B_INT("serial", x->serial)), &r);

	if (!e)
		return row_used(tx, o->all, x, !strcmp(row_text(r, 0), o->all->owner) && !strcmp(row_text(r, 1), x->proof));
	if (e == ERR_MISSING) /* a claim that its registration operator took; whoever only ordered has proved nothing */
		e = tx_get(tx, "SELECT serial FROM subscription WHERE equipment = :equipment AND serial > :serial AND certificate <> '' ORDER BY serial DESC LIMIT 1",
			WITH(B_TEXT("equipment", x->equipment), B_INT("serial", x->serial)), &r);
	if (!e)
		return fail(&x->why, ERR_CONFLICT, "%s was ordered with serial %lld; use a higher one", x->equipment, (long long)row_int(r, 0));
	return e == ERR_MISSING ? row_begin(tx, o->all, x) : e;
}

static enum err rows_write(struct tx *tx, void *arg)
{
	struct rows *all = arg;

	for (size_t i = 0; i < all->n; i++) {
		struct row_in *x = all->row + i;
		struct one o = { all, x };
		enum err e = *x->state ? OK : tx_try(tx, row_write, &o);

		if (e == ERR_IO || e == ERR_NOMEM)
			return e;
		if (e)
			snprintf(x->state, sizeof(x->state), "refused");
	}
	return OK;
}

static void rows_answer(struct rows *all)
{
	json_t *list = json_array();
	int open = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct row_in *x = all->row + i;

		open |= strcmp(x->state, "refused") && strcmp(x->state, "subscribed");
		json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s}", "equipment", x->equipment, "serial", (json_int_t)x->serial, "state",
			x->state, "why", x->why.text));
	}
	if (open)
		ask_add(all->ask, "Retry-After", "1");
	ask_reply_json(all->ask, open ? 202 : 200, json_pack("{s:o}", "rows", list));
	free(all->row);
	free(all);
}

static void row_told(void *arg, const struct errand *e)
{
	struct one *o = arg;
	struct rows *all = o->all;

	if (e) {
		snprintf(o->row->state, sizeof(o->row->state), "%s", e->state);
		snprintf(o->row->why.text, sizeof(o->row->why.text), "%s", e->why);
	}
	free(o);
	if (!--all->waiting)
		rows_answer(all);
}

static void rows_written(void *arg, enum err e)
{
	struct rows *all = arg;
	struct process *p = all->process;
	const struct conf *c = p->conf;

	if (e) {
		ask_refuse(all->ask, e, "the rows were not taken; send them again");
		free(all->row);
		free(all);
		return;
	}
	desk_count(p->desk, COUNT_ORDERS, (int64_t)all->n);
	log_hop(LOG_INFO, "subscribe", "act=order owner=%s n=%zu", all->owner, all->n);
	all->waiting = 1;
	for (size_t i = 0; i < all->n; i++) {
		struct one *o = *all->row[i].state ? NULL : malloc(sizeof(*o));

		if (!o)
			continue;
		*o = (struct one){ all, all->row + i };
		snprintf(o->row->state, sizeof(o->row->state), "asking");
		all->waiting++;
		errand_wait(p->errands, "subscribe", o->row->id, c->patience * 1000, row_told, o);
	}
	if (!--all->waiting)
		rows_answer(all);
}

static void row_check(struct row_in *x, enum err e)
{
	uint8_t proof[32];

	if (!e && hex_read(x->proof, proof, sizeof(proof)))
		e = fail(&x->why, ERR_FORMAT, "proof is not 64 hex digits");
	if (!e && (!strchr(x->equipment, ':') || !cert_id_good(x->equipment)))
		e = fail(&x->why, ERR_FORMAT, "equipment `%s` is not <maker>:<serial> or imei:<15 digits>", x->equipment);
	text_plain(x->equipment); /* it is told in JSON, refused or not */
	text_plain(x->why.text);
	if (e)
		snprintf(x->state, sizeof(x->state), "refused");
	snprintf(x->id, sizeof(x->id), "%s/%lld", x->equipment, (long long)x->serial);
}

static void row_json(json_t *o, struct row_in *x)
{
	enum err e = json_get_text(o, "equipment", x->equipment, sizeof(x->equipment), &x->why);

	if (!e)
		e = json_get_text(o, "registration", x->registration, sizeof(x->registration), &x->why);
	if (!e)
		e = json_get_number(o, "serial", 0, INT64_MAX / 2, &x->serial, &x->why);
	if (!e)
		e = json_get_text(o, "proof", x->proof, sizeof(x->proof), &x->why);
	row_check(x, e);
}

static void row_csv(char *line, struct row_in *x)
{
	char *save = NULL, *equipment = strtok_r(line, ",\r", &save), *registration = strtok_r(NULL, ",\r", &save),
		*serial = strtok_r(NULL, ",\r", &save), *proof = strtok_r(NULL, ",\r", &save);
	enum err e = OK;

	if (!proof || text_copy(x->equipment, sizeof(x->equipment), equipment) || text_copy(x->registration, sizeof(x->registration), registration)
		|| text_number(serial, 0, INT64_MAX / 2, &x->serial) || text_copy(x->proof, sizeof(x->proof), proof))
		e = fail(&x->why, ERR_FORMAT, "expected equipment,registration,serial,proof");
	row_check(x, e);
}

static enum err rows_csv(struct rows *all, struct bytes body)
{
	char *text = bytes_dup(body, NULL), *save = NULL, *line;
	enum err e = OK;

	if (!text)
		return ERR_NOMEM;
	line = strtok_r(text, "\n", &save); /* the header */
	if (!line || strncmp(line, "equipment,registration,serial,proof", 35))
		e = ERR_FORMAT;
	while (!e && (line = strtok_r(NULL, "\n", &save))) {
		if (all->n == ROWS_MAX)
			e = ERR_RANGE;
		else
			row_csv(line, all->row + all->n++);
	}
	free(text);
	return e;
}

static void subscribe_owner(struct ask *a, void *process, const char *owner)
{
	struct rows *all = calloc(1, sizeof(*all));
	const char *type = ask_header(a, "Content-Type");
	json_t *o = NULL, *list, *one;
	size_t i;
	enum err e = OK;

	if (all)
		all->row = calloc(ROWS_MAX, sizeof(*all->row));
	if (!all || !all->row) {
		free(all);
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return;
	}
	all->ask = a;
	all->process = process;
	snprintf(all->owner, sizeof(all->owner), "%s", owner);
	if (type && !strncmp(type, "text/csv", 8)) {
		e = rows_csv(all, ask_body(a));
	} else {
		o = json_loadb((const char *)ask_body(a).p, ask_body(a).n, JSON_REJECT_DUPLICATES, NULL);
		list = json_object_get(o, "rows");
		if (json_array_size(list) > ROWS_MAX)
			e = ERR_RANGE;
		json_array_foreach(list, i, one)
			if (!e)
				row_json(one, all->row + all->n++);
		json_decref(o);
	}
	if (!e && !all->n)
		e = ERR_FORMAT;
	if (e) {
		free(all->row);
		free(all);
		ask_refuse(a, e, "1 to %d rows: text/csv with the header equipment,registration,serial,proof, or JSON {\"rows\": [...]}", ROWS_MAX);
		return;
	}
	store_run(all->process->store, rows_write, all, rows_written);
}

void subscribe_rows(struct ask *a, void *process)
{
	people_ask(a, process, subscribe_owner);
}

/* --- one row, and the desk's numbers --- */

struct look {
	struct ask *ask;
	char owner[OWNER_MAX], equipment[EQUIPMENT_MAX];
	int64_t serial;
	struct errand errand;
	enum err found;
};

static enum err look_read(struct tx *tx, void *arg)
{
	struct look *l = arg;
	const struct row *r;
	char id[ERRAND_ID];

	l->found = tx_get(tx, "SELECT serial FROM subscription WHERE equipment = :equipment AND owner = :owner ORDER BY serial DESC LIMIT 1",
		WITH(B_TEXT("equipment", l->equipment), B_TEXT("owner", l->owner)), &r);
	if (l->found)
		return OK;
	l->serial = row_int(r, 0);
	snprintf(id, sizeof(id), "%s/%lld", l->equipment, (long long)l->serial);
	l->found = tx_errand_get(tx, "subscribe", id, &l->errand);
	return OK;
}

static void look_done(void *arg, enum err e)
{
	struct look *l = arg;

	if (e || l->found)
		ask_refuse(l->ask, e ? e : l->found, "you have no order for %s here", l->equipment);
	else
		ask_reply_json(l->ask, 200, json_pack("{s:s, s:I, s:s, s:s}", "equipment", l->equipment, "serial", (json_int_t)l->serial, "state",
			l->errand.state, "why", l->errand.why));
	free(l);
}

static void one_owner(struct ask *a, void *process, const char *owner)
{
	struct look *l = calloc(1, sizeof(*l));

	if (!l || text_copy(l->equipment, sizeof(l->equipment), ask_tail(a))) {
		free(l);
		ask_refuse(a, ERR_RANGE, "the equipment's id is longer than %d characters", EQUIPMENT_MAX - 1);
		return;
	}
	l->ask = a;
	snprintf(l->owner, sizeof(l->owner), "%s", owner);
	store_run(((struct process *)process)->store, look_read, l, look_done);
}

void subscribe_one(struct ask *a, void *process)
{
	people_ask(a, process, one_owner);
}

static enum err state_row(const struct row *r, void *arg)
{
	return json_object_set_new(arg, row_text(r, 0), json_integer(row_int(r, 1))) ? ERR_NOMEM : OK;
}

enum err subscribe_status(struct tx *tx, json_t *into, void *process)
{
	json_t *states = json_object();
	enum err e = tx_each(tx, "SELECT state, COUNT(*) FROM errand WHERE kind = 'subscribe' GROUP BY state ORDER BY state", NULL, state_row, states);

	(void)process;
	return json_object_set_new(into, "subscribe", states) ? ERR_NOMEM : e;
}
