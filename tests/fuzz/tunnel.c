/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of CONNECT and of its answers: the verdict on a prefix is "more" or the same as on the whole. */
#include "link/head.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct tunnel_ask whole, part;
	size_t used = 0, less;
	int status = 0, same;
	enum err e = tunnel_head_read(BYTES(data, n), &whole, &used);

	if (!e && (used > n || used > TUNNEL_HEAD || strpbrk(whole.target, "@/# \r\n")))
		abort();
	for (size_t i = 0; !e && i <= n && i < 300; i++) {
		enum err f = tunnel_head_read(BYTES(data, i), &part, &less);

		if (i < used ? f != ERR_AGAIN : f != OK || less != used || strcmp(part.target, whole.target))
			abort();
	}
	e = tunnel_answer_read(BYTES(data, n), &status, &used);
	if (!e && (used > n || used > TUNNEL_HEAD || status < 100 || status > 599 || tunnel_answer_read(BYTES(data, used), &same, &less) || same != status))
		abort();
	return 0;
}
