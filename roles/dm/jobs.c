/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * A job: fetched from the DLUSIM service (202 while it is not there), then ready, delivered, installed, active or failed. What
 * the server says next follows from the job's state alone, so that a session cut anywhere goes on in the next one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "roles/dm/dm.h"

/* --- fetching --- */

static enum err letter(struct tx *tx, const char *user, const char *dlusim, const char *word, const char *path, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	enum err e = text ? tx_outbox(tx, &(struct letter){ .word = word, .errand = "job", .id = user, .role = "dlusim", .peer = dlusim, .path = path,
		.type = "application/json", .body = bytes_text(text) }) : ERR_NOMEM;

	json_decref(body);
	free(text);
	return e;
}

enum err job_begin(struct tx *tx, const char *user, const char *dlusim, const char *job)
{
	enum err e = tx_errand_begin(tx, "job", user, "fetching");

	if (e == ERR_EXISTS)
		return OK;
	return e ? e : letter(tx, user, dlusim, "fetch", "/v1/provision", json_pack("{s:s}", "job", job));
}

static enum err fetched(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	json_t *o = json_loadb((const char *)event->body.p, event->body.n, 0, NULL);
	struct job j = { .expires = 0 };
	uint8_t *package = malloc(64 * 1024);
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
		err = json_get_b64(o, "package", package, 64 * 1024, &n, w);
	if (!err)
		err = json_get_text(o, "package_id", j.package_id, sizeof(j.package_id), w);
	if (!err)
		err = json_get_number(o, "expires_at", 1, INT64_MAX / 2, &j.expires, w);
	json_decref(o);
	if (!err && strcmp(j.user, e->id))
		err = fail(w, ERR_DENIED, "dlusim %s answers with the account of another job", event->peer);
	if (!err)
		err = tx_do(tx, "INSERT INTO job (user, dlusim, job, state, equipment, client_hash, client_nonce, server_hash, server_nonce, package, package_id,"
			" result, failures, expires_at) VALUES (:user, :dlusim, :job, 'ready', :equipment, :ch, :cn, :sh, :sn, :package, :package_id, 0, 0, :expires)",
			WITH(B_TEXT("user", j.user), B_TEXT("dlusim", event->peer), B_TEXT("job", j.job), B_TEXT("equipment", j.equipment), B_TEXT("ch", j.client_hash),
				B_BLOB("cn", BYTES(j.client_nonce.p, j.client_nonce.n)), B_TEXT("sh", j.server_hash),
				B_BLOB("sn", BYTES(j.server_nonce.p, j.server_nonce.n)), B_BLOB("package", BYTES(package, n)), B_TEXT("package_id", j.package_id),
				B_INT("expires", j.expires)));
	if (!err)
		err = tx_audit(tx, "provision", ABOUT({ "equipment", j.equipment }, { "job", j.job }, { "package", j.package_id }),
			"took job %s of DLUSIM service %s: package %s for %s", j.job, event->peer, j.package_id, j.equipment);
	free(package);
	return err;
}

static enum err no_job(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	char why[256];

	(void)tx, (void)e;
	json_why(event->body, why, sizeof(why));
	return fail(w, ERR_DENIED, "DLUSIM service %s: %s", event->peer, why);
}

const struct errand_rule job_rules[] = {
	{ "fetching", "fetch.ok", "dlusim", fetched, "ready", "refused" },
	{ "fetching", "fetch.refused", "dlusim", no_job, NULL, "refused" },
	{ "*", "done.ok", "dlusim", NULL, "ended", NULL },
	{ "*", "done.refused", "dlusim", NULL, "ended", NULL },
	{ 0 },
};
const char *const job_settled[] = { "ready", "refused", "ended", NULL };

/* --- the row --- */

enum err job_get(struct tx *tx, const char *user, struct job *j)
{
	const struct row *r;
	struct bytes b;
	enum err e = tx_get(tx, "SELECT user, dlusim, job, state, equipment, client_hash, client_nonce, server_hash, server_nonce, package_id, result, failures,"
		" expires_at FROM job WHERE user = :user", WITH(B_TEXT("user", user)), &r);

	memset(j, 0, sizeof(*j));
	if (e)
		return e;
	row_copy(r, 0, j->user, sizeof(j->user));
	row_copy(r, 1, j->dlusim, sizeof(j->dlusim));
	row_copy(r, 2, j->job, sizeof(j->job));
	row_copy(r, 3, j->state, sizeof(j->state));
	row_copy(r, 4, j->equipment, sizeof(j->equipment));
	row_copy(r, 5, j->client_hash, sizeof(j->client_hash));
	b = row_blob(r, 6);
	j->client_nonce.n = b.n <= sizeof(j->client_nonce.p) ? b.n : 0;
	memcpy(j->client_nonce.p, b.p, j->client_nonce.n);
	row_copy(r, 7, j->server_hash, sizeof(j->server_hash));
	b = row_blob(r, 8);
	j->server_nonce.n = b.n <= sizeof(j->server_nonce.p) ? b.n : 0;
	memcpy(j->server_nonce.p, b.p, j->server_nonce.n);
	row_copy(r, 9, j->package_id, sizeof(j->package_id));
	j->result = row_int(r, 10);
	j->failures = row_int(r, 11);
	j->expires = row_int(r, 12);
	return OK;
}

enum err job_save(struct tx *tx, const struct job *j)
{
	return tx_do(tx, "UPDATE job SET state = :state, client_nonce = :cn, server_nonce = :sn, result = :result, failures = :failures WHERE user = :user",
		WITH(B_TEXT("state", j->state), B_BLOB("cn", BYTES(j->client_nonce.p, j->client_nonce.n)),
			B_BLOB("sn", BYTES(j->server_nonce.p, j->server_nonce.n)), B_INT("result", j->result), B_INT("failures", j->failures), B_TEXT("user", j->user)));
}

/* --- what is said next --- */

static enum err node(struct syncml *out, const char *path, const char *leaf, const char *format, const char *data, const char *type)
{
	struct sync_command *c = syncml_add(out, SYNC_ADD);
	char uri[300];

	if (!c)
		return ERR_LIMIT;
	snprintf(uri, sizeof(uri), *leaf ? "%s/%s" : "%s", path, leaf);
	c->in_sequence = 1;
	c->items = 1;
	c->item[0] = (struct sync_item){ "", "", type, format, "", data };
	c->item[0].target = syncml_keep(out, bytes_text(uri));
	return c->item[0].target ? OK : ERR_LIMIT;
}

static enum err exec(struct syncml *out, const char *uri, const char *correlator, int in_sequence)
{
	struct sync_command *c = syncml_add(out, SYNC_EXEC);

	if (!c)
		return ERR_LIMIT;
	c->in_sequence = in_sequence;
	c->correlator = correlator;
	c->items = 1;
	c->item[0] = (struct sync_item){ "", "", "", "", "", "" };
	c->item[0].target = syncml_keep(out, bytes_text(uri));
	return c->item[0].target ? OK : ERR_LIMIT;
}

/* Package 2: the component by SCOMO's direct delivery, and its installation as inactive. */
static enum err deliver(struct tx *tx, struct job *j, struct syncml *out)
{
	const struct row *r;
	char path[200], uri[300], *b64;
	struct bytes package;
	const char *data;
	enum err e = tx_get(tx, "SELECT package FROM job WHERE user = :user", WITH(B_TEXT("user", j->user)), &r);

	if (e)
		return e;
	package = row_blob(r, 0);
	b64 = malloc(package.n * 2 + 8);
	e = b64 ? b64_of(package, b64, package.n * 2 + 8) : ERR_NOMEM;
	data = e ? NULL : syncml_keep(out, bytes_text(b64));
	free(b64);
	if (!data)
		return ERR_LIMIT;
	snprintf(path, sizeof(path), SCOMO_DELIVERED "/%s", j->package_id);
	if (!syncml_add(out, SYNC_SEQUENCE))
		return ERR_LIMIT;
	e = node(out, path, "", "node", "", "");
	if (!e)
		e = node(out, path, "PkgID", "chr", j->package_id, "text/plain");
	if (!e)
		e = node(out, path, "PkgType", "chr", "application/pkcs7-mime; smime-type=authEnveloped-data", "text/plain");
	if (!e)
		e = node(out, path, "EnvType", "chr", "org.usher/1.0/USIM", "text/plain");
	if (!e)
		e = node(out, path, "Data", "b64", data, "application/pkcs7-mime");
	snprintf(uri, sizeof(uri), "%s/Operations/InstallInactive", path);
	if (!e)
		e = exec(out, uri, j->job, 1);
	snprintf(j->state, sizeof(j->state), "delivered");
	return e ? e : tx_audit(tx, "provision", ABOUT({ "equipment", j->equipment }, { "job", j->job }), "delivers package %s to %s", j->package_id, j->equipment);
}

static enum err activate(struct tx *tx, struct job *j, struct syncml *out)
{
	char uri[300];

	(void)tx;
	snprintf(uri, sizeof(uri), SCOMO_DEPLOYED "/%s/Operations/Activate", j->package_id);
	return exec(out, uri, j->job, 0);
}

static enum err finish(struct tx *tx, struct job *j, int result)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", result);
	j->result = result;
	snprintf(j->state, sizeof(j->state), result == SCOMO_OK ? "active" : "failed");
	return letter(tx, j->user, j->dlusim, "done", "/v1/provision/done", json_pack("{s:s, s:s}", "job", j->job, "result", text));
}

/* A generic alert 1226 with our correlator: how an operation ended. */
static enum err result_take(struct tx *tx, struct job *j, const struct sync_command *c)
{
	int code = 0, was_activate = c->items && strstr(c->item[0].source, "/Activate") != NULL;
	enum err e;

	if (!c->items || strcmp(c->correlator, j->job) || scomo_result_read(c->item[0].data, &code))
		return OK; /* another's, or not a result */
	if (!strcmp(j->state, "active") || !strcmp(j->state, "failed"))
		return OK; /* told before */
	e = tx_audit(tx, "provision", ABOUT({ "equipment", j->equipment }, { "job", j->job }), "%s says of %s of package %s: %d", j->equipment,
		was_activate ? "the activation" : "the installation", j->package_id, code);
	if (e)
		return e;
	if (!was_activate && code == SCOMO_OK) {
		snprintf(j->state, sizeof(j->state), "installed");
		return OK;
	}
	return finish(tx, j, code);
}

enum err job_step(struct tx *tx, struct job *j, const struct syncml *in, struct syncml *out)
{
	int session_begins = 0, told = 0;
	enum err e = OK;

	for (int i = 0; i < in->commands && !e; i++) {
		const struct sync_command *c = in->command + i;

		if (c->kind == SYNC_STATUS || c->kind == SYNC_RESULTS)
			continue;
		if (c->kind == SYNC_ALERT && (!strcmp(c->data, "1200") || !strcmp(c->data, "1201")))
			session_begins = 1;
		if (c->kind == SYNC_ALERT && !strcmp(c->data, "1226")) {
			told = 1;
			e = result_take(tx, j, c);
		}
		if (!e && !syncml_status(out, in, c, c->kind == SYNC_ALERT || c->kind == SYNC_REPLACE ? "200" : "406"))
			e = ERR_LIMIT;
	}
	if (e || !in->final)
		return e;
	if (!strcmp(j->state, "ready") || (!strcmp(j->state, "delivered") && session_begins && !told))
		e = deliver(tx, j, out);
	else if (!strcmp(j->state, "installed") && (told || session_begins))
		e = activate(tx, j, out);
	return e;
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
