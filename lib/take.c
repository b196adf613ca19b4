/* SPDX-License-Identifier: ISC
 *
 * take.c - messages out of the queue: take, look at their bytes, settle.
 *
 * Taking moves extents from the queue to the list of the process's slot; the bytes stay where they are and are
 * written from there. Settling drops what was written and returns the rest. If the process dies in between, reap.c
 * does the returning.
 */
#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "share.h"
#include "side.h"

struct take {
	struct op op;
	const struct mpq_want *want;
	struct mpq_run *run;
};

int
take_nothing(struct mpq *q, const struct side *s, uint32_t side, const struct mpq_owner *owner)
{
	uint64_t held = get(&s->held);

	if (get(&s->size) != 0)
		return MPQ_DAMAGED;          /* else a look at the size alone would say ever again that something is there */
	if ((get(&s->flags) & SIDE_CLOSED) == 0)
		return MPQ_EMPTY;
	if (held == 0 || owner_holds(q, owner, side) + owner_in_hand(q, side) >= held)
		return MPQ_CLOSED;
	return MPQ_EMPTY;
}

static void
run_of(struct mpq_run *run, uint32_t id, const struct piece *p)
{
	*run = (struct mpq_run){ .msgs = p->msgs, .bytes = p->bytes, .seq = p->seq, .framing = p->framing,
		.attempts = p->attempts, .id = id, .chunk = p->first, .from = p->from };
}

static int
take_try(struct mpq *q, struct op *op)
{
	struct take *take = (struct take *)op;
	struct side *s = side_at(q, op->side);
	uint64_t *list, msgs = take->want->msgs, bytes, payload;
	uint32_t r = side_first(q, op->side, &list), slot, front;
	struct share share = { 0 };
	struct piece p, f;
	int err;

	if (r == 0)
		return take_nothing(q, s, op->side, take->want->owner);
	if (get(&s->flags) & SIDE_DROP)
		return NEED_DROP;
	if ((err = take->want->flags & MPQ_SHARE ? owner_share(q, op->side, &slot) : owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if ((take->want->flags & MPQ_SHARE) && (msgs = share_of(q, s, op, msgs, &share)) == 0)
		return NEED_TURN;
	if (extent_read(q, r, QUEUED, &p) != MPQ_OK || p.msgs == 0 ||
	    extent_measure(q, &p, msgs, take->want->bytes, &msgs, &bytes) != MPQ_OK)
		return MPQ_DAMAGED;
	if (msgs < p.msgs) {
		if ((err = extent_split(q, r, &p, msgs, bytes, &front, &f)) != MPQ_OK)
			return err;
	} else {
		if (list_remove(q, list, r) != MPQ_OK)
			return MPQ_DAMAGED;
		front = r, f = p;
	}
	f.kind = KIND_TAKEN, f.slot = slot;
	f.attempts += (take->want->flags & MPQ_COUNT_ATTEMPT) != 0;
	set(q, &extent_at(q, front)->end, PAIR(f.last, slot));
	set(q, &extent_at(q, front)->what, WHAT(f.kind, f.framing, f.side, f.pinned, f.attempts));
	list_append(q, &slot_at(q, slot)->list, front);
	payload = extent_payload(&f);
	if (get(&s->size) < f.msgs || get(&s->bytes) < payload)
		return MPQ_DAMAGED;
	set(q, &s->size, get(&s->size) - f.msgs);
	set(q, &s->bytes, get(&s->bytes) - payload);
	add(q, &s->held, f.msgs);
	wake_note(q, &op->wakes, op->side, WAIT_PUT, get(&s->maxbytes) != 0 ? UINT64_MAX : f.msgs);
	run_of(take->run, front, &f);
	share_taken(q, s, &share, f.msgs);
	return MPQ_OK;
}

int
mpq_take(struct mpq *q, const struct mpq_want *want, uint64_t after, mpq_time deadline, struct mpq_run *run)
{
	struct take take = { .op = { .try = take_try, .side = q->in, .kind = WAIT_GET, .wait_code = MPQ_EMPTY,
		.deadline = deadline }, .want = want, .run = run };

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	owner_look_first(q, deadline);
	take.op.looks = (want->flags & MPQ_SHARE) != 0;
	if (want->flags & MPQ_PEEK)
		return peek_run(q, want, after, deadline, run);
	return op_run(q, &take.op);
}

int
mpq_run_map(struct mpq *q, const struct mpq_run *run, uint64_t offset, struct iovec *iov, int n, int *got)
{
	uint64_t from = run->from + offset, left = run->bytes - offset;
	uint32_t chunk;

	*got = 0;
	if (offset >= run->bytes)
		return MPQ_OK;
	chunk = extent_walk(q, run->chunk, from >> CHUNK_SHIFT);
	for (from &= CHUNK - 1; *got < n && left != 0; from = 0) {
		uint64_t here = left < CHUNK - from ? left : CHUNK - from;

		if (!chunk_holds(q, chunk, from, here)) {
			op_damaged(q);
			return MPQ_DAMAGED;
		}
		iov[(*got)++] = (struct iovec){ (unsigned char *)at(q, chunk_offset(chunk)) + from, here };
		if ((left -= here) != 0)
			chunk = chunk_next(q, chunk);
	}
	return MPQ_OK;
}

int
mpq_run_whole(struct mpq *q, const struct mpq_run *run, uint64_t limit, uint64_t *msgs, uint64_t *bytes)
{
	struct piece p = { .first = run->chunk, .from = run->from, .bytes = run->bytes, .msgs = run->msgs,
		.framing = run->framing };

	if (limit >= run->bytes) {
		*msgs = run->msgs, *bytes = run->bytes;
		return MPQ_OK;
	}
	*msgs = *bytes = 0;
	if (run->msgs == 1)
		return MPQ_OK;
	if (extent_measure(q, &p, run->msgs, limit, msgs, bytes) != MPQ_OK) {
		op_damaged(q);
		return MPQ_DAMAGED;
	}
	if (*bytes > limit)                  /* it measures one at least */
		*msgs = *bytes = 0;
	return MPQ_OK;
}

/* ---- settle ---------------------------------------------------------------------------------------------- */

struct settle {
	struct op op;
	const struct mpq_run *run;
	uint64_t msgs, bytes;
	enum mpq_fate fate;
	const struct mpq_owner *owner;
	bool surplus, idle;
};

/* The taken extent of a run, unless the handle does not have it. */
static int
run_extent(struct mpq *q, const struct mpq_run *run, unsigned kind, struct piece *p)
{
	if (q->slot == 0 || !is_record(q, run->id) || extent_read(q, run->id, 1u << kind, p) != MPQ_OK ||
	    p->slot != q->slot || p->seq != run->seq || p->msgs != run->msgs || p->bytes != run->bytes)
		return MPQ_STALE;
	return MPQ_OK;
}

/* It stays with its holder: at the end of his list, joined with what is there. */
static int
settle_hold(struct mpq *q, const struct mpq_owner *owner, uint32_t r, struct piece *p)
{
	uint32_t slot, last;
	struct piece e;
	int err;

	if ((err = owner_holder(q, owner, p->side, 1, &slot)) != MPQ_OK)
		return err;
	add(q, &slot_at(q, slot)->held_msgs, p->msgs);
	p->kind = KIND_HELD, p->slot = slot;
	if ((last = HIGH(get(&slot_at(q, slot)->held))) != 0) {
		if (extent_read(q, last, 1u << KIND_HELD, &e) != MPQ_OK)
			return MPQ_DAMAGED;
		if (extent_adjoin(q, &e, p))
			return extent_merge(q, last, &e, p) == MPQ_OK ? record_give(q, r) : MPQ_DAMAGED;
	}
	extent_write(q, r, p);
	list_append(q, &slot_at(q, slot)->held, r);
	return MPQ_OK;
}

static int
settle_try(struct mpq *q, struct op *op)
{
	struct settle *settle = (struct settle *)op;
	struct side *s = side_at(q, op->side);
	uint32_t r = settle->run->id, front = 0;
	struct piece p, f;
	int err;

	if ((err = run_extent(q, settle->run, KIND_TAKEN, &p)) != MPQ_OK)
		return err;
	if (settle->msgs != 0 && settle->msgs < p.msgs) {
		if ((err = extent_split(q, r, &p, settle->msgs, settle->bytes, &front, &f)) != MPQ_OK)
			return err;
	} else if (settle->msgs != 0)
		front = r, f = p;
	/* Records are taken before any is given back: the holder's slot before the lists change. */
	if (front != 0 && settle->fate == MPQ_HOLD) {
		uint32_t holder;

		if ((err = owner_holder(q, settle->owner, p.side, 1, &holder)) != MPQ_OK)
			return err;
	}
	if (list_remove(q, &slot_at(q, q->slot)->list, r) != MPQ_OK)
		return MPQ_DAMAGED;
	if (front != r && (err = side_return(q, r, &p, &op->wakes)) != MPQ_OK)
		return err;
	if (front != 0) {
		add(q, &s->gets, f.msgs);
		if (settle->fate == MPQ_HOLD)
			err = settle_hold(q, settle->owner, front, &f);
		else {
			side_unheld(q, op->side, f.msgs, &op->wakes);
			if (settle->fate == MPQ_DONE)
				side_done(q, op->side, f.msgs, &op->wakes);
			err = extent_drop(q, front, &f);
		}
		if (err != MPQ_OK)
			return err;
	}
	settle->idle = get(&s->size) == 0;
	settle->surplus = chunk_surplus(q, settle->idle);
	return owner_release(q, q->slot);
}

int
mpq_settle(struct mpq *q, struct mpq_run *run, uint64_t msgs, uint64_t bytes, enum mpq_fate fate,
    const struct mpq_owner *owner)
{
	struct settle settle = { .op = { .try = settle_try, .side = q->in, .deadline = MPQ_FOREVER }, .run = run,
		.msgs = msgs, .bytes = bytes, .fate = fate, .owner = owner };
	int err;

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	if (run->id & PEEKED)
		return peek_over(q, run);
	err = op_run(q, &settle.op);
	owner_clean(q);
	if (err == MPQ_OK && settle.surplus)
		trim(q, settle.idle);
	return err;
}
