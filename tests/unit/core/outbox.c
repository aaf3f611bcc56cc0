/* SPDX-License-Identifier: Apache-2.0 */
/* Letters to a server in the same process; the store has its thread. Plain http, as to an OCSP responder: the party is core/http's test. */
#include "core/outbox.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.h"
#include "core/server.h"
#include "tests/unit/pki.h"

enum { MOST = 300 };

struct world {
	struct loop *loop;
	struct store *store;
	struct errands *errands;
	struct http *http;
	struct peers *peers;
	struct outbox *outbox;
	struct server *server;
	char dir[64];
	/* the server */
	int asked, later;        /* how often; answers 503 so many times first */
	int open, most_open;     /* requests kept at a time */
	struct ask *kept[MOST];
	int keep;
	char bodies[1024];
	/* events */
	int events;
	char last_event[32], last_body[64];
	enum err act_says;
	/* for a transaction */
	struct letter letter;
	int told;
	enum err err;
	int64_t n, next, tries, tried;
};

static struct world *the_world; /* an act has no argument of its own */

/* --- the server --- */

static void letter_came(struct ask *a, void *arg)
{
	struct world *w = arg;

	w->asked++;
	if (strlen(w->bodies) < 900)
		snprintf(w->bodies + strlen(w->bodies), 64, "%.*s;", (int)ask_body(a).n, (const char *)ask_body(a).p);
	if (w->later) {
		w->later--;
		ask_reply(a, 503, NULL, bytes_text("not yet"));
	} else if (w->keep) {
		w->kept[w->open++] = a;
		w->most_open = w->open > w->most_open ? w->open : w->most_open;
	} else {
		ask_reply(a, 200, NULL, ask_body(a));
	}
}

static void with_status(struct ask *a, void *arg)
{
	((struct world *)arg)->asked++;
	ask_add(a, "Retry-After", "3");
	ask_reply(a, atoi(ask_tail(a)), NULL, bytes_text("said"));
}

static const struct route routes[] = { { "POST", "/", WHO_ANYONE, 70000, letter_came }, { "POST", "/status/*", WHO_ANYONE, 1000, with_status }, { 0 } };

/* --- the errand --- */

static enum err act(struct tx *tx, struct errand *e, const struct errand_event *event, struct why *w)
{
	(void)tx, (void)e, (void)w;
	if (the_world->act_says)
		return the_world->act_says;
	the_world->events++;
	snprintf(the_world->last_event, sizeof(the_world->last_event), "%s", event->name);
	snprintf(the_world->last_body, sizeof(the_world->last_body), "%.*s", (int)event->body.n, (const char *)event->body.p);
	return OK;
}

static const struct errand_rule rules[] = { { "*", "w.ok", NULL, act, NULL, NULL }, { "*", "w.refused", NULL, act, NULL, NULL }, { 0 } };
static const struct errand_kind kinds[] = { { "trip", rules, NULL, NULL }, { 0 } };

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct why why;

	the_world = *state = w;
	log_open("test", LOG_ERROR);
	strcpy(w->dir, "/tmp/usher-outbox-XXXXXX");
	return !mkdtemp(w->dir) || loop_new(&w->loop) || store_open(w->loop, NULL, NULL, 0, &w->store, &why) || http_open(w->loop, NULL, "x", &w->http)
		|| peers_read(w->dir, &w->peers, &why) || errands_open(w->loop, w->store, kinds, &w->errands)
		|| outbox_open(w->loop, w->store, w->http, w->peers, &w->outbox)
		|| server_open(w->loop, &(struct server_conf){ "x", "127.0.0.1:0", NULL, routes, NULL, w }, &w->server, &why);
}

static int world_end(void **state)
{
	struct world *w = *state;

	outbox_stop(w->outbox);
	http_close(w->http);
	store_stop(w->store);
	server_close(w->server);
	for (int i = 0; i < w->open; i++)
		ask_reply(w->kept[i], 200, NULL, BYTES("", 0));
	errands_close(w->errands);
	outbox_close(w->outbox);
	store_close(w->store);
	peers_free(w->peers);
	loop_free(w->loop);
	rmdir(w->dir);
	free(w);
	return 0;
}

/* --- transactions, each waited for on the loop --- */

#define UNTIL(w_, what_) while (!(what_)) event_base_loop(loop_base((w_)->loop), EVLOOP_ONCE)

static void told(void *arg, enum err e)
{
	struct world *w = arg;

	w->told = 1;
	w->err = e;
}

static enum err run(struct world *w, tx_fn fn)
{
	w->told = 0;
	store_run(w->store, fn, w, told);
	UNTIL(w, w->told);
	return w->err;
}

static enum err begin(struct tx *tx, void *arg)
{
	return tx_errand_begin(tx, "trip", ((struct world *)arg)->letter.id, "new");
}

static enum err put(struct tx *tx, void *arg)
{
	return tx_outbox(tx, &((struct world *)arg)->letter);
}

static enum err forget(struct tx *tx, void *arg)
{
	return tx_errand_end(tx, "trip", ((struct world *)arg)->letter.id);
}

static enum err look(struct tx *tx, void *arg)
{
	struct world *w = arg;
	const struct row *r;
	enum err e = tx_get(tx, "SELECT COUNT(*), COALESCE(MIN(next), 0), COALESCE(MAX(tries), 0), COALESCE(SUM(tries), 0) FROM outbox", NULL, &r);

	w->n = e ? -1 : row_int(r, 0);
	w->next = e ? 0 : row_int(r, 1);
	w->tries = e ? 0 : row_int(r, 2);
	w->tried = e ? 0 : row_int(r, 3);
	return e;
}

static int64_t left(struct world *w)
{
	assert_int_equal(run(w, look), OK);
	return w->n;
}

static void send_to(struct world *w, const char *address, const char *id, const char *path, const char *body)
{
	w->letter = (struct letter){ .word = "w", .errand = "trip", .id = id, .address = address, .path = path, .body = bytes_text(body) };
	assert_int_equal(run(w, begin), OK);
	assert_int_equal(run(w, put), OK);
}

static void send_one(struct world *w, const char *id, const char *path, const char *body)
{
	send_to(w, server_bound(w->server), id, path, body);
}

static void send_many(struct world *w, const char *address, int n)
{
	char id[8];

	for (int i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "%d", i);
		send_to(w, address, id, "/", "x");
	}
}

/* Until the other side answers: then one event, and the letter is gone. */
static void repeated_until_answered(void **state)
{
	struct world *w = *state;

	w->later = 2;
	send_one(w, "1", "/", "hello");
	UNTIL(w, w->events);
	assert_int_equal(w->asked, 3);
	assert_string_equal(w->last_event, "w.ok");
	assert_string_equal(w->last_body, "hello");
	assert_int_equal(left(w), 0);
	assert_int_equal(w->events, 1);
	assert_non_null(strstr(outbox_last(w->outbox), "answers 503"));
}

static void what_is_an_answer(void **state)
{
	static const struct {
		const char *path;
		const char *event; /* NULL: it waits */
	} cases[] = { { "/status/200", "w.ok" }, { "/status/404", "w.refused" }, { "/status/403", "w.refused" }, { "/status/302", "w.refused" },
		{ "/status/202", NULL }, { "/status/500", NULL }, { "/status/503", NULL }, { "/status/429", NULL }, { "/status/408", NULL } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int asked = w->asked, events = w->events;
		int64_t now, before = clock_now_ms();

		send_one(w, "1", cases[i].path, "x");
		if (cases[i].event) {
			UNTIL(w, w->events > events);
			assert_string_equal(w->last_event, cases[i].event);
			assert_int_equal(left(w), 0);
		} else {
			UNTIL(w, w->asked > asked);
			do { /* the lease is 90 s, Retry-After of the server 3 s */
				assert_int_equal(left(w), 1);
				now = clock_now_ms();
			} while (w->next - now > 3000);
			assert_true(w->next >= before + 3000);
			assert_int_equal(w->tries, 1);
			assert_int_equal(w->events, events);
		}
		assert_int_equal(run(w, forget), OK);
	}
}

/* The answer to a letter that another one of its name has replaced is nobody's. */
static void replaced_while_under_way(void **state)
{
	struct world *w = *state;

	w->keep = 1;
	send_one(w, "1", "/", "old");
	UNTIL(w, w->open == 1);
	assert_int_equal(run(w, forget), OK);
	send_one(w, "1", "/", "new");
	ask_reply(w->kept[0], 200, NULL, bytes_text("answer to old"));
	UNTIL(w, w->open == 2);
	ask_reply(w->kept[1], 200, NULL, bytes_text("answer to new"));
	w->open = 0;
	UNTIL(w, w->events);
	assert_string_equal(w->last_body, "answer to new");
	assert_int_equal(left(w), 0);
	assert_int_equal(w->events, 1);
	assert_string_equal(w->bodies, "old;new;");
}

static void many(void **state)
{
	struct world *w = *state;

	w->keep = 1;
	send_many(w, server_bound(w->server), 200);
	while (w->events < 200) {
		UNTIL(w, w->open || w->events == 200);
		if (w->open)
			ask_reply(w->kept[--w->open], 200, NULL, BYTES("", 0));
	}
	assert_true(w->most_open > 1 && w->most_open <= 16);
	assert_int_equal(w->asked, 200);
	assert_int_equal(left(w), 0);
}

static void too_long(void *arg)
{
	*(int *)arg = 1;
}

/* Who takes connections and says nothing keeps his share busy, and nobody else waits for him. */
static void silent_peer(void **state)
{
	struct world *w = *state;
	char address[BOUND_MAX];
	struct why why;
	int fd, late = 0;
	struct timer *limit;

	assert_int_equal(loop_socket("silent", "127.0.0.1:0", SOCKET_TCP, &fd, address, &why), OK);
	send_many(w, address, 200);
	limit = timer_after(w->loop, 10000, too_long, &late); /* a letter's time is 30 s */
	send_one(w, "good", "/", "good");
	UNTIL(w, w->events || late);
	assert_false(late);
	timer_stop(limit);
	assert_string_equal(w->last_body, "good");
	close(fd);
}

/* A port that refuses connections, and that the kernel gives to nobody else. */
static int refusing(char address[BOUND_MAX])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	assert_true(!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) && !bind(fd, (struct sockaddr *)&a, n)
		&& !getsockname(fd, (struct sockaddr *)&a, &n));
	snprintf(address, 64, "127.0.0.1:%u", ntohs(a.sin_port));
	return fd;
}

/* Who cannot be reached is left alone as a whole: one letter at a time, and ever more seldom. When he is back, no letter waits for more. */
static void dead_peer(void **state)
{
	struct world *w = *state;
	char address[BOUND_MAX];
	int64_t begun = clock_mono_ms();
	struct why why;
	struct server *back;
	int fd = refusing(address);

	send_to(w, address, "first", "/", "x"); /* more that went with it would count as tries of their own */
	while (w->tried < 1)
		assert_int_equal(left(w), 1);
	send_many(w, address, 99);
	while (w->tried < 3)
		assert_int_equal(left(w), 100);
	assert_true(clock_mono_ms() - begun >= 750); /* the second 250 ms after the first at least, the third 500 ms later */
	assert_int_equal(server_open(w->loop, &(struct server_conf){ "back", address, NULL, routes, NULL, w }, &back, &why), OK);
	UNTIL(w, w->events == 100);
	assert_int_equal(w->asked, 100);
	server_close(back);
	close(fd);
}

/* A letter that cannot go, or whose answer its errand cannot take, holds up no other. */
static void poison(void **state)
{
	struct world *w = *state;

	w->act_says = ERR_DENIED;
	send_one(w, "bad", "/", "x");
	UNTIL(w, w->asked == 1);
	do
		assert_int_equal(left(w), 1);
	while (!w->tries);
	w->act_says = OK;
	w->letter = (struct letter){ .word = "w", .errand = "trip", .id = "lost", .role = "hss", .peer = "999-99", .path = "/" };
	assert_int_equal(run(w, begin), OK);
	assert_int_equal(run(w, put), OK);
	UNTIL(w, strstr(outbox_last(w->outbox), "usher peer add"));
	send_one(w, "good", "/", "good");
	UNTIL(w, strcmp(w->last_body, "good") == 0);
}

static void limits(void **state)
{
	static char text[400], body[64 * 1024 + 1];
	struct world *w = *state;
	const struct letter good = { .word = "w", .errand = "trip", .id = "1", .role = "hss", .peer = "a", .address = "a:1", .path = "/", .type = "t" };
	const char **field[] = { &w->letter.word, &w->letter.errand, &w->letter.id, &w->letter.role, &w->letter.peer, &w->letter.address, &w->letter.path,
		&w->letter.type };

	memset(text, 'a', sizeof(text) - 1);
	for (size_t i = 0; i < 8; i++) { /* none is cut, and none stops the picking of all others */
		w->letter = good;
		*field[i] = text;
		assert_int_equal(run(w, put), ERR_LIMIT);
	}
	w->letter = good;
	w->letter.body = BYTES(body, sizeof(body));
	assert_int_equal(run(w, put), ERR_LIMIT);
	w->letter.body.n--;
	assert_int_equal(run(w, put), OK);
	assert_int_equal(run(w, put), ERR_EXISTS); /* one of a word at a time */
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, world_make, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(repeated_until_answered), TEST(what_is_an_answer), TEST(replaced_while_under_way), TEST(many), TEST(silent_peer),
		TEST(dead_peer), TEST(poison), TEST(limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
