/* SPDX-License-Identifier: ISC
 *
 * work.h - what the files of mpq-work share, grouped by file.
 */
#ifndef MPQ_WORK_H
#define MPQ_WORK_H

#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "cli.h"
#include "progress.h"

/* A place for one message at a time. The message's run is out as long as the place is not free. */
enum job_state {
	JOB_FREE,
	JOB_RUNNING,
	JOB_WAITING,                 /* it has failed and is tried again at `again` */
	JOB_FAILED                   /* at last; it waits for room in DEAD */
};

struct job {
	enum job_state state;
	pid_t pid;                   /* and the number of its process group */
	struct mpq_run run;
	uint64_t failures;
	bool ended;                  /* by us: whatever its status says, the message goes back */
	bool counted;                /* its next start is counted as an attempt: the last lacked resources */
	mpq_time again;
	mpq_time began, took;
	struct timespec started;     /* `began` on the clock on the wall */
	int out, err;                /* files that its output goes to; err -1: the same; out -1: none */
};

struct watchdog {
	pid_t pid;
	int fd;                      /* the end of its pipe that only we have */
	pid_t *groups;               /* shared page: of each place, the running group or 0 */
	size_t size;
};

struct work {
	struct cli cli;
	uint64_t njobs, max, tries;
	mpq_time delay;
	const char *dead_name, *log_path;
	bool use_stdin, ungroup, show_progress;

	char **command;              /* COMMAND and its ARGs as given */
	int nargs;                   /* COMMAND included */
	bool braces;                 /* an ARG has {} */
	const char *path;            /* of COMMAND's file */
	char *found;                 /* to be freed */
	char **env;
	char env_queue[MPQ_NAME_MAX + 16], env_job[32], env_attempt[32];
	int null, log;
	struct rlimit files;         /* of open descriptors, for COMMAND; we may need more */
	struct io io;

	struct mpq *q, *dead;
	struct job *jobs;
	struct watchdog dog;
	struct progress progress;

	char *text;                  /* the arguments of the job that is being started */
	size_t text_size;
	char **block, **argv;        /* into command and text; argv is block + 1: one free word before it */

	uint64_t taken, done, failed;
	bool terminal;               /* we have a controlling one */
	bool one_output;             /* our standard output and error are the same file */
	bool no_more;                /* the end, or none came in time: no message is taken any more */
	bool at_end;
	bool stopping;               /* no new jobs, for a signal or an error */
	bool broken_pipe;
	int no_room;                 /* -errno: the directory of the output has been full */
	int status;                  /* the first error */
	int signals;                 /* INT and TERM acted upon */
	mpq_time idle;               /* when waiting for a message ends; 0: not waiting */
	mpq_time kill_at;            /* when those that TERM did not end are killed; 0: never */
};

/* ---- work_find.c: where COMMAND is ----------------------------------------------------------------------- */

/* *path, and *found to be freed later (may be NULL). ST_GO_ON; or ST_CANNOT_RUN or ST_NOT_FOUND, said why. */
int work_find(const char *command, const char **path, char **found);

/* ---- work_prepare.c: what the work needs of the system --------------------------------------------------- */

/* Have it, before any message is taken. ST_GO_ON, or ST_ERROR, said why. */
int work_prepare(struct work *w);
/* Give back what there is of it. */
void work_release(struct work *w);

/* ---- work_signals.c: waiting for children and the user, without races ------------------------------------ */

/* From here on INT, TERM, TSTP and CHLD come only inside of a window or a sleep. */
void work_signals_begin(void);
void work_signals_end(void);

/* Around one blocking call: signals that come between these two interrupt it, or it is not made at all (false; then
 * the window is closed already). */
bool work_window_open(void);
void work_window_close(void);

/* Sleep until the deadline or a signal. */
void work_sleep(mpq_time deadline);

/* How many times INT or TERM has come, and which was the first. */
int work_signals_ends(void);
int work_signals_first(void);
/* Has TSTP come? Once. */
bool work_signals_tstp(void);
/* Stop as by TSTP; returns when continued. */
void work_signals_suspend(void);
/* End as by that signal. */
void work_signals_die(int sig);
/* In a child: every disposition the default, no signal blocked. */
void work_signals_reset(void);

/* ---- work_watchdog.c: ends the jobs when we are killed ---------------------------------------------------- */

/* Start it, for n places. ST_GO_ON, or ST_ERROR, said why. */
int watchdog_begin(struct watchdog *dog, uint64_t n);
/* It has ended before us (somebody has killed it): start another. */
void watchdog_again(struct watchdog *dog);
void watchdog_end(struct watchdog *dog);

/* ---- work_message.c: the one message of a run ------------------------------------------------------------- */

/* Its length without framing. */
uint64_t message_length(const struct mpq_run *run);
/* Copy it out; `to` has room for it. */
int message_copy(struct mpq *q, const struct mpq_run *run, void *to);
/* Write it to a file. 0, a code of mpq, or -errno. */
int message_write(struct mpq *q, const struct mpq_run *run, int fd);
/* Put it into another queue. Results as of mpq_put. */
int message_put(struct mpq *q, const struct mpq_run *run, struct mpq *to, mpq_time deadline);
/* Would a message taken from one and put into the other come back? NAMEs or ends. */
bool message_circles(const char *from, const char *to);

/* ---- work_args.c: the arguments of a job ------------------------------------------------------------------ */

/* Fill w->argv for the message. MPQ_OK; -E2BIG, -EINVAL (NUL): it cannot be an argument; or another error. */
int args_fill(struct work *w, const struct mpq_run *run);
/* Prepare w->env and w->argv. False: no memory. */
bool args_begin(struct work *w);
void args_end(struct work *w);

/* ---- work_spool.c: the output of jobs ---------------------------------------------------------------------- */

/* A descriptor, or a copy of it, above 2. */
int spool_above(int fd);
/* TMPDIR, or what stands for it. */
const char *spool_dir(void);
/* A new file without a name there. A descriptor above 2, or -errno. */
int spool_open(void);
/* Have files for what the job writes. 0 or -errno. */
int spool_begin(const struct work *w, struct job *job);
/* Could more be written to a file? -1 is none. 0 or -errno. */
int spool_room(int fd);
/* The job has ended: write what it has written. *bytes, and 0 or -errno. */
int spool_end(struct work *w, struct job *job, uint64_t *bytes);
/* Forget it instead. */
void spool_drop(struct job *job);

/* ---- work_log.c: the job log -------------------------------------------------------------------------------- */

/* Open it; a header if it is empty. ST_GO_ON, or ST_ERROR, said why. */
int log_begin(struct work *w);
/* A line for a run that has ended. 0 or -errno. */
int log_line(struct work *w, const struct job *job, uint64_t received, int exitval, int sig);

/* ---- work_job.c: starting and ending one --------------------------------------------------------------------- */

/* Start the job's message. MPQ_OK; -E2BIG, -EINVAL: it cannot be an argument; -EAGAIN: not now; *fatal: COMMAND cannot
 * be run, and the status; or an error of the queue or system. */
int job_start(struct work *w, struct job *job, int *fatal);

/* ---- work_fate.c: what becomes of a message that was taken ---------------------------------------------------- */

/* No new jobs from here on; the status is this, unless one was noted before. */
void work_stop(struct work *w, int status);
/* A job in that state, or NULL. */
struct job *work_first(const struct work *w, enum job_state state);
/* Start the job. If that cannot be, the message is tried again, has failed, or is back, whatever the reason asks for. */
void fate_start(struct work *w, struct job *job);
/* The job has ended, with this status or by that signal, and is waited for. */
void fate_finish(struct work *w, struct job *job, int exitval, int sig);
/* Of one that has failed: try to put it into DEAD. If that is full up to the deadline, nothing has changed. */
void fate_bury(struct work *w, struct job *job, mpq_time deadline);
/* The message is counted as done, or goes back, and the place is free. */
void fate_settle(struct work *w, struct job *job, bool done);

/* ---- work_loop.c: the rounds of the worker -------------------------------------------------------------------- */

/* Take and run until there is no more to do. Sets w->status and the counts. */
void work_loop(struct work *w);

#endif
