/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "people/people.h"

/* The one attestation provider this folder knows. */
static const struct peer *provider(struct asker *a)
{
	for (size_t i = 0; i < peers_count(asker_peers(a)); i++)
		if (!strcmp(peers_at(asker_peers(a), i)->party.role, "attestation"))
			return peers_at(asker_peers(a), i);
	sorry("this folder knows no attestation provider; `usher peer add DIR attestation ID --address HOST:PORT`");
	return NULL;
}

static json_t *ask(struct words *w, const char *path, json_t *body)
{
	struct asker *a = asker_open(w, NULL);
	const struct peer *p = a ? provider(a) : NULL;
	json_t *o = NULL;

	if (p)
		o = asker_json(a, p, path, body, NULL);
	else
		json_decref(body);
	asker_close(a);
	return o;
}

int ca_invite(struct words *w)
{
	json_t *o;

	if (!words_left(w, 2, "ca invite ROLE ID") || !party_good(w->v[0], w->v[1]))
		return USAGE;
	o = ask(w, "/v1/invite", json_pack("{s:s, s:s}", "role", w->v[0], "id", w->v[1]));
	if (!o)
		return FAILED;
	answer(w, o, "%s", json_string_value(json_object_get(o, "invite")));
	return DONE;
}

int ca_revoke(struct words *w)
{
	const char *use = words_option(w, "use"), *reason = words_option(w, "reason");
	size_t n;
	json_t *o;

	if (!words_left(w, 2, "ca revoke ROLE ID [--use tls|sign|deliver] [--reason REASON]") || !party_good(w->v[0], w->v[1]))
		return USAGE;
	if (use && strcmp(use, "tls") && strcmp(use, "sign") && strcmp(use, "deliver"))
		return sorry("--use `%s` is none of tls, sign, deliver", use), USAGE;
	o = ask(w, "/v1/revoke", json_pack("{s:s, s:s, s:s, s:s}", "role", w->v[0], "id", w->v[1], "use", use ? use : "", "reason",
		reason ? reason : "unspecified"));
	if (!o)
		return FAILED;
	n = json_array_size(json_object_get(o, "revoked"));
	answer(w, o, "revoked %zu certificates of %s %s%s", n, w->v[0], w->v[1], n ? "" : "; `usher ca list` shows what there is");
	return n ? DONE : FAILED;
}

int ca_list(struct words *w)
{
	char path[600];
	json_t *o, *c;
	size_t i;

	if ((w->n > 2 && !words_left(w, 2, "ca list [ROLE [ID]]")) || (w->n && !party_good(w->v[0], w->n > 1 ? w->v[1] : NULL)))
		return USAGE;
	snprintf(path, sizeof(path), "/v1/certificates?role=%s&id=%s", w->n > 0 ? w->v[0] : "", w->n > 1 ? w->v[1] : "");
	o = ask(w, path, NULL);
	if (!o)
		return FAILED;
	if (w->json) {
		print_json(o);
		return DONE;
	}
	if (!json_array_size(json_object_get(o, "certificates")))
		sorry("no certificate of %s %s", w->n ? w->v[0] : "anybody", w->n > 1 ? w->v[1] : "");
	json_array_foreach(json_object_get(o, "certificates"), i, c) {
		const char *role, *id, *use, *state, *serial;

		if (!json_unpack(c, "{s:s, s:s, s:s, s:s, s:s}", "role", &role, "id", &id, "use", &use, "state", &state, "serial", &serial))
			printf("%-13s %-24s %-8s %-8s %s\n", role, id, use, state, serial);
	}
	json_decref(o);
	return DONE;
}
