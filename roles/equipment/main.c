/* SPDX-License-Identifier: Apache-2.0 */
/* The equipment as a program. Its factory doors serve the production line (`usher factory`); the rest is the equipment's life. */
#include <dirent.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "core/conf.h"
#include "core/log.h"
#include "core/pem.h"
#include "package/package.h"
#include "roles/equipment/agent/agent.h"

enum { FILE_ROOM = 64 * 1024 };

struct line {
	const char *dir, *argument;
	struct why why;
};

static int sorry(struct line *l, enum err e)
{
	fprintf(stderr, "usher-equipment: %s\n", l->why.text[0] ? l->why.text : err_text(e));
	return 1;
}

static int say_b64(struct bytes b)
{
	char *text = b64_new(b);

	if (text)
		printf("%s\n", text);
	free(text);
	return !text;
}

static enum err make(struct line *l)
{
	if (!strchr(l->argument, ':') || !cert_id_good(l->argument))
		return fail(&l->why, ERR_FORMAT, "`%s` is no equipment's id: <maker>:<serial> or imei:<15 digits>, of letters, digits and . _ + -", l->argument);
	(void)!mkdir(l->dir, 0700);
	return tre_make(l->dir, l->argument, &l->why);
}

static enum err with_tre(struct line *l, enum err (*act)(struct tre *, struct line *))
{
	struct tre *t = NULL;
	enum err e = tre_open(l->dir, &t, &l->why);

	if (!e)
		e = act(t, l);
	tre_close(t);
	return e;
}

static enum err csr(struct tre *t, struct line *l)
{
	uint8_t *der = NULL;
	size_t n = 0;
	enum err e = tre_enrol(t, strcmp(l->argument, "attest") ? TRE_DELIVERY : TRE_ATTEST, &der, &n, &l->why);

	if (!e && say_b64(BYTES(der, n)))
		e = ERR_NOMEM;
	OPENSSL_free(der);
	return e;
}

static enum err label(struct tre *t, struct line *l)
{
	struct secret k;
	char text[27];
	enum err e = tre_label(t, &k, &l->why);

	if (!e)
		e = claim_key_text(&k, text);
	secret_wipe(&k, sizeof(k));
	if (!e)
		printf("%s\n", text);
	return e;
}

static enum err room(struct tre *t, struct line *l)
{
	(void)l;
	printf("%d\n", SLOT_PIMSI_MAX - tre_orders(t));
	return OK;
}

static enum err hash(struct tre *t, struct line *l)
{
	uint8_t md[32];
	char text[65];
	enum err e = tre_certificate_hash(t, md);

	if (!e)
		e = hex_of(BYTES_OF(md), text, sizeof(text));
	if (!e)
		printf("%s\n", text);
	else
		e = fail(&l->why, e, "%s has no attestation certificate yet", tre_equipment(t));
	return e;
}

static enum err roots(struct tre *t, struct line *l)
{
	STACK_OF(X509) *all = NULL;
	enum err e = cert_load_roots(l->argument, &all, &l->why);

	if (!e)
		e = tre_load_roots(t, all, &l->why);
	sk_X509_pop_free(all, X509_free);
	return e;
}

static enum err certificate(struct tre *t, struct line *l)
{
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = NULL;
	enum err e = cert_load(l->argument, &leaf, &chain, &l->why);

	if (!e && sk_X509_num(chain) < 1)
		e = fail(&l->why, ERR_FORMAT, "%s: the issuing CA is missing", l->argument);
	if (!e)
		e = tre_load_certificate(t, leaf, sk_X509_value(chain, 0), &l->why);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return e;
}

static enum err order(struct tre *t, struct line *l)
{
	FILE *f = fopen(l->argument, "re");
	uint8_t *der = malloc(FILE_ROOM);
	size_t n = f && der ? fread(der, 1, FILE_ROOM, f) : 0;
	char pimsi[DIGITS_MAX];
	struct why w = { "" };
	enum err e = f ? tre_load_order(t, BYTES(der, n), pimsi, &w) : fail(&w, ERR_IO, "cannot be read");

	if (f)
		fclose(f);
	free(der);
	if (!e)
		printf("%s\n", pimsi);
	return e ? fail(&l->why, e, "%s: %s", l->argument, w.text[0] ? w.text : err_text(e)) : OK;
}

/* `usher-equipment DOOR DIR [ARGUMENT]`: one door of the tre each, for the production line. */
static const struct door {
	const char *name, *argument, *about;
	enum err (*act)(struct tre *t, struct line *l);
} doors[] = {
	{ "csr", "attest|deliver", "prints base64 of a PKCS#10 for one of the tre's two keys", csr },
	{ "label", NULL, "prints the claim key for the label, until the first order is loaded", label },
	{ "hash", NULL, "prints the SHA-256 of the attestation certificate", hash },
	{ "load-roots", "FILE", "takes the PKI's roots (PEM)", roots },
	{ "load-cert", "FILE", "takes a certificate and its issuing CA (PEM)", certificate },
	{ "room", NULL, "prints how many orders it can still take", room },
	{ "load-order", "FILE", "takes an order (DER) and prints its PIMSI", order },
};
enum { DOORS = sizeof(doors) / sizeof(*doors) };

/* --- the equipment's life --- */

enum { FLEET_MAX = 20000, FREQUENCIES = 32 };

struct conf {
	struct conf_list frequency; /* of char[300] */
	int64_t trial, ocsp_wait;   /* s */
};
static const struct conf_item frequency_item[] = {
	{ NULL, CONF_ADDRESS, 0, 300, 0, 0, NULL, "a cell's host:port", 0, NULL, 0 },
};
static const struct conf_item schema[] = {
	{ "frequencies", CONF_LIST, CONF_AT(struct conf, frequency), 0, FREQUENCIES, NULL, "where to listen for networks, in order; never PLMNs", 0,
		frequency_item, 300 },
	{ "trial", CONF_SECONDS, CONF_AT(struct conf, trial), 10, TRIAL_MOST_S, "10m",
		"a trial of a new USIM that is not over then has failed (at most 1h: its PIMSI is kept for twice that)", 0, NULL, 0 },
	{ "ocsp_wait", CONF_SECONDS, CONF_AT(struct conf, ocsp_wait), 1, 600, "30s", "how long a DM session waits for OCSP; then the result is told later", 0,
		NULL, 0 },
	CONF_END,
};

struct fleet {
	struct loop *loop;
	struct conf conf;
	struct agent **agent;
	size_t n, left;
};

static void one_ended(struct agent *a, void *arg)
{
	struct fleet *f = arg;

	(void)a;
	if (!--f->left)
		loop_stop(f->loop, 0);
}

/* equipment.yaml of the equipment's folder, or of the fleet's. */
static enum err conf_find(const char *dir, struct conf *c, struct why *w)
{
	char path[700];
	FILE *f;

	snprintf(path, sizeof(path), "%s/equipment.yaml", dir);
	f = fopen(path, "re");
	if (!f)
		return fail(w, ERR_MISSING, "%s is missing; write `frequencies: [host:port, ...]` into it", path);
	fclose(f);
	return conf_read(path, dir, schema, c, w);
}

static enum err start(struct fleet *f, const char *dir, enum agent_goal until, struct why *w)
{
	struct agent_conf c = { .loop = f->loop, .dir = dir, .frequency = (const char (*)[300])f->conf.frequency.item, .frequencies = f->conf.frequency.n,
		.trial_ms = f->conf.trial * 1000, .ocsp_wait_ms = f->conf.ocsp_wait * 1000, .goal = until, .ended = one_ended, .arg = f };
	enum err e = agent_open(&c, f->agent + f->n, w);

	if (!e) {
		f->n++;
		f->left++;
	}
	return e;
}

static int is_equipment(const struct dirent *d)
{
	return d->d_name[0] != '.' && strchr(d->d_name, '_') != NULL;
}

static enum err start_fleet(struct fleet *f, const char *dir, enum agent_goal until, struct why *w)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_equipment, alphasort);
	enum err e = n > 0 && n <= FLEET_MAX ? OK : fail(w, ERR_MISSING, "%s: no equipment in it", dir);

	for (int i = 0; i < n; i++) {
		char path[700];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (!e)
			e = start(f, path, until, w);
		free(names[i]);
	}
	free(names);
	return e;
}

static int live(int fleet, const char *dir, enum agent_goal until)
{
	struct fleet f = { .agent = calloc(FLEET_MAX, sizeof(struct agent *)) };
	struct line l = { dir, NULL, { "" } };
	int code = 1;
	enum err e = f.agent ? loop_new(&f.loop) : ERR_NOMEM;

	prctl(PR_SET_PDEATHSIG, SIGTERM); /* ends with who started it */

	if (!e)
		e = package_selftest(&l.why); /* this machine opens packages: its libcrypto must not open forged ones */
	if (!e)
		e = conf_find(dir, &f.conf, &l.why);
	if (!e)
		e = fleet ? start_fleet(&f, dir, until, &l.why) : start(&f, dir, until, &l.why);
	if (!e)
		code = loop_run(f.loop);
	else
		sorry(&l, e);
	for (size_t i = 0; i < f.n; i++)
		agent_close(f.agent[i]);
	conf_free(schema, &f.conf);
	if (f.loop)
		loop_free(f.loop);
	free(f.agent);
	return code;
}

/* --- words for people --- */

static const struct goal {
	const char *word, *about;
	enum agent_goal goal;
} goals[] = {
	{ "discover", "its DLUSIM service is known", GOAL_DISCOVERED },
	{ "verify", "it has proved itself and holds its trigger", GOAL_TRIGGERED },
	{ "install", "its USIM is installed, inactive", GOAL_INSTALLED },
	{ "operate", "it is operative as itself", GOAL_OPERATIVE },
};
enum { GOALS = sizeof(goals) / sizeof(*goals) };
static const struct option options[] = {
	{ "fleet", no_argument, NULL, 'f' }, { "until", required_argument, NULL, 'u' }, { "check-config", no_argument, NULL, 'c' },
	{ "example-config", no_argument, NULL, 'e' }, { "man", no_argument, NULL, 'm' }, { "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' }, { 0 },
};

static int usage(FILE *out, int code)
{
	fprintf(out, "usher-equipment: a machine with a trusted environment (tre), a modem and an agent\n\n"
		"usage: usher-equipment [--until GOAL] DIR            one equipment lives: attaches, asks where to go, proves what it is, installs its\n"
		"                                                     USIM, and again as itself; DIR/equipment.yaml holds its frequencies\n"
		"       usher-equipment [--until GOAL] --fleet DIR    all equipments in DIR's folders, in one process; DIR/equipment.yaml\n"
		"       usher-equipment make DIR ID                   a new equipment: keys that never leave its tre\n"
		"       usher-equipment DOOR DIR [ARGUMENT]           one door of the tre, for the production line (`usher factory`)\n"
		"       usher-equipment --check-config DIR | --example-config | --man | --version | --help\n\nGOAL: it ends when\n");
	for (int i = 0; i < GOALS; i++)
		fprintf(out, "  %-27s %s\n", goals[i].word, goals[i].about);
	fprintf(out, "DOOR:\n");
	for (int i = 0; i < DOORS; i++)
		fprintf(out, "  %-10s DIR %-12s %s\n", doors[i].name, doors[i].argument ? doors[i].argument : "", doors[i].about);
	fprintf(out, "\nexamples:\n  usher-equipment --fleet fleet\n  usher-equipment --until operate fleet/acme_000001\n");
	return code;
}

static void man_row(const char *word, const char *about)
{
	printf(".TP\n.B ");
	man_text(word, stdout);
	putchar('\n');
	man_text(about, stdout);
	putchar('\n');
}

static int man(void)
{
	printf(".TH USHER\\-EQUIPMENT 8 \"\" \"usher " USHER_VERSION "\" \"usher\"\n.SH NAME\nusher\\-equipment \\- a machine with a trusted environment, a modem"
		" and an agent\n"
		".SH SYNOPSIS\n.B usher\\-equipment\n[\\fB\\-\\-until\\fR \\fIGOAL\\fR] [\\fB\\-\\-fleet\\fR]\n.I DIR\n.br\n.B usher\\-equipment make\n.I DIR"
		" ID\n.br\n.B usher\\-equipment\n.I DOOR DIR\n"
		"[\\fIARGUMENT\\fR]\n.br\n.B usher\\-equipment \\-\\-check\\-config\n.I DIR\n.br\n.B usher\\-equipment\n"
		"[\\fB\\-\\-example\\-config\\fR|\\fB\\-\\-man\\fR|\\fB\\-\\-version\\fR|\\fB\\-\\-help\\fR]\n"
		".SH DESCRIPTION\nThe folder\n.I DIR\nis one equipment, which\n.B usher factory\nmakes; with\n.B \\-\\-fleet\nits folders are one equipment each, all"
		" in one process.\n"
		"What an equipment cannot do now it does later, with back\\-off, for ever.\n.SS Goals\nwith\n.B \\-\\-until\nit ends when\n");
	for (int i = 0; i < GOALS; i++)
		man_row(goals[i].word, goals[i].about);
	printf(".SS Doors\nfor the production line, one call each\n");
	for (int i = 0; i < DOORS; i++)
		man_row(doors[i].name, doors[i].about);
	printf(".SH CONFIGURATION\nItems of DIR/equipment.yaml:\n");
	conf_man(schema, stdout);
	printf(".SH FILES\n.TP\n.BR tre.key \", \" tre.a \", \" tre.b\nthe trusted environment: keys, orders, USIMs, in two copies; the key file stands for its"
		" hardware\n"
		".TP\n.B roots.pem\nthe agent's roots, for TLS\n.TP\n.B label\nthe claim key, as printed on the equipment: secret, for its owner\n"
		".TP\n.B journey\na line of JSON per event: at_ms, equipment, step, text; sent, received (octets) and turns (round trips) on its link since"
		" power\\-on.\n"
		".B usher watch\nreads it\n"
		".SH EXIT STATUS\n0 when the goal is reached or at SIGTERM, 1 on failure (one sentence on standard error), 2 for wrong usage.\n"
		".SH EXAMPLES\n.nf\nusher\\-equipment \\-\\-fleet fleet\nusher\\-equipment \\-\\-until operate fleet/acme_000001\n.fi\n"
		".SH SEE ALSO\n.BR usher (1),\n.BR usher.yaml (5)\n");
	return 0;
}

static int config_check(struct line *l)
{
	struct conf c;
	enum err e = conf_find(l->dir, &c, &l->why);

	if (e)
		return sorry(l, e);
	printf("%s: good, %zu frequenc%s\n", l->dir, c.frequency.n, c.frequency.n == 1 ? "y" : "ies");
	conf_free(schema, &c);
	return 0;
}

static const struct door *door_find(const char *word)
{
	for (int i = 0; i < DOORS; i++)
		if (!strcmp(doors[i].name, word))
			return doors + i;
	return NULL;
}

static int misunderstood(const char *word)
{
	const struct door *door = door_find(word);
	const char *near = NULL;
	size_t least = strlen(word) < TEXT_FAR ? strlen(word) : TEXT_FAR;

	if (door || !strcmp(word, "make")) {
		fprintf(stderr, "usher-equipment: usage: usher-equipment %s DIR %s\n", word, !door ? "ID" : door->argument ? door->argument : "");
		return 2;
	}
	for (int i = 0; i < DOORS; i++)
		if (text_nearer(doors[i].name, word, &least))
			near = doors[i].name;
	fprintf(stderr, "usher-equipment: `%s`, or what follows it, is not understood;%s%s%s --help shows the usage\n", word,
		near ? " did you mean `" : "", near ? near : "", near ? "`?" : "");
	return 2;
}

static int goal_find(const char *word, enum agent_goal *goal)
{
	for (int i = 0; i < GOALS; i++)
		if (!strcmp(goals[i].word, word)) {
			*goal = goals[i].goal;
			return 1;
		}
	fprintf(stderr, "usher-equipment: --until `%s`: discover, verify, install or operate\n", word);
	return 0;
}

/* `make DIR ID` or a door. */
static int for_the_line(int n, char **word)
{
	struct line l = { n > 1 ? word[1] : NULL, n > 2 ? word[2] : NULL, { "" } };
	const struct door *door = door_find(word[0]);
	int makes = n == 3 && !strcmp(word[0], "make");
	enum err e;

	if (!makes && (!door || n != 2 + (door->argument != NULL)))
		return misunderstood(word[0]);
	e = makes ? make(&l) : with_tre(&l, door->act);
	return e ? sorry(&l, e) : 0;
}

int main(int argc, char **argv)
{
	enum agent_goal until = GOAL_NONE;
	int fleet = 0, check = 0, lives = 0, c;

	secret_process();
	log_open("equipment", LOG_WARN);
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		if (c == 'h')
			return usage(stdout, 0);
		if (c == 'v')
			return printf("usher-equipment %s\n", USHER_VERSION) < 0;
		if (c == 'm')
			return man();
		if (c == 'e')
			return conf_example(schema, "an equipment's, or its fleet's: DIR/equipment.yaml", stdout), 0;
		if (c == '?' || (c == 'u' && !goal_find(optarg, &until)))
			return c == '?' ? misunderstood(argv[optind - 1]) : 2;
		fleet |= c == 'f';
		check |= c == 'c';
		lives = 1;
	}
	argc -= optind;
	argv += optind;
	if (argc == 1 && check)
		return config_check(&(struct line){ argv[0], NULL, { "" } });
	if (argc == 1 && (lives || (!door_find(argv[0]) && strcmp(argv[0], "make")))) {
		log_open("equipment", LOG_INFO);
		return live(fleet, argv[0], until);
	}
	return !argc ? usage(stderr, 2) : lives ? misunderstood(argv[1]) : for_the_line(argc, argv);
}
