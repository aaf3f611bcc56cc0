/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * A session as the server holds it: one Status for every command, and what is said next follows from the job's state alone, so
 * that a session cut anywhere goes on in the next one. A client may send Alert, Replace of its DevInfo, Results and Status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles/dm/dm.h"

enum { MESSAGES = 32, BESIDE_PACKAGE = 4096 }; /* octets of the message that carries a package, beside it */

struct turn {
	struct tx *tx;
	struct job *j;
	const struct syncml *in;
	struct syncml *out;
	int aborted;          /* Alert 1223, ours or theirs */
	const char *code;     /* of the command under way; NULL: it gets no Status */
};

static int is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/* --- what is said next --- */

static enum err command(struct syncml *out, enum sync_kind kind, const char *uri, const struct sync_item *item, const char *correlator, int in_sequence)
{
	struct sync_command *c = syncml_add(out, kind);

	if (!c)
		return ERR_LIMIT;
	c->in_sequence = in_sequence;
	c->correlator = correlator;
	c->items = 1;
	c->item[0] = *item;
	c->item[0].target = syncml_keep(out, bytes_text(uri));
	return c->item[0].target ? OK : ERR_LIMIT;
}

static enum err leaf(struct syncml *out, const char *path, const char *name, const char *format, const char *type, const char *data)
{
	char uri[300];

	snprintf(uri, sizeof(uri), *name ? "%s/%s" : "%s", path, name);
	return command(out, SYNC_ADD, uri, &(struct sync_item){ "", "", type, format, "", data, 0 }, "", 1);
}

static enum err exec(struct syncml *out, const char *root, const char *package, const char *operation, const char *correlator, int in_sequence)
{
	char uri[300];

	snprintf(uri, sizeof(uri), "%s/%s/Operations/%s", root, package, operation);
	return command(out, SYNC_EXEC, uri, &(struct sync_item){ "", "", "", "", "", "", 0 }, correlator, in_sequence);
}

static enum err abort_session(struct turn *t, const char *why)
{
	struct sync_command *c = syncml_add(t->out, SYNC_ALERT);

	if (!c)
		return ERR_LIMIT;
	c->data = "1223";
	t->aborted = 1;
	t->j->session[0] = 0;
	return tx_audit(t->tx, "provision", ABOUT({ "equipment", t->j->equipment }, { "job", t->j->job }), "broke off a session of job %s: %s", t->j->job, why);
}

static const char *package_text(struct turn *t, size_t *n)
{
	const struct row *r;
	const char *kept = NULL;
	char *b64;

	if (tx_get(t->tx, "SELECT package FROM job WHERE user = :user", WITH(B_TEXT("user", t->j->user)), &r))
		return NULL;
	b64 = b64_new(row_blob(r, 0));
	if (b64)
		kept = syncml_keep(t->out, bytes_text(b64));
	free(b64);
	*n = kept ? strlen(kept) : 0;
	return kept;
}

/* Package 2: the component by SCOMO's direct delivery, and its installation as inactive. Exec must not stand in an Atomic. */
static enum err deliver(struct turn *t)
{
	struct job *j = t->j;
	struct syncml *out = t->out;
	size_t n = 0;
	const char *data = package_text(t, &n);
	int64_t most = 0;
	char path[200], why[160];
	enum err e = data ? OK : ERR_LIMIT;

	if (!e && *t->in->max_msg && !text_number(t->in->max_msg, 0, INT32_MAX, &most) && most < (int64_t)n + BESIDE_PACKAGE) {
		snprintf(why, sizeof(why), "it takes messages of %lld octets, and its package needs %zu", (long long)most, n + BESIDE_PACKAGE);
		return abort_session(t, why); /* large objects in chunks are not sent */
	}
	snprintf(path, sizeof(path), SCOMO_DELIVERED "/%s", j->package_id);
	if (!e)
		e = syncml_add(out, SYNC_SEQUENCE) ? OK : ERR_LIMIT;
	if (!e)
		e = leaf(out, path, "", "node", "", "");
	if (!e)
		e = leaf(out, path, "PkgID", "chr", "text/plain", j->package_id);
	if (!e)
		e = leaf(out, path, "PkgType", "chr", "text/plain", "application/pkcs7-mime; smime-type=authEnveloped-data");
	if (!e)
		e = leaf(out, path, "EnvType", "chr", "text/plain", "org.usher/1.0/USIM");
	if (!e)
		e = leaf(out, path, "Data", "b64", "application/pkcs7-mime", data);
	if (!e)
		e = exec(out, SCOMO_DELIVERED, j->package_id, "InstallInactive", j->job, 1);
	snprintf(j->state, sizeof(j->state), "delivered");
	snprintf(j->said, sizeof(j->said), "install");
	return e ? e : tx_audit(t->tx, "provision", ABOUT({ "equipment", j->equipment }, { "job", j->job }, { "package", j->package_id }),
		"delivers package %s to %s", j->package_id, j->equipment);
}

static enum err activate(struct turn *t)
{
	struct job *j = t->j;

	snprintf(j->said, sizeof(j->said), "activate");
	return exec(t->out, SCOMO_DEPLOYED, j->package_id, "Activate", j->job, 0);
}

/* In this state, if this session did not say it before. */
static const struct {
	const char *state, *unless;
	enum err (*say)(struct turn *t);
} next[] = { { "ready", "install", deliver }, { "delivered", "install", deliver }, { "installed", "activate", activate } };

static enum err say_next(struct turn *t)
{
	struct sync_command *c;

	for (size_t i = 0; i < sizeof(next) / sizeof(*next) && t->in->final; i++)
		if (is(t->j->state, next[i].state) && !is(t->j->said, next[i].unless))
			return next[i].say(t);
	if (t->in->final)
		return OK; /* only Status: the session ends */
	c = syncml_add(t->out, SYNC_ALERT);
	if (c)
		c->data = "1222"; /* your package is not whole: the next message, please; and no Final of ours before yours */
	t->out->final = 0;
	return c ? OK : ERR_LIMIT;
}

/* --- what is taken --- */

/* How an operation ended (SCOMO 8.7): a result is taken once, and the activation's is the job's end. */
static enum err result_take(struct turn *t, int activation, int code)
{
	static const char *const says[2][2] = { { "could not install", "says of the installation of" }, { "could not activate", "says of the activation of" } };
	struct job *j = t->j;
	enum err e;

	if (is(j->state, "active") || is(j->state, "failed") || (!activation && code == SCOMO_OK && is(j->state, "installed")))
		return OK; /* told before */
	e = tx_audit(t->tx, "provision", ABOUT({ "equipment", j->equipment }, { "job", j->job }, { "package", j->package_id }),
		"%s %s package %s: %d", j->equipment, says[activation][code == SCOMO_OK], j->package_id, code);
	if (e)
		return e;
	if (activation || code != SCOMO_OK)
		return job_finish(t->tx, j, code == SCOMO_OK ? "active" : "failed", code);
	snprintf(j->state, sizeof(j->state), "installed");
	return OK;
}

/* Generic alert 1226 (DM Protocol 8.7): it echoes the Exec's Correlator and names the operation. */
static enum err generic_alert(struct turn *t, const struct sync_command *c)
{
	const struct sync_item *x = c->item;
	int code = 0, activation;
	char install[300], switch_on[300];

	snprintf(install, sizeof(install), SCOMO_DELIVERED "/%s/Operations/InstallInactive", t->j->package_id);
	snprintf(switch_on, sizeof(switch_on), SCOMO_DEPLOYED "/%s/Operations/Activate", t->j->package_id);
	if (!c->items || !*x->type || !*x->format || scomo_result_read(x->data, &code)) {
		t->code = "412";
		return OK;
	}
	if (!is(x->type, SCOMO_ALERT) && !is(x->type, SCOMO_ALERT_OLD)) {
		t->code = "415";
		return OK;
	}
	activation = is(x->source, switch_on);
	if (!is(c->correlator, t->j->job) || (!activation && !is(x->source, install))) {
		t->code = "412"; /* not of an operation that we asked for */
		return OK;
	}
	t->code = "200";
	return result_take(t, activation, code);
}

static const struct {
	const char *alert;
	int aborts;
} alerts[] = { { "1200", 0 }, { "1201", 0 }, { "1222", 0 }, { "1223", 1 }, { "1224", 0 } };

static enum err alert_take(struct turn *t, const struct sync_command *c)
{
	if (is(c->data, "1226"))
		return generic_alert(t, c);
	t->code = "406";
	for (size_t i = 0; i < sizeof(alerts) / sizeof(*alerts); i++) {
		if (!is(c->data, alerts[i].alert))
			continue;
		t->code = "200";
		if (alerts[i].aborts) {
			t->aborted = 1;
			t->j->session[0] = 0;
		}
	}
	return OK;
}

/* DevInfo, and nothing else; its DevId is the account's. */
static enum err replace_take(struct turn *t, const struct sync_command *c)
{
	t->code = c->items ? "200" : "412";
	for (int i = 0; i < c->items; i++) {
		const struct sync_item *x = c->item + i;
		const char *uri = *x->source ? x->source : x->target;

		if (strncmp(uri, "./DevInfo/", 10)) {
			t->code = "405";
		} else if (is(uri, "./DevInfo/DevId") && !is(x->data, t->in->source)) {
			t->code = "403";
			return abort_session(t, "its DevInfo names another device than its account");
		} else if (x->more) {
			t->code = "406";
		}
	}
	return OK;
}

/* A Status or Results of theirs is answered by nothing; a refusal is told. */
static enum err status_take(struct turn *t, const struct sync_command *c)
{
	t->code = NULL;
	if (c->kind == SYNC_RESULTS || !is(c->cmd, "Exec") || *c->data == '2')
		return OK;
	return tx_audit(t->tx, "provision", ABOUT({ "equipment", t->j->equipment }, { "job", t->j->job }), "%s refuses to %s package %s: %.8s", t->j->equipment,
		*t->j->said ? t->j->said : "take", t->j->package_id, c->data);
}

static enum err not_allowed(struct turn *t, const struct sync_command *c)
{
	t->code = c->kind == SYNC_OTHER ? "406" : "405";
	return OK;
}

static enum err (*const take[SYNC_OTHER + 1])(struct turn *t, const struct sync_command *c) = {
	[SYNC_ALERT] = alert_take, [SYNC_REPLACE] = replace_take, [SYNC_STATUS] = status_take, [SYNC_RESULTS] = status_take, [SYNC_ADD] = not_allowed,
	[SYNC_GET] = not_allowed, [SYNC_EXEC] = not_allowed, [SYNC_DELETE] = not_allowed, [SYNC_SEQUENCE] = not_allowed, [SYNC_ATOMIC] = not_allowed,
	[SYNC_OTHER] = not_allowed,
};

/* --- in its order --- */

static int begins(const struct syncml *in)
{
	for (int i = 0; i < in->commands; i++)
		if (in->command[i].kind == SYNC_ALERT && (is(in->command[i].data, "1200") || is(in->command[i].data, "1201")))
			return 1;
	return 0;
}

/* A session begins with an Alert 1200 or 1201; its messages count up. NULL: in order. */
static const char *order_check(struct turn *t)
{
	struct job *j = t->j;
	const struct syncml *in = t->in;
	int64_t msg = 0;
	int same = is(j->session, in->session);

	if (text_number(in->msg_id, 1, 99999, &msg))
		return "its MsgID is not a number";
	if (strlen(in->session) >= sizeof(j->session))
		return "its SessionID is too long";
	if (!same && !begins(in))
		return "a message of a session that was not begun";
	if (same && msg <= j->msg)
		return "its MsgID does not count up";
	if (msg > MESSAGES)
		return "a session of too many messages";
	if (begins(in))
		j->said[0] = 0;
	snprintf(j->session, sizeof(j->session), "%s", in->session);
	j->msg = msg;
	return NULL;
}

enum err session_step(struct tx *tx, struct job *j, const struct syncml *in, struct syncml *out)
{
	struct turn t = { .tx = tx, .j = j, .in = in, .out = out };
	const char *why = order_check(&t);
	enum err e = OK;

	for (int i = 0; i < in->commands && !e; i++) {
		const struct sync_command *c = in->command + i;

		t.code = "215"; /* not executed */
		if (why || t.aborted)
			t.code = c->kind == SYNC_STATUS || c->kind == SYNC_RESULTS ? NULL : t.code;
		else
			e = take[c->kind](&t, c);
		if (!e && t.code && !syncml_status(out, in, c, t.code))
			e = ERR_LIMIT;
	}
	if (!e && why)
		e = abort_session(&t, why);
	return e || t.aborted ? e : say_next(&t);
}
