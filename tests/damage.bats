#!/usr/bin/env bats
# Damage: whatever bytes a queue's file holds, every command ends with a status of its own and says what is wrong.
# shellcheck disable=SC2154,SC2217 # bg_pid, pid, status, stderr: helpers and bats set them; bg is a helper

load helpers

# model: a queue with something of everything in it; its bytes are kept in the file "model".
model() {
	live_pid
	holder=$pid
	mpq-create -m 100 q
	mpq-put q one two three four five
	seq 20 | mpq-put q
	mpq-get -o "$holder" q >/dev/null
	mpq-get q >/dev/null
	mpq-get -c 2 -o "$holder" q >/dev/null
	mpq-task-done -R -o "$holder" q
	cp --sparse=never "$MPQ_DIR/mpq.q" model
	size=$(stat -c %s model)
	: >failures
}

# fresh: a new file with the model's bytes.
fresh() {
	rm -f "$MPQ_DIR/mpq.q"
	cp --sparse=never model "$MPQ_DIR/mpq.q"
}

# poke OFFSET BYTE ...: overwrites bytes of the queue; each BYTE is a number.
poke() {
	local offset=$1 text
	shift
	printf -v text '\\x%x' "$@"
	# shellcheck disable=SC2059 # the format is the bytes
	printf "$text" | dd of="$MPQ_DIR/mpq.q" bs=1 seek="$offset" conv=notrunc status=none
}

# ends WHAT COMMAND: it must end with a status from 0 to 11, not by a signal and not by the time limit, and say why when
# that is 1. What does not is noted in failures. Sets $status and $why.
ends() {
	status=0
	# shellcheck disable=SC2086 # words
	timeout -k 1 20 mpq-$2 </dev/null >out 2>err || status=$?
	why=$(<err)
	if ((status > 11)) || ((status == 1)) && [[ $why != "mpq-${2%% *}: "*"q: "?* ]]; then
		printf '%s: mpq-%s: status %s: %s\n' "$1" "$2" "$status" "$why" >>failures
	fi
}

no_failures() {
	head -n 30 failures >&2
	[[ ! -s failures ]]
}

# probe COUNT: makes the trials that standard input names, one a line: what it is, and tab-separated OFFSET:BYTE ... . For
# each, a new file gets the model's bytes but for these; then COUNT commands, which take turns, must end as in ends.
probe() {
	# shellcheck disable=SC2016 # perl expands
	perl -e '
		use strict;
		my ($count, $queue, $holder) = @ARGV;
		my @turns = ("get -n q", "put -n q x", "stat q", "task-done -o $holder q", "get -n q", "put -n q x", "join -n q",
			"get -an -D q", "ls -l q", "close q", "get -P -n q", "put -n q x y z", "task-done q",
			"task-done -R -a -o $holder q", "get -n -c 9 q", "close -i q", "stat -J q", "get -n -o $holder q",
			"create -e q", "get -n q", "rm -f q");
		my ($turn, $trials) = (0, 0);

		sub content { open(my $f, "<:raw", shift) or die; local $/; my $all = <$f>; return $all // "" }

		sub run {
			my @command = split / /, "mpq-" . shift;
			my $pid = fork // die;
			if (!$pid) {
				open(STDIN, "<", "/dev/null") && open(STDOUT, ">", "out") && open(STDERR, ">", "err") or die;
				exec @command or exit 127;
			}
			my $late = 0;
			local $SIG{ALRM} = sub { $late = 1; kill KILL => $pid };
			alarm 5;
			waitpid($pid, 0);
			alarm 0;
			return $late ? "no end in time" : $? & 127 ? "signal " . ($? & 127) : $? >> 8;
		}

		my $model = content("model");
		open(my $failures, ">>", "failures") or die;
		while (my $trial = <STDIN>) {
			chomp $trial;
			my ($what, @pokes) = split /\t/, $trial;
			my $bytes = $model;
			for (@pokes) {
				my ($offset, $values) = split /:/;
				my $new = pack("C*", split / /, $values);
				substr($bytes, $offset, length $new) = $new;
			}
			unlink $queue;
			open(my $f, ">:raw", $queue) or die;
			print $f $bytes;
			close $f or die;
			for (1 .. $count) {
				my $command = $turns[$turn++ % @turns];
				my $status = run($command);
				my $said = content("err");
				next if $status =~ /^\d+$/ && $status <= 11 && ($status != 1 || $said =~ /^mpq-\S+: .*q: ./m);
				print $failures "$what: mpq-$command: $status: $said\n";
			}
			$trials++;
		}
		print "$trials trials\n";
		exit !$trials' "$1" "$MPQ_DIR/mpq.q" "$holder"
}

# is_refused WHAT: every command ends with 1 and says that this is damaged or no queue; nothing of it is got.
is_refused() {
	local command
	for command in "put q x" "put -n q x" "get q" "get -n q" "get -a q" "get -P q" "get -o $holder q" "get -t 0.1 q" \
		"task-done q" "task-done -o $holder q" "join q" "join -n q" "close q" "close -i q" "stat q" "stat -k size q" \
		"stat --test empty q" "rm q"; do
		ends "$1" "$command"
		((status == 1)) || printf '%s: mpq-%s: status %s, not 1\n' "$1" "$command" "$status" >>failures
		[[ $why == *[Dd]amaged* || $why == *[Nn]"ot a queue"* ]] ||
			printf '%s: mpq-%s does not say damaged or not a queue: %s\n' "$1" "$command" "$why" >>failures
		[[ $command == stat* || ! -s out ]] || printf '%s: mpq-%s has printed something\n' "$1" "$command" >>failures
	done
	[[ -e $MPQ_DIR/mpq.q ]] || printf '%s: the queue has gone\n' "$1" >>failures
	ends "$1" "ls"
	((status == 0)) || printf '%s: mpq-ls: status %s\n' "$1" "$status" >>failures
	ends "$1" "create q"
	((status == 7)) || printf '%s: mpq-create: status %s, not 7\n' "$1" "$status" >>failures
}

# is_damaged: stat says so.
is_damaged() {
	try 1 mpq-stat q
	grep -qx 'state damaged' <<<"$output"
}

@test "counts without messages, or of more sleepers than there can be: a getter in bulk ends" {
	local side=256 count waiting # layout.h: the first side; its size, and its sleeping getters
	count=$((side + 8)) waiting=$((side + 8 * 11))
	: >failures
	mpq-create q
	poke "$count" 5
	ends "5 messages, none in the lists" "get -a -t 1 q"
	((status == 1))
	mpq-rm -f q
	mpq-create q
	mpq-put q a b
	poke "$waiting" 255 255 255 255 255 255 255 255
	ends "2^64 - 1 sleepers" "get -c 9 -t 1 q"
	no_failures
}

@test "the copy of a queue's bytes is a queue: the other tests damage what would work" {
	model
	fresh
	try 0 mpq-get -n q
	[[ $output == one ]]
	try 0 mpq-put -n q x
	stat_is state open q
	run is_damaged
	((status != 0))
}

@test "a truncated file: 1 and damaged, or not a queue" {
	model
	local length
	for length in 0 1 8 100 4096 $((size / 2)) $((size - 4096)) $((size - 1)); do
		((length < size)) || continue
		fresh
		truncate -s "$length" "$MPQ_DIR/mpq.q"
		is_refused "$length of $size bytes"
		is_damaged
	done
	no_failures
}

@test "random bytes: 1 and damaged, or not a queue" {
	model
	local length
	for length in 16 4096 "$size" $((size + 100000)); do
		rm -f "$MPQ_DIR/mpq.q"
		head -c "$length" /dev/urandom >"$MPQ_DIR/mpq.q"
		cp "$MPQ_DIR/mpq.q" "random.$length"
		is_refused "$length random bytes"
		is_damaged
		cmp "$MPQ_DIR/mpq.q" "random.$length"
	done
	no_failures
}

@test "a file of text, of zeros, a huge hole: 1 and damaged, or not a queue" {
	model
	local make
	for make in 'echo "this is not a queue"' 'head -c 100000 /dev/zero' "cat /bin/true" "truncate -s 4G $MPQ_DIR/mpq.q"; do
		rm -f "$MPQ_DIR/mpq.q"
		bash -c "$make" >"$MPQ_DIR/mpq.q"
		is_refused "$make"
		is_damaged
	done
	no_failures
}

@test "a FIFO, a directory, a link of that name: 1, and no hang" {
	model
	local make
	for make in mkfifo mkdir "ln -s /dev/zero" "ln -s $BATS_TEST_TMPDIR/model" "ln -s nowhere"; do
		rm -rf "$MPQ_DIR/mpq.q"
		$make "$MPQ_DIR/mpq.q"
		for command in "put q x" "get q" "get -n q" "join q" "task-done q" "close q" "stat q"; do
			ends "$make" "$command"
			((status == 1)) || printf '%s: mpq-%s: status %s, not 1\n' "$make" "$command" "$status" >>failures
		done
		ends "$make" "ls -l"
	done
	cmp model "$BATS_TEST_TMPDIR/model"
	no_failures
}

@test "the first page is overwritten: 1 and damaged, or not a queue" {
	model
	local byte
	for byte in '\0' '\377' a; do
		fresh
		head -c 4096 /dev/zero | tr '\0' "$byte" | dd of="$MPQ_DIR/mpq.q" conv=notrunc status=none
		is_refused "a page of $byte"
		is_damaged
	done
	no_failures
}

@test "each word of the header is overwritten in turn: every command ends with a status" {
	model
	local offset value
	for ((offset = 0; offset < 512; offset += 4)); do
		for value in "0 0 0 0" "255 255 255 255" "0 0 0 128"; do
			printf '%s at %s\t%s:%s\n' "$value" "$offset" "$offset" "$value"
		done
	done >trials
	probe 3 <trials
	no_failures
}

@test "each 64th byte is flipped in turn: every command ends with a status" {
	model
	local offset bytes
	mapfile -t bytes < <(od -An -v -tu1 -w1 model)
	for ((offset = 0; offset < size; offset += 64)); do
		printf 'byte %s flipped\t%s:%s\n' "$offset" "$offset" $((bytes[offset] ^ 255))
	done >trials
	head -n 128 trials | probe 3 # the first 8 KiB
	tail -n +129 trials | probe 1
	no_failures
}

@test "random bytes in random places, seeded: every command ends with a status" {
	model
	local seed=${MPQ_SEED:-$RANDOM} i
	printf 'MPQ_SEED=%s\n' "$seed"
	RANDOM=$seed
	for ((i = 0; i < 200; i++)); do
		printf 'round %s\t%s:%s %s\t%s:%s\t%s:%s\n' "$i" \
			$((RANDOM % 4096)) $((RANDOM % 256)) $((RANDOM % 256)) \
			$((RANDOM % 4096)) $((RANDOM % 256)) \
			$(((RANDOM * 32768 + RANDOM) % size)) $((RANDOM % 256))
	done >trials
	probe 3 <trials
	no_failures
}

@test "what another version has made is refused: 1, and a reason" {
	model
	local offset bytes refused=0
	mapfile -t bytes < <(od -An -v -tu1 -w1 model)
	# The version stands somewhere at the beginning: one that is higher by one, on either byte order.
	for ((offset = 0; offset < 64; offset++)); do
		fresh
		poke "$offset" $(((bytes[offset] + 1) % 256))
		ends "byte $offset higher by one" "get -n q"
		if ((status == 1)) && [[ $why == *[Vv]ersion* ]]; then
			printf '%s\n' "$why"
			refused=$((refused + 1))
			ends "byte $offset higher by one" "put q x"
			((status == 1))
			ends "byte $offset higher by one" "stat q"
			((status == 1))
			cmp "$MPQ_DIR/mpq.q" <(cat model) | grep -qE "(byte|char) $((offset + 1))," # and is not written to
		fi
	done
	no_failures
	((refused > 0))
}

@test "a queue that is truncated while a get and a join wait: they end with a status, in time" {
	local length
	for length in 0 100 half; do
		mpq-create q
		bg mpq-get q 2>why.get
		local getter=$bg_pid
		wait_stat getters 1 q
		mpq-put q a
		reap "$getter"
		bg mpq-get -t 5 q 2>why.get # not over before the truncation
		getter=$bg_pid
		bg mpq-join -t 5 q 2>why.join
		local join=$bg_pid
		wait_stat getters 1 q
		size=$(stat -c %s "$MPQ_DIR/mpq.q")
		truncate -s "${length/half/$((size / 2))}" "$MPQ_DIR/mpq.q"
		reap "$getter"
		printf '%s: get %s: %s\n' "$length" "$status" "$(<why.get)"
		((status <= 11))
		reap "$join"
		printf '%s: join %s: %s\n' "$length" "$status" "$(<why.join)"
		((status <= 11))
		[[ $length == half ]] || try 1 mpq-get -n q
		rm -f "$MPQ_DIR/mpq.q"
	done
}

@test "a queue that is truncated under a put of a slow writer: it ends with a status and a reason" {
	mpq-create q
	mkfifo fifo
	bg mpq-put q <>fifo 2>why
	local putter=$bg_pid
	exec 7>fifo
	echo a >&7
	wait_stat size 1 q
	truncate -s 0 "$MPQ_DIR/mpq.q"
	seq 1000 >&7
	reap "$putter"
	exec 7>&-
	printf '%s: %s\n' "$status" "$(<why)"
	((status == 1))
	[[ $(<why) == "mpq-put: q: "?* ]]
}

@test "what has been found damaged is so for everybody and for good, though its bytes are put right again" {
	local offset found=0 command
	mpq-create q
	mpq-put q one two
	cp --sparse=never "$MPQ_DIR/mpq.q" model
	for ((offset = 24; offset < 1024; offset += 8)); do # behind the words that tell of another version
		fresh
		poke "$offset" 255 255 255 127 255 255 255 127
		status=0
		timeout -k 1 20 mpq-get -n q >/dev/null 2>err || status=$?
		((status == 1)) || continue
		grep -q damaged err || continue
		found=$((found + 1))
		dd if=model of="$MPQ_DIR/mpq.q" bs=1 skip="$offset" seek="$offset" count=8 conv=notrunc status=none
		for command in "get -n q" "put q x" "put -n q" "join -n q" "task-done q" "close q" "stat q" "wait -n q" "rm q" "get -n q"; do
			status=0
			# shellcheck disable=SC2086 # words
			timeout -k 1 20 mpq-$command </dev/null >/dev/null 2>err || status=$?
			printf 'word %s: mpq-%s: %s %s\n' "$offset" "$command" "$status" "$(<err)"
			[[ $status == 1 ]]
			grep -q "^mpq-${command%% *}: q: damaged" err
		done
	done
	((found >= 5))
	try 0 mpq-rm -f q
}

@test "who sleeps on a queue that another finds damaged ends with 1 as well" {
	local pids=() pid
	mpq-create q
	mpq-put q one
	cp --sparse=never "$MPQ_DIR/mpq.q" one
	mpq-get q
	bg mpq-get q 2>get.err
	pids+=("$bg_pid")
	wait_stat getters 1 q
	bg mpq-join q 2>join.err
	pids+=("$bg_pid")
	bg mpq-wait q q:join 2>wait.err
	pids+=("$bg_pid")
	poke 24 255 255 255 127 # what kind it is
	try 1 mpq-stat q
	for pid in "${pids[@]}"; do
		reap "$pid"
		[[ $status == 1 ]]
	done
	for pid in get join wait; do
		grep -q "^mpq-$pid: q: damaged" "$pid.err"
	done
}

@test "a damaged queue does no harm to the others" {
	model
	mpq-create good
	mpq-put good a b
	truncate -s 0 "$MPQ_DIR/mpq.q"
	try 0 mpq-ls
	[[ $(sort <<<"$output") == $'good\nq' ]]
	try 0 mpq-get good
	[[ $output == a ]]
	try 0 mpq-rm -f q
	try 0 mpq-create q
	try 0 mpq-put q works
	try 0 mpq-get q
	[[ $output == works ]]
	try 0 mpq-get good
	[[ $output == b ]]
}
