/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tre's doors. The first octet of an input says which; APDUs come as {length, octets}, to the PIMSI or (second octet odd) the USIM
 * on trial. To another door: the octets as they are, or (second octet odd) edits {offset, offset, xor} of the genuine object that the
 * tre waits for. Nothing but that object may be taken. USHER_FUZZ_SEEDS names a folder that gets each door's genuine object as an input.
 */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/equipment/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* --- until the tre waits at the door, and the object that it waits for --- */

static struct bytes before_order(struct world *w)
{
	make_order(w, "901700000000018");
	return BYTES(w->order, w->order_n);
}

static struct bytes before_route(struct world *w)
{
	assert_int_equal(ask_discover(w), OK);
	make_discover(w);
	sign(OBJECT_DISCOVER, &w->d, &w->registration, w->discover, &w->discover_n);
	return BYTES(w->discover, w->discover_n);
}

static struct bytes before_answer(struct world *w)
{
	assert_int_equal(ask_discover(w), OK);
	assert_int_equal(give_discover(w), OK);
	make_challenge(w);
	return BYTES(w->challenge, w->challenge_n);
}

static struct bytes before_trigger(struct world *w)
{
	(void)before_answer(w);
	assert_int_equal(give_challenge(w), OK);
	make_trigger(w);
	return BYTES(w->trigger, w->trigger_n);
}

static struct bytes before_package(struct world *w)
{
	until_triggered(w);
	make_profile(w);
	make_package(w, &w->hss);
	return BYTES(w->package, w->package_n);
}

static struct bytes before_ocsp(struct world *w)
{
	until_triggered(w);
	assert_int_equal(give_package(w), OK);
	assert_int_equal(make_ocsp(w, w->now, OCSP_GOOD), OK);
	return BYTES(w->ocsp, w->ocsp_n);
}

static struct bytes before_ack(struct world *w)
{
	until_committed(w);
	make_ack(w);
	return BYTES(w->ack, w->ack_n);
}

static struct bytes before_apdu(struct world *w)
{
	int slot;

	until_installed(w);
	assert_int_equal(tre_slot(w->t, TRE_TRIAL, &slot, &w->why), OK);
	assert_int_equal(slot, SLOT_USIM);
	return BYTES(NULL, 0);
}

/* --- knocking --- */

static enum err knock_order(struct world *w, struct bytes in)
{
	char pimsi[DIGITS_MAX];

	return tre_load_order(w->t, in, pimsi, &w->why);
}

static enum err knock_route(struct world *w, struct bytes in)
{
	return tre_route(w->t, in, NULL, &w->why);
}

static enum err knock_answer(struct world *w, struct bytes in)
{
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e = tre_answer(w->t, in, &der, &n, &w->why);

	if (e && der)
		abort();
	OPENSSL_free(der);
	return e;
}

static enum err knock_trigger(struct world *w, struct bytes in)
{
	struct trigger out;

	return tre_take_trigger(w->t, in, &out, &w->why);
}

static enum err knock_package(struct world *w, struct bytes in)
{
	return tre_take_package(w->t, in, &w->why);
}

/* Whatever it is, the package stays. */
static enum err knock_ocsp(struct world *w, struct bytes in)
{
	enum err e = tre_ocsp(w->t, in, &w->why);
	struct discover_answer who;

	if (e && (e != ERR_UNAVAILABLE || !tre_sealed(w->t, &who)))
		abort();
	return e;
}

static enum err knock_ack(struct world *w, struct bytes in)
{
	return tre_ack(w->t, in, &w->why);
}

static enum err knock_apdu(struct world *w, struct bytes in);

static const struct {
	const char *name;
	struct bytes (*before)(struct world *w);
	enum err (*knock)(struct world *w, struct bytes in);
} doors[] = {
	{ "apdu", before_apdu, knock_apdu }, { "order", before_order, knock_order }, { "route", before_route, knock_route },
	{ "answer", before_answer, knock_answer }, { "trigger", before_trigger, knock_trigger }, { "package", before_package, knock_package },
	{ "ocsp", before_ocsp, knock_ocsp }, { "ack", before_ack, knock_ack },
};
enum { DOORS = sizeof(doors) / sizeof(*doors), APDU = 0 };

static struct world worlds[DOORS];
static struct bytes genuine[DOORS];

static void leave(void)
{
	for (int i = 0; i < DOORS; i++)
		if (worlds[i].t)
			world_free(worlds + i);
}

static void seed(int door)
{
	const uint8_t head[2] = { (uint8_t)door, 0 };
	char path[512];
	FILE *f;

	if (!getenv("USHER_FUZZ_SEEDS") || !genuine[door].n)
		return;
	snprintf(path, sizeof(path), "%s/%s", getenv("USHER_FUZZ_SEEDS"), doors[door].name);
	f = fopen(path, "w");
	assert_non_null(f);
	fwrite(head, 1, sizeof(head), f);
	fwrite(genuine[door].p, 1, genuine[door].n, f);
	fclose(f);
}

static struct world *world_at(int door)
{
	static int begun;
	struct world *w = worlds + door;

	if (!begun++)
		atexit(leave);
	if (!w->t) {
		world_new(w);
		world_manufacture(w);
		genuine[door] = doors[door].before(w);
		seed(door);
	}
	return w;
}

/* --- APDUs --- */

static int shows(const uint8_t *answer, size_t n, const struct secret *k)
{
	for (size_t i = 0; i + sizeof(k->octet) <= n; i++)
		if (!memcmp(answer + i, k->octet, sizeof(k->octet)))
			return 1;
	return 0;
}

/* One octet is no APDU: here it stands for AUTHENTICATE with a vector of the right K, fresh or used, of this IND, for discover or not. */
static size_t genuine_authenticate(struct world *w, int slot, uint8_t how, uint8_t in[39])
{
	static const uint8_t head[] = { 0x00, 0x88, 0x00, 0x81, 0x22, 16 };
	uint64_t *seq = slot ? &w->usim_seq : &w->seq;
	struct vector v;

	*seq += how & 1;
	vector(slot ? &w->usim : &w->keys, *seq, how >> 3, how >> 1 & 1, &v);
	memcpy(in, head, sizeof(head));
	memcpy(in + 6, v.rand, 16);
	in[22] = 16;
	memcpy(in + 23, v.autn, 16);
	return 39;
}

static enum err knock_apdu(struct world *w, struct bytes in)
{
	struct rd r = rd_of(in);
	int slot = rd_u8(&r) & 1 ? SLOT_USIM : 0;

	while (r.left && !r.bad) {
		struct bytes apdu = rd_view(&r, rd_u8(&r));
		uint8_t answer[256], right[39];
		size_t n = 0;

		if (apdu.n == 1)
			apdu = BYTES(right, genuine_authenticate(w, slot, *apdu.p, right));
		if (tre_apdu(w->t, slot, apdu, answer, &n) || n < 2 || n > sizeof(answer) || shows(answer, n, &w->keys.k) || shows(answer, n, &w->keys.opc)
			|| shows(answer, n, &w->usim.k) || shows(answer, n, &w->usim.opc) || shows(answer, n, &w->claim))
			abort();
	}
	return ERR_DENIED;
}

/* --- */

static size_t spoiled(int door, struct bytes edits, uint8_t *dst)
{
	struct rd r = rd_of(edits);

	memcpy(dst, genuine[door].p, genuine[door].n);
	while (r.left > 2) {
		size_t at = rd_u16(&r) % genuine[door].n;

		dst[at] ^= rd_u8(&r);
	}
	return genuine[door].n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int door = n > 1 ? data[0] % DOORS : 0;
	struct world *w = world_at(door);
	uint8_t room[16384];
	struct bytes in = n > 2 ? BYTES(data + 2, n - 2) : BYTES(data, 0);

	if (door == APDU)
		in = n > 1 ? BYTES(data + 1, n - 1) : in;
	else if (n > 1 && data[1] & 1)
		in = BYTES(room, spoiled(door, in, room));
	if (door != APDU && bytes_equal(in, genuine[door]))
		return 0;
	if (!doors[door].knock(w, in))
		abort(); /* taken, and it is not the one */
	return 0;
}
