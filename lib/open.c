/* SPDX-License-Identifier: ISC
 *
 * open.c - handles: open, verify, adopt, detach.
 *
 * The lock knows its owner by thread id, which means something in one PID name space only. So the head keeps the
 * name space's inode, and each handle keeps a shared open-file-description lock on the file. It lasts as long as the
 * mapping, whatever becomes of descriptors. An opener from elsewhere (a restarted container, the next boot with a
 * directory on disk) asks for the lock exclusively: who gets it is alone, undoes what was cut short, checks every
 * invariant, takes back what the former users had, and writes his own name space down.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "alive.h"
#include "check.h"
#include "chunk.h"
#include "journal.h"
#include "lock.h"
#include "op.h"
#include "owner.h"
#include "segment.h"

#define TMPFS 0x01021994             /* linux/magic.h; its files do not outlive a boot */
#define ADOPTION_TRIES 5             /* again, some ms apart, while others want to adopt it, too */

static int
ofd_lock(int fd, short type, int wait)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == -1)
		if (errno != EINTR)
			return errno == EAGAIN || errno == EACCES ? MPQ_FOREIGN : -errno;
	return MPQ_OK;
}

/* Damaged for everybody and for good: who has it open, and sleeps perhaps, looks at the mark too. */
static int
damaged(struct mpq *q)
{
	__atomic_fetch_or(&q->head->sick, HEAD_DAMAGED, __ATOMIC_RELAXED);
	return MPQ_DAMAGED;
}

/* Is it a segment of ours, and as long as it says? `st` was true before it was mapped. q->chunks is what it says. */
static int
verify(struct mpq *q, int fd, struct stat *st)
{
	const struct head *head = q->head;
	uint64_t chunks, sick, least;

	if (head->magic != MAGIC)
		return head->magic == __builtin_bswap64(MAGIC) ? MPQ_VERSION : MPQ_NOTQUEUE;
	if (head->format != FORMAT || head->word_size != sizeof(void *) || head->head_size != sizeof(struct head) ||
	    head->extent_size != sizeof(struct extent) || head->slot_size != sizeof(struct slot) ||
	    head->side_size != sizeof(struct side) || head->chunk_size != sizeof(struct chunk))
		return MPQ_VERSION;
	if ((sick = __atomic_load_n(&head->sick, __ATOMIC_RELAXED)) != 0)
		return sick & HEAD_REMOVED ? MPQ_GONE : MPQ_DAMAGED;
	chunks = get(&head->chunks);
	if (head->kind > MPQ_SIMPLEX || chunks < FIRST_CHUNK || chunks >= MAX_CHUNKS)
		return damaged(q);
	q->chunks = (uint32_t)chunks;
	least = least_size(q, q->chunks - 1, (uint64_t)st->st_size);
	if ((uint64_t)st->st_size >= least)
		return MPQ_OK;
	/* It has grown since, or is damaged. The size is asked for after all that tells what it should be: a grower extends
	 * the file first. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (fstat(fd, st) == -1)
		return -errno;
	return (uint64_t)st->st_size >= least ? MPQ_OK : damaged(q);
}

/* Which of the two directions does the handle take from and put to? Side 0 goes from end 1 to end 2. */
static int
choose_sides(struct mpq *q, unsigned flags)
{
	enum mpq_kind kind = (enum mpq_kind)q->head->kind;

	if (q->end == 0 && kind == MPQ_QUEUE) {
		q->in = q->out = 0;
		return MPQ_OK;
	}
	if (kind == MPQ_QUEUE || (q->end == 0 && (flags & MPQ_WHOLE) == 0))
		return MPQ_WRONGEND;
	q->out = q->end == 1 ? 0 : q->end == 2 ? 1 : NO_SIDE;
	q->in = q->end == 1 ? 1 : q->end == 2 ? 0 : NO_SIDE;
	if (kind == MPQ_SIMPLEX) {
		q->out = q->end == 2 ? 1 : NO_SIDE;
		q->in = q->end == 1 ? 1 : NO_SIDE;
	}
	return MPQ_OK;
}

/* ---- adoption -------------------------------------------------------------------------------------------- */

/* Alone: everybody who was here is gone. */
static int
adopt(struct mpq *q, uint64_t ns, const uint8_t boot[16])
{
	int err;

	*q->lock = 0;
	if ((err = op_enter(q, MPQ_NOW)) != MPQ_OK || (err = op_leave(q, check_segment(q), NULL)) != MPQ_OK)
		return err;
	err = owner_orphans(q);
	if (err == MPQ_OK) {
		memcpy(q->head->boot, boot, 16);
		__atomic_store_n(&q->head->name_space, ns, __ATOMIC_RELEASE);
	}
	return err;
}

/* Does this process belong to the name space and boot that use the queue? If nobody uses it any more, take it over.
 * The boot is asked for only where files outlive it; a queue that was made in the default place without one is still in
 * such a place. */
static int
settle_in(struct mpq *q, int fd, bool elsewhere)
{
	static const uint8_t none[16];
	uint64_t ns = name_space(PID_SPACE);
	uint8_t boot[16] = { 0 };
	struct statfs fs;
	int err;

	if ((elsewhere || memcmp(q->head->boot, none, 16) != 0) && fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS)
		boot_id(boot);
	for (int tries = 0;; tries++) {
		if ((err = ofd_lock(fd, F_RDLCK, 1)) != MPQ_OK)
			return err;
		if ((ns == 0 || q->head->name_space == ns) && memcmp(boot, q->head->boot, 16) == 0)
			return MPQ_OK;
		if ((err = ofd_lock(fd, F_WRLCK, 0)) == MPQ_OK) {
			err = adopt(q, ns, boot);
			ofd_lock(fd, F_RDLCK, 1);
			return err;
		}
		if (err != MPQ_FOREIGN)
			return err;
		/* Somebody uses it; or he wants to adopt it, too, and both hold it shared and want it exclusively: let go. */
		ofd_lock(fd, F_UNLCK, 0);
		if (tries == ADOPTION_TRIES)
			return MPQ_FOREIGN;
		usleep((useconds_t)(1000 + getpid() % 7 * 1000));
	}
}

/* ---- open and detach ------------------------------------------------------------------------------------- */

/* "NAME@1" to NAME and 1. */
static int
split_end(const char *name, char *bare, uint32_t *end)
{
	const char *mark = strchr(name, '@');
	size_t n = mark != NULL ? (size_t)(mark - name) : strlen(name);

	*end = 0;
	if (n > MPQ_NAME_MAX)
		return MPQ_BADNAME;
	memcpy(bare, name, n);
	bare[n] = '\0';
	if (mark == NULL)
		return mpq_name_check(bare);
	if ((mark[1] != '1' && mark[1] != '2') || mark[2] != '\0')
		return MPQ_BADNAME;
	*end = (uint32_t)(mark[1] - '0');
	return mpq_name_check(bare);
}

/* Memory of a brief handle: a command that has but one starts no allocator for it, four system calls of musl. */
static _Alignas(struct mpq) unsigned char brief[sizeof(struct mpq) + 256];
static atomic_flag brief_taken = ATOMIC_FLAG_INIT;

static struct mpq *
handle_new(const char *path, unsigned flags, uint32_t end)
{
	size_t n = strlen(path) + 1;
	struct mpq *q;

	if ((flags & MPQ_BRIEF) && sizeof *q + n <= sizeof brief && !atomic_flag_test_and_set(&brief_taken))
		q = memset(brief, 0, sizeof brief);
	else
		q = calloc(1, sizeof *q + n);
	if (q != NULL) {
		memcpy(q->path, path, n);
		q->flags = flags;
		q->end = end;
		q->until = MPQ_FOREVER;
	}
	return q;
}

static void
handle_free(struct mpq *q)
{
	if ((unsigned char *)q == brief)
		atomic_flag_clear(&brief_taken);
	else
		free(q);
}

static int
open_fd(struct mpq *q, int fd, struct stat *st, bool elsewhere)
{
	uint64_t length = (uint64_t)st->st_size;
	int err;

	q->dev = st->st_dev, q->ino = st->st_ino;
	if (length < HEAD_BYTES)
		return MPQ_NOTQUEUE;
	if ((err = segment_map(q, fd, length)) != MPQ_OK || (err = verify(q, fd, st)) != MPQ_OK ||
	    (err = choose_sides(q, q->flags)) != MPQ_OK)
		return err;
	q->length = length;
	return settle_in(q, fd, elsewhere);
}

/* A removal was cut short between its flag and the unlink. Under the lock, so that a name which is still this file's
 * stays so until we unlink it. */
static void
finish_removal(struct mpq *q)
{
	bool died;

	if (lock_take(q, mpq_now() + 1000000000, &died) != MPQ_OK)
		return;
	segment_unlink_if(q->path, q->dev, q->ino);
	lock_free(q);
}

int
mpq_open(const struct mpq_place *place, const char *name, unsigned flags, struct mpq **handle, struct mpq_why *why)
{
	/* As long as it has to be: 4096 would be two pages of stack more to touch, which a short command notices. */
	size_t room = segment_path_room(place, name);
	char path[room], bare[MPQ_NAME_MAX + 1];
	struct mpq_why unused = { 0 };
	struct stat st;
	struct mpq *q;
	uint32_t end;
	int err, fd;

	*handle = NULL;
	why = why != NULL ? why : &unused;
	if ((err = split_end(name, bare, &end)) != MPQ_OK || (err = segment_path(place, bare, path, room)) != MPQ_OK)
		return err;
	if ((err = segment_open_file(place, path, &fd, &st, why)) != MPQ_OK)
		return err;
	if ((q = handle_new(path, flags, end)) == NULL) {
		close(fd);
		return -ENOMEM;
	}
	err = open_fd(q, fd, &st, place != NULL && place->dir != NULL);
	if (err != MPQ_OK || (flags & MPQ_BRIEF) == 0)
		close(fd);
	if (err == MPQ_GONE)
		finish_removal(q);
	if (err != MPQ_OK) {
		*why = q->why;
		mpq_detach(q);
		return err;
	}
	*handle = q;
	return MPQ_OK;
}

void
mpq_detach(struct mpq *q)
{
	int saved = errno;

	if (q == NULL)
		return;
	if (q->stuck)
		q->until = MPQ_NOW;          /* what cannot be given back now is given back when the process ends */
	if (q->slot != 0 && lock_is_ours(q)) /* else we are the child of a fork, and the slot is the parent's */
		owner_leave(q);
	for (unsigned i = 0; i < q->nviews && (q->flags & MPQ_BRIEF) == 0; i++)
		munmap(i == 0 ? q->view[0].at - PAGE : q->view[i].at, q->view[i].size + (i == 0 ? PAGE : 0));
	handle_free(q);
	errno = saved;
}

const struct mpq_why *
mpq_why(const struct mpq *q)
{
	return &q->why;
}
