/* SPDX-License-Identifier: ISC
 *
 * wait.c - sleeping on futex words with absolute deadlines, and waking.
 *
 * A sleeper takes a snapshot of the event word under the lock, where it finds that it must wait and writes itself
 * down as waiting; then it sleeps while the word is still the snapshot. Whoever changes something that the sleeper
 * waits for does so under the lock, sees the count of those waiting, moves the word on, and wakes after the lock. So
 * a change between the sleeper's look and its sleep is seen as a moved word, and no system call is made when nobody
 * waits. No condition variables: a killed waiter or signaller hangs glibc's for ever.
 *
 * FUTEX_WAIT_BITSET: its deadline is absolute and on CLOCK_MONOTONIC, unlike FUTEX_WAIT's, so a restart after a
 * signal does not prolong it. Never PRIVATE: the sleepers are other processes.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wait.h"

#define NSEC 1000000000

mpq_time
mpq_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (mpq_time)ts.tv_sec * NSEC + ts.tv_nsec;
}

int
futex_wait(const uint32_t *word, uint32_t seen, mpq_time deadline)
{
	struct timespec ts = { .tv_sec = (time_t)(deadline / NSEC), .tv_nsec = (long)(deadline % NSEC) };

	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, deadline == MPQ_FOREVER ? NULL : &ts, NULL,
	    FUTEX_BITSET_MATCH_ANY) == -1)
		return -errno;
	return 0;
}

void
futex_wake(const uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

mpq_time
wait_slice(mpq_time deadline)
{
	mpq_time now = mpq_now();

	if (deadline <= now)
		return now + SLICE / 25;
	return deadline - now < SLICE ? deadline : now + SLICE;
}

void
wake_count(struct mpq *q, struct wakes *wakes, uint32_t side, unsigned kind, uint64_t n)
{
	const unsigned kinds[] = { kind, WAIT_WATCH };

	if (!wakes->any)
		memset(wakes, 0, sizeof *wakes);
	wakes->any = true;
	for (int i = 0; i < 2; i++, n = INT_MAX, side = WATCH_SIDE) {
		uint64_t waiting = get(&q->head->side[side].waiting[kinds[i]]);
		uint32_t *word = event(q, side, kinds[i]);

		if (waiting == 0 || n == 0)
			continue;
		waiting = waiting < INT_MAX ? waiting : INT_MAX;
		wakes->n[side][kinds[i]] += (uint32_t)(n < waiting ? n : waiting);
		__atomic_store_n(word, *word + 1, __ATOMIC_RELEASE);
	}
}

void
wake_note_all(struct mpq *q, struct wakes *wakes)
{
	for (uint32_t side = 0; side < 2; side++)
		for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
			wake_note(q, wakes, side, kind, INT_MAX);
}

void
wake_send(struct mpq *q, const struct wakes *wakes)
{
	if (!wakes->any)
		return;
	for (uint32_t side = 0; side < 2; side++)
		for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
			if (wakes->n[side][kind] != 0)
				futex_wake(event(q, side, kind), (int)(wakes->n[side][kind] & INT_MAX));
}
