/* SPDX-License-Identifier: ISC
 *
 * warnc.c - the one function of libbsd that the commands use and whose object in Debian's libbsd.a needs glibc. Linked
 * with musl, whose err.h has the rest of the family.
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
