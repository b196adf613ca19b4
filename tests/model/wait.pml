/* SPDX-License-Identifier: ISC
 *
 * wait.pml - sleepers and wakers. Two getters, two putters, and a killer that may act between any two steps. A process
 * that was killed or stopped swallows the wake that it was sent; a waker that was killed does not send it.
 *
 * Models lib/op.c, op_run() and sleep_on() (a look under the lock, the snapshot of the event word and the entry as a
 * sleeper, the sleep, the look after it) and lib/wait.c, wake_count() (under the lock) and wake_send() (after it).
 * What is under the lock is one step here: lock.pml and journal.pml make it so.
 *
 * Property: while a message is there and a getter lives that has none, it gets on: it takes one, or somebody does.
 * BOUNDED is the slice of a sleep (wait.h): without it the property must fail.
 */
#ifndef KILLS
#define KILLS 1
#endif
#define GETTERS 2
#define PUTTERS 2

byte items, event, waiting;
bool asleep[GETTERS], dead[GETTERS + PUTTERS], done[GETTERS];
byte kills;

/* FUTEX_WAKE of one: any of those asleep, stopped ones too. */
inline wake_one()
{
	if
	:: asleep[0] -> asleep[0] = false
	:: asleep[1] -> asleep[1] = false
	:: else -> skip
	fi
}

proctype getter(byte me)
{
	byte snapshot;
	bool written;

	{
		do
		:: atomic {                      /* under the lock: take, or write down and snapshot */
			if
			:: items > 0 -> items--; done[me] = true;
				waiting = waiting - (written -> 1 : 0); written = false
			:: else -> snapshot = event; waiting = waiting + (written -> 0 : 1); written = true
			fi
		   }
		   if
		   :: done[me] -> break
		   :: else
		   fi;
		   atomic {                      /* FUTEX_WAIT: only while the word is the snapshot */
			if
			:: event == snapshot -> asleep[me] = true
			:: else
			fi
		   }
		   if
		   :: !asleep[me]
#ifdef BOUNDED
		   :: asleep[me] -> asleep[me] = false
#endif
		   fi
		od
	} unless {
		dead[me] -> asleep[me] = false   /* its entry as a sleeper stays until a sweep */
	}
}

proctype putter(byte me)
{
	byte wakes;

	{
		atomic {                         /* under the lock */
			items++;
			if
			:: waiting > 0 -> event++; wakes = 1
			:: else
			fi
		}
		if
		:: wakes > 0 -> atomic { wake_one() }
		:: else
		fi
	} unless {
		dead[me] -> skip
	}
}

active proctype killer()
{
	do
	:: kills < KILLS -> atomic { kills++;
		if
		:: dead[0] = true
		:: dead[1] = true
		:: dead[2] = true
		fi }
	:: break
	od
}

init
{
	atomic { run getter(0); run getter(1); run putter(GETTERS); run putter(GETTERS + 1) }
}

#define wants(i) (!done[i] && !dead[i])
ltl served { [] ((items > 0 && (wants(0) || wants(1))) -> <> (items == 0 || !(wants(0) || wants(1)))) }
