/* SPDX-License-Identifier: Apache-2.0 */
#include "core/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "core/audit.h"
#include "core/clock.h"
#include "core/outbox.h"
#include "core/spent.h"

enum { STORY_MAX = 500, METRICS_MAX = 64 };

struct desk {
	struct desk_conf conf;
	int64_t cell[METRICS_MAX];
	int64_t started;
};

enum err desk_open(const struct desk_conf *c, struct desk **out)
{
	struct desk *d = calloc(1, sizeof(*d));
	int n = 0;

	while (c->metrics && c->metrics[n].name)
		n++;
	if (n > METRICS_MAX) {
		free(d);
		return ERR_LIMIT;
	}
	if (!d)
		return ERR_NOMEM;
	d->conf = *c;
	d->started = clock_now();
	*out = d;
	return OK;
}

void desk_close(struct desk *d)
{
	free(d);
}

void desk_count(struct desk *d, int metric, int64_t add)
{
	d->cell[metric] += add;
}

static struct desk *desk_of(void *arg)
{
	return *(struct desk **)arg;
}

/* --- metrics, health --- */

static void cpu_write(const struct desk *d, struct wr *w)
{
	const char *role = d->conf.role, *word;
	struct rusage u;
	int64_t us;

	getrusage(RUSAGE_SELF, &u);
	wr_printf(w, "# HELP usher_%s_cpu_microseconds_total CPU time of this process.\n# TYPE usher_%s_cpu_microseconds_total counter\n"
		"usher_%s_cpu_microseconds_total %lld\n", role, role, role,
		(long long)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec);
	wr_printf(w, "# HELP usher_%s_step_cpu_microseconds_total CPU time by step.\n# TYPE usher_%s_step_cpu_microseconds_total counter\n", role, role);
	for (int i = 0; (us = spent_us(i, &word)) >= 0; i++)
		wr_printf(w, "usher_%s_step_cpu_microseconds_total{step=\"%s\"} %lld\n", role, word, (long long)us);
}

void desk_metrics(struct ask *a, void *arg)
{
	struct desk *d = desk_of(arg);
	size_t cap = 64 * 1024;
	char *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);

	if (!text) {
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return;
	}
	for (int i = 0; d->conf.metrics && d->conf.metrics[i].name; i++) {
		const struct metric *m = d->conf.metrics + i;

		wr_printf(&w, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", m->name, m->help, m->name, m->gauge ? "gauge" : "counter", m->name,
			(long long)d->cell[i]);
	}
	wr_printf(&w, "# HELP usher_commits_total Groups of transactions on disk.\n# TYPE usher_commits_total counter\nusher_commits_total %llu\n",
		(unsigned long long)store_commits(d->conf.store));
	wr_printf(&w, "# HELP usher_certificates_end_seconds When the first of its own certificates ends (seconds since 1970).\n"
		"# TYPE usher_certificates_end_seconds gauge\nusher_certificates_end_seconds %lld\n", (long long)d->conf.certificates_end);
	cpu_write(d, &w);
	ask_reply(a, 200, "text/plain; version=0.0.4", wr_view(&w));
	free(text);
}

void desk_health(struct ask *a, void *arg)
{
	struct desk *d = desk_of(arg);

	ask_reply_json(a, 200, json_pack("{s:s, s:s, s:s, s:I}", "health", "ok", "role", d->conf.role, "id", d->conf.id,
		"up_s", (json_int_t)(clock_now() - d->started)));
}

/* --- status, story: one read transaction each --- */

struct reading {
	struct desk *desk;
	struct ask *ask;
	char kind[32], value[256];
	struct why last_failure;  /* the outbox's, taken on the loop */
	json_t *answer;
};

static enum err status_read(struct tx *tx, void *arg)
{
	struct reading *r = arg;
	const struct desk_conf *c = &r->desk->conf;
	int64_t waiting = 0, oldest = 0;
	enum err e = tx_outbox_status(tx, &waiting, &oldest);

	json_decref(r->answer);
	r->answer = json_pack("{s:s, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:s}}", "role", c->role, "id", c->id, "version", USHER_VERSION,
		"up_s", (json_int_t)(clock_now() - r->desk->started), "certificates_end", (json_int_t)c->certificates_end, "outbox", "waiting", (json_int_t)waiting,
		"oldest_s", (json_int_t)oldest, "last_failure", r->last_failure.text);
	if (!e && c->status)
		e = c->status(tx, r->answer, c->arg);
	return e;
}

static enum err aliases_of(const struct desk_conf *c, json_t *entries, json_t *into)
{
	size_t i;
	json_t *entry, *value;
	const char *kind;

	json_array_foreach(entries, i, entry)
		json_object_foreach(json_object_get(entry, "about"), kind, value)
			for (const char *const *k = c->aliases; k && *k; k++) {
				json_t *set = json_object_get(into, kind);

				if (strcmp(*k, kind))
					continue;
				if (!set && json_object_set_new(into, kind, set = json_object()))
					return ERR_NOMEM;
				if (json_object_set_new(set, json_string_value(value), json_true()))
					return ERR_NOMEM;
			}
	return OK;
}

static json_t *sets_to_lists(json_t *sets)
{
	json_t *out = json_object(), *set, *one;
	const char *kind, *value;

	json_object_foreach(sets, kind, set) {
		json_t *list = json_array();

		json_object_foreach(set, value, one)
			json_array_append_new(list, json_string(value));
		json_object_set_new(out, kind, list);
	}
	json_decref(sets);
	return out;
}

static enum err story_read(struct tx *tx, void *arg)
{
	struct reading *r = arg;
	const struct desk_conf *c = &r->desk->conf;
	json_t *entries = NULL, *sets = json_object();
	enum err e = tx_story(tx, r->kind, r->value, c->aliases, STORY_MAX, &entries);

	if (!e)
		e = aliases_of(c, entries, sets);
	json_decref(r->answer);
	r->answer = json_pack("{s:s, s:s, s:o, s:o}", "role", c->role, "id", c->id, "entries", entries ? entries : json_array(),
		"aliases", sets_to_lists(sets));
	return e;
}

static void was_read(void *arg, enum err e)
{
	struct reading *r = arg;

	if (e) {
		json_decref(r->answer);
		ask_refuse(r->ask, e, "the database does not answer; look at this role's log");
	} else {
		ask_reply_json(r->ask, 200, r->answer);
	}
	free(r);
}

static struct reading *reading_new(struct ask *a, void *arg)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (!r) {
		ask_refuse(a, ERR_NOMEM, "out of memory");
		return NULL;
	}
	r->desk = desk_of(arg);
	r->ask = a;
	return r;
}

void desk_status(struct ask *a, void *arg)
{
	struct reading *r = reading_new(a, arg);

	if (!r)
		return;
	if (r->desk->conf.outbox)
		(void)!fail(&r->last_failure, OK, "%s", outbox_last(r->desk->conf.outbox));
	store_run(r->desk->conf.store, status_read, r, was_read);
}

static int knows(const char *const *kinds, const char *kind)
{
	for (; kinds && *kinds; kinds++)
		if (!strcmp(*kinds, kind))
			return 1;
	return 0;
}

void desk_story(struct ask *a, void *arg)
{
	const char *kind = ask_query(a, "kind"), *value = ask_query(a, "value");
	struct reading *r;

	if (!kind || !value || strlen(value) >= sizeof(r->value)) {
		ask_refuse(a, ERR_FORMAT, "ask as /v1/story?kind=equipment&value=ID");
		return;
	}
	if (!knows(desk_of(arg)->conf.kinds, kind)) {
		ask_refuse(a, ERR_RANGE, "this role has no stories of kind `%.40s`", kind);
		return;
	}
	r = reading_new(a, arg);
	if (!r)
		return;
	snprintf(r->kind, sizeof(r->kind), "%s", kind);
	snprintf(r->value, sizeof(r->value), "%s", value);
	store_run(r->desk->conf.store, story_read, r, was_read);
}
