/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/est.h"

#include <openssl/pkcs7.h>
#include <stdlib.h>
#include <string.h>

enum { CERTS_MAX = 16 };

enum err est_body_read(struct bytes text, uint8_t *dst, size_t cap, size_t *n)
{
	char *flat = malloc(text.n + 1);
	size_t k = 0;
	enum err e;

	if (!flat)
		return ERR_NOMEM;
	for (size_t i = 0; i < text.n; i++)
		if (!strchr("\r\n\t ", text.p[i]) || !text.p[i])
			flat[k++] = (char)text.p[i];
	e = k ? b64_read(BYTES(flat, k), dst, cap, n) : ERR_SHORT;
	free(flat);
	return e;
}

static PKCS7 *certs_only(X509 *const *certs, size_t count)
{
	PKCS7 *p = PKCS7_new();
	int ok = p && PKCS7_set_type(p, NID_pkcs7_signed) == 1 && PKCS7_content_new(p, NID_pkcs7_data) == 1
		&& PKCS7_set_detached(p, 1);

	for (size_t i = 0; ok && i < count; i++)
		ok = PKCS7_add_certificate(p, certs[i]) == 1;
	if (ok)
		return p;
	PKCS7_free(p);
	return NULL;
}

enum err est_certs_write(X509 *const *certs, size_t count, char *dst, size_t cap)
{
	PKCS7 *p = certs_only(certs, count);
	uint8_t *der = NULL;
	int n = p ? i2d_PKCS7(p, &der) : -1;
	enum err e = n > 0 ? b64_of(BYTES(der, n), dst, cap) : ERR_CRYPTO;

	OPENSSL_free(der);
	PKCS7_free(p);
	return e;
}

enum err est_certs_read(struct bytes text, STACK_OF(X509) **out)
{
	uint8_t *der = malloc(EST_CERTS_MAX);
	const uint8_t *at = der;
	size_t n = 0;
	PKCS7 *p = NULL;
	enum err e = der ? est_body_read(text, der, EST_CERTS_MAX, &n) : ERR_NOMEM;

	if (!e) {
		p = d2i_PKCS7(NULL, &at, (long)n);
		if (!p || at != der + n || !PKCS7_type_is_signed(p) || !p->d.sign || sk_X509_num(p->d.sign->cert) < 1
			|| sk_X509_num(p->d.sign->cert) > CERTS_MAX)
			e = ERR_FORMAT;
	}
	if (!e) {
		*out = X509_chain_up_ref(p->d.sign->cert);
		e = *out ? OK : ERR_NOMEM;
	}
	PKCS7_free(p);
	free(der);
	return e;
}
