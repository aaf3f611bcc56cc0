/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_TRUST_H
#define USHER_TRUST_H
/*
 * From certificates to one verdict and a sentence (R12, R13): what the attestation provider's answer says of them. DLUSIM service,
 * HSS and tre ask the same question here, each about other parties, and each decides what the verdict means for it.
 */
#include "proto/ocsp.h"

/*
 * OK: all that q asks about are good. ERR_REVOKED, ERR_MISSING (never issued): w names whose certificate it is; the worst counts.
 * ERR_UNAVAILABLE: no verdict. Whatever is not a whole, matching, fresh answer is none, and nobody's fault but the way's: ask again.
 * time and *produced: ocsp_answer_check.
 */
enum err trust_verdict(struct bytes answer, struct ocsp_question q, struct cert_time time, int64_t *produced, struct why *w) MUST_CHECK;

#endif
