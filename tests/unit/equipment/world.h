/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_TESTS_UNIT_EQUIPMENT_WORLD_H
#define USHER_TESTS_UNIT_EQUIPMENT_WORLD_H
/* A tre, and everybody who signs for it: each make_...() makes the right object for where the tre stands, give_...() gives it to its door, too. */
#include <stdlib.h>
#include <unistd.h>

#include "package/package.h"
#include "proto/digest.h"
#include "proto/milenage.h"
#include "proto/ocsp.h"
#include "roles/equipment/doors.h"
#include "tests/unit/signers.h"

enum { DAY = 86400 };

struct world {
	struct pki pki;
	struct signer registration, dlusim, hss;
	X509 *attest, *deliver;
	EVP_PKEY *deliver_key;
	char dir[64];
	struct tre *t;
	struct secret claim;
	struct order_keys keys, usim;  /* of the PIMSI; of the last package */
	uint64_t seq, usim_seq;
	int64_t now, counter;
	/* the last of each, to be spoiled before the next is made: 0 as they should be */
	struct discover_answer d;
	struct challenge c;
	struct answer a;
	struct trigger g;
	struct receipt r;
	struct profile p;
	int64_t discover_until, challenge_until, trigger_until, package_until;
	uint8_t nonce[16], order[8192], discover[8192], challenge[8192], answer[8192], trigger[8192], profile[8192], package[16384], ocsp[8192], receipt[8192],
		ack[8192];
	size_t order_n, discover_n, challenge_n, answer_n, trigger_n, profile_n, package_n, ocsp_n, receipt_n, ack_n;
	int64_t serial;
	const char *responder;         /* of the last OCSP request, and how many certificates it was about */
	int asked;
	struct why why;
};

static inline enum err hashed(const uint8_t *p, size_t n, uint8_t out[32])
{
	return cms_hash(BYTES(p, n), out);
}

static inline void sign(enum object o, const void *obj, const struct signer *by, uint8_t *dst, size_t *n)
{
	uint8_t *der = NULL;

	assert_int_equal(cms_sign(o, obj, by, &der, n), OK);
	assert_true(*n <= 8192);
	memcpy(dst, der, *n);
	OPENSSL_free(der);
}

/* --- manufacture --- */

static inline void world_certify(struct world *w, enum tre_key which, enum cert_use use, X509 **cert, EVP_PKEY **keep)
{
	struct party who;
	enum cert_use wish;
	EVP_PKEY *key = NULL;
	struct signer s;
	uint8_t *der = NULL;
	size_t n = 0;

	assert_int_equal(tre_enrol(w->t, which, &der, &n, &w->why), OK);
	assert_int_equal(cert_request_read(BYTES(der, n), &who, &wish, &key, &w->why), OK);
	assert_int_equal(wish, use);
	leaf_for(&w->pki, (struct cert_new){ .who = who, .use = use, .from = w->now - 10 }, key, &s);
	*cert = s.cert;
	EVP_PKEY_free(s.key);
	if (keep)
		*keep = key;
	else
		EVP_PKEY_free(key);
	OPENSSL_free(der);
}

static inline void make_order(struct world *w, const char *pimsi)
{
	struct order o = { .algorithm = 1 };
	uint8_t content[128], *sealed = NULL;
	size_t n = 0, len = 0;

	strcpy(o.equipment, "acme:000017");
	strcpy(o.pimsi, pimsi);
	strcpy(o.registration, "901-70");
	strcpy(o.discover_address, "127.0.0.1:1");
	strcpy(o.realm, "registration.example");
	strcpy(o.apn, "prov");
	assert_int_equal(order_keys_write(&w->keys, content, sizeof(content), &n), OK);
	assert_int_equal(package_seal(BYTES(content, n), w->deliver_key, &sealed, &len), OK);
	memcpy(o.keys.p, sealed, o.keys.n = len);
	OPENSSL_free(sealed);
	sign(OBJECT_ORDER, &o, &w->registration, w->order, &w->order_n);
}

static inline enum err give_order(struct world *w, const char *pimsi)
{
	char got[DIGITS_MAX];

	make_order(w, pimsi);
	return tre_load_order(w->t, BYTES(w->order, w->order_n), got, &w->why);
}

/* Made, with keys and nothing else. */
static inline void world_new(struct world *w)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->dir, "/tmp/usher-tre-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->now = clock_now();
	pki_new(&w->pki, 0x3fe);
	leaf_new(&w->pki, "registration", "901-70", &w->registration);
	leaf_new(&w->pki, "dlusim", "dlusim.example", &w->dlusim);
	leaf_new(&w->pki, "hss", "262-42", &w->hss);
	assert_int_equal(secret_random(&w->keys, sizeof(w->keys)), OK);
	assert_int_equal(tre_make(w->dir, "acme:000017", &w->why), OK);
	assert_int_equal(tre_open(w->dir, &w->t, &w->why), OK);
	world_certify(w, TRE_ATTEST, CERT_SIGN, &w->attest, NULL);
	world_certify(w, TRE_DELIVERY, CERT_DELIVER, &w->deliver, &w->deliver_key);
}

static inline void world_manufacture(struct world *w)
{
	assert_int_equal(tre_load_roots(w->t, w->pki.roots, &w->why), OK);
	assert_int_equal(tre_load_certificate(w->t, w->attest, w->pki.ca, &w->why), OK);
	assert_int_equal(tre_load_certificate(w->t, w->deliver, w->pki.ca, &w->why), OK);
	assert_int_equal(tre_label(w->t, &w->claim, &w->why), OK);
	assert_int_equal(give_order(w, "901700000000017"), OK);
}

/* A power cut, and on again. */
static inline void world_again(struct world *w)
{
	tre_close(w->t);
	w->t = NULL;
	assert_int_equal(tre_open(w->dir, &w->t, &w->why), OK);
}

static inline void world_free(struct world *w)
{
	char line[100];

	tre_close(w->t);
	leaf_free(&w->registration);
	leaf_free(&w->dlusim);
	leaf_free(&w->hss);
	X509_free(w->attest);
	X509_free(w->deliver);
	EVP_PKEY_free(w->deliver_key);
	pki_free(&w->pki);
	snprintf(line, sizeof(line), "rm -r '%s'", w->dir);
	assert_int_equal(system(line), 0);
}

/* --- AKA --- */

static inline void vector(const struct order_keys *keys, uint64_t seq, unsigned ind, uint16_t amf, struct vector *v)
{
	struct milenage m;
	uint8_t rand[16], field[2] = { (uint8_t)(amf >> 8), (uint8_t)amf };

	assert_int_equal(secret_random(rand, sizeof(rand)), OK);
	assert_int_equal(milenage_open(&m, &keys->k, &keys->opc), OK);
	assert_int_equal(milenage_vector(&m, rand, seq << 5 | ind, field, v), OK);
	milenage_close(&m);
}

/* The status word; answer and its length without it. */
static inline int apdu(struct tre *t, int slot, struct bytes in, uint8_t answer[256], size_t *n)
{
	assert_int_equal(tre_apdu(t, slot, in, answer, n), OK);
	*n -= 2;
	return answer[*n] << 8 | answer[*n + 1];
}

static inline void select_usim(struct tre *t, int slot)
{
	static const uint8_t select[] = { 0x00, 0xa4, 0x04, 0x0c, 0x07, 0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02 };
	uint8_t answer[256];
	size_t n;

	assert_int_equal(apdu(t, slot, BYTES_OF(select), answer, &n), 0x9000);
}

static inline int authenticate(struct tre *t, int slot, const struct vector *v, uint8_t answer[256], size_t *n)
{
	uint8_t in[39] = { 0x00, 0x88, 0x00, 0x81, 0x22, 16 };

	select_usim(t, slot);
	memcpy(in + 6, v->rand, 16);
	in[22] = 16;
	memcpy(in + 23, v->autn, 16);
	return apdu(t, slot, BYTES_OF(in), answer, n);
}

static inline int usim_authenticates(struct world *w, int slot)
{
	struct vector v;
	uint8_t answer[256];
	size_t n;
	int sw;

	vector(&w->usim, ++w->usim_seq, 0, 0, &v);
	sw = authenticate(w->t, slot, &v, answer, &n);
	return sw == 0x9000 && answer[0] != 0xdb ? -1 : sw;
}

/* --- the journey --- */

static inline enum err ask_discover(struct world *w)
{
	struct vector v;
	uint8_t nonce[32];
	char text[64], line[DIGEST_LINE];
	struct digest d;
	enum err e;

	vector(&w->keys, ++w->seq, 28, 1, &v);
	memcpy(nonce, v.rand, 16);
	memcpy(nonce + 16, v.autn, 16);
	assert_int_equal(b64_of(BYTES_OF(nonce), text, sizeof(text)), OK);
	e = tre_discover(w->t, 0, (struct discover_ask){ "registration.example", "/v1/discover", text }, line, &w->why);
	if (!e) {
		assert_int_equal(digest_read(line, &d), OK);
		assert_int_equal(hex_read(d.cnonce, w->nonce, 16), OK);
	}
	return e;
}

static inline void make_discover(struct world *w)
{
	struct discover_answer *d = &w->d;
	uint8_t *spki = NULL;
	int n = i2d_PUBKEY(w->hss.key, &spki);

	memset(d, 0, sizeof(*d));
	strcpy(d->pimsi, "901700000000017");
	strcpy(d->equipment, "acme:000017");
	assert_int_equal(cert_hash(w->attest, d->certificate), OK);
	strcpy(d->operator, "262-42");
	strcpy(d->dlusim, "dlusim.example");
	strcpy(d->dlusim_address, "127.0.0.1:2");
	strcpy(d->dm_address, "127.0.0.1:3");
	strcpy(d->owner, "waterworks");
	d->serial = w->serial ? w->serial : 1;
	d->ocsp.n = 3;
	for (int i = 0; i < 3; i++)
		snprintf(d->ocsp.item[i], sizeof(d->ocsp.item[i]), "127.0.0.1:%d", 4 + i);
	memcpy(d->nonce, w->nonce, 16);
	d->expiry = w->discover_until ? w->discover_until : w->now + 300;
	assert_int_equal(hashed(spki, (size_t)n, d->signer), OK);
	OPENSSL_free(spki);
	assert_int_equal(object_claim_proof(&w->claim, &(struct claimed){ d->operator, d->dlusim, d->equipment, d->owner, d->serial }, d->proof), OK);
}

static inline enum err route_signed(struct world *w)
{
	sign(OBJECT_DISCOVER, &w->d, &w->registration, w->discover, &w->discover_n);
	return tre_route(w->t, BYTES(w->discover, w->discover_n), NULL, &w->why);
}

static inline enum err give_discover(struct world *w)
{
	make_discover(w);
	return route_signed(w);
}

static inline void make_challenge(struct world *w)
{
	struct challenge *c = &w->c;

	memset(c, 0, sizeof(*c));
	strcpy(c->dlusim, "dlusim.example");
	strcpy(c->equipment, "acme:000017");
	assert_int_equal(hashed(w->discover, w->discover_n, c->discover), OK);
	c->expiry = w->challenge_until ? w->challenge_until : w->now + 300;
	sign(OBJECT_CHALLENGE, c, &w->dlusim, w->challenge, &w->challenge_n);
}

static inline enum err give_challenge(struct world *w)
{
	uint8_t *der = NULL;
	enum err e;

	make_challenge(w);
	e = tre_answer(w->t, BYTES(w->challenge, w->challenge_n), &der, &w->answer_n, &w->why);
	if (!e) {
		memcpy(w->answer, der, w->answer_n);
		assert_int_equal(cms_open(OBJECT_ANSWER, BYTES(w->answer, w->answer_n), from("acme:000017", w->pki.roots), &w->a, NULL, &w->why), OK);
	}
	OPENSSL_free(der);
	return e;
}

static inline void make_trigger(struct world *w)
{
	struct trigger *g = &w->g;

	memset(g, 0, sizeof(*g));
	strcpy(g->dlusim, "dlusim.example");
	strcpy(g->equipment, "acme:000017");
	assert_int_equal(hashed(w->answer, w->answer_n, g->answer), OK);
	strcpy(g->job, "j1");
	strcpy(g->dm, "dm.example");
	strcpy(g->dm_address, "127.0.0.1:3");
	g->expiry = w->trigger_until ? w->trigger_until : w->now + 30 * DAY;
	sign(OBJECT_TRIGGER, g, &w->dlusim, w->trigger, &w->trigger_n);
}

static inline enum err give_trigger(struct world *w)
{
	struct trigger out;

	make_trigger(w);
	return tre_take_trigger(w->t, BYTES(w->trigger, w->trigger_n), &out, &w->why);
}

static inline void make_profile(struct world *w)
{
	struct profile *p = &w->p;

	memset(p, 0, sizeof(*p));
	strcpy(p->operator, "262-42");
	strcpy(p->equipment, "acme:000017");
	memcpy(p->certificate, w->a.certificate, 32);
	assert_int_equal(hashed(w->a.one_time.p, w->a.one_time.n, p->one_time), OK);
	assert_int_equal(hashed(w->answer, w->answer_n, p->answer), OK);
	p->counter = ++w->counter;
	snprintf(p->package, sizeof(p->package), "p%d", (int)p->counter);
	p->expiry = w->package_until ? w->package_until : w->now + 30 * DAY;
	snprintf(p->minimal.imsi, sizeof(p->minimal.imsi), "26242000000000%d", (int)(p->counter % 10));
	strcpy(p->minimal.iccid, "8926242000000000017");
	assert_int_equal(secret_random(&w->usim, sizeof(w->usim)), OK);
	w->usim_seq = 0;
	p->minimal.k = w->usim.k;
	p->minimal.opc = w->usim.opc;
	p->minimal.algorithm = 1;
	p->minimal.home.n = 1;
	strcpy(p->minimal.home.item[0], "262-42");
}

static inline void make_package(struct world *w, const struct signer *by)
{
	const uint8_t *at = w->a.one_time.p;
	EVP_PKEY *to = d2i_PUBKEY(NULL, &at, (long)w->a.one_time.n);
	uint8_t *der = NULL;

	if (!to) /* no answer was given: to any key */
		to = EVP_EC_gen("P-256");
	sign(OBJECT_PROFILE, &w->p, by, w->profile, &w->profile_n);
	assert_int_equal(package_seal(BYTES(w->profile, w->profile_n), to, &der, &w->package_n), OK);
	memcpy(w->package, der, w->package_n);
	OPENSSL_free(der);
	EVP_PKEY_free(to);
}

static inline enum err package_signed(struct world *w, const struct signer *by)
{
	make_package(w, by);
	return tre_take_package(w->t, BYTES(w->package, w->package_n), &w->why);
}

static inline enum err give_package(struct world *w)
{
	make_profile(w);
	return package_signed(w, &w->hss);
}

/* The tre's question, answered by the attestation provider p at `when`: `state` is the first certificate's, the others are good. */
static inline enum err make_ocsp_of(struct world *w, const struct pki *p, unsigned turn, int64_t when, enum ocsp_state state)
{
	const struct ocsp_status s[] = { { state, when - 1, -1 }, { OCSP_GOOD, 0, -1 }, { OCSP_GOOD, 0, -1 } };
	struct ocsp_ask q;
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e = tre_ocsp_ask(w->t, turn, &w->responder, &der, &n, &w->why);

	if (e)
		return e;
	assert_int_equal(ocsp_ask_read(BYTES(der, n), &q), OK);
	w->asked = (int)q.n;
	OPENSSL_free(der);
	assert_int_equal(ocsp_answer_write(&q, s, (struct ocsp_signer){ p->ocsp, p->ocsp_key, when, 300 }, &der, &n), OK);
	ocsp_ask_free(&q);
	assert_true(n <= sizeof(w->ocsp));
	memcpy(w->ocsp, der, w->ocsp_n = n);
	OPENSSL_free(der);
	return OK;
}

static inline enum err give_ocsp_of(struct world *w, const struct pki *p, unsigned turn, int64_t when, enum ocsp_state state)
{
	enum err e = make_ocsp_of(w, p, turn, when, state);

	return e ? e : tre_ocsp(w->t, BYTES(w->ocsp, w->ocsp_n), &w->why);
}

/* All signers' certificates are of one CA. */
static inline enum err make_ocsp(struct world *w, int64_t when, enum ocsp_state state)
{
	return make_ocsp_of(w, &w->pki, 0, when, state);
}

static inline enum err give_ocsp(struct world *w, int64_t when, enum ocsp_state state)
{
	return give_ocsp_of(w, &w->pki, 0, when, state);
}

static inline void make_ack(struct world *w)
{
	struct acknowledgement *a = calloc(1, sizeof(*a));
	uint8_t *der = NULL;
	size_t n = 0;

	if (!tre_receipt(w->t, &der, &n, &w->why))
		memcpy(w->receipt, der, w->receipt_n = n);
	OPENSSL_free(der);
	strcpy(a->dlusim, "dlusim.example");
	strcpy(a->equipment, "acme:000017");
	assert_int_equal(hashed(w->receipt, w->receipt_n, a->receipt), OK);
	sign(OBJECT_ACKNOWLEDGEMENT, a, &w->dlusim, w->ack, &w->ack_n);
	free(a);
}

static inline enum err give_ack(struct world *w)
{
	make_ack(w);
	return tre_ack(w->t, BYTES(w->ack, w->ack_n), &w->why);
}

static inline void until_triggered(struct world *w)
{
	assert_int_equal(ask_discover(w), OK);
	assert_int_equal(give_discover(w), OK);
	assert_int_equal(give_challenge(w), OK);
	assert_int_equal(give_trigger(w), OK);
}

static inline void until_installed(struct world *w)
{
	until_triggered(w);
	assert_int_equal(give_package(w), OK);
	assert_int_equal(give_ocsp(w, w->now, OCSP_GOOD), OK);
}

static inline int until_committed(struct world *w)
{
	int slot = -1;

	until_installed(w);
	assert_int_equal(tre_slot(w->t, TRE_TRIAL, &slot, &w->why), OK);
	assert_int_equal(usim_authenticates(w, slot), 0x9000);
	assert_int_equal(tre_slot(w->t, TRE_COMMIT, NULL, &w->why), OK);
	return slot;
}

#endif
