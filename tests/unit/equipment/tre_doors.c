/* SPDX-License-Identifier: Apache-2.0 */
/* The doors of the tre in every order but the right one, and what may never come of them. */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include "core/cell.h"
#include "tests/unit/equipment/world.h"

/* --- state x door --- */

enum door { ROOTS, CERTIFICATE, LABEL, ORDER, ROUTE, ANSWER, TRIGGER, PACKAGE, OCSP_ASK, OCSP_ANSWER, TRIAL, COMMIT, BACK, RECEIPT, ACK, DOORS };
static const char *const door_names[DOORS] = { "load roots", "load certificate", "label", "load order", "route", "answer", "trigger", "package", "ocsp ask",
	"ocsp", "trial", "commit", "back", "receipt", "ack" };

static enum err ocsp_garbage(struct world *w)
{
	return tre_ocsp(w->t, BYTES("\x30\x03\x0a\x01\x03", 5), &w->why);
}

static enum err knock(struct world *w, enum door d)
{
	uint8_t *der = NULL;
	size_t n = 0;
	struct secret k;
	int slot;
	enum err e;

	switch (d) {
	case ROOTS: return tre_load_roots(w->t, w->pki.roots, &w->why);
	case CERTIFICATE: return tre_load_certificate(w->t, w->attest, w->pki.ca, &w->why);
	case LABEL: return tre_label(w->t, &k, &w->why);
	case ORDER: return give_order(w, "901700000000017");
	case ROUTE: return give_discover(w);
	case ANSWER: return give_challenge(w);
	case TRIGGER: return give_trigger(w);
	case PACKAGE: return w->package_n ? tre_take_package(w->t, BYTES(w->package, w->package_n), &w->why) : give_package(w);
	case OCSP_ASK: e = tre_ocsp_ask(w->t, 0, &w->responder, &der, &n, &w->why); OPENSSL_free(der); return e;
	case OCSP_ANSWER: return ocsp_garbage(w);
	case TRIAL: return tre_slot(w->t, TRE_TRIAL, &slot, &w->why);
	case COMMIT: return tre_slot(w->t, TRE_COMMIT, NULL, &w->why);
	case BACK: return tre_slot(w->t, TRE_BACK, NULL, &w->why);
	case RECEIPT: e = tre_receipt(w->t, &der, &n, &w->why); OPENSSL_free(der); return e;
	default: return give_ack(w);
	}
}

/* How a state is reached from the one before. */
static void forward(struct world *w, int state)
{
	int slot;

	switch (state) {
	case 1: world_manufacture(w); break;
	case 2: assert_int_equal(ask_discover(w), OK); break;
	case 3: assert_int_equal(give_discover(w), OK); break;
	case 4: assert_int_equal(give_challenge(w), OK); break;
	case 5: assert_int_equal(give_trigger(w), OK); break;
	case 6: assert_int_equal(give_package(w), OK); break;
	case 7: assert_int_equal(give_ocsp(w, w->now, OCSP_GOOD), OK); break;
	case 8: assert_int_equal(tre_slot(w->t, TRE_TRIAL, &slot, &w->why), OK); break;
	case 9: assert_int_equal(usim_authenticates(w, SLOT_USIM), 0x9000); break;
	case 10: assert_int_equal(tre_slot(w->t, TRE_COMMIT, NULL, &w->why), OK); break;
	case 11: assert_int_equal(give_ack(w), OK); break;
	default: break;
	}
}

/* o: ERR_ORDER; a: ERR_AUTH; u: ERR_UNAVAILABLE; x: ERR_EXISTS; c: ERR_CONFLICT; .: not knocked at here (it would be right). */
static const char *const expected[] = {
	/*                 ROOTS  ORDER    TRIGGER OCSP   TRIAL    ACK */
	/* 0 made */         ".a.a" "ooo" "o" "oo" "ooo" "oo",
	/* 1 manufactured */ "o.oc" "ooo" "o" "oo" "ooo" "oo",
	/* 2 asked */        "o.oc" ".oo" "o" "oo" "ooo" "oo",
	/* 3 routed */       "o.oc" "o.o" "o" "oo" "ooo" "oo",
	/* 4 answered */     "o.oc" "o.." "o" "oo" "ooo" "oo",
	/* 5 triggered */    "o.oc" "o.." "." "oo" "ooo" "oo",
	/* 6 packed */       "o.oc" "o.." "." ".u" "ooo" "oo",
	/* 7 installed */    "o.oc" "o.o" "x" "oo" ".oo" "oo",
	/* 8 trial */        "o.oc" "o.o" "x" "oo" "oo." "oo",
	/* 9 good */         "o.oc" "o.o" "x" "oo" "o.." "oo",
	/* 10 committed */   "o.oc" "o.o" "x" "oo" "ooo" "..",
	/* 11 acknowledged */"o.oc" "o.o" "x" "oo" "ooo" "o.",
};

static enum err meant(char c)
{
	return c == 'o' ? ERR_ORDER : c == 'a' ? ERR_AUTH : c == 'u' ? ERR_UNAVAILABLE : c == 'x' ? ERR_EXISTS : ERR_CONFLICT;
}

static size_t store(const struct world *w, uint8_t *dst, size_t cap)
{
	char path[100];
	size_t n = 0;

	for (int c = 'a'; c <= 'b'; c++) {
		char name[] = { 't', 'r', 'e', '.', (char)c, 0 };

		snprintf(path, sizeof(path), "%s/%s", w->dir, name);
		if (!access(path, F_OK))
			n += file_read(w->dir, name, dst + n, cap - n);
	}
	return n;
}

static void out_of_order_is_an_error(void **state)
{
	static uint8_t before[300000], after[300000];
	struct world w;

	(void)state;
	world_new(&w);
	for (int s = 0; s < (int)(sizeof(expected) / sizeof(*expected)); s++) {
		forward(&w, s);
		for (int d = 0; d < DOORS; d++) {
			struct world keep = w; /* what was made for the door is forgotten */
			size_t n;
			enum err e;

			if (expected[s][d] == '.')
				continue;
			n = store(&w, before, sizeof(before));
			e = knock(&w, (enum door)d);
			if (e != meant(expected[s][d]))
				fail_msg("state %d, door %s: %s, %s", s, door_names[d], err_name(e), w.why.text);
			assert_int_equal(store(&w, after, sizeof(after)), n);
			assert_memory_equal(before, after, n); /* nothing was changed */
			w = keep;
		}
	}
	world_free(&w);
}

/* --- who may say what --- */

static void a_route_is_for_us_and_now(void **state)
{
	static const struct {
		size_t at;
		enum err expect;
	} spoil[] = {
		{ offsetof(struct discover_answer, pimsi), ERR_DENIED }, { offsetof(struct discover_answer, equipment), ERR_DENIED },
		{ offsetof(struct discover_answer, certificate), ERR_DENIED }, { offsetof(struct discover_answer, nonce), ERR_AUTH },
		{ offsetof(struct discover_answer, proof), ERR_AUTH }, { offsetof(struct discover_answer, operator), ERR_AUTH },
		{ offsetof(struct discover_answer, dlusim), ERR_AUTH }, { offsetof(struct discover_answer, owner), ERR_AUTH },
		{ offsetof(struct discover_answer, serial), ERR_AUTH },
	};
	struct signer other;
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	assert_int_equal(ask_discover(&w), OK);
	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		make_discover(&w);
		((char *)&w.d)[spoil[i].at] ^= 2;
		assert_int_equal(route_signed(&w), spoil[i].expect);
	}
	make_discover(&w);
	w.d.ocsp.n = 0; /* nobody could be asked */
	assert_int_equal(route_signed(&w), ERR_FORMAT);
	leaf_new(&w.pki, "registration", "901-71", &other); /* another registration operator, of the same PKI */
	make_discover(&w);
	sign(OBJECT_DISCOVER, &w.d, &other, w.discover, &w.discover_n);
	assert_int_equal(tre_route(w.t, BYTES(w.discover, w.discover_n), NULL, &w.why), ERR_DENIED);
	leaf_free(&other);
	/* the claim serial never goes down, over a power cut too */
	w.serial = 7;
	assert_int_equal(give_discover(&w), OK);
	world_again(&w);
	assert_int_equal(ask_discover(&w), OK);
	w.serial = 6;
	assert_int_equal(give_discover(&w), ERR_DENIED);
	w.serial = 7;
	assert_int_equal(give_discover(&w), OK);
	world_free(&w);
}

static void a_challenge_is_for_this_route(void **state)
{
	static const size_t spoil[] = { offsetof(struct challenge, dlusim), offsetof(struct challenge, equipment), offsetof(struct challenge, discover),
		offsetof(struct challenge, discover) + 31 };
	struct world w;
	uint8_t *der = NULL, octets[8192];
	size_t n;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(give_challenge(&w), OK);
	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		struct challenge c = w.c;

		((char *)&c)[spoil[i]] ^= 2;
		sign(OBJECT_CHALLENGE, &c, &w.dlusim, octets, &n);
		assert_int_equal(tre_answer(w.t, BYTES(octets, n), &der, &n, &w.why), ERR_DENIED);
		assert_null(der);
	}
	/* what was for the last discover answer is for no other */
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(tre_answer(w.t, BYTES(w.challenge, w.challenge_n), &der, &n, &w.why), ERR_DENIED);
	assert_int_equal(give_trigger(&w), ERR_ORDER); /* nothing was answered */
	assert_int_equal(give_challenge(&w), OK);
	world_free(&w);
}

/* A new route, or a new answer: what belonged to the last is no longer taken. */
static void nothing_crosses_from_run_to_run(void **state)
{
	struct world w;
	struct trigger out;
	uint8_t der[8192];
	size_t n;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	sign(OBJECT_TRIGGER, &w.g, &w.dlusim, der, &n);
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), ERR_ORDER);
	assert_int_equal(tre_take_trigger(w.t, BYTES(der, n), &out, &w.why), ERR_ORDER);
	assert_int_equal(give_challenge(&w), OK);
	assert_int_equal(tre_take_trigger(w.t, BYTES(der, n), &out, &w.why), ERR_DENIED); /* of the last answer */
	assert_int_equal(give_trigger(&w), OK);
	assert_int_equal(tre_take_package(w.t, BYTES(w.package, w.package_n), &w.why), ERR_DENIED); /* sealed to the last key */
	/* after a power cut, a run begins at its beginning */
	world_again(&w);
	assert_int_equal(give_trigger(&w), ERR_ORDER);
	assert_int_equal(give_package(&w), ERR_ORDER);
	world_free(&w);
}

static void a_package_is_for_us(void **state)
{
	static const struct {
		size_t at;
		enum err expect;
	} spoil[] = {
		{ offsetof(struct profile, operator), ERR_DENIED }, { offsetof(struct profile, equipment), ERR_DENIED },
		{ offsetof(struct profile, certificate), ERR_DENIED }, { offsetof(struct profile, one_time), ERR_DENIED },
		{ offsetof(struct profile, answer), ERR_DENIED }, { offsetof(struct profile, minimal.algorithm), ERR_UNSUPPORTED },
	};
	struct signer other;
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_triggered(&w);
	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		make_profile(&w);
		((char *)&w.p)[spoil[i].at] ^= 2;
		assert_int_equal(package_signed(&w, &w.hss), spoil[i].expect);
	}
	make_profile(&w);
	leaf_new(&w.pki, "hss", "262-43", &other); /* another operator */
	assert_int_equal(package_signed(&w, &other), ERR_DENIED);
	leaf_free(&other);
	leaf_new(&w.pki, "hss", "262-42", &other); /* another key of the operator than the route names */
	assert_int_equal(package_signed(&w, &other), ERR_AUTH);
	leaf_free(&other);
	assert_int_equal(give_package(&w), OK);
	world_free(&w);
}

static void no_bit_of_a_package_may_flip(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	for (size_t i = 0; i < w.package_n; i++) {
		w.package[i] ^= (uint8_t)(1 << i % 8);
		assert_int_not_equal(tre_take_package(w.t, BYTES(w.package, w.package_n), &w.why), OK);
		w.package[i] ^= (uint8_t)(1 << i % 8);
	}
	assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), OK); /* the one that was taken waited all the while */
	world_free(&w);
}

/* --- once, and never again --- */

static void installed_once(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_committed(&w);
	assert_int_equal(tre_take_package(w.t, BYTES(w.package, w.package_n), &w.why), ERR_EXISTS);
	world_again(&w);
	assert_int_equal(tre_take_package(w.t, BYTES(w.package, w.package_n), &w.why), ERR_EXISTS);
	/* a counter that was taken once, under a new answer */
	until_triggered(&w);
	w.counter--;
	assert_int_equal(give_package(&w), ERR_CONFLICT);
	assert_int_equal(give_package(&w), OK);
	world_free(&w);
}

static off_t size_of(const struct world *w, char copy)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof(path), "%s/tre.%c", w->dir, copy);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* The key of one use is gone from both copies of the store: what was recorded cannot be opened by whoever takes the flash out. */
static void forward_secrecy(void **state)
{
	for (int keep = 0; keep < 2; keep++) {
		char path[100];
		struct world w;

		(void)state;
		world_new(&w);
		world_manufacture(&w);
		until_triggered(&w);
		assert_int_equal(give_package(&w), OK);
		assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), OK);
		snprintf(path, sizeof(path), "%s/tre.%c", w.dir, keep ? 'a' : 'b');
		assert_int_equal(unlink(path), 0);
		world_again(&w);
		assert_int_equal(tre_inactive(w.t), 1);
		assert_int_equal(tre_take_package(w.t, BYTES(w.package, w.package_n), &w.why), ERR_EXISTS);
		/* and so is a package that was destroyed */
		until_triggered(&w);
		assert_int_equal(give_package(&w), OK);
		assert_int_equal(give_ocsp(&w, w.now, OCSP_REVOKED), ERR_REVOKED);
		assert_int_equal(size_of(&w, 'a'), size_of(&w, 'b'));
		world_free(&w);
	}
}

/* A field that names its signer names him, and no other. */
static void the_signer_is_named(void **state)
{
	struct trigger out;
	struct world w;
	uint8_t octets[8192];
	size_t n = 0;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(give_challenge(&w), OK);
	assert_int_equal(give_trigger(&w), OK);
	strcpy(w.g.dlusim, "other.example");
	sign(OBJECT_TRIGGER, &w.g, &w.dlusim, octets, &n);
	assert_int_equal(tre_take_trigger(w.t, BYTES(octets, n), &out, &w.why), ERR_DENIED);
	strcpy(w.g.dlusim, "dlusim.example");
	strcpy(w.g.dm_address, "127.0.0.1:99"); /* not where the route leads */
	sign(OBJECT_TRIGGER, &w.g, &w.dlusim, octets, &n);
	assert_int_equal(tre_take_trigger(w.t, BYTES(octets, n), &out, &w.why), ERR_DENIED);
	world_free(&w);
}

static void an_acknowledgement_is_for_our_receipt(void **state)
{
	static const size_t spoil[] = { offsetof(struct acknowledgement, dlusim), offsetof(struct acknowledgement, equipment),
		offsetof(struct acknowledgement, receipt), offsetof(struct acknowledgement, receipt) + 31 };
	struct acknowledgement a = { .ticket.n = 0 };
	struct world w;
	uint8_t *der = NULL, octets[8192], last[8192];
	size_t n, last_n;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	strcpy(a.dlusim, "dlusim.example");
	strcpy(a.equipment, "acme:000017");
	until_committed(&w);
	assert_int_equal(tre_receipt(w.t, &der, &n, &w.why), OK);
	assert_int_equal(hashed(der, n, a.receipt), OK);
	OPENSSL_free(der);
	sign(OBJECT_ACKNOWLEDGEMENT, &a, &w.dlusim, last, &last_n);
	assert_int_equal(tre_ack(w.t, BYTES(last, last_n), &w.why), OK);
	until_committed(&w); /* another USIM, another receipt */
	assert_int_equal(tre_ack(w.t, BYTES(last, last_n), &w.why), ERR_DENIED);
	assert_int_equal(tre_receipt(w.t, &der, &n, &w.why), OK);
	assert_int_equal(hashed(der, n, a.receipt), OK);
	OPENSSL_free(der);
	for (size_t i = 0; i < sizeof(spoil) / sizeof(*spoil); i++) {
		((char *)&a)[spoil[i]] ^= 2;
		sign(OBJECT_ACKNOWLEDGEMENT, &a, &w.dlusim, octets, &n);
		assert_int_equal(tre_ack(w.t, BYTES(octets, n), &w.why), ERR_DENIED);
		((char *)&a)[spoil[i]] ^= 2;
	}
	assert_int_equal(give_ack(&w), OK); /* its receipt was still owed */
	world_free(&w);
}

static void revoked_is_destroyed_unknown_waits(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	assert_int_equal(give_ocsp(&w, w.now, OCSP_UNKNOWN), ERR_UNAVAILABLE);
	assert_int_equal(tre_inactive(w.t), 0);
	assert_int_equal(ocsp_garbage(&w), ERR_UNAVAILABLE);
	assert_int_equal(give_ocsp(&w, w.now, OCSP_REVOKED), ERR_REVOKED);
	assert_string_equal(w.why.text, "the certificate of hss 262-42 is revoked: the package is destroyed");
	assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), ERR_ORDER);
	assert_int_equal(tre_inactive(w.t), 0);
	world_free(&w);
}

/* --- a power cut while the package is sealed --- */

static int sealed(const struct world *w)
{
	struct discover_answer out;

	return tre_sealed(w->t, &out);
}

/* bare: the size of the record before all this. */
static void packed(struct world *w, off_t *bare)
{
	world_new(w);
	world_manufacture(w);
	*bare = size_of(w, 'a') > size_of(w, 'b') ? size_of(w, 'a') : size_of(w, 'b');
	until_triggered(w);
	assert_int_equal(sealed(w), 0);
	assert_int_equal(give_package(w), OK);
	assert_int_equal(sealed(w), 1);
}

/* What stands after the cut is what stood before, and ends in the same ways: once. */
static void a_sealed_package_outlives_a_power_cut(void **state)
{
	static const struct {
		enum ocsp_state said;
		enum err expect;
	} ends[] = { { OCSP_GOOD, OK }, { OCSP_REVOKED, ERR_REVOKED } };

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		struct discover_answer out;
		struct world w;
		off_t bare;

		packed(&w, &bare);
		world_again(&w);
		assert_int_equal(tre_sealed(w.t, &out), 1);
		assert_string_equal(out.operator, "262-42");
		assert_string_equal(out.ocsp.item[0], "127.0.0.1:4");
		assert_int_equal(tre_inactive(w.t), 0);
		assert_int_equal(ocsp_garbage(&w), ERR_UNAVAILABLE);
		assert_int_equal(give_ocsp(&w, w.now, OCSP_UNKNOWN), ERR_UNAVAILABLE);
		world_again(&w);
		assert_int_equal(give_ocsp(&w, w.now, ends[i].said), ends[i].expect);
		for (int cut = 0; cut < 2; cut++) {
			assert_int_equal(sealed(&w), 0);
			assert_int_equal(give_ocsp(&w, w.now, OCSP_GOOD), ERR_ORDER);
			assert_int_equal(tre_inactive(w.t), ends[i].said == OCSP_GOOD);
			world_again(&w);
		}
		assert_int_equal(size_of(&w, 'a'), bare); /* nothing is left of it, in neither copy */
		assert_int_equal(size_of(&w, 'b'), bare);
		world_free(&w);
	}
}

/* How long the power was away nobody knows here; what ends with the package is judged by the first time that there is. */
static void nothing_gets_younger_by_a_power_cut(void **state)
{
	struct world w;
	off_t bare;

	(void)state;
	for (int i = 0; i < 4; i++) {
		world_new(&w);
		world_manufacture(&w);
		w.trigger_until = i == 1 ? w.now + DAY : 0;
		w.package_until = i == 2 ? w.now + DAY : 0;
		if (i == 3) {
			leaf_free(&w.dlusim);
			leaf_for(&w.pki, (struct cert_new){ .who = { "dlusim", "dlusim.example" }, .use = CERT_SIGN, .from = w.now - 10, .until = w.now + DAY },
				NULL, &w.dlusim);
		}
		until_triggered(&w);
		assert_int_equal(give_package(&w), OK);
		world_again(&w);
		assert_int_equal(give_ocsp(&w, w.now + 2 * DAY, OCSP_GOOD), i ? ERR_EXPIRED : OK);
		assert_int_equal(tre_inactive(w.t), !i);
		assert_int_equal(sealed(&w), 0); /* a new one is asked for */
		world_again(&w);
		assert_int_equal(sealed(&w), 0);
		world_free(&w);
	}
	/* a time that was known before the cut has judged before the cut */
	packed(&w, &bare);
	assert_int_equal(give_ocsp(&w, w.now + 400, OCSP_UNKNOWN), ERR_EXPIRED);
	world_again(&w);
	assert_int_equal(sealed(&w), 0);
	world_free(&w);
}

static void a_newer_route_or_answer_ends_a_sealed_package(void **state)
{
	struct world w;
	off_t bare;

	(void)state;
	packed(&w, &bare);
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(sealed(&w), 0);
	world_again(&w);
	assert_int_equal(sealed(&w), 1); /* the same route as before: the package is as good as it was */
	assert_int_equal(ask_discover(&w), OK);
	w.serial = 2;
	assert_int_equal(give_discover(&w), OK);
	world_again(&w);
	assert_int_equal(sealed(&w), 0); /* the owner has decided anew */
	world_free(&w);
	packed(&w, &bare);
	assert_int_equal(ask_discover(&w), OK);
	assert_int_equal(give_discover(&w), OK);
	assert_int_equal(give_challenge(&w), OK);
	assert_true(size_of(&w, 'a') < bare + 256 || size_of(&w, 'b') < bare + 256); /* but the new key of one use */
	world_again(&w);
	assert_int_equal(sealed(&w), 0); /* the key that it was sealed to is replaced */
	world_free(&w);
}

/* --- the record itself, as only the tre can write it: opened and sealed with its own key --- */

static size_t record(const struct world *w, int seal, uint8_t *plain, size_t n)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	static uint8_t at_rest[140000];
	uint8_t text[64], key[32];
	char path[100], hex[65] = "";
	struct cell *cell = NULL;
	struct why why;
	int len = 0;

	assert_int_equal(file_read(w->dir, "tre.key", text, sizeof(text)), 64);
	memcpy(hex, text, 64);
	assert_int_equal(hex_read(hex, key, 32), OK);
	snprintf(path, sizeof(path), "%s/tre", w->dir);
	assert_int_equal(cell_open(path, &cell, &why), OK);
	if (seal) {
		memset(at_rest, 7, 12);
		assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, at_rest), 1);
		assert_int_equal(EVP_EncryptUpdate(c, at_rest + 12, &len, plain, (int)n), 1);
		assert_int_equal(EVP_EncryptFinal_ex(c, at_rest + 12 + n, &len), 1);
		assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, at_rest + 12 + n), 1);
		assert_int_equal(cell_write(cell, BYTES(at_rest, 12 + n + 16)), OK);
	} else {
		struct bytes in = cell_read(cell);

		n = in.n - 28;
		assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in.p), 1);
		assert_int_equal(EVP_DecryptUpdate(c, plain, &len, in.p + 12, (int)n), 1);
	}
	EVP_CIPHER_CTX_free(c);
	cell_close(cell);
	return n;
}

/* Where octets stand in the record. */
static uint8_t *within(uint8_t *plain, size_t n, const uint8_t *what, size_t len)
{
	for (size_t i = 0; i + len <= n; i++)
		if (!memcmp(plain + i, what, len))
			return plain + i;
	fail_msg("the record does not hold it");
	return NULL;
}

/* That it was stored is no reason to believe it: with another octet anywhere in what a package stands on, there is none. */
static void what_is_stored_is_checked_again(void **state)
{
	static uint8_t plain[140000];
	struct world w;
	uint8_t *at[3];
	size_t n, len[3];
	off_t bare;

	(void)state;
	packed(&w, &bare);
	tre_close(w.t);
	n = record(&w, 0, plain, 0);
	at[0] = within(plain, n, w.package, w.package_n);
	len[0] = w.package_n;
	at[1] = at[0] + w.package_n + 3;
	len[1] = (size_t)(at[1][-2] << 8 | at[1][-1]);
	assert_int_equal(len[1], w.discover_n);
	assert_memory_equal(at[1], w.discover, w.discover_n);
	at[2] = at[1] + len[1] + 2;
	len[2] = (size_t)(at[2][-2] << 8 | at[2][-1]);
	assert_int_equal(cms_which(BYTES(at[2], len[2])), OBJECT_TRIGGER);
	for (int i = 0; i < 3; i++)
		for (size_t k = i; k < len[i]; k += 41) {
			at[i][k] ^= 1;
			(void)!record(&w, 1, plain, n);
			at[i][k] ^= 1;
			assert_int_equal(tre_open(w.dir, &w.t, &w.why), OK);
			if (sealed(&w))
				fail_msg("octet %zu of object %d is not looked at", k, i);
			tre_close(w.t);
		}
	(void)!record(&w, 1, plain, n);
	assert_int_equal(tre_open(w.dir, &w.t, &w.why), OK);
	assert_int_equal(sealed(&w), 1);
	world_free(&w);
}

/* Version 2 held the package alone: it is read, and the equipment verifies anew. Of a later one nothing is guessed. */
static void records_of_other_versions(void **state)
{
	static uint8_t plain[140000];
	struct world w;
	uint8_t *end, *grounds;
	size_t n, len;
	off_t bare;

	(void)state;
	packed(&w, &bare);
	tre_close(w.t);
	n = record(&w, 0, plain, 0);
	plain[1]++;
	(void)!record(&w, 1, plain, n);
	assert_int_equal(tre_open(w.dir, &w.t, &w.why), ERR_UNSUPPORTED);
	assert_non_null(strstr(w.why.text, "tre.a, tre.b are of another version of usher-equipment; this one reads versions 2 to 3 of them"));
	grounds = end = within(plain, n, w.package, w.package_n) + w.package_n;
	end += 1;
	for (int i = 0; i < 2; i++) {
		len = (size_t)(end[0] << 8 | end[1]);
		end += 2 + len;
	}
	memmove(grounds, end, (size_t)(plain + n - end));
	plain[1] = 2;
	(void)!record(&w, 1, plain, n - (size_t)(end - grounds));
	assert_int_equal(tre_open(w.dir, &w.t, &w.why), OK);
	assert_int_equal(sealed(&w), 0);
	until_installed(&w);
	world_again(&w);
	assert_int_equal(tre_inactive(w.t), 1);
	world_free(&w);
}

/* --- slots --- */

static void two_slots_turn_about(void **state)
{
	struct order_keys keys[4];
	struct world w;
	int slot[4];

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	for (int i = 0; i < 3; i++) {
		slot[i] = until_committed(&w);
		keys[i] = w.usim;
		assert_int_equal(tre_active(w.t), slot[i]);
		assert_int_equal(tre_inactive(w.t), 0);
	}
	assert_true(slot[0] == slot[2] && slot[0] != slot[1]);
	/* a fourth takes the place of the one before the active one; the active one lives on */
	until_installed(&w);
	assert_int_equal(tre_active(w.t), slot[2]);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot[3], &w.why), OK);
	assert_int_equal(slot[3], slot[1]);
	keys[3] = w.usim;
	w.usim = keys[2];
	w.usim_seq = 1000;
	assert_int_equal(usim_authenticates(&w, slot[2]), 0x9000);
	assert_int_equal(tre_slot(w.t, TRE_BACK, NULL, &w.why), OK);
	/* and one that never was committed gives way to the next */
	until_installed(&w);
	assert_int_equal(tre_active(w.t), slot[2]);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot[3], &w.why), OK);
	assert_int_equal(slot[3], slot[1]);
	assert_int_equal(usim_authenticates(&w, slot[3]), 0x9000);
	assert_int_equal(tre_slot(w.t, TRE_COMMIT, NULL, &w.why), OK);
	/* what was active before still serves, and is nothing that could be tried and committed again */
	w.usim = keys[2];
	w.usim_seq = 2000;
	assert_int_equal(usim_authenticates(&w, slot[2]), 0x9000);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot[0], &w.why), ERR_ORDER);
	world_free(&w);
}

/* A USIM that takes the place of the one on trial does not inherit its good name. */
static void a_trial_is_of_one_usim(void **state)
{
	struct world w;
	int slot;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_committed(&w);
	until_installed(&w);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), OK);
	assert_int_equal(usim_authenticates(&w, slot), 0x9000);
	until_installed(&w);
	assert_int_equal(tre_slot(w.t, TRE_COMMIT, NULL, &w.why), ERR_ORDER);
	assert_int_equal(usim_authenticates(&w, slot), 0x6985); /* not on trial: it does not answer */
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), OK);
	assert_int_equal(tre_slot(w.t, TRE_COMMIT, NULL, &w.why), ERR_ORDER);
	assert_int_equal(usim_authenticates(&w, slot), 0x9000);
	/* an authentication does not count beyond its trial */
	assert_int_equal(tre_slot(w.t, TRE_BACK, NULL, &w.why), OK);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), OK);
	assert_int_equal(tre_slot(w.t, TRE_COMMIT, NULL, &w.why), ERR_ORDER);
	/* nor over a power cut */
	assert_int_equal(usim_authenticates(&w, slot), 0x9000);
	world_again(&w);
	assert_int_equal(tre_slot(w.t, TRE_COMMIT, NULL, &w.why), ERR_ORDER);
	world_free(&w);
}

static void a_receipt_stays_the_same(void **state)
{
	struct world w;
	uint8_t *der = NULL, first[8192];
	size_t n = 0, len;
	struct receipt r;
	struct signer other;
	struct acknowledgement a = { .ticket.n = 0 };

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_committed(&w);
	assert_int_equal(tre_receipt(w.t, &der, &n, &w.why), OK);
	memcpy(first, der, len = n);
	OPENSSL_free(der);
	world_again(&w);
	assert_int_equal(tre_receipt(w.t, &der, &n, &w.why), OK);
	assert_int_equal(n, len);
	assert_memory_equal(der, first, n);
	OPENSSL_free(der);
	assert_int_equal(cms_open(OBJECT_RECEIPT, BYTES(first, len), from("acme:000017", w.pki.roots), &r, NULL, &w.why), OK);
	assert_string_equal(r.package, "p1");
	assert_string_equal(r.pimsi, "901700000000017");
	/* another DLUSIM service's acknowledgement is none */
	leaf_new(&w.pki, "dlusim", "other.example", &other);
	strcpy(a.dlusim, "other.example");
	strcpy(a.equipment, "acme:000017");
	assert_int_equal(hashed(first, len, a.receipt), OK);
	der = NULL;
	assert_int_equal(cms_sign(OBJECT_ACKNOWLEDGEMENT, &a, &other, &der, &n), OK);
	assert_int_equal(tre_ack(w.t, BYTES(der, n), &w.why), ERR_DENIED);
	OPENSSL_free(der);
	leaf_free(&other);
	assert_int_equal(give_ack(&w), OK);
	assert_int_equal(give_ack(&w), OK); /* the same again */
	world_free(&w);
}

/* --- time (DESIGN 3) --- */

static void install_at(int64_t d, int64_t c, int64_t g, int64_t p, int64_t when, enum err expect)
{
	struct world w;

	world_new(&w);
	world_manufacture(&w);
	w.discover_until = w.now + d;
	w.challenge_until = w.now + c;
	w.trigger_until = w.now + g;
	w.package_until = w.now + p;
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	assert_int_equal(give_ocsp(&w, w.now + when, OCSP_GOOD), expect);
	assert_int_equal(tre_inactive(w.t), expect == OK);
	/* the floor stays, whatever came of it, and never goes back */
	world_again(&w);
	assert_true(tre_time(w.t).floor_only && tre_time(w.t).now >= w.now + when && tre_time(w.t).now <= w.now + when + 20);
	world_free(&w);
}

static void everything_is_judged_again_by_the_time(void **state)
{
	(void)state;
	install_at(300, 300, 30 * DAY, 30 * DAY, 200, OK);
	install_at(300, 300, 30 * DAY, 30 * DAY, 400, ERR_EXPIRED);      /* the discover answer was an old one */
	install_at(9000, 300, 30 * DAY, 30 * DAY, 400, ERR_EXPIRED);     /* the challenge */
	install_at(9000, 9000, 300, 30 * DAY, 400, ERR_EXPIRED);         /* the trigger */
	install_at(9000, 9000, 9000, 300, 400, ERR_EXPIRED);             /* the package */
	install_at(9000, 9000, 9000, 9000, 400, OK);
}

static void certificates_are_judged_again_by_the_time(void **state)
{
	for (int early = 0; early < 2; early++) {
		struct world w;

		(void)state;
		world_new(&w);
		world_manufacture(&w);
		leaf_free(&w.dlusim);
		leaf_for(&w.pki, (struct cert_new){ .who = { "dlusim", "dlusim.example" }, .use = CERT_SIGN, .from = early ? w.now + 5 * DAY : w.now - 10,
			.until = early ? 0 : w.now + DAY }, NULL, &w.dlusim);
		w.discover_until = w.challenge_until = w.now + 4 * DAY;
		until_triggered(&w);
		assert_int_equal(give_package(&w), OK);
		assert_int_equal(give_ocsp(&w, w.now + 2 * DAY, OCSP_GOOD), ERR_EXPIRED); /* ended in between, or not begun */
		assert_int_equal(tre_inactive(w.t), 0);
		world_free(&w);
	}
}

static void the_floor_never_goes_back(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	w.discover_until = w.challenge_until = w.now + 9 * DAY;
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	assert_int_equal(give_ocsp(&w, w.now + 2 * DAY, OCSP_UNKNOWN), ERR_UNAVAILABLE);
	assert_false(tre_time(w.t).floor_only);
	world_again(&w);
	/* an answer from before: no verdict */
	until_triggered(&w);
	assert_int_equal(give_package(&w), OK);
	assert_int_equal(give_ocsp(&w, w.now + DAY, OCSP_GOOD), ERR_UNAVAILABLE);
	assert_true(tre_time(w.t).floor_only && tre_time(w.t).now >= w.now + 2 * DAY);
	/* and what had ended by then is refused at its door */
	assert_int_equal(ask_discover(&w), OK);
	w.discover_until = w.now + DAY;
	assert_int_equal(give_discover(&w), ERR_EXPIRED);
	w.discover_until = w.now + 9 * DAY;
	assert_int_equal(give_discover(&w), OK);
	w.challenge_until = w.now + DAY;
	assert_int_equal(give_challenge(&w), ERR_EXPIRED);
	w.challenge_until = w.now + 9 * DAY;
	assert_int_equal(give_challenge(&w), OK);
	w.trigger_until = w.now + DAY;
	assert_int_equal(give_trigger(&w), ERR_EXPIRED);
	w.trigger_until = 0;
	assert_int_equal(give_trigger(&w), OK);
	w.package_until = w.now + DAY;
	assert_int_equal(give_package(&w), ERR_EXPIRED);
	world_free(&w);
}

/* --- manufacture --- */

static void orders_and_roots(void **state)
{
	STACK_OF(X509) *many = sk_X509_new_null();
	struct order o;
	struct world w;
	char path[100], got[DIGITS_MAX];

	(void)state;
	world_new(&w);
	for (int i = 0; i < 5; i++)
		sk_X509_push(many, w.pki.root);
	assert_int_equal(tre_load_roots(w.t, many, &w.why), ERR_LIMIT);
	sk_X509_free(many);
	for (int i = 0; i < 2; i++) { /* the label got lost, over a power cut too: it is told again until there is an order */
		struct secret k;

		assert_int_equal(tre_label(w.t, i ? &k : &w.claim, &w.why), OK);
		assert_true(!i || secret_same(&k, &w.claim));
		world_again(&w);
	}
	world_manufacture(&w);
	assert_int_equal(tre_label(w.t, &w.claim, &w.why), ERR_ORDER);
	assert_int_equal(tre_load_order(w.t, BYTES(w.order, w.order_n), got, &w.why), OK); /* the very same again */
	assert_string_equal(got, "901700000000017");
	assert_int_equal(tre_orders(w.t), 1);
	assert_int_equal(give_order(&w, "901700000000018"), OK);
	assert_int_equal(give_order(&w, "901700000000019"), OK);
	assert_int_equal(give_order(&w, "901700000000019"), ERR_CONFLICT); /* a number with another K */
	assert_int_equal(give_order(&w, "901700000000020"), OK);
	assert_int_equal(give_order(&w, "901700000000021"), ERR_LIMIT);
	world_again(&w);
	assert_int_equal(tre_orders(w.t), 4);
	assert_int_equal(tre_order(w.t, 3, &o), OK);
	assert_string_equal(o.pimsi, "901700000000020");
	assert_int_equal(tre_order(w.t, 4, &o), ERR_MISSING);
	tre_close(w.t);
	w.t = NULL;
	snprintf(path, sizeof(path), "%s/tre.key", w.dir);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(tre_open(w.dir, &w.t, &w.why), ERR_DENIED); /* others may read it */
	world_free(&w);
}

/* A registration operator of the same PKI speaks for its own numbers only. */
static void an_order_is_signed_by_whom_it_names(void **state)
{
	struct signer other, own;
	struct world w;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	own = w.registration;
	leaf_new(&w.pki, "registration", "901-71", &other);
	w.registration = other;
	assert_int_equal(give_order(&w, "901700000000018"), ERR_DENIED);
	assert_string_equal(w.why.text, "the order of 901-70 is signed by 901-71");
	assert_int_equal(tre_orders(w.t), 1);
	w.registration = own;
	assert_int_equal(give_order(&w, "901700000000018"), OK);
	leaf_free(&other);
	world_free(&w);
}

/* A certificate of another key or id, an order of another algorithm, another realm's challenge. */
static void what_is_not_for_us_is_not_taken(void **state)
{
	struct signer of_key, of_id;
	EVP_PKEY *ours;
	struct order o;
	struct world w;
	char got[DIGITS_MAX], line[DIGEST_LINE];

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	ours = X509_get_pubkey(w.attest);
	for (int use = CERT_SIGN; use <= CERT_DELIVER; use++) {
		leaf_for(&w.pki, (struct cert_new){ .who = { "equipment", "acme:000017" }, .use = (enum cert_use)use, .from = w.now - 10 }, NULL, &of_key);
		assert_int_equal(tre_load_certificate(w.t, of_key.cert, w.pki.ca, &w.why), ERR_AUTH);
		leaf_free(&of_key);
	}
	leaf_for(&w.pki, (struct cert_new){ .who = { "equipment", "acme:000018" }, .use = CERT_SIGN, .from = w.now - 10 }, ours, &of_id);
	assert_int_equal(tre_load_certificate(w.t, of_id.cert, w.pki.ca, &w.why), ERR_DENIED);
	leaf_free(&of_id);
	EVP_PKEY_free(ours);
	make_order(&w, "901700000000018");
	assert_int_equal(cms_open(OBJECT_ORDER, BYTES(w.order, w.order_n), from(NULL, w.pki.roots), &o, NULL, &w.why), OK);
	o.algorithm = 2;
	sign(OBJECT_ORDER, &o, &w.registration, w.order, &w.order_n);
	assert_int_equal(tre_load_order(w.t, BYTES(w.order, w.order_n), got, &w.why), ERR_UNSUPPORTED);
	assert_int_equal(tre_discover(w.t, 0, (struct discover_ask){ "registration.other", "/v1/discover", "" }, line, &w.why), ERR_DENIED);
	world_free(&w);
}

/* Two packages before the first trial: the newer is tried, and once it is committed the older is not. */
static void what_was_given_up_is_not_tried(void **state)
{
	struct world w;
	int slot = -1;

	(void)state;
	world_new(&w);
	world_manufacture(&w);
	until_installed(&w);
	(void)until_committed(&w);
	assert_int_equal(tre_slot(w.t, TRE_TRIAL, &slot, &w.why), ERR_ORDER);
	assert_false(tre_inactive(w.t));
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(out_of_order_is_an_error), cmocka_unit_test(a_route_is_for_us_and_now),
		cmocka_unit_test(a_challenge_is_for_this_route),
		cmocka_unit_test(nothing_crosses_from_run_to_run), cmocka_unit_test(a_package_is_for_us), cmocka_unit_test(no_bit_of_a_package_may_flip),
		cmocka_unit_test(installed_once), cmocka_unit_test(forward_secrecy), cmocka_unit_test(the_signer_is_named),
		cmocka_unit_test(an_acknowledgement_is_for_our_receipt),
		cmocka_unit_test(revoked_is_destroyed_unknown_waits), cmocka_unit_test(a_sealed_package_outlives_a_power_cut),
		cmocka_unit_test(nothing_gets_younger_by_a_power_cut), cmocka_unit_test(a_newer_route_or_answer_ends_a_sealed_package),
		cmocka_unit_test(what_is_stored_is_checked_again), cmocka_unit_test(records_of_other_versions),
		cmocka_unit_test(two_slots_turn_about), cmocka_unit_test(a_trial_is_of_one_usim), cmocka_unit_test(a_receipt_stays_the_same),
		cmocka_unit_test(everything_is_judged_again_by_the_time), cmocka_unit_test(certificates_are_judged_again_by_the_time),
		cmocka_unit_test(the_floor_never_goes_back), cmocka_unit_test(orders_and_roots), cmocka_unit_test(an_order_is_signed_by_whom_it_names),
		cmocka_unit_test(what_is_not_for_us_is_not_taken), cmocka_unit_test(what_was_given_up_is_not_tried) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
