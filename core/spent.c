/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* Of the process, as its CPU clock is. A word is written before the count that makes it visible. */
static struct {
	char word[SPENT_WORD];
	atomic_llong ns;
} steps[SPENT_STEPS] = { { "loop", 0 }, { "handshake", 0 } };
static atomic_int count = SPENT_FIRST;
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local struct {
	int step;
	int64_t since, aside;
} here;

static int64_t thread_ns(void)
{
	struct timespec t = { 0, 0 };

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int find(const char *word, size_t n, int from, int until)
{
	for (int i = from; i < until; i++)
		if (!strncmp(steps[i].word, word, n) && !steps[i].word[n])
			return i;
	return -1;
}

static int make(const char *word, size_t n)
{
	int have, at;

	pthread_mutex_lock(&making);
	have = atomic_load(&count);
	at = find(word, n, SPENT_FIRST, have);
	if (at < 0 && have < SPENT_STEPS) {
		at = have;
		memcpy(steps[at].word, word, n);
		atomic_store(&count, have + 1);
	}
	pthread_mutex_unlock(&making);
	return at < 0 ? SPENT_LOOP : at;
}

int spent_step(const char *word)
{
	size_t n;
	int at;

	if (!strncmp(word, "/v1/", 4))
		word += 4;
	n = strcspn(word, "/");
	if (!n || n >= SPENT_WORD)
		return SPENT_LOOP;
	at = find(word, n, SPENT_FIRST, atomic_load(&count));
	return at < 0 ? make(word, n) : at;
}

int spent_switch(int step)
{
	int before = here.step;
	int64_t now, gone;

	if (step == before)
		return before;
	now = thread_ns();
	gone = now - here.since;
	if (before == SPENT_ASIDE)
		here.aside += gone;
	else
		atomic_fetch_add_explicit(&steps[before].ns, gone, memory_order_relaxed);
	here.step = step;
	here.since = now;
	return before;
}

int spent_now(void)
{
	return here.step;
}

int64_t spent_taken(void)
{
	int64_t ns = here.aside;

	here.aside = 0;
	return ns;
}

void spent_add(int step, int64_t ns)
{
	atomic_fetch_add_explicit(&steps[step].ns, ns, memory_order_relaxed);
}

int64_t spent_us(int step, const char **word)
{
	if (step < 0 || step >= atomic_load(&count))
		return -1;
	*word = steps[step].word;
	return atomic_load_explicit(&steps[step].ns, memory_order_relaxed) / 1000;
}
