/* SPDX-License-Identifier: ISC
 *
 * place.c - names coming and going: create, remove, list.
 *
 * Creation writes a whole segment into a file without a name (O_TMPFILE), then gives it the name with linkat(2), which
 * fails if the name is taken: no process ever sees half a queue, and a killed create leaves nothing. Where there is no
 * /proc or no O_TMPFILE, a temporary name and link(2) do it; such a name begins with a dot, so it is never a queue's.
 *
 * Removal: flag the segment under its lock, unlink, wake. The flag is the point of no return: whoever is inside gets
 * MPQ_GONE, and if the remover is killed before the unlink, the next opener does it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "alive.h"
#include "lock.h"
#include "op.h"
#include "segment.h"

#define TMPFS 0x01021994

/* Network file systems: their locks and mappings do not keep what is promised here (linux/magic.h). */
static bool
is_network(int fd)
{
	static const unsigned long types[] = { 0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x01021997, 0x00c36400,
		0x5346414f, 0x73757245, 0x65735546 };
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return false;
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if ((unsigned long)fs.f_type == types[i])
			return true;
	return false;
}

static void
head_init(struct head *head, const struct mpq_bounds *bounds, bool boot)
{
	*head = (struct head){ .magic = MAGIC, .format = FORMAT, .word_size = sizeof(void *),
		.head_size = sizeof(struct head), .extent_size = sizeof(struct extent),
		.slot_size = sizeof(struct slot), .side_size = sizeof(struct side),
		.chunk_size = sizeof(struct chunk), .kind = bounds->kind,
		.time_ns = (uint32_t)name_space(TIME_SPACE), .name_space = name_space(PID_SPACE), .created = time(NULL),
		.chunks = FIRST_CHUNK, .pools = PAIR(BUILTIN_POOL / RECORD, BUILTIN_POOL / RECORD) };
	for (int i = 0; i < 2; i++) {
		head->side[i].maxsize = bounds->maxsize;
		head->side[i].maxbytes = bounds->maxbytes;
	}
	head->pool.state = (uint64_t)1 << 16;
	if (boot)
		boot_id(head->boot);
}

/* Fill a new file. */
static int
write_segment(int fd, const struct mpq_bounds *bounds, struct mpq_why *why)
{
	struct head head;
	struct statfs fs;
	bool disk = fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS;

	if (is_network(fd))
		return MPQ_NODIR;
	if (segment_too_long(fd, HEAD_BYTES))
		return -EFBIG;
	while (fallocate(fd, 0, 0, HEAD_BYTES) == -1) {
		if (errno == EINTR)
			continue;
		if (errno == ENOSPC)
			why->free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
		return errno == EOPNOTSUPP ? MPQ_NODIR : -errno;
	}
	head_init(&head, bounds, disk);
	if (pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
		return errno != 0 ? -errno : -EIO;
	if (fchmod(fd, bounds->mode) == -1)
		return -errno;
	return MPQ_OK;
}

static int
link_fd(int fd, const char *path)
{
	char proc[40];

	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
		return MPQ_OK;
	if (errno == ENOENT && linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0)
		return MPQ_OK;
	return errno == EEXIST ? MPQ_EXISTS : -errno;
}

/* Without O_TMPFILE or /proc: under a temporary name first. */
static int
create_by_name(const char *dir, const char *path, const struct mpq_bounds *bounds, struct mpq_why *why)
{
	char tmp[4096];
	int fd, err, n;

	n = snprintf(tmp, sizeof tmp, "%s/.mpq.%d.%lld", dir, getpid(), (long long)mpq_now());
	if (n < 0 || (size_t)n >= sizeof tmp)
		return -ENAMETOOLONG;
	fd = above_stdio(open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
	if (fd == -1)
		return -errno;
	if ((err = write_segment(fd, bounds, why)) == MPQ_OK && link(tmp, path) == -1)
		err = errno == EEXIST ? MPQ_EXISTS : -errno;
	unlink(tmp);
	close(fd);
	return err;
}

/* The name is taken; perhaps by a removal that was cut short, which opening finishes. */
static bool
was_leftover(const struct mpq_place *place, const char *name)
{
	struct mpq *q;
	int err = mpq_open(place, name, MPQ_WHOLE, &q, NULL);

	if (err == MPQ_OK)
		mpq_detach(q);
	return err == MPQ_GONE;
}

int
mpq_create(const struct mpq_place *place, const char *name, const struct mpq_bounds *bounds, struct mpq_why *why)
{
	const char *dir = place != NULL && place->dir != NULL ? place->dir : DEFAULT_DIR;
	struct mpq_why unused = { 0 };
	char path[4096];
	struct stat st;
	int err, fd, tries = 0;

	why = why != NULL ? why : &unused;
	if ((err = segment_path(place, name, path, sizeof path)) != MPQ_OK)
		return err;
	do {
		if (lstat(path, &st) == 0) {
			err = MPQ_EXISTS;    /* nothing is allocated in vain */
			continue;
		}
		fd = above_stdio(open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
		if (fd == -1 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
			err = create_by_name(dir, path, bounds, why);
			continue;
		}
		if (fd == -1)
			return -errno;
		if ((err = write_segment(fd, bounds, why)) == MPQ_OK)
			err = link_fd(fd, path);
		close(fd);
		if (err == -ENOENT || err == -EXDEV)
			err = create_by_name(dir, path, bounds, why);
	} while (err == MPQ_EXISTS && tries++ < 3 && was_leftover(place, name));
	return err;
}

/* ---- remove ---------------------------------------------------------------------------------------------- */

/* One unit under the lock: the name is still this segment's, flag it, unlink it. */
static int
remove_open(struct mpq *q, struct mpq_why *why)
{
	struct wakes wakes = { 0 };
	int err = op_enter(q, mpq_now() + 1000000000), unlinked;

	if (err != MPQ_OK) {
		*why = q->why;
		return err;
	}
	__atomic_fetch_or(&q->head->sick, HEAD_REMOVED, __ATOMIC_RELEASE);
	unlinked = segment_unlink_if(q->path, q->dev, q->ino);
	if (unlinked != MPQ_OK)
		__atomic_fetch_and(&q->head->sick, ~(uint64_t)HEAD_REMOVED, __ATOMIC_RELEASE);
	else
		wake_note_all(q, &wakes);
	op_leave(q, MPQ_OK, &wakes);
	return unlinked;
}

int
mpq_remove(const struct mpq_place *place, const char *name, int force, struct mpq_why *why)
{
	struct mpq_why unused = { 0 };
	char path[4096];
	struct stat st;
	struct mpq *q;
	int err;

	why = why != NULL ? why : &unused;
	if ((err = segment_path(place, name, path, sizeof path)) != MPQ_OK)
		return err;
	err = mpq_open(place, name, MPQ_WHOLE, &q, why);
	if (err == MPQ_OK) {
		err = remove_open(q, why);
		mpq_detach(q);
		if (err == MPQ_OK || (err < 0 && err != -ENOMEM))
			return err;
	}
	if (err == MPQ_GONE)
		return err;
	/* It cannot be spoken to. Denied: the directory decides. Anything else only goes by force, and only a file. */
	if (err != MPQ_DENIED && err != -EACCES && !force)
		return err;
	if (lstat(path, &st) == -1)
		return errno == ENOENT ? MPQ_GONE : -errno;
	if (S_ISDIR(st.st_mode))
		return MPQ_NOTQUEUE;
	return unlink(path) == 0 ? MPQ_OK : errno == ENOENT ? MPQ_GONE : -errno;
}

int
mpq_list(const struct mpq_place *place, int (*each)(const char *name, void *arg), void *arg)
{
	DIR *dir = opendir(place != NULL && place->dir != NULL ? place->dir : DEFAULT_DIR);
	struct dirent *entry;
	int r = 0;

	if (dir == NULL)
		return -errno;
	while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		if (mpq_name_check(entry->d_name + strlen(PREFIX)) == MPQ_OK)
			r = each(entry->d_name + strlen(PREFIX), arg);
	}
	if (r == 0 && errno != 0)
		r = -errno;
	closedir(dir);
	return r;
}
