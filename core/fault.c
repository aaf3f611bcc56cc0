/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault.h"

#ifdef USHER_TEST_HOOKS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { NAME_ROOM = 256 };

static int open_beside(const char *dir, const char *suffix, int flags)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/%s.%s", dir, program_invocation_short_name, suffix);
	return open(path, flags | O_CLOEXEC, 0600);
}

/* Counts PROGRAM.at down; 1: this is the point, and the file is gone. */
static int is_due(const char *dir, const char *name)
{
	char text[NAME_ROOM] = "", only[NAME_ROOM] = "", path[700];
	int fd = open_beside(dir, "at", O_RDWR), n = 0, due = 0;

	if (fd < 0)
		return 0;
	if (!flock(fd, LOCK_EX) && read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%d %255[^\n]", &n, only) > 0
		&& n > 0 && (!*only || !strcmp(only, name))) {
		due = --n == 0;
		snprintf(path, sizeof(path), "%s/%s.at", dir, program_invocation_short_name);
		if (due)
			due = !unlink(path);
		else if (!ftruncate(fd, 0))
			dprintf((lseek(fd, 0, SEEK_SET), fd), "%d %s\n", n, only);
	}
	close(fd);
	return due;
}

void fault_point(const char *what, const char *when)
{
	const char *dir = getenv("USHER_FAULTS");
	char name[NAME_ROOM];
	int log;

	if (!dir)
		return;
	snprintf(name, sizeof(name), "%s %s", what, when);
	log = open_beside(dir, "log", O_WRONLY | O_CREAT | O_APPEND);
	if (log >= 0) {
		dprintf(log, "%s\n", name);
		close(log);
	}
	if (is_due(dir, name))
		kill(getpid(), SIGKILL);
}

/* "INSERT INTO pimsi ..." -> "pimsi", once; the audit's own tables are written with everything. */
void fault_wrote(struct fault_name *n, const char *sql)
{
	static const char *const verbs[] = { "INSERT INTO ", "UPDATE ", "DELETE FROM " };
	size_t at = strlen(n->text), len;
	char table[40];

	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strncmp(sql, verbs[i], strlen(verbs[i])))
			continue;
		len = strcspn(sql + strlen(verbs[i]), " (");
		snprintf(table, sizeof(table), "%.*s", (int)len, sql + strlen(verbs[i]));
		if (strncmp(table, "audit", 5) && !strstr(n->text, table))
			snprintf(n->text + at, sizeof(n->text) - at, "%s%s", at ? "+" : "", table);
	}
}
#else
typedef int fault_is_for_test_builds;
#endif
