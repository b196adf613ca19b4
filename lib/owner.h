/* SPDX-License-Identifier: ISC
 *
 * owner.h - the table of processes that work on messages, hold them, wait, or own an end; and taking back what the
 * dead had.
 */
#ifndef MPQ_OWNER_H
#define MPQ_OWNER_H

#include "op.h"

#define SLOT_SHARER(side) ((uint64_t)1 << (24 + (side)))    /* in slot.what */

/* Outside the lock: find out who this process is (for NEED_SELF). */
int owner_self(struct mpq *q);

static inline bool
owner_known(const struct mpq *q)
{
	return q->self.pid != 0;
}

/* Is it the slot of this handle's process, and still one? */
bool owner_is_self(const struct mpq *q, uint32_t slot);

/* [lock] The slot of this handle's process, made if there is none. NEED_SELF, NEED_RECORD. */
int owner_slot(struct mpq *q, uint32_t *slot);
/* [lock] The same, written down as that of a getter in bulk of a side, until owner_unshare (share.c). */
int owner_share(struct mpq *q, uint32_t side, uint32_t *slot);
void owner_unshare(struct mpq *q, uint32_t slot);
/* [lock] The slot in which `owner` holds messages of a side. With `make` 0: *slot is 0 if there is none. */
int owner_holder(struct mpq *q, const struct mpq_owner *owner, uint32_t side, int make, uint32_t *slot);
/* [lock] A slot for the owner of an end of a pipe; made anew, it replaces the one before. */
int owner_end(struct mpq *q, const struct mpq_owner *owner, uint32_t end);
/* [lock] That slot, 0 if nobody owns the end. */
int owner_of_end(const struct mpq *q, uint32_t end, uint32_t *slot);
/* [lock] Free a slot that has nothing, waits for nothing and shares nothing. */
int owner_release(struct mpq *q, uint32_t slot);
/* [lock] Messages that `owner` holds of a side, and that this process has in hand. */
uint64_t owner_holds(struct mpq *q, const struct mpq_owner *owner, uint32_t side);
uint64_t owner_in_hand(struct mpq *q, uint32_t side);

/* [lock] This process sleeps; or does not sleep any more, if it did (q->asleep). */
int owner_wait(struct mpq *q, uint32_t side, unsigned kind);
int owner_wait_over(struct mpq *q);

/* Outside the lock: look for dead owners if nobody has for a quarter of a second. */
void owner_look(struct mpq *q);
/* Outside the lock, before a handle's first take: messages of dead owners come first, so look at once if that is cheap. A
 * lock that cannot be had is waited for no longer than the take itself may last. */
void owner_look_first(struct mpq *q, mpq_time deadline);
/* Outside the lock, before a handle's first put: if the owner of a pipe's other end is dead, nobody would get it. What
 * op_enter returns. */
int owner_look_at_other_end(struct mpq *q, mpq_time deadline);
static inline int
owner_look_across(struct mpq *q, mpq_time deadline)
{
	return q->end == 0 || q->looked_across ? MPQ_OK : owner_look_at_other_end(q, deadline);
}
/* Outside the lock: free what was dropped while somebody looked at it. */
void owner_clean(struct mpq *q);

/* Outside the lock: this handle's process gives back all it has. */
void owner_leave(struct mpq *q);
/* Alone on the segment: so does everybody in the table. */
int owner_orphans(struct mpq *q);

#endif
