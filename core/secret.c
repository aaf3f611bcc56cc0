/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEK_TEXT = 64 };

struct kek {
	uint8_t key[32];
};

void secret_wipe(void *p, size_t n)
{
	OPENSSL_cleanse(p, n);
}

enum err secret_random(void *p, size_t n)
{
	return n <= 1 << 20 && RAND_bytes(p, (int)n) == 1 ? OK : ERR_CRYPTO;
}

int secret_same(const struct secret *a, const struct secret *b)
{
	return bytes_same(a->octet, b->octet, sizeof(a->octet));
}

static enum err kek_file(int fd, const char *path, char text[KEK_TEXT + 2], struct why *w)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return fail(w, ERR_FORMAT, "%s: not a regular file; a key file holds 64 hex digits", path);
	if (st.st_mode & 077)
		return fail(w, ERR_DENIED, "%s: others may read it (mode %o); run: chmod 600 %s", path, (unsigned)st.st_mode & 0777, path);
	n = read(fd, text, KEK_TEXT + 1);
	if (n < KEK_TEXT || (n > KEK_TEXT && text[KEK_TEXT] != '\n'))
		return fail(w, ERR_FORMAT, "%s: not 64 hex digits; restore it from its backup (a new one cannot open the old keys)", path);
	text[KEK_TEXT] = 0;
	return OK;
}

enum err kek_load(const char *path, struct kek **out, struct why *w)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO would wait for a writer */
	char text[KEK_TEXT + 2];
	struct kek *k;
	enum err e;

	if (fd < 0)
		return fail(w, ERR_IO, "%s: %s; `usher setup` makes it", path, strerror(errno));
	e = kek_file(fd, path, text, w);
	close(fd);
	k = e ? NULL : malloc(sizeof(*k));
	if (!e)
		e = k ? hex_read(text, k->key, sizeof(k->key)) : ERR_NOMEM;
	if (e && k)
		e = fail(w, e, "%s: not 64 hex digits", path);
	secret_wipe(text, sizeof(text));
	if (e)
		kek_free(k);
	else
		*out = k;
	return e;
}

enum err kek_create(const char *path, struct why *w)
{
	uint8_t key[32];
	char text[KEK_TEXT + 1];
	enum err e = secret_random(key, sizeof(key));
	int fd;

	if (!e)
		e = hex_of(BYTES_OF(key), text, sizeof(text));
	fd = e ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (!e && (fd < 0 || write(fd, text, KEK_TEXT) != KEK_TEXT || fsync(fd)))
		e = fail(w, errno == EEXIST ? ERR_EXISTS : ERR_IO, "%s: %s", path, strerror(errno));
	if (fd >= 0) {
		close(fd);
		if (e)
			(void)!unlink(path); /* half a key would block the next try, and open nothing */
	}
	secret_wipe(key, sizeof(key));
	secret_wipe(text, sizeof(text));
	return e;
}

void kek_free(struct kek *k)
{
	if (!k)
		return;
	secret_wipe(k, sizeof(*k));
	free(k);
}

/* RFC 3394 under a 256 bit key; in and out may not overlap. */
static enum err wrap(const struct kek *k, int encrypt, const uint8_t *in, int n, uint8_t *out, int expect)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int got = 0, ok;

	if (!c)
		return ERR_NOMEM;
	EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	ok = EVP_CipherInit_ex(c, EVP_aes_256_wrap(), NULL, k->key, NULL, encrypt) == 1
		&& EVP_CipherUpdate(c, out, &got, in, n) == 1 && got == expect;
	EVP_CIPHER_CTX_free(c);
	return ok ? OK : ERR_AUTH;
}

enum err kek_wrap(const struct kek *k, const struct secret *s, uint8_t out[SECRET_WRAPPED])
{
	return wrap(k, 1, s->octet, sizeof(s->octet), out, SECRET_WRAPPED);
}

enum err kek_unwrap(const struct kek *k, const uint8_t in[SECRET_WRAPPED], struct secret *s)
{
	uint8_t room[SECRET_WRAPPED + 8] = { 0 };
	enum err e = wrap(k, 0, in, SECRET_WRAPPED, room, sizeof(s->octet));

	memcpy(s->octet, room, sizeof(s->octet));
	secret_wipe(room, sizeof(room));
	if (e)
		secret_wipe(s, sizeof(*s));
	return e;
}

void secret_process(void)
{
	const struct rlimit none = { 0, 0 };

	(void)!setrlimit(RLIMIT_CORE, &none);
	(void)!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	umask(077);
}
