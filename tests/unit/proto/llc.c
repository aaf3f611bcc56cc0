/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/llc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

#include "osmo_llc.h"

enum { FRAMES = sizeof(osmo_llc) / sizeof(*osmo_llc), ROOM = 2048 };

static size_t frame(size_t i, uint8_t dst[ROOM])
{
	size_t n = strlen(osmo_llc[i].hex) / 2;

	assert_int_equal(hex_read(osmo_llc[i].hex, dst, n), OK);
	return n;
}

/* Osmocom's frames: every bit counts, and so does every octet's being there. */
static void every_bit(void **state)
{
	(void)state;
	for (size_t i = 0; i < FRAMES; i++) {
		uint8_t in[ROOM];
		size_t n = frame(i, in);
		struct llc f;

		assert_int_equal(llc_read(BYTES(in, n), &f), OK);
		assert_int_equal(f.sapi, LLC_GMM);
		assert_int_equal(f.info.n, n - 6);
		for (size_t bit = 0; bit < 8 * n; bit++) {
			enum err e;

			in[bit / 8] ^= (uint8_t)(1 << bit % 8);
			e = llc_read(BYTES(in, n), &f);
			/* the E bit alone says that nothing can be checked here: such a frame is not read as NAS */
			assert_true(bit == 17 ? e == OK && f.ciphered : e == ERR_AUTH || e == ERR_UNSUPPORTED);
			in[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(llc_read(BYTES(in, cut), &f), cut < 6 ? ERR_SHORT : ERR_AUTH);
	}
}

/* What is no protected UI frame (TS 44.064 6.4.1): I, S and U frames, unprotected UI, another protocol discriminator. */
static void other_frames(void **state)
{
	static const struct {
		uint8_t addr, c1, c2;
	} not_ours[] = { { 0x01, 0x00, 0x01 }, { 0x01, 0x80, 0x01 }, { 0x01, 0xe0, 0x01 }, { 0x01, 0xfb, 0x01 }, { 0x01, 0xc0, 0x00 }, { 0x81, 0xc0, 0x01 } };
	static const uint8_t xid[] = { 0x43, 0xfb, 0x01, 0x00, 0x16, 0x01, 0xf4, 0x1a, 0x05, 0xdf, 0x8c, 0x7c, 0x4e }; /* osmo-sgsn's, SAPI 3 */
	struct llc f;

	(void)state;
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(*not_ours); i++) {
		uint8_t in[] = { not_ours[i].addr, not_ours[i].c1, not_ours[i].c2, 8, 3, 0, 0, 0 };

		assert_int_equal(llc_read(BYTES_OF(in), &f), ERR_UNSUPPORTED);
	}
	assert_int_equal(llc_read(BYTES_OF(xid), &f), ERR_UNSUPPORTED);
}

static void limits(void **state)
{
	static uint8_t info[LLC_INFO_MAX + 1], out[ROOM];
	struct llc f = { .sapi = LLC_GMM, .nu = 511, .info = BYTES(info, LLC_INFO_MAX) }, back;
	size_t n = 0;

	(void)state;
	assert_int_equal(llc_write(&f, out, sizeof(out), &n), OK);
	assert_int_equal(llc_read(BYTES(out, n), &back), OK);
	assert_int_equal(back.nu, 511);
	assert_int_equal(llc_write(&f, out, n - 1, &n), ERR_LIMIT);
	f.info.n++;
	assert_int_equal(llc_write(&f, out, sizeof(out), &n), OK);
	assert_int_equal(llc_read(BYTES(out, n), &back), ERR_LIMIT);
}

/* N(U) of 9 bits on a circle: the same one is a repetition, half a circle on is older (TS 44.064 8.4.2). */
static void newer(void **state)
{
	(void)state;
	for (int last = 0; last < LLC_NU; last++)
		for (int on = 0; on < LLC_NU; on++)
			assert_int_equal(llc_newer((uint16_t)((last + on) % LLC_NU), (uint16_t)last), on >= 1 && on <= 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_bit), cmocka_unit_test(other_frames), cmocka_unit_test(limits), cmocka_unit_test(newer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
