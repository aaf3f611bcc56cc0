/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's, but for a folder that cannot be made durable. */
static int folders_fail;

int fsync(int fd)
{
	struct stat st;

	return folders_fail && !fstat(fd, &st) && S_ISDIR(st.st_mode) ? -1 : (int)syscall(SYS_fsync, fd);
}

struct place {
	char dir[64], path[80], copy[2][90];
};

static int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/usher-cell-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->path, sizeof(p->path), "%s/state", p->dir);
	snprintf(p->copy[0], sizeof(p->copy[0]), "%s.a", p->path);
	snprintf(p->copy[1], sizeof(p->copy[1]), "%s.b", p->path);
	*state = p;
	return 0;
}

static int place_end(void **state)
{
	struct place *p = *state;
	char command[100];
	int rc;

	snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
	rc = system(command);
	free(p);
	return rc;
}

static struct cell *opened(const struct place *p)
{
	struct cell *c = NULL;
	struct why w;

	assert_int_equal(cell_open(p->path, &c, &w), OK);
	return c;
}

static size_t slurp(const char *path, uint8_t *dst, size_t cap)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(dst, 1, cap, f);
	fclose(f);
	return n;
}

static void spill(const char *path, const uint8_t *p, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void expect(const struct place *p, uint64_t counter, const char *text)
{
	struct cell *c = opened(p);

	assert_int_equal(cell_counter(c), counter);
	assert_true(bytes_equal(cell_read(c), bytes_text(text)));
	cell_close(c);
}

/* A power cut after any octet of the third writing leaves the second; any flipped bit too. */
static void torn_at_every_octet(void **state)
{
	struct place *p = *state;
	struct cell *c = opened(p);
	uint8_t whole[64];
	size_t n;

	assert_int_equal(cell_counter(c), 0);
	assert_int_equal(cell_read(c).n, 0);
	assert_int_equal(cell_write(c, bytes_text("one")), OK);
	assert_int_equal(cell_write(c, bytes_text("two")), OK);
	assert_int_equal(cell_write(c, bytes_text("three")), OK);
	cell_close(c);
	expect(p, 3, "three");
	n = slurp(p->copy[1], whole, sizeof(whole));
	assert_int_equal(n, 4 + 8 + 4 + 5 + 4);
	for (size_t i = 0; i < n; i++) {
		spill(p->copy[1], whole, i);
		expect(p, 2, "two");
	}
	for (size_t bit = 0; bit < 8 * n; bit++) {
		whole[bit / 8] ^= (uint8_t)(1 << bit % 8);
		spill(p->copy[1], whole, n);
		expect(p, 2, "two");
		whole[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	whole[n] = 0; /* an octet more */
	spill(p->copy[1], whole, n + 1);
	expect(p, 2, "two");
	unlink(p->copy[1]);
	expect(p, 2, "two");
	c = opened(p); /* and it goes on from there */
	assert_int_equal(cell_write(c, bytes_text("again")), OK);
	cell_close(c);
	expect(p, 3, "again");
}

static void nothing_whole_is_left(void **state)
{
	struct place *p = *state;
	struct cell *c = NULL;
	struct why w;

	spill(p->copy[0], (const uint8_t *)"x", 1);
	assert_int_equal(cell_open(p->path, &c, &w), ERR_FORMAT);
	assert_non_null(strstr(w.text, "backup"));
	spill(p->copy[1], (const uint8_t *)"", 0);
	assert_int_equal(cell_open(p->path, &c, &w), ERR_FORMAT);
}

/* A copy that cannot be read may be the newest: to go on with the other would take an equipment back in time. */
static void a_copy_that_cannot_be_read(void **state)
{
	struct place *p = *state;
	struct cell *c = opened(p);
	struct why w;

	assert_int_equal(cell_write(c, bytes_text("one")), OK);
	assert_int_equal(cell_write(c, bytes_text("two")), OK);
	cell_close(c);
	for (int i = 0; i < 2; i++) {
		uint8_t keep[64];
		size_t n = slurp(p->copy[i], keep, sizeof(keep));

		unlink(p->copy[i]);
		assert_int_equal(mkdir(p->copy[i], 0700), 0); /* read: EISDIR */
		assert_int_equal(cell_open(p->path, &c, &w), ERR_IO);
		rmdir(p->copy[i]);
		assert_int_equal(symlink(p->copy[i], p->copy[i]), 0); /* open: ELOOP */
		assert_int_equal(cell_open(p->path, &c, &w), ERR_IO);
		unlink(p->copy[i]);
		spill(p->copy[i], keep, n);
	}
	expect(p, 2, "two");
}

/* A file whose folder is not durable may be gone after a power cut: it is not said to be written. */
static void a_folder_that_is_not_durable(void **state)
{
	struct place *p = *state;
	struct cell *c = opened(p);

	assert_int_equal(cell_write(c, bytes_text("one")), OK);
	folders_fail = 1;
	assert_int_equal(cell_write(c, bytes_text("two")), ERR_IO);
	folders_fail = 0;
	assert_int_equal(cell_counter(c), 1);
	assert_true(bytes_equal(cell_read(c), bytes_text("one")));
	cell_close(c);
	expect(p, 1, "one");
}

static void limits(void **state)
{
	struct place *p = *state;
	struct cell *c = opened(p);
	uint8_t *big = calloc(1, CELL_MAX + 1);
	struct rlimit was, little = { 100, RLIM_INFINITY };

	assert_int_equal(cell_write(c, BYTES(big, CELL_MAX)), OK);
	assert_int_equal(cell_write(c, BYTES(big, CELL_MAX + 1)), ERR_LIMIT);
	assert_int_equal(cell_counter(c), 1);
	assert_int_equal(cell_write(c, bytes_text("two")), OK);
	/* a full disk: what was there stays, and what was not written does not come up later */
	getrlimit(RLIMIT_FSIZE, &was);
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &little);
	assert_int_equal(cell_write(c, BYTES(big, 4000)), ERR_IO);
	setrlimit(RLIMIT_FSIZE, &was);
	assert_true(bytes_equal(cell_read(c), bytes_text("two")));
	assert_int_not_equal(access(p->copy[1], F_OK), 0);
	assert_int_equal(cell_write(c, bytes_text("three")), OK);
	cell_close(c);
	expect(p, 3, "three");
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(torn_at_every_octet, place_make, place_end),
		cmocka_unit_test_setup_teardown(nothing_whole_is_left, place_make, place_end),
		cmocka_unit_test_setup_teardown(a_copy_that_cannot_be_read, place_make, place_end),
		cmocka_unit_test_setup_teardown(a_folder_that_is_not_durable, place_make, place_end),
		cmocka_unit_test_setup_teardown(limits, place_make, place_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
