/* SPDX-License-Identifier: Apache-2.0 */
/* Signed and sealed objects, OCSP requests and answers of people without a key: read, and never believed. */
#include "package/package.h"
#include "proto/cms.h"
#include "proto/der.h"
#include "proto/ocsp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/signers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct pki pki;
static struct signer leaf;

/* An element is its header and its content, and these are all its octets. */
static void elements(struct bytes in, int depth)
{
	struct rd r = rd_of(in);

	while (r.left && !r.bad && depth < 20) {
		struct rd again = r;
		uint8_t tag = 0;
		struct bytes content = der_next(&r, &tag), whole = der_whole(&again, tag);

		if (!r.bad && (again.bad || again.left != r.left || whole.n < content.n + 2 || whole.p + whole.n != content.p + content.n))
			abort();
		if (!r.bad && tag & 0x20)
			elements(content, depth + 1);
	}
}

static void signed_object(struct bytes der)
{
	enum object o = (enum object)cms_which(der);
	void *obj = o ? malloc(object_size(o)) : NULL;

	if (obj && !cms_open(o, der, from(NULL, pki.roots), obj, NULL, NULL))
		abort();
	free(obj);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t nonce[OCSP_NONCE];
	struct ocsp_status status;
	struct ocsp_ask ask;
	uint8_t *content = NULL;
	size_t len = 0;
	int64_t produced;

	if (!pki.roots) {
		pki_new(&pki, 1u << 7);
		leaf_new(&pki, "equipment", "acme:000017", &leaf);
	}
	elements(BYTES(data, n), 0);
	signed_object(BYTES(data, n));
	if (!ocsp_ask_read(BYTES(data, n), &ask))
		ocsp_ask_free(&ask);
	if (!ocsp_answer_check(BYTES(data, n), (struct ocsp_question){ &leaf.cert, 1, pki.ca, nonce }, at_now(), &status, &produced, NULL))
		abort();
	if (!package_open(BYTES(data, n), leaf.key, &content, &len, NULL))
		OPENSSL_clear_free(content, len);
	return 0;
}
