/* SPDX-License-Identifier: ISC
 *
 * kill.c - kill torture with a ledger. 8 producers, 8 getters and 2 holders work on one queue, each a process; a killer
 * ends random ones at random instants, or stops them for a while, and starts new ones in their places. After a second
 * or so the queue is drained, and the judge compares what the producers said they had put with what the getters got
 * (ledger.h); then come the queue's own accounts and its memory. Then the next round, on a new queue.
 *
 * With `pipe` it is a two-way pipe. Half of them work at each end; each end belongs to a process (-o), which hands it on
 * to another one and is killed. Some rounds end with the death of an owner: what its end has sent must arrive at the
 * other, and then Closed.
 *
 * In both, watchers sleep in mpq_wait on the queue and on a sign of their own, into which only the killer puts. What a
 * watcher is told of its sign must be so, and none may sleep on when its sign has a message, or when at the end all is
 * done.
 *
 * usage: kill SECONDS [SEED [pipe]]    environment: KILLS=n ends after so many kills instead;
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
#define IDLE_CHUNKS 16u               /* of 64 KiB, with memory: some free, the tail (a pipe has two), pools of records */
/* Growers allocate before they publish. One that is killed in between leaves a batch behind the end, where the next one
 * finds it. One that others have overtaken gives memory to a batch of chunks that may be absent by then, and keep it
 * until they are used again. All other memory is accounted for. */
#define BEHIND 17u                    /* a batch (grow.c), and a table of descriptors: all growers begin at the end */
#define STRAYS 48u                    /* no bound but that of absent chunks: three batches; 24 chunks were seen */

enum role { PRODUCER, GETTER, HOLDER, WATCHER, OWNER };
static const char *const role_names[] = { "producer", "getter", "holder", "watcher", "owner" };
enum ending { CLOSE, MASSACRE, CLOSE_AND_KILL, ENDINGS };

static struct mpq_bounds variants[] = {
	{ .mode = 0600 },
	{ .mode = 0600, .maxsize = 16 },
	{ .mode = 0600, .maxbytes = 3 * LARGEST / 2 },
	{ .mode = 0600, .maxsize = 1000, .maxbytes = 4 * LARGEST },
};

static struct totals totals;
static uint64_t most_strays, most_behind, most_present;   /* chunks, of the emptied queue of any round */
static mpq_time longest_nap;          /* beyond what was asked for: what the machine alone makes anybody wait */
static bool verbose;

/* ---- what all workers share ------------------------------------------------------------------------------ */

static struct proc *me;
static struct mpq *queue;             /* the handle by which it works */
static struct mpq *begins[2], *ends[2]; /* the judge's, where a way begins and where it ends */
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

/* Closed, and it is: whoever closes says so before. */
static bool
rightly_closed(int err)
{
	return err == MPQ_CLOSED && __atomic_load_n(&book->closing, __ATOMIC_ACQUIRE);
}

/* ---- producers ------------------------------------------------------------------------------------------- */

/* False: closed. */
static bool
produce_one(unsigned number)
{
	uint64_t id = write_tried(number, (enum kind)random_below(KINDS));
	size_t size = message_write(id, scratch);
	mpq_time deadline = some_deadline();
	int err;

	begin(deadline == MPQ_FOREVER ? "put, for ever" : "put");
	err = mpq_put(queue, scratch, size, deadline);
	if (err != MPQ_OK && !refusal(err, deadline, MPQ_FULL) && !rightly_closed(err))
		fault("put of %zu bytes: %s", size, mpq_strerror(err));
	write_put(id, err == MPQ_OK);
	end();
	return err != MPQ_CLOSED;
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

/* A run of messages through a writer; what finds no room is dropped. False: closed. */
static bool
produce_run(unsigned number)
{
	enum mpq_framing framing = (enum mpq_framing)(1 + random_below(4));
	unsigned n = framing == MPQ_BARE ? 1 : 1 + (unsigned)random_below(60), kinds = (unsigned)framing < 3 ? framing : 3;
	mpq_time patience = (mpq_time)random_below(20) * MS;
	uint64_t ids[60], put = 0, part, bytes, all = 0, put_bytes = 0;
	struct mpq_writer w;
	int err = MPQ_OK;

	begin("writing a run");
	mpq_writer_init(&w, queue, framing);
	for (unsigned i = 0; i < n; i++) {
		size_t size;

		ids[i] = write_tried(number, (enum kind)random_below(kinds));
		size = framed(ids[i], framing, scratch);
		if (size > LARGEST / 8 && n > 1)
			n = i + 1;
		err = mpq_writer_append(&w, scratch, size);
		if (err != MPQ_OK && !rightly_closed(err))
			fault("append of %zu bytes: %s", size, mpq_strerror(err));
		if (err != MPQ_OK)
			n = i + 1;
		all += size;
	}
	for (unsigned turn = 1 + (unsigned)random_below(2); turn > 0 && put < n && err != MPQ_CLOSED; turn--) {
		if (framing == MPQ_BARE && all == 0)
			break;               /* a bare message without bytes is nothing */
		err = mpq_writer_commit(&w, n - put, all - put_bytes, patience, &part, &bytes);
		if (err != MPQ_OK && err != MPQ_FULL && err != MPQ_STUCK && !rightly_closed(err))
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
	return err != MPQ_CLOSED;
}

static void
produce(unsigned number)
{
	const struct account *way = &book->way[me->way];
	bool open = true;

	while (open && !__atomic_load_n(&book->stop, __ATOMIC_RELAXED)) {
		if (book->next[number] + 60 < 1 << SEQ_BITS && way->bytes_put <= way->bytes_got + BACKLOG)
			open = random_below(3) == 0 ? produce_run(number) : produce_one(number);
		else {
			room_pause();
			open = !rightly_closed(mpq_can_put(queue, MPQ_FOREVER));
		}
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
	if (err == MPQ_OK && message_check(me, me->buf, me->len, &id))
		write_got(me, id);
	__atomic_store_n(&me->getting, 0, __ATOMIC_RELEASE);
	end();
	if (err != MPQ_OK && !rightly_closed(err) && !refusal(err, deadline, MPQ_EMPTY))
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
		if (!message_check(me, msg, len, &id))
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
	if (err != MPQ_OK && !rightly_closed(err) && !refusal(err, deadline, MPQ_EMPTY))
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

/* ---- watchers and owners --------------------------------------------------------------------------------- */

/* The sign says that it can be got from, and nobody else gets from it. */
static void
read_sign(struct mpq *sign, mpq_time born)
{
	mpq_time rung = __atomic_load_n(&me->rung, __ATOMIC_ACQUIRE), late;
	unsigned char text[8];
	size_t len;
	int err = mpq_get(sign, text, sizeof text, &len, MPQ_NOW);

	if (err != MPQ_OK)
		fault("a watcher's sign is ready, and get says: %s", mpq_strerror(err));
	late = rung != 0 ? mpq_now() - (rung > born ? rung : born) : 0;
	if (late > book->latest)
		book->latest = late;
	__atomic_store_n(&me->rung, 0, __ATOMIC_RELEASE);
}

static void
watch(unsigned slot)
{
	static const enum mpq_ready what[] = { MPQ_READY_GET, MPQ_READY_PUT, MPQ_READY_JOIN };
	struct mpq_watch w[2] = { { .what = MPQ_READY_GET }, { .q = queue } };
	mpq_time born = mpq_now();
	char name[20];
	int err;

	snprintf(name, sizeof name, "sign%u", slot - FIRST_WATCHER);
	if ((err = mpq_open(&room, name, 0, &w[0].q, NULL)) != MPQ_OK)
		fault("open %s: %s", name, mpq_strerror(err));
	while (!__atomic_load_n(&book->stop, __ATOMIC_ACQUIRE)) {
		mpq_time deadline = some_deadline();

		w[1].what = what[random_below(3)];
		begin("watching");
		err = mpq_wait(w, 2, deadline);
		if (err != MPQ_OK && (err != MPQ_NOTYET || deadline == MPQ_FOREVER))
			fault("wait: %s", mpq_strerror(err));
		if (deadline != MPQ_FOREVER)
			for (int i = 0; i < 2; i++)
				if (w[i].ready == MPQ_STUCK)       /* its lock's owner was stopped: not known by then */
					w[i].ready = 0, err = MPQ_NOTYET;
		if (err == MPQ_OK && ((w[0].ready | w[1].ready) != 1 || ((w[0].ready | w[1].ready) & ~1) != 0))
			fault("wait says OK, and %d, %d", w[0].ready, w[1].ready);
		if (w[0].ready == 1)
			read_sign(w[0].q, born);
		end();
		if (w[1].ready == 1)
			room_pause();
	}
	mpq_detach(w[0].q);
	w[1].what = MPQ_READY_JOIN;
	begin("watching for the end");
	if ((err = mpq_wait(&w[1], 1, MPQ_FOREVER)) != MPQ_OK || w[1].ready != 1)
		fault("wait for the end: %s, %d", mpq_strerror(err), w[1].ready);
}

static _Noreturn void
own(void)
{
	int err;

	begin("owning");
	if ((err = mpq_own_end(queue, &self)) != MPQ_OK)
		fault("own: %s", mpq_strerror(err));
	end();
	__atomic_store_n(&me->owning, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* ---- starting them --------------------------------------------------------------------------------------- */

static enum role
role_of(unsigned slot)
{
	return slot < PRODUCERS ? PRODUCER : slot < FIRST_HOLDER ? GETTER : slot < FIRST_WATCHER ? HOLDER :
	    slot < FIRST_OWNER ? WATCHER : OWNER;
}

/* Way 0 leads from end 1 to end 2. A producer and a watcher are where theirs begins, the others where it ends. */
static const char *
name_at(unsigned way, bool beginning)
{
	return !pipes ? "q" : (way == 0) == beginning ? "q@1" : "q@2";
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
	if ((err = mpq_open(&room, name_at(me->way, role_of(slot) == PRODUCER || role_of(slot) == WATCHER), 0, &queue,
	    NULL)) != MPQ_OK)
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
		break;
	case WATCHER:
		watch(slot);
		break;
	case OWNER:
		own();
	}
	begin("leaving");
	mpq_detach(queue);
	end();
	_exit(0);
}

static struct mpq *signs[WATCHERS];

/* A watcher that was killed may have read its sign and not said so. */
static void
see_sign(unsigned i)
{
	struct mpq_stat st;

	if (mpq_stat(signs[i], &st) == MPQ_OK && st.size == 0)
		book->proc[FIRST_WATCHER + i].rung = 0;
}

static void
start(unsigned slot, uint64_t seed)
{
	struct proc *p = &book->proc[slot];
	pid_t pid;

	p->seed = seed;
	p->since = 0;
	p->doing = "nothing";
	p->way = way_of(slot);
	p->owning = 0;
	if (role_of(slot) == WATCHER)
		see_sign(slot - FIRST_WATCHER);
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
	mpq_time until = mpq_now() + t.tv_nsec, late;

	nanosleep(&t, NULL);
	if ((late = mpq_now() - until) > longest_nap)
		longest_nap = late;
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
			diag("%d %s: %s for %lld ms, state %c", p->pid, role_names[role_of(i)], p->doing,
			    p->since == 0 ? 0 : (long long)((mpq_now() - p->since) / MS), process_state(p->pid));
	}
	snprintf(path, sizeof path, "%s/mpq.q", room_dir);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1 && read(fd, words, sizeof words) > 0)
		diag("lock %08x", words[16]);
	if (fd != -1)
		close(fd);
}

/* Is anybody in one operation for too long, or has a watcher a sign for too long? */
static bool
hung(void)
{
	mpq_time now = mpq_now();

	for (unsigned i = 0; i < FIRST_OWNER; i++) {
		const struct proc *p = &book->proc[i];
		mpq_time since = __atomic_load_n(&p->since, __ATOMIC_ACQUIRE);
		mpq_time rung = __atomic_load_n(&p->rung, __ATOMIC_ACQUIRE);

		if (p->pid != 0 && ((since != 0 && now - since > HANG) || (rung != 0 && now - rung > HANG))) {
			totals.hung++;
			diag("round %llu: process %d hangs", (unsigned long long)book->round, p->pid);
			show_state();
			return true;
		}
	}
	return false;
}

/* A message for each watcher that has none. */
static void
ring(void)
{
	for (unsigned i = 0; i < WATCHERS; i++) {
		struct proc *p = &book->proc[FIRST_WATCHER + i];

		if (p->rung != 0)
			continue;
		__atomic_store_n(&p->rung, mpq_now(), __ATOMIC_RELEASE);
		if (mpq_put(signs[i], "!", 1, MPQ_NOW) != MPQ_OK) {
			totals.faults++;
			diag("round %llu: the sign cannot be rung", (unsigned long long)book->round);
		}
	}
}

/* An end's owner hands it on, and dies: the end stays open. False: its successor hangs or has ended. */
static bool
hand_on(unsigned end)
{
	unsigned old = FIRST_OWNER + end, next = old + 2;
	mpq_time since = mpq_now();

	if (book->proc[next].pid != 0)
		old = next, next = FIRST_OWNER + end;
	start(next, next_random(&chance));
	while (!__atomic_load_n(&book->proc[next].owning, __ATOMIC_ACQUIRE)) {
		if (mpq_now() - since > HANG) {
			totals.hung++;
			diag("round %llu: nobody can own end %u", (unsigned long long)book->round, end);
			return false;
		}
		room_pause();
	}
	if (book->proc[old].pid != 0)
		kill_one(old);
	return true;
}

/* One act of the killer on a process of the range. */
static void
strike(unsigned first, unsigned n, bool restart)
{
	unsigned slot = first + (unsigned)random_below(n), times = random_below(32) == 0 ? 4 : 1;
	uint64_t how = random_below(dense ? 128 : 16);

	nap();
	if (random_below(4) == 0)
		ring();
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

/* The first n processes. */
static void
kill_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (book->proc[i].pid != 0)
			kill(book->proc[i].pid, SIGKILL);
	for (unsigned i = 0; i < n; i++)
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

static uint64_t
chunks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? ((uint64_t)st.st_blocks * 512 + CHUNK - 1) / CHUNK : 0;
}

/* Memory of chunks that the queue says have none: of those on its absent list, and behind its last one. It is taken away,
 * to see how much it was (SEEK_DATA does not tell: what was allocated and never written to is a hole to it). */
static void
take_strays(uint64_t *absent, uint64_t *behind)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	const struct head *head = queue->head;
	uint32_t n = LOW(get(&head->absent));
	uint64_t before, between;
	char path[100];
	int fd;

	snprintf(path, sizeof path, "%s/mpq.q", room_dir);
	if ((fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	before = chunks_of(fd);
	fallocate(fd, punch, (off_t)chunk_offset((uint32_t)get(&head->chunks)), (off_t)1 << 40);
	between = chunks_of(fd);
	for (uint64_t left = HIGH(get(&head->absent)); left > 0; left--, n = LOW(get(&chunk_at(queue, n)->link)))
		fallocate(fd, punch, (off_t)chunk_offset(n), CHUNK);
	*behind = before - between;
	*absent = between - chunks_of(fd);
	close(fd);
}

/* An empty queue keeps little: what it says is absent has no memory, and not much is free. */
static void
judge_memory(void)
{
	const struct head *head = queue->head;
	uint64_t chunks = get(&head->chunks) - FIRST_CHUNK, absent = HIGH(get(&head->absent)), present = chunks - absent;
	struct mpq_stat st = { 0 };
	uint64_t strays = 0, behind = 0;

	take_strays(&strays, &behind);
	expect_ok(mpq_stat(queue, &st), "stat");
	most_strays = strays > most_strays ? strays : most_strays;
	most_behind = behind > most_behind ? behind : most_behind;
	most_present = present > most_present ? present : most_present;
	expect(present <= IDLE_CHUNKS + pipes && strays <= STRAYS && behind <= BEHIND && st.memory <= (1 + present) * CHUNK,
	    "memory of an empty queue: %llu chunks, of them %u free, %u small, %llu absent; %llu chunks of memory were "
	    "on absent ones, %llu behind the end, and %llu bytes are left", (unsigned long long)chunks,
	    HIGH(get(&head->free)), HIGH(get(&head->small)), (unsigned long long)absent, (unsigned long long)strays,
	    (unsigned long long)behind, (unsigned long long)st.memory);
}

/* The accounts of one way, now that it is empty and nobody else is there but watchers. */
static void
judge_way(unsigned way, const struct sums *sums)
{
	const struct account *book_way = &book->way[way];
	struct mpq_stat st, sent;
	uint64_t did;
	int err;

	queue = ends[way], me->way = way;
	expect_ok(mpq_sweep(queue), "sweep");
	expect_ok(mpq_check(queue), "check");
	if ((err = mpq_stat(queue, &st)) != MPQ_OK || (err = mpq_stat(begins[way], &sent)) != MPQ_OK) {
		expect(false, "stat: %s", mpq_strerror(err));
		return;
	}
	expect(st.size == 0 && st.bytes == 0 && st.held == 0, "size %llu, bytes %llu, held %llu of an empty queue",
	    (unsigned long long)st.size, (unsigned long long)st.bytes, (unsigned long long)st.held);
	expect(st.getters == 0 && sent.putters == 0, "getters %llu, putters %llu", (unsigned long long)st.getters,
	    (unsigned long long)sent.putters);
	expect(sent.puts >= sums->puts && sent.puts <= sums->puts + sums->tried,
	    "puts %llu, by the book %llu and perhaps %llu", (unsigned long long)sent.puts,
	    (unsigned long long)sums->puts, (unsigned long long)sums->tried);
	expect(st.gets >= sent.puts || book_way->dropped, "gets %llu of %llu", (unsigned long long)st.gets,
	    (unsigned long long)sent.puts);
	expect(sent.dones >= book_way->dones && (sent.dones <= book_way->dones + book_way->dones_doubted ||
	    book_way->dropped), "dones %llu, by the book %llu and perhaps %llu", (unsigned long long)sent.dones,
	    (unsigned long long)book_way->dones, (unsigned long long)book_way->dones_doubted);
	expect(sent.unfinished == sent.puts - sent.dones, "unfinished %llu", (unsigned long long)sent.unfinished);
	expect(sent.unfinished == 0 || mpq_join(begins[way], 0, MPQ_NOW) == MPQ_NOTYET, "join with unfinished ones");
	expect(mpq_task_done(queue, NULL, sent.unfinished + 1, 0, &did) == MPQ_OVERDONE, "more done than there were");
	expect(mpq_task_done(queue, NULL, sent.unfinished, 0, &did) == MPQ_OK && did == sent.unfinished,
	    "the rest is not done");
	expect(mpq_join(begins[way], 0, MPQ_NOW) == MPQ_OK, "join when all is done");
	if (mpq_can_put(begins[way], MPQ_FOREVER) == MPQ_OK) {
		me->flight = 0;
		expect(mpq_put(begins[way], "x", 1, in_ms(1000)) == MPQ_OK, "a last put");
		expect(mpq_get(queue, me->buf, 1, &me->len, in_ms(1000)) == MPQ_OK, "a last get");
	}
	expect_ok(mpq_check(queue), "check at the end");
}

/* What is left in each way. */
static void
drain(void)
{
	bool got;

	for (unsigned way = 0; way <= pipes; way++)
		for (queue = ends[way], me->way = way, got = true; got;)
			get_one(MPQ_NOW, &got);
}

/* Nothing more will be put; all that was put is got. */
static bool
close_all(enum ending ending)
{
	__atomic_store_n(&book->stop, 1, __ATOMIC_RELEASE);
	ring();
	if (!await(0, PRODUCERS))
		return false;
	__atomic_store_n(&book->closing, 1, __ATOMIC_RELEASE);
	for (unsigned way = 0; way <= pipes; way++)
		expect_ok(mpq_close(begins[way], pipes ? MPQ_CLOSE_WRITE : MPQ_CLOSE), "close");
	for (mpq_time until = in_ms(100); ending == CLOSE_AND_KILL && mpq_now() < until;)
		strike(PRODUCERS, GETTERS + HOLDERS, false);
	return ending == CLOSE_AND_KILL || await(PRODUCERS, GETTERS + HOLDERS);
}

/* The owner of an end dies: that end is closed, what was sent to it drops; what it has sent is got, and then Closed. */
static bool
kill_owner(void)
{
	unsigned way = (unsigned)random_below(2), slot = FIRST_OWNER + way;

	book->way[way].dropped = true;
	__atomic_store_n(&book->closing, 1, __ATOMIC_RELEASE);
	kill_one(book->proc[slot].pid != 0 ? slot : slot + 2);
	if (!await(0, FIRST_WATCHER))
		return false;
	__atomic_store_n(&book->stop, 1, __ATOMIC_RELEASE);
	ring();
	return true;
}

/* The end of a round. False: somebody hangs. */
static bool
finish(enum ending ending)
{
	bool ended = true;

	if (ending == MASSACRE)
		kill_all(FIRST_OWNER);
	else if (ending == CLOSE_AND_KILL && pipes)
		ended = kill_owner();
	else if (!(ended = close_all(ending)) || ending == CLOSE_AND_KILL)
		kill_all(FIRST_OWNER);
	if (ended)
		drain();
	return ended;
}

static bool
open_round(uint64_t round)
{
	struct mpq_bounds bounds = variants[round % 4], plain = { .mode = 0600 };
	char name[20];
	int err;

	bounds.kind = pipes ? MPQ_PIPE : MPQ_QUEUE;
	mpq_remove(&room, "q", 1, NULL);
	err = mpq_create(&room, "q", &bounds, NULL);
	for (unsigned way = 0; way <= pipes && err == MPQ_OK; way++)
		if ((err = mpq_open(&room, name_at(way, true), 0, &begins[way], NULL)) == MPQ_OK)
			err = mpq_open(&room, name_at(way, false), 0, &ends[way], NULL);
	for (unsigned i = 0; i < WATCHERS && err == MPQ_OK; i++) {
		snprintf(name, sizeof name, "sign%u", i);
		mpq_remove(&room, name, 1, NULL);
		if ((err = mpq_create(&room, name, &plain, NULL)) == MPQ_OK)
			err = mpq_open(&room, name, 0, &signs[i], NULL);
	}
	expect_ok(err, "create, open");
	return err == MPQ_OK;
}

static void
close_round(void)
{
	for (unsigned way = 0; way <= pipes; way++)
		mpq_detach(begins[way]), mpq_detach(ends[way]);
	for (unsigned i = 0; i < WATCHERS; i++)
		mpq_detach(signs[i]);
}

/* All that is asked of the queue or pipe now that nobody but watchers and owners is there. */
static bool
judge_round(const struct sums sums[2])
{
	for (unsigned way = 0; way <= pipes; way++)
		judge_way(way, &sums[way]);
	if (!await(FIRST_WATCHER, WATCHERS))
		return false;
	for (unsigned i = FIRST_OWNER; i < PROCS; i++)
		if (book->proc[i].pid != 0)
			kill_one(i);
	for (unsigned way = 0; way <= pipes; way++) {
		expect_ok(mpq_sweep(begins[way]), "sweep");
		if (pipes)
			expect(mpq_can_put(begins[way], MPQ_FOREVER) == MPQ_CLOSED, "the end of a dead owner is open");
		expect_ok(mpq_close(begins[way], MPQ_CLOSE), "close");
	}
	expect_ok(mpq_check(queue), "check after close");
	judge_memory();
	return true;
}

static bool
play(uint64_t round, mpq_time until)
{
	enum ending ending = (enum ending)((round + round / 4) % ENDINGS);
	struct sums sums[2];
	bool good = true;

	book_new_round(round);
	if (!open_round(round))
		return false;
	me = &book->proc[PROCS];
	queue = ends[0];
	for (unsigned i = 0; i < FIRST_OWNER; i++)
		start(i, next_random(&chance));
	for (unsigned end = 0; end < 2 && pipes && good; end++)
		good = hand_on(end);
	while (good && mpq_now() < until) {
		strike(0, FIRST_OWNER, true);
		if (pipes && random_below(dense ? 64 : 16) == 0)
			good = hand_on((unsigned)random_below(2));
		good = good && !hung() && totals.faults == 0;
	}
	good = good && finish(ending);
	judge_book(&totals, sums);
	good = good && judge_round(sums);
	kill_all(PROCS);
	close_round();
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
	diag("%llu operations, %.1f for each kill; memory of an emptied queue: at most %llu chunks, and %llu that it "
	    "calls absent, %llu behind its end", (unsigned long long)book->ops,
	    (double)book->ops / (double)(totals.kills + 1), (unsigned long long)most_present, (unsigned long long)most_strays, (unsigned long long)most_behind);
	diag("a watcher saw its sign after %.1f ms at the latest; the killer's pauses were up to %.1f ms too long",
	    (double)book->latest / 1e6, (double)longest_nap / 1e6);
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
	pipes = argc > 3 && strcmp(argv[3], "pipe") == 0;
	room_make();
	book_open();
	diag("seed %llu", (unsigned long long)seed);
	chance = seed;
	while ((kills != NULL ? totals.kills < most : mpq_now() < until) && play(round, mpq_now() + ROUND))
		round++;
	return verdict();
}
