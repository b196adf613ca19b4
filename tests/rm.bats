#!/usr/bin/env bats
# Rm: a queue's name and all in it go away, and whoever waits is told.
# shellcheck disable=SC2154 # bg_pid, pid, status, stderr: helpers and bats set them

load helpers

# gone NAME ...: no queue of that name is there, nor anything that was one.
gone() {
	local name
	for name; do
		[[ ! -e $MPQ_DIR/mpq.$name ]] || return
	done
}

# half NAME: the queue is damaged: half of its file is missing.
half() {
	truncate -s "$(($(stat -c %s "$MPQ_DIR/mpq.$1") / 2))" "$MPQ_DIR/mpq.$1"
}

@test "rm removes a queue with all that is in it, silently" {
	mpq-create q
	mpq-put q a b
	try 0 mpq-rm q
	silent
	gone q
	[[ -z $(ls -A "$MPQ_DIR") ]]
}

@test "rm: the name is then missing for every command: 6" {
	mpq-create q
	mpq-rm q
	try 6 mpq-put q a
	try 6 mpq-put -n q </dev/null
	try 6 mpq-get q
	try 6 mpq-get -n q
	try 6 mpq-join q
	try 6 mpq-task-done q
	try 6 mpq-close q
	try 6 mpq-stat q
	try 6 mpq-ls q
	try 6 mpq-rm q
}

@test "rm of several" {
	mpq-create a
	mpq-create b
	mpq-create c
	try 0 mpq-rm a c
	silent
	gone a c
	try 0 mpq-stat b
	mpq-create a
	try 0 mpq-rm b a
	gone a b
}

@test "rm: each NAME is tried; a missing one is 6" {
	mpq-create a
	mpq-create b
	try 6 mpq-rm a missing b
	[[ -z $output ]]
	gone a b
	try 6 mpq-rm missing
}

@test "rm -f: a missing one is no error" {
	try 0 mpq-rm -f missing
	silent
	mpq-create a
	mpq-create b
	try 0 mpq-rm --force a missing b
	silent
	gone a b
	mpq-create a
	try 0 mpq-rm a -f
	gone a
}

@test "rm: a damaged one is an error (1) and stays, with -f it goes too" {
	mpq-create a
	mpq-create b
	half a
	try 1 mpq-rm a b
	complains "mpq-rm: a"
	[[ -e $MPQ_DIR/mpq.a ]]
	gone b
	try 0 mpq-rm -f a
	silent
	gone a
}

@test "rm -f of damaged, missing and good ones together" {
	mpq-create a
	mpq-create b
	mpq-create c
	half b
	: >"$MPQ_DIR/mpq.c"
	try 0 mpq-rm -f a b missing c
	gone a b c
}

@test "rm wakes all waiting getters with 6" {
	mpq-create q
	local getters=() g
	for g in 1 2 3 4; do
		bg mpq-get q >"got$g"
		getters+=("$bg_pid")
	done
	wait_stat getters 4 q
	try 0 mpq-rm q
	reap_with 6 "${getters[@]}"
	[[ -z $(cat got?) ]]
}

@test "rm wakes a waiting get -c, -a, -P and one with -t with 6" {
	local option
	for option in "-c 2" -a -P "-t 1h"; do
		mpq-create q
		# shellcheck disable=SC2086 # two words
		bg mpq-get $option q
		wait_stat getters 1 q
		mpq-rm q
		reap "$bg_pid"
		printf '%s: %s\n' "$option" "$status"
		[[ $status == 6 ]]
	done
}

@test "rm: a get that has written something before ends with 0" {
	mpq-create q
	bg mpq-get -c 3 q >got
	wait_stat getters 1 q
	mpq-put q a
	wait_stat gets 1 q
	wait_stat getters 1 q
	mpq-rm q
	reap "$bg_pid"
	[[ $status == 0 && $(<got) == a ]]
}

@test "rm wakes waiting putters with 6" {
	mpq-create -m 1 q
	mpq-put q a
	bg mpq-put q b
	local one=$bg_pid
	bg mpq-put -t 1h q c
	local two=$bg_pid
	wait_stat putters 2 q
	try 0 mpq-rm q
	reap_with 6 "$one" "$two"
}

@test "rm wakes waiting joins with 6" {
	mpq-create q
	mpq-put q a
	bg mpq-join q
	local one=$bg_pid
	bg mpq-join -C q
	local two=$bg_pid
	wait_until sleeps "$one" mpq-join
	wait_until sleeps "$two" mpq-join
	try 0 mpq-rm q
	reap_with 6 "$one" "$two"
}

@test "rm: a put whose writer goes on afterwards ends with 6" {
	mpq-create q
	mkfifo fifo
	bg mpq-put q <>fifo
	local putter=$bg_pid
	exec 7>fifo
	echo a >&7
	wait_stat size 1 q
	mpq-rm q
	echo b >&7
	reap "$putter"
	exec 7>&-
	[[ $status == 6 ]]
}

@test "rm with -v of a waiter says why" {
	mpq-create q
	bg mpq-get -v q 2>why
	wait_stat getters 1 q
	mpq-rm q
	reap "$bg_pid"
	[[ $status == 6 && $(head -n 1 why) == "mpq-get: q: "?* ]]
}

@test "rm: the name can be made again at once, and who waited on the old one gets nothing of the new one" {
	mpq-create q
	bg mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	mpq-rm q
	mpq-create q
	mpq-put q new
	reap "$getter"
	[[ $status == 6 && ! -s got ]]
	try 0 mpq-get -n q
	[[ $output == new ]]
	stat_is puts 1 q
}

@test "rm: holders' messages go with the queue, and their task-done is 6" {
	mpq-create q
	mpq-put q a
	live_pid
	try 0 mpq-get -o "$pid" q
	try 0 mpq-rm q
	try 6 mpq-task-done -o "$pid" q
}

@test "rm of a closed queue" {
	mpq-create q
	mpq-put q a
	mpq-close q
	try 0 mpq-rm q
	gone q
}

@test "rm removes a whole pipe by its bare name; an end given to rm is usage" {
	mpq-pipe p
	mpq-create q
	misuse mpq-rm p@1
	misuse mpq-rm -f p@2
	misuse mpq-rm q p@1
	try 0 mpq-stat p@1
	bg mpq-get p@1
	wait_stat getters 1 p@1
	try 0 mpq-rm p
	reap "$bg_pid"
	[[ $status == 6 ]]
	try 6 mpq-put p@1 a
	try 6 mpq-put p@2 a
}

@test "rm: no NAME, a bad NAME, a bad option: usage, also with -f; nothing is removed" {
	mpq-create q
	misuse mpq-rm
	misuse mpq-rm -x q
	misuse mpq-rm q ../q
	misuse mpq-rm -f q .
	misuse mpq-rm q ''
	try 0 mpq-stat q
}
