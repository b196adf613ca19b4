#!/usr/bin/env bats
# mpq-put: messages from the command line and from standard input, Full, Closed, and what remains of either.

# shellcheck disable=SC2154,SC2217 # run and helpers set the variables; bg is a helper that reads
load helpers

# leaves STATUS COMMAND [ARG ...]: COMMAND must end with STATUS; then what it has left of standard input is printed.
leaves() {
	local expected=$1 s=0
	shift
	timeout 20 "$@" || s=$?
	cat
	printf '%s: status %s\n' "$*" "$s" >&2
	[ "$s" -eq "$expected" ]
}

# --- MESSAGEs

@test "puts each MESSAGE, in order, and prints nothing" {
	try 0 mpq-create q
	try 0 mpq-put q one 'two words' three
	silent
	stat_is size 3 q
	stat_is unfinished 3 q
	try 0 mpq-get -an q
	[ "$output" = $'one\ntwo words\nthree' ]
}

@test "a MESSAGE may be empty" {
	try 0 mpq-create q
	try 0 mpq-put q '' x ''
	stat_is size 3 q
	timeout 20 mpq-get -an q | cmp - <(printf '\nx\n\n')
}

@test "a MESSAGE is any bytes, newlines and non-text too, and is not split" {
	try 0 mpq-create q
	# shellcheck disable=SC2016 # not to be expanded
	try 0 mpq-put q $'two\nlines\n' $'\1\33\177\200\377' '%s\n\0{}$(x)'
	stat_is size 3 q
	# shellcheck disable=SC2016
	timeout 20 mpq-get -an0 q | cmp - <(printf 'two\nlines\n\0\1\33\177\200\377\0%s\0' '%s\n\0{}$(x)')
}

@test "a long MESSAGE is put whole" {
	local message
	try 0 mpq-create q
	printf -v message '%0100000d' 7
	try 0 mpq-put q "$message" x
	try 0 mpq-get -n q
	[ "$output" = "$message" ]
	try 0 mpq-get -n q
	[ "$output" = x ]
}

@test "many MESSAGEs" {
	local messages
	try 0 mpq-create q
	seq 5000 >expected
	mapfile -t messages <expected
	try 0 mpq-put -v q "${messages[@]}"
	[ "$stderr" = "mpq-put: q: 5000 put" ]
	timeout 20 mpq-get -an q | cmp - expected
}

@test "with a MESSAGE standard input is left alone" {
	try 0 mpq-create q
	printf 'line\n' >lines
	leaves 0 mpq-put q x <lines >rest
	cmp rest lines
	try 0 mpq-get -an q
	[ "$output" = x ]
}

@test "the framing options do not concern a MESSAGE" {
	try 0 mpq-create q
	try 0 mpq-put -0 q $'a\nb' c
	try 0 mpq-put -r q d e </dev/null
	try 0 mpq-put -L q f </dev/null
	timeout 20 mpq-get -an0 q | cmp - <(printf 'a\nb\0c\0d\0e\0f\0')
}

@test "first in, first out across commands and ways to put" {
	try 0 mpq-create q
	try 0 mpq-put q 1
	printf '2\n3\n' | try 0 mpq-put q
	try 0 mpq-put q 4
	printf 5 | try 0 mpq-put -r q
	printf '\0\0\0\0016' | try 0 mpq-put -L q
	printf '7\0' | try 0 mpq-put -0 q
	try 0 mpq-put q 8
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3\n4\n5\n6\n7\n8' ]
}

# --- standard input

@test "without a MESSAGE each line of standard input is one" {
	try 0 mpq-create q
	try 0 mpq-put q < <(printf 'one\n two \nthree\n')
	silent
	stat_is size 3 q
	timeout 20 mpq-get -an q | cmp - <(printf 'one\n two \nthree\n')
}

@test "a last line without newline counts" {
	try 0 mpq-create q
	try 0 mpq-put -v q < <(printf 'one\ntwo')
	[ "$stderr" = "mpq-put: q: 2 put" ]
	try 0 mpq-get -an q
	[ "$output" = $'one\ntwo' ]
}

@test "an empty line is an empty message" {
	try 0 mpq-create q
	try 0 mpq-put -v q < <(printf '\n\nx\n\n')
	[ "$stderr" = "mpq-put: q: 4 put" ]
	timeout 20 mpq-get -anL q | cmp - <(printf '\0\0\0\0\0\0\0\0\0\0\0\1x\0\0\0\0')
}

@test "no input is 0, and puts nothing" {
	local flag
	try 0 mpq-create q
	for flag in -v -v0 -vL; do
		try 0 mpq-put "$flag" q </dev/null
		[ "$stderr" = "mpq-put: q: 0 put" ]
		try 0 mpq-put "$flag" q < <(:)
	done
	stat_is size 0 q
	stat_is unfinished 0 q
}

@test "no input with -r is one empty message" {
	try 0 mpq-create q
	try 0 mpq-put -vr q </dev/null
	[ "$stderr" = "mpq-put: q: 1 put" ]
	stat_is size 1 q
	stat_is bytes 0 q
	timeout 20 mpq-get -nL q | cmp - <(printf '\0\0\0\0')
}

@test "-v counts what came on standard input" {
	try 0 mpq-create jobs
	try 0 mpq-put -v jobs < <(seq 12)
	[ "$stderr" = "mpq-put: jobs: 12 put" ]
	try 0 mpq-put --verbose jobs < <(seq 100000)
	[ "$stderr" = "mpq-put: jobs: 100000 put" ]
}

@test "standard input that cannot be read is an error: 1" {
	try 0 mpq-create q
	try 1 mpq-put q </
	complains mpq-put
	try 1 mpq-put -r q </
	complains mpq-put
	stat_is size 0 q
}

@test "standard input that is only for writing is an error: 1" {
	try 0 mpq-create q
	: >file
	try 1 mpq-put q 0>>file
	complains mpq-put
	stat_is size 0 q
}

# --- Closed

@test "a closed queue is 5, and no MESSAGE is put" {
	try 0 mpq-create q
	try 0 mpq-put q before
	try 0 mpq-close q
	try 5 mpq-put q x
	silent
	try 5 mpq-put -n q x
	try 5 mpq-put -t 10 q x
	try 0 mpq-get -an q
	[ "$output" = before ]
	stat_is unfinished 1 q
}

@test "a closed queue is 5 before anything is read" {
	local flag
	try 0 mpq-create q
	try 0 mpq-close q
	mkfifo fifo
	exec 5<>fifo
	for flag in -v -v0 -vr -vL; do
		try 5 mpq-put "$flag" q <fifo # with nothing in it: reading would wait
		printf 'line\n' >&5
		try 5 mpq-put "$flag" q <fifo
		[ "$(pipe_level 5)" -eq 5 ]
		read -r <&5
	done
	exec 5>&-
}

@test "a closed queue is 5 even when there is no input" {
	local flag
	try 0 mpq-create q
	try 0 mpq-close q
	for flag in -v -v0 -vr -vL; do
		try 5 mpq-put "$flag" q </dev/null
		[ "$(last_line)" = "mpq-put: q: 0 put" ]
	done
}

@test "closed and full is Closed" {
	try 0 mpq-create -m 1 q
	try 0 mpq-put q x
	try 0 mpq-close q
	try 5 mpq-put q y
	try 5 mpq-put -n q y
}

@test "a put that waits for room ends with 5 when the queue is closed; what was put stays put" {
	try 0 mpq-create -m 2 q
	bg mpq-put -v q 1 2 3 4 2>err
	wait_stat putters 1 q
	try 0 mpq-close q
	reap "$bg_pid"
	[ "$status" -eq 5 ]
	[ "$(tail -n 1 err)" = "mpq-put: q: 2 put" ]
	try 0 mpq-get -an q
	[ "$output" = $'1\n2' ]
}

@test "a put that waits for input ends with 5 at the first line after the close; what was put stays put" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put -v q <fifo 2>err
	printf 'one\n' >&5
	wait_stat size 1 q
	try 0 mpq-close q
	printf 'two\nthree\n' >&5
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 5 ]
	[ "$(tail -n 1 err)" = "mpq-put: q: 1 put" ]
	try 0 mpq-get -an q
	[ "$output" = one ]
}

# --- Full

@test "-n: Full is 4 at once; what was put stays put, in order" {
	try 0 mpq-create -m 3 q
	try 4 mpq-put -n q 1 2 3 4 5
	silent
	try 4 mpq-put -nv q 6
	[ "$(last_line)" = "mpq-put: q: 0 put" ]
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
	stat_is unfinished 3 q
}

@test "-n: Full from standard input; what was put stays put" {
	try 0 mpq-create -m 3 q
	try 4 mpq-put -nv q < <(seq 5)
	[ "$(last_line)" = "mpq-put: q: 3 put" ]
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

@test "-t: Full is 4 after the time, not before" {
	try 0 mpq-create -m 1 q
	lasts 300 15000 4 mpq-put -t 0.3 q 1 2
	lasts 300 15000 4 mpq-put -t 0.3 q < <(echo 3)
	try 0 mpq-get -an q
	[ "$output" = 1 ]
}

@test "-t: room within the time is taken" {
	try 0 mpq-create -m 1 q
	try 0 mpq-put q 1
	bg mpq-put -t 10 q 2
	wait_stat putters 1 q
	try 0 mpq-get -n q
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	wait_stat putters 0 q
	try 0 mpq-get -n q
	[ "$output" = 2 ]
}

@test "without -n and -t it waits for room" {
	try 0 mpq-create -m 1 q
	bg mpq-put q 1 2 3
	local i
	for i in 1 2 3; do
		try 0 mpq-get -t 10 q
		[ "$output" = "$i" ]
	done
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	stat_is size 0 q
}

@test "-b: a put that waits goes on when there is room enough" {
	try 0 mpq-create -b 10 q
	try 0 mpq-put q 12 345678
	bg mpq-put q abcde
	wait_stat putters 1 q
	try 0 mpq-get -n q
	[ "$output" = 12 ]
	stat_is size 1 q
	try 0 mpq-get -n q
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	try 0 mpq-get -n q
	[ "$output" = abcde ]
}

@test "-t is the time for one message: it starts again at each" {
	local i=0 end
	try 0 mpq-create -m 1 q
	try 0 mpq-put q 0
	bg mpq-put -t 5 q {1..20000}
	wait_stat putters 1 q
	end=$(($(now) + 5000)) # of what it had for the first
	while (($(now) <= end)); do
		try 0 mpq-get q
		[ "$output" = $((i++)) ]
	done
	try 0 mpq-get q
	[ "$output" = "$i" ]
	wait_stat size 1 q
	try 0 mpq-close q
	reap "$bg_pid"
	[ "$status" -eq 5 ]
}

@test "-t does not limit the wait for input" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put -t 0.000001 q <fifo # which is over when it sleeps
	local line
	for line in 1 2 3; do
		wait_until sleeps_in "$bg_pid" read
		echo "$line" >&5
		wait_stat size "$line" q
	done
	wait_until sleeps_in "$bg_pid" read
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 0 ]
}

@test "while several wait for room none is lost and none put twice" {
	local i pids=()
	try 0 mpq-create -m 1 q
	try 0 mpq-put q 0
	for i in {1..8}; do
		bg mpq-put q "$i"
		pids+=("$bg_pid")
	done
	wait_stat putters 8 q
	timeout 20 mpq-get -c 9 q >got
	reap_all "${pids[@]}"
	[ "$(head -n 1 got)" = 0 ]
	sort -n got | cmp - <(seq 0 8)
}

# --- 10

@test "a message that can never fit is 10 at once, though put may wait" {
	try 0 mpq-create -b 5 q
	try 10 mpq-put q 123456
	complains "mpq-put: q"
	try 10 mpq-put -n q 123456
	try 10 mpq-put -t 10 q 123456
	stat_is size 0 q
	stat_is unfinished 0 q
}

@test "a message that can never fit is 10 also while the queue is full" {
	try 0 mpq-create -b 5 q
	try 0 mpq-put q 12345
	try 10 mpq-put q 123456
	stat_is size 1 q
}

@test "what was put before a message that can never fit stays put, and nothing after it is" {
	try 0 mpq-create -b 5 q
	try 10 mpq-put -v q ab 123456 c
	[ "$(last_line)" = "mpq-put: q: 1 put" ]
	try 0 mpq-get -an q
	[ "$output" = ab ]
	try 10 mpq-put -v q < <(printf 'ab\n123456\nc\n')
	[ "$(last_line)" = "mpq-put: q: 1 put" ]
	try 0 mpq-get -an q
	[ "$output" = ab ]
}

@test "a message that can never fit is 10 in every framing" {
	try 0 mpq-create -b 5 q
	try 10 mpq-put q < <(printf 123456)
	try 10 mpq-put -0 q < <(printf '123456\0')
	try 10 mpq-put -r q < <(printf 123456)
	try 10 mpq-put -L q < <(printf '\0\0\0\006123456')
	filler 300000 >large
	try 10 mpq-put q <large
	try 10 mpq-put -0 q <large
	try 10 mpq-put -r q <large
	frame length large >framed
	try 10 mpq-put -L q <framed
	stat_is size 0 q
	stat_is bytes 0 q
	try 0 mpq-put -n q 12345
}

# --- 6, and a seekable input

@test "no such queue: 6, and nothing is read" {
	seq 3 >lines
	leaves 6 mpq-put none <lines >rest
	cmp rest lines
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

@test "a put that waits for room ends with 6 when the queue is removed" {
	try 0 mpq-create -m 1 q
	bg mpq-put q 1 2 2>err
	wait_stat putters 1 q
	try 0 mpq-rm q
	reap "$bg_pid"
	[ "$status" -eq 6 ]
	[[ $(cat err) == "mpq-put: q: "* ]]
}

@test "a put that waits for input ends with 6 when the queue is removed, though another has its name" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put q <fifo 2>err
	printf 'one\n' >&5
	wait_stat size 1 q
	try 0 mpq-rm q
	try 0 mpq-create q
	printf 'two\nthree\n' >&5
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 6 ]
	stat_is size 0 q
}

@test "a seekable input is read to its end when all is put" {
	try 0 mpq-create q
	seq 100000 >lines
	leaves 0 mpq-put q <lines >rest
	[ ! -s rest ]
	stat_is size 100000 q
}

@test "on Full a seekable input is left at the first line not put" {
	try 0 mpq-create -m 3 q
	seq 10 >lines
	leaves 4 mpq-put -n q <lines >rest
	seq 4 10 | cmp - rest
	leaves 4 mpq-put -t 0.05 q <lines >rest
	cmp lines rest
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

@test "on Full a seekable input is left at the first line not put, beyond many reads too" {
	try 0 mpq-create -m 123456 q
	seq 200000 >lines
	leaves 4 mpq-put -n q <lines >rest
	seq 123457 200000 | cmp - rest
	timeout 20 mpq-get -an q | cmp - <(seq 123456)
}

@test "on Full of bytes a seekable input is left at the first line not put" {
	try 0 mpq-create -b 100000 q
	seq 100000 999999 | head -n 50000 >lines
	leaves 4 mpq-put -n q <lines >rest
	tail -n +16667 lines | cmp - rest
	stat_is size 16666 q
}

@test "on Full a seekable input is left at the first byte not put with -0, -L and -r" {
	local i
	try 0 mpq-create -m 2 q
	for i in 1 2 3 4; do
		printf 'message\n%s' "$i" >"m$i"
	done
	frame null m1 m2 m3 m4 >input
	leaves 4 mpq-put -n0 q <input >rest
	frame null m3 m4 | cmp - rest
	try 0 mpq-get -n q
	frame length m1 m2 m3 m4 >input
	leaves 4 mpq-put -nL q <input >rest
	frame length m2 m3 m4 | cmp - rest
	filler 200000 >input
	leaves 4 mpq-put -nr q <input >rest
	cmp input rest
}

@test "a seekable input that is not at its beginning is read from where it is" {
	try 0 mpq-create -m 3 q
	seq 10 >lines
	{
		read -r
		read -r
		leaves 4 mpq-put -n q
	} <lines >rest
	seq 6 10 | cmp - rest
	try 0 mpq-get -an q
	[ "$output" = $'3\n4\n5' ]
}

@test "on Closed a seekable input is left at the first line not put" {
	try 0 mpq-create -m 3 q
	seq 100000 >lines
	exec 5<lines
	bg mpq-put q <&5
	wait_stat putters 1 q
	try 0 mpq-close q
	reap "$bg_pid"
	[ "$status" -eq 5 ]
	seq 4 100000 | cmp - <(cat <&5)
	leaves 5 mpq-put q <lines >rest
	cmp lines rest
}

@test "on removal a seekable input is left at the first line not put" {
	try 0 mpq-create -m 3 q
	seq 100000 >lines
	exec 5<lines
	bg mpq-put q <&5 2>/dev/null
	wait_stat putters 1 q
	try 0 mpq-rm q
	reap "$bg_pid"
	[ "$status" -eq 6 ]
	seq 4 100000 | cmp - <(cat <&5)
}

@test "before a message that can never fit a seekable input is left at it" {
	try 0 mpq-create -b 5 q
	printf '1\n22\n4444444\n5\n' >lines
	leaves 10 mpq-put q <lines >rest
	printf '4444444\n5\n' | cmp - rest
}

@test "a loop that goes on where Full left it puts each line once" {
	local s=4
	try 0 mpq-create -m 1000 q
	seq 25500 >lines
	while [ "$s" -eq 4 ]; do
		s=0
		timeout 20 mpq-put -n q || s=$?
		timeout 20 mpq-get -an q >>got
	done <lines
	[ "$s" -eq 0 ]
	cmp lines got
}

@test "a last line without newline that is not put is left too" {
	try 0 mpq-create -m 1 q
	printf 'one\ntwo' >lines
	leaves 4 mpq-put -n q <lines >rest
	printf two | cmp - rest
	try 0 mpq-get -n q
	[ "$output" = one ]
}
