# SPDX-License-Identifier: ISC
#
# Torture tests: processes that are killed, and histories that must be those of a FIFO queue; included by
# tests/tests.mk. `make check` runs the short forms.
#
#   make torture                     kills for 60 seconds on queues, and on pipes, a history of 1,000,000 operations
#   make torture SECONDS=600         longer
#   make torture KILLS=1000000       until so many processes have been killed
#   make torture DENSE=1             short messages and pauses, above 1,000 kills a second
#   make torture SEED=7              the chances of an earlier run

SECONDS = 60
SEED = $(shell date +%s)
TORTURE = $(BUILD)/tests/kill $(BUILD)/tests/history
EXTRA_CHECKS += "$(BUILD)/tests/kill 10 1" "$(BUILD)/tests/kill 8 1 pipe" "$(BUILD)/tests/history 100000 1"

check: $(TORTURE)

torture: all $(TORTURE)
	$(if $(KILLS),KILLS=$(KILLS)) $(if $(DENSE),DENSE=1) $(BUILD)/tests/kill $(SECONDS) $(SEED)
	$(if $(DENSE),DENSE=1) $(BUILD)/tests/kill $(SECONDS) $(SEED) pipe
	$(BUILD)/tests/history 1000000 $(SEED)
	MPQ_LONG=1 bats tests/faults.bats

$(TORTURE): $(BUILD)/tests/%: tests/torture/%.c $(BUILD)/lib/libmpq.a $(BUILD)/settings
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Ilib -MMD -MP -o $@ $< $(BUILD)/lib/libmpq.a -lm

.PHONY: torture
