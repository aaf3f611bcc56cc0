/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_PROCESS_H
#define USHER_CORE_PROCESS_H
/*
 * What every role's main.c wires. `usher-<role> DIR` reads DIR/usher.yaml and DIR/peers/, opens DIR/<role>.db, the TLS
 * key DIR/tls.key, tls.pem, roots.pem, the key file DIR/kek and, if the role signs, sign.key and sign.pem; then
 * start() opens the role's listeners. Options: --check-config, --example-config, --man, --version, --help, --log LEVEL.
 * SIGHUP reads the config's live items and peers/ again.
 */
#include "core/desk.h"
#include "core/errand.h"
#include "core/http.h"
#include "core/outbox.h"
#include "core/peers.h"
#include "core/secret.h"
#include "core/server.h"
#include "core/store.h"

struct role;
struct process {
	struct desk *desk;            /* first: desk handlers take any server's arg as struct process */
	const char *role;
	char id[ID_MAX];              /* item `id` of the config */
	char dir[512];
	struct loop *loop;
	struct store *store;
	struct tls *tls;
	struct http *http;
	struct peers *peers;
	struct errands *errands;
	struct outbox *outbox;
	struct kek *kek;
	X509 *sign_cert, *sign_issuer; /* NULL if the role does not sign */
	int64_t certificates_end;     /* when the first of its own certificates ends */
	EVP_PKEY *sign_key;
	void *conf, *as_read;         /* the role's config record, which start() may complete; what stood in the file */
	void *own;                    /* what start() made */
	const struct role *of;
	const char *log;              /* --log, which counts over the config's item; or NULL */
};
/* A listener's entry in the sub-schema `listen`: PROCESS_LISTENER(struct conf, peers, "mutual TLS: ...") */
#define PROCESS_LISTENER(type_, name_, help_) \
	{ #name_, CONF_ADDRESS, CONF_AT(type_, listen.name_), 0, 0, "127.0.0.1:0", help_, 0, NULL, 0 }
#define PROCESS_LISTEN(sub_) { "listen", CONF_RECORD, 0, 0, 0, 0, NULL, "listeners, name: host:port", 0, sub_, 0 }


struct role {
	const char *name;             /* "registration" */
	const char *about;            /* one sentence for --help */
	const struct conf_item *schema; /* its first items are PROCESS_ITEMS(struct), whose fields stand first in the struct */
	size_t conf_size;
	enum err (*check)(const void *conf, struct why *w); /* what a schema cannot say; may be NULL */
	const struct store_schema *tables;
	const struct errand_kind *errands; /* or NULL */
	const struct metric *metrics;
	const char *const *kinds, *const *aliases;
	enum err (*status)(struct tx *tx, json_t *into, void *process);
	int signs;                    /* 1: sign.key and sign.pem are needed */
	enum err (*start)(struct process *p, struct why *w);
	enum err (*reload)(struct process *p); /* peers/ was read again at SIGHUP; may be NULL */
	void (*stop)(struct process *p);
};

/* Every role's config begins with these; struct fields: char role[ROLE_MAX]; char id[ID_MAX]; char log[8]; */
#define PROCESS_ITEMS(type_) \
	{ "role", CONF_TEXT, CONF_AT(type_, role), 0, 0, NULL, "the role word, for `usher run`", 0, NULL, 0 }, \
	{ "id", CONF_TEXT, CONF_AT(type_, id), 0, 0, NULL, "who this is: a PLMN as <mcc>-<mnc>, or a DNS name", 0, NULL, 0 }, \
	{ "log", CONF_TEXT, CONF_AT(type_, log), 0, 0, "info", "error, warn, info or debug", 1, NULL, 0 }

int process_main(int argc, char **argv, const struct role *role);

/* Who signs with this id (NULL: any) by our roots and now. */
struct expect process_expects(const struct process *p, const char *id);

#endif
