/* SPDX-License-Identifier: ISC
 *
 * work_loop.c - taking messages, running COMMAND for them, and what becomes of them.
 *
 * One round: see which jobs have ended and what the user wants, go on with messages that were tried before, then wait
 * for the one thing that can come next: a message, if a place is free for it; room in DEAD, if a message has failed (no
 * others are taken meanwhile); else the end of a job or a point in time. Each wait ends when a signal comes, a
 * child's end among them.
 *
 * A message's run is out from the take until its fate is known. The order at a job's end is output, log, account: a
 * worker killed in between has its message done again rather than its output or log line lost.
 */
#include <bsd/err.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

#define NSEC ((mpq_time)1000000000)
#define GRACE (2 * NSEC)             /* for jobs that were told to end, before they are killed */
#define RESOURCES_AGAIN (NSEC / 10)  /* when a job that lacked processes or descriptors is tried again */

static struct job *
first_in(const struct work *w, enum job_state state)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state == state)
			return &w->jobs[i];
	return NULL;
}

/* ---- the fate of messages -------------------------------------------------------------------------------- */

void
work_stop(struct work *w, int status)
{
	w->stopping = true;
	if (w->status == ST_OK)
		w->status = status;
}

static void
settle(struct work *w, struct job *job, bool done)
{
	int err = mpq_settle(w->q, &job->run, done ? 1 : 0, done ? job->run.bytes : 0, done ? MPQ_DONE : MPQ_GOT, NULL);

	job->state = JOB_FREE;
	if (err != MPQ_OK && w->status == ST_OK)
		work_stop(w, cli_fail(&w->cli, w->cli.operands[0], err, mpq_why(w->q)));
}

static void
log_run(struct work *w, const struct job *job, uint64_t received, int exitval, int sig)
{
	int err = w->log != -1 ? log_line(w, job, received, exitval, sig) : 0;

	if (err == 0 || w->status != ST_OK)
		return;
	warnc(-err, "%s", w->log_path);
	work_stop(w, ST_ERROR);
}

static void
failed_at_last(struct work *w, struct job *job)
{
	w->failed++;
	if (w->dead != NULL)
		job->state = JOB_FAILED;
	else
		settle(w, job, true);
}

/* Try to put it into DEAD. With MPQ_NOW a full DEAD changes nothing. */
static void
bury(struct work *w, struct job *job, mpq_time deadline)
{
	int err = message_put(w->q, &job->run, w->dead, deadline);

	if (err == MPQ_FULL || err == MPQ_INTR)
		return;
	if (err != MPQ_OK) {
		warnx("%s: %s; a failed message stays in %s", w->dead_name, mpq_strerror(err), w->cli.operands[0]);
		work_stop(w, ST_ERROR);
		w->failed--;
	}
	settle(w, job, err == MPQ_OK);
}

/* ---- starting -------------------------------------------------------------------------------------------- */

/* Start a job; what stands in its way decides its fate. */
static void
start(struct work *w, struct job *job)
{
	int fatal, err = job_start(w, job, &fatal);

	if (err == MPQ_OK)
		return;
	if (err == -E2BIG || (err == -EINVAL && fatal == 0)) { /* it can never be an argument: no use in trying again */
		log_run(w, job, 0, ST_CANNOT_RUN, 0);
		failed_at_last(w, job);
	} else if (err == -EAGAIN && first_in(w, JOB_RUNNING) != NULL) {
		job->state = JOB_WAITING;
		job->counted = true;
		job->again = mpq_now() + RESOURCES_AGAIN;
	} else {
		if (fatal != 0)
			warnc(-err, "%s", w->command[0]);
		else if (err == -ENOSPC || err == -EDQUOT)
			warnc(-err, "%s", spool_dir());
		else if (err < 0)
			warnc(-err, "%s: job", w->cli.operands[0]);
		else
			fatal = cli_fail(&w->cli, w->cli.operands[0], err, mpq_why(w->q));
		work_stop(w, fatal != 0 ? fatal : ST_ERROR);
		settle(w, job, false);
	}
}

/* ---- ending ---------------------------------------------------------------------------------------------- */

static void
not_written(struct work *w, int err)
{
	work_stop(w, ST_ERROR);
	if (err == -EPIPE)
		w->broken_pipe = true;
	else if (err != -EINTR)
		warnc(-err, "%s: output of a job", w->cli.operands[0]);
}

/* Write what the job has written, if all of that is there. If it may not be, the same is true of all that run now. */
static int
output(struct work *w, struct job *job, uint64_t *received)
{
	int err;

	*received = 0;
	if (w->no_room == 0 && (w->no_room = spool_room(job->out)) != 0) {
		warnc(-w->no_room, "%s: output of a job", spool_dir());
		work_stop(w, ST_ERROR);
	}
	if (w->no_room != 0) {
		spool_drop(job);
		return w->no_room;
	}
	if ((err = spool_end(w, job, received)) != 0)
		not_written(w, err);
	return err;
}

/* The job has ended and is waited for. */
static void
finish(struct work *w, struct job *job, int exitval, int sig)
{
	uint64_t received;
	int err;

	job->took = mpq_now() - job->began;
	err = output(w, job, &received);
	log_run(w, job, received, exitval, sig);
	if (err != 0 || job->ended)
		settle(w, job, false);
	else if (exitval == 0 && sig == 0) {
		w->done++;
		settle(w, job, true);
	} else if (++job->failures >= w->tries)
		failed_at_last(w, job);
	else {
		job->state = JOB_WAITING;
		job->again = w->delay != MPQ_FOREVER ? mpq_now() + w->delay : MPQ_FOREVER;
	}
}

static void
ended(struct work *w, const siginfo_t *info)
{
	for (uint64_t i = 0; i < w->njobs; i++) {
		struct job *job = &w->jobs[i];

		if (job->state != JOB_RUNNING || job->pid != info->si_pid)
			continue;
		__atomic_store_n(&w->dog.groups[i], 0, __ATOMIC_SEQ_CST);
		waitpid(job->pid, NULL, 0);
		finish(w, job, info->si_code == CLD_EXITED ? info->si_status : 0,
		    info->si_code == CLD_EXITED ? 0 : info->si_status);
		return;
	}
	waitpid(info->si_pid, NULL, 0);              /* inherited by exec, or the watchdog */
	if (info->si_pid == w->dog.pid)
		watchdog_again(&w->dog);
}

/* A child is looked at before it is waited for, so that its group can be struck off first: see work_watchdog.c. */
static void
reap(struct work *w)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid == 0)
			return;
		ended(w, &info);
	}
}

/* ---- signals --------------------------------------------------------------------------------------------- */

static void
kill_running(const struct work *w, int sig)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state == JOB_RUNNING)
			kill(-w->jobs[i].pid, sig);
}

static void
end_running(struct work *w, int sig)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		w->jobs[i].ended |= w->jobs[i].state == JOB_RUNNING;
	kill_running(w, sig);
	kill_running(w, SIGCONT);
}

static void
heed_signals(struct work *w)
{
	int ends = work_signals_ends();

	if (work_signals_tstp()) {
		progress_hide(&w->progress);
		kill_running(w, SIGSTOP);            /* TSTP does not stop who has no terminal */
		work_signals_suspend();
		kill_running(w, SIGCONT);
	}
	if (ends > 0)
		w->stopping = true;
	if (ends > 1 && w->signals <= 1) {
		end_running(w, SIGTERM);
		w->kill_at = mpq_now() + GRACE;
	}
	if ((ends > 2 && w->signals <= 2) || (w->kill_at != 0 && mpq_now() >= w->kill_at)) {
		end_running(w, SIGKILL);
		w->kill_at = 0;
	}
	w->signals = ends;
}

/* ---- rounds ---------------------------------------------------------------------------------------------- */

/* Messages that have been tried before: once more, or back, or to DEAD. */
static void
go_on(struct work *w)
{
	mpq_time now = mpq_now();
	int err;

	for (uint64_t i = 0; i < w->njobs; i++) {
		struct job *job = &w->jobs[i];

		if (job->state == JOB_FAILED && w->signals > 1)
			settle(w, job, false), w->failed--;
		else if (job->state == JOB_FAILED)
			bury(w, job, MPQ_NOW);
		else if (job->state == JOB_WAITING && w->stopping)
			settle(w, job, false);
		else if (job->state == JOB_WAITING && job->again <= now) {
			if (!job->counted && (err = mpq_attempt(w->q, &job->run)) != MPQ_OK) {
				work_stop(w, cli_fail(&w->cli, w->cli.operands[0], err, mpq_why(w->q)));
				settle(w, job, false);
				continue;
			}
			job->counted = false;
			start(w, job);
		}
	}
}

static bool
may_take(const struct work *w)
{
	return !w->no_more && !w->stopping && w->taken < w->max;
}

/* A message has been taken and could not be started: another could not either, and would be kept from other workers. */
static bool
lacks_resources(const struct work *w)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state == JOB_WAITING && w->jobs[i].counted)
			return true;
	return false;
}

static bool
is_over(const struct work *w)
{
	return !may_take(w) && first_in(w, JOB_RUNNING) == NULL && first_in(w, JOB_WAITING) == NULL &&
	    first_in(w, JOB_FAILED) == NULL;
}

/* When something is to be done without being called. */
static mpq_time
next_time(struct work *w)
{
	mpq_time next = w->kill_at != 0 ? w->kill_at : MPQ_FOREVER, due;

	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state == JOB_WAITING && w->jobs[i].again < next)
			next = w->jobs[i].again;
	if (w->show_progress) {
		due = mpq_now() + progress_show(&w->progress, w->q, false);
		next = due < next ? due : next;
	}
	return next;
}

/* Wait for a message and start it. */
static void
take(struct work *w, struct job *job, mpq_time deadline)
{
	struct mpq_want want = { .msgs = 1, .flags = MPQ_COUNT_ATTEMPT };
	int err;

	if (w->cli.timed && w->idle == 0)
		w->idle = cli_deadline(&w->cli);
	if (w->cli.timed && w->idle < deadline)
		deadline = w->idle;
	if (!work_window_open())
		return;
	err = mpq_take(w->q, &want, 0, deadline, &job->run);
	work_window_close();
	switch (err) {
	case MPQ_OK:
		w->idle = 0;
		w->taken++;
		job->failures = 0, job->ended = job->counted = false;
		start(w, job);
		break;
	case MPQ_INTR:
		break;
	case MPQ_EMPTY:
		w->no_more = w->cli.timed && (w->cli.patience == MPQ_NOW || mpq_now() >= w->idle);
		break;
	case MPQ_CLOSED:
		w->no_more = w->at_end = true;
		break;
	default:
		work_stop(w, cli_fail(&w->cli, w->cli.operands[0], err, mpq_why(w->q)));
	}
}

void
work_loop(struct work *w)
{
	struct job *job;
	mpq_time next;

	for (;;) {
		reap(w);
		heed_signals(w);
		go_on(w);
		if (is_over(w))
			return;
		next = next_time(w);
		if ((job = first_in(w, JOB_FAILED)) != NULL) {
			if (work_window_open()) {
				bury(w, job, next);
				work_window_close();
			}
		} else if (may_take(w) && !lacks_resources(w) && (job = first_in(w, JOB_FREE)) != NULL)
			take(w, job, next);
		else
			work_sleep(next);
	}
}
