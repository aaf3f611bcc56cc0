/* SPDX-License-Identifier: Apache-2.0 */
/* The tre's memory: one record, sealed with AES-256-GCM under the tre's own key, in a cell. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "roles/equipment/tre/tre.h"

/* 2: before a package's grounds were kept with it */
enum { VERSION = 3, VERSION_READ = 2, NONCE = 12, TAG = 16, ROOM = 120 * 1024 };

/* --- the record --- */

#define PUT_VAR(w, f) (wr_u16((w), (uint16_t)(f).n), wr_copy((w), (f).p, (f).n))

static void get_var(struct rd *r, size_t *n, uint8_t *p, size_t cap)
{
	*n = rd_u16(r);
	if (*n > cap) {
		*n = 0;
		rd_fail(r, ERR_LIMIT);
	}
	rd_copy(r, p, *n);
}
#define GET_VAR(r, f) get_var((r), &(f).n, (f).p, sizeof((f).p))

static void put(struct wr *w, const struct tre_state *s)
{
	wr_u16(w, VERSION);
	wr_copy(w, s->equipment, sizeof(s->equipment));
	wr_copy(w, s->claim_key.octet, 16);
	wr_u64(w, 0); /* was once a mark that the claim key is told */
	for (int i = 0; i < 2; i++) {
		PUT_VAR(w, s->key[i]);
		PUT_VAR(w, s->cert[i]);
	}
	PUT_VAR(w, s->issuer);
	wr_u8(w, (uint8_t)s->roots);
	for (int i = 0; i < s->roots; i++)
		PUT_VAR(w, s->root[i]);
	wr_u8(w, (uint8_t)s->pimsis);
	for (int i = 0; i < s->pimsis; i++) {
		PUT_VAR(w, s->pimsi[i].order);
		wr_copy(w, &s->pimsi[i].keys, sizeof(s->pimsi[i].keys));
		for (int k = 0; k < 32; k++)
			wr_u48(w, s->pimsi[i].seq[k]);
	}
	wr_u64(w, (uint64_t)s->claim_serial);
	wr_u64(w, (uint64_t)s->floor);
	PUT_VAR(w, s->one_time);
	wr_copy(w, s->answer, sizeof(s->answer));
	wr_copy(w, s->ocsp_nonce, sizeof(s->ocsp_nonce));
	wr_u64(w, (uint64_t)s->counter);
	PUT_VAR(w, s->package);
	wr_u8(w, (uint8_t)s->grounds.slot);
	PUT_VAR(w, s->grounds.discover);
	PUT_VAR(w, s->grounds.trigger);
	wr_copy(w, s->usim, sizeof(s->usim)); /* this machine's own layout: a cell never leaves its equipment */
}

static enum err get(struct bytes in, struct tre_state *s)
{
	struct rd r = rd_of(in);
	int version = rd_u16(&r);

	memset(s, 0, sizeof(*s));
	if (version < VERSION_READ || version > VERSION)
		rd_fail(&r, ERR_UNSUPPORTED);
	rd_copy(&r, s->equipment, sizeof(s->equipment));
	s->equipment[sizeof(s->equipment) - 1] = 0;
	rd_copy(&r, s->claim_key.octet, 16);
	(void)rd_u64(&r);
	for (int i = 0; i < 2; i++) {
		GET_VAR(&r, s->key[i]);
		GET_VAR(&r, s->cert[i]);
	}
	GET_VAR(&r, s->issuer);
	s->roots = rd_u8(&r);
	if (s->roots > TRE_ROOTS)
		rd_fail(&r, ERR_LIMIT);
	for (int i = 0; i < s->roots && !r.bad; i++)
		GET_VAR(&r, s->root[i]);
	s->pimsis = rd_u8(&r);
	if (s->pimsis > SLOT_PIMSI_MAX)
		rd_fail(&r, ERR_LIMIT);
	for (int i = 0; i < s->pimsis && !r.bad; i++) {
		GET_VAR(&r, s->pimsi[i].order);
		rd_copy(&r, &s->pimsi[i].keys, sizeof(s->pimsi[i].keys));
		for (int k = 0; k < 32; k++)
			s->pimsi[i].seq[k] = rd_u48(&r);
	}
	s->claim_serial = (int64_t)rd_u64(&r);
	s->floor = (int64_t)rd_u64(&r);
	GET_VAR(&r, s->one_time);
	rd_copy(&r, s->answer, sizeof(s->answer));
	rd_copy(&r, s->ocsp_nonce, sizeof(s->ocsp_nonce));
	s->counter = (int64_t)rd_u64(&r);
	GET_VAR(&r, s->package);
	if (version > 2) {
		s->grounds.slot = rd_u8(&r);
		GET_VAR(&r, s->grounds.discover);
		GET_VAR(&r, s->grounds.trigger);
	}
	rd_copy(&r, s->usim, sizeof(s->usim));
	return rd_done(&r);
}

/* --- sealed at rest --- */

static enum err seal(const uint8_t key[32], struct bytes in, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, ok = c && !secret_random(out, NONCE) && EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) == 1
		&& EVP_EncryptUpdate(c, out + NONCE, &n, in.p, (int)in.n) == 1 && EVP_EncryptFinal_ex(c, out + NONCE + n, &n) == 1
		&& EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, out + NONCE + in.n) == 1;

	EVP_CIPHER_CTX_free(c);
	return ok ? OK : ERR_CRYPTO;
}

static enum err unseal(const uint8_t key[32], struct bytes in, uint8_t *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	size_t len = in.n >= NONCE + TAG ? in.n - NONCE - TAG : 0;
	uint8_t tag[TAG];
	int n = 0, ok = c && len;

	if (ok)
		memcpy(tag, in.p + NONCE + len, TAG);
	ok = ok && EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in.p) == 1
		&& EVP_DecryptUpdate(c, out, &n, in.p + NONCE, (int)len) == 1 && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1
		&& EVP_DecryptFinal_ex(c, out + n, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok ? OK : ERR_AUTH;
}

static enum err save(struct tre *t, const struct tre_state *s)
{
	uint8_t *plain = malloc(ROOM), *out = malloc(ROOM + NONCE + TAG);
	struct wr w = wr_of(plain, plain ? ROOM : 0);
	enum err e;

	put(&w, s);
	e = out ? wr_done(&w) : ERR_NOMEM;
	if (!e)
		e = seal(t->key, wr_view(&w), out);
	if (!e)
		e = cell_write(t->cell, BYTES(out, w.n + NONCE + TAG));
	if (!e && s != &t->state)
		t->state = *s;
	if (plain)
		secret_wipe(plain, w.n);
	free(plain);
	free(out);
	return e;
}

struct tre_state *state_copy(const struct tre *t)
{
	struct tre_state *s = malloc(sizeof(*s));

	if (s)
		*s = t->state;
	return s;
}

enum err state_keep(struct tre *t, struct tre_state *s, enum err e)
{
	if (!s)
		return e ? e : ERR_NOMEM;
	if (!e)
		e = save(t, s);
	secret_wipe(s, sizeof(*s));
	free(s);
	return e;
}

enum err state_keep_only(struct tre *t, struct tre_state *s, enum err e)
{
	e = state_keep(t, s, e);
	return e ? e : save(t, &t->state);
}

enum err state_load(struct tre *t, struct why *w)
{
	struct bytes in = cell_read(t->cell);
	uint8_t *plain = malloc(in.n + 1);
	enum err e = plain ? OK : ERR_NOMEM;

	if (!e && in.n < NONCE + TAG)
		e = fail(w, ERR_MISSING, "%s: no trusted environment was made here", t->dir);
	if (!e && unseal(t->key, in, plain))
		e = fail(w, ERR_AUTH, "%s: tre.key does not open tre.a, tre.b", t->dir);
	if (!e)
		e = get(BYTES(plain, in.n - NONCE - TAG), &t->state);
	if (e == ERR_UNSUPPORTED)
		(void)!fail(w, e,
			"%s: tre.a, tre.b are of another version of usher-equipment; this one reads versions %d to %d of them", t->dir, VERSION_READ, VERSION);
	if (plain)
		secret_wipe(plain, in.n);
	free(plain);
	return e ? e : state_objects(t);
}

static X509 *certificate(const uint8_t *p, size_t n)
{
	return n ? d2i_X509(NULL, &p, (long)n) : NULL;
}

enum err state_objects(struct tre *t)
{
	struct tre_state *s = &t->state;

	for (int i = 0; i < 2; i++) {
		const uint8_t *p = s->key[i].p;

		EVP_PKEY_free(t->own[i]);
		X509_free(t->cert[i]);
		t->own[i] = d2i_AutoPrivateKey(NULL, &p, (long)s->key[i].n);
		t->cert[i] = certificate(s->cert[i].p, s->cert[i].n);
		if (!t->own[i])
			return ERR_FORMAT;
	}
	X509_free(t->issuer);
	t->issuer = certificate(s->issuer.p, s->issuer.n);
	sk_X509_pop_free(t->roots, X509_free);
	t->roots = sk_X509_new_null();
	for (int i = 0; i < s->roots; i++) {
		X509 *c = certificate(s->root[i].p, s->root[i].n);

		if (!c || !sk_X509_push(t->roots, c)) {
			X509_free(c);
			return ERR_FORMAT;
		}
	}
	return OK;
}
