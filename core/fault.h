/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_FAULT_H
#define USHER_CORE_FAULT_H
/*
 * Kill points for the restart tests. A durable write calls fault_point() before and after it is on disk. In a test
 * build the n-th call of a process whose USHER_KILL_AT is n ends it with SIGKILL, and every call adds a line
 * "<n> <name>" to the file USHER_KILL_LOG, so that the harness knows how many points there are. In any other build
 * the calls are empty.
 */
#ifdef USHER_TEST_HOOKS
void fault_point(const char *name);
#else
static inline void fault_point(const char *name) { (void)name; }
#endif
#endif
