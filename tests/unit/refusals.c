/* SPDX-License-Identifier: ISC
 *
 * refusals.c - what the rooms of the library refuse when they are handed words that a peer has spoilt: numbers that are no
 * chunk or record, chains that break off, extents whose messages and bytes disagree. Each function is called by itself, in
 * a transaction that is undone afterwards; the attacks on whole queues (tests/fuzz) are mostly stopped before they get
 * there. Also what a handle cannot do: the calls on an end of a pipe that does not go this way.
 */
#include <limits.h>

#include "extent.h"
#include "journal.h"
#include "op.h"
#include "owner.h"
#include "queue.h"
#include "room.h"

static struct mpq *q;

/* A new queue with eight chunks, 256 to 263, that nobody uses, and its lock. */
static void
enter(void)
{
	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	for (int i = 0; i < 8; i++)
		if (chunk_provide(q, NEED_CHUNK, 0) != MPQ_OK)
			diag("no chunk");
	if (owner_self(q) != MPQ_OK || op_enter(q, MPQ_FOREVER) != MPQ_OK)
		diag("no lock");
	q->head->free = 0;
}

static void
leave(void)
{
	op_leave(q, MPQ_EMPTY, NULL);
}

/* ---- chunks and records ---------------------------------------------------------------------------------- */

static void
chunks(void)
{
	uint32_t n;

	enter();
	IS(chunk_give(q, 255, 256, 1), MPQ_DAMAGED, "a chain that begins with no chunk");
	IS(chunk_give(q, 256, 264, 1), MPQ_DAMAGED, "or ends with none");
	IS(chunk_unref(q, 0), MPQ_DAMAGED, "no chunk to let go");
	chunk_at(q, 256)->use = PAIR(0, 1), chunk_at(q, 257)->use = PAIR(0, 4), chunk_at(q, 258)->use = PAIR(0, 1);
	chunk_at(q, 256)->link = 257, chunk_at(q, 257)->link = 258, chunk_at(q, 258)->link = 0;
	q->head->small = PAIR(256, 3);
	OK(chunk_take_small(q, 2 * PAGE, &n) == MPQ_OK && n == 257, "the second of small chunks is the first that it fits");
	OK(get(&q->head->small) == PAIR(256, 2) && chunk_next(q, 256) == 258, "the others stay");
	chunk_at(q, 256)->link = 5;
	IS(chunk_take_small(q, 2 * PAGE, &n), MPQ_DAMAGED, "small ones that are none");
	q->head->small = PAIR(256, 1);
	IS(chunk_take_small(q, 2 * PAGE, &n), NEED_SMALL, "more of them than are counted are not looked at");
	leave();
}

static void
records(void)
{
	const uint32_t builtin = BUILTIN_POOL / RECORD, all = (PAGE - BUILTIN_POOL) / RECORD - 1;
	struct pool *pool;
	uint32_t r;

	enter();
	pool = &q->head->pool;
	IS(record_give(q, 0), MPQ_DAMAGED, "no record to give");
	IS(record_give(q, (uint32_t)(chunk_offset(256) / RECORD)), MPQ_DAMAGED, "nor the first of a chunk");
	IS(record_give(q, (uint32_t)(chunk_offset(263) / RECORD) + CHUNK / RECORD + 1), MPQ_DAMAGED, "nor one behind the end");
	pool->state = (uint64_t)(all - 1) | (uint64_t)all << 16;
	pool->link = PAIR(7, 0);
	IS(record_take(q, &r), MPQ_DAMAGED, "the last record of a pool, and the next pool is none");
	pool->state = (uint64_t)(all - 1) | (uint64_t)all << 16;
	pool->link = PAIR(0, 7);
	IS(record_take(q, &r), MPQ_DAMAGED, "nor the one before");
	pool->state = (uint64_t)(all - 1) | (uint64_t)all << 16;
	pool->link = 0;
	OK(record_take(q, &r) == MPQ_OK && r == builtin + all, "the last one");
	IS(get(&q->head->pools), 0, "then there is no pool");
	leave();
}

/* ---- extents --------------------------------------------------------------------------------------------- */

static unsigned char *
bytes_of(uint32_t n)
{
	return at(q, chunk_offset(n));
}

static int
measure(struct piece p, uint64_t max_msgs, uint64_t max_bytes)
{
	uint64_t msgs, bytes;

	return extent_measure(q, &p, max_msgs, max_bytes, &msgs, &bytes);
}

static void
measures(void)
{
	struct piece p = { .first = 256, .last = 263, .from = 0, .bytes = 100, .msgs = 2, .framing = MPQ_LINES };

	enter();
	memcpy(bytes_of(256), "a\nb\nand more", 12);
	IS(extent_walk(q, 256, UINT64_MAX), 0, "no chain is longer than the file");
	IS(measure(p, 5, 50), MPQ_DAMAGED, "more bytes than messages");
	p.first = 264;
	IS(measure(p, 1, 50), MPQ_DAMAGED, "lines in no chunk");
	p.framing = MPQ_LENGTHS;
	IS(measure(p, 1, 50), MPQ_DAMAGED, "lengths in no chunk");
	p.first = 256, p.from = CHUNK - 2;
	chunk_at(q, 256)->link = 0;
	IS(measure(p, 1, 50), MPQ_DAMAGED, "a length in two chunks, of which there is one");
	p.from = 0;
	memcpy(bytes_of(256), "\0\0\0\310", 4);
	IS(measure(p, 1, 50), MPQ_DAMAGED, "a length of more than there is");
	memset(bytes_of(256), 0xff, 4);
	p.bytes = (uint64_t)1 << 33;
	IS(measure(p, 1, 50), MPQ_DAMAGED, "a length of more than a message has");
	p.bytes = 3;
	IS(measure(p, 1, 2), MPQ_DAMAGED, "half a length");
	leave();
}

/* An extent of two chunks, and its record. */
static uint32_t
two_chunks(struct piece *p)
{
	uint32_t r = 0;

	*p = (struct piece){ .first = 256, .last = 257, .bytes = 2 * CHUNK, .msgs = 2, .kind = KIND_FRESH,
		.framing = MPQ_LINES };
	chunk_join(q, 256, 257);
	IS(extent_new(q, p, &r), MPQ_OK, "an extent of two chunks");
	return r;
}

static void
splits(void)
{
	struct piece p, f;
	uint32_t r, front;

	enter();
	r = two_chunks(&p);
	IS(extent_split(q, r, &p, 0, 10, &front, &f), MPQ_DAMAGED, "no messages are split off");
	IS(extent_split(q, r, &p, 2, 10, &front, &f), MPQ_DAMAGED, "nor all");
	IS(extent_split(q, r, &p, 1, 2 * CHUNK, &front, &f), MPQ_DAMAGED, "nor all bytes");
	chunk_at(q, 256)->link = 0;
	IS(extent_split(q, r, &p, 1, CHUNK, &front, &f), MPQ_DAMAGED, "at the end of a chunk, with none behind it");
	p = (struct piece){ 0 };
	leave();
	enter();
	r = two_chunks(&p);
	IS(extent_split(q, r, &p, 1, CHUNK, &front, &f), MPQ_OK, "with one behind it");
	OK(f.last == 256 && p.first == 257 && p.from == 0 && chunk_extra(q, 256) == 0, "each part has its own chunk");
	leave();
	enter();
	r = two_chunks(&p);
	IS(extent_split(q, r, &p, 1, 10, &front, &f), MPQ_OK, "within a chunk");
	OK(f.last == 256 && p.first == 256 && p.from == 10 && chunk_extra(q, 256) == 1, "both have it");
	leave();
}

static void
joins(void)
{
	struct piece a = { .first = 256, .last = 256, .bytes = CHUNK, .msgs = 1, .seq = 7, .framing = MPQ_LINES }, b = a, c;

	enter();
	b.first = b.last = 257, b.seq = 8;
	chunk_join(q, 256, 257);
	OK(extent_adjoin(q, &a, &b), "neighbours in two chunks");
	b.from = 1;
	OK(!extent_adjoin(q, &a, &b), "not from the second byte on");
	b.from = 0;
	chunk_at(q, 257)->link = PAIR(0, 258);
	OK(!extent_adjoin(q, &a, &b), "nor if the second chunk does not say so");
	chunk_at(q, 256)->link = PAIR(258, 0);
	OK(!extent_adjoin(q, &a, &b), "or the first");
	b.seq = 8;
	c = a;
	IS(extent_merge(q, BUILTIN_POOL / RECORD + 1, &c, &b), MPQ_OK, "these two become one");
	OK(c.last == 257 && c.msgs == 2 && c.bytes == 2 * CHUNK, "of both");
	c = b = a;
	b.seq = 8, b.attempts = 1;
	OK(!extent_adjoin(q, &a, &b), "nor with other attempts");
	b = c, b.side = 1, b.seq = 8;
	OK(!extent_adjoin(q, &a, &b), "or of another side");
	c.last = b.first = 5;
	IS(extent_merge(q, BUILTIN_POOL / RECORD + 1, &c, &b), MPQ_DAMAGED, "no chunk to join in");
	leave();
}

static void
drops(void)
{
	struct piece p;
	uint64_t list = 0;
	bool more;
	uint32_t r;

	for (int side = 0; side < 2; side++) {
		enter();
		r = two_chunks(&p);
		chunk_ref(q, side == 0 ? 256 : 257);
		chunk_at(q, side == 0 ? 256 : 257)->link = 0;
		IS(extent_drop(q, r, &p), MPQ_DAMAGED, "a chain shared at its %s, where it breaks off",
		    side == 0 ? "front" : "end");
		leave();
		enter();
		r = two_chunks(&p);
		chunk_ref(q, side == 0 ? 256 : 257);
		IS(extent_drop(q, r, &p), MPQ_OK, "a chain shared at its %s", side == 0 ? "front" : "end");
		IS(get(&q->head->free), PAIR(side == 0 ? 257 : 256, 1), "the other chunk is free");
		leave();
	}
	enter();
	r = two_chunks(&p);
	p.bytes = 1;
	IS(extent_drop(q, r, &p), MPQ_DAMAGED, "one chunk by its bytes, two by its ends");
	p.first = 5;
	IS(extent_crumble(q, r, &p, 1, &more), MPQ_DAMAGED, "garbage that is no chunk");
	IS(list_remove(q, &list, 0), MPQ_DAMAGED, "no record to remove");
	leave();
}

/* ---- the table of processes ------------------------------------------------------------------------------ */

static void
owners(void)
{
	uint32_t slot;

	enter();
	IS(owner_slot(q, &slot), MPQ_OK, "our slot");
	q->asleep = WAIT_GET;
	slot_at(q, slot)->link = 5;
	IS(owner_wait(q, 0, WAIT_PUT), MPQ_DAMAGED, "in a table that leads nowhere, we were asleep");
	q->asleep = 0;
	q->head->slots = PAIR(5, 5);
	IS(owner_end(q, &q->self, 1), MPQ_DAMAGED, "a table that is none has no owners of ends");
	IS(owner_holds(q, &q->self, 0), 0, "and no holders");
	leave();
}

/* Messages come back to the list of those that have come back, which a peer has spoilt. */
static void
returns(void)
{
	struct piece p = { .first = 256, .last = 256, .bytes = 10, .msgs = 1, .seq = 3, .kind = KIND_RETURNED,
		.framing = MPQ_LINES }, back = p;
	struct wakes wakes = { 0 };
	uint32_t head, tail, r;

	for (int circle = 0; circle < 2; circle++) {
		enter();
		q->head->side[0].held = 5;
		back.kind = KIND_TAKEN;
		IS(extent_new(q, &p, &head), MPQ_OK, "one message");
		p.seq = 10;
		IS(extent_new(q, &p, &tail), MPQ_OK, "a later one");
		p.seq = 3;
		IS(extent_new(q, &back, &r), MPQ_OK, "and one to come back");
		extent_at(q, head)->link = PAIR(head, 0);
		q->head->side[0].returned = PAIR(circle ? head : 5, tail);
		IS(side_return(q, r, &back, &wakes), MPQ_DAMAGED, circle ? "to a circle" : "to a list of none");
		leave();
	}
}

/* ---- what a process leaves ------------------------------------------------------------------------------- */

/* Our own list, walked for garbage. */
static void
leavings(void)
{
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX };
	struct mpq_run run;

	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	q->garbage = true;
	owner_clean(q);
	OK(q->slot == 0 && q->self.pid == getpid() && get(&q->head->sick) == 0, "nothing to clean, and not even a name yet");
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	IS(mpq_take(q, &want, 0, MPQ_NOW, &run), MPQ_OK, "take");
	q->garbage = true;
	extent_at(q, run.id)->link = PAIR(run.id, 0);
	owner_clean(q);
	IS(get(&q->head->sick), HEAD_DAMAGED, "a list that goes in a circle");
	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	IS(mpq_take(q, &want, 0, MPQ_NOW, &run), MPQ_OK, "take");
	q->garbage = true;
	extent_at(q, run.id)->what = 0xff;
	owner_clean(q);
	IS(get(&q->head->sick), HEAD_DAMAGED, "an extent of no kind");
}

/* An extent without messages, kept for the next one. */
static void
idle(void)
{
	char text[8];
	size_t len;

	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	IS(mpq_get(q, text, sizeof text, &len, MPQ_NOW), MPQ_OK, "get");
	OK(LOW(get(&q->head->side[0].fresh)) != 0, "an idle extent");
	IS(op_enter(q, MPQ_FOREVER), MPQ_OK, "lock");
	extent_at(q, LOW(get(&q->head->side[0].fresh)))->link = 5;
	IS(side_drop_idle(q, 0), MPQ_DAMAGED, "in a list that leads nowhere");
	leave();
}

/* What is in hand, and what a handle says of it. */
static void
hands(void)
{
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX };
	static char bytes[CHUNK];
	struct mpq_owner me;
	struct mpq_run run, forged;
	struct mpq_writer w;
	uint64_t put, bytes_put;
	char text[8] = "";

	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	IS(mpq_owner_of(getpid(), &me), MPQ_OK, "who we are");
	IS(mpq_put(q, "one", 3, MPQ_NOW), MPQ_OK, "put");
	IS(mpq_take(q, &want, 0, MPQ_NOW, &run), MPQ_OK, "take");
	forged = run, forged.id = 3;
	IS(mpq_settle(q, &forged, 1, run.bytes, MPQ_GOT, NULL), MPQ_STALE, "a run of no record");
	q->head->slots = PAIR(5, HIGH(q->head->slots));
	IS(mpq_settle(q, &run, 1, run.bytes, MPQ_HOLD, &me), MPQ_DAMAGED, "held, in a table that is none");
	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	mpq_writer_init(&w, q, MPQ_BARE);
	IS(mpq_writer_append(&w, bytes, CHUNK), MPQ_OK, "a chunk full");
	w.first = 5;
	IS(mpq_writer_commit(&w, 1, CHUNK, MPQ_NOW, &put, &bytes_put), MPQ_STALE, "which begins in no chunk");
	mpq_writer_peek(&w, 0, text, 1);
	IS(text[0], 0, "nothing can be read there");
	IS(get(&q->head->sick), HEAD_DAMAGED, "and the queue is damaged");
	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	mpq_writer_init(&w, q, MPQ_BARE);
	memset(bytes, 'b', sizeof bytes);
	IS(mpq_writer_append(&w, bytes, CHUNK), MPQ_OK, "a chunk full");
	mpq_writer_peek(&w, CHUNK - 2, text, 5);
	OK(memcmp(text, "bb\0\0", 4) == 0, "no more is read than there is");
	extent_at(q, w.reservation)->link = 5;
	IS(mpq_writer_commit(&w, 1, CHUNK, MPQ_NOW, &put, &bytes_put), MPQ_DAMAGED, "reserved in a list that leads nowhere");
}

/* A message that goes on in a chunk that there is not. */
static void
broken_message(void)
{
	static char bytes[CHUNK];
	struct mpq_writer w;
	uint64_t put, n;
	size_t len;

	mpq_detach(q);
	q = room_queue("refusals", 0, 0, MPQ_QUEUE);
	for (int i = 0; i < 2; i++) {
		mpq_writer_init(&w, q, MPQ_BARE);
		IS(mpq_writer_append(&w, bytes, CHUNK - 1000), MPQ_OK, "a long message");
		IS(mpq_writer_commit(&w, 1, CHUNK - 1000, MPQ_NOW, &put, &n), MPQ_OK, "is put");
		mpq_writer_reset(&w);
	}
	q->head->side[0].returned = 0;
	extent_at(q, LOW(get(&q->head->side[0].fresh)))->place = PAIR(FIRST_CHUNK, CHUNK - 10);
	extent_at(q, LOW(get(&q->head->side[0].fresh)))->bytes = 100;
	chunk_at(q, FIRST_CHUNK)->link = 0;
	IS(mpq_get(q, bytes, sizeof bytes, &len, MPQ_NOW), MPQ_DAMAGED, "a message that goes on in no chunk");
}

/* ---- ends that do not go this way ------------------------------------------------------------------------ */

static void
wrong_ends(void)
{
	struct mpq_bounds bounds = { .mode = 0600, .kind = MPQ_SIMPLEX };
	struct mpq_want want = { .msgs = 1, .bytes = UINT64_MAX };
	struct mpq_run run = { .id = 1, .msgs = 1 };
	struct mpq *in, *out;
	struct mpq_writer w;
	uint64_t put, bytes;
	char text[8];
	void *space;
	size_t len;

	IS(mpq_create(&room, "simplex", &bounds, NULL), MPQ_OK, "a pipe of one way");
	in = room_open("simplex@1"), out = room_open("simplex@2");
	IS(mpq_get(out, text, sizeof text, &len, MPQ_NOW), MPQ_WRONGEND, "nothing is got where it begins");
	IS(mpq_take(out, &want, 0, MPQ_NOW, &run), MPQ_WRONGEND, "or taken");
	IS(mpq_attempt(out, &run), MPQ_WRONGEND, "or tried");
	IS(mpq_settle(out, &run, 1, 1, MPQ_GOT, NULL), MPQ_WRONGEND, "or settled");
	IS(mpq_put(in, "x", 1, MPQ_NOW), MPQ_WRONGEND, "nothing is put where it ends");
	OK(mpq_most_bytes(in) == UINT64_MAX, "nor bounded there");
	mpq_writer_init(&w, in, MPQ_LINES);
	IS(mpq_writer_space(&w, &space, &len), MPQ_WRONGEND, "or reserved");
	IS(mpq_writer_commit(&w, 1, 1, MPQ_NOW, &put, &bytes), MPQ_WRONGEND, "or committed");
	mpq_writer_init(&w, out, MPQ_BARE);
	IS(mpq_writer_append(&w, "x", 1), MPQ_OK, "one byte is put into its beginning");
	IS(mpq_writer_commit(&w, 1, 2, MPQ_NOW, &put, &bytes), MPQ_STALE, "not two");
	IS(mpq_writer_commit(&w, 1, 0, MPQ_NOW, &put, &bytes), MPQ_STALE, "no message of no bytes");
	IS(mpq_writer_commit(&w, 0, 1, MPQ_NOW, &put, &bytes), MPQ_STALE, "no bytes of no message");
	IS(mpq_writer_commit(&w, 2, 1, MPQ_NOW, &put, &bytes), MPQ_STALE, "a bare message is one");
	mpq_writer_reset(&w);
	IS(mpq_close(in, MPQ_CLOSE), MPQ_OK, "its end can be closed");
	IS(mpq_put(out, "x", 1, MPQ_NOW), MPQ_CLOSED, "then nothing can be put");
	mpq_detach(in), mpq_detach(out);
}

/* Each result has words of its own. */
static void
words(void)
{
	int same = 0;

	for (int a = MPQ_OK; a <= MPQ_STALE; a++)
		for (int b = MPQ_OK; b < a; b++)
			same += strcmp(mpq_strerror(a), mpq_strerror(b)) == 0;
	IS(same, 0, "each result has words of its own");
	OK(strcmp(mpq_strerror(-ENOENT), strerror(ENOENT)) == 0, "and an error of the system those of the system");
	OK(strcmp(mpq_strerror(MPQ_STALE + 1), "unknown result") == 0 && strcmp(mpq_strerror(INT_MAX), "unknown result") == 0,
	    "others are unknown");
}

int
main(void)
{
	room_make();
	chunks();
	records();
	measures();
	splits();
	joins();
	drops();
	owners();
	returns();
	leavings();
	idle();
	hands();
	broken_message();
	wrong_ends();
	words();
	mpq_detach(q);
	return tap_end();
}
