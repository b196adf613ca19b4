#!/usr/bin/env bats
# Promises of mpq(7) that no other suite holds; tests/PROMISES.md says which tests hold the others.
# shellcheck disable=SC2154,SC2217 # bg is a helper; bg_pid, output, status, stderr: helpers and bats set them

load helpers

bats_require_minimum_version 1.5.0

# stopped_keeper: a process that has the lock of q and is stopped; its PID in $keeper.
stopped_keeper() {
	local program=${BATS_TEST_DIRNAME%/*}/build/tests/keeper
	[[ -x $program ]] || skip "build/tests/keeper is not there: make unit builds it"
	bg "$program" q
	keeper=$bg_pid
	wait_until stopped "$keeper"
}

# names_it STATUS_LINE: status 1 and a reason with the keeper's PID.
names_it() {
	printf '%s\n' "$stderr"
	[[ $stderr == "mpq-"*": q: "*"$keeper"* ]]
}

@test "P9: the lock's owner is stopped: each command with a time ends at it, never earlier, with 1 and names the owner" {
	local long
	long=$(filler 20000)
	mpq-create q
	mpq-put q a
	stopped_keeper
	lasts 300 15000 1 mpq-get -t 0.3 q
	names_it
	lasts 300 15000 1 mpq-get -t 0.3 -a q
	names_it
	lasts 300 15000 1 mpq-put -t 0.3 q b
	names_it
	lasts 300 15000 1 mpq-put -t 0.3 q "$long"
	names_it
	lasts 300 15000 1 mpq-join -t 0.3 q
	names_it
	seq 100000 >lines
	lasts 300 15000 1 mpq-put -t 0.3 q <lines
	names_it
	lasts 300 15000 1 mpq-put -t 0.3 -r q <lines
	names_it
	try 1 mpq-get -n q
	names_it
	kill -CONT "$keeper"
	reap "$keeper"
	try 0 mpq-get -n q
	[[ $output == a ]]
	try 3 mpq-get -n q
}

@test "P9: who sleeps when the lock's owner is stopped ends at its time too, and leaves nothing behind" {
	local pids=() each
	mpq-create -m 1 q
	mpq-create -m 1 full
	bg mpq-get -t 5 q 2>get.err # the keeper must be there before that
	pids+=("$bg_pid")
	bg mpq-wait -t 5 q 2>wait.err
	pids+=("$bg_pid")
	wait_stat getters 1 q
	stopped_keeper
	for each in "${pids[@]}"; do
		reap "$each"
		[[ $status == 1 || $status == 8 ]]
	done
	grep -q "$keeper" get.err
	kill -KILL "$keeper"
	wait_until ended "$keeper"
	stat_is getters 0 q
	try 0 mpq-put -n q a
	try 4 mpq-put -n q b
	try 0 mpq-get -n q
}

@test "P9: in a time name space with another clock: never early, woken from outside, and an owner there is not taken for dead" {
	local elsewhere=(unshare --time --monotonic 100000 --boottime 100000 --fork)
	"${elsewhere[@]}" true 2>/dev/null || skip "no time name space can be made here"
	mpq-create q
	lasts 400 15000 3 "${elsewhere[@]}" mpq-get -t 0.4 q
	lasts 400 15000 8 "${elsewhere[@]}" mpq-wait -t 0.4 q
	bg "${elsewhere[@]}" mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	mpq-put q x
	reap "$getter"
	[[ $status == 0 && $(<got) == x ]]
	# A holder there, whose start time reads otherwise here.
	mpq-put q y
	mkfifo go
	exec 7<>go
	# shellcheck disable=SC2016 # the inner shell expands
	bg "${elsewhere[@]}" bash -c 'mpq-get -O q >held; read -r _ <go'
	local holder=$bg_pid
	wait_stat held 1 q
	# Who waits looks for all who have died: when it has found another, it has seen this one.
	mpq-put q z
	live_pid
	try 0 mpq-get -n -o "$pid" q
	bg mpq-get q >got
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$bg_pid"
	[[ $status == 0 && $(<got) == z ]]
	stat_is held 1 q
	echo >&7
	reap "$holder"
	try 0 mpq-get q
	[[ $output == y ]]
}

# storm PID: signals that it ignores or takes, as fast as they can be sent, until it has ended. The kernel does not even
# wake a process for one that it ignores; so it is stopped and continued as well, which ends every sleep.
storm() {
	perl -e '1 while kill("USR1", $ARGV[0]) && kill("STOP", $ARGV[0]) && kill("CONT", $ARGV[0]) && select(undef, undef, undef, 0.0002) >= 0' "$1"
}

@test "P9: a storm of signals that are ignored, and of stops: each command with a time ends at it, never earlier" {
	local command pid start took
	mpq-create -m 1 full
	mpq-create q
	mpq-put full x
	seq 3 >lines
	trap '' USR1 # so that it is ignored from the beginning
	for command in "3 mpq-get -t 0.4 q" "3 mpq-get -a -t 0.4 q" "4 mpq-put -t 0.4 full y" "4 mpq-put -t 0.4 full" "8 mpq-join -t 0.4 full" \
		"8 mpq-join -p -t 0.4 full" "8 mpq-wait -t 0.4 q full:put" "3 mpq-move -t 0.4 q full" \
		"4 mpq-move -t 0.4 full2 full" "3 mpq-work -t 0.4 q true"; do
		[[ $command != *full2* ]] || {
			mpq-create full2
			mpq-put full2 z
		}
		start=${EPOCHREALTIME/[.,]/}
		# shellcheck disable=SC2086 # words
		bg ${command#* } <lines 2>err
		pid=$bg_pid
		bg storm "$pid"
		reap "$pid"
		took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
		printf '%s: status %s after %s ms\n' "$command" "$status" "$took"
		[[ $status == "${command%% *}" && $took -ge 400 ]]
		reap "$bg_pid"
	done
	stat_is getters 0 q
	stat_is putters 0 full
	counts q 0 0 0
	counts full 1 0 1
}

# poke OFFSET HEX: bytes of q's file.
poke() {
	# shellcheck disable=SC2001 # two characters at a time: no single substitution of the shell does it
	printf '%b' "$(sed 's/../\\x&/g' <<<"$2")" | dd of="$MPQ_DIR/mpq.q" bs=1 seek="$1" conv=notrunc status=none
}

@test "P14: another magic order, version, word size or size of any structure: 1 and the reason, from every command; unharmed" {
	local field offset hex command before
	mpq-create q
	mpq-put q a
	cp "$MPQ_DIR/mpq.q" whole
	# magic (swapped), format, word size, sizes of head, extent, slot, side, chunk descriptor: layout.h
	for field in 0:313027706d710a89 8:02000000 12:0400 14:0008 16:3800 18:3800 20:c800 22:1800; do
		offset=${field%%:*} hex=${field#*:}
		if [[ $offset == 0 ]]; then # the bytes of this machine the other way round
			hex=$(head -c 8 whole | od -An -tx1 -v | awk '{ for (i = NF; i > 0; i--) printf "%s", $i }')
		fi
		cp whole "$MPQ_DIR/mpq.q"
		poke "$offset" "$hex"
		before=$(cksum <"$MPQ_DIR/mpq.q")
		for command in "mpq-get -n" "mpq-put -n" "mpq-join -n" mpq-close "mpq-task-done -c 1" mpq-stat "mpq-wait -n"; do
			# shellcheck disable=SC2086 # words
			try 1 $command q ${command:+$([[ $command != mpq-put* ]] || echo x)}
			[[ $stderr =~ version && ($command == mpq-stat || -z $output) ]]
		done
		[[ $(cksum <"$MPQ_DIR/mpq.q") == "$before" ]]
	done
	cp whole "$MPQ_DIR/mpq.q"
	try 0 mpq-get -n q
	[[ $output == a ]]
}

@test "P14: an image of format 1 as it was once made: its messages, or refused as another version" {
	gzip -dc "$BATS_TEST_DIRNAME/data/format-1.gz" >"$MPQ_DIR/mpq.q"
	status=0
	output=$(timeout 20 mpq-get -n -a -r q 2>err) || status=$?
	cat err
	if [[ $(od -An -tu4 -j8 -N4 "$MPQ_DIR/mpq.q" | tr -d ' ') == 1 && $status == 0 ]]; then
		[[ $output == "onetwo$(printf 'x%.0s' {1..5000})" ]]
	else
		[[ $status == 1 && -z $output && $(<err) =~ version ]]
	fi
}
