#!/usr/bin/env bats
# mpq-move: from one queue to another, nothing lost, in order.
# shellcheck disable=SC2154,SC2217 # bg_pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

plain=(env '--default-signal=INT,QUIT,TERM,HUP,USR1,PIPE')

setup_queues() {
	mpq-create from
	mpq-create to
	(($# == 0)) || mpq-put from "$@"
}

@test "the oldest message is moved, and done in FROM" {
	setup_queues a b c
	try 0 mpq-move from to
	silent
	counts from 2 0 2
	counts to 1 0 1
	left to a
}

@test "-c, -a: so many, all; of these the last counts; options may stand anywhere" {
	setup_queues a b c d e f
	try 0 mpq-move from -c 2 to
	left to a b
	try 0 mpq-move --all -n from to --count 3
	left to c d e
	mpq-put from g
	try 0 mpq-move -c 1 -n -a from to
	left to f g
	counts from 0 0 0
}

@test "wrong usage is 2; so are the same queue, and the two ends of one pipe" {
	setup_queues a
	misuse mpq-move
	misuse mpq-move from
	misuse mpq-move from to more
	misuse mpq-move -c 0 from to
	misuse mpq-move -t -1 from to
	misuse mpq-move -0 from to
	misuse mpq-move from from
	misuse mpq-move no/name to
	misuse mpq-move p@1 p@2
	misuse mpq-move p@1 p@1
	counts from 1 0 1
}

@test "between an end of a pipe and a queue" {
	command -v mpq-pipe >/dev/null || skip "there is no mpq-pipe"
	setup_queues
	mpq-pipe p >/dev/null
	mpq-put p@1 a b
	try 0 mpq-move -an p@2 to
	left to a b
	try 1 mpq-move -n p to
	complains mpq-move
}

@test "nothing there: 3, within the time; -a too" {
	setup_queues
	try 3 mpq-move -n from to
	silent
	try 3 mpq-move -na from to
	lasts 200 20000 3 mpq-move -t 0.2 from to
	try 3 mpq-move -nv from to
	[[ $stderr == 'mpq-move: from: '*$'\nmpq-move: from: 0 moved' ]]
}

@test "closed FROM: 5; -a that reaches the end is 0, also without a message" {
	setup_queues a b
	mpq-close from
	try 0 mpq-move -a from to
	silent
	left to a b
	try 5 mpq-move from to
	silent
	try 5 mpq-move -an from to
	try 0 mpq-move -a from to
}

@test "closed TO: 5, before anything is taken; -v says which" {
	setup_queues a
	mpq-close to
	try 5 mpq-move from to
	silent
	try 5 mpq-move -v from to
	[[ $stderr == 'mpq-move: to: '* ]]
	counts from 1 0 1
	mpq-get -nD from
	try 5 mpq-move from to # though there is nothing: it could not be put
}

@test "full TO: 4 within the time, what was moved stays moved, the rest keeps its place" {
	mpq-create from
	mpq-create -m 2 to
	mpq-put from a b c d
	try 0 mpq-move -an from to
	counts from 2 0 2
	try 4 mpq-move -n from to
	silent
	lasts 200 20000 4 mpq-move -t 0.2 from to
	try 4 mpq-move -nv from to
	[[ $stderr == 'mpq-move: to: '* ]]
	counts from 2 0 2
	left to a b
	left from c d
}

@test "full TO is waited for with one message in hand, the others can be got" {
	mpq-create from
	mpq-create -m 2 to
	seq 1000 | mpq-put from
	bg mpq-move -a from to
	wait_stat putters 1 to
	counts from 997 1 998
	try 0 mpq-get -nD from
	[[ $output == 4 ]]
	timeout 20 mpq-get -D -c 999 to >got &
	mpq-close from
	reap "$bg_pid"
	[[ $status == 0 ]]
	wait $!
	cmp got <(seq 3 && seq 5 1000)
}

@test "a message that never fits TO: 10, it stays, those before it are moved" {
	mpq-create from
	mpq-create -b 3 to
	mpq-put from toolong
	try 10 mpq-move -n from to
	complains mpq-move
	counts from 1 0 1
	mpq-create -b 9 wide
	mpq-create more
	mpq-put more a b muchtoolong c
	try 0 mpq-move -na more wide
	left wide a b
	left more muchtoolong c
}

@test "a missing FROM or TO is 6" {
	setup_queues a
	try 6 mpq-move nix to
	complains mpq-move
	try 6 mpq-move from nix
	complains mpq-move
	counts from 1 0 1
}

@test "all kinds of messages keep their bytes and their order" {
	local i=0
	mpq-create from
	mpq-create to
	: >m.0
	printf 'a\nb' >m.1
	printf 'a\0b' >m.2
	filler 4095 >m.3
	filler 4097 >m.4
	filler 200000 >m.5
	filler 1048577 >m.6
	printf x >m.7
	for i in 0 7 1 7 2 7 3 4 5 6 7; do
		mpq-put -r from <"m.$i"
	done
	printf '1\n2\n\n' | mpq-put from
	printf '1\0\0002\n\0' | mpq-put -0 from
	frame length m.1 m.0 m.6 m.2 | mpq-put -L from
	timeout 20 mpq-get -P -an -L from >want
	try 0 mpq-move -an from to
	timeout 20 mpq-get -an -L to | cmp want
	counts from 0 0 0
}

@test "a stream of lines, into bounds of messages and bytes" {
	mpq-create from
	mpq-create -m 7 -b 30 to
	seq 3000 | mpq-put from
	mpq-close from
	bg mpq-move -a from to
	timeout 20 mpq-get -D -c 3000 to | cmp - <(seq 3000)
	reap "$bg_pid"
	[[ $status == 0 ]]
}

@test "what others hold is theirs; -a waits for it" {
	setup_queues a b
	live_pid
	mpq-get -o "$pid" from
	mpq-close from
	try 0 mpq-move -na from to
	counts from 0 1 1
	bg mpq-move -a from to
	wait_stat getters 1 from
	kill -KILL "$pid"
	reap "$bg_pid"
	[[ $status == 0 ]]
	left to b a
}

@test "two movers share the work, each message once" {
	setup_queues
	seq 20000 | mpq-put from
	mpq-close from
	bg mpq-move -a from to
	local first=$bg_pid
	bg mpq-move -a from to
	reap "$bg_pid"
	[[ $status == 0 ]]
	reap "$first"
	[[ $status == 0 ]]
	timeout 20 mpq-get -an to | sort -n | cmp - <(seq 20000)
}

@test "INT and TERM leave each message in one of the two" {
	local signal
	for signal in INT TERM; do
		mpq-create from
		mpq-create -m 10 to
		seq 100 | mpq-put from
		bg "${plain[@]}" mpq-move -a from to
		wait_stat putters 1 to
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		((status == 128 + $(kill -l "$signal")))
		counts from 90 0 90
		cat <(timeout 20 mpq-get -an to) <(timeout 20 mpq-get -an from) | cmp - <(seq 100)
		mpq-rm from to
	done
}

@test "killed at random, nothing is lost, and what is doubled is whole batches at most" {
	local i
	setup_queues
	seq 200000 | mpq-put from
	for i in {1..15}; do
		bg mpq-move -a from to
		wait_until is_busy
		kill -KILL "$bg_pid"
		reap "$bg_pid"
	done
	timeout 20 mpq-move -an from to || true
	timeout 20 mpq-get -an to >got
	sort -nu got | cmp - <(seq 200000)
}

# Some have come since the last look, or all have.
is_busy() {
	local puts last
	puts=$(mpq-stat -k puts to)
	last=$(cat last 2>/dev/null || echo 0)
	echo "$puts" >last
	((puts > last)) || stat_is size 0 from
}

@test "a million small messages, in order" {
	setup_queues
	seq 1000000 | mpq-put from
	try 0 mpq-move -an from to
	stat_is size 1000000 to
	counts from 0 0 0
	timeout 20 mpq-get -an to | cmp - <(seq 1000000)
}

@test "-v counts" {
	setup_queues a b c
	try 0 mpq-move -vc 2 from to
	[[ $(last_line) == 'mpq-move: from: 2 moved' ]]
}
