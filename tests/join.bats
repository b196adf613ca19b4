#!/usr/bin/env bats
# Join: waiting until nothing is unfinished.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

# start_join [ARG ...]: a join in the background that has begun to wait, its PID in $join.
start_join() {
	bg mpq-join "$@" 2>progress
	join=$bg_pid
	wait_until sleeps "$join" mpq-join
}

shows() {
	grep -q -- "$1" progress
}

@test "join: 0 at once when nothing is unfinished, silently" {
	mpq-create q
	try 0 mpq-join q
	silent
	mpq-put q a
	mpq-get -D q
	try 0 mpq-join q
	silent
}

@test "join waits for what is queued, for what is got and not done, and ends at the task-done" {
	mpq-create q
	mpq-put q a
	start_join q
	try 8 mpq-join -n q
	try 0 mpq-get q
	try 8 mpq-join -n q
	kill -0 "$join"
	try 0 mpq-task-done q
	reap "$join"
	[[ $status == 0 && ! -s progress ]]
}

@test "join waits for what is held, and ends when the holder's task is done" {
	mpq-create q
	mpq-put q a b
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	start_join q
	try 0 mpq-task-done -o "$pid" q
	try 8 mpq-join -n q
	kill -0 "$join"
	try 0 mpq-task-done -o "$pid" q
	reap "$join"
	[[ $status == 0 ]]
}

@test "join -n and -t 0: 8 at once when something is unfinished, silently" {
	mpq-create q
	mpq-put q a
	try 8 mpq-join -n q
	silent
	try 8 mpq-join -t 0 q
	silent
	try 8 mpq-join --nowait q
	try 8 mpq-join q -n
}

@test "join -t: 8 when it was not within the time, never earlier" {
	mpq-create q
	mpq-put q a
	lasts 300 15000 8 mpq-join -t 0.3 q
	silent
	lasts 200 15000 8 mpq-join --timeout=0.2s q
	lasts 60 15000 8 mpq-join -t .001m q
}

@test "join -t: 0 as soon as it is so within the time" {
	mpq-create q
	mpq-put q a
	start_join -t 1h q
	mpq-get -D q
	reap "$join"
	[[ $status == 0 ]]
}

@test "join: of -n and -t the last counts" {
	mpq-create q
	mpq-put q a
	try 8 mpq-join -t 1d -n q
	lasts 200 15000 8 mpq-join -n -t 0.2 q
}

@test "join -v says why the status is not 0" {
	mpq-create q
	mpq-put q a
	try 8 mpq-join -nv q
	complains "mpq-join: q"
}

@test "join: a task that nobody will say is done keeps it waiting" {
	mpq-create q
	mpq-put q a
	try 0 sh -c 'mpq-get q; exit'
	try 8 mpq-join -t 0.3 q
}

@test "join: a closed queue is no end by itself" {
	mpq-create q
	mpq-put q a
	mpq-close q
	try 8 mpq-join -n q
	mpq-get -D q
	try 0 mpq-join -n q
}

@test "join -C: a queue that is not closed is not yet done, though nothing is unfinished" {
	mpq-create q
	try 0 mpq-join -n q
	try 8 mpq-join -n -C q
	lasts 200 15000 8 mpq-join -t 0.2 --closed q
	mpq-close q
	try 0 mpq-join -n -C q
	silent
}

@test "join -C is woken by the close, when nothing is unfinished" {
	mpq-create q
	start_join -C q
	mpq-put q a
	mpq-get -D q
	try 8 mpq-join -nC q
	kill -0 "$join"
	mpq-close q
	reap "$join"
	[[ $status == 0 ]]
}

@test "join -C: closed, but something unfinished: 8 until it is done" {
	mpq-create q
	mpq-put q a
	mpq-close q
	try 8 mpq-join -nC q
	start_join -C q
	mpq-get -D q
	reap "$join"
	[[ $status == 0 ]]
}

@test "join ends at close -i, which drops what is left as done" {
	mpq-create q
	mpq-put q a b
	start_join q
	mpq-close -i q
	reap "$join"
	[[ $status == 0 ]]
}

@test "join: several that wait are all woken" {
	mpq-create q
	mpq-put q a
	local joins=()
	for _ in 1 2 3 4; do
		start_join q
		joins+=("$join")
	done
	mpq-get -D q
	reap_all "${joins[@]}"
}

@test "join: what a dead process held goes back to the queue and is unfinished still" {
	mpq-create q
	mpq-put q a b
	live_pid
	try 0 mpq-get -o "$pid" q
	start_join q
	bg mpq-get -c 2 -D q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$getter"
	[[ $status == 0 && $(sort got) == $'a\nb' ]]
	reap "$join"
	[[ $status == 0 ]]
}

@test "join gives back by itself what a dead process held, with nobody else to look" {
	mpq-create q
	mpq-put q a
	live_pid
	try 0 mpq-get -o "$pid" q
	kill -KILL "$pid"
	reap "$pid"
	try 8 mpq-join -t 1 q
	try 0 mpq-get -nD q
	[[ $output == a ]]
	try 0 mpq-join -n q
}

@test "join -p, not on a terminal: a last line with done/total on standard error, in plain text" {
	mpq-create q
	mpq-put q a b c
	mpq-get -c 2 -D q
	start_join -p q
	mpq-get -D q >/dev/null
	reap "$join"
	[[ $status == 0 ]]
	tail -n 1 progress | grep -E '(^|[^0-9])3/3([^0-9]|$)'
	[[ $(tail -c 1 progress) == "" ]]
	if grep -q '[[:cntrl:]]' progress; then
		return 1
	fi
}

@test "join -p prints nothing on standard output, and its last line also when it is done at once" {
	mpq-create q
	mpq-put q a b
	mpq-get -c 2 -D q
	try 0 mpq-join --progress q
	[[ -z $output && $(last_line) =~ (^|[^0-9])2/2([^0-9]|$) ]]
}

@test "join -p, not on a terminal: a line every 5 seconds" {
	mpq-create q
	mpq-put q a b
	mpq-get -D q
	local start took
	start=$(now)
	start_join -p q
	wait_until shows '1/2'
	took=$(($(now) - start))
	printf 'took %s ms\n' "$took"
	((took < 15000))
	(($(wc -l <progress) <= 2))
	mpq-get -D q
	reap "$join"
	[[ $status == 0 ]]
	tail -n 1 progress | grep 2/2
}

@test "join -p on a terminal: a bar, drawn over itself" {
	command -v script >/dev/null || skip "script, which makes a terminal, is not here"
	mpq-create q
	mpq-put q a b
	mpq-get -D q
	bg script -qec 'mpq-join -p q' /dev/null </dev/null >progress
	local terminal=$bg_pid
	wait_until shows '1/2'
	mpq-get -D q
	reap "$terminal"
	[[ $status == 0 ]]
	shows '2/2'
	# A carriage return that no newline follows, or an escape sequence.
	[[ $(<progress) == *$'\r'[!$'\r\n']* || $(<progress) == *$'\e['* ]]
}

@test "join: a missing queue is 6, one that is removed meanwhile too" {
	try 6 mpq-join q
	try 6 mpq-join -n q
	mpq-create q
	mpq-put q a
	start_join q
	mpq-rm q
	reap "$join"
	[[ $status == 6 ]]
}

@test "join: wrong usage is 2" {
	mpq-create q
	misuse mpq-join
	misuse mpq-join q q
	misuse mpq-join -t q
	misuse mpq-join -t -1 q
	misuse mpq-join -t x q
	misuse mpq-join --bogus q
	misuse mpq-join .q
}
