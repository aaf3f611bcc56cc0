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

enum log_level log_level_from(const char *word)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(word, words[i]))
			return (enum log_level)i;
	return LOG_INFO;
}

/* A peer's bytes may stand in a line: control characters would forge another one. */
static void one_line(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = '?';
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
	n = (size_t)snprintf(line, sizeof(line) - 1, "%s %s %s %s ", at, words[level], process_log.who, step);
	va_start(ap, fmt);
	if (n < sizeof(line) - 1)
		vsnprintf(line + n, sizeof(line) - 1 - n, fmt, ap);
	va_end(ap);
	one_line(line);
	n = strlen(line);
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, n); /* one write, so that lines of several processes do not mix */
}
