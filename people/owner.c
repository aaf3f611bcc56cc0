/* SPDX-License-Identifier: Apache-2.0 */
/* Step 1 as the owner does it. The claim key stays here: what goes out is the proof made with it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "people/people.h"
#include "proto/json.h"
#include "proto/object.h"

enum { ROWS = 500, LINE = 400, PATIENCE_S = 60 };

struct owner {
	struct asker *asker;
	char address[300];
	char dlusim[ID_MAX], operator[PLMN_TEXT], name[OWNER_MAX], bearer[200];
};
struct claim {
	struct owner owner;
	const struct words *words;
	int64_t serial;
	json_t *rows, *told;     /* the batch under way; what is said of every row */
	size_t line, lines, subscribed, refused, open, bad;
};

static json_t *call(struct owner *o, const char *path, json_t *body, int *status)
{
	struct request q = { .method = body ? "POST" : "GET", .address = o->address, .path = path, .peer_role = "dlusim", .peer_id = o->dlusim,
		.type = body ? "application/json" : NULL, .header = { o->bearer } };
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL, why[320];
	struct response r;
	enum err e;

	json_decref(body);
	q.body = bytes_text(text);
	e = asker_ask(o->asker, &q, &r);
	free(text);
	*status = r.status;
	if (e || r.status >= 300) {
		json_why(r.body, why, sizeof(why));
		sorry("dlusim %s: %s", o->dlusim, e ? r.why.text : why);
		return NULL;
	}
	return json_loadb((const char *)r.body.p, r.body.n, 0, NULL);
}

static int token_read(const char *file, char *dst, size_t cap)
{
	char token[128] = "";
	FILE *f = fopen(file, "re");

	if (!f)
		return sorry("%s: %s; staff makes a token by `usher people add DLUSIM OWNER`", file, strerror(errno));
	(void)!fgets(token, sizeof(token), f);
	fclose(f);
	token[strcspn(token, "\r\n")] = 0;
	snprintf(dst, cap, "Authorization: Bearer %s", token);
	secret_wipe(token, sizeof(token));
	return DONE;
}

static int owner_open(struct owner *o, struct words *w)
{
	const char *dlusim = words_option(w, "dlusim"), *roots = words_option(w, "roots"), *token = words_option(w, "token-file");
	const char *eq = dlusim ? strchr(dlusim, '=') : NULL;
	json_t *me;
	struct why w2 = { "" };
	int status, ok;

	if (!eq || !roots || !token)
		return sorry("needed: --dlusim ID=HOST:PORT --roots FILE --token-file FILE"), USAGE;
	snprintf(o->dlusim, sizeof(o->dlusim), "%.*s", (int)(eq - dlusim), dlusim);
	if (conf_resolve(eq + 1, o->address, sizeof(o->address), &w2))
		return sorry("%s", w2.text);
	if (token_read(token, o->bearer, sizeof(o->bearer)) || !(o->asker = asker_open_roots(roots)))
		return FAILED;
	me = call(o, "/v1/people", NULL, &status);
	ok = me && !json_get_text(me, "owner", o->name, sizeof(o->name), NULL) && !json_get_text(me, "operator", o->operator, sizeof(o->operator), NULL);
	json_decref(me);
	return ok ? DONE : FAILED;
}

/* The next field of a line of CSV, blanks and quotes taken off; NULL at the line's end. */
static char *csv_field(char **at)
{
	char *p = *at, *end;

	if (!p)
		return NULL;
	p += strspn(p, " \t");
	if (*p == '"' && (end = strchr(p + 1, '"'))) {
		*end++ = 0;
		p++;
	} else {
		end = p;
	}
	end += strcspn(end, ",\r\n");
	*at = *end == ',' ? end + 1 : NULL;
	*end = 0;
	while (end > p && strchr(" \t", end[-1]))
		*--end = 0;
	return p;
}

/* A line of labels.csv: equipment,registration,claim_key[,serial]; 0 and why if it is none. */
static int row_of(struct claim *c, char *line, json_t **row, char *why, size_t cap)
{
	char *at = line, *equipment = csv_field(&at), *registration = csv_field(&at), *key = csv_field(&at), *own = csv_field(&at);
	int64_t serial = c->serial;
	struct secret k;
	uint8_t proof[32];
	enum err e;

	if (!key || !*equipment || !*registration || claim_key_read(key, &k)) {
		snprintf(why, cap, "expected equipment,registration,claim_key (26 letters)[,serial]");
		return 0;
	}
	if (own && *own && text_number(own, 0, INT64_MAX / 2, &serial)) {
		secret_wipe(&k, sizeof(k));
		snprintf(why, cap, "serial `%.40s` is not a number", own);
		return 0;
	}
	e = object_claim_proof(&k, &(struct claimed){ .operator = c->owner.operator, .dlusim = c->owner.dlusim, .equipment = equipment, .owner = c->owner.name,
		.serial = serial }, proof);
	secret_wipe(&k, sizeof(k));
	*row = e ? NULL : json_pack("{s:s, s:s, s:I, s:o?}", "equipment", equipment, "registration", registration, "serial", (json_int_t)serial,
		"proof", json_hex(BYTES_OF(proof)));
	if (!*row)
		snprintf(why, cap, "the proof cannot be made of it");
	return *row != NULL;
}

static void row_told(struct claim *c, json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "state")), *why = json_string_value(json_object_get(row, "why"));

	c->subscribed += state && !strcmp(state, "subscribed");
	c->refused += state && !strcmp(state, "refused");
	c->open += !state || (strcmp(state, "refused") && strcmp(state, "subscribed"));
	json_array_append(c->told, row);
	if (!c->words->json)
		printf("%-24s %-11s %s\n", json_string_value(json_object_get(row, "equipment")), state ? state : "?", why ? why : "");
}

static int settled(json_t *row)
{
	const char *state = json_string_value(json_object_get(row, "state"));

	return state && (!strcmp(state, "refused") || !strcmp(state, "subscribed"));
}

/* What is settled is told and not sent again (a refused row would be tried anew); the others stay, in their order. */
static void rows_answered(struct claim *c, json_t *list, int last)
{
	json_t *open = json_array(), *row;
	size_t i;

	json_array_foreach(list, i, row)
		if (last || settled(row))
			row_told(c, row);
		else
			json_array_append(open, json_array_get(c->rows, i));
	json_decref(c->rows);
	c->rows = open;
}

/* Sends the rows until all are settled or patience ends: a row sent again finds itself. */
static int rows_send(struct claim *c)
{
	const struct timespec pause = { 0, 500000000 };
	time_t until = time(NULL) + PATIENCE_S;
	int status;

	while (json_array_size(c->rows)) {
		json_t *answer = call(&c->owner, "/v1/subscribe", json_pack("{s:O}", "rows", c->rows), &status);

		if (!answer)
			return sorry("stopped at line %zu; what was taken stays. Give the same command again", c->line);
		rows_answered(c, json_object_get(answer, "rows"), time(NULL) >= until);
		json_decref(answer);
		if (json_array_size(c->rows))
			nanosleep(&pause, NULL);
	}
	return DONE;
}

static void line_bad(struct claim *c, const char *why)
{
	c->bad++;
	sorry("line %zu: %s", c->line, why);
	json_array_append_new(c->told, json_pack("{s:I, s:s, s:s}", "line", (json_int_t)c->line, "state", "bad", "why", why));
}

static int line_take(struct claim *c, char *line, FILE *f)
{
	char why[160], *start = line;
	json_t *row;
	int ch;

	if (!strchr(line, '\n') && strlen(line) == LINE - 1) {
		while ((ch = fgetc(f)) != EOF && ch != '\n')
			;
		line_bad(c, "it is too long for a row");
		return DONE;
	}
	if (c->line == 1 && !strncmp(start, "\xef\xbb\xbf", 3)) /* a spreadsheet's mark */
		start += 3;
	if (!strcspn(start, "\r\n") || (c->line == 1 && !strncmp(start + (*start == '"'), "equipment", 9)))
		return DONE; /* an empty line, the header line */
	if (!row_of(c, start, &row, why, sizeof(why))) {
		line_bad(c, why);
		return DONE;
	}
	if (json_array_append_new(c->rows, row))
		return sorry("out of memory");
	if (json_array_size(c->rows) < ROWS)
		return DONE;
	progress("line", c->line, c->lines);
	return rows_send(c);
}

static int file_claim(struct claim *c, const char *file)
{
	char line[LINE];
	int code = DONE, ch;
	FILE *f = fopen(file, "re");

	if (!f)
		return sorry("%s: %s; `usher factory bind` writes labels.csv", file, strerror(errno));
	while ((ch = fgetc(f)) != EOF)
		c->lines += ch == '\n';
	rewind(f);
	while (!code && fgets(line, sizeof(line), f)) {
		c->line++;
		code = line_take(c, line, f);
	}
	fclose(f);
	secret_wipe(line, sizeof(line));
	if (!c->line)
		return sorry("%s: no line of text in it; `usher factory bind` writes labels.csv", file);
	return code ? code : rows_send(c);
}

int owner_claim(struct words *w)
{
	const char *serial = words_option(w, "serial");
	struct claim c = { .words = w, .serial = 1, .rows = json_array(), .told = json_array() };
	int code = owner_open(&c.owner, w);

	if (!code && (!words_left(w, 1, "owner claim FILE --dlusim ID=HOST:PORT --roots FILE --token-file FILE [--serial N]")
		|| (serial && text_number(serial, 0, INT64_MAX / 2, &c.serial) && sorry("--serial `%s` is not a number", serial))))
		code = USAGE;
	if (!code)
		code = file_claim(&c, w->v[0]);
	if (w->json && c.line)
		print_json(json_pack("{s:O, s:I, s:I, s:I, s:I}", "rows", c.told, "subscribed", (json_int_t)c.subscribed, "refused", (json_int_t)c.refused,
			"open", (json_int_t)c.open, "bad", (json_int_t)c.bad));
	else if (c.line)
		fprintf(stderr, "%zu subscribed, %zu refused, %zu not settled%s, %zu lines that are no row\n", c.subscribed, c.refused, c.open,
			c.open ? " (give the same command again)" : "", c.bad);
	json_decref(c.rows);
	json_decref(c.told);
	asker_close(c.owner.asker);
	secret_wipe(&c.owner, sizeof(c.owner));
	return code ? code : c.subscribed && !c.refused && !c.open && !c.bad ? DONE : FAILED;
}

/* `usher people add DLUSIM OWNER`: staff gives an owner an account; the token is printed once. */
int people_add(struct words *w)
{
	struct asker *a;
	const struct peer *p;
	json_t *o = NULL;

	if (!words_left(w, 2, "people add DLUSIM OWNER"))
		return USAGE;
	a = asker_open(w, NULL);
	if (!a)
		return FAILED;
	p = peers_find(asker_peers(a), "dlusim", w->v[0]);
	if (p)
		o = asker_json(a, p, "/v1/people", json_pack("{s:s}", "owner", w->v[1]), NULL);
	else
		sorry("this folder knows no dlusim %s; `usher peer add` makes it known", w->v[0]);
	if (o)
		answer(w, json_incref(o), "%s", json_string_value(json_object_get(o, "token")));
	json_decref(o);
	asker_close(a);
	return o ? DONE : FAILED;
}
