# SPDX-License-Identifier: ISC
#
# Tests, benchmarks and linters; included by the Makefile. Longest suites first, so that two at a time end together.

SUITES = $(wildcard tests/*.bats)
UNITS =
LINT_C = $(wildcard lib/*.[ch] cmd/*.[ch] tests/*/*.[ch])
LINT_SH = tests/run tests/long tests/demo tests/helpers.bash completions/mpq.bash .ci/run $(SUITES) \
	$(wildcard tests/*.sh tests/*/*.sh)

-include tests/unit/unit.mk tests/crash/crash.mk tests/torture/torture.mk tests/bench/bench.mk tests/fuzz/fuzz.mk \
	tests/clean/clean.mk

check: all $(UNITS)
	tests/run $(foreach u,$(UNITS),"$(u)") $(EXTRA_CHECKS) $(SUITES)

# Kills for a minute, a history of a million operations, every system call failing, a minute for each fuzzer, every
# instruction of every operation, workers with a million messages and 200 kills, and the suites with address and
# undefined sanitizers.
LONG = check torture fuzz crash-long work-long check-sanitized tsan analyze valgrind

check-long:
	tests/long $(LONG)

work-long: all
	MPQ_LONG=1 bats -f '^(flat|kills): ' tests/work-limits.bats

check-sanitized:
	rm -rf $(BUILD)/sanitized && mkdir -p $(BUILD)/sanitized
	git ls-files -z | xargs -0 cp --parents -t $(BUILD)/sanitized
	$(MAKE) -C $(BUILD)/sanitized LIBC=glibc LDFLAGS= CFLAGS='-g -fsanitize=address,undefined -fno-sanitize-recover=all' all
	cd $(BUILD)/sanitized && tests/run $(patsubst %,tests/%.bats,names create put get framing streams holds join close rm \
		stat signals pipe attach wait move work damage)

demo: all
	tests/demo

lint:
	cppcheck --quiet --std=c11 --enable=warning,portability,performance --inline-suppr --error-exitcode=1 \
		--suppressions-list=tests/cppcheck.txt -Ilib -Icmd lib cmd
	shellcheck $(LINT_SH)
	mandoc -Tlint -W warning $(PAGES)
	for f in lib/*.c cmd/*.c; do case $$f in cmd/main.c) d=-DCOMMAND=mpq_get_main ;; *) d= ;; esac; \
		clang $(filter-out -ftree-vectorize -Wmissing-prototypes $(LIBC_CFLAGS),$(ALL_CFLAGS)) $$d -Ilib -Werror -fsyntax-only $$f || exit 1; \
		$(CC) $(ALL_CFLAGS) $$d -Ilib -Werror -c -o /dev/null $$f || exit 1; done
	@echo lint: clean

.PHONY: check check-long check-sanitized demo lint work-long
