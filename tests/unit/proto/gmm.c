/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gmm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>

#include "osmo_llc.h"
#include "proto/gsmtap.h"
#include "proto/llc.h"

/* Frames and messages that osmo-sgsn sent or took are read; Attach Accept, A&C Request and PDP Reject are written alike. */
static void osmocom_bytes(void **state)
{
	int n_read = 0, alike = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(osmo_llc) / sizeof(*osmo_llc); i++) {
		size_t n = strlen(osmo_llc[i].hex) / 2, len = 0;
		uint8_t in[512], out[512];
		struct llc f;
		struct nas m;

		assert_int_equal(hex_read(osmo_llc[i].hex, in, n), OK);
		assert_int_equal(llc_read(BYTES(in, n), &f), OK);
		assert_int_equal(llc_write(&f, out, sizeof(out), &len), OK);
		assert_int_equal(len, n);
		assert_memory_equal(in, out, n);
		assert_int_equal(f.sapi, LLC_GMM);
		assert_int_equal(nas_read(f.info, osmo_llc[i].down, &m), OK);
		assert_string_equal(nas_name((int)m.type), osmo_llc[i].what);
		n_read++;
		assert_int_equal(nas_write(&m, osmo_llc[i].down, out, sizeof(out), &len), OK);
		if (len == f.info.n && !memcmp(out, f.info.p, len))
			alike++;
		else
			assert_true(strstr(osmo_llc[i].what, "Activate PDP Context Accept") || !osmo_llc[i].down);
		in[n / 2] ^= 4;
		assert_int_equal(llc_read(BYTES(in, n), &f), ERR_AUTH);
	}
	assert_true(n_read >= 18);
	assert_true(alike >= 9);
}

static void fields(void **state)
{
	struct nas m = { .type = SM_ACTIVATE_ACCEPT, .ti_flag = 1, .has_address = 1, .address = { 10, 45, 0, 1 }, .has_user = 1,
		.user = { .plmn = "310-260", .ipv4 = { 127, 0, 0, 1 }, .port = 40001 } }, back;
	uint8_t out[NAS_MAX];
	size_t n;

	(void)state;
	memset(m.user.token, 7, sizeof(m.user.token));
	assert_int_equal(nas_write(&m, 1, out, sizeof(out), &n), OK);
	assert_int_equal(nas_read(BYTES(out, n), 1, &back), OK);
	assert_memory_equal(&m.user, &back.user, sizeof(m.user));
	assert_memory_equal(back.address, m.address, 4);
	m = (struct nas){ .type = GMM_AUTH_FAILURE, .cause = CAUSE_SYNCH_FAILURE, .has_auts = 1 };
	assert_int_equal(nas_write(&m, 0, out, sizeof(out), &n), OK);
	assert_int_equal(nas_read(BYTES(out, n), 0, &back), OK);
	assert_true(back.has_auts);
	for (size_t cut = 0; cut + 1 < n; cut++) /* a cut message is refused or reads without the cut element, never over */
		(void)!nas_read(BYTES(out, cut), 0, &back);
	m = (struct nas){ .type = GMM_ATTACH_REQUEST, .cksn = 7, .attach_type = 1, .r99 = 1, .id = "901700000000001" };
	assert_int_equal(nas_write(&m, 0, out, sizeof(out), &n), OK);
	assert_int_equal(nas_read(BYTES(out, n), 0, &back), OK);
	assert_string_equal(back.id, "901700000000001");
	assert_int_equal(back.cksn, 7);
	assert_true(back.r99);
}

static void system_information(void **state)
{
	struct cell_info c = { "310-260", 0x1234, 0x5678, 9, 2, 0 }, back = { 0 };
	uint8_t si3[23], si13[23];
	int which;

	(void)state;
	assert_int_equal(si3_write(&c, si3), OK);
	assert_int_equal(si13_write(&c, si13), OK);
	assert_int_equal(si_read(BYTES_OF(si3), &which, &back), OK);
	assert_int_equal(which, 3);
	assert_int_equal(si_read(BYTES_OF(si13), &which, &back), OK);
	assert_int_equal(which, 13);
	assert_string_equal(c.plmn, back.plmn);
	assert_true(c.lac == back.lac && c.cell == back.cell && c.rac == back.rac && c.nmo == back.nmo && c.barred == back.barred);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(osmocom_bytes), cmocka_unit_test(fields), cmocka_unit_test(system_information) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
