/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_DER_H
#define USHER_PROTO_DER_H
/*
 * Strict DER (X.690 10), an element at a time: for the signed contents, and for those who check a shape before a library
 * does. Definite and minimal lengths, tags of one octet. A wrong element makes the outer reader fail, and stick.
 */
#include "core/bytes.h"

enum {
	DER_INTEGER = 0x02, DER_BITS = 0x03, DER_OCTETS = 0x04, DER_OID = 0x06, DER_UTF8 = 0x0c, DER_UTC_TIME = 0x17, DER_TIME = 0x18,
	DER_SEQUENCE = 0x30, DER_SET = 0x31,
};

/* Tag and content of the next element. */
struct bytes der_next(struct rd *r, uint8_t *tag);
/* The content of the next element, which must have this tag. */
struct rd der_in(struct rd *r, uint8_t tag);
/* The next element as it stands, header and all; its tag must be this. */
struct bytes der_whole(struct rd *r, uint8_t tag);
/* The next element must have this tag and this content. */
void der_same(struct rd *r, uint8_t tag, struct bytes expect);
void der_number(struct rd *r, uint8_t expect); /* an INTEGER of one octet */
/* Nothing may be left in inner; what is wrong there is wrong outside. */
void der_closed(struct rd *outer, const struct rd *inner);

#endif
