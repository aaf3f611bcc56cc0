/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PEOPLE_H
#define USHER_PEOPLE_H
/*
 * The command for people: `usher ACTOR|VERB [NOUN] ...`. A command is a row of the table in main.c. It asks roles over the
 * same wires as everybody, with the certificate of a folder made by `usher setup staff|factory DIR` (--as DIR or USHER_AS).
 */
#include <jansson.h>

#include "core/http.h"
#include "core/peers.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

struct words {
	int n;
	char **v;       /* what is left of the command line after the command's own words */
	int json;       /* --json */
	const char *as; /* --as DIR or USHER_AS, or NULL */
};

/* Value of --NAME in the words (also --NAME=VALUE), removed from them; NULL if absent. nth: further ones by asking again. */
const char *words_option(struct words *w, const char *name);
int words_flag(struct words *w, const char *name);
/* After all options were taken: 1 if exactly n words are left; else says what is wrong. */
int words_left(struct words *w, int n, const char *usage);

/* 1: a role's word, and an id (NULL: none given) made of what ids are made of; else says what is wrong. */
int party_good(const char *role, const char *id);
/* One sentence on standard error, "usher: ..."; returns FAILED. */
int sorry(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void print_json(json_t *o); /* on standard output; takes o over */
/* What a command has to say on standard output: o (taken over) with --json, else the sentence. */
void answer(const struct words *w, json_t *o, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Rows of a long work on standard error, if that is a terminal. */
void progress(const char *what, size_t i, size_t n);
/* The program of a role ("equipment" too): installed beside us, in the build's folders, or found by PATH. */
enum { PROGRAM_ROOM = 700 };
void program_find(const char *role, char path[PROGRAM_ROOM]);

/* --- asking roles --- */
struct asker;
/* Credentials of a folder; dir NULL: w->as, and a sentence if there is none. NULL on failure (said). */
struct asker *asker_open(const struct words *w, const char *dir);
/* No certificate of our own: roots only (enrolment, owners). */
struct asker *asker_open_roots(const char *roots);
void asker_close(struct asker *a);
const struct peers *asker_peers(const struct asker *a);
/* Waits for the answer; r's body lives until the next call. */
enum err asker_ask(struct asker *a, const struct request *q, struct response *r);
/* GET (body NULL, taken over) or POST to a peer of the folder: the JSON answer, or NULL after one sentence was said. status may be NULL. */
json_t *asker_json(struct asker *a, const struct peer *p, const char *path, json_t *body, int *status);

/* --- enrol.c: a party's certificates over EST --- */
struct enrolment {
	const char *dir;
	struct party who;
	struct asker *asker;
	char address[300], provider[ID_MAX];
	char basic[900]; /* the invite's header; "": its own TLS certificate asks */
};
/* attestation: ID=HOST:PORT. invite: a file, or NULL. Close it in any case. */
enum err enrolment_open(struct enrolment *n, const char *attestation, const char *invite, struct why *w) MUST_CHECK;
void enrolment_close(struct enrolment *n);
/* The certificate for a PKCS#10 (base64), and its issuing CA's, written to file by rename. q says where: address, peer_id, path, header. */
enum err certificates_fetch(struct asker *a, struct request q, const char *csr, const char *file, struct why *w) MUST_CHECK;
/* A certificate for the key DIR/WORD.key, written to DIR/WORD.pem by rename. */
enum err enrol(struct enrolment *n, enum cert_use use, const char *word, struct why *w) MUST_CHECK;

/* --- commands --- */
struct command {
	const char *words, *arguments, *about, *more;
	int (*run)(struct words *w);
};
/* man.c: `usher --man [usher.yaml]` */
int man_page(const struct command *c, size_t n, const char *page);

int run_dirs(struct words *w);
int setup_role(struct words *w);
int renew(struct words *w);
int peer_add(struct words *w);
int metrics_all(struct words *w);
int status_all(struct words *w);
int ca_invite(struct words *w);
int ca_revoke(struct words *w);
int ca_list(struct words *w);
int pool_add(struct words *w);
int pimsi_numbers(struct words *w);
int imsi_numbers(struct words *w);
int people_add(struct words *w);
int factory_enrol(struct words *w);
int factory_order(struct words *w);
int factory_bind(struct words *w);
int owner_claim(struct words *w);
int explain(struct words *w);
int audit_dirs(struct words *w);
int watch_fleet(struct words *w);

#endif
