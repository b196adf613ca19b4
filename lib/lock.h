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

#include "handle.h"

/* Take the lock, by `deadline` (and a second's grace while its owner runs). *died: its last owner died holding it:
 * the caller must roll back before it looks. MPQ_STUCK (why.pid), MPQ_INTR never: holds are short. */
int lock_take(struct mpq *q, mpq_time deadline, bool *died);

/* Let it go and wake one sleeper. */
void lock_free(struct mpq *q);

/* Has this process used the handle, and not merely inherited it by fork? */
static inline bool
lock_is_ours(const struct mpq *q)
{
	return q->node->armed != 0;
}

#endif
