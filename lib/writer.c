/* SPDX-License-Identifier: ISC
 *
 * writer.c - putting runs of messages that the caller has read straight into the queue's memory.
 *
 * A reservation is an extent without messages in the list of the process's slot: a chain of chunks that nobody else
 * touches. The caller fills it outside the lock and says how many whole messages there are; commit links them as one
 * extent, some tens of nanoseconds under the lock for thousands of messages, and keeps what follows (a partial last
 * message) in the reservation. If the process dies, the reservation's chunks are freed.
 *
 * Reservation: place = first chunk, 0; bytes = 64 KiB for each chunk, so that its span is their number.
 */
#include <errno.h>
#include <string.h>

#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "side.h"

struct write {
	struct op op;
	struct mpq_writer *w;
	uint32_t chunk, from;        /* the one added, and where its free part begins */
	uint64_t msgs, bytes;        /* wanted; then linked */
	uint32_t record;             /* the reservation's, if it is new */
};

void
mpq_writer_init(struct mpq_writer *w, struct mpq *q, enum mpq_framing framing)
{
	*w = (struct mpq_writer){ .q = q, .framing = framing, .patience = MPQ_FOREVER };
}

static mpq_time
deadline_after(mpq_time patience)
{
	return patience == MPQ_FOREVER ? MPQ_FOREVER : patience <= 0 ? MPQ_NOW : mpq_now() + patience;
}

static int
reservation_read(struct mpq *q, const struct mpq_writer *w, struct piece *p)
{
	if (q->slot == 0 || extent_read(q, w->reservation, 1u << KIND_RESERVED, p) != MPQ_OK || p->slot != q->slot)
		return MPQ_STALE;
	return MPQ_OK;
}

/* The first chunk of a reservation: the side's tail, if there is some room in it, so that many short runs do not take a
 * chunk each; the tail's reference becomes ours, and reset gives it back. Else a free one. */
static int
first_chunk(struct mpq *q, uint32_t side, uint32_t *chunk, uint32_t *from)
{
	struct side *s = side_at(q, side);
	uint64_t tail = get(&s->tail);
	uint32_t fill = HIGH(tail);

	*from = 0;
	if (side_drop_idle(q, side) != MPQ_OK)
		return MPQ_DAMAGED;
	if (LOW(tail) == 0 || !is_chunk(q, LOW(tail)) || chunk_capacity(q, LOW(tail)) != CHUNK)
		return chunk_take(q, chunk);
	if (chunk_extra(q, LOW(tail)) == 0)
		fill = 0;                    /* nobody else refers to it */
	if (fill > CHUNK - PAGE)
		return chunk_take(q, chunk);
	set(q, &s->tail, 0);
	*chunk = LOW(tail), *from = fill;
	return MPQ_OK;
}

static int
space_try(struct mpq *q, struct op *op)
{
	struct write *write = (struct write *)op;
	struct mpq_writer *w = write->w;
	struct piece p = { .kind = KIND_RESERVED, .framing = w->framing, .side = op->side };
	uint32_t slot, record;
	int err;

	if (get(&side_at(q, op->side)->flags) & SIDE_CLOSED)
		return MPQ_CLOSED;
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if (w->reservation == 0) {
		if ((err = first_chunk(q, op->side, &write->chunk, &write->from)) != MPQ_OK)
			return err;
		p.first = p.last = write->chunk, p.slot = slot, p.bytes = CHUNK;
		if ((err = extent_new(q, &p, &record)) != MPQ_OK)
			return err;
		list_append(q, &slot_at(q, slot)->list, record);
		write->record = record;
		return MPQ_OK;
	}
	if ((err = reservation_read(q, w, &p)) != MPQ_OK || (err = chunk_take(q, &write->chunk)) != MPQ_OK)
		return err;
	write->from = 0;
	chunk_join(q, p.last, write->chunk);
	set(q, &extent_at(q, w->reservation)->end, PAIR(write->chunk, slot));
	set(q, &extent_at(q, w->reservation)->bytes, p.bytes + CHUNK);
	return MPQ_OK;
}

int
mpq_writer_space(struct mpq_writer *w, void **space, size_t *size)
{
	struct write write = { .op = { .try = space_try, .side = w->q->out }, .w = w };
	int err;

	if (w->q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if (w->reservation == 0 || w->fill == CHUNK) {
		uint32_t before = w->reservation;

		write.op.deadline = deadline_after(w->patience);
		if ((err = op_run(w->q, &write.op)) != MPQ_OK)
			return err;
		if (before == 0)
			w->reservation = write.record;
		w->last = write.chunk, w->fill = write.from;
		if (before == 0)
			w->first = write.chunk, w->from = write.from;
	}
	*space = (unsigned char *)at(w->q, chunk_offset(w->last)) + w->fill;
	*size = CHUNK - w->fill;
	return MPQ_OK;
}

void
mpq_writer_fill(struct mpq_writer *w, size_t n)
{
	w->fill += (uint32_t)n;
	w->pending += n;
}

int
mpq_writer_append(struct mpq_writer *w, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;
	size_t room;
	void *to;
	int err;

	for (; n > 0; from += room, n -= room) {
		if ((err = mpq_writer_space(w, &to, &room)) != MPQ_OK)
			return err;
		room = room < n ? room : n;
		memcpy(to, from, room);
		mpq_writer_fill(w, room);
	}
	return MPQ_OK;
}

/* ---- commit ---------------------------------------------------------------------------------------------- */

/* How much of it the bounds let in now. The first message decides between Full and never. */
static int
commit_bounds(struct mpq *q, const struct side *s, const struct piece *all, uint64_t *msgs, uint64_t *bytes)
{
	uint64_t maxsize = get(&s->maxsize), maxbytes = get(&s->maxbytes), size = get(&s->size), used = get(&s->bytes);
	uint64_t room_msgs = maxsize == 0 ? UINT64_MAX : maxsize > size ? maxsize - size : 0;
	uint64_t room = maxbytes == 0 ? UINT64_MAX : maxbytes > used ? maxbytes - used : 0, one, one_bytes;
	unsigned framing = framing_bytes(all->framing);
	struct piece part = *all;

	if (get(&s->flags) & SIDE_CLOSED)
		return MPQ_CLOSED;
	*msgs = all->msgs, *bytes = all->bytes;
	if (all->msgs <= room_msgs && extent_payload(all) <= room && (maxbytes == 0 || used <= maxbytes))
		return MPQ_OK;
	if (extent_measure(q, all, 1, 0, &one, &one_bytes) != MPQ_OK)
		return MPQ_DAMAGED;
	if (maxbytes != 0 && one_bytes - framing > maxbytes)
		return MPQ_TOOBIG;
	if (room_msgs == 0 || one_bytes - framing > room || (maxbytes != 0 && used > maxbytes))
		return MPQ_FULL;
	/* Bytes of framing are not counted: look again with the framing of those that fit, until it is stable. */
	*msgs = 1, *bytes = one_bytes;
	for (uint64_t m, b;;) {
		if (extent_measure(q, &part, room_msgs, room == UINT64_MAX ? room : room + *msgs * framing, &m, &b) != MPQ_OK)
			return MPQ_DAMAGED;
		if (m <= *msgs)
			return MPQ_OK;
		*msgs = m, *bytes = b;
	}
}

/* The reservation from `next` on; nothing of it is left if next is 0. */
static int
reservation_shift(struct mpq *q, struct mpq_writer *w, const struct piece *p, uint32_t next)
{
	struct piece rest = *p;
	uint32_t steps = 0;

	if (next == 0) {
		if (list_remove(q, &slot_at(q, q->slot)->list, w->reservation) != MPQ_OK)
			return MPQ_DAMAGED;
		return record_give(q, w->reservation);
	}
	for (uint32_t c = p->first; c != next; c = chunk_next(q, c))
		if (!is_chunk(q, c) || steps++ > extent_span(p))
			return MPQ_DAMAGED;
	rest.first = next;
	rest.bytes -= (uint64_t)steps << CHUNK_SHIFT;
	set(q, &extent_at(q, w->reservation)->place, PAIR(rest.first, 0));
	set(q, &extent_at(q, w->reservation)->bytes, rest.bytes);
	return MPQ_OK;
}

/* Link `m` behind the last extent, or into it. `shared`: its last chunk stays in the reservation too. */
static int
commit_link(struct mpq *q, struct side *s, struct piece *m, bool shared)
{
	uint32_t tail, r;
	struct piece e;
	int err;

	if (side_drop_idle(q, m->side) != MPQ_OK)
		return MPQ_DAMAGED;
	if (shared)
		chunk_ref(q, m->last);
	if ((tail = HIGH(get(&s->fresh))) != 0) {
		if (extent_read(q, tail, 1u << KIND_FRESH, &e) != MPQ_OK)
			return MPQ_DAMAGED;
		if (e.bytes + m->bytes <= EXTENT_MAX && extent_adjoin(q, &e, m))
			return extent_merge(q, tail, &e, m);
	}
	if ((err = extent_new(q, m, &r)) != MPQ_OK)
		return err;
	list_append(q, &s->fresh, r);
	return MPQ_OK;
}

static int
commit_try(struct mpq *q, struct op *op)
{
	struct write *write = (struct write *)op;
	struct mpq_writer *w = write->w;
	struct side *s = side_at(q, op->side);
	struct piece p, m = { .first = w->first, .from = w->from, .last = w->last, .bytes = write->bytes,
		.msgs = write->msgs, .seq = get(&s->puts), .kind = KIND_FRESH, .framing = w->framing,
		.side = op->side, .attempts = w->attempts };
	uint64_t cut;
	uint32_t next;
	int err;

	if ((err = reservation_read(q, w, &p)) != MPQ_OK)
		return err;
	if (!is_chunk(q, w->first) || (err = commit_bounds(q, s, &m, &m.msgs, &m.bytes)) != MPQ_OK)
		return err != MPQ_OK ? err : MPQ_STALE;
	cut = m.from + m.bytes;
	if ((m.last = extent_walk(q, m.first, extent_span(&m) - 1)) == 0)
		return MPQ_DAMAGED;
	next = (cut & (CHUNK - 1)) != 0 ? m.last : m.last == p.last ? 0 : chunk_next(q, m.last);
	if ((err = commit_link(q, s, &m, next == m.last)) != MPQ_OK ||
	    (err = reservation_shift(q, w, &p, next)) != MPQ_OK)
		return err;
	add(q, &s->size, m.msgs);
	add(q, &s->bytes, extent_payload(&m));
	add(q, &s->puts, m.msgs);
	wake_note(q, &op->wakes, op->side, WAIT_GET, m.msgs);
	write->msgs = m.msgs, write->bytes = m.bytes;
	write->chunk = next;
	return next == 0 ? owner_release(q, q->slot) : MPQ_OK;
}

int
mpq_writer_commit(struct mpq_writer *w, uint64_t msgs, uint64_t bytes, mpq_time patience, uint64_t *put,
    uint64_t *put_bytes)
{
	int err = MPQ_OK;

	*put = *put_bytes = 0;
	if (w->q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if (bytes > w->pending || (msgs == 0) != (bytes == 0) || (w->framing == MPQ_BARE && msgs > 1))
		return MPQ_STALE;
	if ((err = owner_look_across(w->q, deadline_after(patience))) != MPQ_OK)
		return err;
	while (*put < msgs) {
		struct write write = { .op = { .try = commit_try, .side = w->q->out, .kind = WAIT_PUT,
			.wait_code = MPQ_FULL, .deadline = deadline_after(patience) }, .w = w, .msgs = msgs - *put,
			.bytes = bytes - *put_bytes };

		if ((err = op_run(w->q, &write.op)) != MPQ_OK)
			break;
		*put += write.msgs, *put_bytes += write.bytes;
		w->pending -= write.bytes;
		w->from = (uint32_t)((w->from + write.bytes) & (CHUNK - 1));
		w->first = write.chunk;
		if (write.chunk == 0)
			w->reservation = 0, w->last = 0, w->fill = 0, w->from = 0;
	}
	return err;
}

/* ---- the end --------------------------------------------------------------------------------------------- */

void
mpq_writer_peek(const struct mpq_writer *w, uint64_t skip, void *to, size_t n)
{
	struct mpq_run run = { .bytes = w->pending, .chunk = w->first, .from = w->from };
	struct iovec iov;
	unsigned char *out = to;
	int got;

	while (n > 0 && mpq_run_map(w->q, &run, skip, &iov, 1, &got) == MPQ_OK && got == 1) {
		size_t here = iov.iov_len < n ? iov.iov_len : n;

		memcpy(out, iov.iov_base, here);
		out += here, n -= here, skip += here;
	}
}

/* The rest of the last chunk becomes the tail for small messages, if it has more room than the one there is. */
static int
reset_try(struct mpq *q, struct op *op)
{
	struct mpq_writer *w = ((struct write *)op)->w;
	uint64_t *tail = &side_at(q, op->side)->tail;
	struct piece p;
	uint32_t old = LOW(get(tail)), capacity;
	int err;

	if ((err = reservation_read(q, w, &p)) != MPQ_OK)
		return err;
	if (list_remove(q, &slot_at(q, q->slot)->list, w->reservation) != MPQ_OK)
		return MPQ_DAMAGED;
	capacity = old == 0 ? 0 : is_chunk(q, old) ? chunk_capacity(q, old) : 0;
	if (p.first == p.last && w->from != 0 && (old == 0 || capacity < HIGH(get(tail)) ||
	    capacity - HIGH(get(tail)) < CHUNK - w->from)) {
		if ((old != 0 && chunk_unref(q, old) != MPQ_OK) || record_give(q, w->reservation) != MPQ_OK)
			return MPQ_DAMAGED;
		set(q, tail, PAIR(p.first, w->from));
	} else if ((err = extent_drop(q, w->reservation, &p)) != MPQ_OK)
		return err;
	return owner_release(q, q->slot);
}

void
mpq_writer_reset(struct mpq_writer *w)
{
	struct write write = { .op = { .try = reset_try, .side = w->q->out, .deadline = MPQ_FOREVER }, .w = w };
	mpq_time patience = w->patience;

	if (w->q->stuck)
		write.op.deadline = MPQ_NOW; /* what cannot be given back now is given back with the handle, or the process */
	if (w->reservation != 0)
		op_run(w->q, &write.op);     /* if the queue is gone or damaged there is nothing left to give */
	mpq_writer_init(w, w->q, w->framing);
	w->patience = patience;
}
