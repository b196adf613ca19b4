/* SPDX-License-Identifier: ISC
 *
 * segment.c - names to files to mappings: paths, careful opening, views, allocation.
 *
 * Anybody can plant a name in /dev/shm (trap 34): a FIFO would hang an open, a symlink lead elsewhere, another user's
 * file make us trust his bytes. So: O_NONBLOCK, O_NOFOLLOW, never O_CREAT, and fstat before anything is believed.
 *
 * A view is a mapping of the file from its start. The first covers 16 MiB, far beyond the end of a small file (costs
 * nothing: pages are touched only where the file has been allocated); a file that outgrows it gets another, at least
 * four times as large. Right before the first lies the private page with the lock's list node (lock.h), if it has one.
 *
 * Files are opened by openat(2): musl's open() makes a system call more for O_CLOEXEC.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lock.h"
#include "segment.h"

#define FIRST_VIEW ((uint64_t)16 << 20)
#define STEP ((uint64_t)1 << 20)     /* fallocate in pieces that a signal may come between (trap 29) */

int
mpq_name_check(const char *name)
{
	static const char allowed[] =
	    "0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-";
	size_t n = strlen(name);

	if (n < 1 || n > MPQ_NAME_MAX || strspn(name, allowed) != n || name[0] == '.' || name[0] == '-')
		return MPQ_BADNAME;
	return MPQ_OK;
}

int
segment_path(const struct mpq_place *place, const char *name, char *path, size_t size)
{
	const char *dir = place != NULL && place->dir != NULL ? place->dir : DEFAULT_DIR;

	if (mpq_name_check(name) != MPQ_OK)
		return MPQ_BADNAME;
	if (strlen(dir) + strlen("/" PREFIX) + strlen(name) >= size)
		return -ENAMETOOLONG;
	stpcpy(stpcpy(stpcpy(path, dir), "/" PREFIX), name);  /* printf would touch a page of stack more */
	return MPQ_OK;
}

size_t
segment_path_room(const struct mpq_place *place, const char *name)
{
	const char *dir = place != NULL && place->dir != NULL ? place->dir : DEFAULT_DIR;
	size_t n = strlen(dir) + strlen("/" PREFIX) + strlen(name) + 1;

	return n < PATH_MAX ? n : PATH_MAX;
}

int
above_stdio(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return moved;
}

static bool
is_trusted(const struct mpq_place *place, uid_t owner)
{
	if (owner == 0 || owner == geteuid() || (place != NULL && (place->dir != NULL || place->trust_all)))
		return true;
	for (size_t i = 0; place != NULL && i < place->ntrusted; i++)
		if (place->trusted[i] == owner)
			return true;
	return false;
}

int
segment_open_file(const struct mpq_place *place, const char *path, int *fd, struct stat *st, struct mpq_why *why)
{
	int f;

	f = above_stdio(openat(AT_FDCWD, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
	if (f == -1) {
		int saved = errno;

		if (saved != ENOENT && lstat(path, st) == 0 && !is_trusted(place, st->st_uid)) {
			why->uid = st->st_uid;
			return MPQ_DENIED;
		}
		return saved == ENOENT ? MPQ_GONE : saved == ELOOP || saved == EISDIR || saved == ENXIO || saved == ENODEV ?
		    MPQ_NOTQUEUE : -saved;
	}
	if (fstat(f, st) == -1) {
		int saved = errno;

		close(f);
		return -saved;
	}
	if (!is_trusted(place, st->st_uid)) {
		close(f);
		why->uid = st->st_uid;
		return MPQ_DENIED;
	}
	if (!S_ISREG(st->st_mode) || st->st_nlink > 1) {
		close(f);
		return MPQ_NOTQUEUE;
	}
	*fd = f;
	return MPQ_OK;
}

int
segment_reopen(const struct mpq *q, int *fd)
{
	struct stat st;
	int f = above_stdio(openat(AT_FDCWD, q->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));

	if (f == -1)
		return errno == ENOENT ? MPQ_GONE : -errno;
	if (fstat(f, &st) == -1 || st.st_dev != q->dev || st.st_ino != q->ino) {
		close(f);
		return MPQ_GONE;
	}
	*fd = f;
	return MPQ_OK;
}

static unsigned char *
map_first(struct mpq *q, int fd, uint64_t size)
{
	unsigned char *page, *view;

	if (q->flags & MPQ_BRIEF) {
		if ((view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
			return MAP_FAILED;
		q->node = &q->own;
		q->lock = &((struct head *)view)->lock;
		return view;
	}
	page = mmap(NULL, PAGE + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (page == MAP_FAILED)
		return MAP_FAILED;
	view = mmap(page + PAGE, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (view == MAP_FAILED) {
		int saved = errno;

		munmap(page, PAGE + size);
		errno = saved;
		return MAP_FAILED;
	}
	madvise(page, PAGE, MADV_WIPEONFORK);
	q->node = (struct node *)page;
	q->lock = &((struct head *)view)->lock;
	return view;
}

int
segment_map(struct mpq *q, int fd, uint64_t bytes)
{
	uint64_t size = q->nviews == 0 ? FIRST_VIEW : q->mapped * 4;
	unsigned char *view;

	if (bytes <= q->mapped)
		return MPQ_OK;
	while (size < bytes)
		size *= 2;
	if (q->nviews == VIEWS)
		return -ENOMEM;
	view = q->nviews == 0 ? map_first(q, fd, size) : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (view == MAP_FAILED && errno == ENOMEM && size > bytes) {   /* RLIMIT_AS: no more than is there */
		size = (bytes + CHUNK - 1) / CHUNK * CHUNK;
		view = q->nviews == 0 ? map_first(q, fd, size) :
		    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (view == MAP_FAILED)
		return -errno;
	q->view[q->nviews++] = (struct view){ view, size };
	q->base = view;
	q->head = (struct head *)view;
	q->mapped = size;
	return MPQ_OK;
}

bool
segment_too_long(int fd, uint64_t bytes)
{
	struct rlimit limit;
	struct stat st;

	if (getrlimit(RLIMIT_FSIZE, &limit) == -1 || limit.rlim_cur == RLIM_INFINITY || bytes <= limit.rlim_cur)
		return false;
	return fstat(fd, &st) == 0 && (uint64_t)st.st_size < bytes;  /* else nothing gets longer */
}

int
segment_allocate(struct mpq *q, int fd, uint64_t from, uint64_t bytes)
{
	uint64_t end = from + bytes;
	struct statfs fs;

	for (uint64_t o = from, n; o < end; o += n) {
		n = end - o < STEP ? end - o : STEP;
		if (segment_too_long(fd, o + n))
			return -EFBIG;
		while (fallocate(fd, 0, (off_t)o, (off_t)n) == -1) {
			if (errno == EINTR)
				continue;
			if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
				return errno == EOPNOTSUPP ? MPQ_NODIR : -errno;
			if (errno == ENOSPC && fstatfs(fd, &fs) == 0)
				q->why.free = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
			return errno == EDQUOT ? -EDQUOT : errno == EFBIG ? -EFBIG : -ENOSPC;
		}
		q->length = o + n > q->length ? o + n : q->length;
	}
#ifdef MADV_POPULATE_WRITE
	if (madvise(q->base + from, bytes, MADV_POPULATE_WRITE) == 0)
		return MPQ_OK;
#endif
	for (uint64_t o = from; o < end; o += PAGE)     /* an older kernel: a read maps the page writable too */
		(void)*(volatile unsigned char *)(q->base + o);
	return MPQ_OK;
}

int
segment_unlink_if(const char *path, uint64_t dev, uint64_t ino)
{
	struct stat st;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? MPQ_OK : -errno;
	if (st.st_dev != dev || st.st_ino != ino)
		return MPQ_OK;
	if (unlink(path) == -1 && errno != ENOENT)
		return -errno;
	return MPQ_OK;
}
