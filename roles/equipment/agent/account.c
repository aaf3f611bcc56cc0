/* SPDX-License-Identifier: Apache-2.0 */
/* The DM account of one job, kept in a cell from when its package comes until DM has heard of the activation. */
#include <stdio.h>
#include <string.h>

#include "core/secret.h"
#include "proto/notification.h"
#include "roles/equipment/agent/inside.h"

enum { VERSION = 1, ROOM = 2048 };

static void put(struct wr *w, struct bytes b)
{
	wr_u16(w, (uint16_t)b.n);
	wr_bytes(w, b);
}

static void get_text(struct rd *r, char *dst, size_t cap)
{
	if (text_copy_bytes(dst, cap, rd_view(r, rd_u16(r))))
		rd_fail(r, ERR_FORMAT);
}

static void get_nonce(struct rd *r, struct nonce *n)
{
	n->n = rd_u16(r);
	if (n->n > sizeof(n->p)) {
		n->n = 0;
		rd_fail(r, ERR_LIMIT);
	}
	rd_copy(r, n->p, n->n);
}

static enum err account_read(struct bytes in, struct account *c)
{
	struct rd r = rd_of(in);
	struct {
		char *p;
		size_t cap;
	} texts[] = { { c->user, sizeof(c->user) }, { c->dm, sizeof(c->dm) }, { c->address, sizeof(c->address) }, { c->package, sizeof(c->package) },
		{ c->correlator, sizeof(c->correlator) }, { c->hash, sizeof(c->hash) }, { c->server_hash, sizeof(c->server_hash) } };

	if (rd_u8(&r) != VERSION)
		rd_fail(&r, ERR_UNSUPPORTED);
	c->stage = rd_u8(&r);
	c->result = rd_u16(&r);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		get_text(&r, texts[i].p, texts[i].cap);
	get_nonce(&r, &c->client);
	get_nonce(&r, &c->server);
	get_nonce(&r, &c->server_next);
	if (c->stage < ACCOUNT_SEALED || c->stage > ACCOUNT_REPORT)
		rd_fail(&r, ERR_RANGE);
	return rd_done(&r);
}

void account_save(struct agent *a)
{
	const struct account *c = &a->account;
	const char *const texts[] = { c->user, c->dm, c->address, c->package, c->correlator, c->hash, c->server_hash };
	uint8_t room[ROOM];
	struct wr w = wr_of(room, sizeof(room));
	enum err e = OK;

	if (c->stage < ACCOUNT_SEALED)
		return;
	wr_u8(&w, VERSION);
	wr_u8(&w, (uint8_t)c->stage);
	wr_u16(&w, (uint16_t)c->result);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		put(&w, bytes_text(texts[i]));
	put(&w, BYTES(c->client.p, c->client.n));
	put(&w, BYTES(c->server.p, c->server.n));
	put(&w, BYTES(c->server_next.p, c->server_next.n));
	e = wr_done(&w);
	if (!e)
		e = cell_write(a->kept, wr_view(&w));
	secret_wipe(room, sizeof(room));
	if (e)
		agent_tell(a, "provision", "cannot keep its DM account over a power cut: it %s", err_text(e));
}

void account_forget(struct agent *a)
{
	int kept = cell_read(a->kept).n > 0;

	secret_wipe(&a->account, sizeof(a->account));
	a->sessions = 0;
	if (kept && cell_write(a->kept, BYTES("", 0)))
		agent_tell(a, "provision", "cannot forget its DM account");
}

enum err account_open(struct agent *a, struct why *w)
{
	char path[700];
	enum err e;

	snprintf(path, sizeof(path), "%s/account", a->conf.dir);
	e = cell_open(path, &a->kept, w);
	if (!e && cell_read(a->kept).n && account_read(cell_read(a->kept), &a->account))
		secret_wipe(&a->account, sizeof(a->account)); /* not of this version: DM will see its job expire */
	return e;
}

/* Package #0, by the server's secret, begins the account of a new job. */
enum err account_take(struct agent *a, const struct trigger *t)
{
	struct account *c = &a->account;
	struct notification n;
	enum err e = notification_read(BYTES(t->notice.p, t->notice.n), BYTES(t->server_secret.p, t->server_secret.n),
		BYTES(t->server_nonce.p, t->server_nonce.n), &n);

	account_forget(a);
	if (!e && strcmp(n.server, t->dm))
		e = ERR_DENIED;
	if (!e)
		e = dm_hash(t->user, BYTES(t->client_secret.p, t->client_secret.n), c->hash);
	if (!e)
		e = dm_hash(t->dm, BYTES(t->server_secret.p, t->server_secret.n), c->server_hash);
	if (e)
		return e;
	memcpy(c->user, t->user, sizeof(c->user));
	memcpy(c->dm, t->dm, sizeof(c->dm));
	memcpy(c->address, t->dm_address, sizeof(c->address));
	memcpy(c->client.p, t->client_nonce.p, t->client_nonce.n);
	c->client.n = t->client_nonce.n;
	memcpy(c->server.p, t->server_nonce.p, t->server_nonce.n);
	c->server.n = t->server_nonce.n;
	c->session = n.session;
	c->stage = ACCOUNT_OPEN;
	return OK;
}
