#!/usr/bin/env bats
# One truth per fact: the pages, the usage texts, the completion and the README say the same.
# shellcheck disable=SC2154 # bats and helpers set output

load helpers

root=$BATS_TEST_DIRNAME/..

# commands: the names of those that are built.
commands() {
	local file
	for file in "$root"/build/bin/mpq-*; do
		[[ $file == *-bench ]] || basename "$file"
	done
}

# synopsis PAGE: its SYNOPSIS, one form a line, blanks squeezed.
synopsis() {
	mandoc -Tascii "$1" | col -b | awk '
		/^SYNOPSIS/ { on = 1; next }
		/^[A-Z]/ { on = 0 }
		on && NF { line = $0; gsub(/[ \t]+/, " ", line); sub(/^ /, "", line); text = text (line ~ /^mpq-/ ? "\n" : " ") line }
		END { sub(/^\n/, "", text); print text }'
}

# usage COMMAND: what -h says, in the same form.
usage() {
	"$1" -h | sed -e 's/^usage: //' -e 's/^ *//'
}

need() {
	command -v "$1" >/dev/null || skip "$1 is not installed"
}

@test "usage is the SYNOPSIS, letter for letter" {
	need mandoc
	need col
	local command
	for command in $(commands); do
		diff <(usage "$command") <(synopsis "$root/man/$command.1")
	done
}

@test "every command has a page, a line in the README, and a completion" {
	local command
	for command in $(commands); do
		echo "$command" >&2
		[[ -f $root/man/$command.1 ]]
		grep -q "^| \`$command\` |" "$root/README.md"
		bash -c 'source "$1"; complete -p "$2"' _ "$root/completions/mpq.bash" "$command"
	done
}

@test "every option of a usage has an entry in the page" {
	local command letter
	for command in $(commands); do
		for letter in $(usage "$command" | grep -oE '(\[|\| )-[A-Za-z0-9]+' | tr -d '[| -' | grep -o . | sort -u); do
			echo "$command -$letter" >&2
			grep -qE -- "^\.It .*Fl $letter( |\$)" "$root/man/$command.1"
		done
	done
}

@test "-h and -V: on standard output, status 0" {
	local command
	for command in $(commands); do
		try 0 "$command" -h
		[[ $output == "usage: $command"* && -z $stderr ]]
		try 0 "$command" --help
		[[ $output == "usage: $command"* && -z $stderr ]]
		try 0 "$command" --version
		[[ $output == "$command "* && -z $stderr ]]
		try 0 "$command" -V
	done
}

@test "the pages are clean" {
	need mandoc
	mandoc -Tlint -W warning "$root"/man/mpq*.[17]
}

@test "the statuses of mpq.7 are those of the commands' header" {
	local status
	for status in 0 1 2 3 4 5 6 7 8 9 10 11; do
		grep -qE "^\.It (Li |Cm |Sy )?$status( |$)" "$root/man/mpq.7" ||
			grep -qE "^$status( |	|$)" "$root/man/mpq.7" || {
			echo "no status $status in mpq.7" >&2
			return 1
		}
	done
}

@test "install and uninstall: everything comes, everything goes" {
	need make
	make -s -C "$root" install DESTDIR="$BATS_TEST_TMPDIR/dest" PREFIX=/usr
	local command
	for command in $(commands); do
		[[ -x $BATS_TEST_TMPDIR/dest/usr/bin/$command && -f $BATS_TEST_TMPDIR/dest/usr/share/man/man1/$command.1 ]]
	done
	[[ -f $BATS_TEST_TMPDIR/dest/usr/share/man/man7/mpq.7 ]]
	make -s -C "$root" uninstall DESTDIR="$BATS_TEST_TMPDIR/dest" PREFIX=/usr
	[[ -z $(find "$BATS_TEST_TMPDIR/dest" -type f) ]]
}

@test "the commands are linked statically, and the library prints, exits and asks the environment for nothing" {
	local command
	for command in $(commands); do
		run ! ldd "$root/build/bin/$command" 
	done
	nm -u "$root/build/lib/libmpq.a" >symbols
	run ! grep -wE 'U (printf|fprintf|puts|perror|err|errx|warn|warnx|exit|_exit|abort|getenv|secure_getenv|stdout|stderr)' symbols
}
