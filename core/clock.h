/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_CLOCK_H
#define USHER_CORE_CLOCK_H
#include <stddef.h>
#include <stdint.h>

/* Wall clock. Test builds add the offset (seconds, decimal text) of the file named by USHER_CLOCK, read at each call. */
int64_t clock_now(void);      /* seconds since 1970 */
int64_t clock_now_ms(void);   /* milliseconds since 1970 */
int64_t clock_mono_ms(void);  /* never jumps; for intervals */
int64_t clock_mono_us(void);

/* "2026-11-23T10:00:00Z"; dst holds 21 octets or more. */
void clock_text(int64_t seconds, char *dst, size_t cap);

#endif
