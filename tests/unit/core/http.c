/* SPDX-License-Identifier: Apache-2.0 */
/* Client and server in one process, over loopback TLS on one loop. */
#include "core/http.h"

#include "core/log.h"
#include "core/server.h"
#include "tests/unit/pki.h"

struct world {
	struct pki pki;
	struct loop *loop;
	struct tls *server_tls, *client_tls;
	struct server *server, *plain;
	struct http *http;
	struct ask *kept;
	char from[80];       /* the client's port at the last request */
	char saw[128];       /* what a handler saw */
	/* the answer */
	int done, then_close, then_forget;
	struct response got;
	char body[64];
	size_t body_n;
};

/* --- the server --- */

static void plain_answer(struct ask *a, void *arg)
{
	struct world *w = arg;

	snprintf(w->from, sizeof(w->from), "%s", ask_from(a));
	snprintf(w->saw, sizeof(w->saw), "%s %s|%s|%s|%s", ask_peer(a)->role, ask_peer(a)->id, ask_header(a, "Content-Type") ? ask_header(a, "Content-Type") : "-",
		ask_header(a, "User-Agent"), ask_header(a, "X-More") ? ask_header(a, "X-More") : "-");
	ask_add(a, "Retry-After", "7");
	ask_add(a, "WWW-Authenticate", "Digest realm=\"x\"");
	ask_reply(a, 200, "text/plain", ask_body(a));
}

static void redirects(struct ask *a, void *arg)
{
	(void)arg;
	ask_add(a, "Location", "/ok");
	ask_reply(a, 302, NULL, BYTES("", 0));
}

static void keeps(struct ask *a, void *arg)
{
	((struct world *)arg)->kept = a;
}

static void large(struct ask *a, void *arg)
{
	size_t n = HTTP_BODY_MAX + (size_t)atoi(ask_tail(a)) - 1000;
	char *text = calloc(1, n);

	(void)arg;
	ask_reply(a, 200, NULL, BYTES(text, n));
	free(text);
}

static const struct route routes[] = {
	{ "POST", "/ok", WHO_ANYONE, 1000, plain_answer },
	{ "GET", "/redirect", WHO_ANYONE, 0, redirects },
	{ "GET", "/keep", WHO_ANYONE, 0, keeps },
	{ "GET", "/large/*", WHO_ANYONE, 0, large },
	{ "GET", "/secret", WHO(6), 0, keeps }, /* so that a client certificate is asked for */
	{ 0 },
};

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct why why;

	log_open("test", LOG_ERROR);
	*state = w;
	pki_new(&w->pki);
	w->server_tls = pki_tls(&w->pki, "hss", "001-01");
	w->client_tls = pki_tls(&w->pki, "dlusim", "a.example");
	return loop_new(&w->loop)
		|| server_open(w->loop, &(struct server_conf){ "x", "127.0.0.1:0", w->server_tls, routes, NULL, w }, &w->server, &why)
		|| server_open(w->loop, &(struct server_conf){ "y", "127.0.0.1:0", NULL, routes, NULL, w }, &w->plain, &why)
		|| http_open(w->loop, w->client_tls, "usher-test/1", &w->http);
}

static int world_end(void **state)
{
	struct world *w = *state;

	http_close(w->http);
	server_close(w->server);
	server_close(w->plain);
	loop_free(w->loop);
	tls_close(w->server_tls);
	tls_close(w->client_tls);
	pki_free(&w->pki);
	free(w);
	return 0;
}

/* --- the client --- */

static void answered(void *arg, const struct response *r)
{
	struct world *w = arg;

	w->done++;
	w->got = *r;
	w->body_n = r->body.n;
	snprintf(w->body, sizeof(w->body), "%.*s", r->body.n > 60 ? 60 : (int)r->body.n, (const char *)r->body.p);
	if (w->then_forget)
		http_forget(w->http);
	if (w->then_close) {
		http_close(w->http);
		w->http = NULL;
	}
	loop_stop(w->loop, 0);
}

static struct request https(struct world *w, const char *method, const char *path)
{
	return (struct request){ .method = method, .address = server_bound(w->server), .path = path, .peer_role = "hss", .peer_id = "001-01" };
}

static void ask(struct world *w, const struct request *q)
{
	w->done = 0;
	assert_non_null(http_ask(w->http, q, answered, w));
	assert_int_equal(w->done, 0); /* never from inside */
	loop_run(w->loop);
	assert_int_equal(w->done, 1);
}

static void an_answer(void **state)
{
	struct world *w = *state;
	struct request q = https(w, "POST", "/ok?x=1");

	setenv("https_proxy", "http://127.0.0.1:1", 1); /* the environment plays no part */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	q.body = bytes_text("hello");
	q.type = "text/x";
	q.header[0] = "X-More: yes";
	ask(w, &q);
	assert_int_equal(w->got.err, OK);
	assert_int_equal(w->got.status, 200);
	assert_string_equal(w->body, "hello");
	assert_string_equal(w->got.retry_after, "7");
	assert_string_equal(w->got.authenticate, "Digest realm=\"x\"");
	assert_string_equal(w->got.type, "text/plain");
	assert_string_equal(w->saw, "dlusim a.example|text/x|usher-test/1|yes");
	q = https(w, "GET", "/redirect"); /* is an answer, and not followed */
	ask(w, &q);
	assert_int_equal(w->got.status, 302);
	q = (struct request){ .method = "POST", .address = server_bound(w->plain), .path = "/ok" };
	ask(w, &q);
	assert_int_equal(w->got.status, 200);
}

/* Only the server that was meant: another id, another role, another root, no TLS, TLS where there should be none. */
static void the_right_server(void **state)
{
	struct world *w = *state;
	struct request q = https(w, "POST", "/ok");
	struct pki other;
	struct tls *t;
	struct http *keep = w->http;

	ask(w, &q); /* a connection to the right one is kept, and is no way in for the others */
	assert_int_equal(w->got.status, 200);
	q.peer_id = "001-02";
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_AUTH);
	assert_non_null(strstr(w->got.why.text, "expected hss 001-02, found hss 001-01"));
	q.peer_role = "registration";
	q.peer_id = "001-01";
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_AUTH);
	pki_new(&other);
	t = pki_tls(&other, "dlusim", "a.example");
	q = https(w, "POST", "/ok");
	assert_int_equal(http_open(w->loop, t, "x", &w->http), OK);
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_AUTH);
	http_close(w->http);
	w->http = keep;
	tls_close(t);
	pki_free(&other);
	q.address = server_bound(w->plain);
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_UNAVAILABLE);
	q = (struct request){ .method = "POST", .address = server_bound(w->server), .path = "/ok" };
	ask(w, &q);
	assert_int_not_equal(w->got.status, 200);
}

static void limits(void **state)
{
	static char path[2000];
	struct world *w = *state;
	struct request q = https(w, "GET", "/large/1000");

	ask(w, &q);
	assert_int_equal(w->got.err, OK);
	assert_int_equal(w->body_n, HTTP_BODY_MAX);
	q.path = "/large/1001";
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_LIMIT);
	q.path = path;
	memset(path, 'a', sizeof(path) - 1); /* is not cut and asked for */
	path[0] = '/';
	assert_null(http_ask(w->http, &q, answered, w));
	q = https(w, "GET", "/large/1000");
	q.type = path;
	assert_null(http_ask(w->http, &q, answered, w));
	q.type = NULL;
	q.address = "nowhere";
	assert_null(http_ask(w->http, &q, answered, w));
	q.address = "127.0.0.1:1";
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_UNAVAILABLE);
	assert_int_equal(strncmp(w->got.why.text, "127.0.0.1:1: ", 13), 0); /* where it was, not a name that stands in no DNS */
	q = https(w, "GET", "/keep");
	q.timeout_ms = 100;
	ask(w, &q);
	assert_int_equal(w->got.err, ERR_TIMEOUT);
	ask_reply(w->kept, 200, NULL, BYTES("", 0)); /* nobody is there any more */
}

static void cancelled(void **state)
{
	struct world *w = *state;
	struct request q = https(w, "GET", "/keep");
	struct call *c = http_ask(w->http, &q, answered, w);

	http_cancel(c);
	c = http_ask(w->http, &q, answered, w);
	while (!w->kept)
		event_base_loop(loop_base(w->loop), EVLOOP_ONCE);
	http_cancel(c);
	ask_reply(w->kept, 200, NULL, BYTES("", 0));
	w->done = 0;
	http_close(w->http); /* tells the calls that are open, and only those */
	assert_int_equal(w->done, 0);
	assert_int_equal(http_open(w->loop, w->client_tls, "x", &w->http), OK);
	assert_non_null(http_ask(w->http, &q, answered, w));
	http_close(w->http);
	w->http = NULL;
	assert_int_equal(w->done, 1);
	assert_int_equal(w->got.err, ERR_UNAVAILABLE);
}

/* From inside an answer: forgetting connections holds, closing is safe. */
static void inside_an_answer(void **state)
{
	struct world *w = *state;
	struct request q = https(w, "POST", "/ok");
	char before[80];

	ask(w, &q);
	strcpy(before, w->from);
	w->then_forget = 1;
	ask(w, &q);
	assert_string_equal(w->from, before); /* the same connection */
	w->then_forget = 0;
	ask(w, &q);
	assert_string_not_equal(w->from, before); /* forgotten */
	strcpy(before, w->from);
	{ /* forgotten while another call is open: new calls do not use what there was */
		struct request k = https(w, "GET", "/keep");
		struct call *c;

		w->kept = NULL;
		c = http_ask(w->http, &k, answered, w);
		while (!w->kept)
			event_base_loop(loop_base(w->loop), EVLOOP_ONCE);
		ask(w, &q);
		strcpy(before, w->from);
		http_forget(w->http);
		ask(w, &q);
		assert_string_not_equal(w->from, before);
		http_cancel(c);
		ask_reply(w->kept, 200, NULL, BYTES("", 0));
	}
	w->then_close = 1;
	ask(w, &q);
	assert_int_equal(w->got.status, 200);
	assert_null(w->http);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, world_make, world_end)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(an_answer), TEST(the_right_server), TEST(limits), TEST(cancelled), TEST(inside_an_answer) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
