/* SPDX-License-Identifier: Apache-2.0 */
/* A GSUP link between strangers: the peer is a socket on the same loop, what osmo-sgsn said is said again, the ping's timer is called by hand. */
#include "link/gsup.c" /* its limits and its timer are its own */

#include <arpa/inet.h>

#include "tests/unit/pki.h"
#include "tests/unit/proto/osmo_gsup.h"

static struct world {
	struct loop *loop;
	struct gsup_server *server;
	struct bufferevent *peer;
	int lost;                      /* the peer saw the connection end */
	int ups, downs, messages;      /* what the server's owner was told */
	struct gsup last;
	struct gsup_link *client;
	int client_ups, client_downs, client_messages;
} w;

/* --- the owner, and the peer --- */

static void up(struct gsup_link *l, void *arg)
{
	(void)arg;
	if (l->server)
		w.ups++;
	else
		w.client_ups++;
}

static void down(struct gsup_link *l, void *arg)
{
	(void)arg;
	if (l->server)
		w.downs++;
	else
		w.client_downs++;
}

static void message(struct gsup_link *l, const struct gsup *m, void *arg)
{
	(void)arg;
	assert_true(gsup_octets(l).n > 0);
	w.last = *m;
	if (l->server)
		w.messages++;
	else
		w.client_messages++;
}

static int may(const struct party *p, void *arg)
{
	(void)arg;
	return strcmp(p->id, "stranger") != 0;
}

static void in_vain(void *arg)
{
	(void)arg;
	fail_msg("waited in vain");
}

static void until(int (*met)(void))
{
	struct timer *t = timer_after(w.loop, 30000, in_vain, NULL);

	while (!met())
		event_base_loop(loop_base(w.loop), EVLOOP_ONCE);
	timer_stop(t);
}

static int is_up(void) { return w.ups == 1; }
static int told(void) { return w.messages == 1; }
static int is_down(void) { return w.downs == 1; }
static int one_link(void) { return w.server->count == 1; }
static int no_link(void) { return w.server->count == 0; }
static int client_up(void) { return w.client_ups == 1; }
static int client_told(void) { return w.client_messages == 1; }
static int client_up_again(void) { return w.client_ups == 2 && w.ups == 2; }

static void listen_on(struct tls *tls)
{
	struct gsup_listener c = { .name = "gsup", .address = "127.0.0.1:0", .tls = tls, .may = may, .events = { up, message, down } };
	struct why why = { "" };

	assert_int_equal(gsup_listen(w.loop, &c, &w.server, &why), OK);
}

static struct sockaddr_in address(void)
{
	struct sockaddr_in a;
	socklen_t n = sizeof(a);

	assert_int_equal(getsockname(evconnlistener_get_fd(w.server->listener), (struct sockaddr *)&a, &n), 0);
	return a;
}

static void peer_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev, (void)arg;
	w.lost |= what & (BEV_EVENT_EOF | BEV_EVENT_ERROR);
}

static void connect_peer(void)
{
	struct sockaddr_in a = address();

	if (w.peer)
		bufferevent_free(w.peer);
	w.lost = w.ups = w.downs = w.messages = 0;
	w.peer = bufferevent_socket_new(loop_base(w.loop), -1, BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(w.peer, NULL, NULL, peer_event, NULL);
	bufferevent_enable(w.peer, EV_READ | EV_WRITE);
	assert_int_equal(bufferevent_socket_connect(w.peer, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void says(const void *octets, size_t n)
{
	bufferevent_write(w.peer, octets, n);
}

static size_t golden(const char *from, const char *what, uint8_t out[512])
{
	for (size_t i = 0; i < sizeof(osmo_gsup) / sizeof(*osmo_gsup); i++)
		if (!strcmp(osmo_gsup[i].from, from) && !strcmp(osmo_gsup[i].what, what)) {
			size_t n = strlen(osmo_gsup[i].hex) / 2;

			assert_true(n <= 512);
			assert_int_equal(hex_read(osmo_gsup[i].hex, out, n), OK);
			return n;
		}
	fail_msg("no such row: %s", what);
	return 0;
}

static void sgsn_says(const char *what)
{
	uint8_t out[512];

	says(out, golden("osmo-sgsn", what, out));
}

static int frame_came(void)
{
	struct evbuffer *in = bufferevent_get_input(w.peer);
	uint8_t head[IPA_HEAD];

	return w.lost || (evbuffer_copyout(in, head, sizeof(head)) == IPA_HEAD && evbuffer_get_length(in) >= IPA_HEAD + (size_t)(head[0] << 8 | head[1]));
}

/* The next frame to the peer is CCM of this type; -1: the connection has ended instead. */
static void hears(int type)
{
	struct evbuffer *in = bufferevent_get_input(w.peer);
	uint8_t frame[512];

	until(frame_came);
	if (type < 0) {
		assert_true(w.lost);
		return;
	}
	assert_true(evbuffer_get_length(in) > IPA_HEAD);
	evbuffer_copyout(in, frame, IPA_HEAD + 1);
	assert_int_equal(frame[2], IPA_CCM);
	assert_int_equal(frame[3], type);
	evbuffer_drain(in, IPA_HEAD + (size_t)(frame[0] << 8 | frame[1]));
}

static void named_as(const char *name)
{
	uint8_t out[512];
	struct wr o = wr_of(out, sizeof(out));

	assert_int_equal(ipa_ccm_write(CCM_ID_RESP, name, &o), OK);
	says(o.p, o.n);
}

/* Greets as osmo-sgsn does. */
static void greet(void)
{
	connect_peer();
	hears(CCM_ID_GET);
	sgsn_says("IPA IDENTITY RESPONSE");
	hears(CCM_ID_ACK);
	sgsn_says("IPA IDENTITY ACK");
	until(is_up);
}

/* It is there, and has missed nothing. */
static void still_there(void)
{
	sgsn_says("IPA PING?");
	hears(CCM_PONG);
}

static int begin(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	log_open("gsup", LOG_ERROR);
	if (loop_new(&w.loop))
		return -1;
	listen_on(NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (w.peer)
		bufferevent_free(w.peer);
	gsup_hang_up(w.client);
	gsup_close(w.server);
	loop_free(w.loop);
	return 0;
}

/* --- who is there --- */

static void greets(void **state)
{
	(void)state;
	greet();
	assert_string_equal(gsup_party(w.server->first)->role, "sgsn");
	assert_string_equal(gsup_party(w.server->first)->id, "SGSN-visited-001");
	assert_ptr_equal(gsup_find(w.server, "sgsn", "SGSN-visited-001"), w.server->first);
	assert_null(gsup_find(w.server, "visited", "SGSN-visited-001"));
	/* whoever was named stays who he is */
	named_as("another");
	hears(CCM_ID_ACK);
	assert_null(gsup_find(w.server, "sgsn", "another"));
	assert_int_equal(w.ups, 1);
	still_there();
}

static void names_that_nobody_has(void **state)
{
	static const char *const names[] = { "", "stranger", "a b", "a\"b", "x\ny", "../x", "sg\xffn" };
	char longest[ID_MAX + 1];

	(void)state;
	memset(longest, 'a', sizeof(longest) - 1);
	longest[ID_MAX] = 0;
	for (size_t i = 0; i <= sizeof(names) / sizeof(*names); i++) {
		uint8_t out[3 * ID_MAX];
		const char *name = i < sizeof(names) / sizeof(*names) ? names[i] : longest;
		size_t n = strlen(name);
		struct wr o = wr_of(out, sizeof(out));

		wr_u16(&o, (uint16_t)(1 + 2 + 1 + n + 1));
		wr_u8(&o, IPA_CCM);
		wr_u8(&o, CCM_ID_RESP);
		wr_u16(&o, (uint16_t)(n + 2));
		wr_u8(&o, 0);
		wr_copy(&o, name, n + 1);
		connect_peer();
		hears(CCM_ID_GET);
		says(o.p, o.n);
		hears(-1);
		assert_int_equal(w.ups + w.downs, 0);
	}
}

static void nothing_before_the_greeting(void **state)
{
	(void)state;
	connect_peer();
	hears(CCM_ID_GET);
	sgsn_says("IPA IDENTITY ACK"); /* of whom? */
	still_there();
	assert_int_equal(w.ups, 0);
	sgsn_says("SendAuthInfo Request");
	hears(-1);
	assert_int_equal(w.messages + w.downs, 0);
}

static void in_clear_for_the_loopback_only(void **state)
{
	struct gsup_listener c = { .name = "sgsn", .address = "0.0.0.0:0", .may = may, .events = { up, message, down } };
	struct gsup_server *s = NULL;
	struct why why = { "" };

	(void)state;
	assert_int_equal(gsup_listen(w.loop, &c, &s, &why), ERR_DENIED);
	assert_non_null(strstr(why.text, "sgsn_protected"));
	c.protected_wire = 1;
	assert_int_equal(gsup_listen(w.loop, &c, &s, &why), OK);
	gsup_close(s);
}

/* --- frames --- */

static const char *const dialogue[] = { "IPA IDENTITY RESPONSE", "IPA IDENTITY ACK", "SendAuthInfo Request" };

static void in_any_pieces(void **state)
{
	(void)state;
	for (int at_once = 0; at_once < 2; at_once++) {
		uint8_t all[1536];
		size_t n = 0;

		for (size_t i = 0; i < sizeof(dialogue) / sizeof(*dialogue); i++)
			n += golden("osmo-sgsn", dialogue[i], all + n);
		connect_peer();
		hears(CCM_ID_GET);
		for (size_t i = 0; i < n; i += at_once ? n : 1) {
			says(all + i, at_once ? n : 1);
			event_base_loop(loop_base(w.loop), EVLOOP_ONCE);
			assert_true(at_once || i == n - 1 || !w.messages);
		}
		until(told);
		assert_int_equal(w.last.type, GSUP_SAI_REQ);
		assert_string_equal(w.last.imsi, "001010000000020");
		assert_false(w.lost);
	}
}

static void no_larger_than_ipa(void **state)
{
	static const uint8_t over[] = { (IPA_MAX + 1) >> 8, (IPA_MAX + 1) & 255, IPA_CCM };
	static uint8_t largest[IPA_HEAD + IPA_MAX] = { IPA_MAX >> 8, IPA_MAX & 255, IPA_CCM, CCM_PING };

	(void)state;
	greet();
	says(largest, sizeof(largest));
	hears(CCM_PONG);
	says(over, sizeof(over)); /* refused by its head: nobody waits for the rest */
	hears(-1);
	assert_int_equal(w.downs, 1);
	assert_null(w.server->first);
	assert_int_equal(gsup_pass(&(struct gsup_link){ .up = 1, .bev = w.peer }, BYTES(largest, IPA_MAX)), ERR_LIMIT);
}

static void what_is_no_gsup_ends_the_link(void **state)
{
	static const char *const frames[] = {
		"00010000",                     /* an IPA protocol that is not spoken here */
		"0000fe", "0001ee05", "0000ee", /* nothing in it */
		"0002ee0008",                   /* CTRL, not GSUP */
		"0002ee0508",                   /* no identity */
		"000bee0508010800010100000020",   /* the identity ends before it should */
		"0004ee05080100",               /* an empty one */
		"0010ee0508010800010100000020f0280101ff", /* a tag without its length */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		uint8_t out[50];
		size_t n = strlen(frames[i]) / 2;

		assert_int_equal(hex_read(frames[i], out, n), OK);
		greet();
		says(out, n);
		hears(-1);
		assert_int_equal(w.messages, 0);
		assert_int_equal(w.downs, 1);
	}
}

static void a_message_that_is_not_ours_is_skipped(void **state)
{
	uint8_t out[512];
	size_t n = golden("osmo-sgsn", "SendAuthInfo Request", out);

	(void)state;
	greet();
	out[4] = 0x24; /* a short message, well formed */
	says(out, n);
	still_there();
	assert_int_equal(w.messages, 0);
	sgsn_says("SendAuthInfo Request");
	until(told);
}

/* --- silence, and the end --- */

static void pings(void **state)
{
	(void)state;
	greet();
	for (int i = 0; i < 5; i++) { /* whoever answers may be silent as long as he likes */
		ping(w.server->first);
		hears(CCM_PING);
		says("\0\1\376\1", 4);
		still_there();
	}
	for (int i = 0; i < 2; i++) {
		ping(w.server->first);
		hears(CCM_PING);
	}
	assert_int_equal(w.downs, 0);
	ping(w.server->first);
	assert_int_equal(w.downs, 1);
	hears(-1);
}

static void who_never_greets(void **state)
{
	(void)state;
	connect_peer();
	hears(CCM_ID_GET);
	ping(w.server->first);
	hears(-1);
	assert_int_equal(w.ups + w.downs, 0);
}

/* What it said last is heard, then that it is gone, once. */
static void a_peer_that_goes_away(void **state)
{
	(void)state;
	greet();
	sgsn_says("SendAuthInfo Request");
	until(told);
	bufferevent_free(w.peer);
	w.peer = NULL;
	until(is_down);
	assert_int_equal(w.messages, 1);
	assert_null(gsup_find(w.server, "sgsn", "SGSN-visited-001"));
	assert_int_equal(w.server->count, 0);
}

static void a_peer_that_does_not_read(void **state)
{
	static uint8_t octets[4000];
	size_t n = 0;
	enum err e;

	(void)state;
	greet();
	while (!(e = gsup_pass(w.server->first, BYTES_OF(octets))))
		assert_true(n++ < QUEUE_MAX / sizeof(octets) + 1);
	assert_int_equal(e, ERR_LIMIT);
	n = evbuffer_get_length(bufferevent_get_output(w.server->first->bev));
	(void)ccm(w.server->first, BYTES("\0", 1)); /* its PINGs neither */
	assert_int_equal(evbuffer_get_length(bufferevent_get_output(w.server->first->bev)), n);
	gsup_end(w.server->first, "test");
	assert_int_equal(w.downs, 1);
}

/* Full of those who have greeted: the newcomer waits outside. Else the oldest who has not makes room. */
static void no_more_links_than_there_may_be(void **state)
{
	struct bufferevent *first;

	(void)state;
	greet();
	w.server->count = LINKS_MAX;
	first = w.peer;
	w.peer = NULL;
	connect_peer();
	hears(-1);
	assert_int_equal(w.server->count, LINKS_MAX);
	w.server->count = 1;
	connect_peer();
	hears(CCM_ID_GET);
	assert_int_equal(w.server->count, 2);
	w.server->count = LINKS_MAX;
	bufferevent_free(w.peer); /* its end is heard in the same turn at the earliest */
	w.peer = NULL;
	connect_peer();
	hears(CCM_ID_GET);
	assert_int_equal(w.server->count, LINKS_MAX);
	assert_int_equal(w.downs, 0); /* the one that has greeted stays */
	w.server->count = 2;
	bufferevent_free(first);
}

/* --- mutual TLS, and our own end that dials --- */

static void dial_as(struct tls *tls, const char *id)
{
	struct sockaddr_in a = address();
	char text[64];
	struct gsup_client c = { .address = text, .role = "hss", .id = id, .name = "somebody", .events = { up, message, down } };

	snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(a.sin_port));
	assert_int_equal(gsup_dial(w.loop, tls, &c, &w.client), OK);
}

static void certificates_are_the_parties(void **state)
{
	struct pki p;
	struct tls *hss, *visited;
	struct gsup m = { .type = GSUP_SAI_REQ, .imsi = "262420000000001", .cn_domain = 1, .cancel_type = -1 };

	(void)state;
	pki_new(&p);
	hss = pki_tls(&p, "hss", "262-42");
	visited = pki_tls(&p, "visited", "001-01");
	gsup_close(w.server);
	listen_on(hss);
	dial_as(visited, "262-42");
	assert_int_equal(gsup_send(w.client, &m), ERR_UNAVAILABLE);
	until(client_up);
	until(is_up);
	assert_non_null(gsup_find(w.server, "visited", "001-01"));
	assert_null(gsup_find(w.server, "sgsn", "somebody")); /* its IPA name says nothing */
	assert_int_equal(gsup_send(w.client, &m), OK);
	until(told);
	assert_string_equal(w.last.imsi, m.imsi);
	m.type = GSUP_SAI_ERR;
	m.cause = 2;
	assert_int_equal(gsup_send(w.server->first, &m), OK);
	until(client_told);
	/* who dialled hears that it is gone, and dials again */
	gsup_end(w.server->first, "test");
	until(client_up_again);
	assert_int_equal(w.client_downs, 1);
	gsup_hang_up(w.client);
	w.client = NULL;
	tls_close(visited);
	tls_close(hss);
	pki_free(&p);
}

/* Another server than was dialled, a client that may not, a client without a certificate: nobody is up. */
static void nobody_else(void **state)
{
	static const struct {
		const char *server, *client; /* NULL: without a certificate */
	} rows[] = { { "262-43", "001-01" }, { "262-42", "stranger" }, { "262-42", NULL } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pki p;
		struct tls *hss, *visited = NULL;
		struct why why;

		pki_new(&p);
		hss = pki_tls(&p, "hss", rows[i].server);
		if (rows[i].client)
			visited = pki_tls(&p, "visited", rows[i].client);
		else
			assert_int_equal(tls_open_roots(p.roots, &visited, &why), OK);
		gsup_close(w.server);
		listen_on(hss);
		dial_as(visited, "262-42");
		until(one_link);
		until(no_link);
		assert_int_equal(w.ups + w.client_ups, 0);
		gsup_hang_up(w.client);
		w.client = NULL;
		gsup_close(w.server);
		listen_on(NULL);
		tls_close(visited);
		tls_close(hss);
		pki_free(&p);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = { TEST(greets), TEST(names_that_nobody_has), TEST(nothing_before_the_greeting), TEST(in_clear_for_the_loopback_only),
		TEST(in_any_pieces), TEST(no_larger_than_ipa), TEST(what_is_no_gsup_ends_the_link), TEST(a_message_that_is_not_ours_is_skipped), TEST(pings),
		TEST(who_never_greets), TEST(a_peer_that_goes_away), TEST(a_peer_that_does_not_read), TEST(no_more_links_than_there_may_be),
		TEST(certificates_are_the_parties), TEST(nobody_else) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
