/* SPDX-License-Identifier: ISC
 *
 * attach.c - the two processes of mpq-attach that send and receive. See attach.h.
 *
 * Processes and not threads: each direction blocks where it likes, in read, write or on the queue, without a deadlock
 * between the two, and the one that reads can be ended at any point, since the library loses nothing by a kill. They
 * are killed by the kernel when their maker dies. Each has a handle that its maker opened and does not use.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "attach.h"
#include "output.h"
#include "signals.h"

#define LOOK ((mpq_time)250000000)   /* ns between looks whether the other side still listens, when nothing tells */
#define SOON_USEC 10000

/* A child that dies with us. */
static pid_t
spawn(const struct attach_job *job)
{
	pid_t us = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != us)
			_exit(ST_ERROR);
		if (job->other != -1)
			close(job->other);
	}
	return pid;
}

static void
unblock(int sig, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigset_t set;

	sigaction(sig, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- sending --------------------------------------------------------------------------------------------- */

static int source, nothing;          /* what the sender reads, and what it reads in its place when told to hurry */

/* The end of input, where some descendant of COMMAND keeps the pipe open. The read that this interrupts is made again,
 * then of /dev/null. */
static void
on_hurry(int sig)
{
	static const struct itimerval soon = { { 0, 0 }, { 0, SOON_USEC } };
	int left, saved = errno;

	(void)sig;
	if (ioctl(source, FIONREAD, &left) == 0) {
		if (left == 0)
			dup2(nothing, source);
		else
			setitimer(ITIMER_REAL, &soon, NULL);
	}
	errno = saved;
}

static void
send_all(const struct attach_job *job)
{
	struct outcome *sent = &job->shared->sent;
	struct input *in = &job->shared->in;

	*in = (struct input){ .fd = job->fd, .q = job->q, .patience = MPQ_FOREVER };
	if ((sent->code = mpq_can_put(job->q, MPQ_FOREVER)) == MPQ_OK)
		sent->code = input_all(in, job->cli->framing);
	if (sent->code == MPQ_INTR)
		sent->code = -EINTR;         /* nobody has asked for that: something was not sent */
	sent->error = in->error;
	sent->why = *mpq_why(job->q);
	mpq_detach(job->q);
}

pid_t
attach_sender(const struct attach_job *job)
{
	sigset_t hurry, old;
	pid_t pid;

	sigemptyset(&hurry);                 /* it must not come before its handler is there */
	sigaddset(&hurry, SIGUSR1);
	sigprocmask(SIG_BLOCK, &hurry, &old);
	if ((pid = spawn(job)) == 0) {
		signals_restore();
		if (job->command) {
			source = job->fd, nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
			unblock(SIGALRM, on_hurry);
			unblock(SIGUSR1, on_hurry);
		} else
			sigprocmask(SIG_SETMASK, &old, NULL);
		send_all(job);
		_exit(ST_OK);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

void
attach_hurry(pid_t sender)
{
	kill(sender, SIGUSR1);
}

/* ---- receiving ------------------------------------------------------------------------------------------- */

/* One run: taken, written, settled. Nobody else will say that it is done. */
static int
receive_run(const struct attach_job *job, struct output *out, struct outcome *received)
{
	struct mpq_want want = { .msgs = UINT64_MAX, .bytes = output_room(out, SIZE_MAX) };
	uint64_t msgs, bytes;
	struct mpq_run run;
	int err, settled;

	if (want.bytes == 0)
		return MPQ_INTR;
	do
		err = mpq_take(job->q, &want, 0, MPQ_FOREVER, &run);
	while (err == MPQ_INTR && signals_caught() == 0);
	if (err != MPQ_OK)
		return err;
	err = output_run(out, job->q, &run, &msgs, &bytes);
	settled = mpq_settle(job->q, &run, msgs, bytes, MPQ_DONE, NULL);
	job->shared->got += settled == MPQ_OK ? msgs : 0;
	if (err == -EINTR)
		return MPQ_INTR;
	if (err < 0)
		received->error = -err;
	return err != MPQ_OK ? err : settled;
}

/* Nothing can come any more. When can nothing be sent either? The end is closed then, by us or the other side; that
 * wakes those who join, who also wake when all is done and so find nothing new. */
static void
await_closing(const struct attach_job *job)
{
	while (signals_caught() == 0 && mpq_can_put(job->q, MPQ_FOREVER) == MPQ_OK)
		mpq_join(job->q, 1, mpq_now() + LOOK);
}

pid_t
attach_receiver(const struct attach_job *job)
{
	struct outcome *received = &job->shared->received;
	struct output out;
	pid_t pid = spawn(job);

	if (pid != 0)
		return pid;
	unblock(SIGTERM, SIG_DFL);           /* that is how we are ended, even if our maker's caller ignores it */
	if (job->command)
		signal(SIGPIPE, SIG_IGN);    /* that COMMAND reads no more is no reason to die */
	signals_catch();
	output_begin(&out, job->fd, job->cli->framing);
	received->code = job->receives ? MPQ_OK : MPQ_CLOSED;
	while (received->code == MPQ_OK)
		received->code = receive_run(job, &out, received);
	received->why = *mpq_why(job->q);
	if (received->code == MPQ_CLOSED && !job->command)
		await_closing(job);
	mpq_detach(job->q);
	signals_die();
	_exit(ST_OK);
}
