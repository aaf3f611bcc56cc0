/* SPDX-License-Identifier: Apache-2.0 */
/* The modem among cells of every kind: whatever one of them does, the equipment comes to the others (TS 24.008 4.7.3, 4.7.7). */
#include "roles/equipment/doors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "proto/gmm.h"
#include "proto/gsmtap.h"
#include "proto/llc.h"
#include "tests/unit/equipment/world.h"

/* What a cell does when it is asked to attach. */
enum manner { GOOD, SILENT, MUTE, REJECTS, REPLAYS, STRANGER, DOWNGRADES, OPEN_HOUSE, GARBAGE, NO_BEARER, DETACHES, BARRED };
enum { CELLS = 4 };

struct cell {
	struct world *w;
	struct event *readable;
	int fd;
	uint16_t nu;
	const char *plmn;
	enum manner manner;
	struct sockaddr_in from;
	struct vector v;
	int attaches, challenged;
	char address[300];
};

static struct scene {
	struct world w;
	struct loop *loop;
	struct modem *modem;
	struct cell cell[CELLS];
	char said[64][256], plmn[PLMN_TEXT];
	int steps, up, failed, lost;
} z;

static void datagram(struct cell *c, const struct gsmtap *g)
{
	uint8_t out[GSMTAP_MAX];
	size_t n = 0;

	assert_int_equal(gsmtap_write(g, out, sizeof(out), &n), OK);
	assert_int_equal(sendto(c->fd, out, n, 0, (struct sockaddr *)&c->from, sizeof(c->from)), n);
}

static void say(struct cell *c, const struct nas *n)
{
	uint8_t nas[NAS_MAX], frame[NAS_MAX + 16];
	struct gsmtap g = { .type = GSMTAP_LLC };
	size_t len = 0;

	assert_int_equal(nas_write(n, 1, nas, sizeof(nas), &len), OK);
	if (n->type == GMM_AUTH_REQUEST && c->manner == DOWNGRADES)
		len -= 2 + 16; /* AUTN stands last: GSM authentication */
	assert_int_equal(llc_write(&(struct llc){ .sapi = LLC_GMM, .nu = c->nu++ % LLC_NU, .info = BYTES(nas, len) }, frame, sizeof(frame), &len), OK);
	g.payload = BYTES(frame, len);
	datagram(c, &g);
}

static void information(struct cell *c)
{
	struct cell_info i = { .lac = 1, .cell = 1, .rac = 1, .nmo = 2, .barred = c->manner == BARRED };
	uint8_t si[23];

	strcpy(i.plmn, c->plmn);
	assert_int_equal(si3_write(&i, si), OK);
	datagram(c, &(struct gsmtap){ .type = GSMTAP_UM, .payload = BYTES_OF(si) });
	assert_int_equal(si13_write(&i, si), OK);
	datagram(c, &(struct gsmtap){ .type = GSMTAP_UM, .payload = BYTES_OF(si) });
}

static void challenge(struct cell *c, int fresh)
{
	struct nas q = { .type = GMM_AUTH_REQUEST, .ac_ref = 1 };

	c->challenged++;
	if (fresh)
		vector(&c->w->keys, ++c->w->seq, 0, 0, &c->v);
	if (c->manner == STRANGER)
		assert_int_equal(secret_random(&c->v, sizeof(c->v)), OK);
	memcpy(q.rand, c->v.rand, 16);
	memcpy(q.autn, c->v.autn, 16);

	say(c, &q);
}

static void accept_attach(struct cell *c)
{
	struct nas a = { .type = GMM_ATTACH_ACCEPT, .attach_result = 1, .rai = { "001-01", 1, 1 }, .has_ptmsi = 1, .ptmsi = 7 };

	strcpy(a.rai.plmn, c->plmn);
	say(c, &a);
}

static void attach_request(struct cell *c)
{
	struct nas no = { .type = GMM_ATTACH_REJECT, .cause = CAUSE_PLMN_NOT_ALLOWED };
	uint8_t noise[200];

	c->attaches++;
	if (c->manner == REJECTS)
		say(c, &no);
	else if (c->manner == OPEN_HOUSE)
		accept_attach(c);
	else if (c->manner == GARBAGE)
		for (int i = 0; i < 20; i++) {
			assert_int_equal(secret_random(noise, sizeof(noise)), OK);
			(void)!sendto(c->fd, noise, (size_t)(10 * i), 0, (struct sockaddr *)&c->from, sizeof(c->from));
		}
	else if (c->manner != MUTE)
		challenge(c, c->manner != REPLAYS || !c->challenged);
}

static void activate(struct cell *c, const struct nas *n)
{
	struct nas a = { .type = SM_ACTIVATE_ACCEPT, .ti = n->ti, .ti_flag = 1, .has_address = 1, .has_user = 1, .user = { "", { 127, 0, 0, 1 }, 9, { 1 } } },
		no = { .type = SM_ACTIVATE_REJECT, .ti = n->ti, .ti_flag = 1, .cause = SM_CAUSE_UNKNOWN_APN };

	strcpy(a.user.plmn, c->plmn);
	say(c, c->manner == NO_BEARER ? &no : &a);
	if (c->manner == DETACHES)
		say(c, &(struct nas){ .type = GMM_DETACH_REQUEST, .detach_type = 1 });
}

static void hear(struct cell *c, struct bytes in)
{
	struct gsmtap g;
	struct llc f;
	struct nas n;

	assert_int_equal(gsmtap_read(in, &g), OK);
	if (c->manner == SILENT)
		return;
	if (!g.payload.n) {
		information(c);
		return;
	}
	assert_int_equal(llc_read(g.payload, &f), OK);
	assert_int_equal(nas_read(f.info, 0, &n), OK);
	if (n.type == GMM_ATTACH_REQUEST)
		attach_request(c);
	else if (n.type == GMM_AUTH_RESPONSE && c->manner != REPLAYS)
		accept_attach(c);
	else if (n.type == GMM_AUTH_RESPONSE || n.type == GMM_AUTH_FAILURE)
		challenge(c, 0);
	else if (n.type == SM_ACTIVATE_REQUEST)
		activate(c, &n);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct cell *c = arg;
	uint8_t in[GSMTAP_MAX];
	socklen_t len = sizeof(c->from);
	ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&c->from, &len);

	(void)what;
	if (n > 0)
		hear(c, BYTES(in, n));
}

/* --- what the agent is told --- */

static void up(const struct modem_path *p, void *arg)
{
	(void)arg;
	z.up++;
	strcpy(z.plmn, p->plmn);
	loop_stop(z.loop, 0);
}

static void failed(enum err e, const char *why, void *arg)
{
	(void)e, (void)why, (void)arg;
	z.failed++;
	loop_stop(z.loop, 0);
}

static void lost(const char *why, void *arg)
{
	(void)why, (void)arg;
	z.lost++;
	loop_stop(z.loop, 0);
}

static void step(const char *what, void *arg)
{
	(void)arg;
	snprintf(z.said[z.steps++ % 64], 256, "%s", what);
}

static int said(const char *text)
{
	for (int i = 0; i < z.steps && i < 64; i++)
		if (strstr(z.said[i], text))
			return 1;
	return 0;
}

/* --- a scene: cells "PLMN", in the order of the modem's frequencies --- */

static void scene(const struct cell *cells, size_t n)
{
	static const struct modem_events events = { up, failed, lost, step };
	char frequency[CELLS][300];

	memset(&z, 0, sizeof(z));
	world_new(&z.w);
	world_manufacture(&z.w);
	assert_int_equal(loop_new(&z.loop), OK);
	for (size_t i = 0; i < n; i++) {
		struct cell *c = z.cell + i;
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(at);

		*c = cells[i];
		c->w = &z.w;
		c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(c->fd, (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(getsockname(c->fd, (struct sockaddr *)&at, &len), 0);
		snprintf(frequency[i], sizeof(frequency[i]), "127.0.0.1:%u", ntohs(at.sin_port));
		c->readable = event_new(loop_base(z.loop), c->fd, EV_READ | EV_PERSIST, readable, c);
		assert_int_equal(event_add(c->readable, NULL), 0);
	}
	assert_int_equal(modem_open(&(struct modem_conf){ z.loop, z.w.t, (const char (*)[300])frequency, n, events, NULL }, &z.modem), OK);
}

static void scene_end(void)
{
	modem_close(z.modem);
	for (int i = 0; i < CELLS; i++)
		if (z.cell[i].readable) {
			event_free(z.cell[i].readable);
			close(z.cell[i].fd);
		}
	loop_free(z.loop);
	world_free(&z.w);
}

static void search(int slot, const char *apn)
{
	modem_up(z.modem, slot, apn);
	(void)!loop_run(z.loop);
}

/* Whatever the first does, the second is reached; and the first is what it is called. */
static void one_bad_cell_is_passed_by(void **state)
{
	static const struct {
		enum manner manner;
		const char *why;
	} rows[] = {
		{ SILENT, "nothing is heard" }, { BARRED, "its cell is barred" }, { MUTE, "does not answer" }, { REJECTS, "refuses to attach us" },
		{ STRANGER, "does not prove itself" }, { REPLAYS, "does not" }, { DOWNGRADES, "does not prove itself" },
		{ OPEN_HOUSE, "takes us without proving itself" }, { GARBAGE, "does not answer" }, { NO_BEARER, "gives no data access" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		scene((struct cell[]){ { .plmn = "001-02", .manner = rows[i].manner }, { .plmn = "001-01", .manner = GOOD } }, 2);
		search(0, "prov");
		if (z.up != 1 || strcmp(z.plmn, "001-01") || !said(rows[i].why) || z.cell[0].challenged > (rows[i].manner == REPLAYS ? 13 : 4))
			fail_msg("manner %d: %s, %d challenges", (int)rows[i].manner, z.said[z.steps ? z.steps - 1 : 0], z.cell[0].challenged);
		scene_end();
	}
}

/* Refusals are unprotected: a cell that refuses is left alone while there is another, and asked again where there is none. */
static void a_refusal_is_not_for_ever(void **state)
{
	(void)state;
	scene((struct cell[]){ { .plmn = "001-02", .manner = REJECTS }, { .plmn = "001-01", .manner = GOOD } }, 2);
	for (int i = 0; i < 3; i++) {
		search(0, "prov");
		assert_int_equal(z.up, i + 1);
		modem_down(z.modem);
	}
	assert_int_equal(z.cell[0].attaches, 1);
	/* another identity may be welcome */
	assert_int_equal(give_order(&z.w, "901700000000018"), OK);
	search(1, "prov");
	assert_int_equal(z.cell[0].attaches, 2);
	scene_end();
	scene((struct cell[]){ { .plmn = "001-02", .manner = REJECTS } }, 1);
	for (int i = 0; i < 3; i++) {
		search(0, "prov");
		assert_int_equal(z.failed, i + 1);
	}
	assert_int_equal(z.cell[0].attaches, 3);
	scene_end();
}

static void who_detaches_us_is_tried_last(void **state)
{
	(void)state;
	scene((struct cell[]){ { .plmn = "001-02", .manner = DETACHES }, { .plmn = "001-01", .manner = GOOD } }, 2);
	search(0, "prov");
	assert_string_equal(z.plmn, "001-02");
	if (!z.lost)
		(void)!loop_run(z.loop);
	assert_int_equal(z.lost, 1);
	search(0, "prov");
	assert_string_equal(z.plmn, "001-01");
	scene_end();
}

/* As itself: home before all, then the selector's order, then the rest; what is forbidden never (TS 23.122 4.4.3.1.1). */
static void networks_in_the_order_of_the_usim(void **state)
{
	static const struct {
		const char *plmn[3], *chosen;
	} rows[] = {
		{ { "001-05", "001-01", "262-42" }, "262-42" }, { { "001-05", "001-01", "001-02" }, "001-02" }, { { "001-05", "001-09", "001-01" }, "001-01" },
		{ { "001-09", "001-05", "001-06" }, "001-05" }, { { "001-09", "001-09", "001-09" }, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int slot;

		scene((struct cell[]){ { .plmn = rows[i].plmn[0] }, { .plmn = rows[i].plmn[1] }, { .plmn = rows[i].plmn[2] } }, 3);
		until_triggered(&z.w);
		make_profile(&z.w);
		z.w.p.minimal.selector.n = 2;
		strcpy(z.w.p.minimal.selector.item[0], "001-02");
		strcpy(z.w.p.minimal.selector.item[1], "001-01");
		z.w.p.minimal.forbidden.n = 1;
		strcpy(z.w.p.minimal.forbidden.item[0], "001-09");
		assert_int_equal(package_signed(&z.w, &z.w.hss), OK);
		assert_int_equal(give_ocsp(&z.w, z.w.now, OCSP_GOOD), OK);
		assert_int_equal(tre_slot(z.w.t, TRE_TRIAL, &slot, &z.w.why), OK);
		z.w.keys = z.w.usim; /* the cells' home now knows this one */
		z.w.seq = 0;
		search(slot, "m2m.home");
		assert_string_equal(z.plmn, rows[i].chosen);
		assert_int_equal(z.failed, !*rows[i].chosen);
		scene_end();
	}
}

/* An access point name that cannot be sent ends the search, and does not hang in it. */
static void what_cannot_be_said_fails(void **state)
{
	char apn[101];

	(void)state;
	memset(apn, 'a', 100);
	apn[100] = 0;
	scene((struct cell[]){ { .plmn = "001-01", .manner = GOOD } }, 1);
	search(0, apn);
	assert_int_equal(z.failed, 1);
	scene_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(one_bad_cell_is_passed_by), cmocka_unit_test(a_refusal_is_not_for_ever),
		cmocka_unit_test(who_detaches_us_is_tried_last), cmocka_unit_test(networks_in_the_order_of_the_usim), cmocka_unit_test(what_cannot_be_said_fails) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
