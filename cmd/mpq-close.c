/* SPDX-License-Identifier: ISC
 *
 * mpq-close - say that nothing more will be put.
 */
#include <stdio.h>

#include "cli.h"
#include "command.h"

static const char usage[] = "mpq-close [-i | -w] NAME";

static const struct option longs[] = {
	LONG_HELP,
	{ "immediate", no_argument, NULL, 'i' },
	LONG_VERSION,
	{ "write", no_argument, NULL, 'w' },
	LONG_END
};

struct closing {
	struct cli cli;
	enum mpq_closing how;
};

static int
option(struct cli *cli, int letter, const char *value)
{
	(void)value;
	((struct closing *)cli)->how = letter == 'i' ? MPQ_CLOSE_NOW : MPQ_CLOSE_WRITE;
	return ST_GO_ON;
}

int
mpq_close_main(int argc, char **argv, struct io *io)
{
	struct closing closing = { .cli = { .command = "mpq-close", .usage = usage, .letters = "iw", .longs = longs,
		.brief = true, .min = 1, .max = 1, .option = option }, .how = MPQ_CLOSE };
	struct cli *cli = &closing.cli;
	int r = cli_begin(cli, argc, argv, io);
	struct mpq *q;

	if (r == ST_GO_ON && (q = cli_open(cli, cli->operands[0], 0, &r)) != NULL) {
		r = cli_fail(cli, cli->operands[0], mpq_close(q, closing.how), mpq_why(q));
		mpq_detach(q);
	}
	cli_end(cli);
	return r;
}
