/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gsup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "osmo_gsup.h"
#include "proto/ipa.h"

/* Every GSUP message that Osmocom's servers sent is read, and written again octet for octet where we write that message. */
static void osmocom_bytes(void **state)
{
	int read = 0, same = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(osmo_gsup) / sizeof(*osmo_gsup); i++) {
		size_t n = strlen(osmo_gsup[i].hex) / 2, used = 0, len = 0;
		uint8_t in[2048], out[2048], proto;
		struct bytes payload;
		struct gsup m;
		struct wr w = wr_of(out, sizeof(out));
		uint8_t gsup[2048];

		assert_int_equal(hex_read(osmo_gsup[i].hex, in, n), OK);
		assert_int_equal(ipa_read(BYTES(in, n), &used, &proto, &payload), OK);
		assert_int_equal(used, n);
		if (proto == IPA_CCM)
			continue;
		assert_int_equal(gsup_read(payload, &m), OK);
		assert_memory_equal(m.imsi, "00101", 5);
		read++;
		assert_int_equal(gsup_write(&m, gsup, sizeof(gsup), &len), OK);
		assert_int_equal(ipa_gsup_write(BYTES(gsup, len), &w), OK);
		if (w.n == n && !memcmp(out, in, n))
			same++;
		else /* MSISDN, RAT type and HLR number are read past, and not sent by us */
			assert_true(strstr(osmo_gsup[i].what, "UpdateLocation Request") || strstr(osmo_gsup[i].what, "PurgeMS Request")
				|| strstr(osmo_gsup[i].what, "InsertSubscriberData Request"));
	}
	assert_int_equal(read, 8);
	assert_int_equal(same, 5);
}

static void ccm(void **state)
{
	uint8_t in[256], out[256];
	struct wr w = wr_of(out, sizeof(out));
	size_t n, used;
	uint8_t proto;
	struct bytes payload;
	char name[32];

	(void)state;
	n = strlen(osmo_gsup[1].hex) / 2;
	assert_int_equal(hex_read(osmo_gsup[1].hex, in, n), OK); /* osmo-hlr's ID_GET */
	assert_int_equal(ipa_ccm_write(CCM_ID_GET, NULL, &w), OK);
	assert_int_equal(w.n, n);
	assert_memory_equal(in, out, n);
	n = strlen(osmo_gsup[3].hex) / 2;
	assert_int_equal(hex_read(osmo_gsup[3].hex, in, n), OK); /* osmo-sgsn's ID_RESP */
	assert_int_equal(ipa_read(BYTES(in, n), &used, &proto, &payload), OK);
	assert_int_equal(ipa_name_read(payload, name, sizeof(name)), OK);
	assert_string_equal(name, "SGSN-visited-001");
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(ipa_read(BYTES(in, cut), &used, &proto, &payload), ERR_AGAIN);
}

static void bad_bytes(void **state)
{
	static const uint8_t no_cause[] = { GSUP_SAI_ERR, 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf1 };
	static const uint8_t zero_cause[] = { GSUP_SAI_ERR, 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf1, 2, 0 };
	static const uint8_t no_imsi[] = { GSUP_SAI_REQ, 0x28, 1, 1 };
	static const uint8_t over[] = { GSUP_SAI_REQ, 1, 9, 0 };
	static const uint8_t auts_alone[] = { GSUP_SAI_REQ, 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf1, 0x26, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t other[] = { 0x77, 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf1, 0x99, 3, 1, 2, 3 };
	struct gsup m;

	(void)state;
	assert_int_equal(gsup_read(BYTES_OF(no_cause), &m), ERR_MISSING);
	assert_int_equal(gsup_read(BYTES_OF(zero_cause), &m), ERR_FORMAT);
	assert_int_equal(gsup_read(BYTES_OF(no_imsi), &m), ERR_MISSING);
	assert_int_equal(gsup_read(BYTES_OF(over), &m), ERR_SHORT);
	assert_int_equal(gsup_read(BYTES_OF(auts_alone), &m), ERR_MISSING);
	assert_int_equal(gsup_read(BYTES_OF(other), &m), ERR_UNSUPPORTED);
	assert_int_equal(gsup_read(BYTES("", 0), &m), ERR_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(osmocom_bytes), cmocka_unit_test(ccm), cmocka_unit_test(bad_bytes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
