/* SPDX-License-Identifier: ISC
 *
 * trials.h - the frame of ops.c and pause.c, which try something at each of many points: processes that do so in worlds
 * of their own, what was late tried again, and faults counted for all of them.
 */
#ifndef TRIALS_H
#define TRIALS_H

#include "step.h"
#include "world.h"

/* Shared by the workers, and emptied by the program before it begins with another scene or pair. */
extern struct trouble {
	uint64_t faults, late;
	char fault[3 * TEXT];        /* the first */
} *trouble;

extern bool longer;                  /* the long form */

/* The first thing in main, and the last but for tap_end(). The former returns the part of a name that is asked for, or
 * NULL: all. */
const char *trials_begin(int argc, char **argv);
void trials_end(void);

__attribute__((format(printf, 1, 2))) void fault(const char *format, ...);

/* Something was not done in time: a fault if it never is. A machine may be busy, a lost wake-up is lost each time. */
__attribute__((format(printf, 1, 2))) void late(const char *format, ...);

/* for (tries_begin(); tries_again();) what may call late() */
void tries_begin(void);
bool tries_again(void);
/* Was this try late? */
bool is_late(void);

/* A queue is built by another process in build(), which does not return; `dies`: it is killed. Was it built? */
bool build_elsewhere(void (*build)(void), bool dies);
/* The end of build(): call `how` (may be NULL), then die, or give the handle back and exit. */
_Noreturn void build_ends(struct mpq *q, void (*how)(struct mpq *q), bool dies);

/* Points of a pass that are tried by several workers at once, each in a world of its own. */
struct tour {
	const struct pass *pass;
	size_t step;                 /* every so many-th point */
	bool end;                    /* and the end of the act, with i = pass->n */
	int workers;
	void (*prepare)(void);       /* in each worker */
	void (*once)(const struct pass *pass, size_t i);
};
void go_round(const struct tour *tour);

#endif
