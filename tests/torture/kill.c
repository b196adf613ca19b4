/* SPDX-License-Identifier: ISC
 *
 * kill.c - kill torture with a ledger. 8 producers, 8 getters and 2 holders work on one queue, each a process; a killer
 * ends random ones at random instants, or stops them for a while, and starts new ones in their places. After a second
 * or so the queue is drained, and the judge compares what the producers said they had put with what the getters got
 * (ledger.h); then come the queue's own accounts and its memory. Then the next round, on a new queue.
 *
 * usage: kill SECONDS [SEED]           environment: KILLS=n ends after so many kills instead;
 *                                      DENSE=1: short messages and pauses, ten victims at a time, above 1,000 kills
 *                                      a second; VERBOSE=1
 *
 * All that is decided by chance follows from SEED; what the scheduler does, does not.
 */
#include <math.h>
#include <sys/prctl.h>

#include "handle.h"
#include "ledger.h"

#define HANG (10 * SECOND)
#define ROUND ((dense ? 2000 : 600) * MS)
#define BACKLOG ((uint64_t)(dense ? 1 : 64) << 20)  /* an unbounded queue is not fed beyond it */
#define IDLE_CHUNKS 16u               /* of 64 KiB, with memory: some free, the tail, pools of records */
#define SLACK 48u                     /* ... and growers that are killed or too late leave a batch, and a chunk here and there */

enum role { PRODUCER, GETTER, HOLDER };
enum ending { CLOSE, MASSACRE, CLOSE_AND_KILL, ENDINGS };

static struct mpq_bounds variants[] = {
	{ .mode = 0600 },
	{ .mode = 0600, .maxsize = 16 },
	{ .mode = 0600, .maxbytes = 3 * LARGEST / 2 },
	{ .mode = 0600, .maxsize = 1000, .maxbytes = 4 * LARGEST },
};

static struct totals totals;
static uint64_t most_strays, most_beyond, most_present;   /* chunks, of the emptied queue of any round */
static bool verbose;

/* ---- what all workers share ------------------------------------------------------------------------------ */

static struct proc *me;
static struct mpq *queue;
static struct mpq_owner self;
static uint64_t chance;
static unsigned char scratch[2 * LARGEST];

static uint64_t
random_below(uint64_t n)
{
	return next_random(&chance) % n;
}

/* It should not have happened: the judge tells. */
__attribute__((format(printf, 1, 2), noreturn)) static void
fault(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(book->fault, sizeof book->fault, format, args);
	va_end(args);
	_exit(3);
}

static void
begin(const char *doing)
{
	me->doing = doing;
	__atomic_store_n(&me->since, mpq_now(), __ATOMIC_RELEASE);
}

/* An operation is over: if it is the first since a kill, everybody has waited for so long. */
static void
end(void)
{
	mpq_time killed = __atomic_load_n(&book->killed, __ATOMIC_RELAXED), now = mpq_now();

	__atomic_store_n(&me->since, 0, __ATOMIC_RELEASE);
	__atomic_fetch_add(&book->ops, 1, __ATOMIC_RELAXED);
	if (killed != 0 && __atomic_compare_exchange_n(&book->killed, &killed, 0, false, __ATOMIC_RELAXED,
	    __ATOMIC_RELAXED) && now - killed > book->longest)
		book->longest = now - killed;
}

static mpq_time
some_deadline(void)
{
	switch (random_below(8)) {
	case 0:
	case 1:
		return MPQ_NOW;
	case 2:
		return MPQ_FOREVER;
	case 3:
		return in_ms((long)random_below(300));
	default:
		return in_ms(1 + (long)random_below(20));
	}
}

/* A refusal that may happen to anybody: nothing was done. */
static bool
refusal(int err, mpq_time deadline, int no)
{
	return (err == no && deadline != MPQ_FOREVER) || (err == MPQ_STUCK && deadline != MPQ_FOREVER);
}

/* ---- producers ------------------------------------------------------------------------------------------- */

static void
produce_one(unsigned number)
{
	uint64_t id = write_tried(number, (enum kind)random_below(KINDS));
	size_t size = message_write(id, scratch);
	mpq_time deadline = some_deadline();
	int err;

	begin(deadline == MPQ_FOREVER ? "put, for ever" : "put");
	err = mpq_put(queue, scratch, size, deadline);
	if (err != MPQ_OK && !refusal(err, deadline, MPQ_FULL))
		fault("put of %zu bytes: %s", size, mpq_strerror(err));
	write_put(id, err == MPQ_OK);
	end();
}

static size_t
framed(uint64_t id, enum mpq_framing framing, unsigned char *to)
{
	size_t front = framing == MPQ_LENGTHS ? 4 : 0, size = message_write(id, to + front);

	for (size_t i = 0; i < front; i++)
		to[i] = (unsigned char)(size >> (24 - 8 * i));
	if (framing == MPQ_LINES || framing == MPQ_NULS)
		to[front + size] = framing == MPQ_LINES ? '\n' : '\0';
	return size + front + (framing == MPQ_LINES || framing == MPQ_NULS);
}

/* A run of messages through a writer; what finds no room is dropped. */
static void
produce_run(unsigned number)
{
	enum mpq_framing framing = (enum mpq_framing)(1 + random_below(4));
	unsigned n = framing == MPQ_BARE ? 1 : 1 + (unsigned)random_below(60), kinds = (unsigned)framing < 3 ? framing : 3;
	mpq_time patience = (mpq_time)random_below(20) * MS;
	uint64_t ids[60], put = 0, part, bytes, all = 0, put_bytes = 0;
	struct mpq_writer w;
	int err;

	begin("writing a run");
	mpq_writer_init(&w, queue, framing);
	for (unsigned i = 0; i < n; i++) {
		size_t size;

		ids[i] = write_tried(number, (enum kind)random_below(kinds));
		size = framed(ids[i], framing, scratch);
		if (size > LARGEST / 8 && n > 1)
			n = i + 1;
		if ((err = mpq_writer_append(&w, scratch, size)) != MPQ_OK)
			fault("append of %zu bytes: %s", size, mpq_strerror(err));
		all += size;
	}
	for (unsigned turn = 1 + (unsigned)random_below(2); turn > 0 && put < n; turn--) {
		if (framing == MPQ_BARE && all == 0)
			break;               /* a bare message without bytes is nothing */
		err = mpq_writer_commit(&w, n - put, all - put_bytes, patience, &part, &bytes);
		if (err != MPQ_OK && err != MPQ_FULL && err != MPQ_STUCK)
			fault("commit of %u messages, %llu bytes, framing %d: %s", n, (unsigned long long)all, framing,
			    mpq_strerror(err));
		for (; part > 0; part--)
			write_put(ids[put++], true);
		put_bytes += bytes;
	}
	for (; put < n; put++)
		write_put(ids[put], false);
	mpq_writer_reset(&w);
	end();
}

static void
produce(unsigned number)
{
	while (!__atomic_load_n(&book->stop, __ATOMIC_RELAXED)) {
		if (book->next[number] + 60 >= 1 << SEQ_BITS || book->bytes_put > book->bytes_got + BACKLOG)
			room_pause();
		else if (random_below(3) == 0)
			produce_run(number);
		else
			produce_one(number);
	}
}

/* ---- getters --------------------------------------------------------------------------------------------- */

/* mpq_get; false: closed. */
static bool
get_one(mpq_time deadline, bool *got)
{
	uint64_t id;
	int err;

	begin(deadline == MPQ_FOREVER ? "get, for ever" : "get");
	memset(me->buf, 0, ID_BYTES);
	me->len = SIZE_MAX;
	__atomic_store_n(&me->getting, 1, __ATOMIC_RELEASE);
	err = mpq_get(queue, me->buf, sizeof me->buf, &me->len, deadline);
	if (err == MPQ_OK && message_check(me->buf, me->len, &id))
		write_got(id);
	__atomic_store_n(&me->getting, 0, __ATOMIC_RELEASE);
	end();
	if (err != MPQ_OK && err != MPQ_CLOSED && !refusal(err, deadline, MPQ_EMPTY))
		fault("get: %s", mpq_strerror(err));
	*got = err == MPQ_OK;
	return err != MPQ_CLOSED;
}

static size_t
run_copy(const struct mpq_run *run)
{
	struct iovec iov[4];
	size_t n = 0;
	int got = 1, err;

	while (n < run->bytes && got > 0) {
		if ((err = mpq_run_map(queue, run, n, iov, 4, &got)) != MPQ_OK)
			fault("map at %zu of %llu bytes: %s", n, (unsigned long long)run->bytes, mpq_strerror(err));
		for (int i = 0; i < got; i++) {
			if (n + iov[i].iov_len > sizeof scratch)
				fault("a run of %llu bytes", (unsigned long long)run->bytes);
			memcpy(scratch + n, iov[i].iov_base, iov[i].iov_len);
			n += iov[i].iov_len;
		}
	}
	return n;
}

/* The message at `from` of a run of `size` bytes: where it begins and how long it is; where the next one begins. */
static size_t
run_next(const struct mpq_run *run, size_t from, const unsigned char **msg, size_t *len)
{
	const unsigned char *p = scratch + from, *stop;
	size_t left = run->bytes - from;

	*msg = p, *len = left;
	if (run->framing == MPQ_BARE)
		return run->bytes;
	if (run->framing == MPQ_LENGTHS) {
		if (left < 4 || (*len = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]) > left - 4)
			fault("a length goes beyond its run");
		*msg = p + 4;
		return from + 4 + *len;
	}
	if ((stop = memchr(p, run->framing == MPQ_LINES ? '\n' : '\0', left)) == NULL)
		fault("a run does not end with its delimiter");
	*len = (size_t)(stop - p);
	return from + *len + 1;
}

/* The first `n` messages of the run: into ids, and how many bytes they are. All of it is checked. */
static size_t
run_read(const struct mpq_run *run, uint64_t n, uint64_t *ids)
{
	size_t from = 0, first = 0, len;
	uint64_t whole, whole_bytes, id;
	const unsigned char *msg;

	if (run_copy(run) != run->bytes)
		fault("a run of %llu bytes is shorter", (unsigned long long)run->bytes);
	for (uint64_t i = 0; i < run->msgs; i++) {
		from = run_next(run, from, &msg, &len);
		if (!message_check(msg, len, &id))
			fault("%s", book->fault);
		if (i < n)
			ids[i] = id, first = from;
	}
	if (from != run->bytes)
		fault("a run of %llu messages has %zu bytes, not %llu", (unsigned long long)run->msgs, from,
		    (unsigned long long)run->bytes);
	if (n != 0 && (mpq_run_whole(queue, run, first, &whole, &whole_bytes) != MPQ_OK || whole != n ||
	    whole_bytes != first))
		fault("%zu bytes are %llu messages, not %llu", first, (unsigned long long)whole, (unsigned long long)n);
	return first;
}

/* Take a run. MPQ_OK, MPQ_EMPTY, MPQ_CLOSED. */
static int
take(struct mpq_run *run, const struct mpq_owner *owner)
{
	struct mpq_want want = { .msgs = 1 + random_below(random_below(4) == 0 ? FLIGHT : 8),
		.bytes = random_below(2) == 0 ? random_below(1 << 18) : LARGEST, .owner = owner };
	mpq_time deadline = some_deadline();
	int err;

	if (deadline == MPQ_FOREVER && owner != NULL)
		deadline = in_ms(300);       /* two holders would wait for each other's messages for ever */
	if (random_below(4) == 0)
		want.flags |= MPQ_SHARE;
	if (random_below(4) == 0)
		want.flags |= MPQ_COUNT_ATTEMPT, want.msgs = 1;
	err = mpq_take(queue, &want, 0, deadline, run);
	if (err == MPQ_OK && (run->msgs == 0 || run->msgs > want.msgs))
		fault("took %llu messages, wanted %llu", (unsigned long long)run->msgs, (unsigned long long)want.msgs);
	if (err != MPQ_OK && err != MPQ_CLOSED && !refusal(err, deadline, MPQ_EMPTY))
		fault("take: %s", mpq_strerror(err));
	return err;
}

/* How many of n to settle: mostly all. */
static uint64_t
some_of(uint64_t n)
{
	return random_below(3) != 0 ? n : random_below(n + 1);
}

static void
count_done(uint64_t n)
{
	uint64_t did;
	int err;

	me->doubt = n;
	err = mpq_task_done(queue, NULL, n, 0, &did);
	if (err != MPQ_OK || did != n)
		fault("task done %llu: %s, %llu", (unsigned long long)n, mpq_strerror(err), (unsigned long long)did);
	write_settled(me);
}

/* take, read, settle; false: closed. */
static bool
get_run(void)
{
	enum mpq_fate fate = random_below(2) == 0 ? MPQ_GOT : MPQ_DONE;
	uint64_t ids[FLIGHT], n;
	struct mpq_run run;
	size_t bytes;
	int err;

	begin("taking a run");
	if ((err = take(&run, NULL)) == MPQ_OK) {
		n = some_of(run.msgs);
		bytes = run_read(&run, n, ids);
		for (uint64_t i = 0; i < n; i++)
			write_flying(me, ids[i]);
		me->doubt = fate == MPQ_DONE ? n : 0;
		if ((err = mpq_settle(queue, &run, n, bytes, fate, NULL)) != MPQ_OK)
			fault("settle %llu of %llu messages: %s", (unsigned long long)n, (unsigned long long)run.msgs,
			    mpq_strerror(err));
		write_settled(me);
		if (fate == MPQ_GOT && n != 0 && random_below(2) == 0)
			count_done(n);
	}
	end();
	return err != MPQ_CLOSED;
}

static void
getter(void)
{
	bool got;

	while (random_below(2) == 0 ? get_one(some_deadline(), &got) : get_run())
		;
}

/* ---- holders --------------------------------------------------------------------------------------------- */

static uint64_t held[4 * FLIGHT];
static uint64_t nheld;

/* The first n that it holds are done, or go back. */
static void
release(uint64_t n, bool requeue, bool all)
{
	uint64_t did;
	int err;

	begin(requeue ? "giving back" : "done");
	for (uint64_t i = 0; i < n && !requeue; i++)
		write_flying(me, held[i]);
	me->doubt = requeue ? 0 : n;
	err = mpq_task_done(queue, &self, all ? MPQ_ALL : n, requeue, &did);
	if (err != MPQ_OK || did != n)
		fault("%s %llu of %llu held: %s, %llu", requeue ? "requeue" : "done", (unsigned long long)n,
		    (unsigned long long)nheld, mpq_strerror(err), (unsigned long long)did);
	write_settled(me);
	memmove(held, held + n, (nheld - n) * sizeof *held);
	nheld -= n;
	end();
}

static bool
hold_more(void)
{
	struct mpq_run run;
	size_t bytes;
	uint64_t n;
	int err;

	begin("holding");
	if ((err = take(&run, &self)) == MPQ_OK) {
		n = some_of(run.msgs);
		bytes = run_read(&run, n, held + nheld);
		if ((err = mpq_settle(queue, &run, n, bytes, MPQ_HOLD, &self)) != MPQ_OK)
			fault("hold %llu of %llu messages: %s", (unsigned long long)n, (unsigned long long)run.msgs,
			    mpq_strerror(err));
		nheld += n;
	}
	end();
	return err != MPQ_CLOSED;
}

static void
holder(void)
{
	uint64_t n;

	for (nheld = 0; hold_more();)
		while (nheld != 0 && (nheld > 3 * FLIGHT || random_below(2) == 0)) {
			n = nheld > FLIGHT ? FLIGHT : nheld;
			n = 1 + random_below(n);
			release(n, random_below(4) == 0, n == nheld);
		}
	while (nheld != 0)
		release(nheld > FLIGHT ? FLIGHT : nheld, false, nheld <= FLIGHT);
}

/* ---- starting them --------------------------------------------------------------------------------------- */

static enum role
role_of(unsigned slot)
{
	return slot < PRODUCERS ? PRODUCER : slot < PRODUCERS + GETTERS ? GETTER : HOLDER;
}

static void
work(unsigned slot)
{
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dense && nice(5) == -1)
		fault("nice: %s", strerror(errno));     /* the killer gets its processor when its pause is over */
	chance = me->seed;
	begin("opening");
	if ((err = mpq_open(&room, "q", 0, &queue, NULL)) != MPQ_OK)
		fault("open: %s", mpq_strerror(err));
	if ((err = mpq_owner_of(getpid(), &self)) != MPQ_OK)
		fault("owner_of(self): %s", mpq_strerror(err));
	end();
	switch (role_of(slot)) {
	case PRODUCER:
		produce(slot);
		break;
	case GETTER:
		getter();
		break;
	case HOLDER:
		holder();
	}
	begin("leaving");
	mpq_detach(queue);
	end();
	_exit(0);
}

static void
start(unsigned slot, uint64_t seed)
{
	struct proc *p = &book->proc[slot];
	pid_t pid;

	p->seed = seed;
	p->since = 0;
	p->doing = "nothing";
	if ((pid = fork()) == -1) {
		printf("Bail out! fork: %s\n", strerror(errno));
		exit(1);
	}
	if (pid == 0) {
		me = p;
		work(slot);
	}
	p->pid = pid;                /* the parent's alone: the memory is shared */
}

/* ---- the killer ------------------------------------------------------------------------------------------ */

/* Wait for one that was killed or should have ended; tell if it ended in another way. */
static void
collect(struct proc *p, bool killed)
{
	int status = reap_child(p->pid);

	if (status != 0 && !(killed && status == 256 + SIGKILL)) {
		totals.faults++;
		diag("process %d (%s) ended with %d: %s", p->pid, p->doing, status, book->fault);
	}
	p->pid = 0;
	if (status != 0)
		post_mortem(p);
	else
		p->since = 0;
}

static void
kill_one(unsigned slot)
{
	struct proc *p = &book->proc[slot];
	mpq_time none = 0;

	__atomic_compare_exchange_n(&book->killed, &none, mpq_now(), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	kill(p->pid, SIGKILL);
	collect(p, true);
	totals.kills++;
}

/* Several die at the same moment: all are killed before the first is waited for. */
static void
kill_some(unsigned first, unsigned n, bool restart)
{
	unsigned victims[PROCS], count = 0, most = 1 + (unsigned)random_below(n);
	mpq_time none = 0;

	for (unsigned slot = first; slot < first + n; slot++)
		if (book->proc[slot].pid != 0 && random_below(n) < most)
			victims[count++] = slot;
	for (unsigned i = 0; i < count; i++)
		kill(book->proc[victims[i]].pid, SIGKILL);
	__atomic_compare_exchange_n(&book->killed, &none, mpq_now(), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < count; i++)
		collect(&book->proc[victims[i]], true);
	for (unsigned i = 0; i < count && restart; i++)
		start(victims[i], next_random(&chance));
	totals.kills += count;
}

static void
nap(void)
{
	/* 50 us to 20 ms, the short ones as often as the long; dense: to 1 ms */
	double us = 50 * pow(dense ? 20 : 400, (double)random_below(1 << 20) / (1 << 20));
	struct timespec t = { .tv_nsec = (long)(us * 1000) };

	nanosleep(&t, NULL);
}

static void
show_state(void)
{
	uint32_t words[128] = { 0 };
	char path[100];
	int fd;

	for (unsigned i = 0; i < PROCS; i++) {
		struct proc *p = &book->proc[i];

		if (p->pid != 0)
			diag("%d %s: %s for %lld ms, state %c", p->pid, role_of(i) == PRODUCER ? "producer" : role_of(i) ==
			    GETTER ? "getter" : "holder", p->doing, p->since == 0 ? 0 : (long long)((mpq_now() - p->since) / MS),
			    process_state(p->pid));
	}
	snprintf(path, sizeof path, "%s/mpq.q", room_dir);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1 && read(fd, words, sizeof words) > 0)
		diag("lock %08x", words[16]);
	if (fd != -1)
		close(fd);
}

/* Is anybody in one operation for too long? */
static bool
hung(void)
{
	mpq_time now = mpq_now();

	for (unsigned i = 0; i < PROCS; i++) {
		mpq_time since = __atomic_load_n(&book->proc[i].since, __ATOMIC_ACQUIRE);

		if (book->proc[i].pid != 0 && since != 0 && now - since > HANG) {
			totals.hung++;
			diag("round %llu: process %d hangs", (unsigned long long)book->round, book->proc[i].pid);
			show_state();
			return true;
		}
	}
	return false;
}

/* One act of the killer on a process of the range. */
static void
strike(unsigned first, unsigned n, bool restart)
{
	unsigned slot = first + (unsigned)random_below(n), times = random_below(32) == 0 ? 4 : 1;
	uint64_t how = random_below(dense ? 128 : 16);

	nap();
	if (dense && how >= 3) {
		kill_some(first, n, restart);
		return;
	}
	if (book->proc[slot].pid == 0)
		return;
	if (how < 3) {
		kill(book->proc[slot].pid, SIGSTOP);
		totals.stops++;
		nap();
		if (how != 0) {
			kill(book->proc[slot].pid, SIGCONT);
			return;
		}
	}
	for (; times > 0; times--, slot = first + (unsigned)random_below(n)) {
		uint64_t seed = next_random(&chance);

		if (book->proc[slot].pid == 0)
			continue;
		kill_one(slot);
		if (restart)
			start(slot, seed);
	}
}

/* All of a range end by themselves within the time of a hang. */
static bool
await(unsigned first, unsigned n)
{
	mpq_time deadline = mpq_now() + 2 * HANG;

	for (unsigned i = first; i < first + n; i++) {
		struct proc *p = &book->proc[i];

		while (p->pid != 0) {
			siginfo_t info = { 0 };

			if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
				collect(p, false);
				break;
			}
			if (mpq_now() > deadline) {
				totals.hung++;
				diag("round %llu: process %d does not end", (unsigned long long)book->round, p->pid);
				show_state();
				return false;
			}
			room_pause();
		}
	}
	return true;
}

static void
kill_all(void)
{
	for (unsigned i = 0; i < PROCS; i++)
		if (book->proc[i].pid != 0)
			kill(book->proc[i].pid, SIGKILL);
	for (unsigned i = 0; i < PROCS; i++)
		if (book->proc[i].pid != 0) {
			collect(&book->proc[i], true);
			totals.kills++;
		}
}

/* ---- a round --------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void
expect(bool good, const char *format, ...)
{
	char text[400];
	va_list args;

	if (good)
		return;
	totals.faults++;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	diag("round %llu: %s", (unsigned long long)book->round, text);
}

static void
expect_ok(int err, const char *what)
{
	expect(err == MPQ_OK, "%s: %s", what, mpq_strerror(err));
}

/* Chunks that the queue says have no memory, and that have some: of the absent list, and beyond the last chunk. */
static void
find_strays(uint64_t *absent, uint64_t *beyond)
{
	const struct head *head = queue->head;
	uint32_t n = LOW(get(&head->absent));
	char path[100];
	off_t at, data;
	int fd;

	snprintf(path, sizeof path, "%s/mpq.q", room_dir);
	*absent = *beyond = 0;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return;
	for (uint64_t left = HIGH(get(&head->absent)); left > 0 && n != 0; left--, n = LOW(get(&chunk_at(queue, n)->link))) {
		at = (off_t)chunk_offset(n);
		*absent += (data = lseek(fd, at, SEEK_DATA)) != -1 && data < at + (off_t)CHUNK;
	}
	at = (off_t)chunk_offset((uint32_t)get(&head->chunks));
	while ((at = lseek(fd, at, SEEK_DATA)) != -1) {
		++*beyond;
		at = at / CHUNK * CHUNK + CHUNK;
	}
	close(fd);
}

/* An empty queue keeps little: what it says is absent has no memory, and not much is free. */
static void
judge_memory(void)
{
	const struct head *head = queue->head;
	uint64_t chunks = get(&head->chunks) - FIRST_CHUNK, absent = HIGH(get(&head->absent)), present = chunks - absent;
	struct mpq_stat st = { 0 };
	uint64_t strays, beyond;

	expect_ok(mpq_stat(queue, &st), "stat");
	find_strays(&strays, &beyond);
	most_strays = strays > most_strays ? strays : most_strays;
	most_beyond = beyond > most_beyond ? beyond : most_beyond;
	most_present = present > most_present ? present : most_present;
	expect(present <= IDLE_CHUNKS && st.memory <= (present + SLACK) * CHUNK, "memory %llu of an empty queue: %llu chunks, of them %u free, %u small, %llu "
	    "absent; %llu chunks should have memory, and %llu have", (unsigned long long)st.memory,
	    (unsigned long long)chunks, HIGH(get(&head->free)), HIGH(get(&head->small)), (unsigned long long)absent,
	    (unsigned long long)present, (unsigned long long)(st.memory / CHUNK));
}

/* The queue's accounts, now that it is empty and nobody else is there. */
static void
judge_queue(const struct sums *sums)
{
	struct mpq_stat st;
	uint64_t did;
	int err;

	expect_ok(mpq_sweep(queue), "sweep");
	expect_ok(mpq_check(queue), "check");
	if ((err = mpq_stat(queue, &st)) != MPQ_OK) {
		expect(false, "stat: %s", mpq_strerror(err));
		return;
	}
	expect(st.size == 0 && st.bytes == 0 && st.held == 0, "size %llu, bytes %llu, held %llu of an empty queue",
	    (unsigned long long)st.size, (unsigned long long)st.bytes, (unsigned long long)st.held);
	expect(st.getters == 0 && st.putters == 0, "getters %llu, putters %llu", (unsigned long long)st.getters,
	    (unsigned long long)st.putters);
	expect(st.puts >= sums->puts && st.puts <= sums->puts + sums->tried, "puts %llu, by the book %llu and perhaps %llu",
	    (unsigned long long)st.puts, (unsigned long long)sums->puts, (unsigned long long)sums->tried);
	expect(st.gets >= st.puts, "gets %llu of %llu", (unsigned long long)st.gets, (unsigned long long)st.puts);
	expect(st.dones >= book->dones && st.dones <= book->dones + book->dones_doubted,
	    "dones %llu, by the book %llu and perhaps %llu", (unsigned long long)st.dones,
	    (unsigned long long)book->dones, (unsigned long long)book->dones_doubted);
	expect(st.unfinished == st.puts - st.dones, "unfinished %llu", (unsigned long long)st.unfinished);
	expect(st.unfinished == 0 || mpq_join(queue, 0, MPQ_NOW) == MPQ_NOTYET, "join with unfinished messages");
	expect(mpq_task_done(queue, NULL, st.unfinished + 1, 0, &did) == MPQ_OVERDONE, "more done than there were");
	expect(mpq_task_done(queue, NULL, st.unfinished, 0, &did) == MPQ_OK && did == st.unfinished, "the rest is not done");
	expect(mpq_join(queue, 0, MPQ_NOW) == MPQ_OK, "join when all is done");
	if (!st.closed) {
		me->flight = 0;
		expect(mpq_put(queue, "x", 1, in_ms(1000)) == MPQ_OK, "a last put");
		expect(mpq_get(queue, me->buf, 1, &me->len, in_ms(1000)) == MPQ_OK, "a last get");
	}
	expect_ok(mpq_close(queue, MPQ_CLOSE), "close");
	expect_ok(mpq_check(queue), "check after close");
	judge_memory();
}

/* The end of a round. False: somebody hangs. */
static bool
finish(enum ending ending)
{
	bool ended = true, got = true;
	mpq_time until;

	if (ending == MASSACRE)
		kill_all();
	else {
		__atomic_store_n(&book->stop, 1, __ATOMIC_RELEASE);
		ended = await(0, PRODUCERS);
		mpq_close(queue, MPQ_CLOSE);
		for (until = in_ms(100); ended && ending == CLOSE_AND_KILL && mpq_now() < until;)
			strike(PRODUCERS, GETTERS + HOLDERS, false);
		ended = ended && (ending == CLOSE_AND_KILL || await(PRODUCERS, GETTERS + HOLDERS));
		if (!ended || ending == CLOSE_AND_KILL)
			kill_all();
	}
	while (ended && got)
		get_one(MPQ_NOW, &got);
	return ended;
}

static bool
play(uint64_t round, mpq_time until)
{
	enum ending ending = (enum ending)(round / 4 % ENDINGS);
	struct sums sums;
	bool good = true;
	int err;

	book_new_round(round);
	mpq_remove(&room, "q", 1, NULL);
	if ((err = mpq_create(&room, "q", &variants[round % 4], NULL)) != MPQ_OK ||
	    (err = mpq_open(&room, "q", 0, &queue, NULL)) != MPQ_OK) {
		expect(false, "create, open: %s", mpq_strerror(err));
		return false;
	}
	me = &book->proc[PROCS];
	for (unsigned i = 0; i < PROCS; i++)
		start(i, next_random(&chance));
	while (good && mpq_now() < until) {
		strike(0, PROCS, true);
		good = !hung() && totals.faults == 0;
	}
	if (good)
		good = finish(ending);
	else
		kill_all();
	judge_book(&totals, &sums);
	if (good)
		judge_queue(&sums);
	mpq_detach(queue);
	if (verbose)
		diag("round %llu: %llu kills, %llu messages, %llu operations, longest wait %lld ms",
		    (unsigned long long)round, (unsigned long long)totals.kills, (unsigned long long)totals.messages,
		    (unsigned long long)book->ops, (long long)(book->longest / MS));
	return good && totals.lost + totals.doubled + totals.spurious + totals.faults == 0;
}

static int
verdict(void)
{
	diag("%llu kills, %llu stops, %llu messages: %llu lost, %llu doubled, %llu hung; longest wait after a death %.1f ms",
	    (unsigned long long)totals.kills, (unsigned long long)totals.stops, (unsigned long long)totals.messages,
	    (unsigned long long)totals.lost, (unsigned long long)totals.doubled, (unsigned long long)totals.hung,
	    (double)book->longest / 1e6);
	diag("%llu operations, %.1f for each kill; memory of an emptied queue: at most %llu chunks, and %llu that it calls "
	    "absent, %llu behind its end", (unsigned long long)book->ops, (double)book->ops / (double)(totals.kills + 1),
	    (unsigned long long)most_present, (unsigned long long)most_strays, (unsigned long long)most_beyond);
	OK(totals.kills != 0 && totals.messages != 0, "processes were killed and messages delivered");
	OK(totals.lost == 0, "no message that was put is lost");
	OK(totals.doubled == 0, "none is delivered twice but those in the hands of a getter that was killed");
	OK(totals.spurious == 0, "none is delivered whose put was refused");
	OK(totals.hung == 0, "nobody hangs");
	OK(totals.faults == 0, "messages are whole; the accounts, the structure and the memory of the queue are right");
	return tap_end();
}

int
main(int argc, char **argv)
{
	const char *kills = getenv("KILLS");
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL), round = 0;
	uint64_t most = kills != NULL ? strtoull(kills, NULL, 0) : UINT64_MAX;
	mpq_time until = mpq_now() + (argc > 1 ? (mpq_time)strtoull(argv[1], NULL, 0) : 10) * SECOND;

	verbose = getenv("VERBOSE") != NULL;
	dense = getenv("DENSE") != NULL;
	room_make();
	book_open();
	diag("seed %llu", (unsigned long long)seed);
	chance = seed;
	while ((kills != NULL ? totals.kills < most : mpq_now() < until) && play(round, mpq_now() + ROUND))
		round++;
	return verdict();
}
