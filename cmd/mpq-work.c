/* SPDX-License-Identifier: ISC
 *
 * mpq-work - run a command for each message.
 *
 * Here: options, COMMAND and queues, and the status. What the work needs is in work_prepare.c, the work in work_loop.c.
 */
#include <bsd/err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "work.h"

static const char usage[] = "mpq-work [-nsuv] [-t SECS] [-j JOBS] [-c COUNT] [-T TRIES] [--delay SECS] [-d DEAD] [-p] "
    "[--joblog FILE] NAME COMMAND [ARG ...]";

/* Their low bytes are no letters of other options, nor 0: cli.c looks the letter up as a char. */
enum { OPTION_DELAY = 0x100 + 'D', OPTION_JOBLOG = 0x100 + 'J' };

static const struct option longs[] = {
	{ "count", required_argument, NULL, 'c' },
	{ "dead", required_argument, NULL, 'd' },
	{ "delay", required_argument, NULL, OPTION_DELAY },
	LONG_HELP,
	{ "jobs", required_argument, NULL, 'j' },
	{ "joblog", required_argument, NULL, OPTION_JOBLOG },
	LONG_NOWAIT,
	{ "progress", no_argument, NULL, 'p' },
	{ "stdin", no_argument, NULL, 's' },
	LONG_TIMEOUT,
	{ "tries", required_argument, NULL, 'T' },
	{ "ungroup", no_argument, NULL, 'u' },
	LONG_VERBOSE, LONG_VERSION, LONG_END
};

#define JOBS_MAX 100000              /* far more than processes can be */

static int
option(struct cli *cli, int letter, const char *value)
{
	struct work *w = (struct work *)cli;

	switch (letter) {
	case 'c':
		return cli_number(cli, "-c", value, 1, UINT64_MAX, &w->max);
	case 'd':
		w->dead_name = value;
		return ST_GO_ON;
	case 'j':
		return cli_number(cli, "-j", value, 1, JOBS_MAX, &w->njobs);
	case 'p':
		w->show_progress = true;
		return ST_GO_ON;
	case 's':
		w->use_stdin = true;
		return ST_GO_ON;
	case 'T':
		return cli_number(cli, "-T", value, 1, UINT64_MAX, &w->tries);
	case 'u':
		w->ungroup = true;
		return ST_GO_ON;
	case OPTION_DELAY:
		return cli_seconds(cli, "--delay", value, &w->delay);
	default:
		w->log_path = value;
		return ST_GO_ON;
	}
}

/* ---- before any message is taken ------------------------------------------------------------------------- */

static uint64_t
processors(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		return (uint64_t)CPU_COUNT(&set);
	n = sysconf(_SC_NPROCESSORS_ONLN);   /* more than a cpu_set_t holds */
	return n > 0 ? (uint64_t)n : 1;
}

static int
find_operands(struct work *w)
{
	struct cli *cli = &w->cli;
	int first = cli->noperands > 1 && strcmp(cli->operands[1], "--") == 0 ? 2 : 1;

	w->command = cli->operands + first;
	w->nargs = cli->noperands - first;
	if (w->nargs < 1)
		return cli_misuse(cli, "COMMAND is missing");
	if (w->dead_name != NULL && message_circles(cli->operands[0], w->dead_name))
		return cli_misuse(cli, "-d: %s: is where the messages come from", w->dead_name);
	return work_find(w->command[0], &w->path, &w->found);
}

static int
open_queues(struct work *w)
{
	int r, err;

	if ((w->q = cli_open(&w->cli, w->cli.operands[0], 0, &r)) == NULL)
		return r;
	if (w->dead_name == NULL)
		return ST_GO_ON;
	if ((w->dead = cli_open(&w->cli, w->dead_name, 0, &r)) == NULL)
		return r;
	if ((err = mpq_can_put(w->dead, MPQ_FOREVER)) == MPQ_OK)
		return ST_GO_ON;
	if (err != MPQ_CLOSED)
		return cli_fail(&w->cli, w->dead_name, err, mpq_why(w->dead));
	warnx("%s: %s", w->dead_name, mpq_strerror(err));    /* its 5 would be taken for that of NAME */
	return ST_ERROR;
}

/* ---- the work and the end -------------------------------------------------------------------------------- */

static int
status(struct work *w)
{
	if (w->status == ST_OK && w->failed > 0) {
		w->status = ST_FAILED;
		if (w->cli.verbose)
			warnx("%s: some messages failed at last", w->cli.operands[0]);
	} else if (w->status == ST_OK && w->taken == 0 && w->cli.timed && !w->at_end)
		w->status = cli_fail(&w->cli, w->cli.operands[0], MPQ_EMPTY, NULL);
	return w->status;
}

static int
count(const struct work *w, int r)
{
	char text[64];

	snprintf(text, sizeof text, "done, %llu failed", (unsigned long long)w->failed);
	return cli_count(&w->cli, w->cli.operands[0], w->done, text, r);
}

static int
work(struct work *w)
{
	work_signals_begin();
	if (w->show_progress) {
		progress_begin(&w->progress, w->cli.operands[0], w->q);
		if (w->progress.terminal)
			progress_show(&w->progress, w->q, true);
	}
	work_loop(w);
	if (w->show_progress)
		progress_end(&w->progress, w->q);
	watchdog_end(&w->dog);
	w->dog.groups = NULL;
	work_signals_end();
	if (w->signals > 0) {
		count(w, ST_OK);
		work_signals_die(work_signals_first());
	}
	if (w->broken_pipe) {
		work_signals_die(SIGPIPE);
		warnc(EPIPE, "%s: standard output", w->cli.operands[0]);
	}
	return status(w);
}

static void
clean(struct work *w)
{
	work_release(w);
	free(w->found);
	mpq_detach(w->dead);
	mpq_detach(w->q);
	cli_end(&w->cli);
}

int
mpq_work_main(int argc, char **argv, struct io *io)
{
	struct work w = { .cli = { .command = "mpq-work", .usage = usage, .letters = "c:d:j:npst:T:uv", .longs = longs,
		.operands_last = true, .min = 1, .max = -1, .option = option }, .max = UINT64_MAX, .tries = 1,
		.null = -1, .log = -1, .io = *io };
	int r = cli_begin(&w.cli, argc, argv, io);

	if (w.njobs == 0)
		w.njobs = processors();
	if (r == ST_GO_ON) {
		if ((r = find_operands(&w)) == ST_GO_ON && (r = open_queues(&w)) == ST_GO_ON && (r = work_prepare(&w)) == ST_GO_ON)
			r = work(&w);
		r = count(&w, r);
	}
	clean(&w);
	return r;
}
