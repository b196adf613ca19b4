# SPDX-License-Identifier: ISC
#
# What compilers, sanitizers and instruments say of the code; included by tests.mk.
#
#   make tsan          threads that do all operations at once, under the thread sanitizer, and faults that it must report
#   make analyze       gcc -fanalyzer over lib and cmd
#   make valgrind      each command in its main uses under memcheck
#   make coverage      branches of the library that the tests take, by file; fails below the goals (not in check-long: it
#                      takes six minutes)

EXTRA_CHECKS += "tests/clean/tsan lib $(BUILD)/tsan 10"
LINT_SH += tests/clean/tsan tests/clean/memcheck tests/clean/coverage

tsan:
	tests/clean/tsan lib $(BUILD)/tsan 200 mutants

.PHONY: tsan

# What the coverage build makes besides the commands (called by tests/clean/coverage in its own tree).
coverage-programs: $(UNITS) $(BUILD)/tests/kill $(BUILD)/tests/keeper $(FUZZ)/words $(FUZZ)/sweep $(FUZZ)/live $(FUZZ)/replay

coverage:
	tests/clean/coverage $(BUILD)/coverage

.PHONY: coverage coverage-programs

# The analyzer of the compiler, over everything; it must have nothing to say. What it had wrong was said more plainly.
analyze:
	@s=0; for f in lib/*.c cmd/*.c; do case $$f in cmd/main.c) d=-DCOMMAND=mpq_get_main ;; *) d= ;; esac; \
		gcc $(filter-out -ftree-vectorize,$(ALL_CFLAGS)) $$d -Ilib -fanalyzer -Werror -c -o /dev/null $$f || s=1; done; \
		[ $$s = 0 ] && echo analyze: clean || { echo "analyze: what is said above"; false; }

# Valgrind puts its own malloc in the place of glibc's; of musl's it only sees the frees, and takes each for a fault. And it knows
# it in a shared library only.
valgrind:
	$(MAKE) -s BUILD=$(BUILD)/valgrind LIBC=glibc LDFLAGS= OPT=-O1 all
	tests/clean/memcheck $(BUILD)/valgrind/bin

.PHONY: analyze valgrind
