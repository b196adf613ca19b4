/* SPDX-License-Identifier: ISC
 *
 * signals.c - ending by a signal, but not in the middle of an account.
 *
 * A getter must tell the queue what its output has accepted before it ends, by whatever signal; only SIGKILL gets
 * in between. The handler notes the signal. If it came between the last look at the note and a blocking system call,
 * that call would not return; so the handler starts a timer whose SIGALRM interrupts again, and again.
 */
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#include "signals.h"

#define AGAIN_USEC 50000

static volatile sig_atomic_t caught;
static sigset_t catching;

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
		return sig < 32 || sig >= SIGRTMIN;  /* those between are the C library's own */
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

void
signals_catch(void)
{
	struct sigaction action = { .sa_handler = note }, old;

	sigemptyset(&catching);
	for (int sig = 1; sig <= SIGRTMAX; sig++) {
		if (!is_ending(sig) || sigaction(sig, &action, &old) == -1)
			continue;
		if (old.sa_handler == SIG_IGN)
			sigaction(sig, &old, NULL);  /* nohup means it */
		else
			sigaddset(&catching, sig);
	}
}

int
signals_caught(void)
{
	return caught;
}

void
signals_restore(void)
{
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sigismember(&catching, sig) == 1)
			signal(sig, SIG_DFL);
}

void
signals_die(void)
{
	static const struct itimerval never;
	int sig = caught;
	sigset_t set;

	if (sig == 0)
		return;
	setitimer(ITIMER_REAL, &never, NULL);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}
