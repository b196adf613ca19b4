/* SPDX-License-Identifier: ISC
 *
 * journal.c - undoing: whole, in reverse, again after an interruption at any point, and never outside the state.
 */
#include "chunk.h"
#include "journal.h"
#include "op.h"
#include "room.h"

static struct mpq *q;
static uint64_t *word[3];

/* A transaction left open: five stores on three words. */
static void
begin(void)
{
	if (op_enter(q, MPQ_FOREVER) != MPQ_OK)
		abort();
	set(q, word[0], 100);
	set(q, word[1], 101);
	add(q, word[0], 5);
	set(q, word[2], 102);
	set(q, word[1], 103);
}

static bool
words_are(uint64_t a, uint64_t b, uint64_t c)
{
	return get(word[0]) == a && get(word[1]) == b && get(word[2]) == c;
}

static void
plain(void)
{
	begin();
	OK(words_are(105, 103, 102), "a transaction reads its own writes");
	IS(q->head->njournal, 5, "and has an entry for each store");
	IS(journal_undo(q), MPQ_OK, "undo");
	OK(words_are(0, 0, 0), "all words are as they were");
	IS(q->head->njournal, 0, "the journal is empty");
	op_leave(q, MPQ_OK, NULL);
	begin();
	op_leave(q, MPQ_OK, NULL);
	OK(words_are(105, 103, 102) && q->head->njournal == 0, "commit keeps them");
	begin();
	op_leave(q, MPQ_EMPTY, NULL);
	OK(words_are(105, 103, 102), "a refusal undoes");
	for (int i = 0; i < 3; i++)
		*word[i] = 0;
}

/* Killed in undo between restoring entry k and counting it: entries from k on are restored, k + 1 are counted. */
static void
interrupted(void)
{
	struct head *head = q->head;
	bool good = true;

	for (unsigned k = 0; k < 5; k++) {
		begin();
		for (unsigned i = 5; i-- > k;)
			*(uint64_t *)at(q, head->journal[i].offset) = head->journal[i].old;
		head->njournal = k + 1;
		good &= journal_undo(q) == MPQ_OK && words_are(0, 0, 0);
		op_leave(q, MPQ_OK, NULL);
	}
	OK(good, "undo may be interrupted after any entry and done again");
}

static void
refusals(void)
{
	static const struct {
		const char *what;
		uint64_t offset;
	} bad[] = {
		{ "the magic", 0 }, { "the name space", offsetof(struct head, name_space) },
		{ "the lock", offsetof(struct head, lock) }, { "a flag of damage", offsetof(struct head, sick) },
		{ "event words", offsetof(struct head, events) }, { "the count", offsetof(struct head, njournal) },
		{ "the journal", offsetof(struct head, journal) + 16 }, { "an odd place", STATE_FROM + 4 },
		{ "message bytes", CHUNK + 64 }, { "beyond the view", (uint64_t)1 << 40 }, { "minus eight", (uint64_t)-8 },
	};
	struct head before;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		before = *q->head;
		q->head->journal[0] = (struct entry){ bad[i].offset, 0x4141414141414141 };
		q->head->njournal = 1;
		IS(journal_undo(q), MPQ_DAMAGED, "an entry for %s is refused", bad[i].what);
		q->head->njournal = before.njournal;
		q->head->journal[0] = before.journal[0];
		OK(memcmp(q->head, &before, sizeof before) == 0, "and nothing is written");
	}
	q->head->njournal = JOURNAL_MAX + 1;
	IS(journal_undo(q), MPQ_DAMAGED, "more entries than there can be are refused");
	q->head->njournal = 0;
}

/* Chunks of the second group, whose descriptors are in a chunk of their own: sparse, so this costs a few pages. */
static void
second_group(void)
{
	struct mpq *far = room_queue("far", 0, 0, MPQ_QUEUE);
	uint64_t table = chunk_offset(GROUP), data = chunk_offset(GROUP + 1), behind = chunk_offset(GROUP + 2);

	OK(truncate(far->path, (off_t)(behind + CHUNK)) == 0, "a file of more than 4,096 chunks");
	far->head->chunks = GROUP + 2;
	OK(op_enter(far, MPQ_FOREVER) == MPQ_OK && far->length == behind + CHUNK, "it is seen whole");
	set(far, &far->head->side[0].unused[0], 7);
	set(far, (uint64_t *)at(far, table + 16), 8);
	IS(journal_undo(far), MPQ_OK, "a descriptor in it is undone");
	OK(*(uint64_t *)at(far, table + 16) == 0, "to what it was");
	far->head->journal[0] = (struct entry){ data, 9 };
	far->head->njournal = 1;
	IS(journal_undo(far), MPQ_DAMAGED, "message bytes there are refused");
	far->head->journal[0] = (struct entry){ behind, 9 };
	IS(journal_undo(far), MPQ_DAMAGED, "and a chunk that there is only in the file");
	OK(*(uint64_t *)at(far, data) == 0 && *(uint64_t *)at(far, behind) == 0, "nothing is written");
	far->head->njournal = 0;
	op_leave(far, MPQ_OK, NULL);
	mpq_detach(far);
}

static void
overflow(void)
{
	pid_t pid = child();

	if (pid == 0) {
		if (op_enter(q, MPQ_FOREVER) != MPQ_OK)
			_exit(1);
		for (unsigned i = 0; i <= JOURNAL_MAX; i++)
			set(q, word[0], i + 1);
		_exit(2);
	}
	IS(reap_child(pid), 256 + SIGILL, "a transaction longer than the journal ends the process");
	IS(mpq_check(q), MPQ_OK, "the next undoes it");
	OK(words_are(0, 0, 0), "all of it");
}

static void
damage(void)
{
	struct mpq *other = room_open("journal");
	char text[8];
	size_t len;

	q->head->journal[0] = (struct entry){ 0, 0 };
	q->head->njournal = 1;
	IS(mpq_put(q, "a", 1, MPQ_NOW), MPQ_DAMAGED, "a bad journal is damage");
	IS(mpq_get(other, text, sizeof text, &len, in_ms(1000)), MPQ_DAMAGED, "for every handle");
	IS(q->head->magic == MAGIC, 1, "the entry was not believed");
	mpq_detach(other);
}

int
main(void)
{
	room_make();
	q = room_queue("journal", 0, 0, MPQ_QUEUE);
	IS(mpq_put(q, "m", 1, MPQ_NOW), MPQ_OK, "a message, so that there is a chunk");
	word[0] = &q->head->side[0].unused[0];
	word[1] = &q->head->side[0].unused[1];
	word[2] = &q->head->side[1].unused[0];
	plain();
	interrupted();
	refusals();
	second_group();
	overflow();
	damage();
	mpq_detach(q);
	return tap_end();
}
