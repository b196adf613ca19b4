/* SPDX-License-Identifier: ISC
 *
 * calls.c - each system call of the library, and each allocation, fails in its turn, in each of the ways that matter; and
 * what was read of the system is nonsense. Every operation then ends with an answer, no queue is damaged by it, and what
 * was put before can be got afterwards.
 *
 * The calls are caught by the linker (--wrap), so the library is as it is. A scenario runs in a child for each place where
 * a call is made: first its first call of a kind fails, then its second, until it makes no more.
 */
#include <poll.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <pthread.h>

#include "alive.h"
#include "handle.h"
#include "lock.h"
#include "op.h"
#include "owner.h"
#include "queue.h"
#include "room.h"
#include "segment.h"
#include "side.h"

/* ---- calls that fail ------------------------------------------------------------------------------------- */

enum call { OPENAT, OPEN, FSTAT, LSTAT, STAT, MMAP, FALLOCATE, SYSCALL, POLL, READ, MALLOC, CALLOC, FCNTL, FSTATFS, UNLINK, PWRITE,
	FCHMOD, LINKAT, LINK, OPENDIR, READDIR, GETRLIMIT, MADVISE, PTHREAD_CREATE, PTHREAD_ATTR_INIT, CALLS };
static const char *const call_name[CALLS] = { "openat", "open", "fstat", "lstat", "stat", "mmap", "fallocate", "syscall", "poll",
	"read", "malloc", "calloc", "fcntl", "fstatfs", "unlink", "pwrite", "fchmod", "linkat", "link", "opendir", "readdir",
	"getrlimit", "madvise", "pthread_create", "pthread_attr_init" };

static struct {
	enum call call;
	int skip;                    /* so many of them go well first; -1: none fails */
	int err;
	bool once;                   /* only that one fails, not those after it */
	bool hit;
	const char *says;            /* what a read finds instead of a failure */
} plan = { .skip = -1 };

static bool
fails(enum call call)
{
	if (plan.skip < 0 || call != plan.call || plan.skip-- > 0)
		return false;
	plan.skip = plan.once ? -1 : 0;
	plan.hit = true;
	errno = plan.err;
	return true;
}

#include "caught.h"

CATCH(int, WRAPPED(fstat), REAL(fstat), FSTAT, -1, (int fd, struct stat *st), (fd, st))
CATCH(int, WRAPPED(lstat), REAL(lstat), LSTAT, -1, (const char *path, struct stat *st), (path, st))
CATCH(int, WRAPPED(stat), REAL(stat), STAT, -1, (const char *path, struct stat *st), (path, st))
CATCH(int, WRAPPED(fstatfs), REAL(fstatfs), FSTATFS, -1, (int fd, struct statfs *fs), (fd, fs))
CATCH(struct dirent *, WRAPPED(readdir), REAL(readdir), READDIR, NULL, (DIR *d), (d))
CATCH(int, WRAPPED(getrlimit), REAL(getrlimit), GETRLIMIT, -1, (int what, struct rlimit *limit), (what, limit))
CATCH(DIR *, __wrap_opendir, __real_opendir, OPENDIR, NULL, (const char *path), (path))
CATCH(int, __wrap_poll, __real_poll, POLL, -1, (struct pollfd *p, nfds_t n, int ms), (p, n, ms))
CATCH(void *, __wrap_calloc, __real_calloc, CALLOC, NULL, (size_t n, size_t m), (n, m))
CATCH(int, __wrap_fchmod, __real_fchmod, FCHMOD, -1, (int fd, mode_t mode), (fd, mode))
CATCH(int, __wrap_linkat, __real_linkat, LINKAT, -1, (int a, const char *p, int b, const char *q, int flags), (a, p, b, q, flags))
CATCH(int, __wrap_madvise, __real_madvise, MADVISE, -1, (void *at, size_t n, int advice), (at, n, advice))
CATCH(int, __wrap_pthread_create, __real_pthread_create, PTHREAD_CREATE, EAGAIN,
    (pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg), (t, a, f, arg))
CATCH(int, __wrap_pthread_attr_init, __real_pthread_attr_init, PTHREAD_ATTR_INIT, ENOMEM, (pthread_attr_t *a), (a))

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t
__wrap_read(int fd, void *p, size_t n)
{
	size_t most = plan.says != NULL ? strlen(plan.says) : 0;

	if (!fails(READ))
		return __real_read(fd, p, n);
	if (plan.says == NULL)
		return -1;
	memcpy(p, plan.says, most < n ? most : n);
	return (ssize_t)(most < n ? most : n);
}

/* Futexes that tell of nothing are slept on again; only the others fail. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long
__wrap_syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return fails(SYSCALL) ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- scenarios ------------------------------------------------------------------------------------------- */

#define NAME "calls"
static char *big;                            /* 2 MB of lines */
#define BIG ((size_t)2 << 20)

/* Is it an answer at all? Never "damaged": nothing is. */
static int
answer(int err)
{
	if (err == MPQ_DAMAGED || err < -4095 || err > MPQ_STALE)
		_exit(10);
	(void)mpq_strerror(err);
	return err;
}

static struct mpq *
opened(unsigned flags)
{
	struct mpq_why why;
	struct mpq *q;

	return answer(mpq_open(&room, NAME, flags, &q, &why)) == MPQ_OK ? q : NULL;
}

static void
do_create(void)
{
	struct mpq_bounds bounds = { .mode = 0640, .kind = MPQ_QUEUE };
	struct mpq_why why;

	if (answer(mpq_create(&room, "new", &bounds, &why)) == MPQ_OK && mpq_open(&room, "new", 0, &(struct mpq *){ NULL }, NULL)
	    == MPQ_DAMAGED)
		_exit(11);
}

static int
count(const char *name, void *arg)
{
	(void)name, (void)arg;
	return 0;
}

static void
do_list(void)
{
	answer(mpq_list(&room, count, NULL));
}

static void
do_remove(void)
{
	answer(mpq_remove(&room, NAME, 0, NULL));
}

static void
do_remove_force(void)
{
	answer(mpq_remove(&room, NAME, 1, NULL));
}

static void
do_use(void)
{
	struct mpq_want want = { .msgs = 2, .bytes = UINT64_MAX };
	struct mpq *q = opened(0);
	struct mpq_stat st;
	struct mpq_run run;
	char text[80];
	size_t len;

	if (q == NULL)
		return;
	answer(mpq_put(q, "one", 3, MPQ_NOW));
	answer(mpq_stat(q, &st));
	answer(mpq_get(q, text, sizeof text, &len, MPQ_NOW));
	if (answer(mpq_take(q, &want, 0, MPQ_NOW, &run)) == MPQ_OK)
		answer(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	answer(mpq_join(q, 0, in_ms(2)));
	answer(mpq_sweep(q));
	answer(mpq_check(q));
	mpq_detach(q);
}

static void
do_grow(void)
{
	struct mpq *q = opened(0);
	struct mpq_writer w;
	uint64_t put, bytes;
	size_t len;

	if (q == NULL)
		return;
	mpq_writer_init(&w, q, MPQ_LINES);
	if (answer(mpq_writer_append(&w, big, BIG)) == MPQ_OK)
		answer(mpq_writer_commit(&w, BIG / 64, BIG, MPQ_NOW, &put, &bytes));
	mpq_writer_reset(&w);
	for (int i = 0; i < 30; i++)
		answer(mpq_put(q, i % 2 ? "a\nb" : "c\0d", 3, MPQ_NOW));
	answer(mpq_put(q, big, 100000, MPQ_NOW));
	for (int i = 0; i < 20; i++)
		answer(mpq_get(q, big, BIG, &len, MPQ_NOW));
	mpq_detach(q);
}

/* Take all and drop it: memory goes back. */
static void
do_shrink(void)
{
	struct mpq *q = opened(0);
	struct mpq_want want = { .msgs = UINT64_MAX, .bytes = UINT64_MAX };
	struct mpq_run run;

	if (q == NULL)
		return;
	for (int i = 0; i < 80 && answer(mpq_take(q, &want, 0, MPQ_NOW, &run)) == MPQ_OK; i++)
		answer(mpq_settle(q, &run, run.msgs, run.bytes, MPQ_DONE, NULL));
	answer(mpq_put(q, big, BIG, MPQ_NOW));
	answer(mpq_close(q, MPQ_CLOSE_NOW));
	mpq_detach(q);
}

static void
do_watch(void)
{
	enum { MANY = 300 };
	struct mpq_watch watch[MANY];
	struct mpq *q = opened(0), *again = opened(0);
	char text[80];
	size_t len;
	int some = answer(MPQ_OK);

	if (q == NULL || again == NULL)
		return;
	while (answer(mpq_get(q, text, sizeof text, &len, MPQ_NOW)) == MPQ_OK)
		some++;
	for (int i = 0; i < MANY; i++)
		watch[i] = (struct mpq_watch){ .q = i % 2 ? q : again, .what = MPQ_READY_GET };
	answer(mpq_wait(watch, 2, in_ms(12)));
	answer(mpq_wait(watch, MANY, in_ms(12)));
	mpq_detach(q);
	mpq_detach(again);
}

static void
do_brief(void)
{
	struct mpq *q = opened(MPQ_BRIEF | MPQ_KEEP_ROBUST);

	if (q == NULL)
		return;
	answer(mpq_put(q, "brief", 5, MPQ_NOW));
	mpq_detach(q);
}

/* A dead process's things come back. */
static void
do_sweep(void)
{
	struct mpq *q = opened(0);
	struct mpq_owner nobody = { .pid = getpid(), .start = 1 };
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX };
	struct mpq_run run;

	if (q == NULL)
		return;
	if (answer(mpq_take(q, &want, 0, MPQ_NOW, &run)) == MPQ_OK)
		answer(mpq_settle(q, &run, run.msgs, run.bytes, MPQ_HOLD, &nobody));
	answer(mpq_sweep(q));
	mpq_detach(q);
}

/* By an opener of another boot and name space. */
static void
do_adopt(void)
{
	struct mpq *q = opened(0), *late;

	if (q == NULL)
		return;
	q->head->name_space++;
	munmap(q->view[0].at, q->view[0].size);      /* which lets its lock on the file go */
	if ((late = opened(0)) != NULL) {
		answer(mpq_check(late));
		mpq_detach(late);
	}
	plan.skip = -1;
	_exit(plan.hit ? 0 : 99);            /* the first handle has no memory to detach from */
}

static const struct {
	const char *name;
	void (*run)(void);
	int most;                    /* calls of a kind that fail in turn: those after them are made alike */
} scenarios[] = { { "create", do_create, 20 }, { "list", do_list, 20 }, { "remove", do_remove, 20 },
	{ "remove by force", do_remove_force, 20 }, { "put, get, take", do_use, 20 }, { "growing", do_grow, 12 },
	{ "shrinking", do_shrink, 12 }, { "many watches", do_watch, 5 }, { "a brief handle", do_brief, 20 },
	{ "the dead", do_sweep, 20 }, { "adoption", do_adopt, 20 } };

static const int errors[] = { EINTR, ENOMEM, ENOSPC, ENOENT, EOPNOTSUPP, EEXIST, EACCES, EDQUOT, ESRCH };

/* A queue with something of many kinds in it. */
static void
furnish(void)
{
	struct mpq *q = room_queue(NAME, 0, 0, MPQ_QUEUE);

	for (int i = 0; i < 5; i++)
		mpq_put(q, "first", 5, MPQ_NOW);
	mpq_detach(q);
	(void)mpq_remove(&room, "new", 1, NULL);
}

/* Nobody is harmed: the queue is whole, and works. */
static bool
unharmed(void)
{
	struct mpq *q;
	int err = mpq_open(&room, NAME, 0, &q, NULL);
	bool good;

	if (err == MPQ_GONE)
		return true;
	if (err != MPQ_OK)
		return false;
	good = mpq_check(q) == MPQ_OK;
	err = mpq_put(q, "last", 4, MPQ_NOW);
	mpq_detach(q);
	return good && (err == MPQ_OK || err == MPQ_CLOSED);
}

/* One place of a scenario: its status; 99: it makes no such call any more. */
static int
one_place(size_t scenario, enum call call, int nth, int err, bool once)
{
	pid_t pid;

	furnish();
	if ((pid = child()) == 0) {
		signal(SIGXFSZ, SIG_IGN);
		plan.call = call, plan.err = err, plan.once = once, plan.skip = nth;
		scenarios[scenario].run();
		plan.skip = -1;
		_exit(plan.hit ? 0 : 99);
	}
	return reap_child(pid);
}

/* All places of a call in a scenario, with one error. EINTR for ever would be tried for ever. */
static int
all_places(size_t scenario, enum call call, int err)
{
	int bad = 0, status = 0;
	bool once = err == EINTR || err == ENOENT || err == ENOSPC;

	for (int nth = 0; nth < scenarios[scenario].most && status != 99 && bad < 3; nth++) {
		status = one_place(scenario, call, nth, err, once);
		if ((status != 0 && status != 99) || !unharmed()) {
			diag("%s: %s number %d fails with %d: status %d", scenarios[scenario].name, call_name[call], nth, err, status);
			bad++;
		}
	}
	return bad;
}

static void
each_fails(size_t scenario)
{
	int bad = 0;

	for (enum call call = 0; call < CALLS; call++)
		for (size_t e = 0; e < (scenarios[scenario].most < 10 ? 2 : sizeof errors / sizeof errors[0]); e++) {
			if (one_place(scenario, call, 0, errors[e], true) == 99)
				break;       /* it makes none of these at all */
			bad += all_places(scenario, call, errors[e]);
		}
	IS(bad, 0, "%s: each call fails in its turn", scenarios[scenario].name);
}

/* ---- what the system says of processes ------------------------------------------------------------------- */

static uint64_t
start_when(const char *says)
{
	plan.call = READ, plan.once = true, plan.skip = 0, plan.says = says;
	return start_time(getpid());
}

static bool
boot_is_known(const char *says)
{
	static const uint8_t none[16];
	uint8_t id[16];

	plan.call = READ, plan.once = true, plan.skip = 0, plan.says = says;
	boot_id(id);
	return memcmp(id, none, sizeof id) != 0;
}

/* pidfd_open fails with `err`, and what comes after it does not. */
static bool
alive_when(pid_t pid, int err)
{
	plan.call = SYSCALL, plan.once = true, plan.skip = 0, plan.err = err;
	return alive(pid, 0, false);
}

static void
processes(void)
{
	pid_t pid = child();

	if (pid == 0)
		_exit(0);
	reap_child(pid);
	IS(start_when(""), 0, "an empty line says no start time");
	IS(start_when("1 x S 1 1"), 0, "nor does one without a name");
	IS(start_when("1 (x) S 1 1"), 0, "nor one that ends too soon");
	IS(start_when("1 (a) b) S 1 1 1 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 0"), 4711, "the name may hold anything");
	OK(!boot_is_known("") && !boot_is_known("not hexadecimal"), "a boot that is not told");
	OK(boot_is_known("01234567-89ab-cdef-0123-456789abcdef\n"), "and one that is");
	OK(!alive_when(getpid(), ESRCH) && !alive_when(getpid(), EINVAL), "no such process, or the number of a mere thread");
	OK(alive_when(getpid(), EMFILE), "without a descriptor, kill tells that it is there");
	OK(!alive_when(pid, EMFILE), "and that it is not");
	plan.says = NULL;
	plan.skip = -1;
}

/* The lock's owner does not let go, and what /proc says of it is nonsense: then its last state counts for nothing, and it
 * has the grace of one that runs; one that is traced and stopped has none. Ours is the thread named: it lives, and is not
 * asleep in the kernel. */
static void
locks(void)
{
	static const char *const says[] = { "", "1 no name", "1 (x)S", "1 (x) t" };
	struct mpq *q = room_queue(NAME, 0, 0, MPQ_QUEUE), *robust = NULL;
	bool died;

	IS(mpq_open(&room, NAME, MPQ_KEEP_ROBUST, &robust, NULL), MPQ_OK, "a handle that keeps the thread's robust list");
	for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
		*q->lock = (uint32_t)getpid();
		plan.call = READ, plan.once = true, plan.skip = 0, plan.says = says[i], plan.hit = false;
		IS(lock_take(robust, MPQ_NOW, &died), MPQ_STUCK, "a lock that is not let go: \"%s\"", says[i]);
		OK(plan.hit, "its owner was looked up");
		IS(mpq_why(robust)->pid, getpid(), "and is named");
	}
	plan.says = NULL;
	*q->lock = 0;
	IS(lock_take(robust, in_ms(1000), &died), MPQ_OK, "when it is free it can be had");
	lock_free(robust);
	mpq_detach(robust);
	mpq_detach(q);
}

/* Answers to calls that ask for nothing. */
static void
nothing(void)
{
	const uint32_t word = 1;

	IS(futex_wait(&word, 2, MPQ_FOREVER), -EAGAIN, "no sleep on a word that has moved, without a deadline either");
	IS(mpq_wait(NULL, 0, MPQ_NOW), MPQ_NOTYET, "nothing to watch is never ready");
	OK(strcmp(mpq_strerror(1000), "unknown result") == 0, "words for a result that there is not");
	IS(mpq_owner_of(0, &(struct mpq_owner){ 0 }), MPQ_NOPROC, "no process has number 0");
}

int
main(void)
{
	room_make();
	if ((big = malloc(BIG)) == NULL)
		return 1;
	for (size_t i = 0; i < BIG; i++)
		big[i] = i % 64 == 63 ? '\n' : 'x';
	for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
		each_fails(i);
	processes();
	locks();
	nothing();
	return tap_end();
}
