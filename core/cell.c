/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cell.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/secret.h"

enum { MAGIC = 0x55534345, HEAD = 4 + 8 + 4, TAIL = 4, PATH_ROOM = 700 };

struct cell {
	char path[PATH_ROOM];
	uint64_t counter;
	uint8_t *content;
	size_t n;
};

/* CRC-32 of IEEE 802.3, a bit at a time: a few hundred octets at each state change. */
static uint32_t crc32_of(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

/* One copy; ERR_MISSING: no such file, ERR_FORMAT: not whole, ERR_IO: it may be whole, and cannot be read now. */
static enum err copy_read(const char *path, uint64_t *counter, uint8_t **content, size_t *n)
{
	FILE *f = fopen(path, "re");
	size_t most = CELL_MAX + HEAD + TAIL + 1, got;
	uint8_t *room;
	struct rd r;
	uint32_t magic, len;
	enum err e = ERR_FORMAT;

	if (!f)
		return errno == ENOENT ? ERR_MISSING : ERR_IO;
	room = malloc(most);
	got = room ? fread(room, 1, most, f) : 0;
	if (!room)
		e = ERR_NOMEM;
	else if (ferror(f))
		e = ERR_IO;
	fclose(f);
	if (!room)
		return e;
	r = rd_of(BYTES(room, got));
	magic = rd_u32(&r);
	*counter = rd_u64(&r);
	len = rd_u32(&r);
	if (e == ERR_FORMAT && magic == MAGIC && len <= CELL_MAX && got == HEAD + len + TAIL) {
		struct rd tail = rd_of(BYTES(room + HEAD + len, TAIL));

		if (rd_u32(&tail) == crc32_of(room, HEAD + len)) {
			memmove(room, room + HEAD, len);
			*content = room;
			*n = len;
			return OK;
		}
	}
	secret_wipe(room, got);
	free(room);
	return e;
}

static void content_free(uint8_t *content, size_t n)
{
	if (content)
		secret_wipe(content, n);
	free(content);
}

static void copy_path(const struct cell *c, uint64_t counter, char path[PATH_ROOM + 4])
{
	snprintf(path, PATH_ROOM + 4, "%s.%c", c->path, counter & 1 ? 'b' : 'a');
}

enum err cell_open(const char *path, struct cell **out, struct why *w)
{
	struct cell *c = calloc(1, sizeof(*c));
	enum err found[2] = { ERR_MISSING, ERR_MISSING };

	if (!c)
		return ERR_NOMEM;
	if (text_copy(c->path, sizeof(c->path), path)) {
		free(c);
		return fail(w, ERR_LIMIT, "%s: the path is too long", path);
	}
	for (int i = 0; i < 2; i++) {
		char copy[PATH_ROOM + 4];
		uint8_t *content = NULL;
		uint64_t counter = 0;
		size_t n = 0;

		copy_path(c, (uint64_t)i, copy);
		found[i] = copy_read(copy, &counter, &content, &n);
		if (found[i] == ERR_IO || found[i] == ERR_NOMEM) { /* the other copy may be older: an equipment never goes back */
			cell_close(c);
			return fail(w, found[i], "%s cannot be read now: %s", copy, strerror(errno));
		}
		if (found[i])
			continue;
		if (!c->content || counter > c->counter) {
			content_free(c->content, c->n);
			c->content = content;
			c->counter = counter;
			c->n = n;
		} else {
			content_free(content, n);
		}
	}
	/* a torn first copy, alone: its write was cut, and nobody was told that it is there */
	if (!c->content && !(found[0] == ERR_MISSING && (found[1] == ERR_MISSING || found[1] == ERR_FORMAT))) {
		free(c);
		return fail(w, ERR_FORMAT, "%s: no whole copy is left; restore it from a backup", path);
	}
	*out = c;
	return OK;
}

void cell_close(struct cell *c)
{
	if (!c)
		return;
	content_free(c->content, c->n);
	free(c);
}

struct bytes cell_read(const struct cell *c)
{
	return BYTES(c->content, c->n);
}

uint64_t cell_counter(const struct cell *c)
{
	return c->counter;
}

/* A new file is durable when its folder is. */
static int folder_synced(const char *path)
{
	char dir[PATH_ROOM + 4], *slash;
	int fd, synced;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	synced = !fsync(fd);
	close(fd);
	return synced;
}

static enum err write_whole(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), bad;
	size_t half = n / 2; /* in two parts, so that a test may tear it */

	if (fd < 0)
		return ERR_IO;
	bad = write(fd, p, half) != (ssize_t)half;
	fault_point("cell", "torn");
	bad = bad || write(fd, p + half, n - half) != (ssize_t)(n - half) || fsync(fd);
	close(fd);
	bad = bad || !folder_synced(path);
	if (bad)
		(void)!unlink(path); /* the caller is told that it is not written: it must not come up after a restart */
	return bad ? ERR_IO : OK;
}

enum err cell_write(struct cell *c, struct bytes content)
{
	char path[PATH_ROOM + 4];
	uint8_t *room = content.n <= CELL_MAX ? malloc(HEAD + content.n + TAIL) : NULL, *keep = malloc(content.n + 1);
	struct wr w = wr_of(room, room ? HEAD + content.n + TAIL : 0);
	enum err e;

	wr_u32(&w, MAGIC);
	wr_u64(&w, c->counter + 1);
	wr_u32(&w, (uint32_t)content.n);
	wr_bytes(&w, content);
	wr_u32(&w, room ? crc32_of(room, HEAD + content.n) : 0);
	e = room && keep ? wr_done(&w) : ERR_LIMIT;
	copy_path(c, c->counter + 1, path);
	fault_point("cell", "before");
	if (!e)
		e = write_whole(path, room, w.n);
	fault_point("cell", "after");
	if (room)
		secret_wipe(room, w.n);
	free(room);
	if (e) {
		free(keep);
		return e;
	}
	if (content.n)
		memcpy(keep, content.p, content.n);
	content_free(c->content, c->n);
	c->content = keep;
	c->n = content.n;
	c->counter++;
	return OK;
}
