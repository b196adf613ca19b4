/* SPDX-License-Identifier: ISC
 *
 * main.c - makes a program of a command. Compiled once for each, with COMMAND its function.
 *
 * One signal is arranged for the whole process: SIGBUS means that somebody has cut the queue's file short under our
 * mapping (there is no seal against that on a named file), which is damage and no crash.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"

int COMMAND(int argc, char **argv, struct io *io);

static void
on_bus_error(int sig)
{
	(void)sig;
	(void)!write(STDERR_FILENO, cli_cut_short, strlen(cli_cut_short));
	_exit(ST_ERROR);
}

/* A closed standard descriptor would be the number of the next file that is opened: the queue, perhaps. It is taken by
 * something that refuses what is done with it, as a closed one does. */
static void
fill_stdio(void)
{
	struct pollfd std[] = { { .fd = 0 }, { .fd = 1 }, { .fd = 2 } };

	if (poll(std, 3, 0) <= 0)
		return;
	for (int fd = 0; fd <= 2; fd++)      /* in order: open takes the lowest number */
		if (std[fd].revents & POLLNVAL)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* By the kernel's own call: musl's sigaction() makes another one before its first handler, for cancellation of threads.
 * The kernel wants to know where a handler returns to; this one does not. */
static void
catch_bus_error(void)
{
#ifdef __x86_64__
	struct {
		void (*handler)(int);
		unsigned long flags;
		void (*restorer)(int);
		unsigned long mask;
	} cut = { .handler = on_bus_error, .flags = 0x04000000 /* SA_RESTORER */, .restorer = _exit };

	syscall(SYS_rt_sigaction, SIGBUS, &cut, NULL, sizeof cut.mask);
#else
	struct sigaction cut = { .sa_handler = on_bus_error };

	sigaction(SIGBUS, &cut, NULL);
#endif
}

int
main(int argc, char **argv)
{
	struct io io = { STDIN_FILENO, STDOUT_FILENO };

	fill_stdio();
	catch_bus_error();
	return COMMAND(argc, argv, &io);
}
