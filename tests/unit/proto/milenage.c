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
		uint8_t rand[16], sqn[6], amf[2], mac_a[8], mac_s[8];
		struct milenage m;
		struct milenage_keys keys;
		struct vector v;
		struct rd r;

		octets(s[0], &k, 16);
		octets(s[1], rand, 16);
		octets(s[2], sqn, 6);
		octets(s[3], amf, 2);
		octets(s[5], &opc, 16);
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

/* One context, keyed for each set in turn, gives what a context of its own gives. */
static void keyed_again(void **state)
{
	const struct secret none = { { 0 } };
	struct milenage m;

	(void)state;
	assert_int_equal(milenage_open(&m, &none, &none), OK);
	for (int i = 19; i >= 0; i--) {
		struct secret k, opc;
		uint8_t rand[16], sqn[6], amf[2];
		struct vector v;
		struct rd r;

		octets(aka_sets[i][0], &k, 16);
		octets(aka_sets[i][1], rand, 16);
		octets(aka_sets[i][2], sqn, 6);
		octets(aka_sets[i][3], amf, 2);
		octets(aka_sets[i][5], &opc, 16);
		r = rd_of(BYTES_OF(sqn));
		assert_int_equal(milenage_key(&m, &k, &opc), OK);
		assert_int_equal(milenage_vector(&m, rand, rd_u48(&r), amf, &v), OK);
		equal_hex(v.res, aka_sets[i][8]);
		equal_hex(v.ck, aka_sets[i][9]);
		equal_hex(v.ik, aka_sets[i][10]);
		equal_hex(v.autn + 8, aka_sets[i][6]);
		for (int j = 0; j < 6; j++) /* AUTN = SQN xor AK || AMF || MAC-A */
			v.autn[j] ^= sqn[j];
		equal_hex(v.autn, aka_sets[i][11]);
		equal_hex(v.autn + 6, aka_sets[i][3]);
		equal_hex(v.kc, aka_sets[i][13]);
	}
	milenage_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(sets_of_35_208), cmocka_unit_test(usim_and_network_agree),
		cmocka_unit_test(keyed_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
