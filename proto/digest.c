/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define P(f) { #f, offsetof(struct digest, f), sizeof(((struct digest *)0)->f) }
static const struct parameter {
	const char *name;
	size_t offset, size;
} parameters[] = { P(username), P(realm), P(nonce), P(uri), P(response), P(algorithm), P(qop), P(nc), P(cnonce), P(auts) };
enum { PARAMETERS = sizeof(parameters) / sizeof(*parameters) };

/* A token or quoted string (RFC 9110 5.6); *at moves behind it. */
static enum err value_read(const char **at, char *dst, size_t cap)
{
	const char *p = *at;
	size_t n = 0;
	int quoted = *p == '"';

	for (p += quoted; *p && (quoted ? *p != '"' : !strchr(", \t", *p)); p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		if (n + 1 >= cap || (unsigned char)*p < ' ')
			return ERR_LIMIT;
		dst[n++] = *p;
	}
	if (quoted && *p++ != '"')
		return ERR_FORMAT;
	dst[n] = 0;
	*at = p;
	return OK;
}

static enum err pair_read(const char **at, struct digest *d)
{
	char skip[DIGEST_LINE];
	const char *eq = strchr(*at, '=');
	size_t n = eq ? (size_t)(eq - *at) : 0;

	if (!n || n > 32 || strcspn(*at, " ,\"") < n)
		return ERR_FORMAT;
	for (int i = 0; i < PARAMETERS; i++)
		if (strlen(parameters[i].name) == n && !strncasecmp(parameters[i].name, *at, n)) {
			char *dst = (char *)d + parameters[i].offset;

			*at = eq + 1;
			return *dst ? ERR_EXISTS : value_read(at, dst, parameters[i].size);
		}
	*at = eq + 1;
	return value_read(at, skip, sizeof(skip));
}

enum err digest_read(const char *line, struct digest *d)
{
	enum err e = OK;

	memset(d, 0, sizeof(*d));
	if (strncasecmp(line, "Digest ", 7) || strlen(line) >= DIGEST_LINE)
		return ERR_FORMAT;
	for (line += 7; !e; ) {
		line += strspn(line, ", \t");
		if (!*line)
			return OK;
		e = pair_read(&line, d);
	}
	return e;
}

static void quoted(struct wr *w, const char *name, const char *value)
{
	wr_printf(w, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			wr_u8(w, '\\');
		wr_u8(w, (uint8_t)*value);
	}
	wr_u8(w, '"');
}

static enum err finish(struct wr *w, char *dst, size_t cap)
{
	enum err e = cap ? wr_done(w) : ERR_LIMIT;

	if (cap)
		dst[e ? 0 : w->n] = 0;
	return e;
}

enum err digest_challenge_write(const struct digest *d, char *dst, size_t cap)
{
	struct wr w = wr_of(dst, cap ? cap - 1 : 0);

	wr_text(&w, "Digest ");
	quoted(&w, "realm", d->realm);
	wr_text(&w, ", ");
	quoted(&w, "nonce", d->nonce);
	wr_text(&w, ", algorithm=AKAv2-SHA-256, qop=\"auth\"");
	return finish(&w, dst, cap);
}

enum err digest_answer_write(const struct digest *d, char *dst, size_t cap)
{
	struct wr w = wr_of(dst, cap ? cap - 1 : 0);

	wr_text(&w, "Digest ");
	quoted(&w, "username", d->username);
	wr_text(&w, ", ");
	quoted(&w, "realm", d->realm);
	wr_text(&w, ", ");
	quoted(&w, "nonce", d->nonce);
	wr_text(&w, ", ");
	quoted(&w, "uri", d->uri);
	wr_text(&w, ", ");
	quoted(&w, "response", d->response);
	if (*d->nonce) {
		wr_printf(&w, ", algorithm=AKAv2-SHA-256, qop=auth, nc=%s, ", d->nc);
		quoted(&w, "cnonce", d->cnonce);
	}
	if (*d->auts) {
		wr_text(&w, ", ");
		quoted(&w, "auts", d->auts);
	}
	return finish(&w, dst, cap);
}

enum err digest_password(struct bytes res, const uint8_t ik[16], const uint8_t ck[16], char dst[DIGEST_PASSWORD])
{
	static const char text[] = "http-digest-akav2-password";
	uint8_t key[16 + 32], mac[32];
	struct wr w = wr_of(key, sizeof(key));
	unsigned n = sizeof(mac);
	enum err e;

	wr_bytes(&w, res);
	wr_copy(&w, ik, 16);
	wr_copy(&w, ck, 16);
	e = wr_done(&w);
	if (!e && !HMAC(EVP_sha256(), key, (int)w.n, (const unsigned char *)text, sizeof(text) - 1, mac, &n))
		e = ERR_CRYPTO;
	if (!e)
		e = b64_of(BYTES_OF(mac), dst, DIGEST_PASSWORD);
	OPENSSL_cleanse(key, sizeof(key));
	return e;
}

static enum err sha256_hex(struct wr *w, char dst[65])
{
	uint8_t md[32];
	enum err e = wr_done(w);

	if (!e && EVP_Digest(w->p, w->n, md, NULL, EVP_sha256(), NULL) != 1)
		e = ERR_CRYPTO;
	return e ? e : hex_of(BYTES_OF(md), dst, 65);
}

enum err digest_response(const struct digest *d, const char *method, const char *password, char dst[DIGEST_RESPONSE])
{
	char text[1024], a1[65], a2[65];
	struct wr w = wr_of(text, sizeof(text));
	enum err e;

	wr_printf(&w, "%s:%s:%s", d->username, d->realm, password);
	e = sha256_hex(&w, a1);
	w = wr_of(text, sizeof(text));
	wr_printf(&w, "%s:%s", method, d->uri);
	if (!e)
		e = sha256_hex(&w, a2);
	w = wr_of(text, sizeof(text));
	wr_printf(&w, "%s:%s:%s:%s:auth:%s", a1, d->nonce, d->nc, d->cnonce, a2);
	if (!e)
		e = sha256_hex(&w, dst);
	OPENSSL_cleanse(text, sizeof(text));
	return e;
}
