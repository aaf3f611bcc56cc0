/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/digest.h"

#include <setjmp.h>
#include <stdarg.h>
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
	assert_string_equal(line, "");
}

/* RFC 7616 3.9.1's own example, both headers as they stand there. */
static void header_of_the_rfc(void **state)
{
	static const char challenge[] = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256,"
		" nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
	static const char answer[] = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm=SHA-256,"
		" nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001,"
		" cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth,"
		" response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
	char response[DIGEST_RESPONSE];
	struct digest d;

	(void)state;
	assert_int_equal(digest_read(challenge, &d), OK);
	assert_string_equal(d.qop, "auth, auth-int");
	assert_string_equal(d.nonce, "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v");
	assert_int_equal(digest_read(answer, &d), OK);
	assert_int_equal(digest_response(&d, "GET", "Circle of Life", response), OK);
	assert_string_equal(response, d.response);
}

static void refused(void **state)
{
	static const struct {
		const char *line;
		enum err want;
	} rows[] = {
		{ "Digest realm = \"a\" ,, nonce\t=b,", OK },  /* bad white space and empty elements are to be read (RFC 9110 5.6) */
		{ "Digest ", OK },
		{ "Digest realm=\"a\"nonce=\"b\"", ERR_FORMAT },
		{ "Digest realm=\"a\" nonce=\"b\"", ERR_FORMAT },
		{ "Digest realm=a\"b", ERR_FORMAT },
		{ "Digest realm=", ERR_FORMAT },
		{ "Digest nc=, cnonce=\"\"", ERR_FORMAT },
		{ "Digest realm", ERR_FORMAT },
		{ "Digest realm=\"a\\", ERR_FORMAT },
		{ "Digest realm=\"a\nb\"", ERR_FORMAT },
		{ "Digest nonce=\"\", nonce=\"b\"", ERR_EXISTS },
		{ "Digest NONCE=\"b\", nonce=\"b\"", ERR_EXISTS },
		{ "Digest nonce=\"0123456789012345678901234567890123456789012345678901234567890123\"", ERR_LIMIT },
		{ "Digest nonce=\"012345678901234567890123456789012345678901234567890123456789012\"", OK },
	};
	struct digest d;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(digest_read(rows[i].line, &d), rows[i].want);
}

/* The three headers of a client: first, answer, resynchronisation (RFC 3310 3.3, 3.4). */
static void answers(void **state)
{
	struct digest d = { .username = "901700000000001", .realm = "r", .uri = "/v1/discover" };
	char line[DIGEST_LINE];

	(void)state;
	assert_int_equal(digest_answer_write(&d, line, sizeof(line)), OK);
	assert_string_equal(line, "Digest username=\"901700000000001\", realm=\"r\", nonce=\"\", uri=\"/v1/discover\", response=\"\"");
	strcpy(d.nonce, "AA==");
	strcpy(d.auts, "AAAAAAAAAAAAAAAAAAA=");
	assert_int_equal(digest_answer_write(&d, line, sizeof(line)), OK);
	assert_string_equal(line, "Digest username=\"901700000000001\", realm=\"r\", nonce=\"AA==\", uri=\"/v1/discover\", response=\"\","
		" algorithm=AKAv2-SHA-256, auts=\"AAAAAAAAAAAAAAAAAAA=\"");
	assert_int_equal(digest_read(line, &d), OK);
	strcpy(d.nc, "0000001");
	assert_int_equal(digest_answer_write(&d, line, sizeof(line)), ERR_FORMAT);
	strcpy(d.nc, "00000001");
	strcpy(d.realm, "r\r\nX: y");
	assert_int_equal(digest_answer_write(&d, line, sizeof(line)), ERR_FORMAT);
	assert_int_equal(digest_challenge_write(&d, line, sizeof(line)), ERR_FORMAT);
	strcpy(d.realm, "a \"b\" \\");
	assert_int_equal(digest_challenge_write(&d, line, sizeof(line)), OK);
	assert_string_equal(line, "Digest realm=\"a \\\"b\\\" \\\\\", nonce=\"AA==\", algorithm=AKAv2-SHA-256, qop=\"auth\"");
	assert_int_equal(digest_read(line, &d), OK);
	assert_string_equal(d.realm, "a \"b\" \\");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(passwords), cmocka_unit_test(a_whole_response), cmocka_unit_test(grammar),
		cmocka_unit_test(header_of_the_rfc), cmocka_unit_test(refused), cmocka_unit_test(answers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
