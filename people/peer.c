/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "people/people.h"

enum { FILE_ROOM = 8192 };

/* What the options say, as lines of the peer file; its reader is core/peers.c. */
static enum err options_text(struct words *w, char *dst, size_t cap)
{
	static const char *const names[] = { "address", "gsup", "access", "ocsp" };
	struct wr t = wr_of(dst, cap - 1);
	const char *v;
	int ranges = 0;

	for (int i = 0; i < 4; i++)
		if ((v = words_option(w, names[i])))
			wr_printf(&t, "%s: \"%s\"\n", names[i], v);
	while ((v = words_option(w, "range")))
		wr_printf(&t, "%s  - \"%s\"\n", ranges++ ? "" : "range:\n", v);
	dst[t.n] = 0;
	return wr_done(&t);
}

static int same_as(const char *path, const char *text)
{
	char have[FILE_ROOM];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(have, 1, sizeof(have), f) : 0;

	if (f)
		fclose(f);
	return n == strlen(text) && !memcmp(have, text, n);
}

static int write_file(const char *path, const char *text)
{
	char part[1100];
	FILE *f;

	snprintf(part, sizeof(part), "%s.part", path);
	f = fopen(part, "we");
	if (!f || fputs(text, f) < 0 || fflush(f) || fsync(fileno(f))) {
		if (f)
			fclose(f);
		return sorry("%s: %s", part, strerror(errno));
	}
	fclose(f);
	return rename(part, path) ? sorry("%s: %s", path, strerror(errno)) : DONE;
}

int party_good(const char *role, const char *id)
{
	if (!cert_role_number(role))
		return sorry("`%s` is no role; one of attestation registration visited hss dlusim dm factory staff equipment", role), 0;
	if (id && !cert_id_good(id))
		return sorry("`%s` is no id; letters, digits and . : _ + - only", id), 0;
	return 1;
}

int peer_add(struct words *w)
{
	static const char usage[] = "peer add DIR ROLE ID [--address HOST:PORT] [--gsup ..] [--access ..] [--ocsp ..] [--range DIGITS]... [--replace]";
	char options[FILE_ROOM], text[FILE_ROOM + 600], path[1024], dir[600];
	struct peer p;
	struct why why = { "" };
	int replace = words_flag(w, "replace"), code;

	if (options_text(w, options, sizeof(options)))
		return sorry("the options are too long");
	if (!words_left(w, 3, usage))
		return USAGE;
	if (!party_good(w->v[1], w->v[2]))
		return USAGE;
	snprintf(dir, sizeof(dir), "%s/peers", w->v[0]);
	snprintf(path, sizeof(path), "%s/%s_%s.yaml", dir, w->v[1], w->v[2]);
	snprintf(text, sizeof(text), "role: %s\nid: %s\n%s", w->v[1], w->v[2], options);
	if (conf_parse(text, path, dir, peer_schema, &p, &why))
		return sorry("%s", why.text);
	conf_free(peer_schema, &p);
	if (access(w->v[0], W_OK))
		return sorry("%s: %s; `usher setup` makes the folder", w->v[0], strerror(errno));
	(void)!mkdir(dir, 0700);
	if (!access(path, F_OK) && !replace && !same_as(path, text))
		return sorry("%s exists with other content; --replace writes over it", path);
	code = write_file(path, text);
	if (!code && w->json)
		print_json(json_pack("{s:s, s:s, s:s}", "file", path, "role", w->v[1], "id", w->v[2]));
	return code;
}
