/* SPDX-License-Identifier: Apache-2.0 */
/* Step 0 in the tre: it makes its keys, takes certificates, roots and orders, and tells its claim key before the first of them. */
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/issue.h"
#include "package/package.h"
#include "roles/equipment/tre/tre.h"

static enum err key_file(const char *dir, uint8_t key[32], struct why *w)
{
	char path[600], text[65] = "";
	struct stat st;
	int fd;
	enum err e = OK;

	snprintf(path, sizeof(path), "%s/tre.key", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || read(fd, text, 64) != 64)
		e = fail(w, ERR_MISSING, "%s: not there, or not 64 hex digits; `usher factory enrol` makes equipments", path);
	else if (st.st_mode & 077)
		e = fail(w, ERR_DENIED, "%s: others may read this key; run: chmod 600 %s", path, path);
	else if (hex_read(text, key, 32))
		e = fail(w, ERR_FORMAT, "%s: not 64 hex digits", path);
	if (fd >= 0)
		close(fd);
	secret_wipe(text, sizeof(text));
	return e;
}

static enum err open_cell(const char *dir, struct tre **out, struct why *w)
{
	struct tre *t = calloc(1, sizeof(*t));
	char path[600];
	enum err e = t ? text_copy(t->dir, sizeof(t->dir), dir) : ERR_NOMEM;

	if (!e)
		e = key_file(dir, t->key, w);
	snprintf(path, sizeof(path), "%s/tre", dir);
	if (!e)
		e = cell_open(path, &t->cell, w);
	if (e) {
		tre_close(t);
		return e;
	}
	*out = t;
	return OK;
}

enum err tre_open(const char *dir, struct tre **out, struct why *w)
{
	enum err e = open_cell(dir, out, w);

	if (!e)
		e = state_load(*out, w);
	if (!e) {
		run_resume(*out);
		return OK;
	}
	if (!w->text[0])
		(void)!fail(w, e, "%s: the trusted environment cannot be read", dir);
	if (*out)
		tre_close(*out);
	*out = NULL;
	return e;
}

void tre_close(struct tre *t)
{
	if (!t)
		return;
	cell_close(t->cell);
	for (int i = 0; i < 2; i++) {
		EVP_PKEY_free(t->own[i]);
		X509_free(t->cert[i]);
	}
	X509_free(t->issuer);
	sk_X509_pop_free(t->roots, X509_free);
	for (int i = 0; i < BY_COUNT; i++)
		cms_signed_free(t->by + i);
	free(t->route);
	secret_wipe(t, sizeof(*t));
	free(t);
}

const char *tre_equipment(const struct tre *t)
{
	return t->state.equipment;
}

/* --- making --- */

static enum err new_key(struct tre_state *s, int which)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	uint8_t *der = NULL;
	int n = k ? i2d_PrivateKey(k, &der) : -1;
	enum err e = n > 0 && (size_t)n <= sizeof(s->key[which].p) ? OK : ERR_CRYPTO;

	if (!e) {
		memcpy(s->key[which].p, der, (size_t)n);
		s->key[which].n = (size_t)n;
	}
	OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
	EVP_PKEY_free(k);
	return e;
}

enum err tre_make(const char *dir, const char *equipment, struct why *w)
{
	struct tre *t = NULL;
	struct tre_state *s = calloc(1, sizeof(*s));
	char path[600];
	enum err e;

	snprintf(path, sizeof(path), "%s/tre.key", dir);
	e = s ? kek_create(path, w) : ERR_NOMEM;
	if (!e || e == ERR_EXISTS) /* a key without a record: the making was cut, and begins anew */
		e = open_cell(dir, &t, w);
	if (!e && cell_counter(t->cell)) {
		e = state_load(t, w);
		if (!e && strcmp(t->state.equipment, equipment))
			e = fail(w, ERR_EXISTS, "%s: here is %s", dir, t->state.equipment);
		tre_close(t);
		free(s);
		return e;
	}
	if (!e)
		e = text_copy(s->equipment, sizeof(s->equipment), equipment);
	if (!e)
		e = secret_random(&s->claim_key, sizeof(s->claim_key));
	for (int i = 0; i < 2 && !e; i++)
		e = new_key(s, i);
	if (!e)
		return e = state_keep(t, s, OK), tre_close(t), e;
	tre_close(t);
	if (s)
		secret_wipe(s, sizeof(*s));
	free(s);
	return e;
}

enum err tre_enrol(struct tre *t, enum tre_key which, uint8_t **der, size_t *n, struct why *w)
{
	struct party who = { "equipment", "" };
	enum err e = text_copy(who.id, sizeof(who.id), t->state.equipment);

	if (!e)
		e = cert_request(t->own[which], &who, which == TRE_ATTEST ? CERT_SIGN : CERT_DELIVER, der, n);
	return e ? fail(w, e, "the request could not be made") : OK;
}

/* --- loading: each check first, then one write --- */

static enum err keep_cert(X509 *c, uint8_t *dst, size_t cap, size_t *n)
{
	uint8_t *der = NULL;
	int len = i2d_X509(c, &der);
	enum err e = len > 0 && (size_t)len <= cap ? OK : ERR_LIMIT;

	if (!e) {
		memcpy(dst, der, (size_t)len);
		*n = (size_t)len;
	}
	OPENSSL_free(der);
	return e;
}

static enum err changed(struct tre *t, struct tre_state *s, enum err e)
{
	e = state_keep(t, s, e);
	return e ? e : state_objects(t);
}

enum err tre_load_roots(struct tre *t, STACK_OF(X509) *roots, struct why *w)
{
	struct tre_state *s;
	enum err e = OK;

	if (t->state.pimsis)
		return fail(w, ERR_ORDER, "an order is loaded: the roots of %s are fixed", t->state.equipment);
	if (sk_X509_num(roots) < 1 || sk_X509_num(roots) > TRE_ROOTS)
		return fail(w, ERR_LIMIT, "1 to %d roots", TRE_ROOTS);
	s = state_copy(t);
	if (!s)
		return ERR_NOMEM;
	s->roots = sk_X509_num(roots);
	for (int i = 0; i < s->roots && !e; i++)
		e = keep_cert(sk_X509_value(roots, i), s->root[i].p, sizeof(s->root[i].p), &s->root[i].n);
	return changed(t, s, e);
}

enum err tre_load_certificate(struct tre *t, X509 *leaf, X509 *issuer, struct why *w)
{
	int which = X509_check_private_key(leaf, t->own[TRE_ATTEST]) == 1 ? TRE_ATTEST : TRE_DELIVERY;
	struct expect x = time_expects(t, t->state.equipment);
	struct tre_state *s;
	enum err e;

	x.role = "equipment";
	x.use = which == TRE_ATTEST ? CERT_SIGN : CERT_DELIVER;
	if (X509_check_private_key(leaf, t->own[which]) != 1)
		return fail(w, ERR_AUTH, "the certificate is for none of the keys of %s", t->state.equipment);
	e = cert_verify_under(leaf, issuer, x, w);
	s = e ? NULL : state_copy(t);
	if (!s)
		return e ? e : ERR_NOMEM;
	e = keep_cert(leaf, s->cert[which].p, sizeof(s->cert[which].p), &s->cert[which].n);
	if (!e)
		e = keep_cert(issuer, s->issuer.p, sizeof(s->issuer.p), &s->issuer.n);
	return changed(t, s, e);
}

static enum err order_open(struct tre *t, struct bytes der, struct order *o, struct order_keys *keys, struct why *w)
{
	struct cms_signed by = { 0 };
	uint8_t *content = NULL;
	size_t n = 0;
	enum err e = cms_open(OBJECT_ORDER, der, time_expects(t, NULL), o, &by, w);

	if (!e && strcmp(by.party.id, o->registration))
		e = fail(w, ERR_DENIED, "the order of %s is signed by %s", o->registration, by.party.id);
	if (!e && strcmp(o->equipment, t->state.equipment))
		e = fail(w, ERR_DENIED, "the order is for %s, this is %s", o->equipment, t->state.equipment);
	if (!e && o->algorithm != 1)
		e = fail(w, ERR_UNSUPPORTED, "algorithm %lld is not MILENAGE", (long long)o->algorithm);
	if (!e)
		e = package_open(BYTES(o->keys.p, o->keys.n), t->own[TRE_DELIVERY], &content, &n, w);
	if (!e)
		e = order_keys_read(BYTES(content, n), keys);
	OPENSSL_clear_free(content, n);
	cms_signed_free(&by);
	return e;
}

/* The very same order again is loaded already; a number used again comes with a new K, and so in another order. */
static enum err order_new(const struct tre *t, struct bytes der, const char *pimsi, struct why *w)
{
	struct order have;

	for (int i = 0; i < t->state.pimsis; i++) {
		if (bytes_equal(der, BYTES(t->state.pimsi[i].order.p, t->state.pimsi[i].order.n)))
			return ERR_EXISTS;
		if (!tre_order(t, i, &have) && !strcmp(have.pimsi, pimsi))
			return fail(w, ERR_CONFLICT, "PIMSI %s is loaded by another order; an equipment that is to have it anew is made anew", pimsi);
	}
	return t->state.pimsis == SLOT_PIMSI_MAX || der.n > sizeof(t->state.pimsi[0].order.p)
		? fail(w, ERR_LIMIT, "%s has no slot left for another PIMSI", t->state.equipment) : OK;
}

enum err tre_load_order(struct tre *t, struct bytes der, char pimsi[DIGITS_MAX], struct why *w)
{
	struct order *o = calloc(1, sizeof(*o));
	struct tre_state *s = NULL;
	struct order_keys keys = { 0 };
	enum err e = o ? order_open(t, der, o, &keys, w) : ERR_NOMEM;

	if (!e)
		e = text_copy(pimsi, DIGITS_MAX, o->pimsi);
	free(o);
	if (!e)
		e = order_new(t, der, pimsi, w);
	s = e ? NULL : state_copy(t);
	if (s) {
		struct pimsi_slot *slot = s->pimsi + s->pimsis++;

		memcpy(slot->order.p, der.p, der.n);
		slot->order.n = der.n;
		slot->keys = keys;
	}
	secret_wipe(&keys, sizeof(keys));
	return e ? e == ERR_EXISTS ? OK : e : changed(t, s, OK);
}

enum err tre_label(const struct tre *t, struct secret *claim_key, struct why *w)
{
	if (t->state.pimsis)
		return fail(w, ERR_ORDER, "%s has an order: its claim key is not told any more", t->state.equipment);
	*claim_key = t->state.claim_key;
	return OK;
}

enum err tre_certificate_hash(const struct tre *t, uint8_t hash[32])
{
	return t->cert[TRE_ATTEST] ? cert_hash(t->cert[TRE_ATTEST], hash) : ERR_MISSING;
}

int tre_orders(const struct tre *t)
{
	return (int)t->state.pimsis;
}

enum err tre_order(const struct tre *t, int slot, struct order *out)
{
	/* What is kept was judged when it came; it is only read since, and its signers' certificates may have ended. */
	const struct expect once = { .roots = t->roots, .time = { 0, 1 } };

	if (slot < 0 || slot >= t->state.pimsis)
		return ERR_MISSING;
	return cms_open(OBJECT_ORDER, BYTES(t->state.pimsi[slot].order.p, t->state.pimsi[slot].order.n), once, out, NULL, NULL);
}
