/* SPDX-License-Identifier: ISC
 *
 * live.c - a process changes words of a segment while another works on it. What was checked may be another thing when it
 * is used: every field must be read once, checked, and used from where it was read to. No signal, no hang.
 *
 * The worker is a child, with deadlines of a millisecond; when it ends (the queue is damaged, or it has done enough) the
 * segment is made whole and another child begins. Half of the changes are taken back soon, so that the queue lives on
 * with them for a while. The lock word is left alone, and the flags that end a queue's life.
 *
 * usage: live [SECONDS [SEED]]
 */
#include <time.h>

#include "../unit/tap.h"
#include "world.h"

#define LIMIT ((mpq_time)5000000000)
#define MS ((mpq_time)1000000)
#define OPERATIONS 400

static uint64_t seed;
static uint64_t *steps;                      /* of the worker, shared */

/* splitmix64 */
static uint64_t
roll(uint64_t n)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % n;
}

/* ---- the worker ------------------------------------------------------------------------------------------ */

static bool
work_once(struct mpq *q)
{
	static unsigned char bytes[80000];
	struct mpq_want want = { .msgs = 1 + roll(20), .bytes = UINT64_MAX, .flags = roll(4) == 0 ? MPQ_PEEK : 0 };
	mpq_time soon = mpq_now() + MS;
	struct mpq_stat st;
	struct mpq_run run;
	size_t len;
	int err;

	switch (roll(9)) {
	case 0:
		return mpq_stat(q, &st) != MPQ_DAMAGED;
	case 1:
	case 2:
		return mpq_put(q, bytes, roll(3) == 0 ? roll(sizeof bytes) : roll(100), soon) != MPQ_DAMAGED;
	case 3:
		return mpq_get(q, bytes, sizeof bytes, &len, soon) != MPQ_DAMAGED;
	case 4:
	case 5:
		if ((err = mpq_take(q, &want, 0, soon, &run)) != MPQ_OK)
			return err != MPQ_DAMAGED;
		(void)world_read(q, &run);
		return mpq_settle(q, &run, run.msgs, run.bytes, roll(2) ? MPQ_HOLD : MPQ_DONE, &world_self) != MPQ_DAMAGED;
	case 6:
		return mpq_task_done(q, &world_self, MPQ_ALL, (int)roll(2), NULL) != MPQ_DAMAGED;
	case 7:
		return mpq_sweep(q) != MPQ_DAMAGED;
	default:
		return mpq_join(q, 0, soon) != MPQ_DAMAGED;
	}
}

static void
worker(int which)
{
	struct mpq *q;
	bool whole = true;

	seed ^= (uint64_t)getpid();
	if (mpq_open(&world_place, world_name[which], 0, &q, NULL) != MPQ_OK)
		_exit(0);
	for (int i = 0; i < OPERATIONS && whole; i++) {
		whole = work_once(q);
		__atomic_fetch_add(steps, 1, __ATOMIC_RELAXED);
	}
	(void)mpq_check(q);
	mpq_detach(q);
	_exit(0);
}

/* ---- the mutator ----------------------------------------------------------------------------------------- */

static bool
is_left_alone(size_t offset)
{
	return offset == offsetof(struct head, lock) || offset == offsetof(struct head, sick) || offset >= WORLD_ROOM;
}

static size_t
somewhere(const struct world *w)
{
	switch (roll(4)) {
	case 0:
		return roll(PAGE / 8) * 8;
	case 1:
		return STATE_FROM + roll((PAGE - STATE_FROM) / 8) * 8;
	case 2:
		return PAGE + roll(20) * 8;
	default:
		return roll(w->size / 8) * 8;
	}
}

static void
mutate(const struct world *w)
{
	size_t offset = somewhere(w), pause = roll(200);
	uint64_t *word = (uint64_t *)(w->map + offset), old, new;

	if (is_left_alone(offset))
		return;
	old = __atomic_load_n(word, __ATOMIC_RELAXED);
	switch (roll(4)) {
	case 0:
		new = old ^ (uint64_t)1 << roll(64);
		break;
	case 1:
		new = old + roll(5) - 2;
		break;
	case 2:
		new = (uint32_t)roll(UINT32_MAX) | (old & ~(uint64_t)UINT32_MAX);
		break;
	default:
		new = *(const uint64_t *)(w->map + STATE_FROM + roll((PAGE - STATE_FROM) / 8) * 8);
	}
	__atomic_store_n(word, new, __ATOMIC_RELAXED);
	for (volatile size_t i = 0; i < pause * 10; i++)
		;
	if (roll(8) != 0)
		__atomic_compare_exchange_n(word, &new, old, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Change things while the child lives. Its status; -1: it hung. */
static int
disturb(const struct world *w, pid_t pid)
{
	struct timespec nap = { 0, (long)roll(200000) };
	mpq_time moved = mpq_now();
	uint64_t last = 0;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		for (int i = 0; i < 20; i++)
			mutate(w);
		nanosleep(&nap, NULL);
		if (__atomic_load_n(steps, __ATOMIC_RELAXED) != last) {
			last = __atomic_load_n(steps, __ATOMIC_RELAXED);
			moved = mpq_now();
		} else if (mpq_now() - moved > LIMIT) {
			kill(pid, getenv("FUZZ_CORE") != NULL ? SIGABRT : SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
	}
	return status;
}

int
main(int argc, char **argv)
{
	mpq_time end = mpq_now() + (argc > 1 ? atoi(argv[1]) : 5) * 1000 * MS;
	unsigned children = 0, signals = 0, hangs = 0;
	int r;

	seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)mpq_now();
	diag("seed %llu", (unsigned long long)seed);
	world_make();
	steps = mmap(NULL, sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(steps != MAP_FAILED);
	for (; mpq_now() < end && signals + hangs < 20; children++) {
		int which = (int)roll(WORLDS), status;
		pid_t pid;

		world_restore(&world[which]);
		fflush(stdout);
		NEED((pid = fork()) != -1);
		if (pid == 0)
			worker(which);
		status = disturb(&world[which], pid);
		if (status == -1) {
			hangs++;
			diag("%s: the worker hung", world_name[which]);
		} else if (WIFSIGNALED(status)) {
			signals++;
			diag("%s: signal %d", world_name[which], WTERMSIG(status));
		}
	}
	diag("%u workers, %llu operations", children, (unsigned long long)*steps);
	OK(signals == 0, "no worker dies of a signal while its segment is changed");
	OK(hangs == 0, "none hangs");
	r = tap_end();
	world_remove();
	return r;
}
