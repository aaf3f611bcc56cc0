/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"

struct world {
	struct loop *loop;
	struct timer *timer;
	int n;
	char order[16];
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	return loop_new(&w->loop);
}

static int world_end(void **state)
{
	struct world *w = *state;

	loop_free(w->loop);
	free(w);
	return 0;
}

static void letter_a(void *arg) { strcat(((struct world *)arg)->order, "a"); }
static void letter_b(void *arg) { strcat(((struct world *)arg)->order, "b"); }

static void end(void *arg)
{
	loop_stop(((struct world *)arg)->loop, 7);
}

static void timers_in_order(void **state)
{
	struct world *w = *state;
	struct timer *never;

	(void)!timer_after(w->loop, 20, letter_b, w);
	(void)!timer_after(w->loop, 1, letter_a, w);
	(void)!timer_after(w->loop, -5, letter_b, w);
	never = timer_after(w->loop, 5, letter_a, w);
	timer_stop(never);
	timer_stop(NULL);
	(void)!timer_after(w->loop, 40, end, w);
	assert_int_equal(loop_run(w->loop), 7);
	assert_string_equal(w->order, "bab");
}

static void third_time(void *arg)
{
	struct world *w = arg;

	if (++w->n < 3)
		return;
	timer_stop(w->timer); /* inside its own call */
	w->timer = timer_after(w->loop, 1, end, w);
}

static void stopped_inside(void **state)
{
	struct world *w = *state;

	w->timer = timer_every(w->loop, 1, third_time, w);
	assert_int_equal(loop_run(w->loop), 7);
	assert_int_equal(w->n, 3);
}

static void counted(void *arg)
{
	struct world *w = arg;

	if (++w->n == 4000)
		loop_stop(w->loop, 7);
}

enum { POSTS = 1000 };
struct poster {
	struct world *world;
	struct post post[POSTS];
};

static void *posts(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < POSTS; i++)
		loop_post(p->world->loop, p->post + i, counted, p->world);
	return NULL;
}

/* More than the pipe holds, from several threads; none is lost. */
static void posted(void **state)
{
	struct world *w = *state;
	struct post a, b;
	pthread_t t[4];
	struct poster *p = calloc(4, sizeof(*p));

	for (int i = 0; i < 4; i++) {
		p[i].world = w;
		assert_int_equal(pthread_create(t + i, NULL, posts, p + i), 0);
	}
	assert_int_equal(loop_run(w->loop), 7);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(w->n, 4000);
	loop_post(w->loop, &a, letter_a, w);
	loop_post(w->loop, &b, letter_b, w);
	loop_flush(w->loop);
	assert_string_equal(w->order, "ab");
	free(p);
}

static void signals(void **state)
{
	struct world *w = *state;

	loop_on_reload(w->loop, end, w);
	kill(getpid(), SIGHUP);
	assert_int_equal(loop_run(w->loop), 7);
	kill(getpid(), SIGTERM);
	assert_int_equal(loop_run(w->loop), 0);
}

/* What systemd or `usher run` hands in, by name; in a child, because descriptors have fixed numbers. */
static int child(int names, int count)
{
	char pid[16], bound[BOUND_MAX], n[4];
	int fd = -1, s[2] = { socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0) };
	struct why w;

	listen(s[0], 1);
	for (int i = 0; i < 2; i++)
		dup2(s[i], 20 + i);
	dup2(20, 3);
	dup2(21, 4);
	snprintf(pid, sizeof(pid), "%d", getpid());
	snprintf(n, sizeof(n), "%d", count);
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", n, 1);
	setenv("LISTEN_FDNAMES", names ? "peers:cell" : "peer:cells", 1);
	if (loop_socket("cell", "127.0.0.1:0", SOCKET_UDP, &fd, bound, &w))
		return 1;
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
		return 2;
	{ /* the same socket: its flags are shared with the one handed in */
		int same = (fcntl(4, F_GETFL) & O_NONBLOCK) != 0;

		if (same != (names && count == 2))
			return 3;
	}
	if (names && (loop_socket("peers", "127.0.0.1:0", SOCKET_UDP, &fd, bound, &w) != ERR_FORMAT || fd != -1))
		return 4; /* of the wrong type */
	return 0;
}

static void handed_in(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int how;

		assert_true(pid >= 0);
		if (!pid)
			_exit(child(i < 2, i == 1 ? 1 : 2)); /* fewer descriptors than names: the second name's is not one of them */
		assert_int_equal(waitpid(pid, &how, 0), pid);
		assert_true(WIFEXITED(how));
		assert_int_equal(WEXITSTATUS(how), 0);
	}
}

static void sockets(void **state)
{
	char bound[BOUND_MAX], again[BOUND_MAX];
	int fd, other = -1;
	struct why w;

	(void)state;
	assert_int_equal(loop_socket("x", "127.0.0.1:0", SOCKET_TCP, &fd, bound, &w), OK);
	assert_memory_equal(bound, "127.0.0.1:", 10);
	assert_int_equal(loop_socket("x", bound, SOCKET_TCP, &other, again, &w), ERR_IO);
	assert_non_null(strstr(w.text, "port 0"));
	close(fd);
	assert_int_equal(loop_socket("x", "nonsense", SOCKET_TCP, &fd, bound, &w), ERR_FORMAT);
	assert_int_equal(loop_socket("x", "no.such.host.invalid:1", SOCKET_TCP, &fd, bound, &w), ERR_IO);
}

/* --- clock and err, which have no more to say --- */

static void clock_text_is_utc(void **state)
{
	char text[21];
	int64_t a = clock_mono_us(), now = clock_now();

	(void)state;
	clock_text(0, text, sizeof(text));
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	clock_text(253402300799, text, sizeof(text));
	assert_string_equal(text, "9999-12-31T23:59:59Z");
	assert_true(clock_mono_us() >= a && clock_now_ms() / 1000 >= now && clock_mono_ms() >= a / 1000);
}

static void errors_have_words(void **state)
{
	struct why w;

	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		assert_true(*err_name((enum err)e) && *err_text((enum err)e));
		for (int other = 0; other < e; other++)
			assert_string_not_equal(err_name((enum err)e), err_name((enum err)other));
	}
	assert_string_equal(err_name((enum err)99), "unknown");
	assert_string_equal(err_name((enum err)-1), "unknown");
	assert_int_equal((fail)(&w, ERR_RANGE, "port %d", 7), ERR_RANGE);
	assert_string_equal(w.text, "port 7");
	assert_int_equal((fail)(NULL, ERR_RANGE, "port %d", 7), ERR_RANGE);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, world_make, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(timers_in_order), TEST(stopped_inside), TEST(posted), TEST(signals), cmocka_unit_test(handed_in),
		cmocka_unit_test(sockets), cmocka_unit_test(clock_text_is_utc), cmocka_unit_test(errors_have_words) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
