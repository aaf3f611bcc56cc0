/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_FAULT_H
#define USHER_CORE_FAULT_H
/*
 * Kill points for the restart tests, in test builds; in any other build the calls are empty. A durable write passes a point before
 * it, and one after it is on disk and before anybody is told; so does a letter's answer before it is noted.
 * USHER_FAULTS names a folder. Each point adds its name as a line to PROGRAM.log there. PROGRAM.at there holds "N" or "N NAME": the
 * N-th point from now on (of that name) removes the file and ends the process with SIGKILL. The count is the file's, so it goes on
 * over the processes of a program, and a process that is started again lives.
 */
struct fault_name {
	char text[160];
};
#ifdef USHER_TEST_HOOKS
void fault_point(const char *what, const char *when);       /* the point's name is "what when" */
void fault_wrote(struct fault_name *n, const char *sql);    /* adds the table that sql writes */
#else
static inline void fault_point(const char *what, const char *when) { (void)what, (void)when; }
static inline void fault_wrote(struct fault_name *n, const char *sql) { (void)n, (void)sql; }
#endif
#endif
