/* SPDX-License-Identifier: AGPL-3.0-or-later */
#ifndef USHER_AUC_RECEIPT_H
#define USHER_AUC_RECEIPT_H
/* Step 7 (I7) at both home ends: POST /v1/install brings the receipt's very bytes, each end checks them itself. */
#include "core/process.h"
#include "proto/cms.h"

struct receipt_call {
	struct ask *ask;
	struct process *process;
	const struct receipt_end *end;
	struct receipt r;                 /* signed by the equipment that it names, with the certificate that it names */
	char answer[65], certificate[65]; /* hashes in hex */
	char dlusim[ID_MAX];              /* who brought it */
	int is_new;                       /* set by take: not told before */
	struct why why;                   /* set by take: of a refusal */
};
struct receipt_end {
	tx_fn take;                       /* arg: struct receipt_call */
	const char *state;                /* what is answered */
	int count;                        /* metric of new ones, -1: none */
};
void receipt_ask(struct ask *a, struct process *p, const struct receipt_end *end);

#endif
