/* SPDX-License-Identifier: ISC
 *
 * signals.c - ending by a signal, but not in the middle of an account.
 *
 * A getter must tell the queue what its output has accepted before it ends, by whatever signal; only SIGKILL gets
 * in between. The handler notes the signal. If it came between the last look at the note and a blocking system call,
 * that call would not return; so the handler starts a timer whose SIGALRM interrupts again, and again.
 *
 * There are some sixty such signals, and a system call for each. A getter of one message that is there, and whose output
 * takes it at once, blocks them all instead; as soon as something might make it wait, they are caught.
 *
 * The C library keeps a few signals to itself (SIGRTMIN of the kernel and after), and its functions leave them out. To
 * others they are signals like any other, so the kernel is asked directly.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "signals.h"

#define AGAIN_USEC 50000
#define SIGNALS 64

struct action {                      /* the kernel's; whatever else it has on this processor, the handler is first */
	void (*handler)(int);
	unsigned long rest[7];
};

static volatile sig_atomic_t caught;
static bool held;
static uint64_t catching, mask_before;       /* bit 0 is signal 1, as the kernel has it */

static uint64_t
bit(int sig)
{
	return (uint64_t)1 << (sig - 1);
}

static void
set_action(int sig, const struct action *action, struct action *old)
{
	syscall(SYS_rt_sigaction, sig, action, old, sizeof mask_before);
}

static int
set_mask(int how, uint64_t mask, uint64_t *old)
{
	return (int)syscall(SYS_rt_sigprocmask, how, &mask, old, sizeof mask);
}

/* What ends a process by default and can be caught; not what tells of a fault in it, nor what stops it. */
static bool
is_ending(int sig)
{
	switch (sig) {
	case SIGKILL: case SIGSTOP: case SIGTSTP: case SIGTTIN: case SIGTTOU: case SIGCONT: case SIGCHLD: case SIGURG:
	case SIGWINCH: case SIGSEGV: case SIGBUS: case SIGILL: case SIGFPE: case SIGABRT: case SIGTRAP: case SIGSYS:
	case SIGXFSZ:
		return false;
	default:
		return true;
	}
}

static void
note(int sig)
{
	static const struct itimerval again = { { 0, AGAIN_USEC }, { 0, AGAIN_USEC } };

	if (caught != 0)
		return;
	caught = sig;
	setitimer(ITIMER_REAL, &again, NULL);
}

static void
release(void)
{
	if (held)
		set_mask(SIG_SETMASK, mask_before, NULL);
	held = false;
}

void
signals_catch(void)
{
	struct sigaction action = { .sa_handler = note }, alarm;
	struct action ours, old;

	sigaction(SIGALRM, &action, &alarm);
	set_action(SIGALRM, NULL, &ours);    /* what the C library makes of it: how a handler returns is its business */
	sigaction(SIGALRM, &alarm, NULL);
	catching = 0;
	for (int sig = 1; sig <= SIGNALS; sig++) {
		if (!is_ending(sig))
			continue;
		set_action(sig, &ours, &old);
		if (old.handler == SIG_IGN)
			set_action(sig, &old, NULL); /* nohup means it */
		else
			catching |= bit(sig);
	}
	release();
}

void
signals_hold(void)
{
	uint64_t ending = 0;

	for (int sig = 1; sig <= SIGNALS; sig++)
		if (is_ending(sig))
			ending |= bit(sig);
	held = set_mask(SIG_BLOCK, ending, &mask_before) == 0;
	if (!held)
		signals_catch();
}

bool
signals_held(void)
{
	return held;
}

int
signals_caught(void)
{
	return caught;
}

void
signals_restore(void)
{
	static const struct action by_default;

	for (int sig = 1; sig <= SIGNALS; sig++)
		if (catching & bit(sig))
			set_action(sig, &by_default, NULL);
}

void
signals_die(void)
{
	static const struct itimerval never;
	static const struct action by_default;
	int sig = caught;

	release();
	if (sig == 0)
		return;
	setitimer(ITIMER_REAL, &never, NULL);
	set_action(sig, &by_default, NULL);
	set_mask(SIG_UNBLOCK, bit(sig), NULL);
	kill(getpid(), sig);
}
