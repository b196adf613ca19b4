/* SPDX-License-Identifier: ISC
 *
 * lock.pml - the robust futex lock: its word, each process's list and `pending`, what the kernel does when a process dies
 * at any step, and the unlock that wakes one.
 *
 * Models lib/lock.c, lock_take() without its spinning, lock_sleep() and lock_free(); and the kernel's exit_robust_list()
 * with handle_futex_death() (kernel/futex/core.c).
 *
 * Properties: never two inside; everybody who lives gets the lock, uses it once, and ends.
 *
 * BOUNDED is the slice of the sleep (wait.h). Nobody needs it while nobody is killed. One kill is enough to need it, and
 * with pending set all the same: A frees the word, for which B sleeps; C takes it, without the waiters bit; A is killed
 * before it wakes; the kernel finds the word taken by somebody else, so it does not wake B in A's stead; C unlocks and
 * wakes nobody. (Another, with two: an owner dies, the kernel wakes one, that one is killed before it takes the word, and the kernel
 * does not wake for a word that says "owner died".) The run shows that it fails without the bound.
 *
 * Mutants, which must fail: NO_PENDING (pending is never set: who is killed between taking the word and linking his node
 * leaves a word that nobody can take, bound or not), NO_WAITERS (who has slept takes the word without the waiters bit:
 * those who still sleep are forgotten, kill or not).
 */
#ifndef KILLS
#define KILLS 1
#endif
#define N 3                          /* processes: an owner, one who is woken, one who sleeps on or comes in between */

#ifdef NO_PENDING
#define PENDING(value) skip
#else
#define PENDING(value) pending[me] = value
#endif

byte tid;                            /* the word: the owner, 0 none; the two bits */
bool waiters, died;
bool pending[N], listed[N], asleep[N], dead[N];
byte inside, over, kills;

inline wake_one()
{
	if
	:: asleep[0] -> asleep[0] = false
	:: asleep[1] -> asleep[1] = false
	:: asleep[2] -> asleep[2] = false
	:: else -> skip
	fi
}

/* The end of a process, by the kernel. */
inline kernel_exit(me)
{
	asleep[me] = false;
	if
	:: (listed[me] || pending[me]) && tid == me + 1 ->
		tid = 0; died = true;
		if
		:: waiters -> wake_one()
		:: else
		fi
	:: pending[me] && tid == 0 && !waiters && !died -> wake_one()
	:: else
	fi;
	over++
}

proctype process(byte me)
{
	byte seen;
	bool seen_waiters, seen_died, mine_waiters, took, in;

	{
		/* lock_take */
		PENDING(true);
		atomic {
			if
			:: tid == 0 && !waiters && !died -> tid = me + 1; took = true
			:: else
			fi
		}
		do
		:: took -> break
		:: else ->
			atomic { seen = tid; seen_waiters = waiters; seen_died = died }
			if
			:: seen == 0 -> atomic {
				if
				:: tid == 0 && waiters == seen_waiters && died == seen_died ->
					tid = me + 1; waiters = mine_waiters || seen_waiters; died = false; took = true
				:: else
				fi }
			:: else ->
				atomic {         /* set the bit, if the word is still as seen */
					if
					:: tid == seen && waiters == seen_waiters && died == seen_died ->
						waiters = true; seen_waiters = true
					:: else -> seen_waiters = false
					fi
				}
				if
				:: seen_waiters ->
#ifndef NO_WAITERS
					mine_waiters = true;
#endif
					atomic { /* FUTEX_WAIT */
						if
						:: tid == seen && waiters && died == seen_died -> asleep[me] = true
						:: else
						fi
					}
					if
					:: !asleep[me]
#ifdef BOUNDED
					:: asleep[me] -> asleep[me] = false
#endif
					fi
				:: else
				fi
			fi
		od;
		listed[me] = true;
		PENDING(false);
		atomic { inside++; in = true; assert(inside == 1) }
		atomic { inside--; in = false }
		/* lock_free */
		PENDING(true);
		listed[me] = false;
		atomic { tid = 0; seen_waiters = waiters; waiters = false; died = false }
		if
		:: seen_waiters -> atomic { wake_one() }
		:: else
		fi;
		PENDING(false);
		over++
	} unless {
		atomic { dead[me] -> inside = inside - (in -> 1 : 0); kernel_exit(me) }
	}
}

active proctype killer()
{
	do
	:: kills < KILLS -> atomic { kills++;
		if
		:: dead[0] = true
		:: dead[1] = true
		fi }
	:: break
	od
}

init
{
	atomic { run process(0); run process(1); run process(2) }
}

/* Everybody ends: by himself, or killed. A process killed after its end counts once. */
ltl ends { <> (over >= N) }
