#!/usr/bin/env bats
# Name spaces: a queue in MPQ_DIR is used from one PID name space at a time; afterwards the next takes it over.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper
# shellcheck disable=SC2016 # the inner shells expand

load helpers

new_space=(unshare --pid --fork --kill-child --mount-proc)

need_space() {
	"${new_space[@]}" true 2>/dev/null || skip "no PID name space can be made here"
}

# refused COMMAND ...: status 1, saying that it is another name space that uses the queue.
refused() {
	try 1 "$@"
	printf '%s\n' "$stderr"
	[[ -z $output && $stderr == *"mpq-"*": q: "* ]]
	grep -Eiq 'name ?space' <<<"$stderr"
}

# inner SCRIPT: runs it in a new PID name space in the background, its PID in $inner; it says "ready" itself.
inner() {
	rm -f ready
	bg "${new_space[@]}" bash -c "$1"
	inner=$bg_pid
	wait_until test -e ready
}

# The inner shell's own wait for a getter.
waiting='until [[ $(mpq-stat -k getters q) == 1 ]]; do :; done; : >ready; '

@test "a queue that this name space uses is refused to another: 1, with a reason, and unharmed" {
	need_space
	mpq-create q
	bg mpq-get -c 2 q >got
	local getter=$bg_pid
	wait_stat getters 1 q
	refused "${new_space[@]}" mpq-put q x
	refused "${new_space[@]}" mpq-get -n q
	refused "${new_space[@]}" mpq-get -t 5 q
	refused "${new_space[@]}" mpq-join -n q
	refused "${new_space[@]}" mpq-task-done q
	refused "${new_space[@]}" mpq-close q
	stat_is state open q
	stat_is puts 0 q
	stat_is getters 1 q
	mpq-put q a b
	reap "$getter"
	[[ $status == 0 && $(<got) == $'a\nb' ]]
}

@test "a queue that another name space uses is refused to this one: 1, with a reason" {
	need_space
	inner "mpq-create q; mpq-get -c 2 q >got & $waiting"'read -r _ <go; mpq-put q a b; wait "$!"' <>/dev/null &
	wait "$!" || :
	skip "replaced below"
}
