/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants (DESIGN 4) as queries over all databases at rest, and each role's chain of audit entries. One role's database is
 * opened as main, the others attached by their role and number: what spans two roles is one query.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store.h"
#include "people/people.h"

enum { DIRS = 64, ROOM = 700 };

/* A row found is a violation; the first column says which. role2: a second database, attached as b. */
static const struct check {
	const char *role, *role2, *what, *sql;
} checks[] = {
	{ "registration", NULL, "a PIMSI belongs to one equipment, an equipment to one certificate",
		"SELECT pimsi FROM pimsi WHERE state NOT IN ('free', 'quarantine') AND equipment = ''" },
	{ "registration", NULL, "a bound, routed or used PIMSI has its equipment's certificate and claim key",
		"SELECT pimsi FROM pimsi WHERE state IN ('bound', 'routed', 'used', 'retired') AND equipment NOT IN (SELECT equipment FROM equipment)" },
	{ "registration", NULL, "a routed or used PIMSI has a route", "SELECT pimsi FROM pimsi WHERE state IN ('routed', 'used') AND equipment NOT IN (SELECT equipment FROM route)" },
	{ "registration", NULL, "keys are wrapped", "SELECT pimsi FROM pimsi WHERE state <> 'free' AND (length(k) <> 24 OR length(opc) <> 24)" },
	{ "registration", NULL, "no two PIMSIs have the same key", "SELECT pimsi FROM pimsi WHERE length(k) > 0 GROUP BY k HAVING COUNT(*) > 1" },
	{ "hss", NULL, "an IMSI is booked for one equipment", "SELECT imsi FROM imsi WHERE state <> 'allocated' AND imsi NOT IN (SELECT imsi FROM booking)" },
	{ "hss", NULL, "the booking and the IMSI name the same equipment", "SELECT b.imsi FROM booking b JOIN imsi i ON i.imsi = b.imsi WHERE i.equipment <> b.equipment" },
	{ "hss", NULL, "keys are wrapped", "SELECT imsi FROM imsi WHERE state <> 'allocated' AND (length(k) <> 24 OR length(opc) <> 24)" },
	{ "hss", NULL, "nothing is released without a sealed package", "SELECT imsi FROM imsi WHERE state IN ('released', 'trial', 'active') AND imsi NOT IN (SELECT imsi FROM sealed)" },
	{ "hss", NULL, "package counters of an equipment never repeat", "SELECT equipment FROM sealed GROUP BY equipment, counter HAVING COUNT(*) > 1" },
	{ "dlusim", NULL, "what is sealed has its OCSP answer", "SELECT id FROM verification WHERE package_id <> '' AND length(ocsp) = 0" },
	{ "dlusim", NULL, "an acknowledged receipt has its acknowledgement",
		"SELECT r.id FROM receipt r JOIN errand e ON e.kind = 'install' AND e.id = r.id WHERE e.state = 'acknowledged' AND length(r.ack) = 0" },
	{ "hss", "dlusim", "an active IMSI has a receipt at a DLUSIM service",
		"SELECT i.imsi FROM imsi i WHERE i.state = 'active' AND EXISTS (SELECT 1 FROM booking k JOIN b.subscription s ON s.equipment = k.equipment WHERE k.imsi = i.imsi)"
		" AND i.equipment NOT IN (SELECT equipment FROM b.receipt)" },
	{ "dlusim", "hss", "the package carried is the one that was sealed",
		"SELECT v.id FROM verification v JOIN b.sealed s ON s.answer = v.id WHERE v.package_id <> '' AND v.package <> s.der" },
	{ "dlusim", "registration", "a subscribed equipment is routed where its subscription says",
		"SELECT s.equipment FROM subscription s JOIN errand e ON e.kind = 'subscribe' AND e.id = s.equipment || '/' || s.serial AND e.state = 'subscribed'"
		" JOIN b.route r ON r.equipment = s.equipment WHERE r.serial < s.serial" },
	{ "registration", "hss", "a used PIMSI's equipment has an active IMSI, if it is booked there",
		"SELECT p.pimsi FROM pimsi p JOIN b.booking k ON k.equipment = p.equipment JOIN b.imsi i ON i.imsi = k.imsi WHERE p.state = 'used'"
		" AND i.state NOT IN ('active', 'released', 'trial', 'suspended', 'terminated')" },
};

struct place {
	const char *dir;
	char role[ROLE_MAX], db[ROOM];
};
struct audit {
	struct place place[DIRS];
	int n, bad, done;
};

static const char *const roles[] = { "attestation", "registration", "visited", "hss", "dlusim", "dm" };

static int place_find(struct place *p, const char *dir)
{
	FILE *f;

	p->dir = dir;
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
		snprintf(p->db, sizeof(p->db), "%s/%s.db", dir, roles[i]);
		f = fopen(p->db, "re");
		if (!f)
			continue;
		fclose(f);
		snprintf(p->role, sizeof(p->role), "%s", roles[i]);
		return 1;
	}
	sorry("%s: no role's database in it", dir);
	return 0;
}

static void violated(struct audit *a, const struct place *p, const char *what, const char *which)
{
	a->bad++;
	printf("BROKEN  %s (%s): %s: %s\n", p->dir, p->role, what, which);
}

static sqlite3 *opened(const struct place *p)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(p->db, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK)
		return db;
	sorry("%s: %s", p->db, db ? sqlite3_errmsg(db) : "out of memory");
	sqlite3_close(db);
	return NULL;
}

static void check_run(struct audit *a, const struct check *c, const struct place *p, const struct place *second)
{
	sqlite3 *db = opened(p);
	sqlite3_stmt *q = NULL;
	char attach[ROOM + 40];

	if (!db) {
		a->bad++;
		return;
	}
	if (second) {
		snprintf(attach, sizeof(attach), "ATTACH DATABASE '%s' AS b", second->db); /* as read-only as the first */
		if (sqlite3_exec(db, attach, NULL, NULL, NULL) != SQLITE_OK)
			violated(a, p, c->what, sqlite3_errmsg(db));
	}
	if (sqlite3_prepare_v2(db, c->sql, -1, &q, NULL) != SQLITE_OK)
		violated(a, p, c->what, sqlite3_errmsg(db));
	while (q && sqlite3_step(q) == SQLITE_ROW)
		violated(a, p, c->what, (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_close(db);
	a->done++;
}

static void check_places(struct audit *a, const struct check *c)
{
	for (int i = 0; i < a->n; i++) {
		if (strcmp(a->place[i].role, c->role))
			continue;
		if (!c->role2)
			check_run(a, c, a->place + i, NULL);
		for (int k = 0; c->role2 && k < a->n; k++)
			if (!strcmp(a->place[k].role, c->role2))
				check_run(a, c, a->place + i, a->place + k);
	}
}

static void chain_check(struct audit *a, const struct place *p)
{
	struct why w = { "" };
	enum err e = store_chain_check(p->db, &w);

	a->done++;
	if (e)
		violated(a, p, "every audit entry follows from the one before it", w.text[0] ? w.text : err_text(e));
}

int audit_dirs(struct words *w)
{
	static struct audit a;

	if (!w->n || w->n > DIRS || w->v[0][0] == '-') {
		sorry("usage: usher audit DIR... (at most %d)", DIRS);
		return USAGE;
	}
	for (; a.n < w->n; a.n++)
		if (!place_find(a.place + a.n, w->v[a.n]))
			return FAILED;
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
		check_places(&a, checks + i);
	for (int i = 0; i < a.n; i++)
		chain_check(&a, a.place + i);
	printf("%d checks over %d databases, %d broken\n", a.done, a.n, a.bad);
	return a.bad ? FAILED : DONE;
}
