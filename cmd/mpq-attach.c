/* SPDX-License-Identifier: ISC
 *
 * mpq-attach - join standard input and output, or COMMAND's, to the end of a pipe.
 *
 * Here: END, and what is said of how it went; attach_group.c starts the processes that do the work and waits for them.
 * Whatever the reason, END is closed when this process is gone.
 */
#include <bsd/err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "attach.h"
#include "command.h"
#include "signals.h"

static const char usage[] = "mpq-attach [-v] [-0 | -L] END [-- COMMAND [ARG ...]]";

static const struct option longs[] = {
	LONG_NULL, LONG_HELP, LONG_LENGTH, LONG_VERBOSE, LONG_VERSION, LONG_END
};

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
		if ((r = look_at_end(a)) == ST_GO_ON && (r = attach_start(a, io)) == ST_GO_ON) {
			attach_wait(a);
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
