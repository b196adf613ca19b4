/* SPDX-License-Identifier: ISC
 *
 * world.h - what the attacks on a segment's bytes share: a private place, and three whole segments that have something of
 * everything in them: a queue with runs of all framings, returned and held messages, and what processes that were killed
 * had in hand, reserved, looked at and waited for; a pipe with messages both ways whose one end a dead process owned; and
 * a small queue, whose only chunk has one page.
 *
 * The bytes are kept; each trial writes them, changed, into the file, and opens that by name as anybody would.
 */
#ifndef WORLD_H
#define WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "layout.h"
#include "mpq.h"

#define WORLD_ROOM ((size_t)64 << 20)        /* how far a trial may make the file grow: address space, not memory */
enum { WORLD_QUEUE, WORLD_PIPE, WORLD_SMALL, WORLDS };

static char world_dir[64];
static struct mpq_place world_place = { .dir = world_dir };
static const char *const world_name[WORLDS] = { "queue", "pipe@1", "small" };
static struct mpq_owner world_self;

static struct world {
	unsigned char *bytes;                /* as built */
	size_t size;
	char path[100];
	int fd;
	ino_t ino;
	unsigned char *map;                  /* the file */
} world[WORLDS];

/* A test that cannot be set up says so and ends. */
#define NEED(condition)                                                                                          \
	do {                                                                                                     \
		if (!(condition)) {                                                                              \
			printf("Bail out! %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno));    \
			fflush(stdout);                                                                          \
			_exit(2);                                                                                \
		}                                                                                                \
	} while (0)

/* A directory of our own; FUZZ_DIR, if somebody else will remove it whatever becomes of us. */
static inline void
world_remove(void)
{
	for (int i = 0; i < WORLDS; i++)
		unlink(world[i].path);
	rmdir(world_dir);
}

static inline void
world_place_make(void)
{
	const char *parent = getenv("FUZZ_DIR");

	snprintf(world_dir, sizeof world_dir, "%.40s/mpq-fuzz.XXXXXX", parent != NULL ? parent : "/dev/shm");
	NEED(mkdtemp(world_dir) != NULL);
	snprintf(world[WORLD_QUEUE].path, sizeof world[0].path, "%s/mpq.queue", world_dir);
	snprintf(world[WORLD_PIPE].path, sizeof world[0].path, "%s/mpq.pipe", world_dir);
	snprintf(world[WORLD_SMALL].path, sizeof world[0].path, "%s/mpq.small", world_dir);
}

/* ---- what is in them ------------------------------------------------------------------------------------- */

static inline struct mpq *
world_open(const char *name)
{
	struct mpq *q;

	NEED(mpq_open(&world_place, name, 0, &q, NULL) == MPQ_OK);
	return q;
}

/* One run of messages of a framing. */
static inline void
world_put_run(struct mpq *q, enum mpq_framing framing, const void *bytes, size_t n, uint64_t msgs)
{
	struct mpq_writer w;
	uint64_t put, put_bytes;

	mpq_writer_init(&w, q, framing);
	NEED(mpq_writer_append(&w, bytes, n) == MPQ_OK);
	NEED(mpq_writer_commit(&w, msgs, n, MPQ_NOW, &put, &put_bytes) == MPQ_OK);
	mpq_writer_reset(&w);
}

static inline void
world_hold(struct mpq *q, const struct mpq_owner *owner, uint64_t msgs)
{
	struct mpq_want want = { .msgs = msgs, .bytes = UINT64_MAX };
	struct mpq_run run;

	NEED(mpq_take(q, &want, 0, MPQ_NOW, &run) == MPQ_OK);
	NEED(mpq_settle(q, &run, run.msgs, run.bytes, MPQ_HOLD, owner) == MPQ_OK);
}

/* What a process that is going to be killed has begun. */
enum deed { TAKES, PEEKS, RESERVES, HOLDS, WAITS, OWNS };

static inline void
world_deed(const char *name, enum deed deed)
{
	struct mpq *q = world_open(name);
	struct mpq_want want = { .msgs = 2, .bytes = UINT64_MAX, .flags = deed == PEEKS ? MPQ_PEEK : 0 };
	struct mpq_owner self;
	struct mpq_writer w;
	struct mpq_run run;

	NEED(mpq_owner_of(getpid(), &self) == MPQ_OK);
	switch (deed) {
	case TAKES:
	case PEEKS:
		NEED(mpq_take(q, &want, 0, MPQ_NOW, &run) == MPQ_OK);
		break;
	case RESERVES:
		mpq_writer_init(&w, q, MPQ_LINES);
		NEED(mpq_writer_append(&w, "half a line", 11) == MPQ_OK);
		break;
	case HOLDS:
		world_hold(q, &self, 2);
		break;
	case OWNS:
		NEED(mpq_own_end(q, &self) == MPQ_OK);
		break;
	case WAITS:
		break;
	}
	for (;;)
		mpq_join(q, 1, MPQ_FOREVER);         /* something stays unfinished: it waits until it is killed */
}

/* Nobody opens a queue while they live, so that nothing of what they do is taken back. */
static inline void
world_killed(const struct world *w, const char *name, const enum deed *deeds, size_t n)
{
	const struct head *head = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, w->fd, 0);
	uint64_t before;
	pid_t pid[8];

	NEED(head != MAP_FAILED);
	for (size_t i = 0; i < n; i++) {
		before = __atomic_load_n(&head->side[0].waiting[WAIT_JOIN], __ATOMIC_ACQUIRE) +
		    __atomic_load_n(&head->side[1].waiting[WAIT_JOIN], __ATOMIC_ACQUIRE);
		fflush(stdout);
		NEED((pid[i] = fork()) != -1);
		if (pid[i] == 0) {
			alarm(60);
			world_deed(name, deeds[i]);
		}
		while (__atomic_load_n(&head->side[0].waiting[WAIT_JOIN], __ATOMIC_ACQUIRE) +
		    __atomic_load_n(&head->side[1].waiting[WAIT_JOIN], __ATOMIC_ACQUIRE) == before) {
			NEED(waitpid(pid[i], NULL, WNOHANG) == 0);
			usleep(500);
		}
	}
	usleep(2000);                                /* the last one is asleep */
	for (size_t i = 0; i < n; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	munmap((void *)(uintptr_t)head, PAGE);
}

static inline void
world_fill_queue(struct mpq *q)
{
	static unsigned char big[70000];
	static const unsigned char lengths[] = { 0, 0, 0, 3, 'a', '\n', 0, 0, 0, 0, 0, 0, 0, 0, 5, 'f', 'i', 'v', 'e', '!' };

	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (unsigned char)(i % 251);
	NEED(mpq_put(q, "alpha", 5, MPQ_NOW) == MPQ_OK && mpq_put(q, "beta", 4, MPQ_NOW) == MPQ_OK);
	NEED(mpq_put(q, "", 0, MPQ_NOW) == MPQ_OK);
	NEED(mpq_put(q, "two\nlines", 9, MPQ_NOW) == MPQ_OK);
	world_put_run(q, MPQ_LINES, "one\ntwo\nthree\n", 14, 3);
	world_put_run(q, MPQ_NULS, "nul\0 \0\0four", 12, 4);
	world_put_run(q, MPQ_LENGTHS, lengths, sizeof lengths, 3);
	world_put_run(q, MPQ_BARE, big, sizeof big, 1);
	world_put_run(q, MPQ_BARE, "bare", 4, 1);
	for (int i = 0; i < 20; i++)
		NEED(mpq_put(q, "small ones\n\0", 12, MPQ_NOW) == MPQ_OK);
	world_put_run(q, MPQ_LINES, "x\ny\n", 4, 2);
	world_hold(q, &world_self, 2);
	NEED(mpq_task_done(q, &world_self, 1, 1, NULL) == MPQ_OK);
}

static inline void
world_fill_pipe(void)
{
	struct mpq *one = world_open("pipe@1"), *two = world_open("pipe@2");

	NEED(mpq_put(one, "there", 5, MPQ_NOW) == MPQ_OK && mpq_put(one, "and", 3, MPQ_NOW) == MPQ_OK);
	NEED(mpq_put(two, "back", 4, MPQ_NOW) == MPQ_OK && mpq_put(two, "again\n", 6, MPQ_NOW) == MPQ_OK);
	world_put_run(two, MPQ_NULS, "a\0b\0", 5, 3);
	mpq_detach(one);
	mpq_detach(two);
}

static inline void
world_keep(struct world *w)
{
	struct stat st;

	NEED(fstat(w->fd, &st) == 0);
	w->size = (size_t)st.st_size;
	w->ino = st.st_ino;
	NEED((w->bytes = malloc(w->size)) != NULL && pread(w->fd, w->bytes, w->size, 0) == (ssize_t)w->size);
	w->map = mmap(NULL, WORLD_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	NEED(w->map != MAP_FAILED);
}

static inline void
world_make(void)
{
	static const enum deed of_queue[] = { TAKES, PEEKS, HOLDS, RESERVES, WAITS }, of_pipe[] = { OWNS, TAKES };
	struct mpq_bounds bounds = { .mode = 0600, .kind = MPQ_QUEUE };
	struct mpq *q;

	world_place_make();
	NEED(mpq_owner_of(getpid(), &world_self) == MPQ_OK);
	NEED(mpq_create(&world_place, "queue", &bounds, NULL) == MPQ_OK);
	NEED(mpq_create(&world_place, "small", &bounds, NULL) == MPQ_OK);
	bounds = (struct mpq_bounds){ .mode = 0600, .kind = MPQ_PIPE, .maxsize = 9, .maxbytes = 5000 };
	NEED(mpq_create(&world_place, "pipe", &bounds, NULL) == MPQ_OK);
	for (int i = 0; i < WORLDS; i++)
		NEED((world[i].fd = open(world[i].path, O_RDWR | O_CLOEXEC)) != -1);
	q = world_open("queue");
	world_fill_queue(q);
	mpq_detach(q);
	world_fill_pipe();
	q = world_open("small");
	NEED(mpq_put(q, "one", 3, MPQ_NOW) == MPQ_OK && mpq_put(q, "two", 3, MPQ_NOW) == MPQ_OK);
	mpq_detach(q);
	world_killed(&world[WORLD_QUEUE], "queue", of_queue, sizeof of_queue / sizeof of_queue[0]);
	world_killed(&world[WORLD_PIPE], "pipe@2", of_pipe, sizeof of_pipe / sizeof of_pipe[0]);
	for (int i = 0; i < WORLDS; i++)
		world_keep(&world[i]);
}

/* The file is as it was built; anew, if the trial before has removed it. */
static inline void
world_restore(struct world *w)
{
	struct stat st;

	if (lstat(w->path, &st) == -1 || st.st_ino != w->ino) {
		unlink(w->path);
		munmap(w->map, WORLD_ROOM);
		close(w->fd);
		NEED((w->fd = open(w->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) != -1);
		NEED(fstat(w->fd, &st) == 0);
		w->ino = st.st_ino;
		w->map = mmap(NULL, WORLD_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
		NEED(w->map != MAP_FAILED);
		st.st_size = 0;
	}
	if ((size_t)st.st_size != w->size)
		NEED(ftruncate(w->fd, (off_t)w->size) == 0);
	memcpy(w->map, w->bytes, w->size);
}

/* Read what a run is, as a getter does. */
static inline unsigned
world_read(struct mpq *q, const struct mpq_run *run)
{
	struct iovec iov[4];
	uint64_t offset = 0, msgs, bytes;
	unsigned sum = 0;
	int got = 0;

	while (mpq_run_map(q, run, offset, iov, 4, &got) == MPQ_OK && got != 0)
		for (int i = 0; i < got; i++) {
			for (size_t k = 0; k < iov[i].iov_len; k++)
				sum += ((const unsigned char *)iov[i].iov_base)[k];
			offset += iov[i].iov_len;
		}
	(void)mpq_run_whole(q, run, run->bytes / 2, &msgs, &bytes);
	return sum;
}

#endif
