/* SPDX-License-Identifier: ISC
 *
 * room.h - what the tests of all rooms share: a place of their own below /dev/shm, processes that do one thing, and
 * waiting for a condition without guessing how long it takes.
 */
#ifndef ROOM_H
#define ROOM_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "alive.h"
#include "mpq.h"
#include "tap.h"

#define MS ((mpq_time)1000000)
#define SECOND (1000 * MS)

static char room_dir[64];
static struct mpq_place room = { .dir = room_dir };
static pid_t room_maker;

static inline void
room_empty(const char *dir)
{
	char path[600];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' || e->d_name[1] == 'm')
			unlink(path);
	}
	if (d != NULL)
		closedir(d);
}

static inline void
room_remove(void)
{
	if (getpid() != room_maker)
		return;
	room_empty(room_dir);
	rmdir(room_dir);
}

/* A place of this program's own, removed when it ends. */
static inline void
room_make(void)
{
	snprintf(room_dir, sizeof room_dir, "/dev/shm/mpq-test-XXXXXX");
	if (mkdtemp(room_dir) == NULL) {
		printf("Bail out! mkdtemp: %s\n", strerror(errno));
		exit(1);
	}
	room_maker = getpid();
	atexit(room_remove);
}

static inline struct mpq *
room_open(const char *name)
{
	struct mpq *q;
	int err = mpq_open(&room, name, 0, &q, NULL);

	if (err != MPQ_OK) {
		printf("Bail out! open %s: %s\n", name, mpq_strerror(err));
		exit(1);
	}
	return q;
}

/* A new queue with bounds, opened; one of the same name before it is removed. */
static inline struct mpq *
room_queue(const char *name, uint64_t maxsize, uint64_t maxbytes, enum mpq_kind kind)
{
	struct mpq_bounds bounds = { .maxsize = maxsize, .maxbytes = maxbytes, .mode = 0600, .kind = kind };
	int err;

	(void)mpq_remove(&room, name, 1, NULL);
	err = mpq_create(&room, name, &bounds, NULL);
	if (err != MPQ_OK) {
		printf("Bail out! create %s: %s\n", name, mpq_strerror(err));
		exit(1);
	}
	return kind == MPQ_QUEUE ? room_open(name) : NULL;
}

static inline mpq_time
in_ms(long ms)
{
	return mpq_now() + ms * MS;
}

/* fork without the parent's buffered output. Children die with the program. */
static inline pid_t
child(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == -1) {
		printf("Bail out! fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0)
		alarm(60);
	return pid;
}

/* Its exit status, or 256 + the signal that ended it. */
static inline int
reap_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static inline void
kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	reap_child(pid);
}

/* Wait until `condition` holds, for at most ten seconds. Is it so? */
#define UNTIL(condition)                                                                                         \
	__extension__({                                                                                          \
		mpq_time until_end_ = mpq_now() + 10 * SECOND;                                                   \
		while (!(condition) && mpq_now() < until_end_)                                                   \
			room_pause();                                                                            \
		(condition);                                                                                     \
	})

static inline void
room_pause(void)
{
	struct timespec t = { 0, 200000 };

	nanosleep(&t, NULL);
}

/* Memory that this process and its children share. */
static inline void *
shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		printf("Bail out! mmap: %s\n", strerror(errno));
		exit(1);
	}
	return p;
}

/* splitmix64: small, seeded, the same everywhere. */
static inline uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#endif
