/* SPDX-License-Identifier: ISC
 *
 * extent.h - runs of messages and lists of them. All [lock], inside a transaction; results as in chunk.h.
 */
#ifndef MPQ_EXTENT_H
#define MPQ_EXTENT_H

#include "chunk.h"

#define EXTENT_MAX CHUNK     /* puts join neighbours up to this, so that a bulk getter takes whole extents uncounted */

/* The packed words of struct extent. */
#define WHAT(kind, framing, side, pinned, attempts)                                                              \
	((uint64_t)(kind) | (uint64_t)(framing) << 8 | (uint64_t)(side) << 16 | (uint64_t)(pinned) << 24 |       \
	    (uint64_t)(attempts) << 32)
#define WHAT_KIND(w) ((unsigned)((w) & 0xff))
#define WHAT_FRAMING(w) ((unsigned)((w) >> 8 & 0xff))
#define WHAT_SIDE(w) ((unsigned)((w) >> 16 & 0xff))
#define WHAT_PINNED(w) ((unsigned)((w) >> 24 & 0xff))
#define WHAT_ATTEMPTS(w) ((uint32_t)((w) >> 32))

/* An extent as read once from the segment and checked: first and last are chunks, from < 64 KiB, the side exists. */
struct piece {
	uint32_t first, from, last, slot;
	uint64_t bytes, msgs, seq;
	unsigned kind, framing, side, pinned;
	uint32_t attempts;
};

/* Read and check; MPQ_DAMAGED unless it is of one of the kinds in the mask (1 << KIND_*). */
int extent_read(const struct mpq *q, uint32_t r, unsigned kinds, struct piece *p);
/* Change all of it; journalled. */
void extent_write(struct mpq *q, uint32_t r, const struct piece *p);
/* A new one, linked to nothing. */
int extent_new(struct mpq *q, const struct piece *p, uint32_t *r);

/* Bytes of framing for each message. */
static inline unsigned
framing_bytes(unsigned framing)
{
	return framing == MPQ_LENGTHS ? 4 : framing == MPQ_LINES || framing == MPQ_NULS;
}

/* Bytes of messages, framing not counted. */
uint64_t extent_payload(const struct piece *p);
/* Chunks that it touches. */
uint32_t extent_span(const struct piece *p);
/* The chunk `steps` after `first`; 0 if the chain is broken. */
uint32_t extent_walk(const struct mpq *q, uint32_t first, uint64_t steps);

/* Length of its first messages: as many as fit `max_msgs` and `max_bytes`, at least one. */
int extent_measure(const struct mpq *q, const struct piece *p, uint64_t max_msgs, uint64_t max_bytes, uint64_t *msgs,
    uint64_t *bytes);
/* Split off the first `msgs` messages, `bytes` long, as a new extent, linked to nothing. Both are updated. */
int extent_split(struct mpq *q, uint32_t r, struct piece *p, uint64_t msgs, uint64_t bytes, uint32_t *front,
    struct piece *f);
/* Can `b` be appended to `a`? Then append_to_a: chunks and `a` are changed, b's record is free to be given. */
bool extent_adjoin(const struct mpq *q, const struct piece *a, const struct piece *b);
int extent_merge(struct mpq *q, uint32_t ra, struct piece *a, const struct piece *b);
/* Free its chunks and its record, which is linked to nothing. If chunks may be pinned it becomes garbage of the
 * process's slot instead, to be freed piece by piece (owner_clean). */
int extent_drop(struct mpq *q, uint32_t r, struct piece *p);
/* Free up to `max` chunks at the front of garbage; *more: there is still something. */
int extent_crumble(struct mpq *q, uint32_t r, struct piece *p, unsigned max, bool *more);

/* Lists: a word with head and tail, records with next and prev. */
void list_append(struct mpq *q, uint64_t *list, uint32_t r);
void list_insert(struct mpq *q, uint64_t *list, uint32_t r, uint32_t before);
int list_remove(struct mpq *q, uint64_t *list, uint32_t r);

static inline uint32_t
record_next(const struct mpq *q, uint32_t r)
{
	return LOW(get(&extent_at(q, r)->link));
}

static inline uint32_t
record_prev(const struct mpq *q, uint32_t r)
{
	return HIGH(get(&extent_at(q, r)->link));
}

#endif
