/* SPDX-License-Identifier: ISC
 *
 * history.c - is it a queue? 4 processes put distinct values and 4 get them; each writes down what it asked, what it was
 * answered, and when it began and ended. The judge then asks whether all that can have happened on one FIFO queue, each
 * operation at some instant between its two times. With distinct values that is so unless one of these is found
 * (Henzinger, Sezgin, Vafeiadis: Aspect-oriented linearizability proofs, 2013), each by sorting:
 *
 *   nowhere   a value was got that nobody put, or whose put was refused
 *   twice     a value was got twice
 *   lost      a value was put and never got, though all was got at the end
 *   order     a's put ended before b's began, and b's get ended before a's began
 *   empty     the answer Empty, while at each instant some value was certainly there
 *   full      the answer Full, while at each instant there were certainly fewer than the bound
 *
 * Processes that are killed: their last put happened later or never, their last get too. A value that was taken and
 * given back, or perhaps taken, may come late: it counts as got from its first taking on. Who is killed after taking
 * and before reading has left the ticket of what he took; so with kills all is got by taking, which tells tickets.
 *
 * usage: history OPERATIONS [SEED]
 */
#include "../unit/room.h"

#define PUTTERS 4u
#define PROCS 8u
#define NEVER UINT64_MAX
#define BOUND 5u

enum op { PUT_ONE, GET_ONE, TAKE_ONE, GIVE_BACK };
enum answer { PENDING, YES, NO };

struct record {
	uint8_t op, answer;
	uint64_t value, start, end;
	uint64_t ticket;             /* of what was taken; NEVER: not known */
};

struct log {
	uint64_t count, want;
	struct mpq_run run;          /* here, so that the ticket is known if he is killed before he has read the value */
	struct record *record;
};

struct value {
	uint64_t put_start, put_end, get_start, get_end;
	uint32_t gots;
	bool put, certain, perhaps;  /* perhaps: somebody died as he got it */
};

enum pattern { NOWHERE, TWICE, LOST, ORDER, EMPTY, FULL, PATTERNS };
static const char *const pattern_names[] = { "nowhere", "twice", "lost", "order", "empty", "full" };

/* ---- the judge ------------------------------------------------------------------------------------------- */

struct span {
	uint64_t from, to;
};

struct judge {
	const struct log *logs;
	unsigned nlogs;
	uint64_t bound;              /* messages; 0: none */
	struct value *values;        /* by putter, then number */
	uint64_t base[PUTTERS + 1], nvalues;
	uint64_t found[PATTERNS];
	bool quiet;
};

static void *
need(size_t n, size_t size)
{
	void *p = calloc(n + 1, size);

	if (p == NULL) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	return p;
}

static void
found(struct judge *j, enum pattern pattern, uint64_t value, uint64_t from, uint64_t to)
{
	if (j->found[pattern]++ < 5 && !j->quiet)
		diag("%s: value %llx, from %llu to %llu ns", pattern_names[pattern], (unsigned long long)value,
		    (unsigned long long)from, (unsigned long long)to);
}

/* The value's entry; NULL: no such value. */
static struct value *
value_of(struct judge *j, uint64_t value)
{
	uint64_t putter = value >> 32, number = value & UINT32_MAX;

	if (putter >= PUTTERS || number >= j->base[putter + 1] - j->base[putter])
		return NULL;
	return &j->values[j->base[putter] + number];
}

static void
read_puts(struct judge *j)
{
	for (unsigned p = 0; p < PUTTERS && p < j->nlogs; p++)
		j->base[p + 1] = j->base[p] + j->logs[p].count;
	j->nvalues = j->base[PUTTERS];
	j->values = need(j->nvalues, sizeof *j->values);
	for (unsigned p = 0; p < PUTTERS && p < j->nlogs; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++) {
			const struct record *r = &j->logs[p].record[i];
			struct value *v = value_of(j, r->value);

			*v = (struct value){ .put_start = r->start, .put_end = r->answer == YES ? r->end : NEVER,
				.get_start = NEVER, .get_end = NEVER, .put = r->answer != NO, .certain = r->answer == YES };
		}
}

static int
by_from(const void *a, const void *b)
{
	uint64_t x = ((const struct span *)a)->from, y = ((const struct span *)b)->from;

	return x < y ? -1 : x > y;
}

/* Takings of which only the ticket is known: whoever got that ticket later says which value it is. */
static void
read_tickets(struct judge *j)
{
	struct span *known, *k, key;
	uint64_t n = 0;

	for (unsigned p = PUTTERS; p < j->nlogs; p++)
		n += j->logs[p].count;
	known = need(n, sizeof *known);
	n = 0;
	for (unsigned p = PUTTERS; p < j->nlogs; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++)
			if (j->logs[p].record[i].value != NEVER && j->logs[p].record[i].ticket != NEVER)
				known[n++] = (struct span){ j->logs[p].record[i].ticket, j->logs[p].record[i].value };
	qsort(known, n, sizeof *known, by_from);
	for (unsigned p = PUTTERS; p < j->nlogs; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++) {
			struct record *r = &j->logs[p].record[i];

			key.from = r->ticket;
			if (r->answer == PENDING && r->value == NEVER && r->ticket != NEVER &&
			    (k = bsearch(&key, known, n, sizeof *known, by_from)) != NULL)
				r->value = k->to;
		}
	free(known);
}

static void
read_gets(struct judge *j)
{
	for (unsigned p = PUTTERS; p < j->nlogs; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++) {
			const struct record *r = &j->logs[p].record[i];
			struct value *v = r->answer == NO ? NULL : value_of(j, r->value);

			if (r->answer == NO || (r->answer == PENDING && v == NULL))
				continue;
			if (v == NULL || !v->put) {
				found(j, NOWHERE, r->value, r->start, r->end);
				continue;
			}
			if (r->start < v->get_start)
				v->get_start = r->start;
			if (r->answer == PENDING)
				v->perhaps = true;
			else if (r->op != GIVE_BACK) {
				if (v->gots++ != 0)
					found(j, TWICE, r->value, r->start, r->end);
				v->get_end = r->end;
			}
		}
	for (uint64_t i = 0; i < j->nvalues; i++) {
		struct value *v = &j->values[i];

		if (v->certain && v->gots == 0 && !v->perhaps)
			found(j, LOST, i, v->put_start, v->put_end);
	}
}

/* a, sorted by the end of their puts, go in before b, sorted by the beginning of theirs. */
static void
judge_order(struct judge *j)
{
	struct span *a = need(j->nvalues, sizeof *a), *b = need(j->nvalues, sizeof *b);
	uint64_t na = 0, nb = 0, k = 0, latest = 0;

	for (uint64_t i = 0; i < j->nvalues; i++) {
		const struct value *v = &j->values[i];

		if (v->put && v->put_end != NEVER)
			a[na++] = (struct span){ v->put_end, v->get_start };
		if (v->put && v->gots != 0)
			b[nb++] = (struct span){ v->put_start, v->get_end };
	}
	qsort(a, na, sizeof *a, by_from);
	qsort(b, nb, sizeof *b, by_from);
	for (uint64_t i = 0; i < nb; i++) {
		for (; k < na && a[k].from < b[i].from; k++)
			if (a[k].to > latest)
				latest = a[k].to;
		if (latest > b[i].to)
			found(j, ORDER, i, b[i].to, latest);
	}
	free(a);
	free(b);
}

/* When was there certainly something? Empty must not lie within one such span. */
static void
judge_empty(struct judge *j)
{
	struct span *s = need(j->nvalues, sizeof *s);
	uint64_t n = 0, m = 0;

	for (uint64_t i = 0; i < j->nvalues; i++)
		if (j->values[i].put && j->values[i].put_end < j->values[i].get_start)
			s[n++] = (struct span){ j->values[i].put_end, j->values[i].get_start };
	qsort(s, n, sizeof *s, by_from);
	for (uint64_t i = 1; i < n; i++) {
		if (s[i].from >= s[m].to)
			s[++m] = s[i];
		else if (s[i].to > s[m].to)
			s[m].to = s[i].to;
	}
	for (unsigned p = PUTTERS; p < j->nlogs && n != 0; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++) {
			const struct record *r = &j->logs[p].record[i];
			uint64_t low = 0, high = m + 1;

			if (r->answer != NO)
				continue;
			while (high - low > 1) {
				uint64_t middle = (low + high) / 2;

				if (s[middle].from < r->start)
					low = middle;
				else
					high = middle;
			}
			if (s[low].from < r->start && r->end < s[low].to)
				found(j, EMPTY, i, r->start, r->end);
		}
	free(s);
}

/* At most so many were there, from each event on: a put counts from its start, a get at its end. */
static uint64_t
most_there(struct judge *j, struct span *events)
{
	uint64_t n = 0, there = 0;

	for (uint64_t i = 0; i < j->nvalues; i++) {
		const struct value *v = &j->values[i];

		if (!v->put || (!v->certain && v->gots == 0 && !v->perhaps))
			continue;
		events[n++] = (struct span){ v->put_start, 1 };
		if (v->get_end != NEVER)
			events[n++] = (struct span){ v->get_end + 1, UINT64_MAX };
	}
	qsort(events, n, sizeof *events, by_from);
	for (uint64_t i = 0; i < n; i++)
		events[i].to = there += events[i].to;
	return n;
}

static void
judge_full(struct judge *j)
{
	struct span *events = need(2 * j->nvalues, sizeof *events);
	uint64_t n = most_there(j, events);

	for (unsigned p = 0; p < PUTTERS && p < j->nlogs && n != 0; p++)
		for (uint64_t i = 0; i < j->logs[p].count; i++) {
			const struct record *r = &j->logs[p].record[i];
			uint64_t low = 0, high = n, most = 0;

			if (r->answer != NO)
				continue;
			while (high - low > 1) {     /* the last event before its start */
				uint64_t middle = (low + high) / 2;

				if (events[middle].from < r->start)
					low = middle;
				else
					high = middle;
			}
			for (uint64_t k = low; k < n && (k == low || events[k].from <= r->end); k++)
				most = events[k].to > most ? events[k].to : most;
			if (j->bound == 0 || most < j->bound)
				found(j, FULL, r->value, r->start, r->end);
		}
	free(events);
}

/* How many faults in all. */
static uint64_t
judge(struct judge *j)
{
	uint64_t all = 0;

	read_puts(j);
	read_tickets(j);
	read_gets(j);
	judge_order(j);
	judge_empty(j);
	judge_full(j);
	free(j->values);
	for (int i = 0; i < PATTERNS; i++)
		all += j->found[i];
	return all;
}

/* ---- the judge is judged --------------------------------------------------------------------------------- */

#define SMALL 40u

/* A history by hand: two putters and a getter by turns, no two operations at one time. Each value is got three puts
 * later, so that up to four are there; the getter finds the queue empty first and last. */
static void
write_history(struct log *logs, uint64_t *empty, uint64_t *full)
{
	uint64_t now = 1000, got = 0;
	struct log *getter = &logs[PUTTERS];

	for (unsigned p = 0; p <= PUTTERS; p++)
		logs[p].count = 0;
#define WRITE(log, op, answer, value) \
	((log)->record[(log)->count++] = (struct record){ op, answer, value, now, now + 5, NEVER }, now += 10)
	WRITE(getter, GET_ONE, NO, 0);
	for (uint64_t i = 0; i < SMALL; i++) {
		WRITE(&logs[i % 2], PUT_ONE, YES, (i % 2) << 32 | i / 2);
		if (i >= 3) {
			WRITE(getter, GET_ONE, YES, (got % 2) << 32 | got / 2);
			got++;
		}
	}
	*full = logs[0].count;
	WRITE(&logs[0], PUT_ONE, NO, *full);
	for (; got < SMALL; got++)
		WRITE(getter, GET_ONE, YES, (got % 2) << 32 | got / 2);
	*empty = getter->count;
	WRITE(getter, GET_ONE, NO, 0);
}

/* One lie of each kind: it must be found, and a true history must pass. */
static void
judge_lies(void)
{
	struct log logs[PUTTERS + 1] = { 0 };
	struct record *gets, saved;
	uint64_t empty, full;

	for (unsigned p = 0; p <= PUTTERS; p++)
		logs[p].record = need(2 * SMALL, sizeof(struct record));
	gets = logs[PUTTERS].record;
	for (int lie = -1; lie < PATTERNS; lie++) {
		struct judge j = { .logs = logs, .nlogs = PUTTERS + 1, .bound = 3, .quiet = true };

		write_history(logs, &empty, &full);
		if (lie == NOWHERE)
			gets[10].value = 3ull << 32;
		else if (lie == TWICE)
			gets[10].value = gets[9].value;
		else if (lie == LOST)
			gets[empty - 1] = gets[empty], logs[PUTTERS].count--;
		else if (lie == ORDER)
			saved = gets[20], gets[20].value = gets[21].value, gets[21].value = saved.value;
		else if (lie == EMPTY)
			gets[empty].start = logs[0].record[8].start, gets[empty].end = logs[0].record[8].end;
		else if (lie == FULL)
			j.bound = 5;
		judge(&j);
		if (lie < 0)
			OK(j.found[0] + j.found[1] + j.found[2] + j.found[3] + j.found[4] + j.found[5] == 0,
			    "the judge: a true history passes");
		else
			OK(j.found[lie] != 0, "the judge: a lie is found: %s", pattern_names[lie]);
	}
	for (unsigned p = 0; p <= PUTTERS; p++)
		free(logs[p].record);
}

/* ---- the processes --------------------------------------------------------------------------------------- */

static struct log *logs;
static struct mpq *queue;
static uint64_t chance;

static struct record *
begin(struct log *log, enum op op, uint64_t value)
{
	struct record *r = &log->record[log->count];

	*r = (struct record){ .op = (uint8_t)op, .value = value, .start = (uint64_t)mpq_now(),
		.ticket = NEVER };
	__atomic_store_n(&log->count, log->count + 1, __ATOMIC_RELEASE);
	return r;
}

static void
end(struct record *r, enum answer answer)
{
	r->end = (uint64_t)mpq_now();
	__atomic_store_n(&r->answer, (uint8_t)answer, __ATOMIC_RELEASE);
}

static mpq_time
some_deadline(void)
{
	return next_random(&chance) % 4 != 0 ? MPQ_NOW : mpq_now() + (mpq_time)(next_random(&chance) % 2000000);
}

static int
put_next(struct log *log, unsigned p)
{
	struct record *r = begin(log, PUT_ONE, (uint64_t)p << 32 | log->count);
	uint64_t value = r->value;
	int err = mpq_put(queue, &value, sizeof value, some_deadline());

	end(r, err == MPQ_OK ? YES : NO);
	return err == MPQ_FULL ? MPQ_OK : err;
}

static int
get_next(struct log *log)
{
	struct record *r = begin(log, GET_ONE, NEVER);
	size_t len;
	int err = mpq_get(queue, &r->value, sizeof r->value, &len, some_deadline());

	end(r, err == MPQ_OK ? YES : NO);
	return err == MPQ_EMPTY ? MPQ_OK : err != MPQ_OK || len == sizeof r->value ? err : MPQ_DAMAGED;
}

/* take, and settle or give back. The value is written down before it is settled. */
static int
take_next(struct log *log)
{
	struct record *r = begin(log, TAKE_ONE, NEVER);
	struct mpq_want want = { .msgs = 1, .bytes = 100 };
	bool back = next_random(&chance) % 8 == 0;
	struct mpq_run *run = &log->run;
	struct iovec iov[4];
	unsigned char bytes[32];
	uint64_t ended;
	size_t n = 0;
	int err, got = 0;

	run->seq = NEVER;
	if ((err = mpq_take(queue, &want, 0, some_deadline(), run)) != MPQ_OK) {
		end(r, NO);
		return err == MPQ_EMPTY ? MPQ_OK : err;
	}
	ended = (uint64_t)mpq_now();
	r->ticket = run->seq;
	if ((err = mpq_run_map(queue, run, 0, iov, 4, &got)) != MPQ_OK)
		return err;
	for (int i = 0; i < got && n + iov[i].iov_len <= sizeof bytes; n += iov[i++].iov_len)
		memcpy(bytes + n, iov[i].iov_base, iov[i].iov_len);
	memcpy(&r->value, bytes + (run->framing == MPQ_LENGTHS ? 4 : 0), sizeof r->value);
	if (back)
		r->op = GIVE_BACK;
	err = mpq_settle(queue, run, back ? 0 : 1, back ? 0 : run->bytes, MPQ_DONE, NULL);
	r->end = ended;
	__atomic_store_n(&r->answer, (uint8_t)YES, __ATOMIC_RELEASE);
	return err;
}

/* What is left: Empty at once when all has come back. */
static int
drain(struct log *log)
{
	struct record *r = begin(log, TAKE_ONE, NEVER);
	struct mpq_want want = { .msgs = 1, .bytes = 100 };
	size_t len = sizeof r->value;
	int err = mpq_take(queue, &want, 0, MPQ_NOW, &log->run);

	if (err == MPQ_OK) {
		r->ticket = log->run.seq;
		err = mpq_settle(queue, &log->run, 0, 0, MPQ_GOT, NULL);
		if (err == MPQ_OK)
			err = mpq_get(queue, &r->value, sizeof r->value, &len, MPQ_NOW);
	}
	end(r, err == MPQ_OK ? YES : NO);
	return err;
}

static void
work(unsigned p, uint64_t seed, bool kills)
{
	struct log *log = &logs[p];
	int err = mpq_open(&room, "q", 0, &queue, NULL);

	chance = seed;
	while (err == MPQ_OK && log->count < log->want)
		err = p < PUTTERS ? put_next(log, p) : kills || next_random(&chance) % 3 == 0 ? take_next(log) : get_next(log);
	if (err != MPQ_OK)
		fprintf(stderr, "# process %u: %s\n", p, mpq_strerror(err));
	_exit(err != MPQ_OK);
}

static pid_t
start(unsigned p, uint64_t seed, bool kills)
{
	pid_t pid = child();

	if (pid == 0) {
		alarm(600);
		work(p, seed, kills);
	}
	return pid;
}

/* He has been killed: what he may have in hand. */
static void
note_ticket(const struct log *log)
{
	struct record *r = log->count == 0 ? NULL : &log->record[log->count - 1];

	if (r != NULL && r->op != PUT_ONE && r->answer == PENDING && r->value == NEVER)
		r->ticket = log->run.seq;
}

/* Until all have ended by themselves; meanwhile random ones are killed, and others go on in their places. */
static uint64_t
run_all(bool kills)
{
	pid_t pids[PROCS];
	unsigned left = PROCS;
	uint64_t killed = 0, seed = next_random(&chance);
	int status;

	for (unsigned p = 0; p < PROCS; p++)
		pids[p] = start(p, seed + p, kills);
	while (left > 0) {
		unsigned p = (unsigned)(next_random(&chance) % PROCS);
		struct timespec t = { .tv_nsec = (long)(next_random(&chance) % 300000) };

		nanosleep(&t, NULL);
		for (unsigned i = 0; i < PROCS; i++)
			if (pids[i] != 0 && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				if (status != 0)
					OK(false, "process %u ends well (status %x)", i, status);
				pids[i] = 0;
				left--;
			}
		if (!kills || pids[p] == 0)
			continue;
		kill_child(pids[p]);
		killed++;
		note_ticket(&logs[p]);
		pids[p] = start(p, next_random(&chance), kills);
	}
	return killed;
}

static void
play(uint64_t operations, uint64_t bound, bool kills)
{
	struct judge j = { .nlogs = PROCS + 1, .bound = bound };
	uint64_t per = operations / PROCS, killed, all = 0, faults;
	mpq_time took;

	queue = room_queue("q", bound, 0, MPQ_QUEUE);
	logs = shared((PROCS + 1) * sizeof *logs);
	for (unsigned p = 0; p <= PROCS; p++) {
		uint64_t most = p < PROCS ? per : operations + 1;

		logs[p].want = most;
		logs[p].record = shared((most + 1) * sizeof(struct record));
	}
	j.logs = logs;
	killed = run_all(kills);
	while (drain(&logs[PROCS]) == MPQ_OK && logs[PROCS].record[logs[PROCS].count - 1].answer == YES)
		;                            /* what is left */
	took = mpq_now();
	faults = judge(&j);
	took = mpq_now() - took;
	for (unsigned p = 0; p <= PROCS; p++) {
		all += logs[p].count;
		munmap(logs[p].record, (logs[p].want + 1) * sizeof(struct record));
	}
	IS(mpq_check(queue), MPQ_OK, "the queue passes its check");
	OK(faults == 0, "the history is that of a FIFO queue: bound %llu, %s kills", (unsigned long long)bound,
	    kills ? "with" : "without");
	diag("%llu operations, %llu kills, judged in %lld ms", (unsigned long long)all, (unsigned long long)killed,
	    (long long)(took / MS));
	mpq_detach(queue);
}

int
main(int argc, char **argv)
{
	uint64_t operations = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;

	chance = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
	room_make();
	diag("seed %llu", (unsigned long long)chance);
	judge_lies();
	for (int i = 0; i < 4; i++)
		play(operations / 4, i & 1 ? BOUND : 0, i >= 2);
	return tap_end();
}
