#!/usr/bin/env bats
# Names of queues, MPQ_DIR, and the conventions that every command keeps: options, numbers, statuses, diagnostics.

# shellcheck disable=SC2030,SC2031,SC2154,SC2217 # tests are subshells, meant to keep what they set; run and helpers set the
# others; bg is a helper
load helpers

# Those that this file tries with each convention.
commands=(create put get task-done join close rm ls stat move wait pipe work attach)

# on COMMAND NAME: sets the array argv to a call of mpq-COMMAND that names NAME and does not block.
on() {
	argv=("mpq-$1" -- "$2")
	case $1 in
	put) argv+=(message) ;;
	get | join | wait) argv=("mpq-$1" -n -- "$2") ;;
	move) argv=(mpq-move -n -- "$2" to) ;;
	work) argv=(mpq-work -n -- "$2" true) ;;
	esac
}

# refuses STATUS NAME COMMAND [ARG ...]: COMMAND, by whatever path, ends with STATUS, and complains of NAME.
refuses() {
	try "$1" "${@:3}"
	complains "${3##*/}: $2"
}

# --- names

@test "a NAME starts with a letter, a digit or _ and goes on with letters, digits, . _ -" {
	local name
	for name in a Z 0 9 _ a.b-c_D9 7.. _-_ A--; do
		try 0 mpq-create "$name"
		try 0 mpq-put "$name" "to $name"
	done
	for name in a Z 0 9 _ a.b-c_D9 7.. _-_ A--; do
		try 0 mpq-get -n "$name"
		[ "$output" = "to $name" ]
	done
}

@test "a NAME of 200 bytes is one" {
	local name
	printf -v name '%0200d' 7
	try 0 mpq-create "$name"
	try 0 mpq-put "$name" x
	[ -f "$MPQ_DIR/mpq.$name" ]
}

@test "the ends of a NAME of 200 bytes stand wherever a queue's name does" {
	local name
	printf -v name '%0200d' 7
	try 0 mpq-pipe "$name"
	[ "$output" = "$name@1"$'\n'"$name@2" ]
	try 0 mpq-put "$name@1" x
	try 0 mpq-wait -n "$name@2:get" "$name@1:put"
	[ "$output" = "$name@2:get"$'\n'"$name@1:put" ]
	try 0 mpq-create q
	try 0 mpq-move "$name@2" q
	try 0 mpq-stat -k name "$name@2"
	[ "$output" = "$name@2" ]
	try 0 mpq-ls -J "$name"
	[[ $output == *"\"$name@1\""*"\"$name@2\""* ]]
	try 0 mpq-rm "$name"
}

@test "a NAME of 201 bytes is none: 2, from every command" {
	local name command
	printf -v name '%0201d' 7
	for command in "${commands[@]}"; do
		on "$command" "$name"
		misuse "${argv[@]}"
	done
	for command in put get stat attach; do
		on "$command" "$name@1"
		misuse "${argv[@]}"
	done
	misuse mpq-wait "$name:put"
	try 0 mpq-create q
	misuse mpq-move q "$name"
	misuse mpq-work -d "$name" q true
}

@test "an empty NAME is none: 2, from every command" {
	local command
	for command in "${commands[@]}"; do
		on "$command" ''
		misuse "${argv[@]}"
	done
}

@test "a NAME that starts with . or - is none: 2, from every command" {
	local command name
	for command in "${commands[@]}"; do
		for name in .hidden -dash; do
			on "$command" "$name"
			misuse "${argv[@]}"
		done
	done
}

@test "a NAME with a slash is none: 2, from every command" {
	local command
	mkdir "$MPQ_DIR/mpq.a"
	for command in "${commands[@]}"; do
		on "$command" a/b
		misuse "${argv[@]}"
	done
	[ -z "$(ls -A "$MPQ_DIR/mpq.a")" ]
}

@test "any other byte in a NAME makes it none: 2" {
	local byte
	for byte in ' ' '!' '"' '#' '$' '%' '&' "'" '(' ')' '*' '+' ',' / : ';' '<' = '>' '?' @ '[' \\ ']' ^ '`' '{' '|' '}' \
		'~' $'\t' $'\n' $'\r' $'\1' $'\177' $'\200' $'\303\251' $'\377'; do
		misuse mpq-create "a${byte}b"
	done
	for byte in ' ' $'\n' + @ $'\303\251'; do
		misuse mpq-create "a$byte"
		misuse mpq-create "${byte}a"
	done
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

@test "names differ in every byte, upper and lower case too" {
	local name
	for name in jobs Jobs jobs. job; do
		try 0 mpq-create "$name"
		try 0 mpq-put "$name" "$name"
	done
	for name in jobs Jobs jobs. job; do
		try 0 mpq-get -n "$name"
		[ "$output" = "$name" ]
	done
}

@test "a queue is the shared-memory object /mpq.NAME" {
	use_default_place
	try 0 mpq-create "$name"
	[ -f "/dev/shm/mpq.$name" ]
	try 0 mpq-put "$name" x
	try 0 mpq-get -n "$name"
	[ "$output" = x ]
	try 0 mpq-rm "$name"
	[ ! -e "/dev/shm/mpq.$name" ]
}

@test "with MPQ_DIR a queue is the file DIR/mpq.NAME, and the default place has none" {
	local name="${test_dir##*/}"
	try 0 mpq-create "$name"
	[ "$(ls -A "$MPQ_DIR")" = "mpq.$name" ]
	[ -f "$MPQ_DIR/mpq.$name" ]
	[ ! -e "/dev/shm/mpq.$name" ]
}

@test "an empty MPQ_DIR is as unset" {
	use_default_place
	try 0 mpq-create "$name"
	export MPQ_DIR=
	try 0 mpq-put "$name" x
	unset MPQ_DIR
	try 0 mpq-get -n "$name"
	[ "$output" = x ]
	export MPQ_DIR=
	try 0 mpq-rm "$name"
	try 0 mpq-create "$name"
	[ -f "/dev/shm/mpq.$name" ]
}

@test "a queue in one MPQ_DIR is not in another" {
	mkdir "$MPQ_DIR/one" "$MPQ_DIR/two"
	MPQ_DIR=$MPQ_DIR/one try 0 mpq-create q
	MPQ_DIR=$MPQ_DIR/two try 6 mpq-put q x
	MPQ_DIR=$MPQ_DIR/two try 0 mpq-create q
	MPQ_DIR=$MPQ_DIR/one try 0 mpq-put q x
	MPQ_DIR=$MPQ_DIR/two try 3 mpq-get -n q
	MPQ_DIR=$MPQ_DIR/one try 0 mpq-get -n q
}

@test "MPQ_DIR may be on another file system" {
	fallocate -l 65536 trial || skip "the directory of temporary files does not support fallocate"
	export MPQ_DIR=$PWD/queues
	mkdir queues
	try 0 mpq-create q
	filler 200000 >message
	try 0 mpq-put -r q <message
	timeout 20 mpq-get -nr q | cmp - message
	[ "$(ls -A queues)" = mpq.q ]
}

@test "a relative MPQ_DIR is below the working directory" {
	cd "$MPQ_DIR"
	mkdir sub
	MPQ_DIR=sub try 0 mpq-create q
	[ -f sub/mpq.q ]
	MPQ_DIR=../${MPQ_DIR##*/}/sub try 3 mpq-get -n q
}

@test "create in an MPQ_DIR that is not there: 1, and it stays away" {
	MPQ_DIR=$MPQ_DIR/none try 1 mpq-create q
	complains "mpq-create: q"
	[ ! -e "$MPQ_DIR/none" ]
}

@test "an end of what is no pipe is an error: 1" {
	try 0 mpq-create q
	try 0 mpq-put q x
	try 1 mpq-put q@1 x
	complains mpq-put
	try 1 mpq-get -n q@1
	complains mpq-get
	try 1 mpq-get -n q@2
	try 1 mpq-task-done q@1
	try 1 mpq-join -n q@1
	try 1 mpq-close q@1
	try 1 mpq-stat q@1
	stat_is size 1 q
	stat_is state open q
}

@test "an end of nothing at all: 6" {
	try 6 mpq-put q@1 x
	try 6 mpq-get -n q@2
}

@test "an end given to rm: 2, and the queue stays" {
	try 0 mpq-create q
	misuse mpq-rm q@1
	misuse mpq-rm -f q@2
	try 3 mpq-get -n q
}

@test "what looks like an end and is none: 2" {
	local end
	try 0 mpq-create q
	for end in q@ q@0 q@3 q@11 q@1@1 @1 q@a .q@1; do
		misuse mpq-put "$end" x
		misuse mpq-get -n "$end"
	done
	misuse mpq-create q@1
}

@test "a pipe's bare NAME is for mpq-pipe, ls and rm only: 1 from every other command; an end of a queue, too" {
	local command
	try 0 mpq-pipe p
	try 0 mpq-create q
	try 0 mpq-create to
	for command in put get task-done join close stat move wait work attach; do
		on "$command" p
		refuses 1 p "${argv[@]}"
		on "$command" q@2
		refuses 1 q@2 "${argv[@]}"
	done
	refuses 1 q mpq-attach q
	refuses 1 p mpq-move -n q p
	refuses 1 p mpq-work -n -d p q true
	refuses 1 p mpq-pipe -o $$ p
	refuses 1 q mpq-pipe -o $$ q
	stat_is state open p@1
	stat_is state open q
	try 0 mpq-ls p
	[ "$output" = p ]
	try 0 mpq-rm p
}

@test "MPQ_DIR that is not there: no queue is in it, 6; nor can its list be had, 1" {
	local command
	export MPQ_DIR=$MPQ_DIR/none
	for command in put get task-done join close rm stat move wait work attach; do
		on "$command" q
		refuses 6 q "${argv[@]}"
	done
	try 0 mpq-rm -f q
	silent
	for command in "mpq-ls" "mpq-ls -l" "mpq-ls -J"; do
		# shellcheck disable=SC2086 # words
		try 1 $command
		complains "mpq-ls: $MPQ_DIR"
	done
	refuses 1 p mpq-pipe p
	try 1 mpq-create
	complains mpq-create
}

@test "MPQ_DIR that is a file, or that ends with a slash, or is a link" {
	local command
	mkdir "$MPQ_DIR/real"
	: >"$MPQ_DIR/file"
	ln -s real "$MPQ_DIR/link"
	for command in create put get stat rm; do
		on "$command" q
		MPQ_DIR=$MPQ_DIR/file refuses 1 q "${argv[@]}"
	done
	MPQ_DIR=$MPQ_DIR/file try 1 mpq-ls
	MPQ_DIR=$MPQ_DIR/link try 0 mpq-create q
	MPQ_DIR=$MPQ_DIR/real/ try 0 mpq-put q x
	MPQ_DIR=$MPQ_DIR/real// try 0 mpq-ls
	[ "$output" = q ]
	MPQ_DIR=$MPQ_DIR/link/. try 0 mpq-get -n q
	[ "$output" = x ]
}

# --- options

@test "-h: help on standard output, status 0, from every command, without operands" {
	local command
	for command in "${commands[@]}"; do
		try 0 "mpq-$command" -h
		[[ $output == *"mpq-$command"* && -z $stderr ]]
		local short=$output
		try 0 "mpq-$command" --help
		[[ $output == "$short" && -z $stderr ]]
	done
}

@test "-V: the version on standard output, status 0, from every command, without operands" {
	local command
	for command in "${commands[@]}"; do
		try 0 "mpq-$command" -V
		[[ $output =~ [0-9] && -z $stderr ]]
		local short=$output
		try 0 "mpq-$command" --version
		[[ $output == "$short" && -z $stderr ]]
	done
}

@test "-h and -V do nothing else" {
	try 0 mpq-create q
	try 0 mpq-put -h q x
	try 0 mpq-put -V q x
	stat_is size 0 q
	try 0 mpq-put q x
	try 0 mpq-get -h q
	try 0 mpq-get q -V
	stat_is size 1 q
	try 0 mpq-rm q -h
	stat_is size 1 q
	try 0 mpq-close q --help
	stat_is state open q
	try 0 mpq-move -h q q
	try 0 mpq-work -V q
	try 0 mpq-pipe -h p
	try 6 mpq-stat p@1
}

@test "what comes after -h or -V is not looked at; what is wrong before it is 2" {
	local command
	for command in "${commands[@]}"; do
		try 0 "mpq-$command" -h -Z --no-such-option a b c d
		[[ $output == "usage: mpq-$command "* && -z $stderr ]]
		try 0 "mpq-$command" -VZ
		[[ $output == "mpq-$command "* && -z $stderr ]]
		misuse "mpq-$command" -Z -h
		misuse "mpq-$command" --no-such-option -V
	done
	misuse mpq-get -t x -h
	misuse mpq-get --help=please
}

@test "a long option may be abbreviated as long as only one begins so" {
	try 0 mpq-create --maxs 4 --maxb=9 --ex --mod 660 q
	stat_is maxsize 4 q
	stat_is maxbytes 9 q
	misuse mpq-create --max 4 r
	misuse mpq-create --m 4 r
	try 0 mpq-put --ti 1 q a
	try 0 mpq-get --pe --now --nul q
	misuse mpq-get --n q
	misuse mpq-get --owner=0 q
	try 0 mpq-stat --js q
	try 8 mpq-stat --te empty q
	misuse mpq-stat --test=empt q
	misuse mpq-stat -k siz q
	misuse mpq-wait --ver q
	try 0 mpq-wait --verb --no q:put
	try 0 mpq-close --imm q
	try 0 mpq-rm --fo q r
}

@test "an unknown option: 2, from every command, and nothing is done" {
	local command option
	try 0 mpq-create q
	for command in "${commands[@]}"; do
		for option in -Z --no-such-option -nZ; do
			misuse "mpq-$command" "$option" q
		done
	done
	stat_is size 0 q
	stat_is state open q
}

@test "no NAME where there must be one: 2" {
	local command
	for command in put get task-done join close rm stat move wait work attach; do
		misuse "mpq-$command"
	done
	misuse mpq-move q
	misuse mpq-pipe -o $$
}

@test "one NAME too many: 2" {
	try 0 mpq-create q
	try 0 mpq-put q x
	local command
	for command in get task-done join close stat; do
		misuse "mpq-$command" q q
	done
	misuse mpq-create r s
	misuse mpq-pipe r s
	misuse mpq-move q r s
	stat_is size 1 q
	stat_is unfinished 1 q
	stat_is state open q
	[ "$(ls "$MPQ_DIR")" = mpq.q ]
}

@test "an option without its argument: 2" {
	try 0 mpq-create q
	misuse mpq-put -t
	misuse mpq-get q -t
	misuse mpq-get q -c
	misuse mpq-get q -o
	misuse mpq-create r -m
	misuse mpq-create r -b
	misuse mpq-create r -M
	misuse mpq-task-done q -c
	misuse mpq-join q --timeout
	misuse mpq-stat q -k
	misuse mpq-stat q --test
	misuse mpq-move q r -c
	misuse mpq-move q r -t
	misuse mpq-wait q -t
	misuse mpq-pipe p -m
	misuse mpq-pipe p -o
	misuse mpq-work -j
	misuse mpq-work --delay
	misuse mpq-work --joblog
}

@test "options may be clustered, with an argument at the end" {
	try 0 mpq-create q
	seq 6 | try 0 mpq-put q
	try 0 mpq-get -nc2 q
	[ "$output" = $'1\n2' ]
	try 0 mpq-get -nPc 2 q
	[ "$output" = $'3\n4' ]
	try 0 mpq-get -anvt0 q
	[ "$output" = $'3\n4\n5\n6' ]
	try 3 mpq-get -vnt.01 q
	try 0 mpq-create -em2K other
	stat_is maxsize 2048 other
}

@test "where all operands are NAMEs, options may stand anywhere" {
	try 0 mpq-create q -m 5
	stat_is maxsize 5 q
	seq 4 | try 0 mpq-put q
	try 0 mpq-get q -n -c 2
	[ "$output" = $'1\n2' ]
	try 0 mpq-get -n q -c 1
	[ "$output" = 3 ]
	try 0 mpq-task-done q -c 3
	stat_is unfinished 1 q
	try 8 mpq-join q -n
	try 0 mpq-stat q -k size
	[ "$output" = 1 ]
	try 0 mpq-ls q -J
	[[ $output == "["* ]]
	try 0 mpq-close q -i
	stat_is size 0 q
	try 0 mpq-rm q none -f
	try 6 mpq-stat q
}

@test "-- ends the options of a command that takes NAMEs" {
	try 0 mpq-create q
	try 0 mpq-put q x
	try 0 mpq-get -n -- q
	[ "$output" = x ]
	misuse mpq-get -- q -n
	misuse mpq-stat -- -k
}

@test "where a MESSAGE follows, options stand before NAME: what begins with - after it is a message" {
	try 0 mpq-create q
	try 0 mpq-put q -n x
	try 0 mpq-put -n q -v --help
	silent
	try 0 mpq-put q -
	try 0 mpq-put q --no-such-option
	try 0 mpq-get -an q
	[ "$output" = $'-n\nx\n-v\n--help\n-\n--no-such-option' ]
}

@test "-- after NAME is itself a message, before NAME it is not" {
	try 0 mpq-create q
	try 0 mpq-put q -- x
	try 0 mpq-put -n -- q y
	try 0 mpq-put -- q --
	try 0 mpq-get -an q
	[ "$output" = $'--\nx\ny\n--' ]
}

@test "the long options of create" {
	try 0 mpq-create --maxsize 3 --maxbytes=100 --mode 0660 q --verbose
	stat_is maxsize 3 q
	stat_is maxbytes 100 q
	[ "$(stat -c %a "$MPQ_DIR/mpq.q")" = 660 ]
	try 0 mpq-create q --exist-ok
}

@test "the long options of put" {
	try 0 mpq-create -m 3 q
	try 0 mpq-put --null --verbose q < <(printf 'a\nb\0')
	[ "$(last_line)" = "mpq-put: q: 1 put" ]
	try 0 mpq-put --raw q < <(printf 'c\nd\n')
	try 0 mpq-put --length q < <(printf '\0\0\0\2e\n')
	try 4 mpq-put --nowait q x
	lasts 100 15000 4 mpq-put --timeout 0.1 q x
	lasts 100 15000 4 mpq-put --timeout=0.1 q x
	timeout 20 mpq-get -anL q | cmp - <(printf '\0\0\0\3a\nb\0\0\0\4c\nd\n\0\0\0\2e\n')
}

@test "the long options of get" {
	try 0 mpq-create q
	live_pid
	seq 9 | try 0 mpq-put q
	try 0 mpq-get q --peek
	[ "$output" = 1 ]
	timeout 20 mpq-get --null --count 2 q | cmp - <(printf '1\0002\0')
	timeout 20 mpq-get --raw --count=2 q | cmp - <(printf 34)
	timeout 20 mpq-get --length q | cmp - <(printf '\0\0\0\0015')
	stat_is unfinished 9 q
	try 0 mpq-get --done --verbose q
	[ "$stderr" = "mpq-get: q: 1 got" ]
	stat_is unfinished 8 q
	try 0 mpq-get --owner "$pid" q
	[ "$output" = 7 ]
	stat_is held 1 q
	# shellcheck disable=SC2016 # for the other shell
	try 0 bash -c 'mpq-get --owner-parent q; mpq-stat -k held q'
	[ "$output" = $'8\n2' ]
	wait_stat held 1 q
	try 0 mpq-get --all --nowait q
	[ "$output" = $'8\n9' ]
	lasts 100 15000 3 mpq-get --timeout 0.1 q
	lasts 100 15000 3 mpq-get q --timeout=0.1
}

@test "the long options of task-done" {
	try 0 mpq-create q
	live_pid
	seq 9 | try 0 mpq-put q
	try 0 mpq-get -n -c 2 q
	try 0 mpq-task-done --verbose --count 2 q
	stat_is unfinished 7 q
	try 0 mpq-get -n -c 3 -o "$pid" q
	try 0 mpq-task-done --owner "$pid" q
	stat_is held 2 q
	try 0 mpq-task-done --owner="$pid" --all --requeue q
	stat_is held 0 q
	stat_is size 6 q
	stat_is unfinished 6 q
	try 0 bash -c 'mpq-get -O q; mpq-task-done --owner-parent q; mpq-stat -k unfinished q'
	[ "$output" = $'4\n5' ]
}

@test "the long options of join, close, rm, ls and stat" {
	try 0 mpq-create q
	try 0 mpq-put q x
	try 8 mpq-join --nowait q
	lasts 100 15000 8 mpq-join --timeout 0.1 --verbose q
	complains "mpq-join: q"
	try 8 mpq-join --nowait --progress --closed q
	try 0 mpq-stat --key size q
	[ "$output" = 1 ]
	try 0 mpq-stat --json q
	[[ $output == "{"* ]]
	try 0 mpq-ls --json q
	[[ $output == "["* ]]
	try 0 mpq-ls --long
	[[ $output == *q* && $output != q ]]
	try 0 mpq-close --immediate q
	stat_is size 0 q
	try 0 mpq-stat --test=closed q
	try 0 mpq-rm --force q none
}

@test "the long options of move, wait and close" {
	try 0 mpq-create -m 2 to
	try 0 mpq-create q
	try 0 mpq-put q 1 2 3 4
	try 0 mpq-move q to --count 1 --nowait --verbose
	[ "$stderr" = "mpq-move: q: 1 moved" ]
	try 0 mpq-move --count=1 q --timeout 5 to
	lasts 100 15000 4 mpq-move --timeout=0.1 q to
	try 0 mpq-get -an to
	try 0 mpq-move --all --nowait q to
	stat_is size 2 to
	try 3 mpq-move --all q to --nowait
	lasts 100 15000 8 mpq-wait --timeout 0.1 q
	try 8 mpq-wait q --nowait --verbose
	complains "mpq-wait: q"
	try 0 mpq-close to --immediate
	stat_is size 0 to
	try 0 mpq-pipe p
	try 0 mpq-close --write p@1
	try 5 mpq-put p@1 x
	try 0 mpq-put p@2 x
}

@test "the long options of pipe" {
	live_pid
	try 0 mpq-pipe p --simplex --maxsize 3 --maxbytes=100 --mode 0660 --verbose
	[ "$output" = $'p@1\np@2' ]
	stat_is maxsize 3 p@1
	stat_is maxbytes 100 p@1
	stat_is mode 0660 p@2
	try 1 mpq-put p@1 x
	try 0 mpq-pipe --exist-ok p
	try 0 mpq-pipe --owner "$pid" p@2
	kill "$pid"
	try 5 mpq-get -t 15 p@1
}

@test "the long options of work" {
	try 0 mpq-create q
	try 0 mpq-create dead
	try 0 mpq-put q 1 2
	# shellcheck disable=SC2016 # for the other shell
	try 11 mpq-work --nowait --jobs 1 --tries=2 --delay 0 --dead dead --joblog log --ungroup --verbose --progress q \
		sh -c 'test "$1" = 1' sh
	[[ $(last_line) == "mpq-work: q: 1 done, 1 failed" && $stderr == *"q: 2/2 100%"* ]]
	has_lines 4 log
	left dead 2
	try 0 mpq-put q 3 4
	try 0 mpq-work --count 1 --stdin q cat
	[ "$output" = 3 ]
	lasts 100 15000 0 mpq-work --timeout 0.1 q echo
	[ "$output" = 4 ]
}

@test "the long options of attach" {
	try 0 mpq-pipe p
	try 0 mpq-put p@1 a b
	try 0 mpq-close -w p@1
	try 0 mpq-attach --null --verbose p@2 -- sh -c 'tr "\0" " "; printf "x\ny\0"'
	[ "$stderr" = "mpq-attach: p@2: 1 put, 2 got" ]
	try 0 mpq-pipe r
	printf '\0\0\0\1z' >framed
	bg mpq-attach --length r@1 <framed >/dev/null
	local one=$bg_pid
	try 0 mpq-get -t 15 r@2
	[ "$output" = z ]
	try 0 mpq-close r@2
	reap "$one"
	[ "$status" -eq 0 ]
}

@test "of -i and -w of close the last counts" {
	try 0 mpq-pipe p
	try 0 mpq-put p@2 kept
	try 0 mpq-close -i -w p@1
	try 0 mpq-get -n p@1
	[ "$output" = kept ]
	try 0 mpq-pipe r
	try 0 mpq-put r@1 dropped
	try 0 mpq-close -w -i r@1
	try 5 mpq-get r@2
}

@test "of -n and -t the last counts" {
	try 0 mpq-create -m 1 q
	lasts 150 15000 3 mpq-get -n -t 0.15 q
	try 3 mpq-get -t 1h -n q
	try 3 mpq-get -t 1h -t 0 q
	try 0 mpq-put q x
	lasts 150 15000 4 mpq-put -n -t 0.15 q x
	try 4 mpq-put -t 1h -n q x
	lasts 150 15000 8 mpq-join -n -t 0.15 q
	try 8 mpq-join -t 1h -n q
}

@test "of -0, -r and -L the last counts" {
	try 0 mpq-create q
	printf 'a\0b' >two
	try 0 mpq-put -r -0 q <two
	stat_is size 2 q
	try 0 mpq-put -0 -r q <two
	stat_is size 3 q
	printf '\0\0\0\1c\0\0\0\1d' >lengths
	try 0 mpq-put -0 -r -L q <lengths
	stat_is size 5 q
	try 0 mpq-put -L -r q <lengths
	stat_is size 6 q
	timeout 20 mpq-get -L -r -0 -n q | cmp - <(printf 'a\0')
	timeout 20 mpq-get -0 -L -r -n q | cmp - <(printf b)
	timeout 20 mpq-get -r -0 -L -n q | cmp - <(printf '\0\0\0\3a\0b')
}

@test "of -c and -a the last counts" {
	try 0 mpq-create q
	seq 6 | try 0 mpq-put q
	try 0 mpq-get -n -a -c 2 q
	[ "$output" = $'1\n2' ]
	try 0 mpq-get -n -c 1 -a q
	[ "$output" = $'3\n4\n5\n6' ]
}

@test "of -P, -D, -o and -O the last counts" {
	try 0 mpq-create q
	live_pid
	seq 4 | try 0 mpq-put q
	try 0 mpq-get -D -O -o "$pid" -P q
	[ "$output" = 1 ]
	stat_is size 4 q
	try 0 mpq-get -P -o "$pid" -O -D q
	[ "$output" = 1 ]
	stat_is held 0 q
	stat_is unfinished 3 q
	try 0 mpq-get -P -D -O -o "$pid" q
	[ "$output" = 2 ]
	stat_is held 1 q
	stat_is unfinished 3 q
	try 0 bash -c "mpq-get -P -D -o $pid -O q; mpq-task-done -O q; exit" # the shell must outlive the last command
	[ "$output" = 3 ]
	stat_is held 1 q
	stat_is unfinished 2 q
}

@test "of what stat and ls can print the last option counts" {
	try 0 mpq-create q
	try 0 mpq-stat -J -k size q
	[ "$output" = 0 ]
	try 0 mpq-stat -k size -J q
	[[ $output == "{"* ]]
	try 8 mpq-stat -J -k size --test full q
	silent
	try 0 mpq-stat --test full -k size q
	[ "$output" = 0 ]
	try 0 mpq-ls -l -J
	[[ $output == "["* ]]
	try 0 mpq-ls -J -l
	[[ $output != "["* && $output == *q* ]]
}

@test "no key, no state of that name: 2" {
	try 0 mpq-create q
	misuse mpq-stat -k colour q
	misuse mpq-stat -k '' q
	misuse mpq-stat -k sizes q
	misuse mpq-stat --test red q
	misuse mpq-stat --test '' q
}

# --- numbers

@test "-t takes decimals, and the suffixes s m h d as in sleep(1)" {
	try 0 mpq-create q
	lasts 100 15000 3 mpq-get -t 0.1 q
	lasts 100 15000 3 mpq-get -t .1 q
	lasts 100 15000 3 mpq-get -t 00.1000 q
	lasts 100 15000 3 mpq-get -t 0.1s q
	lasts 120 15000 3 mpq-get -t 0.002m q
	lasts 108 15000 3 mpq-get -t 0.00003h q
	lasts 86 15000 3 mpq-get -t 0.000001d q
	try 3 mpq-get -t 0.0000000000001 q
}

@test "a long -t is long" {
	try 0 mpq-create q
	local seconds
	for seconds in 100d 24h 59m 3600s 1000000.5; do
		bg mpq-get -t "$seconds" q >got
		wait_stat getters 1 q
		try 0 mpq-put q "$seconds"
		reap "$bg_pid"
		[ "$status" -eq 0 ]
		[ "$(cat got)" = "$seconds" ]
	done
}

@test "-t 0 is -n" {
	try 0 mpq-create -m 1 q
	local zero
	for zero in 0 0.0 0s 0d; do
		try 3 mpq-get -t "$zero" q
		silent
	done
	try 0 mpq-put q x
	try 4 mpq-put -t 0 q x
	try 8 mpq-join -t 0 q
}

@test "a -t that is negative or no number: 2" {
	local seconds
	try 0 mpq-create q
	for seconds in -1 -0.5 -1s '' x s . 1x 1S 1D 1ss 1ms '1 s' 1,5 1.2.3 0x1 nan --; do
		misuse mpq-get -t "$seconds" q
	done
	for seconds in -1 '' x 1y 1e3 +1 inf; do
		misuse mpq-put -t "$seconds" q x
		misuse mpq-join -t "$seconds" q
		misuse mpq-move -t "$seconds" q r
		misuse mpq-wait -t "$seconds" q
		misuse mpq-work -t "$seconds" q true
		misuse mpq-work --delay "$seconds" q true
	done
	stat_is size 0 q
}

@test "sizes take K, M and G, of 1024" {
	local n=0 given
	for given in 0=0 1=1 1000=1000 1K=1024 3K=3072 2M=2097152 1G=1073741824 5G=5368709120; do
		n=$((n + 1))
		try 0 mpq-create "q$n" -m "${given%=*}"
		stat_is maxsize "${given#*=}" "q$n"
		try 0 mpq-create "r$n" -b "${given%=*}"
		stat_is maxbytes "${given#*=}" "r$n"
	done
}

@test "numbers are decimal, whatever zeros they begin with" {
	try 0 mpq-create -m 010 -b 0100 q
	stat_is maxsize 10 q
	stat_is maxbytes 100 q
	seq 10 | try 0 mpq-put q
	try 0 mpq-get -n -c 010 q
	[ "${#lines[@]}" -eq 10 ]
}

@test "a -m or -b that is negative, no number or too large: 2, and no queue" {
	local size
	for size in -1 '' x K 1T 1KK 1x 0x10 1.5 1e3 18446744073709551616 99999999999999999999999 17179869184G \
		36028797018963968K; do
		misuse mpq-create -m "$size" q
		misuse mpq-create -b "$size" q
		misuse mpq-pipe -m "$size" q
		misuse mpq-pipe -b "$size" q
	done
	[ -z "$(ls -A "$MPQ_DIR")" ]
}

@test "a -c of 0, negative, no number or too large: 2" {
	local count
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	for count in 0 -1 '' x 1x 0x1 1.5 +1 ' 1' 1K 1e3 9223372036854775808 99999999999999999999999; do
		misuse mpq-get -n -c "$count" q
		misuse mpq-task-done -c "$count" q
		misuse mpq-move -n -c "$count" q r
		misuse mpq-work -n -c "$count" q true
		misuse mpq-work -n -j "$count" q true
		misuse mpq-work -n -T "$count" q true
	done
	stat_is size 3 q
	stat_is unfinished 3 q
}

@test "a -o that can be no PID: 2" {
	local pid
	try 0 mpq-create q
	try 0 mpq-put q x
	for pid in 0 -1 '' x 1x 0x1; do
		misuse mpq-get -n -o "$pid" q
		misuse mpq-task-done -o "$pid" q
		misuse mpq-pipe -o "$pid" q@1
	done
	stat_is size 1 q
}

# --- diagnostics and statuses

@test "diagnostics go to standard error as COMMAND: NAME: reason, also when called by a path" {
	local command
	for command in put get task-done join close rm ls stat move wait work attach; do
		on "$command" jobs
		refuses 6 jobs "${argv[@]}"
		argv[0]=$(command -v "mpq-$command")
		refuses 6 jobs "${argv[@]}"
	done
	try 0 mpq-create jobs
	refuses 7 jobs mpq-create jobs
	refuses 7 jobs mpq-pipe jobs
	refuses 6 to mpq-move -n jobs to
	refuses 6 dead mpq-work -n -d dead jobs true
	refuses 6 none@1 mpq-pipe -o $$ none@1
}

@test "Empty, Full, Closed and NotYet print nothing" {
	try 0 mpq-create -m 1 q
	try 3 mpq-get -n q
	silent
	try 3 mpq-get -t 0.01 q
	silent
	try 0 mpq-put q x
	try 4 mpq-put -n q x
	silent
	try 4 mpq-put -t 0.01 q x
	silent
	try 8 mpq-join -n q
	silent
	try 8 mpq-join -t 0.01 q
	silent
	try 8 mpq-stat --test empty q
	silent
	try 8 mpq-wait -n q:join
	silent
	try 0 mpq-create from
	try 3 mpq-move -n from q
	silent
	try 3 mpq-work -n from true
	silent
	try 0 mpq-put from y
	try 4 mpq-move -t 0.01 from q
	silent
	try 0 mpq-close q
	try 5 mpq-put q x
	silent
	try 5 mpq-move from q
	silent
	try 0 mpq-get -n q
	try 5 mpq-get q
	silent
	try 0 mpq-create to
	try 5 mpq-move q to
	silent
}

@test "with -v Empty, Full, Closed and NotYet say why, in the form of a diagnostic" {
	try 0 mpq-create -m 1 q
	try 3 mpq-get -nv q
	complains "mpq-get: q"
	try 0 mpq-put q x
	try 4 mpq-put -nv q x
	complains "mpq-put: q"
	try 8 mpq-join -nv q
	complains "mpq-join: q"
	try 0 mpq-close q
	try 5 mpq-put -v q x
	complains "mpq-put: q"
	try 0 mpq-get -n q
	try 5 mpq-get -v q
	complains "mpq-get: q"
	try 0 mpq-create r
	try 5 mpq-move -v q r
	complains "mpq-move: q"
	try 8 mpq-wait -nv r
	complains "mpq-wait: r"
	try 3 mpq-work -nv r true
	complains "mpq-work: r"
}

@test "with -v the last line counts, after why the status is not 0" {
	try 0 mpq-create -m 3 q
	try 0 mpq-put -v q a b
	[ "$stderr" = "mpq-put: q: 2 put" ]
	try 4 mpq-put -nv q c d
	[ "$(last_line)" = "mpq-put: q: 1 put" ]
	[ "${#stderr_lines[@]}" -ge 2 ]
	try 0 mpq-get -v -c 2 q
	[ "$stderr" = "mpq-get: q: 2 got" ]
	try 0 mpq-get -v q
	[ "$stderr" = "mpq-get: q: 1 got" ]
	try 3 mpq-get -nv q
	[ "$(last_line)" = "mpq-get: q: 0 got" ]
	[ "${#stderr_lines[@]}" -ge 2 ]
}

@test "with -v the last line counts whatever the status is, but for wrong usage" {
	live_pid
	try 6 mpq-put -v none x
	[ "$stderr" = $'mpq-put: none: no such queue\nmpq-put: none: 0 put' ]
	try 6 mpq-get -v none
	[ "$(last_line)" = "mpq-get: none: 0 got" ]
	try 6 mpq-task-done -v none
	[ "$(last_line)" = "mpq-task-done: none: 0 done" ]
	try 6 mpq-task-done -v -R -o "$pid" none
	[ "$(last_line)" = "mpq-task-done: none: 0 put back" ]
	try 0 mpq-create q
	try 6 mpq-move -v none q
	[ "$(last_line)" = "mpq-move: none: 0 moved" ]
	try 6 mpq-move -v q none
	[ "$(last_line)" = "mpq-move: q: 0 moved" ]
	try 6 mpq-work -v none true
	[ "$(last_line)" = "mpq-work: none: 0 done, 0 failed" ]
	try 127 mpq-work -v q mpq-no-such-command
	[ "$(last_line)" = "mpq-work: q: 0 done, 0 failed" ]
	try 6 mpq-attach -v none@1
	[ "$(last_line)" = "mpq-attach: none@1: 0 put, 0 got" ]
	dead_pid
	try 1 mpq-get -v -o "$pid" q
	[ "$(last_line)" = "mpq-get: q: 0 got" ]
	try 1 mpq-task-done -v -o "$pid" q
	[ "$(last_line)" = "mpq-task-done: q: 0 done" ]
	misuse mpq-put -v .q x
	[[ $(last_line) == "usage: "* ]]
	misuse mpq-get -v .q
	[[ $(last_line) == "usage: "* ]]
	misuse mpq-move -v q q
	[[ $(last_line) == "usage: "* ]]
	misuse mpq-work -v q
	[[ $(last_line) == "usage: "* ]]
	misuse mpq-create -v .q
	[[ $(last_line) == "usage: "* ]]
}

@test "status 6: no such queue, from every command that needs one" {
	local command
	for command in put get task-done join close rm ls stat move wait work attach; do
		on "$command" none
		try 6 "${argv[@]}"
	done
}

@test "status 7: it exists" {
	try 0 mpq-create q
	refuses 7 q mpq-create q
}

@test "status 9: task-done more often than there were tasks, and none is counted" {
	try 0 mpq-create q
	try 0 mpq-put q a b
	try 0 mpq-get -n -c 2 q
	refuses 9 q mpq-task-done -c 3 q
	stat_is unfinished 2 q
	try 0 mpq-task-done -c 2 q
	try 9 mpq-task-done q
	stat_is unfinished 0 q
}

@test "status 10: the message can never fit the queue's bounds" {
	try 0 mpq-create -b 3 q
	try 10 mpq-put q four
	complains "mpq-put: q"
	stat_is size 0 q
}

@test "status 1: what is not a queue, whatever it is" {
	: >"$MPQ_DIR/mpq.empty"
	printf 'some text\n' >"$MPQ_DIR/mpq.text"
	filler 300000 >"$MPQ_DIR/mpq.noise"
	truncate -s 1M "$MPQ_DIR/mpq.zeros"
	mkdir "$MPQ_DIR/mpq.directory"
	mkfifo "$MPQ_DIR/mpq.fifo"
	try 0 mpq-create real
	ln -s mpq.real "$MPQ_DIR/mpq.symlink"
	ln -s mpq.nowhere "$MPQ_DIR/mpq.dangling"
	local name
	for name in empty text noise zeros directory fifo symlink dangling; do
		refuses 1 "$name" mpq-put "$name" x
		refuses 1 "$name" mpq-get -n "$name"
	done
	[ "$(cat "$MPQ_DIR/mpq.text")" = 'some text' ]
	[ ! -e "$MPQ_DIR/mpq.nowhere" ]
	stat_is size 0 real
}

@test "status 1: half of a queue's file, without a signal" {
	try 0 mpq-create q
	seq 1000 | try 0 mpq-put q
	local file=$MPQ_DIR/mpq.q
	truncate -s "$(($(stat -c %s "$file") / 2))" "$file"
	refuses 1 q mpq-put q x
	refuses 1 q mpq-get -n q
}

# --- closed standard descriptors

@test "with all standard descriptors closed create, put and close work, and the queue stays whole" {
	timeout 20 mpq-create q <&- >&- 2>&-
	timeout 20 mpq-put -v q one two <&- >&- 2>&-
	timeout 20 mpq-close q <&- >&- 2>&-
	timeout 20 mpq-get -an q >got
	printf 'one\ntwo\n' | cmp - got
	[ "$(ls -A "$MPQ_DIR")" = mpq.q ]
}

@test "no diagnostic is written into the queue that took the place of a closed standard error" {
	local s=0
	try 0 mpq-create -m 1 q
	try 0 mpq-put q one
	timeout 20 mpq-put -nv q two 2>&- || s=$?
	[ "$s" -eq 4 ]
	s=0
	timeout 20 mpq-task-done -c 7 q 2>&- || s=$?
	[ "$s" -eq 9 ]
	stat_is unfinished 1 q
	try 0 mpq-get -n q
	[ "$output" = one ]
}

@test "no message is written into the queue that took the place of a closed standard output: 1" {
	try 0 mpq-create q
	seq 3 | try 0 mpq-put q
	local s=0
	timeout 20 mpq-get -n q >&- || s=$?
	[ "$s" -eq 1 ]
	s=0
	timeout 20 mpq-get -an q <&- >&- 2>&- || s=$?
	[ "$s" -eq 1 ]
	try 0 mpq-get -an q
	[ "$output" = $'1\n2\n3' ]
}

@test "no message is read from the queue that took the place of a closed standard input: 1" {
	try 0 mpq-create q
	local s=0
	timeout 20 mpq-put q <&- || s=$?
	[ "$s" -eq 1 ]
	stat_is size 0 q
	s=0
	timeout 20 mpq-put -r q <&- >&- 2>&- || s=$?
	[ "$s" -eq 1 ]
	stat_is size 0 q
}
