/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/milenage.h"

#include <string.h>

static enum err aes(struct milenage *m, const uint8_t in[16], uint8_t out[16])
{
	int n = 0;

	return EVP_EncryptUpdate(m->aes, out, &n, in, 16) == 1 && n == 16 ? OK : ERR_CRYPTO;
}

static EVP_CIPHER_CTX *schedule(const struct secret *k)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c && EVP_EncryptInit_ex(c, EVP_aes_128_ecb(), NULL, k->octet, NULL) == 1 && EVP_CIPHER_CTX_set_padding(c, 0) == 1)
		return c;
	EVP_CIPHER_CTX_free(c);
	return NULL;
}

enum err milenage_open(struct milenage *m, const struct secret *k, const struct secret *opc)
{
	m->aes = schedule(k);
	memcpy(m->opc, opc->octet, sizeof(m->opc));
	return m->aes ? OK : ERR_CRYPTO;
}

void milenage_close(struct milenage *m)
{
	EVP_CIPHER_CTX_free(m->aes);
	secret_wipe(m, sizeof(*m));
}

static void xor_into(uint8_t *dst, const uint8_t *a, const uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = a[i] ^ b[i];
}

enum err milenage_opc(const struct secret *k, const uint8_t op[16], struct secret *opc)
{
	struct milenage m = { .aes = schedule(k) };
	enum err e = m.aes ? aes(&m, op, opc->octet) : ERR_CRYPTO;

	xor_into(opc->octet, opc->octet, op, 16);
	milenage_close(&m);
	return e;
}

/* TEMP = E_K(RAND xor OPc) */
static enum err temp_of(struct milenage *m, const uint8_t rand[16], uint8_t temp[16])
{
	xor_into(temp, rand, m->opc, 16);
	return aes(m, temp, temp);
}

/* OUTn = E_K(rot(in, r) xor c) xor OPc with r in octets and c the last octet of the constant (TS 35.206 4.1) */
static enum err out_of(struct milenage *m, const uint8_t in[16], int r, uint8_t c, const uint8_t *add, uint8_t out[16])
{
	uint8_t x[16];
	enum err e;

	for (int i = 0; i < 16; i++)
		x[i] = in[(i + r) % 16];
	x[15] ^= c;
	if (add)
		xor_into(x, x, add, 16);
	e = aes(m, x, out);
	xor_into(out, out, m->opc, 16);
	return e;
}

enum err milenage_f1(struct milenage *m, const uint8_t rand[16], const uint8_t sqn[6], const uint8_t amf[2], uint8_t mac_a[8],
	uint8_t mac_s[8])
{
	uint8_t temp[16], in1[16], out[16];
	enum err e = temp_of(m, rand, temp);

	memcpy(in1, sqn, 6);
	memcpy(in1 + 6, amf, 2);
	memcpy(in1 + 8, in1, 8);
	xor_into(in1, in1, m->opc, 16);
	/* r1 = 64 bits, c1 = 0, TEMP is added after the rotation */
	if (!e)
		e = out_of(m, in1, 8, 0, temp, out);
	memcpy(mac_a, out, 8);
	memcpy(mac_s, out + 8, 8);
	secret_wipe(temp, sizeof(temp));
	return e;
}

enum err milenage_keys(struct milenage *m, const uint8_t rand[16], struct milenage_keys *k)
{
	uint8_t temp[16], out2[16], out5[16];
	enum err e = temp_of(m, rand, temp);

	xor_into(temp, temp, m->opc, 16);
	if (!e)
		e = out_of(m, temp, 0, 1, NULL, out2); /* r2 = 0, c2 = 1 */
	if (!e)
		e = out_of(m, temp, 4, 2, NULL, k->ck); /* r3 = 32 */
	if (!e)
		e = out_of(m, temp, 8, 4, NULL, k->ik); /* r4 = 64 */
	if (!e)
		e = out_of(m, temp, 12, 8, NULL, out5); /* r5 = 96 */
	memcpy(k->ak, out2, 6);
	memcpy(k->res, out2 + 8, 8);
	memcpy(k->ak_s, out5, 6);
	secret_wipe(temp, sizeof(temp));
	return e;
}

static void sqn_write(uint64_t sqn, uint8_t out[6])
{
	struct wr w = wr_of(out, 6);

	wr_u48(&w, sqn);
}

static uint64_t sqn_read(const uint8_t in[6])
{
	struct rd r = rd_of(BYTES(in, 6));

	return rd_u48(&r);
}

enum err milenage_vector(struct milenage *m, const uint8_t rand[16], uint64_t sqn, const uint8_t amf[2], struct vector *v)
{
	struct milenage_keys k;
	uint8_t sqn6[6], mac_s[8];
	enum err e = milenage_keys(m, rand, &k);

	sqn_write(sqn, sqn6);
	if (!e)
		e = milenage_f1(m, rand, sqn6, amf, v->autn + 8, mac_s);
	memcpy(v->rand, rand, 16);
	xor_into(v->autn, sqn6, k.ak, 6);
	memcpy(v->autn + 6, amf, 2);
	memcpy(v->res, k.res, 8);
	memcpy(v->ck, k.ck, 16);
	memcpy(v->ik, k.ik, 16);
	for (int i = 0; i < 8; i++)
		v->kc[i] = k.ck[i] ^ k.ck[i + 8] ^ k.ik[i] ^ k.ik[i + 8];
	secret_wipe(&k, sizeof(k));
	return e;
}

static const uint8_t amf_resync[2] = { 0, 0 };

enum err milenage_auts_check(struct milenage *m, const uint8_t rand[16], const uint8_t auts[14], uint64_t *sqn_ms)
{
	struct milenage_keys k;
	uint8_t sqn[6], mac_a[8], mac_s[8];
	enum err e = milenage_keys(m, rand, &k);

	xor_into(sqn, auts, k.ak_s, 6);
	secret_wipe(&k, sizeof(k));
	if (!e)
		e = milenage_f1(m, rand, sqn, amf_resync, mac_a, mac_s);
	if (!e && !bytes_same(mac_s, auts + 6, 8))
		e = ERR_AUTH;
	*sqn_ms = e ? 0 : sqn_read(sqn);
	return e;
}

enum err milenage_check(struct milenage *m, const uint8_t rand[16], const uint8_t autn[16], uint64_t *sqn, uint8_t amf[2],
	struct milenage_keys *keys)
{
	uint8_t sqn6[6], mac_a[8], mac_s[8];
	enum err e = milenage_keys(m, rand, keys);

	xor_into(sqn6, autn, keys->ak, 6);
	memcpy(amf, autn + 6, 2);
	if (!e)
		e = milenage_f1(m, rand, sqn6, amf, mac_a, mac_s);
	if (!e && !bytes_same(mac_a, autn + 8, 8))
		e = ERR_AUTH;
	*sqn = e ? 0 : sqn_read(sqn6);
	if (e)
		secret_wipe(keys, sizeof(*keys));
	return e;
}

enum err milenage_auts(struct milenage *m, const uint8_t rand[16], uint64_t sqn_ms, uint8_t auts[14])
{
	struct milenage_keys k;
	uint8_t sqn[6], mac_a[8];
	enum err e = milenage_keys(m, rand, &k);

	sqn_write(sqn_ms, sqn);
	if (!e)
		e = milenage_f1(m, rand, sqn, amf_resync, mac_a, auts + 6);
	xor_into(auts, sqn, k.ak_s, 6);
	secret_wipe(&k, sizeof(k));
	return e;
}
