/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of people and peers: configurations, peer files, host:port. */
#include "core/peers.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), host[256], again[300];
	struct peer p;
	struct why w;
	uint16_t port;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = 0;
	if (!conf_parse(text, "x", "/", peer_schema, &p, &w))
		conf_free(peer_schema, &p);
	/* what is an address stands safely in a URL and reads as the same again */
	if (!conf_address(text, host, sizeof(host), &port, NULL)) {
		uint16_t same;

		if (strpbrk(host, "/@#?% \r\n\"'<>\\") || !*host)
			abort();
		snprintf(again, sizeof(again), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
		if (conf_address(again, host, sizeof(host), &same, NULL) || same != port)
			abort();
	}
	free(text);
	return 0;
}
