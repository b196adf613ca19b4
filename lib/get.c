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

/* Length of the message at `text`, of which `bytes` of its extent are in the chunk, without its framing; SIZE_MAX: its end
 * is not there. */
static inline size_t
length_at(const unsigned char *text, uint64_t bytes, unsigned framing)
{
	const unsigned char *end;
	size_t n;

	if (framing == MPQ_LENGTHS) {
		if (bytes < 4)
			return SIZE_MAX;
		n = (size_t)text[0] << 24 | (size_t)text[1] << 16 | (size_t)text[2] << 8 | text[3];
		return n <= bytes - 4 ? n : SIZE_MAX;
	}
	if (framing != MPQ_LINES && framing != MPQ_NULS)
		return SIZE_MAX;
	end = memchr(text, framing == MPQ_LINES ? '\n' : '\0', bytes);
	return end != NULL ? (size_t)(end - text) : SIZE_MAX;
}

/* Most messages: the first of the fresh ones, with all of it in one chunk, and not the last of its extent, or the only one
 * of the queue. The same as get_oldest and shed_first do; false: nothing was done, it is none of these, or it does not
 * look as it should. */
static bool
get_quick(struct mpq *q, struct side *s, struct get_one *one, uint64_t *payload)
{
	uint64_t fresh = get(&s->fresh), what, place, bytes, msgs, here, all;
	uint32_t r = LOW(fresh), chunk, from;
	const unsigned char *text;
	struct extent *x;
	unsigned framing;
	size_t n;

	if (LOW(get(&s->returned)) != 0 || !is_record(q, r))
		return false;
	x = extent_at(q, r);
	what = get(&x->what), place = get(&x->place), bytes = get(&x->bytes), msgs = get(&x->msgs);
	framing = WHAT_FRAMING(what), chunk = LOW(place), from = HIGH(place);
	if (what != WHAT(KIND_FRESH, framing, one->op.side, 0, 0) || msgs == 0 || from >= CHUNK)
		return false;
	here = bytes < CHUNK - from ? bytes : CHUNK - from;
	if (!chunk_holds(q, chunk, from, here))
		return false;
	text = (unsigned char *)at(q, chunk_offset(chunk)) + from;
	if ((n = length_at(text, here < SMALL ? here : SMALL, framing)) > one->size || n == SIZE_MAX)
		return false;
	all = n + framing_bytes(framing);
	if (msgs == 1 ? fresh != PAIR(r, r) || LOW(get(&s->tail)) != chunk || LOW(get(&x->end)) != chunk || all != bytes :
	    from + all >= CHUNK || all >= bytes)
		return false;
	if (n != 0)                          /* else there may be no buffer */
		memcpy(one->buf, text + (framing == MPQ_LENGTHS ? 4 : 0), n);
	if (msgs != 1) {
		set(q, &x->place, PAIR(chunk, from + all));
		set(q, &x->seq, get(&x->seq) + 1);
	}
	set(q, &x->bytes, bytes - all);
	set(q, &x->msgs, msgs - 1);
	*payload = n;
	return true;
}

/* Any message: the oldest. */
static int
get_oldest(struct mpq *q, struct get_one *one, uint64_t *list, uint32_t r, uint64_t *payload)
{
	uint64_t msgs, bytes;
	struct piece p;

	if (extent_read(q, r, QUEUED, &p) != MPQ_OK || p.msgs == 0 || p.side != one->op.side ||
	    extent_measure(q, &p, 1, 0, &msgs, &bytes) != MPQ_OK || bytes < framing_bytes(p.framing))
		return MPQ_DAMAGED;
	*one->len = *payload = bytes - framing_bytes(p.framing);
	if (*payload > one->size || *payload > SMALL)
		return MPQ_TOOBIG;
	if (copy_out(q, &p, p.framing == MPQ_LENGTHS ? 4 : 0, one->buf, *payload) != MPQ_OK)
		return MPQ_DAMAGED;
	return shed_first(q, list, r, &p, bytes);
}

static int
get_try(struct mpq *q, struct op *op)
{
	struct get_one *one = (struct get_one *)op;
	struct side *s = side_at(q, op->side);
	uint64_t *list, payload;
	uint32_t r = side_first(q, op->side, &list);
	int err;

	if (r == 0)
		return take_nothing(q, s, op->side, NULL);
	if (get(&s->flags) & SIDE_DROP)
		return NEED_DROP;
	if (!get_quick(q, s, one, &payload) && (err = get_oldest(q, one, list, r, &payload)) != MPQ_OK)
		return err;
	*one->len = payload;
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
	one.op.looks = true;
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
