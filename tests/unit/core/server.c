/* SPDX-License-Identifier: Apache-2.0 */
/* A server on its loop in a thread; the test is a client that writes octets. The clock is the test's own: core/clock.c is not linked. */
#include "core/server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "core/log.h"
#include "tests/unit/pki.h"

static atomic_llong virtual_ms = 1800000000000;

int64_t clock_now_ms(void) { return virtual_ms; }
int64_t clock_now(void) { return virtual_ms / 1000; }
int64_t clock_mono_ms(void) { return virtual_ms; }
int64_t clock_mono_us(void) { return virtual_ms * 1000; }

void clock_text(int64_t seconds, char *dst, size_t cap)
{
	snprintf(dst, cap, "%lld", (long long)seconds);
}

struct world {
	struct pki pki;
	struct loop *loop;
	struct tls *tls;
	struct peers *peers;
	struct server *server;
	pthread_t thread;
	struct post answers, end;
	struct ask *kept[8]; /* asks that are answered later */
	_Atomic int n_kept;
	int port;
};

/* --- handlers --- */

static void echo(struct ask *a, void *arg)
{
	(void)arg;
	ask_add(a, "X-Tail", ask_tail(a));
	ask_reply(a, 200, "text/plain", ask_body(a));
}

static void object(struct ask *a, void *arg)
{
	json_t *o = ask_json(a);

	(void)arg;
	if (o)
		ask_reply_json(a, 200, o);
}

static void keep(struct ask *a, void *arg)
{
	struct world *w = arg;

	w->kept[w->n_kept] = a;
	w->n_kept++;
}

static void query(struct ask *a, void *arg)
{
	const char *v = ask_query(a, "a"), *none = ask_query(a, "b");

	(void)arg;
	ask_reply(a, 200, NULL, bytes_text(v ? v : none ? none : "-"));
}

static const struct route routes[] = {
	{ "POST", "/echo", WHO_ANYONE, 1000, echo },
	{ "POST", "/small", WHO_ANYONE, 10, echo },
	{ "POST", "/json", WHO_ANYONE, 1000, object },
	{ "GET", "/tail/*", WHO_ANYONE, 0, echo },
	{ "GET", "/keep", WHO_ANYONE, 0, keep },
	{ "GET", "/query", WHO_ANYONE, 0, query },
	{ "GET", "/peer", WHO(DM) | WHO(STAFF), 0, query },
	{ "GET", "/listed-not", WHO(DM) | WHO_UNLISTED, 0, query },
	{ 0 },
};

static void *run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static void world_open(struct world *w, int tls)
{
	struct why why;
	char path[100];
	FILE *f;

	memset(w, 0, sizeof(*w));
	log_open("test", LOG_ERROR);
	pki_new(&w->pki);
	snprintf(path, sizeof(path), "%s/peers", w->pki.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	strcat(path, "/dm.yaml");
	f = fopen(path, "w");
	fputs("role: dm\nid: known.example\n", f);
	fclose(f);
	assert_int_equal(peers_read(w->pki.dir, &w->peers, &why), OK);
	assert_int_equal(loop_new(&w->loop), OK);
	w->tls = pki_tls(&w->pki, "hss", "001-01");
	assert_int_equal(server_open(w->loop, &(struct server_conf){ "x", "127.0.0.1:0", tls ? w->tls : NULL, routes, w->peers, w }, &w->server, &why), OK);
	w->port = atoi(strrchr(server_bound(w->server), ':') + 1);
	assert_int_equal(pthread_create(&w->thread, NULL, run, w->loop), 0);
}

static void stop(void *arg)
{
	loop_stop(arg, 0);
}

static void world_close(struct world *w)
{
	loop_post(w->loop, &w->end, stop, w->loop);
	pthread_join(w->thread, NULL);
	server_close(w->server);
	loop_free(w->loop);
	tls_close(w->tls);
	peers_free(w->peers);
	pki_free(&w->pki);
}

/* --- the client --- */

static int dial(struct world *w)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void say_octets(int fd, const char *p, size_t n)
{
	assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void say(int fd, const char *text)
{
	say_octets(fd, text, strlen(text));
}

/* Reads until `times` answers are whole (by their end marks) or the connection ends. */
static const char *hear(int fd, const char *until, int times, int ms)
{
	static char text[65536];
	size_t n = 0;

	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		int seen = 0;
		ssize_t got;

		text[n] = 0;
		for (const char *at = text; until && (at = strstr(at, until)); at++)
			seen++;
		if ((until && seen >= times) || poll(&p, 1, ms) <= 0)
			return text;
		got = recv(fd, text + n, sizeof(text) - 1 - n, 0);
		if (got <= 0) {
			strcpy(text + n, "<end>");
			return text;
		}
		n += (size_t)got;
	}
}

static const char *asked(struct world *w, const char *text, size_t n, const char *until)
{
	int fd = dial(w);
	const char *heard;

	say_octets(fd, text, n);
	heard = hear(fd, until, 1, 5000);
	close(fd);
	return heard;
}

/* --- tests --- */

static char long_head[10000], big[1100];

static void requests(void **state)
{
	static const struct {
		const char *ask, *expect; /* what the answer has */
	} cases[] = {
		{ "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "abc" },
		{ "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", "abc" },
		{ "GET /tail/a%20b HTTP/1.1\r\n\r\n", "X-Tail: a b" },
		{ "GET /tail/a/b HTTP/1.1\r\n\r\n", "404" },
		{ "GET /tail/a%2fb HTTP/1.1\r\n\r\n", "404" },
		{ "GET /tail/ HTTP/1.1\r\n\r\n", "404" },
		{ "GET /tail/a%00b HTTP/1.1\r\n\r\n", "400" },
		{ "GET /%ff%c3%28 HTTP/1.1\r\n\r\n", "404" },
		{ "GET /%0d%0aX:%20y HTTP/1.1\r\n\r\n", "404" },
		{ "GET /echo HTTP/1.1\r\n\r\n", "405" },
		{ "GET /query?a=x%26y&c=d HTTP/1.1\r\n\r\n", "x&y" },
		{ "GET /query HTTP/1.1\r\n\r\n", "-" },
		{ "GET /query?%zz&&= HTTP/1.1\r\n\r\n", "-" },
		{ "POST /small HTTP/1.1\r\nContent-Length: 11\r\n\r\n01234567890", "413" },
		{ "POST /json HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", "{}" },
		{ "POST /json HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]", "400" },
		{ "POST /json HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "400" },
		{ "POST /json HTTP/1.1\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", "400" },
		{ "POST /json HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"a\":\"\\u0000\"} ", "400" },
		{ "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "<end>" },
		{ "POST /echo HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "4" },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", "501" },
		{ "GARBAGE\r\n\r\n", "400" },
		{ "\x16\x03\x01\x02", "" },
	};
	struct world w;

	(void)state;
	world_open(&w, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *heard = asked(&w, cases[i].ask, strlen(cases[i].ask), *cases[i].expect ? cases[i].expect : "\r\n\r\n");

		if (!strstr(heard, cases[i].expect))
			fail_msg("%s: %s", cases[i].ask, heard);
	}
	/* an error answer is JSON though the path was not UTF-8 */
	assert_non_null(strstr(asked(&w, "GET /%ff HTTP/1.1\r\n\r\n", 21, "served here"), "{\"error\":\"missing\""));
	memset(long_head, 'x', sizeof(long_head));
	memcpy(long_head, "GET /query HTTP/1.1\r\nX: ", 24);
	assert_null(strstr(asked(&w, long_head, sizeof(long_head), "HTTP/1.1 "), "200"));
	snprintf(big, sizeof(big), "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", 1001);
	memset(big + strlen(big), 'y', 1003);
	assert_non_null(strstr(asked(&w, big, 1090, "HTTP/1.1 "), " 413 "));
	snprintf(big, sizeof(big), "POST /echo HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
	assert_non_null(strstr(asked(&w, big, strlen(big), "HTTP/1.1 "), " 413 "));
	world_close(&w);
}

static void answer_kept(void *arg)
{
	struct world *w = arg;

	while (w->n_kept) {
		struct ask *a = w->kept[0];

		w->n_kept--;
		memmove(w->kept, w->kept + 1, sizeof(w->kept) - sizeof(*w->kept));
		ask_reply(a, 200, NULL, bytes_text("kept"));
	}
}

static void wait_kept(struct world *w, int n)
{
	for (int i = 0; i < 5000 && w->n_kept != n; i++)
		usleep(1000);
	assert_int_equal(w->n_kept, n);
}

/* Two requests in one segment, the first answered later: one after the other, each once. */
static void pipelined(void **state)
{
	struct world w;
	const char *heard, *first;
	int fd;

	(void)state;
	world_open(&w, 0);
	fd = dial(&w);
	say(fd, "GET /keep HTTP/1.1\r\n\r\nGET /query?a=second HTTP/1.1\r\n\r\n");
	wait_kept(&w, 1);
	say(fd, "GET /tail/third HTTP/1.1\r\n\r\n");
	loop_post(w.loop, &w.answers, answer_kept, &w);
	heard = hear(fd, "third", 1, 5000);
	first = strstr(heard, "kept");
	if (!first)
		fail_msg("%s", heard);
	assert_non_null(strstr(first, "second"));
	assert_non_null(strstr(first, "third"));
	close(fd);
	world_close(&w);
}

/* The client is gone before its answer; and an ask that outlives its server. */
static void nobody_to_answer(void **state)
{
	struct world w;
	int fd;

	(void)state;
	world_open(&w, 0);
	fd = dial(&w);
	say(fd, "GET /keep HTTP/1.1\r\n\r\n");
	wait_kept(&w, 1);
	close(fd);
	loop_post(w.loop, &w.answers, answer_kept, &w);
	wait_kept(&w, 0);
	fd = dial(&w);
	say(fd, "GET /keep HTTP/1.1\r\n\r\n");
	wait_kept(&w, 1);
	loop_post(w.loop, &w.end, stop, w.loop);
	pthread_join(w.thread, NULL);
	server_close(w.server);
	answer_kept(&w);
	close(fd);
	loop_free(w.loop);
	tls_close(w.tls);
	peers_free(w.peers);
	pki_free(&w.pki);
}

static SSL *tls_client(struct tls *t, int fd)
{
	SSL *ssl = tls_connect(t, "hss", "001-01");

	SSL_set_fd(ssl, fd);
	assert_int_equal(SSL_connect(ssl), 1);
	return ssl;
}

/* libevent frees bufferevents later: a connection may end after its server. */
static void closed_with_open_connections(void **state)
{
	struct world w;
	struct tls *client;
	SSL *ssl;
	int fd, plain;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		world_open(&w, tls);
		client = pki_tls(&w.pki, "dm", "known.example");
		fd = dial(&w);
		ssl = tls ? tls_client(client, fd) : NULL;
		plain = dial(&w);
		if (!tls)
			say(fd, "GET /query HTTP/1.1\r\n\r\n"), hear(fd, "\r\n\r\n", 1, 5000);
		world_close(&w);
		SSL_free(ssl);
		tls_close(client);
		close(plain);
		close(fd);
	}
}

/* One octet now and then holds no connection for ever: the whole request has 30 s. */
static void slow_loris(void **state)
{
	struct world w;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		int fd, busy;

		world_open(&w, tls);
		fd = dial(&w);
		busy = dial(&w);
		if (!tls) {
			say(fd, "GET /que");
			say(busy, "GET /keep HTTP/1.1\r\n\r\n");
			wait_kept(&w, 1);
			assert_string_equal(hear(fd, NULL, 1, 100), "");
		}
		for (int i = 0; i < 50 && strcmp(hear(fd, NULL, 1, 300), "<end>"); i++)
			virtual_ms += 31000; /* again, if it was not accepted yet */
		assert_string_equal(hear(fd, NULL, 1, 0), "<end>");
		if (!tls) {
			loop_post(w.loop, &w.answers, answer_kept, &w); /* a handler may take longer */
			assert_non_null(strstr(hear(busy, "kept", 1, 5000), "kept"));
		}
		close(fd);
		close(busy);
		world_close(&w);
	}
}

static void few_files(struct rlimit *was, rlim_t n)
{
	struct rlimit few;

	getrlimit(RLIMIT_NOFILE, was);
	few = (struct rlimit){ n, was->rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

/* Connections are bounded, on a plain listener too; when one ends, the next is served. */
static void bounded(void **state)
{
	struct rlimit was;
	struct world w;
	int fd[10];

	(void)state;
	few_files(&was, 32); /* a quarter: 8 */
	world_open(&w, 0);
	setrlimit(RLIMIT_NOFILE, &was);
	for (int i = 0; i < 10; i++) {
		fd[i] = dial(&w);
		say(fd[i], "GET /query HTTP/1.1\r\n\r\n");
	}
	for (int i = 0; i < 8; i++)
		assert_non_null(strstr(hear(fd[i], "\r\n\r\n", 1, 5000), "200"));
	assert_string_equal(hear(fd[8], "\r\n\r\n", 1, 100), "");
	close(fd[0]);
	assert_non_null(strstr(hear(fd[8], "\r\n\r\n", 1, 5000), "200"));
	assert_string_equal(hear(fd[9], "\r\n\r\n", 1, 100), "");
	close(fd[1]);
	assert_non_null(strstr(hear(fd[9], "\r\n\r\n", 1, 5000), "200"));
	for (int i = 2; i < 10; i++)
		close(fd[i]);
	world_close(&w);
}

/* No descriptor is left: the listener rests instead of running hot, and serves again when there are some. */
static void no_descriptors(void **state)
{
	struct rlimit was;
	struct rusage before, after;
	struct world w;
	int fd;

	(void)state;
	world_open(&w, 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	few_files(&was, 3);
	{
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	}
	say(fd, "GET /query HTTP/1.1\r\n\r\n");
	getrusage(RUSAGE_SELF, &before);
	assert_string_equal(hear(fd, "\r\n\r\n", 1, 500), "");
	getrusage(RUSAGE_SELF, &after);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_non_null(strstr(hear(fd, "\r\n\r\n", 1, 5000), "200"));
	assert_true((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 + after.ru_utime.tv_usec - before.ru_utime.tv_usec
		+ (after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 + after.ru_stime.tv_usec - before.ru_stime.tv_usec < 200000);
	close(fd);
	world_close(&w);
}

/* The column who, for every sort of client. */
/* No stream for a connection, as without memory: nobody is served in clear on a listener that has TLS. */
static atomic_int no_stream;

SSL *SSL_new(SSL_CTX *c)
{
	SSL *(*real)(SSL_CTX *);

	*(void **)&real = dlsym(RTLD_NEXT, "SSL_new");
	return no_stream ? NULL : real(c);
}

static void never_in_clear(void **state)
{
	static const char ask[] = "GET /query HTTP/1.1\r\n\r\n";
	struct world w;
	const char *heard;

	(void)state;
	world_open(&w, 1);
	no_stream = 1;
	heard = asked(&w, ask, sizeof(ask) - 1, NULL);
	no_stream = 0;
	assert_non_null(strstr(heard, " 503 "));
	assert_non_null(strstr(heard, "<end>"));
	world_close(&w);
}

static void who_may_ask(void **state)
{
	static const struct {
		const char *role, *id, *path, *expect;
	} cases[] = {
		{ "dm", "known.example", "/peer", " 200 " },
		{ "dm", "unknown.example", "/peer", " 403 " },
		{ "dlusim", "known.example", "/peer", " 403 " },
		{ NULL, NULL, "/peer", " 403 " },
		{ "dm", "unknown.example", "/listed-not", " 200 " },
		{ "hss", "known.example", "/listed-not", " 403 " },
		{ NULL, NULL, "/listed-not", " 403 " },
		{ NULL, NULL, "/query", " 200 " },
		{ "dlusim", "unknown.example", "/query", " 200 " },
	};
	struct world w;

	(void)state;
	world_open(&w, 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tls *client = NULL;
		char text[200];
		int fd = dial(&w), n;
		SSL *ssl;

		if (cases[i].role)
			client = pki_tls(&w.pki, cases[i].role, cases[i].id);
		else
			assert_int_equal(tls_open_roots(w.pki.roots, &client, &(struct why){ "" }), OK);
		ssl = tls_client(client, fd);
		n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nConnection: close\r\n\r\n", cases[i].path);
		assert_int_equal(SSL_write(ssl, text, n), n);
		n = SSL_read(ssl, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = 0;
		if (!strstr(text, cases[i].expect))
			fail_msg("%s %s asks %s: %s", cases[i].role, cases[i].id, cases[i].path, text);
		SSL_free(ssl);
		close(fd);
		tls_close(client);
	}
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests), cmocka_unit_test(pipelined), cmocka_unit_test(nobody_to_answer),
		cmocka_unit_test(closed_with_open_connections), cmocka_unit_test(slow_loris), cmocka_unit_test(bounded), cmocka_unit_test(no_descriptors),
		cmocka_unit_test(never_in_clear), cmocka_unit_test(who_may_ask) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
