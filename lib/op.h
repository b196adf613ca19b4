/* SPDX-License-Identifier: ISC
 *
 * op.h - how every operation runs: lock, try, and then done, or provide and again, or sleep and again.
 */
#ifndef MPQ_OP_H
#define MPQ_OP_H

#include "wait.h"

/* Take the lock; undo what a dead owner left; see that the queue is neither damaged nor removed and that all of it is
 * mapped. On 0 the lock is held and a transaction may begin. MPQ_DAMAGED, MPQ_GONE, MPQ_STUCK, -ENOMEM. */
int op_enter(struct mpq *q, mpq_time deadline);

/* End the transaction (0: commit; else undo; MPQ_DAMAGED: mark the queue so), let the lock go, wake. Returns the
 * result. `wakes` may be NULL. */
int op_leave(struct mpq *q, int result, const struct wakes *wakes);

/* One operation. `try` is called under the lock and changes the state through the journal; it returns
 *   0                the operation is done and committed,
 *   NEED_TURN        nothing is kept; others who were woken go first: it sleeps as for `wait_code`, but not beyond `turn`,
 *   NEED_*           nothing is kept; what is missing is provided outside the lock, and it is tried again,
 *   `wait_code`      nothing is kept; unless the deadline has passed, the process is written down as a sleeper of
 *                    `kind` and sleeps until the event word moves; then it is tried again,
 *   anything else    nothing is kept, and that is the result. */
struct op {
	int (*try)(struct mpq *q, struct op *op);
	uint32_t side;
	unsigned kind;               /* WAIT_*; 0: never waits */
	int wait_code;
	mpq_time deadline;
	uint64_t bytes;              /* for NEED_SMALL: the room wanted */
	bool looks;                  /* before the first sleep, awake, for messages (spin.c) */
	bool slept;                  /* at least once */
	const uint32_t *word;        /* that it sleeps on, or last slept on; NULL: none */
	uint32_t seen;               /* what the word was when it last had the lock */
	mpq_time turn;               /* from when on it is its turn, whoever else is on his way; 0: not asked (share.c) */
	bool stays_asleep;           /* done or not, the process stays written down as it is (mpq_wait) */
	struct wakes wakes;
};

int op_run(struct mpq *q, struct op *op);

/* For the two operations that are measured in nanoseconds: an initializer would clear all of it, with rep stos. */
static inline void
op_init(struct op *op, int (*try)(struct mpq *q, struct op *op), uint32_t side, unsigned kind, int wait_code,
    mpq_time deadline)
{
	op->try = try, op->side = side, op->kind = kind, op->wait_code = wait_code, op->deadline = deadline;
	op->bytes = 0, op->word = NULL, op->turn = 0;
	op->looks = op->slept = op->stays_asleep = false;
	op->wakes.any = false;               /* the rest of it is not looked at then */
}

/* The segment is damaged, for everyone, for good. */
void op_damaged(struct mpq *q);

#endif
