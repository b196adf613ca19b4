/* SPDX-License-Identifier: ISC
 *
 * mpq-wait - wait until one of several queues is ready: select for the shell.
 *
 * Each operand has a handle of its own, also when a queue is named twice. What is ready is printed as it was given, so
 * that a script can compare it with what it wrote.
 */
#include <bsd/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "command.h"

static const char usage[] = "mpq-wait [-nv] [-t SECS] NAME[:get|:put|:join] ...";

static const struct option longs[] = {
	LONG_HELP, LONG_NOWAIT, LONG_TIMEOUT, LONG_VERBOSE, LONG_VERSION, LONG_END
};

/* What does an operand wait for? The word is cut off, so that the name is left. */
static int
cut_word(const struct cli *cli, char *name, enum mpq_ready *what)
{
	static const char *const words[] = { [MPQ_READY_GET] = "get", [MPQ_READY_PUT] = "put", [MPQ_READY_JOIN] = "join" };
	char *colon = strchr(name, ':');

	*what = MPQ_READY_GET;
	while (colon != NULL && strcmp(colon + 1, words[*what]) != 0)
		if (*what == MPQ_READY_JOIN)
			return cli_misuse(cli, "%s: get, put or join stands after the colon", name);
		else
			++*what;
	if (colon != NULL)
		*colon = '\0';
	return ST_GO_ON;
}

/* Open all; each that cannot be opened is named, and the first decides the status. */
static int
open_all(const struct cli *cli, char **names, struct mpq_watch *watches, size_t n)
{
	int status = ST_GO_ON, r;

	for (size_t i = 0; i < n; i++) {
		if ((names[i] = strdup(cli->operands[i])) == NULL) {
			warn(NULL);
			return ST_ERROR;
		}
		if ((r = cut_word(cli, names[i], &watches[i].what)) != ST_GO_ON)
			return r;
	}
	for (size_t i = 0; i < n && status != ST_USAGE; i++)
		if ((watches[i].q = cli_open(cli, names[i], 0, &r)) == NULL && (status == ST_GO_ON || r == ST_USAGE))
			status = r;
	return status;
}

/* Print what is ready, and report what has failed, or that nothing was ready in time. */
static int
report(const struct cli *cli, char **names, const struct mpq_watch *watches, size_t n, int code, int out)
{
	int status = ST_OK, r = ST_OK;

	for (size_t i = 0; i < n; i++) {
		const struct mpq_watch *w = &watches[i];

		if (code != MPQ_OK)
			r = cli_fail(cli, names[i], code, mpq_why(w->q));
		else if (w->ready == 1 && dprintf(out, "%s\n", cli->operands[i]) < 0) {
			warn("%s: standard output", cli->operands[i]);
			return ST_ERROR;
		} else if (w->ready != 0 && w->ready != 1)
			r = cli_fail(cli, names[i], w->ready, mpq_why(w->q));
		status = status == ST_OK ? r : status;
	}
	return status;
}

static int
run(const struct cli *cli, struct io *io)
{
	size_t n = (size_t)cli->noperands;
	struct mpq_watch *watches = calloc(n, sizeof *watches);
	char **names = calloc(n, sizeof *names);
	mpq_time deadline = cli_deadline(cli);
	int r = ST_ERROR, code;

	if (watches == NULL || names == NULL)
		warn(NULL);
	else if ((r = open_all(cli, names, watches, n)) == ST_GO_ON) {
		while ((code = mpq_wait(watches, n, deadline)) == MPQ_INTR)
			;
		r = report(cli, names, watches, n, code, io->out);
	}
	for (size_t i = 0; i < n && watches != NULL && names != NULL; i++) {
		mpq_detach(watches[i].q);
		free(names[i]);
	}
	free(watches);
	free(names);
	return r;
}

int
mpq_wait_main(int argc, char **argv, struct io *io)
{
	struct cli cli = { .command = "mpq-wait", .usage = usage, .letters = "nt:v", .longs = longs, .min = 1, .max = -1 };
	int r = cli_begin(&cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&cli, io);
	cli_end(&cli);
	return r;
}
