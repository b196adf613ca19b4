/* SPDX-License-Identifier: ISC
 *
 * mpq-ls - list queues and pipes, sorted by name.
 */
#include <bsd/err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "command.h"
#include "show.h"

static const char usage[] = "mpq-ls [-l | -J] [NAME ...]";

static const struct option longs[] = {
	LONG_HELP,
	{ "json", no_argument, NULL, 'J' },
	{ "long", no_argument, NULL, 'l' },
	LONG_VERSION, LONG_END
};

struct ls {
	struct cli cli;
	int form;                    /* 'l', 'J', or 0: names */
	char **names;
	size_t n, room;
	FILE *out;
	size_t shown;
};

static const int columns[] = { KEY_NAME, KEY_STATE, KEY_SIZE, KEY_HELD, KEY_UNFINISHED, KEY_BYTES, KEY_MEMORY, KEY_MODE,
	KEY_OWNER };
#define COLUMNS (sizeof columns / sizeof columns[0])

static int
option(struct cli *cli, int letter, const char *value)
{
	(void)value;
	((struct ls *)cli)->form = letter;
	return ST_GO_ON;
}

static int
collect(const char *name, void *arg)
{
	struct ls *ls = arg;
	char **more;

	if (ls->n == ls->room) {
		ls->room = ls->room * 2 + 16;
		if ((more = reallocarray(ls->names, ls->room, sizeof *more)) == NULL)
			return -ENOMEM;
		ls->names = more;
	}
	return (ls->names[ls->n++] = strdup(name)) != NULL ? 0 : -ENOMEM;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
show_row(struct ls *ls, const struct show *show)
{
	if (ls->form == 'J') {
		fputs(ls->shown++ == 0 ? "" : ",\n ", ls->out);
		show_json(show, ls->out);
		return;
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		const char *value = show->value[columns[i]];

		fprintf(ls->out, i == 0 ? "%-24s" : i + 1 == COLUMNS ? " %s\n" : " %10s", *value != '\0' ? value : "-");
	}
}

/* A queue is a line, a pipe one for each end. */
static int
show_name(struct ls *ls, const char *name, bool listed)
{
	char end[MPQ_NAME_MAX + 3];
	struct show show;
	int r = show_fill(&ls->cli, name, true, &show);

	if (r == ST_GONE && listed)
		return ST_OK;                /* it went while we listed */
	if (r != ST_OK)
		return r;
	if (ls->form == 0)
		fprintf(ls->out, "%s\n", name);
	else if (strcmp(show.value[KEY_KIND], "pipe") != 0 || strchr(name, '@') != NULL)
		show_row(ls, &show);
	else
		for (int i = 1; i <= 2; i++) {
			snprintf(end, sizeof end, "%.200s@%d", name, i);
			if ((r = show_fill(&ls->cli, end, false, &show)) != ST_OK)
				return r == ST_GONE && listed ? ST_OK : r;
			show_row(ls, &show);
		}
	return ST_OK;
}

static int
run(struct ls *ls)
{
	bool listed = ls->cli.noperands == 0;
	int r = ST_OK, err;

	if (listed && (err = mpq_list(&ls->cli.place, collect, ls)) != 0) {
		warnx("%s: %s", ls->cli.place.dir != NULL ? ls->cli.place.dir : "/dev/shm", mpq_strerror(err));
		return ST_ERROR;
	}
	if (ls->n != 0)
		qsort(ls->names, ls->n, sizeof *ls->names, by_name);
	if (ls->form == 'J')
		fputc('[', ls->out);
	else if (ls->form == 'l')
		fprintf(ls->out, "%-24s %10s %10s %10s %10s %10s %10s %10s %s\n", "NAME", "STATE", "SIZE", "HELD",
		    "UNFINISHED", "BYTES", "MEMORY", "MODE", "OWNER");
	for (size_t i = 0; i < (listed ? ls->n : (size_t)ls->cli.noperands); i++) {
		int one;

		if (listed && ls->form == 0)
			fprintf(ls->out, "%s\n", ls->names[i]);
		else if ((one = show_name(ls, listed ? ls->names[i] : ls->cli.operands[i], listed)) != ST_OK)
			r = one;
	}
	if (ls->form == 'J')
		fputs("]\n", ls->out);
	return r;
}

int
mpq_ls_main(int argc, char **argv, struct io *io)
{
	struct ls ls = { .cli = { .command = "mpq-ls", .usage = usage, .letters = "Jl", .longs = longs, .max = -1,
		.option = option } };
	int r = cli_begin(&ls.cli, argc, argv, io);

	if (r == ST_GO_ON) {
		if ((ls.out = fdopen(dup(io->out), "w")) == NULL) {
			warn("standard output");
			r = ST_ERROR;
		} else {
			r = run(&ls);
			if (fclose(ls.out) == EOF) {
				warn("standard output");
				r = ST_ERROR;
			}
		}
	}
	for (size_t i = 0; i < ls.n; i++)
		free(ls.names[i]);
	free(ls.names);
	cli_end(&ls.cli);
	return r;
}
