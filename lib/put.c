/* SPDX-License-Identifier: ISC
 *
 * put.c - one message into the queue.
 *
 * A small message is copied to the tail of the queue under the lock: the tail is a chunk of which the side has one
 * reference, and the last fresh extent usually ends where it is filled to. A large one goes through a writer
 * (writer.c), which copies outside the lock.
 *
 * When mpq_get takes the only message, its extent stays in the list, idle: with no messages and no bytes, in the tail.
 * The next put fills it again, at the start of the chunk: no record, no reference and no list changes, which were a
 * fifth of the time of a put and a get.
 */
#include <string.h>

#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

struct put {
	struct op op;
	const unsigned char *msg;
	size_t len;
	bool newline;                /* does it contain one? */
	unsigned framing;            /* chosen; decides the bytes around it */
	uint32_t record;             /* the last fresh extent, 0: none */
	struct piece e;              /* the same */
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
	return framing == MPQ_LENGTHS || (framing == MPQ_LINES && !put->newline) ||
	    (framing == MPQ_NULS && (put->len == 0 || memchr(put->msg, '\0', put->len) == NULL));
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

static bool
is_idle(const struct put *put)
{
	return put->record != 0 && put->e.msgs == 0;
}

/* Room at the tail: where the message begins, and the chunk where it ends. */
static int
put_room(struct mpq *q, struct side *s, const struct put *put, uint32_t *chunk, uint32_t *fill, uint32_t *last)
{
	uint64_t tail = get(&s->tail);
	size_t need = put_bytes(put);
	uint32_t capacity;
	int err;

	*chunk = LOW(tail), *fill = HIGH(tail);
	if (*chunk != 0) {
		if (!is_chunk(q, *chunk) || *fill > (capacity = chunk_capacity(q, *chunk)))
			return MPQ_DAMAGED;
		if (chunk_extra(q, *chunk) == (is_idle(put) && put->e.first == *chunk))
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

/* Fill the idle extent. */
static int
put_revive(struct mpq *q, const struct put *put, const struct piece *m)
{
	struct extent *x = extent_at(q, put->record);
	uint64_t end = PAIR(m->last, 0), what = WHAT(m->kind, m->framing, m->side, 0, 0);

	if (m->first != put->e.first) {
		chunk_ref(q, m->first);
		if (chunk_unref(q, put->e.first) != MPQ_OK)
			return MPQ_DAMAGED;
	}
	if (m->first != m->last)
		chunk_ref(q, m->last);
	set(q, &x->place, PAIR(m->first, m->from));
	if (get(&x->end) != end)
		set(q, &x->end, end);
	set(q, &x->bytes, m->bytes);
	set(q, &x->msgs, 1);
	set(q, &x->seq, m->seq);
	if (get(&x->what) != what)
		set(q, &x->what, what);
	return MPQ_OK;
}

/* Link the message: to the last extent if it ends there, else as a new one. */
static int
put_extent(struct mpq *q, struct side *s, const struct put *put, const struct piece *m)
{
	struct extent *x = extent_at(q, put->record);
	uint32_t r;
	int err;

	if (is_idle(put))
		return put_revive(q, put, m);
	if (put->record != 0 && put->e.bytes + m->bytes <= EXTENT_MAX && extent_adjoin(q, &put->e, m)) {
		set(q, &x->bytes, put->e.bytes + m->bytes);
		set(q, &x->msgs, put->e.msgs + 1);
		if (put->e.last != m->last) {
			set(q, &x->end, PAIR(m->last, 0));
			chunk_ref(q, m->last);
		}
		return MPQ_OK;
	}
	if ((err = extent_new(q, m, &r)) != MPQ_OK)
		return err;
	list_append(q, &s->fresh, r);
	chunk_ref(q, m->first);
	if (m->first != m->last)
		chunk_ref(q, m->last);
	return MPQ_OK;
}

/* The message, n bytes with its framing, is in place. The tail moves on. */
static int
put_link(struct mpq *q, struct side *s, const struct put *put, uint32_t chunk, uint32_t fill, uint32_t last)
{
	size_t n = put_bytes(put);
	bool spans = chunk != last && fill < CHUNK && chunk != 0 && chunk_capacity(q, chunk) == CHUNK;
	struct piece m = { .first = spans || chunk == last ? chunk : last, .from = spans || chunk == last ? fill : 0,
		.last = last, .bytes = n, .msgs = 1, .seq = get(&s->puts), .kind = KIND_FRESH,
		.framing = put->framing, .side = put->op.side };
	uint32_t end = (uint32_t)(m.first == last ? m.from + n : m.from + n - CHUNK), left = LOW(get(&s->tail));
	int err;

	if ((err = put_extent(q, s, put, &m)) != MPQ_OK)
		return err;
	/* The chunk that the tail leaves loses the tail's reference; in the new one, chunk_take's became it. */
	if (left != 0 && left != last && chunk_unref(q, left) != MPQ_OK)
		return MPQ_DAMAGED;
	set(q, &s->tail, PAIR(last, end));
	return MPQ_OK;
}

/* Most messages: they follow the last one in its extent and its chunk, or fill the idle extent where it begins. The same
 * as put_room and put_link do, without what they do for the other cases; false: nothing was done, it is none of these. */
static bool
put_quick(struct mpq *q, struct side *s, struct put *put)
{
	uint32_t r = HIGH(get(&s->fresh)), chunk = LOW(get(&s->tail)), fill = HIGH(get(&s->tail));
	struct extent *x = extent_at(q, r);
	uint64_t what, place, bytes, msgs, puts = get(&s->puts);
	size_t n;

	if (!is_record(q, r) || !is_chunk(q, chunk))
		return false;
	what = get(&x->what), place = get(&x->place), bytes = get(&x->bytes), msgs = get(&x->msgs);
	put->framing = WHAT_FRAMING(what);
	if (what != WHAT(KIND_FRESH, put->framing, put->op.side, 0, 0) || LOW(get(&x->end)) != chunk ||
	    put->framing == MPQ_BARE || !fits_framing(put, put->framing))
		return false;
	if (msgs == 0 && (place != PAIR(chunk, 0) || chunk_extra(q, chunk) != 1))
		return false;
	if (msgs != 0 && ((HIGH(place) + bytes) % CHUNK != fill || fill == 0 || get(&x->seq) + msgs != puts))
		return false;
	fill = msgs != 0 ? fill : 0;
	n = put_bytes(put);
	if (fill > chunk_capacity(q, chunk) || n > chunk_capacity(q, chunk) - fill || bytes + n > EXTENT_MAX)
		return false;
	put_copy(q, chunk, fill, put, 0, n);
	if (msgs == 0)
		set(q, &x->seq, puts);
	set(q, &x->bytes, bytes + n);
	set(q, &x->msgs, msgs + 1);
	if (get(&s->tail) != PAIR(chunk, fill + n))
		set(q, &s->tail, PAIR(chunk, fill + n));
	return true;
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
	uint32_t chunk, fill, last;
	size_t first;
	int err;

	if ((err = put_bounds(s, put->len)) != MPQ_OK)
		return err;
	if (put_quick(q, s, put))
		goto counted;
	put->framing = put->newline ? MPQ_LENGTHS : MPQ_LINES;
	if ((put->record = HIGH(get(&s->fresh))) != 0) {
		if (extent_read(q, put->record, 1u << KIND_FRESH, &put->e) != MPQ_OK)
			return MPQ_DAMAGED;
		if (!is_idle(put) && fits_framing(put, put->e.framing))
			put->framing = put->e.framing;
	}
	op->bytes = put_bytes(put);
	if ((err = put_room(q, s, put, &chunk, &fill, &last)) != MPQ_OK)
		return err;
	if (chunk != 0 && chunk_capacity(q, chunk) == CHUNK && fill < CHUNK && chunk != last) {
		first = CHUNK - fill;
		put_copy(q, chunk, fill, put, 0, first);
		put_copy(q, last, 0, put, first, put_bytes(put) - first);
	} else
		put_copy(q, last, chunk == last ? fill : 0, put, 0, put_bytes(put));
	if ((err = put_link(q, s, put, chunk, fill, last)) != MPQ_OK)
		return err;
counted:
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
	w.patience = deadline == MPQ_FOREVER ? deadline : deadline > now ? deadline - now : 0;
	if ((err = mpq_writer_append(&w, msg, len)) == MPQ_OK)
		err = mpq_writer_commit(&w, 1, len, w.patience, &put, &bytes);
	mpq_writer_reset(&w);
	return err;
}

int
mpq_put(struct mpq *q, const void *msg, size_t len, mpq_time deadline)
{
	struct put put;
	int err;

	if (q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if (len > SMALL)
		return put_large(q, msg, len, deadline);
	if ((err = owner_look_across(q, deadline)) != MPQ_OK)
		return err;
	op_init(&put.op, put_try, q->out, WAIT_PUT, MPQ_FULL, deadline);
	put.msg = msg, put.len = len;
	put.newline = len != 0 && memchr(msg, '\n', len) != NULL;
	return op_run(q, &put.op);
}

static int
can_put_try(struct mpq *q, struct op *op)
{
	return get(&side_at(q, op->side)->flags) & SIDE_CLOSED ? MPQ_CLOSED : MPQ_OK;
}

int
mpq_can_put(struct mpq *q, mpq_time deadline)
{
	struct op op = { .try = can_put_try, .side = q->out, .deadline = deadline };
	int err;

	if (q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if ((err = owner_look_across(q, deadline)) != MPQ_OK)
		return err;
	return op_run(q, &op);
}

uint64_t
mpq_most_bytes(const struct mpq *q)
{
	uint64_t maxbytes = q->out == NO_SIDE ? 0 : get(&side_at(q, q->out)->maxbytes);

	return maxbytes != 0 ? maxbytes : UINT64_MAX;
}
