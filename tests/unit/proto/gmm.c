/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gmm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
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

static enum err read_hex(const char *hex, int down, struct nas *m)
{
	uint8_t in[NAS_MAX];
	size_t n = strlen(hex) / 2;

	assert_int_equal(hex_read(hex, in, n), OK);
	return nas_read(BYTES(in, n), down, m);
}

/* Every message of Osmocom's cut at every length: inside the mandatory part short, never read over, and never half an identity. */
static void cut_messages(void **state)
{
	static const struct {
		const char *what;
		size_t mandatory; /* octets with the head */
	} parts[] = { { "Attach Request", 0 }, { "Attach Accept", 11 }, { "Attach Complete", 2 }, { "Identity Request", 3 }, { "Identity Response", 11 },
		{ "Authentication and Ciphering Req", 4 }, { "Authentication and Ciphering Resp", 3 }, { "Activate PDP Context Request", 19 },
		{ "Activate PDP Context Accept", 19 }, { "Activate PDP Context Reject", 3 }, { "Detach Request", 3 }, { "Detach Accept", 3 } };

	(void)state;
	for (size_t i = 0; i < sizeof(osmo_llc) / sizeof(*osmo_llc); i++) {
		size_t n = strlen(osmo_llc[i].hex) / 2, must = 0;
		uint8_t in[512], room[512];
		struct llc f;
		struct nas m;

		assert_int_equal(hex_read(osmo_llc[i].hex, in, n), OK);
		assert_int_equal(llc_read(BYTES(in, n), &f), OK);
		for (size_t p = 0; p < sizeof(parts) / sizeof(*parts); p++)
			if (!strcmp(parts[p].what, osmo_llc[i].what))
				must = parts[p].mandatory ? parts[p].mandatory : f.info.n;
		assert_true(must);
		for (size_t cut = 0; cut <= f.info.n; cut++) {
			enum err e;

			memcpy(room + sizeof(room) - cut, f.info.p, cut); /* the sanitizer stands behind the last octet */
			e = nas_read(BYTES(room + sizeof(room) - cut, cut), osmo_llc[i].down, &m);
			assert_true(cut < must ? e == ERR_SHORT : e == OK || e == ERR_SHORT);
			assert_true(cut < must || cut < f.info.n || e == OK);
		}
	}
}

static void identities(void **state)
{
	static const char head[] = "0801" "026100" "71" "0a00", tail[] = "fffffffffeff" "021918";
	static const struct {
		const char *ie;
		int type;
		const char *digits;
	} rows[] = {
		{ "080910100000000010", ID_IMSI, "001010000000001" }, /* as osmo-sgsn took it */
		{ "0801" "325476981032f4", ID_IMSI, "02345678901234" }, /* an even number of digits ends with filler F */
		{ "05f4dd1247f8", ID_PTMSI, "" },
		{ "0809101000a0000010", 0, "" },  /* a digit that is none */
		{ "08f9101000000000f0", 0, "" },
		{ "0801325476981032" "54", 0, "" }, /* even, and no filler */
		{ "0c0910100000000010" "00000010", 0, "" }, /* longer than any identity */
		{ "04f4dd1247", 0, "" },
		{ "00", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char hex[256];
		struct nas m;

		snprintf(hex, sizeof(hex), "%s%s%s", head, rows[i].ie, tail);
		assert_int_equal(read_hex(hex, 0, &m), OK);
		assert_int_equal(m.id_type, rows[i].type);
		assert_string_equal(m.id, rows[i].digits);
		assert_string_equal(m.rai.plmn, "");
		assert_int_equal(m.rai.lac, 0xfffe);
	}
}

/* Optional elements by their format (TS 24.007 11.2.4): TV of the message's own, unknown ones as TLV or one octet, and what runs over. */
static void optional_elements(void **state)
{
	static const char attach[] = "0801" "026100" "71" "0a00" "080910100000000010" "fffffffffeff" "021918";
	static const struct {
		const char *more;
		enum err want;
	} rows[] = { { "", OK }, { "19aabbcc" "1721", OK }, { "9c", OK }, { "3301ff" "9c" "1721", OK }, { "19aabb", ERR_SHORT }, { "17", ERR_SHORT },
		{ "3305ff", ERR_SHORT }, { "33", ERR_SHORT } };
	struct nas m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char hex[256];

		snprintf(hex, sizeof(hex), "%s%s", attach, rows[i].more);
		assert_int_equal(read_hex(hex, 0, &m), rows[i].want);
	}
	/* a challenge is one with both RAND and AUTN, of the right lengths */
	assert_int_equal(read_hex("08120000" "21" "00112233445566778899aabbccddeeff" "2810" "00112233445566778899aabbccddeeff", 1, &m), OK);
	assert_true(m.has_aka);
	assert_int_equal(read_hex("08120000" "21" "00112233445566778899aabbccddeeff", 1, &m), OK);
	assert_false(m.has_aka);
	assert_int_equal(read_hex("08120000" "21" "00112233445566778899aabbccddeeff" "280f" "00112233445566778899aabbccddee", 1, &m), OK);
	assert_false(m.has_aka);
	/* RES of 4 octets, of 8, and one that is too long to be one; AUTS that is too short */
	assert_int_equal(read_hex("081300" "2201020304", 0, &m), OK);
	assert_int_equal(m.res_n, 4);
	assert_int_equal(read_hex("081300" "2201020304" "290405060708", 0, &m), OK);
	assert_int_equal(m.res_n, 8);
	assert_int_equal(read_hex("081300" "2201020304" "290d05060708090a0b0c0d0e0f1011", 0, &m), OK);
	assert_int_equal(m.res_n, 4);
	assert_int_equal(read_hex("081c15" "300d000102030405060708090a0b0c", 0, &m), OK);
	assert_false(m.has_auts);
}

static void not_for_us(void **state)
{
	static const struct {
		const char *hex;
		enum err want;
	} rows[] = { { "", ERR_SHORT }, { "08", ERR_SHORT }, { "1803", ERR_UNSUPPORTED }, { "0803", OK }, { "0877", ERR_UNSUPPORTED }, { "0503", ERR_UNSUPPORTED },
		{ "7a4701", ERR_UNSUPPORTED }, { "fa47", ERR_UNSUPPORTED }, { "ea47", OK } };
	uint8_t big[NAS_MAX + 1] = { 8, 3 };
	struct nas m;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(read_hex(rows[i].hex, 0, &m), rows[i].want);
	assert_int_equal(nas_read(BYTES_OF(big), 0, &m), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(osmocom_bytes), cmocka_unit_test(fields), cmocka_unit_test(system_information),
		cmocka_unit_test(cut_messages), cmocka_unit_test(identities), cmocka_unit_test(optional_elements), cmocka_unit_test(not_for_us) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
