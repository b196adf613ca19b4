/* SPDX-License-Identifier: ISC
 *
 * side.h - one direction of messages: its counters, its two lists, who is to be woken. All [lock].
 */
#ifndef MPQ_SIDE_H
#define MPQ_SIDE_H

#include "extent.h"
#include "wait.h"

static inline struct side *
side_at(const struct mpq *q, uint32_t side)
{
	return &q->head->side[side];
}

static inline uint64_t
side_unfinished(const struct side *s)
{
	uint64_t puts = get(&s->puts), dones = get(&s->dones);

	return puts > dones ? puts - dones : 0;
}

/* `msgs` messages are done with: never more than are unfinished. Wakes those who join. */
void side_done(struct mpq *q, uint32_t side, uint64_t msgs, struct wakes *wakes);

/* Messages that were taken or held are no more: closed queues may have come to their end. */
void side_unheld(struct mpq *q, uint32_t side, uint64_t msgs, struct wakes *wakes);

/* An extent that was taken or held, linked to nothing now, goes back to its old place (or is dropped, if the side was
 * closed at once). */
int side_return(struct mpq *q, uint32_t r, struct piece *p, struct wakes *wakes);

/* No more puts; with `drop`, and what is there, and what comes back, is dropped (side_drop_some, until it says so). */
void side_close(struct mpq *q, uint32_t side, int drop, struct wakes *wakes);
int side_drop_some(struct mpq *q, uint32_t side, struct wakes *wakes, bool *more);

/* The first extent with messages: of those returned, else of the fresh ones; 0 if there is none. */
uint32_t side_first(const struct mpq *q, uint32_t side, uint64_t **list);

/* If the fresh extent is idle (put.c), it is freed. */
int side_drop_idle(struct mpq *q, uint32_t side);

#define STEP_EXTENTS 3u              /* extents that one transaction moves: bounds its journal (at most 32 words each) */

#endif
