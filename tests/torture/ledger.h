/* SPDX-License-Identifier: ISC
 *
 * ledger.h - messages that can be told from one another and checked, and the book in which producers and getters
 * write what they did with them. It is memory that all processes share: what a process has stored there before it is
 * killed counts.
 *
 * A message says who it is in its first 8 bytes; its length and all its other bytes follow from that. A message
 * without bytes cannot: those are only counted.
 *
 * What the judge asks of each message (judge_round):
 *   "put" was written    delivered, once;
 *   "tried" and no more  its producer died in the call: delivered once or never;
 *   "refused"            never delivered;
 *   and once more for each time that a getter was killed between taking it into its book and settling it. Who dies in
 *   mpq_get has perhaps got what is in its buffer: that one may be missing from the books.
 *
 * A pipe has two ways, and there are two accounts: producers and getters of even number use the one, those of odd
 * number the other. What was still on its way to an end that was closed is dropped: there may be less, nothing else.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "../unit/room.h"

#define PRODUCERS 8
#define GETTERS 8
#define HOLDERS 2
#define WATCHERS 2
#define OWNERS 4                     /* of the ends of a pipe: two, and two that succeed them */
#define PROCS (PRODUCERS + GETTERS + HOLDERS + WATCHERS + OWNERS)
#define FIRST_HOLDER (PRODUCERS + GETTERS)
#define FIRST_WATCHER (FIRST_HOLDER + HOLDERS)
#define FIRST_OWNER (FIRST_WATCHER + WATCHERS)
#define LARGEST ((size_t)1 << 20)
#define ID_BYTES 8
#define SEQ_BITS 22
#define FLIGHT 256
#define NO_ID UINT64_MAX             /* a message without bytes */

enum kind { PLAIN, WITH_NEWLINES, ANY, KINDS };   /* bytes in it: no newline and no NUL; no NUL; all */
enum { TRIED = 1, PUT = 2, REFUSED = 4, EMPTY = 8 };

struct fate {
	uint8_t state, got, maybe, excuse;
};

struct proc {
	pid_t pid;
	uint64_t seed;
	mpq_time since;              /* when it began what it is doing; 0: nothing */
	const char *doing;
	unsigned way;                /* its account */
	uint32_t owning;             /* the end is its own */
	mpq_time rung;               /* of a watcher: since when its sign has a message; 0: it has none */
	uint32_t getting;            /* it is in mpq_get */
	size_t len;                  /* of what mpq_get has copied to buf */
	uint32_t flight;             /* so many of ids are in the book and not settled */
	uint64_t doubt;              /* so many are being counted done */
	uint64_t ids[FLIGHT];
	unsigned char buf[LARGEST + 64];
};

struct account {
	uint64_t empties_got, empties_maybe, empties_excused;
	uint64_t bytes_put, bytes_got, dones, dones_doubted;
	bool dropped;                /* the end that it leads to was closed */
};

struct book {
	uint64_t round, next[PRODUCERS];
	struct account way[2];
	uint64_t torn, alien, ops;
	mpq_time killed;             /* when the last one was killed; 0: somebody has finished an operation since */
	mpq_time longest;
	mpq_time latest;             /* the longest time from a message's being there to its watcher's saying so */
	uint32_t stop, closing;
	char fault[400];
	struct proc proc[PROCS + 1]; /* the last is the judge */
	struct fate entry[PRODUCERS][1 << SEQ_BITS];
};

static struct book *book;
static unsigned char (*patterns)[2 * LARGEST];   /* of each kind; shared too: a fork has fewer pages to copy */
static bool pipes;                               /* not a queue: a pipe */
static bool dense;                               /* many kills: short messages, so that operations are short */

static inline uint64_t
mix(uint64_t z)
{
	return next_random(&z);
}

static inline void
book_open(void)
{
	static const char skip_bytes[KINDS] = { 2, 1, 0 };
	uint64_t seed = 7;

	patterns = shared(KINDS * sizeof patterns[0]);
	book = mmap(NULL, sizeof *book, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (book == MAP_FAILED) {
		printf("Bail out! mmap: %s\n", strerror(errno));
		exit(1);
	}
	for (int kind = 0; kind < KINDS; kind++)
		for (size_t i = 0; i < sizeof patterns[0]; i++) {
			unsigned char c = (unsigned char)(next_random(&seed) >> 40);

			if ((skip_bytes[kind] > 0 && c == 0) || (skip_bytes[kind] > 1 && c == '\n'))
				c = 'x';
			patterns[kind][i] = c;
		}
}

static inline void
book_new_round(uint64_t round)
{
	for (int p = 0; p < PRODUCERS; p++)
		memset(book->entry[p], 0, book->next[p] * sizeof(struct fate));
	memset(book, 0, offsetof(struct book, ops));
	book->fault[0] = '\0';
	book->round = round;
	book->stop = book->closing = 0;
	book->killed = 0;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

/* 48 bits: producer 4, kind 2, round 20, number 22. */
static inline uint64_t
id_make(unsigned producer, enum kind kind, uint64_t seq)
{
	return (uint64_t)producer << 44 | (uint64_t)kind << 42 | (book->round & 0xfffff) << SEQ_BITS | seq;
}

static inline bool
id_valid(uint64_t id)
{
	return id >> 44 < PRODUCERS && (id >> 42 & 3) < KINDS && (id >> SEQ_BITS & 0xfffff) == (book->round & 0xfffff) &&
	    (id & ((1 << SEQ_BITS) - 1)) < book->next[id >> 44];
}

/* The account of what a process of this number does. */
static inline unsigned
way_of(uint64_t number)
{
	return pipes ? number & 1 : 0;
}

static inline struct fate *
id_entry(uint64_t id)
{
	return &book->entry[id >> 44][id & ((1 << SEQ_BITS) - 1)];
}

/* Mostly small: 1 in 32 has no bytes, 1 in 32 up to 70,000, 1 in 256 up to 1 MiB. Dense: 1 in 128 up to 70,000. */
static inline size_t
id_size(uint64_t id)
{
	uint64_t h = mix(id), pick = h & 0xff, more = h >> 8;

	if (pick < 8)
		return 0;
	if (dense)
		return ID_BYTES + more % (pick < 10 ? 70000 : pick < 16 ? 5000 : 60);
	if (pick < 9)
		return more % 4 == 0 ? LARGEST - more % 3 : ID_BYTES + more % (LARGEST - ID_BYTES);
	if (pick < 16)
		return ID_BYTES + more % 70000;
	if (pick < 64)
		return ID_BYTES + more % 5000;
	return ID_BYTES + more % 60;
}

static inline const unsigned char *
id_pattern(uint64_t id)
{
	return patterns[id >> 42 & 3] + mix(id + 1) % LARGEST;
}

static inline size_t
message_write(uint64_t id, unsigned char *to)
{
	size_t size = id_size(id);

	if (size == 0)
		return 0;
	for (int i = 0; i < ID_BYTES; i++)
		to[i] = (unsigned char)('0' + (id >> (42 - 6 * i) & 63));
	memcpy(to + ID_BYTES, id_pattern(id), size - ID_BYTES);
	return size;
}

/* Who it says it is; false if nobody is called that. */
static inline bool
message_id(const unsigned char *from, size_t size, uint64_t *id)
{
	*id = NO_ID;
	if (size == 0)
		return true;
	if (size < ID_BYTES)
		return false;
	*id = 0;
	for (int i = 0; i < ID_BYTES; i++) {
		if (from[i] < '0' || from[i] > '0' + 63)
			return false;
		*id = *id << 6 | (uint64_t)(from[i] - '0');
	}
	return id_valid(*id);
}

/* Whole, and of this round? What is not is counted, and told once. */
static inline bool
message_check(const struct proc *me, const unsigned char *from, size_t size, uint64_t *id)
{
	if (!message_id(from, size, id) || (*id != NO_ID && way_of(*id >> 44) != me->way)) {
		if (__atomic_fetch_add(&book->alien, 1, __ATOMIC_RELAXED) == 0)
			snprintf(book->fault, sizeof book->fault, "a message that nobody put: %zu bytes, begins with %.*s",
			    size, (int)(size < 8 ? size : 8), from);
		return false;
	}
	if (size != 0 && (size != id_size(*id) || memcmp(from + ID_BYTES, id_pattern(*id), size - ID_BYTES) != 0)) {
		if (__atomic_fetch_add(&book->torn, 1, __ATOMIC_RELAXED) == 0)
			snprintf(book->fault, sizeof book->fault, "message %llx is %zu bytes and was put with %zu, or has "
			    "other bytes", (unsigned long long)*id, size, id_size(*id));
		return false;
	}
	return true;
}

/* ---- entries --------------------------------------------------------------------------------------------- */

static inline uint64_t
write_tried(unsigned producer, enum kind kind)
{
	uint64_t id = id_make(producer, kind, book->next[producer]);

	id_entry(id)->state = (uint8_t)(TRIED | (id_size(id) == 0 ? EMPTY : 0));
	__atomic_store_n(&book->next[producer], book->next[producer] + 1, __ATOMIC_RELEASE);
	return id;
}

static inline void
write_put(uint64_t id, bool put)
{
	id_entry(id)->state = (uint8_t)(id_entry(id)->state | (put ? PUT : REFUSED));
	if (put)
		__atomic_fetch_add(&book->way[way_of(id >> 44)].bytes_put, id_size(id), __ATOMIC_RELAXED);
}

static inline void
write_got(const struct proc *me, uint64_t id)
{
	if (id == NO_ID) {
		__atomic_fetch_add(&book->way[me->way].empties_got, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&id_entry(id)->got, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&book->way[me->way].bytes_got, id_size(id), __ATOMIC_RELAXED);
}

/* Into the book and in flight, until settled. */
static inline void
write_flying(struct proc *me, uint64_t id)
{
	me->ids[me->flight] = id;
	__atomic_store_n(&me->flight, me->flight + 1, __ATOMIC_RELEASE);
	write_got(me, id);
}

static inline void
write_settled(struct proc *me)
{
	if (me->doubt != 0)
		__atomic_fetch_add(&book->way[me->way].dones, me->doubt, __ATOMIC_RELAXED);
	__atomic_store_n(&me->doubt, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&me->flight, 0, __ATOMIC_RELEASE);
}

/* It has been killed: what may be missing, or come again. */
static inline void
post_mortem(struct proc *p)
{
	struct account *way = &book->way[p->way];
	uint64_t id;

	if (p->getting && p->len == 0)
		way->empties_maybe++;
	else if (p->getting && message_id(p->buf, ID_BYTES, &id))
		id_entry(id)->maybe++;
	for (uint32_t i = 0; i < p->flight; i++) {
		if (p->ids[i] == NO_ID)
			way->empties_excused++;
		else
			id_entry(p->ids[i])->excuse++;
	}
	way->dones_doubted += p->doubt;
	p->getting = p->flight = 0;
	p->doubt = 0;
	p->since = 0;
}

/* ---- the judge ------------------------------------------------------------------------------------------- */

struct totals {
	uint64_t kills, stops, messages, lost, doubled, spurious, hung, faults;
};

/* What the book says as a whole. */
struct sums {
	uint64_t puts, tried, empty_puts, empty_tried;
};

static inline void
judge_entry(unsigned producer, uint64_t seq, struct totals *t, struct sums *sums)
{
	const struct fate *e = &book->entry[producer][seq];
	const char *wrong = NULL;

	sums->puts += (e->state & PUT) != 0;
	sums->tried += (e->state & (PUT | REFUSED)) == 0;
	if (e->state & EMPTY) {
		sums->empty_puts += (e->state & PUT) != 0;
		sums->empty_tried += (e->state & (PUT | REFUSED)) == 0;
		return;
	}
	if ((e->state & PUT) && e->got == 0 && e->maybe == 0 && !book->way[way_of(producer)].dropped)
		t->lost++, wrong = "lost";
	else if ((e->state & REFUSED) && e->got != 0)
		t->spurious++, wrong = "refused and delivered";
	else if (e->got > 1 + e->excuse)
		t->doubled++, wrong = "doubled";
	if (wrong != NULL && t->lost + t->spurious + t->doubled < 20)
		diag("%s: round %llu, producer %u, message %llu: state %u, got %u, perhaps %u, excused %u", wrong,
		    (unsigned long long)book->round, producer, (unsigned long long)seq, e->state, e->got, e->maybe,
		    e->excuse);
}

static inline void
judge_book(struct totals *t, struct sums sums[2])
{
	memset(sums, 0, 2 * sizeof *sums);
	for (unsigned p = 0; p < PRODUCERS; p++)
		for (uint64_t i = 0; i < book->next[p]; i++)
			judge_entry(p, i, t, &sums[way_of(p)]);
	for (int w = 0; w < 2; w++) {
		const struct account *way = &book->way[w];
		uint64_t most = sums[w].empty_puts + sums[w].empty_tried + way->empties_excused;

		t->messages += sums[w].puts;
		if (way->empties_got + way->empties_maybe < sums[w].empty_puts && !way->dropped) {
			t->lost += sums[w].empty_puts - way->empties_got - way->empties_maybe;
			diag("lost: messages without bytes, round %llu", (unsigned long long)book->round);
		}
		if (way->empties_got > most) {
			t->doubled += way->empties_got - most;
			diag("doubled: messages without bytes, round %llu", (unsigned long long)book->round);
		}
	}
	if (book->torn + book->alien != 0 || book->fault[0] != '\0') {
		t->faults++;
		diag("fault, round %llu: %s (%llu torn, %llu unknown)", (unsigned long long)book->round, book->fault,
		    (unsigned long long)book->torn, (unsigned long long)book->alien);
	}
}

#endif
