/* SPDX-License-Identifier: ISC
 *
 * queue.c - messages in and out: put, take, settle, get.
 *
 * A small message is copied to the tail of the queue under the lock: the tail is a chunk of which the side has one
 * reference, and the last fresh extent usually ends where it is filled to. A large one goes through a writer
 * (writer.c), which copies outside the lock.
 *
 * Taking moves extents from the queue to the list of the process's slot; the bytes stay where they are and are
 * written from there. Settling drops what was written and returns the rest. If the process dies in between, reap.c
 * does the returning.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

#define SMALL PAGE                   /* bytes copied under the lock: well under a microsecond */
#define QUEUED (1u << KIND_FRESH | 1u << KIND_RETURNED)

/* ---- put ------------------------------------------------------------------------------------------------- */

struct put {
	struct op op;
	const unsigned char *msg;
	size_t len;
	bool newline, nul;           /* does it contain one? */
	unsigned framing;            /* chosen; decides the bytes around it */
};

static size_t
put_bytes(const struct put *put)
{
	return put->len + framing_bytes(put->framing);
}

/* Can it be told apart in a run of that framing? Lengths hold anything, and stay once they are there, so that
 * alternating messages do not shatter the queue. */
static bool
fits_framing(const struct put *put, unsigned framing)
{
	return framing == MPQ_LENGTHS || (framing == MPQ_LINES && !put->newline) || (framing == MPQ_NULS && !put->nul);
}

static void
put_copy(struct mpq *q, uint32_t chunk, uint32_t fill, const struct put *put, size_t from, size_t n)
{
	unsigned char *to = (unsigned char *)at(q, chunk_offset(chunk)) + fill;
	unsigned char front[4] = { (unsigned char)(put->len >> 24), (unsigned char)(put->len >> 16),
		(unsigned char)(put->len >> 8), (unsigned char)put->len };
	size_t before = put->framing == MPQ_LENGTHS ? sizeof front : 0, part;

	if (from < before) {
		part = before - from < n ? before - from : n;
		memcpy(to, front + from, part);
		to += part, from += part, n -= part;
	}
	from -= before;
	if (n > 0 && from < put->len) {
		part = put->len - from < n ? put->len - from : n;
		memcpy(to, put->msg + from, part);
		to += part, n -= part;
	}
	if (n > 0)
		*to = put->framing == MPQ_LINES ? '\n' : '\0';
}

/* Room at the tail: where the message begins, and the chunk where it ends. */
static int
put_room(struct mpq *q, struct side *s, size_t need, uint32_t *chunk, uint32_t *fill, uint32_t *last)
{
	uint64_t tail = get(&s->tail);
	uint32_t capacity;
	int err;

	*chunk = LOW(tail), *fill = HIGH(tail);
	if (*chunk != 0) {
		if (!is_chunk(q, *chunk) || *fill > (capacity = chunk_capacity(q, *chunk)))
			return MPQ_DAMAGED;
		if (chunk_extra(q, *chunk) == 0)
			*fill = 0;           /* nobody else refers to it: begin again, where the cache is warm */
		*last = *chunk;
		if (need <= capacity - *fill)
			return MPQ_OK;
		if (capacity == CHUNK && *fill < CHUNK) {
			if ((err = chunk_take(q, last)) != MPQ_OK)
				return err;
			chunk_join(q, *chunk, *last);
			return MPQ_OK;       /* it begins in one and ends in the next */
		}
	}
	if ((err = chunk_take_small(q, need, last)) != MPQ_OK)
		return err;
	if (*chunk != 0 && *fill == CHUNK && chunk_capacity(q, *last) == CHUNK)
		chunk_join(q, *chunk, *last);  /* the last extent may go on in it */
	return MPQ_OK;
}

/* Link the message: to the last extent if it ends there, else as a new one. The tail moves on. */
static int
put_link(struct mpq *q, struct side *s, const struct put *put, uint32_t chunk, uint32_t fill, uint32_t last)
{
	size_t n = put_bytes(put);
	bool spans = chunk != last && fill < CHUNK && chunk != 0 && chunk_capacity(q, chunk) == CHUNK;
	struct piece m = { .first = spans || chunk == last ? chunk : last, .from = spans || chunk == last ? fill : 0,
		.last = last, .bytes = n, .msgs = 1, .seq = get(&s->puts), .kind = KIND_FRESH,
		.framing = put->framing, .side = put->op.side }, e;
	uint32_t tail = HIGH(get(&s->fresh)), end;
	int err;

	end = (uint32_t)(m.first == last ? m.from + n : m.from + n - CHUNK);
	if (tail != 0) {
		if (extent_read(q, tail, 1u << KIND_FRESH, &e) != MPQ_OK)
			return MPQ_DAMAGED;
		if (e.bytes + n <= EXTENT_MAX && extent_adjoin(q, &e, &m)) {
			struct extent *x = extent_at(q, tail);

			set(q, &x->bytes, e.bytes + n);
			set(q, &x->msgs, e.msgs + 1);
			if (e.last != last) {
				set(q, &x->end, PAIR(last, 0));
				chunk_ref(q, last);
			}
			goto linked;
		}
	}
	if ((err = extent_new(q, &m, &tail)) != MPQ_OK)
		return err;
	list_append(q, &s->fresh, tail);
	chunk_ref(q, m.first);
	if (m.first != last)
		chunk_ref(q, last);
linked:
	/* The chunk that the tail leaves loses the tail's reference; in the new one, chunk_take's became it. */
	if (LOW(get(&s->tail)) != 0 && LOW(get(&s->tail)) != last && chunk_unref(q, LOW(get(&s->tail))) != MPQ_OK)
		return MPQ_DAMAGED;
	set(q, &s->tail, PAIR(last, end));
	return MPQ_OK;
}

static int
put_bounds(const struct side *s, size_t len)
{
	uint64_t maxsize = get(&s->maxsize), maxbytes = get(&s->maxbytes), bytes = get(&s->bytes);

	if (get(&s->flags) & SIDE_CLOSED)
		return MPQ_CLOSED;
	if (maxbytes != 0 && len > maxbytes)
		return MPQ_TOOBIG;
	if ((maxsize != 0 && get(&s->size) >= maxsize) || (maxbytes != 0 && bytes + len > maxbytes))
		return MPQ_FULL;
	return MPQ_OK;
}

static int
put_try(struct mpq *q, struct op *op)
{
	struct put *put = (struct put *)op;
	struct side *s = side_at(q, op->side);
	uint32_t chunk, fill, last, tail = HIGH(get(&s->fresh));
	size_t first;
	struct piece e;
	int err;

	if ((err = put_bounds(s, put->len)) != MPQ_OK)
		return err;
	put->framing = put->newline ? MPQ_LENGTHS : MPQ_LINES;
	if (tail != 0) {
		if (extent_read(q, tail, 1u << KIND_FRESH, &e) != MPQ_OK)
			return MPQ_DAMAGED;
		if (fits_framing(put, e.framing))
			put->framing = e.framing;
	}
	op->bytes = put_bytes(put);
	if ((err = put_room(q, s, put_bytes(put), &chunk, &fill, &last)) != MPQ_OK)
		return err;
	if (chunk != 0 && chunk_capacity(q, chunk) == CHUNK && fill < CHUNK && chunk != last) {
		first = CHUNK - fill;
		put_copy(q, chunk, fill, put, 0, first);
		put_copy(q, last, 0, put, first, put_bytes(put) - first);
	} else
		put_copy(q, last, chunk == last ? fill : 0, put, 0, put_bytes(put));
	if ((err = put_link(q, s, put, chunk, fill, last)) != MPQ_OK)
		return err;
	add(q, &s->size, 1);
	add(q, &s->bytes, put->len);
	add(q, &s->puts, 1);
	wake_note(q, &op->wakes, op->side, WAIT_GET, 1);
	return MPQ_OK;
}

/* A message that is not copied under the lock: through a reservation, as a run of its own. */
static int
put_large(struct mpq *q, const void *msg, size_t len, mpq_time deadline)
{
	uint64_t put, bytes;
	struct mpq_writer w;
	mpq_time now = mpq_now();
	int err;

	mpq_writer_init(&w, q, MPQ_BARE);
	if ((err = mpq_writer_append(&w, msg, len)) == MPQ_OK)
		err = mpq_writer_commit(&w, 1, len, deadline == MPQ_FOREVER ? deadline : deadline > now ?
		    deadline - now : 0, &put, &bytes);
	mpq_writer_reset(&w);
	return err;
}

int
mpq_put(struct mpq *q, const void *msg, size_t len, mpq_time deadline)
{
	struct put put = { .op = { .try = put_try, .side = q->out, .kind = WAIT_PUT, .wait_code = MPQ_FULL,
		.deadline = deadline }, .msg = msg, .len = len };

	if (q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if (len > SMALL)
		return put_large(q, msg, len, deadline);
	put.newline = len != 0 && memchr(msg, '\n', len) != NULL;
	put.nul = len != 0 && memchr(msg, '\0', len) != NULL;
	return op_run(q, &put.op);
}

static int
can_put_try(struct mpq *q, struct op *op)
{
	return get(&side_at(q, op->side)->flags) & SIDE_CLOSED ? MPQ_CLOSED : MPQ_OK;
}

int
mpq_can_put(struct mpq *q)
{
	struct op op = { .try = can_put_try, .side = q->out, .deadline = MPQ_FOREVER };

	return q->out == NO_SIDE ? MPQ_WRONGEND : op_run(q, &op);
}

/* ---- take ------------------------------------------------------------------------------------------------ */

struct take {
	struct op op;
	const struct mpq_want *want;
	struct mpq_run *run;
};

/* Nothing is there: Empty, or Closed if nothing can come any more. What `owner` holds, and what this process has in
 * hand, does not come by waiting for it. */
static int
take_nothing(struct mpq *q, const struct side *s, uint32_t side, const struct mpq_owner *owner)
{
	uint64_t held = get(&s->held);

	if ((get(&s->flags) & SIDE_CLOSED) == 0)
		return MPQ_EMPTY;
	if (held == 0 || owner_holds(q, owner, side) + owner_in_hand(q, side) >= held)
		return MPQ_CLOSED;
	return MPQ_EMPTY;
}

/* A bulk getter leaves the others who wait their share: so much of what is there, and then the time to come for it. Who
 * was woken needs a moment to run, in which we could take share after share; so the second one waits until they have
 * come, or have shown that they do not (stopped, say): a fast getter is not held up by a slow one more than once. */
#define TURN ((mpq_time)20000000)    /* ns for a woken process to run, on a busy machine */
#define TURN_NAP ((mpq_time)200000)

static bool
is_our_turn(struct mpq *q, uint64_t others, uint64_t size)
{
	mpq_time now;

	if (!q->had_share || others == q->given_up || size <= others) /* with fewer messages not all have been woken */
		return true;
	now = mpq_now();
	if (q->turn_over == 0)
		q->turn_over = now + TURN;
	if (now < q->turn_over)
		return false;
	q->given_up = others;
	return true;
}

int
let_others(struct mpq *q)
{
	struct timespec nap = { 0, TURN_NAP };

	(void)q;
	nanosleep(&nap, NULL);
	return MPQ_OK;
}

/* How many messages at most; 0: it is not our turn. */
static uint64_t
take_share(struct mpq *q, const struct side *s, const struct mpq_want *want)
{
	uint64_t others = get(&s->waiting[WAIT_GET]), size = get(&s->size), share;

	if ((want->flags & MPQ_SHARE) == 0)
		return want->msgs;
	if (others != 0 && owner_is_self(q, q->slot) && (HIGH(get(&slot_at(q, q->slot)->who)) & 0xff) == WAIT_GET)
		others--;                    /* that is us */
	if (others == 0) {
		q->given_up = 0;
		return want->msgs;
	}
	if (!is_our_turn(q, others, size))
		return 0;
	q->had_share = true, q->turn_over = 0;
	share = size / (others + 1);
	return share < 1 ? 1 : share < want->msgs ? share : want->msgs;
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
	uint64_t *list, msgs, bytes, payload, share;
	uint32_t r = side_first(q, op->side, &list), slot, front;
	struct piece p, f;
	int err;

	if (r == 0) {
		q->had_share = false;
		return take_nothing(q, s, op->side, take->want->owner);
	}
	if (get(&s->flags) & SIDE_DROP)
		return NEED_DROP;
	if ((share = take_share(q, s, take->want)) == 0)
		return NEED_TURN;
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if (extent_read(q, r, QUEUED, &p) != MPQ_OK ||
	    extent_measure(q, &p, share, take->want->bytes, &msgs, &bytes) != MPQ_OK)
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
	return MPQ_OK;
}

int
mpq_take(struct mpq *q, const struct mpq_want *want, uint64_t after, mpq_time deadline, struct mpq_run *run)
{
	struct take take = { .op = { .try = take_try, .side = q->in, .kind = WAIT_GET, .wait_code = MPQ_EMPTY,
		.deadline = deadline }, .want = want, .run = run };

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	owner_look_first(q);
	if ((want->flags & (MPQ_SHARE | MPQ_PEEK)) == MPQ_SHARE) {
		take.op.watched = &side_at(q, q->in)->size;
		q->spin += q->spin == 0 ? 8 : 0;
	}
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

		if (!is_chunk(q, chunk)) {
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

/* ---- get ------------------------------------------------------------------------------------------------- */

struct get_one {
	struct op op;
	unsigned char *buf;
	size_t size, *len;
	bool surplus, idle;
};

static void
copy_out(struct mpq *q, const struct piece *p, uint64_t skip, unsigned char *to, size_t n)
{
	uint64_t from = p->from + skip;
	uint32_t chunk = extent_walk(q, p->first, from >> CHUNK_SHIFT);

	for (from &= CHUNK - 1; n > 0 && is_chunk(q, chunk); from = 0, chunk = chunk_next(q, chunk)) {
		size_t here = n < CHUNK - from ? n : CHUNK - from;

		memcpy(to, (unsigned char *)at(q, chunk_offset(chunk)) + from, here);
		to += here, n -= here;
	}
}

/* The first message leaves the extent: nothing of it is left, or the extent begins after it. */
static int
shed_first(struct mpq *q, uint64_t *list, uint32_t r, struct piece *p, uint64_t bytes)
{
	uint64_t cut = p->from + bytes;
	uint32_t first = p->first, next;

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
	if (extent_read(q, r, QUEUED, &p) != MPQ_OK || extent_measure(q, &p, 1, 0, &msgs, &bytes) != MPQ_OK)
		return MPQ_DAMAGED;
	payload = bytes - framing_bytes(p.framing);
	*one->len = payload;
	if (payload > one->size || payload > SMALL)
		return MPQ_TOOBIG;
	copy_out(q, &p, p.framing == MPQ_LENGTHS ? 4 : 0, one->buf, payload);
	if ((err = shed_first(q, list, r, &p, bytes)) != MPQ_OK)
		return err;
	if (get(&s->size) == 0 || get(&s->bytes) < payload)
		return MPQ_DAMAGED;
	set(q, &s->size, get(&s->size) - 1);
	set(q, &s->bytes, get(&s->bytes) - payload);
	add(q, &s->gets, 1);
	wake_note(q, &op->wakes, op->side, WAIT_PUT, get(&s->maxbytes) != 0 ? UINT64_MAX : 1);
	side_unheld(q, op->side, 0, &op->wakes);
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
	copy_out(q, &p, run.framing == MPQ_LENGTHS ? 4 : 0, buf, *len);
	return mpq_settle(q, &run, 1, run.bytes, MPQ_GOT, NULL);
}

int
mpq_get(struct mpq *q, void *buf, size_t size, size_t *len, mpq_time deadline)
{
	struct get_one one = { .op = { .try = get_try, .side = q->in, .kind = WAIT_GET, .wait_code = MPQ_EMPTY,
		.deadline = deadline }, .buf = buf, .size = size, .len = len };
	int err;

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	owner_look_first(q);
	err = op_run(q, &one.op);
	if (err == MPQ_TOOBIG && *len > SMALL && *len <= size)
		return get_large(q, buf, size, len, deadline);
	owner_clean(q);
	if (err == MPQ_OK && one.surplus)
		trim(q, one.idle);
	return err;
}
