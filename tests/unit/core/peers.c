/* SPDX-License-Identifier: Apache-2.0 */
#include "core/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
	char dir[64], peers[80];
};

static int place_make(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/usher-peers-XXXXXX");
	if (!mkdtemp(p->dir))
		return -1;
	snprintf(p->peers, sizeof(p->peers), "%s/peers", p->dir);
	*state = p;
	return mkdir(p->peers, 0700);
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

static void put(const struct place *p, const char *name, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", p->peers, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void found_by_role_and_id(void **state)
{
	struct peers *p;
	struct why w;

	put(*state, "a.yaml", "role: hss\nid: 001-01\naddress: 127.0.0.1:1\nrange: ['00101', '001']\n");
	put(*state, "b.yaml", "role: registration\nid: 901-70\nrange: ['90170']\n");
	put(*state, "c.yaml", "role: dm\nid: 001-01\n");
	put(*state, "no.txt", "not read");
	put(*state, ".hidden.yaml", "not read");
	assert_int_equal(peers_read(((struct place *)*state)->dir, &p, &w), OK);
	assert_int_equal(peers_count(p), 3);
	assert_string_equal(peers_find(p, "hss", "001-01")->address, "127.0.0.1:1");
	assert_string_equal(peers_find(p, "dm", "001-01")->address, "");
	assert_null(peers_find(p, "hss", "901-70"));
	assert_null(peers_find(p, "hss", "001-0"));
	assert_string_equal(peers_by_range(p, "001010000000001")->party.role, "hss");
	assert_string_equal(peers_by_range(p, "901700000000001")->party.role, "registration");
	assert_null(peers_by_range(p, "902700000000001"));
	assert_null(peers_by_range(p, "9017"));
	assert_null(peers_at(p, 3));
	peers_free(p);
}

static void refused(void **state)
{
	static const struct {
		const char *text;
		enum err err;
	} bad[] = {
		{ "role: boss\nid: a\n", ERR_RANGE },
		{ "role: hss\nid: ../../etc/passwd\n", ERR_FORMAT },
		{ "role: hss\nid: 'a b'\n", ERR_FORMAT },
		{ "role: hss\nid: ''\n", ERR_FORMAT },
		{ "role: hss\nid: a\nrange: [12x]\n", ERR_FORMAT },
		{ "role: hss\n", ERR_MISSING },
		{ "role: dm\nid: twin\n", ERR_EXISTS },
	};
	struct peers *p;
	struct why w;

	put(*state, "a.yaml", "role: dm\nid: twin\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		put(*state, "b.yaml", bad[i].text);
		if (peers_read(((struct place *)*state)->dir, &p, &w) != bad[i].err)
			fail_msg("%s: %s", bad[i].text, w.text);
	}
}

/* No folder: no peers. A folder that cannot be read is not the same. */
static void no_folder(void **state)
{
	struct place *at = *state;
	struct peers *p;
	struct why w;

	assert_int_equal(peers_read("/nonexistent", &p, &w), OK);
	assert_int_equal(peers_count(p), 0);
	peers_free(p);
	rmdir(at->peers);
	fclose(fopen(at->peers, "w"));
	assert_int_equal(peers_read(at->dir, &p, &w), ERR_IO);
}

static void read_again(void **state)
{
	struct place *at = *state;
	const struct peer *old;
	struct peers *p;
	struct why w;

	put(at, "a.yaml", "role: hss\nid: 001-01\naddress: 127.0.0.1:1\n");
	assert_int_equal(peers_read(at->dir, &p, &w), OK);
	old = peers_find(p, "hss", "001-01");
	put(at, "a.yaml", "role: hss\nid: 001-01\naddress: 127.0.0.1:2\n");
	put(at, "b.yaml", "role: dm\nid: a\n");
	assert_int_equal(peers_reload(p, at->dir, &w), OK);
	assert_string_equal(old->address, "127.0.0.1:1"); /* whoever looks at it still can */
	assert_string_equal(peers_find(p, "hss", "001-01")->address, "127.0.0.1:2");
	assert_int_equal(peers_count(p), 2);
	put(at, "b.yaml", "role: dm\nid: a\nbroken: yes\n");
	assert_int_equal(peers_reload(p, at->dir, &w), ERR_FORMAT);
	assert_int_equal(peers_count(p), 2); /* as it was */
	peers_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(found_by_role_and_id, place_make, place_end),
		cmocka_unit_test_setup_teardown(refused, place_make, place_end), cmocka_unit_test_setup_teardown(no_folder, place_make, place_end),
		cmocka_unit_test_setup_teardown(read_again, place_make, place_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
