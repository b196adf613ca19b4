# SPDX-License-Identifier: ISC
#
# Tests of the library's rooms, each a program that prints TAP; included by tests.mk.
#
#   make unit     all of them, one after the other

UNIT_NAMES = model lock journal queue opening owner segment space wait wakes shares spin calls between refusals
UNIT_PROGRAMS = $(UNIT_NAMES:%=$(BUILD)/tests/unit-%)
UNITS += $(UNIT_PROGRAMS)

$(BUILD)/tests/unit-%.o: tests/unit/%.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -c -o $@ $<

$(UNIT_PROGRAMS): %: %.o $(BUILD)/lib/libmpq.a
	$(CC) $(ALL_CFLAGS) $(UNIT_LDFLAGS) -o $@ $^ -lpthread

$(BUILD)/tests/unit-lock: UNIT_LDFLAGS = -Wl,--wrap=syscall
$(BUILD)/tests/unit-opening: UNIT_LDFLAGS = -Wl,--wrap=fstat -Wl,--wrap=fstat64
# calls.c and between.c catch system calls, by their names in either C library.
CAUGHT_64 = openat open fstat lstat stat mmap fallocate fstatfs pwrite readdir getrlimit fcntl
CAUGHT = $(CAUGHT_64) $(CAUGHT_64:%=%64) opendir poll read malloc calloc unlink fchmod link linkat madvise pthread_create \
	pthread_attr_init syscall
$(BUILD)/tests/unit-calls: UNIT_LDFLAGS = $(CAUGHT:%=-Wl,--wrap=%)
MET_64 = openat open fstat lstat mmap fallocate fstatfs pwrite fcntl
MET = $(MET_64) $(MET_64:%=%64) malloc unlink link linkat syscall
$(BUILD)/tests/unit-between: UNIT_LDFLAGS = $(MET:%=-Wl,--wrap=%)

unit: $(UNIT_PROGRAMS) $(BUILD)/tests/keeper
	@s=0; for t in $(UNIT_PROGRAMS); do echo "# $$t"; $$t || s=1; done; exit $$s

.PHONY: unit

# For suites that need a process stopped with the lock.
$(BUILD)/tests/keeper: tests/unit/keeper.c $(BUILD)/lib/libmpq.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -o $@ $< $(BUILD)/lib/libmpq.a -lpthread

check: $(BUILD)/tests/keeper
