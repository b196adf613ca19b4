/* SPDX-License-Identifier: ISC
 *
 * layout.h - what a segment looks like. No code but the arithmetic of places.
 *
 *   file offset
 *   0        struct head: identity | lock | state | two sides | events | journal | built-in record pool
 *   4 KiB    descriptors of the chunks of group 0, 16 bytes each
 *   64 KiB   chunk 256, chunk 257, ...
 *
 * A chunk is 64 KiB (one default pipe full). Chunk n lies at (n - 255) * 64 KiB. Numbers below 256 do not exist, so
 * 0 is "none", and the place that their descriptors would have is the head page. Chunk n's descriptor is at
 * 16 * (n mod 4096) in the table of its group n / 4096: for group 0 the start of the file, for any other its first
 * chunk, which therefore holds no data. Nothing moves when the segment grows.
 *
 * A chunk holds either message bytes as they came, or a pool of 64-byte records: extents and owner slots. The file is
 * sparse: only pages that are in use are allocated, and always before any process touches them (reliability: a store
 * to an unallocated page of a full tmpfs is SIGBUS).
 *
 * An extent is a run of messages: bytes from `from` in chunk `first` on, along the chunks' `next`. All its chunks but
 * the last are full to their end. Its first and last chunk may be shared with other extents (the descriptor counts
 * the extra references); those between are its own, so that a gigabyte is freed in one step.
 *
 * Who may write what: everything from `state` on, except the event words, changes only under the lock and through
 * the journal (journal.h), in whole 64-bit words. Event words are stored atomically under the lock, without journal:
 * they only say "look again". The identity never changes after creation, except name_space and boot (adoption).
 * Message bytes are written by whoever has them reserved and read by whoever has them taken, without the lock.
 */
#ifndef MPQ_LAYOUT_H
#define MPQ_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u
#define CHUNK_SHIFT 16
#define CHUNK (1u << CHUNK_SHIFT)
#define CHUNK_PAGES (CHUNK / PAGE)
#define FIRST_CHUNK 256u
#define GROUP 4096u                          /* descriptors that fit a chunk */
#define MAX_CHUNKS (1u << 30)                /* 64 TiB; keeps every offset far from overflow */

#define MAGIC 0x31302071706d0a89u            /* \x89 \n m p q space 0 1: not text, and not byte-swapped */
#define FORMAT 1u

/* Numbers packed in pairs: one journalled store changes both. */
#define PAIR(low, high) ((uint64_t)(low) | (uint64_t)(high) << 32)
#define LOW(w) ((uint32_t)(w))
#define HIGH(w) ((uint32_t)((w) >> 32))

struct chunk {                               /* a chunk's descriptor */
	uint64_t link;                       /* next, prev: along an extent; free and absent lists use next */
	uint64_t use;                        /* extra references; pages allocated | kind << 8 */
};
enum chunk_kind { CHUNK_DATA, CHUNK_POOL };

struct pool {                                /* first record of a chunk of records, and in the head */
	uint64_t state;                      /* used:16, fresh:16 (from this one on they were never used); free list: head */
	uint64_t link;                       /* next, prev in the list of pools with a record to give */
	uint64_t unused[6];
};

enum extent_kind {
	KIND_FREE, KIND_FRESH, KIND_RETURNED, KIND_TAKEN, KIND_HELD,
	KIND_RESERVED,                       /* chunks that a writer fills; no messages */
	KIND_PINNED,                         /* one more reference on each chunk, for a peek */
	KIND_GARBAGE,                        /* freed piece by piece: chunks of it may be pinned */
	KIND_PUNCH,                          /* one chunk whose memory is being given back */
	KIND_SLOT                            /* not an extent: an owner slot */
};

struct extent {
	uint64_t link;                       /* next, prev */
	uint64_t place;                      /* first chunk, from */
	uint64_t end;                        /* last chunk; owner's slot */
	uint64_t bytes;
	uint64_t msgs;
	uint64_t seq;                        /* of the first message; the others follow */
	uint64_t what;                       /* kind:8, framing:8, side:8, pinned:8; attempts:32 */
	uint64_t free;                       /* of a free record: the next one */
};

enum slot_kind { SLOT_PROCESS = 1, SLOT_HOLDER, SLOT_END };

struct slot {
	uint64_t link;                       /* next, prev among all slots */
	uint64_t who;                        /* pid; waits: what for */
	uint64_t start;                      /* the process's start time, clock ticks since boot */
	uint64_t list;                       /* extents it works on: head, tail */
	uint64_t held;                       /* extents it holds: head, tail, in the order of taking */
	uint64_t held_msgs;
	uint64_t what;                       /* KIND_SLOT:8, slot kind:8, side:8, sharer of a side:2; time name space:32 */
	uint64_t free;                       /* of a free record: the next one */
};

enum { WAIT_GET = 1, WAIT_PUT, WAIT_JOIN, WAIT_WATCH, WAIT_TURN /* to get, after others: share.c */, WAIT_KINDS };

enum { SIDE_CLOSED = 1, SIDE_DROP = 2 };     /* no more puts; what comes back is dropped */

struct side {                                /* one direction: a queue has one, a pipe two */
	uint64_t flags;
	uint64_t size, bytes, held;          /* bytes: of messages, framing not counted */
	uint64_t puts, gets, dones;          /* unfinished = puts - dones; the next ticket is puts */
	uint64_t fresh;                      /* extents: head, tail; alone, it may be idle: without messages (put.c) */

	uint64_t returned;                   /* extents, by ticket: head, tail */
	uint64_t tail;                       /* the chunk that small messages are copied to: chunk, fill */
	uint64_t waiting[WAIT_KINDS];        /* sleepers by kind; [0] unused */
	uint64_t maxsize, maxbytes;          /* 0: no bound */
	uint64_t sharers;                    /* handles that take in bulk, until they leave */
	uint64_t round;                      /* of shares (share.c) */
	uint64_t had;                        /* messages that sharers have had in this round and, fading, before */
	uint64_t unused[3];
};

struct events {                              /* futex words, a line of their own */
	uint32_t word[WAIT_KINDS];
	uint32_t coming[WAIT_PUT + 1];       /* getters, putters that were woken and have not been here since; a hint */
	uint32_t given_up;                   /* getters that did not come when others waited for them (share.c); a hint */
	uint64_t woken[WAIT_PUT + 1];        /* when the last of them was, ns; a hint */
};

#define JOURNAL_MAX 144u
struct entry {
	uint64_t offset, old;
};

enum { HEAD_DAMAGED = 1, HEAD_REMOVED = 2 };

struct head {
	/* identity: line 0 */
	uint64_t magic;
	uint32_t format;
	uint16_t word_size, head_size;       /* what the maker's compiler thought */
	uint16_t extent_size, slot_size, side_size, chunk_size;
	uint32_t kind;                       /* enum mpq_kind */
	uint32_t time_ns;
	uint64_t name_space;                 /* inode of the users' PID name space */
	int64_t created;
	uint8_t boot[16];

	/* the lock: line 1 */
	uint32_t lock;
	uint32_t unused0;
	uint64_t sick;                       /* HEAD_*: only ever set, atomically */
	uint64_t swept;                      /* when dead owners were last looked for, ns; a hint */
	uint64_t unused1[5];

	/* state: line 2 on, journalled */
	uint64_t chunks;                     /* chunk numbers below this exist */
	uint64_t free;                       /* list of free chunks with all their pages: head, count */
	uint64_t small;                      /* list of free chunks with fewer pages: head, count */
	uint64_t absent;                     /* list of chunks without memory: head, count */
	uint64_t pools;                      /* pools with a record to give: head, tail */
	uint64_t slots;                      /* owner slots: head, tail */
	uint64_t nslots;
	uint64_t growing;                    /* the pool that has not all of its pages yet, or 0 */
	uint64_t punched;                    /* how many chunks have lost their memory so far */
	uint64_t unused3[7];
	struct side side[2];
	struct events events[2];

	/* the journal */
	uint64_t njournal;
	uint64_t unused2[7];
	struct entry journal[JOURNAL_MAX];

	/* records for small queues */
	struct pool pool;
	uint64_t records[][8];
};

#define RECORD 64u
#define BUILTIN_POOL offsetof(struct head, pool)
#define STATE_FROM offsetof(struct head, chunks)
#define STATE_TO offsetof(struct head, events)
#define HEAD_BYTES (2 * PAGE)                /* the head and the first page of descriptors */

_Static_assert(sizeof(struct chunk) == 16, "chunk");
_Static_assert(sizeof(struct pool) == RECORD, "pool");
_Static_assert(sizeof(struct extent) == RECORD, "extent");
_Static_assert(sizeof(struct slot) == RECORD, "slot");
_Static_assert(sizeof(struct side) == 192, "side");
_Static_assert(sizeof(struct events) == 64, "events");
_Static_assert(offsetof(struct head, lock) == 64, "lock on its own line");
_Static_assert(STATE_FROM == 128, "state");
_Static_assert(BUILTIN_POOL % RECORD == 0, "records are numbered by offset / 64");
_Static_assert(BUILTIN_POOL + 8 * RECORD <= PAGE, "some built-in records");
_Static_assert(FIRST_CHUNK * sizeof(struct chunk) == PAGE, "descriptors begin behind the head");

/* Chunk number to file offset and back; number to the offset of its descriptor. */
static inline uint64_t
chunk_offset(uint32_t n)
{
	return (uint64_t)(n - (FIRST_CHUNK - 1)) << CHUNK_SHIFT;
}

static inline uint32_t
offset_chunk(uint64_t offset)
{
	return (uint32_t)(offset >> CHUNK_SHIFT) + FIRST_CHUNK - 1;
}

static inline uint64_t
descriptor_offset(uint32_t n)
{
	uint64_t table = n < GROUP ? 0 : chunk_offset(n & ~(GROUP - 1));

	return table + (n & (GROUP - 1)) * sizeof(struct chunk);
}

#endif
