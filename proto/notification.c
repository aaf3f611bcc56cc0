/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/notification.h"

#include <openssl/evp.h>
#include <string.h>

enum { MD5_N = 16, B64_N = 25, VERSION_1_2 = 12, SERVER_INITIATED = 1 };

static enum err md5_b64(struct bytes a, struct bytes b, char out[B64_N])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t md[MD5_N];
	int ok = c && EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(c, a.p, a.n) == 1 && EVP_DigestUpdate(c, b.p, b.n) == 1
		&& EVP_DigestFinal_ex(c, md, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok ? b64_of(BYTES_OF(md), out, B64_N) : ERR_CRYPTO;
}

static enum err digest(const char *server, struct bytes password, struct bytes nonce, struct bytes trigger, uint8_t out[MD5_N])
{
	char who[B64_N], what[B64_N], name[258];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	struct wr w = wr_of(name, sizeof(name));
	enum err e;
	int ok;

	wr_text(&w, server);
	wr_u8(&w, ':');
	e = wr_done(&w);
	if (!e)
		e = md5_b64(wr_view(&w), password, who);
	if (!e)
		e = md5_b64(trigger, BYTES(NULL, 0), what);
	ok = !e && c && EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(c, who, strlen(who)) == 1 && EVP_DigestUpdate(c, ":", 1) == 1
		&& EVP_DigestUpdate(c, nonce.p, nonce.n) == 1 && EVP_DigestUpdate(c, ":", 1) == 1
		&& EVP_DigestUpdate(c, what, strlen(what)) == 1 && EVP_DigestFinal_ex(c, out, NULL) == 1;
	EVP_MD_CTX_free(c);
	return e ? e : ok ? OK : ERR_CRYPTO;
}

enum err notification_write(const struct notification *m, struct bytes password, struct bytes nonce, uint8_t *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);
	size_t len = strlen(m->server);
	uint8_t md[MD5_N] = { 0 };
	enum err e;

	wr_copy(&w, md, sizeof(md));
	/* version 10 bits, ui-mode 2, initiator 1, future 27 */
	wr_u16(&w, (uint16_t)(VERSION_1_2 - 1) << 6 | (uint16_t)(m->user_interaction << 4) | SERVER_INITIATED << 3);
	wr_u24(&w, 0);
	wr_u16(&w, m->session);
	wr_u8(&w, (uint8_t)len);
	wr_text(&w, m->server);
	if (len > 255 || wr_done(&w))
		return ERR_LIMIT;
	e = digest(m->server, password, nonce, BYTES(dst + MD5_N, w.n - MD5_N), dst);
	*n = w.n;
	return e;
}

enum err notification_read(struct bytes in, struct bytes password, struct bytes nonce, struct notification *m)
{
	struct rd r = rd_of(in);
	struct bytes have = rd_view(&r, MD5_N), trigger = BYTES(in.p + MD5_N, in.n > MD5_N ? in.n - MD5_N : 0);
	uint16_t bits = rd_u16(&r);
	uint8_t md[MD5_N];
	enum err e;

	memset(m, 0, sizeof(*m));
	(void)rd_u24(&r);
	m->session = rd_u16(&r);
	e = text_copy_bytes(m->server, sizeof(m->server), rd_view(&r, rd_u8(&r)));
	if (r.bad)
		return r.bad;
	m->user_interaction = bits >> 4 & 3;
	if (e || bits >> 6 != VERSION_1_2 - 1)
		return e ? e : ERR_UNSUPPORTED;
	e = digest(m->server, password, nonce, trigger, md);
	return e ? e : bytes_same(md, have.p, MD5_N) ? OK : ERR_AUTH;
}
