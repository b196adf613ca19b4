/* SPDX-License-Identifier: ISC
 *
 * look.c - looking at a queue: stat, and waiting until one of several is ready.
 */
#include <errno.h>
#include <linux/futex.h>
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
	st->gets = get(&in->gets), st->getters = get(&in->waiting[WAIT_GET]);
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

struct watch_op {
	struct op op;
	struct mpq_watch *watch;
	bool sleeping;               /* write down as a watcher if it is not ready */
	uint32_t snapshot;
};

static bool
is_ready(struct mpq *q, const struct mpq_watch *w, uint32_t side)
{
	const struct side *s = side_at(q, side);
	uint64_t size = get(&s->size), maxsize = get(&s->maxsize), maxbytes = get(&s->maxbytes);
	bool closed = get(&s->flags) & SIDE_CLOSED;

	switch (w->what) {
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
	wop->watch->ready = is_ready(q, wop->watch, op->side);
	wop->snapshot = __atomic_load_n(event(q, op->side, WAIT_WATCH), __ATOMIC_ACQUIRE);
	if (wop->watch->ready || !wop->sleeping)
		return MPQ_OK;
	if (q->slot != 0 && (err = owner_wait_over(q, op->side, WAIT_WATCH)) != MPQ_OK)
		return err;
	return owner_wait(q, op->side, WAIT_WATCH);
}

static int
unwatch_try(struct mpq *q, struct op *op)
{
	return owner_wait_over(q, op->side, WAIT_WATCH);
}

static uint32_t
watch_side(const struct mpq_watch *w)
{
	return w->what == MPQ_READY_GET ? w->q->in : w->q->out;
}

/* Look at all. *ready: how many. */
static int
look_at_all(struct mpq_watch *w, size_t n, bool sleeping, uint32_t *snapshots, size_t *ready)
{
	for (size_t i = *ready = 0; i < n; i++) {
		struct watch_op wop = { .op = { .try = watch_try, .side = watch_side(&w[i]), .deadline = MPQ_FOREVER },
			.watch = &w[i], .sleeping = sleeping };
		int err;

		if (wop.op.side == NO_SIDE)
			return MPQ_WRONGEND;
		err = op_run(w[i].q, &wop.op);
		snapshots[i] = wop.snapshot;
		if (err != MPQ_OK)
			w[i].ready = err;
		*ready += w[i].ready != 0;
	}
	return MPQ_OK;
}

#define WAITV_MAX 128                /* FUTEX_WAITV_MAX */
#define LOOK_OFTEN ((mpq_time)5000000)   /* ns between glances at more words than the kernel waits for at once */

/* Sleep until one of the words has moved, or the time has come. */
static int
sleep_on_words(struct mpq_watch *w, size_t n, const uint32_t *snapshots, mpq_time until)
{
#ifdef SYS_futex_waitv
	struct futex_waitv words[WAITV_MAX];
	struct timespec ts = { until / 1000000000, until % 1000000000 };
#endif
	mpq_time slice = n <= WAITV_MAX ? until : mpq_now() + LOOK_OFTEN;

	if (n == 1)
		return futex_wait(event(w->q, watch_side(w), WAIT_WATCH), snapshots[0], until);
#ifdef SYS_futex_waitv
	if (n <= WAITV_MAX) {
		for (size_t i = 0; i < n; i++)
			words[i] = (struct futex_waitv){ .val = snapshots[i], .flags = FUTEX_32,
				.uaddr = (uintptr_t)event(w[i].q, watch_side(&w[i]), WAIT_WATCH) };
		if (syscall(SYS_futex_waitv, words, n, 0, &ts, CLOCK_MONOTONIC) >= 0)
			return MPQ_OK;
		if (errno != ENOSYS)
			return -errno;
		slice = mpq_now() + LOOK_OFTEN;
	}
#endif
	for (;;) {
		for (size_t i = 0; i < n; i++)
			if (__atomic_load_n(event(w[i].q, watch_side(&w[i]), WAIT_WATCH), __ATOMIC_ACQUIRE) != snapshots[i])
				return MPQ_OK;
		struct timespec nap = { 0, (long)LOOK_OFTEN };

		if (slice >= until || mpq_now() >= until)
			return -ETIMEDOUT;
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL) == EINTR)
			return -EINTR;
		slice = mpq_now();
	}
}

int
mpq_wait(struct mpq_watch *watches, size_t n, mpq_time deadline)
{
	uint32_t snapshots[n > 0 ? n : 1];
	bool sleeping = false;
	size_t ready;
	int r = MPQ_OK;

	for (size_t i = 0; i < n; i++)
		mpq_sweep(watches[i].q);
	for (;;) {
		if ((r = look_at_all(watches, n, sleeping, snapshots, &ready)) != MPQ_OK || ready != 0)
			break;
		if (deadline == MPQ_NOW || mpq_now() >= deadline) {
			r = MPQ_NOTYET;
			break;
		}
		if (!sleeping) {
			sleeping = true;     /* look once more, now written down */
			continue;
		}
		r = sleep_on_words(watches, n, snapshots, wait_slice(deadline)) == -EINTR ? MPQ_INTR : MPQ_OK;
		if (r != MPQ_OK)
			break;
		for (size_t i = 0; i < n; i++)
			owner_look(watches[i].q);
	}
	for (size_t i = 0; sleeping && i < n; i++) {
		struct op over = { .try = unwatch_try, .side = watch_side(&watches[i]), .deadline = MPQ_FOREVER };

		op_run(watches[i].q, &over);
	}
	return r;
}
