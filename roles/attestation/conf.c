/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/attestation/attestation.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: EST, invites, revocation, desk"),
	PROCESS_LISTENER(struct conf, ocsp, "plain http: OCSP; its answers are signed"),
	CONF_END,
};
static const struct conf_item imei_items[] = {
	{ "maker", CONF_TEXT, CONF_AT(struct imei_maker, maker), 0, 0, NULL, "id of the factory's certificate", 0, NULL, 0 },
	{ "tac", CONF_TEXT, CONF_AT(struct imei_maker, tac), 0, 0, NULL, "type allocation code, 8 digits", 0, NULL, 0 },
	CONF_END,
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "tls_life", CONF_SECONDS, CONF_AT(struct conf, tls_life), 3600, 0, "90d", "validity of TLS certificates", 0, NULL, 0 },
	{ "sign_life", CONF_SECONDS, CONF_AT(struct conf, sign_life), 3600, 0, "730d", "validity of signing certificates", 0, NULL, 0 },
	{ "invite_life", CONF_SECONDS, CONF_AT(struct conf, invite_life), 60, 2592000, "24h", "how long an invite may be used", 0, NULL, 0 },
	{ "ocsp_fresh", CONF_SECONDS, CONF_AT(struct conf, ocsp_fresh), 10, 86400, "5m", "from thisUpdate to nextUpdate", 0, NULL, 0 },
	{ "imei", CONF_LIST, CONF_AT(struct conf, imei), 0, 1000, "", "makers that may enrol equipments by IMEI", 0, imei_items,
		sizeof(struct imei_maker) },
	CONF_END,
};
