/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 6 as the agent carries it (I6): the OMA DM client. It takes the package out of SyncML and hands it to the tre, asks OCSP
 * for it, and tells the DM service how it went. The account is of one job; every message has its own nonce, both ways.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/secret.h"
#include "proto/json.h"
#include "proto/notification.h"
#include "proto/syncml.h"
#include "roles/equipment/agent/inside.h"

enum { MESSAGES = 12, RETRY_MS = 2000, RETRIES = 30, OCSP_RETRY_MS = 5000 };

struct session {
	struct agent *agent;
	struct syncml in, out;
	char text[SYNCML_MAX];
	size_t text_n;
	char id[8], msg_id[8], hash[DM_HASH], server_hash[DM_HASH], next[32];
	struct { size_t n; uint8_t p[64]; } client_nonce, server_nonce;
	int msg, tries, challenged;
	int result;                       /* of the installation, 0: not known yet */
	int told, activate;               /* the 1226 is told; Activate was asked for */
	char delivered[300], operation[300];
	char data[512];
	uint8_t *ocsp;
	size_t ocsp_n;
	struct timer *timer;
};

static void message_send(struct session *s);
static void answered(void *arg, const struct response *r);

void provision_end(struct agent *a)
{
	struct session *s = a->session;

	if (!s)
		return;
	timer_stop(s->timer);
	OPENSSL_free(s->ocsp);
	secret_wipe(s, sizeof(*s));
	free(s);
	a->session = NULL;
}

static void give_up(struct session *s, const char *why)
{
	struct agent *a = s->agent;

	agent_tell(a, "provision", "the session with DM service %s ends: %s", a->trigger.dm, why);
	provision_end(a);
	agent_later(a, 0);
}

/* --- messages out --- */

static void message_begin(struct session *s)
{
	struct agent *a = s->agent;
	char source[EQUIPMENT_MAX + 32];

	s->msg++;
	snprintf(s->msg_id, sizeof(s->msg_id), "%d", s->msg);
	snprintf(source, sizeof(source), "urn:usher:equipment:%s", tre_equipment(a->tre));
	syncml_begin(&s->out, s->id, s->msg_id, a->trigger.dm, "");
	s->out.source = syncml_keep(&s->out, bytes_text(source));
	s->out.source_name = a->trigger.user;
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

	if (!c)
		return ERR_LIMIT;
	for (int i = 0; i < 5; i++)
		c->item[c->items++] = (struct sync_item){ nodes[i].uri, "", "text/plain", "", "", nodes[i].value };
	return OK;
}

/* Package 1: 1200, because package #0 asked us. */
static void package_1(struct session *s)
{
	struct sync_command *c;

	message_begin(s);
	c = syncml_add(&s->out, SYNC_ALERT);
	if (!c || devinfo(s)) {
		give_up(s, "no room for package 1");
		return;
	}
	c->data = "1200";
	message_send(s);
}

static void message_send(struct session *s)
{
	struct agent *a = s->agent;
	char mac[DM_MAC], value[DM_LINE], line[DM_LINE + 32];
	struct request q = { .method = "POST", .address = a->trigger.dm_address, .path = "/v1/provision", .peer_role = "dm", .peer_id = a->trigger.dm,
		.type = SYNCML_TYPE, .header = { line }, .proxy = a->path.proxy, .proxy_bearer = a->path.token, .count = 1 };
	enum err e = syncml_write(&s->out, s->text, sizeof(s->text), &s->text_n);

	q.body = BYTES(s->text, s->text_n);
	if (!e)
		e = dm_mac(s->hash, BYTES(s->client_nonce.p, s->client_nonce.n), q.body, mac);
	if (!e)
		e = dm_hmac_write(a->trigger.user, mac, value, sizeof(value));
	snprintf(line, sizeof(line), "x-syncml-hmac: %s", value);
	if (e || s->msg > MESSAGES || !http_ask(a->http, &q, answered, s))
		give_up(s, "a message could not be sent");
}

/* --- messages in --- */

static enum err server_right(struct session *s, const struct response *r)
{
	char user[ID_MAX], mac[DM_MAC], right[DM_MAC];
	enum err e = dm_hmac_read(r->hmac, user, sizeof(user), mac);

	if (!e)
		e = dm_mac(s->server_hash, BYTES(s->server_nonce.p, s->server_nonce.n), r->body, right);
	return e ? e : !strcmp(user, s->agent->trigger.dm) && bytes_same(mac, right, DM_MAC - 1) ? OK : ERR_AUTH;
}

/* The server's Status of our SyncHdr: its code, and the nonce for our next message. */
static int header_code(struct session *s)
{
	uint8_t nonce[64];
	size_t n = 0;

	for (int i = 0; i < s->in.commands; i++) {
		const struct sync_command *c = s->in.command + i;

		if (c->kind != SYNC_STATUS || strcmp(c->cmd, "SyncHdr"))
			continue;
		if (*c->next_nonce && !b64_read(bytes_text(c->next_nonce), nonce, sizeof(nonce), &n) && n >= 8) {
			memcpy(s->client_nonce.p, nonce, n);
			s->client_nonce.n = n;
		}
		return atoi(c->data);
	}
	return 0;
}

/* Each message of ours answers the server's: Status of its header, with the nonce for its next one. */
static enum err answer_begin(struct session *s)
{
	struct sync_command *c;

	message_begin(s);
	s->server_nonce.n = 16;
	if (secret_random(s->server_nonce.p, 16) || b64_of(BYTES(s->server_nonce.p, 16), s->next, sizeof(s->next)))
		return ERR_CRYPTO;
	c = syncml_status(&s->out, &s->in, NULL, "200");
	if (!c)
		return ERR_LIMIT;
	c->chal_type = "syncml:auth-MAC";
	c->chal_format = "b64";
	c->next_nonce = s->next;
	return OK;
}

/* SCOMO's words for what the tre says of a package. */
static const struct {
	enum err e;
	int code;
} results[] = { { OK, SCOMO_OK }, { ERR_EXISTS, SCOMO_OK }, { ERR_REVOKED, SCOMO_REVOKED }, { ERR_DENIED, SCOMO_NOT_MINE }, { ERR_CONFLICT, SCOMO_OLD },
	{ ERR_EXPIRED, SCOMO_OLD }, { ERR_FORMAT, SCOMO_NOT_OPEN }, { ERR_AUTH, SCOMO_SIGNATURE } };

static int scomo_of(enum err e)
{
	for (size_t i = 0; i < sizeof(results) / sizeof(*results); i++)
		if (results[i].e == e)
			return results[i].code;
	return SCOMO_NOT_OPEN;
}

static const char *package_id(const struct session *s)
{
	const char *p = strrchr(s->delivered, '/');

	return p ? p + 1 : "";
}

/* A leaf of the delivered component: its Data is the package. */
static void add_take(struct session *s, const struct sync_command *c)
{
	const struct sync_item *x = c->item;
	size_t len = strlen(x->target), cap, n = 0;
	struct why w = { "" };
	uint8_t *der;
	enum err e;

	if (strncmp(x->target, SCOMO_DELIVERED "/", sizeof(SCOMO_DELIVERED)))
		return;
	if (!strcmp(x->format, "node")) {
		snprintf(s->delivered, sizeof(s->delivered), "%s", x->target);
		return;
	}
	if (len < 5 || strcmp(x->target + len - 5, "/Data"))
		return;
	cap = strlen(x->data);
	der = malloc(cap + 1);
	e = der ? b64_read(bytes_text(x->data), der, cap + 1, &n) : ERR_NOMEM;
	if (!e)
		e = tre_take_package(s->agent->tre, BYTES(der, n), &w);
	free(der);
	if (e && e != ERR_EXISTS) {
		agent_tell(s->agent, "provision", "refuses the package: %s", w.text[0] ? w.text : err_text(e));
		s->result = scomo_of(e);
	} else if (e) {
		s->result = SCOMO_OK;
	} else {
		agent_tell(s->agent, "provision", "has its package %s, still sealed", package_id(s));
	}
}

/* Takes the server's commands and states one by one; sets what is to be done. */
static enum err commands_take(struct session *s)
{
	for (int i = 0; i < s->in.commands; i++) {
		const struct sync_command *c = s->in.command + i;
		const char *code = "200";

		if (c->kind == SYNC_STATUS)
			continue;
		if (c->kind == SYNC_ADD && c->items) {
			add_take(s, c);
		} else if (c->kind == SYNC_EXEC && c->items && strstr(c->item[0].target, "/Operations/InstallInactive")) {
			snprintf(s->operation, sizeof(s->operation), "%s", c->item[0].target);
			code = "202";
		} else if (c->kind == SYNC_EXEC && c->items && strstr(c->item[0].target, "/Operations/Activate")) {
			s->activate = 1;
			code = "202";
		} else if (c->kind != SYNC_SEQUENCE) {
			code = c->kind == SYNC_ALERT ? "200" : "405";
		}
		if (!syncml_status(&s->out, &s->in, c, code))
			return ERR_LIMIT;
	}
	return OK;
}

/* Generic alert 1226: how the installation went. */
static enum err result_add(struct session *s)
{
	struct sync_command *c = syncml_add(&s->out, SYNC_ALERT);
	char target[300];

	if (!c)
		return ERR_LIMIT;
	snprintf(target, sizeof(target), SCOMO_DEPLOYED "/%s", package_id(s));
	c->data = "1226";
	c->correlator = s->agent->trigger.job;
	c->items = 1;
	c->item[0] = (struct sync_item){ s->operation, "", SCOMO_ALERT, "xml", "informational", s->data };
	c->item[0].target = syncml_keep(&s->out, bytes_text(target));
	s->told = 1;
	return c->item[0].target ? scomo_result_write(s->result, package_id(s), s->data, sizeof(s->data)) : ERR_LIMIT;
}

static void result_send(struct session *s)
{
	if (result_add(s))
		give_up(s, "no room for the result");
	else
		message_send(s);
}

/* --- OCSP, before message 3: the USIM is installed only when all signers are good --- */

static void ocsp_send(void *arg);

static void ocsp_answered(void *arg, const struct response *r)
{
	struct session *s = arg;
	struct agent *a = s->agent;
	struct why w = { "" };
	enum err e = r->err || r->status != 200 ? ERR_UNAVAILABLE : tre_ocsp(a->tre, r->body, &w);

	agent_count(a, r);
	if (r->err == ERR_DENIED || r->err == ERR_LIMIT) { /* the way is closed: this bearer is gone, or used up */
		give_up(s, r->why.text);
		return;
	}
	if (e == ERR_UNAVAILABLE || e == ERR_IO || e == ERR_NOMEM) {
		if (!s->tries++)
			agent_tell(a, "install", "waits: the attestation provider does not say whether its package's signers are good");
		s->timer = timer_after(a->conf.loop, OCSP_RETRY_MS, ocsp_send, s);
		return;
	}
	s->result = scomo_of(e);
	if (e)
		agent_tell(a, "install", "does not install: %s", w.text[0] ? w.text : err_text(e));
	else
		agent_tell(a, "install", "has asked about all signers: all good; the USIM of operator %s is installed, inactive", a->route.operator);
	result_send(s);
}

static void ocsp_send(void *arg)
{
	struct session *s = arg;
	struct agent *a = s->agent;
	struct request q = { .method = "POST", .address = a->route.ocsp.n > 1 ? a->route.ocsp.item[1] : a->route.ocsp.item[0], .path = "/",
		.type = "application/ocsp-request", .proxy = a->path.proxy, .proxy_bearer = a->path.token, .last = 1, .count = 1 };
	struct why w = { "" };

	s->timer = NULL;
	OPENSSL_free(s->ocsp);
	s->ocsp = NULL;
	if (tre_ocsp_ask(a->tre, &s->ocsp, &s->ocsp_n, &w)) {
		give_up(s, w.text);
		return;
	}
	q.body = BYTES(s->ocsp, s->ocsp_n);
	if (!http_ask(a->http, &q, ocsp_answered, s))
		give_up(s, "OCSP cannot be asked");
}

/* --- the session goes on --- */

static void next_step(struct session *s)
{
	struct agent *a = s->agent;

	if (answer_begin(s) || commands_take(s)) {
		give_up(s, "the server's message asks for too much");
	} else if (*s->operation && !s->told) {
		if (s->result)
			result_send(s);
		else
			ocsp_send(s);
	} else if (s->activate) {
		s->activate = 0;
		agent_tell(a, "provision", "is asked to activate package %s", package_id(s));
		message_send(s);
	} else {
		int installed = s->result == SCOMO_OK;

		agent_tell(a, "provision", "the session ends with result %d", s->result);
		provision_end(a);
		if (!installed)
			agent_later(a, 0);
		else if (a->conf.goal == GOAL_INSTALLED)
			agent_reached(a, GOAL_INSTALLED);
		else
			install_begin(a);
	}
}

static void again(void *arg)
{
	struct session *s = arg;

	s->timer = NULL;
	message_send(s);
}

static void answered(void *arg, const struct response *r)
{
	struct session *s = arg;
	int code;

	agent_count(s->agent, r);
	if (!r->err && r->status == 503 && s->tries++ < RETRIES) {
		s->timer = timer_after(s->agent->conf.loop, RETRY_MS, again, s);
		return;
	}
	if (r->err || r->status != 200) {
		char why[256];

		json_why(r->body, why, sizeof(why));
		give_up(s, r->err ? r->why.text : why);
		return;
	}
	if (server_right(s, r)) {
		give_up(s, "the answer is not under the server's secret of this job");
		return;
	}
	if (syncml_read(r->body, &s->in)) {
		give_up(s, "the answer is not SyncML");
		return;
	}
	s->tries = 0;
	code = header_code(s);
	if (code == 401 && !s->challenged++) { /* our nonce was stale: package 1 again, with the new one */
		s->msg = 0;
		package_1(s);
	} else if (code != 200) {
		give_up(s, "the server does not accept our credentials");
	} else {
		next_step(s);
	}
}

/* --- package #0 begins it --- */

void provision_begin(struct agent *a)
{
	struct session *s = calloc(1, sizeof(*s));
	const struct trigger *t = &a->trigger;
	struct notification n;
	enum err e = s ? OK : ERR_NOMEM;

	if (!e)
		e = notification_read(BYTES(t->notice.p, t->notice.n), BYTES(t->server_secret.p, t->server_secret.n), BYTES(t->server_nonce.p, t->server_nonce.n), &n);
	if (!e && strcmp(n.server, t->dm))
		e = ERR_DENIED;
	if (!e)
		e = dm_hash(t->user, BYTES(t->client_secret.p, t->client_secret.n), s->hash);
	if (!e)
		e = dm_hash(t->dm, BYTES(t->server_secret.p, t->server_secret.n), s->server_hash);
	if (e) {
		free(s);
		agent_tell(a, "provision", "does not believe package #0: it %s", err_text(e));
		agent_later(a, 0);
		return;
	}
	a->session = s;
	s->agent = a;
	memcpy(s->client_nonce.p, t->client_nonce.p, t->client_nonce.n);
	s->client_nonce.n = t->client_nonce.n;
	memcpy(s->server_nonce.p, t->server_nonce.p, t->server_nonce.n);
	s->server_nonce.n = t->server_nonce.n;
	snprintf(s->id, sizeof(s->id), "%X", n.session);
	package_1(s);
}
