/* SPDX-License-Identifier: ISC
 *
 * pause.c - two processes, every schedule with one switch: one is held up before each instruction of its operation, the
 * other does the whole of its own there, and the first goes on.
 *
 * What comes of it must be what comes of one after the other, in either order: what both say, what they got, and what
 * the judge says of the queue (world.h). These answers are not written down here but found by doing so.
 *
 * If the one who stands there has the lock, the other must wait: a call with a deadline says MPQ_STUCK at it, and has
 * changed nothing; one without sleeps, and is done when the first has gone on. If he has not, the other must get done
 * while he stands. And nobody may be woken by the clock: from when the second event has happened a sleep that ends with
 * ETIMEDOUT, in either process, is a wake-up that was lost, though the library would have got over it (syscall is
 * wrapped to see them). What was late is tried again: a busy machine may be, a lost wake-up is lost each time.
 *
 * Usage: pause [long] [part of a pair's name]
 */
#include <linux/futex.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "alive.h"
#include "layout.h"
#include "stage.h"
#include "trials.h"

#define WORKERS 2
#define FEW 5u                       /* points of each pair in the short form */
#define MANY 3000u                   /* ... in the long form, which are all of most pairs */
#define LONG_WAIT 15000              /* ms: never waited for in full */

struct side_of_pair {
	void (*ready)(struct mpq *q);        /* before, at full speed; may be NULL */
	int (*act)(struct mpq *q);
};

enum {
	OTHER_SLEEPS = 1,                    /* the other may sleep until the first has done something */
	FIRST_SLEEPS = 2,                    /* the first sleeps until the other has done something */
	UNBOUNDED = 4,                       /* the other's call has no deadline */
	DIES = 8,                            /* who builds it is killed with what he has in hand */
	GLANCES = 16,                        /* the other may find by a look without the lock that there is nothing to do */
	SLOW = 32                            /* not in the short form */
};

struct pair {
	const char *name;
	void (*build)(struct mpq *q);        /* may be NULL */
	struct side_of_pair first, other;
	unsigned flags;
	uint64_t maxsize;
};
static const struct pair *pair;
static struct image first_image;

/* What the two share with their tracer. */
struct player {
	volatile int ready, go, done, result, sleeping;
	volatile int timeouts;               /* sleeps ended by the clock since `counted` */
	volatile int overslept;              /* ... and before */
	char got[80];
};
static struct common {
	struct player first, other;
	volatile int counted;
} *common;
static struct player *me;                    /* in the two */

static struct tally {
	uint64_t pauses, held, stuck, missed, ab, ba;
} *tally;

/* ---- sleeps ---------------------------------------------------------------------------------------------- */

long __real_syscall(long n, ...);
long __wrap_syscall(long n, ...);

/* By the clock of the first, which was stepped or stood, its sleeps would be over when they begin. */
static mpq_time
put_off(struct timespec *ts, const struct timespec *deadline)
{
	mpq_time began = kernel_now(), until = deadline->tv_sec * SECOND + deadline->tv_nsec + began - clock_says;

	*ts = (struct timespec){ .tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND) };
	return began;
}

long
__wrap_syscall(long n, ...)
{
	struct timespec ts;
	mpq_time began = 0;
	long a[6], r;
	va_list args;
	bool sleep;

	va_start(args, n);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	sleep = me != NULL && ((n == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET) || n == SYS_futex_waitv);
	if (sleep && clock_says != 0 && a[3] != 0) {
		began = put_off(&ts, (const struct timespec *)a[3]);
		a[3] = (long)&ts;
	}
	if (sleep)
		me->sleeping = 1;
	r = __real_syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (sleep) {
		me->sleeping = 0;
		clock_says += began != 0 ? kernel_now() - began : 0;
		if (r == -1 && errno == ETIMEDOUT) {
			if (common->counted)
				me->timeouts++;
			else
				me->overslept++;
		}
	}
	return r;
}

/* ---- building -------------------------------------------------------------------------------------------- */

static unsigned char buffer[2000000];

static void
put_ab(struct mpq *q)
{
	put_text(q, "a");
	put_text(q, "b");
}

static void
take_two(struct mpq *q)
{
	take_run(q, 2);
}

/* a, b held, c, d there */
static void
held_ab(struct mpq *q)
{
	put_abcd(q);
	take_run(q, 2);
	need(mpq_settle(q, &run, 2, run.bytes, MPQ_HOLD, &keeper));
}

/* Two in hand of a process that dies. */
static void
dead_ab(struct mpq *q)
{
	put_abcd(q);
	take_run(q, 2);
}

static void
write_lines(struct mpq *q)
{
	mpq_writer_init(&writer, q, MPQ_LINES);
	need(mpq_writer_append(&writer, "l\nm\nn\n", 6));
}

/* ---- acts ------------------------------------------------------------------------------------------------ */

/* What a process has got is part of the outcome. */
static void
note(const unsigned char *bytes, uint64_t n)
{
	size_t used_up = strlen(me->got);

	if (n > 8)
		snprintf(me->got + used_up, sizeof me->got - used_up, " %c*%llu", bytes[0], (unsigned long long)n);
	else
		snprintf(me->got + used_up, sizeof me->got - used_up, " %.*s", (int)n, (const char *)bytes);
}

/* With a deadline: whoever stands in the lock is waited for. */
static int
late_put(struct mpq *q)
{
	return mpq_put(q, "x", 1, in_ms(LONG_WAIT));
}

static int
act_put_y(struct mpq *q)
{
	return mpq_put(q, "y", 1, MPQ_NOW);
}

static int
get_until(struct mpq *q, mpq_time deadline)
{
	size_t len;
	int r = mpq_get(q, buffer, sizeof buffer, &len, deadline);

	if (r == MPQ_OK)
		note(buffer, len);
	return r;
}

static int
act_get(struct mpq *q)
{
	return get_until(q, MPQ_NOW);
}

static int
sleep_get(struct mpq *q)
{
	return get_until(q, in_ms(LONG_WAIT));
}

/* As a getter in bulk does, who looks about for a moment before he sleeps. */
static int
sleep_share(struct mpq *q)
{
	struct mpq_want want = { .msgs = UINT64_MAX, .bytes = 1 << 20, .flags = MPQ_SHARE };
	int r = mpq_take(q, &want, 0, in_ms(LONG_WAIT), &run);

	return r == MPQ_OK ? mpq_settle(q, &run, run.msgs, run.bytes, MPQ_DONE, NULL) : r;
}

static int
sleep_put(struct mpq *q)
{
	return mpq_put(q, "s", 1, in_ms(LONG_WAIT));
}

static int
sleep_join(struct mpq *q)
{
	return mpq_join(q, 0, in_ms(LONG_WAIT));
}

static int
sleep_watch(struct mpq *q, enum mpq_ready what)
{
	struct mpq_watch watch[2] = { { .q = q, .what = what }, { .q = q, .what = MPQ_READY_JOIN } };

	return mpq_wait(watch, what == MPQ_READY_GET ? 1 : 2, in_ms(LONG_WAIT));
}

static int
sleep_wait(struct mpq *q)
{
	return sleep_watch(q, MPQ_READY_GET);
}

static int
sleep_wait_two(struct mpq *q)
{
	return sleep_watch(q, MPQ_READY_PUT);
}

/* All that is there, as mpq-get -a does. */
static int
act_bulk(struct mpq *q)
{
	struct mpq_want want = { .msgs = UINT64_MAX, .bytes = 1 << 20 };
	struct mpq_run all;
	struct iovec iov;
	int got, r;

	if ((r = mpq_take(q, &want, 0, MPQ_NOW, &all)) != MPQ_OK)
		return r;
	if ((r = mpq_run_map(q, &all, 0, &iov, 1, &got)) != MPQ_OK)
		return r;
	for (size_t i = 0; i < all.bytes && i < iov.iov_len; i++) {   /* "a\n" or length and "a": the letters */
		unsigned char c = ((const unsigned char *)iov.iov_base)[i];

		if (c >= 'a' && c <= 'z')
			note(&c, 1);
	}
	return mpq_settle(q, &all, all.msgs, all.bytes, MPQ_GOT, NULL);
}

static int
act_commit(struct mpq *q)
{
	uint64_t put, bytes;

	(void)q;
	return mpq_writer_commit(&writer, 3, 6, 0, &put, &bytes);
}

static int
act_hold(struct mpq *q)
{
	return mpq_settle(q, &run, 1, run.bytes / run.msgs, MPQ_HOLD, &keeper);
}

static int
act_requeue(struct mpq *q)
{
	return mpq_task_done(q, &keeper, 1, 1, NULL);
}

static int
act_count(struct mpq *q)
{
	return mpq_task_done(q, NULL, 1, 0, NULL);
}

static int
act_stat(struct mpq *q)
{
	struct mpq_stat st;
	int r = mpq_stat(q, &st);

	if (r == MPQ_OK)
		snprintf(me->got, sizeof me->got, " size %llu puts %llu gets %llu dones %llu held %llu bytes %llu",
		    (long long)st.size, (long long)st.puts, (long long)st.gets, (long long)st.dones, (long long)st.held,
		    (long long)st.bytes);
	return r;
}

/* ---- the pairs ------------------------------------------------------------------------------------------- */

static const struct pair pairs[] = {
	{ "put | get", put_a, { NULL, act_put }, { NULL, act_get }, 0, 0 },
	{ "put into nothing | get", NULL, { NULL, act_put }, { NULL, act_get }, 0, 0 },
	{ "get | put", put_a, { NULL, act_get }, { NULL, act_put }, 0, 0 },
	{ "put | put", put_a, { NULL, act_put }, { NULL, act_put_y }, 0, 0 },
	{ "the last room: put | put", put_a, { NULL, act_put }, { NULL, act_put_y }, 0, 2 },
	{ "get | get", put_ab, { NULL, act_get }, { NULL, act_get }, 0, 0 },
	{ "the last: get | get", put_a, { NULL, act_get }, { NULL, act_get }, 0, 0 },
	{ "take | take", put_ab, { NULL, act_take }, { NULL, act_take }, 0, 0 },
	{ "settle | put", put_abcd, { take_two, act_settle_all }, { NULL, act_put }, 0, 0 },
	{ "put | settle", put_abcd, { NULL, act_put }, { take_two, act_settle_all }, UNBOUNDED, 0 },
	{ "give back | get", put_abcd, { take_two, act_settle_none }, { NULL, act_get }, 0, 0 },
	{ "get | give back", put_abcd, { NULL, act_get }, { take_two, act_settle_none }, UNBOUNDED, 0 },
	{ "hold | task-done", held_ab, { take_one, act_hold }, { NULL, act_done_all }, UNBOUNDED, 0 },
	{ "task-done | hold", held_ab, { NULL, act_done_all }, { take_one, act_hold }, UNBOUNDED, 0 },
	{ "requeue | task-done", held_ab, { NULL, act_requeue }, { NULL, act_done_all }, UNBOUNDED, 0 },
	{ "requeue | get", held_ab, { NULL, act_requeue }, { NULL, act_get }, 0, 0 },
	{ "close | put", put_a, { NULL, act_close }, { NULL, act_put }, 0, 0 },
	{ "put | close", put_a, { NULL, act_put }, { NULL, act_close }, UNBOUNDED, 0 },
	{ "close now | put", put_abcd, { NULL, act_close_now }, { NULL, act_put }, 0, 0 },
	{ "put | close now", put_abcd, { NULL, act_put }, { NULL, act_close_now }, UNBOUNDED, 0 },
	{ "commit | get all", put_a, { write_lines, act_commit }, { NULL, act_bulk }, 0, 0 },
	{ "get all | commit", put_a, { NULL, act_bulk }, { write_lines, act_commit }, SLOW, 0 },
	{ "commit | put", put_a, { write_lines, act_commit }, { NULL, act_put }, 0, 0 },
	{ "stat | put", put_a, { NULL, act_stat }, { NULL, act_put }, 0, 0 },
	{ "get | stat", put_ab, { NULL, act_get }, { NULL, act_stat }, UNBOUNDED, 0 },
	{ "remove | put", put_a, { NULL, act_remove }, { NULL, act_put }, 0, 0 },
	{ "put | remove", put_a, { NULL, act_put }, { NULL, act_remove }, UNBOUNDED, 0 },
	{ "put and grow | put", put_a, { letters_x, act_put_long }, { NULL, act_put }, 0, 0 },
	{ "put | put and grow", put_a, { NULL, act_put }, { letters_x, act_put_long }, 0, 0 },
	{ "put and grow | put and grow", put_a, { letters_x, act_put_long }, { letters_x, act_put_long }, SLOW, 0 },
	{ "settle and trim | put", long_message, { take_one, act_settle_done }, { NULL, act_put }, 0, 0 },
	{ "settle and trim | put and grow", long_message, { take_one, act_settle_done }, { letters_x, act_put_long }, 0, 0 },
	{ "put and grow | settle and trim", long_message, { letters_x, act_put_long }, { take_one, act_settle_done },
	    UNBOUNDED | SLOW, 0 },
	{ "take back from the dead | get", dead_ab, { NULL, mpq_sweep }, { NULL, act_get }, DIES, 0 },
	{ "take back | take back", dead_ab, { NULL, mpq_sweep }, { NULL, mpq_sweep }, DIES | UNBOUNDED | GLANCES, 0 },
	{ "get asleep | put", used, { NULL, sleep_get }, { NULL, late_put }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "get asleep | close", used, { NULL, sleep_get }, { NULL, act_close }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "get in bulk asleep | put", used, { know_self, sleep_share }, { NULL, late_put }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "get in bulk asleep | close", used, { know_self, sleep_share }, { NULL, act_close }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "put asleep | get", put_a, { NULL, sleep_put }, { NULL, sleep_get }, FIRST_SLEEPS | UNBOUNDED, 1 },
	{ "join asleep | task-done", got_a, { NULL, sleep_join }, { NULL, act_count }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "wait asleep | put", used, { NULL, sleep_wait }, { NULL, late_put }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "wait for two asleep | get", put_a, { NULL, sleep_wait_two }, { NULL, sleep_get }, FIRST_SLEEPS | UNBOUNDED, 1 },
	{ "get asleep | remove", used, { NULL, sleep_get }, { NULL, act_remove }, FIRST_SLEEPS | UNBOUNDED, 0 },
	{ "put | get asleep", used, { NULL, act_put }, { NULL, sleep_get }, OTHER_SLEEPS, 0 },
	{ "close | get asleep", used, { NULL, act_close }, { NULL, sleep_get }, OTHER_SLEEPS, 0 },
	{ "close | get in bulk asleep", used, { NULL, act_close }, { NULL, sleep_share }, OTHER_SLEEPS, 0 },
	{ "get | put asleep", put_a, { NULL, act_get }, { NULL, sleep_put }, OTHER_SLEEPS, 1 },
	{ "task-done | join asleep", got_a, { NULL, act_count }, { NULL, sleep_join }, OTHER_SLEEPS, 0 },
	{ "put | wait asleep", used, { NULL, act_put }, { NULL, sleep_wait }, OTHER_SLEEPS, 0 },
	{ "remove | get asleep", used, { NULL, act_remove }, { NULL, sleep_get }, OTHER_SLEEPS, 0 },
};

/* ---- the two processes ----------------------------------------------------------------------------------- */

static struct mpq *handle;           /* of each of the two */

static void
first_ready(void *arg)
{
	(void)arg;
	handle = open_queue(QUEUE);
	if (pair->first.ready != NULL)
		pair->first.ready(handle);
	me = &common->first;
	clock_says = mpq_now();
}

static void
first_act(void *arg)
{
	(void)arg;
	me->result = pair->first.act(handle);
	me->done = 1;
}

static const struct play play = { .ready = first_ready, .act = first_act };

static _Noreturn void
other_main(void)
{
	handle = open_queue(QUEUE);
	if (pair->other.ready != NULL)
		pair->other.ready(handle);
	me = &common->other;
	me->ready = 1;
	while (!me->go)
		room_pause();
	me->result = pair->other.act(handle);
	me->done = 1;
	for (;;)
		pause();             /* alive until both are done */
}

/* ---- one schedule ---------------------------------------------------------------------------------------- */

enum schedule { FIRST_ALONE, FIRST_THEN_OTHER, OTHER_THEN_FIRST, PAUSED };

static struct {
	enum schedule schedule;
	const struct point *point;
	size_t number, of;
	pid_t other;
	int fd;                      /* of the queue's file */
	bool held;                   /* the first stood with the lock */
	bool begun;                  /* the other has been let go */
	bool early;                  /* ... because the first slept, before it came to the point */
} now;

static bool
has_lock(pid_t pid)
{
	uint32_t word = 0;

	if (pread(now.fd, &word, sizeof word, offsetof(struct head, lock)) != (ssize_t)sizeof word)
		abort();
	return (word & FUTEX_TID_MASK) == (uint32_t)pid;
}

/* Has it done what it can? If it was let go while the first slept, the first may have come to the point since, and stand
 * there with the lock. */
static bool
other_rests(pid_t pid, bool may_sleep)
{
	return common->other.done || (common->other.sleeping && process_state(now.other) == 'S' &&
	    (may_sleep || (now.early && has_lock(pid))));
}

/* The first stands, or sleeps, or has not begun, or has ended: the other does its whole operation. */
static void
let_other(void *arg, pid_t pid)
{
	const struct player *o = &common->other;
	bool may_sleep = (pair->flags & OTHER_SLEEPS) != 0;

	(void)arg;
	if (now.schedule == FIRST_ALONE || now.begun)
		return;
	now.begun = true;
	now.held = pid != 0 && has_lock(pid);
	if (now.held && (pair->flags & (UNBOUNDED | OTHER_SLEEPS)))
		may_sleep = true;
	common->other.go = 1;
	if (!UNTIL(other_rests(pid, may_sleep)))
		late("pause %zu of %zu: the other does not get done", now.number, now.of);
	if (now.held && o->done && o->result != MPQ_STUCK && !(pair->flags & GLANCES))
		fault("pause %zu of %zu: the first has the lock, and the other says %s", now.number, now.of,
		    mpq_strerror(o->result));
	common->counted = 1;
}

static void
first_is_asleep(void *arg, pid_t pid)
{
	now.early = now.schedule == PAUSED && !now.begun;
	let_other(arg, pid);
}

static void
first_is_ready(void *arg)
{
	if (now.schedule == OTHER_THEN_FIRST)
		let_other(arg, 0);
}

static void
describe(char *to, size_t size)
{
	struct verdict v;

	judge(ONE_QUEUE, &v);
	snprintf(to, size, "%s%s | %s%s | %s", mpq_strerror(common->first.result), common->first.got,
	    now.begun ? mpq_strerror(common->other.result) : "-", common->other.got, v.text);
}

/* One run; what came of it, in words. */
static enum end
run_schedule(enum schedule schedule, const struct point *point, char *outcome, size_t size)
{
	struct trial trial = { .play = &play, .point = schedule == PAUSED ? point : NULL, .started = first_is_ready,
		.blocked = pair->flags & FIRST_SLEEPS ? first_is_asleep : NULL };
	char path[200];
	enum end end;

	image_restore(&first_image, QUEUE);
	memset(common, 0, sizeof *common);
	now.schedule = schedule;
	now.held = now.begun = now.early = false;
	snprintf(path, sizeof path, "%s/mpq." QUEUE, place.dir);
	now.fd = open(path, O_RDONLY | O_CLOEXEC);
	if ((now.other = child()) == 0)
		other_main();
	UNTIL(common->other.ready);
	end = step_pause(&trial, let_other);
	if (now.begun)
		UNTIL(common->other.done);
	if (now.begun && !common->other.done)
		late("pause %zu of %zu: the other does not come to an end", now.number, now.of);
	if (common->first.timeouts + common->other.timeouts != 0)
		late("pause %zu of %zu: a wake-up was lost (%d, %d)", now.number, now.of, common->first.timeouts,
		    common->other.timeouts);
	kill_child(now.other);
	close(now.fd);
	if (end == STEP_ACTED || end == STEP_KILLED)
		describe(outcome, size);
	return end;
}

/* ---- all schedules of a pair ----------------------------------------------------------------------------- */

static char alone[2 * TEXT], ab[2 * TEXT], ba[2 * TEXT];

static void
one_pause(const struct pass *pass, size_t i)
{
	char outcome[2 * TEXT];
	enum end end;

	now.number = i, now.of = pass->n;
	end = run_schedule(PAUSED, &pass->point[i], outcome, sizeof outcome);
	__atomic_fetch_add(&tally->pauses, 1, __ATOMIC_RELAXED);
	if (is_late())
		return;
	if (end == STEP_LATE) {
		late("pause %zu of %zu: late", i, pass->n);
		return;
	}
	if (end != STEP_ACTED && end != STEP_KILLED) {
		fault("pause %zu of %zu: end %d, signal %d", i, pass->n, (int)end, step_signal());
		return;
	}
	__atomic_fetch_add(&tally->missed, end == STEP_KILLED || now.early, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tally->held, now.held, __ATOMIC_RELAXED);
	if (common->other.result == MPQ_STUCK) {
		char expected[3 * TEXT];
		const char *mark = strstr(alone, " | - |");

		if (mark == NULL)
			abort();
		snprintf(expected, sizeof expected, "%.*s | %s%s", (int)(mark - alone), alone, mpq_strerror(MPQ_STUCK),
		    mark + 4);
		__atomic_fetch_add(&tally->stuck, 1, __ATOMIC_RELAXED);
		if (!now.held || strcmp(outcome, expected) != 0)
			fault("pause %zu of %zu: \"%s\", not \"%s\"", i, pass->n, outcome, expected);
	} else if (strcmp(outcome, ab) == 0)
		__atomic_fetch_add(&tally->ab, 1, __ATOMIC_RELAXED);
	else if (strcmp(outcome, ba) == 0)
		__atomic_fetch_add(&tally->ba, 1, __ATOMIC_RELAXED);
	else
		fault("pause %zu of %zu: \"%s\", neither \"%s\" nor \"%s\"", i, pass->n, outcome, ab, ba);
}

static void
common_new(void)
{
	common = shared(sizeof *common);
}

static void
pause_everywhere(const struct pass *pass)
{
	size_t few = longer ? MANY : FEW, step = pass->n <= few ? 1 : (pass->n + few - 1) / few;

	go_round(&(struct tour){ .pass = pass, .step = step, .workers = WORKERS, .prepare = common_new, .once = one_pause });
}

static void
build_main(void)
{
	struct mpq_bounds bounds = { .mode = 0600, .maxsize = pair->maxsize };
	struct mpq *q;

	clock_says = mpq_now() - LONG_AGO;
	if (mpq_create(&place, QUEUE, &bounds, NULL) != MPQ_OK)
		abort();
	q = open_queue(QUEUE);
	build_ends(q, pair->build, pair->flags & DIES);
}

/* The one after the other, in both orders, and the first alone. */
static bool
rehearse(void)
{
	struct image none = { NULL, 0 };
	bool built;

	image_restore(&none, QUEUE);
	built = build_elsewhere(build_main, pair->flags & DIES);
	image_load(&first_image, QUEUE);
	for (tries_begin(); tries_again();) {
		if (!(pair->flags & FIRST_SLEEPS) && run_schedule(FIRST_ALONE, NULL, alone, sizeof alone) != STEP_ACTED)
			fault("the first alone");
		if (run_schedule(FIRST_THEN_OTHER, NULL, ab, sizeof ab) != STEP_ACTED ||
		    run_schedule(OTHER_THEN_FIRST, NULL, ba, sizeof ba) != STEP_ACTED)
			fault("one after the other");
	}
	return built && trouble->faults == 0;
}

/* The path of the first, as far as it goes alone. Reading /proc/PID/stat differs each time, and touches nothing that is
 * shared: to stop in there is to stop before it. */
static size_t before_sleep;
static struct pass pass = { .varies = (const void *)start_time };

static void
first_sleeps(void *arg, pid_t pid)
{
	if (!now.begun)
		before_sleep = pass.n;
	let_other(arg, pid);
}

/* Of these points some are tried. The short form leaves out what takes many stops to come to as well: the later turns of
 * loops and of repeated instructions. */
static void
choose_points(void)
{
	size_t n = 0;

	for (size_t i = 0; i < pass.n; i++)
		if (!pass.point[i].varies && (longer || (pass.point[i].inside == 0 && pass.point[i].hit <= 32)))
			pass.point[n++] = pass.point[i];
	pass.n = n;
}

/* On a busy machine the first may sleep and wake by the clock before its sleep is seen. What comes after that is a way
 * that it does not go when it is seen at once: that path is no use. */
static void
record_once(void)
{
	struct trial trial = { .play = &play, .blocked = pair->flags & FIRST_SLEEPS ? first_sleeps : NULL };

	image_restore(&first_image, QUEUE);
	memset(common, 0, sizeof *common);
	now.schedule = pair->flags & FIRST_SLEEPS ? FIRST_THEN_OTHER : FIRST_ALONE;
	now.begun = now.early = false;
	before_sleep = 0;
	if ((now.other = child()) == 0)
		other_main();
	UNTIL(common->other.ready);
	if (step_pass(&trial, &pass, NULL, NULL) != STEP_ACTED)
		fault("the path ended by signal %d", step_signal());
	if (common->first.overslept != 0)
		late("the path: the first slept and was not seen to");
	kill_child(now.other);
}

static void
record(void)
{
	for (tries_begin(); tries_again();)
		record_once();
	if (before_sleep != 0)
		pass.n = before_sleep;
	choose_points();
}

static void
perform(void)
{
	mpq_time began = mpq_now();
	uint64_t missable;
	char path[200];

	memset(tally, 0, sizeof *tally);
	memset(trouble, 0, sizeof *trouble);
	alone[0] = '\0';
	if (!rehearse()) {
		OK(false, "%s: cannot be built", pair->name);
		diag("%s", trouble->fault);
		return;
	}
	snprintf(path, sizeof path, "%s/mpq." QUEUE, place.dir);
	now.fd = open(path, O_RDONLY | O_CLOEXEC);
	record();
	close(now.fd);
	if (trouble->faults == 0)
		pause_everywhere(&pass);
	/* What a sleeper finds when it wakes is not always the same. */
	missable = tally->pauses / (!longer ? 2 : pair->flags & FIRST_SLEEPS ? 10 : 20);
	OK(trouble->faults == 0 && tally->pauses > 0 && tally->missed <= missable,
	    "%s: %zu points, %llu pauses, %llu faults", pair->name, pass.n, (long long)tally->pauses,
	    (long long)trouble->faults);
	if (trouble->faults != 0)
		diag("%s", trouble->fault);
	diag("%llu with the lock, %llu stuck, %llu as first | other, %llu as other | first, %llu points missed, %llu late; "
	    "%lld ms", (long long)tally->held, (long long)tally->stuck, (long long)tally->ab, (long long)tally->ba,
	    (long long)tally->missed, (long long)trouble->late, (long long)((mpq_now() - began) / MS));
	free(first_image.bytes);
}

int
main(int argc, char **argv)
{
	const char *name = trials_begin(argc, argv);

	tally = shared(sizeof *tally);
	common_new();
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		pair = &pairs[i];
		if (name != NULL ? strstr(pair->name, name) != NULL : longer || !(pair->flags & SLOW))
			perform();
	}
	trials_end();
	return tap_end();
}
