/* SPDX-License-Identifier: ISC
 *
 * owner.c - what dead processes had comes back, and nothing that a live one has: zombies, pids that come back, first
 * threads that have gone, two handles, forks.
 */
#include <pthread.h>

#include "room.h"

static struct mpq *q;
static volatile int *ready;

static int
take(struct mpq *h, uint64_t n, unsigned flags, struct mpq_run *run)
{
	struct mpq_want want = { .msgs = n, .bytes = UINT64_MAX, .flags = flags };

	return mpq_take(h, &want, 0, MPQ_NOW, run);
}

static void
begin(void)
{
	q = room_queue("owner", 0, 0, MPQ_QUEUE);
	*ready = 0;
	for (int i = 0; i < 6; i++)
		if (mpq_put(q, &"abcdef"[i], 1, MPQ_NOW) != MPQ_OK)
			abort();
}

/* Sweep; then the queue holds exactly these, and `held` are held. */
static bool
left(const char *text, uint64_t held)
{
	char got[20] = "";
	struct mpq_stat st;
	size_t n = 0, len;
	bool good = mpq_sweep(q) == MPQ_OK && mpq_check(q) == MPQ_OK && mpq_stat(q, &st) == MPQ_OK;

	while (good && n < 18 && mpq_get(q, got + n, 1, &len, MPQ_NOW) == MPQ_OK)
		n += len;
	if (good && strcmp(got, text) == 0 && st.held == held)
		return true;
	diag("\"%s\", not \"%s\"; %llu held, not %llu", got, text, (long long)st.held, (long long)held);
	return false;
}

/* A child that has something and waits to be killed. */
static pid_t
child_with(int what)
{
	struct mpq_writer w;
	struct mpq_run run;
	struct mpq_owner me;
	void *space;
	size_t size;
	pid_t pid = child();
	int err = 0;

	if (pid != 0) {
		UNTIL(*ready);
		return pid;
	}
	q = room_open("owner");
	if (what & 1)
		err |= take(q, 2, 0, &run);
	if (what & 2) {
		mpq_owner_of(getpid(), &me);
		err |= take(q, 1, 0, &run);
		err |= mpq_settle(q, &run, 1, 2, MPQ_HOLD, &me);
	}
	if (what & 4) {
		mpq_writer_init(&w, q, MPQ_LINES);
		for (int i = 0; i < 3 && err == 0; i++)
			if ((err = mpq_writer_space(&w, &space, &size)) == 0)
				mpq_writer_fill(&w, size);
	}
	if (what & 8)
		err |= take(q, 3, MPQ_PEEK, &run);
	*ready = err == 0 ? 1 : 2;
	for (;;)
		pause();
}

static void
the_dead(void)
{
	static const char *const what[] = { "taken", "held", "reserved", "pinned" };
	pid_t pid;

	for (int i = 0; i < 4; i++) {
		begin();
		pid = child_with(1 << i);
		OK(*ready == 1 && mpq_sweep(q) == MPQ_OK && mpq_check(q) == MPQ_OK, "a live process has messages %s",
		    what[i]);
		kill_child(pid);
		OK(left("abcdef", 0), "when it is dead they come back");
		mpq_detach(q);
	}
	begin();
	pid = child_with(15);
	kill(pid, SIGKILL);
	UNTIL(process_state(pid) == 'Z');
	OK(left("abcdef", 0), "all of it at once, of a zombie");
	reap_child(pid);
	mpq_detach(q);
}

static void
come_back_pids(void)
{
	struct mpq_owner owner;
	struct mpq_run run;
	pid_t pid;

	begin();
	pid = child_with(0);
	mpq_owner_of(pid, &owner);
	IS(take(q, 2, 0, &run), MPQ_OK, "take two");
	IS(mpq_settle(q, &run, 2, 4, MPQ_HOLD, &owner), MPQ_OK, "for a live process");
	owner.start++;
	IS(take(q, 2, 0, &run), MPQ_OK, "take two more");
	IS(mpq_settle(q, &run, 2, 4, MPQ_HOLD, &owner), MPQ_OK, "for another of the same number");
	OK(left("cdef", 2), "which is not there: only its own come back");
	kill_child(pid);
	OK(left("ab", 0), "the first when it is dead");
	IS(mpq_owner_of(pid, &owner), MPQ_NOPROC, "there is no such process");
	mpq_detach(q);
}

static void *
second_thread(void *arg)
{
	(void)arg;
	UNTIL(process_state(getpid()) == 'Z');
	*ready = 1;
	for (;;)
		pause();
	return NULL;
}

static void
first_thread_gone(void)
{
	struct mpq_owner owner;
	struct mpq_run run;
	pid_t pid;

	begin();
	if ((pid = child()) == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, second_thread, NULL);
		pthread_exit(NULL);
	}
	UNTIL(*ready);
	IS(process_state(pid), 'Z', "a process whose first thread has ended looks like a zombie");
	IS(mpq_owner_of(pid, &owner), MPQ_OK, "and is there");
	take(q, 2, 0, &run);
	IS(mpq_settle(q, &run, 2, 4, MPQ_HOLD, &owner), MPQ_OK, "hold for it");
	OK(left("cdef", 2), "they do not come back");
	kill_child(pid);
	OK(left("ab", 0), "until it is dead");
	mpq_detach(q);
}

/* Two handles of one process are two users. */
static void
two_handles(void)
{
	struct mpq *a, *b;
	struct mpq_run ra, rb;

	begin();
	a = room_open("owner"), b = room_open("owner");
	IS(take(a, 1, 0, &ra), MPQ_OK, "one handle takes");
	IS(mpq_settle(a, &ra, 1, 2, MPQ_DONE, NULL), MPQ_OK, "and settles");
	IS(take(b, 2, 0, &rb), MPQ_OK, "another takes");
	IS(take(a, 1, 0, &ra), MPQ_OK, "the first takes again");
	mpq_detach(a);
	IS(mpq_check(q), MPQ_OK, "and goes; the queue is whole");
	IS(mpq_settle(b, &rb, 2, 4, MPQ_DONE, NULL), MPQ_OK, "the other still has what it took");
	OK(left("def", 0), "only what the first had has come back");
	mpq_detach(b);
	mpq_detach(q);
}

static void
inherited(void)
{
	struct mpq_run run;
	pid_t pid;

	begin();
	IS(take(q, 2, 0, &run), MPQ_OK, "take two");
	if ((pid = child()) == 0) {
		mpq_detach(q);
		_exit(0);
	}
	IS(reap_child(pid), 0, "a child detaches the handle that it has inherited");
	IS(mpq_settle(q, &run, 2, 4, MPQ_DONE, NULL), MPQ_OK, "the parent still has what it took");
	if ((pid = child()) == 0) {
		int err = take(q, 2, 0, &run);

		mpq_detach(q);
		_exit(err == MPQ_OK ? 0 : 1);
	}
	IS(reap_child(pid), 0, "a child takes with an inherited handle, and detaches it");
	OK(left("cdef", 0), "what it had comes back");
	mpq_detach(q);
}

/* Noticed within 250 ms while anybody waits (and some for a noisy machine). */
static void
in_time(void)
{
	mpq_time since;
	char text[4];
	size_t len;
	pid_t pid;

	begin();
	for (int i = 0; i < 4; i++)
		mpq_get(q, text, sizeof text, &len, MPQ_NOW);
	pid = child_with(1);
	since = mpq_now();
	kill(pid, SIGKILL);
	IS(mpq_get(q, text, sizeof text, &len, in_ms(5000)), MPQ_OK, "a getter waits for what a killed process had");
	OK(mpq_now() - since < 2 * SECOND && text[0] == 'e', "and soon has it");
	reap_child(pid);
	mpq_detach(q);
}

int
main(void)
{
	room_make();
	ready = shared(sizeof *ready);
	the_dead();
	come_back_pids();
	first_thread_gone();
	two_handles();
	inherited();
	in_time();
	return tap_end();
}
