/* SPDX-License-Identifier: Apache-2.0 */
/* Tunnels on a loop in a thread; the test is the equipment at one end and the service at the other. */
#include "link/tunnel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "core/log.h"
#include "tests/unit/pki.h"

/* --- heads --- */

static enum err head(const char *text, struct tunnel_ask *ask)
{
	size_t used;
	enum err e = tunnel_head_read(bytes_text(text), ask, &used);

	if (!e)
		assert_int_equal(used, strlen(text));
	return e;
}

static void heads(void **state)
{
	static const char good[] = "CONNECT DM.example:443 HTTP/1.1\r\nHost: x\r\nproxy-authorization: Bearer abc\r\nUsher-Identity: 90170\r\n\r\n";
	static const struct {
		const char *text;
		enum err err;
	} bad[] = {
		{ "GET / HTTP/1.1\r\n\r\n", ERR_UNSUPPORTED }, { "CONNECT a:1\r\n\r\n", ERR_FORMAT }, { "CONNECT a:1 HTTP/2\r\n\r\n", ERR_FORMAT },
		{ "CONNECT a HTTP/1.1\r\n\r\n", ERR_FORMAT }, { "CONNECT a:0 HTTP/1.1\r\n\r\n", ERR_FORMAT }, { "CONNECT a:65536 HTTP/1.1\r\n\r\n", ERR_FORMAT },
		{ "CONNECT u@a:1 HTTP/1.1\r\n\r\n", ERR_FORMAT }, { "CONNECT :1 HTTP/1.1\r\n\r\n", ERR_FORMAT }, { "CONNECT  HTTP/1.1\r\n\r\n", ERR_FORMAT },
		{ "CONNECT a:1 HTTP/1.1\r\nUsher-Identity: 0123456789012345678901234\r\n\r\n", ERR_LIMIT },
	};
	char text[TUNNEL_HEAD + 10];
	struct tunnel_ask ask;
	size_t used, n;
	int status;

	(void)state;
	assert_int_equal(head(good, &ask), OK);
	assert_string_equal(ask.target, "dm.example:443");
	assert_string_equal(ask.bearer, "abc");
	assert_string_equal(ask.identity, "90170");
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		assert_int_equal(tunnel_head_read(BYTES(good, i), &ask, &used), ERR_AGAIN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(head(bad[i].text, &ask), bad[i].err);
	assert_int_equal(tunnel_head_read(BYTES("CONNECT a\0:1 HTTP/1.1\r\n\r\n", 26), &ask, &used), ERR_FORMAT);
	/* exactly the limit, and no end within it */
	n = (size_t)snprintf(text, sizeof(text), "CONNECT a:1 HTTP/1.1\r\n");
	while (n < TUNNEL_HEAD - 2)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\r\n", TUNNEL_HEAD - 2 - n > 102 ? 80 : (int)(TUNNEL_HEAD - 4 - n),
			"X: 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789");
	memcpy(text + n, "\r\nab", 4);
	assert_int_equal(n + 2, TUNNEL_HEAD);
	assert_int_equal(tunnel_head_read(BYTES(text, TUNNEL_HEAD + 2), &ask, &used), OK);
	assert_int_equal(used, TUNNEL_HEAD);
	assert_int_equal(tunnel_head_read(BYTES(text, TUNNEL_HEAD - 1), &ask, &used), ERR_AGAIN);
	text[n] = 'X';
	assert_int_equal(tunnel_head_read(BYTES(text, TUNNEL_HEAD), &ask, &used), ERR_LIMIT);
	memcpy(text, "HTTP/1.1 200 xx", 15);
	assert_int_equal(tunnel_answer_read(BYTES(text, TUNNEL_HEAD), &status, &used), ERR_LIMIT);
	assert_int_equal(tunnel_answer_read(bytes_text("HTTP/1.1 200 Connected\r\n\r\nab"), &status, &used), OK);
	assert_int_equal(status, 200);
	assert_int_equal(used, 26);
	for (const char *const *t = (const char *const[]){ "HTTP/2 200\r\n\r\n", "HTTP/1.1 2000\r\n\r\n" + 0, "HTTP/1.1 abc \r\n\r\n", "x\r\n",
		"HTTP/1.1 099 \r\n\r\n", NULL }; *t; t++)
		if (!tunnel_answer_read(bytes_text(*t), &status, &used) && status == 200 && strcmp(*t, "HTTP/1.1 2000\r\n\r\n"))
			fail_msg("%s", *t);
}

/* --- a world: an access (plain) and a gateway (mutual TLS) --- */

struct world {
	struct pki pki;
	struct loop *loop;
	struct tls *gateway_tls, *access_tls;
	struct tunnel_server *access, *gateway;
	pthread_t thread;
	struct post end;
	int service, service_port; /* a listening socket: where equipments want to go */
	_Atomic int ended, waiting;
	_Atomic long moved;
	long budget;
	char saw[128];
	const char *gateway_role;
};

static void asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct world *w = arg;

	if (!strcmp(ask->bearer, "pass"))
		tunnel_pass(t, tunnel_bound(w->gateway), w->access_tls, w->gateway_role, "901-70", "90170");
	else if (!strcmp(ask->bearer, "dial"))
		tunnel_dial(t, ask->target);
	else if (!strcmp(ask->bearer, "wait"))
		w->waiting++;
	else
		tunnel_refuse(t, 403, ERR_DENIED, "no token of ours");
}

static void gateway_asked(struct tunnel *t, const struct tunnel_ask *ask, void *arg)
{
	struct world *w = arg;

	snprintf(w->saw, sizeof(w->saw), "%s %s %s", ask->peer.role, ask->peer.id, ask->identity);
	if (!strcmp(ask->target, "closed.example:1"))
		tunnel_refuse(t, 429, ERR_LIMIT, "the budget is used up");
	else
		tunnel_dial(t, ask->target);
}

static void moved(struct tunnel *t, size_t n, void *arg)
{
	struct world *w = arg;

	w->moved += (long)n;
	if (w->budget && w->moved > w->budget)
		tunnel_end(t);
}

static void ended(struct tunnel *t, void *arg)
{
	(void)t;
	((struct world *)arg)->ended++;
}

static void *run(void *arg)
{
	loop_run(arg);
	return NULL;
}

static int listen_here(int *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n) || listen(fd, 8) || getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static void world_open(struct world *w)
{
	struct why why;

	memset(w, 0, sizeof(*w));
	log_open("test", LOG_ERROR);
	pki_new(&w->pki);
	w->gateway_role = "registration";
	w->gateway_tls = pki_tls(&w->pki, "registration", "901-70");
	w->access_tls = pki_tls(&w->pki, "visited", "001-01");
	w->service = listen_here(&w->service_port);
	assert_int_equal(loop_new(&w->loop), OK);
	assert_int_equal(tunnel_listen(w->loop, &(struct tunnel_conf){ "user", "127.0.0.1:0", NULL, 3, { asked, moved, ended }, w }, &w->access, &why), OK);
	assert_int_equal(tunnel_listen(w->loop, &(struct tunnel_conf){ "access", "127.0.0.1:0", w->gateway_tls, 10, { gateway_asked, NULL, NULL }, w },
		&w->gateway, &why), OK);
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
	tunnel_close(w->access);
	tunnel_close(w->gateway);
	loop_free(w->loop);
	tls_close(w->gateway_tls);
	tls_close(w->access_tls);
	close(w->service);
	pki_free(&w->pki);
}

static int dial_port(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int dial(struct world *w)
{
	return dial_port(atoi(strrchr(tunnel_bound(w->access), ':') + 1));
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void connect_to(int fd, struct world *w, const char *target, const char *bearer)
{
	char text[300], here[32];

	snprintf(here, sizeof(here), "127.0.0.1:%d", w->service_port);
	snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nProxy-Authorization: Bearer %s\r\n\r\n", target ? target : here, bearer);
	say(fd, text);
}

/* What comes within ms, until `until` has come or the connection ends ("<end>"). */
static const char *hear(int fd, const char *until, int ms)
{
	static char text[8192];
	size_t n = 0;

	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t got;

		text[n] = 0;
		if ((until && strstr(text, until)) || poll(&p, 1, ms) <= 0)
			return text;
		got = recv(fd, text + n, sizeof(text) - 10 - n, 0);
		if (got <= 0) {
			strcpy(text + n, "<end>");
			return text;
		}
		n += (size_t)got;
	}
}

static void both_ways(void **state)
{
	struct world w;

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		int near, far;

		world_open(&w);
		near = dial(&w);
		connect_to(near, &w, NULL, pass ? "pass" : "dial");
		far = accept(w.service, NULL, NULL);
		assert_string_equal(hear(near, "\r\n\r\n", 5000), "HTTP/1.1 200 Connected\r\n\r\n");
		say(near, "ping");
		assert_string_equal(hear(far, "ping", 5000), "ping");
		say(far, "pong");
		assert_string_equal(hear(near, "pong", 5000), "pong");
		if (pass)
			assert_string_equal(w.saw, "visited 001-01 90170");
		say(far, "last words"); /* go out before the end */
		close(far);
		assert_string_equal(hear(near, "<end>", 5000), "last words<end>");
		assert_true(w.moved >= 18);
		close(near);
		near = dial(&w);
		connect_to(near, &w, NULL, pass ? "pass" : "dial");
		far = accept(w.service, NULL, NULL);
		hear(near, "\r\n\r\n", 5000);
		close(near);
		assert_string_equal(hear(far, NULL, 5000), "<end>");
		close(far);
		world_close(&w);
		assert_int_equal(w.ended, 2);
	}
}

static void refused(void **state)
{
	struct world w;
	int fd, port;

	(void)state;
	world_open(&w);
	fd = dial(&w);
	connect_to(fd, &w, NULL, "");
	assert_non_null(strstr(hear(fd, "<end>", 5000), "HTTP/1.1 403 "));
	close(fd);
	fd = dial(&w);
	connect_to(fd, &w, "closed.example:1", "pass"); /* the gateway's own words */
	assert_non_null(strstr(hear(fd, "<end>", 5000), "HTTP/1.1 429 "));
	close(fd);
	close(listen_here(&port));
	for (int pass = 0; pass < 2; pass++) { /* nobody listens there */
		char target[40];

		snprintf(target, sizeof(target), "127.0.0.1:%d", port);
		fd = dial(&w);
		connect_to(fd, &w, target, pass ? "pass" : "dial");
		assert_non_null(strstr(hear(fd, "<end>", 5000), "HTTP/1.1 502 "));
		close(fd);
	}
	w.gateway_role = "hss"; /* the gateway is not who it should be */
	fd = dial(&w);
	connect_to(fd, &w, NULL, "pass");
	assert_non_null(strstr(hear(fd, "<end>", 5000), "HTTP/1.1 502 "));
	assert_string_equal(w.saw, "visited 001-01 90170"); /* of the calls before: it was told nothing */
	close(fd);
	fd = dial(&w);
	say(fd, "GET / HTTP/1.1\r\n\r\n");
	assert_non_null(strstr(hear(fd, "<end>", 5000), "HTTP/1.1 405 "));
	close(fd);
	world_close(&w);
}

/* Without a certificate, or with one of another house, nothing is asked at the gateway. */
static void a_stranger_at_the_gateway(void **state)
{
	struct world w;
	struct pki other;
	struct tls *t;

	(void)state;
	world_open(&w);
	pki_new(&other);
	for (int i = 0; i < 2; i++) {
		int fd = dial_port(atoi(strrchr(tunnel_bound(w.gateway), ':') + 1)), n;
		char text[400] = "";
		SSL *ssl;

		if (i)
			t = pki_tls(&other, "visited", "001-01");
		else
			assert_int_equal(tls_open_roots(w.pki.roots, &t, &(struct why){ "" }), OK);
		ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
		SSL_set_fd(ssl, fd);
		if (i) {
			char path[128];

			snprintf(path, sizeof(path), "%s/visited-001-01.pem", other.dir);
			SSL_use_certificate_file(ssl, path, SSL_FILETYPE_PEM);
			snprintf(path, sizeof(path), "%s/visited-001-01.key", other.dir);
			SSL_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM);
		}
		assert_int_equal(SSL_connect(ssl), 1); /* TLS 1.3: the client hears of the refusal when it reads */
		(void)!SSL_write(ssl, "CONNECT a:1 HTTP/1.1\r\nUsher-Identity: 1\r\n\r\n", 44);
		n = SSL_read(ssl, text, sizeof(text) - 1);
		assert_true(i ? n <= 0 : n > 0 && strstr(text, " 403 "));
		SSL_CTX_free(SSL_get_SSL_CTX(ssl));
		SSL_free(ssl);
		tls_close(t);
		close(fd);
	}
	assert_string_equal(w.saw, "");
	pki_free(&other);
	world_close(&w);
}

static SSL *visited_dials(struct world *w)
{
	SSL *ssl = tls_connect(w->access_tls, "registration", "901-70");

	assert_non_null(ssl);
	SSL_set_fd(ssl, dial_port(atoi(strrchr(tunnel_bound(w->gateway), ':') + 1)));
	assert_int_equal(SSL_connect(ssl), 1);
	return ssl;
}

/* The end of one tunnel and the head of the next come in one piece: the gateway answers that head. */
static void a_head_behind_an_end(void **state)
{
	struct world w;
	char head[120] = "\0\0", got[200];
	SSL *ssl;
	int n, fd, far;

	(void)state;
	world_open(&w);
	ssl = visited_dials(&w);
	fd = SSL_get_fd(ssl);
	for (int i = 0; i < 2; i++)
		setsockopt(i ? fd : w.service, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 5, 0 }, sizeof(struct timeval));
	n = snprintf(head + 2, sizeof(head) - 2, "CONNECT 127.0.0.1:%d HTTP/1.1\r\nUsher-Identity: 90170\r\n\r\n", w.service_port);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(SSL_write(ssl, head + (i ? 0 : 2), n + (i ? 2 : 0)), n + (i ? 2 : 0));
		far = accept(w.service, NULL, NULL);
		assert_true(far >= 0);
		close(far); /* its end comes before or after ours */
		memset(got, 0, sizeof(got));
		for (int have = 0; !strstr(got, "\r\n\r\n"); ) {
			int more = SSL_read(ssl, got + have, 1);

			assert_int_equal(more, 1);
			have += got[have] != 0; /* an end is two octets 0 */
		}
		assert_string_equal(got, "HTTP/1.1 200 Connected\r\n\r\n");
	}
	SSL_free(ssl);
	close(fd);
	world_close(&w);
}

static void bounds(void **state)
{
	static char big[TUNNEL_HEAD];
	struct world w;
	int fd[4], far;

	(void)state;
	world_open(&w);
	for (int i = 0; i < 4; i++)
		fd[i] = dial(&w); /* the fourth is one too many: the oldest of those that have said nothing leaves */
	assert_string_equal(hear(fd[0], NULL, 5000), "<end>");
	close(fd[0]);
	fd[0] = fd[3];
	/* a head without an end is refused when it is full, and holds no place */
	memset(big, 'a', sizeof(big));
	memcpy(big, "CONNECT a:1 HTTP/1.1\r\n", 22);
	for (size_t i = 100; i < sizeof(big); i += 100)
		memcpy(big + i, "\r\n", 2);
	assert_int_equal(send(fd[0], big, sizeof(big), MSG_NOSIGNAL), sizeof(big));
	assert_non_null(strstr(hear(fd[0], "<end>", 5000), " 431 "));
	close(fd[0]);
	close(fd[1]);
	/* a budget ends the tunnel in the middle of its octets */
	w.budget = 10;
	connect_to(fd[2], &w, NULL, "dial");
	far = accept(w.service, NULL, NULL);
	hear(fd[2], "\r\n\r\n", 5000);
	say(fd[2], "01234567890");
	assert_non_null(strstr(hear(far, "<end>", 5000), "<end>"));
	assert_string_equal(hear(fd[2], NULL, 5000), "<end>");
	close(fd[2]);
	close(far);
	world_close(&w);
	assert_int_equal(w.ended, 4);
	/* whoever has said what it wants keeps its place, and where there is none a new connection is closed */
	world_open(&w);
	for (int i = 0; i < 3; i++) {
		fd[i] = dial(&w);
		connect_to(fd[i], &w, NULL, "wait");
	}
	while (w.waiting < 3)
		usleep(1000);
	fd[3] = dial(&w);
	assert_string_equal(hear(fd[3], NULL, 5000), "<end>");
	for (int i = 0; i < 3; i++)
		assert_string_equal(hear(fd[i], NULL, 50), "");
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	world_close(&w);
}

/* Ten seconds for a head, also when an octet comes now and then. */
static void a_slow_head(void **state)
{
	struct world w;
	int slow;

	(void)state;
	world_open(&w);
	slow = dial(&w);
	for (int i = 0; i < 30 && !w.ended; i++) {
		(void)!send(slow, "C", 1, MSG_NOSIGNAL);
		usleep(500000);
	}
	assert_int_equal(w.ended, 1);
	assert_string_equal(hear(slow, NULL, 1000), "<end>");
	close(slow);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(heads), cmocka_unit_test(both_ways), cmocka_unit_test(refused),
		cmocka_unit_test(a_stranger_at_the_gateway), cmocka_unit_test(a_head_behind_an_end), cmocka_unit_test(bounds), cmocka_unit_test(a_slow_head) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
