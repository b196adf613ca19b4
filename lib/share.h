/* SPDX-License-Identifier: ISC
 *
 * share.h - how many of the queued messages a bulk getter may take, so that all who take in bulk come to the same.
 */
#ifndef MPQ_SHARE_H
#define MPQ_SHARE_H

#include "op.h"
#include "side.h"

/* What share_of found, for share_taken. */
struct share {
	uint32_t number;             /* of the round it counts in; 0: nobody to share with */
	uint64_t had;                /* of it, what this handle has had before */
};

/* Under the lock, the handle written down as a sharer: at most how many messages it may take, of `want`; 0: not its turn. */
uint64_t share_of(struct mpq *q, struct side *s, struct op *op, uint64_t want, struct share *share);

/* It has taken so many. */
void share_taken(struct mpq *q, struct side *s, const struct share *share, uint64_t msgs);

#endif
