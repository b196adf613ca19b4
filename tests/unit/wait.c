/* SPDX-License-Identifier: ISC
 *
 * wait.c - sleeping and waking: over many handles, with deadlines and signals, and no wake-up lost.
 */
#include <sys/time.h>

#include "handle.h"
#include "lock.h"
#include "room.h"

static void
on_signal(int sig)
{
	(void)sig;
}

static void
over_many(size_t n)
{
	struct mpq **q = calloc(n, sizeof *q);
	struct mpq_watch *w = calloc(n, sizeof *w);
	char name[20];
	size_t which = n - 1, ready = 0, whole = 0;
	mpq_time since;
	pid_t pid;

	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof name, "many%zu", i);
		q[i] = room_queue(name, 0, 0, MPQ_QUEUE);
		w[i] = (struct mpq_watch){ .q = q[i], .what = MPQ_READY_GET };
	}
	since = mpq_now();
	IS(mpq_wait(w, n, in_ms(30)), MPQ_NOTYET, "%zu handles: none is ready", n);
	OK(mpq_now() - since >= 30 * MS, "not before the time");
	if ((pid = child()) == 0) {
		struct mpq *other = room_open(name);
		struct timespec nap = { 0, 20000000 };

		nanosleep(&nap, NULL);
		_exit(mpq_put(other, "x", 1, MPQ_NOW));
	}
	IS(mpq_wait(w, n, in_ms(20000)), MPQ_OK, "a put to the last wakes");
	for (size_t i = 0; i < n; i++)
		ready += w[i].ready == 1;
	OK(ready == 1 && w[which].ready == 1, "and only that is ready");
	reap_child(pid);
	IS(mpq_remove(&room, "many0", 0, NULL), MPQ_OK, "remove the first");
	IS(mpq_wait(w, 1, MPQ_NOW), MPQ_OK, "that is seen");
	IS(w[0].ready, MPQ_GONE, "as gone");
	for (size_t i = 1; i < n; i++)
		whole += mpq_check(q[i]) == MPQ_OK;
	IS(whole, n - 1, "all others are whole");
	for (size_t i = 0; i < n; i++)
		mpq_detach(q[i]);
	free(q), free(w);
}

/* One handle watched for two things, on two sides of a pipe or on the one of a queue; another process does the first. */
static void
one_for_two(const char *one, const char *two)
{
	struct mpq_watch w[2];
	struct mpq *q = room_open(one);
	struct mpq_stat st;
	mpq_time since;
	char text[8];
	size_t len;
	pid_t pid;

	w[0] = (struct mpq_watch){ .q = q, .what = MPQ_READY_GET };
	w[1] = (struct mpq_watch){ .q = q, .what = MPQ_READY_JOIN };
	IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_OK, "something is unfinished");
	IS(mpq_get(room_open(two), text, sizeof text, &len, MPQ_NOW), MPQ_OK, "and taken");
	IS(mpq_wait(w, 2, in_ms(10)), MPQ_NOTYET, "%s is watched for get and join", one);
	IS(mpq_stat(q, &st), MPQ_OK, "stat");
	IS(mpq_check(q), MPQ_OK, "it is whole");
	if ((pid = child()) == 0) {
		pid_t parent = getppid();

		UNTIL(process_state(parent) == 'S');
		_exit(mpq_put(room_open(two), "b", 1, MPQ_NOW));
	}
	since = mpq_now();
	IS(mpq_wait(w, 2, in_ms(20000)), MPQ_OK, "a put by the other side wakes");
	OK(mpq_now() - since < 10 * SECOND && w[0].ready == 1 && w[1].ready == 0, "at once, and only get is ready");
	reap_child(pid);
	IS(mpq_check(q), MPQ_OK, "it is whole");
	mpq_detach(q);
}

/* A process that waits until one of `n` handles of "watched" can be got from; it ends with 0 if that is `ready`. */
static pid_t
watcher(const struct mpq *q, size_t n, int ready)
{
	pid_t pid = child();

	if (pid == 0) {
		struct mpq_watch w[2];

		for (size_t i = 0; i < n; i++)
			w[i] = (struct mpq_watch){ .q = room_open("watched"), .what = MPQ_READY_GET };
		_exit(mpq_wait(w, n, in_ms(20000)) != MPQ_OK || w[0].ready != ready);
	}
	OK(UNTIL(process_state(pid) == 'S' && get(&q->head->side[0].waiting[WAIT_WATCH]) == n),
	    "a watcher of %zu handles", n);
	return pid;
}

/* Owners die while it sleeps. They leave what makes nothing ready; it finds them itself, nobody else being there. */
static void
watcher_sweeps(size_t n)
{
	struct mpq *q = room_queue("watched", 0, 0, MPQ_QUEUE);
	pid_t pid = watcher(q, n, 1), dead;

	for (int i = 0; i < 3; i++) {
		if ((dead = child()) == 0) {
			struct mpq_writer w;
			void *space;
			size_t size;

			mpq_writer_init(&w, room_open("watched"), MPQ_LINES);
			if (mpq_writer_space(&w, &space, &size) != MPQ_OK)
				_exit(1);
			raise(SIGKILL);
		}
		IS(reap_child(dead), 256 + SIGKILL, "an owner dies");
		OK(UNTIL(get(&q->head->nslots) == n), "the watcher finds that");
	}
	OK(process_state(pid) == 'S' && get(&q->head->side[0].waiting[WAIT_WATCH]) == n, "it sleeps on, written down");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	IS(mpq_put(q, "x", 1, MPQ_NOW), MPQ_OK, "a put");
	IS(reap_child(pid), 0, "wakes it");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
}

/* Who removes a queue, or finds it damaged, is killed after he has said so and before he wakes anybody. */
static void
watcher_is_not_told(uint64_t sick, int ready)
{
	struct mpq *q = room_queue("watched", 0, 0, MPQ_QUEUE);
	pid_t one = watcher(q, 1, ready), two;

	__atomic_fetch_or(&q->head->sick, sick, __ATOMIC_RELAXED);
	IS(reap_child(one), 0, "a watcher sees by itself: %s", mpq_strerror(ready));
	mpq_detach(q);
	q = room_queue("watched", 0, 0, MPQ_QUEUE);
	two = watcher(q, 2, ready);
	__atomic_fetch_or(&q->head->sick, sick, __ATOMIC_RELAXED);
	IS(reap_child(two), 0, "of two handles too");
	mpq_detach(q);
}

/* Somebody is stopped with the lock when the time is over, and remains so. One handle is written down for two things. */
static void
stopped_owner(void)
{
	struct mpq *q = room_queue("stopped", 0, 0, MPQ_QUEUE);
	volatile pid_t *waiter = shared(sizeof *waiter);
	pid_t owner, pid;

	if ((owner = child()) == 0) {
		struct mpq *h = room_open("stopped");
		bool died;

		UNTIL(*waiter != 0 && get(&h->head->side[0].waiting[WAIT_WATCH]) == 1 && process_state(*waiter) == 'S');
		if (lock_take(h, MPQ_FOREVER, &died) != MPQ_OK)
			_exit(1);
		raise(SIGSTOP);
		pause();
	}
	if ((pid = child()) == 0) {
		struct mpq *h = room_open("stopped");
		struct mpq_watch w[2] = { { .q = h, .what = MPQ_READY_GET }, { .q = h, .what = MPQ_READY_GET } };

		*waiter = getpid();
		_exit(mpq_wait(w, 2, in_ms(500)));
	}
	OK(UNTIL(process_state(owner) == 'T'), "an owner of the lock is stopped while a watcher sleeps");
	OK(UNTIL(process_state(pid) == 'Z'), "the watcher ends all the same");
	kill_child(owner);
	if (process_state(pid) != 'Z')
		kill(pid, SIGKILL);
	IS(reap_child(pid), MPQ_NOTYET, "with the answer of its deadline");
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	mpq_detach(q);
}

/* Two processes that wait for each other: each turn is a sleep and a wake-up; one lost costs a quarter of a second. */
static void
ping_pong(void)
{
	enum { TURNS = 3000 };
	struct mpq *to = room_queue("ping", 0, 0, MPQ_QUEUE), *from = room_queue("pong", 0, 0, MPQ_QUEUE);
	mpq_time since;
	int slow = 0, bad = 0;
	char text[8];
	size_t len;
	pid_t pid;

	if ((pid = child()) == 0) {
		struct mpq *in = room_open("ping"), *out = room_open("pong");

		for (int i = 0; i < TURNS; i++)
			if (mpq_get(in, text, sizeof text, &len, MPQ_FOREVER) != MPQ_OK ||
			    mpq_put(out, text, len, MPQ_FOREVER) != MPQ_OK)
				_exit(1);
		_exit(0);
	}
	for (int i = 0; i < TURNS; i++) {
		since = mpq_now();
		bad += mpq_put(to, "x", 1, MPQ_FOREVER) != MPQ_OK;
		bad += mpq_get(from, text, sizeof text, &len, MPQ_FOREVER) != MPQ_OK;
		slow += mpq_now() - since > 200 * MS;
	}
	IS(reap_child(pid), 0, "the other side");
	IS(bad, 0, "%d turns", (int)TURNS);
	OK(slow <= 3, "no wake-up is lost (%d turns took long)", slow);
	IS(mpq_check(to) | mpq_check(from), MPQ_OK, "both are whole");
	mpq_detach(to), mpq_detach(from);
}

static void
times(void)
{
	struct mpq *q = room_queue("times", 1, 0, MPQ_QUEUE);
	struct itimerval timer = { .it_value = { 0, 20000 } };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	mpq_time since = mpq_now();
	struct mpq_stat st;
	char text[8];
	size_t len;

	IS(mpq_get(q, text, sizeof text, &len, in_ms(60)), MPQ_EMPTY, "a get with time");
	OK(mpq_now() - since >= 60 * MS, "never early");
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	since = mpq_now();
	IS(mpq_get(q, text, sizeof text, &len, in_ms(20000)), MPQ_INTR, "a signal ends it");
	OK(mpq_now() - since < 10 * SECOND, "at once");
	mpq_stat(q, &st);
	OK(st.getters == 0 && mpq_check(q) == MPQ_OK, "and nothing is left of it");
	IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_OK, "fill it");
	since = mpq_now();
	IS(mpq_put(q, "b", 1, in_ms(40)), MPQ_FULL, "a put with time");
	OK(mpq_now() - since >= 40 * MS, "never early");
	IS(mpq_join(q, 0, in_ms(5)), MPQ_NOTYET, "a join with time");
	mpq_detach(q);
}

/* A signal every tenth of a millisecond, which a handler takes. Whoever comes back with the same deadline waits until that,
 * neither less nor ever again from the beginning. */
enum { STORM_GET, STORM_PUT, STORM_JOIN, STORM_ONE, STORM_TWO, STORM_MANY, STORM_CALLS };

static int
once(int call, struct mpq *empty, struct mpq *full, mpq_time deadline)
{
	struct mpq_watch w[40];
	size_t n = call == STORM_ONE ? 1 : call == STORM_TWO ? 2 : sizeof w / sizeof w[0];
	char text[8];
	size_t len;

	switch (call) {
	case STORM_GET:
		return mpq_get(empty, text, sizeof text, &len, deadline);
	case STORM_PUT:
		return mpq_put(full, "b", 1, deadline);
	case STORM_JOIN:
		return mpq_join(full, 0, deadline);
	}
	for (size_t i = 0; i < n; i++)
		w[i] = i % 2 == 0 ? (struct mpq_watch){ .q = empty, .what = MPQ_READY_GET } :
		    (struct mpq_watch){ .q = full, .what = MPQ_READY_PUT };
	return mpq_wait(w, n, deadline);
}

static void
storm(int flags)
{
	static const struct { const char *what; int code; } calls[STORM_CALLS] = { { "a get", MPQ_EMPTY },
		{ "a put", MPQ_FULL }, { "a join", MPQ_NOTYET }, { "a wait for one", MPQ_NOTYET },
		{ "a wait for two", MPQ_NOTYET }, { "a wait for forty", MPQ_NOTYET } };
	struct mpq *empty = room_queue("empty", 0, 0, MPQ_QUEUE), *full = room_queue("full", 1, 0, MPQ_QUEUE);
	struct itimerval often = { { 0, 100 }, { 0, 100 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };
	struct mpq_stat st[2];
	int code = MPQ_OK, interrupted;
	mpq_time deadline = 0;
	pid_t pid;

	IS(mpq_put(full, "a", 1, MPQ_NOW), MPQ_OK, "fill it");
	sigaction(SIGALRM, &action, NULL);
	for (int call = 0; call < STORM_CALLS; call++) {
		bool may_go_on = call > STORM_ONE && (flags & SA_RESTART);

		interrupted = 0;
		/* On a busy machine the time may be over before the process sleeps at all. */
		for (int tries = 0; tries < 50 && (tries == 0 || (interrupted == 0 && !may_go_on)); tries++) {
			setitimer(ITIMER_REAL, &often, NULL);
			deadline = in_ms(100);
			while ((code = once(call, empty, full, deadline)) == MPQ_INTR)
				interrupted++;
			setitimer(ITIMER_REAL, &never, NULL);
			if (code != calls[call].code)
				break;
		}
		IS(code, calls[call].code, "%s in a storm of signals ends", calls[call].what);
		OK(mpq_now() >= deadline && mpq_now() - deadline < 10 * SECOND, "at its time");
		OK(interrupted > 0 || may_go_on, "interrupted (%s)",
		    flags & SA_RESTART ? "SA_RESTART; of several, the kernel may go on by itself" : "no SA_RESTART");
	}
	OK(mpq_stat(empty, &st[0]) == MPQ_OK && mpq_stat(full, &st[1]) == MPQ_OK && st[0].getters == 0 &&
	    st[1].putters == 0 && mpq_check(empty) == MPQ_OK && mpq_check(full) == MPQ_OK, "nothing is left of them");
	if ((pid = child()) == 0) {
		pid_t parent = getppid();
		struct mpq *q = room_open("empty");

		UNTIL(mpq_stat(q, &st[0]) == MPQ_OK && st[0].getters == 1);
		_exit(kill(parent, 0) == -1 || mpq_put(q, "x", 1, MPQ_NOW) != MPQ_OK);
	}
	setitimer(ITIMER_REAL, &often, NULL);
	deadline = in_ms(20000);
	while ((code = once(STORM_GET, empty, full, deadline)) == MPQ_INTR)
		;
	setitimer(ITIMER_REAL, &never, NULL);
	IS(code, MPQ_OK, "a message that comes in the storm is got");
	IS(reap_child(pid), 0, "that another has put");
	mpq_detach(empty), mpq_detach(full);
}

int
main(void)
{
	room_make();
	times();
	storm(0);
	storm(SA_RESTART);
	over_many(3);
	over_many(200);
	(void)room_queue("pipe", 0, 0, MPQ_PIPE);
	one_for_two("pipe@1", "pipe@2");
	mpq_detach(room_queue("plain", 0, 0, MPQ_QUEUE));
	one_for_two("plain", "plain");
	watcher_sweeps(1);
	watcher_sweeps(2);
	watcher_is_not_told(HEAD_REMOVED, MPQ_GONE);
	watcher_is_not_told(HEAD_DAMAGED, MPQ_DAMAGED);
	stopped_owner();
	ping_pong();
	return tap_end();
}
