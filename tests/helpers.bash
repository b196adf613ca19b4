# shellcheck shell=bash
# What all suites share: a private name space for each test, commands that cannot hang, background processes that
# teardown ends, and waiting for states instead of sleeping. A test starts in an empty directory of its own.

bats_require_minimum_version 1.5.0

setup() {
	local bin=${BATS_TEST_DIRNAME%/*}/build/bin
	[[ -d $bin ]] || {
		printf '%s is not there: build first\n' "$bin" >&2
		return 1
	}
	test_dir=$(mktemp -d /dev/shm/mpq-test.XXXXXX) || return
	background=()
	default_names=()
	export PATH="$bin:$PATH" MPQ_DIR="$test_dir" LC_ALL=C
	unset MPQ_OWNER POSIXLY_CORRECT
	cd "$BATS_TEST_TMPDIR" || return
}

teardown() {
	local name pid running
	if ((${#background[@]})); then
		running=$(jobs -pr) # the PID of one that has ended may be another's by now
		for pid in "${background[@]}"; do
			if [[ $'\n'$running$'\n' == *$'\n'"$pid"$'\n'* ]]; then
				kill -KILL "$pid"
				wait "$pid" 2>/dev/null || : # lest bash report it
			fi
		done
	fi
	for name in "${default_names[@]}"; do
		rm -f "/dev/shm/mpq.$name"
	done
	[[ -w $test_dir ]] || chmod 700 "$test_dir"
	rm -rf "${test_dir:?}"
}

# use_default_place: queues of this test are in /dev/shm; $name is a unique name there that teardown removes.
use_default_place() {
	unset MPQ_DIR
	name="mpq-test.$$.$BATS_TEST_NUMBER.$RANDOM"
	default_names+=("$name")
}

# try STATUS COMMAND [ARG ...]: as `run -STATUS --separate-stderr timeout 20 COMMAND`, at half the cost, which counts
# when there are thousands: COMMAND must end with STATUS; sets $output, $stderr, $lines, $stderr_lines and $status.
# shellcheck disable=SC2034 # the variables are for the suites
try() {
	local expected=$1 file=$BATS_TEST_TMPDIR/.stderr
	shift
	printf '+ %s\n' "$*" >&2
	status=0
	output=$(timeout -k 1 20 "$@" 2>"$file") || status=$?
	IFS= read -d '' -r stderr <"$file" || :
	stderr=${stderr%$'\n'}
	IFS=$'\n' read -d '' -r -a lines <<<"$output" || :
	IFS=$'\n' read -d '' -r -a stderr_lines <<<"$stderr" || :
	((status == expected)) || {
		printf 'status %s, not %s; standard error: %s\n' "$status" "$expected" "$stderr" >&2
		return 1
	}
}

# silent: what try ran has printed nothing at all.
silent() {
	[[ -z $output && -z $stderr ]]
}

# complains PREFIX: what try ran has printed nothing but diagnostics, each of the form "PREFIX: reason".
complains() {
	local line
	[[ -z $output && -n $stderr ]] || return
	while IFS= read -r line; do
		printf 'diagnostic: %s\n' "$line" >&2
		[[ $line == "$1: "?* ]] || return
	done <<<"$stderr"
}

# misuse COMMAND [ARG ...]: COMMAND must refuse its arguments with status 2, say so and print no data.
misuse() {
	try 2 "$@"
	[[ -z $output ]]
	[[ ${stderr_lines[0]} =~ ^([Uu]sage: )?"$1"([: ]|$) ]]
}

# last_line: the last line on standard error of what try ran.
last_line() {
	printf '%s\n' "${stderr##*$'\n'}"
}

# bg COMMAND [ARG ...]: starts one program (no function) in the background, its PID in $bg_pid. It inherits redirections
# of bg itself, but not descriptors 3 to 9, lest it keep bats waiting or a FIFO of the test open.
bg() {
	"$@" <&0 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	bg_pid=$!
	background+=("$bg_pid")
}

# reap PID: waits for a process that bg started to end, for a minute at most; sets $status.
reap() {
	wait_until ended "$1" || return # in a condition the shell would go on
	status=0
	wait "$1" || status=$?
}

ended() {
	! kill -0 "$1" 2>/dev/null
}

# reap_with STATUS PID ...: reap each of them; all must have ended with STATUS.
reap_with() {
	local expected=$1 each
	shift
	for each; do
		reap "$each" || return
		((status == expected)) || {
			printf '%s ended with status %s, not %s\n' "$each" "$status" "$expected" >&2
			return 1
		}
	done
}

# reap_all PID ...: the same with status 0.
reap_all() {
	reap_with 0 "$@"
}

# wait_until COMMAND [ARG ...]: tries COMMAND every 10 ms until it succeeds; fails after a minute, which a machine that is
# only busy does not take. How long it sleeps between two looks decides nothing; it leaves the processor to others.
wait_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + 60000000))
	until "$@" 2>/dev/null; do
		if ((${EPOCHREALTIME/[.,]/} > deadline)); then
			printf 'waited in vain for: %s\n' "$*" >&2
			"$@" # to show what it says
			return 1
		fi
		sleep 0.01
	done
}

# wait_stat KEY VALUE QUEUE: waits until mpq-stat says so.
wait_stat() {
	wait_until stat_is "$@"
}

# stat_is KEY VALUE QUEUE
stat_is() {
	local value
	value=$(timeout -k 1 20 mpq-stat -k "$1" "$3") || return
	[[ $value == "$2" ]] || {
		printf '%s of %s is %s, not %s\n' "$1" "$3" "$value" "$2" >&2
		return 1
	}
}

# counts QUEUE SIZE HELD UNFINISHED
counts() {
	stat_is size "$2" "$1" && stat_is held "$3" "$1" && stat_is unfinished "$4" "$1"
}

# left QUEUE MESSAGE ...: exactly these can be got now, in this order.
left() {
	local queue=$1
	shift
	try 0 mpq-get -an "$queue" && [[ $output == "$(printf '%s\n' "$@")" ]]
}

# has_lines NUMBER FILE
has_lines() {
	(($(wc -l <"$2") == $1))
}

# needs COMMAND ...: without them the test is skipped.
needs() {
	local command
	for command; do
		command -v "$command" >/dev/null || skip "there is no $command"
	done
}

# now: the time, in milliseconds.
now() {
	printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"
}

# lasts MIN MAX STATUS COMMAND [ARG ...]: as try; COMMAND must take from MIN to MAX milliseconds. MAX is for a machine that
# is busy with other things: 15000. What must be at once is tried with a time of an hour or none: try ends it.
lasts() {
	local min=$1 max=$2 start took
	shift 2
	start=${EPOCHREALTIME/[.,]/}
	try "$@"
	took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
	printf 'took %s ms, may take %s to %s\n' "$took" "$min" "$max" >&2
	((took >= min && took <= max))
}

# dead_pid: sets $pid to that of a process that was there and is no more.
dead_pid() {
	true &
	pid=$!
	wait "$pid"
}

# lifeline: sets $lifeline to the name of a FIFO from which nothing comes and which ends with the test, whatever ends
# that: "cat $lifeline" is a process that lives until it is killed, and is left behind by no test. For other shells, too.
# Who has inherited descriptor 9 keeps it open.
lifeline() {
	[[ -z ${lifeline-} ]] || return 0
	export lifeline=$BATS_TEST_TMPDIR/.lifeline
	mkfifo "$lifeline"
	exec 9<>"$lifeline"
}

# live_pid: sets $pid to that of a process that lives as long as the test.
live_pid() {
	lifeline
	bg cat "$lifeline"
	pid=$bg_pid
}

# is_named PID NAME: it runs that program.
is_named() {
	[[ $(<"/proc/$1/comm") == "$2" ]]
}

# state_is PID LETTER: R, S, D, T, Z: as in ps(1).
state_is() {
	local stat
	read -r stat <"/proc/$1/stat" && [[ ${stat##*) } == "$2"* ]]
}

# sleeps PID NAME: it runs that program and waits for something.
sleeps() {
	is_named "$1" "$2" && state_is "$1" S
}

# stopped PID
stopped() {
	state_is "$1" T
}

# sleeps_in PID CALL ...: it sleeps in one of these system calls.
sleeps_in() {
	local now call
	read -r now _ <"/proc/$1/syscall" || return
	shift
	for call; do
		case $HOSTTYPE-$call in
		x86_64-read) call=0 ;;
		x86_64-write) call=1 ;;
		x86_64-poll) call=7 ;;
		x86_64-writev) call=20 ;;
		x86_64-futex) call=202 ;;
		aarch64-read) call=63 ;;
		aarch64-write) call=64 ;;
		aarch64-writev) call=66 ;;
		aarch64-poll) call=73 ;; # ppoll, which is all there is
		aarch64-futex) call=98 ;;
		*-futex_waitv) call=449 ;;
		*) skip "the number of $call on $HOSTTYPE is not known here" ;;
		esac
		[[ $now != "$call" ]] || return 0
	done
	return 1
}

# blocked PID: its output is full, and it waits for that.
blocked() {
	sleeps_in "$1" write writev poll
}

# naps PID: how often it has gone to sleep.
naps() {
	sed -n 's/^voluntary_ctxt_switches:\t//p' "/proc/$1/status"
}

# napped PID NUMBER: so often at least.
napped() {
	(($(naps "$1") >= $2))
}

# quiet NS PID ...: while the first goes to sleep 8 times they use less than NS nanoseconds of processor time, and it does
# so no more often than the four times a second at which a sleeper looks by itself (two more are let pass). However busy
# the machine is: that makes it later, and nothing dearer.
quiet() {
	local limit=$1 before start took used
	shift
	start=$(now) before=$(processor_time "$@")
	wait_until napped "$1" $(($(naps "$1") + 8))
	took=$(($(now) - start)) used=$(($(processor_time "$@") - before))
	printf '%s ns in %s ms\n' "$used" "$took" >&2
	((used < limit && took >= 1250))
}

# processor_time PID ...: what they have used together, in nanoseconds, other threads that live included.
processor_time() {
	local pid file ns sum=0
	for pid; do
		for file in "/proc/$pid/task/"*/schedstat; do
			read -r ns _ <"$file" || continue # a thread that has ended
			sum=$((sum + ns))
		done
	done 2>/dev/null
	printf '%s\n' "$sum"
}

# pipe_level FD: how many bytes are in the pipe.
pipe_level() {
	perl -e 'open(my $f, "+<&=", $ARGV[0]) or die $!;
	         my $n = pack("i", 0);
	         ioctl($f, 0x541b, $n) or die $!; # FIONREAD
	         print unpack("i", $n), "\n"' "$1"
}

# frame KIND FILE ...: the content of each FILE as a message, framed as KIND: newline, null, raw, length (as -L), or
# longlength (as -L with every length in 8 bytes).
frame() {
	perl -e 'my $kind = shift;
	         binmode STDOUT;
	         local $/;
	         for (@ARGV) {
	             open(my $f, "<:raw", $_) or die "$_: $!";
	             my $m = <$f> // "";
	             print $kind eq "length" ? pack("N", length $m) . $m
	                 : $kind eq "longlength" ? "\xff\xff\xff\xff" . pack("Q>", length $m) . $m
	                 : $kind eq "null" ? "$m\0"
	                 : $kind eq "newline" ? "$m\n"
	                 : $m;
	         }' "$@"
}

# filler LENGTH: that many bytes, of all values but NUL, LF and CR, with a period that no power of two is a multiple of.
filler() {
	perl -e 'my $n = shift;
	         my $p = join("", map { chr } grep { $_ != 10 && $_ != 13 } 1 .. 255);
	         binmode STDOUT;
	         print substr($p x (int($n / 253) + 2), $n % 253, $n)' "$1"
}
