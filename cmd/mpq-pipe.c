/* SPDX-License-Identifier: ISC
 *
 * mpq-pipe - make a two-way pipe, or say which process an end belongs to.
 *
 * Both directions are in one segment, made in one step. An end that belongs to a process is closed when that ends,
 * however it ends: whoever looks at the pipe next finds it dead and closes for it.
 */
#include "cli.h"
#include "command.h"
#include "create.h"

static const char usage[] = "mpq-pipe [-1ev] [-m MAXSIZE] [-b MAXBYTES] [-M MODE] [NAME]\nmpq-pipe -o PID END";

static const struct option longs[] = {
	{ "simplex", no_argument, NULL, '1' },
	{ "maxbytes", required_argument, NULL, 'b' },
	{ "exist-ok", no_argument, NULL, 'e' },
	LONG_HELP,
	{ "maxsize", required_argument, NULL, 'm' },
	{ "mode", required_argument, NULL, 'M' },
	{ "owner", required_argument, NULL, 'o' },
	LONG_VERBOSE, LONG_VERSION, LONG_END
};

struct pipe {
	struct create create;
	int making;                  /* the last option that is about making one */
};

static int
option(struct cli *cli, int letter, const char *value)
{
	struct pipe *pipe = (struct pipe *)cli;

	if (letter == 'o') {
		pipe->create.owner = value;
		return ST_GO_ON;
	}
	pipe->making = letter;
	if (letter != '1')
		return create_option(cli, letter, value);
	pipe->create.bounds.kind = MPQ_SIMPLEX;
	return ST_GO_ON;
}

static int
give(const struct cli *cli, const char *pid)
{
	struct mpq_owner owner;
	struct mpq *q;
	int r;

	if (cli->noperands == 0)
		return cli_misuse(cli, "END is missing");
	if ((r = cli_owner(cli, pid, &owner)) != ST_GO_ON)
		return r;
	if ((q = cli_open(cli, cli->operands[0], 0, &r)) == NULL)
		return r;
	r = cli_fail(cli, cli->operands[0], mpq_own_end(q, &owner), mpq_why(q));
	mpq_detach(q);
	return r;
}

int
mpq_pipe_main(int argc, char **argv, struct io *io)
{
	struct pipe pipe = { .create = { .cli = { .command = "mpq-pipe", .usage = usage, .letters = "1b:em:M:o:v",
		.longs = longs, .max = 1, .option = option }, .bounds = { .mode = 0600, .kind = MPQ_PIPE } } };
	struct cli *cli = &pipe.create.cli;
	int r = cli_begin(cli, argc, argv, io);

	if (r == ST_GO_ON && pipe.create.owner != NULL && pipe.making != 0)
		r = cli_misuse(cli, "-o and -%c exclude each other", pipe.making);
	else if (r == ST_GO_ON)
		r = pipe.create.owner != NULL ? give(cli, pipe.create.owner) : create_print(&pipe.create, io);
	cli_end(cli);
	return r;
}
