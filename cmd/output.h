/* SPDX-License-Identifier: ISC
 *
 * output.h - runs of messages to a descriptor, in any framing.
 */
#ifndef MPQ_OUTPUT_H
#define MPQ_OUTPUT_H

#include "cli.h"

struct output {
	int fd;
	int framing;                 /* enum mpq_framing, or RAW */
	bool is_pipe;
	bool at_once;                /* a write does not wait for anybody: a file, /dev/null */
	size_t pipe_size;            /* 0: not asked for yet */
};

void output_begin(struct output *out, int fd, int framing);

/* Wait until it takes bytes, and say about how many (with `most` 1 that is enough of an answer): so that no more messages
 * are taken than can be written. 0: a signal came. Signals that are held (signals_hold) are caught before this waits. */
size_t output_room(struct output *out, size_t most);

/* Write a run; held signals are caught before this waits. How many messages were written whole, and how many bytes of
 * the run they are, whatever happens. 0, or -errno; -EINTR: a signal was noted. */
int output_run(const struct output *out, struct mpq *q, const struct mpq_run *run, uint64_t *msgs, uint64_t *bytes);

#endif
