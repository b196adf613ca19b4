/* SPDX-License-Identifier: ISC
 *
 * work_signals.c - waiting for children and the user, without races.
 *
 * All signals that matter are blocked while the worker works. When it only waits for them, ppoll(2) lets them in and
 * sleeps in one step. When it waits for a message or writes, no system call does that; so a window is opened around
 * the call. A signal that comes in the window before the call sleeps would not interrupt it: therefore the handler
 * starts a timer that interrupts a millisecond later, and again until the window is closed. Nothing polls: without a
 * signal there is no timer.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "work.h"

#define NSEC 1000000000
#define AGAIN_USEC 1000

static const int signals[] = { SIGCHLD, SIGINT, SIGTERM, SIGTSTP, SIGALRM };
#define NSIGNALS (sizeof signals / sizeof signals[0])

static volatile sig_atomic_t came, ends, first, tstp;
static volatile sig_atomic_t in_window, timing;
static struct sigaction before[NSIGNALS], pipe_before;
static sigset_t mask_before, mask_open;
static sigset_t changed;             /* signals that have not their default disposition */

static void
note(int sig)
{
	static const struct itimerval again = { { 0, AGAIN_USEC }, { 0, AGAIN_USEC } };
	int saved = errno;

	came = 1;
	if (sig == SIGINT || sig == SIGTERM) {
		first = first != 0 ? first : sig;
		ends = ends + 1;
	} else if (sig == SIGTSTP)
		tstp = 1;
	if (in_window && !timing) {
		timing = 1;
		setitimer(ITIMER_REAL, &again, NULL);
	}
	errno = saved;
}

void
work_signals_begin(void)
{
	struct sigaction action = { .sa_handler = note }, ignore = { .sa_handler = SIG_IGN };
	sigset_t blocked;

	came = ends = first = tstp = 0;
	sigemptyset(&blocked);
	for (size_t i = 0; i < NSIGNALS; i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask_before);
	mask_open = mask_before;
	for (size_t i = 0; i < NSIGNALS; i++) {
		int sig = signals[i];

		sigaction(sig, &action, &before[i]);
		sigdelset(&mask_open, sig);
		if (before[i].sa_handler == SIG_IGN && sig != SIGCHLD && sig != SIGALRM)
			sigaction(sig, &before[i], NULL);  /* nohup, and & in a script, mean it */
	}
	sigaction(SIGPIPE, &ignore, &pipe_before);
	sigemptyset(&changed);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
			sigaddset(&changed, sig);
}

void
work_signals_end(void)
{
	signal(SIGALRM, SIG_IGN);            /* one of a window's timer may be pending, and by default it kills */
	for (size_t i = 0; i < NSIGNALS; i++)
		sigaction(signals[i], &before[i], NULL);
	sigaction(SIGPIPE, &pipe_before, NULL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

bool
work_window_open(void)
{
	came = 0, in_window = 1;
	sigprocmask(SIG_SETMASK, &mask_open, NULL);
	if (!came)
		return true;
	work_window_close();
	return false;
}

void
work_window_close(void)
{
	static const struct itimerval never;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < NSIGNALS; i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	in_window = 0;
	if (timing)
		setitimer(ITIMER_REAL, &never, NULL);
	timing = 0;
}

void
work_sleep(mpq_time deadline)
{
	struct timespec ts;
	mpq_time left;

	if (deadline != MPQ_FOREVER) {
		left = deadline - mpq_now();
		left = left > 0 ? left : 0;
		ts = (struct timespec){ .tv_sec = (time_t)(left / NSEC), .tv_nsec = (long)(left % NSEC) };
	}
	ppoll(NULL, 0, deadline != MPQ_FOREVER ? &ts : NULL, &mask_open);
}

int
work_signals_ends(void)
{
	return ends;
}

int
work_signals_first(void)
{
	return first;
}

bool
work_signals_tstp(void)
{
	bool was = tstp != 0;

	tstp = 0;
	return was;
}

void
work_signals_suspend(void)
{
	struct sigaction action, stop = { .sa_handler = SIG_DFL };
	sigset_t set;

	sigaction(SIGTSTP, &stop, &action);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &set, NULL);    /* it stops here */
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGTSTP, &action, NULL);
}

void
work_signals_die(int sig)
{
	struct sigaction old;
	sigset_t set;

	if (sigaction(sig, NULL, &old) == -1 || old.sa_handler == SIG_IGN)
		return;
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

/* Between the unblocking and execve(2) a handler could run in the child, on memory that is still ours; so handlers go
 * too, although execve would reset them. */
void
work_signals_reset(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	static const unsigned long kernel_default[4];        /* SIG_DFL in the kernel's form */
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&changed, sig) == 1)
			sigaction(sig, &action, NULL);
	/* Those that the C library keeps to itself, and whose disposition it does not let anybody change: a parent that was
	 * not linked with it may have ignored them. */
	for (int sig = 32; sig < SIGRTMIN; sig++)
		syscall(SYS_rt_sigaction, sig, kernel_default, NULL, (size_t)_NSIG / 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
