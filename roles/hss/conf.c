/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/hss/hss.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: subscribe, verify, install, pool, desk"),
	PROCESS_LISTENER(struct conf, gsup, "GSUP over TLS for visited operators"),
	PROCESS_LISTENER(struct conf, access, "CONNECT over TLS: the gateway of this operator's IMSIs"),
	CONF_END,
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	CONF_END,
};
