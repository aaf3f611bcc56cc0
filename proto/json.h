/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_JSON_H
#define USHER_PROTO_JSON_H
/* Fields of the JSON objects between servers (doc/wires.md 0), each with its limit. A field that is absent, of another
 * type or not of its form is ERR_FORMAT, one outside its range or too long ERR_RANGE: 400 both; w (may be NULL) names it. */
#include <jansson.h>

#include "core/bytes.h"

#define JSON_TIME_MOST INT64_C(253402300799) /* 9999-12-31: a time in seconds that is none of this size is nonsense, and overflows in milliseconds */

enum err json_get_text(json_t *o, const char *key, char *dst, size_t cap, struct why *w) MUST_CHECK;
enum err json_get_digits(json_t *o, const char *key, char *dst, size_t cap, struct why *w) MUST_CHECK; /* 5..cap-1 digits */
enum err json_get_number(json_t *o, const char *key, int64_t min, int64_t max, int64_t *out, struct why *w) MUST_CHECK; /* *out 0 on failure */
enum err json_get_hex(json_t *o, const char *key, uint8_t *dst, size_t n, struct why *w) MUST_CHECK;   /* exactly n octets */
enum err json_get_b64(json_t *o, const char *key, uint8_t *dst, size_t cap, size_t *n, struct why *w) MUST_CHECK;
json_t *json_hex(struct bytes b);  /* new string, NULL: out of memory */
json_t *json_b64(struct bytes b);
/* The "why" of an error body, or a sentence that there is none; dst always ends. */
void json_why(struct bytes body, char *dst, size_t cap);

#endif
