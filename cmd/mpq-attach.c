/* SPDX-License-Identifier: ISC
 *
 * mpq-attach - join standard input and output, or COMMAND's, to the end of a pipe.
 *
 * One process sends, one receives (attach.c), and this one, to which END belongs, waits for them and for COMMAND. All
 * that happens is that a child ends, so there is one place to wait at and nothing to poll. Whatever the reason, END is
 * closed when this process is gone.
 */
#include <bsd/err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "command.h"
#include "signals.h"

static const char usage[] = "mpq-attach [-v] [-0 | -L] END [-- COMMAND [ARG ...]]";

static const struct option longs[] = {
	LONG_NULL, LONG_HELP, LONG_LENGTH, LONG_VERBOSE, LONG_VERSION, LONG_END
};

struct attach {
	struct cli cli;
	char **command_line;         /* NULL: standard input and output */
	struct mpq *q;
	bool sends, receives;        /* END does: not both in a simplex pipe */
	struct attach_shared *shared;
	pid_t sender, receiver, command;     /* 0: not there, or no more */
	int in, out;                 /* what is sent, what receives */
	int status;                  /* COMMAND's */
	int fatal;                   /* the signal that has ended one of the two, if we did not */
	bool stopping;
};

/* No more sending and receiving. What was received and not written is settled. COMMAND hears of the signal too, unless
 * the terminal has told it, and is not waited for. */
static void
stop(struct attach *a, int sig)
{
	a->stopping = true;
	if (a->receiver != 0)
		kill(a->receiver, SIGTERM);
	if (a->sender != 0)
		kill(a->sender, SIGKILL);
	if (a->command != 0 && sig != SIGINT && sig != SIGQUIT)
		kill(a->command, sig);
	a->command = 0;
}

/* ---- beginning ------------------------------------------------------------------------------------------- */

/* Which directions does END have? */
static int
look_at_end(struct attach *a)
{
	const char *end = a->cli.operands[0];
	struct mpq_stat st;
	int err = mpq_stat(a->q, &st);

	if (err == MPQ_OK && st.kind == MPQ_QUEUE)
		err = MPQ_WRONGEND;
	if (err != MPQ_OK)
		return cli_fail(&a->cli, end, err, mpq_why(a->q));
	a->sends = st.kind == MPQ_PIPE || end[strlen(end) - 1] == '2';
	a->receives = st.kind == MPQ_PIPE || !a->sends;
	return ST_GO_ON;
}

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
static int
start_all(struct attach *a, struct io *io)
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

static void
wait_for_all(struct attach *a)
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

/* ---- ending ---------------------------------------------------------------------------------------------- */

static int
report(const struct attach *a, const struct outcome *outcome, const char *stream)
{
	const char *end = a->cli.operands[0];

	if (outcome->error == EBADMSG)
		warnx("%s: %s: ends inside a message, or has no valid length", end, stream);
	else if (outcome->error == EPIPE && a->command_line != NULL)
		return ST_OK;                /* it has read enough */
	else if (outcome->error != 0)
		warnc(outcome->error, "%s: %s", end, stream);
	else if (outcome->code == MPQ_CLOSED || outcome->code == MPQ_INTR)
		return ST_OK;
	else
		return cli_fail(&a->cli, end, outcome->code, &outcome->why);
	return ST_ERROR;
}

static int
finish(struct attach *a)
{
	const struct attach_shared *shared = a->shared;
	bool command = a->command_line != NULL;
	int r, sent = ST_OK;

	mpq_sweep(a->q);                     /* what those that we have killed had in hand */
	mpq_close(a->q, MPQ_CLOSE);
	signals_die();
	if (a->fatal != 0) {
		signals_restore();
		raise(a->fatal);
	}
	r = report(a, &shared->received, command ? "standard input of COMMAND" : "standard output");
	if (shared->sent.code != shared->received.code || shared->sent.error != 0)
		sent = report(a, &shared->sent, command ? "standard output of COMMAND" : "standard input");
	return a->status != ST_OK ? a->status : r != ST_OK ? r : sent;
}

static int
run(struct attach *a, struct io *io)
{
	struct cli *cli = &a->cli;
	char text[40];
	int r;

	if (cli->noperands > 1)
		a->command_line = cli->operands + 1 + (strcmp(cli->operands[1], "--") == 0);
	if (a->command_line != NULL && *a->command_line == NULL)
		return cli_misuse(cli, "COMMAND is missing");
	a->shared = mmap(NULL, sizeof *a->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a->shared == MAP_FAILED) {
		warn(NULL);
		return ST_ERROR;
	}
	signal(SIGCHLD, SIG_DFL);            /* ignored, it would keep from us how they end */
	if ((a->q = cli_open(cli, cli->operands[0], 0, &r)) != NULL) {
		if ((r = look_at_end(a)) == ST_GO_ON && (r = start_all(a, io)) == ST_GO_ON) {
			wait_for_all(a);
			r = finish(a);
		}
		mpq_detach(a->q);
	}
	snprintf(text, sizeof text, "put, %llu got", (unsigned long long)a->shared->got);
	r = cli_count(cli, cli->operands[0], a->shared->in.put, text, r);
	munmap(a->shared, sizeof *a->shared);
	return r;
}

int
mpq_attach_main(int argc, char **argv, struct io *io)
{
	struct attach a = { .cli = { .command = "mpq-attach", .usage = usage, .letters = "0Lv", .longs = longs,
		.operands_last = true, .min = 1, .max = -1 } };
	int r = cli_begin(&a.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&a, io);
	cli_end(&a.cli);
	return r;
}
