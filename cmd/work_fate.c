/* SPDX-License-Identifier: ISC
 *
 * work_fate.c - what becomes of a message that was taken: done, tried again, failed at last, in DEAD, or back.
 *
 * Its run is out from the take until that is known. The order at a job's end is output, log, account: a worker killed
 * in between has its message done again rather than its output or log line lost.
 *
 * What goes wrong on the way is said here, and is the worker's status if nothing was before.
 */
#include <bsd/err.h>
#include <errno.h>

#include "work.h"

#define RESOURCES_AGAIN ((mpq_time)100000000)        /* ns; then a job that lacked processes or descriptors comes again */

struct job *
work_first(const struct work *w, enum job_state state)
{
	for (uint64_t i = 0; i < w->njobs; i++)
		if (w->jobs[i].state == state)
			return &w->jobs[i];
	return NULL;
}

void
work_stop(struct work *w, int status)
{
	w->stopping = true;
	if (w->status == ST_OK)
		w->status = status;
}

/* ---- the fates ------------------------------------------------------------------------------------------- */

void
fate_settle(struct work *w, struct job *job, bool done)
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
		fate_settle(w, job, true);
}

void
fate_bury(struct work *w, struct job *job, mpq_time deadline)
{
	int err = message_put(w->q, &job->run, w->dead, deadline);

	if (err == MPQ_FULL || err == MPQ_INTR)
		return;
	if (err != MPQ_OK) {
		warnx("%s: %s; a failed message stays in %s", w->dead_name, mpq_strerror(err), w->cli.operands[0]);
		work_stop(w, ST_ERROR);
		w->failed--;
	}
	fate_settle(w, job, err == MPQ_OK);
}

/* ---- starting -------------------------------------------------------------------------------------------- */

void
fate_start(struct work *w, struct job *job)
{
	int fatal, err = job_start(w, job, &fatal);

	if (err == MPQ_OK)
		return;
	if (err == -E2BIG || (err == -EINVAL && fatal == 0)) { /* it can never be an argument: no use in trying again */
		log_run(w, job, 0, ST_CANNOT_RUN, 0);
		failed_at_last(w, job);
	} else if (err == -EAGAIN && work_first(w, JOB_RUNNING) != NULL) {
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
		fate_settle(w, job, false);
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

void
fate_finish(struct work *w, struct job *job, int exitval, int sig)
{
	uint64_t received;
	int err;

	job->took = mpq_now() - job->began;
	err = output(w, job, &received);
	log_run(w, job, received, exitval, sig);
	if (err != 0 || job->ended)
		fate_settle(w, job, false);
	else if (exitval == 0 && sig == 0) {
		w->done++;
		fate_settle(w, job, true);
	} else if (++job->failures >= w->tries)
		failed_at_last(w, job);
	else {
		job->state = JOB_WAITING;
		job->again = w->delay != MPQ_FOREVER ? mpq_now() + w->delay : MPQ_FOREVER;
	}
}
