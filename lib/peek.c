/* SPDX-License-Identifier: ISC
 *
 * peek.c - looking at messages without taking them.
 *
 * The messages stay queued while they are written out, so that nobody else sees a queue without them; somebody may
 * take and drop them meanwhile. Each of their chunks gets one more reference, kept by an extent of kind "pinned" in
 * our slot, and the queued extent a mark, so that whoever drops it frees chunk by chunk. A long message is pinned in
 * steps; if it is taken before all of it is pinned, the look begins again at what is first then.
 */
#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

#define PINS 32u                     /* chunks in one transaction: one word each; 2 MiB */

struct peek {
	struct op op;
	const struct mpq_want *want;
	uint64_t after;
	struct piece found;          /* what is looked at */
	uint32_t record;             /* the pin, 0: none yet */
	uint32_t pinned;             /* chunks of it so far */
	bool lost;                   /* it was taken before all of it was pinned */
};

/* The first queued messages with tickets from `after` on: the extent, and how far into it they begin. */
static int
find_queued(struct mpq *q, uint32_t side, uint64_t after, uint32_t *record, struct piece *p)
{
	uint64_t *list, skip_msgs, skip_bytes;
	uint32_t r = side_first(q, side, &list);

	for (uint64_t steps = 0; r != 0; steps++) {
		if (steps > record_limit(q) || extent_read(q, r, QUEUED, p) != MPQ_OK)
			return MPQ_DAMAGED;
		if (p->seq + p->msgs > after)
			break;
		r = record_next(q, r);
		if (r == 0 && list == &side_at(q, side)->returned) {
			list = &side_at(q, side)->fresh;
			r = LOW(get(list));
		}
	}
	if (r != 0 && p->msgs == 0)          /* idle: it may come after returned ones */
		r = 0;
	*record = r;
	if (r == 0 || after <= p->seq)
		return MPQ_OK;
	if (extent_measure(q, p, after - p->seq, UINT64_MAX, &skip_msgs, &skip_bytes) != MPQ_OK)
		return MPQ_DAMAGED;
	p->first = extent_walk(q, p->first, (p->from + skip_bytes) >> CHUNK_SHIFT);
	p->from = (p->from + skip_bytes) & (CHUNK - 1);
	p->msgs -= skip_msgs, p->bytes -= skip_bytes, p->seq += skip_msgs;
	return p->first != 0 ? MPQ_OK : MPQ_DAMAGED;
}

/* Pin the next chunks of what was found. */
static int
pin_some(struct mpq *q, struct peek *peek)
{
	struct piece *f = &peek->found, pin;
	uint32_t span = extent_span(f), chunk, n = 0;

	if ((chunk = extent_walk(q, f->first, peek->pinned)) == 0)
		return MPQ_DAMAGED;
	for (; n < PINS && peek->pinned + n < span; n++) {
		if (!is_chunk(q, chunk))
			return MPQ_DAMAGED;
		chunk_ref(q, chunk);
		f->last = chunk;
		chunk = chunk_next(q, chunk);
	}
	pin = *f;
	pin.kind = KIND_PINNED, pin.slot = q->slot;
	pin.from = 0, pin.bytes = (uint64_t)(peek->pinned + n) << CHUNK_SHIFT;
	if (peek->record == 0) {
		uint32_t r;
		int err = extent_new(q, &pin, &r);

		if (err != MPQ_OK)
			return err;
		list_append(q, &slot_at(q, q->slot)->list, r);
		peek->record = r;
	} else
		extent_write(q, peek->record, &pin);
	peek->pinned += n;
	return MPQ_OK;
}

static int
peek_try(struct mpq *q, struct op *op)
{
	struct peek *peek = (struct peek *)op;
	const struct side *s = side_at(q, op->side);
	uint32_t r, slot;
	struct piece p;
	int err;

	if ((err = find_queued(q, op->side, peek->after, &r, &p)) != MPQ_OK)
		return err;
	if (r != 0 && (get(&s->flags) & SIDE_DROP))
		return NEED_DROP;
	if (peek->record != 0) {
		peek->lost = r == 0 || p.seq != peek->found.seq || p.msgs < peek->found.msgs || p.bytes < peek->found.bytes;
		return peek->lost ? MPQ_OK : pin_some(q, peek);
	}
	if (r == 0 && (get(&s->flags) & SIDE_CLOSED) && get(&s->held) <= owner_holds(q, peek->want->owner, op->side))
		return MPQ_CLOSED;
	if (r == 0)
		return MPQ_EMPTY;
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	peek->found = p;
	if (extent_measure(q, &p, peek->want->msgs, peek->want->bytes, &peek->found.msgs, &peek->found.bytes) != MPQ_OK)
		return MPQ_DAMAGED;
	set(q, &extent_at(q, r)->what, get(&extent_at(q, r)->what) | WHAT(0, 0, 0, 1, 0));
	peek->pinned = 0;
	if ((err = pin_some(q, peek)) != MPQ_OK)
		peek->record = 0;
	return err;
}

int
peek_run(struct mpq *q, const struct mpq_want *want, uint64_t after, mpq_time deadline, struct mpq_run *run)
{
	struct peek peek = { .op = { .try = peek_try, .side = q->in, .kind = WAIT_GET, .wait_code = MPQ_EMPTY,
		.deadline = deadline }, .want = want, .after = after };
	int err;

	for (;;) {
		err = op_run(q, &peek.op);
		if (err == MPQ_OK && !peek.lost && peek.pinned < extent_span(&peek.found))
			continue;
		if (err == MPQ_OK && !peek.lost)
			break;
		if (peek.record != 0) {
			run->id = peek.record | PEEKED;
			peek_over(q, run);
		}
		if (err != MPQ_OK)
			return err;
		peek.record = 0, peek.lost = false;
	}
	*run = (struct mpq_run){ .msgs = peek.found.msgs, .bytes = peek.found.bytes, .seq = peek.found.seq,
		.framing = peek.found.framing, .attempts = peek.found.attempts, .id = peek.record | PEEKED,
		.chunk = peek.found.first, .from = peek.found.from };
	return MPQ_OK;
}

/* ---- the end of a look ----------------------------------------------------------------------------------- */

static int
unpin_try(struct mpq *q, struct op *op)
{
	uint32_t r = ((struct peek *)op)->record;
	struct piece p;

	if (q->slot == 0 || extent_read(q, r, 1u << KIND_PINNED, &p) != MPQ_OK || p.slot != q->slot)
		return MPQ_STALE;
	p.kind = KIND_GARBAGE;
	extent_write(q, r, &p);
	q->garbage = true;
	return MPQ_OK;
}

int
peek_over(struct mpq *q, struct mpq_run *run)
{
	struct peek peek = { .op = { .try = unpin_try, .side = q->in, .deadline = MPQ_FOREVER },
		.record = run->id & ~PEEKED };
	int err = op_run(q, &peek.op);

	owner_clean(q);
	return err;
}
