/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "aka_sets.h"

static void passwords(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		uint8_t res[8], ck[16], ik[16];
		char password[DIGEST_PASSWORD];

		assert_int_equal(hex_read(aka_sets[i][8], res, 8), OK);
		assert_int_equal(hex_read(aka_sets[i][9], ck, 16), OK);
		assert_int_equal(hex_read(aka_sets[i][10], ik, 16), OK);
		assert_int_equal(digest_password(BYTES_OF(res), ik, ck, password), OK);
		assert_string_equal(password, aka_digests[i][1]);
	}
}

static void a_whole_response(void **state)
{
	struct digest d = { .username = "901700000000001", .realm = "registration.example", .uri = "/v1/discover", .nc = "00000001",
		.cnonce = "0a4f113b", .qop = "auth" };
	char line[DIGEST_LINE], response[DIGEST_RESPONSE];
	struct digest back;

	(void)state;
	strcpy(d.nonce, aka_digests[0][0]);
	assert_int_equal(digest_response(&d, "GET", aka_digests[0][1], response), OK);
	assert_string_equal(response, "c45d7171520d81ce5d5a41d071a94c1b2dbd23a2fbeaa401d012adcccb7d3d24");
	strcpy(d.response, response);
	assert_int_equal(digest_answer_write(&d, line, sizeof(line)), OK);
	assert_int_equal(digest_read(line, &back), OK);
	assert_string_equal(back.response, response);
	assert_string_equal(back.cnonce, "0a4f113b");
	assert_string_equal(back.algorithm, "AKAv2-SHA-256");
}

static void grammar(void **state)
{
	struct digest d;
	char line[DIGEST_LINE], long_line[2000];

	(void)state;
	assert_int_equal(digest_read("Digest username=\"a\\\"b\" , realm=x,nonce=\"\", response=\"\", foo=\"a, b\"", &d), OK);
	assert_string_equal(d.username, "a\"b");
	assert_string_equal(d.realm, "x");
	assert_int_equal(digest_read("Digest realm=\"a\", realm=\"b\"", &d), ERR_EXISTS);
	assert_int_equal(digest_read("Digest realm=\"a", &d), ERR_FORMAT);
	assert_int_equal(digest_read("Basic abc", &d), ERR_FORMAT);
	assert_int_equal(digest_read("Digest =x", &d), ERR_FORMAT);
	memset(long_line, 'a', sizeof(long_line));
	memcpy(long_line, "Digest nc=", 10);
	long_line[40] = 0;
	assert_int_equal(digest_read(long_line, &d), ERR_LIMIT);
	memset(&d, 0, sizeof(d));
	assert_int_equal(digest_challenge_write(&d, line, 10), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(passwords), cmocka_unit_test(a_whole_response), cmocka_unit_test(grammar) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
