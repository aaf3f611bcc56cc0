/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * A job: fetched from the DLUSIM service, then ready, delivered, installed, active or failed; expired
 * if nobody came. Its account dies with it; when its row goes stands in doc/retention.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "link/letter.h"
#include "roles/dm/dm.h"

enum { PACKAGE_ROOM = 40 * 1024, /* in base64 it fits a message beside the rest */
	FETCHING_MOST = 1000, FETCH_MS = 600000, KEEP_MS = 7 * 86400000 };

/* --- fetching --- */

/* Whoever names a user makes an errand, before he has proved anything: they are counted, and those that found no job forgotten. */
enum err job_begin(struct tx *tx, const char *user, const char *dlusim, const char *job)
{
	const struct row *r;
	struct errand found;
	enum err e = tx_errand_get(tx, "job", user, &found);

	if (e != ERR_MISSING)
		return e;
	e = tx_get(tx, "SELECT COUNT(*) FROM errand WHERE kind = 'job' AND state = 'fetching'", NULL, &r);
	if (!e && row_int(r, 0) >= FETCHING_MOST)
		e = ERR_AGAIN;
	if (!e)
		e = tx_errand_begin(tx, "job", user, "fetching");
	if (!e)
		e = tx_errand_due(tx, "job", user, clock_now_ms() + FETCH_MS);
	return e ? e : letter_json(tx, &(struct letter){ .word = "fetch", .errand = "job", .id = user, .role = "dlusim", .peer = dlusim, .path = "/v1/provision" },
		json_pack("{s:s}", "job", job));
}

static enum err fetched(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	json_t *o = json_loadb((const char *)event->body.p, event->body.n, 0, NULL);
	struct job j = { .expires = 0 };
	uint8_t *package = malloc(PACKAGE_ROOM);
	size_t n = 0;
	enum err err = package ? json_get_text(o, "user", j.user, sizeof(j.user), w) : ERR_NOMEM;

	if (!err)
		err = json_get_text(o, "job", j.job, sizeof(j.job), w);
	if (!err)
		err = json_get_text(o, "equipment", j.equipment, sizeof(j.equipment), w);
	if (!err)
		err = json_get_text(o, "client_hash", j.client_hash, sizeof(j.client_hash), w);
	if (!err)
		err = json_get_text(o, "server_hash", j.server_hash, sizeof(j.server_hash), w);
	if (!err)
		err = json_get_b64(o, "client_nonce", j.client_nonce.p, sizeof(j.client_nonce.p), &j.client_nonce.n, w);
	if (!err)
		err = json_get_b64(o, "server_nonce", j.server_nonce.p, sizeof(j.server_nonce.p), &j.server_nonce.n, w);
	if (!err)
		err = json_get_b64(o, "package", package, PACKAGE_ROOM, &n, w);
	if (!err)
		err = json_get_text(o, "package_id", j.package_id, sizeof(j.package_id), w);
	if (!err)
		err = json_get_number(o, "expires_at", 1, JSON_TIME_MOST, &j.expires, w);
	json_decref(o);
	if (!err && strcmp(j.user, e->id))
		err = fail(w, ERR_DENIED, "dlusim %s answers with the account of another job", event->peer);
	if (!err)
		err = tx_do(tx, "INSERT INTO job (user, dlusim, job, state, equipment, client_hash, client_nonce, server_hash, server_nonce, package, package_id,"
			" result, expires_at, session, msg, said, mac, reply, reply_mac) VALUES (:user, :dlusim, :job, 'ready', :equipment, :ch, :cn, :sh, :sn,"
			" :package, :package_id, 0, :expires, '', 0, '', '', :none, '')",
			WITH(B_TEXT("user", j.user), B_TEXT("dlusim", event->peer), B_TEXT("job", j.job), B_TEXT("equipment", j.equipment), B_TEXT("ch", j.client_hash),
				B_BLOB("cn", BYTES(j.client_nonce.p, j.client_nonce.n)), B_TEXT("sh", j.server_hash),
				B_BLOB("sn", BYTES(j.server_nonce.p, j.server_nonce.n)), B_BLOB("package", BYTES(package, n)), B_TEXT("package_id", j.package_id),
				B_INT("expires", j.expires), B_BLOB("none", BYTES("", 0))));
	e->due = j.expires * 1000;
	if (!err)
		err = tx_audit(tx, "provision", ABOUT({ "equipment", j.equipment }, { "job", j.job }, { "package", j.package_id }),
			"took job %s of DLUSIM service %s: package %s for %s", j.job, event->peer, j.package_id, j.equipment);
	free(package);
	return err;
}

/* What is left of a job tells its story; the account and the package do not outlive it. The last answer stays: it may be asked again. */
static enum err forget(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)event, (void)w;
	e->due = clock_now_ms() + KEEP_MS;
	return tx_do(tx, "UPDATE job SET client_hash = '', server_hash = '', client_nonce = :none, server_nonce = :none, package = :none WHERE user = :user",
		WITH(B_BLOB("none", BYTES("", 0)), B_TEXT("user", e->id)));
}

/* Nobody came while the package could be installed; or the DLUSIM service has not heard yet how it ended. */
static enum err expired(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	struct job j;
	enum err err = job_get(tx, e->id, &j);

	if (!err && strcmp(j.state, "active") && strcmp(j.state, "failed")) {
		err = tx_audit(tx, "provision", ABOUT({ "equipment", j.equipment }, { "job", j.job }, { "package", j.package_id }),
			"job %s of %s has expired in state %s", j.job, j.equipment, j.state);
		if (!err)
			err = job_finish(tx, &j, "expired", 0);
		if (!err)
			err = job_save(tx, &j, BYTES("", 0));
	}
	return err ? err : forget(tx, e, event, w);
}

static enum err gone(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	enum err err = tx_do(tx, "DELETE FROM job WHERE user = :user", WITH(B_TEXT("user", e->id)));

	(void)event, (void)w;
	return err ? err : tx_errand_end(tx, e->kind, e->id);
}

const struct errand_rule job_rules[] = {
	{ "fetching", "fetch.ok", "dlusim", fetched, "ready", "refused" },
	{ "fetching", "fetch.refused", "dlusim", letter_refused, NULL, "refused" },
	{ "ready", "due", NULL, expired, "ended", NULL },
	{ "*", "due", NULL, gone, NULL, NULL },
	{ "*", "done.ok", "dlusim", forget, "ended", NULL },
	{ "*", "done.refused", "dlusim", forget, "ended", NULL },
	{ 0 },
};
const char *const job_settled[] = { "ready", "refused", "ended", NULL };

/* --- the row --- */

static void nonce_read(const struct row *r, int column, struct nonce *n)
{
	struct bytes b = row_blob(r, column);

	n->n = b.n <= sizeof(n->p) ? b.n : 0;
	if (n->n)
		memcpy(n->p, b.p, n->n);
}

enum err job_get(struct tx *tx, const char *user, struct job *j)
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT user, dlusim, job, state, equipment, client_hash, server_hash, package_id, session, said, mac, reply_mac, client_nonce,"
		" server_nonce, result, expires_at, msg FROM job WHERE user = :user", WITH(B_TEXT("user", user)), &r);

	memset(j, 0, sizeof(*j));
	if (e)
		return e;
	row_copy(r, 0, j->user, sizeof(j->user));
	row_copy(r, 1, j->dlusim, sizeof(j->dlusim));
	row_copy(r, 2, j->job, sizeof(j->job));
	row_copy(r, 3, j->state, sizeof(j->state));
	row_copy(r, 4, j->equipment, sizeof(j->equipment));
	row_copy(r, 5, j->client_hash, sizeof(j->client_hash));
	row_copy(r, 6, j->server_hash, sizeof(j->server_hash));
	row_copy(r, 7, j->package_id, sizeof(j->package_id));
	row_copy(r, 8, j->session, sizeof(j->session));
	row_copy(r, 9, j->said, sizeof(j->said));
	row_copy(r, 10, j->mac, sizeof(j->mac));
	row_copy(r, 11, j->reply_mac, sizeof(j->reply_mac));
	nonce_read(r, 12, &j->client_nonce);
	nonce_read(r, 13, &j->server_nonce);
	j->result = row_int(r, 14);
	j->expires = row_int(r, 15);
	j->msg = row_int(r, 16);
	return OK;
}

enum err job_save(struct tx *tx, const struct job *j, struct bytes reply)
{
	return tx_do(tx, "UPDATE job SET state = :state, client_nonce = :cn, server_nonce = :sn, result = :result, session = :session, msg = :msg, said = :said,"
		" mac = :mac, reply = :reply, reply_mac = :reply_mac WHERE user = :user",
		WITH(B_TEXT("state", j->state), B_BLOB("cn", BYTES(j->client_nonce.p, j->client_nonce.n)),
			B_BLOB("sn", BYTES(j->server_nonce.p, j->server_nonce.n)), B_INT("result", j->result), B_TEXT("session", j->session), B_INT("msg", j->msg),
			B_TEXT("said", j->said), B_TEXT("mac", j->mac), B_BLOB("reply", reply), B_TEXT("reply_mac", j->reply_mac), B_TEXT("user", j->user)));
}

enum err job_finish(struct tx *tx, struct job *j, const char *state, int64_t result)
{
	char text[32];

	if (result)
		snprintf(text, sizeof(text), "%lld", (long long)result);
	else
		snprintf(text, sizeof(text), "%s", state);
	j->result = result;
	snprintf(j->state, sizeof(j->state), "%s", state);
	return letter_json(tx,
		&(struct letter){ .word = "done", .errand = "job", .id = j->user, .role = "dlusim", .peer = j->dlusim, .path = "/v1/provision/done" },
		json_pack("{s:s, s:s}", "job", j->job, "result", text));
}

static enum err state_row(const struct row *r, void *arg)
{
	return json_object_set_new(arg, row_text(r, 0), json_integer(row_int(r, 1))) ? ERR_NOMEM : OK;
}

enum err job_status(struct tx *tx, json_t *into, void *process)
{
	json_t *states = json_object();
	enum err e = tx_each(tx, "SELECT state, COUNT(*) FROM job GROUP BY state ORDER BY state", NULL, state_row, states);

	(void)process;
	return json_object_set_new(into, "jobs", states) ? ERR_NOMEM : e;
}
