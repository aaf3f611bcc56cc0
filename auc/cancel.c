/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/cancel.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"

enum { OWED = 256 };

struct owed {
	struct cancels *all;
	char after[DIGITS_MAX];
	int n;
	struct {
		char id[DIGITS_MAX], plmn[PLMN_TEXT];
		int held; /* elsewhere by now */
	} row[OWED];
};

static enum err owed_row(const struct row *r, void *arg)
{
	struct owed *o = arg;

	row_copy(r, 0, o->row[o->n].id, sizeof(o->row[o->n].id));
	row_copy(r, 1, o->row[o->n].plmn, sizeof(o->row[o->n].plmn));
	o->row[o->n++].held = *row_text(r, 2) != 0;
	return OK;
}

static enum err owed_read(struct tx *tx, void *arg)
{
	struct owed *o = arg;

	o->n = 0;
	return tx_each(tx, o->all->numbers->sql.cancels, WITH(B_TEXT("after", o->after), B_INT("most", OWED)), owed_row, o);
}

static void owed_send(void *arg, enum err e)
{
	struct owed *o = arg;
	struct cancels *c = o->all;

	for (int i = 0; !e && i < o->n; i++) {
		struct gsup cancel = { .type = GSUP_CANCEL_REQ, .cn_domain = 1, .cancel_type = o->row[i].held ? GSUP_CANCEL_UPDATE : GSUP_CANCEL_WITHDRAW };
		struct gsup_link *l = gsup_find(c->gsup, "visited", o->row[i].plmn);

		memcpy(cancel.imsi, o->row[i].id, sizeof(cancel.imsi));
		if (!l || gsup_send(l, &cancel))
			log_hop(LOG_DEBUG, "vectors", "id=%s peer=%s act=cancel why=\"no link\"", o->row[i].id, o->row[i].plmn);
	}
	if (!e && o->n == OWED) { /* the next ones */
		memcpy(o->after, o->row[OWED - 1].id, sizeof(o->after));
		store_run(c->store, owed_read, o, owed_send);
		return;
	}
	free(o);
	c->paying = 0;
	if (c->more)
		cancels_pay(c);
}

void cancels_pay(struct cancels *c)
{
	struct owed *o = c->paying ? NULL : calloc(1, sizeof(*o));

	c->more = c->paying; /* looked at again when this look is over */
	if (!o)
		return;
	o->all = c;
	c->paying = 1;
	store_run(c->store, owed_read, o, owed_send);
}
