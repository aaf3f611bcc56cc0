/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_AGENT_INSIDE_H
#define USHER_ROLES_EQUIPMENT_AGENT_INSIDE_H
/*
 * The inside of the agent, one file per step. At each time there is one bearer, one request under way and one timer: whatever
 * ends the bearer ends them (agent_later), and begins anew from what tre and account know.
 */
#include "core/cell.h"
#include "proto/syncml.h"
#include "roles/equipment/agent/agent.h"

/* What became of the job, as the DM service is to hear it. */
enum stage {
	ACCOUNT_NONE,
	ACCOUNT_OPEN,       /* its package is to be fetched */
	ACCOUNT_SEALED,     /* the tre holds it; OCSP has not spoken */
	ACCOUNT_INSTALLED,  /* result says how the installation ended; DM may not know yet */
	ACCOUNT_REPORT,     /* result says how the activation ended; DM is to hear it */
};
struct nonce {
	size_t n;
	uint8_t p[64];
};
/* The DM account of one job. From the package on it outlives a power cut, so that the 1226 of installation and activation can be brought. */
struct account {
	enum stage stage;
	int64_t result;                        /* SCOMO's, 0: not known yet */
	uint16_t session;                      /* of package #0 */
	char user[ID_MAX + JOB_MAX], dm[ID_MAX], address[ADDRESS_MAX];
	char package[JOB_MAX], correlator[JOB_MAX]; /* PkgID and the Exec's Correlator */
	char hash[DM_HASH], server_hash[DM_HASH];
	struct nonce client, server, server_next; /* server_next: given out, not seen in use yet */
};

enum bearer { ON_PIMSI, ON_TRIAL, ON_HOME };

struct agent {
	struct agent_conf conf;
	struct tre *tre;
	struct modem *modem;
	struct tls *tls;
	struct http *http;
	struct call *call;               /* the request under way */
	http_done done;
	void *done_arg;
	struct timer *again, *trial_over;
	struct modem_path path;
	struct order order;
	enum bearer on;
	int slot, closing;
	int failures;                    /* since the equipment last had what it wanted: the back-off */
	int away;                        /* the own USIM has no service: the PIMSI's turn */
	int challenges, polls, trials, posts, sessions; /* tries of discover, verify, trial, receipt, DM session */
	int64_t up_at;                   /* clock_mono_ms when the bearer came up */
	int64_t sent, received, turns;   /* on the equipment's link since power-on */
	int journey;
	struct discover_answer route;
	uint8_t *carried;                /* a signed object that is under way, to be sent again */
	size_t carried_n;
	int answering;                   /* what is carried is the answer */
	int rerouted;                    /* the receipt goes where discover said, not where the USIM came from */
	struct account account;
	struct cell *kept;               /* where the account outlives a power cut */
	struct session *session;         /* with the DM service, or NULL */
	struct {
		void (*done)(struct agent *a, enum err e);
		int64_t until;               /* clock_mono_ms */
		int told;
		unsigned turn;               /* whose attestation provider is asked next, if there are several */
	} check;                         /* OCSP about the package */
};

void agent_tell(struct agent *a, const char *step, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Through the bearer; counted. done comes once, unless the bearer ends before. */
void agent_ask(struct agent *a, struct request *q, http_done done, void *arg);
/* Detaches, and begins anew with back-off; not before least_ms. */
void agent_later(struct agent *a, int64_t least_ms);
/* The same at once: what was reached decides what comes next. */
void agent_next(struct agent *a);
/* The one timer: fn(arg) after ms. */
void agent_wait(struct agent *a, int64_t ms, void (*fn)(void *), void *arg);
/* ms doubled for each of the tries, at most most_ms, with jitter. */
int64_t agent_backoff(int64_t ms, int tries, int64_t most_ms);
/* Brings a bearer up for the slot. */
void agent_up(struct agent *a, enum bearer on, int slot, const char *apn);
/* The state that this run was to reach is reached: the agent rests. 0: it was to go further. */
int agent_reached(struct agent *a, enum agent_goal goal);
void agent_carry(struct agent *a, struct bytes b); /* copies; an empty view forgets */
void agent_discover(struct agent *a);

/* account.c. A change is durable when account_save returns; nothing rests on it but what DM hears. */
enum err account_open(struct agent *a, struct why *w) MUST_CHECK;
enum err account_take(struct agent *a, const struct trigger *t) MUST_CHECK;
void account_save(struct agent *a);
void account_forget(struct agent *a);

/* verify.c: step 5; der: the discover answer */
void verify_begin(struct agent *a, struct bytes der);
/* An answer that was given and has not got its trigger is sent again. 0: there is none. */
int verify_again(struct agent *a);
/* provision.c: step 6. 1200: package #0 asked us; 1201: we have something to tell. */
void provision_begin(struct agent *a, const char *alert);
void provision_end(struct agent *a);
/* What a package that OCSP has spoken about is to be: told to DM. */
void provision_checked(struct agent *a, enum err e);
/* install.c: step 7 */
/* Asks OCSP about the package that waits in the tre until it speaks, or ERR_UNAVAILABLE after patience. */
void install_check(struct agent *a, int64_t patience_ms, void (*done)(struct agent *a, enum err e));
void install_begin(struct agent *a);
void install_up(struct agent *a);
void install_failed(struct agent *a, const char *why);
int install_again(const struct agent *a);
void install_known(struct agent *a);
void install_home(struct agent *a);
/* On a bearer with the committed USIM, or with the PIMSI while the receipt is owed. */
int install_owed(struct agent *a);
void install_receipt(struct agent *a);
int install_rerouted(struct agent *a);
/* The session that was to bring the 1226 of the activation has ended. */
void install_reported(struct agent *a);

#endif
