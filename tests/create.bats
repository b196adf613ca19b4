#!/usr/bin/env bats
# mpq-create: bounds, modes, invented names, what exists already, and that creation is atomic.

# shellcheck disable=SC2154 # bg_pid, stderr_lines: helpers set them
load helpers

@test "makes an empty, open, unbounded queue, and prints nothing" {
	try 0 mpq-create q
	silent
	stat_is kind queue q
	stat_is state open q
	stat_is size 0 q
	stat_is held 0 q
	stat_is unfinished 0 q
	stat_is maxsize 0 q
	stat_is maxbytes 0 q
}

@test "leaves nothing but the queue behind" {
	try 0 mpq-create q
	[ "$(ls -A "$MPQ_DIR")" = mpq.q ]
	try 7 mpq-create q
	try 0 mpq-create -e q
	[ "$(ls -A "$MPQ_DIR")" = mpq.q ]
}

# --- no NAME

@test "without NAME it invents one and prints it" {
	try 0 mpq-create
	[[ $output =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$ ]]
	[ -z "$stderr" ]
	local name=$output
	[ "$(ls -A "$MPQ_DIR")" = "mpq.$name" ]
	try 0 mpq-put "$name" x
	try 0 mpq-get -n "$name"
	[ "$output" = x ]
}

@test "the invented name is one line" {
	timeout 20 mpq-create >name
	[ "$(wc -l <name)" -eq 1 ]
	[ "$(tail -c 1 name)" = '' ]
}

@test "the options hold for an invented name too, and may stand alone" {
	try 0 mpq-create -e -m 3 -b 9 -M 660
	stat_is maxsize 3 "$output"
	stat_is maxbytes 9 "$output"
	[ "$(stat -c %a "$MPQ_DIR/mpq.$output")" = 660 ]
}

@test "invented names differ, also when invented at the same time" {
	local i pids=()
	for i in {1..20}; do
		bg mpq-create >"name.$i"
		pids+=("$bg_pid")
	done
	reap_all "${pids[@]}"
	[ "$(sort -u name.* | wc -l)" -eq 20 ]
	[ "$(find "$MPQ_DIR" -type f | wc -l)" -eq 20 ]
}

@test "a name that cannot be printed is an error, and leaves no queue that nobody can name" {
	local s=0
	timeout 20 mpq-create >/dev/full 2>err || s=$?
	[ "$s" -eq 1 ]
	[[ $(cat err) == "mpq-create: "* ]]
	[ -z "$(ls -A "$MPQ_DIR")" ]
	s=0
	timeout 20 mpq-create >&- 2>err || s=$?
	[ "$s" -eq 1 ]
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

# to_nobody COMMAND ...: its standard output is a pipe whose reader has gone.
to_nobody() {
	perl -e 'pipe(my $r, my $w) or die; open(STDOUT, ">&", $w) or die; close $r; close $w; exec @ARGV or die' "$@"
}

@test "a name whose reader has gone: it ends as SIGPIPE does, and leaves nothing that nobody can name" {
	local command s
	for command in mpq-create mpq-pipe; do
		s=0
		to_nobody timeout 20 "$command" || s=$?
		[ "$s" -eq 141 ]
		[ -z "$(ls -A "$MPQ_DIR")" ]
		s=0
		(trap '' PIPE && to_nobody timeout 20 "$command" 2>err) || s=$?
		[ "$s" -eq 1 ]
		[[ $(cat err) == "$command: "* ]]
		[ -z "$(ls -A "$MPQ_DIR")" ]
	done
}

@test "a signal that comes while the name cannot be written: it ends as that signal, and leaves nothing" {
	local command
	mkfifo slow
	exec 6<>slow
	perl -e 'use Fcntl; open(my $f, "+<", "slow") or die; fcntl($f, F_SETFL, O_NONBLOCK); 1 while syswrite($f, "x" x 4096);
	         1 while syswrite($f, "x")'
	for command in mpq-create mpq-pipe; do
		bg "$command" >slow
		wait_until sleeps_in "$bg_pid" write writev
		kill -TERM "$bg_pid"
		reap "$bg_pid"
		[ "$status" -eq 143 ]
		[ -z "$(ls -A "$MPQ_DIR")" ]
	done
	exec 6>&-
}

# --- bounds

@test "-m bounds the number of messages" {
	try 0 mpq-create -m 3 q
	stat_is maxsize 3 q
	try 0 mpq-put -n q 1 2 3
	try 4 mpq-put -n q 4
	stat_is size 3 q
	try 0 mpq-get -n q
	try 0 mpq-put -n q 4
	try 4 mpq-put -n q 5
	try 0 mpq-get -an q
	[ "$output" = $'2\n3\n4' ]
}

@test "-m does not bound the bytes" {
	try 0 mpq-create -m 1 q
	filler 300000 >message
	try 0 mpq-put -nr q <message
	timeout 20 mpq-get -nr q | cmp - message
}

@test "-m bounds the size alone: what is taken and not done makes room" {
	live_pid
	try 0 mpq-create -m 1 q
	try 0 mpq-put -n q 1
	try 0 mpq-get -n -o "$pid" q
	stat_is unfinished 1 q
	stat_is held 1 q
	try 0 mpq-put -n q 2
	try 4 mpq-put -n q 3
}

@test "-m counts empty messages" {
	try 0 mpq-create -m 2 q
	try 0 mpq-put -n q '' ''
	try 4 mpq-put -n q ''
}

@test "-m 0 and -b 0 are no bound" {
	try 0 mpq-create -m 0 -b 0 q
	seq 20000 >lines
	try 0 mpq-put -n q <lines
	stat_is size 20000 q
}

@test "-b bounds the bytes of the messages, exactly" {
	try 0 mpq-create -b 10 q
	stat_is maxbytes 10 q
	try 0 mpq-put -n q 1234 567890
	stat_is bytes 10 q
	try 4 mpq-put -n q a
	try 0 mpq-get -n q
	try 0 mpq-put -n q abc
	try 4 mpq-put -n q de
	try 0 mpq-put -n q d
	try 0 mpq-get -an q
	[ "$output" = $'567890\nabc\nd' ]
}

@test "-b counts no framing: lines, NULs and lengths cost nothing" {
	printf '12\n34\n5' >newline
	printf '12\00034\0005\0' >null
	printf '\0\0\0\00212\0\0\0\00234\0\0\0\0015' >length
	try 0 mpq-create -b 5 q
	local flag file
	for file in newline null length; do
		case $file in
		newline) flag=-n ;;
		null) flag=-n0 ;;
		length) flag=-nL ;;
		esac
		try 0 mpq-put "$flag" q <"$file"
		stat_is bytes 5 q
		try 4 mpq-put -n q 6
		try 0 mpq-get -an q
		[ "$output" = $'12\n34\n5' ]
		stat_is bytes 0 q
	done
}

@test "-b does not bound the number of messages" {
	try 0 mpq-create -b 1 q
	head -c 5000 /dev/zero | tr '\0' '\n' >empty
	try 0 mpq-put -n q <empty
	stat_is size 5000 q
}

@test "-b K: a message of exactly the bound fits, one byte more never does" {
	try 0 mpq-create -b 64K q
	filler 65536 >fits
	filler 65537 >never
	try 10 mpq-put -r q <never
	stat_is size 0 q
	try 0 mpq-put -nr q <fits
	try 10 mpq-put -r q <never
	timeout 20 mpq-get -nr q | cmp - fits
}

@test "-m and -b hold both" {
	try 0 mpq-create -m 2 -b 5 q
	try 0 mpq-put -n q a b
	try 4 mpq-put -n q c
	try 0 mpq-get -an q
	try 0 mpq-put -n q abcd
	try 4 mpq-put -n q ef
	try 0 mpq-put -n q e
}

# --- modes

@test "the mode is 0600 whatever the umask" {
	local mask
	for mask in 000 022 077 777; do
		umask "$mask"
		try 0 mpq-create "q$mask"
		umask 022
		[ "$(stat -c %a "$MPQ_DIR/mpq.q$mask")" = 600 ]
	done
}

@test "-M sets the mode, the umask is not applied" {
	local mode
	umask 077
	for mode in 600 0660 666 0606 060 6 0; do
		try 0 mpq-create -M "$mode" "q$mode"
		[ "$(stat -c %a "$MPQ_DIR/mpq.q$mode")" = "$((10#$mode))" ]
	done
}

@test "a -M with a class that is neither rw nor nothing, or no mode: 2, and no queue" {
	local mode
	for mode in 700 0400 0200 640 0644 604 622 01600 4600 10600 800 0690 rw u=rw '' -600 600x 0x180; do
		misuse mpq-create -M "$mode" q
	done
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

# --- it exists

@test "what exists is 7, and left as it is" {
	try 0 mpq-create -m 3 -M 660 q
	try 0 mpq-put q one two
	local before
	before=$(stat -c '%i %a' "$MPQ_DIR/mpq.q")
	try 7 mpq-create -m 9 -b 1 -M 600 q
	complains "mpq-create: q"
	[ "$(stat -c '%i %a' "$MPQ_DIR/mpq.q")" = "$before" ]
	stat_is maxsize 3 q
	stat_is maxbytes 0 q
	try 0 mpq-get -an q
	[ "$output" = $'one\ntwo' ]
}

@test "-e: what exists is 0, and left as it is" {
	try 0 mpq-create -m 3 -M 660 q
	try 0 mpq-put q one two
	local before
	before=$(stat -c '%i %a' "$MPQ_DIR/mpq.q")
	try 0 mpq-create -e -m 9 -b 1 -M 600 q
	silent
	[ "$(stat -c '%i %a' "$MPQ_DIR/mpq.q")" = "$before" ]
	stat_is maxsize 3 q
	stat_is maxbytes 0 q
	try 0 mpq-get -an q
	[ "$output" = $'one\ntwo' ]
}

@test "-e makes what does not exist, with its options" {
	try 0 mpq-create -e -m 9 q
	silent
	stat_is maxsize 9 q
}

@test "a closed queue exists too: 7, and with -e it stays closed" {
	try 0 mpq-create q
	try 0 mpq-close q
	try 7 mpq-create q
	try 0 mpq-create -e q
	try 5 mpq-put q x
}

@test "after rm the name is free, and its queue a new one" {
	try 0 mpq-create -m 1 q
	try 0 mpq-put q old
	try 0 mpq-close q
	try 0 mpq-rm q
	try 0 mpq-create q
	stat_is state open q
	stat_is maxsize 0 q
	try 3 mpq-get -n q
}

@test "a file of that name that is no queue is in the way, and stays" {
	printf 'mine\n' >"$MPQ_DIR/mpq.q"
	try 7 mpq-create q
	[ "$(cat "$MPQ_DIR/mpq.q")" = mine ]
}

@test "-v counts what was made: with -e that is nothing where it exists" {
	try 0 mpq-create -v q
	[[ -z $output && $stderr == "mpq-create: q: 1 created" ]]
	try 7 mpq-create -v q
	complains "mpq-create: q"
	[[ ${#stderr_lines[@]} -eq 2 && $(last_line) == "mpq-create: q: 0 created" ]]
	try 0 mpq-create -ev q
	[[ -z $output && $stderr == "mpq-create: q: 0 created" ]]
	try 0 mpq-create -v
	[[ $stderr == "mpq-create: $output: 1 created" ]]
	try 0 mpq-pipe -v p
	[[ $stderr == "mpq-pipe: p: 1 created" ]]
	try 7 mpq-pipe -v p
	[[ -z $output && $(last_line) == "mpq-pipe: p: 0 created" ]]
	try 0 mpq-pipe -ev p
	[[ $output == $'p@1\np@2' && $stderr == "mpq-pipe: p: 0 created" ]]
}

# --- atomic

@test "of many creators at once one wins with 0, the others get 7, and all can use the queue at once" {
	local i round pids pid won
	cat >creator <<-'END'
		mpq-create "$1"
		status=$?
		mpq-put -n "$1" x || exit 99
		exit $status
	END
	for round in {1..15}; do
		pids=() won=0
		for i in 1 2 3 4; do
			bg bash creator "q$round" 2>>errors
			pids+=("$bg_pid")
		done
		for pid in "${pids[@]}"; do
			reap "$pid"
			case $status in
			0) won=$((won + 1)) ;;
			7) ;;
			*) cat errors && false ;;
			esac
		done
		[ "$won" -eq 1 ]
		stat_is size 4 "q$round"
	done
}

@test "of many creators with -e at once all get 0, and use one queue" {
	local i round pids pid
	for round in {1..10}; do
		pids=()
		for i in 1 2 3 4; do
			bg bash -c "mpq-create -e q$round && mpq-put -n q$round x"
			pids+=("$bg_pid")
		done
		reap_all "${pids[@]}"
		stat_is size 4 "q$round"
	done
}

@test "a killed create leaves a whole queue or nothing" {
	local i
	try 0 mpq-create -m 5 q0
	# From the start to after the end of one that is not killed, so that some kills fall into the creation.
	perl -MTime::HiRes=sleep,time -e '
		my $start = time;
		system("mpq-create", "q1") == 0 or die;
		my $whole = time - $start;
		for my $i (2 .. 50) {
		    my $pid = fork // die;
		    if (!$pid) { exec("mpq-create", "-m", "5", "q$i") or die }
		    sleep($whole * $i / 45);
		    kill "KILL", $pid;
		    waitpid $pid, 0;
		}'
	try 0 mpq-rm q1
	[ -z "$(find "$MPQ_DIR" -type f ! -name 'mpq.q*')" ]
	for i in "$MPQ_DIR"/mpq.*; do
		i=${i##*/mpq.}
		try 0 mpq-put -n "$i" 1 2 3 4 5
		stat_is maxsize 5 "$i"
	done
}

@test "create in a directory that may not be written: 1" {
	[ "$(id -u)" -ne 0 ] || command -v setpriv >/dev/null || skip "setpriv is needed to be another user than root"
	local other=()
	if [ "$(id -u)" -eq 0 ]; then
		other=(setpriv --reuid=65534 --regid=65534 --clear-groups)
		"${other[@]}" mpq-create -h >/dev/null || skip "another user than root cannot run the commands here"
	fi
	chmod 555 "$MPQ_DIR"
	try 1 "${other[@]}" mpq-create q
	complains "mpq-create: q"
	chmod 755 "$MPQ_DIR"
	[ -z "$(ls -A "$MPQ_DIR")" ]
}
