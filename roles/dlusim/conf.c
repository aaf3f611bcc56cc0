/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/dlusim/dlusim.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: provision, accounts, desk"),
	PROCESS_LISTENER(struct conf, equipment, "https for equipments: verify, install"),
	PROCESS_LISTENER(struct conf, owner, "https for owners, by token: subscribe"),
	CONF_END,
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "operator", CONF_PLMN, CONF_AT(struct conf, operator), 0, 0, NULL, "the home operator: id of its HSS", 0, NULL, 0 },
	{ "dm", CONF_TEXT, CONF_AT(struct conf, dm), 0, 0, NULL, "id of the DM service that delivers", 0, NULL, 0 },
	{ "attestation", CONF_TEXT, CONF_AT(struct conf, attestation), 0, 0, NULL,
		"id of the attestation provider: asked about whom no peer file names another `ocsp` for", 0, NULL, 0 },
	{ "equipment_address", CONF_ADDRESS, CONF_AT(struct conf, equipment_address), 0, 0, "",
		"host:port of `equipment` as equipments see it; default: as bound", 0, NULL, 0 },
	{ "patience", CONF_SECONDS, CONF_AT(struct conf, patience), 0, 60, "5s", "how long a caller waits before 202", 0, NULL, 0 },
	CONF_END,
};
