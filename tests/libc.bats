#!/usr/bin/env bats
# Commands linked with the one C library and with the other work on one queue at once: its layout and its lock are ours.
# shellcheck disable=SC2016,SC2154,SC2217 # inner shells expand; bg_pid, status, output: set elsewhere; bg is a helper

load helpers

# linked_with BUILD: the C library of what lies there.
linked_with() {
	local cc
	read -r cc _ <"$1/settings" || return
	case $cc in musl-gcc) echo musl ;; *) echo glibc ;; esac
}

setup_file() {
	local root=${BATS_TEST_DIRNAME%/*} other=musl
	[[ $(linked_with "$root/build") == glibc ]] || other=glibc
	export OTHER=$root/build/$other OTHER_WHY=''
	if [[ $other == musl ]] && ! command -v musl-gcc >/dev/null; then
		OTHER_WHY="musl-gcc is not here"
	elif [[ $other == glibc ]] && ! gcc -static -o "$BATS_FILE_TMPDIR/empty" -x c - <<<'int main(void) { return 0; }'; then
		OTHER_WHY="gcc cannot link with a static glibc here"
	else
		# Its own settings, not those that the make above was given.
		env -u MAKEFLAGS -u MAKELEVEL make -s -C "$root" BUILD="build/$other" LIBC="$other" all >&2 || return
		[[ $(linked_with "$OTHER") == "$other" ]]
	fi
}

# the_other: skips where it cannot be built; sets $other, a prefix of its commands.
the_other() {
	[[ -z $OTHER_WHY ]] || skip "$OTHER_WHY"
	other=$OTHER/bin/mpq
}

@test "what one kind puts the other gets, in every framing, byte for byte" {
	the_other
	mpq-create q
	filler 200000 >long
	mpq-put q a
	"$other-put" q b ''
	mpq-put -r q <long
	printf 'x\0y\0' | "$other-put" -0 q
	frame length long long | mpq-put -L q
	frame length long | "$other-put" -L q
	"$other-get" -c 2 q >got
	[[ $(<got) == $'a\nb' ]]
	try 0 mpq-get q
	[[ -z $output ]]
	"$other-get" -r q | cmp - long
	try 0 mpq-get -c 2 q
	[[ $output == $'x\ny' ]]
	"$other-get" -L -c 2 q | cmp - <(frame length long long)
	mpq-get -r q | cmp - long
	try 3 "$other-get" -n q
	try 0 "$other-stat" -k unfinished q
	[[ $output == 9 ]]
}

@test "producers and getters of both kinds at once: all of it, once, and each producer's in order" {
	the_other
	mpq-create -m 1000 q
	bg bash -c 'seq 1 20000 | mpq-put q'
	local one=$bg_pid two getter put
	bg bash -c 'seq 100001 120000 | "$0-put" q' "$other"
	two=$bg_pid
	bg mpq-get -aD q >got.ours
	getter=$bg_pid
	bg "$other-get" -aD q >got.other
	put=$bg_pid
	reap "$one" && [[ $status == 0 ]]
	reap "$two" && [[ $status == 0 ]]
	mpq-close q
	"$other-join" q
	reap "$getter" && [[ $status == 0 ]]
	reap "$put" && [[ $status == 0 ]]
	sort -n got.ours got.other | cmp - <(seq 1 20000 && seq 100001 120000)
	local file
	for file in got.ours got.other; do
		awk '$1 < 100000 { if ($1 <= a) exit 1; a = $1; next } { if ($1 <= b) exit 1; b = $1 }' "$file"
	done
}

@test "each kind sees the holds of the other, gives them back when the holder is dead, and ends them" {
	the_other
	mpq-create q
	mpq-put q a b c
	live_pid
	local holder=$pid
	try 0 "$other-get" -o "$holder" q
	try 0 mpq-get -o "$holder" q
	stat_is held 2 q
	try 8 "$other-join" -n q
	try 0 mpq-task-done -o "$holder" q
	stat_is held 1 q
	kill -KILL "$holder"
	wait_stat held 0 q
	try 0 "$other-get" -D -c 2 q
	[[ $output == $'b\nc' ]]
	try 0 mpq-join -n q
}

@test "each kind waits for the other, and is woken by it" {
	the_other
	mpq-create q
	bg "$other-get" q >got
	wait_stat getters 1 q
	mpq-put q a
	reap "$bg_pid"
	[[ $status == 0 && $(<got) == a ]]
	bg mpq-join q
	"$other-task-done" q
	reap "$bg_pid"
	[[ $status == 0 ]]
}

@test "kill -9 of one kind in the middle of a stream: the other gets the beginning of it and goes on" {
	the_other
	local round pair=(mpq "$other") putter taker put n
	for round in {1..10}; do
		putter=${pair[round % 2]} taker=${pair[1 - round % 2]}
		mpq-create "q$round"
		mkfifo "fifo$round"
		exec 7<>"fifo$round"
		bg "$putter-put" "q$round" <"fifo$round"
		put=$bg_pid
		bg awk 'BEGIN { for (i = 1; ; i++) print i }' >"fifo$round"
		exec 7>&-
		wait_until put_begun "q$round"
		kill -KILL "$put"
		reap "$put"
		try 0 "$taker-put" "q$round" end
		timeout -k 1 20 "$taker-get" -an "q$round" >got
		[[ $(tail -n 1 got) == end ]]
		n=$(($(wc -l <got) - 1))
		((n > 400))
		cmp <(head -n "$n" got) <(seq "$n")
		stat_is held 0 "q$round"
		mpq-rm "q$round"
	done
}

put_begun() {
	(($(mpq-stat -k puts "$1") > 400))
}

# A removal makes system calls under the lock, no other operation does: so that is where the lock's owner can be killed.
@test "kill -9 of one kind with the lock in hand: the other gets the lock and finishes the work" {
	the_other
	command -v strace >/dev/null || skip "strace is not here"
	strace -qq -o trace true 2>/dev/null || skip "strace may not trace here"
	local pair=(mpq "$other") i
	for i in 0 1; do
		mpq-create q
		mpq-put q a
		status=0
		timeout -k 1 20 strace -qq -o trace -e trace=unlink,unlinkat -e inject=unlink,unlinkat:signal=KILL:error=EIO \
			"${pair[i]}-rm" q || status=$?
		((status == 137))
		[[ -e $MPQ_DIR/mpq.q ]]
		try 6 "${pair[1 - i]}-get" -n q
		[[ ! -e $MPQ_DIR/mpq.q ]]
	done
}
