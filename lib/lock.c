/* SPDX-License-Identifier: ISC
 *
 * lock.c - a robust futex lock whose list node is in private memory. See lock.h, where the steps are that a free lock takes
 * as well.
 *
 * The word holds the owner's thread id, the kernel's bit "owner died" and the bit "waiters". The protocol with the
 * kernel (linux/futex.h, exit_robust_list):
 *
 *  - `pending` points at the node before the compare-and-swap that takes the word, while sleeping, and from before
 *    the store that frees it until after the wake. If we die in between, the kernel looks at the word: ours: marks
 *    it "owner died" and wakes one; 0: we died between freeing and waking, or were woken and died before taking:
 *    wakes one. Without pending in the sleeper a wake can be lost (measured: 162 of 300). With it, one can still be
 *    lost if a third process takes the freed word before the kernel looks (tests/model/lock.pml finds it): that is why
 *    nobody sleeps longer than a slice.
 *  - who has slept takes the word with the waiters bit set, since others may still sleep.
 *  - compiler barriers keep the stores in this order; the kernel reads them in program order, being the same CPU's
 *    (a process dies only after its stores are done).
 *
 * A thread holds at most one segment's lock at a time, so its list has at most one node.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alive.h"
#include "lock.h"
#include "wait.h"

#define SPINS 40                     /* about a microsecond: as long as a hold; more hurts when cores are shared */
#define GRACE 1000000000             /* ns beyond the deadline for an owner that runs but was preempted */

_Thread_local struct lock_thread lock_thread;

static void
list_register(struct mpq *q)
{
	lock_thread.head.next = (struct node *)&lock_thread.head;
	lock_thread.head.pending = NULL;
	lock_thread.tid = (uint32_t)gettid();       /* musl has it ready */
	syscall(SYS_set_robust_list, &lock_thread.head, sizeof lock_thread.head);
	lock_thread.registered = true;
	if (!q->node->armed) {               /* a new handle, or we are the child of a fork: nothing is ours */
		q->slot = q->asleep = 0;
		q->self.pid = 0;
	}
	q->node->armed = 1;
}

/* MPQ_KEEP_ROBUST: lend the thread our list for the time of one hold. */
static void
list_swap_in(struct mpq *q)
{
	size_t size;

	if (syscall(SYS_get_robust_list, 0, &lock_thread.others, &size) != 0)
		lock_thread.others = NULL;
	list_register(q);
}

void
lock_put_list_back(void)
{
	lock_thread.registered = false;
	syscall(SYS_set_robust_list, lock_thread.others, sizeof *lock_thread.others);
}

/* A slice of sleep is over. When the deadline has come, go on for a moment if the owner merely lost its processor. Who
 * waits for ever goes on unless there is no such thread: the kernel frees the word of a dead owner at once, so nobody
 * who knows the protocol has written this one. */
static bool
give_up(struct mpq *q, uint32_t word, mpq_time began, mpq_time deadline)
{
	pid_t owner = (pid_t)(word & FUTEX_TID_MASK);
	mpq_time now = mpq_now(), until = deadline == MPQ_FOREVER ? began : deadline;
	char state;

	if (deadline == MPQ_FOREVER && (syscall(SYS_tkill, owner, 0) == 0 || errno != ESRCH))
		return false;
	if (now < until)
		return false;
	state = process_state(owner);
	if (state != 'T' && state != 't' && now < until + GRACE)
		return false;
	q->why.pid = owner;
	return true;
}

static int
lock_sleep(struct mpq *q, mpq_time deadline, uint32_t *mine, bool *died)
{
	uint32_t *word = q->lock, seen = __atomic_load_n(word, __ATOMIC_RELAXED);
	uint32_t now;
	int slept;
	mpq_time began = mpq_now(), until = deadline < began ? began : deadline;

	for (;;) {
		if ((seen & FUTEX_TID_MASK) == 0) {
			*died = (seen & FUTEX_OWNER_DIED) != 0;
			if (__atomic_compare_exchange_n(word, &seen, *mine | (seen & FUTEX_WAITERS), false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return MPQ_OK;
			continue;
		}
		if ((seen & FUTEX_WAITERS) == 0) {
			if (!__atomic_compare_exchange_n(word, &seen, seen | FUTEX_WAITERS, false,
			    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
				continue;
			seen |= FUTEX_WAITERS;
		}
		*mine |= FUTEX_WAITERS;
		slept = futex_wait(word, seen, wait_slice(mpq_now(), until));
		now = __atomic_load_n(word, __ATOMIC_RELAXED);
		if (slept == -ETIMEDOUT && now == seen && give_up(q, seen, began, until))
			return MPQ_STUCK;
		seen = now;
	}
}

int
lock_contend(struct mpq *q, mpq_time deadline, bool *died)
{
	struct lock_thread *self = &lock_thread;
	uint32_t free = 0, mine;
	int r = MPQ_OK;

	if (q->flags & MPQ_KEEP_ROBUST)
		list_swap_in(q);
	else if (!self->registered || !q->node->armed)
		list_register(q);
	mine = self->tid;
	*died = false;
	lock_begin(self, q);
	for (int spin = 0; !__atomic_compare_exchange_n(q->lock, &free, mine, false, __ATOMIC_ACQUIRE,
	    __ATOMIC_RELAXED); spin++, free = 0) {
		if (spin < SPINS && (free & (FUTEX_OWNER_DIED | FUTEX_WAITERS)) == 0) {
			cpu_relax();
			continue;
		}
		r = lock_sleep(q, deadline, &mine, died);
		break;
	}
	if (r == MPQ_OK)
		lock_taken(self, q);
	lock_end(self);
	if (r != MPQ_OK && (q->flags & MPQ_KEEP_ROBUST))
		lock_put_list_back();
	return r;
}

void
lock_wake(struct mpq *q)
{
	futex_wake(q->lock, 1);
}
