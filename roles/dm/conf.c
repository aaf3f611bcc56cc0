/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "roles/dm/dm.h"

static const struct conf_item listen_items[] = {
	PROCESS_LISTENER(struct conf, peers, "https: desk"),
	PROCESS_LISTENER(struct conf, equipment, "https for equipments: OMA DM"),
	CONF_END,
};

const struct conf_item conf_schema[] = {
	PROCESS_ITEMS(struct conf),
	PROCESS_LISTEN(listen_items),
	{ "patience", CONF_SECONDS, CONF_AT(struct conf, patience), 1, 60, "5s", "how long a first message waits for its job", 0, NULL, 0 },
	CONF_END,
};
