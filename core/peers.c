/* SPDX-License-Identifier: Apache-2.0 */
#include "core/peers.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEERS_MAX = 10000, RANGES_MAX = 1000 };

static const struct conf_item range_item[] = {
	{ NULL, CONF_TEXT, 0, 16, 0, 0, NULL, "leading digits", 0, NULL, 0 },
};

const struct conf_item peer_schema[] = {
	{ "role", CONF_TEXT, offsetof(struct peer, party.role), ROLE_MAX, 0, 0, NULL, "the role word", 0, NULL, 0 },
	{ "id", CONF_TEXT, offsetof(struct peer, party.id), ID_MAX, 0, 0, NULL, "its id as in its certificate", 0, NULL, 0 },
	{ "address", CONF_ADDRESS, CONF_AT(struct peer, address), 0, 0, "", "where it serves us", 0, NULL, 0 },
	{ "gsup", CONF_ADDRESS, CONF_AT(struct peer, gsup), 0, 0, "", "its GSUP listener (for visited)", 0, NULL, 0 },
	{ "access", CONF_ADDRESS, CONF_AT(struct peer, access), 0, 0, "", "its access gateway (for visited)", 0, NULL, 0 },
	{ "ocsp", CONF_ADDRESS, CONF_AT(struct peer, ocsp), 0, 0, "", "its OCSP responder (attestation)", 0, NULL, 0 },
	{ "range", CONF_LIST, offsetof(struct peer, range), sizeof(struct conf_list), 0, RANGES_MAX, "",
		"leading digits of the identities that are its own (for visited)", 0, range_item, 16 },
	CONF_END,
};

struct peers {
	struct peer *list;
	size_t n;
};

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
	for (size_t i = 0; i < p->range.n && !e; i++)
		if (!text_digits((char *)p->range.item + i * 16))
			e = fail(w, ERR_FORMAT, "%s: range `%s` is not digits", path, (char *)p->range.item + i * 16);
	if (e)
		conf_free(peer_schema, p);
	return e;
}

enum err peers_read(const char *dir, struct peers **out, struct why *w)
{
	struct dirent **names = NULL;
	char path[1024];
	struct peers *p = calloc(1, sizeof(*p));
	enum err e = p ? OK : ERR_NOMEM;
	int n = 0;

	snprintf(path, sizeof(path), "%s/peers", dir);
	if (!e)
		n = scandir(path, &names, yaml_file, alphasort);
	if (n > PEERS_MAX)
		e = fail(w, ERR_LIMIT, "%s: %d peers; at most %d", path, n, PEERS_MAX);
	if (!e && n > 0)
		p->list = calloc((size_t)n, sizeof(*p->list));
	if (!e && n > 0 && !p->list)
		e = ERR_NOMEM;
	for (int i = 0; i < n && !e; i++) {
		snprintf(path, sizeof(path), "%s/peers/%s", dir, names[i]->d_name);
		e = peer_read(path, dir, p->list + p->n, w);
		p->n += !e;
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (e) {
		peers_free(p);
		return e;
	}
	*out = p;
	return OK;
}

void peers_free(struct peers *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++)
		conf_free(peer_schema, p->list + i);
	free(p->list);
	free(p);
}

const struct peer *peers_find(const struct peers *p, const char *role, const char *id)
{
	for (size_t i = 0; p && i < p->n; i++)
		if (!strcmp(p->list[i].party.id, id) && !strcmp(p->list[i].party.role, role))
			return p->list + i;
	return NULL;
}

size_t peers_count(const struct peers *p)
{
	return p->n;
}

const struct peer *peers_at(const struct peers *p, size_t i)
{
	return i < p->n ? p->list + i : NULL;
}

const struct peer *peers_by_range(const struct peers *p, const char *digits)
{
	const struct peer *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < p->list[i].range.n; k++) {
			const char *range = (const char *)p->list[i].range.item + k * 16;
			size_t n = strlen(range);

			if (n > longest && !strncmp(digits, range, n)) {
				best = p->list + i;
				longest = n;
			}
		}
	return best;
}
