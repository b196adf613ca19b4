# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# mpq.bash - completion of the mpq commands for bash. Source it, or put it where bash-completion looks for such files;
# nothing of bash-completion is used.

# What each command takes: its options as letter/name in the order of the pages (- where there is no letter, ":" after the
# name of one with a value), then, after "|", the kind of each operand: of the last one for all further ones too.
declare -gA _mpq_takes=( # -g: bash-completion reads this file inside a function
	[mpq-attach]='0/null h/help L/length v/verbose V/version | end command file'
	[mpq-close]='h/help i/immediate V/version w/write | queue none'
	[mpq-create]='b/maxbytes: e/exist-ok h/help m/maxsize: M/mode: v/verbose V/version | none'
	[mpq-get]='0/null a/all c/count: D/done h/help L/length n/nowait o/owner: O/owner-parent P/peek r/raw t/timeout:
		v/verbose V/version | queue none'
	[mpq-join]='C/closed h/help n/nowait p/progress t/timeout: v/verbose V/version | queue none'
	[mpq-ls]='h/help J/json l/long V/version | name'
	[mpq-move]='a/all c/count: h/help n/nowait t/timeout: v/verbose V/version | queue queue none'
	[mpq-pipe]='1/simplex b/maxbytes: e/exist-ok h/help m/maxsize: M/mode: o/owner: v/verbose V/version | owned none'
	[mpq-put]='0/null h/help L/length n/nowait r/raw t/timeout: v/verbose V/version | queue file'
	[mpq-rm]='f/force h/help V/version | name'
	[mpq-stat]='h/help J/json k/key: -/test: V/version | queue none'
	[mpq-task-done]='a/all c/count: h/help o/owner: O/owner-parent R/requeue v/verbose V/version | queue none'
	[mpq-wait]='h/help n/nowait t/timeout: v/verbose V/version | ready'
	[mpq-work]='c/count: d/dead: -/delay: h/help j/jobs: -/joblog: n/nowait p/progress s/stdin t/timeout: T/tries:
		u/ungroup v/verbose V/version | queue command file'
)

# _mpq_names KIND: the names that can stand there. The long list has a line for each queue and each end; the short one has
# a pipe's bare name.
_mpq_names() {
	local name rest
	if [[ $1 == name ]]; then
		mpq-ls 2>/dev/null
		return
	fi
	local -A pipes=()
	while read -r name rest; do
		[[ $name == *@[12] ]] || continue
		pipes[${name%@?}]=1
		printf '%s\n' "$name"
	done < <(mpq-ls -l 2>/dev/null)
	[[ $1 == queue ]] || return 0
	while read -r name; do
		[[ -n ${pipes[$name]-} ]] || printf '%s\n' "$name"
	done < <(mpq-ls 2>/dev/null)
}

# _mpq_words KIND WORD: the words of that kind that WORD can become. Sets COMPREPLY to whole words.
_mpq_words() {
	local kind=$1 word=$2 words=
	case $kind in
	name | queue | end) words=$(_mpq_names "$kind") ;;
	ready)
		if [[ $word == *:* ]]; then
			words="${word%%:*}:get ${word%%:*}:join ${word%%:*}:put"
		else
			words=$(_mpq_names queue)
		fi
		;;
	key)
		words='bytes created dones getters gets held kind maxbytes maxsize memory mode name owner putters puts size
			state unfinished'
		;;
	mode) words='0600 0660 0666' ;;
	pid) words=$(cd /proc 2>/dev/null && printf '%s\n' [0-9]*) ;;
	state) words='closed done empty full' ;;
	command) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
	file)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		;;
	esac
	[[ -z $words ]] || mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

# _mpq_value COMMAND OPTION: the kind of value that the option, a letter or a name, takes, in $kind; "none" for what
# cannot be guessed, such as a number, and "" for no value.
_mpq_value() {
	local command=$1 option=$2 pair letter name
	kind=
	for pair in ${_mpq_takes[$command]%%|*}; do
		letter=${pair%%/*} name=${pair#*/}
		[[ $name == *: && ($option == "$letter" || $option == "${name%:}") ]] || continue
		case ${name%:} in
		dead) kind=queue ;;
		joblog) kind='file' ;;
		key) kind=key ;;
		mode) kind=mode ;;
		owner) kind=pid ;;
		test) kind=state ;;
		*) kind=none ;;
		esac
		return
	done
}

_mpq() {
	COMPREPLY=()
	local IFS=$' \t\n'
	# The shell also splits at "=", ":" and "@", and replaces only what follows the last of them ($2). So take the line
	# apart at blanks, complete whole words, and cut off what stays at the end.
	local line=${COMP_LINE:0:COMP_POINT} word words=() i
	read -r -a words <<<"$line"
	[[ $line == *[[:blank:]] ]] && words+=('')
	word=${words[${#words[@]} - 1]}
	local command=${1##*/} kind='' pending='' options=1 owner='' names=0 letters option
	[[ -n ${_mpq_takes[$command]-} ]] || return 0

	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		if [[ -n $pending ]]; then
			pending=
		elif [[ -z $options || ${words[i]} != -?* ]]; then
			names=$((names + 1))
			case $command in mpq-attach | mpq-put | mpq-work) options= ;; esac
		elif [[ ${words[i]} == -- ]]; then
			options=
		elif [[ ${words[i]} == --* ]]; then
			option=${words[i]#--}
			[[ ${option%%=*} == owner ]] && owner=1
			_mpq_value "$command" "$option"
			pending=$kind
		else
			for ((letters = 1; letters < ${#words[i]}; letters++)); do
				option=${words[i]:letters:1}
				_mpq_value "$command" "$option"
				[[ $option == o ]] && owner=1
				[[ -z $kind ]] || break
			done
			((letters == ${#words[i]} - 1)) && pending=$kind
		fi
		# A "--" before COMMAND is not COMMAND.
		[[ $command == mpq-@(attach|work) && ${words[i]} == -- && $names -eq 2 ]] && names=1
	done

	local before=
	if [[ -n $pending ]]; then
		_mpq_words "$pending" "$word"
	elif [[ -n $options && $word == --*=* ]]; then
		option=${word%%=*}
		_mpq_value "$command" "${option#--}"
		before=$option=
		_mpq_words "$kind" "${word#*=}"
	elif [[ -n $options && $word == -* ]]; then
		local pair letter all=()
		for pair in ${_mpq_takes[$command]%%|*}; do
			letter=${pair%%/*}
			[[ $letter == - ]] || all+=("-$letter")
			all+=("--${pair#*/}")
		done
		mapfile -t COMPREPLY < <(compgen -W "${all[*]%:}" -- "$word")
	else
		local operands
		read -r -a operands <<<"${_mpq_takes[$command]##*|}"
		((names < ${#operands[@]})) || names=$((${#operands[@]} - 1))
		kind=${operands[names]}
		[[ $kind == owned ]] && kind=${owner:+end}
		_mpq_words "$kind" "$word"
	fi

	[[ -n ${COMPREPLY[*]-} ]] || return 0
	COMPREPLY=("${COMPREPLY[@]/#/$before}")
	before=${word%"$2"}
	COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -F _mpq mpq-attach mpq-close mpq-create mpq-get mpq-join mpq-ls mpq-move mpq-pipe mpq-put mpq-rm mpq-stat \
	mpq-task-done mpq-wait mpq-work
