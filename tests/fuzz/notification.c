/* SPDX-License-Identifier: Apache-2.0 */
/* Package #0, by who knows the password and by who does not: what was understood is written, and reads as the same. */
#include "proto/notification.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct bytes password = bytes_text("srvpwd"), nonce = BYTES(NULL, 0);
	struct notification m, back;
	uint8_t out[NOTIFICATION_MAX];
	size_t len = 0;
	enum err e = notification_read(BYTES(data, n), password, nonce, &m);

	if (e && e != ERR_AUTH)
		return 0;
	if (notification_write(&m, password, nonce, out, sizeof(out), &len) || notification_read(BYTES(out, len), password, nonce, &back)
		|| back.session != m.session || back.user_interaction != m.user_interaction || strcmp(back.server, m.server))
		abort();
	return 0;
}
