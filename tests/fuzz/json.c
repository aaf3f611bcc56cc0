/* SPDX-License-Identifier: Apache-2.0 */
/* A peer's JSON through every reader of fields, and its reason. */
#include "proto/json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	json_t *o = n ? json_loadb((const char *)data, n, JSON_REJECT_DUPLICATES, NULL) : NULL, *v;
	const char *key;
	char text[16];
	uint8_t octets[16];
	int64_t number;
	size_t len;
	struct why w;

	json_why(BYTES(data, n), text, sizeof(text));
	if (strlen(text) >= sizeof(text))
		abort();
	json_object_foreach(o, key, v) {
		if (!json_get_text(o, key, text, sizeof(text), &w) && strlen(text) >= sizeof(text))
			abort();
		if (!json_get_digits(o, key, text, sizeof(text), &w) && text_digits(text) < 5)
			abort();
		if (!json_get_number(o, key, -5, 5, &number, &w) && (number < -5 || number > 5))
			abort();
		(void)!json_get_hex(o, key, octets, sizeof(octets), &w);
		if (!json_get_b64(o, key, octets, sizeof(octets), &len, &w) && len > sizeof(octets))
			abort();
	}
	json_decref(o);
	return 0;
}
