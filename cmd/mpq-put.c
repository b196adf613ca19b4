/* SPDX-License-Identifier: ISC
 *
 * mpq-put - put messages: arguments, or what comes on standard input.
 */
#include <bsd/err.h>
#include <errno.h>
#include <string.h>

#include "cli.h"
#include "command.h"
#include "input.h"

static const char usage[] = "mpq-put [-nv] [-t SECS] [-0 | -r | -L] NAME [MESSAGE ...]";

static const struct option longs[] = {
	LONG_NULL, LONG_HELP, LONG_LENGTH, LONG_NOWAIT, LONG_RAW, LONG_TIMEOUT, LONG_VERBOSE, LONG_VERSION, LONG_END
};

static int
put_operands(const struct cli *cli, struct mpq *q, uint64_t *put)
{
	int err = MPQ_OK;

	for (int i = 1; i < cli->noperands && err == MPQ_OK; i++) {
		mpq_time deadline = cli_deadline(cli);

		while ((err = mpq_put(q, cli->operands[i], strlen(cli->operands[i]), deadline)) == MPQ_INTR)
			;
		*put += err == MPQ_OK;
	}
	return err;
}

static int
put_input(const struct cli *cli, struct mpq *q, int fd, uint64_t *put, int *broken)
{
	struct input in = { .fd = fd, .q = q, .patience = cli->patience };
	int err = mpq_can_put(q, cli_deadline(cli));

	if (err != MPQ_OK)
		return err;
	err = input_all(&in, cli->framing);
	*put = in.put;
	*broken = in.error;
	return err;
}

static int
put_all(const struct cli *cli, struct mpq *q, struct io *io, uint64_t *put)
{
	const char *name = cli->operands[0];
	int r, err, broken = 0;

	if (cli->noperands > 1)
		err = put_operands(cli, q, put);
	else
		err = put_input(cli, q, io->in, put, &broken);
	r = cli_fail(cli, name, err, mpq_why(q));
	if (r == ST_OK && broken != 0) {
		cli_speaks();
		if (broken == EBADMSG)
			warnx("%s: standard input ends inside a message, or has no valid length", name);
		else
			warnc(broken, "%s: standard input", name);
		r = ST_ERROR;
	}
	return r;
}

static int
run(const struct cli *cli, struct io *io)
{
	uint64_t put = 0;
	int r;
	struct mpq *q = cli_open(cli, cli->operands[0], 0, &r);

	if (q != NULL) {
		r = put_all(cli, q, io, &put);
		mpq_detach(q);
	}
	return cli_count(cli, cli->operands[0], put, "put", r);
}

int
mpq_put_main(int argc, char **argv, struct io *io)
{
	struct cli cli = { .command = "mpq-put", .usage = usage, .letters = "0Lnrt:v", .longs = longs,
		.operands_last = true, .brief = true, .min = 1, .max = -1 };
	int r = cli_begin(&cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&cli, io);
	cli_end(&cli);
	return r;
}
