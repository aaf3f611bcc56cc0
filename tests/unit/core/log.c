/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

/* What a call writes to standard error. */
struct caught {
	int keep, file;
	char text[4096];
};

static void catch_begin(struct caught *c)
{
	char path[] = "/tmp/usher-log-XXXXXX";

	c->file = mkstemp(path);
	assert_true(c->file >= 0);
	unlink(path);
	c->keep = dup(STDERR_FILENO);
	dup2(c->file, STDERR_FILENO);
}

static char *catch_end(struct caught *c)
{
	ssize_t n;

	dup2(c->keep, STDERR_FILENO);
	close(c->keep);
	n = pread(c->file, c->text, sizeof(c->text) - 1, 0);
	close(c->file);
	assert_true(n >= 0);
	c->text[n] = 0;
	return c->text;
}

static void one_line_by_subject(void **state)
{
	struct caught c;
	char *line;

	(void)state;
	log_open("hss 001-01", LOG_INFO);
	catch_begin(&c);
	log_hop(LOG_INFO, "attach", "id=%s act=\"send it\" cause=%d why=\"%s\"", "00101", 17, "no room here");
	log_hop(LOG_DEBUG, "attach", "id=%s", "not at this level");
	line = catch_end(&c);
	assert_int_equal(strlen(line) > 24 ? line[23] : 0, 'Z');
	assert_string_equal(line + 24, " info hss 001-01 attach id=00101 act=\"send it\" cause=17 why=\"no room here\"\n");
}

/* A peer's text stays inside its field: no second line, no other field, nothing that a terminal obeys (CSI is also U+009B). */
static void a_value_forges_nothing(void **state)
{
	struct caught c;
	char *line;

	(void)state;
	log_open("hss 001-01", LOG_INFO);
	catch_begin(&c);
	log_hop(LOG_INFO, "x", "path=%s why=\"%s\"", "/a act=given \x01\x02\x03\x04", "he said \"yes\" act=given\n2026 info\t\x1b[2J\x7f\xc2\x9b[31m\x9b");
	line = catch_end(&c);
	assert_string_equal(line + 24, " info hss 001-01 x path=/a_act=given_???? why=\"he said 'yes' act=given?2026 info??[2J???[31m?\"\n");
}

static void a_long_value_is_cut(void **state)
{
	static char huge[5000];
	struct caught c;
	char *line;

	(void)state;
	memset(huge, 'x', sizeof(huge) - 1);
	log_open("hss 001-01", LOG_INFO);
	catch_begin(&c);
	log_hop(LOG_INFO, "x", "why=\"%s\"", huge);
	log_open(huge, LOG_INFO);
	log_hop(LOG_INFO, huge, "why=\"%s\"", huge);
	line = catch_end(&c);
	assert_true(strlen(line) < sizeof(c.text) - 1);
	assert_ptr_equal(strchr(strchr(line, '\n') + 1, '\n'), line + strlen(line) - 1); /* two lines */
}

static void levels(void **state)
{
	enum log_level l = LOG_ERROR;

	(void)state;
	assert_int_equal(log_level_read("debug", &l), OK);
	assert_int_equal(l, LOG_DEBUG);
	assert_int_equal(log_level_read("error", &l), OK);
	assert_int_equal(l, LOG_ERROR);
	assert_int_equal(log_level_read("dbug", &l), ERR_RANGE);
	assert_int_equal(log_level_read("", &l), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_line_by_subject), cmocka_unit_test(a_value_forges_nothing),
		cmocka_unit_test(a_long_value_is_cut), cmocka_unit_test(levels) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
