/* SPDX-License-Identifier: ISC
 *
 * channel.h - what is measured: something that carries messages from one process to another. One file for each kind
 * provides these functions; driver.c does the same things with all of them. A failure ends the process, with a word
 * on standard error: a benchmark that goes on without its messages measures nothing.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stddef.h>
#include <time.h>

#define CHANNELS 2

extern const char *const channel_usage;      /* lines of what channel_extra can do, or "" */
extern const size_t channel_limit;           /* the longest message */

/* Called once, before any process is forked: channels 0 and 1, for messages of `size` bytes. */
void channel_make(size_t size);

/* Called in each process that puts or gets. */
void channel_open(void);

void channel_put(int channel, const void *message, size_t size);

/* Waits for a message of `size` bytes and gets it. */
void channel_get(int channel, void *message, size_t size);

/* The same for at least one message; how many it got. */
unsigned channel_take(int channel, void *message, size_t size);

/* Called once, after all other processes have ended. */
void channel_remove(void);

/* What only this kind can do: argv[1] and on. -1: it is not that. */
int channel_extra(int argc, char **argv);

/* ---- clock.c: for all programs here ------------------------------------------------------------------------ */

struct figures {
	double wall, cpu;                    /* seconds */
};

double read_clock(clockid_t clock);           /* seconds */
void begin(struct figures *f);
void end(struct figures *f);                 /* since begin; of this process and its children that were waited for */
void report(unsigned long n, const struct figures *f);
unsigned long number(const char *text, unsigned long min, unsigned long max);
void fail(const char *what, const char *why) __attribute__((noreturn));

#endif
