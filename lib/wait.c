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
 * A wake costs the waker a system call and the machine two switches. So one that is on its way is not followed by
 * another for each further message: it looks when it comes, and if it leaves something, wakes the next (op.c). A
 * producer that feeds 256 sleepers one message at a time took 9.7 us of CPU for each with a wake for each, and takes
 * 0.5 us so. Who was woken may be stopped, or have no processor; so after a moment it is not counted on any more. What
 * must hold is that `coming` is never more than those who are awake, or about to be woken, and have not said so: else
 * sleepers are left to look by themselves. So everybody who is written down says that he is here, once for each time
 * that he finds the word moved.
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

mpq_time
tick_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
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
wait_slice(mpq_time now, mpq_time deadline)
{
	if (deadline <= now)
		return now + SLICE / 25;
	return deadline - now < SLICE ? deadline : now + SLICE;
}

/* A wake takes 40 to 150 us to arrive if a core idles; it is counted on until the next tick, a few milliseconds at most. */
#define SOON ((mpq_time)200000)

/* Were they woken so lately? Unsigned: a time from another time name space or the future is long ago. */
static bool
lately(const struct events *e, unsigned kind, mpq_time time)
{
	return (uint64_t)tick_now() - get(&e->woken[kind]) < (uint64_t)time;
}

uint64_t
wake_coming(const struct mpq *q, uint32_t side, unsigned kind)
{
	const struct events *e = &q->head->events[side];
	uint64_t coming = __atomic_load_n(&e->coming[kind], __ATOMIC_RELAXED);

	return coming != 0 && lately(e, kind, SLICE) ? coming : 0;
}

void
wake_arrived(struct mpq *q, uint32_t side, unsigned kind)
{
	uint64_t waiting = kind == WAIT_GET ? wait_getters(q, side) : get(&q->head->side[side].waiting[kind]);
	uint32_t *coming, n;

	if (kind > WAIT_PUT)
		return;
	coming = &q->head->events[side].coming[kind];
	if ((n = __atomic_load_n(coming, __ATOMIC_RELAXED)) == 0)
		return;
	__atomic_store_n(coming, waiting > 1 ? n - 1 : 0, __ATOMIC_RELAXED);
}

/* Of `waiting` getters or putters: how many have to be woken so that n look. */
static uint64_t
wakes_due(struct mpq *q, uint32_t side, unsigned kind, uint64_t n, uint64_t waiting)
{
	struct events *e = &q->head->events[side];
	uint64_t coming = wake_coming(q, side, kind), due = n < waiting ? n : waiting;

	if (n < waiting && coming != 0 && lately(e, kind, SOON))
		due = n > coming ? n - coming : 0;
	if (due == 0)
		return 0;
	coming = coming + due < waiting ? coming + due : waiting;
	__atomic_store_n(&e->coming[kind], (uint32_t)coming, __ATOMIC_RELAXED);
	__atomic_store_n(&e->woken[kind], (uint64_t)tick_now(), __ATOMIC_RELAXED);
	return due;
}

static void
wake_add(struct mpq *q, struct wakes *wakes, uint32_t side, unsigned kind, uint64_t n)
{
	uint32_t *word = event(q, side, kind), before = wakes->n[side][kind];

	if (n == 0)
		return;
	wakes->n[side][kind] = n < INT_MAX - before ? before + (uint32_t)n : INT_MAX;
	__atomic_store_n(word, *word + 1, __ATOMIC_RELEASE);
}

void
wake_count(struct mpq *q, struct wakes *wakes, uint32_t side, unsigned kind, uint64_t n)
{
	const uint64_t *waiting = q->head->side[side].waiting;
	uint64_t first = get(&waiting[kind]), turn = get(&waiting[WAIT_TURN]), coming, asleep, due;

	if (!wakes->any)
		memset(wakes, 0, sizeof *wakes);
	wakes->any = true;
	if (kind == WAIT_GET || kind == WAIT_PUT) {
		coming = wake_coming(q, side, kind);
		asleep = first > coming ? first - coming : 0;
		due = wakes_due(q, side, kind, n, kind == WAIT_GET ? wait_getters(q, side) : first);
		wake_add(q, wakes, side, kind, due < first ? due : first);
		/* Those on their way are still written down, but a wake-up would be lost on them. */
		if (kind == WAIT_GET && due > asleep)
			wake_add(q, wakes, side, WAIT_TURN, due - asleep < turn ? due - asleep : turn);
	} else
		wake_add(q, wakes, side, kind, n < first ? n : first);       /* who joins: all */
	wake_add(q, wakes, WATCH_SIDE, WAIT_WATCH, get(&q->head->side[WATCH_SIDE].waiting[WAIT_WATCH]));
}

void
wake_note_all(struct mpq *q, struct wakes *wakes)
{
	for (uint32_t side = 0; side < 2; side++)
		for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
			wake_note(q, wakes, side, kind, INT_MAX);
}

void
wake_noted(struct mpq *q, const struct wakes *wakes)
{
	for (uint32_t side = 0; side < 2; side++)
		for (unsigned kind = 1; kind < WAIT_KINDS; kind++)
			if (wakes->n[side][kind] != 0)
				futex_wake(event(q, side, kind), (int)(wakes->n[side][kind] & INT_MAX));
}
