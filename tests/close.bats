#!/usr/bin/env bats
# Close: nothing more can be put, what is left is got, and nobody waits in vain.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

# fill QUEUE MESSAGE ...: a new queue with these.
fill() {
	mpq-create "$1"
	(($# == 1)) || mpq-put "$@"
}

@test "close: nothing more can be put: 5" {
	fill q a
	try 0 mpq-close q
	silent
	stat_is state closed q
	try 5 mpq-put q b
	silent
	try 5 mpq-put -n q b c
	try 5 mpq-put -v q b
	[[ ${stderr_lines[0]} == "mpq-put: q: "* ]]
	counts q 1 0 1
}

@test "closing twice is 0, and changes nothing" {
	fill q a
	try 0 mpq-close q
	try 0 mpq-close q
	silent
	counts q 1 0 1
	stat_is state closed q
}

@test "getters take what is left, in order, then get 5" {
	fill q a b c
	mpq-close q
	try 0 mpq-get q
	[[ $output == a ]]
	try 0 mpq-get -c 5 q
	[[ $output == $'b\nc' ]]
	try 5 mpq-get q
	silent
	try 5 mpq-get -n q
	try 5 mpq-get -t 5 q
	try 5 mpq-get -c 2 q
	try 5 mpq-get -P q
	try 5 mpq-get -v q
	[[ ${stderr_lines[0]} == "mpq-get: q: "* ]]
}

@test "get -a of a closed queue takes what is left and ends with 0, also when nothing is" {
	fill q a b
	mpq-close q
	try 0 mpq-get -a q
	[[ $output == $'a\nb' ]]
	try 0 mpq-get -a q
	silent
}

@test "get -a with -n or -t of a closed, empty queue: 5" {
	fill q
	mpq-close q
	try 5 mpq-get -an q
	try 5 mpq-get -a -t 5 q
	silent
}

@test "close wakes all waiting getters with 5" {
	fill q
	local getters=() g
	for g in 1 2 3 4; do
		bg mpq-get q >"got$g"
		getters+=("$bg_pid")
	done
	wait_stat getters 4 q
	try 0 mpq-close q
	reap_with 5 "${getters[@]}"
	cat got?
	[[ -z $(cat got?) ]]
	stat_is getters 0 q
}

@test "close wakes a waiting get -a, which ends with 0" {
	fill q a
	bg mpq-get -a q >got
	local getter=$bg_pid
	wait_stat size 0 q
	wait_stat getters 1 q
	mpq-put q b
	try 0 mpq-close q
	reap "$getter"
	[[ $status == 0 && $(<got) == $'a\nb' ]]
}

@test "close wakes waiting putters with 5, and what was put stays put" {
	mpq-create -m 1 q
	mpq-put q a
	bg mpq-put q b
	local one=$bg_pid
	bg mpq-put q c d
	local two=$bg_pid
	wait_stat putters 2 q
	try 0 mpq-close q
	reap_with 5 "$one" "$two"
	stat_is putters 0 q
	try 0 mpq-get -a q
	[[ $output == a ]]
}

@test "a put of several that is closed in the middle: what was put stays, nothing more comes" {
	mpq-create -m 2 q
	bg mpq-put q a b c
	local putter=$bg_pid
	wait_stat putters 1 q
	mpq-close q
	reap "$putter"
	[[ $status == 5 ]]
	try 0 mpq-get -a q
	[[ $output == $'a\nb' ]]
}

@test "a put from a file that is closed in the middle leaves the input at the first byte not put" {
	mpq-create -m 2 q
	printf '%s\n' one two three four >in
	# shellcheck disable=SC2016 # the inner shell expands
	bg bash -c 'mpq-put q; status=$?; cat >rest; exit "$status"' <in
	local putter=$bg_pid
	wait_stat putters 1 q
	mpq-close q
	reap "$putter"
	[[ $status == 5 && $(<rest) == $'three\nfour' ]]
	try 0 mpq-get -a q
	[[ $output == $'one\ntwo' ]]
}

@test "put into a closed queue is 5 before anything is read" {
	fill q
	mpq-close q
	# shellcheck disable=SC2016 # the inner shell expands
	try 0 bash -c 'printf "a\nb\n" | { mpq-put q; echo "$?"; cat; }'
	[[ $output == $'5\na\nb' ]]
	try 5 mpq-put q </dev/null
	mkfifo silent_writer
	exec 7<>silent_writer
	try 5 mpq-put q <silent_writer
	exec 7>&-
}

@test "close during a put of a slow writer: what came before is in the queue, the next line is 5" {
	fill q
	mkfifo fifo
	bg mpq-put q <>fifo
	local putter=$bg_pid
	exec 7>fifo
	echo a >&7
	wait_stat size 1 q
	mpq-close q
	echo b >&7
	reap "$putter"
	exec 7>&-
	[[ $status == 5 ]]
	try 0 mpq-get -a q
	[[ $output == a ]]
}

@test "get of a closed queue is not 5 while another holds a message: 3, or waiting" {
	fill q a
	live_pid
	try 0 mpq-get -o "$pid" q
	mpq-close q
	try 3 mpq-get -n q
	try 3 mpq-get -t 0.2 q
	bg mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	try 0 mpq-task-done -o "$pid" q
	reap "$getter"
	[[ $status == 5 && ! -s got ]]
}

@test "closed: a held message that comes back is got by those who wait" {
	fill q a
	live_pid
	try 0 mpq-get -o "$pid" q
	mpq-close q
	bg mpq-get -a q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$getter"
	[[ $status == 0 && $(<got) == a ]]
}

@test "close -i drops what is left, as done" {
	fill q a b c
	try 0 mpq-close -i q
	silent
	counts q 0 0 0
	stat_is state closed q
	stat_is bytes 0 q
	stat_is dones 3 q
	try 5 mpq-get q
	try 5 mpq-put q d
	try 0 mpq-join -nC q
}

@test "close -i of a queue that is closed already drops what is left" {
	fill q a b
	mpq-close q
	try 0 mpq-close --immediate q
	counts q 0 0 0
	try 0 mpq-close -i q
	try 5 mpq-get q
}

@test "close -i wakes getters with 5 and putters with 5" {
	mpq-create -m 1 q
	mpq-put q a
	bg mpq-put q b
	local putter=$bg_pid
	wait_stat putters 1 q
	try 0 mpq-close -i q
	reap "$putter"
	[[ $status == 5 ]]
	counts q 0 0 0
	fill r
	bg mpq-get r
	local getter=$bg_pid
	wait_stat getters 1 r
	try 0 mpq-close -i r
	reap "$getter"
	[[ $status == 5 ]]
}

@test "close -i: holders may finish" {
	fill q a b c
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	try 0 mpq-close -i q
	counts q 0 2 2
	try 8 mpq-join -n q
	try 3 mpq-get -n q
	try 0 mpq-task-done -o "$pid" q
	counts q 0 1 1
	try 0 mpq-task-done -o "$pid" q
	counts q 0 0 0
	try 5 mpq-get q
	try 0 mpq-join -n q
}

@test "close -i: what comes back from a dead holder is dropped too" {
	fill q a b
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	try 0 mpq-close -i q
	bg mpq-get q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	kill -KILL "$pid"
	reap "$getter"
	[[ $status == 5 && ! -s got ]]
	counts q 0 0 0
	try 0 mpq-join -n q
}

@test "close -i: what is put back by task-done -R is dropped too" {
	fill q a b
	live_pid
	try 0 mpq-get -c 2 -o "$pid" q
	mpq-close -i q
	try 0 mpq-task-done -R -a -o "$pid" q
	counts q 0 0 0
	stat_is dones 2 q
	try 5 mpq-get -n q
}

@test "close -i: what a killed getter had not written is dropped too" {
	fill q
	filler 200000 | mpq-put -r q
	mkfifo fifo
	exec 7<>fifo
	bg mpq-get -r q >fifo
	local getter=$bg_pid
	wait_until full_pipe
	try 0 mpq-close -i q
	kill -KILL "$getter"
	reap "$getter"
	exec 7>&-
	counts q 0 0 0
	try 5 mpq-get -n q
	try 0 mpq-join -nC q
}

full_pipe() {
	(($(pipe_level 7) > 32768))
}

@test "close and the three numbers: a plain close changes none" {
	fill q a b c
	live_pid
	try 0 mpq-get -o "$pid" q
	try 0 mpq-get q
	counts q 1 1 3
	mpq-close q
	counts q 1 1 3
	stat_is dones 0 q
}

@test "close: a missing queue is 6; wrong usage is 2 and closes nothing" {
	try 6 mpq-close q
	try 6 mpq-close -i q
	mpq-create q
	mpq-create r
	misuse mpq-close
	misuse mpq-close q r
	misuse mpq-close -x q
	misuse mpq-close -n q
	stat_is state open q
	stat_is state open r
	try 0 mpq-close q -i
}
