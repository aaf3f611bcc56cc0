/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The story of one equipment (or PIMSI, IMSI, certificate), out of every role's audit: each role is asked for what it knows, then
 * again for the other names it gave. Who could not be asked is said.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "people/people.h"
#include "proto/json.h"

enum { NAMES = 64, ROOM = 800, PATIENCE_MS = 5000 };

struct name {
	char kind[24], value[256];
};
struct tale {
	struct asker *asker;
	json_t *entries;             /* of all roles, each with "from" */
	struct name name[NAMES];
	size_t names;
	json_t *silent;              /* who was not asked, or did not answer, and why */
	int owner;                   /* an owner's story: his equipments are not followed */
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

/* What it is, by its form: <maker>:<serial>, 64 hex digits, digits (both kinds of number are asked for), else an owner's name. */
static void first_names(struct tale *t, const char *what)
{
	if (strchr(what, ':')) {
		name_add(t, "equipment", what);
	} else if (strlen(what) == 64 && strspn(what, "0123456789abcdef") == 64) {
		name_add(t, "certificate", what);
	} else if (text_digits(what)) {
		name_add(t, "pimsi", what);
		name_add(t, "imsi", what);
	} else {
		name_add(t, "owner", what);
		t->owner = 1;
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
	if (t->owner)
		return;
	json_object_foreach(json_object_get(o, "aliases"), kind, list)
		json_array_foreach(list, k, value)
			name_add(t, kind, json_string_value(value));
}

static int silent(const struct tale *t, const struct peer *p)
{
	json_t *e;
	size_t i;

	json_array_foreach(t->silent, i, e)
		if (!strcmp(json_string_value(json_object_get(e, "role")), p->party.role) && !strcmp(json_string_value(json_object_get(e, "id")), p->party.id))
			return 1;
	return 0;
}

static void silent_add(struct tale *t, const struct peer *p, const char *why)
{
	json_array_append_new(t->silent, json_pack("{s:s, s:s, s:s}", "role", p->party.role, "id", p->party.id, "why", why));
}

/* A role that has no stories of a kind says 400: that is no silence. */
static void ask(struct tale *t, const struct peer *p, const struct name *n)
{
	char path[ROOM], escaped[3 * 256 + 1], why[320];
	struct request q = { .method = "GET", .address = p->address, .path = path, .peer_role = p->party.role, .peer_id = p->party.id,
		.timeout_ms = PATIENCE_MS };
	struct response r;
	size_t k = 0;
	json_t *o;

	if (silent(t, p))
		return; /* once is enough: it may cost the whole patience of a connection */
	if (!*p->address) {
		silent_add(t, p, "its peer file has no address; `usher peer add ... --address HOST:PORT --replace`");
		return;
	}
	for (const char *c = n->value; *c && k + 4 < sizeof(escaped); c++)
		k += (size_t)snprintf(escaped + k, 4, isalnum((unsigned char)*c) || strchr("-._", *c) ? "%c" : "%%%02X", (unsigned char)*c);
	escaped[k] = 0;
	snprintf(path, sizeof(path), "/v1/story?kind=%s&value=%s", n->kind, escaped);
	if (asker_ask(t->asker, &q, &r)) {
		silent_add(t, p, r.why.text);
		return;
	}
	if (r.status != 200 && r.status != 400) {
		json_why(r.body, why, sizeof(why));
		silent_add(t, p, why);
		return;
	}
	o = r.status == 200 ? json_loadb((const char *)r.body.p, r.body.n, 0, NULL) : NULL;
	take(t, p, o);
	json_decref(o);
}

/* --- whose turn it is --- */

/*
 * What an entry of a story means for the way home. An entry takes the place of the one that stood before if it is as far on the way, or if
 * that one is at `over` or further: a verification that is repeated does not hide its refusal, a new order begins anew.
 */
static const struct turn {
	const char *role, *words;
	int stage, over;
	const char *whose, *next;
} turns[] = {
	{ "attestation", " certificate to ", 1, 99, "the factory", "`usher factory order` gives it its PIMSI" },
	{ "registration", "issued PIMSI", 1, 99, "the factory", "`usher factory bind` binds it to its certificate and claim key" },
	{ "registration", "bound PIMSI", 2, 99, "its owner", "`usher owner claim` with the line of its label" },
	{ "dlusim", "ordered a subscription", 3, 0, "the registration operator", "it is asked for the route; if this lasts, the DLUSIM service cannot reach it" },
	{ "dlusim", "routes", 4, 5, "the HSS", "it is asked for an IMSI; if this lasts, the DLUSIM service cannot reach it" },
	{ "dlusim", "is not subscribed", 5, 0, "its owner", "once the reason is gone, `usher owner claim` again (a new proof needs a higher --serial)" },
	{ "dlusim", "is subscribed: its IMSI", 5, 6, "the equipment", "switch it on where a network of its allowed list can be heard" },
	{ "registration", "attached in network", 5, 99, "the equipment", "it asks where to go" },
	{ "registration", "nobody has subscribed it", 6, 99, "its owner", "`usher owner claim` with the line of its label; it asks again by itself" },
	{ "registration", "refused: ", 6, 99, "the registration operator", "limited access is closed to it for the reason above" },
	{ "registration", "told", 6, 99, "the equipment", "it goes to its DLUSIM service" },
	{ "dlusim", "challenged", 7, 10, "the equipment", "it answers the challenge" },
	{ "dlusim", "answered our challenge", 8, 10, "the attestation provider", "it says whether the certificate is good (OCSP); until then nothing is released" },
	{ "dlusim", "is refused", 9, 10, "the DLUSIM service's staff",
		"nothing is released to it; a revoked certificate stays revoked: the factory has to make the equipment anew" },
	{ "dlusim", "HSS's turn", 10, 99, "the HSS", "it checks the evidence and seals the package" },
	{ "dlusim", "the HSS sealed package", 11, 99, "the equipment", "it fetches the package from the DM service" },
	{ "dm", "delivers package", 12, 99, "the equipment", "it checks the package and asks OCSP about its signers" },
	{ "dm", "says of the installation", 13, 99, "the equipment", "it attaches as itself; if this lasts, its home network does not take it where it is" },
	{ "dm", "could not install", 13, 99, "the equipment", "it proves itself again, for another package (the codes: wires.md, section 8)" },
	{ "dm", "could not activate", 14, 99, "the equipment", "it proves itself again, for another package (the codes: wires.md, section 8)" },
	{ "hss", "attached in network", 14, 99, "the equipment", "it sends its receipt" },
	{ "dlusim", "is in service", 15, 99, "the HSS and the registration operator", "they take the receipt" },
	{ "dlusim", "is operative", 16, 99, NULL, "operative; nothing is left to do" },
	{ "hss", "expired unused", 5, 6, "the equipment", "it proves itself again when it is switched on" },
	{ "registration", "is blocked by", 15, 99, "the registration operator's staff", "`usher pimsi unblock` when it may go on" },
	{ "registration", "is unblocked by", 15, 99, "the equipment", "it attaches again" },
	{ "hss", "is active again", 16, 17, NULL, "operative; nothing is left to do" },
	{ "hss", "is suspended", 17, 99, "the home operator's staff", "`usher imsi resume` when its owner may use it again" },
	{ "hss", "is terminated", 18, 99, "its owner", "`usher owner claim` with a higher --serial chooses an operator again" },
};
enum { TURNS = sizeof(turns) / sizeof(*turns) };

static const char *text_of(json_t *entry, const char *key)
{
	const char *t = json_string_value(json_object_get(entry, key));

	return t ? t : "?";
}

static const struct turn *turn_of(json_t *entry)
{
	const char *from = text_of(entry, "from"), *text = text_of(entry, "text");

	for (int i = 0; i < TURNS; i++)
		if (!strncmp(from, turns[i].role, strlen(turns[i].role)) && strstr(text, turns[i].words))
			return turns + i;
	return NULL;
}

/* The entry that counts, and its meaning; NULL if none says whose turn it is. */
static const struct turn *now(const struct tale *t, json_t **entry)
{
	const struct turn *is = NULL, *next;
	json_t *e;
	size_t i;

	json_array_foreach(t->entries, i, e) {
		next = turn_of(e);
		if (!next || (is && next->stage < is->stage && is->stage < next->over))
			continue;
		is = next;
		*entry = e;
	}
	return is;
}

/* A server whose turn it is may not be reached by the one that waits for it: its outbox knows. */
static void last_failure(const struct tale *t, const char *from, char *dst, size_t cap)
{
	*dst = 0;
	for (size_t i = 0; i < peers_count(asker_peers(t->asker)); i++) {
		const struct peer *p = peers_at(asker_peers(t->asker), i);
		char who[ROLE_MAX + ID_MAX + 2];
		json_t *o;

		snprintf(who, sizeof(who), "%s %s", p->party.role, p->party.id);
		if (strcmp(who, from) || !*p->address || !(o = asker_json(t->asker, p, "/v1/status", NULL, NULL)))
			continue;
		if (json_integer_value(json_object_get(json_object_get(o, "outbox"), "waiting")))
			snprintf(dst, cap, "%s", text_of(json_object_get(o, "outbox"), "last_failure"));
		json_decref(o);
	}
}

static json_t *now_json(const struct tale *t)
{
	json_t *entry = NULL;
	const struct turn *is = now(t, &entry);
	char failure[400] = "";

	if (!is || !is->stage)
		return json_null();
	if (is->whose && strcmp(is->whose, "the equipment") && strcmp(is->whose, "its owner"))
		last_failure(t, text_of(entry, "from"), failure, sizeof(failure));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "since", text_of(entry, "at"), "said", text_of(entry, "text"), "by", text_of(entry, "from"),
		"turn", is->whose ? is->whose : "nobody", "next", is->next, "cannot_reach", failure);
}

/* --- telling --- */

/* By time; in the same millisecond by role, and there as that role wrote them. */
static int by_time(const void *a, const void *b)
{
	json_t *one = *(json_t *const *)a, *two = *(json_t *const *)b;
	json_int_t x = json_integer_value(json_object_get(one, "at_ms")), y = json_integer_value(json_object_get(two, "at_ms"));
	int role = strcmp(text_of(one, "from"), text_of(two, "from"));

	if (x == y && role)
		return role;
	if (x == y) {
		x = json_integer_value(json_object_get(one, "seq"));
		y = json_integer_value(json_object_get(two, "seq"));
	}
	return (x > y) - (x < y);
}

static void sort(struct tale *t)
{
	size_t n = json_array_size(t->entries);
	json_t **v = malloc((n + 1) * sizeof(*v)), *sorted = json_array();

	for (size_t i = 0; v && i < n; i++)
		v[i] = json_array_get(t->entries, i);
	if (v)
		qsort(v, n, sizeof(*v), by_time);
	for (size_t i = 0; v && i < n; i++)
		json_array_append(sorted, v[i]);
	free(v);
	json_decref(t->entries);
	t->entries = sorted;
}

/* How often the same was said, if e is the last time; else 0. */
static int times(json_t *entries, size_t at, const char **first)
{
	json_t *e = json_array_get(entries, at), *other;
	int n = 0;
	size_t i;

	json_array_foreach(entries, i, other) {
		if (strcmp(text_of(e, "text"), text_of(other, "text")) || strcmp(text_of(e, "from"), text_of(other, "from")))
			continue;
		if (i > at)
			return 0;
		*first = n++ ? *first : text_of(other, "at");
	}
	return n;
}

static void print_entries(const struct tale *t, int all)
{
	json_t *e;
	size_t i;

	json_array_foreach(t->entries, i, e) {
		const char *first = "";
		int n = all ? 1 : times(t->entries, i, &first);

		if (!n)
			continue;
		printf("%s  %-12s %-28s %s", text_of(e, "at"), text_of(e, "step"), text_of(e, "from"), text_of(e, "text"));
		if (n > 1)
			printf(" (%d times since %s)", n, first);
		putchar('\n');
	}
}

static void print_now(json_t *o)
{
	const char *turn = text_of(o, "turn"), *failure = text_of(o, "cannot_reach");

	if (!json_is_object(o))
		return;
	if (strcmp(turn, "nobody"))
		printf("\nnow: it is the turn of %s: %s\n", turn, text_of(o, "next"));
	else
		printf("\nnow: %s\n", text_of(o, "next"));
	printf("     since %s, when %s said: %s\n", text_of(o, "since"), text_of(o, "by"), text_of(o, "said"));
	if (*failure)
		printf("     %s has letters that wait; the last failure: %s\n", text_of(o, "by"), failure);
}

/* The roles whose audit a story needs, and of which this folder knows none. */
static void unknown_roles(struct tale *t)
{
	static const char *const needed[] = { "attestation", "registration", "hss", "dlusim", "dm" };

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		int found = 0;

		for (size_t k = 0; k < peers_count(asker_peers(t->asker)); k++)
			found |= !strcmp(peers_at(asker_peers(t->asker), k)->party.role, needed[i]);
		if (!found)
			json_array_append_new(t->silent,
				json_pack("{s:s, s:s, s:s}", "role", needed[i], "id", "", "why", "this folder knows none; `usher peer add` makes one known"));
	}
}

static void print_silent(const struct tale *t)
{
	json_t *e;
	size_t i;

	json_array_foreach(t->silent, i, e)
		sorry("not heard: %s %s: %s", text_of(e, "role"), text_of(e, "id"), text_of(e, "why"));
}

int explain(struct words *w)
{
	struct tale t = { 0 };
	int code = DONE, all = words_flag(w, "all");
	json_t *is;

	if (!words_left(w, 1, "explain EQUIPMENT | PIMSI | IMSI | CERTIFICATE | OWNER"))
		return USAGE;
	t.asker = asker_open(w, NULL);
	if (!t.asker)
		return FAILED;
	t.entries = json_array();
	t.silent = json_array();
	first_names(&t, w->v[0]);
	unknown_roles(&t);
	for (size_t i = 0; i < t.names; i++) /* grows while roles name further ones */
		for (size_t k = 0; k < peers_count(asker_peers(t.asker)); k++)
			ask(&t, peers_at(asker_peers(t.asker), k), t.name + i);
	sort(&t);
	is = t.owner ? json_null() : now_json(&t);
	if (!json_array_size(t.entries))
		code = sorry("no role that this folder knows has a story of %s; is it spelled as on its label? `usher status` shows the roles that are asked", w->v[0]);
	if (w->json) {
		print_json(json_pack("{s:s, s:O, s:O, s:O}", "about", w->v[0], "entries", t.entries, "now", is, "not_heard", t.silent));
	} else {
		print_entries(&t, all);
		print_now(is);
		print_silent(&t);
	}
	json_decref(is);
	json_decref(t.entries);
	json_decref(t.silent);
	asker_close(t.asker);
	return code;
}
