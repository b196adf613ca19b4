/* SPDX-License-Identifier: ISC
 *
 * scenes.c - the table of operations that processes are killed in. See scenes.h.
 *
 * An act's result is what it is without a kill; anything but MPQ_OK is a fault of the scene.
 */
#include <sys/syscall.h>

#include "op.h"
#include "owner.h"
#include "scenes.h"
#include "stage.h"

static struct mpq_run run2;
static struct mpq *other;
static struct mpq_owner me;

/* ---- building -------------------------------------------------------------------------------------------- */

/* Its last message has left its extent behind, for the next one (put.c). */
static void
is_idle(struct mpq *q)
{
	uint32_t r = LOW(get(&q->head->side[0].fresh));

	need(r != 0 && get(&extent_at(q, r)->msgs) == 0 ? MPQ_OK : MPQ_EMPTY);
}

static void
idle(struct mpq *q)
{
	used(q);
	is_idle(q);
}

/* Chunks of all sizes have been used; the tail, one of 64 KiB, has 1,000 bytes left. */
static void
nearly_full(struct mpq *q)
{
	int n = 0;

	for (; n < 1 + 4; n++)
		need(put_letters(q, 'p', 4000));
	for (; n < 5 + 16; n++)
		need(put_letters(q, 'a', 4000));
	need(put_letters(q, 'b', 500));
	get_many(q, n - 1);
}

/* The same, and there is a free chunk. */
static void
nearly_full_one_free(struct mpq *q)
{
	void *space;
	size_t size;

	nearly_full(q);
	mpq_writer_init(&writer, q, MPQ_LINES);
	need(mpq_writer_space(&writer, &space, &size));
	mpq_writer_reset(&writer);
}

/* The idle extent is where there are 500 bytes left of a chunk. */
static void
idle_at_the_end(struct mpq *q)
{
	nearly_full(q);
	get_many(q, 1);
	need(put_letters(q, 'c', 500));
	get_many(q, 2);
	is_idle(q);
}

/* Every message an extent of its own. */
static void
put_apart(struct mpq *q, const char *each)
{
	uint64_t put, bytes;

	for (; *each != '\0'; each++) {
		mpq_writer_init(&writer, q, MPQ_BARE);
		need(mpq_writer_append(&writer, each, 1));
		need(mpq_writer_commit(&writer, 1, 1, 0, &put, &bytes));
		mpq_writer_reset(&writer);
	}
}

static void
apart_abcdef(struct mpq *q)
{
	put_apart(q, "abcdef");
}

static void
hold_all(struct mpq *q)
{
	struct mpq_want want = { .msgs = 100, .bytes = UINT64_MAX };

	while (mpq_take(q, &want, 0, MPQ_NOW, &run) == MPQ_OK)
		need(mpq_settle(q, &run, run.msgs, run.bytes, MPQ_HOLD, &keeper));
}

static void
held_abcd(struct mpq *q)
{
	put_abcd(q);
	hold_all(q);
}

static void
got_abcd(struct mpq *q)
{
	put_abcd(q);
	get_many(q, 3);
}

/* One run of lines in four chunks. */
static void
over_four_chunks(struct mpq *q)
{
	uint64_t put, bytes;

	memset(letters, 'c', 60000);
	letters[60000] = '\n';
	mpq_writer_init(&writer, q, MPQ_LINES);
	for (int i = 0; i < 3; i++)
		need(mpq_writer_append(&writer, letters, 60001));
	need(mpq_writer_commit(&writer, 3, 3 * 60001, 0, &put, &bytes));
	mpq_writer_reset(&writer);
}

static void
punched(struct mpq *q)
{
	long_message(q);
	take(q, 1, &run);
	need(mpq_settle(q, &run, 1, run.bytes, MPQ_DONE, NULL));
	need(HIGH(get(&q->head->absent)) != 0 ? MPQ_OK : MPQ_EMPTY);
	put_a(q);
	need(put_letters(q, 'y', 600000));   /* the free chunks that have kept their memory, and more */
	need(HIGH(get(&q->head->absent)) != 0 ? MPQ_OK : MPQ_EMPTY);
}

/* One of everything in hand: a taken run, another with a mark of attempts, a reservation, a pin. */
static void
everything(struct mpq *q)
{
	struct mpq_want want = { .msgs = 1, .flags = MPQ_PEEK };
	void *space;
	size_t size;

	take(q, 1, &run);
	take(q, 2, &run2);
	need(mpq_take(q, &want, 0, MPQ_NOW, &run));
	mpq_writer_init(&writer, q, MPQ_LINES);
	need(mpq_writer_space(&writer, &space, &size));
}

static void
abcd_everything(struct mpq *q)
{
	put_abcd(q);
	everything(q);
}

/* "a" and "b" go from end 1 to end 2, "c" and "d" back. */
static void
pipe_abcd(struct mpq *q)
{
	struct mpq *back = open_queue(QUEUE "@2");

	put_text(q, "a");
	put_text(q, "b");
	put_text(back, "c");
	put_text(back, "d");
	mpq_detach(back);
}

static void
own(struct mpq *q)
{
	need(mpq_owner_of(getpid(), &me));
	need(mpq_own_end(q, &me));
}

static void
own_pipe_abcd(struct mpq *q)
{
	pipe_abcd(q);
	own(q);
}

/* The other end has sent something; there is nothing for it. */
static void
own_pipe_get(struct mpq *q)
{
	struct mpq *back = open_queue(QUEUE "@2");

	put_a(back);
	mpq_detach(back);
	own(q);
}

/* Who puts owns the end. */
static void
own_pipe(struct mpq *q)
{
	put_a(q);
	own(q);
}

/* It has had its share and waits until others have had theirs. */
static void
abcd_in_turn(struct mpq *q)
{
	uint32_t slot;

	put_abcd(q);
	take(q, 1, &run);
	need(op_enter(q, MPQ_FOREVER));
	need(op_leave(q, owner_share(q, 0, &slot), NULL));
	need(op_enter(q, MPQ_FOREVER));
	need(op_leave(q, owner_wait(q, 0, WAIT_TURN), NULL));
}

/* ---- in the process that dies ---------------------------------------------------------------------------- */

static void
write_lines(struct mpq *q)
{
	mpq_writer_init(&writer, q, MPQ_LINES);
	need(mpq_writer_append(&writer, "l1\nl2\nl3\npart", 13));
}

/* The last message comes and goes while the stream is being written. */
static void
write_lines_idle(struct mpq *q)
{
	write_lines(q);
	used(q);
	is_idle(q);
}

static void
know_owner(struct mpq *q)
{
	know_self(q);
	need(mpq_owner_of(getpid(), &me));
}

static void
open_other(struct mpq *q)
{
	other = open_queue(OTHER);
	know_self(q);
	know_self(other);
}

static void
take_three(struct mpq *q)
{
	take_run(q, 3);
}

static int
share(struct mpq *q, uint64_t most, mpq_time deadline)
{
	struct mpq_want want = { .msgs = most, .bytes = UINT64_MAX, .flags = MPQ_SHARE };

	return mpq_take(q, &want, 0, deadline, &run);
}

/* Two take in bulk; each has had a share of two in this round. */
static void
two_sharers(struct mpq *q)
{
	other = open_queue(QUEUE);
	know_self(q);
	need(share(other, 100, MPQ_NOW));
	need(mpq_settle(other, &run, 0, 0, MPQ_GOT, NULL));
	need(share(q, 100, MPQ_NOW));
	need(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	need(share(other, 2, MPQ_NOW));
	need(mpq_settle(other, &run, 0, 0, MPQ_GOT, NULL));
	need(mpq_sweep(q));
}

static void
sharer_with_share(struct mpq *q)
{
	two_sharers(q);
	need(share(q, 100, MPQ_NOW));
	need(run.msgs == 2 ? MPQ_OK : MPQ_EMPTY);
}

/* What the clock says that nobody sets forward (ops.c). */
static mpq_time
real_now(void)
{
	struct timespec ts;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
	return (mpq_time)ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Somebody else was woken just now, and nobody has been given up. */
static void
wake_another(struct mpq *q)
{
	struct events *e = &q->head->events[0];

	e->coming[WAIT_GET] = 1;
	e->woken[WAIT_GET] = (uint64_t)tick_now();
	e->given_up = 0;
}

/* The clock goes on by a tenth of a millisecond whenever it is asked (ops.c), so that the time is once up at each of the
 * looks at it: there are messages, whenever that is. */
static void
not_our_turn(struct mpq *q)
{
	mpq_time since, ours;

	two_sharers(q);
	for (int tenths = 0; tenths < 20; tenths++) {
		wake_another(q);
		need(share(q, 100, mpq_now() + tenths * MS / 10));
		need(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	}
	wake_another(q);
	since = real_now(), ours = mpq_now();
	need(share(q, 100, (since > ours ? since : ours) + 20 * MS));  /* a slow machine leaves our clock behind the kernel's */
	need(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	need(real_now() - since >= 5 * MS ? MPQ_OK : MPQ_EMPTY);     /* it sleeps until others have had theirs */
	wake_another(q);
}

/* ---- acts ------------------------------------------------------------------------------------------------ */

static int
act_put_4000(struct mpq *q)
{
	return mpq_put(q, letters, 4000, MPQ_NOW);
}

static int
act_put_4096(struct mpq *q)
{
	return mpq_put(q, letters, 4096, MPQ_NOW);
}

static int
act_space(struct mpq *q)
{
	void *space;
	size_t size;

	mpq_writer_init(&writer, q, MPQ_LINES);
	return mpq_writer_space(&writer, &space, &size);
}

static int
act_reset(struct mpq *q)
{
	(void)q;
	mpq_writer_reset(&writer);
	return MPQ_OK;
}

static int
act_share(struct mpq *q)
{
	return share(q, 100, MPQ_NOW);
}

/* It sleeps, for the other does not come, and takes what is there when its time is over. */
static int
act_share_in_turn(struct mpq *q)
{
	return share(q, 100, in_ms(2));
}

static int
act_commit(struct mpq *q)
{
	uint64_t put, bytes;

	(void)q;
	return mpq_writer_commit(&writer, 3, 9, 0, &put, &bytes);
}

static int
act_get(struct mpq *q)
{
	unsigned char buffer[8];
	size_t len;

	return mpq_get(q, buffer, sizeof buffer, &len, MPQ_NOW);
}

static int
act_get_4000(struct mpq *q)
{
	static unsigned char buffer[4096];
	size_t len;

	return mpq_get(q, buffer, sizeof buffer, &len, MPQ_NOW);
}

static int
act_settle_punch(struct mpq *q)
{
	int err = act_settle_done(q);

	return err == MPQ_OK && HIGH(get(&q->head->absent)) == 0 ? MPQ_EMPTY : err;
}

static int
act_settle_one(struct mpq *q)
{
	return mpq_settle(q, &run, 1, 2, MPQ_GOT, NULL);
}

static int
act_hold(struct mpq *q)
{
	return mpq_settle(q, &run, 2, 4, MPQ_HOLD, &keeper);
}

static int
act_count(struct mpq *q)
{
	return mpq_task_done(q, NULL, 2, 0, NULL);
}

static int
act_done(struct mpq *q)
{
	return mpq_task_done(q, &keeper, 3, 0, NULL);
}

static int
act_requeue(struct mpq *q)
{
	return mpq_task_done(q, &keeper, 3, 1, NULL);
}

static int
act_close_write(struct mpq *q)
{
	return mpq_close(q, MPQ_CLOSE_WRITE);
}

static int
act_own(struct mpq *q)
{
	return mpq_own_end(q, &me);
}

static int
act_own_other(struct mpq *q)
{
	return mpq_own_end(q, &keeper);
}

/* The right answer is a no. */
static int
no(int got, int expected)
{
	return got == expected ? MPQ_OK : MPQ_INTR;
}

static int
act_get_closed(struct mpq *q)
{
	unsigned char buffer[8];
	size_t len;

	return no(mpq_get(q, buffer, sizeof buffer, &len, MPQ_NOW), MPQ_CLOSED);
}

static int
act_put_full(struct mpq *q)
{
	return no(mpq_put(q, "x", 1, MPQ_NOW), MPQ_FULL);
}

static int
act_put_asleep(struct mpq *q)
{
	return no(mpq_put(q, "x", 1, in_ms(1)), MPQ_FULL);
}

static int
act_get_asleep(struct mpq *q)
{
	unsigned char buffer[8];
	size_t len;

	return no(mpq_get(q, buffer, sizeof buffer, &len, in_ms(1)), MPQ_EMPTY);
}

static int
act_join_asleep(struct mpq *q)
{
	return no(mpq_join(q, 0, in_ms(1)), MPQ_NOTYET);
}

static int
act_watch(struct mpq *q)
{
	struct mpq_watch w[2] = { { .q = q, .what = MPQ_READY_GET }, { .q = q, .what = MPQ_READY_JOIN } };

	return no(mpq_wait(w, 2, in_ms(1)), MPQ_NOTYET);
}

/* What mpq-get does with many messages: take, read, settle. */
static int
act_get_bulk(struct mpq *q)
{
	struct mpq_want want = { .msgs = 100, .bytes = UINT64_MAX };
	struct iovec iov[8];
	int got, err = mpq_take(q, &want, 0, MPQ_NOW, &run);

	if (err != MPQ_OK || (err = mpq_run_map(q, &run, 0, iov, 8, &got)) != MPQ_OK)
		return err;
	return act_settle_all(q);
}

/* What mpq-move does with a run: read it into a writer of the other queue, put it there, settle it here. */
static int
act_move(struct mpq *q)
{
	struct mpq_want want = { .msgs = 3, .bytes = UINT64_MAX };
	uint64_t put, bytes;
	struct iovec iov[4];
	int got, err = mpq_take(q, &want, 0, MPQ_NOW, &run);

	if (err != MPQ_OK || (err = mpq_run_map(q, &run, 0, iov, 4, &got)) != MPQ_OK)
		return err;
	mpq_writer_init(&writer, other, run.framing);
	for (int i = 0; i < got; i++)
		if ((err = mpq_writer_append(&writer, iov[i].iov_base, iov[i].iov_len)) != MPQ_OK)
			return err;
	err = mpq_writer_commit(&writer, run.msgs, run.bytes, 0, &put, &bytes);
	mpq_writer_reset(&writer);
	return err != MPQ_OK ? err : mpq_settle(q, &run, put, bytes, MPQ_DONE, NULL);
}

static int
act_join(struct mpq *q)
{
	return mpq_join(q, 0, MPQ_NOW);
}

static int
act_peek(struct mpq *q)
{
	struct mpq_want want = { .msgs = 2, .bytes = UINT64_MAX, .flags = MPQ_PEEK };
	int err = mpq_take(q, &want, 0, MPQ_NOW, &run);

	return err == MPQ_OK ? mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL) : err;
}

static int
act_detach(struct mpq *q)
{
	mpq_detach(q);
	return MPQ_OK;
}

static int
act_create(struct mpq *q)
{
	struct mpq_bounds bounds = { .mode = 0600 };

	(void)q;
	return mpq_create(&place, QUEUE, &bounds, NULL);
}

/* ---- is it done? for scenes with a sleeper --------------------------------------------------------------- */

static bool
put_twice(const struct mpq_stat *st)         /* of "used" one has gone before */
{
	return st->puts == 2;
}

static bool
got_one(const struct mpq_stat *st)
{
	return st->gets == 1;
}

static bool
done_one(const struct mpq_stat *st)
{
	return st->dones == 1;
}

static bool
is_closed(const struct mpq_stat *st)
{
	return st->closed;
}

static bool
came_back(const struct mpq_stat *st)
{
	return st->held == 1;
}

/* ---- the table ------------------------------------------------------------------------------------------- */

#define PIPE(one, two) one " | " two
#define Q(unfinished, held, attempts, messages)                                                                  \
	"unfinished " #unfinished " held " #held " attempts " #attempts " :" messages
/* Nothing is to be seen of the act. */
#define STAYS(words) .before = words, .after = words

const struct scene scenes[] = {
	{ .name = "put, the first, with growth", .act = act_put,
	    .before = Q(0, 0, 0, ""), .after = Q(1, 0, 0, " x") },
	{ .name = "put at the tail", .build = put_a, .act = act_put, .flags = REAL | DEEP,
	    .before = Q(1, 0, 0, " a"), .after = Q(2, 0, 0, " a x") },
	{ .name = "put into the idle extent", .build = idle, .act = act_put, .flags = REAL | DEEP,
	    .before = Q(0, 0, 0, ""), .after = Q(1, 0, 0, " x") },
	{ .name = "put into another chunk than the idle extent's", .build = idle, .ready = letters_x, .act = act_put_4096,
	    .flags = DEEP,
	    .before = Q(0, 0, 0, ""), .after = Q(1, 0, 0, " x*4096") },
	{ .name = "put into the idle extent, at the end of its chunk", .build = idle_at_the_end, .ready = letters_x,
	    .act = act_put_4000,
	    .before = Q(23, 0, 0, ""), .after = Q(24, 0, 0, " x*4000") },
	{ .name = "close now, with an idle extent", .build = idle, .act = act_close_now,
	    .before = Q(0, 0, 0, ""), .after = "closed " Q(0, 0, 0, "") },
	{ .name = "put into the next chunk", .build = nearly_full_one_free, .ready = letters_x, .act = act_put_4000,
	    .before = Q(22, 0, 0, " a*4000 b*500"), .after = Q(23, 0, 0, " a*4000 b*500 x*4000") },
	{ .name = "put into the next chunk, with growth", .build = nearly_full, .ready = letters_x,
	    .act = act_put_4000,
	    .before = Q(22, 0, 0, " a*4000 b*500"), .after = Q(23, 0, 0, " a*4000 b*500 x*4000") },
	{ .name = "put, larger than a chunk", .build = put_a, .ready = letters_x, .act = act_put_long,
	    .before = Q(1, 0, 0, " a"), .after = Q(2, 0, 0, " a x*70000") },
	{ .name = "commit of a stream", .build = put_a, .ready = write_lines, .act = act_commit, .flags = REAL,
	    .before = Q(1, 0, 0, " a"), .after = Q(4, 0, 0, " a l1 l2 l3") },
	{ .name = "the first memory for a stream, with an idle extent", .build = idle, .ready = know_self, .act = act_space,
	    .flags = SAME | DEEP,
	    STAYS(Q(0, 0, 0, "")) },
	{ .name = "commit of a stream after an idle extent", .ready = write_lines_idle, .act = act_commit,
	    .flags = REAL | DEEP,
	    .before = Q(0, 0, 0, ""), .after = Q(3, 0, 0, " l1 l2 l3") },
	{ .name = "a stream given up beside an idle extent", .ready = write_lines_idle, .act = act_reset, .flags = SAME | REAL,
	    STAYS(Q(0, 0, 0, "")) },
	{ .name = "get", .build = put_abcd, .act = act_get, .flags = REAL | DEEP,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " b c d") },
	{ .name = "get the last, which leaves an idle extent", .build = put_a, .act = act_get, .flags = REAL | DEEP,
	    .before = Q(1, 0, 0, " a"), .after = Q(1, 0, 0, "") },
	{ .name = "get, long", .build = nearly_full, .act = act_get_4000,
	    .before = Q(22, 0, 0, " a*4000 b*500"), .after = Q(22, 0, 0, " b*500") },
	{ .name = "take", .build = put_abcd, .ready = know_self, .act = act_take, .flags = REAL,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 1, " a b c d") },
	{ .name = "take a share, as the second of two", .build = put_abcd, .ready = two_sharers, .act = act_share,
	    .flags = SAME | DEEP,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "settle a share", .build = put_abcd, .ready = sharer_with_share, .act = act_settle_all,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " c d") },
	{ .name = "detach of a sharer", .build = put_abcd, .ready = sharer_with_share, .act = act_detach, .flags = SAME,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "take a share, asleep until others have had theirs", .build = put_abcd, .ready = not_our_turn,
	    .act = act_share_in_turn, .flags = SAME,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "sweep of a sharer who died waiting for his turn", .build = abcd_in_turn, .act = mpq_sweep,
	    .flags = SAME | DIES | DEEP,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "settle all", .build = put_abcd, .ready = take_three, .act = act_settle_all,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " d") },
	{ .name = "settle one of three", .build = put_abcd, .ready = take_three,
	    .act = act_settle_one, .flags = REAL | DEEP,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " b c d") },
	{ .name = "settle the last as done", .build = put_a, .ready = take_one, .act = act_settle_done,
	    .before = Q(1, 0, 0, " a"), .after = Q(0, 0, 0, "") },
	{ .name = "settle none", .build = put_abcd, .ready = take_three, .act = act_settle_none, .flags = SAME,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "settle, hold two of three", .build = put_abcd, .ready = take_three, .act = act_hold,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 2, 0, " c d") },
	{ .name = "settle with memory given back", .build = long_message, .ready = take_one, .act = act_settle_punch,
	    .before = Q(1, 0, 0, " z*1300000"), .after = Q(0, 0, 0, "") },
	{ .name = "put into memory given back", .build = punched, .ready = letters_x, .act = act_put_long,
	    .before = Q(2, 0, 0, " a y*600000"), .after = Q(3, 0, 0, " a y*600000 x*70000") },
	{ .name = "peek", .build = put_abcd, .act = act_peek, .flags = SAME,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "task-done, counted", .build = got_abcd, .act = act_count,
	    .before = Q(4, 0, 0, " d"), .after = Q(2, 0, 0, " d") },
	{ .name = "task-done of a holder", .build = held_abcd, .ready = know_self, .act = act_done, .flags = REAL,
	    .before = Q(4, 4, 0, ""), .after = Q(1, 1, 0, "") },
	{ .name = "task-done, requeued", .build = held_abcd, .ready = know_self, .act = act_requeue, .flags = DEEP,
	    .before = Q(4, 4, 0, ""), .after = Q(4, 1, 0, " a b c") },
	{ .name = "task-done of all", .build = held_abcd, .ready = know_self, .act = act_done_all,
	    .before = Q(4, 4, 0, ""), .after = Q(0, 0, 0, "") },
	{ .name = "close", .build = put_abcd, .act = act_close, .flags = REAL,
	    .before = Q(4, 0, 0, " a b c d"), .after = "closed " Q(4, 0, 0, " a b c d") },
	{ .name = "close now", .build = apart_abcdef, .act = act_close_now, .flags = DEEP,
	    .before = Q(6, 0, 0, " a b c d e f"), .after = "closed " Q(0, 0, 0, "") },
	{ .name = "join", .act = act_join, .flags = SAME,
	    STAYS(Q(0, 0, 0, "")) },
	{ .name = "remove", .build = put_a, .act = act_remove, .flags = BARE,
	    .before = Q(1, 0, 0, " a"), .after = "gone" },
	{ .name = "create", .act = act_create, .flags = BARE | NO_QUEUE,
	    .before = "gone", .after = Q(0, 0, 0, "") },
	{ .name = "detach with things in hand", .build = put_abcd, .ready = everything,
	    .act = act_detach, .flags = SAME,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "sweep of a dead owner", .build = abcd_everything, .act = mpq_sweep, .flags = SAME | DIES | DEEP,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "sweep of a pipe's dead end", .build = own_pipe,
	    .act = mpq_sweep, .flags = SAME | DIES | DEEP, .end = "@2",
	    STAYS(PIPE("closed shut " Q(1, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " a ended"))) },
	{ .name = "get that finds the other end's owner dead", .build = own_pipe_get,
	    .act = act_get_closed, .flags = SAME | DIES, .end = "@2",
	    STAYS(PIPE("closed shut " Q(0, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " ended"))) },
	{ .name = "put at an end", .build = pipe_abcd, .act = act_put, .flags = REAL | DEEP, .end = "@1",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE(Q(3, 0, 0, " c d"), Q(2, 0, 0, " a b x")) },
	{ .name = "get at an end", .build = pipe_abcd, .act = act_get, .flags = REAL | DEEP, .end = "@2",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " b")) },
	{ .name = "close an end", .build = pipe_abcd, .act = act_close, .flags = REAL | DEEP, .end = "@1",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE("closed shut " Q(2, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " a b ended")) },
	{ .name = "close an end now", .build = pipe_abcd, .act = act_close_now, .flags = DEEP, .end = "@2",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE("closed shut " Q(0, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " ended")) },
	{ .name = "close what an end sends", .build = pipe_abcd, .act = act_close_write, .flags = REAL, .end = "@1",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE("shut " Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b ended")) },
	/* Who dies owns the end, or has owned it: that is seen by its being closed. */
	{ .name = "own an end", .build = pipe_abcd, .ready = know_owner, .act = act_own, .flags = REAL | DEEP,
	    .end = "@1",
	    .before = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")),
	    .after = PIPE("closed shut " Q(2, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " a b ended")) },
	{ .name = "own an end instead of another", .build = own_pipe_abcd, .act = act_own_other,
	    .flags = DIES, .end = "@1",
	    .before = PIPE("closed shut " Q(2, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " a b ended")),
	    .after = PIPE(Q(2, 0, 0, " c d"), Q(2, 0, 0, " a b")) },
	{ .name = "move to another queue", .build = put_abcd, .ready = open_other, .act = act_move, .flags = TWO,
	    .before = Q(4, 0, 0, " a b c d") " | " Q(0, 0, 0, ""), .after = Q(1, 0, 0, " d") " | " Q(3, 0, 0, " a b c"),
	    .between = Q(4, 0, 0, " a b c d") " | " Q(3, 0, 0, " a b c") },
	{ .name = "put, full", .build = put_abcd, .act = act_put_full, .flags = SAME, .maxsize = 4,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "put, asleep", .build = put_abcd, .ready = know_self, .act = act_put_asleep, .flags = SAME,
	    .maxsize = 4,
	    STAYS(Q(4, 0, 0, " a b c d")) },
	{ .name = "get, asleep", .build = used, .ready = know_self, .act = act_get_asleep, .flags = SAME,
	    STAYS(Q(0, 0, 0, "")) },
	{ .name = "join, asleep", .build = put_a, .ready = know_self, .act = act_join_asleep, .flags = SAME,
	    STAYS(Q(1, 0, 0, " a")) },
	{ .name = "watch for two things, asleep", .build = got_a, .ready = know_self, .act = act_watch,
	    .flags = SAME | DEEP,
	    STAYS(Q(1, 0, 0, "")) },
	{ .name = "get in bulk, chunks freed", .build = over_four_chunks, .ready = know_self, .act = act_get_bulk,
	    .before = Q(3, 0, 0, " c*60000 c*60000 c*60000"), .after = Q(3, 0, 0, "") },
	{ .name = "put for a getter asleep", .build = used, .act = act_put, .flags = REAL,
	    .before = Q(0, 0, 0, ""), .after = Q(1, 0, 0, " x"), .asleep = GETTER, .acted = put_twice },
	{ .name = "get for a putter asleep", .build = put_abcd, .act = act_get, .flags = REAL, .maxsize = 4,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " b c d"), .asleep = PUTTER, .acted = got_one },
	{ .name = "settle for a joiner asleep", .build = put_a, .ready = take_one, .act = act_settle_done,
	    .flags = REAL,
	    .before = Q(1, 0, 0, " a"), .after = Q(0, 0, 0, ""), .asleep = JOINER, .acted = done_one },
	{ .name = "requeue for a getter asleep", .build = held_abcd, .ready = know_self, .act = act_requeue,
	    .before = Q(4, 4, 0, ""), .after = Q(4, 1, 0, " a b c"), .asleep = GETTER, .acted = came_back },
	{ .name = "close for a getter asleep", .build = used, .act = act_close,
	    .before = Q(0, 0, 0, ""), .after = "closed " Q(0, 0, 0, ""),
	    .asleep = GETTER, .acted = is_closed, .told = MPQ_CLOSED },
	{ .name = "close an end for a getter asleep at the other", .act = act_close, .end = "@1",
	    .before = PIPE(Q(0, 0, 0, ""), Q(0, 0, 0, "")),
	    .after = PIPE("closed shut " Q(0, 0, 0, " ended"), "closed shut " Q(0, 0, 0, " ended")),
	    .asleep = GETTER, .acted = is_closed, .told = MPQ_CLOSED },
	{ .name = "remove for a getter asleep", .build = used, .act = act_remove, .flags = BARE,
	    .before = Q(0, 0, 0, ""), .after = "gone", .asleep = GETTER, .told = MPQ_GONE },
	{ .name = "put for a watcher asleep", .build = used, .act = act_put, .flags = REAL,
	    .before = Q(0, 0, 0, ""), .after = Q(1, 0, 0, " x"), .asleep = WATCHES_GET, .acted = put_twice },
	{ .name = "get for a watcher asleep", .build = put_abcd, .act = act_get, .maxsize = 4,
	    .before = Q(4, 0, 0, " a b c d"), .after = Q(4, 0, 0, " b c d"), .asleep = WATCHES_PUT, .acted = got_one },
	{ .name = "settle for a watcher asleep", .build = put_a, .ready = take_one, .act = act_settle_done,
	    .before = Q(1, 0, 0, " a"), .after = Q(0, 0, 0, ""), .asleep = WATCHES_JOIN, .acted = done_one },
	{ .name = "remove for a watcher asleep", .build = used, .act = act_remove, .flags = BARE,
	    .before = Q(0, 0, 0, ""), .after = "gone", .asleep = WATCHES_GET, .told = MPQ_GONE },
};
const size_t nscenes = sizeof scenes / sizeof scenes[0];
