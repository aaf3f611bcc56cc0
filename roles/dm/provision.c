/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 6 on the wire: SyncML over HTTPS, every message under the job's HMAC with a nonce of its own, both ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/secret.h"
#include "roles/dm/dm.h"

enum { NONCE = 16, ROUNDS = 3 };

struct message {
	struct ask *ask;
	struct process *process;
	char user[ID_MAX + JOB_MAX], dlusim[ID_MAX], job[JOB_MAX], mac[DM_MAC], reply_mac[DM_MAC], next[32], id[8];
	uint8_t *body;
	size_t body_n;
	struct syncml in, out;
	char text[SYNCML_MAX + 4096];
	size_t text_n;
	int right;
	struct why why;
};

static void message_free(struct message *m)
{
	free(m->body);
	free(m);
}

/* Status of the SyncHdr with the nonce for the client's next message. */
static enum err header_status(struct message *m, const char *code)
{
	struct sync_command *s = syncml_status(&m->out, &m->in, NULL, code);

	if (!s)
		return ERR_LIMIT;
	s->chal_type = "syncml:auth-MAC";
	s->chal_format = "b64";
	s->next_nonce = m->next;
	return OK;
}

/* 401 for the header and for each command: only Status, so that the client begins its package anew. */
static enum err refuse_all(struct message *m)
{
	enum err e = header_status(m, "401");

	for (int i = 0; i < m->in.commands && !e; i++)
		if (m->in.command[i].kind != SYNC_STATUS && !syncml_status(&m->out, &m->in, m->in.command + i, "401"))
			e = ERR_LIMIT;
	return e;
}

/* The client's Status of our SyncHdr carries the nonce for our next message. */
static void server_nonce_take(const struct syncml *in, struct job *j)
{
	uint8_t nonce[sizeof(j->server_nonce.p)];
	size_t n = 0;

	for (int i = 0; i < in->commands; i++) {
		const struct sync_command *c = in->command + i;

		if (c->kind != SYNC_STATUS || !*c->next_nonce || b64_read(bytes_text(c->next_nonce), nonce, sizeof(nonce), &n) || n < 8)
			continue;
		memcpy(j->server_nonce.p, nonce, n);
		j->server_nonce.n = n;
	}
}

static enum err mac_check(struct message *m, const struct job *j)
{
	char right[DM_MAC], source[EQUIPMENT_MAX + 32];
	enum err e = dm_mac(j->client_hash, BYTES(j->client_nonce.p, j->client_nonce.n), BYTES(m->body, m->body_n), right);

	snprintf(source, sizeof(source), "urn:usher:equipment:%s", j->equipment);
	m->right = !e && bytes_same(right, m->mac, DM_MAC - 1) && !strcmp(m->in.source, source);
	return e;
}

static enum err new_nonce(struct message *m, struct job *j)
{
	j->client_nonce.n = NONCE;
	return secret_random(j->client_nonce.p, NONCE) ? ERR_CRYPTO : b64_of(BYTES(j->client_nonce.p, NONCE), m->next, sizeof(m->next));
}

static enum err reply_write(struct message *m, const struct job *j)
{
	enum err e;

	m->out.final = 1;
	e = syncml_write(&m->out, m->text, sizeof(m->text), &m->text_n);
	return e ? e : dm_mac(j->server_hash, BYTES(j->server_nonce.p, j->server_nonce.n), BYTES(m->text, m->text_n), m->reply_mac);
}

static enum err message_take(struct tx *tx, void *arg)
{
	struct message *m = arg;
	struct job j;
	enum err e = job_get(tx, m->user, &j);

	if (e)
		return e == ERR_MISSING ? fail(&m->why, e, "job %s is not here", m->job) : e;
	if (j.expires < clock_now() || j.failures >= ROUNDS)
		return fail(&m->why, ERR_EXPIRED, "the account of job %s is dead", m->job);
	e = mac_check(m, &j);
	snprintf(m->id, sizeof(m->id), "%.7s", m->in.msg_id);
	syncml_begin(&m->out, m->in.session, m->id, m->in.source, m->process->id);
	if (!e)
		e = new_nonce(m, &j);
	if (e)
		return e;
	if (!m->right) {
		j.failures++;
		e = refuse_all(m);
	} else {
		j.failures = 0;
		server_nonce_take(&m->in, &j);
		e = header_status(m, "200");
		if (!e)
			e = job_step(tx, &j, &m->in, &m->out);
	}
	if (!e)
		e = reply_write(m, &j);
	return e ? e : job_save(tx, &j);
}

static void message_taken(void *arg, enum err e)
{
	struct message *m = arg;
	char line[DM_LINE];

	if (!e)
		e = dm_hmac_write(m->process->id, m->reply_mac, line, sizeof(line));
	desk_count(m->process->desk, e || !m->right ? COUNT_REFUSED : COUNT_SESSIONS, 1);
	log_hop(e || !m->right ? LOG_WARN : LOG_INFO, "provision", "job=%s session=%s msg=%s result=%s mac=%s", m->job, m->in.session, m->in.msg_id, err_name(e),
		m->right ? "right" : "wrong");
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

	if (e && (!strcmp(e->state, "ready") || !strcmp(e->state, "ended"))) {
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

void provision_message(struct ask *a, void *process)
{
	struct message *m = calloc(1, sizeof(*m));
	const char *h = ask_header(a, "x-syncml-hmac");
	struct bytes body = ask_body(a);
	enum err e = m ? OK : ERR_NOMEM;

	if (!e && (!h || dm_hmac_read(h, m->user, sizeof(m->user), m->mac) || user_split(m))) {
		free(m);
		ask_refuse_as(a, 401, ERR_AUTH, "every message carries x-syncml-hmac: algorithm=MD5, username=\"<DLUSIM>/<job>\", mac=...");
		return;
	}
	if (!e)
		e = syncml_read(body, &m->in);
	if (!e && !(m->body = malloc(body.n)))
		e = ERR_NOMEM;
	if (e) {
		free(m);
		ask_refuse(a, e, "the message is not SyncML of DM 1.2: it %s", err_text(e));
		return;
	}
	memcpy(m->body, body.p, body.n);
	m->body_n = body.n;
	m->ask = a;
	m->process = process;
	store_run(m->process->store, job_want, m, job_wanted);
}
