#!/usr/bin/env bats
# mpq-work: a command for every message. What reaches it, what becomes of its message, what a signal or a kill does.
# shellcheck disable=SC2154,SC2217 # bg_pid, status, stderr: helpers and bats set them; bg is a helper
# shellcheck disable=SC2016 # what is in '' is for the shells that mpq-work starts

load helpers

# What the shell starts in the background ignores INT and QUIT: here nothing is ignored.
plain=(env '--default-signal=INT,QUIT,TERM,HUP,USR1,PIPE,TSTP')

# setup_queue [MESSAGE ...]: q has these and is closed.
setup_queue() {
	mpq-create q
	(($# == 0)) || mpq-put q "$@"
	mpq-close q
}

# gone PID: no process of that number, or a zombie that nobody has waited for.
gone() {
	local stat
	! read -r stat <"/proc/$1/stat" || [[ ${stat##*) } == Z* ]]
} 2>/dev/null

# A job that says it has begun, and ends when the test lets it.
gated='mkfifo "go.$$"; echo "$$" >>begun; read -r x <"go.$$"; exit "${x:-0}"'

setup_gate() {
	: >begun
}

# open_gate N [STATUS]: the gated job that began as number N goes on and ends.
open_gate() {
	timeout 10 sh -c 'echo "$2" >"go.$1"' sh "$(sed -n "$1p" begun)" "${2:-0}"
}

@test "COMMAND is run once for each message, until the queue is closed and nothing is left" {
	setup_queue 1 2 3 4 5 6 7 8
	try 0 mpq-work -j 4 q echo did
	[[ $(sort <<<"$output") == "$(printf 'did %s\n' 1 2 3 4 5 6 7 8)" && -z $stderr ]]
	counts q 0 0 0
	stat_is dones 8 q
	try 0 mpq-join -n q
}

@test "one at a time, messages are done in order" {
	setup_queue c a b
	try 0 mpq-work -j1 q echo
	[[ $output == $'c\na\nb' ]]
}

@test "every {} in an ARG is replaced; without one the message is the last argument; COMMAND itself stays" {
	setup_queue 'a b'
	try 0 mpq-work q printf '<%s>' {} 'x{}y{}z' '{'
	[[ $output == '<a b><xa bya bz><{>' ]]
	mpq-create r
	mpq-put r '{}'
	mpq-close r
	try 0 mpq-work r printf '<%s>' -x '{}{}'
	[[ $output == '<-x><{}{}>' ]]
	mpq-create s
	mpq-put s m
	mpq-close s
	printf '#!/bin/sh\necho "$@"\n' >'{}'
	chmod +x '{}'
	try 0 mpq-work s ./{} x
	[[ $output == 'x m' ]]
}

@test "options end at NAME, and -- before COMMAND may be left out" {
	setup_queue m
	try 0 mpq-work -j1 q -- echo -n --
	[[ $output == '-- m' ]]
	mpq-create r
	mpq-put r m
	mpq-close r
	try 0 mpq-work r echo -j --help
	[[ $output == '-j --help m' ]]
}

@test "wrong usage is 2" {
	local bad
	mpq-create q
	misuse mpq-work
	misuse mpq-work q
	misuse mpq-work q --
	for bad in '-j 0' '-j -1' '-j x' '-c 0' '-T 0' '-T' '--delay -1' '--delay x' '-t -1' '-t x' '-0' '-a' '--nix' \
		'-d q' '-j 100001'; do
		# shellcheck disable=SC2086 # two words
		misuse mpq-work $bad q true
	done
	misuse mpq-work -d 'no/name' q true || misuse mpq-work -d nix no/name true
}

@test "hostile messages are exactly one argument each, no shell is involved" {
	local i=0 message messages=("'" '"' ' ' ' a  b ' $'a\nb' $'\n' -x -- '' '$(rm -rf .)' '`id`' '*' \\ '\n' ';ls' '|' '&' '>x'
		'{}' '%s' '~' '#' $'\t' $'\r' $'\x01' $'\xff' '$HOME' "a'b\"c")
	setup_queue "${messages[@]}"
	try 0 mpq-work -j1 q sh -c 'echo "$#"; printf %s "$1" >"got.$MPQ_QUEUE.$(ls got.* 2>/dev/null | wc -l)"' sh
	[[ $output == "$(printf '1\n%.0s' "${messages[@]}")" ]]
	for message in "${messages[@]}"; do
		printf %s "$message" | cmp - "got.q.$i"
		i=$((i + 1))
	done
}

@test "all bytes from 1 to 255 in one argument, alone and inside of an ARG" {
	perl -e 'print map { chr } 1 .. 255' >bytes
	mpq-create q
	mpq-put -r q <bytes
	mpq-close q
	try 0 mpq-work q sh -c 'test $# = 2 && printf %s "$1" >got && printf %s "$2" >inside' sh {} 'a{}b'
	cmp bytes got
	cmp inside <(printf a; cat bytes; printf b)
}

@test "-s: the bytes of the message on standard input: NUL, empty, 1 MB; arguments are as given" {
	printf 'a\0b\n' >nul
	: >empty
	filler 1048577 >long
	filler 3000000 >longer
	mpq-create q
	frame length nul empty long longer | mpq-put -L q
	mpq-close q
	try 0 mpq-work -j1 -s q sh -c 'echo "$# $1"; cat >"got.$(ls got.* 2>/dev/null | wc -l)"' sh '{}'
	[[ $output == $'1 {}\n1 {}\n1 {}\n1 {}' ]]
	cmp nul got.0
	cmp empty got.1
	cmp long got.2
	cmp longer got.3
}

@test "a message of 100 KB is one argument" {
	filler 100000 >long
	mpq-create q
	mpq-put -r q <long
	mpq-close q
	try 0 mpq-work q sh -c 'printf %s "$1" >got' sh
	cmp long got
}

@test "a message that cannot be an argument, for NUL or its length, has failed: COMMAND is not run" {
	printf 'a\0b' >nul
	filler 200000 >long
	mpq-create dead
	mpq-create q
	frame length nul long | mpq-put -L q
	mpq-put q good
	mpq-close q
	try 11 mpq-work -j1 -T 3 -d dead --joblog log q sh -c 'echo run' sh
	[[ $output == run ]]
	counts q 0 0 0
	try 0 mpq-get -nr dead >/dev/null
	timeout 20 mpq-get -nr dead >got || true
	cmp long got
	has_lines 4 log
}

@test "standard input is empty, no descriptor of ours is passed on" {
	setup_queue m
	mpq-create dead
	mpq-create r
	mpq-put r m
	mpq-close r
	timeout 20 ls /proc/self/fd >fds # those of the test, and the directory
	try 0 mpq-work -u -d dead --joblog log q sh -c 'cat; ls /proc/self/fd' sh <<<text
	[[ $output == "$(<fds)" ]]
	try 0 mpq-work -s -d dead --joblog log r ls /proc/self/fd
	[[ $output == "$(<fds)" ]]
}

@test "COMMAND has default signal dispositions and an empty signal mask, whatever ours are" {
	setup_queue m
	try 0 env --ignore-signal=INT,HUP,PIPE,CHLD --block-signal=USR1,CHLD mpq-work -s q cat /proc/self/status
	output=$(grep -E '^Sig(Blk|Ign|Cgt)' <<<"$output")
	printf "%s\n" "$output" "$stderr"
	[[ $output == $'SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000' ]]
}

@test "each job leads a process group of its own" {
	setup_queue m
	try 0 mpq-work -s q sh -c 'echo $$; ps -o pgid= -p $$ | tr -d " "'
	[[ ${lines[0]} == "${lines[1]}" ]]
}

@test "COMMAND sees MPQ_QUEUE, MPQ_JOB, MPQ_ATTEMPT, and the rest of the environment" {
	setup_queue m
	try 0 env MPQ_JOB=x MPQ_ATTEMPT=9 OTHER=o mpq-work -j1 -s q sh -c 'echo "$MPQ_QUEUE $MPQ_JOB $MPQ_ATTEMPT $OTHER"; env | grep -c ^MPQ_JOB'
	[[ $output == $'q 0 1 o\n1' ]]
}

@test "without -j as many jobs as processors that it may use" {
	needs taskset nproc
	local cpu n
	cpu=$(taskset -cp $$ | sed 's/.*: //; s/[,-].*//')
	n=$(nproc) # as many as the test may use
	# shellcheck disable=SC2046 # numbers
	setup_queue $(seq $((n + 1)))
	setup_gate
	bg mpq-work q sh -c "$gated"
	local worker=$bg_pid i
	wait_until has_lines "$n" begun
	counts q 1 "$n" $((n + 1))
	for ((i = 1; i <= n + 1; i++)); do
		wait_until has_lines "$((i <= 1 ? n : n + 1))" begun
		open_gate "$i"
	done
	reap "$worker"
	((status == 0))
	mpq-create r
	mpq-put r 1 2 3
	mpq-close r
	setup_gate
	bg taskset -c "$cpu" mpq-work r sh -c "$gated"
	worker=$bg_pid
	for i in 1 2 3; do
		wait_until has_lines "$i" begun
		counts r $((3 - i)) 1 $((4 - i))
		open_gate "$i"
	done
	reap "$worker"
	((status == 0))
}

@test "MPQ_JOB is from 0 to JOBS-1, no two at a time have the same" {
	setup_queue 1 2 3
	setup_gate
	bg mpq-work -j3 q sh -c 'echo "$MPQ_JOB" >>ids; '"$gated"
	wait_until has_lines 3 begun
	[[ $(sort ids) == $'0\n1\n2' ]]
	open_gate 1 && open_gate 2 && open_gate 3
	reap "$bg_pid"
	[[ $status == 0 ]]
}

@test "no message is taken before a job is free for it, and one in work is held" {
	setup_queue 1 2 3 4 5
	setup_gate
	bg mpq-work -j2 q sh -c "$gated"
	wait_until has_lines 2 begun
	counts q 3 2 5
	open_gate 2
	wait_until has_lines 3 begun
	counts q 2 2 4
	open_gate 1 && open_gate 3
	wait_until has_lines 5 begun
	open_gate 4 && open_gate 5
	reap "$bg_pid"
	[[ $status == 0 ]]
	counts q 0 0 0
}

@test "it waits for messages, and ends when the queue is closed" {
	mpq-create q
	bg mpq-work -j2 q sh -c 'echo "$1" >>did' sh
	wait_stat getters 1 q
	mpq-put q a
	wait_stat dones 1 q
	mpq-put q b
	wait_stat dones 2 q
	mpq-close q
	reap "$bg_pid"
	[[ $status == 0 && $(<did) == $'a\nb' ]]
}

@test "it waits for what others hold: it may come back" {
	mpq-create q
	mpq-put q a
	live_pid
	mpq-get -o "$pid" q
	mpq-close q
	bg mpq-work -j2 q sh -c 'echo "$1" >>did' sh
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$bg_pid"
	[[ $status == 0 && $(<did) == a ]]
}

@test "its own running jobs do not keep it from the end" {
	setup_queue a
	try 0 mpq-work -j4 q true
}

@test "-n ends when the queue is empty: 3 if there was none at all, 0 at the end" {
	mpq-create q
	try 3 mpq-work -n q echo
	silent
	try 3 mpq-work -nv q echo
	[[ $stderr == *empty* || $stderr == *message* ]]
	mpq-put q a
	try 0 mpq-work -n q echo
	[[ $output == a ]]
	mpq-close q
	try 0 mpq-work -n q echo
	silent
}

@test "-t: until no message has come for so long" {
	mpq-create q
	lasts 200 20000 3 mpq-work -t 0.2 q echo
	mpq-put q a
	lasts 200 20000 0 mpq-work -t 0.2 q echo
	[[ $output == a ]]
}

@test "-c: for so many messages, retries not counted" {
	mpq-create q
	mpq-put q a b c d
	try 0 mpq-work -j3 -c 2 q true
	counts q 2 0 2
	try 11 mpq-work -j3 -T 3 -c 1 q false
	counts q 1 0 1
	try 0 mpq-work -c 1 q echo
	[[ $output == d ]]
}

@test "a failure without DEAD: counted done, status 11, and the others are done" {
	setup_queue 0 3 0 1
	try 11 mpq-work -j1 q sh -c 'exit "$1"' sh
	silent
	counts q 0 0 0
	mpq-create r
	mpq-put r a
	mpq-close r
	try 11 mpq-work -v r sh -c 'kill -9 $$'
	[[ $(last_line) == 'mpq-work: r: 0 done, 1 failed' ]]
}

@test "-T: run again until it has failed so often; MPQ_ATTEMPT counts" {
	setup_queue m
	try 11 mpq-work -T 3 -s q sh -c 'echo "$MPQ_ATTEMPT"; false'
	[[ $output == $'1\n2\n3' ]]
	mpq-create r
	mpq-put r m
	mpq-close r
	try 0 mpq-work -T 5 -s r sh -c 'echo "$MPQ_ATTEMPT"; test "$MPQ_ATTEMPT" = 3'
	[[ $output == $'1\n2\n3' ]]
}

@test "--delay: that long between a failure and the next try, others go on meanwhile" {
	setup_queue bad good
	lasts 600 20000 11 mpq-work -j2 -T 3 --delay 0.3 q sh -c 'echo "$1"; test "$1" = good' sh
	[[ $(sort <<<"$output") == $'bad\nbad\nbad\ngood' && ${lines[2]} == bad && ${lines[3]} == bad ]]
}

@test "-d: failed at last goes to DEAD as it was, and is counted done" {
	mpq-create dead
	setup_queue good bad 'worse one'
	try 11 mpq-work -j1 -T 2 -d dead q test good =
	counts q 0 0 0
	counts dead 2 0 2
	try 0 mpq-get -an dead
	[[ $output == $'bad\nworse one' ]]
}

@test "-d: a missing DEAD is 6, NAME itself is 2, a closed one 1, found before any message is taken" {
	setup_queue m
	try 6 mpq-work -d nix q touch run
	complains mpq-work
	misuse mpq-work -d q q touch run
	mpq-create dead
	mpq-close dead
	try 1 mpq-work -d dead q touch run
	complains mpq-work
	[[ ! -e run ]]
	counts q 1 0 1
}

@test "-d: the two ends of one pipe are the same queue" {
	command -v mpq-pipe >/dev/null || skip "there is no mpq-pipe"
	mpq-pipe p >/dev/null
	misuse mpq-work -d p@2 p@1 true
}

@test "a full DEAD is waited for" {
	mpq-create -m 1 dead
	mpq-put dead first
	setup_queue m
	bg mpq-work -d dead q false
	wait_stat putters 1 dead
	counts q 0 1 1
	try 0 mpq-get -n dead
	reap "$bg_pid"
	[[ $status == 11 ]]
	try 0 mpq-get -n dead
	[[ $output == m ]]
	counts q 0 0 0
}

@test "waiting for a full DEAD it heeds signals: the second gives the message back" {
	mpq-create -m 1 dead
	mpq-put dead first
	setup_queue m
	bg "${plain[@]}" mpq-work -d dead q false
	wait_stat putters 1 dead
	kill -TERM "$bg_pid"
	kill -TERM "$bg_pid" # two at once may be one
	wait_until again_until_gone TERM "$bg_pid"
	reap "$bg_pid"
	[[ $status == 143 ]]
	counts q 1 0 1
}

# A signal that is sent again until the process has ended.
again_until_gone() {
	! kill -s "$1" "$2"
}

@test "a DEAD that cannot take the message: it stays in NAME, status 1" {
	mpq-create -b 2 dead
	setup_queue long-message
	try 1 mpq-work -d dead q false
	complains mpq-work
	counts q 1 0 1
	counts dead 0 0 0
}

@test "output is written whole when a job ends, standard error where ours goes" {
	setup_queue 1 2
	setup_gate
	mkfifo go1 go2                       # before the jobs look for them
	bg mpq-work -j2 q sh -c 'echo "a$1"; echo "e$1" >&2; read -r x <"go$1"; echo "b$1"; echo "f$1" >&2' sh >out 2>err
	timeout 10 sh -c 'echo >go2'
	wait_until has_lines 2 out
	[[ $(<out) == $'a2\nb2' && $(<err) == $'e2\nf2' ]]
	timeout 10 sh -c 'echo >go1'
	reap "$bg_pid"
	[[ $(<out) == $'a2\nb2\na1\nb1' && $(<err) == $'e2\nf2\ne1\nf1' ]]
}

@test "where output and error are the same file, they stay in the order they were written" {
	setup_queue m
	timeout 20 mpq-work -s q sh -c 'for i in 1 2 3 4 5; do echo "o$i"; echo "e$i" >&2; done' >out 2>&1
	[[ $(<out) == $'o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5' ]]
}

@test "much output of several jobs does not mix" {
	local i
	setup_queue 1 2 3 4 5 6
	timeout 20 mpq-work -j3 q perl -e 'print "$ARGV[0]\n" x 200000' >out
	for i in 1 2 3 4 5 6; do
		(($(grep -c "^$i\$" out) == 200000))
	done
	(($(uniq out | wc -l) == 6))
}

@test "output goes through a file in TMPDIR, which must be there before any message is taken" {
	setup_queue m
	TMPDIR=$PWD/nix try 1 mpq-work q touch run
	complains mpq-work
	[[ ! -e run ]]
	counts q 1 0 1
	mkdir tmp
	TMPDIR=$PWD/tmp try 0 mpq-work -s q sh -c 'readlink /proc/self/fd/1; echo x; ls -A tmp'
	[[ ${lines[0]} == "$PWD/tmp/"* && ${#lines[@]} == 2 ]]
}

@test "-u: output comes as it comes" {
	setup_queue m
	setup_gate
	bg mpq-work -u q sh -c "echo first; $gated" >out
	wait_until has_lines 1 begun
	[[ $(<out) == first ]]
	open_gate 1
	reap "$bg_pid"
	[[ $status == 0 ]]
}

@test "what a job leaves behind in the background does not write into the next one's output" {
	setup_queue 1 2
	setup_gate
	mkfifo late
	timeout 20 mpq-work -j1 q sh -c 'if [ "$1" = 1 ]; then (read -r x <late; echo stray; echo >go) & else echo >late; read -r x <go; echo two; fi' sh >out
	[[ $(<out) == two ]]
}

@test "output that cannot be written: the message stays, status 1" {
	setup_queue a b
	bg mpq-work -j1 q echo >/dev/full 2>err
	reap "$bg_pid"
	[[ $status == 1 && $(<err) == mpq-work:* ]]
	counts q 2 0 2
}

@test "a reader that has gone: it ends by SIGPIPE, the message stays" {
	setup_queue a b
	run timeout 20 bash -c 'mpq-work -j1 q echo | :; echo "${PIPESTATUS[0]}"'
	[[ $output == 141 ]] || [[ $output == 0 ]] # it may have written before the reader was gone
	setup_queue2
	mkfifo fifo
	exec 8<>fifo
	bg "${plain[@]}" mpq-work -j1 r sh -c "$gated" >fifo
	wait_until has_lines 1 begun
	exec 8>&-
	open_gate 1
	reap "$bg_pid"
	[[ $status == 141 ]]
	counts r 1 0 1
}

setup_queue2() {
	mpq-create r
	mpq-put r m
	mpq-close r
	setup_gate
	gated="${gated/exit/echo out; exit}"
}

@test "--joblog: the columns of GNU parallel's, a header only when FILE is empty" {
	setup_queue a b c
	try 11 mpq-work -j1 --joblog log q sh -c 'case $1 in a) echo hi;; b) exit 7;; c) kill -15 $$;; esac' sh
	has_lines 4 log
	[[ $(head -1 log) == $'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand' ]]
	[[ $(cut -f 1,2,5-8 log | tail -n +2) == $'1\t:\t0\t3\t0\t0\n2\t:\t0\t0\t7\t0\n3\t:\t0\t0\t0\t15' ]]
	(($(grep -cE $'^[0-9]+\t:\t[0-9]+\\.[0-9]{3}\t *[0-9]+\\.[0-9]{3}\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*\t[^\t]*$' log) == 3))
	mpq-create r
	mpq-put r d
	mpq-close r
	try 0 mpq-work --joblog log -s r true
	has_lines 5 log
	[[ $(tail -1 log) == *$'\t1\t0\t0\t0\ttrue' ]]
}

@test "--joblog: the command is on its line and a shell can read it, whatever the message" {
	local words
	mpq-create q
	printf 'a\nb\t'"'"'c"\\ $x' | mpq-put -r q
	mpq-close q
	try 0 mpq-work --joblog log q true 'it'"'"'s {}' plain
	has_lines 2 log
	eval "words=($(cut -f 9- log | tail -1))"
	[[ ${words[0]} == true && ${words[1]} == $'it\'s a\nb\t\'c"\\ $x' && ${words[2]} == plain ]]
}

@test "--joblog: every try has a line; FILE that cannot be written is found before any message is taken" {
	setup_queue m
	try 1 mpq-work --joblog nix/log q touch run
	complains mpq-work
	[[ ! -e run ]]
	counts q 1 0 1
	try 11 mpq-work -T 3 --joblog log q false
	has_lines 4 log
	[[ $(cut -f 1,7 log | tail -n +2) == $'1\t1\n1\t1\n1\t1' ]]
}

@test "--joblog: a message that cannot be an argument has the Exitval 126; Receive counts standard error too" {
	mpq-create q
	printf 'a\0b' | mpq-put -r q
	mpq-put q ok
	mpq-close q
	try 11 mpq-work -j1 --joblog log q sh -c 'echo out; echo error >&2' sh
	[[ $(cut -f 1,6-8 log | tail -n +2) == $'1\t0\t126\t0\n2\t10\t0\t0' ]]
}

@test "--joblog: several workers share FILE: one header, a line for each message, Seq that of the queue" {
	local one two
	# shellcheck disable=SC2046 # numbers
	setup_queue $(seq 40)
	bg mpq-work -j2 --joblog log q true
	one=$bg_pid
	bg mpq-work -j2 --joblog log q true
	two=$bg_pid
	reap_all "$one" "$two"
	[[ $(head -n 1 log) == Seq* ]]
	[[ $(tail -n +2 log | cut -f 1 | sort -n) == "$(seq 40)" ]]
}

@test "in another queue a message begins anew: after mpq-move, MPQ_ATTEMPT is 1" {
	mpq-create q
	mpq-create r
	mpq-put q m
	try 11 mpq-work -n -T 3 -d r q sh -c 'echo "$MPQ_ATTEMPT"; exit 1'
	[[ $output == $'1\n2\n3' ]]
	mpq-move r q
	try 0 mpq-work -n q sh -c 'echo "$MPQ_ATTEMPT"'
	[[ $output == 1 ]]
}

@test "--joblog: a full disk ends the work with 1" {
	setup_queue a b c
	[[ -w /dev/full ]] || skip "no /dev/full"
	try 1 mpq-work -j1 --joblog /dev/full q touch run
	[[ ! -e run ]]
	counts q 3 0 3
}

@test "127: COMMAND is not found; 126: it cannot be run; before any message is taken" {
	setup_queue m
	try 127 mpq-work q no-such-command-anywhere
	complains mpq-work
	try 127 mpq-work q ./nix
	try 127 mpq-work q ''
	try 126 mpq-work q /
	: >plain-file
	try 126 mpq-work q ./plain-file
	complains mpq-work
	printf '#!/no/such/interpreter\n' >bad
	chmod +x bad
	try 126 mpq-work q ./bad
	complains mpq-work
	mkdir dir
	: >dir/tool
	PATH=$PWD/dir:$PATH try 126 mpq-work q tool
	counts q 1 0 1
	chmod +x dir/tool
	PATH=$PWD/dir:$PATH try 0 mpq-work q tool # empty, and no #!: the shell runs it
}

@test "COMMAND that vanishes meanwhile: its message stays, status 127" {
	mpq-create q
	printf '#!/bin/sh\nrm -f tool\n' >tool
	chmod +x tool
	mpq-put q a b
	mpq-close q
	try 127 mpq-work -j1 q ./tool
	counts q 1 0 1
}

@test "without PATH, as in cron: COMMAND is looked for in /bin and /usr/bin" {
	local work
	work=$(command -v mpq-work)
	setup_queue m
	try 0 env -i "MPQ_DIR=$MPQ_DIR" "$work" q echo
	[[ $output == m ]]
}

@test "an empty PATH is the current directory, as for execvp" {
	local work
	work=$(command -v mpq-work)
	setup_queue m
	try 127 env PATH= "$work" q echo
	complains mpq-work
	counts q 1 0 1
	printf '#!/bin/sh\necho "tool $1"\n' >tool
	chmod +x tool
	try 0 env PATH= "$work" q tool
	[[ $output == 'tool m' ]]
}

@test "as cron starts it: no terminal, no locale, no variable but those that are given" {
	local work
	work=$(command -v mpq-work)
	mpq-create q
	printf 'caf\xc3\xa9 \xff' | mpq-put -r q
	mpq-close q
	try 0 setsid -w env -i "MPQ_DIR=$MPQ_DIR" "$work" -j1 -p --joblog log q sh -c 'printf %s "$1" >got; /usr/bin/env' sh
	[[ $(grep -vE '^(PWD|OLDPWD|SHLVL|_)=' <<<"$output" | sort) == $'MPQ_ATTEMPT=1\n'"MPQ_DIR=$MPQ_DIR"$'\nMPQ_JOB=0\nMPQ_QUEUE=q' ]]
	[[ $stderr == 'q: 1/1 100%'* && $stderr != *[$'\r\e']* ]]
	cmp got <(printf 'caf\xc3\xa9 \xff')
	has_lines 2 log
}

@test "closed standard descriptors are safe" {
	setup_queue a b
	timeout 20 mpq-work -j1 q true <&- >&- 2>&-
	counts q 0 0 0
	mpq-create r
	mpq-put r a
	mpq-close r
	timeout 20 mpq-work -j1 -s r sh -c 'cat >got' <&- >&- 2>&-
	[[ $(<got) == a ]]
}

@test "no such queue is 6; removed meanwhile, too, after the running jobs have ended" {
	try 6 mpq-work q true
	complains mpq-work
	mpq-create q
	mpq-put q a
	setup_gate
	bg mpq-work -j2 q sh -c "$gated" 2>err
	wait_until has_lines 1 begun
	mpq-rm q
	open_gate 1
	reap "$bg_pid"
	[[ $status == 6 ]]
}

@test "-v: why the status is not 0, and a last line that counts" {
	setup_queue 0 1 0
	try 11 mpq-work -v -j1 q sh -c 'exit "$1"' sh
	(($(wc -l <<<"$stderr") == 2))
	[[ $(last_line) == 'mpq-work: q: 2 done, 1 failed' ]]
	mpq-rm q
	setup_queue 1 2
	setup_gate
	bg "${plain[@]}" mpq-work -v -j1 q sh -c "$gated" 2>err
	wait_until has_lines 1 begun
	kill -s TERM "$bg_pid"
	wait_until takes_none "$bg_pid" TERM
	open_gate 1
	reap "$bg_pid"
	((status == 143))
	[[ $(tail -n 1 err) == 'mpq-work: q: 1 done, 0 failed' ]]
}

@test "-p: without a terminal, lines on standard error, the last one at the end" {
	setup_queue a b c
	try 0 mpq-work -p q true
	[[ -z $output && $(last_line) == 'q: 3/3 100%'* ]]
}

@test "INT or TERM: no new jobs, the running one may end, its message is done; then 128+N" {
	local signal
	for signal in INT TERM; do
		setup_queue 1 2 3
		setup_gate
		bg "${plain[@]}" mpq-work -j1 q sh -c "$gated"
		wait_until has_lines 1 begun
		kill -s "$signal" "$bg_pid"
		wait_until takes_none "$bg_pid" "$signal"
		open_gate 1
		reap "$bg_pid"
		((status == 128 + $(kill -l "$signal")))
		counts q 2 0 2
		mpq-rm q
		rm begun
	done
}

# takes_none PID SIGNAL: the signal is no longer pending.
takes_none() {
	local pending
	pending=$(sed -n 's/^ShdPnd:\t//p' "/proc/$1/status")
	((0x$pending == 0))
}

@test "INT, then again: the jobs are ended, their messages go back" {
	setup_queue 1 2 3
	setup_gate
	bg "${plain[@]}" mpq-work -j2 q sh -c "$gated"
	wait_until has_lines 2 begun
	kill -INT "$bg_pid"
	wait_until takes_none "$bg_pid"
	kill -INT "$bg_pid"
	reap "$bg_pid"
	[[ $status == 130 ]]
	counts q 3 0 3
	while read -r pid _; do
		wait_until gone "$pid"
	done <begun
	try 0 mpq-get -n q
	[[ $output == 1 ]]
}

@test "a job that ignores TERM is killed" {
	setup_queue 1
	setup_gate
	bg "${plain[@]}" mpq-work q sh -c "trap '' TERM INT; $gated; $gated"
	wait_until has_lines 1 begun
	for signal in TERM INT TERM; do
		kill -s "$signal" "$bg_pid"
		wait_until takes_none "$bg_pid"
	done
	reap "$bg_pid"
	[[ $status == 143 ]]
	counts q 1 0 1
}

@test "a signal that is ignored when it starts stays so, as nohup wants it" {
	setup_queue 1 2
	setup_gate
	bg env --ignore-signal=TERM,INT,HUP mpq-work -j1 q sh -c "$gated"
	wait_until has_lines 1 begun
	kill -TERM "$bg_pid"
	kill -INT "$bg_pid"
	kill -HUP "$bg_pid"
	open_gate 1
	wait_until has_lines 2 begun
	open_gate 2
	reap "$bg_pid"
	((status == 0))
	counts q 0 0 0
}

@test "after INT a failed message is not tried again but goes back" {
	setup_queue 1
	setup_gate
	bg "${plain[@]}" mpq-work -T 5 q sh -c "$gated"
	wait_until has_lines 1 begun
	kill -INT "$bg_pid"
	wait_until takes_none "$bg_pid"
	open_gate 1 1
	reap "$bg_pid"
	[[ $status == 130 ]]
	counts q 1 0 1
}

@test "waiting for a message, INT ends it at once" {
	mpq-create q
	bg "${plain[@]}" mpq-work q true
	wait_stat getters 1 q
	kill -INT "$bg_pid"
	reap "$bg_pid"
	[[ $status == 130 ]]
	stat_is getters 0 q
}

@test "waiting between two tries, INT gives the message back" {
	setup_queue m
	: >begun
	bg "${plain[@]}" mpq-work -T 2 --delay 1h q sh -c 'echo >>begun; false'
	wait_until has_lines 1 begun
	wait_until waits_in_ppoll "$bg_pid"
	kill -INT "$bg_pid"
	reap "$bg_pid"
	[[ $status == 130 ]]
	counts q 1 0 1
}

# It has no child but the watchdog.
waits_in_ppoll() {
	(($(pgrep -c -P "$1") == 1))
}

@test "SIGKILL of the worker: the process groups of its jobs die, the messages come back in order" {
	local pid
	setup_queue 1 2 3
	: >begun
	lifeline
	bg mpq-work -j2 q sh -c 'cat "$lifeline" & echo "$$" >>begun; echo "$!" >>begun; wait'
	wait_until has_lines 4 begun
	kill -KILL "$bg_pid"
	while read -r pid; do
		wait_until gone "$pid"
	done <begun
	wait_stat size 3 q
	try 0 mpq-work -j1 -T 1 q sh -c 'echo "$1 $MPQ_ATTEMPT"' sh
	[[ $output == $'1 2\n2 2\n3 1' ]]
}

@test "MPQ_ATTEMPT counts a retry that a kill has cut off" {
	setup_queue m
	setup_gate
	bg mpq-work -T 3 q sh -c "$gated"
	wait_until has_lines 1 begun
	open_gate 1 1
	wait_until has_lines 2 begun
	kill -KILL "$bg_pid"
	wait_stat size 1 q
	try 0 mpq-work -s q sh -c 'echo "$MPQ_ATTEMPT"'
	[[ $output == 3 ]]
}

@test "stopped jobs die with the worker as well, and the watchdog ends after it" {
	local pid dog
	setup_queue m
	: >begun
	lifeline
	bg mpq-work q sh -c 'trap "" HUP TERM; echo "$$" >>begun; kill -STOP $$; cat "$lifeline"' # the kernel sends HUP
	wait_until has_lines 1 begun
	wait_until stopped "$(<begun)"
	dog=$(pgrep -P "$bg_pid" -x mpq-watchdog)
	kill -KILL "$bg_pid"
	wait_until gone "$(<begun)"
	wait_until gone "$dog"
}

@test "a process that an ended job has left behind is not killed with the worker" {
	mpq-create q
	mpq-put q 1
	: >begun
	lifeline
	bg mpq-work -j1 q sh -c 'cat "$lifeline" & echo "$!" >>begun'
	wait_stat dones 1 q
	local dog
	dog=$(pgrep -P "$bg_pid" -x mpq-watchdog)
	kill -KILL "$bg_pid"
	wait_until gone "$dog"
	kill -KILL "$(<begun)"
}

@test "a watchdog that is killed is replaced" {
	local dog
	setup_queue m
	setup_gate
	bg mpq-work q sh -c "$gated"
	wait_until has_lines 1 begun
	dog=$(pgrep -P "$bg_pid" -x mpq-watchdog)
	kill -KILL "$dog"
	wait_until gone "$dog"
	wait_until pgrep -P "$bg_pid" -x mpq-watchdog >/dev/null
	kill -KILL "$bg_pid"
	wait_until gone "$(<begun)"
}

@test "a worker with nothing to do uses no time but for looking four times a second" {
	mpq-create q
	mpq-put q m
	setup_gate
	bg mpq-work -j2 q sh -c "$gated"
	wait_until has_lines 1 begun
	wait_stat getters 1 q
	[[ -r /proc/$bg_pid/schedstat ]] || skip "the kernel does not count nanoseconds"
	quiet 20000000 "$bg_pid"
	open_gate 1
}

@test "a burst of short jobs is not slowed by waiting: a free place sees messages and ends at once" {
	mpq-create q
	bg mpq-work -j2 q true
	wait_stat getters 1 q
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		mpq-put q a b c
		timeout 5 mpq-join q
	done
	mpq-close q
	reap "$bg_pid"
	[[ $status == 0 ]]
}
