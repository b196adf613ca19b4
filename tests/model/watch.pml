/* SPDX-License-Identifier: ISC
 *
 * watch.pml - mpq_wait: a watcher of two queues, a putter for each, one who removes the first, and a killer of those three
 * who may act between any two steps. Each of the three comes, or never does: nobody's wake-up hides that another's is lost.
 *
 * Models lib/look.c: look() (under the lock: ready, or else the snapshot of the event word and, in the second round, the
 * entry as a watcher), wait_ready() (a queue is looked at again only if its word has moved) and sleep_all() (a slice of
 * sleep, after which only the words and the mark of a removal are looked at); with lib/wait.c, wake_count() and
 * wake_send(), and lib/place.c, remove_open(), where the mark is made before the word is moved.
 *
 * Property: when a queue is ready, or has been removed, the watcher is told some time.
 * BOUNDED is the slice; NO_MARK, LATE_SNAPSHOT and NO_SECOND_LOOK are mutants.
 */
#ifndef KILLS
#define KILLS 1
#endif

byte items[2], event[2], kills;
bool waiting[2], removed, asleep, told;
bool dead[3];

#ifdef NO_MARK
#define mark false
#else
#define mark removed
#endif
#define has_moved(i) (event[i] != snapshot[i] || (i == 0 && mark))

active proctype watcher()
{
	byte snapshot[2], i;
	bool write;

	do
	:: told -> break
	:: else ->
		for (i : 0 .. 1) {
			if
			:: !waiting[i] || has_moved(i) ->
				atomic {         /* under the lock of queue i */
					if
					:: items[i] > 0 || (i == 0 && removed) -> told = true
					:: else ->
#ifndef LATE_SNAPSHOT
						snapshot[i] = event[i];
#endif
						waiting[i] = waiting[i] || write
					fi
				}
#ifdef LATE_SNAPSHOT
				snapshot[i] = event[i]
#endif
			:: else
			fi
		}
		if
		:: told
		:: !told && !write -> write = true;
#ifdef NO_SECOND_LOOK
			waiting[0] = true; waiting[1] = true
#endif
		:: !told && write ->
			do
			:: has_moved(0) || has_moved(1) -> break
			:: else ->
				atomic {         /* futex_waitv: only while both words are their snapshots */
					if
					:: event[0] == snapshot[0] && event[1] == snapshot[1] -> asleep = true
					:: else
					fi
				}
				if
				:: !asleep
#ifdef BOUNDED
				:: asleep -> asleep = false
#endif
				fi
			od
		fi
	od
}

proctype putter(byte i)
{
	bool wake;

	if
	:: true
	:: goto over
	fi;
	{
		atomic {                         /* under the lock */
			items[i]++;
			if
			:: waiting[i] -> event[i]++; wake = true
			:: else
			fi
		}
		if
		:: wake -> asleep = false
		:: else
		fi
	} unless {
		dead[i]
	}
over:	skip
}

proctype remover()
{
	bool wake;

	if
	:: true
	:: goto over
	fi;
	{
		removed = true;
		atomic {
			if
			:: waiting[0] -> event[0]++; wake = true
			:: else
			fi
		}
		if
		:: wake -> asleep = false
		:: else
		fi
	} unless {
		dead[2]
	}
over:	skip
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
	atomic { run putter(0); run putter(1); run remover() }
}

ltl served { [] ((items[0] > 0 || items[1] > 0 || removed) -> <> told) }
