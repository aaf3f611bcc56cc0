/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

static void reader(void **state)
{
	static const uint8_t in[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24 };
	struct rd r = rd_of(BYTES_OF(in)), sub;
	uint8_t out[4] = { 9, 9, 9, 9 };

	(void)state;
	assert_int_equal(rd_u8(&r), 0x01);
	assert_int_equal(rd_u16(&r), 0x0203);
	assert_int_equal(rd_u24(&r), 0x040506);
	assert_int_equal(rd_u32(&r), 0x0708090a);
	assert_int_equal(rd_u48(&r), 0x0b0c0d0e0f10);
	sub = rd_sub(&r, 3);
	assert_int_equal(rd_u16(&sub), 0x1112);
	assert_int_equal(rd_done(&sub), ERR_SURPLUS);
	assert_int_equal(rd_u16(&sub), 0); /* one octet too far: zero, and it sticks */
	assert_int_equal(rd_u8(&sub), 0);
	assert_int_equal(rd_done(&sub), ERR_SHORT);
	rd_fail(&sub, ERR_RANGE);
	assert_int_equal(rd_done(&sub), ERR_SHORT);
	assert_int_equal(rd_view(&r, 2).n, 2);
	assert_int_equal(rd_rest(&r).n, 3);
	assert_int_equal(rd_done(&r), OK);
	rd_copy(&r, out, 4);
	assert_memory_equal(out, "\0\0\0\0", 4);
	assert_int_equal(rd_done(&r), ERR_SHORT);
	sub = rd_sub(&r, 0);
	assert_int_equal(rd_done(&sub), ERR_SHORT); /* of a bad reader only bad ones */
	r = rd_of(BYTES(NULL, 0));
	assert_int_equal(rd_rest(&r).n, 0);
	assert_int_equal(rd_view(&r, SIZE_MAX).n, 0);
	assert_int_equal(rd_done(&r), ERR_SHORT);
}

static void writer(void **state)
{
	uint8_t out[24];
	struct wr w = wr_of(out, sizeof(out));

	(void)state;
	wr_u8(&w, 1);
	wr_u16(&w, 0x0203);
	wr_u24(&w, 0x040506);
	wr_u32(&w, 0x0708090a);
	wr_u48(&w, 0x0b0c0d0e0f10);
	wr_u64(&w, 0x1112131415161718);
	assert_int_equal(wr_done(&w), OK);
	for (uint8_t i = 0; i < 24; i++)
		assert_int_equal(out[i], i + 1);
	wr_u8(&w, 1);
	assert_int_equal(wr_done(&w), ERR_LIMIT);
	assert_int_equal(wr_view(&w).n, 24);
	w = wr_of(out, 4);
	wr_printf(&w, "%d", 12345);
	assert_int_equal(wr_done(&w), ERR_LIMIT);
	assert_int_equal(wr_view(&w).n, 0);
	w = wr_of(NULL, 0);
	wr_text(&w, "");
	assert_int_equal(wr_done(&w), OK);
	wr_text(&w, "a");
	assert_int_equal(wr_done(&w), ERR_LIMIT);
	{
		static char big[2000];

		memset(big, 'x', sizeof(big) - 1);
		w = wr_of(out, sizeof(out));
		wr_printf(&w, "%s", big);
		assert_int_equal(wr_done(&w), ERR_LIMIT);
	}
}

/* RFC 4648 10 */
static void base64(void **state)
{
	static const struct {
		const char *plain, *coded, *url;
	} known[] = { { "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" }, { "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" }, { "foobar", "Zm9vYmFy", "Zm9vYmFy" }, { "\xfb\xff", "+/8=", "-_8" } };
	static const char *const wrong[] = { "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v Zg==", "Zm9vZg=\n", "====", "A===", "Z-8=", "Zg==Zg==", "Zm9v=" };
	char text[64];
	uint8_t back[64];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		struct bytes plain = bytes_text(known[i].plain);
		char *coded = b64_new(plain), *copy = bytes_dup(plain, &n);

		assert_string_equal(coded, known[i].coded);
		assert_true(n == plain.n && copy != known[i].plain);
		assert_string_equal(copy, known[i].plain);
		free(coded);
		free(copy);
		assert_int_equal(b64_of(plain, text, strlen(known[i].coded) + 1), OK);
		assert_string_equal(text, known[i].coded);
		assert_int_equal(b64_of(plain, text, strlen(known[i].coded)), ERR_LIMIT);
		assert_int_equal(b64url_of(plain, text, sizeof(text)), OK);
		assert_string_equal(text, known[i].url);
		assert_int_equal(b64_read(bytes_text(known[i].coded), back, plain.n, &n), OK);
		assert_true(bytes_equal(BYTES(back, n), plain));
		assert_int_equal(b64url_read(bytes_text(known[i].url), back, plain.n, &n), OK);
		assert_true(bytes_equal(BYTES(back, n), plain));
		if (plain.n)
			assert_int_equal(b64_read(bytes_text(known[i].coded), back, plain.n - 1, &n), ERR_LIMIT);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (b64_read(bytes_text(wrong[i]), back, sizeof(back), &n) != ERR_FORMAT || n)
			fail_msg("`%s` was read", wrong[i]);
	assert_int_equal(b64_read(BYTES("Zg\0=", 4), back, sizeof(back), &n), ERR_FORMAT);
	assert_int_equal(b64url_read(bytes_text("Zg=="), back, sizeof(back), &n), ERR_FORMAT);
	assert_int_equal(b64url_read(bytes_text("Z"), back, sizeof(back), &n), ERR_FORMAT);
}

static void hex(void **state)
{
	uint8_t back[4];
	char text[9];

	(void)state;
	assert_int_equal(hex_of(BYTES("\x00\x7f\xff\xa5", 4), text, 9), OK);
	assert_string_equal(text, "007fffa5");
	assert_int_equal(hex_of(BYTES("\x00\x7f\xff\xa5", 4), text, 8), ERR_LIMIT);
	assert_int_equal(hex_read("007FfFa5", back, 4), OK);
	assert_memory_equal(back, "\x00\x7f\xff\xa5", 4);
	assert_int_equal(hex_read("007fffa", back, 4), ERR_FORMAT);
	assert_int_equal(hex_read("007fff", back, 4), ERR_SHORT);
	assert_int_equal(hex_read("007fffa500", back, 4), ERR_SURPLUS);
	assert_int_equal(hex_read("007fffg5", back, 4), ERR_FORMAT);
}

static const struct near {
	const char *name, *given;
	size_t edits;
} nears[] = { { "grace", "grace", 0 }, { "grace", "grce", 1 }, { "status", "stauts", 2 }, { "", "abc", 3 }, { "abcd", "", TEXT_FAR },
	{ "abc", "0123456789012345678901234567890123456789012345678901234567890123", TEXT_FAR }, { NULL, NULL, 0 } };

static void texts(void **state)
{
	char out[4], any[] = "a\tb\xc3\xa4\x7f~ \x01";
	int64_t n = 5;

	(void)state;
	assert_int_equal(text_copy(out, 4, "abc"), OK);
	assert_int_equal(text_copy(out, 4, "abcd"), ERR_LIMIT);
	assert_string_equal(out, "");
	assert_int_equal(text_copy_bytes(out, 4, BYTES("a\0c", 3)), ERR_FORMAT);
	assert_int_equal(text_number("-9223372036854775808", INT64_MIN, INT64_MAX, &n), OK);
	assert_true(n == INT64_MIN);
	assert_int_equal(text_number("9223372036854775808", INT64_MIN, INT64_MAX, &n), ERR_RANGE);
	assert_int_equal(text_number("65536", 0, 65535, &n), ERR_RANGE);
	for (const char *const *t = (const char *const[]){ "", "-", "+1", " 1", "1 ", "1.0", "0x1", "--1", NULL }; *t; t++)
		assert_int_equal(text_number(*t, -9, 9, &n), ERR_FORMAT);
	assert_int_equal(text_digits("0123"), 4);
	assert_int_equal(text_digits("012a"), 0);
	assert_int_equal(text_digits(""), 0);
	for (const struct near *c = nears; c->name; c++) {
		size_t least = TEXT_FAR;

		assert_int_equal(text_nearer(c->name, c->given, &least), c->edits < TEXT_FAR);
		assert_int_equal(least, c->edits);
		assert_int_equal(text_nearer(c->name, c->given, &least), 0); /* as near is not nearer */
	}
	text_plain(any);
	assert_string_equal(any, "a?b???~ ?");
	assert_true(bytes_same("abc", "abc", 3) && !bytes_same("abc", "abd", 3));
	assert_true(!bytes_equal(BYTES("ab", 2), BYTES("abc", 3)) && bytes_equal(bytes_text(NULL), BYTES("", 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reader), cmocka_unit_test(writer), cmocka_unit_test(base64), cmocka_unit_test(hex),
		cmocka_unit_test(texts) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
