/* SPDX-License-Identifier: ISC
 *
 * show.h - the keys and values of a queue or end, as mpq-stat and mpq-ls show them.
 */
#ifndef MPQ_SHOW_H
#define MPQ_SHOW_H

#include <stdio.h>

#include "cli.h"

enum { KEY_NAME, KEY_KIND, KEY_STATE, KEY_SIZE, KEY_BYTES, KEY_HELD, KEY_UNFINISHED, KEY_MAXSIZE, KEY_MAXBYTES, KEY_PUTS,
	KEY_GETS, KEY_DONES, KEY_GETTERS, KEY_PUTTERS, KEY_MEMORY, KEY_MODE, KEY_OWNER, KEY_CREATED, KEYS };

/* In the order of the contract. */
extern const char *const show_keys[KEYS];

struct show {
	char value[KEYS][MPQ_NAME_MAX + 8];      /* "" where there is no such key */
	int status;                              /* why it has fewer keys, else ST_OK */
	int code;                                /* ... as mpq has it, for cli_fail */
	struct mpq_why why;
	struct mpq_stat st;
};

/* Look at NAME or an end of it. ST_OK, also for what is damaged or denied; or a status that was reported. `whole`: a
 * pipe's bare name is welcome. */
int show_fill(const struct cli *cli, const char *name, bool whole, struct show *show);

/* As a JSON object, without newline. */
void show_json(const struct show *show, FILE *out);

#endif
