#!/usr/bin/env bats
# Holds: messages taken and not yet done. What task-done counts, and what comes back when a holder ends.
# shellcheck disable=SC2154 # bg_pid, pid, status, stderr: helpers and bats set them

load helpers

# end PID: it is killed, and gone.
end() {
	kill -KILL "$1"
	reap "$1"
}

# take PID MESSAGE: what PID takes from q is MESSAGE.
take() {
	try 0 mpq-get -n -o "$1" q && [[ $output == "$2" ]]
}

got_now() {
	timeout -k 1 20 mpq-get -n q >got 2>/dev/null
}

setup_queue() {
	mpq-create q
	(($# == 0)) || mpq-put q "$@"
}

# two_holders: of a and b in q, $earlier holds the one, and $pid the other.
two_holders() {
	setup_queue a b
	live_pid
	earlier=$pid
	take "$earlier" a
	live_pid
	take "$pid" b
}

@test "get -o PID: the message is written and stays held: not in the size, unfinished" {
	setup_queue a b
	live_pid
	try 0 mpq-get -o "$pid" q
	[[ $output == a && -z $stderr ]]
	counts q 1 1 2
}

@test "get without -o or -D: gone once written, not held, unfinished until task-done" {
	setup_queue a
	try 0 mpq-get q
	counts q 0 0 1
	try 8 mpq-join -n q
	try 0 mpq-task-done q
	silent
	counts q 0 0 0
}

@test "get -D counts as done what has been written" {
	setup_queue a b c
	try 0 mpq-get -D q
	counts q 2 0 2
	try 0 mpq-get --done -c 2 q
	counts q 0 0 0
	stat_is dones 3 q
}

@test "get -P, -D, -o exclude each other: the last counts" {
	setup_queue a
	live_pid
	try 0 mpq-get -D -o "$pid" -P q
	counts q 1 0 1
	try 0 mpq-get -P -D -o "$pid" q
	counts q 0 1 1
	try 0 mpq-task-done -o "$pid" -a -R q
	counts q 1 0 1
	try 0 mpq-get -P -o "$pid" -D q
	counts q 0 0 0
}

@test "get -c and -a with -o: all that is taken is held" {
	setup_queue a b c d
	live_pid
	try 0 mpq-get -c 3 -o "$pid" q
	[[ $output == $'a\nb\nc' ]]
	counts q 1 3 4
	try 0 mpq-get -an -o "$pid" q
	[[ $output == d ]]
	counts q 0 4 4
}

@test "task-done -o PID ends the hold: done" {
	setup_queue a
	live_pid
	take "$pid" a
	try 0 mpq-task-done -o "$pid" q
	silent
	counts q 0 0 0
	stat_is dones 1 q
}

@test "task-done -o PID -c COUNT ends the hold on those that PID took first" {
	setup_queue a b c d
	live_pid
	try 0 mpq-get -c 4 -o "$pid" q
	try 0 mpq-task-done -c 2 -o "$pid" q
	counts q 0 2 2
	try 0 mpq-task-done -o "$pid" -a -R q
	left q c d
}

@test "task-done -o PID -a: all that it holds, none being 0" {
	setup_queue a b c
	live_pid
	try 0 mpq-get -c 3 -o "$pid" q
	try 0 mpq-task-done -a -o "$pid" q
	counts q 0 0 0
	try 0 mpq-task-done --all --owner "$pid" q
	silent
	counts q 0 0 0
}

@test "task-done -o PID touches no other's holds" {
	two_holders
	try 0 mpq-task-done -a -o "$earlier" q
	counts q 0 1 1
	try 9 mpq-task-done -o "$earlier" q
	counts q 0 1 1
	try 0 mpq-task-done -o "$pid" q
	counts q 0 0 0
}

@test "task-done -R puts back first instead of done, in the old order" {
	setup_queue a b c d
	live_pid
	try 0 mpq-get -c 3 -o "$pid" q
	try 0 mpq-task-done -R -c 2 -o "$pid" q
	silent
	counts q 3 1 4
	stat_is dones 0 q
	left q a b d
	try 0 mpq-task-done --requeue -a -o "$pid" q
	left q c
}

@test "task-done -R of one puts back the one taken first, without -c" {
	setup_queue a b c
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	try 0 mpq-task-done -R -o "$pid" q
	left q a c
}

@test "task-done -R wakes a waiting getter" {
	setup_queue a
	live_pid
	take "$pid" a
	bg mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	try 0 mpq-task-done -R -o "$pid" q
	reap "$getter"
	[[ $status == 0 && $(<got) == a ]]
}

@test "task-done -a and -R need an owner: usage" {
	setup_queue a
	misuse mpq-task-done -a q
	misuse mpq-task-done -R q
	misuse mpq-task-done -aR q
	counts q 1 0 1
}

@test "task-done: a COUNT or PID that is out of range is usage" {
	setup_queue a
	misuse mpq-task-done -c 0 q
	misuse mpq-task-done -c -1 q
	misuse mpq-task-done -c x q
	misuse mpq-task-done -c '' q
	misuse mpq-task-done -o x q
	misuse mpq-task-done -o 0 q
	misuse mpq-task-done -o -1 q
	misuse mpq-get -o x q
	misuse mpq-get -o 0 q
	misuse mpq-get -o '' q
	misuse mpq-task-done
	misuse mpq-task-done q r
	counts q 1 0 1
}

@test "task-done: 9 when said more often than there were tasks, and none of them is counted" {
	setup_queue a b
	try 0 mpq-get -c 2 q
	try 9 mpq-task-done -c 3 q
	complains "mpq-task-done: q"
	counts q 0 0 2
	try 0 mpq-task-done -c 2 q
	try 9 mpq-task-done q
	try 9 mpq-task-done --verbose q
	complains "mpq-task-done: q"
	counts q 0 0 0
}

@test "task-done: 9 on a queue that never had a message" {
	setup_queue
	try 9 mpq-task-done q
	live_pid
	try 9 mpq-task-done -o "$pid" q
	counts q 0 0 0
}

@test "task-done -o: 9 for more than PID holds, and none of them is counted" {
	setup_queue a b c
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	try 0 mpq-get q
	try 9 mpq-task-done -c 3 -o "$pid" q
	complains "mpq-task-done: q"
	counts q 0 2 3
	try 9 mpq-task-done -c 3 -R -o "$pid" q
	counts q 0 2 3
	try 0 mpq-task-done -c 2 -o "$pid" q
	counts q 0 0 1
}

@test "task-done without -o never counts what others hold" {
	setup_queue a b
	live_pid
	take "$pid" a
	try 0 mpq-get q
	try 9 mpq-task-done -c 2 q
	counts q 0 1 2
	try 0 mpq-task-done q
	counts q 0 1 1
	try 9 mpq-task-done q
	counts q 0 1 1
}

@test "task-done: the last of -c and -a, of -o and -O counts" {
	setup_queue a b c
	live_pid
	try 0 mpq-get -c 3 -o "$pid" q
	try 0 mpq-task-done -a -c 1 -o "$pid" q
	counts q 0 2 2
	try 9 mpq-task-done -o "$pid" -O q
	try 0 mpq-task-done -O -o "$pid" -c 1 -a q
	counts q 0 0 0
}

@test "task-done on a missing queue: 6; options may stand after NAME" {
	try 6 mpq-task-done q
	try 6 mpq-task-done -o $$ q
	setup_queue a
	live_pid
	take "$pid" a
	try 0 mpq-task-done q -o "$pid" -c 1
	counts q 0 0 0
}

@test "task-done on a closed queue still counts, and the last one wakes a getter with 5" {
	setup_queue a
	live_pid
	take "$pid" a
	try 0 mpq-close q
	bg mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	try 0 mpq-task-done -o "$pid" q
	reap "$getter"
	[[ $status == 5 && ! -s got ]]
}

@test "get -o: a PID that is not there is 1, and nothing is taken" {
	setup_queue a
	dead_pid
	try 1 mpq-get -o "$pid" q
	complains "mpq-get: q"
	counts q 1 0 1
	left q a
}

@test "get -o: a PID that is a zombie has ended: 1, and nothing is taken" {
	setup_queue a
	make_zombie
	kill -KILL "$zombie"
	wait_until state_is "$zombie" Z
	try 1 mpq-get -o "$zombie" q
	complains "mpq-get: q"
	left q a
}

# A shell that has become cat never asks for its child's end. Sets $zombie to the child, which lives at first.
make_zombie() {
	lifeline
	# shellcheck disable=SC2016 # the inner shell expands
	bg bash -c 'cat "$lifeline" & echo "$!" >zombie; exec cat "$lifeline"' 3>&-
	wait_until test -s zombie
	wait_until is_named "$bg_pid" cat
	zombie=$(<zombie)
}

@test "a holder that has become a zombie has ended: its message is in the queue again" {
	setup_queue a
	make_zombie
	take "$zombie" a
	counts q 0 1 1
	kill -KILL "$zombie"
	wait_until state_is "$zombie" Z
	counts q 1 0 1
	left q a
}

@test "a holder whose first thread has ended lives on: its message stays held" {
	command -v python3 >/dev/null || skip "python3, which makes such a process, is not here"
	setup_queue a
	bg python3 -c '
import ctypes, platform, threading
exit = {"x86_64": 60, "aarch64": 93}[platform.machine()]
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).syscall(exit, 0)'
	local holder=$bg_pid
	wait_until state_is "$holder" Z
	take "$holder" a
	counts q 0 1 1
	try 3 mpq-get -n q
	end "$holder"
	counts q 1 0 1
	left q a
}

@test "a PID that is used again is another process: what the first held is in the queue again" {
	unshare --pid --fork --mount-proc true 2>/dev/null || skip "no PID name space can be made here"
	lifeline
	cat >script <<'END'
start_time() {
	local stat
	read -r stat <"/proc/$1/stat"
	set -- ${stat##*) }
	started=${20}
}
mpq-create q
mpq-put q a
cat "$lifeline" &
old=$!
start_time "$old"
first=$started
mpq-get -o "$old" q
[[ $(mpq-stat -k held q) == 1 ]]
while
	kill -KILL "$old"
	wait "$old" || :
	{ echo $((old - 1)) >/proc/sys/kernel/ns_last_pid; } 2>/dev/null || exit 77
	cat "$lifeline" &
	[[ $! == "$old" ]] || exit 77
	start_time "$old"
	[[ $started == "$first" ]] # in the same hundredth of a second
do :; done
[[ $(mpq-stat -k held q) == 0 ]]
mpq-get -n q
END
	run --separate-stderr timeout -k 1 20 unshare --pid --fork --kill-child --mount-proc bash -e script
	[[ $status != 77 ]] || skip "PIDs cannot be chosen here"
	printf '%s\n' "$output" "$stderr"
	[[ $status == 0 && $output == $'a\na' ]]
}

@test "a killed holder's message is first in the queue again" {
	setup_queue a b
	live_pid
	take "$pid" a
	mpq-put q c
	end "$pid"
	counts q 3 0 3
	left q a b c
}

@test "a holder that ends by itself gives back as well" {
	setup_queue a
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 bash -c 'mpq-get -o $$ q; exit'
	[[ $output == a ]]
	counts q 1 0 1
	left q a
}

@test "a holder's messages come back in their old order, with what others held between them" {
	setup_queue 1 2 3 4 5 6
	live_pid
	local first=$pid
	live_pid
	local second=$pid
	take "$first" 1
	take "$second" 2
	take "$first" 3
	take "$second" 4
	end "$second"
	try 0 mpq-get -aP q
	[[ $output == $'2\n4\n5\n6' ]]
	end "$first"
	left q 1 2 3 4 5 6
}

@test "messages of many dead holders come back in their old order" {
	mpq-create q
	seq 40 | mpq-put q
	local i pids=()
	for i in {1..20}; do
		live_pid
		pids+=("$pid")
		take "$pid" "$i"
	done
	for i in {19..0}; do
		end "${pids[i]}"
	done
	counts q 40 0 40
	try 0 mpq-get -an q
	[[ $output == "$(seq 40)" ]]
}

@test "a getter that waits gets a dead holder's message within a second" {
	setup_queue a
	live_pid
	take "$pid" a
	bg mpq-get q >got
	local getter=$bg_pid start took
	wait_stat getters 1 q
	start=$(now)
	kill -KILL "$pid"
	reap "$getter"
	took=$(($(now) - start))
	printf 'took %s ms\n' "$took"
	[[ $status == 0 && $(<got) == a ]]
	((took < 5000)) # a second, and what a busy machine adds
}

@test "a get that does not wait finds a dead holder's message within a second" {
	setup_queue a
	live_pid
	take "$pid" a
	local start took
	start=$(now)
	end "$pid"
	wait_until got_now
	took=$(($(now) - start))
	printf 'took %s ms\n' "$took"
	[[ $(<got) == a ]]
	((took < 5000)) # a second, and what a busy machine adds
}

@test "a holder that is stopped, not killed, keeps what it holds" {
	setup_queue a b c
	live_pid
	local stopped=$pid
	take "$stopped" a
	kill -STOP "$stopped"
	wait_until stopped "$stopped"
	try 0 mpq-get q
	[ "$output" = b ]
	# Who waits looks for all who have died: when it has found another, it has seen this one.
	live_pid
	take "$pid" c
	bg mpq-get q >got
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$bg_pid"
	[[ $status == 0 && $(<got) == c ]]
	counts q 0 1 3
	kill -CONT "$stopped"
	try 0 mpq-task-done -o "$stopped" q
	counts q 0 0 2
}

@test "a holder keeps its message when another dies" {
	two_holders
	end "$pid"
	counts q 1 1 2
	left q b
	try 0 mpq-task-done -o "$earlier" q
}

@test "what a dead holder had can be held and done by another" {
	setup_queue a
	live_pid
	take "$pid" a
	end "$pid"
	live_pid
	take "$pid" a
	try 0 mpq-task-done -o "$pid" q
	counts q 0 0 0
}

@test "the hold is PID's, not the getter's: one that becomes another program keeps it" {
	setup_queue a
	lifeline
	# shellcheck disable=SC2016 # the inner shell expands
	bg bash -c 'mpq-get -o $$ q >/dev/null; exec cat "$lifeline"'
	wait_until is_named "$bg_pid" cat
	counts q 0 1 1
	end "$bg_pid"
	counts q 1 0 1
}

@test "what comes back may exceed the bounds, and is not lost" {
	mpq-create -m 1 q
	mpq-put q a
	live_pid
	take "$pid" a
	try 0 mpq-put -n q b
	end "$pid"
	counts q 2 0 2
	try 4 mpq-put -n q c
	left q a b
}

@test "what is got for a PID that ends while the get waits is not lost" {
	setup_queue
	live_pid
	bg mpq-get -o "$pid" q >got
	wait_stat getters 1 q
	end "$pid"
	mpq-put q a
	try 0 mpq-get -t 10 q
	[[ $output == a ]]
}

@test "get -o: PID's own holds do not keep its own get from 5" {
	setup_queue a
	live_pid
	take "$pid" a
	try 0 mpq-close q
	try 5 mpq-get -o "$pid" q
	silent
	try 5 mpq-get -n -o "$pid" q
	try 0 mpq-get -a -o "$pid" q
	silent
	counts q 0 1 1
}

@test "get -o: what others hold does keep it from 5" {
	setup_queue a
	live_pid
	local holder=$pid
	take "$holder" a
	try 0 mpq-close q
	live_pid
	try 3 mpq-get -n -o "$pid" q
	try 3 mpq-get -n q
	bg mpq-get -o "$pid" q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	end "$holder"
	reap "$getter"
	[[ $status == 0 && $(<got) == a ]]
	counts q 0 1 1
}

@test "get -O: held by the process that started it, also in x=\$(mpq-get -O q)" {
	local shell
	for shell in bash sh; do
		mpq-create "q-$shell"
		mpq-put "q-$shell" a b
		# shellcheck disable=SC2016 # the inner shell expands
		try 0 "$shell" -ec 'x=$(mpq-get -O "$1")
			mpq-get -O "$1" >/dev/null
			mpq-stat -k held "$1"
			mpq-task-done -c 2 -o $$ "$1"
			echo "$x"
			exit' "$shell" "q-$shell"
		[[ $output == $'2\na' ]]
		counts "q-$shell" 0 0 0
	done
}

@test "get -O: with a redirection in \$(...), exec makes it the shell that waits for it" {
	local shell
	setup_queue
	for shell in bash sh; do
		mpq-put q a
		# shellcheck disable=SC2016 # the inner shell expands
		try 0 "$shell" -ec 'x=$(exec mpq-get -O q 2>>log)
			mpq-stat -k held q
			mpq-task-done -O q
			echo "$x"
			exit'
		[[ $output == $'1\na' ]]
		counts q 0 0 0
	done
}

@test "task-done -O ends the holds of the process that started it" {
	setup_queue a b c
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 bash -ec 'mpq-get -c 3 -o $$ q >/dev/null
		mpq-task-done -O q
		mpq-stat -k held q
		mpq-task-done --owner-parent --requeue q
		mpq-stat -k held q
		mpq-task-done -Oa q
		mpq-stat -k held q
		exit'
	[[ $output == $'2\n1\n0' ]]
	left q b
}

@test "get -O: a script that ends without task-done gives back" {
	setup_queue a
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 sh -c 'x=$(mpq-get --owner-parent q) && test "$x" = a; exit'
	counts q 1 0 1
	left q a
}

@test "get -o \$BASHPID: a background function holds for itself, not for its parent" {
	setup_queue a b
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 bash -ec 'work() { mpq-get -o "$BASHPID" q >/dev/null && mpq-task-done -o "$BASHPID" q; }
		drop() { mpq-get -o "$BASHPID" q >/dev/null; }
		work &
		wait "$!"
		mpq-stat -k unfinished q
		drop &
		wait "$!"
		mpq-stat -k held q
		exit'
	[[ $output == $'1\n0' ]]
	left q b
}
