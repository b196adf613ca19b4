#!/usr/bin/env bats
# Framing: lines, -0, -r and -L on either side, messages of any bytes and of lengths where buffers end.

# shellcheck disable=SC2154 # run and helpers set the variables
load helpers

# flags KIND: sets the array flags to the options for frames of KIND, as in frame.
flags() {
	case $1 in
	newline) flags=() ;;
	null) flags=(-0) ;;
	raw) flags=(-r) ;;
	length | longlength) flags=(-L) ;;
	esac
}

# through IN OUT FILE ...: puts the content of each FILE, framed as IN (or argument: each as a MESSAGE), and gets all
# framed as OUT, which must give what frame makes of them.
through() {
	local in=$1 out=$2 file message flags
	shift 2
	case $in in
	argument)
		for file; do
			message=$(cat "$file" && printf x)
			timeout 20 mpq-put q "${message%x}"
		done
		;;
	raw)
		for file; do
			timeout 20 mpq-put -r q <"$file"
		done
		;;
	*)
		flags "$in"
		frame "$in" "$@" | timeout 20 mpq-put "${flags[@]}" q
		;;
	esac
	stat_is size "$#" q
	flags "$out"
	timeout 20 mpq-get -an "${flags[@]}" q >got
	frame "$out" "$@" >expected
	cmp got expected
	stat_is size 0 q
	stat_is bytes 0 q
}

# in_and_out IN FILE ...: makes q, and puts them through it as IN and out in every framing.
in_and_out() {
	local in=$1 out
	try 0 mpq-create q
	for out in newline null raw length; do
		through "$in" "$out" "${@:2}"
	done
}

# fillers NAME.LENGTH ...: makes these files, LENGTH bytes of a filler, from a place that differs with LENGTH.
fillers() {
	filler 6000000 >all
	perl -e 'local $/;
	         open(my $in, "<:raw", "all") or die;
	         my $all = <$in>;
	         for (@ARGV) {
	             my ($n) = /(\d+)$/;
	             open(my $out, ">:raw", $_) or die;
	             print $out substr($all, $n % 253, $n) or die;
	             close $out or die;
	         }' "$@"
}

# The messages of a test: of one line, with newlines, with NULs.
messages() {
	plain=() lines=() nulls=()
	local i text
	for text in one '' 'two words' ' leading and trailing ' $'\ttab\t' '' '' '-n' '%s\n' $'cr\r' $'\342\202\254' \
		$'\1\2\3\4\5\6\7\10\13\14\16\37\177' $'\200\377\376'; do
		plain+=("plain.${#plain[@]}")
		printf %s "$text" >"${plain[-1]}"
	done
	plain+=(plain.all)
	filler 253 >plain.all
	for text in $'\n' $'a\nb' $'\n\n\n' $'ends in one\n' $'\nbegins with one' '' $'\r\n'; do
		lines+=("lines.${#lines[@]}")
		printf %s "$text" >"${lines[-1]}"
	done
	for text in '\0' 'a\0b' '\0\0\0' 'a\0\n\0b\n' '\0\0\0\1x' '\377\377\377\377' '' '\n\0'; do
		nulls+=("nulls.${#nulls[@]}")
		# shellcheck disable=SC2059 # the escapes are meant
		printf "$text" >"${nulls[-1]}"
	done
	perl -e 'binmode STDOUT; print map { chr } 0 .. 255' >nulls.all
	perl -e 'binmode STDOUT; print map { chr } reverse 0 .. 255' >nulls.reverse
	nulls+=(nulls.all nulls.reverse)
	# Each length from 0 on, so that many frames of all small sizes follow each other.
	small=()
	for i in {0..70}; do
		small+=("small.$i")
	done
	fillers "${small[@]}"
}

# Lengths at which a page, a pipe, a buffer or a chunk ends, and far beyond, in both orders.
borders() {
	border=()
	local length
	for length in 0 1 4091 4092 4095 4096 4097 16384 65531 65532 65535 65536 65537 131071 131072 131073 1048575 \
		1048576 5242880; do
		border+=("border.$length")
	done
	fillers "${border[@]}"
	for length in 65537 65536 65535 1 0; do
		border+=("border.$length")
	done
}

# --- every framing in, every framing out

@test "lines in; lines, -0, -r and -L out" {
	messages
	in_and_out newline "${plain[@]}" "${small[@]}"
}

@test "-0 in; lines, -0, -r and -L out, with newlines in messages" {
	messages
	in_and_out null "${plain[@]}" "${lines[@]}" "${small[@]}"
}

@test "-r in; lines, -0, -r and -L out, with messages of all byte values" {
	messages
	in_and_out raw "${plain[@]}" "${lines[@]}" "${nulls[@]}"
}

@test "-L in; lines, -0, -r and -L out, with messages of all byte values" {
	messages
	in_and_out length "${plain[@]}" "${lines[@]}" "${nulls[@]}" "${small[@]}"
}

@test "MESSAGEs in; lines, -0, -r and -L out" {
	messages
	in_and_out argument "${plain[@]}" "${lines[@]}"
}

@test "a NUL in a line is a byte of the message" {
	try 0 mpq-create q
	try 0 mpq-put q < <(printf 'a\0b\n\0\n')
	timeout 20 mpq-get -anL q | cmp - <(printf '\0\0\0\3a\0b\0\0\0\1\0')
}

@test "messages that came in different framings go out in any" {
	local i out flags
	messages
	try 0 mpq-create q
	for out in newline null raw length; do
		for i in 1 2 3; do
			frame newline "${plain[@]}" | try 0 mpq-put q
			frame length "${nulls[@]}" "${lines[@]}" | try 0 mpq-put -L q
			try 0 mpq-put q "one $i" $'two\n'
			try 0 mpq-put -r q <nulls.all
			frame null "${lines[@]}" | try 0 mpq-put -0 q
			frame longlength "${plain[@]}" | try 0 mpq-put -L q
			printf 'one %s' "$i" >"one.$i"
		done
		printf 'two\n' >two
		flags "$out"
		timeout 20 mpq-get -an "${flags[@]}" q >got
		for i in 1 2 3; do
			frame "$out" "${plain[@]}" "${nulls[@]}" "${lines[@]}" "one.$i" two nulls.all "${lines[@]}" "${plain[@]}"
		done >expected
		cmp got expected
	done
}

@test "each get may choose its framing, in the middle of what came in one put" {
	try 0 mpq-create q
	seq 8 | try 0 mpq-put q
	timeout 20 mpq-get -n0 -c 2 q | cmp - <(printf '1\0002\0')
	timeout 20 mpq-get -nL -c 2 q | cmp - <(printf '\0\0\0\0013\0\0\0\0014')
	timeout 20 mpq-get -nr -c 2 q | cmp - <(printf 56)
	timeout 20 mpq-get -n -c 2 q | cmp - <(printf '7\n8\n')
}

# --- lengths

@test "lines of lengths at borders and of megabytes; lines, -0, -r and -L out" {
	borders
	in_and_out newline "${border[@]}"
}

@test "-0 with lengths at borders and of megabytes; lines, -0, -r and -L out" {
	borders
	in_and_out null "${border[@]}"
}

@test "-r with lengths at borders and of megabytes; lines, -0, -r and -L out" {
	borders
	in_and_out raw "${border[@]}"
}

@test "-L with lengths at borders and of megabytes; lines, -0, -r and -L out" {
	borders
	in_and_out length "${border[@]}"
}

@test "the same lengths from a file, one message a get" {
	local i in flags
	borders
	try 0 mpq-create q
	for in in newline null length longlength; do
		frame "$in" "${border[@]}" >input
		flags "$in"
		try 0 mpq-put "${flags[@]}" q <input
		for i in "${border[@]}"; do
			timeout 20 mpq-get -nr q >got
			cmp got "$i"
		done
	done
}

@test "a message, its end or its length may lie across the border of a buffer" {
	local after in i
	printf x >x
	: >empty
	try 0 mpq-create q
	for after in {0..9}; do
		filler "$((65536 - after))" >"near.$after"
		for in in newline null length; do
			through "$in" "$in" "near.$after" x empty x "near.$after" empty "near.$after"
		done
	done
}

@test "lengths at the borders after other sizes: a thousand messages of mixed sizes" {
	perl -e 'srand 7; # the same sizes in each run
	         binmode STDOUT;
	         for my $i (1 .. 1000) {
	             my $n = int(exp(rand(11)));
	             my $m = pack("N", $i) . join("", map { chr(($i + $_) % 251) } 1 .. $n);
	             print pack("N", length $m), $m;
	         }' >input
	try 0 mpq-create q
	try 0 mpq-put -L q <input
	stat_is size 1000 q
	timeout 20 mpq-get -anL q | cmp - input
	try 0 mpq-put -L q < <(cat input)
	timeout 20 mpq-get -anL q | cat | cmp - input
}

# --- input in pieces

@test "frames that arrive byte by byte are put together" {
	local in flags
	printf 'first' >first
	: >second
	printf 'th\0ird' >third
	printf 'the fourth' >fourth
	try 0 mpq-create q
	for in in newline null raw length longlength; do
		flags "$in"
		if [[ $in == null ]]; then
			printf third >third
		fi
		frame "$in" first second third fourth |
			perl -e 'binmode STDIN; local $/ = \1; while (<STDIN>) { syswrite STDOUT, $_; select undef, undef, undef, 0.001 }' |
			try 0 mpq-put "${flags[@]}" q
		if [[ $in == raw ]]; then
			timeout 20 mpq-get -nr q | cmp - <(frame raw first second third fourth)
		else
			timeout 20 mpq-get -anL q | cmp - <(frame length first second third fourth)
		fi
		stat_is size 0 q
		printf 'th\0ird' >third
	done
}

# --- -0

@test "-0: NULs end messages, newlines do not" {
	try 0 mpq-create q
	try 0 mpq-put -v0 q < <(printf 'a\nb\0\0c\n\0')
	[ "$stderr" = "mpq-put: q: 3 put" ]
	timeout 20 mpq-get -an0 q | cmp - <(printf 'a\nb\0\0c\n\0')
}

@test "-0: a last message without NUL counts" {
	try 0 mpq-create q
	try 0 mpq-put -v0 q < <(printf 'a\0b\n')
	[ "$stderr" = "mpq-put: q: 2 put" ]
	timeout 20 mpq-get -an0 q | cmp - <(printf 'a\0b\n\0')
}

@test "-0 passes what find -print0 writes to xargs -0" {
	mkdir tree
	touch tree/a "tree/b c" $'tree/d\ne' tree/-f
	try 0 mpq-create q
	find tree -type f -print0 | try 0 mpq-put -0 q
	stat_is size 4 q
	timeout 20 mpq-get -an0 q | xargs -0 rm --
	[ -z "$(ls -A tree)" ]
}

# --- -r

@test "-r: all of standard input is one message" {
	try 0 mpq-create q
	try 0 mpq-put -vr q < <(printf 'a\nb\0c\n')
	[ "$stderr" = "mpq-put: q: 1 put" ]
	timeout 20 mpq-get -nr q | cmp - <(printf 'a\nb\0c\n')
}

@test "-r: an empty message writes nothing, and is 0" {
	try 0 mpq-create q
	try 0 mpq-put -r q </dev/null
	try 0 mpq-get -vnr q
	[ -z "$output" ]
	[ "$stderr" = "mpq-get: q: 1 got" ]
	try 3 mpq-get -nr q
}

# --- -L

@test "-L: the length is 4 bytes, big-endian" {
	try 0 mpq-create q
	perl -e 'print "\0\1\2\3", "x" x 0x10203' >framed
	try 0 mpq-put -L q <framed
	stat_is bytes "$((0x10203))" q
	timeout 20 mpq-get -nL q | cmp - framed
}

@test "-L: a length of 0 is an empty message" {
	try 0 mpq-create q
	try 0 mpq-put -vL q < <(printf '\0\0\0\0\0\0\0\0')
	[ "$stderr" = "mpq-put: q: 2 put" ]
	stat_is size 2 q
}

@test "-L: -1 announces a length of 8 bytes, among others of 4" {
	try 0 mpq-create q
	try 0 mpq-put -vL q < <(printf '\0\0\0\1a\377\377\377\377\0\0\0\0\0\0\0\3b\nc\377\377\377\377\0\0\0\0\0\0\0\0\0\0\0\1d')
	[ "$stderr" = "mpq-put: q: 4 put" ]
	timeout 20 mpq-get -anL q | cmp - <(printf '\0\0\0\1a\0\0\0\3b\nc\0\0\0\0\0\0\0\1d')
}

@test "-L: 8-byte lengths of all sizes are accepted, short ones written" {
	messages
	borders
	try 0 mpq-create q
	through longlength length "${plain[@]}" "${lines[@]}" "${nulls[@]}" "${border[@]}"
}

@test "-L: what is longer than 0x7fffffff bytes has an 8-byte length, on both sides" {
	[[ -n ${MPQ_TEST_LARGE-} ]] || skip "takes 10 seconds and 3 GB of shared memory: set MPQ_TEST_LARGE=1"
	printf '\377\377\377\377\0\0\0\0\200\0\0\0' >large
	truncate -s +2147483648 large
	try 0 mpq-create q
	timeout 60 mpq-put -L q <large
	stat_is bytes 2147483648 q
	timeout 60 mpq-get -nL q | cmp - large
}

@test "-L cut short in a length: whole messages are put, status 1" {
	local cut
	try 0 mpq-create q
	for cut in '\0' '\0\0' '\0\0\0' '\377\377\377\377' '\377\377\377\377\0' '\377\377\377\377\0\0\0\0\0\0\0'; do
		# shellcheck disable=SC2059 # the escapes are meant
		try 1 mpq-put -L q < <(printf "\0\0\0\3one\0\0\0\0$cut")
		complains mpq-put
		timeout 20 mpq-get -anL q | cmp - <(printf '\0\0\0\3one\0\0\0\0')
		# shellcheck disable=SC2059
		try 1 mpq-put -L q < <(printf "$cut")
		stat_is size 0 q
	done
}

@test "-L cut short in a message: whole messages are put, status 1" {
	local cut
	try 0 mpq-create q
	for cut in '\0\0\0\1' '\0\0\0\5four' '\177\377\377\377a' '\377\377\377\377\0\0\0\0\0\0\0\1' \
		'\377\377\377\377\0\0\0\0\0\0\0\5four'; do
		# shellcheck disable=SC2059 # the escapes are meant
		try 1 mpq-put -vL q < <(printf "\0\0\0\3one\0\0\0\3two$cut")
		complains mpq-put
		[ "$(last_line)" = "mpq-put: q: 2 put" ]
		try 0 mpq-get -an q
		[ "$output" = $'one\ntwo' ]
	done
	filler 300000 >large
	frame length large large | head -c 500000 >short
	try 1 mpq-put -L q <short
	timeout 20 mpq-get -anr q | cmp - large
	stat_is bytes 0 q
}

@test "-L cut short: a seekable input is left at the first byte not put" {
	try 0 mpq-create q
	printf '\0\0\0\3one\0\0\0\5four' >input
	{
		try 1 mpq-put -L q
		cat >rest
	} <input
	cmp rest <(printf '\0\0\0\5four')
	try 0 mpq-get -an q
	[ "$output" = one ]
}

@test "-L with a negative length that is not -1, or an absurd one of 8 bytes: status 1, whole messages are put" {
	local bad
	try 0 mpq-create q
	for bad in '\377\377\377\376' '\200\0\0\0' '\377\377\377\377\377\377\377\377\377\377\377\377' \
		'\377\377\377\377\200\0\0\0\0\0\0\0' '\377\377\377\377\177\377\377\377\377\377\377\377'; do
		# shellcheck disable=SC2059 # the escapes are meant
		try 1 mpq-put -L q < <(printf "\0\0\0\3one${bad}and more")
		complains mpq-put
		try 0 mpq-get -an q
		[ "$output" = one ]
	done
}

@test "-L speaks the framing of Python's Connection" {
	command -v python3 >/dev/null || skip "python3 is not here"
	python3 -c 'import multiprocessing.connection' || skip "this python3 has no multiprocessing"
	try 0 mpq-create q
	python3 -c 'from multiprocessing.connection import Connection
c = Connection(1, readable=False)
for m in b"one", b"", b"two\n\0", bytes(range(256)) * 300: c.send_bytes(m)' | try 0 mpq-put -L q
	stat_is size 4 q
	timeout 20 mpq-get -anL q | timeout 20 python3 -c 'from multiprocessing.connection import Connection
c = Connection(0, writable=False)
assert [c.recv_bytes() for i in range(4)] == [b"one", b"", b"two\n\0", bytes(range(256)) * 300]'
	stat_is size 0 q
}
