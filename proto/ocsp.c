/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/ocsp.h"

#include <openssl/x509v3.h>
#include <string.h>

enum { SKEW_S = 300 };

static enum err der_of(OCSP_RESPONSE *r, uint8_t **der, size_t *len)
{
	int n;

	*der = NULL;
	n = r ? i2d_OCSP_RESPONSE(r, der) : -1;
	*len = n > 0 ? (size_t)n : 0;
	return n > 0 ? OK : ERR_CRYPTO;
}

/* --- asking --- */

enum err ocsp_ask_write(struct ocsp_question q, uint8_t **der, size_t *len)
{
	OCSP_REQUEST *r = OCSP_REQUEST_new();
	uint8_t copy[OCSP_NONCE];
	int ok = r && q.n >= 1 && q.n <= OCSP_IDS, got;

	for (size_t i = 0; ok && i < q.n; i++) {
		OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha256(), q.certs[i], q.issuer);

		ok = id && OCSP_request_add0_id(r, id);
	}
	memcpy(copy, q.nonce, sizeof(copy));
	ok = ok && OCSP_request_add1_nonce(r, copy, sizeof(copy)) == 1;
	*der = NULL;
	got = ok ? i2d_OCSP_REQUEST(r, der) : -1;
	*len = got > 0 ? (size_t)got : 0;
	OCSP_REQUEST_free(r);
	return got > 0 ? OK : ERR_CRYPTO;
}

/* --- answering --- */

/* The nonce extension's value is an OCTET STRING within (RFC 8954 2.1); NULL: none, or not one of 1 to 32 octets. */
static const uint8_t *nonce_of(X509_EXTENSION *x, size_t *n)
{
	ASN1_OCTET_STRING *value = x ? X509_EXTENSION_get_data(x) : NULL;
	const uint8_t *p = value ? ASN1_STRING_get0_data(value) : NULL;
	int len = value ? ASN1_STRING_length(value) : 0;

	if (len < 3 || len > OCSP_NONCE + 2 || p[0] != V_ASN1_OCTET_STRING || p[1] != len - 2)
		return NULL;
	*n = p[1];
	return p + 2;
}

static int nonce_fits(OCSP_REQUEST *r)
{
	int at = OCSP_REQUEST_get_ext_by_NID(r, NID_id_pkix_OCSP_Nonce, -1);
	size_t n;

	return at < 0 || nonce_of(OCSP_REQUEST_get_ext(r, at), &n);
}

static enum err serial_hex(OCSP_CERTID *id, char dst[OCSP_SERIAL_HEX])
{
	ASN1_INTEGER *serial = NULL;
	BIGNUM *b;
	uint8_t octets[24];
	int n;

	OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
	b = ASN1_INTEGER_to_BN(serial, NULL);
	n = b && !BN_is_negative(b) && BN_num_bytes(b) <= (int)sizeof(octets) - 1 ? BN_bn2bin(b, octets) : -1;
	BN_free(b);
	return n >= 0 ? hex_of(BYTES(octets, n), dst, OCSP_SERIAL_HEX) : ERR_RANGE;
}

enum err ocsp_ask_read(struct bytes der, struct ocsp_ask *out)
{
	const uint8_t *p = der.p;
	int n;
	enum err e = OK;

	memset(out, 0, sizeof(*out));
	out->req = der.n && der.n <= OCSP_DER_MAX ? d2i_OCSP_REQUEST(NULL, &p, (long)der.n) : NULL;
	if (!out->req || p != der.p + der.n || !nonce_fits(out->req))
		e = ERR_FORMAT;
	out->nonce = !e && OCSP_REQUEST_get_ext_by_NID(out->req, NID_id_pkix_OCSP_Nonce, -1) >= 0;
	n = e ? 0 : OCSP_request_onereq_count(out->req);
	if (!e && (n < 1 || n > OCSP_IDS))
		e = ERR_LIMIT;
	for (int i = 0; i < n && !e; i++) {
		out->id[i] = OCSP_onereq_get0_id(OCSP_request_onereq_get0(out->req, i));
		e = serial_hex(out->id[i], out->serial[i]);
	}
	out->n = e ? 0 : (size_t)n;
	if (e)
		ocsp_ask_free(out);
	return e;
}

void ocsp_ask_free(struct ocsp_ask *a)
{
	OCSP_REQUEST_free(a->req);
	a->req = NULL;
}

int ocsp_ask_issuer(const struct ocsp_ask *a, size_t i, X509 *issuer)
{
	const EVP_MD *const mds[] = { EVP_sha256(), EVP_sha1() };

	for (int k = 0; k < 2; k++) {
		OCSP_CERTID *mine = OCSP_cert_to_id(mds[k], NULL, issuer);
		int same = mine && !OCSP_id_issuer_cmp(mine, a->id[i]);

		OCSP_CERTID_free(mine);
		if (same)
			return 1;
	}
	return 0;
}

static int add_status(OCSP_BASICRESP *b, OCSP_CERTID *id, const struct ocsp_status *s, ASN1_TIME *from, ASN1_TIME *until)
{
	static const int wire[] = { [OCSP_GOOD] = V_OCSP_CERTSTATUS_GOOD, [OCSP_REVOKED] = V_OCSP_CERTSTATUS_REVOKED,
		[OCSP_UNKNOWN] = V_OCSP_CERTSTATUS_UNKNOWN };
	ASN1_TIME *at = s->state == OCSP_REVOKED ? ASN1_TIME_set(NULL, (time_t)s->revoked_at) : NULL;
	int ok = OCSP_basic_add1_status(b, id, wire[s->state], s->reason, at, from, until) != NULL;

	ASN1_TIME_free(at);
	return ok;
}

enum err ocsp_answer_write(const struct ocsp_ask *ask, const struct ocsp_status *status, struct ocsp_signer by, uint8_t **der, size_t *len)
{
	OCSP_BASICRESP *b = OCSP_BASICRESP_new();
	OCSP_RESPONSE *r = NULL;
	ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)by.now), *until = ASN1_TIME_set(NULL, (time_t)(by.now + by.fresh_s));
	int ok = b && from && until;
	enum err e;

	for (size_t i = 0; ok && i < ask->n; i++)
		ok = add_status(b, ask->id[i], status + i, from, until);
	/* 1: copied, 2: the request had none */
	/* libcrypto would write its own clock into producedAt: it is set here, and the signing told to leave it */
	ok = ok && OCSP_copy_nonce(b, ask->req) > 0
		&& ASN1_GENERALIZEDTIME_set((ASN1_GENERALIZEDTIME *)(uintptr_t)OCSP_resp_get0_produced_at(b), (time_t)by.now) != NULL
		&& OCSP_basic_sign(b, by.cert, by.key, EVP_sha256(), NULL, OCSP_NOTIME) == 1;
	if (ok)
		r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, b);
	e = der_of(r, der, len);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(b);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	return e;
}

enum err ocsp_error_write(int status, uint8_t **der, size_t *len)
{
	OCSP_RESPONSE *r = OCSP_response_create(status, NULL);
	enum err e = der_of(r, der, len);

	OCSP_RESPONSE_free(r);
	return e;
}

/* --- checking --- */

static enum err nonce_check(OCSP_BASICRESP *b, const uint8_t nonce[OCSP_NONCE], struct why *w)
{
	int at = OCSP_BASICRESP_get_ext_by_NID(b, NID_id_pkix_OCSP_Nonce, -1);
	size_t n = 0;
	const uint8_t *have = at >= 0 ? nonce_of(OCSP_BASICRESP_get_ext(b, at), &n) : NULL;

	if (have && n == OCSP_NONCE && bytes_same(have, nonce, OCSP_NONCE))
		return OK;
	return fail(w, ERR_AUTH, "the OCSP answer does not carry our nonce: an old answer, or none for us");
}

/* The signer is the issuing CA's own (RFC 6960 4.2.2.2): issued by its very key, for OCSPSigning and nothing else, valid at `now`. */
static enum err signer_check(OCSP_BASICRESP *b, X509 *issuer, time_t now, struct why *w)
{
	X509 *signer = NULL;
	EXTENDED_KEY_USAGE *eku = NULL;
	int ok = OCSP_resp_get0_signer(b, &signer, NULL) == 1 && signer && X509_verify(signer, X509_get0_pubkey(issuer)) == 1
		&& !X509_check_ca(signer) && X509_get_key_usage(signer) == KU_DIGITAL_SIGNATURE;

	if (ok)
		eku = X509_get_ext_d2i(signer, NID_ext_key_usage, NULL, NULL);
	ok = ok && sk_ASN1_OBJECT_num(eku) == 1 && OBJ_obj2nid(sk_ASN1_OBJECT_value(eku, 0)) == NID_OCSP_sign
		&& X509_cmp_time(X509_get0_notAfter(signer), &now) == 1 && X509_cmp_time(X509_get0_notBefore(signer), &now) == -1;
	sk_ASN1_OBJECT_pop_free(eku, ASN1_OBJECT_free);
	if (ok && OCSP_basic_verify(b, NULL, NULL, OCSP_NOVERIFY | OCSP_NOCHECKS) == 1)
		return OK;
	/* basic_verify with NOVERIFY still checks the signature, with the certificates inside */
	return fail(w, ERR_AUTH, "the OCSP answer is not signed by the issuing CA's own OCSP signer");
}

static enum err one_check(OCSP_BASICRESP *b, X509 *cert, X509 *issuer, int64_t produced, struct ocsp_status *s, struct why *w)
{
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha256(), cert, issuer);
	ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *until = NULL;
	int wire = -1, reason = -1, ok = id && OCSP_resp_find_status(b, id, &wire, &reason, &revoked, &from, &until) == 1;
	int64_t a = 0, z = 0;

	OCSP_CERTID_free(id);
	if (!ok)
		return fail(w, ERR_MISSING, "the OCSP answer says nothing about the certificate asked for");
	if (!cert_seconds(from, &a) || !cert_seconds(until, &z))
		return fail(w, ERR_FORMAT, "the OCSP answer has no this- and nextUpdate");
	if (a > produced || z < produced)
		return fail(w, ERR_EXPIRED, "the OCSP answer was produced outside its own this- and nextUpdate");
	memset(s, 0, sizeof(*s));
	s->reason = reason;
	s->state = wire == V_OCSP_CERTSTATUS_GOOD ? OCSP_GOOD : wire == V_OCSP_CERTSTATUS_REVOKED ? OCSP_REVOKED : OCSP_UNKNOWN;
	if (s->state == OCSP_REVOKED && !cert_seconds(revoked, &s->revoked_at))
		s->revoked_at = 0;
	return OK;
}

static enum err basic_check(OCSP_BASICRESP *b, struct ocsp_question q, struct cert_time time, struct ocsp_status *status, int64_t *produced,
	struct why *w)
{
	enum err e = nonce_check(b, q.nonce, w);

	if (!e && !cert_seconds(OCSP_resp_get0_produced_at(b), produced))
		e = fail(w, ERR_FORMAT, "the OCSP answer has no producedAt");
	if (!e && (*produced < time.now - SKEW_S || (!time.floor_only && *produced > time.now + SKEW_S)))
		e = fail(w, ERR_EXPIRED, "the OCSP answer was not produced now; check this machine's clock");
	if (!e)
		e = signer_check(b, q.issuer, (time_t)(time.floor_only ? *produced : time.now), w);
	for (size_t i = 0; i < q.n && !e; i++)
		e = one_check(b, q.certs[i], q.issuer, *produced, status + i, w);
	return e;
}

enum err ocsp_answer_check(struct bytes der, struct ocsp_question q, struct cert_time time, struct ocsp_status *status, int64_t *produced,
	struct why *w)
{
	const uint8_t *p = der.p;
	OCSP_RESPONSE *r = der.n && der.n <= OCSP_DER_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)der.n) : NULL;
	OCSP_BASICRESP *b = NULL;
	enum err e = OK;
	int said = r ? OCSP_response_status(r) : -1;

	if (!r || p != der.p + der.n)
		e = fail(w, ERR_FORMAT, "not an OCSP answer");
	else if (said != OCSP_RESPONSE_STATUS_SUCCESSFUL || !(b = OCSP_response_get1_basic(r)))
		e = fail(w, ERR_UNAVAILABLE, "the OCSP responder says: %s", OCSP_response_status_str(said));
	if (!e)
		e = basic_check(b, q, time, status, produced, w);
	OCSP_BASICRESP_free(b);
	OCSP_RESPONSE_free(r);
	return e;
}
