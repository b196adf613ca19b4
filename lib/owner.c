/* SPDX-License-Identifier: ISC
 *
 * owner.c - slots of processes: making, finding, freeing. Taking back what the dead had is in reap.c.
 *
 * A handle has a slot only while it has messages in hand, a reservation, something to free, or sleeps, and from its
 * first bulk take on; so the table is as long as what goes on, and a process that ends in order leaves nothing in it. A
 * holder (mpq-get -o PID) has a slot for each side that it holds messages of; several commands may have taken them for
 * it.
 */
#include <unistd.h>

#include "alive.h"
#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "side.h"

#define SLOT_WHAT(kind, side, time) (KIND_SLOT | (uint64_t)(kind) << 8 | (uint64_t)(side) << 16 | (uint64_t)(time) << 32)
#define SLOT_KIND_OF(w) ((unsigned)((w) >> 8 & 0xff))
#define SLOT_SIDE(w) ((unsigned)((w) >> 16 & 0xff))

int
owner_self(struct mpq *q)
{
	pid_t pid = getpid();

	q->time_ns = (uint32_t)name_space(TIME_SPACE);
	q->self.start = start_time(SELF);
	q->self.pid = pid;
	return MPQ_OK;
}

int
mpq_owner_of(pid_t pid, struct mpq_owner *owner)
{
	if (pid <= 0 || !alive(pid, 0, false))
		return MPQ_NOPROC;
	*owner = (struct mpq_owner){ .pid = pid, .start = start_time(pid) };
	return MPQ_OK;
}

static bool
is_slot(const struct mpq *q, uint32_t r)
{
	return is_record(q, r) && WHAT_KIND(get(&slot_at(q, r)->what)) == KIND_SLOT;
}

bool
owner_is_self(const struct mpq *q, uint32_t r)
{
	return r != 0 && r == q->slot && is_slot(q, r) && LOW(get(&slot_at(q, r)->who)) == (uint32_t)q->self.pid &&
	    get(&slot_at(q, r)->start) == q->self.start;
}

static int
slot_new(struct mpq *q, const struct mpq_owner *owner, enum slot_kind kind, uint32_t side, uint32_t *slot)
{
	struct slot *s;
	int err = record_take(q, slot);

	if (err != MPQ_OK)
		return err;
	s = slot_at(q, *slot);
	set(q, &s->who, (uint32_t)owner->pid);
	set(q, &s->start, owner->start);
	set(q, &s->list, 0);
	set(q, &s->held, 0);
	set(q, &s->held_msgs, 0);
	set(q, &s->what, SLOT_WHAT(kind, side, q->time_ns));
	list_append(q, &q->head->slots, *slot);
	add(q, &q->head->nslots, 1);
	return MPQ_OK;
}

int
owner_slot(struct mpq *q, uint32_t *slot)
{
	int err;

	if (!owner_known(q))
		return NEED_SELF;
	if (!owner_is_self(q, q->slot)) {
		if ((err = slot_new(q, &q->self, SLOT_PROCESS, 0, slot)) != MPQ_OK)
			return err;
		q->slot = *slot;             /* journal_undo() takes it back */
	}
	*slot = q->slot;
	return MPQ_OK;
}

int
owner_share(struct mpq *q, uint32_t side, uint32_t *slot)
{
	int err = owner_slot(q, slot);
	uint64_t what;

	if (err != MPQ_OK || ((what = get(&slot_at(q, *slot)->what)) & SLOT_SHARER(side)) != 0)
		return err;
	set(q, &slot_at(q, *slot)->what, what | SLOT_SHARER(side));
	add(q, &side_at(q, side)->sharers, 1);
	return MPQ_OK;
}

void
owner_unshare(struct mpq *q, uint32_t slot)
{
	uint64_t what = get(&slot_at(q, slot)->what);

	for (uint32_t side = 0; side < 2; side++) {
		uint64_t *sharers = &side_at(q, side)->sharers;

		if ((what & SLOT_SHARER(side)) == 0)
			continue;
		set(q, &slot_at(q, slot)->what, what &= ~SLOT_SHARER(side));
		set(q, sharers, get(sharers) != 0 ? get(sharers) - 1 : 0);
	}
}

/* Find a slot of a kind; *slot 0: there is none. */
static int
slot_find(const struct mpq *q, const struct mpq_owner *owner, enum slot_kind kind, uint32_t side, uint32_t *slot)
{
	uint64_t left = record_limit(q);
	uint32_t r = LOW(get(&q->head->slots));

	for (*slot = 0; r != 0; r = record_next(q, r)) {
		const struct slot *s = slot_at(q, r);
		uint64_t what;

		if (left-- == 0 || !is_slot(q, r))
			return MPQ_DAMAGED;
		what = get(&s->what);
		if (SLOT_KIND_OF(what) != kind || SLOT_SIDE(what) != side)
			continue;
		if (owner == NULL || (LOW(get(&s->who)) == (uint32_t)owner->pid && get(&s->start) == owner->start)) {
			*slot = r;
			return MPQ_OK;
		}
	}
	return MPQ_OK;
}

int
owner_holder(struct mpq *q, const struct mpq_owner *owner, uint32_t side, int make, uint32_t *slot)
{
	int err;

	if (!owner_known(q))
		return NEED_SELF;            /* for the time name space */
	err = slot_find(q, owner, SLOT_HOLDER, side, slot);
	if (err == MPQ_OK && *slot == 0 && make)
		err = slot_new(q, owner, SLOT_HOLDER, side, slot);
	return err;
}

int
owner_end(struct mpq *q, const struct mpq_owner *owner, uint32_t end)
{
	uint32_t slot;
	int err;

	if (!owner_known(q))
		return NEED_SELF;
	if ((err = slot_find(q, NULL, SLOT_END, end, &slot)) != MPQ_OK)
		return err;
	if (slot == 0)
		return slot_new(q, owner, SLOT_END, end, &slot);
	set(q, &slot_at(q, slot)->who, (uint32_t)owner->pid);
	set(q, &slot_at(q, slot)->start, owner->start);
	set(q, &slot_at(q, slot)->what, SLOT_WHAT(SLOT_END, end, q->time_ns));
	return MPQ_OK;
}

int
owner_of_end(const struct mpq *q, uint32_t end, uint32_t *slot)
{
	return slot_find(q, NULL, SLOT_END, end, slot);
}

int
owner_release(struct mpq *q, uint32_t slot)
{
	struct slot *s = slot_at(q, slot);

	if (get(&s->list) != 0 || get(&s->held) != 0 || HIGH(get(&s->who)) != 0 ||
	    (get(&s->what) & (SLOT_SHARER(0) | SLOT_SHARER(1))) != 0)
		return MPQ_OK;
	if (list_remove(q, &q->head->slots, slot) != MPQ_OK || get(&q->head->nslots) == 0)
		return MPQ_DAMAGED;
	set(q, &q->head->nslots, get(&q->head->nslots) - 1);
	if (slot == q->slot)
		q->slot = 0;
	return record_give(q, slot);
}

uint64_t
owner_holds(struct mpq *q, const struct mpq_owner *owner, uint32_t side)
{
	uint32_t slot;

	if (owner == NULL || slot_find(q, owner, SLOT_HOLDER, side, &slot) != MPQ_OK || slot == 0)
		return 0;
	return get(&slot_at(q, slot)->held_msgs);
}

uint64_t
owner_in_hand(struct mpq *q, uint32_t side)
{
	uint64_t n = 0, steps = 0;
	struct piece p;

	if (!owner_is_self(q, q->slot))
		return 0;
	for (uint32_t r = LOW(get(&slot_at(q, q->slot)->list)); r != 0 && steps++ < record_limit(q); r = record_next(q, r)) {
		if (extent_read(q, r, ~0u, &p) != MPQ_OK)
			break;
		if (p.kind == KIND_TAKEN && p.side == side)
			n += p.msgs;
	}
	return n;
}

int
owner_wait(struct mpq *q, uint32_t side, unsigned kind)
{
	uint32_t slot;
	int err = owner_wait_over(q);

	if (err != MPQ_OK || (err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	q->asleep = kind | side << 8;
	set(q, &slot_at(q, slot)->who, PAIR(q->self.pid, q->asleep));
	add(q, &side_at(q, side)->waiting[kind], 1);
	return MPQ_OK;
}

int
owner_wait_over(struct mpq *q)
{
	uint64_t *waiting = &side_at(q, q->asleep >> 8)->waiting[q->asleep & 0xff];

	if (q->asleep == 0 || !owner_is_self(q, q->slot))
		return MPQ_OK;
	q->asleep = 0;
	set(q, &slot_at(q, q->slot)->who, (uint32_t)q->self.pid);
	if (get(waiting) != 0)
		set(q, waiting, get(waiting) - 1);
	return owner_release(q, q->slot);
}
