/* SPDX-License-Identifier: ISC
 *
 * progress.c - how far a queue's tasks are. See progress.h.
 */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"

#define NSEC ((mpq_time)1000000000)
#define BAR_EVERY (NSEC / 5)         /* fast enough to look alive, slow enough to cost nothing */
#define LINE_EVERY (NSEC * 5)

static void
say(const char *text, size_t n)
{
	ssize_t done;

	for (; n > 0 && (done = write(STDERR_FILENO, text, n)) > 0; text += done, n -= (size_t)done)
		;
}

void
progress_begin(struct progress *p, const char *name, struct mpq *q)
{
	struct mpq_stat st;

	*p = (struct progress){ .name = name, .terminal = isatty(STDERR_FILENO) == 1, .began = mpq_now() };
	if (mpq_stat(q, &st) == MPQ_OK)
		p->done_before = st.dones;
}

static void
format_time(char *text, size_t size, double seconds)
{
	unsigned long s = seconds < 3e6 ? (unsigned long)(seconds + 0.5) : 3000000;

	if (s < 3600)
		snprintf(text, size, "%lu:%02lu", s / 60, s % 60);
	else
		snprintf(text, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
}

/* "name: 12/40 30% 3.1/s 0:09 left" */
static int
format_line(const struct progress *p, struct mpq *q, char *line, size_t size, double *share)
{
	double elapsed = (double)(mpq_now() - p->began) / (double)NSEC, rate;
	char left[24] = "?";
	struct mpq_stat st;

	if (mpq_stat(q, &st) != MPQ_OK)
		return -1;
	rate = elapsed > 0 && st.dones > p->done_before ? (double)(st.dones - p->done_before) / elapsed : 0;
	*share = st.puts != 0 ? (double)st.dones / (double)st.puts : 1;
	if (st.unfinished == 0)
		strcpy(left, "0:00");
	else if (rate > 0)
		format_time(left, sizeof left, (double)st.unfinished / rate);
	return snprintf(line, size, "%s: %llu/%llu %.0f%% %.*f/s %s left", p->name, (unsigned long long)st.dones,
	    (unsigned long long)st.puts, *share * 100, rate < 10 ? 1 : 0, rate, left);
}

static void
show_bar(struct progress *p, const char *line, int n, double share)
{
	struct winsize size = { .ws_col = 80 };
	char bar[512];
	int width, at, columns;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col == 0)
		size.ws_col = 80;
	columns = size.ws_col < 500 ? size.ws_col : 500;
	width = columns - n - 5;             /* " [", "]", and a free last column, so that no terminal wraps */
	at = snprintf(bar, sizeof bar, "\r\033[K%.*s", columns - 1, line);
	if (width >= 5) {
		at += snprintf(bar + at, sizeof bar - (size_t)at, " [");
		for (int i = 0; i < width; i++)
			bar[at++] = i < (int)(share * width) ? '#' : '.';
		bar[at++] = ']';
	}
	say(bar, (size_t)at);
	p->shown = true;
}

mpq_time
progress_show(struct progress *p, struct mpq *q, bool now_or_never)
{
	/* In the background a bar would write over whoever has the terminal. */
	bool hidden = p->terminal && tcgetpgrp(STDERR_FILENO) != getpgrp();
	mpq_time now = mpq_now(), every = p->terminal ? BAR_EVERY : LINE_EVERY;
	char line[400];
	double share;
	int n;

	if (!now_or_never && now - (p->last != 0 ? p->last : p->began) < every)
		return (p->last != 0 ? p->last : p->began) + every - now;
	p->last = now;
	if (hidden) {
		p->shown = false;
		return every;
	}
	n = format_line(p, q, line, sizeof line - 1, &share);
	if (n < 0)
		return every;
	if (p->terminal)
		show_bar(p, line, n, share);
	else {
		line[n] = '\n';
		say(line, (size_t)n + 1);
	}
	return every;
}

void
progress_hide(struct progress *p)
{
	if (p->shown)
		say("\r\033[K", 4);
	p->shown = false;
}

void
progress_end(struct progress *p, struct mpq *q)
{
	progress_show(p, q, true);
	progress_hide(p);
}
