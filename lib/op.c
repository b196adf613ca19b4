/* SPDX-License-Identifier: ISC
 *
 * op.c - the one loop that all operations go through. See op.h.
 *
 * Looking for dead owners comes after an operation's own work, outside the lock: always before an answer of "no"
 * (Empty, Full, NotYet, Closed: what a dead process held may make it a yes), else at most every quarter of a second
 * for the whole queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunk.h"
#include "journal.h"
#include "lock.h"
#include "op.h"
#include "owner.h"
#include "queue.h"
#include "segment.h"
#include "side.h"
#include "spin.h"

#define LOOK_AGAIN ((mpq_time)1000000)       /* one handle does not look more often than this before a "no", ns */

void
op_damaged(struct mpq *q)
{
	struct wakes wakes = { 0 };

	__atomic_fetch_or(&q->head->sick, HEAD_DAMAGED, __ATOMIC_RELAXED);
	wake_note_all(q, &wakes);
	wake_send(q, &wakes);
}

/* The file should be longer than it was, and may have outgrown the view: look, and map more, without the lock. */
static int
map_all(struct mpq *q, uint64_t bytes)
{
	struct stat st;
	int fd, r = segment_reopen(q, &fd);

	if (r != MPQ_OK)
		return r;
	if (fstat(fd, &st) == -1)
		r = -errno;
	else if ((uint64_t)st.st_size < bytes)
		r = MPQ_DAMAGED;
	else if ((r = segment_map(q, fd, bytes)) == MPQ_OK)
		q->length = (uint64_t)st.st_size;
	close(fd);
	return r;
}

/* Take the lock where it is free and everything is as it was when this handle last had it, as mostly: what op_enter
 * makes sure of, in a quarter of its time. */
static inline bool
enter_quick(struct mpq *q)
{
	uint64_t chunks = q->chunks, known = q->length < q->mapped ? q->length : q->mapped;

	if (!lock_try(q))
		return false;
	if (get(&q->head->chunks) != chunks || get(&q->head->njournal) != 0 || q->stuck ||
	    __atomic_load_n(&q->head->sick, __ATOMIC_RELAXED) != 0 || least_size(q, (uint32_t)chunks - 1, known) > known) {
		lock_free(q);
		return false;
	}
	q->slot_was = q->slot;
	q->asleep_was = q->asleep;
	return true;
}

int
op_enter(struct mpq *q, mpq_time deadline)
{
	uint64_t chunks, bytes, sick;
	bool died;
	int r;

	for (;;) {
		r = lock_take(q, deadline < q->until ? deadline : q->until, &died);
		q->stuck = r != MPQ_OK;
		if (r != MPQ_OK)
			return r;
		q->slot_was = q->slot;
		q->asleep_was = q->asleep;
		chunks = get(&q->head->chunks);
		bytes = chunks <= FIRST_CHUNK ? HEAD_BYTES : chunks < MAX_CHUNKS ? least_size(q, (uint32_t)chunks - 1,
		    q->length < q->mapped ? q->length : q->mapped) : UINT64_MAX;
		/* Both: the file may have been longer already when less of it was mapped. */
		if ((bytes > q->length || bytes > q->mapped) && bytes != UINT64_MAX) {
			/* A dead owner's journal, if there is one, stays as it is: whoever comes next undoes it. */
			lock_free(q);
			if ((r = map_all(q, bytes)) == MPQ_DAMAGED)
				op_damaged(q);
			if (r != MPQ_OK)
				return r;
			continue;
		}
		if (bytes == UINT64_MAX)
			return op_leave(q, MPQ_DAMAGED, NULL);
		(void)died;                  /* the journal tells whether there is something to undo */
		if (get(&q->head->njournal) != 0) {
			uint64_t before = chunks;

			if (journal_undo(q) != MPQ_OK || (chunks = get(&q->head->chunks)) > before)
				return op_leave(q, MPQ_DAMAGED, NULL);   /* no transaction has made it smaller */
		}
		if (chunks < FIRST_CHUNK)
			return op_leave(q, MPQ_DAMAGED, NULL);
		q->chunks = (uint32_t)chunks;
		sick = __atomic_load_n(&q->head->sick, __ATOMIC_RELAXED);
		if (__builtin_expect(sick != 0, 0)) {
			lock_free(q);
			return sick & HEAD_REMOVED ? MPQ_GONE : MPQ_DAMAGED;
		}
		return MPQ_OK;
	}
}

int
op_leave(struct mpq *q, int result, const struct wakes *wakes)
{
	if (result == MPQ_OK)
		commit(q);
	else if (q->njournal != 0 && journal_undo(q) != MPQ_OK)
		result = MPQ_DAMAGED;
	if (result == MPQ_DAMAGED)
		__atomic_fetch_or(&q->head->sick, HEAD_DAMAGED, __ATOMIC_RELAXED);
	lock_free(q);
	if (result == MPQ_DAMAGED)
		op_damaged(q);
	else if (result == MPQ_OK && wakes != NULL)
		wake_send(q, wakes);
	return result;
}

/* Provide outside the lock what was missing. */
static int
provide(struct mpq *q, int need, uint64_t bytes)
{
	int r;

	q->nested++;
	r = need == NEED_SELF ? owner_self(q) : need == NEED_DROP ? drop_rest(q) : chunk_provide(q, need, bytes);
	q->nested--;
	return r;
}

static bool
is_need(int r)
{
	return r >= NEED_CHUNK && r <= NEED_DROP && r != NEED_TURN;
}

/* Before "no" is said at once: have the dead been looked for lately? */
static void
look_first(struct mpq *q)
{
	if (get(&q->head->nslots) != 0 && mpq_now() - q->looked >= LOOK_AGAIN)
		(void)mpq_sweep(q);
}

/* Under the lock: a sleeper leaves. If there is something for others, it wakes the next one: it was woken for all that
 * came since (wait.c). */
static void
pass_on(struct mpq *q, struct op *op)
{
	const struct side *s = side_at(q, op->side);
	uint64_t maxsize = get(&s->maxsize), maxbytes = get(&s->maxbytes);

	if (op->kind == WAIT_GET ? get(&s->size) != 0 : op->kind == WAIT_PUT &&
	    (maxsize == 0 || get(&s->size) < maxsize) && (maxbytes == 0 || get(&s->bytes) < maxbytes))
		wake_note(q, &op->wakes, op->side, op->kind, 1);
}

/* The operation is over: under the lock, with its transaction undone or still open, and written down as a sleeper or
 * not (perhaps by an operation before it, that could not get the lock any more). A sleeper's entry goes in a
 * transaction of its own if the operation failed. Whoever was woken and leaves, with or without what he came for, passes
 * on what is there: he was perhaps the only one to be told of it. */
static int
finish(struct mpq *q, struct op *op, int answer)
{
	int r = op->stays_asleep || q->nested ? MPQ_OK : owner_wait_over(q);

	if (answer != MPQ_OK)
		op->wakes.any = false;       /* for what it tried and has undone */
	if (op->slept && r == MPQ_OK)
		pass_on(q, op);
	if (answer == MPQ_OK || r != MPQ_OK)
		return op_leave(q, r, &op->wakes);
	commit(q);
	op_leave(q, answer, NULL);
	wake_send(q, &op->wakes);
	return answer;
}

/* What finish() comes to if it has not slept. */
static inline int
leave_done(struct mpq *q, const struct op *op)
{
	commit(q);
	lock_free(q);
	wake_send(q, &op->wakes);
	return MPQ_OK;
}

/* Under the lock, nothing changed: go to sleep until the event word moves or a slice is over. */
static int
sleep_on(struct mpq *q, struct op *op, unsigned kind, mpq_time now)
{
	const uint32_t *word = event(q, op->side, kind);
	uint32_t snapshot = __atomic_load_n(word, __ATOMIC_ACQUIRE);
	int r = q->asleep == (kind | op->side << 8) ? MPQ_OK : owner_wait(q, op->side, kind);

	r = op_leave(q, r, NULL);
	if (is_need(r))
		return provide(q, r, 0);
	if (r != MPQ_OK)
		return r;
	op->slept = true;
	op->turn = kind == WAIT_TURN ? op->turn : 0;
	op->word = word, op->seen = snapshot;
	r = futex_wait(word, snapshot, wait_slice(now, kind == WAIT_TURN && op->turn < op->deadline ? op->turn : op->deadline));
	owner_look(q);
	return r == -EINTR ? MPQ_INTR : MPQ_OK;
}

/* Under the lock, perhaps written down as a sleeper: if the word has moved since the last time, somebody may have counted
 * on this process, be it that the time was up or a signal came before the wake-up did, or that it was awake and out for
 * what it needs. Unless it says that it is here, others are not woken for a while because it is on its way. */
static void
arrive(struct mpq *q, struct op *op)
{
	uint32_t now;

	if (op->word == NULL || (now = __atomic_load_n(op->word, __ATOMIC_RELAXED)) == op->seen)
		return;
	op->seen = now;
	wake_arrived(q, op->side, op->kind);
}

/* Under the lock, before a sleep. Not while others sleep: who looks would be there before whoever is woken, each time. */
static bool
may_spin(struct mpq *q, const struct op *op, int answer, mpq_time now)
{
	if (!op->looks || q->asleep != 0 || answer == NEED_TURN)
		return false;
	return wait_getters(q, op->side) == 0 && spin_due(q, now);
}

static int
run(struct mpq *q, struct op *op)
{
	bool looked = op->deadline != MPQ_NOW, spun = false, handled = false, late;
	mpq_time now;
	int r, answer;

	for (;;) {
		op->wakes.any = false;
		if (!enter_quick(q) && (r = op_enter(q, op->deadline)) != MPQ_OK)
			return r;
		arrive(q, op);
		if ((answer = op->try(q, op)) == MPQ_OK) {
			r = q->asleep == 0 && !op->slept ? leave_done(q, op) : finish(q, op, MPQ_OK);
			if (get(&q->head->nslots) != 0)
				owner_look(q);
			return r;
		}
		if (q->njournal != 0 && journal_undo(q) != MPQ_OK)
			return op_leave(q, MPQ_DAMAGED, NULL);
		if (is_need(answer)) {
			op_leave(q, answer, NULL);
			if ((answer = provide(q, answer, op->bytes)) == MPQ_OK)
				continue;
			return op_enter(q, MPQ_FOREVER) == MPQ_OK ? finish(q, op, answer) : answer;
		}
		/* The time is asked for once for each sleep: a call takes 20 ns; and if it came to be up below, NEED_TURN would be
		 * the result. */
		now = op->deadline == MPQ_NOW ? 0 : mpq_now();
		late = op->deadline == MPQ_NOW || now >= op->deadline;
		if (answer == NEED_TURN && late) {
			op_leave(q, answer, NULL);
			op->slept = true;
			op->turn = 1;        /* now */
			continue;
		}
		if (!looked && (answer == op->wait_code || answer == MPQ_CLOSED)) {
			looked = true;
			op_leave(q, answer, NULL);
			look_first(q);
			continue;
		}
		if ((answer != op->wait_code && answer != NEED_TURN) || op->kind == 0 || late)
			return finish(q, op, answer);
		if (handled)
			return finish(q, op, MPQ_INTR);
		if (!spun && may_spin(q, op, answer, now)) {
			op_leave(q, answer, NULL);
			spun = !spin(q, &side_at(q, op->side)->size, op->deadline, &handled);
			continue;            /* in any case: the queue may have been closed meanwhile */
		}
		if ((r = sleep_on(q, op, answer == NEED_TURN ? WAIT_TURN : op->kind, now)) != MPQ_OK) {
			if (op_enter(q, MPQ_FOREVER) != MPQ_OK)
				return r;
			arrive(q, op);
			return finish(q, op, r);
		}
	}
}

/* What is provided on the way, looked for or tidied up keeps the deadline too. */
int
op_run(struct mpq *q, struct op *op)
{
	mpq_time outer = q->until;
	int r;

	if (op->deadline < outer)
		q->until = op->deadline;
	r = run(q, op);
	q->until = outer;
	return r;
}
