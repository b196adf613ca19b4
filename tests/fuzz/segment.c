/* SPDX-License-Identifier: ISC
 *
 * segment.c - a libFuzzer target: operations on a segment whose bytes somebody has changed.
 *
 * "The bytes of a segment are hostile: every offset is checked before use." Any result is right; an access outside, a
 * trap, a hang, or an allocation out of all proportion is not. The changes are made before the segment is opened and
 * between two operations, of which the later goes on with what the earlier has in hand; live.c makes them during one.
 *
 * Input: a byte that chooses the segment, a byte n, n bytes of operations, then changes: a byte that says how
 * (change() below), and its arguments. Among the operations the byte 0x8f, or with more bits, is followed by a change
 * too. Unlike raw segments such inputs stay meaningful when mutated, and small.
 *
 * The thread id in the lock word is left alone: a forged one is waited for, which is promised, and slow (sweep.c does it).
 */
#include "world.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPERATIONS_MAX 48u                   /* bytes, those of changes between them counted */
#define ALL_MSGS 1000u
#define LOCK_FLAGS 0xc0000000u               /* of the lock word: all but the owner */

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t
byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->at++;
}

static uint32_t
number(struct input *in, int bytes)
{
	uint32_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | byte(in);
	return n;
}

/* ---- changes --------------------------------------------------------------------------------------------- */

/* Where: mostly where the structure is. */
static size_t
somewhere(struct input *in, unsigned area, size_t size)
{
	switch (area) {
	case 0:
		return number(in, 2) % PAGE;
	case 1:
		return PAGE + number(in, 1) % 160;       /* the first descriptors */
	case 2:
		return (CHUNK + (size_t)number(in, 2) * 8) % size;
	default:
		return number(in, 3) % size;
	}
}

/* Numbers on which checks turn. */
static uint64_t
telling(const struct world *w, uint8_t which)
{
	const struct head *head = (const struct head *)w->bytes;
	const uint64_t values[] = { 0, 1, UINT64_MAX, w->size, w->size - 1, w->size + 1, (uint64_t)1 << 31,
		(uint64_t)1 << 63, INT32_MAX, UINT32_MAX, CHUNK, CHUNK - 1, JOURNAL_MAX, FIRST_CHUNK, head->chunks - 1,
		head->chunks, PAIR(FIRST_CHUNK, FIRST_CHUNK), PAIR(0, 0xffffffff), MAX_CHUNKS - 1, GROUP };

	return values[which % (sizeof values / sizeof values[0])];
}

/* A change is a byte - how:2, area:2, size:2, unused - and what goes with it. */
static void
change(const struct world *w, struct input *in)
{
	uint8_t how = byte(in);
	size_t n = (size_t)1 << (how >> 4 & 3), to = somewhere(in, how >> 2 & 3, w->size), from;
	uint64_t value;

	if (n > 1 && (how & 3) != 0)
		to -= to % n;                            /* words are aligned */
	if (n > w->size - to)
		return;
	switch (how & 3) {
	case 0:                                          /* some bytes */
		for (size_t i = 0; i < n; i++)
			w->map[to + i] = byte(in);
		break;
	case 1:                                          /* a telling number */
		value = telling(w, byte(in));
		memcpy(w->map + to, &value, n);
		break;
	case 2:                                          /* one word becomes another: links that lead elsewhere */
		from = somewhere(in, 0, w->size);
		from -= from % n;
		memmove(w->map + to, w->map + from, n);
		break;
	default:                                         /* a little more or less */
		value = 0;
		memcpy(&value, w->map + to, n);
		value += (uint64_t)(int64_t)(int8_t)byte(in);
		memcpy(w->map + to, &value, n);
	}
}

/* ---- operations ------------------------------------------------------------------------------------------ */

static volatile unsigned sink;

/* What an operation has begun and a later one goes on with. */
static struct {
	struct mpq_run run;
	bool has_run;
	struct mpq_writer writer;
	bool has_writer;
} kept;

static void
take(struct mpq *q, uint8_t op)
{
	static const enum mpq_fate fates[] = { MPQ_GOT, MPQ_DONE, MPQ_HOLD };
	struct mpq_want want = { .msgs = op & 0x10 ? 1 : ALL_MSGS, .bytes = op & 0x20 ? 100 : UINT64_MAX,
		.owner = &world_self, .flags = op & 0x40 ? MPQ_SHARE | (op & 0x10 ? MPQ_COUNT_ATTEMPT : 0) : 0 };
	struct mpq_run run;
	uint64_t msgs, bytes;

	if (mpq_take(q, &want, 0, MPQ_NOW, &run) != MPQ_OK)
		return;
	if ((op & 0xc0) == 0x40 && !kept.has_run) {
		kept.run = run, kept.has_run = true;
		return;
	}
	sink = world_read(q, &run);
	if (op & 0x80) {
		(void)mpq_settle(q, &run, run.msgs, run.bytes, fates[op % 3], &world_self);
		return;
	}
	if (run.msgs == 1)
		(void)mpq_attempt(q, &run);
	if (mpq_run_whole(q, &run, run.bytes - 1, &msgs, &bytes) == MPQ_OK)
		(void)mpq_settle(q, &run, msgs, bytes, fates[op % 3], &world_self);
}                                                        /* else it stays in hand until detach */

/* Go on with the run that an earlier operation has taken. */
static void
settle(struct mpq *q, uint8_t op)
{
	uint64_t msgs, bytes;

	if (!kept.has_run)
		return;
	sink = world_read(q, &kept.run);
	if (op & 0x10)
		(void)mpq_attempt(q, &kept.run);
	if (mpq_run_whole(q, &kept.run, op & 0x20 ? kept.run.bytes : kept.run.bytes / 2, &msgs, &bytes) != MPQ_OK)
		return;
	kept.has_run = false;
	(void)mpq_settle(q, &kept.run, msgs, bytes, op & 0x10 ? MPQ_HOLD : MPQ_GOT, &world_self);
}

static void
peek(struct mpq *q, uint8_t op)
{
	struct mpq_want want = { .msgs = 3, .bytes = UINT64_MAX, .flags = MPQ_PEEK };
	struct mpq_run run;
	uint64_t after = op & 0x20 ? 1 : 0;

	for (int i = 0; i < 4 && mpq_take(q, &want, after, MPQ_NOW, &run) == MPQ_OK; i++) {
		sink = world_read(q, &run);
		after = run.seq + run.msgs;
		if (op & 0x10)
			(void)mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL);
	}
}

static void
get(struct mpq *q, uint8_t op)
{
	size_t size = op & 0x10 ? 80000 : 600, len = 0;
	unsigned char *buf = malloc(size);           /* so that the sanitizer knows its end */

	if (mpq_get(q, buf, size, &len, MPQ_NOW) == MPQ_OK)
		sink = len != 0 ? buf[len - 1] : 0;
	free(buf);
}

static void
write_run(struct mpq *q, uint8_t op)
{
	static unsigned char bytes[70000];
	size_t n = op & 0x10 ? sizeof bytes : 40;
	struct mpq_writer *w = &kept.writer;
	uint64_t put, put_bytes;

	memset(bytes, '\n', sizeof bytes);
	if (!kept.has_writer)
		mpq_writer_init(w, q, MPQ_LINES);
	if ((op & 0x40) == 0 && mpq_writer_append(w, bytes, n) == MPQ_OK && (op & 0x80) == 0)
		(void)mpq_writer_commit(w, n / 2, n / 2, MPQ_NOW, &put, &put_bytes);
	kept.has_writer = (op & 0x20) != 0;
	if (!kept.has_writer)
		mpq_writer_reset(w);
}

static void
operate(struct mpq *q, uint8_t op)
{
	static unsigned char message[70000];
	struct mpq_watch watch = { .q = q, .what = (enum mpq_ready)(1 + op % 3) };
	struct mpq_stat st;
	uint64_t did;

	switch (op & 0x0f) {
	case 0:
		(void)mpq_stat(q, &st);
		break;
	case 1:
		(void)mpq_put(q, message, op & 0x10 ? 5000 : op & 0x20 ? 0 : 12, MPQ_NOW);
		break;
	case 2:
		(void)mpq_put(q, message, op & 0x10 ? sizeof message : 4096, MPQ_NOW);
		break;
	case 3:
		get(q, op);
		break;
	case 4:
	case 5:
		take(q, op);
		break;
	case 6:
		peek(q, op);
		break;
	case 7:
		(void)mpq_task_done(q, &world_self, op & 0x10 ? 1 : MPQ_ALL, op & 0x20, &did);
		break;
	case 8:
		(void)mpq_task_done(q, NULL, op & 0x10 ? 1 : MPQ_ALL, 0, &did);
		break;
	case 9:
		(void)mpq_join(q, op & 0x10, MPQ_NOW);
		break;
	case 10:
		(void)mpq_sweep(q);
		break;
	case 11:
		(void)mpq_close(q, op & 0x10 ? MPQ_CLOSE : op & 0x20 ? MPQ_CLOSE_WRITE : MPQ_CLOSE_NOW);
		break;
	case 12:
		(void)mpq_check(q);
		break;
	case 13:
		write_run(q, op);
		break;
	case 14:
		(void)mpq_wait(&watch, 1, MPQ_NOW);
		break;
	default:
		if (op & 0x40) {
			settle(q, op);
			break;
		}
		(void)mpq_own_end(q, &world_self);
		(void)mpq_can_put(q, MPQ_NOW);
	}
}

/* A change among the operations: of the bytes as they are now. */
static void
change_now(const struct world *w, struct input *in)
{
	uint32_t *lock = &((struct head *)w->map)->lock;

	change(w, in);
	*lock &= LOCK_FLAGS;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	world_make();
	atexit(world_remove);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size }, ops;
	unsigned which = byte(&in) % WORLDS, n;
	struct world *w = &world[which];
	struct mpq *q;

	world_restore(w);
	memset(&kept, 0, sizeof kept);
	n = byte(&in) % OPERATIONS_MAX;
	n = n < in.left ? n : (unsigned)in.left;
	ops = (struct input){ in.at, n };
	in.at += n, in.left -= n;
	while (in.left != 0)
		change(w, &in);
	((struct head *)w->map)->lock &= LOCK_FLAGS;
	if (mpq_open(&world_place, world_name[which], 0, &q, NULL) != MPQ_OK)
		return 0;
	while (ops.left != 0) {
		uint8_t op = byte(&ops);

		if ((op & 0x8f) == 0x8f)
			change_now(w, &ops);
		else
			operate(q, op);
	}
	(void)mpq_check(q);
	mpq_detach(q);
	return 0;
}
