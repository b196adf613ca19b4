/* SPDX-License-Identifier: ISC
 *
 * attach_group.c - the sender, the receiver and COMMAND together: who is started when, and what the end of one means
 * for the others.
 *
 * Their maker, to which END belongs, waits for them. All that happens is that a child ends, so there is one place to
 * wait at and nothing to poll.
 */
#include <bsd/err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "signals.h"

/* No more sending and receiving. What was received and not written is settled. COMMAND hears of the signal too, unless
 * the terminal has told it, and is not waited for; of the signal first, or it would take the end of its input for that of
 * the work. */
static void
stop(struct attach *a, int sig)
{
	a->stopping = true;
	if (a->command != 0 && sig != SIGINT && sig != SIGQUIT)
		kill(a->command, sig);
	a->command = 0;
	if (a->receiver != 0)
		kill(a->receiver, SIGTERM);
	if (a->sender != 0)
		kill(a->sender, SIGKILL);
}

/* ---- beginning -------------------------------------------------------------------------------------------- */

static int
own(struct attach *a)
{
	struct mpq_owner us;
	int err = mpq_owner_of(getpid(), &us);

	if (err == MPQ_OK)
		err = mpq_own_end(a->q, &us);
	return err == MPQ_OK ? ST_GO_ON : cli_fail(&a->cli, a->cli.operands[0], err, mpq_why(a->q));
}

/* Start one of the two, with a handle of its own. */
static int
start(struct attach *a, int fd, int other, pid_t (*process)(const struct attach_job *job), pid_t *pid)
{
	struct attach_job job = { .cli = &a->cli, .fd = fd, .other = other, .receives = a->receives,
		.command = a->command_line != NULL, .shared = a->shared };
	int r;

	if ((job.q = cli_open(&a->cli, a->cli.operands[0], 0, &r)) == NULL)
		return r;
	if ((*pid = process(&job)) == -1) {
		warn("%s: fork", a->cli.operands[0]);
		*pid = 0;
		r = ST_ERROR;
	} else
		r = ST_GO_ON;
	mpq_detach(job.q);
	return r;
}

static void
close_pipe(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
}

/* COMMAND first, since it may not be there; then nothing has happened to END. From then on END is closed in any case.
 * The receiver must not have the pipe that COMMAND writes, nor the sender the one that it reads, lest they keep
 * COMMAND from noticing that the other has ended. */
int
attach_start(struct attach *a, const struct io *io)
{
	bool command = a->command_line != NULL;
	int r = ST_GO_ON;

	a->in = command ? -1 : io->in, a->out = command ? -1 : io->out;
	if (command)
		r = attach_command(a->command_line, a->receives ? &a->out : NULL, a->sends ? &a->in : NULL, &a->command);
	if (r != ST_GO_ON) {
		a->command = 0;
		return r;
	}
	if ((r = own(a)) != ST_GO_ON) {
		if (command)
			kill(a->command, SIGTERM);
		return r;
	}
	signals_catch();
	if (a->receives || !command)
		r = start(a, a->out, command ? a->in : -1, attach_receiver, &a->receiver);
	if (command)
		close_pipe(&a->out);
	if (r == ST_GO_ON && a->sends)
		r = start(a, a->in, -1, attach_sender, &a->sender);
	if (r != ST_GO_ON) {
		a->status = r;
		stop(a, SIGTERM);
	}
	return ST_GO_ON;
}

/* ---- until the end --------------------------------------------------------------------------------------- */

/* COMMAND has ended. What it wrote is still sent; what it did not read is no more wanted. */
static void
command_ended(struct attach *a, int how)
{
	struct pollfd pfd = { .fd = a->in };

	a->command = 0;
	a->status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
	a->stopping = true;
	if (a->receiver != 0)
		kill(a->receiver, SIGTERM);
	if (a->sender != 0 && poll(&pfd, 1, 0) >= 0 && (pfd.revents & POLLHUP) == 0)
		attach_hurry(a->sender);
}

static void
sender_ended(struct attach *a)
{
	a->sender = 0;
	mpq_close(a->q, MPQ_CLOSE_WRITE);    /* an error will be the receiver's too */
	if (a->command_line != NULL)
		close_pipe(&a->in);          /* so that COMMAND hears of it when it writes more */
}

static void
receiver_ended(struct attach *a)
{
	a->receiver = 0;
	if (a->command_line == NULL && a->sender != 0) {
		a->stopping = true;          /* the other side is gone: our input may never end */
		kill(a->sender, SIGKILL);
	}
}

void
attach_wait(struct attach *a)
{
	while (a->sender != 0 || a->receiver != 0 || a->command != 0) {
		int how;
		pid_t pid;

		if (signals_caught() != 0)
			stop(a, signals_caught());
		if ((pid = waitpid(-1, &how, 0)) == -1) {
			if (errno != EINTR)
				break;
			continue;
		}
		if (pid == a->command) {
			command_ended(a, how);
			continue;
		}
		if (pid != a->sender && pid != a->receiver)
			continue;
		if (how != 0 && !a->stopping) {      /* not by us: killed, or it has met damage */
			a->fatal = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
			a->status = ST_ERROR;
			stop(a, SIGTERM);
		}
		if (pid == a->sender)
			sender_ended(a);
		else
			receiver_ended(a);
	}
}
