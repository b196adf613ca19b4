/* SPDX-License-Identifier: ISC
 *
 * work_spool.c - the output of jobs: kept in files without names until a job ends, then written whole.
 *
 * Files, not memory: an output may be larger than memory. If our standard output and error are the same file, so they
 * are for a job, and what it writes stays in its order; else each goes to its own. A file is used for the next job
 * only if nothing was written and no process of the job's group is left that still could.
 *
 * Where there is no room for a file to grow, only COMMAND learns of a write that failed, and many commands do not look.
 * So that nothing is lost without a word, a file must have room for more when its job ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

#define BUFFER 65536

int
spool_above(int fd)
{
	int copy;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return copy;
}

const char *
spool_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir != NULL && *dir != '\0' ? dir : "/tmp";
}

int
spool_open(void)
{
	const char *dir = spool_dir();
	char name[4096];
	int fd;

	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		if (snprintf(name, sizeof name, "%s/mpq.XXXXXX", dir) >= (int)sizeof name)
			return -ENAMETOOLONG;
		if ((fd = mkostemp(name, O_CLOEXEC)) != -1)
			unlink(name);
	}
	if (fd != -1)
		fd = spool_above(fd);
	return fd != -1 ? fd : -errno;
}

int
spool_begin(const struct work *w, struct job *job)
{
	int fd;

	if (w->ungroup)
		return 0;
	if (job->out == -1) {
		if ((fd = spool_open()) < 0)
			return fd;
		job->out = fd;
	}
	if (job->err == -1 && !w->one_output) {
		if ((fd = spool_open()) < 0)
			return fd;
		job->err = fd;
	}
	return 0;
}

/* A byte in a block of its own: it costs 4 us, where fallocate(2) on a disk costs 80, and looking at the free space of
 * the file system would not see a quota. */
int
spool_room(int fd)
{
	struct stat st;
	int err;

	if (fd == -1)
		return 0;
	if (fstat(fd, &st) == -1)
		return -errno;
	err = pwrite(fd, "", 1, (st.st_size + BUFFER - 1) / BUFFER * BUFFER) == -1 ? errno : 0;
	if (ftruncate(fd, st.st_size) == -1)
		return -errno;
	return err == ENOSPC || err == EDQUOT ? -err : 0;    /* EFBIG: COMMAND has had a signal */
}

/* Write all of a buffer. Interrupted by children it goes on; by a second INT or TERM it gives up. */
static int
write_all(int fd, const char *from, size_t n)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	ssize_t done;
	int err;

	while (n > 0) {
		if (!work_window_open()) {
			if (work_signals_ends() > 1)
				return -EINTR;
			continue;
		}
		done = write(fd, from, n);
		err = done == -1 ? errno : 0;
		if (err == EAGAIN)           /* somebody else's choice */
			poll(&pfd, 1, -1);
		work_window_close();
		if (done > 0)
			from += done, n -= (size_t)done;
		else if (err != EINTR && err != EAGAIN)
			return err != 0 ? -err : -EIO;
		else if (work_signals_ends() > 1)
			return -EINTR;
	}
	return 0;
}

static int
write_file(struct work *w, int from, int to, uint64_t size)
{
	static char buf[BUFFER];     /* a worker writes one at a time; too large for some stacks */
	bool terminal = w->show_progress && w->progress.terminal && isatty(to) == 1;
	int err = 0;
	ssize_t n = 0;

	if (terminal)
		progress_hide(&w->progress);
	for (uint64_t at = 0; at < size && err == 0; at += (uint64_t)n) {
		if ((n = pread(from, buf, sizeof buf, (off_t)at)) <= 0)
			return n == -1 ? -errno : 0;
		err = write_all(to, buf, (size_t)n);
	}
	if (terminal && err == 0 && n > 0 && buf[n - 1] != '\n')
		err = write_all(to, "\n", 1);      /* or the bar would overwrite the line */
	return err;
}

static void
drop(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

void
spool_drop(struct job *job)
{
	drop(&job->out);
	drop(&job->err);
}

/* `shared`: somebody else may still write to it. */
static int
end_file(struct work *w, int *fd, bool shared, int to, uint64_t *bytes)
{
	struct stat st;
	int err = 0;

	if (*fd == -1)
		return 0;
	if (fstat(*fd, &st) == -1)
		return -errno;
	if (st.st_size > 0)
		err = write_file(w, *fd, to, (uint64_t)st.st_size);
	*bytes += (uint64_t)st.st_size;
	if (st.st_size > 0 || shared)
		drop(fd);
	return err;
}

int
spool_end(struct work *w, struct job *job, uint64_t *bytes)
{
	bool shared = job->out != -1 && (kill(-job->pid, 0) == 0 || errno != ESRCH);
	int err, second;

	*bytes = 0;
	err = end_file(w, &job->out, shared, w->io.out, bytes);
	second = end_file(w, &job->err, shared, STDERR_FILENO, bytes);
	return err != 0 ? err : second;
}
