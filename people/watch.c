/* SPDX-License-Identifier: Apache-2.0 */
/* Follows the journeys of a fleet: a line per event while it happens, a table at the end. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "people/people.h"

enum { FLEET_MAX = 20000, POLL_MS = 100, ROOM = 700 };

static const char *const steps[] = { "attach", "discover", "verify", "provision", "install" };
enum { STEPS = sizeof(steps) / sizeof(*steps) };

struct traveller {
	char dir[96], id[96], text[256];
	long at;                   /* read so far of its journey */
	int64_t began, ms[STEPS];  /* when each step was last told, from the beginning */
	int64_t sent, received, turns;
	int done, refused;
};
struct watch {
	const char *dir, *until;
	struct traveller *one;
	size_t n, done;
	int64_t began;
	int json, quiet;
};

static int step_number(const char *step)
{
	for (int i = 0; i < STEPS; i++)
		if (!strcmp(steps[i], step))
			return i;
	return -1;
}

/* The goal of a step is told with these words (doc/journey.md). */
static int reached(const struct watch *w, const char *step, const char *text)
{
	static const char *const words[STEPS] = { "has limited access", "is to go to", "has proved itself", "has its package", "is operative" };
	int i = step_number(w->until);

	return i >= 0 && !strcmp(step, w->until) && strstr(text, words[i]) != NULL;
}

static void line_show(const struct watch *w, const struct traveller *t, int64_t at, const char *step, const char *text)
{
	if (w->quiet)
		return;
	printf("%7.2fs  %-16s %-9s %s\n", (double)(at - w->began) / 1000, t->id, step, text);
	fflush(stdout);
}

static void line_take(struct watch *w, struct traveller *t, const char *line)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *step, *text, *id;
	json_int_t at, sent, received, turns;
	int i;

	if (!json_unpack(o, "{s:I, s:s, s:s, s:s, s:I, s:I, s:I}", "at_ms", &at, "equipment", &id, "step", &step, "text", &text, "sent", &sent,
		"received", &received, "turns", &turns)) {
		snprintf(t->id, sizeof(t->id), "%s", id);
		t->began = t->began ? t->began : at;
		i = step_number(step);
		if (i >= 0)
			t->ms[i] = at - t->began;
		t->sent = sent;
		t->received = received;
		t->turns = turns;
		snprintf(t->text, sizeof(t->text), "%s", text);
		line_show(w, t, at, step, text);
		if (!t->done && reached(w, step, text)) {
			t->done = 1;
			w->done++;
		}
	}
	json_decref(o);
}

static void follow(struct watch *w, struct traveller *t)
{
	char path[ROOM], line[2048];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s/journey", w->dir, t->dir);
	f = fopen(path, "re");
	if (!f)
		return;
	fseek(f, t->at, SEEK_SET);
	while (fgets(line, sizeof(line), f) && strchr(line, '\n')) {
		t->at = ftell(f);
		line_take(w, t, line);
	}
	fclose(f);
}

static int is_equipment(const struct dirent *d)
{
	return d->d_name[0] != '.' && strchr(d->d_name, '_') && strlen(d->d_name) < 96;
}

static int fleet_read(struct watch *w)
{
	struct dirent **d = NULL;
	int n = scandir(w->dir, &d, is_equipment, alphasort);

	w->one = calloc(n > 0 ? (size_t)n : 1, sizeof(*w->one));
	for (int i = 0; i < n; i++) {
		if (w->one)
			snprintf(w->one[w->n++].dir, sizeof(w->one->dir), "%s", d[i]->d_name);
		free(d[i]);
	}
	free(d);
	return w->one && n > 0;
}

static void table(const struct watch *w)
{
	printf("\n%-18s", "equipment");
	for (int i = 0; i < STEPS; i++)
		printf(" %10s", steps[i]);
	printf(" %9s %9s %6s  %s\n", "sent", "received", "turns", "state");
	for (size_t k = 0; k < w->n; k++) {
		const struct traveller *t = w->one + k;

		printf("%-18s", *t->id ? t->id : t->dir);
		for (int i = 0; i < STEPS; i++)
			if (t->ms[i])
				printf(" %8.2f s", (double)t->ms[i] / 1000);
			else
				printf(" %10s", "-");
		printf(" %9lld %9lld %6lld  %s\n", (long long)t->sent, (long long)t->received, (long long)t->turns, t->done ? "done" : t->text);
	}
	printf("\n%zu of %zu reached: %s\n", w->done, w->n, w->until);
}

int watch_fleet(struct words *words)
{
	const struct timespec pause = { 0, POLL_MS * 1000000 };
	const char *patience = words_option(words, "timeout");
	struct watch w = { .until = words_option(words, "until"), .quiet = words_flag(words, "quiet"), .began = clock_now_ms() };
	int64_t seconds = 60;

	if (!words_left(words, 1, "watch FLEET [--until STEP] [--timeout SECONDS] [--quiet]"))
		return USAGE;
	w.until = w.until ? w.until : "install";
	if (step_number(w.until) < 0 || (patience && text_number(patience, 1, 86400, &seconds))) {
		sorry("--until is one of attach discover verify provision install; --timeout is in seconds");
		return USAGE;
	}
	w.dir = words->v[0];
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* ends with who started it */
	if (!fleet_read(&w))
		return sorry("%s: no equipment in it; `usher factory enrol` makes some", w.dir);
	do {
		for (size_t i = 0; i < w.n; i++)
			follow(&w, w.one + i);
		if (w.done < w.n)
			nanosleep(&pause, NULL);
	} while (w.done < w.n && clock_now_ms() - w.began < seconds * 1000);
	table(&w);
	free(w.one);
	return w.done == w.n ? DONE : FAILED;
}
