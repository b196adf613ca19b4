#!/usr/bin/env bats
# Pipes: two directions under one name; ends stand wherever a queue does; an end that belongs to a process.
# shellcheck disable=SC2030,SC2031,SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

ms() {
	printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"
}

@test "pipe makes a pipe and prints its ends" {
	try 0 mpq-pipe p
	[[ $output == $'p@1\np@2' && -z $stderr ]]
	try 0 mpq-ls
	[[ $output == p ]]
	stat_is kind pipe p@1
	stat_is state open p@2
	stat_is mode 0600 p@1
}

@test "pipe without NAME invents one" {
	try 0 mpq-pipe
	[[ $output =~ ^([A-Za-z0-9_][A-Za-z0-9._-]*)@1$'\n'([A-Za-z0-9_][A-Za-z0-9._-]*)@2$ ]]
	[[ ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]]
	try 0 mpq-put "${BASH_REMATCH[1]}@1" x
}

@test "pipe: a name that is taken is 7; with -e 0, left as it is, and its ends are printed" {
	mpq-pipe p
	mpq-put p@1 a
	try 7 mpq-pipe p
	[[ -z $output ]]
	try 7 mpq-create p
	try 0 mpq-pipe -e p
	[[ $output == $'p@1\np@2' ]]
	stat_is size 1 p@2
	mpq-create q
	try 7 mpq-pipe q
	try 1 mpq-pipe -e q
	try 1 mpq-create -e p
}

@test "pipe: usage" {
	misuse mpq-pipe p q
	misuse mpq-pipe p@1
	misuse mpq-pipe .p
	misuse mpq-pipe -m x p
	misuse mpq-pipe -M 0640 p
	misuse mpq-pipe -o x p@1
	misuse mpq-pipe -o 0 p@1
	misuse mpq-pipe -o $$
	misuse mpq-pipe -o $$ -1 p@1
	try 0 mpq-ls
	silent
	try 0 mpq-pipe -h
	[[ $output == "usage: mpq-pipe [-1ev] [-m MAXSIZE] [-b MAXBYTES] [-M MODE] [NAME]"$'\n'"mpq-pipe -o PID END" ||
		$output == *"mpq-pipe -o PID END" ]]
}

@test "what is put into one end is got from the other, whole and in order, each way" {
	mpq-pipe p
	seq 1000 | mpq-put p@1
	seq 2000 3000 | mpq-put p@2
	printf 'two\nlines' | mpq-put -r p@1
	mpq-put p@1 ''
	try 0 mpq-get -c 1000 p@2
	[[ $output == "$(seq 1000)" ]]
	try 0 mpq-get -n p@2
	[[ $output == $'two\nlines' ]]
	try 0 mpq-get -n p@2
	[[ -z $output ]]
	try 3 mpq-get -n p@2
	try 0 mpq-get -c 5000 -n p@1
	[[ $output == "$(seq 2000 3000)" ]]
	try 3 mpq-get -n p@1
}

@test "a waiting get of one end is woken by a put into the other, and by no put into its own" {
	mpq-pipe p
	bg mpq-get p@2 >got
	local getter=$bg_pid
	wait_stat getters 1 p@2
	mpq-put p@2 wrong
	mpq-put p@1 right
	reap "$getter"
	[[ $status == 0 && $(<got) == right ]]
	stat_is size 1 p@1
}

@test "bounds are those of each direction" {
	mpq-pipe -m 2 -b 10 p
	mpq-put p@1 a b
	try 4 mpq-put -n p@1 c
	try 0 mpq-put -n p@2 a b
	try 4 mpq-put -n p@2 c
	try 10 mpq-put p@2 12345678901
	stat_is maxsize 2 p@1
	stat_is maxbytes 10 p@2
}

@test "simplex: @1 only receives, @2 only sends; the wrong direction is refused at once: 1" {
	try 0 mpq-pipe -1 p
	try 0 mpq-put p@2 a
	try 0 mpq-get p@1
	[[ $output == a ]]
	try 1 mpq-put p@1 x
	complains mpq-put
	try 1 mpq-get p@2
	complains mpq-get
	try 1 mpq-put p@1 </dev/null
	try 1 mpq-join -n p@1
	try 1 mpq-task-done p@2
	try 1 mpq-wait -n p@2
	try 1 mpq-wait -n p@1:put
	try 0 mpq-wait -n p@2:put
	try 0 mpq-task-done p@1
	try 0 mpq-join -n p@2
}

@test "a pipe's bare name, and an end of a queue, are errors: 1" {
	mpq-pipe p
	mpq-create q
	local name command
	for name in p q@1 q@2; do
		for command in "mpq-put $name x" "mpq-get -n $name" "mpq-join -n $name" "mpq-task-done $name" \
			"mpq-close $name" "mpq-wait -n $name" "mpq-stat $name" "mpq-pipe -o $$ $name" "mpq-attach $name"; do
			# shellcheck disable=SC2086 # words
			try 1 $command </dev/null
			[[ $stderr == "${command%% *}: $name: "* ]]
		done
	done
	try 1 mpq-pipe -o $$ q
	try 1 mpq-attach q </dev/null
	misuse mpq-put p@3 x
	misuse mpq-put p@ x
	misuse mpq-put p@11 x
	misuse mpq-rm p@1
	try 0 mpq-rm p q
}

@test "stat and ls of ends: what it receives can be got, what it sends is to be done" {
	mpq-pipe p
	mpq-put p@1 a bb ccc
	stat_is size 3 p@2
	stat_is bytes 6 p@2
	stat_is size 0 p@1
	stat_is unfinished 3 p@1
	stat_is puts 3 p@1
	stat_is puts 0 p@2
	live_pid
	try 0 mpq-get -o "$pid" p@2
	stat_is held 1 p@2
	stat_is gets 1 p@2
	stat_is held 0 p@1
	try 8 mpq-join -n p@1
	try 0 mpq-join -n p@2
	mpq-task-done -o "$pid" p@2
	mpq-get -D -c 2 p@2
	stat_is dones 3 p@1
	try 0 mpq-join -n p@1
	try 0 mpq-ls -l
	[[ $output == *$'\np@1 '* && $output == *$'\np@2 '* ]]
}

@test "close of an end: what was sent to it is dropped, the other gets what was sent, then 5, and its puts are 5" {
	mpq-pipe p
	mpq-put p@1 a b
	mpq-put p@2 to-one
	try 0 mpq-close p@1
	silent
	try 5 mpq-get p@1
	try 5 mpq-put p@1 x
	try 5 mpq-put p@2 x
	stat_is size 0 p@1
	try 0 mpq-get -a p@2
	[[ $output == $'a\nb' ]]
	try 5 mpq-get p@2
	stat_is state closed p@1
	stat_is state closed p@2
	try 0 mpq-close p@1
	try 0 mpq-close p@2
}

@test "close -w of an end: it cannot send any more, and still receives" {
	mpq-pipe p
	mpq-put p@1 last
	try 0 mpq-close -w p@1
	try 5 mpq-put p@1 x
	try 0 mpq-get p@2
	[[ $output == last ]]
	try 5 mpq-get p@2
	try 0 mpq-put p@2 answer
	try 0 mpq-get p@1
	[[ $output == answer ]]
	stat_is state open p@1
	mpq-close -w p@2
	try 5 mpq-get p@1
	stat_is state closed p@1
	mpq-pipe -1 s
	try 1 mpq-close -w s@1
	try 0 mpq-close -w s@2
	try 5 mpq-get s@1
}

@test "close of an end wakes everybody on both" {
	mpq-pipe -m 1 p
	mpq-put p@1 full
	mpq-put p@2 full
	bg mpq-put p@1 x
	local put1=$bg_pid
	bg mpq-put p@2 x
	local put2=$bg_pid
	bg mpq-join -C p@2
	local join=$bg_pid
	mpq-pipe r
	bg mpq-get r@1
	local get1=$bg_pid
	bg mpq-get r@2
	local get2=$bg_pid
	bg mpq-wait r@1 >ready
	local waiter=$bg_pid
	wait_stat putters 1 p@1
	wait_stat putters 1 p@2
	wait_stat getters 1 r@1
	wait_stat getters 1 r@2
	mpq-close p@1
	mpq-close r@2
	for pid in "$put1" "$put2" "$get1" "$get2"; do
		reap "$pid"
		[[ $status == 5 ]]
	done
	reap "$waiter"
	[[ $status == 0 && $(<ready) == r@1 ]]
	reap "$join"
	[[ $status == 0 ]]
}

@test "rm of a pipe wakes who waits on either end: 6" {
	mpq-pipe p
	bg mpq-get p@1
	local one=$bg_pid
	bg mpq-get p@2
	local two=$bg_pid
	wait_stat getters 1 p@1
	wait_stat getters 1 p@2
	mpq-rm p
	reap "$one"
	[[ $status == 6 ]]
	reap "$two"
	[[ $status == 6 ]]
	try 6 mpq-pipe -o $$ p@1
}

# owned HOW: an end of p belongs to a process that ends like this; the other side waits.
owned() {
	mpq-pipe p
	live_pid
	local owner=$pid
	mpq-put p@2 sent
	mpq-put p@1 lost
	try 0 mpq-pipe -o "$owner" p@2
	silent
	try 0 mpq-get p@1
	[[ $output == sent ]]
	bg mpq-get p@1
	local getter=$bg_pid start
	wait_stat getters 1 p@1
	start=$(ms)
	kill "-$1" "$owner"
	reap "$getter"
	[[ $status == 5 ]]
	(($(ms) - start < 5000)) # a second, and what a busy machine adds
	try 5 mpq-put p@1 x
	try 5 mpq-get p@2
	stat_is state closed p@2
	stat_is size 0 p@2
}

@test "pipe -o: the end is closed when its owner ends, by a signal it could have caught" {
	owned TERM
}

@test "pipe -o: the end is closed when its owner ends, by SIGKILL" {
	owned KILL
}

@test "pipe -o: the other side notices also when it only puts, or looks" {
	mpq-pipe -m 1 p
	live_pid
	local owner=$pid
	mpq-pipe -o "$owner" p@2
	mpq-put p@1 full
	bg mpq-put p@1 x
	local putter=$bg_pid
	wait_stat putters 1 p@1
	kill -KILL "$owner"
	reap "$putter"
	[[ $status == 5 ]]
	mpq-pipe r
	live_pid
	owner=$pid
	mpq-pipe -o "$owner" r@2
	kill -KILL "$owner"
	reap "$owner"
	try 5 mpq-get -n r@1
}

# lost_end COMMAND ...: what is put by COMMAND for an end whose owner has just died is 5, at once.
lost_end() {
	local owner
	mpq-pipe p
	live_pid
	owner=$pid
	mpq-pipe -o "$owner" p@2
	mpq-put p@1 before                   # the last look for dead owners was a moment ago
	kill -KILL "$owner"
	reap "$owner"
	try 5 timeout 30 "$@"
	stat_is puts 1 p@1
	mpq-rm p
}

@test "pipe -o: a put after its owner has died is 5, not lost" {
	seq 10000 >lines
	mpq-create q
	seq 10 | mpq-put q
	lost_end mpq-put p@1 x
	lost_end mpq-put -n p@1 x
	lost_end mpq-put p@1 "$(filler 10000)"
	lost_end mpq-put p@1 <lines
	lost_end mpq-put -r p@1 <lines
	lost_end mpq-put -r p@1 </dev/null
	lost_end mpq-move q p@1
	stat_is size 10 q
}

@test "pipe -o: a put after its owner has died is 5 also among many who wait on the pipe" {
	local owner getters=()
	mpq-pipe p
	live_pid
	owner=$pid
	mpq-pipe -o "$owner" p@2
	for _ in {1..20}; do
		bg mpq-get p@1
		getters+=("$bg_pid")
	done
	wait_stat getters 20 p@1
	mpq-put p@1 before
	kill -KILL "$owner"
	reap "$owner"
	try 5 mpq-put p@1 x
	reap_with 5 "${getters[@]}"
}

@test "pipe -o: a long-lived putter that never waits notices, too" {
	mpq-pipe p
	live_pid
	local owner=$pid
	mpq-pipe -o "$owner" p@2
	mkfifo fifo
	bg mpq-put p@1 <>fifo
	local putter=$bg_pid
	exec 7<>fifo                         # read and write: a line must not fail when the putter has just ended
	# More than a few lines at once, so that it has had a reservation.
	seq 100 >&7
	wait_stat puts 100 p@1
	kill -KILL "$owner"
	reap "$owner"
	one_more() {
		echo x >&7
		ended "$putter"
	}
	wait_until one_more
	exec 7>&-
	reap "$putter"
	[[ $status == 5 ]]
}

@test "pipe -o: the last owner counts, and one that is not there is an error" {
	mpq-pipe p
	live_pid
	local first=$pid
	live_pid
	local second=$pid
	mpq-pipe -o "$first" p@1
	mpq-pipe --owner="$second" p@1
	kill -KILL "$first"
	reap "$first"
	try 3 mpq-get -n p@2 # it has looked who has ended
	bg mpq-get p@2
	wait_stat getters 1 p@2
	kill -KILL "$second"
	reap "$bg_pid"
	[[ $status == 5 ]]
	dead_pid
	try 1 mpq-pipe -o "$pid" p@2
	complains mpq-pipe
}

@test "request and reply between two scripts" {
	mpq-pipe upper
	# shellcheck disable=SC2016 # the inner shell expands
	bg bash -c 'mpq-pipe -o $$ upper@2
		while word=$(mpq-get upper@2); do mpq-put upper@2 "${word^^}"; done'
	local server=$bg_pid
	mpq-put upper@1 hello
	try 0 mpq-get upper@1
	[[ $output == HELLO ]]
	mpq-put upper@1 world
	try 0 mpq-get upper@1
	[[ $output == WORLD ]]
	mpq-close upper@1
	reap "$server"
}
