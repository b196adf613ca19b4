#!/usr/bin/env bash
# Kill torture with a ledger.
#
# usage: ledger.sh [SECONDS [SEED]]   kill for that long (20), let the living finish, judge what they have written down
#        ledger.sh --judge DIRECTORY  judge such a directory once more
#
# Producers write "trying ID ." before and "put ID ." after a put; getters write what they get; holders write "finishing
# ID ." before and "done ID ." after their task-done. Each line goes to a file of the process's own, in one write, so a
# kill cuts off its end at worst. Names: p1 is a producer, s2 a get -a, g3 one get after another, h4 a holder; the
# message p1.7 is the seventh of p1. All of one process's group are killed at once, by SIGKILL, at any moment.
#
# Judged: every message put is delivered; one that was only tried, not at all or like any other; none comes twice, but
# for the last ones that a killed getter wrote, at most a pipe's worth; each is whole; nothing hangs; the numbers of
# mpq-stat agree with the ledger.

set -u
export LC_ALL=C

main() {
	case ${1-} in
	--judge)
		cd "$2" && judge
		;;
	--worker)
		RANDOM=$4
		"$2" "$3"
		;;
	*)
		torture "${1:-20}" "${2:-${MPQ_SEED:-$RANDOM}}"
		;;
	esac
}

# ---- the workers, each a process group of its own ----

# compose ID: sets $message, which says itself what it is, how long, and once more what it is.
compose() {
	local length=$((RANDOM % 200 + 1))
	((RANDOM % 50)) || length=70000 # more than a chunk and a pipe
	message="$1 $length ${padding:0:length} $1"
}

produce() {
	local i=0 count ids messages message padding status
	printf -v padding '%070000d' 0
	while [[ ! -e stop ]]; do
		ids=() messages=() status=0
		for ((count = RANDOM % 3 ? 1 : RANDOM % 60 + 1; count > 0; count--)); do
			compose "$1.$((++i))"
			ids+=("$1.$i")
			messages+=("$message")
		done
		printf 'trying %s .\n' "${ids[@]}" >>"$1.log"
		if ((RANDOM % 2)); then
			mpq-put q "${messages[@]}" || status=$?
		else
			printf '%s\n' "${messages[@]}" | mpq-put q || status=$?
		fi
		((status == 0)) || complain "$1" "put $status"
		printf 'put %s .\n' "${ids[@]}" >>"$1.log"
	done
}

stream() {
	exec mpq-get -a -D q >>"$1.out"
}

get() {
	local status=0
	while ((status == 0 || status == 3)); do
		status=0
		mpq-get -D -t 10 -c $((RANDOM % 3 + 1)) q >>"$1.out" || status=$?
	done
	((status == 5)) || complain "$1" "get $status"
}

hold() {
	local message id status=0
	while ((status == 0 || status == 3)); do
		status=0
		message=$(mpq-get -t 10 -o $$ q) || status=$?
		((status == 0)) || continue
		id=${message%% *}
		[[ $message == "$id "*" $id" ]] || complain "$1" "torn $message"
		if ((RANDOM % 4)); then
			printf 'finishing %s .\n' "$id" >>"$1.log"
			mpq-task-done -o $$ q || complain "$1" "task-done $?"
			printf 'done %s .\n' "$id" >>"$1.log"
		else
			mpq-task-done -R -o $$ q || complain "$1" "task-done -R $?"
		fi
	done
	((status == 5)) || complain "$1" "get -o $status"
}

complain() {
	printf '%s: %s\n' "$1" "$2" >>complaints
	exit 1
}

# ---- the killer ----

kinds=(produce produce produce produce stream stream stream get get hold hold hold)
pids=() names=() # of the worker in each slot
born=0 kills=0
own=    # the directory of the queue, when it is not the caller's
judged= # without a fault: nobody needs the ledger any more

torture() {
	printf 'ledger: %s seconds, seed %s\n' "$1" "$2"
	RANDOM=$2
	self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/${BASH_SOURCE[0]##*/} || exit
	PATH=${self%/*/*}/build/bin:$PATH
	[[ -n ${MPQ_DIR-} ]] || own=$(mktemp -d /dev/shm/mpq-ledger.XXXXXX) || exit
	export PATH MPQ_DIR=${MPQ_DIR:-$own}
	work=$(mktemp -d) && cd "$work" && mkfifo clock && exec {clock}<>clock || exit
	: >killed
	: >complaints
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	trap 'end_all; rm -rf "$own" ${judged:+"$work"}' EXIT
	mpq-create -m 500 q || exit
	local slot
	for slot in "${!kinds[@]}"; do
		start "$slot"
	done
	kill_for "$1"
	finish
	mpq-stat q >final || complain ledger "stat $?"
	mpq-join -nC q || complain ledger "join $?"
	mpq-rm q || complain ledger "rm $?"
	printf '%s kills\n' "$kills"
	judge || {
		printf 'the ledger is in %s\n' "$work"
		exit 1
	}
	judged=1
}

# start SLOT: a new worker there.
start() {
	born=$((born + 1))
	names[$1]=${kinds[$1]:0:1}$born
	setsid bash "$self" --worker "${kinds[$1]}" "${names[$1]}" "$RANDOM" </dev/null >/dev/null 2>>complaints 3>&- &
	pids[$1]=$!
}

# lives SLOT: its worker has not ended, so that its PID is not another's by now.
lives() {
	local list
	jobs -p >pids # no $(...), which would not know these jobs
	list=$(<pids)
	[[ $'\n'$list$'\n' == *$'\n'"${pids[$1]}"$'\n'* ]] && kill -0 "${pids[$1]}" 2>/dev/null
}

# send SIGNAL SLOT: to the worker's group; to itself alone when that is too young to have one.
send() {
	kill -s "$1" -- "-${pids[$2]}" 2>/dev/null || kill -s "$1" "${pids[$2]}" 2>/dev/null
}

nap() {
	local time
	printf -v time '0.%06d' "$1"
	read -r -t "$time" -u "$clock" _
}

kill_for() {
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) slot
	while ((${EPOCHREALTIME/[.,]/} < end)); do
		nap $((RANDOM % 10000))
		slot=$((RANDOM % ${#kinds[@]}))
		if ! lives "$slot"; then
			printf '%s has ended by itself\n' "${names[slot]}" >>complaints
			start "$slot"
		elif ((RANDOM % 4)); then
			printf '%s\n' "${names[slot]}" >>killed
			send KILL "$slot"
			wait "${pids[slot]}" 2>/dev/null
			kills=$((kills + 1))
			start "$slot"
		else
			send STOP "$slot"
			nap $((RANDOM % 20000))
			send CONT "$slot"
		fi
	done
}

# finish: the producers end, the queue is closed, and then the others must end by themselves.
finish() {
	: >stop
	await produce
	mpq-close q || complain ledger "close $?"
	await stream get hold
}

# await KIND ...: all of them end within 20 seconds.
await() {
	local end=$((${EPOCHREALTIME/[.,]/} + 20000000)) slot
	for slot in "${!kinds[@]}"; do
		[[ " $* " == *" ${kinds[slot]} "* ]] || continue
		while lives "$slot"; do
			((${EPOCHREALTIME/[.,]/} < end)) || {
				printf '%s hangs\n' "${names[slot]}" >>complaints
				ps -o pid,stat,wchan,args -g "${pids[slot]}" 2>/dev/null
				timeout 5 mpq-stat q
				break
			}
			nap 10000
		done
	done
}

end_all() {
	local slot
	for slot in "${!pids[@]}"; do
		! lives "$slot" || send KILL "$slot"
	done
}

# ---- the judge ----

judge() {
	[[ ! -s complaints ]] || sort complaints | uniq -c | sort -rn | head -n 20
	shopt -s nullglob
	set -- *.log *.out
	shopt -u nullglob
	if [[ -e final ]]; then
		set -- "$@" final
	fi
	awk "$judgement" killed "$@" && [[ ! -s complaints ]]
}

# shellcheck disable=SC2016 # awk expands
judgement='
function fault(what) {
	if (++faults <= 20) print "fault: " what
}

function delivered(message) {
	count[message]++
	deliveries++
}

FNR == 1 { name = FILENAME; sub(/\.[a-z]*$/, "", name) }
FILENAME == "killed" { killed[$1] = 1; next }
FILENAME == "final" { is[$1] = $2; next }

FILENAME ~ /\.log$/ {
	if (NF != 3 || $3 != ".") {
		if (!(name in killed)) fault(FILENAME " has a line that is not whole: " $0)
	} else if ($1 == "trying") tried[$2] = 1
	else if ($1 == "put") put[$2] = 1
	else if ($1 == "finishing") finishing[$2] = 1
	else if ($1 == "done") delivered($2)
	next
}

{
	last[name] = FNR
	if (NF == 4 && $1 == $4 && length($3) == $2) {
		got[name, FNR] = $1
		size[name, FNR] = length($0) + 1
		delivered($1)
	} else if (!(name in torn)) torn[name] = FNR
}

END {
	for (name in torn)
		if (!(name in killed) || torn[name] != last[name])
			fault(name " got a message that is not whole in line " torn[name])

	# What a killed getter has written at last may have come again: these messages, back to the first that has not.
	for (name in last) {
		if (!(name in killed)) continue
		bytes = 0
		for (line = last[name]; line > 0; line--) {
			if (!((name, line) in got)) continue
			message = got[name, line]
			if (count[message] < 2 || bytes > 0 && bytes + size[name, line] > 65536) break
			bytes += size[name, line]
			excused[message]++
		}
	}
	for (message in count) {
		if (!(message in tried)) fault(message " comes from nowhere")
		if (count[message] > 1) {
			again += count[message] - 1
			if (excused[message] < count[message] - 1) fault(message " came " count[message] " times")
		}
	}
	for (message in put) {
		puts++
		if (!(message in count) && !(message in finishing)) fault(message " was put and is lost")
	}
	for (message in tried) {
		tries++
		if (message in count || message in finishing) there++
	}
	printf "%d tried, %d put, %d delivered, %d again after a kill\n", tries, puts, deliveries, again

	if ("name" in is) {
		if (is["puts"] != there) fault("puts is " is["puts"] ", but " there " messages were there")
		if (is["dones"] != there) fault("dones is " is["dones"] ", but " there " messages were there")
		split("size bytes held unfinished getters putters", zero)
		for (i in zero)
			if (is[zero[i]] != "0") fault(zero[i] " is " is[zero[i]] " at the end")
		if (is["state"] != "closed") fault("state is " is["state"] " at the end")
		if (is["memory"] >= 1048576) fault("memory is " is["memory"] " at the end")
	}
	if (faults) print faults " faults"
	exit faults > 0
}'

main "$@"
