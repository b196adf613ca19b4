/* SPDX-License-Identifier: ISC
 *
 * lock.c - the lock of a segment: one at a time, freed by death, found stuck; handles, forks, glibc's robust mutexes.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "lock.h"
#include "op.h"
#include "room.h"

struct words {
	volatile uint64_t count, inside, wrong;
	volatile int ready, result, again;
	volatile mpq_time when;
	pthread_mutex_t mutex;
};
static struct words *words;

static void
hold(struct mpq *q)
{
	bool died;

	if (lock_take(q, MPQ_FOREVER, &died) != MPQ_OK)
		abort();
}

static void
one_at_a_time(void)
{
	enum { PROCESSES = 4, TURNS = 20000 };
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	pid_t pid[PROCESSES];
	int bad = 0;

	for (int i = 0; i < PROCESSES; i++) {
		if ((pid[i] = child()) != 0)
			continue;
		mpq_detach(q);
		q = room_open("lock");
		for (int n = 0; n < TURNS; n++) {
			hold(q);
			words->wrong += words->inside++ != 0;
			words->count = words->count + 1;
			words->inside--;
			lock_free(q);
		}
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++)
		bad += reap_child(pid[i]) != 0;
	OK(bad == 0 && words->wrong == 0, "four processes: never two inside");
	IS(words->count, PROCESSES * TURNS, "and no turn is lost");
	mpq_detach(q);
}

/* A child that has the lock and waits to be killed. */
static pid_t
keeper_of(struct mpq *q, const char *name)
{
	pid_t pid = child();

	if (pid == 0) {
		if (name != NULL)
			q = room_open(name);
		hold(q);
		words->ready = 1;
		for (;;)
			pause();
	}
	UNTIL(words->ready);
	words->ready = 0;
	return pid;
}

static void
death_frees(void)
{
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	pid_t owner = keeper_of(q, "lock"), sleeper = child();
	mpq_time since;
	bool died = false;

	if (sleeper == 0) {
		q = room_open("lock");
		words->ready = 1;
		if (lock_take(q, in_ms(20000), &died) == MPQ_OK)
			words->when = mpq_now();
		lock_free(q);
		_exit(died ? 0 : 1);
	}
	UNTIL(words->ready && process_state(sleeper) == 'S');
	since = mpq_now();
	kill_child(owner);
	IS(reap_child(sleeper), 0, "a sleeper gets the lock of a killed owner, and is told");
	OK(words->when - since < SECOND, "within a second");
	words->ready = 0;
	kill_child(keeper_of(q, "lock"));
	IS(lock_take(q, in_ms(1000), &died), MPQ_OK, "the next to ask gets the lock of a killed owner");
	OK(died, "and is told");
	lock_free(q);
	IS(lock_take(q, in_ms(1000), &died), MPQ_OK, "the one after");
	OK(!died, "is not");
	lock_free(q);
	mpq_detach(q);
}

static void
handles_and_forks(void)
{
	struct mpq *a = room_queue("one", 0, 0, MPQ_QUEUE), *b = room_open("one");
	struct mpq *c = room_queue("two", 0, 0, MPQ_QUEUE);
	bool died = true;
	pid_t pid;

	hold(a), lock_free(a);
	hold(b), lock_free(b);
	hold(c), lock_free(c);
	OK(*a->lock == 0 && *c->lock == 0, "three handles on two queues in one process take turns");
	kill_child(keeper_of(b, NULL));
	IS(lock_take(a, in_ms(1000), &died), MPQ_OK, "a child is killed inside, with a handle it has inherited");
	OK(died, "and its death is seen");
	lock_free(a);
	if ((pid = child()) == 0) {
		hold(a), lock_free(a);
		hold(c), lock_free(c);
		hold(b);
		_exit(*b->lock == (uint32_t)syscall(SYS_gettid) ? 0 : 1);
	}
	IS(reap_child(pid), 0, "a child locks in its own name");
	lock_take(a, in_ms(1000), &died);
	OK(died, "and an exit with the lock is a death too");
	lock_free(a);
	mpq_detach(a), mpq_detach(b), mpq_detach(c);
}

static void
beside_glibc(void)
{
	pthread_mutexattr_t attr;
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	pid_t pid;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&words->mutex, &attr);
	if ((pid = child()) == 0) {
		char text[8];
		size_t len;

		if (mpq_open(&room, "lock", MPQ_KEEP_ROBUST, &q, NULL) != MPQ_OK)
			_exit(2);
		pthread_mutex_lock(&words->mutex);
		if (mpq_put(q, "a", 1, MPQ_NOW) != MPQ_OK || mpq_get(q, text, sizeof text, &len, MPQ_NOW) != MPQ_OK ||
		    mpq_get(q, text, sizeof text, &len, in_ms(5)) != MPQ_EMPTY)
			_exit(3);
		raise(SIGKILL);
	}
	IS(reap_child(pid), 256 + SIGKILL, "a process with glibc's robust mutex is killed");
	IS(pthread_mutex_lock(&words->mutex), EOWNERDEAD, "MPQ_KEEP_ROBUST: its mutex is freed");
	pthread_mutex_consistent(&words->mutex);
	pthread_mutex_unlock(&words->mutex);
	IS(mpq_check(q), MPQ_OK, "and the queue is whole");
	mpq_detach(q);
}

static void
stopped_owner(void)
{
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	pid_t owner = keeper_of(q, "lock");
	mpq_time since;

	kill(owner, SIGSTOP);
	UNTIL(process_state(owner) == 'T');
	since = mpq_now();
	IS(mpq_put(q, "a", 1, in_ms(100)), MPQ_STUCK, "the owner is stopped: not an untrue answer");
	OK(mpq_now() - since >= 100 * MS && mpq_now() - since < 1500 * MS, "at the deadline");
	IS(mpq_why(q)->pid, owner, "and it is named");
	kill_child(owner);
	IS(mpq_put(q, "a", 1, in_ms(1000)), MPQ_OK, "when it is killed all goes on");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
}

/* A sleeper finds the lock stuck when its time has come; it must not be counted as waiting for ever. */
static void
stuck_sleeper(void)
{
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	struct mpq_stat st;
	pid_t owner, getter = child();
	char text[8];
	size_t len;

	if (getter == 0) {
		q = room_open("lock");
		words->result = mpq_get(q, text, sizeof text, &len, in_ms(800));
		words->ready = 2;
		UNTIL(words->again);
		words->result = words->result == MPQ_STUCK ? mpq_get(q, text, sizeof text, &len, in_ms(20)) : -1;
		words->ready = 3;
		for (;;)
			pause();
	}
	UNTIL(mpq_stat(q, &st) == MPQ_OK && st.getters == 1);
	owner = keeper_of(q, "lock");
	kill(owner, SIGSTOP);
	UNTIL(words->ready == 2);
	IS(words->result, MPQ_STUCK, "a sleeper finds the lock stuck at its deadline");
	kill_child(owner);
	words->again = 1;
	UNTIL(words->ready == 3);
	IS(words->result, MPQ_EMPTY, "and later sleeps again");
	IS(mpq_stat(q, &st), MPQ_OK, "stat");
	IS(st.getters, 0, "it is not counted as waiting any more");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	kill_child(getter);
	words->ready = 0;
	mpq_detach(q);
}

/* What a call has to do besides, growing, reserving, giving back, keeps its deadline too. Each in a process of its own,
 * which is killed after a minute if it hangs. */
enum { LARGE_PUT, SPACE, DETACH_OF_SLEEPER, DETACH_WITH_RESERVATION, WAYS };

static int
deadline_child(int way)
{
	static unsigned char large[10000];
	struct mpq *q = room_open("lock");
	struct mpq_writer w;
	char text[8];
	size_t len = 0;
	void *space;
	int r;

	mpq_writer_init(&w, q, MPQ_LINES);
	w.patience = 50 * MS;
	if (way == DETACH_WITH_RESERVATION)
		(void)mpq_writer_space(&w, &space, &len);
	if (way == DETACH_OF_SLEEPER)
		words->again = 1;
	else {
		words->again = 1;
		UNTIL(words->ready == 2);
	}
	r = way == LARGE_PUT ? mpq_put(q, large, sizeof large, in_ms(50)) :
	    way == SPACE ? mpq_writer_space(&w, &space, &len) :
	    way == DETACH_OF_SLEEPER ? mpq_get(q, text, sizeof text, &len, in_ms(700)) :
	    mpq_put(q, "a", 1, in_ms(50));
	mpq_writer_reset(&w);
	mpq_detach(q);
	return r;
}

static void
deadlines_hold(void)
{
	static const char *const what[WAYS] = { "a put that reserves", "space for a writer", "a getter that slept, and its detach",
		"a put beside a reservation, and its detach" };
	struct mpq *q = room_queue("lock", 0, 0, MPQ_QUEUE);
	struct mpq_stat st;

	for (int way = 0; way < WAYS; way++) {
		pid_t owner, pid;

		words->ready = words->again = 0;
		if ((pid = child()) == 0)
			_exit(deadline_child(way));
		UNTIL(words->again);
		if (way == DETACH_OF_SLEEPER)
			UNTIL(mpq_stat(q, &st) == MPQ_OK && st.getters == 1);
		owner = keeper_of(q, "lock");
		kill(owner, SIGSTOP);
		UNTIL(process_state(owner) == 'T');
		words->ready = 2;
		IS(reap_child(pid), MPQ_STUCK, "the lock's owner is stopped: %s", what[way]);
		kill_child(owner);
		IS(mpq_sweep(q), MPQ_OK, "sweep");
		OK(mpq_check(q) == MPQ_OK && q->head->nslots == 0, "the queue is whole, and nothing is left of it");
	}
	words->ready = 0;
	mpq_detach(q);
}

/* ---- how long a wait may last ---------------------------------------------------------------------------- */

#define AFTER (10 * MS)              /* of patience, when the deadline has come */

static mpq_time latest;              /* 0: not looked at */
static unsigned waits, too_long;

long __real_syscall(long n, ...);
long __wrap_syscall(long n, ...);

/* Waits for the lock are seen here: until when each of them may last. */
long
__wrap_syscall(long n, ...)
{
	long a[6];
	va_list args;

	va_start(args, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (n == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && latest != 0) {
		const struct timespec *ts = (const struct timespec *)a[3];
		mpq_time until = ts != NULL ? ts->tv_sec * SECOND + ts->tv_nsec : MPQ_FOREVER;

		waits++;
		too_long += until > latest && until > mpq_now() + AFTER;
	}
	return __real_syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

enum { GET, TAKE, PUT, CAN_PUT, LOOKERS };

static int
look_by(int way, struct mpq *q, mpq_time deadline)
{
	struct mpq_want want = { .msgs = 1 };
	struct mpq_run run;
	char text[8];
	size_t len;

	return way == GET ? mpq_get(q, text, sizeof text, &len, deadline) :
	    way == TAKE ? mpq_take(q, &want, 0, deadline, &run) :
	    way == PUT ? mpq_put(q, "b", 1, deadline) : mpq_can_put(q, deadline);
}

/* Another's name stands in the table, so a getter looks first whether it has died, and who puts into a pipe; the lock's owner is
 * stopped. */
static void
looks_keep_deadlines(void)
{
	static const char *const what[LOOKERS] = { "get", "take", "put into a pipe", "question about one" };
	struct mpq *q = room_queue("ends", 0, 0, MPQ_PIPE);
	pid_t owner, other;

	mpq_detach(q);
	words->ready = 0;
	if ((other = child()) == 0) {
		struct mpq_owner self;

		words->result = mpq_owner_of(getpid(), &self) == MPQ_OK ? mpq_own_end(room_open("ends@2"), &self) : -1;
		words->ready = 1;
		for (;;)
			pause();
	}
	UNTIL(words->ready);
	IS(words->result, MPQ_OK, "another owns an end");
	words->ready = 0;
	owner = keeper_of(NULL, "ends@2");
	kill(owner, SIGSTOP);
	UNTIL(process_state(owner) == 'T');
	for (int way = 0; way < 2 * LOOKERS; way++) {
		mpq_time deadline = way & 1 ? in_ms(50) : MPQ_NOW;
		int r;

		q = room_open("ends@1");
		waits = too_long = 0;
		latest = deadline == MPQ_NOW ? mpq_now() : deadline;
		r = look_by(way / 2, q, deadline);
		latest = 0;
		IS(r, MPQ_STUCK, "the lock's owner is stopped: a %s that looks for dead owners first, %s", what[way / 2],
		    way & 1 ? "with a time" : "at once");
		OK(waits > 0 && too_long == 0, "no wait of it may last longer than its time");
		mpq_detach(q);
	}
	kill_child(owner);
	kill_child(other);
	q = room_open("ends@1");
	IS(look_by(GET, q, MPQ_NOW), MPQ_CLOSED, "when both are dead the end is closed");
	IS(mpq_check(q), MPQ_OK, "the pipe is whole");
	mpq_detach(q);
	words->ready = 0;
}

int
main(void)
{
	room_make();
	words = shared(sizeof *words);
	one_at_a_time();
	death_frees();
	handles_and_forks();
	beside_glibc();
	stopped_owner();
	stuck_sleeper();
	deadlines_hold();
	looks_keep_deadlines();
	return tap_end();
}
