/* SPDX-License-Identifier: ISC
 *
 * toy.c - the lock and the journal alone: two words that must stay equal, changed by transactions under the lock, by a
 * process that is killed before each of its instructions.
 *
 *   alone      nobody else is there
 *   waited     another process sleeps on the lock and must go on at once
 *   sleeper    the process itself sleeps on the lock, is woken, and is killed; a second sleeper must go on at once
 *   recovery   the process undoes what a dead one left, and is killed at that: depth two and three
 *
 * "At once" is half of the quarter of a second after which a sleeper looks by itself (lib/wait.h): so a lost wake is
 * seen. On a noisy machine a trial that was late is repeated; lost wakes are late each time.
 *
 * Usage: toy [long]. Exits at the first fault of a scene: tests/crash/mutants.sh runs it on broken copies.
 */
#include <linux/futex.h>
#include <poll.h>

#include "../unit/room.h"
#include "journal.h"
#include "lock.h"
#include "segment.h"
#include "step.h"
#include "wait.h"

#define AT_ONCE (125 * MS)
#define AGAIN 3                      /* times that a late trial is repeated */
#define PAGES 2
#define IMAGES 64

static struct mpq *q;
static uint64_t *one, *two;          /* the words */
static unsigned char base[PAGE];     /* the head before each trial */
static uint64_t value;               /* of both words in it */
static struct pass *path;
static bool stepwise;                /* take all the steps, no breakpoints */

struct helper {                      /* a second process; its words are shared */
	pid_t pid;
	int to;
	volatile int entered, holds, result;
	volatile mpq_time when;
};
static struct helper *sleeper, *holder;

static struct {
	uint64_t kills, before, after, missed, late;
	char fault[200];
} tally;

/* ---- what is done under the lock ------------------------------------------------------------------------- */

static void
recover(void)
{
	if (get(&q->head->njournal) != 0 && journal_undo(q) != MPQ_OK)
		abort();
}

static void
transaction(void)
{
	uint64_t next = get(one) + 1;

	set(q, one, 1000000);                /* each word twice: undo must go backwards */
	set(q, two, 1000000);
	set(q, one, next);
	set(q, two, next);
	commit(q);
}

static void
take(void *arg)
{
	bool died;

	(void)arg;
	if (lock_take(q, MPQ_FOREVER, &died) != MPQ_OK)
		abort();
	recover();
}

static void
change_and_free(void *arg)
{
	(void)arg;
	transaction();
	lock_free(q);
}

static void
whole(void *arg)
{
	take(arg);
	change_and_free(arg);
}

static void
recovery(void *arg)
{
	take(arg);
	lock_free(q);
}

/* ---- judging --------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static bool
fault(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(tally.fault, sizeof tally.fault, format, args);
	va_end(args);
	return false;
}

/* Take the lock, undo, look: the words are equal, and those before or those after. */
static bool
judge(void)
{
	mpq_time began = mpq_now();
	uint64_t a, b;
	bool died;

	if (lock_take(q, began + 100 * MS, &died) != MPQ_OK)
		return fault("the lock cannot be taken: %#x", *q->lock);
	recover();
	a = get(one), b = get(two);
	lock_free(q);
	if (mpq_now() - began > SECOND)
		return fault("the lock took %lld ms", (long long)((mpq_now() - began) / MS));
	if (a != b || (a != value && a != value + 1))
		return fault("the words are %llu and %llu, not both %llu or %llu", (long long)a, (long long)b,
		    (long long)value, (long long)value + 1);
	if (*q->lock != 0)
		return fault("the lock is %#x after all", *q->lock);
	tally.before += a == value;
	tally.after += a != value;
	return true;
}

static void
reset(const unsigned char *image)
{
	memcpy(q->head, image, PAGE);
	*q->lock = 0;
}

/* ---- helpers --------------------------------------------------------------------------------------------- */

static bool
asleep_on_lock(pid_t pid)
{
	return (__atomic_load_n(q->lock, __ATOMIC_RELAXED) & FUTEX_WAITERS) != 0 && process_state(pid) == 'S';
}

/* 'g': take the lock, recover, free it. 'h': hold it until 'r'. */
static _Noreturn void
helper_main(struct helper *h, int from)
{
	char command;

	while (read(from, &command, 1) == 1) {
		if (command == 'r')
			continue;
		h->entered = 1;
		take(NULL);
		h->result = get(one) == get(two) ? 1 : 2;
		h->when = mpq_now();
		h->holds = 1;
		if (command == 'h')
			(void)!read(from, &command, 1);
		lock_free(q);
		h->holds = 0;
	}
	_exit(0);
}

static struct helper *
helper_new(void)
{
	struct helper *h = shared(sizeof *h);
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) == -1)
		abort();
	h->to = ends[1];
	if ((pid = fork()) == 0) {
		close(ends[1]);
		helper_main(h, ends[0]);
	}
	close(ends[0]);
	h->pid = pid;
	return h;
}

static void
tell(struct helper *h, char command)
{
	if (command != 'r')
		h->entered = h->holds = h->result = 0;
	if (write(h->to, &command, 1) != 1)
		abort();
}

/* The sleeper goes to sleep on the lock, behind whoever has it. */
static void
put_to_sleep(void)
{
	tell(sleeper, 'g');
	if (!UNTIL(sleeper->entered && asleep_on_lock(sleeper->pid)))
		fault("the second process does not sleep");
}

/* It must have gone on by now. */
static bool
sleeper_went_on(mpq_time since, bool *late)
{
	UNTIL(sleeper->result != 0 && !sleeper->holds);
	if (sleeper->result != 1)
		return fault(sleeper->result == 0 ? "the sleeper did not go on" : "the sleeper saw unequal words");
	if (sleeper->when - since > AT_ONCE) {
		*late = true;
		return fault("the sleeper went on after %lld ms", (long long)((sleeper->when - since) / MS));
	}
	return true;
}

/* ---- scenes ---------------------------------------------------------------------------------------------- */

struct scene {
	const char *name;
	struct play play;
	bool waited, sleeps;
};

static void
on_started(void *arg)
{
	if (((const struct scene *)arg)->waited)
		put_to_sleep();
}

static void
on_blocked(void *arg, pid_t pid)
{
	(void)arg;
	if ((__atomic_load_n(q->lock, __ATOMIC_RELAXED) & FUTEX_WAITERS) == 0 || !UNTIL(asleep_on_lock(pid)))
		return;
	put_to_sleep();
	tell(holder, 'r');
}

/* The head as it was, and who has the lock before the process that is to die. */
static void
set_scene(const struct scene *scene, const unsigned char *image)
{
	reset(image);
	if (!scene->sleeps)
		return;
	tell(holder, 'h');
	UNTIL(holder->holds);
	sleeper->entered = 0;
}

static struct trial
trial_of(const struct scene *scene)
{
	return (struct trial){ .play = &scene->play, .started = on_started, .arg = (void *)(uintptr_t)scene,
		.blocked = scene->sleeps ? on_blocked : NULL };
}

/* Kill at one point, and see what is left. */
static bool
one_kill(const struct scene *scene, const struct pass *pass, size_t i, const unsigned char *image, bool *late)
{
	struct trial trial = trial_of(scene);
	mpq_time since;
	enum end end;

	trial.point = i < pass->n ? &pass->point[i] : NULL;
	trial.stepwise = stepwise;
	set_scene(scene, image);
	end = step_trial(&trial);
	since = mpq_now();
	if (end != STEP_KILLED && end != STEP_ACTED)
		return fault("end %d, signal %d", (int)end, step_signal());
	tally.kills++;
	tally.missed += end == STEP_ACTED && i < pass->n;
	if (scene->sleeps && !sleeper->entered) {
		put_to_sleep();              /* it was killed before it slept */
		since = mpq_now();
		tell(holder, 'r');
	}
	if ((scene->waited || scene->sleeps) && !sleeper_went_on(since, late))
		return false;
	if (scene->sleeps)
		UNTIL(!holder->holds);
	return judge();
}

static bool
kill_everywhere(const struct scene *scene, const struct pass *pass, const unsigned char *image)
{
	for (size_t i = 0; i <= pass->n; i++) {
		bool late = false, good = one_kill(scene, pass, i, image, &late);

		for (int again = 0; !good && late && again < AGAIN; again++) {
			tally.late++;
			late = false;
			good = one_kill(scene, pass, i, image, &late);
		}
		if (!good) {
			int n = (int)strlen(tally.fault);

			snprintf(tally.fault + n, sizeof tally.fault - (size_t)n, " (killed at %zu of %zu)", i,
			    pass->n);
			return false;
		}
	}
	return true;
}

/* Record the path and kill all along it. */
static bool
play_once(const struct scene *scene, struct pass *pass)
{
	struct trial trial = trial_of(scene);
	enum end end;

	memset(&tally, 0, sizeof tally);
	set_scene(scene, base);
	if ((end = step_pass(&trial, pass, NULL, NULL)) != STEP_ACTED)
		return fault("end %d, signal %d", (int)end, step_signal());
	UNTIL(!holder->holds && (!scene->sleeps || (sleeper->result != 0 && !sleeper->holds)));
	return kill_everywhere(scene, pass, base);
}

static bool
play(const struct scene *scene)
{
	bool good, strayed;
	int tries = 0;

	do {                                 /* a path with a detour of its own is no measure: record another */
		good = play_once(scene, path);
		strayed = tally.missed > tally.kills / 20;
	} while (good && strayed && ++tries < AGAIN);
	OK(good && tally.before > 0 && tally.after > 0 && !strayed,
	    "%s: %zu instructions, %llu kills, %llu before the commit, %llu after", scene->name, path->n,
	    (long long)tally.kills, (long long)tally.before, (long long)tally.after);
	if (!good)
		diag("%s", tally.fault);
	if (tally.missed != 0 || tally.late != 0)
		diag("%llu points not reached, %llu trials late and repeated", (long long)tally.missed,
		    (long long)tally.late);
	return good;
}

/* ---- recovery killed ------------------------------------------------------------------------------------- */

struct images {
	unsigned char page[IMAGES][PAGE];
	size_t n;
};

/* Remember the head as it is now, with the lock as the kernel would leave it, if it is a new one. */
static void
snapshot(void *arg, pid_t pid)
{
	struct images *images = arg;
	unsigned char page[PAGE];
	uint32_t *word = &((struct head *)page)->lock;

	memcpy(page, q->head, PAGE);
	if ((*word & FUTEX_TID_MASK) != (uint32_t)pid)
		return;                      /* not locked: nothing to recover */
	*word = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
	for (size_t i = 0; i < images->n; i++)
		if (memcmp(images->page[i], page, PAGE) == 0)
			return;
	if (images->n < IMAGES)
		memcpy(images->page[images->n++], page, PAGE);
}

static void
reset_died(const unsigned char *image)
{
	memcpy(q->head, image, PAGE);
}

/* Recover from each image, be killed at each instruction of that; collect the images of the recoveries. */
static bool
recover_from(const struct images *from, struct images *to, size_t *instructions)
{
	static const struct play act = { .act = recovery };
	static struct pass pass;

	to->n = 0;
	for (size_t n = 0; n < from->n; n++) {
		const struct trial whole_path = { .play = &act };

		reset_died(from->page[n]);
		if (step_pass(&whole_path, &pass, snapshot, to) != STEP_ACTED)
			return fault("image %zu: recovery ended by signal %d", n, step_signal());
		*instructions += pass.n;
		for (size_t i = 0; i <= pass.n; i++) {
			struct trial trial = { .play = &act, .point = i < pass.n ? &pass.point[i] : NULL,
				.stepwise = stepwise };
			enum end end;

			reset_died(from->page[n]);
			end = step_trial(&trial);
			if (end != STEP_KILLED && end != STEP_ACTED)
				return fault("image %zu: end %d, signal %d", n, (int)end, step_signal());
			tally.kills++;
			if (!judge())
				return false;
		}
	}
	return true;
}

static bool
play_recovery(int depth)
{
	static const struct play first = { .act = whole };
	static const struct trial trial = { .play = &first };
	static struct images images[4];
	static struct pass pass;
	size_t instructions = 0;
	bool good = true;

	memset(images, 0, sizeof images);
	reset(base);
	step_pass(&trial, &pass, snapshot, &images[1]);
	for (int d = 2; d <= depth && good; d++) {
		memset(&tally, 0, sizeof tally);
		instructions = 0;
		good = recover_from(&images[d - 1], &images[d], &instructions);
		OK(good && tally.before > 0 && tally.after > 0,
		    "recovery killed, depth %d: %zu images, %zu instructions, %llu kills", d, images[d - 1].n,
		    instructions, (long long)tally.kills);
		if (!good)
			diag("%s", tally.fault);
	}
	return good;
}

/* ---- the beginning --------------------------------------------------------------------------------------- */

static void
segment_new(void)
{
	int fd = memfd_create("toy", MFD_CLOEXEC);

	q = calloc(1, sizeof *q + 8);
	if (fd == -1 || q == NULL || fallocate(fd, 0, 0, PAGES * PAGE) == -1 ||
	    segment_map(q, fd, PAGES * PAGE) != MPQ_OK) {
		printf("Bail out! no segment\n");
		exit(1);
	}
	close(fd);
	q->head->chunks = q->chunks = FIRST_CHUNK;
	one = &q->head->side[0].unused[0];
	two = &q->head->side[1].unused[0];
	for (int i = 0; i < 3; i++)          /* the journal has seen use */
		whole(NULL);
	value = get(one);
	memcpy(base, q->head, PAGE);
}

int
main(int argc, char **argv)
{
	static const struct scene scenes[] = {
		{ .name = "alone", .play = { .act = whole } },
		{ .name = "waited for", .play = { .ready = take, .act = change_and_free }, .waited = true },
		{ .name = "a sleeper", .play = { .act = whole }, .sleeps = true },
	};
	bool good = true;

	step_init(argv);
	stepwise = argc > 1 && strcmp(argv[1], "long") == 0;
	segment_new();
	path = calloc(1, sizeof *path);
	sleeper = helper_new();
	holder = helper_new();
	for (size_t i = 0; i < sizeof scenes / sizeof scenes[0] && good; i++)
		good = play(&scenes[i]);
	if (good)
		play_recovery(3);
	kill_child(sleeper->pid);
	kill_child(holder->pid);
	return tap_end();
}
