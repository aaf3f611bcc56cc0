/* SPDX-License-Identifier: Apache-2.0 */

#include "people/people.h"

int pool_add(struct words *w)
{
	struct asker *a;
	const struct peer *p;
	json_t *o = NULL;
	int64_t count;

	if (!words_left(w, 4, "pool add registration|hss ID FROM COUNT"))
		return USAGE;
	if (text_number(w->v[3], 1, 100000, &count) || text_digits(w->v[2]) < 5 || text_digits(w->v[2]) > 15)
		return sorry("`%s` `%s`: FROM is the first number (5 to 15 digits), COUNT 1 to 100000", w->v[2], w->v[3]), USAGE;
	a = asker_open(w, NULL);
	if (!a)
		return FAILED;
	p = peers_find(asker_peers(a), w->v[0], w->v[1]);
	if (p)
		o = asker_json(a, p, "/v1/pool", json_pack("{s:s, s:I}", "from", w->v[2], "count", (json_int_t)count), NULL);
	else
		sorry("this folder knows no %s %s; `usher peer add` makes it known", w->v[0], w->v[1]);
	if (o)
		answer(w, json_incref(o), "%s %s: added %lld, free %lld", w->v[0], w->v[1], (long long)json_integer_value(json_object_get(o, "added")),
			(long long)json_integer_value(json_object_get(o, "free")));
	json_decref(o);
	asker_close(a);
	return o ? DONE : FAILED;
}
