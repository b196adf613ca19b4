#!/usr/bin/env bats
# The EXAMPLES of every page and the scripts of the README: the text is taken from there, run, and must say what is
# written here. An example without an expectation fails.
# shellcheck disable=SC2016,SC2154 # $ for other shells; helpers set output

load helpers

root=$BATS_TEST_DIRNAME/..

# examples PAGE: each piece of code of its EXAMPLES, as a file example.NUMBER.
examples() {
	awk '
		/^\.S[hs] / { here = $0 == ".Sh EXAMPLES" }
		/^\.Ed/ { inside = 0 }
		inside { print >("example." n) }
		here && /^\.Bd -literal -offset indent$/ { inside = 1; n++ }
	' "$root/man/$1"
	sed -i -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\(ha/^/g' -e 's/\\&//g' -e 's/\\e/\\/g' example.*
}

# says NUMBER [-s] LINE ...: that example writes these lines (with -s: in any order), ends with 0, and leaves no queue.
says() {
	local file=example.$1 filter=cat
	shift
	[[ ${1-} != -s ]] || {
		filter="sort"
		shift
	}
	try 0 bash -u "$file"
	[[ $("$filter" <<<"$output") == "$( (($# == 0)) || printf '%s\n' "$@" | "$filter")" ]]
	[[ $(mpq-ls) == '' ]]
	rm "$file"
}

# all: each example has been run.
all() {
	[[ $(echo example.*) == 'example.*' ]]
}

@test "mpq-attach(1)" {
	examples mpq-attach.1
	says 1 upper@1 upper@2 HELLO
	says 2 talk@1 talk@2
	[[ $stderr == 'got ping pong' ]]
	says 3 check@1 check@2 'status 7'
	all
}

@test "mpq-close(1)" {
	examples mpq-close.1
	says 1
	says 2 1
	says 3 sort@1 sort@2 apple pear
	all
}

@test "mpq-create(1)" {
	examples mpq-create.1
	says 1 hello
	says 2 1000
	says 3 one two
	says 4 started
	all
}

@test "mpq-get(1)" {
	examples mpq-get.1
	says 1 'working on one' 'working on two' 'working on three'
	says 2 precious precious
	says 3 1000
	says 4 1 2 3 100
	says 5 "$(seq -s + 20)"
	says 6 'status 3' 'status 5'
	all
}

@test "mpq-join(1)" {
	examples mpq-join.1
	sed -i 's/worker \$i/worker/' example.1 # which of the two does a job is not said
	says 1 -s 'worker: '{1..6} 'all done'
	says 2 'status 8' one 'done'
	says 3 'done'
	all
}

@test "mpq-ls(1)" {
	examples mpq-ls.1
	says 1 calls@1 calls@2 calls jobs
	try 0 bash -u example.2
	[[ ${#lines[@]} -eq 2 && ${lines[0]} == NAME* && ${lines[1]} =~ ^jobs\ +open\ +5\  ]]
	rm example.2
	says 3
	all
}

@test "mpq-move(1)" {
	examples mpq-move.1
	says 1 a b c
	says 2 1 2 3 4
	says 3 10
	all
}

@test "mpq-pipe(1)" {
	examples mpq-pipe.1
	says 1 upper@1 upper@2 HELLO WORLD
	says 2 job@1 job@2 started 'status 5'
	says 3 ping
	says 4 events@1 events@2 'door open' 'status 1'
	all
}

@test "mpq-put(1)" {
	examples mpq-put.1
	says 1 first -n 'the third'
	says 2 1000
	mkdir here
	: >$'here/a\nb'
	(cd here && try 0 bash -u ../example.3 && [[ $output == $'.\n./a\nb' || $output == *"'./a'"* ]])
	rm example.3
	says 4 same
	says 5 4 5
	says 6 full
	all
}

@test "mpq-rm(1)" {
	examples mpq-rm.1
	says 1 one
	says 2
	# The sleep of this example is time for a reader, to be sure that the getter waits.
	export -f wait_stat wait_until stat_is
	sed -i 's/^sleep 1$/wait_stat getters 1 jobs/' example.3
	says 3 'status 6'
	all
}

@test "mpq-stat(1)" {
	examples mpq-stat.1
	try 0 bash -u example.1
	[[ $output == $'name jobs\nkind queue\nstate open\nsize 5\nbytes 5\n'* && ${#lines[@]} -eq 18 ]]
	rm example.1
	says 2 '5 to go'
	says 3 a 'size 2' 'held 1' 'unfinished 3'
	says 4 'jobs is full'
	all
}

@test "mpq-task-done(1)" {
	examples mpq-task-done.1
	says 1 'working on one' 'working on two'
	says 2 one one two
	says 3 '10 numbers' 'done'
	says 4 one 'status 9'
	all
}

@test "mpq-wait(1)" {
	examples mpq-wait.1
	says 1 u1 n1 n2
	says 2 -s a slot:put
	says 3 b:join
	all
}

@test "mpq-work(1)" {
	examples mpq-work.1
	says 1 -s 'done with '{1..8}
	says 2 'status 11' bad
	says 3 '<a b> 3' '<$(echo no)> 10'
	says 4 3
	says 5 $'Seq\tExitval\tCommand' $'1\t0\tsh -c \'exit "$1"\' sh 0' $'2\t3\tsh -c \'exit "$1"\' sh 3'
	all
}

@test "mpq(7)" {
	examples mpq.7
	says 1 jobs
	says 2 'got one' 'nothing now'
	says 3 '0000000  \0  \0  \0 002   h   i  \0  \0  \0 005   t   h   e   r   e' 0000017
	awk '/^\.Ss How to start/ { here = 1 } /^\.Ed/ { inside = here = 0 } inside; here && /^\.Bd/ { inside = 1 }' \
		"$root/man/mpq.7" >example.start
	says start -s 'done with '{1..8}
	all
}

@test "every page with EXAMPLES has a test here" {
	local page
	for page in "$root"/man/mpq*.[17]; do
		page=$(basename "$page")
		[[ $page == mpq-recipes.7 ]] || grep -qxF "	examples $page" "$BATS_TEST_FILENAME"
	done
}

# readme NUMBER: that piece of sh of the README.
readme() {
	awk -v wanted="$1" '/^```$/ { inside = 0 } inside; /^```sh$/ { inside = ++n == wanted }' "$root/README.md"
}

@test "the README: the first lines, with a stand-in for flac" {
	mkdir bin music
	printf '#!/bin/sh\necho "$@" >>log\n' >bin/flac
	chmod +x bin/flac
	: >music/a.flac
	: >'music/b c.flac'
	readme 1 >example.sh
	grep -q flac example.sh
	PATH=$PWD/bin:$PATH try 0 bash -eu example.sh
	[[ $(sort log) == $'-t ./music/a.flac\n-t ./music/b c.flac' ]]
	[[ $(mpq-ls) == '' ]]
}

@test "the README: a worker in plain sh" {
	readme 3 >example.sh
	grep -q task-done example.sh
	mpq-create jobs
	mpq-put jobs 1 2
	mpq-close jobs
	try 0 sh -u example.sh
	[[ $output == $'working on 1\nworking on 2' ]]
	try 0 mpq-join -n jobs
}

@test "the README: request and reply" {
	readme 4 >example.sh
	grep -q upper example.sh
	echo wait >>example.sh
	try 0 sh -u example.sh
	[[ $output == $'upper@1\nupper@2\nHELLO' ]]
}
