/* SPDX-License-Identifier: ISC
 *
 * segment.c - files: races of create and remove, planted names, growth over several views, full file systems.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "handle.h"
#include "room.h"

#define MIB ((size_t)1 << 20)

static unsigned char *buffer;

enum { RACERS = 6, ROUNDS = 60 };

struct race {
	volatile int round, won[ROUNDS], lost[ROUNDS], wrong;
	volatile int at[RACERS];
};
static struct race *race;

static void
race_all(void (*racer)(int round))
{
	pid_t pid[RACERS];
	int bad = 0;

	memset((void *)race, 0, sizeof *race);
	race->round = -1;
	for (int i = 0; i < RACERS; i++) {
		if ((pid[i] = child()) != 0)
			continue;
		for (int n = 0; n < ROUNDS; n++) {
			race->at[i] = n + 1;
			while (race->round < n)
				sched_yield();
			racer(n);
		}
		_exit(0);
	}
	for (int n = 0; n < ROUNDS; n++) {
		for (int i = 0; i < RACERS; i++)
			UNTIL(race->at[i] == n + 1);
		race->round = n;
	}
	for (int i = 0; i < RACERS; i++)
		bad += reap_child(pid[i]) != 0;
	for (int n = 0; n < ROUNDS; n++)
		bad += race->won[n] != 1 || race->lost[n] != RACERS - 1;
	for (int n = 0; n < ROUNDS && bad != 0; n++)
		if (race->won[n] != 1 || race->lost[n] != RACERS - 1)
			diag("round %d: %d won, %d lost", n, race->won[n], race->lost[n]);
	if (race->wrong != 0)
		diag("an unexpected answer: %s", mpq_strerror(race->wrong));
	OK(bad == 0 && race->wrong == 0, "%d rounds of %d racers: one winner each", ROUNDS, RACERS);
}

static void
create_racer(int round)
{
	struct mpq_bounds bounds = { .mode = 0600 };
	struct mpq_stat st;
	struct mpq *q;
	char name[20];
	int err;

	snprintf(name, sizeof name, "race%d", round);
	err = mpq_create(&room, name, &bounds, NULL);
	__atomic_fetch_add(err == MPQ_OK ? &race->won[round] : &race->lost[round], 1, __ATOMIC_RELAXED);
	if ((err != MPQ_OK && err != MPQ_EXISTS) || (err = mpq_open(&room, name, 0, &q, NULL)) != MPQ_OK)
		race->wrong = err;
	else {
		if ((err = mpq_put(q, "x", 1, MPQ_NOW)) != MPQ_OK || (err = mpq_stat(q, &st)) != MPQ_OK ||
		    st.mode != 0600)
			race->wrong = err != MPQ_OK ? err : -EACCES;
		mpq_detach(q);
	}
}

static void
remove_racer(int round)
{
	char name[20];
	int err;

	snprintf(name, sizeof name, "race%d", round);
	err = mpq_remove(&room, name, 0, NULL);
	__atomic_fetch_add(err == MPQ_OK ? &race->won[round] : &race->lost[round], 1, __ATOMIC_RELAXED);
	if (err != MPQ_OK && err != MPQ_GONE)
		race->wrong = err;
}

static int
count_name(const char *name, void *arg)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static void
races(void)
{
	int n = 0;

	race_all(create_racer);
	IS(mpq_list(&room, count_name, &n), 0, "list");
	IS(n, ROUNDS, "every name is there once");
	race_all(remove_racer);
	n = 0;
	mpq_list(&room, count_name, &n);
	IS(n, 0, "nothing is left");
}

static void
gone(void)
{
	struct mpq *q = room_queue("old", 0, 0, MPQ_QUEUE), *new;
	struct mpq_stat st;
	char text[8];
	size_t len;
	pid_t pid;

	if ((pid = child()) == 0)
		_exit(mpq_get(room_open("old"), text, sizeof text, &len, MPQ_FOREVER));
	UNTIL(mpq_stat(q, &st) == MPQ_OK && st.getters == 1);
	IS(mpq_remove(&room, "old", 0, NULL), MPQ_OK, "remove");
	IS(reap_child(pid), MPQ_GONE, "a sleeper is told");
	IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_GONE, "and who has it open");
	new = room_queue("old", 0, 0, MPQ_QUEUE);
	IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_GONE, "also when there is another of that name");
	IS(mpq_get(new, text, sizeof text, &len, MPQ_NOW), MPQ_EMPTY, "which is empty");
	mpq_detach(new);
	mpq_detach(q);
}

/* Who removes is killed after he has flagged the segment and before he unlinks the name: whoever comes next finishes it. */
static void
half_removed(void)
{
	static const char *const next[] = { "create", "open", "remove" };
	struct mpq_bounds bounds = { .mode = 0600 };
	char path[120];
	struct mpq *q, *other;

	snprintf(path, sizeof path, "%s/mpq.half", room_dir);
	for (int who = 0; who < 3; who++) {
		q = room_queue("half", 0, 0, MPQ_QUEUE);
		IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_OK, "put");
		__atomic_fetch_or(&q->head->sick, HEAD_REMOVED, __ATOMIC_RELAXED);
		if (who == 0) {
			IS(mpq_create(&room, "half", &bounds, NULL), MPQ_OK, "half removed; %s makes a new one", next[who]);
			other = room_open("half");
			IS(mpq_get(other, (char[8]){ 0 }, 8, &(size_t){ 0 }, MPQ_NOW), MPQ_EMPTY, "it is empty");
			mpq_detach(other);
			IS(mpq_remove(&room, "half", 0, NULL), MPQ_OK, "and can be removed");
		} else {
			IS(who == 1 ? mpq_open(&room, "half", 0, &other, NULL) : mpq_remove(&room, "half", 0, NULL), MPQ_GONE,
			    "half removed; %s finds none", next[who]);
		}
		OK(access(path, F_OK) == -1 && errno == ENOENT, "no file is left");
		IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_GONE, "who has it open is told");
		mpq_detach(q);
	}
}

/* What others have planted is refused at once. */
static void
planted(void)
{
	static const char *const kinds[] = { "fifo", "link", "loop", "directory", "empty", "text", "twice" };
	char path[7][120], target[120];
	struct mpq *q = room_queue("target", 0, 0, MPQ_QUEUE);
	int fd;

	for (int i = 0; i < 7; i++)
		snprintf(path[i], sizeof path[i], "%s/mpq.%s", room_dir, kinds[i]);
	snprintf(target, sizeof target, "%s/mpq.target", room_dir);
	mpq_detach(q);
	OK(mkfifo(path[0], 0600) == 0 && symlink(target, path[1]) == 0 && symlink(path[2], path[2]) == 0 &&
	    mkdir(path[3], 0700) == 0, "plant things");
	fd = open(path[4], O_CREAT | O_WRONLY | O_CLOEXEC, 0600), close(fd);
	fd = open(path[5], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	for (int i = 0; i < 1000; i++)
		if (write(fd, "some text\n", 10) != 10)
			break;
	close(fd);
	OK(link(target, path[6]) == 0, "and a second name");
	for (int i = 0; i < 7; i++)
		IS(mpq_open(&room, kinds[i], 0, &q, NULL), MPQ_NOTQUEUE, "%s is no queue", kinds[i]);
	IS(mpq_remove(&room, "directory", 1, NULL), MPQ_NOTQUEUE, "a directory is not removed");
	rmdir(path[3]);
	IS(mpq_remove(&room, "text", 0, NULL), MPQ_NOTQUEUE, "nor other files");
	IS(mpq_remove(&room, "text", 1, NULL), MPQ_OK, "but by force");
	for (int i = 0; i < 7; i++)
		unlink(path[i]);
}

/* Beyond the first view of 16 MiB, and the next. */
static void
growth(void)
{
	struct mpq *q = room_queue("big", 0, 0, MPQ_QUEUE), *early = room_open("big"), *late;
	int n = 90, bad = 0;
	size_t len;

	for (int i = 0; i < n; i++) {
		memset(buffer, 'a' + i % 26, MIB);
		bad += mpq_put(q, buffer, MIB, MPQ_NOW) != MPQ_OK;
	}
	OK(bad == 0, "put %d MiB", n);
	IS(mpq_check(q), MPQ_OK, "the queue is whole");
	late = room_open("big");
	for (int i = 0; i < n; i++) {
		bad += mpq_get(i % 3 == 0 ? early : i % 3 == 1 ? late : q, buffer, MIB, &len, MPQ_NOW) != MPQ_OK;
		bad += len != MIB || buffer[0] != 'a' + i % 26 || buffer[MIB - 1] != 'a' + i % 26;
	}
	OK(bad == 0, "three handles with different views get them");
	IS(mpq_check(early), MPQ_OK, "the queue is whole");
	mpq_detach(early), mpq_detach(late), mpq_detach(q);
}

/* Put until there is no more space; then it can be got, and put again. 0, or what went wrong. */
static int
fill_and_empty(const char *name, int expected)
{
	struct mpq *q = room_open(name);
	int err = 0, n = 0;
	size_t len;

	memset(buffer, 'f', MIB);
	while (n < 10000 && (err = mpq_put(q, buffer, 3000 + (size_t)n % 7 * 4000, MPQ_NOW)) == MPQ_OK)
		n++;
	if (err != expected || n < 1)
		return 2;
	if (mpq_check(q) != MPQ_OK)
		return 3;
	for (int i = 0; i < n; i++)
		if (mpq_get(q, buffer, MIB, &len, MPQ_NOW) != MPQ_OK || len != 3000 + (size_t)i % 7 * 4000)
			return 4;
	if (mpq_put(q, buffer, 3000, MPQ_NOW) != MPQ_OK || mpq_get(q, buffer, MIB, &len, MPQ_NOW) != MPQ_OK)
		return 5;
	mpq_detach(q);
	return 0;
}

static void
limited(void)
{
	struct rlimit limit = { 600000, 600000 };
	pid_t pid;

	mpq_detach(room_queue("limited", 0, 0, MPQ_QUEUE));
	if ((pid = child()) == 0) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		_exit(fill_and_empty("limited", -EFBIG));
	}
	IS(reap_child(pid), 0, "a limit of file size is an error of put, and nothing is lost");
}

static void
full(void)
{
	static const int kib[] = { 64, 256, 1024 };
	char options[40];
	pid_t pid;
	int status;

	for (int i = 0; i < 3; i++) {
		if ((pid = child()) == 0) {
			snprintf(options, sizeof options, "size=%dk", kib[i]);
			if (unshare(CLONE_NEWNS) == -1 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
			    mount("tmpfs", room_dir, "tmpfs", 0, options) == -1)
				_exit(77);
			mpq_detach(room_queue("full", 0, 0, MPQ_QUEUE));
			_exit(fill_and_empty("full", -ENOSPC));
		}
		status = reap_child(pid);
		if (status == 77)
			skip("a full file system", "mounting one takes a privilege");
		else
			IS(status, 0, "a full file system of %d KiB is an error of put, and nothing is lost", kib[i]);
	}
}

/* The only chunk has one page, and the file ends there. A peer says that it has all of them, and that the tail is far behind,
 * before the next call or while a handle that knows better is in use: a refusal, and nothing beyond the file is touched
 * (that would be SIGBUS). */
static int
lie(bool known, uint64_t use, uint64_t tail, uint64_t fresh)
{
	struct mpq *q = room_queue("lie", 0, 0, MPQ_QUEUE);
	char path[200], text[4000] = "x";
	struct head *head;
	size_t len;
	int fd, err;

	if (mpq_put(q, text, 1, MPQ_NOW) != MPQ_OK)
		return 200;
	if (!known) {
		mpq_detach(q);
		q = room_open("lie");
	}
	snprintf(path, sizeof path, "%s/mpq.lie", room_dir);
	fd = open(path, O_RDWR);
	head = mmap(NULL, HEAD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (head == MAP_FAILED)
		return 201;
	((struct chunk *)(void *)((unsigned char *)head + descriptor_offset(FIRST_CHUNK)))->use = use;
	if (tail != 0)
		head->side[0].tail = tail;
	if (fresh != 0)
		head->side[0].fresh = fresh;
	err = mpq_put(q, text, sizeof text, MPQ_NOW);
	if (err == MPQ_OK)
		err = mpq_get(q, text, sizeof text, &len, MPQ_NOW);
	(void)mpq_check(q);
	mpq_detach(q);
	return err;
}

static void
beyond_the_file(void)
{
	const uint64_t all = PAIR(1, CHUNK_PAGES), one = PAIR(1, 1);
	const uint32_t behind = (uint32_t)(chunk_offset(FIRST_CHUNK) / RECORD) + PAGE / RECORD + 3;

	for (int known = 0; known < 2; known++) {
		pid_t pid = child();

		if (pid == 0)
			_exit(lie(known, all, PAIR(FIRST_CHUNK, 40000), 0) == MPQ_DAMAGED ? 0 : 1);
		IS(reap_child(pid), 0, "a chunk that ends before its pages do, %s", known ? "in use" : "opened");
		if ((pid = child()) == 0)
			_exit(lie(known, one, 0, PAIR(behind, behind)) == MPQ_DAMAGED ? 0 : 1);
		IS(reap_child(pid), 0, "a record behind the end, %s", known ? "in use" : "opened");
	}
}

static void
names(void)
{
	char name[MPQ_NAME_MAX + 2];

	memset(name, 'n', sizeof name);
	name[MPQ_NAME_MAX + 1] = '\0';
	IS(mpq_name_check(name), MPQ_BADNAME, "a name too long");
	name[MPQ_NAME_MAX] = '\0';
	IS(mpq_name_check(name), MPQ_OK, "the longest name");
	OK(mpq_name_check("") == MPQ_BADNAME && mpq_name_check("a/b") == MPQ_BADNAME && mpq_name_check(".a") ==
	    MPQ_BADNAME && mpq_name_check("-a") == MPQ_BADNAME && mpq_name_check("a\n") == MPQ_BADNAME, "bad names");
}

int
main(void)
{
	room_make();
	race = shared(sizeof *race);
	buffer = malloc(MIB);
	names();
	races();
	gone();
	half_removed();
	planted();
	growth();
	beyond_the_file();
	limited();
	full();
	return tap_end();
}
