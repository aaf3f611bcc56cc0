/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/gsup.h"
#include "proto/ipa.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gsup m;
	struct bytes payload;
	uint8_t proto, out[GSUP_MAX];
	size_t used, len;

	if (!ipa_read(BYTES(data, n), &used, &proto, &payload) && proto == IPA_CCM) {
		char name[32];

		(void)!ipa_name_read(payload, name, sizeof(name));
	}
	if (!gsup_read(BYTES(data, n), &m))
		(void)!gsup_write(&m, out, sizeof(out), &len);
	return 0;
}
