/* SPDX-License-Identifier: ISC
 *
 * mpq-get - take messages and write them.
 *
 * Take, write, settle: a message leaves the queue only when the output has accepted it. In between it belongs to this
 * process; if that is killed, it is first in the queue again. Signals are died of after the account: they are noted,
 * or, for one message that is there and soon written, held.
 */
#include <bsd/err.h>
#include <errno.h>

#include "cli.h"
#include "command.h"
#include "output.h"
#include "signals.h"

static const char usage[] = "mpq-get [-nv] [-t SECS] [-c COUNT | -a] [-P | -D | -o PID | -O] [-0 | -r | -L] NAME";

static const struct option longs[] = {
	LONG_NULL,
	{ "all", no_argument, NULL, 'a' },
	{ "count", required_argument, NULL, 'c' },
	{ "done", no_argument, NULL, 'D' },
	LONG_HELP, LONG_LENGTH, LONG_NOWAIT,
	{ "owner", required_argument, NULL, 'o' },
	{ "owner-parent", no_argument, NULL, 'O' },
	{ "peek", no_argument, NULL, 'P' },
	LONG_RAW, LONG_TIMEOUT, LONG_VERBOSE, LONG_VERSION, LONG_END
};

#define SOON 65536                   /* bytes that are written before a signal has to wait too long */

struct get {
	struct cli cli;
	uint64_t max;
	int all;
	int fate;                    /* 0, or the letter of -D, -P, -o, -O */
	const char *pid;
	struct mpq_owner owner;
	uint64_t count;
};

static int
option(struct cli *cli, int letter, const char *value)
{
	struct get *get = (struct get *)cli;

	switch (letter) {
	case 'a':
		get->all = 1, get->max = UINT64_MAX;
		return ST_GO_ON;
	case 'c':
		get->all = 0;
		return cli_number(cli, "-c", value, 1, UINT64_MAX, &get->max);
	default:
		get->fate = letter, get->pid = value;
		return ST_GO_ON;
	}
}

/* mpq_take, again if a signal handler ran that was not for us. No signal is held while it waits. */
static int
take(const struct mpq_want *want, struct mpq *q, uint64_t after, mpq_time deadline, struct mpq_run *run)
{
	int err;

	if (signals_held()) {
		err = mpq_take(q, want, after, MPQ_NOW, run);
		if (deadline == MPQ_NOW || (err != MPQ_EMPTY && err != MPQ_STUCK))
			return err;
		signals_catch();
	}
	do
		err = mpq_take(q, want, after, deadline, run);
	while (err == MPQ_INTR && signals_caught() == 0);
	return err;
}

/* One run: taken, written, settled. 0, a code of mpq, or -errno of the output with *broken. */
static int
get_run(struct get *get, struct mpq *q, struct output *out, uint64_t *after, int *broken)
{
	bool owned = get->fate == 'o' || get->fate == 'O', peek = get->fate == 'P';
	struct mpq_want want = { .msgs = get->max - get->count, .owner = owned ? &get->owner : NULL,
		.flags = (get->max > 1 ? MPQ_SHARE : 0) | (peek ? MPQ_PEEK : 0) };
	mpq_time deadline = peek && get->count > 0 ? MPQ_NOW : cli_deadline(&get->cli);
	uint64_t msgs, bytes;
	struct mpq_run run;
	int err, settled;

	if ((want.bytes = output_room(out, get->max == 1 ? 1 : SIZE_MAX)) == 0)
		return MPQ_INTR;
	if ((err = take(&want, q, *after, deadline, &run)) != MPQ_OK)
		return err;
	if (signals_held() && run.bytes > SOON)
		signals_catch();
	err = output_run(out, q, &run, &msgs, &bytes);
	*broken = err < 0 && err != -EINTR;
	*after = run.seq + msgs;
	settled = mpq_settle(q, &run, msgs, bytes, get->fate == 'D' ? MPQ_DONE : owned ? MPQ_HOLD : MPQ_GOT, &get->owner);
	if (settled == MPQ_OK || peek)
		get->count += msgs;
	return err != MPQ_OK ? err : peek ? MPQ_OK : settled;
}

static int
get_all(struct get *get, struct mpq *q, struct io *io)
{
	const char *name = get->cli.operands[0];
	struct output out;
	uint64_t after = 0;
	int err = MPQ_OK, broken = 0;

	output_begin(&out, io->out, get->cli.framing);
	if (get->max == 1)
		signals_hold();
	else
		signals_catch();
	while (err == MPQ_OK && get->count < get->max)
		err = get_run(get, q, &out, &after, &broken);
	signals_die();
	if (broken) {
		cli_speaks();
		warnc(-err, "%s: standard output", name);
		return ST_ERROR;
	}
	if (err == MPQ_CLOSED && get->all && !get->cli.timed)
		return ST_OK;
	if (get->count > 0 && (cli_status(err) != ST_ERROR || err == MPQ_OK))
		return ST_OK;
	return cli_fail(&get->cli, name, err, mpq_why(q));
}

static int
run(struct get *get, struct io *io)
{
	struct cli *cli = &get->cli;
	struct mpq *q;
	int r;

	if ((get->fate == 'o' || get->fate == 'O') && (r = cli_owner(cli, get->pid, &get->owner)) != ST_GO_ON)
		return cli_count(cli, cli->operands[0], 0, "got", r);
	if ((q = cli_open(cli, cli->operands[0], 0, &r)) != NULL) {
		r = get_all(get, q, io);
		mpq_detach(q);
	}
	return cli_count(cli, cli->operands[0], get->count, "got", r);
}

int
mpq_get_main(int argc, char **argv, struct io *io)
{
	struct get get = { .cli = { .command = "mpq-get", .usage = usage, .letters = "0ac:DLno:OPrt:v", .longs = longs,
		.brief = true, .min = 1, .max = 1, .option = option }, .max = 1 };
	int r = cli_begin(&get.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&get, io);
	cli_end(&get.cli);
	return r;
}
