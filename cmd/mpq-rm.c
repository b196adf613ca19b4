/* SPDX-License-Identifier: ISC
 *
 * mpq-rm - remove queues and pipes. Each NAME is tried; the status is that of the last that failed.
 */
#include <string.h>

#include "cli.h"
#include "command.h"

static const char usage[] = "mpq-rm [-f] NAME ...";

static const struct option longs[] = {
	{ "force", no_argument, NULL, 'f' },
	LONG_HELP, LONG_VERSION, LONG_END
};

struct removal {
	struct cli cli;
	int force;
};

static int
option(struct cli *cli, int letter, const char *value)
{
	(void)letter, (void)value;
	((struct removal *)cli)->force = 1;
	return ST_GO_ON;
}

int
mpq_rm_main(int argc, char **argv, struct io *io)
{
	struct removal removal = { .cli = { .command = "mpq-rm", .usage = usage, .letters = "f", .longs = longs,
		.min = 1, .max = -1, .option = option } };
	struct cli *cli = &removal.cli;
	int r = cli_begin(cli, argc, argv, io);

	if (r == ST_GO_ON) {
		r = ST_OK;
		for (int i = 0; i < cli->noperands; i++)     /* before anything is removed */
			if (mpq_name_check(cli->operands[i]) != MPQ_OK)
				r = cli_misuse(cli, "%s: %s", cli->operands[i], mpq_strerror(MPQ_BADNAME));
		for (int i = 0; i < cli->noperands && r != ST_USAGE; i++) {
			struct mpq_why why = { 0 };
			int err = mpq_remove(&cli->place, cli->operands[i], removal.force, &why);

			if (err != MPQ_OK && !(err == MPQ_GONE && removal.force))
				r = cli_fail(cli, cli->operands[i], err, &why);
		}
	}
	cli_end(cli);
	return r;
}
