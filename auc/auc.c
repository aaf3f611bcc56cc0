/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "auc/auc.h"

#include <stdlib.h>
#include <string.h>

enum { SETS = 16384, WAYS = 4, POOL = 4096, IND_GSUP = 28, INDS = 32, T_OCTETS = 5, RANDOM = 3 };

/* What we remember of an identity; T of one that was forgotten lives on in its set's floor. */
struct known {
	uint64_t id;                /* 0: free */
	int64_t last;               /* T of the last vector */
	int64_t resyncs;            /* bucket */
	uint8_t ind[2];             /* the next of each use */
};
struct set {
	int64_t floor;              /* the highest T of any identity that was forgotten here */
	struct known way[WAYS];
};
struct auc {
	int64_t mark, floor;        /* T below mark may leave; above floor */
	int64_t seen, shift;        /* T = wall clock + shift; the wall clock seen last */
	struct set *set;
	EVP_CIPHER_CTX *seal, *unseal;  /* AES-128 under the database's key of RANDs */
	struct milenage milenage;
	int keyed;                  /* milenage is open */
	uint8_t pool[POOL];
	size_t left;
};

static EVP_CIPHER_CTX *block(const struct secret *key, int encrypt)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();

	if (c && (EVP_CipherInit_ex2(c, EVP_aes_128_ecb(), key->octet, NULL, encrypt, NULL) != 1 || EVP_CIPHER_CTX_set_padding(c, 0) != 1)) {
		EVP_CIPHER_CTX_free(c);
		c = NULL;
	}
	return c;
}

enum err auc_open(int64_t mark, const struct secret *rand, struct auc **out)
{
	struct auc *a = calloc(1, sizeof(*a));

	if (!a)
		return ERR_NOMEM;
	a->floor = mark;
	a->set = calloc(SETS, sizeof(*a->set));
	a->seal = block(rand, 1);
	a->unseal = block(rand, 0);
	if (!a->set || !a->seal || !a->unseal) {
		auc_close(a);
		return ERR_NOMEM;
	}
	*out = a;
	return OK;
}

void auc_close(struct auc *a)
{
	if (!a)
		return;
	EVP_CIPHER_CTX_free(a->seal);
	EVP_CIPHER_CTX_free(a->unseal);
	if (a->keyed)
		milenage_close(&a->milenage);
	free(a->set);
	secret_wipe(a, sizeof(*a));
	free(a);
}

int auc_bucket(int64_t *full, int64_t now, int64_t step, int64_t burst)
{
	int64_t from = *full > now ? *full : now;

	if (from + step - now > burst)
		return 0;
	*full = from + step;
	return 1;
}

/* A clock behind the mark on disk, or one that goes back, does not take T back: it goes on from where it is. */
static int64_t base_of(struct auc *a, int64_t now)
{
	int64_t t = now - AUC_EPOCH;

	if (!a->seen)
		a->shift = t > a->floor ? 0 : a->floor + 1 - t;
	else if (now < a->seen)
		a->shift += a->seen - now;
	a->seen = now;
	return t + a->shift;
}

int64_t auc_wanted(struct auc *a, int64_t now)
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

/* The digits as one number: their count, then a nibble each. */
static uint64_t packed(const char *id)
{
	size_t n = strlen(id);
	uint64_t v = n & 15;

	for (size_t i = 0; i < 15; i++)
		v = v << 4 | (i < n ? (uint64_t)(id[i] - '0') & 15 : 15);
	return v;
}

static struct known *known_of(struct auc *a, uint64_t id)
{
	struct set *s = a->set + (id * 0x9e3779b97f4a7c15u >> 32) % SETS;
	struct known *oldest = s->way;

	for (struct known *k = s->way; k < s->way + WAYS; k++) {
		if (k->id == id)
			return k;
		if (k->last < oldest->last)
			oldest = k;
	}
	if (oldest->last > s->floor)
		s->floor = oldest->last;
	*oldest = (struct known){ .id = id, .last = s->floor };
	return oldest;
}

/* --- RAND --- */

/* RAND_bytes per vector would be the bound (DESIGN 6): taken in one go, wiped as used. */
static enum err random_take(struct auc *a, uint8_t *dst, size_t n)
{
	if (a->left < n) {
		enum err e = secret_random(a->pool, sizeof(a->pool));

		if (e)
			return e;
		a->left = sizeof(a->pool);
	}
	a->left -= n;
	memcpy(dst, a->pool + a->left, n);
	secret_wipe(a->pool + a->left, n);
	return OK;
}

static enum err crypt(EVP_CIPHER_CTX *c, const uint8_t in[16], uint8_t out[16])
{
	int n = 0;

	return EVP_CipherUpdate(c, out, &n, in, 16) == 1 && n == 16 ? OK : ERR_CRYPTO;
}

/* T is used once per identity, so no RAND comes twice; the random octets keep that true after an old database was restored. */
static enum err rand_make(struct auc *a, uint64_t id, int64_t t, uint8_t rand[16])
{
	uint8_t plain[16];
	struct wr w = wr_of(plain, sizeof(plain));
	enum err e;

	wr_u8(&w, (uint8_t)(t >> 32));
	wr_u32(&w, (uint32_t)t);
	e = random_take(a, plain + T_OCTETS, RANDOM);
	w.n += RANDOM;
	wr_u64(&w, id);
	return e ? e : crypt(a->seal, plain, rand);
}

/* ERR_MISSING: not one of ours for this identity (a forger hits one in 2^64). */
static enum err rand_read(struct auc *a, uint64_t id, const uint8_t rand[16], int64_t *t)
{
	uint8_t plain[16];
	struct rd r = rd_of(BYTES_OF(plain));
	enum err e = crypt(a->unseal, rand, plain);

	*t = (int64_t)rd_u8(&r) << 32;
	*t |= rd_u32(&r);
	(void)rd_u24(&r);
	return e ? e : rd_u64(&r) == id ? OK : ERR_MISSING;
}

/* --- vectors --- */

static uint64_t ind_take(struct known *k, enum auc_use use)
{
	unsigned first = use == AUC_DISCOVER ? IND_GSUP : 0, many = use == AUC_DISCOVER ? INDS - IND_GSUP : IND_GSUP;
	unsigned ind = first + k->ind[use] % many;

	k->ind[use] = (uint8_t)((k->ind[use] + 1) % many);
	return ind;
}

static enum err key_set(struct auc *a, const struct auc_identity *x)
{
	enum err e = a->keyed ? milenage_key(&a->milenage, &x->k, &x->opc) : milenage_open(&a->milenage, &x->k, &x->opc);

	if (!e)
		a->keyed = 1;
	else if (!a->keyed)
		milenage_close(&a->milenage);
	return e;
}

/* The T of the next vector. */
static enum err next_t(const struct auc *a, const struct known *k, int64_t base, int64_t offset, int64_t run, int64_t *t)
{
	if (base + offset < 1)
		base = 1 - offset; /* the clock went back behind the moment of issue */
	*t = base > k->last ? base : k->last + 1;
	if (*t >= base + run)
		return ERR_LIMIT;
	if (*t >= a->mark)
		return ERR_AGAIN;
	return (*t + offset) >> 43 ? ERR_RANGE : OK;
}

enum err auc_vectors(struct auc *a, const struct auc_identity *x, enum auc_use use, int64_t now, struct vector *v, int *n)
{
	static const uint8_t amf[2][2] = { [AUC_GSUP] = { 0, 0 }, [AUC_DISCOVER] = { 0, 1 } };
	uint64_t id = packed(x->id);
	struct known *k = known_of(a, id);
	const int64_t run = use == AUC_DISCOVER ? AUC_RUN_DISCOVER : AUC_RUN, base = base_of(a, now);
	int64_t t;
	uint8_t rand[16];
	int made = 0;
	enum err e = next_t(a, k, base, x->offset, run, &t);

	if (!e)
		e = key_set(a, x);
	while (!e && made < *n) {
		e = rand_make(a, id, t, rand);
		k->last = t; /* used up, whatever becomes of it */
		if (!e)
			e = milenage_vector(&a->milenage, rand, (uint64_t)(t + x->offset) << 5 | ind_take(k, use), amf[use], v + made);
		if (e)
			return e;
		made++;
		e = next_t(a, k, base, x->offset, run, &t);
	}
	*n = made;
	return made ? OK : e;
}

enum err auc_resync(struct auc *a, const struct auc_identity *x, const uint8_t rand[16], const uint8_t auts[14], int64_t now,
	struct auc_resynced *out)
{
	uint64_t id = packed(x->id), sqn = 0;
	struct known *k = known_of(a, id);
	int64_t base = base_of(a, now), given, t;
	enum err e = rand_read(a, id, rand, &given);

	if (e)
		return e;
	if (given <= x->since)
		return ERR_EXPIRED;
	e = key_set(a, x);
	if (!e)
		e = milenage_auts_check(&a->milenage, rand, auts, &sqn);
	if (e)
		return e;
	if (!auc_bucket(&k->resyncs, base, AUC_RESYNC_S, AUC_RESYNCS * AUC_RESYNC_S))
		return ERR_LIMIT;
	t = base > k->last ? base : k->last + 1;
	*out = (struct auc_resynced){ .offset = (int64_t)(sqn >> 5) + 1 - t, .since = t - 1, .given = given };
	return OK;
}
