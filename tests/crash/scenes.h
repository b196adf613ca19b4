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
	SAME = 32                    /* nothing to be seen before or after */
};
enum asleep { NOBODY, GETTER, PUTTER, JOINER };

struct scene {
	const char *name;
	void (*build)(struct mpq *q);        /* in another process, once; may be NULL */
	void (*ready)(struct mpq *q);        /* in the process that dies, before; may be NULL */
	int (*act)(struct mpq *q);           /* what it is killed in */
	const char *before, *after;          /* the judge's words */
	unsigned flags;
	enum asleep asleep;                  /* who sleeps in another process */
	uint64_t maxsize;
	const char *end;                     /* of a pipe */
};

extern const struct scene scenes[];
extern const size_t nscenes;

#endif
