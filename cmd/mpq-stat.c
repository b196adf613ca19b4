/* SPDX-License-Identifier: ISC
 *
 * mpq-stat - show or test the state of a queue or an end of a pipe.
 */
#include <bsd/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "command.h"
#include "show.h"

static const char usage[] = "mpq-stat [-J | -k KEY | --test STATE] NAME";

enum { TEST = 256 };

static const struct option longs[] = {
	LONG_HELP,
	{ "json", no_argument, NULL, 'J' },
	{ "key", required_argument, NULL, 'k' },
	{ "test", required_argument, NULL, TEST },
	LONG_VERSION, LONG_END
};

struct stat_cli {
	struct cli cli;
	int json, key, test;         /* key -1: all; test: index into `states`, -1: none */
};

static const char *const states[] = { "empty", "full", "closed", "done" };
enum { TEST_EMPTY, TEST_FULL, TEST_CLOSED, TEST_DONE, TESTS };

static int
lookup(const char *const *table, int n, const char *word)
{
	while (--n >= 0 && strcmp(table[n], word) != 0)
		;
	return n;
}

static int
option(struct cli *cli, int letter, const char *value)
{
	struct stat_cli *stat = (struct stat_cli *)cli;

	stat->json = letter == 'J', stat->key = stat->test = -1;
	if (letter == 'k' && (stat->key = lookup(show_keys, KEYS, value)) < 0)
		return cli_misuse(cli, "-k: %s: no such key", value);
	if (letter == TEST && (stat->test = lookup(states, TESTS, value)) < 0)
		return cli_misuse(cli, "--test: %s: not empty, full, closed or done", value);
	return ST_GO_ON;
}

static int
test_state(const struct stat_cli *stat, const struct mpq_stat *st)
{
	bool yes = stat->test == TEST_EMPTY ? st->size == 0 :
	    stat->test == TEST_FULL ? (st->maxsize != 0 && st->size >= st->maxsize) ||
	    (st->maxbytes != 0 && st->bytes >= st->maxbytes) :
	    stat->test == TEST_CLOSED ? st->closed != 0 : st->unfinished == 0;

	return yes ? ST_OK : ST_NOTYET;
}

static int
run(const struct stat_cli *stat, struct io *io)
{
	const char *name = stat->cli.operands[0];
	struct show show;
	FILE *out;
	int r = show_fill(&stat->cli, name, false, &show);

	if (r != ST_OK)
		return r;
	if (show.status != ST_OK)
		cli_fail(&stat->cli, name, show.code, &show.why);
	if (stat->test >= 0)
		return show.status != ST_OK ? show.status : test_state(stat, &show.st);
	if ((out = fdopen(dup(io->out), "w")) == NULL) {
		warn("%s: standard output", name);
		return ST_ERROR;
	}
	if (stat->json) {
		show_json(&show, out);
		fputc('\n', out);
	} else
		for (int key = 0; key < KEYS; key++)
			if (stat->key == key && show.value[key][0] != '\0')
				fprintf(out, "%s\n", show.value[key]);
			else if (stat->key < 0 && show.value[key][0] != '\0')
				fprintf(out, "%s %s\n", show_keys[key], show.value[key]);
	if (fclose(out) == EOF) {
		warn("%s: standard output", name);
		return ST_ERROR;
	}
	return show.status;
}

int
mpq_stat_main(int argc, char **argv, struct io *io)
{
	struct stat_cli stat = { .cli = { .command = "mpq-stat", .usage = usage, .letters = "Jk:", .longs = longs, .min = 1,
		.max = 1, .option = option }, .key = -1, .test = -1 };
	int r = cli_begin(&stat.cli, argc, argv, io);

	if (r == ST_GO_ON)
		r = run(&stat, io);
	cli_end(&stat.cli);
	return r;
}
