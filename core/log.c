/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"

static const char *const words[] = { "error", "warn", "info", "debug" };

/* A process has one log; its name and level are set once by main. */
static struct {
	char who[300];
	enum log_level level;
} process_log = { "usher", LOG_INFO };

void log_open(const char *who, enum log_level level)
{
	snprintf(process_log.who, sizeof(process_log.who), "%s", who);
	process_log.level = level;
}

void log_level_set(enum log_level level)
{
	process_log.level = level;
}

enum err log_level_read(const char *word, enum log_level *out)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(word, words[i])) {
			*out = (enum log_level)i;
			return OK;
		}
	return ERR_RANGE;
}

/* Other marks for a format's own spaces and quotes. */
static void mark(const char *fmt, char space, char quote, char *dst, size_t cap)
{
	size_t n = 0;

	for (; *fmt && n + 1 < cap; fmt++)
		dst[n++] = *fmt == ' ' ? space : *fmt == '"' ? quote : *fmt;
	dst[n] = 0;
}

/*
 * A peer's bytes may stand in a line, and must not look like a line, a field or a terminal's command of their own. The same text
 * was formatted with two sets of marks: where the two differ it is the format that speaks, everywhere else a value.
 */
static void told_apart(char *text, const char *other)
{
	int quoted = 0;

	for (; *text; text++, other++) {
		if (*text != *other) {
			*text = *text == 1 ? ' ' : '"';
			quoted ^= *text == '"';
		} else if (*text < ' ' || *text > '~') {
			*text = '?';
		} else if (*text == '"') {
			*text = '\'';
		} else if (*text == ' ' && !quoted) {
			*text = '_';
		}
	}
}

static void line_text(char *dst, size_t cap, const char *fmt, va_list ap)
{
	char marked[512], other[2048];
	va_list again;

	va_copy(again, ap);
	mark(fmt, 1, 3, marked, sizeof(marked));
	vsnprintf(dst, cap, marked, ap);
	mark(fmt, 2, 4, marked, sizeof(marked));
	vsnprintf(other, cap < sizeof(other) ? cap : sizeof(other), marked, again);
	va_end(again);
	told_apart(dst, other);
}

void log_hop(enum log_level level, const char *step, const char *fmt, ...)
{
	char line[2048], at[32];
	int64_t now = clock_now_ms();
	va_list ap;
	size_t n;

	if (level > process_log.level)
		return;
	clock_text(now / 1000, at, sizeof(at));
	n = strlen(at);
	snprintf(at + n - 1, sizeof(at) - n + 1, ".%03dZ", (int)(now % 1000));
	n = (size_t)snprintf(line, sizeof(line) - 1, "%s %s %s %.40s ", at, words[level], process_log.who, step);
	va_start(ap, fmt);
	line_text(line + n, sizeof(line) - 1 - n, fmt, ap);
	va_end(ap);
	n = strlen(line);
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, n); /* one write, so that lines of several processes do not mix */
}
