/* SPDX-License-Identifier: ISC
 *
 * spin.c - when a handle looks before it sleeps: not at first, not for long, again at once only if it paid, and seldom
 * when it did not. A signal that comes meanwhile is noticed.
 */
#include <sched.h>
#include <sys/time.h>

#include "room.h"
#include "spin.h"

#define US ((mpq_time)1000)
#define LONG_AGO (1000 * SECOND)

static struct mpq *q;

/* What became of a look from LONG_AGO on that took so many us. */
static mpq_time
rest_after(struct spin *s, mpq_time took, bool seen)
{
	s->next = 0;
	spin_judge(s, LONG_AGO, LONG_AGO + took * US, seen);
	return s->next == 0 ? 0 : s->next - LONG_AGO - took * US;
}

static void
budget(void)
{
	struct spin s = { 0 };
	mpq_time rest = 0;

	IS(rest_after(&s, 1, true), 0, "what is seen soon is looked for again at once");
	IS(rest_after(&s, 50, true), 0, "what is seen late, too");
	IS(rest_after(&s, 50, true), 20 * 50 * US, "but only once");
	IS(rest_after(&s, 50, true), 0, "and once more after a rest");
	IS(rest_after(&s, 1, true), 0, "then it pays");
	IS(rest_after(&s, 50, true), 20 * 50 * US, "but one that is late has no other chance so soon");
	IS(rest_after(&s, 50, true), 0, "after a rest it has");
	for (int i = 0; i < 20; i++)
		rest += rest_after(&s, 1, true);
	IS(rest, 0, "looks that pay have none");
	IS(rest_after(&s, 50, true), 0, "and after twenty, what is late is the first again");
	IS(rest_after(&s, 9000000, false), 20 * 100 * US, "a process that was stopped in a look rests no longer for it");
	s.rest = 0;
	IS(rest_after(&s, 100, false), 20 * 100 * US, "what is not seen rests twenty times as long");
	IS(rest_after(&s, 100, false), 40 * 100 * US, "the next time forty times");
	for (int i = 0; i < 20; i++)
		rest = rest_after(&s, 100, false);
	IS(rest, 2560 * 100 * US, "a quarter of a second at most");
	IS(rest_after(&s, 3, true), 0, "until something is seen soon");
	IS(rest_after(&s, 100, false), 20 * 100 * US, "from when on it begins anew");
}

/* Of a sender of pairs, late and soon in turn: all the time that looks have taken, of 100. */
static void
pairs(void)
{
	struct spin s = { 0 };
	mpq_time now = LONG_AGO, looked = 0, took;

	for (int i = 0; now < LONG_AGO + SECOND; i++) {
		took = i % 2 == 0 ? 95 * US : 4 * US;
		if (now >= s.next) {
			spin_judge(&s, now, now + took, true);
			looked += took;
		}
		now += took;
	}
	OK(looked < SECOND / 9, "pairs of messages do not make it look all the time: %lld of 100", (long long)(looked * 100 / SECOND));
}

static volatile sig_atomic_t handler_ran;

static void
on_alarm(int sig)
{
	(void)sig;
	handler_ran = 1;
}

/* Looks with a signal somewhere in their course, until one tells of it; or so many have not. */
static bool
tells_of_signal(int looks)
{
	const struct itimerval soon = { .it_value = { 0, 40 } }, never = { .it_value = { 0, 0 } };
	uint64_t nothing = 0;
	bool handled = false;

	while (looks-- > 0 && !handled) {
		handler_ran = 0;
		setitimer(ITIMER_REAL, &soon, NULL);
		spin(q, &nothing, MPQ_FOREVER, &handled);
		if (handled && !handler_ran)
			return false;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	return handled;
}

static void
signals(void)
{
	sigset_t blocked, before;

	signal(SIGALRM, on_alarm);
	OK(tells_of_signal(10000), "a handler that runs during a look is told of");
	sigprocmask(SIG_SETMASK, NULL, &before);
	OK(!sigismember(&before, SIGALRM) && !sigismember(&before, SIGTERM), "no signal is kept back afterwards");
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	OK(!tells_of_signal(300), "one that is blocked is not");
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGALRM, SIG_IGN);
	OK(!tells_of_signal(300), "nor one that is ignored");
	signal(SIGALRM, SIG_DFL);
}

/* It may come in the microseconds in which nobody notices it, or before: most do not. */
static void
signals_to_a_getter(void)
{
	const struct itimerval soon = { .it_value = { 0, 40 } };
	unsigned char byte;
	unsigned lost = 0;
	size_t len;
	int err;

	signal(SIGALRM, on_alarm);
	for (int i = 0; i < 100; i++) {
		q->spin = (struct spin){ .sleeps = 16 };
		setitimer(ITIMER_REAL, &soon, NULL);
		err = mpq_get(q, &byte, 1, &len, in_ms(50));
		lost += err == MPQ_EMPTY;
		if (err != MPQ_EMPTY && err != MPQ_INTR)
			diag("get: %s", mpq_strerror(err));
	}
	OK(lost < 50, "a getter that looks is interrupted: %u of 100 were not", lost);
	signal(SIGALRM, SIG_DFL);
}

static void
looks(void)
{
	uint64_t nothing = 0, something = 1;
	mpq_time began = mpq_now();
	bool handled = false;

	OK(!spin(q, &nothing, MPQ_FOREVER, &handled), "a look at nothing ends");
	OK(mpq_now() >= began + 100 * US, "after a tenth of a millisecond");
	OK(q->spin.next >= began + 20 * 100 * US, "and rests");
	q->spin = (struct spin){ 0 };
	began = mpq_now();
	OK(!spin(q, &nothing, began - 1, &handled), "one whose deadline has passed ends at once");
	OK(q->spin.next <= began + 21 * (mpq_now() - began), "its rest is as short");
	OK(spin(q, &something, MPQ_FOREVER, &handled), "a look at something");
	OK(!handled, "no signal came");
}

static void
first_sleeps(void)
{
	unsigned n = 0;

	q->spin = (struct spin){ 0 };
	while (n < 100 && !spin_due(q, LONG_AGO))
		n++;
	IS(n, 16, "sleeps before the first look");
	OK(spin_due(q, LONG_AGO), "and it stays due");
	q->spin.next = LONG_AGO;
	OK(!spin_due(q, LONG_AGO - 1), "a rest");
	OK(spin_due(q, LONG_AGO), "is over");
}

static void
one_processor(void)
{
	cpu_set_t before, one;
	uint64_t nothing = 0;
	bool handled = false;
	mpq_time began;

	sched_getaffinity(0, sizeof before, &before);
	if (CPU_COUNT(&before) > 1) {
		q->spin = (struct spin){ 0 };
		began = mpq_now();
		spin(q, &nothing, began, &handled);
		OK(q->spin.next <= began + 21 * (mpq_now() - began), "with two processors the next look is soon");
	} else
		skip("with two processors the next look is soon", "one processor");
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	sched_setaffinity(0, sizeof one, &one);
	began = mpq_now();
	spin(q, &nothing, began, &handled);
	OK(q->spin.next >= began + SECOND, "with one, in a second");
	sched_setaffinity(0, sizeof before, &before);
}

int
main(void)
{
	room_make();
	room_queue("spin", 0, 0, MPQ_QUEUE);
	q = room_open("spin");
	budget();
	pairs();
	looks();
	signals();
	signals_to_a_getter();
	first_sleeps();
	one_processor();
	mpq_detach(q);
	return tap_end();
}
