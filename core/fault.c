/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault.h"

#ifdef USHER_TEST_HOOKS
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one piece of file-scope state in core: kill points are counted per process, in test builds only. */
static atomic_int points;

void fault_point(const char *name)
{
	const char *at = getenv("USHER_KILL_AT"), *list = getenv("USHER_KILL_LOG");
	int n = atomic_fetch_add(&points, 1) + 1;
	FILE *f = list ? fopen(list, "ae") : NULL;

	if (f) {
		fprintf(f, "%d %s\n", n, name);
		fclose(f);
	}
	if (at && atoi(at) == n)
		kill(getpid(), SIGKILL);
}
#else
typedef int fault_is_for_test_builds;
#endif
