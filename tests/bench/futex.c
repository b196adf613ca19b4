/* SPDX-License-Identifier: ISC
 *
 * futex.c - the least that a queue in shared memory can do, as a channel: one place for one message, under a lock that is a
 * compare-and-swap and an exchange, and a futex to sleep on. Nothing of it survives a kill, and a full place is an error.
 * It is no peer but the floor: what the library takes beyond it is its own.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel.h"

#define MOST 32

const size_t channel_limit = MOST;

static struct place {
	_Alignas(64) uint32_t lock;
	uint32_t event;
	bool full, waiting;
	unsigned char message[MOST];
} *places;

void
channel_make(size_t size)
{
	(void)size;
	places = mmap(NULL, CHANNELS * sizeof(*places), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (places == MAP_FAILED)
		fail("mmap", strerror(errno));
}

static void
enter(struct place *p)
{
	uint32_t free = 0;

	for (; !__atomic_compare_exchange_n(&p->lock, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED); free = 0)
		sched_yield();
}

static void
leave(struct place *p)
{
	__atomic_exchange_n(&p->lock, 0, __ATOMIC_RELEASE);
}

void
channel_put(int channel, const void *message, size_t size)
{
	struct place *p = &places[channel];
	bool wake;

	enter(p);
	if (p->full)
		fail("put", "full");
	memcpy(p->message, message, size);
	p->full = true;
	if ((wake = p->waiting))
		p->event++;
	leave(p);
	if (wake)
		syscall(SYS_futex, &p->event, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void
channel_get(int channel, void *message, size_t size)
{
	struct place *p = &places[channel];
	uint32_t seen;

	for (enter(p); !p->full; enter(p)) {
		p->waiting = true;
		seen = p->event;
		leave(p);
		syscall(SYS_futex, &p->event, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
	p->waiting = false;
	memcpy(message, p->message, size);
	p->full = false;
	leave(p);
}
