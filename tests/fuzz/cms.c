/* SPDX-License-Identifier: Apache-2.0 */
#include "package/package.h"
#include "proto/cms.h"
#include "proto/ocsp.h"
#include "proto/est.h"
#include <openssl/ec.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static EVP_PKEY *key;
	STACK_OF(X509) *certs = NULL;
	struct ocsp_ask ask;
	uint8_t *content = NULL;
	size_t len = 0;

	if (!key)
		key = EVP_EC_gen("P-256");
	(void)cms_which(BYTES(data, n));
	if (!ocsp_ask_read(BYTES(data, n), &ask))
		ocsp_ask_free(&ask);
	if (!est_certs_read(BYTES(data, n), &certs))
		sk_X509_pop_free(certs, X509_free);
	if (!package_open(BYTES(data, n), key, &content, &len, NULL))
		OPENSSL_clear_free(content, len);
	return 0;
}
