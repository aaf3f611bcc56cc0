/* SPDX-License-Identifier: Apache-2.0 */
/* The man pages usher(1) and usher.yaml(5), out of the tables that the programs read. */
#include <stdio.h>
#include <string.h>

#include "people/people.h"

static const char *const roles[] = { "attestation", "registration", "visited", "hss", "dlusim", "dm", "equipment" };

static void lines(const char *text)
{
	man_text(text, stdout);
}

/* More of a command: lines that begin with two blanks are examples, the others prose. */
static void more(const char *text)
{
	for (int example = 0, was = 0; *text; was = example) {
		size_t n = strcspn(text, "\n");
		char line[512];

		example = !strncmp(text, "  ", 2);
		if (example != was)
			fputs(example ? ".RS\n.nf\n" : ".fi\n.RE\n", stdout);
		snprintf(line, sizeof(line), "%.*s\n", (int)n - 2 * example, text + 2 * example);
		lines(line);
		text += n + (text[n] == '\n');
		if (example && !*text)
			fputs(".fi\n.RE\n", stdout);
	}
}

static void see_also(const char *first)
{
	printf(".SH SEE ALSO\n.BR %s", first);
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		printf(",\n.BR usher\\-%s (8)", roles[i]);
	printf("\n");
}

static int page_usher(const struct command *c, size_t n)
{
	printf(".TH USHER 1 \"\" \"usher " USHER_VERSION "\" \"usher\"\n.SH NAME\nusher \\- brings M2M equipment home: the command for people\n"
		".SH SYNOPSIS\n.B usher\n[\\fB\\-\\-as\\fR \\fIDIR\\fR] [\\fB\\-\\-json\\fR] \\fICOMMAND\\fR ...\n.br\n.B usher help\n[\\fICOMMAND\\fR]\n"
		".SH DESCRIPTION\nOne command for all who have to do with an equipment's way home (3GPP TR 33.812): who runs a role, the factory, the owner.\n"
		"It asks the roles over the same wires as everybody, with the certificate of a folder.\n"
		".SH OPTIONS\nThey stand anywhere.\n.TP\n.BI \\-\\-as \" DIR\"\nwho you are: a folder that\n.B usher setup staff\nor\n.B usher setup factory\nmade\n"
		".TP\n.B \\-\\-json\nwhat is printed is JSON\n.TP\n.B \\-\\-help\nusage and examples of the command\n"
		".TP\n.B \\-\\-version\nthe version\n.TP\n.BR \\-\\-man \" [\" usher.yaml ]\nthis page, or that of the configuration\n.SH COMMANDS\n");
	for (size_t i = 0; i < n; i++) {
		printf(".SS usher %s\n", c[i].words);
		lines(c[i].arguments);
		printf("\n.PP\n");
		lines(c[i].about);
		printf("\n.PP\n");
		more(c[i].more);
	}
	printf(".SH ENVIRONMENT\n.TP\n.B USHER_AS\nwho you are, when\n.B \\-\\-as\nis not given\n"
		".SH FILES\n.TP\n.B FLEET/MAKER_SERIAL/\nan equipment; see\n.BR usher\\-equipment (8)\n"
		".TP\n.B FLEET/labels.csv\nwhat is printed on the equipments: secret, for their owners\n"
		".TP\n.B FLEET/orders/\nwhich equipments went out in which order\n"
		".TP\n.B DIR/run/ports\nthe ports that\n.B usher run\nbound\n.TP\n.B DIR/run/log\nthe log of a role that it runs\n"
		".SH EXIT STATUS\n0 done, 1 failed (one sentence on standard error says what and the next step), 2 wrong usage.\n"
		".SH EXAMPLES\nThe tour from an empty folder to an operative equipment stands in tour.md of the documentation.\n"
		".PP\n.nf\nusher help factory order\nusher \\-\\-as alice status\nusher \\-\\-as alice explain acme:000017\n.fi\n");
	see_also("usher.yaml (5)");
	return DONE;
}

static int page_yaml(void)
{
	printf(".TH USHER.YAML 5 \"\" \"usher " USHER_VERSION "\" \"usher\"\n.SH NAME\nusher.yaml \\- configuration of usher's roles and of their peers\n"
		".SH SYNOPSIS\n.IR DIR /usher.yaml\n.br\n.IR DIR /peers/ ROLE _ ID .yaml\n"
		".SH DESCRIPTION\nYAML, at most 1 MiB. A key that is not known is an error with its line and the nearest name. An item that is left out has its"
		" default.\n"
		"The items of each role stand in the page of its program;\n.B usher\\-ROLE \\-\\-example\\-config\nprints all of them, and\n"
		".B usher\\-ROLE \\-\\-check\\-config\n.I DIR\nsays what is wrong in a folder.\n"
		".SS Values\n.TP\n.B text, file\nas written; a file's path counts from the folder\n"
		".TP\n.B host:port\nalso [v6]:port; for a listener the port 0 lets the kernel choose. host:@FILE#NAME takes the port from the line NAME of FILE, a"
		" file\n"
		"run/ports that\n.B usher run\nwrote, when the role starts\n"
		".TP\n.B mcc\\-mnc\na network, 001\\-01 or 310\\-260\n.TP\n.B time\n90s, 10m, 72h, 30d; seconds without a unit\n"
		".TP\n.B size\n65536, 64KiB, 1MiB, 1GiB\n.TP\n.B yes or no\nalso true and false\n"
		".SH PEERS\nA file each, which\n.B usher peer add\nwrites. A role serves only peers that stand here, and believes only the id in their certificates.\n"
		"They are read at the start and at SIGHUP. A file's items:\n");
	conf_man(peer_schema, stdout);
	printf(".SH FILES\nEach role's page lists what its folder holds.\n"
		".SH EXIT STATUS\n.B usher\\-ROLE \\-\\-check\\-config\nends with 0 if all is good, 1 if not.\n"
		".SH EXAMPLES\n.nf\nrole: registration\nid: 901\\-70\nlisten:\n  peers: 10.0.0.3:8443\n  discover: 10.0.0.3:8444\n  gsup: 10.0.0.3:4222\n"
		"  access: 10.0.0.3:8445\nallowed: [001\\-01, 001\\-02]\ngrace: 72h\n.fi\n.PP\nand the peer peers/visited_001\\-01.yaml:\n.PP\n.nf\n"
		"role: visited\nid: 001\\-01\n.fi\n");
	see_also("usher (1)");
	return DONE;
}

int man_page(const struct command *c, size_t n, const char *page)
{
	if (!strcmp(page, "usher"))
		return page_usher(c, n);
	if (!strcmp(page, "usher.yaml"))
		return page_yaml();
	sorry("no man page `%s` here; there are usher and usher.yaml, and `usher-ROLE --man`", page);
	return USAGE;
}
