/* SPDX-License-Identifier: Apache-2.0 */
#include "link/head.h"

#include <string.h>
#include <strings.h>

#include "core/conf.h"

/* The next line without its CRLF; ERR_AGAIN if none is complete. */
static enum err line_next(struct bytes *in, char *dst, size_t cap)
{
	const uint8_t *end = in->n ? memmem(in->p, in->n, "\r\n", 2) : NULL;
	size_t n;

	if (!end)
		return ERR_AGAIN;
	n = (size_t)(end - in->p);
	if (n >= cap)
		return ERR_LIMIT;
	if (memchr(in->p, 0, n))
		return ERR_FORMAT;
	memcpy(dst, in->p, n);
	dst[n] = 0;
	in->p += n + 2;
	in->n -= n + 2;
	return OK;
}

static const char *after_word(const char *line, const char *word)
{
	size_t n = strlen(word);

	if (strncasecmp(line, word, n))
		return NULL;
	return line + n + strspn(line + n, " \t");
}

static enum err target_read(const char *line, char *target)
{
	const char *from = line + 8, *end = strchr(from, ' ');
	size_t n = end ? (size_t)(end - from) : 0;
	struct why unused;
	char host[256];
	uint16_t port;

	if (!end || n >= TUNNEL_TARGET || (strcmp(end, " HTTP/1.1") && strcmp(end, " HTTP/1.0")))
		return ERR_FORMAT;
	for (size_t i = 0; i < n; i++) {
		target[i] = (char)(from[i] >= 'A' && from[i] <= 'Z' ? from[i] + 32 : from[i]);
		if (target[i] <= ' ' || target[i] > '~' || strchr("@#/", target[i]))
			return ERR_FORMAT;
	}
	target[n] = 0;
	return conf_address(target, host, sizeof(host), &port, &unused) || !port ? ERR_FORMAT : OK;
}

/* A head that is not whole in TUNNEL_HEAD octets will not be: nothing more of it is read. */
static enum err head_limit(enum err e, struct bytes in, size_t used)
{
	return (e == ERR_AGAIN && in.n >= TUNNEL_HEAD) || (!e && used > TUNNEL_HEAD) ? ERR_LIMIT : e;
}

enum err tunnel_head_read(struct bytes in, struct tunnel_ask *ask, size_t *used)
{
	struct bytes left = in;
	char line[1024];
	const char *v;
	enum err e;

	memset(ask, 0, sizeof(*ask));
	*used = 0;
	e = line_next(&left, line, sizeof(line));
	if (e)
		return head_limit(e, in, 0);
	if (strncmp(line, "CONNECT ", 8))
		return ERR_UNSUPPORTED;
	e = target_read(line, ask->target);
	while (!e && !(e = line_next(&left, line, sizeof(line))) && *line) {
		if ((v = after_word(line, "proxy-authorization: bearer ")))
			e = text_copy(ask->bearer, sizeof(ask->bearer), v);
		else if ((v = after_word(line, "usher-identity:")))
			e = text_copy(ask->identity, sizeof(ask->identity), v);
	}
	*used = in.n - left.n;
	return head_limit(e, in, *used);
}

enum err tunnel_answer_read(struct bytes in, int *status, size_t *used)
{
	struct bytes left = in;
	char line[1024];
	int64_t number = 0;
	enum err e = line_next(&left, line, sizeof(line));

	*used = 0;
	if (e)
		return head_limit(e, in, 0);
	if (strncmp(line, "HTTP/1.", 7) || strlen(line) < 12 || line[8] != ' ')
		return ERR_FORMAT;
	line[12] = 0;
	e = text_number(line + 9, 100, 599, &number);
	*status = (int)number;
	while (!e && !(e = line_next(&left, line, sizeof(line))) && *line)
		;
	*used = in.n - left.n;
	return head_limit(e, in, *used);
}
