/* SPDX-License-Identifier: ISC
 *
 * alive.c - is a process still there? See traps 39 to 41.
 *
 * A pid alone says little: it comes back after three seconds of forking, and kill(pid, 0) is content with a zombie.
 * pidfd_open + poll tells zombies from processes whose first thread has exited (both show state Z in /proc), works
 * under hidepid, and for other users' processes. The start time tells a returned pid; a missing /proc/PID/stat proves
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alive.h"
#include "segment.h"

#define START_FIELD 22               /* of /proc/PID/stat, proc(5) */

/* "pid:[4026531836]". To follow the link, as stat(2) does, takes a quarter longer. */
uint64_t
name_space(const char *link)
{
	char text[40];
	const char *number;
	ssize_t n = readlink(link, text, sizeof text - 1);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	number = strchr(text, '[');
	return number != NULL ? strtoull(number + 1, NULL, 10) : 0;
}

static ssize_t
slurp(const char *path, char *text, size_t size)
{
	int fd = above_stdio(openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
	ssize_t n;

	if (fd == -1)
		return -1;
	n = read(fd, text, size - 1);
	close(fd);
	if (n >= 0)
		text[n] = '\0';
	return n;
}

/* /proc/PID/stat from where the name ends; NULL if it cannot be told. The name may hold anything, also parentheses, so its
 * end is looked for from behind. */
static const char *
behind_name(pid_t pid, char *text, size_t size)
{
	char path[40] = "/proc/self/stat";

	if (pid != SELF)
		snprintf(path, sizeof path, "/proc/%d/stat", pid);
	return slurp(path, text, size) > 0 ? strrchr(text, ')') : NULL;
}

char
process_state(pid_t pid)
{
	char text[512];
	const char *p = behind_name(pid, text, sizeof text);

	return p != NULL && p[1] == ' ' ? p[2] : (char)0;
}

/* Not inlined: where it is alone, a test can tell that its path is not the same twice (tests/crash). */
__attribute__((noinline)) uint64_t
start_time(pid_t pid)
{
	char text[512];
	const char *p = behind_name(pid, text, sizeof text);

	for (int field = 2; field < START_FIELD && p != NULL; field++)
		p = strchr(p + 1, ' ');
	return p != NULL ? strtoull(p + 1, NULL, 10) : 0;
}

bool
alive(pid_t pid, uint64_t start, bool same_time)
{
	struct pollfd pfd;
	uint64_t now;
	int fd;

	fd = above_stdio((int)syscall(SYS_pidfd_open, pid, 0));
	if (fd == -1 && (errno == ESRCH || errno == EINVAL))
		return false;                /* EINVAL: the number is that of a mere thread now */
	if (fd == -1)
		return kill(pid, 0) == 0 || errno != ESRCH;
	pfd = (struct pollfd){ .fd = fd, .events = POLLIN };
	if (poll(&pfd, 1, 0) == 1) {
		close(fd);
		return false;
	}
	now = start != 0 && same_time ? start_time(pid) : 0;
	close(fd);
	return now == 0 || now == start;
}

void
boot_id(uint8_t id[16])
{
	char text[64];
	const char *p = text;

	memset(id, 0, 16);
	if (slurp("/proc/sys/kernel/random/boot_id", text, sizeof text) <= 0)
		return;
	for (int i = 0; i < 16; i++) {
		unsigned byte;

		p += *p == '-';
		if (sscanf(p, "%2x", &byte) != 1)
			return;
		id[i] = (uint8_t)byte;
		p += 2;
	}
}
