/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
	const char *name, *text;
} words[ERR_COUNT] = {
	[OK] = { "ok", "no error" },
	[ERR_NOMEM] = { "nomem", "out of memory" },
	[ERR_IO] = { "io", "the operating system refused" },
	[ERR_SHORT] = { "short", "ends too early" },
	[ERR_SURPLUS] = { "surplus", "has bytes left over" },
	[ERR_FORMAT] = { "format", "is not well formed" },
	[ERR_RANGE] = { "range", "is outside its range" },
	[ERR_LIMIT] = { "limit", "reaches a limit" },
	[ERR_MISSING] = { "missing", "is not there" },
	[ERR_EXISTS] = { "exists", "exists already" },
	[ERR_CONFLICT] = { "conflict", "exists with other content" },
	[ERR_ORDER] = { "state", "is not possible in this state" },
	[ERR_DENIED] = { "denied", "is not allowed" },
	[ERR_AUTH] = { "auth", "has a wrong proof or signature" },
	[ERR_SYNC] = { "sync", "has a sequence number that is not fresh" },
	[ERR_EXPIRED] = { "expired", "has expired" },
	[ERR_REVOKED] = { "revoked", "is revoked" },
	[ERR_UNAVAILABLE] = { "unavailable", "cannot be reached" },
	[ERR_TIMEOUT] = { "timeout", "took too long" },
	[ERR_AGAIN] = { "again", "is not ready yet" },
	[ERR_CRYPTO] = { "crypto", "was refused by the cryptographic library" },
	[ERR_UNSUPPORTED] = { "unsupported", "is not supported" },
};

const char *err_name(enum err e)
{
	return (unsigned)e < ERR_COUNT ? words[e].name : "unknown";
}

const char *err_text(enum err e)
{
	return (unsigned)e < ERR_COUNT ? words[e].text : "unknown error";
}

enum err fail(struct why *w, enum err e, const char *fmt, ...)
{
	va_list ap;

	if (w) {
		va_start(ap, fmt);
		vsnprintf(w->text, sizeof w->text, fmt, ap);
		va_end(ap);
	}
	return e;
}
