/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml.h>

#include "core/clock.h"
#include "core/loop.h"
#include "people/people.h"

enum { LISTENERS = 8, DIRS = 64, TICK_MS = 50, READY_MS = 20000, STOP_MS = 5000, RESTART_MOST_MS = 10000 };

struct listener {
	char name[24], address[300], bound[BOUND_MAX];
	int fd;
};
struct place {
	const char *dir;
	char role[ROLE_MAX], id[ID_MAX];
	struct listener listener[LISTENERS];
	int n, lock;
	pid_t pid;
	int ready;     /* its process says here that it is up; -1: it is, or it has none */
	int has_been_up;
	int64_t started_at, restart_at, backoff;
};
struct run {
	struct place place[DIRS];
	int n, verbose, temporary;
	int signals; /* signalfd */
	const char *remove; /* --remove DIR: instead of the places' own folders */
	int watcher; /* the end whose closing wakes the watcher */
};

/* --- the two keys of usher.yaml that concern us: role (with id) and listen --- */

static const char *text_of(yaml_document_t *d, int node)
{
	yaml_node_t *n = yaml_document_get_node(d, node);

	return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : "";
}

static void listeners_read(struct place *p, yaml_document_t *d, yaml_node_t *map)
{
	for (yaml_node_pair_t *kv = map->data.mapping.pairs.start; kv < map->data.mapping.pairs.top && p->n < LISTENERS; kv++) {
		struct listener *l = p->listener + p->n++;

		snprintf(l->name, sizeof(l->name), "%s", text_of(d, kv->key));
		snprintf(l->address, sizeof(l->address), "%s", text_of(d, kv->value));
		l->fd = -1;
	}
}

static void root_read(struct place *p, yaml_document_t *d, yaml_node_t *root)
{
	for (yaml_node_pair_t *kv = root->data.mapping.pairs.start; kv < root->data.mapping.pairs.top; kv++) {
		const char *key = text_of(d, kv->key);
		yaml_node_t *value = yaml_document_get_node(d, kv->value);

		if (!strcmp(key, "role"))
			snprintf(p->role, sizeof(p->role), "%s", text_of(d, kv->value));
		else if (!strcmp(key, "id"))
			snprintf(p->id, sizeof(p->id), "%s", text_of(d, kv->value));
		else if (!strcmp(key, "listen") && value && value->type == YAML_MAPPING_NODE)
			listeners_read(p, d, value);
	}
}

static int place_read(struct place *p, const char *dir)
{
	char path[700];
	yaml_parser_t parser;
	yaml_document_t d;
	yaml_node_t *root;
	FILE *f;
	int bad = 0;

	p->dir = dir;
	p->ready = -1;
	snprintf(path, sizeof(path), "%s/usher.yaml", dir);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? sorry("%s: %s; `usher setup ROLE %s` makes it", path, strerror(errno), dir)
			: sorry("%s: %s; a role's folder is read by its own user only", path, strerror(errno));
	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, f);
	if (yaml_parser_load(&parser, &d)) {
		root = yaml_document_get_root_node(&d);
		if (root && root->type == YAML_MAPPING_NODE)
			root_read(p, &d, root);
		yaml_document_delete(&d);
	} else {
		sorry("%s:%zu: not YAML: %s", path, parser.problem_mark.line + 1, parser.problem ? parser.problem : "?");
		bad = 1;
	}
	yaml_parser_delete(&parser);
	fclose(f);
	if (!bad && !cert_role_number(p->role))
		return sorry("%s: `role: ...` is missing or no role of usher's", path);
	return bad ? FAILED : DONE;
}

/* --- binding, for all folders before any role starts: they refer to each other --- */

/* Two that serve one folder would write one database under two ports. */
static int place_lock(struct place *p)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/run", p->dir);
	(void)!mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/run/lock", p->dir);
	p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->lock < 0)
		return sorry("%s: %s", path, strerror(errno));
	return flock(p->lock, LOCK_EX | LOCK_NB) ? sorry("%s: another `usher run` serves this folder, or it is named twice; end that one first", p->dir) : DONE;
}

static int ports_write(const struct place *p)
{
	char path[700], part[700];
	FILE *f;

	snprintf(path, sizeof(path), "%s/run/ports", p->dir);
	snprintf(part, sizeof(part), "%s/run/ports.part", p->dir);
	f = fopen(part, "we");
	if (!f)
		return sorry("%s: %s", part, strerror(errno));
	for (int i = 0; i < p->n; i++)
		fprintf(f, "%s %s\n", p->listener[i].name, p->listener[i].bound);
	return fclose(f) || rename(part, path) ? sorry("%s: %s", path, strerror(errno)) : DONE;
}

static int place_bind(struct place *p)
{
	struct why w = { "" };

	if (place_lock(p))
		return FAILED;
	for (int i = 0; i < p->n; i++) {
		struct listener *l = p->listener + i;
		enum socket_kind kind = strncmp(l->address, "udp://", 6) ? SOCKET_TCP : SOCKET_UDP;

		if (loop_socket(l->name, l->address, kind, &l->fd, l->bound, &w))
			return sorry("%s: %s", p->dir, w.text);
	}
	return ports_write(p);
}

/* --- a role's process --- */

static void log_to(const struct run *r, const struct place *p)
{
	char path[600];
	int fd;

	if (r->verbose)
		return;
	snprintf(path, sizeof(path), "%s/run/log", p->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

static void become(const struct run *r, const struct place *p, int ready, pid_t parent)
{
	char names[LISTENERS * 25] = "", number[16], path[PROGRAM_ROOM];
	int high[LISTENERS + 1];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	log_to(r, p);
	for (int i = 0; i < p->n; i++) /* out of the way first: 3, 4, ... may be in use */
		high[i] = fcntl(p->listener[i].fd, F_DUPFD_CLOEXEC, 100);
	high[p->n] = fcntl(ready, F_DUPFD_CLOEXEC, 100);
	for (int i = 0; i <= p->n; i++)
		dup2(high[i], 3 + i);
	for (int i = 0; i < p->n; i++) {
		strcat(names, i ? ":" : "");
		strcat(names, p->listener[i].name);
	}
	snprintf(number, sizeof(number), "%d", getpid());
	setenv("LISTEN_PID", number, 1);
	snprintf(number, sizeof(number), "%d", p->n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%d", 3 + p->n);
	setenv("USHER_READY_FD", number, 1);
	program_find(p->role, path);
	execlp(path, path, p->dir, (char *)NULL);
	fprintf(stderr, "usher: %s: %s\n", path, strerror(errno));
	_exit(127);
}

static void last_words(const struct run *r, const struct place *p)
{
	char path[600], line[600], last[600] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/run/log", p->dir);
	f = r->verbose ? NULL : fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		snprintf(last, sizeof(last), "%s", line);
	if (f)
		fclose(f);
	last[strcspn(last, "\n")] = 0;
	sorry("%s: usher-%s did not start: %s", p->dir, p->role, *last ? last : r->verbose ? "it said so above" : "it said nothing");
}

static int place_start(const struct run *r, struct place *p)
{
	int ready[2];
	pid_t parent = getpid();

	p->started_at = clock_mono_ms();
	p->restart_at = p->started_at + RESTART_MOST_MS; /* if there is no process now */
	if (pipe2(ready, O_CLOEXEC))
		return sorry("pipe: %s", strerror(errno));
	p->pid = fork();
	if (!p->pid)
		become(r, p, ready[1], parent);
	close(ready[1]);
	p->ready = ready[0];
	return DONE;
}

/* --- watching: nothing here waits for one role alone --- */

static void place_is_up(struct place *p)
{
	p->has_been_up = 1;
	printf("%s %s is up", p->role, p->id);
	for (int i = 0; i < p->n; i++)
		printf("%s %s %s", i ? "," : ":", p->listener[i].name, p->listener[i].bound);
	printf("\n");
	fflush(stdout);
}

/* It says that it is up, or has ended, or its time is over. */
static void hear(const struct run *r, struct place *p, int says)
{
	char one;

	if (p->ready < 0 || (!says && clock_mono_ms() < p->started_at + READY_MS))
		return;
	if (says && read(p->ready, &one, 1) == 1) {
		place_is_up(p);
	} else {
		last_words(r, p);
		if (p->pid > 0)
			kill(p->pid, SIGKILL);
	}
	close(p->ready);
	p->ready = -1;
}

static void died(struct place *p, int status)
{
	p->pid = 0;
	if (!p->has_been_up)
		return; /* `usher run` ends with it */
	if (clock_mono_ms() - p->started_at > 10 * p->backoff) /* it lived: no crash loop */
		p->backoff = 0;
	p->backoff = p->backoff ? p->backoff * 2 : 100;
	p->backoff = p->backoff > RESTART_MOST_MS ? RESTART_MOST_MS : p->backoff;
	p->restart_at = clock_mono_ms() + p->backoff;
	printf("%s %s ended (%s %d); again in %lld ms; its log: %s/run/log\n", p->role, p->id, WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)p->backoff, p->dir);
	fflush(stdout);
}

static void look_after(const struct run *r, struct place *p)
{
	int status;

	if (p->pid > 0 && waitpid(p->pid, &status, WNOHANG) == p->pid)
		died(p, status);
	if (p->pid <= 0 && p->ready < 0 && p->has_been_up && clock_mono_ms() >= p->restart_at)
		(void)!place_start(r, p);
}

/* Until something happens. 0: we are told to stop. */
static int turn(struct run *r)
{
	struct pollfd f[1 + DIRS] = { { .fd = r->signals, .events = POLLIN } };
	struct signalfd_siginfo sig;
	int on = 1;

	for (int i = 0; i < r->n; i++)
		f[1 + i] = (struct pollfd){ .fd = r->place[i].ready, .events = POLLIN };
	if (poll(f, 1 + (nfds_t)r->n, TICK_MS) < 0)
		return 0;
	while (read(r->signals, &sig, sizeof(sig)) == sizeof(sig))
		on = on && sig.ssi_signo == SIGCHLD;
	for (int i = 0; on && i < r->n; i++) {
		hear(r, r->place + i, f[1 + i].revents);
		look_after(r, r->place + i);
	}
	return on;
}

/* One after the other, as they are given; the first that does not come up ends all. */
static int watch(struct run *r)
{
	for (int i = 0; i < r->n; i++) {
		if (place_start(r, r->place + i))
			return FAILED;
		while (r->place[i].ready >= 0)
			if (!turn(r))
				return DONE;
		if (!r->place[i].has_been_up)
			return FAILED;
	}
	while (turn(r))
		;
	return DONE;
}

static void stop_all(struct run *r)
{
	int64_t until = clock_mono_ms() + STOP_MS;
	int left = 1;

	for (int i = 0; i < r->n; i++)
		if (r->place[i].pid > 0)
			kill(r->place[i].pid, SIGTERM);
	while (left) {
		left = 0;
		for (int i = 0; i < r->n; i++) {
			struct place *p = r->place + i;

			if (p->pid <= 0 || waitpid(p->pid, NULL, WNOHANG) == p->pid) {
				p->pid = 0;
				continue;
			}
			left = 1;
			if (clock_mono_ms() > until)
				kill(p->pid, SIGKILL);
		}
		usleep(5000);
	}
}

/* --- --temporary: one process outlives us, whatever ends us, and takes the folders away --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st, (void)type, (void)f;
	return remove(path) && errno != ENOENT && errno != ENOTEMPTY;
}

static void watcher_start(struct run *r)
{
	int end[2];
	char one;

	if (pipe2(end, O_CLOEXEC))
		return;
	if (fork()) {
		close(end[0]);
		r->watcher = end[1];
		return;
	}
	close(end[1]);
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	while (read(end[0], &one, 1) < 0 && errno == EINTR)
		;
	for (int tries = 0; tries < 30; tries++) { /* roles die with their parent; one may still be writing */
		int left = 0;

		for (int i = 0; i < (r->remove ? 1 : r->n); i++) {
			const char *dir = r->remove ? r->remove : r->place[i].dir;

			nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
			left += !access(dir, F_OK);
		}
		if (!left)
			break;
		usleep(50000);
	}
	_exit(0);
}

int run_dirs(struct words *w)
{
	static struct run r; /* large, and there is one */
	sigset_t signals;
	pid_t parent = getppid();
	int code = DONE;

	r.verbose = words_flag(w, "verbose");
	r.temporary = words_flag(w, "temporary");
	r.remove = words_option(w, "remove");
	if (!w->n || w->n > DIRS) {
		sorry("usage: usher run [--temporary | --remove DIR] [--verbose] DIR... (at most %d)", DIRS);
		return USAGE;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r.signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (r.signals < 0 || getppid() != parent)
		return FAILED;
	for (; r.n < w->n && !code; r.n++)
		code = place_read(r.place + r.n, w->v[r.n]);
	if (!code && (r.temporary || r.remove))
		watcher_start(&r);
	for (int i = 0; i < r.n && !code; i++)
		code = place_bind(r.place + i);
	if (!code)
		code = watch(&r);
	stop_all(&r);
	return code;
}
