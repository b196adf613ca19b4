/* SPDX-License-Identifier: ISC
 *
 * trim.c - memory goes back when much of it is free: strip, punch, list as absent (see grow.c).
 */
#include "journal.h"
#include "owner.h"
#include "extent.h"
#include "queue.h"

#define STRIP 32u                    /* chunks at a time: one journalled word each; 2 MiB, punched in a few calls */

struct trim {
	struct op op;
	uint32_t first, last, count, record;
	bool idle;
};

static int
strip_try(struct mpq *q, struct op *op)
{
	struct trim *t = (struct trim *)op;
	struct piece p = { .kind = KIND_PUNCH };
	uint32_t slot;
	int err;

	t->count = 0;
	if (!chunk_surplus(q, t->idle))
		return MPQ_OK;
	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if (chunk_strip(q, STRIP, &t->first, &t->last, &t->count) != MPQ_OK || t->count == 0)
		return MPQ_DAMAGED;
	p.first = t->first, p.last = t->last, p.slot = slot;
	p.bytes = (uint64_t)t->count << CHUNK_SHIFT;
	if ((err = extent_new(q, &p, &t->record)) != MPQ_OK)
		return err;
	list_append(q, &slot_at(q, slot)->list, t->record);
	return MPQ_OK;
}

static int
absent_try(struct mpq *q, struct op *op)
{
	struct trim *t = (struct trim *)op;
	struct piece p;
	uint32_t slot;

	if (owner_slot(q, &slot) != MPQ_OK || extent_read(q, t->record, 1u << KIND_PUNCH, &p) != MPQ_OK ||
	    list_remove(q, &slot_at(q, slot)->list, t->record) != MPQ_OK ||
	    chunk_give_absent(q, t->first, t->last, t->count) != MPQ_OK || record_give(q, t->record) != MPQ_OK)
		return MPQ_DAMAGED;
	return owner_release(q, slot);
}

/* The first and last chunk of what is to be punched, and their number, from its record. */
static int
record_try(struct mpq *q, struct op *op)
{
	struct trim *t = (struct trim *)op;
	struct piece p;

	if (extent_read(q, t->record, 1u << KIND_PUNCH, &p) != MPQ_OK)
		return MPQ_DAMAGED;
	t->first = p.first, t->last = p.last, t->count = extent_span(&p);
	return MPQ_OK;
}

int
trim_go_on(struct mpq *q, uint32_t record)
{
	struct trim t = { .op = { .try = record_try, .deadline = MPQ_FOREVER }, .record = record };
	int err = op_run(q, &t.op);

	if (err != MPQ_OK)
		return err;
	chunk_punch(q, t.first, t.count);
	t.op.try = absent_try;
	return op_run(q, &t.op);
}

void
trim(struct mpq *q, bool idle)
{
	struct trim t = { .op = { .deadline = MPQ_FOREVER }, .idle = idle };

	for (;;) {
		t.op.try = strip_try;
		if (op_run(q, &t.op) != MPQ_OK || t.count == 0)
			return;
		chunk_punch(q, t.first, t.count);    /* if it fails the memory stays: it is merely not free */
		t.op.try = absent_try;
		if (op_run(q, &t.op) != MPQ_OK)
			return;
	}
}
