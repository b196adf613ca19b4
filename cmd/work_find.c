/* SPDX-License-Identifier: ISC
 *
 * work_find.c - where COMMAND is: as execvp(3) would find it, but before any message is taken.
 *
 * A script whose interpreter is missing looks executable to access(2) and not to execve(2), so that is looked at too.
 */
#include <bsd/err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

#define DEFAULT_PATH "/bin:/usr/bin" /* without PATH, as cron jobs and execvp have it */

/* 0, or why this file cannot be run. */
static int
cannot_run(const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == -1 ? errno : 0;
}

/* The interpreter in the first line of a script, if it cannot be run; NULL: it can, or there is none. */
static const char *
bad_interpreter(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *name;
	ssize_t n;

	if (fd == -1)
		return NULL;                 /* executable and not readable: no script */
	n = read(fd, line, size - 1);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return NULL;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	name = line + 2 + strspn(line + 2, " \t");
	name[strcspn(name, " \t")] = '\0';
	return *name != '\0' && cannot_run(name) != 0 ? name : NULL;
}

/* Look along PATH. 0 and *found; else the errno that tells most: EACCES if one was there and could not be run. */
static int
search(const char *command, char **found)
{
	const char *dirs = getenv("PATH");
	int err = ENOENT, r;

	for (const char *dir = dirs != NULL ? dirs : DEFAULT_PATH, *end; dir != NULL; dir = *end == ':' ? end + 1 : NULL) {
		end = dir + strcspn(dir, ":");
		if (asprintf(found, "%.*s%s%s", (int)(end - dir), dir, end != dir ? "/" : "", command) == -1)
			return ENOMEM;
		if ((r = cannot_run(*found)) == 0)
			return 0;
		if (r != ENOENT && r != ENOTDIR && r != EISDIR)
			err = r;
		free(*found);
		*found = NULL;
	}
	return err;
}

int
work_find(const char *command, const char **path, char **found)
{
	char line[256];              /* the kernel reads no more of a first line */
	const char *interpreter;
	int err;

	*found = NULL;
	if (strchr(command, '/') != NULL)
		err = cannot_run(command);
	else
		err = *command == '\0' ? ENOENT : search(command, found);
	*path = *found != NULL ? *found : command;
	if (err != 0) {
		warnc(err, "%s", command);
		return err == ENOENT || err == ENOTDIR ? ST_NOT_FOUND : ST_CANNOT_RUN;
	}
	if ((interpreter = bad_interpreter(*path, line, sizeof line)) != NULL) {
		warnx("%s: its interpreter %s cannot be run", command, interpreter);
		return ST_CANNOT_RUN;
	}
	return ST_GO_ON;
}
