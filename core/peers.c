/* SPDX-License-Identifier: Apache-2.0 */
#include "core/peers.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEERS_MAX = 10000, RANGES_MAX = 1000 };

static const struct conf_item range_item[] = {
	{ NULL, CONF_TEXT, 0, 16, 0, 0, NULL, "leading digits", 0, NULL, 0 },
};

const struct conf_item peer_schema[] = {
	{ "role", CONF_TEXT, offsetof(struct peer, party.role), ROLE_MAX, 0, 0, NULL, "the role word", 1, NULL, 0 },
	{ "id", CONF_TEXT, offsetof(struct peer, party.id), ID_MAX, 0, 0, NULL, "its id as in its certificate", 1, NULL, 0 },
	{ "address", CONF_ADDRESS, CONF_AT(struct peer, address), 0, 0, "", "where it serves us", 1, NULL, 0 },
	{ "gsup", CONF_ADDRESS, CONF_AT(struct peer, gsup), 0, 0, "", "its GSUP listener (for visited)", 1, NULL, 0 },
	{ "access", CONF_ADDRESS, CONF_AT(struct peer, access), 0, 0, "", "its access gateway (for visited)", 1, NULL, 0 },
	{ "ocsp", CONF_ADDRESS, CONF_AT(struct peer, ocsp), 0, 0, "",
		"the responder of the CA that issued its signing certificate (attestation: its own; factory: of its equipments)", 1, NULL, 0 },
	{ "range", CONF_LIST, offsetof(struct peer, range), sizeof(struct conf_list), 0, RANGES_MAX, "",
		"leading digits of the identities that are its own (for visited)", 1, range_item, 16 },
	CONF_END,
};

/* One reading of the folder. */
struct reading {
	struct reading *before; /* kept: somebody may still look at one of its peers */
	size_t n;
	struct peer list[];
};

struct peers {
	_Atomic(struct reading *) now; /* transactions look from the store's thread */
};

static const struct reading *now(const struct peers *p)
{
	return atomic_load(&((struct peers *)(uintptr_t)p)->now);
}

static int yaml_file(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && d->d_name[0] != '.' && !strcmp(d->d_name + n - 5, ".yaml");
}

/* Ports that `usher run` found. One that is not known yet stays as it is written: whoever calls that peer hears so. */
static void ports_resolve(struct peer *p)
{
	char *const texts[] = { p->address, p->gsup, p->access, p->ocsp };
	char plain[sizeof(p->address)];
	struct why unused;

	for (int i = 0; i < 4; i++)
		if (!conf_resolve(texts[i], plain, sizeof(plain), &unused))
			memcpy(texts[i], plain, sizeof(plain));
}

static enum err peer_read(const char *path, const char *dir, struct peer *p, struct why *w)
{
	enum err e = conf_read(path, dir, peer_schema, p, w);

	if (e)
		return e;
	ports_resolve(p);
	if (!cert_role_number(p->party.role))
		e = fail(w, ERR_RANGE, "%s: role `%s` is none of usher's", path, p->party.role);
	else if (!cert_id_good(p->party.id))
		e = fail(w, ERR_FORMAT, "%s: id `%s`: letters, digits and . : _ + - only", path, p->party.id);
	for (size_t i = 0; i < p->range.n && !e; i++)
		if (!text_digits((char *)p->range.item + i * 16))
			e = fail(w, ERR_FORMAT, "%s: range `%s` is not digits", path, (char *)p->range.item + i * 16);
	if (e)
		conf_free(peer_schema, p);
	return e;
}

static enum err no_twins(const struct reading *r, const char *path, struct why *w)
{
	for (size_t i = 0; i + 1 < r->n; i++)
		if (!strcmp(r->list[i].party.role, r->list[r->n - 1].party.role) && !strcmp(r->list[i].party.id, r->list[r->n - 1].party.id))
			return fail(w, ERR_EXISTS, "%s: %s %s stands in another file too; remove one", path, r->list[i].party.role, r->list[i].party.id);
	return OK;
}

static void reading_free(struct reading *r)
{
	for (size_t i = 0; r && i < r->n; i++)
		conf_free(peer_schema, r->list + i);
	free(r);
}

static enum err folder_read(const char *dir, struct dirent **names, int n, struct reading **out, struct why *w)
{
	struct reading *r = calloc(1, sizeof(*r) + (size_t)n * sizeof(*r->list));
	char path[1024];
	enum err e = r ? OK : ERR_NOMEM;

	for (int i = 0; i < n && !e; i++) {
		if (snprintf(path, sizeof(path), "%s/peers/%s", dir, names[i]->d_name) >= (int)sizeof(path))
			e = fail(w, ERR_LIMIT, "%s: the path is too long", dir);
		else
			e = peer_read(path, dir, r->list + r->n, w);
		r->n += !e;
		if (!e)
			e = no_twins(r, path, w);
	}
	if (e)
		reading_free(r);
	else
		*out = r;
	return e;
}

enum err peers_reload(struct peers *p, const char *dir, struct why *w)
{
	struct dirent **names = NULL;
	struct reading *r = NULL;
	char path[1024];
	enum err e = OK;
	int n;

	if (snprintf(path, sizeof(path), "%s/peers", dir) >= (int)sizeof(path))
		return fail(w, ERR_LIMIT, "%s: the path is too long", dir);
	n = scandir(path, &names, yaml_file, alphasort);
	if (n < 0 && errno != ENOENT)
		return fail(w, ERR_IO, "%s: %s", path, strerror(errno));
	if (n > PEERS_MAX)
		e = fail(w, ERR_LIMIT, "%s: %d peers; at most %d", path, n, PEERS_MAX);
	if (!e)
		e = folder_read(dir, names, n > 0 ? n : 0, &r, w);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (e)
		return e;
	r->before = atomic_load(&p->now);
	atomic_store(&p->now, r);
	return OK;
}

enum err peers_read(const char *dir, struct peers **out, struct why *w)
{
	struct peers *p = calloc(1, sizeof(*p));
	enum err e = p ? peers_reload(p, dir, w) : ERR_NOMEM;

	if (e)
		free(p);
	else
		*out = p;
	return e;
}

void peers_free(struct peers *p)
{
	struct reading *before;

	if (!p)
		return;
	for (struct reading *r = atomic_load(&p->now); r; r = before) {
		before = r->before;
		reading_free(r);
	}
	free(p);
}

const struct peer *peers_find(const struct peers *p, const char *role, const char *id)
{
	const struct reading *r = p ? now(p) : NULL;

	for (size_t i = 0; r && i < r->n; i++)
		if (!strcmp(r->list[i].party.id, id) && !strcmp(r->list[i].party.role, role))
			return r->list + i;
	return NULL;
}

size_t peers_count(const struct peers *p)
{
	return now(p)->n;
}

const struct peer *peers_at(const struct peers *p, size_t i)
{
	return i < now(p)->n ? now(p)->list + i : NULL;
}

const struct peer *peers_by_range(const struct peers *p, const char *digits)
{
	const struct reading *r = now(p);
	const struct peer *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->list[i].range.n; k++) {
			const char *range = (const char *)r->list[i].range.item + k * 16;
			size_t n = strlen(range);

			if (n > longest && !strncmp(digits, range, n)) {
				best = r->list + i;
				longest = n;
			}
		}
	return best;
}
