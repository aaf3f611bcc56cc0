/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/auc.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 4096, RING = 8, POOL = 4096, IND_GSUP = 28, INDS = 32 };

/* What we remember of an identity since this process started. */
struct known {
	struct known *next;
	char id[16];
	int64_t last;               /* T of the last vector */
	uint8_t ind[2];             /* the next of each use */
	uint8_t rand[RING][16];     /* the last we gave */
	unsigned given;
};
struct auc {
	int64_t mark, floor;        /* T below mark may leave; above floor */
	struct known *bucket[BUCKETS];
	uint8_t pool[POOL];
	size_t left;
};

enum err auc_open(int64_t mark, struct auc **out)
{
	struct auc *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	a->floor = mark;
	*out = a;
	return OK;
}

void auc_close(struct auc *a)
{
	if (!a)
		return;
	for (int i = 0; i < BUCKETS; i++)
		for (struct known *k = a->bucket[i], *next; k; k = next) {
			next = k->next;
			free(k);
		}
	secret_wipe(a, sizeof(*a));
	free(a);
}

static int64_t base_of(const struct auc *a, int64_t now)
{
	int64_t t = now - AUC_EPOCH;

	return t > a->floor ? t : a->floor + 1; /* a clock that went back does not take us back */
}

int64_t auc_wanted(const struct auc *a, int64_t now)
{
	int64_t t = base_of(a, now);

	return t + AUC_AHEAD_S / 2 >= a->mark ? t + AUC_AHEAD_S : 0;
}

void auc_saved(struct auc *a, int64_t mark)
{
	if (mark > a->mark)
		a->mark = mark;
}

int64_t auc_offset_new(int64_t now)
{
	return 1 - (now - AUC_EPOCH);
}

static struct known *known_of(struct auc *a, const char *id)
{
	uint32_t h = 2166136261u;
	struct known **at, *k;

	for (const char *p = id; *p; p++)
		h = (h ^ (uint8_t)*p) * 16777619u;
	for (at = a->bucket + h % BUCKETS; *at; at = &(*at)->next)
		if (!strcmp((*at)->id, id))
			return *at;
	k = calloc(1, sizeof(*k));
	if (!k || text_copy(k->id, sizeof(k->id), id)) {
		free(k);
		return NULL;
	}
	*at = k;
	return k;
}

/* RAND_bytes per vector would be the bound (DESIGN 6): taken in one go, wiped as used. */
static enum err rand_take(struct auc *a, uint8_t rand[16])
{
	if (a->left < 16) {
		enum err e = secret_random(a->pool, sizeof(a->pool));

		if (e)
			return e;
		a->left = sizeof(a->pool);
	}
	a->left -= 16;
	memcpy(rand, a->pool + a->left, 16);
	secret_wipe(a->pool + a->left, 16);
	return OK;
}

static uint64_t ind_take(struct known *k, enum auc_use use)
{
	unsigned first = use == AUC_DISCOVER ? IND_GSUP : 0, many = use == AUC_DISCOVER ? INDS - IND_GSUP : IND_GSUP;
	unsigned ind = first + k->ind[use] % many;

	k->ind[use] = (uint8_t)((k->ind[use] + 1) % many);
	return ind;
}

enum err auc_vector(struct auc *a, const struct auc_identity *x, enum auc_use use, int64_t now, struct vector *v)
{
	static const uint8_t amf[2][2] = { [AUC_GSUP] = { 0, 0 }, [AUC_DISCOVER] = { 0, 1 } };
	struct known *k = known_of(a, x->id);
	int64_t t = base_of(a, now), seq;
	struct milenage m;
	uint8_t rand[16];
	enum err e;

	if (!k)
		return ERR_NOMEM;
	if (t + x->offset < 1)
		t = 1 - x->offset; /* the clock went back behind the moment of issue */
	if (t <= k->last)
		t = k->last + 1;
	if (t >= a->mark)
		return ERR_AGAIN;
	seq = t + x->offset;
	if (seq >> 43)
		return ERR_RANGE;
	e = rand_take(a, rand);
	if (!e)
		e = milenage_open(&m, &x->k, &x->opc);
	if (e)
		return e;
	e = milenage_vector(&m, rand, (uint64_t)seq << 5 | ind_take(k, use), amf[use], v);
	milenage_close(&m);
	k->last = t;
	memcpy(k->rand[k->given++ % RING], rand, 16);
	return e;
}

static int gave(const struct known *k, const uint8_t rand[16])
{
	for (unsigned i = 0; i < RING && i < k->given; i++)
		if (!memcmp(k->rand[i], rand, 16))
			return 1;
	return 0;
}

enum err auc_resync(struct auc *a, const struct auc_identity *x, const uint8_t rand[16], const uint8_t auts[14], int64_t now,
	int64_t *offset)
{
	struct known *k = known_of(a, x->id);
	struct milenage m;
	uint64_t sqn = 0;
	enum err e;

	if (!k)
		return ERR_NOMEM;
	if (!gave(k, rand))
		return ERR_MISSING;
	e = milenage_open(&m, &x->k, &x->opc);
	if (e)
		return e;
	e = milenage_auts_check(&m, rand, auts, &sqn);
	milenage_close(&m);
	if (e)
		return e;
	{
		int64_t t = base_of(a, now);

		*offset = (int64_t)(sqn >> 5) + 1 - (t > k->last ? t : k->last + 1);
	}
	return OK;
}
