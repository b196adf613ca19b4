/* SPDX-License-Identifier: ISC
 *
 * cli.c - options, statuses, diagnostics, the environment. See cli.h.
 */
#include <bsd/err.h>
#include <bsd/string.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

void
cli_speaks(void)
{
	signal(SIGXFSZ, SIG_IGN);
}

int
cli_misuse(const struct cli *cli, const char *format, ...)
{
	const char *line = cli->usage, *end;
	va_list ap;

	cli_speaks();
	va_start(ap, format);
	vwarnx(format, ap);
	va_end(ap);
	for (; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		fprintf(stderr, "%s%.*s\n", line == cli->usage ? "usage: " : "       ", (int)(end - line), line);
	}
	return ST_USAGE;
}

/* ---- options --------------------------------------------------------------------------------------------- */

static int
common_option(struct cli *cli, int letter, const char *value)
{
	switch (letter) {
	case '0':
		cli->framing = MPQ_NULS;
		return ST_GO_ON;
	case 'L':
		cli->framing = MPQ_LENGTHS;
		return ST_GO_ON;
	case 'n':
		cli->patience = MPQ_NOW, cli->timed = true;
		return ST_GO_ON;
	case 'r':
		cli->framing = RAW;
		return ST_GO_ON;
	case 't':
		cli->timed = true;
		return cli_seconds(cli, "-t", value, &cli->patience);
	case 'v':
		cli->verbose = true;
		return ST_GO_ON;
	default:
		return ST_USAGE;
	}
}

static int
print_out(const struct io *io, const char *format, ...)
{
	va_list ap;
	int n;

	cli_speaks();
	va_start(ap, format);
	n = vdprintf(io->out, format, ap);
	va_end(ap);
	if (n >= 0)
		return ST_OK;
	warn("standard output");
	return ST_ERROR;
}

static int
one_option(struct cli *cli, int letter, char **argv, struct io *io)
{
	const char *word = argv[optind > 0 ? optind - 1 : 0];

	if (letter == 'h')
		return print_out(io, "usage: %s\n", cli->usage);
	if (letter == 'V')
		return print_out(io, "%s %s\n", cli->command, MPQ_VERSION_TEXT);
	if (letter == ':')
		return cli_misuse(cli, "%s: needs a value", word);
	if (letter == '?' && optopt != 0 && strncmp(word, "--", 2) != 0)
		return cli_misuse(cli, "-%c: unknown option", optopt);
	if (letter == '?')
		return cli_misuse(cli, "%s: unknown option", word);
	if (letter < 256 && strchr("0Lnrtv", letter) != NULL && strchr(cli->letters, letter) != NULL)
		return common_option(cli, letter, optarg);
	return cli->option(cli, letter, optarg);
}

int
cli_begin(struct cli *cli, int argc, char **argv, struct io *io)
{
	const char *dir = getenv("MPQ_DIR"), *owner = getenv("MPQ_OWNER");
	char letters[64];
	int letter, r;

	cli->patience = MPQ_FOREVER;
	cli->framing = MPQ_LINES;
	if (!cli->brief)
		cli_speaks();
	cli->operands = (size_t)argc <= sizeof cli->few / sizeof *cli->few ? cli->few :
	    calloc((size_t)argc, sizeof *cli->operands);
	if (cli->operands == NULL) {
		warn(NULL);
		return ST_ERROR;
	}
	/* '-': operands are handed to us in order, wherever they stand, whatever POSIXLY_CORRECT says. */
	strlcpy(letters, cli->operands_last ? "+:hV" : "-:hV", sizeof letters);
	strlcat(letters, cli->letters, sizeof letters);
	optind = 0, opterr = 0;
	while ((letter = getopt_long(argc, argv, letters, cli->longs, NULL)) != -1) {
		if (letter == 1)
			cli->operands[cli->noperands++] = optarg;
		else if ((r = one_option(cli, letter, argv, io)) != ST_GO_ON)
			return r;
	}
	while (optind < argc)
		cli->operands[cli->noperands++] = argv[optind++];
	if (cli->noperands < cli->min)
		return cli_misuse(cli, "%s is missing", cli->noperands == 0 ? "NAME" : "an operand");
	if (cli->max >= 0 && cli->noperands > cli->max)
		return cli_misuse(cli, "%s: one operand too many", cli->operands[cli->max]);
	if (dir != NULL && *dir != '\0')
		cli->place.dir = dir;
	if (owner != NULL && cli->place.dir == NULL)
		cli_trust(cli, owner);
	return ST_GO_ON;
}

void
cli_end(struct cli *cli)
{
	if (cli->operands != cli->few)
		free(cli->operands);
	free(cli->trusted);
}

/* ---- results --------------------------------------------------------------------------------------------- */

int
cli_status(int code)
{
	static const unsigned char status[] = { [MPQ_EMPTY] = ST_EMPTY, [MPQ_FULL] = ST_FULL,
		[MPQ_CLOSED] = ST_CLOSED, [MPQ_GONE] = ST_GONE, [MPQ_EXISTS] = ST_EXISTS, [MPQ_NOTYET] = ST_NOTYET,
		[MPQ_OVERDONE] = ST_OVERDONE, [MPQ_TOOBIG] = ST_TOOBIG, [MPQ_BADNAME] = ST_USAGE };

	if (code == MPQ_OK)
		return ST_OK;
	if (code < 0 || (size_t)code >= sizeof status || status[code] == 0)
		return ST_ERROR;
	return status[code];
}

int
cli_fail(const struct cli *cli, const char *name, int code, const struct mpq_why *why)
{
	const char *dir = cli->place.dir != NULL ? cli->place.dir : "/dev/shm";
	bool answer = code == MPQ_EMPTY || code == MPQ_FULL || code == MPQ_CLOSED || code == MPQ_NOTYET;
	char user[64];

	if (code == MPQ_OK || (answer && !cli->verbose))
		return cli_status(code);
	cli_speaks();
	if (code == MPQ_DENIED && why != NULL)
		warnx("%s: belongs to %s, whom MPQ_OWNER does not trust", name, user_name(why->uid, user, sizeof user));
	else if (code == MPQ_STUCK && why != NULL)
		warnx("%s: its lock is held by process %d, which is stopped or does not let go", name, (int)why->pid);
	else if (code == -ENOSPC && why != NULL)
		warnx("%s: no space left in %s: %llu bytes free", name, dir, (unsigned long long)why->free);
	else if (code == MPQ_NODIR)
		warnx("%s: %s: %s", name, dir, mpq_strerror(code));
	else
		warnx("%s: %s", name, mpq_strerror(code));
	return cli_status(code);
}

int
cli_count(const struct cli *cli, const char *name, uint64_t n, const char *done, int status)
{
	if (cli->verbose && status != ST_USAGE) {
		cli_speaks();
		warnx("%s: %llu %s", name, (unsigned long long)n, done);
	}
	return status;
}

char cli_cut_short[MPQ_NAME_MAX + 128] = "mpq: damaged: the queue's file has been cut short\n";

struct mpq *
cli_open(const struct cli *cli, const char *name, unsigned flags, int *status)
{
	struct mpq_why why = { 0 };
	struct mpq *q;
	int err;

	snprintf(cli_cut_short, sizeof cli_cut_short, "%s: %.*s: damaged: its file has been cut short\n", cli->command,
	    MPQ_NAME_MAX + 2, name);
	err = mpq_open(&cli->place, name, flags | (cli->brief ? MPQ_BRIEF : 0), &q, &why);
	*status = err == MPQ_BADNAME ? cli_misuse(cli, "%s: %s", name, mpq_strerror(err)) :
	    cli_fail(cli, name, err, &why);
	return q;
}

mpq_time
cli_deadline(const struct cli *cli)
{
	mpq_time now;

	if (cli->patience == MPQ_FOREVER || cli->patience == MPQ_NOW)
		return cli->patience;
	now = mpq_now();
	return cli->patience > MPQ_FOREVER - now ? MPQ_FOREVER : now + cli->patience;
}

int
cli_owner(const struct cli *cli, const char *pid, struct mpq_owner *owner)
{
	uint64_t n = (uint64_t)getppid();
	int r;

	if (pid != NULL && (r = cli_number(cli, "-o", pid, 1, INT_MAX, &n)) != ST_GO_ON)
		return r;
	if (mpq_owner_of((pid_t)n, owner) == MPQ_OK)
		return ST_GO_ON;
	cli_speaks();
	warnx("%s: no process %llu", cli->operands[0], (unsigned long long)n);
	return ST_ERROR;
}
