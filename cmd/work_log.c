/* SPDX-License-Identifier: ISC
 *
 * work_log.c - a line for each run of COMMAND, in the columns of GNU parallel's job log.
 *
 * Each line is one write to a file opened for appending, so several workers may share it. Seq is the message's number
 * in the queue, from 1, so the lines of all of them add up. Command is quoted for a shell, and stays on its line.
 */
#include <bsd/err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "work.h"

#define NSEC 1000000000
static const char header[] = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

static int
append(int fd, const char *text, size_t n)
{
	ssize_t done;

	for (; n > 0; text += done, n -= (size_t)done)
		while ((done = write(fd, text, n)) <= 0)
			if (done == 0 || errno != EINTR)
				return done == 0 ? -EIO : -errno;
	return 0;
}

int
log_begin(struct work *w)
{
	struct stat st;
	int err = 0;

	w->log = spool_above(open(w->log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
	if (w->log == -1)
		err = -errno;
	else {
		flock(w->log, LOCK_EX);      /* workers that begin together write one header; else nothing depends on it */
		if (fstat(w->log, &st) == -1)
			err = -errno;
		else if (st.st_size == 0)
			err = append(w->log, header, sizeof header - 1);
		flock(w->log, LOCK_UN);
	}
	if (err == 0)
		return ST_GO_ON;
	warnc(-err, "%s", w->log_path);
	return ST_ERROR;
}

static bool
is_plain(const char *word)
{
	static const char plain[] =
	    "0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ@%+=:,./-";

	return *word != '\0' && word[strspn(word, plain)] == '\0';
}

/* A word as a shell would take it: bare, in '', or, with control characters, in $''. */
static void
print_word(FILE *to, const char *word)
{
	bool control = false;

	if (is_plain(word)) {
		fputs(word, to);
		return;
	}
	for (const char *p = word; *p != '\0'; p++)
		control |= (unsigned char)*p < ' ' || *p == 0x7f;
	fputs(control ? "$'" : "'", to);
	for (const char *p = word; *p != '\0'; p++) {
		if (*p == '\n')
			fputs("\\n", to);
		else if ((unsigned char)*p < ' ' || *p == 0x7f)
			fprintf(to, "\\%03o", (unsigned)(unsigned char)*p);
		else if (*p == '\'')
			fputs(control ? "\\'" : "'\\''", to);
		else if (*p == '\\' && control)
			fputs("\\\\", to);
		else
			putc(*p, to);
	}
	putc('\'', to);
}

int
log_line(struct work *w, const struct job *job, uint64_t received, int exitval, int sig)
{
	char **words = args_fill(w, &job->run) == MPQ_OK ? w->argv : w->command;
	char *line = NULL;
	size_t n = 0;
	FILE *to;
	int err;

	if ((to = open_memstream(&line, &n)) == NULL)
		return -errno;
	fprintf(to, "%llu\t:\t%lld.%03ld\t%10.3f\t%llu\t%llu\t%d\t%d\t", (unsigned long long)job->run.seq + 1,
	    (long long)job->started.tv_sec, job->started.tv_nsec / 1000000, (double)job->took / NSEC,
	    (unsigned long long)(w->use_stdin ? message_length(&job->run) : 0), (unsigned long long)received,
	    exitval, sig);
	for (int i = 0; words[i] != NULL; i++) {
		if (i > 0)
			putc(' ', to);
		print_word(to, words[i]);
	}
	putc('\n', to);
	err = fclose(to) == 0 ? append(w->log, line, n) : -ENOMEM;
	free(line);
	return err;
}
