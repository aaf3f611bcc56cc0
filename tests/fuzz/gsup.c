/* SPDX-License-Identifier: Apache-2.0 */
/* What is read can be written, and what is written reads as the same message. */
#include "proto/gsup.h"
#include "proto/ipa.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct gsup m;
	struct bytes payload;
	uint8_t proto, once[GSUP_MAX], twice[GSUP_MAX];
	size_t used, len, again;

	if (!ipa_read(BYTES(data, n), &used, &proto, &payload) && proto == IPA_CCM) {
		char name[32];

		(void)!ipa_name_read(payload, name, sizeof(name));
	}
	if (gsup_read(BYTES(data, n), &m))
		return 0;
	if (gsup_write(&m, once, sizeof(once), &len) || gsup_read(BYTES(once, len), &m) || gsup_write(&m, twice, sizeof(twice), &again)
		|| !bytes_equal(BYTES(once, len), BYTES(twice, again)))
		abort();
	return 0;
}
