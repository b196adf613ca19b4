/* SPDX-License-Identifier: ISC
 *
 * lengths.c - a libFuzzer target: streams of messages preceded by their lengths (mpq-put -L), from a pipe or a file.
 *
 * Any stream has one meaning: whole messages up to the end, or up to the first that is not whole. A second reader, written
 * as plainly as possible, says how many there are; so many must have been put, with those bytes, and the error must be
 * reported if and only if there is something behind them.
 *
 * Input: a byte - file or pipe, and how many bytes at a time come through the pipe - and the stream.
 */
#include <pthread.h>

#include "input.h"
#include "world.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                       \
	do {                                                                                                     \
		if (!(condition)) {                                                                              \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                          \
			abort();                                                                                 \
		}                                                                                                \
	} while (0)

static int file;
static struct mpq *queue;

/* The next whole message: where it begins and how long it is. False: there is none. */
static bool
next_message(const uint8_t *data, size_t size, size_t *at, size_t *begin, size_t *length)
{
	uint64_t n = 0;
	size_t p = *at, header = 4;

	if (size - p < 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		n = n << 8 | data[p + i];
	if (n == UINT32_MAX) {                       /* the long form: eight bytes follow */
		if (size - p < 12)
			return false;
		for (size_t i = 4; i < 12; i++)
			n = (i == 4 ? 0 : n << 8) | data[p + i];
		header = 12;
	} else if (n > INT32_MAX)
		return false;
	if (n > size - p - header)
		return false;
	*begin = p + header, *length = (size_t)n;
	*at = p + header + (size_t)n;
	return true;
}

struct feed {
	int fd;
	const uint8_t *data;
	size_t size, piece;
};

static void *
feed(void *arg)
{
	struct feed *f = arg;

	for (size_t done = 0, n; done < f->size; done += n) {
		n = f->size - done < f->piece ? f->size - done : f->piece;
		if (write(f->fd, f->data + done, n) != (ssize_t)n)
			break;
	}
	close(f->fd);
	return NULL;
}

/* The stream as a descriptor. A pipe holds 64 KiB; what is longer is fed by a thread. */
static int
source(const uint8_t *data, size_t size, uint8_t how, struct feed *f, pthread_t *thread, bool *threaded)
{
	int ends[2];

	*threaded = false;
	if (how & 1) {
		REQUIRE(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
		REQUIRE(lseek(file, 0, SEEK_SET) == 0);
		return dup(file);
	}
	REQUIRE(pipe(ends) == 0);
	*f = (struct feed){ ends[1], data, size, how & 2 ? 7 : 4096 };
	if (size > 4096)
		*threaded = pthread_create(thread, NULL, feed, f) == 0;
	else
		feed(f);
	return ends[0];
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct mpq_bounds bounds = { .mode = 0600, .kind = MPQ_QUEUE };

	(void)argc, (void)argv;
	signal(SIGPIPE, SIG_IGN);
	world_place_make();
	atexit(world_remove);
	NEED(mpq_create(&world_place, "queue", &bounds, NULL) == MPQ_OK);
	queue = world_open("queue");
	NEED((file = open(world_dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600)) != -1);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned char buf[1 << 20];
	struct input in = { .q = queue, .patience = MPQ_NOW };
	size_t at = 0, begin, length, len;
	uint64_t msgs = 0;
	pthread_t thread;
	struct feed f;
	uint8_t how;
	bool threaded;

	if (size == 0 || size >= sizeof buf)
		return 0;
	how = *data++, size--;
	in.fd = source(data, size, how, &f, &thread, &threaded);
	REQUIRE(in.fd != -1);
	REQUIRE(input_all(&in, MPQ_LENGTHS) == MPQ_OK);
	close(in.fd);
	if (threaded)
		pthread_join(thread, NULL);
	for (; next_message(data, size, &at, &begin, &length); msgs++) {
		REQUIRE(mpq_get(queue, buf, sizeof buf, &len, MPQ_NOW) == MPQ_OK);
		REQUIRE(len == length && memcmp(buf, data + begin, length) == 0);
	}
	REQUIRE(in.put == msgs);
	REQUIRE((in.error != 0) == (at != size));
	REQUIRE(mpq_get(queue, buf, sizeof buf, &len, MPQ_NOW) == MPQ_EMPTY);
	REQUIRE(mpq_check(queue) == MPQ_OK);
	return 0;
}
