/* SPDX-License-Identifier: ISC
 *
 * work_watchdog.c - a child that ends the process groups of the running jobs when the worker is killed.
 *
 * It sleeps in a read from a pipe whose other end only the worker has; when that returns, the worker is gone. Which
 * groups are running stands in a shared page, so that a job costs no system call here. A job writes its own number
 * there before it executes COMMAND; until then it has the worker's end of the pipe as well, so the watchdog cannot
 * look too early. The worker clears the number when the job has ended and before it is waited for: until then the
 * number cannot be another's.
 *
 * The watchdog is in a session of its own, has another name, and blocks all signals: what is sent to the worker and
 * its terminal does not reach it.
 */
#include <bsd/err.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "work.h"

static _Noreturn void
watch(const struct watchdog *dog, int fd)
{
	pid_t group;
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "mpq-watchdog");
	dup2(fd, STDIN_FILENO);
	closefrom(STDIN_FILENO + 1);
	if (chdir("/") == -1)
		{ }                          /* then some directory stays in use: no harm */
	while (read(STDIN_FILENO, &byte, 1) == -1 && errno == EINTR)
		;
	for (size_t i = 0; i < dog->size / sizeof *dog->groups; i++)
		if ((group = __atomic_load_n(&dog->groups[i], __ATOMIC_ACQUIRE)) > 0)
			kill(-group, SIGKILL);
	_exit(0);
}

static int
start(struct watchdog *dog)
{
	int fds[2], saved;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	fds[0] = spool_above(fds[0]);
	dog->fd = spool_above(fds[1]);
	dog->pid = fds[0] != -1 && dog->fd != -1 ? fork() : -1;
	if (dog->pid == 0)
		watch(dog, fds[0]);
	saved = errno;
	close(fds[0]);
	errno = saved;
	return dog->pid == -1 ? -1 : 0;
}

int
watchdog_begin(struct watchdog *dog, uint64_t n)
{
	dog->size = n * sizeof *dog->groups;
	dog->groups = mmap(NULL, dog->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (dog->groups == MAP_FAILED)
		dog->groups = NULL;
	if (dog->groups != NULL && start(dog) == 0)
		return ST_GO_ON;
	warn("watchdog");
	return ST_ERROR;
}

void
watchdog_again(struct watchdog *dog)
{
	close(dog->fd);
	if (start(dog) == -1)
		warn("watchdog");
}

void
watchdog_end(struct watchdog *dog)
{
	if (dog->groups == NULL)
		return;
	if (dog->fd > 0)
		close(dog->fd);
	while (dog->pid > 0 && waitpid(dog->pid, NULL, 0) == -1 && errno == EINTR)
		;
	munmap(dog->groups, dog->size);
}
