/* SPDX-License-Identifier: ISC
 *
 * between.c - something else happens between two steps: what the library has just seen is not so any more when it has got
 * the lock, memory is punched, or the system gives an answer that is rare (another device, no memory, no permission).
 *
 * The system calls are caught by the linker (--wrap), as in calls.c. Here a call does something first, or its answer is
 * another one; each case says which. The lock is caught too: a word with the bit "waiters" makes its release a call, and a
 * word with an owner makes taking it one.
 */
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "extent.h"
#include "journal.h"
#include "lock.h"
#include "op.h"
#include "owner.h"
#include "queue.h"
#include "room.h"
#include "segment.h"

#define TMPFS 0x01021994

/* ---- calls ----------------------------------------------------------------------------------------------- */

enum call { FALLOCATE, OPEN, OPENAT, FSTAT, LSTAT, STATFS, PWRITE, LINKAT, LINK, UNLINK, MMAP, FCNTL, MALLOC, TKILL, LOCKED,
	RELEASED, CALLS };

static struct {
	unsigned skip, times;                /* so many go well first; so many then do not */
	int err;                             /* errno of the failure; 0: the call goes well */
	void (*does)(void);                  /* what happens first */
} plan[CALLS];
static uint64_t lie;                         /* what fstat, lstat or fstatfs say instead, if not 0: about ... */
static enum { OWNER, DEVICE, INODE, TYPE } lie_about;
static bool empty_path_works;                /* linkat with AT_EMPTY_PATH, which takes a privilege */
static const uint32_t *watched_lock;

static void
all_goes_well(void)
{
	memset(plan, 0, sizeof plan);
	lie = 0;
	empty_path_works = false;
	watched_lock = NULL;
}

/* The next call but `skip`, `times` of them, fails with err, after does() was called. */
static void
expect(enum call call, unsigned skip, unsigned times, int err, void (*does)(void))
{
	plan[call].skip = skip, plan[call].times = times, plan[call].err = err, plan[call].does = does;
}

static bool
fails(enum call call)
{
	if (plan[call].times == 0)
		return false;
	if (plan[call].skip > 0) {
		plan[call].skip--;
		return false;
	}
	plan[call].times--;
	if (plan[call].does != NULL)
		plan[call].does();
	errno = plan[call].err;
	return plan[call].err != 0;
}

#include "caught.h"

static int
told(int r, struct stat *st)
{
	if (r == 0 && lie != 0) {
		st->st_uid = lie_about == OWNER ? (uid_t)lie : st->st_uid;
		st->st_dev = lie_about == DEVICE ? (dev_t)lie : st->st_dev;
		st->st_ino = lie_about == INODE ? (ino_t)lie : st->st_ino;
	}
	return r;
}

int REAL(fstat)(int fd, struct stat *st);
int WRAPPED(fstat)(int fd, struct stat *st);
int
WRAPPED(fstat)(int fd, struct stat *st)
{
	return fails(FSTAT) ? -1 : told(REAL(fstat)(fd, st), st);
}

int REAL(lstat)(const char *path, struct stat *st);
int WRAPPED(lstat)(const char *path, struct stat *st);
int
WRAPPED(lstat)(const char *path, struct stat *st)
{
	return fails(LSTAT) ? -1 : told(REAL(lstat)(path, st), st);
}

int REAL(fstatfs)(int fd, struct statfs *fs);
int WRAPPED(fstatfs)(int fd, struct statfs *fs);
int
WRAPPED(fstatfs)(int fd, struct statfs *fs)
{
	int r = fails(STATFS) ? -1 : REAL(fstatfs)(fd, fs);

	if (r == 0 && lie != 0 && lie_about == TYPE)
		fs->f_type = (__typeof__(fs->f_type))lie;
	return r;
}

int __real_linkat(int a, const char *p, int b, const char *q, int flags);
int __wrap_linkat(int a, const char *p, int b, const char *q, int flags);
int
__wrap_linkat(int a, const char *p, int b, const char *q, int flags)
{
	char proc[40];

	if (fails(LINKAT))
		return -1;
	if ((flags & AT_EMPTY_PATH) == 0 || !empty_path_works)
		return __real_linkat(a, p, b, q, flags);
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", a);
	return __real_linkat(AT_FDCWD, proc, b, q, AT_SYMLINK_FOLLOW);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long
__wrap_syscall(long number, ...)
{
	static bool inside;
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_tkill && fails(TKILL))
		return -1;
	if (number == SYS_futex && !inside && watched_lock != NULL && (const uint32_t *)a[0] == watched_lock) {
		inside = true;
		if (a[1] == FUTEX_WAKE)
			(void)fails(RELEASED);
		else if (plan[LOCKED].times != 0) {
			(void)fails(LOCKED);
			*(uint32_t *)a[0] = 0;       /* and whoever has it lets it go */
		}
		inside = false;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- a queue --------------------------------------------------------------------------------------------- */

#define NAME "between"
static struct mpq *q, *peer;
static char *big;
#define BIG ((size_t)6 << 20)

static void
fresh(void)
{
	all_goes_well();
	mpq_detach(q);
	q = room_queue(NAME, 0, 0, MPQ_QUEUE);
}

/* With so many chunks, of which most have no memory, and are in use. */
static void
stretch(uint32_t chunks)
{
	fresh();
	if (truncate(q->path, (off_t)chunk_offset(chunks)) != 0)
		diag("truncate: %s", strerror(errno));
	q->head->chunks = chunks;
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "a queue of %u chunks", chunks);
	op_leave(q, MPQ_OK, NULL);
}

/* With one free chunk, or several. */
static void
with_chunks(unsigned n)
{
	fresh();
	for (unsigned i = 0; i < n; i++)
		if (chunk_provide(q, NEED_CHUNK, 0) != MPQ_OK)
			diag("no chunk");
}

static void
is_removed(void)
{
	q->head->sick = HEAD_REMOVED;
}

/* What happens while somebody waits for the lock. */
static void
while_locked(void (*does)(void))
{
	*q->lock = (uint32_t)gettid();
	watched_lock = q->lock;
	expect(LOCKED, 0, 1, 0, does);
}

/* What happens at a release of the lock. */
static void
at_release(void (*does)(void))
{
	*q->lock = FUTEX_WAITERS;
	watched_lock = q->lock;
	expect(RELEASED, 0, 1, 0, does);
}

static uint32_t
chunks_now(void)
{
	return LOW(get(&q->head->chunks));
}

/* ---- growing --------------------------------------------------------------------------------------------- */

static uint32_t
pages_of(uint32_t n)
{
	return chunk_pages(q, n);
}

static void
sizes(void)
{
	fresh();
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "the first chunk, for much");
	IS(pages_of(FIRST_CHUNK), CHUNK_PAGES, "has all its pages");
	fresh();
	IS(chunk_provide(q, NEED_SMALL, PAGE + 1), MPQ_OK, "the first chunk, for more than a page");
	IS(pages_of(FIRST_CHUNK), CHUNK_PAGES, "has all its pages");
	for (int large = 0; large < 2; large++) {
		fresh();
		IS(chunk_provide(q, NEED_SMALL, 1), MPQ_OK, "the first chunk, for little");
		IS(pages_of(FIRST_CHUNK), 1, "has a page");
		IS(chunk_provide(q, large ? NEED_CHUNK : NEED_SMALL, 5 * PAGE), MPQ_OK, "the second, for much");
		IS(pages_of(FIRST_CHUNK + 1), CHUNK_PAGES, "has all its pages");
	}
	stretch(3000);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "a large queue");
	IS(chunks_now(), 3016, "grows by a mebibyte");
	stretch(512);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "at the first descriptor of a page");
	IS(chunks_now(), 514, "the page is allocated too");
	stretch(GROUP - 1);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "the last of the first group");
	IS(chunks_now(), GROUP, "is one by itself");
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "the first of the second");
	IS(chunks_now(), GROUP + 2, "comes with its table");
	IS(LOW(get(&q->head->free)), GROUP + 1, "which is no chunk to use");
}

static void
no_space(void)
{
	stretch(3000);
	expect(FALLOCATE, 0, 1, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "no room for sixteen chunks");
	IS(chunks_now(), 3001, "but for one");
	stretch(GROUP);
	expect(FALLOCATE, 0, 100, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_SMALL, 1), -ENOSPC, "no room for a table");
	stretch(300);
	expect(FALLOCATE, 0, 2, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_SMALL, 1), MPQ_OK, "room for a page only");
	IS(pages_of(300), 1, "is used");
	expect(FALLOCATE, 0, 3, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_SMALL, 1), -ENOSPC, "not even for that");
	expect(FALLOCATE, 0, 1, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_SMALL, 5 * PAGE), -ENOSPC, "less is not enough");
	fresh();
	expect(FALLOCATE, 0, 1, EIO, NULL);
	IS(chunk_provide(q, NEED_CHUNK, 0), -EIO, "no descriptors");
	q->head->chunks = MAX_CHUNKS - 1;
	IS(chunk_provide(q, NEED_CHUNK, 0), -ENOSPC, "as many chunks as there can be");
	q->head->chunks = 5;
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_DAMAGED, "fewer than there can be");
	fresh();
	expect(FALLOCATE, 0, 1, 0, is_removed);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_GONE, "removed while it grows");
}

static void
errors_of_space(void)
{
	static const struct {
		int err, answer;
	} table[] = { { EFBIG, -EFBIG }, { EDQUOT, -EDQUOT }, { EOPNOTSUPP, MPQ_NODIR }, { EIO, -EIO }, { EINTR, MPQ_OK } };

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		with_chunks(1);
		expect(FALLOCATE, 0, 1, table[i].err, NULL);
		IS(chunk_provide(q, NEED_CHUNK, 0), table[i].answer, "space: %s", strerror(table[i].err));
	}
	with_chunks(1);
	expect(FALLOCATE, 0, 1, ENOSPC, NULL);
	expect(STATFS, 0, 1, EIO, NULL);
	IS(chunk_provide(q, NEED_CHUNK, 0), -ENOSPC, "nor is it known how much there is");
}

static void
others_take_absent(void)
{
	q->head->absent = 0;
}

static void
others_punch(void)
{
	q->head->punched++;
}

/* One chunk, and it has no memory. */
static void
with_absent(void)
{
	with_chunks(1);
	q->head->free = 0;
	q->head->absent = PAIR(FIRST_CHUNK, 1);
	chunk_at(q, FIRST_CHUNK)->use = 0;
}

static void
absent(void)
{
	static void (*const meanwhile[])(void) = { others_take_absent, others_punch };

	with_absent();
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "a chunk without memory");
	IS(get(&q->head->free), PAIR(FIRST_CHUNK, 1), "gets it again");
	for (int i = 0; i < 2; i++) {
		with_absent();
		expect(FALLOCATE, 0, 1, 0, meanwhile[i]);
		IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, i == 0 ? "others were faster" :
		    "or it may have been punched again");
		IS(get(&q->head->free), 0, "then nothing is published");
	}
	with_absent();
	expect(FALLOCATE, 0, 1, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_CHUNK, 0), -ENOSPC, "no memory for all of it");
	expect(FALLOCATE, 0, 1, ENOSPC, NULL);
	IS(chunk_provide(q, NEED_SMALL, 1), MPQ_OK, "but for a small one");
	with_absent();
	expect(FALLOCATE, 0, 1, 0, is_removed);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_GONE, "removed while it gets it");
	with_absent();
	q->chunks = FIRST_CHUNK;
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "a chunk that this handle did not know yet");
	with_absent();
	q->head->absent = PAIR(5, 1);
	while_locked(others_take_absent);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_OK, "no chunk, as a glance saw it");
	OK(plan[LOCKED].times == 0, "but with the lock it was not so");
	q->head->absent = PAIR(5, 1);
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_DAMAGED, "no chunk, with the lock too");
	IS(chunk_provide(q, NEED_CHUNK, 0), MPQ_DAMAGED, "and afterwards");
}

static void
others_take_free(void)
{
	q->head->free = 0;
}

static void
pools(void)
{
	with_chunks(1);
	while_locked(others_take_free);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "the free chunk has gone: look again");
	OK(plan[LOCKED].times == 0 && LOW(get(&q->head->pools)) == BUILTIN_POOL / RECORD, "it is no pool");
	with_chunks(1);
	q->head->free = 0, q->head->small = PAIR(FIRST_CHUNK, 1);
	chunk_at(q, FIRST_CHUNK)->use = 0;
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_DAMAGED, "a small chunk without a page");
	with_chunks(1);
	q->head->pools = PAIR(7, 7);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_DAMAGED, "pools that are none");
	with_chunks(1);
	q->head->free = PAIR(5, 1);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_DAMAGED, "a free chunk that is none");
	with_chunks(1);
	q->head->sick = HEAD_REMOVED;
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_GONE, "removed meanwhile");
}

/* Records are numbered in 32 bits. The file has no memory there, but it is so long. */
static void
far_pool(void)
{
	const uint32_t n = (1u << 22) + FIRST_CHUNK;
	pid_t pid = child();

	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stdout);      /* only the parent's results count */
		stretch(n + 1);
		q->head->free = PAIR(n, 1);
		chunk_at(q, n)->use = PAIR(0, CHUNK_PAGES);
		_exit(chunk_provide(q, NEED_RECORD, 0) == -ENOSPC && get(&q->head->free) == PAIR(n, 1) ? 0 : 1);
	}
	IS(reap_child(pid), 0, "no records beyond 256 GiB");
}

static void
others_end_growing(void)
{
	q->head->growing = 0;
}

static void
others_grow_it(void)
{
	chunk_at(q, FIRST_CHUNK)->use = PAIR(0, 4 | CHUNK_POOL << 8);
}

/* A pool with one page. */
static void
with_growing(void)
{
	fresh();
	if (chunk_provide(q, NEED_SMALL, 1) != MPQ_OK || chunk_provide(q, NEED_RECORD, 0) != MPQ_OK ||
	    get(&q->head->growing) != FIRST_CHUNK)
		diag("no growing pool");
}

static void
growing(void)
{
	with_growing();
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "a pool of a page");
	IS(pages_of(FIRST_CHUNK), 4, "gets four");
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "then all");
	OK(pages_of(FIRST_CHUNK) == CHUNK_PAGES && get(&q->head->growing) == 0, "and is complete");
	with_growing();
	expect(FALLOCATE, 0, 1, 0, others_end_growing);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "another one grows now");
	IS(pages_of(FIRST_CHUNK), 1, "this one is left as it is");
	with_growing();
	expect(FALLOCATE, 0, 1, 0, others_grow_it);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "others were faster");
	with_growing();
	expect(FALLOCATE, 0, 1, 0, is_removed);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_GONE, "removed while it grows");
	with_growing();
	expect(FALLOCATE, 0, 1, EIO, NULL);
	IS(chunk_provide(q, NEED_RECORD, 0), -EIO, "no memory");
	chunk_at(q, FIRST_CHUNK)->use = PAIR(0, 1);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_DAMAGED, "it is no pool");
	with_growing();
	((struct pool *)at(q, chunk_offset(FIRST_CHUNK)))->state = PAGE / RECORD - 1;
	q->head->pools = PAIR(7, 7);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_DAMAGED, "it was full, and there is no list to put it in");
	with_growing();
	chunk_at(q, FIRST_CHUNK)->use = PAIR(0, CHUNK_POOL << 8);
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "a growing pool without a page is not grown");
	with_chunks(1);
	q->head->growing = FIRST_CHUNK;
	IS(chunk_provide(q, NEED_RECORD, 0), MPQ_OK, "nor one that has all");
}

static void
lock_let_go(void)
{
	*q->lock = 0;
}

/* What a walk over all of it sees there. */
static void
walks(void)
{
	stretch(GROUP + 2);
	for (uint32_t n = FIRST_CHUNK; n < GROUP + 2; n++)
		if (n != GROUP) {
			chunk_at(q, n)->use = PAIR(0, CHUNK_PAGES);
			chunk_at(q, n)->link = n + 1 == GROUP ? n + 2 : n == GROUP + 1 ? 0 : n + 1;
		}
	q->head->free = PAIR(FIRST_CHUNK, GROUP + 1 - FIRST_CHUNK);
	IS(mpq_check(q), MPQ_OK, "free chunks of two groups");
	with_chunks(1);
	q->head->free = 0;
	chunk_at(q, FIRST_CHUNK)->use = PAIR(0, CHUNK_POOL << 8);
	IS(mpq_check(q), MPQ_DAMAGED, "a pool without a page");
	with_growing();
	((struct pool *)at(q, chunk_offset(FIRST_CHUNK)))->state = PAIR(2 << 16, BUILTIN_POOL / RECORD + 1);
	IS(mpq_check(q), MPQ_DAMAGED, "a pool with a free record of another");
	fresh();
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "a message");
	q->head->pool.state = PAIR(get(&q->head->pool.state) & 0xffff0000, LOW(get(&q->head->side[0].fresh)));
	IS(mpq_check(q), MPQ_DAMAGED, "its record is free");
}

/* ---- giving back ----------------------------------------------------------------------------------------- */

static void
punch(void)
{
	uint64_t absent_was;

	with_chunks(6);
	chunk_at(q, 256)->link = 258, chunk_at(q, 258)->link = 260, chunk_at(q, 260)->link = 259;
	expect(FALLOCATE, 0, 2, EIO, NULL);
	IS(chunk_punch(q, 256, 4), -EIO, "memory that the system does not take back, in the middle");
	expect(FALLOCATE, 2, 1, EIO, NULL);
	IS(chunk_punch(q, 256, 4), -EIO, "and at the end");
	chunk_at(q, 259)->link = 0;
	IS(chunk_punch(q, 256, 100), MPQ_OK, "a chain that ends too soon");
	IS(chunk_punch(q, 256, 0), MPQ_OK, "no chain");
	absent_was = get(&q->head->absent);
	OK(op_enter(q, MPQ_FOREVER) == MPQ_OK && chunk_give_absent(q, 0, 256, 1) == MPQ_DAMAGED &&
	    chunk_give_absent(q, 256, 0, 1) == MPQ_DAMAGED, "what is no chunk is not absent");
	op_leave(q, MPQ_EMPTY, NULL);
	IS(get(&q->head->absent), absent_was, "nothing was listed");
	IS(mpq_remove(&room, NAME, 0, NULL), MPQ_OK, "without a name");
	IS(chunk_punch(q, 256, 1), MPQ_GONE, "nothing is punched");
}

static void
forget_who(void)
{
	q->self.pid = 0;
}

static void
spoil_record(void)
{
	extent_at(q, LOW(get(&slot_at(q, q->slot)->list)))->what = 0;
}

static void
spoil_list(void)
{
	slot_at(q, q->slot)->list = 0;
}

static void
spoil_pool(void)
{
	q->head->pool.state &= ~(uint64_t)0xffff;
}

static void
trims(void)
{
	static const struct {
		void (*does)(void);
		const char *what;
		uint64_t sick;
	} table[] = { { forget_who, "who we are", HEAD_DAMAGED }, { spoil_record, "the record", HEAD_DAMAGED },
		{ spoil_list, "the list", HEAD_DAMAGED }, { spoil_pool, "the pool", HEAD_DAMAGED },
		{ is_removed, "the queue", HEAD_REMOVED } };

	with_chunks(20);
	trim(q, true);
	IS(HIGH(get(&q->head->absent)), 20 - SPARE, "surplus memory goes back");
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		with_chunks(20);
		expect(FALLOCATE, 0, 1, 0, table[i].does);
		trim(q, true);
		IS(get(&q->head->sick), table[i].sick, "while it does, %s gets lost", table[i].what);
		IS(get(&q->head->absent), 0, "nothing is listed");
	}
	with_chunks(20);
	chunk_at(q, LOW(get(&q->head->free)))->link = 5;
	trim(q, true);
	IS(get(&q->head->sick), HEAD_DAMAGED, "a broken list of free chunks");
	fresh();
	IS(trim_go_on(q, 0), MPQ_DAMAGED, "a record that is none");
}

/* ---- looking and getting --------------------------------------------------------------------------------- */

static void
peer_gets(void)
{
	size_t len;

	peer = room_open(NAME);
	if (mpq_get(peer, big, BIG, &len, MPQ_NOW) != MPQ_OK)
		diag("the peer gets nothing");
	mpq_detach(peer);
}

/* At the first release with something pinned, does that; before it, wait for the next one. */
static void (*when_pinned)(void);

static void
pinned(void)
{
	if (q->slot != 0 && LOW(get(&slot_at(q, q->slot)->list)) != 0) {
		when_pinned();
		return;
	}
	*q->lock |= FUTEX_WAITERS;
	plan[RELEASED].times = 1;
}

static struct extent *
first_queued(void)
{
	return extent_at(q, LOW(get(&q->head->side[0].fresh)));
}

static void
one_less(void)
{
	first_queued()->msgs--;
}

static void
a_byte_less(void)
{
	first_queued()->bytes--;
}

static void
break_chain(void)
{
	chunk_at(q, LOW(first_queued()->place))->link = 0;
}

/* Look at up to two messages of many chunks, while that happens. */
static int
look(void (*does)(void), int msgs, enum mpq_framing framing)
{
	struct mpq_want want = { .msgs = 2, .bytes = UINT64_MAX, .flags = MPQ_PEEK };
	const size_t half = BIG / 2;
	struct mpq_writer w;
	struct mpq_run run;
	uint64_t put, bytes;
	int err;

	fresh();
	memset(big, 'x', BIG);
	big[half - 1] = big[BIG - 1] = '\n';
	mpq_writer_init(&w, q, framing);
	for (int i = 0; i < msgs; i++)
		if (mpq_writer_append(&w, big, half) != MPQ_OK ||
		    (framing == MPQ_BARE && mpq_writer_commit(&w, 1, half, MPQ_NOW, &put, &bytes) != MPQ_OK))
			return -1;
	if (framing != MPQ_BARE && mpq_writer_commit(&w, (uint64_t)msgs, half * (size_t)msgs, MPQ_NOW, &put, &bytes) != MPQ_OK)
		return -1;
	mpq_writer_reset(&w);
	when_pinned = does;
	at_release(pinned);
	if ((err = mpq_take(q, &want, 0, MPQ_NOW, &run)) == MPQ_OK &&
	    (err = mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL)) == MPQ_OK)
		err = (int)run.seq * 10;
	OK(plan[RELEASED].times == 0, "a look at %d", msgs);
	return err;
}

static void
looks(void)
{
	struct mpq_run forged = { .id = PEEKED | 1 }, theirs;
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX, .flags = MPQ_PEEK };

	IS(look(peer_gets, 1, MPQ_BARE), MPQ_EMPTY, "the only message is got meanwhile");
	IS(look(peer_gets, 2, MPQ_BARE), 10, "the first is: the second is looked at");
	IS(look(one_less, 2, MPQ_LINES), 0, "there is one less: the look begins again");
	IS(look(a_byte_less, 2, MPQ_LINES), 0, "or a byte less");
	IS(look(break_chain, 1, MPQ_BARE), MPQ_DAMAGED, "its chain breaks");
	IS(look(is_removed, 1, MPQ_BARE), MPQ_GONE, "the queue is removed");
	fresh();
	IS(mpq_settle(q, &forged, 0, 0, MPQ_GOT, NULL), MPQ_STALE, "a look that there is not");
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	peer = room_open(NAME);
	IS(mpq_take(peer, &want, 0, MPQ_NOW, &theirs), MPQ_OK, "a look of another handle");
	OK(op_enter(q, MPQ_FOREVER) == MPQ_OK && owner_self(q) == MPQ_OK && owner_slot(q, &q->slot) == MPQ_OK,
	    "a slot of ours");
	op_leave(q, MPQ_OK, NULL);
	IS(mpq_settle(q, &(struct mpq_run){ .id = theirs.id }, 0, 0, MPQ_GOT, NULL), MPQ_STALE, "is not ours");
	forged.id = PEEKED | q->slot;
	IS(mpq_settle(q, &forged, 0, 0, MPQ_GOT, NULL), MPQ_STALE, "nor is a slot");
	IS(mpq_settle(peer, &theirs, 0, 0, MPQ_GOT, NULL), MPQ_OK, "it is its own");
	mpq_detach(peer);
}

static void
gets(void)
{
	size_t len = 0;

	fresh();
	IS(mpq_put(q, big, 5000, MPQ_NOW), MPQ_OK, "a message");
	IS(mpq_put(q, big, 9000, MPQ_NOW), MPQ_OK, "and a longer one");
	at_release(peer_gets);
	IS(mpq_get(q, big, 6000, &len, MPQ_NOW), MPQ_TOOBIG, "the first is got by another between look and take");
	IS(len, 9000, "the length of the second is told");
	IS(mpq_get(q, big, 9000, &len, MPQ_NOW), MPQ_OK, "it is still there");
	fresh();
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	q->head->side[0].bytes = 2;
	IS(mpq_get(q, big, BIG, &len, MPQ_NOW), MPQ_DAMAGED, "a message of more bytes than there are");
}

static void
peer_puts(void)
{
	peer = room_open(NAME);
	if (mpq_put(peer, "new", 3, MPQ_NOW) != MPQ_OK)
		diag("the peer puts nothing");
	mpq_detach(peer);
}

static void
peer_puts_later(void)
{
	*q->lock |= FUTEX_WAITERS;
	expect(RELEASED, 0, 1, 0, peer_puts);
}

/* The short look before a sleep sees what comes, or it does not, and a sleep follows; both get it. */
static void
short_looks(void)
{
	static const struct {
		const char *what;
		void (*does)(void);
		bool rests;
	} table[] = { { "at once", peer_puts, false }, { "after the look", peer_puts_later, true } };
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX, .flags = MPQ_SHARE };
	struct mpq_run run;
	size_t len;

	for (size_t i = 0; i < 2 * sizeof table / sizeof table[0]; i++) {
		fresh();
		owner_self(q);
		q->spin.sleeps = 16;
		at_release(table[i / 2].does);
		IS(i % 2 == 0 ? mpq_take(q, &want, 0, in_ms(30000), &run) : mpq_get(q, big, BIG, &len, in_ms(30000)), MPQ_OK,
		    "what comes %s is %s", table[i / 2].what, i % 2 == 0 ? "taken" : "got");
		IS(q->spin.next != 0, table[i / 2].rests, "another look follows %s", table[i / 2].rests ? "later" : "at once");
	}
}

/* A number that no thread has, for ever: the kernel would have let the word go. */
static void
lock_of_nobody(void)
{
	const uint32_t nobody = FUTEX_TID_MASK;

	fresh();
	*q->lock = nobody;
	IS(op_enter(q, MPQ_FOREVER), MPQ_STUCK, "the lock of a thread that there is not");
	*q->lock = nobody;
	expect(TKILL, 0, 1, EPERM, lock_let_go);
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "of one that may not be asked: it is waited for");
	op_leave(q, MPQ_OK, NULL);
	OK(plan[TKILL].times == 0, "it was asked");
	*q->lock = (uint32_t)gettid();
	expect(TKILL, 0, 1, 0, lock_let_go);
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "of one that is there: so is that");
	op_leave(q, MPQ_OK, NULL);
	OK(plan[TKILL].times == 0, "it was asked too");
}

/* Others have made the queue longer, and what is seen of the file then is rare. */
static void
longer(void)
{
	static const int answer[] = { MPQ_OK, -EIO, -ENOMEM, MPQ_GONE, MPQ_DAMAGED };
	static const char *const what[] = { "mapped", "not told", "no memory", "without a name", "not as long as it says" };
	struct mpq_stat st;

	for (int i = 0; i < 5; i++) {
		fresh();
		if (truncate(q->path, (off_t)chunk_offset(600)) != 0)
			diag("truncate: %s", strerror(errno));
		q->head->chunks = i < 4 ? 600 : 700;
		if (i == 1)
			expect(FSTAT, 1, 1, EIO, NULL);
		if (i == 2)
			expect(MMAP, 0, 2, ENOMEM, NULL);
		if (i == 3)
			unlink(q->path);
		IS(mpq_stat(q, &st), answer[i], "longer: %s", what[i]);
	}
	fresh();
	IS(truncate(q->path, (off_t)chunk_offset(3000)), 0, "a file much longer than the queue says");
	q->head->chunks = 600;
	IS(mpq_stat(q, &st), MPQ_OK, "as much as it says is mapped");
	OK(q->mapped < chunk_offset(2900), "not all of it");
	q->head->chunks = 2900;
	IS(mpq_stat(q, &st), MPQ_OK, "it says more");
	OK(q->mapped >= chunk_offset(2900), "that is mapped too");
	fresh();
	q->head->chunks = MAX_CHUNKS;
	IS(mpq_stat(q, &st), MPQ_DAMAGED, "longer than any file");
}

/* ---- the way to the file --------------------------------------------------------------------------------- */

static void
views(void)
{
	struct mpq_stat st;
	unsigned was;
	int fd;

	fresh();
	IS(segment_reopen(q, &fd), MPQ_OK, "the file again");
	was = q->nviews;
	q->nviews = VIEWS;
	IS(segment_map(q, fd, q->mapped + 1), -ENOMEM, "as many views as a handle can have");
	q->nviews = was;
	expect(MMAP, 0, 1, ENOMEM, NULL);
	IS(segment_map(q, fd, q->mapped * 4), -ENOMEM, "no memory for just what is there");
	expect(MMAP, 0, 1, EIO, NULL);
	IS(segment_map(q, fd, q->mapped + 1), -EIO, "another failure");
	expect(MMAP, 0, 1, ENOMEM, NULL);
	IS(segment_map(q, fd, q->mapped + 1), MPQ_OK, "no memory for more than is there");
	close(fd);
	expect(FSTAT, 0, 1, EIO, NULL);
	IS(segment_reopen(q, &fd), MPQ_GONE, "a file that cannot be told");
	lie = q->dev + 1, lie_about = DEVICE;
	IS(mpq_stat(q, &st), MPQ_GONE, "the name is that of a file on another device");
	IS(segment_reopen(q, &fd), MPQ_GONE, "another device");
	IS(segment_unlink_if(q->path, q->dev, q->ino), MPQ_OK, "then it is not unlinked");
	lie = q->ino + 1, lie_about = INODE;
	IS(mpq_stat(q, &st), MPQ_GONE, "or of another file");
	IS(segment_reopen(q, &fd), MPQ_GONE, "another file");
	IS(segment_unlink_if(q->path, q->dev, q->ino), MPQ_OK, "nor then");
	lie = 0;
	IS(access(q->path, F_OK), 0, "it is there");
	expect(UNLINK, 0, 1, EACCES, NULL);
	IS(segment_unlink_if(q->path, q->dev, q->ino), -EACCES, "it may not be unlinked");
	expect(UNLINK, 0, 1, ENOENT, NULL);
	IS(segment_unlink_if(q->path, q->dev, q->ino), MPQ_OK, "others have just done it");
	expect(OPENAT, 0, 1, EMFILE, NULL);
	IS(segment_reopen(q, &fd), -EMFILE, "no descriptor");
}

static void
files(void)
{
	struct mpq_bounds bounds = { .mode = 0600 };
	const uid_t friends[] = { 4711, 4712 };
	struct mpq_place here = { 0 }, some = { .trusted = friends, .ntrusted = 2 }, all = { .trust_all = 1 };
	static const int kinds[] = { ELOOP, EISDIR, ENXIO, ENODEV };
	char name[60];
	struct mpq *h, *other;
	struct mpq_why why = { 0 };

	all_goes_well();
	snprintf(name, sizeof name, "unit-between-%d", getpid());
	IS(mpq_create(&here, name, &bounds, NULL), MPQ_OK, "a queue in the default place");
	IS(mpq_create(NULL, name, &bounds, NULL), MPQ_EXISTS, "which needs no words");
	IS(mpq_open(NULL, name, 0, &h, NULL), MPQ_OK, "it is opened");
	mpq_detach(h);
	IS(mpq_open(&here, name, 0, &h, NULL), MPQ_OK, "again");
	h->head->boot[0] = 1;
	IS(mpq_open(NULL, name, 0, &other, NULL), MPQ_FOREIGN, "with a boot, it is looked at there too");
	h->head->boot[0] = 0;
	mpq_detach(h);
	lie = 4712, lie_about = OWNER;
	IS(mpq_open(NULL, name, 0, &h, &why), MPQ_DENIED, "somebody else's");
	IS(why.uid, 4712, "whose is told");
	IS(mpq_open(&here, name, 0, &h, NULL), MPQ_DENIED, "also to who trusts nobody");
	IS(mpq_open(&some, name, 0, &h, NULL), MPQ_OK, "not to who trusts him");
	mpq_detach(h);
	IS(mpq_open(&all, name, 0, &h, NULL), MPQ_OK, "or everybody");
	mpq_detach(h);
	expect(OPENAT, 0, 1, EACCES, NULL);
	why.uid = 0;
	IS(mpq_open(NULL, name, 0, &h, &why), MPQ_DENIED, "somebody else's that cannot be opened");
	IS(why.uid, 4712, "whose is told");
	lie = 0;
	expect(OPENAT, 0, 1, EACCES, NULL);
	IS(mpq_open(NULL, name, 0, &h, NULL), -EACCES, "our own");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		expect(OPENAT, 0, 1, kinds[i], NULL);
		IS(mpq_open(NULL, name, 0, &h, NULL), MPQ_NOTQUEUE, "no file of that kind: %s", strerror(kinds[i]));
	}
	IS(mpq_remove(NULL, name, 0, NULL), MPQ_OK, "removed");
}

static int
found(const char *name, void *arg)
{
	(void)name;
	return ++*(int *)arg;
}

static void
lists(void)
{
	struct mpq_place here = { 0 };
	char path[100];
	int n = 0, fd;

	fresh();
	IS(mpq_list(&room, found, &n), 1, "a list ends when it is told to");
	n = -1000000;
	OK(mpq_list(NULL, found, &n) <= 0 && mpq_list(&here, found, &n) <= 0, "the default place can be listed");
	snprintf(path, sizeof path, "%s/mpq.-no-name", room_dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	IS(mpq_remove(&room, NAME, 0, NULL), MPQ_OK, "removed");
	n = 0;
	OK(mpq_list(&room, found, &n) == 0 && n == 0, "a name that no queue can have is not listed");
	unlink(path);
}

/* ---- creating -------------------------------------------------------------------------------------------- */

static int
create(const char *name)
{
	struct mpq_bounds bounds = { .mode = 0600 };
	int err = mpq_create(&room, name, &bounds, NULL);

	all_goes_well();
	if (err == MPQ_OK) {
		struct mpq *h = room_open(name);

		err = mpq_put(h, "x", 1, MPQ_NOW);
		mpq_detach(h);
		(void)mpq_remove(&room, name, 0, NULL);
	}
	return err;
}

static void
somebody_creates(void)
{
	char path[100];

	snprintf(path, sizeof path, "%s/mpq.new", room_dir);
	close(REAL(open)(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static void
creations(void)
{
	static const int no_tmpfile[] = { EOPNOTSUPP, EISDIR, EINVAL };
	char deep[4200], path[100];
	struct mpq_place far = { .dir = deep };
	struct rlimit limit = { 100, RLIM_INFINITY }, none = { RLIM_INFINITY, RLIM_INFINITY };
	pid_t pid;

	all_goes_well();
	for (size_t i = 0; i < 3; i++) {
		expect(OPEN, 0, 1, no_tmpfile[i], NULL);
		IS(create("new"), MPQ_OK, "no files without a name: %s", strerror(no_tmpfile[i]));
	}
	expect(OPEN, 0, 1, EMFILE, NULL);
	IS(create("new"), -EMFILE, "no descriptor");
	expect(LINKAT, 0, 1, ENOENT, NULL);
	empty_path_works = true;
	IS(create("new"), MPQ_OK, "no /proc, but the privilege");
	expect(LINKAT, 0, 2, ENOENT, NULL);
	IS(create("new"), MPQ_OK, "nor that");
	expect(LINKAT, 0, 1, EXDEV, NULL);
	IS(create("new"), MPQ_OK, "a file system that links nothing without a name");
	expect(LINKAT, 0, 1, EACCES, NULL);
	IS(create("new"), -EACCES, "no permission to link");
	expect(OPEN, 0, 1, EOPNOTSUPP, NULL);
	expect(LINK, 0, 1, EACCES, NULL);
	IS(create("new"), -EACCES, "nor for a file with a name");
	snprintf(path, sizeof path, "%s/mpq.new", room_dir);
	expect(OPEN, 0, 1, EOPNOTSUPP, NULL);
	expect(LINK, 0, 1, 0, somebody_creates);
	IS(create("new"), MPQ_EXISTS, "somebody else was faster");
	unlink(path);
	lie = 0x6969, lie_about = TYPE;
	IS(create("new"), MPQ_NODIR, "a network file system");
	expect(OPEN, 0, 1, EOPNOTSUPP, NULL);
	lie = 0x6969, lie_about = TYPE;
	IS(create("new"), MPQ_NODIR, "one without files without a name");
	expect(STATFS, 0, 2, EIO, NULL);
	IS(create("new"), MPQ_OK, "an unknown file system is tried");
	expect(PWRITE, 0, 1, ENOSPC, NULL);
	IS(create("new"), -ENOSPC, "nothing is written");
	memset(deep, 'd', sizeof deep);
	deep[0] = '/', deep[4085] = '\0';
	expect(OPEN, 0, 1, EOPNOTSUPP, NULL);
	IS(mpq_create(&far, "x", &(struct mpq_bounds){ .mode = 0600 }, NULL), -ENAMETOOLONG, "no room for a name beside it");
	deep[4085] = 'd', deep[4199] = '\0';
	IS(mpq_create(&far, "x", &(struct mpq_bounds){ .mode = 0600 }, NULL), -ENAMETOOLONG, "a place with too long a name");
	IS(mpq_open(&far, "x", 0, &(struct mpq *){ NULL }, NULL), -ENAMETOOLONG, "nor is anything opened there");
	IS(mpq_remove(&far, "x", 0, NULL), -ENAMETOOLONG, "or removed");
	if ((pid = child()) == 0) {
		int err;

		setrlimit(RLIMIT_FSIZE, &limit);
		err = create("new");
		setrlimit(RLIMIT_FSIZE, &none);      /* what else is written at the end is not to be limited */
		_exit(err == -EFBIG ? 0 : 1);
	}
	IS(reap_child(pid), 0, "no files as long as a queue");
	if ((pid = child()) == 0) {
		struct mpq *h = room_queue("new", 0, 0, MPQ_QUEUE);
		bool first, second;
		int fd;

		close(STDIN_FILENO);
		if (segment_reopen(h, &fd) != MPQ_OK || fd <= STDERR_FILENO)
			_exit(1);
		setrlimit(RLIMIT_FSIZE, &limit);
		expect(FSTAT, 0, 1, EIO, NULL);
		first = segment_too_long(fd, 1000000) || segment_too_long(fd, HEAD_BYTES);
		second = segment_too_long(fd, 1000000);
		setrlimit(RLIMIT_FSIZE, &none);
		_exit(!first && second ? 0 : 2);
	}
	IS(reap_child(pid), 0, "a closed standard input is not replaced, and what cannot be told is tried");
	(void)mpq_remove(&room, "new", 1, NULL);
}

/* ---- removing -------------------------------------------------------------------------------------------- */

static void
gone_now(void)
{
	q->head->sick = HEAD_DAMAGED;
}

static void
removals(void)
{
	fresh();
	IS(mpq_remove(&room, "no/name", 0, NULL), MPQ_BADNAME, "what is no name is not removed");
	expect(UNLINK, 0, 1, ENOMEM, NULL);
	IS(mpq_remove(&room, NAME, 0, NULL), -ENOMEM, "no memory to unlink");
	expect(UNLINK, 0, 1, EACCES, NULL);
	IS(mpq_remove(&room, NAME, 0, NULL), -EACCES, "no permission");
	IS(mpq_put(q, "x", 1, MPQ_NOW), MPQ_OK, "it is as it was");
	expect(FCNTL, 0, 1, 0, gone_now);
	IS(mpq_remove(&room, NAME, 0, NULL), MPQ_DAMAGED, "damaged when it is about to be removed");
	expect(LSTAT, 0, 1, ENOENT, NULL);
	IS(mpq_remove(&room, NAME, 1, NULL), MPQ_GONE, "by force: it has gone meanwhile");
	expect(LSTAT, 0, 1, EACCES, NULL);
	IS(mpq_remove(&room, NAME, 1, NULL), -EACCES, "or cannot be told");
	expect(UNLINK, 0, 1, ENOENT, NULL);
	IS(mpq_remove(&room, NAME, 1, NULL), MPQ_GONE, "gone just before the unlink");
	expect(UNLINK, 0, 1, EACCES, NULL);
	IS(mpq_remove(&room, NAME, 1, NULL), -EACCES, "no permission");
	IS(mpq_remove(&room, NAME, 1, NULL), MPQ_OK, "by force");
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static int
opens(unsigned flags)
{
	struct mpq *h;
	int err = mpq_open(&room, NAME, flags, &h, NULL);

	mpq_detach(h);
	return err;
}

static void
adopts_in_vain(void)
{
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX };
	struct mpq_run run;

	fresh();
	if (mpq_put(q, "x", 1, MPQ_NOW) != MPQ_OK || mpq_take(q, &want, 0, MPQ_NOW, &run) != MPQ_OK)
		_exit(1);
	q->head->name_space++;
	munmap(q->view[0].at, q->view[0].size);
	expect(MALLOC, 0, 1, ENOMEM, NULL);
	_exit(opens(0) == -ENOMEM && opens(0) == MPQ_OK ? 0 : 2);
}

/* Another opener that found the queue unused, too: he has it locked shared while we want it exclusively, then lets go. */
static int another;

static void
another_goes(void)
{
	close(another);
}

static void
another_comes(void)
{
	char path[100];

	snprintf(path, sizeof path, "%s/mpq." NAME, room_dir);
	another = open(path, O_RDWR | O_CLOEXEC);
	if (fcntl(another, F_OFD_SETLK, &(struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_SET }) == -1)
		_exit(3);
	expect(FCNTL, 1, 1, 0, another_goes);        /* we ask in vain, let go ourselves, and come again */
}

/* All users have gone; `reboot`: with their boot, else with their name space. */
static int
adopts_beside_another(bool reboot)
{
	pid_t pid;

	if ((pid = child()) == 0) {
		fresh();
		if (reboot)
			q->head->boot[0]++;
		else
			q->head->name_space++;
		munmap(q->view[0].at, q->view[0].size);
		expect(FCNTL, 1, 1, 0, another_comes);
		_exit(opens(0) == MPQ_OK && plan[FCNTL].times == 0 ? 0 : 2);
	}
	return reap_child(pid);
}

static void
openings(void)
{
	char name[MPQ_NAME_MAX + 2], deep[600];
	struct mpq_place far = { .dir = deep };
	struct mpq *h;
	pid_t pid;

	fresh();
	q->head->chunks = 400;
	expect(FSTAT, 1, 1, EIO, NULL);
	IS(opens(0), -EIO, "it says that it has grown, and its size cannot be told");
	fresh();
	expect(STATFS, 0, 1, EIO, NULL);
	IS(opens(0), MPQ_OK, "an unknown file system needs no boot");
	lie = 0xef53, lie_about = TYPE;
	IS(opens(0), MPQ_FOREIGN, "on a disk it would have a boot");
	lie = 0;
	expect(FCNTL, 0, 1, EINTR, NULL);
	IS(opens(0), MPQ_OK, "a signal while the file is locked");
	expect(FCNTL, 0, 1, ENOLCK, NULL);
	IS(opens(0), -ENOLCK, "no locks");
	q->head->boot[0] = 1;
	IS(opens(0), MPQ_FOREIGN, "of another boot, and in use");
	expect(FCNTL, 1, 1, EACCES, NULL);
	IS(opens(0), MPQ_FOREIGN, "in other words");
	expect(FCNTL, 1, 1, ENOLCK, NULL);
	IS(opens(0), -ENOLCK, "of another boot, and no locks");
	q->head->boot[0] = 0;
	memset(name, 'n', sizeof name);
	name[MPQ_NAME_MAX + 1] = '\0';
	IS(mpq_open(&room, name, 0, &h, NULL), MPQ_BADNAME, "too long a name");
	snprintf(deep, sizeof deep, "%s", room_dir);
	while (strlen(deep) < 500)
		strcat(deep, "/.");
	IS(mpq_open(&far, NAME, MPQ_BRIEF, &h, NULL), MPQ_OK, "a brief handle of a long path");
	mpq_detach(h);
	IS(mpq_open(&room, NAME, MPQ_BRIEF, &h, NULL), MPQ_OK, "of a short one");
	IS(opens(MPQ_BRIEF), MPQ_OK, "and a second, beside the first");
	mpq_detach(h);
	if ((pid = child()) == 0)
		adopts_in_vain();
	IS(reap_child(pid), 0, "no memory to take back what former users had: the next opener does");
	IS(adopts_beside_another(false), 0, "two want to take a queue over from another name space: one after the other");
	IS(adopts_beside_another(true), 0, "and from another boot");
}

/* Removed by somebody who was killed, and the lock is with a stopped process: the name stays, for the next opener. */
static void
removal_stuck(void)
{
	pid_t pid;

	fresh();
	if ((pid = child()) == 0) {
		for (;;)
			raise(SIGSTOP);
	}
	OK(UNTIL(process_state(pid) == 'T'), "a stopped process");
	q->head->sick = HEAD_REMOVED;
	*q->lock = (uint32_t)pid;
	IS(opens(0), MPQ_GONE, "with the lock of a queue whose removal was cut short");
	IS(access(q->path, F_OK), 0, "the name is still there");
	*q->lock = 0;
	IS(opens(0), MPQ_GONE, "when the lock is free");
	IS(access(q->path, F_OK), -1, "it goes");
	kill_child(pid);
}

static pid_t stopped;

static void
lock_is_stuck(void)
{
	*q->lock = (uint32_t)stopped;
}

/* The owner of the other end is known to be dead, but its end cannot be closed: the lock's owner is stopped. The next put
 * must look again. */
static void
dead_end_stuck(void)
{
	struct mpq_owner owner = { 0 };
	pid_t pid;

	fresh();
	mpq_detach(q);
	room_queue("ends", 0, 0, MPQ_PIPE);
	if ((stopped = child()) == 0)
		for (;;)
			pause();
	if ((pid = child()) == 0)
		for (;;)
			pause();
	kill(stopped, SIGSTOP);
	UNTIL(process_state(stopped) == 'T');
	q = room_open("ends@2");
	OK(mpq_owner_of(pid, &owner) == MPQ_OK && mpq_own_end(q, &owner) == MPQ_OK, "an end has an owner");
	mpq_detach(q);
	kill_child(pid);
	q = room_open("ends@1");
	q->head->swept = (uint64_t)tick_now();       /* somebody has looked for the dead just now */
	expect(OPENAT, 0, 1, 0, lock_is_stuck);     /* of /proc, to know the owner by */
	IS(mpq_put(q, "x", 1, MPQ_NOW), MPQ_STUCK, "he is dead; the lock's owner is stopped");
	IS(plan[OPENAT].times, 0, "since the look");
	*q->lock = 0;
	IS(mpq_put(q, "x", 1, MPQ_NOW), MPQ_CLOSED, "the next put finds it out");
	kill_child(stopped);
}

int
main(void)
{
	room_make();
	if ((big = malloc(BIG)) == NULL)
		return 1;
	memset(big, 'x', BIG);
	sizes();
	no_space();
	errors_of_space();
	absent();
	pools();
	far_pool();
	growing();
	walks();
	punch();
	trims();
	looks();
	gets();
	short_looks();
	lock_of_nobody();
	longer();
	views();
	files();
	lists();
	creations();
	removals();
	openings();
	removal_stuck();
	dead_end_stuck();
	mpq_detach(q);
	return tap_end();
}
