/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/hss/hss.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: subscribe, verify, install, pool, desk"),
	PROCESS_LISTENER(struct conf, gsup, "GSUP over TLS for visited operators"),
	PROCESS_LISTENER(struct conf, access, "CONNECT over TLS: the gateway of this operator's IMSIs"),
	CONF_END,
};
static const struct conf_item plmn_item[] = {
	{ NULL, CONF_PLMN, 0, PLMN_TEXT, 0, 0, NULL, "a network", 0, NULL, 0 },
};
static const struct conf_item open_item[] = {
	{ NULL, CONF_ADDRESS, 0, 300, 0, 0, NULL, "host:port", 0, NULL, 0 },
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "package_life", CONF_SECONDS, CONF_AT(struct conf, package_life), 3600, 0, "30d", "how long a sealed package may be installed", 0, NULL, 0 },
	{ "packages_a_day", CONF_INT, CONF_AT(struct conf, packages_a_day), 1, 1000, "20", "packages sealed for one equipment within 24 hours", 0, NULL, 0 },
	{ "trial_notice", CONF_SECONDS, CONF_AT(struct conf, trial_notice), 60, 0, "30d",
		"on trial for so long without a receipt, an IMSI is shown to staff", 0, NULL, 0 },
	AUC_RATES(struct conf),
	{ "selector", CONF_LIST, CONF_AT(struct conf, selector), 0, PLMNS_MAX, "", "networks that a USIM prefers abroad, in order", 0, plmn_item, PLMN_TEXT },
	{ "forbidden", CONF_LIST, CONF_AT(struct conf, forbidden), 0, PLMNS_MAX, "", "networks that a USIM must not use", 0, plmn_item, PLMN_TEXT },
	{ "apn", CONF_TEXT, CONF_AT(struct conf, apn), 0, 0, "m2m.home", "access point that the operator's IMSIs may use", 0, NULL, 0 },
	{ "open", CONF_LIST, CONF_AT(struct conf, open), 0, 1000, "",
		"where the gateway lets IMSIs go: the DLUSIM and DM services, the fleet's own", 0, open_item, 300 },
	{ "tunnels", CONF_INT, CONF_AT(struct conf, tunnels), 2, 100000, "10000",
		"the gateway's tunnels at a time; one network gets no more of them than it leaves free", 0, NULL, 0 },
	CONF_END,
};
