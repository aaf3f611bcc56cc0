/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "people/people.h"

struct asker {
	struct loop *loop;
	struct tls *tls;
	struct http *http;
	struct peers *peers;
	struct response answer;
	uint8_t *body;
};

void program_find(const char *role, char path[PROGRAM_ROOM])
{
	char self[PROGRAM_ROOM / 2] = "", *slash;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 && (slash = strrchr(self, '/')))
		*slash = 0;
	snprintf(path, PROGRAM_ROOM, "%s/usher-%s", self, role);
	if (access(path, X_OK))
		snprintf(path, PROGRAM_ROOM, "%s/../roles/%s/usher-%s", self, role, role);
	if (access(path, X_OK))
		snprintf(path, PROGRAM_ROOM, "usher-%s", role);
}

void progress(const char *what, size_t i, size_t n)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s %zu of %zu%s", what, i, n, i == n ? "\n" : "");
}

void asker_close(struct asker *a)
{
	if (!a)
		return;
	http_close(a->http);
	tls_close(a->tls);
	peers_free(a->peers);
	if (a->loop)
		loop_free(a->loop);
	free(a->body);
	free(a);
}

static struct asker *opened(struct asker *a, enum err e, const struct why *w)
{
	if (!e)
		e = loop_new(&a->loop);
	if (!e)
		e = http_open(a->loop, a->tls, "usher/" USHER_VERSION, &a->http);
	if (!e)
		return a;
	sorry("%s", w->text[0] ? w->text : err_text(e));
	asker_close(a);
	return NULL;
}

struct asker *asker_open(const struct words *words, const char *dir)
{
	struct asker *a = calloc(1, sizeof(*a));
	char key[600], cert[600], roots[600];
	struct why w = { "" };
	enum err e;

	dir = dir ? dir : words->as;
	if (!a || !dir) {
		free(a);
		sorry("say who you are: --as DIR or USHER_AS=DIR, a folder made by `usher setup staff DIR` (or factory)");
		return NULL;
	}
	snprintf(key, sizeof(key), "%s/tls.key", dir);
	snprintf(cert, sizeof(cert), "%s/tls.pem", dir);
	snprintf(roots, sizeof(roots), "%s/roots.pem", dir);
	e = tls_open(&(struct tls_files){ key, cert, roots }, &a->tls, &w);
	if (!e)
		e = peers_read(dir, &a->peers, &w);
	return opened(a, e, &w);
}

struct asker *asker_open_roots(const char *roots)
{
	struct asker *a = calloc(1, sizeof(*a));
	struct why w = { "" };

	return a ? opened(a, tls_open(&(struct tls_files){ NULL, NULL, roots }, &a->tls, &w), &w) : NULL;
}

const struct peers *asker_peers(const struct asker *a)
{
	return a->peers;
}

static void answered(void *arg, const struct response *r)
{
	struct asker *a = arg;
	size_t n;

	a->answer = *r;
	free(a->body);
	a->body = bytes_dup(r->body, &n);
	a->answer.body = BYTES(a->body, n);
	loop_stop(a->loop, 0);
}

enum err asker_ask(struct asker *a, const struct request *q, struct response *r)
{
	memset(r, 0, sizeof(*r));
	if (!http_ask(a->http, q, answered, a))
		return fail(&r->why, ERR_NOMEM, "the request to %s could not be made", q->address);
	loop_run(a->loop);
	*r = a->answer;
	return r->err;
}

json_t *asker_json(struct asker *a, const struct peer *p, const char *path, json_t *body, int *status)
{
	struct request q = { .method = body ? "POST" : "GET", .address = p->address, .path = path, .peer_role = p->party.role,
		.peer_id = p->party.id, .type = body ? "application/json" : NULL, .timeout_ms = body ? 0 : 5000 };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct response r;
	json_t *o;
	const char *why;
	enum err e;

	json_decref(body);
	q.body = bytes_text(text);
	e = asker_ask(a, &q, &r);
	free(text);
	if (status)
		*status = r.status;
	if (e) {
		sorry("%s %s: %s", p->party.role, p->party.id, r.why.text);
		return NULL;
	}
	o = json_loadb((const char *)r.body.p, r.body.n, 0, NULL);
	if (r.status < 300 && o)
		return o;
	why = json_string_value(json_object_get(o, "why"));
	sorry("%s %s answers %d: %s", p->party.role, p->party.id, r.status, why ? why : "no reason given");
	json_decref(o);
	return NULL;
}
