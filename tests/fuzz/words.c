/* SPDX-License-Identifier: ISC
 *
 * words.c - every word of a queue's state set to the values on which checks turn, one after the other, between two
 * operations of one handle: it has opened the queue, has taken, looked at or reserved something, and finds on its next step
 * that a word is not what it was. Any result is right; a signal or a hang are not. sweep.c does this to a queue that is not
 * open yet; here the later checks get their turn, those of settle, reset, detach, and of taking back what the dead had.
 *
 * A scene is a queue that somebody has prepared, and what this process has begun with it. The bytes and the handle of that
 * instant are kept, and put back before each trial, so that trials are short and independent.
 *
 * usage: words [SCENE TRIAL]         that one only, in this process, for a debugger
 */
#include <sys/prctl.h>

#include "../unit/tap.h"
#include "handle.h"
#include "chunk.h"
#include "extent.h"
#include "op.h"
#include "owner.h"
#include "side.h"
#include "world.h"

#define LIMIT 10u                            /* seconds for one trial */
#define FINDINGS 5u
#define WORDS_MAX 4096u
#define DESCRIPTORS 48u                      /* the first ones; chunks beyond are like them */

static struct {
	struct mpq *q;
	struct mpq_run run;
	struct mpq_writer writer;
} now, then;
static unsigned char *handle_then;           /* what *q was */
static size_t handle_size;
static unsigned char *head_then;             /* the first 64 KiB of the file */
static unsigned char *pool_then;             /* and the chunk of records, if there is one */
static uint32_t pool_chunk;
static off_t length_then;
static int fd;
static size_t words[WORDS_MAX], nwords;      /* offsets of those to be changed */
static volatile uint64_t *trial;             /* shared with the parent */
static volatile unsigned sink;

/* ---- scenes ---------------------------------------------------------------------------------------------- */

static void
put_lines(unsigned msgs, size_t len)
{
	unsigned char *bytes = malloc(msgs * len);

	NEED(bytes != NULL);
	memset(bytes, 'x', msgs * len);
	for (unsigned i = 1; i <= msgs; i++)
		bytes[i * len - 1] = '\n';
	world_put_run(now.q, MPQ_LINES, bytes, msgs * len, msgs);
	free(bytes);
}

/* One long message: nobody looks for ends of lines in it, 600,000 times. */
static void
put_long(size_t len)
{
	unsigned char *bytes = calloc(1, len);

	NEED(bytes != NULL);
	world_put_run(now.q, MPQ_BARE, bytes, len, 1);
	free(bytes);
}

/* Touch all pieces of a run, at both ends. */
static void
read_run(const struct mpq_run *run)
{
	struct iovec iov[4];
	uint64_t offset = 0;
	int got = 0;

	while (mpq_run_map(now.q, run, offset, iov, 4, &got) == MPQ_OK && got != 0)
		for (int i = 0; i < got; i++) {
			const unsigned char *p = iov[i].iov_base;

			sink = p[0] + p[iov[i].iov_len - 1];
			offset += iov[i].iov_len;
		}
}

static void
take(uint64_t msgs, unsigned flags)
{
	struct mpq_want want = { .msgs = msgs, .bytes = UINT64_MAX, .flags = flags };

	NEED(mpq_take(now.q, &want, 0, MPQ_NOW, &now.run) == MPQ_OK);
}

static void
scene_hand(void)
{
	put_lines(10, 8);
	put_lines(3, 50000);
	take(4, MPQ_SHARE);
}

static void
scene_chain(void)
{
	put_lines(6, 40000);
	take(4, 0);
}

static void
scene_held(void)
{
	for (int i = 0; i < 6; i++) {
		put_lines(2, 10);
		NEED(mpq_put(now.q, "a\nb", 3, MPQ_NOW) == MPQ_OK);
	}
	for (int i = 0; i < 5; i++)
		world_hold(now.q, &world_self, 2);
	take(1, MPQ_COUNT_ATTEMPT);
	NEED(mpq_settle(now.q, &now.run, 0, 0, MPQ_GOT, NULL) == MPQ_OK);
	take(2, 0);
}

static void
scene_peek(void)
{
	put_long(2300000);
	put_lines(2, 100);
	take(1, MPQ_PEEK);
}

/* What is looked at has been taken and done with by another handle: garbage, in its slot and in ours. */
static void
scene_garbage(void)
{
	struct mpq *other = world_open("words"), *q = now.q;
	struct mpq_run look;

	put_long(1200000);
	now.q = other;
	take(1, MPQ_PEEK);
	look = now.run;
	now.q = q;
	take(1, 0);
	NEED(now.run.seq == look.seq);
	(void)other;                         /* it stays: it is a living process */
}

static void
scene_write(void)
{
	static char bytes[150000];

	memset(bytes, '\n', sizeof bytes);
	put_lines(2, 100);
	mpq_writer_init(&now.writer, now.q, MPQ_LINES);
	NEED(mpq_writer_append(&now.writer, bytes, sizeof bytes) == MPQ_OK);
}

static void
scene_write_small(void)
{
	put_lines(3, 10);
	mpq_writer_init(&now.writer, now.q, MPQ_LINES);
	NEED(mpq_writer_append(&now.writer, "a line\nhalf a", 13) == MPQ_OK);
}

/* Under the lock: chunks that this process was punching when it stopped. */
static int
strip(uint32_t *record)
{
	struct mpq *q = now.q;
	struct piece p = { .kind = KIND_PUNCH };
	uint32_t slot, count;
	int err;

	if ((err = owner_slot(q, &slot)) != MPQ_OK)
		return err;
	if ((err = chunk_strip(q, 3, &p.first, &p.last, &count)) != MPQ_OK || count == 0)
		return err != MPQ_OK ? err : MPQ_EMPTY;
	p.slot = slot, p.bytes = (uint64_t)count << CHUNK_SHIFT;
	if ((err = extent_new(q, &p, record)) != MPQ_OK)
		return err;
	list_append(q, &slot_at(q, slot)->list, *record);
	return MPQ_OK;
}

static void
punching(void)
{
	struct mpq *q = now.q;
	uint32_t record;

	put_long(1200000);
	put_lines(2, 100);                   /* something stays queued, so that the memory is kept */
	take(1, 0);
	NEED(mpq_settle(q, &now.run, 1, now.run.bytes, MPQ_DONE, NULL) == MPQ_OK);
	take(1, 0);
	NEED(mpq_settle(q, &now.run, now.run.msgs, now.run.bytes, MPQ_DONE, NULL) == MPQ_OK);
	NEED(owner_self(q) == MPQ_OK);
	NEED(op_enter(q, MPQ_FOREVER) == MPQ_OK);
	NEED(op_leave(q, strip(&record), NULL) == MPQ_OK);
}

static void
scene_punch(void)
{
	punching();
}

/* Memory was given back, and more is needed than was kept. */
static void
scene_absent(void)
{
	static char bytes[500000];

	put_long(1200000);
	take(1, 0);
	NEED(mpq_settle(now.q, &now.run, 1, now.run.bytes, MPQ_DONE, NULL) == MPQ_OK);
	NEED(HIGH(get(&now.q->head->absent)) != 0);
	memset(bytes, '\n', sizeof bytes);
	mpq_writer_init(&now.writer, now.q, MPQ_LINES);
	NEED(mpq_writer_append(&now.writer, bytes, sizeof bytes) == MPQ_OK);
	now.run.msgs = 0;
}

/* Chunks being punched, and messages in hand and held, of a process that is dead. */
static void
scene_dead(void)
{
	punching();
	NEED(mpq_put(now.q, "one\nmore", 8, MPQ_NOW) == MPQ_OK);
	take(1, MPQ_SHARE);
	world_hold(now.q, &world_self, 1);
	for (uint32_t r = LOW(get(&now.q->head->slots)); r != 0; r = record_next(now.q, r))
		slot_at(now.q, r)->start++;
	now.q->slot = 0;
}

/* So many records that there is a chunk of them. */
static void
scene_pool(void)
{
	for (int i = 0; i < 90; i++)
		NEED(mpq_put(now.q, i % 2 != 0 ? "a\0b" : "a\nb\0c", i % 2 != 0 ? 3 : 5, MPQ_NOW) == MPQ_OK);
	for (int i = 0; i < 40; i++)
		world_put_run(now.q, MPQ_BARE, "bare", 4, 1);
	take(1, 0);
}

/* A file that ends within its last chunk. */
static void
scene_small(void)
{
	NEED(mpq_put(now.q, "one", 3, MPQ_NOW) == MPQ_OK && mpq_put(now.q, "two\nlines", 9, MPQ_NOW) == MPQ_OK);
	take(1, 0);
}

static void
scene_closed(void)
{
	for (int i = 0; i < 5; i++)
		world_put_run(now.q, MPQ_BARE, "bare", 4, 1);
	take(1, 0);
	now.q->head->side[0].flags = SIDE_CLOSED | SIDE_DROP;
}

static const struct {
	const char *name;
	void (*prepare)(void);
} scenes[] = { { "messages in hand", scene_hand }, { "a chain of chunks", scene_chain }, { "messages held", scene_held },
	{ "a look", scene_peek }, { "garbage", scene_garbage }, { "a reservation", scene_write },
	{ "a small reservation", scene_write_small }, { "chunks being punched", scene_punch }, { "memory given back", scene_absent },
	{ "a dead process", scene_dead },
	{ "a chunk of records", scene_pool },
	{ "a small file", scene_small }, { "a closed queue", scene_closed } };
#define SCENES (sizeof scenes / sizeof scenes[0])

/* ---- operations ------------------------------------------------------------------------------------------ */

static void
op_settle(void)
{
	if (now.run.msgs == 0)
		return;
	read_run(&now.run);
	(void)mpq_settle(now.q, &now.run, now.run.msgs, now.run.bytes, MPQ_GOT, NULL);
}

static void
op_settle_half(void)
{
	uint64_t msgs, bytes;

	if (now.run.msgs == 0 || mpq_run_whole(now.q, &now.run, now.run.bytes / 2, &msgs, &bytes) != MPQ_OK)
		return;
	(void)mpq_attempt(now.q, &now.run);
	(void)mpq_settle(now.q, &now.run, msgs, bytes, MPQ_HOLD, &world_self);
}

static void
op_get(void)
{
	static char buf[80000];
	size_t len;

	(void)mpq_get(now.q, buf, sizeof buf, &len, MPQ_NOW);
	(void)mpq_get(now.q, buf, sizeof buf, &len, MPQ_NOW);
}

static void
op_take(void)
{
	struct mpq_want want = { .msgs = 7, .bytes = UINT64_MAX, .flags = MPQ_SHARE };

	if (mpq_take(now.q, &want, 0, MPQ_NOW, &now.run) == MPQ_OK)
		read_run(&now.run);
}

static void
op_look(void)
{
	struct mpq_want want = { .msgs = 45, .bytes = UINT64_MAX, .flags = MPQ_PEEK };

	if (mpq_take(now.q, &want, 2, MPQ_NOW, &now.run) == MPQ_OK) {
		read_run(&now.run);
		(void)mpq_settle(now.q, &now.run, 0, 0, MPQ_GOT, NULL);
	}
}

static void
op_put(void)
{
	static char message[70000];

	(void)mpq_put(now.q, "a message", 9, MPQ_NOW);
	(void)mpq_put(now.q, "another\none", 11, MPQ_NOW);
	(void)mpq_put(now.q, message, 4000, MPQ_NOW);
	(void)mpq_put(now.q, message, sizeof message, MPQ_NOW);
}

static void
op_commit(void)
{
	uint64_t put, bytes, n = now.writer.pending;

	if (now.writer.q == NULL)
		return;
	n = n > 7 ? n / 2 : 7;
	(void)mpq_writer_commit(&now.writer, n == 7 ? 1 : n, n, MPQ_NOW, &put, &bytes);
	mpq_writer_reset(&now.writer);
}

static void
op_append(void)
{
	static char bytes[70000];

	if (now.writer.q == NULL)
		return;
	(void)mpq_writer_append(&now.writer, bytes, sizeof bytes);
	mpq_writer_reset(&now.writer);
}

static void
op_done(void)
{
	(void)mpq_task_done(now.q, &world_self, 3, 1, NULL);
	(void)mpq_task_done(now.q, &world_self, MPQ_ALL, 0, NULL);
	(void)mpq_task_done(now.q, NULL, 1, 0, NULL);
}

static void
op_sweep(void)
{
	(void)mpq_sweep(now.q);
}

static void
op_check(void)
{
	(void)mpq_check(now.q);
}

static void
op_close(void)
{
	(void)mpq_close(now.q, MPQ_CLOSE_NOW);
}

/* What detach does, but the handle stays for the next trial. */
static void
op_leave_all(void)
{
	struct mpq_stat st;

	if (now.q->slot != 0)
		owner_leave(now.q);
	(void)mpq_stat(now.q, &st);
}

/* As an opener from another name space, who is alone. */
static void
op_orphans(void)
{
	now.q->slot = 0;
	now.q->self.pid = 0;
	(void)owner_orphans(now.q);
}

static void (*const operations[])(void) = { op_settle, op_settle_half, op_get, op_take, op_look, op_put, op_commit, op_append,
	op_done, op_sweep, op_check, op_close, op_leave_all, op_orphans };
#define OPERATIONS (sizeof operations / sizeof operations[0])

/* ---- trials ---------------------------------------------------------------------------------------------- */

static void
words_of(size_t from, size_t to)
{
	for (size_t o = from; o < to && nwords < WORDS_MAX; o += 8)
		words[nwords++] = o;
}

/* Records in use of a pool, and its own. */
static void
words_of_pool(size_t pool)
{
	uint64_t state = *(const uint64_t *)(const void *)(now.q->base + pool);
	size_t fresh = state >> 16 & 0xffff;

	words_of(pool, pool + (fresh < 40 ? fresh : 40) * RECORD);
}

static void
keep(void)
{
	struct mpq *q = now.q;
	struct stat st;

	then = now;
	handle_size = sizeof *q + strlen(q->path) + 1;
	NEED((handle_then = malloc(handle_size)) != NULL && (head_then = malloc(CHUNK)) != NULL);
	memcpy(handle_then, q, handle_size);
	memcpy(head_then, q->base, CHUNK);
	NEED((fd = open(q->path, O_RDWR | O_CLOEXEC)) != -1 && fstat(fd, &st) == 0);
	length_then = st.st_size;
	nwords = 0;
	words_of(STATE_FROM, STATE_TO);
	words_of_pool(BUILTIN_POOL);
	words_of(PAGE, PAGE + (q->chunks - FIRST_CHUNK < DESCRIPTORS ? q->chunks - FIRST_CHUNK : DESCRIPTORS) * 16);
	pool_chunk = 0;
	for (uint32_t n = FIRST_CHUNK; n < q->chunks; n++)
		if (HIGH(get(&chunk_at(q, n)->use)) >> 8 == CHUNK_POOL)
			pool_chunk = n;
	if (pool_chunk == 0)
		return;
	words_of_pool(chunk_offset(pool_chunk));
	NEED((pool_then = malloc(PAGE)) != NULL);
	memcpy(pool_then, q->base + chunk_offset(pool_chunk), PAGE);
}

static void
put_back(void)
{
	struct stat st;

	now = then;
	while (now.q->nviews > ((struct mpq *)(void *)handle_then)->nviews) {
		now.q->nviews--;
		munmap(now.q->view[now.q->nviews].at, now.q->view[now.q->nviews].size);
	}
	memcpy(now.q, handle_then, handle_size);
	NEED(fstat(fd, &st) == 0 && (st.st_size == length_then || ftruncate(fd, length_then) == 0));
	memcpy(now.q->base, head_then, CHUNK);
	if (pool_chunk != 0)
		memcpy(now.q->base + chunk_offset(pool_chunk), pool_then, PAGE);
}

/* Numbers on which checks turn, for a word that is `old`: of words in pairs, each half by itself too. */
static uint64_t
value(uint64_t old, size_t offset, unsigned i)
{
	uint32_t chunks = now.q->chunks;
	uint32_t end = (uint32_t)(chunk_offset(chunks - 1) / RECORD);        /* a record in the last chunk */
	const uint64_t values[] = { 0, 1, UINT64_MAX, old + 1, old - 1, old ^ (uint64_t)1 << 32, PAIR(LOW(old), 0),
		PAIR(0, HIGH(old)), PAIR(LOW(old), LOW(old)), PAIR(HIGH(old), HIGH(old)), PAIR(chunks - 1, HIGH(old)),
		PAIR(LOW(old), chunks), PAIR(FIRST_CHUNK, HIGH(old)), PAIR(end + 1000, HIGH(old)), PAIR(LOW(old), end + 1),
		PAIR(BUILTIN_POOL / RECORD + 1, HIGH(old)), PAIR(LOW(old), BUILTIN_POOL / RECORD + 2), old + CHUNK,
		(old & ~(uint64_t)0xff) | KIND_GARBAGE, (old & ~(uint64_t)0xff) | KIND_PUNCH, (old & ~(uint64_t)0xff) | KIND_HELD,
		old | (uint64_t)1 << 24, (uint64_t)1 << 40, PAIR(LOW(old), 0x100 | (HIGH(old) & 0xff)),
		PAIR(offset / RECORD, HIGH(old)) };    /* a record that follows itself */

	return i < sizeof values / sizeof values[0] ? values[i] : old;
}
#define VALUES 25u

static uint64_t
trials(void)
{
	return (uint64_t)nwords * VALUES * OPERATIONS;
}

static void
one_trial(uint64_t i)
{
	size_t operation = i % OPERATIONS, offset = words[i / OPERATIONS / VALUES];
	uint64_t *word, new;

	put_back();
	word = (uint64_t *)(void *)(now.q->base + offset);
	new = value(*word, offset, (unsigned)(i / OPERATIONS % VALUES));
	if (new == *word)
		return;
	*word = new;
	alarm(LIMIT);
	operations[operation]();
}

static void
scene_make(size_t scene)
{
	struct mpq_bounds bounds = { .mode = 0600, .kind = MPQ_QUEUE };

	memset(&now, 0, sizeof now);
	(void)mpq_remove(&world_place, "words", 1, NULL);
	NEED(mpq_create(&world_place, "words", &bounds, NULL) == MPQ_OK);
	now.q = world_open("words");
	scenes[scene].prepare();
	keep();
}

/* In children, so that one which dies is named, and the next goes on behind it. */
static unsigned
all_trials(size_t scene)
{
	unsigned findings = 0;

	for (*trial = 0; findings < FINDINGS; ++*trial) {
		int status;
		pid_t pid;

		fflush(stdout);
		NEED((pid = fork()) != -1);
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			NEED(mpq_owner_of(getpid(), &world_self) == MPQ_OK);
			scene_make(scene);
			for (; *trial < trials(); ++*trial)
				one_trial(*trial);
			diag("%s: %llu trials", scenes[scene].name, (unsigned long long)trials());
			_exit(0);
		}
		NEED(waitpid(pid, &status, 0) == pid);
		if (status == 0)
			break;
		findings++;
		diag("%s: signal %d (words %zu %llu)", scenes[scene].name, WTERMSIG(status), scene, (unsigned long long)*trial);
	}
	return findings;
}

int
main(int argc, char **argv)
{
	int r;

	world_place_make();
	trial = mmap(NULL, sizeof *trial, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(trial != MAP_FAILED);
	if (argc > 2) {
		NEED(mpq_owner_of(getpid(), &world_self) == MPQ_OK);
		scene_make(strtoul(argv[1], NULL, 10) % SCENES);
		one_trial(strtoull(argv[2], NULL, 10) % trials());
	} else
		for (size_t i = 0; i < SCENES; i++)
			OK(all_trials(i) == 0, "%s: every word changed before every operation: no signal, no hang", scenes[i].name);
	r = argc > 2 ? 0 : tap_end();
	(void)mpq_remove(&world_place, "words", 1, NULL);
	rmdir(world_dir);
	return r;
}
