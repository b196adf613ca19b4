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
 * in the queue at once. If it cannot all be put, a seekable input is left at the first byte that was not. */
int input_text(struct input *in, int delimiter);     /* each message ends with it; the last one need not */
int input_raw(struct input *in);                     /* all of it is one message */
int input_lengths(struct input *in);                 /* each is preceded by its length */

#endif
