/* SPDX-License-Identifier: Apache-2.0 */
/* `usher pimsi` and `usher imsi`: staff looks at numbers and moves them. What may follow what, the role says. */
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "people/people.h"

enum { PAGE = 500, ROOM = 200 };

struct noun {
	const char *word, *role;
	const char *usage;
	const char *verbs[8]; /* that move a number, NULL-ended */
};
struct numbering {
	const struct noun *noun;
	struct words *w;
	struct asker *asker;
	const struct peer *peer;
	const char *reason;
	int yes;
};

static const struct noun pimsi = { "pimsi", "registration",
	"pimsi list [--state STATE] | show PIMSI | block|unblock|reserve|quarantine|release PIMSI, [--at ID]",
	{ "block", "unblock", "reserve", "quarantine", "release", NULL } };
static const struct noun imsi = { "imsi", "hss", "imsi list [--state STATE] | show IMSI | suspend|resume|terminate|quarantine|release IMSI, [--at ID]",
	{ "suspend", "resume", "terminate", "quarantine", "release", NULL } };

/* The operator whose numbers they are: the one this folder knows, or the one that --at names. */
static const struct peer *operator_of(struct asker *a, const struct noun *n, const char *at)
{
	const struct peer *found = at ? peers_find(asker_peers(a), n->role, at) : NULL;

	for (size_t i = 0; !at && i < peers_count(asker_peers(a)); i++) {
		const struct peer *p = peers_at(asker_peers(a), i);

		if (strcmp(p->party.role, n->role) || !*p->address)
			continue;
		if (found) {
			sorry("this folder knows several of role %s: say whose %s with --at ID (%s, %s, ...)", n->role, n->word, found->party.id, p->party.id);
			return NULL;
		}
		found = p;
	}
	if (!found)
		sorry("this folder knows no %s%s%s; `usher peer add DIR %s ID --address HOST:PORT` makes it known", n->role, at ? " " : "", at ? at : "", n->role);
	return found;
}

static const char *text_of(json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "";
}

static void line(json_t *o)
{
	char since[24];
	const char *network = text_of(o, "network"), *cancel = text_of(o, "cancel");

	clock_text(json_integer_value(json_object_get(o, "since")), since, sizeof(since));
	printf("%-15s  %-10s  since %s  %-24s %s%s%s%s\n", text_of(o, "number"), text_of(o, "state"), since, text_of(o, "equipment"), *network ? "in " : "",
		network, *cancel ? "LocationCancel owed to " : "", cancel);
}

static int say(const struct numbering *t, json_t *o)
{
	json_t *m;
	size_t i;

	if (t->w->json) {
		print_json(json_incref(o));
		return DONE;
	}
	line(o);
	if (!json_object_get(o, "next"))
		return DONE;
	printf("  %s\n", text_of(o, "about"));
	json_array_foreach(json_object_get(o, "next"), i, m)
		printf("  may come next: %s by %s, then %s\n", text_of(m, "event"), text_of(m, "who"), text_of(m, "to"));
	return DONE;
}

/* --- verbs --- */

static int list_pages(const struct numbering *t, const char *state, json_t *all)
{
	char path[ROOM], after[24] = "";
	size_t n = PAGE, i;

	while (n == PAGE) {
		json_t *o, *one;

		snprintf(path, sizeof(path), "/v1/pool?state=%.20s&after=%s&most=%d", state, after, PAGE);
		o = asker_json(t->asker, t->peer, path, NULL, NULL);
		if (!o)
			return FAILED;
		n = json_array_size(json_object_get(o, "numbers"));
		json_array_foreach(json_object_get(o, "numbers"), i, one) {
			snprintf(after, sizeof(after), "%s", text_of(one, "number"));
			if (t->w->json)
				json_array_append(all, one);
			else
				line(one);
		}
		json_decref(o);
	}
	return DONE;
}

static int list(const struct numbering *t, const char *state)
{
	json_t *all = json_array();
	int code = list_pages(t, state ? state : "", all);

	if (!code && t->w->json)
		print_json(json_incref(all));
	json_decref(all);
	return code;
}

static json_t *ask(const struct numbering *t, const char *number, json_t *body)
{
	char path[ROOM];

	snprintf(path, sizeof(path), "/v1/pool/%.20s", number);
	return asker_json(t->asker, t->peer, path, body, NULL);
}

static int show(const struct numbering *t, const char *number)
{
	json_t *o = ask(t, number, NULL);
	int code = o ? say(t, o) : FAILED;

	json_decref(o);
	return code;
}

/* Into the pool again: whoever had the number can never come back with it, and that is said before it is done. */
static int release_warned(const struct numbering *t, const char *number, json_t *body)
{
	json_t *o = ask(t, number, NULL);
	const char *equipment = text_of(o, "equipment");
	int code = o ? DONE : FAILED;

	if (o && *equipment && !t->yes)
		code = sorry("%s is %s and of %s: released, it goes to another equipment with a new key, and %s can never return with it;"
			" give the command again with --yes", number, text_of(o, "state"), equipment, equipment);
	if (!code && *equipment)
		json_object_set_new(body, "equipment", json_string(equipment));
	json_decref(o);
	return code;
}

static int move(const struct numbering *t, const char *verb, const char *number)
{
	json_t *body = json_pack("{s:s, s:s*}", "event", verb, "reason", t->reason), *o;
	int code = strcmp(verb, "release") ? DONE : release_warned(t, number, body);

	if (code) {
		json_decref(body);
		return code;
	}
	o = ask(t, number, body);
	code = o ? say(t, o) : FAILED;
	json_decref(o);
	return code;
}

static int moves(const struct noun *n, const char *verb)
{
	for (const char *const *v = n->verbs; *v; v++)
		if (!strcmp(*v, verb))
			return 1;
	return 0;
}

static int run(const struct numbering *t, const char *state)
{
	const char *verb = t->w->v[0];

	if (!strcmp(verb, "list"))
		return words_left(t->w, 1, t->noun->usage) ? list(t, state) : USAGE;
	if (strcmp(verb, "show") && !moves(t->noun, verb))
		return sorry("`%s` is nothing to do with a number; usage: usher %s", verb, t->noun->usage), USAGE;
	if (!words_left(t->w, 2, t->noun->usage))
		return USAGE;
	if (text_digits(t->w->v[1]) < 5 || text_digits(t->w->v[1]) > 15)
		return sorry("`%s` is no number of 5 to 15 digits", t->w->v[1]), USAGE;
	return strcmp(verb, "show") ? move(t, verb, t->w->v[1]) : show(t, t->w->v[1]);
}

static int numbers(struct words *w, const struct noun *n)
{
	const char *at = words_option(w, "at"), *state = words_option(w, "state");
	struct numbering t = { .noun = n, .w = w, .reason = words_option(w, "reason"), .yes = words_flag(w, "yes") };
	int code = FAILED;

	if (!w->n)
		return sorry("usage: usher %s", n->usage), USAGE;
	t.asker = asker_open(w, NULL);
	t.peer = t.asker ? operator_of(t.asker, n, at) : NULL;
	if (t.peer)
		code = run(&t, state);
	asker_close(t.asker);
	return code;
}

int pimsi_numbers(struct words *w)
{
	return numbers(w, &pimsi);
}

int imsi_numbers(struct words *w)
{
	return numbers(w, &imsi);
}
