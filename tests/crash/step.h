/* SPDX-License-Identifier: ISC
 *
 * step.h - a child process that runs at full speed up to a mark and is then stepped instruction by instruction, to be
 * killed or held up before any one of them.
 *
 * One pass of single steps records the points: (address, how often it was reached). A trial then either takes all the
 * steps again, or lets the child run to a breakpoint at the address until it has been hit so often: the same state of
 * the process before the same instruction, for a few system calls instead of thousands.
 */
#ifndef STEP_H
#define STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct play {
	void (*ready)(void *arg);    /* in the child, at full speed */
	void (*act)(void *arg);      /* in the child, stepped */
	void *arg;
};

struct point {
	uint64_t address;
	uint32_t hit;                /* the how many-th time that it is reached, from 1 */
	uint32_t inside;             /* steps into it: an instruction that repeats itself */
	uint64_t step;               /* steps from the mark */
	bool varies;                 /* inside the function of pass.varies: another run may not come by */
};

struct pass {
	struct point *point;         /* the first is the first instruction of the act */
	size_t n, room;
	uint32_t sparse;             /* take every so many-th step of an instruction that repeats itself; 0: 512 */
	const void *varies;          /* a function whose path, with all it calls, is not the same twice; or NULL */
};

enum end {
	STEP_ACTED,                  /* it came to the end of the act, and was killed there */
	STEP_KILLED,                 /* it was killed at the point */
	STEP_FAULT,                  /* a signal of its own ended it: SIGSEGV, SIGILL, ... */
	STEP_LATE,                   /* it did not get there in time */
	STEP_FAILED                  /* the tracing itself failed */
};

/* First thing in main: begins the program anew without address space randomisation, so that runs can be compared. */
void step_init(char **argv);
/* In each process that traces. */
void step_prepare(void);

/* A child and what is to become of it. `started` is called in the tracer when the child is at the mark; `blocked` once
 * if the child sleeps in a system call on its way. Both may be NULL. */
struct trial {
	const struct play *play;
	const struct point *point;   /* NULL: kill it at the end of the act */
	bool stepwise;               /* come to the point by single steps, not by a breakpoint */
	void (*started)(void *arg);
	void (*blocked)(void *arg, pid_t pid);
	void *arg;
};

/* Let the child come to the point, call `paused` while it stands there, and let it go on to the end of the act; with
 * point NULL it is called there. STEP_KILLED: the point was not reached, `paused` was called at the end. */
enum end step_pause(const struct trial *trial, void (*paused)(void *arg, pid_t pid));

/* Step through all of the act, record its points, and call `each` (may be NULL) after every step; then kill. */
enum end step_pass(const struct trial *trial, struct pass *pass, void (*each)(void *arg, pid_t pid), void *each_arg);

/* Kill the child before the instruction at the point. */
enum end step_trial(const struct trial *trial);

/* The signal that ended the last STEP_FAULT. */
int step_signal(void);
/* Single steps taken so far by this process. */
uint64_t step_count(void);

#endif
