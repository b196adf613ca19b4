/* SPDX-License-Identifier: ISC
 *
 * threads.c - all operations at once, by threads of one process, for the thread sanitizer.
 *
 * The sanitizer knows memory by its address, and each handle has a mapping of its own: a race between two handles would
 * be a race between two addresses, which it cannot see. So mmap is wrapped here: all handles of a file get the same
 * mapping at the same address, each with its private list node where the library has put it (the distance from node to
 * lock matters to the kernel only when the thread dies inside). What the library does is unchanged; the lock is seen as
 * the atomic operations that it is made of, with their memory orders, which x86 alone would not test.
 *
 * A file that is made is published by linkat, and found by open: that is order too, told by wrapping linkat.
 *
 * Each message says who put it and which it is; in the end every one has been got exactly once.
 *
 * Usage: threads [ROUNDS [read-after-settle]]    the second: a fault on purpose, which the sanitizer must see
 */
#include <pthread.h>

#include "../unit/room.h"

#define PUTTERS 3
#define MESSAGES 150u                /* by each putter in a round */
#define BIG ((size_t)64 << 20)       /* of every mapping: longer than any file here */
#define FILES 8000
#define ALLOWED (30 * SECOND)        /* for what must not hang; never waited for in full */

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

/* ---- one address for each file --------------------------------------------------------------------------- */

void *__real_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
int __real_linkat(int from, const char *old, int to, const char *new, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *new, int flags);

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	dev_t dev;
	ino_t ino;                   /* not used again: the mapping keeps the file */
	unsigned char *at;
} table[FILES];
static size_t files;
static char published;

void *
__wrap_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset)
{
	void *found;
	struct stat st;
	size_t i;

	if ((flags & MAP_SHARED) == 0 || fd == -1)
		return __real_mmap(address, size, prot, flags, fd, offset);
	if (offset != 0 || size > BIG || fstat(fd, &st) == -1)
		abort();
	pthread_mutex_lock(&table_lock);
	for (i = files; i > 0 && (table[i - 1].dev != st.st_dev || table[i - 1].ino != st.st_ino); i--)
		;
	if (i > 0)
		found = table[i - 1].at;
	else {
		if (files == FILES || (found = __real_mmap(NULL, BIG, prot, MAP_SHARED, fd, 0)) == MAP_FAILED)
			abort();
		table[files].dev = st.st_dev, table[files].ino = st.st_ino, table[files].at = found;
		files++;
	}
	pthread_mutex_unlock(&table_lock);
	__tsan_acquire(&published);
	return found;
}

/* The name of the same where offsets have 64 bits by choice (_FILE_OFFSET_BITS). */
void *__wrap_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset)
    __attribute__((alias("__wrap_mmap")));

/* The mappings stay; so do the pages before them, whose place only the handle knew. */
int
__wrap_munmap(void *address, size_t size)
{
	const unsigned char *at = address;
	bool ours = false;

	pthread_mutex_lock(&table_lock);
	for (size_t i = 0; i < files; i++)
		ours |= at == table[i].at || at + 4096 == table[i].at;
	pthread_mutex_unlock(&table_lock);
	return ours ? 0 : __real_munmap(address, size);
}

int
__wrap_linkat(int from, const char *old, int to, const char *new, int flags)
{
	__tsan_release(&published);
	return __real_linkat(from, old, to, new, flags);
}

/* ---- messages -------------------------------------------------------------------------------------------- */

struct label {
	uint32_t who, number, length, sum;
};

static uint8_t times_got[PUTTERS][MESSAGES];
static uint64_t faults;
static bool read_after_settle;

static void
fault(const char *what, long long n)
{
	if (__atomic_fetch_add(&faults, 1, __ATOMIC_RELAXED) == 0)
		diag("%s: %lld", what, n);
}

static void
need(int result, const char *what)
{
	if (result != MPQ_OK)
		fault(what, result);
}

/* Printable, without newline, so that it can be a line: a label in hexadecimal, then letters. */
static size_t
make_message(unsigned char *to, uint32_t who, uint32_t number, size_t length)
{
	struct label l = { who, number, (uint32_t)length, 0 };
	size_t n = (size_t)sprintf((char *)to, "%08x%08x%08x", l.who, l.number, l.length);

	for (; n < length; n++)
		to[n] = (unsigned char)('a' + (number + n) % 26);
	return length;
}

static void
see_message(const unsigned char *m, size_t length)
{
	char text[25];
	unsigned who, number, said;

	if (length < 24) {
		fault("a short message", (long long)length);
		return;
	}
	memcpy(text, m, 24);
	text[24] = '\0';
	if (sscanf(text, "%8x%8x%8x", &who, &number, &said) != 3 || said != length || who >= PUTTERS || number >= MESSAGES) {
		fault("a strange message", (long long)length);
		return;
	}
	for (size_t i = 24; i < length; i++)
		if (m[i] != (unsigned char)('a' + (number + i) % 26)) {
			fault("a torn message", (long long)i);
			return;
		}
	__atomic_fetch_add(&times_got[who][number], 1, __ATOMIC_RELAXED);
}

/* Mostly small, some of a chunk and more, so that all ways of storing are taken. */
static size_t
some_length(uint64_t *chance)
{
	uint64_t r = next_random(chance);

	return r % 50 == 0 ? 60000 + r % 20000 : r % 10 == 0 ? 4000 + r % 3000 : 24 + r % 200;
}

/* ---- what threads do ------------------------------------------------------------------------------------- */

struct actor {
	pthread_t thread;
	void *(*main)(void *);
	uint32_t n;
	uint64_t chance;
};
static int putting;                  /* putters that are at it */

static void *
putter(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open("q");
	unsigned char *m = malloc(100000);

	for (uint32_t i = 0; i < MESSAGES; i++)
		need(mpq_put(q, m, make_message(m, a->n, i, some_length(&a->chance)), mpq_now() + ALLOWED), "put");
	free(m);
	mpq_detach(q);
	__atomic_fetch_sub(&putting, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Runs of lines; what is pending is sometimes dropped and written again. */
static void *
writer(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open("q");
	unsigned char *m = malloc(100000);
	struct mpq_writer w;

	mpq_writer_init(&w, q, MPQ_LINES);
	for (uint32_t i = 0; i < MESSAGES;) {
		uint32_t many = 1 + (uint32_t)next_random(&a->chance) % 8, k;
		uint64_t bytes = 0, put = 0, put_bytes = 0;
		bool drop = next_random(&a->chance) % 8 == 0;

		for (k = 0; k < many && i + k < MESSAGES; k++) {
			size_t n = make_message(m, a->n, i + k, some_length(&a->chance));

			m[n++] = '\n';
			need(mpq_writer_append(&w, m, n), "append");
			bytes += n;
		}
		if (drop) {
			mpq_writer_reset(&w);
			continue;
		}
		need(mpq_writer_commit(&w, k, bytes, ALLOWED, &put, &put_bytes), "commit");
		i += k;
	}
	mpq_writer_reset(&w);
	free(m);
	mpq_detach(q);
	__atomic_fetch_sub(&putting, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* One at a time, copied out. */
static void *
getter(void *arg)
{
	struct mpq *q = room_open("q");
	unsigned char *m = malloc(100000);
	size_t n;
	int r;

	(void)arg;
	while ((r = mpq_get(q, m, 100000, &n, mpq_now() + ALLOWED)) == MPQ_OK) {
		see_message(m, n);
		need(mpq_task_done(q, NULL, 1, 0, NULL), "done, counted");
	}
	if (r != MPQ_CLOSED)
		fault("get", r);
	free(m);
	mpq_detach(q);
	return NULL;
}

/* The bytes of a run in one piece. */
static void
copy_run(struct mpq *q, const struct mpq_run *run, unsigned char *to)
{
	struct iovec iov[4];
	uint64_t at = 0;
	int got;

	while (at < run->bytes) {
		need(mpq_run_map(q, run, at, iov, 4, &got), "map");
		for (int i = 0; i < got && at < run->bytes; i++) {
			size_t n = iov[i].iov_len < run->bytes - at ? iov[i].iov_len : (size_t)(run->bytes - at);

			memcpy(to + at, iov[i].iov_base, n);
			at += n;
		}
		if (got <= 0)
			return;
	}
}

static void
see_run(const struct mpq_run *run, const unsigned char *bytes, uint64_t msgs)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < msgs; i++)
		if (run->framing == MPQ_LINES) {
			const unsigned char *end = memchr(bytes + at, '\n', run->bytes - at);

			if (end == NULL) {
				fault("no newline", (long long)at);
				return;
			}
			see_message(bytes + at, (size_t)(end - (bytes + at)));
			at = (uint64_t)(end + 1 - bytes);
		} else {
			uint64_t whole = 0, length = run->bytes;

			if (run->framing == MPQ_LENGTHS) {
				const unsigned char *l = bytes + at;

				length = (uint64_t)l[0] << 24 | (uint64_t)l[1] << 16 | (uint64_t)l[2] << 8 | l[3];
				at += 4;
			} else
				whole = 1;
			see_message(bytes + at, (size_t)length);
			at += length;
			if (whole)
				return;
		}
}

/* Runs; of some only the first half is settled. */
static void *
taker(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open("q");
	unsigned char *m = malloc(4 << 20);
	struct mpq_owner self;
	struct mpq_run run;
	int r;

	need(mpq_owner_of(getpid(), &self), "self");
	for (;;) {
		struct mpq_want want = { .msgs = 1 + next_random(&a->chance) % 20, .bytes = 1 << 20,
			.flags = next_random(&a->chance) % 2 ? MPQ_SHARE : 0 };
		uint64_t msgs, bytes;
		struct iovec first;
		int got;

		if ((r = mpq_take(q, &want, 0, mpq_now() + ALLOWED, &run)) != MPQ_OK)
			break;
		need(mpq_run_map(q, &run, 0, &first, 1, &got), "map");
		copy_run(q, &run, m);
		msgs = run.msgs, bytes = run.bytes;
		if (next_random(&a->chance) % 3 == 0)
			need(mpq_run_whole(q, &run, run.bytes / 2, &msgs, &bytes), "whole");
		see_run(&run, m, msgs);
		need(mpq_settle(q, &run, msgs, bytes, msgs % 2 ? MPQ_GOT : MPQ_DONE, NULL), "settle");
		if (read_after_settle && first.iov_len > 0)
			(void)*(const volatile unsigned char *)first.iov_base;
		if (msgs % 2)
			need(mpq_task_done(q, NULL, msgs, 0, NULL), "done, counted");
	}
	if (r != MPQ_CLOSED)
		fault("take", r);
	free(m);
	mpq_detach(q);
	return NULL;
}

/* Holds one, with an attempt counted, and is done with it or puts it back. Holders have owners of their own: task-done of
 * an owner ends the hold on what it took first. */
static void *
holder(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open("q");
	unsigned char *m = malloc(100000);
	struct mpq_owner owner;
	struct mpq_run run;
	uint64_t did;
	int r;

	need(mpq_owner_of(a->n == 0 ? getpid() : getppid(), &owner), "owner");
	for (;;) {
		struct mpq_want want = { .msgs = 1, .owner = &owner, .flags = MPQ_COUNT_ATTEMPT };
		bool back = next_random(&a->chance) % 2;

		if ((r = mpq_take(q, &want, 0, mpq_now() + ALLOWED, &run)) != MPQ_OK)
			break;
		copy_run(q, &run, m);
		need(mpq_attempt(q, &run), "attempt");
		if (!back)
			see_run(&run, m, 1);
		need(mpq_settle(q, &run, 1, run.bytes, MPQ_HOLD, &owner), "hold");
		need(mpq_task_done(q, &owner, back ? MPQ_ALL : 1, back, &did), "done");
		if (did != 1)
			fault("done with", (long long)did);
	}
	if (r != MPQ_CLOSED)
		fault("take to hold", r);
	free(m);
	mpq_detach(q);
	return NULL;
}

/* Looks and is not in the way; ends with all the rest. */
static void *
watcher(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open("q"), *other = room_open("other");
	struct mpq_want want = { .msgs = 3, .bytes = 10000, .flags = MPQ_PEEK };
	unsigned char *m = malloc(1 << 20);
	struct mpq_stat st = { 0 };
	struct mpq_run run;

	while (mpq_join(q, 1, MPQ_NOW) == MPQ_NOTYET) {
		struct mpq_watch w[2] = { { .q = q, .what = a->n % 2 ? MPQ_READY_GET : MPQ_READY_PUT },
			{ .q = other, .what = MPQ_READY_JOIN } };
		int r = mpq_wait(w, 2, in_ms(2));

		if (r != MPQ_OK && r != MPQ_NOTYET)
			fault("wait", r);
		need(mpq_stat(q, &st), "stat");
		if (st.unfinished > PUTTERS * MESSAGES || st.held > st.unfinished)
			fault("figures", (long long)st.unfinished);
		if (mpq_take(q, &want, next_random(&a->chance) % (PUTTERS * MESSAGES), MPQ_NOW, &run) == MPQ_OK) {
			if (run.bytes <= 1 << 20)
				copy_run(q, &run, m);
			need(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL), "peek over");
		}
		need(mpq_sweep(q), "sweep");
		need(mpq_check(q), "check");
	}
	need(mpq_join(q, 1, mpq_now() + ALLOWED), "join");
	free(m);
	mpq_detach(q);
	mpq_detach(other);
	return NULL;
}

/* Many short lives of queues, which two threads make, use and remove. */
static void *
founder(void *arg)
{
	struct actor *a = arg;
	struct mpq_bounds bounds = { .mode = 0600, .maxsize = 3 };
	char text[8];
	size_t n;

	for (int i = 0; i < 10; i++) {
		int made = mpq_create(&room, "short", &bounds, NULL);
		struct mpq *q;

		if (made != MPQ_OK && made != MPQ_EXISTS)
			fault("create", made);
		if (mpq_open(&room, "short", 0, &q, NULL) != MPQ_OK)
			continue;
		mpq_put(q, "short", 5, MPQ_NOW);
		mpq_get(q, text, sizeof text, &n, MPQ_NOW);
		mpq_close(q, next_random(&a->chance) % 2 ? MPQ_CLOSE : MPQ_CLOSE_NOW);
		mpq_remove(&room, "short", 0, NULL);
		mpq_detach(q);
	}
	return NULL;
}

/* One end of a pipe; the other is another thread's. */
static void *
talker(void *arg)
{
	struct actor *a = arg;
	struct mpq *q = room_open(a->n == 0 ? "pipe@1" : "pipe@2");
	char text[8];
	size_t n;

	for (int i = 0; i < 100; i++) {
		if (a->n == 0)
			need(mpq_put(q, "ping", 4, mpq_now() + ALLOWED), "put into a pipe");
		need(mpq_get(q, text, sizeof text, &n, mpq_now() + ALLOWED), "get from a pipe");
		if (a->n == 1)
			need(mpq_put(q, "pong", 4, mpq_now() + ALLOWED), "put into a pipe");
	}
	mpq_detach(q);
	return NULL;
}

/* Closes when all is put. */
static void *
closer(void *arg)
{
	struct mpq *q = room_open("q");

	(void)arg;
	while (__atomic_load_n(&putting, __ATOMIC_RELAXED) != 0)
		room_pause();
	need(mpq_close(q, MPQ_CLOSE), "close");
	mpq_detach(q);
	return NULL;
}

static void
one_round(uint64_t seed)
{
	struct actor actors[] = {
		{ .main = putter, .n = 0 }, { .main = putter, .n = 1 }, { .main = writer, .n = 2 },
		{ .main = getter, .n = 0 }, { .main = taker, .n = 0 }, { .main = taker, .n = 1 },
		{ .main = holder, .n = 0 }, { .main = holder, .n = 1 }, { .main = watcher, .n = 0 },
		{ .main = watcher, .n = 1 }, { .main = founder, .n = 0 }, { .main = founder, .n = 1 },
		{ .main = talker, .n = 0 }, { .main = talker, .n = 1 }, { .main = closer },
	};
	const size_t n = sizeof actors / sizeof actors[0];
	struct mpq *q;

	mpq_detach(room_queue("q", 100, 0, MPQ_QUEUE));
	q = room_queue("other", 0, 0, MPQ_QUEUE);
	need(mpq_put(q, "x", 1, MPQ_NOW), "put into the other");
	mpq_detach(q);
	room_queue("pipe", 0, 0, MPQ_PIPE);
	memset(times_got, 0, sizeof times_got);
	putting = PUTTERS;
	for (size_t i = 0; i < n; i++) {
		actors[i].chance = seed * 100 + i;
		if (pthread_create(&actors[i].thread, NULL, actors[i].main, &actors[i]) != 0)
			abort();
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(actors[i].thread, NULL);
	for (int who = 0; who < PUTTERS; who++)
		for (unsigned i = 0; i < MESSAGES; i++)
			if (times_got[who][i] != 1)
				fault(times_got[who][i] == 0 ? "lost" : "got more than once", who * 1000 + (int)i);
	q = room_open("q");
	need(mpq_check(q), "check at the end");
	mpq_detach(q);
}

int
main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 20;
	pid_t pid;

	read_after_settle = argc > 2 && strcmp(argv[2], "read-after-settle") == 0;
	room_make();
	/* The sanitizer ends the process where it stands at the first report; its parent cleans up. */
	if ((pid = fork()) != 0)
		return reap_child(pid);
	alarm(600);
	for (int i = 0; i < rounds; i++)
		one_round((uint64_t)i + 1);
	OK(files > 0, "the handles have shared %zu mappings", files);
	OK(faults == 0, "%d rounds of 15 threads: every message is got once", rounds);
	return tap_end();
}
