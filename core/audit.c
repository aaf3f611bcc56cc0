/* SPDX-License-Identifier: Apache-2.0 */
#include "core/audit.h"

#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

const char audit_sql[] =
	"CREATE TABLE audit (seq BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL, step TEXT NOT NULL, text TEXT NOT NULL,"
	" about TEXT NOT NULL, hash BLOB NOT NULL);"
	"CREATE TABLE audit_about (kind TEXT NOT NULL, value TEXT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (kind, value, seq));"
	"CREATE INDEX audit_about_seq ON audit_about (seq);";

enum { HASH = 32, TEXT_MAX = 512, ABOUT_MAX = 1024 };

struct entry {
	int64_t seq, at_ms;
	const char *step, *text, *about; /* about: lines "kind=value" */
};

/* hash = SHA-256(hash of the entry before || every field with its length) */
static enum err chain(const uint8_t before[HASH], const struct entry *x, uint8_t out[HASH])
{
	char head[96];
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int n = snprintf(head, sizeof(head), "%lld %lld %zu %zu %zu\n", (long long)x->seq, (long long)x->at_ms, strlen(x->step),
		strlen(x->text), strlen(x->about));
	int ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(c, before, HASH) == 1
		&& EVP_DigestUpdate(c, head, (size_t)n) == 1 && EVP_DigestUpdate(c, x->step, strlen(x->step)) == 1
		&& EVP_DigestUpdate(c, x->text, strlen(x->text)) == 1 && EVP_DigestUpdate(c, x->about, strlen(x->about)) == 1
		&& EVP_DigestFinal_ex(c, out, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok ? OK : ERR_CRYPTO;
}

static enum err last_entry(struct tx *tx, int64_t *seq, uint8_t hash[HASH])
{
	const struct row *r;
	enum err e = tx_get(tx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", NULL, &r);

	*seq = 0;
	memset(hash, 0, HASH);
	if (e == ERR_MISSING)
		return OK;
	if (e)
		return e;
	*seq = row_int(r, 0);
	row_octets(r, 1, hash, HASH);
	return OK;
}

static enum err name_subjects(struct tx *tx, int64_t seq, const struct about *about)
{
	enum err e = OK;

	for (; !e && about->kind; about++)
		if (about->value && *about->value)
			e = tx_do(tx, "INSERT INTO audit_about (kind, value, seq) VALUES (:kind, :value, :seq) ON CONFLICT DO NOTHING",
				WITH(B_TEXT("kind", about->kind), B_TEXT("value", about->value), B_INT("seq", seq)));
	return e;
}

static int printable(const char *value)
{
	for (; *value; value++)
		if (*value < ' ' || *value > '~')
			return 0;
	return 1;
}

enum err tx_audit(struct tx *tx, const char *step, const struct about *about, const char *fmt, ...)
{
	char text[TEXT_MAX], subjects[ABOUT_MAX];
	struct wr w = wr_of(subjects, sizeof(subjects) - 1);
	struct entry x = { 0, clock_now_ms(), step, text, subjects };
	uint8_t hash[HASH];
	va_list ap;
	enum err e;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_plain(text);
	for (const struct about *a = about; a->kind; a++)
		if (a->value && *a->value) {
			wr_printf(&w, "%s=%s\n", a->kind, a->value);
			if (!printable(a->value)) /* a line end would name another subject */
				wr_fail(&w, ERR_FORMAT);
		}
	e = wr_done(&w);
	subjects[w.n] = 0;
	if (!e)
		e = last_entry(tx, &x.seq, hash);
	x.seq++;
	if (!e)
		e = chain(hash, &x, hash);
	if (!e)
		e = tx_do(tx, "INSERT INTO audit (seq, at_ms, step, text, about, hash) VALUES (:seq, :at_ms, :step, :text, :about, :hash)",
			WITH(B_INT("seq", x.seq), B_INT("at_ms", x.at_ms), B_TEXT("step", step), B_TEXT("text", text),
				B_TEXT("about", subjects), B_BLOB("hash", BYTES_OF(hash))));
	return e ? e : name_subjects(tx, x.seq, about);
}

/* --- stories --- */

static json_t *subjects_json(const char *lines)
{
	json_t *o = json_object();

	while (o && *lines) {
		const char *eq = strchr(lines, '='), *end = strchr(lines, '\n');
		char kind[32];

		if (!eq || !end || eq > end || eq - lines >= (int)sizeof(kind))
			break;
		memcpy(kind, lines, (size_t)(eq - lines));
		kind[eq - lines] = 0;
		json_object_set_new(o, kind, json_stringn(eq + 1, (size_t)(end - eq - 1)));
		lines = end + 1;
	}
	return o;
}

static enum err story_row(const struct row *r, void *arg)
{
	char at[24];
	json_t *entry;

	clock_text(row_int(r, 1) / 1000, at, sizeof(at));
	entry = json_pack("{s:I, s:I, s:s, s:s, s:s, s:o}", "seq", (json_int_t)row_int(r, 0), "at_ms", (json_int_t)row_int(r, 1),
		"at", at, "step", row_text(r, 2), "text", row_text(r, 3), "about", subjects_json(row_text(r, 4)));
	return entry && !json_array_insert_new(arg, 0, entry) ? OK : ERR_NOMEM;
}

static int followed(const char *const *aliases, const char *kind)
{
	for (; aliases && *aliases; aliases++)
		if (!strcmp(*aliases, kind))
			return 1;
	return 0;
}

struct subjects {
	json_t *list;  /* [[kind, value], ...] */
	const char *const *aliases;
};

static enum err alias_row(const struct row *r, void *arg)
{
	struct subjects *s = arg;

	if (!followed(s->aliases, row_text(r, 0)) || json_array_size(s->list) >= 64)
		return OK;
	return json_array_append_new(s->list, json_pack("[s,s]", row_text(r, 0), row_text(r, 1))) ? ERR_NOMEM : OK;
}

static int by_seq(const void *a, const void *b)
{
	json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "seq"));
	json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "seq"));

	return (x > y) - (x < y);
}

/* The entries of all subjects, in order, each once, the newest limit of them. */
static enum err merge(json_t *all, int limit, json_t **out)
{
	size_t n = json_array_size(all), each = 0;
	json_t **v = malloc((n + 1) * sizeof(*v));

	*out = json_array();
	if (!v || !*out) {
		free(v);
		return ERR_NOMEM;
	}
	for (size_t i = 0; i < n; i++)
		v[i] = json_array_get(all, i);
	qsort(v, n, sizeof(*v), by_seq);
	for (size_t i = 0; i < n; i++) /* several subjects bring the same entry */
		if (!each || by_seq(v + each - 1, v + i))
			v[each++] = v[i];
	for (size_t i = each > (size_t)limit ? each - (size_t)limit : 0; i < each; i++)
		json_array_append(*out, v[i]);
	free(v);
	return OK;
}

enum err tx_story(struct tx *tx, const char *kind, const char *value, const char *const *aliases, int limit, json_t **out)
{
	struct subjects s = { json_array(), aliases };
	json_t *all = json_array(), *pair;
	size_t i;
	enum err e = s.list && all ? OK : ERR_NOMEM;

	if (!e)
		e = json_array_append_new(s.list, json_pack("[s,s]", kind, value)) ? ERR_NOMEM : OK;
	if (!e)
		e = tx_each(tx, "SELECT DISTINCT b.kind, b.value FROM audit_about a JOIN audit_about b ON b.seq = a.seq"
			" WHERE a.kind = :kind AND a.value = :value AND NOT (b.kind = a.kind AND b.value = a.value)",
			WITH(B_TEXT("kind", kind), B_TEXT("value", value)), alias_row, &s);
	json_array_foreach(s.list, i, pair)
		if (!e)
			e = tx_each(tx, "SELECT audit.seq, at_ms, step, text, about FROM audit JOIN audit_about ON audit_about.seq = audit.seq"
				" WHERE kind = :kind AND value = :value ORDER BY audit.seq DESC LIMIT :most",
				WITH(B_TEXT("kind", json_string_value(json_array_get(pair, 0))),
					B_TEXT("value", json_string_value(json_array_get(pair, 1))), B_INT("most", limit)), story_row, all);
	if (!e)
		e = merge(all, limit, out);
	json_decref(s.list);
	json_decref(all);
	return e;
}

/* --- the check --- */

struct check {
	uint8_t hash[HASH];
	int64_t seq;
	struct why *w;
};

static enum err check_row(const struct row *r, void *arg)
{
	struct check *c = arg;
	struct entry x = { row_int(r, 0), row_int(r, 1), row_text(r, 2), row_text(r, 3), row_text(r, 4) };
	struct bytes have = row_blob(r, 5);
	enum err e;

	if (x.seq != ++c->seq)
		return fail(c->w, ERR_AUTH, "audit entry %lld is gone", (long long)c->seq);
	e = chain(c->hash, &x, c->hash);
	if (!e && !bytes_equal(have, BYTES_OF(c->hash)))
		e = fail(c->w, ERR_AUTH, "audit entry %lld was changed after it was written", (long long)x.seq);
	return e;
}

enum err tx_audit_check(struct tx *tx, struct why *w)
{
	struct check c = { { 0 }, 0, w };

	return tx_each(tx, "SELECT seq, at_ms, step, text, about, hash FROM audit ORDER BY seq", NULL, check_row, &c);
}
