#!/usr/bin/env bats
# mpq-get: what it takes, how many, until when; peeking, done, holding; what happens when it cannot write.

# shellcheck disable=SC2154 # run and helpers set the variables
load helpers

# file_is FILE TEXT
file_is() {
	[[ $(<"$1") == "$2" ]]
}

# broken_pipe: leaves descriptor 6 as the end of a pipe that nobody reads.
broken_pipe() {
	mkfifo fifo
	exec 5<>fifo
	exec 6>fifo 5>&-
}

@test "takes the oldest message and writes it and a newline" {
	try 0 mpq-create q
	try 0 mpq-put q one two
	timeout 20 mpq-get q >got
	printf 'one\n' | cmp - got
	stat_is size 1 q
	try 0 mpq-get q
	[ "$output" = two ]
	[ -z "$stderr" ]
	stat_is size 0 q
}

@test "an empty message is a newline alone" {
	try 0 mpq-create q
	try 0 mpq-put q ''
	timeout 20 mpq-get q >got
	printf '\n' | cmp - got
}

@test "a message with a newline in it is written as it is" {
	try 0 mpq-create q
	try 0 mpq-put q $'one\ntwo\n' three
	timeout 20 mpq-get -an q | cmp - <(printf 'one\ntwo\n\nthree\n')
}

@test "-0 and -L keep messages with newlines apart" {
	try 0 mpq-create q
	try 0 mpq-put q $'a\nb' $'c\n' $'a\nb' $'c\n'
	timeout 20 mpq-get -n0 -c 2 q | cmp - <(printf 'a\nb\0c\n\0')
	timeout 20 mpq-get -nL -c 2 q | cmp - <(printf '\0\0\0\3a\nb\0\0\0\2c\n')
}

@test "-r writes the bytes alone" {
	try 0 mpq-create q
	try 0 mpq-put q one '' two
	timeout 20 mpq-get -anr q | cmp - <(printf onetwo)
}

# --- waiting

@test "-n: Empty is 3 at once, and prints nothing" {
	try 0 mpq-create q
	try 3 mpq-get -n q
	silent
}

@test "-t: Empty is 3 after the time, not before" {
	try 0 mpq-create q
	lasts 300 15000 3 mpq-get -t 0.3 q
	silent
}

@test "-t: a message within the time is taken" {
	try 0 mpq-create q
	bg mpq-get -t 10 q >got
	wait_stat getters 1 q
	try 0 mpq-put q x
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat got)" = x ]
	wait_stat getters 0 q
}

@test "without -n and -t it waits for a message" {
	try 0 mpq-create q
	bg mpq-get q >got
	wait_stat getters 1 q
	[ ! -s got ]
	try 0 mpq-put q x y
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat got)" = x ]
	stat_is size 1 q
}

@test "each of several who wait gets a message of its own" {
	local i pids=()
	try 0 mpq-create q
	for i in {1..8}; do
		bg mpq-get q >"got.$i"
		pids+=("$bg_pid")
	done
	wait_stat getters 8 q
	seq 8 | try 0 mpq-put q
	reap_all "${pids[@]}"
	sort -n got.* | cmp - <(seq 8)
}

@test "a killed getter that waited takes nothing, and does not delay the next" {
	try 0 mpq-create q
	bg mpq-get q >killed
	local first=$bg_pid
	wait_stat getters 1 q
	bg mpq-get q >got
	wait_stat getters 2 q
	kill -KILL "$first"
	try 0 mpq-put q x
	reap "$bg_pid"
	[ "$(cat got)" = x ]
	[ ! -s killed ]
	wait_stat getters 0 q
}

# --- Closed

@test "closed and empty is 5, and prints nothing" {
	try 0 mpq-create q
	try 0 mpq-close q
	try 5 mpq-get q
	silent
	try 5 mpq-get -n q
	try 5 mpq-get -t 10 q
}

@test "what is left in a closed queue can still be taken, then 5" {
	try 0 mpq-create q
	try 0 mpq-put q one two
	try 0 mpq-close q
	try 0 mpq-get q
	[ "$output" = one ]
	try 0 mpq-get -n q
	[ "$output" = two ]
	try 5 mpq-get q
}

@test "all who wait get 5 when the queue is closed" {
	local i pids=()
	try 0 mpq-create q
	for i in {1..4}; do
		bg mpq-get q >>got
		pids+=("$bg_pid")
	done
	wait_stat getters 4 q
	try 0 mpq-close q
	reap_with 5 "${pids[@]}"
	[ ! -s got ]
}

@test "closed and empty is not 5 while a message is held: it may come back" {
	live_pid
	try 0 mpq-create q
	try 0 mpq-put q x
	try 0 mpq-get -o "$pid" q
	try 0 mpq-close q
	try 3 mpq-get -n q
	try 3 mpq-get -t 0.05 q
	bg mpq-get q >got
	wait_stat getters 1 q
	try 0 mpq-task-done -R -o "$pid" q
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat got)" = x ]
	try 5 mpq-get q
}

@test "who waits at a closed queue gets 5 when the last held message is done" {
	live_pid
	try 0 mpq-create q
	try 0 mpq-put q x
	try 0 mpq-get -o "$pid" q
	try 0 mpq-close q
	bg mpq-get q >got
	wait_stat getters 1 q
	try 0 mpq-task-done -o "$pid" q
	reap "$bg_pid"
	[ "$status" -eq 5 ]
	[ ! -s got ]
}

# --- 6

@test "no such queue: 6" {
	try 6 mpq-get -n none
	complains "mpq-get: none"
	try 6 mpq-get none
	try 6 mpq-get -a none
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

@test "who waits gets 6 when the queue is removed, though another has its name" {
	local pids=()
	try 0 mpq-create q
	bg mpq-get q 2>err
	pids+=("$bg_pid")
	bg mpq-get -t 20 -c 2 q 2>/dev/null
	pids+=("$bg_pid")
	bg mpq-get -a q 2>/dev/null
	pids+=("$bg_pid")
	wait_stat getters 3 q
	try 0 mpq-rm q
	try 0 mpq-create q
	try 0 mpq-put q x
	local i
	reap_with 6 "${pids[@]}"
	[[ $(cat err) == "mpq-get: q: "* ]]
	stat_is size 1 q
}

# --- -c

@test "-c takes up to COUNT" {
	try 0 mpq-create q
	seq 1000 | try 0 mpq-put q
	try 0 mpq-get -c 3 q
	[ "$output" = $'1\n2\n3' ]
	timeout 20 mpq-get -c 500 q | cmp - <(seq 4 503)
	try 0 mpq-get -n -c 1000 q
	[ "$output" = "$(seq 504 1000)" ]
	stat_is size 0 q
}

@test "-c with -n takes those that are there: 0 if at least one was written, else 3" {
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	try 0 mpq-get -n -c 5 q
	[ "$output" = $'1\n2' ]
	[ -z "$stderr" ]
	try 3 mpq-get -n -c 5 q
}

@test "-c of a closed queue: 0 if at least one was written, else 5" {
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	try 0 mpq-close q
	try 0 mpq-get -c 5 q
	[ "$output" = $'1\n2' ]
	[ -z "$stderr" ]
	try 5 mpq-get -c 5 q
}

@test "-c with -t: 0 if at least one was written, else 3" {
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	lasts 200 15000 0 mpq-get -t 0.2 -c 5 q
	[ "$output" = $'1\n2' ]
	lasts 200 15000 3 mpq-get -t 0.2 -c 5 q
}

@test "-c waits for the rest, and each is written as soon as it comes" {
	local i
	try 0 mpq-create q
	bg mpq-get -c 3 q >got
	for i in 1 2; do
		wait_stat getters 1 q
		try 0 mpq-put q "$i"
		wait_until file_is got "$(seq "$i")"
	done
	wait_stat getters 1 q
	try 0 mpq-put q 3 4
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	seq 3 | cmp - got
	stat_is size 1 q
}

@test "-t is the time for one message: it starts again at each, with -c and with -a" {
	local i=0 end getters=()
	try 0 mpq-create c
	try 0 mpq-create a
	bg mpq-get -t 5 -c 100000 c >got.c
	getters+=("$bg_pid")
	bg mpq-get -t 5 -a a >got.a
	getters+=("$bg_pid")
	wait_stat getters 1 c
	wait_stat getters 1 a
	end=$(($(now) + 5000)) # of what they had for the first
	while (($(now) <= end)); do
		one_more "$((++i))"
	done
	one_more "$((++i))"
	try 0 mpq-close c
	try 0 mpq-close a
	reap_all "${getters[@]}"
}

# one_more NUMBER: one message more comes to both; they are numbered from 1.
one_more() {
	mpq-put c "$1"
	mpq-put a "$1"
	wait_until file_is got.c "$(seq "$1")"
	wait_until file_is got.a "$(seq "$1")"
	wait_stat getters 1 c
	wait_stat getters 1 a
}

@test "removed in the middle of -c: 0 if at least one was written" {
	try 0 mpq-create q
	try 0 mpq-put q 1
	bg mpq-get -c 2 q >got
	wait_until file_is got "$(seq 1)"
	wait_stat getters 1 q
	try 0 mpq-rm q
	reap "$bg_pid"
	[ "$status" -eq 0 ]
}

# --- -a

@test "-a takes all until the queue is closed, each as soon as it comes, and is 0 then" {
	local i
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	bg mpq-get -a q >got
	wait_until file_is got "$(seq 2)"
	for i in 3 4; do
		wait_stat getters 1 q
		try 0 mpq-put q "$i"
		wait_until file_is got "$(seq "$i")"
	done
	try 0 mpq-close q
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	seq 4 | cmp - got
}

@test "-a that reaches the end is 0 even if there was nothing" {
	try 0 mpq-create q
	try 0 mpq-close q
	try 0 mpq-get -a q
	silent
	try 0 mpq-create r
	bg mpq-get -a r
	wait_stat getters 1 r
	try 0 mpq-close r
	reap "$bg_pid"
	[ "$status" -eq 0 ]
}

@test "-a waits while a message is held, and takes it when it comes back" {
	live_pid
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	try 0 mpq-get -o "$pid" q
	try 0 mpq-close q
	bg mpq-get -a q >got
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat got)" = $'2\n1' ]
}

@test "-a -n takes those that are there: 0 if at least one was written, else 3 or 5" {
	try 0 mpq-create q
	try 3 mpq-get -an q
	try 0 mpq-put q 1 2
	try 0 mpq-get -an q
	[ "$output" = $'1\n2' ]
	try 0 mpq-put q 3
	try 0 mpq-close q
	try 0 mpq-get -an q
	[ "$output" = 3 ]
	try 5 mpq-get -an q
	try 5 mpq-get -a -t 1 q
}

@test "-a -t ends when none came in the time: 3 if there was none at all, else 0" {
	try 0 mpq-create q
	lasts 200 15000 3 mpq-get -a -t 0.2 q
	try 0 mpq-put q 1 2
	lasts 200 15000 0 mpq-get -a -t 0.2 q
	[ "$output" = $'1\n2' ]
}

# --- -P

@test "-P writes the oldest and does not take it" {
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	try 0 mpq-get -P q
	[ "$output" = 1 ]
	try 0 mpq-get -nP q
	[ "$output" = 1 ]
	stat_is size 2 q
	stat_is held 0 q
	stat_is unfinished 2 q
	try 0 mpq-get -an q
	[ "$output" = $'1\n2' ]
}

@test "-P -c and -P -a write those that are there, from the front, once, and do not wait for more" {
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	try 0 mpq-get -P -c 3 q
	[ "$output" = $'1\n2\n3' ]
	try 0 mpq-get -P -c 9 q
	[ "$output" = "$(seq 5)" ]
	try 0 mpq-get -P -a q
	[ "$output" = "$(seq 5)" ]
	try 0 mpq-get -P -a -n q
	[ "$output" = "$(seq 5)" ]
	stat_is size 5 q
}

@test "-P of a long queue writes all of it, in every framing, and takes none" {
	try 0 mpq-create q
	seq 50000 >expected
	try 0 mpq-put q <expected
	timeout 20 mpq-get -Pa q | cmp - expected
	timeout 20 mpq-get -Pa0 q | tr '\0' '\n' | cmp - expected
	timeout 20 mpq-get -Par q | cmp - <(tr -d '\n' <expected)
	stat_is size 50000 q
	timeout 20 mpq-get -an q | cmp - expected
}

@test "-P waits for the first" {
	local option
	try 0 mpq-create q
	for option in -P -Pa -Pc9; do
		bg mpq-get "$option" q >got
		wait_stat getters 1 q
		try 0 mpq-put q x
		reap "$bg_pid"
		[ "$status" -eq 0 ]
		[ "$(cat got)" = x ]
		try 0 mpq-get -n q
	done
}

@test "-P: 3 when there is none in the time, 5 when none can come" {
	try 0 mpq-create q
	try 3 mpq-get -nP q
	silent
	try 3 mpq-get -P -t 0.05 -c 2 q
	try 0 mpq-put q x
	try 0 mpq-close q
	try 0 mpq-get -P q
	try 0 mpq-get -n q
	try 5 mpq-get -P q
	silent
}

@test "-P whose output breaks takes nothing either" {
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	local s=0
	timeout 20 mpq-get -Pa q >/dev/full 2>/dev/null || s=$?
	[ "$s" -eq 1 ]
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

# --- -D

@test "a message got is not done before task-done" {
	try 0 mpq-create q
	try 0 mpq-put q 1 2
	try 0 mpq-get -n q
	stat_is unfinished 2 q
	stat_is held 0 q
	try 8 mpq-join -n q
	try 0 mpq-task-done q
	stat_is unfinished 1 q
}

@test "-D counts as done what has been written" {
	try 0 mpq-create q
	seq 6 | try 0 mpq-put q
	try 0 mpq-get -D q
	[ "$output" = 1 ]
	stat_is unfinished 5 q
	stat_is size 5 q
	try 0 mpq-get -D -c 2 q
	stat_is unfinished 3 q
	try 0 mpq-close q
	try 0 mpq-get -aD q
	[ "$output" = $'4\n5\n6' ]
	stat_is unfinished 0 q
	try 0 mpq-join -n q
}

@test "-D does not count as done what could not be written" {
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	local s=0
	timeout 20 mpq-get -anD q >/dev/full 2>/dev/null || s=$?
	[ "$s" -eq 1 ]
	stat_is unfinished 3 q
	stat_is size 3 q
}

@test "who joins is woken by get -D" {
	try 0 mpq-create q
	try 0 mpq-put q x
	bg mpq-join q
	local joiner=$bg_pid
	try 0 mpq-get -D q
	reap "$joiner"
	[ "$status" -eq 0 ]
}

# --- -o and -O

@test "-o: messages stay held by PID until its task-done" {
	live_pid
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	try 0 mpq-get -n -o "$pid" -c 2 q
	[ "$output" = $'1\n2' ]
	stat_is size 1 q
	stat_is held 2 q
	stat_is unfinished 3 q
	try 0 mpq-task-done -o "$pid" -c 2 q
	stat_is held 0 q
	stat_is unfinished 1 q
}

@test "-o: if PID ends first, they are first in the queue again, in their old order, within a second" {
	live_pid
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	try 0 mpq-get -n -o "$pid" -c 3 q
	kill -KILL "$pid"
	reap "$pid"
	try 0 mpq-get -n -c 5 q # and at once, if anybody asks
	[ "$output" = "$(seq 5)" ]
	stat_is held 0 q
}

@test "-o: who waits gets what comes back when PID ends" {
	live_pid
	try 0 mpq-create q
	try 0 mpq-put q x
	try 0 mpq-get -n -o "$pid" q
	bg mpq-get q >got
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat got)" = x ]
}

@test "-o with a PID that is not there: 1, and nothing is taken" {
	dead_pid
	try 0 mpq-create q
	try 0 mpq-put q x
	try 1 mpq-get -n -o "$pid" q
	complains mpq-get
	stat_is size 1 q
	stat_is held 0 q
}

@test "-o: PID's own holds do not keep its own get from 5" {
	live_pid
	try 0 mpq-create q
	try 0 mpq-put q x
	try 0 mpq-get -n -o "$pid" q
	try 0 mpq-close q
	try 5 mpq-get -o "$pid" q
	try 0 mpq-get -a -o "$pid" q
	silent
	try 3 mpq-get -n q
}

@test "-o with what could not be written: not held, but first in the queue again" {
	live_pid
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	local s=0
	timeout 20 mpq-get -n -o "$pid" -c 2 q >/dev/full 2>/dev/null || s=$?
	[ "$s" -eq 1 ]
	stat_is held 0 q
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

@test "-O is the shell that started the command, also in a command substitution" {
	try 0 mpq-create q
	try 0 mpq-put q x y
	cat >script <<-'END'
		x=$(mpq-get -nO q)
		echo "$x $$ $(mpq-stat -k held q)"
		mpq-task-done -o $$ q || exit
		mpq-stat -k held q
		mpq-get -nO q
		mpq-stat -k held q
	END
	try 0 bash script
	[[ $output =~ ^"x "[0-9]+" 1"$'\n0\ny\n1'$ ]]
	wait_stat held 0 q
	stat_is size 1 q
	stat_is unfinished 1 q
}

# --- output that breaks

@test "/dev/full: 1, said why, and the messages are first in the queue again" {
	local option s
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	for option in -n -nv -an -anL -an0 -anr -nc3; do
		s=0
		timeout 20 mpq-get "$option" q >/dev/full 2>err || s=$?
		[ "$s" -eq 1 ]
		[[ $(head -n 1 err) == "mpq-get: "?* ]]
	done
	stat_is size 5 q
	try 0 mpq-get -an q
	[ "$output" = "$(seq 5)" ]
}

@test "closed standard output: 1, and nothing is taken" {
	local s=0
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	timeout 20 mpq-get -an q >&- 2>err || s=$?
	[ "$s" -eq 1 ]
	[[ $(cat err) == "mpq-get: "?* ]]
	try 0 mpq-get -an q
	[ "$output" = "$(seq 5)" ]
}

@test "standard output that is only for reading: 1, and nothing is taken" {
	local s=0
	try 0 mpq-create q
	try 0 mpq-put q x
	: >file
	timeout 20 mpq-get -n q 1<file 2>err || s=$?
	[ "$s" -eq 1 ]
	stat_is size 1 q
}

@test "a broken pipe ends it as SIGPIPE does, and nothing is taken" {
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	broken_pipe
	local s=0
	timeout 20 mpq-get -an q >&6 || s=$?
	exec 6>&-
	[ "$s" -eq 141 ]
	try 0 mpq-get -an q
	[ "$output" = "$(seq 5)" ]
}

@test "where SIGPIPE is ignored a broken pipe is no success either, and nothing is taken" {
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	broken_pipe
	local s=0
	(
		trap '' PIPE
		exec timeout 20 mpq-get -an q >&6 2>err
	) || s=$?
	exec 6>&-
	[ "$s" -eq 1 ] || [ "$s" -eq 141 ]
	try 0 mpq-get -an q
	[ "$output" = "$(seq 5)" ]
}

# --- -v

@test "-v counts what was got" {
	try 0 mpq-create jobs
	seq 100000 | try 0 mpq-put jobs
	try 0 mpq-get -v jobs
	[ "$stderr" = "mpq-get: jobs: 1 got" ]
	try 0 mpq-get -v -c 12 jobs
	[ "$stderr" = "mpq-get: jobs: 12 got" ]
	timeout 20 mpq-get -anv jobs 2>err >/dev/null
	[ "$(cat err)" = "mpq-get: jobs: 99987 got" ]
	try 3 mpq-get -nv jobs
	[ "$(last_line)" = "mpq-get: jobs: 0 got" ]
}

@test "nothing but the messages goes to standard output, with -v too" {
	try 0 mpq-create q
	try 0 mpq-put q x y
	timeout 20 mpq-get -anv q 2>/dev/null | cmp - <(printf 'x\ny\n')
	try 3 mpq-get -nv q
	[ -z "$output" ]
}
