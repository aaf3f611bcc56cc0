/* SPDX-License-Identifier: Apache-2.0 */
/* What an EST server and client read: base64, PKCS#10, PKCS#7, certificates' parties. */
#include "core/cert.h"
#include "proto/est.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	STACK_OF(X509) *certs = NULL;
	uint8_t der[EST_REQUEST_MAX];
	struct party who;
	enum cert_use use;
	EVP_PKEY *key = NULL;
	size_t len = 0;

	if (est_body_read(BYTES(data, n), der, sizeof(der), &len))
		len = 0;
	if (!cert_request_read(len ? BYTES(der, len) : BYTES(data, n), &who, &use, &key, NULL)) {
		if (!cert_role_number(who.role) || !cert_id_good(who.id) || !key)
			abort();
		EVP_PKEY_free(key);
	}
	if (!est_certs_read(BYTES(data, n), &certs)) {
		for (int i = 0; i < sk_X509_num(certs); i++)
			if (!cert_party(sk_X509_value(certs, i), &who) && !cert_id_good(who.id))
				abort();
		sk_X509_pop_free(certs, X509_free);
	}
	return 0;
}
