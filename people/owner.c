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

enum { ROWS = 500, LINE = 400 };

struct owner {
	struct asker *asker;
	char address[300];
	char dlusim[ID_MAX], operator[PLMN_TEXT], name[OWNER_MAX], bearer[200];
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
		return sorry("needed: --dlusim ID=HOST:PORT --roots FILE --token-file FILE");
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

/* A line of labels.csv: equipment,registration,claim_key[,serial] */
static json_t *row_of(struct owner *o, char *line, int n, int64_t serial)
{
	char *save = NULL, *equipment = strtok_r(line, ",\r\n", &save), *registration = strtok_r(NULL, ",\r\n", &save),
		*key = strtok_r(NULL, ",\r\n", &save), *own = strtok_r(NULL, ",\r\n", &save);
	struct secret k;
	uint8_t proof[32];
	enum err e = equipment && registration && key ? claim_key_read(key, &k) : ERR_FORMAT;

	if (e || (own && text_number(own, 0, INT64_MAX / 2, &serial))) {
		sorry("line %d: expected equipment,registration,claim_key (26 letters)[,serial]", n);
		return NULL;
	}
	e = object_claim_proof(&k, o->operator, o->dlusim, equipment, o->name, serial, proof);
	secret_wipe(&k, sizeof(k));
	return e ? NULL : json_pack("{s:s, s:s, s:I, s:o?}", "equipment", equipment, "registration", registration, "serial", (json_int_t)serial,
		"proof", json_hex(BYTES_OF(proof)));
}

static int rows_print(struct words *w, json_t *rows, int *open, int *refused)
{
	json_t *row;
	size_t i;

	*open = *refused = 0;
	json_array_foreach(rows, i, row) {
		const char *state = json_string_value(json_object_get(row, "state")), *why = json_string_value(json_object_get(row, "why"));

		if (!state)
			return sorry("the DLUSIM service answers a row without a state");
		*refused += !strcmp(state, "refused");
		*open += strcmp(state, "refused") && strcmp(state, "subscribed");
		if (!w->json)
			printf("%-24s %-11s %s\n", json_string_value(json_object_get(row, "equipment")), state, why ? why : "");
	}
	if (w->json)
		json_dumpf(rows, stdout, JSON_INDENT(2));
	return DONE;
}

/* Sends the rows until all are settled or patience ends: a row sent again finds itself. */
static int claim_rows(struct owner *o, struct words *w, json_t *rows)
{
	const struct timespec pause = { 0, 500000000 };
	time_t until = time(NULL) + 60;
	json_t *answer = NULL, *body = json_pack("{s:O}", "rows", rows);
	int status = 202, open = 0, refused = 0, code;

	while (status == 202 && time(NULL) < until) {
		json_decref(answer);
		answer = call(o, "/v1/subscribe", json_incref(body), &status);
		if (!answer)
			break;
		if (status == 202)
			nanosleep(&pause, NULL);
	}
	json_decref(body);
	if (!answer)
		return FAILED;
	code = rows_print(w, json_object_get(answer, "rows"), &open, &refused);
	json_decref(answer);
	if (!code && open)
		code = sorry("%d rows are not settled yet; give the same command again", open);
	return code ? code : refused ? FAILED : DONE;
}

int owner_claim(struct words *w)
{
	const char *serial_text = words_option(w, "serial");
	struct owner o = { 0 };
	int64_t serial = 1;
	json_t *rows = json_array(), *row;
	char line[LINE];
	int n = 0, code = owner_open(&o, w);
	FILE *f;

	if (!code && (!words_left(w, 1, "owner claim FILE --dlusim ID=HOST:PORT --roots FILE --token-file FILE [--serial N]")
		|| (serial_text && text_number(serial_text, 0, INT64_MAX / 2, &serial))))
		code = USAGE;
	f = code ? NULL : fopen(w->v[0], "re");
	if (!code && !f)
		code = sorry("%s: %s", w->v[0], strerror(errno));
	while (!code && fgets(line, sizeof(line), f)) {
		if (!n++ || !strcspn(line, "\r\n"))
			continue; /* the header line, or an empty one */
		row = row_of(&o, line, n, serial);
		if (!row || json_array_append_new(rows, row))
			code = FAILED;
		if (!code && json_array_size(rows) == ROWS) {
			code = claim_rows(&o, w, rows);
			json_array_clear(rows);
		}
	}
	if (f)
		fclose(f);
	if (!code && json_array_size(rows))
		code = claim_rows(&o, w, rows);
	json_decref(rows);
	secret_wipe(o.bearer, sizeof(o.bearer));
	asker_close(o.asker);
	return code;
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
		printf("%s\n", json_string_value(json_object_get(o, "token")));
	json_decref(o);
	asker_close(a);
	return o ? DONE : FAILED;
}
