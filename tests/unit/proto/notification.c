/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/notification.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Recomputed with an independent client's code (session 1A2B, server "funambol", password "srvpwd", empty nonce). */
static const char known[] = "67c362a4d7138b4e27bd90779e3f1a0c02d80000001a2b0866756e616d626f6c";

static void known_answer(void **state)
{
	struct notification m = { .session = 0x1a2b, .user_interaction = 1, .server = "funambol" }, back;
	uint8_t out[NOTIFICATION_MAX];
	char hex[2 * NOTIFICATION_MAX + 1];
	size_t n = 0;

	(void)state;
	assert_int_equal(notification_write(&m, bytes_text("srvpwd"), BYTES(NULL, 0), out, sizeof(out), &n), OK);
	assert_int_equal(hex_of(BYTES(out, n), hex, sizeof(hex)), OK);
	assert_string_equal(hex, known);
	assert_int_equal(notification_read(BYTES(out, n), bytes_text("srvpwd"), BYTES(NULL, 0), &back), OK);
	assert_int_equal(back.session, 0x1a2b);
	assert_string_equal(back.server, "funambol");
	assert_int_equal(notification_read(BYTES(out, n), bytes_text("other"), BYTES(NULL, 0), &back), ERR_AUTH);
	out[n - 1] ^= 1;
	assert_int_equal(notification_read(BYTES(out, n), bytes_text("srvpwd"), BYTES(NULL, 0), &back), ERR_AUTH);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_not_equal(notification_read(BYTES(out, cut), bytes_text("srvpwd"), BYTES(NULL, 0), &back), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(known_answer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
