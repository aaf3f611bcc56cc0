/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/audit.h"
#include "core/errand.h"
#include "core/fault.h"
#include "core/log.h"
#include "core/outbox.h"
#include "core/spent.h"

enum { QUEUE_MAX = 20000, GROUP_MAX = 512, STATEMENTS = 128 };

struct job {
	struct job *next;
	tx_fn fn;
	void *arg;
	store_done done;
	struct store *store;
	enum err err;
	int step;   /* core/spent.h */
	struct post told;
};

struct statement {
	const char *sql; /* the literal's address is the key: SQL text never is put together */
	sqlite3_stmt *stmt;
};

struct row {
	struct tx *tx;
	sqlite3_stmt *stmt;
};

struct tx {
	struct store *store;
	sqlite3_stmt *open;  /* of the last tx_get, reset before the next call */
	struct row row;
	enum err bad;        /* a column that did not fit: the transaction fails at its end */
	int64_t changes;
	struct why why;
};

struct store {
	struct loop *loop;
	sqlite3 *db;
	int inline_, stop, running;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job *first, **last;
	size_t waiting;
	struct statement cache[STATEMENTS];
	struct tx tx;
	struct {
		void (*fn)(void *);
		void *arg;
	} listener[4];
	atomic_int marks;
	struct errands *errands;
	void *owner;
	uint64_t commits;
	struct fault_name wrote; /* by the group under way */
};

/* --- statements --- */

static enum err refused(struct tx *tx, const char *sql)
{
	sqlite3 *db = tx->store->db;
	int rc = sqlite3_extended_errcode(db);

	if ((rc & 0xff) == SQLITE_CONSTRAINT)
		return ERR_EXISTS;
	log_hop(LOG_ERROR, "store", "sql=\"%.60s\" why=\"%s\"", sql, sqlite3_errmsg(db));
	return rc == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO;
}

static void let_go(struct tx *tx)
{
	if (tx->open)
		sqlite3_reset(tx->open);
	tx->open = NULL;
}

static enum err prepare(struct tx *tx, const char *sql, sqlite3_stmt **out)
{
	struct statement *c = tx->store->cache + ((uintptr_t)sql >> 3) % STATEMENTS;
	int probes = 0;

	/* an entry of a walk that is not over is passed by: it may not be thrown out */
	for (; c->sql && c->sql != sql && (probes < 8 || sqlite3_stmt_busy(c->stmt)); probes++) {
		if (probes == STATEMENTS)
			return fail(&tx->why, ERR_LIMIT, "more than %d walks inside each other", STATEMENTS);
		c = tx->store->cache + (c - tx->store->cache + 1) % STATEMENTS;
	}
	if (c->sql == sql && !sqlite3_stmt_busy(c->stmt)) {
		*out = c->stmt;
		return OK;
	}
	if (c->sql == sql)
		return fail(&tx->why, ERR_ORDER, "the same statement inside its own walk");
	if (c->sql)
		sqlite3_finalize(c->stmt);
	c->sql = NULL;
	if (sqlite3_prepare_v3(tx->store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &c->stmt, NULL) != SQLITE_OK)
		return refused(tx, sql);
	c->sql = sql;
	*out = c->stmt;
	return OK;
}

static int bind_one(sqlite3_stmt *s, int at, const struct bind *b)
{
	static const uint8_t none[1];
	const void *p = b->bytes.p ? b->bytes.p : none;

	switch (b->kind) {
	case BIND_INT:
		return sqlite3_bind_int64(s, at, b->number);
	case BIND_TEXT:
		return sqlite3_bind_text64(s, at, p, b->bytes.n, SQLITE_TRANSIENT, SQLITE_UTF8);
	case BIND_BLOB:
		return sqlite3_bind_blob64(s, at, p, b->bytes.n, SQLITE_TRANSIENT);
	default:
		return sqlite3_bind_null(s, at);
	}
}

static enum err ready(struct tx *tx, const char *sql, const struct bind *with, sqlite3_stmt **out)
{
	int bound = 0;
	enum err e;

	let_go(tx);
	e = prepare(tx, sql, out);
	if (e)
		return e;
	sqlite3_clear_bindings(*out);
	for (; with && with->kind != BIND_END; with++) {
		char name[64];
		int at;

		snprintf(name, sizeof(name), ":%s", with->name);
		at = sqlite3_bind_parameter_index(*out, name);
		if (!at || bind_one(*out, at, with) != SQLITE_OK)
			return fail(&tx->why, ERR_FORMAT, "cannot bind :%s", with->name);
		bound++;
	}
	if (bound != sqlite3_bind_parameter_count(*out))
		return fail(&tx->why, ERR_FORMAT, "%d of %d parameters bound", bound, sqlite3_bind_parameter_count(*out));
	return OK;
}

enum err tx_do(struct tx *tx, const char *sql, const struct bind *with)
{
	sqlite3_stmt *s;
	enum err e = ready(tx, sql, with, &s);
	int rc;

	if (e)
		return e;
	rc = sqlite3_step(s);
	e = rc == SQLITE_DONE || rc == SQLITE_ROW ? OK : refused(tx, sql);
	tx->changes = sqlite3_changes64(tx->store->db);
	fault_wrote(&tx->store->wrote, sql);
	sqlite3_reset(s);
	return e;
}

int64_t tx_changes(const struct tx *tx)
{
	return tx->changes;
}

enum err tx_get(struct tx *tx, const char *sql, const struct bind *with, const struct row **row)
{
	sqlite3_stmt *s;
	enum err e = ready(tx, sql, with, &s);
	int rc;

	if (e)
		return e;
	rc = sqlite3_step(s);
	if (rc != SQLITE_ROW) {
		e = rc == SQLITE_DONE ? ERR_MISSING : refused(tx, sql);
		sqlite3_reset(s);
		return e;
	}
	tx->open = s;
	tx->row = (struct row){ tx, s };
	*row = &tx->row;
	return OK;
}

enum err tx_each(struct tx *tx, const char *sql, const struct bind *with, enum err (*each)(const struct row *r, void *arg),
	void *arg)
{
	sqlite3_stmt *s;
	enum err e = ready(tx, sql, with, &s);
	struct row row;
	int rc = SQLITE_DONE;

	if (e)
		return e;
	row = (struct row){ tx, s };
	while (!e && (rc = sqlite3_step(s)) == SQLITE_ROW)
		e = each(&row, arg);
	if (!e && rc != SQLITE_DONE)
		e = refused(tx, sql);
	sqlite3_reset(s);
	return e;
}

struct why *tx_why(struct tx *tx)
{
	return &tx->why;
}

void *store_owner(struct tx *tx)
{
	return tx->store->owner;
}

/* --- columns --- */

int64_t row_int(const struct row *r, int column)
{
	return sqlite3_column_int64(r->stmt, column);
}

const char *row_text(const struct row *r, int column)
{
	const unsigned char *t = sqlite3_column_text(r->stmt, column);

	return t ? (const char *)t : "";
}

struct bytes row_blob(const struct row *r, int column)
{
	const void *p = sqlite3_column_blob(r->stmt, column);

	return BYTES(p, (size_t)sqlite3_column_bytes(r->stmt, column));
}

void row_copy(const struct row *r, int column, char *dst, size_t cap)
{
	if (text_copy(dst, cap, row_text(r, column)))
		r->tx->bad = ERR_LIMIT;
}

void row_octets(const struct row *r, int column, void *dst, size_t n)
{
	struct bytes b = row_blob(r, column);

	memset(dst, 0, n);
	if (b.n == n)
		memcpy(dst, b.p, n);
	else
		r->tx->bad = ERR_FORMAT;
}

/* --- the store's thread --- */

/* What frames transactions: without parameters, prepared once as all others are. */
static int sql(struct store *s, const char *text)
{
	sqlite3_stmt *frame;
	int rc;

	if (prepare(&s->tx, text, &frame))
		return SQLITE_ERROR;
	rc = sqlite3_step(frame);
	sqlite3_reset(frame);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

enum err tx_try(struct tx *tx, tx_fn fn, void *arg)
{
	enum err e = sql(tx->store, "SAVEPOINT inner") == SQLITE_OK ? OK : ERR_IO;

	if (e)
		return e;
	e = fn(tx, arg);
	let_go(tx);
	if ((e && sql(tx->store, "ROLLBACK TO inner") != SQLITE_OK) || sql(tx->store, "RELEASE inner") != SQLITE_OK)
		e = tx->bad = ERR_IO; /* what fn wrote may still be there: the whole transaction fails, whatever the caller does */
	return e;
}

/* 0: it could not be undone, or SQLite has rolled back by itself (full disk, I/O), and its savepoint with it: the group is no use any more. */
static int run_one(struct store *s, struct job *j)
{
	struct tx *tx = &s->tx;

	tx->bad = OK;
	tx->changes = 0;
	tx->why.text[0] = 0;
	if (sql(s, "SAVEPOINT one") != SQLITE_OK)
		return 0;
	j->err = j->fn(tx, j->arg);
	let_go(tx);
	if (!j->err)
		j->err = tx->bad;
	if (j->err && sql(s, "ROLLBACK TO one") != SQLITE_OK)
		return 0;
	return sql(s, "RELEASE one") == SQLITE_OK;
}

static void group_failed(struct store *s, struct job *first, const char *at)
{
	log_hop(LOG_ERROR, "store", "why=\"%s: %s\"", at, sqlite3_errmsg(s->db));
	sql(s, "ROLLBACK");
	for (struct job *j = first; j; j = j->next)
		if (!j->err)
			j->err = ERR_IO;
}

static void commit_group(struct store *s, struct job *first)
{
	if (sql(s, "BEGIN IMMEDIATE") != SQLITE_OK) {
		group_failed(s, first, "begin");
		return;
	}
	s->wrote.text[0] = 0;
	for (struct job *j = first; j; j = j->next) {
		int whole;

		spent_switch(j->step);
		whole = run_one(s, j);
		spent_switch(SPENT_ASIDE);
		if (!whole) {
			group_failed(s, first, "savepoint");
			return;
		}
	}
	if (*s->wrote.text)
		fault_point(s->wrote.text, "before");
	if (sql(s, "COMMIT") == SQLITE_OK)
		s->commits++;
	else
		group_failed(s, first, "commit");
	fault_point(*s->wrote.text ? s->wrote.text : "read", "after");
}

/* Each function is charged to its step; what they share, the commit, in equal parts. */
static void run_group(struct store *s, struct job *first)
{
	int before = spent_switch(SPENT_ASIDE);
	int64_t n = 0, shared;

	commit_group(s, first);
	spent_switch(before);
	shared = spent_taken();
	for (struct job *j = first; j; j = j->next)
		n++;
	for (struct job *j = first; j; j = j->next)
		spent_add(j->step, shared / n);
}

static void tell(void *arg)
{
	struct job *j = arg, *next;
	struct store *s = j->store;
	int before = spent_now();

	for (; j; j = next) {
		next = j->next;
		spent_switch(j->step);
		if (j->done)
			j->done(j->arg, j->err);
		free(j);
	}
	spent_switch(before);
	for (int i = 0; i < 4 && s->listener[i].fn; i++)
		s->listener[i].fn(s->listener[i].arg);
}

/* Takes up to GROUP_MAX functions; NULL: stop. */
static struct job *take(struct store *s)
{
	struct job *first, *j;
	size_t n = 1;

	pthread_mutex_lock(&s->lock);
	while (!s->first && !s->stop)
		pthread_cond_wait(&s->more, &s->lock);
	first = j = s->first;
	if (j) {
		for (; j->next && n < GROUP_MAX; n++)
			j = j->next;
		s->first = j->next;
		j->next = NULL;
		if (!s->first)
			s->last = &s->first;
		s->waiting -= n;
	}
	pthread_mutex_unlock(&s->lock);
	return first;
}

static void *work(void *arg)
{
	struct store *s = arg;
	struct job *group;

	while ((group = take(s))) {
		run_group(s, group);
		loop_post(s->loop, &group->told, tell, group);
	}
	return NULL;
}

/* The thread starts with the first function that does not wait, so that start-up code may use store_run_now. */
static int start_thread(struct store *s)
{
	if (!s->running && !pthread_create(&s->thread, NULL, work, s))
		s->running = 1;
	return s->running;
}

void store_run(struct store *s, tx_fn fn, void *arg, store_done done)
{
	struct job *j = malloc(sizeof(*j));
	int full;

	if (!j) {
		if (done)
			done(arg, ERR_NOMEM);
		return;
	}
	*j = (struct job){ NULL, fn, arg, done, s, OK, spent_now(), { 0 } };
	if (s->inline_ || s->stop) {
		if (s->stop)
			j->err = ERR_UNAVAILABLE;
		else
			run_group(s, j);
		tell(j);
		return;
	}
	full = !start_thread(s);
	pthread_mutex_lock(&s->lock);
	full = full || s->waiting >= QUEUE_MAX;
	if (!full) {
		*s->last = j;
		s->last = &j->next;
		s->waiting++;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	if (full) {
		j->err = ERR_LIMIT;
		loop_post(s->loop, &j->told, tell, j);
	}
}

enum err store_run_now(struct store *s, tx_fn fn, void *arg)
{
	struct job j = { NULL, fn, arg, NULL, s, OK, spent_now(), { 0 } };
	enum err e;

	if (s->running)
		return ERR_ORDER; /* its transaction would mix with the thread's */
	run_group(s, &j);
	e = j.err;
	return e;
}

void store_on_commit(struct store *s, void (*fn)(void *), void *arg)
{
	int i = 0;

	while (i < 3 && s->listener[i].fn)
		i++;
	s->listener[i].fn = fn;
	s->listener[i].arg = arg;
}

void tx_mark(struct tx *tx, enum store_mark mark)
{
	atomic_fetch_or(&tx->store->marks, (int)mark);
}

int store_take_mark(struct store *s, enum store_mark mark)
{
	return atomic_fetch_and(&s->marks, ~(int)mark) & (int)mark;
}

void store_set_errands(struct store *s, struct errands *e)
{
	s->errands = e;
}

struct errands *tx_errands(struct tx *tx)
{
	return tx->store->errands;
}

uint64_t store_commits(const struct store *s)
{
	return s->commits;
}

void store_set_owner(struct store *s, void *owner)
{
	s->owner = owner;
}

/* --- opening --- */

static const char *const core_tables[] = { audit_sql, errand_sql, outbox_sql };

static enum err made(struct store *s, const char *script, struct why *w)
{
	char *said = NULL;
	enum err e = OK;

	if (sqlite3_exec(s->db, script, NULL, NULL, &said) != SQLITE_OK)
		e = fail(w, ERR_IO, "database %s: %s", sqlite3_db_filename(s->db, "main"), said ? said : "?");
	sqlite3_free(said);
	return e;
}

static int version_of(struct store *s)
{
	sqlite3_stmt *q;
	int v = 0;

	if (sqlite3_prepare_v2(s->db, "SELECT version FROM schema_version", -1, &q, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(q) == SQLITE_ROW)
		v = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	return v;
}

static enum err upgrade(struct store *s, const struct store_schema *schema, struct why *w)
{
	int have = version_of(s), want = 0;
	char set[80];
	enum err e = OK;

	while (schema && schema->upgrade[want])
		want++;
	if (have > want + 1)
		return fail(w, ERR_RANGE, "database %s: version %d is newer than this program (%d); install the newer usher",
			sqlite3_db_filename(s->db, "main"), have, want + 1);
	if (have == want + 1)
		return OK;
	e = made(s, "BEGIN EXCLUSIVE", w);
	if (!e && !have) {
		e = made(s, "CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (1)", w);
		for (size_t i = 0; !e && i < sizeof(core_tables) / sizeof(*core_tables); i++)
			e = made(s, core_tables[i], w);
		have = 1;
	}
	for (; !e && have <= want; have++)
		e = made(s, schema->upgrade[have - 1], w);
	snprintf(set, sizeof(set), "UPDATE schema_version SET version = %d", want + 1);
	if (!e)
		e = made(s, set, w);
	if (!e)
		return made(s, "COMMIT", w);
	sql(s, "ROLLBACK");
	return e;
}

enum err store_open(struct loop *l, const char *path, const struct store_schema *schema, int inline_, struct store **out,
	struct why *w)
{
	struct store *s = calloc(1, sizeof(*s));
	enum err e;

	if (!s)
		return ERR_NOMEM;
	s->loop = l;
	s->inline_ = inline_;
	s->last = &s->first;
	s->tx.store = s;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	if (sqlite3_open_v2(path && *path ? path : ":memory:", &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL))
		e = fail(w, ERR_IO, "%s: %s", path, s->db ? sqlite3_errmsg(s->db) : "out of memory");
	else
		e = made(s, "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF", w);
	if (!e)
		e = upgrade(s, schema, w);
	if (e) {
		store_close(s);
		return e;
	}
	*out = s;
	return OK;
}

void store_stop(struct store *s)
{
	if (!s || s->stop)
		return;
	memset(s->listener, 0, sizeof(s->listener));
	pthread_mutex_lock(&s->lock);
	s->stop = 1;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	if (s->loop)
		loop_flush(s->loop);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_stop(s);
	for (int i = 0; i < STATEMENTS; i++)
		if (s->cache[i].sql)
			sqlite3_finalize(s->cache[i].stmt);
	sqlite3_close(s->db);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->more);
	free(s);
}

enum err store_chain_check(const char *path, struct why *w)
{
	struct store s = { .inline_ = 1 };
	enum err e = OK;

	s.tx.store = &s;
	if (sqlite3_open_v2(path, &s.db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		e = fail(w, ERR_IO, "%s: %s", path, s.db ? sqlite3_errmsg(s.db) : "out of memory");
	if (!e)
		e = tx_audit_check(&s.tx, w);
	for (int i = 0; i < STATEMENTS; i++)
		if (s.cache[i].sql)
			sqlite3_finalize(s.cache[i].stmt);
	sqlite3_close(s.db);
	return e;
}
