#!/usr/bin/env bats
# Stat and ls: what they say of a queue, in which form, and how much memory a queue takes.
# shellcheck disable=SC2154 # bg_pid, pid, status, stderr: helpers and bats set them

load helpers

keys='name kind state size bytes held unfinished maxsize maxbytes puts gets dones getters putters memory mode owner created'

need_json() {
	command -v jq >/dev/null || command -v python3 >/dev/null || skip "neither jq nor python3 is here to read JSON"
}

# json PATH: a value of the JSON on standard input, as in "0.size" or "size", the keys of an object; "" is the type of
# all, "PATH/" the type of a value.
json() {
	if command -v jq >/dev/null; then
		jq -er --arg path "$1" '
			($path | split("/")[0] // "" | split(".") | map(select(. != "") | tonumber? // .)) as $keys
			| getpath($keys)
			| if $path == "" or ($path | endswith("/")) then type
			  elif type == "object" then keys_unsorted | join(" ")
			  else . end'
	else
		python3 -c '
import json, sys
path, of_type = sys.argv[1].rstrip("/"), sys.argv[1].endswith("/") or not sys.argv[1]
value = json.load(sys.stdin)
for key in filter(None, path.split(".")):
    value = value[int(key) if isinstance(value, list) else key]
types = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
print(types[type(value)] if of_type else " ".join(value) if isinstance(value, dict) else value)' "$1"
	fi
}

# is KEY VALUE ...: what mpq-stat q says.
is() {
	while (($#)); do
		stat_is "$1" "$2" q || return
		shift 2
	done
}

# half NAME: the queue is damaged: half of its file is missing.
half() {
	truncate -s "$(($(stat -c %s "$MPQ_DIR/mpq.$1") / 2))" "$MPQ_DIR/mpq.$1"
}

# as_nobody STATUS COMMAND ...: as try, without root's rights; the directory is open to him.
as_nobody() {
	local expected=$1
	shift
	((EUID == 0)) || skip "only root can become another user"
	setpriv --reuid nobody --regid nogroup --clear-groups mpq-ls --version >/dev/null 2>&1 ||
		skip "another user cannot run the commands where they are"
	chmod 755 "$MPQ_DIR"
	try "$expected" setpriv --reuid nobody --regid nogroup --clear-groups "$@"
}

allocated() {
	du -B 1 "$MPQ_DIR/mpq.q" | cut -f 1
}

# takes_less BYTES: the queue q, by its own account and by the file system's.
takes_less() {
	local memory disk
	memory=$(mpq-stat -k memory q)
	disk=$(allocated)
	printf 'memory %s, allocated %s, limit %s\n' "$memory" "$disk" "$1" >&2
	((memory > 0 && memory < $1 && disk < $1))
}

small_pages() {
	printf x >"$MPQ_DIR/page"
	(($(du -B 1 "$MPQ_DIR/page" | cut -f 1) <= 65536)) || skip "this file system gives out huge pages only"
	rm "$MPQ_DIR/page"
}

@test "stat prints KEY VALUE lines, with exactly the keys there are, in their order" {
	mpq-create q
	try 0 mpq-stat q
	[[ -z $stderr ]]
	[[ $(cut -d ' ' -f 1 <<<"$output" | paste -sd ' ') == "$keys" ]]
	if grep -Ev '^[a-z]+ [^ ]+$' <<<"$output"; then
		return 1
	fi
}

@test "stat of a new queue" {
	local before after created
	before=$(date +%s)
	mpq-create q
	after=$(date +%s)
	is name q kind queue state open size 0 bytes 0 held 0 unfinished 0 maxsize 0 maxbytes 0 puts 0 gets 0 dones 0 \
		getters 0 putters 0 owner "$(id -un)"
	try 0 mpq-stat -k mode q
	[[ $output =~ ^0?600$ ]]
	created=$(mpq-stat -k created q)
	((created >= before && created <= after))
}

@test "stat: maxsize, maxbytes and mode are as they were given" {
	mpq-create -m 3 -b 2K -M 0660 q
	is maxsize 3 maxbytes 2048
	try 0 mpq-stat -k mode q
	[[ $output =~ ^0?660$ ]]
}

@test "stat: size, held and unfinished are three numbers; bytes are those of the messages, without framing" {
	mpq-create q
	mpq-put q abc de ''
	is size 3 bytes 5 held 0 unfinished 3 puts 3 gets 0 dones 0
	printf 'xx\nyyy\n' | mpq-put q
	is size 5 bytes 10 unfinished 5 puts 5
	live_pid
	try 0 mpq-get -o "$pid" q
	is size 4 bytes 7 held 1 unfinished 5 gets 1 dones 0
	try 0 mpq-get q
	is size 3 bytes 5 held 1 unfinished 5 gets 2 dones 0
	try 0 mpq-task-done q
	is size 3 held 1 unfinished 4 dones 1
	try 0 mpq-task-done -o "$pid" q
	is size 3 held 0 unfinished 3 dones 2
	try 0 mpq-get -D -c 2 q
	is size 1 bytes 3 unfinished 1 gets 4 dones 4
	try 0 mpq-get -P q
	is size 1 bytes 3 unfinished 1 gets 4
}

@test "stat: closed is a state" {
	mpq-create q
	mpq-put q a
	mpq-close q
	is state closed size 1
}

@test "stat: getters and putters are those waiting now" {
	mpq-create -m 1 q
	bg mpq-get q
	local one=$bg_pid
	bg mpq-get -t 1h q
	local two=$bg_pid
	wait_stat getters 2 q
	is putters 0
	kill -KILL "$one"
	reap "$one"
	is getters 1
	mpq-put q a
	reap "$two"
	is getters 0
	mpq-put q a
	bg mpq-put q b
	wait_stat putters 1 q
	is getters 0
	mpq-get q
	reap "$bg_pid"
	is putters 0
}

@test "stat -k KEY: the value alone, the same as in the whole" {
	mpq-create -m 5 q
	mpq-put q abc de
	local key whole
	whole=$(mpq-stat q)
	for key in $keys; do
		try 0 mpq-stat -k "$key" q
		[[ -z $stderr ]]
		printf '%s: %s\n' "$key" "$output"
		grep -qxF -- "$key $output" <<<"$whole"
	done
	try 0 mpq-stat --key=size q
	[[ $output == 2 ]]
	try 0 mpq-stat q -k size
	[[ $output == 2 ]]
}

@test "stat -J: a JSON object with the keys in their order, numbers as numbers" {
	need_json
	mpq-create -m 5 q
	mpq-put q abc de
	try 0 mpq-stat -J q
	[[ -z $stderr && $(json '' <<<"$output") == object ]]
	local key
	for key in $keys; do
		printf '%s is a %s: %s\n' "$key" "$(json "$key/" <<<"$output")" "$(json "$key" <<<"$output")"
		case $key in
		name | kind | state | owner) [[ $(json "$key/" <<<"$output") == string ]] ;;
		mode) ;;
		*) [[ $(json "$key/" <<<"$output") == number ]] ;;
		esac
	done
	[[ $(json size <<<"$output") == 2 && $(json bytes <<<"$output") == 5 ]]
	[[ $(json name <<<"$output") == q && $(json maxsize <<<"$output") == 5 ]]
	[[ $(json . <<<"$output") == "$keys" ]]
	try 0 mpq-stat --json q
	[[ $(json state <<<"$output") == open ]]
}

@test "stat --test empty" {
	mpq-create q
	try 0 mpq-stat --test empty q
	silent
	mpq-put q a
	try 8 mpq-stat --test empty q
	silent
	mpq-get q
	try 0 mpq-stat --test=empty q
}

@test "stat --test full: by number, by bytes, never without a bound" {
	mpq-create -m 2 q
	mpq-create -b 4 r
	mpq-create s
	mpq-put q a
	mpq-put r abc
	mpq-put s a
	try 8 mpq-stat --test full q
	try 8 mpq-stat --test full r
	mpq-put q b
	mpq-put r d
	try 0 mpq-stat --test full q
	try 0 mpq-stat --test full r
	try 8 mpq-stat --test full s
	mpq-get q
	try 8 mpq-stat --test full q
	silent
}

@test "stat --test closed" {
	mpq-create q
	try 8 mpq-stat --test closed q
	mpq-close q
	try 0 mpq-stat --test closed q
	silent
}

@test "stat --test done: nothing is unfinished" {
	mpq-create q
	try 0 mpq-stat --test 'done' q
	mpq-put q a
	try 8 mpq-stat --test 'done' q
	mpq-get q
	try 8 mpq-stat --test 'done' q
	mpq-task-done q
	try 0 mpq-stat --test 'done' q
	silent
}

@test "stat --test of an end: empty and full are about what it receives, done about what it sends" {
	mpq-pipe -m 1 p
	local end state
	for end in p@1 p@2; do
		try 0 mpq-stat --test empty "$end"
		try 8 mpq-stat --test full "$end"
		try 8 mpq-stat --test closed "$end"
		try 0 mpq-stat --test 'done' "$end"
	done
	mpq-put p@1 a
	for state in p@1=empty p@2=full p@2='done'; do
		try 0 mpq-stat "${state%=*}" --test "${state#*=}"
		silent
	done
	for state in p@1=full p@1='done' p@2=empty; do
		try 8 mpq-stat "${state%=*}" --test "${state#*=}"
		silent
	done
	mpq-close -w p@1
	try 8 mpq-stat --test closed p@1
	mpq-close p@2
	try 0 mpq-stat --test closed p@1
	try 0 mpq-stat --test closed p@2
}

@test "stat of an end: puts, dones, unfinished and putters are about what it sends, the other figures about what it receives" {
	mpq-pipe -m 2 p
	mpq-put p@1 one two
	bg mpq-put p@1 three
	wait_stat putters 1 p@1
	stat_is putters 0 p@2
	bg mpq-get p@1
	wait_stat getters 1 p@1
	stat_is getters 0 p@2
	local key one two
	while read -r key one two; do
		stat_is "$key" "$one" p@1
		stat_is "$key" "$two" p@2
	done < <(printf '%s %s %s\n' puts 2 0 unfinished 2 0 dones 0 0 size 0 2 bytes 0 6 held 0 0 gets 0 0 maxsize 2 2)
	mpq-get -D p@2
	wait_stat puts 3 p@1
	stat_is dones 1 p@1
	stat_is gets 1 p@2
	stat_is dones 0 p@2
	stat_is gets 0 p@1
}

@test "stat, ls, wait and pipe: standard output that takes nothing is 1, and said, with the name" {
	local command target
	mpq-create q
	mpq-put q x
	mpq-pipe p
	for command in "mpq-stat q" "mpq-stat -k size q" "mpq-stat -J q" mpq-ls "mpq-ls -l" "mpq-ls -J" "mpq-wait q" \
		"mpq-pipe -e p" "mpq-ls -h" "mpq-stat -V"; do
		for target in /dev/full '&-'; do
			# shellcheck disable=SC2086 # words
			try 1 bash -c "\"\$@\" >$target" _ $command
			complains "${command%% *}"
			[[ $command != *" "[qp] || $stderr == "${command%% *}: ${command##* }: standard output: "* ]]
		done
	done
}

@test "stat and ls: wrong usage is 2" {
	mpq-create q
	misuse mpq-stat
	misuse mpq-stat q q
	misuse mpq-stat -k bogus q
	misuse mpq-stat -k '' q
	misuse mpq-stat -k
	misuse mpq-stat --test bogus q
	misuse mpq-stat --test '' q
	misuse mpq-stat -l q
	misuse mpq-stat -x q
	misuse mpq-stat .q
	misuse mpq-ls -x
	misuse mpq-ls .q
	misuse mpq-ls -k size
}

@test "stat and ls NAME of a missing queue: 6" {
	try 6 mpq-stat q
	[[ -z $output ]]
	try 6 mpq-stat -k size q
	[[ -z $output ]]
	try 6 mpq-stat -J q
	try 6 mpq-stat --test empty q
	try 6 mpq-ls q
	[[ -z $output ]]
}

@test "stat and ls look for dead holders first" {
	mpq-create q
	mpq-put q a b
	live_pid
	try 0 mpq-get -o "$pid" q
	is size 1 held 1
	kill -KILL "$pid"
	reap "$pid"
	try 0 mpq-stat q
	grep -qx 'size 2' <<<"$output"
	grep -qx 'held 0' <<<"$output"
	live_pid
	try 0 mpq-get -o "$pid" q
	kill -KILL "$pid"
	reap "$pid"
	need_json
	try 0 mpq-ls -J q
	[[ $(json 0.size <<<"$output") == 2 && $(json 0.held <<<"$output") == 0 ]]
}

@test "stat: all figures are of one instant" {
	mpq-create q
	# shellcheck disable=SC2016 # the inner shell expands
	bg timeout 20 bash -c 'while [[ ! -e stop ]]; do mpq-put q a bb ccc; mpq-get -n -c 2 -D q; mpq-get -n -D q; done' \
		>/dev/null
	local one=$bg_pid
	bg timeout 20 bash -c 'while [[ ! -e stop ]]; do seq 500 | mpq-put q; mpq-get -an -D q; done' >/dev/null
	local two=$bg_pid
	for _ in {1..100}; do
		mpq-stat q >now
		cat now >>all
	done
	: >stop
	reap "$one"
	reap "$two"
	awk '{ v[$1] = $2 }
		$1 == "created" {
			n++
			if (v["unfinished"] != v["puts"] - v["dones"]) { print "unfinished"; bad = 1 }
			if (v["size"] + v["held"] > v["unfinished"]) { print "size and held"; bad = 1 }
			if (v["size"] == 0 && v["bytes"] != 0 || v["bytes"] < v["size"]) { print "bytes"; bad = 1 }
			if (bad) { for (k in v) print k, v[k]; exit 1 }
			puts[v["puts"]] = 1
		}
		END { if (bad) exit 1; for (p in puts) moved++; print n " looks, " moved " states"; exit !(n == 100 && moved > 1) }' all
}

@test "ls prints the names, one a line, and nothing else" {
	mpq-create b
	mpq-create a.c-d_e
	mpq-create _0
	mpq-close b
	: >"$MPQ_DIR/other"
	try 0 mpq-ls
	[[ -z $stderr ]]
	[[ $(sort <<<"$output") == "$(printf '%s\n' _0 a.c-d_e b | sort)" ]]
	try 0 mpq-ls b _0
	[[ $(sort <<<"$output") == "$(printf '%s\n' _0 b | sort)" ]]
}

@test "ls sorts by the bytes of the names, whatever the locale; operands stay in their order, ends too" {
	local name
	for name in b a.c a-c B _0 a 10 9; do
		mpq-create "$name"
	done
	mpq-pipe p
	LC_ALL=C.UTF-8 try 0 mpq-ls
	[[ $output == "$(printf '%s\n' 10 9 B _0 a a-c a.c b p)" ]]
	try 0 mpq-ls -l
	[[ $(cut -d ' ' -f 1 <<<"$output") == "$(printf '%s\n' NAME 10 9 B _0 a a-c a.c b p@1 p@2)" ]]
	try 0 mpq-ls b p@2 a b
	[[ $output == $'b\np@2\na\nb' ]]
	try 0 mpq-ls -l p@2 p
	[[ $(cut -d ' ' -f 1 <<<"$output") == $'NAME\np@2\np@1\np@2' ]]
}

@test "ls: a NAME that is missing is 6 and named; the others are listed, in every form" {
	mpq-create a
	mpq-create b
	try 6 mpq-ls a none b
	[[ $output == $'a\nb' && $stderr == "mpq-ls: none: "* && ${#stderr_lines[@]} -eq 1 ]]
	try 6 mpq-ls -l none a
	[[ ${#lines[@]} -eq 2 && ${lines[1]} == "a "* ]]
	need_json
	try 6 mpq-ls -J none a nix
	[[ $(json 0.name <<<"$output") == a && ${#stderr_lines[@]} -eq 2 ]]
	try 6 mpq-ls -J none
	[[ $output == '[]' ]]
}

@test "ls -J of a pipe: an object an end, of kind pipe; a mode is text" {
	need_json
	mpq-pipe -M 660 p
	try 0 mpq-ls -J p
	[[ "$(json 0.name <<<"$output") $(json 1.name <<<"$output")" == "p@1 p@2" ]]
	[[ "$(json 0.kind <<<"$output") $(json 1.kind <<<"$output")" == "pipe pipe" ]]
	[[ $(json 0.mode/ <<<"$output") == string && $(json 0.mode <<<"$output") == 0660 ]]
	[[ $(json 1.created/ <<<"$output") == number && $(json 1 <<<"$output") == "$keys" ]]
}

@test "ls of a directory that may not be read: 1, and it is named" {
	mpq-create -M 666 q
	as_nobody 0 mpq-ls
	chmod 711 "$MPQ_DIR"
	try 1 setpriv --reuid nobody --regid nogroup --clear-groups mpq-ls
	complains "mpq-ls: $MPQ_DIR"
	try 0 setpriv --reuid nobody --regid nogroup --clear-groups mpq-ls q
	[[ $output == q ]]
}

@test "ls where no queue is: nothing, and 0; -J: an empty array" {
	try 0 mpq-ls
	silent
	need_json
	try 0 mpq-ls -J
	[[ $(json '' <<<"$output") == array && ${output//[[:space:]]/} == '[]' ]]
}

@test "ls -l: a table, with a line for each queue that shows its numbers" {
	mpq-create q
	mpq-create -m 77777 r
	seq 4321 | mpq-put r
	mpq-close r
	try 0 mpq-ls -l
	[[ -z $stderr ]]
	(($(grep -cw q <<<"$output") == 1 && $(grep -cw r <<<"$output") == 1))
	grep -w r <<<"$output" | grep -w closed | grep -qw 4321
	grep -w q <<<"$output" | grep -qw open
	try 0 mpq-ls r --long
	grep -qw r <<<"$output"
	if grep -w q <<<"$output"; then
		return 1
	fi
}

@test "ls -J: an array of the objects that stat -J prints" {
	need_json
	mpq-create q
	mpq-create r
	mpq-put r a b
	try 0 mpq-ls -J
	[[ -z $stderr && $(json '' <<<"$output") == array && $(json 0/ <<<"$output") == object ]]
	[[ "$(json 0.name <<<"$output") $(json 1.name <<<"$output")" =~ ^(q r|r q)$ ]]
	try 0 mpq-ls --json r
	[[ $(json 0.name <<<"$output") == r && $(json 0.size <<<"$output") == 2 ]]
	[[ $(json 0.size/ <<<"$output") == number ]]
	[[ $(json 0 <<<"$output") == "$keys" ]]
}

@test "ls prints a pipe's name once; -l an end a line; stat takes an end, not the bare name" {
	mpq-pipe p
	mpq-create q
	try 0 mpq-ls
	[[ $(sort <<<"$output") == $'p\nq' ]]
	try 0 mpq-ls -l
	[[ $(grep -o 'p@[12]' <<<"$output" | sort | paste -sd ' ') == "p@1 p@2" ]]
	try 0 mpq-stat -k kind p@1
	[[ $output == pipe ]]
	try 1 mpq-stat p
	try 1 mpq-stat q@1
}

@test "damaged is a state: only name, state, mode and owner are said, and the status of stat is 1" {
	need_json
	mpq-create q
	mpq-create r
	half q
	try 1 mpq-stat q
	[[ $stderr == "mpq-stat: q: "?* ]]
	[[ $(cut -d ' ' -f 1 <<<"$output" | paste -sd ' ') == "name state mode owner" ]]
	grep -qx 'name q' <<<"$output"
	grep -qx 'state damaged' <<<"$output"
	grep -qx "owner $(id -un)" <<<"$output"
	try 1 mpq-stat -k state q
	[[ $output == damaged ]]
	try 1 mpq-stat -k size q
	[[ -z $output ]]
	try 1 mpq-stat -J q
	[[ $(json state <<<"$output") == damaged ]]
	[[ $(json . <<<"$output") == "name state mode owner" ]]
	try 1 mpq-stat --test empty q
	[[ -z $output ]]
}

@test "ls of a damaged queue among others: listed, with its state, and the others with theirs" {
	need_json
	mpq-create a
	mpq-create q
	mpq-create z
	half q
	try 0 mpq-ls
	[[ $(sort <<<"$output") == $'a\nq\nz' ]]
	try 0 mpq-ls -l
	grep -w q <<<"$output" | grep -qw damaged
	grep -w a <<<"$output" | grep -qw open
	grep -w z <<<"$output" | grep -qw open
	try 0 mpq-ls -J
	local i
	for i in 0 1 2; do
		printf '%s %s\n' "$(json "$i.name" <<<"$output")" "$(json "$i.state" <<<"$output")"
	done | sort >states
	[[ $(<states) == $'a open\nq damaged\nz open' ]]
}

@test "denied is a state: only name, state, mode and owner are said, and the status of stat is 1" {
	mpq-create q
	mpq-create -M 666 r
	as_nobody 1 mpq-stat q
	[[ $stderr == "mpq-stat: q: "?* ]]
	[[ $(cut -d ' ' -f 1 <<<"$output" | paste -sd ' ') == "name state mode owner" ]]
	grep -qx 'name q' <<<"$output"
	grep -qx 'state denied' <<<"$output"
	grep -qEx 'mode 0?600' <<<"$output"
	grep -qx "owner root" <<<"$output"
	as_nobody 1 mpq-stat -k state q
	[[ $output == denied ]]
	as_nobody 0 mpq-ls -l
	grep -w q <<<"$output" | grep -qw denied
	grep -w r <<<"$output" | grep -qw open
	as_nobody 0 mpq-stat -k state r
	[[ $output == open ]]
}

@test "memory: an empty queue takes less than 64 KB" {
	small_pages
	mpq-create q
	takes_less 65536
	mpq-put q a b c
	mpq-get -c 3 -D q
	takes_less 131072
}

@test "memory: what stat says is what the file system has given" {
	small_pages
	mpq-create q
	seq 100000 | mpq-put q
	local memory disk
	memory=$(mpq-stat -k memory q)
	disk=$(allocated)
	printf 'memory %s, allocated %s\n' "$memory" "$disk"
	((memory >= 588895 && memory - disk <= 65536 && disk - memory <= 65536))
}

@test "memory: 1,000,000 queued lines of 16 bytes take less than 18 MB, and less than 1 MB when they are got" {
	small_pages
	mpq-create q
	seq -f '%015.0f' 1000000 >lines
	[[ $(stat -c %s lines) == 16000000 ]]
	try 0 mpq-put q <lines
	is size 1000000 bytes 15000000
	takes_less $((18 * 1024 * 1024))
	try 0 bash -c 'mpq-get -an q | cmp - lines'
	is size 0 bytes 0
	takes_less $((1024 * 1024))
}

@test "memory: what a queue has grown by goes back when holders' and single gets drain it" {
	small_pages
	mpq-create q
	seq -f '%0999.0f' 8000 >lines
	try 0 mpq-put q <lines
	live_pid
	try 0 mpq-get -c 4000 -o "$pid" q
	try 0 mpq-task-done -a -o "$pid" q
	try 0 mpq-get -aD -n q
	is size 0 held 0 unfinished 0
	takes_less $((1024 * 1024))
}
