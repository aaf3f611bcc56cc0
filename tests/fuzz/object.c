/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/object.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	for (int o = 1; o <= OBJECT_LAST && n < 64 * 1024; o++) {
		void *obj = malloc(object_size((enum object)o));
		uint8_t *out = malloc(OBJECT_MAX);
		size_t len = 0;

		/* what is read is written again octet for octet: there is one form only */
		if (obj && out && !object_read((enum object)o, BYTES(data, n), obj)
			&& (object_write((enum object)o, obj, out, OBJECT_MAX, &len) || len != n || memcmp(out, data, n)))
			abort();
		free(obj);
		free(out);
	}
	return 0;
}
