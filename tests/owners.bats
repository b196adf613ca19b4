#!/usr/bin/env bats
# Owners: whose queue it may be, names that others have planted, and who may use what.
# Each test works in a mount name space of its own, where /dev/shm is empty and nobody else's.
# shellcheck disable=SC2154 # status, stderr: helpers and bats set them

load helpers

# as_users: runs the script on standard input as root. In it: "nobody COMMAND" and "daemon COMMAND" run as these users,
# and "ends STATUS COMMAND ..." demands that status, with the output in out and err.
as_users() {
	((EUID == 0)) || skip "only root can become another user"
	unshare --mount true 2>/dev/null || skip "no mount name space can be made here"
	setpriv --reuid nobody --regid nogroup --clear-groups mpq-ls --version >/dev/null 2>&1 ||
		skip "another user cannot run the commands where they are"
	cat - >script.tail
	cat >script <<-'END'
		trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
		mount -t tmpfs -o mode=1777,size=64m tmpfs /dev/shm
		unset MPQ_DIR
		umask 022
		as_nobody=(setpriv --reuid nobody --regid nogroup --clear-groups)
		as_daemon=(setpriv --reuid daemon --regid daemon --clear-groups)
		nobody() { "${as_nobody[@]}" "$@"; }
		daemon() { "${as_daemon[@]}" "$@"; }

		ends() {
			local want=$1 got=0
			shift
			case $1 in
			nobody) shift && set -- "${as_nobody[@]}" "$@" ;;
			daemon) shift && set -- "${as_daemon[@]}" "$@" ;;
			esac
			timeout -k 1 20 "$@" >out 2>err || got=$?
			((got == want)) && return
			printf '%s: status %s, not %s: %s\n' "$*" "$got" "$want" "$(<err)" >&2
			exit 1
		}

		# refused OWNER: every command refuses q, at once, and names its owner.
		refused() {
			local command
			for command in "put -n q a" "put q a" "get -n q" "get q" "get -P q" "get -o $$ q" "task-done q" \
				"join -n q" "join q" "close q" "close -i q" "stat q" "stat -k state q" "create -e q"; do
				ends 1 mpq-$command </dev/null
				[[ $command == stat* || ! -s out ]]
				grep -q "^mpq-${command%% *}: q: ." err
				grep -qw "$1" err || {
					printf '%s does not name the owner %s: %s\n' "$command" "$1" "$(<err)" >&2
					exit 1
				}
			done
			timeout -k 1 20 mpq-create q >out 2>err && exit 1 || (($? == 7 || $? == 1))
			ends 0 mpq-ls
			ends 0 mpq-ls -l
		}

		denied() {
			ends 1 mpq-stat q
			[[ $(cut -d ' ' -f 1 out | paste -sd ' ') == "name state mode owner" ]]
			grep -qx 'state denied' out
			grep -qx "owner $1" out
			ends 0 mpq-ls -l
			grep -w q out | grep -qw denied
		}
	END
	cat script.tail >>script
	try 0 unshare --mount --propagation private bash -e script || {
		((status != 77)) || skip "$stderr"
		return 1
	}
	printf '%s\n' "$stderr"
}

@test "the default place: a queue is the POSIX shared-memory object /mpq.NAME, its mode 0600; empty MPQ_DIR is as unset" {
	as_users <<-'END'
		ends 0 mpq-create q
		[[ -f /dev/shm/mpq.q && $(stat -c '%a %U' /dev/shm/mpq.q) == "600 root" ]]
		MPQ_DIR='' ends 0 mpq-put q a
		MPQ_DIR=/dev/shm ends 0 mpq-get -n q
		[[ $(<out) == a ]]
		ends 0 mpq-create
		[[ -f /dev/shm/mpq.$(<out) ]]
		MPQ_DIR='' ends 0 mpq-create r
		ends 0 mpq-rm q r "$(mpq-ls | grep -vx '[qr]')"
		[[ -z $(ls -A /dev/shm) ]]
	END
}

@test "a squatter's file of mode 0666: status 1, naming its owner" {
	as_users <<-'END'
		nobody bash -c 'umask 0; echo planted >/dev/shm/mpq.q'
		refused nobody
		denied nobody
		[[ $(</dev/shm/mpq.q) == planted ]]
	END
}

@test "a squatter's empty file: status 1, naming its owner" {
	as_users <<-'END'
		nobody bash -c 'umask 0; : >/dev/shm/mpq.q'
		refused nobody
		[[ ! -s /dev/shm/mpq.q ]]
	END
}

@test "a squatter's FIFO: status 1, naming its owner, and no hang" {
	as_users <<-'END'
		nobody bash -c 'umask 0; mkfifo /dev/shm/mpq.q'
		refused nobody
		[[ -p /dev/shm/mpq.q ]]
	END
}

@test "a squatter's symbolic link to root's queue: status 1, naming its owner, and not followed" {
	as_users <<-'END'
		ends 0 mpq-create other
		nobody ln -s mpq.other /dev/shm/mpq.q
		refused nobody
		ends 0 mpq-stat -k puts other
		[[ $(<out) == 0 ]]
		ends 0 mpq-stat -k state other
		[[ $(<out) == open ]]
	END
}

@test "a squatter's dangling symbolic link: status 1, naming its owner, and nothing made where it points" {
	as_users <<-'END'
		nobody ln -s /dev/shm/nowhere /dev/shm/mpq.q
		refused nobody
		[[ ! -e /dev/shm/nowhere && -L /dev/shm/mpq.q ]]
	END
}

@test "a squatter's directory: status 1, naming its owner" {
	as_users <<-'END'
		nobody mkdir -m 777 /dev/shm/mpq.q
		refused nobody
		[[ -z $(ls -A /dev/shm/mpq.q) ]]
	END
}

@test "a squatter's hard link: status 1, naming its owner" {
	as_users <<-'END'
		nobody bash -c 'umask 0; echo planted >/dev/shm/file; ln /dev/shm/file /dev/shm/mpq.q'
		refused nobody
		[[ $(</dev/shm/file) == planted ]]
	END
}

@test "a squatter's device: status 1, naming its owner" {
	as_users <<-'END'
		mknod /dev/shm/mpq.q c 1 3
		chown nobody /dev/shm/mpq.q
		chmod 666 /dev/shm/mpq.q
		refused nobody
	END
}

@test "another user's real queue is not trusted: status 1, naming him; denied in ls and stat" {
	as_users <<-'END'
		ends 0 nobody mpq-create -M 666 q
		ends 0 nobody mpq-put q a
		refused nobody
		denied nobody
		ends 0 nobody mpq-stat q
		grep -qx 'size 1' out
		grep -qx 'state open' out
	END
}

@test "MPQ_OWNER names whom to trust: one, several, any" {
	as_users <<-'END'
		ends 0 nobody mpq-create -M 666 q
		MPQ_OWNER=nobody ends 0 mpq-put q a
		MPQ_OWNER=daemon,nobody ends 0 mpq-put q b
		MPQ_OWNER=nobody,daemon ends 0 mpq-put q c
		MPQ_OWNER='*' ends 0 mpq-put q d
		MPQ_OWNER=no-such-user,nobody ends 0 mpq-put q e
		MPQ_OWNER=nobody ends 0 mpq-get -an q
		[[ $(<out) == $'a\nb\nc\nd\ne' ]]
		MPQ_OWNER=nobody ends 0 mpq-stat -k state q
		[[ $(<out) == open ]]
		MPQ_OWNER=nobody ends 0 mpq-create -e q
		for owner in daemon nobod nobodyy '' , no-such-user; do
			MPQ_OWNER=$owner ends 1 mpq-put q x
			grep -qw nobody err
		done
		MPQ_OWNER=nobody ends 3 mpq-get -n q
	END
}

@test "MPQ_OWNER trusts a user, not what is no queue: status 1, and no hang" {
	as_users <<-'END'
		export MPQ_OWNER='*'
		for thing in "echo planted >" "mkfifo" "mkdir" "ln -s mpq.other" "ln -s /dev/zero"; do
			nobody bash -c "umask 0; $thing /dev/shm/mpq.q"
			for command in "put q a" "get q" "get -n q" "join q" "task-done q" "close q" "stat q"; do
				ends 1 mpq-$command
				[[ -s err ]]
			done
			rm -rf /dev/shm/mpq.q
		done
	END
}

@test "root's queue is trusted by everyone: who may put may get" {
	as_users <<-'END'
		ends 0 mpq-create -M 666 q
		ends 0 nobody mpq-put q a b
		ends 0 daemon mpq-get q
		[[ $(<out) == a ]]
		ends 0 mpq-get q
		[[ $(<out) == b ]]
	END
}

@test "without permission: status 1 from every command, state denied, nothing changed" {
	as_users <<-'END'
		ends 0 mpq-create q
		ends 0 mpq-put q a
		for command in "put q b" "put -n q b" "get -n q" "get -P q" "join -n q" "task-done q" "close q" "stat q" \
			"create -e q"; do
			ends 1 nobody mpq-$command
			grep -q "^mpq-${command%% *}: q: ." err
		done
		ends 7 nobody mpq-create q
		ends 1 nobody mpq-stat q
		[[ $(cut -d ' ' -f 1 out | paste -sd ' ') == "name state mode owner" ]]
		grep -qx 'state denied' out
		grep -qx 'owner root' out
		ends 0 nobody mpq-ls
		[[ $(<out) == q ]]
		ends 0 nobody mpq-ls -l
		grep -w q out | grep -qw denied
		ends 0 mpq-stat q
		grep -qx 'size 1' out
		grep -qx 'state open' out
	END
}

@test "a mode that lets the group: its members may put and get, others not" {
	as_users <<-'END'
		ends 0 setpriv --regid daemon --clear-groups mpq-create -M 0660 q
		[[ $(stat -c '%a %G' /dev/shm/mpq.q) == "660 daemon" ]]
		ends 0 daemon mpq-put q a
		ends 1 nobody mpq-get -n q
		ends 0 daemon mpq-get -n q
		[[ $(<out) == a ]]
	END
}

@test "rm needs no trust, only the directory's permission: root removes another's, another not root's" {
	as_users <<-'END'
		ends 0 nobody mpq-create q
		ends 0 mpq-rm q
		[[ ! -e /dev/shm/mpq.q ]]
		ends 0 mpq-create -M 666 q
		ends 1 nobody mpq-rm q
		grep -q '^mpq-rm: q: .' err
		ends 1 nobody mpq-rm -f q
		ends 0 mpq-stat q
		ends 0 nobody mpq-create r
		ends 1 daemon mpq-rm r
		ends 0 nobody mpq-rm r
	END
}

@test "a rm that the directory does not permit leaves the queue working" {
	as_users <<-'END'
		ends 0 mpq-create -M 666 q
		ends 0 mpq-put q a
		ends 1 nobody mpq-rm q
		ends 0 mpq-put q b
		ends 0 nobody mpq-get -an q
		[[ $(<out) == $'a\nb' ]]
	END
}

@test "in MPQ_DIR the directory's permissions decide: another's queue is trusted there" {
	as_users <<-'END'
		mkdir -m 1777 /dev/shm/open
		export MPQ_DIR=/dev/shm/open
		ends 0 nobody mpq-create -M 666 q
		[[ -f /dev/shm/open/mpq.q ]]
		ends 0 mpq-put q a
		ends 0 daemon mpq-get q
		[[ $(<out) == a ]]
		ends 0 mpq-stat -k state q
		[[ $(<out) == open ]]
		ends 0 mpq-stat -k owner q
		[[ $(<out) == nobody ]]
	END
}

@test "in MPQ_DIR the directory's permissions decide: no writing there, no create and no rm" {
	as_users <<-'END'
		mkdir -m 755 /dev/shm/shut
		export MPQ_DIR=/dev/shm/shut
		ends 0 mpq-create -M 666 q
		ends 1 nobody mpq-create r
		grep -q '^mpq-create: r: .' err
		ends 1 nobody mpq-rm q
		ends 0 nobody mpq-put q a
		ends 0 nobody mpq-get q
		[[ $(ls -A /dev/shm/shut) == mpq.q ]]
		chmod 700 /dev/shm/shut
		ends 1 nobody mpq-put q a
		ends 1 nobody mpq-stat q
		ends 1 nobody mpq-ls
	END
}

@test "a squatter's FIFO, link or directory in MPQ_DIR: status 1, and no hang" {
	as_users <<-'END'
		mkdir -m 1777 /dev/shm/open
		export MPQ_DIR=/dev/shm/open
		for thing in mkfifo mkdir "ln -s /dev/zero" "ln -s /dev/shm/nowhere"; do
			nobody bash -c "umask 0; $thing /dev/shm/open/mpq.q"
			for command in "put q a" "get q" "get -n q" "join q" "task-done q" "close q" "stat q"; do
				ends 1 mpq-$command
				[[ -s err ]]
			done
			rm -rf /dev/shm/open/mpq.q
		done
		[[ ! -e /dev/shm/nowhere ]]
	END
}

@test "-M: the mode is exactly that, whatever the umask; default 0600" {
	as_users <<-'END'
		for mask in 000 022 077 777; do
			umask "$mask"
			mpq-create q
			[[ $(stat -c %a /dev/shm/mpq.q) == 600 ]]
			mpq-rm q
			for mode in 600 0660 666 0606 066 006 060; do
				mpq-create -M "$mode" q
				printf '%s %s\n' "$mode" "$(stat -c %a /dev/shm/mpq.q)" >&2
				(($(stat -c '0%a' /dev/shm/mpq.q) == 0$mode))
				mpq-rm q
			done
		done
		umask 077
		mpq-create --mode=0666 q
		ends 0 nobody mpq-put q a
	END
}

@test "-M: each class rw or nothing, else usage" {
	as_users <<-'END'
		for mode in 0640 400 200 0700 0610 1600 4600 0668 '' x 0x180 rw -1 66666; do
			ends 2 mpq-create -M "$mode" q
			[[ -s err ]]
		done
		[[ -z $(ls -A /dev/shm) ]]
	END
}

@test "the owner of a hold need not be the user who puts or gets" {
	lifeline
	as_users <<-'END'
		ends 0 mpq-create -M 666 q
		ends 0 mpq-put q a b
		cat "$lifeline" 9>&- &
		holder=$!
		ends 0 nobody mpq-get -o "$holder" q
		ends 0 mpq-stat -k held q
		[[ $(<out) == 1 ]]
		ends 0 nobody mpq-get -n q
		[[ $(<out) == b ]]
		ends 0 nobody mpq-stat -k held q
		[[ $(<out) == 1 ]]
		kill -KILL "$holder"
		wait "$holder" || :
		ends 0 nobody mpq-stat -k held q
		[[ $(<out) == 0 ]]
		ends 0 mpq-get -n q
		[[ $(<out) == a ]]
	END
}

@test "hidden processes (hidepid=2): a live holder of another user is not taken for dead" {
	lifeline
	as_users <<-'END'
		mount -t proc -o hidepid=2 proc /proc 2>/dev/null || {
			echo "a /proc that hides processes cannot be mounted here" >&2
			exit 77
		}
		ends 0 mpq-create -M 666 q
		ends 0 mpq-put q a
		cat "$lifeline" 9>&- &
		holder=$!
		ends 0 mpq-get -o "$holder" q
		ends 3 nobody mpq-get -n q
		ends 0 nobody mpq-stat -k held q
		[[ $(<out) == 1 ]]
		kill -KILL "$holder"
		wait "$holder" || :
		ends 0 nobody mpq-get -n q
		[[ $(<out) == a ]]
	END
}
