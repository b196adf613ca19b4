#!/usr/bin/env bats
# Streams: many lines, slow writers, full pipes, readers that leave, several producers and getters at once.

# shellcheck disable=SC2154,SC2217 # run and helpers set the variables; bg is a helper that reads
load helpers

# file_is FILE TEXT
file_is() {
	[[ $(<"$1") == "$2" ]]
}

# pipe_is FD BYTES: that many are in the pipe.
pipe_is() {
	[ "$(pipe_level "$1")" -eq "$2" ]
}

# whole_lines FILE: without a last line that has no newline.
whole_lines() {
	perl -ne 'print if /\n\z/' "$1"
}

# --- what has been read is in the queue at once

@test "a slow writer's lines are in the queue as they come" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put -v q <fifo 2>err
	local i
	for i in one two three; do
		printf '%s\n' "$i" >&5
		try 0 mpq-get -t 10 q
		[ "$output" = "$i" ]
	done
	printf 'four\nfive\n' >&5
	wait_stat size 2 q
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	[ "$(cat err)" = "mpq-put: q: 5 put" ]
}

@test "a slow writer's messages are in the queue as they come with -0 and -L" {
	local flag message
	try 0 mpq-create q
	mkfifo fifo
	for flag in -0 -L; do
		case $flag in
		-0) message='a\nb\0' ;;
		-L) message='\0\0\0\3a\nb' ;;
		esac
		exec 5<>fifo
		bg mpq-put "$flag" q <fifo
		for _ in 1 2 3; do
			# shellcheck disable=SC2059 # the escapes are meant
			printf "$message" >&5
			try 0 mpq-get -t 10 q
			[ "$output" = $'a\nb' ]
		done
		exec 5>&-
		reap "$bg_pid"
		[ "$status" -eq 0 ]
	done
}

@test "a line is not in the queue before it is whole, and then stands where it was ended" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put q <fifo
	printf 'one\npart' >&5
	wait_stat size 1 q
	wait_until pipe_is 5 0
	try 0 mpq-put q other
	stat_is size 2 q
	printf 'ly\nlast' >&5
	wait_stat size 3 q
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	try 0 mpq-get -an q
	[ "$output" = $'one\nother\npartly\nlast' ]
}

@test "with -r there is no message before the end of input" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put -r q <fifo
	printf 'one\n' >&5
	wait_until pipe_is 5 0
	try 3 mpq-get -n q
	printf 'two\n' >&5
	exec 5>&-
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	timeout 20 mpq-get -nr q | cmp - <(printf 'one\ntwo\n')
}

@test "what a killed put had read whole is in the queue, the rest is not" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put q <fifo
	printf 'one\ntwo\nthr' >&5
	wait_stat size 2 q
	wait_until pipe_is 5 0
	kill -KILL "$bg_pid"
	reap "$bg_pid"
	exec 5>&-
	try 0 mpq-put q three
	try 0 mpq-get -an q
	[ "$output" = $'one\ntwo\nthree' ]
}

@test "from a slow writer through put and get to a slow reader each line passes at once" {
	try 0 mpq-create q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-put q <fifo
	local putter=$bg_pid
	bg mpq-get -a q >got
	local i getter=$bg_pid
	for i in {1..10}; do
		printf '%s\n' "$i" >&5
		wait_until file_is got "$(seq "$i")"
	done
	exec 5>&-
	reap "$putter"
	[ "$status" -eq 0 ]
	try 0 mpq-close q
	reap "$getter"
	[ "$status" -eq 0 ]
}

# --- many lines

@test "100,000 lines come out in order" {
	try 0 mpq-create q
	seq 100000 >lines
	seq 100000 | try 0 mpq-put q
	stat_is size 100000 q
	timeout 20 mpq-get -an q >got
	cmp got lines
	try 0 mpq-put q <lines
	timeout 20 mpq-get -an q | cat >got
	cmp got lines
}

@test "100,000 lines come out in order one way or another: some by -c, the rest by -a" {
	try 0 mpq-create q
	seq 100000 >lines
	try 0 mpq-put q <lines
	{
		timeout 20 mpq-get -n q
		timeout 20 mpq-get -n -c 7 q
		timeout 20 mpq-get -n -c 33333 q
		timeout 20 mpq-get -n -c 12345 q
		timeout 20 mpq-get -an q
	} | cmp - lines
}

# squeezed: 100,000 lines go through q, which has no room for all of them at once.
squeezed() {
	bg mpq-put q < <(seq 100000)
	timeout 20 mpq-get -c 100000 q | cmp - <(seq 100000)
	reap_all "$bg_pid"
}

@test "100,000 lines through a queue of 10, while they are put" {
	try 0 mpq-create -m 10 q
	squeezed
	stat_is size 0 q
}

@test "100,000 lines through a queue of 1000 bytes, while they are put" {
	try 0 mpq-create -b 1000 q
	squeezed
	stat_is bytes 0 q
}

@test "100,000 empty lines are as many messages" {
	try 0 mpq-create q
	head -c 100000 /dev/zero | tr '\0' '\n' >empty
	try 0 mpq-put q <empty
	stat_is size 100000 q
	stat_is bytes 0 q
	timeout 20 mpq-get -an q | cmp - empty
}

@test "lines of all lengths up to 3000, from a file and from a pipe" {
	perl -e 'for my $i (1 .. 2000) { print $i, "-", "x" x ($i * 7919 % 3000), "\n" }' >lines
	try 0 mpq-create q
	try 0 mpq-put q <lines
	timeout 20 mpq-get -an q | cmp - lines
	try 0 mpq-put q < <(cat lines)
	timeout 20 mpq-get -an q >got
	cmp got lines
}

@test "a queue used for a long time does not grow" {
	local memory
	try 0 mpq-create q
	seq 20000 >lines
	try 0 mpq-put q <lines
	timeout 20 mpq-get -anD q | cmp - lines
	memory=$(du -k "$MPQ_DIR/mpq.q" | cut -f 1)
	for _ in {1..20}; do
		try 0 mpq-put q <lines
		timeout 20 mpq-get -anD q | cmp - lines
	done
	[ "$(du -k "$MPQ_DIR/mpq.q" | cut -f 1)" -le "$((memory + 1024))" ]
}

# --- a reader that leaves

@test "get -a | head -5 loses nothing: the sixth stays in the queue" {
	try 0 mpq-create q
	seq 5 | try 0 mpq-put q
	mkfifo fifo
	exec 5<>fifo
	bg head -n 5 <fifo >got
	local head=$bg_pid
	bg mpq-get -a q >fifo
	local getter=$bg_pid
	exec 5>&-
	reap "$head"
	seq 5 | cmp - got
	try 0 mpq-put q 6 7
	reap "$getter"
	[ "$status" -eq 141 ]
	try 0 mpq-get -an q
	[ "$output" = $'6\n7' ]
}

@test "get -a | head -5 of 100,000 lines loses at most what the pipe had taken" {
	local first s
	try 0 mpq-create q
	seq 100000 | try 0 mpq-put q
	try 0 mpq-close q
	timeout 20 mpq-get -a q | head -n 5 >got && s=${PIPESTATUS[0]}
	[ "$s" -eq 141 ]
	seq 5 | cmp - got
	timeout 20 mpq-get -a q >rest
	first=$(head -n 1 rest)
	((first > 5))
	seq "$first" 100000 | cmp - rest
	# head takes some, and the pipe keeps at most 64 KiB.
	(($(seq 1 "$((first - 1))" | wc -c) <= 2 * 65536))
}

@test "a message that its reader leaves in the middle is first in the queue again, whole, before the others" {
	local s
	try 0 mpq-create q
	filler 1000000 >large
	try 0 mpq-put -r q <large
	seq 3 | try 0 mpq-put q
	timeout 20 mpq-get -a q | head -c 10 >got && s=${PIPESTATUS[0]}
	[ "$s" -eq 141 ]
	head -c 10 large | cmp - got
	stat_is size 4 q
	stat_is held 0 q
	timeout 20 mpq-get -n q | cmp - <(cat large && echo)
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

@test "a message that its reader leaves in the middle is neither done nor held" {
	local s
	live_pid
	try 0 mpq-create q
	filler 1000000 >large
	try 0 mpq-put -r q <large
	timeout 20 mpq-get -D q | head -c 10 >got && s=${PIPESTATUS[0]}
	[ "$s" -eq 141 ]
	stat_is unfinished 1 q
	stat_is size 1 q
	timeout 20 mpq-get -o "$pid" q | head -c 10 >got && s=${PIPESTATUS[0]}
	[ "$s" -eq 141 ]
	stat_is held 0 q
	stat_is size 1 q
}

@test "a reader that leaves after any number of bytes: each message is written or in the queue" {
	local k s
	filler 200000 >large
	for k in 1 2 100 4095 4096 4097 60000; do
		try 0 mpq-create "q$k"
		# Each is more than the reader and the pipe take together, so none is written when the reader has left.
		frame length large large | try 0 mpq-put -L "q$k"
		timeout 20 mpq-get -aL "q$k" | head -c "$k" >got && s=${PIPESTATUS[0]}
		[ "$s" -eq 141 ]
		frame length large | head -c "$k" | cmp - got
		timeout 20 mpq-get -anL "q$k" | cmp - <(frame length large large)
	done
}

@test "/dev/full loses nothing of 100,000 lines" {
	local s=0
	try 0 mpq-create q
	seq 100000 >lines
	try 0 mpq-put q <lines
	timeout 20 mpq-get -an q >/dev/full 2>err || s=$?
	[ "$s" -eq 1 ]
	[[ $(cat err) == "mpq-get: "?* ]]
	stat_is size 100000 q
	timeout 20 mpq-get -an q | cmp - lines
}

@test "closed standard output loses nothing of 100,000 lines" {
	local s=0
	try 0 mpq-create q
	seq 100000 >lines
	try 0 mpq-put q <lines
	timeout 20 mpq-get -an q >&- 2>/dev/null || s=$?
	[ "$s" -eq 1 ]
	stat_is size 100000 q
	timeout 20 mpq-get -an q | cmp - lines
}

@test "a file that may grow no more: what was written is gone from the queue, the rest is there" {
	local s=0
	try 0 mpq-create q
	seq 100000 >lines
	try 0 mpq-put q <lines
	(
		ulimit -f 100 # of 1024 bytes: in the middle of a line
		exec timeout 20 mpq-get -an q >got 2>/dev/null
	) || s=$?
	[ "$s" -ne 0 ]
	[ "$(stat -c %s got)" -le 102400 ]
	timeout 20 mpq-get -an q >rest
	cat <(whole_lines got) rest | cmp - lines
}

# --- behind a full pipe

@test "get behind a full pipe hoards nothing: what it cannot write is there for others" {
	local getter other taken
	try 0 mpq-create q
	seq -f %07.0f 0 99999 >lines # of 8 bytes each, so that pages end with lines
	try 0 mpq-put q <lines
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -a q >fifo
	getter=$bg_pid
	wait_until blocked "$getter"
	taken=$(pipe_level 5)
	((taken <= 1048576))
	# One message may be in its hands, and no more.
	(($(timeout 20 mpq-stat -k size q) >= 100000 - taken / 8 - 1))
	try 0 mpq-get -n q
	other=$output
	((10#$other >= taken / 8 && 10#$other <= taken / 8 + 1))
	kill -TERM "$getter"
	reap "$getter"
	[ "$status" -eq 143 ]
	exec 6<fifo 5>&-
	cat <&6 >got
	timeout 20 mpq-get -an q >rest
	cat <(whole_lines got) <(echo "$other") rest | sort | cmp - lines
	cat <(whole_lines got) rest | sort -c
}

@test "get behind a full pipe goes on when there is room" {
	local getter
	try 0 mpq-create q
	seq 100000 >lines
	try 0 mpq-put q <lines
	try 0 mpq-close q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -a q >fifo
	getter=$bg_pid
	wait_until blocked "$getter"
	exec 6<fifo 5>&-
	timeout 20 cat <&6 | cmp - lines
	reap "$getter"
	[ "$status" -eq 0 ]
}

@test "while one getter is writing a large message, others get the next" {
	local getter
	try 0 mpq-create q
	filler 1000000 >large
	try 0 mpq-put -r q <large
	seq 3 | try 0 mpq-put q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -L q >fifo
	getter=$bg_pid
	wait_until blocked "$getter"
	try 0 mpq-get -n q
	[ "$output" = 1 ]
	try 0 mpq-get -an q
	[ "$output" = $'2\n3' ]
	try 3 mpq-get -n q
	exec 6<fifo 5>&-
	timeout 20 cat <&6 | cmp - <(frame length large)
	reap "$getter"
	[ "$status" -eq 0 ]
	stat_is unfinished 4 q
}

@test "closed is not 5 for others while a getter is writing the last message: it may come back" {
	local getter
	try 0 mpq-create q
	filler 1000000 >large
	try 0 mpq-put -r q <large
	try 0 mpq-close q
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -L q >fifo
	getter=$bg_pid
	wait_until blocked "$getter"
	try 3 mpq-get -n q
	bg mpq-get -L q >got
	wait_stat getters 1 q
	kill -TERM "$getter"
	reap "$getter"
	[ "$status" -eq 143 ]
	reap "$bg_pid"
	[ "$status" -eq 0 ]
	frame length large | cmp - got
	try 5 mpq-get -n q
}

@test "a getter killed while it is writing: the message is first in the queue again" {
	local signal s=0
	filler 1000000 >large
	mkfifo fifo
	for signal in TERM HUP KILL; do
		try 0 mpq-create "$signal"
		try 0 mpq-put -r "$signal" <large
		seq 3 | try 0 mpq-put "$signal"
		exec 5<>fifo
		bg mpq-get -a "$signal" >fifo
		wait_until blocked "$bg_pid"
		stat_is size 3 "$signal"
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		[ "$status" -eq "$((128 + $(kill -l "$signal")))" ]
		exec 5>&-
		timeout 20 mpq-get -an "$signal" | cmp - <(cat large && printf '\n1\n2\n3\n')
		stat_is unfinished 4 "$signal"
	done
}

@test "a getter killed by SIGKILL behind a full pipe: no line is lost" {
	try 0 mpq-create q
	perl -e 'printf "%099d\n", $_ for 1 .. 20000' >lines
	try 0 mpq-put q <lines
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -a q >fifo
	wait_until blocked "$bg_pid"
	kill -KILL "$bg_pid"
	reap "$bg_pid"
	exec 6<fifo 5>&-
	cat <&6 >got
	timeout 20 mpq-get -an q >rest
	sort -c rest
	cat <(whole_lines got) rest | sort -u | cmp - lines
	# Twice comes at most what one write took: a pipe's worth.
	(($(cat <(whole_lines got) rest | wc -l) <= 20000 + 656))
}

@test "a getter ended by TERM behind a full pipe: each line is written or in the queue, once" {
	try 0 mpq-create q
	perl -e 'printf "%099d\n", $_ for 1 .. 20000' >lines
	try 0 mpq-put q <lines
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -a q >fifo
	wait_until blocked "$bg_pid"
	kill -TERM "$bg_pid"
	reap "$bg_pid"
	[ "$status" -eq 143 ]
	exec 6<fifo 5>&-
	cat <&6 >got
	timeout 20 mpq-get -an q >rest
	cat <(whole_lines got) rest | cmp - lines
}

@test "the time of -t is that for a message, not for a reader" {
	try 0 mpq-create q
	filler 1000000 >large
	try 0 mpq-put -r q <large
	mkfifo fifo
	exec 5<>fifo
	bg mpq-get -L -t 0.000001 q >fifo # which is over when it sleeps
	wait_until blocked "$bg_pid"
	exec 6<fifo 5>&-
	timeout 20 cat <&6 | cmp - <(frame length large)
	reap "$bg_pid"
	[ "$status" -eq 0 ]
}

# --- many at once

@test "4 producers and 4 getters, 1,000,000 lines through -m 1000: each once, in the order of its producer" {
	local i getters=() producers=()
	try 0 mpq-create -m 1000 q
	for i in 1 2 3 4; do
		seq -f "$i %.0f" 250000 >"in.$i"
	done
	for i in 1 2 3 4; do
		bg mpq-get -a q >"out.$i"
		getters+=("$bg_pid")
	done
	for i in 1 2 3 4; do
		bg mpq-put q <"in.$i"
		producers+=("$bg_pid")
	done
	reap_all "${producers[@]}"
	try 0 mpq-close q
	reap_all "${getters[@]}"
	cat out.* | sort | cmp - <(cat in.* | sort)
	awk '$2 <= last[FILENAME, $1] { exit 1 } { last[FILENAME, $1] = $2 }' out.1 out.2 out.3 out.4
	stat_is puts 1000000 q
	stat_is size 0 q
}

@test "4 producers and one getter: the lines of each producer come in its order, without a gap" {
	local i getter producers=()
	try 0 mpq-create -m 100 q
	bg mpq-get -a q >out
	getter=$bg_pid
	for i in 1 2 3 4; do
		bg mpq-put q < <(seq -f "$i %.0f" 10000)
		producers+=("$bg_pid")
	done
	reap_all "${producers[@]}"
	try 0 mpq-close q
	reap "$getter"
	[ "$status" -eq 0 ]
	[ "$(wc -l <out)" -eq 40000 ]
	awk '$2 != last[$1] + 1 { exit 1 } { last[$1] = $2 }' out
}

@test "producers and getters of all framings at once: each message once, whole" {
	local i getters=() producers=()
	try 0 mpq-create -b 300000 q
	for i in 1 2 3; do
		perl -e 'for my $i (1 .. 400) { print "$ARGV[0]-$i-", "x" x ($i * $ARGV[0] * 7919 % 5000), "\n" }' "$i" >"in.$i"
	done
	bg mpq-get -a q >out.1
	getters+=("$bg_pid")
	bg mpq-get -a0 q >out.2
	getters+=("$bg_pid")
	bg mpq-get -aL q >out.3
	getters+=("$bg_pid")
	bg mpq-put q <in.1
	producers+=("$bg_pid")
	bg mpq-put -0 q < <(tr '\n' '\0' <in.2)
	producers+=("$bg_pid")
	bg mpq-put -L q < <(perl -ne 'chomp; print pack("N", length), $_' in.3)
	producers+=("$bg_pid")
	reap_all "${producers[@]}"
	try 0 mpq-close q
	reap_all "${getters[@]}"
	perl -e 'local $/; $_ = <STDIN>;
	         while (length) { my $n = unpack "N", $_; print substr($_, 4, $n), "\n"; $_ = substr $_, 4 + $n }' \
		<out.3 >out.lines
	cat out.1 <(tr '\0' '\n' <out.2) out.lines | sort | cmp - <(cat in.* | sort)
}

@test "many commands of one message each, at once" {
	local i pids=()
	try 0 mpq-create -m 5 q
	for i in 1 2 3 4; do
		bg bash -c "for ((i = $i; i <= 200; i += 4)); do mpq-put q \$i || exit; done"
		pids+=("$bg_pid")
		bg bash -c 'for ((i = 0; i < 50; i++)); do mpq-get q || exit; done' >"got.$i"
		pids+=("$bg_pid")
	done
	reap_all "${pids[@]}"
	sort -n got.* | cmp - <(seq 200)
	stat_is size 0 q
}

# share_out: eight getters with readers that read nothing until a gate opens; sets least and most.
share_out() {
	local i getters=() n
	least=10000 most=0
	try 0 mpq-create q
	mkfifo gate
	exec 7<>gate
	for i in 1 2 3 4 5 6 7 8; do
		# shellcheck disable=SC2016 # the inner shell expands
		bg bash -c 'mpq-get -a q | { read -r _ <gate; cat >"out.$1"; }' _ "$i"
		getters+=("$bg_pid")
	done
	wait_stat getters 8 q
	seq 10000 >lines                     # one read, one run: all eight wait for it
	mpq-put q <lines
	try 0 mpq-close q
	wait_stat size 0 q
	printf '%s\n' 1 2 3 4 5 6 7 8 >&7
	reap_all "${getters[@]}"
	exec 7>&-
	for i in 1 2 3 4 5 6 7 8; do
		n=$(wc -l <"out.$i")
		least=$((n < least ? n : least)) most=$((n > most ? n : most))
	done
	cat out.* | sort -n | cmp - <(seq 10000)
	rm out.* gate
	try 0 mpq-rm q
}

@test "fair shares: eight getters that wait, with slow readers behind them, share 10,000 messages within 2x" {
	local least most fair=0
	for _ in 1 2 3 4 5; do               # on a busy machine one of them may be late; not mostly
		share_out
		printf 'least %s, most %s\n' "$least" "$most"
		((least == 0 || most > 2 * least)) || fair=$((fair + 1))
	done
	((fair >= 3))
}
