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

/*
 * A row found is a violation; the first column says which. role NULL: every role. role2: a second database, attached as b.
 */
static const struct check {
	const char *role, *role2, *what, *sql;
} checks[] = {
	{ NULL, NULL, "every letter to another role is delivered", "SELECT word || ' to ' || role || ' ' || peer || ' of ' || errand || ' ' || id FROM outbox" },
	{ "registration", NULL, "every PIMSI has a known state",
		"SELECT pimsi || ' ' || state FROM pimsi WHERE state NOT IN ('free', 'reserved', 'issued', 'bound',"
		" 'routed', 'used', 'retired', 'quarantine', 'blocked')" },
	{ "registration", NULL, "pool sums add up", "SELECT (SELECT COALESCE(SUM(count), 0) FROM block) || ' added, ' || (SELECT COUNT(*) FROM pimsi) || ' there'"
		" WHERE (SELECT COALESCE(SUM(count), 0) FROM block) <> (SELECT COUNT(*) FROM pimsi)" },
	{ "registration", NULL, "a PIMSI that was issued has an equipment", "SELECT pimsi FROM pimsi WHERE state NOT IN ('free', 'reserved') AND equipment = ''"
		" AND before NOT IN ('free', 'reserved')" },
	{ "registration", NULL, "a free PIMSI has neither equipment nor key",
		"SELECT pimsi FROM pimsi WHERE state IN ('free', 'reserved') AND (equipment <> '' OR length(k) > 0)" },
	{ "registration", NULL, "one PIMSI, one equipment, from its issue to its release",
		"SELECT p.pimsi FROM pimsi p JOIN batch_item i ON i.pimsi = p.pimsi AND i.life = p.life"
		" WHERE p.equipment NOT IN ('', i.equipment) UNION SELECT pimsi FROM batch_item GROUP BY pimsi, life HAVING COUNT(DISTINCT equipment) > 1" },
	{ "registration", NULL, "a bound, routed or used PIMSI has its equipment's certificate and claim key",
		"SELECT pimsi FROM pimsi WHERE state IN ('bound', 'routed', 'used', 'retired') AND equipment NOT IN (SELECT equipment FROM equipment)" },
	{ "registration", NULL, "a routed or used PIMSI has a route",
		"SELECT pimsi FROM pimsi WHERE state IN ('routed', 'used') AND equipment NOT IN (SELECT equipment FROM route)" },
	{ "registration", NULL, "no PIMSI is used or retired without a receipt", "SELECT pimsi FROM pimsi p WHERE state IN ('used', 'retired')"
		" AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.equipment = p.equipment AND r.pimsi = p.pimsi AND r.life = p.life)" },
	{ "registration", NULL, "a used PIMSI waits for its retirement",
		"SELECT pimsi FROM pimsi WHERE state = 'used' AND pimsi NOT IN (SELECT id FROM errand WHERE kind = 'retire' AND due > 0)" },
	{ "registration", NULL, "no network holds a PIMSI that is barred",
		"SELECT pimsi || ' in ' || visited FROM pimsi WHERE state NOT IN ('bound', 'routed', 'used') AND visited <> ''" },
	{ "registration", NULL, "keys are wrapped", "SELECT pimsi FROM pimsi WHERE equipment <> '' AND (length(k) <> 24 OR length(opc) <> 24)" },
	{ "registration", NULL, "no two PIMSIs have the same key", "SELECT pimsi FROM pimsi WHERE length(k) > 0 GROUP BY k HAVING COUNT(*) > 1" },
	{ "hss", NULL, "every IMSI has a known state",
		"SELECT imsi || ' ' || state FROM imsi WHERE state NOT IN ('allocated', 'prepared', 'released', 'trial', 'active',"
		" 'suspended', 'terminated', 'quarantine')" },
	{ "hss", NULL, "pool sums add up", "SELECT (SELECT COALESCE(SUM(count), 0) FROM block) || ' added, ' || (SELECT COUNT(*) FROM imsi) || ' there'"
		" WHERE (SELECT COALESCE(SUM(count), 0) FROM block) <> (SELECT COUNT(*) FROM imsi)" },
	{ "hss", NULL, "an IMSI in use is booked",
		"SELECT imsi FROM imsi WHERE state NOT IN ('allocated', 'terminated', 'quarantine') AND imsi NOT IN (SELECT imsi FROM booking)" },
	{ "hss", NULL, "the booking and the IMSI name the same equipment",
		"SELECT b.imsi FROM booking b JOIN imsi i ON i.imsi = b.imsi WHERE i.equipment <> b.equipment" },
	{ "hss", NULL, "one IMSI is never given to two equipments",
		"SELECT s.imsi FROM sealed s JOIN imsi i ON i.imsi = s.imsi AND i.life = s.life WHERE i.equipment NOT IN"
		" ('', s.equipment) UNION SELECT imsi FROM sealed GROUP BY imsi, life HAVING COUNT(DISTINCT equipment) > 1" },
	{ "hss", NULL, "an equipment has one IMSI",
		"SELECT equipment FROM imsi WHERE state NOT IN ('allocated', 'terminated', 'quarantine') GROUP BY equipment HAVING COUNT(*) > 1" },
	{ "hss", NULL, "keys are wrapped", "SELECT imsi FROM imsi WHERE state <> 'allocated' AND (length(k) <> 24 OR length(opc) <> 24)" },
	{ "hss", NULL, "no two IMSIs have the same key", "SELECT imsi FROM imsi WHERE length(k) > 0 GROUP BY k HAVING COUNT(*) > 1" },
	{ "hss", NULL, "nothing is released without a sealed package", "SELECT imsi FROM imsi i WHERE state IN ('released', 'trial', 'active', 'suspended')"
		" AND NOT EXISTS (SELECT 1 FROM sealed s WHERE s.imsi = i.imsi AND s.life = i.life)" },
	{ "hss", NULL, "no IMSI is active without a receipt", "SELECT imsi FROM imsi i WHERE state IN ('active', 'suspended')"
		" AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.imsi = i.imsi AND r.life = i.life AND r.equipment = i.equipment)" },
	{ "hss", NULL, "a released IMSI waits for its package's expiry",
		"SELECT imsi FROM imsi WHERE state = 'released' AND imsi NOT IN (SELECT id FROM errand WHERE kind = 'expire' AND due > 0)" },
	{ "hss", NULL, "no network holds an IMSI that is barred",
		"SELECT imsi || ' in ' || visited FROM imsi WHERE state NOT IN ('released', 'trial', 'active') AND visited <> ''" },
	{ "hss", NULL, "package counters of an equipment never repeat", "SELECT equipment FROM sealed GROUP BY equipment, counter HAVING COUNT(*) > 1" },
	{ "dlusim", NULL, "what is sealed has its OCSP answer", "SELECT id FROM verification WHERE package_id <> '' AND length(ocsp) = 0" },
	{ "dlusim", NULL, "an acknowledged receipt has its acknowledgement",
		"SELECT r.id FROM receipt r JOIN errand e ON e.kind = 'install' AND e.id = r.id WHERE e.state = 'acknowledged' AND length(r.ack) = 0" },
	{ "dlusim", "registration", "a subscribed equipment is routed where its subscription says",
		"SELECT s.equipment FROM subscription s JOIN errand e ON e.kind = 'subscribe' AND e.id = s.equipment || '/' || s.serial AND e.state = 'subscribed'"
		" JOIN b.route r ON r.equipment = s.equipment WHERE r.serial < s.serial" },
	{ "dlusim", "registration", "an acknowledged receipt is known to the registration operator",
		"SELECT r.equipment FROM receipt r JOIN errand e ON e.kind = 'install' AND e.id = r.id AND e.state = 'acknowledged'"
		" JOIN b.equipment q ON q.equipment = r.equipment"
		" WHERE r.equipment NOT IN (SELECT equipment FROM b.receipt)" },
	{ "hss", "dlusim", "a receipt that the HSS took came through the DLUSIM service of its package",
		"SELECT r.equipment || ' package ' || r.package FROM receipt r"
		" JOIN b.verification v ON v.equipment = r.equipment AND v.package_id = r.package WHERE r.equipment NOT IN (SELECT equipment FROM b.receipt)" },
	{ "registration", "hss", "a number is a PIMSI or an IMSI, never both", "SELECT pimsi FROM pimsi WHERE pimsi IN (SELECT imsi FROM b.imsi)" },
	{ "registration", "hss", "a receipt that the registration operator took, the HSS took", "SELECT r.equipment || ' package ' || r.package FROM receipt r"
		" JOIN b.sealed s ON s.equipment = r.equipment AND s.package_id = r.package WHERE NOT EXISTS (SELECT 1 FROM b.receipt x WHERE x.equipment = r.equipment"
		" AND x.package = r.package)" },
	{ "hss", "registration", "a receipt that the HSS took, the registration operator took", "SELECT r.equipment || ' package ' || r.package FROM receipt r"
		" JOIN b.equipment q ON q.equipment = r.equipment WHERE NOT EXISTS (SELECT 1 FROM b.receipt x WHERE x.equipment = r.equipment"
		" AND (x.package = r.package OR x.package LIKE 'before upgrade, %'))" },
};
/* Nothing is broken, but staff should know. */
static const struct check notes[] = {
	{ "hss", "registration", "booked here, but its owner has chosen another operator since; `usher imsi release` or `terminate` gives the IMSI back",
		"SELECT k.equipment || ' IMSI ' || k.imsi || ' ' || i.state FROM booking k JOIN imsi i ON i.imsi = k.imsi JOIN b.route r ON r.equipment = k.equipment"
		" WHERE r.serial > k.serial" },
};

struct place {
	const char *dir;
	char role[ROLE_MAX], db[ROOM];
};
struct audit {
	struct place place[DIRS];
	int n, bad, done;
	json_t *found; /* with --json, else NULL */
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
	sorry("%s: no role's database in it; name the folders of roles that `usher run` has started", dir);
	return 0;
}

static void tell(struct audit *a, int broken, const struct place *p, const char *what, const char *which)
{
	a->bad += broken;
	if (a->found)
		json_array_append_new(a->found, json_pack("{s:b, s:s, s:s, s:s, s:s?}", "broken", broken, "dir", p->dir, "role", p->role, "what", what,
			"which", which));
	else
		printf("%-7s %s (%s): %s: %s\n", broken ? "BROKEN" : "NOTE", p->dir, p->role, what, which);
}

static int is_note(const struct check *c)
{
	return c >= notes && c < notes + sizeof(notes) / sizeof(*notes);
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
			tell(a, 1, p, c->what, sqlite3_errmsg(db));
	}
	if (sqlite3_prepare_v2(db, c->sql, -1, &q, NULL) != SQLITE_OK)
		tell(a, 1, p, c->what, sqlite3_errmsg(db));
	while (q && sqlite3_step(q) == SQLITE_ROW)
		tell(a, !is_note(c), p, c->what, (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_close(db);
	a->done++;
}

static void check_places(struct audit *a, const struct check *c)
{
	for (int i = 0; i < a->n; i++) {
		if (c->role && strcmp(a->place[i].role, c->role))
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
		tell(a, 1, p, "every audit entry follows from the one before it", w.text[0] ? w.text : err_text(e));
}

int audit_dirs(struct words *w)
{
	static struct audit a;

	if (!w->n || w->n > DIRS || w->v[0][0] == '-') {
		sorry("usage: usher audit DIR... (at most %d)", DIRS);
		return USAGE;
	}
	a.found = w->json ? json_array() : NULL;
	for (; a.n < w->n; a.n++)
		if (!place_find(a.place + a.n, w->v[a.n]))
			return FAILED;
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
		check_places(&a, checks + i);
	for (size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++)
		check_places(&a, notes + i);
	for (int i = 0; i < a.n; i++)
		chain_check(&a, a.place + i);
	if (w->json)
		print_json(json_pack("{s:i, s:i, s:i, s:o}", "checks", a.done, "databases", a.n, "broken", a.bad, "found", a.found));
	else
		printf("%d checks over %d databases, %d broken\n", a.done, a.n, a.bad);
	return a.bad ? FAILED : DONE;
}
