/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/secret.h"
#include "roles/dlusim/dlusim.h"

struct account {
	struct ask *ask;
	struct process *process;
	char owner[OWNER_MAX], token[64], hash[65];
	void (*next)(struct ask *a, void *process, const char *owner);
	enum err found;
};

static enum err hash_of(const char *token, size_t n, char hash[65])
{
	uint8_t md[32];

	return EVP_Digest(token, n, md, NULL, EVP_sha256(), NULL) == 1 ? hex_of(BYTES_OF(md), hash, 65) : ERR_CRYPTO;
}

/* DESIGN 1: [a-z0-9.-]{1,64} */
static int name_good(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n < OWNER_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

static enum err account_write(struct tx *tx, void *arg)
{
	struct account *x = arg;
	enum err e = tx_do(tx, "INSERT INTO owner (owner, token, made_at) VALUES (:owner, :token, :now) ON CONFLICT (owner)"
		" DO UPDATE SET token = excluded.token", WITH(B_TEXT("owner", x->owner), B_TEXT("token", x->hash), B_INT("now", clock_now())));

	return e ? e : tx_audit(tx, "people", ABOUT({ "owner", x->owner }), "owner %s got a new token", x->owner);
}

static void account_done(void *arg, enum err e)
{
	struct account *x = arg;

	if (e)
		ask_refuse(x->ask, e, "the account was not written; try again");
	else
		ask_reply_json(x->ask, 200, json_pack("{s:s, s:s}", "owner", x->owner, "token", x->token));
	secret_wipe(x, sizeof(*x));
	free(x);
}

void people_add(struct ask *a, void *process)
{
	json_t *o = ask_json(a);
	struct account *x = o ? calloc(1, sizeof(*x)) : NULL;
	uint8_t octets[32];
	struct why w = { "out of memory" };
	enum err e;

	if (!o)
		return;
	e = x ? json_get_text(o, "owner", x->owner, sizeof(x->owner), &w) : ERR_NOMEM;
	json_decref(o);
	if (!e && !name_good(x->owner))
		e = fail(&w, ERR_FORMAT, "an owner's name is 1 to 64 of a-z 0-9 . -");
	if (!e)
		e = secret_random(octets, sizeof(octets));
	if (!e)
		e = b64url_of(BYTES_OF(octets), x->token, sizeof(x->token));
	if (!e)
		e = hash_of(x->token, strlen(x->token), x->hash);
	if (e) {
		free(x);
		ask_refuse(a, e, "%s", w.text);
		return;
	}
	x->ask = a;
	x->process = process;
	store_run(x->process->store, account_write, x, account_done);
}

/* --- who asks --- */

static enum err account_find(struct tx *tx, void *arg)
{
	struct account *x = arg;
	const struct row *r;

	x->found = tx_get(tx, "SELECT owner FROM owner WHERE token = :token", WITH(B_TEXT("token", x->hash)), &r);
	if (!x->found)
		row_copy(r, 0, x->owner, sizeof(x->owner));
	return OK;
}

static void account_found(void *arg, enum err e)
{
	struct account *x = arg;

	if (!e)
		e = x->found;
	if (!e) {
		x->next(x->ask, x->process, x->owner);
	} else {
		ask_add(x->ask, "WWW-Authenticate", "Bearer");
		ask_refuse_as(x->ask, 401, ERR_DENIED, "the token is not known; staff gives a new one by `usher people add`");
	}
	free(x);
}

void people_ask(struct ask *a, void *process, void (*next)(struct ask *a, void *process, const char *owner))
{
	struct account *x = calloc(1, sizeof(*x));
	const char *h = ask_header(a, "Authorization");

	if (!x || !h || strncmp(h, "Bearer ", 7) || hash_of(h + 7, strlen(h + 7), x->hash)) {
		free(x);
		ask_add(a, "WWW-Authenticate", "Bearer");
		ask_refuse_as(a, 401, ERR_DENIED, "give the owner's token as Authorization: Bearer");
		return;
	}
	x->ask = a;
	x->process = process;
	x->next = next;
	store_run(x->process->store, account_find, x, account_found);
}

static void me(struct ask *a, void *process, const char *owner)
{
	struct process *p = process;
	const struct conf *c = p->conf;

	ask_reply_json(a, 200, json_pack("{s:s, s:s, s:s}", "owner", owner, "dlusim", p->id, "operator", c->operator));
}

void people_me(struct ask *a, void *process)
{
	people_ask(a, process, me);
}
