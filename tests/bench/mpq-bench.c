/* SPDX-License-Identifier: ISC
 *
 * mpq-bench.c - queues of the library as a channel (driver.c), and what only they are asked:
 *
 *   depth COUNT DEPTH    put and get 16 bytes, COUNT times, with DEPTH messages in the queue all the while
 *   others N             make N queues other.1 to other.N, so that something else measures beside them
 *   recover [TIMES]      a queue of 1,000,000 messages in 10,000 extents, a process killed inside an operation, TIMES
 *                        over: how long until the next operation is through, at worst?
 *   orphans              the same queue; a process that has taken all of it dies: how long until a put and a get of
 *                        the oldest are through?
 *   libc                 glibc or musl
 *
 * Queues are made in MPQ_DIR or the default place.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "layout.h"
#include "mpq.h"

#define DEEP_MSGS 1000000u
#define DEEP_EXTENTS 10000u
#define LOCK_OWNER_DIED 0x40000000u

const char *const channel_usage = "       depth COUNT DEPTH | others N | recover [TIMES] | orphans | libc\n";
const size_t channel_limit = SIZE_MAX;

static char names[CHANNELS][64];
static struct mpq *queues[CHANNELS];

static void
must(const char *what, int r)
{
	if (r != MPQ_OK)
		fail(what, mpq_strerror(r));
}

static const struct mpq_place *
place(void)
{
	static struct mpq_place p;

	p.dir = getenv("MPQ_DIR");
	if (p.dir != NULL && *p.dir == '\0')
		p.dir = NULL;
	return &p;
}

static void
make_queue(const char *name)
{
	const struct mpq_bounds bounds = { .mode = 0600 };

	must("create", mpq_create(place(), name, &bounds, NULL));
}

/* ---- the channel ----------------------------------------------------------------------------------------- */

void
channel_make(size_t size)
{
	int i;

	(void)size;
	for (i = 0; i < CHANNELS; i++) {
		snprintf(names[i], sizeof(names[i]), "mpq-bench.%d.%d", (int)getpid(), i);
		make_queue(names[i]);
	}
}

void
channel_open(void)
{
	int i;

	for (i = 0; i < CHANNELS; i++)
		must("open", mpq_open(place(), names[i], 0, &queues[i], NULL));
}

void
channel_put(int channel, const void *message, size_t size)
{
	must("put", mpq_put(queues[channel], message, size, MPQ_FOREVER));
}

void
channel_get(int channel, void *message, size_t size)
{
	size_t n;

	must("get", mpq_get(queues[channel], message, size, &n, MPQ_FOREVER));
	if (n != size)
		fail("get", "another size");
}

/* As mpq-get -a does: what is there, less the share of the others who wait. */
unsigned
channel_take(int channel, void *message, size_t size)
{
	const struct mpq_want want = { .msgs = UINT32_MAX, .bytes = CHUNK, .flags = MPQ_SHARE };
	struct mpq *q = queues[channel];
	struct mpq_run run;
	struct iovec iov;
	int n;

	must("take", mpq_take(q, &want, 0, MPQ_FOREVER, &run));
	must("map", mpq_run_map(q, &run, 0, &iov, 1, &n));
	if (n != 1)
		fail("map", "nothing");
	memcpy(message, iov.iov_base, iov.iov_len < size ? iov.iov_len : size);
	must("settle", mpq_settle(q, &run, run.msgs, run.bytes, MPQ_GOT, NULL));
	return (unsigned)run.msgs;
}

void
channel_remove(void)
{
	int i;

	for (i = 0; i < CHANNELS; i++)
		must("remove", mpq_remove(place(), names[i], 0, NULL));
}

/* ---- other queues, other depths --------------------------------------------------------------------------- */

static int
others(unsigned long n)
{
	char name[64];

	for (; n > 0; n--) {
		snprintf(name, sizeof(name), "other.%lu", n);
		make_queue(name);
	}
	return 0;
}

static int
depth(unsigned long count, unsigned long deep)
{
	char message[16] = "xxxxxxxxxxxxxxx";
	struct figures f;
	unsigned long i;

	channel_make(sizeof(message));
	channel_open();
	for (i = 0; i < deep; i++)
		channel_put(0, message, sizeof(message));
	begin(&f);
	for (i = 0; i < count; i++) {
		channel_put(0, message, sizeof(message));
		channel_get(0, message, sizeof(message));
	}
	end(&f);
	report(count, &f);
	channel_remove();
	return 0;
}

/* ---- recovery --------------------------------------------------------------------------------------------- */

static const struct head *
look(const char *name)
{
	const struct mpq_place *p = place();
	struct stat st;
	char path[4096];
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/mpq.%s", p->dir != NULL ? p->dir : "/dev/shm", name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 || fstat(fd, &st) == -1)
		fail(path, strerror(errno));
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		fail("mmap", strerror(errno));
	close(fd);
	return map;
}

/* Records are numbered by their offset / 64. */
static unsigned long
count_extents(const struct head *head)
{
	const unsigned char *base = (const unsigned char *)head;
	unsigned long n = 0;
	uint32_t at;

	for (at = LOW(head->side[0].fresh); at != 0; n++)
		at = LOW(((const struct extent *)(const void *)(base + (size_t)at * RECORD))->link);
	return n;
}

/* Runs of lines and runs of NULs in turn, each an extent. */
static void
fill(void)
{
	static const char lines[] = "xxxxxxxxxxxxxxx\n", nuls[] = "xxxxxxxxxxxxxxx";
	const unsigned each = DEEP_MSGS / DEEP_EXTENTS;
	uint64_t put, put_bytes;
	struct mpq_writer w;
	unsigned i, j;

	for (i = 0; i < DEEP_EXTENTS; i++) {
		mpq_writer_init(&w, queues[0], i % 2 == 0 ? MPQ_LINES : MPQ_NULS);
		for (j = 0; j < each; j++)
			must("append", mpq_writer_append(&w, i % 2 == 0 ? lines : nuls, 16));
		must("commit", mpq_writer_commit(&w, each, each * 16u, MPQ_FOREVER, &put, &put_bytes));
		mpq_writer_reset(&w);
	}
}

static void
busy(void)
{
	char message[] = "xxxxxxxxxxxxxxx";          /* as long as those in the queue */

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		channel_put(0, message, 15);
		channel_get(0, message, 15);
	}
}

static double
now(void)
{
	return (double)mpq_now() * 1e-6;
}

/* Kill a busy process; did it have the lock? How long does the next put take, in ms? */
static int
kill_one(const struct head *head, double *ms)
{
	char message[] = "xxxxxxxxxxxxxxx";
	int inside;
	pid_t pid;

	if ((pid = fork()) == -1)
		fail("fork", strerror(errno));
	if (pid == 0) {
		channel_open();
		busy();
	}
	usleep(2000 + (unsigned)rand() % 1000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* The kernel has marked the lock of the dead. */
	inside = (__atomic_load_n(&head->lock, __ATOMIC_RELAXED) & LOCK_OWNER_DIED) != 0;
	*ms = now();
	channel_put(0, message, 15);
	*ms = now() - *ms;
	return inside;
}

/* A process takes all the runs and dies: how long until the oldest message is got? A sweep may be a quarter of a
 * second away, by the rules; that is waiting, not work, so it is asked for. */
static void
die_with_all(double *put_ms, double *get_ms)
{
	const struct mpq_want want = { .msgs = 100, .bytes = CHUNK };
	char message[64] = "xxxxxxxxxxxxxxx";
	struct mpq_run run;
	size_t n;
	pid_t pid;

	if ((pid = fork()) == -1)
		fail("fork", strerror(errno));
	if (pid == 0) {
		channel_open();
		while (mpq_take(queues[0], &want, 0, MPQ_NOW, &run) == MPQ_OK)
			;
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, NULL, 0);
	*put_ms = now();
	channel_put(0, message, 15);
	*put_ms = now() - *put_ms;
	*get_ms = now();
	must("sweep", mpq_sweep(queues[0]));
	must("get", mpq_get(queues[0], message, sizeof(message), &n, MPQ_FOREVER));
	*get_ms = now() - *get_ms;
}

static const struct head *
deep_queue(void)
{
	const struct head *head;

	channel_make(16);
	channel_open();
	fill();
	head = look(names[0]);
	if (count_extents(head) != DEEP_EXTENTS)
		fail("fill", "another number of extents");
	return head;
}

static int
orphans(void)
{
	double put_ms, get_ms;

	deep_queue();
	die_with_all(&put_ms, &get_ms);
	must("check", mpq_check(queues[0]));
	printf("put=%.3f get=%.3f n=1 wall=%.6f cpu=0\n", put_ms, get_ms, (put_ms + get_ms) * 1e-3);
	channel_remove();
	return 0;
}

static int
recover(unsigned long times)
{
	const struct head *head = deep_queue();
	unsigned long inside = 0, tries;
	double ms, worst = 0;
	struct mpq_stat st;

	/* Only a kill inside counts; where none ever is, say so rather than try for ever. */
	for (tries = 0; inside < times && tries < times * 50; tries++)
		if (kill_one(head, &ms)) {
			inside++;
			if (ms > worst)
				worst = ms;
		}
	must("stat", mpq_stat(queues[0], &st));
	must("check", mpq_check(queues[0]));
	if (inside == 0)
		fail("recover", "no process was killed inside an operation");
	printf("kills=%lu inside=%lu messages=%lu n=1 wall=%.6f cpu=0\n", tries, inside, (unsigned long)st.size,
	    worst * 1e-3);
	channel_remove();
	return 0;
}

int
channel_extra(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc == 4 && strcmp(what, "depth") == 0)
		return depth(number(argv[2], 1, 1000000000), number(argv[3], 0, 1000000000));
	if (argc == 3 && strcmp(what, "others") == 0)
		return others(number(argv[2], 1, 1000000));
	if ((argc == 2 || argc == 3) && strcmp(what, "recover") == 0)
		return recover(argc == 3 ? number(argv[2], 1, 10000) : 20);
	if (argc == 2 && strcmp(what, "orphans") == 0)
		return orphans();
	if (argc == 2 && strcmp(what, "libc") == 0) {
#ifdef __GLIBC__
		puts("glibc");
#else
		puts("musl");
#endif
		return 0;
	}
	return -1;
}
