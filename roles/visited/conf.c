/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/visited/visited.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: desk"),
	PROCESS_LISTENER(struct conf, user, "CONNECT of equipments, plain: the radio's user plane"),
	{ "cell", CONF_ADDRESS, CONF_AT(struct conf, listen.cell), 0, 0, "udp://127.0.0.1:0", "GSMTAP of equipments: the radio", 0, NULL, 0 },
	{ "sgsn", CONF_ADDRESS, CONF_AT(struct conf, listen.sgsn), 0, 0, "",
		"plain GSUP for the operator's own SGSNs (osmo-sgsn: gsup remote-ip, remote-port); none by default; loopback, or see sgsn_protected", 0, NULL, 0 },
	CONF_END,
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "user_address", CONF_ADDRESS, CONF_AT(struct conf, user_address), 0, 0, "", "IPv4:port of `user` as equipments see it; default: as bound", 0, NULL, 0 },
	{ "lac", CONF_INT, CONF_AT(struct conf, lac), 1, 65533, "1", "location area code of the cell", 0, NULL, 0 },
	{ "cell", CONF_INT, CONF_AT(struct conf, cell), 0, 65535, "1", "cell identity", 0, NULL, 0 },
	{ "rac", CONF_INT, CONF_AT(struct conf, rac), 0, 255, "1", "routing area code", 0, NULL, 0 },
	{ "nmo", CONF_INT, CONF_AT(struct conf, nmo), 1, 3, "2", "network mode of operation", 0, NULL, 0 },
	{ "contexts", CONF_INT, CONF_AT(struct conf, contexts), 1, 100000, "20000", "most equipments at a time in the embedded access", 0, NULL, 0 },
	{ "per_address", CONF_INT, CONF_AT(struct conf, per_address), 1, 100000, "5000",
		"most equipments of one source address (all share it behind a NAT)", 0, NULL, 0 },
	{ "sgsn_protected", CONF_BOOL, CONF_AT(struct conf, sgsn_protected), 0, 0, "no",
		"yes: the interface of listen: sgsn is a protected wire (its own cable, IPsec), so that plain GSUP may be served beyond the loopback", 0, NULL, 0 },
	{ "visitors", CONF_INT, CONF_AT(struct conf, visitors), 1, 1000000, "100000",
		"most identities whose SGSN is remembered; beyond, the longest unheard is looked for when needed", 0, NULL, 0 },
	CONF_END,
};
