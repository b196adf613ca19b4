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

# options COMMAND: those of its page, a line each: letter (or -), long name, name of the value (or nothing).
options() {
	sed -nE 's/^\.It Fl ([^-]) , Fl -([a-z-]+)( Ar (.*))?$/\1 \2 \4/p; s/^\.It Fl -([a-z-]+)( Ar (.*))?$/- \1 \3/p' \
		"$root/man/$1.1" | sed 's/ $//'
}

# value NAME: one that is right for what the pages call so.
value() {
	case $1 in
	COUNT | JOBS | MAXBYTES | MAXSIZE | SECS | TRIES) echo 1 ;;
	MODE) echo 600 ;;
	KEY) echo size ;;
	STATE) echo empty ;;
	PID) echo $$ ;;
	DEAD | FILE) echo name ;;
	esac
}

@test "every command takes just the options of its page, short and long, with and without a value as it says" {
	local command letter long arg argument taken
	for command in $(commands); do
		taken=
		while read -r letter long arg; do
			echo "$command -$letter --$long $arg" >&2
			argument=$(value "$arg")
			[[ -z $arg || -n $argument ]]
			if [[ $letter != - ]]; then
				taken+=$letter
				try 0 "$command" "-$letter" ${arg:+"$argument"} -h
				try 0 "$command" "-$letter$argument" -h
			fi
			try 0 "$command" "--$long" ${arg:+"$argument"} -h
			if [[ -n $arg ]]; then
				try 0 "$command" "--$long=$argument" -h
				misuse "$command" "--$long"
			else
				misuse "$command" "--$long=1"
			fi
		done < <(options "$command")
		[[ $taken == *h*V* || $taken == *V*h* ]]
		for letter in {a..z} {A..Z} {0..9}; do
			[[ $taken == *"$letter"* ]] || misuse "$command" "-$letter" -h
		done
	done
}

@test "a letter means the same in every command, and a long name has the same letter everywhere" {
	local command
	for command in $(commands); do
		options "$command" | cut -d ' ' -f 1,2
	done | sort -u >all
	[[ -z $(grep -v '^-' all | cut -d ' ' -f 1 | uniq -d) ]]
	[[ -z $(cut -d ' ' -f 2 all | sort | uniq -d) ]]
	grep -v '^-' all | paste -sd ' ' >names
	diff names - <<-'END'
		0 null 1 simplex C closed D done J json L length M mode O owner-parent P peek R requeue T tries V version a all b maxbytes c count d dead e exist-ok f force h help i immediate j jobs k key l long m maxsize n nowait o owner p progress r raw s stdin t timeout u ungroup v verbose w write
	END
}

@test "the completion knows the options of the pages, and which of them take a value" {
	local command letter long arg
	# shellcheck disable=SC1091 # it is ours
	source "$root/completions/mpq.bash"
	for command in $(commands); do
		echo "$command" >&2
		# shellcheck disable=SC2154 # the completion sets it
		diff <(tr -s '[:space:]' '\n' <<<"${_mpq_takes[$command]%%|*}" | grep . | sort) \
			<(options "$command" | while read -r letter long arg; do
				printf '%s/%s%s\n' "$letter" "$long" "${arg:+:}"
			done | sort)
	done
}

# completes LINE WORD ...: at the end of the line, the last word may become these.
completes() {
	local line=$1 last
	shift
	last=${line##*[[:blank:]]}
	# What the shell gives as the current word begins behind the last "=", ":" or "@".
	bash -c 'source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _mpq "${2%% *}" "$3"; ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}"' \
		_ "$root/completions/mpq.bash" "$line" "${last##*[=:@]}" | sort >given
	(($# == 0)) || printf '%s\n' "$@" | sort >expected
	(($# > 0)) || : >expected
	diff expected given
}

@test "the completion offers names, ends, keys, states and words where they can stand" {
	mpq-create jobs
	mpq-create logs
	mpq-pipe calls
	completes 'mpq-put ' jobs logs calls@1 calls@2
	completes 'mpq-get -n j' jobs
	completes 'mpq-get calls@' 1 2
	completes 'mpq-get jobs '
	completes 'mpq-rm ' jobs logs calls
	completes 'mpq-rm -f jobs l' logs
	completes 'mpq-ls c' calls
	completes 'mpq-attach ' calls@1 calls@2
	completes 'mpq-pipe '
	completes 'mpq-pipe -o 1 ' calls@1 calls@2
	completes 'mpq-move jobs l' logs
	completes 'mpq-move jobs logs '
	completes 'mpq-wait jobs:' get join put
	completes 'mpq-wait -t 5 jobs logs:p' put
	completes 'mpq-stat -k m' maxbytes maxsize memory mode
	completes 'mpq-stat --test ' closed 'done' empty full
	completes 'mpq-stat --test=f' full
	completes 'mpq-stat -J --k' --key
	completes 'mpq-create -M ' 0600 0660 0666
	completes 'mpq-work -d ' jobs logs calls@1 calls@2
	completes 'mpq-work jobs mpq-task' mpq-task-done
	completes 'mpq-work jobs -- mpq-task' mpq-task-done
	completes 'mpq-get -t 1 --own' --owner --owner-parent
	completes 'mpq-create -m '
	: >file
	completes 'mpq-put jobs fi' file
	completes 'mpq-work --joblog fi' file
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
