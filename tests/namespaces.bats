#!/usr/bin/env bats
# Name spaces: a queue in MPQ_DIR is used from one PID name space at a time; afterwards the next takes it over.
# shellcheck disable=SC2154 # bg_pid, pid, status, stderr: helpers and bats set them
# shellcheck disable=SC2016 # the inner shells expand

load helpers

new_space=(unshare --pid --fork --kill-child --mount-proc)

need_space() {
	"${new_space[@]}" true 2>/dev/null || skip "no PID name space can be made here"
}

# refused COMMAND ...: status 1, at once, saying that it is another name space that uses the queue.
refused() {
	try 1 "$@"
	printf '%s\n' "$stderr"
	[[ -z $output && $stderr == "mpq-"*": q: "* ]]
	grep -Eiq 'name ?space' <<<"$stderr"
}

# outer_waiter: here a get waits for two messages of q, which is made; its PID is in $outer.
outer_waiter() {
	mpq-create q
	bg mpq-get -c 2 q >got
	outer=$bg_pid
	wait_stat getters 1 q
}

# inner_waiter: in another name space a get waits for two messages of q, which is made there; its PID here is in $inner.
# A line written to descriptor 7 lets them be put.
inner_waiter() {
	mkfifo go
	exec 7<>go
	bg "${new_space[@]}" bash -c 'mpq-create q
		mpq-get -c 2 q >got &
		until [[ $(mpq-stat -k getters q) == 1 ]]; do :; done
		: >ready
		read -r _ <go
		mpq-put q "$$" b
		wait "$!"'
	inner=$bg_pid
	wait_until test -e ready
}

@test "a queue that this name space uses is refused to another: 1, with a reason, and is not harmed" {
	need_space
	outer_waiter
	refused "${new_space[@]}" mpq-put q x
	refused "${new_space[@]}" mpq-get -n q
	refused "${new_space[@]}" mpq-get -t 1h q
	refused "${new_space[@]}" mpq-get q
	refused "${new_space[@]}" mpq-join -n q
	refused "${new_space[@]}" mpq-task-done q
	refused "${new_space[@]}" mpq-close q
	stat_is state open q
	stat_is puts 0 q
	stat_is getters 1 q
	mpq-put q a b
	reap "$outer"
	[[ $status == 0 && $(<got) == $'a\nb' ]]
}

@test "who sees the /proc of the outer name space is refused as well; who sees another one of this name space is not" {
	need_space
	outer_waiter
	refused unshare --pid --fork --kill-child mpq-put q x
	try 0 unshare --mount sh -c 'mount -t proc proc /proc && mpq-put q a'
	refused unshare --pid --fork --kill-child mpq-put q x
	refused "${new_space[@]}" mpq-put q x
	mpq-put q b
	reap "$outer"
	[[ $status == 0 && $(<got) == $'a\nb' ]]
}

@test "a queue that another name space uses is refused to this one, and used on there" {
	need_space
	inner_waiter
	refused mpq-put q x
	refused mpq-get -n q
	refused mpq-get q
	refused mpq-close q
	echo >&7
	reap "$inner"
	[[ $status == 0 && $(<got) == $'1\nb' ]]
	stat_is puts 2 q
	stat_is unfinished 2 q
}

@test "when all users of the first name space have gone, the next takes the queue over" {
	need_space
	mpq-create q
	mpq-put q a b
	try 0 "${new_space[@]}" bash -c 'mpq-put q c && mpq-get q && mpq-stat -k size q'
	[[ $output == $'a\n2' ]]
	mpq-put q d
	try 0 "${new_space[@]}" mpq-close q
	stat_is state closed q
	try 0 mpq-get -a q
	[[ $output == $'b\nc\nd' ]]
	try 0 "${new_space[@]}" mpq-stat -k unfinished q
	[[ $output == 4 ]]
	try 0 "${new_space[@]}" mpq-task-done -c 4 q
	try 0 mpq-join -n q
}

@test "a name space that is killed with all in it leaves the queue to the next" {
	need_space
	inner_waiter
	refused mpq-put q x
	kill -KILL "$inner"
	reap "$inner"
	wait_until mpq-put q a
	stat_is getters 0 q
	try 0 mpq-get -n q
	[[ $output == a ]]
	try 0 "${new_space[@]}" mpq-put q b
	try 0 mpq-get -n q
	[[ $output == b ]]
}

@test "what was held in a name space that has ended comes back, though the same PID lives in the next" {
	need_space
	mpq-create q
	mpq-put q a b c

	for _ in 1 2 3; do
		try 0 "${new_space[@]}" bash -c 'mpq-get -o $$ q >/dev/null && mpq-get -o $$ q && mpq-stat -k held q && echo $$'
		[[ $output == $'b\n2\n1' ]]
	done
	kill -0 1
	stat_is held 0 q
	stat_is size 3 q
	try 0 mpq-get -an q
	[[ $output == $'a\nb\nc' ]]
}

@test "what was held here is taken back by a name space that takes over only after the holder's end" {
	need_space
	mpq-create q
	mpq-put q a b
	live_pid
	try 0 mpq-get -o "$pid" q
	kill -KILL "$pid"
	reap "$pid"
	try 0 "${new_space[@]}" mpq-get -an q
	[[ $output == $'a\nb' ]]
}

@test "name spaces that race for a queue: each is served or refused, what was put is got once" {
	need_space
	mpq-create q
	local i pids=()
	for i in 1 2 3 4; do
		: >"put$i"
		bg "${new_space[@]}" bash -c 'for n in {1..20}; do
				status=0
				mpq-put q "$1.$n" 2>>"reasons$1" || status=$?
				case $status in
				0) echo "$1.$n" >>"put$1" ;;
				1) ;;
				*) exit 2 ;;
				esac
			done' racer "$i"
		pids+=("$bg_pid")
	done
	reap_all "${pids[@]}"
	if grep -hEiv 'name ?space' reasons?; then
		return 1
	fi
	wc -l put? reasons?
	try 0 mpq-get -an q
	[[ -n $output && $(sort <<<"$output") == "$(sort put?)" ]]
}
