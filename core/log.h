/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_LOG_H
#define USHER_CORE_LOG_H
/*
 * One line per hop on stderr, by subject: `2026-11-23T10:00:00.123Z info registration vectors pimsi=... act=... peer=...`.
 * The text after the step word is key=value; the format quotes values that may have spaces: `why=\"%s\"`. A value cannot
 * forge a line or a field: in it quotes become ', control characters and all beyond ASCII ?, and spaces outside quotes _.
 * Secrets cannot be logged: there is no way to format a struct secret. The level and the role's name belong to the process.
 */
#include "core/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_open(const char *who, enum log_level level); /* who: "registration 901-70" */
void log_level_set(enum log_level level);
enum err log_level_read(const char *word, enum log_level *out) MUST_CHECK; /* ERR_RANGE for an unknown word */
void log_hop(enum log_level level, const char *step, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
