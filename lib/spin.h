/* SPDX-License-Identifier: ISC
 *
 * spin.h - looking for a moment, awake, before a getter goes to sleep.
 */
#ifndef MPQ_SPIN_H
#define MPQ_SPIN_H

#include "handle.h"

/* Is it time for a look? To be asked once for each sleep that is due. */
bool spin_due(struct mpq *q, mpq_time now);

/* Look until *word is not 0, the deadline, or a moment is over. What came of it decides when the next look is. True: it
 * is not 0. *handled: set if a signal handler has run, but for the first microseconds. */
bool spin(struct mpq *q, const uint64_t *word, mpq_time deadline, bool *handled);

/* The part of it that decides: a look from `began` to `now`, which has `seen` what it waited for or not. */
void spin_judge(struct spin *s, mpq_time began, mpq_time now, bool seen);

#endif
