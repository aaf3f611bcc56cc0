/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
	char dir[64], key[96];
};

static int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p)
		return -1;
	strcpy(p->dir, "/tmp/usher-secret-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->key, sizeof(p->key), "%s/kek", p->dir);
	*state = p;
	return 0;
}

static int place_end(void **state)
{
	struct place *p = *state;

	unlink(p->key);
	rmdir(p->dir);
	free(p);
	return 0;
}

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* RFC 3394 4.3: 128 bits of key data with a 256 bit key */
static void known_answer(void **state)
{
	struct place *p = *state;
	struct why w = { "" };
	struct secret s, back;
	uint8_t wrapped[SECRET_WRAPPED], want[SECRET_WRAPPED];
	struct kek *k;

	put(p->key, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 0600);
	assert_int_equal(kek_load(p->key, &k, &w), OK);
	assert_int_equal(hex_read("00112233445566778899aabbccddeeff", s.octet, 16), OK);
	assert_int_equal(hex_read("64e8c3f9ce0f5ba263e9777905818a2a93c8191e7d6e8ae7", want, sizeof(want)), OK);
	assert_int_equal(kek_wrap(k, &s, wrapped), OK);
	assert_memory_equal(wrapped, want, sizeof(want));
	assert_int_equal(kek_unwrap(k, want, &back), OK);
	assert_true(secret_same(&s, &back));
	for (int bit = 0; bit < 8 * SECRET_WRAPPED; bit++) { /* nothing of the key is given away */
		static const struct secret none = { { 0 } };

		wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memcpy(&back, &s, sizeof(back));
		assert_int_equal(kek_unwrap(k, wrapped, &back), ERR_AUTH);
		assert_memory_equal(&back, &none, sizeof(none));
		wrapped[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	kek_free(k);
}

static void key_files(void **state)
{
	static const char good[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
	struct place *p = *state;
	struct why w = { "" };
	struct kek *k;
	char text[80];

	assert_int_equal(kek_load(p->key, &k, &w), ERR_IO);
	put(p->key, good, 0640);
	assert_int_equal(kek_load(p->key, &k, &w), ERR_DENIED);
	assert_non_null(strstr(w.text, "chmod 600"));
	put(p->key, "0001", 0600);
	assert_int_equal(kek_load(p->key, &k, &w), ERR_FORMAT);
	memcpy(text, good, sizeof(good));
	text[3] = 'x';
	put(p->key, text, 0600);
	assert_int_equal(kek_load(p->key, &k, &w), ERR_FORMAT);
	snprintf(text, sizeof(text), "%sff", good);
	put(p->key, text, 0600);
	assert_int_equal(kek_load(p->key, &k, &w), ERR_FORMAT);
	assert_int_equal(kek_load(p->dir, &k, &w), ERR_FORMAT);
	unlink(p->key);
	assert_int_equal(mkfifo(p->key, 0600), 0); /* nobody writes into it: no wait */
	assert_int_equal(kek_load(p->key, &k, &w), ERR_FORMAT);
	unlink(p->key);
	assert_int_equal(symlink("/dev/null", p->key), 0);
	assert_int_equal(kek_load(p->key, &k, &w), ERR_IO);
	kek_free(NULL);
}

static void made_once(void **state)
{
	struct place *p = *state;
	struct why w = { "" };
	struct kek *k;
	struct stat st;
	struct secret s = { { 1, 2, 3 } }, back;
	uint8_t wrapped[SECRET_WRAPPED];

	assert_int_equal(kek_create(p->key, &w), OK);
	assert_int_equal(stat(p->key, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(kek_create(p->key, &w), ERR_EXISTS);
	assert_int_equal(kek_load(p->key, &k, &w), OK); /* the first one is still there */
	assert_int_equal(kek_wrap(k, &s, wrapped), OK);
	assert_int_equal(kek_unwrap(k, wrapped, &back), OK);
	assert_true(secret_same(&s, &back));
	kek_free(k);
}

/* In a child: it is for the whole process. */
static void process(void **state)
{
	pid_t child = fork();
	int how = 0;

	(void)state;
	assert_true(child >= 0);
	if (!child) {
		struct rlimit core;

		secret_process();
		_exit(prctl(PR_GET_DUMPABLE) == 0 && !getrlimit(RLIMIT_CORE, &core) && !core.rlim_cur && !core.rlim_max && umask(0) == 077 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how));
	assert_int_equal(WEXITSTATUS(how), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(known_answer, place_make, place_end),
		cmocka_unit_test_setup_teardown(key_files, place_make, place_end),
		cmocka_unit_test_setup_teardown(made_once, place_make, place_end),
		cmocka_unit_test(process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
