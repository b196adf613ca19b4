/* SPDX-License-Identifier: ISC
 *
 * caught.h - system calls and allocations that the linker catches (--wrap, in unit.mk), so that a test decides whether
 * they fail: those which several tests catch.
 *
 * A test includes it once it has its own `enum call`, with a name for each of these, and fails(call), which says whether
 * this one fails and sets errno then. What it catches besides it defines with the same macros.
 */
#ifndef CAUGHT_H
#define CAUGHT_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

/* The names of calls that have a file's size or offset in them, which the C libraries call differently. */
#ifdef __GLIBC__
#define WRAPPED(name) __wrap_##name##64
#define REAL(name) __real_##name##64
#else
#define WRAPPED(name) __wrap_##name
#define REAL(name) __real_##name
#endif

/* TYPE WRAPPED(PARAMETERS), which calls REAL with ARGUMENTS or fails with FAILURE. */
#define CATCH(type, wrapped, real, call, failure, parameters, arguments)                                         \
	type real parameters;                                                                                    \
	type wrapped parameters;                                                                                 \
	type wrapped parameters                                                                                  \
	{                                                                                                        \
		return fails(call) ? (failure) : real arguments;                                                 \
	}

CATCH(void *, WRAPPED(mmap), REAL(mmap), MMAP, MAP_FAILED, (void *at, size_t n, int prot, int flags, int fd, off_t o),
    (at, n, prot, flags, fd, o))
CATCH(int, WRAPPED(fallocate), REAL(fallocate), FALLOCATE, -1, (int fd, int mode, off_t from, off_t n), (fd, mode, from, n))
CATCH(ssize_t, WRAPPED(pwrite), REAL(pwrite), PWRITE, -1, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o))
CATCH(void *, __wrap_malloc, __real_malloc, MALLOC, NULL, (size_t n), (n))
CATCH(int, __wrap_unlink, __real_unlink, UNLINK, -1, (const char *path), (path))
CATCH(int, __wrap_link, __real_link, LINK, -1, (const char *a, const char *b), (a, b))

int REAL(openat)(int dir, const char *path, int flags, ...);
int WRAPPED(openat)(int dir, const char *path, int flags, ...);
int
WRAPPED(openat)(int dir, const char *path, int flags, ...)
{
	return fails(OPENAT) ? -1 : REAL(openat)(dir, path, flags, 0600);
}

int REAL(open)(const char *path, int flags, ...);
int WRAPPED(open)(const char *path, int flags, ...);
int
WRAPPED(open)(const char *path, int flags, ...)
{
	return fails(OPEN) ? -1 : REAL(open)(path, flags, 0600);
}

int REAL(fcntl)(int fd, int what, ...);
int WRAPPED(fcntl)(int fd, int what, ...);
int
WRAPPED(fcntl)(int fd, int what, ...)
{
	va_list args;
	void *arg;

	va_start(args, what);
	arg = va_arg(args, void *);
	va_end(args);
	return fails(FCNTL) ? -1 : REAL(fcntl)(fd, what, arg);
}

#endif
