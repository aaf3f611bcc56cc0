/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PEM_MOST = 16 };

static enum err pem_all(const char *path, STACK_OF(X509) **out, struct why *w)
{
	FILE *f = fopen(path, "re");
	X509 *c;
	int n, good;

	if (!f)
		return fail(w, ERR_IO, "%s: %s; `usher setup` makes it", path, strerror(errno));
	*out = sk_X509_new_null();
	while (*out && sk_X509_num(*out) < PEM_MOST && (c = PEM_read_X509(f, NULL, NULL, "")))
		if (!sk_X509_push(*out, c))
			X509_free(c);
	n = *out ? sk_X509_num(*out) : 0;
	/* the end of a file is "no start line"; anything else is a certificate that would be missing without a word */
	good = n > 0 && (n == PEM_MOST ? fgetc(f) == EOF : ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE);
	ERR_clear_error();
	fclose(f);
	if (good)
		return OK;
	sk_X509_pop_free(*out, X509_free);
	*out = NULL;
	return fail(w, ERR_FORMAT, n ? "%s: the PEM text behind certificate %d is damaged, or there are more than 16" : "%s: no PEM certificate in it",
		path, n);
}

enum err cert_load(const char *path, X509 **leaf, STACK_OF(X509) **chain, struct why *w)
{
	enum err e = pem_all(path, chain, w);

	if (!e)
		*leaf = sk_X509_shift(*chain);
	return e;
}

enum err cert_load_roots(const char *path, STACK_OF(X509) **roots, struct why *w)
{
	return pem_all(path, roots, w);
}

enum err cert_load_key(const char *path, EVP_PKEY **key, struct why *w)
{
	FILE *f = fopen(path, "re");
	struct stat st;

	if (!f)
		return fail(w, ERR_IO, "%s: %s; `usher setup` makes it", path, strerror(errno));
	if (fstat(fileno(f), &st) || st.st_mode & 077) {
		fclose(f);
		return fail(w, ERR_DENIED, "%s: others may read this key; run: chmod 600 %s", path, path);
	}
	*key = PEM_read_PrivateKey(f, NULL, NULL, ""); /* no pass phrase: a server has nobody to ask */
	fclose(f);
	return *key ? OK : fail(w, ERR_FORMAT, "%s: no PEM private key in it", path);
}

enum err cert_make_key(const char *path, EVP_PKEY **key, struct why *w)
{
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
	enum err e = OK;

	if (path && !f) {
		if (fd >= 0)
			close(fd);
		return fail(w, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
	}
	*key = EVP_EC_gen("P-256");
	if (!*key)
		e = ERR_CRYPTO;
	if (!e && f && (PEM_write_PKCS8PrivateKey(f, *key, NULL, NULL, 0, NULL, NULL) != 1 || fflush(f) || fsync(fd)))
		e = fail(w, ERR_IO, "%s: cannot write the key", path);
	if (f)
		fclose(f);
	if (e) {
		if (f)
			(void)!unlink(path); /* half a key would block the next try */
		EVP_PKEY_free(*key);
		*key = NULL;
	}
	return e;
}

enum err cert_save(const char *path, X509 *const *certs, size_t n, struct why *w)
{
	char part[1024];
	FILE *f;
	int ok = 1;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return fail(w, ERR_LIMIT, "%s: the path is too long", path);
	f = fopen(part, "we");
	for (size_t i = 0; f && ok && i < n; i++)
		ok = PEM_write_X509(f, certs[i]) == 1;
	if (!f || !ok || fflush(f) || fsync(fileno(f)) || fchmod(fileno(f), 0644)) {
		if (f)
			fclose(f);
		return fail(w, ERR_IO, "%s: %s", part, strerror(errno));
	}
	fclose(f);
	return rename(part, path) ? fail(w, ERR_IO, "%s: %s", path, strerror(errno)) : OK;
}
