/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/syncml.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct syncml *m = malloc(sizeof(*m));
	char *out = malloc(2 * SYNCML_MAX);
	size_t len;

	if (m && out && !syncml_read(BYTES(data, n), m))
		(void)!syncml_write(m, out, 2 * SYNCML_MAX, &len);
	free(m);
	free(out);
	return 0;
}
