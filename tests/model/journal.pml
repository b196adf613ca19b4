/* SPDX-License-Identifier: ISC
 *
 * journal.pml - the undo journal: two words, one of them changed twice, in one transaction, with a crash between any two
 * stores, and crashes in the undoing. Both words are old in the end, or both new; new if and only if it was committed.
 *
 * Models lib/journal.h, set() and commit(), and lib/journal.c, journal_undo(). Stores are seen in program order: the next
 * owner reads them after it has taken the lock (trap 47).
 *
 * Mutants, which must fail: COUNT_FIRST (the entry is counted before it is written), STORE_FIRST (the word is stored
 * before the entry is counted), FORWARD (undone from the first entry on).
 */
#define OLD 0
#define NEW_X 2
#define NEW_Y 1
#define GARBAGE 7                    /* what an earlier transaction left in the journal */
#define CRASHES 3                    /* of recoverers */

byte word[2];                        /* x, y */
byte offset[3], old[3];
byte count;
bool committed;
byte crashes;

/* Any store may be the last one. */
#define STEP(store) if :: store :: goto recover fi

#ifdef COUNT_FIRST
#define SET(n, w, value)                                                                                         \
	STEP(count = n + 1); STEP(offset[n] = w); STEP(old[n] = word[w]); STEP(word[w] = value)
#else
#ifdef STORE_FIRST
#define SET(n, w, value)                                                                                         \
	STEP(offset[n] = w); STEP(old[n] = word[w]); STEP(word[w] = value); STEP(count = n + 1)
#else
#define SET(n, w, value)                                                                                         \
	STEP(offset[n] = w); STEP(old[n] = word[w]); STEP(count = n + 1); STEP(word[w] = value)
#endif
#endif

/* The recoverer is killed too, and another begins. */
#define UNDO_STEP(store) if :: store :: crashes < CRASHES -> crashes++; goto recover fi

active proctype life()
{
	byte n;

	old[0] = GARBAGE; old[1] = GARBAGE; old[2] = GARBAGE;
	SET(0, 0, 1);
	SET(1, 1, NEW_Y);
	SET(2, 0, NEW_X);
	if
	:: atomic { count = 0; committed = true }
	:: goto recover
	fi;
recover:
#ifdef FORWARD
	n = 0;
	do
	:: n < count -> UNDO_STEP(word[offset[n]] = old[n]); n++
	:: else -> break
	od;
	UNDO_STEP(count = 0);
#else
	n = count;
	do
	:: n > 0 -> n--; UNDO_STEP(word[offset[n]] = old[n]); UNDO_STEP(count = n)
	:: else -> break
	od;
#endif
	assert(count == 0);
	assert(!committed || (word[0] == NEW_X && word[1] == NEW_Y));
	assert(committed || (word[0] == OLD && word[1] == OLD))
}
