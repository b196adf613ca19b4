/* SPDX-License-Identifier: ISC
 *
 * input_length.c - a stream of messages, each preceded by its length.
 *
 * The length is 4 bytes, big-endian, at most 0x7fffffff, which is how the queue stores a run of them; or 0xffffffff and
 * then 8 bytes, which it does not store. So ordinary messages that are whole in the buffer go as they are, in one run.
 * Any other one goes by itself, its bytes into the queue as they come, since it may be longer than any buffer; nobody
 * sees it before it is whole.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "input_stream.h"

#define HEADER 4u                    /* bytes of a header with an ordinary length, and with a long one */
#define LONG_HEADER 12u

/* Where a reader of the framing is. */
struct lengths {
	struct stream *s;
	size_t at;                   /* bytes of the buffer that are consumed */
};

/* ---- messages that are whole in the buffer --------------------------------------------------------------- */

/* One load and one swap: the way from message to message is what a stream of short ones waits for. */
static inline uint32_t
length_at(const unsigned char *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof n);
	return be32toh(n);
}

/* Whole messages of the ordinary form at the front of the buffer: how many, how long. */
static uint64_t
whole_messages(const struct lengths *l, size_t *bytes)
{
	const unsigned char *begin = l->s->buf + l->at, *p = begin;
	size_t left = l->s->have - l->at, n;
	uint64_t msgs = 0;

	for (; left >= HEADER; msgs++) {
		if ((n = length_at(p)) > left - HEADER)       /* not whole, or it announces a long length */
			break;
		p += n + HEADER, left -= n + HEADER;
	}
	*bytes = (size_t)(p - begin);
	return msgs;
}

/* Those go as they are, in one run. */
static int
put_whole(struct lengths *l, uint64_t msgs, size_t bytes)
{
	struct stream *s = l->s;
	int err = mpq_writer_append(&s->w, s->buf + l->at, bytes);

	if (err == MPQ_OK)
		err = stream_commit(s, msgs, bytes);
	l->at += bytes;
	if (s->have - l->at < BUFFER / 2)
		mpq_writer_reset(&s->w);
	return err;
}

/* ---- others ---------------------------------------------------------------------------------------------- */

/* The next `n` bytes into `to`: from the buffer, then from the descriptor. How many there were. */
static size_t
pull(struct lengths *l, unsigned char *to, size_t n)
{
	struct stream *s = l->s;
	size_t done = 0;

	while (done < n && s->in->error == 0) {
		size_t here = s->have - l->at;
		ssize_t got;

		if (here > 0) {
			here = here < n - done ? here : n - done;
			memcpy(to + done, s->buf + l->at, here);
			l->at += here, done += here;
			continue;
		}
		l->at = s->have = 0;
		got = n - done >= BUFFER ? stream_read(s, to + done, n - done) : stream_read(s, s->buf, BUFFER);
		if (got <= 0)
			break;
		if (n - done >= BUFFER)
			done += (size_t)got;
		else
			s->have = (size_t)got;
	}
	return done;
}

/* The next header: the length in it, and its own, which is 0 if the stream has ended where a message might have begun.
 * If it is cut short or not valid, s->in->error is set. */
static size_t
pull_header(struct lengths *l, uint64_t *length)
{
	unsigned char head[LONG_HEADER] = { 0 };
	size_t n = pull(l, head, HEADER);
	bool valid = n == HEADER;

	if (n == 0 || l->s->in->error != 0)
		return n;
	if (valid && length_at(head) == UINT32_MAX) {
		n += pull(l, head + HEADER, LONG_HEADER - HEADER);
		*length = (uint64_t)length_at(head + HEADER) << 32 | length_at(head + HEADER + 4);
		valid = n == LONG_HEADER && *length <= INT64_MAX;
	} else if (valid) {
		*length = length_at(head);
		valid = *length <= INT32_MAX;
	}
	if (!valid && l->s->in->error == 0)
		l->s->in->error = EBADMSG;
	return n;
}

/* The `left` bytes of a message, into the queue as they come. If they do not all come, s->in->error is set. */
static int
append_body(struct lengths *l, uint64_t left)
{
	struct stream *s = l->s;
	void *space;
	size_t room, n;
	int err;

	while (left > 0) {
		if ((err = mpq_writer_space(&s->w, &space, &room)) != MPQ_OK)
			return err;
		n = pull(l, space, room < left ? room : (size_t)left);
		mpq_writer_fill(&s->w, n);
		left -= n;
		if (s->in->error == 0 && n == 0)
			s->in->error = EBADMSG;
		if (s->in->error != 0)
			break;
	}
	return MPQ_OK;
}

static void
restart(struct stream *s, enum mpq_framing framing)
{
	mpq_writer_reset(&s->w);
	stream_writer(s, framing);
}

/* One that is not whole in the buffer, or has a long length. *end: there is none. */
static int
put_one(struct lengths *l, bool *end)
{
	struct stream *s = l->s;
	uint64_t length = 0;
	size_t header = pull_header(l, &length), stored;
	uint32_t head = htobe32((uint32_t)length);
	int err = MPQ_OK;

	if ((*end = header == 0) || s->in->error != 0)
		return MPQ_OK;
	if (length > s->most)
		return MPQ_TOOBIG;
	stored = length > INT32_MAX ? 0 : sizeof head;
	restart(s, stored == 0 ? MPQ_BARE : MPQ_LENGTHS);
	if (stored != 0)
		err = mpq_writer_append(&s->w, &head, stored);
	if (err == MPQ_OK)
		err = append_body(l, length);
	if (err == MPQ_OK && s->in->error == 0 && (err = stream_commit(s, 1, s->w.pending)) == MPQ_OK)
		stream_put_bytes(s, header - stored);
	restart(s, MPQ_LENGTHS);
	return err;
}

int
stream_lengths(struct stream *s)
{
	struct lengths l = { .s = s };
	bool end = false;
	int err = MPQ_OK;

	while (err == MPQ_OK && !end && s->in->error == 0) {
		size_t bytes;
		uint64_t msgs = whole_messages(&l, &bytes);

		err = msgs > 0 ? put_whole(&l, msgs, bytes) : put_one(&l, &end);
	}
	return err;
}
