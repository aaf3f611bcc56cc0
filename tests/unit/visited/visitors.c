/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The table of who is here and who asks what, to its limits: networks and equipments that lie, crowd, repeat and leave. */
#include "roles/visited/visitors.c" /* its limits and its timer are its own */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const id = "901700000000017";
static char links[2]; /* home sides are told apart, and never looked into */
#define HOME ((struct gsup_link *)(void *)links)
#define OTHER_HOME ((struct gsup_link *)(void *)(links + 1))

static struct world {
	struct loop *loop;
	struct visitors *t;
	struct ms a, b;
	struct sgsn sgsn;
	int late;                   /* times that somebody was told so */
	char late_id[GSUP_IMSI];
	struct question last;
	int again;                  /* whoever hears it asks anew */
} w;

static struct place at_a(void) { return (struct place){ .ms = &w.a }; }
static struct place at_b(void) { return (struct place){ .ms = &w.b }; }
static struct place at_sgsn(void) { return (struct place){ .sgsn = &w.sgsn }; }

static enum err ask(const char *who, uint8_t type, struct place from)
{
	return visitors_ask(w.t, who, type, &from, HOME);
}

static enum err answered(const char *who, uint8_t type, struct question *q)
{
	return visitors_answer(w.t, who, type, 0, q);
}

static int known(void)
{
	int n = 0;

	for (int i = 0; i < BUCKETS; i++)
		for (struct visitor *v = w.t->bucket[i]; v; v = v->next)
			n++;
	return n;
}

static void too_late(const struct question *q, const char *who, void *arg)
{
	assert_ptr_equal(arg, &w);
	w.late++;
	w.last = *q;
	snprintf(w.late_id, sizeof(w.late_id), "%s", who);
	if (w.again)
		assert_int_equal(visitors_ask(w.t, who, q->type, &q->from, OTHER_HOME), OK);
}

static int begin(void **state)
{
	struct visitors_conf c = { NULL, 3, too_late, &w };

	(void)state;
	memset(&w, 0, sizeof(w));
	if (loop_new(&w.loop))
		return -1;
	c.loop = w.loop;
	return visitors_open(&c, &w.t) ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	visitors_close(w.t);
	loop_free(w.loop);
	return 0;
}

static char *number(int i, char dst[GSUP_IMSI])
{
	snprintf(dst, GSUP_IMSI, "90170%07d", i % 10000000);
	return dst;
}

/* --- questions --- */

static void an_answer_finds_who_asked(void **state)
{
	struct question q;

	(void)state;
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), ERR_MISSING);
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(answered("901700000000018", GSUP_SAI_REQ, &q), ERR_MISSING); /* of another */
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), ERR_MISSING);                  /* to another question */
	assert_int_equal(visitors_answer(w.t, id, GSUP_SAI_REQ, 1, &q), ERR_MISSING);  /* from the wrong side */
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), OK);
	assert_ptr_equal(q.from.ms, &w.a);
	assert_ptr_equal(q.home, HOME);
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), ERR_MISSING); /* each answer once */
	assert_int_equal(known(), 0);
}

/* Two equipments say they are the same: the oldest question of a kind is answered first, and each hears its own answers. */
static void two_with_one_identity(void **state)
{
	struct question q;

	(void)state;
	assert_int_equal(ask(id, GSUP_UL_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_UL_REQ, at_b()), OK);
	assert_ptr_equal(visitors_arriving(w.t, id).ms, &w.b); /* who came last */
	assert_int_equal(known(), 1);
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), OK);
	assert_ptr_equal(q.from.ms, &w.a);
	visitors_place(w.t, id, at_a());
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), OK);
	assert_ptr_equal(q.from.ms, &w.b);
	visitors_place(w.t, id, at_b());
	assert_ptr_equal(visitors_where(w.t, id).ms, &w.b); /* it is in one place */
	assert_null(visitors_arriving(w.t, id).ms);
	visitors_place(w.t, id, (struct place){ NULL, NULL });
	assert_int_equal(known(), 1); /* a question is open still */
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), OK);
	assert_int_equal(known(), 0);
}

/* It has gone: nobody hears its answers, and nobody else gets them. */
static void an_asker_that_is_gone(void **state)
{
	struct question q;

	(void)state;
	assert_int_equal(ask(id, GSUP_UL_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_UL_REQ, at_b()), OK);
	assert_int_equal(ask("901700000000018", GSUP_SAI_REQ, at_a()), OK);
	visitors_forget(w.t, &w.a);
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), OK);
	assert_true(nowhere(q.from));
	assert_int_equal(answered("901700000000018", GSUP_SAI_REQ, &q), OK);
	assert_true(nowhere(q.from));
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), OK);
	assert_ptr_equal(q.from.ms, &w.b);
}

static void what_could_not_be_passed_on_is_not_asked(void **state)
{
	struct question q;

	(void)state;
	visitors_unask(w.t, id, GSUP_UL_REQ, 0); /* of nobody */
	assert_int_equal(ask(id, GSUP_UL_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_UL_REQ, at_b()), OK);
	assert_int_equal(visitors_ask(w.t, id, GSUP_CANCEL_REQ, NULL, HOME), OK);
	visitors_unask(w.t, id, GSUP_PURGE_REQ, 0); /* nothing of that kind */
	visitors_unask(w.t, id, GSUP_UL_REQ, 0);    /* the newest */
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), OK);
	assert_ptr_equal(q.from.ms, &w.a);
	assert_int_equal(answered(id, GSUP_UL_REQ, &q), ERR_MISSING);
	assert_int_equal(visitors_answer(w.t, id, GSUP_CANCEL_REQ, 1, &q), OK);
	assert_int_equal(known(), 0);
}

/* Neither side can keep the other from asking about an identity. */
static void so_many_about_one_identity(void **state)
{
	struct question q;

	(void)state;
	for (int i = 0; i < OPEN_PER_ID; i++)
		assert_int_equal(ask(id, GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_PURGE_REQ, at_b()), ERR_LIMIT);
	for (int i = 0; i < OPEN_PER_ID; i++)
		assert_int_equal(visitors_ask(w.t, id, GSUP_ISD_REQ, NULL, HOME), OK);
	assert_int_equal(visitors_ask(w.t, id, GSUP_CANCEL_REQ, NULL, HOME), ERR_LIMIT);
	assert_int_equal(ask("901700000000018", GSUP_SAI_REQ, at_b()), OK);
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), OK);
	assert_int_equal(ask(id, GSUP_PURGE_REQ, at_b()), OK);
}

static void so_many_at_all(void **state)
{
	char text[GSUP_IMSI];
	struct question q;

	(void)state;
	for (int i = 0; i < OPEN_MAX; i++)
		assert_int_equal(ask(number(i, text), GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_b()), ERR_LIMIT);
	assert_int_equal(visitors_ask(w.t, number(0, text), GSUP_CANCEL_REQ, NULL, HOME), ERR_LIMIT);
	assert_int_equal(known(), OPEN_MAX); /* who was refused leaves nothing behind */
	assert_int_equal(answered(number(7, text), GSUP_SAI_REQ, &q), OK);
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_b()), OK);
	assert_int_equal(known(), OPEN_MAX);
}

/* --- nobody answers --- */

static void patience_ends(void **state)
{
	struct question *q;

	(void)state;
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(ask("901700000000018", GSUP_UL_REQ, at_sgsn()), OK);
	sweep(w.t);
	assert_int_equal(w.late, 0);
	TAILQ_FIRST(&w.t->questions)->until -= PATIENCE_MS; /* 5 s later, for the first */
	sweep(w.t);
	assert_int_equal(w.late, 1);
	assert_string_equal(w.late_id, id);
	assert_ptr_equal(w.last.from.ms, &w.a);
	assert_int_equal(w.last.type, GSUP_SAI_REQ);
	assert_int_equal(known(), 1);
	/* who hears it asks anew: that is another question, with patience of its own */
	w.again = 1;
	TAILQ_FIRST(&w.t->questions)->until -= PATIENCE_MS;
	sweep(w.t);
	assert_int_equal(w.late, 2);
	q = TAILQ_FIRST(&w.t->questions);
	assert_non_null(q);
	assert_ptr_equal(q->home, OTHER_HOME);
	assert_true(q->until > clock_mono_ms() && q->until <= clock_mono_ms() + 6000); /* an SGSN gives up after 6 s */
}

static void a_home_side_that_is_gone(void **state)
{
	struct question q;

	(void)state;
	assert_int_equal(ask(id, GSUP_SAI_REQ, at_a()), OK);
	assert_int_equal(visitors_ask(w.t, id, GSUP_CANCEL_REQ, NULL, HOME), OK);
	assert_int_equal(visitors_ask(w.t, "262420000000001", GSUP_SAI_REQ, &(struct place){ .ms = &w.b }, OTHER_HOME), OK);
	visitors_home_down(w.t, HOME);
	assert_int_equal(w.late, 2);
	assert_int_equal(answered(id, GSUP_SAI_REQ, &q), ERR_MISSING); /* what it says later answers nothing */
	assert_int_equal(visitors_answer(w.t, id, GSUP_CANCEL_REQ, 1, &q), ERR_MISSING);
	assert_int_equal(answered("262420000000001", GSUP_SAI_REQ, &q), OK);
	assert_int_equal(known(), 0);
}

/* --- places --- */

static void who_left_is_forgotten(void **state)
{
	(void)state;
	visitors_place(w.t, id, (struct place){ NULL, NULL }); /* it never came */
	assert_int_equal(known(), 0);
	visitors_place(w.t, id, at_sgsn());
	assert_ptr_equal(visitors_where(w.t, id).sgsn, &w.sgsn);
	visitors_place(w.t, id, at_a()); /* moved */
	assert_null(visitors_where(w.t, id).sgsn);
	assert_int_equal(w.t->in_sgsn, 0);
	visitors_place(w.t, id, (struct place){ NULL, NULL });
	assert_true(nowhere(visitors_where(w.t, id)));
	assert_int_equal(known(), 0);
}

/* Three in SGSNs, and no more (the configuration's `visitors`): the longest unheard leaves; links of our own cell have their own limit. */
static void the_longest_unheard_leaves(void **state)
{
	char text[GSUP_IMSI];
	struct question q;

	(void)state;
	visitors_place(w.t, id, at_a());
	for (int i = 0; i < 3; i++)
		visitors_place(w.t, number(i, text), at_sgsn());
	visitors_place(w.t, number(0, text), at_sgsn()); /* heard of again */
	assert_int_equal(ask(number(1, text), GSUP_SAI_REQ, at_sgsn()), OK);
	visitors_place(w.t, number(3, text), at_sgsn());
	visitors_place(w.t, number(4, text), at_sgsn());
	assert_int_equal(w.t->in_sgsn, 3);
	assert_ptr_equal(visitors_where(w.t, id).ms, &w.a);
	for (int i = 0; i < 5; i++)
		assert_int_equal(nowhere(visitors_where(w.t, number(i, text))), i == 1 || i == 2);
	assert_int_equal(known(), 5); /* number 2 is forgotten; number 1 is not here, and waits for an answer */
	assert_int_equal(answered(number(1, text), GSUP_SAI_REQ, &q), OK);
	assert_int_equal(known(), 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = { TEST(an_answer_finds_who_asked), TEST(two_with_one_identity), TEST(an_asker_that_is_gone),
		TEST(what_could_not_be_passed_on_is_not_asked), TEST(so_many_about_one_identity), TEST(so_many_at_all), TEST(patience_ends),
		TEST(a_home_side_that_is_gone), TEST(who_left_is_forgotten), TEST(the_longest_unheard_leaves) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
