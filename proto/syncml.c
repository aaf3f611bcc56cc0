/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/syncml.h"

#include <expat.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const kind_names[SYNC_KINDS] = { "Alert", "Replace", "Add", "Get", "Exec", "Delete", "Status", "Results", "Sequence", "Atomic" };

const char *syncml_name(const struct sync_command *c)
{
	return c->kind == SYNC_OTHER ? c->cmd : kind_names[c->kind];
}

int syncml_type(const char *t)
{
	static const char *const types[] = { SYNCML_TYPE, "application/vnd.syncml+xml" };
	size_t n = t ? strcspn(t, "; \t") : 0;

	for (int i = 0; i < 2; i++)
		if (n == strlen(types[i]) && !strncasecmp(t, types[i], n))
			return 1;
	return 0;
}

const struct sync_command *syncml_header_status(const struct syncml *m)
{
	for (int i = 0; i < m->commands; i++)
		if (m->command[i].kind == SYNC_STATUS && !strcmp(m->command[i].cmd, "SyncHdr"))
			return m->command + i;
	return NULL;
}

const char *syncml_keep(struct syncml *m, struct bytes text)
{
	char *at = m->arena + m->used;

	if (text.n + 1 > sizeof(m->arena) - m->used)
		return NULL;
	if (text.n)
		memcpy(at, text.p, text.n);
	at[text.n] = 0;
	m->used += text.n + 1;
	return at;
}

/* --- reading: an element's text goes where its name and its parent's name say --- */

enum where { IN_MESSAGE, IN_COMMAND, IN_ITEM };
#define M(f) IN_MESSAGE, offsetof(struct syncml, f)
#define C(f) IN_COMMAND, offsetof(struct sync_command, f)
#define I(f) IN_ITEM, offsetof(struct sync_item, f)
static const struct {
	const char *name, *parent, *above; /* above: the parent's parent, "" any */
	enum where where;
	size_t offset;
} places[] = {
	{ "SessionID", "SyncHdr", "", M(session) }, { "MsgID", "SyncHdr", "", M(msg_id) }, { "LocURI", "Target", "SyncHdr", M(target) },
	{ "LocURI", "Source", "SyncHdr", M(source) }, { "LocName", "Source", "SyncHdr", M(source_name) }, { "RespURI", "SyncHdr", "", M(resp_uri) },
	{ "MaxMsgSize", "Meta", "SyncHdr", M(max_msg) },
	{ "ResultCode", "Data", "Item", I(data) }, /* a result not escaped */
	{ "LocURI", "Target", "Item", I(target) }, { "LocURI", "Source", "Item", I(source) }, { "Data", "Item", "", I(data) },
	{ "Type", "Meta", "Item", I(type) }, { "Format", "Meta", "Item", I(format) }, { "Mark", "Meta", "Item", I(mark) },
	{ "Type", "Meta", "Chal", C(chal_type) }, { "Format", "Meta", "Chal", C(chal_format) }, { "NextNonce", "Meta", "Chal", C(next_nonce) },
	{ "Type", "Meta", "", C(type) }, { "Format", "Meta", "", C(format) }, { "Mark", "Meta", "", C(mark) },
	{ "CmdID", "", "", C(cmd_id) }, { "Data", "", "", C(data) }, { "Correlator", "", "", C(correlator) }, { "MsgRef", "", "", C(msg_ref) },
	{ "CmdRef", "", "", C(cmd_ref) }, { "Cmd", "", "", C(cmd) }, { "TargetRef", "", "", C(target_ref) }, { "SourceRef", "", "", C(source_ref) },
};
enum { PLACES = sizeof(places) / sizeof(*places) };

struct reader {
	struct syncml *m;
	XML_Parser parser;
	char path[SYNCML_DEPTH][24];
	int depth, elements, in_sequence;
	size_t text;              /* where the present element's text begins in the arena */
	int collecting;
	enum err bad;
	int saw_body, versions;   /* VerDTD and VerProto seen right: 3 */
};

static void stop(struct reader *r, enum err e)
{
	if (!r->bad)
		r->bad = e;
	XML_StopParser(r->parser, XML_FALSE);
}

static const char *up(const struct reader *r, int n)
{
	return r->depth > n ? r->path[r->depth - 1 - n] : "";
}

static int kind_of(const char *name)
{
	for (int k = 0; k < SYNC_KINDS; k++)
		if (!strcmp(kind_names[k], name))
			return k;
	return -1;
}

static struct sync_command *command_now(struct syncml *m)
{
	return m->commands ? m->command + m->commands - 1 : NULL;
}

/* Is the element n levels up the command that we are in? */
static int in_command(const struct reader *r, int n)
{
	const struct sync_command *c = command_now(r->m);

	return kind_of(up(r, n)) >= 0 || (c && c->kind == SYNC_OTHER && !strcmp(up(r, n), c->cmd));
}

/* What may stand beside commands: in the body Final, in a Sequence or Atomic its own fields. */
static int is_command(const struct reader *r, const char *name)
{
	static const char *const fields[] = { "CmdID", "NoResp", "Meta" };
	int inside = !strcmp(up(r, 0), "Sequence") || !strcmp(up(r, 0), "Atomic");

	for (int i = 0; i < 3 && inside; i++)
		if (!strcmp(name, fields[i]))
			return 0;
	return inside || (!strcmp(up(r, 0), "SyncBody") && strcmp(name, "Final"));
}

static void blank_command(struct sync_command *c, enum sync_kind kind)
{
	*c = (struct sync_command){ .kind = kind, .cmd_id = "", .data = "", .correlator = "", .msg_ref = "", .cmd_ref = "", .cmd = "", .target_ref = "",
		.source_ref = "", .chal_type = "", .chal_format = "", .next_nonce = "", .type = "", .format = "", .mark = "" };
}

static void begin_command(struct reader *r, int kind, const char *name)
{
	struct syncml *m = r->m;
	const char *kept = kind < 0 ? syncml_keep(m, bytes_text(name)) : "";

	if (m->commands == SYNCML_COMMANDS || !kept) {
		stop(r, ERR_LIMIT);
		return;
	}
	blank_command(m->command + m->commands, kind < 0 ? SYNC_OTHER : (enum sync_kind)kind);
	m->command[m->commands].cmd = kept;
	m->command[m->commands++].in_sequence = r->in_sequence;
	if (kind == SYNC_SEQUENCE || kind == SYNC_ATOMIC) {
		if (r->in_sequence)
			stop(r, ERR_UNSUPPORTED);
		r->in_sequence = 1;
	}
}

static void begin_item(struct reader *r)
{
	struct sync_command *c = command_now(r->m);

	if (!c || c->items == SYNCML_ITEMS) {
		stop(r, ERR_LIMIT);
		return;
	}
	c->item[c->items++] = (struct sync_item){ "", "", "", "", "", "", 0 };
}

static const char *local(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

static void XMLCALL element_begins(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = arg;
	struct sync_command *c = command_now(r->m);

	(void)attributes;
	name = local(name);
	if (r->depth == SYNCML_DEPTH || ++r->elements > SYNCML_ELEMENTS || strlen(name) >= sizeof(r->path[0])) {
		stop(r, ERR_LIMIT);
		return;
	}
	if (!r->depth && strcmp(name, "SyncML"))
		stop(r, ERR_FORMAT);
	else if (is_command(r, name))
		begin_command(r, kind_of(name), name);
	else if (!strcmp(name, "Item") && in_command(r, 0))
		begin_item(r);
	else if (!strcmp(name, "MoreData") && !strcmp(up(r, 0), "Item") && c && c->items)
		c->item[c->items - 1].more = 1;
	else if (!strcmp(name, "SyncBody"))
		r->saw_body = 1;
	else if (!strcmp(name, "Final") && !strcmp(up(r, 0), "SyncBody"))
		r->m->final = 1;
	snprintf(r->path[r->depth++], sizeof(r->path[0]), "%s", name);
	r->text = r->m->used;
	r->collecting = 1;
}

static void XMLCALL characters(void *arg, const XML_Char *s, int n)
{
	struct reader *r = arg;

	if (!r->collecting)
		return;
	if ((size_t)n + 1 > sizeof(r->m->arena) - r->m->used) {
		stop(r, ERR_LIMIT);
		return;
	}
	memcpy(r->m->arena + r->m->used, s, (size_t)n);
	r->m->used += (size_t)n;
}

/* Where the text of the element that ends now belongs; NULL: nowhere. */
static const char **place(struct reader *r, const char *name)
{
	struct sync_command *c = command_now(r->m);
	int in_header = 0;

	for (int i = 0; i < r->depth; i++)
		in_header |= !strcmp(r->path[i], "SyncHdr");
	for (int i = 0; i < PLACES; i++) {
		const char *above = places[i].above;

		if (strcmp(places[i].name, name) || (*places[i].parent && strcmp(places[i].parent, up(r, 1))) || (*above && strcmp(above, up(r, 2))))
			continue;
		if (places[i].where == IN_MESSAGE)
			return (const char **)(void *)((char *)r->m + places[i].offset);
		if (in_header || !c)
			return NULL;
		if (places[i].where == IN_ITEM)
			return c->items ? (const char **)(void *)((char *)(c->item + c->items - 1) + places[i].offset) : NULL;
		if (!*places[i].parent && !in_command(r, 1))
			continue;
		return (const char **)(void *)((char *)c + places[i].offset);
	}
	return NULL;
}

/* Is the present element's text this? */
static int says(const struct reader *r, const char *text)
{
	size_t n = strlen(text);

	return r->m->used - r->text == n && !memcmp(r->m->arena + r->text, text, n);
}

static void XMLCALL element_ends(void *arg, const XML_Char *name)
{
	struct reader *r = arg;
	const char **at;

	name = local(name);
	at = r->collecting ? place(r, name) : NULL;
	if (r->collecting && !strcmp(up(r, 1), "SyncHdr"))
		r->versions |= !strcmp(name, "VerDTD") && says(r, "1.2") ? 1 : !strcmp(name, "VerProto") && says(r, "DM/1.2") ? 2 : 0;
	if (at) {
		if (r->m->used + 1 > sizeof(r->m->arena)) {
			stop(r, ERR_LIMIT);
			return;
		}
		r->m->arena[r->m->used++] = 0;
		*at = r->m->arena + r->text;
	} else if (r->collecting) {
		r->m->used = r->text;
	}
	r->collecting = 0;
	r->depth--;
	if (!strcmp(name, "Sequence") || !strcmp(name, "Atomic"))
		r->in_sequence = 0;
}

/* A DTD is where the attacks on XML live: none is taken. */
static void XMLCALL doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int internal)
{
	(void)name, (void)sysid, (void)pubid, (void)internal;
	stop(arg, ERR_FORMAT);
}

static void blank_message(struct syncml *m)
{
	m->session = m->msg_id = m->target = m->source = m->source_name = m->resp_uri = m->max_msg = "";
	m->commands = m->final = 0;
	m->used = 0;
}

/* What every message must have. */
static enum err read_check(const struct reader *r)
{
	const struct syncml *m = r->m;

	if (!r->saw_body || !*m->session || !*m->msg_id)
		return ERR_MISSING;
	for (int i = 0; i < m->commands; i++)
		if (!*m->command[i].cmd_id && m->command[i].kind != SYNC_STATUS)
			return ERR_MISSING; /* it could get no Status */
	return r->versions == 3 ? OK : ERR_UNSUPPORTED;
}

enum err syncml_read(struct bytes in, struct syncml *m)
{
	struct reader r = { .m = m, .parser = XML_ParserCreate("UTF-8") };
	enum err e = OK;

	blank_message(m);
	if (!r.parser)
		return ERR_NOMEM;
	if (!in.n || in.n > SYNCML_MAX) {
		XML_ParserFree(r.parser);
		return in.n ? ERR_LIMIT : ERR_SHORT;
	}
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, element_begins, element_ends);
	XML_SetCharacterDataHandler(r.parser, characters);
	XML_SetStartDoctypeDeclHandler(r.parser, doctype);
	if (XML_Parse(r.parser, (const char *)in.p, (int)in.n, 1) != XML_STATUS_OK)
		e = ERR_FORMAT;
	XML_ParserFree(r.parser);
	if (r.bad)
		e = r.bad;
	return e ? e : read_check(&r);
}

/* --- building and writing --- */

void syncml_begin(struct syncml *m, const char *session, const char *msg_id, const char *target, const char *source)
{
	blank_message(m);
	m->session = session;
	m->msg_id = msg_id;
	m->target = target;
	m->source = source;
}

struct sync_command *syncml_add(struct syncml *m, enum sync_kind kind)
{
	struct sync_command *c;
	char id[8];

	if (m->commands == SYNCML_COMMANDS)
		return NULL;
	c = m->command + m->commands;
	blank_command(c, kind);
	snprintf(id, sizeof(id), "%d", m->commands + 1);
	c->cmd_id = syncml_keep(m, bytes_text(id));
	if (!c->cmd_id)
		return NULL;
	m->commands++;
	return c;
}

struct sync_command *syncml_status(struct syncml *m, const struct syncml *of, const struct sync_command *c, const char *code)
{
	struct sync_command *s = syncml_add(m, SYNC_STATUS);

	if (!s)
		return NULL;
	s->msg_ref = of->msg_id;
	s->cmd_ref = c ? c->cmd_id : "0";
	s->cmd = c ? syncml_name(c) : "SyncHdr";
	s->data = code;
	if (c && c->items) {
		s->target_ref = c->item[0].target;
		s->source_ref = c->item[0].source;
	} else if (!c) {
		s->target_ref = of->target;
		s->source_ref = of->source;
	}
	return s;
}

static void escaped(struct wr *w, const char *t)
{
	for (; *t; t++) {
		const char *e = *t == '<' ? "&lt;" : *t == '>' ? "&gt;" : *t == '&' ? "&amp;" : *t == '"' ? "&quot;" : NULL;

		if (e)
			wr_text(w, e);
		else
			wr_u8(w, (uint8_t)*t);
	}
}

static void tag(struct wr *w, const char *name, const char *text)
{
	if (!*text)
		return;
	wr_printf(w, "<%s>", name);
	escaped(w, text);
	wr_printf(w, "</%s>", name);
}

static void location(struct wr *w, const char *name, const char *uri, const char *locname)
{
	if (!*uri)
		return;
	wr_printf(w, "<%s>", name);
	tag(w, "LocURI", uri);
	tag(w, "LocName", locname);
	wr_printf(w, "</%s>", name);
}

static void meta(struct wr *w, const char *type, const char *format, const char *mark)
{
	static const char xmlns[] = " xmlns=\"syncml:metinf\"";

	if (!*type && !*format && !*mark)
		return;
	wr_text(w, "<Meta>");
	if (*format)
		wr_printf(w, "<Format%s>%s</Format>", xmlns, format);
	if (*type) {
		wr_printf(w, "<Type%s>", xmlns);
		escaped(w, type);
		wr_text(w, "</Type>");
	}
	if (*mark)
		wr_printf(w, "<Mark%s>%s</Mark>", xmlns, mark);
	wr_text(w, "</Meta>");
}

static void chal(struct wr *w, const struct sync_command *c)
{
	if (!*c->next_nonce)
		return;
	wr_printf(w, "<Chal><Meta><Format xmlns=\"syncml:metinf\">%s</Format><Type xmlns=\"syncml:metinf\">%s</Type>"
		"<NextNonce xmlns=\"syncml:metinf\">%s</NextNonce></Meta></Chal>", c->chal_format, c->chal_type, c->next_nonce);
}

static void command(struct wr *w, const struct sync_command *c)
{
	wr_printf(w, "<%s>", kind_names[c->kind]);
	tag(w, "CmdID", c->cmd_id);
	tag(w, "MsgRef", c->msg_ref);
	tag(w, "CmdRef", c->cmd_ref);
	tag(w, "Cmd", c->cmd);
	tag(w, "TargetRef", c->target_ref);
	tag(w, "SourceRef", c->source_ref);
	chal(w, c);
	if (c->kind == SYNC_ALERT || c->kind == SYNC_STATUS)
		tag(w, "Data", c->data);
	tag(w, "Correlator", c->correlator);
	meta(w, c->type, c->format, c->mark);
	for (int i = 0; i < c->items; i++) {
		const struct sync_item *x = c->item + i;

		wr_text(w, "<Item>");
		location(w, "Target", x->target, "");
		location(w, "Source", x->source, "");
		meta(w, x->type, x->format, x->mark);
		tag(w, "Data", x->data);
		wr_text(w, "</Item>");
	}
	if (c->kind != SYNC_SEQUENCE && c->kind != SYNC_ATOMIC)
		wr_printf(w, "</%s>", kind_names[c->kind]);
}

enum err syncml_write(const struct syncml *m, char *dst, size_t cap, size_t *n)
{
	struct wr w = wr_of(dst, cap);
	const char *open = NULL;

	wr_text(&w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto>");
	tag(&w, "SessionID", m->session);
	tag(&w, "MsgID", m->msg_id);
	location(&w, "Target", m->target, "");
	location(&w, "Source", m->source, m->source_name);
	tag(&w, "RespURI", m->resp_uri);
	if (*m->max_msg)
		wr_printf(&w, "<Meta><MaxMsgSize xmlns=\"syncml:metinf\">%s</MaxMsgSize></Meta>", m->max_msg);
	wr_text(&w, "</SyncHdr><SyncBody>");
	for (int i = 0; i < m->commands; i++) {
		if (open && !m->command[i].in_sequence) {
			wr_printf(&w, "</%s>", open);
			open = NULL;
		}
		if (m->command[i].kind == SYNC_OTHER)
			continue;
		command(&w, m->command + i);
		if (m->command[i].kind == SYNC_SEQUENCE || m->command[i].kind == SYNC_ATOMIC)
			open = kind_names[m->command[i].kind];
	}
	if (open)
		wr_printf(&w, "</%s>", open);
	wr_text(&w, m->final ? "<Final/></SyncBody></SyncML>" : "</SyncBody></SyncML>");
	*n = w.n;
	return wr_done(&w);
}

/* --- authentication --- */

static enum err md5_b64_of(const struct bytes *parts, int n, char out[25])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t md[16];
	int ok = c && EVP_DigestInit_ex(c, EVP_md5(), NULL) == 1;

	for (int i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(c, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(c, md, NULL) == 1;
	EVP_MD_CTX_free(c);
	return ok ? b64_of(BYTES_OF(md), out, 25) : ERR_CRYPTO;
}

enum err dm_hash(const char *user, struct bytes password, char out[DM_HASH])
{
	const struct bytes parts[] = { bytes_text(user), bytes_text(":"), password };

	return md5_b64_of(parts, 3, out);
}

enum err dm_mac(const char *hash, struct bytes nonce, struct bytes body, char out[DM_MAC])
{
	char what[25];
	enum err e = md5_b64_of(&body, 1, what);
	const struct bytes parts[] = { bytes_text(hash), bytes_text(":"), nonce, bytes_text(":"), bytes_text(what) };

	return e ? e : md5_b64_of(parts, 5, out);
}

enum err dm_hmac_write(const char *user, const char *mac, char *dst, size_t cap)
{
	int n = snprintf(dst, cap, "algorithm=MD5, username=\"%s\", mac=%s", user, mac);

	return n > 0 && (size_t)n < cap && !strpbrk(user, "\"\\\r\n") ? OK : ERR_LIMIT;
}

/* One parameter's value, quoted or not; "" if absent. */
static enum err parameter(const char *line, const char *name, char *dst, size_t cap)
{
	size_t len = strlen(name), n;

	*dst = 0;
	for (const char *p = line; *p; ) {
		p += strspn(p, " \t,");
		if (!strncmp(p, name, len) && p[len] == '=') {
			const char *v = p + len + 1;
			int quoted = *v == '"';

			v += quoted;
			n = strcspn(v, quoted ? "\"" : ", \t");
			return text_copy_bytes(dst, cap, BYTES(v, n));
		}
		p += strcspn(p, ",");
	}
	return ERR_MISSING;
}

enum err dm_hmac_read(const char *line, char *user, size_t user_cap, char mac[DM_MAC])
{
	char algorithm[16];
	uint8_t octets[16];
	size_t n = 0;
	enum err e = parameter(line, "username", user, user_cap);

	if (!e)
		e = parameter(line, "mac", mac, DM_MAC);
	if (!e && !parameter(line, "algorithm", algorithm, sizeof(algorithm)) && strcmp(algorithm, "MD5"))
		e = ERR_UNSUPPORTED;
	if (!e && (b64_read(bytes_text(mac), octets, sizeof(octets), &n) || n != sizeof(octets)))
		e = ERR_FORMAT; /* some send base64 of hex text: that is not the MAC */
	return e;
}

/* --- SCOMO --- */

int scomo_code(enum err e)
{
	static const struct {
		enum err e;
		int code;
	} codes[] = { { OK, SCOMO_OK }, { ERR_EXISTS, SCOMO_OK }, { ERR_NOMEM, SCOMO_NO_ROOM }, { ERR_LIMIT, SCOMO_NO_ROOM }, { ERR_AUTH, SCOMO_SIGNATURE },
		{ ERR_UNSUPPORTED, SCOMO_ENVIRONMENT }, { ERR_REVOKED, SCOMO_REVOKED }, { ERR_DENIED, SCOMO_NOT_MINE }, { ERR_CONFLICT, SCOMO_OLD },
		{ ERR_EXPIRED, SCOMO_OLD }, { ERR_FORMAT, SCOMO_NOT_OPEN }, { ERR_ORDER, SCOMO_NOT_OPEN } };

	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (codes[i].e == e)
			return codes[i].code;
	return SCOMO_INSTALL_FAILED;
}

enum err scomo_result_write(int code, const char *id, char *dst, size_t cap)
{
	int n = snprintf(dst, cap, "<ResultCode>%d</ResultCode><Identifier>%s</Identifier>", code, id);

	return n > 0 && (size_t)n < cap ? OK : ERR_LIMIT;
}

enum err scomo_result_read(const char *data, int *code)
{
	static const char open[] = "<ResultCode>";
	const char *p = strstr(data, open);
	char text[8];
	int64_t n = 0;
	enum err e;

	p = p ? p + sizeof(open) - 1 : data;
	e = text_copy_bytes(text, sizeof(text), BYTES(p, strcspn(p, "< \r\n")));
	if (!e)
		e = text_number(text, 100, 9999, &n);
	*code = (int)n;
	return e;
}
