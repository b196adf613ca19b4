/* SPDX-License-Identifier: ISC
 *
 * spin.c - when a look of a moment is worth more than a sleep.
 *
 * A sleep and a wake-up are two system calls and two switches, and an idle core comes 40 to 150 us later. Two processes
 * that answer each other take 70 us for a round trip so, and 0.5 us when both look instead. But a look is a loss when the
 * other side has no processor or nothing to say. So it is paid for from a budget of time:
 *
 *  - A look that is rewarded within SPIN_PAYS, less than a sleep costs, is followed by another at the next sleep.
 *  - One that is not rests REST_LEAST times as long as it took. One that sees nothing at all doubles the rest, so who gets
 *    a message now and then just sleeps.
 *  - A look must be longer than the wake-up of the other side, or two that sleep would never come to look at each other. When
 *    it sees something late, this was the case, and it looks once more: the other may be looking by then. As many soon ones
 *    as a rest has looks earn the next such chance. So a tenth of the time is lost at most.
 *  - A handle sleeps a few times before its first look: a command that gets one message does not look.
 *  - With one processor there is nobody to look for. sched_yield(2) would be faster than a sleep then (2.1 us for a round
 *    trip against 3.3), but beside a process that computes, each yield may cost its whole slice (100 us on average, with
 *    the same budget).
 *
 * Rests are as long as looks, in time and not in turns, because a turn takes 3 to 50 ns, depending on the processor.
 */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spin.h"
#include "wait.h"

#define SPIN_MOST ((mpq_time)100000) /* ns; a wake-up takes 40 to 150 us */
#define SPIN_PAYS ((mpq_time)5000)   /* with 10 us a stream is 15 % faster, for 20 % more machine time */
#define SPIN_TURNS 8                 /* between two looks at the clock, which takes as long */
#define REST_LEAST 20u
#define REST_MOST 2560u              /* a quarter of a second for a whole look */
#define FIRST_SLEEPS 16u
#define ALONE ((mpq_time)1000000000) /* until the processors are counted again */

static bool
one_processor(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
}

bool
spin_due(struct mpq *q, mpq_time now)
{
	struct spin *s = &q->spin;

	if (s->sleeps < FIRST_SLEEPS) {
		s->sleeps++;
		return false;
	}
	return now >= s->next;
}

void
spin_judge(struct spin *s, mpq_time began, mpq_time now, bool seen)
{
	mpq_time took = now - began;

	if (seen && took <= SPIN_PAYS) {
		s->next = 0, s->rest = 0;
		if (s->once_more && ++s->soon < REST_LEAST)
			return;              /* what was lost with the late one is not earned yet */
		s->once_more = false, s->soon = 0;
		return;
	}
	if (seen && !s->once_more) {
		s->once_more = true, s->soon = 0;
		return;
	}
	s->once_more = false;
	if (s->rest < REST_LEAST)
		s->rest = REST_LEAST;
	else if (!seen && s->rest < REST_MOST)
		s->rest *= 2;
	s->next = now + (took < SPIN_MOST ? took : SPIN_MOST) * s->rest;
}

/* Signals that come during a look are kept back until its end, or a handler would run and nobody know of it: the sleep that
 * it was to interrupt would follow. Not those that tell of a fault of the process itself: kept back, they would end it. By
 * the kernel's calls, since the C library leaves some signals out. */
#define SIGNALS 64
#define BIT(sig) ((uint64_t)1 << ((sig) - 1))
#define FAULTS (BIT(SIGBUS) | BIT(SIGSEGV) | BIT(SIGILL) | BIT(SIGFPE) | BIT(SIGTRAP) | BIT(SIGSYS))

static uint64_t
signals_keep(void)
{
	uint64_t most = ~FAULTS, before = 0;

	syscall(SYS_rt_sigprocmask, SIG_BLOCK, &most, &before, sizeof most);
	return before;
}

/* Let them come. Does a handler run? */
static bool
signals_let(uint64_t before)
{
	struct {
		void (*handler)(int);
		unsigned long rest[7];       /* whatever else the kernel's has on this processor */
	} action;
	uint64_t pending = 0;
	bool handled = false;

	syscall(SYS_rt_sigpending, &pending, sizeof pending);
	pending &= ~before;
	for (int sig = 1; pending != 0 && sig <= SIGNALS; sig++)
		if ((pending & BIT(sig)) && syscall(SYS_rt_sigaction, sig, NULL, &action, sizeof pending) == 0 &&
		    action.handler != SIG_DFL && action.handler != SIG_IGN)
			handled = true;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof before);
	return handled;
}

bool
spin(struct mpq *q, const uint64_t *word, mpq_time deadline, bool *handled)
{
	mpq_time began = mpq_now(), now;
	mpq_time until = deadline - began < SPIN_MOST ? deadline : began + SPIN_MOST;
	uint64_t mask = 0;
	bool seen, kept = false;

	do {
		for (int turn = 0; turn < SPIN_TURNS && get(word) == 0; turn++)
			cpu_relax();
		seen = get(word) != 0;
		now = mpq_now();
		if (!seen && !kept && now - began > SPIN_PAYS) {
			mask = signals_keep();
			kept = true;
		}
	} while (!seen && now < until);
	if (kept)
		*handled |= signals_let(mask);       /* also if it saw something: another may get it */
	spin_judge(&q->spin, began, now, seen);
	if (!seen && one_processor())
		q->spin.next = now + ALONE;
	return seen;
}
