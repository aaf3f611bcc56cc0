/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_ROLES_EQUIPMENT_DOORS_H
#define USHER_ROLES_EQUIPMENT_DOORS_H
/*
 * The equipment's three parts know each other by these doors only. The tre alone is trusted: it holds keys, checks what
 * comes in by its signature and its place in the order, and never signs bytes handed to it.
 */
#include "core/loop.h"
#include "proto/cms.h"
#include "proto/digest.h"

enum { SLOT_PIMSI_MAX = 4 };

struct tre;

/* Opens the trusted environment of the folder dir (tre.a, tre.b under the key file tre.key); made by tre_make. */
enum err tre_open(const char *dir, struct tre **out, struct why *w) MUST_CHECK;
void tre_close(struct tre *t);
/* At manufacture: two new keys that never leave, a claim key, and nothing else. The same id again: done. ERR_EXISTS: another is here. */
enum err tre_make(const char *dir, const char *equipment, struct why *w) MUST_CHECK;
const char *tre_equipment(const struct tre *t);

enum tre_key { TRE_ATTEST, TRE_DELIVERY };
/* PKCS#10 for one of the two keys. *der: OPENSSL_free. */
enum err tre_enrol(struct tre *t, enum tre_key which, uint8_t **der, size_t *n, struct why *w) MUST_CHECK;
/* PEM or DER files' contents. Roots only while no order is loaded; a certificate must be for one of our keys and our id;
 * an order must be for us, signed by its registration operator, and its keys must open. */
enum err tre_load_roots(struct tre *t, STACK_OF(X509) *roots, struct why *w) MUST_CHECK;
enum err tre_load_certificate(struct tre *t, X509 *leaf, X509 *issuer, struct why *w) MUST_CHECK;
enum err tre_load_order(struct tre *t, struct bytes der, char pimsi[DIGITS_MAX], struct why *w) MUST_CHECK;
/* The claim key, for the label: before the first order, and again until then, should it get lost on its way. ERR_ORDER afterwards. */
enum err tre_label(const struct tre *t, struct secret *claim_key, struct why *w) MUST_CHECK;
/* SHA-256 of the attestation certificate: what a binding names. */
enum err tre_certificate_hash(const struct tre *t, uint8_t hash[32]) MUST_CHECK;
/* The i-th order's readable part. ERR_MISSING. */
enum err tre_order(const struct tre *t, int slot, struct order *out) MUST_CHECK;
int tre_orders(const struct tre *t);

/* How validity is to be judged now, TLS too: by the floor, or by the time that this run's first OCSP answer gave (DESIGN 3, Time). */
struct cert_time tre_time(const struct tre *t);

/*
 * The USIM of a slot, as APDUs (TS 31.102): SELECT of ADF USIM and of EF IMSI in it, READ BINARY, AUTHENTICATE in 3G context. answer has
 * room for 256 octets; *n includes the status word. The PIMSI's vectors for discover (AMF 0001, IND 28-31) are not answered here, and
 * a USIM that was never committed answers only while it is on trial. ERR_MISSING: no such slot.
 */
enum err tre_apdu(struct tre *t, int slot, struct bytes apdu, uint8_t answer[256], size_t *n) MUST_CHECK;
/* A challenge of discover as received: nonce = base64(RAND || AUTN), "": none yet, the first request. */
struct discover_ask {
	const char *realm, *uri, *nonce;
};
/* Answers it; line: the Authorization header's value, with auts if the sequence number was not fresh. ERR_AUTH: not our operator. */
enum err tre_discover(struct tre *t, int slot, struct discover_ask ask, char line[DIGEST_LINE], struct why *w) MUST_CHECK;
/* Takes a discover answer: signed by the order's operator, for this PIMSI, equipment and certificate, with our nonce, a right
 * claim proof, and no lower claim serial. out (may be NULL) gets what the agent may read. */
enum err tre_route(struct tre *t, struct bytes der, struct discover_answer *out, struct why *w) MUST_CHECK;

/* Answers the challenge of the route's DLUSIM service: makes a key of one use and an OCSP nonce, durably, then signs with the
 * attestation key what it built itself. *der: OPENSSL_free. ERR_ORDER: no route. */
enum err tre_answer(struct tre *t, struct bytes challenge, uint8_t **der, size_t *n, struct why *w) MUST_CHECK;
/* Takes the trigger: signed by the route's DLUSIM service, for our answer. out gets the DM account, which is the agent's. */
enum err tre_take_trigger(struct tre *t, struct bytes der, struct trigger *out, struct why *w) MUST_CHECK;

/* Takes a package: its shape, the key of one use, the operator's signature, every field that binds it to us. It stays sealed
 * until OCSP has spoken. ERR_FORMAT, ERR_AUTH: does not open, or a wrong signature; ERR_DENIED: not for us; ERR_CONFLICT: an old
 * counter; ERR_EXPIRED; ERR_ORDER: no trigger in this run. The same package again, once installed: ERR_EXISTS, at any time. */
enum err tre_take_package(struct tre *t, struct bytes der, struct why *w) MUST_CHECK;
/* 1 if a package waits sealed, also since before a power cut: then OCSP is asked, and nothing verified anew. out: whom by, and where. */
int tre_sealed(const struct tre *t, struct discover_answer *out);
/* An OCSP request, with the answer's nonce, about those signers of package, trigger and discover answer that one CA issued and that were
 * not found good within 5 minutes; each such CA in its turn. *where: its responder, as the discover answer names it; the tre's until
 * the run goes back. *der: OPENSSL_free. */
enum err tre_ocsp_ask(struct tre *t, unsigned turn, const char **where, uint8_t **der, size_t *n, struct why *w) MUST_CHECK;
/* Answers of these CAs, in any order, each by its own OCSP signer. The first of a run gives the time; everything of this run is judged again
 * by it at each. All good: the USIM is installed, inactive. ERR_AGAIN: this one is, w names whose answer is missing; ask on.
 * ERR_REVOKED: the package is destroyed, w names the certificate. ERR_UNAVAILABLE: no verdict, the package stays sealed; ask again.
 * Anything else: the package is not for now (ERR_EXPIRED; it is destroyed) or not for us. */
enum err tre_ocsp(struct tre *t, struct bytes response, struct why *w) MUST_CHECK;

/* --- operational slots: tre_apdu's slot numbers from SLOT_USIM on --- */
enum { SLOT_USIM = 100 };
enum tre_slot { TRE_TRIAL, TRE_COMMIT, TRE_BACK };
/* TRIAL: the newest USIM that was never committed may authenticate; *slot is its number. COMMIT: only after an AUTHENTICATE with a good
 * MAC in the trial slot since TRIAL; durable; what was active before stays beside it. BACK: the trial failed. ERR_ORDER. */
enum err tre_slot(struct tre *t, enum tre_slot what, int *slot, struct why *w) MUST_CHECK;
/* The number of a committed USIM, -1: none. */
int tre_active(const struct tre *t);
/* 1 if a USIM is installed that was not committed yet. */
int tre_inactive(const struct tre *t);
/* Of the committed USIM: operator, and the DLUSIM service that gets its receipt. ERR_MISSING: none. */
enum err tre_home(const struct tre *t, struct discover_answer *out) MUST_CHECK;
/* How much the slot's USIM or order wants a network: 0 most (home; for a PIMSI all are the same), higher is less, -1: not allowed. */
int tre_rank(const struct tre *t, int slot, const char *plmn);
/* The receipt of the committed USIM, the same bytes until it is acknowledged. *der: OPENSSL_free. ERR_ORDER: nothing is committed. */
enum err tre_receipt(struct tre *t, uint8_t **der, size_t *n, struct why *w) MUST_CHECK;
/* Takes the acknowledgement of the route's DLUSIM service for our receipt. */
enum err tre_ack(struct tre *t, struct bytes der, struct why *w) MUST_CHECK;

/* --- the modem --- */
struct modem;
struct modem_path {
	char plmn[PLMN_TEXT];
	char proxy[300], token[48];   /* CONNECT host:port, bearer */
	int64_t sent, received;       /* octets of signalling so far, UDP payload */
	int round_trips;
};
struct modem_events {
	void (*up)(const struct modem_path *p, void *arg);
	void (*failed)(enum err e, const char *why, void *arg);  /* every network was tried */
	void (*lost)(const char *why, void *arg);                /* the network detached us */
	void (*step)(const char *what, void *arg);               /* for people: "heard 001-01", "refused by ...: cause" */
};
struct modem_conf {
	struct loop *loop;
	struct tre *tre;
	const char (*frequency)[300]; /* host:port; not kept */
	size_t frequencies;
	struct modem_events events;
	void *arg;
};
enum err modem_open(const struct modem_conf *c, struct modem **out) MUST_CHECK;
/* Looks for a network that slot may use and that takes it; ends in up or failed. */
void modem_up(struct modem *m, int slot, const char *apn);
void modem_down(struct modem *m); /* detaches */
void modem_close(struct modem *m);

#endif
