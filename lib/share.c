/* SPDX-License-Identifier: ISC
 *
 * share.c - fair shares: messages divided among those who take them in bulk. See share.h.
 *
 * A bulk getter is written down as a sharer until it leaves. They take in rounds: of what is there, each gets its part,
 * divided by those who have not had theirs in this round, or who wait. Who has had his and comes again while others,
 * who were woken, are on their way, goes to sleep behind them: the last of them wakes him (op.c, pass_on). Others who
 * are busy with what they have are not waited for: he begins the next round.
 *
 * Rounds alone are not fair: what is there grows while they go on, so that who comes late gets more of it, and who is
 * busy when a round begins may miss it. Eight who had fallen asleep shared 10,000 messages that came in three pieces as
 * 1 : 5. So the sums that were had count as well, with those of earlier rounds: who is behind the mean gets up to twice his
 * part, who is ahead of it leaves the rest to those on their way.
 *
 * How many are to be counted on shows in the round before: as many as came then, or one fewer than were counted on.
 * So part of the queue is left for those who are late, but soon nothing for one whose reader is stuck.
 */
#include "journal.h"
#include "share.h"

/* side.round: the number of the round, how many have had their share in it, how many were counted on (0: all). */
#define ROUND(number, had, due) PAIR(number, (uint32_t)(had) | (uint32_t)(due) << 16)
#define ROUND_HAD(round) (HIGH(round) & UINT16_MAX)
#define ROUND_DUE(round) (HIGH(round) >> 16)
#define MOST_SHARERS (UINT16_MAX - 1u)

#define PATIENCE ((mpq_time)50000000) /* ns for those on their way: a busy machine takes some ms to give them a processor */
#define MEMORY 128u                  /* rounds after which next to nothing is left of a sum */

/* Of a sum, what counts a round later. */
static uint64_t
faded(uint64_t sum)
{
	return sum - (sum + 31) / 32;
}

/* Woken getters who did not come when others waited for them: stopped, say. As many of those who are written down as
 * sleepers are not waited for any more, by nobody, until none has been woken for a while. */
static uint64_t
given_up(const struct mpq *q, uint32_t side, uint64_t coming, uint64_t waiting)
{
	uint64_t n = __atomic_load_n(&q->head->events[side].given_up, __ATOMIC_RELAXED);

	return coming == 0 ? 0 : n < waiting ? n : waiting;
}

/* Those who are on their way to their first share, or may have to be told of it, go first; but it is enough to have waited
 * for one another, and not for ever.
 *
 * `scarce`: there is not one message for each. Then it does not matter if one comes a little late, and it would be dear
 * to wait for him: a producer that feeds sleepers one message at a time always has one on his way. */
static bool
is_our_turn(struct mpq *q, struct op *op, uint64_t waiting, bool scarce)
{
	uint64_t coming = wake_coming(q, op->side, WAIT_GET), lost = given_up(q, op->side, coming, waiting);
	bool late = op->turn != 0 && mpq_now() >= op->turn;

	if (late && lost < coming)
		lost = coming < waiting ? coming : waiting;
	__atomic_store_n(&q->head->events[op->side].given_up, (uint32_t)lost, __ATOMIC_RELAXED);
	if (late || coming <= lost || (scarce && coming == 1) || (op->slept && waiting <= lost))
		return true;
	op->turn = op->turn != 0 ? op->turn : mpq_now() + PATIENCE;
	return false;
}

/* The next round begins: what was had fades, and so does the hope for those who did not come. */
static uint64_t
next_round(struct mpq *q, struct side *s, uint64_t round)
{
	uint32_t had = ROUND_HAD(round), due = ROUND_DUE(round);

	set(q, &s->had, faded(get(&s->had)));
	return ROUND(LOW(round) % UINT32_MAX + 1, 0, had + 1 > due ? had : due - 1);
}

/* Alone, for now: what was had before somebody comes is not held against anyone. */
static void
forget(struct mpq *q, struct side *s, uint64_t round)
{
	if (HIGH(round) != 0)
		set(q, &s->round, ROUND(LOW(round), 0, 0));
	if (get(&s->had) != 0)
		set(q, &s->had, 0);
	q->round = 0;
}

/* What this handle has had, as it counts in the round. */
static uint64_t
had_by_us(const struct mpq *q, uint32_t number)
{
	uint64_t had = q->had;

	if (q->round == 0 || number - q->round > MEMORY)
		return 0;
	for (uint32_t round = q->round; round != number; round++)
		had = faded(had);
	return had;
}

/* What is left to come to the mean, within bounds. */
static uint64_t
evened(uint64_t mean, uint64_t had, uint64_t least, uint64_t most)
{
	uint64_t left = mean > had ? mean - had : 0;

	return left > most ? most : left < least ? least : left;
}

/* Of the round: how many have had their share, how many are counted on, and those of them that have not had it: all who
 * sleep for messages at least. */
struct members {
	uint64_t had, due, rest;
};

static struct members
members_of(uint64_t round, uint64_t others, uint64_t waiting)
{
	struct members m = { .had = ROUND_HAD(round), .due = ROUND_DUE(round) };

	if (m.due == 0)
		m.due = others + 1;
	else if (m.due > others + waiting + 1)
		m.due = others + waiting + 1;
	m.rest = m.due > m.had + 1 ? m.due - m.had - 1 : 0;
	m.rest = m.rest > waiting ? m.rest : waiting;
	m.due = m.due > m.had + 1 + m.rest ? m.due : m.had + 1 + m.rest;
	return m;
}

static uint64_t
bounded(uint64_t n)
{
	return n < MOST_SHARERS ? n : MOST_SHARERS;
}

uint64_t
share_of(struct mpq *q, struct side *s, struct op *op, uint64_t want, struct share *share)
{
	uint64_t round = get(&s->round), size = get(&s->size), others = bounded(get(&s->sharers)), asleep, waiting;
	uint64_t part, least, most, lost;
	bool again = q->round != 0 && q->round == LOW(round);
	struct members m;

	*share = (struct share){ 0 };
	waiting = bounded(get(&s->waiting[WAIT_GET]));
	asleep = waiting + bounded(get(&s->waiting[WAIT_TURN]));
	others -= others != 0;                                          /* without us */
	asleep -= asleep != 0 && q->asleep != 0;
	waiting -= waiting != 0 && q->asleep == (WAIT_GET | op->side << 8);
	if ((others | waiting) == 0) {
		forget(q, s, round);
		return want;
	}
	if (again && !is_our_turn(q, op, waiting, size <= others))
		return 0;
	if (again || LOW(round) == 0 || ROUND_HAD(round) > others)
		round = next_round(q, s, round);
	m = members_of(round, others, waiting);
	set(q, &s->round, ROUND(LOW(round), bounded(m.had + 1), bounded(m.due)));
	*share = (struct share){ .number = LOW(round), .had = had_by_us(q, LOW(round)) };
	part = m.rest < size ? size / (m.rest + 1) : 1;
	/* Nothing but one message may be left for those who sleep, and will have it at once; of who is busy, nobody knows
	 * when he comes. */
	lost = given_up(q, op->side, UINT64_MAX, waiting);
	least = asleep > lost || size < m.due ? 1 : size / m.due;
	most = part <= size / 2 ? 2 * part : size > part ? size : part;
	part = evened((get(&s->had) + size) / m.due, share->had, least, most);
	return part < want ? part : want != 0 ? want : 1;
}

void
share_taken(struct mpq *q, struct side *s, const struct share *share, uint64_t msgs)
{
	if (share->number == 0)
		return;
	set(q, &s->had, get(&s->had) + msgs);
	q->round = share->number;
	q->had = share->had + msgs;
}
