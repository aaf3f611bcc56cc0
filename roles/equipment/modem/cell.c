/* SPDX-License-Identifier: Apache-2.0 */
/* Listens on the frequencies, and chooses a network that the order or USIM allows and that takes us. Rejects are unprotected: none is for ever. */
#include <stdio.h>
#include <string.h>

#include "roles/equipment/modem/modem.h"

enum { REFUSED_MS = 60000, TUNE_MS = 400, TUNE_TRIES = 6, REFUSED_MOST_MS = 300000, STEADY_MS = 60000 };

void cell_give_up(struct modem *m, const char *why)
{
	struct frequency *f = m->frequency + m->now;

	attach_leave(m);
	snprintf(f->why, sizeof(f->why), "%s", why);
	modem_step(m, "network %s: %s", *f->plmn ? f->plmn : "?", why);
	modem_rest(m);
	f->look = LOOK_DONE;
	cell_next(m);
}

/* A passing trouble forbids no network (TS 24.008 10.5.5.14: network failure, congestion; 10.5.6.6: insufficient resources,
 * temporarily out of order, network failure). */
static int is_passing(int cause)
{
	return cause == 17 || cause == 22 || cause == 26 || cause == 34 || cause == 38;
}

/* All causes are unprotected: none is for ever. */
void cell_avoid(struct modem *m, int64_t ms)
{
	struct frequency *f = m->frequency + m->now;

	ms <<= f->refusals < 10 ? f->refusals : 10;
	f->refusals++;
	f->forbidden_until = clock_mono_ms() + (ms < REFUSED_MOST_MS ? ms : REFUSED_MOST_MS);
}

/* What has served for a while is forgiven what it refused before. */
void cell_steady(struct modem *m)
{
	if (m->state == UP && clock_mono_ms() - m->up_ms >= STEADY_MS)
		m->frequency[m->now].refusals = 0;
}

void cell_refused(struct modem *m, int cause, const char *what)
{
	char why[96];

	snprintf(why, sizeof(why), "%s: %s (cause %d)", what, gmm_cause_text(cause), cause);
	if (!is_passing(cause))
		cell_avoid(m, REFUSED_MS);
	cell_give_up(m, why);
}

/* --- listening --- */

static void listen_again(void *arg)
{
	struct modem *m = arg;

	m->timer = NULL;
	if (++m->tries >= TUNE_TRIES) {
		m->frequency[m->now].silent = 1;
		cell_give_up(m, "nothing is heard");
		return;
	}
	modem_tune_in(m);
	m->timer = timer_after(m->loop, TUNE_MS, listen_again, m);
}

static void all_failed(struct modem *m)
{
	char text[320] = "";
	struct wr w = wr_of(text, sizeof(text) - 1);

	m->state = DOWN;
	for (size_t i = 0; i < m->n; i++)
		wr_printf(&w, "%s%s: %s", i ? "; " : "", *m->frequency[i].plmn ? m->frequency[i].plmn : "silent frequency", m->frequency[i].why);
	text[w.n] = 0;
	m->events.failed(ERR_UNAVAILABLE, text, m->arg);
}

/* The most wanted of those heard, once nothing better can be found: home at once, else when all were listened to that are not known silent. */
static size_t choose(const struct modem *m)
{
	size_t best = m->n;

	for (size_t i = 0; i < m->n; i++)
		if (m->frequency[i].look == LOOK_HEARD && (best == m->n || m->frequency[i].rank < m->frequency[best].rank))
			best = i;
	if (best < m->n && !m->frequency[best].rank)
		return best;
	for (size_t i = 0; i < m->n; i++)
		if (m->frequency[i].look == LOOK_NEW && (best == m->n || !m->frequency[i].silent))
			return i;
	return best;
}

void cell_next(struct modem *m)
{
	m->now = choose(m);
	if (m->now >= m->n) {
		all_failed(m);
		return;
	}
	m->state = LISTENING;
	m->heard = 0;
	m->tries = 0;
	m->nu_known = 0;
	m->nu_up = 0; /* a new link to a new network counts from 0 (TS 44.064 8.4.1) */
	memset(&m->cell, 0, sizeof(m->cell));
	modem_tune_in(m);
	m->timer = timer_after(m->loop, TUNE_MS, listen_again, m);
}

void cell_hear(struct modem *m, struct bytes si)
{
	struct frequency *f = m->frequency + m->now;
	int which = 0;

	if (m->state != LISTENING || si_read(si, &which, &m->cell))
		return;
	m->heard |= which == 3 ? 1 : 2;
	if (m->heard != 3)
		return;
	modem_rest(m);
	snprintf(f->plmn, sizeof(f->plmn), "%s", m->cell.plmn);
	f->silent = 0;
	f->rank = tre_rank(m->tre, m->slot, m->cell.plmn);
	if (f->look == LOOK_NEW)
		modem_step(m, "heard network %s", m->cell.plmn);
	f->look = LOOK_HEARD;
	if (m->cell.barred)
		cell_give_up(m, "its cell is barred");
	else if (f->rank < 0)
		cell_give_up(m, m->slot < SLOT_USIM ? "is not on the order's list of allowed networks" : "is forbidden by the USIM");
	else if (choose(m) != m->now)
		cell_next(m);
	else
		attach_begin(m);
}
