/* SPDX-License-Identifier: ISC
 *
 * work_args.c - the arguments and the environment of a job.
 *
 * Every {} in an ARG becomes the message; without any, the message is the last argument. All texts of one job lie in
 * one buffer that the next job uses again: the child has executed COMMAND before the next one is started.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "work.h"

extern char **environ;

#define BRACES "{}"
#define PAGES_PER_ARG 32             /* MAX_ARG_STRLEN of the kernel */

static size_t
count_braces(const char *arg)
{
	size_t n = 0;

	for (; (arg = strstr(arg, BRACES)) != NULL; arg += strlen(BRACES))
		n++;
	return n;
}

/* Buffers only grow, and no further than the longest message that can be an argument. */
static int
have_room(struct work *w, size_t need)
{
	char *text;

	if (need <= w->text_size)
		return MPQ_OK;
	if ((text = realloc(w->text, need + need / 2)) == NULL)
		return -ENOMEM;
	w->text = text;
	w->text_size = need + need / 2;
	return MPQ_OK;
}

/* ARG with the message, which is `n` bytes at `msg`, written to `to`. Its end. */
static char *
replace(char *to, const char *arg, const char *msg, size_t n)
{
	const char *hit;

	for (; (hit = strstr(arg, BRACES)) != NULL; arg = hit + strlen(BRACES)) {
		to = (char *)mempcpy(to, arg, (size_t)(hit - arg));
		to = (char *)mempcpy(to, msg, n);
	}
	return stpcpy(to, arg) + 1;
}

int
args_fill(struct work *w, const struct mpq_run *run)
{
	uint64_t length = message_length(run), longest = (uint64_t)sysconf(_SC_PAGESIZE) * PAGES_PER_ARG;
	uint64_t most = (uint64_t)sysconf(_SC_ARG_MAX);
	size_t need = length + 1;
	char *to;
	int err;

	for (int i = 0; i < w->nargs; i++)
		w->argv[i] = w->command[i];
	w->argv[w->nargs] = NULL;
	if (w->use_stdin)
		return MPQ_OK;
	if (length >= longest)
		return -E2BIG;
	for (int i = 1; w->braces && i < w->nargs; i++) {
		need += strlen(w->command[i]) + 1 + count_braces(w->command[i]) * length;
		if (need > most + longest)
			return -E2BIG;
	}
	if ((err = have_room(w, need)) != MPQ_OK || (err = message_copy(w->q, run, w->text)) != MPQ_OK)
		return err;
	if (memchr(w->text, '\0', length) != NULL)
		return -EINVAL;
	w->text[length] = '\0';
	if (!w->braces) {
		w->argv[w->nargs] = w->text;
		w->argv[w->nargs + 1] = NULL;
		return MPQ_OK;
	}
	to = w->text + length + 1;
	for (int i = 1; i < w->nargs; i++) {
		if (strstr(w->command[i], BRACES) == NULL)
			continue;
		w->argv[i] = to;
		to = replace(to, w->command[i], w->text, length);
	}
	return MPQ_OK;
}

static bool
is_ours(const char *variable)
{
	static const char *const names[] = { "MPQ_QUEUE=", "MPQ_JOB=", "MPQ_ATTEMPT=" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

bool
args_begin(struct work *w)
{
	size_t n = 0, kept = 0;

	for (int i = 1; i < w->nargs; i++)
		w->braces |= strstr(w->command[i], BRACES) != NULL;
	while (environ[n] != NULL)
		n++;
	w->env = calloc(n + 4, sizeof *w->env);
	/* A word before it: for the shell that runs a script without #!. Behind it: the message, and the end. */
	w->block = calloc((size_t)w->nargs + 3, sizeof *w->block);
	if (w->env == NULL || w->block == NULL)
		return false;
	w->argv = w->block + 1;
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			w->env[kept++] = environ[i];
	snprintf(w->env_queue, sizeof w->env_queue, "MPQ_QUEUE=%s", w->cli.operands[0]);
	w->env[kept++] = w->env_queue;
	w->env[kept++] = w->env_job;
	w->env[kept] = w->env_attempt;
	return true;
}

void
args_end(struct work *w)
{
	free(w->env);
	free(w->text);
	free(w->block);
}
