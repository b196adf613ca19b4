#!/usr/bin/env bats
# Full: the bounds of a queue, and what happens where the memory, the file size or the address space ends.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

# numbered N: lines of numbers.
numbered() {
	seq "$1" >lines
}

# put_and_rest: a program that puts its standard input into q and keeps in "rest" what put has left of it.
# shellcheck disable=SC2016 # the inner shell expands
put_and_rest=(bash -c 'mpq-put "$@" q; status=$?; cat >rest; exit "$status"' put)

# all_there: what is in q and what was left are the lines, each once and in order; at least one is in q.
all_there() {
	try 0 bash -c 'mpq-get -an q >got'
	[[ -s got ]] && cat got rest | cmp - lines
}

@test "-m: 4 when there is no room and no time, silently; the queue is as it was" {
	mpq-create -m 2 q
	mpq-put q a b
	try 4 mpq-put -n q c
	silent
	try 4 mpq-put -t 0 q c
	try 4 mpq-put -nv q c
	[[ ${stderr_lines[0]} == "mpq-put: q: "?* ]]
	stat_is size 2 q
	stat_is puts 2 q
	try 0 mpq-get -an q
	[[ $output == $'a\nb' ]]
}

@test "-m: a put of several that meets the bound: what was put stays, nothing is put twice" {
	mpq-create -m 2 q
	try 4 mpq-put -n q a b c d
	try 0 mpq-get -n q
	try 4 mpq-put -n q c d
	try 0 mpq-get -an q
	[[ $output == $'b\nc' ]]
}

@test "-m: on Full a seekable input is left at the first byte not put" {
	mpq-create -m 1000 q
	numbered 5000
	try 4 "${put_and_rest[@]}" -n <lines
	stat_is size 1000 q
	[[ $(head -n 1 rest) == 1001 ]]
	all_there
	mv rest lines
	try 4 "${put_and_rest[@]}" -t 0.1 <lines
	[[ $(head -n 1 rest) == 2001 ]]
	all_there
}

@test "-m: put waits for room, and only as long as that" {
	mpq-create -m 1 q
	mpq-put q a
	bg mpq-put q b c
	local putter=$bg_pid
	wait_stat putters 1 q
	try 0 mpq-get q
	[[ $output == a ]]
	try 0 mpq-get q
	[[ $output == b ]]
	reap "$putter"
	[[ $status == 0 ]]
	try 0 mpq-get -n q
	[[ $output == c ]]
}

@test "-m: a stream through a queue of one comes out whole and in order" {
	mpq-create -m 1 q
	numbered 500
	bg mpq-put q <lines
	local putter=$bg_pid
	try 0 bash -c 'mpq-get -c 500 q >got'
	reap "$putter"
	[[ $status == 0 ]]
	cmp got lines
}

@test "-t: 4 when there was no room within the time, never earlier" {
	mpq-create -m 1 q
	mpq-put q a
	lasts 300 15000 4 mpq-put -t 0.3 q b
	silent
	stat_is putters 0 q
}

@test "-m 0, and without -m: no bound" {
	mpq-create -m 0 q
	mpq-create r
	seq 20000 | try 0 mpq-put -n q
	seq 20000 | try 0 mpq-put -n r
	stat_is size 20000 q
	stat_is size 20000 r
}

@test "-b bounds the bytes of the messages" {
	mpq-create -b 10 q
	try 0 mpq-put -n q 123456
	try 4 mpq-put -n q 12345
	silent
	try 0 mpq-put -n q 1234
	stat_is bytes 10 q
	try 4 mpq-put -n q 1
	try 0 mpq-put -n q ''
	try 0 mpq-get -n q
	try 0 mpq-put -n q 123456
	try 0 mpq-get -an q
	[[ $output == $'1234\n\n123456' ]]
}

@test "-b: a message that can never fit is 10, at once, and is not put" {
	mpq-create -b 10 q
	try 10 mpq-put q 12345678901
	complains "mpq-put: q"
	try 10 mpq-put -n q 12345678901
	try 10 mpq-put -v q 12345678901
	[[ ${stderr_lines[0]} == "mpq-put: q: "?* ]]
	mpq-put q 1234567890
	try 10 mpq-put q 12345678901
	try 10 mpq-put -r q < <(filler 100000)
	try 0 mpq-get -an q
	[[ $output == 1234567890 ]]
}

@test "-b: a message that can never fit in a stream: those before stay put, the input is left at it" {
	mpq-create -b 10 q
	printf '%s\n' 123 456 12345678901 7 >lines
	try 10 "${put_and_rest[@]}" <lines
	[[ $(<rest) == $'12345678901\n7' ]]
	all_there
	try 10 mpq-put q 1 12345678901 2
	try 0 mpq-get -an q
	[[ $output == 1 ]]
}

# never_ends BYTES OPTION ...: a message that begins with BYTES (for printf) and does not end is 10, and nothing is kept.
never_ends() {
	local bytes=$1
	shift
	rm -f fifo
	mkfifo fifo
	exec 7<>fifo
	# shellcheck disable=SC2059 # they are for printf
	printf "$bytes" >&7
	try 10 timeout 30 mpq-put "$@" q <fifo
	complains "mpq-put: q"
	exec 7>&-
	stat_is size 0 q
}

@test "-b: a message that can never fit is 10 before it has ended, in every framing" {
	mpq-create -b 10 q
	never_ends 12345678901
	never_ends 12345678901 -0
	never_ends 12345678901 -r
	never_ends '\0\0\0\013' -L
	never_ends '\377\377\377\377\0\0\0\001\0\0\0\0' -L
	for framing in '' -0 -r; do
		# shellcheck disable=SC2086 # none is none
		try 10 timeout 30 mpq-put $framing q < <(tr '\0' x </dev/zero)
	done
	mpq-create -b 1M r
	try 10 timeout 30 mpq-put r < <(tr '\0' x </dev/zero)
	try 10 timeout 30 mpq-put -r r < <(tr '\0' x </dev/zero)
	stat_is size 0 r
	(($(mpq-stat -k memory r) < 3 * 1048576))
}

@test "-b: what has not ended and may still fit is waited for" {
	mpq-create -b 10 q
	mkfifo fifo
	exec 7<>fifo
	printf 1234567890 >&7
	bg mpq-put q <fifo
	wait_until sleeps_in "$bg_pid" read poll
	printf '\n' >&7
	wait_stat size 1 q
	exec 7>&-
	reap "$bg_pid"
	[[ $status == 0 ]]
	try 0 mpq-get -n q
	[[ $output == 1234567890 ]]
}

@test "-b takes K: 1024 bytes fit 1K, 1025 do not" {
	mpq-create -b 1K q
	filler 1025 | try 10 mpq-put -r q
	filler 1024 | try 0 mpq-put -r -n q
	stat_is bytes 1024 q
	try 4 mpq-put -n q x
}

@test "-b: a putter of a message that fits the room goes on, though one that needs more waits" {
	mpq-create -b 10 q
	mpq-put q 12 12345678
	bg mpq-put q 1234567
	local big=$bg_pid
	wait_stat putters 1 q
	bg mpq-put q x
	local small=$bg_pid
	wait_stat putters 2 q
	try 0 mpq-get q
	[[ $output == 12 ]]
	reap "$small"
	[[ $status == 0 ]]
	try 0 mpq-get q
	[[ $output == 12345678 ]]
	reap "$big"
	[[ $status == 0 ]]
	try 0 mpq-get -an q
	[[ $output == $'x\n1234567' ]]
}

@test "-m and -b together: the first that is met counts" {
	mpq-create -m 3 -b 5 q
	try 0 mpq-put -n q 12345
	try 4 mpq-put -n q 1
	try 0 mpq-get -n q
	try 0 mpq-put -n q 1 2 3
	try 4 mpq-put -n q 4
	stat_is bytes 3 q
}

@test "the bounds are of the size: what is held, and what is got and not done, leaves room" {
	mpq-create -m 1 -b 3 q
	mpq-put q abc
	live_pid
	try 0 mpq-get -o "$pid" q
	try 0 mpq-put -n q def
	try 0 mpq-get -n q
	try 0 mpq-put -n q ghi
	try 4 mpq-put -n q j
	try 0 mpq-get -nP q
	try 4 mpq-put -n q j
	stat_is unfinished 3 q
}

# on_tmpfs SIZE: runs the script on standard input where MPQ_DIR is a file system of SIZE that nobody else sees.
on_tmpfs() {
	unshare --mount true 2>/dev/null || skip "no mount name space can be made here"
	cat - >script.tail
	cat >script <<-'END'
		trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
		mount -t tmpfs -o size="$1" tmpfs "$MPQ_DIR"

		# ends STATUS COMMAND ...: its output is in out and err.
		ends() {
			local want=$1 got=0
			shift
			timeout -k 1 20 "$@" >out 2>err || got=$?
			((got == want)) && return
			printf '%s: status %s, not %s: %s\n' "$*" "$got" "$want" "$(<err)" >&2
			exit 1
		}

		# says_where: the command has named the file system and its free bytes.
		says_where() {
			cat err >&2
			grep -qF "$MPQ_DIR" err
			sed "s|$MPQ_DIR||" err | grep -Eiq '[0-9].*free|free.*[0-9]'
		}

		put_lines() {
			ends 1 bash -c 'mpq-put q; status=$?; cat >rest; exit "$status"' <lines
		}

		# Nothing is free any more.
		fill_up() {
			! cat /dev/zero >"$MPQ_DIR/filler" 2>/dev/null
			! printf x 2>/dev/null >>"$MPQ_DIR/filler"
		}
	END
	cat script.tail >>script
	try 0 unshare --mount --propagation private bash -e script "$1"
	printf '%s\n' "$stderr"
}

@test "a small file system, 64 KB to 1 MB: put until 1, which names it and its free bytes; all is got; put again" {
	numbered 200000
	local size
	for size in 64k 128k 192k 256k 512k 1024k; do
		echo "size $size"
		on_tmpfs "$size" <<-'END'
			ends 0 mpq-create q
			for round in 1 2 3; do
				put_lines
				says_where
				n=$(mpq-stat -k size q)
				((n > 0))
				ends 0 mpq-get -an -D q
				[[ $(wc -l <out) == "$n" ]]
				cat out rest | cmp - lines
				echo "round $round: $n" >&2
				ends 0 mpq-put q a b c
				ends 0 mpq-get -n -c 3 -D q
				[[ $(<out) == $'a\nb\nc' ]]
			done
			ends 0 mpq-join -n q
		END
	done
}

@test "a small file system: single puts until 1, then all is got, then put again" {
	on_tmpfs 192k <<-'END'
		ends 0 mpq-create q
		for round in 1 2; do
			for ((i = 1; i < 500; i++)); do
				status=0
				mpq-put q "$(printf '%0999d' "$i")" 2>err || status=$?
				((status == 0)) || break
				printf '%0999d\n' "$i"
			done >put
			((status == 1))
			says_where
			[[ -s put ]]
			ends 0 mpq-get -an q
			cmp out put
		done
	END
}

@test "a small file system: a message that it cannot take is 1, the queue stays as it was" {
	filler 2000000 >big
	on_tmpfs 1024k <<-'END'
		ends 0 mpq-create q
		ends 0 mpq-put q a b
		before=$(mpq-stat q | grep -Ev 'memory')
		ends 1 mpq-put -r q <big
		says_where
		[[ $(mpq-stat q | grep -Ev 'memory') == "$before" ]]
		head -c 300000 big >half
		ends 0 mpq-put -r q <half
		ends 0 mpq-get -n -c 2 q
		[[ $(<out) == $'a\nb' ]]
		ends 0 mpq-get -nr q
		cmp out half
	END
}

@test "a full file system: get, hold, task-done, join, stat, ls, close and rm work as ever" {
	on_tmpfs 1024k <<-'END'
		ends 0 mpq-create q
		ends 0 mpq-put q a b c d
		fill_up
		ends 0 mpq-get -n q
		[[ $(<out) == a ]]
		ends 0 mpq-get -n -o $$ q
		[[ $(<out) == b ]]
		ends 0 mpq-stat q
		grep -qx 'held 1' out
		ends 0 mpq-ls -l
		ends 0 mpq-task-done -R -o $$ q
		ends 0 mpq-get -n -o $$ q
		[[ $(<out) == b ]]
		ends 0 mpq-task-done -o $$ q
		ends 0 mpq-task-done q
		ends 8 mpq-join -n q
		ends 0 mpq-get -n -c 2 -D q
		[[ $(<out) == $'c\nd' ]]
		ends 0 mpq-join -n q
		ends 0 mpq-close q
		ends 5 mpq-get q
		ends 0 mpq-rm q
		[[ ! -e $MPQ_DIR/mpq.q ]]
	END
}

@test "a full file system: create is 1, names it and its free bytes, and leaves nothing behind" {
	on_tmpfs 256k <<-'END'
		fill_up
		ends 1 mpq-create q
		says_where
		ends 6 mpq-stat q
		rm "$MPQ_DIR/filler"
		[[ -z $(ls -A "$MPQ_DIR") ]]
		ends 0 mpq-create q
		ends 0 mpq-put q a
	END
}

@test "a file system that another fills and frees: put is 1 at once meanwhile, without -n, and 0 afterwards" {
	numbered 30000
	on_tmpfs 1024k <<-'END'
		ends 0 mpq-create q
		fill_up
		put_lines
		says_where
		n=$(mpq-stat -k size q)
		rm "$MPQ_DIR/filler"
		ends 0 mpq-put q <rest
		ends 0 mpq-get -an q
		cmp out lines
		((n < 30000))
	END
}

@test "RLIMIT_FSIZE: put is 1 with a reason, not SIGXFSZ; what was put is got" {
	mpq-create q
	numbered 100000
	# shellcheck disable=SC2016 # the inner shell expands
	try 1 bash -c '(ulimit -f 128; exec mpq-put q); status=$?; cat >rest; exit "$status"' <lines
	[[ -z $output && $stderr == "mpq-put: q: "?* ]]
	all_there
	try 0 mpq-put q again
	try 0 mpq-get q
	[[ $output == again ]]
}

@test "RLIMIT_FSIZE: create is 1 with a reason, not SIGXFSZ, and leaves nothing behind" {
	local limit
	for limit in 0 1 2; do
		# Standard error is a pipe, which the limit does not concern.
		# shellcheck disable=SC2016 # the inner shell expands
		try 1 bash -c '(ulimit -f "$0"; exec mpq-create q) 2>&1 | cat >&2; exit "${PIPESTATUS[0]}"' "$limit"
		complains "mpq-create: q"
		[[ -z $(ls -A "$MPQ_DIR") ]]
	done
}

@test "RLIMIT_FSIZE: a get whose output may not grow is 1, not SIGXFSZ; what was not written is first again" {
	mpq-create q
	numbered 1000
	mpq-put q <lines
	try 1 bash -c 'ulimit -f 1; exec mpq-get -an q >got'
	[[ $stderr == "mpq-get: q: "?* && $(stat -c %s got) -le 1024 ]]
	[[ $(tail -c 1 got) == "" ]] || sed -i '$d' got # its last line is not whole
	[[ -s got ]]
	cp got whole
	try 0 bash -c 'mpq-get -an q >got'
	cat whole got | cmp - lines
}

@test "RLIMIT_FSIZE: nor does standard error that may not grow change a status" {
	local status_of expected command n=0
	mpq-create q
	truncate -s 1M log # as long as a file may be; what the commands say would be at its end, their statuses go to a pipe
	while read -r expected command; do
		# shellcheck disable=SC2016 # the inner shell expands
		status_of=$(bash -c "(ulimit -f 1024; mpq-$command >/dev/null 2>>log; echo \$?) | cat" </dev/null)
		echo "mpq-$command: $status_of"
		[[ $status_of == "$expected" ]]
		n=$((n + 1))
	done <<-END
		0 put -v q hello
		0 get -v q
		3 get -n -v q
		8 join -n -v q
		8 join -n -p q
		0 task-done -v q
		6 put nosuch hello
		2 put -x q
		1 get -o 999999999 q
		0 close q
		5 put -v q hello
	END
	((n == 11))
	# --help, to a file that may not grow
	# shellcheck disable=SC2016 # the inner shell expands
	[[ $(bash -c '(ulimit -f 1024; mpq-get --help >>log 2>>log; echo $?) | cat') == 1 ]]
}

# limited KIB COMMAND ...: runs it in that much address space.
limited() {
	# shellcheck disable=SC2016 # the inner shell expands
	timeout -k 1 20 bash -c 'ulimit -v "$0"; exec "$@"' "$@"
}

@test "RLIMIT_AS: every command ends with a status and a reason, never by a signal; what was put is got" {
	local enough=1024 room command
	while ! limited "$enough" mpq-put --version >/dev/null 2>&1; do
		enough=$((enough * 9 / 8))
		((enough < 4000000))
	done
	mpq-create q
	: >put
	for room in 0 64 256 512 1024 2048 4096 8192 16384 20000 32768 65536; do
		for command in "put q $room" "get -nP q" "stat q" "ls -l" "join -n q" "task-done -o $$ q" "create q$room" \
			"close q$room"; do
			status=0
			# shellcheck disable=SC2086 # words
			limited $((enough + room)) mpq-$command >/dev/null 2>err || status=$?
			printf '%s KiB: mpq-%s: %s %s\n' $((enough + room)) "$command" "$status" "$(<err)"
			((status <= 11))
			((status != 1)) || [[ -s err ]]
			[[ $command != put* || $status != 0 ]] || echo "$room" >>put
		done
	done
	try 0 mpq-put q last
	echo last >>put
	try 0 bash -c 'mpq-get -an q >got'
	cmp got put
}
