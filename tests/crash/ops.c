/* SPDX-License-Identifier: ISC
 *
 * ops.c - operations of the library, killed: what is left is the queue before or the queue after, and all goes on.
 *
 * For each scene (scenes.c) one pass of single steps records the path and every distinct image of the segment; each
 * image is judged with the lock word as the kernel would leave it, and for some recovery from it is stepped, and its
 * images judged in turn. Then it is killed for real before each instruction (operations with long paths before some
 * hundred of them, unless `long` is given).
 *
 * Usage: ops [long] [part of a scene's name]
 */
#include <linux/futex.h>

#include "alive.h"
#include "layout.h"
#include "scenes.h"
#include "stage.h"
#include "trials.h"

#define WORKERS 2                    /* processors, and they are noisy */
#define SLEEPY_WORKERS 8             /* trials with sleepers mostly wait */
#define HASHED (2 * PAGE)            /* head and descriptors: all state of a small queue */
#define IMAGES 1000
#define LARGE ((size_t)1 << 20)      /* of larger images only every eighth is kept */
#define FEW_KILLS 200u               /* in the short form: of long paths */
#define FEW_IMAGES 40u               /* ... images judged */
#define FEW_DEEP 6u                  /* ... and recovered from by steps */
#define STEPPED_MAX 1000             /* longer paths come to their points by breakpoints even in the long form */
/* What even the long form only samples: instructions that change nothing new, and take hundreds of stops to come to. */
#define TURNS 16u                    /* of a loop, or of a function: all up to this, and then every so many-th */
#define VARIED 32u                   /* inside what varies: every so many-th */
#define SHALLOW 4u                   /* images of scenes that are not DEEP: recovery from every so many-th is stepped */
#define MANY_DEEP 100u               /* ... and from so many of DEEP ones: each leaves a hundred images itself */

static const struct scene *scene;
static struct image first_image, other_image;   /* of the queue, and of the other one */
static struct mpq *victim;           /* the handle of the process that dies */

static struct tally {                /* shared by the workers */
	uint64_t kills, before, after, between, missed, varied;
	uint64_t recovered, recovery_images;   /* instructions of recoveries, and the images that they leave */
	uint64_t slowest;            /* to get the lock, ns */
} *tally;

static struct images {
	struct image image[IMAGES], other[IMAGES];
	uint64_t hash[IMAGES];
	size_t n, seen;              /* kept, and all */
	const unsigned char *view, *other_view;   /* of the files, in the tracer */
} images, deeper;

/* ---- the process that dies ------------------------------------------------------------------------------- */

static struct mpq *
open_end(const char *end)
{
	char name[20];

	snprintf(name, sizeof name, QUEUE "%s", end);
	return open_queue(name);
}

static const char *
actors_end(void)
{
	return scene->end != NULL ? scene->end : "";
}

static const char *
sleepers_end(void)
{
	return scene->end == NULL ? "" : strcmp(scene->end, "@1") == 0 ? "@2" : "@1";
}

static void
restore(const struct image *image, const struct image *other)
{
	image_restore(image, QUEUE);
	if (scene->flags & TWO)
		image_restore(other, OTHER);
}

static void
judge_scene(struct verdict *v)
{
	judge(scene->end != NULL ? BOTH_ENDS : scene->flags & TWO ? TWO_QUEUES : ONE_QUEUE, v);
}

static void
ready(void *arg)
{
	(void)arg;
	clock_says = mpq_now();
	if ((scene->flags & (BARE | NO_QUEUE)) == 0)
		victim = open_end(actors_end());
	if (scene->ready != NULL)
		scene->ready(victim);
	/* The sleeper stands in the table: a look for dead owners would be due or not. */
	if (scene->asleep != NOBODY && victim != NULL && mpq_sweep(victim) != MPQ_OK)
		abort();
}

static void
act(void *arg)
{
	(void)arg;
	if (scene->act(victim) != MPQ_OK)
		abort();
}

static void
recovery_ready(void *arg)
{
	(void)arg;
	clock_says = mpq_now();
	victim = open_end(actors_end());
}

static void
recovery_act(void *arg)
{
	(void)arg;
	if (mpq_sweep(victim) != MPQ_OK || mpq_check(victim) != MPQ_OK)
		abort();
}

static const struct play play = { .ready = ready, .act = act };
static const struct play recovery = { .ready = recovery_ready, .act = recovery_act };

/* ---- the scene ------------------------------------------------------------------------------------------- */

static void
build_main(void)
{
	struct mpq_bounds bounds = { .mode = 0600, .maxsize = scene->maxsize,
		.kind = scene->end != NULL ? MPQ_PIPE : MPQ_QUEUE };
	struct mpq *q;

	clock_says = mpq_now() - LONG_AGO;
	if (mpq_create(&place, QUEUE, &bounds, NULL) != MPQ_OK ||
	    ((scene->flags & TWO) && mpq_create(&place, OTHER, &bounds, NULL) != MPQ_OK))
		abort();
	q = open_end(scene->end != NULL ? "@1" : "");
	build_ends(q, scene->build, scene->flags & DIES);
}

static bool
build(void)
{
	struct image none = { NULL, 0 };
	bool built;

	image_restore(&none, QUEUE);
	built = (scene->flags & NO_QUEUE) != 0 || build_elsewhere(build_main, scene->flags & DIES);
	image_load(&first_image, QUEUE);
	image_load(&other_image, OTHER);
	return built;
}

/* The judge's words are one of the two. */
static void
expect(const char *what, size_t n, size_t of)
{
	struct verdict v;

	judge_scene(&v);
	if ((uint64_t)v.lock > tally->slowest)
		tally->slowest = (uint64_t)v.lock;
	if (says(&v, scene->before))
		__atomic_fetch_add(&tally->before, 1, __ATOMIC_RELAXED);
	else if (says(&v, scene->after))
		__atomic_fetch_add(&tally->after, 1, __ATOMIC_RELAXED);
	else if (scene->between != NULL && says(&v, scene->between))
		__atomic_fetch_add(&tally->between, 1, __ATOMIC_RELAXED);
	else if (v.lock > SECOND)
		late("%s %zu of %zu: the lock took %lld ms", what, n, of, (long long)(v.lock / MS));
	else
		fault("%s %zu of %zu: \"%s\"", what, n, of, v.text);
}

/* ---- images ---------------------------------------------------------------------------------------------- */

static uint64_t
hash(const unsigned char *p, size_t n)
{
	uint64_t h = n, word;

	for (size_t i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, p + i, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return h;
}

#define MAPPED ((size_t)16 << 20)

/* A file's bytes for the tracer: its own mapping, of whatever file bears the name now. NULL: none does. */
static const unsigned char *
view_file(const char *name)
{
	const unsigned char *view;
	char path[200];
	int fd;

	snprintf(path, sizeof path, "%s/mpq.%s", place.dir, name);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return NULL;
	view = mmap(NULL, MAPPED, PROT_READ, MAP_SHARED, fd, 0);
	if (view == MAP_FAILED)
		abort();
	close(fd);
	return view;
}

static void
view_open(struct images *im)
{
	im->n = im->seen = 0;
	im->view = view_file(QUEUE);
	im->other_view = view_file(OTHER);
}

static void
view_close(struct images *im)
{
	if (im->view != NULL)
		munmap((void *)(uintptr_t)im->view, MAPPED);
	if (im->other_view != NULL)
		munmap((void *)(uintptr_t)im->other_view, MAPPED);
}

/* The lock becomes what the kernel makes of it when the process dies. */
static void
owner_dies(struct image *image, pid_t pid)
{
	struct head *head = (struct head *)image->bytes;

	if (image->size != 0 && (head->lock & FUTEX_TID_MASK) == (uint32_t)pid)
		head->lock = (head->lock & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

/* After a step: a new image? */
static void
look(void *arg, pid_t pid)
{
	struct images *im = arg;
	uint64_t h;

	if (im->view == NULL)
		return;
	h = hash(im->view, HASHED) + (im->other_view != NULL ? hash(im->other_view, HASHED) * 3 : 0);
	for (size_t i = im->seen; i > 0; i--)
		if (im->hash[i - 1] == h)
			return;
	if (im->seen == IMAGES) {
		fault("more than %d images", IMAGES);
		return;
	}
	im->hash[im->seen++] = h;
	if (first_image.size > LARGE && im->seen % 8 != 1)
		return;
	image_load(&im->image[im->n], QUEUE);
	if (im->image[im->n].size == 0)
		return;                      /* removed: the end is judged anyway */
	image_load(&im->other[im->n], OTHER);
	owner_dies(&im->image[im->n], pid);
	owner_dies(&im->other[im->n], pid);
	im->n++;
}

static void
images_free(struct images *im)
{
	for (size_t i = 0; i < im->n; i++)
		free(im->image[i].bytes), free(im->other[i].bytes);
	im->n = 0;
}

/* So that of n about `few` are taken in the short form; all in the long, or about `many`. */
static size_t
stride(size_t n, size_t few, size_t many)
{
	size_t most = longer ? many : few;

	return n <= most ? 1 : (n + most - 1) / most;
}

static void
judge_images(const char *what, const struct images *im)
{
	for (size_t i = 0; i < im->n && trouble->faults == 0; i += stride(im->n, FEW_IMAGES, SIZE_MAX)) {
		restore(&im->image[i], &im->other[i]);
		expect(what, i, im->n);
	}
}

/* Recovery from an image is stepped; what it may leave is judged. */
static void
recover_image(const struct pass *all, size_t i)
{
	static struct pass pass;
	struct trial trial = { .play = &recovery };

	(void)all;
	restore(&images.image[i], &images.other[i]);
	view_open(&deeper);
	if (step_pass(&trial, &pass, look, &deeper) != STEP_ACTED)
		fault("recovery from image %zu ended by signal %d", i, step_signal());
	view_close(&deeper);
	__atomic_fetch_add(&tally->recovered, pass.n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&tally->recovery_images, deeper.n, __ATOMIC_RELAXED);
	judge_images("image of a recovery", &deeper);
	images_free(&deeper);
}

static void
nothing(void)
{
}

static void
recover_images(void)
{
	go_round(&(struct tour){ .pass = &(struct pass){ .n = images.n }, .prepare = nothing, .once = recover_image,
	    .step = scene->flags & DEEP ? stride(images.n, FEW_DEEP, MANY_DEEP) : SHALLOW, .workers = WORKERS });
}

/* ---- kills ----------------------------------------------------------------------------------------------- */

struct sleeper {                     /* shared */
	volatile int done, result;
	volatile mpq_time when;
};
static struct sleeper *sleeper;      /* of this world */

/* Is the queue ready, or else why not? Two handles, so that it sleeps on more than one word. */
static int
watch_for(struct mpq *q, enum mpq_ready what)
{
	struct mpq_watch w[2] = { { .q = q, .what = what }, { .q = open_end(sleepers_end()), .what = what } };
	int r = mpq_wait(w, 2, in_ms(20000));

	mpq_detach(w[1].q);
	return r != MPQ_OK || w[0].ready == 1 || w[1].ready == 1 ? r : w[0].ready != 0 ? w[0].ready : w[1].ready;
}

static _Noreturn void
sleeper_main(void)
{
	struct mpq *q = open_end(sleepers_end());
	char text[40];
	size_t len;
	int r;

	switch (scene->asleep) {
	case GETTER:
		r = mpq_get(q, text, sizeof text, &len, in_ms(20000));
		break;
	case PUTTER:
		r = mpq_put(q, "s", 1, in_ms(20000));
		break;
	case JOINER:
		r = mpq_join(q, 0, in_ms(20000));
		break;
	default:
		r = watch_for(q, scene->asleep == WATCHES_GET ? MPQ_READY_GET : scene->asleep == WATCHES_PUT ?
		    MPQ_READY_PUT : MPQ_READY_JOIN);
	}
	sleeper->when = mpq_now();
	sleeper->result = r;
	sleeper->done = 1;
	mpq_detach(q);
	_exit(0);
}

/* What it waits for, done by somebody else, if the one who was killed did not get there. */
static void
help_sleeper(void)
{
	struct mpq *q = open_end(actors_end());
	struct mpq_want want = { .msgs = 1 };
	char text[8];
	size_t len;
	int r;

	if (scene->asleep == GETTER || scene->asleep == WATCHES_GET)
		r = mpq_put(q, "y", 1, MPQ_NOW);
	else if (scene->asleep == PUTTER || scene->asleep == WATCHES_PUT)
		r = mpq_get(q, text, sizeof text, &len, MPQ_NOW);
	else if ((r = mpq_take(q, &want, 0, MPQ_NOW, &run)) == MPQ_OK)
		r = mpq_settle(q, &run, 1, run.bytes, MPQ_DONE, NULL);
	if (r != MPQ_OK)
		fault("the helper: %s", mpq_strerror(r));
	mpq_detach(q);
}

/* The second process must go on within a second: of the kill, or of another's doing what it waits for. `q`: the handle
 * of one at its place, opened before the kill. */
static void
see_sleeper(pid_t pid, struct mpq *q, size_t n, size_t of)
{
	mpq_time since = mpq_now();
	struct mpq_stat st;
	int told = scene->told, r;

	if ((r = mpq_sweep(q)) == MPQ_OK)
		r = mpq_stat(q, &st);
	if (r != MPQ_OK && (r != MPQ_GONE || scene->acted != NULL))
		fault("kill %zu of %zu: no stat: %s", n, of, mpq_strerror(r));
	else if (scene->acted == NULL ? r == MPQ_GONE : scene->acted(&st))
		tally->after++;
	else {
		tally->before++;
		told = MPQ_OK;
		help_sleeper();
	}
	UNTIL(sleeper->done);
	if (!sleeper->done || sleeper->when - since > SECOND)
		late("kill %zu of %zu: the sleeper took %lld ms", n, of, (long long)((mpq_now() - since) / MS));
	else if (sleeper->result != told)
		fault("kill %zu of %zu: the sleeper says %s", n, of, mpq_strerror(sleeper->result));
	kill_child(pid);
	r = mpq_check(q);
	if (r != (scene->acted == NULL && told != MPQ_OK ? MPQ_GONE : MPQ_OK))
		fault("kill %zu of %zu: check says %s", n, of, mpq_strerror(r));
	mpq_detach(q);
}

/* Written down as what it is? */
static bool
is_asleep(void)
{
	const struct head *head = (const struct head *)(const void *)images.view;
	unsigned side = 0, kind;

	switch (scene->asleep) {
	case GETTER:
		kind = WAIT_GET;
		side = strcmp(actors_end(), "@2") == 0;  /* it gets what the actor's end sends */
		break;
	case PUTTER:
		kind = WAIT_PUT;
		break;
	case JOINER:
		kind = WAIT_JOIN;
		break;
	default:
		return head->side[0].waiting[WAIT_WATCH] == 2;
	}
	return head->side[side].waiting[kind] == 1;
}

static pid_t
send_to_sleep(void)
{
	pid_t pid;

	sleeper->done = 0;
	if ((pid = child()) == 0)
		sleeper_main();
	UNTIL(process_state(pid) == 'S' && is_asleep());
	return pid;
}

static void
one_kill(const struct pass *pass, size_t i)
{
	struct trial trial = { .play = &play, .point = i < pass->n ? &pass->point[i] : NULL,
		.stepwise = longer && pass->n <= STEPPED_MAX };
	struct mpq *q = NULL;
	pid_t pid = 0;
	enum end end;

	restore(&first_image, &other_image);
	if (scene->asleep != NOBODY) {
		view_open(&images);
		pid = send_to_sleep();
		q = open_end(sleepers_end());
	}
	end = step_trial(&trial);
	if (end == STEP_LATE)
		late("kill %zu of %zu: the way to it took too long", i, pass->n);
	else if (end != STEP_KILLED && end != STEP_ACTED)
		fault("kill %zu of %zu: end %d, signal %d", i, pass->n, (int)end, step_signal());
	__atomic_fetch_add(&tally->kills, 1, __ATOMIC_RELAXED);
	if (end == STEP_ACTED && i < pass->n)
		__atomic_fetch_add(pass->point[i].varies ? &tally->varied : &tally->missed, 1, __ATOMIC_RELAXED);
	if (scene->asleep != NOBODY) {
		view_close(&images);
		see_sleeper(pid, q, i, pass->n);
	} else
		expect("kill", i, pass->n);
}

static void
sleeper_new(void)
{
	sleeper = shared(sizeof *sleeper);
}

/* Leave out of a path what even the long form only samples. */
static void
choose_points(struct pass *pass)
{
	size_t n = 0;

	for (size_t i = 0; i < pass->n; i++) {
		const struct point *p = &pass->point[i];

		if (p->varies ? i % VARIED == 0 : p->hit <= TURNS || p->hit % TURNS == 0)
			pass->point[n++] = *p;
	}
	pass->n = n;
}

/* Kill at every point, in the short form at some, and at the end of the act. */
static void
kill_everywhere(const struct pass *pass)
{
	go_round(&(struct tour){ .pass = pass, .end = true, .prepare = sleeper_new, .once = one_kill,
	    .step = scene->flags & REAL ? 1 : stride(pass->n, FEW_KILLS, SIZE_MAX),
	    .workers = scene->asleep != NOBODY ? SLEEPY_WORKERS : WORKERS });
}

/* ---- the play -------------------------------------------------------------------------------------------- */

/* Without any kill: the scene is what it says. */
static bool
rehearse(void)
{
	struct verdict v;
	pid_t pid;
	int status;

	if (!build())
		return OK(false, "%s: cannot be built", scene->name);
	judge_scene(&v);
	if (!says(&v, scene->before)) {
		OK(false, "%s: is not what it should be at first", scene->name);
		diag("\"%s\", not \"%s\"", v.text, scene->before);
		return false;
	}
	restore(&first_image, &other_image);
	if ((pid = child()) == 0) {
		ready(NULL);
		act(NULL);
		_exit(0);
	}
	status = reap_child(pid);
	judge_scene(&v);
	if (status != 0 || !says(&v, scene->after)) {
		OK(false, "%s: does not do what it should", scene->name);
		diag("status %d, \"%s\", not \"%s\"", status, v.text, scene->after);
		return false;
	}
	return true;
}

/* The pass. A sleeper is asleep, so that the way to its wake-up is walked; and stopped, so that it leaves what comes. */
static void
walk(struct pass *pass)
{
	struct trial trial = { .play = &play };
	pid_t pid = 0;

	restore(&first_image, &other_image);
	view_open(&images);
	if (scene->asleep != NOBODY) {
		pid = send_to_sleep();
		kill(pid, SIGSTOP);
		if (!UNTIL(process_state(pid) == 'T'))
			fault("the sleeper does not stop");
	}
	if (step_pass(&trial, pass, look, &images) != STEP_ACTED)
		fault("ended by signal %d", step_signal());
	if (pid != 0)
		kill_child(pid);
	view_close(&images);
}

static void
perform(void)
{
	/* /proc/PID/stat has other numbers each time, of other lengths; to read it touches nothing that is shared. */
	static struct pass pass = { .varies = (const void *)start_time };
	size_t found, path;
	uint64_t missable;
	mpq_time began = mpq_now();

	memset(tally, 0, sizeof *tally);
	memset(trouble, 0, sizeof *trouble);
	if (!rehearse())
		return;
	walk(&pass);
	judge_images("image", &images);
	if ((scene->flags & DEEP) || (longer && scene->asleep == NOBODY))
		recover_images();
	found = images.seen;
	images_free(&images);
	path = pass.n;
	choose_points(&pass);
	if (trouble->faults == 0)
		kill_everywhere(&pass);
	/* A sleeper that has been woken is there or has gone when the act comes to its last look at the table. */
	missable = tally->kills / (scene->asleep != NOBODY ? 4 : 20);
	OK(trouble->faults == 0 && tally->missed <= missable && ((scene->flags & SAME) ||
	    (tally->before > 0 && tally->after > 0)),
	    "%s: %zu instructions, %zu images, %llu kills, %llu faults", scene->name, path, found,
	    (long long)tally->kills, (long long)trouble->faults);
	if (trouble->faults != 0)
		diag("%s", trouble->fault);
	diag("%llu before, %llu after, %llu between; recovery: %llu instructions, %llu images; %llu points missed, %llu "
	    "varied, %llu late; lock in %llu us; %lld ms", (long long)tally->before, (long long)tally->after,
	    (long long)tally->between, (long long)tally->recovered, (long long)tally->recovery_images,
	    (long long)tally->missed, (long long)tally->varied,
	    (long long)trouble->late, (long long)tally->slowest / 1000, (long long)((mpq_now() - began) / MS));
	free(first_image.bytes);
	free(other_image.bytes);
}

int
main(int argc, char **argv)
{
	const char *name = trials_begin(argc, argv);

	tally = shared(sizeof *tally);
	sleeper_new();
	for (size_t i = 0; i < nscenes; i++) {
		scene = &scenes[i];
		if (name == NULL || strstr(scene->name, name) != NULL)
			perform();
	}
	trials_end();
	return tap_end();
}
