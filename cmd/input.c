/* SPDX-License-Identifier: ISC
 *
 * input.c - streams of messages into a queue.
 *
 * Two ways of reading. A slow or small stream is read into a private buffer, so that an idle producer reserves nothing,
 * and a few messages go into the queue's tail. As soon as a read fills the buffer, reads go straight into memory
 * reserved in the queue, where the messages are counted and linked as a run; that is one copy, by the kernel, and some
 * tens of nanoseconds under the lock for thousands of messages. When such a stream pauses, what is pending of a last
 * message moves back to the private buffer, and the reservation is given up, unless it is long.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

#define BUFFER 65536u
#define FEW 4u                       /* messages that are put one by one; more go as a run */

struct stream {
	struct input *in;
	struct mpq_writer w;
	int delimiter;
	bool direct, eof;
	size_t have;                 /* bytes in the buffer */
	uint64_t unread;             /* bytes that were read and not put */
	unsigned char *buf;
};

/* ---- counting -------------------------------------------------------------------------------------------- */

/* How often `c` occurs: in blocks whose counts fit a byte, so that the compiler can use whole vectors. */
static uint64_t
count_byte(const unsigned char *p, size_t n, unsigned char c)
{
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

/* ---- shared by all streams ------------------------------------------------------------------------------- */

static ssize_t
read_some(struct stream *s, void *to, size_t n)
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

static int
commit(struct stream *s, uint64_t msgs, uint64_t bytes)
{
	uint64_t put, put_bytes;
	int err;

	do {                                 /* again if a signal handler ran: nothing is lost for that */
		err = mpq_writer_commit(&s->w, msgs, bytes, s->in->patience, &put, &put_bytes);
		s->in->put += put;
		s->unread -= put_bytes < s->unread ? put_bytes : s->unread;
		msgs -= put, bytes -= put_bytes;
	} while (err == MPQ_INTR);
	return err;
}

static mpq_time
deadline(const struct input *in)
{
	return in->patience == MPQ_NOW || in->patience == MPQ_FOREVER ? in->patience : mpq_now() + in->patience;
}

static int
put_message(struct stream *s, const void *msg, size_t len)
{
	mpq_time until = deadline(s->in);
	int err;

	while ((err = mpq_put(s->in->q, msg, len, until)) == MPQ_INTR)
		;
	return err;
}

/* Something could not be put: a seekable input goes back to it. */
static void
give_back(struct stream *s)
{
	if (s->unread != 0)
		lseek(s->in->fd, -(off_t)s->unread, SEEK_CUR);
}

static void
stream_begin(struct stream *s, struct input *in, enum mpq_framing framing)
{
	static unsigned char buffer[BUFFER] __attribute__((aligned(4096)));

	*s = (struct stream){ .in = in, .buf = buffer };
	in->put = 0, in->error = 0;
	mpq_writer_init(&s->w, in->q, framing);
	s->w.patience = in->patience;
}

static int
stream_end(struct stream *s, int err)
{
	mpq_writer_reset(&s->w);
	if (err != MPQ_OK || s->in->error != 0)
		give_back(s);
	return err;
}

/* ---- lines and NULs -------------------------------------------------------------------------------------- */

/* Put the whole messages in the buffer, `bytes` long; what is left of it moves to the front. */
static int
put_buffer(struct stream *s, uint64_t msgs, size_t bytes)
{
	const unsigned char *p = s->buf, *end = s->buf + bytes, *hit;
	int err = MPQ_OK;

	if (msgs > FEW && (err = mpq_writer_append(&s->w, s->buf, bytes)) == MPQ_OK)
		err = commit(s, msgs, bytes);
	if (err == -ENOSPC || !s->direct)
		mpq_writer_reset(&s->w);
	if (msgs <= FEW || err == -ENOSPC)   /* no room for a reservation: the last free pages take them singly */
		for (err = MPQ_OK; p < end && err == MPQ_OK; p = hit + 1) {
			hit = memchr(p, s->delimiter, (size_t)(end - p));
			if ((err = put_message(s, p, (size_t)(hit - p))) == MPQ_OK) {
				s->in->put++;
				s->unread -= (uint64_t)(hit - p) + 1;
			}
		}
	if (err == MPQ_OK) {
		memmove(s->buf, s->buf + bytes, s->have - bytes);
		s->have -= bytes;
	}
	return err;
}

/* The buffer is full: from here on, straight into the queue. */
static int
go_direct(struct stream *s)
{
	int err = mpq_writer_append(&s->w, s->buf, s->have);

	s->have = 0;
	s->direct = true;
	return err;
}

static int
read_buffered(struct stream *s)
{
	size_t before = s->have;
	ssize_t n = read_some(s, s->buf + s->have, BUFFER - s->have);
	const unsigned char *last;
	bool full;
	int err;

	if (n <= 0)
		return MPQ_OK;
	s->have += (size_t)n;
	full = s->have == BUFFER;
	last = memrchr(s->buf + before, s->delimiter, (size_t)n);
	if (last != NULL) {
		size_t bytes = (size_t)(last - s->buf) + 1;

		s->direct = full;            /* the writer is not given up after this */
		if ((err = put_buffer(s, count_byte(s->buf, bytes, (unsigned char)s->delimiter), bytes)) != MPQ_OK)
			return err;
	}
	return full ? go_direct(s) : MPQ_OK;
}

/* A stream that pauses gives its reservation up, if what it has of a message fits the buffer. */
static bool
pauses(struct stream *s)
{
	struct pollfd pfd = { .fd = s->in->fd, .events = POLLIN };

	return s->w.pending < BUFFER / 2 && poll(&pfd, 1, 0) == 0;
}

static int
read_direct(struct stream *s)
{
	uint64_t before = s->w.pending;
	unsigned char *to;
	const unsigned char *last;
	void *space;
	size_t room;
	ssize_t n;
	int err;

	if (pauses(s)) {
		s->have = (size_t)before;
		mpq_writer_peek(&s->w, 0, s->buf, s->have);
		mpq_writer_reset(&s->w);
		s->direct = false;
		return MPQ_OK;
	}
	if ((err = mpq_writer_space(&s->w, &space, &room)) != MPQ_OK)
		return err;
	to = space;
	if ((n = read_some(s, to, room)) <= 0)
		return MPQ_OK;
	mpq_writer_fill(&s->w, (size_t)n);
	if ((last = memrchr(to, s->delimiter, (size_t)n)) == NULL)
		return MPQ_OK;
	room = (size_t)(last - to) + 1;
	return commit(s, count_byte(to, room, (unsigned char)s->delimiter), before + room);
}

/* The end: a last message without delimiter counts. */
static int
put_last(struct stream *s)
{
	unsigned char delimiter = (unsigned char)s->delimiter;
	int err;

	if (s->have != 0) {
		if ((err = put_message(s, s->buf, s->have)) == MPQ_OK)
			s->in->put++, s->unread = 0;
		return err;
	}
	if (s->w.pending == 0)
		return MPQ_OK;
	if ((err = mpq_writer_append(&s->w, &delimiter, 1)) != MPQ_OK)
		return err;
	return commit(s, 1, s->w.pending);
}

int
input_text(struct input *in, int delimiter)
{
	struct stream s;
	int err = MPQ_OK;

	stream_begin(&s, in, delimiter == '\n' ? MPQ_LINES : MPQ_NULS);
	s.delimiter = delimiter;
	while (err == MPQ_OK && !s.eof && in->error == 0)
		err = s.direct ? read_direct(&s) : read_buffered(&s);
	if (err == MPQ_OK && s.eof)
		err = put_last(&s);
	return stream_end(&s, err);
}

/* ---- raw ------------------------------------------------------------------------------------------------- */

int
input_raw(struct input *in)
{
	struct stream s;
	void *space;
	size_t room;
	ssize_t n;
	int err = MPQ_OK;

	stream_begin(&s, in, MPQ_BARE);
	while (s.have < BUFFER && (n = read_some(&s, s.buf + s.have, BUFFER - s.have)) > 0)
		s.have += (size_t)n;
	if (s.eof) {
		if ((err = put_message(&s, s.buf, s.have)) == MPQ_OK)
			in->put = 1;
		return stream_end(&s, err);
	}
	err = mpq_writer_append(&s.w, s.buf, s.have);
	while (err == MPQ_OK && !s.eof && in->error == 0) {
		if ((err = mpq_writer_space(&s.w, &space, &room)) == MPQ_OK && (n = read_some(&s, space, room)) > 0)
			mpq_writer_fill(&s.w, (size_t)n);
	}
	if (err == MPQ_OK && in->error == 0)
		err = commit(&s, 1, s.w.pending);
	return stream_end(&s, err);
}

/* ---- lengths --------------------------------------------------------------------------------------------- */

/* Where a reader of the framing is. */
struct lengths {
	struct stream s;
	size_t at;                   /* bytes of the buffer that are consumed */
};

/* The next `n` bytes into `to`: from the buffer, then from the descriptor. How many there were. */
static size_t
pull(struct lengths *l, unsigned char *to, size_t n)
{
	size_t done = 0;

	while (done < n && l->s.in->error == 0) {
		size_t here = l->s.have - l->at;
		ssize_t got;

		if (here > 0) {
			here = here < n - done ? here : n - done;
			memcpy(to + done, l->s.buf + l->at, here);
			l->at += here, done += here;
			continue;
		}
		l->at = l->s.have = 0;
		got = n - done >= BUFFER ? read_some(&l->s, to + done, n - done) : read_some(&l->s, l->s.buf, BUFFER);
		if (got <= 0)
			break;
		if (n - done >= BUFFER)
			done += (size_t)got;
		else
			l->s.have = (size_t)got;
	}
	return done;
}

static uint64_t
big_endian(const unsigned char *p, int n)
{
	uint64_t value = 0;

	while (n-- > 0)
		value = value << 8 | *p++;
	return value;
}

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
	const unsigned char *begin = l->s.buf + l->at, *p = begin;
	size_t left = l->s.have - l->at, n;
	uint64_t msgs = 0;

	for (; left >= 4; msgs++) {
		if ((n = length_at(p)) > left - 4)   /* not whole, or it announces a long length */
			break;
		p += n + 4, left -= n + 4;
	}
	*bytes = (size_t)(p - begin);
	return msgs;
}

/* Those go as they are, in one run. */
static int
put_whole(struct lengths *l, uint64_t msgs, size_t bytes)
{
	int err = mpq_writer_append(&l->s.w, l->s.buf + l->at, bytes);

	if (err == MPQ_OK)
		err = commit(&l->s, msgs, bytes);
	l->at += bytes;
	if (l->s.have - l->at < BUFFER / 2)
		mpq_writer_reset(&l->s.w);
	return err;
}

/* One that is not whole in the buffer, or has a long length: header, then bytes, into the queue as they come. *end: the
 * stream ended where a message might have begun. */
static int
put_one(struct lengths *l, bool *end)
{
	unsigned char head[12];
	size_t nhead = pull(l, head, 4), room;
	uint64_t length, left;
	bool bare;
	void *space;
	int err = MPQ_OK;

	if ((*end = nhead == 0) || l->s.in->error != 0)
		return MPQ_OK;
	if (nhead == 4 && big_endian(head, 4) == UINT32_MAX)
		nhead += pull(l, head + 4, 8);
	length = nhead == 12 ? big_endian(head + 4, 8) : big_endian(head, 4);
	if ((nhead != 4 && nhead != 12) || (nhead == 4 && length > INT32_MAX) || length > INT64_MAX) {
		l->s.in->error = EBADMSG;
		return MPQ_OK;
	}
	mpq_writer_reset(&l->s.w);
	bare = length > INT32_MAX;
	mpq_writer_init(&l->s.w, l->s.in->q, bare ? MPQ_BARE : MPQ_LENGTHS);
	l->s.w.patience = l->s.in->patience;
	for (int i = 0; i < 4; i++)
		head[i] = (unsigned char)(length >> (24 - 8 * i));
	if (!bare)
		err = mpq_writer_append(&l->s.w, head, 4);
	for (left = length; left > 0 && err == MPQ_OK;) {
		size_t n;

		if ((err = mpq_writer_space(&l->s.w, &space, &room)) != MPQ_OK)
			break;
		n = pull(l, space, room < left ? room : (size_t)left);
		mpq_writer_fill(&l->s.w, n);
		left -= n;
		if (n == 0 || l->s.in->error != 0)
			break;
	}
	if (err == MPQ_OK && left > 0 && l->s.in->error == 0)
		l->s.in->error = EBADMSG;
	if (err == MPQ_OK && l->s.in->error == 0) {
		uint64_t extra = nhead - (bare ? 0 : 4);     /* bytes of the header that are not stored */

		if ((err = commit(&l->s, 1, l->s.w.pending)) == MPQ_OK)
			l->s.unread -= extra < l->s.unread ? extra : l->s.unread;
	}
	mpq_writer_reset(&l->s.w);
	mpq_writer_init(&l->s.w, l->s.in->q, MPQ_LENGTHS);
	l->s.w.patience = l->s.in->patience;
	return err;
}

int
input_lengths(struct input *in)
{
	struct lengths l = { .at = 0 };
	bool end = false;
	int err = MPQ_OK;

	stream_begin(&l.s, in, MPQ_LENGTHS);
	while (err == MPQ_OK && !end && in->error == 0) {
		size_t bytes = 0;
		uint64_t msgs = whole_messages(&l, &bytes);

		if (msgs > 0)
			err = put_whole(&l, msgs, bytes);
		else
			err = put_one(&l, &end);
	}
	return stream_end(&l.s, err);
}
