#!/usr/bin/env bats
# The ledger: kill torture, and the judge of it put to the test by histories that are wrong.
# MPQ_LEDGER_SECONDS (20) is how long to kill, MPQ_SEED what to begin the random numbers with.
# shellcheck disable=SC2154 # status, output: bats sets them

load helpers

ledger() {
	run timeout -k 5 "$1" bash "$BATS_TEST_DIRNAME/ledger.sh" "${@:2}"
	printf '%s\n' "$output"
}

# history: a small ledger that is right: p1 has put three messages, and was killed in the fourth; s2 was killed.
history() {
	mkdir history
	cd history || return
	: >complaints
	printf '%s\n' p1 s2 >killed
	printf '%s .\n' "trying p1.1" "put p1.1" "trying p1.2" "trying p1.3" "put p1.2" "put p1.3" "trying p1.4" >p1.log
	printf '%s\n' "p1.1 3 000 p1.1" >s2.out
	printf '%s\n' "p1.2 1 0 p1.2" >g3.out
	printf '%s .\n' "finishing p1.3" "done p1.3" >h4.log
	cat >final <<-END
		name q
		state closed
		size 0
		bytes 0
		held 0
		unfinished 0
		puts 3
		dones 3
		getters 0
		putters 0
		memory 20480
	END
	cd ..
}

# counted N: so many were put in all, and are done.
counted() {
	sed -i "s/^\(puts\|dones\) 3/\1 $1/" history/final
}

# judged STATUS TEXT: the judge ends with STATUS, and has printed TEXT.
judged() {
	ledger 20 --judge history
	[[ $status == "$1" && $output == *"$2"* ]]
}

@test "processes killed at any moment: what was put is delivered, once, whole; nothing hangs; the numbers agree" {
	local seconds=${MPQ_LEDGER_SECONDS:-20}
	TMPDIR=$BATS_TEST_TMPDIR ledger $((seconds + 70)) "$seconds" "${MPQ_SEED:-$RANDOM}"
	((status == 0))
	[[ $output =~ ([0-9]+)" kills" ]] && ((BASH_REMATCH[1] > 0))
	[[ $output =~ ([0-9]+)" put, "([0-9]+)" delivered" ]] && ((BASH_REMATCH[1] > 0 && BASH_REMATCH[2] > 0))
	[[ -z $(ls -A "$MPQ_DIR") ]]
}

@test "the judge: a history without a fault" {
	history
	judged 0 "4 tried, 3 put, 3 delivered, 0 again"
}

@test "the judge: a message that was tried when its producer was killed may be there" {
	history
	echo "p1.4 1 0 p1.4" >>history/g3.out
	counted 4
	judged 0 "4 delivered"
}

@test "the judge: a message that was put and is not delivered is a fault" {
	history
	: >history/g3.out
	judged 1 "p1.2 was put and is lost"
}

@test "the judge: one that a holder was finishing when it was killed is not lost" {
	history
	echo h4 >>history/killed
	sed -i '/^done/d' history/h4.log
	judged 0 "2 delivered"
	: >history/h4.log
	judged 1 "p1.3 was put and is lost"
}

@test "the judge: a message that comes twice from getters that live is a fault" {
	history
	echo "p1.2 1 0 p1.2" >g5.out
	mv g5.out history
	judged 1 "p1.2 came 2 times"
	rm history/g5.out
	echo "done p1.3 ." >>history/h4.log
	judged 1 "p1.3 came 2 times"
}

@test "the judge: the last that a killed getter wrote may come again, once" {
	history
	echo "p1.1 3 000 p1.1" >>history/g3.out
	judged 0 "1 again after a kill"
	echo "p1.1 3 000 p1.1" >>history/g3.out
	judged 1 "p1.1 came 3 times"
}

@test "the judge: what a killed getter wrote earlier may not come again" {
	history
	printf '%s\n' "p1.1 3 000 p1.1" "p1.4 1 0 p1.4" >history/s2.out
	echo "p1.1 3 000 p1.1" >>history/g3.out
	counted 4
	judged 1 "p1.1 came 2 times"
}

@test "the judge: more than a pipe's worth may not come again" {
	history
	local i padding
	printf -v padding '%0999d' 0
	for i in {1..100}; do
		printf 'trying p6.%s .\nput p6.%s .\n' "$i" "$i" >>history/p6.log
		printf 'p6.%s 999 %s p6.%s\n' "$i" "$padding" "$i" >>history/s2.out
	done
	counted 103
	judged 0 " 0 again"
	tail -n 60 history/s2.out >>history/g3.out
	judged 0 "60 again"
	sed -n 31,41p history/s2.out >>history/g3.out
	judged 1 "came 2 times"
}

@test "the judge: a message of which a part is missing is a fault, but for the end of what a killed getter wrote" {
	history
	printf 'p1.2 1 0' >>history/s2.out
	judged 0 "3 delivered"
	printf '\np1.2 1' >>history/s2.out
	judged 1 "s2 got a message that is not whole in line 2"
	printf 'p1.1 3 000 p1.1\n' >history/s2.out
	judged 0 "3 delivered"
	printf 'p1.2 2 0 p1.2\n' >>history/g3.out
	judged 1 "g3 got a message that is not whole in line 2"
}

@test "the judge: a message from nowhere is a fault" {
	history
	echo "p1.5 1 0 p1.5" >>history/g3.out
	judged 1 "p1.5 comes from nowhere"
}

@test "the judge: numbers of mpq-stat that do not agree are faults" {
	local key
	history
	cp history/final .
	for key in size bytes held unfinished puts dones getters putters; do
		sed "s/^$key .*/$key 1/" final >history/final
		judged 1 "$key is 1"
	done
	sed 's/^state .*/state open/' final >history/final
	judged 1 "state is open"
}

@test "the judge: what a worker complains of is a fault" {
	history
	echo "g3: get 1" >history/complaints
	judged 1 "g3: get 1"
}
