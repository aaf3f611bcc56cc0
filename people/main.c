/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/secret.h"
#include "people/people.h"

/* arguments names every option of the command: what does not stand there is refused before the command runs. */
static const struct command commands[] = {
	{ "setup", "ROLE DIR --id ID [--attestation ID=HOST:PORT --roots FILE --invite-file FILE] [--staff NAME] [--listen NAME=HOST:PORT]... [--set KEY=VALUE]...",
		"make the folder of a role, a member of staff or a factory",
		"  usher setup attestation pki --id pki.example --staff alice --invite-file alice.invite\n"
		"  usher setup registration reg --id 901-70 --attestation pki.example=127.0.0.1:8443 --roots pki/roots.pem --invite-file reg.invite\n"
		"  usher setup staff alice --id alice --attestation pki.example=127.0.0.1:8443 --roots pki/roots.pem --invite-file alice.invite\n"
		"Keys are made here and never leave. --listen and --set write into usher.yaml. For the role attestation, --staff names the first\n"
		"member of staff, and --invite-file is where his invite is written. A set-up that was interrupted is given again.\n", setup_role },
	{ "renew", "DIR --attestation ID=HOST:PORT [--invite-file FILE]", "fetch new certificates for the keys of a folder, before theirs end",
		"  usher renew reg --attestation pki.example=127.0.0.1:8443\n"
		"  usher renew reg --attestation pki.example=127.0.0.1:8443 --invite-file reg.invite\n"
		"TLS certificates last 90 days, those that sign 730 (tls_life, sign_life of usher-attestation). Once a month for each folder of a role,\n"
		"a factory or staff, the attestation provider's own too; then restart the role. The keys stay. Whose certificate has ended needs an invite.\n", renew },
	{ "peer add", "DIR ROLE ID [--address HOST:PORT] [--gsup HOST:PORT] [--access HOST:PORT] [--ocsp HOST:PORT] [--range DIGITS]... [--replace]",
		"let DIR's role know another role",
		"  usher peer add reg dlusim dlusim.home.example --address 10.0.0.7:8443\n"
		"  usher peer add vis registration 901-70 --gsup 127.0.0.1:@../reg/run/ports#gsup --access 10.0.0.3:8445 --range 90170\n"
		"A port written @FILE#NAME is read from FILE (made by `usher run`) when the role starts.\n", peer_add },
	{ "run", "[--temporary | --remove DIR] [--verbose] DIR...", "start the roles of these folders and watch over them",
		"  usher run pki reg vis home\n"
		"Binds every listener, writes DIR/run/ports, restarts a role that dies, stops all at Ctrl-C. The roles' log lines go to DIR/run/log.\n"
		"--temporary removes the folders at the end, --remove the whole of DIR, whatever ends it. --verbose shows the log lines here.\n", run_dirs },
	{ "status", "[ROLE ID]", "ask every role this folder knows how it is",
		"  usher --as alice status\n  usher --as alice --json status registration 901-70\nExits 1 if one does not answer.\n", status_all },
	{ "metrics", "[ROLE ID]", "print the Prometheus text of every role this folder knows",
		"  usher --as alice metrics\n  usher --as alice metrics dlusim dlusim.home.example\n"
		"A line `# ROLE ID` stands before each role's own.\n", metrics_all },
	{ "ca invite", "ROLE ID", "let somebody enrol once",
		"  usher --as alice ca invite registration 901-70 > reg.invite\n", ca_invite },
	{ "ca revoke", "ROLE ID [--use tls|sign|deliver] [--reason REASON]", "revoke certificates",
		"  usher --as alice ca revoke equipment acme:000017 --reason keyCompromise\n", ca_revoke },
	{ "ca list", "[ROLE [ID]]", "list certificates",
		"  usher --as alice ca list equipment\n", ca_list },
	{ "pool add", "registration|hss ID FROM COUNT", "give a role numbers: PIMSIs or IMSIs",
		"  usher --as alice pool add registration 901-70 901700000000001 1000\n", pool_add },
	{ "pimsi", "list [--state STATE] | show|block|unblock|reserve|quarantine|release PIMSI [--reason TEXT] [--yes] [--at ID]",
		"look at a registration operator's PIMSIs, and move them",
		"  usher --as alice pimsi list --state quarantine\n"
		"  usher --as alice pimsi show 901700000000017\n"
		"  usher --as alice pimsi block 901700000000017 --reason \"meter stolen\"\n"
		"  usher --as alice pimsi release 901700000000017 --yes\n"
		"States: free, reserved, issued, bound, routed, used, retired, quarantine, blocked; `show` says what may come next. A PIMSI without\n"
		"vectors is cancelled where it is attached. release gives one in quarantine back to the pool: its old equipment can then never return.\n"
		"--at ID if this folder knows several registration operators.\n", pimsi_numbers },
	{ "imsi", "list [--state STATE] | show|suspend|resume|terminate|quarantine|release IMSI [--reason TEXT] [--yes] [--at ID]",
		"look at a home operator's IMSIs, and move them",
		"  usher --as alice imsi list --state trial\n"
		"  usher --as alice imsi suspend 262420000000017 --reason \"bill of October\"\n"
		"  usher --as alice imsi resume 262420000000017\n"
		"  usher --as alice imsi terminate 262420000000017\n"
		"States: allocated, prepared, released, trial, active, suspended, terminated, quarantine; `show` says what may come next. release gives\n"
		"one that is prepared or in quarantine back to the pool. --at ID if this folder knows several home operators.\n", imsi_numbers },
	{ "factory enrol", "FLEET --maker MAKER --count N [--first N]", "make equipments with keys and certificates",
		"  usher --as fab factory enrol fleet --maker acme --count 10\nOne folder per equipment. Given again, it goes on where it stopped.\n", factory_enrol },
	{ "factory order", "FLEET --registration PLMN --order ID", "order a PIMSI for every equipment and load it",
		"  usher --as fab factory order fleet --registration 901-70 --order 2026-47\n"
		"Goes out in batches of 100, noted in FLEET/orders. The same order id gives the same PIMSIs again, and new equipments new ones.\n", factory_order },
	{ "factory bind", "FLEET --registration PLMN", "bind PIMSIs, certificates and claim keys; writes FLEET/labels.csv",
		"  usher --as fab factory bind fleet --registration 901-70\nSafe to give again.\n", factory_bind },
	{ "people add", "DLUSIM OWNER", "give an owner an account at a DLUSIM service; prints his token once",
		"  usher --as alice people add dlusim.home.example waterworks > waterworks.token\n", people_add },
	{ "owner claim", "FILE --dlusim ID=HOST:PORT --roots FILE --token-file FILE [--serial N]", "subscribe equipments by their labels",
		"  usher owner claim fleet/labels.csv --dlusim dlusim.home.example=127.0.0.1:8446 --roots roots.pem --token-file waterworks.token\n"
		"FILE: a header line, then equipment,registration,claim_key[,serial]. A row that is wrong is named and the rest goes on.\n"
		"Safe to give again; a higher serial replaces. The claim keys stay here.\n", owner_claim },
	{ "watch", "FLEET [--until STEP] [--timeout SECONDS] [--quiet]", "follow the journeys of a fleet; a table at the end",
		"  usher watch fleet --until verify\nSTEP: attach discover verify provision install. Exit 0 when all equipments reached it.\n", watch_fleet },
	{ "explain", "EQUIPMENT | PIMSI | IMSI | CERTIFICATE | OWNER [--all]", "tell a story, out of every role's audit, and whose turn it is",
		"  usher --as alice explain acme:000017\n  usher --as alice explain waterworks\n"
		"Asks each role that this folder knows, and on with the other names they give. CERTIFICATE is its SHA-256, 64 hex digits.\n"
		"What was said several times stands once, at the last time; --all shows each.\n", explain },
	{ "audit", "DIR...", "prove the invariants over the databases of stopped or running roles",
		"  usher audit reg hss dlusim dm\nReads only. Says what does not hold, and exits 1.\n", audit_dirs },
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

int sorry(const char *fmt, ...)
{
	va_list ap;

	fputs("usher: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return FAILED;
}

void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(o);
}

void answer(const struct words *w, json_t *o, const char *fmt, ...)
{
	va_list ap;

	if (w->json) {
		print_json(o);
		return;
	}
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	json_decref(o);
}

/* --- words and options --- */

static void take_out(struct words *w, int at, int n)
{
	memmove(w->v + at, w->v + at + n, (size_t)(w->n - at - n) * sizeof(*w->v));
	w->n -= n;
}

const char *words_option(struct words *w, const char *name)
{
	size_t len = strlen(name);

	for (int i = 0; i < w->n; i++) {
		const char *t = w->v[i], *value;

		if (strncmp(t, "--", 2) || strncmp(t + 2, name, len))
			continue;
		if (t[2 + len] == '=') {
			take_out(w, i, 1);
			return t + 3 + len;
		}
		if (t[2 + len] || i + 1 >= w->n)
			continue;
		value = w->v[i + 1];
		take_out(w, i, 2);
		return value;
	}
	return NULL;
}

int words_flag(struct words *w, const char *name)
{
	for (int i = 0; i < w->n; i++)
		if (!strncmp(w->v[i], "--", 2) && !strcmp(w->v[i] + 2, name)) {
			take_out(w, i, 1);
			return 1;
		}
	return 0;
}

int words_left(struct words *w, int n, const char *usage)
{
	if (w->n == n)
		return 1;
	sorry("%d word%s expected, %d given; usage: usher %s", n, n == 1 ? "" : "s", w->n, usage);
	return 0;
}

/* The next --name in a command's arguments, from *at on; 1 with its length, and whether a value follows it. */
static int next_option(const char **at, size_t *len, int *value)
{
	const char *p = strstr(*at, "--");

	if (!p)
		return 0;
	for (p += 2, *len = 0; islower((unsigned char)p[*len]) || p[*len] == '-';)
		++*len;
	*value = p[*len] == ' ' && isalnum((unsigned char)p[*len + 1]);
	*at = p;
	return 1;
}

/* 1 and whether it wants a value, or 0 and the nearest name. */
static int option_known(const struct command *c, const char *name, size_t n, int *value, char near[40])
{
	const char *at = c->arguments;
	size_t len, least = TEXT_FAR;
	char given[40];

	snprintf(given, sizeof(given), "%.*s", (int)n, name);
	for (*near = 0; next_option(&at, &len, value);) {
		char have[40];

		snprintf(have, sizeof(have), "%.*s", (int)len, at);
		if (!strcmp(have, given))
			return 1;
		if (text_nearer(have, given, &least))
			memcpy(near, have, sizeof(have));
	}
	return 0;
}

static int options_check(const struct command *c, const struct words *w)
{
	char near[40] = "";
	int value = 0;

	for (int i = 0; i < w->n; i++) {
		const char *name = w->v[i], *eq = strchr(name, '=');
		size_t n = eq ? (size_t)(eq - name) : strlen(name);

		if (*name != '-' || !name[1])
			continue;
		if (name[1] != '-' || !option_known(c, name + 2, n - 2, &value, near)) {
			near[name[1] == '-' ? sizeof(near) - 1 : 0] = 0;
			sorry("`usher %s` has no option `%.*s`; %s%s%s`usher help %s` shows its options", c->words, (int)n, name, *near ? "did you mean --" : "",
				near, *near ? "? " : "", c->words);
			return 0;
		}
		if (value == !!eq)
			continue;
		if (eq || i + 1 == w->n) {
			sorry("%.*s %s; usage: usher %s %s", (int)n, name, eq ? "takes no value" : "needs a value", c->words, c->arguments);
			return 0;
		}
		i++; /* its value */
	}
	return 1;
}

/* --as, --json and --help stand anywhere. 0: one of them is wrong, and said. */
static int words_of_all(struct words *w, int *wants_help)
{
	const char *as = words_option(w, "as");

	w->as = as ? as : w->as;
	w->json = words_flag(w, "json");
	*wants_help = words_flag(w, "help") || (w->n && !strcmp(w->v[0], "-h"));
	if (!words_flag(w, "as"))
		return 1;
	sorry("--as needs a folder made by `usher setup staff DIR` (or factory)");
	return 0;
}

/* --- help --- */

static void list(FILE *out, const char *actor)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strncmp(commands[i].words, actor, strlen(actor)))
			fprintf(out, "  %-15s %s\n", commands[i].words, commands[i].about);
}

static void overview(FILE *out)
{
	fprintf(out, "usher brings M2M equipment home: remote management of USIM applications (3GPP TR 33.812).\n\n"
		"usage: usher [--as DIR] [--json] COMMAND ...\n\n");
	list(out, "");
	fprintf(out, "\n`usher help COMMAND` shows its usage with examples; `usher --man` is the man page, `usher --man usher.yaml` that of the\n"
		"configuration. --as DIR (or USHER_AS) is who you are. --json prints data as JSON. Exit: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct command *find(char **v, int n, int *used)
{
	for (int i = 0; i < COMMANDS; i++) {
		char text[64] = "";
		int k = strchr(commands[i].words, ' ') ? 2 : 1;

		if (n < k)
			continue;
		snprintf(text, sizeof(text), k == 2 ? "%s %s" : "%s", v[0], k == 2 ? v[1] : "");
		if (!strcmp(text, commands[i].words)) {
			*used = k;
			return commands + i;
		}
	}
	return NULL;
}

/* An actor without its verb, or the nearest command. */
static int unknown(const struct words *w)
{
	char given[64], actor[64];
	const char *near = NULL;
	size_t least = TEXT_FAR;

	if (w->v[0][0] == '-')
		return sorry("no option `%s` before a command; there are --as DIR, --json, --help, --version and --man", w->v[0]), USAGE;
	snprintf(actor, sizeof(actor), "%.60s ", w->v[0]);
	for (int i = 0; i < COMMANDS; i++) {
		if (!strncmp(commands[i].words, actor, strlen(actor))) {
			sorry("`usher %s%s%s` is no command; there are", w->v[0], w->n > 1 ? " " : "", w->n > 1 ? w->v[1] : "");
			list(stderr, actor);
			return USAGE;
		}
		snprintf(given, sizeof(given), "%.30s%s%.30s", w->v[0], strchr(commands[i].words, ' ') && w->n > 1 ? " " : "",
			strchr(commands[i].words, ' ') && w->n > 1 ? w->v[1] : "");
		if (text_nearer(commands[i].words, given, &least))
			near = commands[i].words;
	}
	sorry("no command `%s`; %s%s%s`usher help` lists all", w->v[0], near ? "did you mean `usher " : "", near ? near : "", near ? "`? " : "");
	return USAGE;
}

static void help_one(const struct command *c)
{
	printf("usher %s: %s\n\nusage: usher %s %s\n\n%s", c->words, c->about, c->words, c->arguments, c->more);
}

static int help(struct words *w)
{
	int used;
	const struct command *c = find(w->v, w->n, &used);

	if (!w->n)
		overview(stdout);
	else if (c)
		help_one(c);
	else
		return unknown(w);
	return DONE;
}

int main(int argc, char **argv)
{
	struct words w = { argc - 1, argv + 1, 0, getenv("USHER_AS") };
	const struct command *c;
	int used = 0, wants_help;

	secret_process();
	log_open("usher", LOG_ERROR);
	if (!words_of_all(&w, &wants_help))
		return USAGE;
	if (w.n && !strcmp(w.v[0], "--version"))
		return printf("usher %s\n", USHER_VERSION) < 0;
	if (w.n && !strcmp(w.v[0], "--man"))
		return man_page(commands, COMMANDS, w.n > 1 ? w.v[1] : "usher");
	if (!w.n && !wants_help) {
		overview(stderr);
		return USAGE;
	}
	if (!w.n || wants_help || !strcmp(w.v[0], "help")) {
		if (w.n && (!strcmp(w.v[0], "help") || w.v[0][0] == '-'))
			take_out(&w, 0, 1);
		return help(&w);
	}
	c = find(w.v, w.n, &used);
	if (!c)
		return unknown(&w);
	take_out(&w, 0, used);
	return options_check(c, &w) ? c->run(&w) : USAGE;
}
