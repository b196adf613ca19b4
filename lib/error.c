/* SPDX-License-Identifier: ISC
 *
 * error.c - the words for results.
 */
#include <string.h>

#include "mpq.h"

const char *
mpq_strerror(int code)
{
	static const char *const text[] = {
		[MPQ_OK] = "done",
		[MPQ_EMPTY] = "empty",
		[MPQ_FULL] = "full",
		[MPQ_CLOSED] = "closed",
		[MPQ_GONE] = "no such queue",
		[MPQ_EXISTS] = "it exists",
		[MPQ_NOTYET] = "not yet",
		[MPQ_OVERDONE] = "more than there were tasks",
		[MPQ_TOOBIG] = "the message can never fit the queue's bounds",
		[MPQ_INTR] = "interrupted",
		[MPQ_DAMAGED] = "damaged",
		[MPQ_DENIED] = "its owner is not trusted",
		[MPQ_NOTQUEUE] = "not a queue",
		[MPQ_VERSION] = "made by another version of mpq or on another kind of machine",
		[MPQ_FOREIGN] = "in use from another PID name space",
		[MPQ_STUCK] = "its lock is held by a stopped process",
		[MPQ_WRONGEND] = "wrong end of a pipe",
		[MPQ_BADNAME] = "not a valid name",
		[MPQ_NODIR] = "the file system cannot hold queues",
		[MPQ_NOPROC] = "no such process",
		[MPQ_STALE] = "not in hand",
	};

	if (code < 0)
		return strerror(-code);
	return (size_t)code < sizeof text / sizeof text[0] && text[code] != NULL ? text[code] : "unknown result";
}
