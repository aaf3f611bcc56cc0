/* SPDX-License-Identifier: Apache-2.0 */
/* The USIM's doors: APDUs to the letter (TS 102 221, TS 31.102), the sequence array (TS 33.102 C.2), and discover's own vectors. */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/equipment/world.h"

static void apdus_to_the_letter(void **state)
{
	static const struct {
		const char *hex, *data;
		int sw;
	} rows[] = {
		{ "00b0000009", "", 0x6986 },                       /* nothing is selected */
		{ "00a4000c026f07", "", 0x6a82 },                   /* EF IMSI is not in the MF */
		{ "00a4040c07a0000000871004", "", 0x6a82 },         /* ISIM */
		{ "00a4040c05a000000087", "", 0x6a82 },
		{ "00a4040c10a0000000871002ffffffff8907090000", "", 0x9000 },
		{ "00b0000009", "", 0x6986 },                       /* the ADF is no EF */
		{ "00a4000c026f07", "", 0x9000 },
		{ "00b0000009", "089910070000000071", 0x9000 },     /* 901700000000017 */
		{ "00b0000000", "089910070000000071", 0x9000 },
		{ "00b0000104", "99100700", 0x9000 },
		{ "00b000000a", "", 0x6c09 },
		{ "00b0000805", "", 0x6c01 },
		{ "00b0000901", "", 0x6b00 },
		{ "00b0010001", "", 0x6b00 },
		{ "00b00000", "", 0x6700 },                         /* no Le */
		{ "00a4000c026f", "", 0x6700 },                     /* data missing */
		{ "00a4000c026f0700ff", "", 0x6700 },               /* too much */
		{ "00a4", "", 0x6700 },
		{ "", "", 0x6700 },
		{ "00a4000c026f08", "", 0x6a82 },
		{ "00b0000009", "089910070000000071", 0x9000 },     /* what was selected stays so */
		{ "00a40004026f07", "", 0x6a86 },                   /* asks for an FCP */
		{ "00a4010c026f07", "", 0x6a86 },
		{ "80b0000009", "", 0x6e00 },
		{ "00d6000001ff", "", 0x6d00 },                     /* UPDATE BINARY */
		{ "0020000108ffffffffffffffff", "", 0x6d00 },
		{ "0088008122", "", 0x6700 },
		{ "00880080020000", "", 0x6a86 },                   /* GSM context: a downgrade */
		{ "00880181020000", "", 0x6a86 },
		{ "00880081020000", "", 0x6700 },
		{ "008800812210000000000000000000000000000000001000000000000000000000000000000000", "", 0x9862 },
		{ "00880081221000000000000000000000000000000000100000000000000000000000000000000000", "", 0x9862 }, /* with Le */
		{ "00880081220f00000000000000000000000000000000001000000000000000000000000000000000", "", 0x6700 },
	};
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t in[64], want[16], answer[256];
		size_t n = 0, len = strlen(rows[i].hex) / 2, data = strlen(rows[i].data) / 2;
		int sw;

		assert_int_equal(hex_read(rows[i].hex, in, len), OK);
		assert_int_equal(hex_read(rows[i].data, want, data), OK);
		sw = apdu(w.t, 0, BYTES(in, len), answer, &n);
		if (sw != rows[i].sw || n != data || memcmp(answer, want, data))
			fail_msg("%s: %04x with %zu octets", rows[i].hex, (unsigned)sw, n);
	}
	world_free(&w);
}

/* What is selected on one card is not on another. */
static void every_slot_is_a_card(void **state)
{
	static const uint8_t imsi[] = { 0x00, 0xa4, 0x00, 0x0c, 0x02, 0x6f, 0x07 }, read[] = { 0x00, 0xb0, 0x00, 0x00, 0x09 };
	static const uint8_t aka[39] = { 0x00, 0x88, 0x00, 0x81, 0x22, 16, [22] = 16 };
	uint8_t answer[256];
	struct world w;
	size_t n;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	assert_int_equal(give_order(&w, "901700000000018"), OK);
	select_usim(w.t, 0);
	assert_int_equal(apdu(w.t, 0, BYTES_OF(imsi), answer, &n), 0x9000);
	assert_int_equal(apdu(w.t, 1, BYTES_OF(read), answer, &n), 0x6986);
	assert_int_equal(apdu(w.t, 1, BYTES_OF(aka), answer, &n), 0x6985); /* nothing is selected there */
	assert_int_equal(apdu(w.t, 0, BYTES_OF(read), answer, &n), 0x6986);
	assert_int_equal(tre_apdu(w.t, 2, BYTES_OF(read), answer, &n), ERR_MISSING);
	assert_int_equal(tre_apdu(w.t, -1, BYTES_OF(read), answer, &n), ERR_MISSING);
	assert_int_equal(tre_apdu(w.t, SLOT_USIM, BYTES_OF(read), answer, &n), ERR_MISSING);
	assert_int_equal(tre_apdu(w.t, SLOT_USIM + 2, BYTES_OF(read), answer, &n), ERR_MISSING);
	world_free(&w);
}

/* --- the sequence array --- */

/* 'k': taken; 's': AUTS, which says SEQ_MS seq; 'm': MAC failure. */
static char give(struct world *w, int slot, uint64_t seq, unsigned ind, uint16_t amf, uint64_t *seq_ms)
{
	struct vector v;
	struct milenage m;
	uint8_t answer[256];
	size_t n;
	uint64_t sqn = 0;
	int sw;

	vector(slot >= SLOT_USIM ? &w->usim : &w->keys, seq, ind, amf, &v);
	sw = authenticate(w->t, slot, &v, answer, &n);
	if (sw == 0x9862)
		return 'm';
	assert_int_equal(sw, 0x9000);
	if (answer[0] == 0xdb) {
		assert_int_equal(n, 1 + 9 + 17 + 17);
		assert_memory_equal(answer + 2, v.res, 8);
		assert_memory_equal(answer + 11, v.ck, 16);
		assert_memory_equal(answer + 28, v.ik, 16);
		return 'k';
	}
	assert_int_equal(n, 16);
	assert_memory_equal(answer, "\xdc\x0e", 2);
	assert_int_equal(milenage_open(&m, slot >= SLOT_USIM ? &w->usim.k : &w->keys.k, slot >= SLOT_USIM ? &w->usim.opc : &w->keys.opc), OK);
	assert_int_equal(milenage_auts_check(&m, v.rand, answer + 2, &sqn), OK);
	milenage_close(&m);
	*seq_ms = sqn >> 5;
	return 's';
}

static void the_sequence_array(void **state)
{
	static const uint64_t delta = 1ull << 28;
	const struct {
		uint64_t seq;
		unsigned ind;
		char is;
		uint64_t ms;
	} rows[] = {
		{ 0, 0, 's', 0 }, { 1, 0, 'k', 0 }, { 1, 0, 's', 1 }, { 1, 1, 'k', 0 }, { 9, 2, 'k', 0 }, { 5, 1, 'k', 0 }, { 5, 1, 's', 9 }, { 4, 1, 's', 9 },
		{ 2, 27, 'k', 0 }, { 9 + delta + 1, 3, 's', 9 }, { 9 + delta, 3, 'k', 0 }, { 10, 2, 'k', 0 }, { 9 + 2 * delta + 1, 3, 's', 9 + delta },
		{ (1ull << 43) - 1, 4, 's', 9 + delta },
	};
	struct world w;
	uint64_t ms = 0;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char is = give(&w, 0, rows[i].seq, rows[i].ind, 0, &ms);

		if (is != rows[i].is || (is == 's' && ms != rows[i].ms))
			fail_msg("row %zu: %c, SEQ_MS %llu", i, is, (unsigned long long)ms);
	}
	/* taken for good, before the answer left */
	world_again(&w);
	assert_int_equal(give(&w, 0, 10, 2, 0, &ms), 's');
	assert_int_equal(ms, 9 + delta);
	assert_int_equal(give(&w, 0, 11, 2, 0, &ms), 'k');
	world_free(&w);
}

/* If it cannot be kept, nothing is answered. */
static void no_answer_without_its_memory(void **state)
{
	struct vector v;
	uint8_t answer[256];
	char line[200];
	struct world w;
	size_t n;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	vector(&w.keys, 1, 0, 0, &v);
	snprintf(line, sizeof(line), "mv '%s' '%s.away'", w.dir, w.dir);
	assert_int_equal(system(line), 0);
	assert_int_equal(authenticate(w.t, 0, &v, answer, &n), 0x6581);
	assert_int_equal(n, 0);
	snprintf(line, sizeof(line), "mv '%s.away' '%s'", w.dir, w.dir);
	assert_int_equal(system(line), 0);
	assert_int_equal(authenticate(w.t, 0, &v, answer, &n), 0x9000); /* it was not taken */
	assert_int_equal(answer[0], 0xdb);
	world_free(&w);
}

/* --- each vector serves one use --- */

static enum err discover(struct world *w, uint64_t seq, unsigned ind, uint16_t amf, struct digest *d)
{
	struct vector v;
	uint8_t nonce[32];
	char text[64], line[DIGEST_LINE];
	enum err e;

	vector(&w->keys, seq, ind, amf, &v);
	memcpy(nonce, v.rand, 16);
	memcpy(nonce + 16, v.autn, 16);
	assert_int_equal(b64_of(BYTES_OF(nonce), text, sizeof(text)), OK);
	e = tre_discover(w->t, 0, (struct discover_ask){ "registration.example", "/v1/discover", text }, line, &w->why);
	if (!e)
		assert_int_equal(digest_read(line, d), OK);
	return e;
}

static void vectors_serve_one_use(void **state)
{
	struct world w;
	struct digest d;
	uint64_t ms = 0;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	/* at the network's door: what is discover's by its mark or by its IND is not answered, nor taken */
	assert_int_equal(give(&w, 0, 7, 28, 1, &ms), 'm');
	assert_int_equal(give(&w, 0, 7, 0, 1, &ms), 'm');
	assert_int_equal(give(&w, 0, 7, 28, 0, &ms), 'm');
	assert_int_equal(give(&w, 0, 7, 31, 0x8000, &ms), 'm');
	assert_int_equal(give(&w, 0, 7, 27, 0x8000, &ms), 'k');
	/* at discover's door the other way round */
	assert_int_equal(discover(&w, 8, 0, 0, &d), ERR_AUTH);
	assert_int_equal(discover(&w, 8, 28, 0, &d), ERR_AUTH);
	assert_int_equal(discover(&w, 8, 27, 1, &d), ERR_AUTH);
	assert_int_equal(discover(&w, 8, 31, 0x8001, &d), ERR_AUTH);
	assert_int_equal(discover(&w, 8, 28, 1, &d), OK);
	assert_int_equal(strlen(d.response), 64);
	assert_string_equal(d.username, "901700000000017");
	assert_int_equal(strlen(d.cnonce), 32);
	assert_string_equal(d.auts, "");
	/* used once: AUTS and no response that proves anything */
	assert_int_equal(discover(&w, 8, 28, 1, &d), OK);
	assert_int_equal(strlen(d.auts), 20);
	assert_string_equal(d.cnonce, "");
	/* only for the order's realm, and only well-formed challenges */
	{
		char line[DIGEST_LINE];

		assert_int_equal(tre_discover(w.t, 0, (struct discover_ask){ "evil.example", "/v1/discover", "" }, line, &w.why), ERR_DENIED);
		assert_int_equal(tre_discover(w.t, 1, (struct discover_ask){ "registration.example", "/v1/discover", "" }, line, &w.why), ERR_MISSING);
		assert_int_equal(tre_discover(w.t, 0, (struct discover_ask){ "registration.example", "/v1/discover", "AAAA" }, line, &w.why), ERR_FORMAT);
	}
	/* a USIM of an operator has every IND, and no discover */
	w.seq = 100;
	until_installed(&w);
	{
		int slot;

		assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), OK);
		assert_int_equal(give(&w, slot, 1, 31, 0, &ms), 'k');
		assert_int_equal(give(&w, slot, 2, 31, 1, &ms), 'm');
	}
	world_free(&w);
}

/* --- networks --- */

static void networks_by_rank(void **state)
{
	struct world w;
	int slot;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	assert_int_equal(tre_rank(w.t, 0, "001-01"), 0); /* the order allows every network */
	assert_int_equal(tre_rank(w.t, 0, "901-70"), 0); /* a PIMSI's own digits are nothing special */
	assert_int_equal(tre_rank(w.t, 1, "001-01"), -1);
	until_triggered(&w);
	make_profile(&w);
	w.p.minimal.selector.n = 2;
	strcpy(w.p.minimal.selector.item[0], "001-02");
	strcpy(w.p.minimal.selector.item[1], "001-01");
	w.p.minimal.forbidden.n = 2;
	strcpy(w.p.minimal.forbidden.item[0], "001-09");
	strcpy(w.p.minimal.forbidden.item[1], "262-42"); /* home is never forbidden */
	assert_int_equal(package_signed(&w, &w.hss), OK);
	assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), OK);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), OK);
	assert_int_equal(tre_rank(w.t, slot, "262-42"), 0);
	assert_int_equal(tre_rank(w.t, slot, "001-02"), 1);
	assert_int_equal(tre_rank(w.t, slot, "001-01"), 2);
	assert_int_equal(tre_rank(w.t, slot, "001-05"), 3);
	assert_int_equal(tre_rank(w.t, slot, "001-09"), -1);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(apdus_to_the_letter), cmocka_unit_test(every_slot_is_a_card),
		cmocka_unit_test(the_sequence_array), cmocka_unit_test(no_answer_without_its_memory), cmocka_unit_test(vectors_serve_one_use),
		cmocka_unit_test(networks_by_rank) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
