/* SPDX-License-Identifier: ISC
 *
 * segment.h - names to files to mappings.
 */
#ifndef MPQ_SEGMENT_H
#define MPQ_SEGMENT_H

#include <sys/stat.h>

#include "handle.h"

#define DEFAULT_DIR "/dev/shm"
#define PREFIX "mpq."

/* The file's path, "DIR/mpq.NAME", in a buffer of the caller. MPQ_BADNAME, -ENAMETOOLONG. */
int segment_path(const struct mpq_place *place, const char *name, char *path, size_t size);

/* Bytes that such a buffer needs, but not more than a path may have. */
size_t segment_path_room(const struct mpq_place *place, const char *name);

/* Open the file of a handle again, to grow it; it must still be the same one. A descriptor above 2, -errno, or
 * MPQ_GONE. The caller closes it. */
int segment_reopen(const struct mpq *q, int *fd);

/* Open `path` as a queue's file, whatever stands there: no waiting, no following, a regular file with one name, of a
 * trusted owner; *st is what it is. The caller closes *fd. MPQ_GONE, MPQ_NOTQUEUE, MPQ_DENIED, -errno. */
int segment_open_file(const struct mpq_place *place, const char *path, int *fd, struct stat *st, struct mpq_why *why);

/* May this process not make the file so long (RLIMIT_FSIZE)? Asked before each allocation: the kernel would not only
 * refuse, but send SIGXFSZ, and what that does is not the library's to arrange. */
bool segment_too_long(int fd, uint64_t bytes);

/* Make the newest view cover the file as far as `bytes`. Old views stay: pointers into them remain good. */
int segment_map(struct mpq *q, int fd, uint64_t bytes);

/* Allocate [from, from + bytes) of the file and fault it into this process. -ENOSPC (why.free), -errno. */
int segment_allocate(struct mpq *q, int fd, uint64_t from, uint64_t bytes);

/* The same descriptor, or a copy of it above 2: a queue must never stand where a closed standard one was. */
int above_stdio(int fd);

/* The file of a dead or unwanted name goes, if it is still this one. */
int segment_unlink_if(const char *path, uint64_t dev, uint64_t ino);

#endif
