/* SPDX-License-Identifier: ISC
 *
 * handle.h - what a handle is made of, for the rooms of the library; users see only mpq.h.
 */
#ifndef MPQ_HANDLE_H
#define MPQ_HANDLE_H

#include <stdbool.h>
#include <stdatomic.h>

#include "layout.h"
#include "mpq.h"

#define VIEWS 24                     /* each at least doubles the one before: enough for any file */
#define NO_SIDE 2u                   /* an end that does not go this way */

struct node {                        /* layout of the kernel's struct robust_list, and our mark */
	struct node *next;
	uint32_t armed;              /* the thread that uses it has registered; wiped by fork */
};

struct spin {                        /* looks before a sleep (spin.c) */
	mpq_time next;               /* none before; 0: at the next sleep */
	unsigned rest;               /* how many times as long as a look it rests behind one that did not pay */
	unsigned sleeps;             /* before the first look */
	bool once_more;              /* a look saw something, but late: the next that does rests */
	unsigned soon;               /* looks since then that paid */
};

struct view {
	unsigned char *at;
	size_t size;
};

struct mpq {
	unsigned char *base;         /* the newest view: the whole segment as far as `mapped` */
	uint64_t mapped;
	uint64_t length;             /* the file was at least so long when last looked at, which is as often as the head or the
	                                last chunk says that it is longer; it never gets shorter */
	uint32_t chunks;             /* head.chunks as read under the lock, and checked against `mapped` */
	uint32_t njournal;           /* entries of the running transaction */
	bool gave;                   /* it has freed a record: a record taken now may be that one (extent_new) */

	struct head *head;           /* = base */
	uint32_t *lock;              /* in the first view, whose address the kernel may still have (trap 6) */
	struct node *node;           /* of the thread's list of robust locks (lock.h) */
	struct node own;             /* that node with MPQ_BRIEF; else it is in a page that a fork wipes */
	bool garbage;                /* our slot has some to free (owner_clean) */
	uint32_t in, out;            /* sides to take from and to put to, or NO_SIDE */
	uint32_t end;                /* 0: a queue, 1 or 2: an end of a pipe */
	unsigned flags;

	uint32_t slot;               /* our process's slot, 0: none now */
	uint32_t slot_was;           /* before the running transaction: undo restores it */
	uint32_t asleep;             /* what the slot says we wait for: kind, side << 8 */
	uint32_t asleep_was;
	struct mpq_owner self;       /* pid 0: not looked up yet */
	uint32_t time_ns;            /* inode of our time name space: start times are comparable within one */

	mpq_time until;              /* no part of the operation that runs waits longer for the lock; MPQ_FOREVER when none does */
	bool stuck;                  /* the lock could not be had when last wanted */
	struct mpq_why why;
	struct view view[VIEWS];
	unsigned nviews;

	uint64_t dev, ino;           /* which file it is */
	mpq_time looked;             /* when this handle last looked for dead owners */
	bool sweeping;               /* it is looking now */
	bool looked_across;          /* whether the owner of the pipe's other end is dead */
	unsigned nested;             /* operations run on the way of another one, which may be asleep */
	struct spin spin;
	uint32_t round;              /* of shares in which it last had one (share.c), 0: none */
	uint64_t had;                /* messages, as they counted in that round */
	char path[];                 /* of the file, to look at it again */
};

/* A place in the segment; the caller has checked it. */
static inline void *
at(const struct mpq *q, uint64_t offset)
{
	return q->base + offset;
}

static inline struct extent *
extent_at(const struct mpq *q, uint32_t record)
{
	return at(q, (uint64_t)record * RECORD);
}

static inline struct slot *
slot_at(const struct mpq *q, uint32_t record)
{
	return at(q, (uint64_t)record * RECORD);
}

static inline struct chunk *
chunk_at(const struct mpq *q, uint32_t n)
{
	return at(q, descriptor_offset(n));
}

/* One load of a shared word (trap 37: check the local, use the local). */
static inline uint64_t
get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* May n be used as the number of a chunk that holds data or records? */
static inline bool
is_chunk(const struct mpq *q, uint32_t n)
{
	return n >= FIRST_CHUNK && n < q->chunks && n % GROUP != 0;
}

/* May r be used as the number of a record? Whatever the bytes there say, the access stays inside the segment: the last
 * chunk may have only some of its pages, and the file ends behind them. */
static inline bool
is_record(const struct mpq *q, uint32_t r)
{
	uint64_t offset = (uint64_t)r * RECORD;

	if (offset < PAGE)
		return offset > BUILTIN_POOL;
	return offset >= CHUNK && offset % CHUNK != 0 && is_chunk(q, offset_chunk(offset)) &&
	    offset + RECORD <= q->length;
}

/* No list of records is longer: a bound for walks along links that a peer may have made a circle. */
static inline uint64_t
record_limit(const struct mpq *q)
{
	return (uint64_t)(q->chunks - FIRST_CHUNK + 1) * (CHUNK / RECORD);
}

/* What an attempt under the lock says when it cannot go on yet: nothing was changed; unlock, provide, try again.
 * Negative and below any errno, so that it travels in the same int as results. */
enum {
	NEED_CHUNK = -10000,         /* a free chunk with all its pages */
	NEED_SMALL,                  /* any free chunk that a small message fits */
	NEED_RECORD,                 /* a free record */
	NEED_SELF,                   /* who this process is */
	NEED_TURN,                   /* others have been woken for what is there: let them go first (op.h) */
	NEED_DROP                    /* a queue closed at once still has messages to drop */
};

#endif
