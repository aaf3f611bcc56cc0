/* SPDX-License-Identifier: Apache-2.0 */
#include "core/bytes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes bytes_text(const char *text)
{
	return text ? BYTES(text, strlen(text)) : BYTES("", 0);
}

int bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int bytes_same(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void *bytes_dup(struct bytes b, size_t *n)
{
	uint8_t *p = malloc(b.n + 1);

	if (p && b.n)
		memcpy(p, b.p, b.n);
	if (p)
		p[b.n] = 0;
	if (n)
		*n = p ? b.n : 0;
	return p;
}

/* --- reader --- */

struct rd rd_of(struct bytes in)
{
	return (struct rd){ in.p, in.n, OK };
}

void rd_fail(struct rd *r, enum err e)
{
	if (r->bad == OK)
		r->bad = e;
	r->left = 0;
}

struct bytes rd_view(struct rd *r, size_t n)
{
	struct bytes view = { r->p, n };

	if (r->bad != OK || n > r->left) {
		rd_fail(r, ERR_SHORT);
		return BYTES("", 0);
	}
	if (n > 0)
		r->p += n;
	r->left -= n;
	return view;
}

static uint64_t rd_int(struct rd *r, size_t n)
{
	struct bytes v = rd_view(r, n);
	uint64_t out = 0;

	for (size_t i = 0; i < v.n; i++)
		out = out << 8 | v.p[i];
	return out;
}

uint8_t rd_u8(struct rd *r) { return (uint8_t)rd_int(r, 1); }
uint16_t rd_u16(struct rd *r) { return (uint16_t)rd_int(r, 2); }
uint32_t rd_u24(struct rd *r) { return (uint32_t)rd_int(r, 3); }
uint32_t rd_u32(struct rd *r) { return (uint32_t)rd_int(r, 4); }
uint64_t rd_u48(struct rd *r) { return rd_int(r, 6); }
uint64_t rd_u64(struct rd *r) { return rd_int(r, 8); }

void rd_copy(struct rd *r, void *dst, size_t n)
{
	struct bytes v = rd_view(r, n);

	if (v.n == n && n > 0)
		memcpy(dst, v.p, n);
	else if (n > 0)
		memset(dst, 0, n);
}

struct rd rd_sub(struct rd *r, size_t n)
{
	struct rd sub = rd_of(rd_view(r, n));

	sub.bad = r->bad;
	return sub;
}

struct bytes rd_rest(struct rd *r)
{
	return rd_view(r, r->left);
}

enum err rd_done(const struct rd *r)
{
	if (r->bad != OK)
		return r->bad;
	return r->left ? ERR_SURPLUS : OK;
}

/* --- writer --- */

struct wr wr_of(void *dst, size_t cap)
{
	return (struct wr){ dst, 0, cap, OK };
}

void wr_fail(struct wr *w, enum err e)
{
	if (w->bad == OK)
		w->bad = e;
}

void wr_copy(struct wr *w, const void *src, size_t n)
{
	if (w->bad == OK && n > w->cap - w->n)
		w->bad = ERR_LIMIT;
	if (w->bad != OK || n == 0)
		return;
	memcpy(w->p + w->n, src, n);
	w->n += n;
}

static void wr_int(struct wr *w, uint64_t v, size_t n)
{
	uint8_t b[8];

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(v >> 8 * (n - 1 - i));
	wr_copy(w, b, n);
}

void wr_u8(struct wr *w, uint8_t v) { wr_int(w, v, 1); }
void wr_u16(struct wr *w, uint16_t v) { wr_int(w, v, 2); }
void wr_u24(struct wr *w, uint32_t v) { wr_int(w, v, 3); }
void wr_u32(struct wr *w, uint32_t v) { wr_int(w, v, 4); }
void wr_u48(struct wr *w, uint64_t v) { wr_int(w, v, 6); }
void wr_u64(struct wr *w, uint64_t v) { wr_int(w, v, 8); }
void wr_bytes(struct wr *w, struct bytes b) { wr_copy(w, b.p, b.n); }
void wr_text(struct wr *w, const char *text) { wr_copy(w, text, strlen(text)); }

void wr_printf(struct wr *w, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		wr_fail(w, ERR_LIMIT);
	else
		wr_copy(w, line, (size_t)n);
}

enum err wr_done(const struct wr *w) { return w->bad; }
struct bytes wr_view(const struct wr *w) { return BYTES(w->p, w->n); }

/* --- text --- */

enum err hex_of(struct bytes in, char *dst, size_t cap)
{
	static const char digits[] = "0123456789abcdef";

	if (cap == 0)
		return ERR_LIMIT;
	dst[0] = 0;
	if (in.n > (cap - 1) / 2)
		return ERR_LIMIT;
	for (size_t i = 0; i < in.n; i++) {
		dst[2 * i] = digits[in.p[i] >> 4];
		dst[2 * i + 1] = digits[in.p[i] & 15];
	}
	dst[2 * in.n] = 0;
	return OK;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum err hex_read(const char *text, uint8_t *dst, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = nibble(text[2 * i]), lo = hi < 0 ? -1 : nibble(text[2 * i + 1]);

		if (lo < 0)
			return text[2 * i] == 0 ? ERR_SHORT : ERR_FORMAT;
		dst[i] = (uint8_t)(hi << 4 | lo);
	}
	return text[2 * n] == 0 ? OK : ERR_SURPLUS;
}

static const char b64_plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static enum err b64_write(struct bytes in, char *dst, size_t cap, const char *alphabet, int pad)
{
	size_t full = in.n / 3, tail = in.n % 3, need = full * 4 + (tail ? (pad ? 4 : tail + 1) : 0), o = 0;

	if (cap == 0)
		return ERR_LIMIT;
	dst[0] = 0;
	if (need >= cap)
		return ERR_LIMIT;
	for (size_t i = 0; i < in.n; i += 3) {
		size_t have = in.n - i < 3 ? in.n - i : 3;
		uint32_t v = (uint32_t)in.p[i] << 16 | (have > 1 ? (uint32_t)in.p[i + 1] << 8 : 0) | (have > 2 ? in.p[i + 2] : 0u);

		for (size_t k = 0; k < 4; k++) {
			if (k <= have)
				dst[o++] = alphabet[v >> (18 - 6 * k) & 63];
			else if (pad)
				dst[o++] = '=';
		}
	}
	dst[o] = 0;
	return OK;
}

static enum err b64_parse(struct bytes text, uint8_t *dst, size_t cap, size_t *n, const char *alphabet, int pad)
{
	uint32_t v = 0;
	size_t bits = 0, o = 0, len = text.n;

	*n = 0;
	if (pad) {
		if (len % 4)
			return ERR_FORMAT;
		for (int k = 0; k < 2 && len > 0 && text.p[len - 1] == '='; k++)
			len--;
	}
	if (len % 4 == 1)
		return ERR_FORMAT;
	for (size_t i = 0; i < len; i++) {
		const char *at = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;

		if (!at)
			return ERR_FORMAT;
		v = v << 6 | (uint32_t)(at - alphabet);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (o == cap)
			return ERR_LIMIT;
		dst[o++] = (uint8_t)(v >> bits);
		v &= (1u << bits) - 1;
	}
	if (v != 0) /* one text per value: the unused bits are zero */
		return ERR_FORMAT;
	*n = o;
	return OK;
}

enum err b64_of(struct bytes in, char *dst, size_t cap) { return b64_write(in, dst, cap, b64_plain, 1); }
enum err b64url_of(struct bytes in, char *dst, size_t cap) { return b64_write(in, dst, cap, b64_url, 0); }

char *b64_new(struct bytes in)
{
	size_t cap = in.n / 3 * 4 + 8;
	char *text = malloc(cap);

	if (text && !b64_of(in, text, cap))
		return text;
	free(text);
	return NULL;
}

enum err b64_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n)
{
	return b64_parse(text, dst, cap, n, b64_plain, 1);
}

enum err b64url_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n)
{
	return b64_parse(text, dst, cap, n, b64_url, 0);
}

enum err text_copy_bytes(char *dst, size_t cap, struct bytes src)
{
	if (cap == 0)
		return ERR_LIMIT;
	dst[0] = 0;
	if (src.n >= cap)
		return ERR_LIMIT;
	if (src.n && memchr(src.p, 0, src.n))
		return ERR_FORMAT;
	if (src.n)
		memcpy(dst, src.p, src.n);
	dst[src.n] = 0;
	return OK;
}

enum err text_copy(char *dst, size_t cap, const char *src)
{
	return text_copy_bytes(dst, cap, bytes_text(src));
}

void text_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

enum err text_number(const char *text, int64_t min, int64_t max, int64_t *out)
{
	const char *digits = *text == '-' ? text + 1 : text;
	long long v;

	if (!text_digits(digits))
		return ERR_FORMAT;
	errno = 0;
	v = strtoll(text, NULL, 10);
	if (errno == ERANGE || v < min || v > max)
		return ERR_RANGE;
	*out = v;
	return OK;
}

int text_digits(const char *text)
{
	int n = 0;

	while (text[n] >= '0' && text[n] <= '9')
		n++;
	return text[n] == 0 ? n : 0;
}

static size_t distance(const char *a, const char *b)
{
	size_t row[64], n = strlen(b), before, keep;

	if (n >= 63 || strlen(a) >= 63)
		return TEXT_FAR;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		before = row[0];
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t best = before + (a[i - 1] != b[j - 1]);

			keep = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			before = keep;
		}
	}
	return row[n];
}

int text_nearer(const char *name, const char *given, size_t *least)
{
	size_t d = distance(name, given);

	if (d >= *least)
		return 0;
	*least = d;
	return 1;
}

uint32_t text_hash(const char *text)
{
	uint32_t h = 2166136261u;

	while (*text)
		h = (h ^ (uint8_t)*text++) * 16777619u;
	return h ^ h >> 15;
}
