/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define P(f) { #f, offsetof(struct digest, f), sizeof(((struct digest *)0)->f) }
static const struct parameter {
	const char *name;
	size_t offset, size;
} parameters[] = { P(username), P(realm), P(nonce), P(uri), P(response), P(algorithm), P(qop), P(nc), P(cnonce), P(auts) };
enum { PARAMETERS = sizeof(parameters) / sizeof(*parameters) };

static int is_token(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_space(const char **at)
{
	*at += strspn(*at, " \t");
}

/* quoted-string (RFC 9110 5.6.4) behind its opening quote */
static enum err quoted_read(const char **at, struct wr *w)
{
	const char *p = *at;

	for (; *p != '"'; p++) {
		if (*p == '\\')
			p++;
		if (*p == 0x7f || ((unsigned char)*p < ' ' && *p != '\t')) /* the line's end as well */
			return ERR_FORMAT;
		wr_u8(w, (uint8_t)*p);
	}
	*at = p + 1;
	return wr_done(w);
}

static enum err token_read(const char **at, struct wr *w)
{
	for (; is_token(**at); (*at)++)
		wr_u8(w, (uint8_t)**at);
	return w->n || w->bad ? wr_done(w) : ERR_FORMAT;
}

static enum err value_read(const char **at, char *dst, size_t cap)
{
	struct wr w = wr_of(dst, cap - 1);
	int quoted = **at == '"';
	enum err e;

	*at += quoted;
	e = quoted ? quoted_read(at, &w) : token_read(at, &w);
	dst[e ? 0 : w.n] = 0;
	return e;
}

/* auth-param = token BWS "=" BWS ( token / quoted-string ) */
static enum err pair_read(const char **at, struct digest *d, unsigned *has)
{
	const char *name = *at;
	char skip[DIGEST_LINE];
	size_t n = 0;
	int i = 0;

	while (is_token(name[n]))
		n++;
	*at += n;
	skip_space(at);
	if (!n || **at != '=')
		return ERR_FORMAT;
	++*at;
	skip_space(at);
	while (i < PARAMETERS && (strlen(parameters[i].name) != n || strncasecmp(parameters[i].name, name, n)))
		i++;
	if (i == PARAMETERS)
		return value_read(at, skip, sizeof(skip));
	if (*has & 1u << i)
		return ERR_EXISTS; /* two readers could see two headers */
	*has |= 1u << i;
	return value_read(at, (char *)d + parameters[i].offset, parameters[i].size);
}

enum err digest_read(const char *line, struct digest *d)
{
	unsigned has = 0;
	enum err e = OK;

	memset(d, 0, sizeof(*d));
	if (strncasecmp(line, "Digest ", 7) || strlen(line) >= DIGEST_LINE)
		return ERR_FORMAT;
	line += 7;
	do { /* #auth-param: empty elements are passed over (RFC 9110 5.6.1.2) */
		line += strspn(line, ", \t");
		if (*line)
			e = pair_read(&line, d, &has);
		skip_space(&line);
	} while (!e && *line == ',');
	return !e && *line ? ERR_FORMAT : e;
}

static void quoted(struct wr *w, const char *name, const char *value)
{
	wr_printf(w, "%s=\"", name);
	for (; *value; value++) {
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			wr_fail(w, ERR_FORMAT); /* a line break would be another header */
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
	if (*d->nonce)
		wr_text(&w, ", algorithm=AKAv2-SHA-256");
	if (*d->nc) {
		if (strlen(d->nc) != 8 || strspn(d->nc, "0123456789abcdefABCDEF") != 8)
			wr_fail(&w, ERR_FORMAT);
		wr_printf(&w, ", qop=auth, nc=%s, ", d->nc);
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
	OPENSSL_cleanse(mac, sizeof(mac));
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
	OPENSSL_cleanse(a1, sizeof(a1)); /* as good as the password for this realm */
	return e;
}
