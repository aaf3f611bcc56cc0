/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "people/people.h"

/* How long the numbers of a pool will last. */
static void forecast(json_t *f)
{
	json_t *days = json_object_get(f, "days_left");

	if (!f)
		return;
	printf("; %lld left", (long long)json_integer_value(json_object_get(f, "left")));
	if (json_is_integer(days))
		printf(", for %lld days at the rate of the last %lld (%lld went)", (long long)json_integer_value(days),
			(long long)json_integer_value(json_object_get(f, "in_days")), (long long)json_integer_value(json_object_get(f, "issued")));
}

/* Soon enough for whoever reads it once a week. */
static void certificates(int64_t end)
{
	enum { SOON = 21 * 86400 };
	char at[32];

	if (!end || end - clock_now() > SOON)
		return;
	clock_text(end, at, sizeof(at));
	printf("; ATTENTION: a certificate of its own ends on %.10s: `usher renew` and a restart before that", at);
}

static void line(const struct peer *p, json_t *o)
{
	json_t *box = json_object_get(o, "outbox");
	const char *last = json_string_value(json_object_get(box, "last_failure")), *key;
	json_t *value;

	printf("%-13s %-24s up %llds, %lld letters wait", p->party.role, p->party.id, (long long)json_integer_value(json_object_get(o, "up_s")),
		(long long)json_integer_value(json_object_get(box, "waiting")));
	json_object_foreach(o, key, value)
		if (json_object_size(value) && strcmp(key, "outbox") && strcmp(key, "forecast")) {
			const char *state;
			json_t *n;

			printf("; %s:", key);
			json_object_foreach(value, state, n)
				printf(" %lld %s", (long long)json_integer_value(n), state);
		}
	forecast(json_object_get(o, "forecast"));
	key = json_string_value(json_object_get(o, "attention"));
	printf("%s%s", key ? "; " : "", key ? key : "");
	certificates(json_integer_value(json_object_get(o, "certificates_end")));
	printf("%s%s\n", last && *last ? "; last failure: " : "", last ? last : "");
}

/* --- which roles: all that the folder knows, or the one that is named --- */

static int chosen(const struct words *w, const struct peer *p)
{
	return *p->address && (w->n != 2 || (!strcmp(w->v[0], p->party.role) && !strcmp(w->v[1], p->party.id)));
}

static int nobody(const struct words *w)
{
	if (w->n == 2)
		return sorry("this folder knows no %s %s with an address; `usher peer add DIR %s %s --address HOST:PORT` makes it known", w->v[0], w->v[1],
			w->v[0], w->v[1]);
	return sorry("no role to ask; `usher peer add DIR ROLE ID --address HOST:PORT` makes this folder know one");
}

static int metrics_one(struct asker *a, const struct peer *p)
{
	struct request q = { .method = "GET", .address = p->address, .path = "/metrics", .peer_role = p->party.role, .peer_id = p->party.id };
	struct response r;

	if (asker_ask(a, &q, &r))
		return sorry("%s %s: %s", p->party.role, p->party.id, r.why.text);
	if (r.status != 200)
		return sorry("%s %s answers %d: is this folder's certificate one of staff, and a peer there?", p->party.role, p->party.id, r.status);
	printf("# %s %s\n%.*s", p->party.role, p->party.id, (int)r.body.n, (const char *)r.body.p);
	return DONE;
}

int metrics_all(struct words *w)
{
	struct asker *a;
	int code = DONE, asked = 0;

	if (w->n != 0 && !words_left(w, 2, "metrics [ROLE ID]"))
		return USAGE;
	a = asker_open(w, NULL);
	for (size_t i = 0; a && i < peers_count(asker_peers(a)); i++) {
		const struct peer *p = peers_at(asker_peers(a), i);

		if (!chosen(w, p))
			continue;
		asked++;
		code |= metrics_one(a, p);
	}
	if (a && !asked)
		code = nobody(w);
	asker_close(a);
	return a ? code : FAILED;
}

int status_all(struct words *w)
{
	struct asker *a;
	int code = DONE, asked = 0;
	json_t *all;

	if (w->n != 0 && !words_left(w, 2, "status [ROLE ID]"))
		return USAGE;
	all = json_array();
	a = asker_open(w, NULL);
	for (size_t i = 0; a && i < peers_count(asker_peers(a)); i++) {
		const struct peer *p = peers_at(asker_peers(a), i);
		json_t *o;

		if (!chosen(w, p))
			continue;
		asked++;
		o = asker_json(a, p, "/v1/status", NULL, NULL);
		if (!o) {
			code = FAILED;
			o = json_pack("{s:s, s:s, s:s, s:b}", "role", p->party.role, "id", p->party.id, "address", p->address, "down", 1);
			if (!w->json)
				printf("%-13s %-24s DOWN at %s; look into run/log of its folder, and whether `usher run` is up\n", p->party.role, p->party.id, p->address);
		} else if (!w->json) {
			line(p, o);
		}
		json_array_append_new(all, o);
	}
	if (a && !asked)
		code = nobody(w);
	if (a && w->json)
		print_json(json_incref(all));
	json_decref(all);
	asker_close(a);
	return a ? code : FAILED;
}
