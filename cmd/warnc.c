/* SPDX-License-Identifier: ISC
 *
 * warnc.c - what commands take from libbsd and Debian's libbsd.a has in a form for glibc only; for musl, whose err.h has
 * the rest of the family.
 */
#include <bsd/err.h>
#include <errno.h>
#include <stdarg.h>

void
warnc(int code, const char *format, ...)
{
	va_list ap;

	errno = code;
	va_start(ap, format);
	vwarn(format, ap);
	va_end(ap);
}
