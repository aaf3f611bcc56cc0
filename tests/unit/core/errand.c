/* SPDX-License-Identifier: Apache-2.0 */
#include "core/errand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#undef fail /* cmocka's; ours stands in core/err.h */

#include "core/clock.h"
#include "core/outbox.h"

/* --- a kind with every sort of rule --- */

static enum err note(struct tx *tx, const char *what)
{
	return tx_do(tx, "INSERT INTO note VALUES (:what)", WITH(B_TEXT("what", what)));
}

static enum err act_writes(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)e, (void)event, (void)w;
	return note(tx, "written");
}

/* Writes, and then ends as the caller says. */
static enum err act_ends(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	enum err wanted = *(enum err *)event->arg;

	e->due = 1;
	if (note(tx, "half") != OK)
		return ERR_IO;
	return wanted ? fail(w, wanted, "because of %s", e->id) : OK;
}

static enum err act_due(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)event, (void)w;
	e->due = clock_now_ms() + 300; /* later than the look at it, also on a busy machine */
	return note(tx, "due");
}

static enum err refused(struct tx *tx, const struct errand *e)
{
	return note(tx, e->why);
}

static const struct errand_rule rules[] = {
	{ "new", "go", NULL, act_writes, "going", NULL },
	{ "new", "try", NULL, act_ends, "going", "no" },
	{ "new", "must", NULL, act_ends, "going", NULL },
	{ "new", "far", "hss", NULL, "going", NULL },
	{ "going", "end", NULL, NULL, "done", NULL },
	{ "going", "clock", NULL, act_due, NULL, NULL },
	{ "going", "due", NULL, act_writes, "done", NULL },
	{ "*", "stop", NULL, NULL, "done", NULL },
	{ 0 },
};
static const char *const settled[] = { "done", "no", NULL };
static const struct errand_kind kinds[] = { { "trip", rules, settled, refused }, { 0 } };
static const char *const tables[] = { "CREATE TABLE note (what TEXT NOT NULL)", NULL };
static const struct store_schema schema = { tables };

struct world {
	struct loop *loop;
	struct store *store;
	struct errands *errands;
	/* for the transaction that runs */
	const char *event, *role;
	enum err wanted, got;
	struct errand out;
	int notes;
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct why why;

	*state = w;
	return loop_new(&w->loop) || store_open(w->loop, NULL, &schema, 1, &w->store, &why) || errands_open(w->loop, w->store, kinds, &w->errands);
}

static int world_end(void **state)
{
	struct world *w = *state;

	store_stop(w->store);
	errands_close(w->errands);
	store_close(w->store);
	loop_free(w->loop);
	free(w);
	return 0;
}

static enum err begin(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_errand_begin(tx, "trip", "1", "new");
}

static enum err happen(struct tx *tx, void *arg)
{
	struct world *w = arg;
	struct errand_event event = { .name = w->event, .role = w->role, .arg = &w->wanted };

	w->got = tx_errand_event(tx, "trip", "1", &event, &w->out);
	return w->got;
}

static enum err count(struct tx *tx, void *arg)
{
	struct world *w = arg;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT COUNT(*) FROM note", NULL, &r);

	w->notes = e ? -1 : (int)row_int(r, 0);
	return e ? e : tx_errand_get(tx, "trip", "1", &w->out);
}

static enum err event(struct world *w, const char *name, const char *role, enum err wanted)
{
	enum err e;

	w->event = name;
	w->role = role;
	w->wanted = wanted;
	store_run(w->store, happen, w, NULL);
	e = w->got;
	store_run(w->store, count, w, NULL);
	return e;
}

static void the_table(void **state)
{
	struct world *w = *state;

	assert_int_equal(event(w, "go", NULL, OK), ERR_MISSING);
	store_run(w->store, begin, NULL, NULL);
	assert_int_equal(event(w, "end", NULL, OK), ERR_ORDER); /* too early: nothing */
	assert_int_equal(event(w, "nothing", NULL, OK), ERR_ORDER);
	assert_int_equal(event(w, "far", NULL, OK), ERR_DENIED); /* only the hss may say so */
	assert_int_equal(event(w, "far", "dm", OK), ERR_DENIED);
	assert_string_equal(w->out.state, "new");
	assert_int_equal(w->notes, 0);
	assert_int_equal(event(w, "far", "hss", OK), OK);
	assert_string_equal(w->out.state, "going");
	assert_int_equal(event(w, "far", "hss", OK), ERR_ORDER); /* once more: nothing */
	assert_int_equal(event(w, "stop", NULL, OK), OK);
	assert_string_equal(w->out.state, "done");
}

static void a_refusal_undoes_the_act_and_moves_to_fail(void **state)
{
	struct world *w = *state;

	store_run(w->store, begin, NULL, NULL);
	assert_int_equal(event(w, "try", NULL, ERR_AUTH), OK);
	assert_string_equal(w->out.state, "no");
	assert_string_equal(w->out.why, "because of 1");
	assert_int_equal(w->out.due, 0);
	assert_int_equal(w->notes, 1); /* what `refused` wrote, not what the act had written */
}

/* Not an answer: it stays, whole, and comes again. */
static void what_is_no_refusal(void **state)
{
	static const enum err no[] = { ERR_AGAIN, ERR_IO, ERR_NOMEM };
	struct world *w = *state;

	store_run(w->store, begin, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(event(w, "try", NULL, no[i]), no[i]);
		assert_string_equal(w->out.state, "new");
		assert_int_equal(w->notes, 0);
	}
	assert_int_equal(event(w, "must", NULL, ERR_DENIED), ERR_DENIED); /* a rule without fail */
	assert_string_equal(w->out.state, "new");
	assert_int_equal(w->notes, 0);
	assert_int_equal(event(w, "try", NULL, OK), OK);
	assert_string_equal(w->out.state, "done"); /* the act had set a due time that was over */
}

static enum err twice(struct tx *tx, void *arg)
{
	char id[ERRAND_ID + 1];
	enum err *e = arg;

	memset(id, 'x', sizeof(id));
	id[ERRAND_ID] = 0;
	e[0] = tx_errand_begin(tx, "trip", "1", "new");
	e[1] = tx_errand_begin(tx, "trip", id, "new");
	id[ERRAND_ID - 1] = 0;
	e[2] = tx_errand_begin(tx, "trip", id, "new");
	return OK;
}

static enum err letter_and_end(struct tx *tx, void *arg)
{
	const struct row *r;
	enum err e = tx_outbox(tx, &(struct letter){ .word = "w", .errand = "trip", .id = "1", .path = "/" });

	if (!e)
		e = tx_errand_end(tx, "trip", "1");
	if (!e)
		e = tx_get(tx, "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM errand WHERE id = '1')", NULL, &r);
	*(int64_t *)arg = e ? -1 : row_int(r, 0);
	return e;
}

static void rows(void **state)
{
	struct world *w = *state;
	enum err e[3];
	int64_t left = -1;

	store_run(w->store, begin, NULL, NULL);
	store_run(w->store, twice, e, NULL);
	assert_int_equal(e[0], ERR_EXISTS); /* the same request finds the same row */
	assert_int_equal(e[1], ERR_LIMIT);
	assert_int_equal(e[2], OK);
	store_run(w->store, letter_and_end, &left, NULL);
	assert_int_equal(left, 0);
}

/* --- waiting --- */

struct wait {
	struct world *w;
	int times, none;
	char state[24];
};

static void told(void *arg, const struct errand *e)
{
	struct wait *wait = arg;

	wait->times++;
	wait->none = e == NULL;
	snprintf(wait->state, sizeof(wait->state), "%s", e ? e->state : "");
	loop_stop(wait->w->loop, 0);
}

static void waiters(void **state)
{
	struct world *w = *state;
	struct wait a = { .w = w }, b = { .w = w }, c = { .w = w };

	errand_wait(w->errands, "trip", "1", 10000, told, &c);
	assert_int_equal(c.times, 1); /* there is none */
	assert_true(c.none);
	store_run(w->store, begin, NULL, NULL);
	errand_wait(w->errands, "trip", "1", 10000, told, &a);
	errand_wait(w->errands, "trip", "1", 10000, told, &b);
	event(w, "go", NULL, OK);
	assert_int_equal(a.times + b.times, 0); /* not settled */
	event(w, "end", NULL, OK);
	assert_int_equal(a.times, 1);
	assert_int_equal(b.times, 1);
	assert_string_equal(a.state, "done");
	errand_wait(w->errands, "trip", "1", 10000, told, &c);
	assert_int_equal(c.times, 2); /* settled already */
	event(w, "stop", NULL, OK);
	assert_int_equal(a.times + b.times + c.times, 4); /* nobody twice */
}

static void patience(void **state)
{
	struct world *w = *state;
	struct wait a = { .w = w }, b = { .w = w };

	store_run(w->store, begin, NULL, NULL);
	errand_wait(w->errands, "trip", "1", 20, told, &a);
	loop_run(w->loop);
	assert_int_equal(a.times, 1);
	assert_string_equal(a.state, "new"); /* 202 */
	errand_wait(w->errands, "trip", "1", 100000, told, &b);
	errands_close(w->errands); /* the process stops: whoever waits is told */
	w->errands = NULL;
	assert_int_equal(b.times, 1);
	assert_true(b.none);
}

static void due(void **state)
{
	struct world *w = *state;
	struct wait a = { .w = w };

	store_run(w->store, begin, NULL, NULL);
	event(w, "go", NULL, OK);
	event(w, "clock", NULL, OK);
	assert_true(w->out.due > 0);
	errand_wait(w->errands, "trip", "1", 10000, told, &a);
	loop_run(w->loop);
	assert_string_equal(a.state, "done");
	store_run(w->store, count, w, NULL);
	assert_int_equal(w->out.due, 0);
	assert_int_equal(w->notes, 3);
}

/* What was due while nobody ran comes at the start. */
static enum err overdue(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_do(tx, "INSERT INTO errand (kind, id, state, why, due, changed) VALUES ('trip', '1', 'going', '', 5, 0)", NULL);
}

static void due_after_a_restart(void **state)
{
	struct world *w = *state;

	store_stop(w->store);
	errands_close(w->errands);
	store_close(w->store);
	assert_int_equal(store_open(w->loop, NULL, &schema, 1, &w->store, &(struct why){ "" }), OK);
	store_run(w->store, overdue, NULL, NULL);
	assert_int_equal(errands_open(w->loop, w->store, kinds, &w->errands), OK);
	store_run(w->store, count, w, NULL);
	assert_string_equal(w->out.state, "done");
}

/* Looks at what is due follow each other on the store's thread, while the loop reads the last one's word: -Db_sanitize=thread tells. */
enum { TRIPS = 300 };
struct trip {
	struct world *w;
	char id[12];
	int wait;
};

static enum err begin_due(struct tx *tx, void *arg)
{
	const struct trip *t = arg;
	enum err e = tx_errand_begin(tx, "trip", t->id, "going");

	return e ? e : tx_errand_due(tx, "trip", t->id, clock_now_ms() + t->wait);
}

static void arrived(void *arg, const struct errand *e)
{
	struct trip *t = arg;

	assert_string_equal(e->state, "done");
	if (++t->w->notes == TRIPS)
		loop_stop(t->w->loop, 0);
}

static void due_beside_the_thread(void **state)
{
	struct world *w = *state;
	struct trip trip[TRIPS];

	store_stop(w->store);
	errands_close(w->errands);
	store_close(w->store);
	assert_int_equal(store_open(w->loop, NULL, &schema, 0, &w->store, &(struct why){ "" }), OK);
	assert_int_equal(errands_open(w->loop, w->store, kinds, &w->errands), OK);
	for (int i = 0; i < TRIPS; i++) {
		trip[i] = (struct trip){ .w = w, .wait = i % 7 };
		snprintf(trip[i].id, sizeof(trip[i].id), "%d", i);
		store_run(w->store, begin_due, trip + i, NULL);
		errand_wait(w->errands, "trip", trip[i].id, 10000, arrived, trip + i);
	}
	loop_run(w->loop);
	assert_int_equal(w->notes, TRIPS);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, world_make, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(the_table), TEST(a_refusal_undoes_the_act_and_moves_to_fail), TEST(what_is_no_refusal), TEST(rows),
		TEST(waiters), TEST(patience), TEST(due), TEST(due_after_a_restart),
		TEST(due_beside_the_thread) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
