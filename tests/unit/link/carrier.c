/* SPDX-License-Identifier: Apache-2.0 */
#include "link/carrier.h"

#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	struct loop *loop;
	struct carriers *all;
	struct carrier *carrier, *again; /* again: free for the next head */
	struct bufferevent *peer;
	struct evbuffer *content;
	int lost;                        /* nobody takes what the peer says */
};

static void is_free(struct carrier *c, void *arg)
{
	((struct place *)arg)->again = c;
}

static int begin(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct bufferevent *pair[2];

	*state = p;
	if (!p || loop_new(&p->loop) || carriers_new(p->loop, is_free, p, &p->all) || bufferevent_pair_new(loop_base(p->loop), BEV_OPT_CLOSE_ON_FREE, pair))
		return -1;
	p->carrier = carrier_accepted(p->all, pair[0]);
	p->peer = pair[1];
	p->content = evbuffer_new();
	bufferevent_enable(p->peer, EV_READ | EV_WRITE);
	bufferevent_enable(pair[0], EV_READ | EV_WRITE);
	return p->carrier && p->content ? 0 : -1;
}

static int end(void **state)
{
	struct place *p = *state;

	carriers_free(p->all);
	bufferevent_free(p->peer);
	evbuffer_free(p->content);
	loop_free(p->loop);
	free(p);
	return 0;
}

static void turn(struct place *p)
{
	event_base_loop(loop_base(p->loop), EVLOOP_NONBLOCK);
}

static void says(struct place *p, const char *octets, size_t n)
{
	bufferevent_write(p->peer, octets, n);
	turn(p);
	p->lost = evbuffer_get_length(bufferevent_get_output(p->peer)) > 0;
}

static void content_is(struct place *p, const char *text)
{
	size_t n = evbuffer_get_length(p->content);

	assert_int_equal(n, strlen(text));
	assert_memory_equal(n ? evbuffer_pullup(p->content, -1) : NULL, text, n);
}

/* Octet by octet: a frame's head and content come in any pieces. What follows the end belongs to the next head. */
static void pieces(void **state)
{
	static const char octets[] = "\0\3abc\0\1d\0\0CONNECT";
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(octets) - 1; i++) {
		says(p, octets + i, 1);
		(void)carrier_read(p->carrier, p->content);
		assert_int_equal(carrier_ended(p->carrier), i >= 9);
	}
	content_is(p, "abcd");
	assert_int_equal(evbuffer_get_length(bufferevent_get_input(carrier_bev(p->carrier))), 7);
}

static void writes(void **state)
{
	struct place *p = *state;
	struct evbuffer *got = bufferevent_get_input(p->peer);
	uint8_t head[2];
	char *large = calloc(1, 20000);

	evbuffer_add(p->content, large, 20000);
	free(large);
	assert_int_equal(carrier_write(p->carrier, p->content), OK);
	assert_int_equal(evbuffer_get_length(p->content), 0);
	turn(p);
	assert_int_equal(evbuffer_get_length(got), 20004); /* two frames */
	evbuffer_remove(got, head, 2);
	assert_int_equal(head[0] << 8 | head[1], 16384);
	evbuffer_drain(got, 16384);
	evbuffer_remove(got, head, 2);
	assert_int_equal(head[0] << 8 | head[1], 20000 - 16384);
}

/* Only when both ways have ended may the next tunnel come; what is under way until then is dropped. */
static void both_ends(void **state)
{
	struct place *p = *state;

	assert_int_equal(carrier_used(p->carrier), 0);
	says(p, "\0\2x", 3);
	carrier_end(p->carrier);
	turn(p);
	assert_null(p->again);
	assert_int_equal(evbuffer_get_length(bufferevent_get_input(p->peer)), 2); /* our end */
	says(p, "y\0\3abc", 6);
	assert_null(p->again);
	says(p, "\0\0", 2);
	assert_ptr_equal(p->again, p->carrier);
	assert_int_equal(carrier_used(p->again), 1);
	assert_int_equal(carrier_ended(p->again), 0);
	assert_false(p->lost);
}

/* A side that ends never, but says something now and then, does not keep the connection. */
static void a_slow_end(void **state)
{
	struct place *p = *state;

	carrier_end(p->carrier);
	for (int i = 0; i < 24 && !p->lost; i++) {
		says(p, "\0\1x", 3);
		usleep(500000);
	}
	assert_true(p->lost);
	assert_null(p->again);
}

static void lost(void **state)
{
	struct place *p = *state;

	carrier_end(p->carrier);
	bufferevent_free(p->peer);
	turn(p);
	assert_null(p->again);
	p->peer = bufferevent_socket_new(loop_base(p->loop), -1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(pieces, begin, end), cmocka_unit_test_setup_teardown(writes, begin, end),
		cmocka_unit_test_setup_teardown(both_ends, begin, end), cmocka_unit_test_setup_teardown(a_slow_end, begin, end),
		cmocka_unit_test_setup_teardown(lost, begin, end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
