/* SPDX-License-Identifier: ISC
 *
 * dump.h - included before everything in the coverage build: a process that ends by _exit, as forked children do, writes its
 * counts down first.
 */
#include <unistd.h>

void __gcov_dump(void);

static inline _Noreturn void
dump_and_exit(int status)
{
	__gcov_dump();
	_exit(status);
}

#define _exit dump_and_exit
