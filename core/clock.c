/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t read_ns(clockid_t which)
{
	struct timespec ts;

	clock_gettime(which, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Read at each call, so that a test moves the time of running processes by writing a file. */
static int64_t offset_s(void)
{
#ifdef USHER_TEST_HOOKS
	const char *path = getenv("USHER_CLOCK");
	FILE *f = path ? fopen(path, "re") : NULL;
	long long n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lld", &n) != 1)
		n = 0;
	fclose(f);
	return n;
#else
	return 0;
#endif
}

int64_t clock_now_ms(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000 + offset_s() * 1000;
}

int64_t clock_now(void)
{
	return clock_now_ms() / 1000;
}

int64_t clock_mono_us(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

void clock_text(int64_t seconds, char *dst, size_t cap)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(dst, cap, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(dst, cap, "%s", "?");
}
