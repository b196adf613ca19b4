/* SPDX-License-Identifier: ISC
 *
 * output.c - runs of messages to a descriptor.
 *
 * If the queue keeps them in the framing that is wanted, the bytes are written as they lie in shared memory, nothing is
 * copied or parsed, and only what a short write accepted is counted. Else each message is framed anew: through a
 * buffer, with a note of where each message ends in it, or straight from the queue if it is long.
 *
 * What counts is what write(2) has accepted. Closing is not checked: descriptor 1 is not ours to close.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "output.h"
#include "signals.h"

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8                 /* linux/fs.h; older C libraries lack it */
#endif
#define MEM_MAJOR 1                  /* /dev/null and its like */
#define PIECES 64                    /* chunks in one writev: 4 MiB */
#define ROOM_FILE ((size_t)1 << 20)  /* what a file or terminal is given at a time */
#define BUFFER 65536
#define ENDS 8192                    /* messages in a buffer */

void
output_begin(struct output *out, int fd, int framing)
{
	struct stat st;

	*out = (struct output){ .fd = fd, .framing = framing };
	if (fstat(fd, &st) == -1)
		return;
	out->is_pipe = S_ISFIFO(st.st_mode);
	out->at_once = S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && major(st.st_rdev) == MEM_MAJOR);
	if (S_ISREG(st.st_mode))
		cli_speaks();
}

size_t
output_room(struct output *out, size_t most)
{
	struct pollfd pfd = { .fd = out->fd, .events = POLLOUT };
	int queued = 0, size;

	if (!out->is_pipe)
		return signals_caught() != 0 ? 0 : ROOM_FILE;
	if (!signals_held() || poll(&pfd, 1, 0) != 1) {
		if (signals_held())
			signals_catch();
		while (poll(&pfd, 1, -1) == -1 || signals_caught() != 0)
			if (signals_caught() != 0)
				return 0;
	}
	if (most == 1)
		return 1;
	if (out->pipe_size == 0) {
		size = fcntl(out->fd, F_GETPIPE_SZ);
		out->pipe_size = size > 0 ? (size_t)size : BUFFER;
	}
	if (ioctl(out->fd, FIONREAD, &queued) == -1 || queued < 0 || (size_t)queued >= out->pipe_size)
		return 1;
	return out->pipe_size - (size_t)queued;
}

/* One write; it does not wait if signals are held, but says EAGAIN (or that it cannot know). */
static ssize_t
write_once(const struct output *out, const struct iovec *iov, int n)
{
	if (signals_held() && !out->at_once)
		return syscall(SYS_pwritev2, out->fd, iov, (long)n, -1L, -1L, (long)RWF_NOWAIT);
	return n == 1 ? write(out->fd, iov->iov_base, iov->iov_len) : writev(out->fd, iov, n);
}

/* Write some: > 0 bytes, or -errno. A descriptor that does not block (somebody else's choice) is waited for. */
static ssize_t
write_some(const struct output *out, const struct iovec *iov, int n)
{
	struct pollfd pfd = { .fd = out->fd, .events = POLLOUT };
	ssize_t done;

	for (;;) {
		if (signals_caught() != 0)
			return -EINTR;
		done = write_once(out, iov, n);
		if (done > 0)
			return done;
		if (done == 0)
			return -EIO;
		if (signals_held() && (errno == EAGAIN || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
			signals_catch();
		else if (errno == EAGAIN)
			poll(&pfd, 1, -1);
		else if (errno != EINTR)
			return -errno;
	}
}

/* ---- as it lies ------------------------------------------------------------------------------------------ */

/* Bytes [from, to) of the run. *done: how many were accepted. */
static int
write_bytes(const struct output *out, struct mpq *q, const struct mpq_run *run, uint64_t from, uint64_t to, uint64_t *done)
{
	struct iovec iov[PIECES];
	struct mpq_run part = *run;
	ssize_t n;
	int pieces, err;

	part.bytes = to;
	for (*done = 0; from < to; from += (uint64_t)n, *done += (uint64_t)n) {
		if ((err = mpq_run_map(q, &part, from, iov, PIECES, &pieces)) != MPQ_OK)
			return err;
		if ((n = write_some(out, iov, pieces)) < 0)
			return (int)n;
	}
	return MPQ_OK;
}

static int
write_as_is(const struct output *out, struct mpq *q, const struct mpq_run *run, uint64_t *msgs, uint64_t *bytes)
{
	uint64_t done;
	int err = write_bytes(out, q, run, 0, run->bytes, &done), counted;

	counted = mpq_run_whole(q, run, done, msgs, bytes);
	return err != MPQ_OK ? err : counted;
}

/* ---- framed anew ----------------------------------------------------------------------------------------- */

struct framer {
	const struct output *out;
	struct mpq *q;
	const struct mpq_run *run;
	uint64_t *msgs, *bytes;      /* accepted so far */
	size_t fill, n;              /* of the buffer, and messages that end in it */
	uint32_t end[ENDS];          /* where they end in the buffer */
	uint64_t run_end[ENDS];      /* and in the run */
	unsigned char buf[BUFFER];
};

static int
flush(struct framer *f)
{
	size_t at = 0, i = 0;
	int err = MPQ_OK;

	while (at < f->fill && err == MPQ_OK) {
		struct iovec iov = { f->buf + at, f->fill - at };
		ssize_t n = write_some(f->out, &iov, 1);

		if (n < 0)
			err = (int)n;
		else
			at += (size_t)n;
	}
	for (; i < f->n && f->end[i] <= at; i++) {
		++*f->msgs;
		*f->bytes = f->run_end[i];
	}
	f->fill = f->n = 0;
	return err;
}

/* The length of the message at `from`, and of the framing before and after it. */
static int
next_message(const struct framer *f, uint64_t from, uint64_t *length, unsigned *before, unsigned *after)
{
	struct mpq_run rest = *f->run, one;
	uint64_t n = 0, msgs;
	struct iovec iov[2];
	unsigned char head[4] = { 0 };
	int pieces;

	*before = *after = 0;
	if (rest.framing == MPQ_BARE) {
		*length = rest.bytes;
		return MPQ_OK;
	}
	if (rest.framing == MPQ_LENGTHS) {
		if (rest.bytes - from < 4 || mpq_run_map(f->q, &rest, from, iov, 2, &pieces) != MPQ_OK)
			return MPQ_DAMAGED;
		for (size_t i = 0; i < 4; i++)
			head[i] = i < iov[0].iov_len ? ((unsigned char *)iov[0].iov_base)[i] :
			    ((unsigned char *)iov[1].iov_base)[i - iov[0].iov_len];
		*before = 4;
		*length = (uint64_t)head[0] << 24 | (uint64_t)head[1] << 16 | (uint64_t)head[2] << 8 | head[3];
		return *length <= rest.bytes - from - 4 ? MPQ_OK : MPQ_DAMAGED;
	}
	one = rest;
	for (msgs = 0; n == 0 && from + msgs < rest.bytes;) {
		const unsigned char *hit;

		if (mpq_run_map(f->q, &one, from + msgs, iov, 1, &pieces) != MPQ_OK || pieces == 0)
			return MPQ_DAMAGED;
		hit = memchr(iov->iov_base, rest.framing == MPQ_LINES ? '\n' : '\0', iov->iov_len);
		if (hit != NULL)
			n = msgs + (uint64_t)(hit - (unsigned char *)iov->iov_base) + 1;
		msgs += iov->iov_len;
	}
	*after = 1;
	*length = n - 1;
	return n != 0 ? MPQ_OK : MPQ_DAMAGED;
}

/* The length, in 4 bytes or in 12. */
static void
put_front(unsigned char *to, uint64_t length, unsigned n)
{
	if (n == 12)
		memset(to, 0xff, 4);
	for (unsigned i = n == 12 ? 4 : 0, shift = (n == 12 ? 64 : 32); i < n; i++)
		to[i] = (unsigned char)(length >> (shift -= 8));
}

/* One message of the run, at `from`, framed as the output wants it. */
static int
frame_one(struct framer *f, uint64_t from, uint64_t length, uint64_t run_end)
{
	unsigned nfront = f->out->framing != MPQ_LENGTHS ? 0 : length > INT32_MAX ? 12 : 4;
	unsigned nback = f->out->framing == MPQ_LINES || f->out->framing == MPQ_NULS;
	struct iovec iov[2];
	uint64_t done;
	int pieces, err;

	if (f->n == ENDS || f->fill + nfront + length + nback > BUFFER)
		if ((err = flush(f)) != MPQ_OK)
			return err;
	put_front(f->buf + f->fill, length, nfront);
	f->fill += nfront;
	if (nfront + length + nback > BUFFER) {      /* a long one: straight from the queue */
		if ((err = flush(f)) != MPQ_OK || (err = write_bytes(f->out, f->q, f->run, from, from + length, &done)) != MPQ_OK)
			return err;
	} else
		for (uint64_t at = 0; at < length;) {
			size_t n;

			if (mpq_run_map(f->q, f->run, from + at, iov, 1, &pieces) != MPQ_OK || pieces == 0)
				return MPQ_DAMAGED;
			n = iov->iov_len < length - at ? iov->iov_len : (size_t)(length - at);
			memcpy(f->buf + f->fill, iov->iov_base, n);
			f->fill += n, at += n;
		}
	if (nback != 0)
		f->buf[f->fill++] = f->out->framing == MPQ_LINES ? '\n' : '\0';
	f->end[f->n] = (uint32_t)f->fill;
	f->run_end[f->n++] = run_end;
	return MPQ_OK;
}

static int
write_framed(const struct output *out, struct mpq *q, const struct mpq_run *run, uint64_t *msgs, uint64_t *bytes)
{
	struct framer *f = malloc(sizeof *f);        /* too large for the stack, and mostly not needed */
	unsigned before, after;
	uint64_t from = 0, length;
	int err = MPQ_OK, flushed;

	*msgs = *bytes = 0;
	if (f == NULL)
		return -ENOMEM;
	f->out = out, f->q = q, f->run = run, f->msgs = msgs, f->bytes = bytes, f->fill = f->n = 0;
	for (uint64_t i = 0; i < run->msgs && err == MPQ_OK; i++) {
		if ((err = next_message(f, from, &length, &before, &after)) != MPQ_OK)
			break;
		err = frame_one(f, from + before, length, from + before + length + after);
		from += before + length + after;
	}
	flushed = flush(f);
	free(f);
	return err != MPQ_OK ? err : flushed;
}

int
output_run(const struct output *out, struct mpq *q, const struct mpq_run *run, uint64_t *msgs, uint64_t *bytes)
{
	if ((int)run->framing == out->framing)
		return write_as_is(out, q, run, msgs, bytes);
	return write_framed(out, q, run, msgs, bytes);
}
