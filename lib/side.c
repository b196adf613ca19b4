/* SPDX-License-Identifier: ISC
 *
 * side.c - the account of one direction, and messages that come back.
 *
 * Messages are taken from the returned list first, then from the fresh one, and tickets only grow; so every ticket in
 * the returned list is below every one in the fresh list, and a message that comes back has its place among the
 * returned, or right before the first fresh one.
 */
#include "journal.h"
#include "side.h"

#define QUEUED (1u << KIND_FRESH | 1u << KIND_RETURNED)

uint32_t
side_first(const struct mpq *q, uint32_t side, uint64_t **list)
{
	struct side *s = side_at(q, side);

	*list = LOW(get(&s->returned)) != 0 ? &s->returned : &s->fresh;
	return get(&s->size) != 0 ? LOW(get(*list)) : 0;
}

/* An idle extent is one thing less to make for the next message, but must not keep a chunk from others. */
int
side_drop_idle(struct mpq *q, uint32_t side)
{
	struct side *s = side_at(q, side);
	uint32_t r = LOW(get(&s->fresh));
	struct piece p;

	if (r == 0)
		return MPQ_OK;
	if (extent_read(q, r, 1u << KIND_FRESH, &p) != MPQ_OK)
		return MPQ_DAMAGED;
	if (p.msgs != 0)
		return MPQ_OK;
	return list_remove(q, &s->fresh, r) == MPQ_OK ? extent_drop(q, r, &p) : MPQ_DAMAGED;
}

void
side_done(struct mpq *q, uint32_t side, uint64_t msgs, struct wakes *wakes)
{
	struct side *s = side_at(q, side);
	uint64_t unfinished = side_unfinished(s);

	add(q, &s->dones, msgs < unfinished ? msgs : unfinished);
	if (msgs >= unfinished)
		wake_note(q, wakes, side, WAIT_JOIN, UINT64_MAX);
}

void
side_unheld(struct mpq *q, uint32_t side, uint64_t msgs, struct wakes *wakes)
{
	struct side *s = side_at(q, side);
	uint64_t held = get(&s->held);

	set(q, &s->held, held > msgs ? held - msgs : 0);
	if ((get(&s->flags) & SIDE_CLOSED) && get(&s->size) == 0)
		wake_note(q, wakes, side, WAIT_GET, UINT64_MAX);
}

/* Find the place of a ticket among the returned: the record to insert before, or 0 for the end. Mostly it is one of
 * the two ends. */
static int
find_place(struct mpq *q, uint64_t list, uint64_t seq, uint32_t *before)
{
	uint32_t head = LOW(list), tail = HIGH(list);
	struct piece p;

	*before = 0;
	if (head == 0)
		return MPQ_OK;
	if (extent_read(q, tail, 1u << KIND_RETURNED, &p) != MPQ_OK)
		return MPQ_DAMAGED;
	if (seq > p.seq)
		return MPQ_OK;
	for (uint64_t steps = 0; head != 0; head = record_next(q, head)) {
		if (extent_read(q, head, 1u << KIND_RETURNED, &p) != MPQ_OK || steps++ > record_limit(q))
			return MPQ_DAMAGED;
		if (seq < p.seq) {
			*before = head;
			return MPQ_OK;
		}
	}
	return MPQ_DAMAGED;
}

/* Join `r` with the queued extent before or after it, if their bytes adjoin. *joined: r's record has been given. */
static int
join_neighbours(struct mpq *q, uint32_t side, uint32_t r, struct piece *p, uint32_t before, bool *joined)
{
	struct side *s = side_at(q, side);
	uint32_t prev = before != 0 ? record_prev(q, before) : HIGH(get(&s->returned));
	uint32_t next = before != 0 ? before : LOW(get(&s->fresh));
	struct piece n;
	int err;

	*joined = false;
	if (next != 0) {
		if (extent_read(q, next, QUEUED, &n) != MPQ_OK)
			return MPQ_DAMAGED;
		if (n.msgs != 0 && extent_adjoin(q, p, &n)) {
			n.kind = WHAT_KIND(get(&extent_at(q, next)->what));
			if ((err = extent_merge(q, next, p, &n)) != MPQ_OK)
				return err;
			p->kind = n.kind;    /* next's record now says what r and next were */
			extent_write(q, next, p);
			*joined = true;
			return record_give(q, r);
		}
	}
	if (prev != 0) {
		if (extent_read(q, prev, 1u << KIND_RETURNED, &n) != MPQ_OK)
			return MPQ_DAMAGED;
		if (extent_adjoin(q, &n, p)) {
			if ((err = extent_merge(q, prev, &n, p)) != MPQ_OK)
				return err;
			*joined = true;
			return record_give(q, r);
		}
	}
	return MPQ_OK;
}

int
side_return(struct mpq *q, uint32_t r, struct piece *p, struct wakes *wakes)
{
	struct side *s = side_at(q, p->side);
	uint32_t before, side = p->side;
	uint64_t msgs = p->msgs;
	bool joined;

	if (get(&s->flags) & SIDE_DROP) {
		side_unheld(q, side, msgs, wakes);
		side_done(q, side, msgs, wakes);
		return extent_drop(q, r, p);
	}
	add(q, &s->size, msgs);
	add(q, &s->bytes, extent_payload(p));
	p->slot = 0;
	if (find_place(q, get(&s->returned), p->seq, &before) != MPQ_OK ||
	    join_neighbours(q, side, r, p, before, &joined) != MPQ_OK)
		return MPQ_DAMAGED;
	if (!joined) {
		p->kind = KIND_RETURNED;
		extent_write(q, r, p);
		list_insert(q, &s->returned, r, before);
	}
	side_unheld(q, side, msgs, wakes);
	wake_note(q, wakes, side, WAIT_GET, msgs);
	return MPQ_OK;
}

void
side_close(struct mpq *q, uint32_t side, int drop, struct wakes *wakes)
{
	struct side *s = side_at(q, side);

	set(q, &s->flags, get(&s->flags) | SIDE_CLOSED | (drop ? SIDE_DROP : 0));
	for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
		wake_note(q, wakes, side, kind, UINT64_MAX);
}

int
side_drop_some(struct mpq *q, uint32_t side, struct wakes *wakes, bool *more)
{
	struct side *s = side_at(q, side);
	uint64_t *list, payload;
	struct piece p;
	uint32_t r;
	int err;

	for (unsigned n = 0; n < STEP_EXTENTS && (r = side_first(q, side, &list)) != 0; n++) {
		if (extent_read(q, r, QUEUED, &p) != MPQ_OK || p.msgs == 0 || list_remove(q, list, r) != MPQ_OK)
			return MPQ_DAMAGED;
		payload = extent_payload(&p);
		if (get(&s->size) < p.msgs || get(&s->bytes) < payload)
			return MPQ_DAMAGED;
		set(q, &s->size, get(&s->size) - p.msgs);
		set(q, &s->bytes, get(&s->bytes) - payload);
		side_done(q, side, p.msgs, wakes);
		if ((err = extent_drop(q, r, &p)) != MPQ_OK)
			return err;
	}
	*more = side_first(q, side, &list) != 0;
	if (!*more && (get(&s->size) | get(&s->bytes)) != 0)
		return MPQ_DAMAGED;          /* who asked for the drop because of the size would ask for ever */
	if (!*more)
		wake_note(q, wakes, side, WAIT_GET, UINT64_MAX);
	return MPQ_OK;
}
