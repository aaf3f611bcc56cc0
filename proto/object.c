/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/object.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/der.h"

enum { CHOICE_0 = 0xa0, CHOICE_1 = 0x81 };
enum kind { END, TEXT, OCTETS_N, OCTETS_VAR, NUMBER, TIME, LIST, CHOICE };

struct field {
	enum kind kind;
	size_t offset, size; /* size: of a string's array, of fixed octets, or the most octets of a variable string */
	size_t width, most;  /* LIST: of an item, and items */
};

#define T(s, f) { TEXT, offsetof(struct s, f), sizeof(((struct s *)0)->f), 0, 0 }
#define O(s, f) { OCTETS_N, offsetof(struct s, f), sizeof(((struct s *)0)->f), 0, 0 }
#define V(s, f) { OCTETS_VAR, offsetof(struct s, f), sizeof(((struct s *)0)->f.p), 0, 0 }
#define N(s, f) { NUMBER, offsetof(struct s, f), 8, 0, 0 }
#define D(s, f) { TIME, offsetof(struct s, f), 8, 0, 0 }
#define L(s, f) { LIST, offsetof(struct s, f), sizeof(((struct s *)0)->f), sizeof(((struct s *)0)->f.item[0]), \
	sizeof(((struct s *)0)->f.item) / sizeof(((struct s *)0)->f.item[0]) }
#define Z { END, 0, 0, 0, 0 }

static const struct field discover_fields[] = { T(discover_answer, pimsi), T(discover_answer, equipment), O(discover_answer, certificate),
	T(discover_answer, operator), T(discover_answer, dlusim), T(discover_answer, dlusim_address), O(discover_answer, signer),
	T(discover_answer, owner), N(discover_answer, serial), O(discover_answer, proof), L(discover_answer, ocsp),
	T(discover_answer, dm_address), O(discover_answer, nonce), D(discover_answer, expiry), Z };
static const struct field challenge_fields[] = { T(challenge, dlusim), T(challenge, equipment), O(challenge, discover),
	O(challenge, nonce), D(challenge, expiry), Z };
static const struct field answer_fields[] = { O(answer, challenge), O(answer, discover), N(answer, serial), O(answer, certificate),
	T(answer, pimsi), V(answer, one_time), N(answer, counter), O(answer, ocsp_nonce), T(answer, versions), Z };
static const struct field trigger_fields[] = { T(trigger, dlusim), T(trigger, equipment), O(trigger, answer), T(trigger, job),
	T(trigger, dm), T(trigger, dm_address), T(trigger, user), V(trigger, client_secret), V(trigger, client_nonce),
	V(trigger, server_secret), V(trigger, server_nonce), V(trigger, notice), D(trigger, expiry), Z };
static const struct field receipt_fields[] = { T(receipt, equipment), T(receipt, pimsi), T(receipt, operator), T(receipt, package),
	N(receipt, counter), O(receipt, answer), O(receipt, certificate), Z };
static const struct field acknowledgement_fields[] = { T(acknowledgement, dlusim), T(acknowledgement, equipment),
	O(acknowledgement, receipt), V(acknowledgement, ticket), Z };
static const struct field minimal_fields[] = { T(minimal, imsi), T(minimal, iccid), O(minimal, k), O(minimal, opc), N(minimal, algorithm),
	L(minimal, home), L(minimal, selector), L(minimal, forbidden), Z };
static const struct field profile_fields[] = { T(profile, operator), T(profile, equipment), O(profile, certificate), O(profile, one_time),
	O(profile, answer), T(profile, package), N(profile, counter), D(profile, expiry), { CHOICE, 0, 0, 0, 0 }, Z };
static const struct field order_fields[] = { T(order, equipment), T(order, pimsi), V(order, keys), N(order, algorithm),
	T(order, registration), T(order, discover_address), T(order, realm), T(order, apn), L(order, allowed), Z };
static const struct field order_keys_fields[] = { O(order_keys, k), O(order_keys, opc), Z };

static const struct shape {
	const char *name, *signer;
	const struct field *fields;
	size_t size;
} shapes[OBJECT_LAST + 1] = {
	[OBJECT_DISCOVER] = { "discover answer", "registration", discover_fields, sizeof(struct discover_answer) },
	[OBJECT_CHALLENGE] = { "challenge", "dlusim", challenge_fields, sizeof(struct challenge) },
	[OBJECT_ANSWER] = { "answer", "equipment", answer_fields, sizeof(struct answer) },
	[OBJECT_TRIGGER] = { "trigger", "dlusim", trigger_fields, sizeof(struct trigger) },
	[OBJECT_RECEIPT] = { "receipt", "equipment", receipt_fields, sizeof(struct receipt) },
	[OBJECT_ACKNOWLEDGEMENT] = { "acknowledgement", "dlusim", acknowledgement_fields, sizeof(struct acknowledgement) },
	[OBJECT_PROFILE] = { "profile", "hss", profile_fields, sizeof(struct profile) },
	[OBJECT_ORDER] = { "order", "registration", order_fields, sizeof(struct order) },
};

const char *object_name(enum object o)
{
	return shapes[o].name;
}

const char *object_signer(enum object o)
{
	return shapes[o].signer;
}

size_t object_size(enum object o)
{
	return shapes[o].size;
}

void object_oid(enum object o, char dst[128])
{
	snprintf(dst, 128, ARC ".1.%d", (int)o);
}

int object_of_type(struct bytes oid)
{
	static const uint8_t types[] = { 0x69, 0x82, 0xd4, 0x8e, 0xaa, 0x93, 0xe1, 0xee, 0xd2, 0x82, 0x8f, 0x95, 0x84, 0x90, 0x97, 0xc0, 0xda,
		0xb4, 0xa5, 0x10, 0x01 }; /* ARC ".1" */
	int n = oid.n == sizeof(types) + 1 && !memcmp(oid.p, types, sizeof(types)) ? oid.p[sizeof(types)] : 0;

	return n <= OBJECT_LAST ? n : 0;
}

/* --- elements --- */

static void put(struct wr *w, uint8_t tag, struct bytes content)
{
	wr_u8(w, tag);
	if (content.n < 0x80) {
		wr_u8(w, (uint8_t)content.n);
	} else if (content.n < 0x100) {
		wr_u8(w, 0x81);
		wr_u8(w, (uint8_t)content.n);
	} else if (content.n < 0x10000) {
		wr_u8(w, 0x82);
		wr_u16(w, (uint16_t)content.n);
	} else {
		wr_fail(w, ERR_LIMIT);
	}
	wr_bytes(w, content);
}

static struct bytes want(struct rd *r, uint8_t tag)
{
	uint8_t have;
	struct bytes b = der_next(r, &have);

	if (have != tag)
		rd_fail(r, ERR_FORMAT);
	return b;
}

static void put_number(struct wr *w, int64_t v)
{
	uint8_t octets[9];
	size_t n = 0;

	if (v < 0) {
		wr_fail(w, ERR_RANGE);
		return;
	}
	for (int shift = 56; shift >= 0; shift -= 8) {
		uint8_t o = (uint8_t)(v >> shift);

		if (n || o || !shift) {
			if (!n && o & 0x80)
				octets[n++] = 0;
			octets[n++] = o;
		}
	}
	put(w, DER_INTEGER, BYTES(octets, n));
}

static int64_t get_number(struct rd *r)
{
	struct bytes b = want(r, DER_INTEGER);
	uint64_t v = 0;

	if (!b.n || b.n > 8 || b.p[0] & 0x80 || (b.n > 1 && !b.p[0] && !(b.p[1] & 0x80))) {
		rd_fail(r, ERR_RANGE);
		return 0;
	}
	for (size_t i = 0; i < b.n; i++)
		v = v << 8 | b.p[i];
	return (int64_t)v;
}

static void put_time(struct wr *w, int64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char text[32];

	if (seconds < 0 || seconds > 253402300799 || !gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm))
		wr_fail(w, ERR_RANGE);
	else
		put(w, DER_TIME, bytes_text(text));
}

static int64_t get_time(struct rd *r)
{
	struct bytes b = want(r, DER_TIME);
	char text[16] = "", again[32];
	struct tm tm = { 0 };
	time_t t;

	if (b.n != 15) {
		rd_fail(r, ERR_FORMAT);
		return 0;
	}
	memcpy(text, b.p, 15);
	if (sscanf(text, "%4d%2d%2d%2d%2d%2dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6) {
		rd_fail(r, ERR_FORMAT);
		return 0;
	}
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	if (t < 0 || !gmtime_r(&t, &tm) || !strftime(again, sizeof(again), "%Y%m%d%H%M%SZ", &tm) || strcmp(again, text))
		rd_fail(r, ERR_FORMAT);
	return (int64_t)t;
}

static void put_text(struct wr *w, const char *text, size_t cap)
{
	if (!memchr(text, 0, cap))
		wr_fail(w, ERR_RANGE);
	else
		put(w, DER_UTF8, bytes_text(text));
}

/* Printable ASCII is all that our names are made of. */
static void get_text(struct rd *r, char *dst, size_t cap)
{
	struct bytes b = want(r, DER_UTF8);

	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] < ' ' || b.p[i] > '~')
			rd_fail(r, ERR_FORMAT);
	if (text_copy_bytes(dst, cap, b))
		rd_fail(r, ERR_LIMIT);
}

/* --- fields by their table --- */

static void put_fields(struct wr *w, const struct field *f, const char *obj);
static void get_fields(struct rd *r, const struct field *f, char *obj);

/* Writes the fields as the content of one element. */
static void put_nested(struct wr *w, uint8_t tag, const struct field *f, const char *obj)
{
	uint8_t *room = malloc(OBJECT_MAX);
	struct wr inner = wr_of(room, room ? OBJECT_MAX : 0);

	put_fields(&inner, f, obj);
	if (wr_done(&inner))
		wr_fail(w, inner.bad);
	else
		put(w, tag, wr_view(&inner));
	if (room)
		secret_wipe(room, inner.n);
	free(room);
}

static void put_list(struct wr *w, const struct field *f, const char *at)
{
	uint8_t room[4096];
	struct wr inner = wr_of(room, sizeof(room));
	size_t n;

	memcpy(&n, at, sizeof(n));
	if (n > f->most)
		wr_fail(w, ERR_RANGE);
	for (size_t i = 0; i < n && i < f->most; i++)
		put_text(&inner, at + sizeof(n) + i * f->width, f->width);
	if (wr_done(&inner))
		wr_fail(w, inner.bad);
	put(w, DER_SEQUENCE, wr_view(&inner));
}

static void get_list(struct rd *r, const struct field *f, char *at)
{
	struct rd in = rd_of(want(r, DER_SEQUENCE));
	size_t n = 0;

	while (in.left && !in.bad) {
		if (n == f->most) {
			rd_fail(r, ERR_LIMIT);
			return;
		}
		get_text(&in, at + sizeof(n) + n * f->width, f->width);
		n++;
	}
	if (in.bad)
		rd_fail(r, in.bad);
	memcpy(at, &n, sizeof(n));
}

static void put_choice(struct wr *w, const struct profile *p)
{
	if (!p->is_tca)
		put_nested(w, CHOICE_0, minimal_fields, (const char *)&p->minimal);
	else if (p->tca.n > TCA_MAX)
		wr_fail(w, ERR_RANGE);
	else
		put(w, CHOICE_1, BYTES(p->tca.p, p->tca.n));
}

static void get_choice(struct rd *r, struct profile *p)
{
	uint8_t tag;
	struct bytes b = der_next(r, &tag);
	struct rd in = rd_of(b);

	if (tag == CHOICE_1 && b.n <= TCA_MAX) {
		p->is_tca = 1;
		p->tca.n = b.n;
		memcpy(p->tca.p, b.p, b.n);
	} else if (tag == CHOICE_0) {
		get_fields(&in, minimal_fields, (char *)&p->minimal);
		if (rd_done(&in))
			rd_fail(r, rd_done(&in));
	} else {
		rd_fail(r, ERR_FORMAT);
	}
}

static void put_var(struct wr *w, const struct field *f, const char *at)
{
	size_t n;

	memcpy(&n, at, sizeof(n));
	if (n > f->size)
		wr_fail(w, ERR_RANGE);
	else
		put(w, DER_OCTETS, BYTES(at + sizeof(n), n));
}

static void get_var(struct rd *r, const struct field *f, char *at)
{
	struct bytes b = want(r, DER_OCTETS);

	if (b.n > f->size) {
		rd_fail(r, ERR_LIMIT);
		return;
	}
	memcpy(at, &b.n, sizeof(b.n));
	if (b.n)
		memcpy(at + sizeof(b.n), b.p, b.n);
}

static void put_fields(struct wr *w, const struct field *f, const char *obj)
{
	for (; f->kind != END; f++) {
		const char *at = obj + f->offset;
		int64_t n = 0;

		if (f->kind == NUMBER || f->kind == TIME)
			memcpy(&n, at, sizeof(n));
		switch (f->kind) {
		case TEXT: put_text(w, at, f->size); break;
		case OCTETS_N: put(w, DER_OCTETS, BYTES(at, f->size)); break;
		case OCTETS_VAR: put_var(w, f, at); break;
		case NUMBER: put_number(w, n); break;
		case TIME: put_time(w, n); break;
		case LIST: put_list(w, f, at); break;
		default: put_choice(w, (const struct profile *)(const void *)obj); break;
		}
	}
}

static void get_octets(struct rd *r, const struct field *f, char *at)
{
	struct bytes b = want(r, DER_OCTETS);

	if (b.n != f->size)
		rd_fail(r, ERR_FORMAT);
	else
		memcpy(at, b.p, b.n);
}

static void get_fields(struct rd *r, const struct field *f, char *obj)
{
	for (; f->kind != END && !r->bad; f++) {
		char *at = obj + f->offset;
		int64_t n;

		switch (f->kind) {
		case TEXT: get_text(r, at, f->size); break;
		case OCTETS_N: get_octets(r, f, at); break;
		case OCTETS_VAR: get_var(r, f, at); break;
		case NUMBER: n = get_number(r); memcpy(at, &n, sizeof(n)); break;
		case TIME: n = get_time(r); memcpy(at, &n, sizeof(n)); break;
		case LIST: get_list(r, f, at); break;
		default: get_choice(r, (struct profile *)(void *)obj); break;
		}
	}
}

/* --- whole objects: SEQUENCE { version 1, fields } --- */

static enum err write_sequence(const struct field *f, const void *obj, uint8_t *dst, size_t cap, size_t *n)
{
	uint8_t *room = malloc(OBJECT_MAX);
	struct wr inner = wr_of(room, room ? OBJECT_MAX : 0), w = wr_of(dst, cap);

	put_number(&inner, 1);
	put_fields(&inner, f, obj);
	if (wr_done(&inner))
		wr_fail(&w, inner.bad);
	put(&w, DER_SEQUENCE, wr_view(&inner));
	*n = w.n;
	if (room)
		secret_wipe(room, inner.n);
	free(room);
	return wr_done(&w);
}

static enum err read_sequence(const struct field *f, struct bytes der, void *obj, size_t size)
{
	struct rd r = rd_of(der), in;
	enum err e;

	memset(obj, 0, size);
	in = rd_of(want(&r, DER_SEQUENCE));
	e = rd_done(&r);
	if (e)
		return e;
	if (get_number(&in) != 1)
		rd_fail(&in, ERR_UNSUPPORTED);
	get_fields(&in, f, obj);
	e = rd_done(&in);
	if (e)
		secret_wipe(obj, size);
	return e;
}

enum err object_write(enum object o, const void *obj, uint8_t *dst, size_t cap, size_t *n)
{
	return write_sequence(shapes[o].fields, obj, dst, cap, n);
}

enum err object_read(enum object o, struct bytes der, void *obj)
{
	return read_sequence(shapes[o].fields, der, obj, shapes[o].size);
}

enum err order_keys_write(const struct order_keys *k, uint8_t *dst, size_t cap, size_t *n)
{
	return write_sequence(order_keys_fields, k, dst, cap, n);
}

enum err order_keys_read(struct bytes der, struct order_keys *k)
{
	return read_sequence(order_keys_fields, der, k, sizeof(*k));
}

/* --- claims --- */

enum err object_claim_proof(const struct secret *claim_key, const struct claimed *c, uint8_t proof[32])
{
	const char *const texts[] = { c->operator, c->dlusim, c->equipment, c->owner };
	uint8_t inside[1200], der[1300];
	struct wr in = wr_of(inside, sizeof(inside)), w = wr_of(der, sizeof(der));
	unsigned n = 32;

	put_number(&in, 1);
	for (int i = 0; i < 4; i++)
		put(&in, DER_UTF8, bytes_text(texts[i]));
	put_number(&in, c->serial);
	put(&w, DER_SEQUENCE, wr_view(&in));
	if (wr_done(&in) || wr_done(&w))
		return ERR_LIMIT;
	return HMAC(EVP_sha256(), claim_key->octet, sizeof(claim_key->octet), der, w.n, proof, &n) && n == 32 ? OK : ERR_CRYPTO;
}

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

enum err claim_key_text(const struct secret *k, char dst[27])
{
	uint32_t bits = 0;
	int have = 0, n = 0;

	for (size_t i = 0; i < sizeof(k->octet); i++) {
		bits = bits << 8 | k->octet[i];
		for (have += 8; have >= 5; have -= 5)
			dst[n++] = base32[bits >> (have - 5) & 31];
	}
	dst[n++] = base32[bits << (5 - have) & 31];
	dst[n] = 0;
	return n == 26 ? OK : ERR_RANGE;
}

enum err claim_key_read(const char *text, struct secret *k)
{
	uint32_t bits = 0;
	size_t n = 0;
	int have = 0;

	if (strlen(text) != 26)
		return ERR_FORMAT;
	for (; *text; text++) {
		const char *at = strchr(base32, *text >= 'a' && *text <= 'z' ? *text - 32 : *text);

		if (!at)
			return ERR_FORMAT;
		bits = bits << 5 | (uint32_t)(at - base32);
		have += 5;
		if (have >= 8 && n < sizeof(k->octet))
			k->octet[n++] = (uint8_t)(bits >> (have -= 8));
	}
	return n == sizeof(k->octet) && !(bits & ((1u << have) - 1)) ? OK : ERR_FORMAT;
}
