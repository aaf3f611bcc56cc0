/* SPDX-License-Identifier: Apache-2.0 */
#include "core/audit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static struct store *opened(void)
{
	struct store *s = NULL;
	struct why w;

	assert_int_equal(store_open(NULL, NULL, NULL, 1, &s, &w), OK);
	return s;
}

static enum err fill(struct tx *tx, void *arg)
{
	enum err e = OK;

	(void)arg;
	for (int i = 0; i < 20 && !e; i++)
		e = tx_audit(tx, "attach", ABOUT({ "pimsi", i & 1 ? "1" : "2" }, { "equipment", "acme:1" }, { "job", i & 1 ? NULL : "" }), "entry %d", i);
	return e ? e : tx_audit(tx, "other", ABOUT({ "pimsi", "3" }), "not about the equipment");
}

static enum err check(struct tx *tx, void *arg)
{
	return tx_audit_check(tx, arg);
}

/* Each way to change the past, and the sentence that names it. */
static const struct {
	const char *sql, *says;
} forgeries[] = {
	{ "UPDATE audit SET text = 'something else' WHERE seq = 5", "audit entry 5 was changed" },
	{ "UPDATE audit SET text = 'entry X' WHERE seq = 5", "audit entry 5 was changed" }, /* as long as it was */
	{ "UPDATE audit SET step = 'detach' WHERE seq = 6", "audit entry 6 was changed" },
	{ "UPDATE audit SET about = replace(about, 'acme:1', 'acme:2') WHERE seq = 7", "audit entry 7 was changed" },
	{ "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 1", "audit entry 1 was changed" },
	{ "UPDATE audit SET step = 'x' WHERE seq = 21", "audit entry 21 was changed" },
	{ "UPDATE audit SET about = '' WHERE seq = 7", "audit entry 7 was changed" },
	{ "UPDATE audit SET hash = zeroblob(32) WHERE seq = 7", "audit entry 7 was changed" },
	{ "UPDATE audit SET hash = x'00' WHERE seq = 7", "audit entry 7 was changed" },
	{ "DELETE FROM audit WHERE seq = 9", "audit entry 9 is gone" },
	{ "UPDATE audit SET seq = 100 WHERE seq = 9", "audit entry 9 is gone" },
	{ "DELETE FROM audit WHERE seq = 1", "audit entry 1 is gone" },
};

static enum err forge(struct tx *tx, void *arg)
{
	return tx_do(tx, arg, NULL);
}

static void the_chain(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forgeries) / sizeof(*forgeries); i++) {
		struct store *s = opened();
		struct why w = { "" };

		assert_int_equal(store_run_now(s, fill, NULL), OK);
		assert_int_equal(store_run_now(s, check, &w), OK);
		assert_int_equal(store_run_now(s, forge, (void *)(uintptr_t)forgeries[i].sql), OK);
		assert_int_equal(store_run_now(s, check, &w), ERR_AUTH);
		assert_non_null(strstr(w.text, forgeries[i].says));
		store_close(s);
	}
}

struct ask {
	const char *kind, *value;
	int limit;
	json_t *got;
};

static enum err story(struct tx *tx, void *arg)
{
	static const char *const aliases[] = { "pimsi", "equipment", NULL };
	struct ask *a = arg;

	return tx_story(tx, a->kind, a->value, aliases, a->limit, &a->got);
}

static void stories(void **state)
{
	struct store *s = opened();
	struct ask a = { "equipment", "acme:1", 100, NULL };
	size_t i;
	json_t *x;

	(void)state;
	assert_int_equal(store_run_now(s, fill, NULL), OK);
	assert_int_equal(store_run_now(s, story, &a), OK);
	assert_int_equal(json_array_size(a.got), 20); /* each once, though two subjects name it */
	json_array_foreach(a.got, i, x)
		assert_int_equal(json_integer_value(json_object_get(x, "seq")), i + 1);
	x = json_array_get(a.got, 0);
	assert_string_equal(json_string_value(json_object_get(json_object_get(x, "about"), "pimsi")), "2");
	assert_null(json_object_get(json_object_get(x, "about"), "job"));
	json_decref(a.got);
	a.limit = 5; /* the newest */
	assert_int_equal(store_run_now(s, story, &a), OK);
	assert_int_equal(json_array_size(a.got), 5);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(a.got, 4), "seq")), 20);
	json_decref(a.got);
	a = (struct ask){ "pimsi", "nobody", 5, NULL };
	assert_int_equal(store_run_now(s, story, &a), OK);
	assert_int_equal(json_array_size(a.got), 0);
	json_decref(a.got);
	store_close(s);
}

static enum err hostile(struct tx *tx, void *arg)
{
	static char huge[3000];
	enum err *e = arg;

	memset(huge, 'x', sizeof(huge) - 1);
	e[0] = tx_audit(tx, "x", ABOUT({ "equipment", "acme:1\npimsi=90170" }), "one line");
	e[1] = tx_audit(tx, "x", ABOUT({ "equipment", "acme:\xc3\xa4" }), "one line");
	e[2] = tx_audit(tx, "x", ABOUT({ "equipment", huge }), "one line");
	e[3] = tx_audit(tx, "x", ABOUT({ "equipment", "acme:2" }), "he says\n\x1b[2J\xff%s", huge);
	return OK;
}

/* Somebody else's text forges no subject, no line, and spoils no story (JSON is UTF-8). */
static void foreign_texts(void **state)
{
	struct store *s = opened();
	struct ask a = { "equipment", "acme:2", 5, NULL };
	enum err e[4];
	const char *text;

	(void)state;
	assert_int_equal(store_run_now(s, hostile, e), OK);
	assert_int_equal(e[0], ERR_FORMAT);
	assert_int_equal(e[1], ERR_FORMAT);
	assert_int_equal(e[2], ERR_LIMIT);
	assert_int_equal(e[3], OK);
	assert_int_equal(store_run_now(s, story, &a), OK);
	assert_int_equal(json_array_size(a.got), 1);
	text = json_string_value(json_object_get(json_array_get(a.got, 0), "text"));
	assert_memory_equal(text, "he says??[2J?xxx", 16);
	assert_int_equal(strlen(text), 511);
	json_decref(a.got);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_chain), cmocka_unit_test(stories), cmocka_unit_test(foreign_texts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
