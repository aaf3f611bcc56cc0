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

#define IMSI_IE 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf1

static void nothing_twice(void **state)
{
	static const uint8_t imsi[] = { GSUP_SAI_REQ, IMSI_IE, 1, 8, 0, 1, 1, 0, 0, 0, 0, 0xf2 };
	static const uint8_t cause[] = { GSUP_SAI_ERR, IMSI_IE, 2, 1, 8, 2, 1, 17 };
	static const uint8_t unknown[] = { GSUP_SAI_REQ, IMSI_IE, 0x99, 1, 0, 0x99, 1, 0 };
	struct gsup m;

	(void)state;
	assert_int_equal(gsup_read(BYTES_OF(imsi), &m), ERR_FORMAT);
	assert_int_equal(gsup_read(BYTES_OF(cause), &m), ERR_FORMAT);
	assert_int_equal(gsup_read(BYTES_OF(unknown), &m), OK);
}

/* Every element that is empty or one octet short: refused, but for the two that are empty by definition. */
static void empty_elements(void **state)
{
	static const uint8_t tags[] = { 1, 2, 3, 5, 6, 0x20, 0x26, 0x28 };
	static const uint8_t empty_is_right[] = { 4, 9 }; /* PDP complete; HLR number, as osmo-sgsn sends it */
	struct gsup m;

	(void)state;
	for (size_t i = 0; i < sizeof(tags); i++) {
		uint8_t in[] = { GSUP_SAI_REQ, IMSI_IE, tags[i], 0 };

		assert_int_not_equal(gsup_read(BYTES_OF(in), &m), OK);
	}
	for (size_t i = 0; i < sizeof(empty_is_right); i++) {
		uint8_t in[] = { GSUP_SAI_REQ, IMSI_IE, empty_is_right[i], 0 };

		assert_int_equal(gsup_read(BYTES_OF(in), &m), OK);
	}
}

/* A result's vector is whole: each part left out or given twice is refused. Five vectors, not six. */
static void whole_vectors(void **state)
{
	struct gsup m = { .type = GSUP_SAI_RES, .imsi = "001011000000001", .cancel_type = -1, .vectors = 1 }, back;
	static const uint8_t lengths[] = { 16, 4, 8, 16, 16, 16, 8 };
	uint8_t one[256], in[1024];
	size_t n, head = 11, tuple = 98, at = head + 2;

	(void)state;
	assert_int_equal(gsup_write(&m, one, sizeof(one), &n), OK);
	assert_int_equal(n, head + 2 + tuple);
	assert_int_equal(gsup_read(BYTES(one, n), &back), OK);
	for (size_t i = 0; i < sizeof(lengths); i++) {
		size_t part = 2 + (size_t)lengths[i];

		memcpy(in, one, at);
		memcpy(in + at, one + at + part, n - at - part);
		memcpy(in + head + 2, one + head + 2, at - head - 2);
		in[head + 1] = (uint8_t)(tuple - part);
		assert_int_equal(gsup_read(BYTES(in, n - part), &back), ERR_MISSING);
		memcpy(in, one, n);
		memcpy(in + n, one + at, part);
		in[head + 1] = (uint8_t)(tuple + part);
		assert_int_equal(gsup_read(BYTES(in, n + part), &back), ERR_FORMAT);
		at += part;
	}
	for (int count = 0; count <= 6; count++) {
		static const enum err want[] = { ERR_MISSING, OK, OK, OK, OK, OK, ERR_LIMIT };
		size_t len = head;

		memcpy(in, one, head);
		for (int i = 0; i < count; i++, len += tuple + 2)
			memcpy(in + len, one + head, tuple + 2);
		assert_int_equal(gsup_read(BYTES(in, len), &back), want[count]);
	}
	m.vectors = GSUP_VECTORS + 1;
	assert_int_equal(gsup_write(&m, one, sizeof(one), &n), ERR_RANGE);
}

static void resynchronisation(void **state)
{
	static const char hex[] = "08010800010100000000f1260e000102030405060708090a0b0c0d2010101112131415161718191a1b1c1d1e1f280101";
	uint8_t in[64], out[64];
	size_t n = 0;
	struct gsup m;

	(void)state; /* AUTS 26, RAND 20, CN domain last: as osmo-sgsn sends it */
	assert_int_equal(hex_read(hex, in, sizeof(hex) / 2), OK);
	assert_int_equal(gsup_read(BYTES(in, sizeof(hex) / 2), &m), OK);
	assert_true(m.has_auts);
	assert_int_equal(m.auts[13], 0x0d);
	assert_int_equal(m.rand[0], 0x10);
	assert_int_equal(m.cn_domain, 1);
	assert_int_equal(gsup_write(&m, out, sizeof(out), &n), OK);
	assert_int_equal(n, sizeof(hex) / 2);
	assert_memory_equal(in, out, n);
	for (size_t cut = 1; cut < n; cut++) { /* cut inside an element: short; at its end: whatever still makes sense */
		enum err e = gsup_read(BYTES(in, cut), &m);

		assert_true(e == (cut == 11 || cut == 45 ? OK : cut == 1 || cut == 27 ? ERR_MISSING : ERR_SHORT));
	}
}

static void apn_labels(void **state)
{
	static const uint8_t dot[] = { 3, 'a', '.', 'b' }, empty[] = { 1, 'a', 0 }, over[] = { 5, 'a' };
	uint8_t out[101];
	char text[101];
	struct wr w = wr_of(out, sizeof(out));

	(void)state;
	assert_int_equal(apn_labels_write("prov.usher", &w), OK);
	assert_int_equal(w.n, 11);
	assert_memory_equal(out, "\4prov\5usher", 11);
	assert_int_equal(apn_labels_read(wr_view(&w), text, sizeof(text)), OK);
	assert_string_equal(text, "prov.usher");
	assert_int_equal(apn_labels_read(wr_view(&w), text, 10), ERR_LIMIT);
	assert_int_equal(apn_labels_read(BYTES_OF(dot), text, sizeof(text)), ERR_FORMAT);
	assert_int_equal(apn_labels_read(BYTES_OF(empty), text, sizeof(text)), ERR_FORMAT);
	assert_int_equal(apn_labels_read(BYTES_OF(over), text, sizeof(text)), ERR_SHORT);
	assert_int_equal(apn_labels_write("a..b", &w), ERR_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(osmocom_bytes), cmocka_unit_test(bad_bytes), cmocka_unit_test(nothing_twice),
		cmocka_unit_test(empty_elements), cmocka_unit_test(whole_vectors), cmocka_unit_test(resynchronisation), cmocka_unit_test(apn_labels) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
