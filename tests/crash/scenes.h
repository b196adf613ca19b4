/* SPDX-License-Identifier: ISC
 *
 * scenes.h - the operations that processes are killed in: what is there before, what is done, what may be left.
 */
#ifndef SCENES_H
#define SCENES_H

#include "world.h"

enum {
	REAL = 1,                    /* killed before each instruction, also in the short run */
	DEEP = 2,                    /* recovery from each of its images is killed too, also in the short run */
	NO_QUEUE = 4,                /* there is none at first */
	DIES = 8,                    /* who builds it is killed with what he has in hand */
	BARE = 16,                   /* the act opens no handle: create, remove */
	SAME = 32,                   /* nothing to be seen before or after */
	TWO = 64                     /* there is another queue, OTHER */
};
enum asleep { NOBODY, GETTER, PUTTER, JOINER, WATCHES_GET, WATCHES_PUT, WATCHES_JOIN };

struct scene {
	const char *name;
	void (*build)(struct mpq *q);        /* in another process, once; may be NULL */
	void (*ready)(struct mpq *q);        /* in the process that dies, before; may be NULL */
	int (*act)(struct mpq *q);           /* what it is killed in */
	const char *before, *after;          /* the judge's words */
	const char *between;                 /* what else may be left, of an act that is not one operation; may be NULL */
	unsigned flags;
	uint64_t maxsize;
	const char *end;                     /* it is a pipe, of which this end acts */

	/* With somebody asleep in another process, at a pipe's other end: */
	enum asleep asleep;
	bool (*acted)(const struct mpq_stat *st);   /* is the act done, by what the sleeper's handle says? NULL: removed */
	int told;                            /* what the sleeper is told then */
};

extern const struct scene scenes[];
extern const size_t nscenes;

#endif
