/* SPDX-License-Identifier: ISC
 *
 * space.c - no space is lost: whatever a process had in hand when it was killed, afterwards free space and messages are
 * all there is, by the accounts of the segment and by what can be put again.
 *
 * The room is bounded by RLIMIT_FSIZE, so that "full" is the same for everybody and takes no privilege. mpq_check walks
 * all chunks: each is free, a pool's, or belongs to messages as often as it says (lib/check.c).
 */
#include <sys/resource.h>

#include "handle.h"
#include "room.h"

#define ROOM (6u << 20)
#define PIECE 60000u                 /* near a chunk */
#define LARGE (1u << 20)
#define ROUNDS 8

static char *buffer;

enum death { RESERVES, FILLS, TAKES_ALL, TAKES_ONE, LOOKS, LOOKS_ON, HOLDS, SLEEPS, PUTS, DEATHS };

static const char *const names[DEATHS] = { "space reserved", "bytes of a message that is not put", "all messages taken",
	"the first taken", "a look at all", "a look at what others have got and dropped", "held messages", "a sleep",
	"puts that could not all be made" };

/* Messages until there is no more room; then all are got. 0: something else went wrong. */
static unsigned
capacity(struct mpq *q)
{
	unsigned n = 0, got = 0;
	size_t len;
	int err;

	while ((err = mpq_put(q, buffer, PIECE, MPQ_NOW)) == MPQ_OK)
		n++;
	if (err != -EFBIG || mpq_check(q) != MPQ_OK)
		return 0;
	while (mpq_get(q, buffer, LARGE, &len, MPQ_NOW) == MPQ_OK)
		got++;
	return got == n ? n : 0;
}

/* Chunks that are on no list of free ones: pools, messages, and what would be lost. */
static uint64_t
in_use(const struct mpq *q)
{
	const struct head *head = q->head;

	return get(&head->chunks) - HIGH(get(&head->free)) - HIGH(get(&head->small)) - HIGH(get(&head->absent));
}

/* Have that in hand, then say so. */
static int
take_in_hand(enum death death, struct mpq *q)
{
	struct mpq_want want = { .msgs = death == TAKES_ONE ? 1 : UINT64_MAX, .bytes = UINT64_MAX,
		.flags = death == LOOKS || death == LOOKS_ON ? MPQ_PEEK : 0 };
	static struct mpq_writer w;
	static struct mpq_run run;
	struct mpq_owner me;
	uint64_t after = 0;
	int err;

	mpq_writer_init(&w, q, MPQ_BARE);
	switch (death) {
	case RESERVES:
	case FILLS:
		if ((err = mpq_writer_append(&w, buffer, death == FILLS ? 2 * LARGE : 1)) == MPQ_OK && death == RESERVES) {
			void *space;
			size_t size;

			err = mpq_writer_space(&w, &space, &size);
		}
		return err;
	case SLEEPS:
		return MPQ_OK;
	case PUTS:
		while ((err = mpq_put(q, buffer, PIECE, MPQ_NOW)) == MPQ_OK)
			;
		return err == -EFBIG && mpq_writer_append(&w, buffer, LARGE) == -EFBIG ? MPQ_OK : MPQ_DAMAGED;
	default:
		break;
	}
	if ((err = mpq_owner_of(getpid(), &me)) != MPQ_OK)
		return err;
	while ((err = mpq_take(q, &want, after, MPQ_NOW, &run)) == MPQ_OK) {
		after = run.seq + run.msgs;
		if (death == HOLDS && (err = mpq_settle(q, &run, run.msgs, run.bytes, MPQ_HOLD, &me)) != MPQ_OK)
			return err;
		if (death == TAKES_ONE)
			return MPQ_OK;
	}
	return err == MPQ_EMPTY ? MPQ_OK : err;
}

static void
dies(enum death death, struct mpq *mine)
{
	volatile int *ready = shared(sizeof *ready);
	size_t len;
	pid_t pid = child();

	if (pid == 0) {
		struct mpq *q = room_open("space");
		int err = take_in_hand(death, q);

		*ready = err == MPQ_OK ? 1 : 1000 + err;
		if (death == SLEEPS)
			mpq_join(q, 0, MPQ_FOREVER);
		for (;;)
			pause();
	}
	UNTIL(*ready != 0);
	IS(*ready, 1, "a process has %s", names[death]);
	if (death == SLEEPS)
		OK(UNTIL(get(&mine->head->side[0].waiting[WAIT_JOIN]) == 1), "it is written down");
	while (death == LOOKS_ON && mpq_get(mine, buffer, LARGE, &len, MPQ_NOW) == MPQ_OK)
		;
	kill_child(pid);
}

/* Three messages, one death, and all is as before. */
static void
round_of(enum death death, struct mpq *q)
{
	static const unsigned sizes[] = { 10, 70000, 300000 };
	struct mpq_stat before, after;
	uint64_t chunks, slots;
	size_t len;

	for (int i = 0; i < 3; i++)
		IS(mpq_put(q, buffer, sizes[i], MPQ_NOW), MPQ_OK, "put");
	chunks = in_use(q), slots = get(&q->head->nslots);
	IS(mpq_stat(q, &before), MPQ_OK, "stat");
	dies(death, q);
	IS(mpq_sweep(q), MPQ_OK, "it is killed, and found dead");
	IS(mpq_check(q), MPQ_OK, "every chunk is free, a pool's or a message's");
	IS(mpq_stat(q, &after), MPQ_OK, "stat");
	if (death == PUTS)           /* what was put stays put */
		OK(after.size > before.size && after.bytes == before.bytes + (after.size - before.size) * PIECE,
		    "only whole messages are more");
	else if (death != LOOKS_ON) {
		OK(after.size == before.size && after.bytes == before.bytes && after.held == 0, "the messages are there");
		IS(in_use(q), chunks, "in as many chunks as before");
	}
	IS(get(&q->head->nslots), slots, "nobody is left in the table");
	while (mpq_get(q, buffer, LARGE, &len, MPQ_NOW) == MPQ_OK)
		;
}

int
main(void)
{
	struct rlimit limit;
	struct mpq *q;
	uint64_t chunks;
	unsigned room_for;

	room_make();
	buffer = calloc(1, 2 * LARGE);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = ROOM;
	setrlimit(RLIMIT_FSIZE, &limit);
	q = room_queue("space", 0, 0, MPQ_QUEUE);
	room_for = capacity(q);
	OK(room_for >= ROOM / CHUNK - 8, "there is room for %u messages", room_for);
	chunks = in_use(q);
	for (int i = 0; i < ROUNDS; i++)
		for (enum death death = 0; death < DEATHS && tap_failures == 0; death++)     /* what is lost stays lost */
			round_of(death, q);
	IS(capacity(q), room_for, "after %d deaths there is room for as many", ROUNDS * DEATHS);
	OK(in_use(q) <= chunks + 1, "and no more chunks are in use (%llu, %llu)", (unsigned long long)in_use(q),
	    (unsigned long long)chunks);
	mpq_detach(q);
	return tap_end();
}
