/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_ERR_H
#define USHER_CORE_ERR_H
/*
 * One error idiom: a function that can fail returns enum err, 0 is OK, and the result must be looked at.
 * Where a person will read the reason, the function also takes a struct why: one sentence that names the
 * value and the next step. Causes of a wire protocol are chosen at that protocol's edge and nowhere else.
 */

enum err {
	OK = 0,
	ERR_NOMEM,       /* out of memory */
	ERR_IO,          /* the operating system refused: file, socket, database */
	ERR_SHORT,       /* the bytes end before the field does */
	ERR_SURPLUS,     /* bytes left over after the last field */
	ERR_FORMAT,      /* the bytes or text do not follow the grammar */
	ERR_RANGE,       /* a value outside its range */
	ERR_LIMIT,       /* a size, depth, count or budget limit was reached */
	ERR_MISSING,     /* no such thing, or a mandatory field is absent */
	ERR_EXISTS,      /* it is there already */
	ERR_CONFLICT,    /* the same name with other content */
	ERR_ORDER,       /* not in this state, or out of order */
	ERR_DENIED,      /* known, and not allowed */
	ERR_AUTH,        /* a proof, MAC or signature is wrong */
	ERR_SYNC,        /* AKA: the sequence number is not fresh (TS 33.102 6.3.5) */
	ERR_EXPIRED,     /* its time has passed */
	ERR_REVOKED,     /* the certificate is revoked */
	ERR_UNAVAILABLE, /* the other side does not answer or says "later" */
	ERR_TIMEOUT,     /* our patience ended */
	ERR_AGAIN,       /* not now: the same call may succeed later */
	ERR_CRYPTO,      /* the library refused an operation */
	ERR_UNSUPPORTED, /* understood, and not done here */
	ERR_COUNT
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* A sentence for a person: what was wrong (with the value) and what to do next. Empty text: nothing said. */
struct why {
	char text[320];
};

/* Sets the sentence (w may be NULL) and returns e: `return fail(w, ERR_RANGE, "port %d ...", port);` */
enum err fail(struct why *w, enum err e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Short stable name for machines ("range"); never NULL, "unknown" for a number outside the list. */
const char *err_name(enum err e);
/* Plain words for people ("a value outside its range"). */
const char *err_text(enum err e);

#endif
