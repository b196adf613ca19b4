/* SPDX-License-Identifier: ISC
 *
 * input.c - streams of messages into a queue: which reader takes which framing, and what they all need: reads and puts
 * that no signal ends, and the account of what has been read and is not in the queue, so that it can be given back. See
 * input_stream.h.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "input_stream.h"

ssize_t
stream_read(struct stream *s, void *to, size_t n)
{
	struct pollfd pfd = { .fd = s->in->fd, .events = POLLIN };
	ssize_t got;

	while ((got = read(s->in->fd, to, n)) == -1) {
		if (errno == EAGAIN)         /* somebody has made it non-blocking */
			poll(&pfd, 1, -1);
		else if (errno != EINTR) {
			s->in->error = errno;
			return -1;
		}
	}
	if (got == 0)
		s->eof = true;
	s->unread += (uint64_t)got;
	return got;
}

void
stream_put_bytes(struct stream *s, uint64_t bytes)
{
	s->unread -= bytes < s->unread ? bytes : s->unread;
}

int
stream_put(struct stream *s, const void *msg, size_t len, uint64_t bytes)
{
	mpq_time patience = s->in->patience;
	mpq_time deadline = patience == MPQ_NOW || patience == MPQ_FOREVER ? patience : mpq_now() + patience;
	int err;

	while ((err = mpq_put(s->in->q, msg, len, deadline)) == MPQ_INTR)
		;
	if (err == MPQ_OK) {
		s->in->put++;
		stream_put_bytes(s, bytes);
	}
	return err;
}

int
stream_commit(struct stream *s, uint64_t msgs, uint64_t bytes)
{
	uint64_t put, put_bytes;
	int err;

	do {                                 /* again if a signal handler ran: nothing is lost for that */
		err = mpq_writer_commit(&s->w, msgs, bytes, s->in->patience, &put, &put_bytes);
		s->in->put += put;
		stream_put_bytes(s, put_bytes);
		msgs -= put, bytes -= put_bytes;
	} while (err == MPQ_INTR);
	return err;
}

void
stream_writer(struct stream *s, enum mpq_framing framing)
{
	mpq_writer_init(&s->w, s->in->q, framing);
	s->w.patience = s->in->patience;
}

static int
read_all(struct stream *s, int framing)
{
	switch (framing) {
	case RAW:
		return stream_raw(s);
	case MPQ_LENGTHS:
		return stream_lengths(s);
	default:
		return stream_text(s, framing == MPQ_LINES ? '\n' : '\0');
	}
}

/* Common, so that it comes last: in the midst of the other variables it would tear apart the page that each start touches,
 * three page faults of 1 to 2 us for a put that reads nothing. */
unsigned char input_buffer[BUFFER] __attribute__((common, aligned(4096)));

int
input_all(struct input *in, int framing)
{
	struct stream s = { .in = in, .buf = input_buffer, .most = mpq_most_bytes(in->q) };
	int err;

	in->put = 0, in->error = 0;
	stream_writer(&s, (enum mpq_framing)framing);
	err = read_all(&s, framing);
	mpq_writer_reset(&s.w);
	if ((err != MPQ_OK || in->error != 0) && s.unread != 0)
		lseek(in->fd, -(off_t)s.unread, SEEK_CUR);   /* fails if it is not seekable */
	return err;
}
