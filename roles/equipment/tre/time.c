/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time without a clock (DESIGN 3): a floor that never goes back, until the first nonce-matched OCSP answer of a run says what time
 * it is. From then on time is that, and what has passed since.
 */
#include "core/clock.h"
#include "roles/equipment/tre/tre.h"

static const char *const what[VALID_COUNT] = { [VALID_DISCOVER] = "discover answer", [VALID_CHALLENGE] = "challenge", [VALID_TRIGGER] = "trigger" };

struct cert_time time_now(const struct tre *t)
{
	if (t->learned)
		return (struct cert_time){ t->learned + (clock_mono_ms() - t->learned_ms) / 1000, 0 };
	return (struct cert_time){ t->state.floor, 1 };
}

struct expect time_expects(const struct tre *t, const char *id)
{
	return (struct expect){ .id = id, .use = CERT_SIGN, .roots = t->roots, .time = time_now(t) };
}

enum err time_use(struct tre *t, int which, int64_t expiry, struct why *w)
{
	t->valid[which] = (struct validity){ expiry, clock_mono_ms() };
	return expiry < time_now(t).now ? fail(w, ERR_EXPIRED, "the %s has expired", what[which]) : OK;
}

/* How long ago, no clock here says; the operator's does, whose HSS signs over the answer only while both objects that it names are valid. */
void time_used_once(struct tre *t, int which)
{
	t->valid[which] = (struct validity){ INT64_MAX, clock_mono_ms() };
}

void time_learn(struct tre *t, int64_t produced)
{
	if (t->learned)
		return;
	t->learned = produced > t->state.floor ? produced : t->state.floor;
	t->learned_ms = clock_mono_ms();
}

enum err time_judge(const struct tre *t, struct why *w)
{
	for (int i = 0; i < VALID_COUNT; i++)
		if (t->valid[i].expiry < t->learned + (t->valid[i].used_ms - t->learned_ms) / 1000)
			return fail(w, ERR_EXPIRED, "the %s had expired when it was used", what[i]);
	return OK;
}

struct cert_time tre_time(const struct tre *t)
{
	return time_now(t);
}
