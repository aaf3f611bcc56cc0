/* SPDX-License-Identifier: Apache-2.0 */
#include "link/head.h"
#include "proto/digest.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1), line[2 * DIGEST_LINE], again[2 * DIGEST_LINE];
	struct digest d, back;
	struct tunnel_ask ask;
	size_t used;
	int status;

	if (!text)
		return 0;
	memcpy(text, data, n);
	text[n] = 0;
	/* what is written reads as the same answer */
	if (!digest_read(text, &d) && !digest_answer_write(&d, line, sizeof(line)) && strlen(line) < DIGEST_LINE
		&& (digest_read(line, &back) || digest_answer_write(&back, again, sizeof(again)) || strcmp(line, again)))
		abort();
	free(text);
	(void)!tunnel_head_read(BYTES(data, n), &ask, &used);
	(void)!tunnel_answer_read(BYTES(data, n), &status, &used);
	return 0;
}
