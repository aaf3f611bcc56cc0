/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/milenage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "aka_sets.h"

static void octets(const char *hex, void *dst, size_t n)
{
	assert_int_equal(hex_read(hex, dst, n), OK);
}

static void equal_hex(const void *have, const char *hex)
{
	uint8_t want[16];
	size_t n = strlen(hex) / 2;

	octets(hex, want, n);
	assert_memory_equal(have, want, n);
}

static void sets_of_35_208(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		const char *const *s = aka_sets[i];
		struct secret k, opc;
		uint8_t rand[16], sqn[6], amf[2], op[16], mac_a[8], mac_s[8];
		struct milenage m;
		struct milenage_keys keys;
		struct vector v;
		struct rd r;

		octets(s[0], &k, 16);
		octets(s[1], rand, 16);
		octets(s[2], sqn, 6);
		octets(s[3], amf, 2);
		octets(s[4], op, 16);
		assert_int_equal(milenage_opc(&k, op, &opc), OK);
		equal_hex(&opc, s[5]);
		assert_int_equal(milenage_open(&m, &k, &opc), OK);
		assert_int_equal(milenage_f1(&m, rand, sqn, amf, mac_a, mac_s), OK);
		equal_hex(mac_a, s[6]);
		equal_hex(mac_s, s[7]);
		assert_int_equal(milenage_keys(&m, rand, &keys), OK);
		equal_hex(keys.res, s[8]);
		equal_hex(keys.ck, s[9]);
		equal_hex(keys.ik, s[10]);
		equal_hex(keys.ak, s[11]);
		equal_hex(keys.ak_s, s[12]);
		r = rd_of(BYTES_OF(sqn));
		assert_int_equal(milenage_vector(&m, rand, rd_u48(&r), amf, &v), OK);
		equal_hex(v.kc, s[13]);
		equal_hex(v.autn + 8, s[6]);
		milenage_close(&m);
	}
}

static void usim_and_network_agree(void **state)
{
	struct secret k, opc;
	struct milenage m;
	struct milenage_keys keys;
	struct vector v;
	uint8_t rand[16], amf[2] = { 0, 1 }, got_amf[2], auts[14];
	uint64_t sqn = 0;

	(void)state;
	octets(aka_sets[0][0], &k, 16);
	octets(aka_sets[0][5], &opc, 16);
	octets(aka_sets[0][1], rand, 16);
	assert_int_equal(milenage_open(&m, &k, &opc), OK);
	assert_int_equal(milenage_vector(&m, rand, 0x123456789abcull & 0xffffffffffffull, amf, &v), OK);
	assert_int_equal(milenage_check(&m, v.rand, v.autn, &sqn, got_amf, &keys), OK);
	assert_true(sqn == 0x123456789abcull);
	assert_memory_equal(got_amf, amf, 2);
	assert_memory_equal(keys.res, v.res, 8);
	for (int bit = 0; bit < 128; bit++) { /* any flipped bit of AUTN is a MAC failure */
		v.autn[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(milenage_check(&m, v.rand, v.autn, &sqn, got_amf, &keys), ERR_AUTH);
		v.autn[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(milenage_auts(&m, rand, 77 << 5, auts), OK);
	assert_int_equal(milenage_auts_check(&m, rand, auts, &sqn), OK);
	assert_true(sqn == 77 << 5);
	auts[13] ^= 1;
	assert_int_equal(milenage_auts_check(&m, rand, auts, &sqn), ERR_AUTH);
	milenage_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sets_of_35_208), cmocka_unit_test(usim_and_network_agree) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
