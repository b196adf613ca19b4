/* SPDX-License-Identifier: ISC
 *
 * work_message.c - the one message of a run: its bytes without framing, to memory, to a file, to another queue.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "work.h"

#define PIECES 64                    /* chunks in one writev: 4 MiB */
#define SMALL 4096                   /* up to here mpq_put copies it to the tail; beyond, a writer is as cheap */

static unsigned
before(const struct mpq_run *run)
{
	return run->framing == MPQ_LENGTHS ? 4 : 0;
}

uint64_t
message_length(const struct mpq_run *run)
{
	uint64_t framing = run->framing == MPQ_LENGTHS ? 4 : run->framing == MPQ_BARE ? 0 : 1;

	return run->bytes > framing ? run->bytes - framing : 0;
}

/* The next pieces of the message from `at` on, until `length`. */
static int
pieces_at(struct mpq *q, const struct mpq_run *run, uint64_t length, uint64_t at, struct iovec *iov, int *n)
{
	struct mpq_run bare = *run;
	int max = *n, err;

	bare.bytes = length + before(run);
	err = mpq_run_map(q, &bare, at + before(run), iov, max, n);
	return err != MPQ_OK ? err : *n == 0 ? MPQ_DAMAGED : MPQ_OK;
}

int
message_copy(struct mpq *q, const struct mpq_run *run, void *to)
{
	uint64_t length = message_length(run);
	struct iovec iov;
	int err, n;

	for (uint64_t at = 0; at < length; at += iov.iov_len) {
		n = 1;
		if ((err = pieces_at(q, run, length, at, &iov, &n)) != MPQ_OK)
			return err;
		memcpy((char *)to + at, iov.iov_base, iov.iov_len);
	}
	return MPQ_OK;
}

int
message_write(struct mpq *q, const struct mpq_run *run, int fd)
{
	uint64_t length = message_length(run);
	struct iovec iov[PIECES];
	ssize_t done;
	int err, n;

	for (uint64_t at = 0; at < length;) {
		n = PIECES;
		if ((err = pieces_at(q, run, length, at, iov, &n)) != MPQ_OK)
			return err;
		if ((done = writev(fd, iov, n)) > 0)
			at += (uint64_t)done;
		else if (done == 0 || errno != EINTR)
			return done == 0 ? -EIO : -errno;
	}
	return MPQ_OK;
}

int
message_put(struct mpq *q, const struct mpq_run *run, struct mpq *to, mpq_time deadline)
{
	uint64_t length = message_length(run), put, bytes;
	mpq_time patience = deadline;
	struct mpq_writer w;
	char small[SMALL];
	struct iovec iov;
	int err = MPQ_OK, n;

	if (length <= sizeof small) {
		if ((err = message_copy(q, run, small)) == MPQ_OK)
			err = mpq_put(to, small, length, deadline);
		return err;
	}
	mpq_writer_init(&w, to, MPQ_BARE);
	for (uint64_t at = 0; at < length && err == MPQ_OK; at += iov.iov_len) {
		n = 1;
		if ((err = pieces_at(q, run, length, at, &iov, &n)) == MPQ_OK)
			err = mpq_writer_append(&w, iov.iov_base, iov.iov_len);
	}
	if (deadline != MPQ_NOW && deadline != MPQ_FOREVER) {
		patience = deadline - mpq_now();
		patience = patience > 0 ? patience : MPQ_NOW;
	}
	if (err == MPQ_OK)
		err = mpq_writer_commit(&w, 1, length, patience, &put, &bytes);
	mpq_writer_reset(&w);
	return err;
}

/* What end 1 of a pipe receives, end 2 has sent. */
bool
message_circles(const char *from, const char *to)
{
	size_t n = strcspn(from, "@");

	if (strcmp(from, to) == 0)
		return true;
	return strncmp(from, to, n) == 0 && from[n] == '@' && to[n] == '@' && from[n + 1] != to[n + 1];
}
