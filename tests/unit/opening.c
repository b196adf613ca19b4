/* SPDX-License-Identifier: ISC
 *
 * opening.c - to open a queue while it grows: it is not taken for damaged.
 *
 * An opener compares the length of the file with what the segment says, without the lock. Between two looks a grower may
 * do all of its work. Here he does: fstat(2) is wrapped (unit.mk), and after one that the opener makes the queue grows.
 */
#include <sys/stat.h>

#include "chunk.h"
#include "handle.h"
#include "room.h"

#ifdef __GLIBC__
#define WRAPPED_FSTAT __wrap_fstat64
#define REAL_FSTAT __real_fstat64
#else
#define WRAPPED_FSTAT __wrap_fstat
#define REAL_FSTAT __real_fstat
#endif

int REAL_FSTAT(int fd, struct stat *st);
int WRAPPED_FSTAT(int fd, struct stat *st);

static struct mpq *grower;
static int looks, grow_after;        /* so many fstats of the opener; the first of them after which it grows */
static bool watching;

/* Messages of two framings in turn: each takes a record. */
static void
put_one(void)
{
	static int n;
	struct mpq_writer w;
	uint64_t put, bytes;

	mpq_writer_init(&w, grower, n++ % 2 == 0 ? MPQ_LINES : MPQ_NULS);
	if (mpq_writer_append(&w, n % 2 == 1 ? "\n" : "", 1) != MPQ_OK ||
	    mpq_writer_commit(&w, 1, 1, MPQ_NOW, &put, &bytes) != MPQ_OK)
		OK(false, "a put");
	mpq_writer_reset(&w);
}

static uint32_t
last_chunk(void)
{
	return (uint32_t)get(&grower->head->chunks) - 1;
}

/* Until the last chunk is another one, or has more pages. */
static void
grow(void)
{
	uint32_t last = last_chunk(), pages = last < FIRST_CHUNK ? 0 : chunk_capacity(grower, last);

	for (int i = 0; i < 5000 && last_chunk() == last && (last < FIRST_CHUNK || chunk_capacity(grower, last) == pages); i++)
		put_one();
}

int
WRAPPED_FSTAT(int fd, struct stat *st)
{
	int r = REAL_FSTAT(fd, st);

	if (watching && ++looks >= grow_after) {
		watching = false;            /* the grower makes some too */
		grow();
		watching = true;
	}
	return r;
}

/* Open after the queue has grown `before` times, and let it grow after each look from the `from`th on. */
static void
open_meanwhile(int before, int from)
{
	struct mpq *q = NULL;
	int err;

	grower = room_queue("growing", 0, 0, MPQ_QUEUE);
	for (int i = 0; i < before; i++)
		grow();
	looks = 0, grow_after = from, watching = true;
	err = mpq_open(&room, "growing", 0, &q, NULL);
	watching = false;
	IS(err, MPQ_OK, "opened when it had grown %d times, growing after look %d", before, from);
	OK(looks >= from, "it has looked %d times", looks);
	if (err == MPQ_OK) {
		IS(mpq_check(q), MPQ_OK, "it is whole");
		mpq_detach(q);
	}
	mpq_detach(grower);
}

/* A peer writes another number of chunks all the while: what was not looked at is not used. */
static void
chunks_that_flicker(void)
{
	struct mpq *q = room_queue("flicker", 0, 0, MPQ_QUEUE), *h;
	uint64_t *chunks = &q->head->chunks, good = get(chunks);
	unsigned opened = 0, bad = 0;
	pid_t pid;

	if ((pid = child()) == 0)
		for (unsigned n = 0;; n++) {
			__atomic_store_n(chunks, 1, __ATOMIC_RELAXED);
			for (volatile unsigned i = n % 41; i > 0; i--)
				;
			__atomic_store_n(chunks, good, __ATOMIC_RELAXED);
			for (volatile unsigned i = n % 37; i > 0; i--)
				;
		}
	for (int i = 0; i < 20000 && opened < 3000; i++) {
		__atomic_store_n(&q->head->sick, 0, __ATOMIC_RELAXED);
		if (mpq_open(&room, "flicker", 0, &h, NULL) != MPQ_OK)
			continue;
		opened++;
		bad += h->chunks < FIRST_CHUNK;
		mpq_detach(h);
	}
	kill_child(pid);
	OK(opened > 0, "opened %u times while the number of chunks flickers", opened);
	IS(bad, 0, "with a number that has been looked at");
	mpq_detach(q);
}

int
main(void)
{
	room_make();
	chunks_that_flicker();
	for (int before = 0; before < 6; before++)
		open_meanwhile(before, 1);
	return tap_end();
}
