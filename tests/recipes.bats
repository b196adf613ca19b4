#!/usr/bin/env bats
# The recipes of mpq-recipes(7): the code is taken from the page, run, and must say what it should.
# shellcheck disable=SC2154 # helpers set them

load helpers

# recipe TITLE [NUMBER]: the code of that section, the NUMBERth piece of it (the first), as a file recipe.bash.
recipe() {
	awk -v title=".Ss $1" -v wanted="${2:-1}" '
		/^\.S[sh] / { here = $0 == title }
		/^\.Ed/ { inside = 0 }
		inside
		here && /^\.Bd -literal -offset indent$/ { inside = ++n == wanted }
	' "$BATS_TEST_DIRNAME/../man/mpq-recipes.7" |
		sed -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\&//g' -e 's/\\e/\\/g' >recipe.bash
	[[ -s recipe.bash ]]
}

# clean: no queue is left.
clean() {
	[[ $(mpq-ls) == '' ]]
}

sorted() {
	sort <<<"$output"
}

# A stand-in for ssh: the rest of the line goes to a shell, as a remote one would get it.
fake_ssh() {
	mkdir -p bin
	printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >bin/ssh
	chmod +x bin/ssh
	PATH=$PWD/bin:$PATH
}

@test "A nightly batch from cron" {
	recipe "A nightly batch from cron"
	mkdir logs
	seq 9 >"logs/a b.log"
	seq 9 >"logs/it's.log"
	try 0 env -i "PATH=$PATH" "MPQ_DIR=$MPQ_DIR" bash -eu recipe.bash logs
	silent
	[[ $(cd logs && ls) == $'a b.log.gz\nit\'s.log.gz' ]]
	clean
	seq 9 >"logs/a b.log" # there is one already: gzip refuses
	try 0 env -i "PATH=$PATH" "MPQ_DIR=$MPQ_DIR" bash -eu recipe.bash logs
	[[ $(last_line) == "logs/a b.log" && $stderr == *gzip* ]]
	clean
}

@test "Several producers" {
	recipe "Several producers"
	try 0 bash -eu recipe.bash
	[[ $(sorted) == "$(printf 'got %d\n' 1 2 3 4 5 6 7 8 9)" ]]
	clean
}

@test "Dead letters and replay" {
	recipe "Dead letters and replay"
	try 0 bash -eu recipe.bash
	[[ $output == $'1 failed\nall done' ]]
	clean
}

@test "A limit to the rate" {
	recipe "A limit to the rate"
	lasts 300 20000 0 bash -eu recipe.bash # 6 calls, the first two at once: four pauses, of which one may have begun
	[[ $(sorted) == "$(printf 'call %d\n' 1 2 3 4 5 6)" ]]
	clean
}

@test "Priority" {
	needs mpq-wait
	recipe Priority
	try 0 bash -u recipe.bash
	[[ $output == $'urgent now\nnormal one\nnormal two' ]]
	clean
}

@test "A pool that waits for work for ever" {
	recipe "A pool that waits for work for ever"
	try 0 bash -eu recipe.bash
	[[ $(sorted) == $'status 143\nworked on a\nworked on b\nworked on c' ]]
	clean
}

@test "Over ssh" {
	fake_ssh
	recipe "Over ssh"
	try 0 bash -eu recipe.bash
	[[ $output == $'it\'s\na $(name)' ]]
	clean
	recipe "Over ssh" 2
	try 0 bash -eu recipe.bash
	[[ $(sort -n <<<"$output") == $'1\n4\n9\n16' ]]
	clean
}

@test "From Python" {
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || skip "no python3 of 3.8 or later"
	recipe "From Python"
	try 0 bash -eu recipe.bash
	[[ $output == "b'one'"$'\n'"b'two\\nlines'"$'\n'"b''" ]]
	clean
}

@test "Instead of xargs -P" {
	recipe "Instead of xargs -P"
	try 0 bash -eu recipe.bash
	[[ $(sort <<<"$output") == $'0\twc -c ./1.txt\n0\twc -c ./2.txt\n0\twc -c ./3.txt\n2 ./1.txt\n4 ./2.txt\n6 ./3.txt' ]]
	clean
}

@test "Instead of a FIFO with locks" {
	recipe "Instead of a FIFO with locks"
	try 0 bash -eu recipe.bash
	[[ $(sorted) == $'working on 1\nworking on 2\nworking on 3' ]]
	clean
}

@test "every recipe of the page is run here" {
	local title
	while read -r _ title; do
		grep -qF "@test \"$title\"" "$BATS_TEST_FILENAME"
	done < <(grep '^\.Ss ' "$BATS_TEST_DIRNAME/../man/mpq-recipes.7")
}
