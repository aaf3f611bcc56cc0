/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_SPENT_H
#define USHER_CORE_SPENT_H
/*
 * Where this process's CPU time goes, by step. Each thread works on one step at a time; changing it reads the thread's CPU clock
 * once and charges what has gone by to the step before. Work handed on (a transaction, a letter, a timer) takes its step with it.
 * Always on; any thread. The words come from route tables, errand kinds and letters; past SPENT_STEPS they count as "loop".
 */
#include <stdint.h>

enum { SPENT_STEPS = 32, SPENT_WORD = 24 };
enum {
	SPENT_LOOP,  /* nobody's: the event loop, sockets, records and heads of protocols */
	SPENT_ASIDE, /* this thread's, until spent_taken says how much and the owner is known (a handshake before its request) */
	SPENT_FIRST,
};

int spent_step(const char *word);          /* its number, made at the first use; a path "/v1/WORD/..." counts as its WORD */
int spent_switch(int step);                /* this thread works on step from now on; returns what it worked on before */
int spent_now(void);
int64_t spent_taken(void);                 /* nanoseconds that this thread has set aside; they are nobody's afterwards */
void spent_add(int step, int64_t ns);
/* What a step has taken so far, on all threads, in microseconds; *word its name. -1: no such step. */
int64_t spent_us(int step, const char **word);

#endif
