/* SPDX-License-Identifier: ISC
 *
 * grow.c - giving a segment memory, and taking it back. Everything here that is slow happens outside the lock.
 *
 * Growing: allocate file pages first, publish the new chunk numbers under the lock afterwards, if nobody else did
 * meanwhile. Two growers allocate the same pages: harmless, fallocate(2) leaves what is there. A grower killed in
 * between leaves pages that the next one finds allocated. The file is never truncated: others have it mapped.
 *
 * A chunk without memory is given it again in the same way while it stays at the head of the absent list. `punched`
 * tells whether any chunk has lost its memory meanwhile: it could be this one, used and given back in between, and our
 * allocation gone with it.
 *
 * Giving back: a chunk is stripped from the free list into an extent of the process's own (recovery makes it
 * absent), punched, and only then listed as absent. Punching a chunk that others can take would destroy what they
 * have put into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "chunk.h"
#include "journal.h"
#include "op.h"
#include "segment.h"

#define BATCH 16u                    /* chunks to grow by at most: 1 MiB, as libraries grow files */
#define PART 128u                    /* ... and by this part of what there is: less than a hundredth is not yet used */
#define MANY 64u                     /* chunks, 4 MiB: free memory that is kept while there are messages */

/* Under the lock: publish `count` new chunks from `n` on, with `pages` each. */
static int
publish_chunks(struct mpq *q, uint32_t n, uint32_t count, uint32_t pages)
{
	if (LOW(get(&q->head->chunks)) != n)
		return MPQ_OK;               /* somebody else has: use his */
	set(q, &q->head->chunks, n + count);
	q->chunks = n + count;
	while (count-- > 0) {
		if ((n + count) % GROUP == 0)
			continue;            /* a table of descriptors */
		set(q, &chunk_at(q, n + count)->use, PAIR(0, pages));
		if (chunk_give(q, n + count, n + count, 1) != MPQ_OK)
			return MPQ_DAMAGED;
	}
	return MPQ_OK;
}

/* Enter the lock, publish, leave. */
#define PUBLISH(q, call)                                                                                         \
	__extension__({                                                                                          \
		int r_ = op_enter(q, MPQ_FOREVER);                                                               \
		if (r_ == MPQ_OK)                                                                                \
			r_ = op_leave(q, call, NULL);                                                            \
		r_;                                                                                              \
	})

/* The file's pages for chunks n..n+count-1, and for their descriptors. */
static int
allocate_chunks(struct mpq *q, int fd, uint32_t n, uint32_t count, uint32_t pages)
{
	uint64_t table = descriptor_offset(n), table_end = descriptor_offset(n + count - 1) + sizeof(struct chunk);
	uint64_t end = chunk_offset(n + count - 1) + (uint64_t)pages * PAGE;
	int r;

	if (n >= MAX_CHUNKS - count)
		return -ENOSPC;
	if ((r = segment_map(q, fd, end > table_end ? end : table_end)) != MPQ_OK)
		return r;
	if (table % PAGE + (table_end - table) >= PAGE || table % PAGE == 0) {
		r = segment_allocate(q, fd, table / PAGE * PAGE, (table_end - 1) / PAGE * PAGE + PAGE - table / PAGE * PAGE);
		if (r != MPQ_OK)
			return r;
	}
	return segment_allocate(q, fd, chunk_offset(n), end - chunk_offset(n));
}

/* `bytes` 0: chunks with all their pages. Else one chunk with room for so many bytes, small while the queue is small,
 * or if the file system has no room for more. */
static int
grow_new(struct mpq *q, int fd, uint64_t bytes)
{
	uint32_t n = LOW(get(&q->head->chunks)), count = 1, pages = CHUNK_PAGES;
	int r;

	if (n < FIRST_CHUNK)
		return MPQ_DAMAGED;
	if (n % GROUP == 0)
		count = 2;                   /* its table first */
	else if (n - FIRST_CHUNK >= 2 * PART && n % GROUP + BATCH <= GROUP)
		count = (n - FIRST_CHUNK) / PART < BATCH ? (n - FIRST_CHUNK) / PART : BATCH;
	else if (bytes != 0 && n == FIRST_CHUNK && bytes <= PAGE)
		pages = 1;
	else if (bytes != 0 && n == FIRST_CHUNK + 1 && bytes <= (uint64_t)4 * PAGE)
		pages = 4;
	r = allocate_chunks(q, fd, n, count, pages);
	if (r == -ENOSPC && count > 1 && n % GROUP != 0)
		r = allocate_chunks(q, fd, n, count = 1, pages);
	for (uint32_t less = 4; r == -ENOSPC && bytes != 0 && count == 1 && bytes <= (uint64_t)less * PAGE; less /= 4)
		r = allocate_chunks(q, fd, n, 1, pages = less);
	if (r != MPQ_OK)
		return r;
	return PUBLISH(q, publish_chunks(q, n, count, pages));
}

/* Under the lock: chunk n, head of the absent list, has its memory again, unless something was punched since. */
static int
publish_absent(struct mpq *q, uint32_t n, uint64_t punched)
{
	uint64_t list = get(&q->head->absent);

	if (LOW(list) != n || get(&q->head->punched) != punched)
		return MPQ_OK;
	set(q, &q->head->absent, PAIR(chunk_next(q, n), HIGH(list) - 1));
	set(q, &chunk_at(q, n)->use, PAIR(0, CHUNK_PAGES));
	return chunk_give(q, n, n, 1);
}

/* Under the lock: is n, which is no chunk, still the head of that list? */
static int
absent_bad(struct mpq *q, uint32_t n)
{
	return LOW(get(&q->head->absent)) == n && !is_chunk(q, n) ? MPQ_DAMAGED : MPQ_OK;
}

static int
grow_absent(struct mpq *q, int fd, uint32_t n)
{
	uint64_t punched = get(&q->head->punched);
	int r;

	if (!is_chunk(q, n))
		return PUBLISH(q, absent_bad(q, n));  /* a glance without the lock: look again */
	if ((r = segment_map(q, fd, chunk_offset(n) + CHUNK)) != MPQ_OK ||
	    (r = segment_allocate(q, fd, chunk_offset(n), CHUNK)) != MPQ_OK)
		return r;
	return PUBLISH(q, publish_absent(q, n, punched));
}

static int
grow_chunk(struct mpq *q, int fd, uint64_t bytes)
{
	uint32_t absent = LOW(get(&q->head->absent));
	int r = absent != 0 ? grow_absent(q, fd, absent) : -ENOSPC;

	return r == -ENOSPC && (absent == 0 || bytes != 0) ? grow_new(q, fd, bytes) : r;
}

/* Under the lock: a free chunk becomes a pool of records. */
static int
publish_pool(struct mpq *q)
{
	uint32_t n, pool;
	int r = chunk_take_small(q, PAGE, &n);

	if (r == NEED_SMALL)                 /* the glance saw one that has gone; if it is there, it has no page */
		return LOW(get(&q->head->small)) == 0 ? MPQ_OK : MPQ_DAMAGED;
	if (r != MPQ_OK)
		return r;
	if (chunk_offset(n) / RECORD + CHUNK / RECORD > UINT32_MAX)
		return -ENOSPC;              /* records are numbered in 32 bits: 256 GiB */
	pool = (uint32_t)(chunk_offset(n) / RECORD);
	set(q, &chunk_at(q, n)->use, PAIR(0, chunk_capacity(q, n) / PAGE | CHUNK_POOL << 8));
	set(q, &((struct pool *)at(q, chunk_offset(n)))->state, (uint64_t)1 << 16);
	if (pool_link(q, pool) != MPQ_OK)
		return MPQ_DAMAGED;
	if (chunk_capacity(q, n) < CHUNK)
		set(q, &q->head->growing, n);
	return MPQ_OK;
}

/* Under the lock: the growing pool has `pages` now. */
static int
publish_pages(struct mpq *q, uint32_t n, uint32_t old, uint32_t pages)
{
	uint64_t use = get(&chunk_at(q, n)->use), state;
	uint32_t pool = (uint32_t)(chunk_offset(n) / RECORD);

	if (LOW(get(&q->head->growing)) != n || (HIGH(use) & 0xff) != old)
		return MPQ_OK;
	if (HIGH(use) >> 8 != CHUNK_POOL)
		return MPQ_DAMAGED;
	state = get(&((struct pool *)at(q, chunk_offset(n)))->state);
	set(q, &chunk_at(q, n)->use, PAIR(LOW(use), pages | CHUNK_POOL << 8));
	if ((state & 0xffff) == old * PAGE / RECORD - 1 && pool_link(q, pool) != MPQ_OK)
		return MPQ_DAMAGED;          /* it was full and is not any more */
	if (pages == CHUNK_PAGES)
		set(q, &q->head->growing, 0);
	return MPQ_OK;
}

static int
grow_records(struct mpq *q, int fd)
{
	uint32_t n = LOW(get(&q->head->growing)), old;
	int r;

	if (is_chunk(q, n) && (old = chunk_capacity(q, n) / PAGE) != 0 && old < CHUNK_PAGES) {
		uint32_t pages = old < 4 ? 4 : CHUNK_PAGES;

		r = segment_allocate(q, fd, chunk_offset(n) + (uint64_t)old * PAGE, (uint64_t)(pages - old) * PAGE);
		return r == MPQ_OK ? PUBLISH(q, publish_pages(q, n, old, pages)) : r;
	}
	if (LOW(get(&q->head->free)) == 0 && LOW(get(&q->head->small)) == 0)
		return grow_chunk(q, fd, PAGE);
	return PUBLISH(q, publish_pool(q));
}

int
chunk_provide(struct mpq *q, int need, uint64_t bytes)
{
	int fd, r;

	if ((r = segment_reopen(q, &fd)) != MPQ_OK)
		return r;
	if (need == NEED_RECORD)
		r = grow_records(q, fd);
	else
		r = grow_chunk(q, fd, need == NEED_SMALL ? bytes : 0);
	close(fd);
	return r;
}

/* ---- giving back ----------------------------------------------------------------------------------------- */

bool
chunk_surplus(const struct mpq *q, bool idle)
{
	uint32_t free = HIGH(get(&q->head->free)), all = q->chunks - FIRST_CHUNK;
	uint32_t absent = HIGH(get(&q->head->absent));
	uint32_t used = all > free + absent ? all - free - absent : 0;

	return free <= all && free > (idle ? SPARE + SPARE / 2 : MANY) && free > used;
}

int
chunk_strip(struct mpq *q, uint32_t max, uint32_t *first, uint32_t *last, uint32_t *count)
{
	uint64_t list = get(&q->head->free);
	uint32_t n = LOW(list), left = HIGH(list);

	*count = 0;
	*first = n;
	for (; *count < max && left > SPARE; left--, n = chunk_next(q, n)) {
		if (!is_chunk(q, n))
			return MPQ_DAMAGED;
		set(q, &chunk_at(q, n)->use, 0);
		*last = n;
		++*count;
	}
	set(q, &q->head->free, PAIR(n, left));
	return MPQ_OK;
}

int
chunk_punch(struct mpq *q, uint32_t first, uint32_t count)
{
	uint32_t n = first, low = first, run = 0;
	int fd, r = segment_reopen(q, &fd);

	if (r != MPQ_OK)
		return r;
	for (; count-- > 0 && is_chunk(q, n); n = chunk_next(q, n)) {
		if (run != 0 && n == low + run)
			run++;
		else if (run != 0 && n == low - 1)
			low--, run++;
		else {
			if (run != 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    (off_t)chunk_offset(low), (off_t)run * CHUNK) == -1)
				r = -errno;
			low = n, run = 1;
		}
	}
	if (run != 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)chunk_offset(low),
	    (off_t)run * CHUNK) == -1)
		r = -errno;
	close(fd);
	return r;
}

int
chunk_give_absent(struct mpq *q, uint32_t first, uint32_t last, uint32_t count)
{
	uint64_t list = get(&q->head->absent);

	if (!is_chunk(q, first) || !is_chunk(q, last))
		return MPQ_DAMAGED;
	set(q, &chunk_at(q, last)->link, PAIR(LOW(list), 0));
	set(q, &q->head->absent, PAIR(first, HIGH(list) + count));
	add(q, &q->head->punched, count);
	return MPQ_OK;
}
