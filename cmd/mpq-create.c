/* SPDX-License-Identifier: ISC
 *
 * mpq-create - make a queue. Without NAME it invents one, as mktemp does: by trying random names until one is free.
 */
#include <bsd/err.h>
#include <bsd/stdlib.h>
#include <stdio.h>
#include <string.h>

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
	char invented[INVENTED_SIZE];
	const char *name = invented;
	int r = cli_begin(&create.cli, argc, argv, io);

	if (r == ST_GO_ON) {
		if (create.cli.noperands == 1)
			r = create_named(&create, name = create.cli.operands[0]);
		else
			r = create_invented(&create, invented);
		if (r == ST_OK && create.cli.noperands == 0 && dprintf(io->out, "%s\n", name) < 0) {
			warn("standard output");
			mpq_remove(&create.cli.place, name, 0, NULL);
			r = ST_ERROR;        /* nobody knows its name */
		}
		if (r == ST_OK)
			cli_count(&create.cli, name, 1, "created");
	}
	cli_end(&create.cli);
	return r;
}
