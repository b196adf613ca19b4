/* SPDX-License-Identifier: ISC
 *
 * step.c - stepping and killing a child. See step.h. x86-64 only.
 *
 * The child is forked, not executed: it has the layout and the state of its parent, so the same act takes the same
 * path each time. It stops itself at the mark. PTRACE_O_EXITKILL takes it along if the tracer dies; signals other than
 * SIGTRAP are passed on (a tracer that swallows SIGSEGV steps for ever); an alarm kills a child that hangs.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alive.h"
#include "step.h"

#define DEADLINE 20                  /* seconds for one trial */
#define PASS_DEADLINE 100            /* for a whole pass, whose callback takes time too */

struct flags {
	volatile int begun, done;
};

static struct flags *flags;          /* shared with the child */
static volatile pid_t current;
static volatile sig_atomic_t late;
static int ended_by;
static uint64_t steps_taken;

static void
too_late(int sig)
{
	(void)sig;
	late = 1;
	if (current > 0)
		kill(current, SIGKILL);
}

void
step_init(char **argv)
{
	int old = personality(0xffffffff);

	if (old != -1 && (old & ADDR_NO_RANDOMIZE) == 0 && personality((unsigned long)old | ADDR_NO_RANDOMIZE) != -1)
		execv("/proc/self/exe", argv);
	step_prepare();
}

void
step_prepare(void)
{
	struct sigaction action = { .sa_handler = too_late };

	flags = mmap(NULL, sizeof *flags, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGALRM, &action, NULL);
}

int
step_signal(void)
{
	return ended_by;
}

uint64_t
step_count(void)
{
	return steps_taken;
}

/* ---- the child ------------------------------------------------------------------------------------------- */

static _Noreturn void
child_main(const struct play *play)
{
	alarm(0);
	signal(SIGALRM, SIG_DFL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
		_exit(99);
	if (play->ready != NULL)
		play->ready(play->arg);
	kill(getpid(), SIGSTOP);
	flags->begun = 1;
	play->act(play->arg);
	flags->done = 1;
	kill(getpid(), SIGSTOP);
	_exit(98);
}

/* Fork a child that stands at the mark. */
static bool
begin(const struct play *play, unsigned seconds)
{
	int status;

	flags->begun = flags->done = 0;
	late = 0;
	fflush(stdout);
	alarm(seconds);
	current = fork();
	if (current == 0)
		child_main(play);
	while (current > 0 && waitpid(current, &status, 0) == current) {
		if (!WIFSTOPPED(status)) {
			ended_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
			current = 0;
			break;
		}
		if (WSTOPSIG(status) == SIGSTOP)
			return ptrace(PTRACE_SETOPTIONS, current, NULL, PTRACE_O_EXITKILL) == 0;
		ptrace(PTRACE_CONT, current, NULL, (long)WSTOPSIG(status));
	}
	return false;
}

/* Kill it and wait until it is gone. */
static void
finish(void)
{
	int status;

	alarm(0);
	if (current <= 0)
		return;
	kill(current, SIGKILL);
	while (waitpid(current, &status, 0) == current && WIFSTOPPED(status))
		;
	current = 0;
}

enum stop { TRAP, MARK, OTHER, DEAD };

/* What a wait status says; a signal that the next resumption must pass on is left in *sig. */
static enum stop
stop_of(int status, int *sig)
{
	*sig = 0;
	if (!WIFSTOPPED(status)) {
		ended_by = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		current = 0;
		alarm(0);
		return DEAD;
	}
	if (WSTOPSIG(status) == SIGTRAP)
		return TRAP;
	if (WSTOPSIG(status) == SIGSTOP)
		return MARK;
	*sig = WSTOPSIG(status);
	return OTHER;
}

static enum end
how_it_died(void)
{
	return late ? STEP_LATE : STEP_FAULT;
}

/* ---- points -------------------------------------------------------------------------------------------- */

/* How often has an address been reached? A small hash table, emptied for each pass. */
#define SEEN 65536u
static struct {
	uint64_t address;
	uint32_t hits;
} seen[SEEN];

static uint32_t
count_hit(uint64_t address)
{
	uint32_t i = (uint32_t)(address * 0x9e3779b97f4a7c15u >> 48) % SEEN;

	while (seen[i].address != 0 && seen[i].address != address)
		i = (i + 1) % SEEN;
	seen[i].address = address;
	return ++seen[i].hits;
}

static uint64_t
program_counter(void)
{
	return (uint64_t)ptrace(PTRACE_PEEKUSER, current, (void *)offsetof(struct user_regs_struct, rip), NULL);
}

/* Is it inside the function that varies? It is left when the stack is shorter than at its first instruction. */
static bool
inside_varying(const struct pass *pass, uint64_t address, uint64_t *entered)
{
	uint64_t sp;

	if (pass->varies == NULL || (*entered == 0 && address != (uintptr_t)pass->varies))
		return false;
	sp = (uint64_t)ptrace(PTRACE_PEEKUSER, current, (void *)offsetof(struct user_regs_struct, rsp), NULL);
	if (*entered == 0)
		*entered = sp;
	else if (sp > *entered)
		*entered = 0;
	return *entered != 0;
}

static bool
add_point(struct pass *pass, uint64_t address, uint64_t before, uint64_t step, bool varies)
{
	struct point *last = pass->n > 0 ? &pass->point[pass->n - 1] : NULL;
	struct point p = { .address = address, .step = step, .varies = varies };
	static uint32_t inside;

	if (address == before && last != NULL) {   /* rep movs: a step for each turn, but one arrival */
		p.hit = last->hit;
		p.inside = ++inside;
	} else if (address != before) {
		p.hit = count_hit(address);
		inside = 0;
	}
	else
		return true;
	if (!flags->begun || (p.inside > 2 && p.inside % (pass->sparse != 0 ? pass->sparse : 512) != 0))
		return true;
	if (pass->n == pass->room) {
		pass->room = pass->room == 0 ? 4096 : pass->room * 2;
		if ((pass->point = realloc(pass->point, pass->room * sizeof p)) == NULL)
			return false;
	}
	pass->point[pass->n++] = p;
	return true;
}

/* ---- trials ---------------------------------------------------------------------------------------------- */

static bool
set_byte(uint64_t address, uint8_t byte, uint8_t *old)
{
	uint64_t at = address & ~(uint64_t)7, shift = (address & 7) * 8;
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, current, (void *)at, NULL);
	if (errno != 0)
		return false;
	if (old != NULL)
		*old = (uint8_t)((uint64_t)word >> shift);
	word = (long)(((uint64_t)word & ~((uint64_t)0xff << shift)) | (uint64_t)byte << shift);
	return ptrace(PTRACE_POKETEXT, current, (void *)at, (void *)word) == 0;
}

enum pace { ONE_STEP, FREELY };      /* the type of ptrace's requests has another name in each C library */

/* Resume it and wait until it stops again; if it falls asleep, tell who wants to know. */
static enum stop
resume(const struct trial *trial, enum pace pace, int *sig, bool *told)
{
	int status;
	pid_t r;

	if (ptrace(pace == ONE_STEP ? PTRACE_SINGLESTEP : PTRACE_CONT, current, NULL, (long)*sig) == -1) {
		current = 0;
		return DEAD;
	}
	steps_taken += pace == ONE_STEP;
	if (trial->blocked == NULL || *told) {
		if (waitpid(current, &status, 0) == -1)
			return DEAD;
		return stop_of(status, sig);
	}
	while ((r = waitpid(current, &status, WNOHANG)) == 0)
		if (!*told && process_state(current) == 'S') {
			trial->blocked(trial->arg, current);
			*told = true;
		}
	return r == -1 ? DEAD : stop_of(status, sig);
}

enum end
step_pass(const struct trial *trial, struct pass *pass, void (*each)(void *arg, pid_t pid), void *each_arg)
{
	uint64_t address, before = 0, step = 0, entered = 0;
	bool told = false;
	int sig = 0;

	pass->n = 0;
	memset(seen, 0, sizeof seen);
	if (!begin(trial->play, PASS_DEADLINE))
		return current == 0 ? how_it_died() : STEP_FAILED;
	if (trial->started != NULL)
		trial->started(trial->arg);
	for (;;) {
		if (sig == 0) {
			address = program_counter();
			if (!add_point(pass, address, before, step++, inside_varying(pass, address, &entered)))
				return STEP_FAILED;
			before = address;
		}
		if (resume(trial, ONE_STEP, &sig, &told) == DEAD)
			return how_it_died();
		if (flags->begun && each != NULL)
			each(each_arg, current);
		if (flags->done) {
			finish();
			return STEP_ACTED;
		}
	}
}

static enum end
by_steps(const struct trial *trial, bool *told)
{
	int sig = 0;

	for (uint64_t n = trial->point->step; n > 0; n -= sig == 0) {
		if (resume(trial, ONE_STEP, &sig, told) == DEAD)
			return how_it_died();
		if (flags->done)
			return STEP_ACTED;   /* a shorter path this time */
	}
	return STEP_KILLED;
}

/* Over the instruction under the breakpoint. */
static enum stop
step_over(const struct trial *trial, uint64_t address, uint8_t byte, bool *told)
{
	enum stop stop;
	int sig = 0;

	set_byte(address, byte, NULL);
	do
		stop = resume(trial, ONE_STEP, &sig, told);
	while (stop == OTHER || (stop == TRAP && program_counter() == address));
	if (stop != DEAD)
		set_byte(address, 0xcc, NULL);
	return stop;
}

static enum end
by_breakpoint(const struct trial *trial, bool *told)
{
	const struct point *p = trial->point;
	uint32_t hits = 0;
	enum stop stop;
	uint8_t byte;
	int sig = 0;

	if (program_counter() == p->address)
		hits = 1;
	if (!set_byte(p->address, 0xcc, &byte))
		return STEP_FAILED;
	if (hits == 1 && p->hit != 1 && step_over(trial, p->address, byte, told) == DEAD)
		return how_it_died();
	while (hits < p->hit) {
		if ((stop = resume(trial, FREELY, &sig, told)) == DEAD)
			return how_it_died();
		if (stop == MARK)
			return STEP_ACTED;   /* another path this time: the point was not reached */
		if (stop == OTHER)
			continue;
		ptrace(PTRACE_POKEUSER, current, (void *)offsetof(struct user_regs_struct, rip), (void *)p->address);
		if (++hits < p->hit && step_over(trial, p->address, byte, told) == DEAD)
			return how_it_died();
	}
	set_byte(p->address, byte, NULL);
	for (uint32_t n = 0; n < p->inside; n++)
		if (resume(trial, ONE_STEP, &sig, told) == DEAD)
			return how_it_died();
	return STEP_KILLED;
}

static enum end
to_the_end(const struct trial *trial, bool *told)
{
	enum stop stop;
	int sig = 0;

	do
		stop = resume(trial, FREELY, &sig, told);
	while (stop == OTHER || stop == TRAP);
	return stop == DEAD ? how_it_died() : STEP_ACTED;
}

static enum end
to_the_point(const struct trial *trial, bool *told)
{
	if (trial->point == NULL)
		return to_the_end(trial, told);
	return trial->stepwise ? by_steps(trial, told) : by_breakpoint(trial, told);
}

enum end
step_pause(const struct trial *trial, void (*paused)(void *arg, pid_t pid))
{
	bool told = false;
	enum end end;

	if (!begin(trial->play, DEADLINE))
		return current == 0 ? how_it_died() : STEP_FAILED;
	if (trial->started != NULL)
		trial->started(trial->arg);
	end = to_the_point(trial, &told);
	if (paused != NULL && (end == STEP_KILLED || end == STEP_ACTED)) {
		bool missed = end == STEP_ACTED && trial->point != NULL;

		paused(trial->arg, current);
		end = end == STEP_ACTED ? end : to_the_end(trial, &told);
		end = missed && end == STEP_ACTED ? STEP_KILLED : end;
	}
	finish();
	return late ? STEP_LATE : end;
}

enum end
step_trial(const struct trial *trial)
{
	return step_pause(trial, NULL);
}
