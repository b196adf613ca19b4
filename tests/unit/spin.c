/* SPDX-License-Identifier: ISC
 *
 * spin.c - when a handle looks before it sleeps: not at first, not for long, again at once only if it paid, and seldom
 * when it did not.
 */
#include <sched.h>

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
	IS(rest_after(&s, 50, true), 0, "and what is late is again the first");
	IS(rest_after(&s, 100, false), 20 * 100 * US, "what is not seen rests twenty times as long");
	IS(rest_after(&s, 100, false), 40 * 100 * US, "the next time forty times");
	for (int i = 0; i < 20; i++)
		rest = rest_after(&s, 100, false);
	IS(rest, 2560 * 100 * US, "a quarter of a second at most");
	IS(rest_after(&s, 3, true), 0, "until something is seen soon");
	IS(rest_after(&s, 100, false), 20 * 100 * US, "from when on it begins anew");
}

static void
looks(void)
{
	uint64_t nothing = 0, something = 1;
	mpq_time began = mpq_now();

	OK(!spin(q, &nothing, MPQ_FOREVER), "a look at nothing ends");
	OK(mpq_now() >= began + 100 * US, "after a tenth of a millisecond");
	OK(q->spin.next >= began + 21 * 100 * US, "and rests");
	q->spin = (struct spin){ 0 };
	began = mpq_now();
	OK(!spin(q, &nothing, began - 1), "one whose deadline has passed ends at once");
	OK(q->spin.next <= began + 21 * (mpq_now() - began), "its rest is as short");
	OK(spin(q, &something, MPQ_FOREVER), "a look at something");
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
	mpq_time began;

	sched_getaffinity(0, sizeof before, &before);
	if (CPU_COUNT(&before) > 1) {
		q->spin = (struct spin){ 0 };
		began = mpq_now();
		spin(q, &nothing, began);
		OK(q->spin.next <= began + 21 * (mpq_now() - began), "with two processors the next look is soon");
	} else
		skip("with two processors the next look is soon", "one processor");
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &before))
			CPU_SET(i, &one);
	sched_setaffinity(0, sizeof one, &one);
	began = mpq_now();
	spin(q, &nothing, began);
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
	looks();
	first_sleeps();
	one_processor();
	mpq_detach(q);
	return tap_end();
}
