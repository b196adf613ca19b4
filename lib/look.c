/* SPDX-License-Identifier: ISC
 *
 * look.c - looking at a queue: stat, and waiting until one of several is ready.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "journal.h"
#include "owner.h"
#include "queue.h"
#include "side.h"

/* ---- stat ------------------------------------------------------------------------------------------------ */

struct stat_op {
	struct op op;
	struct mpq_stat *st;
};

/* Of what an end receives: what can be got. Of what it sends: the account of its tasks, which it joins. */
static int
stat_try(struct mpq *q, struct op *op)
{
	struct mpq_stat *st = ((struct stat_op *)op)->st;
	const struct side *in = side_at(q, q->in != NO_SIDE ? q->in : q->out != NO_SIDE ? q->out : 0);
	const struct side *out = side_at(q, q->out != NO_SIDE ? q->out : q->in != NO_SIDE ? q->in : 0);

	if (((get(&in->flags) & SIDE_DROP) && get(&in->size) != 0) ||
	    ((get(&out->flags) & SIDE_DROP) && get(&out->size) != 0))
		return NEED_DROP;
	st->kind = (enum mpq_kind)q->head->kind;
	st->created = q->head->created;
	st->closed = (get(&in->flags) & get(&out->flags) & SIDE_CLOSED) != 0;
	st->size = get(&in->size), st->bytes = get(&in->bytes), st->held = get(&in->held);
	st->gets = get(&in->gets), st->getters = get(&in->waiting[WAIT_GET]) + get(&in->waiting[WAIT_TURN]);
	st->maxsize = get(&in->maxsize), st->maxbytes = get(&in->maxbytes);
	st->puts = get(&out->puts), st->dones = get(&out->dones), st->unfinished = side_unfinished(out);
	st->putters = get(&out->waiting[WAIT_PUT]);
	return MPQ_OK;
}

int
mpq_stat(struct mpq *q, struct mpq_stat *st)
{
	struct stat_op stat_op = { .op = { .try = stat_try, .deadline = mpq_now() + SLICE }, .st = st };
	struct stat file;
	int err;

	memset(st, 0, sizeof *st);
	if ((err = mpq_sweep(q)) != MPQ_OK || (err = op_run(q, &stat_op.op)) != MPQ_OK)
		return err;
	if (lstat(q->path, &file) == -1 || file.st_dev != q->dev || file.st_ino != q->ino)
		return MPQ_GONE;
	st->memory = (uint64_t)file.st_blocks * 512;
	st->mode = file.st_mode & 07777;
	st->owner = file.st_uid;
	return MPQ_OK;
}

int
mpq_check(struct mpq *q)
{
	int err = op_enter(q, MPQ_FOREVER);

	return err == MPQ_OK ? op_leave(q, check_segment(q), NULL) : err;
}

/* ---- wait ------------------------------------------------------------------------------------------------ */

/* A watcher writes itself down in each segment, takes a snapshot of the event word of watchers there, under the lock
 * under which it finds the queue not ready, and sleeps while all words are still their snapshots. Whatever may make a
 * queue ready moves its word on, under that lock, if a watcher is written down; so nothing falls between the look and
 * the sleep, and after the sleep only those queues are looked at again whose word has moved.
 *
 * The kernel waits for at most 128 words at once (futex_waitv). For more, helper threads sleep on 127 each and one by
 * which they are called off; the caller sleeps on the first 127 and a bell that they ring. They touch nothing but those
 * words, have all signals blocked, and are gone before the caller looks again. Where the kernel does not know
 * futex_waitv, or threads cannot be had, the words are glanced at every few milliseconds. */

#define WAITV_MAX 128                        /* FUTEX_WAITV_MAX */
#define SHARE ((size_t)WAITV_MAX - 1)        /* words of ours in one system call, beside the bell */
#define GLANCE ((mpq_time)5000000)           /* ns between looks at words that nobody sleeps on */
#define STACK 65536                          /* bytes; a helper needs four kilobytes of it */

struct watcher {                             /* one for each watch */
	uint32_t side;
	uint32_t snapshot;
	const uint32_t *word;
	const uint64_t *sick;                /* says that it was removed or is damaged */
	bool written;                        /* it stands in the segment */
};

struct watch_op {
	struct op op;
	enum mpq_ready what;
	bool write, wrote;                   /* write it down if it is not ready */
	bool ready;
	uint32_t snapshot;
};

static bool
is_ready(const struct side *s, enum mpq_ready what)
{
	uint64_t size = get(&s->size), maxsize = get(&s->maxsize), maxbytes = get(&s->maxbytes);
	bool closed = get(&s->flags) & SIDE_CLOSED;

	switch (what) {
	case MPQ_READY_GET:
		return size != 0 || (closed && get(&s->held) == 0);
	case MPQ_READY_PUT:
		return closed || ((maxsize == 0 || size < maxsize) && (maxbytes == 0 || get(&s->bytes) < maxbytes));
	default:
		return side_unfinished(s) == 0;
	}
}

static int
watch_try(struct mpq *q, struct op *op)
{
	struct watch_op *wop = (struct watch_op *)op;
	const struct side *s = side_at(q, op->side);
	int err;

	if ((get(&s->flags) & SIDE_DROP) && get(&s->size) != 0)
		return NEED_DROP;
	wop->snapshot = __atomic_load_n(event(q, WATCH_SIDE, WAIT_WATCH), __ATOMIC_ACQUIRE);
	wop->ready = is_ready(s, wop->what);
	wop->wrote = false;
	if (wop->ready || !wop->write)
		return MPQ_OK;
	err = owner_wait(q, WATCH_SIDE, WAIT_WATCH);
	wop->wrote = err == MPQ_OK;
	return err;
}

static int
unwatch_try(struct mpq *q, struct op *op)
{
	(void)op;
	return owner_wait_over(q);
}

/* Is it ready? Else, with `write`, it is written down, and its word will move when it may be. */
static void
look(struct mpq_watch *w, struct watcher *v, bool write)
{
	struct watch_op wop = { .op = { .try = watch_try, .side = v->side, .deadline = MPQ_FOREVER,
		.stays_asleep = true }, .what = w->what, .write = write && !v->written };
	int err = v->side == NO_SIDE ? MPQ_WRONGEND : op_run(w->q, &wop.op);

	w->ready = err != MPQ_OK ? err : wop.ready;
	v->snapshot = wop.snapshot;
	v->written |= err == MPQ_OK && wop.wrote;
}

/* Who removes a queue, or finds it damaged, may be killed after he has said so and before he moves a word. */
static bool
has_moved(const struct watcher *v)
{
	return __atomic_load_n(v->word, __ATOMIC_ACQUIRE) != v->snapshot || get(v->sick) != 0;
}

static bool
any_moved(const struct watcher *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has_moved(&v[i]))
			return true;
	return false;
}

/* Sleep until one of the words (at most SHARE) is not its snapshot, or `bell` is not 0, or the time has come. */
static int
sleep_on_words(const struct watcher *v, size_t n, const uint32_t *bell, mpq_time until)
{
#ifdef SYS_futex_waitv
	struct futex_waitv words[WAITV_MAX];
	struct timespec ts = { until / 1000000000, until % 1000000000 };

	for (size_t i = 0; i < n; i++)
		words[i] = (struct futex_waitv){ .val = v[i].snapshot, .flags = FUTEX_32, .uaddr = (uintptr_t)v[i].word };
	words[n] = (struct futex_waitv){ .val = 0, .flags = FUTEX_32, .uaddr = (uintptr_t)bell };
	if (syscall(SYS_futex_waitv, words, n + 1, 0, until == MPQ_FOREVER ? NULL : &ts, CLOCK_MONOTONIC) >= 0)
		return MPQ_OK;
	return -errno;
#else
	(void)v, (void)n, (void)bell, (void)until;
	return -ENOSYS;
#endif
}

struct crew {
	uint32_t bell;                       /* rung by a helper; the caller sleeps on it */
	uint32_t over;                       /* set by the caller; the helpers sleep on it */
	size_t n;                            /* helpers at work */
	bool short_handed;                   /* words are left that nobody sleeps on */
	struct helper {
		pthread_t thread;
		struct crew *crew;
		const struct watcher *v;
		size_t n;
	} helper[];
};

static void *
help(void *arg)
{
	struct helper *h = arg;

	while (sleep_on_words(h->v, h->n, &h->crew->over, MPQ_FOREVER) == -EINTR)
		;
	__atomic_store_n(&h->crew->bell, 1, __ATOMIC_RELEASE);
	futex_wake(&h->crew->bell, 1);
	return NULL;
}

/* Helpers for what is beyond the first SHARE words. NULL: no memory. */
static struct crew *
crew_start(const struct watcher *v, size_t n)
{
	size_t helpers = n > SHARE ? (n - 1) / SHARE : 0;
	struct crew *crew = calloc(1, sizeof *crew + helpers * sizeof crew->helper[0]);
	pthread_attr_t attr;
	sigset_t all, old;

	if (crew == NULL)
		return NULL;
	if (helpers == 0)
		return crew;
	crew->short_handed = pthread_attr_init(&attr) != 0;
	if (crew->short_handed)
		return crew;
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; crew->n < helpers && !crew->short_handed; crew->n += !crew->short_handed) {
		struct helper *h = &crew->helper[crew->n];
		size_t from = (crew->n + 1) * SHARE;

		*h = (struct helper){ .crew = crew, .v = v + from, .n = n - from < SHARE ? n - from : SHARE };
		crew->short_handed = pthread_create(&h->thread, &attr, help, h) != 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return crew;
}

static void
crew_end(struct crew *crew)
{
	__atomic_store_n(&crew->over, 1, __ATOMIC_RELEASE);
	futex_wake(&crew->over, INT_MAX);
	for (size_t i = 0; i < crew->n; i++)
		pthread_join(crew->helper[i].thread, NULL);
	free(crew);
}

/* The caller's own sleep. */
static int
crew_sleep(struct crew *crew, const struct watcher *v, size_t n, mpq_time slice)
{
	static const struct timespec nap = { 0, (long)GLANCE };
	mpq_time soon = mpq_now() + GLANCE;
	int r;

	if (n == 1)
		return futex_wait(v->word, v->snapshot, slice);      /* every kernel has that */
	r = sleep_on_words(v, n < SHARE ? n : SHARE, &crew->bell, crew->short_handed && soon < slice ? soon : slice);
	if (__atomic_exchange_n(&crew->bell, 0, __ATOMIC_ACQUIRE) != 0)
		crew->short_handed = true;   /* one helper has gone; if no word has moved, nobody sleeps on his now */
	if (r < 0 && r != -EAGAIN && r != -ETIMEDOUT && r != -EINTR)
		r = -clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	return r;
}

/* Sleep until a word has moved or the deadline has come. Every slice: see whether one has moved whose waker died before
 * it woke, and look for dead owners, which moves words. */
static int
sleep_all(struct mpq_watch *w, const struct watcher *v, size_t n, mpq_time deadline)
{
	struct crew *crew = crew_start(v, n);
	mpq_time slice = wait_slice(mpq_now(), deadline);
	int r = MPQ_OK;

	if (crew == NULL)
		return -ENOMEM;
	while (!any_moved(v, n)) {
		r = crew_sleep(crew, v, n, slice);
		if (r == -EINTR || mpq_now() >= deadline)
			break;
		if (mpq_now() < slice)
			continue;
		for (size_t i = 0; i < n; i++)
			owner_look(w[i].q);
		slice = wait_slice(mpq_now(), deadline);
	}
	crew_end(crew);
	return r == -EINTR ? MPQ_INTR : MPQ_OK;
}

static int
wait_ready(struct mpq_watch *w, struct watcher *v, size_t n, mpq_time deadline)
{
	bool written = false;
	size_t ready = 0;
	int r;

	for (;;) {
		for (size_t i = 0; i < n; i++)
			if (!v[i].written || has_moved(&v[i])) {
				look(&w[i], &v[i], written);
				ready += w[i].ready != 0;
			}
		if (ready != 0)
			return MPQ_OK;
		if (deadline == MPQ_NOW || mpq_now() >= deadline)
			return MPQ_NOTYET;
		if (!written)
			written = true;      /* look once more, now written down */
		else if ((r = sleep_all(w, v, n, deadline)) != MPQ_OK)
			return r;
	}
}

int
mpq_wait(struct mpq_watch *watches, size_t n, mpq_time deadline)
{
	struct watcher *v = calloc(n != 0 ? n : 1, sizeof *v);
	int r;

	if (v == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct mpq_watch *w = &watches[i];

		w->ready = 0;
		w->q->until = deadline;      /* a look waits no longer for the lock than the whole may last */
		v[i].side = w->what == MPQ_READY_GET ? w->q->in : w->q->out;
		v[i].word = event(w->q, WATCH_SIDE, WAIT_WATCH);
		v[i].sick = &w->q->head->sick;
		mpq_sweep(w->q);
	}
	r = wait_ready(watches, v, n, deadline);
	for (size_t i = 0; i < n; i++) {
		struct op over = { .try = unwatch_try, .side = v[i].side, .deadline = MPQ_FOREVER };

		if (v[i].written)
			op_run(watches[i].q, &over);
	}
	for (size_t i = 0; i < n; i++)       /* not before: a handle may have come several times */
		watches[i].q->until = MPQ_FOREVER;
	free(v);
	return r;
}
