#!/bin/sh
# SPDX-License-Identifier: ISC
#
# pause-mutants.sh - does pause.c see what it is there for? Each mutant breaks the order of two things in a copy of one file
# of the library; pause, linked with it, must fail. One that survives is a "not ok".
#
# Usage: pause-mutants.sh LIBDIR BUILDDIR; the objects of pause are in BUILDDIR, the library in ../../lib from there.
set -u
lib=$1 build=$2
CC=${CC:-gcc} CFLAGS=${CFLAGS:--std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -O2 -fno-strict-aliasing}
dir=$build/pause-mutants
archive=$build/../../lib/libmpq.a
number=0 failed=0

rm -rf "${dir:?}"
mkdir -p "$dir"

# mutant FILE SED-SCRIPT PAIR WHAT: the mutated file takes the place of the archive's.
mutant() {
	number=$((number + 1))
	sed -E "$2" "$lib/$1.c" >"$dir/$1.c"
	# shellcheck disable=SC2086
	if cmp -s "$lib/$1.c" "$dir/$1.c"; then
		echo "not ok $number - $4: the mutation does not apply to $1.c any more"
		failed=1
	elif ! $CC $CFLAGS -w -static -Wl,--wrap=syscall,--wrap=clock_gettime -I"$lib" -o "$dir/pause" "$build/pause.o" "$build/trials.o" \
		"$build/stage.o" "$build/world.o" "$build/step.o" "$dir/$1.c" "$archive" -lpthread; then
		echo "not ok $number - $4: does not compile"
		failed=1
	else
		timeout -k 5 300 "$dir/pause" long "$3" >"$dir/log" 2>&1
		if grep -q '^not ok' "$dir/log"; then
			echo "ok $number - caught: $4"
			grep -A2 '^not ok' "$dir/log" | sed -n 3p
		else
			echo "not ok $number - survived: $4"
			sed 's/^/# /' "$dir/log"
			failed=1
		fi
	fi
}

mutant op '/^sleep_on\(/,/^\}/s/^\tr = futex_wait\(word, snapshot/\tsnapshot = __atomic_load_n(word, __ATOMIC_ACQUIRE);\n&/' \
	"get asleep | put" "a sleeper takes its snapshot after the look"
mutant look '/^sleep_all\(/,/^\}/s/^\tmpq_time slice = .*$/&\n\tfor (size_t i = 0; i < n; i++)\n\t\t((struct watcher *)v)[i].snapshot = __atomic_load_n(v[i].word, __ATOMIC_ACQUIRE);/' \
	"wait asleep | put" "a watcher takes its snapshot after the look"
mutant wait '/^wake_add\(/,/^\}/s/__atomic_store_n\(word, \*word \+ 1, __ATOMIC_RELEASE\);/;/' \
	"get asleep | put" "a waker does not move the word"
mutant op '/^leave_done\(/,/^\}/{s/^\tcommit\(q\);$/\t;/
s/^\tlock_free\(q\);$/&\n\tcommit(q);/}' \
	"settle | put" "the commit comes after the lock"
echo "1..$number"
rm -rf "${dir:?}"
exit $failed
