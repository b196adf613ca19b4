# SPDX-License-Identifier: ISC
#
# make            commands into build/bin, library into build/lib/libmpq.a
# make check      the tests, in under five minutes; the last line counts them
# make check-long the long forms: kills, fuzzing, sanitizers, valgrind; under an hour on two processors
# make bench      speed, as ratios to peers measured in the same run
# make lint       cppcheck, shellcheck, mandoc, and clang's warnings
# make demo       a batch over 10,000 files with workers that get killed
#
# LIBC=musl or LIBC=glibc chooses the C library that is linked in: musl where musl-gcc is installed and works, else
# glibc. Commands of both kinds share queues. `make libc` says which it is. A program linked with libmpq.a is linked with
# the same C library.

MAKEFLAGS += -r            # no built-in rules: they would link a program from main-x.d.o to remake main-x.d

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
MANDIR = $(PREFIX)/share/man
COMPDIR = $(PREFIX)/share/bash-completion/completions
BUILD = build

COMMANDS = attach close create get join ls move pipe put rm stat task-done wait work
LIB = alive attempt check chunk error extent get grow journal lock look op open owner peek place put reap segment share \
	side spin take tasks trim wait writer
# What commands share; a static library, so that each takes what it needs.
CMD = attach attach_command attach_group cli cli_numbers cli_users create input input_length input_raw input_text \
	output progress show signals work_args work_fate work_find work_job work_log work_loop work_message \
	work_prepare work_signals work_spool work_watchdog

# A call of a command is mostly the start of its C library, and musl's costs a third of glibc's. It is used if its
# compiler makes a program that runs, with what libbsd has for glibc in it. Another CC is taken to be glibc's.
LIBBSD := $(shell gcc -print-file-name=libbsd.a)
ifeq ($(origin LIBC),undefined)
LIBC := $(if $(filter command,$(word 1,$(origin CC))),glibc,$(shell t=$$(mktemp) && \
	echo 'long long strtonum(const char *, long long, long long, const char **);' \
		'int main(void) { return strtonum("7", 0, 9, 0) != 7; }' | \
	musl-gcc -static -o $$t -x c - -x none $(LIBBSD) 2>/dev/null && $$t && echo musl || echo glibc; rm -f $$t))
endif

WARN = -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes
OPT = -O2 -ftree-vectorize -ffunction-sections -fdata-sections
CFLAGS = -g
# A mapped segment is shared with processes of any age: no strict aliasing games, no LTO across the lock.
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 $(OPT) $(WARN) -fno-strict-aliasing $(LIBC_CFLAGS) \
	$(CFLAGS)
LDFLAGS = -static -Wl,--gc-sections
ifeq ($(LIBC),musl)
CC = musl-gcc
# Headers that are not the C library's: musl-gcc does not look into /usr/include. -lc first: of libbsd only what musl
# lacks.
LIBC_CFLAGS = -idirafter $(BUILD)/include -include lib/musl.h
LDLIBS = -lc $(LIBBSD)
CMD += warnc
# Fewer pages to touch, a page fault of 1 to 2 us each, of 14 in a put: what musl does not write-protect after start-up need
# not be apart, nor read-only data from code.
LDFLAGS += -Wl,-z,norelro,-z,noseparate-code
else ifeq ($(LIBC),glibc)
CC = gcc
LDLIBS = -lbsd -lmd
else
$(error LIBC is musl or glibc, not $(LIBC))
endif

BINS = $(COMMANDS:%=$(BUILD)/bin/mpq-%)
LIBOBJS = $(LIB:%=$(BUILD)/lib/%.o)
CMDOBJS = $(CMD:%=$(BUILD)/cmd/%.o)
PAGES = $(COMMANDS:%=man/mpq-%.1) man/mpq.7 man/mpq-recipes.7

all: $(BINS) $(BUILD)/lib/libmpq.a

# What all objects depend on: they are made anew when the C library or a flag is another one.
SETTINGS = $(CC) $(ALL_CFLAGS) $(LDFLAGS) $(LDLIBS)
$(BUILD)/settings: FORCE
	@mkdir -p $(BUILD)/include
	@for d in bsd linux asm-generic; do ln -sfn /usr/include/$$d $(BUILD)/include; done
	@ln -sfn "/usr/include/$$(gcc -print-multiarch)/asm" $(BUILD)/include
	@echo '$(SETTINGS)' | cmp -s - $@ || echo '$(SETTINGS)' >$@

libc:
	@echo $(LIBC)

# (and the Makefile: a changed list of objects is a changed library)
$(BUILD)/lib/libmpq.a: $(LIBOBJS) Makefile
	@rm -f $@
	$(AR) rcs $@ $(LIBOBJS)

$(BUILD)/lib/%.o: lib/%.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/cmd/%.o: cmd/%.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -c -o $@ $<

# main.c calls the command's function, whose name is that of the program: mpq-task-done, mpq_task_done_main.
$(BUILD)/cmd/main-%.o: cmd/main.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -DCOMMAND=mpq_$(subst -,_,$*)_main -MMD -MP -c -o $@ $<

$(BUILD)/cmd/libcmd.a: $(CMDOBJS) Makefile
	@rm -f $@
	$(AR) rcs $@ $(CMDOBJS)

$(BUILD)/bin/mpq-%: $(BUILD)/cmd/main-%.o $(BUILD)/cmd/mpq-%.o $(BUILD)/cmd/libcmd.a $(BUILD)/lib/libmpq.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man7 $(DESTDIR)$(COMPDIR)
	install $(BINS) $(DESTDIR)$(BINDIR)
	install -m 644 $(filter %.1,$(PAGES)) $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(filter %.7,$(PAGES)) $(DESTDIR)$(MANDIR)/man7
	for c in $(COMMANDS); do install -m 644 completions/mpq.bash $(DESTDIR)$(COMPDIR)/mpq-$$c; done

uninstall:
	rm -f $(COMMANDS:%=$(DESTDIR)$(BINDIR)/mpq-%) $(COMMANDS:%=$(DESTDIR)$(MANDIR)/man1/mpq-%.1) \
		$(patsubst man/%,$(DESTDIR)$(MANDIR)/man7/%,$(filter %.7,$(PAGES))) \
		$(COMMANDS:%=$(DESTDIR)$(COMPDIR)/mpq-%)

clean:
	rm -rf build

-include $(wildcard $(BUILD)/*/*.d)
-include tests/tests.mk

.PHONY: all install uninstall clean libc FORCE
.SECONDARY:
