/* SPDX-License-Identifier: ISC
 *
 * input_raw.c - a stream that is one message.
 *
 * It is in the queue when the stream has ended, not before: if the end is a read error, nothing is put. What fits the
 * buffer is put as any small message; more is read straight into the queue.
 */
#include "input_stream.h"

int
stream_raw(struct stream *s)
{
	void *space;
	size_t room;
	ssize_t n;
	int err;

	while (s->have < BUFFER && s->have <= s->most &&
	    (n = stream_read(s, s->buf + s->have, BUFFER - s->have)) > 0)
		s->have += (size_t)n;
	if (s->eof)
		return stream_put(s, s->buf, s->have, s->have);
	if (s->have > s->most)
		return MPQ_TOOBIG;
	err = mpq_writer_append(&s->w, s->buf, s->have);
	while (err == MPQ_OK && !s->eof && s->in->error == 0) {
		if (s->w.pending > s->most)
			err = MPQ_TOOBIG;
		else if ((err = mpq_writer_space(&s->w, &space, &room)) == MPQ_OK && (n = stream_read(s, space, room)) > 0)
			mpq_writer_fill(&s->w, (size_t)n);
	}
	if (err == MPQ_OK && s->in->error == 0)
		err = stream_commit(s, 1, s->w.pending);
	return err;
}
