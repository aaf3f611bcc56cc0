/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes every free PIMSI of a stopped registration operator a bound one of an equipment that does not exist, with fresh keys under
 * the role's own key file: subscribers for a load, without the minutes that making so many equipments would take.
 * usage: fill DIR
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/secret.h"

static int sorry(const char *why)
{
	fprintf(stderr, "fill: %s\n", why);
	return 1;
}

/* sqlite: fresh_key() is a new key, wrapped. */
static void fresh_key(sqlite3_context *c, int n, sqlite3_value **v)
{
	uint8_t wrapped[SECRET_WRAPPED];
	struct secret s;
	enum err e = secret_random(s.octet, sizeof(s.octet));

	(void)n, (void)v;
	if (!e)
		e = kek_wrap(sqlite3_user_data(c), &s, wrapped);
	secret_wipe(&s, sizeof(s));
	if (e)
		sqlite3_result_error(c, err_text(e), -1);
	else
		sqlite3_result_blob(c, wrapped, sizeof(wrapped), SQLITE_TRANSIENT);
}

int main(int argc, char **argv)
{
	char db[600], kek[600];
	struct kek *k = NULL;
	sqlite3 *s = NULL;
	struct why w = { "" };
	int code = 0;

	secret_process();
	log_open("fill", LOG_ERROR);
	if (argc != 2)
		return sorry("usage: fill DIR (of a registration operator that is not running)");
	snprintf(db, sizeof(db), "%s/registration.db", argv[1]);
	snprintf(kek, sizeof(kek), "%s/kek", argv[1]);
	if (kek_load(kek, &k, &w))
		return sorry(w.text);
	if (sqlite3_open_v2(db, &s, SQLITE_OPEN_READWRITE, NULL) || sqlite3_create_function(s, "fresh_key", 0, SQLITE_UTF8, k, fresh_key, NULL, NULL)
		|| sqlite3_exec(s, "UPDATE pimsi SET state = 'bound', equipment = 'load:' || pimsi, k = fresh_key(), opc = fresh_key() WHERE state = 'free'",
			NULL, NULL, NULL))
		code = sorry(sqlite3_errmsg(s));
	else
		printf("%d PIMSIs bound\n", sqlite3_changes(s));
	sqlite3_close(s);
	kek_free(k);
	return code;
}
