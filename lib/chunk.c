/* SPDX-License-Identifier: ISC
 *
 * chunk.c - lists of free chunks and of records in them. Growing and shrinking the file is in grow.c.
 *
 * Free chunks are reused last-freed-first: the warmest in the cache first. A chain of an extent is spliced onto the
 * free list as it is, by two stores, however long. The few chunks that have only some of their pages (a small queue
 * begins with 4, then 16 KiB) are on a list of their own, so that the other list needs no look.
 */
#include "chunk.h"
#include "journal.h"

#define POOL_USED(s) ((uint32_t)((s) & 0xffff))
#define POOL_FRESH(s) ((uint32_t)((s) >> 16 & 0xffff))
#define POOL_STATE(used, fresh, free) ((uint64_t)(used) | (uint64_t)(fresh) << 16 | (uint64_t)(free) << 32)

int
chunk_take(struct mpq *q, uint32_t *n)
{
	uint64_t list = get(&q->head->free);
	uint32_t c = LOW(list);

	if (c == 0)
		return NEED_CHUNK;
	if (!chunk_holds(q, c, 0, CHUNK) || HIGH(list) == 0)
		return MPQ_DAMAGED;
	set(q, &q->head->free, PAIR(chunk_next(q, c), HIGH(list) - 1));
	set(q, &chunk_at(q, c)->use, PAIR(0, CHUNK_PAGES));
	*n = c;
	return MPQ_OK;
}

int
chunk_take_small(struct mpq *q, uint64_t bytes, uint32_t *n)
{
	uint64_t *from = &q->head->small;
	uint32_t c = LOW(get(from)), left = HIGH(get(from));
	uint32_t before = 0;

	for (; c != 0 && left-- > 0; before = c, c = chunk_next(q, c)) {
		if (!is_chunk(q, c))
			return MPQ_DAMAGED;
		if (chunk_capacity(q, c) < bytes)
			continue;
		if (before == 0)
			set(q, from, PAIR(chunk_next(q, c), HIGH(get(from)) - 1));
		else {
			set(q, &chunk_at(q, before)->link, PAIR(chunk_next(q, c), 0));
			set(q, from, PAIR(LOW(get(from)), HIGH(get(from)) - 1));
		}
		set(q, &chunk_at(q, c)->use, PAIR(0, chunk_capacity(q, c) / PAGE));
		*n = c;
		return MPQ_OK;
	}
	return chunk_take(q, n) == MPQ_OK ? MPQ_OK : LOW(get(&q->head->free)) == 0 ? NEED_SMALL : MPQ_DAMAGED;
}

int
chunk_give(struct mpq *q, uint32_t first, uint32_t last, uint32_t count)
{
	uint64_t *list = &q->head->free;

	if (!is_chunk(q, first) || !is_chunk(q, last))
		return MPQ_DAMAGED;
	if (count == 1 && chunk_capacity(q, first) < CHUNK)
		list = &q->head->small;
	set(q, &chunk_at(q, last)->link, PAIR(LOW(get(list)), 0));
	set(q, list, PAIR(first, HIGH(get(list)) + count));
	return MPQ_OK;
}

void
chunk_ref(struct mpq *q, uint32_t n)
{
	add(q, &chunk_at(q, n)->use, 1);
}

int
chunk_unref(struct mpq *q, uint32_t n)
{
	if (!is_chunk(q, n))
		return MPQ_DAMAGED;
	if (chunk_extra(q, n) == 0)
		return chunk_give(q, n, n, 1);
	set(q, &chunk_at(q, n)->use, get(&chunk_at(q, n)->use) - 1);
	return MPQ_OK;
}

void
chunk_join(struct mpq *q, uint32_t a, uint32_t b)
{
	set(q, &chunk_at(q, a)->link, PAIR(b, chunk_prev(q, a)));
	set(q, &chunk_at(q, b)->link, PAIR(0, a));
}

/* ---- records --------------------------------------------------------------------------------------------- */

/* A pool is named by its first record: BUILTIN_POOL / RECORD, or the first of its chunk. */
static uint32_t
pool_of(uint32_t record)
{
	uint64_t offset = (uint64_t)record * RECORD;

	return offset < PAGE ? BUILTIN_POOL / RECORD : record & ~(CHUNK / RECORD - 1);
}

static struct pool *
pool_at(const struct mpq *q, uint32_t pool)
{
	return at(q, (uint64_t)pool * RECORD);
}

static bool
is_pool(const struct mpq *q, uint32_t pool)
{
	return pool == BUILTIN_POOL / RECORD || (pool % (CHUNK / RECORD) == 0 && is_record(q, pool + 1));
}

/* Records that it has room for, its first not counted. */
static uint32_t
pool_capacity(const struct mpq *q, uint32_t pool)
{
	uint64_t offset = (uint64_t)pool * RECORD;

	if (offset < PAGE)
		return (PAGE - BUILTIN_POOL) / RECORD - 1;
	return chunk_capacity(q, offset_chunk(offset)) / RECORD - 1;
}

static int
pool_unlink(struct mpq *q, uint32_t pool)
{
	uint64_t link = get(&pool_at(q, pool)->link), list = get(&q->head->pools);
	uint32_t next = LOW(link), prev = HIGH(link);

	if ((next != 0 && !is_pool(q, next)) || (prev != 0 && !is_pool(q, prev)))
		return MPQ_DAMAGED;
	if (prev != 0)
		set(q, &pool_at(q, prev)->link, PAIR(next, HIGH(get(&pool_at(q, prev)->link))));
	if (next != 0)
		set(q, &pool_at(q, next)->link, PAIR(LOW(get(&pool_at(q, next)->link)), prev));
	set(q, &q->head->pools, PAIR(prev == 0 ? next : LOW(list), next == 0 ? prev : HIGH(list)));
	return MPQ_OK;
}

/* The first pool comes first again: small queues stay in the head page. */
int
pool_link(struct mpq *q, uint32_t pool)
{
	uint64_t list = get(&q->head->pools);

	if (LOW(list) != 0 && !is_pool(q, LOW(list)))
		return MPQ_DAMAGED;
	set(q, &pool_at(q, pool)->link, PAIR(LOW(list), 0));
	if (LOW(list) != 0)
		set(q, &pool_at(q, LOW(list))->link, PAIR(LOW(get(&pool_at(q, LOW(list))->link)), pool));
	set(q, &q->head->pools, PAIR(pool, HIGH(list) != 0 ? HIGH(list) : pool));
	return MPQ_OK;
}

int
record_take(struct mpq *q, uint32_t *record)
{
	uint32_t pool = LOW(get(&q->head->pools)), used, fresh, free, r;
	uint64_t state;

	if (pool == 0)
		return NEED_RECORD;
	if (!is_pool(q, pool))
		return MPQ_DAMAGED;
	state = get(&pool_at(q, pool)->state);
	used = POOL_USED(state), fresh = POOL_FRESH(state), free = HIGH(state);
	r = free != 0 ? free : pool + fresh;
	if (!is_record(q, r) || pool_of(r) != pool || used >= pool_capacity(q, pool) ||
	    (free == 0 && fresh > pool_capacity(q, pool)))
		return MPQ_DAMAGED;
	if (free != 0)
		free = LOW(get(&extent_at(q, r)->free));
	else
		fresh++;
	set(q, &pool_at(q, pool)->state, POOL_STATE(used + 1, fresh, free));
	if (used + 1 == pool_capacity(q, pool) && pool_unlink(q, pool) != MPQ_OK)
		return MPQ_DAMAGED;
	*record = r;
	return MPQ_OK;
}

int
record_give(struct mpq *q, uint32_t record)
{
	uint32_t pool = pool_of(record), used, capacity;
	uint64_t state;

	if (!is_record(q, record) || !is_pool(q, pool))
		return MPQ_DAMAGED;
	state = get(&pool_at(q, pool)->state);
	used = POOL_USED(state), capacity = pool_capacity(q, pool);
	if (used == 0 || used > capacity)
		return MPQ_DAMAGED;
	q->gave = true;
	set(q, &extent_at(q, record)->what, KIND_FREE);      /* so that nobody takes it for what it was */
	set(q, &extent_at(q, record)->free, HIGH(state));
	set(q, &pool_at(q, pool)->state, POOL_STATE(used - 1, POOL_FRESH(state), record));
	if (used == capacity && pool_link(q, pool) != MPQ_OK)
		return MPQ_DAMAGED;
	if (used > 1 || pool == BUILTIN_POOL / RECORD || capacity != CHUNK / RECORD - 1)
		return MPQ_OK;
	if (pool_unlink(q, pool) != MPQ_OK)  /* a pool with all its pages and nothing in it: a free chunk */
		return MPQ_DAMAGED;
	pool = offset_chunk((uint64_t)pool * RECORD);
	set(q, &chunk_at(q, pool)->use, PAIR(0, CHUNK_PAGES | CHUNK_DATA << 8));
	return chunk_give(q, pool, pool, 1);
}
