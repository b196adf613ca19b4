/* SPDX-License-Identifier: ISC
 *
 * mpq-move - take messages from one queue and put them into another.
 *
 * Take, put, settle: a message leaves FROM when it is in TO. As long as TO has room, as many as fit a batch go at once,
 * copied straight from one queue's memory into the other's. When TO is full, what did not fit goes back, and one
 * message is taken and waits for room, so that a mover in front of a full queue hoards nothing. A batch is counted
 * again in its copy: a user of FROM who changes bytes meanwhile must not damage TO.
 */
#include <bsd/err.h>
#include <string.h>

#include "command.h"
#include "signals.h"
#include "work.h"

#define BATCH 65536                  /* bytes: a chunk, thousands of lines */

static const char usage[] = "mpq-move [-nv] [-t SECS] [-c COUNT | -a] FROM TO";

static const struct option longs[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "count", required_argument, NULL, 'c' },
	LONG_HELP, LONG_NOWAIT, LONG_TIMEOUT, LONG_VERBOSE, LONG_VERSION, LONG_END
};

struct move {
	struct cli cli;
	bool all;
	uint64_t max, count;
	struct mpq *from, *to;
	uint64_t batch;              /* so many at a time: one when TO was full, then twice as many each time */
};

static int
option(struct cli *cli, int letter, const char *value)
{
	struct move *move = (struct move *)cli;

	move->all = letter == 'a';
	if (!move->all)
		return cli_number(cli, "-c", value, 1, UINT64_MAX, &move->max);
	move->max = UINT64_MAX;
	return ST_GO_ON;
}

/* ---- a batch --------------------------------------------------------------------------------------------- */

/* Counts the messages of bytes that come in pieces. */
struct counter {
	enum mpq_framing framing;
	uint64_t msgs, skip;         /* whole messages; bytes to the end of this one */
	uint32_t length;             /* read so far, of a message's front */
	unsigned front;              /* bytes of it read */
	bool between;                /* the last message is whole */
};

static void
count(struct counter *c, const unsigned char *at, size_t n)
{
	int end = c->framing == MPQ_LINES ? '\n' : '\0';
	const unsigned char *stop = at + n, *hit;

	while (c->framing != MPQ_LENGTHS && at < stop) {
		hit = memchr(at, end, (size_t)(stop - at));
		c->msgs += hit != NULL;
		c->between = hit != NULL;
		at = hit != NULL ? hit + 1 : stop;
	}
	while (c->framing == MPQ_LENGTHS && at < stop) {
		uint64_t here = (uint64_t)(stop - at);

		if (c->front < 4) {
			c->length = c->length << 8 | *at++;
			c->skip = ++c->front == 4 ? c->length : 1;
		} else {
			here = here < c->skip ? here : c->skip;
			at += here, c->skip -= here;
		}
		if ((c->between = c->front == 4 && c->skip == 0))
			c->msgs++, c->front = 0, c->length = 0;
	}
}

/* Copy the run into TO's memory. */
static int
copy(struct move *move, const struct mpq_run *run, struct mpq_writer *w)
{
	struct counter counter = { .framing = run->framing };
	struct iovec iov;
	size_t room, n;
	void *space;
	int err, pieces;

	for (uint64_t at = 0; at < run->bytes; at += n) {
		if ((err = mpq_run_map(move->from, run, at, &iov, 1, &pieces)) != MPQ_OK)
			return err;
		if (pieces == 0)
			return MPQ_DAMAGED;
		if ((err = mpq_writer_space(w, &space, &room)) != MPQ_OK)
			return err;
		n = iov.iov_len < room ? iov.iov_len : room;
		memcpy(space, iov.iov_base, n);
		count(&counter, space, n);
		mpq_writer_fill(w, n);
	}
	return counter.msgs == run->msgs && counter.between ? MPQ_OK : MPQ_DAMAGED;
}

/* What was put is counted in *put and *bytes, whatever is returned. */
static int
put_batch(struct move *move, const struct mpq_run *run, uint64_t *put, uint64_t *bytes)
{
	struct mpq_writer w;
	int err;

	mpq_writer_init(&w, move->to, run->framing);
	if ((err = copy(move, run, &w)) == MPQ_OK)
		err = mpq_writer_commit(&w, run->msgs, run->bytes, MPQ_NOW, put, bytes);
	mpq_writer_reset(&w);
	return err;
}

/* ---- one round ------------------------------------------------------------------------------------------- */

static int
put_run(struct move *move, const struct mpq_run *run, mpq_time deadline, uint64_t *put, uint64_t *bytes)
{
	int err;

	*put = *bytes = 0;
	if (run->msgs > 1) {
		err = put_batch(move, run, put, bytes);
		move->batch = err == MPQ_FULL ? 1 : move->batch;
		return err == MPQ_FULL && move->cli.patience != MPQ_NOW ? MPQ_OK : err;
	}
	do
		err = message_put(move->from, run, move->to, deadline);
	while (err == MPQ_INTR && signals_caught() == 0);
	if (err == MPQ_OK)
		*put = 1, *bytes = run->bytes;
	return err;
}

/* Take, put, settle. *of: the queue that the result is about. */
static int
move_run(struct move *move, struct mpq **of)
{
	uint64_t left = move->max - move->count, put, bytes;
	struct mpq_want want = { .msgs = left < move->batch ? left : move->batch, .bytes = BATCH,
		.flags = left > 1 ? MPQ_SHARE : 0 };
	mpq_time deadline = cli_deadline(&move->cli);
	struct mpq_run run;
	int err, settled;

	*of = move->from;
	do
		err = signals_caught() != 0 ? MPQ_INTR : mpq_take(move->from, &want, 0, deadline, &run);
	while (err == MPQ_INTR && signals_caught() == 0);
	if (err != MPQ_OK)
		return err;
	if (move->batch <= UINT64_MAX / 2)
		move->batch *= 2;
	err = put_run(move, &run, deadline, &put, &bytes);
	settled = mpq_settle(move->from, &run, put, bytes, MPQ_DONE, NULL);
	if (err == MPQ_OK && settled != MPQ_OK)
		return settled;
	move->count += put;
	*of = move->to;
	return err;
}

/* ---- all ------------------------------------------------------------------------------------------------- */

static int
fail(const struct move *move, const struct mpq *of, int err)
{
	return cli_fail(&move->cli, move->cli.operands[of == move->to], err, mpq_why(of));
}

static int
move_all(struct move *move)
{
	struct mpq *of = move->to;
	int err = mpq_can_put(move->to, MPQ_FOREVER), r;

	signals_catch();
	while (err == MPQ_OK && move->count < move->max)
		err = move_run(move, &of);
	signals_die();
	if (err == MPQ_CLOSED && of == move->from && move->all && !move->cli.timed)
		return ST_OK;
	if (move->count > 0 && (err == MPQ_EMPTY || err == MPQ_FULL || err == MPQ_CLOSED))
		return ST_OK;
	r = fail(move, of, err);
	return move->count > 0 && r != ST_ERROR ? ST_OK : r;
}

static int
run(struct move *move)
{
	struct cli *cli = &move->cli;
	int r;

	if (message_circles(cli->operands[0], cli->operands[1]))
		return cli_misuse(cli, "%s: is where the messages come from", cli->operands[1]);
	if ((move->from = cli_open(cli, cli->operands[0], 0, &r)) != NULL &&
	    (move->to = cli_open(cli, cli->operands[1], 0, &r)) != NULL) {
		r = move_all(move);
		mpq_detach(move->to);
	}
	mpq_detach(move->from);
	return cli_count(cli, cli->operands[0], move->count, "moved", r);
}

int
mpq_move_main(int argc, char **argv, struct io *io)
{
	struct move move = { .cli = { .command = "mpq-move", .usage = usage, .letters = "ac:nt:v", .longs = longs,
		.min = 2, .max = 2, .option = option }, .max = 1, .batch = UINT64_MAX };
	int r = cli_begin(&move.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&move);
	cli_end(&move.cli);
	return r;
}
