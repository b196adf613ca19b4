/* SPDX-License-Identifier: ISC
 *
 * lock.h - the lock of a segment: one robust futex word.
 *
 * Why not pthread_mutex_t: glibc's robust mutex keeps two raw pointers of its owner in shared memory, which its
 * unlock follows; any peer could make us write where it likes. Here only the 32-bit futex word is shared. The list
 * node that the kernel follows when we die is in private memory. Its distance from the word stands in the list's
 * head, which the kernel reads when the thread ends and not before; a thread has at most one node in the list, so it
 * writes the distance down anew for each hold, and one head for each thread serves all segments with one
 * set_robust_list(2) in the thread's life.
 *
 * The node is in a page of its own that a fork wipes, so that a child sees that it has not registered; with MPQ_BRIEF,
 * in the handle.
 */
#ifndef MPQ_LOCK_H
#define MPQ_LOCK_H

#include <linux/futex.h>

#include "handle.h"

struct list_head {                   /* layout of the kernel's struct robust_list_head */
	struct node *next;
	long offset;
	struct node *pending;
};

/* The kernel's list of this thread, and its number. */
struct lock_thread {
	struct list_head head;
	struct list_head *others;    /* MPQ_KEEP_ROBUST: the list to put back */
	uint32_t tid;
	bool registered;
};
extern _Thread_local struct lock_thread lock_thread;

#define LOCK_BARRIER() __asm__ __volatile__("" ::: "memory")

/* ---- the protocol with the kernel: see lock.c; nothing here may change places ------------------------------ */

static inline void
lock_begin(struct lock_thread *self, struct mpq *q)
{
	self->head.offset = (long)((unsigned char *)q->lock - (unsigned char *)q->node);
	LOCK_BARRIER();
	self->head.pending = q->node;
	LOCK_BARRIER();
}

static inline void
lock_taken(struct lock_thread *self, struct mpq *q)
{
	q->node->next = (struct node *)&self->head;
	LOCK_BARRIER();
	self->head.next = q->node;
}

static inline void
lock_end(struct lock_thread *self)
{
	LOCK_BARRIER();
	self->head.pending = NULL;
}

/* ---- taking and freeing ------------------------------------------------------------------------------------ */

/* Take it where it is free and the thread has registered, as mostly. False: it is not taken. */
static inline bool
lock_try(struct mpq *q)
{
	struct lock_thread *self = &lock_thread;
	uint32_t free = 0;
	bool taken;

	if (!self->registered || !q->node->armed || (q->flags & MPQ_KEEP_ROBUST))
		return false;
	lock_begin(self, q);
	taken = __atomic_compare_exchange_n(q->lock, &free, self->tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
	if (taken)
		lock_taken(self, q);
	lock_end(self);
	return taken;
}

/* What is left to do then: register, look for a moment, sleep. */
int lock_contend(struct mpq *q, mpq_time deadline, bool *died);

/* Take the lock, by `deadline` (and a second's grace while its owner runs). *died: its last owner died holding it:
 * the caller must roll back before it looks. MPQ_STUCK (why.pid), MPQ_INTR never: holds are short. */
static inline int
lock_take(struct mpq *q, mpq_time deadline, bool *died)
{
	*died = false;
	return lock_try(q) ? MPQ_OK : lock_contend(q, deadline, died);
}

/* What freeing rarely needs: wake one sleeper; give the thread its own list back (MPQ_KEEP_ROBUST). */
void lock_wake(struct mpq *q);
void lock_put_list_back(void);

/* Let it go and wake one sleeper. */
static inline void
lock_free(struct mpq *q)
{
	struct lock_thread *self = &lock_thread;

	self->head.pending = q->node;
	LOCK_BARRIER();
	self->head.next = (struct node *)&self->head;
	LOCK_BARRIER();
	if (__atomic_exchange_n(q->lock, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS)
		lock_wake(q);
	lock_end(self);
	if (q->flags & MPQ_KEEP_ROBUST)
		lock_put_list_back();
}

/* Has this process used the handle, and not merely inherited it by fork? */
static inline bool
lock_is_ours(const struct mpq *q)
{
	return q->node->armed != 0;
}

#endif
