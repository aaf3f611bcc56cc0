/* SPDX-License-Identifier: Apache-2.0 */
/* Follows the journeys of a fleet: a line per event while it happens, a table at the end. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "people/people.h"

enum { POLL_MS = 100, ROOM = 700 };

/* A step is reached when the equipment says these words of it; a file `journey` is a line of JSON per event (usher-equipment(8)). */
static const struct step {
	const char *word, *goal;
} steps[] = {
	{ "attach", "has limited access" }, { "discover", "is to go to" }, { "verify", "has proved itself" }, { "provision", "has its package" },
	{ "install", "is operative" },
};
enum { STEPS = sizeof(steps) / sizeof(*steps) };

struct tally {
	int64_t sent, received, turns;
};
struct traveller {
	char dir[96], id[96], text[256], step[16];
	long at;                    /* read so far of its journey */
	int64_t began, ms[STEPS];   /* when each step was first reached, from its first line on; 0: not yet */
	struct tally run, before;   /* since it was switched on; in the runs before */
	int done;
};
struct watch {
	const char *dir;
	int until, json, quiet, rows; /* rows: of the terminal on which the fleet is shown in place, or 0 */
	struct traveller *one;
	size_t n, done;
	int64_t began, first, drawn;
	int shown, changed;         /* lines on the terminal that are written anew */
};

static int step_number(const char *word)
{
	for (int i = 0; i < STEPS; i++)
		if (!strcmp(steps[i].word, word))
			return i;
	return -1;
}

/* --- reading the journeys --- */

static void line_show(const struct watch *w, const struct traveller *t, int64_t at, json_t *o)
{
	if (w->quiet || w->rows)
		return;
	if (w->json)
		json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	else
		printf("%7.2fs  %-16s %-9s %s", (double)(at - w->first) / 1000, t->id, t->step, t->text);
	putchar('\n');
	fflush(stdout);
}

/* The counters begin anew when the equipment is switched on again. */
static void tally_take(struct traveller *t, struct tally now)
{
	if (now.turns < t->run.turns || now.sent < t->run.sent) {
		t->before.sent += t->run.sent;
		t->before.received += t->run.received;
		t->before.turns += t->run.turns;
	}
	t->run = now;
}

static void line_take(struct watch *w, struct traveller *t, const char *line)
{
	json_t *o = json_loads(line, 0, NULL);
	const char *step, *text, *id;
	json_int_t at, sent, received, turns;

	if (!json_unpack(o, "{s:I, s:s, s:s, s:s, s:I, s:I, s:I}", "at_ms", &at, "equipment", &id, "step", &step, "text", &text, "sent", &sent,
		"received", &received, "turns", &turns)) {
		snprintf(t->id, sizeof(t->id), "%s", id);
		snprintf(t->step, sizeof(t->step), "%s", step);
		snprintf(t->text, sizeof(t->text), "%s", text);
		w->first = w->first ? w->first : at;
		t->began = t->began ? t->began : at;
		for (int i = 0; i < STEPS; i++)
			if (!t->ms[i] && strstr(text, steps[i].goal))
				t->ms[i] = at > t->began ? at - t->began : 1;
		tally_take(t, (struct tally){ sent, received, turns });
		line_show(w, t, at, o);
		w->changed = 1;
		if (!t->done && t->ms[w->until]) {
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

/* --- on a terminal: a line per equipment that is still under way, written over in place --- */

static int terminal_rows(const struct watch *w)
{
	const char *term = getenv("TERM");
	struct winsize s;

	if (w->quiet || w->json || !isatty(STDOUT_FILENO) || !term || !strcmp(term, "dumb") || ioctl(STDOUT_FILENO, TIOCGWINSZ, &s))
		return 0;
	return s.ws_row > 4 ? s.ws_row : 0;
}

static void in_place(struct watch *w)
{
	struct winsize s = { .ws_col = 80 };
	int lines = 1;

	if (!w->rows || (!w->changed && clock_now_ms() - w->drawn < 1000)) /* the seconds go on */
		return;
	w->changed = 0;
	w->drawn = clock_now_ms();
	(void)!ioctl(STDOUT_FILENO, TIOCGWINSZ, &s);
	if (w->shown)
		printf("\033[%dA", w->shown);
	printf("\r\033[J%zu of %zu reached %s, %.1f s\n", w->done, w->n, steps[w->until].word, (double)(clock_now_ms() - w->began) / 1000);
	for (size_t i = 0; i < w->n && lines < w->rows - 2; i++) {
		const struct traveller *t = w->one + i;

		if (t->done && w->n > (size_t)w->rows - 3)
			continue; /* room for those that are under way */
		printf("%-16.16s %-9s %.*s\n", *t->id ? t->id : t->dir, t->step, s.ws_col > 30 ? s.ws_col - 28 : 1, t->text);
		lines++;
	}
	w->shown = lines;
	fflush(stdout);
}

/* --- at the end --- */

static json_t *table_json(const struct watch *w)
{
	json_t *list = json_array();

	for (size_t k = 0; k < w->n; k++) {
		const struct traveller *t = w->one + k;
		json_t *ms = json_object();

		for (int i = 0; i < STEPS; i++)
			if (t->ms[i])
				json_object_set_new(ms, steps[i].word, json_integer(t->ms[i]));
		json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I, s:I, s:b, s:s}", "equipment", *t->id ? t->id : t->dir, "reached_ms", ms,
			"sent", (json_int_t)(t->before.sent + t->run.sent), "received", (json_int_t)(t->before.received + t->run.received),
			"turns", (json_int_t)(t->before.turns + t->run.turns), "done", t->done, "last", t->text));
	}
	return json_pack("{s:o, s:s, s:I, s:I}", "equipments", list, "until", steps[w->until].word, "reached", (json_int_t)w->done, "of", (json_int_t)w->n);
}

static void table(const struct watch *w)
{
	printf("\n%-18s", "equipment");
	for (int i = 0; i < STEPS; i++)
		printf(" %10s", steps[i].word);
	printf(" %9s %9s %6s  %s\n", "sent", "received", "turns", "state");
	for (size_t k = 0; k < w->n; k++) {
		const struct traveller *t = w->one + k;

		printf("%-18s", *t->id ? t->id : t->dir);
		for (int i = 0; i < STEPS; i++)
			if (t->ms[i])
				printf(" %8.2f s", (double)t->ms[i] / 1000);
			else
				printf(" %10s", "-");
		printf(" %9lld %9lld %6lld  %s\n", (long long)(t->before.sent + t->run.sent), (long long)(t->before.received + t->run.received),
			(long long)(t->before.turns + t->run.turns), t->done ? "done" : *t->text ? t->text : "was never switched on");
	}
	printf("\nwhen each step was first reached, from power-on; octets and round trips on the equipment's link\n%zu of %zu reached: %s\n", w->done, w->n,
		steps[w->until].word);
}

int watch_fleet(struct words *words)
{
	const struct timespec pause = { 0, POLL_MS * 1000000 };
	const char *patience = words_option(words, "timeout"), *until = words_option(words, "until");
	struct watch w = { .quiet = words_flag(words, "quiet"), .json = words->json, .began = clock_now_ms() };
	int64_t seconds = 60;

	if (!words_left(words, 1, "watch FLEET [--until STEP] [--timeout SECONDS] [--quiet]"))
		return USAGE;
	w.until = step_number(until ? until : "install");
	if (w.until < 0)
		return sorry("--until `%s` is none of attach discover verify provision install", until), USAGE;
	if (patience && text_number(patience, 1, 86400, &seconds))
		return sorry("--timeout `%s` is not a number of seconds, 1 to 86400", patience), USAGE;
	w.dir = words->v[0];
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* ends with who started it */
	if (!fleet_read(&w)) {
		free(w.one);
		return sorry("%s: no equipment in it; `usher factory enrol` makes some", w.dir);
	}
	w.rows = terminal_rows(&w);
	do {
		for (size_t i = 0; i < w.n; i++)
			follow(&w, w.one + i);
		in_place(&w);
		if (w.done < w.n)
			nanosleep(&pause, NULL);
	} while (w.done < w.n && clock_now_ms() - w.began < seconds * 1000);
	if (w.json)
		print_json(table_json(&w));
	else
		table(&w);
	free(w.one);
	return w.done == w.n ? DONE : FAILED;
}
