/* SPDX-License-Identifier: ISC
 *
 * tools.c - what the benchmarks need beside the commands they measure:
 *
 *   spawn COUNT COMMAND [ARG ...] [-- COMMAND ...]   run the COMMANDs in turn, COUNT times each; output is dropped
 *   trip COUNT COMMAND [ARG ...]                     a line into COMMAND, wait for it at its output; COUNT times
 *   lines|nuls|lengths COUNT SIZE                    messages of SIZE bytes, the newline included; with lengths, SIZE
 *                                                    bytes and their length
 *   pump                                             input to output through a page-aligned buffer of 64 KiB
 *   slow USECS                                       reads 16 bytes, then sleeps; prints how often
 *
 * spawn and trip print `n=COUNT wall=SECONDS cpu=SECONDS`, their children's time included.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"

#define BUFFER 65536u
#define LINE "xxxxxxxxxxxxxxx\n"

static _Alignas(4096) char buffer[BUFFER];

/* ---- processes ------------------------------------------------------------------------------------------- */

static void
finished(pid_t pid, const char *command)
{
	int status;

	if (waitpid(pid, &status, 0) == -1)
		fail("waitpid", strerror(errno));
	if (status != 0)
		fail(command, "failed");
}

static void
run(char **command, const posix_spawn_file_actions_t *actions)
{
	extern char **environ;
	pid_t pid;
	int r;

	if ((r = posix_spawn(&pid, command[0], actions, NULL, command, environ)) != 0)
		fail(command[0], strerror(r));
	finished(pid, command[0]);
}

/* COMMAND must be a path: what a shell does once to find it shall not count. */
static int
spawn(unsigned long count, int n, char **words)
{
	posix_spawn_file_actions_t actions;
	unsigned long i, commands = 1;
	struct figures f;
	int k;

	for (k = 0; k < n; k++)
		if (strcmp(words[k], "--") == 0) {
			words[k] = NULL;
			commands++;
		}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	begin(&f);
	for (i = 0; i < count; i++)
		for (k = 0; k < n; k++)
			if (words[k] != NULL && (k == 0 || words[k - 1] == NULL))
				run(&words[k], &actions);
	end(&f);
	report(count * commands, &f);
	return 0;
}

static void
there_and_back(int to, int from, unsigned long count)
{
	const size_t size = sizeof(LINE) - 1;
	size_t done;
	ssize_t n;

	while (count-- > 0) {
		if (write(to, LINE, size) != (ssize_t)size)
			fail("write", "short");
		for (done = 0; done < size; done += (size_t)n)
			if ((n = read(from, buffer, sizeof(buffer))) <= 0)
				fail("read", "end");
		if (done != size || memcmp(buffer, LINE, size) != 0)
			fail("read", "another line");
	}
}

static int
trip(unsigned long count, char **command)
{
	struct figures f, whole;
	int in[2], out[2];
	pid_t pid;

	if (pipe(in) == -1 || pipe(out) == -1)
		fail("pipe", strerror(errno));
	begin(&whole);
	if ((pid = fork()) == -1)
		fail("fork", strerror(errno));
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]);
		close(in[1]);
		close(out[0]);
		close(out[1]);
		execvp(command[0], command);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	there_and_back(in[1], out[0], 1);
	begin(&f);
	there_and_back(in[1], out[0], count);
	end(&f);
	close(in[1]);
	while (read(out[0], buffer, sizeof(buffer)) > 0)
		;
	finished(pid, command[0]);
	end(&whole);
	/* The children's time is known when they have ended, with their start. */
	f.cpu = whole.cpu;
	report(count, &f);
	return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------------------- */

static void
write_all(const char *p, size_t n)
{
	ssize_t done;

	for (; n > 0; p += done, n -= (size_t)done)
		if ((done = write(1, p, n)) == -1)
			fail("write", strerror(errno));
}

static int
generate(const char *framing, unsigned long count, size_t size)
{
	const int lengths = strcmp(framing, "lengths") == 0;
	const size_t each = size + (lengths ? 4 : 0);
	const unsigned long batch = each < (1u << 20) ? (1u << 20) / each : 1;
	char *p, *at;
	unsigned long i;

	if ((p = malloc(batch * each)) == NULL)
		fail("malloc", "no memory");
	memset(p, 'x', batch * each);
	for (i = 0, at = p; i < batch; i++, at += each)
		if (lengths) {
			at[0] = (char)(size >> 24);
			at[1] = (char)(size >> 16);
			at[2] = (char)(size >> 8);
			at[3] = (char)size;
		} else
			at[each - 1] = *framing == 'l' ? '\n' : '\0';
	for (i = 0; i + batch <= count; i += batch)
		write_all(p, batch * each);
	write_all(p, (count - i) * each);
	free(p);
	return 0;
}

static int
pump(void)
{
	ssize_t n;

	while ((n = read(0, buffer, sizeof(buffer))) > 0)
		write_all(buffer, (size_t)n);
	return n != 0;
}

static int
slow(unsigned long usecs)
{
	unsigned long count = 0;
	size_t done = 0;
	ssize_t n;

	while ((n = read(0, buffer, 16 - done)) > 0)
		if ((done += (size_t)n) == 16) {
			done = 0;
			count++;
			usleep((useconds_t)usecs);
		}
	printf("%lu\n", count);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (argc > 3 && strcmp(what, "spawn") == 0)
		return spawn(number(argv[2], 1, 100000000), argc - 3, argv + 3);
	if (argc > 3 && strcmp(what, "trip") == 0)
		return trip(number(argv[2], 1, 100000000), argv + 3);
	if (argc == 4 && (strcmp(what, "lines") == 0 || strcmp(what, "nuls") == 0 || strcmp(what, "lengths") == 0))
		return generate(what, number(argv[2], 1, UINT32_MAX), number(argv[3], 1, 1u << 30));
	if (argc == 2 && strcmp(what, "pump") == 0)
		return pump();
	if (argc == 3 && strcmp(what, "slow") == 0)
		return slow(number(argv[2], 0, 900000));
	fprintf(stderr, "usage: tools spawn|trip|lines|nuls|lengths|pump|slow ..., see tools.c\n");
	return 2;
}
