/* SPDX-License-Identifier: ISC
 *
 * input.h - a stream of messages from a descriptor into a queue.
 */
#ifndef MPQ_INPUT_H
#define MPQ_INPUT_H

#include "cli.h"

struct input {
	int fd;
	struct mpq *q;
	mpq_time patience;
	uint64_t put;                /* messages put so far */
	int error;                   /* errno of a failed read, or EBADMSG: it ended inside a message */
};

/* Put all that comes until the end. 0, a code of mpq, or -errno of the queue; or in->error is set. What has been read is
 * in the queue at once. If it cannot all be put, a seekable input is left at the first byte that was not.
 * `framing` is one of enum mpq_framing: of messages that end with a newline or a NUL the last one may lack it; with RAW
 * all of it is one message. */
int input_all(struct input *in, int framing);

#endif
