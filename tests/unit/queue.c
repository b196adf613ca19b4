/* SPDX-License-Identifier: ISC
 *
 * queue.c - messages in and out: sizes around every edge, all framings, parts settled, old places, holds, fair shares,
 * looks at what is taken meanwhile, bounds, closing, ends of pipes. The queue is checked after each step.
 */
#include "room.h"

#define BIG ((size_t)5 << 20)

static struct mpq *q;
static unsigned char *out, *in;

static const size_t sizes[] = { 0, 1, 2, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 4098, 4099, 4100, 16383, 16384,
	16385, 65531, 65532, 65533, 65535, 65536, 65537, 65540, 65541, 1 << 20, (1 << 20) + 1, BIG };
#define SIZES (sizeof sizes / sizeof sizes[0])

static void
fill(unsigned char *to, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++) {
		to[i] = (unsigned char)((i * 7 + i / 251 + seed) & 0xff);
		if (to[i] == '\n' || to[i] == '\0')
			to[i] = 'x';
	}
}

static bool
get_is(size_t size, unsigned seed)
{
	size_t len = 1;
	int err = mpq_get(q, in, BIG + 8, &len, MPQ_NOW);

	fill(out, size, seed);
	if (err != MPQ_OK || len != size || memcmp(in, out, size) != 0) {
		diag("%s, %zu bytes, not %zu", mpq_strerror(err), len, size);
		return false;
	}
	return true;
}

static bool
text_is(const char *text)
{
	size_t len = 0;
	int err = mpq_get(q, in, BIG, &len, MPQ_NOW);

	if (err == MPQ_OK && len == strlen(text) && memcmp(in, text, len) == 0)
		return true;
	diag("%s: \"%.*s\", not \"%s\"", mpq_strerror(err), err == MPQ_OK ? (int)len : 0, (char *)in, text);
	return false;
}

static void
put(const char *text)
{
	IS(mpq_put(q, text, strlen(text), MPQ_NOW), MPQ_OK, "put %s", text);
}

static void
whole(const char *what)
{
	IS(mpq_check(q), MPQ_OK, "the queue is whole: %s", what);
}

/* ---- sizes ----------------------------------------------------------------------------------------------- */

static void
each_size(void)
{
	bool good = true;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	for (unsigned i = 0; i < SIZES; i++) {
		fill(out, sizes[i], i);
		if (mpq_put(q, out, sizes[i], MPQ_NOW) != MPQ_OK || mpq_check(q) != MPQ_OK || !get_is(sizes[i], i) ||
		    mpq_check(q) != MPQ_OK)
			good = OK(false, "a message of %zu bytes", sizes[i]);
	}
	OK(good, "messages of %zu sizes, one by one", SIZES);
	for (unsigned i = 0; i < SIZES; i++) {
		fill(out, sizes[i], i + 3);
		good &= mpq_put(q, out, sizes[i], MPQ_NOW) == MPQ_OK;
	}
	whole("all sizes at once");
	for (unsigned i = 0; i < SIZES; i++)
		good &= get_is(sizes[i], i + 3) && mpq_check(q) == MPQ_OK;
	OK(good, "messages of all sizes at once, in order");
	mpq_detach(q);
}

static size_t
frame(enum mpq_framing framing, size_t size, unsigned seed, unsigned char *to)
{
	if (framing == MPQ_LENGTHS) {
		for (int i = 0; i < 4; i++)
			to[i] = (unsigned char)(size >> (24 - 8 * i));
		fill(to + 4, size, seed);
		return size + 4;
	}
	fill(to, size, seed);
	if (framing == MPQ_BARE)
		return size;
	to[size] = framing == MPQ_LINES ? '\n' : '\0';
	return size + 1;
}

static void
each_framing(void)
{
	static const char *const name[] = { "", "lines", "NULs", "lengths", "bare" };
	struct mpq_writer w;
	uint64_t done, bytes;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	for (int framing = MPQ_LINES; framing <= MPQ_BARE; framing++) {
		bool good = true;

		mpq_writer_init(&w, q, (enum mpq_framing)framing);
		for (unsigned i = framing == MPQ_BARE; i < SIZES && good; i++) {
			size_t n = frame((enum mpq_framing)framing, sizes[i], i, out);

			good = mpq_writer_append(&w, out, n) == MPQ_OK &&
			    mpq_writer_commit(&w, 1, n, 0, &done, &bytes) == MPQ_OK && done == 1 && bytes == n &&
			    mpq_check(q) == MPQ_OK;
		}
		mpq_writer_reset(&w);
		for (unsigned i = framing == MPQ_BARE; i < SIZES && good; i++)
			good = get_is(sizes[i], i) && mpq_check(q) == MPQ_OK;
		OK(good, "all sizes through a writer: %s", name[framing]);
	}
	whole("after all framings");
	mpq_detach(q);
}

static void
kept_by_writer(void)
{
	struct mpq_writer w;
	uint64_t done, bytes;
	char rest[8] = "";

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	mpq_writer_init(&w, q, MPQ_LINES);
	IS(mpq_writer_append(&w, "one\ntwo\nthr", 11), MPQ_OK, "two lines and a piece");
	IS(mpq_writer_commit(&w, 2, 8, 0, &done, &bytes), MPQ_OK, "commit the two");
	mpq_writer_peek(&w, 0, rest, 3);
	OK(w.pending == 3 && strcmp(rest, "thr") == 0, "the piece stays");
	whole("with a reservation");
	IS(mpq_writer_append(&w, "ee\n", 3), MPQ_OK, "its other half");
	IS(mpq_writer_commit(&w, 1, 6, 0, &done, &bytes), MPQ_OK, "commit it");
	IS(mpq_writer_commit(&w, 1, 6, 0, &done, &bytes), MPQ_STALE, "there is no more to commit");
	mpq_writer_reset(&w);
	OK(text_is("one") && text_is("two") && text_is("three"), "all three arrive");
	whole("after the writer");
	mpq_detach(q);
}

/* The extent of the last message stays for the next one (lib/put.c): alone, under a look, beside what comes back, before a
 * run, and when the next message does not fit its chunk. */
static void
idle(void)
{
	static const char big[4090] = "x";
	struct mpq_want look = { .msgs = 9, .bytes = UINT64_MAX, .flags = MPQ_PEEK }, two = { .msgs = 2, .bytes = UINT64_MAX };
	struct mpq_run run, seen;
	struct mpq_writer w;
	uint64_t done, bytes;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	put("a");
	OK(text_is("a"), "the only message");
	whole("idle");
	IS(mpq_take(q, &look, 0, MPQ_NOW, &seen), MPQ_EMPTY, "nothing to look at");
	put("b\nc");
	OK(text_is("b\nc"), "another framing");
	put("d");
	IS(mpq_take(q, &look, 0, MPQ_NOW, &seen), MPQ_OK, "a look at the only one");
	OK(text_is("d"), "taken meanwhile");
	whole("dropped under a look");
	put("e");
	IS(mpq_settle(q, &seen, 0, 0, MPQ_GOT, NULL), MPQ_OK, "the look is over");
	put("f"), put("g");
	IS(mpq_take(q, &two, 0, MPQ_NOW, &run), MPQ_OK, "take two");
	OK(text_is("g"), "the only one that is left");
	whole("idle, with some in hand");
	IS(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL), MPQ_OK, "both come back");
	whole("idle, behind what came back");
	IS(mpq_take(q, &look, 0, MPQ_NOW, &seen), MPQ_OK, "a look at what came back");
	IS(mpq_take(q, &look, seen.seq + seen.msgs, MPQ_NOW, &run), MPQ_EMPTY, "and there is no more");
	IS(mpq_settle(q, &seen, 0, 0, MPQ_GOT, NULL), MPQ_OK, "the look is over");
	put("h");
	OK(text_is("e") && text_is("f") && text_is("h"), "all in order");
	mpq_writer_init(&w, q, MPQ_LINES);
	IS(mpq_writer_append(&w, "i\nj\n", 4), MPQ_OK, "a run");
	IS(mpq_writer_commit(&w, 2, 4, 0, &done, &bytes), MPQ_OK, "behind the idle extent");
	whole("no idle extent any more");
	mpq_writer_reset(&w);
	OK(text_is("i") && text_is("j"), "it arrives");
	put("k");
	OK(text_is("k"), "idle again");
	IS(mpq_put(q, big, sizeof big, MPQ_NOW), MPQ_OK, "a message that needs another chunk");
	whole("with another chunk");
	IS(mpq_put(q, big, sizeof big, MPQ_NOW), MPQ_OK, "and one more");
	IS(mpq_get(q, in, BIG, &(size_t){ 0 }, MPQ_NOW) | mpq_get(q, in, BIG, &(size_t){ 0 }, MPQ_NOW), MPQ_OK, "get both");
	whole("idle in another chunk");
	put("l");
	IS(mpq_close(q, MPQ_CLOSE_NOW), MPQ_OK, "close at once");
	whole("closed");
	mpq_detach(q);
}

/* ---- taking ---------------------------------------------------------------------------------------------- */

static int
take(struct mpq *h, uint64_t n, unsigned flags, struct mpq_run *run)
{
	struct mpq_want want = { .msgs = n, .bytes = UINT64_MAX, .flags = flags };

	return mpq_take(h, &want, 0, MPQ_NOW, run);
}

static void
parts(void)
{
	struct mpq_run run;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	put("a"), put("b"), put("c"), put("d");
	IS(take(q, 4, 0, &run), MPQ_OK, "take four");
	IS(run.msgs, 4, "in one run");
	IS(mpq_settle(q, &run, 2, 4, MPQ_GOT, NULL), MPQ_OK, "settle two");
	whole("after a part was settled");
	IS(mpq_settle(q, &run, 2, 4, MPQ_GOT, NULL), MPQ_STALE, "not twice");
	whole("after settling twice");
	OK(text_is("c") && text_is("d"), "the rest is there");
	put("e");
	IS(take(q, 1, 0, &run), MPQ_OK, "take one");
	IS(mpq_settle(q, &run, 1, 2, MPQ_DONE, NULL), MPQ_OK, "settle it");
	IS(mpq_settle(q, &run, 1, 2, MPQ_DONE, NULL), MPQ_STALE, "not twice, nothing left either");
	whole("after settling twice");
	mpq_detach(q);
}

static void
old_places(void)
{
	struct mpq *other;
	struct mpq_run a, b, c;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	other = room_open("queue");
	put("1"), put("2"), put("3"), put("4"), put("5"), put("6");
	IS(take(q, 2, 0, &a) | take(other, 2, 0, &b) | take(q, 1, 0, &c), MPQ_OK, "three runs by two handles");
	IS(mpq_settle(q, &c, 0, 0, MPQ_GOT, NULL), MPQ_OK, "the last comes back");
	IS(mpq_settle(q, &a, 0, 0, MPQ_GOT, NULL), MPQ_OK, "then the first");
	whole("two of three back");
	OK(text_is("1"), "the first is first");
	IS(mpq_settle(other, &b, 1, 2, MPQ_GOT, NULL), MPQ_OK, "then half of the second");
	whole("all back");
	OK(text_is("2") && text_is("4") && text_is("5") && text_is("6"), "all in their old places");
	mpq_detach(other);
	mpq_detach(q);
}

static void
holds(void)
{
	struct mpq_owner me;
	struct mpq_run run;
	struct mpq_stat st;
	uint64_t did;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	mpq_owner_of(getpid(), &me);
	IS(mpq_task_done(q, &me, 0, 0, &did), MPQ_OK, "none of none is not too many");
	put("a"), put("b"), put("c"), put("d");
	IS(take(q, 3, 0, &run), MPQ_OK, "take three");
	IS(mpq_settle(q, &run, 3, 6, MPQ_HOLD, &me), MPQ_OK, "hold them");
	whole("three held");
	IS(mpq_task_done(q, NULL, 2, 0, &did), MPQ_OVERDONE, "a mere count does not touch what is held");
	IS(mpq_task_done(q, &me, 4, 0, &did), MPQ_OVERDONE, "no more than are held");
	IS(mpq_task_done(q, &me, 1, 0, &did), MPQ_OK, "the first is done");
	IS(mpq_task_done(q, &me, 1, 1, &did), MPQ_OK, "the second goes back");
	whole("one done, one back");
	mpq_stat(q, &st);
	OK(st.held == 1 && st.size == 2 && st.unfinished == 3 && st.dones == 1, "the figures agree");
	OK(text_is("b") && text_is("d"), "it is in its old place");
	IS(mpq_task_done(q, &me, MPQ_ALL, 1, &did), MPQ_OK, "all");
	OK(did == 1 && text_is("c"), "goes back too");
	IS(mpq_task_done(q, NULL, MPQ_ALL, 0, &did), MPQ_OK, "all are done");
	IS(mpq_join(q, 0, MPQ_NOW), MPQ_OK, "nothing is unfinished");
	whole("at the end");
	mpq_detach(q);
}

static void
shares(void)
{
	struct mpq_stat st;
	struct mpq_run run;
	pid_t pid;
	size_t len;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	if ((pid = child()) == 0) {
		q = room_open("queue");
		mpq_get(q, in, BIG, &len, MPQ_FOREVER);
		_exit(0);
	}
	UNTIL(mpq_stat(q, &st) == MPQ_OK && st.getters == 1);
	kill(pid, SIGSTOP);
	UNTIL(process_state(pid) == 'T');
	for (int i = 0; i < 10; i++)
		put("m");
	IS(take(q, 10, MPQ_SHARE, &run), MPQ_OK, "take ten while another waits");
	IS(run.msgs, 5, "its share is left to it");
	IS(mpq_settle(q, &run, 5, 10, MPQ_GOT, NULL), MPQ_OK, "settle");
	kill_child(pid);
	mpq_sweep(q);
	IS(take(q, 10, MPQ_SHARE, &run), MPQ_OK, "take when nobody waits");
	IS(run.msgs, 5, "all");
	mpq_detach(q);
	q = room_open("queue");
	whole("after the shares");
	mpq_detach(q);
}

/* ---- looking --------------------------------------------------------------------------------------------- */

static void
look_at(size_t size, const char *what)
{
	struct mpq *other;
	struct mpq_run run, taken;
	struct iovec iov[100];
	size_t at = 0;
	int n, err;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	other = room_open("queue");
	fill(out, size, 5);
	err = mpq_put(q, out, size, MPQ_NOW);
	IS(err == MPQ_OK ? take(q, 1, MPQ_PEEK, &run) : err, MPQ_OK, "look at a message of %s", what);
	whole("while it is looked at");
	IS(take(other, 1, 0, &taken), MPQ_OK, "another takes it");
	IS(mpq_settle(other, &taken, 1, taken.bytes, MPQ_DONE, NULL), MPQ_OK, "and drops it");
	whole("after it was dropped");
	fill(in, size, 99);
	err = mpq_put(other, in, size, MPQ_NOW);
	IS(err, MPQ_OK, "and puts another");
	IS(mpq_run_map(q, &run, 0, iov, 100, &n), MPQ_OK, "map what is looked at");
	for (int i = 0; i < n; i++) {
		size_t part = iov[i].iov_len < size - at ? iov[i].iov_len : size - at;

		err |= memcmp(iov[i].iov_base, out + at, part) != 0;
		at += part;
	}
	OK(err == 0 && at == size, "its bytes are untouched");
	IS(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL), MPQ_OK, "the look is over");
	whole("after the look");
	OK(get_is(size, 99), "the other message is there");
	mpq_detach(other);
	mpq_detach(q);
}

/* Whoever looks is killed when the message has gone: its chunks are freed in steps. */
static void
look_and_die(void)
{
	volatile int *ready = shared(sizeof *ready);
	struct mpq_run run;
	struct mpq_stat st;
	uint64_t memory;
	pid_t pid;
	size_t len;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	fill(out, BIG, 1);
	IS(mpq_put(q, out, BIG, MPQ_NOW), MPQ_OK, "put 5 MiB");
	if ((pid = child()) == 0) {
		q = room_open("queue");
		*ready = take(q, 1, MPQ_PEEK, &run) == MPQ_OK ? 1 : 2;
		for (;;)
			pause();
	}
	UNTIL(*ready);
	IS(*ready, 1, "another looks at it");
	IS(mpq_get(q, in, BIG, &len, MPQ_NOW), MPQ_OK, "get it");
	kill_child(pid);
	if ((pid = child()) == 0)
		_exit(mpq_sweep(room_open("queue")) == MPQ_OK ? 0 : 1);
	IS(reap_child(pid), 0, "the other is killed, and somebody sweeps");
	IS(mpq_sweep(q), MPQ_OK, "and once more");
	whole("after the sweep");
	mpq_stat(q, &st);
	memory = st.memory;
	IS(mpq_put(q, out, BIG, MPQ_NOW), MPQ_OK, "put 5 MiB again");
	mpq_stat(q, &st);
	OK(st.memory <= memory + (1 << 20) || st.memory <= BIG + (1 << 20), "in the same memory");
	mpq_detach(q);
}

/* ---- bounds, closing, pipes ------------------------------------------------------------------------------ */

static void
bounds(void)
{
	struct mpq_writer w;
	uint64_t done, bytes;

	q = room_queue("queue", 2, 10, MPQ_QUEUE);
	IS(mpq_put(q, "12345678901", 11, MPQ_NOW), MPQ_TOOBIG, "longer than the bound of bytes");
	put("123456");
	IS(mpq_put(q, "12345", 5, in_ms(5)), MPQ_FULL, "no room for its bytes");
	put("1234");
	IS(mpq_put(q, "", 0, MPQ_NOW), MPQ_FULL, "no room for one more");
	OK(text_is("123456") && text_is("1234"), "get both");
	mpq_writer_init(&w, q, MPQ_LINES);
	IS(mpq_writer_append(&w, "a\nb\nc\n", 6), MPQ_OK, "write three");
	IS(mpq_writer_commit(&w, 3, 6, 0, &done, &bytes), MPQ_FULL, "commit three");
	OK(done == 2 && bytes == 4 && w.pending == 2, "two fit, one stays");
	OK(text_is("a"), "get one");
	IS(mpq_writer_commit(&w, 1, 2, 0, &done, &bytes), MPQ_OK, "now it fits");
	mpq_writer_reset(&w);
	OK(text_is("b") && text_is("c"), "in order");
	whole("with bounds");
	mpq_detach(q);
}

static void
closing(void)
{
	struct mpq_owner me;
	struct mpq_run run;
	struct mpq_stat st;
	uint64_t did;

	q = room_queue("queue", 0, 0, MPQ_QUEUE);
	mpq_owner_of(getpid(), &me);
	put("a"), put("b"), put("c");
	IS(take(q, 1, 0, &run), MPQ_OK, "take one");
	IS(mpq_settle(q, &run, 1, 2, MPQ_HOLD, &me), MPQ_OK, "hold it");
	IS(mpq_close(q, MPQ_CLOSE), MPQ_OK, "close");
	IS(mpq_put(q, "d", 1, MPQ_NOW), MPQ_CLOSED, "no more puts");
	OK(text_is("b"), "what is there can be got");
	IS(mpq_close(q, MPQ_CLOSE_NOW), MPQ_OK, "close now");
	whole("closed now");
	IS(mpq_get(q, in, BIG, &(size_t){ 0 }, in_ms(5)), MPQ_EMPTY, "what is held may still come back");
	IS(mpq_task_done(q, &me, 1, 1, &did), MPQ_OK, "it comes back");
	IS(mpq_get(q, in, BIG, &(size_t){ 0 }, MPQ_NOW), MPQ_CLOSED, "and is dropped");
	mpq_stat(q, &st);
	OK(st.size == 0 && st.held == 0 && st.unfinished == 1, "as done; one was got and is not done");
	IS(mpq_task_done(q, NULL, 1, 0, &did), MPQ_OK, "it is done");
	IS(mpq_join(q, 1, MPQ_NOW), MPQ_OK, "joined, closed");
	whole("at the end");
	mpq_detach(q);
}

static void
pipes(void)
{
	struct mpq *one, *two, *bare = NULL;

	(void)room_queue("pipe", 0, 0, MPQ_PIPE);
	IS(mpq_open(&room, "pipe", 0, &bare, NULL), MPQ_WRONGEND, "a pipe's bare name moves no messages");
	one = room_open("pipe@1"), two = room_open("pipe@2");
	IS(mpq_put(one, "hello", 5, MPQ_NOW), MPQ_OK, "put at one end");
	q = one;
	IS(mpq_get(q, in, BIG, &(size_t){ 0 }, MPQ_NOW), MPQ_EMPTY, "it does not come back there");
	IS(mpq_put(two, "world", 5, MPQ_NOW), MPQ_OK, "put at the other");
	OK(text_is("world"), "one end gets it");
	q = two;
	OK(text_is("hello"), "the other gets its own");
	IS(mpq_close(one, MPQ_CLOSE_WRITE), MPQ_OK, "one end writes no more");
	IS(mpq_get(two, in, BIG, &(size_t){ 0 }, MPQ_NOW), MPQ_CLOSED, "the other finds the end");
	IS(mpq_put(two, "more", 4, MPQ_NOW), MPQ_OK, "and can still write");
	q = one;
	OK(text_is("more"), "to be read");
	whole("a pipe");
	mpq_detach(one), mpq_detach(two);
	(void)room_queue("simplex", 0, 0, MPQ_SIMPLEX);
	one = room_open("simplex@1"), two = room_open("simplex@2");
	IS(mpq_put(one, "a", 1, MPQ_NOW), MPQ_WRONGEND, "the reading end of a simplex pipe");
	IS(mpq_get(two, in, BIG, &(size_t){ 0 }, MPQ_NOW), MPQ_WRONGEND, "and the writing end");
	mpq_detach(one), mpq_detach(two);
}

/* Messages that end with a chunk's last byte, and one that goes on in the next chunk from where nothing is queued. */
static void
chunk_ends(void)
{
	struct mpq *ends = room_queue("ends", 0, 0, MPQ_QUEUE);
	struct mpq_want want = { .msgs = UINT64_MAX, .bytes = UINT64_MAX };
	static char text[4096], got[4096];
	struct mpq_run run;
	int bad = 0, n = 60;
	size_t len;

	memset(text, 'x', sizeof text);
	for (int i = 0; i < n; i++) {
		text[0] = (char)('0' + i);
		bad += mpq_put(ends, text, 4095, MPQ_NOW) != MPQ_OK;
	}
	for (int i = 0; i < n; i++)
		bad += mpq_get(ends, got, sizeof got, &len, MPQ_NOW) != MPQ_OK || len != 4095 || got[0] != '0' + i ||
		    got[4094] != 'x';
	IS(bad, 0, "messages of a page, chunk after chunk");
	for (int i = 0; i < 15; i++)
		bad += mpq_put(ends, text, 4000, MPQ_NOW) != MPQ_OK;
	IS(mpq_take(ends, &want, 0, MPQ_NOW, &run), MPQ_OK, "a chunk nearly full, in hand");
	bad += mpq_put(ends, text, 4000, MPQ_NOW) != MPQ_OK || mpq_get(ends, got, sizeof got, &len, MPQ_NOW) != MPQ_OK;
	text[3999] = 'y';
	bad += mpq_put(ends, text, 4000, MPQ_NOW) != MPQ_OK || mpq_check(ends) != MPQ_OK;
	bad += mpq_get(ends, got, sizeof got, &len, MPQ_NOW) != MPQ_OK || len != 4000 || memcmp(got, text, 4000) != 0;
	IS(bad, 0, "one more begins there and ends in the next");
	IS(mpq_settle(ends, &run, run.msgs, run.bytes, MPQ_DONE, NULL), MPQ_OK, "settled");
	IS(mpq_check(ends), MPQ_OK, "the queue is whole");
	mpq_detach(ends);
	ends = room_queue("ends", 0, 0, MPQ_QUEUE);
	for (int i = 0; i < 21; i++)         /* the chunks have 1, 4 and 16 pages */
		bad += mpq_put(ends, text, 4095, MPQ_NOW) != MPQ_OK;
	bad += mpq_get(ends, got, sizeof got, &len, MPQ_NOW) != MPQ_OK || mpq_put(ends, text, 4095, MPQ_NOW) != MPQ_OK;
	OK(bad == 0 && mpq_check(ends) == MPQ_OK, "behind a full chunk, the first and smallest is used again");
	for (int i = 0; i < 21; i++)
		bad += mpq_get(ends, got, sizeof got, &len, MPQ_NOW) != MPQ_OK || len != 4095 || memcmp(got, text, 4095) != 0;
	IS(bad, 0, "and all is got");
	mpq_detach(ends);
}

/* A buffer said to be as large as memory; and none, to ask for the length of a message that may be empty. */
static void
buffers(void)
{
	static const unsigned framings[] = { MPQ_LINES, MPQ_LENGTHS };
	size_t len = 1;

	for (size_t i = 0; i < sizeof framings / sizeof framings[0]; i++) {
		q = room_queue("buffers", 0, 0, MPQ_QUEUE);
		fill(out, 4096, 1);
		out[7] = framings[i] == MPQ_LENGTHS ? '\n' : 'x';
		IS(mpq_put(q, out, 4096, MPQ_NOW), MPQ_OK, "a message of a page");
		IS(mpq_put(q, "b", 1, MPQ_NOW), MPQ_OK, "and another");
		IS(mpq_get(q, in, SIZE_MAX, &len, MPQ_NOW), MPQ_OK, "got into a buffer without bounds");
		OK(len == 4096 && memcmp(in, out, len) == 0, "as it was");
		IS(mpq_get(q, NULL, 0, &len, MPQ_NOW), MPQ_TOOBIG, "no buffer is too small for the second");
		IS(len, 1, "whose length is told");
		IS(mpq_get(q, in, 1, &len, MPQ_NOW), MPQ_OK, "it is still there");
		IS(mpq_put(q, "", 0, MPQ_NOW), MPQ_OK, "an empty one");
		IS(mpq_get(q, NULL, 0, &len, MPQ_NOW), MPQ_OK, "is got without a buffer");
		IS(len, 0, "of no bytes");
		IS(mpq_check(q), MPQ_OK, "the queue is whole");
		mpq_detach(q);
	}
}

int
main(void)
{
	room_make();
	out = malloc(2 * BIG + 64);
	in = malloc(2 * BIG + 64);
	each_size();
	each_framing();
	kept_by_writer();
	idle();
	parts();
	old_places();
	holds();
	shares();
	look_at(10, "ten bytes");
	look_at(70000, "70,000 bytes");
	look_at(BIG, "5 MiB");
	look_and_die();
	bounds();
	closing();
	pipes();
	chunk_ends();
	buffers();
	return tap_end();
}
