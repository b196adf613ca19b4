/* SPDX-License-Identifier: ISC
 *
 * mpq-task-done - messages are done with, or go back to the queue.
 */
#include <stddef.h>

#include "cli.h"
#include "command.h"

static const char usage[] = "mpq-task-done [-v] [-c COUNT] [-o PID | -O] [-a] [-R] NAME";

static const struct option longs[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "count", required_argument, NULL, 'c' },
	LONG_HELP,
	{ "owner", required_argument, NULL, 'o' },
	{ "owner-parent", no_argument, NULL, 'O' },
	{ "requeue", no_argument, NULL, 'R' },
	LONG_VERBOSE, LONG_VERSION, LONG_END
};

struct done {
	struct cli cli;
	uint64_t count;
	const char *pid;
	int owned, requeue;
};

static int
option(struct cli *cli, int letter, const char *value)
{
	struct done *done = (struct done *)cli;

	switch (letter) {
	case 'a':
		done->count = MPQ_ALL;
		return ST_GO_ON;
	case 'c':
		return cli_number(cli, "-c", value, 1, UINT64_MAX, &done->count);
	case 'o':
	case 'O':
		done->owned = 1;
		done->pid = value;           /* NULL: the parent */
		return ST_GO_ON;
	default:
		done->requeue = 1;
		return ST_GO_ON;
	}
}

static int
run(struct done *done)
{
	struct cli *cli = &done->cli;
	const char *name = cli->operands[0], *what = done->requeue ? "put back" : "done";
	struct mpq_owner owner;
	uint64_t did = 0;
	struct mpq *q;
	int r;

	if (!done->owned && (done->count == MPQ_ALL || done->requeue))
		return cli_misuse(cli, "%s needs -o or -O", done->requeue ? "-R" : "-a");
	if (done->owned && (r = cli_owner(cli, done->pid, &owner)) != ST_GO_ON)
		return cli_count(cli, name, 0, what, r);
	if ((q = cli_open(cli, name, 0, &r)) != NULL) {
		r = cli_fail(cli, name, mpq_task_done(q, done->owned ? &owner : NULL, done->count, done->requeue, &did),
		    mpq_why(q));
		mpq_detach(q);
	}
	return cli_count(cli, name, r == ST_OK ? did : 0, what, r);
}

int
mpq_task_done_main(int argc, char **argv, struct io *io)
{
	struct done done = { .cli = { .command = "mpq-task-done", .usage = usage, .letters = "ac:o:ORv", .longs = longs,
		.brief = true, .min = 1, .max = 1, .option = option }, .count = 1 };
	int r = cli_begin(&done.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&done);
	cli_end(&done.cli);
	return r;
}
