/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

struct inner {
	char name[8];
	int64_t size;
};

struct record {
	char text[12], path[64], address[80], plmn[8];
	int64_t number, wait, octets;
	int flag;
	struct inner one;
	struct conf_list many, words;
};

static const struct conf_item inner_items[] = {
	{ "name", CONF_TEXT, CONF_AT(struct inner, name), 0, 0, NULL, "a name", 0, NULL, 0 },
	{ "size", CONF_OCTETS, CONF_AT(struct inner, size), 0, 0, "1KiB", "a size", 0, NULL, 0 },
	CONF_END,
};
static const struct conf_item word[] = { { NULL, CONF_TEXT, 0, 8, 0, 0, NULL, "a word", 0, NULL, 0 } };
static const struct conf_item schema[] = {
	{ "text", CONF_TEXT, CONF_AT(struct record, text), 0, 0, "plain", "a text", 0, NULL, 0 },
	{ "path", CONF_FILE, CONF_AT(struct record, path), 0, 0, "", "a file", 0, NULL, 0 },
	{ "address", CONF_ADDRESS, CONF_AT(struct record, address), 0, 0, "127.0.0.1:0", "an address", 0, NULL, 0 },
	{ "plmn", CONF_PLMN, CONF_AT(struct record, plmn), 0, 0, "001-01", "a network", 0, NULL, 0 },
	{ "number", CONF_INT, CONF_AT(struct record, number), -5, 100, "7", "a number", 0, NULL, 0 },
	{ "wait", CONF_SECONDS, CONF_AT(struct record, wait), 1, 864000, "10m", "a time", 1, NULL, 0 },
	{ "octets", CONF_OCTETS, CONF_AT(struct record, octets), 0, 0, "64KiB", "a size", 0, NULL, 0 },
	{ "flag", CONF_BOOL, CONF_AT(struct record, flag), 0, 0, "no", "yes or no", 0, NULL, 0 },
	{ "one", CONF_RECORD, CONF_AT(struct record, one), 0, 0, NULL, "a map", 0, inner_items, 0 },
	{ "many", CONF_LIST, CONF_AT(struct record, many), 0, 3, "", "maps", 0, inner_items, sizeof(struct inner) },
	{ "words", CONF_LIST, CONF_AT(struct record, words), 0, 0, "", "words", 0, word, 8 },
	CONF_END,
};

static enum err parse(const char *text, struct record *r, struct why *w)
{
	w->text[0] = 0;
	return conf_parse(text, "usher.yaml", "/etc/usher", schema, r, w);
}

static void every_type(void **state)
{
	struct record r;
	struct why w;

	(void)state;
	assert_int_equal(parse("one: {name: a}\n", &r, &w), OK);
	assert_string_equal(r.text, "plain");
	assert_string_equal(r.path, "");
	assert_string_equal(r.address, "127.0.0.1:0");
	assert_int_equal(r.number, 7);
	assert_int_equal(r.wait, 600);
	assert_int_equal(r.octets, 65536);
	assert_int_equal(r.one.size, 1024);
	assert_int_equal(r.many.n + r.words.n + (size_t)r.flag, 0);
	conf_free(schema, &r);
	assert_int_equal(parse("text: '0123'\npath: keys/kek\naddress: '[::1]:80'\nplmn: 310-260\nnumber: -5\nwait: 2d\noctets: 3MiB\nflag: yes\n"
		"one: {name: a, size: 5}\nmany: [{name: b}, {name: c, size: 1GiB}]\nwords: [x, y, z]\n", &r, &w), OK);
	assert_string_equal(r.text, "0123");
	assert_string_equal(r.path, "/etc/usher/keys/kek");
	assert_string_equal(r.plmn, "310-260");
	assert_int_equal(r.number, -5);
	assert_int_equal(r.wait, 172800);
	assert_int_equal(r.octets, 3 << 20);
	assert_int_equal(r.flag, 1);
	assert_int_equal(r.many.n, 2);
	assert_int_equal(((struct inner *)r.many.item)[1].size, 1 << 30);
	assert_string_equal((char *)r.words.item + 16, "z");
	conf_free(schema, &r);
}

/* Each with the line and what the sentence must have. */
static const struct {
	const char *text;
	enum err err;
	const char *says;
} bad[] = {
	{ "text: 0123456789ab\n", ERR_LIMIT, "usher.yaml:1: text: `0123456789ab` is too long" },
	{ "\nnumber: 101\n", ERR_RANGE, "usher.yaml:2: number: `101` is out of range (-5 to 100)" },
	{ "number: -6\n", ERR_RANGE, "-5 to 100" },
	{ "number: 1x\n", ERR_FORMAT, "`1x`" },
	{ "number: \" 7\"\n", ERR_FORMAT, "` 7`" },
	{ "number: +7\n", ERR_FORMAT, "`+7`" },
	{ "number: 99999999999999999999\n", ERR_FORMAT, "number" },
	{ "wait: 0\n", ERR_RANGE, "`0` is out of range (1s to 10d)" },
	{ "wait: 11d\n", ERR_RANGE, "`11d` is out of range (1s to 10d)" },
	{ "wait: 1w\n", ERR_FORMAT, "`1w` is not a time like 90s, 10m, 72h or 30d (1s to 10d)" },
	{ "octets: 9223372036854775807KiB\n", ERR_RANGE, "is out of range (0 or more)" },
	{ "octets: -1\n", ERR_RANGE, "0 or more" },
	{ "flag: maybe\n", ERR_FORMAT, "is not yes or no" },
	{ "plmn: 1-01\n", ERR_FORMAT, "001-01" },
	{ "plmn: 001-0a\n", ERR_FORMAT, "001-01" },
	{ "address: nowhere\n", ERR_FORMAT, "is not host:port" },
	{ "address: a:65536\n", ERR_FORMAT, "is not host:port" },
	{ "address: 'a@b:80'\n", ERR_FORMAT, "is not host:port" },
	{ "adress: a:1\n", ERR_FORMAT, "unknown key `adress`; did you mean `address`?" },
	{ "zzzzzzzz: 1\n", ERR_FORMAT, "--example-config" },
	{ "flag: yes\nflag: no\n", ERR_EXISTS, "usher.yaml:2: `flag` stands here twice" },
	{ "one: {name: a, name: b}\n", ERR_EXISTS, "twice" },
	{ "one: a\n", ERR_FORMAT, "expected map" },
	{ "one: {}\n", ERR_MISSING, "`name` is missing" },
	{ "", ERR_MISSING, "`name` is missing" },
	{ "many: [{name: a}, {name: b}, {name: c}, {name: d}]\n", ERR_LIMIT, "4 entries; at most 3" },
	{ "many: [x]\n", ERR_FORMAT, "each entry is a map" },
	{ "many: [{name: a}, {nam: b}]\n", ERR_FORMAT, "did you mean `name`?" },
	{ "words: [[x]]\n", ERR_FORMAT, "each entry is text" },
	{ "words: [12345678]\n", ERR_LIMIT, "too long" },
	{ "words: {a: b}\n", ERR_FORMAT, "expected list" },
	{ "text: [a]\n", ERR_FORMAT, "expected text" },
	{ "[a]: b\n", ERR_FORMAT, "unknown key" },
	{ "- a\n", ERR_FORMAT, "expected `key: value` lines" },
	{ "a: [\n", ERR_FORMAT, "not YAML" },
	{ "text: \"a\\0b\"\n", ERR_FORMAT, "zero octet" },
	{ "one: {name: a}\n---\nnumber: 200\n", ERR_FORMAT, "more than one document" },
};

static void every_refusal(void **state)
{
	struct record r;
	struct why w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		enum err e = parse(bad[i].text, &r, &w);

		if (e != bad[i].err || !strstr(w.text, bad[i].says))
			fail_msg("`%s`: %s, \"%s\"; expected %s, \"%s\"", bad[i].text, err_name(e), w.text, err_name(bad[i].err), bad[i].says);
	}
}

static void files(void **state)
{
	char path[] = "/tmp/usher-conf-XXXXXX", zero[] = "one: {name: a}\n\0number: 200\n";
	int fd = mkstemp(path);
	char *large = malloc((1 << 20) + 2);
	struct record r;
	struct why w = { "" };

	(void)state;
	assert_true(fd >= 0 && large);
	assert_int_equal(write(fd, "one: {name: a}\n", 15), 15);
	assert_int_equal(conf_read(path, "/x", schema, &r, &w), OK);
	conf_free(schema, &r);
	assert_int_equal(pwrite(fd, zero, sizeof(zero) - 1, 0), (ssize_t)sizeof(zero) - 1); /* what follows would be read by nobody */
	assert_int_equal(conf_read(path, "/x", schema, &r, &w), ERR_FORMAT);
	memset(large, '#', (1 << 20) + 1);
	assert_int_equal(pwrite(fd, large, (1 << 20) + 1, 0), (1 << 20) + 1);
	assert_int_equal(conf_read(path, "/x", schema, &r, &w), ERR_LIMIT);
	assert_int_equal(conf_read("/tmp", "/x", schema, &r, &w), ERR_IO);
	assert_int_equal(conf_read("/nonexistent", "/x", schema, &r, &w), ERR_IO);
	close(fd);
	unlink(path);
	free(large);
}

/* The example is a config with every default. */
static void the_example_reads(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct record r;
	struct why w;

	(void)state;
	conf_example(schema, "an example", f);
	fclose(f);
	assert_int_equal(parse(text, &r, &w), ERR_MISSING); /* one.name must be given */
	free(text);
	f = open_memstream(&text, &n);
	conf_man(schema, f);
	fclose(f);
	assert_non_null(strstr(text, ".B one.size"));
	assert_non_null(strstr(text, "read again at SIGHUP"));
	free(text);
}

static void addresses(void **state)
{
	static const char *const wrong[] = { "", ":80", "a", "a:", "a:x", "a:-1", "a:1:2", "[]:1", "[::1]", "[::1]1", "a/b:1", "a b:1", "a\r\n:1", "u@h:1",
		"a#b:1", "[::1%25x]:1", "a\xc3\xa4:1" };
	char host[256];
	uint16_t port;
	struct why w;

	(void)state;
	assert_int_equal(conf_address("dm.example:443", host, sizeof(host), &port, &w), OK);
	assert_string_equal(host, "dm.example");
	assert_int_equal(port, 443);
	assert_int_equal(conf_address("[2001:db8::1]:0", host, sizeof(host), &port, &w), OK);
	assert_string_equal(host, "2001:db8::1");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (!conf_address(wrong[i], host, sizeof(host), &port, &w))
			fail_msg("`%s` was taken", wrong[i]);
	assert_int_equal(conf_address("abcdefgh:1", host, 8, &port, &w), ERR_LIMIT);
}

static void ports_from_a_file(void **state)
{
	char path[] = "/tmp/usher-ports-XXXXXX", text[100], out[64];
	int fd = mkstemp(path);
	struct why w;

	(void)state;
	assert_int_equal(write(fd, "peers 127.0.0.1:4001\nowner 127.0.0.1:4002\n", 42), 42);
	snprintf(text, sizeof(text), "localhost:@%s#owner", path);
	assert_int_equal(conf_resolve(text, out, sizeof(out), &w), OK);
	assert_string_equal(out, "localhost:4002");
	snprintf(text, sizeof(text), "localhost:@%s#own", path);
	assert_int_equal(conf_resolve(text, out, sizeof(out), &w), ERR_MISSING);
	assert_int_equal(conf_resolve("localhost:@/nonexistent#owner", out, sizeof(out), &w), ERR_AGAIN);
	assert_int_equal(conf_resolve("localhost:@/nonexistent", out, sizeof(out), &w), ERR_FORMAT);
	assert_int_equal(conf_resolve("localhost:80", out, 4, &w), ERR_LIMIT);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_type), cmocka_unit_test(every_refusal), cmocka_unit_test(files),
		cmocka_unit_test(the_example_reads), cmocka_unit_test(addresses), cmocka_unit_test(ports_from_a_file) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
