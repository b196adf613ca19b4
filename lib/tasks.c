/* SPDX-License-Identifier: ISC
 *
 * tasks.c - the account of tasks and the end of queues: task-done, join, close.
 */
#include "extent.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

/* ---- task-done ------------------------------------------------------------------------------------------- */

struct done {
	struct op op;
	const struct mpq_owner *owner;
	uint64_t count, did;
	int requeue;
	bool begun;                  /* the check of the whole count has been made */
};

/* Python's way: a mere count, which never touches what somebody holds. */
static int
count_try(struct mpq *q, struct op *op)
{
	struct done *done = (struct done *)op;
	struct side *s = side_at(q, op->side);
	uint64_t unfinished = side_unfinished(s), held = get(&s->held);
	uint64_t open = unfinished > held ? unfinished - held : 0;

	if (done->count == MPQ_ALL)
		done->count = open;
	if (done->count > open)
		return MPQ_OVERDONE;
	done->did = done->count;
	if (done->count != 0)
		side_done(q, op->side, done->count, &op->wakes);
	return MPQ_OK;
}

/* The first extent that the owner holds, or its first `count` messages: off his list. */
static int
done_first(struct mpq *q, struct done *done, struct slot *s)
{
	uint32_t r = LOW(get(&s->held)), front = r;
	struct piece p, f;
	uint64_t msgs, bytes;
	int err;

	if (extent_read(q, r, 1u << KIND_HELD, &p) != MPQ_OK)
		return MPQ_DAMAGED;
	if (done->count - done->did < p.msgs) {
		if (extent_measure(q, &p, done->count - done->did, UINT64_MAX, &msgs, &bytes) != MPQ_OK)
			return MPQ_DAMAGED;
		if ((err = extent_split(q, r, &p, msgs, bytes, &front, &f)) != MPQ_OK)
			return err;
	} else {
		f = p;
		if (list_remove(q, &s->held, r) != MPQ_OK)
			return MPQ_DAMAGED;
	}
	if (get(&s->held_msgs) < f.msgs)
		return MPQ_DAMAGED;
	set(q, &s->held_msgs, get(&s->held_msgs) - f.msgs);
	done->did += f.msgs;
	if (done->requeue)
		return side_return(q, front, &f, &done->op.wakes);
	side_unheld(q, f.side, f.msgs, &done->op.wakes);
	side_done(q, f.side, f.msgs, &done->op.wakes);
	return extent_drop(q, front, &f);
}

static int
done_try(struct mpq *q, struct op *op)
{
	struct done *done = (struct done *)op;
	uint64_t did = done->did;
	uint32_t slot;
	struct slot *s;
	int err;

	if ((err = owner_holder(q, done->owner, op->side, 0, &slot)) != MPQ_OK)
		return err;
	s = slot != 0 ? slot_at(q, slot) : NULL;
	if (!done->begun && done->count != MPQ_ALL && (s != NULL ? get(&s->held_msgs) : 0) < done->count)
		return MPQ_OVERDONE;
	for (unsigned n = 0; n < STEP_EXTENTS && s != NULL && done->did < done->count && get(&s->held) != 0; n++)
		if ((err = done_first(q, done, s)) != MPQ_OK) {
			done->did = did;     /* undone with the rest of the transaction */
			return err;
		}
	done->begun = true;
	if (s == NULL || get(&s->held) == 0)
		done->count = done->did;     /* that was all */
	return s != NULL ? owner_release(q, slot) : MPQ_OK;
}

int
mpq_task_done(struct mpq *q, const struct mpq_owner *owner, uint64_t count, int requeue, uint64_t *did)
{
	struct done done = { .op = { .try = owner != NULL ? done_try : count_try, .side = q->in,
		.deadline = MPQ_FOREVER }, .owner = owner, .count = count, .requeue = requeue };
	int err;

	if (q->in == NO_SIDE)
		return MPQ_WRONGEND;
	do
		err = op_run(q, &done.op);
	while (err == MPQ_OK && done.did < done.count);
	owner_clean(q);
	if (did != NULL)
		*did = done.did;
	if (err == MPQ_OK && done.did != 0)
		trim(q, false);
	return err;
}

/* ---- join ------------------------------------------------------------------------------------------------ */

struct join {
	struct op op;
	int closed;
};

static int
join_try(struct mpq *q, struct op *op)
{
	const struct side *s = side_at(q, op->side);

	if ((get(&s->flags) & SIDE_DROP) && get(&s->size) != 0)
		return NEED_DROP;
	if (side_unfinished(s) != 0 || (((struct join *)op)->closed && (get(&s->flags) & SIDE_CLOSED) == 0))
		return MPQ_NOTYET;
	return MPQ_OK;
}

int
mpq_join(struct mpq *q, int closed, mpq_time deadline)
{
	uint32_t side = q->out;              /* who has put wants to know that it is done */
	struct join join = { .op = { .try = join_try, .side = side, .kind = WAIT_JOIN, .wait_code = MPQ_NOTYET,
		.deadline = deadline }, .closed = closed };

	return side == NO_SIDE ? MPQ_WRONGEND : op_run(q, &join.op);
}

/* ---- close ----------------------------------------------------------------------------------------------- */

struct closing {
	struct op op;
	enum mpq_closing how;
	const struct mpq_owner *owner;
	bool more;
};

static int
close_try(struct mpq *q, struct op *op)
{
	enum mpq_closing how = ((struct closing *)op)->how;

	if (q->out != NO_SIDE)
		side_close(q, q->out, how == MPQ_CLOSE_NOW, &op->wakes);
	if (q->end != 0 && q->in != NO_SIDE && how != MPQ_CLOSE_WRITE)
		side_close(q, q->in, 1, &op->wakes);
	return MPQ_OK;
}

static int
drop_try(struct mpq *q, struct op *op)
{
	struct closing *closing = (struct closing *)op;
	bool more;
	int err;

	closing->more = false;
	for (uint32_t side = 0; side < 2; side++) {
		if ((get(&side_at(q, side)->flags) & SIDE_DROP) == 0)
			continue;
		if ((err = side_drop_some(q, side, &op->wakes, &more)) != MPQ_OK)
			return err;
		closing->more |= more;
		if (more)
			break;
	}
	return MPQ_OK;
}

int
drop_rest(struct mpq *q)
{
	struct closing drop = { .op = { .try = drop_try, .deadline = MPQ_FOREVER } };
	int err;

	do
		err = op_run(q, &drop.op);
	while (err == MPQ_OK && drop.more);
	owner_clean(q);
	return err;
}

int
mpq_close(struct mpq *q, enum mpq_closing how)
{
	struct closing closing = { .op = { .try = close_try, .deadline = MPQ_FOREVER }, .how = how };
	int err;

	if (how == MPQ_CLOSE_WRITE && q->out == NO_SIDE)
		return MPQ_WRONGEND;
	if ((err = op_run(q, &closing.op)) == MPQ_OK)
		err = drop_rest(q);
	if (err == MPQ_OK)
		trim(q, true);
	return err;
}

static int
own_try(struct mpq *q, struct op *op)
{
	return owner_end(q, ((struct closing *)op)->owner, q->end);
}

int
mpq_own_end(struct mpq *q, const struct mpq_owner *owner)
{
	struct closing own = { .op = { .try = own_try, .deadline = MPQ_FOREVER }, .owner = owner };

	return q->end == 0 ? MPQ_WRONGEND : op_run(q, &own.op);
}
