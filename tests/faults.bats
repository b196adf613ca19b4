#!/usr/bin/env bats
# Faults: every system call of every command fails once, with every error that it may have, or the process is killed in
# it; and what processes may run out of. Whatever happens: a status of 0 to 11, a reason with 1, no message lost, none
# doubled unless the getter failed, and the queue works. The short form takes an error for each call by turns; all of
# them with MPQ_LONG=1.
# shellcheck disable=SC2154 # status, stderr, test_dir: helpers and bats set them

load helpers

# errors_of CALL COMMAND: what it may fail with. strace does not make the call that fails. A close that fails has closed, on
# Linux; one that was not made keeps the processes of work and attach waiting for the end of a pipe.
errors_of() {
	case $1 in
	open | openat) echo EACCES EMFILE ENOMEM EINTR EIO ;;
	mmap) echo ENOMEM EACCES EAGAIN ;;
	madvise) echo ENOMEM EAGAIN ;;
	fallocate | ftruncate) echo ENOSPC EINTR EIO ;;
	fcntl) echo ENOMEM EAGAIN EINTR ;;
	close) [[ $2 == mpq-@(work|attach) ]] || echo EIO EINTR ;;
	read | readv) echo EIO EINTR EAGAIN ;;
	write | writev | pwritev2) echo ENOSPC EIO EINTR EAGAIN ;;
	poll | ppoll | futex) echo EINTR EAGAIN ENOMEM ;;
	link | linkat | unlink | unlinkat) echo EACCES ENOSPC EIO ;;
	fork | vfork | clone | clone3) echo EAGAIN ENOMEM ;;
	futex_waitv) echo EINTR EAGAIN ;;
	pipe | pipe2 | eventfd2 | pidfd_open) echo EMFILE ENFILE ENOMEM ;;
	set_robust_list | rt_sigaction | rt_sigprocmask | munmap | wait4 | waitid | kill | tkill | setpgid | arch_prctl | \
		set_tid_address) ;;
	*) echo ENOMEM EACCES EIO ;;
	esac
}

# calls_of TRACE: "call N" for each call after the start of the C library, which ends with a handler for SIGBUS; N is
# which one of its name it is. Of a name the first 6 and the last 2.
calls_of() {
	perl -ne 's/^\d+ +//;
	          next unless /^(\w+)\(/;
	          my $c = $1;
	          $n{$c}++;
	          $begun ||= /^rt_sigaction\(SIGBUS/;
	          push @{$at{$c}}, $n{$c} if $begun && $c !~ /^(exit|exit_group|execve|brk|gettid|getpid|getppid|rt_sigreturn|clock_gettime)$/;
	          END { for my $c (sort keys %at) {
	              my @n = @{$at{$c}};
	              splice @n, 6, @n - 8 if @n > 8 && !$ENV{MPQ_LONG};
	              print "$c $_\n" for @n } }' "$1"
}

# image NAME: the queue q, or none, as each trial finds it.
image() {
	mkdir images
	case $1 in
	none) ;;
	abc)
		mpq-create q
		mpq-put q a b c
		;;
	used)
		mpq-create q
		mpq-put q a b c
		mpq-get -anD q >/dev/null
		;;
	lines)
		mpq-create q
		seq 200 | mpq-put q
		;;
	two)
		mpq-create q
		mpq-put q a b c
		mpq-create to
		;;
	ends)
		mpq-pipe q >/dev/null
		mpq-put q@1 a b c
		mpq-close -w q@1
		;;
	esac
	if [[ $1 != none ]]; then
		mv "$MPQ_DIR/mpq.q" images/q
	fi
	if [[ $1 == two ]]; then
		mv "$MPQ_DIR/mpq.to" images/to
	fi
}

restore() {
	rm -f "$MPQ_DIR"/* "$MPQ_DIR"/.[!.]*
	local each
	for each in q to; do
		if [[ -e images/$each ]]; then
			cp --sparse=always "images/$each" "$MPQ_DIR/mpq.$each"
		fi
	done
}

# bad WHAT: tells which trial went wrong, and fails.
bad() {
	printf '%s: %s, status %s\n' "$trial" "$1" "$status" >&2
	head -n 5 err >&2
	return 1
}

# trial_ends COMMAND: a status, and a reason.
trial_ends() {
	if [[ $1 == mpq-work ]] && ((status == 126)); then
		return 0             # a child could not become COMMAND
	elif ((status > 11)) && [[ $trial != *signal=KILL* || $status -ne 137 ]]; then
		bad "ends badly"
	elif [[ $1 == mpq-@(work|attach) && $trial == inject=write:* ]]; then
		return 0             # counted for each of its processes: the first write of one may be the reason
	elif ((status == 1)) && ! grep -q "^$1: ." err; then
		bad "no reason"
	fi
}

# works EXPECTED: q can be used, and with z put to it it has one of the contents.
works() {
	local content
	mpq-stat q >/dev/null || bad "no stat" || return
	mpq-put q z || bad "no put" || return
	timeout 10 mpq-get -an q >content || bad "no get" || return
	content=$(tr '\n' ' ' <content)
	while (($#)); do
		[[ $content != "$1" ]] || return 0
		shift
	done
	bad "content: $content"
}

# faults CHECK COMMAND [ARG ...]: all trials. CHECK is called after each of them.
faults() {
	local check=$1 call n error turn=0 killed=0 list
	local -a errors
	shift
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	restore
	strace -f -o trace "$@" <in >out 2>err
	calls_of trace >calls
	[[ $(wc -l <calls) -ge 5 ]]
	while read -r call n; do
		list=$(errors_of "$call" "$1")
		read -r -a errors <<<"$list"
		errors=("${errors[@]/#/error=}" signal=KILL)
		if [[ -z $MPQ_LONG ]]; then
			errors=("${errors[@]:turn % ${#errors[@]}:1}")
		fi
		for error in "${errors[@]}"; do
			trial="inject=$call:$error:when=$n"
			restore
			status=0
			timeout -k 1 20 strace -f -qq -o /dev/null -e trace="$call" -e "$trial" "$@" \
				<in >out 2>err || status=$?
			killed=$((killed + (status == 137)))
			trial_ends "$1" || return
			"$check" || return
		done
		turn=$((turn + 1))
	done <calls
	((killed > 0)) # else nothing has been injected
}

prepare() {
	MPQ_LONG=${MPQ_LONG-}
	: >in
	image "$1"
}

# --- what must hold after each

after_create() {
	if [[ -e $MPQ_DIR/mpq.q ]]; then
		works "z "
	elif ((status == 0)); then
		bad "not made"
	elif [[ -n $(ls -A "$MPQ_DIR") ]]; then
		bad "leavings"
	fi
}

after_put() {
	case $status in
	0) works "a b c x z " ;;
	137) works "a b c x z " "a b c z " ;;
	*) works "a b c z " ;;
	esac
}

after_get() {
	case $status:$(<out) in
	0:a) works "b c z " ;;
	*:a) works "a b c z " "b c z " ;; # it was written; the answer is that it may come again
	0:) bad "nothing was got" ;;
	*:) works "a b c z " ;;
	*) bad "it got $(<out)" ;;
	esac
}

after_put_lines() {
	mpq-stat q >/dev/null || bad "no stat" || return
	mpq-get -an q >content || [[ $status -ne 0 && ! -s content ]] || bad "no get" || return
	if ((status == 0)); then
		cmp -s in content || bad "not all was put"
	else
		head -n "$(wc -l <content)" in | cmp -s - content || bad "something else was put"
	fi
}

# Each line has been got or is there; only when the getter failed can lines be both.
after_get_lines() {
	mpq-put q z || bad "no put" || return
	mpq-get -an q | head -n -1 >content
	if ((status == 0)); then
		[[ $(wc -l <out) -eq 200 && ! -s content ]] || bad "not all was got"
	fi
	seq 200 | cmp -s - <(perl -ne 'print if /\n\z/' out | cat - content | sort -nu) || bad "lines are lost"
}

after_done() {
	local unfinished
	unfinished=$(mpq-stat -k unfinished q) || bad "no stat" || return
	case $status:$unfinished in
	0:2 | 137:[23] | [1-9]:3 | 1[01]:3) works "a b c z " ;;
	*) bad "unfinished: $unfinished" ;;
	esac
}

after_close() {
	local closed=0
	mpq-stat --test closed q || closed=$?
	if ((status == 0 && closed != 0)); then
		bad "not closed"
	elif ((closed != 0)); then
		works "a b c z "
	else
		[[ $(mpq-get -an q | tr '\n' ' ') == "a b c " ]] || bad "content"
	fi
}

# A removal that was cut short is finished by whoever comes next.
after_rm() {
	local there=0
	((status != 0)) || [[ ! -e $MPQ_DIR/mpq.q ]] || bad "it is still there" || return
	mpq-stat q >/dev/null 2>&1 || there=$?
	if ((there == 0)); then
		works "a b c z "
	elif [[ -n $(ls -A "$MPQ_DIR") ]]; then
		bad "leavings"
	else
		mpq-create q && works "z "
	fi
}

after_looking() {
	works "a b c z "
}

after_join() {
	works "z "
}

after_pipe() {
	if [[ -e $MPQ_DIR/mpq.q ]]; then
		mpq-put q@1 z || bad "no put" || return
		[[ $(mpq-get -n q@2) == z ]] || bad "no get"
	elif ((status == 0)); then
		bad "not made"
	elif [[ -n $(ls -A "$MPQ_DIR") ]]; then
		bad "leavings"
	fi
}

# after_moving: each message is in one of the two, in order; killed, the one in hand may be in both.
after_move() {
	local there left
	mpq-put to z || bad "no put" || return
	there=$(mpq-get -an to | head -n -1 | tr '\n' ' ')
	mpq-put q z || bad "no put" || return
	left=$(mpq-get -an q | head -n -1 | tr '\n' ' ')
	if ((status == 0)) && [[ $left ]]; then
		bad "not all was moved: $left"
	elif [[ $there$left == 'a b c ' ]]; then
		return 0
	fi
	if ((status != 137)) || ! [[ $there$left =~ ^(a )?(a )?(b )?(b )?(c )?(c )?$ && $there$left == *a*b*c* ]]; then
		bad "moved $there, left $left"
	fi
}

# Each message has been worked on, or is there, or, if it was COMMAND's own call, has failed, as the log says.
after_work() {
	local each left
	mpq-put q z || bad "no put" || return
	left=$(mpq-get -an q | head -n -1)
	if ((status == 0 || status == 11)) && [[ $left ]]; then
		bad "left over: $left"
		return 1
	fi
	for each in a b c; do
		grep -qx "$each" out || grep -qx "$each" <<<"$left" || ((status == 11)) ||
			awk -F '\t' -v c="echo $each" '$9 == c && ($7 != 0 || $8 != 0) { f = 1 } END { exit !f }' log ||
			bad "$each is lost" || return
	done
	rm -f log
	if ((status == 0)) && [[ $(<out) != $'a\nb\nc' ]]; then
		bad "output $(<out)"
	fi
}

# What was sent is received, up to what was written; the end that attach had is closed, however it ended.
after_attach() {
	local put=0
	timeout 10 mpq-put q@1 z 2>err.put || put=$?
	((put == 5)) || { ((status == 1)) && ((put == 0)); } || bad "the end is open: put $put" || return
	case $(tr '\n' ' ' <out) in
	"a b c ") ;;
	"" | "a " | "a b ") ((status != 0)) || bad "it got $(<out)" ;;
	*) bad "it got $(<out)" ;;
	esac
}

@test "faults: pipe" {
	prepare none
	faults after_pipe mpq-pipe q
}

@test "faults: move" {
	prepare two
	faults after_move mpq-move -an q to
}

@test "faults: wait" {
	prepare abc
	faults after_looking mpq-wait -t 1 q:join q
}

@test "faults: work" {
	prepare abc
	faults after_work mpq-work -n -j1 --joblog log q echo
}

@test "faults: attach" {
	prepare ends
	faults after_attach mpq-attach q@2
}

@test "faults: create" {
	prepare none
	faults after_create mpq-create q
}

@test "faults: put" {
	prepare abc
	faults after_put mpq-put q x
}

@test "faults: get" {
	prepare abc
	faults after_get mpq-get q
}

@test "faults: put, a stream" {
	prepare used
	seq 200 >in
	faults after_put_lines mpq-put q
}

@test "faults: get, a stream" {
	prepare lines
	faults after_get_lines mpq-get -an q
}

@test "faults: task-done" {
	prepare abc
	faults after_done mpq-task-done q
}

@test "faults: join" {
	prepare used
	faults after_join mpq-join -n q
}

@test "faults: close" {
	prepare abc
	faults after_close mpq-close q
}

@test "faults: rm" {
	prepare abc
	faults after_rm mpq-rm q
}

@test "faults: ls" {
	prepare abc
	faults after_looking mpq-ls
}

@test "faults: stat" {
	prepare abc
	faults after_looking mpq-stat q
}

# What has come of a message says nothing about why no more came.
# shellcheck disable=SC2094 # strace only looks for the path
@test "a read error inside of a message or its length, -L: it is the reason, and what was read is given back" {
	strace -o /dev/null true 2>/dev/null || skip "strace cannot trace here"
	local part input
	input=$(realpath in)
	mpq-create q
	for part in '\0\0' '\0\0\0\5ab' '\377\377\377\377' '\377\377\377\377\0\0' '\377\377\377\377\0\0\0\0\0\0\0\5ab'; do
		# shellcheck disable=SC2059 # the escapes are meant
		printf "\0\0\0\3one$part" >"$input"
		{
			try 1 strace -qqq -o trace -P "$input" -e trace=read -e inject=read:error=EIO:when=2 mpq-put -L q
			cat >rest
		} <"$input"
		[[ $stderr =~ ^'mpq-put: q: standard input: '(I/O|Input/output)' error'$ ]]
		# shellcheck disable=SC2059
		cmp rest <(printf "$part")
		left q one
	done
}

# --- what a process may run out of

# every_command CHECKER: each command, with arguments that would succeed, by way of the function.
every_command() {
	local line
	for line in "none mpq-create q" "abc mpq-put q x" "abc mpq-get q" "abc mpq-task-done q" "abc mpq-stat q" \
		"abc mpq-close q" "abc mpq-ls" "abc mpq-rm q"; do
		rm -rf images
		rm -f "$MPQ_DIR"/*
		prepare "${line%% *}"
		restore
		# shellcheck disable=SC2086 # words
		"$1" ${line#* } || return
	done
}

few_descriptors() {
	local n
	for n in 3 4 5 6; do
		restore
		trial="$* with $n descriptors" status=0
		# shellcheck disable=SC2016 # the inner shell expands
		timeout 10 bash -c 'ulimit -n "$1" && shift && exec "$@"' - "$n" "$@" >out 2>err 3>&- 4>&- 5>&- 6>&- \
			7>&- 8>&- 9>&- || status=$?
		trial_ends "$1" || return
	done
}

@test "few descriptors: a status and a reason" {
	every_command few_descriptors
}

# A queue's file must not become the standard output: what a command prints would go into the queue.
closed_descriptors() {
	trial="$* with closed descriptors"
	for closing in '0<&-' '1>&-' '2>&-' '0<&- 1>&-' '0<&- 1>&- 2>&-'; do
		restore
		: >err
		status=0
		bash -c "exec 2>>err; exec timeout 10 \"\$@\" $closing" - "$@" >out || status=$?
		((status <= 11)) || bad "ends badly with $closing" || return
		if [[ $1 != mpq-rm && $1 != mpq-close && -e $MPQ_DIR/mpq.q ]]; then
			mpq-put q z || bad "no put after $closing" || return
			mpq-get -an q >/dev/null || bad "no get after $closing" || return
		fi
	done
}

@test "closed standard descriptors: the queue is as good as before" {
	every_command closed_descriptors
}

# small_files: a put with each limit of file size; what was put before stays.
@test "limits of file size: a put fails with a reason, or succeeds" {
	local kib reason
	prepare abc
	filler 100000 >in
	for kib in 0 1 4 8 16 64 68 72 100 128 132 160 200 256; do
		restore
		trial="file size $kib KiB" status=0
		# Its complaint goes to a pipe, which has no such limit.
		reason=$(
			ulimit -f "$kib"
			exec timeout 10 mpq-put -r q <in 2>&1
		) || status=$?
		printf '%s\n' "$reason" >err
		trial_ends mpq-put
		mpq-get -n q >content
		[[ $(<content) == a ]] || bad "a is lost"
	done
}

@test "a full device and pipes that close after some bytes: what was not written stays" {
	local bytes n
	prepare lines
	for bytes in 0 1 2 10 100 500; do
		restore
		trial="a pipe closed after $bytes bytes" status=0
		mpq-get -an q 2>err | head -c "$bytes" >out || status=$?
		n=$(mpq-stat -k size q)
		# All lines that head has not seen whole are there, or were in the pipe.
		((n + $(wc -l <out) <= 200 + 1)) || bad "$n lines are left"
	done
	restore
	trial="a full device" status=0
	mpq-get -an q >/dev/full 2>err || status=$?
	((status == 1)) || bad "no failure"
	trial_ends mpq-get
	[[ $(mpq-stat -k size q) == 200 ]] || bad "lines are lost"
}

@test "a memory cgroup of 8 MB: a large put fails or is killed, and the queue works" {
	local group=/sys/fs/cgroup/memory/mpq-test.$$
	prepare abc
	if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
		group=/sys/fs/cgroup/mpq-test.$$
	fi
	mkdir "$group" 2>/dev/null || skip "no memory cgroup can be made here"
	if ! echo 8388608 2>/dev/null >"$group/memory.limit_in_bytes" &&
		! echo 8388608 2>/dev/null >"$group/memory.max"; then
		rmdir "$group"
		skip "no memory limit can be set here"
	fi
	restore
	trial="8 MB" status=0
	head -c 30000000 /dev/zero >in
	bash -c 'echo $$ >"$1/cgroup.procs" && exec timeout 20 mpq-put -r q <in' - "$group" >out 2>err || status=$?
	wait_until rmdir "$group"
	((status <= 11 || status == 137)) || bad "ends badly"
	mpq-get -n q >content
	[[ $(<content) == a ]] || bad "a is lost"
}
