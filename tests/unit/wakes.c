/* SPDX-License-Identifier: ISC
 *
 * wakes.c - who is woken: one sleeper at a time while messages come one by one, and each of them in the end; the next one
 * when he who was woken is dead or stopped, or leaves without what he came for; all that share a run.
 */
#include <linux/futex.h>

#include "op.h"
#include "room.h"

#define GETTERS 8

static pid_t pid[GETTERS];
static struct mpq *q;

static bool
all_wait(unsigned n)
{
	struct mpq_stat st;

	return mpq_stat(q, &st) == MPQ_OK && st.getters == n;
}

/* GETTERS processes that get one message each; their status says whether they did. */
static void
start(int (*act)(struct mpq *h))
{
	for (unsigned i = 0; i < GETTERS; i++)
		if ((pid[i] = child()) == 0)
			_exit(act(room_open("wakes")));
	UNTIL(all_wait(GETTERS));
	for (unsigned i = 0; i < GETTERS; i++)
		UNTIL(process_state(pid[i]) == 'S');
}

static int
get_one(struct mpq *h)
{
	char text[8];
	size_t len;

	return mpq_get(h, text, sizeof text, &len, MPQ_FOREVER);
}

/* Messages one by one, faster than anybody wakes: who was woken first wakes the next, and so on. */
static void
chain(void)
{
	enum { ROUNDS = 40 };
	unsigned slow = 0, bad = 0;
	mpq_time since;

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	for (unsigned round = 0; round < ROUNDS; round++) {
		start(get_one);
		since = mpq_now();
		for (unsigned i = 0; i < GETTERS; i++)
			bad += mpq_put(q, "x", 1, MPQ_NOW) != MPQ_OK;
		for (unsigned i = 0; i < GETTERS; i++)
			bad += reap_child(pid[i]) != MPQ_OK;
		slow += mpq_now() - since > 240 * MS;
	}
	IS(bad, 0, "%d getters get %d messages each", GETTERS, ROUNDS);
	OK(slow <= ROUNDS / 10, "no link of the chain is missing (%u rounds took long)", slow);
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
}

/* All but one of the sleepers are stopped or killed. The wakes go to them first, and are of no use. */
static void
of_no_use(int sig)
{
	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	start(get_one);
	for (unsigned i = 0; i + 1 < GETTERS; i++) {
		kill(pid[i], sig);
		if (sig == SIGKILL)
			waitpid(pid[i], NULL, 0);
		else
			UNTIL(process_state(pid[i]) == 'T');
	}
	IS(mpq_put(q, "x", 1, MPQ_NOW), MPQ_OK, "put when all but one are %s", sig == SIGKILL ? "dead" : "stopped");
	IS(reap_child(pid[GETTERS - 1]), MPQ_OK, "that one gets it");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	for (unsigned i = 0; i + 1 < GETTERS && sig != SIGKILL; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	mpq_detach(q);
}

/* One operation may find several reasons to wake: as many are woken as all of them need. */
static void
several_reasons(void)
{
	struct wakes wakes = { .any = false };

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	start(get_one);
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "lock");
	wake_note(q, &wakes, 0, WAIT_GET, 1);
	wake_note(q, &wakes, 0, WAIT_GET, 3);
	IS(wakes.n[0][WAIT_GET], 3, "three of %d are woken for one message, then three", GETTERS);
	wake_note(q, &wakes, 0, WAIT_GET, UINT64_MAX);
	OK(wakes.n[0][WAIT_GET] >= GETTERS, "and all when it comes to that");
	IS(wake_coming(q, 0, WAIT_GET), GETTERS, "all are on their way");
	IS(op_leave(q, MPQ_OK, &wakes), MPQ_OK, "unlock");
	for (unsigned i = 0; i < GETTERS; i++)
		kill_child(pid[i]);
	mpq_detach(q);
}

/* One getter is on his way, still written down, and others wait for their turn. A wake-up for two, or for one more after a
 * while, is for one of these. */
static void
behind_one_who_comes(void)
{
	struct wakes wakes = { .any = false };
	struct events *e;
	uint64_t *waiting;

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	e = &q->head->events[0], waiting = q->head->side[0].waiting;
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "lock");
	waiting[WAIT_GET] = 1, waiting[WAIT_TURN] = 2;
	e->coming[WAIT_GET] = 1, e->woken[WAIT_GET] = (uint64_t)tick_now();
	wake_note(q, &wakes, 0, WAIT_GET, 2);
	OK(wakes.n[0][WAIT_TURN] >= 1, "who waits for his turn is woken when there is something for two");
	wakes.any = false;
	e->coming[WAIT_GET] = 1, e->woken[WAIT_GET] = (uint64_t)(tick_now() - 100 * MS);
	wake_note(q, &wakes, 0, WAIT_GET, 1);
	IS(wakes.n[0][WAIT_TURN], 1, "and when the other is long in coming");
	waiting[WAIT_GET] = waiting[WAIT_TURN] = 0;
	IS(op_leave(q, MPQ_OK, NULL), MPQ_OK, "unlock");
	mpq_detach(q);
}

static pid_t
sleeper(int (*act)(struct mpq *h), unsigned n)
{
	pid_t p = child();

	if (p == 0)
		_exit(act(room_open("wakes")));
	OK(UNTIL(all_wait(n) && process_state(p) == 'S'), "%u asleep", n);
	return p;
}

/* An operation that sleeps once, finds that something has to be provided, and is counted on by others meanwhile. */
struct errand {
	struct op op;
	int tries;
};

static int
errand_try(struct mpq *h, struct op *op)
{
	struct wakes wakes = { .any = false };

	if (!op->slept)
		return MPQ_EMPTY;
	if (((struct errand *)op)->tries++ != 0)
		return MPQ_OK;
	wake_note(h, &wakes, 0, WAIT_GET, 1);        /* as if by others, as soon as the lock is free */
	return NEED_SELF;
}

static void
counted_on_while_away(void)
{
	struct errand errand = { .tries = 0 };

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	op_init(&errand.op, errand_try, 0, WAIT_GET, MPQ_EMPTY, in_ms(10));
	IS(op_run(q, &errand.op), MPQ_OK, "an operation that sleeps, and then lacks something");
	IS(errand.tries, 2, "and tries again");
	IS(wake_coming(q, 0, WAIT_GET), 0, "nobody is on his way");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
}

/* The time of a sleeper is up, and then somebody counts on him: he says that he is here, and not on his way any more. */
static int
get_for_a_while(struct mpq *h)
{
	char text[8];
	size_t len;

	return mpq_get(h, text, sizeof text, &len, in_ms(300));
}

static void
counted_on_too_late(void)
{
	struct wakes wakes = { .any = false };

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	pid[0] = sleeper(get_for_a_while, 1);
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "lock");
	OK(UNTIL(__atomic_load_n(q->lock, __ATOMIC_RELAXED) & FUTEX_WAITERS), "its time is up, and it wants the lock");
	wake_note(q, &wakes, 0, WAIT_GET, 1);
	IS(op_leave(q, MPQ_OK, &wakes), MPQ_OK, "it is counted on");
	IS(reap_child(pid[0]), MPQ_EMPTY, "it ends");
	IS(wake_coming(q, 0, WAIT_GET), 0, "nobody is on his way");
	mpq_detach(q);
}

static void
on_signal(int sig)
{
	(void)sig;
}

/* A getter with a small buffer, or whom a signal ends. */
static int
get_small(struct mpq *h)
{
	struct sigaction action = { .sa_handler = on_signal };
	char text[2];
	size_t len;

	sigaction(SIGUSR1, &action, NULL);
	return mpq_get(h, text, sizeof text, &len, MPQ_FOREVER);
}

static uint32_t
getters_word(void)
{
	return __atomic_load_n(&q->head->events[0].word[WAIT_GET], __ATOMIC_ACQUIRE);
}

/* The first of two is woken, and leaves without the message: it is too long for him, or a signal has come in the instant
 * between the moved word and the wake-up. The second is told of it: the word moves once for each. A second that has
 * looked by itself just then needs no telling; so it may be tried again. */
static void
leaves_without(bool by_signal)
{
	enum { TRIES = 5 };
	struct wakes wakes = { .any = false };
	bool told = false;

	for (int i = 0; i < TRIES && !told; i++) {
		uint32_t before;

		q = room_queue("wakes", 0, 0, MPQ_QUEUE);
		if (by_signal) {             /* a message that nobody has been told of, nor sees */
			IS(mpq_put(q, "long", 4, MPQ_NOW), MPQ_OK, "put");
			q->head->side[0].size = 0;
		}
		pid[0] = sleeper(get_small, 1);
		pid[1] = sleeper(get_one, 2);
		before = getters_word();
		if (by_signal) {
			IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "lock");
			q->head->side[0].size = 1;
			wake_note(q, &wakes, 0, WAIT_GET, 1);
			IS(op_leave(q, MPQ_OK, NULL), MPQ_OK, "unlock; the wake-up is yet to come");
			kill(pid[0], SIGUSR1);
		} else
			IS(mpq_put(q, "long", 4, MPQ_NOW), MPQ_OK, "put");
		IS(reap_child(pid[0]), by_signal ? MPQ_INTR : MPQ_TOOBIG, "the first leaves without it");
		IS(reap_child(pid[1]), MPQ_OK, "the second gets it");
		told = getters_word() == before + 2;
		IS(mpq_check(q), MPQ_OK, "the queue is whole");
		mpq_detach(q);
	}
	OK(told, "he was told of it");
}

/* ---- shares ---------------------------------------------------------------------------------------------- */

static int
get_shares(struct mpq *h)
{
	struct mpq_want want = { .msgs = UINT32_MAX, .bytes = UINT64_MAX, .flags = MPQ_SHARE };
	struct timespec work = { 0, 100000 };
	struct mpq_run run;
	uint64_t got = 0;
	int err;

	while ((err = mpq_take(h, &want, 0, MPQ_FOREVER, &run)) == MPQ_OK) {
		nanosleep(&work, NULL);      /* it is busy with them, and not asleep, when the next piece comes */
		if (mpq_settle(h, &run, run.msgs, run.bytes, MPQ_DONE, NULL) != MPQ_OK)
			return 200;
		got += run.msgs;
	}
	mpq_detach(h);
	return err == MPQ_CLOSED ? (int)(got / 100) : 201;
}

enum { PIECES = 16, LINES = 1000, FAIR = PIECES * LINES / GETTERS / 100, TIMES = 7 };

/* Sixteen pieces of 1,000 lines, to getters that are awake or asleep as it happens. The most, in hundreds. */
static int
share_out(void)
{
	static char lines[2 * LINES];
	int most = 0, least = 1000, got;
	struct mpq_writer w;
	uint64_t put, bytes;
	unsigned bad = 0;

	q = room_queue("wakes", 0, 0, MPQ_QUEUE);
	start(get_shares);
	for (unsigned i = 0; i < LINES; i++)
		lines[2 * i] = 'x', lines[2 * i + 1] = '\n';
	mpq_writer_init(&w, q, MPQ_LINES);
	for (unsigned i = 0; i < PIECES; i++) {
		struct mpq_stat st;

		bad += mpq_writer_append(&w, lines, sizeof lines) != MPQ_OK;
		bad += mpq_writer_commit(&w, LINES, sizeof lines, MPQ_NOW, &put, &bytes) != MPQ_OK;
		UNTIL(mpq_stat(q, &st) == MPQ_OK && st.size < LINES / 2);
	}
	mpq_writer_reset(&w);
	IS(bad, 0, "%d pieces", PIECES);
	IS(mpq_close(q, MPQ_CLOSE), MPQ_OK, "close");
	for (unsigned i = 0; i < GETTERS; i++) {
		got = reap_child(pid[i]);
		least = got < least ? got : least, most = got > most ? got : most;
	}
	OK(least > 0, "nobody is forgotten: %d to %d hundred, %d is fair", least, most, FAIR);
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
	return most;
}

static int
by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* On a busy machine a getter may be late once; not mostly. */
static void
shares(void)
{
	int most[TIMES];

	for (int i = 0; i < TIMES; i++)
		most[i] = share_out();
	qsort(most, TIMES, sizeof most[0], by_size);
	OK(most[TIMES / 2] <= FAIR + FAIR / 2, "nobody walks off with what is the others' (mostly at most %d hundred)",
	    most[TIMES / 2]);
}

int
main(void)
{
	room_make();
	chain();
	of_no_use(SIGKILL);
	of_no_use(SIGSTOP);
	several_reasons();
	behind_one_who_comes();
	counted_on_too_late();
	counted_on_while_away();
	leaves_without(false);
	leaves_without(true);
	shares();
	return tap_end();
}
