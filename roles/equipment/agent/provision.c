/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 6 as the agent carries it (I6): the OMA DM client. It takes the package out of SyncML and hands it to the tre, asks OCSP
 * for it, and tells the DM service how it went, now or in a later session. Every message has its own nonce, both ways.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/secret.h"
#include "proto/json.h"
#include "roles/equipment/agent/inside.h"

enum { MESSAGES = 12, RETRY_MS = 1000, RETRIES = 3, LATER_MS = 2000, LATERS = 30, NONCE_LEAST = 8 };

struct session {
	struct agent *agent;
	struct syncml in, out;
	char text[SYNCML_MAX];
	size_t text_n;
	const char *alert;                /* "1200", "1201" */
	char id[8], msg_id[8], next[32], data[256];
	int msg, tries, laters, challenged;
	int install, activate;            /* asked for in the server's last message */
	int answers, aborted;             /* the server's last message asks for an answer; breaks off */
	char brought[8];                  /* CmdID of the 1226 in our last message, "" */
	int heard;                        /* the server has taken a 1226 */
	int asked;                        /* Activate was asked for in this session */
};

static void message_send(struct session *s);
static void answered(void *arg, const struct response *r);

/* What is said after the activation is part of the installation. */
static const char *step(const struct agent *a)
{
	return a->account.stage == ACCOUNT_REPORT ? "install" : "provision";
}

void provision_end(struct agent *a)
{
	if (!a->session)
		return;
	secret_wipe(a->session, sizeof(*a->session));
	free(a->session);
	a->session = NULL;
}

/* The session is over. What comes next, the stage says. */
static void session_over(struct session *s, const char *why)
{
	struct agent *a = s->agent;
	struct account *c = &a->account;
	int heard = s->heard;

	if (why)
		agent_tell(a, step(a), "the session with DM service %s ends: %s", c->dm, why);
	a->sessions++;
	provision_end(a);
	if (c->stage == ACCOUNT_REPORT) {
		if (heard)
			account_forget(a);
		install_reported(a);
	} else if (c->stage == ACCOUNT_INSTALLED && c->result == SCOMO_OK && install_again(a)) {
		if (!agent_reached(a, GOAL_INSTALLED))
			agent_next(a); /* a trial, also if DM did not ask for it: the receipt counts */
	} else {
		if (c->stage == ACCOUNT_INSTALLED && c->result != SCOMO_OK && heard)
			account_forget(a); /* DM knows that it failed; a new package is asked for */
		agent_later(a, 0);
	}
}

/* The account is dead: the job has ended, or was never there. */
static void account_dead(struct session *s, const char *why)
{
	struct agent *a = s->agent;

	agent_tell(a, step(a), "DM service %s knows no such job any more: %s", a->account.dm, why);
	s->heard = 1; /* nobody is left to hear it */
	if (a->account.stage < ACCOUNT_INSTALLED)
		account_forget(a);
	session_over(s, NULL);
}

/* --- messages out --- */

static void message_begin(struct session *s)
{
	struct agent *a = s->agent;
	char source[EQUIPMENT_MAX + 32];

	s->msg++;
	s->brought[0] = 0;
	snprintf(s->msg_id, sizeof(s->msg_id), "%d", s->msg);
	snprintf(source, sizeof(source), "urn:usher:equipment:%s", tre_equipment(a->tre));
	syncml_begin(&s->out, s->id, s->msg_id, a->account.dm, "");
	s->out.source = syncml_keep(&s->out, bytes_text(source));
	s->out.source_name = a->account.user;
	s->out.max_msg = "65536";
	s->out.final = 1;
}

static enum err devinfo(struct session *s)
{
	const struct {
		const char *uri, *value;
	} nodes[] = { { "./DevInfo/DevId", s->out.source }, { "./DevInfo/Man", "usher" }, { "./DevInfo/Mod", "equipment" }, { "./DevInfo/DmV", USHER_VERSION },
		{ "./DevInfo/Lang", "en" } };
	struct sync_command *c = syncml_add(&s->out, SYNC_REPLACE);

	for (int i = 0; c && i < 5; i++)
		c->item[c->items++] = (struct sync_item){ nodes[i].uri, "", "text/plain", "", "", nodes[i].value, 0 };
	return c ? OK : ERR_LIMIT;
}

static const char *kept(struct session *s, const char *root, const char *operation)
{
	char uri[300];

	snprintf(uri, sizeof(uri), "%s/%s%s", root, s->agent->account.package, operation);
	return syncml_keep(&s->out, bytes_text(uri));
}

/* Generic alert 1226: how the installation, or the activation, ended. */
static enum err result_add(struct session *s)
{
	const struct account *k = &s->agent->account;
	struct sync_command *c = syncml_add(&s->out, SYNC_ALERT);
	enum err e = c ? scomo_result_write((int)k->result, k->package, s->data, sizeof(s->data)) : ERR_LIMIT;

	if (e)
		return e;
	snprintf(s->brought, sizeof(s->brought), "%s", c->cmd_id);
	c->data = "1226";
	c->correlator = k->correlator;
	c->items = 1;
	c->item[0] = (struct sync_item){ "", "", SCOMO_ALERT, "xml", "informational", s->data, 0 };
	c->item[0].source = k->stage == ACCOUNT_REPORT ? kept(s, SCOMO_DEPLOYED, "/Operations/Activate") : kept(s, SCOMO_DELIVERED, "/Operations/InstallInactive");
	c->item[0].target = kept(s, SCOMO_DEPLOYED, "");
	return c->item[0].source && c->item[0].target ? OK : ERR_LIMIT;
}

/* Package 1: the Alert, what there is to tell, DevInfo. */
static void package_1(struct session *s)
{
	const struct account *k = &s->agent->account;
	struct sync_command *c;
	enum err e;

	message_begin(s);
	c = syncml_add(&s->out, SYNC_ALERT);
	e = c ? devinfo(s) : ERR_LIMIT;
	if (!e && k->stage >= ACCOUNT_INSTALLED && k->result)
		e = result_add(s);
	if (e) {
		session_over(s, "no room for package 1");
		return;
	}
	c->data = s->alert;
	message_send(s);
}

static void message_post(void *arg)
{
	struct session *s = arg;
	struct agent *a = s->agent;
	const struct account *c = &a->account;
	char mac[DM_MAC], value[DM_LINE], line[DM_LINE + 32];
	struct request q = { .method = "POST", .address = c->address, .path = "/v1/provision", .peer_role = "dm", .peer_id = c->dm,
		.type = SYNCML_TYPE, .body = BYTES(s->text, s->text_n), .header = { line } };
	enum err e = dm_mac(c->hash, BYTES(c->client.p, c->client.n), q.body, mac);

	a->again = NULL;
	if (!e)
		e = dm_hmac_write(c->user, mac, value, sizeof(value));
	snprintf(line, sizeof(line), "x-syncml-hmac: %s", value);
	if (e)
		session_over(s, "a message could not be signed");
	else
		agent_ask(a, &q, answered, s);
}

static void message_send(struct session *s)
{
	struct agent *a = s->agent;

	if (s->msg > MESSAGES || syncml_write(&s->out, s->text, sizeof(s->text), &s->text_n)) {
		session_over(s, "a message could not be written, or there are too many");
		return;
	}
	account_save(a); /* with the nonce that this message gives out */
	timer_stop(a->again);
	message_post(s);
}

/* --- messages in --- */

/* By the nonce that we gave last; or the one before, if our last message did not arrive. */
static enum err server_right(struct session *s, const struct response *r)
{
	struct account *c = &s->agent->account;
	const struct nonce *nonces[] = { &c->server_next, &c->server };
	char user[ID_MAX], mac[DM_MAC], right[DM_MAC];
	enum err e = dm_hmac_read(r->hmac, user, sizeof(user), mac);

	if (e || strcmp(user, c->dm))
		return ERR_AUTH;
	for (int i = 0; i < 2; i++) {
		e = dm_mac(c->server_hash, BYTES(nonces[i]->p, nonces[i]->n), r->body, right);
		if (e || !nonces[i]->n || !bytes_same(mac, right, DM_MAC - 1))
			continue;
		c->server = *nonces[i];
		return OK;
	}
	return ERR_AUTH;
}

/* The server's Status of our SyncHdr: its code, and the nonce for our next message. 0: not of this session and message. */
static int header_code(struct session *s)
{
	const struct sync_command *c = syncml_header_status(&s->in);
	struct nonce n = { .n = 0 };

	if (!c || strcmp(s->in.session, s->id) || strcmp(c->msg_ref, s->msg_id))
		return 0;
	if (*c->next_nonce && !b64_read(bytes_text(c->next_nonce), n.p, sizeof(n.p), &n.n) && n.n >= NONCE_LEAST)
		s->agent->account.client = n;
	return atoi(c->data);
}

/* Each message of ours answers the server's: Status of its header, with the nonce for its next one. */
static enum err answer_begin(struct session *s)
{
	struct nonce *n = &s->agent->account.server_next;
	struct sync_command *c;

	message_begin(s);
	n->n = 16;
	if (secret_random(n->p, 16) || b64_of(BYTES(n->p, 16), s->next, sizeof(s->next)))
		return ERR_CRYPTO;
	c = syncml_status(&s->out, &s->in, NULL, "200");
	if (!c)
		return ERR_LIMIT;
	c->chal_type = "syncml:auth-MAC";
	c->chal_format = "b64";
	c->next_nonce = s->next;
	return OK;
}

/* The PkgID in a URI root/<PkgID>rest; 0: another URI. */
static int package_in(const char *uri, const char *root, const char *rest, char package[JOB_MAX])
{
	size_t n = strlen(root), len;

	if (strncmp(uri, root, n) || uri[n] != '/')
		return 0;
	uri += n + 1;
	len = strcspn(uri, "/");
	return len && !strcmp(uri + len, rest) && !text_copy_bytes(package, JOB_MAX, BYTES(uri, len));
}

static void package_take(struct session *s, const struct sync_item *x)
{
	struct agent *a = s->agent;
	const enum stage before = a->account.stage;
	size_t cap = strlen(x->data), n = 0;
	uint8_t *der = malloc(cap + 1);
	struct why w = { "" };
	enum err e = der ? b64_read(bytes_text(x->data), der, cap + 1, &n) : ERR_NOMEM;

	if (!e) {
		a->account.stage = ACCOUNT_SEALED;
		account_save(a); /* first: a package that waits without its account would be told to nobody */
		e = tre_take_package(a->tre, BYTES(der, n), &w);
	}
	free(der);
	a->account.stage = e ? before : ACCOUNT_SEALED;
	a->account.result = e ? scomo_code(e) : 0;
	if (e && e != ERR_EXISTS)
		agent_tell(a, "provision", "refuses the package: %s", w.text[0] ? w.text : err_text(e));
	else if (!e)
		agent_tell(a, "provision", "has its package %s, still sealed", a->account.package);
}

/* A component is delivered by Add of its node and leaves; Data is the package. */
static const char *add_take(struct session *s, const struct sync_command *c)
{
	static const char *const leaves[] = { "", "/PkgID", "/PkgType", "/EnvType", "/Name", "/Description", "/Data" };
	const struct sync_item *x = c->item;
	char package[JOB_MAX];

	if (c->items != 1)
		return c->items ? "406" : "412";
	if (x->more)
		return "406"; /* large objects in chunks are not taken: DevDetail/LrgObj would be false */
	for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++) {
		if (!package_in(x->target, SCOMO_DELIVERED, leaves[i], package))
			continue;
		snprintf(s->agent->account.package, sizeof(s->agent->account.package), "%s", package);
		if (!strcmp(leaves[i], "/Data"))
			package_take(s, x);
		return "200";
	}
	return "405";
}

/* Of the package that was delivered, and no other. 202: how it ended is told by 1226, with this Exec's Correlator. */
static const char *exec_take(struct session *s, const struct sync_command *c)
{
	struct account *k = &s->agent->account;
	char package[JOB_MAX];
	int install = c->items == 1 && package_in(c->item[0].target, SCOMO_DELIVERED, "/Operations/InstallInactive", package),
		activate = c->items == 1 && package_in(c->item[0].target, SCOMO_DEPLOYED, "/Operations/Activate", package);

	if (!install && !activate)
		return "405";
	if (strcmp(package, k->package) || (activate && k->result != SCOMO_OK))
		return "404";
	if (text_copy(k->correlator, sizeof(k->correlator), c->correlator))
		return "414";
	s->install |= install;
	s->activate |= activate;
	return "202";
}

static const char *alert_take(struct session *s, const struct sync_command *c)
{
	s->aborted |= !strcmp(c->data, "1223");
	return !strcmp(c->data, "1223") || !strcmp(c->data, "1222") ? "200" : "406";
}

static const char *sequence_take(struct session *s, const struct sync_command *c)
{
	(void)s, (void)c;
	return "200";
}

/* What a server may ask of this client; the rest is 405, unknown elements 406. In an Atomic nothing is done (215). */
static const struct {
	enum sync_kind kind;
	const char *(*take)(struct session *s, const struct sync_command *c);
} takes[] = { { SYNC_ADD, add_take }, { SYNC_EXEC, exec_take }, { SYNC_ALERT, alert_take }, { SYNC_SEQUENCE, sequence_take } };

static enum err commands_take(struct session *s)
{
	int atomic = 0;

	s->install = s->activate = s->answers = 0;
	for (int i = 0; i < s->in.commands; i++) {
		const struct sync_command *c = s->in.command + i;
		const char *code = c->kind == SYNC_OTHER || c->kind == SYNC_ATOMIC ? "406" : "405";

		atomic = c->kind == SYNC_ATOMIC || (atomic && c->in_sequence);
		if (c->kind == SYNC_STATUS)
			continue;
		for (size_t k = 0; k < sizeof(takes) / sizeof(*takes) && !atomic; k++)
			if (takes[k].kind == c->kind)
				code = takes[k].take(s, c);
		if (atomic && c->kind != SYNC_ATOMIC)
			code = "215";
		s->answers = 1;
		if (!syncml_status(&s->out, &s->in, c, code))
			return ERR_LIMIT;
	}
	return OK;
}

/* Has the server taken the 1226 of our last message? */
static void status_look(struct session *s)
{
	for (int i = 0; i < s->in.commands && *s->brought; i++) {
		const struct sync_command *c = s->in.command + i;

		if (c->kind != SYNC_STATUS || strcmp(c->cmd, "Alert") || strcmp(c->cmd_ref, s->brought))
			continue;
		s->heard = 1; /* another code than 200 and 202 will not change by repeating it */
		if (strcmp(c->data, "200") && strcmp(c->data, "202"))
			agent_tell(s->agent, step(s->agent), "DM service %s does not take the result %lld: %.8s", s->agent->account.dm,
				(long long)s->agent->account.result, c->data);
		return;
	}
}

/* --- the session goes on --- */

static void result_send(struct session *s)
{
	struct agent *a = s->agent;

	a->account.stage = ACCOUNT_INSTALLED;
	if (result_add(s))
		session_over(s, "no room for the result");
	else
		message_send(s);
}

/* OCSP has spoken, or not in time: then message 3 goes without the 1226, which a later session brings. */
void provision_checked(struct agent *a, enum err e)
{
	struct session *s = a->session;

	if (e == ERR_UNAVAILABLE) {
		a->account.stage = ACCOUNT_SEALED;
		if (s)
			message_send(s);
		else
			agent_later(a, 0);
		return;
	}
	a->account.result = scomo_code(e);
	a->account.stage = ACCOUNT_INSTALLED;
	a->sessions = 0;
	a->trials = e ? a->trials : 0;
	if (s)
		result_send(s);
	else
		provision_begin(a, "1201");
}

static void go_on(struct session *s)
{
	struct agent *a = s->agent;
	struct sync_command *c;

	status_look(s);
	if (answer_begin(s) || commands_take(s)) {
		session_over(s, "the server's message asks for too much");
	} else if (s->aborted) {
		session_over(s, "the server breaks it off");
	} else if (!s->in.final) {
		c = syncml_add(&s->out, SYNC_ALERT);
		if (c)
			c->data = "1222"; /* its package is not whole: the next message, please */
		s->out.final = 0;
		message_send(s);
	} else if (s->install && a->account.result) {
		result_send(s);
	} else if (s->install) {
		account_save(a); /* with the Correlator */
		install_check(a, a->conf.ocsp_wait_ms, provision_checked);
	} else if (s->answers) {
		if (s->activate && !s->asked++)
			agent_tell(a, "provision", "is asked to activate package %s", a->account.package);
		message_send(s);
	} else {
		if (a->account.stage == ACCOUNT_SEALED)
			agent_tell(a, "provision", "the session ends; its result is told when OCSP has spoken");
		else
			agent_tell(a, step(a), "the session ends with result %lld", (long long)a->account.result);
		session_over(s, NULL);
	}
}

/* No answer of the job's account: the very message again, which has the same effect once; or the account is dead. */
static void refused(struct session *s, const struct response *r)
{
	struct agent *a = s->agent;
	char why[256];

	json_why(r->body, why, sizeof(why));
	if (!r->err && r->status == 503 && s->laters++ < LATERS)
		agent_wait(a, LATER_MS, message_post, s);
	else if ((r->err || r->status >= 500) && r->err != ERR_DENIED && r->err != ERR_LIMIT && s->tries++ < RETRIES)
		agent_wait(a, RETRY_MS << s->tries, message_post, s);
	else if (!r->err && (r->status == 403 || r->status == 404 || r->status == 410))
		account_dead(s, why);
	else
		session_over(s, r->err ? r->why.text : why);
}

static void answered(void *arg, const struct response *r)
{
	struct session *s = arg;
	int code;

	if (r->err || r->status != 200) {
		refused(s, r);
		return;
	}
	if (server_right(s, r)) {
		session_over(s, "the answer is not under the server's secret of this job");
		return;
	}
	if (syncml_read(r->body, &s->in)) {
		session_over(s, "the answer is not SyncML");
		return;
	}
	s->tries = s->laters = 0;
	code = header_code(s);
	if (code == 401 && !s->challenged++)
		package_1(s); /* our nonce was stale: package 1 again, with the new one */
	else if (code == 401 || code == 407)
		account_dead(s, "it does not accept our credentials");
	else if (code != 200)
		session_over(s, "the answer is not to our message");
	else
		go_on(s);
}

void provision_begin(struct agent *a, const char *alert)
{
	struct session *s = calloc(1, sizeof(*s));
	uint16_t id = a->account.session;

	/* 1200: the session is the one of package #0 */
	if (!s || (strcmp(alert, "1200") && secret_random(&id, sizeof(id)))) {
		free(s);
		agent_later(a, 0);
		return;
	}
	a->session = s;
	s->agent = a;
	s->alert = alert;
	snprintf(s->id, sizeof(s->id), "%X", id);
	package_1(s);
}
