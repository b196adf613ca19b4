/* SPDX-License-Identifier: ISC
 *
 * check.c - every invariant of a segment, one pure walk. Tests and fuzzers judge by it, and so does the first opener
 * after a restart.
 *
 * What must hold (layout.h has the words):
 *  - each chunk is exactly one of: on the free, small or absent list; a pool; or referred to, by 1 + extra extents
 *    and tails (a pin and garbage count as extents, a chunk inside an extent as one reference);
 *  - extents: their chunks form the chain their bytes say, they hold as many messages as they say;
 *  - the returned are sorted by ticket, below the fresh, which are sorted, all below `puts`;
 *  - size, bytes, held and the holders' counts are the sums over the extents; waiting and sharers are what the slots say;
 *  - records: used + free + never used = capacity, for each pool, and all that is used is reachable.
 */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "extent.h"
#include "owner.h"
#include "side.h"

struct walk {
	struct mpq *q;
	uint32_t *refs;              /* per chunk: references found */
	uint8_t *state;              /* per chunk: where it was found */
	uint64_t records;            /* used ones found */
	uint64_t size[2], bytes[2], held[2], waiting[2][WAIT_KINDS], sharers[2];
};
enum { SEEN_FREE = 1, SEEN_POOL };

#define REQUIRE(condition)                                                                                       \
	do {                                                                                                     \
		if (!(condition))                                                                                \
			return MPQ_DAMAGED;                                                                      \
	} while (0)

static int
check_free(struct walk *w, uint64_t list, uint32_t min_pages, uint32_t max_pages)
{
	uint32_t n = LOW(list), count = HIGH(list);

	for (; count > 0; count--, n = chunk_next(w->q, n)) {
		REQUIRE(is_chunk(w->q, n) && w->state[n - FIRST_CHUNK] == 0);
		REQUIRE(chunk_capacity(w->q, n) >= min_pages * PAGE && chunk_capacity(w->q, n) <= max_pages * PAGE);
		REQUIRE(HIGH(get(&chunk_at(w->q, n)->use)) >> 8 == CHUNK_DATA);
		w->state[n - FIRST_CHUNK] = SEEN_FREE;
	}
	REQUIRE(n == 0);
	return MPQ_OK;
}

/* The chain of an extent: one reference on each chunk. */
static int
check_chain(struct walk *w, const struct piece *p)
{
	uint32_t n = p->first, span = extent_span(p);

	for (uint32_t i = 0; i < span; i++) {
		REQUIRE(is_chunk(w->q, n) && w->state[n - FIRST_CHUNK] == 0);
		REQUIRE(chunk_capacity(w->q, n) == CHUNK || span == 1);
		w->refs[n - FIRST_CHUNK]++;
		if (i + 1 < span) {
			uint32_t next = chunk_next(w->q, n);

			REQUIRE(is_chunk(w->q, next) && chunk_prev(w->q, next) == n);
			n = next;
		}
	}
	REQUIRE(n == p->last);
	if (p->msgs == 0 || p->kind == KIND_PINNED || p->kind == KIND_GARBAGE)
		return MPQ_OK;       /* its bytes are a number of chunks */
	REQUIRE(p->bytes <= chunk_capacity(w->q, p->first) - p->from || chunk_capacity(w->q, p->first) == CHUNK);
	return MPQ_OK;
}

/* As many messages in it as it says. */
static int
check_contents(struct walk *w, const struct piece *p)
{
	struct piece more = *p;
	uint64_t msgs, bytes;

	REQUIRE(p->msgs > 0 && p->framing >= MPQ_LINES && p->framing <= MPQ_BARE);
	REQUIRE(p->msgs <= p->bytes && (p->framing != MPQ_BARE || p->msgs == 1));
	if (p->framing == MPQ_BARE)
		return MPQ_OK;
	more.msgs = p->msgs + 1;             /* so that it is measured to the end; the result complains of the lie */
	(void)extent_measure(w->q, &more, p->msgs, UINT64_MAX, &msgs, &bytes);
	REQUIRE(msgs == p->msgs && bytes == p->bytes);
	return MPQ_OK;
}

static int
check_list(struct walk *w, uint64_t list, unsigned kind, uint32_t side, uint64_t *seq)
{
	uint32_t prev = 0, r = LOW(list);
	struct piece p;

	for (; r != 0; prev = r, r = record_next(w->q, r)) {
		REQUIRE(extent_read(w->q, r, 1u << kind, &p) == MPQ_OK && record_prev(w->q, r) == prev);
		REQUIRE(p.side == side && p.seq >= *seq && w->records++ < record_limit(w->q));
		REQUIRE(check_chain(w, &p) == MPQ_OK);
		if (kind == KIND_FRESH && list == PAIR(r, r) && p.msgs == 0) {       /* idle (put.c) */
			REQUIRE(p.bytes == 0 && p.first == p.last);
			prev = r;
			break;
		}
		REQUIRE(check_contents(w, &p) == MPQ_OK);
		*seq = p.seq + p.msgs;
		w->size[side] += p.msgs;
		w->bytes[side] += extent_payload(&p);
	}
	REQUIRE(prev == HIGH(list));
	return MPQ_OK;
}

static int
check_side(struct walk *w, uint32_t side)
{
	const struct side *s = side_at(w->q, side);
	uint32_t tail = LOW(get(&s->tail));
	uint64_t seq = 0;

	REQUIRE(check_list(w, get(&s->returned), KIND_RETURNED, side, &seq) == MPQ_OK);
	REQUIRE(check_list(w, get(&s->fresh), KIND_FRESH, side, &seq) == MPQ_OK);
	REQUIRE(seq <= get(&s->puts) && get(&s->dones) <= get(&s->puts));
	REQUIRE(w->size[side] == get(&s->size) && w->bytes[side] == get(&s->bytes));
	if (tail != 0) {
		REQUIRE(is_chunk(w->q, tail) && w->state[tail - FIRST_CHUNK] == 0);
		REQUIRE(HIGH(get(&s->tail)) <= chunk_capacity(w->q, tail));
		w->refs[tail - FIRST_CHUNK]++;
	}
	return MPQ_OK;
}

/* What a slot works on or holds. */
static int
check_owned(struct walk *w, uint32_t slot, uint64_t list, bool held, uint64_t *msgs)
{
	uint32_t prev = 0, r = LOW(list), n;
	struct piece p;

	for (*msgs = 0; r != 0; prev = r, r = record_next(w->q, r)) {
		REQUIRE(extent_read(w->q, r, ~0u, &p) == MPQ_OK && record_prev(w->q, r) == prev && p.slot == slot);
		REQUIRE(held == (p.kind == KIND_HELD) && p.kind >= KIND_TAKEN && p.kind < KIND_SLOT);
		REQUIRE(w->records++ < record_limit(w->q));
		if (p.kind == KIND_PUNCH) {
			n = p.first;
			for (uint32_t i = extent_span(&p); i > 0; i--, n = chunk_next(w->q, n)) {
				REQUIRE(is_chunk(w->q, n) && w->state[n - FIRST_CHUNK] == 0 && chunk_capacity(w->q, n) == 0);
				w->state[n - FIRST_CHUNK] = SEEN_FREE;
			}
			continue;
		}
		REQUIRE(check_chain(w, &p) == MPQ_OK);
		if (p.kind != KIND_TAKEN && p.kind != KIND_HELD)
			continue;
		REQUIRE(check_contents(w, &p) == MPQ_OK && p.seq + p.msgs <= get(&side_at(w->q, p.side)->puts));
		w->held[p.side] += p.msgs;
		*msgs += p.msgs;
	}
	REQUIRE(prev == HIGH(list));
	return MPQ_OK;
}

static int
check_slots(struct walk *w)
{
	uint64_t list = get(&w->q->head->slots), n = 0, msgs;
	uint32_t prev = 0, r = LOW(list), waits;

	for (; r != 0; prev = r, r = record_next(w->q, r)) {
		const struct slot *s;

		REQUIRE(is_record(w->q, r) && record_prev(w->q, r) == prev && n++ < record_limit(w->q));
		s = slot_at(w->q, r);
		REQUIRE(WHAT_KIND(get(&s->what)) == KIND_SLOT);
		w->records++;
		REQUIRE(check_owned(w, r, get(&s->list), false, &msgs) == MPQ_OK);
		REQUIRE(check_owned(w, r, get(&s->held), true, &msgs) == MPQ_OK && msgs == get(&s->held_msgs));
		waits = HIGH(get(&s->who));
		REQUIRE((waits & 0xff) < WAIT_KINDS && waits >> 8 <= 1);
		if (waits != 0)
			w->waiting[waits >> 8][waits & 0xff]++;
		for (uint32_t side = 0; side < 2; side++)
			w->sharers[side] += (get(&s->what) & SLOT_SHARER(side)) != 0;
	}
	REQUIRE(prev == HIGH(list) && n == get(&w->q->head->nslots));
	return MPQ_OK;
}

/* Used, free and fresh records of one pool. */
static int
check_pool(struct walk *w, uint64_t offset, uint32_t capacity)
{
	uint64_t state = get(&((const struct pool *)at(w->q, offset))->state);
	uint32_t used = state & 0xffff, fresh = state >> 16 & 0xffff, r = HIGH(state), free = 0;

	for (; r != 0; r = LOW(get(&extent_at(w->q, r)->free)), free++)
		REQUIRE(is_record(w->q, r) && (uint64_t)r * RECORD > offset &&
		    (uint64_t)r * RECORD < offset + (uint64_t)fresh * RECORD && free <= capacity);
	REQUIRE(fresh >= 1 && fresh <= capacity + 1 && used + free == fresh - 1 && w->records >= used);
	w->records -= used;
	return MPQ_OK;
}

static int
check_chunks(struct walk *w)
{
	for (uint32_t n = FIRST_CHUNK; n < w->q->chunks; n++) {
		uint32_t i = n - FIRST_CHUNK;

		if (n % GROUP == 0)
			continue;
		if (HIGH(get(&chunk_at(w->q, n)->use)) >> 8 == CHUNK_POOL) {
			REQUIRE(w->state[i] == 0 && w->refs[i] == 0 && chunk_capacity(w->q, n) >= PAGE);
			REQUIRE(check_pool(w, chunk_offset(n), chunk_capacity(w->q, n) / RECORD - 1) == MPQ_OK);
		} else if (w->state[i] == SEEN_FREE)
			REQUIRE(w->refs[i] == 0);
		else
			REQUIRE(w->refs[i] == chunk_extra(w->q, n) + 1);
	}
	return MPQ_OK;
}

static int
check_all(struct walk *w)
{
	const struct head *head = w->q->head;

	REQUIRE(check_free(w, get(&head->free), CHUNK_PAGES, CHUNK_PAGES) == MPQ_OK);
	REQUIRE(check_free(w, get(&head->small), 1, CHUNK_PAGES - 1) == MPQ_OK);
	REQUIRE(check_free(w, get(&head->absent), 0, 0) == MPQ_OK);
	for (uint32_t side = 0; side < 2; side++)
		REQUIRE(check_side(w, side) == MPQ_OK);
	REQUIRE(check_slots(w) == MPQ_OK);
	for (uint32_t side = 0; side < 2; side++) {
		REQUIRE(w->held[side] == get(&head->side[side].held));
		REQUIRE(w->sharers[side] == get(&head->side[side].sharers));
		for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
			REQUIRE(w->waiting[side][kind] == get(&head->side[side].waiting[kind]));
	}
	REQUIRE(check_chunks(w) == MPQ_OK);
	REQUIRE(check_pool(w, BUILTIN_POOL, (PAGE - BUILTIN_POOL) / RECORD - 1) == MPQ_OK);
	REQUIRE(w->records == 0);
	return MPQ_OK;
}

int
check_segment(struct mpq *q)
{
	struct walk w = { .q = q };
	size_t chunks = q->chunks - FIRST_CHUNK + 1;
	int err = -ENOMEM;

	w.refs = calloc(chunks, sizeof *w.refs);
	w.state = calloc(chunks, 1);
	if (w.refs != NULL && w.state != NULL)
		err = check_all(&w);
	free(w.refs);
	free(w.state);
	return err;
}
