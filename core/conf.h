/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_CONF_H
#define USHER_CORE_CONF_H
/*
 * A configuration is a table. One schema gives the parser, --check-config, --example-config and the man page's table.
 * YAML; scalars stay text until their type reads them. An unknown key is an error with file, line and the nearest name.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/err.h"

enum conf_type {
	CONF_TEXT,     /* char[size] */
	CONF_FILE,     /* char[size]: a path, relative to the config's folder; stored absolute */
	CONF_ADDRESS,  /* char[size]: host:port. The port may be 0 (the kernel chooses), or "@FILE#NAME": read when the
	                * role starts from the line NAME of FILE, a run/ports file that `usher run` wrote */
	CONF_PLMN,     /* char[size>=8]: <mcc>-<mnc>, "001-01" or "310-260" */
	CONF_INT,      /* int64_t */
	CONF_SECONDS,  /* int64_t: "90", "90s", "10m", "72h", "30d" */
	CONF_OCTETS,   /* int64_t: "65536", "64KiB", "1MiB" */
	CONF_BOOL,     /* int: yes/no/true/false */
	CONF_RECORD,   /* a nested map, described by sub; offsets count from this record's */
	CONF_LIST,     /* struct conf_list of records described by sub, or of scalars (sub == one item with name NULL) */
};

struct conf_list {
	void *item;    /* n records of item_size octets each */
	size_t n;
};

struct conf_item {
	const char *name;
	enum conf_type type;
	size_t offset, size;          /* where in the record; size of char arrays */
	int64_t min, max;             /* numbers: range; lists: most records (max) */
	const char *def;              /* default as text; NULL: must be given; "" for an empty text or list */
	const char *help;             /* one line */
	int live;                     /* 1: taken over by SIGHUP, 0: needs a restart */
	const struct conf_item *sub;  /* CONF_LIST, CONF_RECORD: the record's items, ended by {0} */
	size_t item_size;
};
#define CONF_AT(type_, field_) offsetof(type_, field_), sizeof(((type_ *)0)->field_)
#define CONF_END { 0 }

/*
 * Reads file into record (zeroed here); relative paths in it count from the folder dir. w: "FILE:LINE: ... next step". Records are freed with conf_free.
 * Limits: file 1 MiB, depth 8, 10000 list records.
 */
enum err conf_read(const char *file, const char *dir, const struct conf_item *schema, void *record, struct why *w) MUST_CHECK;
/* The same from text (for tests and tools); name stands for the file in messages, dir for relative paths. */
enum err conf_parse(const char *text, const char *name, const char *dir, const struct conf_item *schema, void *record,
	struct why *w) MUST_CHECK;
void conf_free(const struct conf_item *schema, void *record);
/* The name of the first item that differs and needs a restart, or NULL. */
const char *conf_changed(const struct conf_item *schema, const void *was, const void *is);

/* A complete commented example with every item, its default, range and help. */
void conf_example(const struct conf_item *schema, const char *title, FILE *out);
/* The same table as rows of a man page (.TP paragraphs); and any text for one: hyphens kept, no line taken for a request. */
void conf_man(const struct conf_item *schema, FILE *out);
void man_text(const char *text, FILE *out);

/* Splits host:port (also [v6]:port). Safe for a peer's text: it names no file, and a host has letters, digits, - . and _ only. */
enum err conf_address(const char *text, char *host, size_t cap, uint16_t *port, struct why *w) MUST_CHECK;
/* An address of a configuration as host:port: an @FILE#NAME port is read from FILE. Never for a peer's text. ERR_AGAIN: FILE is not
 * there yet. */
enum err conf_resolve(const char *text, char *dst, size_t cap, struct why *w) MUST_CHECK;

#endif
