/* SPDX-License-Identifier: Apache-2.0 */
/* Step 0 as the production line does it: enrol, order, bind. Each may be given again: what is done stays, the rest is done. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/pem.h"
#include "people/people.h"
#include "proto/json.h"

enum { ROOM = PROGRAM_ROOM, OUT = 8192, FLEET_MAX = 100000, BATCH = 100, BIND = BATCH / 4 /* an equipment has at most 4 PIMSIs */, NAME = 96 };

struct fleet {
	struct asker *asker;
	const struct peer *peer;
	const char *dir;
	char program[ROOM];
	size_t n;
	char (*name)[NAME]; /* folders in dir, sorted: "acme_000001" */
};

/* --- the equipment's doors, one call each --- */

/* What it prints, without the line's end; NULL after it has said why on standard error. */
static char *door(const struct fleet *f, const char *name, const char *dir, const char *argument, char out[OUT])
{
	int pipes[2], status = 0;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		execlp(f->program, "usher-equipment", name, dir, argument, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	while (n + 1 < OUT && (got = read(pipes[0], out + n, OUT - 1 - n)) > 0)
		n += (size_t)got;
	close(pipes[0]);
	out[n] = 0;
	out[strcspn(out, "\n")] = 0;
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status ? out : NULL;
}

/* --- files beside the tre --- */

/* Whole or not at all: that a file is there says that a step is done. */
static int file_write(const char *path, struct bytes b)
{
	char part[ROOM + 100];
	FILE *f;
	int ok;

	snprintf(part, sizeof(part), "%s.part", path);
	f = fopen(part, "we");
	ok = f && !fchmod(fileno(f), 0600) && fwrite(b.p, 1, b.n, f) == b.n && !fflush(f) && !fsync(fileno(f));
	if (f)
		fclose(f);
	return ok && !rename(part, path) ? DONE : sorry("%s: %s", path, strerror(errno));
}

static int file_text(const char *dir, const char *name, char *dst, size_t cap)
{
	char path[ROOM];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	n = f ? fread(dst, 1, cap - 1, f) : 0;
	if (f)
		fclose(f);
	dst[n] = 0;
	dst[strcspn(dst, "\n")] = 0;
	return n > 0;
}

/* Adds a line, once. */
static int file_line(const char *path, const char *line)
{
	char have[OUT] = "\n", want[128];
	FILE *f = fopen(path, "ae+");
	size_t n = f ? fread(have + 1, 1, sizeof(have) - 2, f) : 0;
	int ok = f != NULL;

	have[n + 1] = 0;
	snprintf(want, sizeof(want), "\n%s\n", line);
	if (f && !strstr(have, want))
		ok = !fchmod(fileno(f), 0600) && fprintf(f, "%s\n", line) > 0 && !fflush(f) && !fsync(fileno(f));
	if (f)
		fclose(f);
	return ok ? DONE : sorry("%s: %s", path, strerror(errno));
}

static int file_copy(const char *from, const char *to)
{
	char text[OUT];
	FILE *f = fopen(from, "re");
	size_t n = f ? fread(text, 1, sizeof(text), f) : 0;

	if (f)
		fclose(f);
	return n && n < sizeof(text) ? file_write(to, BYTES(text, n)) : sorry("%s: cannot be read", from);
}

static const struct peer *only_peer(struct asker *a, const char *role, const char *id)
{
	const struct peer *found = NULL;

	for (size_t i = 0; i < peers_count(asker_peers(a)); i++) {
		const struct peer *p = peers_at(asker_peers(a), i);

		if (!strcmp(p->party.role, role) && (!id || !strcmp(p->party.id, id)))
			found = p;
	}
	if (!found)
		sorry("this folder knows no %s%s%s; `usher peer add DIR %s ID --address HOST:PORT`", role, id ? " " : "", id ? id : "", role);
	return found;
}

static int is_equipment(const struct dirent *d)
{
	return d->d_name[0] != '.' && strchr(d->d_name, '_') && strlen(d->d_name) < NAME;
}

static int fleet_open(struct fleet *f, struct words *w, const char *dir, const char *role, const char *id)
{
	struct dirent **d = NULL;
	int n;

	f->dir = dir;
	f->asker = asker_open(w, NULL);
	f->peer = f->asker ? only_peer(f->asker, role, id) : NULL;
	program_find("equipment", f->program);
	if (!f->peer)
		return 0;
	n = scandir(dir, &d, is_equipment, alphasort);
	f->name = calloc(n > 0 ? (size_t)n : 1, sizeof(*f->name));
	for (int i = 0; i < n; i++) {
		if (f->name)
			snprintf(f->name[f->n++], NAME, "%s", d[i]->d_name);
		free(d[i]);
	}
	free(d);
	return f->name != NULL;
}

static int fleet_close(struct fleet *f, int code)
{
	asker_close(f->asker);
	free(f->name);
	return code;
}

/* Folder names stand for ids: the maker's colon is an underscore there. */
static void id_of(const char *name, char id[NAME])
{
	snprintf(id, NAME, "%s", name);
	*strchr(id, '_') = ':';
}

/* --- enrol --- */

static int est(struct fleet *f, const char *csr, const char *path)
{
	const struct request q = { .address = f->peer->address, .peer_id = f->peer->party.id, .path = "/.well-known/est/simpleenroll" };
	struct why w = { "" };

	return certificates_fetch(f->asker, q, csr, path, &w) ? sorry("%s", w.text) : DONE;
}

static int enrol_one(struct fleet *f, const char *dir, const char *id, const char *roots)
{
	static const char *const keys[] = { "attest", "deliver" };
	char out[OUT], path[ROOM];

	snprintf(path, sizeof(path), "%s/label", dir);
	if (!access(path, F_OK))
		return DONE; /* the label is the last step */
	if (!door(f, "make", dir, id, out)) /* the same again is done */
		return FAILED;
	snprintf(path, sizeof(path), "%s/roots.pem", dir); /* the agent's, for TLS */
	if (!door(f, "load-roots", dir, roots, out) || file_copy(roots, path))
		return FAILED;
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s.pem", dir, keys[i]);
		if (!door(f, "csr", dir, keys[i], out) || est(f, out, path) || !door(f, "load-cert", dir, path, out))
			return FAILED;
	}
	if (!door(f, "label", dir, NULL, out))
		return FAILED;
	snprintf(path, sizeof(path), "%s/label", dir);
	return file_write(path, bytes_text(out));
}

int factory_enrol(struct words *w)
{
	const char *maker = words_option(w, "maker"), *first = words_option(w, "first"), *count = words_option(w, "count");
	struct fleet f = { 0 };
	int64_t from = 1, n = 0;
	char dir[ROOM], id[NAME], roots[ROOM];
	int code = DONE;

	if (!words_left(w, 1, "factory enrol FLEET --maker MAKER --count N [--first N]"))
		return USAGE;
	if (!maker || !count || text_number(count, 1, FLEET_MAX, &n) || (first && text_number(first, 1, 999999, &from)) || strlen(maker) > 32)
		return sorry("needed: --maker MAKER --count N (1 to %d) [--first N]", FLEET_MAX), USAGE;
	if (!cert_id_good(maker) || strchr(maker, ':'))
		return sorry("`%s` is no maker's name; letters, digits and . _ + - only, as in the factory's certificate", maker), USAGE;
	if (!fleet_open(&f, w, w->v[0], "attestation", NULL))
		return fleet_close(&f, FAILED);
	if (mkdir(w->v[0], 0700) && errno != EEXIST)
		return fleet_close(&f, sorry("%s: %s", w->v[0], strerror(errno)));
	snprintf(roots, sizeof(roots), "%s/roots.pem", w->as);
	for (int64_t i = 0; i < n && !code; i++) {
		snprintf(id, sizeof(id), "%s:%06lld", maker, (long long)(from + i));
		snprintf(dir, sizeof(dir), "%s/%s_%06lld", w->v[0], maker, (long long)(from + i));
		code = enrol_one(&f, dir, id, roots);
		progress("enrolled", (size_t)i + 1, (size_t)n);
	}
	if (code)
		sorry("stopped at %s; what is enrolled stays. Give the same command again", id);
	else
		answer(w, json_pack("{s:s, s:s, s:I}", "fleet", w->v[0], "maker", maker, "enrolled", (json_int_t)n), "%lld equipments of %s enrolled in %s",
			(long long)n, maker, w->v[0]);
	return fleet_close(&f, code);
}

/* --- order --- */

static json_t *pem_json(const char *dir, const char *name, int which)
{
	char path[ROOM];
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	uint8_t *der = NULL;
	int n = -1;
	json_t *v = NULL;

	snprintf(path, sizeof(path), "%s/%s.pem", dir, name);
	if (!cert_load(path, &leaf, &chain, NULL))
		n = i2d_X509(which ? sk_X509_value(chain, 0) : leaf, &der);
	if (n > 0)
		v = json_b64(BYTES(der, n));
	OPENSSL_free(der);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return v;
}

static int order_take(struct fleet *f, json_t *one)
{
	const char *equipment = json_string_value(json_object_get(one, "equipment"));
	char dir[ROOM], path[ROOM + 16], name[NAME], out[OUT], line[64];
	uint8_t der[8192];
	size_t n = 0;

	if (!equipment || strlen(equipment) >= NAME || !strchr(equipment, ':') || json_get_b64(one, "order", der, sizeof(der), &n, NULL))
		return sorry("registration answers an order that cannot be read");
	snprintf(name, sizeof(name), "%s", equipment);
	*strchr(name, ':') = '_';
	snprintf(dir, sizeof(dir), "%s/%s", f->dir, name);
	snprintf(path, sizeof(path), "%s/order.der", dir);
	if (file_write(path, BYTES(der, n)) || !door(f, "load-order", dir, path, out))
		return FAILED;
	snprintf(path, sizeof(path), "%s/pimsi", dir); /* one line per PIMSI: an equipment may have several */
	snprintf(line, sizeof(line), "%s %s", out, f->peer->party.id);
	return file_line(path, line);
}

/*
 * Which equipments go out in which order is noted before it is sent, in FLEET/orders/<order>.<n>: a folder's name a line, and `loaded` at
 * the end. So the same command after an interruption, or after further equipments were made, sends the very same orders again.
 */
struct batch {
	char path[ROOM + 80];
	size_t member[BATCH], n; /* indexes into the fleet */
	int loaded;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void batch_path(const struct fleet *f, const char *order, size_t i, struct batch *b)
{
	snprintf(b->path, sizeof(b->path), "%s/orders/%s.%zu", f->dir, order, i);
}

/* 0: there is no such note. */
static int batch_read(const struct fleet *f, struct batch *b, char *noted)
{
	char line[NAME];
	FILE *file = fopen(b->path, "re");

	b->n = 0;
	b->loaded = 0;
	while (file && fgets(line, sizeof(line), file) && b->n < BATCH) {
		char (*at)[NAME];

		line[strcspn(line, "\n")] = 0;
		b->loaded |= !strcmp(line, "loaded");
		at = bsearch(line, f->name, f->n, sizeof(*f->name), by_name);
		if (!at)
			continue;
		b->member[b->n++] = (size_t)(at - f->name);
		noted[at - f->name] = 1;
	}
	if (file)
		fclose(file);
	return file != NULL;
}

static int batch_write(const struct fleet *f, const struct batch *b, int loaded)
{
	char text[BATCH * NAME + 16];
	struct wr t = wr_of(text, sizeof(text));

	for (size_t i = 0; i < b->n; i++)
		wr_printf(&t, "%s\n", f->name[b->member[i]]);
	if (loaded)
		wr_text(&t, "loaded\n");
	return wr_done(&t) ? FAILED : file_write(b->path, wr_view(&t));
}

static int batch_send(struct fleet *f, const struct batch *b)
{
	json_t *list = json_array(), *o, *one;
	char dir[ROOM], id[NAME];
	const char *name = strrchr(b->path, '/') + 1;
	size_t i;
	int code = DONE;

	for (i = 0; i < b->n; i++) {
		snprintf(dir, sizeof(dir), "%s/%s", f->dir, f->name[b->member[i]]);
		id_of(f->name[b->member[i]], id);
		json_array_append_new(list, json_pack("{s:s, s:o?}", "equipment", id, "delivery", pem_json(dir, "deliver", 0)));
	}
	o = asker_json(f->asker, f->peer, "/v1/manufacture/order", json_pack("{s:s, s:o?, s:o}", "order", name, "issuer",
		pem_json(dir, "deliver", 1), "equipments", list), NULL);
	if (!o)
		return sorry("stopped at order %s; what is loaded stays. Give the same command again", name);
	json_array_foreach(json_object_get(o, "equipments"), i, one)
		if (order_take(f, one))
			code = FAILED;
	json_decref(o);
	return code ? code : batch_write(f, b, 1);
}

/* Enrolled, and with a slot for its PIMSI: a number that no equipment takes would be issued for nothing. */
static int can_take(const struct fleet *f, const char *name)
{
	char dir[ROOM], path[ROOM + 8], out[OUT];

	snprintf(dir, sizeof(dir), "%s/%s", f->dir, name);
	snprintf(path, sizeof(path), "%s/label", dir);
	if (access(path, F_OK))
		return sorry("%s is not enrolled to its end and is left out; give `usher factory enrol` again", dir), 0;
	if (!door(f, "room", dir, NULL, out))
		return 0;
	if (!strcmp(out, "0"))
		return sorry("%s has no slot left for another PIMSI and is left out", dir), 0;
	return 1;
}

/* The equipments that no order of this name has yet, at most a batch of them; who cannot take one is left out and named once. */
static size_t batch_new(struct fleet *f, struct batch *b, char *noted, int *code)
{
	b->n = 0;
	for (size_t i = 0; i < f->n && b->n < BATCH; i++) {
		if (noted[i])
			continue;
		noted[i] = 1;
		if (can_take(f, f->name[i]))
			b->member[b->n++] = i;
		else
			*code = FAILED;
	}
	return b->n;
}

static int order_all(struct fleet *f, const char *order, size_t *loaded)
{
	struct batch b;
	char *noted = calloc(f->n + 1, 1);
	int code = noted ? DONE : FAILED, stop = !noted;

	for (size_t i = 0; !stop; i++) {
		batch_path(f, order, i, &b);
		if (!batch_read(f, &b, noted)) {
			if (!batch_new(f, &b, noted, &code))
				break;
			stop = batch_write(f, &b, 0);
		}
		if (!stop && !b.loaded)
			stop = batch_send(f, &b);
		*loaded += stop ? 0 : b.n;
		progress("ordered", *loaded, f->n);
	}
	free(noted);
	return stop ? FAILED : code;
}

static int order_name_good(const char *order)
{
	return order && *order && strlen(order) <= 48 && *order != '.'
		&& strspn(order, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == strlen(order);
}

int factory_order(struct words *w)
{
	const char *registration = words_option(w, "registration"), *order = words_option(w, "order");
	struct fleet f = { 0 };
	char path[ROOM];
	size_t loaded = 0;
	int code;

	if (!words_left(w, 1, "factory order FLEET --registration PLMN --order ID"))
		return USAGE;
	if (!registration || !order_name_good(order))
		return sorry("needed: --registration PLMN and --order ID (1 to 48 of letters, digits and ._-; the same id again gives the same PIMSIs)"), USAGE;
	if (!fleet_open(&f, w, w->v[0], "registration", registration))
		return fleet_close(&f, FAILED);
	if (!f.n)
		return fleet_close(&f, sorry("%s: no equipment in it; `usher factory enrol` makes some", w->v[0]));
	snprintf(path, sizeof(path), "%s/orders", w->v[0]);
	if (mkdir(path, 0700) && errno != EEXIST)
		return fleet_close(&f, sorry("%s: %s", path, strerror(errno)));
	code = order_all(&f, order, &loaded);
	if (loaded)
		answer(w, json_pack("{s:s, s:s, s:s, s:I}", "fleet", w->v[0], "registration", registration, "order", order, "loaded", (json_int_t)loaded),
			"%zu PIMSIs of %s loaded in %s", loaded, registration, w->v[0]);
	return fleet_close(&f, code);
}

/* --- bind, and the labels --- */

struct labels {
	FILE *file;
	size_t bound;
	char last[NAME]; /* whose line was written: an equipment has one label, whatever number of PIMSIs */
	int code;
};

/* A label is printed for what is bound, and for nothing else. */
static void bindings_answer(struct fleet *f, json_t *sent, json_t *o, struct labels *l)
{
	json_t *one;
	size_t i;

	json_array_foreach(json_object_get(o, "bindings"), i, one) {
		const char *result = json_string_value(json_object_get(one, "result")), *id, *key;

		if (json_unpack(json_array_get(sent, i), "{s:s, s:s}", "equipment", &id, "claim_key", &key))
			id = key = "?";
		if (!result || strcmp(result, "bound")) {
			l->code = sorry("%s, PIMSI %s: %s", id, json_string_value(json_object_get(one, "pimsi")), json_string_value(json_object_get(one, "why")));
			continue;
		}
		if (!strcmp(l->last, id))
			continue;
		snprintf(l->last, sizeof(l->last), "%s", id);
		l->bound++;
		fprintf(l->file, "%s,%s,%s\n", id, f->peer->party.id, key);
	}
}

/* A binding for every PIMSI that this registration operator issued to the equipment of the folder. */
static int bindings_add(struct fleet *f, const char *name, json_t *list)
{
	char dir[ROOM], path[ROOM + 8], id[NAME], label[64], hash[OUT], pimsi[32], by[64];
	size_t before = json_array_size(list);
	FILE *orders;

	snprintf(dir, sizeof(dir), "%s/%s", f->dir, name);
	snprintf(path, sizeof(path), "%s/pimsi", dir);
	id_of(name, id);
	orders = fopen(path, "re");
	if (orders && file_text(dir, "label", label, sizeof(label)) && door(f, "hash", dir, NULL, hash))
		while (fscanf(orders, "%31s %63s", pimsi, by) == 2)
			if (!strcmp(by, f->peer->party.id))
				json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "pimsi", pimsi, "equipment", id, "certificate", hash, "claim_key", label));
	if (orders)
		fclose(orders);
	return json_array_size(list) > before ? DONE
		: sorry("%s has no PIMSI of %s or no label and is left out; give `usher factory enrol` and `usher factory order` first", dir, f->peer->party.id);
}

static int bind_batch(struct fleet *f, size_t from, size_t to, struct labels *l)
{
	json_t *list = json_array(), *o = NULL;
	int stop = 0;

	for (size_t i = from; i < to; i++)
		if (bindings_add(f, f->name[i], list))
			l->code = FAILED;
	if (json_array_size(list)) {
		o = asker_json(f->asker, f->peer, "/v1/manufacture/bind", json_pack("{s:O}", "bindings", list), NULL);
		if (o)
			bindings_answer(f, list, o, l);
		else
			stop = l->code = sorry("stopped at %s; what is bound stays. Give the same command again", f->name[from]);
	}
	json_decref(list);
	json_decref(o);
	return stop;
}

int factory_bind(struct words *w)
{
	const char *registration = words_option(w, "registration");
	struct fleet f = { 0 };
	struct labels l = { 0 };
	char path[ROOM], part[ROOM + 8];
	int stop = 0;

	if (!words_left(w, 1, "factory bind FLEET --registration PLMN"))
		return USAGE;
	if (!registration)
		return sorry("needed: --registration PLMN"), USAGE;
	if (!fleet_open(&f, w, w->v[0], "registration", registration))
		return fleet_close(&f, FAILED);
	snprintf(path, sizeof(path), "%s/labels.csv", w->v[0]);
	snprintf(part, sizeof(part), "%s.part", path);
	l.file = f.n ? fopen(part, "we") : NULL;
	if (!l.file)
		return fleet_close(&f, f.n ? sorry("%s: %s", part, strerror(errno)) : sorry("%s: no equipment in it; `usher factory enrol` makes some", w->v[0]));
	fchmod(fileno(l.file), 0600);
	fprintf(l.file, "equipment,registration,claim_key\n");
	for (size_t i = 0; i < f.n && !stop; i += BIND) {
		size_t to = i + BIND < f.n ? i + BIND : f.n;

		stop = bind_batch(&f, i, to, &l);
		progress("bound", to, f.n);
	}
	if (fclose(l.file) || (!stop && rename(part, path)))
		l.code = sorry("%s: %s", path, strerror(errno));
	if (l.bound)
		answer(w, json_pack("{s:s, s:s, s:I, s:s}", "fleet", w->v[0], "registration", registration, "bound", (json_int_t)l.bound, "labels", path),
			"%zu equipments bound; their labels are in %s", l.bound, path);
	return fleet_close(&f, l.code);
}
