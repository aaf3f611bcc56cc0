/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/registration/registration.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: manufacture, subscribe, install, pool, desk"),
	PROCESS_LISTENER(struct conf, discover, "https for equipments: discover"),
	PROCESS_LISTENER(struct conf, gsup, "GSUP over TLS for visited operators"),
	PROCESS_LISTENER(struct conf, access, "CONNECT over TLS: the gateway of limited access"),
	CONF_END,
};
static const struct conf_item plmn_item[] = {
	{ NULL, CONF_PLMN, 0, PLMN_TEXT, 0, 0, NULL, "a network", 0, NULL, 0 },
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "realm", CONF_TEXT, CONF_AT(struct conf, realm), 0, 0, "registration.usher", "Digest realm of discover, written into orders", 0, NULL, 0 },
	{ "apn", CONF_TEXT, CONF_AT(struct conf, apn), 0, 0, "prov.usher", "access point of limited access, written into orders", 0, NULL, 0 },
	{ "discover_address", CONF_ADDRESS, CONF_AT(struct conf, discover_address), 0, 0, "",
		"host:port of discover as equipments see it; default: as bound", 0, NULL, 0 },
	{ "allowed", CONF_LIST, CONF_AT(struct conf, allowed), 0, PLMNS_MAX, "", "networks that equipments may use; empty: all", 0, plmn_item, PLMN_TEXT },
	{ "budget_octets", CONF_OCTETS, CONF_AT(struct conf, budget_octets), 1024, 0, "1MiB",
		"limited access: octets of a PIMSI a day (UTC), all its tunnels together", 0, NULL, 0 },
	{ "budget_seconds", CONF_SECONDS, CONF_AT(struct conf, budget_seconds), 1, 86400, "30m",
		"limited access: time a day in which a PIMSI has a tunnel open", 0, NULL, 0 },
	{ "budget_attempts", CONF_INT, CONF_AT(struct conf, budget_attempts), 1, 100000, "20",
		"limited access: attaches of a PIMSI a day that open a tunnel; further tunnels of one attach are not counted", 0, NULL, 0 },
	{ "tunnels", CONF_INT, CONF_AT(struct conf, tunnels), 2, 100000, "10000",
		"the gateway's tunnels at a time; one network gets no more of them than it leaves free", 0, NULL, 0 },
	{ "grace", CONF_SECONDS, CONF_AT(struct conf, grace), 0, 31536000, "72h",
		"from the receipt to a PIMSI's retirement (at least 2h, twice an equipment's longest trial)", 0, NULL, 0 },
	AUC_RATES(struct conf),
	CONF_END,
};

/* A PIMSI that is retired within a trial leaves an equipment without any USIM (DESIGN 4). */
enum err conf_check(const void *conf, struct why *w)
{
	const struct conf *c = conf;

	return c->grace >= 2 * TRIAL_MOST_S ? OK : fail(w, ERR_RANGE,
		"grace is %lld s: it must be at least %d s, twice the longest trial, or an equipment may be left"
		" without a USIM; raise `grace`", (long long)c->grace, 2 * TRIAL_MOST_S);
}
