/* SPDX-License-Identifier: ISC
 *
 * world.c - images of a queue, and the judge. See world.h.
 */
#include "world.h"

#define BIGGEST ((size_t)8 << 20)

static char dir[128];
struct mpq_place place = { .dir = dir };
struct mpq_owner keeper;
static struct verdict *shared_verdict;

void
world_enter(const char *top, int n)
{
	snprintf(dir, sizeof dir, "%s/w%d", top, n);
	if (mkdir(dir, 0700) == -1 && errno != EEXIST) {
		printf("Bail out! mkdir %s: %s\n", dir, strerror(errno));
		exit(1);
	}
	shared_verdict = shared(sizeof *shared_verdict);
}

void
world_leave(const char *top, int n)
{
	char path[128];

	snprintf(path, sizeof path, "%s/w%d", top, n);
	room_empty(path);
	rmdir(path);
}

/* ---- a clock that goes by itself ------------------------------------------------------------------------- */

#define TICK (MS / 10)

mpq_time clock_says;

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	if (clock_says == 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
		return __real_clock_gettime(id, ts);
	clock_says += TICK;
	*ts = (struct timespec){ .tv_sec = (time_t)(clock_says / SECOND), .tv_nsec = (long)(clock_says % SECOND) };
	return 0;
}

mpq_time
kernel_now(void)
{
	struct timespec ts;

	__real_clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* ---- images ---------------------------------------------------------------------------------------------- */

static int
open_file(const char *name, int flags)
{
	char path[200];

	snprintf(path, sizeof path, "%s/mpq.%s", dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

void
image_load(struct image *image, const char *name)
{
	int fd = open_file(name, O_RDONLY);
	struct stat st;

	*image = (struct image){ NULL, 0 };
	if (fd == -1)
		return;
	if (fstat(fd, &st) == 0) {
		image->size = (size_t)st.st_size;
		image->bytes = malloc(image->size);
		if (image->bytes == NULL || read(fd, image->bytes, image->size) != st.st_size)
			abort();
	}
	close(fd);
}

/* Nobody has the file mapped. It is overwritten, not made anew: its pages are there already. */
void
image_restore(const struct image *image, const char *name)
{
	int fd;

	if (image->size == 0) {
		room_empty(dir);
		return;
	}
	fd = open_file(name, O_RDWR | O_CREAT);
	if (fd == -1 || write(fd, image->bytes, image->size) != (ssize_t)image->size ||
	    ftruncate(fd, (off_t)image->size) == -1)
		abort();
	close(fd);
}

int
put_letters(struct mpq *q, char letter, size_t len)
{
	unsigned char *bytes = malloc(len + 1);
	int err;

	if (bytes == NULL)
		abort();
	memset(bytes, letter, len);
	err = mpq_put(q, bytes, len, MPQ_NOW);
	free(bytes);
	return err;
}

/* ---- the judge ------------------------------------------------------------------------------------------- */

static struct verdict *v;

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
	size_t n = strlen(v->text);
	va_list args;

	va_start(args, format);
	vsnprintf(v->text + n, sizeof v->text - n, format, args);
	va_end(args);
}

static _Noreturn void
complain(const char *what, int err)
{
	v->text[0] = '\0';
	say("!%s: %s", what, mpq_strerror(err));
	_exit(0);
}

#define GOOD(call)                                                                                               \
	do {                                                                                                     \
		int err_ = (call);                                                                               \
		if (err_ != MPQ_OK)                                                                              \
			complain(#call, err_);                                                                   \
	} while (0)

/* "abc" as it is, a long one as "a*4000", if it is whole. */
static void
say_message(const unsigned char *bytes, size_t len)
{
	if (len <= 5) {
		say(" %.*s", (int)len, (const char *)bytes);
		return;
	}
	for (size_t i = 1; i < len; i++)
		if (bytes[i] != bytes[0]) {
			say(" TORN(%zu at %zu)", len, i);
			return;
		}
	say(" %c*%zu", bytes[0], len);
}

static int
drain(struct mpq *q)
{
	unsigned char *buffer = malloc(BIGGEST);
	size_t len;
	int err;

	while ((err = mpq_get(q, buffer, BIGGEST, &len, MPQ_NOW)) == MPQ_OK)
		say_message(buffer, len);
	free(buffer);
	if (err != MPQ_EMPTY && err != MPQ_CLOSED)
		complain("get", err);
	return err;
}

/* Attempts at the first message, without taking it. */
static unsigned
attempts(struct mpq *q)
{
	struct mpq_want want = { .msgs = 1, .flags = MPQ_PEEK };
	struct mpq_run run;
	int err = mpq_take(q, &want, 0, MPQ_NOW, &run);

	if (err != MPQ_OK)
		return 0;
	GOOD(mpq_settle(q, &run, 0, 0, MPQ_GOT, NULL));
	return run.attempts;
}

/* No queue: nothing must be left behind, and one can be made. */
static void
judge_gone(void)
{
	struct mpq_bounds bounds = { .mode = 0600 };
	struct dirent *e;
	DIR *d = opendir(dir);

	say("gone");
	while (d != NULL && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
			v->text[0] = '\0';
			say("!left behind: %s", e->d_name);
		}
	GOOD(mpq_create(&place, QUEUE, &bounds, NULL));
}

static struct mpq *
judge_open(const char *name)
{
	mpq_time began = mpq_now();
	struct mpq *q = NULL;
	int err = mpq_open(&place, name, 0, &q, NULL);

	if (err == MPQ_GONE)
		return NULL;
	if (err != MPQ_OK)
		complain("open", err);
	GOOD(mpq_sweep(q));
	v->lock += mpq_now() - began;
	GOOD(mpq_check(q));
	return q;
}

/* What is there, in words; nothing is left. */
static void
judge_one(struct mpq *q, bool end)
{
	struct mpq_stat st;
	int err = mpq_can_put(q, MPQ_FOREVER);

	if (err != MPQ_OK && err != MPQ_CLOSED)
		complain("can_put", err);
	GOOD(mpq_stat(q, &st));
	if (st.getters != 0 || st.putters != 0)
		complain("somebody is counted as waiting", MPQ_DAMAGED);
	say("%s%sunfinished %llu held %llu attempts %u :", st.closed ? "closed " : "",
	    end && err == MPQ_CLOSED ? "shut " : "", (long long)st.unfinished, (long long)st.held, attempts(q));
	if (drain(q) == MPQ_CLOSED && end)
		say(" ended");
	GOOD(mpq_check(q));
}

/* A message goes from one handle to the other, if the way is open. */
static void
judge_way(struct mpq *from, struct mpq *to)
{
	char probe[8];
	size_t len = 0;
	int err = mpq_put(from, "probe", 5, MPQ_NOW);

	if (err == MPQ_CLOSED)
		return;
	if (err != MPQ_OK)
		complain("put", err);
	GOOD(mpq_get(to, probe, sizeof probe, &len, MPQ_NOW));
	if (len != 5 || memcmp(probe, "probe", 5) != 0)
		complain("another message", MPQ_DAMAGED);
	GOOD(mpq_check(to));
}

static void
judge_main(enum judged what)
{
	static const char *const names[][2] = { { QUEUE, NULL }, { QUEUE "@1", QUEUE "@2" }, { QUEUE, OTHER } };
	struct mpq *q[2] = { NULL, NULL };

	alarm(10);
	v->text[0] = '\0';
	for (int i = 0; i < 2 && names[what][i] != NULL; i++)
		if ((q[i] = judge_open(names[what][i])) == NULL) {
			judge_gone();
			return;
		}
	for (int i = 0; i < 2 && q[i] != NULL; i++) {
		say("%s", i == 0 ? "" : " | ");
		judge_one(q[i], what == BOTH_ENDS);
	}
	for (int i = 0; i < 2 && q[i] != NULL; i++)
		judge_way(q[i], what == BOTH_ENDS ? q[1 - i] : q[i]);
	for (int i = 0; i < 2 && q[i] != NULL; i++)
		mpq_detach(q[i]);
}

void
judge(enum judged what, struct verdict *verdict)
{
	pid_t pid;
	int status;

	fflush(stdout);
	v = shared_verdict;
	memset(v, 0, sizeof *v);
	pid = fork();
	if (pid == 0) {
		judge_main(what);
		_exit(0);
	}
	status = reap_child(pid);
	*verdict = *v;
	if (status != 0)
		snprintf(verdict->text, sizeof verdict->text, "!the judge ended with %d", status);
	if (verdict->lock > SECOND)
		snprintf(verdict->text, sizeof verdict->text, "!the lock took too long");
}
