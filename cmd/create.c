/* SPDX-License-Identifier: ISC
 *
 * create.c - what mpq-create and mpq-pipe share. See create.h.
 */
#include <bsd/err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "create.h"
#include "signals.h"

#define TRIES 100                    /* 62^12 names: a second try is already a miracle */

/* Octal, each class "rw" or nothing: who may put may get, so there is no use in half of it. */
static int
parse_mode(const struct cli *cli, const char *text, mode_t *mode)
{
	size_t n = strlen(text);

	*mode = 0;
	if (n == 0 || n > 4 || strspn(text, "06") != n || (n == 4 && text[0] != '0'))
		return cli_misuse(cli, "-M: %s: each of the three digits is 6 or 0", text);
	for (; *text != '\0'; text++)
		*mode = *mode << 3 | (mode_t)(*text - '0');
	return ST_GO_ON;
}

int
create_option(struct cli *cli, int letter, const char *value)
{
	struct create *create = (struct create *)cli;

	switch (letter) {
	case 'b':
		return cli_size(cli, "-b", value, &create->bounds.maxbytes);
	case 'e':
		create->exist_ok = true;
		return ST_GO_ON;
	case 'm':
		return cli_size(cli, "-m", value, &create->bounds.maxsize);
	case 'M':
		return parse_mode(cli, value, &create->bounds.mode);
	default:
		return ST_USAGE;
	}
}

/* -e: what exists must be what was asked for, and usable. */
static int
check_existing(struct create *create, const char *name)
{
	struct mpq_stat st;
	struct mpq *q;
	int status = ST_OK, err;

	if ((q = cli_open(&create->cli, name, MPQ_WHOLE, &status)) == NULL)
		return status;
	if ((err = mpq_stat(q, &st)) != MPQ_OK)
		status = cli_fail(&create->cli, name, err, mpq_why(q));
	else if ((st.kind == MPQ_QUEUE) != (create->bounds.kind == MPQ_QUEUE))
		status = cli_fail(&create->cli, name, MPQ_NOTQUEUE, NULL);
	mpq_detach(q);
	return status;
}

static int
create_named(struct create *create, const char *name)
{
	struct mpq_why why = { 0 };
	int err = mpq_create(&create->cli.place, name, &create->bounds, &why);

	create->made = err == MPQ_OK;
	if (err == MPQ_BADNAME)
		return cli_misuse(&create->cli, "%s: %s", name, mpq_strerror(err));
	if (err == MPQ_EXISTS && create->exist_ok)
		return check_existing(create, name);
	return cli_fail(&create->cli, name, err, &why);
}

/* ... under a random name, which is written to `name`. */
static int
create_invented(struct create *create, char name[INVENTED_SIZE])
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct mpq_why why = { 0 };
	int err = MPQ_EXISTS;

	for (int i = 0; err == MPQ_EXISTS && i < TRIES; i++) {
		size_t n = strlen(strcpy(name, "q."));
		unsigned char chance[12];

		if (getentropy(chance, sizeof chance) == -1)
			return cli_fail(&create->cli, "random number", -errno, NULL);
		for (size_t k = 0; k < sizeof chance; k++)
			name[n++] = letters[chance[k] % (sizeof letters - 1)];
		name[n] = '\0';
		err = mpq_create(&create->cli.place, name, &create->bounds, &why);
	}
	create->made = err == MPQ_OK;
	return cli_fail(&create->cli, name, err, &why);
}

static int
print(const struct create *create, struct io *io, const char *name)
{
	if (create->bounds.kind != MPQ_QUEUE)
		return dprintf(io->out, "%s@1\n%s@2\n", name, name);
	return create->cli.noperands == 0 ? dprintf(io->out, "%s\n", name) : 0;
}

/* A queue whose invented name was not printed goes again, since nobody knows it; a signal waits until that is done, the
 * one of a reader that has gone too. */
int
create_print(struct create *create, struct io *io)
{
	bool invent = create->cli.noperands == 0;
	char invented[INVENTED_SIZE] = "";
	const char *name = invent ? invented : create->cli.operands[0];
	int r, err;

	if (invent)
		signals_catch();
	r = invent ? create_invented(create, invented) : create_named(create, name);
	if (r == ST_OK && print(create, io, name) < 0) {
		err = errno;
		if (invent)
			mpq_remove(&create->cli.place, name, 0, NULL);
		signals_die();
		warnc(err, "%s: standard output", name);
		create->made = create->made && !invent;
		r = ST_ERROR;
	}
	signals_die();
	return cli_count(&create->cli, name, create->made, "created", r);
}
