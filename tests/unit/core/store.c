/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store with `inline_`: one thread, a clock of our own, and any n-th call into SQLite made to fail: this program's sqlite3_step
 * and sqlite3_exec stand before the library's.
 */
#include "core/store.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "core/audit.h"
#include "core/clock.h"
#include "core/outbox.h"

static int calls, fail_at;

static int fails_now(void)
{
	return fail_at && ++calls == fail_at;
}

int sqlite3_step(sqlite3_stmt *s)
{
	static int (*real)(sqlite3_stmt *);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_step");
	return fails_now() ? SQLITE_IOERR : real(s);
}

int sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **), void *arg, char **err)
{
	static int (*real)(sqlite3 *, const char *, int (*)(void *, int, char **, char **), void *, char **);
	int keep = fail_at, rc;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "sqlite3_exec");
	if (fails_now())
		return SQLITE_IOERR;
	fail_at = 0; /* its own steps are part of this call */
	rc = real(db, sql, row, arg, err);
	fail_at = keep;
	return rc;
}

/* The virtual clock: core/clock.c is not linked. */
static int64_t virtual_ms = 1800000000000;

int64_t clock_now_ms(void) { return virtual_ms; }
int64_t clock_now(void) { return virtual_ms / 1000; }
int64_t clock_mono_ms(void) { return virtual_ms; }
int64_t clock_mono_us(void) { return virtual_ms * 1000; }

void clock_text(int64_t seconds, char *dst, size_t cap)
{
	snprintf(dst, cap, "%lld", (long long)seconds);
}

static const char *const tables[] = { "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL); INSERT INTO thing VALUES ('a', 1), ('b', 2)", NULL };
static const struct store_schema schema = { tables };

static struct store *opened(const char *path)
{
	struct store *s = NULL;
	struct why w = { "" };

	if (store_open(NULL, path, &schema, 1, &s, &w))
		fail_msg("%s", w.text);
	return s;
}

static enum err told_err;
static int told_times;

static void told(void *arg, enum err e)
{
	(void)arg;
	told_times++;
	told_err = e;
}

static enum err run(struct store *s, tx_fn fn, void *arg)
{
	told_times = 0;
	store_run(s, fn, arg, told);
	assert_int_equal(told_times, 1);
	return told_err;
}

/* --- all or nothing --- */

static enum err nested(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_do(tx, "INSERT INTO thing VALUES ('d', 4)", NULL);
}

static enum err refused_inside(struct tx *tx, void *arg)
{
	enum err e = tx_do(tx, "INSERT INTO thing VALUES ('e', 5)", NULL);

	(void)arg;
	return e ? e : ERR_DENIED;
}

static enum err count_row(const struct row *r, void *arg)
{
	*(int64_t *)arg += row_int(r, 1);
	return OK;
}

/* A transaction as the roles write them: reads, updates, tries something, audits, writes a letter. */
static enum err change(struct tx *tx, void *arg)
{
	const struct row *r;
	int64_t n = 0, sum = 0;
	enum err e = tx_get(tx, "SELECT n FROM thing WHERE name = :name", WITH(B_TEXT("name", "a")), &r);

	(void)arg;
	if (!e)
		n = row_int(r, 0);
	if (!e)
		e = tx_each(tx, "SELECT name, n FROM thing", NULL, count_row, &sum);
	if (!e)
		e = tx_do(tx, "UPDATE thing SET n = :n WHERE name = 'a'", WITH(B_INT("n", n + sum)));
	if (!e)
		e = tx_try(tx, nested, NULL);
	if (!e && tx_try(tx, refused_inside, NULL) != ERR_DENIED) /* what it wrote is not there afterwards */
		e = ERR_IO;
	if (!e)
		e = tx_errand_begin(tx, "kind", "1", "new");
	if (!e)
		e = tx_audit(tx, "step", ABOUT({ "pimsi", "90170" }, { "equipment", "acme:1" }), "adds %d", (int)sum);
	if (!e)
		e = tx_outbox(tx, &(struct letter){ .word = "w", .errand = "kind", .id = "1", .role = "hss", .peer = "001-01", .path = "/",
			.body = bytes_text("x") });
	return e;
}

struct seen {
	int64_t sum, things, audits, subjects, letters, errands;
};

static int64_t one(struct tx *tx, const char *sql)
{
	const struct row *r;

	return tx_get(tx, sql, NULL, &r) ? -1 : row_int(r, 0);
}

static enum err look(struct tx *tx, void *arg)
{
	struct seen *s = arg;
	struct why w;

	s->sum = one(tx, "SELECT SUM(n) FROM thing");
	s->things = one(tx, "SELECT COUNT(*) FROM thing");
	s->audits = one(tx, "SELECT COUNT(*) FROM audit");
	s->subjects = one(tx, "SELECT COUNT(*) FROM audit_about");
	s->letters = one(tx, "SELECT COUNT(*) FROM outbox");
	s->errands = one(tx, "SELECT COUNT(*) FROM errand");
	return tx_audit_check(tx, &w);
}

static void all_or_nothing_at_every_call(void **state)
{
	static const struct seen before = { 3, 2, 0, 0, 0, 0 }, after = { 10, 3, 1, 2, 1, 1 };
	int n;

	(void)state;
	for (n = 1; n < 200; n++) {
		struct store *s = opened(NULL);
		struct seen seen;
		enum err e;

		calls = 0;
		fail_at = n;
		e = run(s, change, NULL);
		fail_at = 0;
		assert_int_equal(run(s, look, &seen), OK); /* it still works, and the chain is whole */
		if (memcmp(&seen, e ? &before : &after, sizeof(seen)))
			fail_msg("call %d: told %s, and there are %lld things, sum %lld, %lld entries, %lld letters", n, err_name(e), (long long)seen.things,
				(long long)seen.sum, (long long)seen.audits, (long long)seen.letters);
		if (e) { /* and the same again passes */
			assert_int_equal(run(s, change, NULL), OK);
			assert_int_equal(run(s, look, &seen), OK);
			assert_memory_equal(&seen, &after, sizeof(seen));
		}
		store_close(s);
		if (!e)
			break;
	}
	assert_in_range(n, 15, 199); /* every call was made to fail once */
}

/* A full disk in the middle of an fn may make SQLite roll the whole group back: what came later must not be committed on its own. */
static enum err rolls_back(struct tx *tx, void *arg)
{
	(void)arg;
	(void)!tx_do(tx, "ROLLBACK", NULL);
	return ERR_IO;
}

static enum err rolls_back_unnoticed(struct tx *tx, void *arg)
{
	(void)rolls_back(tx, arg);
	return OK;
}

static void a_transaction_that_is_gone(void **state)
{
	struct store *s = opened(NULL);
	struct seen seen;

	(void)state;
	assert_int_equal(run(s, rolls_back, NULL), ERR_IO);
	assert_int_equal(run(s, rolls_back_unnoticed, NULL), ERR_IO);
	assert_int_equal(run(s, change, NULL), OK);
	assert_int_equal(run(s, look, &seen), OK);
	assert_int_equal(seen.audits, 1);
	store_close(s);
}

/* --- with the thread --- */

struct many {
	struct loop *loop;
	int left, unnoticed;
	enum err err[64];
	pthread_mutex_t waits;  /* held until all have come */
};
struct job_arg {
	struct many *all;
	int i;
};

static enum err numbered(struct tx *tx, void *arg)
{
	struct job_arg *a = arg;
	char name[16];
	enum err e;

	if (a->i == 7)
		pthread_mutex_lock(&a->all->waits), pthread_mutex_unlock(&a->all->waits); /* so that the others wait, and make one group */
	if (a->i == 20)
		return a->all->unnoticed ? rolls_back_unnoticed(tx, NULL) : rolls_back(tx, NULL);
	snprintf(name, sizeof(name), "n%d", a->i);
	e = tx_do(tx, "INSERT INTO thing VALUES (:name, 0)", WITH(B_TEXT("name", name)));
	return a->i % 3 == 0 && !e ? ERR_DENIED : e; /* its row goes again, alone */
}

static void numbered_done(void *arg, enum err e)
{
	struct job_arg *a = arg;

	a->all->err[a->i] = e;
	if (!--a->all->left)
		loop_stop(a->all->loop, 0);
}

static enum err names(struct tx *tx, void *arg)
{
	int *there = arg;

	for (int i = 0; i < 64; i++) {
		char name[16];
		const struct row *r;

		snprintf(name, sizeof(name), "n%d", i);
		there[i] = tx_get(tx, "SELECT n FROM thing WHERE name = :name", WITH(B_TEXT("name", name)), &r) == OK;
	}
	return OK;
}

/* Whatever was told is what is there, for every one of a group. */
static void told_is_there(int unnoticed)
{
	struct many all = { .left = 64, .unnoticed = unnoticed, .waits = PTHREAD_MUTEX_INITIALIZER };
	struct job_arg arg[64];
	int there[64] = { 0 };
	struct store *s;
	struct why w;

	assert_int_equal(loop_new(&all.loop), OK);
	assert_int_equal(store_open(all.loop, NULL, &schema, 0, &s, &w), OK);
	pthread_mutex_lock(&all.waits);
	for (int i = 0; i < 64; i++) {
		arg[i] = (struct job_arg){ &all, i };
		store_run(s, numbered, arg + i, numbered_done);
	}
	pthread_mutex_unlock(&all.waits);
	loop_run(all.loop);
	store_run(s, names, there, NULL);
	store_stop(s); /* runs what waits */
	for (int i = 0; i < 64; i++)
		if (there[i] != (all.err[i] == OK))
			fail_msg("%d: told %s, row %s", i, err_name(all.err[i]), there[i] ? "there" : "not there");
	assert_int_equal(all.err[3], ERR_DENIED);
	all.left = 1;
	store_run(s, numbered, arg, numbered_done); /* after the end: told at once */
	assert_int_equal(all.err[0], ERR_UNAVAILABLE);
	store_close(s);
	loop_free(all.loop);
}

static void told_is_what_is_there(void **state)
{
	(void)state;
	told_is_there(0);
	told_is_there(1);
}

/* --- statements --- */

struct walk {
	struct tx *tx;
	char seen[8];
};

static enum err deeper(const struct row *r, void *arg)
{
	/* more statements than the cache has room for, while a walk is going on */
	static char sql[400][40];
	struct walk *w = arg;
	struct tx *tx = w->tx;
	const struct row *one_row;

	strncat(w->seen, row_text(r, 0), 1);
	for (int i = 0; i < 400; i++) {
		snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
		assert_int_equal(tx_get(tx, sql[i], NULL, &one_row), OK);
		assert_int_equal(row_int(one_row, 0), i);
	}
	return OK;
}

static enum err itself(const struct row *r, void *arg);
static const char walk_sql[] = "SELECT name, n FROM thing ORDER BY name";

static enum err walk(struct tx *tx, void *arg)
{
	struct walk w = { tx, "" };
	enum err e = tx_each(tx, walk_sql, NULL, deeper, &w);

	(void)arg;
	assert_string_equal(w.seen, "ab");
	return e;
}

static enum err walk_itself(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_each(tx, walk_sql, NULL, itself, tx);
}

static enum err itself(const struct row *r, void *arg)
{
	(void)r;
	return walk_itself(arg, NULL);
}

static enum err misuse(struct tx *tx, void *arg)
{
	const struct row *r;
	char little[1], octets[2];

	(void)arg;
	assert_int_equal(tx_do(tx, "UPDATE thing SET n = :n", NULL), ERR_FORMAT);
	assert_int_equal(tx_do(tx, "UPDATE thing SET n = :n", WITH(B_INT("m", 1))), ERR_FORMAT);
	assert_int_equal(tx_do(tx, "UPDATE nothing SET n = 1", NULL), ERR_IO);
	assert_int_equal(tx_do(tx, "INSERT INTO thing VALUES ('a', 1)", NULL), ERR_EXISTS);
	assert_int_equal(tx_get(tx, "SELECT n FROM thing WHERE name = 'z'", NULL, &r), ERR_MISSING);
	assert_int_equal(tx_do(tx, "UPDATE thing SET n = n", NULL), OK);
	assert_int_equal(tx_changes(tx), 2);
	assert_int_equal(tx_get(tx, "SELECT name, NULL, x'01' FROM thing WHERE name = 'a'", NULL, &r), OK);
	assert_string_equal(row_text(r, 1), "");
	row_octets(r, 2, octets, 1);
	assert_int_equal(octets[0], 1);
	row_copy(r, 0, little, 1); /* does not fit: the transaction fails at its end */
	return OK;
}

static void statements(void **state)
{
	struct store *s = opened(NULL);

	(void)state;
	assert_int_equal(run(s, walk, NULL), OK);
	assert_int_equal(run(s, walk_itself, NULL), ERR_ORDER);
	assert_int_equal(run(s, misuse, NULL), ERR_LIMIT);
	assert_int_equal(run(s, walk, NULL), OK);
	store_close(s);
}

/* --- schema --- */

static void versions(void **state)
{
	static const char *const two[] = { "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL)", "ALTER TABLE thing ADD COLUMN more BIGINT", NULL };
	static const char *const bad[] = { "CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL)", "ALTER TABLE thing ADD COLUMN more BIGINT",
		"CREATE TABLE other (a); BROKEN", NULL };
	static const struct store_schema newer = { two }, broken = { bad };
	char path[] = "/tmp/usher-store-XXXXXX", more[80];
	struct store *s;
	struct why w;
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	store_close(opened(path));
	assert_int_equal(store_open(NULL, path, &newer, 1, &s, &w), OK);
	store_close(s);
	assert_int_equal(store_open(NULL, path, &schema, 1, &s, &w), ERR_RANGE); /* an older program does not touch it */
	assert_non_null(strstr(w.text, "newer"));
	assert_int_equal(store_open(NULL, path, &broken, 1, &s, &w), ERR_IO);
	assert_int_equal(store_open(NULL, path, &newer, 1, &s, &w), OK); /* nothing of the broken upgrade stayed */
	store_close(s);
	for (const char *const *end = (const char *const[]){ "", "-wal", "-shm", NULL }; *end; end++) {
		snprintf(more, sizeof(more), "%s%s", path, *end);
		unlink(more);
	}
	assert_int_equal(store_open(NULL, "/nonexistent/x.db", &schema, 1, &s, &w), ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_or_nothing_at_every_call), cmocka_unit_test(a_transaction_that_is_gone),
		cmocka_unit_test(told_is_what_is_there), cmocka_unit_test(statements), cmocka_unit_test(versions) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
