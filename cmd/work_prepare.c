/* SPDX-License-Identifier: ISC
 *
 * work_prepare.c - what the work needs of the system: descriptors, memory, a place for output, the log, the watchdog.
 *
 * All of it is had, or found missing, before any message is taken: a worker that cannot work shall not keep messages
 * from others, nor count attempts.
 */
#include <bsd/err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

#define FILES_SPARE 32               /* descriptors besides those of the jobs */

/* Standard output and error: one file? Then a job has one, too. */
static bool
same_file(int a, int b)
{
	struct stat st, other;

	return fstat(a, &st) == 0 && fstat(b, &other) == 0 && st.st_dev == other.st_dev && st.st_ino == other.st_ino;
}

/* Each job may have two files open. COMMAND gets the limit as it was. */
static void
raise_files(struct work *w)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &w->files) == -1)
		return;
	more = w->files;
	if (more.rlim_cur == RLIM_INFINITY || more.rlim_cur >= w->njobs * 2 + FILES_SPARE)
		return;
	more.rlim_cur = w->njobs * 2 + FILES_SPARE < more.rlim_max ? w->njobs * 2 + FILES_SPARE : more.rlim_max;
	setrlimit(RLIMIT_NOFILE, &more);
}

static int
try_spool(void)
{
	int fd = spool_open(), err = fd < 0 ? fd : spool_room(fd);

	if (fd >= 0)
		close(fd);
	return err;
}

int
work_prepare(struct work *w)
{
	int fd, err;

	if ((w->null = spool_above(open("/dev/null", O_RDONLY | O_CLOEXEC))) == -1) {
		warn("/dev/null");
		return ST_ERROR;
	}
	if ((fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)) != -1) {
		w->terminal = true;
		close(fd);
	}
	raise_files(w);
	w->one_output = same_file(w->io.out, STDERR_FILENO);
	if (!w->ungroup && (err = try_spool()) != 0) {
		warnc(-err, "%s", spool_dir());
		return ST_ERROR;
	}
	if ((w->jobs = calloc(w->njobs, sizeof *w->jobs)) == NULL || !args_begin(w)) {
		warn(NULL);
		return ST_ERROR;
	}
	for (uint64_t i = 0; i < w->njobs; i++)
		w->jobs[i].out = w->jobs[i].err = -1;
	if (w->log_path != NULL && log_begin(w) != ST_GO_ON)
		return ST_ERROR;
	return watchdog_begin(&w->dog, w->njobs);
}

void
work_release(struct work *w)
{
	watchdog_end(&w->dog);
	for (uint64_t i = 0; w->jobs != NULL && i < w->njobs; i++)
		spool_drop(&w->jobs[i]);
	if (w->log != -1)
		close(w->log);
	if (w->null != -1)
		close(w->null);
	args_end(w);
	free(w->jobs);
}
