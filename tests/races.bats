#!/usr/bin/env bats
# Races: many at once, some of them killed; one wins, nothing is half, every message comes once.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper
# shellcheck disable=SC2016 # the inner shells expand

load helpers

# seeded: random numbers that the same MPQ_SEED brings again.
seeded() {
	seed=${MPQ_SEED:-$RANDOM}
	printf 'MPQ_SEED=%s\n' "$seed"
	RANDOM=$seed
}

# A shell that waits for its turn: "at ROUND" returns when that round begins, 10 ms after the one before.
at='start=$1 me=$2
	mkfifo "clock$me"
	exec 9<>"clock$me"
	at() { while ((${EPOCHREALTIME/[.,]/} < start + $1 * 10000)); do read -r -t 0.001 -u 9 _; done; }
	'

# fellows NUMBER SCRIPT: runs it that often at once, with "at" and $me, and waits for all of them; each must be 0.
fellows() {
	local i pids=() start=$((${EPOCHREALTIME/[.,]/} + 50000))
	for ((i = 0; i < $1; i++)); do
		bg bash -c "$at$2" fellow "$start" "$i"
		pids+=("$bg_pid")
	done
	reap_all "${pids[@]}"
}

# once FILE ...: the lines of all of them are those of "expected", each once.
once() {
	sort "$@" | diff - <(sort expected) >differences || {
		head -n 10 differences >&2
		return 1
	}
}

@test "create: of 4 racers in 50 rounds one wins, the others get 7, and each finds a whole queue" {
	fellows 4 'for round in {1..50}; do
		at "$round"
		status=0
		mpq-create "r$round" || status=$?
		mpq-put -n "r$round" "$me" || status="$status, put $?"
		echo "$round $status"
	done >"racer$me"'
	sort -n racer? | uniq -c | awk '
		{ $1 = $1 }
		$3 == 0 && NF == 3 && $1 == 1 { won[$2]++; next }
		$3 == 7 && NF == 3 && $1 == 3 { lost[$2]++; next }
		{ print "count, round, status: " $0; bad = 1 }
		END { for (i = 1; i <= 50; i++) if (won[i] != 1 || lost[i] != 1) bad = 1; exit bad }'
	local round
	for round in {1..50}; do
		stat_is size 4 "r$round"
	done
}

@test "create -e: all of 4 racers get 0 and use one queue" {
	fellows 4 'for round in {1..20}; do
		at "$round"
		mpq-create -e "r$round" && mpq-put -n "r$round" "$me" || exit
	done'
	local round
	for round in {1..20}; do
		stat_is size 4 "r$round"
	done
}

@test "create without NAME: racers invent different names" {
	fellows 4 'for round in {1..20}; do
		at "$round"
		mpq-create || exit
	done >"racer$me"'
	[[ $(sort -u racer? | wc -l) == 80 && $(cat racer? | wc -l) == 80 ]]
	[[ $(mpq-ls | sort) == "$(sort racer?)" ]]
}

@test "a create that is killed at any moment leaves a whole queue or nothing" {
	seeded
	local i delay whole=0 absent=0
	for i in {1..120}; do
		printf -v delay '0.%06d' $((200 + RANDOM % (i * 40)))
		timeout --foreground -s KILL "$delay" mpq-create q || :
		if [[ -e $MPQ_DIR/mpq.q ]]; then
			[[ $(ls -A "$MPQ_DIR") == mpq.q ]]
			mpq-put -n q a
			[[ $(mpq-get -n q) == a ]]
			[[ $(mpq-stat -k state q) == open ]]
			rm "$MPQ_DIR/mpq.q"
			whole=$((whole + 1))
		else
			[[ -z $(ls -A "$MPQ_DIR") ]]
			absent=$((absent + 1))
		fi
	done
	printf '%s whole, %s absent\n' "$whole" "$absent"
	try 0 mpq-create q
}

@test "a rm that is killed at any moment leaves the queue as it was, or gone" {
	seeded
	local i delay
	for i in {1..60}; do
		mpq-create q
		mpq-put q a
		printf -v delay '0.%06d' $((200 + RANDOM % (i * 80)))
		timeout --foreground -s KILL "$delay" mpq-rm q || :
		if [[ $(timeout 20 mpq-get -n q 2>/dev/null) == a ]]; then
			[[ $(mpq-stat -k state q) == open ]]
			mpq-rm q
		fi
		[[ -z $(ls -A "$MPQ_DIR") ]]
		try 6 mpq-stat q
	done
}

@test "rm and create while others wait: they get 6 and nothing of the new queue" {
	local round getter putter join
	mpq-create -m 1 q
	for round in {1..25}; do
		bg mpq-get q >got
		getter=$bg_pid
		wait_stat getters 1 q
		mpq-rm q
		mpq-create -m 1 q
		mpq-put q "$round"
		bg mpq-put q never
		putter=$bg_pid
		bg mpq-join q
		join=$bg_pid
		reap "$getter"
		[[ $status == 6 && ! -s got ]]
		wait_stat putters 1 q
		[[ $(mpq-get -P q) == "$round" ]]
		mpq-rm q
		mpq-create -m 1 q
		reap "$putter"
		[[ $status == 6 ]]
		reap "$join"
		[[ $status == 6 ]]
		try 3 mpq-get -n q
		stat_is puts 0 q
	done
}

@test "rm and create in a loop while others put, get and join: only the statuses there are, nothing hangs" {
	bg bash -c 'for round in {1..60}; do
			mpq-create q && mpq-put -n q a b && mpq-rm q || exit
		done
		: >stop'
	local maker=$bg_pid i pids=()
	for i in 1 2 3 4; do
		bg bash -c 'while [[ ! -e stop ]]; do
			for command in "get -t 1 q" "put -t 1 q x" "join -t 0.01 q" "stat -k size q" "task-done q"; do
				status=0
				mpq-$command >/dev/null || status=$?
				echo "${command%% *} $status"
			done
		done >"statuses$1" 2>"errors$1"' other "$i"
		pids+=("$bg_pid")
	done
	reap "$maker"
	[[ $status == 0 ]]
	reap_all "${pids[@]}"
	sort statuses? | uniq -c
	grep -h . errors? | sort | uniq -c | sort -rn | head -n 20
	if grep -Evx 'get [036]|put [06]|join [068]|stat [06]|task-done [069]' statuses?; then
		return 1
	fi
	[[ -z $(ls -A "$MPQ_DIR") ]]
}

@test "puts and gets of all kinds at once: every message comes once, each producer's in order" {
	seeded
	mpq-create q
	local i producers=() getters=()
	for i in 1 2 3 4; do
		bg bash -c 'RANDOM=$2 n=0
			while ((n < 600)); do
				count=$((RANDOM % 40 + 1))
				messages=()
				for ((end = n + count; n < end; )); do messages+=("$1.$((++n))"); done
				if ((RANDOM % 2)); then
					mpq-put q "${messages[@]}"
				else
					printf "%s\n" "${messages[@]}" | mpq-put q
				fi || exit
				printf "%s\n" "${messages[@]}"
			done >"put$1"' producer "$i" "$((seed + i))"
		producers+=("$bg_pid")
		if ((i > 2)); then
			bg bash -c 'mpq-get -a q >"got$1"' getter "$i"
		else
			bg bash -c 'RANDOM=$2
				while mpq-get -c $((RANDOM % 30 + 1)) q; do :; done >"got$1"
				mpq-get -n q
				(($? == 5))' getter "$i" "$((seed - i))"
		fi
		getters+=("$bg_pid")
	done
	reap_all "${producers[@]}"
	mpq-close q
	reap_all "${getters[@]}"
	cat put? >expected
	once got?
	awk -F . 'FNR == 1 { split("", last) }
		$2 <= last[$1] { print FILENAME ": " $0 " after " last[$1]; exit 1 }
		{ last[$1] = $2 }' got?
	wc -l got?
	stat_is size 0 q
	stat_is unfinished "$(wc -l <expected)" q
}

@test "a queue of one message between many: every message comes once, nobody sleeps for ever" {
	mpq-create -m 1 q
	local i producers=() getters=()
	for i in 1 2 3; do
		seq -f "$i.%.0f" 200 >"put$i"
		bg mpq-put q <"put$i"
		producers+=("$bg_pid")
		bg mpq-get -a q >"got$i"
		getters+=("$bg_pid")
	done
	reap_all "${producers[@]}"
	mpq-close q
	reap_all "${getters[@]}"
	cat put? >expected
	once got?
}

@test "close against puts: what was put with 0 is got, what got 5 is not" {
	local round getter pids i
	for round in {1..15}; do
		mpq-create q
		bg mpq-get -a q >"got$round"
		getter=$bg_pid
		pids=()
		for i in 1 2 3; do
			bg bash -c 'for n in {1..10}; do
				mpq-put q "$1.$n" || { (($? == 5)); exit; }
				echo "$1.$n"
			done >"put$1"' putter "$i"
			pids+=("$bg_pid")
		done
		wait_until some_puts "$((round % 8))"
		mpq-close q
		reap_all "${pids[@]}"
		reap "$getter"
		[[ $status == 0 ]]
		cat put? >expected
		once "got$round"
		mpq-rm q
	done
}

some_puts() {
	(($(mpq-stat -k puts q) >= $1))
}

@test "holders that give back and holders that finish: every message is done once, then join ends" {
	seeded
	mpq-create q
	seq 120 >expected
	mpq-put q <expected
	mpq-close q
	bg mpq-join q
	local join=$bg_pid i pids=()
	for i in 1 2 3 4; do
		bg bash -c 'RANDOM=$2
			while message=$(mpq-get -o $$ q); do
				if ((RANDOM % 3 == 0)); then
					mpq-task-done -R -o $$ q
				else
					mpq-task-done -o $$ q && echo "$message"
				fi || exit
			done >"done$1"
			mpq-get -n q
			(($? == 5))' worker "$i" "$((seed + i))"
		pids+=("$bg_pid")
	done
	reap_all "${pids[@]}"
	reap "$join"
	[[ $status == 0 ]]
	once done?
	stat_is dones 120 q
	stat_is unfinished 0 q
}

@test "holders that are killed: every message comes to one who lives" {
	seeded
	mpq-create q
	seq 60 >expected
	mpq-put q <expected
	mpq-close q
	local i doomed=() worker
	lifeline
	for i in 1 2 3 4 5 6; do
		bg bash -c 'while mpq-get -c 3 -o $$ q >/dev/null; do :; done; exec cat "$lifeline"'
		doomed+=("$bg_pid")
	done
	wait_stat held 60 q
	bg bash -c 'while message=$(mpq-get -o $$ q); do
			echo "$message" && mpq-task-done -o $$ q || exit
		done >done'
	worker=$bg_pid
	for i in "${doomed[@]}"; do
		kill -KILL "$i"
		reap "$i"
	done
	reap "$worker"
	[[ $status == 0 ]]
	once 'done'
	try 0 mpq-join -n q
}

@test "getters that are killed while they wait take no message with them, and no wake" {
	seeded
	mpq-create q
	local i round survivor doomed
	for round in {1..10}; do
		doomed=()
		for i in 1 2 3; do
			bg mpq-get q >"doomed$i"
			doomed+=("$bg_pid")
		done
		bg mpq-get q >survivor
		survivor=$bg_pid
		wait_stat getters 4 q
		for i in "${doomed[@]}"; do
			kill -KILL "$i"
		done
		mpq-put q "$round"
		reap "$survivor"
		[[ $status == 0 && $(<survivor) == "$round" ]]
		for i in "${doomed[@]}"; do
			reap "$i"
			[[ $status == 137 ]]
		done
		[[ -z $(cat doomed?) ]]
		stat_is getters 0 q
		stat_is size 0 q
	done
}
