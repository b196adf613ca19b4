/* SPDX-License-Identifier: ISC
 *
 * sweep.c - every byte and every word of a queue's first page set to the values on which checks turn, one after the
 * other, and after each change what a user does: open, stat, get, put, take a share, check. Any result is right; a signal
 * or more than five seconds are not. Exhaustive where the fuzzer is random: what decides over everything else is in that
 * page.
 *
 * A child does the trials, many in a row, and says in shared memory where it is; if a trial kills it or keeps it, it is
 * named, and another child goes on behind it. The lock word comes last, with a handful of values: a living thread that
 * does not hold it, and none at all; there a wait of about a second is promised instead.
 *
 * usage: sweep [TRIAL]         that one only, in this process, for a debugger
 */
#include <sys/prctl.h>
#include <time.h>

#include "../unit/tap.h"
#include "world.h"

#define LIMIT ((mpq_time)5000000000)
#define FINDINGS 8                           /* then it is bad enough: hangs take their time */

static const uint64_t byte_values[] = { 0, 1, 0x7f, 0x80, 0xff };
enum { BYTE_VALUES = 5, WORD_VALUES = 8 };

static struct progress {
	uint64_t trial;                      /* being made */
	mpq_time began;
	uint64_t done;
} *progress;

struct trial {
	size_t offset, n;
	uint64_t value;
};

static uint64_t
word_value(const struct world *w, unsigned i)
{
	const uint64_t values[WORD_VALUES] = { 0, 1, UINT64_MAX, w->size, w->size - 1, w->size + 1, (uint64_t)1 << 31,
		(uint64_t)1 << 63 };

	return values[i];
}

/* Trials are numbered: bytes, then words of 4, then of 8. */
static uint64_t
trials(void)
{
	return PAGE * BYTE_VALUES + (PAGE / 4 + PAGE / 8) * WORD_VALUES;
}

static struct trial
trial_of(const struct world *w, uint64_t i)
{
	if (i < PAGE * BYTE_VALUES)
		return (struct trial){ i / BYTE_VALUES, 1, byte_values[i % BYTE_VALUES] };
	i -= PAGE * BYTE_VALUES;
	if (i < PAGE / 4 * WORD_VALUES)
		return (struct trial){ i / WORD_VALUES * 4, 4, word_value(w, i % WORD_VALUES) };
	i -= PAGE / 4 * WORD_VALUES;
	return (struct trial){ i / WORD_VALUES * 8, 8, word_value(w, i % WORD_VALUES) };
}

static void
use(int which, mpq_time deadline)
{
	struct mpq_want share = { .msgs = UINT64_MAX, .bytes = UINT64_MAX, .flags = MPQ_SHARE };
	struct mpq_run run;
	char buf[600];
	struct mpq_stat st;
	struct mpq *q;
	size_t len;

	if (mpq_open(&world_place, world_name[which], 0, &q, NULL) != MPQ_OK)
		return;
	(void)mpq_stat(q, &st);
	(void)mpq_get(q, buf, sizeof buf, &len, deadline);
	(void)mpq_put(q, "a message", 9, deadline);
	if (mpq_take(q, &share, 0, deadline, &run) == MPQ_OK)
		(void)mpq_settle(q, &run, run.msgs, run.bytes, MPQ_GOT, NULL);
	(void)mpq_check(q);
	mpq_detach(q);
}

/* Does it change anything, and is it not the lock word? */
static bool
is_wanted(const struct world *w, const struct trial *t)
{
	if (t->offset + t->n > offsetof(struct head, lock) && t->offset < offsetof(struct head, lock) + 4)
		return false;
	return memcmp(w->bytes + t->offset, &t->value, t->n) != 0;
}

static void
one_trial(int which, uint64_t i)
{
	struct world *w = &world[which];
	struct trial t = trial_of(w, i);

	if (!is_wanted(w, &t))
		return;
	world_restore(w);
	memcpy(w->map + t.offset, &t.value, t.n);
	use(which, MPQ_NOW);
	progress->done++;
}

static void
child_runs(int which, uint64_t from, uint64_t to)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = from; i < to; i++) {
		__atomic_store_n(&progress->began, mpq_now(), __ATOMIC_RELAXED);
		__atomic_store_n(&progress->trial, i, __ATOMIC_RELEASE);
		one_trial(which, i);
	}
	_exit(0);
}

static void
tell(int which, uint64_t i, const char *what, int number)
{
	struct trial t = trial_of(&world[which], i);

	diag("%s: %zu bytes at %zu set to %#llx: %s %d (sweep %llu)", world_name[which], t.n, t.offset,
	    (unsigned long long)t.value, what, number, (unsigned long long)(i * WORLDS + (unsigned)which));
}

/* Wait for the child; true: it has ended. If it takes too long it is killed. */
static int
child_end(pid_t pid)
{
	const struct timespec nap = { 0, 1000000 };
	mpq_time began;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status;
		began = __atomic_load_n(&progress->began, __ATOMIC_RELAXED);
		if (mpq_now() - began > LIMIT) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		nanosleep(&nap, NULL);
	}
}

static unsigned
sweep(int which)
{
	uint64_t next = 0, all = trials();
	unsigned findings = 0;

	while (next < all && findings < FINDINGS) {
		int status;
		pid_t pid;

		progress->began = mpq_now();
		progress->trial = next;
		fflush(stdout);
		NEED((pid = fork()) != -1);
		if (pid == 0)
			child_runs(which, next, all);
		if ((status = child_end(pid)) == 0)
			break;
		next = progress->trial + 1;
		findings++;
		if (status == -1)
			tell(which, next - 1, "it hung; seconds:", (int)(LIMIT / 1000000000));
		else
			tell(which, next - 1, WIFSIGNALED(status) ? "signal" : "exit status",
			    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	return findings;
}

/* The lock word: whatever it says, an operation with a deadline ends within a second of it, or two. */
static unsigned
sweep_lock(void)
{
	const uint32_t values[] = { 1, (uint32_t)getpid(), (uint32_t)getpid() | 0x80000000u, 0x3fffffff, 0x80000000u,
		0x40000000u, 0xc0000000u };
	struct world *w = &world[WORLD_QUEUE];
	pid_t pid[sizeof values / sizeof values[0]];
	unsigned findings = 0;

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct mpq *q;
		size_t len;
		char buf[600], name[20];
		char path[100];
		int fd;

		snprintf(name, sizeof name, "lock%zu", i);
		snprintf(path, sizeof path, "%s/mpq.%s", world_dir, name);
		NEED((fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) != -1);
		NEED(write(fd, w->bytes, w->size) == (ssize_t)w->size);
		NEED(pwrite(fd, &values[i], 4, offsetof(struct head, lock)) == 4);
		close(fd);
		fflush(stdout);
		NEED((pid[i] = fork()) != -1);
		if (pid[i] != 0)
			continue;
		alarm((unsigned)(LIMIT / 1000000000));
		if (mpq_open(&world_place, name, 0, &q, NULL) == MPQ_OK)
			(void)mpq_get(q, buf, sizeof buf, &len, MPQ_NOW);
		_exit(0);
	}
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		char path[100];
		int status;

		waitpid(pid[i], &status, 0);
		if (status != 0) {
			diag("lock word %#x: status %#x", values[i], (unsigned)status);
			findings++;
		}
		snprintf(path, sizeof path, "%s/mpq.lock%zu", world_dir, i);
		unlink(path);
	}
	return findings;
}

int
main(int argc, char **argv)
{
	int r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	world_make();
	progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(progress != MAP_FAILED);
	if (argc > 1) {
		uint64_t i = strtoull(argv[1], NULL, 10);

		one_trial((int)(i % WORLDS), i / WORLDS);
		world_remove();
		return 0;
	}
	for (int i = 0; i < WORLDS; i++) {
		mpq_time began = mpq_now();
		unsigned findings;

		progress->done = 0;
		findings = sweep(i);
		diag("%llu trials in %lld ms", (unsigned long long)progress->done, (long long)(mpq_now() - began) / 1000000);
		OK(findings == 0, "%s: every byte and word of the first page, changed: no signal, no hang", world_name[i]);
	}
	OK(sweep_lock() == 0, "forged lock words are waited for no longer than promised");
	r = tap_end();
	world_remove();
	return r;
}
