/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Step 6 towards the DM service (I6, R11): it gets hashes, nonces and a package that neither of us can read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "proto/cms.h"
#include "proto/syncml.h"
#include "roles/dlusim/dlusim.h"

struct handing {
	struct ask *ask;
	struct process *process;
	char job[JOB_MAX], dm[ID_MAX], result[64];
	json_t *answer;
	int ended;
	struct why why;
};

/* Our own trigger, which names the DM service that the job is for: it alone may ask for it, and end it. */
static enum err trigger_of(struct handing *h, const struct row *r, struct trigger *t)
{
	const struct expect us = { .id = h->process->id, .roots = tls_roots(h->process->tls), .time = { 0, 1 } };
	enum err e = cms_open(OBJECT_TRIGGER, row_blob(r, 1), us, t, NULL, &h->why);

	return !e && strcmp(t->dm, h->dm) ? fail(&h->why, ERR_DENIED, "job %s is for DM service %s", h->job, t->dm) : e;
}

static enum err answer_make(struct handing *h, const struct row *r)
{
	struct trigger t;
	struct bytes package = row_blob(r, 2);
	char client[DM_HASH], server[DM_HASH];
	enum err e = trigger_of(h, r, &t);

	if (!e && t.expiry < clock_now())
		e = fail(&h->why, ERR_EXPIRED, "job %s has expired", h->job);
	if (!e)
		e = dm_hash(t.user, BYTES(t.client_secret.p, t.client_secret.n), client);
	if (!e)
		e = dm_hash(t.dm, BYTES(t.server_secret.p, t.server_secret.n), server);
	json_decref(h->answer);
	h->answer = e ? NULL : json_pack("{s:s, s:s, s:s, s:s, s:s, s:o?, s:s, s:o?, s:o?, s:s, s:I}", "job", h->job, "equipment", t.equipment, "server",
		t.dm, "user", t.user, "client_hash", client, "client_nonce", json_b64(BYTES(t.client_nonce.p, t.client_nonce.n)), "server_hash", server,
		"server_nonce", json_b64(BYTES(t.server_nonce.p, t.server_nonce.n)), "package", json_b64(package), "package_id", row_text(r, 3),
		"expires_at", (json_int_t)t.expiry);
	secret_wipe(&t, sizeof(t));
	return e ? e : h->answer ? OK : ERR_NOMEM;
}

static enum err job_read(struct tx *tx, void *arg)
{
	struct handing *h = arg;
	const struct row *r;
	enum err e = tx_get(tx,
		"SELECT equipment, trigger_der, package, package_id FROM verification WHERE job = :job AND job <> ''", WITH(B_TEXT("job", h->job)), &r);

	if (e)
		return e == ERR_MISSING ? fail(&h->why, e, "there is no job %s, or it has ended", h->job) : e;
	return answer_make(h, r);
}

static enum err job_end(struct tx *tx, void *arg)
{
	struct handing *h = arg;
	const struct row *r;
	struct trigger t;
	char equipment[EQUIPMENT_MAX], id[ERRAND_ID];
	enum err e = tx_get(tx, "SELECT equipment, trigger_der, id FROM verification WHERE job = :job AND job <> ''", WITH(B_TEXT("job", h->job)), &r);

	if (e)
		return e == ERR_MISSING ? OK : e; /* ended before */
	row_copy(r, 0, equipment, sizeof(equipment));
	row_copy(r, 2, id, sizeof(id));
	e = trigger_of(h, r, &t);
	secret_wipe(&t, sizeof(t));
	if (!e)
		e = verify_job_ends(tx, id);
	return e ? e : tx_audit(tx, "provision", ABOUT({ "equipment", equipment }, { "job", h->job }), "DM service %s ended job %s of %s: %s", h->dm, h->job,
		equipment, h->result);
}

static void job_done(void *arg, enum err e)
{
	struct handing *h = arg;

	log_hop(e ? LOG_WARN : LOG_INFO, "provision", "job=%s act=%s peer=%s result=%s", h->job, h->ended ? "end" : "hand", h->dm, err_name(e));
	if (e) {
		json_decref(h->answer);
		ask_refuse(h->ask, e, "%s", h->why.text[0] ? h->why.text : "ask again");
	} else {
		ask_reply_json(h->ask, 200, h->answer ? h->answer : json_object());
	}
	free(h);
}

static struct handing *handing_new(struct ask *a, void *process, int ended)
{
	json_t *o = ask_json(a);
	struct handing *h = o ? calloc(1, sizeof(*h)) : NULL;
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return NULL;
	e = h ? json_get_text(o, "job", h->job, sizeof(h->job), &w) : ERR_NOMEM;
	if (!e && ended)
		e = json_get_text(o, "result", h->result, sizeof(h->result), &w);
	json_decref(o);
	if (e) {
		free(h);
		ask_refuse(a, e, "%s", w.text);
		return NULL;
	}
	h->ask = a;
	h->process = process;
	h->ended = ended;
	snprintf(h->dm, sizeof(h->dm), "%s", ask_peer(a)->id);
	return h;
}

void provision_hand(struct ask *a, void *process)
{
	struct handing *h = handing_new(a, process, 0);

	if (h)
		store_run(h->process->store, job_read, h, job_done);
}

void provision_ended(struct ask *a, void *process)
{
	struct handing *h = handing_new(a, process, 1);

	if (h)
		store_run(h->process->store, job_end, h, job_done);
}
