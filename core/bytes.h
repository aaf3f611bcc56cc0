/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_BYTES_H
#define USHER_CORE_BYTES_H
/*
 * Bytes in and out. A reader cannot run over: the first bad read makes it stick, later reads give zeros, and
 * rd_done() gives the one verdict at the end. A writer cannot run over either: wr_done() says ERR_LIMIT.
 * All integers are big-endian, as on every wire of ours.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

/* A view of bytes that somebody else owns. */
struct bytes {
	const uint8_t *p;
	size_t n;
};
#define BYTES(ptr, len) ((struct bytes){ (const uint8_t *)(ptr), (len) })
#define BYTES_OF(array) ((struct bytes){ (array), sizeof(array) })
struct bytes bytes_text(const char *text);                 /* without the NUL; NULL gives the empty view */
int bytes_equal(struct bytes a, struct bytes b);           /* 1 if equal; not constant-time */
int bytes_same(const void *a, const void *b, size_t n);    /* 1 if equal, constant-time, for secrets and MACs */
/* A copy with a NUL behind it, which the caller free()s. *n (may be NULL): its octets. NULL and 0: out of memory. */
void *bytes_dup(struct bytes b, size_t *n);

/* --- reader --- */
struct rd {
	const uint8_t *p;
	size_t left;
	enum err bad;
};
struct rd rd_of(struct bytes in);
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u24(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u48(struct rd *r);
uint64_t rd_u64(struct rd *r);
void rd_copy(struct rd *r, void *dst, size_t n);           /* dst is zeroed if the bytes are not there */
struct bytes rd_view(struct rd *r, size_t n);              /* empty view if the bytes are not there */
struct rd rd_sub(struct rd *r, size_t n);                  /* a reader of the next n bytes */
struct bytes rd_rest(struct rd *r);                        /* all that is left; r is then at its end */
void rd_fail(struct rd *r, enum err e);                    /* the first failure sticks */
enum err rd_done(const struct rd *r) MUST_CHECK;           /* OK, the first failure, or ERR_SURPLUS */

/* --- writer into memory of the caller --- */
struct wr {
	uint8_t *p;
	size_t n, cap;
	enum err bad;
};
struct wr wr_of(void *dst, size_t cap);
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u24(struct wr *w, uint32_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u48(struct wr *w, uint64_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, struct bytes b);
void wr_copy(struct wr *w, const void *src, size_t n);
void wr_text(struct wr *w, const char *text);              /* without the NUL */
void wr_printf(struct wr *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum err wr_done(const struct wr *w) MUST_CHECK;           /* OK, ERR_LIMIT or what wr_fail set */
struct bytes wr_view(const struct wr *w);
void wr_fail(struct wr *w, enum err e);

/* --- text forms; dst always ends with NUL; ERR_LIMIT if cap is too small --- */
enum err hex_of(struct bytes in, char *dst, size_t cap) MUST_CHECK;            /* lower case, needs 2n+1 */
enum err hex_read(const char *text, uint8_t *dst, size_t n) MUST_CHECK;         /* exactly n octets */
enum err b64_of(struct bytes in, char *dst, size_t cap) MUST_CHECK;            /* RFC 4648 4, padded */
char *b64_new(struct bytes in);                                                 /* the same; the caller free()s it; NULL: out of memory */
enum err b64_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
enum err b64url_of(struct bytes in, char *dst, size_t cap) MUST_CHECK;         /* RFC 4648 5, no padding */
enum err b64url_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;

/* Copies text with its NUL; ERR_LIMIT (and dst empty) if it does not fit. */
enum err text_copy(char *dst, size_t cap, const char *src) MUST_CHECK;
enum err text_copy_bytes(char *dst, size_t cap, struct bytes src) MUST_CHECK;   /* ERR_FORMAT on an inner NUL */
/* Somebody else's text for people: what is not printable ASCII becomes '?'. */
void text_plain(char *text);
/* A whole decimal number, no sign but '-', nothing after it; ERR_FORMAT, ERR_RANGE. */
enum err text_number(const char *text, int64_t min, int64_t max, int64_t *out) MUST_CHECK;
int text_digits(const char *text);                          /* length if only 0-9 and not empty, else 0 */
/* "Did you mean": 1 if name is nearer to given (in edits) than *least, which it then lowers. Begin with TEXT_FAR. Not for texts of 63 and more. */
enum { TEXT_FAR = 4 };
int text_nearer(const char *name, const char *given, size_t *least);
uint32_t text_hash(const char *text);                       /* FNV-1a, folded, for tables in memory */

#endif
