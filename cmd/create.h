/* SPDX-License-Identifier: ISC
 *
 * create.h - what mpq-create and mpq-pipe share: bounds, modes, invented names, and how they are printed.
 */
#ifndef MPQ_CREATE_H
#define MPQ_CREATE_H

#include "cli.h"

#define INVENTED_SIZE 24

struct create {
	struct cli cli;
	struct mpq_bounds bounds;
	bool exist_ok;
	bool made;                   /* it was not there before */
	const char *owner;           /* mpq-pipe -o */
};

/* The options -b, -e, -m, -M. */
int create_option(struct cli *cli, int letter, const char *value);

/* Make it, under the name that is the operand, else under an invented one, and print that, or its ends if it is a pipe. A
 * status, reported and counted. */
int create_print(struct create *create, struct io *io);

#endif
