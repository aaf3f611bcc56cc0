/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ipa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "osmo_gsup.h"

enum { PING, ID_GET, PONG, ID_RESP, ID_ACK }; /* rows of osmo_gsup */

static struct bytes row(int i, uint8_t room[256])
{
	size_t n = strlen(osmo_gsup[i].hex) / 2;

	assert_true(n <= 256);
	assert_int_equal(hex_read(osmo_gsup[i].hex, room, n), OK);
	return BYTES(room, n);
}

static void written_as_osmocom_does(void **state)
{
	static const struct {
		int row;
		enum ipa_ccm type;
	} same[] = { { PING, CCM_PING }, { ID_GET, CCM_ID_GET }, { PONG, CCM_PONG }, { ID_ACK, CCM_ID_ACK } };

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		uint8_t room[256], out[256], proto = 0;
		struct bytes want = row(same[i].row, room), payload;
		struct wr w = wr_of(out, sizeof(out));
		size_t used = 0;

		assert_int_equal(ipa_ccm_write(same[i].type, NULL, &w), OK);
		assert_true(bytes_equal(wr_view(&w), want));
		assert_int_equal(ipa_read(want, &used, &proto, &payload), OK);
		assert_int_equal(used, want.n);
		assert_int_equal(proto, IPA_CCM);
		assert_int_equal(payload.p[0], same[i].type);
	}
}

static void names(void **state)
{
	static const uint8_t no_tag[] = { CCM_ID_RESP, 0, 0, 0, 3, 0, 'x', 0 }, over[] = { CCM_ID_RESP, 0, 9, 0, 'x' };
	static const uint8_t inner_nul[] = { CCM_ID_RESP, 0, 5, 0, 'x', 0, 'y', 0 }, other[] = { CCM_ID_RESP, 0, 3, 1, 'x', 0 };
	uint8_t room[256], out[256], proto = 0;
	struct bytes payload;
	struct wr w = wr_of(out, sizeof(out));
	size_t used = 0;
	char name[32];

	(void)state;
	assert_int_equal(ipa_read(row(ID_RESP, room), &used, &proto, &payload), OK);
	assert_int_equal(ipa_name_read(payload, name, sizeof(name)), OK);
	assert_string_equal(name, "SGSN-visited-001");
	assert_int_equal(ipa_name_read(payload, name, 5), ERR_LIMIT);
	assert_int_equal(ipa_ccm_write(CCM_ID_RESP, "001-01", &w), OK);
	assert_int_equal(ipa_read(wr_view(&w), &used, &proto, &payload), OK);
	assert_int_equal(ipa_name_read(payload, name, sizeof(name)), OK);
	assert_string_equal(name, "001-01");
	assert_int_equal(ipa_name_read(BYTES_OF(no_tag), name, sizeof(name)), ERR_FORMAT);
	assert_int_not_equal(ipa_name_read(BYTES_OF(over), name, sizeof(name)), OK);
	assert_int_equal(ipa_name_read(BYTES_OF(inner_nul), name, sizeof(name)), ERR_FORMAT);
	assert_int_equal(ipa_name_read(BYTES_OF(other), name, sizeof(name)), ERR_MISSING);
	assert_int_equal(ipa_name_read(BYTES("\4", 1), name, sizeof(name)), ERR_FORMAT);
}

/* A stream comes in any pieces: every cut waits, two frames come off one by one. */
static void stream(void **state)
{
	uint8_t room[256], both[300], proto = 0;
	struct bytes one = row(ID_RESP, room), payload;
	size_t used = 0;

	(void)state;
	for (size_t cut = 0; cut < one.n; cut++)
		assert_int_equal(ipa_read(BYTES(one.p, cut), &used, &proto, &payload), ERR_AGAIN);
	memcpy(both, one.p, one.n);
	memcpy(both + one.n, "\0\1\xfe\1", 4);
	assert_int_equal(ipa_read(BYTES(both, one.n + 4), &used, &proto, &payload), OK);
	assert_int_equal(used, one.n);
	assert_int_equal(ipa_read(BYTES(both + used, 4), &used, &proto, &payload), OK);
	assert_int_equal(used, 4);
	assert_int_equal(payload.p[0], CCM_PONG);
}

static void limits(void **state)
{
	static const struct {
		uint8_t head[5];
		size_t n;
		enum err want;
	} rows[] = {
		{ { 0x10, 0x00, IPA_CCM }, 3, ERR_AGAIN }, /* 4096: the largest */
		{ { 0x10, 0x01, IPA_CCM }, 3, ERR_LIMIT }, /* told before the octets are there */
		{ { 0, 0, IPA_CCM }, 3, ERR_UNSUPPORTED },
		{ { 0, 1, IPA_OSMO, IPA_EXT_GSUP }, 4, ERR_UNSUPPORTED },
		{ { 0, 2, IPA_OSMO, 0, 0 }, 5, ERR_UNSUPPORTED }, /* CTRL */
		{ { 0, 1, 0, 0 }, 4, ERR_UNSUPPORTED }, /* RSL */
	};
	static uint8_t gsup[IPA_MAX], out[IPA_MAX + IPA_HEAD];
	struct wr w = wr_of(out, sizeof(out));
	struct bytes payload;
	uint8_t proto = 0;
	size_t used = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(ipa_read(BYTES(rows[i].head, rows[i].n), &used, &proto, &payload), rows[i].want);
	assert_int_equal(ipa_gsup_write(BYTES(gsup, IPA_MAX), &w), ERR_LIMIT);
	assert_int_equal(ipa_gsup_write(BYTES(gsup, IPA_MAX - 1), &w), OK);
	assert_int_equal(ipa_read(wr_view(&w), &used, &proto, &payload), OK);
	assert_int_equal(payload.n, IPA_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(written_as_osmocom_does), cmocka_unit_test(names), cmocka_unit_test(stream),
		cmocka_unit_test(limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
