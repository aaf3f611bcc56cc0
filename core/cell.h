/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_CELL_H
#define USHER_CORE_CELL_H
/*
 * The equipment's store: one record of bytes in two copies, each {magic, counter, length, bytes, CRC-32}, written in turn
 * and fsynced: a power cut at any octet leaves one whole copy, and the newest whole one counts.
 */
#include "core/bytes.h"

enum { CELL_MAX = 128 * 1024 };

struct cell;
/* path.a and path.b; ERR_FORMAT if neither is whole (w says so). A new cell is empty, counter 0, also when its first write was cut. */
enum err cell_open(const char *path, struct cell **out, struct why *w) MUST_CHECK;
void cell_close(struct cell *c);
struct bytes cell_read(const struct cell *c);      /* valid until the next write or close */
uint64_t cell_counter(const struct cell *c);
enum err cell_write(struct cell *c, struct bytes content) MUST_CHECK; /* durable when it returns OK */

#endif
