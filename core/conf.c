/* SPDX-License-Identifier: Apache-2.0 */
#include "core/conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/bytes.h"

enum { FILE_MAX_OCTETS = 1 << 20, DEPTH_MAX = 8, RECORDS_MAX = 10000, PATH_ROOM = 1024 };

/* Where we are, for messages. */
struct place {
	const char *file, *dir;
	yaml_document_t *doc;
	struct why *why;
	int depth;
};

static int line_of(const yaml_node_t *n)
{
	return (int)n->start_mark.line + 1;
}

static enum err complain(struct place *p, const yaml_node_t *n, enum err e, const char *name, const char *value, const char *next)
{
	return fail(p->why, e, "%s:%d: %s: `%s` %s", p->file, line_of(n), name, value, next);
}

/* --- scalars: text until their type reads them --- */

struct unit {
	const char *suffix;
	int64_t times;
};
static const struct unit seconds_units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 }, { NULL, 0 } };
static const struct unit octets_units[] = { { "", 1 }, { "KiB", 1024 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 }, { NULL, 0 } };
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };
static const struct unit *const units[] = { [CONF_INT] = no_units, [CONF_SECONDS] = seconds_units, [CONF_OCTETS] = octets_units, [CONF_LIST] = NULL };

static enum err number_read(const char *text, const struct unit *u, int64_t *out)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || errno || !strchr("-0123456789", *text))
		return ERR_FORMAT;
	for (; u->suffix; u++)
		if (!strcmp(end, u->suffix))
			return __builtin_mul_overflow((int64_t)n, u->times, out) ? ERR_RANGE : OK;
	return ERR_FORMAT;
}

/* As it would be written: in the largest unit that it is a whole number of. */
static void number_text(int64_t n, const struct unit *u, char dst[32])
{
	const struct unit *best = u;

	for (; n && u->suffix; u++)
		if (n % u->times == 0)
			best = u;
	snprintf(dst, 32, "%lld%s", (long long)(n / best->times), best->suffix);
}

static int plmn_good(const char *t)
{
	size_t n = strlen(t);

	if ((n != 6 && n != 7) || t[3] != '-')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (i != 3 && (t[i] < '0' || t[i] > '9'))
			return 0;
	return 1;
}

static enum err read_text(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	(void)p;
	return text_copy(at, it->size, text);
}

static enum err read_file(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	char path[PATH_ROOM];
	int n = snprintf(path, sizeof(path), *text == '/' || !*text ? "%.0s%s" : "%s/%s", p->dir, text);

	return n < (int)sizeof(path) ? text_copy(at, it->size, path) : ERR_LIMIT;
}

static enum err read_address(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	const char *bare = strncmp(text, "udp://", 6) ? text : text + 6;
	const char *ref = strstr(bare, ":@");
	char whole[PATH_ROOM], host[256];
	uint16_t port;
	struct why unused;
	int n;

	if (!*text)
		return text_copy(at, it->size, text);
	if (!ref)
		return conf_address(bare, host, sizeof(host), &port, &unused) ? ERR_FORMAT : text_copy(at, it->size, text);
	/* host:@FILE#NAME, FILE relative to the config's folder */
	n = snprintf(whole, sizeof(whole), "%.*s:@%s%s%s", (int)(ref - bare), bare, ref[2] == '/' ? "" : p->dir, ref[2] == '/' ? "" : "/", ref + 2);
	return n < (int)sizeof(whole) && strchr(ref, '#') ? text_copy(at, it->size, whole) : ERR_FORMAT;
}

static enum err read_plmn(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	(void)p;
	return plmn_good(text) ? text_copy(at, it->size, text) : ERR_FORMAT;
}

static enum err read_number(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	int64_t n;
	enum err e = number_read(text, units[it->type], &n);

	(void)p;
	if (!e && (n < it->min || (it->max && n > it->max)))
		e = ERR_RANGE;
	if (!e)
		memcpy(at, &n, sizeof(n));
	return e;
}

static enum err read_bool(struct place *p, const struct conf_item *it, const char *text, void *at)
{
	static const char *const words[] = { "no", "yes", "false", "true" };

	(void)p, (void)it;
	for (int i = 0; i < 4; i++)
		if (!strcmp(text, words[i])) {
			*(int *)at = i & 1;
			return OK;
		}
	return ERR_FORMAT;
}

static const struct {
	const char *word, *expected;
	enum err (*read)(struct place *, const struct conf_item *, const char *, void *);
} types[] = {
	[CONF_TEXT] = { "text", "is too long", read_text },
	[CONF_FILE] = { "file", "is too long for a path", read_file },
	[CONF_ADDRESS] = { "host:port", "is not host:port, [v6]:port or host:@FILE#NAME", read_address },
	[CONF_PLMN] = { "mcc-mnc", "is not a PLMN as <mcc>-<mnc>, like 001-01 or 310-260", read_plmn },
	[CONF_INT] = { "number", "is not a whole number", read_number },
	[CONF_SECONDS] = { "time", "is not a time like 90s, 10m, 72h or 30d", read_number },
	[CONF_OCTETS] = { "size", "is not a size like 65536, 64KiB or 1MiB", read_number },
	[CONF_BOOL] = { "yes or no", "is not yes or no", read_bool },
	[CONF_RECORD] = { "map", "is not a map", NULL },
	[CONF_LIST] = { "list", "is not a list", NULL },
};

static void range_text(const struct conf_item *it, char *dst, size_t cap)
{
	char least[32], most[32];

	*dst = 0;
	if (!units[it->type])
		return;
	number_text(it->min, units[it->type], least);
	number_text(it->max, units[it->type], most);
	snprintf(dst, cap, it->max ? " (%s to %s)" : " (%s or more)", least, most);
}

static enum err scalar_set(struct place *p, const yaml_node_t *n, const struct conf_item *it, const char *text, void *at)
{
	enum err e = types[it->type].read(p, it, text, at);
	char range[80], next[192];

	if (n && n->data.scalar.length != strlen(text)) /* "a\0b" */
		return complain(p, n, ERR_FORMAT, it->name ? it->name : "item", text, "has a zero octet after this");
	if (!e)
		return OK;
	range_text(it, range, sizeof(range));
	snprintf(next, sizeof(next), "%s%s", e == ERR_RANGE ? "is out of range" : types[it->type].expected, range);
	if (n)
		return complain(p, n, e, it->name ? it->name : "item", text, next);
	return fail(p->why, e, "%s: %s: default `%s` %s", p->file, it->name, text, next);
}

/* --- nearest name --- */

static const char *nearest(const struct conf_item *schema, const char *key)
{
	const char *best = NULL;
	size_t least = TEXT_FAR;

	for (; schema->name; schema++)
		if (text_nearer(schema->name, key, &least))
			best = schema->name;
	return best;
}

/* --- nodes --- */

static enum err record_read(struct place *p, const yaml_node_t *map, const struct conf_item *schema, char *record);

static enum err list_read(struct place *p, const yaml_node_t *n, const struct conf_item *it, struct conf_list *list)
{
	size_t count = (size_t)(n->data.sequence.items.top - n->data.sequence.items.start);
	size_t most = it->max ? (size_t)it->max : RECORDS_MAX;
	enum err e = OK;

	if (count > most)
		return fail(p->why, ERR_LIMIT, "%s:%d: %s: %zu entries; at most %zu", p->file, line_of(n), it->name, count, most);
	list->item = calloc(count ? count : 1, it->item_size);
	if (!list->item)
		return ERR_NOMEM;
	list->n = count;
	for (size_t i = 0; i < count && !e; i++) {
		const yaml_node_t *one = yaml_document_get_node(p->doc, n->data.sequence.items.start[i]);
		char *at = (char *)list->item + i * it->item_size;

		if (it->sub->name)
			e = one->type == YAML_MAPPING_NODE ? record_read(p, one, it->sub, at)
				: fail(p->why, ERR_FORMAT, "%s:%d: %s: each entry is a map", p->file, line_of(one), it->name);
		else
			e = one->type == YAML_SCALAR_NODE ? scalar_set(p, one, it->sub, (const char *)one->data.scalar.value, at)
				: fail(p->why, ERR_FORMAT, "%s:%d: %s: each entry is %s", p->file, line_of(one), it->name, types[it->sub->type].word);
	}
	return e;
}

static enum err item_read(struct place *p, const yaml_node_t *n, const struct conf_item *it, char *record)
{
	static const yaml_node_type_t wanted[] = { [CONF_RECORD] = YAML_MAPPING_NODE, [CONF_LIST] = YAML_SEQUENCE_NODE };
	char *at = record + it->offset;

	if (n->type != (it->type >= CONF_RECORD ? wanted[it->type] : YAML_SCALAR_NODE))
		return fail(p->why, ERR_FORMAT, "%s:%d: %s: expected %s", p->file, line_of(n), it->name, types[it->type].word);
	if (it->type == CONF_RECORD)
		return record_read(p, n, it->sub, at);
	if (it->type == CONF_LIST)
		return list_read(p, n, it, (struct conf_list *)at);
	return scalar_set(p, n, it, (const char *)n->data.scalar.value, at);
}

static enum err item_default(struct place *p, const yaml_node_t *map, const struct conf_item *it, char *record)
{
	if (it->type == CONF_RECORD)
		return record_read(p, NULL, it->sub, record + it->offset);
	if (it->type == CONF_LIST && it->def)
		return OK;
	if (!it->def)
		return fail(p->why, ERR_MISSING, "%s:%d: `%s` is missing (%s): add it; --example-config shows all", p->file,
			map ? line_of(map) : 1, it->name, it->help);
	if (!*it->def && it->type != CONF_TEXT)
		return OK;
	return scalar_set(p, NULL, it, it->def, record + it->offset);
}

static enum err key_read(struct place *p, const yaml_node_t *key, const yaml_node_t *value, const struct conf_item *schema,
	char *record, uint64_t *seen)
{
	const char *name = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "";
	const char *near;

	for (unsigned i = 0; schema[i].name; i++) {
		if (strcmp(schema[i].name, name))
			continue;
		if (*seen >> i & 1)
			return fail(p->why, ERR_EXISTS, "%s:%d: `%s` stands here twice; remove one", p->file, line_of(key), name);
		*seen |= 1ull << i;
		return item_read(p, value, schema + i, record);
	}
	near = nearest(schema, name);
	return fail(p->why, ERR_FORMAT,
		"%s:%d: unknown key `%s`%s%s%s", p->file, line_of(key), name, near ? "; did you mean `" : "; --example-config shows all keys",
		near ? near : "", near ? "`?" : "");
}

static enum err record_read(struct place *p, const yaml_node_t *map, const struct conf_item *schema, char *record)
{
	uint64_t seen = 0;
	enum err e = OK;

	if (++p->depth > DEPTH_MAX)
		return fail(p->why, ERR_LIMIT, "%s: nested deeper than %d", p->file, DEPTH_MAX);
	if (map)
		for (yaml_node_pair_t *kv = map->data.mapping.pairs.start; !e && kv < map->data.mapping.pairs.top; kv++)
			e = key_read(p, yaml_document_get_node(p->doc, kv->key), yaml_document_get_node(p->doc, kv->value), schema, record, &seen);
	for (unsigned i = 0; !e && schema[i].name; i++)
		if (!(seen >> i & 1))
			e = item_default(p, map, schema + i, record);
	p->depth--;
	return e;
}

static size_t record_size(const struct conf_item *schema)
{
	size_t most = 0;

	for (; schema->name; schema++) {
		size_t end = schema->offset + schema->size;

		most = end > most ? end : most;
	}
	return most;
}

/* What stands behind `---` would be read by nobody. */
static int another_document(yaml_parser_t *parser)
{
	yaml_document_t next;
	int more = !yaml_parser_load(parser, &next); /* not even YAML */

	if (!more) {
		more = yaml_document_get_root_node(&next) != NULL;
		yaml_document_delete(&next);
	}
	return more;
}

enum err conf_parse(const char *text, const char *name, const char *dir, const struct conf_item *schema, void *record,
	struct why *w)
{
	yaml_parser_t parser;
	yaml_document_t doc;
	struct place p = { name, dir, &doc, w, 0 };
	yaml_node_t *root;
	enum err e;

	memset(record, 0, record_size(schema));
	if (!yaml_parser_initialize(&parser))
		return ERR_NOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
	if (!yaml_parser_load(&parser, &doc)) {
		e = fail(w, ERR_FORMAT, "%s:%zu: not YAML: %s", name, parser.problem_mark.line + 1, parser.problem ? parser.problem : "?");
		yaml_parser_delete(&parser);
		return e;
	}
	root = yaml_document_get_root_node(&doc);
	if (root && another_document(&parser))
		e = fail(w, ERR_FORMAT, "%s: more than one document; remove the `---` line", name);
	else if (root && root->type != YAML_MAPPING_NODE)
		e = fail(w, ERR_FORMAT, "%s:%d: expected `key: value` lines", name, line_of(root));
	else
		e = record_read(&p, root, schema, record);
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	if (e)
		conf_free(schema, record);
	return e;
}

enum err conf_read(const char *file, const char *dir, const struct conf_item *schema, void *record, struct why *w)
{
	FILE *f = fopen(file, "re");
	char *text;
	size_t n;
	enum err e = OK;

	if (!f)
		return fail(w, ERR_IO, "%s: %s", file, strerror(errno));
	text = malloc(FILE_MAX_OCTETS + 2);
	n = text ? fread(text, 1, FILE_MAX_OCTETS + 1, f) : 0;
	if (!text)
		e = ERR_NOMEM;
	else if (ferror(f))
		e = fail(w, ERR_IO, "%s: %s", file, strerror(errno));
	else if (n > FILE_MAX_OCTETS)
		e = fail(w, ERR_LIMIT, "%s: larger than 1 MiB", file);
	else if (memchr(text, 0, n))
		e = fail(w, ERR_FORMAT, "%s: a zero octet in it; this is not a text", file);
	fclose(f);
	if (!e) {
		text[n] = 0;
		e = conf_parse(text, file, dir, schema, record, w);
	}
	free(text);
	return e;
}

void conf_free(const struct conf_item *schema, void *record)
{
	for (; schema->name; schema++) {
		char *at = (char *)record + schema->offset;
		struct conf_list *list = (struct conf_list *)at;

		if (schema->type == CONF_RECORD)
			conf_free(schema->sub, at);
		if (schema->type != CONF_LIST)
			continue;
		for (size_t i = 0; schema->sub->name && i < list->n; i++)
			conf_free(schema->sub, (char *)list->item + i * schema->item_size);
		free(list->item);
		list->item = NULL;
		list->n = 0;
	}
}

static int list_same(const struct conf_item *it, const struct conf_list *a, const struct conf_list *b)
{
	int same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++) {
		const char *x = (const char *)a->item + i * it->item_size, *y = (const char *)b->item + i * it->item_size;

		same = it->sub->name ? !conf_changed(it->sub, x, y) : !memcmp(x, y, it->item_size);
	}
	return same;
}

const char *conf_changed(const struct conf_item *schema, const void *was, const void *is)
{
	for (; schema->name; schema++) {
		const void *a = (const char *)was + schema->offset, *b = (const char *)is + schema->offset;
		int same = schema->type == CONF_RECORD ? !conf_changed(schema->sub, a, b)
			: schema->type == CONF_LIST ? list_same(schema, a, b) : !memcmp(a, b, schema->size);

		if (!same && !schema->live)
			return schema->name;
	}
	return NULL;
}

/* --- the same table for people --- */

static void example_items(const struct conf_item *it, int indent, FILE *out)
{
	char range[80];

	for (; it->name; it++) {
		range_text(it, range, sizeof(range));
		fprintf(out, "%*s# %s; %s%s\n", indent, "", it->help, types[it->type].word, range);
		if (it->type == CONF_RECORD) {
			fprintf(out, "%*s%s:\n", indent, "", it->name);
			example_items(it->sub, indent + 2, out);
		} else if (it->type == CONF_LIST) {
			for (const struct conf_item *one = it->sub; one->name; one++)
				fprintf(out, "%*s# %s %s: ... (%s; %s)\n", indent + 2, "", one == it->sub ? "-" : " ", one->name, one->help, types[one->type].word);
			fprintf(out, "%*s%s: []\n", indent, "", it->name);
		} else if (it->def) {
			fprintf(out, "%*s%s: %s\n", indent, "", it->name, *it->def ? it->def : "\"\"");
		} else {
			fprintf(out, "%*s# %s:          (must be given)\n", indent, "", it->name);
		}
	}
}

void conf_example(const struct conf_item *schema, const char *title, FILE *out)
{
	fprintf(out, "# %s\n", title);
	example_items(schema, 0, out);
}

void man_text(const char *text, FILE *out)
{
	int begins = 1;

	for (; *text; text++) {
		if (begins && (*text == '.' || *text == '\''))
			fputs("\\&", out);
		if (*text == '-')
			fputs("\\-", out);
		else if (*text == '\\')
			fputs("\\e", out);
		else
			fputc(*text, out);
		begins = *text == '\n';
	}
}

static void man_items(const struct conf_item *it, const char *before, FILE *out)
{
	for (; it->name; it++) {
		char range[80], name[128], text[512];

		snprintf(name, sizeof(name), "%s%s", before, it->name);
		range_text(it, range, sizeof(range));
		snprintf(text, sizeof(text), "%s. %s%s; %s%s; %s.", it->help, types[it->type].word, range,
			it->def ? "default " : it->type == CONF_RECORD ? "its items follow" : "must be given", it->def && *it->def ? it->def : it->def ? "empty" : "",
			it->live ? "read again at SIGHUP" : "needs a restart");
		fputs(".TP\n.B ", out);
		man_text(name, out);
		fputc('\n', out);
		man_text(text, out);
		fputc('\n', out);
		if (it->sub && it->sub->name) {
			char inner[160];

			snprintf(inner, sizeof(inner), "%s%s.", name, it->type == CONF_LIST ? "[]" : "");
			man_items(it->sub, inner, out);
		}
	}
}

void conf_man(const struct conf_item *schema, FILE *out)
{
	man_items(schema, "", out);
}

/* --- addresses --- */

/* The line "NAME host:port" of a run/ports file. */
static enum err port_of(const char *file, const char *name, uint16_t *port, struct why *w)
{
	FILE *f = fopen(file, "re");
	char line[512], *space, *colon;
	int64_t n = 0;

	if (!f)
		return fail(w, ERR_AGAIN, "%s is not there yet; start that role by `usher run`", file);
	while (!n && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		space = strchr(line, ' ');
		colon = strrchr(line, ':');
		if (!space || !colon || (size_t)(space - line) != strlen(name) || strncmp(line, name, strlen(name)))
			continue;
		if (text_number(colon + 1, 1, 65535, &n))
			n = 0;
	}
	fclose(f);
	*port = (uint16_t)n;
	return n ? OK : fail(w, ERR_MISSING, "%s has no listener `%s`", file, name);
}

enum err conf_address(const char *text, char *host, size_t cap, uint16_t *port, struct why *w)
{
	const char *colon = *text == '[' ? strchr(text, ']') : NULL;
	size_t skip = colon != NULL, n;
	int64_t number;

	colon = colon ? colon + 1 : strchr(text, ':');
	if (!colon || *colon != ':' || (size_t)(colon - text) <= 2 * skip)
		return fail(w, ERR_FORMAT, "`%s` is not host:port", text);
	n = (size_t)(colon - text) - 2 * skip;
	if (n >= cap)
		return fail(w, ERR_LIMIT, "`%s`: the host is too long", text);
	memcpy(host, text + skip, n);
	host[n] = 0;
	for (size_t i = 0; i < n; i++) /* it goes into URLs and CONNECT heads */
		if (!strchr(skip ? "0123456789abcdefABCDEF:." : "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._", host[i]))
			return fail(w, ERR_FORMAT, "`%s`: no host has the character `%c`", text, host[i]);
	if (text_number(colon + 1, 0, 65535, &number))
		return fail(w, ERR_FORMAT, "`%s`: the port is not a number of 0 to 65535", text);
	*port = (uint16_t)number;
	return OK;
}

enum err conf_resolve(const char *text, char *dst, size_t cap, struct why *w)
{
	const char *at = strstr(text, ":@");
	char file[PATH_ROOM], *name;
	uint16_t port = 0;
	enum err e;
	int n;

	if (!at)
		return text_copy(dst, cap, text);
	if (text_copy(file, sizeof(file), at + 2) || !(name = strrchr(file, '#')))
		return fail(w, ERR_FORMAT, "`%s` is not host:@FILE#NAME", text);
	*name++ = 0;
	e = port_of(file, name, &port, w);
	n = e ? 0 : snprintf(dst, cap, "%.*s:%u", (int)(at - text), text, port);
	return e ? e : n < (int)cap ? OK : ERR_LIMIT;
}
