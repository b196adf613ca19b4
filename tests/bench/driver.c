/* SPDX-License-Identifier: ISC
 *
 * driver.c - the same work for every channel: how long, and how much machine time, of all processes together.
 *
 *   lib COUNT PROCS          PROCS processes put and get 16 bytes on one channel, COUNT times in all
 *   pingpong COUNT           two processes, one message there and one back
 *   stream COUNT SIZE        one process puts, another gets
 *   consumers COUNT N        N processes wait in get, this one puts COUNT messages as fast as it can
 *   consumers COUNT N GAP    or one every GAP microseconds; value: how often a consumer fell asleep, per message
 *   share COUNT N            consumers that take runs of messages, where the channel has that
 *
 * Each prints `n=COUNT wall=SECONDS cpu=SECONDS`. Starting and ending processes is not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

#define SMALL 16u
#define MAX_PROCS 4096u

struct process {
	pid_t pid;
	int ready;
	unsigned long got;
	double begun, ended, cpu;
	char pad[64 - 2 * sizeof(int) - sizeof(unsigned long) - 3 * sizeof(double)];
};

static struct process *procs;        /* shared */
static int gate[2];                  /* a pipe: its end is what all wait for, asleep, until all are ready */

/* ---- processes ------------------------------------------------------------------------------------------- */

static void
share_memory(void)
{
	void *p = mmap(NULL, MAX_PROCS * sizeof(struct process), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap", strerror(errno));
	if (pipe2(gate, O_CLOEXEC) == -1)
		fail("pipe", strerror(errno));
	procs = p;
}

/* A child opens the channel, says that it is ready, waits for the gate, works, and leaves its figures. */
static void
spawn(unsigned i, void (*work)(struct process *, unsigned long), unsigned long n)
{
	struct process *me = &procs[i];
	pid_t pid, parent = getpid();

	if ((pid = fork()) == -1)
		fail("fork", strerror(errno));
	if (pid != 0) {
		me->pid = pid;
		return;
	}
	/* A parent that fails leaves nobody behind. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(1);
	close(gate[1]);
	channel_open();
	__atomic_store_n(&me->ready, 1, __ATOMIC_RELEASE);
	if (read(gate[0], &pid, 1) != 0)
		_exit(1);
	me->cpu = -read_clock(CLOCK_PROCESS_CPUTIME_ID);
	me->begun = read_clock(CLOCK_MONOTONIC);
	work(me, n);
	me->ended = read_clock(CLOCK_MONOTONIC);
	me->cpu += read_clock(CLOCK_PROCESS_CPUTIME_ID);
	_exit(0);
}

static void
open_gate(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		while (!__atomic_load_n(&procs[i].ready, __ATOMIC_ACQUIRE)) {
			if (waitpid(procs[i].pid, NULL, WNOHANG) != 0)
				fail("a process", "ended early");
			usleep(1000);
		}
	close(gate[1]);
}

/* From the first that began to the last that ended; the machine time of all. */
static void
gather(unsigned n, struct figures *f)
{
	double first = 0, last = 0;
	unsigned i;
	int status;

	f->cpu = 0;
	for (i = 0; i < n; i++) {
		if (waitpid(procs[i].pid, &status, 0) == -1 || status != 0)
			fail("a process", "failed");
		if (i == 0 || procs[i].begun < first)
			first = procs[i].begun;
		if (i == 0 || procs[i].ended > last)
			last = procs[i].ended;
		f->cpu += procs[i].cpu;
	}
	f->wall = last - first;
}

/* ---- what the processes do ------------------------------------------------------------------------------- */

static size_t size = SMALL;
static char *buffer;

static void
make(void)
{
	if (size > channel_limit)
		fail("message", "too long for this channel");
	/* Aligned: bytes into a page, this alone can cost several times the rest. */
	if (posix_memalign((void **)&buffer, 4096, size) != 0)
		fail("posix_memalign", "no memory");
	memset(buffer, 'x', size);
	share_memory();
	channel_make(size);
}

static void
put_and_get(struct process *me, unsigned long n)
{
	(void)me;
	while (n-- > 0) {
		channel_put(0, buffer, size);
		channel_get(0, buffer, size);
	}
}

static void
only_put(struct process *me, unsigned long n)
{
	(void)me;
	while (n-- > 0)
		channel_put(0, buffer, size);
}

static void
only_get(struct process *me, unsigned long n)
{
	(void)me;
	while (n-- > 0)
		channel_get(0, buffer, size);
}

static void
ping(struct process *me, unsigned long n)
{
	(void)me;
	while (n-- > 0) {
		channel_put(0, buffer, size);
		channel_get(1, buffer, size);
	}
}

static void
pong(struct process *me, unsigned long n)
{
	(void)me;
	while (n-- > 0) {
		channel_get(0, buffer, size);
		channel_put(1, buffer, size);
	}
}

static void
consume(struct process *me, unsigned long n)
{
	(void)n;
	for (;;) {
		channel_get(0, buffer, size);
		__atomic_store_n(&me->got, me->got + 1, __ATOMIC_RELAXED);
	}
}

static void
consume_runs(struct process *me, unsigned long n)
{
	(void)n;
	for (;;)
		__atomic_store_n(&me->got, me->got + channel_take(0, buffer, size), __ATOMIC_RELAXED);
}

/* ---- consumers: their parent reads their clocks ----------------------------------------------------------- */

/* A word of /proc/PID/FILE: the text behind `key`. */
static const char *
proc(pid_t pid, const char *file, const char *key)
{
	static char text[4096];
	char path[64], *at;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if ((f = fopen(path, "r")) == NULL)
		fail(path, strerror(errno));
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	if ((at = strstr(text, key)) == NULL)
		fail(path, "what is this?");
	return at + strlen(key);
}

static void
all_asleep(unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		while (*proc(procs[i].pid, "stat", ") ") != 'S')
			usleep(1000);
}

static double
clocks(unsigned n)
{
	double sum = 0;
	clockid_t clock;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (clock_getcpuclockid(procs[i].pid, &clock) != 0)
			fail("a consumer", "ended");
		sum += read_clock(clock);
	}
	return sum;
}

static unsigned long
sleeps(unsigned n)
{
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		sum += strtoul(proc(procs[i].pid, "status", "\nvoluntary_ctxt_switches:"), NULL, 10);
	return sum;
}

static unsigned long
got(unsigned n)
{
	unsigned long sum = 0;
	unsigned i;

	for (i = 0; i < n; i++)
		sum += __atomic_load_n(&procs[i].got, __ATOMIC_RELAXED);
	return sum;
}

static void
produce(unsigned long count, unsigned long gap)
{
	struct timespec pause = { (time_t)(gap / 1000000), (long)(gap % 1000000 * 1000) };

	while (count-- > 0) {
		channel_put(0, buffer, size);
		if (gap != 0)
			nanosleep(&pause, NULL);
	}
}

static void
consumers(unsigned long count, unsigned n, unsigned long gap, void (*how)(struct process *, unsigned long))
{
	struct figures f;
	unsigned long slept;
	double cpu, own;
	unsigned i;

	for (i = 0; i < n; i++)
		spawn(i, how, 0);
	open_gate(n);
	usleep(50000);
	all_asleep(n);
	channel_open();
	slept = sleeps(n);
	cpu = clocks(n);
	own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	f.wall = read_clock(CLOCK_MONOTONIC);
	produce(count, gap);
	own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
	while (got(n) < count)
		usleep(200);
	f.wall = read_clock(CLOCK_MONOTONIC) - f.wall;
	f.cpu = own + clocks(n) - cpu;
	slept = sleeps(n) - slept;
	if (gap != 0)
		printf("value=%.3f ", (double)slept / (double)count);
	report(count, &f);
	fflush(stdout);
	for (i = 0; i < n; i++)
		kill(procs[i].pid, SIGKILL);
	for (i = 0; i < n; i++)
		waitpid(procs[i].pid, NULL, 0);
}

/* ---- main ------------------------------------------------------------------------------------------------ */

static void
usage(void)
{
	fprintf(stderr, "usage: lib COUNT PROCS | pingpong COUNT | stream COUNT SIZE | consumers COUNT N [GAP] |\n"
	    "       share COUNT N\n%s", channel_usage);
	exit(2);
}

static void
two(void (*first)(struct process *, unsigned long), void (*second)(struct process *, unsigned long), unsigned long n)
{
	struct figures f;

	spawn(0, first, n);
	spawn(1, second, n);
	open_gate(2);
	gather(2, &f);
	report(n, &f);
}

static void
lib(unsigned long count, unsigned n)
{
	struct figures f;
	unsigned i;

	for (i = 0; i < n; i++)
		spawn(i, put_and_get, count / n);
	open_gate(n);
	gather(n, &f);
	report(count / n * n, &f);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	unsigned long count, gap;
	int r;

	if ((r = channel_extra(argc, argv)) != -1)
		return r;
	if (argc < 3)
		usage();
	count = number(argv[2], 1, 1000000000);
	gap = argc == 5 && strcmp(what, "consumers") == 0 ? number(argv[4], 1, 1000000) : 0;
	if (argc == 4 && strcmp(what, "stream") == 0)
		size = number(argv[3], 1, 1 << 30);
	make();
	if (argc == 4 && strcmp(what, "lib") == 0)
		lib(count, (unsigned)number(argv[3], 1, MAX_PROCS));
	else if (argc == 3 && strcmp(what, "pingpong") == 0)
		two(ping, pong, count);
	else if (argc == 4 && strcmp(what, "stream") == 0)
		two(only_put, only_get, count);
	else if ((argc == 4 || gap != 0) && strcmp(what, "consumers") == 0)
		consumers(count, (unsigned)number(argv[3], 1, MAX_PROCS), gap, consume);
	else if (argc == 4 && strcmp(what, "share") == 0)
		consumers(count, (unsigned)number(argv[3], 1, MAX_PROCS), 0, consume_runs);
	else
		usage();
	channel_remove();
	return 0;
}
