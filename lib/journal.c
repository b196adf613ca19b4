/* SPDX-License-Identifier: ISC
 *
 * journal.c - undoing an unfinished transaction. See journal.h.
 */
#include "journal.h"

/* Could set() have been called on this offset? State of the head, descriptors, or records. */
static bool
is_state(struct mpq *q, uint64_t offset)
{
	uint32_t n;

	if (offset % 8 != 0)
		return false;
	if (offset < PAGE)
		return (offset >= STATE_FROM && offset < STATE_TO) || offset >= BUILTIN_POOL;
	if (offset >= q->length || offset >> CHUNK_SHIFT >= MAX_CHUNKS)
		return false;
	if (offset < CHUNK)
		return true;         /* descriptors of group 0 */
	n = offset_chunk(offset);
	if (n >= get(&q->head->chunks))
		return false;        /* op_enter has seen that the file is long enough for those below */
	return n % GROUP == 0 || HIGH(get(&chunk_at(q, n)->use)) >> 8 == CHUNK_POOL;
}

int
journal_undo(struct mpq *q)
{
	struct head *head = q->head;
	uint64_t n = get(&head->njournal);

	if (n > JOURNAL_MAX)
		return MPQ_DAMAGED;
	while (n-- > 0) {
		uint64_t offset = get(&head->journal[n].offset), old = get(&head->journal[n].old);

		if (!is_state(q, offset))
			return MPQ_DAMAGED;
		__atomic_store_n((uint64_t *)at(q, offset), old, __ATOMIC_RELAXED);
		JOURNAL_BARRIER();
		head->njournal = n;  /* undone entries need not be kept: the words before them are as they were */
		JOURNAL_BARRIER();
	}
	q->slot = q->slot_was;
	q->asleep = q->asleep_was;
	q->njournal = 0;
	q->gave = false;
	return MPQ_OK;
}
