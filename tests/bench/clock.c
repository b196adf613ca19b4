/* SPDX-License-Identifier: ISC
 *
 * clock.c - wall and machine time, and the numbers they are reported with.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "channel.h"

void
fail(const char *what, const char *why)
{
	fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

unsigned long
number(const char *text, unsigned long min, unsigned long max)
{
	char *end_of;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end_of, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end_of != '\0' || n < min || n > max)
		fail(text, "not a number in range");
	return n;
}

double
read_clock(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t) == -1)
		fail("clock_gettime", strerror(errno));
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double
children(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

void
begin(struct figures *f)
{
	f->cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) + children();
	f->wall = read_clock(CLOCK_MONOTONIC);
}

void
end(struct figures *f)
{
	f->wall = read_clock(CLOCK_MONOTONIC) - f->wall;
	f->cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID) + children() - f->cpu;
}

void
report(unsigned long n, const struct figures *f)
{
	printf("n=%lu wall=%.6f cpu=%.6f\n", n, f->wall, f->cpu);
}
