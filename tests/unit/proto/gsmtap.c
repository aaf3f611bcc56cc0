/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gsmtap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "proto/gmm.h"
#include "proto/llc.h"

/* Datagrams that tshark decodes without an option, and what it says of them. */
static const struct {
	const char *hex;
	int uplink;
	int nu, type;
} seen[] = {
	{ "0204080040000000000000000000000001c001080102e17071000a08991007000000001000f110fffeff1918b3432b2596620060809ac2c6620060"
	  "80bac8c662006080000b337a", 1, 0, GMM_ATTACH_REQUEST },
	{ "0204080000000000000000000000000041c0010802012a4400f11000010117161805f4dd1247f8388fae", 0, 0, GMM_ATTACH_ACCEPT },
	{ "0204080040000000000000000000000001c00508038d8a47", 1, 1, GMM_ATTACH_COMPLETE },
};

static void datagrams(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(seen) / sizeof(*seen); i++) {
		size_t n = strlen(seen[i].hex) / 2, len = 0;
		uint8_t in[256], out[256];
		struct gsmtap g;
		struct llc f;
		struct nas m;

		assert_int_equal(hex_read(seen[i].hex, in, n), OK);
		assert_int_equal(gsmtap_read(BYTES(in, n), &g), OK);
		assert_int_equal(g.type, GSMTAP_LLC);
		assert_int_equal(g.uplink, seen[i].uplink);
		assert_int_equal(llc_read(g.payload, &f), OK);
		assert_int_equal(f.nu, seen[i].nu);
		assert_int_equal(nas_read(f.info, !seen[i].uplink, &m), OK);
		assert_int_equal(m.type, seen[i].type);
		assert_int_equal(gsmtap_write(&g, out, sizeof(out), &len), OK);
		assert_int_equal(len, n);
		assert_memory_equal(in, out, n);
		assert_int_equal(gsmtap_write(&g, out, n - 1, &len), ERR_LIMIT);
		for (size_t cut = 0; cut < 16; cut++)
			assert_int_equal(gsmtap_read(BYTES(in, cut), &g), ERR_SHORT);
		for (size_t at = 0; at < 3; at++) { /* version, length of the head, type */
			in[at] ^= 0x10;
			assert_int_equal(gsmtap_read(BYTES(in, n), &g), ERR_UNSUPPORTED);
			in[at] ^= 0x10;
		}
	}
}

static void plmns(void **state)
{
	static const struct {
		const char *text;
		uint8_t octets[3];
	} good[] = { { "001-01", { 0x00, 0xf1, 0x10 } }, { "310-260", { 0x13, 0x00, 0x62 } }, { "901-70", { 0x09, 0xf1, 0x07 } },
		{ "262-42", { 0x62, 0xf2, 0x24 } } };
	static const char *const bad[] = { "", "001", "001-1", "001-0123", "00-101", "001_01", "0a1-01", "001-0x", "1001-01", "001-01 " };
	static const uint8_t not_digits[][3] = { { 0xff, 0xff, 0xff }, { 0xa0, 0xf1, 0x10 }, { 0x00, 0xfb, 0x10 }, { 0x00, 0xe1, 0x10 }, { 0x00, 0xf1, 0xf0 } };
	uint8_t out[3];
	char text[8];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(plmn_write(good[i].text, out), OK);
		assert_memory_equal(out, good[i].octets, 3);
		assert_int_equal(plmn_read(good[i].octets, text), OK);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(plmn_write(bad[i], out), ERR_FORMAT);
	for (size_t i = 0; i < sizeof(not_digits) / sizeof(*not_digits); i++)
		assert_int_equal(plmn_read(not_digits[i], text), ERR_FORMAT);
}

/* By TS 44.018 9.1.35 and 10.5.2.34: cell identity, LAI, and the bits by which a mobile knows that GPRS is there. */
static void system_information_3(void **state)
{
	static const char want[] = "49061b" "0002" "00f110" "0001" "490000" "05" "0000" "400000" "2c2b2b2b";
	const struct cell_info c = { "001-01", 1, 2, 1, 2, 0 };
	uint8_t out[23], is[23];
	struct cell_info back;
	int which = 0;

	(void)state;
	assert_int_equal(hex_read(want, is, sizeof(is)), OK);
	assert_int_equal(si3_write(&c, out), OK);
	assert_memory_equal(out, is, sizeof(is));
	for (size_t n = 0; n <= 24; n++) {
		uint8_t in[24] = { 0 };

		memcpy(in, is, sizeof(is));
		assert_int_equal(si_read(BYTES(in, n), &which, &back), n == 23 ? OK : ERR_SHORT);
	}
	is[2] = 0x1c; /* System Information 4 */
	assert_int_equal(si_read(BYTES_OF(is), &which, &back), ERR_UNSUPPORTED);
	is[2] = 0x1b;
	is[1] = 0x05; /* not radio resources */
	assert_int_equal(si_read(BYTES_OF(is), &which, &back), ERR_UNSUPPORTED);
	is[1] = 0x06;
	is[5] = 0xff; /* an LAI without digits */
	assert_int_equal(si_read(BYTES_OF(is), &which, &back), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(datagrams), cmocka_unit_test(plmns), cmocka_unit_test(system_information_3) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
