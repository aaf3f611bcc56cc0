/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 6 on the wire: SyncML over HTTPS, every message under the job's HMAC with a nonce of its own, both ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/secret.h"
#include "roles/dm/dm.h"

enum { NONCE = 16, NONCE_LEAST = 8 };

struct message {
	struct ask *ask;
	struct process *process;
	char user[ID_MAX + JOB_MAX], dlusim[ID_MAX], job[JOB_MAX];
	char mac[DM_MAC], reply_mac[DM_MAC], next[96]; /* mac "": it came without credentials */
	uint8_t *body;
	size_t body_n;
	struct syncml in, out;
	char text[SYNCML_MAX + 4096];
	size_t text_n;
	int right, repeated;
	struct why why;
};

static void message_free(struct message *m)
{
	free(m->body);
	free(m);
}

/* Status of the SyncHdr with the nonce for the client's next message. */
static enum err header_status(struct message *m, const struct job *j, const char *code)
{
	struct sync_command *s = syncml_status(&m->out, &m->in, NULL, code);
	enum err e = b64_of(BYTES(j->client_nonce.p, j->client_nonce.n), m->next, sizeof(m->next));

	if (!s || e)
		return ERR_LIMIT;
	s->chal_type = "syncml:auth-MAC";
	s->chal_format = "b64";
	s->next_nonce = m->next;
	return OK;
}

/*
 * 401 (407 without credentials) for the header and for each command: only Status, so that the client begins its package anew. It
 * changes nothing: the challenge is the nonce that we wait for, and nobody who cannot use it makes another client's stale.
 */
static enum err challenge(struct message *m, const struct job *j)
{
	const char *code = *m->mac ? "401" : "407";
	enum err e = header_status(m, j, code);

	for (int i = 0; i < m->in.commands && !e; i++) {
		const struct sync_command *c = m->in.command + i;

		if (c->kind != SYNC_STATUS && c->kind != SYNC_RESULTS && !syncml_status(&m->out, &m->in, c, code))
			e = ERR_LIMIT;
	}
	return e;
}

/* The client's Status of our SyncHdr carries the nonce for our next message. */
static void server_nonce_take(const struct syncml *in, struct job *j)
{
	const struct sync_command *c = syncml_header_status(in);
	struct nonce n = { .n = 0 };

	if (c && *c->next_nonce && !b64_read(bytes_text(c->next_nonce), n.p, sizeof(n.p), &n.n) && n.n >= NONCE_LEAST)
		j->server_nonce = n;
}

static enum err mac_check(struct message *m, const struct job *j)
{
	char right[DM_MAC], source[EQUIPMENT_MAX + 32];
	enum err e = dm_mac(j->client_hash, BYTES(j->client_nonce.p, j->client_nonce.n), BYTES(m->body, m->body_n), right);

	snprintf(source, sizeof(source), "urn:usher:equipment:%s", j->equipment);
	m->right = !e && *m->mac && bytes_same(right, m->mac, DM_MAC - 1) && !strcmp(m->in.source, source);
	return e;
}

/* The last message again, because our answer was lost: the answer that it had, and nothing twice. */
static enum err repeat(struct tx *tx, struct message *m, const struct job *j)
{
	const struct row *r;
	struct bytes b;
	enum err e = tx_get(tx, "SELECT reply FROM job WHERE user = :user", WITH(B_TEXT("user", m->user)), &r);

	if (e)
		return e;
	b = row_blob(r, 0);
	if (b.n > sizeof(m->text))
		return ERR_LIMIT;
	memcpy(m->text, b.p, b.n);
	m->text_n = b.n;
	memcpy(m->reply_mac, j->reply_mac, sizeof(m->reply_mac));
	m->right = m->repeated = 1;
	return OK;
}

static int is_repeated(const struct message *m, const struct job *j)
{
	int64_t msg = 0;

	return *j->mac && *m->mac && !text_number(m->in.msg_id, 1, 99999, &msg) && msg == j->msg && bytes_same(m->mac, j->mac, DM_MAC - 1);
}

static enum err reply_write(struct message *m, const struct job *j)
{
	enum err e = syncml_write(&m->out, m->text, sizeof(m->text), &m->text_n);

	return e ? e : dm_mac(j->server_hash, BYTES(j->server_nonce.p, j->server_nonce.n), BYTES(m->text, m->text_n), m->reply_mac);
}

/* Under the right MAC: the nonce is used, the job goes on, and the answer is kept. */
static enum err message_step(struct tx *tx, struct message *m, struct job *j)
{
	enum err e = OK;

	server_nonce_take(&m->in, j);
	j->client_nonce.n = NONCE;
	if (secret_random(j->client_nonce.p, NONCE))
		e = ERR_CRYPTO;
	if (!e)
		e = header_status(m, j, "200");
	if (!e)
		e = session_step(tx, j, &m->in, &m->out);
	if (!e)
		e = reply_write(m, j);
	memcpy(j->mac, m->mac, sizeof(j->mac));
	memcpy(j->reply_mac, m->reply_mac, sizeof(j->reply_mac));
	return e ? e : job_save(tx, j, BYTES(m->text, m->text_n));
}

static enum err message_take(struct tx *tx, void *arg)
{
	struct message *m = arg;
	struct job j;
	enum err e = job_get(tx, m->user, &j);

	if (e)
		return e == ERR_MISSING ? fail(&m->why, e, "job %s is not here", m->job) : e;
	if (is_repeated(m, &j))
		return repeat(tx, m, &j);
	if (j.expires < clock_now() || !*j.client_hash)
		return fail(&m->why, ERR_EXPIRED, "the account of job %s is dead: the job is %s", m->job, j.state);
	e = mac_check(m, &j);
	if (e)
		return e;
	syncml_begin(&m->out, m->in.session, m->in.msg_id, m->in.source, m->process->id);
	m->out.final = 1;
	if (m->right)
		return message_step(tx, m, &j);
	e = challenge(m, &j);
	return e ? e : reply_write(m, &j);
}

static void message_taken(void *arg, enum err e)
{
	struct message *m = arg;
	char line[DM_LINE];

	if (!e)
		e = dm_hmac_write(m->process->id, m->reply_mac, line, sizeof(line));
	desk_count(m->process->desk, e || !m->right ? COUNT_REFUSED : COUNT_MESSAGES, 1);
	log_hop(e || !m->right ? LOG_WARN : LOG_INFO, "provision", "job=%s session=%s msg=%s result=%s mac=%s", m->job, m->in.session, m->in.msg_id, err_name(e),
		m->repeated ? "repeated" : m->right ? "right" : *m->mac ? "wrong" : "none");
	if (e) {
		ask_refuse(m->ask, e, "%s", m->why.text[0] ? m->why.text : "send the message again");
	} else {
		ask_add(m->ask, "x-syncml-hmac", line);
		ask_reply(m->ask, 200, SYNCML_TYPE, BYTES(m->text, m->text_n));
	}
	message_free(m);
}

/* --- the job first --- */

static void job_told(void *arg, const struct errand *e)
{
	struct message *m = arg;

	if (e && (!strcmp(e->state, "ready") || !strcmp(e->state, "ended"))) { /* ended: its last answer may have been lost */
		store_run(m->process->store, message_take, m, message_taken);
		return;
	}
	if (e && !strcmp(e->state, "refused")) {
		ask_refuse_as(m->ask, 403, ERR_DENIED, "%s", e->why);
	} else {
		ask_add(m->ask, "Retry-After", "2");
		ask_refuse_as(m->ask, 503, ERR_AGAIN, "job %s is not here yet", m->job);
	}
	message_free(m);
}

static enum err job_want(struct tx *tx, void *arg)
{
	struct message *m = arg;
	const struct process *p = store_owner(tx);

	if (!peers_find(p->peers, "dlusim", m->dlusim))
		return fail(&m->why, ERR_DENIED, "DLUSIM service %s is not known here", m->dlusim);
	return job_begin(tx, m->user, m->dlusim, m->job);
}

static void job_wanted(void *arg, enum err e)
{
	struct message *m = arg;
	const struct conf *c = m->process->conf;

	if (!e) {
		errand_wait(m->process->errands, "job", m->user, c->patience * 1000, job_told, m);
		return;
	}
	ask_refuse(m->ask, e, "%s", m->why.text[0] ? m->why.text : "send the message again");
	message_free(m);
}

/* User name = "<DLUSIM id>/<job>": whom to ask for this job (DESIGN 3, row 5). */
static enum err user_split(struct message *m)
{
	const char *slash = strrchr(m->user, '/');
	enum err e = slash ? text_copy_bytes(m->dlusim, sizeof(m->dlusim), BYTES(m->user, slash - m->user)) : ERR_FORMAT;

	if (!e)
		e = text_copy(m->job, sizeof(m->job), slash + 1);
	return e || !*m->dlusim || !*m->job ? ERR_FORMAT : OK;
}

/* Who it is, from the x-syncml-hmac header; without one the SyncHdr's LocName names the account, to be challenged. */
static enum err user_read(struct message *m, const char *hmac)
{
	enum err e = hmac ? dm_hmac_read(hmac, m->user, sizeof(m->user), m->mac) : text_copy(m->user, sizeof(m->user), m->in.source_name);

	if (!hmac)
		m->mac[0] = 0;
	return e ? e : user_split(m);
}

void provision_message(struct ask *a, void *process)
{
	struct message *m = calloc(1, sizeof(*m));
	const char *type = ask_header(a, "Content-Type");
	struct bytes body = ask_body(a);
	enum err e = m ? OK : ERR_NOMEM;

	if (!syncml_type(type)) {
		free(m);
		ask_refuse_as(a, 415, ERR_UNSUPPORTED, "Content-Type `%.60s` is not served; send " SYNCML_TYPE, type ? type : "");
		return;
	}
	if (!e)
		e = syncml_read(body, &m->in);
	if (!e && !(m->body = bytes_dup(body, &m->body_n)))
		e = ERR_NOMEM;
	if (e) {
		free(m);
		if (e == ERR_MISSING)
			ask_refuse(a, ERR_FORMAT, "the message has no SyncBody, SessionID, MsgID, or a command without CmdID");
		else
			ask_refuse(a, e, "the message is not SyncML of DM 1.2: it %s", err_text(e));
		return;
	}
	m->ask = a;
	m->process = process;
	if (user_read(m, ask_header(a, "x-syncml-hmac"))) {
		message_free(m);
		ask_refuse_as(a, 401, ERR_AUTH, "every message carries x-syncml-hmac: algorithm=MD5, username=\"<DLUSIM>/<job>\", mac=...");
		return;
	}
	store_run(m->process->store, job_want, m, job_wanted);
}
