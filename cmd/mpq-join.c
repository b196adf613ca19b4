/* SPDX-License-Identifier: ISC
 *
 * mpq-join - wait until all that was put is done. With -p it wakes now and then to show how far it is.
 */
#include "cli.h"
#include "command.h"
#include "progress.h"

static const char usage[] = "mpq-join [-nv] [-t SECS] [-C] [-p] NAME";

static const struct option longs[] = {
	{ "closed", no_argument, NULL, 'C' },
	LONG_HELP, LONG_NOWAIT,
	{ "progress", no_argument, NULL, 'p' },
	LONG_TIMEOUT, LONG_VERBOSE, LONG_VERSION, LONG_END
};

struct join {
	struct cli cli;
	bool closed, progress;
};

static int
option(struct cli *cli, int letter, const char *value)
{
	struct join *join = (struct join *)cli;

	(void)value;
	if (letter == 'C')
		join->closed = true;
	else
		join->progress = true;
	return ST_GO_ON;
}

static int
wait_showing(const struct join *join, struct mpq *q, mpq_time deadline)
{
	mpq_time now, next;
	struct progress p;
	int err;

	cli_speaks();
	progress_begin(&p, join->cli.operands[0], q);
	if (p.terminal)
		progress_show(&p, q, true);
	do {
		next = mpq_now() + progress_show(&p, q, false);
		err = mpq_join(q, join->closed, deadline < next ? deadline : next);
		now = mpq_now();
	} while (err == MPQ_INTR || (err == MPQ_NOTYET && now < deadline));
	progress_end(&p, q);
	return err;
}

int
mpq_join_main(int argc, char **argv, struct io *io)
{
	struct join join = { .cli = { .command = "mpq-join", .usage = usage, .letters = "Cnpt:v", .longs = longs,
		.brief = true, .min = 1, .max = 1, .option = option } };
	struct cli *cli = &join.cli;
	int r = cli_begin(cli, argc, argv, io), err;
	struct mpq *q;

	if (r == ST_GO_ON && (q = cli_open(cli, cli->operands[0], 0, &r)) != NULL) {
		mpq_time deadline = cli_deadline(cli);

		if (join.progress)
			err = wait_showing(&join, q, deadline);
		else
			while ((err = mpq_join(q, join.closed, deadline)) == MPQ_INTR)
				;
		r = cli_fail(cli, cli->operands[0], err, mpq_why(q));
		mpq_detach(q);
	}
	cli_end(cli);
	return r;
}
