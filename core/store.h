/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_STORE_H
#define USHER_CORE_STORE_H
/*
 * A transaction is a function. store_run(store, fn, arg, done): fn(tx, arg) reads, decides and writes with
 * straight-line calls, touches nothing but *arg, and may run twice; done(arg, err) comes back on the loop after the
 * commit is on disk. One thread takes all waiting functions into one BEGIN IMMEDIATE, a SAVEPOINT each, one COMMIT.
 * A fn that returns an error is rolled back alone. No SQL on the loop's thread.
 */
#include <stdint.h>

#include "core/bytes.h"
#include "core/loop.h"

struct store;
struct tx;

typedef enum err (*tx_fn)(struct tx *tx, void *arg);
typedef void (*store_done)(void *arg, enum err e);

/* Upgrades are explicit: upgrade[i] brings schema_version i to i+1; upgrade[0] makes an empty database. */
struct store_schema {
	const char *const *upgrade; /* SQL scripts, NULL-ended */
};

/* path NULL or "": in memory. inline_: no thread, fn and done run inside store_run (tests). The core's own tables
 * (audit, outbox, errand) are part of every database. */
enum err store_open(struct loop *l, const char *path, const struct store_schema *s, int inline_, struct store **out,
	struct why *w) MUST_CHECK;
void store_stop(struct store *s);  /* runs what waits and tells it; a later store_run is told ERR_UNAVAILABLE at once */
void store_close(struct store *s); /* store_stop, and frees */
void store_run(struct store *s, tx_fn fn, void *arg, store_done done /* may be NULL */);
/* Waits for the commit; only at start-up, before the loop runs, and in tests. */
enum err store_run_now(struct store *s, tx_fn fn, void *arg) MUST_CHECK;
/* Called on the loop after every group of commits: outbox and errands look for what is new. */
void store_on_commit(struct store *s, void (*fn)(void *), void *arg); /* at most four listeners */
/* A transaction leaves a mark for a listener ("a letter was written"); taking it clears it. */
enum store_mark { MARK_LETTER = 1, MARK_DUE = 2, MARK_OWED = 4 };
void tx_mark(struct tx *tx, enum store_mark mark);
int store_take_mark(struct store *s, enum store_mark mark);
struct errands;
void store_set_errands(struct store *s, struct errands *e);
struct errands *tx_errands(struct tx *tx);
uint64_t store_commits(const struct store *s);
void *store_owner(struct tx *tx); /* what store_set_owner gave: the process's context, read-only in a tx */
void store_set_owner(struct store *s, void *owner);

/* Recomputes the chain of audit entries of a database file, read-only (for `usher audit`). ERR_AUTH: w names the entry. */
enum err store_chain_check(const char *path, struct why *w) MUST_CHECK;

/* --- inside a transaction --- */
enum bind_kind { BIND_END, BIND_NULL, BIND_INT, BIND_TEXT, BIND_BLOB };
struct bind {
	const char *name;    /* without the colon */
	enum bind_kind kind;
	int64_t number;
	struct bytes bytes;
};
#define B_INT(name_, v_) ((struct bind){ .name = (name_), .kind = BIND_INT, .number = (int64_t)(v_) })
#define B_TEXT(name_, v_) ((struct bind){ .name = (name_), .kind = BIND_TEXT, .bytes = bytes_text(v_) })
#define B_BLOB(name_, v_) ((struct bind){ .name = (name_), .kind = BIND_BLOB, .bytes = (v_) })
#define B_NULL(name_) ((struct bind){ .name = (name_), .kind = BIND_NULL })
/* `tx_do(tx, "UPDATE pimsi SET state = :state WHERE pimsi = :pimsi", WITH(B_TEXT("state", s), B_TEXT("pimsi", p)))` */
#define WITH(...) ((const struct bind[]){ __VA_ARGS__, { 0 } })

/* Columns of one row, valid during the callback, or between tx_get and the next call. */
struct row;
int64_t row_int(const struct row *r, int column);
const char *row_text(const struct row *r, int column); /* "" for NULL */
struct bytes row_blob(const struct row *r, int column);
/* Copies a text column into an array; too long: empty and the transaction fails at its end with ERR_LIMIT. */
void row_copy(const struct row *r, int column, char *dst, size_t cap);
void row_octets(const struct row *r, int column, void *dst, size_t n); /* exactly n octets, else zeros and ERR_FORMAT at the end */

enum err tx_do(struct tx *tx, const char *sql, const struct bind *with) MUST_CHECK;  /* ERR_EXISTS on a unique or foreign key */
int64_t tx_changes(const struct tx *tx);                                             /* rows of the last tx_do */
/* First row into *row; ERR_MISSING if none. */
enum err tx_get(struct tx *tx, const char *sql, const struct bind *with, const struct row **row) MUST_CHECK;
/* each row; each returns OK to go on; its error ends the walk and is returned. */
enum err tx_each(struct tx *tx, const char *sql, const struct bind *with, enum err (*each)(const struct row *r, void *arg),
	void *arg) MUST_CHECK;
/* Runs fn in a SAVEPOINT of its own: if it fails, what it wrote is undone and its error returned. */
enum err tx_try(struct tx *tx, tx_fn fn, void *arg) MUST_CHECK;
/* Remember the sentence for a refusal; survives the roll-back: *why of the arg's owner. */
struct why *tx_why(struct tx *tx);

#endif
