/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_CANCEL_H
#define USHER_AUC_CANCEL_H
/* LocationCancel: owed in the number's row until the network answers, over restarts of both (TS 29.002 8.1.3). */
#include "auc/number.h"
#include "link/gsup.h"

struct cancels {
	const struct numbers *numbers;
	struct store *store;
	struct gsup_server *gsup;
	int paying, more;       /* the debts are being read; there may be new ones */
};
/* Sends what is owed over the links that are up; a network's answer ends its debt (number_let_go). */
void cancels_pay(struct cancels *c);

#endif
