/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gmm.h"
#include "proto/gsmtap.h"
#include "proto/llc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct nas m;
	struct llc f;
	struct gsmtap g;
	struct cell_info c;
	uint8_t out[2 * NAS_MAX];
	size_t len;
	int which;

	for (int down = 0; down < 2; down++)
		if (!nas_read(BYTES(data, n), down, &m))
			(void)!nas_write(&m, down, out, sizeof(out), &len);
	(void)!llc_read(BYTES(data, n), &f);
	(void)!gsmtap_read(BYTES(data, n), &g);
	(void)!si_read(BYTES(data, n), &which, &c);
	return 0;
}
