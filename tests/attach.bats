#!/usr/bin/env bats
# Attach: standard input and output, or a command's, joined to the end of a pipe.
# shellcheck disable=SC2030,SC2031,SC2154,SC2217,SC2016 # helpers and bats set variables; bg is a helper; inner shells expand

load helpers

ms() {
	printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"
}

@test "two attaches are a conversation" {
	mpq-pipe chat
	mkfifo in1 in2
	bg mpq-attach chat@1 <>in1 >out1
	local one=$bg_pid
	exec 7<>in2
	bg mpq-attach chat@2 <in2 >out2
	local two=$bg_pid
	echo hello >in1
	wait_until grep -qx hello out2
	echo hi >&7
	wait_until grep -qx hi out1
	echo how are you >in1
	wait_until grep -qx 'how are you' out2
	# The end of input of one side: it is told, and may still send; its terminal never ends, so nothing ends yet.
	exec 7>&-
	echo bye >in1
	wait_until grep -qx bye out2
	stat_is state open chat@2
	kill -0 "$one"
	# When the other side goes, both end, whatever becomes of the first one's input.
	mpq-close chat@1
	reap "$two"
	[[ $status == 0 ]]
	reap "$one"
	[[ $status == 0 && $(<out2) == $'hello\nhow are you\nbye' && $(<out1) == hi ]]
}

@test "attach -- bc is a service that put and get ask" {
	mpq-pipe svc
	local service=(bc -l)
	command -v bc >/dev/null || service=(awk '{ split($0, n, "^"); print n[1] ^ n[2]; fflush() }')
	bg mpq-attach svc@2 -- "${service[@]}"
	local attach=$bg_pid
	mpq-put svc@1 '2^10'
	try 0 mpq-get svc@1
	[[ $output == 1024 ]]
	mpq-put svc@1 '3^4' '2^8'
	try 0 mpq-get -c 2 svc@1
	[[ $output == $'81\n256' || $output == 81 ]]
	mpq-close -w svc@1
	reap "$attach"
	[[ $status == 0 ]]
	stat_is state closed svc@2
	try 5 mpq-put svc@1 x
}

@test "half-close: the end of input closes what is sent, and answers still come" {
	mpq-pipe p
	bg mpq-attach -v p@1 </dev/null >out 2>err
	local one=$bg_pid
	try 5 mpq-get p@2
	try 0 mpq-put p@2 late answer
	mpq-close -w p@2
	reap "$one"
	[[ $status == 0 && $(<out) == $'late\nanswer' && $(tail -n 1 err) == 'mpq-attach: p@1: 0 put, 2 got' ]]
	stat_is state closed p@1
	stat_is state closed p@2
}

@test "a last line without newline is a message; empty messages are, too" {
	mpq-pipe p
	bg mpq-attach p@1 >out < <(printf 'a\n\nb')
	local one=$bg_pid
	try 0 mpq-get -a p@2
	[[ $output == $'a\n\nb' ]]
	mpq-close p@2
	reap "$one"
	[[ $status == 0 && ! -s out ]]
}

@test "-0 and -L frame both directions" {
	mpq-pipe p
	bg mpq-attach -0 p@1 >out < <(printf 'a\nb\0c\0')
	local one=$bg_pid
	printf 'x\ny' >message
	mpq-put -r p@2 <message
	try 0 mpq-get -c 2 p@2
	[[ $output == $'a\nb\nc' ]]
	mpq-close p@2
	reap "$one"
	[[ $status == 0 ]]
	frame null message | cmp - out
	mpq-pipe r
	bg mpq-attach -L r@1 >out < <(frame length message message)
	one=$bg_pid
	timeout 20 mpq-attach -L r@2 < <(frame length message) >out2
	reap "$one"
	frame length message | cmp - out
	frame length message message | cmp - out2
	# The last of the two counts; input that is cut short is an error, but what was whole is sent.
	mpq-pipe s
	bg mpq-attach s@2 </dev/null >out2
	one=$bg_pid
	try 1 mpq-attach -0 -L s@1 < <(frame length message; printf '\0\0\0\7abc')
	complains mpq-attach
	reap "$one"
	[[ $(<out2) == $'x\ny' ]]
}

@test "100 MB each way at once, without deadlock, also when the pipe is bounded" {
	perl -e 'my $l = "a" x 90; printf("%s%08d\n", $l, $_) for 1 .. 1010102' >one
	perl -e 'my $l = "b" x 90; printf("%s%08d\n", $l, $_) for 1 .. 1010102' >two
	local bound
	for bound in 0 100K; do
		mpq-pipe -b "$bound" "p$bound"
		bg mpq-attach "p$bound@1" <one >out1
		local attach=$bg_pid
		timeout 60 mpq-attach "p$bound@2" <two >out2
		reap "$attach"
		cmp one out2
		cmp two out1
	done
	mpq-pipe cat
	bg mpq-attach cat@2 -- cat
	timeout 60 mpq-attach cat@1 <one >out1
	cmp one out1
	rm -f one two out1 out2
}

@test "COMMAND: its status, or 128+N, is the status, and END is closed when it ends" {
	local i=0 expected command
	while read -r expected command; do
		mpq-pipe "p$((++i))"
		try "$expected" mpq-attach "p$i@1" -- sh -c "$command"
		stat_is state closed "p$i@1"
		try 0 mpq-get -an "p$i@2" || [[ $status == 5 ]]
	done <<-'END'
		0 true
		7 exit 7
		7 echo said; exit 7
		143 kill -TERM $$
		137 kill -KILL $$
	END
	mpq-pipe p
	try 3 mpq-attach p@1 sh -c 'exit 3'
}

@test "COMMAND: what it has written is sent before END is closed, and no more is awaited" {
	mpq-pipe p
	try 0 mpq-attach p@1 -- sh -c 'seq 20000; printf last'
	try 0 mpq-get -a p@2
	[[ $output == "$(seq 20000; echo last)" ]]
	# A descendant that keeps the pipe open does not keep END open.
	mpq-pipe r
	lifeline
	bg mpq-attach r@1 -- sh -c 'cat "$lifeline" & echo $! >descendant; echo one; printf two'
	local attach=$bg_pid
	reap "$attach"
	kill "$(<descendant)"
	[[ $status == 0 ]]
	try 0 mpq-get -a r@2
	[[ $output == $'one\ntwo' ]]
	stat_is state closed r@1
}

@test "COMMAND gets what is sent to the end, and the end of its input when nothing can come any more" {
	mpq-pipe p
	mpq-put p@1 b a c
	mpq-close -w p@1
	try 0 mpq-attach p@2 -- sort
	try 0 mpq-get -a p@1
	[[ $output == $'a\nb\nc' ]]
	# A command that reads only some of it is no error.
	mpq-pipe r
	seq 100000 | mpq-put r@1
	try 0 mpq-attach r@2 -- head -n 1
	silent
	try 0 mpq-get -a r@1
	[[ $output == 1 ]]
}

@test "COMMAND that cannot be run: 126, 127, before anything is taken and END is touched" {
	mpq-pipe p
	mpq-put p@1 a
	try 127 mpq-attach p@2 -- no-such-command
	complains mpq-attach
	try 127 mpq-attach p@2 -- ./no/such/command
	echo text >plain
	try 126 mpq-attach p@2 -- ./plain
	try 126 mpq-attach p@2 -- /
	stat_is size 1 p@2
	stat_is gets 0 p@2
	stat_is state open p@2
}

@test "COMMAND inherits no descriptor, and no ignored or blocked signals of ours" {
	mpq-pipe p
	local look=(bash -c 'for f in /proc/$BASHPID/fd/*; do [[ -e $f ]] && echo "${f##*/}"; done | sort -n
		grep -E "^Sig(Ign|Blk|Cgt)" /proc/$$/status')
	timeout 20 "${look[@]}" >expected # which takes some ignored signals away, and so does that of try
	try 0 mpq-attach p@1 -- "${look[@]}"
	try 0 mpq-get -a p@2
	diff expected - <<<"$output"
}

@test "standard descriptors that are closed are safe" {
	mpq-pipe p
	try 0 bash -c 'exec mpq-attach p@1 -- sh -c "read -r a; echo got \$a" <&- >&- &
		mpq-put p@2 x; mpq-get p@2; wait $!'
	[[ $output == 'got x' ]]
	mpq-pipe r
	mpq-close -w r@2
	try 1 bash -c 'exec mpq-attach r@1 <&-'
	complains mpq-attach
}

# killed SIGNAL: one side with a command is ended by a signal; the other side and COMMAND see it.
killed() {
	mpq-pipe p
	bg mpq-attach p@2 -- sh -c 'cat >seen; echo end >seen.end'
	local attach=$bg_pid
	mpq-put p@1 a
	wait_until grep -qx a seen
	bg mpq-get p@1
	local getter=$bg_pid start
	wait_stat getters 1 p@1
	start=$(ms)
	kill "-$1" "$attach"
	reap "$getter"
	[[ $status == 5 ]]
	(($(ms) - start < 5000)) # a second, and what a busy machine adds
	reap "$attach"
	[[ $status == "$2" ]]
	try 5 mpq-put p@1 x
	stat_is state closed p@2
}

@test "killed by SIGKILL: END is closed, and COMMAND gets the end of its input" {
	killed KILL 137
	wait_until test -e seen.end
}

@test "killed at any moment of a conversation: the other gets a beginning of what was sent, whole messages, and ends" {
	local round pid killed other n
	local -a sides
	RANDOM=${MPQ_SEED:-$$}
	seq 400000 >in.1
	seq 500000 900000 >in.2
	has_at_least() { (($(stat -c %s "out.$other") >= $1)); }
	for ((round = 0; round < 20; round++)); do
		mpq-pipe p >/dev/null
		: >out.1
		: >out.2
		for pid in 1 2; do
			bg mpq-attach "p@$pid" <"in.$pid" >"out.$pid"
			sides[pid]=$bg_pid
		done
		killed=$((RANDOM % 2 + 1)) other=$((RANDOM % 2 + 1))
		n=$((RANDOM * 30))
		wait_until has_at_least "$n"
		kill -KILL "${sides[killed]}" || true    # it may be through
		reap "${sides[killed]}"
		((status == 137 || status == 0))
		reap "${sides[3 - killed]}"
		((status == 0))
		n=$(wc -l <"out.$((3 - killed))")
		printf 'round %s: %s was killed, the other got %s lines\n' "$round" "$killed" "$n"
		head -n "$n" "in.$killed" | cmp - "out.$((3 - killed))"
		cmp -n "$(stat -c %s "out.$killed")" "in.$((3 - killed))" "out.$killed"
		try 5 mpq-put p@1 x
		try 5 mpq-put p@2 x
		mpq-rm p
	done
}

@test "ended by TERM: as that signal, END closed, COMMAND told" {
	killed TERM 143
}

@test "a signal that ends it is passed on to COMMAND, but for INT, which a terminal sends to both" {
	local signal
	for signal in TERM HUP INT; do
		mpq-pipe "p$signal"
		bg env --default-signal=TERM,HUP,INT mpq-attach "p$signal@1" -- \
			sh -c 'trap "echo told >>log" TERM HUP INT; echo ready; read -r x || read -r x; echo end >>log'
		try 0 mpq-get -t 15 "p$signal@2"
		kill -s "$signal" "$bg_pid"
		reap "$bg_pid"
		[[ $status == $((128 + $(kill -l "$signal"))) ]]
		wait_until grep -q end log
		if [[ $signal == INT ]]; then
			run ! grep told log
		else
			grep -q told log
		fi
		stat_is state closed "p$signal@2"
		rm log
	done
}

@test "ended by a signal: what was received and not written is settled" {
	mpq-pipe p
	mkfifo fifo
	exec 7<>fifo
	filler 200000 | mpq-put -r p@1
	mpq-put p@1 next
	bg env --default-signal=HUP mpq-attach p@2 >fifo <>/dev/zero
	local attach=$bg_pid
	is_full() { (($(pipe_level 7) >= 65536)); }
	wait_until is_full
	kill -HUP "$attach"
	reap "$attach"
	[[ $status == 129 ]]
	exec 7>&-
	stat_is held 0 p@2
	stat_is size 0 p@2
	stat_is unfinished 0 p@1
	try 0 mpq-join -n p@1
}

@test "standard output that breaks ends it as SIGPIPE does" {
	mpq-pipe p
	mkfifo in
	exec 7<>in
	mpq-put p@2 a b
	bg bash -c 'mpq-attach p@1 <in 7>&- | head -n 1 >first; exit "${PIPESTATUS[0]}"'
	local attach=$bg_pid
	wait_until test -s first
	more() { mpq-put p@2 c; ended "$attach"; }
	wait_until more
	reap "$attach"
	exec 7>&-
	[[ $status == 141 ]]
	stat_is state closed p@1
}

@test "the other side goes away: attach ends, though its input does not" {
	mpq-pipe p
	mkfifo in
	exec 7<>in
	bg mpq-attach p@1 <in >out
	local attach=$bg_pid
	mpq-put p@2 last
	mpq-close p@2
	reap "$attach"
	[[ $status == 0 && $(<out) == last ]]
	# ... also when it was closed in two steps, with something got and not done in between.
	mpq-pipe r
	bg mpq-attach r@1 <in >out
	attach=$bg_pid
	echo unfinished >&7
	try 0 mpq-get r@2
	wait_stat getters 1 r@1
	mpq-close -w r@2
	wait_stat getters 0 r@1 # attach knows that nothing more comes
	try 3 mpq-get -n r@2
	mpq-close r@2
	reap "$attach"
	exec 7>&-
	[[ $status == 0 ]]
}

@test "an end that is closed already: 0, and no input is read" {
	mpq-pipe p
	mpq-close p@1
	echo a >in
	try 0 bash -c 'mpq-attach p@1; cat' <in
	[[ $output == a ]]
	mpq-pipe r
	mpq-put r@2 waiting
	mpq-close r@2
	try 0 bash -c 'mpq-attach r@1; cat' <in
	[[ $output == $'waiting\na' ]]
}

@test "removed meanwhile: 6; missing: 6; a message that never fits: 10; usage: 2" {
	mpq-pipe p
	mkfifo in
	exec 7<>in
	bg mpq-attach p@1 <in 2>err
	local attach=$bg_pid
	wait_stat getters 1 p@1
	mpq-rm p
	reap "$attach"
	exec 7>&-
	[[ $status == 6 && $(<err) == "mpq-attach: p@1: "* ]]
	try 6 mpq-attach p@1 </dev/null
	try 6 mpq-attach p@1 -- touch ran
	[[ ! -e ran ]]
	mpq-pipe -b 3 r
	mpq-close -w r@2
	try 10 mpq-attach r@1 < <(printf 'abc\nabcd\n')
	misuse mpq-attach
	misuse mpq-attach r@1 --
	misuse mpq-attach r@3
	misuse mpq-attach -r r@1
	misuse mpq-attach -x r@1
}

@test "a simplex end joins the one direction it has" {
	mpq-pipe -1 p
	bg mpq-attach p@1 >out </dev/zero
	local one=$bg_pid
	try 0 mpq-attach p@2 < <(seq 3)
	reap "$one"
	[[ $status == 0 && $(<out) == $'1\n2\n3' ]]
	mpq-pipe -1 r
	try 0 mpq-attach r@2 -- cat < <(seq 3)
	try 0 mpq-attach r@1 -- tac </dev/null
	[[ $output == $'3\n2\n1' ]]
}

@test "what has been written is done: join waits for just that" {
	mpq-pipe p
	bg mpq-attach p@2 </dev/null >out
	local attach=$bg_pid
	mpq-put p@1 a b
	try 0 mpq-join p@1
	[[ $(<out) == $'a\nb' ]]
	mpq-close p@1
	reap "$attach"
}

@test "a quiet attach costs nothing" {
	mpq-pipe p
	mkfifo in
	exec 7<>in
	bg mpq-attach p@1 <in
	local attach=$bg_pid pids each sender receiver
	wait_stat getters 1 p@1
	read -ra pids <"/proc/$attach/task/$attach/children" || ((${#pids[@]} == 2)) # no newline there
	((${#pids[@]} == 2))
	for each in "${pids[@]}"; do
		wait_until sleeps_in "$each" read futex
		if sleeps_in "$each" futex; then receiver=$each; else sender=$each; fi
	done
	local before
	before="$(naps "$sender") $(naps "$attach")"
	quiet 15000000 "$receiver" "$sender" "$attach"
	[[ "$(naps "$sender") $(naps "$attach")" == "$before" ]] # neither has anything to look for
	mpq-close p@2
	reap "$attach"
	exec 7>&-
}
