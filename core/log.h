/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_LOG_H
#define USHER_CORE_LOG_H
/*
 * One line per hop on stderr, by subject: `2026-11-23T10:00:00.123Z info registration vectors pimsi=... act=... peer=...`.
 * The text after the step word is key=value; values with spaces are quoted by the caller with LOG_Q. Secrets cannot be
 * logged: there is no way to format a struct secret. The level and the role's name belong to the process.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_open(const char *who, enum log_level level); /* who: "registration 901-70" */
void log_level_set(enum log_level level);
enum log_level log_level_from(const char *word);      /* unknown word: LOG_INFO */
void log_hop(enum log_level level, const char *step, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
