/* SPDX-License-Identifier: ISC
 *
 * tap.h - results of a test program as TAP lines: "ok 1 - what", "not ok 2 - what", "# why", "1..N".
 *
 * Only the process that began the program prints; children tell their parent by exit status (room.h).
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static unsigned tap_count, tap_failures;

__attribute__((format(printf, 1, 2))) static inline void
diag(const char *format, ...)
{
	va_list args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

__attribute__((format(printf, 4, 5))) static inline bool
tap_result(bool good, const char *where, int line, const char *format, ...)
{
	va_list args;

	printf("%sok %u - ", good ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!good) {
		tap_failures++;
		printf("# at %s:%d\n", where, line);
	}
	fflush(stdout);
	return good;
}

/* OK(condition, "what, as printf") */
#define OK(condition, ...) tap_result((condition), __FILE__, __LINE__, __VA_ARGS__)

/* IS(call, expected, "what"): both are integers; a difference is told. */
#define IS(call, expected, ...)                                                                                  \
	do {                                                                                                     \
		long long is_got_ = (long long)(call), is_want_ = (long long)(expected);                         \
		if (!OK(is_got_ == is_want_, __VA_ARGS__))                                                       \
			diag("%s: got %lld, expected %lld", #call, is_got_, is_want_);                           \
	} while (0)

static inline void
skip(const char *what, const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++tap_count, what, reason);
	fflush(stdout);
}

/* The last statement of main: the plan, and the exit status. */
static inline int
tap_end(void)
{
	printf("1..%u\n", tap_count);
	fflush(stdout);
	return tap_failures != 0;
}

#endif
