#!/usr/bin/env bats
# Signals, broken outputs and closed descriptors: a command ends as it should, and the queue is whole.
# shellcheck disable=SC2030,SC2031,SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper
# shellcheck disable=SC2094 # two ends of one FIFO

load helpers

# What the shell starts in the background ignores INT and QUIT: here nothing is ignored.
plain=(env '--default-signal=INT,QUIT,TERM,HUP,USR1,PIPE')

# whole QUEUE: it takes a message and gives it, and nobody waits there.
whole() {
	stat_is state open "$1" && stat_is getters 0 "$1" && stat_is putters 0 "$1" &&
		try 0 mpq-put -n "$1" whole && try 0 mpq-get -n "$1" && [[ $output == whole ]]
}

# all_once: what is in written and what is still in q are the numbers up to $1, in order, each once.
all_once() {
	[[ $(tail -c 1 written) == "" ]] || sed -i '$d' written # its last line is not whole: still in the queue
	timeout -k 1 20 mpq-get -an q >rest || (($? == 3))
	printf '%s written, %s left\n' "$(wc -l <written)" "$(wc -l <rest)" >&2
	cat written rest | cmp - <(seq "$1")
}

# Descriptor 8 reads, and 7 keeps open, a pipe that get writes to until nothing more goes in.
stuffed_pipe() {
	mpq-create q
	seq 100000 | mpq-put q
	mkfifo fifo
	exec 7<>fifo 8<fifo
	bg "${plain[@]}" mpq-get -a q >fifo
	getter=$bg_pid
	exec 7>&-
	wait_until level_above 32768
	wait_until sleeps "$getter" mpq-get
}

# cut_off NUMBER: that get ends by the signal; nothing is lost, nothing comes twice.
cut_off() {
	kill "-$1" "$getter"
	reap "$getter"
	((status == 128 + $1))
	cat <&8 >written
	exec 8<&-
	all_once 100000
}

level_above() {
	(($(pipe_level 8) > $1))
}

@test "TERM, INT, HUP and USR1 end a waiting get as that signal, the queue is whole" {
	local signal
	mpq-create q
	for signal in TERM INT HUP USR1; do
		bg "${plain[@]}" mpq-get q
		wait_stat getters 1 q
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		printf '%s: %s\n' "$signal" "$status"
		((status == 128 + $(kill -l "$signal")))
		whole q
	done
}

@test "TERM, INT, HUP and USR1 end a waiting put as that signal, the queue is whole" {
	local signal
	for signal in TERM INT HUP USR1; do
		mpq-create -m 1 q
		mpq-put q a
		bg "${plain[@]}" mpq-put q b
		wait_stat putters 1 q
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		printf '%s: %s\n' "$signal" "$status"
		((status == 128 + $(kill -l "$signal")))
		try 0 mpq-get -n q
		[[ $output == a ]]
		try 3 mpq-get -n q
		whole q
		mpq-rm q
	done
}

@test "TERM, INT, HUP and USR1 end a waiting join as that signal, the queue is whole" {
	local signal
	mpq-create q
	mpq-put q a
	for signal in TERM INT HUP USR1; do
		bg "${plain[@]}" mpq-join q
		wait_until sleeps "$bg_pid" mpq-join
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		printf '%s: %s\n' "$signal" "$status"
		((status == 128 + $(kill -l "$signal")))
	done
	try 0 mpq-get -nD q
	try 0 mpq-join -n q
	whole q
}

@test "TERM, INT, HUP and USR1 end a waiting wait, move, join -p and work as that signal, the queues are whole" {
	local signal command
	mpq-create q
	mpq-create r
	for command in "mpq-wait q r" "mpq-move q r" "mpq-move -a q r" "mpq-join -C -p q" "mpq-join -Cp -t 600 q"; do
		for signal in TERM INT HUP USR1; do
			# shellcheck disable=SC2086 # words
			bg "${plain[@]}" $command 2>err
			wait_until sleeps "$bg_pid" "${command%% *}"
			kill -s "$signal" "$bg_pid"
			reap "$bg_pid"
			printf '%s, %s: %s\n' "$command" "$signal" "$status"
			((status == 128 + $(kill -l "$signal")))
		done
	done
	for signal in TERM INT; do
		bg "${plain[@]}" mpq-work q true
		wait_stat getters 1 q
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		((status == 128 + $(kill -l "$signal")))
	done
	whole q
	whole r
}

@test "TERM, INT, HUP and USR1 end a put that waits for its input, what it has read is put" {
	local signal
	mpq-create q
	mkfifo fifo
	for signal in TERM INT HUP USR1; do
		bg "${plain[@]}" mpq-put q <>fifo
		printf 'a\npart' >fifo
		wait_stat size 1 q
		wait_until sleeps "$bg_pid" mpq-put
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		((status == 128 + $(kill -l "$signal")))
		try 0 mpq-get -n q
		[[ $output == a ]]
		whole q
	done
}

@test "a command that a signal ends has died of it, not exited with 128 and its number" {
	command -v perl >/dev/null || skip "perl, which tells the two apart, is not here"
	mpq-create q
	# shellcheck disable=SC2016 # perl expands
	bg perl -e 'my $pid = fork // die;
		exec "env", "--default-signal=TERM", "mpq-get", "q" or die if !$pid;
		open(my $f, ">", "child") or die; print $f "$pid\n"; close $f;
		waitpid($pid, 0); exit($? & 127)'
	local watcher=$bg_pid
	wait_stat getters 1 q
	wait_until test -s child
	kill -TERM "$(<child)"
	reap "$watcher"
	((status == 15))
	whole q
}

@test "a signal that is ignored does not end a command: nohup" {
	mpq-create q
	bg nohup "${plain[@]/HUP,/}" mpq-get q >got 2>/dev/null </dev/null
	wait_stat getters 1 q
	kill -HUP "$bg_pid"
	mpq-put q a
	reap "$bg_pid"
	[[ $status == 0 && $(<got) == a ]]
}

@test "a killed waiter is no longer counted, and takes nothing with it" {
	mpq-create q
	bg mpq-get q
	wait_stat getters 1 q
	kill -KILL "$bg_pid"
	reap "$bg_pid"
	stat_is getters 0 q
	mpq-put q a
	try 0 mpq-get -n q
	[[ $output == a ]]
}

@test "a message goes to another getter when the one that waits first is stopped" {
	mpq-create q
	local round stopped other
	for round in 1 2 3 4 5; do
		bg mpq-get q >stopped
		stopped=$bg_pid
		wait_stat getters 1 q
		kill -STOP "$stopped"
		bg mpq-get q >other
		other=$bg_pid
		wait_stat getters 2 q
		mpq-put q "$round"
		reap "$other"
		[[ $status == 0 && $(<other) == "$round" ]]
		kill -CONT "$stopped"
		mpq-put q "more $round"
		reap "$stopped"
		[[ $status == 0 && $(<stopped) == "more $round" ]]
	done
}

@test "a message goes to another getter when one that waits is killed at the put" {
	mpq-create q
	local round doomed other
	for round in {1..10}; do
		bg mpq-get q >doomed
		doomed=$bg_pid
		wait_stat getters 1 q
		bg mpq-get q >other
		other=$bg_pid
		wait_stat getters 2 q
		mpq-put q "$round"
		kill -KILL "$doomed" 2>/dev/null || :
		reap "$doomed"
		if [[ -s doomed ]]; then # it was quick enough
			[[ $(<doomed) == "$round" ]]
			mpq-put q again
			reap "$other"
			[[ $status == 0 ]]
			[[ $(<other) =~ ^($round|again)$ ]]
			timeout -k 1 20 mpq-get -an q || (($? == 3)) # after a kill between write and account
		else
			reap "$other"
			[[ $status == 0 && $(<other) == "$round" ]]
		fi
	done
}

@test "get -a | head -1 leaves the rest in the queue, in order, and get dies of SIGPIPE" {
	mpq-create q
	seq 100000 | mpq-put q
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 "${plain[@]}" bash -c 'mpq-get -a q | head -n 1; echo "${PIPESTATUS[0]}"'
	[[ $output == $'1\n141' && -z $stderr ]]
	local size
	size=$(mpq-stat -k size q)
	# What was written is gone with the pipe: it and what head had read are less than 128 KiB.
	((size > 75000 && size < 100000))
	stat_is held 0 q
	seq 100000 | tail -n "$size" >expected
	try 0 bash -c 'mpq-get -an q | cmp - expected'
	whole q
}

@test "get -a | head -1 of few messages, one by one: the rest are there" {
	mpq-create q
	mpq-put q a
	mkfifo fifo
	# shellcheck disable=SC2016 # the inner shell expands
	bg "${plain[@]}" bash -c 'mpq-get -a q | head -n 1 >first; exit "${PIPESTATUS[0]}"'
	local pipeline=$bg_pid
	wait_until test -s first
	wait_stat getters 1 q
	mpq-put q b c d
	reap "$pipeline"
	((status == 141))
	[[ $(<first) == a ]]
	try 0 mpq-get -an q
	[[ $output == $'b\nc\nd' ]]
}

@test "a get whose standard output breaks leaves the message first in the queue: 1" {
	mpq-create q
	mpq-put q a b
	try 1 bash -c 'exec mpq-get q >/dev/full'
	complains "mpq-get: q"
	try 1 bash -c 'exec mpq-get -a q >/dev/full'
	try 1 bash -c 'exec mpq-get -D q >/dev/full'
	try 1 bash -c 'exec mpq-get -P q >/dev/full'
	stat_is size 2 q
	stat_is held 0 q
	stat_is unfinished 2 q
	live_pid
	# shellcheck disable=SC2016 # the inner shell expands
	try 1 bash -c 'exec mpq-get -o "$0" q >/dev/full' "$pid"
	stat_is held 0 q
	try 0 mpq-get -an q
	[[ $output == $'a\nb' ]]
}

@test "a get that TERM ends while its pipe is full: nothing is lost, nothing comes twice" {
	stuffed_pipe
	cut_off "$(kill -l TERM)"
	whole q
}

@test "a get that INT or HUP ends while its pipe is full: nothing is lost, nothing comes twice" {
	local signal
	for signal in INT HUP; do
		stuffed_pipe
		cut_off "$(kill -l "$signal")"
		mpq-rm q
		rm fifo
	done
}

@test "a get that is killed while its pipe is full: nothing is lost, and what comes twice is what one write took" {
	stuffed_pipe
	kill -KILL "$getter"
	reap "$getter"
	((status == 137))
	cat <&8 >written
	exec 8<&-
	[[ $(tail -c 1 written) == "" ]] || sed -i '$d' written
	wait_stat held 0 q
	try 0 bash -c 'mpq-get -an q >rest'
	local last first
	last=$(tail -n 1 written)
	first=$(head -n 1 rest)
	cmp written <(seq "$last")
	cmp rest <(seq "$first" 100000)
	printf 'written up to %s, left from %s\n' "$last" "$first"
	((first <= last + 1))
	(($(seq "$first" "$last" | wc -c) <= 65536))
	whole q
}

@test "others get the next messages while one getter cannot write" {
	stuffed_pipe
	try 0 mpq-get -n -c 10 q
	[[ $(wc -l <<<"$output") == 10 ]]
	local first
	first=$(head -n 1 <<<"$output")
	[[ $output == "$(seq "$first" $((first + 9)))" ]]
	kill -TERM "$getter"
	reap "$getter"
	{
		cat <&8
		printf '%s\n' "$output"
	} | sort -n >written
	exec 8<&-
	try 0 bash -c 'mpq-get -an q >rest'
	sort -n written rest | cmp - <(seq 100000)
}

@test "a get of one message larger than the pipe that a signal ends in the middle: it is in the queue again" {
	local signal
	mpq-create q
	filler 300000 >big
	mpq-put -r q <big
	mpq-put q next
	mkfifo fifo
	for signal in TERM KILL; do
		exec 7<>fifo 8<fifo
		bg "${plain[@]}" mpq-get -r q >fifo
		exec 7>&-
		wait_until level_above 32768
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		((status == 128 + $(kill -l "$signal")))
		exec 8<&-
		stat_is size 2 q
		stat_is held 0 q
	done
	try 0 bash -c 'mpq-get -nr q | cmp - big'
	try 0 mpq-get -n q
	[[ $output == next ]]
}

@test "a get -o that is killed while its pipe is full: what it has not written is not held" {
	mpq-create q
	seq 100000 | mpq-put q
	live_pid
	mkfifo fifo
	exec 7<>fifo 8<fifo
	bg "${plain[@]}" mpq-get -a -o "$pid" q >fifo
	getter=$bg_pid
	exec 7>&-
	wait_until level_above 32768
	wait_until sleeps "$getter" mpq-get
	kill -TERM "$getter"
	reap "$getter"
	cat <&8 >written
	exec 8<&-
	[[ $(tail -c 1 written) == "" ]] || sed -i '$d' written
	stat_is held "$(wc -l <written)" q
	all_once 100000
	try 0 mpq-task-done -R -a -o "$pid" q
	try 0 bash -c 'mpq-get -an q | cmp - written'
}

@test "a get of one message that a signal hits as it writes: it is written and gone, and get ends as that signal" {
	command -v strace >/dev/null || skip "strace is not here"
	strace -qq -o trace true 2>/dev/null || skip "strace may not trace here"
	local signal number n=0
	mpq-create q
	for signal in TERM INT PIPE USR1 RTMIN; do
		number=$(kill -l "$signal")
		for out in file pipe; do
			mpq-put q "$((++n))"
			hit=(timeout -k 1 20 "${plain[@]}" strace -qq -o trace -e "trace=write,pwritev2"
				-e "inject=write,pwritev2:signal=$number:when=1" mpq-get -n q)
			status=0
			if [[ $out == file ]]; then
				"${hit[@]}" >got || status=$?
			else
				status=$("${hit[@]}" | cat >got; echo "${PIPESTATUS[0]}")
			fi
			printf '%s, %s: %s\n' "$signal" "$out" "$status"
			((status == 128 + number))
			[[ $(<got) == "$n" ]]
			stat_is size 0 q
			stat_is held 0 q
			stat_is gets "$n" q
		done
	done
	whole q
}

@test "signals that the C library keeps to itself end a get like others, waiting or behind a full pipe" {
	local signal ignored tried=0
	ignored=0x$(sed -n 's/^SigIgn:\t//p' /proc/self/status)
	for signal in 32 33 34; do
		if ((ignored >> (signal - 1) & 1)); then
			continue             # inherited, and env(1) cannot change it
		fi
		tried=1
		mpq-create q
		bg "${plain[@]}" mpq-get q
		wait_stat getters 1 q
		kill "-$signal" "$bg_pid"
		reap "$bg_pid"
		printf '%s: %s\n' "$signal" "$status"
		((status == 128 + signal))
		mpq-rm q
		stuffed_pipe
		cut_off "$signal"
		mpq-rm q
		rm fifo
	done
	((tried)) || skip "they are ignored here, by inheritance"
}

@test "a put that a signal ends in the middle of its input: what is in the queue is the beginning of it" {
	local signal size
	for signal in TERM KILL INT; do
		mpq-create q
		mkfifo fifo
		exec 7<>fifo
		bg "${plain[@]}" mpq-put q <fifo
		local putter=$bg_pid
		bg awk 'BEGIN { for (i = 1; ; i++) { print i; if (i % 500 == 0) fflush() } }' >fifo
		exec 7>&-
		wait_until grows
		kill -s "$signal" "$putter"
		reap "$putter"
		((status == 128 + $(kill -l "$signal")))
		size=$(mpq-stat -k size q)
		((size > 0))
		stat_is unfinished "$size" q
		stat_is puts "$size" q
		stat_is putters 0 q
		try 0 bash -c 'mpq-get -an q >got'
		cmp got <(seq "$size")
		mpq-rm q
		rm fifo
	done
}

grows() {
	(($(mpq-stat -k size q) > 1000))
}

@test "closed standard descriptors: put and get work, and no byte goes where it should not" {
	mpq-create q
	timeout 20 mpq-put q a <&- >&- 2>&-
	timeout 20 mpq-put -v q b <&- >&- 2>&-
	timeout 20 mpq-put q c >&-
	stat_is size 3 q
	[[ $(timeout 20 mpq-get q <&- 2>&-) == a ]]
	[[ $(timeout 20 mpq-get -v q 2>&-) == b ]]
	stat_is size 1 q
	timeout 20 mpq-stat q >&- 2>&- || (($? == 1))
	timeout 20 mpq-task-done q <&- >&- 2>&-
	run -0 timeout 20 mpq-get -n q
	[[ $output == c ]]
	whole q
}

@test "closed standard output: get is 1, and the message is first in the queue again" {
	mpq-create q
	mpq-put q a b
	status=0
	timeout 20 mpq-get q >&- 2>err || status=$?
	((status == 1))
	[[ -s err ]]
	status=0
	timeout 20 mpq-get -a q <&- >&- 2>&- || status=$?
	((status == 1))
	stat_is held 0 q
	try 0 mpq-get -an q
	[[ $output == $'a\nb' ]]
}

@test "closed standard input: a put that would read it puts nothing, and the queue is whole" {
	mpq-create q
	status=0
	timeout 20 mpq-put q <&- >&- 2>&- || status=$?
	((status <= 1))
	stat_is puts 0 q
	whole q
}

@test "every command with all descriptors closed ends with a status, and the queue is whole" {
	mpq-create q
	local command
	mpq-create to
	for command in "put q a" "get q" "get -n q" "task-done -c 9 q" "join -n q" "stat q" "ls -l" "create q" "create r" \
		"create" "rm missing" "close r" "rm r" "put --help" "get -x" "wait q" "join -np q" "pipe p" "pipe" \
		"pipe -o $$ p@2" "attach p@1 true" "move -n to q" "work -n to true"; do
		status=0
		# shellcheck disable=SC2086 # words
		timeout -k 1 20 mpq-$command <&- >&- 2>&- || status=$?
		printf '%s: %s\n' "$command" "$status"
		((status <= 11))
	done
	stat_is state open q
	stat_is size 1 q
	stat_is puts 1 q
}

@test "no queue is ever opened as descriptor 0 to 2: a waiting command with all of them closed" {
	mpq-create -m 1 q
	mpq-put q a
	mpq-create r
	bg bash -c 'exec mpq-put q b <&- >&- 2>&-'
	local putter=$bg_pid
	bg bash -c 'exec mpq-get r <&- >&- 2>&-'
	local getter=$bg_pid process fd
	wait_stat putters 1 q
	wait_stat getters 1 r
	for process in "$putter" "$getter"; do
		for fd in 0 1 2; do
			[[ $(readlink "/proc/$process/fd/$fd") != *mpq* ]]
		done
	done
	mpq-get q
	reap "$putter"
	[[ $status == 0 ]]
}

@test "no queue is ever opened as descriptor 0 to 2: each open of every command, seen by strace" {
	command -v strace >/dev/null || skip "strace is not here"
	strace -qq -o trace true 2>/dev/null || skip "strace may not trace here"
	mpq-create q
	local command closed
	mpq-create to
	for command in "put q a" "get q" "stat q" "ls" "task-done q" "join -n q" "create -e q" "create r" "close r" "rm r" \
		"wait -n q" "pipe -e p" "attach p@1 true" "rm p" "put q b" "move q to" "work -n to true" "work -nu to true"; do
		for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
			rm -f trace
			# The tracer has descriptors of its own: the inner shell closes them.
			timeout -k 1 20 strace -qq -f -e trace=open,openat,openat2 -o trace \
				bash -c "exec mpq-$command $closed" >/dev/null 2>&1 || :
			[[ -s trace ]]
			if grep -E "$MPQ_DIR.* = [012]$" trace; then
				printf 'in: mpq-%s %s\n' "$command" "$closed"
				return 1
			fi
		done
	done
}
