/* SPDX-License-Identifier: ISC
 *
 * get.c - one message out of the queue in one step: a small one is copied out and dropped under one hold of the lock.
 */
#include <string.h>

#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

struct get_one {
	struct op op;
	unsigned char *buf;
	size_t size, *len;
	bool surplus, idle;
};

static int
copy_out(struct mpq *q, const struct piece *p, uint64_t skip, unsigned char *to, size_t n)
{
	uint64_t from = p->from + skip;
	uint32_t chunk = extent_walk(q, p->first, from >> CHUNK_SHIFT);

	for (from &= CHUNK - 1; n > 0; from = 0, chunk = chunk_next(q, chunk)) {
		size_t here = n < CHUNK - from ? n : CHUNK - from;

		if (!chunk_holds(q, chunk, from, here))
			return MPQ_DAMAGED;
		memcpy(to, (unsigned char *)at(q, chunk_offset(chunk)) + from, here);
		to += here, n -= here;
	}
	return MPQ_OK;
}

/* Is it the last message, at the tail? Then its extent becomes idle (put.c). */
static bool
can_idle(const struct side *s, const uint64_t *list, uint32_t r, const struct piece *p)
{
	return list == &s->fresh && get(list) == PAIR(r, r) && p->first == LOW(get(&s->tail)) && p->last == p->first &&
	    !p->pinned;
}

/* The first message leaves the extent: nothing of it is left, or the extent begins after it. */
static int
shed_first(struct mpq *q, uint64_t *list, uint32_t r, struct piece *p, uint64_t bytes)
{
	uint64_t cut = p->from + bytes;
	uint32_t first = p->first, next;

	if (p->msgs == 1 && can_idle(side_at(q, p->side), list, r, p)) {
		set(q, &extent_at(q, r)->bytes, 0);
		set(q, &extent_at(q, r)->msgs, 0);
		return MPQ_OK;
	}
	if (p->msgs == 1)
		return list_remove(q, list, r) == MPQ_OK ? extent_drop(q, r, p) : MPQ_DAMAGED;
	if (cut >> CHUNK_SHIFT != 0) {
		if (!is_chunk(q, next = chunk_next(q, first)) || chunk_unref(q, first) != MPQ_OK)
			return MPQ_DAMAGED;
		first = next;
	}
	set(q, &extent_at(q, r)->place, PAIR(first, cut & (CHUNK - 1)));
	set(q, &extent_at(q, r)->bytes, p->bytes - bytes);
	set(q, &extent_at(q, r)->msgs, p->msgs - 1);
	set(q, &extent_at(q, r)->seq, p->seq + 1);
	return MPQ_OK;
}

static int
get_try(struct mpq *q, struct op *op)
{
	struct get_one *one = (struct get_one *)op;
	struct side *s = side_at(q, op->side);
	uint64_t *list, msgs, bytes, payload;
	uint32_t r = side_first(q, op->side, &list);
	struct piece p;
	int err;

	if (r == 0)
		return take_nothing(q, s, op->side, NULL);
	if (get(&s->flags) & SIDE_DROP)
		return NEED_DROP;
	if (extent_read(q, r, QUEUED, &p) != MPQ_OK || p.msgs == 0 || p.side != op->side ||
	    extent_measure(q, &p, 1, 0, &msgs, &bytes) != MPQ_OK || bytes < framing_bytes(p.framing))
		return MPQ_DAMAGED;
	payload = bytes - framing_bytes(p.framing);
	*one->len = payload;
	if (payload > one->size || payload > SMALL)
		return MPQ_TOOBIG;
	if (copy_out(q, &p, p.framing == MPQ_LENGTHS ? 4 : 0, one->buf, payload) != MPQ_OK)
		return MPQ_DAMAGED;
	if ((err = shed_first(q, list, r, &p, bytes)) != MPQ_OK)
		return err;
	if (get(&s->size) == 0 || get(&s->bytes) < payload)
		return MPQ_DAMAGED;
	set(q, &s->size, get(&s->size) - 1);
	set(q, &s->bytes, get(&s->bytes) - payload);
	add(q, &s->gets, 1);
	wake_note(q, &op->wakes, op->side, WAIT_PUT, get(&s->maxbytes) != 0 ? UINT64_MAX : 1);
	if ((get(&s->flags) & SIDE_CLOSED) && get(&s->size) == 0)
		wake_note(q, &op->wakes, op->side, WAIT_GET, UINT64_MAX);
	one->idle = get(&s->size) == 0;
	one->surplus = chunk_surplus(q, one->idle);
	return MPQ_OK;
}

/* A message too long to be copied under the lock: taken, copied, settled. */
static int
get_large(struct mpq *q, void *buf, size_t size, size_t *len, mpq_time deadline)
{
	struct mpq_want want = { .msgs = 1, .bytes = 0 };
	struct mpq_run run;
	struct piece p;
	size_t over;
	int err;

	if ((err = mpq_take(q, &want, 0, deadline, &run)) != MPQ_OK)
		return err;
	over = framing_bytes(run.framing);
	*len = run.bytes - over;
	if (*len > size) {
		mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL);
		return MPQ_TOOBIG;
	}
	p = (struct piece){ .first = run.chunk, .from = run.from };
	if (copy_out(q, &p, run.framing == MPQ_LENGTHS ? 4 : 0, buf, *len) != MPQ_OK) {
		op_damaged(q);
		return MPQ_DAMAGED;
	}
	return mpq_settle(q, &run, 1, run.bytes, MPQ_GOT, NULL);
}

int
mpq_get(struct mpq *q, void *buf, size_t size, size_t *len, mpq_time deadline)
{
	struct get_one one;
	int err;

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	op_init(&one.op, get_try, q->in, WAIT_GET, MPQ_EMPTY, deadline);
	one.op.watched = &side_at(q, q->in)->size;
	one.buf = buf, one.size = size, one.len = len;
	owner_look_first(q, deadline);
	err = op_run(q, &one.op);
	if (err == MPQ_TOOBIG && *len > SMALL && *len <= size)
		return get_large(q, buf, size, len, deadline);
	if (q->garbage)
		owner_clean(q);
	if (err == MPQ_OK && one.surplus)
		trim(q, one.idle);
	return err;
}
