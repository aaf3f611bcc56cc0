/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of one equipment (or PIMSI, IMSI, certificate), out of every role's audit: each role is asked for what it knows, then
 * again for the other names it gave. Who could not be asked is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "people/people.h"

enum { NAMES = 64, ROOM = 800 };

struct name {
	char kind[24], value[256];
};
struct tale {
	struct asker *asker;
	json_t *entries;             /* of all roles, each with "from" */
	struct name name[NAMES];
	size_t names;
	char silent[1024];           /* who was not asked, or did not answer */
};

static void name_add(struct tale *t, const char *kind, const char *value)
{
	for (size_t i = 0; i < t->names; i++)
		if (!strcmp(t->name[i].kind, kind) && !strcmp(t->name[i].value, value))
			return;
	if (t->names < NAMES) {
		snprintf(t->name[t->names].kind, sizeof(t->name[0].kind), "%s", kind);
		snprintf(t->name[t->names++].value, sizeof(t->name[0].value), "%s", value);
	}
}

/* What it is, by its form: <maker>:<serial>, 64 hex digits, else digits: both kinds of number are asked for. */
static void first_names(struct tale *t, const char *what)
{
	if (strchr(what, ':')) {
		name_add(t, "equipment", what);
	} else if (strlen(what) == 64) {
		name_add(t, "certificate", what);
	} else {
		name_add(t, "pimsi", what);
		name_add(t, "imsi", what);
	}
}

static int known(const struct tale *t, const char *role, const char *id, json_int_t seq)
{
	json_t *e;
	size_t i;
	char from[ROLE_MAX + ID_MAX + 2];

	snprintf(from, sizeof(from), "%s %s", role, id);
	json_array_foreach(t->entries, i, e)
		if (json_integer_value(json_object_get(e, "seq")) == seq && !strcmp(json_string_value(json_object_get(e, "from")), from))
			return 1;
	return 0;
}

static void take(struct tale *t, const struct peer *p, json_t *o)
{
	json_t *e, *list, *value;
	const char *kind;
	char from[ROLE_MAX + ID_MAX + 2];
	size_t i, k;

	snprintf(from, sizeof(from), "%s %s", p->party.role, p->party.id);
	json_array_foreach(json_object_get(o, "entries"), i, e)
		if (!known(t, p->party.role, p->party.id, json_integer_value(json_object_get(e, "seq")))) {
			json_object_set_new(e, "from", json_string(from));
			json_array_append(t->entries, e);
		}
	json_object_foreach(json_object_get(o, "aliases"), kind, list)
		json_array_foreach(list, k, value)
			name_add(t, kind, json_string_value(value));
}

/* A role that has no stories of a kind says 400: that is no silence. */
static void ask(struct tale *t, const struct peer *p, const struct name *n)
{
	char path[ROOM], escaped[3 * 256 + 1];
	struct request q = { .method = "GET", .address = p->address, .path = path, .peer_role = p->party.role, .peer_id = p->party.id };
	struct response r;
	size_t k = 0;
	json_t *o;

	for (const char *c = n->value; *c && k + 4 < sizeof(escaped); c++)
		k += (size_t)snprintf(escaped + k, 4, *c == ':' || *c == '/' ? "%%%02X" : "%c", (unsigned char)*c);
	escaped[k] = 0;
	snprintf(path, sizeof(path), "/v1/story?kind=%s&value=%s", n->kind, escaped);
	if (asker_ask(t->asker, &q, &r) || (r.status != 200 && r.status != 400)) {
		char who[ROLE_MAX + ID_MAX + 8];

		snprintf(who, sizeof(who), "%s %s; ", p->party.role, p->party.id);
		if (!strstr(t->silent, who) && strlen(t->silent) + strlen(who) < sizeof(t->silent))
			strcat(t->silent, who);
		return;
	}
	o = r.status == 200 ? json_loadb((const char *)r.body.p, r.body.n, 0, NULL) : NULL;
	take(t, p, o);
	json_decref(o);
}

static int by_time(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "at_ms")), y = json_integer_value(json_object_get(*(json_t *const *)b, "at_ms"));

	return (x > y) - (x < y);
}

static void print_all(const struct tale *t)
{
	size_t n = json_array_size(t->entries);
	json_t **v = malloc((n + 1) * sizeof(*v));

	for (size_t i = 0; v && i < n; i++)
		v[i] = json_array_get(t->entries, i);
	if (v)
		qsort(v, n, sizeof(*v), by_time);
	for (size_t i = 0; v && i < n; i++) {
		const char *at = json_string_value(json_object_get(v[i], "at")), *from = json_string_value(json_object_get(v[i], "from")),
			*step = json_string_value(json_object_get(v[i], "step")), *text = json_string_value(json_object_get(v[i], "text"));

		printf("%s  %-12s %-28s %s\n", at ? at : "?", step ? step : "?", from ? from : "?", text ? text : "?");
	}
	free(v);
}

int explain(struct words *w)
{
	struct tale t = { .entries = json_array() };
	int code = DONE;

	if (!words_left(w, 1, "explain EQUIPMENT | PIMSI | IMSI | CERTIFICATE"))
		return USAGE;
	t.asker = asker_open(w, NULL);
	if (!t.asker)
		return FAILED;
	first_names(&t, w->v[0]);
	for (size_t i = 0; i < t.names; i++) /* grows while roles name further ones */
		for (size_t k = 0; k < peers_count(asker_peers(t.asker)); k++)
			if (*peers_at(asker_peers(t.asker), k)->address)
				ask(&t, peers_at(asker_peers(t.asker), k), t.name + i);
	if (w->json) {
		json_dumpf(t.entries, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_all(&t);
	}
	if (!json_array_size(t.entries))
		code = sorry("no role that this folder knows has a story of %s", w->v[0]);
	if (*t.silent)
		sorry("not asked, or no answer: %s", t.silent);
	json_decref(t.entries);
	asker_close(t.asker);
	return code;
}
