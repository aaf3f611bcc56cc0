/* SPDX-License-Identifier: Apache-2.0 */
#include "trust/trust.h"

#include <string.h>

static const struct {
	enum ocsp_state state;
	enum err verdict;
	const char *sentence;
} verdicts[] = { /* the worst first */
	{ OCSP_REVOKED, ERR_REVOKED, "the certificate of %s %s is revoked" },
	{ OCSP_UNKNOWN, ERR_MISSING, "the attestation provider does not know the certificate of %s %s" },
};

enum err trust_verdict(struct bytes answer, struct ocsp_question q, struct cert_time time, int64_t *produced, struct why *w)
{
	struct ocsp_status status[OCSP_IDS];

	if (q.n < 1 || q.n > OCSP_IDS)
		return ERR_LIMIT;
	if (ocsp_answer_check(answer, q, time, status, produced, w))
		return ERR_UNAVAILABLE;
	for (size_t v = 0; v < sizeof(verdicts) / sizeof(*verdicts); v++)
		for (size_t i = 0; i < q.n; i++)
			if (status[i].state == verdicts[v].state) {
				struct party p = { "", "" };

				if (cert_party(q.certs[i], &p))
					memset(&p, 0, sizeof(p));
				return fail(w, verdicts[v].verdict, verdicts[v].sentence, p.role, p.id);
			}
	return OK;
}
