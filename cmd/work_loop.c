/* SPDX-License-Identifier: ISC
 *
 * work_loop.c - the rounds of the worker.
 *
 * One round: see which jobs have ended and what the user wants, go on with messages that were tried before, then wait
 * for the one thing that can come next: a message, if a place is free for it; room in DEAD, if a message has failed (no
 * others are taken meanwhile); else the end of a job or a point in time. Each wait ends when a signal comes, a
 * child's end among them.
 */
#include <signal.h>
#include <sys/wait.h>

#include "work.h"

#define GRACE ((mpq_time)2000000000)         /* ns for jobs that were told to end, before they are killed */

/* ---- jobs that have ended -------------------------------------------------------------------------------- */

static void
ended(struct work *w, const siginfo_t *info)
{
	for (uint64_t i = 0; i < w->njobs; i++) {
		struct job *job = &w->jobs[i];

		if (job->state != JOB_RUNNING || job->pid != info->si_pid)
			continue;
		__atomic_store_n(&w->dog.groups[i], 0, __ATOMIC_SEQ_CST);
		waitpid(job->pid, NULL, 0);
		fate_finish(w, job, info->si_code == CLD_EXITED ? info->si_status : 0,
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
			fate_settle(w, job, false), w->failed--;
		else if (job->state == JOB_FAILED)
			fate_bury(w, job, MPQ_NOW);
		else if (job->state == JOB_WAITING && w->stopping)
			fate_settle(w, job, false);
		else if (job->state == JOB_WAITING && job->again <= now) {
			if (!job->counted && (err = mpq_attempt(w->q, &job->run)) != MPQ_OK) {
				work_stop(w, cli_fail(&w->cli, w->cli.operands[0], err, mpq_why(w->q)));
				fate_settle(w, job, false);
				continue;
			}
			job->counted = false;
			fate_start(w, job);
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
	return !may_take(w) && work_first(w, JOB_RUNNING) == NULL && work_first(w, JOB_WAITING) == NULL &&
	    work_first(w, JOB_FAILED) == NULL;
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
		fate_start(w, job);
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
		if ((job = work_first(w, JOB_FAILED)) != NULL) {
			if (work_window_open()) {
				fate_bury(w, job, next);
				work_window_close();
			}
		} else if (may_take(w) && !lacks_resources(w) && (job = work_first(w, JOB_FREE)) != NULL)
			take(w, job, next);
		else
			work_sleep(next);
	}
}
