#!/bin/sh
# SPDX-License-Identifier: ISC
#
# mutants.sh - does the harness see what it is there for? Each mutant breaks one promise of the lock or the journal in a
# copy of the library; the toy harness, built with it, must fail. One that survives is a "not ok".
#
# Usage: mutants.sh LIBDIR BUILDDIR; CC and CFLAGS from the environment.
set -u
lib=$1 build=$2 here=$(dirname "$0")
CC=${CC:-gcc} CFLAGS=${CFLAGS:--std=gnu11 -D_GNU_SOURCE -O2 -fno-strict-aliasing}
JOBS=3
number=0 started=

rm -rf "${build:?}"
mkdir -p "$build"
# The parts that no mutant touches.
for f in "$here/step.c" "$lib/alive.c" "$lib/wait.c" "$lib/segment.c"; do
	# shellcheck disable=SC2086
	$CC $CFLAGS -w -I"$lib" -c -o "$build/$(basename "$f" .c).o" "$f" || exit 1
done

# try NUMBER FILE SED-SCRIPT WHAT: one line of TAP, without its number, to $build/NUMBER.
try() {
	d=$build/m$1 out=$build/$1
	mkdir -p "$d"
	cp "$lib"/*.h "$lib/lock.c" "$lib/journal.c" "$d/"
	sed -E -i "$3" "$d/$2"
	# shellcheck disable=SC2086
	if cmp -s "$lib/$2" "$d/$2"; then
		echo "not ok N - $4: the mutation does not apply to $2 any more" >"$out"
	elif ! $CC $CFLAGS -w -static -I"$d" -o "$d/toy" "$here/toy.c" "$d/lock.c" "$d/journal.c" "$build"/*.o; then
		echo "not ok N - $4: does not compile" >"$out"
	else
		timeout 100 "$d/toy" >"$d/log" 2>&1
		if grep -q '^not ok' "$d/log"; then
			echo "ok N - caught: $4" >"$out"
			grep -A2 '^not ok' "$d/log" | sed -n 3p >>"$out"
		else
			echo "not ok N - survived: $4" >"$out"
			sed 's/^/# /' "$d/log" >>"$out"
		fi
	fi
	rm -rf "$d"
}

# mutant FILE SED-SCRIPT WHAT
mutant() {
	number=$((number + 1))
	try "$number" "$@" &
	started="$started $!"
	if [ $((number % JOBS)) = 0 ]; then
		# shellcheck disable=SC2086
		wait $started
		started=
	fi
}

LOG_OLD='^\thead->journal\[n\]\.old = .*;$'
COUNT='^\thead->njournal = q->njournal = n \+ 1;$'
STORE='^\t__atomic_store_n\(word, value, __ATOMIC_RELAXED\);$'
LOG_OFFSET='^\thead->journal\[n\]\.offset = .*;$'
PENDING='^\tself->head\.pending = q->node;$'

mutant journal.h "/$LOG_OFFSET/i\\
\\thead->njournal = q->njournal = n + 1; JOURNAL_BARRIER();
/$COUNT/d" "an entry is counted before it is written"
mutant journal.h "/$COUNT/i\\
\\t__atomic_store_n(word, value, __ATOMIC_RELAXED); JOURNAL_BARRIER();
/$STORE/d" "the new value is stored before the entry is counted"
mutant journal.h "/$LOG_OLD/d
/$STORE/i\\
\\thead->journal[n].old = get(word); JOURNAL_BARRIER();" "the old value is logged after the count"
mutant journal.h "s/$COUNT/\\thead->njournal = n; q->njournal = n + 1;/" "the last store is not covered: commit before it"
mutant journal.h "s/$COUNT/\\thead->njournal = q->njournal = n + 1; if (n == 2) head->njournal = 0;/" \
	"the journal is emptied before the last store"
mutant journal.h '/^commit\(/,/^}/s/q->head->njournal = q->njournal = 0;/q->njournal = 0;/' \
	"commit does not empty the journal"
mutant journal.c 's/^\twhile \(n-- > 0\) \{$/\tfor (uint64_t all = n, i = 0; i < all \&\& (n = i, 1); i++) {/
s/^\t\thead->njournal = n;.*$/\t\tif (n + 1 == all) head->njournal = 0;/' "undo goes forwards"
mutant journal.c 's/^\twhile \(n-- > 0\) \{$/&\n\t\thead->njournal = n; JOURNAL_BARRIER();/' \
	"undo forgets an entry before it has restored the word"
mutant lock.h "s/$PENDING/\\t;/" "pending is never set"
mutant lock.h "/^lock_begin/,/^}/s/$PENDING/\\t;/" "pending is not set while taking and sleeping"
mutant lock.h "/^lock_free/,/^}/s/$PENDING/\\t;/" "pending is not set while freeing"
mutant lock.c 's/^\tfutex_wake\(q->lock, 1\);$/\tlock_end(\&lock_thread); futex_wake(q->lock, 1);/' \
	"pending is cleared before the wake"
mutant lock.h 's/^\tself->head\.next = q->node;$/\t;/' "the lock is not in the robust list"
mutant lock.c 's/^\tfutex_wake\(q->lock, 1\);$/\t;/' "freeing does not wake"
mutant lock.c 's/^\t\t\*mine \|= FUTEX_WAITERS;$/\t\t;/' "who has slept takes the lock without the waiters bit"
# shellcheck disable=SC2086
wait $started

failed=0
for i in $(seq "$number"); do
	sed "1s/ok N/ok $i/" "$build/$i"
	grep -q '^ok' "$build/$i" || failed=1
done
echo "1..$number"
rm -rf "${build:?}"
exit $failed
