/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/milenage.h"

#include <string.h>

enum out { OUT1, OUT2, OUT3, OUT4, OUT5, OUTS };

/* r1..r5 in octets and the last octet of c1..c5 (TS 35.206 4.1) */
static const struct {
	uint8_t rotate, last;
} constants[OUTS] = { { 8, 0 }, { 0, 1 }, { 4, 2 }, { 8, 4 }, { 12, 8 } };

static enum err aes(struct milenage *m, const uint8_t *in, int n, uint8_t *out)
{
	int done = 0;

	return EVP_EncryptUpdate(m->aes, out, &done, in, n) == 1 && done == n ? OK : ERR_CRYPTO;
}

static EVP_CIPHER_CTX *schedule(const struct secret *k)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	EVP_CIPHER_CTX *c = cipher ? EVP_CIPHER_CTX_new() : NULL;

	if (c && (EVP_EncryptInit_ex2(c, cipher, k->octet, NULL, NULL) != 1 || EVP_CIPHER_CTX_set_padding(c, 0) != 1)) {
		EVP_CIPHER_CTX_free(c);
		c = NULL;
	}
	EVP_CIPHER_free(cipher);
	return c;
}

enum err milenage_open(struct milenage *m, const struct secret *k, const struct secret *opc)
{
	m->aes = schedule(k);
	memcpy(m->opc, opc->octet, sizeof(m->opc));
	return m->aes ? OK : ERR_CRYPTO;
}

enum err milenage_key(struct milenage *m, const struct secret *k, const struct secret *opc)
{
	memcpy(m->opc, opc->octet, sizeof(m->opc));
	return EVP_EncryptInit_ex2(m->aes, NULL, k->octet, NULL, NULL) == 1 ? OK : ERR_CRYPTO;
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

/* TEMP = E_K(RAND xor OPc) */
static enum err temp_of(struct milenage *m, const uint8_t rand[16], uint8_t temp[16])
{
	xor_into(temp, rand, m->opc, 16);
	return aes(m, temp, 16, temp);
}

/* IN1 = SQN || AMF || SQN || AMF */
static void in1_of(const uint8_t sqn[6], const uint8_t amf[2], uint8_t in1[16])
{
	memcpy(in1, sqn, 6);
	memcpy(in1 + 6, amf, 2);
	memcpy(in1 + 8, in1, 8);
}

/*
 * OUTfrom..OUTto in one pass of the cipher: OUT1 = E_K(TEMP xor rot(IN1 xor OPc, r1) xor c1) xor OPc,
 * OUTn = E_K(rot(TEMP xor OPc, rn) xor cn) xor OPc. in1 is read for OUT1 only. On failure out is zeros.
 */
static enum err outs(struct milenage *m, const uint8_t temp[16], const uint8_t *in1, enum out from, enum out to, uint8_t *out)
{
	uint8_t in[OUTS * 16];
	const int n = 16 * ((int)to - (int)from + 1);
	enum err e;

	for (int o = (int)from; o <= (int)to; o++) {
		const uint8_t *x = o == OUT1 ? in1 : temp;
		uint8_t *dst = in + 16 * (o - (int)from);

		for (int i = 0; i < 16; i++) {
			int at = (i + constants[o].rotate) % 16;

			dst[i] = x[at] ^ m->opc[at] ^ (o == OUT1 ? temp[i] : 0);
		}
		dst[15] ^= constants[o].last;
	}
	e = aes(m, in, n, out);
	for (int i = 0; i < n; i++)
		out[i] = e ? 0 : out[i] ^ m->opc[i % 16];
	secret_wipe(in, sizeof(in));
	return e;
}

enum err milenage_f1(struct milenage *m, const uint8_t rand[16], const uint8_t sqn[6], const uint8_t amf[2], uint8_t mac_a[8],
	uint8_t mac_s[8])
{
	uint8_t temp[16], in1[16], out[16] = { 0 };
	enum err e = temp_of(m, rand, temp);

	in1_of(sqn, amf, in1);
	if (!e)
		e = outs(m, temp, in1, OUT1, OUT1, out);
	memcpy(mac_a, out, 8);
	memcpy(mac_s, out + 8, 8);
	secret_wipe(temp, sizeof(temp));
	secret_wipe(in1, sizeof(in1));
	secret_wipe(out, sizeof(out));
	return e;
}

/* out: OUT2..OUT5 */
static void keys_take(const uint8_t *out, struct milenage_keys *k)
{
	memcpy(k->ak, out, 6);
	memcpy(k->res, out + 8, 8);
	memcpy(k->ck, out + 16, 16);
	memcpy(k->ik, out + 32, 16);
	memcpy(k->ak_s, out + 48, 6);
}

enum err milenage_keys(struct milenage *m, const uint8_t rand[16], struct milenage_keys *k)
{
	uint8_t temp[16], out[4 * 16] = { 0 };
	enum err e = temp_of(m, rand, temp);

	if (!e)
		e = outs(m, temp, NULL, OUT2, OUT5, out);
	keys_take(out, k);
	secret_wipe(temp, sizeof(temp));
	secret_wipe(out, sizeof(out));
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

/* TEMP once, OUT1..OUT4 in one pass: five blocks (f5* is not needed). */
enum err milenage_vector(struct milenage *m, const uint8_t rand[16], uint64_t sqn, const uint8_t amf[2], struct vector *v)
{
	uint8_t temp[16], in1[16], sqn6[6], out[4 * 16] = { 0 };
	enum err e = temp_of(m, rand, temp);

	sqn_write(sqn, sqn6);
	in1_of(sqn6, amf, in1);
	if (!e)
		e = outs(m, temp, in1, OUT1, OUT4, out);
	memcpy(v->rand, rand, 16);
	xor_into(v->autn, sqn6, out + 16, 6);
	memcpy(v->autn + 6, amf, 2);
	memcpy(v->autn + 8, out, 8);
	memcpy(v->res, out + 24, 8);
	memcpy(v->ck, out + 32, 16);
	memcpy(v->ik, out + 48, 16);
	for (int i = 0; i < 8; i++)
		v->kc[i] = v->ck[i] ^ v->ck[i + 8] ^ v->ik[i] ^ v->ik[i + 8];
	if (e)
		secret_wipe(v, sizeof(*v));
	secret_wipe(temp, sizeof(temp));
	secret_wipe(in1, sizeof(in1));
	secret_wipe(out, sizeof(out));
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
	if (e)
		memset(auts, 0, 14);
	secret_wipe(&k, sizeof(k));
	return e;
}
