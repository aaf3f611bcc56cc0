/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_TRE_H
#define USHER_ROLES_EQUIPMENT_TRE_H
/* The inside of the tre; nobody outside this folder includes it. */
#include "core/cell.h"
#include "roles/equipment/doors.h"

enum { TRE_ROOTS = 4, TRE_DER = 4096, TRE_OBJECT = 8192 };

/* A PIMSI's slot: the order as it came, and what it was sealed around. */
struct pimsi_slot {
	OCTETS(8192) order;
	struct order_keys keys;
	uint64_t seq[32];              /* highest SEQ taken, by IND (TS 33.102 C.2) */
};
/* An operator's USIM: installed inactive, later tried and committed. */
struct usim_slot {
	char operator[PLMN_TEXT], imsi[DIGITS_MAX], iccid[24], package[JOB_MAX];
	struct order_keys keys;
	uint64_t seq[32];
	struct plmns home, selector, forbidden;
	int64_t counter, state;        /* USIM_... */
	char pimsi[DIGITS_MAX], dlusim[ID_MAX], dlusim_address[ADDRESS_MAX]; /* with which it came, and from where */
	uint8_t answer[32];
	uint8_t sealed[32];            /* SHA-256 of the package as it came: the same again gets the stored result */
	OCTETS(TRE_DER) receipt;       /* signed at COMMIT, the same until acknowledged */
	int64_t acknowledged;
};
/* INACTIVE: never committed. FORMER: committed once, before the active one; it serves while the active one finds no network. */
enum { TRE_USIMS = 2, USIM_EMPTY = 0, USIM_INACTIVE, USIM_ACTIVE, USIM_FORMER };
/* What a package stands on, as it came: kept with it, so that after a power cut OCSP is asked, and not all begun anew. */
struct grounds {
	int64_t slot;                  /* whose order discover asked by */
	OCTETS(TRE_OBJECT) discover, trigger;
};
/* The certificates behind what was accepted, asked about before an install; the discover answer names their OCSP responders in this order. */
enum { BY_PACKAGE, BY_DLUSIM, BY_REGISTRATION, BY_COUNT };
/* All that a tre knows, written as one record at every change. */
struct tre_state {
	char equipment[EQUIPMENT_MAX];
	struct secret claim_key;
	OCTETS(256) key[2];            /* PKCS#8 DER: attestation, delivery */
	OCTETS(TRE_DER) cert[2], issuer;
	OCTETS(TRE_DER) root[TRE_ROOTS];
	int64_t roots, pimsis;
	struct pimsi_slot pimsi[SLOT_PIMSI_MAX];
	int64_t claim_serial;          /* the highest accepted */
	int64_t floor;                 /* it was this time once: never goes back (DESIGN 3, Time) */
	/* of the last answer: what a package for us is sealed to, and refers to */
	OCTETS(256) one_time;
	uint8_t answer[32], ocsp_nonce[32];
	int64_t counter;               /* the highest package counter taken */
	OCTETS(16 * 1024) package;     /* as it came, sealed, until OCSP has spoken */
	struct grounds grounds;        /* of that package */
	struct usim_slot usim[TRE_USIMS];
};

/* Where a run stands: each door has its place in the order. */
enum stage { RUN_BEGUN, RUN_ROUTED, RUN_ANSWERED, RUN_TRIGGERED, RUN_PACKED };
/* What had to be valid when it was used; judged again once there is a time. */
enum { VALID_DISCOVER, VALID_CHALLENGE, VALID_TRIGGER, VALID_COUNT };
struct validity {
	int64_t expiry, used_ms;       /* used_ms on the clock that only counts */
};
enum { SELECTED_MF, SELECTED_USIM, SELECTED_IMSI };

struct tre {
	char dir[512];
	struct cell *cell;
	uint8_t key[32];               /* seals the cell at rest */
	struct tre_state state;
	EVP_PKEY *own[2];
	X509 *cert[2], *issuer;
	STACK_OF(X509) *roots;
	/* of this run only */
	int card, selected;            /* the slot whose USIM was spoken to, and what is selected there */
	enum stage stage;
	int64_t learned, learned_ms;   /* the time of the first nonce-matched OCSP answer, and when that was; 0: none yet */
	struct validity valid[VALID_COUNT];
	uint8_t nonce[16];             /* of the discover under way */
	int asking;                    /* slot of the discover under way + 1, 0: none */
	struct discover_answer *route; /* accepted, or NULL */
	uint8_t route_hash[32];
	struct grounds grounds;        /* what was accepted so far */
	struct cms_signed by[BY_COUNT];
	int64_t good[BY_COUNT];        /* producedAt of the OCSP answer that found all signers of this one's CA good; 0: none yet */
	int trial;                     /* number of the USIM on trial + 1, 0: none */
	int trial_good;                /* it authenticated the network since TRIAL */
};

/*
 * state.c: reads and writes the state through the sealed cell. A change is made on a copy (NULL: no memory) and counts once it is
 * written; state_keep takes the copy, with what failed before as e, and wipes it in any case.
 * Limit: whoever can write the folder can put an old pair of files back. A trusted environment in hardware has a counter for that.
 */
enum err state_load(struct tre *t, struct why *w) MUST_CHECK;
struct tre_state *state_copy(const struct tre *t);
enum err state_keep(struct tre *t, struct tre_state *s, enum err e) MUST_CHECK;
/* The same, written to both copies of the cell: what the old state held is gone from the store. */
enum err state_keep_only(struct tre *t, struct tre_state *s, enum err e) MUST_CHECK;
enum err state_objects(struct tre *t) MUST_CHECK; /* keys and certificates as library objects, anew */

/* time.c: how validity is judged now; what was used; the answer that gives the time, and all judged again by it. */
struct cert_time time_now(const struct tre *t);
/* Who signs with this id (NULL: any) by our roots and now. */
struct expect time_expects(const struct tre *t, const char *id);
enum err time_use(struct tre *t, int which, int64_t expiry, struct why *w) MUST_CHECK;
/* It was used before a power cut, and valid then for all that is known. */
void time_used_once(struct tre *t, int which);
void time_learn(struct tre *t, int64_t produced);
enum err time_judge(const struct tre *t, struct why *w) MUST_CHECK;

/* run.c: ERR_ORDER unless the run stands at least at s. Going back to a stage forgets what came after it. */
enum err run_at(const struct tre *t, enum stage s, struct why *w) MUST_CHECK;
void run_set(struct tre *t, enum stage s);

/*
 * Each reads one object and checks all of it that is the same at its door and after a power cut: signature, fields, what it refers to.
 * route.c: but for the nonce. verify.c: by t->route, for the last answer. install.c: opens with the key of one use; the profile is
 * secret, the caller wipes it. by is the caller's in any case.
 */
enum err route_read(struct tre *t, struct bytes der, const struct order *o, struct discover_answer *a, struct cms_signed *by, struct why *w) MUST_CHECK;
enum err trigger_read(struct tre *t, struct bytes der, struct trigger *g, struct cms_signed *by, struct why *w) MUST_CHECK;
enum err package_read(struct tre *t, struct bytes der, struct profile *p, struct cms_signed *by, struct why *w) MUST_CHECK;
/* The package, what opens it and what it stands on: nothing of it is left in s. */
void package_forget(struct tre_state *s);

/* resume.c: after a power cut the run stands where it stood, if a package waits and all that it stands on is still right. */
void run_resume(struct tre *t);

#endif
