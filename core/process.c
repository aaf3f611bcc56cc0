/* SPDX-License-Identifier: Apache-2.0 */
#include "core/process.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/pem.h"

enum { EXIT_USAGE = 2, FILE_ROOM = 640, AT_ONCE = 8 };

/* The first fields of every role's config record, as PROCESS_ITEMS lays them out. */
struct common {
	char role[ROLE_MAX], id[ID_MAX], log[8];
};

struct options {
	int check, example, man;
	const char *log, *dir;
};

/* --- words for people --- */

static void usage(const struct role *r, FILE *out)
{
	fprintf(out, "usher-%s: %s\n\n"
		"usage: usher-%s [--log LEVEL] DIR        serve from the folder DIR (made by `usher setup %s DIR`)\n"
		"       usher-%s --check-config DIR       read DIR/usher.yaml and DIR/peers, say what is wrong, and end\n"
		"       usher-%s --example-config         a commented usher.yaml with every item\n"
		"       usher-%s --man                    this program's man page\n"
		"       usher-%s --version | --help\n\n"
		"DIR holds usher.yaml, peers/, roots.pem, tls.key, tls.pem, kek%s and %s.db.\n"
		"LEVEL is error, warn, info or debug. The program ends at SIGTERM.\n",
		r->name, r->about, r->name, r->name, r->name, r->name, r->name, r->name, r->signs ? ", sign.key, sign.pem" : "", r->name);
}

static void man_metrics(const struct role *r)
{
	printf(".SH METRICS\nGET /metrics of the listener peers, for certificates of role staff:\n");
	for (const struct metric *m = r->metrics; m && m->name; m++) {
		printf(".TP\n.B %s\n", m->name);
		man_text(m->help, stdout);
		putchar('\n');
	}
	printf(".TP\n.B usher_commits_total\nGroups of transactions on disk.\n.TP\n.B usher_certificates_end_seconds\n"
		"When the first of its own certificates ends (seconds since 1970); see usher renew.\n"
		".TP\n.B usher_%s_cpu_microseconds_total\nCPU time of this process.\n"
		".TP\n.B usher_%s_step_cpu_microseconds_total{step=...}\nCPU time by step.\n", r->name, r->name);
}

static void man_files(const struct role *r)
{
	printf(".SH FILES\nIn the folder DIR, which belongs to one user and nobody else:\n"
		".TP\n.B usher.yaml\nthe configuration, see below\n"
		".TP\n.B peers/ROLE_ID.yaml\nwho this role knows, see\n.BR usher.yaml (5)\n"
		".TP\n.BR roots.pem \", \" tls.key \", \" tls.pem\nthe roots it trusts; its TLS key and certificate\n");
	if (r->signs)
		printf(".TP\n.BR sign.key \", \" sign.pem\nits signing key and certificate\n");
	if (!strcmp(r->name, "attestation"))
		printf(".TP\n.B ca/\nroots, issuing CAs and OCSP signers with their keys\n");
	printf(".TP\n.B kek\nthe key that wraps every secret in the database: without it the database is worth nothing; keep a copy in another place\n"
		".TP\n.B %s.db\nthe database (SQLite)\n"
		".TP\n.BR run/ports \", \" run/log\nthe ports that\n.B usher run\nbound, and the log\n", r->name);
}

static void man(const struct role *r)
{
	printf(".TH USHER\\-");
	for (const char *c = r->name; *c; c++)
		putchar(toupper((unsigned char)*c));
	printf(" 8 \"\" \"usher " USHER_VERSION "\" \"usher\"\n.SH NAME\nusher\\-%s \\- ", r->name);
	man_text(r->about, stdout);
	printf("\n.SH SYNOPSIS\n.B usher\\-%s\n[\\fB\\-\\-log\\fR \\fILEVEL\\fR] \\fIDIR\\fR\n.br\n.B usher\\-%s \\-\\-check\\-config\n.I DIR\n.br\n"
		".B usher\\-%s\n[\\fB\\-\\-example\\-config\\fR|\\fB\\-\\-man\\fR|\\fB\\-\\-version\\fR|\\fB\\-\\-help\\fR]\n.SH DESCRIPTION\n"
		"Serves from the folder\n.IR DIR ,\nwhich\n.B usher setup %s\n.I DIR\nmakes.\n"
		".B usher run\n.I DIR\nstarts it, binds its listeners and watches over it.\n"
		".SH OPTIONS\n.TP\n.BI \\-\\-log \" LEVEL\"\nerror, warn, info or debug, instead of the configuration's\n"
		".TP\n.B \\-\\-check\\-config\nread usher.yaml and peers, say what is wrong with file and line, and end\n"
		".TP\n.B \\-\\-example\\-config\na commented usher.yaml with every item\n.TP\n.B \\-\\-man\nthis page\n", r->name, r->name, r->name, r->name);
	printf(".SH CONFIGURATION\nItems of DIR/usher.yaml:\n");
	conf_man(r->schema, stdout);
	man_metrics(r);
	man_files(r);
	printf(".SH SIGNALS\nSIGTERM and SIGINT end it in good order. SIGHUP reads usher.yaml and peers/ again: the items that say so, and all of\n"
		"peers/; what does not read changes nothing, and the log says why, as it names an item that has changed and needs a restart.\n"
		".SH EXIT STATUS\n0 after SIGTERM, 1 when it cannot start (one sentence on standard error), 2 for wrong usage.\n"
		".SH EXAMPLES\n.nf\nusher\\-%s \\-\\-example\\-config > example.yaml\nusher\\-%s \\-\\-check\\-config DIR\nusher run DIR\n.fi\n"
		".SH SEE ALSO\n.BR usher (1),\n.BR usher.yaml (5)\n", r->name, r->name);
}

static int options_read(int argc, char **argv, const struct role *r, struct options *o)
{
	static const struct option longs[] = { { "check-config", 0, NULL, 'c' }, { "example-config", 0, NULL, 'e' },
		{ "man", 0, NULL, 'm' }, { "version", 0, NULL, 'v' }, { "help", 0, NULL, 'h' }, { "log", 1, NULL, 'l' }, { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h') {
			usage(r, stdout);
			return 0;
		}
		if (c == 'v') {
			printf("usher-%s %s\n", r->name, USHER_VERSION);
			return 0;
		}
		if (c == '?') {
			usage(r, stderr);
			return EXIT_USAGE;
		}
		o->check |= c == 'c';
		o->example |= c == 'e';
		o->man |= c == 'm';
		if (c == 'l')
			o->log = optarg;
	}
	o->dir = optind < argc ? argv[optind] : NULL;
	if (o->example)
		conf_example(r->schema, r->about, stdout);
	else if (o->man)
		man(r);
	else if (!o->dir || optind + 1 < argc) {
		usage(r, stderr);
		return EXIT_USAGE;
	} else {
		return -1;
	}
	return 0;
}

static void in_dir(const struct process *p, const char *name, char path[FILE_ROOM])
{
	snprintf(path, FILE_ROOM, "%s/%s", p->dir, name);
}

static enum err config_read(const struct process *p, void *conf, enum log_level *level, struct why *w)
{
	const struct common *c = conf;
	char path[FILE_ROOM];
	enum err e;

	in_dir(p, "usher.yaml", path);
	if (access(path, F_OK))
		return fail(w, ERR_MISSING, "%s: %s; `usher setup %s %s` makes it", path, strerror(errno), p->role, p->dir);
	e = conf_read(path, p->dir, p->of->schema, conf, w);
	if (!e && p->of->check)
		e = p->of->check(conf, w);
	if (e)
		return e;
	if (strcmp(c->role, p->role) || (*p->id && strcmp(c->id, p->id)))
		return fail(w, ERR_CONFLICT, "%s: it is of %s %s, this is usher-%s %s", path, c->role, c->id, p->role, p->id);
	if (log_level_read(p->log ? p->log : c->log, level))
		return fail(w, ERR_RANGE, "log level `%s` is none of error, warn, info, debug", p->log ? p->log : c->log);
	return OK;
}

/* SIGHUP: the live items of the config, and peers/. A folder that does not read changes nothing. */
static void reload(void *arg)
{
	struct process *p = arg;
	enum log_level level;
	struct why w = { "" };
	void *c = calloc(1, p->of->conf_size);
	enum err e = c ? config_read(p, c, &level, &w) : ERR_NOMEM;
	const char *waits = e ? NULL : conf_changed(p->of->schema, p->as_read, c);

	if (!e)
		e = peers_reload(p->peers, p->dir, &w);
	if (e) {
		log_hop(LOG_ERROR, "reload", "why=\"%s; nothing was changed\"", w.text[0] ? w.text : err_text(e));
	} else {
		log_level_set(level);
		e = p->of->reload ? p->of->reload(p) : OK;
		if (e)
			log_hop(LOG_ERROR, "reload", "why=\"not all of peers/ could be taken over: %s; try again\"", err_text(e));
		log_hop(LOG_INFO, "reload", "peers=%zu", peers_count(p->peers));
		if (waits)
			log_hop(LOG_WARN, "reload", "item=%s why=\"it has changed, and needs a restart\"", waits);
	}
	if (c)
		conf_free(p->of->schema, c);
	free(c);
}

/* --- opening, in the order in which things need each other --- */

static enum err open_config(struct process *p, const struct role *r, const struct options *o, struct why *w)
{
	char who[ROLE_MAX + ID_MAX + 2];
	enum log_level level;
	enum err e = text_copy(p->dir, sizeof(p->dir), o->dir);

	p->role = r->name;
	p->of = r;
	p->log = o->log;
	p->conf = calloc(1, r->conf_size);
	p->as_read = calloc(1, r->conf_size);
	if (e || !p->conf || !p->as_read)
		return e ? e : ERR_NOMEM;
	e = config_read(p, p->conf, &level, w);
	if (e)
		return e;
	memcpy(p->as_read, p->conf, r->conf_size); /* its lists are the record's */
	snprintf(p->id, sizeof(p->id), "%s", ((const struct common *)p->conf)->id);
	snprintf(who, sizeof(who), "%s %s", r->name, p->id);
	log_open(who, level);
	return peers_read(p->dir, &p->peers, w);
}

struct expect process_expects(const struct process *p, const char *id)
{
	return (struct expect){ .id = id, .use = CERT_SIGN, .roots = tls_roots(p->tls), .time = { clock_now(), 0 } };
}

/* Our own certificate must name us: a folder copied from another operator must not come up. */
static enum err check_self(X509 *c, STACK_OF(X509) *chain, struct process *p, enum cert_use use, struct why *w)
{
	struct expect x = process_expects(p, p->id);
	enum err e;

	x.role = p->role;
	x.use = use;
	e = cert_verify(c, chain, x, w);
	if (!e && (!p->certificates_end || cert_end(c) < p->certificates_end))
		p->certificates_end = cert_end(c);
	return e;
}

static enum err open_signer(struct process *p, struct why *w)
{
	char key[FILE_ROOM], cert[FILE_ROOM];
	STACK_OF(X509) *chain = NULL;
	enum err e;

	in_dir(p, "sign.key", key);
	in_dir(p, "sign.pem", cert);
	e = cert_load_key(key, &p->sign_key, w);
	if (!e)
		e = cert_load(cert, &p->sign_cert, &chain, w);
	if (!e)
		e = check_self(p->sign_cert, chain, p, CERT_SIGN, w);
	if (!e && X509_check_private_key(p->sign_cert, p->sign_key) != 1)
		e = fail(w, ERR_CONFLICT, "%s does not belong to %s", key, cert);
	if (!e)
		p->sign_issuer = sk_X509_shift(chain);
	sk_X509_pop_free(chain, X509_free);
	return e;
}

static enum err open_keys(struct process *p, const struct role *r, struct why *w)
{
	char key[FILE_ROOM], cert[FILE_ROOM], roots[FILE_ROOM], kek[FILE_ROOM];
	STACK_OF(X509) *chain = NULL;
	X509 *own = NULL;
	enum err e;

	in_dir(p, "tls.key", key);
	in_dir(p, "tls.pem", cert);
	in_dir(p, "roots.pem", roots);
	in_dir(p, "kek", kek);
	e = tls_open(&(struct tls_files){ key, cert, roots }, &p->tls, w);
	if (!e)
		e = cert_load(cert, &own, &chain, w);
	if (!e)
		e = check_self(own, chain, p, CERT_TLS, w);
	X509_free(own);
	sk_X509_pop_free(chain, X509_free);
	if (!e)
		e = kek_load(kek, &p->kek, w);
	if (!e && r->signs)
		e = open_signer(p, w);
	return e;
}

/* Two processes on one folder would each believe their own memory (vectors, caches); the lock goes with the process, also by kill -9. */
static enum err lock_dir(struct process *p, struct why *w)
{
	int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(w, ERR_IO, "%s: %s", p->dir, strerror(errno));
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return OK; /* open until the process ends */
	close(fd);
	return fail(w, ERR_CONFLICT, "%s is served by another process; end that one first", p->dir);
}

/* A server has more connections than the usual soft limit of 1024 descriptors allows. */
static void files_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &files);
}

static enum err open_services(struct process *p, const struct role *r, struct why *w)
{
	char db[FILE_ROOM + 8], agent[64];
	enum err e;

	snprintf(db, sizeof(db), "%s/%s.db", p->dir, r->name);
	snprintf(agent, sizeof(agent), "usher-%s/%s", r->name, USHER_VERSION);
	e = loop_new(&p->loop);
	if (!e)
		loop_on_reload(p->loop, reload, p);
	if (!e)
		e = store_open(p->loop, db, r->tables, 0, &p->store, w);
	if (e)
		return e;
	store_set_owner(p->store, p);
	e = http_open(p->loop, p->tls, agent, &p->http);
	if (!e) {
		http_limit(p->http, AT_ONCE); /* a burst of letters waits its turn instead of shaking hands for each */
		e = r->start(p, w);
	}
	if (!e)
		e = errands_open(p->loop, p->store, r->errands, &p->errands);
	if (!e)
		e = outbox_open(p->loop, p->store, p->http, p->peers, &p->outbox);
	if (!e)
		e = desk_open(&(struct desk_conf){ p->role, p->id, r->metrics, r->kinds, r->aliases, r->status, p, p->store, p->outbox,
			p->certificates_end }, &p->desk);
	return e;
}

static void close_all(struct process *p, const struct role *r)
{
	outbox_stop(p->outbox);
	http_close(p->http);
	store_stop(p->store); /* what waits is committed and told, while everything it refers to is there */
	if (p->own)
		r->stop(p);
	errands_close(p->errands);
	outbox_close(p->outbox);
	desk_close(p->desk);
	store_close(p->store);
	if (p->loop)
		loop_free(p->loop);
	tls_close(p->tls);
	kek_free(p->kek);
	X509_free(p->sign_cert);
	X509_free(p->sign_issuer);
	EVP_PKEY_free(p->sign_key);
	peers_free(p->peers);
	if (p->conf)
		conf_free(r->schema, p->conf);
	free(p->conf);
	free(p->as_read);
}

static void say_ready(void)
{
	const char *fd = getenv("USHER_READY_FD");

	if (!fd)
		return;
	(void)!write(atoi(fd), "\n", 1);
	close(atoi(fd));
	unsetenv("USHER_READY_FD");
}

int process_main(int argc, char **argv, const struct role *r)
{
	struct options o = { 0 };
	struct process p = { 0 };
	struct why w = { "" };
	int code = options_read(argc, argv, r, &o);
	enum err e;

	if (code >= 0)
		return code;
	secret_process();
	files_raise();
	e = open_config(&p, r, &o, &w);
	if (!e && !o.check)
		e = lock_dir(&p, &w);
	if (!e && !o.check)
		e = open_keys(&p, r, &w);
	if (!e && !o.check)
		e = open_services(&p, r, &w);
	if (e) {
		fprintf(stderr, "usher-%s: %s\n", r->name, w.text[0] ? w.text : err_text(e));
	} else if (o.check) {
		printf("%s: good, %zu peers\n", o.dir, peers_count(p.peers));
	} else {
#ifdef USHER_TEST_HOOKS
		log_hop(LOG_WARN, "start", "why=\"a test build: clock, key log and kill points can be moved from outside\"");
#endif
		log_hop(LOG_INFO, "start", "version=%s", USHER_VERSION);
		say_ready();
		code = loop_run(p.loop);
	}
	close_all(&p, r);
	return e ? 1 : o.check ? 0 : code;
}
