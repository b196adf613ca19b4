/* SPDX-License-Identifier: ISC
 *
 * work_job.c - starting a job.
 *
 * The child shares our memory until it executes COMMAND (CLONE_VFORK): no page tables are copied, and an error comes
 * back in a variable. It leads a process group, so the terminal's signals do not reach it. If there is a terminal, the
 * group is in a session of its own, without one: else `stty tostop`, or a command that wants to ask the terminal, would
 * stop it for ever. Not always, since with autogroup scheduling a session costs as much as a short command.
 *
 * If we are killed meanwhile the child goes on alone; it has written its number down for the watchdog before our end
 * of the watchdog's pipe closes in it.
 */
#include <bsd/err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

#define STACK 65536
#define IN_MEMORY ((uint64_t)1 << 20)  /* a longer message is given on standard input from a file */

struct start {
	struct work *w;
	struct job *job;
	int in;
	pid_t *group;
	int error;
};

static int
child(void *arg)
{
	struct start *start = arg;
	struct work *w = start->w;
	const struct job *job = start->job;

	if ((w->terminal ? setsid() : setpgid(0, 0)) == -1)
		goto fail;
	__atomic_store_n(start->group, getpid(), __ATOMIC_SEQ_CST);    /* watch() in work_watchdog.c reads it */
	if (dup2(start->in, STDIN_FILENO) == -1 || (job->out != -1 && (dup2(job->out, STDOUT_FILENO) == -1 ||
	    dup2(job->err != -1 ? job->err : job->out, STDERR_FILENO) == -1)))
		goto fail;
	setrlimit(RLIMIT_NOFILE, &w->files);
	work_signals_reset();
	execve(w->path, w->argv, w->env);
	if (errno == ENOEXEC) {              /* a script without #!: as execvp(3) */
		w->argv[0] = (char *)(uintptr_t)w->path;
		w->argv[-1] = (char *)(uintptr_t)"/bin/sh";
		execve("/bin/sh", w->argv - 1, w->env);
	}
fail:
	start->error = errno;
	_exit(ST_NOT_FOUND);
}

/* A descriptor to read the message from, or -errno, or a code of mpq. */
static int
open_input(struct work *w, const struct mpq_run *run, int *fd)
{
	int err;

	*fd = w->null;
	if (!w->use_stdin)
		return 0;
	*fd = message_length(run) <= IN_MEMORY ? spool_above(memfd_create("mpq-message", MFD_CLOEXEC)) : -1;
	if (*fd == -1 && (*fd = spool_open()) < 0)
		return *fd;
	if ((err = message_write(w->q, run, *fd)) == MPQ_OK && lseek(*fd, 0, SEEK_SET) == 0)
		return 0;
	close(*fd);
	return err != MPQ_OK ? err : -EIO;
}

static int
spawn(struct work *w, struct job *job, int in)
{
	static char stack[STACK] __attribute__((aligned(16)));
	struct start start = { .w = w, .job = job, .in = in, .group = &w->dog.groups[job - w->jobs] };

	snprintf(w->env_job, sizeof w->env_job, "MPQ_JOB=%td", job - w->jobs);
	snprintf(w->env_attempt, sizeof w->env_attempt, "MPQ_ATTEMPT=%lu", (unsigned long)job->run.attempts);
	clock_gettime(CLOCK_REALTIME, &job->started);
	job->began = mpq_now();
	job->pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
	if (job->pid == -1)
		return errno == ENOMEM ? -EAGAIN : -errno;
	if (start.error == 0)
		return MPQ_OK;
	__atomic_store_n(start.group, 0, __ATOMIC_SEQ_CST);
	while (waitpid(job->pid, NULL, 0) == -1 && errno == EINTR)
		;
	return -start.error;
}

static int
open_files(struct work *w, struct job *job, int *in)
{
	int err = spool_begin(w, job);

	return err == 0 ? open_input(w, &job->run, in) : err;
}

/* Files that nobody has written to stay open for the next job of their place. */
static void
close_spare(struct work *w)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state != JOB_RUNNING)
			spool_drop(&w->jobs[i]);
}

/* Without descriptors, those of places that are free must not keep a message waiting; nor may one that waits keep half
 * of what it needs from another. */
static int
open_files_sparing(struct work *w, struct job *job, int *in)
{
	int err = open_files(w, job, in);

	if (err == -EMFILE || err == -ENFILE) {
		close_spare(w);
		err = open_files(w, job, in);
	}
	if (err != -EMFILE && err != -ENFILE)
		return err;
	close_spare(w);
	return -EAGAIN;
}

int
job_start(struct work *w, struct job *job, int *fatal)
{
	int err, in;

	*fatal = 0;
	job->took = 0;
	clock_gettime(CLOCK_REALTIME, &job->started);
	if ((err = args_fill(w, &job->run)) != MPQ_OK)
		return err;
	if ((err = open_files_sparing(w, job, &in)) != 0)
		return err;
	err = spawn(w, job, in);
	if (in != w->null)
		close(in);
	if (err == MPQ_OK)
		job->state = JOB_RUNNING;
	else if (err != -EAGAIN && err != -E2BIG)
		*fatal = err == -ENOENT ? ST_NOT_FOUND : ST_CANNOT_RUN;
	return err;
}
