/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Step 5 (I5, I5'; R4, P2): the equipment proves in a signed challenge what it is; its certificate is asked about by OCSP with
 * a nonce that is the hash of its answer; the evidence goes to the HSS, and the sealed package comes back. Then the trigger.
 * No answer of OCSP is no answer: the errand waits and goes on by itself, until its evidence is too old. What goes when: doc/retention.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "link/letter.h"
#include "proto/cms.h"
#include "proto/notification.h"
#include "roles/dlusim/dlusim.h"
#include "trust/trust.h"

enum { DM_MS = 5000, PACKAGE_MAX_ = 32 * 1024 };

/* --- the answer: an errand --- */

struct proving {
	struct ask *ask;
	struct process *process;
	struct answer a;
	struct cms_signed by;
	char id[65], discover[65];
	uint8_t hash[32];
	uint8_t *der;
	size_t n;
	int64_t serial, expires; /* of the subscription; of the challenge */
	struct why why;
	/* at the end */
	uint8_t *trigger;
	size_t trigger_n;
	enum err found;
};

static void proving_free(struct proving *v)
{
	cms_signed_free(&v->by);
	free(v->der);
	free(v->trigger);
	free(v);
}

/* Its maker had it certified, where the maker is. */
static enum err ocsp_letter(struct tx *tx, struct proving *v)
{
	char maker[ID_MAX];
	const char *ocsp;
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e;

	snprintf(maker, sizeof(maker), "%.*s", (int)strcspn(v->by.party.id, ":"), v->by.party.id);
	ocsp = subscribe_ocsp(v->process, "factory", maker);
	e = *ocsp ? ocsp_ask_write((struct ocsp_question){ &v->by.cert, 1, v->by.issuer, v->hash }, &der, &n)
		: fail(&v->why, ERR_AGAIN, "dlusim %s knows no OCSP address of attestation %s or factory %s; `usher peer add` names it", v->process->id,
			((const struct conf *)v->process->conf)->attestation, maker);
	if (!e)
		e = tx_outbox(tx, &(struct letter){ .word = "ocsp", .errand = "verify", .id = v->id, .address = ocsp, .path = "/",
			.type = "application/ocsp-request", .body = BYTES(der, n) });
	OPENSSL_free(der);
	return e;
}

/*
 * The answer must be to our challenge, by the certificate that the registration operator bound, for the same subscription; and the only one:
 * each costs an OCSP answer and a sealed package. Whoever lost his (a power cut) begins with another discover answer.
 */
static enum err answer_check(struct tx *tx, struct proving *v)
{
	const struct row *r;
	char challenge[65], own[65];
	enum err e = hex_of(BYTES_OF(v->a.discover), v->discover, sizeof(v->discover));

	if (!e)
		e = hex_of(BYTES_OF(v->a.challenge), challenge, sizeof(challenge));
	if (!e)
		e = tx_get(tx, "SELECT c.equipment, c.serial, c.hash, c.expires_at, s.certificate,"
			" EXISTS (SELECT 1 FROM verification v WHERE v.discover = c.discover) FROM challenge c JOIN subscription s"
			" ON s.equipment = c.equipment AND s.serial = c.serial WHERE c.discover = :discover", WITH(B_TEXT("discover", v->discover)), &r);
	if (e)
		return e == ERR_MISSING ? fail(&v->why, ERR_EXPIRED, "this answer is to no challenge of ours that lives; begin with the discover answer") : e;
	v->serial = row_int(r, 1);
	v->expires = row_int(r, 3);
	if (strcmp(row_text(r, 2), challenge) || v->expires < clock_now())
		return fail(&v->why, ERR_EXPIRED, "the challenge of %s has expired; ask for a new one", v->by.party.id);
	if (strcmp(row_text(r, 0), v->by.party.id) || v->a.serial != v->serial || !bytes_same(v->a.certificate, v->by.hash, 32))
		return fail(&v->why, ERR_DENIED, "the answer is signed by %s, not by the equipment that was challenged", v->by.party.id);
	e = hex_of(BYTES_OF(v->by.hash), own, sizeof(own));
	if (!e && strcmp(own, row_text(r, 4)))
		e = fail(&v->why, ERR_DENIED, "%s answers with another certificate than the one bound to it", v->by.party.id);
	if (!e && row_int(r, 5))
		e = fail(&v->why, ERR_CONFLICT, "%s has answered this challenge otherwise before; begin with a new discover answer", v->by.party.id);
	return e;
}

static enum err proving_write(struct tx *tx, void *arg)
{
	struct proving *v = arg;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT 1 FROM verification WHERE id = :id", WITH(B_TEXT("id", v->id)), &r);

	if (e != ERR_MISSING)
		return e; /* the same bytes again: the same errand */
	e = answer_check(tx, v);
	if (!e)
		e = tx_do(tx, "INSERT INTO verification (id, equipment, serial, discover, answer, ocsp, package, package_id, counter, trigger_der, job, asked_at)"
			" VALUES (:id, :equipment, :serial, :discover, :answer, :none, :none, '', 0, :none, '', :now)",
			WITH(B_TEXT("id", v->id), B_TEXT("equipment", v->by.party.id), B_INT("serial", v->serial), B_TEXT("discover", v->discover),
				B_BLOB("answer", BYTES(v->der, v->n)), B_BLOB("none", BYTES("", 0)), B_INT("now", clock_now())));
	if (!e)
		e = tx_audit(tx, "verify", ABOUT({ "equipment", v->by.party.id }, { "pimsi", v->a.pimsi }),
			"%s answered our challenge; now it is the attestation provider's turn to say whether its certificate is good", v->by.party.id);
	if (!e)
		e = tx_errand_begin(tx, "verify", v->id, "asking");
	if (!e) /* the HSS takes no evidence whose challenge is over */
		e = tx_errand_due(tx, "verify", v->id, v->expires * 1000);
	return e ? e : ocsp_letter(tx, v);
}

static enum err trigger_read(struct tx *tx, void *arg)
{
	struct proving *v = arg;
	const struct row *r;
	struct bytes der;

	v->found = tx_get(tx, "SELECT trigger_der FROM verification WHERE id = :id", WITH(B_TEXT("id", v->id)), &r);
	if (v->found && v->found != ERR_MISSING)
		return OK;
	der = v->found ? BYTES(NULL, 0) : row_blob(r, 0);
	if (!der.n) {
		v->found = fail(&v->why, ERR_EXPIRED, "the job of this answer has ended; begin with the discover answer");
		return OK;
	}
	free(v->trigger);
	v->trigger = bytes_dup(der, &v->trigger_n);
	return v->trigger ? OK : ERR_NOMEM;
}

static void trigger_ready(void *arg, enum err e)
{
	struct proving *v = arg;

	e = e ? e : v->found;
	if (e)
		ask_refuse(v->ask, e, "%s", v->why.text[0] ? v->why.text : "the trigger is not there; send the answer again");
	else
		ask_reply(v->ask, 200, "application/cms", BYTES(v->trigger, v->trigger_n));
	proving_free(v);
}

static void proving_told(void *arg, const struct errand *e)
{
	struct proving *v = arg;

	if (!e || !strcmp(e->state, "sealed")) {
		store_run(v->process->store, trigger_read, v, trigger_ready);
	} else if (!strcmp(e->state, "refused")) {
		ask_refuse_as(v->ask, 403, ERR_DENIED, "%s", e->why);
		proving_free(v);
	} else {
		ask_add(v->ask, "Retry-After", "2");
		ask_reply_json(v->ask, 202, json_pack("{s:s, s:s}", "errand", v->id, "state", e->state));
		proving_free(v);
	}
}

static void proving_written(void *arg, enum err e)
{
	struct proving *v = arg;
	const struct conf *c = v->process->conf;

	log_hop(e ? LOG_WARN : LOG_INFO, "verify", "eq=%s act=answer errand=%.12s result=%s", v->by.party.id, v->id, err_name(e));
	if (!e) {
		errand_wait(v->process->errands, "verify", v->id, c->patience * 1000, proving_told, v);
		return;
	}
	ask_refuse(v->ask, e, "%s", v->why.text[0] ? v->why.text : "send the answer again");
	proving_free(v);
}

static void take_answer(struct ask *a, struct process *p)
{
	struct proving *v = calloc(1, sizeof(*v));
	struct bytes body = ask_body(a);
	struct why w = { "out of memory" };
	enum err e = ERR_NOMEM;

	if (v && (v->der = bytes_dup(body, &v->n))) {
		v->ask = a;
		v->process = p;
		e = cms_open(OBJECT_ANSWER, body, process_expects(p, NULL), &v->a, &v->by, &w);
		if (!e)
			e = cms_hash(body, v->hash);
		if (!e)
			e = hex_of(BYTES_OF(v->hash), v->id, sizeof(v->id));
	}
	if (!e) {
		store_run(p->store, proving_write, v, proving_written);
		return;
	}
	ask_refuse(a, e, "%s", w.text);
	if (v)
		proving_free(v);
}

void verify_ask(struct ask *a, void *process)
{
	int which = cms_which(ask_body(a));

	if (which == OBJECT_DISCOVER)
		challenge_ask(a, process);
	else if (which == OBJECT_ANSWER)
		take_answer(a, process);
	else
		ask_refuse(a, ERR_FORMAT, "send a discover answer or an answer, as application/cms");
}

/* --- rules --- */

struct evidence {
	char equipment[EQUIPMENT_MAX];
	uint8_t *discover, *challenge, *answer;
	size_t discover_n, challenge_n, answer_n;
};

static void evidence_free(struct evidence *v)
{
	free(v->discover);
	free(v->challenge);
	free(v->answer);
}

static enum err evidence_get(struct tx *tx, const char *id, struct evidence *v)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT v.equipment, c.evidence, c.der, v.answer FROM verification v JOIN challenge c ON c.discover = v.discover"
		" WHERE v.id = :id", WITH(B_TEXT("id", id)), &r);

	memset(v, 0, sizeof(*v));
	if (e)
		return e == ERR_MISSING ? ERR_EXPIRED : e;
	row_copy(r, 0, v->equipment, sizeof(v->equipment));
	v->discover = bytes_dup(row_blob(r, 1), &v->discover_n);
	v->challenge = bytes_dup(row_blob(r, 2), &v->challenge_n);
	v->answer = bytes_dup(row_blob(r, 3), &v->answer_n);
	return v->discover && v->challenge && v->answer ? OK : ERR_NOMEM;
}

static enum err seal_letter(struct tx *tx, const struct errand *e, const struct evidence *v, struct bytes ocsp)
{
	const struct process *p = store_owner(tx);

	return letter_json(tx, &(struct letter){ .word = "seal", .errand = e->kind, .id = e->id, .role = "hss", .peer = ((const struct conf *)p->conf)->operator,
		.path = "/v1/verify" }, json_pack("{s:o?, s:o?, s:o?, s:o?}", "discover", json_b64(BYTES(v->discover, v->discover_n)), "challenge",
		json_b64(BYTES(v->challenge, v->challenge_n)), "answer", json_b64(BYTES(v->answer, v->answer_n)), "ocsp", json_b64(ocsp)));
}

/* 5': hard fail. What is no verdict (tryLater, silence, what was tampered with on its way) waits: the letter is sent again. */
static enum err told_ocsp(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct process *p = store_owner(tx);
	struct evidence v;
	struct answer a;
	struct cms_signed by = { 0 };
	uint8_t hash[32];
	int64_t produced = 0;
	enum err err = evidence_get(tx, e->id, &v);

	if (!err)
		err = cms_open(OBJECT_ANSWER, BYTES(v.answer, v.answer_n), process_expects(p, v.equipment), &a, &by, w);
	if (!err)
		err = cms_hash(BYTES(v.answer, v.answer_n), hash);
	if (!err)
		err = trust_verdict(event->body, (struct ocsp_question){ &by.cert, 1, by.issuer, hash }, (struct cert_time){ clock_now(), 0 }, &produced, w);
	if (err == ERR_UNAVAILABLE)
		err = ERR_AGAIN;
	if (!err)
		err = tx_do(tx, "UPDATE verification SET ocsp = :ocsp WHERE id = :id", WITH(B_BLOB("ocsp", event->body), B_TEXT("id", e->id)));
	if (!err)
		err = tx_audit(tx, "verify", ABOUT({ "equipment", v.equipment }),
			"the certificate of %s is good; now it is the HSS's turn to seal its package", v.equipment);
	if (!err)
		err = seal_letter(tx, e, &v, event->body);
	cms_signed_free(&by);
	evidence_free(&v);
	return err;
}

/* The account's secrets die with its job (DESIGN 3, row 5), and the package that only it could fetch. */
enum err verify_job_ends(struct tx *tx, const char *id)
{
	return tx_do(tx,
		"UPDATE verification SET trigger_der = :none, package = :none, job = '' WHERE id = :id", WITH(B_BLOB("none", BYTES("", 0)), B_TEXT("id", id)));
}

struct past {
	char equipment[EQUIPMENT_MAX], job[JOB_MAX];
	int64_t counter; /* 0: nothing was sealed */
};

/* Nothing came of it: whose fault that was. */
static const struct {
	const char *state, *why;
} unanswered[] = { { "asking", "the attestation provider did not answer in its time" }, { "sealing", "the HSS did not answer in its time" },
	{ "packed", "its package expired before there was a DM service" } };

static enum err past_tell(struct tx *tx, const struct errand *e, const struct past *v)
{
	if (*v->job)
		return tx_audit(tx, "provision", ABOUT({ "equipment", v->equipment }, { "job", v->job }), "job %s of %s has expired", v->job, v->equipment);
	for (size_t i = 0; i < sizeof(unanswered) / sizeof(*unanswered); i++)
		if (!strcmp(unanswered[i].state, e->state))
			return tx_audit(tx, "verify", ABOUT({ "equipment", v->equipment }), "%s has to prove itself again: %s", v->equipment, unanswered[i].why);
	return OK;
}

/* Its receipt may still come, however late, unless a later package's has, or a later package took its place. */
static enum err past_needed(struct tx *tx, const struct past *v)
{
	const struct row *r;

	return !v->counter ? ERR_MISSING : tx_get(tx, "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM verification WHERE equipment = :equipment AND counter > :counter)"
		" AND NOT EXISTS (SELECT 1 FROM receipt WHERE equipment = :equipment AND counter >= :counter AND ack <> x'')",
		WITH(B_TEXT("equipment", v->equipment), B_INT("counter", v->counter)), &r);
}

static enum err over(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	struct past v = { .counter = 0 };
	const struct row *r;
	enum err err = tx_get(tx, "SELECT equipment, job, counter FROM verification WHERE id = :id", WITH(B_TEXT("id", e->id)), &r);

	(void)event, (void)w;
	if (err)
		return err == ERR_MISSING ? tx_errand_end(tx, e->kind, e->id) : err;
	row_copy(r, 0, v.equipment, sizeof(v.equipment));
	row_copy(r, 1, v.job, sizeof(v.job));
	v.counter = row_int(r, 2);
	err = past_tell(tx, e, &v);
	if (!err)
		err = verify_job_ends(tx, e->id);
	if (!err)
		err = past_needed(tx, &v);
	if (err != ERR_MISSING) {
		e->due = clock_now_ms() + KEEP_MS;
		return err;
	}
	err = tx_do(tx, "DELETE FROM verification WHERE id = :id", WITH(B_TEXT("id", e->id)));
	return err ? err : tx_errand_end(tx, e->kind, e->id);
}

static enum err secret_octets(size_t *n, uint8_t *p, size_t want)
{
	*n = want;
	return secret_random(p, want);
}

/* The DM account of one job, and package #0 that begins it; signed, because the equipment believes only that. */
static enum err trigger_make(const struct process *p, const struct peer *dm, struct trigger *t, uint8_t **der, size_t *n)
{
	const struct signer by = { p->sign_cert, p->sign_issuer, p->sign_key };
	struct notification notice = { .user_interaction = 1 };
	uint8_t random[8];
	enum err err = secret_random(random, sizeof(random));

	if (!err)
		err = hex_of(BYTES_OF(random), t->job, sizeof(t->job));
	if (!err)
		err = text_copy(t->dlusim, sizeof(t->dlusim), p->id);
	if (!err)
		err = text_copy(t->dm, sizeof(t->dm), dm->party.id);
	if (!err)
		err = text_copy(t->dm_address, sizeof(t->dm_address), dm->address);
	snprintf(t->user, sizeof(t->user), "%s/%s", p->id, t->job);
	if (!err)
		err = secret_octets(&t->client_secret.n, t->client_secret.p, 32);
	if (!err)
		err = secret_octets(&t->client_nonce.n, t->client_nonce.p, 16);
	if (!err)
		err = secret_octets(&t->server_secret.n, t->server_secret.p, 32);
	if (!err)
		err = secret_octets(&t->server_nonce.n, t->server_nonce.p, 16);
	notice.session = (uint16_t)(random[0] << 8 | random[1]);
	snprintf(notice.server, sizeof(notice.server), "%s", t->dm);
	if (!err)
		err = notification_write(&notice, BYTES(t->server_secret.p, t->server_secret.n), BYTES(t->server_nonce.p, t->server_nonce.n), t->notice.p,
			sizeof(t->notice.p), &t->notice.n);
	return err ? err : cms_sign(OBJECT_TRIGGER, t, &by, der, n);
}

/* An operator adds it; until then the package waits here, and the story says so. */
static enum err dm_missing(struct tx *tx, struct errand *e, const struct trigger *t, const char *package)
{
	const struct conf *c = ((const struct process *)store_owner(tx))->conf;
	const int told = !strcmp(e->state, "packed");

	snprintf(e->state, sizeof(e->state), "packed");
	e->due = clock_now_ms() + DM_MS;
	return told ? OK : tx_audit(tx, "verify", ABOUT({ "equipment", t->equipment }, { "package", package }),
		"package %s of %s waits: DM service %s is not known here; it is an operator's turn: `usher peer add`", package, t->equipment, c->dm);
}

static enum err trigger_give(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	const struct process *p = store_owner(tx);
	const struct peer *dm = peers_find(p->peers, "dm", ((const struct conf *)p->conf)->dm);
	struct trigger t = { .expiry = 0 };
	uint8_t *der = NULL;
	size_t n = 0;
	char package[JOB_MAX];
	const struct row *r;
	enum err err = tx_get(tx, "SELECT equipment, package_id, expires_at FROM verification WHERE id = :id", WITH(B_TEXT("id", e->id)), &r);

	if (err)
		return err;
	row_copy(r, 0, t.equipment, sizeof(t.equipment));
	row_copy(r, 1, package, sizeof(package));
	t.expiry = row_int(r, 2);
	if (!dm)
		return t.expiry > clock_now() ? dm_missing(tx, e, &t, package) : over(tx, e, event, w);
	err = hex_read(e->id, t.answer, sizeof(t.answer));
	if (!err)
		err = trigger_make(p, dm, &t, &der, &n);
	if (!err)
		err = tx_do(tx, "UPDATE verification SET trigger_der = :trigger, job = :job WHERE id = :id", WITH(B_BLOB("trigger", BYTES(der, n)),
			B_TEXT("job", t.job), B_TEXT("id", e->id)));
	if (!err)
		err = tx_audit(tx, "verify", ABOUT({ "equipment", t.equipment }, { "package", package }, { "job", t.job }),
			"the HSS sealed package %s for %s; it is the equipment's turn to fetch it by job %s", package, t.equipment, t.job);
	snprintf(e->state, sizeof(e->state), "sealed");
	e->due = t.expiry * 1000;
	secret_wipe(&t, sizeof(t));
	OPENSSL_free(der);
	return err;
}

static enum err sealed(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	json_t *o = json_loadb((const char *)event->body.p, event->body.n, 0, NULL);
	uint8_t *package = malloc(PACKAGE_MAX_);
	size_t n = 0;
	char id[JOB_MAX];
	int64_t counter = 0, expires = 0;
	enum err err = package ? json_get_b64(o, "package", package, PACKAGE_MAX_, &n, w) : ERR_NOMEM;

	if (!err)
		err = json_get_text(o, "id", id, sizeof(id), w);
	if (!err)
		err = json_get_number(o, "counter", 1, INT64_MAX / 2, &counter, w);
	if (!err)
		err = json_get_number(o, "expires_at", 1, JSON_TIME_MOST, &expires, w);
	json_decref(o);
	if (!err)
		err = tx_do(tx, "UPDATE verification SET package = :package, package_id = :package_id, counter = :counter, expires_at = :expires WHERE id = :id",
			WITH(B_BLOB("package", BYTES(package, n)), B_TEXT("package_id", id), B_INT("counter", counter), B_INT("expires", expires),
				B_TEXT("id", e->id)));
	free(package);
	return err ? err : trigger_give(tx, e, event, w);
}

/* HTTP's refusal is unsigned, and so no verdict. */
static enum err not_answered(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)tx, (void)e;
	return fail(w, ERR_AGAIN, "the OCSP responder at %s refuses the request; it is asked again", event->peer);
}

enum err verify_refused(struct tx *tx, const struct errand *e)
{
	const struct row *r;
	char equipment[EQUIPMENT_MAX];
	enum err err = tx_get(tx, "SELECT equipment FROM verification WHERE id = :id", WITH(B_TEXT("id", e->id)), &r);

	if (err)
		return err;
	row_copy(r, 0, equipment, sizeof(equipment));
	return tx_audit(tx, "verify", ABOUT({ "equipment", equipment }), "%s is refused: %s", equipment, e->why);
}

const struct errand_rule verify_rules[] = {
	{ "asking", "ocsp.ok", NULL, told_ocsp, "sealing", "refused" },
	{ "asking", "ocsp.refused", NULL, not_answered, NULL, NULL },
	{ "sealing", "seal.ok", "hss", sealed, NULL, "refused" }, /* to sealed, or packed */
	{ "sealing", "seal.refused", "hss", letter_refused, NULL, "refused" },
	{ "packed", "due", NULL, trigger_give, NULL, NULL },
	{ "*", "due", NULL, over, NULL, NULL },
	{ 0 },
};
const char *const verify_settled[] = { "sealed", "refused", NULL };
