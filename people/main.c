/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/secret.h"
#include "people/people.h"

static const struct command {
	const char *words, *arguments, *about, *more;
	int (*run)(struct words *w);
} commands[] = {
	{ "setup", "ROLE DIR --id ID ...", "make the folder of a role, a member of staff or a factory",
		"  usher setup attestation pki --id pki.example --staff alice --invite-file alice.invite\n"
		"  usher setup registration reg --id 901-70 --attestation pki.example=127.0.0.1:8443 --roots pki/roots.pem --invite-file reg.invite\n"
		"  usher setup staff alice --id alice --attestation pki.example=127.0.0.1:8443 --roots pki/roots.pem --invite-file alice.invite\n"
		"Keys are made here and never leave. --listen NAME=HOST:PORT and --set KEY=VALUE write into usher.yaml.\n", setup_role },
	{ "peer add", "DIR ROLE ID [--address HOST:PORT] ...", "let DIR's role know another role",
		"  usher peer add reg dlusim dlusim.home.example --address 10.0.0.7:8443\n"
		"  usher peer add vis registration 901-70 --gsup 127.0.0.1:@../reg/run/ports#gsup --access 10.0.0.3:8445 --range 90170\n"
		"A port written @FILE#NAME is read from FILE (made by `usher run`) when the role starts.\n", peer_add },
	{ "run", "[--temporary | --remove DIR] [--verbose] DIR...", "start the roles of these folders and watch over them",
		"  usher run pki reg vis home\n"
		"Binds every listener, writes DIR/run/ports, restarts a role that dies, stops all at Ctrl-C.\n"
		"--temporary removes the folders at the end, --remove the whole of DIR, whatever ends it. --verbose shows the roles' log lines.\n", run_dirs },
	{ "status", "[ROLE ID]", "ask every role this folder knows how it is",
		"  usher --as alice status\n  usher --as alice --json status registration 901-70\n", status_all },
	{ "metrics", "[ROLE ID]", "print the Prometheus text of every role this folder knows",
		"  usher --as alice metrics\n  usher --as alice metrics dlusim dlusim.home.example\n"
		"A line `# ROLE ID` stands before each role's own.\n", metrics_all },
	{ "ca invite", "ROLE ID", "let somebody enrol once", "  usher --as alice ca invite registration 901-70 > reg.invite\n", ca_invite },
	{ "ca revoke", "ROLE ID [--use tls|sign|deliver] [--reason REASON]", "revoke certificates",
		"  usher --as alice ca revoke equipment acme:000017 --reason keyCompromise\n", ca_revoke },
	{ "pool add", "registration|hss ID FROM COUNT", "give a role numbers: PIMSIs or IMSIs",
		"  usher --as alice pool add registration 901-70 901700000000001 1000\n", pool_add },
	{ "pimsi", "list [--state STATE] | show|block|unblock|reserve|quarantine|release PIMSI", "look at a registration operator's PIMSIs, and move them",
		"  usher --as alice pimsi list --state quarantine\n"
		"  usher --as alice pimsi show 901700000000017\n"
		"  usher --as alice pimsi block 901700000000017 --reason \"meter stolen\"\n"
		"  usher --as alice pimsi release 901700000000017 --yes\n"
		"States: free, reserved, issued, bound, routed, used, retired, quarantine, blocked; `show` says what may come next. A PIMSI without\n"
		"vectors is cancelled where it is attached. release gives one in quarantine back to the pool: its old equipment can then never return.\n"
		"--at ID if this folder knows several registration operators.\n", pimsi_numbers },
	{ "imsi", "list [--state STATE] | show|suspend|resume|terminate|quarantine|release IMSI", "look at a home operator's IMSIs, and move them",
		"  usher --as alice imsi list --state trial\n"
		"  usher --as alice imsi suspend 262420000000017 --reason \"bill of October\"\n"
		"  usher --as alice imsi resume 262420000000017\n"
		"  usher --as alice imsi terminate 262420000000017\n"
		"States: allocated, prepared, released, trial, active, suspended, terminated, quarantine; `show` says what may come next. release gives\n"
		"one that is prepared or in quarantine back to the pool. --at ID if this folder knows several home operators.\n", imsi_numbers },
	{ "factory enrol", "FLEET --maker MAKER --count N [--first N]", "make equipments with keys and certificates",
		"  usher --as fab factory enrol fleet --maker acme --count 10\nOne folder per equipment. Given again, it goes on where it stopped.\n", factory_enrol },
	{ "factory order", "FLEET --registration PLMN --order ID", "order a PIMSI for every equipment and load it",
		"  usher --as fab factory order fleet --registration 901-70 --order 2026-47\nThe same order id gives the same PIMSIs again.\n", factory_order },
	{ "factory bind", "FLEET --registration PLMN", "bind PIMSIs, certificates and claim keys; writes FLEET/labels.csv",
		"  usher --as fab factory bind fleet --registration 901-70\n", factory_bind },
	{ "people add", "DLUSIM OWNER", "give an owner an account at a DLUSIM service; prints his token once",
		"  usher --as alice people add dlusim.home.example waterworks > waterworks.token\n", people_add },
	{ "owner claim", "FILE --dlusim ID=HOST:PORT --roots FILE --token-file FILE [--serial N]", "subscribe equipments by their labels",
		"  usher owner claim fleet/labels.csv --dlusim dlusim.home.example=127.0.0.1:8446 --roots roots.pem --token-file waterworks.token\n"
		"FILE: a header line, then equipment,registration,claim_key[,serial]. Safe to give again; a higher serial replaces.\n", owner_claim },
	{ "watch", "FLEET [--until STEP] [--timeout SECONDS] [--quiet]", "follow the journeys of a fleet; a table at the end",
		"  usher watch fleet --until verify\nSTEP: attach discover verify provision install. Exit 0 when all equipments reached it.\n", watch_fleet },
	{ "explain", "EQUIPMENT | PIMSI | IMSI | CERTIFICATE", "tell a story, out of every role's audit",
		"  usher --as alice explain acme:000017\nAsks each role that this folder knows, and on with the other names they give.\n", explain },
	{ "audit", "DIR...", "prove the invariants over the databases of stopped or running roles",
		"  usher audit reg hss dlusim dm\nReads only. Says what does not hold, and exits 1.\n", audit_dirs },
	{ "ca list", "[ROLE [ID]]", "list certificates", "  usher --as alice ca list equipment\n", ca_list },
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
	for (int i = 0; i < w->n; i++)
		if (w->v[i][0] == '-' && w->v[i][1]) {
			sorry("unknown option, or one without its value: %s; usage: usher %s", w->v[i], usage);
			return 0;
		}
	if (w->n == n)
		return 1;
	sorry("%d words expected, %d given; usage: usher %s", n, w->n, usage);
	return 0;
}

static void list(FILE *out)
{
	fprintf(out, "usher brings M2M equipment home: remote management of USIM applications (3GPP TR 33.812).\n\n"
		"usage: usher [--as DIR] [--json] COMMAND ...\n\n");
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-12s %s\n", commands[i].words, commands[i].about);
	fprintf(out, "\n`usher help COMMAND` shows its usage with examples. --as DIR (or USHER_AS) is who you are.\n");
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

static int help(struct words *w)
{
	int used;
	const struct command *c = find(w->v, w->n, &used);

	if (!w->n) {
		list(stdout);
		return DONE;
	}
	if (!c) {
		sorry("no command `%s`; `usher help` lists them", w->v[0]);
		return USAGE;
	}
	printf("usher %s: %s\n\nusage: usher %s %s\n\n%s", c->words, c->about, c->words, c->arguments, c->more);
	return DONE;
}

static int unknown(const struct words *w)
{
	for (int i = 0; i < COMMANDS; i++)
		if (!strncmp(commands[i].words, w->v[0], 2)) {
			sorry("no command `%s`; did you mean `usher %s`? `usher help` lists all", w->v[0], commands[i].words);
			return USAGE;
		}
	sorry("no command `%s`; `usher help` lists them", w->v[0]);
	return USAGE;
}

int main(int argc, char **argv)
{
	struct words w = { argc - 1, argv + 1, 0, getenv("USHER_AS") };
	const struct command *c;
	int used = 0;

	secret_process();
	log_open("usher", LOG_ERROR);
	while (w.n && w.v[0][0] == '-') {
		const char *as;

		if (!strcmp(w.v[0], "--help") || !strcmp(w.v[0], "-h"))
			w.v[0] = "help";
		else if (!strcmp(w.v[0], "--version"))
			return printf("usher %s\n", USHER_VERSION) < 0;
		else if (!strcmp(w.v[0], "--json")) {
			w.json = 1;
			take_out(&w, 0, 1);
		} else if (!strncmp(w.v[0], "--as", 4) && (as = words_option(&w, "as"))) {
			w.as = as;
		} else {
			sorry("unknown option %s; `usher help` lists the commands", w.v[0]);
			return USAGE;
		}
	}
	if (!w.n) {
		list(stderr);
		return USAGE;
	}
	if (!strcmp(w.v[0], "help")) {
		take_out(&w, 0, 1);
		return help(&w);
	}
	c = find(w.v, w.n, &used);
	if (!c)
		return unknown(&w);
	take_out(&w, 0, used);
	if (words_flag(&w, "help")) {
		printf("usher %s: %s\n\nusage: usher %s %s\n\n%s", c->words, c->about, c->words, c->arguments, c->more);
		return DONE;
	}
	return c->run(&w);
}
