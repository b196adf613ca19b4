/* SPDX-License-Identifier: ISC
 *
 * trials.c - tries, workers, and the count of faults. See trials.h.
 */
#include "trials.h"

#define TRIES 4                      /* of a trial that was late */
#define MOST_WORKERS 8

struct trouble *trouble;
bool longer;
static int tries_left;               /* of the trial that runs */
static bool again;                   /* it was late: try it again */
static pid_t keeper_pid;

const char *
trials_begin(int argc, char **argv)
{
	step_init(argv);
	longer = argc > 1 && strcmp(argv[1], "long") == 0;
	room_make();
	world_enter(room_dir, 0);
	trouble = shared(sizeof *trouble);
	if ((keeper_pid = fork()) == 0)
		for (;;)
			pause();
	mpq_owner_of(keeper_pid, &keeper);
	return argv[1 + longer];
}

void
trials_end(void)
{
	kill_child(keeper_pid);
	world_leave(room_dir, 0);
}

/* ---- faults ---------------------------------------------------------------------------------------------- */

static void
count_fault(const char *text)
{
	if (__atomic_fetch_add(&trouble->faults, 1, __ATOMIC_RELAXED) == 0)
		snprintf(trouble->fault, sizeof trouble->fault, "%s", text);
}

void
fault(const char *format, ...)
{
	char text[sizeof trouble->fault];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	count_fault(text);
}

void
late(const char *format, ...)
{
	char text[sizeof trouble->fault];
	va_list args;

	if (tries_left > 0) {
		again = true;
		__atomic_fetch_add(&trouble->late, 1, __ATOMIC_RELAXED);
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	count_fault(text);
}

void
tries_begin(void)
{
	tries_left = TRIES;
	again = true;
}

bool
tries_again(void)
{
	bool go_on = again && trouble->faults == 0;

	again = false;
	tries_left--;
	return go_on;
}

bool
is_late(void)
{
	return again;
}

/* ---- the queue ------------------------------------------------------------------------------------------- */

bool
build_elsewhere(void (*build)(void), bool dies)
{
	pid_t pid = child();

	if (pid == 0)
		build();
	return reap_child(pid) == (dies ? 256 + SIGKILL : 0);
}

void
build_ends(struct mpq *q, void (*how)(struct mpq *q), bool dies)
{
	if (how != NULL)
		how(q);
	if (dies)
		raise(SIGKILL);
	mpq_detach(q);
	_exit(0);
}

/* ---- workers --------------------------------------------------------------------------------------------- */

static void
try_point(const struct tour *tour, size_t i)
{
	for (tries_begin(); tries_again();)
		tour->once(tour->pass, i);
}

static _Noreturn void
worker_main(const struct tour *tour, int w)
{
	world_enter(room_dir, w);
	step_prepare();
	tour->prepare();
	for (size_t i = (size_t)w * tour->step; i < tour->pass->n && trouble->faults == 0;
	    i += (size_t)tour->workers * tour->step)
		try_point(tour, i);
	if (tour->end && w == 0)
		try_point(tour, tour->pass->n);
	_exit(0);
}

void
go_round(const struct tour *tour)
{
	pid_t pid[MOST_WORKERS];

	if (tour->workers > MOST_WORKERS)
		abort();
	for (int w = 0; w < tour->workers; w++)
		if ((pid[w] = child()) == 0)
			worker_main(tour, w);
	for (int w = 0; w < tour->workers; w++)
		if (reap_child(pid[w]) != 0)
			fault("a worker died");
	for (int w = 0; w < tour->workers; w++)
		world_leave(room_dir, w);
	world_enter(room_dir, 0);
}
