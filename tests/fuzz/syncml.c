/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/syncml.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What is read is answered, a Status for every command, and written again; results and header lines are read from the same octets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct syncml *m = malloc(sizeof(*m)), *answer = malloc(sizeof(*answer));
	char *out = malloc(2 * SYNCML_MAX), *line = malloc(n + 1), user[64], mac[DM_MAC];
	size_t len;
	int code;

	if (m && answer && out && line) {
		memcpy(line, data, n);
		line[n] = 0;
		(void)!dm_hmac_read(line, user, sizeof(user), mac);
		(void)!scomo_result_read(line, &code);
		(void)!syncml_type(line);
		if (!syncml_read(BYTES(data, n), m)) {
			(void)!syncml_write(m, out, 2 * SYNCML_MAX, &len);
			syncml_begin(answer, m->session, m->msg_id, m->source, m->target);
			for (int i = 0; i < m->commands; i++)
				if (!syncml_status(answer, m, m->command + i, "200"))
					break;
			(void)!syncml_write(answer, out, 2 * SYNCML_MAX, &len);
		}
	}
	free(m);
	free(answer);
	free(out);
	free(line);
	return 0;
}
