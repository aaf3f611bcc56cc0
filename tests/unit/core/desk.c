/* SPDX-License-Identifier: Apache-2.0 */
/* The doors for people, asked over plain loopback: who may is the server's table, tested there. */
#include "core/desk.h"

#include "core/audit.h"
#include "core/http.h"
#include "core/log.h"
#include "core/outbox.h"
#include "tests/unit/pki.h"

struct world {
	struct desk *desk; /* first, as in struct process */
	struct loop *loop;
	struct store *store;
	struct server *server;
	struct http *http;
	struct outbox *outbox;
	int status;
	char body[8192];
};

static const struct route routes[] = {
	{ "GET", "/metrics", WHO_ANYONE, 0, desk_metrics }, { "GET", "/health", WHO_ANYONE, 0, desk_health },
	{ "GET", "/v1/status", WHO_ANYONE, 0, desk_status }, { "GET", "/v1/story", WHO_ANYONE, 0, desk_story }, { 0 },
};
static const struct metric metrics[] = { { "a_total", "Things.", 0 }, { "b", "Level.", 1 }, { 0 } };
static const char *const kinds[] = { "pimsi", "equipment", NULL };

static enum err status(struct tx *tx, json_t *into, void *arg)
{
	(void)tx, (void)arg;
	return json_object_set_new(into, "own", json_integer(7)) ? ERR_NOMEM : OK;
}

static enum err entry(struct tx *tx, void *arg)
{
	(void)arg;
	return tx_audit(tx, "attach", ABOUT({ "pimsi", "90170" }, { "equipment", "acme:1" }), "it came");
}

static int world_make(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct why why;

	*state = w;
	log_open("test", LOG_ERROR);
	return loop_new(&w->loop) || store_open(w->loop, NULL, NULL, 1, &w->store, &why) || http_open(w->loop, NULL, "x", &w->http)
		|| outbox_open(w->loop, w->store, w->http, NULL, &w->outbox)
		|| desk_open(&(struct desk_conf){ "hss", "001-01", metrics, kinds, kinds, status, w, w->store, w->outbox, 0 }, &w->desk)
		|| server_open(w->loop, &(struct server_conf){ "x", "127.0.0.1:0", NULL, routes, NULL, w }, &w->server, &why) || store_run_now(w->store, entry, NULL);
}

static int world_end(void **state)
{
	struct world *w = *state;

	outbox_stop(w->outbox);
	http_close(w->http);
	store_stop(w->store);
	server_close(w->server);
	outbox_close(w->outbox);
	desk_close(w->desk);
	store_close(w->store);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void answered(void *arg, const struct response *r)
{
	struct world *w = arg;

	w->status = r->err ? -1 : r->status;
	snprintf(w->body, sizeof(w->body), "%.*s", (int)r->body.n, (const char *)r->body.p);
	loop_stop(w->loop, 0);
}

static const char *get(struct world *w, const char *path)
{
	assert_non_null(http_ask(w->http, &(struct request){ .method = "GET", .address = server_bound(w->server), .path = path }, answered, w));
	loop_run(w->loop);
	return w->body;
}

static void doors(void **state)
{
	struct world *w = *state;
	json_t *o;

	desk_count(w->desk, 0, 2);
	desk_count(w->desk, 0, 3);
	desk_count(w->desk, 1, -4);
	get(w, "/metrics");
	assert_non_null(strstr(w->body, "# TYPE a_total counter\na_total 5\n"));
	assert_non_null(strstr(w->body, "# TYPE b gauge\nb -4\n"));
	assert_non_null(strstr(w->body, "usher_commits_total "));
	assert_non_null(strstr(get(w, "/health"), "\"health\":\"ok\""));
	o = json_loads(get(w, "/v1/status"), 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(o, "own")), 7);
	assert_string_equal(json_string_value(json_object_get(o, "id")), "001-01");
	json_decref(o);
	o = json_loads(get(w, "/v1/story?kind=pimsi&value=90170"), 0, NULL);
	assert_int_equal(json_array_size(json_object_get(o, "entries")), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_object_get(o, "aliases"), "equipment"), 0)), "acme:1");
	json_decref(o);
	get(w, "/v1/story?kind=owner&value=x");
	assert_int_equal(w->status, 400);
	get(w, "/v1/story?kind=pimsi");
	assert_int_equal(w->status, 400);
}

/* --- a peer that answers with octets --- */

static void octets(struct ask *a, void *arg)
{
	(void)arg;
	ask_reply(a, 500, "text/plain", BYTES("\xff\xfe\x1b[2J\n", 7));
}

static const struct route evil_routes[] = { { "POST", "/", WHO_ANYONE, 100, octets }, { 0 } };

static enum err letter(struct tx *tx, void *arg)
{
	enum err e = tx_errand_begin(tx, "kind", "1", "new");

	return e ? e : tx_outbox(tx, &(struct letter){ .word = "w", .errand = "kind", .id = "1", .address = arg, .path = "/" });
}

/* ... spoils nobody's status. */
static void a_failure_that_is_no_text(void **state)
{
	struct world *w = *state;
	struct server *evil;
	struct why why;
	char address[64];
	json_t *o;

	assert_int_equal(server_open(w->loop, &(struct server_conf){ "y", "127.0.0.1:0", NULL, evil_routes, NULL, w }, &evil, &why), OK);
	strcpy(address, server_bound(evil));
	store_run(w->store, letter, address, NULL);
	while (!*outbox_last(w->outbox))
		event_base_loop(loop_base(w->loop), EVLOOP_ONCE);
	o = json_loads(get(w, "/v1/status"), 0, NULL);
	assert_int_equal(w->status, 200);
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(o, "outbox"), "last_failure")), "answers 500: ???[2J?"));
	json_decref(o);
	server_close(evil);
}

static void too_many_metrics(void **state)
{
	static struct metric many[66];
	struct desk *d;

	(void)state;
	for (int i = 0; i < 65; i++)
		many[i] = (struct metric){ "x", "y", 0 };
	assert_int_equal(desk_open(&(struct desk_conf){ "hss", "001-01", many, kinds, kinds, NULL, NULL, NULL, NULL, 0 }, &d), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(doors, world_make, world_end),
		cmocka_unit_test_setup_teardown(a_failure_that_is_no_text, world_make, world_end), cmocka_unit_test(too_many_metrics) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
