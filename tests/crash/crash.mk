# SPDX-License-Identifier: ISC
#
# Processes killed at every instruction; included by tests.mk. See README.md here. x86-64 only.
#
#   make crash         the short form, a minute
#   make crash-long    every operation at nearly every instruction, small ones by single steps; and pause-long:
#   make pause-long    one process held up at every instruction, while another does the whole of its operation

CRASH = $(BUILD)/tests/crash
CRASH_RUNS = "$(CRASH)/ops" "$(CRASH)/toy" "tests/crash/mutants.sh lib $(CRASH)/mutants" \
	"$(CRASH)/pause"
CRASH_FRAME = $(CRASH)/trials.o $(CRASH)/stage.o $(CRASH)/world.o $(CRASH)/step.o
LINT_SH += tests/crash/mutants.sh tests/crash/pause-mutants.sh

ifeq ($(shell uname -m),x86_64)
EXTRA_CHECKS += $(CRASH_RUNS)
check: $(CRASH)/ops $(CRASH)/toy $(CRASH)/pause
endif

$(CRASH)/%.o: tests/crash/%.c $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -c -o $@ $<

# Static: no symbol is looked up in the middle of what is stepped. The clock is ours: the vDSO's reading of the kernel's
# goes round again when a timer tick falls into it, which under single steps is nearly each time.
$(CRASH)/ops: $(CRASH)/ops.o $(CRASH)/scenes.o $(CRASH_FRAME) $(BUILD)/lib/libmpq.a
	$(CC) $(ALL_CFLAGS) -static -Wl,--wrap=clock_gettime -o $@ $^ -lpthread

$(CRASH)/toy: $(CRASH)/toy.o $(CRASH)/step.o $(BUILD)/lib/libmpq.a
	$(CC) $(ALL_CFLAGS) -static -o $@ $^ -lpthread

# The wrapper sees who is woken by the clock.
$(CRASH)/pause: $(CRASH)/pause.o $(CRASH_FRAME) $(BUILD)/lib/libmpq.a
	$(CC) $(ALL_CFLAGS) -static -Wl,--wrap=syscall,--wrap=clock_gettime -o $@ $^ -lpthread

crash: $(CRASH)/ops $(CRASH)/toy $(CRASH)/pause
	@s=0; for t in $(CRASH_RUNS); do echo "# $$t"; CC="$(CC) $(LIBC_CFLAGS)" $$t || s=1; done; exit $$s

crash-long: $(CRASH)/ops $(CRASH)/toy pause-long
	@s=0; for t in $(CRASH)/toy $(CRASH)/ops; do echo "# $$t"; $$t long || s=1; done; exit $$s

pause-long: $(CRASH)/pause
	$(CRASH)/pause long
	CC="$(CC) $(LIBC_CFLAGS)" tests/crash/pause-mutants.sh lib $(CRASH)

-include $(wildcard $(BUILD)/tests/crash/*.d)

.PHONY: crash crash-long pause-long
