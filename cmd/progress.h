/* SPDX-License-Identifier: ISC
 *
 * progress.h - how far a queue's tasks are, on standard error: a bar on a terminal, lines elsewhere.
 */
#ifndef MPQ_PROGRESS_H
#define MPQ_PROGRESS_H

#include <stdbool.h>

#include "mpq.h"

struct progress {
	const char *name;
	bool terminal;
	mpq_time began, last;        /* when it began, and when it was last shown */
	uint64_t done_before;        /* tasks done when it began: the rate is that of what was done since */
	bool shown;                  /* a bar stands in the terminal's last line */
};

void progress_begin(struct progress *p, const char *name, struct mpq *q);
/* Show it if it is time; `now_or_never` at once. How long until the next one is due, in ns. */
mpq_time progress_show(struct progress *p, struct mpq *q, bool now_or_never);
/* Take the bar away, so that something else can be written. */
void progress_hide(struct progress *p);
/* The last line, or no bar any more. */
void progress_end(struct progress *p, struct mpq *q);

#endif
