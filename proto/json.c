/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>

enum err json_get_text(json_t *o, const char *key, char *dst, size_t cap, struct why *w)
{
	json_t *v = json_object_get(o, key);

	*dst = 0;
	if (!json_is_string(v))
		return fail(w, ERR_FORMAT, "field `%s` is missing or no text", key);
	if (text_copy_bytes(dst, cap, BYTES(json_string_value(v), json_string_length(v))))
		return fail(w, ERR_RANGE, "field `%s` is longer than %zu characters", key, cap - 1);
	return OK;
}

enum err json_get_digits(json_t *o, const char *key, char *dst, size_t cap, struct why *w)
{
	enum err e = json_get_text(o, key, dst, cap, w);

	if (!e && text_digits(dst) < 5)
		e = fail(w, ERR_FORMAT, "field `%s`: `%s` is not a number of 5 to %zu digits", key, dst, cap - 1);
	return e;
}

enum err json_get_number(json_t *o, const char *key, int64_t min, int64_t max, int64_t *out, struct why *w)
{
	json_t *v = json_object_get(o, key);
	const json_int_t n = json_integer_value(v);

	*out = 0;
	if (!json_is_integer(v))
		return fail(w, ERR_FORMAT, "field `%s` is missing or no whole number", key);
	if (n < min || n > max)
		return fail(w, ERR_RANGE, "field `%s`: %lld is outside %lld to %lld", key, (long long)n, (long long)min, (long long)max);
	*out = n;
	return OK;
}

enum err json_get_hex(json_t *o, const char *key, uint8_t *dst, size_t n, struct why *w)
{
	const char *t = json_string_value(json_object_get(o, key));

	if (!t)
		return fail(w, ERR_FORMAT, "field `%s` is missing or no text", key);
	return hex_read(t, dst, n) ? fail(w, ERR_FORMAT, "field `%s` is not %zu hex digits", key, 2 * n) : OK;
}

enum err json_get_b64(json_t *o, const char *key, uint8_t *dst, size_t cap, size_t *n, struct why *w)
{
	json_t *v = json_object_get(o, key);

	*n = 0;
	if (!json_is_string(v))
		return fail(w, ERR_FORMAT, "field `%s` is missing or no text", key);
	return b64_read(BYTES(json_string_value(v), json_string_length(v)), dst, cap, n)
		? fail(w, ERR_FORMAT, "field `%s` is not base64 of at most %zu octets", key, cap) : OK;
}

static json_t *coded(struct bytes b, size_t room, enum err (*code)(struct bytes, char *, size_t))
{
	char *text = malloc(room);
	json_t *v = text && !code(b, text, room) ? json_string(text) : NULL;

	free(text);
	return v;
}

json_t *json_hex(struct bytes b)
{
	return coded(b, 2 * b.n + 1, hex_of);
}

json_t *json_b64(struct bytes b)
{
	return coded(b, b.n / 3 * 4 + 8, b64_of);
}

void json_why(struct bytes body, char *dst, size_t cap)
{
	json_t *o = json_loadb((const char *)body.p, body.n, 0, NULL);
	const char *why = json_string_value(json_object_get(o, "why"));

	snprintf(dst, cap, "%s", why ? why : "no reason was given");
	json_decref(o);
}
