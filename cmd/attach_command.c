/* SPDX-License-Identifier: ISC
 *
 * attach_command.c - COMMAND of mpq-attach, between two pipes.
 *
 * Whether it could be executed is known before anything else is done: a third pipe, which execve(2) closes, carries the
 * errno if not.
 */
#include <bsd/err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"

/* A pipe whose ends are no standard descriptors, also if some of those are closed. */
static int
open_pipe(int fd[2])
{
	if (pipe2(fd, O_CLOEXEC) == -1)
		return -1;
	for (int i = 0; i < 2; i++) {
		int low = fd[i];

		if (low > STDERR_FILENO)
			continue;
		fd[i] = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(low);
		if (fd[i] == -1)
			return -1;
	}
	return 0;
}

static void
become(char **argv, int in, int out, int report)
{
	int error;

	signal(SIGXFSZ, SIG_DFL);            /* ignored by cli.c; what it catches is the default after exec */
	if ((in == -1 || dup2(in, STDIN_FILENO) != -1) && (out == -1 || dup2(out, STDOUT_FILENO) != -1))
		execvp(argv[0], argv);
	error = errno;
	(void)!write(report, &error, sizeof error);
	_exit(ST_NOT_FOUND);
}

int
attach_command(char **argv, int *to, int *from, pid_t *pid)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, report[2], error = 0;
	ssize_t n;

	if (open_pipe(report) == -1 || (to != NULL && open_pipe(in) == -1) || (from != NULL && open_pipe(out) == -1) ||
	    (*pid = fork()) == -1) {
		warn("%s", argv[0]);
		return ST_ERROR;
	}
	if (*pid == 0)
		become(argv, in[0], out[1], report[1]);
	close(report[1]);
	while ((n = read(report[0], &error, sizeof error)) == -1 && errno == EINTR)
		;
	close(report[0]);
	if (to != NULL) {
		close(in[0]);
		*to = in[1];
	}
	if (from != NULL) {
		close(out[1]);
		*from = out[0];
	}
	if (n == 0)                          /* exec has closed it */
		return ST_GO_ON;
	waitpid(*pid, NULL, 0);
	warnc(error, "%s", argv[0]);
	return error == ENOENT ? ST_NOT_FOUND : ST_CANNOT_RUN;
}
