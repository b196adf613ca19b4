/* SPDX-License-Identifier: ISC
 *
 * wait.h - clocks, futexes, and sleeping until something may have changed.
 */
#ifndef MPQ_WAIT_H
#define MPQ_WAIT_H

#include "handle.h"

/* A woken process may die before it acts, and a waker before it wakes; so nobody sleeps longer without a look.
 * Part of the promise "noticed within 250 ms". */
#define SLICE ((mpq_time)250000000)

/* The time as of the last tick, 1 to 10 ms ago: a fifth of the price, enough for hints. */
mpq_time tick_now(void);

/* Sleep while *word is `seen`, until the absolute deadline. 0 woken, -EAGAIN it had changed, -EINTR, -ETIMEDOUT. */
int futex_wait(const uint32_t *word, uint32_t seen, mpq_time deadline);
void futex_wake(const uint32_t *word, int n);

/* The sooner of the deadline and one slice from now; once the deadline has passed, 10 ms from now (so that a
 * caller who goes on regardless does not spin). */
mpq_time wait_slice(mpq_time now, mpq_time deadline);

static inline void
cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ __volatile__("" ::: "memory");
#endif
}

/* The event word of a kind of sleepers of a side. */
static inline uint32_t *
event(const struct mpq *q, uint32_t side, unsigned kind)
{
	return &q->head->events[side].word[kind];
}

/* Getters that sleep: for messages, or for their turn. */
static inline uint64_t
wait_getters(const struct mpq *q, uint32_t side)
{
	return get(&q->head->side[side].waiting[WAIT_GET]) + get(&q->head->side[side].waiting[WAIT_TURN]);
}

/* Watchers are written down here whichever side they watch: one handle may watch both. */
#define WATCH_SIDE 0

/* Sleepers that an operation has to wake: noted under the lock, carried out after it. */
struct wakes {
	uint32_t n[2][WAIT_KINDS];
	bool any;                    /* else n is not looked at */
};

void wake_count(struct mpq *q, struct wakes *wakes, uint32_t side, unsigned kind, uint64_t n);

/* Under the lock: a sleeper of the kind, still written down, is here, and its word has moved; or it is dead. */
void wake_arrived(struct mpq *q, uint32_t side, unsigned kind);
/* Under the lock: getters or putters that were woken within a slice and have not arrived. */
uint64_t wake_coming(const struct mpq *q, uint32_t side, unsigned kind);

/* Under the lock: `n` (at most those that wait) of a kind shall look again; watchers always do, all of them. */
static inline void
wake_note(struct mpq *q, struct wakes *wakes, uint32_t side, unsigned kind, uint64_t n)
{
	uint64_t waiting = kind == WAIT_GET ? wait_getters(q, side) : get(&q->head->side[side].waiting[kind]);

	if (__builtin_expect((waiting | get(&q->head->side[WATCH_SIDE].waiting[WAIT_WATCH])) != 0, 0))
		wake_count(q, wakes, side, kind, n);
}
/* Under the lock: everybody on both sides. */
void wake_note_all(struct mpq *q, struct wakes *wakes);
/* After the lock. */
void wake_noted(struct mpq *q, const struct wakes *wakes);
static inline void
wake_send(struct mpq *q, const struct wakes *wakes)
{
	if (wakes->any)
		wake_noted(q, wakes);
}

#endif
