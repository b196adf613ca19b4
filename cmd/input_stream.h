/* SPDX-License-Identifier: ISC
 *
 * input_stream.h - what the readers of input.h's framings share. Only cmd/input*.c know it.
 *
 * Two ways of reading. A slow or small stream is read into a private buffer, so that an idle producer reserves nothing,
 * and a few messages go into the queue's tail. As soon as there is more than the buffer takes, reads go straight into
 * memory reserved in the queue, where the messages are counted and linked as a run; that is one copy, by the kernel, and
 * some tens of nanoseconds under the lock for thousands of messages. Each framing has its own way from one to the other.
 */
#ifndef MPQ_INPUT_STREAM_H
#define MPQ_INPUT_STREAM_H

#include <sys/types.h>

#include "input.h"

#define BUFFER 65536u

struct stream {
	struct input *in;
	struct mpq_writer w;
	bool eof;
	unsigned char *buf;
	size_t have;                 /* bytes in the buffer */
	uint64_t unread;             /* bytes that were read and not put: to be given back if there is an error */
	uint64_t most;               /* bytes of a message that can ever fit: who has read more of one need not read on */
};

/* Read what comes, n bytes at most. 0: the end, s->eof is set; -1: s->in->error is. */
ssize_t stream_read(struct stream *s, void *to, size_t n);

/* So many of the bytes read are in the queue. For those that the next two do not know of. */
void stream_put_bytes(struct stream *s, uint64_t bytes);

/* Put one message, which was `bytes` long in the stream. */
int stream_put(struct stream *s, const void *msg, size_t len, uint64_t bytes);

/* Put the first messages of what is pending with the writer: so many, so long with their framing. */
int stream_commit(struct stream *s, uint64_t msgs, uint64_t bytes);

/* Begin with a writer of this framing; one that there was has been reset. */
void stream_writer(struct stream *s, enum mpq_framing framing);

/* All of the stream, by its framing: input_text.c, input_raw.c, input_length.c. What is returned is input_all's result. */
int stream_text(struct stream *s, int delimiter);
int stream_raw(struct stream *s);
int stream_lengths(struct stream *s);

#endif
