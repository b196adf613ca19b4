#!/usr/bin/env bats
# mpq-work at its limits: many messages, many kills, output larger than memory, and no room, processes or descriptors.
#
# Two tests have a long form, with MPQ_LONG=1 in the environment (make work-long). Not for sanitizers: they keep memory that was
# given back, and cannot work under strace.
# shellcheck disable=SC2154,SC2217 # bg_pid, status, stderr: helpers and bats set them; bg is a helper
# shellcheck disable=SC2016 # what is in '' is for the shells that mpq-work starts

load helpers

# setup_queue [MESSAGE ...]: q has these and is closed.
setup_queue() {
	mpq-create q
	(($# == 0)) || mpq-put q "$@"
	mpq-close q
}

# figures TEXT: for whoever runs the test, as a comment of TAP.
figures() {
	printf '# %s\n' "$*" >&3
}

# comes QUEUE KEY VALUE PID [SECONDS]: looks so often until the number is reached, as long as the process lives and the
# number grows at least once a minute.
comes() {
	local value last='' deadline=0
	while value=$(mpq-stat -k "$2" "$1") && ((value < $3)); do
		kill -0 "$4" || return
		[[ $value == "$last" ]] || deadline=$((SECONDS + 60))
		((SECONDS < deadline)) || return
		last=$value
		sleep "${5-0.01}"
	done
	((value >= $3))
}

# ---- many messages -------------------------------------------------------------------------------------------------

# What a worker uses, from /proc: memory in KB, of its own (RssAnon), of files, of the queue; descriptors; children, zombies
# among them; names in TMPDIR; the queue's bytes.
sample() {
	local key value rest fds children names
	while read -r key value rest; do
		case $key in
		RssAnon:) used[anon]=$value ;;
		RssFile:) used[file]=$value ;;
		RssShmem:) used[shared]=$value ;;
		VmData:) used[data]=$value ;;
		VmStk:) used[stack]=$value ;;
		esac
	done <"/proc/$1/status"
	fds=("/proc/$1/fd/"*)
	read -r -a children <"/proc/$1/task/$1/children" || :
	names=$(ls -A "$TMPDIR")
	used[fds]=${#fds[@]} used[children]=${#children[@]} used[names]=$(wc -w <<<"$names")
	used[queue]=$(mpq-stat -k memory q)
}

@test "flat: a stream of messages does not grow the worker: memory, descriptors, children, files, the queue" {
	local n=20000 i key worker
	local -A used=() base=() most=()
	((${MPQ_LONG-0} == 0)) || n=1000000
	mkdir tmp
	local -x TMPDIR=$PWD/tmp
	[[ -r /proc/self/task/$BASHPID/children || -r /proc/$$/task/$$/children ]] || skip "no children in /proc"
	mpq-create -m 500 q
	bg mpq-work -j2 --joblog /dev/null q true
	worker=$bg_pid
	bg mpq-put q < <(exec seq "$n")
	# Two parts of twenty warm up; at the end of each there is a sample, and one more when nothing is to be done.
	for ((i = 2; i <= 20; i++)); do
		comes q dones $((n * i / 20)) "$worker" 0.1
		sample "$worker"
		for key in "${!used[@]}"; do
			[[ -v base[$key] ]] || base[$key]=${used[$key]}
			((used[$key] < ${most[$key]:-0})) || most[$key]=${used[$key]}
		done
	done
	wait_stat getters 1 q
	sample "$worker"
	for key in "${!used[@]}"; do
		figures "$n messages: $key ${base[$key]} at first, at most ${most[$key]}, ${used[$key]} at the end"
	done
	# Pages are touched late, jobs come and go; what one message in a hundred leaves behind is more than that.
	((most[anon] <= base[anon] + 64 && most[file] <= base[file] + 64 && most[shared] <= most[queue] / 1024 + 64))
	((most[data] == base[data] && most[stack] == base[stack]))
	((most[queue] <= base[queue] + 262144))
	((most[fds] <= base[fds] + 2 && used[fds] <= base[fds]))
	((most[children] <= 3 && used[children] == 1))
	((most[names] == 0))
	mpq-close q
	reap "$worker"
	[[ $status == 0 ]]
	stat_is dones "$n" q
}

# ---- many kills ----------------------------------------------------------------------------------------------------

# A worker's job: it says which message it runs, and which attempt at it; what ends with 7 fails.
ran='echo "$1 $MPQ_ATTEMPT" >>ran; case $1 in *7) exit 1 ;; esac'

worker() {
	bg mpq-work -j2 -d dead --joblog log q sh -c "$ran" sh
	pids[$1]=$bg_pid
}

@test "kills: ten workers killed at random; each message ends done or dead as COMMAND said, the joblogs add up" {
	local n=2000 kills=20 part seed=${MPQ_SEED:-$RANDOM} i k pids=() lines extra
	((${MPQ_LONG-0} == 0)) || n=20000 kills=200
	part=$((n / kills))
	printf 'MPQ_SEED=%s\n' "$seed"
	RANDOM=$seed
	mpq-create q
	mpq-create dead
	seq "$part" | mpq-put q
	for i in {0..9}; do
		worker "$i"
	done
	# A part of the messages for each kill, which comes at a random point of it; the next part is there already, so nobody
	# is idle, and the queue is open until the last kill, so nobody has ended.
	for ((k = 1; k <= kills; k++)); do
		((k == kills)) || seq $((k * part + 1)) $((k * part + part)) | mpq-put q
		i=$((RANDOM % 10))
		comes q dones $((k * part - part + RANDOM % part)) "${pids[i]}"
		kill -KILL "${pids[i]}"
		reap "${pids[i]}"
		[[ $status == 137 ]]
		worker "$i"
	done
	mpq-close q
	for i in {0..9}; do
		comes q dones "$n" "${pids[i]}" || :
	done
	timeout 20 mpq-join -C q
	for i in {0..9}; do
		reap "${pids[i]}"
		[[ $status == 0 || $status == 11 ]]
	done
	counts q 0 0 0
	stat_is dones "$n" q
	# A kill takes two runs with it at most: so many may have come again.
	timeout 20 mpq-get -an dead >died
	sort -nu died | cmp - <(seq 7 10 "$n")
	extra=$(($(wc -l <died) - n / 10))
	figures "$n messages, $kills kills, seed $seed: $extra dead letters came again"
	((extra <= 2 * kills))
	# Every message has a line in the log, and each line says what COMMAND does with it.
	tail -n +2 log | cut -f 1 | sort -nu | cmp - <(seq "$n")
	[[ -z $(awk -F '\t' 'NR > 1 { want = $1 ~ /7$/ ? 1 : 0; if ($7 != want || $8 != 0) print }' log) ]]
	(($(grep -c ^Seq log) == 1))
	lines=$(($(wc -l <log) - 1))
	extra=$((lines - n))
	# It has run for every line, at most once for each attempt, and for no more than the kills explain.
	cut -d ' ' -f 1 ran | sort -nu | cmp - <(seq "$n")
	[[ -z $(sort ran | uniq -d) ]]
	figures "$(wc -l <ran) runs, $lines lines in the log, $(sort -k 2nr ran | head -n 1 | cut -d ' ' -f 2) attempts at most"
	((extra <= 2 * kills && lines <= $(wc -l <ran) && $(wc -l <ran) - n <= 2 * kills))
}

# ---- output larger than memory, and no room for it -------------------------------------------------------------------

# rest FIRST LAST: as seq, behind a read of the first.
rest() {
	seq "$(($1 + 1))" "$2"
}

# Two jobs write 331 MB and 90 MB. Which of them ends first is theirs.
both_whole() {
	local first
	read -r first
	if ((first == 1)); then
		cmp - <(rest 1 38000000 && seq 50000000 60000000)
	else
		cmp - <(rest 50000000 60000000 && seq 1 38000000)
	fi
}

@test "output larger than the worker's memory comes whole, in order, not mixed with another job's" {
	local room
	room=$(df -Pk . | awk 'NR == 2 { print $4 }')
	((room > 600000)) || skip "less than 600 MB on disk"
	set -o pipefail
	setup_queue '1 38000000' '50000000 60000000'
	TMPDIR=$PWD bash -c 'ulimit -v 65536; exec timeout 200 mpq-work -j2 q sh -c "exec seq \$1" sh' | both_whole
	counts q 0 0 0
}

# "${small_tmp[@]}" KB COMMAND ...: with a TMPDIR of that size, a file system of its own that only COMMAND sees.
needs_mounts() {
	local how
	needs unshare
	for how in -m -rm; do
		small_tmp=(env "TMPDIR=$PWD/tmp" unshare "$how"
			sh -c 'mount -t tmpfs -o "size=$1k" none "$TMPDIR" && shift && exec "$@"' sh)
		mkdir -p tmp
		! "${small_tmp[@]}" 64 true 2>/dev/null || return 0
	done
	skip "no file system can be mounted here"
}

@test "no room for output in TMPDIR: status 1, the reason, no half output; the message stays, whatever COMMAND says" {
	needs_mounts
	local end
	for end in 0 1; do
		setup_queue m
		mpq-create dead
		status=0
		timeout 20 "${small_tmp[@]}" 64 mpq-work -d dead q sh -c "seq 100000 2>/dev/null; exit $end" >out 2>err || status=$?
		[[ $status == 1 && ! -s out && $(<err) == "mpq-work: $PWD/tmp: output of a job: No space left on device" ]]
		counts q 1 0 1
		stat_is size 0 dead
		try 0 mpq-work q echo # where there is room
		[[ $output == m ]]
		mpq-rm q dead
	done
}

@test "no room for output in TMPDIR: the message of each job that ran then stays" {
	needs_mounts
	setup_queue large small
	mkfifo full room
	bg "${small_tmp[@]}" 64 mpq-work -j2 q sh -c 'case $1 in
		large) seq 100000 2>/dev/null; echo >full; read -r x <room ;;
		small) read -r x <full; echo small ;;
		esac' sh >out 2>err
	wait_until grep -q space err # small has ended, and what it had is free again
	timeout 10 sh -c 'echo >room'
	reap "$bg_pid"
	[[ $status == 1 && ! -s out ]]
	has_lines 1 err
	counts q 2 0 2
	try 0 mpq-work -j1 q echo
	[[ $output == $'large\nsmall' ]]
}

@test "a full TMPDIR is found before any message is taken; -u does not need it" {
	needs_mounts
	setup_queue m
	status=0
	"${small_tmp[@]}" 64 bash -c 'head -c 100000 /dev/zero >"$TMPDIR/filler" 2>/dev/null; exec mpq-work q touch run' 2>err || status=$?
	[[ $status == 1 && $(<err) == "mpq-work: $PWD/tmp: No space left on device" && ! -e run ]]
	counts q 1 0 1
	"${small_tmp[@]}" 64 bash -c 'head -c 100000 /dev/zero >"$TMPDIR/filler" 2>/dev/null; exec mpq-work -u q echo' >out
	[[ $(<out) == m ]]
}

@test "output that fits exactly, and that of a job after it, are whole" {
	needs_mounts
	setup_queue 49152 0 49152
	timeout 20 "${small_tmp[@]}" 64 mpq-work -j1 q sh -c 'head -c "$1" /dev/zero' sh >out
	(($(wc -c <out) == 98304))
}

# ---- no processes, no descriptors ------------------------------------------------------------------------------------

# A job that says it has begun, and at which attempt, and ends when the test writes a line to "go".
gated='echo "$1 $MPQ_ATTEMPT" >>begun; read -r x <go'

setup_gate() {
	: >begun
	mkfifo go
	exec 8<>go
}

# open_gate N: so many jobs may end.
open_gate() {
	printf '\n%.0s' $(seq "$1") >&8
}

# refusing FROM TO COMMAND ...: the starts of jobs with these numbers fail, and all from FROM on if TO is empty; 0: that of
# the watchdog too. With glibc it is made by the same call as they; with musl by fork(2).
refusing() {
	local from=$1 to=$2 calls=clone before=1
	shift 2
	if grep -q fork calls.probe; then
		before=0
	fi
	if ((from == 0)); then
		calls=clone,fork,vfork before=1
	fi
	bg strace -qq -o calls -e trace="$calls" -e \
		"inject=$calls:error=EAGAIN:when=$((from + before))${to:+..$((to + before))}$([[ $to ]] || echo +)" "$@"
}

needs_strace() {
	needs strace
	strace -qq -o /dev/null true 2>/dev/null || skip "strace is not allowed here"
	mpq-create probe
	mpq-put probe x
	strace -qq -o calls.probe -e trace=clone,fork,vfork mpq-work -n -j1 probe true
	mpq-rm probe
}

refused() {
	(($(grep -c 'EAGAIN.*INJECTED' calls) == $1))
}

@test "no process can be started: those that run go on, the others come later, each attempt is the first" {
	needs_strace
	setup_queue a b c d
	setup_gate
	refusing 2 5 mpq-work -j3 q sh -c "$gated" sh
	wait_until has_lines 3 begun
	refused 4
	counts q 1 3 4
	open_gate 4
	reap "$bg_pid"
	[[ $status == 0 ]]
	counts q 0 0 0
	[[ $(sort begun) == $'a 1\nb 1\nc 1\nd 1' ]]
}

@test "no process can be started for a retry: it comes later, and only starts are counted as attempts" {
	needs_strace
	setup_queue stays fails
	setup_gate
	refusing 3 5 mpq-work -j2 -T 2 q sh -c 'test "$1" = stays || { echo "$1 $MPQ_ATTEMPT" >>begun; exit 1; }; '"$gated" sh
	wait_until has_lines 3 begun
	refused 3
	open_gate 1
	reap "$bg_pid"
	[[ $status == 11 ]]
	[[ $(sort begun) == $'fails 1\nfails 2\nstays 1' ]]
}

@test "no process can be started at all: status 1, the reason, the message stays" {
	needs_strace
	setup_queue a b
	refusing 1 '' mpq-work -j2 q true 2>err
	reap "$bg_pid"
	[[ $status == 1 && $(<err) == 'mpq-work: q: job: Resource temporarily unavailable' ]]
	counts q 2 0 2
	rm calls
	refusing 0 '' mpq-work -j2 q true 2>err # nor the watchdog
	reap "$bg_pid"
	[[ $status == 1 && $(<err) == 'mpq-work: watchdog: Resource temporarily unavailable' ]]
	counts q 2 0 2
}

# A window's timer may fire just before it is stopped; then its signal is pending when the worker gives up its handlers.
# Here a signal becomes pending in each wait for a child, and the last of those, for the watchdog, is after the last window.
@test "a timer's signal that comes after the last window does not end the worker; one of the user's does" {
	local late=(env '--default-signal=ALRM,TERM' strace -qq -o calls -e trace=wait4 -e)
	needs_strace
	setup_queue
	try 143 "${late[@]}" inject=wait4:signal=TERM mpq-work q true
	try 0 "${late[@]}" inject=wait4:signal=ALRM mpq-work q true
	grep '^wait4' calls
	mpq-rm q
	setup_queue a b
	try 0 "${late[@]}" inject=wait4:signal=ALRM mpq-work -j1 q echo
	[[ $output == $'a\nb' ]]
	[[ $(grep -c "^--- SIGALRM" calls) -ge 2 ]] # those of the jobs' waits were let in by a window
	[[ $(tail -n 1 calls) == wait4* ]]
	counts q 0 0 0
}

@test "the limit of processes: a worker whose user may have no more goes on with those it has" {
	needs setpriv prlimit
	local user=$((1000000 + $$ % 1000000))
	cp "$(command -v mpq-work)" "$test_dir/mpq-work"
	setup_queue a b c d
	cd "$test_dir"
	setup_gate
	chown -R "$user" . 2>/dev/null || skip "this needs root"
	user_runs=(setpriv "--reuid=$user" "--regid=$user" --clear-groups prlimit --nproc=3)
	"${user_runs[@]}" ./mpq-work --version >/dev/null || skip "another user cannot run it"
	bg "${user_runs[@]}" env TMPDIR=. ./mpq-work -j3 q sh -c "$gated" sh # worker, watchdog, and one more
	wait_stat held 2 q # one runs, one waits, and no other is taken, though there is a place for it
	wait_until has_lines 1 begun
	wait_until napped "$bg_pid" $(($(naps "$bg_pid") + 2)) # it has slept, and looked, and sleeps
	counts q 2 2 4
	open_gate 4
	reap "$bg_pid"
	[[ $status == 0 ]]
	[[ $(sort begun) == $'a 1\nb 1\nc 1\nd 1' ]]
	counts q 0 0 0
}

@test "the limit of descriptors: a worker that may have no more goes on with those it has" {
	needs perl prlimit
	setup_queue a b c d
	setup_gate
	# 0 to 2, an empty input, the watchdog's pipe, and two files for each of three jobs, not four. Those of jobs that have
	# ended must not be kept from the one that waits.
	bg perl -e 'use POSIX; POSIX::close($_) for 3 .. 1000; exec @ARGV' prlimit --nofile=12 mpq-work -j4 q sh -c "$gated" sh >out 2>err
	wait_stat held 4 q
	wait_until has_lines 3 begun
	open_gate 4
	reap "$bg_pid"
	[[ $status == 0 && ! -s err ]]
	[[ $(sort begun) == $'a 1\nb 1\nc 1\nd 1' ]]
	counts q 0 0 0
}

@test "no descriptor at all for a job: status 1, the reason, the message stays" {
	needs prlimit
	setup_queue a
	status=0
	timeout 20 prlimit --nofile=6 mpq-work -j1 q true >out 2>err || status=$?
	[[ $status == 1 ]]
	grep -Eq '^mpq-work: .*(Too many open files|No file descriptors available|temporarily unavailable)$' err
	counts q 1 0 1
}
