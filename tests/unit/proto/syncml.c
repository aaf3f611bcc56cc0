/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/syncml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct syncml m, back; /* large */

/* A client's package 1 as others write it: single quotes, CDATA, Meta in the Item, no CmdRef in a Status. */
static const char foreign[] =
	"<?xml version='1.0'?><SyncML xmlns='SYNCML:SYNCML1.2'><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1A2B</SessionID>"
	"<MsgID>1</MsgID><Target><LocURI>https://dm</LocURI></Target><Source><LocURI>IMEI:493005100592800</LocURI><LocName>Bruce2</LocName></Source>"
	"<Meta><MaxMsgSize xmlns='syncml:metinf'>16000</MaxMsgSize></Meta></SyncHdr><SyncBody><Status><CmdID>1</CmdID><MsgRef>1</MsgRef><Cmd>SyncHdr</Cmd>"
	"<Data>200</Data></Status><Alert><CmdID>2</CmdID><Data>1226</Data><Correlator>c7</Correlator><Item><Source><LocURI>./SCM/x</LocURI></Source>"
	"<Meta><Type xmlns='syncml:metinf'>urn:oma:at:scomo:1.0:OperationComplete</Type><Format xmlns='syncml:metinf'>xml</Format></Meta>"
	"<Data><![CDATA[<ResultCode>1200</ResultCode><Identifier>p</Identifier>]]></Data></Item></Alert>"
	"<Sequence><CmdID>3</CmdID><Add><CmdID>4</CmdID><Item><Target><LocURI>./a</LocURI></Target><Data>1 &lt; 2</Data></Item></Add>"
	"<Exec><CmdID>5</CmdID><Item><Target><LocURI>./b</LocURI></Target></Item></Exec></Sequence><Final/></SyncBody></SyncML>";

static void reads_what_others_write(void **state)
{
	int code = 0;

	(void)state;
	assert_int_equal(syncml_read(bytes_text(foreign), &m), OK);
	assert_string_equal(m.session, "1A2B");
	assert_string_equal(m.source, "IMEI:493005100592800");
	assert_string_equal(m.source_name, "Bruce2");
	assert_string_equal(m.max_msg, "16000");
	assert_int_equal(m.commands, 5);
	assert_int_equal(m.command[0].kind, SYNC_STATUS);
	assert_string_equal(m.command[0].data, "200");
	assert_string_equal(m.command[0].cmd_ref, "");
	assert_string_equal(m.command[1].data, "1226");
	assert_string_equal(m.command[1].correlator, "c7");
	assert_string_equal(m.command[1].item[0].type, SCOMO_ALERT);
	assert_int_equal(scomo_result_read(m.command[1].item[0].data, &code), OK);
	assert_int_equal(code, 1200);
	assert_int_equal(m.command[2].kind, SYNC_SEQUENCE);
	assert_int_equal(m.command[3].in_sequence, 1);
	assert_string_equal(m.command[3].item[0].data, "1 < 2");
	assert_int_equal(m.final, 1);
}

static void writes_what_it_reads(void **state)
{
	static char text[SYNCML_MAX];
	size_t n = 0;

	(void)state;
	assert_int_equal(syncml_read(bytes_text(foreign), &m), OK);
	assert_int_equal(syncml_write(&m, text, sizeof(text), &n), OK);
	assert_int_equal(syncml_read(BYTES(text, n), &back), OK);
	assert_int_equal(back.commands, m.commands);
	for (int i = 0; i < m.commands; i++) {
		assert_int_equal(back.command[i].kind, m.command[i].kind);
		assert_int_equal(back.command[i].in_sequence, m.command[i].in_sequence);
		assert_string_equal(back.command[i].cmd_id, m.command[i].cmd_id);
		assert_int_equal(back.command[i].items, m.command[i].items);
	}
	assert_string_equal(back.command[1].item[0].data, m.command[1].item[0].data);
	assert_int_equal(syncml_write(&m, text, 100, &n), ERR_LIMIT);
}

#define HEADER(dtd, proto, msg) "<SyncML><SyncHdr><VerDTD>" dtd "</VerDTD><VerProto>" proto "</VerProto><SessionID>1</SessionID>" msg "</SyncHdr><SyncBody>"
#define FIRST HEADER("1.2", "DM/1.2", "<MsgID>1</MsgID>")
#define END "</SyncBody></SyncML>"

/* Whatever stands where a command stands gets its Status; what stands elsewhere does not end the package. */
static void every_command(void **state)
{
	static const char text[] = FIRST "<Put><CmdID>1</CmdID><Item><Source><LocURI>./a</LocURI></Source><Data>x</Data></Item></Put>"
		"<Sequence><CmdID>2</CmdID><Meta/><Copy><CmdID>3</CmdID></Copy></Sequence><Add><CmdID>4</CmdID>"
		"<Item><Data>chunk</Data><MoreData/></Item><Item/><Final/></Add>" END;
	static char out[SYNCML_MAX];
	struct sync_command *status;
	size_t n = 0;

	(void)state;
	assert_int_equal(syncml_read(bytes_text(text), &m), OK);
	assert_int_equal(m.commands, 4);
	assert_int_equal(m.command[0].kind, SYNC_OTHER);
	assert_string_equal(syncml_name(m.command), "Put");
	assert_string_equal(m.command[0].cmd_id, "1");
	assert_string_equal(m.command[0].item[0].source, "./a");
	assert_int_equal(m.command[2].kind, SYNC_OTHER);
	assert_string_equal(syncml_name(m.command + 2), "Copy");
	assert_int_equal(m.command[2].in_sequence, 1);
	assert_int_equal(m.command[3].item[0].more, 1);
	assert_int_equal(m.command[3].item[1].more, 0);
	assert_int_equal(m.final, 0);
	syncml_begin(&back, "1", "1", "", "");
	status = syncml_status(&back, &m, m.command, "406");
	assert_non_null(status);
	assert_string_equal(status->cmd, "Put");
	assert_int_equal(syncml_write(&back, out, sizeof(out), &n), OK);
	assert_non_null(strstr(out, "<MsgRef>1</MsgRef><CmdRef>1</CmdRef><Cmd>Put</Cmd>"));
	assert_null(syncml_header_status(&back));
	status = syncml_status(&back, &m, NULL, "200");
	assert_ptr_equal(syncml_header_status(&back), status);
}

static void versions(void **state)
{
	(void)state;
	assert_int_equal(syncml_read(bytes_text(FIRST END), &m), OK);
	assert_int_equal(syncml_read(bytes_text(HEADER("1.1", "DM/1.2", "<MsgID>1</MsgID>") END), &m), ERR_UNSUPPORTED);
	assert_int_equal(syncml_read(bytes_text(HEADER("1.2", "DM/1.1", "<MsgID>1</MsgID>") END), &m), ERR_UNSUPPORTED);
	assert_int_equal(syncml_read(bytes_text(HEADER("", "DM/1.2", "<MsgID>1</MsgID>") END), &m), ERR_UNSUPPORTED);
	assert_int_equal(syncml_read(bytes_text(HEADER("1.2", "DM/1.2", "") END), &m), ERR_MISSING);
	assert_int_equal(syncml_read(bytes_text(FIRST "<Alert><Data>1201</Data></Alert>" END), &m), ERR_MISSING);
	assert_int_equal(syncml_read(bytes_text(FIRST "<Status><Cmd>SyncHdr</Cmd><Data>200</Data></Status>" END), &m), OK);
}

/* As clients write it; what they do not write is not served. */
static void content_types(void **state)
{
	static const char *const good[] = { "application/vnd.syncml.dm+xml", "application/vnd.syncml+xml", "application/vnd.syncml.dm+xml; charset=UTF-8",
		"Application/VND.SyncML.DM+XML;charset=utf-8" };
	static const char *const bad[] = { "", "application/vnd.syncml.dm+wbxml", "application/vnd.syncml.dm+xmlx", "text/xml", "application/vnd.syncml.dm" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(syncml_type(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(syncml_type(bad[i]));
	assert_false(syncml_type(NULL));
}

/* Numbers of OMA-TS-DM-SCOMO 8.7 and, from 1450, ours (doc/wires.md 8). */
static void scomo_results(void **state)
{
	static const struct {
		enum err e;
		int code;
	} want[] = { { OK, 1200 }, { ERR_EXISTS, 1200 }, { ERR_IO, 1405 }, { ERR_CRYPTO, 1405 }, { ERR_NOMEM, 1406 }, { ERR_LIMIT, 1406 }, { ERR_AUTH, 1407 },
		{ ERR_UNSUPPORTED, 1413 }, { ERR_REVOKED, 1450 }, { ERR_DENIED, 1452 }, { ERR_CONFLICT, 1453 }, { ERR_EXPIRED, 1453 }, { ERR_FORMAT, 1454 },
		{ ERR_ORDER, 1454 } };
	static const char unescaped[] = FIRST "<Alert><CmdID>1</CmdID><Data>1226</Data><Item><Data><ResultCode>1407</ResultCode><Identifier>p</Identifier>"
		"</Data></Item></Alert>" END;
	int code = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		assert_int_equal(scomo_code(want[i].e), want[i].code);
	assert_int_equal(syncml_read(bytes_text(unescaped), &m), OK);
	assert_int_equal(scomo_result_read(m.command[0].item[0].data, &code), OK);
	assert_int_equal(code, 1407);
	assert_int_equal(scomo_result_read("1409", &code), OK);
	assert_int_equal(code, 1409);
	assert_int_equal(scomo_result_read("", &code), ERR_FORMAT);
	assert_int_equal(scomo_result_read("<ResultCode>12x</ResultCode>", &code), ERR_FORMAT);
}

static void refuses(void **state)
{
	static char deep[4000];
	size_t n = 0;

	(void)state;
	assert_int_equal(syncml_read(bytes_text("<!DOCTYPE x [<!ENTITY a 'b'>]><SyncML/>"), &m), ERR_FORMAT);
	assert_int_equal(syncml_read(bytes_text("<html/>"), &m), ERR_FORMAT);
	assert_int_equal(syncml_read(bytes_text("<SyncML><SyncHdr/>"), &m), ERR_FORMAT);
	assert_int_equal(syncml_read(bytes_text("<SyncML><SyncHdr/></SyncML>"), &m), ERR_MISSING);
	assert_int_equal(syncml_read(BYTES(NULL, 0), &m), ERR_SHORT);
	n += (size_t)sprintf(deep + n, "<SyncML>");
	for (int i = 0; i < 100; i++)
		n += (size_t)sprintf(deep + n, "<Item>");
	assert_int_equal(syncml_read(BYTES(deep, n), &m), ERR_LIMIT);
}

static void mac(void **state)
{
	char hash[DM_HASH], out[DM_MAC], line[DM_LINE], user[64], back_mac[DM_MAC];

	(void)state;
	/* md5 credential of the specification's own example, one step on: B64(H(B64(H(user:password)):nonce)) */
	assert_int_equal(dm_hash("Bruce2", bytes_text("OhBehave"), hash), OK);
	assert_string_equal(hash, "PtEdr8lBQ45IbT1bZIkrOQ==");
	assert_int_equal(dm_mac(hash, bytes_text("Nonce"), bytes_text("body"), out), OK);
	assert_string_equal(out, "fqLOSFWARSKk7ioS6lv0Eg=="); /* the formula, computed by another program */
	assert_int_equal(dm_hmac_write("Bruce2", out, line, sizeof(line)), OK);
	assert_int_equal(dm_hmac_read(line, user, sizeof(user), back_mac), OK);
	assert_string_equal(user, "Bruce2");
	assert_string_equal(back_mac, out);
	assert_int_equal(dm_hmac_read("username=\"a\", mac=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", user, sizeof(user), back_mac), ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reads_what_others_write), cmocka_unit_test(writes_what_it_reads), cmocka_unit_test(every_command),
		cmocka_unit_test(versions), cmocka_unit_test(content_types), cmocka_unit_test(scomo_results), cmocka_unit_test(refuses), cmocka_unit_test(mac) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
