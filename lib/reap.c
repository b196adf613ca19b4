/* SPDX-License-Identifier: ISC
 *
 * reap.c - looking for dead owners, and taking back what they had.
 *
 * Whatever a process had comes back by this one path, whether it was killed or went without settling: messages in
 * hand or held go back to their old places, reservations and garbage are freed, a chunk being punched is absent, a
 * sleeper is not counted any more, a pipe's end is closed. A few extents in each transaction; a reaper that is killed
 * leaves a committed state from which the next one goes on.
 *
 * The look itself (system calls) is done without the lock, on a copy of the table.
 */
#include <errno.h>
#include <stdlib.h>

#include "alive.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

#define FEW_SLOTS 16u                /* looking at so many costs little beside starting a process */
#define CRUMBS 16u                   /* chunks freed in one transaction: 3 words each */

struct suspect {
	uint32_t slot, pid, time_ns;
	uint64_t start;
};

/* ---- one dead process ------------------------------------------------------------------------------------ */

struct reap {
	struct op op;
	struct suspect dead;
	bool more;
	uint32_t punch;              /* the record of chunks that it was punching: ours now, to go on with */
};

/* Chunks that the dead was punching: ours to punch, outside the lock, before they count as absent. A handle that leaves
 * has nobody to give its own to: they are absent with what memory they have. */
static int
reap_punch(struct mpq *q, uint64_t *list, uint32_t r, struct piece *p, struct reap *reap)
{
	uint32_t slot;
	int err;

	if (reap->dead.slot == q->slot) {
		if (list_remove(q, list, r) != MPQ_OK)
			return MPQ_DAMAGED;
		err = chunk_give_absent(q, p->first, p->last, extent_span(p));
		return err == MPQ_OK ? record_give(q, r) : err;
	}
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if (list_remove(q, list, r) != MPQ_OK)
		return MPQ_DAMAGED;
	set(q, &extent_at(q, r)->end, PAIR(p->last, slot));
	list_append(q, &slot_at(q, slot)->list, r);
	reap->punch = r;
	return MPQ_OK;
}

/* One extent of the dead goes where it belongs. */
static int
reap_extent(struct mpq *q, uint64_t *list, uint32_t r, struct reap *reap)
{
	struct piece p;
	int err;

	if (extent_read(q, r, ~0u, &p) != MPQ_OK)
		return MPQ_DAMAGED;
	if (p.kind == KIND_GARBAGE || p.kind == KIND_PINNED) {
		bool more;

		if ((err = extent_crumble(q, r, &p, CRUMBS, &more)) != MPQ_OK || more)
			return err;
		return list_remove(q, list, r) == MPQ_OK ? record_give(q, r) : MPQ_DAMAGED;
	}
	if (p.kind == KIND_PUNCH)
		return reap_punch(q, list, r, &p, reap);
	if (list_remove(q, list, r) != MPQ_OK)
		return MPQ_DAMAGED;
	switch (p.kind) {
	case KIND_TAKEN:
	case KIND_HELD:
		return side_return(q, r, &p, &reap->op.wakes);
	case KIND_RESERVED:
		return extent_drop(q, r, &p);
	default:
		return MPQ_DAMAGED;
	}
}

static int
reap_try(struct mpq *q, struct op *op)
{
	struct reap *reap = (struct reap *)op;
	struct slot *s;
	uint64_t what;
	uint32_t waits, r;
	int err;

	reap->more = false;
	reap->punch = 0;
	if (!is_record(q, reap->dead.slot))
		return MPQ_OK;
	s = slot_at(q, reap->dead.slot);
	what = get(&s->what);
	if ((what & 0xff) != KIND_SLOT || LOW(get(&s->who)) != reap->dead.pid || get(&s->start) != reap->dead.start)
		return MPQ_OK;               /* somebody else has been here */
	if ((waits = HIGH(get(&s->who))) != 0) {
		unsigned kind = waits & 0xff, side = waits >> 8 & 1;
		uint64_t *waiting = &side_at(q, side)->waiting[kind < WAIT_KINDS ? kind : 0];

		kind = kind < WAIT_TURN ? kind : WAIT_GET;
		wake_arrived(q, side, kind);
		set(q, &s->who, reap->dead.pid);
		set(q, waiting, get(waiting) != 0 ? get(waiting) - 1 : 0);
		wake_note(q, &op->wakes, side, kind, 1);
	}
	if ((what >> 8 & 0xff) == SLOT_END) {
		uint32_t end = what >> 16 & 0xff;

		side_close(q, end == 1 ? 0 : 1, 0, &op->wakes);
		side_close(q, end == 1 ? 1 : 0, 1, &op->wakes);
	}
	for (unsigned n = 0; n < STEP_EXTENTS && get(&s->list) != 0 && reap->punch == 0; n++)
		if ((err = reap_extent(q, &s->list, LOW(get(&s->list)), reap)) != MPQ_OK)
			return err;
	for (unsigned n = 0; n < STEP_EXTENTS && get(&s->list) == 0 && reap->punch == 0 && get(&s->held) != 0; n++) {
		struct piece p;

		r = LOW(get(&s->held));
		if (extent_read(q, r, 1u << KIND_HELD, &p) != MPQ_OK || get(&s->held_msgs) < p.msgs)
			return MPQ_DAMAGED;
		set(q, &s->held_msgs, get(&s->held_msgs) - p.msgs);
		if ((err = reap_extent(q, &s->held, r, reap)) != MPQ_OK)
			return err;
	}
	reap->more = get(&s->list) != 0 || get(&s->held) != 0;
	if (reap->more)
		return MPQ_OK;
	owner_unshare(q, reap->dead.slot);
	return owner_release(q, reap->dead.slot);
}

static int
reap(struct mpq *q, const struct suspect *dead)
{
	struct reap reap = { .op = { .try = reap_try, .deadline = MPQ_FOREVER }, .dead = *dead };
	int err;

	do {
		err = op_run(q, &reap.op);
		if (err == MPQ_OK && reap.punch != 0)
			err = trim_go_on(q, reap.punch);
	} while (err == MPQ_OK && reap.more);
	return err;
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static struct suspect
suspect_at(const struct mpq *q, uint32_t r)
{
	const struct slot *s = slot_at(q, r);

	return (struct suspect){ .slot = r, .pid = LOW(get(&s->who)), .start = get(&s->start),
		.time_ns = HIGH(get(&s->what)) };
}

/* Copy the table. *n slots in *list, which the caller frees. */
static int
suspects(struct mpq *q, struct suspect **list, size_t *n)
{
	uint64_t slots, room = 0;
	uint32_t r;
	int err;

	for (*list = NULL;;) {
		if ((err = op_enter(q, mpq_now() + SLICE)) != MPQ_OK)
			break;               /* whoever has the lock for so long: the look is not worth it */
		if ((slots = get(&q->head->nslots)) <= room)
			goto copy;
		err = op_leave(q, slots <= record_limit(q) ? MPQ_OK : MPQ_DAMAGED, NULL);
		room = slots + 16;
		free(*list);
		if (err != MPQ_OK || (*list = malloc(room * sizeof **list)) == NULL)
			return err != MPQ_OK ? err : -ENOMEM;
	}
	free(*list);
	return err;
copy:
	for (*n = 0, r = LOW(get(&q->head->slots)); r != 0; r = record_next(q, r)) {
		if (*n == room || !is_record(q, r)) {
			free(*list);
			*list = NULL;
			return op_leave(q, MPQ_DAMAGED, NULL);
		}
		(*list)[(*n)++] = suspect_at(q, r);
	}
	return op_leave(q, MPQ_OK, NULL);
}

int
mpq_sweep(struct mpq *q)
{
	struct suspect *list;
	size_t n;
	int err;

	if (get(&q->head->nslots) == 0 || q->sweeping)
		return MPQ_OK;
	if (!owner_known(q))
		owner_self(q);
	q->looked = mpq_now();
	__atomic_store_n(&q->head->swept, (uint64_t)tick_now(), __ATOMIC_RELAXED);
	if ((err = suspects(q, &list, &n)) != MPQ_OK)
		return err;
	q->sweeping = true;
	q->nested++;
	for (size_t i = 0; i < n && err == MPQ_OK; i++) {
		if ((pid_t)list[i].pid == q->self.pid && list[i].start == q->self.start)
			continue;
		if (!alive((pid_t)list[i].pid, list[i].start, list[i].time_ns == q->time_ns))
			err = reap(q, &list[i]);
	}
	q->sweeping = false;
	q->nested--;
	free(list);
	return err;
}

void
owner_look_first(struct mpq *q, mpq_time deadline)
{
	uint64_t slots = get(&q->head->nslots);
	mpq_time outer = q->until;

	if (slots == 0 || (slots == 1 && owner_is_self(q, q->slot)))
		return;
	if (deadline < outer)
		q->until = deadline;
	if (q->looked == 0 && slots <= FEW_SLOTS)
		mpq_sweep(q);
	else
		owner_look(q);
	q->until = outer;
}

struct across {
	struct op op;
	struct suspect owner;
};

static int
across_try(struct mpq *q, struct op *op)
{
	struct across *across = (struct across *)op;
	uint32_t r;
	int err = owner_of_end(q, q->end == 1 ? 2 : 1, &r);

	if (err == MPQ_OK && r != 0)
		across->owner = suspect_at(q, r);
	return err;
}

int
owner_look_at_other_end(struct mpq *q, mpq_time deadline)
{
	struct across across = { .op = { .try = across_try, .deadline = deadline } };
	mpq_time outer = q->until;
	int err;

	if ((err = op_run(q, &across.op)) != MPQ_OK)
		return err;
	if (across.owner.slot != 0 && !owner_known(q))
		owner_self(q);
	if (across.owner.slot != 0 &&
	    !alive((pid_t)across.owner.pid, across.owner.start, across.owner.time_ns == q->time_ns)) {
		q->until = deadline < outer ? deadline : outer;
		err = reap(q, &across.owner);
		q->until = outer;
	}
	q->looked_across = err == MPQ_OK;    /* else the next put would go to nobody */
	return err;
}

void
owner_look(struct mpq *q)
{
	uint64_t slots = get(&q->head->nslots), now;

	if (slots == 0 || (slots == 1 && owner_is_self(q, q->slot)))
		return;
	now = (uint64_t)tick_now();
	/* Unsigned: a time from another time name space or the future counts as long ago. */
	if (now - __atomic_load_n(&q->head->swept, __ATOMIC_RELAXED) >= (uint64_t)SLICE)
		mpq_sweep(q);
}

void
owner_leave(struct mpq *q)
{
	struct suspect us = { .slot = q->slot, .pid = (uint32_t)q->self.pid, .start = q->self.start };

	reap(q, &us);
}

int
owner_orphans(struct mpq *q)
{
	struct suspect *list;
	size_t n;
	int err = suspects(q, &list, &n);

	if (err != MPQ_OK)
		return err;
	q->sweeping = true;
	q->nested++;
	for (size_t i = 0; i < n && err == MPQ_OK; i++)
		err = reap(q, &list[i]);
	q->sweeping = false;
	q->nested--;
	free(list);
	return err;
}

/* ---- our own leavings ------------------------------------------------------------------------------------ */

static int
clean_try(struct mpq *q, struct op *op)
{
	struct reap *clean = (struct reap *)op;
	struct piece p;
	uint64_t steps = 0;
	uint32_t r, slot;
	bool more;
	int err;

	clean->more = false;
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	for (r = LOW(get(&slot_at(q, slot)->list)); r != 0; r = record_next(q, r)) {
		if (extent_read(q, r, ~0u, &p) != MPQ_OK || steps++ > record_limit(q))
			return MPQ_DAMAGED;
		if (p.kind != KIND_GARBAGE)
			continue;
		clean->more = true;
		if ((err = extent_crumble(q, r, &p, CRUMBS, &more)) != MPQ_OK || more)
			return err;
		if (list_remove(q, &slot_at(q, slot)->list, r) != MPQ_OK)
			return MPQ_DAMAGED;
		return record_give(q, r);
	}
	return owner_release(q, slot);
}

void
owner_clean(struct mpq *q)
{
	struct reap clean = { .op = { .try = clean_try, .deadline = MPQ_FOREVER } };

	if (!q->garbage)
		return;
	q->garbage = false;
	do
		if (op_run(q, &clean.op) != MPQ_OK)
			return;
	while (clean.more);
}
