/* SPDX-License-Identifier: ISC
 *
 * queue.h - what the files that move messages know of each other.
 */
#ifndef MPQ_QUEUE_H
#define MPQ_QUEUE_H

#include "side.h"

#define PEEKED 0x80000000u           /* mark of a run's id: a pin, not a taken extent (records stay below 2^31) */

#define SMALL PAGE                   /* bytes of a message that is copied under the lock: well under a microsecond */
#define QUEUED (1u << KIND_FRESH | 1u << KIND_RETURNED)

/* take.c, under the lock: nothing is there. Empty, or Closed if nothing can come any more; what `owner` (may be NULL) holds,
 * and what this process has in hand, does not come by waiting for it. */
int take_nothing(struct mpq *q, const struct side *s, uint32_t side, const struct mpq_owner *owner);

/* peek.c: look at messages without taking them. */
int peek_run(struct mpq *q, const struct mpq_want *want, uint64_t after, mpq_time deadline, struct mpq_run *run);
int peek_over(struct mpq *q, struct mpq_run *run);

/* trim.c: outside the lock, give surplus memory back to the system (see chunk_surplus). */
void trim(struct mpq *q, bool idle);
/* The same for chunks that a dead process was punching; their record is in the list of our slot. */
int trim_go_on(struct mpq *q, uint32_t record);

/* tasks.c: outside the lock, go on dropping what a queue closed at once still has. */
int drop_rest(struct mpq *q);

#endif
