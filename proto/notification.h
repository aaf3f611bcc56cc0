/* SPDX-License-Identifier: Apache-2.0 */
#ifndef USHER_PROTO_NOTIFICATION_H
#define USHER_PROTO_NOTIFICATION_H
/* OMA DM package #0 (DM Notification 1.2, 6.2): tells a client to start a session, with the server's digest. */
#include "core/bytes.h"

enum { NOTIFICATION_MAX = 16 + 8 + 255 };

struct notification {
	uint16_t session;
	int user_interaction;  /* 0 not said, 1 background, 2 informative, 3 user interaction */
	char server[256];
};
/* digest = MD5(B64(MD5(server:password)) ":" nonce ":" B64(MD5(trigger))); the nonce goes in as its octets. */
enum err notification_write(const struct notification *m, struct bytes password, struct bytes nonce, uint8_t *dst, size_t cap, size_t *n) MUST_CHECK;
/* ERR_AUTH: the digest is not from who knows password and nonce. */
enum err notification_read(struct bytes in, struct bytes password, struct bytes nonce, struct notification *out) MUST_CHECK;

#endif
