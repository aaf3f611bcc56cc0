/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_SYNCML_H
#define USHER_PROTO_SYNCML_H
/*
 * OMA DM 1.2.1 messages in SyncML XML, for both ends: one document struct, read (expat, no DTD) and written here; the HMAC of
 * DM Security 5.3, and the names that SCOMO adds. All texts live in the message's own arena.
 */
#include "core/bytes.h"

enum { SYNCML_MAX = 64 * 1024, SYNCML_COMMANDS = 32, SYNCML_ITEMS = 8, SYNCML_DEPTH = 16, SYNCML_ELEMENTS = 1024 };
#define SYNCML_TYPE "application/vnd.syncml.dm+xml"

enum sync_kind { SYNC_ALERT, SYNC_REPLACE, SYNC_ADD, SYNC_GET, SYNC_EXEC, SYNC_DELETE, SYNC_STATUS, SYNC_RESULTS, SYNC_SEQUENCE, SYNC_ATOMIC, SYNC_KINDS,
	SYNC_OTHER = SYNC_KINDS /* read only: an element that is no command of ours, its name in cmd; it gets its Status like any other */ };
enum { ALERT_SERVER_INITIATED = 1200, ALERT_CLIENT_INITIATED = 1201, ALERT_NEXT_MESSAGE = 1222, ALERT_ABORT = 1223, ALERT_GENERIC = 1226 };

/* Absent texts are "". */
struct sync_item {
	const char *source, *target, *type, *format, *mark, *data;
	int more;                        /* MoreData: a chunk of a large object, which neither end of ours takes */
};
struct sync_command {
	enum sync_kind kind;
	int in_sequence;                 /* inside the SEQUENCE or ATOMIC before it */
	const char *cmd_id, *data, *correlator;
	const char *msg_ref, *cmd_ref, *cmd, *target_ref, *source_ref;   /* Status, Results */
	const char *chal_type, *chal_format, *next_nonce;
	const char *type, *format, *mark;  /* Meta of the command */
	struct sync_item item[SYNCML_ITEMS];
	int items;
};
struct syncml {
	const char *session, *msg_id, *target, *source, *source_name, *resp_uri, *max_msg;
	struct sync_command command[SYNCML_COMMANDS];
	int commands, final;
	char arena[SYNCML_MAX];
	size_t used;
};
/* ERR_FORMAT: not XML, a DTD, or no SyncML; ERR_LIMIT: size, depth, counts; ERR_MISSING: SessionID, MsgID, a CmdID;
 * ERR_UNSUPPORTED: not VerDTD 1.2 and VerProto DM/1.2. */
enum err syncml_read(struct bytes in, struct syncml *m) MUST_CHECK;
enum err syncml_write(const struct syncml *m, char *dst, size_t cap, size_t *n) MUST_CHECK;
/* Begins a message in m (zeroed); texts given later must outlive the writing. */
void syncml_begin(struct syncml *m, const char *session, const char *msg_id, const char *target, const char *source);
/* Appends a command with the next CmdID; NULL: no room. */
struct sync_command *syncml_add(struct syncml *m, enum sync_kind kind);
/* A Status for command c of message `of` (c NULL: its SyncHdr, CmdRef 0). NULL: no room. */
struct sync_command *syncml_status(struct syncml *m, const struct syncml *of, const struct sync_command *c, const char *code);
/* Copies text into m's arena; NULL: no room. */
const char *syncml_keep(struct syncml *m, struct bytes text);
/* The element's name: "Alert", or what a command of another kind is called. */
const char *syncml_name(const struct sync_command *c);
/* 1: a Content-Type that carries SyncML XML, also without `.dm` and with parameters, as some clients write it. */
int syncml_type(const char *content_type);
/* The Status of a SyncHdr in m, or NULL. */
const struct sync_command *syncml_header_status(const struct syncml *m);

/* --- authentication: mac = B64(MD5(B64(MD5(user:password)) ":" nonce ":" B64(MD5(body)))), not RFC 2104 --- */
enum { DM_MAC = 25, DM_HASH = 25, DM_LINE = 512 };
/* B64(MD5(user:password)): all that a server needs to keep. */
enum err dm_hash(const char *user, struct bytes password, char out[DM_HASH]) MUST_CHECK;
enum err dm_mac(const char *hash, struct bytes nonce, struct bytes body, char out[DM_MAC]) MUST_CHECK;
/* The x-syncml-hmac header's value. */
enum err dm_hmac_write(const char *user, const char *mac, char *dst, size_t cap) MUST_CHECK;
enum err dm_hmac_read(const char *line, char *user, size_t user_cap, char mac[DM_MAC]) MUST_CHECK;

/* --- SCOMO 1.0 --- */
#define SCOMO_DELIVERED "./SCM/Inventory/Delivered"
#define SCOMO_DEPLOYED "./SCM/Inventory/Deployed"
#define SCOMO_ALERT "urn:oma:at:scomo:1.0:OperationComplete"
#define SCOMO_ALERT_OLD "org.openmobilealliance.dm.softwarecomponent.OperationComplete" /* of older clients */
enum { SCOMO_OK = 1200, SCOMO_INSTALL_FAILED = 1405, SCOMO_NO_ROOM = 1406, SCOMO_SIGNATURE = 1407, SCOMO_ACTIVATE_FAILED = 1409, SCOMO_ENVIRONMENT = 1413,
	SCOMO_REVOKED = 1450, SCOMO_NOT_MINE = 1452, SCOMO_OLD = 1453, SCOMO_NOT_OPEN = 1454 };
/* What the tre says of a package, in SCOMO's words. */
int scomo_code(enum err e);
/* Data of the alert: `<ResultCode>n</ResultCode><Identifier>id</Identifier>`, or a plain number. */
enum err scomo_result_write(int code, const char *id, char *dst, size_t cap) MUST_CHECK;
enum err scomo_result_read(const char *data, int *code) MUST_CHECK;

#endif
