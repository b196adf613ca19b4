/* SPDX-License-Identifier: ISC
 *
 * musl.h - what musl is slow at, and what its headers do not know yet. The Makefile includes it before everything else
 * when it compiles for musl, so nobody else needs to know.
 *
 * Measured on a Zen 3, in cache, ns (musl 1.2.3 / what is here / glibc 2.36):
 *
 *                                16 B          100 B            1 KiB                64 KiB
 *   memcpy, to an odd address    60 / 1.8 / 2.5    47 / 4.0 / 1.8    92 / 24 / 8.9    2821 / - / 1666
 *   memrchr, not there           7.8 / 8.1 / 1.8   36 / 19 / 3.2     402 / 45 / 11    23068 / 2985 / 748
 *   memchr, not there            5.1 / 8.8 / 2.1   15 / 9.8 / 3.1    90 / 60 / 10     5632 / 3661 / 757
 *
 * A message is copied with memcpy, and the end of the last line of each read is looked for with memrchr: as they are they
 * would cost half of the library's put and get, and of a stream of long lines.
 */
#ifndef MPQ_MUSL_H
#define MPQ_MUSL_H

#include <asm/unistd.h>
#include <sched.h>                   /* declares memcpy too */
#include <stdint.h>
#include <string.h>

/* Calls of Linux 5.14 and 5.16; where they are not defined, the library does without them. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#if !defined SYS_futex_waitv && defined __NR_futex_waitv
#define SYS_futex_waitv __NR_futex_waitv
#endif

#define MUSL_BLOCK 32                /* bytes between decisions, so that the compiler uses vectors */
#define MUSL_COPY 1024               /* bytes beyond which musl's way, rep movs, is as good */

static inline int
musl_has(const unsigned char *p, unsigned char c)
{
	unsigned char any = 0;

	for (size_t i = 0; i < MUSL_BLOCK; i++)
		any = (unsigned char)(any | (p[i] == c));
	return any != 0;
}

static inline void *
musl_memchr(const void *bytes, int byte, size_t n)
{
	const unsigned char *p = bytes;
	unsigned char c = (unsigned char)byte;

	for (; n >= MUSL_BLOCK && !musl_has(p, c); n -= MUSL_BLOCK)
		p += MUSL_BLOCK;
	for (; n > 0; n--, p++)
		if (*p == c)
			return (void *)(uintptr_t)p;
	return NULL;
}

static inline void *
musl_memrchr(const void *bytes, int byte, size_t n)
{
	const unsigned char *p = bytes;
	unsigned char c = (unsigned char)byte;

	while (n >= MUSL_BLOCK && !musl_has(p + n - MUSL_BLOCK, c))
		n -= MUSL_BLOCK;
	while (n > 0)
		if (p[--n] == c)
			return (void *)(uintptr_t)(p + n);
	return NULL;
}

/* Two copies of a size that is known, which overlap where they must. */
#define MUSL_ENDS(type)                                                                                                  \
	do {                                                                                                             \
		type first_, last_;                                                                                      \
		__builtin_memcpy(&first_, f, sizeof first_);                                                             \
		__builtin_memcpy(&last_, f + n - sizeof last_, sizeof last_);                                            \
		__builtin_memcpy(t, &first_, sizeof first_);                                                             \
		__builtin_memcpy(t + n - sizeof last_, &last_, sizeof last_);                                            \
	} while (0)

/* Not inlined: where the compiler half knows n, it warns of the branches that n does not take. */
__attribute__((noinline, unused)) static void *
musl_memcpy(void *restrict to, const void *restrict from, size_t n)
{
	typedef unsigned char vector __attribute__((vector_size(16)));
	unsigned char *t = to;
	const unsigned char *f = from;
	vector v;

	if (n > MUSL_COPY)
		return __builtin_memcpy(to, from, n);
	if (n >= sizeof v) {
		for (size_t i = 0; i + sizeof v < n; i += sizeof v) {
			__builtin_memcpy(&v, f + i, sizeof v);
			__builtin_memcpy(t + i, &v, sizeof v);
		}
		__builtin_memcpy(&v, f + n - sizeof v, sizeof v);
		__builtin_memcpy(t + n - sizeof v, &v, sizeof v);
	} else if (n >= 8)
		MUSL_ENDS(uint64_t);
	else if (n >= 4)
		MUSL_ENDS(uint32_t);
	else
		for (size_t i = 0; i < n; i++)
			t[i] = f[i];
	return to;
}

#define memchr(bytes, byte, n) musl_memchr(bytes, byte, n)
#define memrchr(bytes, byte, n) musl_memrchr(bytes, byte, n)
#define memcpy(to, from, n) \
	(__builtin_constant_p(n) ? __builtin_memcpy(to, from, n) : musl_memcpy(to, from, n))

#endif
