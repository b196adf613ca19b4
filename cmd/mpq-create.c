/* SPDX-License-Identifier: ISC
 *
 * mpq-create - make a queue. Without NAME it invents one, as mktemp does: by trying random names until one is free.
 */
#include "cli.h"
#include "command.h"
#include "create.h"

static const char usage[] = "mpq-create [-ev] [-m MAXSIZE] [-b MAXBYTES] [-M MODE] [NAME]";

static const struct option longs[] = {
	{ "maxbytes", required_argument, NULL, 'b' },
	{ "exist-ok", no_argument, NULL, 'e' },
	LONG_HELP,
	{ "maxsize", required_argument, NULL, 'm' },
	{ "mode", required_argument, NULL, 'M' },
	LONG_VERBOSE, LONG_VERSION, LONG_END
};

int
mpq_create_main(int argc, char **argv, struct io *io)
{
	struct create create = { .cli = { .command = "mpq-create", .usage = usage, .letters = "b:em:M:v", .longs = longs,
		.max = 1, .option = create_option }, .bounds = { .mode = 0600, .kind = MPQ_QUEUE } };
	int r = cli_begin(&create.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = create_print(&create, io);
	cli_end(&create.cli);
	return r;
}
