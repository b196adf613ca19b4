/* SPDX-License-Identifier: ISC
 *
 * extent.c - reading, splitting, joining and freeing runs of messages.
 *
 * References: each extent that touches a chunk has one on it, and so has the side whose tail it is; the descriptor
 * counts those beyond the first. Only the first and the last chunk of an extent can be shared with others, so the
 * chunks between are freed by splicing the chain; except if a peek has pinned some (sticky mark `pinned`): then
 * the extent becomes garbage and is freed a few chunks at a time.
 */
#include <string.h>

#include "extent.h"
#include "journal.h"
#include "owner.h"

int
extent_read(const struct mpq *q, uint32_t r, unsigned kinds, struct piece *p)
{
	const struct extent *e;
	uint64_t place, end, what;

	if (!is_record(q, r))
		return MPQ_DAMAGED;
	e = extent_at(q, r);
	place = get(&e->place), end = get(&e->end), what = get(&e->what);
	*p = (struct piece){ .first = LOW(place), .from = HIGH(place), .last = LOW(end), .slot = HIGH(end),
		.bytes = get(&e->bytes), .msgs = get(&e->msgs), .seq = get(&e->seq), .kind = WHAT_KIND(what),
		.framing = WHAT_FRAMING(what), .side = WHAT_SIDE(what), .pinned = WHAT_PINNED(what),
		.attempts = WHAT_ATTEMPTS(what) };
	if (p->kind > KIND_SLOT || (kinds >> p->kind & 1) == 0 || !is_chunk(q, p->first) || !is_chunk(q, p->last) ||
	    p->from >= CHUNK || p->side > 1 || p->framing > MPQ_BARE || p->bytes > (uint64_t)q->chunks << CHUNK_SHIFT)
		return MPQ_DAMAGED;
	/* A chunk with only some of its pages may be the last of the file: nothing lies behind them, not even a hole. */
	if (p->kind <= KIND_HELD && p->from + p->bytes > PAGE && chunk_capacity(q, p->first) < CHUNK &&
	    p->from + p->bytes > chunk_capacity(q, p->first))
		return MPQ_DAMAGED;
	return MPQ_OK;
}

void
extent_write(struct mpq *q, uint32_t r, const struct piece *p)
{
	struct extent *e = extent_at(q, r);

	set(q, &e->place, PAIR(p->first, p->from));
	set(q, &e->end, PAIR(p->last, p->slot));
	set(q, &e->bytes, p->bytes);
	set(q, &e->msgs, p->msgs);
	set(q, &e->seq, p->seq);
	set(q, &e->what, WHAT(p->kind, p->framing, p->side, p->pinned, p->attempts));
}

int
extent_new(struct mpq *q, const struct piece *p, uint32_t *r)
{
	bool gave = q->gave;
	struct extent *e;
	int err = record_take(q, r);

	if (err != MPQ_OK)
		return err;
	if (gave) {                          /* it may be a record that this transaction has freed: undo needs it */
		extent_write(q, *r, p);
		return MPQ_OK;
	}
	e = extent_at(q, *r);
	e->place = PAIR(p->first, p->from);
	e->end = PAIR(p->last, p->slot);
	e->bytes = p->bytes;
	e->msgs = p->msgs;
	e->seq = p->seq;
	e->what = WHAT(p->kind, p->framing, p->side, p->pinned, p->attempts);
	return MPQ_OK;
}

uint64_t
extent_payload(const struct piece *p)
{
	uint64_t framing = p->msgs * framing_bytes(p->framing);

	return framing < p->bytes ? p->bytes - framing : 0;
}

uint32_t
extent_span(const struct piece *p)
{
	return p->bytes == 0 ? 1 : (uint32_t)((p->from + p->bytes - 1) >> CHUNK_SHIFT) + 1;
}

uint32_t
extent_walk(const struct mpq *q, uint32_t first, uint64_t steps)
{
	if (steps > q->chunks)
		return 0;
	while (steps-- > 0) {
		first = chunk_next(q, first);
		if (!is_chunk(q, first))
			return 0;
	}
	return first;
}

/* ---- measuring ------------------------------------------------------------------------------------------- */

/* Where a reader of an extent's bytes is. */
struct cursor {
	uint32_t chunk, at;
	uint64_t left;               /* bytes of the extent from here on */
};

/* Go on by n bytes (n <= left). */
static int
cursor_skip(const struct mpq *q, struct cursor *c, uint64_t n)
{
	uint64_t to = c->at + n;

	c->left -= n;
	if (to >> CHUNK_SHIFT != 0 && (c->left != 0 || (to & (CHUNK - 1)) != 0))
		if ((c->chunk = extent_walk(q, c->chunk, to >> CHUNK_SHIFT)) == 0)
			return MPQ_DAMAGED;
	c->at = to & (CHUNK - 1);
	return MPQ_OK;
}

static uint64_t
cursor_here(const struct cursor *c)
{
	return c->left < CHUNK - c->at ? c->left : CHUNK - c->at;
}

/* Bytes to the end of the next message that ends with `end`; 0: there is no end. */
static int
measure_text(const struct mpq *q, struct cursor *c, int end, uint64_t *bytes)
{
	*bytes = 0;
	while (c->left != 0) {
		const unsigned char *p = (unsigned char *)at(q, chunk_offset(c->chunk)) + c->at, *hit;
		uint64_t here = cursor_here(c);

		if (!chunk_holds(q, c->chunk, c->at, here))
			return MPQ_DAMAGED;
		hit = memchr(p, end, here);
		if (hit != NULL)
			here = (uint64_t)(hit - p) + 1;
		*bytes += here;
		if (cursor_skip(q, c, here) != MPQ_OK)
			return MPQ_DAMAGED;
		if (hit != NULL)
			return MPQ_OK;
	}
	return MPQ_DAMAGED;
}

static int
measure_length(const struct mpq *q, struct cursor *c, uint64_t *bytes)
{
	uint32_t length = 0;

	if (c->left < 4)
		return MPQ_DAMAGED;
	for (int i = 0; i < 4; i++) {
		if (!chunk_holds(q, c->chunk, c->at, 1))
			return MPQ_DAMAGED;
		length = length << 8 | ((unsigned char *)at(q, chunk_offset(c->chunk)))[c->at];
		if (cursor_skip(q, c, 1) != MPQ_OK)
			return MPQ_DAMAGED;
	}
	if (length > c->left || length > INT32_MAX)
		return MPQ_DAMAGED;
	*bytes = (uint64_t)length + 4;
	return cursor_skip(q, c, length);
}

int
extent_measure(const struct mpq *q, const struct piece *p, uint64_t max_msgs, uint64_t max_bytes, uint64_t *msgs,
    uint64_t *bytes)
{
	struct cursor c = { p->first, p->from, p->bytes };
	uint64_t n;
	int r;

	*msgs = p->msgs, *bytes = p->bytes;
	if (p->msgs <= 1 || (p->msgs <= max_msgs && p->bytes <= max_bytes))
		return MPQ_OK;
	for (*msgs = *bytes = 0; *msgs < max_msgs && *msgs < p->msgs; ++*msgs, *bytes += n) {
		r = p->framing == MPQ_LENGTHS ? measure_length(q, &c, &n) :
		    measure_text(q, &c, p->framing == MPQ_LINES ? '\n' : '\0', &n);
		if (r != MPQ_OK)
			return r;
		if (*msgs > 0 && *bytes + n > max_bytes)
			break;
	}
	/* All messages and not all bytes, or the other way round: what it says of itself is not true. */
	return (*msgs == p->msgs) == (*bytes == p->bytes) ? MPQ_OK : MPQ_DAMAGED;
}

/* ---- splitting and joining ------------------------------------------------------------------------------- */

int
extent_split(struct mpq *q, uint32_t r, struct piece *p, uint64_t msgs, uint64_t bytes, uint32_t *front,
    struct piece *f)
{
	uint64_t cut = p->from + bytes;
	uint32_t end, next;
	int err;

	if (msgs == 0 || msgs >= p->msgs || bytes >= p->bytes)
		return MPQ_DAMAGED;
	*f = *p;
	f->msgs = msgs, f->bytes = bytes;
	if ((end = extent_walk(q, p->first, extent_span(f) - 1)) == 0)
		return MPQ_DAMAGED;
	next = end;
	if ((cut & (CHUNK - 1)) == 0 && (next = chunk_next(q, end), !is_chunk(q, next)))
		return MPQ_DAMAGED;
	if (next == end)
		chunk_ref(q, end);           /* both parts touch it now */
	f->last = end;
	p->first = next, p->from = cut & (CHUNK - 1);
	p->bytes -= bytes, p->msgs -= msgs, p->seq += msgs;
	if ((err = extent_new(q, f, front)) != MPQ_OK)
		return err;
	set(q, &extent_at(q, r)->place, PAIR(p->first, p->from));
	set(q, &extent_at(q, r)->bytes, p->bytes);
	set(q, &extent_at(q, r)->msgs, p->msgs);
	set(q, &extent_at(q, r)->seq, p->seq);
	return MPQ_OK;
}

bool
extent_adjoin(const struct mpq *q, const struct piece *a, const struct piece *b)
{
	uint64_t end = a->from + a->bytes - (uint64_t)(extent_span(a) - 1) * CHUNK;

	if (a->framing != b->framing || a->framing == MPQ_BARE || a->side != b->side || a->attempts != b->attempts ||
	    a->seq + a->msgs != b->seq || a->bytes == 0)
		return false;
	if (end < CHUNK)
		return a->last == b->first && end == b->from;
	return b->from == 0 && chunk_next(q, a->last) == b->first && chunk_prev(q, b->first) == a->last;
}

int
extent_merge(struct mpq *q, uint32_t ra, struct piece *a, const struct piece *b)
{
	if (a->last == b->first && chunk_unref(q, b->first) != MPQ_OK)
		return MPQ_DAMAGED;          /* two references have become one */
	a->bytes += b->bytes;
	a->msgs += b->msgs;
	a->last = b->last;
	a->pinned |= b->pinned;
	extent_write(q, ra, a);
	return MPQ_OK;
}

/* ---- freeing --------------------------------------------------------------------------------------------- */

/* Free the chain first..last of `span` chunks of which only the ends may be shared. */
static int
chain_free(struct mpq *q, uint32_t first, uint32_t last, uint32_t span)
{
	if (span > 1 && chunk_extra(q, first) != 0) {
		uint32_t next = chunk_next(q, first);

		if (!is_chunk(q, next) || chunk_unref(q, first) != MPQ_OK)
			return MPQ_DAMAGED;
		first = next, span--;
	}
	if (span > 1 && chunk_extra(q, last) != 0) {
		uint32_t prev = chunk_prev(q, last);

		if (!is_chunk(q, prev) || chunk_unref(q, last) != MPQ_OK)
			return MPQ_DAMAGED;
		last = prev, span--;
	}
	if (span == 1)
		return first == last ? chunk_unref(q, first) : MPQ_DAMAGED;
	return chunk_give(q, first, last, span);
}

int
extent_drop(struct mpq *q, uint32_t r, struct piece *p)
{
	uint32_t slot;
	int err;

	if (!p->pinned) {
		err = chain_free(q, p->first, p->last, extent_span(p));
		return err == MPQ_OK ? record_give(q, r) : err;
	}
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	p->kind = KIND_GARBAGE, p->slot = slot;
	extent_write(q, r, p);
	list_append(q, &slot_at(q, slot)->list, r);
	q->garbage = true;
	return MPQ_OK;
}

int
extent_crumble(struct mpq *q, uint32_t r, struct piece *p, unsigned max, bool *more)
{
	uint32_t span = extent_span(p), next;

	for (; span > 0 && max > 0; span--, max--) {
		uint64_t gone = CHUNK - p->from;

		next = chunk_next(q, p->first);
		if (chunk_unref(q, p->first) != MPQ_OK)
			return MPQ_DAMAGED;
		if (span > 1 && !is_chunk(q, next))
			return MPQ_DAMAGED;
		p->first = span > 1 ? next : p->first;
		p->from = 0;
		p->bytes -= gone < p->bytes ? gone : p->bytes;
	}
	*more = span > 0;
	if (*more)
		extent_write(q, r, p);
	return MPQ_OK;
}

/* ---- lists ----------------------------------------------------------------------------------------------- */

void
list_append(struct mpq *q, uint64_t *list, uint32_t r)
{
	list_insert(q, list, r, 0);
}

void
list_insert(struct mpq *q, uint64_t *list, uint32_t r, uint32_t before)
{
	uint32_t head = LOW(get(list)), tail = HIGH(get(list));
	uint32_t prev = before != 0 ? record_prev(q, before) : tail;

	set(q, &extent_at(q, r)->link, PAIR(before, prev));
	if (before != 0)
		set(q, &extent_at(q, before)->link, PAIR(record_next(q, before), r));
	if (prev != 0 && is_record(q, prev))
		set(q, &extent_at(q, prev)->link, PAIR(r, record_prev(q, prev)));
	set(q, list, PAIR(prev == 0 ? r : head, before == 0 ? r : tail));
}

int
list_remove(struct mpq *q, uint64_t *list, uint32_t r)
{
	uint32_t head = LOW(get(list)), tail = HIGH(get(list)), next, prev;

	if (!is_record(q, r))
		return MPQ_DAMAGED;
	next = record_next(q, r), prev = record_prev(q, r);
	if ((next != 0 && !is_record(q, next)) || (prev != 0 && !is_record(q, prev)) || (next == 0) != (tail == r) ||
	    (prev == 0) != (head == r))
		return MPQ_DAMAGED;
	if (next != 0)
		set(q, &extent_at(q, next)->link, PAIR(record_next(q, next), prev));
	if (prev != 0)
		set(q, &extent_at(q, prev)->link, PAIR(next, record_prev(q, prev)));
	set(q, list, PAIR(prev == 0 ? next : head, next == 0 ? prev : tail));
	return MPQ_OK;
}
