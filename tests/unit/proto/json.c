/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static json_t *of(const char *text)
{
	json_t *o = json_loads(text, 0, NULL);

	assert_non_null(o);
	return o;
}

static void texts(void **state)
{
	json_t *o = of("{\"a\": \"abc\", \"n\": 5, \"e\": \"\", \"nul\": null, \"d\": \"12345\", \"x\": \"1234x\", \"s\": \"1234\", \"u\": \"\\u00e4\\u00e4\"}");
	char out[8];
	struct why w;

	(void)state;
	assert_int_equal(json_get_text(o, "a", out, 4, &w), OK);
	assert_string_equal(out, "abc");
	assert_int_equal(json_get_text(o, "a", out, 3, &w), ERR_RANGE);
	assert_string_equal(out, "");
	assert_string_equal(w.text, "field `a` is longer than 2 characters");
	assert_int_equal(json_get_text(o, "e", out, 8, &w), OK);
	for (const char *const *k = (const char *const[]){ "n", "nul", "none", NULL }; *k; k++)
		assert_int_equal(json_get_text(o, *k, out, 8, NULL), ERR_FORMAT);
	assert_int_equal(json_get_text(o, "u", out, 4, &w), ERR_RANGE); /* octets count */
	assert_int_equal(json_get_digits(o, "d", out, 8, &w), OK);
	assert_int_equal(json_get_digits(o, "x", out, 8, &w), ERR_FORMAT);
	assert_int_equal(json_get_digits(o, "s", out, 8, &w), ERR_FORMAT);
	assert_int_equal(json_get_digits(o, "d", out, 5, &w), ERR_RANGE);
	json_decref(o);
	o = json_array();
	assert_int_equal(json_get_text(o, "a", out, 8, &w), ERR_FORMAT); /* not even an object */
	assert_int_equal(json_get_text(NULL, "a", out, 8, &w), ERR_FORMAT);
	json_decref(o);
}

static void numbers(void **state)
{
	json_t *o = of("{\"a\": 5, \"f\": 5.0, \"t\": \"5\", \"big\": 9223372036854775807, \"small\": -9223372036854775808, \"b\": true}");
	int64_t n = 0;
	struct why w;

	(void)state;
	assert_int_equal(json_get_number(o, "a", 5, 5, &n, &w), OK);
	assert_int_equal(n, 5);
	assert_int_equal(json_get_number(o, "a", 6, 9, &n, &w), ERR_RANGE);
	assert_int_equal(json_get_number(o, "a", 0, 4, &n, &w), ERR_RANGE);
	assert_int_equal(n, 0);
	assert_string_equal(w.text, "field `a`: 5 is outside 0 to 4");
	assert_int_equal(json_get_number(o, "big", INT64_MIN, INT64_MAX, &n, &w), OK);
	assert_int_equal(json_get_number(o, "small", INT64_MIN, INT64_MAX, &n, &w), OK);
	for (const char *const *k = (const char *const[]){ "f", "t", "b", "none", NULL }; *k; k++)
		assert_int_equal(json_get_number(o, *k, 0, 9, &n, &w), ERR_FORMAT);
	json_decref(o);
}

static void octets(void **state)
{
	json_t *o = of("{\"h\": \"00ffA5\", \"b\": \"Zm9v\", \"bad\": \"Zm9\", \"n\": 1}"), *v;
	uint8_t out[4];
	size_t n = 9;
	struct why w;

	(void)state;
	assert_int_equal(json_get_hex(o, "h", out, 3, &w), OK);
	assert_memory_equal(out, "\x00\xff\xa5", 3);
	assert_int_equal(json_get_hex(o, "h", out, 2, &w), ERR_FORMAT);
	assert_int_equal(json_get_hex(o, "h", out, 4, &w), ERR_FORMAT);
	assert_int_equal(json_get_hex(o, "b", out, 2, &w), ERR_FORMAT);
	assert_int_equal(json_get_hex(o, "n", out, 1, &w), ERR_FORMAT);
	assert_int_equal(json_get_b64(o, "b", out, 3, &n, &w), OK);
	assert_int_equal(n, 3);
	assert_int_equal(json_get_b64(o, "b", out, 2, &n, &w), ERR_FORMAT);
	assert_int_equal(json_get_b64(o, "bad", out, 4, &n, &w), ERR_FORMAT);
	assert_int_equal(n, 0);
	assert_int_equal(json_get_b64(o, "n", out, 4, &n, &w), ERR_FORMAT);
	v = json_hex(BYTES("\x00\xff", 2));
	assert_string_equal(json_string_value(v), "00ff");
	json_decref(v);
	v = json_b64(BYTES("foob", 4));
	assert_string_equal(json_string_value(v), "Zm9vYg==");
	json_decref(v);
	v = json_b64(BYTES("", 0));
	assert_string_equal(json_string_value(v), "");
	json_decref(v);
	json_decref(o);
}

static void the_reason(void **state)
{
	static const struct {
		const char *body, *why;
	} cases[] = { { "{\"error\": \"missing\", \"why\": \"no such thing\"}", "no such thing" }, { "{\"why\": 5}", "no reason was given" },
		{ "[]", "no reason was given" }, { "", "no reason was given" }, { "{\"why\": \"x\"", "no reason was given" }, { "\"why\"", "no reason was given" } };
	char out[40];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		json_why(bytes_text(cases[i].body), out, sizeof(out));
		assert_string_equal(out, cases[i].why);
	}
	json_why(bytes_text("{\"why\": \"no such thing\"}"), out, 8);
	assert_string_equal(out, "no such");
	json_why(BYTES(NULL, 0), out, sizeof(out));
	assert_string_equal(out, "no reason was given");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(texts), cmocka_unit_test(numbers), cmocka_unit_test(octets), cmocka_unit_test(the_reason) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
