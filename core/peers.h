/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_CORE_PEERS_H
#define USHER_CORE_PEERS_H
/*
 * The other roles this one knows: one file per peer in DIR/peers, made by `usher peer add`. A peer is believed by its
 * certificate (role, id); the file adds where it is reached.
 */
#include "core/cert.h"
#include "core/conf.h"

struct peer {
	struct party party;
	char address[300];      /* https, host:port, "" if we never call it */
	char gsup[300];         /* visited only: its GSUP listener */
	char access[300];       /* visited only: its access gateway */
	char ocsp[300];         /* the responder of the CA that issued its signing certificate, plain http; attestation: its own; factory: of its equipments */
	struct conf_list range; /* of char[16]: leading digits of the identities that are its own (visited only) */
};

struct peers;
enum err peers_read(const char *dir, struct peers **out, struct why *w) MUST_CHECK; /* DIR/peers/ *.yaml, name order */
/* Reads the folder again. What was found before stays valid until peers_free; if it fails, everything stays as it was. */
enum err peers_reload(struct peers *p, const char *dir, struct why *w) MUST_CHECK;
void peers_free(struct peers *p);
const struct peer *peers_find(const struct peers *p, const char *role, const char *id); /* or NULL */
size_t peers_count(const struct peers *p);
const struct peer *peers_at(const struct peers *p, size_t i);
/* The peer whose range is the longest prefix of digits, or NULL. */
const struct peer *peers_by_range(const struct peers *p, const char *digits);

extern const struct conf_item peer_schema[];

#endif
