/* SPDX-License-Identifier: ISC
 *
 * shares.c - how a run is divided among those who take in bulk: by those who are there, so that what each has had comes
 * to the same though more is put meanwhile; soon without the one who does not come; whatever the words of the round say.
 */
#include "room.h"
#include "side.h"

#define SHARERS 8

static struct mpq *putter, *q[SHARERS];
static uint64_t had[SHARERS];

static void
put(unsigned n)
{
	unsigned bad = 0;

	while (n-- != 0)
		bad += mpq_put(putter, "x", 1, MPQ_NOW) != MPQ_OK;
	if (bad != 0)
		abort();
}

/* How many sharer i takes; 0: there is nothing, ~0: something is wrong. What it takes is done. */
static uint64_t
share_at_most(unsigned i, uint64_t most)
{
	const struct mpq_want want = { .msgs = most, .bytes = UINT64_MAX, .flags = MPQ_SHARE };
	struct mpq_run run;
	int err = mpq_take(q[i], &want, 0, MPQ_NOW, &run);

	if (err != MPQ_OK)
		return err == MPQ_EMPTY ? 0 : UINT64_MAX;
	had[i] += run.msgs;
	return mpq_settle(q[i], &run, run.msgs, run.bytes, MPQ_DONE, NULL) == MPQ_OK ? run.msgs : UINT64_MAX;
}

static uint64_t
share(unsigned i)
{
	return share_at_most(i, UINT64_MAX);
}

static void
begin(unsigned sharers)
{
	putter = room_queue("shares", 0, 0, MPQ_QUEUE);
	for (unsigned i = 0; i < sharers; i++) {
		q[i] = room_open("shares");
		had[i] = 0;
	}
}

static void
end(unsigned sharers)
{
	for (unsigned i = 0; i < sharers; i++)
		mpq_detach(q[i]);
	mpq_detach(putter);
}

/* All are known as sharers, and have had a message each in this round. */
static void
acquaint(unsigned sharers)
{
	for (unsigned i = 0; i < sharers; i++) {
		put(1);
		share(i);
		had[i] = 0;
	}
	put(sharers);
	for (unsigned i = 0; i < sharers; i++)
		share(i);
}

static bool
near(uint64_t n, uint64_t expected)
{
	return n + 2 >= expected && n <= expected + 2;
}

static void
divided(void)
{
	begin(2);
	put(100);
	IS(share(0), 100, "who is alone takes all");
	acquaint(2);
	put(100);
	OK(near(share(0), 50), "of two, one takes half, but for what has faded of what they had");
	OK(near(share(1), 50), "and the other the other half");
	end(2);
}

/* Messages come while a round goes on, and some are not there when they do: the sums come to the same. */
static void
evened(void)
{
	uint64_t least = UINT64_MAX, most = 0;

	begin(SHARERS);
	acquaint(SHARERS);
	put(4096);
	for (unsigned i = 0; i < 3; i++)
		share(i);
	put(4096);
	for (unsigned i = 3; i < 6; i++)
		share(i);
	put(1808);
	for (unsigned round = 0; round < 4; round++)
		for (unsigned i = SHARERS; i-- != 0;)
			share(i);
	for (unsigned i = 0; i < SHARERS; i++) {
		least = had[i] < least ? had[i] : least;
		most = had[i] > most ? had[i] : most;
	}
	OK(most <= 2 * least, "eight come to the same within 2x, though 10,000 messages came in three pieces");
	diag("%llu to %llu", (unsigned long long)least, (unsigned long long)most);
	end(SHARERS);
}

/* More comes when one has had his share of little; and who wants little does not make another wait. */
static void
behind_and_ahead(void)
{
	begin(2);
	acquaint(2);
	put(8);
	OK(near(share(0), 4), "half of what is there");
	put(92);
	OK(share(1) <= 52, "the last of a round does not take all of what came meanwhile");
	OK(share(0) >= 40, "who is behind is given the more");
	end(2);
	begin(2);
	acquaint(2);
	put(100);
	OK(near(share(0), 50), "half");
	IS(share_at_most(1, 1), 1, "the other wants but one");
	OK(share(0) >= 24, "who is ahead has half of the rest, if nobody sleeps who would have it");
	IS(share_at_most(0, 0), 1, "who wants none has one, as by every take");
	end(2);
}

/* Of two, one has taken something and does not come again. */
static void
stuck(void)
{
	uint64_t rounds = 0;

	begin(2);
	acquaint(2);
	put(1000);
	share(1);
	while (share(0) != 0)
		rounds++;
	OK(rounds <= 3 && had[0] + had[1] == 1002, "nothing is kept for one who does not come");
	put(1000);
	IS(share(0), 1000, "nor later");
	put(1000);
	OK(share(1) >= 300, "when he comes he has his part");
	OK(share(0) >= 300, "and leaves the other's");
	end(2);
}

static void
store(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* One was woken and does not come: who has waited for him writes it down, so that the others need not. */
static void
stopped(void)
{
	struct events *e;
	struct side *s;

	begin(2);
	acquaint(2);
	e = &putter->head->events[0], s = side_at(putter, 0);
	put(100);
	share(0);
	store(&s->waiting[WAIT_GET], 1);
	store(&e->woken[WAIT_GET], (uint64_t)tick_now());
	__atomic_store_n(&e->coming[WAIT_GET], 1, __ATOMIC_RELAXED);
	OK(share(0) != 0, "a share, when its time is over");
	IS(e->given_up, 1, "and that one was waited for in vain");
	OK(share(0) != 0, "again");
	IS(e->given_up, 1, "as long as he is counted on");
	store(&e->woken[WAIT_GET], 0);
	OK(share(0) != 0, "and again");
	IS(e->given_up, 0, "nobody has been woken for a while: he may come yet");
	store(&s->waiting[WAIT_GET], 0);
	end(2);
}

/* The words of the round are a peer's to write. */
static void
hostile(void)
{
	static const uint64_t words[] = { 0, 1, UINT32_MAX, (uint64_t)UINT16_MAX << 32, (uint64_t)UINT16_MAX << 48,
		UINT64_MAX - UINT32_MAX, UINT64_MAX, (uint64_t)1 << 63 };
	enum { N = sizeof words / sizeof words[0] };
	unsigned bad = 0;

	begin(2);
	acquaint(2);
	for (unsigned round = 0; round < N; round++)
		for (unsigned sum = 0; sum < N; sum++)
			for (unsigned sharers = 0; sharers < N; sharers++) {
				struct side *s = side_at(putter, 0);
				uint64_t n;

				put(3);
				store(&s->round, words[round]);
				store(&s->had, words[sum]);
				store(&s->sharers, words[sharers]);
				store(&s->waiting[WAIT_GET], words[(round + sum) % N]);
				store(&s->waiting[WAIT_TURN], words[(sum + sharers) % N]);
				n = share(sharers % 2);
				bad += n < 1 || n > 3;
				store(&s->sharers, 2);
				store(&s->waiting[WAIT_GET], 0);
				store(&s->waiting[WAIT_TURN], 0);
				while (share(0) != 0)
					;
			}
	IS(bad, 0, "%u forged rounds: a take is between one message and what is there", N * N * N);
	end(2);
}

int
main(void)
{
	room_make();
	divided();
	evened();
	behind_and_ahead();
	stuck();
	stopped();
	hostile();
	return tap_end();
}
