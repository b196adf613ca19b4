/* SPDX-License-Identifier: ISC
 *
 * check.h - is a segment whole? One pure function: it changes nothing.
 */
#ifndef MPQ_CHECK_H
#define MPQ_CHECK_H

#include "handle.h"

/* Walk everything, under the lock or alone. MPQ_OK, MPQ_DAMAGED, -ENOMEM. */
int check_segment(struct mpq *q);

#endif
