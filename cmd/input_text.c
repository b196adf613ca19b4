/* SPDX-License-Identifier: ISC
 *
 * input_text.c - a stream of messages that end with a delimiter, a newline or a NUL.
 *
 * From the first read that fills the buffer on, reads go straight into the queue. When such a stream pauses, what is
 * pending of a last message moves back to the private buffer, and the reservation is given up, unless it is long: a
 * producer that waits for its own input, perhaps for hours, keeps no memory of the queue.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "input_stream.h"

#define FEW 4u                       /* messages that are put one by one; more go as a run */

struct text {
	struct stream *s;
	int delimiter;
	bool direct;                 /* the buffer is empty, reads go to the writer */
};

/* How often the delimiter occurs: in blocks whose counts fit a byte, so that the compiler can use whole vectors. */
static uint64_t
count(const struct text *t, const unsigned char *p, size_t n)
{
	unsigned char c = (unsigned char)t->delimiter;
	uint64_t total = 0;

	while (n > 0) {
		size_t block = n < 255 * 32 ? n : 255 * 32, vectors = block / 32;
		unsigned char lanes[32] = { 0 };

		for (size_t i = 0; i < vectors; i++)
			for (size_t k = 0; k < 32; k++)
				lanes[k] = (unsigned char)(lanes[k] + (p[i * 32 + k] == c));
		for (size_t k = 0; k < 32; k++)
			total += lanes[k];
		for (size_t i = vectors * 32; i < block; i++)
			total += p[i] == c;
		p += block, n -= block;
	}
	return total;
}

/* ---- buffered -------------------------------------------------------------------------------------------- */

static int
put_singly(struct text *t, size_t bytes)
{
	const unsigned char *p = t->s->buf, *end = p + bytes, *hit;
	int err = MPQ_OK;

	for (; p < end && err == MPQ_OK; p = hit + 1) {
		hit = memchr(p, t->delimiter, (size_t)(end - p));
		err = stream_put(t->s, p, (size_t)(hit - p), (uint64_t)(hit - p) + 1);
	}
	return err;
}

/* Put the whole messages in the buffer, `bytes` long; what is left of it moves to the front. */
static int
put_buffer(struct text *t, size_t bytes)
{
	struct stream *s = t->s;
	uint64_t msgs = count(t, s->buf, bytes);
	int err = MPQ_OK;

	if (msgs > FEW && (err = mpq_writer_append(&s->w, s->buf, bytes)) == MPQ_OK)
		err = stream_commit(s, msgs, bytes);
	if (err == -ENOSPC || !t->direct)
		mpq_writer_reset(&s->w);
	if (msgs <= FEW || err == -ENOSPC)   /* no room for a reservation: the last free pages take them singly */
		err = put_singly(t, bytes);
	if (err == MPQ_OK) {
		memmove(s->buf, s->buf + bytes, s->have - bytes);
		s->have -= bytes;
	}
	return err;
}

/* The buffer is full: from here on, straight into the queue. */
static int
go_direct(struct text *t)
{
	int err = mpq_writer_append(&t->s->w, t->s->buf, t->s->have);

	t->s->have = 0;
	t->direct = true;
	return err;
}

static int
read_buffered(struct text *t)
{
	struct stream *s = t->s;
	size_t before = s->have;
	ssize_t n = stream_read(s, s->buf + before, BUFFER - before);
	const unsigned char *last;
	bool full;
	int err;

	if (n <= 0)
		return MPQ_OK;
	s->have += (size_t)n;
	full = s->have == BUFFER;
	last = memrchr(s->buf + before, t->delimiter, (size_t)n);
	if (last != NULL) {
		t->direct = full;            /* the writer is not given up after this */
		if ((err = put_buffer(t, (size_t)(last - s->buf) + 1)) != MPQ_OK)
			return err;
	}
	if (s->have > s->most)
		return MPQ_TOOBIG;
	return full ? go_direct(t) : MPQ_OK;
}

/* ---- direct ---------------------------------------------------------------------------------------------- */

/* A stream that pauses gives its reservation up, if what it has of a message fits the buffer. */
static bool
pauses(const struct stream *s)
{
	struct pollfd pfd = { .fd = s->in->fd, .events = POLLIN };

	return s->w.pending < BUFFER / 2 && poll(&pfd, 1, 0) == 0;
}

static void
go_buffered(struct text *t)
{
	struct stream *s = t->s;

	s->have = (size_t)s->w.pending;
	mpq_writer_peek(&s->w, 0, s->buf, s->have);
	mpq_writer_reset(&s->w);
	t->direct = false;
}

static int
read_direct(struct text *t)
{
	struct stream *s = t->s;
	uint64_t before = s->w.pending;
	const unsigned char *last;
	void *space;
	size_t room;
	ssize_t n;
	int err;

	if (before > s->most)
		return MPQ_TOOBIG;
	if (pauses(s)) {
		go_buffered(t);
		return MPQ_OK;
	}
	if ((err = mpq_writer_space(&s->w, &space, &room)) != MPQ_OK)
		return err;
	if ((n = stream_read(s, space, room)) <= 0)
		return MPQ_OK;
	mpq_writer_fill(&s->w, (size_t)n);
	if ((last = memrchr(space, t->delimiter, (size_t)n)) == NULL)
		return MPQ_OK;
	room = (size_t)(last - (unsigned char *)space) + 1;
	return stream_commit(s, count(t, space, room), before + room);
}

/* ---- all ------------------------------------------------------------------------------------------------- */

/* The end: a last message without delimiter counts. */
static int
put_last(struct text *t)
{
	struct stream *s = t->s;
	unsigned char delimiter = (unsigned char)t->delimiter;
	int err;

	if (s->have != 0)
		return stream_put(s, s->buf, s->have, s->have);
	if (s->w.pending == 0)
		return MPQ_OK;
	if ((err = mpq_writer_append(&s->w, &delimiter, 1)) != MPQ_OK)
		return err;
	return stream_commit(s, 1, s->w.pending);
}

int
stream_text(struct stream *s, int delimiter)
{
	struct text t = { .s = s, .delimiter = delimiter };
	int err = MPQ_OK;

	while (err == MPQ_OK && !s->eof && s->in->error == 0)
		err = t.direct ? read_direct(&t) : read_buffered(&t);
	return err == MPQ_OK && s->eof ? put_last(&t) : err;
}
