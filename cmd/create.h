/* SPDX-License-Identifier: ISC
 *
 * create.h - what mpq-create and mpq-pipe share: bounds, modes, invented names.
 */
#ifndef MPQ_CREATE_H
#define MPQ_CREATE_H

#include "cli.h"

#define INVENTED_SIZE 24

struct create {
	struct cli cli;
	struct mpq_bounds bounds;
	bool exist_ok;
	const char *owner;           /* mpq-pipe -o */
};

/* The options -b, -e, -m, -M. */
int create_option(struct cli *cli, int letter, const char *value);

/* Make it. A status, reported. */
int create_named(struct create *create, const char *name);
/* ... under a random name, which is written to `name`. */
int create_invented(struct create *create, char name[INVENTED_SIZE]);

#endif
