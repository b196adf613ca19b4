/* SPDX-License-Identifier: ISC
 *
 * attempt.c - one more attempt at a message that stays in hand.
 *
 * The count lives in the segment, so it survives the worker: whoever takes the message next goes on counting.
 */
#include "extent.h"
#include "journal.h"
#include "op.h"

struct attempt {
	struct op op;
	struct mpq_run *run;
};

static int
attempt_try(struct mpq *q, struct op *op)
{
	struct mpq_run *run = ((struct attempt *)op)->run;
	struct piece p;

	if (q->slot == 0 || !is_record(q, run->id) || extent_read(q, run->id, 1u << KIND_TAKEN, &p) != MPQ_OK ||
	    p.slot != q->slot || p.seq != run->seq || p.msgs != 1)
		return MPQ_STALE;
	run->attempts = p.attempts + 1;
	set(q, &extent_at(q, run->id)->what, WHAT(p.kind, p.framing, p.side, p.pinned, run->attempts));
	return MPQ_OK;
}

int
mpq_attempt(struct mpq *q, struct mpq_run *run)
{
	struct attempt attempt = { .op = { .try = attempt_try, .side = q->in, .deadline = MPQ_FOREVER }, .run = run };

	return q->in == NO_SIDE ? MPQ_WRONGEND : op_run(q, &attempt.op);
}
