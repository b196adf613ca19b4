/* SPDX-License-Identifier: ISC
 *
 * chunk.h - blocks of memory and records: taking, giving, growing the file, giving memory back.
 *
 * Functions marked [lock] are called under the lock inside a transaction. They return 0, a NEED_* (provide, then try
 * again), or MPQ_DAMAGED; on anything but 0 the caller undoes the transaction.
 */
#ifndef MPQ_CHUNK_H
#define MPQ_CHUNK_H

#include "handle.h"

#define SPARE 8u             /* free chunks that keep their memory: 512 KiB, what a stream has in flight */

static inline uint32_t
chunk_next(const struct mpq *q, uint32_t n)
{
	return LOW(get(&chunk_at(q, n)->link));
}

static inline uint32_t
chunk_prev(const struct mpq *q, uint32_t n)
{
	return HIGH(get(&chunk_at(q, n)->link));
}

static inline uint32_t
chunk_extra(const struct mpq *q, uint32_t n)
{
	return LOW(get(&chunk_at(q, n)->use));
}

/* Pages of it that have memory, as its descriptor says. */
static inline uint32_t
chunk_pages(const struct mpq *q, uint32_t n)
{
	uint32_t pages = HIGH(get(&chunk_at(q, n)->use)) & 0xff;

	return pages <= CHUNK_PAGES ? pages : 0;
}

/* Bytes of it that have memory. A peer may change the descriptor after op_enter has looked whether the file is so long. */
static inline uint32_t
chunk_capacity(const struct mpq *q, uint32_t n)
{
	uint64_t bytes = (uint64_t)chunk_pages(q, n) * PAGE, left = q->length - chunk_offset(n);

	return (uint32_t)(bytes <= left ? bytes : left);
}

/* Do the bytes from `from` on of what a peer says is a chunk lie inside the file? A touch behind its end is SIGBUS. */
static inline bool
chunk_holds(const struct mpq *q, uint32_t n, uint64_t from, uint64_t bytes)
{
	return is_chunk(q, n) && chunk_offset(n) + from + bytes <= q->length;
}

/* How long the file must be if `last` is its last chunk. Its descriptor is looked at only if `size`, what is known of the
 * file, has it and might not be enough. */
static inline uint64_t
least_size(const struct mpq *q, uint32_t last, uint64_t size)
{
	if (last < FIRST_CHUNK)
		return HEAD_BYTES;
	if (last % GROUP == 0 || size < chunk_offset(last) + PAGE || size < descriptor_offset(last) + sizeof(struct chunk))
		return chunk_offset(last) + PAGE;
	return chunk_offset(last) + (size < chunk_offset(last) + CHUNK ? chunk_pages(q, last) * PAGE : PAGE);
}

/* [lock] A free chunk with all its pages; its one reference is the caller's. */
int chunk_take(struct mpq *q, uint32_t *n);
/* [lock] A free chunk, perhaps smaller, with room for `bytes`. */
int chunk_take_small(struct mpq *q, uint64_t bytes, uint32_t *n);
/* [lock] The chain first..last of `count` chunks, whose only reference was the caller's, is free. */
int chunk_give(struct mpq *q, uint32_t first, uint32_t last, uint32_t count);
/* [lock] One reference more or fewer; without any it is free. */
void chunk_ref(struct mpq *q, uint32_t n);
int chunk_unref(struct mpq *q, uint32_t n);
/* [lock] `b` follows `a`. */
void chunk_join(struct mpq *q, uint32_t a, uint32_t b);

/* [lock] A free record. Its words are not journalled until it is linked: nothing refers to it. */
int record_take(struct mpq *q, uint32_t *record);
int record_give(struct mpq *q, uint32_t record);

/* [lock] Put a pool into the list of those with a record to give. */
int pool_link(struct mpq *q, uint32_t pool);

/* Outside the lock: provide what an attempt said it needs. `bytes`: for NEED_SMALL. -ENOSPC, -ENOMEM, MPQ_GONE. */
int chunk_provide(struct mpq *q, int need, uint64_t bytes);
/* [lock] Has so much been freed that memory should go back? `idle`: nothing is queued, so what is free is not needed soon;
 * else a good deal is kept, since giving memory back and taking it again costs more than a copy. */
bool chunk_surplus(const struct mpq *q, bool idle);
/* [lock] Take up to `max` surplus chunks off the free list, as absent ones, in a chain. */
int chunk_strip(struct mpq *q, uint32_t max, uint32_t *first, uint32_t *last, uint32_t *count);
/* Outside the lock: free the memory of a stripped chain. */
int chunk_punch(struct mpq *q, uint32_t first, uint32_t count);
/* [lock] A punched chain may be used again. */
int chunk_give_absent(struct mpq *q, uint32_t first, uint32_t last, uint32_t count);

#endif
