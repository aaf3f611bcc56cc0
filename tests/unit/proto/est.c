/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/est.h"

#include "tests/unit/pki.h"

static void bodies(void **state)
{
	uint8_t out[8];
	size_t n;

	(void)state;
	assert_int_equal(est_body_read(bytes_text("Zm9v\r\nYmFy\n"), out, 6, &n), OK); /* MIME breaks lines (RFC 7030 4.2) */
	assert_memory_equal(out, "foobar", 6);
	assert_int_equal(est_body_read(bytes_text("Zm9vYmFy"), out, 5, &n), ERR_LIMIT);
	assert_int_equal(est_body_read(bytes_text(" \r\n"), out, 8, &n), ERR_SHORT);
	assert_int_equal(est_body_read(bytes_text("Zm9"), out, 8, &n), ERR_FORMAT);
	assert_int_equal(est_body_read(BYTES("Zm9v\0\0\0\0", 8), out, 8, &n), ERR_FORMAT);
}

/* OpenSSL is the outside here: `openssl crl2pkcs7 -nocrl` and `openssl pkcs7 -print_certs`. */
static void certs_as_openssl_has_them(void **state)
{
	static char text[EST_CERTS_MAX * 2], body[EST_CERTS_MAX * 2], command[800];
	struct pki p;
	char pem[100], der[100];
	X509 *two[2];
	STACK_OF(X509) *back = NULL;
	struct why w;
	FILE *f;
	size_t n;

	(void)state;
	pki_new(&p);
	two[0] = p.tls_ca;
	two[1] = p.root;
	snprintf(pem, sizeof(pem), "%s/two.pem", p.dir);
	snprintf(der, sizeof(der), "%s/two.b64", p.dir);
	assert_int_equal(cert_save(pem, two, 2, &w), OK);
	snprintf(command, sizeof(command), "openssl crl2pkcs7 -nocrl -certfile %s -outform DER | base64 > %s", pem, der);
	assert_int_equal(system(command), 0);
	f = fopen(der, "r");
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(est_certs_read(BYTES(text, n), &back), OK);
	assert_int_equal(sk_X509_num(back), 2);
	assert_int_equal(X509_cmp(sk_X509_value(back, 0), p.tls_ca), 0);
	sk_X509_pop_free(back, X509_free);
	/* ours, read by OpenSSL */
	assert_int_equal(est_certs_write(two, 2, body, sizeof(body)), OK);
	f = fopen(der, "w");
	fputs(body, f);
	fclose(f);
	snprintf(command, sizeof(command), "base64 -d %s | openssl pkcs7 -inform DER -print_certs | grep -c BEGIN | grep -qx 2", der);
	assert_int_equal(system(command), 0);
	assert_int_equal(est_certs_read(bytes_text(body), &back), OK);
	sk_X509_pop_free(back, X509_free);
	for (size_t i = 0; i < strlen(body); i += 4) /* nothing shorter */
		assert_int_not_equal(est_certs_read(BYTES(body, i), &back), OK);
	assert_int_equal(est_certs_write(two, 2, body, 100), ERR_LIMIT);
	pki_free(&p);
}

static void limits(void **state)
{
	static char body[EST_CERTS_MAX * 4];
	struct pki p;
	X509 *many[17];
	STACK_OF(X509) *back = NULL;

	(void)state;
	pki_new(&p);
	for (int i = 0; i < 17; i++) {
		EVP_PKEY *k = EVP_EC_gen("P-256");

		many[i] = pki_leaf(&p, "hss", "001-01", CERT_TLS, k);
		EVP_PKEY_free(k);
	}
	assert_int_equal(est_certs_write(many, 16, body, sizeof(body)), OK);
	assert_int_equal(est_certs_read(bytes_text(body), &back), OK);
	assert_int_equal(sk_X509_num(back), 16);
	sk_X509_pop_free(back, X509_free);
	assert_int_equal(est_certs_write(many, 17, body, sizeof(body)), OK);
	assert_int_equal(est_certs_read(bytes_text(body), &back), ERR_FORMAT);
	assert_int_equal(est_certs_write(many, 0, body, sizeof(body)), OK);
	assert_int_equal(est_certs_read(bytes_text(body), &back), ERR_FORMAT); /* none is none */
	for (int i = 0; i < 17; i++)
		X509_free(many[i]);
	pki_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bodies), cmocka_unit_test(certs_as_openssl_has_them), cmocka_unit_test(limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
