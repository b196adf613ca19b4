/* SPDX-License-Identifier: ISC
 *
 * keeper.c - for the suites: a process that has taken the lock of a queue and stopped itself, as if by an accident in the
 * instant in which it changes the queue.
 *
 * Usage: keeper NAME, with MPQ_DIR as the commands have it
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "lock.h"

int
main(int argc, char **argv)
{
	struct mpq_place place = { .dir = getenv("MPQ_DIR") };
	struct mpq *q;
	bool died;
	int r;

	if (argc != 2)
		return 2;
	if ((r = mpq_open(&place, argv[1], 0, &q, NULL)) != MPQ_OK || (r = lock_take(q, MPQ_FOREVER, &died)) != MPQ_OK) {
		fprintf(stderr, "keeper: %s\n", mpq_strerror(r));
		return 1;
	}
	raise(SIGSTOP);
	lock_free(q);
	mpq_detach(q);
	return 0;
}
